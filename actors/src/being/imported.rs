//! What lies in a file that was exported, looked at before anything is made of it.

use std::path::Path;

use genii_protocols::{Name, Timestamp};
use genii_storage::store::{OpenError, Store, StoreError, StoreOptions, check};

use super::character::Character;
use super::tables::{ABOUT, SCHEMA};

/// A being in a file.
#[derive(Debug, Clone)]
pub struct Imported {
    /// The id that it had when it was made.
    pub id: Name,
    /// What it is called.
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
}

/// Why a file cannot be taken in.
#[derive(Debug, thiserror::Error)]
pub enum NotImported {
    /// The file is no store, damaged, of something else or newer than this genii.
    #[error("it cannot be taken in: {0}")]
    Open(#[from] OpenError),
    /// What is in it cannot be read.
    #[error("it cannot be taken in: {0}")]
    Read(#[from] StoreError),
    /// It holds no being, or one that cannot live.
    #[error("it cannot be taken in: {why}")]
    Failed {
        /// What is wrong with it.
        why: String,
    },
}

impl Imported {
    /// Looks into a file, which is checked whole, and brought to the schema of this genii. Blocking.
    ///
    /// # Errors
    /// When it holds no being that can live here.
    pub fn of(file: &Path) -> Result<Self, NotImported> {
        let report = check(file)?;
        if !report.is_whole() {
            return Err(NotImported::Failed { why: format!("it is damaged: {report}") });
        }
        let store = Store::open(file, &SCHEMA, &StoreOptions::default())?;
        let about = store.read(|reader| reader.get(ABOUT, &()));
        store.close_blocking()?;
        let about = about?.ok_or_else(|| NotImported::Failed {
            why: "it does not say who it is of".to_owned(),
        })?;
        let character = Character::try_from(&about.character)
            .map_err(|error| NotImported::Failed { why: error.to_string() })?;
        Ok(Self { id: about.id, name: character.name, created: about.created })
    }
}
