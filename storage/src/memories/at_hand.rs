//! Gists at hand: in memory, so that a recall, which ranks some hundred memories from all over, need not read them
//! one by one from the store. Where there are few, those with the nearest vectors are found here, too.
//!
//! The store is the truth. Whoever has changed something there says so, and it is let go of here, and read from
//! there again. The first recall has them brought here, in the order of their ids and behind everybody's back; as
//! many as find room.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use foldhash::HashMap;
use parking_lot::RwLock;
use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;

use crate::index::IndexShare;
use crate::ranking::highest;
use crate::vector::Aim;

use super::tables::{self, Brief, Gist};
use super::worker::without_words;
use super::{Inner, Memories, MemoriesError, blocking};

/// So many ids of settled memories are to lack before these are brought here.
const LACKING_MIN: u64 = 256;

/// How many are brought at a time.
const CHUNK: usize = 512;

/// How often some are read, when something is changed meanwhile.
const READS_MAX: usize = 3;

/// How long none are brought when some could not be: since there was no room, or they could not be read.
const GIVEN_UP_WAIT: Duration = Duration::from_secs(10);

/// What an entry takes beside its gist: its place here, what is counted of who uses it, and what the allocator
/// takes for its pieces.
const ENTRY_BYTES: usize = 128;

/// Among up to how many the nearest are looked for here: an index of vectors is made from half as many on.
const LOOKED_AT_MAX: usize = 8_192;

/// Up to how many that were let go of are taken to be among the nearest.
const LET_GO_MAX: usize = 64;

/// By how many it is told which share of all pass.
const SAMPLE: usize = 256;

/// Up to how many are freed in passing.
const FREED_IN_PASSING_MAX: usize = 1_024;

/// The gists that are at hand. A clone is the same.
#[derive(Clone, Default)]
pub(super) struct AtHand(Arc<Shared>);

#[derive(Default)]
struct Shared {
    held: RwLock<Held>,
    is_filling: AtomicBool,
}

#[derive(Default)]
struct Held {
    gists: HashMap<u64, Arc<Gist>>,
    /// Those of all memories through this id were brought here. What has changed or was forgotten since was let go of.
    through: u64,
    /// Those of them that have changed, and may be in the store still: at most [`LET_GO_MAX`] and one, which says that
    /// there may be more.
    let_go: BTreeSet<u64>,
    /// Goes up whenever gists change in the store.
    changes: u64,
    /// Of which opening of the store they are ([`crate::store::Store::reopened`]).
    opening: u64,
    /// What the gists take.
    bytes: usize,
    /// To take as much.
    leave: Option<OwnedSemaphorePermit>,
    /// When some could not be brought.
    given_up: Option<Instant>,
}

/// How it was when some were read, to be brought here.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    through: u64,
    changes: u64,
    opening: u64,
}

/// What came of bringing some.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Brought {
    /// They are here.
    All,
    /// Something was changed since they were read.
    Outdated,
    /// There is no room for them.
    NoRoom,
}

impl AtHand {
    /// Those of some memories, in the order of these, that are at hand in this opening of the store.
    pub(super) fn of(&self, ids: &[u64], opening: u64) -> Vec<(u64, Arc<Gist>)> {
        let held = self.0.held.read();
        if held.gists.is_empty() || held.opening != opening {
            return Vec::new();
        }
        let own = |id: &u64| held.gists.get(id).map(|gist| (*id, Arc::clone(gist)));
        ids.iter().filter_map(own).collect()
    }

    /// The memories through an id whose vectors are nearest to a question's, of those that pass: so many, and those
    /// that were let go of, which may be among them. All are looked at. None if not all are at hand in this opening
    /// of the store, or too many.
    pub(super) fn nearest(
        &self,
        aim: &Aim,
        (through, opening): (u64, u64),
        passes: impl Fn(&Brief) -> bool,
        limit: usize,
    ) -> Option<BTreeSet<u64>> {
        let held = self.0.held.read();
        let are_all_known = held.through >= through && held.let_go.len() <= LET_GO_MAX;
        if held.opening != opening || !are_all_known || held.gists.len() > LOOKED_AT_MAX {
            return None;
        }
        let passing = held.gists.iter().filter(|(id, gist)| **id <= through && passes(&gist.brief));
        let cosine = |gist: &Gist| gist.vector.as_ref().map_or(0.0, |own| own.cosine(aim));
        let found = passing.map(|(id, gist)| (*id, cosine(gist))).collect();
        let let_go: Vec<u64> = held.let_go.range(..=through).copied().collect();
        drop(held);
        Some(highest(found, limit).chain(let_go).collect())
    }

