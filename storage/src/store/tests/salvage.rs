//! What can be read of a damaged store is saved, and nothing that was not written.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;

use super::*;
use crate::golden_stores::unpack;

/// How many entries each table has.
const ENTRIES: u64 = 2_000;

/// In how many damaged files there is one flipped bit.
const CASES: u64 = 40;

/// The length of a small page, in bytes.
const PAGE_LEN: usize = 4_096;

/// How often one that saves is killed.
const KILLS: u64 = 12;

fn text(key: u64) -> String {
    format!("this is the text number {key:04}").repeat(4)
}

fn kind(key: u64) -> String {
    format!("kind {}", key % 5)
}

/// A whole store, closed.
fn make(path: &Path) {
    let store = Store::open(path, &SCHEMA, &options()).unwrap();
    let write = |writer: &mut Writer| {
        for key in 0..ENTRIES {
            writer.insert(TEXTS, &key, &text(key))?;
            writer.insert(PAIRS, &(kind(key), key), &key)?;
        }
        Ok::<_, StoreError>(())
    };
    store.write_blocking(write).unwrap();
    store.close_blocking().unwrap();
}

/// A whole store of which each table has one page, closed.
fn make_small(path: &Path) {
    let store = Store::open(path, &SCHEMA, &options()).unwrap();
    let write = |writer: &mut Writer| {
        for key in 0..3 {
            writer.insert(TEXTS, &key, &text(key))?;
        }
        for key in 0..5 {
            writer.insert(PAIRS, &(kind(key), key), &key)?;
        }
        Ok::<_, StoreError>(())
    };
    store.write_blocking(write).unwrap();
    store.close_blocking().unwrap();
}

/// Where the pages begin in which these bytes are.
fn pages_with(file: &[u8], bytes: &[u8]) -> Vec<usize> {
    let has_it = |page: &[u8]| page.windows(bytes.len()).any(|window| window == bytes);
    let pages = file.chunks(PAGE_LEN).enumerate().filter(|(_, page)| has_it(page));
    let pages: Vec<usize> = pages.map(|(number, _)| number * PAGE_LEN).collect();
    assert!(!pages.is_empty());
    pages
}

fn is_known(table: &str) -> bool {
    ["texts", "pairs"].contains(&table)
}

fn is_never(_: &str) -> bool {
    false
}

fn is_pairs(table: &str) -> bool {
    table == "pairs"
}

fn saved(path: &Path) -> Result<Salvaged, SalvageError> {
    salvage(path, &SCHEMA, is_known, is_never, |_, _| Ok(()))
}

/// Changes a byte of each place where a file has these bytes.
fn damage(path: &Path, bytes: &[u8]) {
    let mut all = fs::read(path).unwrap();
    let is_it = |at: &usize| all[*at..].starts_with(bytes);
    let places: Vec<usize> = (0..all.len()).filter(is_it).collect();
    assert!(!places.is_empty());
    places.into_iter().for_each(|at| all[at] ^= 1);
    fs::write(path, all).unwrap();
}

/// How many entries a store has, all of which are what was written.
fn entries(path: &Path) -> u64 {
    let store = Store::open(path, &SCHEMA, &options()).unwrap();
    let read = store.read(|reader| {
        let mut entries = 0;
        for entry in reader.range(TEXTS, ..) {
            let (key, found) = entry?;
            assert_eq!(found, text(key));
            entries += 1;
        }
        for entry in reader.range(PAIRS, ..) {
            let ((found, key), value) = entry?;
            assert_eq!((found, key), (kind(value), value));
            entries += 1;
        }
        Ok::<_, StoreError>(entries)
    });
    let entries = read.unwrap();
    store.close_blocking().unwrap();
    entries
}

/// How many entries of it are told to be readable.
fn told(remains: &Remains) -> u64 {
    let tables = ["texts", "pairs"].into_iter().filter_map(|name| remains.table(name));
    tables.map(|table| table.entries).sum()
}

/// How many entries are saved of a damaged store: as many as are told, or none, and then its file stays as it is.
fn saved_of(path: &Path, case: u64) -> u64 {
    let before = fs::read(path).unwrap();
    match saved(path) {
        Ok(Salvaged { remains, .. }) => {
            let told = told(&remains);
            assert_eq!(entries(path), told, "case {case}");
            told
        }
        Err(error) => {
            assert!(matches!(error, SalvageError::Nothing { .. }), "case {case}: {error}");
            assert!(fs::read(path).unwrap() == before, "case {case}");
            0
        }
    }
}

