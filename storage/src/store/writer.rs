//! Writing: a change that happens whole or not at all.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::{Bound, Deref, RangeBounds};
use std::sync::Arc;

use genii_protocols::wire;
use redb::{StorageError, TableHandle, WriteTransaction};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::errors::StoreError;
use super::generation::Generation;
use super::key::{Key, encoded};
use super::reader::{Bytes, End, Raw, RawRange, Reader, Source, definition, raw_range, shown};
use super::seal;
use super::table::Table;

type RedbTable<'a> = redb::Table<'a, Bytes, Bytes>;

/// Writes to a store. It reads too, and sees what it has written.
pub struct Writer {
    reader: Reader,
    /// Something was written since [`Writer::forget_touch`].
    touched: bool,
}

/// A change in progress. Dropped, it is taken back.
pub(super) struct Change {
    generation: Arc<Generation>,
    /// Taken out when the change ends.
    transaction: Option<WriteTransaction>,
    /// The tables that are there. Looking into one that is not would make it.
    tables: RefCell<BTreeSet<String>>,
}

impl Change {
    fn begin(generation: Arc<Generation>) -> Result<Self, StoreError> {
        let transaction = Some(generation.begin_write()?);
        let change = Self { generation, transaction, tables: RefCell::default() };
        let names = |tables: &mut BTreeSet<String>| {
            let there = change.transaction().list_tables()?;
            tables.extend(there.map(|table| table.name().to_owned()));
            Ok(())
        };
        change.generation.guard_change(|| names(&mut change.tables.borrow_mut()))?;
        Ok(change)
    }

    /// A table, if it is there.
    pub(super) fn open(&self, name: &str) -> Result<Option<RedbTable<'_>>, redb::Error> {
        if !self.tables.borrow().contains(name) {
            return Ok(None);
        }
        Ok(Some(self.transaction().open_table(definition(name))?))
    }

    /// A table, made if it is not there.
    fn open_or_make(&self, name: &str) -> Result<RedbTable<'_>, redb::Error> {
        let table = self.transaction().open_table(definition(name))?;
        self.tables.borrow_mut().insert(name.to_owned());
        Ok(table)
    }

    fn transaction(&self) -> &WriteTransaction {
        self.transaction.as_ref().expect("a change has its transaction until it ends")
    }

    fn end(
        &mut self,
        end: impl FnOnce(WriteTransaction) -> Result<(), redb::Error>,
    ) -> Result<(), StoreError> {
        let Some(transaction) = self.transaction.take() else { return Ok(()) };
        self.generation.guard_change(|| end(transaction))
    }
}

impl Drop for Change {
    /// Not left to redb, which may panic over a damaged file.
    fn drop(&mut self) {
        // A failure is kept by the generation, which is opened again then.
        let _kept = self.end(|transaction| Ok(transaction.abort()?));
    }
}

impl Deref for Writer {
    type Target = Reader;

    fn deref(&self) -> &Reader {
        &self.reader
    }
}

impl Writer {
    /// Begins a change. There must be no other.
    pub(super) fn begin(generation: Arc<Generation>) -> Result<Self, StoreError> {
        let change = Box::new(Change::begin(Arc::clone(&generation))?);
        Ok(Self { reader: Reader::new(generation, Source::Change(change)), touched: false })
    }

    /// Makes the change durable. Whatever goes wrong, this opening of the file is done for.
    pub(super) fn commit(self) -> Result<(), StoreError> {
        self.into_change().end(|transaction| Ok(transaction.commit()?))
    }

    /// Takes the change back.
    pub(super) fn abort(self) -> Result<(), StoreError> {
        self.into_change().end(|transaction| Ok(transaction.abort()?))
    }

    pub(super) fn is_touched(&self) -> bool {
        self.touched
    }

    pub(super) fn forget_touch(&mut self) {
        self.touched = false;
    }

    /// Puts an entry, in the place of one with the same key; whether there was one.
    ///
    /// # Errors
    /// [`StoreError::Unfit`] when the value cannot be encoded or is larger than a message may be.
    pub fn insert<K: Key, V: Serialize>(
        &mut self,
        table: Table<K, V>,
        key: &K,
        value: &V,
    ) -> Result<bool, StoreError> {
        let mut value = wire::encode(value).map_err(|error| StoreError::Unfit {
            table: table.name(),
            key: shown(key),
            source: Arc::new(error),
        })?;
        let key = encoded(key);
        seal::put(&key, &mut value);
        self.change(table.name(), |table| {
            Ok(table.insert(key.as_slice(), value.as_slice())?.is_some())
        })
    }

