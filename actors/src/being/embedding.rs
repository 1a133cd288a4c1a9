//! By which embedder the beings of a machine find what was said: one for all of them, chosen where they
//! are housed.
//!
//! | settings | the embedder |
//! |---|---|
//! | none, or `kind = "hashed"` | the default, which needs no model |
//! | `kind = "onnx"`, `folder = "/..."` | a model of sentences, run by tract |
//! | the same, `runtime = "onnxruntime"`, `library = "/..."` | the same, run by ONNX Runtime |
//!
//! A being takes it when it wakes, and makes its index anew behind everybody's back if it was made by
//! another.

use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use genii_runtime::Node;
use genii_storage::embed::Embedder;
use genii_storage::embed::hashed::Hashed;
use genii_storage::embed::onnx::{OnnxEmbedder, OnnxOptions, OnnxRuntime};
use genii_storage::ranking::Weights;
use genii_supervision::StartError;
use serde::{Deserialize, Serialize};

use super::shared::Shared;

/// How many sessions a model may have, and how many threads each.
const SESSIONS_MAX: usize = 64;

/// Which embedder it is to be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub enum EmbedderSettings {
    /// The default, which needs no model.
    #[default]
    Hashed,
    /// A model in a folder.
    Onnx {
        /// The folder; an absolute path.
        folder: PathBuf,
        /// How it is run.
        options: OnnxOptions,
    },
}

/// As it is written in a topology.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    kind: Kind,
    folder: Option<PathBuf>,
    runtime: Option<Runtime>,
    library: Option<PathBuf>,
    sessions: Option<NonZeroUsize>,
    session_threads: Option<NonZeroUsize>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Hashed,
    Onnx,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Runtime {
    Tract,
    OnnxRuntime,
}

/// What is wrong with the settings of an embedder.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum WrongEmbedder {
    #[error("an embedder of the kind hashed takes no {0}; take that away, or set kind = \"onnx\"")]
    NotOfHashed(&'static str),
    #[error(
        "an embedder of the kind onnx takes `folder`, the absolute path of a folder with model.onnx \
         and tokenizer.json"
    )]
    NoFolder,
    #[error("`{what}` is to be an absolute path, and {} is none", .path.display())]
    NotAbsolute { what: &'static str, path: PathBuf },
    #[error("runtime = \"onnxruntime\" takes `library`, the absolute path of libonnxruntime.so")]
    NoLibrary,
    #[error("`library` is for runtime = \"onnxruntime\"; tract needs none")]
    LibraryOfTract,
    #[error("`{what}` is to be 1 to {SESSIONS_MAX}, and not {number}")]
    TooMany { what: &'static str, number: NonZeroUsize },
}

impl TryFrom<Written> for EmbedderSettings {
    type Error = WrongEmbedder;

    fn try_from(written: Written) -> Result<Self, WrongEmbedder> {
        match written.kind {
            Kind::Hashed => written.hashed(),
            Kind::Onnx => written.onnx(),
        }
    }
}

impl From<EmbedderSettings> for Written {
    fn from(settings: EmbedderSettings) -> Self {
        let EmbedderSettings::Onnx { folder, options } = settings else {
            let (folder, runtime, library) = (None, None, None);
            let (sessions, session_threads) = (None, None);
            let kind = Kind::Hashed;
            return Self { kind, folder, runtime, library, sessions, session_threads };
        };
        let (runtime, library) = match options.runtime {
            OnnxRuntime::Tract => (Runtime::Tract, None),
            OnnxRuntime::Library(library) => (Runtime::OnnxRuntime, Some(library)),
        };
        Self {
            kind: Kind::Onnx,
            folder: Some(folder),
            runtime: Some(runtime),
            library,
            sessions: Some(options.sessions),
            session_threads: Some(options.session_threads),
        }
    }
}

impl Written {
    fn hashed(self) -> Result<EmbedderSettings, WrongEmbedder> {
        let others = [
            ("folder", self.folder.is_some()),
            ("runtime", self.runtime.is_some()),
            ("library", self.library.is_some()),
            ("sessions", self.sessions.is_some()),
            ("session_threads", self.session_threads.is_some()),
        ];
        match others.into_iter().find(|(_, is_set)| *is_set) {
            Some((other, _)) => Err(WrongEmbedder::NotOfHashed(other)),
            None => Ok(EmbedderSettings::Hashed),
        }
    }

    fn onnx(self) -> Result<EmbedderSettings, WrongEmbedder> {
        let folder = absolute("folder", self.folder.ok_or(WrongEmbedder::NoFolder)?)?;
        let runtime = match (self.runtime.unwrap_or(Runtime::Tract), self.library) {
            (Runtime::Tract, None) => OnnxRuntime::Tract,
            (Runtime::Tract, Some(_)) => return Err(WrongEmbedder::LibraryOfTract),
            (Runtime::OnnxRuntime, None) => return Err(WrongEmbedder::NoLibrary),
            (Runtime::OnnxRuntime, Some(library)) => {
                OnnxRuntime::Library(absolute("library", library)?)
            }
        };
        let usual = OnnxOptions::default();
        let options = OnnxOptions {
            runtime,
            sessions: some("sessions", self.sessions, usual.sessions)?,
            session_threads: some("session_threads", self.session_threads, usual.session_threads)?,
            ..usual
        };
        Ok(EmbedderSettings::Onnx { folder, options })
    }
}

fn absolute(what: &'static str, path: PathBuf) -> Result<PathBuf, WrongEmbedder> {
    if path.is_absolute() { Ok(path) } else { Err(WrongEmbedder::NotAbsolute { what, path }) }
}

fn some(
    what: &'static str,
    number: Option<NonZeroUsize>,
    usual: NonZeroUsize,
) -> Result<NonZeroUsize, WrongEmbedder> {
    let number = number.unwrap_or(usual);
    if number.get() > SESSIONS_MAX {
        return Err(WrongEmbedder::TooMany { what, number });
    }
    Ok(number)
}

/// An embedder, ready, with the weights that fit it.
#[derive(Clone)]
pub(super) struct Chosen {
    settings: EmbedderSettings,
    pub(super) embedder: Arc<dyn Embedder>,
    pub(super) weights: Weights,
}

impl Default for Chosen {
    fn default() -> Self {
        let settings = EmbedderSettings::Hashed;
        Self { settings, embedder: Arc::new(Hashed::new()), weights: Weights::default() }
    }
}

impl fmt::Debug for Chosen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Chosen").field(&self.settings).finish()
    }
}

