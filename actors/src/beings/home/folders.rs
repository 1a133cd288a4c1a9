//! The folders in which the beings of a machine lie, and what becomes of them. All of it blocks.
//!
//! | path | what lies there |
//! |---|---|
//! | `ID/` | a being |
//! | `ID/leaving` | a mark: the being is about to move away, and is not to wake |
//! | `ID/making` | by what the making of the being here is told from any other |
//! | `.coming/ID/` | a copy that has come from another machine |
//! | `.aside/` | what is not to live here, and is kept |
//! | `.going/` | what is being removed, or only needed for a while; empty after each start |

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use genii_protocols::Name;
use genii_storage::store;

use crate::beings::errands::Lodging;

/// How long a life that has ended may take to close its store, and how often one looks whether it has.
const LET_GO_PATIENCE: Duration = Duration::from_secs(5);
const LET_GO_LOOK: Duration = Duration::from_millis(20);

/// What marks a being that is about to move away. A being does not start where it lies.
pub(crate) const LEAVING: &str = "leaving";

/// The store of a being, in its folder.
pub(crate) const STORE: &str = "being.redb";

/// What says in a folder by which making it came to be, for that to be taken back.
const MAKING: &str = "making";

/// The largest number that is read there, in digits.
const MAKING_DIGITS_MAX: u64 = 20;

const COMING: &str = ".coming";
const ASIDE: &str = ".aside";
const GOING: &str = ".going";

/// How often it is tried to remove a folder into which somebody puts something meanwhile.
const REMOVE_TRIES: usize = 5;

/// The folder that holds them all.
#[derive(Debug, Clone)]
pub(super) struct Folders(PathBuf);

impl Folders {
    /// Makes the folder if need be, for its owner alone.
    pub(super) fn open(folder: PathBuf) -> io::Result<Self> {
        make_folder(&folder)?;
        Ok(Self(folder))
    }