    /// Removes an entry; whether there was one.
    ///
    /// # Errors
    /// As those of [`Reader::get`].
    pub fn remove<K: Key, V>(&mut self, table: Table<K, V>, key: &K) -> Result<bool, StoreError> {
        if !self.contains(table, key)? {
            return Ok(false);
        }
        let key = encoded(key);
        self.change(table.name(), |table| Ok(table.remove(key.as_slice())?.is_some()))
    }

    /// Removes an entry and hands out its value.
    ///
    /// # Errors
    /// As those of [`Reader::get`].
    pub fn take<K: Key, V>(&mut self, table: Table<K, V>, key: &K) -> Result<Option<V>, StoreError>
    where
        V: DeserializeOwned,
    {
        let value = self.get(table, key)?;
        self.remove(table, key)?;
        Ok(value)
    }

    /// Removes all entries of a range; how many there were. Their values need not be readable.
    ///
    /// # Errors
    /// As those of [`Reader::get`].
    pub fn remove_range<K: Key, V>(
        &mut self,
        table: Table<K, V>,
        range: impl RangeBounds<K>,
    ) -> Result<u64, StoreError> {
        self.remove_some(table.name(), raw_range(&range), |_, _| Ok(true))
    }

    /// Removes the entries of a range that `is_kept` says no to; how many those were.
    ///
    /// # Errors
    /// As those of [`Reader::get`].
    pub fn retain<K: Key, V>(
        &mut self,
        table: Table<K, V>,
        range: impl RangeBounds<K>,
        mut is_kept: impl FnMut(&K, &V) -> bool,
    ) -> Result<u64, StoreError>
    where
        V: DeserializeOwned,
    {
        self.remove_some(table.name(), raw_range(&range), |reader, raw| {
            let (key, value) = reader.entry(table, raw)?;
            Ok(!is_kept(&key, &value))
        })
    }

    /// Removes the entries of a table that cannot be read as such; how many those were, and their bytes.
    pub(super) fn remove_unreadable<K: Key, V: DeserializeOwned>(
        &mut self,
        table: Table<K, V>,
    ) -> Result<(u64, u64), StoreError> {
        let (all, mut bytes) = ((Bound::Unbounded, Bound::Unbounded), 0);
        let removed = self.remove_some(table.name(), all, |reader, raw| {
            let is_unreadable = reader.entry(table, raw).is_err();
            if is_unreadable {
                bytes += (raw.0.len() + raw.1.len()) as u64;
            }
            Ok(is_unreadable)
        })?;
        Ok((removed, bytes))
    }

    /// Not left to redb, whose walk through a damaged file may not end.
    fn remove_some(
        &mut self,
        table: &str,
        (mut from, to): RawRange,
        mut is_removed: impl FnMut(&Reader, &Raw) -> Result<bool, StoreError>,
    ) -> Result<u64, StoreError> {
        let mut removed = 0;
        loop {
            let mut some = self.some(table, &(from, to.clone()), End::First)?;
            let Some((last, _)) = some.last() else { return Ok(removed) };
            from = Bound::Excluded(last.clone());
            let mut keys = Vec::new();
            for raw in some.drain(..) {
                if is_removed(&self.reader, &raw)? {
                    keys.push(raw.0);
                }
            }
            if !keys.is_empty() {
                removed += self.change(table, |table| remove_keys(table, &keys))?;
            }
        }
    }

    fn change<T>(
        &mut self,
        table: &str,
        change: impl FnOnce(&mut RedbTable<'_>) -> Result<T, StorageError>,
    ) -> Result<T, StoreError> {
        self.touched = true;
        let all = self.reader.source().change();
        let generation = self.reader.generation();
        generation.guard_change(|| Ok(change(&mut all.open_or_make(table)?)?))
    }

    fn into_change(self) -> Box<Change> {
        self.reader.into_source().into_change()
    }
}

/// Removes these keys; how many of them were there.
fn remove_keys(table: &mut RedbTable<'_>, keys: &[Vec<u8>]) -> Result<u64, StorageError> {
    let mut removed = 0;
    for key in keys {
        removed += u64::from(table.remove(key.as_slice())?.is_some());
    }
    Ok(removed)
}
