//! The folders of the beings of a machine, and the nursery in which they sleep and wake.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use genii_protocols::beings::BeingState;
use genii_protocols::{Address, Json, Name};
use genii_runtime::nursery::Mood;
use genii_runtime::{House, Nursery, NurserySettings, Tenancy};
use genii_supervision::{Backoff, ChildPolicy, GiveUp, Restart, Shutdown, StartError, Status};
use tokio::task::spawn_blocking;

use super::RegistrySettings;
use super::book::{Book, Entry, Stage};
use crate::being::birth::Birth;
use crate::being::imported::{Imported, NotImported};

/// The kind of beings in the catalogue.
const KIND: &str = "being";

/// The group of their addresses.
const GROUP: &str = "being";

/// How many messages wait for a being.
const MAILBOX_CAPACITY: usize = 200;

/// How long a being may take to wake.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a being may take to end what it does, and to let go of its folder.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);

/// Where a folder lies that is being removed; no being can have such a name.
const GOING: &str = ".going";

pub(super) struct Home {
    folder: PathBuf,
    house: House,
    nursery: Nursery,
    /// How many files were looked into.
    looks: AtomicU64,
}

impl Home {
    /// Makes the folder if need be, and opens the nursery. Nobody lives in it yet.
    pub(super) async fn open(
        house: &House,
        folder: PathBuf,
        settings: &RegistrySettings,
    ) -> Result<Self, StartError> {
        if !folder.is_absolute() {
            let why =
                format!("`folder` is to be an absolute path, and {} is none", folder.display());
            return Err(StartError::refused(why));
        }
        make_folder(&folder).map_err(|error| {
            let why = format!("its folder {} cannot be made: {error}", folder.display());
            StartError::failed(why)
        })?;
        let of = folder.clone();
        let nursery = house.nursery(NurserySettings {
            group: Name::new(GROUP).map_err(|error| StartError::refused(error.to_string()))?,
            kind: KIND.to_owned(),
            tenancy: Arc::new(move |address: &Address| Tenancy {
                kind: KIND.to_owned(),
                settings: Json(serde_json::json!({ "folder": of.join(address.name()) })),
            }),
            awake_max: settings.awake_max,
            idle_after: settings.idle_after.0,
            mailbox_capacity: MAILBOX_CAPACITY,
            policy: Arc::new(ChildPolicy {
                restart: Restart::Transient,
                shutdown: Shutdown::Within(STOP_TIMEOUT),
                start_timeout: Some(START_TIMEOUT),
                required: false,
                backoff: Some(Backoff::default()),
                give_up: GiveUp::Quarantine,
                ..ChildPolicy::default()
            }),
        });
        let nursery = nursery.await.map_err(|error| StartError::failed(error.to_string()))?;
        Ok(Self { folder, house: house.clone(), nursery, looks: AtomicU64::new(0) })
    }

    /// Brings folders, book and nursery together, and settles what was begun when genii ended.
    pub(super) async fn settle(&self, book: &Book) -> Result<(), StartError> {
        let going = self.folder.join(GOING);
        let folder = self.folder.clone();
        let folders = spawn_blocking(move || {
            remove_folder(&going)?;
            ids_in(&folder)
        });
        let folders = folders.await.map_err(|error| StartError::failed(error.to_string()))?;
        let folders = folders.map_err(|error| StartError::failed(error.to_string()))?;
        let entries = book.all().map_err(|error| StartError::of(&error))?;
        for entry in &entries {
            if entry.stage != Stage::Living {
                self.remove(&entry.id).await.map_err(|error| StartError::of(&error))?;
                book.strike(&entry.id).await.map_err(|error| StartError::of(&error))?;
                continue;
            }
            // One without its folder is told of as such when it is spoken to.
            self.nursery.admit(&entry.id);
        }
        for id in folders {
            if entries.iter().any(|entry| entry.id == id) {
                continue;
            }
            let node = self.house.node().name().clone();
            let found = self.look_into(self.folder.join(id.as_str()).join("being.redb")).await;
            let Ok(Imported { name, created, .. }) = found else {
                tracing::warn!(folder = id.as_str(), "is no being, and is left alone");
                continue;
            };
            let entry = Entry { id: id.clone(), name, node, created, stage: Stage::Living };
            book.put(entry).await.map_err(|error| StartError::of(&error))?;
            self.nursery.admit(&id);
        }
        Ok(())
    }