    /// About which share of all passes, above zero, by a sample of those at hand. None if about all through an id are
    /// not in this opening of the store, or they are few, or none of the sample passes.
    pub(super) fn share(
        &self,
        (through, opening): (u64, u64),
        passes: impl Fn(&Brief) -> bool,
    ) -> Option<f32> {
        let held = self.0.held.read();
        let are_about_all = held.through + LACKING_MIN >= through;
        if held.opening != opening || !are_about_all || held.gists.len() < SAMPLE {
            return None;
        }
        // Which come first in a table is as good as thrown by dice.
        let passing = held.gists.values().take(SAMPLE).filter(|gist| passes(&gist.brief)).count();
        (passing > 0).then(|| passing as f32 / SAMPLE as f32)
    }

    /// Gists of memories have changed in the store.
    pub(super) fn changed(&self, ids: &[u64]) {
        self.let_go(ids, true);
    }

    /// Gists of memories are gone from the store.
    pub(super) fn forgotten(&self, ids: &[u64]) {
        self.let_go(ids, false);
    }

    /// A fact was replaced by another in the store.
    pub(super) fn replaced(&self, old: u64, by: u64) {
        let mut held = self.0.held.write();
        held.changes += 1;
        if let Some(gist) = held.gists.get_mut(&old) {
            // A recall that has it keeps it as it was.
            Arc::make_mut(gist).brief.replaced_by = Some(by);
        }
    }

    fn let_go(&self, ids: &[u64], are_in_the_store: bool) {
        let mut held = self.0.held.write();
        held.changes += 1;
        let mut gone = Vec::new();
        for id in ids {
            let Some(gist) = held.gists.remove(id) else { continue };
            gone.push(gist);
            if are_in_the_store && held.let_go.len() <= LET_GO_MAX {
                held.let_go.insert(*id);
            }
        }
        held.bytes -= gone.iter().map(|gist| bytes(gist)).sum::<usize>();
        held.give_back();
        drop(held);
        free(gone);
    }

    /// Lets go of all. What is brought here meanwhile does not come.
    pub(super) fn clear(&self) {
        let opening = self.0.held.read().opening;
        self.turn_to(opening);
    }

    /// Lets go of all, and begins anew with this opening of the store.
    fn turn_to(&self, opening: u64) {
        let mut held = self.0.held.write();
        let changes = held.changes + 1;
        let all = std::mem::replace(&mut *held, Held { changes, opening, ..Held::default() });
        drop(held);
        free(all.gists.into_values().collect());
    }

    /// Those of all memories through this id were brought here.
    pub(super) fn through(&self) -> u64 {
        self.0.held.read().through
    }

    /// How it is before some are read. What is of an earlier opening of the store is let go of: the write that
    /// failed then may have been kept, and nobody has said what it changed.
    pub(super) fn moment(&self, opening: u64) -> Moment {
        if self.0.held.read().opening != opening {
            self.turn_to(opening);
        }
        let held = self.0.held.read();
        Moment { through: held.through, changes: held.changes, opening: held.opening }
    }

    /// Takes what was read at a moment: all that there are of memories through an id.
    pub(super) fn bring(
        &self,
        moment: Moment,
        gists: Vec<(u64, Gist)>,
        through: u64,
        share: &IndexShare,
    ) -> Brought {
        // As it was read it has room to grow, which it never does.
        let compact = |(id, gist): (u64, Gist)| (id, Arc::new(gist.clone()));
        let gists: Vec<(u64, Arc<Gist>)> = gists.into_iter().map(compact).collect();
        let more: usize = gists.iter().map(|(_, gist)| bytes(gist)).sum();
        let mut held = self.0.held.write();
        let now = (held.through, held.changes, held.opening);
        if now != (moment.through, moment.changes, moment.opening) {
            return Brought::Outdated;
        }
        let wanted = held.bytes + more;
        if !held.has_leave(wanted, share) {
            return Brought::NoRoom;
        }
        held.gists.extend(gists);
        held.bytes += more;
        held.through = through;
        Brought::All
    }

    /// Begins to bring some, unless somebody is at it, or has just given up.
    pub(super) fn begin(&self) -> Option<Filling> {
        let given_up = self.0.held.read().given_up;
        if given_up.is_some_and(|at| at.elapsed() < GIVEN_UP_WAIT) {
            return None;
        }
        let is_first = !self.0.is_filling.swap(true, Ordering::SeqCst);
        is_first.then(|| Filling(Arc::clone(&self.0)))
    }

