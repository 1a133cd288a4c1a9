//! Reading: one moment of the store.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::ops::{Bound, RangeBounds, RangeInclusive};
use std::sync::Arc;

use genii_protocols::wire;
use redb::{ReadTransaction, ReadableTable, StorageError, TableDefinition, TableError};
use serde::de::DeserializeOwned;

use super::errors::StoreError;
use super::generation::Generation;
use super::key::{Key, decoded, encoded};
use super::seal;
use super::table::Table;
use super::writer::Change;

/// How many entries a walk takes from the file at once.
const WALK_ENTRIES: usize = 64;

/// How many bytes of entries a walk takes at once, but for the last one.
const WALK_BYTES: usize = 64 << 10;

/// How much of a key an error shows, in characters.
const KEY_SHOWN: usize = 80;

/// All tables are of bytes to redb; the types are ours.
pub(super) type Bytes = &'static [u8];

/// An entry as it lies in the file.
pub(super) type Raw = (Vec<u8>, Vec<u8>);

/// Bounds of a walk, as keys lie in the file.
pub(super) type RawRange = (Bound<Vec<u8>>, Bound<Vec<u8>>);

pub(super) fn definition(name: &str) -> TableDefinition<'_, Bytes, Bytes> {
    TableDefinition::new(name)
}

/// Reads from one moment of a store; within a write, from what the write has made of it so far.
pub struct Reader {
    generation: Arc<Generation>,
    source: Source,
}

pub(super) enum Source {
    Moment(ReadTransaction),
    Change(Box<Change>),
}

impl Source {
    /// The change that a writer reads from.
    pub(super) fn change(&self) -> &Change {
        match self {
            Self::Change(change) => change,
            Self::Moment(_) => unreachable!("a writer reads from its own change"),
        }
    }

    /// The change that a writer reads from.
    pub(super) fn into_change(self) -> Box<Change> {
        match self {
            Self::Change(change) => change,
            Self::Moment(_) => unreachable!("a writer reads from its own change"),
        }
    }
}

impl Reader {
    pub(super) fn new(generation: Arc<Generation>, source: Source) -> Self {
        Self { generation, source }
    }

    pub(super) fn generation(&self) -> &Arc<Generation> {
        &self.generation
    }

    pub(super) fn source(&self) -> &Source {
        &self.source
    }

    pub(super) fn into_source(self) -> Source {
        self.source
    }

    /// The value of a key.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when it cannot be read, [`StoreError::Io`].
    pub fn get<K: Key, V>(&self, table: Table<K, V>, key: &K) -> Result<Option<V>, StoreError>
    where
        V: DeserializeOwned,
    {
        let bytes = encoded(key);
        let value = self.ask(table.name(), Get(&bytes))?;
        value.map(|value| self.value(table, &bytes, &value)).transpose()
    }

    /// The values of keys, of those that have one, in the order of the keys. Quicker than one by one.
    ///
    /// # Errors
    /// As [`Reader::get`].
    pub fn get_all<K: Key, V>(
        &self,
        table: Table<K, V>,
        keys: impl IntoIterator<Item = K>,
    ) -> Result<Vec<(K, V)>, StoreError>
    where
        V: DeserializeOwned,
    {
        let keys: Vec<K> = keys.into_iter().collect();
        let bytes: Vec<Vec<u8>> = keys.iter().map(encoded).collect();
        let values = self.ask(table.name(), GetAll(&bytes))?;
        let found = keys.into_iter().zip(&bytes).zip(values);
        let value = |((key, bytes), value): ((K, &Vec<u8>), Option<Vec<u8>>)| {
            let value = value.map(|value| self.value(table, bytes, &value));
            value.map(|value| value.map(|value| (key, value)))
        };
        found.filter_map(value).collect()
    }

