//! Saving what can be read of a store that nothing mends.
//!
//! Every entry has a seal, and every page a checksum: so almost all of a large store can be told from what
//! was damaged in it. The damaged file is read without redb ([`Pages`]). What is whole in it goes into a new
//! file, which takes the place of the damaged one in one step; that is kept beside it until the store is
//! rewritten the next time, in the place of one that was kept before. Whatever ends in between, one of the two is there.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::Database;
use serde::de::DeserializeOwned;

use super::StoreOptions;
use super::check::{Report, check};
use super::errors::{OpenError, StoreError};
use super::files::{DAMAGED, beside, claim, remove_if_there, sync, sync_folder_of};
use super::generation::Generation;
use super::key::{Key, decoded};
use super::opening::guard;
use super::pages::{Found, Pages, TableRoot};
use super::partial::{IfThere, Partial, free_name};
use super::reader::{definition, shown};
use super::rewrite::make;
use super::schema::{ABOUT_NAME, MigrationResult, Schema};
use super::seal;
use super::table::Table;
use super::writer::Writer;

/// How many places are told in which entries of a table are lost. What is lost behind them is told as one
/// with the last.
const GAPS_MAX: usize = 8;

/// What can be read of a damaged store, and what of it is lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remains {
    /// Its tables, as far as they are known.
    pub tables: Vec<TableRemains>,
    /// These are all tables that there were. If not, one may be missing, or be as it was before the last
    /// write.
    pub are_all: bool,
}

/// What can be read of a table, and what of it is lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableRemains {
    /// Its name.
    pub name: String,
    /// How many entries can be read.
    pub entries: u64,
    /// The bytes of their keys and values.
    pub bytes: u64,
    /// How many entries are lost, as the table counts them. 0 if its count is damaged, too.
    pub lost: u64,
    /// Between which keys they were, in words; eight places at most. Empty if no entry is left beside them.
    pub gaps: Vec<String>,
    /// The last key that can be read, if it is a number.
    pub last_number: Option<u64>,
}

/// A store of which was saved what could be read.
#[derive(Debug, Clone, PartialEq)]
pub struct Salvaged {
    /// What was read, and what is lost.
    pub remains: Remains,
    /// The store that it is now.
    pub after: Report,
    /// Where the damaged file is kept, until the store is rewritten.
    pub damaged: PathBuf,
}

/// Why nothing was saved. The damaged file is as it was.
#[derive(Debug, thiserror::Error)]
pub enum SalvageError {
    /// Not a single entry can be read, but of what is made anew.
    #[error("nothing of the store {} can be read; restore a backup", path.display())]
    Nothing {
        /// Its file.
        path: PathBuf,
    },
    /// What was saved could not be made one again.
    #[error("no store can be made of what can be read of {}: {why}; restore a backup", path.display())]
    Unfit {
        /// Its file.
        path: PathBuf,
        /// What went wrong.
        why: String,
    },
    /// It could not be read, or the new one not be written.
    #[error(transparent)]
    Open(#[from] OpenError),
}

impl Remains {
    /// What can be read of a table, if it is known.
    pub fn table(&self, name: &str) -> Option<&TableRemains> {
        self.tables.iter().find(|table| table.name == name)
    }

    /// Whether entries of a table are lost, or may be.
    pub fn has_lost(&self, name: &str) -> bool {
        let has_lost = |table: &TableRemains| table.lost > 0 || !table.gaps.is_empty();
        self.table(name).map_or(!self.are_all, has_lost)
    }

    /// Removes of a table that was saved what is none of its entries, and counts that as lost: a seal does not
    /// say of which table an entry is.
    ///
    /// # Errors
    /// When the store can't be read or written.
    pub fn keep_readable<K: Key, V: DeserializeOwned>(
        &mut self,
        writer: &mut Writer,
        table: Table<K, V>,
    ) -> Result<(), StoreError> {
        let (entries, bytes) = writer.remove_unreadable(table)?;
        if let Some(told) = self.tables.iter_mut().find(|told| told.name == table.name()) {
            told.entries = told.entries.saturating_sub(entries);
            told.bytes = told.bytes.saturating_sub(bytes);
            told.lost += entries;
        }
        Ok(())
    }

