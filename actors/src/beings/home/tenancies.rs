//! How each being of a machine is kept apart: as all are, or otherwise by a file in its folder.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use genii_protocols::beings::Isolation;
use genii_protocols::{Address, Json, Name};
use genii_runtime::Tenancy;
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};

use crate::being::process::ProcessLimits;

/// The file, in the folder of a being.
const FILE: &str = "tenancy.json";

/// The largest file that is read, in bytes.
const BYTES_MAX: u64 = 64 << 10;

/// What the file holds.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    isolation: Isolation,
}

/// How the beings of a machine are kept apart.
pub(super) struct Tenancies {
    /// The folder in which theirs are.
    folder: PathBuf,
    /// How those are for which nobody has said.
    usual: Isolation,
    limits: ProcessLimits,
    /// Those for which somebody has.
    said: RwLock<HashMap<Name, Isolation>>,
}

impl Tenancies {
    pub(super) fn new(folder: PathBuf, usual: Isolation, limits: ProcessLimits) -> Self {
        Self { folder, usual, limits, said: RwLock::default() }
    }

    /// Reads what was said of a being before. One for which that cannot be read any more has a process of
    /// its own: in doubt it is kept apart. Blocking.
    pub(super) fn recall(&self, id: &Name) {
        let said = read(&self.folder.join(id.as_str())).unwrap_or_else(|error| {
            let being = id.as_str();
            tracing::warn!(being, "has a process of its own until it is said anew: {error}");
            Some(Isolation::Process)
        });
        if let Some(isolation) = said {
            self.said.write().insert(id.clone(), isolation);
        }
    }

    /// Keeps how a being is to be kept apart from its next waking on. Blocking.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn set(&self, id: &Name, isolation: Isolation) -> io::Result<()> {
        write(&self.folder.join(id.as_str()), isolation)?;
        self.said.write().insert(id.clone(), isolation);
        Ok(())
    }

    /// How a being is kept apart, if somebody has said it.
    pub(super) fn said(&self, id: &Name) -> Option<Isolation> {
        self.said.read().get(id).copied()
    }

    /// A being is there no more.
    pub(super) fn forget(&self, id: &Name) {
        self.said.write().remove(id);
    }

    /// How a being is kept apart.
    pub(super) fn of(&self, id: &Name) -> Isolation {
        self.said.read().get(id).copied().unwrap_or(self.usual)
    }

    /// As what a being lives when it wakes next.
    pub(super) fn tenancy(&self, address: &Address) -> Tenancy {
        let folder = self.folder.join(address.name());
        // Another way of keeping beings apart has its kind here.
        let isolation = Name::new(address.name()).map_or(self.usual, |id| self.of(&id));
        let (kind, settings) = match isolation {
            Isolation::Actor => ("being", serde_json::json!({ "folder": folder })),
            Isolation::Process => {
                let settings = serde_json::json!({ "folder": folder, "limits": self.limits });
                ("being-process", settings)
            }
        };
        Tenancy { kind: kind.to_owned(), settings: Json(settings) }
    }
}

fn read(folder: &Path) -> io::Result<Option<Isolation>> {
    let path = folder.join(FILE);
    let size = match std::fs::metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        about => about?.len(),
    };
    let senseless = |why: String| {
        let why = format!("{} makes no sense: {why}", path.display());
        io::Error::new(io::ErrorKind::InvalidData, why)
    };
    if size > BYTES_MAX {
        return Err(senseless(format!("it is larger than {BYTES_MAX} bytes")));
    }
    let kept = serde_json::from_slice::<Kept>(&std::fs::read(&path)?);
    kept.map(|kept| Some(kept.isolation)).map_err(|error| senseless(error.to_string()))
}

/// Writes it so that it is there whole or not at all. Blocking.
pub(super) fn write(folder: &Path, isolation: Isolation) -> io::Result<()> {
    let unfinished = folder.join("tenancy.json.part");
    let mut file = File::create(&unfinished)?;
    file.write_all(&serde_json::to_vec(&Kept { isolation })?)?;
    file.sync_all()?;
    std::fs::rename(&unfinished, folder.join(FILE))?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenancies(folder: &Path) -> Tenancies {
        Tenancies::new(folder.to_owned(), Isolation::Actor, ProcessLimits::default())
    }

    #[test]
    fn what_was_said_of_one_outlives_the_registry_and_counts_for_it_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (alice, bob) = (Name::new("alice").unwrap(), Name::new("bob").unwrap());
        std::fs::create_dir(folder.path().join("alice")).unwrap();
        tenancies(folder.path()).set(&alice, Isolation::Process).unwrap();
        let again = tenancies(folder.path());
        again.recall(&alice);
        again.recall(&bob);
        assert_eq!((again.of(&alice), again.of(&bob)), (Isolation::Process, Isolation::Actor));
        let lives = again.tenancy(&Address::parse("being/alice").unwrap());
        assert_eq!(lives.kind, "being-process");
        assert_eq!(lives.settings.0["folder"], folder.path().join("alice").to_str().unwrap());
        assert_eq!(again.tenancy(&Address::parse("being/bob").unwrap()).kind, "being");
        again.forget(&alice);
        assert_eq!(again.of(&alice), Isolation::Actor);
    }

    #[test]
    fn one_whose_file_makes_no_sense_is_kept_apart() {
        let folder = tempfile::tempdir().unwrap();
        let alice = Name::new("alice").unwrap();
        std::fs::create_dir(folder.path().join("alice")).unwrap();
        std::fs::write(folder.path().join("alice/tenancy.json"), r#"{"isolation":"cage"}"#)
            .unwrap();
        let error = read(&folder.path().join("alice")).unwrap_err().to_string();
        assert!(error.contains("tenancy.json") && error.contains("cage"), "{error}");
        let tenancies = tenancies(folder.path());
        tenancies.recall(&alice);
        assert_eq!(tenancies.of(&alice), Isolation::Process);
    }
}
