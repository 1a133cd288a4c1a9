//! Keeps the directory in step with the tree.

use std::sync::{Arc, Weak};

use genii_protocols::{Address, Cause, CauseKind};
use genii_supervision::{Change, Event, FailureKind, Observer, Status};

use super::{Inner, Node};
use crate::cause;
use crate::directory::{Slot, next_is_to_begin};
use crate::nursery::Nest;
use crate::urgent::Down;

/// Sees each change of the tree of a node.
pub(super) struct Watch(pub(super) Weak<Inner>);

impl Observer for Watch {
    fn changed(&self, change: &Change) {
        let Some(node) = self.0.upgrade() else { return };
        let Ok(address) = Address::from_shared(change.key.shared()) else { return };
        let Some(slot) = node.directory.find(&address) else { return };
        let nursery = node.directory.nursery(address.group());
        let life = change.incarnation;
        let is_expected = || {
            let is_dozing = |nursery: &Arc<Nest>| nursery.is_dozing(&address);
            slot.doorstep().is_some() || nursery.as_ref().is_some_and(is_dozing)
        };
        match cause::of_status(&change.now) {
            None => match &nursery {
                Some(nursery) => nursery.life_opens(&slot, life),
                None => slot.open(life),
            },
            // What waits on its doorstep is for the life that comes, or comes again. How the life before ends
            // matters to those alone who have asked it, as long as it does not fail.
            Some(_) if !has_failed(&change.now) && is_expected() => {
                if let Some(nursery) = nursery.as_ref().filter(|_| has_ended(change)) {
                    nursery.life_ends(&slot, life);
                }
            }
            // Why it ended says more than that it was then forgotten.
            Some(_) if change.is_forgotten && slot.has_ended() => {}
            Some(cause) => {
                let is_final = change.now != Status::Stopping;
                if has_ended(change) && cause.kind == CauseKind::Starting {
                    slot.note_end(life, next_is_to_begin());
                }
                match &nursery {
                    Some(nursery) => nursery.life_shuts(&slot, life, &cause, is_final),
                    None => slot.shut(life, cause.clone(), is_final),
                }
                if has_ended(change) {
                    tell_watchers(&slot, change, cause);
                }
            }
        }
        if let Some(cluster) = node.cluster.get() {
            cluster.changed(change);
        }
        let is_asleep = nursery.as_ref().is_some_and(|nursery| nursery.changed(&address, change));
        match &nursery {
            _ if !change.is_forgotten && !is_asleep => {}
            // Somebody may have come for it meanwhile.
            Some(nursery) if !nursery.put_away(&slot) => {}
            Some(_) => Node(node).forget_beside(&address),
            None => Node(node).forget(&address),
        }
    }

    fn recorded(&self, _: &Arc<Event>) {}
}

fn has_ended(change: &Change) -> bool {
    change.before.is_alive() && !change.now.is_alive()
}

fn has_failed(status: &Status) -> bool {
    matches!(status, Status::Down(_) | Status::Quarantined(_) | Status::Blocked)
}

fn tell_watchers(slot: &Slot, change: &Change, cause: Cause) {
    let is_abnormal = match &change.now {
        Status::Down(failure) | Status::Quarantined(failure) => failure.kind != FailureKind::Ended,
        _ => false,
    };
    let (address, incarnation) = (slot.address.clone(), change.incarnation);
    slot.watchers.tell(&Arc::new(Down { address, incarnation, cause, is_abnormal }));
}
