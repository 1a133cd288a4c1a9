//! Watches over a link: a life at one end watches, or is linked to, a life at the other.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use genii_protocols::frame::Data;
use genii_protocols::{Address, Cause, CauseKind, NodeName};
use parking_lot::Mutex;

use super::lane::{self, End};
use super::sending::{Link, NotSent, short_cause};
use crate::directory::{Line, Slot};
use crate::monitor::{Bond, FarEnd, WatchId};
use crate::node::Node;
use crate::urgent::{Down, Urgent};

/// How many lives here the other end of a link may watch.
const WATCHES_MAX: usize = 1 << 16;

/// The watches of one link.
#[derive(Default)]
pub(super) struct Watching {
    next: AtomicU64,
    /// Those of lives here.
    ours: Mutex<HashMap<u64, Ours>>,
    /// Those of lives at the other end, by the number that it gave them.
    theirs: Mutex<HashMap<u64, Theirs>>,
}

/// A life here that watches one at the other end.
struct Ours {
    /// As its own agent calls it.
    id: WatchId,
    address: Address,
    bond: Bond,
    line: Weak<Line>,
}

/// A life here that is watched by one at the other end.
struct Theirs {
    slot: Arc<Slot>,
    linked: Option<Linked>,
}

/// A life here, and the one at the other end to which it is linked.
struct Linked {
    line: Weak<Line>,
    address: Address,
    incarnation: u64,
}

impl Watching {
    /// The link to a node is lost, and with it every life that was watched there.
    pub(super) fn end_all(&self, peer: &NodeName) {
        let why = format!("its node {peer} cannot be reached");
        let (ours, theirs) = (take(&self.ours), take(&self.theirs));
        for ours in ours.into_values() {
            ours.tell(0, Cause::new(CauseKind::Stopped, why.clone()), true);
        }
        for theirs in theirs.into_values() {
            theirs.tell(Cause::new(CauseKind::Stopped, why.clone()), true);
        }
    }
}

/// All of them, and lets go of the lock.
fn take<T>(watches: &Mutex<HashMap<u64, T>>) -> HashMap<u64, T> {
    std::mem::take(&mut *watches.lock())
}

impl Ours {
    fn tell(self, incarnation: u64, cause: Cause, is_abnormal: bool) {
        let Some(line) = self.line.upgrade() else { return };
        let down = Arc::new(Down { address: self.address, incarnation, cause, is_abnormal });
        push(&line, self.bond.news(self.id, down));
    }
}

impl Theirs {
    fn tell(self, cause: Cause, is_abnormal: bool) {
        let Some(Linked { line, address, incarnation }) = self.linked else { return };
        let Some(line) = line.upgrade() else { return };
        let down = Down { address, incarnation, cause, is_abnormal };
        push(&line, Urgent::LinkDown(None, Arc::new(down)));
    }
}

fn push(line: &Line, news: Urgent) {
    if line.mailbox.push_urgent(news).is_err() {
        tracing::debug!(watcher = %line.identity.address, "ended before it could be told");
    }
}

impl Link {
    /// Watches the life that is behind an address at the other end.
    ///
    /// # Errors
    /// When the link is over.
    pub(crate) fn watch(
        self: &Arc<Self>,
        id: WatchId,
        address: &Address,
        bond: Bond,
        watcher: &Arc<Line>,
    ) -> Result<u64, NotSent> {
        let to = self.number(address.as_str())?;
        let own = &watcher.identity;
        let from = match bond {
            Bond::Monitor => None,
            Bond::Link => Some((self.number(own.address.as_str())?, own.incarnation)),
        };
        let watch = self.watching.next.fetch_add(1, Ordering::Relaxed);
        let ours = Ours { id, address: address.clone(), bond, line: Arc::downgrade(watcher) };
        self.watching.ours.lock().insert(watch, ours);
        if bond == Bond::Link {
            watcher.slot.watchers.add_far(self, watch, FarEnd::Watcher);
        }
        self.say(&Data::Watch { watch, to, from });
        // Where the link has just ended, everybody else was told before this one was there.
        if self.is_over() && self.watching.ours.lock().remove(&watch).is_some() {
            watcher.slot.watchers.remove_far(self, watch, FarEnd::Watcher);
            return Err(NotSent::Lost);
        }
        Ok(watch)
    }

