//! Where addresses are: which this node knows, and which were declared to live on other nodes.

use std::sync::Arc;

use genii_protocols::{Address, NodeName};
use genii_supervision::{Key, Status};

use super::Node;
use crate::cluster::Cluster;
use crate::link::sending::Link;

impl Node {
    /// Makes an address known, with who stands in for it while it is down.
    pub fn declare(&self, address: &Address, fallback: Option<&Address>, home: Option<&NodeName>) {
        let (key, board) = (Key::from(address.shared()), &self.0.tree.board);
        let home = home.filter(|home| **home != self.0.name);
        // Nothing is learnt of it between the look and what is written.
        let mut claims = self.cluster().map(Cluster::changing);
        self.0.directory.claim(address).set_home(home);
        if let Some(claims) = &mut claims {
            claims.home_is(address, home);
        }
        match home {
            None => board.declare(&key),
            Some(home) => {
                let fallback = fallback.map(|fallback| Key::from(fallback.shared()));
                let why = format!("it lives on {home}, which is not connected");
                board.declare_elsewhere(&key, fallback.as_ref(), why);
                if let Some(claims) = &claims {
                    // It is waited for, as others are; or known already.
                    let (incarnation, status) = claims.stands(address, home);
                    self.0.tree.stand_elsewhere(&key, incarnation, status);
                }
            }
        }
        drop(claims);
        self.set_fallback(address, fallback);
        self.0.directory.ways_changed();
    }

    /// Says who stands in for an address while it is down; nothing if the address is not known.
    pub(crate) fn set_fallback(&self, address: &Address, fallback: Option<&Address>) {
        if let Some(slot) = self.0.directory.find(address) {
            slot.set_stand_in(fallback.map(|fallback| self.0.directory.claim(fallback)));
            self.0.directory.ways_changed();
            // Of those that live here their supervisors say it.
            let fallback = fallback.map(|fallback| Key::from(fallback.shared()));
            let key = Key::from(address.shared());
            self.0.tree.fall_back_elsewhere(&key, fallback.as_ref());
        }
    }

    /// Takes back what was declared, and has no supervisor any more that would.
    pub(crate) fn undeclare(&self, address: &Address) {
        if self.0.tree.board.undeclare(&Key::from(address.shared())) {
            self.forget(address);
        }
    }

    /// Forgets an address, and all that is known of it.
    pub(super) fn forget(&self, address: &Address) {
        self.0.directory.forget(address);
        self.forget_beside(address);
    }

    /// Forgets what is known of an address beside the way to it.
    pub(super) fn forget_beside(&self, address: &Address) {
        if let Some(cluster) = self.cluster() {
            cluster.changing().home_is(address, None);
        }
        self.0.logbook.forget(address);
    }

    /// Whether an address was declared to live on another node.
    pub(crate) fn lives_elsewhere(&self, address: &Address) -> bool {
        self.0.directory.find(address).is_some_and(|slot| slot.home().is_some())
    }

    /// The other node where an address was declared to live, if it was.
    pub(crate) fn home_of(&self, address: &Address) -> Option<NodeName> {
        self.0.directory.find(address).and_then(|slot| slot.home()).map(|home| (*home).clone())
    }

    /// The other node where an address is, as far as is known, and the link to it if there is one.
    pub(crate) fn elsewhere(&self, address: &Address) -> Option<(NodeName, Option<Arc<Link>>)> {
        let cluster = self.cluster()?;
        let home = match self.0.directory.find(address) {
            Some(slot) => (*slot.home()?).clone(),
            None => cluster.find(address)?.node.clone(),
        };
        let link = cluster.link(&home);
        Some((home, link))
    }

    /// All addresses that were declared to live on other nodes, by name, with their nodes.
    pub(crate) fn declared_elsewhere(&self) -> Vec<(Address, NodeName)> {
        let slots = self.0.directory.all().into_iter();
        let homes = slots.filter_map(|slot| Some((slot.address.clone(), (*slot.home()?).clone())));
        let mut homes: Vec<(Address, NodeName)> = homes.collect();
        homes.sort_unstable();
        homes
    }

    /// An agent of another node stands so. It matters here if it was declared.
    pub(crate) fn stands_elsewhere(
        &self,
        address: &Address,
        node: &NodeName,
        incarnation: u64,
        status: Status,
    ) {
        let slot = self.0.directory.find(address);
        let home = slot.and_then(|slot| slot.home());
        if home.is_some_and(|home| *home == *node) {
            self.0.tree.stand_elsewhere(&Key::from(address.shared()), incarnation, status);
        }
    }
}
