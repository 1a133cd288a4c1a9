//! What clients share, as room in memory, and how much of it one of them may have: a quarter. So one
//! that takes all that it gets is in nobody's way but its own, and the owner of the house has a share
//! apart.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::caller::CallerId;

/// How many shares there are for all clients but the owner.
pub(super) const SHARES: usize = 4;

/// How many of them the owner has, apart from those.
pub(super) const OWNER_SHARES: usize = 2;

/// Something that clients share.
pub(super) struct Shares {
    /// How much one may have.
    each: usize,
    owners: Arc<Semaphore>,
    all: Arc<Semaphore>,
    /// Of those who have some, or wait for it, what they may still have.
    those: Mutex<HashMap<CallerId, Weak<Semaphore>>>,
}

/// What a client has of it, until it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    _of_all: OwnedSemaphorePermit,
    _of_own: Option<OwnedSemaphorePermit>,
}

impl Shares {
    /// So much for each client.
    pub(super) fn new(each: usize) -> Self {
        let semaphore = |shares: usize| Arc::new(Semaphore::new(shares * each));
        let (owners, all) = (semaphore(OWNER_SHARES), semaphore(SHARES));
        Self { each, owners, all, those: Mutex::default() }
    }

    /// Takes so much, as soon as it is there; nothing if it is more than there will ever be.
    pub(super) fn take(
        &self,
        caller: &CallerId,
        count: u32,
    ) -> impl Future<Output = Option<Share>> + Send + 'static {
        let (own, all) = self.of(caller);
        let is_too_much = count as usize > self.each;
        async move {
            if is_too_much {
                return None;
            }
            // First of its own, so that what it may not have yet is not kept from others.
            let _of_own = match own {
                Some(own) => Some(own.acquire_many_owned(count).await.ok()?),
                None => None,
            };
            Some(Share { _of_all: all.acquire_many_owned(count).await.ok()?, _of_own })
        }
    }

    /// Takes so much, if it is there.
    pub(super) fn try_take(&self, caller: &CallerId, count: u32) -> Option<Share> {
        let (own, all) = self.of(caller);
        let _of_own = match own {
            Some(own) => Some(own.try_acquire_many_owned(count).ok()?),
            None => None,
        };
        Some(Share { _of_all: all.try_acquire_many_owned(count).ok()?, _of_own })
    }

    /// From what a caller takes: from its own share, where it has one, and from what there is.
    fn of(&self, caller: &CallerId) -> (Option<Arc<Semaphore>>, Arc<Semaphore>) {
        if *caller == CallerId::Owner {
            return (None, self.owners.clone());
        }
        let mut those = self.those.lock();
        if let Some(own) = those.get(caller).and_then(Weak::upgrade) {
            return (Some(own), self.all.clone());
        }
        those.retain(|_, own| own.strong_count() > 0);
        let own = Arc::new(Semaphore::new(self.each));
        those.insert(caller.clone(), Arc::downgrade(&own));
        (Some(own), self.all.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(id: &str) -> CallerId {
        CallerId::Token(id.to_owned())
    }

    #[test]
    fn each_has_a_quarter_at_most_and_the_owner_has_his_own() {
        let shares = Shares::new(10);
        let held: Vec<Share> = (0..4)
            .map(|number| shares.try_take(&holder(&number.to_string()), 10).unwrap())
            .collect();
        assert!(shares.try_take(&holder("0"), 1).is_none(), "it has its own");
        assert!(shares.try_take(&holder("4"), 1).is_none(), "there is no more");
        assert!(shares.try_take(&CallerId::Owner, 20).is_some());
        drop(held);
        assert!(shares.try_take(&holder("4"), 10).is_some());
        assert_eq!(shares.those.lock().len(), 1, "those that have nothing are forgotten");
    }

    #[tokio::test]
    async fn who_waits_for_its_own_is_in_nobody_s_way() {
        let shares = Shares::new(10);
        let held = shares.take(&holder("0"), 6).await;
        let waiting = tokio::spawn(shares.take(&holder("0"), 6));
        tokio::task::yield_now().await;
        assert!(shares.take(&holder("1"), 10).await.is_some());
        assert!(!waiting.is_finished());
        drop(held);
        assert!(waiting.await.unwrap().is_some());
        assert!(shares.take(&holder("0"), 11).await.is_none());
    }
}