    /// The entries of some ranges whose keys are wanted. Each range is looked for once, which is quicker
    /// than a look for each key where they lie close together.
    ///
    /// # Errors
    /// As [`Reader::get`].
    pub fn within<K: Key, V>(
        &self,
        table: Table<K, V>,
        ranges: impl IntoIterator<Item = RangeInclusive<K>>,
        is_wanted: impl Fn(&K) -> bool,
    ) -> Result<Vec<(K, V)>, StoreError>
    where
        V: DeserializeOwned,
    {
        let ranges: Vec<RawRange> = ranges.into_iter().map(|range| raw_range(&range)).collect();
        let each = |bytes: &[u8], value: &[u8]| {
            let Some(key) = decoded(bytes) else {
                let why = "its key is not one of this table".to_owned();
                return Some(Err(self.damaged(table, bytes, why)));
            };
            let value = is_wanted(&key).then(|| self.value(table, bytes, value));
            value.map(|value| value.map(|value| (key, value)))
        };
        self.ask(table.name(), Within { ranges: &ranges, each })?.into_iter().collect()
    }

    /// Whether a key has a value.
    ///
    /// # Errors
    /// As [`Reader::get`].
    pub fn contains<K: Key, V>(&self, table: Table<K, V>, key: &K) -> Result<bool, StoreError> {
        Ok(self.ask(table.name(), Get(&encoded(key)))?.is_some())
    }

    /// The entry with the first key.
    ///
    /// # Errors
    /// As [`Reader::get`].
    pub fn first<K: Key, V>(&self, table: Table<K, V>) -> Result<Option<(K, V)>, StoreError>
    where
        V: DeserializeOwned,
    {
        self.edge(table, End::First)
    }

    /// The entry with the last key.
    ///
    /// # Errors
    /// As [`Reader::get`].
    pub fn last<K: Key, V>(&self, table: Table<K, V>) -> Result<Option<(K, V)>, StoreError>
    where
        V: DeserializeOwned,
    {
        self.edge(table, End::Last)
    }

    fn edge<K: Key, V>(&self, table: Table<K, V>, end: End) -> Result<Option<(K, V)>, StoreError>
    where
        V: DeserializeOwned,
    {
        let raw = self.ask(table.name(), Edge(end))?;
        raw.map(|raw| self.entry(table, &raw)).transpose()
    }

    /// How many entries a table has. This is known, and not counted.
    ///
    /// # Errors
    /// As [`Reader::get`].
    pub fn len<K, V>(&self, table: Table<K, V>) -> Result<u64, StoreError> {
        self.ask(table.name(), Len)
    }

    /// Whether a table has no entry.
    ///
    /// # Errors
    /// As [`Reader::get`].
    pub fn is_empty<K, V>(&self, table: Table<K, V>) -> Result<bool, StoreError> {
        Ok(self.len(table)? == 0)
    }

    /// The entries whose keys lie in a range, in the order of the keys, from either end. They are
    /// taken from the file some at a time, so that a walk that ends early costs little, and one
    /// through everything little memory.
    pub fn range<K: Key, V>(
        &self,
        table: Table<K, V>,
        range: impl RangeBounds<K>,
    ) -> Entries<'_, K, V> {
        let (first, last) = (VecDeque::new(), VecDeque::new());
        let left = Some(raw_range(&range));
        Entries { reader: self, table, left, first, last }
    }

    /// Some entries of a range, from its beginning or its end.
    pub(super) fn some(
        &self,
        table: &str,
        range: &RawRange,
        end: End,
    ) -> Result<Vec<Raw>, StoreError> {
        if is_nothing(range) {
            return Ok(Vec::new());
        }
        self.ask(table, Walk { range, end })
    }

    pub(super) fn value<K: Key, V: DeserializeOwned>(
        &self,
        table: Table<K, V>,
        key: &[u8],
        value: &[u8],
    ) -> Result<V, StoreError> {
        let is_other = || self.damaged(table, key, "it is not what was written".to_owned());
        let value = seal::open(key, value).ok_or_else(is_other)?;
        wire::decode(value).map_err(|error| self.damaged(table, key, error.to_string()))
    }

    pub(super) fn entry<K: Key, V: DeserializeOwned>(
        &self,
        table: Table<K, V>,
        (key, value): &Raw,
    ) -> Result<(K, V), StoreError> {
        let value = self.value(table, key, value)?;
        let no_key = || self.damaged(table, key, "its key is not one of this table".to_owned());
        Ok((decoded(key).ok_or_else(no_key)?, value))
    }

    fn damaged<K: Key, V>(&self, table: Table<K, V>, key: &[u8], why: String) -> StoreError {
        let key = decoded::<K>(key).map_or_else(|| shown(&key), |key| shown(&key));
        let place = format!("entry {key} of table {:?}", table.name());
        let damage = StoreError::Damaged { path: self.generation.path().to_owned(), place, why };
        self.generation.meet(&damage);
        damage
    }

    /// A table that is not there yet is an empty one.
    fn ask<Q: Query>(&self, table: &str, query: Q) -> Result<Q::Answer, StoreError> {
        self.generation.guard(|| match &self.source {
            Source::Moment(moment) => match moment.open_table(definition(table)) {
                Ok(table) => Ok(query.ask(&table)?),
                Err(TableError::TableDoesNotExist(_)) => Ok(Q::Answer::default()),
                Err(error) => Err(error.into()),
            },
            Source::Change(change) => match change.open(table)? {
                Some(table) => Ok(query.ask(&table)?),
                None => Ok(Q::Answer::default()),
            },
        })
    }
}

