//! The index, opened when it is first needed.

use std::path::PathBuf;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, MutexGuard};

use crate::index::{Index, IndexError, IndexShare, Opened, Rebuild, Shape};

/// How long a closing waits for what writes at the index: a step of upkeep that was given up ends at its next
/// pause.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);

/// Where the index is, and whether it is open.
pub(super) struct Access {
    folder: PathBuf,
    share: IndexShare,
    place: AsyncMutex<Place>,
    /// The one that was begun last in place of the one that there is.
    begun: Mutex<Option<Index>>,
}

enum Place {
    /// Nobody has looked yet.
    Unopened,
    Open(Index),
    /// It was found to be damaged, and is made anew.
    Lost,
}

impl Access {
    pub(super) fn new(folder: PathBuf, share: IndexShare) -> Self {
        Self { folder, share, place: AsyncMutex::new(Place::Unopened), begun: Mutex::default() }
    }

    pub(super) fn share(&self) -> &IndexShare {
        &self.share
    }

    /// The index; an empty one of this shape if there is none that can be used. `next` is the id that no
    /// memory has yet: an index that has it is of another store.
    pub(super) async fn get(&self, next: u64, shape: Shape) -> Result<Index, IndexError> {
        let mut place = self.place.lock().await;
        let index = match &*place {
            Place::Open(index) => return Ok(index.clone()),
            Place::Unopened => self.open(next, shape).await?,
            Place::Lost => self.create(shape).await?,
        };
        *place = Place::Open(index.clone());
        Ok(index)
    }

    async fn open(&self, next: u64, shape: Shape) -> Result<Index, IndexError> {
        let why = match Index::open(&self.folder, &self.share, shape.clone()).await? {
            Opened::Ready(index) if index.through() < Some(next) => {
                warm_aside(index.clone());
                return Ok(index);
            }
            Opened::Ready(_) => "it has memories that were never kept".to_owned(),
            Opened::Absent => "there is none".to_owned(),
            Opened::ToBeMadeAnew { why } => why,
        };
        tracing::info!(folder = %self.folder.display(), %why, "the memory index is made anew");
        self.create(shape).await
    }

    async fn create(&self, shape: Shape) -> Result<Index, IndexError> {
        Index::create(&self.folder, &self.share, shape).await
    }

    /// Makes an index be made anew, if an error of it asks for that, unless another has its place by now.
    pub(super) async fn heed(&self, index: &Index, error: &IndexError) {
        if !error.asks_for_anew() {
            return;
        }
        let mut place = self.place.lock().await;
        if matches!(&*place, Place::Open(open) if open.is(index)) {
            tracing::warn!(%error, "the memory index is lost and will be made anew");
            *place = Place::Lost;
        }
    }

    /// Whether there may be files of an index.
    pub(super) fn has_files(&self) -> bool {
        self.folder.exists()
    }

    /// Begins to make another that can take the place of the one that there is, of which it will have the share
    /// `kept`, from 0 to 1.
    pub(super) async fn rebuild(&self, kept: f64, shape: Shape) -> Result<Rebuild, IndexError> {
        Rebuild::find_room(&self.folder, kept).await?;
        let rebuild = Rebuild::begin(&self.folder, &self.share, shape).await?;
        *self.begun.lock() = Some(rebuild.index().clone());
        Ok(rebuild)
    }

    /// Puts another in the place of the one that there is. Searches that begin meanwhile wait.
    pub(super) async fn replace(&self, made: Rebuild) -> Result<(), IndexError> {
        let mut place: MutexGuard<'_, Place> = self.place.lock().await;
        let replaced = match &*place {
            Place::Open(index) => Some(index.clone()),
            Place::Unopened | Place::Lost => None,
        };
        // Should that fail, the next look tells what is there.
        *place = Place::Unopened;
        let index = made.finish(replaced.as_ref()).await?;
        warm_aside(index.clone());
        *place = Place::Open(index);
        Ok(())
    }

    /// Lets go of its files until it is needed again. Nothing writes there when this returns, unless it is
    /// stuck: the folder may be moved or removed next.
    pub(super) async fn close(&self) {
        let mut place = self.place.lock().await;
        let open = match std::mem::replace(&mut *place, Place::Unopened) {
            Place::Open(index) => Some(index),
            Place::Unopened | Place::Lost => None,
        };
        let begun = self.begun.lock().take();
        let retire = async {
            for index in [open, begun].into_iter().flatten() {
                index.retire().await;
            }
        };
        if tokio::time::timeout(CLOSE_PATIENCE, retire).await.is_err() {
            let folder = self.folder.display();
            tracing::warn!(%folder, "something still writes at a memory index that is closed");
        }
    }
}

/// Whoever opens it does not wait, and searches go on meanwhile.
fn warm_aside(index: Index) {
    tokio::spawn(async move {
        // What is wrong with it is told to whoever asks it.
        if let Err(error) = index.warm().await {
            tracing::debug!(%error, "a memory index was not read ahead");
        }
    });
}
