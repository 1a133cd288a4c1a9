//! Embedders: a text as a vector, so that texts that mean alike lie close to each other.

pub mod hashed;
pub mod onnx;
mod places;

use std::time::{Duration, Instant};

pub use places::{EmbedFor, Places};

/// Makes vectors of texts. It may take long for each, so it is called where blocking is borne.
pub trait Embedder: Send + Sync + 'static {
    /// Which embedder this is, with everything that its vectors depend on: an index that was made by
    /// one of another name is made anew.
    fn name(&self) -> &str;

    /// How many numbers a vector has.
    fn dimensions(&self) -> usize;

    /// Whether a text takes it microseconds, so that a few can be done in passing. If not, they are done
    /// on a thread that may block, and behind whoever waits where that is possible.
    fn is_quick(&self) -> bool {
        false
    }

    /// Places for those that call it, if it is not quick and many may at once. One is taken before each
    /// call.
    fn places(&self) -> Option<&Places> {
        None
    }

    /// The vectors of texts, in their order, each of length one; of a text in which there is nothing
    /// to go by, all zeros.
    ///
    /// # Errors
    /// When the model fails.
    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError>;

    /// As [`Embedder::embed`], of which it is told what for and since when somebody waits: an
    /// embedder that serves one after the other lets questions go first, and lets none wait too
    /// long.
    ///
    /// # Errors
    /// As those of [`Embedder::embed`].
    fn embed_for(
        &self,
        texts: &[&str],
        _of: EmbedFor,
        _since: Instant,
    ) -> Result<Vec<Vec<f32>>, EmbedError> {
        self.embed(texts)
    }
}

/// Why no vectors were made.
#[derive(Debug, thiserror::Error)]
pub enum EmbedError {
    /// The model failed.
    #[error("the embedding model {model} failed: {cause}")]
    Model {
        /// Which.
        model: String,
        /// What it said.
        cause: String,
    },
    /// Too many asked it at once.
    #[error(
        "the embedding model {model} was busy with others for {waited:?}; allow it more `sessions`, \
         or ask it less"
    )]
    Busy {
        /// Which.
        model: String,
        /// How long a place was waited for.
        waited: Duration,
    },
}
