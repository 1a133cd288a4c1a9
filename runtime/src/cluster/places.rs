//! Where nodes are: those that a node has met, it introduces to each other.

use std::sync::Arc;
use std::time::Duration;

use genii_protocols::NodeName;
use genii_protocols::frame::{Control, NAME_MAX_LEN, Place};
use tokio::time::Instant;

use super::{Inner, Peer};
use crate::link::lane;
use crate::link::sending::Link;

/// How many other nodes are known at most; of more nothing is heard.
const MEMBERS_MAX: usize = 256;

/// How many nodes may be called of which others have told alone, and that were never linked.
const HEARSAY_MAX: usize = 64;

/// For how long such a node is called. One that is there is linked by then, and one that comes later
/// calls itself.
const HEARSAY_PATIENCE: Duration = Duration::from_secs(600);

/// How many places of one node are passed on.
const PLACES_MAX: usize = 8;

/// How many nodes one frame tells of.
const NODES_IN_FRAME: usize = 32;

/// A node has been linked: it is told where the others are, and the others where it is.
pub(super) fn introduce(cluster: &Arc<Inner>, link: &Arc<Link>) {
    let others = cluster.peers.read().keys().filter(|node| **node != link.peer).cloned().collect();
    say(cluster, link, others);
    tell_others(cluster, &link.peer, &link.peer);
}

/// Hears where other nodes are. What a node says of itself counts for more: this is heeded of those
/// alone of which nothing is known.
pub(super) fn hear(cluster: &Arc<Inner>, from: &NodeName, places: &[Place<'_>]) {
    for place in places {
        let Ok(node) = NodeName::new(&place.node) else { continue };
        let is_known = node == cluster.name || !cluster.network.places_of(&node).is_empty();
        if is_known || cluster.peers.read().len() >= MEMBERS_MAX {
            continue;
        }
        let short = place.places.iter().filter(|place| place.len() <= NAME_MAX_LEN);
        let told: Vec<String> = short.take(PLACES_MAX).map(ToString::to_string).collect();
        if told.is_empty() {
            continue;
        }
        let peers: Vec<_> = cluster.peers.read().values().cloned().collect();
        let is_hearsay = |peer: &&Arc<Peer>| peer.state.lock().heard_of.is_some();
        if peers.iter().filter(is_hearsay).count() >= HEARSAY_MAX {
            tracing::debug!(%node, %from, "of too many is only heard");
            continue;
        }
        tracing::info!(%node, %from, "is heard of");
        cluster.network.hear(&node, &told);
        let peer = cluster.peer(&node);
        peer.state.lock().heard_of = Some(Instant::now());
        peer.changed.notify_waiters();
        tell_others(cluster, &node, from);
    }
}

/// Whether a node is not called any more: others have told of it, and it was never there. It is
/// forgotten.
pub(super) fn gives_up(cluster: &Inner, peer: &Arc<Peer>) -> bool {
    let mut peers = cluster.peers.write();
    let state = peer.state.lock();
    let is_over = state.link.is_none()
        && state.heard_of.is_some_and(|heard_of| heard_of.elapsed() >= HEARSAY_PATIENCE);
    if is_over {
        peers.remove(&peer.name);
        cluster.network.forget(&peer.name);
    }
    is_over
}

/// Tells all but one where a node is.
fn tell_others(cluster: &Arc<Inner>, about: &NodeName, but: &NodeName) {
    let peers: Vec<_> = cluster.peers.read().values().cloned().collect();
    for peer in peers.iter().filter(|peer| peer.name != *about && peer.name != *but) {
        let link = peer.state.lock().link.clone();
        if let Some(link) = link {
            say(cluster, &link, vec![about.clone()]);
        }
    }
}

fn say(cluster: &Arc<Inner>, link: &Link, nodes: Vec<NodeName>) {
    let place = |node: &NodeName| {
        let places = cluster.network.places_of(node).into_iter().take(PLACES_MAX);
        let places: Vec<_> = places.filter(|place| place.len() <= NAME_MAX_LEN).collect();
        let node = node.to_string().into();
        (!places.is_empty())
            .then(|| Place { node, places: places.into_iter().map(Into::into).collect() })
    };
    let places: Vec<Place<'_>> = nodes.iter().filter_map(place).collect();
    for some in places.chunks(NODES_IN_FRAME) {
        let frame = Control::Places(some.to_vec());
        // No more than the nodes of a household, once for each.
        let _over = link.control.write_always(|buffer| lane::put(buffer, &frame));
    }
}
