//! Stores as each format of the file was written: read whole, brought on, and gone on with.

use std::collections::BTreeMap;
use std::time::UNIX_EPOCH;

use genii_protocols::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::*;
use crate::golden_stores::{pack, unpack};
use crate::store::schema::FORMAT;

/// The golden files: of a store that was closed, and of one as `kill -9` leaves it.
const CLOSED: &str = "store";
const NOT_CLOSED: &str = "store-not-closed";

const V1: Schema = Schema::new("golden", 1, &[]);
const V2: Schema = Schema::new("golden", 2, &[TO_2]);

const TO_2: Migration = Migration { to: 2, what: "count the notes", run: count_notes };

/// Of several pages, one entry alone of more than one.
const WORDS: Table<u64, String> = Table::new("words");

/// Of values of many sorts.
const NOTES: Table<(String, u64), Note> = Table::new("notes");

/// Of other sorts of keys.
const DAYS: Table<Timestamp, [u8; 3]> = Table::new("days");
const PLACES: Table<(u8, u16, u32), u128> = Table::new("places");
const MARKS: Table<[u8; 4], bool> = Table::new("marks");
const COUNT: Table<(), u64> = Table::new("count");

/// So many words are written, and each seventh is removed.
const WORDS_WRITTEN: u64 = 600;

const PLACE: u128 = 1 << 100;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Note {
    at: Timestamp,
    text: String,
    by: Option<String>,
    sort: Sort,
    counts: BTreeMap<String, i64>,
    share: f32,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Sort {
    Plain,
    Numbered(u32),
    Named { name: String },
}

fn at(second: u64) -> Timestamp {
    (UNIX_EPOCH + Duration::from_secs(1_715_000_000 + second)).into()
}

fn words() -> Vec<(u64, String)> {
    let short = (0..WORDS_WRITTEN).filter(|key| key % 7 != 0).map(|key| (key, word(key)));
    short.chain([(u64::MAX, "long ".repeat(2_000))]).collect()
}

fn word(key: u64) -> String {
    format!("word {key}")
}

/// In the order of their keys.
fn notes() -> Vec<((String, u64), Note)> {
    let note = |second, text: &str, by: Option<&str>, sort| Note {
        at: at(second),
        text: text.to_owned(),
        by: by.map(str::to_owned),
        sort,
        counts: BTreeMap::from([("bees".to_owned(), -1), ("hives".to_owned(), 1 << 40)]),
        share: 0.25,
    };
    let named = Sort::Named { name: "the great wheel".to_owned() };
    vec![
        (("hive".to_owned(), 1), note(1, "it hums", None, Sort::Plain)),
        (("hive".to_owned(), 300), note(2, "it has swarmed", Some("Ann"), Sort::Numbered(70_000))),
        (("mill\0wheel".to_owned(), 2), note(3, "it stands \u{2014} still", Some(""), named)),
    ]
}

fn write(store: &Store) {
    let written = store.write_blocking(|writer| {
        for key in 0..WORDS_WRITTEN {
            writer.insert(WORDS, &key, &word(key))?;
        }
        for (key, word) in words() {
            writer.insert(WORDS, &key, &word)?;
        }
        for (key, note) in notes() {
            writer.insert(NOTES, &key, &note)?;
        }
        writer.insert(DAYS, &at(1), &[1, 2, 3])?;
        writer.insert(PLACES, &(1, 2, 3), &PLACE)?;
        writer.insert(MARKS, b"mark", &true)?;
        writer.insert(COUNT, &(), &WORDS_WRITTEN)
    });
    written.unwrap();
    let removed = store.write_blocking(|writer| writer.retain(WORDS, .., |key, _| key % 7 != 0));
    assert!(removed.unwrap() > 0);
}

fn all<K: Key, V: DeserializeOwned>(store: &Store, table: Table<K, V>) -> Vec<(K, V)> {
    store.read(|reader| reader.range(table, ..).collect::<Result<_, StoreError>>()).unwrap()
}

fn assert_whole(store: &Store) {
    assert_eq!(all(store, WORDS), words());
    assert_eq!(all(store, NOTES), notes());
    assert_eq!(all(store, DAYS), [(at(1), [1, 2, 3])]);
    assert_eq!(all(store, PLACES), [((1, 2, 3), PLACE)]);
    assert_eq!(all(store, MARKS), [(*b"mark", true)]);
    let count = store.read(|reader| reader.get(COUNT, &())).unwrap();
    assert_eq!(count, Some(WORDS_WRITTEN));
}

fn count_notes(writer: &mut Writer) -> MigrationResult {
    let count = writer.range(NOTES, ..).collect::<Result<Vec<_>, _>>()?.len();
    writer.insert(COUNT, &(), &(count as u64))?;
    Ok(())
}

#[test]
fn a_store_of_each_format_is_read_and_gone_on_with() {
    for format in 1..=FORMAT {
        for (kind, found) in [(CLOSED, Finding::Whole), (NOT_CLOSED, Finding::NotClosed)] {
            let folder = folder();
            let path = path_in(&folder);
            unpack(kind, format, &path);
            assert_eq!(check(&path).unwrap().finding, found, "{kind}-{format}");
            let store = Store::open(&path, &V1, &options()).unwrap();
            assert_whole(&store);
            store.write_blocking(|writer| writer.insert(WORDS, &7, &word(7))).unwrap();
            store.rewrite_blocking().unwrap();
            assert_eq!(all(&store, WORDS).len(), words().len() + 1);
            store.close_blocking().unwrap();
            assert_eq!(check(&path).unwrap().finding, Finding::Whole, "{kind}-{format}");
        }
    }
}

#[test]
fn a_store_of_each_format_is_brought_to_a_new_schema() {
    for format in 1..=FORMAT {
        for kind in [CLOSED, NOT_CLOSED] {
            let folder = folder();
            let path = path_in(&folder);
            unpack(kind, format, &path);
            let store = Store::open(&path, &V2, &options()).unwrap();
            let count = store.read(|reader| reader.get(COUNT, &())).unwrap();
            assert_eq!(count, Some(notes().len() as u64), "{kind}-{format}");
            store.close_blocking().unwrap();
            let refused = Store::open(&path, &V1, &options()).unwrap_err();
            assert!(matches!(refused, OpenError::Newer { found: 2, known: 1, .. }), "{refused}");
        }
    }
}

#[test]
#[ignore = "writes the golden files of a new FORMAT; those that are there stay"]
fn writes_the_golden_stores() {
    let folder = folder();
    let store = Store::open(path_in(&folder), &V1, &options()).unwrap();
    write(&store);
    pack(NOT_CLOSED, FORMAT, store.path());
    store.close_blocking().unwrap();
    pack(CLOSED, FORMAT, store.path());
}
