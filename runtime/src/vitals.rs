//! What is counted about an agent, over all its lives.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// Buckets per doubling of the latency; a bucket is at most an eighth wider than its start.
const BUCKETS_PER_OCTAVE: usize = 8;

/// Doublings from half a microsecond to over an hour.
const OCTAVES: usize = 34;

/// What is counted about an agent. Only its host writes, but for what is owed, so little here is
/// contended.
#[derive(Debug, Default)]
pub(crate) struct Vitals {
    handled: AtomicU64,
    refused: AtomicU64,
    rejected: AtomicU64,
    expired: AtomicU64,
    failed: AtomicU64,
    /// When the handler that runs began, in nanoseconds since the node began; zero if none runs.
    busy_since: AtomicU64,
    /// Which entry of the protocol it is in.
    busy_with: AtomicU32,
    suspended: AtomicU32,
    /// When it last did something or answered, in nanoseconds since the node began.
    rests_since: AtomicU64,
    /// Questions that it has taken on for later, and what its tasks say that they are at.
    owed: AtomicUsize,
    /// How long handlers took; not there until the first has.
    latency: OnceLock<Box<Histogram>>,
}

/// How a message came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was answered.
    Handled,
    /// It was refused.
    Refused,
}

/// A reading of what is counted about an agent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    /// Messages answered.
    pub handled: u64,
    /// Messages refused.
    pub refused: u64,
    /// Messages that it does not know.
    pub rejected: u64,
    /// Messages whose deadline had passed when their turn came.
    pub expired: u64,
    /// Handlers that panicked.
    pub failed: u64,
    /// Letters that wait.
    pub depth: usize,
    /// Questions that were taken on and are to be answered later, streams that have not ended, and work
    /// that its tasks are at.
    pub owed: usize,
    /// How long half of the handlers took at most.
    pub p50: Option<Duration>,
    /// How long 99 of 100 handlers took at most.
    pub p99: Option<Duration>,
}

impl Vitals {
    pub(crate) fn begin(&self, nanos: u64, entry: usize) {
        self.busy_with.store(entry as u32, Ordering::Relaxed);
        self.busy_since.store(nanos.max(1), Ordering::Relaxed);
    }

    pub(crate) fn idle(&self) {
        self.busy_since.store(0, Ordering::Relaxed);
    }

    /// It has nothing to do since then, in nanoseconds since the node began.
    pub(crate) fn rest(&self, nanos: u64) {
        self.busy_since.store(0, Ordering::Relaxed);
        // What it answered later than it handled counts, too.
        if nanos > self.rests_since() {
            self.rests_since.store(nanos, Ordering::Relaxed);
        }
    }

    /// When it last did something or answered, in nanoseconds since the node began.
    pub(crate) fn rests_since(&self) -> u64 {
        self.rests_since.load(Ordering::Relaxed)
    }

    /// Whether it handles nothing, owes nothing, and is not held up.
    pub(crate) fn is_idle(&self) -> bool {
        !self.is_suspended() && self.has_begun_nothing()
    }

    /// Whether it is suspended, and has done what it had begun before: it does nothing until it is resumed.
    pub(crate) fn is_held_up(&self) -> bool {
        self.is_suspended() && self.has_begun_nothing()
    }

    fn has_begun_nothing(&self) -> bool {
        self.busy().is_none() && self.owed.load(Ordering::Acquire) == 0
    }

    pub(crate) fn end(&self, outcome: Outcome, took: Duration) {
        match outcome {
            Outcome::Handled => bump(&self.handled),
            Outcome::Refused => bump(&self.refused),
        }
        self.latency.get_or_init(Box::default).record(took);
    }

    pub(crate) fn reject(&self) {
        bump(&self.rejected);
    }

    pub(crate) fn expire(&self) {
        bump(&self.expired);
    }

    pub(crate) fn fail(&self) {
        bump(&self.failed);
    }

    /// Since when, in nanoseconds since the node began, and in which entry of its protocol.
    pub(crate) fn busy(&self) -> Option<(u64, usize)> {
        let since = self.busy_since.load(Ordering::Relaxed);
        (since > 0).then(|| (since, self.busy_with.load(Ordering::Relaxed) as usize))
    }

    pub(crate) fn set_suspended(&self, suspended: bool) {
        self.suspended.store(u32::from(suspended), Ordering::Relaxed);
    }

    pub(crate) fn is_suspended(&self) -> bool {
        self.suspended.load(Ordering::Relaxed) > 0
    }