/// A small generator of numbers that look random: SplitMix64.
fn random(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *seed;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[test]
fn of_a_whole_store_all_can_be_read_without_redb() {
    for kind in ["store", "store-not-closed", "memories"] {
        let folder = folder();
        let path = path_in(&folder);
        unpack(kind, 1, &path);
        let report = check(&path).unwrap();
        let Remains { tables, are_all } = remains(&path, is_known).unwrap();
        assert!(report.is_whole() && are_all, "{kind}: {report}");
        assert!(tables.iter().all(|table| table.lost == 0 && table.gaps.is_empty()), "{tables:?}");
        let read = tables
            .into_iter()
            .map(|TableRemains { name, entries, bytes, .. }| TableReport { name, entries, bytes });
        assert_eq!(read.collect::<Vec<_>>(), report.tables, "{kind}");
    }
}

#[test]
fn an_entry_that_is_damaged_is_lost_alone_and_it_is_told_where_it_was() {
    let folder = folder();
    let path = path_in(&folder);
    make(&path);
    for key in [7_u64, 500, 501, ENTRIES - 1] {
        damage(&path, format!("{key:04}").as_bytes());
    }
    let before = fs::read(&path).unwrap();
    assert!(!check(&path).unwrap().is_whole());
    let told = remains(&path, is_known).unwrap();
    assert_eq!(fs::read(&path).unwrap(), before, "a look changes nothing");

    let salvaged = saved(&path).unwrap();
    assert_eq!(salvaged.remains, told, "it is as it was told before");
    let texts = told.table("texts").unwrap();
    assert_eq!((texts.entries, texts.lost), (ENTRIES - 4, 4));
    assert_eq!(texts.gaps, ["between 6 and 8", "between 499 and 502", "behind 1998"]);
    assert!(told.has_lost("texts") && !told.has_lost("pairs") && !told.has_lost("none"));
    assert_eq!((salvaged.after.finding, &salvaged.after.path), (Finding::Whole, &path));
    assert_eq!(fs::read(&salvaged.damaged).unwrap(), before, "what was there is kept");
    assert_eq!(entries(&path), 2 * ENTRIES - 4);
}

#[test]
fn a_flipped_bit_takes_little_with_it_wherever_it_is() {
    in_time(|| {
        let folder = folder();
        let path = path_in(&folder);
        make(&path);
        let whole = fs::read(&path).unwrap();
        let (mut seed, mut lost) = (1, 0);
        for case in 0..CASES {
            let mut bytes = whole.clone();
            let at = random(&mut seed) as usize % bytes.len();
            bytes[at] ^= 1 << (random(&mut seed) % 8);
            fs::write(&path, &bytes).unwrap();
            lost += 2 * ENTRIES - saved_of(&path, case);
        }
        assert!(lost < 2 * ENTRIES * CASES / 10, "{lost} are lost");
    });
}

#[test]
fn a_page_of_garbage_takes_only_its_own_entries() {
    in_time(|| {
        let folder = folder();
        let path = path_in(&folder);
        make(&path);
        let whole = fs::read(&path).unwrap();
        let (mut seed, mut lost) = (5, 0);
        for case in 0..CASES {
            let mut bytes = whole.clone();
            // Not the header, which says where all else is.
            let page = 1 + random(&mut seed) as usize % (bytes.len() / 4_096 - 1);
            bytes[page * 4_096..][..4_096].fill_with(|| random(&mut seed) as u8);
            fs::write(&path, &bytes).unwrap();
            lost += 2 * ENTRIES - saved_of(&path, case);
        }
        assert!(lost < 2 * ENTRIES * CASES / 10, "{lost} are lost");
    });
}

#[test]
fn a_flipped_bit_in_the_head_of_a_page_costs_nothing() {
    let folder = folder();
    let path = path_in(&folder);
    make_small(&path);
    let whole = fs::read(&path).unwrap();
    for bit in 0..32 {
        let mut bytes = whole.clone();
        for page in pages_with(&whole, text(0).as_bytes()) {
            bytes[page + bit / 8] ^= 1 << (bit % 8);
        }
        fs::write(&path, &bytes).unwrap();
        assert_eq!(saved_of(&path, bit as u64), 8);
    }
}

#[test]
fn what_is_of_another_table_is_not_taken_for_its_own() {
    // Of the five entries of the other page that many are damaged: then there are more left than the table had,
    // or as many.
    for damaged in [1, 2] {
        let folder = folder();
        let path = path_in(&folder);
        make_small(&path);
        let mut bytes = fs::read(&path).unwrap();
        let other = pages_with(&bytes, b"kind 4")[0];
        let mut page = bytes[other..][..PAGE_LEN].to_vec();
        for key in 0..damaged {
            let kind = kind(key);
            let at = page.windows(kind.len()).position(|window| window == kind.as_bytes());
            page[at.unwrap()] ^= 1;
        }
        for own in pages_with(&bytes, text(0).as_bytes()) {
            bytes[own..][..PAGE_LEN].copy_from_slice(&page);
        }
        fs::write(&path, &bytes).unwrap();
        let salvaged = salvage(&path, &SCHEMA, is_known, is_never, |writer, remains| {
            Ok(remains.keep_readable(writer, TEXTS)?)
        });
        let remains = salvaged.unwrap().remains;
        let texts = remains.table("texts").unwrap();
        assert_eq!((texts.entries, texts.bytes, texts.lost), (0, 0, 3), "{damaged} are damaged");
        assert_eq!(entries(&path), 5);
    }
}

#[test]
fn a_count_that_is_not_proven_is_not_told() {
    let folder = folder();
    let path = path_in(&folder);
    make(&path);
    // How many entries a table has, as the list of tables says it, and that it has some.
    damage(&path, &[0xd0, 0x07, 0, 0, 0, 0, 0, 0, 1]);
    let told = remains(&path, is_known).unwrap();
    assert!(!told.are_all);
    for name in ["texts", "pairs"] {
        let table = told.table(name).unwrap();
        assert_eq!((table.entries, table.lost), (ENTRIES, 0), "{name}");
        assert!(!told.has_lost(name));
    }
    damage(&path, b"0007");
    let told = remains(&path, is_known).unwrap();
    let texts = told.table("texts").unwrap();
    assert_eq!((texts.entries, texts.lost), (ENTRIES - 1, 0));
    assert!(told.has_lost("texts") && texts.gaps == ["between 6 and 8"], "{texts:?}");
}

#[test]
fn what_is_made_anew_is_read_and_not_copied() {
    let folder = folder();
    let path = path_in(&folder);
    make_small(&path);
    damage(&path, b"0001");
    let salvaged = salvage(&path, &SCHEMA, is_known, is_pairs, |writer, _| {
        assert!(writer.is_empty(PAIRS)?);
        Ok(())
    });
    let remains = salvaged.unwrap().remains;
    let [texts, pairs] = ["texts", "pairs"].map(|name| remains.table(name).unwrap());
    assert_eq!((texts.entries, texts.last_number), (2, Some(2)));
    assert_eq!((pairs.entries, pairs.last_number), (5, None));
    assert_eq!(entries(&path), 2);
}

#[test]
fn one_of_which_nothing_but_what_is_made_anew_is_left_stays_as_it_is() {
    let folder = folder();
    let path = path_in(&folder);
    make(&path);
    damage(&path, b"texts");
    let before = fs::read(&path).unwrap();
    let salvaged = salvage(&path, &SCHEMA, is_known, is_pairs, |_, _| Ok(()));
    assert!(matches!(salvaged, Err(SalvageError::Nothing { .. })), "{salvaged:?}");
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_table_is_saved_under_its_own_name_only() {
    let folder = folder();
    let path = path_in(&folder);
    make(&path);
    damage(&path, b"texts");
    let told = remains(&path, is_known).unwrap();
    assert!(!told.are_all && told.table("texts").is_none(), "{told:?}");
    let names: Vec<_> = told.tables.iter().map(|table| table.name.as_str()).collect();
    assert_eq!(names, ["pairs"]);
    assert_eq!(saved(&path).unwrap().remains, told);
    assert_eq!(entries(&path), ENTRIES);
}

#[test]
fn what_leads_to_where_no_file_can_reach_is_lost_and_no_failure() {
    let folder = folder();
    let path = path_in(&folder);
    make(&path);
    let mut bytes = fs::read(&path).unwrap();
    // Both commits lead to the last region that there can be.
    for commit in [64, 192] {
        bytes[commit + 8..][..8].copy_from_slice(&(((1_u64 << 20) - 1) << 20).to_le_bytes());
    }
    fs::write(&path, bytes).unwrap();
    let told = remains(&path, is_known).unwrap();
    assert_eq!(told, Remains { tables: Vec::new(), are_all: false });
}

#[test]
fn what_a_store_said_of_itself_is_said_again() {
    let folder = folder();
    let path = path_in(&folder);
    make(&path);
    damage(&path, b"application");
    assert!(saved(&path).unwrap().after.is_whole());
    assert_eq!(entries(&path), 2 * ENTRIES);
    const OTHER: Schema = Schema::new("other", 1, &[]);
    let refused = salvage(&path, &OTHER, is_known, is_never, |_, _| Ok(())).unwrap_err();
    assert!(matches!(refused, SalvageError::Open(OpenError::OtherApplication { .. })), "{refused}");
}

#[test]
fn what_is_saved_is_mended_before_it_takes_the_place() {
    let folder = folder();
    let path = path_in(&folder);
    make(&path);
    damage(&path, b"0007");
    let before = fs::read(&path).unwrap();
    let refused = salvage(&path, &SCHEMA, is_known, is_never, |writer, _| {
        writer.remove_range(TEXTS, ..)?;
        Err("nobody is in it".into())
    });
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("nobody is in it"), "{refused}");
    assert_eq!(fs::read(&path).unwrap(), before);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
    let mended = salvage(&path, &SCHEMA, is_known, is_never, |writer, remains| {
        assert_eq!(remains.table("texts").unwrap().lost, 1);
        writer.insert(TEXTS, &7, &text(7))?;
        Ok(())
    });
    assert!(mended.unwrap().after.is_whole());
    assert_eq!(entries(&path), 2 * ENTRIES);
}

#[test]
fn one_that_is_used_or_of_which_nothing_is_left_stays_as_it_is() {
    let folder = folder();
    let path = path_in(&folder);
    let missing = saved(&path).unwrap_err();
    assert!(matches!(missing, SalvageError::Open(OpenError::Missing { .. })), "{missing}");
    assert!(matches!(remains(&path, is_known), Err(OpenError::Missing { .. })));
    make(&path);
    let store = Store::open(&path, &SCHEMA, &options()).unwrap();
    let used = saved(&path).unwrap_err();
    assert!(matches!(used, SalvageError::Open(OpenError::Locked { .. })), "{used}");
    assert!(matches!(remains(&path, is_known), Err(OpenError::Locked { .. })));
    drop(store);
    let mut bytes = fs::read(&path).unwrap();
    bytes[4_096..].fill(0);
    fs::write(&path, &bytes).unwrap();
    let nothing = saved(&path).unwrap_err();
    assert!(matches!(nothing, SalvageError::Nothing { .. }), "{nothing}");
    assert_eq!(fs::read(&path).unwrap(), bytes);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
}

#[test]
fn the_damaged_file_goes_with_the_next_rewrite() {
    let folder = folder();
    let path = path_in(&folder);
    make(&path);
    damage(&path, b"0007");
    let Salvaged { damaged, .. } = saved(&path).unwrap();
    let store = Store::open(&path, &SCHEMA, &options()).unwrap();
    assert!(damaged.exists() && store.keeps_damaged(), "an opening leaves it there");
    store.rewrite_blocking().unwrap();
    assert!(!damaged.exists() && !store.keeps_damaged());
    assert_eq!(texts(&store).len() as u64, ENTRIES - 1);
}

#[test]
fn a_damaged_file_that_was_kept_before_goes_when_the_next_one_is_kept() {
    let folder = folder();
    let path = path_in(&folder);
    let kept = path.with_extension("redb.damaged");
    make_small(&path);
    damage(&path, b"0001");
    let damaged = fs::read(&path).unwrap();
    let files = || fs::read_dir(folder.path()).unwrap().count();
    // A folder's place no file can take.
    fs::create_dir(&kept).unwrap();
    assert!(matches!(saved(&path), Err(SalvageError::Open(_))));
    assert_eq!((fs::read(&path).unwrap(), files()), (damaged.clone(), 2), "nothing else is left");
    fs::remove_dir(&kept).unwrap();

    fs::write(&kept, "the one before").unwrap();
    assert_eq!(saved(&path).unwrap().damaged, kept);
    assert_eq!((fs::read(&kept).unwrap(), files()), (damaged.clone(), 2));

    // It was kept, and genii ended before the new one took its place.
    fs::write(&path, &damaged).unwrap();
    fs::remove_file(&kept).unwrap();
    fs::hard_link(&path, &kept).unwrap();
    assert!(saved(&path).unwrap().after.is_whole());
    assert_eq!((fs::read(&kept).unwrap(), files()), (damaged, 2));
}

/// The child of [`whatever_is_killed_leaves_one_that_can_be_read`].
#[test]
fn saves_until_it_is_killed() {
    let Some(path) = child_store() else { return };
    println!("\nbegins");
    std::io::stdout().flush().unwrap();
    saved(&path).unwrap();
}

#[test]
fn whatever_is_killed_leaves_one_that_can_be_read() {
    let folder = folder();
    let path = path_in(&folder);
    make(&path);
    damage(&path, b"0007");
    let damaged = fs::read(&path).unwrap();
    let mut seed = 9;
    for kill in 0..KILLS {
        fs::write(&path, &damaged).unwrap();
        let test = "store::tests::salvage::saves_until_it_is_killed";
        let mut child = child(test, &path).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap() == "begins"));
        thread::sleep(Duration::from_micros(random(&mut seed) % 200_000));
        child.kill().unwrap();
        child.wait().unwrap();
        let is_as_before = fs::read(&path).unwrap() == damaged;
        assert!(is_as_before || check(&path).unwrap().is_whole(), "kill {kill}");
    }
    fs::write(&path, &damaged).unwrap();
    assert!(saved(&path).unwrap().after.is_whole());
    assert_eq!(entries(&path), 2 * ENTRIES - 1);
}
