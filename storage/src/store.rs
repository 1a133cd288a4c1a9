//! A store: one file of typed tables, for one owner.
//!
//! It is made for many small owners. Nothing is shared between two stores, none keeps a thread of
//! its own, and a store that nobody uses costs little more than its cache.
//!
//! ```
//! use genii_storage::store::{Schema, Store, StoreError, StoreOptions, Table};
//!
//! const SCHEMA: Schema = Schema::new("example", 1, &[]);
//! const NAMES: Table<u64, String> = Table::new("names");
//!
//! # let folder = tempfile::tempdir().unwrap();
//! let store = Store::open(folder.path().join("example.redb"), &SCHEMA, &StoreOptions::default())?;
//! store.write_blocking(|writer| {
//!     writer.insert(NAMES, &1, &"Alice".to_owned())?;
//!     Ok::<_, StoreError>(())
//! })?;
//! let name = store.read(|reader| reader.get(NAMES, &1))?;
//! assert_eq!(name.as_deref(), Some("Alice"));
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! | promise | how it is kept |
//! |---|---|
//! | a write that returned survives `kill -9` and a power cut | each commit is synced before anybody hears of it |
//! | writers that wait share one commit | [`Store::write`]: the first writes for those behind it |
//! | a write happens whole or not at all, and leaves others alone | a failed one is taken out of its batch, and the rest is run again |
//! | a reader sees one moment | [`Store::read`] |
//! | a backup takes no place from another that is made at the same time | each has a file of its own until it is whole, and gets its name only while that is free or claimed |
//! | one owner at a time | a lock on the file; a second open is [`OpenError::Locked`] |
//! | what was removed can be made to be gone | [`Store::rewrite`] |
//! | a store outlives its code | [`Schema`] and its migrations |
//! | damage is told, never guessed | [`StoreError::Damaged`], [`OpenError::Damaged`], [`check()`] |
//! | what is beside the damage can be saved | [`salvage()`] |
//!
//! Only this module knows redb.

mod admit;
mod backup;
mod batch;
mod check;
mod errors;
mod files;
mod generation;
mod key;
mod opening;
mod overlay;
mod pages;
mod partial;
mod reader;
mod rewrite;
mod salvage;
mod schema;
mod seal;
mod shared;
mod table;
#[cfg(test)]
mod tests;
mod writer;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc;

use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

pub use admit::{AdmitError, admit, find_room};
pub use backup::{BackupError, RestoreError, restore};
pub use check::{Finding, Repair, Report, TableReport, check, repair};
pub use errors::{OpenError, StoreError};
pub use files::is_in_use;
pub use key::Key;
pub use partial::NewFile;
pub use reader::{Entries, Reader};
pub use salvage::{Remains, SalvageError, Salvaged, TableRemains, remains, salvage};
pub use schema::{Migration, MigrationResult, Schema};
pub use table::Table;
pub use writer::Writer;

pub(crate) use errors::is_full;

use batch::job;
use partial::IfThere;
use reader::Source;
use shared::Shared;

/// How much a store may use.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// Memory for pages of the file, in bytes. Small, since there may be thousands of stores.
    pub cache_bytes: usize,
    /// Up to this size, in bytes, a file is verified whole whenever it is opened: that costs a
    /// moment then, and no damage of it gets any further. A larger one is verified by redb when it
    /// was not closed, and by [`check()`]; otherwise damage is told where it is met, if redb lives
    /// to tell.
    pub verify_max_bytes: u64,
    /// How many writes share one commit at most.
    pub batch_max: usize,
    /// How many writes may wait; one more is [`StoreError::Busy`].
    pub waiting_max: usize,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self { cache_bytes: 4 << 20, verify_max_bytes: 4 << 20, batch_max: 256, waiting_max: 4_096 }
    }
}

/// An open store. A clone is another handle on the same one.
///
/// The file is let go when [`Store::close`] is called, or with the last handle. Closing syncs the
/// file, so async code closes rather than drops.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Store").field(&self.path()).finish()
    }
}

