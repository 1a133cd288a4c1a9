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
//! What was deleted is gone from every search at once, but its bytes stay in files until they are
//! rewritten. To forget for good, make the index anew ([`Rebuild`]): nothing of the old one remains.

mod aside;
mod error;
mod folder;
mod progress;
mod readers;
mod rebuild;
mod rows;
mod search;
mod share;
mod steps;
mod table;
mod upkeep;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lance::Dataset;
use lancedb::Table;
use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, watch};

pub use error::{IndexError, Unfit};
pub use progress::Progress;
pub use rebuild::Rebuild;
pub use rows::{Entry, Shape};
pub use search::{Filter, HITS_MAX, Hit};
pub use share::{IndexShare, IndexShareSettings};

use aside::aside;
use progress::Teller;
use readers::{Readers, Reading};
use table::Location;
use upkeep::{Makeup, Step};

/// How many bytes of what it reads work aside keeps, of each sort.
const ASIDE_CACHE_BYTES: usize = 16 << 20;

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
    readers: Readers,
    /// Held by whatever changes rows or removes files.
    writing: AsyncMutex<()>,
    /// Held during a step of upkeep, so that there is one at a time.
    tending: AsyncMutex<()>,
    /// How many partitions the index of vectors has; not yet looked up at first.
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

/// What one step of upkeep has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tended {
    /// Nothing; there was nothing to do.
    Nothing,
    /// So many files of rows became one.
    Gathered {
        /// How many.
        files: usize,
    },
    /// So many rows were put into an index.
    Indexed {
        /// How many.
        rows: u64,
    },
    /// The index of vectors was made anew.
    Trained {
        /// Of how many rows.
        rows: u64,
        /// With how many partitions.
        partitions: usize,
    },
    /// The files of older versions were removed.
    Pruned,
}

impl Index {
    /// Opens the index in a folder, if there is one that can be used.
    ///
    /// # Errors
    /// When the files can't be opened for a reason that says nothing about the index.
    pub async fn open(
        folder: &Path,
        share: &IndexShare,
        shape: Shape,
    ) -> Result<Opened, IndexError> {
        let at = folder.to_owned();
        let current = Location::blocking(folder, "looking for it", move || folder::current(&at));
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
        Rebuild::begin(folder, share, shape).await?.finish(None).await
    }

    async fn open_at(
        location: Location,
        share: &IndexShare,
        shape: Shape,
    ) -> Result<Opened, IndexError> {
        let table = location.open(share.session()).await?;
        let schema = location.guard("reading its schema", table.schema()).await?;
        if let Some(why) = shape.differs_from(&schema) {
            return Ok(Opened::ToBeMadeAnew { why });
        }
        let through = location.guard("reading its last row", table::through(&table)).await?;
        Ok(Opened::Ready(Self::new(location, share.clone(), shape, table, through)))
    }

    fn new(
        location: Location,
        share: IndexShare,
        shape: Shape,
        table: Table,
        through: Option<u64>,
    ) -> Self {
        Self(Arc::new(Inner {
            location,
            share,
            shape,
            table,
            through: Mutex::new(through),
            readers: Readers::default(),
            writing: AsyncMutex::default(),
            tending: AsyncMutex::default(),
            partitions: Mutex::default(),
            has_versions: AtomicBool::new(true),
            is_replaced: AtomicBool::new(false),
            progress: watch::Sender::default(),
        }))
    }

    /// The highest id in it, or none in an empty one. All memories up to it have been appended.
    pub fn through(&self) -> Option<u64> {
        *self.0.through.lock()
    }

    /// How many entries there are.
    ///
    /// # Errors
    /// When the index is damaged.
    pub async fn count(&self) -> Result<usize, IndexError> {
        let _reading = self.0.enter().await?;
        self.0.location.guard("counting", self.0.table.count_rows(None)).await
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
        self.whole("an append", |inner| async move { inner.append(&entries).await }).await
    }

    /// Deletes the entries with these ids; none of them is found from then on. Goes on to its end also
    /// if nobody waits for it.
    ///
    /// # Errors
    /// When the files can't be read or written.
    pub async fn delete(&self, ids: Vec<u64>) -> Result<(), IndexError> {
        self.whole("a deletion", |inner| async move { inner.delete(&ids).await }).await
    }

    /// The entries that hold at least one of some terms, best first (BM25), at most [`HITS_MAX`].
    ///
    /// # Errors
    /// When the index is damaged.
    pub async fn words(
        &self,
        terms: &[&str],
        filter: &Filter,
        limit: usize,
    ) -> Result<Vec<Hit>, IndexError> {
        let _reading = self.0.enter().await?;
        if limit == 0 || terms.iter().all(|term| term.trim().is_empty()) {
            return Ok(Vec::new());
        }
        let search = search::words(&self.0.table, terms, filter, limit.min(HITS_MAX));
        self.0.location.guard("a search for words", search).await
    }

