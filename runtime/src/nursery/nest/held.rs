//! Those that are held back, and when they are tried again.
//!
//! Whoever could not start is made anew, as things are set by then: what was in its way may be
//! mended, or have passed. Nobody tells when it is, and so that is tried when somebody speaks to it, but
//! not for each who does. Until then it is held back, and says why: that nobody has spoken to it for a while is
//! no sign that anything is better.
//!
//! | it is held back since | a message makes it anew |
//! |---|---|
//! | it could not start, or not in time | after [`TRIED_AGAIN_AFTER`] |
//! | it cannot start as it is | after [`TRIED_AGAIN_AFTER`] |
//! | it failed again and again | never |

use std::sync::Arc;
use std::time::Duration;

use genii_protocols::Address;
use genii_supervision::FailureKind;
use tokio::time::Instant;

use super::{All, Nest};
use crate::node::Node;

/// How long one that could not start is held back at least, however often it is spoken to: its store
/// may be damaged, and is looked over whenever it is tried.
const TRIED_AGAIN_AFTER: Duration = Duration::from_secs(10);

/// How one is held back.
pub(super) struct Held {
    since: Instant,
    /// How it failed last.
    kind: FailureKind,
}

impl Held {
    /// It is held back from now on, as it has failed so.
    pub(super) fn now(kind: FailureKind) -> Self {
        Self { since: Instant::now(), kind }
    }

    /// Whether it is made anew if somebody speaks to it now.
    fn may_be_tried(&self) -> bool {
        let could_not_start = matches!(
            self.kind,
            FailureKind::Start | FailureKind::StartTimeout | FailureKind::Refused
        );
        could_not_start && self.since.elapsed() >= TRIED_AGAIN_AFTER
    }
}

impl Nest {
    /// Somebody comes for one that takes no messages. If it is held back, and has been for a while, it
    /// is made anew, and what comes waits for that.
    pub(crate) fn try_again(self: &Arc<Self>, address: &Address) {
        let Some(node) = self.node.upgrade() else { return };
        let mut stirring = self.stirring.lock();
        let it = stirring.get(address).filter(|it| it.is_awake() && !it.is_kept);
        let is_due = it.and_then(|it| it.held.as_ref()).is_some_and(Held::may_be_tried);
        if is_due && !self.is_full(&stirring) {
            self.let_go(&node, &mut stirring, address);
        }
    }

    /// One that has no life is taken from its supervisor. What comes from now on is for its next.
    pub(super) fn let_go(self: &Arc<Self>, node: &Node, stirring: &mut All<'_>, address: &Address) {
        self.put_doorstep(&node.directory().claim(address));
        self.send_off(stirring, address);
    }
}
