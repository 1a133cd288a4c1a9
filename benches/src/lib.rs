//! How the benchmarks measure: every contender in turn, again and again, in one process, and the
//! median of each. Machines are shared and noisy; ratios taken so are the figures that mean
//! something.

pub mod agents;
pub mod bare;
pub mod beings;
pub mod household;
pub mod provider;
pub mod speech;

use std::path::Path;
use std::time::{Duration, Instant};

/// How often each contender has its turn.
pub const ROUNDS: usize = 9;

/// Something that is measured: its name and a run of it.
pub struct Contender<'a> {
    /// What it is called in the table.
    pub name: &'static str,
    /// Runs it once, and says how long that took.
    pub run: Box<dyn FnMut() -> Duration + 'a>,
}

impl<'a> Contender<'a> {
    /// A contender of this name.
    pub fn new(name: &'static str, run: impl FnMut() -> Duration + 'a) -> Self {
        Self { name, run: Box::new(run) }
    }
}

/// Measures contenders in turn and prints their medians for each of `operations`, each beside the
/// first as a ratio of rates.
pub fn compare(title: &str, operations: u64, contenders: Vec<Contender<'_>>) -> Vec<Duration> {
    let mut contenders = contenders;
    let mut times = vec![Vec::with_capacity(ROUNDS); contenders.len()];
    for round in 0..=ROUNDS {
        for (contender, times) in contenders.iter_mut().zip(&mut times) {
            let took = (contender.run)();
            // The first round warms up.
            if round > 0 {
                times.push(took);
            }
        }
    }
    let medians: Vec<Duration> = times.into_iter().map(median).collect();
    println!("\n{title}");
    for (contender, took) in contenders.iter().zip(&medians) {
        let rate = operations as f64 / took.as_secs_f64();
        let ratio = medians[0].as_secs_f64() / took.as_secs_f64();
        let each = took.as_nanos() as f64 / operations as f64;
        println!("  {:34} {:>12.0}/s {:>9.0} ns each {:>7.2}x", contender.name, rate, each, ratio);
    }
    medians
}

/// The middle of some times.
pub fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// The time that this share of some times does not exceed.
pub fn quantile(times: &mut [Duration], share: f64) -> Duration {
    times.sort_unstable();
    let rank = (times.len() as f64 * share).ceil() as usize;
    times.get(rank.clamp(1, times.len().max(1)) - 1).copied().unwrap_or_default()
}

/// The memory that this process holds, in bytes.
pub fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("Rss:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}

/// Waits until this process does hardly anything: what it does behind everybody's back has ended.
pub async fn quiet() {
    /// Of a hundredth of a second of a core, in half a second.
    const FEW: u64 = 3;
    loop {
        let before = ticks();
        tokio::time::sleep(Duration::from_millis(500)).await;
        if ticks() - before <= FEW {
            return;
        }
    }
}

/// How much of the processor this process has used, in hundredths of a second of a core.
fn ticks() -> u64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = text.rsplit(')').next().unwrap_or_default().split_whitespace();
    // Those of its own and those of the system for it, which come after the state and ten others.
    fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum()
}

/// How long something takes, and what comes of it.
pub async fn timed<T>(work: impl Future<Output = T>) -> (Duration, T) {
    let began = Instant::now();
    let done = work.await;
    (began.elapsed(), done)
}

/// Prints the middle of some times, what all but one in a hundred stay below, and the longest.
pub fn line(what: &str, times: &mut [Duration]) {
    let mut millis = |share| quantile(times, share).as_secs_f64() * 1e3;
    let (half, most, max) = (millis(0.5), millis(0.99), millis(1.0));
    let count = times.len();
    println!("  {what:44} p50 {half:>8.2} ms  p99 {most:>8.2} ms  max {max:>8.2} ms  of {count}");
}

/// Prints what a folder takes on the disk.
///
/// # Panics
/// When it can't be read.
pub fn size(folder: &Path) {
    let (mut files, mut bytes, mut folders) = (0, 0, vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("it can be read") {
            let entry = entry.expect("it can be read");
            let about = entry.metadata().expect("it can be looked at");
            if about.is_dir() {
                folders.push(entry.path());
            } else {
                files += 1;
                bytes += about.len();
            }
        }
    }
    println!("  {:44} {:>9} KiB in {files} files", "on the disk", bytes / 1024);
}