    /// Removes what was being removed.
    pub(super) fn clear(&self) -> io::Result<()> {
        remove_folder(&self.0.join(GOING))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Where a being lives.
    pub(super) fn of(&self, id: &Name) -> PathBuf {
        self.0.join(id.as_str())
    }

    pub(super) fn store_of(&self, id: &Name) -> PathBuf {
        self.of(id).join(STORE)
    }

    pub(super) fn coming(&self, id: &Name) -> PathBuf {
        self.0.join(COMING).join(id.as_str())
    }

    /// Whether something lies where a being would.
    pub(super) fn is_taken(&self, id: &Name) -> bool {
        self.of(id).symlink_metadata().is_ok()
    }

    /// Those that live here, or are about to leave or to come, in the order of their ids: of those
    /// behind an id so many at most, and whether there are more. What is no being is left alone.
    pub(super) fn behind(
        &self,
        after: Option<&Name>,
        max: usize,
    ) -> io::Result<(Vec<(Name, Lodging)>, bool)> {
        let mut ids = names_in(&self.0)?;
        match names_in(&self.0.join(COMING)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            coming => ids.extend(coming?),
        }
        ids.retain(|id| after.is_none_or(|after| id > after));
        ids.sort_unstable();
        ids.dedup();
        let mut lodgers = Vec::new();
        for id in ids {
            let Some(lodging) = self.lodging(&id)? else {
                tracing::warn!(folder = id.as_str(), "is no being, and is left alone");
                continue;
            };
            if lodgers.len() == max {
                return Ok((lodgers, true));
            }
            lodgers.push((id, lodging));
        }
        Ok((lodgers, false))
    }

    /// How a being lies here. What cannot be looked at is no answer.
    pub(super) fn lodging(&self, id: &Name) -> io::Result<Option<Lodging>> {
        let folder = self.of(id);
        let is_being = folder.join(STORE).try_exists()? || crate::being::birth::is_in(&folder)?;
        Ok(match (is_being, folder.join(LEAVING).try_exists()?) {
            (true, false) => Some(Lodging::Here),
            (true, true) => Some(Lodging::Leaving),
            (false, _) => self.coming(id).try_exists()?.then_some(Lodging::Coming),
        })
    }

    /// Makes the folder of a new being, with what `fill` puts into it: it is there whole or not at all.
    /// Fails if something lies there.
    pub(super) fn make(
        &self,
        id: &Name,
        making: u64,
        fill: impl FnOnce(&Path) -> io::Result<()>,
    ) -> io::Result<()> {
        let new = self.scratch(&format!("new-{:016x}", fastrand::u64(..)))?;
        std::fs::create_dir(&new)?;
        let made = mark_made(&new, making).and_then(|()| fill(&new)).and_then(|()| {
            // An empty folder would be replaced.
            match self.is_taken(id) {
                true => Err(io::ErrorKind::AlreadyExists.into()),
                false => std::fs::rename(&new, self.of(id)),
            }
        });
        if made.is_err() {
            // What cannot be removed, the next start removes.
            let _at_the_next_start = remove_folder(&new);
        }
        made?;
        sync(&self.0)
    }

    /// Whether a being was made here by this making.
    pub(super) fn is_made_by(&self, id: &Name, making: u64) -> io::Result<bool> {
        is_marked(&self.of(id), making)
    }

    /// Removes what this making has made of a being, however far it has come, and nothing else.
    pub(super) fn take_back(&self, id: &Name, making: u64) -> io::Result<()> {
        if is_marked(&self.coming(id), making)? {
            self.discard(id)?;
        }
        match self.is_made_by(id, making)? {
            true => self.take_out(id),
            false => Ok(()),
        }
    }

    /// Refused if a life of a being has its store open still: one that hangs may not have ended, though nobody
    /// waits for it any more, and writes on.
    pub(super) fn is_let_go(&self, id: &Name) -> io::Result<()> {
        let until = Instant::now() + LET_GO_PATIENCE;
        // One that was cut off just now may still close it.
        while store::is_in_use(&self.store_of(id))? {
            if Instant::now() >= until {
                return Err(io::Error::other(
                    "a life of it that does not end has its store open; try again, or start genii again",
                ));
            }
            std::thread::sleep(LET_GO_LOOK);
        }
        Ok(())
    }

    /// Marks that a being is about to move away.
    pub(super) fn mark_leaving(&self, id: &Name) -> io::Result<()> {
        let folder = self.of(id);
        File::create(folder.join(LEAVING))?.sync_all()?;
        sync(&folder)
    }

    /// Takes that mark away.
    pub(super) fn mark_staying(&self, id: &Name) -> io::Result<()> {
        let folder = self.of(id);
        match std::fs::remove_file(folder.join(LEAVING)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => sync(&folder),
        }
    }

    /// An empty folder for a copy that comes, and the file in it. A copy that lies there is put aside when
    /// a being is made anew: it may be the only one of another.
    pub(super) fn receive(&self, id: &Name, making: Option<u64>) -> io::Result<PathBuf> {
        let folder = self.coming(id);
        match making {
            Some(_) => self.keep_stranded(&folder, id)?,
            None => self.discard(id)?,
        }
        make_folder(&self.0.join(COMING))?;
        make_folder(&folder)?;
        if let Some(making) = making {
            mark_made(&folder, making)?;
        }
        Ok(folder.join(STORE))
    }

    /// Puts a copy aside that lies where another is to come.
    fn keep_stranded(&self, folder: &Path, id: &Name) -> io::Result<()> {
        if let Some(aside) = self.move_aside(folder, id)? {
            tracing::warn!(
                being = id.as_str(),
                "a copy that had come before, and may be the only one, is put aside: look at it with \
                 `being import {}`, or remove {} if nobody needs it",
                aside.join(STORE).display(),
                aside.display()
            );
        }
        Ok(())
    }

    /// A copy has come whole: it is there also after a crash.
    pub(super) fn received(&self, id: &Name) -> io::Result<()> {
        sync(&self.coming(id))?;
        sync(&self.0.join(COMING))?;
        sync(&self.0)
    }

    /// Moves a copy that has come to where it lives, in one step.
    pub(super) fn adopt(&self, id: &Name) -> io::Result<()> {
        std::fs::rename(self.coming(id), self.of(id))?;
        sync(&self.0.join(COMING))?;
        sync(&self.0)
    }

    /// Takes a copy that has come out of sight in one step, and removes it.
    pub(super) fn discard(&self, id: &Name) -> io::Result<()> {
        self.put_out(&self.coming(id), id)?.map_or(Ok(()), |out| remove_folder(&out))
    }

    /// A path, for something that the next start removes if this one cannot.
    pub(super) fn scratch(&self, name: &str) -> io::Result<PathBuf> {
        let going = self.0.join(GOING);
        make_folder(&going)?;
        Ok(going.join(name))
    }

    /// Takes a being out of sight in one step, whatever happens while it is removed.
    pub(super) fn take_out(&self, id: &Name) -> io::Result<()> {
        self.put_out(&self.of(id), id)?.map_or(Ok(()), |out| remove_folder(&out))
    }

    /// As [`Folders::take_out`], of one that lives elsewhere: what cannot be removed is removed by the
    /// next start.
    pub(super) fn leave(&self, id: &Name) -> io::Result<()> {
        if let Some(out) = self.put_out(&self.of(id), id)?
            && let Err(error) = remove_folder(&out)
        {
            tracing::warn!(being = id.as_str(), "what it left behind is not all gone: {error}");
        }
        Ok(())
    }

    fn put_out(&self, folder: &Path, id: &Name) -> io::Result<Option<PathBuf>> {
        if folder.symlink_metadata().is_err() {
            return Ok(None);
        }
        let unique = self.scratch(&format!("{}-{:016x}", id.as_str(), fastrand::u64(..)))?;
        std::fs::rename(folder, &unique)?;
        sync(&self.0)?;
        Ok(Some(unique))
    }

    /// Puts a being aside, and a copy of it that has come: they are kept, and do not live. Where they are.
    pub(super) fn put_aside(&self, id: &Name) -> io::Result<Vec<PathBuf>> {
        let folders = [self.of(id), self.coming(id)];
        folders.iter().filter_map(|folder| self.move_aside(folder, id).transpose()).collect()
    }

    fn move_aside(&self, folder: &Path, id: &Name) -> io::Result<Option<PathBuf>> {
        if folder.symlink_metadata().is_err() {
            return Ok(None);
        }
        let aside = self.0.join(ASIDE);
        make_folder(&aside)?;
        let unique = aside.join(format!("{}-{:016x}", id.as_str(), fastrand::u64(..)));
        std::fs::rename(folder, &unique)?;
        sync(&aside)?;
        sync(&self.0)?;
        Ok(Some(unique))
    }
}

/// Makes a folder for its owner alone.
pub(crate) fn make_folder(folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))?;
    }
    sync(folder)
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Marks a folder as made by a making. The mark is there also after a crash.
fn mark_made(folder: &Path, making: u64) -> io::Result<()> {
    let mut file = File::create(folder.join(MAKING))?;
    file.write_all(making.to_string().as_bytes())?;
    file.sync_all()?;
    sync(folder)
}

/// Whether a folder was made by this making.
fn is_marked(folder: &Path, making: u64) -> io::Result<bool> {
    let file = match File::open(folder.join(MAKING)) {
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            return Ok(false);
        }
        file => file?,
    };
    let mut mark = Vec::new();
    file.take(MAKING_DIGITS_MAX + 1).read_to_end(&mut mark)?;
    Ok(mark == making.to_string().as_bytes())
}

/// Removes a folder with all that is in it, if it is there.
pub(crate) fn remove_folder(folder: &Path) -> io::Result<()> {
    let mut more_tries = 1..REMOVE_TRIES;
    loop {
        match std::fs::remove_dir_all(folder).map_err(|error| (error.kind(), error)) {
            Ok(()) | Err((io::ErrorKind::NotFound, _)) => return Ok(()),
            Err((io::ErrorKind::DirectoryNotEmpty, _)) if more_tries.next().is_some() => {}
            Err((_, error)) => return Err(error),
        }
    }
}

/// The folders whose names are ids.
fn names_in(folder: &Path) -> io::Result<Vec<Name>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            names.extend(entry.file_name().to_str().and_then(|name| Name::new(name).ok()));
        }
    }
    Ok(names)
}
