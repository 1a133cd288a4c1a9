//! What was done with beings, as the book keeps it: the newest notes, of no being so many that those of others
//! have no room, and none pushed out by those of beings that come to be.
//!
//! Notes are counted, numbered and removed by their keys: one whose value cannot be read is in nobody's way.

use std::cell::RefCell;
use std::ops::RangeInclusive;

use genii_storage::store::{Key, Reader, StoreError, Table, Writer};
use serde::de::DeserializeOwned;

use super::Note;

/// How many notes are kept beside those of [`COMINGS`]. The oldest go.
const NOTES_MAX: u64 = 8_000;

/// How many are kept of [`COMINGS`]: many beings may be made at once, and they are there to be asked.
const COMINGS_MAX: u64 = 2_000;

/// How many are kept of one being. One that is moved to and fro, or made and deleted, again and again pushes
/// out its own.
const NOTES_OF_ONE_MAX: usize = 100;

/// The notes, by a number that only rises, also from one of the two tables to the other.
const NOTES: Table<u64, Note> = Table::new("notes");

/// Those of how beings came to be known: made, imported, found.
const COMINGS: Table<u64, Note> = Table::new("notes_of_comings");

/// Which of them all are of a being.
const NOTES_OF: Table<(String, u64), ()> = Table::new("notes_of");

/// Keeps a note, if there is one, as part of what is being written; whether it is of [`COMINGS`] is said. Notes
/// that are damaged keep nobody from that.
pub(super) fn keep(
    writer: &mut Writer,
    note: Option<&Note>,
    is_coming: bool,
) -> Result<(), StoreError> {
    match note.map_or(Ok(()), |note| put(writer, note, is_coming)) {
        Err(error @ StoreError::Damaged { .. }) => {
            tracing::warn!(%error, "a note about a being is not kept, or an old one not removed");
            Ok(())
        }
        kept => kept,
    }
}

fn put(writer: &mut Writer, note: &Note, is_coming: bool) -> Result<(), StoreError> {
    let id = note.id.as_str().to_owned();
    let mut number = 0;
    for table in [NOTES, COMINGS] {
        number = newest(writer, table)?.map_or(0, |last| last.saturating_add(1)).max(number);
    }
    let of_one = keys(writer, NOTES_OF, (id.clone(), 0)..=(id.clone(), u64::MAX))?;
    let spare = (of_one.len() + 1).saturating_sub(NOTES_OF_ONE_MAX);
    for oldest in of_one.iter().take(spare) {
        writer.remove(NOTES, &oldest.1)?;
        writer.remove(COMINGS, &oldest.1)?;
        writer.remove(NOTES_OF, oldest)?;
    }
    let (table, max) = if is_coming { (COMINGS, COMINGS_MAX) } else { (NOTES, NOTES_MAX) };
    while writer.len(table)? >= max
        && let Some(oldest) = oldest(writer, table)?
        && remove(writer, table, oldest)?
    {}
    writer.insert(table, &number, note)?;
    writer.insert(NOTES_OF, &(id, number), &())?;
    Ok(())
}

/// All of them that can be read, oldest first; of each, whether it is of [`COMINGS`].
pub(super) fn all(reader: &Reader) -> Result<Vec<(Note, bool)>, StoreError> {
    let (mut notes, mut damaged) = (Vec::new(), 0_u64);
    for (table, is_coming) in [(NOTES, false), (COMINGS, true)] {
        for number in keys(reader, table, 0..=u64::MAX)? {
            match reader.get(table, &number) {
                Ok(note) => notes.extend(note.map(|note| (number, (note, is_coming)))),
                Err(StoreError::Damaged { .. }) => damaged += 1,
                Err(error) => return Err(error),
            }
        }
    }
    if damaged > 0 {
        tracing::warn!(damaged, "some notes of what was done with beings cannot be read");
    }
    notes.sort_by_key(|(number, _)| *number);
    Ok(notes.into_iter().map(|(_, note)| note).collect())
}

