//! What is known of memories without reading anything.

use std::collections::{BTreeMap, BTreeSet};

use tokio::sync::OwnedSemaphorePermit;

use crate::ranking::tail::Tail;
use crate::vector::Vector;

use super::tables::{Brief, Gist, Renewal};

/// So many times as long as without leave may the tail be with it.
pub(super) const WITH_LEAVE: usize = 4;

/// And no more terms than this may be in it together then, some 10 MiB: 32 for each of 8,192 memories, which mostly
/// have a dozen.
pub(super) const TERMS_WITH_LEAVE: u64 = 1 << 18;

/// The newest memories, and how far the others have come.
///
/// ```text
/// id   1 ............ settled | ............ tail_from | ............
///      in the index           | in the store only      | in the tail
/// ```
/// Mostly there is nothing in between: only when many come at once, after a change of the analysis, or
/// while no memory can be settled.
#[derive(Debug, Default)]
pub(super) struct Live {
    pub(super) tail: Tail,
    /// Of those in the tail.
    pub(super) briefs: BTreeMap<u64, Brief>,
    /// All memories through this id are settled.
    pub(super) settled: u64,
    /// From this id on, all that are not settled are in the tail.
    pub(super) tail_from: u64,
    /// Settled memories get vectors of another embedder. The index is asked for words only meanwhile.
    pub(super) renewal: Option<Renewal>,
    /// Those in the tail that have no vector yet.
    pub(super) unembedded: BTreeSet<u64>,
    /// Vectors of those in the tail that the store does not have yet.
    pub(super) unsaved: BTreeMap<u64, Vector>,
    /// Removed memories of which the index may have bytes.
    pub(super) forgotten: BTreeSet<u64>,
    /// Leave for the tail to be very long.
    pub(super) leave: Option<OwnedSemaphorePermit>,
}

impl Live {
    /// Takes a memory into the tail, unless it is found elsewhere already.
    pub(super) fn take_in(&mut self, id: u64, gist: Gist) {
        if id < self.tail_from || id <= self.settled || self.forgotten.contains(&id) {
            return;
        }
        let Gist { brief, analysis, vector } = gist;
        if vector.is_none() {
            self.unembedded.insert(id);
        }
        self.tail.insert(id, brief.at, analysis, vector.unwrap_or_default());
        self.briefs.insert(id, brief);
    }

    /// Gives memories in the tail their vectors.
    pub(super) fn embed(&mut self, vectors: BTreeMap<u64, Vector>) {
        for (id, vector) in vectors {
            if self.unembedded.remove(&id) {
                self.tail.set_vector(id, vector.clone());
                self.unsaved.insert(id, vector);
            }
        }
    }

    /// Leaves a memory to others to be found.
    pub(super) fn let_go(&mut self, id: u64) {
        self.tail.remove(id);
        self.briefs.remove(&id);
        self.unembedded.remove(&id);
        self.unsaved.remove(&id);
    }

    /// All through an id are settled.
    pub(super) fn settle(&mut self, through: u64) {
        self.settled = self.settled.max(through);
        self.tail_from = self.tail_from.max(self.settled + 1);
        while let Some(id) = self.tail.first().filter(|id| *id <= self.settled) {
            self.let_go(id);
        }
    }

    /// Leaves the oldest to the store until no more than so many are in the tail, or [`WITH_LEAVE`] times as
    /// many with leave, where they are not long. Leave is asked for when it is needed, and let go of when it no
    /// longer is.
    pub(super) fn shorten(
        &mut self,
        most: usize,
        leave: impl FnOnce() -> Option<OwnedSemaphorePermit>,
    ) {
        if self.tail.len() <= most {
            self.leave = None;
            return;
        }
        if self.tail.terms() > TERMS_WITH_LEAVE {
            self.leave = None;
        } else {
            self.leave = self.leave.take().or_else(leave);
        }
        let most = most.saturating_mul(if self.leave.is_some() { WITH_LEAVE } else { 1 });
        while self.tail.len() > most
            && let Some(id) = self.tail.first()
        {
            self.let_go(id);
            self.tail_from = id + 1;
        }
    }

    /// There may be memories that are neither settled nor in the tail.
    pub(super) fn has_gap(&self) -> bool {
        self.settled + 1 < self.tail_from
    }

    /// From this id on the tail has everything that is not settled.
    pub(super) fn covers_from(&self) -> u64 {
        self.tail_from.max(self.settled + 1)
    }
}
