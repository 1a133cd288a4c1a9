//! What is known of each being, and what was done with it, on the disk.

mod notes;

use std::collections::HashMap;
use std::ops::Bound;
use std::path::Path;

use genii_protocols::{Name, NodeName, Timestamp};
use genii_storage::store::{
    Migration, OpenError, Reader, Schema, Store, StoreError, StoreOptions, Table, Writer,
};
use genii_supervision::StartError;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::beings::home::folders::make_folder;

/// The book. Each version has a golden file.
const SCHEMA: Schema = Schema::new("beings", 3, &[REMAINS_COME, NOTES_COME]);

/// A genii that knows nothing of what remains of beings that were given up or deleted would take it in
/// again: it is to refuse the book.
const REMAINS_COME: Migration =
    Migration { to: 2, what: "make room for what remains of beings", run: |_| Ok(()) };

/// A genii that knows nothing of notes would delete a being without one: it is to refuse the book.
const NOTES_COME: Migration =
    Migration { to: 3, what: "make room for what was done with beings", run: |_| Ok(()) };

/// The beings, by id.
const BEINGS: Table<String, Entry> = Table::new("beings");

/// By what the making of a being is told from any other, of those that are being made.
const MAKINGS: Table<String, u64> = Table::new("makings");

/// What may lie on machines where its being is not to live, by id and machine.
const REMAINS: Table<Place, Remains> = Table::new("remains");

/// The file, in the folder of the beings. No being can have its name: it has a dot in it.
const FILE: &str = "registry.redb";

/// What is known of a being.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) id: Name,
    pub(super) name: String,
    pub(super) node: NodeName,
    pub(super) created: Timestamp,
    pub(super) stage: Stage,
}

/// How far the making, the end or a move of a being has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Stage {
    /// It is being made, and nobody was told of it.
    Coming,
    /// It is there.
    Living,
    /// It is being deleted.
    Going,
    /// It lives where it did, and is about to move.
    Moving {
        /// To this machine.
        to: NodeName,
    },
    /// It has moved. What was left behind is still to be removed.
    Arriving {
        /// On this machine.
        from: NodeName,
    },
}

impl Entry {
    /// Whether there is such a being, for whoever asks.
    pub(super) fn is_there(&self) -> bool {
        !matches!(self.stage, Stage::Coming | Stage::Going)
    }

    /// The machine to which it is about to move, or from which it has moved.
    pub(super) fn other(&self) -> Option<&NodeName> {
        match &self.stage {
            Stage::Moving { to: other } | Stage::Arriving { from: other } => Some(other),
            Stage::Coming | Stage::Living | Stage::Going => None,
        }
    }
}

/// What may lie of a being on a machine where it is not to live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Remains {
    /// When the being was made: another may have its id by now.
    pub(super) created: Timestamp,
    pub(super) fate: Fate,
}

/// What has become of a being of which something remains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Fate {
    /// It lives on another machine.
    Moved,
    /// It was deleted.
    Deleted,
    /// It was given up with a machine.
    GivenUp,
}

/// What was done with a being, as the journal says it. Kept also when the being is no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Note {
    pub(super) id: Name,
    pub(super) at: Timestamp,
    pub(super) text: String,
}

impl Note {
    fn of(id: &Name, text: &str) -> Self {
        Self { id: id.clone(), at: Timestamp::now(), text: text.to_owned() }
    }
}

/// What is done with a being is noted in the commit that does it.
pub(super) struct Book {
    store: Store,
    /// How many beings each machine has.
    counts: Mutex<HashMap<NodeName, u64>>,
}

impl Book {
    /// Opens it, or makes it. Blocking.
    pub(super) fn open(folder: &Path) -> Result<Self, StartError> {
        make_folder(folder).map_err(|error| {
            let why = format!("its folder {} cannot be made: {error}", folder.display());
            StartError::failed(why)
        })?;
        let store = Store::open(folder.join(FILE), &SCHEMA, &StoreOptions::default());
        let store = store.map_err(|error| match &error {
            OpenError::Damaged { path, why } | OpenError::NotAStore { path, why } => {
                damaged(path, why)
            }
            _ => StartError::of(&error),
        })?;
        let book = Self { store, counts: Mutex::default() };
        let mut counts = HashMap::new();
        let entries = book.all().map_err(|error| match &error {
            StoreError::Damaged { path, place, why } => damaged(path, &format!("{place}: {why}")),
            _ => StartError::of(&error),
        })?;
        for entry in entries {
            *counts.entry(entry.node).or_default() += 1;
        }
        *book.counts.lock() = counts;
        Ok(book)
    }

