//! Who may open what, and how an old store is brought on.

use std::fs;

use serde::{Deserialize, Serialize};

use super::*;

/// What notes were in version 1, 2 and 3.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct NoteV1 {
    text: String,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct NoteV2 {
    text: String,
    words: u32,
}

const NOTES_V1: Table<u64, NoteV1> = Table::new("notes");
const NOTES_V2: Table<u64, NoteV2> = Table::new("notes");
const NOTES: Table<(String, u64), NoteV2> = Table::new("notes-by-kind");

const V1: Schema = Schema::new("notes", 1, &[]);
const V2: Schema = Schema::new("notes", 2, &[TO_2]);
const V3: Schema = Schema::new("notes", 3, &[TO_2, TO_3]);
const V3_AND_NO_OLDER: Schema = Schema::new("notes", 3, &[]);
const V3_BY_ERROR: Schema = Schema::new("notes", 3, &[TO_2, fails(|_| Err("no way".into()))]);
const V3_BY_PANIC: Schema = Schema::new("notes", 3, &[TO_2, fails(|_| panic!("no way"))]);

const TO_2: Migration = Migration { to: 2, what: "count the words of notes", run: count_words };
const TO_3: Migration = Migration { to: 3, what: "sort notes by kind", run: sort_by_kind };

const fn fails(run: fn(&mut Writer) -> MigrationResult) -> Migration {
    Migration { to: 3, what: "fail", run }
}

fn count_words(writer: &mut Writer) -> MigrationResult {
    let old: Vec<_> = writer.range(NOTES_V1, ..).collect::<Result<_, _>>()?;
    for (key, NoteV1 { text }) in old {
        let words = text.split_whitespace().count() as u32;
        writer.insert(NOTES_V2, &key, &NoteV2 { text, words })?;
    }
    Ok(())
}

fn sort_by_kind(writer: &mut Writer) -> MigrationResult {
    let old: Vec<_> = writer.range(NOTES_V2, ..).collect::<Result<_, _>>()?;
    for (key, note) in old {
        writer.insert(NOTES, &("plain".to_owned(), key), &note)?;
    }
    writer.remove_range(NOTES_V2, ..)?;
    Ok(())
}

/// A store as the code of version 1 left it.
fn old_store(folder: &TempDir) {
    let store = Store::open(path_in(folder), &V1, &options()).unwrap();
    let note = |text: &str| NoteV1 { text: text.to_owned() };
    let written = store.write_blocking(move |writer| {
        writer.insert(NOTES_V1, &1, &note("to be kept"))?;
        writer.insert(NOTES_V1, &2, &note("this too"))
    });
    written.unwrap();
}

fn open(folder: &TempDir, schema: &Schema) -> Result<Store, OpenError> {
    Store::open(path_in(folder), schema, &options())
}

#[test]
fn an_old_store_is_brought_on_step_by_step() {
    for steps in [&[V2, V3][..], &[V3]] {
        let folder = folder();
        old_store(&folder);
        steps.iter().for_each(|schema| drop(open(&folder, schema).unwrap()));
        let store = open(&folder, &V3).unwrap();
        assert_eq!(store.commits(), 0);
        let note = store.read(|reader| {
            assert!(reader.is_empty(NOTES_V2)?);
            reader.get(NOTES, &("plain".to_owned(), 1))
        });
        assert_eq!(note.unwrap(), Some(NoteV2 { text: "to be kept".to_owned(), words: 3 }));
    }
}

#[test]
fn a_closed_store_is_read_as_if_it_were_brought_on_and_stays_as_it_is() {
    let folder = folder();
    old_store(&folder);
    let path = path_in(&folder);
    let before = fs::read(&path).unwrap();
    let note = |schema: &Schema| {
        let key = ("plain".to_owned(), 1);
        Store::read_closed(&path, schema, |reader| Ok::<_, OpenError>(reader.get(NOTES, &key)?))
    };
    assert_eq!(note(&V3).unwrap().map(|note| note.words), Some(3));
    assert!(matches!(note(&V3_BY_ERROR), Err(OpenError::Migration { .. })));
    assert_eq!(fs::read(&path).unwrap(), before);
    let open = open(&folder, &V3).unwrap();
    assert!(matches!(note(&V3), Err(OpenError::Locked { .. })));
    drop(open);
    assert_eq!(note(&V3).unwrap().map(|note| note.words), Some(3));
    fs::remove_file(&path).unwrap();
    assert!(matches!(note(&V3), Err(OpenError::Missing { .. })));
    assert!(!path.exists());
}

#[test]
fn a_migration_that_fails_leaves_the_store_as_it_was() {
    for (schema, says) in [(V3_BY_ERROR, "no way"), (V3_BY_PANIC, "it panicked: no way")] {
        let folder = folder();
        old_store(&folder);
        let error = open(&folder, &schema).unwrap_err();
        let OpenError::Migration { to: 3, what: "fail", why, .. } = &error else {
            panic!("{error}")
        };
        assert_eq!(why, says);
        let store = open(&folder, &V1).unwrap();
        let note = store.read(|reader| reader.get(NOTES_V1, &2)).unwrap();
        assert_eq!(note, Some(NoteV1 { text: "this too".to_owned() }));
    }
}

