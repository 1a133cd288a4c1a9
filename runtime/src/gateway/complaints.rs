//! What is written down of those who are turned away, of whom there may be any number: the first, and
//! then how many more there were.

use std::fmt::Display;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// How many are written down one by one in a period.
const LINES_MAX: u64 = 10;

/// How long that is.
const PERIOD: Duration = Duration::from_secs(60);

/// Who was turned away of late.
pub(super) struct Complaints(Mutex<Period>);

struct Period {
    began: Instant,
    /// How many there were in it.
    count: u64,
}

impl Default for Complaints {
    fn default() -> Self {
        Self(Mutex::new(Period { began: Instant::now(), count: 0 }))
    }
}

impl Complaints {
    /// Somebody was turned away.
    pub(super) fn add(&self, from: &str, why: impl Display) {
        self.look();
        if self.is_told() {
            tracing::info!(%from, "a client was turned away: {why}");
        }
    }

    /// Says how many more there were, when a period is over.
    pub(super) fn look(&self) {
        if let Some(more) = self.untold() {
            tracing::info!("{more} more clients were turned away within {PERIOD:?}");
        }
    }

    /// Counts one, and says whether it is to be told by itself.
    fn is_told(&self) -> bool {
        let mut period = self.0.lock();
        period.count += 1;
        period.count <= LINES_MAX
    }

    /// How many were not told, if a period is over.
    fn untold(&self) -> Option<u64> {
        let mut period = self.0.lock();
        if period.began.elapsed() < PERIOD {
            return None;
        }
        let over = std::mem::replace(&mut *period, Period { began: Instant::now(), count: 0 });
        over.count.checked_sub(LINES_MAX).filter(|more| *more > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_are_told_and_the_others_counted() {
        let complaints = Complaints::default();
        let told = |times: u64| (0..times).filter(|_| complaints.is_told()).count() as u64;
        assert_eq!(told(LINES_MAX + 7), LINES_MAX);
        assert_eq!(complaints.untold(), None);
        tokio::time::advance(PERIOD).await;
        assert_eq!(complaints.untold(), Some(7));
        assert_eq!(told(3), 3);
        tokio::time::advance(PERIOD).await;
        assert_eq!(complaints.untold(), None);
    }
}
