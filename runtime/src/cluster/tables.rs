//! What each node tells the others that it has: for which patterns there are subscribers, and which
//! agents are in which groups.
//!
//! A new link is told all of it, and from then on each change. What is told is how a thing stands at
//! the moment in which it is written, so that nothing older comes after it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use genii_protocols::frame::{Control, Joined, Told, Wanted};
use genii_protocols::{Address, Name, Pattern};

use super::{Cluster, Inner};
use crate::groups::Membership;
use crate::heard::TooMany;
use crate::link::lane::{self, End};
use crate::link::outbox::NotWritten;
use crate::link::sending::Link;
use crate::node::Node;

/// Of how many things one frame tells.
const THINGS_IN_FRAME: usize = 200;

/// A kind of things that nodes tell of.
trait Table: 'static {
    /// What a thing is known by.
    type Key: Clone + Send + Sync;

    /// All that there is here.
    fn all(node: &Node) -> Vec<Self::Key>;

    /// How some of it stands here.
    fn frame(node: &Node, told: Told, keys: &[Self::Key]) -> Control<'static>;
}

struct Patterns;

impl Table for Patterns {
    type Key = Pattern;

    fn all(node: &Node) -> Vec<Pattern> {
        node.topics().wanted()
    }

    fn frame(node: &Node, told: Told, patterns: &[Pattern]) -> Control<'static> {
        node.topics().frame(told, patterns)
    }
}

struct Groups;

impl Table for Groups {
    type Key = Membership;

    fn all(node: &Node) -> Vec<Membership> {
        node.groups().own()
    }

    fn frame(node: &Node, told: Told, memberships: &[Membership]) -> Control<'static> {
        node.groups().frame(node.name(), told, memberships)
    }
}

impl Cluster {
    /// There are more or fewer subscribers here for these patterns.
    pub(crate) fn wanted_changed(&self, patterns: &[Pattern]) {
        tell::<Patterns>(&self.0, patterns);
    }

    /// Agents here have joined or left groups.
    pub(crate) fn groups_changed(&self, memberships: &[Membership]) {
        tell::<Groups>(&self.0, memberships);
    }
}

/// Tells all how some things stand.
fn tell<T: Table>(cluster: &Arc<Inner>, keys: &[T::Key]) {
    let Some(node) = cluster.node.upgrade() else { return };
    for peer in cluster.peers.read().values() {
        let Some(link) = peer.state.lock().link.clone() else { continue };
        for keys in keys.chunks(THINGS_IN_FRAME) {
            let frame = || T::frame(&node, Told::News, keys);
            let written = link.control.write(|buffer| lane::put(buffer, &frame()));
            if matches!(written, Err(NotWritten::Full)) {
                // One who has no room is told of everything anew when it has.
                link.is_behind.store(true, Ordering::Release);
            }
        }
    }
}

/// Tells one of everything.
pub(super) fn tell_all(cluster: &Arc<Inner>, node: &Node, link: &Arc<Link>) {
    let (inner, node, link) = (cluster.clone(), node.clone(), link.clone());
    cluster.spawn(async move {
        tell_table::<Patterns>(&inner, &node, &link).await;
        tell_table::<Groups>(&inner, &node, &link).await;
    });
}

async fn tell_table<T: Table>(cluster: &Inner, node: &Node, link: &Link) {
    // Numbers of links grow from life to life of a node.
    let round = cluster.new_link();
    // Begun before it is known what there is, so that what comes meanwhile is in it as well.
    write::<T>(node, link, Told::First(round), &[]).await;
    for keys in T::all(node).chunks(THINGS_IN_FRAME) {
        write::<T>(node, link, Told::News, keys).await;
    }
    write::<T>(node, link, Told::Last(round), &[]).await;
}

/// Writes how some things stand, as soon as there is room.
async fn write<T: Table>(node: &Node, link: &Link, told: Told, keys: &[T::Key]) {
    let frame = || T::frame(node, told, keys);
    while let Err(NotWritten::Full) = link.control.write(|buffer| lane::put(buffer, &frame())) {
        link.control.room().await;
    }
}

/// Another node tells for which patterns it has subscribers.
pub(super) fn hear_patterns(
    cluster: &Inner,
    link: &Link,
    told: Told,
    patterns: &[Wanted<'_>],
) -> Result<(), End> {
    let Some(node) = cluster.node.upgrade() else { return Ok(()) };
    let read = |wanted: &Wanted<'_>| {
        let pattern = Pattern::parse(&wanted.pattern).map_err(End::nonsense)?;
        Ok((pattern, wanted.subscribers))
    };
    let patterns = patterns.iter().map(read).collect::<Result<Vec<_>, End>>()?;
    let heard = node.topics().hear(link, told, patterns);
    heard.map_err(|TooMany(max)| End::nonsense(format_args!("more than {max} patterns")))
}

/// Another node tells which of its agents are in which groups.
pub(super) fn hear_groups(
    cluster: &Inner,
    link: &Link,
    told: Told,
    members: &[Joined<'_>],
) -> Result<(), End> {
    let Some(node) = cluster.node.upgrade() else { return Ok(()) };
    let read = |joined: &Joined<'_>| {
        let group = Name::new(&joined.group).map_err(End::nonsense)?;
        let address = Address::parse(&joined.address).map_err(End::nonsense)?;
        Ok(((group, (address, joined.incarnation)), joined.times))
    };
    let members = members.iter().map(read).collect::<Result<Vec<_>, End>>()?;
    let heard = node.groups().hear(link, told, members);
    heard.map_err(|TooMany(max)| End::nonsense(format_args!("more than {max} memberships")))
}

/// A link is lost: what its other end had is gone. What was published to it and may not have come is
/// written down.
pub(super) fn forget(cluster: &Inner, link: &Link, undistributed: u32) {
    let Some(node) = cluster.node.upgrade() else { return };
    node.topics().forget(&link.peer);
    node.groups().forget(&link.peer);
    if undistributed > 0 {
        let text = format!(
            "up to {undistributed} publications may not have come to it, fewer if they were large"
        );
        cluster.note(&link.peer, link.incarnation, &text);
    }
}