impl Store {
    /// Opens a store, or makes it when there is no file, and brings it to the schema. Blocking.
    ///
    /// # Errors
    /// [`OpenError`] says what is in the way and what to do.
    pub fn open(
        path: impl Into<PathBuf>,
        schema: &Schema,
        options: &StoreOptions,
    ) -> Result<Self, OpenError> {
        let shared = Shared::open(path.into(), *schema, options.clone())?;
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Reads from a closed store as it would be if it were opened, and leaves its file as it is. Every
    /// checksum is looked at first. Blocking, for as long as it takes to read the file.
    ///
    /// # Errors
    /// Those of `work`; [`OpenError`] as those of [`Store::open`], and when there is no file.
    pub fn read_closed<T, E>(
        path: &Path,
        schema: &Schema,
        work: impl FnOnce(&Reader) -> Result<T, E>,
    ) -> Result<T, E>
    where
        E: From<OpenError> + From<StoreError>,
    {
        let generation = opening::look_into(path, schema)?;
        let moment = generation.begin_read()?;
        let read = work(&Reader::new(Arc::clone(&generation), Source::Moment(moment)));
        // What closing writes goes nowhere.
        let _unneeded = generation.close();
        read
    }

    /// Reads from one moment of the store: what is committed while `work` runs is not seen by it.
    ///
    /// Runs on the caller's thread. Looking up some entries is quick enough for async code; a walk
    /// through much belongs on a thread that may block.
    ///
    /// # Errors
    /// Those of `work`, and [`StoreError`] when there is nothing to read from.
    pub fn read<T, E>(&self, work: impl FnOnce(&Reader) -> Result<T, E>) -> Result<T, E>
    where
        E: From<StoreError>,
    {
        work(&self.shared.reader()?)
    }

    /// Writes, and returns when that is safe on the disk.
    ///
    /// Writes happen in the order in which they come. Those that come while others are being
    /// committed wait, and are committed together; so `work` may be run more than once, and should
    /// do nothing but write: the run whose answer is returned is the one that counts. A `work`
    /// that fails or panics leaves no trace. It must not call the store itself.
    ///
    /// It has its place among the others when this is called, not only when it is waited for. Dropped while it
    /// waits, the write happens all the same. After [`StoreError::Full`] or
    /// [`StoreError::Io`] the write was not acknowledged: as after a power cut, it has happened
    /// whole or not at all.
    ///
    /// # Errors
    /// Those of `work`, and [`StoreError`] when it could not be run or committed.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn write<T, E, F>(
        &self,
        work: F,
    ) -> impl Future<Output = Result<T, E>> + Send + use<T, E, F>
    where
        F: Fn(&mut Writer) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = job(work, move |result| {
            // Whoever asked may be gone; the write stands.
            let _unheard = reply.send(result);
        });
        let submitted = self.shared.submit(job).map(|lead| {
            if let Some(lead) = lead {
                drop(spawn_blocking(move || lead.run()));
            }
        });
        let shared = Arc::clone(&self.shared);
        async move {
            submitted?;
            answer.await.unwrap_or_else(|_| Err(shared.stopped().into()))
        }
    }

    /// [`Store::write`] for a thread that may block.
    ///
    /// # Errors
    /// As those of [`Store::write`].
    pub fn write_blocking<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: Fn(&mut Writer) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (reply, answer) = mpsc::sync_channel(1);
        let job = job(work, move |result| {
            let _unheard = reply.send(result);
        });
        if let Some(lead) = self.shared.submit(job)? {
            lead.run_one_batch();
        }
        answer.recv().unwrap_or_else(|_| Err(self.shared.stopped().into()))
    }

    /// Makes a copy of this moment of the store, whole or not at all, while it is in use. What was
    /// at `to` is replaced, but nothing that comes there while the copy is made. The copy holds what
    /// lives, and nothing that was removed.
    ///
    /// # Errors
    /// [`BackupError`]; what was at `to` is then as it was.
    pub async fn backup(&self, to: impl Into<PathBuf>) -> Result<(), BackupError> {
        self.back_up(to.into(), IfThere::Replace).await
    }

    /// [`Store::backup`] to a path where nothing is: nothing is replaced, and of all that are made
    /// there at the same time one has it.
    ///
    /// # Errors
    /// [`BackupError`]; it is [`BackupError::Taken`] when something is at `to`.
    pub async fn backup_to_new(&self, to: impl Into<PathBuf>) -> Result<(), BackupError> {
        self.back_up(to.into(), IfThere::Refuse).await
    }

    async fn back_up(&self, to: PathBuf, if_there: IfThere) -> Result<(), BackupError> {
        let shared = Arc::clone(&self.shared);
        let made = spawn_blocking(move || backup::make(&shared, &to, if_there)).await;
        made.unwrap_or_else(|_| Err(self.shared.stopped().into()))
    }

    /// [`Store::backup`] for a thread that may block.
    ///
    /// # Errors
    /// As those of [`Store::backup`].
    pub fn backup_blocking(&self, to: &Path) -> Result<(), BackupError> {
        backup::make(&self.shared, to, IfThere::Replace)
    }

    /// [`Store::backup_to_new`] for a thread that may block.
    ///
    /// # Errors
    /// As those of [`Store::backup_to_new`].
    pub fn backup_to_new_blocking(&self, to: &Path) -> Result<(), BackupError> {
        backup::make(&self.shared, to, IfThere::Refuse)
    }

    /// Copies all that lives into a new file and puts that in the place of the old one, so that
    /// nothing of what was removed before is left in the folder, nor a damaged file that [`salvage()`] has
    /// kept there. Readers go on with the old file
    /// until they end, and writers wait. When this is interrupted, the old file stays.
    ///
    /// # Errors
    /// [`StoreError`]; the store goes on with what it had.
    pub async fn rewrite(&self) -> Result<(), StoreError> {
        let shared = Arc::clone(&self.shared);
        let done = spawn_blocking(move || rewrite::rewrite(&shared)).await;
        done.unwrap_or_else(|_| Err(self.shared.stopped()))
    }

    /// [`Store::rewrite`] for a thread that may block.
    ///
    /// # Errors
    /// As those of [`Store::rewrite`].
    pub fn rewrite_blocking(&self) -> Result<(), StoreError> {
        rewrite::rewrite(&self.shared)
    }

    /// Whether a damaged file that [`salvage()`] has kept is beside this one, or may be. The next
    /// [`Store::rewrite`] removes it.
    pub fn keeps_damaged(&self) -> bool {
        rewrite::keeps_damaged(self.shared.path())
    }

    /// Lets go of the file once the write in progress has ended, whatever other handles there are.
    /// Everything that comes later, and readers that are not done, get [`StoreError::Closed`].
    ///
    /// # Errors
    /// [`StoreError`] when closing failed. The file is let go all the same, and the next open will
    /// repair it.
    pub async fn close(&self) -> Result<(), StoreError> {
        let shared = Arc::clone(&self.shared);
        let closed = spawn_blocking(move || shared.close()).await;
        closed.unwrap_or_else(|_| Err(self.shared.stopped()))
    }

    /// [`Store::close`] for a thread that may block.
    ///
    /// # Errors
    /// As those of [`Store::close`].
    pub fn close_blocking(&self) -> Result<(), StoreError> {
        self.shared.close()
    }

    /// Where its file is.
    pub fn path(&self) -> &Path {
        self.shared.path()
    }

    /// The size of its file, in bytes.
    ///
    /// # Errors
    /// [`StoreError::Io`] when the file cannot be looked at.
    pub fn size_bytes(&self) -> Result<u64, StoreError> {
        let about = std::fs::metadata(self.path());
        about.map(|about| about.len()).map_err(|error| StoreError::io(self.path(), error))
    }

    /// The first damage that was met in it since it was opened, and is told of where it was met: a store of
    /// more than [`StoreOptions::verify_max_bytes`] is not looked through when it is opened. A rewrite that
    /// succeeds has found none.
    pub fn damage(&self) -> Option<StoreError> {
        self.shared.damage()
    }

    /// Whether the last write was not whole when it was opened after it had not been closed, and was taken back. A
    /// loss of power leaves one so of which nobody was told that it is kept, and damage leaves one of which
    /// somebody may have been: neither redb nor this can tell which it was.
    pub fn took_back(&self) -> bool {
        self.shared.took_back()
    }

    /// How often its file was opened again because a write had failed. That write may be kept all the same, and whoever
    /// it was of need not know.
    pub fn reopened(&self) -> u64 {
        self.shared.reopened()
    }

    /// How many durable commits there were since it was opened.
    pub fn commits(&self) -> u64 {
        self.shared.commits()
    }
}
