//! Who does something with the folders of a being, one after the other: who is late is waited for, and not
//! overtaken.

use std::collections::HashMap;
use std::sync::Arc;

use genii_protocols::Name;
use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

/// Whose turn it is with each being. They have it in the order in which they came.
#[derive(Default)]
pub(super) struct Turns(Mutex<HashMap<Name, Arc<tokio::sync::Mutex<()>>>>);

impl Turns {
    /// Waits for all who came before. Nobody else has a turn with the being until what this returns is
    /// dropped.
    pub(super) async fn take(&self, id: &Name) -> OwnedMutexGuard<()> {
        self.of(id).lock_owned().await
    }

    fn of(&self, id: &Name) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.0.lock();
        // Only those stay that somebody has or waits for: no more than are done at a time.
        turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        turns.entry(id.clone()).or_default().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_waits_for_another_with_the_same_being_and_nothing_stays_of_that() {
        let turns = Arc::new(Turns::default());
        let (alice, bob) = (Name::new("alice").unwrap(), Name::new("bob").unwrap());
        let with_alice = turns.take(&alice).await;
        let with_bob = turns.take(&bob).await;
        let (waited_for, id) = (turns.clone(), alice.clone());
        let next = tokio::spawn(async move { drop(waited_for.take(&id).await) });
        tokio::task::yield_now().await;
        assert!(!next.is_finished());
        drop((with_alice, with_bob));
        next.await.unwrap();
        drop(turns.take(&bob).await);
        assert_eq!(turns.0.lock().len(), 1);
    }
}
