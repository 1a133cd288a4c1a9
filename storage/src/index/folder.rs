//! What lies in the folder of an index.
//!
//! ```text
//! vectors/memories-<stamp>.lance   the index; after a crash perhaps an older one beside it
//! vectors/part/...                 one that is being made; whatever is found at an open is left over
//! ```
//! An index that is complete is moved into its place by one rename, and the highest stamp counts. So
//! at every moment there is one that is whole, or none. No stamp is used twice, because LanceDB caches
//! by path.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::error::IndexError;

const PREFIX: &str = "memories-";
const SUFFIX: &str = ".lance";
const PART: &str = "part";

/// The name of one generation of an index, as LanceDB knows its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Generation(u64);

impl Generation {
    /// One that comes after all that are there.
    pub(super) fn next_in(folder: &Path) -> io::Result<Self> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = u64::try_from(since.as_micros()).unwrap_or(u64::MAX / 2);
        let last = all(folder)?.into_iter().max().map_or(0, |generation| generation.0);
        Ok(Self(now.max(last + 1)))
    }

    pub(super) fn table(self) -> String {
        format!("{PREFIX}{:016x}", self.0)
    }

    fn parse(file_name: &str) -> Option<Self> {
        let stamp = file_name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
        u64::from_str_radix(stamp, 16).ok().map(Self).filter(|found| found.file() == file_name)
    }

    fn file(self) -> String {
        self.table() + SUFFIX
    }
}

/// Where an index is made before it is moved into its place.
pub(super) fn part(folder: &Path) -> PathBuf {
    folder.join(PART)
}

/// The generation that counts, if there is one. What was left over is removed.
pub(super) fn current(folder: &Path) -> io::Result<Option<Generation>> {
    clear_part(folder)?;
    let current = all(folder)?.into_iter().max();
    if let Some(current) = current {
        remove_before(folder, current)?;
    }
    Ok(current)
}

/// How many bytes the files in a folder have, and in those within.
pub(super) fn bytes_in(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let within = entry.metadata().and_then(|about| match about.is_dir() {
            true => bytes_in(&entry.path()),
            false => Ok(about.len()),
        });
        bytes += match within {
            // Temporary files come and go meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            within => within?,
        };
    }
    Ok(bytes)
}

/// Removes what is left of an index that was being made.
pub(super) fn clear_part(folder: &Path) -> io::Result<()> {
    unless_missing(fs::remove_dir_all(part(folder)))
}

/// Moves a complete index into its place, then removes those before it. When this returns, none of them comes
/// back with a power cut: somebody may have been told that what was in them is gone.
pub(super) fn put_in_place(folder: &Path, generation: Generation) -> io::Result<()> {
    let file = generation.file();
    fs::rename(part(folder).join(&file), folder.join(&file))?;
    remove_before(folder, generation)?;
    clear_part(folder)?;
    fs::File::open(folder)?.sync_all()
}

/// Does something with files where blocking is borne.
pub(super) async fn blocking<T: Send + 'static>(
    folder: &Path,
    doing: &'static str,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, IndexError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(|error| IndexError::of(folder, doing, error)),
        Err(error) => Err(IndexError::of(folder, doing, error)),
    }
}

fn remove_before(folder: &Path, current: Generation) -> io::Result<()> {
    let older = all(folder)?.into_iter().filter(|generation| *generation < current);
    for generation in older {
        unless_missing(fs::remove_dir_all(folder.join(generation.file())))?;
    }
    Ok(())
}

fn all(folder: &Path) -> io::Result<Vec<Generation>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let names = entries.map(|entry| entry.map(|entry| entry.file_name()));
    let found = |name: io::Result<_>| {
        name.map(|name: std::ffi::OsString| Generation::parse(name.to_str()?)).transpose()
    };
    names.filter_map(found).collect()
}

fn unless_missing(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn make(folder: &Path, generation: Generation) {
        fs::create_dir_all(folder.join(generation.file())).unwrap();
    }

    #[test]
    fn the_newest_counts_and_leftovers_go() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path();
        assert_eq!(current(folder).unwrap(), None);
        let older = Generation::next_in(folder).unwrap();
        make(folder, older);
        let newer = Generation::next_in(folder).unwrap();
        assert!(older < newer, "also if the clock has not moved");
        make(folder, newer);
        make(&part(folder), newer);
        fs::write(folder.join("notes.txt"), "someone else's").unwrap();
        assert_eq!(current(folder).unwrap(), Some(newer));
        assert!(!folder.join(older.file()).exists() && !part(folder).exists());
        assert!(folder.join("notes.txt").exists());
    }

    #[test]
    fn an_index_is_put_in_place_of_all_before_it() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path();
        let older = Generation::next_in(folder).unwrap();
        make(folder, older);
        let newer = Generation::next_in(folder).unwrap();
        make(&part(folder), newer);
        put_in_place(folder, newer).unwrap();
        assert_eq!(all(folder).unwrap(), [newer]);
        assert!(!part(folder).exists());
    }

    #[test]
    fn other_names_are_no_generations() {
        for name in ["memories-.lance", "memories-1.lance", "memories-zz.lance", "other.lance", ""]
        {
            assert_eq!(Generation::parse(name), None, "{name}");
        }
    }
}