    pub(super) async fn close(&self) {
        if let Err(error) = self.store.close().await {
            tracing::warn!("the book of beings was not closed in order: {error}");
        }
    }

    pub(super) fn len(&self) -> Result<u64, StoreError> {
        self.store.read(|reader| reader.len(BEINGS))
    }

    pub(super) fn get(&self, id: &Name) -> Result<Option<Entry>, StoreError> {
        self.store.read(|reader| reader.get(BEINGS, &id.as_str().to_owned()))
    }

    /// How many beings a machine has.
    pub(super) fn count_on(&self, node: &NodeName) -> u64 {
        self.counts.lock().get(node).copied().unwrap_or_default()
    }

    /// Those that live, behind an id, in whose id or name some text stands; and the id behind which
    /// there are more. Aside, since that may be many to look at.
    pub(super) async fn page(
        &self,
        after: Option<Name>,
        limit: usize,
        matching: Option<String>,
    ) -> Result<(Vec<Entry>, Option<Name>), StoreError> {
        let store = self.store.clone();
        let read = move || store.read(|reader| page(reader, after, limit, matching));
        let read = tokio::task::spawn_blocking(read).await;
        read.unwrap_or_else(|_| Err(StoreError::Stopped { path: self.store.path().to_owned() }))
    }

    /// All of them, whatever their stage.
    pub(super) fn all(&self) -> Result<Vec<Entry>, StoreError> {
        self.store.read(|reader| reader.range(BEINGS, ..).map(|entry| Ok(entry?.1)).collect())
    }

    /// By what the making of a being is told from any other, if it is being made.
    pub(super) fn making(&self, id: &Name) -> Result<Option<u64>, StoreError> {
        self.store.read(|reader| reader.get(MAKINGS, &id.as_str().to_owned()))
    }

    /// Writes down that a being is about to be made.
    pub(super) async fn begin(&self, entry: Entry, making: u64) -> Result<(), StoreError> {
        self.write(entry, Some(making), false, None).await
    }

    /// Writes down what is known of a being, and what was done with it, if that is to be noted. Two do not do
    /// so for the same being at the same time. If it was on its way between two machines, something of it may
    /// remain on the other one.
    pub(super) async fn put(&self, entry: Entry, done: Option<&str>) -> Result<(), StoreError> {
        self.write(entry, None, false, done).await
    }

    /// As [`Book::put`], of one of which nothing remains on that other machine.
    pub(super) async fn put_alone(
        &self,
        entry: Entry,
        done: Option<&str>,
    ) -> Result<(), StoreError> {
        self.write(entry, None, true, done).await
    }

    async fn write(
        &self,
        entry: Entry,
        making: Option<u64>,
        is_alone: bool,
        done: Option<&str>,
    ) -> Result<(), StoreError> {
        let node = entry.node.clone();
        let note = done.map(|text| Note::of(&entry.id, text));
        let put = self.store.write(move |writer| {
            let id = entry.id.as_str().to_owned();
            let before: Option<Entry> = writer.get(BEINGS, &id)?;
            // What it is called it says itself, also while something else is done with it.
            let name = before.as_ref().map_or(&entry.name, |before| &before.name).clone();
            match making {
                Some(making) => writer.insert(MAKINGS, &id, &making)?,
                None => writer.remove(MAKINGS, &id)?,
            };
            if let Some(before) = &before {
                keep_what_remains(writer, before, &entry, is_alone)?;
            }
            if entry.stage == Stage::Living {
                // So what lies there is no remains.
                writer.remove(REMAINS, &place(&entry.id, &entry.node))?;
            }
            writer.insert(BEINGS, &id, &Entry { name, ..entry.clone() })?;
            let is_coming = before.as_ref().is_none_or(|before| before.stage == Stage::Coming);
            notes::keep(writer, note.as_ref(), is_coming)?;
            Ok::<_, StoreError>(before.map(|before| before.node))
        });
        let before = put.await?;
        self.moved(before, Some(node));
        Ok(())
    }

