//! The index of a being's memories: found by words (BM25) and by nearness of vectors, on LanceDB.
//!
//! The truth is the being's store; the index is made from it and can be made again. So it need not
//! survive anything, but it must never be wrong in silence: what can't be read is said to be made
//! anew ([`Opened::ToBeMadeAnew`], [`IndexError::asks_for_anew`]), and deleting its folder loses
//! nothing. After a crash an index may lack its newest entries, or still have some that were deleted
//! last. So whoever searches looks each hit up in the store, and appends what is newer than
//! [`Index::through`].
//!
//! An index is one LanceDB table in a folder of its own (see `folder.rs` for what lies in it), written
//! by nobody else. Entries are found from the moment they are appended: those that no index covers yet
//! are searched one by one. [`Index::tend`], called while nothing else is to be done, keeps these few,
//! and keeps files and old versions from piling up (see `upkeep.rs` for when and how). Heavy work runs
//! aside, so many at a time as the [`IndexShare`] allows, and is never in the way of a search.
//!
//! Where only the vectors are of no use any more, an index can still be asked for words
//! ([`Shape::of_words`]).
//!
//! What was deleted is gone from every search at once, but its bytes stay in files until they are
//! rewritten. To forget for good, make the index anew ([`Rebuild`]): nothing of the old one remains.

mod aside;
mod cache;
mod error;
mod folder;
mod ids;
mod progress;
mod readers;
mod rebuild;
mod rows;
mod search;
mod segments;
mod share;
mod steps;
mod table;
mod tend;
pub mod threads;
mod upkeep;
mod warm;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::BoxFuture;
use lance::Dataset;
use lance::index::DatasetIndexExt;
use lancedb::Table;
use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, watch};

pub use error::{IndexError, Unfit};
pub use progress::Progress;
pub use rebuild::Rebuild;
pub use rows::{Entry, Shape};
pub use search::{Filter, HITS_MAX, Hit, TERMS_MAX};
pub use share::{IndexShare, IndexShareSettings};
pub use tend::Tended;

use ids::Ids;
use readers::{Readers, Reading};
use search::Within;
use segments::Segments;
use table::{Location, Reach};
use warm::Warmth;

/// How many ids one deletion names at most.
const DELETED_AT_ONCE: usize = 1_000;

/// An open index. A clone is the same index.
#[derive(Debug, Clone)]
pub struct Index(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    location: Location,
    share: IndexShare,
    shape: Shape,
    table: Table,
    /// The highest id in it.
    through: Mutex<Option<u64>>,
    reach: Mutex<Reach>,
    ids: Ids,
    warmth: Warmth,
    /// The segments that were asked last.
    open: AsyncMutex<Option<Arc<Segments>>>,
    readers: Readers,
    /// Held by whatever adds or deletes rows or removes files.
    writing: AsyncMutex<()>,
    /// Held by whatever deletes rows or writes them anew, which can't be done at the same time.
    rewriting: Arc<AsyncMutex<()>>,
    /// Held during a step of upkeep, so that there is one at a time, until its thread has ended.
    tending: Arc<AsyncMutex<()>>,
    /// How many partitions the index of vectors has, if that has been looked up.
    partitions: Mutex<Option<Option<usize>>>,
    /// There may be versions before the newest.
    has_versions: AtomicBool,
    /// Another has taken its place.
    is_replaced: AtomicBool,
    progress: watch::Sender<Progress>,
}

/// What was found where an index should be.
#[derive(Debug)]
pub enum Opened {
    /// It can be used.
    Ready(Index),
    /// There is none.
    Absent,
    /// There is something that is no use.
    ToBeMadeAnew {
        /// Why.
        why: String,
    },
}

impl Index {
    /// Opens the index in a folder, if there is one that can be used. In one folder one index is open
    /// at a time.
    ///
    /// # Errors
    /// When the files can't be opened for a reason that says nothing about the index.
    pub async fn open(
        folder: &Path,
        share: &IndexShare,
        shape: Shape,
    ) -> Result<Opened, IndexError> {
        erased(async move {
            let at = folder.to_owned();
            let current = folder::blocking(folder, "looking for it", move || folder::current(&at));
            let Some(generation) = current.await? else {
                return Ok(Opened::Absent);
            };
            let location = Location::new(folder, folder, generation)?;
            match Self::open_at(location, share, shape).await {
                Err(error @ IndexError::Damaged { .. }) => {
                    Ok(Opened::ToBeMadeAnew { why: with_causes(&error) })
                }
                opened => opened,
            }
        })
        .await
    }

