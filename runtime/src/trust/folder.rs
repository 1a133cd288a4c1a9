//! The files of trust: for their owner alone, and replaced as a whole or not at all.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use genii_protocols::Timestamp;

use super::TrustError;

/// No file of trust is larger, in bytes.
const FILE_MAX_LEN: u64 = 4 << 20;

/// How long to wait for others that change the folder, who need some milliseconds.
const LOCK_PATIENCE: Duration = Duration::from_secs(3);

/// How long between two looks whether they are done.
const LOCK_PAUSE: Duration = Duration::from_millis(5);

/// How much is read of who has the lock, in bytes.
const HOLDER_MAX_LEN: u64 = 200;

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

    /// Keeps others from changing the folder as long as the file lives. Waits for them a moment, so that
    /// this is for threads that may.
    pub(super) fn lock(&self) -> Result<File, TrustError> {
        let path = self.path("lock");
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(&path).map_err(|error| failed(&path, error))?;
        let until = Instant::now() + LOCK_PATIENCE;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(error)) => return Err(failed(&path, error)),
                Err(TryLockError::WouldBlock) if Instant::now() < until => {
                    std::thread::sleep(LOCK_PAUSE);
                }
                Err(TryLockError::WouldBlock) => {
                    let folder = self.0.display().to_string();
                    return Err(TrustError::Busy { folder, holder: holder(&file) });
                }
            }
        }
        let text = format!("process {} since {}\n", std::process::id(), Timestamp::now());
        let _only_for_people = file.set_len(0).and_then(|()| file.write_all(text.as_bytes()));
        Ok(file)
    }
}

/// Who has a lock, as far as it has said so.
fn holder(file: &File) -> String {
    let mut text = String::new();
    let _unknown_if_unreadable = file.take(HOLDER_MAX_LEN).read_to_string(&mut text);
    match text.trim() {
        "" => "it does not say which".to_owned(),
        text => text.to_owned(),
    }
}

fn draft_of(folder: &Folder, name: &str) -> PathBuf {
    folder.path(&format!(".{name}.new"))
}

pub(super) fn failed(path: &Path, error: std::io::Error) -> TrustError {
    TrustError::File { path: path.display().to_string(), error }
}
