//! What was done with beings, as the book keeps it: the newest notes, and of no being so many that those of
//! others have no room.

use genii_storage::store::{Reader, StoreError, Table, Writer};

use super::Note;

/// How many notes are kept. The oldest go.
const NOTES_MAX: u64 = 10_000;

/// How many are kept of one being. One that is moved to and fro, or made and deleted, again and again pushes
/// out its own.
const NOTES_OF_ONE_MAX: usize = 100;

/// All notes, by a number that only rises.
const NOTES: Table<u64, Note> = Table::new("notes");

/// Which of them are of a being.
const NOTES_OF: Table<(String, u64), ()> = Table::new("notes_of");

/// Keeps a note, if there is one, as part of what is being written. Notes that are damaged keep nobody from
/// that.
pub(super) fn keep(writer: &mut Writer, note: Option<&Note>) -> Result<(), StoreError> {
    match note.map_or(Ok(()), |note| put(writer, note)) {
        Err(error @ StoreError::Damaged { .. }) => {
            tracing::warn!(%error, "a note about a being is not kept, or an old one not removed");
            Ok(())
        }
        kept => kept,
    }
}

fn put(writer: &mut Writer, note: &Note) -> Result<(), StoreError> {
    let id = note.id.as_str().to_owned();
    let number = writer.last(NOTES)?.map_or(0, |(last, _)| last + 1);
    writer.insert(NOTES, &number, note)?;
    writer.insert(NOTES_OF, &(id.clone(), number), &())?;
    let of_one = numbers_of(writer, id)?;
    if of_one.len() > NOTES_OF_ONE_MAX {
        remove(writer, of_one[0])?;
    }
    if writer.len(NOTES)? > NOTES_MAX
        && let Some((oldest, _)) = writer.first(NOTES)?
    {
        remove(writer, oldest)?;
    }
    Ok(())
}

/// All of them, oldest first.
pub(super) fn all(reader: &Reader) -> Result<Vec<Note>, StoreError> {
    reader.range(NOTES, ..).map(|note| Ok(note?.1)).collect()
}

fn numbers_of(reader: &Reader, id: String) -> Result<Vec<u64>, StoreError> {
    let of_one = reader.range(NOTES_OF, (id.clone(), 0)..=(id, u64::MAX));
    of_one.map(|note| Ok(note?.0.1)).collect()
}

fn remove(writer: &mut Writer, number: u64) -> Result<(), StoreError> {
    if let Some(note) = writer.take(NOTES, &number)? {
        writer.remove(NOTES_OF, &(note.id.as_str().to_owned(), number))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use genii_protocols::{Name, NodeName, Timestamp};

    use super::*;
    use crate::beings::registry::book::{Book, Entry, Stage};

    fn alice() -> Entry {
        let (id, node) = (Name::new("alice").unwrap(), NodeName::new("main").unwrap());
        let (name, created) = ("Alice".to_owned(), Timestamp::now());
        Entry { id, name, node, created, stage: Stage::Living }
    }

    fn texts(book: &Book) -> Vec<String> {
        book.notes().unwrap().into_iter().map(|note| note.text).collect()
    }

    /// Notes so often, in one commit, what was done with so many beings in turn.
    fn note_many(book: &Book, done: &'static str, beings: usize, notes: usize) {
        let noted = book.store.write_blocking(move |writer| {
            for number in 0..notes {
                let id = Name::new(&format!("{done}-{}", number % beings)).unwrap();
                keep(writer, Some(&Note::of(&id, done)))?;
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
        note_many(&book, "made", 200, max - 1);
        let noted = texts(&book);
        assert_eq!((noted.len(), noted[0].as_str()), (max, "alice was deleted"));
        let kept: Result<_, StoreError> =
            book.store.read(|reader| Ok((reader.len(NOTES)?, reader.len(NOTES_OF)?)));
        assert_eq!(kept.unwrap(), (NOTES_MAX, NOTES_MAX));
        book.close().await;
    }
}
