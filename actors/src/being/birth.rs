//! How a being comes to be: a folder with a file in it that says who it is to be. Its first life takes
//! that over into its store, and then removes it; a crash in between does no harm.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use genii_protocols::{Json, Timestamp};
use serde::{Deserialize, Serialize};

/// The file, in the folder of the being.
const FILE: &str = "birth.json";

/// The largest file that is read, in bytes; a character has 16 MiB at most.
const BYTES_MAX: u64 = 64 << 20;

/// Who a being is to be.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Birth {
    /// When it was made.
    pub created: Timestamp,
    /// Its character, in our own form.
    pub character: Json,
    /// The settings of its provider.
    pub provider: Json,
}

/// Whether a folder holds one that is still to be born.
///
/// # Errors
/// When that cannot be looked at.
pub(crate) fn is_in(folder: &Path) -> io::Result<bool> {
    folder.join(FILE).try_exists()
}

impl Birth {
    /// Writes it into a folder, so that it is there whole or not at all.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        let unfinished = folder.join("birth.json.part");
        let mut file = File::create(&unfinished)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.sync_all()?;
        std::fs::rename(&unfinished, folder.join(FILE))?;
        File::open(folder)?.sync_all()
    }

    /// Reads it from a folder, if it is there.
    pub(super) fn read(folder: &Path) -> io::Result<Option<Self>> {
        let path = folder.join(FILE);
        let size = match std::fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            about => about?.len(),
        };
        if size > BYTES_MAX {
            let why = format!("{} is larger than {BYTES_MAX} bytes", path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        Ok(Some(serde_json::from_slice(&std::fs::read(&path)?)?))
    }

    /// Removes it from a folder, if it is there.
    pub(super) fn remove(folder: &Path) -> io::Result<()> {
        match std::fs::remove_file(folder.join(FILE)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}
