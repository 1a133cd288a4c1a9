//! A node that is about to leave says so first, and the others stop asking what has a stand-in.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use genii_protocols::frame::{Control, DRAINING_SINCE};

use super::{Cluster, Inner};
use crate::link::lane;
use crate::link::questions::Mark;
use crate::link::sending::Link;
use crate::node::Node;

/// What was asked of other nodes until a moment.
pub(crate) struct Asked(Vec<(Arc<Link>, Mark)>);

/// How often to look whether an answer is still waited for.
const SETTLED_LOOK: Duration = Duration::from_millis(5);

impl Cluster {
    /// Tells all others that this node is about to leave. Returns what was asked of them before.
    pub(crate) fn tell_draining(&self) -> Asked {
        let links = self.linked();
        let told = |link: Arc<Link>| {
            tell(&link);
            let mark = link.mark();
            (link, mark)
        };
        Asked(links.into_iter().map(told).collect())
    }

    /// How many others have not said yet that they wait for no answer of this node, or owe one to
    /// it that was `asked`.
    pub(crate) fn unsettled(&self, asked: &Asked) -> usize {
        let owes = |link: &Arc<Link>| {
            let mark = asked.0.iter().find(|(asked, _)| Arc::ptr_eq(asked, link));
            mark.is_some_and(|(link, mark)| link.waits_for_any_before(*mark))
        };
        let waits = |link: &Arc<Link>| !link.is_settled.load(Ordering::Acquire) || owes(link);
        self.linked().iter().filter(|link| waits(link)).count()
    }

    /// The links that are up.
    pub(super) fn linked(&self) -> Vec<Arc<Link>> {
        let peers = self.0.peers.read();
        let links = peers.values().filter_map(|peer| peer.state.lock().link.clone());
        links.filter(|link| !link.is_over()).collect()
    }
}

/// One that does not understand it goes on asking, and is not waited for.
fn tell(link: &Link) {
    if link.version < DRAINING_SINCE {
        return link.is_settled.store(true, Ordering::Release);
    }
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
        // Those who had found the way before, and then what they and others have asked until now.
        // What has no stand-in is still asked, and not waited for here: that might never end.
        while link.is_anybody_coming() && !link.is_over() {
            tokio::time::sleep(SETTLED_LOOK).await;
        }
        let mark = link.mark();
        while link.waits_for_any_before(mark) && !link.is_over() {
            tokio::time::sleep(SETTLED_LOOK).await;
        }
        link.settle();
    });
}
