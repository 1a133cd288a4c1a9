//! The files of trust: for their owner alone, and replaced as a whole or not at all.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::TrustError;

/// No file of trust is larger, in bytes.
const FILE_MAX_LEN: u64 = 4 << 20;

/// A folder of trust.
#[derive(Debug, Clone)]
pub(super) struct Folder(PathBuf);

impl Folder {
    /// The folder, made if need be.
    pub(super) fn make(path: &Path) -> Result<Self, TrustError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
        made.map_err(|error| failed(path, error))?;
        Ok(Self(path.to_owned()))
    }

    pub(super) fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    pub(super) fn root(&self) -> &Path {
        &self.0
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The text of a file; `None` if it is not there.
    pub(super) fn read(&self, name: &str) -> Result<Option<String>, TrustError> {
        let path = self.path(name);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(&path, error)),
        };
        let mut text = String::new();
        let read = file.take(FILE_MAX_LEN).read_to_string(&mut text);
        read.map_err(|error| failed(&path, error))?;
        Ok(Some(text))
    }

    /// Replaces a file. When this returns it is on the disk.
    pub(super) fn write(&self, name: &str, text: &str) -> Result<(), TrustError> {
        let (path, draft) = (self.path(name), self.path(&format!(".{name}.new")));
        let write = || {
            let _is_seldom_there = std::fs::remove_file(&draft);
            let mut options = OpenOptions::new();
            let mut file = options.write(true).create_new(true).mode(0o600).open(&draft)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&draft, &path)?;
            File::open(&self.0)?.sync_all()
        };
        write().map_err(|error| failed(&path, error))
    }

    /// Puts a file in the place of another.
    pub(super) fn rename(&self, from: &str, to: &str) -> Result<(), TrustError> {
        let path = self.path(to);
        let rename = || {
            std::fs::rename(self.path(from), &path)?;
            File::open(&self.0)?.sync_all()
        };
        rename().map_err(|error| failed(&path, error))
    }

    /// Keeps others from changing the folder as long as the file lives.
    pub(super) fn lock(&self) -> Result<File, TrustError> {
        let path = self.path("lock");
        let lock = || {
            let mut options = OpenOptions::new();
            let file = options.write(true).create(true).truncate(false).mode(0o600).open(&path)?;
            file.lock()?;
            Ok(file)
        };
        lock().map_err(|error| failed(&path, error))
    }
}

pub(super) fn failed(path: &Path, error: std::io::Error) -> TrustError {
    TrustError::File { path: path.display().to_string(), error }
}
