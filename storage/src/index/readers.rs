//! Who is reading, so that no file is removed from under a search.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedRwLockReadGuard, RwLock};

/// Searches belong to the era in which they began.
#[derive(Debug, Default)]
pub(super) struct Readers {
    era: Mutex<Arc<RwLock<()>>>,
}

/// Held by a search as long as it reads.
pub(super) type Reading = OwnedRwLockReadGuard<()>;

impl Readers {
    pub(super) async fn enter(&self) -> Reading {
        let era = Arc::clone(&*self.era.lock());
        era.read_owned().await
    }

    /// Begins an era and waits until all searches of the one before have ended. Searches that begin
    /// meanwhile do not wait.
    pub(super) async fn turn(&self) {
        let before = std::mem::take(&mut *self.era.lock());
        drop(before.write_owned().await);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn an_era_ends_with_its_last_reader_and_keeps_no_later_one_waiting() {
        let readers = Readers::default();
        let (one, two) = (readers.enter().await, readers.enter().await);
        let turn = readers.turn();
        tokio::pin!(turn);
        assert!(turn.as_mut().now_or_never().is_none());
        let later = readers.enter().now_or_never().expect("a later reader does not wait");
        drop(one);
        assert!(turn.as_mut().now_or_never().is_none(), "another still reads");
        drop(two);
        turn.await;
        drop(later);
    }
}