    pub(super) fn nursery(&self) -> &Nursery {
        &self.nursery
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn address(&self, id: &Name) -> Address {
        Address::new(self.nursery.group(), id)
    }

    /// Whether something lies where the folder of a being would.
    pub(super) fn has_folder(&self, id: &Name) -> bool {
        self.folder.join(id.as_str()).symlink_metadata().is_ok()
    }

    /// How a being stands, and what is amiss.
    pub(super) fn state(&self, address: &Address) -> (BeingState, Option<String>) {
        let status = self.house.member(address.as_str()).ok().map(|member| member.view.status);
        match (status, self.nursery.mood(address)) {
            (Some(Status::Quarantined(failure)), _) => {
                (BeingState::Quarantined, Some(failure.to_string()))
            }
            (Some(Status::Down(failure)), _) => (BeingState::Down, Some(failure.to_string())),
            (_, Some(Mood::Awake)) => (BeingState::Awake, None),
            (_, Some(Mood::Waking)) => (BeingState::Waking, None),
            (_, Some(Mood::Asleep | Mood::Dozing) | None) => (BeingState::Asleep, None),
        }
    }

    /// Makes the folder of a being that is to be, and lets it be spoken to.
    pub(super) async fn make(&self, id: &Name, birth: &Birth) -> io::Result<()> {
        let (folder, birth) = (self.folder.join(id.as_str()), birth.clone());
        let made = spawn_blocking(move || {
            std::fs::create_dir(&folder)?;
            birth.write(&folder)
        });
        made.await.map_err(io::Error::other)??;
        self.nursery.admit(id);
        Ok(())
    }

    /// Makes the folder of a being of a file that was exported, and lets it be spoken to.
    pub(super) async fn take_in(&self, id: &Name, file: PathBuf) -> io::Result<()> {
        let folder = self.folder.join(id.as_str());
        let made = spawn_blocking(move || {
            std::fs::create_dir(&folder)?;
            genii_storage::store::restore(&file, &folder.join("being.redb"))
                .map_err(io::Error::other)
        });
        made.await.map_err(io::Error::other)??;
        self.nursery.admit(id);
        Ok(())
    }

    /// What a file holds that was exported. A copy of it is looked at, so that it stays as it is.
    pub(super) async fn look_into(&self, file: PathBuf) -> Result<Imported, NotImported> {
        let going = self.folder.join(GOING);
        let look = self.looks.fetch_add(1, Ordering::Relaxed);
        let looked = spawn_blocking(move || {
            let failed = |error: io::Error| NotImported::Failed { why: error.to_string() };
            // One of its own for each look, which the next start removes if this one cannot.
            let copy = going.join(format!("look-{look}"));
            make_folder(&going).map_err(failed)?;
            let restored = genii_storage::store::restore(&file, &copy);
            let imported = restored
                .map_err(|error| NotImported::Failed { why: error.to_string() })
                .and_then(|_| Imported::of(&copy));
            let _removed_at_the_next_start = std::fs::remove_file(&copy);
            imported
        });
        let looked = looked.await;
        looked.unwrap_or_else(|error| Err(NotImported::Failed { why: error.to_string() }))
    }

    /// Removes a being: its address, and its folder with all that is in it.
    pub(super) async fn remove(&self, id: &Name) -> io::Result<()> {
        let address = self.address(id);
        if let Some(kept) = self.nursery.keep_asleep(&address).await {
            kept.dismiss();
        }
        let (folder, going) = (self.folder.join(id.as_str()), self.folder.join(GOING));
        let removed = spawn_blocking(move || {
            if !folder.exists() {
                return Ok(());
            }
            make_folder(&going)?;
            let unique = going.join(folder.file_name().unwrap_or_default());
            remove_folder(&unique)?;
            // Out of sight in one step, whatever happens while it is emptied.
            std::fs::rename(&folder, &unique)?;
            remove_folder(&unique)
        });
        removed.await.map_err(io::Error::other)?
    }
}

/// Makes a folder for its owner alone.
fn make_folder(folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))?;
    }
    File::open(folder)?.sync_all()
}

fn remove_folder(folder: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The folders whose names are ids.
fn ids_in(folder: &Path) -> io::Result<Vec<Name>> {
    let mut ids = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_type()?.is_dir() {
            continue;
        }
        ids.extend(entry.file_name().to_str().and_then(|name| Name::new(name).ok()));
    }
    ids.sort_unstable();
    Ok(ids)
}
