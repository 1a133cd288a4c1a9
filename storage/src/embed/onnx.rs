//! A sentence-embedding model in the ONNX format, with its tokenizer, from a folder.
//!
//! The folder is laid out as sentence-transformers lays it out: `model.onnx` or `onnx/model.onnx`,
//! `tokenizer.json`, and, where they are there, `modules.json`, `1_Pooling/config.json`,
//! `sentence_bert_config.json`, `tokenizer_config.json` and `config.json`, which say how the model's
//! numbers become one vector and how many tokens it takes. Weights beside the model are read too where
//! their names begin with its name, as `model.onnx_data`.
//!
//! | a text | its vector |
//! |---|---|
//! | of more bytes than `text_bytes_max` | that of its beginning |
//! | of more tokens than the model takes | that of its beginning |
//! | with no token in it | all zeros |
//! | beside others | what it is alone, but for the rounding |

mod error;
mod folder;
mod outline;
mod pooling;
mod runtime;
mod session;
mod sessions;
#[cfg(test)]
mod tests;
mod tokens;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub use self::error::OpenModelError;
pub use self::runtime::OnnxRuntime;

use self::folder::ModelFolder;
use self::runtime::RunFault;
use self::session::ModelSession;
use self::sessions::Sessions;
use self::tokens::{Tokenizing, Tokens};
use super::{EmbedError, EmbedFor, Embedder, Places};

/// How many texts are taken apart into tokens before the first of them goes into the model.
const TEXTS_AT_ONCE: usize = 256;

/// How far apart two vectors of one text may be, as one less their cosine, for the model to count as
/// one that keeps the texts of a batch apart. A model of whole numbers rounds by the batch.
const BATCH_DISTANCE_MAX: f32 = 0.02;

/// How a model is run, and its bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnnxOptions {
    /// What runs it.
    pub runtime: OnnxRuntime,
    /// How many calls it serves at once. With ONNX Runtime each takes the model's size in memory.
    pub sessions: NonZeroUsize,
    /// How long a call waits for one of them, each time it needs one; then it fails.
    pub session_wait: Duration,
    /// How many questions wait on threads for one of the sessions, or are in one.
    pub questions_max: NonZeroUsize,
    /// How long a question waits, until fewer do and for a session; then only its words count.
    pub question_wait: Duration,
    /// How many threads one call takes. Only ONNX Runtime heeds it: tract works on the caller's own.
    pub session_threads: NonZeroUsize,
    /// How many texts go through the model together; more are cut into batches.
    pub batch_texts_max: NonZeroUsize,
    /// How many bytes of a text are read; the rest of it is left out.
    pub text_bytes_max: usize,
    /// How many tokens of a text are read, where the model takes as many; the rest is left out.
    pub text_tokens_max: usize,
    /// How many bytes the model may have, with its weights; a larger one is not opened.
    pub model_bytes_max: u64,
    /// How many bytes `tokenizer.json` may have; a larger one is not opened.
    pub tokenizer_bytes_max: u64,
}

impl Default for OnnxOptions {
    fn default() -> Self {
        Self {
            runtime: OnnxRuntime::Tract,
            sessions: NonZeroUsize::MIN,
            session_wait: Duration::from_secs(60),
            questions_max: NonZeroUsize::MIN.saturating_add(7),
            question_wait: Duration::from_secs(5),
            session_threads: NonZeroUsize::MIN,
            batch_texts_max: NonZeroUsize::MIN.saturating_add(7),
            text_bytes_max: 64 << 10,
            text_tokens_max: 512,
            model_bytes_max: 2 << 30,
            tokenizer_bytes_max: 64 << 20,
        }
    }
}

/// A call, which may need a session more than once.
#[derive(Clone, Copy, Debug)]
struct Call {
    of: EmbedFor,
    /// Since when somebody waits for it.
    since: Instant,
}

impl Call {
    /// One that is in no hurry.
    fn of_memories() -> Self {
        Self { of: EmbedFor::Memories, since: Instant::now() }
    }
}

/// An embedder that runs an ONNX model.
#[derive(Debug)]
pub struct OnnxEmbedder {
    name: String,
    /// Where the model is, for errors.
    folder: PathBuf,
    dimensions: usize,
    tokenizing: Tokenizing,
    /// How many texts go into the model at once.
    batch_texts: usize,
    sessions: Sessions,
    session_wait: Duration,
    /// Memories have as many as there are sessions, and questions come between their batches.
    places: Places,
}

impl OnnxEmbedder {
    /// Opens the model in a folder and tries it. This takes a while, and blocks.
    ///
    /// # Errors
    /// Says which file is missing or wrong, and what to do.
    pub fn open(folder: &Path, options: &OnnxOptions) -> Result<Self, OpenModelError> {
        let found = ModelFolder::find(folder, options)?;
        let engines = runtime::load(&found, options)?.into_iter();
        let sessions: Vec<ModelSession> =
            engines.map(|engine| ModelSession::new(engine, &found)).collect::<Result<_, _>>()?;
        let layout = sessions[0].layout();
        let tokens_max = layout.tokens_max(found.tokens_max);
        let tokenizing = Tokenizing::new(&found, tokens_max, options.text_bytes_max)?;
        let name = found.fingerprint(tokens_max, options.text_bytes_max)?;
        let batch_texts = layout.batch_texts(options.batch_texts_max.get());
        let mut embedder = Self {
            name,
            folder: folder.to_owned(),
            dimensions: 0,
            tokenizing,
            batch_texts,
            sessions: Sessions::new(sessions),
            session_wait: options.session_wait,
            places: Places::new(options.questions_max, options.question_wait, options.sessions),
        };
        embedder.try_out(&found)?;
        Ok(embedder)
    }

