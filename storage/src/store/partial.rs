//! A file that is made under a name of its own, and gets the one that it is made for when it is
//! whole.
//!
//! Several may be made for one name at once. Each is written where nobody else writes; one of them
//! gets the name, and whoever made another is told that somebody else has it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::files::{
    Claim, beside, claim, folder_of, private, remove_if_there, replace, sync, sync_folder_of,
};

/// How its own name goes on after the one that it is made for. A number follows.
const PARTIAL: &str = ".partial";

/// How many digits that number has, in base 16.
const NUMBER_LEN: usize = 16;

/// A new file, for its owner alone, that has its name only when it is whole, and takes that from no
/// other. Dropped before, it is removed. All of it blocks.
pub struct NewFile {
    file: File,
    held: Option<Claim>,
    partial: Partial,
}

impl NewFile {
    /// Begins one for a path where nothing is. What was left beside it by others who were cut short
    /// is removed.
    ///
    /// # Errors
    /// When it cannot be made; [`ErrorKind::AlreadyExists`] when something is at `to`.
    pub fn begin(to: &Path) -> io::Result<Self> {
        let partial = Partial::begin(to, IfThere::Refuse)?;
        let file = private().create_new(true).open(partial.path())?;
        let held = partial.hold()?;
        Ok(Self { file, held, partial })
    }

    /// Gives it its name. When this returns, all of it is on the disk.
    ///
    /// # Errors
    /// When it cannot have it; [`ErrorKind::AlreadyExists`] when somebody else was faster.
    pub fn finish(self) -> io::Result<()> {
        let Self { file, held, partial } = self;
        drop((file, held));
        partial.finish()
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// What is to become of a file that has the name already.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum IfThere {
    Replace,
    Refuse,
}

/// A file in the making. Dropped before it has its name, it is removed.
pub(super) struct Partial {
    path: PathBuf,
    to: PathBuf,
    /// The file that it replaces. Without one, it replaces none that comes meanwhile either.
    replaced: Option<Claim>,
}

impl Partial {
    /// Chooses a name for the file, which is not made yet; and removes what was left by others who
    /// made one for `to`. `Err` with [`ErrorKind::ResourceBusy`] when somebody has `to` open, and
    /// with [`ErrorKind::AlreadyExists`] when it is there and is not to be replaced.
    pub(super) fn begin(to: &Path, if_there: IfThere) -> io::Result<Self> {
        let replaced = match if_there {
            IfThere::Replace => claim(to)?,
            IfThere::Refuse if to.try_exists()? => return Err(ErrorKind::AlreadyExists.into()),
            IfThere::Refuse => None,
        };
        sweep(to);
        Ok(Self { path: free_name(to), to: to.to_owned(), replaced })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Holds the file, so that nobody takes it for one that was left. redb does so itself with a
    /// file that it has open. `Err` with [`ErrorKind::AlreadyExists`] when somebody did before:
    /// they are making one of their own.
    pub(super) fn hold(&self) -> io::Result<Option<Claim>> {
        hold(&self.path)
    }

    /// Gives the file the name that it was made for. When this returns, that is on the disk. `Err`
    /// with [`ErrorKind::AlreadyExists`] when somebody else was faster.
    pub(super) fn finish(self) -> io::Result<()> {
        let _held = self.hold()?;
        sync(&self.path)?;
        match self.replaced.is_some() {
            true => replace(&self.path, &self.to),
            false => place(&self.path, &self.to),
        }
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // The error tells of what went wrong first. What is left is removed by whoever comes next.
        let _left = remove_if_there(&self.path);
    }
}

/// A name beside a file that nobody has. What has it is swept away when it is left.
pub(super) fn free_name(to: &Path) -> PathBuf {
    // Seeded by the system: nobody else comes by the same, here or in another process.
    let number = RandomState::new().build_hasher().finish();
    beside(to, &format!("{PARTIAL}-{number:0NUMBER_LEN$x}"))
}

/// Removes all that were made for a name which nobody can be at any more.
pub(super) fn remove_all_for(to: &Path) -> io::Result<()> {
    all_for(to)?.iter().try_for_each(|left| remove_if_there(left))
}

/// Removes those that were left when somebody was cut short. Were somebody at one, it would be
/// locked.
fn sweep(to: &Path) {
    // What cannot be removed is in nobody's way.
    for left in all_for(to).unwrap_or_default() {
        if let Ok(Some(_claim)) = claim(&left) {
            let _left = remove_if_there(&left);
        }
    }
}

fn all_for(to: &Path) -> io::Result<Vec<PathBuf>> {
    let Some(of) = to.file_name() else { return Ok(Vec::new()) };
    let folder = folder_of(to);
    let mut all = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        if is_one_for(of, &name) {
            all.push(folder.join(name));
        }
    }
    Ok(all)
}

fn is_one_for(of: &OsStr, name: &OsStr) -> bool {
    let end = name.as_encoded_bytes().strip_prefix(of.as_encoded_bytes());
    match end.and_then(|end| end.strip_prefix(PARTIAL.as_bytes())) {
        // From the time when all that were made for a name had the same one.
        Some([]) => true,
        Some([b'-', number @ ..]) => {
            number.len() == NUMBER_LEN && number.iter().all(u8::is_ascii_hexdigit)
        }
        _ => false,
    }
}

/// Claims a file that was made here. `None` where files cannot be locked: there none is swept away.
fn hold(path: &Path) -> io::Result<Option<Claim>> {
    let lost = || ErrorKind::AlreadyExists.into();
    match claim(path) {
        Ok(None) => Err(lost()),
        Err(error) if error.kind() == ErrorKind::ResourceBusy => Err(lost()),
        Err(error) if error.kind() == ErrorKind::Unsupported => Ok(None),
        held => held,
    }
}

/// Gives a file a name that nobody has; renaming it would take that from whoever got it meanwhile.
fn place(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        Ok(()) => {
            // It has its name. The other one is swept away later if it cannot be removed now.
            let _left = remove_if_there(from);
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(error),
        Err(_) => place_without_links(from, to)?,
    }
    sync_folder_of(to)
}

/// [`place`] where a file has one name only: an empty one gets it first, and is replaced.
fn place_without_links(from: &Path, to: &Path) -> io::Result<()> {
    drop(File::create_new(to)?);
    let _held = hold(to)?;
    fs::rename(from, to).inspect_err(|_| {
        let _left = remove_if_there(to);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun(to: &Path) -> Partial {
        Partial::begin(to, IfThere::Replace).unwrap()
    }

    #[test]
    fn what_came_meanwhile_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("copy");
        let [one, other] = [begun(&to), begun(&to)];
        fs::write(one.path(), "one").unwrap();
        fs::write(other.path(), "other").unwrap();
        one.finish().unwrap();
        assert_eq!(other.finish().unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&to).unwrap(), b"one");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn a_new_file_is_there_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("copy");
        let files = || fs::read_dir(folder.path()).unwrap().count();
        let [mut one, mut other] = [(); 2].map(|()| NewFile::begin(&to).unwrap());
        one.write_all(b"one").unwrap();
        other.write_all(b"half of it").unwrap();
        assert!(!to.exists());
        one.finish().unwrap();
        assert_eq!(fs::read(&to).unwrap(), b"one");
        assert_eq!(files(), 2);
        assert_eq!(other.finish().unwrap_err().kind(), ErrorKind::AlreadyExists);
        let refused = NewFile::begin(&to).map(drop).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::AlreadyExists);
        fs::remove_file(&to).unwrap();
        drop(NewFile::begin(&to).unwrap());
        assert_eq!(files(), 0, "nothing is left");
    }