#[test]
fn a_newer_store_and_one_too_old_are_refused() {
    let folder = folder();
    old_store(&folder);
    let error = open(&folder, &V3_AND_NO_OLDER).unwrap_err();
    assert!(matches!(error, OpenError::TooOld { found: 1, oldest: 3, .. }), "{error}");
    drop(open(&folder, &V3).unwrap());
    let error = open(&folder, &V2).unwrap_err();
    assert!(matches!(error, OpenError::Newer { found: 3, known: 2, .. }), "{error}");
    assert!(error.to_string().contains("use the newer genii"), "{error}");
}

#[test]
fn a_store_of_something_else_is_refused() {
    let folder = folder();
    old_store(&folder);
    let error = open(&folder, &SCHEMA).unwrap_err();
    let said = error.to_string();
    assert!(said.ends_with("is a store of \"notes\" and not of \"test\""), "{said}");
}

#[test]
fn a_file_that_is_no_store_is_refused_and_left_alone() {
    let folder = folder();
    let path = path_in(&folder);
    fs::write(&path, "a letter to a friend").unwrap();
    let error = open(&folder, &SCHEMA).unwrap_err();
    assert!(matches!(error, OpenError::NotAStore { .. }), "{error}");
    assert!(matches!(check(&path), Err(OpenError::NotAStore { .. })));
    assert_eq!(fs::read(&path).unwrap(), b"a letter to a friend");
    fs::remove_file(&path).unwrap();
    drop(redb::Database::create(&path).unwrap());
    let error = open(&folder, &SCHEMA).unwrap_err();
    assert!(error.to_string().contains("a database that genii did not make"), "{error}");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(matches!(open(&folder, &SCHEMA), Err(OpenError::Io { .. })));
}

#[test]
fn no_folder_no_store() {
    let folder = folder();
    let path = folder.path().join("gone").join("being.redb");
    let error = Store::open(&path, &SCHEMA, &options()).unwrap_err();
    assert!(matches!(error, OpenError::Io { .. }), "{error}");
    assert!(matches!(check(&path), Err(OpenError::Missing { .. })));
}

#[test]
fn a_store_has_one_owner_at_a_time() {
    let folder = folder();
    let store = store_in(&folder);
    let error = open(&folder, &SCHEMA).unwrap_err();
    assert!(matches!(error, OpenError::Locked { .. }), "{error}");
    assert!(matches!(check(store.path()), Err(OpenError::Locked { .. })));
    assert!(matches!(repair(store.path()), Err(OpenError::Locked { .. })));
    store.rewrite_blocking().unwrap();
    let error = open(&folder, &SCHEMA).unwrap_err();
    assert!(matches!(error, OpenError::Locked { .. }), "after a rewrite: {error}");
    put(&store, 1, "still its own").unwrap();
    drop(store);
    assert_eq!(texts(&store_in(&folder)).len(), 1);
}

/// The child of [`another_process_is_refused`].
#[test]
fn tries_to_open_it() {
    let Some(path) = child_store() else { return };
    let error = Store::open(path, &SCHEMA, &options()).err();
    println!("\nsaid: {}", error.map_or_else(|| "welcome".to_owned(), |error| error.to_string()));
}

#[test]
fn another_process_is_refused() {
    let folder = folder();
    let store = store_in(&folder);
    let ask = || {
        let said = child("store::tests::opening::tries_to_open_it", store.path()).output().unwrap();
        String::from_utf8(said.stdout).unwrap()
    };
    assert!(ask().contains("is in use elsewhere; close it there first"));
    store.rewrite_blocking().unwrap();
    assert!(ask().contains("is in use elsewhere"));
    store.close_blocking().unwrap();
    assert!(ask().contains("said: welcome"));
}

#[test]
fn what_an_interrupted_beginning_left_is_no_hindrance() {
    for left in ["", "redb", "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"] {
        let folder = folder();
        let new = folder.path().join("being.redb.new");
        fs::write(&new, left).unwrap();
        put(&store_in(&folder), 1, "one").unwrap();
        assert!(!new.exists());
        let lefts =
            ["being.redb.rewrite", "being.redb.partial", "being.redb.partial-0123456789abcdef"];
        for left in lefts {
            let left = folder.path().join(left);
            fs::write(&left, "half of it").unwrap();
            assert_eq!(texts(&store_in(&folder)).len(), 1);
            assert!(!left.exists());
        }
    }
}

#[test]
fn of_many_who_make_it_at_once_one_has_it() {
    for _ in 0..8 {
        let folder = folder();
        let path = path_in(&folder);
        let opening: Vec<_> = (0..6)
            .map(|_| {
                let path = path.clone();
                thread::spawn(move || Store::open(path, &SCHEMA, &options()))
            })
            .collect();
        let opened: Vec<_> = opening.into_iter().map(|opening| opening.join().unwrap()).collect();
        let mut owners = 0;
        for opened in &opened {
            match opened {
                Ok(store) => {
                    owners += 1;
                    put(store, 1, "mine").unwrap();
                }
                Err(error) => assert!(matches!(error, OpenError::Locked { .. }), "{error}"),
            }
        }
        assert_eq!(owners, 1);
        drop(opened);
        assert_eq!(texts(&store_in(&folder)).len(), 1);
    }
}