    /// Runs the model on two texts, alone and together: so it is known how long its vectors are, and
    /// whether it takes texts together. Many a model was exported in a way that it does not, or only
    /// seems to.
    fn try_out(&mut self, found: &ModelFolder) -> Result<(), OpenModelError> {
        let fault = |fault: RunFault| match fault {
            RunFault::Output(cause) => found.no_sentence_model(cause),
            fault @ (RunFault::Failed(_) | RunFault::Busy(_)) => found.unusable(fault),
        };
        let texts =
            ["a trial", "and a longer text for the same trial, so that one of them is padded"];
        let tokens: Vec<Tokens> = texts
            .into_iter()
            .map(|text| self.tokenizing.tokens(text))
            .collect::<Result<_, _>>()
            .map_err(fault)?;
        let call = Call::of_memories();
        let alone = self.run(&[&tokens[0]], call).map_err(fault)?;
        self.dimensions = alone[0].len();
        if self.batch_texts > 1 {
            let apart = self
                .run(&[&tokens[0], &tokens[1]], call)
                .is_ok_and(|both| pooling::distance(&both[0], &alone[0]) <= BATCH_DISTANCE_MAX);
            if !apart {
                let folder = self.folder.display();
                tracing::info!(%folder, "this model takes one text at a time");
                self.batch_texts = 1;
            }
        }
        Ok(())
    }

    fn embed_by(&self, texts: &[&str], call: Call) -> Result<Vec<Vec<f32>>, EmbedError> {
        let mut vectors = Vec::with_capacity(texts.len());
        for some in texts.chunks(TEXTS_AT_ONCE) {
            vectors.extend(self.embed_some(some, call).map_err(|fault| self.error(&fault))?);
        }
        Ok(vectors)
    }

    fn error(&self, fault: &RunFault) -> EmbedError {
        let model = self.folder.display().to_string();
        match fault {
            RunFault::Busy(waited) => EmbedError::Busy { model, waited: *waited },
            fault => EmbedError::Model { model, cause: fault.to_string() },
        }
    }

    fn embed_some(&self, texts: &[&str], call: Call) -> Result<Vec<Vec<f32>>, RunFault> {
        let tokens: Vec<Tokens> =
            texts.iter().map(|text| self.tokenizing.tokens(text)).collect::<Result<_, _>>()?;
        let mut order: Vec<usize> = (0..texts.len()).filter(|&at| !tokens[at].is_empty()).collect();
        // Texts of like length go together, so that little of a batch is padding.
        order.sort_by_key(|&at| tokens[at].len());
        let mut vectors = vec![vec![0.0; self.dimensions]; texts.len()];
        for batch in order.chunks(self.batch_texts) {
            let rows: Vec<&Tokens> = batch.iter().map(|&at| &tokens[at]).collect();
            for (&at, vector) in batch.iter().zip(self.run(&rows, call)?) {
                if vector.len() != self.dimensions {
                    let (had, has) = (self.dimensions, vector.len());
                    let cause = format!("its vectors had {had} numbers, and now {has}");
                    return Err(RunFault::Output(cause));
                }
                vectors[at] = vector;
            }
        }
        Ok(vectors)
    }

    /// Runs one batch. A session is taken for one batch only, so that a query that comes while much is
    /// being indexed waits for a batch, and not for all of it.
    fn run(&self, rows: &[&Tokens], call: Call) -> Result<Vec<Vec<f32>>, RunFault> {
        let mut session = self.sessions.take(call.of, self.wait_for_session(call))?;
        session.run(rows, self.tokenizing.padding())
    }

    /// How long a call waits for a session. What a question has waited for a place counts.
    fn wait_for_session(&self, call: Call) -> Duration {
        let left = || self.places.question_wait().saturating_sub(call.since.elapsed());
        match call.of {
            EmbedFor::Memories => self.session_wait,
            EmbedFor::Question => self.session_wait.min(left()),
        }
    }
}

impl Embedder for OnnxEmbedder {
    fn name(&self) -> &str {
        &self.name
    }

    fn dimensions(&self) -> usize {
        self.dimensions
    }

    fn places(&self) -> Option<&Places> {
        Some(&self.places)
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
        self.embed_by(texts, Call::of_memories())
    }

    fn embed_for(
        &self,
        texts: &[&str],
        of: EmbedFor,
        since: Instant,
    ) -> Result<Vec<Vec<f32>>, EmbedError> {
        self.embed_by(texts, Call { of, since })
    }
}
