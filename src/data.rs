//! The data folder: what a household is on disk.

use std::ffi::OsString;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use etcetera::{AppStrategy, AppStrategyArgs, choose_app_strategy};
use genii_protocols::Name;
use tempfile::NamedTempFile;

use crate::fault::Fault;

/// The longest path that a Unix socket may have, on the systems that allow least.
const SOCKET_PATH_MAX: usize = 103;

/// How long a genii that was just killed may take to let go of its folder.
const LOCK_PATIENCE: Duration = Duration::from_millis(500);

/// How the names of temporary files and folders begin.
const TEMPORARY: &[u8] = b".tmp";

/// A data folder.
#[derive(Debug, Clone)]
pub struct Data {
    folder: PathBuf,
    /// As it was named on the command line, if it was.
    flag: Option<PathBuf>,
}

impl Data {
    /// The folder that was named, or the one in the user's data folder.
    ///
    /// # Errors
    /// When none was named and the user has no home.
    pub fn new(named: Option<PathBuf>) -> Result<Self, Fault> {
        let folder = match named {
            Some(folder) => std::path::absolute(&folder).unwrap_or(folder),
            None => {
                let names = AppStrategyArgs {
                    top_level_domain: "org".into(),
                    author: "genii".into(),
                    app_name: "genii".into(),
                };
                let strategy = choose_app_strategy(names).map_err(|error| {
                    Fault::new(format!("there is no data folder: {error}"))
                        .help("name one with --data DIR, or set GENII_DATA")
                })?;
                strategy.data_dir()
            }
        };
        Ok(Self { folder, flag: None })
    }

    /// The same, which was named so on the command line.
    #[must_use]
    pub fn with_flag(self, flag: Option<PathBuf>) -> Self {
        Self { flag, ..self }
    }

