//! Letters that reached nobody, kept so that somebody can look.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use genii_protocols::{Destination, Fault, Rejection, Sender, Timestamp};
use parking_lot::Mutex;

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
#[derive(Default)]
pub struct DeadLetters {
    kept: Mutex<VecDeque<Arc<DeadLetter>>>,
    total: AtomicU64,
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

    pub(crate) fn add(
        &self,
        to: Destination,
        from: Option<Arc<Sender>>,
        message: impl Into<Cow<'static, str>>,
        fault: Fault,
    ) {
        let message = message.into();
        self.total.fetch_add(1, Ordering::Relaxed);
        let letter = DeadLetter { at: Timestamp::now(), to, from, message, fault };
        let mut kept = self.kept.lock();
        if kept.len() == DEAD_LETTERS_KEPT {
            kept.pop_front();
        }
        kept.push_back(Arc::new(letter));
    }
}
