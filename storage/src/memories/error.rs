//! What can go wrong with memories.

use crate::embed::EmbedError;
use crate::index::IndexError;
use crate::store::StoreError;

/// Why memories could not be kept, found or forgotten.
#[derive(Debug, thiserror::Error)]
pub enum MemoriesError {
    /// The store failed, which holds them.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The index failed. Whatever it lacks is found all the same, more slowly, and it catches up when
    /// it can.
    #[error("the memories are safe, but their index is not up to date: {0}")]
    Index(#[from] IndexError),
    /// No vectors were made. What lacks one is found by its words.
    #[error("the memories are safe, but are found by their words only for now: {0}")]
    Embed(#[from] EmbedError),
    /// There is no such memory to be replaced.
    #[error("memory {id} can't be replaced, because there is none; remember the new one by itself")]
    Missing {
        /// Which.
        id: u64,
    },
    /// It has been replaced before.
    #[error("memory {id} was replaced by memory {by} already; replace that one")]
    Replaced {
        /// Which.
        id: u64,
        /// By which.
        by: u64,
    },
    /// Work was stopped, as happens when a runtime is shut down.
    #[error("work on the memories was stopped before it was done; what was kept is safe")]
    Stopped,
}