    /// Makes an empty index in place of whatever is there.
    ///
    /// # Errors
    /// When the files can't be written.
    pub async fn create(
        folder: &Path,
        share: &IndexShare,
        shape: Shape,
    ) -> Result<Self, IndexError> {
        erased(async move { Rebuild::begin(folder, share, shape).await?.finish(None).await }).await
    }

    async fn open_at(
        location: Location,
        share: &IndexShare,
        shape: Shape,
    ) -> Result<Opened, IndexError> {
        let table = location.open(share.session()).await?;
        let schema = location.guard("reading its schema", table.schema()).await?;
        let shape = match shape.found_in(&schema) {
            Ok(shape) => shape,
            Err(why) => return Ok(Opened::ToBeMadeAnew { why }),
        };
        let dataset = location.guard("reading its version", dataset(&table)).await?;
        let ids = Ids::default();
        let extent =
            location.guard("reading how far it goes", table::extent(&dataset, &ids)).await?;
        Ok(Opened::Ready(Self::new(location, share.clone(), shape, table, ids, extent)))
    }

    fn new(
        location: Location,
        share: IndexShare,
        shape: Shape,
        table: Table,
        ids: Ids,
        (through, reach): (Option<u64>, Reach),
    ) -> Self {
        Self(Arc::new(Inner {
            location,
            share,
            shape,
            table,
            through: Mutex::new(through),
            reach: Mutex::new(reach),
            ids,
            warmth: Warmth::default(),
            open: AsyncMutex::default(),
            readers: Readers::default(),
            writing: AsyncMutex::default(),
            rewriting: Arc::default(),
            tending: Arc::default(),
            partitions: Mutex::default(),
            has_versions: AtomicBool::new(true),
            is_replaced: AtomicBool::new(false),
            progress: watch::Sender::default(),
        }))
    }

    /// What it is made of.
    pub fn shape(&self) -> &Shape {
        &self.0.shape
    }

    /// The highest id in it, or none in an empty one. All memories up to it have been appended. An
    /// index that is ahead of its store was made from another, and is to be made anew.
    pub fn through(&self) -> Option<u64> {
        *self.0.through.lock()
    }

    /// Entries through this id are found without looking at them one by one. [`Index::tend`] brings it to
    /// [`Index::through`].
    pub fn covered(&self) -> Option<u64> {
        self.0.reach.lock().through
    }

    /// Whether a search for vectors looks at each, as there is no index of them: there are too few, or it is still to be
    /// made.
    pub(crate) fn looks_at_each_vector(&self) -> bool {
        self.0.shape.vectors_by.is_some() && !self.0.reach.lock().has_near
    }

    /// Reads what searches need from the files, as far as the share has room for it, so that the first of
    /// them need not wait for each piece. With 100,000 entries that takes a tenth of a second.
    ///
    /// # Errors
    /// When the index is damaged.
    pub async fn warm(&self) -> Result<(), IndexError> {
        erased(async move {
            let _reading = self.0.enter().await?;
            let dataset = self.0.dataset().await?;
            self.0.location.guard("reading its indices", self.0.make_ready(&dataset)).await
        })
        .await
    }

    /// How many entries there are.
    ///
    /// # Errors
    /// When the index is damaged.
    pub async fn count(&self) -> Result<usize, IndexError> {
        erased(async move {
            let _reading = self.0.enter().await?;
            self.0.location.guard("counting", self.0.table.count_rows(None)).await
        })
        .await
    }