    /// Strikes a being, and notes what was done with it if somebody knew of it. What may remain of it
    /// elsewhere is that of one that was deleted.
    pub(super) async fn strike(&self, id: &Name, done: Option<&str>) -> Result<(), StoreError> {
        let note = done.map(|text| Note::of(id, text));
        let id = id.as_str().to_owned();
        let struck = self.store.write(move |writer| {
            writer.remove(MAKINGS, &id)?;
            end_moved(writer, &id, Fate::Deleted)?;
            notes::keep(writer, note.as_ref(), false)?;
            writer.take(BEINGS, &id)
        });
        let taken: Option<Entry> = struck.await?;
        self.moved(taken.map(|entry| entry.node), None);
        Ok(())
    }

    /// Strikes a being that is given up, notes that, and keeps on which machines something of it may lie.
    pub(super) async fn give_up(&self, entry: &Entry, done: &str) -> Result<(), StoreError> {
        let note = Note::of(&entry.id, done);
        let id = entry.id.as_str().to_owned();
        let remains = Remains { created: entry.created, fate: Fate::GivenUp };
        let nodes = [Some(&entry.node), entry.other()].into_iter().flatten();
        let places: Vec<_> = nodes.map(|node| place(&entry.id, node)).collect();
        let given_up = self.store.write(move |writer| {
            end_moved(writer, &id, Fate::GivenUp)?;
            for place in &places {
                writer.insert(REMAINS, place, &remains)?;
            }
            writer.remove(MAKINGS, &id)?;
            notes::keep(writer, Some(&note), false)?;
            writer.take(BEINGS, &id)
        });
        let taken: Option<Entry> = given_up.await?;
        self.moved(taken.map(|entry| entry.node), None);
        Ok(())
    }

    /// Notes what was done with a being and changes nothing else here.
    pub(super) async fn note(&self, id: &Name, done: &str) -> Result<(), StoreError> {
        let note = Note::of(id, done);
        self.store.write(move |writer| notes::keep(writer, Some(&note), false)).await
    }

    /// What was done with beings, oldest first, as far as it is kept; of each, whether it tells how one came to be
    /// known.
    pub(super) fn notes(&self) -> Result<Vec<(Note, bool)>, StoreError> {
        self.store.read(notes::all)
    }

    /// What may lie on a machine of a being of that id that is not to live there.
    pub(super) fn remains(
        &self,
        id: &Name,
        node: &NodeName,
    ) -> Result<Option<Remains>, StoreError> {
        self.store.read(|reader| reader.get(REMAINS, &place(id, node)))
    }

    /// On how many machines something may lie, of all beings.
    pub(super) fn remains_len(&self) -> Result<u64, StoreError> {
        self.store.read(|reader| reader.len(REMAINS))
    }

    /// Whether something may lie anywhere of a being of that id that is not to live there.
    pub(super) fn has_remains(&self, id: &Name) -> Result<bool, StoreError> {
        self.store.read(|reader| Ok(!remains_of(reader, id.as_str())?.is_empty()))
    }

    /// The beings of which something may lie on a machine where they are not to live.
    pub(super) fn remaining_on(&self, node: &NodeName) -> Result<Vec<Name>, StoreError> {
        self.store.read(|reader| {
            let mut ids = Vec::new();
            for row in reader.range(REMAINS, ..) {
                let ((id, on), _) = row?;
                if on == node.as_str() {
                    ids.extend(Name::new(&id).ok());
                }
            }
            Ok(ids)
        })
    }

    /// Nothing lies on that machine any more of one that is not to live there.
    pub(super) async fn forget_remains(
        &self,
        id: &Name,
        node: &NodeName,
    ) -> Result<(), StoreError> {
        let place = place(id, node);
        self.store.write(move |writer| writer.remove(REMAINS, &place).map(drop)).await
    }

