//! What lies in a file that was exported, or in a folder that was found, looked at before anything is made
//! of it.

use std::io;
use std::path::Path;

use genii_protocols::beings::ImportedProvider;
use genii_protocols::{Json, Name, Timestamp};
use genii_storage::store::{
    AdmitError, OpenError, Reader, RestoreError, Store, StoreError, StoreOptions, check,
};

use crate::beings::home::folders::STORE;

use super::birth::Birth;
use super::character::Character;
use super::mind::{CORE_BLOCKS_MAX, CORE_TEXT_BYTES_MAX, CORE_TITLE_BYTES_MAX};
use super::provider::{ProviderKind, ProviderSettings};
use super::reminding::{self, REMINDERS_MAX, TEXT_BYTES_MAX as REMINDER_BYTES_MAX};
use super::tables::{ABOUT, About, Block, CORE, REMINDERS, SCHEMA};

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
    /// The file is not even copied.
    #[error("it cannot be taken in: {0}")]
    Admit(#[from] AdmitError),
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

impl NotImported {
    /// Why a file that somebody gave is not even copied.
    pub(crate) fn of_given(error: AdmitError) -> Self {
        match error {
            AdmitError::Open(error) => Self::of_no_store(error),
            error => Self::Admit(error),
        }
    }

    /// Why it cannot be copied whole.
    pub(crate) fn of_copying(error: RestoreError) -> Self {
        match error {
            RestoreError::NotWhole { path, report } => {
                let why = report.finding.why().unwrap_or_default().to_owned();
                Self::of_no_store(OpenError::Damaged { path, why })
            }
            RestoreError::Backup(error) => Self::of_no_store(error),
            error => Self::Failed { why: error.to_string() },
        }
    }

    /// What helps a store of the house helps no file that somebody gave.
    fn of_no_store(error: OpenError) -> Self {
        let why = match error {
            OpenError::Missing { path } => format!("there is no file {}", path.display()),
            OpenError::Damaged { path, why } => {
                format!("{} is damaged: {why}; take in another export of the being", path.display())
            }
            OpenError::NotAStore { path, why } => {
                format!("{} is not a store of a being: {why}", path.display())
            }
            // Of a copy, whose place tells nobody anything.
            OpenError::OtherApplication { found, expected, .. } => {
                format!("it is a store of {found:?} and not of {expected:?}")
            }
            error => return Self::Open(error),
        };
        Self::Failed { why }
    }
}

impl Imported {
    /// Looks into a file, which is checked whole, entry by entry, and stays as it is. Blocking.
    ///
    /// # Errors
    /// When it holds no being that can live here.
    pub fn of(file: &Path) -> Result<Self, NotImported> {
        if let Some(why) = check(file)?.finding.why() {
            return Err(NotImported::Failed { why: format!("it is damaged: {why}") });
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

    /// As [`Imported::of`], of a file that was checked before. Blocking.
    fn in_store(file: &Path) -> Result<Self, NotImported> {
        Self::of_about(Store::read_closed(file, &SCHEMA, |reader| {
            Ok::<_, NotImported>(reader.get(ABOUT, &())?)
        })?)
    }

    /// As [`Imported::in_store`], of a copy of what somebody gave, which is refused if it has more than a being can be
    /// told of what is read whole whenever it wakes. Blocking.
    pub(crate) fn in_copy(copy: &Path) -> Result<Self, NotImported> {
        Self::of_about(Store::read_closed(copy, &SCHEMA, |reader| {
            check_bounds(reader)?;
            Ok::<_, NotImported>(reader.get(ABOUT, &())?)
        })?)
    }

    fn of_about(about: Option<About>) -> Result<Self, NotImported> {
        let about = about.ok_or_else(nobody)?;
        Ok(Self { id: about.id, name: name_in(&about.character)?, created: about.created })
    }
}

fn check_bounds(reader: &Reader) -> Result<(), NotImported> {
    let too_much = |why: String| Err(NotImported::Failed { why });
    let (blocks, reminders) = (reader.len(CORE)?, reader.len(REMINDERS)?);
    if blocks > CORE_BLOCKS_MAX as u64 {
        return too_much(format!(
            "it has {blocks} blocks of core memory; {CORE_BLOCKS_MAX} are the most"
        ));
    }
    if reminders > REMINDERS_MAX {
        return too_much(format!("it has {reminders} reminders; {REMINDERS_MAX} are the most"));
    }
    for block in reader.range(CORE, ..) {
        let Block { title, text } = block?.1;
        if title.len() > CORE_TITLE_BYTES_MAX || text.len() > CORE_TEXT_BYTES_MAX {
            return too_much("a block of its core memory is too long".to_owned());
        }
    }
    for reminder in reader.range(REMINDERS, ..) {
        if reminder?.1.text.len() > REMINDER_BYTES_MAX {
            return too_much("one of its reminders is too long".to_owned());
        }
    }
    Ok(())
}

/// Settles who finds the words of a being that came in a file, of which this is a copy. It answers offline
/// from now on, unless its provider is kept: whoever made the file has chosen with it which server is asked,
/// and from where the house takes the key for that. Which provider it is; none if it answered offline before.
/// Durable when this returns. Blocking.
///
/// # Errors
/// When the copy cannot be read or written, or the provider that is kept makes no sense.
pub(crate) fn settle_provider(
    copy: &Path,
    is_kept: bool,
) -> Result<Option<ImportedProvider>, NotImported> {
    let store = Store::open(copy, &SCHEMA, &StoreOptions::default())?;
    let about = store.read(|reader| reader.get(ABOUT, &()))?.ok_or_else(nobody)?;
    let provider = provider_in(&about.provider, is_kept)?;
    if !is_kept && !about.provider.0.is_null() {
        let about = About { provider: Json::default(), ..about };
        store.write_blocking(move |writer| writer.insert(ABOUT, &(), &about).map(drop))?;
    }
    store.close_blocking()?;
    Ok(provider)
}

/// What is told of the settings of a provider. Those that make no sense are not repeated: what stands in
/// them may be a key.
fn provider_in(settings: &Json, is_kept: bool) -> Result<Option<ImportedProvider>, NotImported> {
    if settings.0.is_null() {
        return Ok(None);
    }
    let read = serde_json::from_value::<ProviderSettings>(settings.0.clone()).ok();
    let (kind, model, base_url) = match read.filter(|settings| settings.check().is_ok()) {
        Some(settings) => match settings.kind {
            ProviderKind::Offline => return Ok(None),
            ProviderKind::OpenAi => ("openai", settings.model, settings.base_url),
        },
        None if is_kept => {
            let why = "the settings of its provider make no sense; take it in without them";
            return Err(NotImported::Failed { why: why.to_owned() });
        }
        None => ("unknown", None, None),
    };
    // A model is one line; whoever reads URLs leaves out of them what is none of theirs.
    let base_url = base_url.map(|url| url.replace(char::is_control, ""));
    Ok(Some(ImportedProvider { kind: kind.to_owned(), model, base_url, is_kept }))
}

fn nobody() -> NotImported {
    NotImported::Failed { why: "it does not say who it is of".to_owned() }
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

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use genii_storage::store::Writer;
    use serde_json::{Value, json};
    use tempfile::TempDir;

    use super::super::tables::StoredReminder;
    use super::*;

    /// The store of a being, with what is written there.
    fn store(
        provider: &Value,
        write: impl Fn(&mut Writer) -> Result<(), StoreError> + Send + 'static,
    ) -> (TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(STORE);
        let about = About {
            id: Name::new("alice").unwrap(),
            created: Timestamp::now(),
            character: Json(json!({ "name": "Alice" })),
            provider: Json(provider.clone()),
        };
        let store = Store::open(&file, &SCHEMA, &StoreOptions::default()).unwrap();
        let written = store.write_blocking(move |writer| {
            writer.insert(ABOUT, &(), &about)?;
            write(writer)
        });
        written.unwrap();
        store.close_blocking().unwrap();
        (folder, file)
    }

    /// What is told of a provider in a file, and what is left of it in the copy.
    fn settled(provider: &Value, is_kept: bool) -> (Result<Option<String>, String>, Value) {
        let (_folder, copy) = store(provider, |_| Ok(()));
        let told = settle_provider(&copy, is_kept).map_err(|error| error.to_string());
        let told = told.map(|provider| provider.map(|provider| provider.to_string()));
        let left = Store::read_closed(&copy, &SCHEMA, |reader| {
            Ok::<_, NotImported>(reader.get(ABOUT, &())?)
        });
        (told, left.unwrap().unwrap().provider.0)
    }

    #[test]
    fn no_provider_stays_in_a_copy_unless_it_is_kept() {
        let check = |provider: &Value, told: Option<&str>| {
            let told: Result<_, String> = Ok(told.map(str::to_owned));
            assert_eq!(settled(provider, false), (told.clone(), Value::Null));
            assert_eq!(settled(provider, true), (told, provider.clone()));
        };
        check(&Value::Null, None);
        check(&json!({ "kind": "offline", "consolidate": false }), None);
        let url = "http://localhost:1/v1";
        let server = json!({ "kind": "openai", "base_url": url, "model": "m", "key_env": "HOME" });
        check(&server, Some("openai, m at http://localhost:1/v1"));
    }

    #[test]
    fn a_provider_that_makes_no_sense_is_left_out_and_not_repeated() {
        let senseless = json!({ "kind": "openai", "retries_max": "sk-123" });
        assert_eq!(settled(&senseless, false), (Ok(Some("unknown".to_owned())), Value::Null));
        let (refused, left) = settled(&senseless, true);
        let refused = refused.unwrap_err();
        assert!(refused.contains("take it in without"), "{refused}");
        assert!(!refused.contains("sk-123"), "{refused}");
        assert_eq!(left, senseless);
    }

    #[test]
    fn more_than_a_being_can_be_told_is_refused() {
        let refused = |blocks: u64, block: usize, reminders: u64, reminder: usize| {
            let (_folder, file) = store(&Value::Null, move |writer| {
                for number in 0..blocks {
                    let block = Block { title: "t".to_owned(), text: "x".repeat(block) };
                    writer.insert(CORE, &number, &block)?;
                }
                for id in 0..reminders {
                    let (at, text) = (Timestamp::now(), "x".repeat(reminder));
                    writer.insert(REMINDERS, &id, &StoredReminder { id, at, text, made: at })?;
                }
                Ok(())
            });
            Imported::in_copy(&file).err().map(|why| why.to_string()).unwrap_or_default()
        };
        let (blocks, reminders) = (CORE_BLOCKS_MAX as u64, REMINDERS_MAX);
        assert_eq!(refused(blocks, CORE_TEXT_BYTES_MAX, 2, REMINDER_BYTES_MAX), "");
        assert_eq!(refused(0, 0, reminders, 1), "");
        for (why, refused) in [
            ("17 blocks of core memory; 16", refused(blocks + 1, 1, 0, 0)),
            ("a block of its core memory is too long", refused(1, CORE_TEXT_BYTES_MAX + 1, 0, 0)),
            ("1001 reminders; 1000", refused(0, 0, reminders + 1, 1)),
            ("one of its reminders is too long", refused(0, 0, 1, REMINDER_BYTES_MAX + 1)),
        ] {
            assert!(refused.contains(why), "{refused:?} does not say {why}");
        }
    }
}
