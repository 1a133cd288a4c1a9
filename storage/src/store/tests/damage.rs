//! Damaged files give clear errors. Nothing here may panic, hang, or end the process.

use std::fs;
use std::path::Path;

use super::*;

/// How many damaged files of each kind are tried.
const CASES: u64 = 60;

/// A whole file of a store, closed or as `kill -9` leaves it.
fn file(is_closed: bool) -> Vec<u8> {
    let folder = folder();
    let store = store_in(&folder);
    for batch in 0..4_u64 {
        let written = store.write_blocking(move |writer| {
            for key in batch * 50..batch * 50 + 50 {
                writer.insert(TEXTS, &key, &format!("text {key} ").repeat(20))?;
                writer.insert(PAIRS, &(format!("kind {}", key % 5), key), &key)?;
            }
            writer.remove_range(TEXTS, batch * 50..batch * 50 + 5)
        });
        written.unwrap();
    }
    if is_closed {
        store.close_blocking().unwrap();
    }
    fs::read(path_in(&folder)).unwrap()
}

fn random(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *seed >> 33
}

/// Does everything with a file that can be done; whether anything was amiss.
fn try_all(path: &Path) -> bool {
    let report = check(path);
    let checked = report.as_ref().is_ok_and(Report::is_whole);
    if let Ok(report) = &report {
        assert!(!report.to_string().is_empty());
    }
    let used = use_it(path).is_ok();
    let repaired = repair(path);
    if let Ok(Repair { after, .. }) = &repaired
        && after.is_whole()
    {
        use_it(path).unwrap_or_else(|error| panic!("whole, and yet: {error}\n{after}"));
    }
    !(checked && used && repaired.is_ok())
}

/// Opens, reads all, writes, and closes.
fn use_it(path: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let store = Store::open(path, &SCHEMA, &options())?;
    let read = store.read(|reader| {
        reader.range(TEXTS, ..).try_for_each(|entry| entry.map(drop))?;
        reader.range(PAIRS, ..).rev().try_for_each(|entry| entry.map(drop))
    });
    let written = store.write_blocking(|writer| {
        for key in 0..20 {
            writer.insert(TEXTS, &(key * 37), &"another text".repeat(20))?;
        }
        writer.retain(PAIRS, .., |_, value| value % 2 == 0)
    });
    let closed = store.close_blocking();
    Ok(read.and(written.map(drop)).and(closed)?)
}

/// Damages a file in many ways, and says in how many anything was amiss.
fn try_many(
    kind: &'static str,
    is_closed: bool,
    damage: impl Fn(&mut Vec<u8>, &mut u64) + Send + 'static,
) -> u64 {
    in_time(move || {
        let whole = file(is_closed);
        let folder = folder();
        let mut amiss = 0;
        for case in 0..CASES {
            let mut seed = case + 1;
            let mut bytes = whole.clone();
            damage(&mut bytes, &mut seed);
            let path = folder.path().join(format!("{kind}-{case}.redb"));
            fs::write(&path, bytes).unwrap();
            amiss += u64::from(try_all(&path));
            fs::remove_file(path).unwrap();
        }
        amiss
    })
}

fn flip_bits(bytes: &mut [u8], seed: &mut u64) {
    for _ in 0..1 + random(seed) % 20 {
        let at = random(seed) as usize % bytes.len();
        bytes[at] ^= 1 << (random(seed) % 8);
    }
}

fn flip_in_header(bytes: &mut [u8], seed: &mut u64) {
    for _ in 0..1 + random(seed) % 4 {
        bytes[random(seed) as usize % 320] ^= 1 << (random(seed) % 8);
    }
}

fn fill_with_garbage(bytes: &mut [u8], seed: &mut u64) {
    let from = 16 + random(seed) as usize % (bytes.len() - 16);
    let len = 1 + random(seed) as usize % 8_192;
    let end = (from + len).min(bytes.len());
    bytes[from..end].fill_with(|| random(seed) as u8);
}

fn cut(bytes: &mut Vec<u8>, seed: &mut u64) {
    bytes.truncate(random(seed) as usize % bytes.len());
}

#[test]
fn flipped_bits() {
    for is_closed in [true, false] {
        assert!(try_many("flip", is_closed, |bytes, seed| flip_bits(bytes, seed)) > CASES / 10);
        assert!(
            try_many("header", is_closed, |bytes, seed| flip_in_header(bytes, seed)) > CASES / 10
        );
    }
}

#[test]
fn garbage() {
    for is_closed in [true, false] {
        assert!(
            try_many("garbage", is_closed, |bytes, seed| fill_with_garbage(bytes, seed))
                > CASES / 10
        );
    }
}

#[test]
fn files_that_are_cut_short() {
    for is_closed in [true, false] {
        assert_eq!(try_many("cut", is_closed, cut), CASES);
    }
}

