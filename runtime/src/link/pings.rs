//! The pings of one end of a link, and which of them the other end has answered.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use genii_protocols::frame::Control;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::lane;
use super::outbox::NotWritten;
use super::sending::Link;

/// Each has a number: when it was sent, in microseconds since the link began, and above all before it.
pub(crate) struct Pings {
    began: Instant,
    /// The number of the last that was sent.
    sent: Mutex<u64>,
    /// The greatest number that was answered.
    answered: AtomicU64,
}

impl Pings {
    pub(crate) fn begin() -> Self {
        Self { began: Instant::now(), sent: Mutex::default(), answered: AtomicU64::new(0) }
    }

    fn new_number(&self) -> u64 {
        let mut sent = self.sent.lock();
        *sent = self.now().max(sent.saturating_add(1));
        *sent
    }

    /// One was answered; how long that took.
    pub(crate) fn answered(&self, number: u64) -> Duration {
        // What was not sent yet cannot be answered.
        self.answered.fetch_max(number.min(*self.sent.lock()), Ordering::AcqRel);
        Duration::from_micros(self.now().saturating_sub(number))
    }

    /// Whether one was answered, or one after it.
    pub(crate) fn has_answered(&self, number: u64) -> bool {
        self.answered.load(Ordering::Acquire) >= number
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

impl Link {
    /// Asks the other end for a sign of life, and returns the number of that ping. What was told before is known
    /// there when it is answered.
    pub(crate) fn ping(&self) -> Result<u64, NotWritten> {
        // Numbered where no other is written in between, so that the numbers go as the pings do.
        self.control.write(|buffer| {
            let number = self.pings.new_number();
            let _it_has_a_form = lane::put(buffer, &Control::Ping(number));
            number
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_answer_counts_for_the_pings_before_it_and_for_none_after_it() {
        let pings = Pings::begin();
        let [first, second] = [pings.new_number(), pings.new_number()];
        assert!(!pings.has_answered(first));
        pings.answered(first);
        assert!(pings.has_answered(first));
        assert!(!pings.has_answered(second), "also if both were sent in one microsecond");
        tokio::time::advance(Duration::from_millis(7)).await;
        let third = pings.new_number();
        tokio::time::advance(Duration::from_millis(5)).await;
        assert_eq!(pings.answered(third), Duration::from_millis(5));
        assert!(pings.has_answered(second));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_to_what_was_never_sent_counts_for_nothing_to_come() {
        let pings = Pings::begin();
        let first = pings.new_number();
        assert_eq!(pings.answered(u64::MAX), Duration::ZERO);
        assert!(pings.has_answered(first));
        assert!(!pings.has_answered(pings.new_number()));
    }
}
