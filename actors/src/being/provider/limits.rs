//! How many questions and tokens a being may use in a minute.
//!
//! Two buckets that fill as time goes by and hold a minute's worth at most: after a pause a minute's
//! worth may be used at once, and never more. Tokens are guessed when a question is asked and counted
//! when it is answered; a guess that was too low is made up for by the next question's wait.

use std::time::Duration;

use tokio::time::Instant;

/// About how many bytes of text make a token, for want of a better count.
const BYTES_PER_TOKEN: usize = 4;

/// About how many tokens a text has.
pub(super) fn tokens_in(text: &str) -> u32 {
    u32::try_from(text.len().div_ceil(BYTES_PER_TOKEN)).unwrap_or(u32::MAX)
}

/// What may be used in a minute.
#[derive(Debug)]
pub(super) struct Limits {
    requests: Option<Bucket>,
    tokens: Option<Bucket>,
}

/// Why a question may not be asked now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum LimitReached {
    /// Not yet.
    For {
        /// The setting.
        name: &'static str,
        /// How much it is.
        limit: u32,
        /// How long it will be so.
        wait: Duration,
    },
    /// Not at all: it takes more than the limit.
    ForGood {
        /// How many tokens it takes.
        tokens: u32,
        /// How many may be used in a minute.
        limit: u32,
    },
}

impl Limits {
    pub(super) fn new(requests: Option<u32>, tokens: Option<u32>, now: Instant) -> Self {
        let bucket = |limit| Bucket { limit, level: f64::from(limit), filled_at: now };
        Self { requests: requests.map(bucket), tokens: tokens.map(bucket) }
    }

    /// Takes a question of so many tokens out, or nothing at all.
    pub(super) fn admit(&mut self, now: Instant, tokens: u32) -> Result<(), LimitReached> {
        if let Some(limit) = self.tokens.as_ref().map(|bucket| bucket.limit)
            && tokens > limit
        {
            return Err(LimitReached::ForGood { tokens, limit });
        }
        wait_for(&mut self.requests, "requests_per_minute", 1, now)?;
        wait_for(&mut self.tokens, "tokens_per_minute", tokens, now)?;
        take(&mut self.requests, 1.0);
        take(&mut self.tokens, f64::from(tokens));
        Ok(())
    }

    /// Takes out what an answer took beyond what was thought; puts back what it did not take.
    pub(super) fn settle(&mut self, thought: u32, taken: u32) {
        take(&mut self.tokens, f64::from(taken) - f64::from(thought));
    }
}

fn wait_for(
    bucket: &mut Option<Bucket>,
    name: &'static str,
    amount: u32,
    now: Instant,
) -> Result<(), LimitReached> {
    let Some(bucket) = bucket else { return Ok(()) };
    bucket.fill(now);
    let lacking = f64::from(amount) - bucket.level;
    if lacking <= 0.0 {
        return Ok(());
    }
    let wait = Duration::from_secs_f64(lacking / bucket.per_second());
    Err(LimitReached::For { name, limit: bucket.limit, wait })
}

fn take(bucket: &mut Option<Bucket>, amount: f64) {
    if let Some(bucket) = bucket {
        bucket.level = (bucket.level - amount).min(f64::from(bucket.limit));
    }
}

#[derive(Debug)]
struct Bucket {
    /// What it holds at most, and what flows in within a minute.
    limit: u32,
    /// What is in it; below zero when more was taken than was thought.
    level: f64,
    filled_at: Instant,
}

impl Bucket {
    fn per_second(&self) -> f64 {
        f64::from(self.limit) / 60.0
    }

    fn fill(&mut self, now: Instant) {
        let since = now.saturating_duration_since(self.filled_at).as_secs_f64();
        self.level = (self.level + since * self.per_second()).min(f64::from(self.limit));
        self.filled_at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(reached: Result<(), LimitReached>) -> Duration {
        match reached {
            Err(LimitReached::For { wait, .. }) => wait,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_minutes_worth_may_be_used_at_once_and_no_more() {
        let start = Instant::now();
        let mut limits = Limits::new(Some(3), None, start);
        (0..3).for_each(|_| limits.admit(start, 1_000_000).unwrap());
        assert_eq!(wait(limits.admit(start, 1)), Duration::from_secs(20));
        limits.admit(start + Duration::from_secs(20), 1).unwrap();
        let later = start + Duration::from_secs(86_400);
        (0..3).for_each(|_| limits.admit(later, 1).unwrap());
        assert!(
            limits.admit(later, 1).is_err(),
            "a long pause fills no more than a minute's worth"
        );
    }

    #[test]
    fn what_was_guessed_too_low_is_made_up_for() {
        let start = Instant::now();
        let mut limits = Limits::new(None, Some(600), start);
        limits.admit(start, 100).unwrap();
        limits.settle(100, 1_100);
        // 500 below zero, and 10 flow in each second.
        assert_eq!(wait(limits.admit(start, 100)), Duration::from_secs(60));
        limits.admit(start + Duration::from_secs(60), 100).unwrap();
        limits.settle(100, 0);
        limits.admit(start + Duration::from_secs(60), 100).unwrap();
    }

    #[test]
    fn what_can_never_be_is_said_at_once() {
        let start = Instant::now();
        let mut limits = Limits::new(Some(1), Some(10), start);
        let never = LimitReached::ForGood { tokens: 11, limit: 10 };
        assert_eq!(limits.admit(start, 11), Err(never));
        limits.admit(start, 10).unwrap();
    }

    #[test]
    fn who_is_refused_takes_nothing() {
        let start = Instant::now();
        let mut limits = Limits::new(Some(2), Some(10), start);
        limits.admit(start, 8).unwrap();
        assert_eq!(wait(limits.admit(start, 8)), Duration::from_secs(36));
        limits.admit(start, 2).unwrap();
    }

    #[test]
    fn tokens_are_guessed_from_the_length() {
        assert_eq!((tokens_in(""), tokens_in("a"), tokens_in("twelve bytes")), (0, 1, 3));
    }
}