    fn moved(&self, from: Option<NodeName>, to: Option<NodeName>) {
        let mut counts = self.counts.lock();
        if let Some(count) = from.and_then(|from| counts.get_mut(&from)) {
            *count = count.saturating_sub(1);
        }
        if let Some(to) = to {
            *counts.entry(to).or_default() += 1;
        }
    }

    /// A being is called so. Nothing is written if that is known.
    pub(super) async fn rename(&self, id: Name, name: String) -> Result<(), StoreError> {
        if self.get(&id)?.is_none_or(|entry| entry.name == name) {
            return Ok(());
        }
        let renamed = self.store.write(move |writer| {
            let id = id.as_str().to_owned();
            if let Some(entry) = writer.get(BEINGS, &id)? {
                writer.insert(BEINGS, &id, &Entry { name: name.clone(), ..entry })?;
            }
            Ok::<_, StoreError>(())
        });
        renamed.await
    }
}

/// Why the book cannot be opened, with what to do where there is no backup of it.
fn damaged(book: &Path, why: &str) -> StartError {
    StartError::failed(format!(
        "the store {} is damaged: {why}; restore a backup, or move {FILE} aside: what lies in the homes is \
         found again, what was noted of beings that are no more is not",
        book.display()
    ))
}

/// A being and a machine, as the book has them.
type Place = (String, String);

fn place(id: &Name, node: &NodeName) -> Place {
    (id.as_str().to_owned(), node.as_str().to_owned())
}

/// If a being is not on its way any more: keeps in mind that something of it may lie on the other
/// machine, unless it is alone. What is kept of another that had its id stays.
fn keep_what_remains(
    writer: &mut Writer,
    before: &Entry,
    entry: &Entry,
    is_alone: bool,
) -> Result<(), StoreError> {
    let is_left = |other: &&NodeName| **other != entry.node && entry.other() != Some(*other);
    let Some(left) = before.other().filter(is_left) else { return Ok(()) };
    let place = place(&entry.id, left);
    let known: Option<Remains> = writer.get(REMAINS, &place)?;
    if known.is_some_and(|remains| remains.fate != Fate::Moved) {
        return Ok(());
    }
    let remains = Remains { created: entry.created, fate: Fate::Moved };
    match is_alone {
        true => writer.remove(REMAINS, &place)?,
        false => writer.insert(REMAINS, &place, &remains)?,
    };
    Ok(())
}

/// What remains of one that has moved is from now on that of one that is no more.
fn end_moved(writer: &mut Writer, id: &str, fate: Fate) -> Result<(), StoreError> {
    for (place, remains) in remains_of(writer, id)? {
        if remains.fate == Fate::Moved {
            writer.insert(REMAINS, &place, &Remains { fate, ..remains })?;
        }
    }
    Ok(())
}

/// What may lie of a being where it is not to live.
fn remains_of(reader: &Reader, id: &str) -> Result<Vec<(Place, Remains)>, StoreError> {
    let mut found = Vec::new();
    for row in reader.range(REMAINS, (id.to_owned(), String::new())..) {
        let (place, remains) = row?;
        if place.0 != id {
            break;
        }
        found.push((place, remains));
    }
    Ok(found)
}

fn page(
    reader: &Reader,
    after: Option<Name>,
    limit: usize,
    matching: Option<String>,
) -> Result<(Vec<Entry>, Option<Name>), StoreError> {
    let matching = matching.map(|text| text.to_lowercase());
    let is_meant = |entry: &Entry| {
        let has = |text: &str| text.to_lowercase().contains(matching.as_deref().unwrap_or(""));
        entry.is_there() && (has(entry.id.as_str()) || has(&entry.name))
    };
    let from = after.map_or(Bound::Unbounded, |id| Bound::Excluded(id.as_str().to_owned()));
    let mut found = Vec::new();
    for entry in reader.range(BEINGS, (from, Bound::Unbounded)) {
        let (_, entry) = entry?;
        if !is_meant(&entry) {
            continue;
        }
        if found.len() == limit {
            let more = found.last().map(|last: &Entry| last.id.clone());
            return Ok((found, more));
        }
        found.push(entry);
    }
    Ok((found, None))
}

