//! Whole clusters of three to seven nodes in one process, on a simulated network and the paused
//! clock, to which everything happens that a script says. Scripts are made from seeds.
//!
//! `SEEDS=n` runs so many; `SEED=n` runs that one alone and writes down all that happened in it;
//! with `SHRINK=1` it leaves out first whatever the failure does not need.

#![allow(clippy::unwrap_used)]

mod agent;
mod bounds;
mod check;
mod company;
mod garbage;
mod greeting;
mod linking;
mod log;
mod machine;
mod raw;
mod run;
mod script;
mod streams;
mod watching;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::log::Log;
use crate::run::Run;
use crate::script::Script;

/// How many seeds are tried unless `SEEDS` says otherwise.
const SEEDS: u64 = 24;

/// Runs a script on a thread and a clock of its own.
fn run(seed: u64, script: &Script) -> Log {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build();
    runtime.unwrap().block_on(Run::of(seed, script))
}

pub(crate) fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().expect("it is a number"))
}

/// The fewest operations of a script that still fail, as far as leaving some out finds them.
fn shrink(seed: u64, mut script: Script) -> Script {
    std::panic::set_hook(Box::new(|_| {}));
    let mut size = script.ops.len();
    while size > 0 {
        let mut begin = 0;
        while begin < script.ops.len() {
            let mut less = script.clone();
            less.ops.drain(begin..(begin + size).min(less.ops.len()));
            match catch_unwind(AssertUnwindSafe(|| run(seed, &less))) {
                Ok(_) => begin += size,
                Err(_) => script = less,
            }
        }
        size /= 2;
    }
    let _printing_again = std::panic::take_hook();
    script
}

/// Runs the script of a seed; if it fails, says which and how it went.
fn try_seed(seed: u64) -> Log {
    let mut script = Script::of(seed);
    if variable("SHRINK").is_some() {
        script = shrink(seed, script);
    }
    let tried = catch_unwind(AssertUnwindSafe(|| run(seed, &script)));
    tried.unwrap_or_else(|panic| {
        eprintln!("SEED={seed} fails, with {} nodes:", script.nodes);
        for op in &script.ops {
            eprintln!("    {op:?},");
        }
        std::panic::resume_unwind(panic)
    })
}

#[test]
fn clusters_keep_their_word_whatever_happens() {
    if let Some(seed) = variable("SEED") {
        for event in try_seed(seed).trace() {
            println!("{event}");
        }
        return;
    }
    let (next, count) = (AtomicU64::new(0), variable("SEEDS").unwrap_or(SEEDS));
    let failed = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(seed) =
                    Some(next.fetch_add(1, Ordering::Relaxed)).filter(|it| *it < count)
                {
                    if catch_unwind(|| try_seed(seed)).is_err() {
                        failed.lock().push(seed);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner();
    assert!(failed.is_empty(), "these seeds fail: {failed:?}");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in [3, 14, 15] {
        let (one, other) = (try_seed(seed).trace(), try_seed(seed).trace());
        for (number, (one, other)) in one.iter().zip(&other).enumerate() {
            assert_eq!(one, other, "seed {seed}, event {number}");
        }
        assert_eq!(one.len(), other.len());
    }
}
