//! Monitors and links: learning that a life has ended.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::directory::Line;
use crate::urgent::{Down, Urgent};

/// How many lives one agent may watch.
pub const WATCHES_MAX: usize = 1_024;

/// Names a watch, to end it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WatchId(pub(crate) u64);

impl WatchId {
    /// The same link as the other end holds it. Agents count up from one and never get that far.
    pub(crate) fn of_the_other(self) -> Self {
        Self(self.0 | 1 << 63)
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

/// Those who watch one address. Each is told once, of the end of the life that was there when it
/// began to watch.
#[derive(Default)]
pub(crate) struct Watchers {
    watchers: Mutex<Vec<Watcher>>,
}

struct Watcher {
    id: WatchId,
    bond: Bond,
    /// The watching life.
    line: Weak<Line>,
}

impl Watchers {
    pub(crate) fn add(&self, id: WatchId, bond: Bond, line: &Arc<Line>) {
        let mut watchers = self.watchers.lock();
        watchers.retain(|watcher| watcher.line.strong_count() > 0);
        watchers.push(Watcher { id, bond, line: Arc::downgrade(line) });
    }

    pub(crate) fn remove(&self, id: WatchId, line: &Arc<Line>) {
        let same = |watcher: &Watcher| {
            watcher.id == id && std::ptr::eq(watcher.line.as_ptr(), Arc::as_ptr(line))
        };
        self.watchers.lock().retain(|watcher| !same(watcher));
    }

    /// Tells all that the life they watched has ended.
    pub(crate) fn tell(&self, down: &Arc<Down>) {
        for watcher in std::mem::take(&mut *self.watchers.lock()) {
            let Some(line) = watcher.line.upgrade() else { continue };
            let news = match watcher.bond {
                Bond::Monitor => Urgent::Down(down.clone()),
                Bond::Link => Urgent::LinkDown(down.clone()),
            };
            if line.mailbox.push_urgent(news).is_err() {
                tracing::debug!(watcher = %line.identity.address, "ended before it could be told");
            }
        }
    }
}
