//! What was removed is gone from the folder; and what lives is in its copies.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::runtime::Runtime;

use super::*;

const SECRET: &str = "the-secret-that-nobody-may-find";

/// Whether any file of a folder has these bytes in it.
fn is_in_folder(folder: &Path, bytes: &str) -> bool {
    let files = fs::read_dir(folder).unwrap().map(|file| fs::read(file.unwrap().path()).unwrap());
    files.into_iter().any(|file| contains(&file, bytes.as_bytes()))
}

fn contains(all: &[u8], bytes: &[u8]) -> bool {
    all.windows(bytes.len()).any(|window| window == bytes)
}

/// A store with much in it, of which every third entry is a secret; keys hold secrets too.
fn with_secrets(folder: &TempDir) -> Store {
    let store = store_in(folder);
    for batch in 0..10_u64 {
        let written = store.write_blocking(move |writer| {
            for key in batch * 100..batch * 100 + 100 {
                let text = if key % 3 == 0 { SECRET } else { "harmless" };
                writer.insert(TEXTS, &key, &text.repeat(20))?;
                writer.insert(PAIRS, &(text.to_owned(), key), &key)?;
            }
            Ok::<_, StoreError>(())
        });
        written.unwrap();
    }
    store
}

fn forget(store: &Store) {
    let forgotten = store.write_blocking(|writer| {
        writer.retain(TEXTS, .., |key, _| key % 3 != 0)?;
        writer.remove_range(PAIRS, (SECRET.to_owned(), 0)..=(SECRET.to_owned(), u64::MAX))
    });
    assert_eq!(forgotten.unwrap(), 334);
}

fn lives(store: &Store) -> u64 {
    let count = store.read(|reader| {
        reader.range(TEXTS, ..).try_for_each(|entry| {
            let (key, text) = entry?;
            assert!(key % 3 != 0 && text == "harmless".repeat(20));
            Ok::<_, StoreError>(())
        })?;
        assert_eq!(reader.len(PAIRS)?, reader.len(TEXTS)?);
        reader.len(TEXTS)
    });
    count.unwrap()
}

#[test]
fn after_a_rewrite_no_file_holds_what_was_removed() {
    let folder = folder();
    let store = with_secrets(&folder);
    forget(&store);
    assert!(is_in_folder(folder.path(), SECRET), "redb does not wipe; else this shows nothing");
    let before = store.size_bytes().unwrap();
    store.rewrite_blocking().unwrap();
    assert!(!is_in_folder(folder.path(), SECRET));
    assert_eq!(lives(&store), 666);
    assert!(store.size_bytes().unwrap() < before);
    put(&store, 1, &"harmless".repeat(20)).unwrap();
    drop(store);
    assert!(!is_in_folder(folder.path(), SECRET));
    assert_eq!(lives(&store_in(&folder)), 666);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
}

#[test]
fn readers_and_writers_go_on_while_it_is_rewritten() {
    let folder = folder();
    let store = store_in(&folder);
    put(&store, 0, "there").unwrap();
    let is_over = Arc::new(AtomicBool::new(false));
    let (over, other) = (Arc::clone(&is_over), store.clone());
    let reading = thread::spawn(move || {
        let mut reads = 0_u64;
        while !over.load(Ordering::Relaxed) || reads == 0 {
            assert_eq!(other.read(|reader| reader.get(TEXTS, &0)).unwrap().unwrap(), "there");
            reads += 1;
        }
    });
    Runtime::new().unwrap().block_on(async {
        for round in 0..20_u64 {
            let write =
                |key: u64| store.write(move |writer| writer.insert(TEXTS, &key, &key.to_string()));
            let (one, rewritten, two) =
                tokio::join!(write(round * 2 + 1), store.rewrite(), write(round * 2 + 2));
            rewritten.unwrap();
            assert!(!one.unwrap() && !two.unwrap());
        }
    });
    is_over.store(true, Ordering::Relaxed);
    reading.join().unwrap();
    assert_eq!(texts(&store).len(), 41);
    drop(store);
    assert_eq!(texts(&store_in(&folder)).len(), 41);
}

