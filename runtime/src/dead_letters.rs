//! Letters that reached nobody, kept so that somebody can look.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use genii_protocols::{Destination, Fault, Rejection, Sender, Timestamp};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::link::sending::in_short;
use crate::mail::NAME_KEPT_LEN;
use crate::node::Node;

/// How many are kept.
pub const DEAD_LETTERS_KEPT: usize = 1_000;

/// A message that nobody waits to hear about and nobody handled.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    /// When it was given up.
    pub at: Timestamp,
    /// Where it should have gone.
    pub to: Destination,
    /// Who sent it, when an agent did.
    pub from: Option<Arc<Sender>>,
    /// The message's wire name. Its content is not kept: it may be a secret.
    pub message: Cow<'static, str>,
    /// Why it was not handled.
    pub fault: Fault,
}

/// Where a message goes that an agent took on and of which nothing came, if nobody waits to hear so. Dropped
/// before it is known what came of it, as when the life ends, it makes a dead letter of it as well.
pub struct Grave {
    node: Node,
    /// The agent.
    to: Destination,
    /// Who sent the message, when an agent did.
    from: Option<Arc<Sender>>,
    /// The message's wire name.
    message: &'static str,
    is_open: bool,
}

impl Grave {
    pub(crate) fn new(
        node: Node,
        to: Destination,
        from: Option<Arc<Sender>>,
        message: &'static str,
    ) -> Self {
        Self { node, to, from, message, is_open: true }
    }

    /// Makes a dead letter of the message.
    pub fn bury(mut self, fault: impl FnOnce(Destination) -> Fault) {
        let fault = fault(self.to.clone());
        self.fill(fault);
    }

    /// Something came of the message.
    pub fn close(mut self) {
        self.is_open = false;
    }

    fn fill(&mut self, fault: Fault) {
        self.is_open = false;
        let (to, from) = (self.to.clone(), self.from.take());
        self.node.dead_letters().add(to, from, self.message, fault);
    }
}

impl Drop for Grave {
    fn drop(&mut self) {
        if self.is_open {
            let (to, message) = (self.to.clone(), self.message.to_owned());
            self.fill(Fault::Rejected { to, message, reason: Rejection::Unanswered });
        }
    }
}

/// The last dead letters of a node.
#[derive(Debug, Default)]
pub struct DeadLetters {
    kept: Mutex<VecDeque<Arc<DeadLetter>>>,
    /// How many there have been. Changed with `kept` locked, so that each has a number.
    total: AtomicU64,
    /// Wakes those who wait for the next.
    added: Notify,
}

impl DeadLetters {
    /// The last ones, oldest first, at most `limit`.
    pub fn tail(&self, limit: usize) -> Vec<Arc<DeadLetter>> {
        let kept = self.kept.lock();
        kept.iter().skip(kept.len().saturating_sub(limit)).cloned().collect()
    }

    /// How many there have been.
    pub fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// The oldest that is kept of those after the first `seen`, and its number: the first of all has the
    /// number 1, and those in between are kept no longer.
    pub fn first_after(&self, seen: u64) -> Option<(u64, Arc<DeadLetter>)> {
        let kept = self.kept.lock();
        let gone = self.total() - kept.len() as u64;
        let place = usize::try_from(seen.saturating_sub(gone)).ok()?;
        let letter = kept.get(place)?.clone();
        Some((gone + place as u64 + 1, letter))
    }

    /// As [`DeadLetters::first_after`]; waits until there is one.
    pub async fn next_after(&self, seen: u64) -> (u64, Arc<DeadLetter>) {
        loop {
            let added = self.added.notified();
            tokio::pin!(added);
            // Enlisted before the look, so that one that comes between the two is not missed.
            added.as_mut().enable();
            if let Some(next) = self.first_after(seen) {
                return next;
            }
            added.await;
        }
    }

    pub(crate) fn add(
        &self,
        to: Destination,
        from: Option<Arc<Sender>>,
        message: impl Into<Cow<'static, str>>,
        fault: Fault,
    ) {
        let message = message.into();
        self.push(DeadLetter { at: Timestamp::now(), to, from, message, fault });
    }

    /// Keeps one that was given up elsewhere. Anybody may have written it: of its texts no more is kept than
    /// travels in a fault.
    pub fn keep(&self, letter: DeadLetter) {
        let name = crate::logbook::cut(&letter.message, NAME_KEPT_LEN).to_owned();
        let fault = in_short(letter.fault);
        self.push(DeadLetter { message: name.into(), fault, ..letter });
    }

    fn push(&self, letter: DeadLetter) {
        let mut kept = self.kept.lock();
        self.total.fetch_add(1, Ordering::Relaxed);
        if kept.len() == DEAD_LETTERS_KEPT {
            kept.pop_front();
        }
        kept.push_back(Arc::new(letter));
        drop(kept);
        self.added.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use genii_protocols::Address;

    use super::*;

    /// One that somebody far away has written.
    fn letter(message: &str) -> DeadLetter {
        let to = Destination::from(Address::parse("desk/nobody").unwrap());
        let message = message.to_owned();
        let after = Duration::from_secs(1).into();
        let fault = Fault::Timeout { to: to.clone(), message: message.clone(), after };
        DeadLetter { at: Timestamp::now(), to, from: None, message: message.into(), fault }
    }

    #[test]
    fn each_has_a_number_and_those_before_the_last_are_kept_no_longer() {
        let letters = DeadLetters::default();
        let next = |seen| {
            let next = letters.first_after(seen);
            next.map(|(number, letter)| (number, letter.message.to_string()))
        };
        assert_eq!(next(0), None);
        (1..=DEAD_LETTERS_KEPT + 2).for_each(|number| letters.keep(letter(&number.to_string())));
        let last = DEAD_LETTERS_KEPT as u64 + 2;
        assert_eq!(next(0), Some((3, "3".to_owned())));
        assert_eq!(next(3), Some((4, "4".to_owned())));
        assert_eq!(next(last - 1), Some((last, last.to_string())));
        assert_eq!((next(last), next(u64::MAX)), (None, None));
    }

    #[test]
    fn of_the_texts_of_one_from_elsewhere_the_beginning_is_kept() {
        let letters = DeadLetters::default();
        letters.keep(letter(&"a long name ".repeat(100_000)));
        let (_, kept) = letters.first_after(0).unwrap();
        assert!(kept.message.starts_with("a long name "), "{}", kept.message);
        let len = kept.message.len() + kept.fault.to_string().len();
        assert!(len < 10_000, "{len} bytes");
    }
}