    /// The entries whose vectors are nearest to one, nearest first, at most [`HITS_MAX`].
    ///
    /// # Errors
    /// When the vector does not fit, or the index is damaged.
    pub async fn nearest(
        &self,
        vector: &[f32],
        filter: &Filter,
        limit: usize,
    ) -> Result<Vec<Hit>, IndexError> {
        let _reading = self.0.enter().await?;
        let unit = self.0.shape.unit(vector).map_err(IndexError::UnfitQuery)?;
        if limit == 0 {
            return Ok(Vec::new());
        }
        let search = search::nearest(&self.0.table, unit, filter, limit.min(HITS_MAX));
        self.0.location.guard("a search for vectors", search).await
    }

    /// Does the one thing that most needs to be done to keep the index small and quick. To be called
    /// when there is nothing else to do, until it says [`Tended::Nothing`]; to stop in between, just
    /// call it no more, or drop it, which leaves the index as it was.
    ///
    /// # Errors
    /// When the index is damaged, or the files can't be written.
    pub async fn tend(&self) -> Result<Tended, IndexError> {
        let _tending = self.0.tending.lock().await;
        self.0.check_in_place()?;
        match self.0.next_step().await? {
            Some((step, makeup)) => self.0.take(step, makeup).await,
            None if self.0.has_versions.load(Ordering::SeqCst) => self.0.prune().await,
            None => Ok(Tended::Nothing),
        }
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

    /// Lets no search begin any more and waits until the last has ended.
    async fn retire(&self) {
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
        self.location.guard("an append", self.table.add(rows).execute()).await?;
        *self.through.lock() = entries.last().map(|entry| entry.id);
        self.has_versions.store(true, Ordering::SeqCst);
        Ok(())
    }

    async fn delete(&self, ids: &[u64]) -> Result<(), IndexError> {
        let _writing = self.writing.lock().await;
        self.check_in_place()?;
        for ids in ids.chunks(DELETED_AT_ONCE) {
            let these = search::among(ids);
            self.location.guard("a deletion", self.table.delete(&these)).await?;
        }
        self.has_versions.store(true, Ordering::SeqCst);
        Ok(())
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

    async fn dataset(&self) -> Result<Arc<Dataset>, IndexError> {
        let dataset = self.table.dataset().expect("the table is LanceDB's own, not a remote one");
        self.location.guard("reading its version", dataset.get()).await
    }

    async fn next_step(&self) -> Result<Option<(Step, Makeup)>, IndexError> {
        let dataset = self.dataset().await?;
        let makeup = self.location.guard("reading its makeup", Makeup::of(&dataset)).await?;
        let known = *self.partitions.lock();
        let partitions = match known {
            Some(partitions) => partitions,
            None => {
                let told = self.location.guard("reading its index", steps::partitions(&dataset));
                told.await?
            }
        };
        *self.partitions.lock() = Some(partitions);
        Ok(makeup.next_step(partitions).map(|step| (step, makeup)))
    }

    async fn take(&self, step: Step, makeup: Makeup) -> Result<Tended, IndexError> {
        // Rows that are being rewritten can't be deleted at the same time; indexing bears both.
        let is_rewrite = matches!(step, Step::Gather { .. });
        let _writing = match is_rewrite {
            true => Some(self.writing.lock().await),
            false => None,
        };
        self.has_versions.store(true, Ordering::SeqCst);
        let (location, progress) = (self.location.clone(), Teller::new(self.progress.clone()));
        let taken = step.clone();
        aside(&self.share, &self.location.folder, "upkeep", move || async move {
            let session = share::session(ASIDE_CACHE_BYTES, ASIDE_CACHE_BYTES);
            let table = location.open(session).await?;
            let dataset = table.dataset().expect("the table is LanceDB's own, not a remote one");
            let dataset = location.guard("reading its version", dataset.get()).await?;
            let work = steps::take((*dataset).clone(), &taken, &makeup, progress);
            location.guard("upkeep", work).await
        })
        .await?;
        let latest = self.table.checkout_latest();
        self.location.guard("reading its new version", latest).await?;
        Ok(self.tended(step))
    }

    fn tended(&self, step: Step) -> Tended {
        match step {
            Step::Gather { fragments } => Tended::Gathered { files: fragments.len() },
            Step::Index { rows, .. } => Tended::Indexed { rows },
            Step::Train { rows, partitions } => {
                *self.partitions.lock() = Some(Some(partitions));
                Tended::Trained { rows, partitions }
            }
        }
    }

    /// Removes what belongs to no version but the newest. Nothing is written meanwhile, so that what
    /// belongs to none has been left behind; and searches in older versions are waited for.
    async fn prune(&self) -> Result<Tended, IndexError> {
        let _writing = self.writing.lock().await;
        self.readers.turn().await;
        let dataset = self.dataset().await?;
        self.location.guard("removing its older versions", steps::prune(&dataset, true)).await?;
        self.has_versions.store(false, Ordering::SeqCst);
        Ok(Tended::Pruned)
    }
}

/// What an error and everything beneath it says.
fn with_causes(error: &IndexError) -> String {
    let error: &dyn std::error::Error = error;
    let chain = std::iter::successors(Some(error), |error| error.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests;
