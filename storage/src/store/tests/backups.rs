//! Backups to one path at the same time: one of them has it, and whoever made another is told.

use std::fs;
use std::path::Path;
use std::sync::Barrier;

use tokio::runtime::Runtime;

use super::*;

/// How often two stores are saved at once.
const ROUNDS: usize = 16;

/// Two stores that can be told apart.
fn two(folders: &[TempDir; 2]) -> [Store; 2] {
    let stores = folders.each_ref().map(store_in);
    for (number, store) in stores.iter().enumerate() {
        put(store, 0, &text_of(number)).unwrap();
    }
    stores
}

fn text_of(number: usize) -> String {
    format!("of store {number}")
}

/// What the backup of a store says. Nothing else may be in its folder.
fn text_in(backup: &Path) -> String {
    assert_eq!(fs::read_dir(backup.parent().unwrap()).unwrap().count(), 1, "nothing else is left");
    let copy = Store::open(backup, &SCHEMA, &options()).unwrap();
    copy.read(|reader| reader.get(TEXTS, &0)).unwrap().unwrap()
}

fn at_once(
    stores: &[Store; 2],
    save: impl Fn(&Store) -> Result<(), BackupError> + Sync,
) -> [Result<(), BackupError>; 2] {
    let (together, save) = (&Barrier::new(2), &save);
    thread::scope(|scope| {
        let saving = stores.each_ref().map(|store| {
            scope.spawn(move || {
                together.wait();
                save(store)
            })
        });
        saving.map(|saving| saving.join().unwrap())
    })
}

#[test]
fn of_two_stores_that_are_saved_to_one_new_path_at_once_one_has_it() {
    let folders = [folder(), folder()];
    let stores = two(&folders);
    for round in 0..ROUNDS {
        let elsewhere = folder();
        let to = elsewhere.path().join("backup.redb");
        let saved = at_once(&stores, |store| store.backup_to_new_blocking(&to));
        let (winner, refused) = match &saved {
            [Ok(()), Err(refused)] => (0, refused),
            [Err(refused), Ok(())] => (1, refused),
            saved => panic!("round {round}: {saved:?}"),
        };
        assert!(matches!(refused, BackupError::Taken { .. }), "round {round}: {refused}");
        assert!(refused.to_string().contains("name another file"), "{refused}");
        assert_eq!(text_in(&to), text_of(winner), "round {round}");
    }
}

/// Whoever comes when another is done may replace what that made; so both may have been saved.
#[test]
fn of_two_stores_that_are_saved_to_one_path_at_once_one_that_was_told_so_is_there() {
    let (folders, elsewhere) = ([folder(), folder()], folder());
    let stores = two(&folders);
    let to = elsewhere.path().join("backup.redb");
    for round in 0..ROUNDS {
        let saved = at_once(&stores, |store| store.backup_blocking(&to));
        for refused in saved.iter().filter_map(|saved| saved.as_ref().err()) {
            let is_told = matches!(refused, BackupError::InUse { .. } | BackupError::Taken { .. });
            assert!(is_told, "round {round}: {refused}");
        }
        let there = text_in(&to);
        let is_of = |number: usize| there == text_of(number) && saved[number].is_ok();
        assert!(is_of(0) || is_of(1), "round {round}: {there:?} is there, and {saved:?}");
    }
}

#[test]
fn what_is_there_is_not_replaced_by_what_is_to_be_new() {
    let (folder, elsewhere) = (folder(), folder());
    let store = store_in(&folder);
    let to = elsewhere.path().join("backup.redb");
    fs::write(&to, "a letter to a friend").unwrap();
    let runtime = Runtime::new().unwrap();
    let refused = runtime.block_on(store.backup_to_new(&to)).unwrap_err();
    assert!(refused.to_string().contains("is there already"), "{refused}");
    assert_eq!(fs::read(&to).unwrap(), b"a letter to a friend");
    fs::remove_file(&to).unwrap();
    runtime.block_on(store.backup_to_new(&to)).unwrap();
    assert!(check(&to).unwrap().is_whole());
}

#[test]
fn what_an_interrupted_backup_left_is_removed_by_the_next() {
    let (folder, elsewhere) = (folder(), folder());
    let store = store_in(&folder);
    let of_another = elsewhere.path().join("other.redb.partial-0123456789abcdef");
    fs::write(&of_another, "half of another").unwrap();
    for left in ["backup.redb.partial", "backup.redb.partial-0123456789abcdef"] {
        let left = elsewhere.path().join(left);
        fs::write(&left, "half of it").unwrap();
        store.backup_blocking(&elsewhere.path().join("backup.redb")).unwrap();
        assert!(!left.exists());
    }
    assert!(of_another.exists());
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 2, "nothing else is left");
}