/// A key as an error shows it.
pub(super) fn shown(key: &impl std::fmt::Debug) -> String {
    let mut text = format!("{key:?}");
    if let Some((end, _)) = text.char_indices().nth(KEY_SHOWN) {
        text.truncate(end);
        text.push_str("...");
    }
    text
}

pub(super) fn raw_range<K: Key>(range: &impl RangeBounds<K>) -> RawRange {
    (range.start_bound().map(encoded), range.end_bound().map(encoded))
}

/// Whether no key can lie between the bounds. redb is not asked then, since it takes bounds that
/// cross for a mistake.
pub(super) fn is_nothing(range: &RawRange) -> bool {
    let (from, is_from_in) = match &range.0 {
        Bound::Included(key) => (key, true),
        Bound::Excluded(key) => (key, false),
        Bound::Unbounded => return false,
    };
    let (to, is_to_in) = match &range.1 {
        Bound::Included(key) => (key, true),
        Bound::Excluded(key) => (key, false),
        Bound::Unbounded => return false,
    };
    match from.cmp(to) {
        Ordering::Less => false,
        Ordering::Equal => !(is_from_in && is_to_in),
        Ordering::Greater => true,
    }
}

pub(super) fn borrowed(range: &RawRange) -> (Bound<&[u8]>, Bound<&[u8]>) {
    (range.0.as_ref().map(Vec::as_slice), range.1.as_ref().map(Vec::as_slice))
}

/// Where a walk goes on.
#[derive(Debug, Clone, Copy)]
pub(super) enum End {
    First,
    Last,
}

/// Something that a table is asked, be it read or changed.
trait Query {
    type Answer: Default;

    fn ask(self, table: &impl ReadableTable<Bytes, Bytes>) -> Result<Self::Answer, StorageError>;
}

struct Get<'a>(&'a [u8]);

impl Query for Get<'_> {
    type Answer = Option<Vec<u8>>;

    fn ask(self, table: &impl ReadableTable<Bytes, Bytes>) -> Result<Self::Answer, StorageError> {
        Ok(table.get(self.0)?.map(|value| value.value().to_vec()))
    }
}

struct GetAll<'a>(&'a [Vec<u8>]);

impl Query for GetAll<'_> {
    /// As many as keys, unless there is no table.
    type Answer = Vec<Option<Vec<u8>>>;

    fn ask(self, table: &impl ReadableTable<Bytes, Bytes>) -> Result<Self::Answer, StorageError> {
        self.0.iter().map(|key| Get(key).ask(table)).collect()
    }
}

struct Within<'a, F> {
    ranges: &'a [RawRange],
    each: F,
}

impl<R, F: Fn(&[u8], &[u8]) -> Option<R>> Query for Within<'_, F> {
    type Answer = Vec<R>;

    fn ask(self, table: &impl ReadableTable<Bytes, Bytes>) -> Result<Vec<R>, StorageError> {
        let mut found = Vec::new();
        for range in self.ranges.iter().filter(|range| !is_nothing(range)) {
            for entry in table.range::<&[u8]>(borrowed(range))? {
                let (key, value) = entry?;
                found.extend((self.each)(key.value(), value.value()));
            }
        }
        Ok(found)
    }
}

struct Len;

impl Query for Len {
    type Answer = u64;

    fn ask(self, table: &impl ReadableTable<Bytes, Bytes>) -> Result<Self::Answer, StorageError> {
        table.len()
    }
}

struct Edge(End);

