//! What all memory indices of a process share: caches of a bounded size, and the place where heavy
//! work is done aside.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use lancedb::{ObjectStoreRegistry, Session};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::cache::RecentlyUsed;

/// How many segments of indices stay open between searches, of all indices together: each keeps two or
/// three files open. Others are asked through LanceDB's plans, which open them for each search.
const OPEN_SEGMENTS_MAX: usize = 128;

/// How long what was read of an index is kept without being asked for. After that, what is asked first is read again.
const IDLE_MAX: Duration = Duration::from_secs(1_800);

/// How much may be taken by what stands in for indices while they are made anew, of all together: more than
/// 100,000 memories with vectors of 384 numbers need.
const MAKESHIFT_MIB: usize = 96;

/// How much may be taken by gists that are at hand, of all beings together, in KiB: 100,000 memories of twenty words,
/// with vectors of 256 numbers, are reckoned to take some 70 MiB.
const AT_HAND_KIB: usize = 96 << 10;

/// How many beings at a time may hold more memories than others do while their indices are behind: 10 to 20 MiB
/// more for each.
const LONG_TAILS_MAX: usize = 8;

/// How much the indices of a process may take together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexShareSettings {
    /// How much is kept of what describes files: schemas, lists of files, footers.
    pub metadata_cache_bytes: usize,
    /// How much is kept of the indices themselves: postings of words, partitions of vectors. A being with
    /// 100,000 memories and vectors of 256 numbers has 100 MiB of these; what does not find room is read
    /// from the disk at each search. Small beings have none.
    pub index_cache_bytes: usize,
    /// How many indices are gathered, indexed or rebuilt at the same time. Each takes a core.
    pub heavy_at_once: usize,
}

impl Default for IndexShareSettings {
    fn default() -> Self {
        Self { metadata_cache_bytes: 24 << 20, index_cache_bytes: 192 << 20, heavy_at_once: 1 }
    }
}

/// What all memory indices of a node share. A clone is the same share.
#[derive(Clone)]
pub struct IndexShare(Arc<Inner>);

struct Inner {
    session: Arc<Session>,
    index_cache_bytes: usize,
    heavy: Arc<Semaphore>,
    open: Arc<Semaphore>,
    /// In MiB.
    makeshifts: Arc<Semaphore>,
    /// In KiB.
    at_hand: Arc<Semaphore>,
    /// Of one, for who brings gists to hand.
    filling: Arc<Semaphore>,
    long_tails: Arc<Semaphore>,
}

impl IndexShare {
    /// A share of its own, with empty caches.
    pub fn new(settings: &IndexShareSettings) -> Self {
        let session = session(settings.index_cache_bytes, settings.metadata_cache_bytes);
        Self(Arc::new(Inner {
            session,
            index_cache_bytes: settings.index_cache_bytes,
            heavy: Arc::new(Semaphore::new(settings.heavy_at_once.max(1))),
            open: Arc::new(Semaphore::new(OPEN_SEGMENTS_MAX)),
            makeshifts: Arc::new(Semaphore::new(MAKESHIFT_MIB)),
            at_hand: Arc::new(Semaphore::new(AT_HAND_KIB)),
            filling: Arc::new(Semaphore::new(1)),
            long_tails: Arc::new(Semaphore::new(LONG_TAILS_MAX)),
        }))
    }

    pub(super) fn session(&self) -> Arc<Session> {
        Arc::clone(&self.0.session)
    }

    /// How many bytes of indices are read before they are asked for: so many that one being alone leaves
    /// room for others.
    pub(super) fn warm_bytes(&self) -> u64 {
        self.0.index_cache_bytes as u64 / 4 * 3
    }

    /// Leave to keep so many segments open, if there is room.
    pub(super) fn leave_open(&self, segments: usize) -> Option<OwnedSemaphorePermit> {
        let segments = u32::try_from(segments).ok()?;
        Arc::clone(&self.0.open).try_acquire_many_owned(segments).ok()
    }

    /// Leave to take about so many bytes in the stead of an index, if there is room.
    pub(crate) fn leave_makeshift(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        leave(&self.0.makeshifts, bytes.div_ceil(1 << 20))
    }

    /// Leave to hold about so many bytes of gists in memory, if there is room.
    pub(crate) fn leave_at_hand(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        leave(&self.0.at_hand, bytes.div_ceil(1 << 10))
    }

    /// Who fills its gists in memory, when it is its turn.
    pub(crate) async fn turn_to_fill(&self) -> OwnedSemaphorePermit {
        turn(&self.0.filling).await
    }

    /// Leave to hold many memories that an index lacks, if not too many others do.
    pub(crate) fn leave_long_tail(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0.long_tails).try_acquire_owned().ok()
    }

    /// Leave to do something heavy, when it is its turn.
    pub(super) async fn permit(&self) -> OwnedSemaphorePermit {
        turn(&self.0.heavy).await
    }
}

/// Leave to take so many, and at least one, of what there is, if there is room.
fn leave(of: &Arc<Semaphore>, count: usize) -> Option<OwnedSemaphorePermit> {
    let count = u32::try_from(count).ok()?;
    Arc::clone(of).try_acquire_many_owned(count.max(1)).ok()
}

async fn turn(of: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    Arc::clone(of).acquire_owned().await.expect("the semaphore is never closed")
}

impl fmt::Debug for IndexShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IndexShare").field("heavy", &self.0.heavy).finish_non_exhaustive()
    }
}

/// LanceDB keeps what it has read in a session.
pub(super) fn session(index_cache_bytes: usize, metadata_cache_bytes: usize) -> Arc<Session> {
    let registry = Arc::new(ObjectStoreRegistry::default());
    let indices = Arc::new(RecentlyUsed::new(index_cache_bytes, IDLE_MAX));
    Arc::new(Session::with_index_cache_backend(indices, metadata_cache_bytes, registry))
}
