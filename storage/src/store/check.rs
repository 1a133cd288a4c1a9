//! Looking a store over, and mending what can be mended.

use std::cell::Cell;
use std::fmt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use redb::{Database, ReadTransaction, ReadableTableMetadata, TableHandle};

use super::StoreOptions;
use super::errors::OpenError;
use super::files::open_to_write;
use super::generation::Generation;
use super::opening::{builder, guard, lock, open_over, verify, wary_builder};
use super::reader::definition;
use super::schema::{ABOUT_NAME, About};
use super::seal;

/// What was found in a store. It is written for people by `to_string`.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Its file.
    pub path: PathBuf,
    /// The size of the file, in bytes.
    pub bytes: u64,
    /// How it is.
    pub finding: Finding,
    /// What it is a store of, when it can say so.
    pub application: Option<String>,
    /// The version of its schema, when it can say so.
    pub version: Option<u32>,
    /// Its tables, as far as they can be read.
    pub tables: Vec<TableReport>,
}

/// What was found of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct TableReport {
    /// Its name.
    pub name: String,
    /// How many entries it has.
    pub entries: u64,
    /// The bytes of its keys and values.
    pub bytes: u64,
}

/// How a store is.
#[derive(Debug, Clone, PartialEq)]
pub enum Finding {
    /// It is whole.
    Whole,
    /// It was not closed, as after `kill -9`, and is whole: the next open sees to it.
    NotClosed,
    /// Something is wrong that a repair can mend.
    Repairable {
        /// What is wrong.
        why: String,
    },
    /// It is damaged, and no repair mends it: a backup does, or [`salvage()`](super::salvage()), which gives
    /// up what cannot be read.
    Damaged {
        /// What is wrong.
        why: String,
    },
}

/// What a repair found and what it left.
#[derive(Debug, Clone, PartialEq)]
pub struct Repair {
    /// The store before.
    pub before: Report,
    /// The store after; as before when nothing could or had to be done.
    pub after: Report,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_whole(&self) -> bool {
        self.finding.why().is_none()
    }
}

impl Finding {
    /// What is wrong, if anything is.
    pub fn why(&self) -> Option<&str> {
        match self {
            Self::Whole | Self::NotClosed => None,
            Self::Repairable { why } | Self::Damaged { why } => Some(why),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => f.write_str("it is whole"),
            Self::NotClosed => {
                f.write_str("it was not closed and is whole; the next open takes care of it")
            }
            Self::Repairable { why } => write!(f, "it can be repaired: {why}"),
            Self::Damaged { why } => {
                write!(f, "it is damaged and cannot be repaired: {why}; restore a backup")
            }
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.path.display(), self.finding)?;
        write!(f, "{} bytes", self.bytes)?;
        if let (Some(application), Some(version)) = (&self.application, self.version) {
            write!(f, ", a store of {application:?} in version {version}")?;
        }
        for TableReport { name, entries, bytes } in &self.tables {
            write!(f, "\ntable {name:?}: {entries} entries, {bytes} bytes")?;
        }
        Ok(())
    }
}

/// Looks a closed store over: the checksums of the whole file, and whether every entry of every
/// table is what was written. What it means is for those to say who know its type. Changes nothing.
/// Blocking, for as long as it takes to read the file.
///
/// # Errors
/// [`OpenError`] when it cannot be looked over: it is in use, is no store, or may not be read.
/// That it is damaged is a finding, and no error.
pub fn check(path: &Path) -> Result<Report, OpenError> {
    // With all checksums first: what redb does with pages that were damaged may end the process.
    match verify(path) {
        Err(OpenError::Damaged { why, .. }) => return bare(path, Finding::Damaged { why }),
        verified => verified?,
    }
    let was_open = Rc::new(Cell::new(false));
    let seen = Rc::clone(&was_open);
    let mut trusting = builder(&StoreOptions::default());
    trusting.set_repair_callback(move |_| seen.set(true));
    match open_over(path, &trusting) {
        Ok(database) => look_over(path, database, was_open.get()),
        Err(OpenError::Damaged { why, .. }) => {
            report(path, Finding::Repairable { why }, open_over(path, &wary_builder())?)
        }
        Err(error) => Err(error),
    }
}

/// Mends a closed store if something is wrong with it that can be mended. Blocking.
///
/// # Errors
/// As those of [`check()`].
pub fn repair(path: &Path) -> Result<Repair, OpenError> {
    let before = check(path)?;
    if !matches!(before.finding, Finding::Repairable { .. } | Finding::NotClosed) {
        return Ok(Repair { after: before.clone(), before });
    }
    let file = open_to_write(path).map_err(|error| OpenError::io(path, error))?;
    let mended = lock(path, path, file, &wary_builder())?;
    let mended = mended.ok_or_else(|| OpenError::Locked { path: path.to_owned() })?;
    Generation::new(path, mended).close()?;
    Ok(Repair { before, after: check(path)? })
}

fn look_over(path: &Path, mut database: Database, was_open: bool) -> Result<Report, OpenError> {
    let is_sound = guard(path, || Ok(database.check_integrity()?));
    let finding = match is_sound {
        Ok(true) if was_open => Finding::NotClosed,
        Ok(true) => Finding::Whole,
        Ok(false) => {
            let why = "its pages are not as its last commit left them".to_owned();
            Finding::Repairable { why }
        }
        Err(OpenError::Damaged { why, .. }) => return bare(path, Finding::Damaged { why }),
        Err(error) => return Err(error),
    };
    report(path, finding, database)
}

/// A report of a file of which nothing can be read.
fn bare(path: &Path, finding: Finding) -> Result<Report, OpenError> {
    let bytes = path.metadata().map_err(|error| OpenError::io(path, error))?.len();
    let (path, tables) = (path.to_owned(), Vec::new());
    Ok(Report { path, bytes, finding, application: None, version: None, tables })
}

fn report(path: &Path, finding: Finding, database: Database) -> Result<Report, OpenError> {
    let bare = bare(path, finding)?;
    let generation = Arc::new(Generation::new(path, database));
    let about = match About::read(&generation) {
        Err(OpenError::Damaged { why, .. }) => {
            return Ok(Report { finding: Finding::Damaged { why }, ..bare });
        }
        about => about?,
    };
    let (application, version) = (Some(about.application), Some(about.version));
    let moment = generation.begin_read()?;
    match guard(path, || tables(&moment)) {
        Ok(tables) => Ok(Report { application, version, tables, ..bare }),
        Err(OpenError::Damaged { why, .. }) => {
            Ok(Report { finding: Finding::Damaged { why }, application, version, ..bare })
        }
        Err(error) => Err(error),
    }
}

/// Reads all there is.
fn tables(moment: &ReadTransaction) -> Result<Vec<TableReport>, redb::Error> {
    let mut reports = Vec::new();
    for table in moment.list_tables()?.filter(|table| table.name() != ABOUT_NAME) {
        let name = table.name();
        let entries = moment.open_table(definition(name))?;
        let mut report = TableReport { name: name.to_owned(), entries: 0, bytes: 0 };
        seal::walk(&entries, |key, value| {
            report.entries += 1;
            report.bytes += (key.len() + value.len()) as u64;
            Ok(())
        })?;
        if report.entries != entries.len()? {
            let why = format!("table {name:?} has not as many entries as it says");
            return Err(redb::Error::Corrupted(why));
        }
        reports.push(report);
    }
    Ok(reports)
}
