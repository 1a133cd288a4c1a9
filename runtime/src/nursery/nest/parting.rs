//! How one is let go of whose address is elsewhere by then.
//!
//! Its life takes nothing more from a moment on at which it has nothing to do, and in the same moment its address
//! is not here any more: who comes then looks for the address anew. So nobody is returned, and nobody is
//! overtaken by what he sends next, however often others come.

use std::sync::Arc;
use std::time::Duration;

use genii_protocols::Address;
use tokio::time::Instant;

use super::{Nest, Place};
use crate::nursery::NotKept;

/// How often to look whether one has nothing to do.
const IDLE_LOOK: Duration = Duration::from_millis(5);

impl Nest {
    pub(crate) async fn dismiss_once_idle(
        self: Arc<Self>,
        address: &Address,
        patience: Duration,
    ) -> Result<(), NotKept> {
        let until = Instant::now() + patience;
        let place = loop {
            match self.dismiss_if_idle(address) {
                Err(NotKept::Busy) if Instant::now() < until => {
                    tokio::time::sleep(IDLE_LOOK).await;
                }
                settled => break settled?,
            }
        };
        let gone = address.clone();
        // A task of the nursery, so that it is done also if nobody waits for it any more.
        let ending = tokio::spawn(async move {
            self.end_life(&gone).await;
            self.hidden.write().remove(&gone);
            // It may have come back meanwhile.
            self.tell_others(&gone);
            drop(place);
        });
        let _either_way = ending.await;
        Ok(())
    }

    /// One that has nothing to do exists no more from now on, but for its life, which ends. Returns the place of
    /// that, if it has one.
    fn dismiss_if_idle(&self, address: &Address) -> Result<Option<Place>, NotKept> {
        let node = self.node.upgrade().ok_or(NotKept::Taken)?;
        let place = {
            let mut stirring = self.stirring.lock();
            let it = stirring.get(address);
            if !self.has(address) || it.is_some_and(|it| it.is_kept) {
                return Err(NotKept::Taken);
            }
            let slot = node.directory().find(address);
            let life = slot.as_ref().and_then(|slot| slot.open_line());
            let life = life.filter(|life| !life.is_doorstep);
            // What another node has sent may still wait for room, and would be returned.
            let goes_on = || life.is_none_or(|life| life.mailbox.is_awaited() || !life.give_way());
            // One that is held back has nothing to do, and nothing waits for it.
            if it.is_some_and(|it| !it.is_awake() || (it.held.is_none() && goes_on())) {
                return Err(NotKept::Busy);
            }
            self.hidden.write().insert(address.clone());
            self.residents.write().remove(address);
            if let Some(slot) = slot {
                node.directory().put_away(&slot);
            }
            stirring.remove(address).and_then(|it| it.place)
        };
        self.tell_others(address);
        Ok(place)
    }
}
