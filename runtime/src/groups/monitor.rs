//! Watching a group.

use std::sync::Arc;

use genii_protocols::Name;

use super::GroupMember;
use crate::node::{Node, WeakNode};
use crate::ring::{Ring, Taken};

/// How many events wait for who watches a group. Then the oldest go.
pub const EVENTS_MAX: usize = 1_000;

/// What has happened to a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupEvent {
    /// This one is a member now. That it joins again is no event.
    Joined(GroupMember),
    /// This one is no member any more: it has left as often as it had joined, its life has ended, or
    /// its node is lost. It is in the group zero times.
    Left(GroupMember),
    /// So many events were lost, because they were not taken in time. Look at the members anew.
    Lost(u64),
}

/// Watches a group, until it is dropped.
pub struct GroupMonitor {
    node: WeakNode,
    group: Name,
    members: Vec<GroupMember>,
    ring: Arc<Ring<GroupEvent>>,
}

impl GroupMonitor {
    pub(super) fn new(
        node: &Node,
        group: Name,
        members: Vec<GroupMember>,
        ring: Arc<Ring<GroupEvent>>,
    ) -> Self {
        Self { node: node.downgrade(), group, members, ring }
    }

    /// The group.
    pub fn group(&self) -> &Name {
        &self.group
    }

    /// Who was in it when the watch began. What changed since comes as events.
    pub fn members(&self) -> &[GroupMember] {
        &self.members
    }

    /// The next event; `None` when the node has ended. Nothing is lost when the wait is given up.
    pub async fn next(&mut self) -> Option<GroupEvent> {
        self.ring.take().await.map(GroupEvent::from)
    }

    /// The next event, if there is one now.
    pub fn try_next(&mut self) -> Option<GroupEvent> {
        self.ring.try_take().map(GroupEvent::from)
    }
}

impl From<Taken<GroupEvent>> for GroupEvent {
    fn from(taken: Taken<GroupEvent>) -> Self {
        match taken {
            Taken::One(event) => event,
            Taken::Lost(lost) => Self::Lost(lost),
        }
    }
}

impl Drop for GroupMonitor {
    fn drop(&mut self) {
        let Some(node) = self.node.upgrade() else { return };
        let mut state = node.groups().0.lock();
        let Some(rings) = state.monitors.get_mut(&self.group) else { return };
        rings.retain(|ring| !Arc::ptr_eq(ring, &self.ring));
        if rings.is_empty() {
            state.monitors.remove(&self.group);
        }
        state.monitors_count -= 1;
    }
}