impl Chosen {
    /// Makes it ready. Blocking: a model is loaded and tried.
    fn new(settings: EmbedderSettings) -> Result<Self, StartError> {
        let EmbedderSettings::Onnx { folder, options } = &settings else {
            return Ok(Self::default());
        };
        let embedder = OnnxEmbedder::open(folder, options)
            .map_err(|error| StartError::refused(format!("`embedder`: {error}")))?;
        Ok(Self { settings, embedder: Arc::new(embedder), weights: Weights::of_meaning() })
    }
}

/// Makes an embedder that of all beings of a node which wake from now on. The model is loaded aside, and
/// once, however often the same is chosen. To be called before any of them wakes.
///
/// # Errors
/// When the model cannot be opened; the embedder stays what it was.
pub async fn choose(node: &Node, settings: &EmbedderSettings) -> Result<(), StartError> {
    let shared = Shared::of(node);
    if shared.embedder().settings == *settings {
        return Ok(());
    }
    let settings = settings.clone();
    let chosen = tokio::task::spawn_blocking(move || Chosen::new(settings)).await;
    let chosen = chosen.map_err(|error| StartError::failed(error.to_string()))??;
    tracing::info!(embedder = chosen.embedder.name(), "finds what beings remember");
    shared.choose(chosen);
    Ok(())
}

/// What the embedder of a node was chosen by.
pub(super) fn chosen(node: &Node) -> EmbedderSettings {
    Shared::of(node).embedder().settings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<EmbedderSettings, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_written_is_taken() {
        assert_eq!(read("kind = \"hashed\""), Ok(EmbedderSettings::Hashed));
        let text = "kind = \"onnx\"\nfolder = \"/m\"\nsessions = 2";
        let Ok(EmbedderSettings::Onnx { folder, options }) = read(text) else { panic!("{text}") };
        assert_eq!((folder, options.sessions.get()), (PathBuf::from("/m"), 2));
        assert_eq!(options.runtime, OnnxRuntime::Tract);
        let text =
            "kind = \"onnx\"\nfolder = \"/m\"\nruntime = \"onnxruntime\"\nlibrary = \"/l.so\"";
        let Ok(EmbedderSettings::Onnx { options, .. }) = read(text) else { panic!("{text}") };
        assert_eq!(options.runtime, OnnxRuntime::Library("/l.so".into()));
        // As it is told to a process.
        for text in ["kind = \"hashed\"", text] {
            let settings = read(text).unwrap();
            let told = serde_json::to_string(&settings).unwrap();
            assert_eq!(serde_json::from_str::<EmbedderSettings>(&told).unwrap(), settings);
        }
    }

    #[test]
    fn what_makes_no_sense_is_told_with_what_to_do() {
        let check = |text: &str, told: &str| {
            let error = read(text).unwrap_err();
            assert!(error.contains(told), "{text}: {error}");
        };
        let onnx = |rest: &str| format!("kind = \"onnx\"\n{rest}");
        check("kind = \"hased\"", "hashed");
        check("kind = \"hashed\"\nfolder = \"/m\"", "takes no folder");
        check(&onnx(""), "takes `folder`, the absolute path");
        check(&onnx("folder = \"m\""), "`folder` is to be an absolute path, and m is none");
        check(&onnx("folder = \"/m\"\nruntime = \"onnxruntime\""), "takes `library`");
        check(&onnx("folder = \"/m\"\nlibrary = \"/l.so\""), "tract needs none");
        check(&onnx("folder = \"/m\"\nsessions = 65"), "`sessions` is to be 1 to 64");
        check(&onnx("folder = \"/m\"\nsessions = 0"), "nonzero");
        check(&onnx("folder = \"/m\"\nmodel = \"x\""), "unknown field");
    }
}