    #[test]
    fn what_was_there_is_replaced_by_one_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("copy");
        fs::write(&to, "old").unwrap();
        let refuses = |if_there| Partial::begin(&to, if_there).map(drop).unwrap_err().kind();
        assert_eq!(refuses(IfThere::Refuse), ErrorKind::AlreadyExists);
        let one = begun(&to);
        assert_eq!(refuses(IfThere::Replace), ErrorKind::ResourceBusy);
        fs::write(one.path(), "new").unwrap();
        one.finish().unwrap();
        assert_eq!(fs::read(&to).unwrap(), b"new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn what_somebody_is_at_is_not_swept_away() {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("copy");
        let one = begun(&to);
        fs::write(one.path(), "half of it").unwrap();
        let held = one.hold().unwrap();
        drop(begun(&to));
        assert!(one.path().exists());
        drop(held);
        let other = begun(&to);
        assert!(!one.path().exists());
        assert_eq!(one.finish().unwrap_err().kind(), ErrorKind::AlreadyExists);
        fs::write(other.path(), "other").unwrap();
        other.finish().unwrap();
        assert_eq!(fs::read(&to).unwrap(), b"other");
    }

    #[test]
    fn one_is_known_by_its_name() {
        let names = [
            ("copy.partial", true),
            ("copy.partial-0123456789abcdef", true),
            ("copy.partial-0123456789abcde", false),
            ("copy.partial-0123456789abcdef0", false),
            ("copy.partial-of-a-long-letter", false),
            ("copy.partial.redb", false),
            ("copy", false),
            ("a-copy.partial", false),
        ];
        for (name, is_one) in names {
            assert_eq!(is_one_for(OsStr::new("copy"), OsStr::new(name)), is_one, "{name}");
        }
        let folder = tempfile::tempdir().unwrap();
        let path = begun(&folder.path().join("copy")).path().to_owned();
        let name = path.file_name().unwrap();
        assert!(is_one_for(OsStr::new("copy"), name), "{}", path.display());
    }

    #[test]
    fn nothing_is_replaced_where_there_are_no_links() {
        let folder = tempfile::tempdir().unwrap();
        let [from, to] = ["from", "to"].map(|name| folder.path().join(name));
        fs::write(&from, "one").unwrap();
        place_without_links(&from, &to).unwrap();
        assert!(!from.exists());
        fs::write(&from, "other").unwrap();
        let refused = place_without_links(&from, &to).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&to).unwrap(), b"one");
        fs::remove_file(&to).unwrap();
        fs::remove_file(&from).unwrap();
        assert!(place_without_links(&from, &to).is_err());
        assert!(!to.exists(), "the empty one is gone");
    }
}