    /// How genii is called about this folder: `genii`, or `genii --data DIR` where whoever is told so has
    /// named it.
    pub fn genii(&self) -> String {
        self.flag.as_ref().map_or_else(|| "genii".to_owned(), |flag| genii_on(flag))
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What tells this folder from all others, also from one of the same name in a container.
    /// `None` if it is not there.
    pub fn mark(&self) -> Option<OsString> {
        let (path, folder) = (self.folder.canonicalize().ok()?, self.folder.metadata().ok()?);
        let mut mark = OsString::from(format!("{:x}.{:x}:", folder.dev(), folder.ino()));
        mark.push(path);
        Some(mark)
    }

    /// What is set for this household.
    pub fn settings_file(&self) -> PathBuf {
        self.folder.join("genii.toml")
    }

    /// Where a running genii listens.
    pub fn socket(&self) -> PathBuf {
        self.folder.join("admin.sock")
    }

    /// Where clients are served.
    pub fn clients_socket(&self) -> PathBuf {
        self.folder.join("clients.sock")
    }

    /// Who this machine is, and whom it trusts.
    pub fn trust(&self) -> PathBuf {
        self.folder.join("trust")
    }

    /// Where logs go.
    pub fn logs(&self) -> PathBuf {
        self.folder.join("logs")
    }

    /// What was typed at the REPL.
    pub fn history(&self) -> PathBuf {
        self.folder.join("history")
    }

    /// What was typed to a being, for whoever chats with it to find again.
    pub fn typed_to(&self, being: &Name) -> PathBuf {
        self.folder.join("chats").join(being.as_str())
    }

    /// Where is written what is needed only while something is worked on. The data folder may be one in which
    /// others have theirs: it is not to be taken for that of somebody else.
    fn scratch(&self) -> PathBuf {
        self.folder.join("genii-tmp")
    }

    /// Makes the folder for what is needed only while something is worked on, and has all such go there: with the
    /// indices of memories it may be hundreds of MiB, and the system's own is often kept in memory. What `kill -9`
    /// has left there goes. To be done once, by who holds the lock.
    ///
    /// # Errors
    /// When it cannot be made or emptied.
    pub fn take_scratch(&self, _: &DataLock) -> Result<(), Fault> {
        let scratch = self.scratch();
        make_scratch(&scratch).map_err(|error| {
            Fault::new(format!("{} cannot be made or emptied: {error}", scratch.display()))
                .help("see what is there, and remove it")
        })?;
        let _stays_if_it_is_set = tempfile::env::override_temp_dir(&scratch);
        Ok(())
    }

    /// Makes the folder, for its owner alone, and sees that it can be written to.
    ///
    /// # Errors
    /// When it cannot, and why.
    pub fn prepare(&self) -> Result<(), Fault> {
        let shown = self.folder.display();
        let unusable = |what: &str, error: &std::io::Error| {
            Fault::new(format!("the data folder {shown} {what}: {error}"))
                .help("name another with --data DIR, or set GENII_DATA")
        };
        // The longest of the sockets in the folder.
        let socket = self.clients_socket();
        if socket.as_os_str().len() > SOCKET_PATH_MAX {
            return Err(Fault::new(format!(
                "the path {} is too long for a Unix socket, which takes {SOCKET_PATH_MAX} bytes",
                socket.display()
            ))
            .help("name a folder with a shorter path with --data DIR"));
        }
        // A folder that exists keeps its permissions: the socket and the logs have their own.
        let make = |folder: &Path| DirBuilder::new().recursive(true).mode(0o700).create(folder);
        make(&self.folder).map_err(|error| unusable("cannot be made", &error))?;
        make(&self.logs()).map_err(|error| unusable("cannot be made", &error))?;
        let probe = self.folder.join(".probe");
        // Made anew, so that nobody's file is written to by way of a link.
        let _is_seldom_there = std::fs::remove_file(&probe);
        File::create_new(&probe)
            .and_then(|mut file| file.write_all(b"genii\n"))
            .and_then(|()| std::fs::remove_file(&probe))
            .map_err(|error| unusable("cannot be written to", &error))?;
        Ok(())
    }

    /// Who holds the folder, as it says itself: `process NUMBER since TIME`.
    pub fn holder(&self) -> Option<String> {
        let holder = std::fs::read_to_string(self.lock_file()).ok()?;
        Some(holder.trim().to_owned()).filter(|holder| !holder.is_empty())
    }

    /// What [`Data::prepare`] and [`Data::lock`] would make now.
    pub fn missing(&self) -> Missing {
        let above = self.folder.ancestors().skip(1).collect::<Vec<_>>();
        let above = above.into_iter().rev().map(Path::to_owned);
        let within =
            [self.folder.clone(), self.logs(), self.trust(), self.scratch(), self.lock_file()];
        Missing(above.chain(within).filter(|path| !path.exists()).collect())
    }

    /// Whether a genii holds the folder, whether or not it listens already.
    pub fn is_held(&self) -> bool {
        let lock = File::open(self.lock_file());
        lock.is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    /// Whether there was a genii that held the folder, and does not any more.
    pub fn is_let_go(&self) -> bool {
        let lock = File::open(self.lock_file());
        lock.is_ok_and(|file| file.try_lock_shared().is_ok())
    }

    /// Where is kept how `up` was called.
    fn call_file(&self) -> PathBuf {
        self.folder.join("up.args")
    }

    /// Keeps what stands behind `genii up`, as a shell reads it, for whoever is told to call it again. It
    /// is for hints alone: where it cannot be kept, they do without. To be done by who holds the lock.
    pub fn keep_call(&self, words: &str, _: &DataLock) {
        if self.write_call(words).is_err() {
            // What was kept before is about another call.
            let _may_not_be_there = std::fs::remove_file(self.call_file());
        }
    }

    fn write_call(&self, words: &str) -> io::Result<()> {
        // Its owner's alone, as all that is temporary.
        let mut file = NamedTempFile::new_in(self.scratch())?;
        writeln!(file, "{words}")?;
        file.persist(self.call_file())?;
        Ok(())
    }

    /// How genii is brought up here, as it was the last time.
    pub fn up(&self) -> String {
        let kept = std::fs::read_to_string(self.call_file()).unwrap_or_default();
        format!("genii up {}", kept.trim()).trim_end().to_owned()
    }

    fn lock_file(&self) -> PathBuf {
        self.folder.join("lock")
    }

    /// Takes the folder for this process, until the lock is dropped or the process ends.
    ///
    /// # Errors
    /// When another process has it; which.
    pub fn lock(&self) -> Result<DataLock, Fault> {
        let path = self.lock_file();
        let failed = |error: &std::io::Error| {
            Fault::new(format!("the data folder cannot be locked: {}: {error}", path.display()))
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits() as i32)
            .open(&path)
            .map_err(|error| failed(&error))?;
        let until = Instant::now() + LOCK_PATIENCE;
        let locked = loop {
            match file.try_lock() {
                Err(TryLockError::WouldBlock) if Instant::now() < until => {
                    std::thread::sleep(LOCK_PATIENCE / 50);
                }
                locked => break locked,
            }
        };
        match locked {
            // Who held it may have taken it away with the folder: another would make a new one.
            Ok(()) if !is_at(&file, &path) => {
                let message = format!("{} was taken away meanwhile", path.display());
                return Err(Fault::new(message).help("try again"));
            }
            Ok(()) => {}
            Err(TryLockError::Error(error)) => return Err(failed(&error)),
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _unknown_if_unreadable = file.read_to_string(&mut holder);
                return Err(Fault::new(format!(
                    "{} is in use by another genii ({})",
                    self.folder.display(),
                    if holder.is_empty() { "it does not say which" } else { holder.trim() }
                ))
                .help("stop it with `genii ctl shutdown`, or name another folder with --data DIR")
                .about(self));
            }
        }
        let holder =
            format!("process {} since {}\n", std::process::id(), genii_protocols::Timestamp::now());
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(holder.as_bytes()))
            .map_err(|error| failed(&error))?;
        Ok(DataLock { _file: file })
    }
}