    /// Watches no longer.
    pub(crate) fn unwatch(self: &Arc<Self>, watch: u64, watcher: &Line) {
        watcher.slot.watchers.remove_far(self, watch, FarEnd::Watcher);
        if self.watching.ours.lock().remove(&watch).is_some() {
            self.say(&Data::Unwatch { watch });
        }
    }

    /// A life here has ended that is at this end of a watch.
    pub(crate) fn ended(&self, watch: u64, end: FarEnd, down: &Down) {
        let (cause, is_abnormal) = (Box::new(short_cause(down.cause.clone())), down.is_abnormal);
        match end {
            FarEnd::Watched => {
                self.watching.theirs.lock().remove(&watch);
                let incarnation = down.incarnation;
                self.say(&Data::Ended { watch, incarnation, cause, is_abnormal });
            }
            FarEnd::Watcher => {
                self.watching.ours.lock().remove(&watch);
                self.say(&Data::Broke { watch, cause, is_abnormal });
            }
        }
    }

    // What comes in.

    /// The other end watches an address here, for this life of its own if it is a link.
    pub(super) fn watched(
        self: &Arc<Self>,
        node: &Node,
        watch: u64,
        address: &Address,
        linked: Option<(Address, u64)>,
    ) -> Result<(), End> {
        let absent = |why: &str| {
            let cause = Box::new(Cause::new(CauseKind::Stopped, why));
            self.say(&Data::Ended { watch, incarnation: 0, cause, is_abnormal: true });
            Ok(())
        };
        let slot = node.directory().find(address);
        let found = slot.and_then(|slot| slot.line().map(|line| (slot, line)));
        let Some((slot, line)) = found else { return absent("there is no such life") };
        let linked = linked.map(|(address, incarnation)| {
            let line = Arc::downgrade(&line);
            Linked { line, address, incarnation }
        });
        {
            let mut theirs = self.watching.theirs.lock();
            if theirs.len() >= WATCHES_MAX {
                drop(theirs);
                return absent("its node is watched too often");
            }
            if theirs.contains_key(&watch) {
                return Err(End::nonsense(format_args!("the watch {watch} twice")));
            }
            theirs.insert(watch, Theirs { slot: slot.clone(), linked });
        }
        slot.watchers.add_far(self, watch, FarEnd::Watched);
        // It may have ended in between, and then nobody would tell.
        if slot.line().is_none() && self.watching.theirs.lock().remove(&watch).is_some() {
            slot.watchers.remove_far(self, watch, FarEnd::Watched);
            return absent("there is no such life");
        }
        Ok(())
    }

    /// The other end watches no longer.
    pub(super) fn unwatched(self: &Arc<Self>, watch: u64) {
        let Some(theirs) = self.watching.theirs.lock().remove(&watch) else { return };
        theirs.slot.watchers.remove_far(self, watch, FarEnd::Watched);
    }

    /// A life at the other end has ended that is watched here.
    pub(super) fn watched_ended(
        self: &Arc<Self>,
        watch: u64,
        incarnation: u64,
        cause: Cause,
        is_abnormal: bool,
    ) {
        let Some(ours) = self.watching.ours.lock().remove(&watch) else { return };
        if let Some(line) = ours.line.upgrade() {
            line.slot.watchers.remove_far(self, watch, FarEnd::Watcher);
        }
        ours.tell(incarnation, cause, is_abnormal);
    }

    /// A life at the other end has ended that is linked to one here.
    pub(super) fn watcher_ended(self: &Arc<Self>, watch: u64, cause: Cause, is_abnormal: bool) {
        let Some(theirs) = self.watching.theirs.lock().remove(&watch) else { return };
        theirs.slot.watchers.remove_far(self, watch, FarEnd::Watched);
        theirs.tell(cause, is_abnormal);
    }

    fn say(&self, frame: &Data<'_>) {
        let _over = self.data.write_always(|buffer| lane::put(buffer, frame));
    }
}
