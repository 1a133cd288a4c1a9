//! Many beings, of whom few are awake: 10,000 with 100 memories each, 100 of them awake. What memory that
//! takes, and how long one takes from asleep to its first recollection: while there is room for it, and
//! when another must be put to sleep for each.
//!
//! `cargo bench --bench waking -- 1000` tries it with fewer; `--data FOLDER` says on which disk.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use genii_benches::beings::{BeingHouse, folder_of, scratch, syncs};
use genii_benches::speech::Speech;
use genii_benches::{line, quiet, resident};
use genii_storage::index::threads;
use tokio::runtime::Runtime;

const BEINGS: usize = 10_000;
const MEMORIES: usize = 100;
const AWAKE: usize = 100;

/// How many are woken to be measured.
const WOKEN: usize = 1_000;

/// The one that all others are copies of.
const FIRST: &str = "being-0";

fn main() {
    threads::have_enough().unwrap();
    let runtime = Runtime::new().unwrap();
    let mut part = std::env::args().skip_while(|argument| !argument.starts_with("only-"));
    if let Some(which) = part.next() {
        let (folder, beings) = (part.next().unwrap(), part.next().unwrap().parse().unwrap());
        return runtime.block_on(measure(which == "only-full", Path::new(&folder), beings));
    }
    let beings = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(BEINGS);
    let data = scratch();
    println!("\n{beings} beings, {MEMORIES} memories each");
    line("the disk: 4 KiB more, synced", &mut syncs(data.path()));
    runtime.block_on(prepare(data.path(), beings));
    // Each in a process of its own, so that it does not inherit freed memory.
    for which in ["only-full", "only-room"] {
        let me = std::env::current_exe().unwrap();
        let (folder, beings) = (data.path(), beings.to_string());
        Command::new(me).arg(which).arg(folder).arg(beings).status().unwrap();
    }
    line("the disk again", &mut syncs(data.path()));
}

fn id(number: usize) -> String {
    format!("being-{number}")
}

/// Makes one, copies it, and has the registry take all of them in.
async fn prepare(folder: &Path, beings: usize) {
    let house = BeingHouse::open(folder, "").await;
    house.create(FIRST, None).await;
    let mut speech = Speech::new(1);
    for _ in 0..MEMORIES {
        house.remember(FIRST, speech.sentence()).await;
    }
    house.close().await;
    let first = folder_of(folder, FIRST);
    let bytes = std::fs::metadata(first.join("being.redb")).unwrap().len();
    println!("  {:44} {:>9} KiB", "the store of one", bytes / 1024);
    for number in 1..beings {
        let copy = folder_of(folder, &id(number));
        std::fs::create_dir(&copy).unwrap();
        std::fs::copy(first.join("being.redb"), copy.join("being.redb")).unwrap();
    }
    let began = Instant::now();
    let house = BeingHouse::open(folder, "").await;
    house.knows(beings as u64).await;
    println!("  {:44} {:>9.1} s", "all taken in by the registry", began.elapsed().as_secs_f64());
    house.close().await;
}

async fn measure(is_full: bool, folder: &Path, beings: usize) {
    let awake_max = if is_full { AWAKE } else { AWAKE + WOKEN };
    let (before, began) = (resident(), Instant::now());
    let house = BeingHouse::open(folder, &format!("awake_max = {awake_max}")).await;
    house.knows(beings as u64).await;
    let up = began.elapsed();
    quiet().await;
    let mut dice = fastrand::Rng::with_seed(3);
    let mut order: Vec<usize> = (0..beings).collect();
    dice.shuffle(&mut order);
    let mut speech = Speech::new(2);
    let (first, others) = order.split_at(AWAKE.min(beings));
    for number in first {
        house.recall(&id(*number), speech.question()).await;
    }
    let held = resident();
    if is_full {
        println!("  {:44} {:>9.1} ms", "up, with all known", up.as_secs_f64() * 1e3);
        let (all, more) = (held / 1024 / 1024, (held - before) / 1024 / 1024);
        println!("  {:44} {all:>9} MiB, of which {more} MiB more than the process", "memory");
    }
    let mut times = Vec::new();
    for number in others.iter().take(WOKEN) {
        let question = speech.question();
        let began = Instant::now();
        let found = house.recall(&id(*number), question).await;
        times.push(began.elapsed());
        assert!(!found.is_empty(), "nothing was remembered");
    }
    let which = if is_full { "when another must sleep for it" } else { "while there is room" };
    line(&format!("wake to first recall, {which}"), &mut times);
    println!("  {:44} {:>9} MiB", "memory afterwards", resident() / 1024 / 1024);
    house.close().await;
}
