//! Files that somebody gave, looked at before they are copied: what can be no store, or has no room where it
//! would go, is told at once.

use std::fs::{self, File, Metadata};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::errors::OpenError;
use super::opening::look_at_beginning;

/// Why a file is not to be copied.
#[derive(Debug, thiserror::Error)]
pub enum AdmitError {
    /// Something else lies there, which may have no end, or not even a beginning.
    #[error("{} is {what}, and no file; name the file of a store", path.display())]
    NoFile {
        /// Where.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// It is larger than is wanted.
    #[error(
        "{} has {bytes} bytes, and {bytes_max} are the most that is taken; see that it is the right \
         file",
        path.display()
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// How many bytes it has.
        bytes: u64,
        /// How many it may have.
        bytes_max: u64,
    },
    /// It has no room where its copy would lie.
    #[error(
        "{bytes} bytes are to go into {}, and {free} are free there; make some room and try again",
        folder.display()
    )]
    NoRoom {
        /// The folder in which it would lie.
        folder: PathBuf,
        /// How many bytes it has.
        bytes: u64,
        /// For how many there is room.
        free: u64,
    },
    /// It is no store, is not there, or cannot be read.
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// Sees that a file may be copied as a store: that it is a file, begins as a store does, and has so many
/// bytes at most. How many it has. Blocking, though not for long: only the beginning of a file is read.
///
/// # Errors
/// [`AdmitError`] says what it is instead.
pub fn admit(path: &Path, bytes_max: u64) -> Result<u64, AdmitError> {
    let io = |error| OpenError::io(path, error);
    let about = match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(OpenError::Missing { path: path.to_owned() }.into());
        }
        about => about.map_err(io)?,
    };
    // Whoever opens a pipe waits for somebody at its other end.
    if !about.is_file() {
        return Err(AdmitError::NoFile { path: path.to_owned(), what: what(&about) });
    }
    let bytes = about.len();
    if bytes == 0 {
        // Also said by what the system makes up while it is read.
        return Err(OpenError::damaged(path, "the file is empty".to_owned()).into());
    }
    if bytes > bytes_max {
        return Err(AdmitError::TooLarge { path: path.to_owned(), bytes, bytes_max });
    }
    look_at_beginning(path, &File::open(path).map_err(io)?)?;
    Ok(bytes)
}

/// Sees that so many bytes have room in a folder, as far as its filesystem says so. Blocking.
///
/// # Errors
/// [`AdmitError::NoRoom`].
pub fn find_room(folder: &Path, bytes: u64) -> Result<(), AdmitError> {
    match free_bytes(folder) {
        Some(free) if free < bytes => {
            Err(AdmitError::NoRoom { folder: folder.to_owned(), bytes, free })
        }
        _ => Ok(()),
    }
}

fn what(about: &Metadata) -> &'static str {
    if about.is_dir() { "a folder" } else { "a device, a pipe or a socket" }
}

/// How many bytes the filesystem of a folder takes from anybody; `None` where it does not say.
#[cfg(unix)]
fn free_bytes(folder: &Path) -> Option<u64> {
    let about = rustix::fs::statvfs(folder).ok()?;
    // Those that have no size of their own say zero to everything.
    (about.f_blocks > 0).then(|| about.f_bavail.saturating_mul(about.f_frsize))
}

#[cfg(not(unix))]
fn free_bytes(_: &Path) -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, Mode, mkfifoat};

    use super::super::{Schema, Store, StoreOptions};
    use super::*;

    const SCHEMA: Schema = Schema::new("test", 1, &[]);

    #[test]
    fn what_can_be_no_store_is_told_before_it_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("folder")).unwrap();
        mkfifoat(CWD, path("pipe"), Mode::RUSR | Mode::WUSR).unwrap();
        fs::write(path("letter"), "Dear Ann,").unwrap();
        fs::write(path("empty"), "").unwrap();
        for (path, says) in [
            (path("folder"), "is a folder, and no file"),
            (path("pipe"), "is a device, a pipe or a socket, and no file"),
            (PathBuf::from("/dev/zero"), "is a device, a pipe or a socket, and no file"),
            (path("letter"), "is not a store"),
            (path("empty"), "the file is empty"),
            (path("none"), "there is no store"),
        ] {
            let said = admit(&path, u64::MAX).unwrap_err().to_string();
            assert!(said.contains(says), "{}: {said}", path.display());
        }
    }

    #[test]
    fn a_store_is_admitted_that_is_not_too_large() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("being.redb");
        Store::open(&path, &SCHEMA, &StoreOptions::default()).unwrap().close_blocking().unwrap();
        let bytes = path.metadata().unwrap().len();
        assert_eq!(admit(&path, bytes).unwrap(), bytes);
        let said = admit(&path, bytes - 1).unwrap_err().to_string();
        assert!(said.contains("the most that is taken"), "{said}");
        find_room(folder.path(), bytes).unwrap();
        let said = find_room(folder.path(), u64::MAX).unwrap_err().to_string();
        assert!(said.contains("make some room"), "{said}");
    }
}
