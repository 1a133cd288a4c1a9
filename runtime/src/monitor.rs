//! Monitors and links: learning that a life has ended.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::directory::Line;
use crate::link::sending::Link;
use crate::urgent::{Down, Urgent};

/// How many lives one agent may watch.
pub const WATCHES_MAX: usize = 1_024;

/// Names a watch, to end it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WatchId(pub(crate) u64);

/// Marks the other end of a link.
const OF_THE_OTHER: u64 = 1 << 63;

impl WatchId {
    /// The same link as the other end holds it. Agents count up from one and never get that far.
    pub(crate) fn of_the_other(self) -> Self {
        Self(self.0 | OF_THE_OTHER)
    }

    /// Whether it is the link as the end holds it that did not make it.
    pub(crate) fn is_of_the_other(self) -> bool {
        self.0 & OF_THE_OTHER != 0
    }
}

/// What the watcher wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bond {
    /// To be told.
    Monitor,
    /// To end too, if it was an abnormal end.
    Link,
}

impl Bond {
    /// What the watcher is told of the end.
    pub(crate) fn news(self, watch: WatchId, down: Arc<Down>) -> Urgent {
        match self {
            Self::Monitor => Urgent::Down(watch, down),
            Self::Link => Urgent::LinkDown(Some(watch), down),
        }
    }
}

/// Those who watch one address. Each is told once, of the end of the life that was there when it
/// began to watch.
#[derive(Default)]
pub(crate) struct Watchers {
    watchers: Mutex<Vec<Watcher>>,
}

enum Watcher {
    /// A life here.
    Near { id: WatchId, bond: Bond, line: Weak<Line> },
    /// A life at the other end of a link, which is told by it.
    Far { link: Weak<Link>, watch: u64, end: FarEnd },
}

/// At which end of a watch over a link a life here is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FarEnd {
    /// It is watched.
    Watched,
    /// It watches, and whom it watches is linked to it.
    Watcher,
}

impl Watchers {
    pub(crate) fn add(&self, id: WatchId, bond: Bond, line: &Arc<Line>) {
        self.enlist(Watcher::Near { id, bond, line: Arc::downgrade(line) });
    }

    pub(crate) fn add_far(&self, link: &Arc<Link>, watch: u64, end: FarEnd) {
        self.enlist(Watcher::Far { link: Arc::downgrade(link), watch, end });
    }

    fn enlist(&self, watcher: Watcher) {
        let mut watchers = self.watchers.lock();
        // Those that are gone make room before there is more of it, and not each time: there may be
        // very many, and then each would look at all.
        if watchers.len() == watchers.capacity() {
            watchers.retain(|watcher| match watcher {
                Watcher::Near { line, .. } => line.strong_count() > 0,
                Watcher::Far { link, .. } => link.upgrade().is_some_and(|link| !link.is_over()),
            });
            // And not with the next one again.
            let len = watchers.len();
            watchers.reserve(len);
        }
        watchers.push(watcher);
    }

    pub(crate) fn remove(&self, id: WatchId, line: &Arc<Line>) {
        let same = |watcher: &Watcher| match watcher {
            Watcher::Near { id: known, line: of, .. } => {
                *known == id && std::ptr::eq(of.as_ptr(), Arc::as_ptr(line))
            }
            Watcher::Far { .. } => false,
        };
        self.watchers.lock().retain(|watcher| !same(watcher));
    }

    /// Each end of a link numbers its own watches, so that a number alone does not tell which it is.
    pub(crate) fn remove_far(&self, link: &Arc<Link>, watch: u64, end: FarEnd) {
        let same = |watcher: &Watcher| match watcher {
            Watcher::Far { link: over, watch: known, end: at } => {
                (*known, *at) == (watch, end) && std::ptr::eq(over.as_ptr(), Arc::as_ptr(link))
            }
            Watcher::Near { .. } => false,
        };
        self.watchers.lock().retain(|watcher| !same(watcher));
    }

    /// Tells all that the life they watched has ended.
    pub(crate) fn tell(&self, down: &Arc<Down>) {
        let watchers = std::mem::take(&mut *self.watchers.lock());
        for watcher in watchers {
            match watcher {
                Watcher::Near { id, bond, line } => tell_near(&line, id, bond, down),
                Watcher::Far { link, watch, end } => {
                    if let Some(link) = link.upgrade() {
                        link.ended(watch, end, down);
                    }
                }
            }
        }
    }
}

fn tell_near(line: &Weak<Line>, id: WatchId, bond: Bond, down: &Arc<Down>) {
    let Some(line) = line.upgrade() else { return };
    if line.mailbox.push_urgent(bond.news(id, down.clone())).is_err() {
        tracing::debug!(watcher = %line.identity.address, "ended before it could be told");
    }
}
