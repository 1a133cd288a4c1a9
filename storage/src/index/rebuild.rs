//! Making an index anew, beside the one that is in use.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use tokio::sync::watch;

use crate::store::{self, AdmitError};

use super::folder::{self, Generation};
use super::ids::Ids;
use super::table::{Location, Reach};
use super::{Entry, Index, IndexError, IndexShare, Opened, Progress, Shape, Tended, erased};

/// An index that is being made anew. It gets all entries in the order of their ids, and takes the
/// place of whatever is there when it is finished. Dropped before, it leaves everything as it was, but
/// for a part that the next to open or rebuild the index removes.
///
/// In one folder one index is rebuilt at a time.
#[derive(Debug)]
pub struct Rebuild {
    folder: PathBuf,
    generation: Generation,
    /// The new index, in the part of the folder where it is made.
    made: Index,
}

impl Rebuild {
    /// Sees that there is room for one that has a share, from 0 to 1, of the one in a folder: both lie there until
    /// the new one is whole.
    ///
    /// # Errors
    /// [`IndexError::NoSpace`]; others when the folder can't be read.
    pub async fn find_room(folder: &Path, share: f64) -> Result<(), IndexError> {
        let at = folder.to_owned();
        let find = move || {
            folder::clear_part(&at)?;
            let bytes = folder::bytes_in(&at)? as f64 * share;
            store::find_room(&at, bytes as u64).map_err(no_room)
        };
        folder::blocking(folder, "looking for room", find).await
    }

    /// Begins with an empty index.
    ///
    /// # Errors
    /// When the files can't be written.
    pub async fn begin(
        folder: &Path,
        share: &IndexShare,
        shape: Shape,
    ) -> Result<Self, IndexError> {
        erased(async move {
            let at = folder.to_owned();
            let generation = folder::blocking(folder, "making room for it", move || {
                folder::clear_part(&at)?;
                std::fs::create_dir_all(folder::part(&at))?;
                Generation::next_in(&at)
            });
            let generation = generation.await?;
            let location = Location::new(folder, &folder::part(folder), generation)?;
            let table = location.create(share.session(), &shape).await?;
            let empty = (None, Reach::default());
            let made = Index::new(location, share.clone(), shape, table, Ids::default(), empty);
            Ok(Self { folder: folder.to_owned(), generation, made })
        })
        .await
    }

    /// Appends entries, as [`Index::append`] does. Some thousands at a time are quickest.
    ///
    /// # Errors
    /// When an entry does not fit, or the files can't be written.
    pub async fn append(&self, entries: Vec<Entry>) -> Result<(), IndexError> {
        erased(async move { self.made.append(entries).await }).await
    }

    /// What is being made.
    pub fn index(&self) -> &Index {
        &self.made
    }

    /// The highest id that was appended.
    pub fn through(&self) -> Option<u64> {
        self.made.through()
    }

    /// How far the indexing, which comes last, has come.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.made.progress()
    }

    /// One step of indexing what was appended, as [`Index::tend`] does. Once that says that there is
    /// nothing to do, [`Rebuild::finish`] is quick.
    ///
    /// # Errors
    /// When the files can't be read or written.
    pub async fn tend(&self) -> Result<Tended, IndexError> {
        erased(async move { self.made.tend().await }).await
    }

    /// Gives it up: what was made of it is removed, when whatever still writes at it has ended.
    ///
    /// # Errors
    /// When the files can't be removed. Then the next to open or rebuild the index removes them.
    pub async fn give_up(self) -> Result<(), IndexError> {
        erased(async move {
            self.made.retire().await;
            let at = self.folder.clone();
            let clear = move || folder::clear_part(&at);
            folder::blocking(&self.folder, "removing what was made of it", clear).await
        })
        .await
    }

    /// Indexes what was appended, then puts the new index in the place of the old one. Of the old one
    /// nothing remains. `replaced` is the old one if it is open: its searches end before its files
    /// go, and whoever still has it is told to use the new one.
    ///
    /// # Errors
    /// When the files can't be read or written. Then the old index is still in its place and can be
    /// opened again, unless it is its removal that failed, which the next to open it does again.
    pub async fn finish(self, replaced: Option<&Index>) -> Result<Index, IndexError> {
        erased(async move {
            while self.made.tend().await? != Tended::Nothing {}
            let (share, shape) = (self.made.0.share.clone(), self.made.0.shape.clone());
            self.made.retire().await;
            if let Some(replaced) = replaced {
                replaced.retire().await;
            }
            let (at, generation) = (self.folder.clone(), self.generation);
            let doing = "putting the new one in its place";
            let placed = move || folder::put_in_place(&at, generation);
            folder::blocking(&self.folder, doing, placed).await?;
            let location = Location::new(&self.folder, &self.folder, generation)?;
            match Index::open_at(location, &share, shape).await? {
                Opened::Ready(index) => Ok(index),
                Opened::Absent => Err(IndexError::of(&self.folder, doing, "it is not there")),
                Opened::ToBeMadeAnew { why } => Err(IndexError::of(&self.folder, doing, why)),
            }
        })
        .await
    }
}

/// How much room is lacking. What to do is for whoever tells of it to say.
fn no_room(error: AdmitError) -> io::Error {
    let why = match error {
        AdmitError::NoRoom { bytes, free, .. } => {
            format!("it needs {bytes} bytes, and {free} are free")
        }
        error => error.to_string(),
    };
    io::Error::new(ErrorKind::StorageFull, why)
}