fn newest(reader: &Reader, table: Table<u64, Note>) -> Result<Option<u64>, StoreError> {
    match reader.last(table) {
        Err(StoreError::Damaged { .. }) => Ok(keys(reader, table, 0..=u64::MAX)?.pop()),
        last => Ok(last?.map(|(number, _)| number)),
    }
}

fn oldest(reader: &Reader, table: Table<u64, Note>) -> Result<Option<u64>, StoreError> {
    match reader.first(table) {
        Err(StoreError::Damaged { .. }) => Ok(keys(reader, table, 0..=u64::MAX)?.first().copied()),
        first => Ok(first?.map(|(number, _)| number)),
    }
}

/// The keys of a range, whether or not their values can be read.
fn keys<K: Key + Clone, V: DeserializeOwned>(
    reader: &Reader,
    table: Table<K, V>,
    range: RangeInclusive<K>,
) -> Result<Vec<K>, StoreError> {
    let keys = RefCell::new(Vec::new());
    let look_at = |key: &K| {
        keys.borrow_mut().push(key.clone());
        false
    };
    reader.within(table, [range], look_at)?;
    Ok(keys.into_inner())
}

/// Removes one; whether it was there. Of one that cannot be read it is not known whose it was: its row among
/// those of its being goes with the oldest of that.
fn remove(writer: &mut Writer, table: Table<u64, Note>, number: u64) -> Result<bool, StoreError> {
    match writer.get(table, &number) {
        Ok(Some(note)) => {
            writer.remove(NOTES_OF, &(note.id.as_str().to_owned(), number))?;
        }
        Ok(None) | Err(StoreError::Damaged { .. }) => {}
        Err(error) => return Err(error),
    }
    writer.remove(table, &number)
}

#[cfg(test)]
mod tests {
    use genii_protocols::{Name, NodeName, Timestamp};

    use super::*;
    use crate::beings::registry::book::{Book, Entry, Stage};

    /// What is done when beings are made, and with nothing else.
    const MADE: &str = "made";

    /// As the notes, with values that are none of theirs.
    const NO_NOTES: Table<u64, ()> = Table::new("notes");

    fn damage(book: &Book, numbers: &'static [u64]) {
        let damaged = book.store.write_blocking(move |writer| {
            numbers.iter().try_for_each(|number| writer.insert(NO_NOTES, number, &()).map(drop))
        });
        damaged.unwrap();
    }

    fn alice() -> Entry {
        let (id, node) = (Name::new("alice").unwrap(), NodeName::new("main").unwrap());
        let (name, created) = ("Alice".to_owned(), Timestamp::now());
        Entry { id, name, node, created, stage: Stage::Living }
    }

    fn texts(book: &Book) -> Vec<String> {
        book.notes().unwrap().into_iter().map(|(note, _)| note.text).collect()
    }

    /// Notes so often, in one commit, what was done with so many beings in turn.
    fn note_many(book: &Book, done: &'static str, beings: usize, notes: usize) {
        let noted = book.store.write_blocking(move |writer| {
            for number in 0..notes {
                let id = Name::new(&format!("{done}-{}", number % beings)).unwrap();
                keep(writer, Some(&Note::of(&id, done)), done == MADE)?;
            }
            Ok::<_, StoreError>(())
        });
        noted.unwrap();
    }

