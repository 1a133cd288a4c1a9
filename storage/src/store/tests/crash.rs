//! `kill -9` in the midst of writing: what was acknowledged is there, and nothing is there by half.

use std::io::{BufRead, BufReader, Write};

use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use super::*;

/// How often the writing process is killed.
const KILLS: u64 = 20;

/// How many acknowledged writes it is let live for, at most.
const LIFE_MAX: u64 = 60;

/// How many entries one write makes, all or none.
const ENTRIES: u64 = 5;

const NEXT: Table<(), u64> = Table::new("next");

/// One write of many entries that belong together.
fn write_whole(writer: &mut Writer) -> Result<u64, StoreError> {
    let id = writer.get(NEXT, &())?.unwrap_or_default();
    writer.insert(NEXT, &(), &(id + 1))?;
    for entry in 0..ENTRIES {
        writer.insert(TEXTS, &(id * ENTRIES + entry), &format!("{id} ").repeat(50))?;
        writer.insert(PAIRS, &(id.to_string(), entry), &id)?;
    }
    Ok(id)
}

/// The child of [`nothing_acknowledged_is_lost`]: writes, and says what was acknowledged, until it
/// is killed. Now and then it rewrites the store.
#[test]
fn writes_until_it_is_killed() {
    let Some(path) = child_store() else { return };
    let store = Store::open(path, &SCHEMA, &options()).unwrap();
    Runtime::new().unwrap().block_on(async {
        let mut writing = JoinSet::new();
        for _ in 0..8 {
            writing.spawn(write_for_ever(store.clone()));
        }
        while let Some(ended) = writing.join_next().await {
            ended.unwrap();
        }
    });
}

async fn write_for_ever(store: Store) {
    loop {
        let id = store.write(write_whole).await.unwrap();
        say(id);
        if id % 40 == 7 {
            store.rewrite().await.unwrap();
        }
    }
}

/// Lines of two tasks must not mix, and none may stay in a buffer.
fn say(id: u64) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\nhas {id}").and_then(|()| out.flush()).unwrap();
}

/// A small generator of numbers that look random: SplitMix64.
fn random(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *seed;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Lets a child write until it has acknowledged so many writes, and some microseconds longer; then
/// kills it. Which writes it has acknowledged.
fn live_and_die(path: &std::path::Path, acknowledged: u64, longer_micros: u64) -> Vec<u64> {
    let mut child = child("store::tests::crash::writes_until_it_is_killed", path).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut ids = Vec::new();
    let id_of = |line: &str| line.strip_prefix("has ").map(|id| id.parse::<u64>().unwrap());
    while (ids.len() as u64) < acknowledged {
        let line = lines.next().expect("it writes until it is killed").unwrap();
        ids.extend(id_of(&line));
    }
    thread::sleep(Duration::from_micros(longer_micros));
    child.kill().unwrap();
    // What it said before it died counts too; a line cut short by the kill ends the list.
    ids.extend(lines.map_while(Result::ok).filter_map(|line| id_of(&line)));
    child.wait().unwrap();
    ids
}

#[test]
fn nothing_acknowledged_is_lost() {
    let folder = folder();
    let path = path_in(&folder);
    let mut seed = 4;
    let mut acknowledged = 0;
    for kill in 0..KILLS {
        let (life, longer) = (1 + random(&mut seed) % LIFE_MAX, random(&mut seed) % 5_000);
        let ids = live_and_die(&path, life, longer);
        let last = *ids.iter().max().unwrap();
        assert!(last >= acknowledged, "kill {kill}: {last} was written before");
        acknowledged = last + 1;
        assert!(check(&path).unwrap().is_whole(), "kill {kill}");
        let store = Store::open(&path, &SCHEMA, &options()).unwrap();
        let next = store.read(|reader| reader.get(NEXT, &())).unwrap().unwrap();
        assert!(next >= acknowledged, "kill {kill}: {acknowledged} acknowledged, {next} there");
        let read = store.read(|reader| {
            let keys: Vec<_> = reader.range(TEXTS, ..).collect::<Result<_, StoreError>>()?;
            assert!(keys.iter().map(|(key, _)| *key).eq(0..next * ENTRIES), "kill {kill}");
            for id in 0..next {
                let pairs: Vec<_> = reader
                    .range(PAIRS, (id.to_string(), 0)..=(id.to_string(), u64::MAX))
                    .collect::<Result<_, _>>()?;
                assert!(pairs.into_iter().map(|((_, entry), _)| entry).eq(0..ENTRIES));
            }
            Ok::<_, StoreError>(())
        });
        read.unwrap();
        // Written by nobody yet, these are the child's next ones.
        acknowledged = next;
    }
}