impl Query for Edge {
    type Answer = Option<Raw>;

    fn ask(self, table: &impl ReadableTable<Bytes, Bytes>) -> Result<Self::Answer, StorageError> {
        let entry = match self.0 {
            End::First => table.first()?,
            End::Last => table.last()?,
        };
        Ok(entry.map(|(key, value)| (key.value().to_vec(), value.value().to_vec())))
    }
}

struct Walk<'a> {
    range: &'a RawRange,
    end: End,
}

impl Query for Walk<'_> {
    type Answer = Vec<Raw>;

    fn ask(self, table: &impl ReadableTable<Bytes, Bytes>) -> Result<Self::Answer, StorageError> {
        let mut entries = table.range::<&[u8]>(borrowed(self.range))?;
        let mut taken: Vec<Raw> = Vec::new();
        let mut bytes = 0;
        while taken.len() < WALK_ENTRIES && bytes < WALK_BYTES {
            let next = match self.end {
                End::First => entries.next(),
                End::Last => entries.next_back(),
            };
            let Some(entry) = next else { break };
            let (key, value) = entry?;
            let raw = (key.value().to_vec(), value.value().to_vec());
            if !self.is_in_place(taken.last(), &raw) {
                let why = "the entries of a table are not in order".to_owned();
                return Err(StorageError::Corrupted(why));
            }
            bytes += raw.0.len() + raw.1.len();
            taken.push(raw);
        }
        Ok(taken)
    }
}

impl Walk<'_> {
    /// Whether an entry is one of the range, and comes after the last one. It is otherwise in a
    /// damaged file, where a walk could go in circles.
    fn is_in_place(&self, last: Option<&Raw>, (key, _): &Raw) -> bool {
        let is_after_last = last.is_none_or(|(last, _)| match self.end {
            End::First => last < key,
            End::Last => last > key,
        });
        let range = borrowed(self.range);
        is_after_last && RangeBounds::<&[u8]>::contains(&range, &key.as_slice())
    }
}

/// The entries of a range, from either end. After an error there are no more.
pub struct Entries<'a, K, V> {
    reader: &'a Reader,
    table: Table<K, V>,
    /// What is not yet taken from the file; `None` when that is nothing.
    left: Option<RawRange>,
    /// Taken from the beginning of the range.
    first: VecDeque<Raw>,
    /// Taken from its end, the last entry first.
    last: VecDeque<Raw>,
}

impl<K: Key, V: DeserializeOwned> Entries<'_, K, V> {
    fn next_raw(&mut self) -> Result<Option<Raw>, StoreError> {
        if self.first.is_empty()
            && let Some((from, to)) = self.left.take()
        {
            let taken = self.reader.some(self.table.name(), &(from, to.clone()), End::First)?;
            self.left = taken.last().map(|(key, _)| (Bound::Excluded(key.clone()), to));
            self.first.extend(taken);
        }
        Ok(self.first.pop_front().or_else(|| self.last.pop_back()))
    }

    fn next_raw_back(&mut self) -> Result<Option<Raw>, StoreError> {
        if self.last.is_empty()
            && let Some((from, to)) = self.left.take()
        {
            let taken = self.reader.some(self.table.name(), &(from.clone(), to), End::Last)?;
            self.left = taken.last().map(|(key, _)| (from, Bound::Excluded(key.clone())));
            self.last.extend(taken);
        }
        Ok(self.last.pop_front().or_else(|| self.first.pop_back()))
    }

    fn entry(
        &mut self,
        raw: Result<Option<Raw>, StoreError>,
    ) -> Option<Result<(K, V), StoreError>> {
        let entry =
            raw.and_then(|raw| raw.map(|raw| self.reader.entry(self.table, &raw)).transpose());
        if entry.is_err() {
            self.left = None;
            self.first.clear();
            self.last.clear();
        }
        entry.transpose()
    }
}

impl<K: Key, V: DeserializeOwned> Iterator for Entries<'_, K, V> {
    type Item = Result<(K, V), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let raw = self.next_raw();
        self.entry(raw)
    }
}

impl<K: Key, V: DeserializeOwned> DoubleEndedIterator for Entries<'_, K, V> {
    fn next_back(&mut self) -> Option<Self::Item> {
        let raw = self.next_raw_back();
        self.entry(raw)
    }
}