    #[tokio::test]
    async fn a_change_and_its_note_are_one_commit_and_there_at_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        let book = Book::open(folder.path()).unwrap();
        let before = book.store.commits();
        book.put(alice(), Some("was made")).await.unwrap();
        book.strike(&alice().id, Some("was deleted")).await.unwrap();
        book.put(alice(), None).await.unwrap();
        book.put_alone(alice(), Some("has moved")).await.unwrap();
        book.give_up(&alice(), "was given up").await.unwrap();
        assert_eq!(book.store.commits() - before, 5);
        let noted = book.notes().unwrap();
        book.close().await;
        drop(book);
        let book = Book::open(folder.path()).unwrap();
        assert_eq!(texts(&book), ["was made", "was deleted", "has moved", "was given up"]);
        assert_eq!(book.notes().unwrap(), noted);
        assert_eq!(book.get(&alice().id).unwrap(), None);
        book.close().await;
    }

    #[tokio::test]
    async fn many_notes_of_one_being_push_out_its_own_alone() {
        let folder = tempfile::tempdir().unwrap();
        let book = Book::open(folder.path()).unwrap();
        book.note(&alice().id, "was deleted").await.unwrap();
        note_many(&book, "ping", 1, 3 * NOTES_OF_ONE_MAX);
        note_many(&book, "pong", 1, NOTES_OF_ONE_MAX - 1);
        let texts = texts(&book);
        let count = |text: &str| texts.iter().filter(|it| *it == text).count();
        assert_eq!(texts[0], "was deleted");
        assert_eq!((count("ping"), count("pong")), (NOTES_OF_ONE_MAX, NOTES_OF_ONE_MAX - 1));
        book.close().await;
    }

    #[tokio::test]
    async fn of_all_notes_the_newest_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let book = Book::open(folder.path()).unwrap();
        let max = usize::try_from(NOTES_MAX).unwrap();
        for id in ["bob", "alice"] {
            book.note(&Name::new(id).unwrap(), &format!("{id} was deleted")).await.unwrap();
        }
        note_many(&book, "moved", 200, max - 1);
        let noted = texts(&book);
        assert_eq!((noted.len(), noted[0].as_str()), (max, "alice was deleted"));
        let kept: Result<_, StoreError> =
            book.store.read(|reader| Ok((reader.len(NOTES)?, reader.len(NOTES_OF)?)));
        assert_eq!(kept.unwrap(), (NOTES_MAX, NOTES_MAX));
        book.close().await;
    }

    #[tokio::test]
    async fn however_many_are_made_no_note_of_another_kind_goes() {
        let folder = tempfile::tempdir().unwrap();
        let book = Book::open(folder.path()).unwrap();
        let max = usize::try_from(COMINGS_MAX).unwrap();
        book.note(&alice().id, "was deleted").await.unwrap();
        note_many(&book, MADE, max + 7, max + 7);
        let noted = texts(&book);
        assert_eq!((noted.len(), noted[0].as_str()), (1 + max, "was deleted"));
        // It is told by the book whether one comes to be or was known.
        book.begin(Entry { stage: Stage::Coming, ..alice() }, 7).await.unwrap();
        book.put(alice(), Some("was made")).await.unwrap();
        book.put(alice(), Some("has moved")).await.unwrap();
        let noted = texts(&book);
        assert_eq!(noted.len(), 1 + max + 1, "one of the makings has gone, for the newest");
        assert_eq!(noted[noted.len() - 2..], ["was made", "has moved"]);
        book.close().await;
    }

    #[tokio::test]
    async fn a_damaged_note_keeps_nobody_from_the_others_and_goes_with_the_oldest() {
        let folder = tempfile::tempdir().unwrap();
        let book = Book::open(folder.path()).unwrap();
        for text in ["zero", "one", "two", "three"] {
            book.note(&alice().id, text).await.unwrap();
        }
        damage(&book, &[0, 2, 3]);
        assert_eq!(texts(&book), ["one"]);
        for text in ["four", "five"] {
            book.note(&alice().id, text).await.unwrap();
        }
        book.close().await;
        drop(book);
        let book = Book::open(folder.path()).unwrap();
        assert_eq!(texts(&book), ["one", "four", "five"], "nor is a number given again");
        let max = usize::try_from(NOTES_MAX).unwrap();
        note_many(&book, "moved", 200, max);
        let noted = texts(&book);
        assert_eq!(noted.len(), max);
        assert!(noted.iter().all(|text| text == "moved"));
        book.close().await;
    }
}