    /// Whether nothing can be read, but for what is made anew.
    fn is_nothing(&self, is_made_anew: fn(&str) -> bool) -> bool {
        let mut needed = self.tables.iter().filter(|table| !is_made_anew(&table.name));
        needed.all(|table| table.entries == 0)
    }
}

impl From<StoreError> for SalvageError {
    fn from(error: StoreError) -> Self {
        Self::Open(error.into())
    }
}

/// Looks at what could be saved of a closed store, and changes nothing. `is_known` says by its name whether it
/// has a table. Blocking, for as long as it takes to read the file.
///
/// # Errors
/// [`OpenError`] when it is in use, missing, or the system fails.
pub fn remains(path: &Path, is_known: fn(&str) -> bool) -> Result<Remains, OpenError> {
    let held = claim(path).map_err(|error| busy(path, error))?;
    if held.is_none() {
        return Err(OpenError::Missing { path: path.to_owned() });
    }
    let pages = Pages::open(path).map_err(|error| OpenError::io(path, error))?;
    read_all(&pages, is_known, |_| Ok(NoTable)).map_err(|error| OpenError::redb(path, error))
}

/// Makes a closed store anew of what can be read of it, and gives up the rest. `is_known` says by its name
/// whether it has a table, and `is_made_anew` whether that is not needed: it is read, and not copied. `mend` brings
/// to agree what its tables say of each other, in the new file, before that takes the place of the damaged one.
/// Blocking.
///
/// # Errors
/// [`SalvageError`]; the store is then as it was.
pub fn salvage(
    path: &Path,
    schema: &Schema,
    is_known: fn(&str) -> bool,
    is_made_anew: fn(&str) -> bool,
    mend: impl FnOnce(&mut Writer, &mut Remains) -> MigrationResult,
) -> Result<Salvaged, SalvageError> {
    if !path.try_exists().map_err(|error| OpenError::io(path, error))? {
        return Err(OpenError::Missing { path: path.to_owned() }.into());
    }
    let partial = Partial::begin(path, IfThere::Replace).map_err(|error| busy(path, error))?;
    let pages = Pages::open(path).map_err(|error| OpenError::io(path, error))?;
    let new = make(partial.path(), &StoreOptions::default())?;
    let mut remains = guard(path, || copy(&pages, is_known, is_made_anew, &new))?;
    if remains.is_nothing(is_made_anew) {
        return Err(SalvageError::Nothing { path: path.to_owned() });
    }
    let new = Arc::new(Generation::new(path, new));
    schema.restate(&new)?;
    schema.settle(&new)?;
    mend_all(&new, &mut remains, mend)?;
    new.close()?;
    let after = check(partial.path())?;
    if !after.is_whole() {
        return Err(SalvageError::Unfit { path: path.to_owned(), why: after.finding.to_string() });
    }
    let damaged = beside(path, DAMAGED);
    keep(path, &damaged).map_err(|error| OpenError::io(&damaged, error))?;
    partial.finish().map_err(|error| OpenError::io(path, error))?;
    Ok(Salvaged { remains, after: Report { path: path.to_owned(), ..after }, damaged })
}

fn busy(path: &Path, error: io::Error) -> OpenError {
    match error.kind() {
        ErrorKind::ResourceBusy => OpenError::Locked { path: path.to_owned() },
        _ => OpenError::io(path, error),
    }
}

/// Brings to agree what the tables say of each other, in one change.
fn mend_all(
    new: &Arc<Generation>,
    remains: &mut Remains,
    mend: impl FnOnce(&mut Writer, &mut Remains) -> MigrationResult,
) -> Result<(), SalvageError> {
    let mut writer = Writer::begin(Arc::clone(new))?;
    match mend(&mut writer, remains) {
        Ok(()) => Ok(writer.commit()?),
        Err(why) => {
            writer.abort()?;
            Err(SalvageError::Unfit { path: new.path().to_owned(), why: why.to_string() })
        }
    }
}

/// Gives the damaged file another name beside its own, in the place of one that was kept before; on the disk
/// when this returns. One that was kept before stays until then.
fn keep(path: &Path, damaged: &Path) -> io::Result<()> {
    // Whoever opens the store removes it under this name, if this is cut short.
    let aside = free_name(path);
    let kept = link(path, &aside).and_then(|()| fs::rename(&aside, damaged));
    // Also if it was renamed: of two names of one file that leaves both.
    let removed = remove_if_there(&aside);
    kept.and(removed)?;
    sync_folder_of(damaged)
}

fn link(from: &Path, to: &Path) -> io::Result<()> {
    if fs::hard_link(from, to).is_err() {
        // Where a file has one name only.
        fs::copy(from, to)?;
        sync(to)?;
    }
    Ok(())
}

/// Where the entries of a table go that can be read.
trait Saved {
    fn save(&mut self, key: &[u8], value: &[u8]) -> Result<(), redb::Error>;
}

/// They are only counted.
struct NoTable;

impl Saved for NoTable {
    fn save(&mut self, _: &[u8], _: &[u8]) -> Result<(), redb::Error> {
        Ok(())
    }
}

/// Without a table they are only counted, too.
impl<S: Saved> Saved for Option<S> {
    fn save(&mut self, key: &[u8], value: &[u8]) -> Result<(), redb::Error> {
        match self {
            Some(table) => table.save(key, value),
            None => Ok(()),
        }
    }
}

impl Saved for redb::Table<'_, &'static [u8], &'static [u8]> {
    fn save(&mut self, key: &[u8], value: &[u8]) -> Result<(), redb::Error> {
        Ok(self.insert(key, value).map(drop)?)
    }
}

