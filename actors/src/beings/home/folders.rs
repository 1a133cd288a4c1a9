//! The folders in which the beings of a machine lie, and what becomes of them. All of it blocks.
//!
//! | path | what lies there |
//! |---|---|
//! | `ID/` | a being |
//! | `ID/leaving` | a mark: the being is about to move away, and is not to wake |
//! | `.coming/ID/` | a copy that has come from another machine |
//! | `.aside/` | beings that the registry knows elsewhere, and files that say why |
//! | `.going/` | what is being removed, or only looked at; empty after each start |

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use genii_protocols::Name;

use crate::beings::errands::Lodging;

/// What marks a being that is about to move away. A being does not start where it lies.
pub(crate) const LEAVING: &str = "leaving";

/// The store of a being, in its folder.
pub(crate) const STORE: &str = "being.redb";

const COMING: &str = ".coming";
const ASIDE: &str = ".aside";
const GOING: &str = ".going";

/// The folder that holds them all.
#[derive(Debug, Clone)]
pub(super) struct Folders(PathBuf);

impl Folders {
    /// Makes the folder if need be, for its owner alone, and removes what was being removed.
    pub(super) fn open(folder: PathBuf) -> io::Result<Self> {
        make_folder(&folder)?;
        let folders = Self(folder);
        remove_folder(&folders.0.join(GOING))?;
        Ok(folders)
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

    /// The folder of a new being. Fails if something lies there.
    pub(super) fn make(&self, id: &Name) -> io::Result<PathBuf> {
        let folder = self.of(id);
        std::fs::create_dir(&folder)?;
        Ok(folder)
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

    /// An empty folder for a copy that comes, and the file in it.
    pub(super) fn receive(&self, id: &Name) -> io::Result<PathBuf> {
        let folder = self.coming(id);
        remove_folder(&folder)?;
        make_folder(&self.0.join(COMING))?;
        make_folder(&folder)?;
        Ok(folder.join(STORE))
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

    pub(super) fn discard(&self, id: &Name) -> io::Result<()> {
        remove_folder(&self.coming(id))
    }

    /// A path, for something that the next start removes if this one cannot.
    pub(super) fn scratch(&self, name: &str) -> io::Result<PathBuf> {
        let going = self.0.join(GOING);
        make_folder(&going)?;
        Ok(going.join(name))
    }

    /// Takes a being out of sight in one step, whatever happens while it is removed.
    pub(super) fn take_out(&self, id: &Name) -> io::Result<()> {
        self.put_out(id)?.map_or(Ok(()), |out| remove_folder(&out))
    }

    /// As [`Folders::take_out`], of one that lives elsewhere: what cannot be removed is removed by the
    /// next start.
    pub(super) fn leave(&self, id: &Name) -> io::Result<()> {
        if let Some(out) = self.put_out(id)?
            && let Err(error) = remove_folder(&out)
        {
            tracing::warn!(being = id.as_str(), "what it left behind is not all gone: {error}");
        }
        Ok(())
    }

    fn put_out(&self, id: &Name) -> io::Result<Option<PathBuf>> {
        if !self.is_taken(id) {
            return Ok(None);
        }
        let unique = self.scratch(&format!("{}-{:016x}", id.as_str(), fastrand::u64(..)))?;
        std::fs::rename(self.of(id), &unique)?;
        sync(&self.0)?;
        Ok(Some(unique))
    }

    /// Puts a being aside, where it is kept and does not live. Where that is; `None` if nothing is here.
    pub(super) fn put_aside(&self, id: &Name) -> io::Result<Option<PathBuf>> {
        if !self.is_taken(id) {
            return Ok(None);
        }
        let aside = self.0.join(ASIDE);
        make_folder(&aside)?;
        let unique = aside.join(format!("{}-{:016x}", id.as_str(), fastrand::u64(..)));
        std::fs::rename(self.of(id), &unique)?;
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

fn remove_folder(folder: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
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
