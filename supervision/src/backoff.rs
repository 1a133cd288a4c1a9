//! How long to wait before a restart, and how many restarts are too many.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::spec::{Backoff, Intensity};

impl Backoff {
    /// The wait before the `attempt`th restart, counted from zero. `chance` is between 0 and 1.
    ///
    /// Never above the cap: jitter only shortens. (Full waits shortened by chance spread as well as
    /// longer ones, and the cap stays a promise.)
    pub fn wait(&self, attempt: u32, chance: f64) -> Duration {
        let grown = self.first.as_secs_f64() * self.factor.powi(attempt.min(1_000) as i32);
        let full = grown.min(self.cap.as_secs_f64());
        let wait = full * (1.0 - self.jitter * chance.clamp(0.0, 1.0));
        // Where the arithmetic has no answer, as for nothing times infinity, the cap holds.
        Duration::try_from_secs_f64(wait).unwrap_or(self.cap)
    }
}

/// Counts restarts within a window.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    /// When the restarts within the window were, oldest first. Never more than the intensity.
    spent: VecDeque<Instant>,
}

impl Budget {
    /// Records a restart at `now` if it can be borne; says whether it can.
    pub(crate) fn admit(&mut self, intensity: Intensity, now: Instant) -> bool {
        while self.spent.front().is_some_and(|&at| now.duration_since(at) > intensity.window) {
            self.spent.pop_front();
        }
        let admitted = self.spent.len() < intensity.restarts as usize;
        if admitted {
            self.spent.push_back(now);
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_cap_and_never_beyond() {
        let backoff = Backoff {
            first: Duration::from_millis(100),
            factor: 2.0,
            cap: Duration::from_secs(1),
            jitter: 0.5,
        };
        let full: Vec<u128> = (0..6).map(|n| backoff.wait(n, 0.0).as_millis()).collect();
        assert_eq!(full, [100, 200, 400, 800, 1000, 1000]);
        assert_eq!(backoff.wait(3, 1.0), Duration::from_millis(400));
        assert_eq!(backoff.wait(u32::MAX, 0.0), Duration::from_secs(1));
    }

    #[test]
    fn a_budget_forgets_what_lies_before_its_window() {
        let intensity = Intensity { restarts: 2, window: Duration::from_secs(1) };
        let start = Instant::now();
        let mut budget = Budget::default();
        assert!(budget.admit(intensity, start));
        assert!(budget.admit(intensity, start));
        assert!(!budget.admit(intensity, start + Duration::from_secs(1)));
        assert!(budget.admit(intensity, start + Duration::from_millis(1001)));
    }

    #[test]
    fn no_restart_is_borne_at_intensity_zero() {
        let intensity = Intensity { restarts: 0, window: Duration::from_secs(1) };
        assert!(!Budget::default().admit(intensity, Instant::now()));
    }
}
