//! What a store promises, tried.

mod backups;
mod crash;
mod damage;
mod forgetting;
mod full;
mod golden;
mod groups;
mod model;
mod opening;
mod salvage;

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use super::*;

const SCHEMA: Schema = Schema::new("test", 1, &[]);
const TEXTS: Table<u64, String> = Table::new("texts");
const PAIRS: Table<(String, u64), u64> = Table::new("pairs");

/// How long anything may take before a test gives up on it.
const PATIENCE: Duration = Duration::from_secs(120);

/// Names the test that the test binary runs as a child process, and its store.
const CHILD: &str = "GENII_STORE_TEST_CHILD";

fn options() -> StoreOptions {
    StoreOptions::default()
}

fn store_in(folder: &TempDir) -> Store {
    Store::open(path_in(folder), &SCHEMA, &options()).unwrap()
}

fn path_in(folder: &TempDir) -> PathBuf {
    folder.path().join("being.redb")
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn put(store: &Store, key: u64, text: &str) -> Result<(), StoreError> {
    let text = text.to_owned();
    store.write_blocking(move |writer| writer.insert(TEXTS, &key, &text).map(drop))
}

fn texts(store: &Store) -> Vec<(u64, String)> {
    store.read(|reader| reader.range(TEXTS, ..).collect::<Result<_, StoreError>>()).unwrap()
}

/// This test binary again, to run one test of it as the child that `child` tells it to be.
fn child(test: &str, store: &std::path::Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]);
    command.env(CHILD, store).stdin(Stdio::null()).stderr(Stdio::null()).stdout(Stdio::piped());
    command
}

/// The store of the child that this process is, if it is one.
fn child_store() -> Option<PathBuf> {
    std::env::var_os(CHILD).map(PathBuf::from)
}

/// Does something on another thread, and fails the test when it does not end.
fn in_time<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, is_done) = mpsc::channel();
    let worker = thread::spawn(move || {
        let _given_up = done.send(work());
    });
    match is_done.recv_timeout(PATIENCE) {
        Ok(result) => result,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("it does not end"),
        Err(mpsc::RecvTimeoutError::Disconnected) => {
            std::panic::resume_unwind(worker.join().unwrap_err())
        }
    }
}

#[test]
fn what_was_written_is_there_after_it_is_opened_again() {
    let folder = folder();
    let store = store_in(&folder);
    assert!(texts(&store).is_empty());
    put(&store, 1, "one").unwrap();
    put(&store, 2, "two").unwrap();
    drop(store);
    let store = store_in(&folder);
    assert_eq!(texts(&store), [(1, "one".to_owned()), (2, "two".to_owned())]);
    assert_eq!(store.commits(), 0, "reading commits nothing");
    assert!(store.size_bytes().unwrap() > 0);
}

#[test]
fn a_reader_sees_one_moment() {
    let folder = folder();
    let store = store_in(&folder);
    put(&store, 1, "before").unwrap();
    let seen = store.read(|reader| {
        put(&store, 1, "after")?;
        reader.get(TEXTS, &1)
    });
    assert_eq!(seen.unwrap().unwrap(), "before");
    assert_eq!(texts(&store), [(1, "after".to_owned())]);
}

#[test]
fn a_writer_sees_what_it_has_written() {
    let folder = folder();
    let store = store_in(&folder);
    let seen = store.write_blocking(|writer| {
        assert!(writer.is_empty(TEXTS)?);
        assert!(!writer.insert(TEXTS, &1, &"one".to_owned())?);
        assert!(writer.insert(TEXTS, &1, &"another".to_owned())?);
        assert_eq!(writer.first(TEXTS)?, Some((1, "another".to_owned())));
        assert_eq!(writer.take(TEXTS, &1)?.as_deref(), Some("another"));
        assert!(!writer.remove(TEXTS, &1)?);
        writer.len(TEXTS)
    });
    assert_eq!(seen.unwrap(), 0);
}

#[test]
fn a_write_that_changes_nothing_commits_nothing() {
    let folder = folder();
    let store = store_in(&folder);
    store.write_blocking(|writer| writer.remove(TEXTS, &1)).unwrap();
    store.write_blocking(|writer| writer.remove_range(TEXTS, ..)).unwrap();
    assert_eq!(store.commits(), 0);
}

#[test]
fn a_value_that_is_none_of_its_table_is_told_with_its_place() {
    let folder = folder();
    let store = store_in(&folder);
    const LONG: Table<u64, Vec<u64>> = Table::new("texts");
    store.write_blocking(|writer| writer.insert(LONG, &7, &vec![1 << 60; 3])).unwrap();
    let error = store.read(|reader| reader.get(TEXTS, &7)).unwrap_err();
    let StoreError::Damaged { place, .. } = &error else { panic!("{error}") };
    assert_eq!(place, "entry 7 of table \"texts\"");
    assert!(error.to_string().contains("restore a backup"), "{error}");
    let walked = store.read(|reader| {
        put(&store, 6, "before it")?;
        reader.range(TEXTS, ..).collect::<Result<Vec<_>, _>>()
    });
    assert!(matches!(walked, Err(StoreError::Damaged { .. })));
    // What cannot be read can be removed.
    let removed = store.write_blocking(|writer| writer.remove_range(TEXTS, 7..));
    assert_eq!(removed.unwrap(), 1);
    assert_eq!(texts(&store), [(6, "before it".to_owned())]);
}

#[test]
fn a_key_that_is_none_of_its_table_is_told() {
    let folder = folder();
    let store = store_in(&folder);
    const OTHER: Table<u8, String> = Table::new("texts");
    store.write_blocking(|writer| writer.insert(OTHER, &7, &"seven".to_owned())).unwrap();
    let error = store.read(|reader| reader.last(TEXTS)).unwrap_err();
    assert!(error.to_string().contains("its key is not one of this table"), "{error}");
}

#[test]
fn a_value_that_is_too_large_is_refused_and_the_store_goes_on() {
    let folder = folder();
    let store = store_in(&folder);
    let large = "x".repeat(genii_protocols::wire::MESSAGE_MAX_LEN + 1);
    let error = put(&store, 1, &large).unwrap_err();
    assert!(matches!(error, StoreError::Unfit { table: "texts", .. }), "{error}");
    put(&store, 1, "small").unwrap();
}

#[test]
fn whoever_has_a_store_open_is_noticed() {
    let folder = folder();
    let path = path_in(&folder);
    assert!(!is_in_use(&path).unwrap(), "there is none");
    let store = store_in(&folder);
    assert!(is_in_use(&path).unwrap());
    put(&store, 1, "one").unwrap();
    drop(store);
    assert!(!is_in_use(&path).unwrap());
    assert_eq!(texts(&store_in(&folder)), [(1, "one".to_owned())]);
}

#[test]
fn a_closed_store_says_so() {
    let folder = folder();
    let store = store_in(&folder);
    put(&store, 1, "one").unwrap();
    let other = store.clone();
    let read = store.read(|reader| {
        other.close_blocking()?;
        reader.get(TEXTS, &1)
    });
    assert!(matches!(read, Err(StoreError::Closed { .. })), "{read:?}");
    assert!(matches!(put(&store, 2, "two"), Err(StoreError::Closed { .. })));
    assert!(matches!(store.rewrite_blocking(), Err(StoreError::Closed { .. })));
    store.close_blocking().unwrap();
    let again = store_in(&folder);
    assert_eq!(texts(&again).len(), 1);
}
