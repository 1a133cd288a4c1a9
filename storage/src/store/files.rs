//! What a store does with files: names beside it, locks, and replacing one at once.

use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind};
use std::ops::Bound;
use std::path::{Path, PathBuf};

use redb::StorageBackend;
use redb::backends::FileBackend;

/// What a new store is called until it is whole.
pub(super) const NEW: &str = ".new";

/// What the file is called that takes the place of another when it is whole.
pub(super) const REWRITE: &str = ".rewrite";

/// What the damaged file is called of which the rest was saved. It goes with the next rewrite, since it
/// holds what was removed.
pub(super) const DAMAGED: &str = ".damaged";

/// The file beside another whose name has this at its end.
pub(super) fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(end);
    name.into()
}

pub(super) fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Puts a file in the place of another. When this returns, that is on the disk.
pub(super) fn replace(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    sync_folder_of(to)
}

/// Syncs a file and what the folder says of it.
pub(super) fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

pub(super) fn sync_folder_of(path: &Path) -> io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}

pub(super) fn folder_of(path: &Path) -> &Path {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

pub(super) fn open_to_write(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

/// How a file is opened that nobody but its owner may read, if it is made. Where files have no owners, as
/// on many a stick, everybody may.
pub(super) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// A claim to a file that nobody has open, for as long as it is held.
pub(super) struct Claim {
    file: FileBackend,
}

impl Drop for Claim {
    fn drop(&mut self) {
        // To close the file is not enough: a process that is just being started may have it too.
        let _unlocked = self.file.close();
    }
}

/// Claims a file, if there is one. `Err` with [`ErrorKind::ResourceBusy`] when somebody has it, or
/// has just replaced it.
pub(super) fn claim(path: &Path) -> io::Result<Option<Claim>> {
    let file = match open_to_write(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let about = file.metadata()?;
    let file = FileBackend::new(file).map_err(io::Error::other)?;
    let locked = file.try_lock_range(Bound::Unbounded, Bound::Unbounded);
    match locked.map_err(io::Error::from)? && is_still(path, &about)? {
        true => Ok(Some(Claim { file })),
        false => Err(ErrorKind::ResourceBusy.into()),
    }
}

/// Whether somebody has a store open, here or in another process. A file that cannot be written to is open to
/// nobody like us.
///
/// # Errors
/// When that cannot be seen.
pub fn is_in_use(path: &Path) -> io::Result<bool> {
    match claim(path) {
        Err(error) if error.kind() == ErrorKind::ResourceBusy => Ok(true),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(false),
        claimed => claimed.map(|_| false),
    }
}

/// Whether a path still leads to a file that was opened by it. Between the two it may have been
/// replaced, and a lock on the file would then be a lock on nothing.
pub(super) fn is_still(path: &Path, opened: &Metadata) -> io::Result<bool> {
    match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        found => found.map(|found| is_same(&found, opened)),
    }
}

#[cfg(unix)]
fn is_same(one: &Metadata, other: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// Elsewhere an open file cannot be replaced.
#[cfg(not(unix))]
fn is_same(_: &Metadata, _: &Metadata) -> bool {
    true
}