    /// A question is taken on, to be answered later. When that is, in nanoseconds since the node began: it is
    /// the handler that runs which takes it on.
    pub(crate) fn owe(&self) -> u64 {
        self.owed.fetch_add(1, Ordering::Relaxed);
        match self.busy_since.load(Ordering::Relaxed) {
            0 => self.rests_since(),
            since => since,
        }
    }

    /// It was answered, or dropped, so many nanoseconds after the node began.
    pub(crate) fn settle(&self, nanos: u64) {
        // Before it counts no more, so that nobody finds it at rest since its handler ended.
        self.rests_since.fetch_max(nanos, Ordering::Relaxed);
        self.owed.fetch_sub(1, Ordering::Release);
    }

    pub(crate) fn read(&self, depth: usize) -> Counters {
        let quantile = |share| self.latency.get().and_then(|histogram| histogram.quantile(share));
        Counters {
            handled: self.handled.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            rejected: self.rejected.load(Ordering::Relaxed),
            expired: self.expired.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            depth,
            owed: self.owed.load(Ordering::Relaxed),
            p50: quantile(0.5),
            p99: quantile(0.99),
        }
    }
}

/// Adds one without a locked instruction: there is one writer.
fn bump(counter: &AtomicU64) {
    counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}

/// A histogram of durations with a bounded relative error, in about 1 KiB.
#[derive(Debug)]
pub(crate) struct Histogram {
    buckets: [AtomicU32; OCTAVES * BUCKETS_PER_OCTAVE],
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: std::array::from_fn(|_| AtomicU32::new(0)) }
    }
}

impl Histogram {
    pub(crate) fn record(&self, took: Duration) {
        let bucket = &self.buckets[bucket_of(took)];
        bucket.store(bucket.load(Ordering::Relaxed).saturating_add(1), Ordering::Relaxed);
    }

    /// The duration that this share of the recorded ones does not exceed.
    pub(crate) fn quantile(&self, share: f64) -> Option<Duration> {
        let counts: Vec<u64> =
            self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed).into()).collect();
        let total: u64 = counts.iter().sum();
        let rank = ((total as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        let reaches = |count: &u64| {
            seen += count;
            seen >= rank
        };
        (total > 0).then(|| counts.iter().position(reaches).map(end_of))?
    }
}

/// Durations count in units of 64 ns, so that the finest octave begins at half a microsecond.
fn bucket_of(took: Duration) -> usize {
    let units = (took.as_nanos() >> 6).min(u128::from(u64::MAX)) as u64;
    if units < BUCKETS_PER_OCTAVE as u64 {
        return units as usize;
    }
    let octave = units.ilog2() as usize - 2;
    let within = (units >> (octave - 1)) as usize & (BUCKETS_PER_OCTAVE - 1);
    (octave * BUCKETS_PER_OCTAVE + within).min(OCTAVES * BUCKETS_PER_OCTAVE - 1)
}

fn end_of(bucket: usize) -> Duration {
    let (octave, within) = (bucket / BUCKETS_PER_OCTAVE, (bucket % BUCKETS_PER_OCTAVE) as u64);
    let units = match octave {
        0 => within + 1,
        _ => (BUCKETS_PER_OCTAVE as u64 + within + 1) << (octave - 1),
    };
    Duration::from_nanos(units << 6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_at_most_an_eighth_too_high() {
        for nanos in
            [1, 500, 640, 999, 10_000, 123_456, 7_000_000, 1_000_000_000, 3_600_000_000_000]
        {
            let histogram = Histogram::default();
            let took = Duration::from_nanos(nanos);
            histogram.record(took);
            let read = histogram.quantile(0.99).unwrap();
            assert!(read >= took, "{took:?} read as {read:?}");
            let slack = (took / 8).max(Duration::from_nanos(128));
            assert!(read <= took + slack, "{took:?} read as {read:?}");
        }
    }

    #[test]
    fn quantiles_split_what_was_recorded() {
        let histogram = Histogram::default();
        for micros in 1..=100 {
            histogram.record(Duration::from_micros(micros));
        }
        let p50 = histogram.quantile(0.5).unwrap().as_micros();
        let p99 = histogram.quantile(0.99).unwrap().as_micros();
        assert!((50..57).contains(&p50), "{p50}");
        assert!((99..112).contains(&p99), "{p99}");
        assert_eq!(Histogram::default().quantile(0.5), None);
    }

    #[test]
    fn nothing_is_too_long_to_record() {
        let histogram = Histogram::default();
        histogram.record(Duration::MAX);
        assert!(histogram.quantile(1.0).is_some());
    }
}