#[test]
fn an_empty_file_is_damage_and_not_a_new_store() {
    let folder = folder();
    let path = path_in(&folder);
    fs::write(&path, "").unwrap();
    let error = Store::open(&path, &SCHEMA, &options()).unwrap_err();
    let said = error.to_string();
    assert!(said.contains("is damaged: the file is empty; restore a backup"), "{said}");
    let Repair { before, after } = repair(&path).unwrap();
    assert_eq!(before.finding, Finding::Damaged { why: "the file is empty".to_owned() });
    assert_eq!(after, before);
    assert!(after.to_string().contains("restore a backup"), "{after}");
}

#[test]
fn a_store_that_was_not_closed_is_whole_and_repairs_to_closed() {
    let folder = folder();
    let path = path_in(&folder);
    fs::write(&path, file(false)).unwrap();
    let before = fs::read(&path).unwrap();
    let report = check(&path).unwrap();
    assert_eq!(report.finding, Finding::NotClosed);
    assert_eq!(report.tables.iter().map(|table| table.entries).collect::<Vec<_>>(), [200, 180]);
    assert_eq!(fs::read(&path).unwrap(), before, "a check changes nothing");
    let repair = repair(&path).unwrap();
    assert_eq!(repair.after.finding, Finding::Whole);
    assert_eq!(repair.after.tables, report.tables);
    let said = repair.after.to_string();
    assert!(said.contains("a store of \"test\" in version 1"), "{said}");
    assert!(said.contains("table \"texts\": 180 entries"), "{said}");
}

#[test]
fn damage_in_one_place_leaves_the_rest_readable() {
    let folder = folder();
    let path = path_in(&folder);
    let store = store_in(&folder);
    put(&store, 1, "a text that is well").unwrap();
    const NUMBERS: Table<u64, Vec<u64>> = Table::new("numbers");
    store.write_blocking(|writer| writer.insert(NUMBERS, &9, &vec![u64::MAX; 9])).unwrap();
    store.close_blocking().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let numbers = genii_protocols::wire::encode(&vec![u64::MAX; 9]).unwrap();
    let is_it = |at: &usize| bytes[*at..].starts_with(&numbers);
    // Still a list of numbers, and yet another one; wherever the file has a copy of it.
    let places: Vec<_> = (0..bytes.len()).filter(is_it).collect();
    places.into_iter().for_each(|at| bytes[at + 4] = 0);
    fs::write(&path, bytes).unwrap();
    let error = Store::open(&path, &SCHEMA, &options()).err();
    assert!(matches!(error, Some(OpenError::Damaged { .. })), "small ones are verified: {error:?}");
    // As a large one is opened.
    let trusting = StoreOptions { verify_max_bytes: 0, ..options() };
    let store = Store::open(&path, &SCHEMA, &trusting).unwrap();
    assert_eq!(texts(&store).len(), 1);
    assert!(store.damage().is_none(), "nobody has met it yet");
    let error = store.read(|reader| reader.get(NUMBERS, &9)).unwrap_err();
    assert_eq!(store.damage().unwrap().to_string(), error.to_string());
    let StoreError::Damaged { place, why, .. } = &error else { panic!("{error}") };
    assert_eq!(
        (place.as_str(), why.as_str()),
        ("entry 9 of table \"numbers\"", "it is not what was written")
    );
    put(&store, 2, "goes on").unwrap();
    drop(store);
    assert!(!check(&path).unwrap().is_whole());
    // What is damaged can be given up, and the rest is whole again.
    let store = Store::open(&path, &SCHEMA, &trusting).unwrap();
    let error = store.backup_blocking(&folder.path().join("backup")).unwrap_err();
    assert!(error.to_string().contains("the entry number 0 of table \"numbers\""), "{error}");
    assert_eq!(store.write_blocking(|writer| writer.remove_range(NUMBERS, ..)).unwrap(), 1);
    drop(store);
    assert_eq!(check(&path).unwrap().finding, Finding::Whole);
}

#[test]
fn that_a_last_write_was_taken_back_is_told() {
    let folder = folder();
    let path = path_in(&folder);
    let whole = file(false);
    fs::write(&path, &whole).unwrap();
    let store = Store::open(&path, &SCHEMA, &options()).unwrap();
    assert!(!store.took_back() && texts(&store).len() == 180);
    store.close_blocking().unwrap();
    // What only the last write has.
    let text = b"text 199 text 199";
    let places: Vec<usize> = (0..whole.len()).filter(|at| whole[*at..].starts_with(text)).collect();
    let mut damaged = whole.clone();
    places.into_iter().for_each(|at| damaged[at] ^= 1);
    fs::write(&path, &damaged).unwrap();
    let store = Store::open(&path, &SCHEMA, &options()).unwrap();
    assert!(store.took_back());
    assert_eq!(texts(&store).len(), 135, "all but the last write");
    store.close_blocking().unwrap();
    assert!(!Store::open(&path, &SCHEMA, &options()).unwrap().took_back());
}