/// Copies all that can be read, but for what is made anew.
fn copy(
    pages: &Pages,
    is_known: fn(&str) -> bool,
    is_made_anew: fn(&str) -> bool,
    to: &Database,
) -> Result<Remains, redb::Error> {
    let change = to.begin_write()?;
    let remains = read_all(pages, is_known, |name| match is_made_anew(name) {
        true => Ok(None),
        false => Ok(Some(change.open_table(definition(name))?)),
    })?;
    change.commit()?;
    Ok(remains)
}

/// Reads all that can be read, and has it saved table by table.
fn read_all<S: Saved>(
    pages: &Pages,
    is_known: fn(&str) -> bool,
    mut open: impl FnMut(&str) -> Result<S, redb::Error>,
) -> Result<Remains, redb::Error> {
    let list = pages.tables(is_known)?;
    let mut tables = Vec::new();
    for (name, table) in list.tables {
        let mut saved = open(&name)?;
        let remains = read_table(pages, name, table, &mut saved)?;
        // It is the store's own; what is lost of it is said again.
        if remains.name != ABOUT_NAME {
            tables.push(remains);
        }
    }
    Ok(Remains { tables, are_all: list.is_whole })
}

fn read_table(
    pages: &Pages,
    name: String,
    table: TableRoot,
    saved: &mut impl Saved,
) -> Result<TableRemains, redb::Error> {
    let found = read(pages, table, &mut NoTable, false)?.entries;
    // If these are more than it has, a page of another table lies in the place of one of its own.
    let is_strict = table.is_counted && found > table.entries;
    let Reading { entries, bytes, last, gaps, .. } = read(pages, table, saved, is_strict)?;
    let lost = if table.is_counted { table.entries.saturating_sub(entries) } else { 0 };
    let last_number = last.as_deref().and_then(decoded::<u64>);
    Ok(TableRemains { name, entries, bytes, lost, gaps: gaps.told(last), last_number })
}

