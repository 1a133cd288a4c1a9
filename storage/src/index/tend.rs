//! Doing the upkeep of an index, one step at a time.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use lance::Dataset;
use tokio::sync::OwnedMutexGuard;

use super::aside::aside;
use super::progress::Teller;
use super::upkeep::{Makeup, Step};
use super::{Index, IndexError, Inner, dataset, erased, share, steps, table};

/// How many bytes of what it reads work aside keeps, of each sort.
const ASIDE_CACHE_BYTES: usize = 16 << 20;

/// A lock that is held by something that may outlive whoever began it.
type Held = OwnedMutexGuard<()>;

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

impl From<Step> for Tended {
    fn from(step: Step) -> Self {
        match step {
            Step::Gather { fragments } => Self::Gathered { files: fragments.len() },
            Step::Index { rows, .. } => Self::Indexed { rows },
            Step::Train { rows, partitions } => Self::Trained { rows, partitions },
        }
    }
}

impl Index {
    /// Does the one thing that most needs to be done to keep the index small and quick. To be called
    /// when there is nothing else to do, until it says [`Tended::Nothing`]; to stop in between, just
    /// call it no more, or drop it, which leaves the index as it was.
    ///
    /// # Errors
    /// When the index is damaged, or the files can't be written.
    pub async fn tend(&self) -> Result<Tended, IndexError> {
        erased(async move {
            let tending = Arc::clone(&self.0.tending).lock_owned().await;
            self.0.check_in_place()?;
            match self.0.next_step().await? {
                Some(step) => self.0.take(step, tending).await,
                None if self.0.has_versions.load(Ordering::SeqCst) => {
                    self.whole("upkeep", |inner| async move { inner.prune(tending).await }).await
                }
                None => Ok(Tended::Nothing),
            }
        })
        .await
    }
}

impl Inner {
    pub(super) async fn dataset(&self) -> Result<Arc<Dataset>, IndexError> {
        self.location.guard("reading its version", dataset(&self.table)).await
    }

    async fn next_step(&self) -> Result<Option<Step>, IndexError> {
        self.refresh().await?;
        let dataset = self.dataset().await?;
        let makeup = self.location.guard("reading its makeup", Makeup::of(&dataset)).await?;
        if self.shape.vectors_by.is_none() {
            return Ok(makeup.next_step_of_words());
        }
        let known = *self.partitions.lock();
        let partitions = match known {
            Some(partitions) => partitions,
            None => {
                let told = self.location.guard("reading its index", steps::partitions(&dataset));
                told.await?
            }
        };
        *self.partitions.lock() = Some(partitions);
        Ok(makeup.next_step(partitions))
    }

    /// Turns to the newest version, which work aside may have made, when all that a search in it needs is
    /// at hand.
    async fn refresh(&self) -> Result<(), IndexError> {
        let mut newest = (*self.dataset().await?).clone();
        // Not by the table's own version: an append turns it to what work aside has made, too.
        let known = self.reach.lock().version;
        let reading = async {
            newest.checkout_latest().await?;
            if newest.version().version == known {
                return Ok(None);
            }
            self.make_ready(&newest).await?;
            table::extent(&newest, &self.ids).await.map(|(_, reach)| Some(reach))
        };
        let reach = self.location.guard::<_, lance::Error>("reading its newest version", reading);
        let Some(reach) = reach.await? else { return Ok(()) };
        self.location.guard("turning to its newest version", self.table.checkout_latest()).await?;
        *self.reach.lock() = reach;
        Ok(())
    }

    async fn take(&self, step: Step, tending: Held) -> Result<Tended, IndexError> {
        let permit = self.share.permit().await;
        let rewriting = match step {
            Step::Gather { .. } => Some(Arc::clone(&self.rewriting).lock_owned().await),
            Step::Index { .. } | Step::Train { .. } => None,
        };
        if let Step::Train { .. } = step {
            *self.partitions.lock() = None;
        }
        self.has_versions.store(true, Ordering::SeqCst);
        let (location, progress) = (self.location.clone(), Teller::new(self.progress.clone()));
        let (held, taken) = ((tending, rewriting), step.clone());
        aside(permit, held, &self.location.folder, "upkeep", move || async move {
            has_scratch().map_err(|error| IndexError::of_scratch(&location.folder, error))?;
            let session = share::session(ASIDE_CACHE_BYTES, ASIDE_CACHE_BYTES);
            let table = location.open(session).await?;
            let dataset = location.guard("reading its version", dataset(&table)).await?;
            let work = steps::take((*dataset).clone(), &taken, progress);
            location.guard("upkeep", work).await
        })
        .await?;
        self.refresh().await?;
        Ok(step.into())
    }

    /// Removes what belongs to no version but the newest. Nothing is written meanwhile, so that what
    /// belongs to none has been left behind; and searches in older versions are waited for.
    async fn prune(&self, _tending: Held) -> Result<Tended, IndexError> {
        let _writing = self.writing.lock().await;
        self.readers.turn().await;
        let dataset = self.dataset().await?;
        // Otherwise what is open of an older version would keep its files on the disk.
        if self.open.lock().await.is_some() {
            let opening = self.segments(&dataset);
            self.location.guard("opening its indices", opening).await?;
        }
        self.location.guard("removing its older versions", steps::prune(&dataset)).await?;
        self.has_versions.store(false, Ordering::SeqCst);
        Ok(Tended::Pruned)
    }
}

/// Sees that there is a folder for temporary files. LanceDB keeps vectors there while it sorts them, and takes it for
/// granted.
fn has_scratch() -> std::io::Result<()> {
    std::fs::create_dir_all(tempfile::env::temp_dir())?;
    tempfile::tempdir()?.close()
}
