//! A node at the other end that is about to leave, and those who ask it meanwhile.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Link;
use crate::link::questions::Mark;

impl Link {
    /// Counts an asker from here on. Whether the other end has said by then that it is about to
    /// leave is known after this, and not before.
    pub(crate) fn coming(self: &Arc<Self>) -> Coming {
        // In one order with what is looked at when the other end is about to leave.
        self.coming.fetch_add(1, Ordering::SeqCst);
        Coming(self.clone())
    }

    /// Whether the other end is about to leave.
    pub(crate) fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::SeqCst)
    }

    /// The other end is about to leave. Whether that was not known before.
    pub(crate) fn drains(&self) -> bool {
        !self.is_draining.swap(true, Ordering::SeqCst)
    }

    /// Whether anybody counts as [coming](Link::coming).
    pub(crate) fn is_anybody_coming(&self) -> bool {
        self.coming.load(Ordering::SeqCst) > 0
    }

    /// Tells what is asked from now on from what was asked before.
    pub(crate) fn mark(&self) -> Mark {
        self.questions.mark()
    }

    /// Whether an answer is still waited for that was asked before a mark.
    pub(crate) fn waits_for_any_before(&self, mark: Mark) -> bool {
        self.questions.any_before(mark)
    }
}

/// Somebody who is about to ask, or waits for an answer.
pub(crate) struct Coming(Arc<Link>);

impl Drop for Coming {
    fn drop(&mut self) {
        self.0.coming.fetch_sub(1, Ordering::SeqCst);
    }
}
