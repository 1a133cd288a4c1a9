//! What can go wrong with a store, in words that say what to do.

use std::any::Any;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use genii_protocols::wire::WireError;

use crate::said::without_places;

/// What helps where a store is damaged.
const REMEDY: &str = "restore a backup; that of a being `being check` looks over, which tells what of it can \
                      be saved";

/// Why a store could not be opened, looked over or repaired.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Somebody has it: another process, or another handle of this one.
    #[error("the store {} is in use elsewhere; close it there first", path.display())]
    Locked {
        /// Its file.
        path: PathBuf,
    },
    /// The file is a store no more.
    #[error(
        "the store {} is damaged: {why}; {REMEDY}",
        path.display()
    )]
    Damaged {
        /// Its file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The file does not begin as a store does.
    #[error(
        "{} is not a store: {why}; if it was one, it is damaged: {REMEDY}",
        path.display()
    )]
    NotAStore {
        /// The file.
        path: PathBuf,
        /// How one can tell.
        why: String,
    },
    /// It is a store, but of something else.
    #[error("{} is a store of {found:?} and not of {expected:?}", path.display())]
    OtherApplication {
        /// Its file.
        path: PathBuf,
        /// Whose it is.
        found: String,
        /// Whose it should be.
        expected: &'static str,
    },
    /// A newer genii has written it.
    #[error(
        "the store {} was written by a newer genii: its {what} has version {found}, and this one \
         knows {known}; use the newer genii",
        path.display()
    )]
    Newer {
        /// Its file.
        path: PathBuf,
        /// What is newer: the schema, or the format of the store itself.
        what: &'static str,
        /// The version of the file.
        found: u32,
        /// The version of the code.
        known: u32,
    },
    /// It is from before the first migration that is left.
    #[error(
        "the store {} has version {found}, and this genii can bring on no version before {oldest}; \
         open it once with an older genii",
        path.display()
    )]
    TooOld {
        /// Its file.
        path: PathBuf,
        /// The version of the file.
        found: u32,
        /// The oldest version from which there is a migration.
        oldest: u32,
    },
    /// It could not be brought to the version of the code, and is as it was.
    #[error(
        "the store {} could not be brought to version {to} ({what}), and is as it was: {why}",
        path.display()
    )]
    Migration {
        /// Its file.
        path: PathBuf,
        /// The version that the migration would have brought it to.
        to: u32,
        /// What the migration does.
        what: &'static str,
        /// What went wrong.
        why: String,
    },
    /// There is no file.
    #[error("there is no store {}", path.display())]
    Missing {
        /// Where it should have been.
        path: PathBuf,
    },
    /// There is no space for it.
    #[error("there is no space for the store {}: {source}; make some and try again", path.display())]
    Full {
        /// Its file.
        path: PathBuf,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// The file may not be read and written.
    #[error(
        "the store {} may not be read and written: {source}; see to the rights of the file and its \
         folder",
        path.display()
    )]
    Denied {
        /// Its file.
        path: PathBuf,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// The system failed otherwise.
    #[error("the store {} cannot be read or written: {source}", path.display())]
    Io {
        /// Its file.
        path: PathBuf,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// It was opened, and then failed when it was first read or written.
    #[error(transparent)]
    Store(StoreError),
}

/// Why something could not be read from a store or written to it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// What is in the file is not what was written.
    #[error(
        "{place} of the store {} is damaged: {why}; {REMEDY}",
        path.display()
    )]
    Damaged {
        /// Its file.
        path: PathBuf,
        /// Which entry of which table, as far as one can tell.
        place: String,
        /// What is wrong with it.
        why: String,
    },
    /// A value cannot be encoded, or is too large to be decoded again.
    #[error("the value for {key} cannot be kept in table {table:?}: {source}")]
    Unfit {
        /// The table.
        table: &'static str,
        /// The key.
        key: String,
        /// Why it cannot.
        source: Arc<WireError>,
    },
    /// No entry can come behind the last one: that has the highest number that there is.
    #[error("nothing more can be kept in table {table:?}: its last entry has the highest number")]
    NoNumber {
        /// The table.
        table: &'static str,
    },
    /// There is no space on the disk. Nothing of the write was acknowledged.
    #[error("no space is left for the store {}: {source}; make some and try again", path.display())]
    Full {
        /// Its file.
        path: PathBuf,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// The system failed. Nothing of the write was acknowledged.
    #[error("the store {} could not be read or written: {source}", path.display())]
    Io {
        /// Its file.
        path: PathBuf,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// Too many writes wait already; this one was not taken.
    #[error(
        "{waiting_max} writes wait for the store {} already, as many as may; try again later",
        path.display()
    )]
    Busy {
        /// Its file.
        path: PathBuf,
        /// How many may.
        waiting_max: usize,
    },
    /// The write panicked, and left no trace.
    #[error("a write panicked and was taken back: {message}")]
    Panicked {
        /// What the panic said.
        message: String,
    },
    /// The store was closed.
    #[error("the store {} was closed; open it again", path.display())]
    Closed {
        /// Its file.
        path: PathBuf,
    },
    /// After a failure the file was to be opened again, and could not be.
    #[error("after a failure it could not be opened again: {0}")]
    Unopened(#[source] Arc<OpenError>),
    /// A write asked the store for what has to wait for the end of the write.
    #[error(
        "a write to the store {} asks it for what must wait for this write; do it after, or with \
         the same writer",
        path.display()
    )]
    Nested {
        /// Its file.
        path: PathBuf,
    },
    /// Whoever worked for this caller was stopped, as happens when a runtime is shut down. It is
    /// not known whether the work was done.
    #[error("work on the store {} was stopped before it answered", path.display())]
    Stopped {
        /// Its file.
        path: PathBuf,
    },
}

