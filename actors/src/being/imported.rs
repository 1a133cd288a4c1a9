//! What lies in a file that was exported, or in a folder that was found, looked at before anything is made
//! of it.

use std::io;
use std::path::Path;

use genii_protocols::{Json, Name, Timestamp};
use genii_storage::store::{OpenError, Store, StoreError, check};

use crate::beings::home::folders::STORE;

use super::birth::Birth;
use super::character::Character;
use super::reminding;
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
    /// Looks into a file, which is checked whole, entry by entry, and stays as it is. Blocking.
    ///
    /// # Errors
    /// When it holds no being that can live here.
    pub fn of(file: &Path) -> Result<Self, NotImported> {
        let report = check(file)?;
        if !report.is_whole() {
            return Err(NotImported::Failed { why: format!("it is damaged: {report}") });
        }
        Self::in_store(file)
    }

    /// Looks at one that lies in a folder where beings live, born or still to be, and changes nothing of it.
    /// Blocking.
    ///
    /// # Errors
    /// When it holds no being that can live here.
    pub fn lying_in(folder: &Path, id: &Name) -> Result<Self, NotImported> {
        let failed = |error: io::Error| NotImported::Failed { why: error.to_string() };
        match Birth::read(folder).map_err(failed)? {
            Some(Birth { created, character, .. }) => {
                Ok(Self { id: id.clone(), name: name_in(&character)?, created })
            }
            None => Self::in_store(&folder.join(STORE)),
        }
    }

    fn in_store(file: &Path) -> Result<Self, NotImported> {
        let about = Store::read_closed(file, &SCHEMA, |reader| {
            Ok::<_, NotImported>(reader.get(ABOUT, &())?)
        })?;
        let about = about.ok_or_else(|| NotImported::Failed {
            why: "it does not say who it is of".to_owned(),
        })?;
        Ok(Self { id: about.id, name: name_in(&about.character)?, created: about.created })
    }
}

/// When one that sleeps is to be reminded of something next, by its store; never, if it has none. Blocking.
///
/// # Errors
/// When the store cannot be read.
pub(crate) fn next_reminder(store: &Path) -> Result<Option<Timestamp>, NotImported> {
    match Store::read_closed(store, &SCHEMA, |reader| {
        Ok::<_, NotImported>(reminding::first(reader)?)
    }) {
        Err(NotImported::Open(OpenError::Missing { .. })) => Ok(None),
        read => read,
    }
}

fn name_in(character: &Json) -> Result<String, NotImported> {
    let character = Character::try_from(character);
    Ok(character.map_err(|error| NotImported::Failed { why: error.to_string() })?.name)
}
