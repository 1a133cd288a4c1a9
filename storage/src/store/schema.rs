//! Whose a store is, which version it has, and how it is brought to another.

use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use super::errors::{OpenError, panic_message};
use super::generation::Generation;
use super::reader::{Reader, Source};
use super::table::Table;
use super::writer::Writer;

/// The format of stores themselves: how keys and values are encoded, and what [`ABOUT`] holds. Each has its
/// golden files.
pub(super) const FORMAT: u32 = 1;

/// What a store says about itself, as texts, so that every version can read it.
const ABOUT: Table<String, String> = Table::reserved(ABOUT_NAME);

/// The name of that table.
pub(super) const ABOUT_NAME: &str = "genii:about";

const APPLICATION: &str = "application";
const FORMAT_KEY: &str = "format";
const VERSION: &str = "version";

/// What a migration came to.
pub type MigrationResult = Result<(), Box<dyn Error + Send + Sync>>;

/// What kind of store this is, in which version, and how older ones are brought to it.
#[derive(Debug, Clone, Copy)]
pub struct Schema {
    application: &'static str,
    version: u32,
    migrations: &'static [Migration],
}

/// A step from one version of a schema to the next.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    /// The version it leads to, from the one before.
    pub to: u32,
    /// What it does, for the error when it fails.
    pub what: &'static str,
    /// Does it. All steps that a store needs are taken together or not at all.
    pub run: fn(&mut Writer) -> MigrationResult,
}

impl Schema {
    /// A schema. Versions begin with 1. Migrations lead to this version without a gap; the first
    /// ones may be gone.
    ///
    /// # Panics
    /// When the versions do not fit together. A constant is looked at by the compiler.
    pub const fn new(
        application: &'static str,
        version: u32,
        migrations: &'static [Migration],
    ) -> Self {
        assert!(version > 0, "versions begin with 1");
        assert!(migrations.len() < version as usize, "the first migration leads to version 2");
        let mut left = migrations.len();
        let mut to = version;
        while left > 0 {
            left -= 1;
            assert!(migrations[left].to == to, "migrations lead to the version without a gap");
            to -= 1;
        }
        Self { application, version, migrations }
    }

    /// The version that a store has from its opening on.
    pub const fn version(&self) -> u32 {
        self.version
    }

    /// The oldest version that can be opened.
    fn oldest(&self) -> u32 {
        self.migrations.first().map_or(self.version, |first| first.to - 1)
    }

    /// Makes a new file a store of this schema.
    pub(super) fn settle_new(&self, generation: &Arc<Generation>) -> Result<(), OpenError> {
        let mut writer = Writer::begin(Arc::clone(generation))?;
        for (key, value) in self.about() {
            writer.insert(ABOUT, &key, &value)?;
        }
        Ok(writer.commit()?)
    }

    /// Has a store of this schema say again of itself what was lost of that.
    pub(super) fn restate(&self, generation: &Arc<Generation>) -> Result<(), OpenError> {
        let mut writer = Writer::begin(Arc::clone(generation))?;
        for (key, value) in self.about() {
            if !writer.contains(ABOUT, &key)? {
                writer.insert(ABOUT, &key, &value)?;
            }
        }
        Ok(writer.commit()?)
    }

    /// What a store of it says of itself.
    fn about(&self) -> [(String, String); 3] {
        let said = [
            (APPLICATION, self.application.to_owned()),
            (FORMAT_KEY, FORMAT.to_string()),
            (VERSION, self.version.to_string()),
        ];
        said.map(|(key, value)| (key.to_owned(), value))
    }

    /// Sees to it that a file is a store of this schema and version.
    pub(super) fn settle(&self, generation: &Arc<Generation>) -> Result<(), OpenError> {
        let path = generation.path();
        let about = About::read(generation)?;
        if about.application != self.application {
            let expected = self.application;
            let (path, found) = (path.to_owned(), about.application);
            return Err(OpenError::OtherApplication { path, found, expected });
        }
        let (found, known) = (about.version, self.version);
        if found > known {
            return Err(newer(path, "schema", found, known));
        }
        if found < self.oldest() {
            let (path, oldest) = (path.to_owned(), self.oldest());
            return Err(OpenError::TooOld { path, found, oldest });
        }
        if found < known {
            self.migrate(generation, found)?;
        }
        Ok(())
    }

