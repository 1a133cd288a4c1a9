//! One opening of a store's file. A store has another one after a failure and after a rewrite.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::RwLock;
use redb::{Database, ReadTransaction, ReadableDatabase, WriteTransaction};

use super::errors::{StoreError, panic_message};

pub(super) struct Generation {
    path: PathBuf,
    /// Taken out when it is closed. Readers hold the generation, so that the file of one that was
    /// replaced stays open until they are done.
    database: RwLock<Option<Database>>,
    /// The first failure of the system. redb refuses all work after it.
    failure: OnceLock<StoreError>,
    /// The first damage that was met in the file.
    damage: OnceLock<StoreError>,
    /// A change went wrong in a way that redb wants the file to be opened again for.
    broken: AtomicBool,
    /// When it was opened, the last write was not whole.
    took_back: AtomicBool,
}

impl Generation {
    pub(super) fn new(path: &Path, database: Database) -> Self {
        Self {
            path: path.to_owned(),
            database: RwLock::new(Some(database)),
            failure: OnceLock::new(),
            damage: OnceLock::new(),
            broken: AtomicBool::new(false),
            took_back: AtomicBool::new(false),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn failure(&self) -> Option<&StoreError> {
        self.failure.get()
    }

    pub(super) fn damage(&self) -> Option<&StoreError> {
        self.damage.get()
    }

    /// Keeps in mind that damage was met in the file.
    pub(super) fn meet(&self, damage: &StoreError) {
        self.damage.get_or_init(|| damage.clone());
    }

    /// Keeps in mind that the last write was not whole when the file was opened, and was taken back.
    pub(super) fn take_back(&self) {
        self.took_back.store(true, Ordering::Relaxed);
    }

    pub(super) fn took_back(&self) -> bool {
        self.took_back.load(Ordering::Relaxed)
    }

    /// Whether nothing more can be written with this opening.
    pub(super) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire) || self.failure.get().is_some()
    }

    pub(super) fn mark_broken(&self) {
        self.broken.store(true, Ordering::Release);
    }

    pub(super) fn begin_read(&self) -> Result<ReadTransaction, StoreError> {
        self.guard(|| {
            let database = self.database.read();
            let database = database.as_ref().ok_or(redb::Error::DatabaseClosed)?;
            Ok(database.begin_read()?)
        })
    }

    /// Begins a change. The caller sees to it that there is only one at a time: redb would wait.
    pub(super) fn begin_write(&self) -> Result<WriteTransaction, StoreError> {
        self.guard(|| {
            let database = self.database.read();
            let database = database.as_ref().ok_or(redb::Error::DatabaseClosed)?;
            Ok(database.begin_write()?)
        })
    }

    /// Lets go of the file at once. Readers that are not done are told that it is closed.
    pub(super) fn close(&self) -> Result<(), StoreError> {
        let Some(database) = self.database.write().take() else { return Ok(()) };
        self.guard(|| Ok(database.close()?))
    }

    /// Does something with redb, and says in our words what came of it. redb trusts a file that
    /// was closed cleanly, and may panic over one that was damaged since.
    pub(super) fn guard<T>(
        &self,
        work: impl FnOnce() -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        let (error, is_over) = match catch_unwind(AssertUnwindSafe(work)) {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(redb::Error::PreviousIo)) => {
                // Not the failure itself, which whoever met it may not have told yet.
                self.mark_broken();
                return Err(self.cause_of(redb::Error::PreviousIo));
            }
            Ok(Err(error @ redb::Error::DatabaseClosed)) => return Err(self.cause_of(error)),
            Ok(Err(error)) => {
                let is_over = matches!(error, redb::Error::Io(_));
                (StoreError::redb(&self.path, error), is_over)
            }
            Err(panic) => (StoreError::structure(&self.path, panic_message(&*panic)), false),
        };
        if is_over {
            self.failure.get_or_init(|| error.clone());
        }
        if matches!(error, StoreError::Damaged { .. }) {
            self.meet(&error);
        }
        Err(error)
    }

    /// What is behind an error that only tells that something failed before, or that the file was
    /// closed because of it. It is not damage: that is of one entry, and not of the one that is asked for now.
    fn cause_of(&self, error: redb::Error) -> StoreError {
        let failure =
            self.failure().filter(|failure| !matches!(failure, StoreError::Damaged { .. }));
        failure.cloned().unwrap_or_else(|| StoreError::redb(&self.path, error))
    }

    /// [`Generation::guard`] for what leaves redb in an unknown state when it fails.
    pub(super) fn guard_change<T>(
        &self,
        work: impl FnOnce() -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        self.guard(work).inspect_err(|_| self.mark_broken())
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        // Nobody is left to be told. What was committed is safe, and the next open sees to the rest.
        let _unheard = self.close();
    }
}
