//! The way from here to who takes a message.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use genii_protocols::frame::Standing;
use genii_protocols::{Address, Fault, NodeName};

use super::Mail;
use crate::cluster::{Cluster, Far};
use crate::directory::{Line, Slot, State};
use crate::link::sending::{Coming, Link, Window};

/// The way to who takes a message.
pub(super) enum Way {
    /// To a life here.
    Near(Arc<Line>),
    /// To another node.
    Far(Arc<FarWay>),
}

/// The way to an address on another node.
pub(super) struct FarWay {
    pub(super) link: Arc<Link>,
    /// The address there, or that of a stand-in.
    pub(super) window: Arc<Window>,
    /// The edition of the ways from here in which it was found.
    edition: u64,
    /// Whether the node was about to leave by then, and nobody else takes its messages.
    is_draining: bool,
}

/// The way to another node as it was found last.
#[derive(Default)]
pub(super) struct Remembered(ArcSwapOption<FarWay>);

impl Clone for Remembered {
    fn clone(&self) -> Self {
        Self(ArcSwapOption::new(self.0.load_full()))
    }
}

impl Mail {
    /// The way to another node that was found last, if it is still right.
    pub(super) fn remembered(&self) -> Option<Arc<FarWay>> {
        let known = self.remembered.0.load();
        let far = known.as_ref()?;
        let is_right = far.edition == self.node.directory().edition() && !far.link.is_over();
        is_right.then(|| far.clone())
    }

    /// The way to who takes messages now, here or on another node.
    pub(super) fn way(&self) -> Result<Way, Box<Fault>> {
        if let Some(slot) = self.slot.get()
            && let State::Open(line) = &**slot.state()
            && !self.node.directory().is_draining()
        {
            return Ok(Way::Near(line.clone()));
        }
        let Some(cluster) = self.node.cluster() else { return self.line().map(Way::Near) };
        if let Some(far) = self.remembered() {
            return Ok(Way::Far(far));
        }
        self.find_way(cluster)
    }

    /// As [`Mail::way`], for a question: a node that is about to leave waits for who asks by it.
    pub(super) fn way_to_ask(&self) -> Result<(Way, Option<Coming>), Box<Fault>> {
        let mut way = self.way()?;
        loop {
            let Way::Far(far) = &way else { return Ok((way, None)) };
            if far.is_draining {
                // Nobody waits for who asks all the same.
                return Ok((way, None));
            }
            let coming = far.link.coming();
            if !far.link.is_draining() {
                return Ok((way, Some(coming)));
            }
            // It has said meanwhile that it is about to leave, and may not wait any more.
            let Some(cluster) = self.node.cluster() else { return Ok((way, Some(coming))) };
            way = self.find_way(cluster)?;
        }
    }

    fn find_way(&self, cluster: &Cluster) -> Result<Way, Box<Fault>> {
        let edition = self.node.directory().edition();
        let far = |node: &NodeName, address: &Address| {
            let link = cluster.link(node).ok_or_else(|| self.unreachable(node.clone()))?;
            // Before it is decided whether somebody else is asked.
            let is_draining = link.is_draining();
            let window = link.window(address).map_err(|_| self.unreachable(node.clone()))?;
            Ok(FarWay { link, window, edition, is_draining })
        };
        let pinned = self.to.node.as_ref().filter(|node| *node != self.node.name());
        let address = &self.to.address;
        if let Some(node) = pinned {
            return far(node, address).map(|far| self.remember(far));
        }
        let slot = self.node.directory().find(address);
        if let Some(home) = slot.as_ref().and_then(|slot| slot.home()) {
            // Where it lives elsewhere, and is not to be had there, somebody may stand in.
            let stands = cluster.find(address).filter(|far| far.node == *home);
            let way = far(&home, address);
            if stands.is_some_and(|far| takes(cluster, &far)) && way.is_ok() {
                return way.map(|far| self.remember(far));
            }
            if let Ok(stand_in) = self.line() {
                return Ok(Way::Near(stand_in));
            }
            let stand_in = slot.as_ref().and_then(|slot| handed_over(cluster, slot));
            let stand_in = stand_in.and_then(|(node, address)| far(&node, &address).ok());
            return stand_in.map_or(way, Ok).map(|far| Way::Far(Arc::new(far)));
        }
        let Some(slot) = slot else {
            // Nobody here has the address: another node may have told of it.
            return match cluster.find(address) {
                Some(there) => far(&there.node, address).map(|far| self.remember(far)),
                None => self.line().map(Way::Near),
            };
        };
        if self.to.node.is_none()
            && self.node.directory().is_draining()
            && let Some((node, address)) = handed_over(cluster, &slot)
            && let Ok(stand_in) = far(&node, &address)
        {
            return Ok(Way::Far(Arc::new(stand_in)));
        }
        // Where it is down here, its stand-in may live elsewhere.
        self.line().map(Way::Near).or_else(|fault| {
            let stand_in = slot.stand_in_elsewhere();
            let way = stand_in.and_then(|(node, address)| far(&node, &address).ok());
            way.map(|far| Way::Far(Arc::new(far))).ok_or(fault)
        })
    }

    fn remember(&self, far: FarWay) -> Way {
        let far = Arc::new(far);
        self.remembered.0.store(Some(far.clone()));
        Way::Far(far)
    }
}

/// Whether an agent of another node takes messages, and goes on doing so.
fn takes(cluster: &Cluster, far: &Far) -> bool {
    let stays = |link: Arc<Link>| !link.is_draining();
    matches!(far.standing, Standing::Ready | Standing::Degraded)
        && cluster.link(&far.node).is_some_and(stays)
}

/// The stand-in on another node that takes the messages of an agent whose node is about to leave.
fn handed_over(cluster: &Cluster, slot: &Slot) -> Option<(NodeName, Address)> {
    let (node, address) = slot.stand_in_elsewhere()?;
    let stands = cluster.find(&address).filter(|far| far.node == node)?;
    takes(cluster, &stands).then_some((node, address))
}
