//! Backups of a store, and stores from backups.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::check::{Report, check};
use super::errors::{OpenError, StoreError};
use super::files::{PARTIAL, beside, claim, remove_if_there, replace, sync};
use super::generation::Generation;
use super::rewrite::copy;
use super::shared::Shared;

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// What it would replace is a store that is open.
    #[error("{} is a store in use; name another file for the backup", path.display())]
    InUse {
        /// Where the backup was to be.
        path: PathBuf,
    },
    /// The store could not be read, or the backup not be written.
    #[error("no backup was made: {0}")]
    Store(#[from] StoreError),
}

/// Why a store was not restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// What it would replace is open.
    #[error("the store {} is in use; close it before it is replaced", path.display())]
    InUse {
        /// The store.
        path: PathBuf,
    },
    /// The backup is damaged itself.
    #[error("the backup {} is not whole: {}", path.display(), report.finding)]
    NotWhole {
        /// The backup.
        path: PathBuf,
        /// What is wrong with it.
        report: Box<Report>,
    },
    /// The backup cannot be looked over.
    #[error("the backup cannot be used: {0}")]
    Backup(#[source] OpenError),
    /// Its copy could not be written.
    #[error("nothing was restored: {0}")]
    Store(#[source] StoreError),
}

/// Makes a backup of this moment.
pub(super) fn make(shared: &Arc<Shared>, to: &Path) -> Result<(), BackupError> {
    let failed = |error| StoreError::io(to, error);
    let in_use = || BackupError::InUse { path: to.to_owned() };
    let _claim = match claim(to) {
        Err(error) if error.kind() == ErrorKind::ResourceBusy => return Err(in_use()),
        claimed => claimed.map_err(failed)?,
    };
    let reader = shared.reader()?;
    let partial = beside(to, PARTIAL);
    let made = copy(reader.generation(), &partial, &shared.options)
        .and_then(|copy| Generation::new(&partial, copy).close())
        .and_then(|()| sync(&partial).and_then(|()| replace(&partial, to)).map_err(failed));
    made.map_err(|error| {
        // The error tells of what went wrong first. What is left is replaced by the next backup.
        let _left = remove_if_there(&partial);
        error.into()
    })
}

/// Puts a copy of a backup in the place of a store that is closed, or where there is none. The
/// copy is looked over first, entry by entry. Blocking.
///
/// # Errors
/// [`RestoreError`]; what was at `to` is then as it was.
pub fn restore(from: &Path, to: &Path) -> Result<Report, RestoreError> {
    let failed = |error: io::Error| RestoreError::Store(StoreError::io(to, error));
    let _claim = match claim(to) {
        Err(error) if error.kind() == ErrorKind::ResourceBusy => {
            return Err(RestoreError::InUse { path: to.to_owned() });
        }
        claimed => claimed.map_err(failed)?,
    };
    let partial = beside(to, PARTIAL);
    let restored = copy_whole(from, &partial).and_then(|report| {
        sync(&partial).and_then(|()| replace(&partial, to)).map_err(failed)?;
        Ok(Report { path: to.to_owned(), ..report })
    });
    restored.inspect_err(|_| {
        let _left = remove_if_there(&partial);
    })
}

/// Copies a backup, and looks the copy over: nobody can change that meanwhile.
fn copy_whole(from: &Path, to: &Path) -> Result<Report, RestoreError> {
    if !from.try_exists().map_err(|error| RestoreError::Backup(OpenError::io(from, error)))? {
        return Err(RestoreError::Backup(OpenError::Missing { path: from.to_owned() }));
    }
    copy_bytes(from, to).map_err(|error| RestoreError::Store(StoreError::io(to, error)))?;
    let report = check(to).map_err(RestoreError::Backup)?;
    if !report.is_whole() {
        let (path, report) = (from.to_owned(), Box::new(report));
        return Err(RestoreError::NotWhole { path, report });
    }
    Ok(report)
}

/// Only the bytes: a backup may be one that nobody may write to.
fn copy_bytes(from: &Path, to: &Path) -> io::Result<()> {
    remove_if_there(to)?;
    io::copy(&mut File::open(from)?, &mut File::create(to)?).map(drop)
}
