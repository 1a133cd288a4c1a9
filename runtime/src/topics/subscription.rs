//! A subscription of code that reads from it; and what ends any subscription.

use std::sync::Arc;

use super::Publication;
use crate::node::{Node, WeakNode};
use crate::ring::{Ring, Taken};

/// Names a subscription on its node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscriptionId(pub(super) u64);

/// A subscription. It ends when it is dropped.
pub struct Subscription {
    ring: Arc<Ring<Arc<Publication>>>,
    _subscribed: Subscribed,
}

/// What a subscriber hears.
#[derive(Debug)]
pub enum Heard {
    /// Something that was published.
    Published(Arc<Publication>),
    /// So many publications were lost here, because they were not taken in time. They came before
    /// what is heard next.
    Lost(u64),
}

impl Subscription {
    pub(super) fn new(ring: Arc<Ring<Arc<Publication>>>, subscribed: Subscribed) -> Self {
        Self { ring, _subscribed: subscribed }
    }

    /// What is heard next; `None` when the node has ended. Nothing is lost when the wait is given up.
    pub async fn next(&mut self) -> Option<Heard> {
        self.ring.take().await.map(Heard::from)
    }

    /// What was heard already, if anything was.
    pub fn try_next(&mut self) -> Option<Heard> {
        self.ring.try_take().map(Heard::from)
    }
}

impl From<Taken<Arc<Publication>>> for Heard {
    fn from(taken: Taken<Arc<Publication>>) -> Self {
        match taken {
            Taken::One(publication) => Self::Published(publication),
            Taken::Lost(lost) => Self::Lost(lost),
        }
    }
}

/// Ends a subscription when it is dropped.
pub(crate) struct Subscribed {
    node: WeakNode,
    pub(crate) id: SubscriptionId,
}

impl Subscribed {
    pub(super) fn new(node: &Node, id: SubscriptionId) -> Self {
        Self { node: node.downgrade(), id }
    }
}

impl Drop for Subscribed {
    fn drop(&mut self) {
        if let Some(node) = self.node.upgrade() {
            node.unsubscribe(self.id);
        }
    }
}