fn read<'a, S: Saved>(
    pages: &Pages,
    table: TableRoot,
    saved: &'a mut S,
    is_strict: bool,
) -> Result<Reading<'a, S>, redb::Error> {
    let gaps = Gaps::default();
    let mut reading = Reading { saved, is_strict, entries: 0, bytes: 0, last: None, gaps };
    pages.walk(table, &mut |found: Found<'_>| reading.take(found))?;
    Ok(reading)
}

/// A table while it is read.
struct Reading<'a, S> {
    saved: &'a mut S,
    /// Nothing is taken from pages that are not proven.
    is_strict: bool,
    entries: u64,
    bytes: u64,
    /// The key of the last entry that could be read.
    last: Option<Vec<u8>>,
    gaps: Gaps,
}

impl<S: Saved> Reading<'_, S> {
    fn take(&mut self, found: Found<'_>) -> Result<(), redb::Error> {
        let Found::Leaf { leaf, is_proven } = found else {
            self.gaps.is_open = true;
            return Ok(());
        };
        let is_whole = |(key, value): &(&[u8], &[u8])| seal::open(key, value).is_some();
        let entries: Vec<_> = leaf.entries().map(|entry| entry.filter(is_whole)).collect();
        if !is_proven && (self.is_strict || entries.iter().all(Option::is_some)) {
            // Where nothing of it is damaged, and yet it is not what was written here last, it is what
            // was here before.
            self.gaps.is_open = true;
            return Ok(());
        }
        for entry in entries {
            match entry.filter(|(key, _)| self.last.as_deref().is_none_or(|last| last < *key)) {
                Some((key, value)) => self.save(key, value)?,
                None => self.gaps.is_open = true,
            }
        }
        Ok(())
    }

    fn save(&mut self, key: &[u8], value: &[u8]) -> Result<(), redb::Error> {
        self.saved.save(key, value)?;
        self.gaps.end(self.last.as_deref(), key);
        self.entries += 1;
        self.bytes += (key.len() + value.len()) as u64;
        self.last = Some(key.to_vec());
        Ok(())
    }
}

/// Between which keys that could be read something is lost.
#[derive(Default)]
struct Gaps {
    /// The keys before and behind each.
    ended: Vec<(Option<Vec<u8>>, Vec<u8>)>,
    /// Something is lost behind the last key that could be read.
    is_open: bool,
}

impl Gaps {
    /// Another entry was read.
    fn end(&mut self, last: Option<&[u8]>, key: &[u8]) {
        if !std::mem::take(&mut self.is_open) {
            return;
        }
        let is_full = self.ended.len() == GAPS_MAX;
        match self.ended.last_mut() {
            Some((_, end)) if is_full => *end = key.to_vec(),
            _ => self.ended.push((last.map(<[u8]>::to_vec), key.to_vec())),
        }
    }

    /// In words, when all was read.
    fn told(self, last: Option<Vec<u8>>) -> Vec<String> {
        let between = |(from, to): &(Option<Vec<u8>>, Vec<u8>)| match from {
            Some(from) => format!("between {} and {}", key_in_words(from), key_in_words(to)),
            None => format!("before {}", key_in_words(to)),
        };
        let behind = last.filter(|_| self.is_open);
        let behind = behind.map(|last| format!("behind {}", key_in_words(&last)));
        self.ended.iter().map(between).chain(behind).collect()
    }
}

/// A key as a person reads it, if it is a text or a number, as most are.
fn key_in_words(key: &[u8]) -> String {
    match (decoded::<String>(key), decoded::<u64>(key)) {
        (Some(text), _) => shown(&text),
        (None, Some(number)) => number.to_string(),
        (None, None) => shown(&key),
    }
}
