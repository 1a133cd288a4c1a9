//! Those that are held back, and when they are tried again.
//!
//! Whoever could not start is made anew, as things are set by then: what was in its way may be
//! mended. Nobody tells when it is, and so that is tried when somebody speaks to it, but not for
//! each who does.
//!
//! | it is held back since | a message makes it anew | by itself it is let go |
//! |---|---|---|
//! | it could not start, or not in time | after [`TRIED_AGAIN_AFTER`] | after [`LET_GO_AFTER`] |
//! | it cannot start as it is | after [`TRIED_AGAIN_AFTER`] | never |
//! | it failed again and again | never | never |

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

/// How long one is held back that could not start for a reason that may pass by itself: by then there
/// may be room on the disk, or another process have let go of its file.
const LET_GO_AFTER: Duration = Duration::from_secs(60);

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
        let may_be_mended = self.may_pass() || self.kind == FailureKind::Refused;
        may_be_mended && self.since.elapsed() >= TRIED_AGAIN_AFTER
    }

    /// Whether it is held back no more, also if nobody speaks to it.
    fn is_over(&self) -> bool {
        self.may_pass() && self.since.elapsed() >= LET_GO_AFTER
    }

    fn may_pass(&self) -> bool {
        matches!(self.kind, FailureKind::Start | FailureKind::StartTimeout)
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

    /// Those wake at their next message whose reason may have passed.
    pub(super) fn let_go_of_held(self: &Arc<Self>, node: &Node, stirring: &mut All<'_>) {
        let held = stirring.iter().filter(|(_, it)| it.is_awake() && !it.is_kept);
        let over = held.filter(|(_, it)| it.held.as_ref().is_some_and(Held::is_over));
        let over: Vec<Address> = over.map(|(address, _)| address.clone()).collect();
        for address in over {
            self.let_go(node, stirring, &address);
        }
    }

    /// One that has no life is taken from its supervisor. What comes from now on is for its next.
    pub(super) fn let_go(self: &Arc<Self>, node: &Node, stirring: &mut All<'_>, address: &Address) {
        self.put_doorstep(&node.directory().claim(address));
        self.send_off(stirring, address);
    }
}