    fn migrate(&self, generation: &Arc<Generation>, found: u32) -> Result<(), OpenError> {
        let mut writer = Writer::begin(Arc::clone(generation))?;
        for migration in self.migrations.iter().filter(|migration| migration.to > found) {
            if let Err(why) = run(migration, &mut writer) {
                writer.abort()?;
                let Migration { to, what, .. } = *migration;
                let path = generation.path().to_owned();
                return Err(OpenError::Migration { path, to, what, why });
            }
        }
        writer.insert(ABOUT, &VERSION.to_owned(), &self.version.to_string())?;
        Ok(writer.commit()?)
    }
}

fn run(migration: &Migration, writer: &mut Writer) -> Result<(), String> {
    match catch_unwind(AssertUnwindSafe(|| (migration.run)(writer))) {
        Ok(done) => done.map_err(|error| error.to_string()),
        Err(panic) => Err(format!("it panicked: {}", panic_message(&*panic))),
    }
}

/// What a store says about itself.
pub(super) struct About {
    pub(super) application: String,
    pub(super) version: u32,
}

impl About {
    pub(super) fn read(generation: &Arc<Generation>) -> Result<Self, OpenError> {
        let path = generation.path();
        let moment = Source::Moment(generation.begin_read()?);
        let reader = Reader::new(Arc::clone(generation), moment);
        if reader.is_empty(ABOUT)? {
            let why = "it is a database that genii did not make".to_owned();
            return Err(OpenError::NotAStore { path: path.to_owned(), why });
        }
        let number = |key| text(&reader, key)?.parse::<u32>().map_err(|_| nonsense(path, key));
        let format = number(FORMAT_KEY)?;
        if format > FORMAT {
            return Err(newer(path, "format", format, FORMAT));
        }
        Ok(Self { application: text(&reader, APPLICATION)?, version: number(VERSION)? })
    }
}

fn text(reader: &Reader, key: &str) -> Result<String, OpenError> {
    let text = reader.get(ABOUT, &key.to_owned())?;
    text.ok_or_else(|| nonsense(reader.generation().path(), key))
}

fn nonsense(path: &Path, key: &str) -> OpenError {
    OpenError::damaged(path, format!("it does not say its {key}"))
}

fn newer(path: &Path, what: &'static str, found: u32, known: u32) -> OpenError {
    OpenError::Newer { path: path.to_owned(), what, found, known }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Store, StoreError, StoreOptions};

    const SCHEMA: Schema = Schema::new("test", 1, &[]);

    /// What is said of a store that says something else about itself.
    fn said_when(key: &'static str, value: Option<&'static str>) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("being.redb");
        let open = || Store::open(&path, &SCHEMA, &StoreOptions::default());
        let changed = open().unwrap().write_blocking(move |writer| {
            match value {
                Some(value) => writer.insert(ABOUT, &key.to_owned(), &value.to_owned()),
                None => writer.remove(ABOUT, &key.to_owned()),
            }?;
            Ok::<_, StoreError>(())
        });
        changed.unwrap();
        open().unwrap_err().to_string()
    }

    #[test]
    fn a_store_of_a_newer_format_is_refused() {
        let said = said_when(FORMAT_KEY, Some("2"));
        assert!(said.contains("its format has version 2, and this one knows 1"), "{said}");
    }

    #[test]
    fn a_store_that_does_not_know_itself_is_damaged() {
        for (key, value) in [(VERSION, Some("many")), (VERSION, None), (APPLICATION, None)] {
            let said = said_when(key, value);
            assert!(said.contains(&format!("damaged: it does not say its {key}")), "{said}");
        }
    }
}