/// Makes a folder for temporary files, and removes those that are there: no others.
fn make_scratch(scratch: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(scratch)?;
    for entry in std::fs::read_dir(scratch)? {
        let entry = entry?;
        if !entry.file_name().as_encoded_bytes().starts_with(TEMPORARY) {
            continue;
        }
        match entry.file_type()?.is_dir() {
            true => std::fs::remove_dir_all(entry.path())?,
            false => std::fs::remove_file(entry.path())?,
        }
    }
    Ok(())
}

/// Whether a file is the one at a path.
fn is_at(file: &File, path: &Path) -> bool {
    let there = std::fs::symlink_metadata(path).ok();
    let own = file.metadata().ok();
    there.zip(own).is_some_and(|(there, own)| (there.dev(), there.ino()) == (own.dev(), own.ino()))
}

/// Files and folders that were not there, what is in a folder behind it.
pub struct Missing(Vec<PathBuf>);

impl Missing {
    /// Takes those away again that were made meanwhile: the lock, and folders in which nothing is. To be
    /// done by who holds the lock.
    pub fn clear(&self) {
        for path in self.0.iter().rev() {
            let _is_not_there_or_is_of_use = match path.is_dir() {
                true => std::fs::remove_dir(path),
                false => std::fs::remove_file(path),
            };
        }
    }
}

/// How genii is called about a folder, as a shell reads it.
pub fn genii_on(folder: &Path) -> String {
    let folder = folder.display().to_string();
    let quoted = shlex::try_quote(&folder).map(std::borrow::Cow::into_owned);
    format!("genii --data {}", quoted.unwrap_or(folder))
}

/// The data folder is this process's as long as this lives. The system lets go of it when the
/// process ends, however it does.
pub struct DataLock {
    _file: File,
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_folder_is_its_owners_alone_and_has_one_holder() {
        let scratch = tempfile::tempdir().unwrap();
        let data = Data::new(Some(scratch.path().join("house"))).unwrap();
        data.prepare().unwrap();
        let mode = std::fs::metadata(data.folder()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        let lock = data.lock().unwrap();
        let fault = data.lock().map(drop).unwrap_err();
        let me = format!("process {}", std::process::id());
        assert!(fault.message.contains(&me), "{fault}");
        drop(lock);
        data.lock().unwrap();
    }

    #[test]
    fn a_folder_that_cannot_be_is_said_once_with_a_remedy() {
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("file");
        std::fs::write(&file, "").unwrap();
        let fault = Data::new(Some(file.join("house"))).unwrap().prepare().unwrap_err();
        assert!(
            fault.message.contains("cannot be made") && fault.help.contains("--data"),
            "{fault}"
        );
        let long = scratch.path().join("x".repeat(120));
        let fault = Data::new(Some(long)).unwrap().prepare().unwrap_err();
        assert!(fault.message.contains("too long for a Unix socket"), "{fault}");
    }

    #[test]
    fn how_it_is_brought_up_is_kept_until_the_next_time() {
        let scratch = tempfile::tempdir().unwrap();
        let data = Data::new(Some(scratch.path().join("house"))).unwrap();
        assert_eq!(data.up(), "genii up");
        data.prepare().unwrap();
        let lock = data.lock().unwrap();
        make_scratch(&data.scratch()).unwrap();
        data.keep_call("--node pc2", &lock);
        assert_eq!(data.up(), "genii up --node pc2");
        let mode = std::fs::metadata(data.call_file()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        data.keep_call("", &lock);
        assert_eq!(data.up(), "genii up");
        // Nothing is said of a call before the last.
        data.keep_call("--node pc2", &lock);
        std::fs::remove_dir(data.scratch()).unwrap();
        data.keep_call("--node pc3", &lock);
        assert_eq!(data.up(), "genii up");
    }

    #[test]
    fn of_what_is_temporary_only_our_own_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let data = Data::new(Some(folder.path().to_owned())).unwrap();
        let at = |path: &str| folder.path().join(path);
        for theirs in ["tmp", "genii-tmp", "genii-tmp/mine", "genii-tmp/.tmpAbC/of-an-index"] {
            std::fs::create_dir_all(at(theirs)).unwrap();
        }
        std::fs::write(at("genii-tmp/.tmpXyZ"), "").unwrap();
        make_scratch(&data.scratch()).unwrap();
        assert!(at("tmp").exists() && at("genii-tmp/mine").exists());
        assert!(!at("genii-tmp/.tmpAbC").exists() && !at("genii-tmp/.tmpXyZ").exists());
    }
}
