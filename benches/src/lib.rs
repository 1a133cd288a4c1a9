//! How the benchmarks measure: every contender in turn, again and again, in one process, and the
//! median of each. Machines are shared and noisy; ratios taken so are the figures that mean
//! something.

pub mod agents;
pub mod household;

use std::time::Duration;

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