#[cfg(test)]
mod golden;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_book_from_before_remains_were_kept_is_brought_up_to_date() {
        const BEFORE: Schema = Schema::new("beings", 1, &[]);
        let folder = tempfile::tempdir().unwrap();
        let open = || Store::open(folder.path().join(FILE), &BEFORE, &StoreOptions::default());
        let (id, node) = (Name::new("alice").unwrap(), NodeName::new("pc2").unwrap());
        let (name, created) = ("Alice".to_owned(), Timestamp::now());
        let stage = Stage::Living;
        let alice = Entry { id: id.clone(), name, node: node.clone(), created, stage };
        let (old, entry) = (open().unwrap(), alice.clone());
        let key = id.as_str().to_owned();
        old.write_blocking(move |writer| writer.insert(BEINGS, &key, &entry).map(drop)).unwrap();
        old.close_blocking().unwrap();
        let book = Book::open(folder.path()).unwrap();
        assert_eq!(book.get(&id).unwrap().as_ref(), Some(&alice));
        book.give_up(&alice, "was given up").await.unwrap();
        assert_eq!((book.get(&id).unwrap(), book.count_on(&node)), (None, 0));
        let given_up = Remains { created, fate: Fate::GivenUp };
        assert_eq!(book.remains(&id, &node).unwrap(), Some(given_up));
        book.put(alice, None).await.unwrap();
        assert_eq!(book.remains(&id, &node).unwrap(), None, "another lives in its place");
        book.close().await;
        drop(book);
        let refused = open().unwrap_err().to_string();
        assert!(refused.contains(&format!("version {}", SCHEMA.version())), "{refused}");
    }

    #[test]
    fn of_a_damaged_book_it_is_said_how_to_do_without_it() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), [7_u8; 8_192]).unwrap();
        let refused = Book::open(folder.path()).err().unwrap().to_string();
        assert!(refused.contains("move registry.redb aside"), "{refused}");
        // That is of a being.
        assert!(!refused.contains("being check"), "{refused}");
    }

    #[tokio::test]
    async fn what_may_remain_where_a_being_was_is_kept_until_nothing_does() {
        let folder = tempfile::tempdir().unwrap();
        let book = Book::open(folder.path()).unwrap();
        let id = Name::new("alice").unwrap();
        let (old, new) = (NodeName::new("main").unwrap(), NodeName::new("pc2").unwrap());
        let (name, created) = ("Alice".to_owned(), Timestamp::now());
        let (node, stage) = (old.clone(), Stage::Living);
        let alice = Entry { id: id.clone(), name, node, created, stage };
        let on = |node: &NodeName, stage| Entry { node: node.clone(), stage, ..alice.clone() };
        let moving = || on(&old, Stage::Moving { to: new.clone() });
        let arriving = || on(&new, Stage::Arriving { from: old.clone() });
        let fate = |node: &NodeName| book.remains(&id, node).unwrap().map(|remains| remains.fate);
        for (steps, is_alone, then, at, kept) in [
            (vec![moving()], false, on(&old, Stage::Living), &new, Some(Fate::Moved)),
            (vec![moving()], true, on(&old, Stage::Living), &new, None),
            (vec![moving(), arriving()], false, on(&new, Stage::Living), &old, Some(Fate::Moved)),
            (vec![moving(), arriving()], true, on(&new, Stage::Living), &old, None),
            (vec![moving(), arriving()], false, on(&new, Stage::Going), &old, Some(Fate::Moved)),
            (vec![moving()], false, on(&old, Stage::Going), &new, Some(Fate::Moved)),
        ] {
            for step in steps {
                book.put(step, None).await.unwrap();
            }
            match is_alone {
                true => book.put_alone(then.clone(), None).await.unwrap(),
                false => book.put(then.clone(), None).await.unwrap(),
            }
            assert_eq!(fate(at), kept, "{then:?}");
            assert_eq!(fate(&then.node), None, "{then:?}");
            book.strike(&id, None).await.unwrap();
            assert_eq!(fate(at), kept.map(|_| Fate::Deleted), "{then:?}");
            assert_eq!(book.has_remains(&id).unwrap(), kept.is_some());
            book.forget_remains(&id, at).await.unwrap();
            assert!(book.remaining_on(at).unwrap().is_empty());
        }
        book.close().await;
    }
}
