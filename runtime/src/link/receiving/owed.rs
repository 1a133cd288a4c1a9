//! What the other end may send again, and has not been told of.
//!
//! While much comes, room goes back in steps. What is left over goes back when things are quieter, so
//! that it is known of nearly all that was sent whether it was handled, should the link be lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use genii_protocols::frame::PUBLISHED_MAX;
use parking_lot::Mutex;

use super::inlet::Inlet;
use crate::link::sending::Link;

/// When so much of what was published has been handed out, it is given back.
const DISTRIBUTED_STEP: u32 = PUBLISHED_MAX / 4;

/// What is owed on one link.
#[derive(Default)]
pub(crate) struct Owed {
    /// The receivers that have handled something for which there was no step yet; each once.
    inlets: Mutex<Vec<Arc<Inlet>>>,
    /// How much of what was published has been handed out.
    distributed: AtomicU32,
}

impl Link {
    /// A receiver owes something from now on.
    pub(super) fn owe(&self, inlet: &Arc<Inlet>) {
        let mut inlets = self.owed.inlets.lock();
        // They hold the link; once it has ended nobody would let go of them.
        if !self.is_over() {
            inlets.push(inlet.clone());
        }
    }

    /// So much of what the other end has published was handed out.
    pub(super) fn distributed_here(&self, cost: u32) {
        let distributed = self.owed.distributed.fetch_add(cost, Ordering::Relaxed) + cost;
        if distributed >= DISTRIBUTED_STEP {
            self.give_back_distributed();
        }
    }

    /// Gives back all that is owed.
    pub(crate) fn give_back_owed(&self) {
        let inlets = std::mem::take(&mut *self.owed.inlets.lock());
        inlets.iter().for_each(|inlet| inlet.give_back_owed());
        self.give_back_distributed();
    }

    /// Nothing is given back on a link that has ended.
    pub(crate) fn forget_owed(&self) {
        drop(std::mem::take(&mut *self.owed.inlets.lock()));
    }

    fn give_back_distributed(&self) {
        let distributed = self.owed.distributed.swap(0, Ordering::Relaxed);
        if distributed > 0 {
            self.give_back_published(distributed);
        }
    }
}
