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
        self.replace(&[], &[(name, text)])
    }

    /// Takes files away and replaces others, in this order; nothing of it where one of them cannot be
    /// written. When this returns all is on the disk. Each is replaced as a whole; of several, some may
    /// be when it is cut short.
    pub(super) fn replace(&self, away: &[&str], files: &[(&str, &str)]) -> Result<(), TrustError> {
        for (name, text) in files {
            self.draft(name, text).map_err(|error| failed(&self.path(name), error))?;
        }
        for name in away {
            match std::fs::remove_file(self.path(name)) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(failed(&self.path(name), error));
                }
                _ => {}
            }
        }
        for (name, _) in files {
            let renamed = std::fs::rename(draft_of(self, name), self.path(name));
            renamed.map_err(|error| failed(&self.path(name), error))?;
        }
        let synced = File::open(&self.0).and_then(|folder| folder.sync_all());
        synced.map_err(|error| failed(&self.0, error))
    }

    /// Writes what is to be in a file beside it.
    fn draft(&self, name: &str, text: &str) -> std::io::Result<()> {
        let draft = draft_of(self, name);
        let _is_seldom_there = std::fs::remove_file(&draft);
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o600).open(&draft)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
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

fn draft_of(folder: &Folder, name: &str) -> PathBuf {
    folder.path(&format!(".{name}.new"))
}

pub(super) fn failed(path: &Path, error: std::io::Error) -> TrustError {
    TrustError::File { path: path.display().to_string(), error }
}