impl OpenError {
    pub(super) fn io(path: &Path, error: io::Error) -> Self {
        let (path, source) = (path.to_owned(), Arc::new(error));
        match source.kind() {
            kind if is_full(kind) => Self::Full { path, source },
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
                Self::Denied { path, source }
            }
            _ => Self::Io { path, source },
        }
    }

    /// What redb says of a file that it does not open.
    pub(super) fn redb(path: &Path, error: redb::Error) -> Self {
        match error {
            redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => {
                Self::Locked { path: path.to_owned() }
            }
            redb::Error::Io(error) if !is_damage(error.kind()) => Self::io(path, error),
            other => Self::damaged(path, without_places(&other.to_string())),
        }
    }

    pub(super) fn damaged(path: &Path, why: String) -> Self {
        Self::Damaged { path: path.to_owned(), why }
    }
}

impl From<StoreError> for OpenError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Full { path, source } => Self::Full { path, source },
            StoreError::Io { path, source } => Self::Io { path, source },
            StoreError::Damaged { path, place, why } => {
                Self::Damaged { path, why: format!("{place}: {why}") }
            }
            other => Self::Store(other),
        }
    }
}

impl StoreError {
    pub(super) fn io(path: &Path, error: io::Error) -> Self {
        let (path, source) = (path.to_owned(), Arc::new(error));
        match source.kind() {
            kind if is_full(kind) => Self::Full { path, source },
            _ => Self::Io { path, source },
        }
    }

    /// What redb says of an open store.
    pub(super) fn redb(path: &Path, error: redb::Error) -> Self {
        match error {
            redb::Error::DatabaseClosed => Self::Closed { path: path.to_owned() },
            redb::Error::Io(error) if !is_damage(error.kind()) => Self::io(path, error),
            redb::Error::PreviousIo => {
                Self::io(path, io::Error::other("reading or writing it failed before"))
            }
            other => Self::structure(path, without_places(&other.to_string())),
        }
    }

    /// The file cannot be what was written, and no entry can be named.
    pub(super) fn structure(path: &Path, why: String) -> Self {
        Self::Damaged { path: path.to_owned(), place: "the structure".to_owned(), why }
    }
}

/// Whether there is no space: on the disk, within a quota, or within the size that files may have.
pub(crate) fn is_full(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge)
}

/// Whether it is no fault of the system, but of what is in the file: an end that comes too early,
/// or what redb reports as data that it does not know.
fn is_damage(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::UnexpectedEof | ErrorKind::InvalidData)
}

/// What a panic said.
pub(super) fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("it said nothing").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_says_is_told_as_what_it_means() {
        let path = Path::new("being.redb");
        let kinds = [
            (ErrorKind::StorageFull, "there is no space for the store being.redb"),
            (ErrorKind::QuotaExceeded, "there is no space for the store being.redb"),
            (ErrorKind::FileTooLarge, "there is no space for the store being.redb"),
            (ErrorKind::PermissionDenied, "may not be read and written"),
            (ErrorKind::ReadOnlyFilesystem, "may not be read and written"),
            (ErrorKind::TimedOut, "cannot be read or written"),
        ];
        for (kind, says) in kinds {
            let said = OpenError::redb(path, redb::Error::Io(kind.into())).to_string();
            assert!(said.contains(says), "{said}");
            let is_full = matches!(StoreError::io(path, kind.into()), StoreError::Full { .. });
            assert_eq!(is_full, says.contains("space"), "{kind}");
        }
        let cut_short = redb::Error::Io(ErrorKind::UnexpectedEof.into());
        assert!(matches!(OpenError::redb(path, cut_short), OpenError::Damaged { .. }));
    }

    #[test]
    fn no_place_in_the_source_of_redb_is_told() {
        let path = Path::new("being.redb");
        let poisoned = || redb::Error::LockPoisoned(std::panic::Location::caller());
        assert!(poisoned().to_string().contains(".rs:"), "else this shows nothing");
        let errors = [
            OpenError::redb(path, poisoned()).to_string(),
            StoreError::redb(path, poisoned()).to_string(),
        ];
        for said in errors {
            assert!(
                said.contains("Poisoned internal lock; restore") && !said.contains(".rs:"),
                "{said}"
            );
        }
    }

    #[test]
    fn a_panic_is_told_by_its_message() {
        for panic in [Box::new("text") as Box<dyn Any + Send>, Box::new("text".to_owned())] {
            assert_eq!(panic_message(&*panic), "text");
        }
        assert_eq!(panic_message(&7_u8), "it said nothing");
    }
}