    /// How far heavy work on it has come.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.0.progress.subscribe()
    }

    /// Appends entries with ascending ids; all of them are found from then on. Those with ids up to
    /// [`Index::through`] are passed over. Goes on to its end also if nobody waits for it.
    ///
    /// # Errors
    /// When an entry does not fit (then none is taken), or the files can't be written.
    pub async fn append(&self, entries: Vec<Entry>) -> Result<(), IndexError> {
        erased(async move {
            self.whole("an append", |inner| async move { inner.append(&entries).await }).await
        })
        .await
    }

    /// Deletes the entries with these ids; none of them is found from then on. When there are none,
    /// nothing is written. Goes on to its end also if nobody waits for it.
    ///
    /// # Errors
    /// When the files can't be read or written.
    pub async fn delete(&self, ids: Vec<u64>) -> Result<(), IndexError> {
        erased(async move {
            self.whole("a deletion", |inner| async move { inner.delete(&ids).await }).await
        })
        .await
    }

    /// The entries that hold at least one of some terms (of [`TERMS_MAX`] at most), best first (BM25),
    /// at most [`HITS_MAX`].
    ///
    /// # Errors
    /// When the index is damaged.
    pub async fn words(
        &self,
        terms: &[&str],
        filter: &Filter,
        limit: usize,
    ) -> Result<Vec<Hit>, IndexError> {
        erased(async move {
            let _reading = self.0.enter().await?;
            if limit == 0 || terms.iter().all(|term| term.trim().is_empty()) {
                return Ok(Vec::new());
            }
            let within = self.0.within(filter, |_| true);
            let terms = terms[..terms.len().min(TERMS_MAX)].join(" ");
            let (dataset, limit) = (self.0.dataset().await?, limit.min(HITS_MAX));
            let search = async {
                let found = match self.0.asked_directly(&dataset, filter, within).await? {
                    Some(segments) => segments.words(&terms, limit).await?,
                    None => search::words(&dataset, terms, filter, within, limit).await?,
                };
                search::ranked(&dataset, &self.0.ids, found, |score| score, limit).await
            };
            self.0.location.guard::<_, lance::Error>("a search for words", search).await
        })
        .await
    }

    /// The entries whose vectors are nearest to one, nearest first, at most [`HITS_MAX`]. Nothing is
    /// near to a vector of zeros, nor anything in an index of words only.
    ///
    /// # Errors
    /// When the vector does not fit, or the index is damaged.
    pub async fn nearest(
        &self,
        vector: &[f32],
        filter: &Filter,
        limit: usize,
    ) -> Result<Vec<Hit>, IndexError> {
        erased(async move {
            let _reading = self.0.enter().await?;
            if self.0.shape.vectors_by.is_none() {
                return Ok(Vec::new());
            }
            let unit = self.0.shape.unit(vector).map_err(IndexError::UnfitQuery)?;
            if limit == 0 || unit.iter().all(|x| *x == 0.0) {
                return Ok(Vec::new());
            }
            let within = self.0.within(filter, |reach| reach.has_near);
            let (dataset, limit) = (self.0.dataset().await?, limit.min(HITS_MAX));
            let search = async {
                let found = match self.0.asked_directly(&dataset, filter, within).await? {
                    Some(segments) => segments.nearest(&unit, limit).await?,
                    None => None,
                };
                let found = match found {
                    Some(found) => found,
                    None => search::nearest(&dataset, unit, filter, within, limit).await?,
                };
                // Of unit vectors, LanceDB's distance is one less the cosine.
                let cosine = |distance| 1.0 - distance;
                search::ranked(&dataset, &self.0.ids, found, cosine, limit).await
            };
            self.0.location.guard::<_, lance::Error>("a search for vectors", search).await
        })
        .await
    }

    /// Does something from its beginning to its end, whether or not anybody waits for it: an append
    /// that was given up half-way would leave the table and what is known of it apart.
    async fn whole<T, F>(
        &self,
        doing: &'static str,
        work: impl FnOnce(Arc<Inner>) -> F,
    ) -> Result<T, IndexError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, IndexError>> + Send + 'static,
    {
        match tokio::spawn(work(Arc::clone(&self.0))).await {
            Ok(done) => done,
            Err(error) => Err(IndexError::of(&self.0.location.folder, doing, error)),
        }
    }

    /// Whether another is the same index.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Lets no search and no change begin any more, and waits until the last of them has ended.
    pub async fn retire(&self) {
        let _tending = self.0.tending.lock().await;
        let _writing = self.0.writing.lock().await;
        self.0.is_replaced.store(true, Ordering::SeqCst);
        self.0.readers.turn().await;
    }
}

