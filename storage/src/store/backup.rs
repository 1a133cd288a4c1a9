//! Backups of a store, and stores from backups.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::check::{Report, check};
use super::errors::{OpenError, StoreError};
use super::files::private;
use super::generation::Generation;
use super::partial::{IfThere, Partial};
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
    /// Another file is there, or came there while the backup was made.
    #[error(
        "{} is there already, or is just being made by somebody else; name another file for the \
         backup",
        path.display()
    )]
    Taken {
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
    /// What it would replace is open, or came there meanwhile.
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

impl BackupError {
    fn io(to: &Path, error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::ResourceBusy => Self::InUse { path: to.to_owned() },
            ErrorKind::AlreadyExists => Self::Taken { path: to.to_owned() },
            _ => Self::Store(StoreError::io(to, error)),
        }
    }

    /// What went wrong in copying into a partial file.
    fn copy(to: &Path, error: StoreError) -> Self {
        match error {
            // Somebody took it for one that was left, and makes a backup of their own.
            StoreError::Unopened(why) if matches!(*why, OpenError::Locked { .. }) => {
                Self::Taken { path: to.to_owned() }
            }
            error => Self::Store(error),
        }
    }
}

impl RestoreError {
    fn io(to: &Path, error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::ResourceBusy | ErrorKind::AlreadyExists => {
                Self::InUse { path: to.to_owned() }
            }
            _ => Self::Store(StoreError::io(to, error)),
        }
    }

    /// What went wrong in looking a partial file over.
    fn check(to: &Path, error: OpenError) -> Self {
        match error {
            // Somebody took it for one that was left, and makes one of their own.
            OpenError::Locked { .. } | OpenError::Missing { .. } => {
                Self::InUse { path: to.to_owned() }
            }
            error => Self::Backup(error),
        }
    }
}

/// Makes a backup of this moment.
pub(super) fn make(shared: &Arc<Shared>, to: &Path, if_there: IfThere) -> Result<(), BackupError> {
    let failed = |error| BackupError::io(to, error);
    let partial = Partial::begin(to, if_there).map_err(failed)?;
    let reader = shared.reader()?;
    let copied = copy(reader.generation(), partial.path(), &shared.options);
    let copied = copied.map_err(|error| BackupError::copy(to, error))?;
    Generation::new(partial.path(), copied).close()?;
    partial.finish().map_err(failed)
}

/// Puts a copy of a backup in the place of a store that is closed, or where there is none. The
/// copy is looked over first, entry by entry. Blocking.
///
/// # Errors
/// [`RestoreError`]; what was at `to` is then as it was.
pub fn restore(from: &Path, to: &Path) -> Result<Report, RestoreError> {
    let failed = |error| RestoreError::io(to, error);
    let partial = Partial::begin(to, IfThere::Replace).map_err(failed)?;
    if !from.try_exists().map_err(|error| RestoreError::Backup(OpenError::io(from, error)))? {
        return Err(RestoreError::Backup(OpenError::Missing { path: from.to_owned() }));
    }
    copy_bytes(from, &partial).map_err(failed)?;
    // The copy is looked over, and not the backup: nobody can change that meanwhile.
    let report = check(partial.path()).map_err(|error| RestoreError::check(to, error))?;
    if !report.is_whole() {
        let (path, report) = (from.to_owned(), Box::new(report));
        return Err(RestoreError::NotWhole { path, report });
    }
    partial.finish().map_err(failed)?;
    Ok(Report { path: to.to_owned(), ..report })
}

/// Only the bytes: a backup may be one that nobody may write to.
fn copy_bytes(from: &Path, partial: &Partial) -> io::Result<()> {
    let mut file = private().create_new(true).open(partial.path())?;
    let _held = partial.hold()?;
    io::copy(&mut File::open(from)?, &mut file).map(drop)
}