#[test]
fn a_reader_that_began_before_a_rewrite_ends_with_what_it_began() {
    let folder = folder();
    let store = with_secrets(&folder);
    let read = store.read(|reader| {
        let mut entries = reader.range(TEXTS, ..);
        entries.next().unwrap()?;
        forget(&store);
        store.rewrite_blocking()?;
        assert!(!is_in_folder(folder.path(), SECRET));
        entries.try_fold(1, |count, entry| entry.map(|_| count + 1))
    });
    assert_eq!(read.unwrap(), 1_000);
    assert_eq!(lives(&store), 666);
}

#[test]
fn a_rewrite_that_cannot_be_made_changes_nothing() {
    let folder = folder();
    let store = with_secrets(&folder);
    let aside = folder.path().join("being.redb.rewrite");
    fs::create_dir(&aside).unwrap();
    assert!(matches!(store.rewrite_blocking(), Err(StoreError::Io { .. })));
    fs::remove_dir(&aside).unwrap();
    put(&store, 1, "it goes on").unwrap();
    store.rewrite_blocking().unwrap();
    assert_eq!(texts(&store).len(), 1_000);
}

#[test]
fn a_backup_is_one_moment_and_holds_nothing_removed() {
    let (folder, elsewhere) = (folder(), folder());
    let store = with_secrets(&folder);
    forget(&store);
    let to = elsewhere.path().join("backup.redb");
    store.backup_blocking(&to).unwrap();
    assert!(!is_in_folder(elsewhere.path(), SECRET));
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 1);
    put(&store, 1, "after the backup").unwrap();
    let report = check(&to).unwrap();
    assert_eq!(report.finding, Finding::Whole);
    assert_eq!(report.tables.iter().map(|table| table.entries).collect::<Vec<_>>(), [666, 666]);
    // It is a store itself, and may be replaced by a later backup only when nobody uses it.
    let copy = Store::open(&to, &SCHEMA, &options()).unwrap();
    assert_eq!(lives(&copy), 666);
    let error = store.backup_blocking(&to).unwrap_err();
    assert!(matches!(error, BackupError::InUse { .. }), "{error}");
    let error = store.backup_blocking(store.path()).unwrap_err();
    assert!(matches!(error, BackupError::InUse { .. }), "{error}");
    drop(copy);
    Runtime::new().unwrap().block_on(store.backup(&to)).unwrap();
    let copy = Store::open(&to, &SCHEMA, &options()).unwrap();
    let first = copy.read(|reader| reader.get(TEXTS, &1)).unwrap();
    assert_eq!(first.as_deref(), Some("after the backup"));
}

#[test]
fn a_backup_that_cannot_be_written_leaves_the_store_well() {
    let folder = folder();
    let store = store_in(&folder);
    let error = store.backup_blocking(&folder.path().join("gone").join("backup")).unwrap_err();
    assert!(matches!(error, BackupError::Store(StoreError::Io { .. })), "{error}");
    put(&store, 1, "one").unwrap();
}

#[test]
fn a_store_is_restored_from_a_whole_backup_only() {
    let (folder, elsewhere) = (folder(), folder());
    let to = elsewhere.path().join("backup.redb");
    let store = with_secrets(&folder);
    store.backup_blocking(&to).unwrap();
    put(&store, 1, "to be undone").unwrap();
    assert!(matches!(restore(&to, store.path()), Err(RestoreError::InUse { .. })));
    store.close_blocking().unwrap();

    let report = restore(&to, &path_in(&folder)).unwrap();
    assert_eq!((report.path, report.version), (path_in(&folder), Some(1)));
    let store = store_in(&folder);
    assert_eq!(texts(&store)[1].1, "harmless".repeat(20));
    drop(store);

    let mut bytes = fs::read(&to).unwrap();
    let at = bytes.windows(SECRET.len()).position(|window| window == SECRET.as_bytes()).unwrap();
    bytes[at] ^= 1;
    fs::write(&to, bytes).unwrap();
    let error = restore(&to, &path_in(&folder)).unwrap_err();
    assert!(matches!(error, RestoreError::NotWhole { .. }), "{error}");
    assert!(error.to_string().contains("it is damaged and cannot be repaired"), "{error}");
    let missing = restore(&elsewhere.path().join("none"), &path_in(&folder)).unwrap_err();
    assert_eq!(missing.to_string().matches("there is no store").count(), 1, "{missing}");
    assert_eq!(texts(&store_in(&folder)).len(), 1_000, "the store is as it was");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
}