    /// Some can't be brought for now.
    fn give_up(&self) {
        self.0.held.write().given_up = Some(Instant::now());
    }
}

impl Held {
    /// Whether there is room for so many bytes.
    fn has_leave(&mut self, bytes: usize, share: &IndexShare) -> bool {
        let left = self.leave.as_ref().map_or(0, |leave| leave.num_permits() << 10);
        let lacking = bytes.saturating_sub(left);
        if lacking == 0 {
            return true;
        }
        let Some(more) = share.leave_at_hand(lacking) else { return false };
        match &mut self.leave {
            Some(leave) => leave.merge(more),
            none => *none = Some(more),
        }
        true
    }

    /// Gives back the leave that is not needed any more.
    fn give_back(&mut self) {
        let needed = self.bytes.div_ceil(1 << 10);
        if let Some(leave) = &mut self.leave {
            drop(leave.split(leave.num_permits().saturating_sub(needed)));
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        free(std::mem::take(&mut self.held.get_mut().gists).into_values().collect());
    }
}

/// Frees them, aside if they are many: that takes a while, in which nobody is to wait.
fn free(gists: Vec<Arc<Gist>>) {
    if gists.len() > FREED_IN_PASSING_MAX
        && let Ok(runtime) = Handle::try_current()
    {
        runtime.spawn_blocking(move || drop(gists));
    }
}

/// About how many bytes a gist takes here.
pub(super) fn bytes(gist: &Gist) -> usize {
    ENTRY_BYTES + gist.bytes()
}

/// Held by who brings some.
pub(super) struct Filling(Arc<Shared>);

impl Drop for Filling {
    fn drop(&mut self) {
        self.0.is_filling.store(false, Ordering::SeqCst);
    }
}

impl Memories {
    /// Has settled memories brought to hand that are not, if they are many. To be called by who recalls.
    pub(super) fn fill_at_hand(&self) {
        let (settled, is_renewed) = {
            let live = self.0.live.read();
            (live.settled, live.renewal.is_some())
        };
        if is_renewed || settled.saturating_sub(self.0.at_hand.through()) < LACKING_MIN {
            return;
        }
        if let Some(filling) = self.0.at_hand.begin() {
            let share = self.0.access.share().clone();
            tokio::spawn(fill(Arc::downgrade(&self.0), share, filling));
        }
    }
}

/// Brings what is settled, some at a time, with as much rest between two steps as a step takes, and in which it keeps
/// nobody from the store. One being has its turn at a time.
async fn fill(memories: Weak<Inner>, share: IndexShare, _filling: Filling) {
    let _turn = share.turn_to_fill().await;
    while let Some(own) = memories.upgrade() {
        let began = Instant::now();
        // Stopped with the runtime.
        let Ok(has_more) = blocking(move || own.fill_some()).await else { return };
        match has_more {
            true => tokio::time::sleep(began.elapsed()).await,
            false => return,
        }
    }
}

impl Inner {
    /// Brings the next of what is settled; whether there is more that can be brought now.
    pub(super) fn fill_some(&self) -> bool {
        self.try_to_fill().unwrap_or_else(|error| {
            // Who recalls reads them, and is told.
            let error = without_words(&error);
            tracing::debug!(error, "gists are not brought to hand");
            self.at_hand.give_up();
            false
        })
    }

    fn try_to_fill(&self) -> Result<bool, MemoriesError> {
        for _ in 0..READS_MAX {
            let moment = self.at_hand.moment(self.store.reopened());
            let (settled, is_renewed) = {
                let live = self.live.read();
                (live.settled, live.renewal.is_some())
            };
            // Who renews vectors does not say which have changed.
            if self.worker.is_stopped() || is_renewed || moment.through >= settled {
                return Ok(false);
            }
            let ids = moment.through + 1..=settled;
            let some = self.store.read(|reader| tables::some_gists(reader, ids, CHUNK))?;
            let last = some.last().filter(|_| some.len() == CHUNK);
            let through = last.map_or(settled, |(id, _)| *id);
            match self.at_hand.bring(moment, some, through, self.access.share()) {
                Brought::All => return Ok(through < settled),
                Brought::NoRoom => break,
                Brought::Outdated => {}
            }
        }
        self.at_hand.give_up();
        Ok(false)
    }
}