impl Inner {
    async fn append(&self, entries: &[Entry]) -> Result<(), IndexError> {
        let _writing = self.writing.lock().await;
        self.check_in_place()?;
        let rows = rows::rows(&self.shape, *self.through.lock(), entries)?;
        if rows.num_rows() == 0 {
            return Ok(());
        }
        self.has_versions.store(true, Ordering::SeqCst);
        self.location.guard("an append", self.table.add(rows).execute()).await?;
        *self.through.lock() = entries.last().map(|entry| entry.id);
        Ok(())
    }

    async fn delete(&self, ids: &[u64]) -> Result<(), IndexError> {
        let _rewriting = self.rewriting.lock().await;
        let _writing = self.writing.lock().await;
        self.check_in_place()?;
        for ids in ids.chunks(DELETED_AT_ONCE) {
            let (dataset, these) = (self.dataset().await?, search::among(ids));
            let looking = search::has_any(&dataset, these.clone());
            // LanceDB would write a version of a deletion of nothing, too.
            if self.location.guard("looking for what to delete", looking).await? {
                self.has_versions.store(true, Ordering::SeqCst);
                self.location.guard("a deletion", self.table.delete(&these)).await?;
            }
        }
        Ok(())
    }

    /// Has everything at hand that a search in a version needs.
    async fn make_ready(&self, dataset: &Dataset) -> lance::Result<()> {
        let _spans = self.ids.learn(dataset).await?;
        self.warmth.warm(dataset, self.share.warm_bytes()).await
    }

    /// The segments of a version, if they alone can answer.
    async fn asked_directly(
        &self,
        dataset: &Arc<Dataset>,
        filter: &Filter,
        within: Within,
    ) -> lance::Result<Option<Arc<Segments>>> {
        match within == Within::Indices && filter.takes_all() {
            true => self.segments(dataset).await,
            false => Ok(None),
        }
    }

    /// The segments of a version, if the share gives leave to have them open.
    async fn segments(&self, dataset: &Arc<Dataset>) -> lance::Result<Option<Arc<Segments>>> {
        let mut open = self.open.lock().await;
        if let Some(open) = open.as_ref().filter(|open| open.are_of(dataset)) {
            return Ok(Some(Arc::clone(open)));
        }
        // Those that stay are open twice for a moment, and have two leaves.
        let count = dataset.load_indices().await?.len();
        let Some(leave) = self.share.leave_open(count) else {
            *open = None;
            return Ok(None);
        };
        let segments = Segments::open(dataset, open.as_deref(), leave).await?;
        Ok(Some(Arc::clone(open.insert(Arc::new(segments)))))
    }

    /// Where a search has to look: of a newer version of the table than is known here an index covers no
    /// less.
    fn within(&self, filter: &Filter, has_index: impl FnOnce(&Reach) -> bool) -> Within {
        let reach = self.reach.lock();
        let is_covered = |through| reach.through.is_some_and(|covered| through <= covered);
        match filter.through.is_some_and(is_covered) && has_index(&reach) {
            true => Within::Indices,
            false => Within::All,
        }
    }

    async fn enter(&self) -> Result<Reading, IndexError> {
        let reading = self.readers.enter().await;
        self.check_in_place()?;
        Ok(reading)
    }

    fn check_in_place(&self) -> Result<(), IndexError> {
        match self.is_replaced.load(Ordering::SeqCst) {
            true => Err(IndexError::Replaced { folder: self.location.folder.clone() }),
            false => Ok(()),
        }
    }
}

/// What a table is in its newest version that is known here.
async fn dataset(table: &Table) -> lancedb::Result<Arc<Dataset>> {
    table.dataset().expect("the table is LanceDB's own, not a remote one").get().await
}

/// A future of LanceDB's without what it is made of. Its types are nested so deeply that whoever awaits it
/// would otherwise take minutes to be compiled, looking at all of them anew to see that they can be sent.
fn erased<'a, T>(future: impl Future<Output = T> + Send + 'a) -> BoxFuture<'a, T> {
    Box::pin(future)
}

/// What an error and everything beneath it says.
fn with_causes(error: &IndexError) -> String {
    let error: &dyn std::error::Error = error;
    let chain = std::iter::successors(Some(error), |error| error.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests;
