//! A being with 100,000 memories: how long it takes to keep one more, safe on the disk, and to recall,
//! while it comes to have them, when it has them, and while its index is made anew.
//!
//! `cargo bench --bench memories -- 10000` tries it with fewer; `--data FOLDER` says on which disk.
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use genii_benches::beings::{BeingHouse, being, scratch, syncs};
use genii_benches::speech::Speech;
use genii_benches::{line, quiet, resident, size, timed};
use genii_protocols::Timestamp;
use genii_protocols::being::{AskHealth, MemoryKind, RecallMemories};
use genii_storage::index::threads;
use tokio::runtime::Runtime;

const MEMORIES: usize = 100_000;
const ID: &str = "elder";

/// How often it is asked at rest.
const ASKED: usize = 1_000;

/// How often with each filter.
const ASKED_AMONG_SOME: usize = 300;

/// How long it is let be between two questions while something else goes on.
const PAUSE: Duration = Duration::from_millis(20);

fn main() {
    threads::have_enough().unwrap();
    let memories = std::env::args().find_map(|argument| argument.parse().ok());
    Runtime::new().unwrap().block_on(elder(memories.unwrap_or(MEMORIES)));
}

async fn elder(memories: usize) {
    let data = scratch();
    println!("\na being with {memories} memories");
    line("the disk: 4 KiB more, synced", &mut syncs(data.path()));
    let house = BeingHouse::open(data.path(), "").await;
    house.create(ID, None).await;
    let newest_fifth = grow(&house, memories).await;
    well(&house).await;
    quiet().await;
    at_rest(&house).await;
    among_some(&house, newest_fifth).await;
    println!("  {:44} {:>9} MiB", "memory", resident() / 1024 / 1024);
    size(&house.folder(ID));
    house.close().await;

    let house = BeingHouse::open(data.path(), "").await;
    house.recall(ID, Speech::new(8).question()).await;
    quiet().await;
    println!("  woken again");
    among_some(&house, newest_fifth).await;
    house.close().await;

    let house = BeingHouse::open(data.path(), "").await;
    std::fs::remove_dir_all(house.folder(ID).join("vectors")).unwrap();
    anew(&house).await;
    among_some(&house, newest_fifth).await;
    line("the disk again", &mut syncs(data.path()));
    house.close().await;
}

/// It is told one thing after the other, and asked now and then; when the newest fifth of it began.
async fn grow(house: &BeingHouse, memories: usize) -> Timestamp {
    let is_over = AtomicBool::new(false);
    let telling = async {
        let mut speech = Speech::new(1);
        let (began, mut times) = (Instant::now(), Vec::new());
        let mut newest_fifth = Timestamp::now();
        for number in 0..memories {
            if number == memories - memories / 5 {
                newest_fifth = Timestamp::now();
            }
            times.push(timed(house.remember(ID, speech.sentence())).await.0);
        }
        is_over.store(true, Ordering::SeqCst);
        println!("  told in {:.1} s, one after the other", began.elapsed().as_secs_f64());
        lines("remember", &mut times);
        newest_fifth
    };
    let (newest_fifth, mut recalls) = tokio::join!(telling, asking(house, &is_over, 2));
    lines("recall", &mut recalls);
    newest_fifth
}

/// Of all, and of those that came last.
fn lines(what: &str, times: &mut [Duration]) {
    // Before they are put in the order of how long they took.
    let mut last = times[times.len() - times.len() / 10..].to_vec();
    line(&format!("{what}, as they come"), times);
    line(&format!("{what}, the last tenth"), &mut last);
}

async fn at_rest(house: &BeingHouse) {
    let mut speech = Speech::new(3);
    let (mut recalls, mut remembers) = (Vec::new(), Vec::new());
    for _ in 0..ASKED {
        recalls.push(timed(house.recall(ID, speech.question())).await.0);
        remembers.push(timed(house.remember(ID, speech.sentence())).await.0);
    }
    line("recall, at rest", &mut recalls);
    line("remember, at rest", &mut remembers);
}

/// With nothing told, among those of a kind, of which all are, and the newest fifth; in turn with all.
async fn among_some(house: &BeingHouse, newest_fifth: Timestamp) {
    let mut speech = Speech::new(7);
    let (mut all, mut of_a_kind, mut newest) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ASKED_AMONG_SOME {
        let question = speech.question();
        let any = RecallMemories { question, ..RecallMemories::default() };
        let kind = RecallMemories { kinds: vec![MemoryKind::Note], ..any.clone() };
        let newer = RecallMemories { from: Some(newest_fifth), ..any.clone() };
        for (recall, times) in [(any, &mut all), (kind, &mut of_a_kind), (newer, &mut newest)] {
            times.push(timed(house.recall_of(ID, recall)).await.0);
        }
    }
    line("recall, with nothing told", &mut all);
    line("recall of a kind, with nothing told", &mut of_a_kind);
    line("recall of the newest fifth, with nothing told", &mut newest);
}

/// It has lost its index, and is told and asked until that is made anew.
async fn anew(house: &BeingHouse) {
    let is_over = AtomicBool::new(false);
    let began = Instant::now();
    // It wakes, and finds nothing.
    let first = timed(house.recall(ID, Speech::new(4).question())).await.0;
    println!("  {:44} {:>9.1} ms", "woken and first recall, with no index", millis(first));
    let telling = async {
        let mut speech = Speech::new(5);
        let mut times = Vec::new();
        while !is_over.load(Ordering::SeqCst) {
            times.push(timed(house.remember(ID, speech.sentence())).await.0);
            tokio::time::sleep(PAUSE).await;
        }
        times
    };
    let waiting = async {
        well(house).await;
        is_over.store(true, Ordering::SeqCst);
    };
    let ((), mut remembers, mut recalls) =
        tokio::join!(waiting, telling, asking(house, &is_over, 6));
    println!("  made anew in {:.1} s", began.elapsed().as_secs_f64());
    line("remember, while it is made anew", &mut remembers);
    line("recall, while it is made anew", &mut recalls);
    quiet().await;
    at_rest(house).await;
}

async fn asking(house: &BeingHouse, is_over: &AtomicBool, seed: u64) -> Vec<Duration> {
    let mut speech = Speech::new(seed);
    let mut times = Vec::new();
    while !is_over.load(Ordering::SeqCst) {
        times.push(timed(house.recall(ID, speech.question())).await.0);
        tokio::time::sleep(PAUSE).await;
    }
    times
}

/// Waits until its index has all that it should.
async fn well(house: &BeingHouse) {
    while !house.ask(&being(ID), AskHealth {}).await.is_well {
        tokio::time::sleep(PAUSE).await;
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
