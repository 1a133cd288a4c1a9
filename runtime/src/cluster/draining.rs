//! A node that is about to leave says so first, and the others stop asking what has a stand-in.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use genii_protocols::frame::Control;

use super::{Cluster, Inner};
use crate::link::lane;
use crate::link::sending::Link;
use crate::node::Node;

/// How often to look whether an answer is still waited for.
const SETTLED_LOOK: Duration = Duration::from_millis(5);

impl Cluster {
    /// Tells all others that this node is about to leave.
    pub(crate) fn tell_draining(&self) {
        for link in self.linked() {
            tell(&link);
        }
    }

    /// How many others have not said yet that they wait for no answer of this node, or owe one to
    /// it.
    pub(crate) fn unsettled(&self) -> usize {
        let waits = |link: &Arc<Link>| !link.is_settled.load(Ordering::Acquire) || !link.is_idle();
        self.linked().iter().filter(|link| waits(link)).count()
    }

    fn linked(&self) -> Vec<Arc<Link>> {
        let peers = self.0.peers.read();
        let links = peers.values().filter_map(|peer| peer.state.lock().link.clone());
        links.filter(|link| !link.is_over()).collect()
    }
}

fn tell(link: &Link) {
    let _over = link.control.write_always(|buffer| lane::put(buffer, &Control::Draining));
}

/// Tells one that was linked just now, if this node is about to leave.
pub(super) fn tell_newcomer(node: &Node, link: &Link) {
    if node.directory().is_draining() {
        tell(link);
    }
}

/// Another node is about to leave. It is told when nothing here waits for it any more: what is asked
/// from now on goes to stand-ins, and what was asked before is answered, or is late, in its time.
pub(super) fn heed(cluster: &Arc<Inner>, link: &Arc<Link>) {
    let Some(node) = cluster.node.upgrade() else { return };
    if !link.drains() {
        return;
    }
    node.directory().ways_changed();
    cluster.note(&link.peer, link.incarnation, "is about to leave");
    let link = link.clone();
    cluster.spawn(async move {
        while !link.is_idle() && !link.is_over() {
            tokio::time::sleep(SETTLED_LOOK).await;
        }
        let _over = link.control.write_always(|buffer| lane::put(buffer, &Control::Settled));
    });
}
