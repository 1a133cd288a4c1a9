//! What this node holds for the sake of others, in numbers.

use std::sync::atomic::Ordering;

use genii_protocols::NodeName;

use super::{Cluster, Inner};
use crate::link::lane::End;

/// What a node holds for the sake of others. All of it is bounded; what does not return to where it
/// was, when all is quiet, is a leak.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Links that are up.
    pub links: usize,
    /// Callers who were welcomed and whose data lane has not come yet.
    pub half_open: usize,
    /// Lanes of others that are being greeted.
    pub greetings: usize,
    /// Asks of agents on other nodes that wait for their answers.
    pub questions: usize,
    /// Receivers on other nodes that something was sent to, on the links that are up.
    pub receivers: usize,
    /// What was sent to them and may not have been handled, as they count it: about 1 for a small
    /// message. They tell in steps, so that up to a quarter of the bound may be left for each.
    pub unheard: usize,
    /// Addresses that other nodes have told of.
    pub addresses: usize,
    /// How many lanes of others were not taken because so many were being greeted, or so many callers
    /// had been welcomed whose data lanes had not come.
    pub turned_away: u64,
    /// How often somebody was dropped whose words made no sense.
    pub nonsense: u64,
}

impl Cluster {
    /// What this node holds for the sake of others now.
    pub fn figures(&self) -> Figures {
        let peers = self.0.peers.read();
        let links = peers.values().filter_map(|peer| peer.state.lock().link.clone());
        let mut figures = Figures {
            half_open: self.0.half_open.lock().len(),
            greetings: self.0.greeted.lock().values().sum(),
            turned_away: self.0.turned_away.load(Ordering::Relaxed),
            addresses: self.0.claims.len(),
            nonsense: self.0.nonsense.load(Ordering::Relaxed),
            ..Figures::default()
        };
        for link in links.filter(|link| !link.is_over()) {
            figures.links += 1;
            figures.questions += link.questions();
            figures.receivers += link.receivers();
            figures.unheard += link.unheard().iter().map(|(_, cost)| *cost as usize).sum::<usize>();
        }
        figures
    }
}

impl Inner {
    /// A node was dropped; counts it if what it said made no sense.
    pub(super) fn heard_nonsense(&self, node: &NodeName, end: &End) {
        let End::Nonsense(_) = end else { return };
        self.nonsense.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(%node, "is dropped: {end}");
        if let Some(peer) = self.peers.read().get(node) {
            peer.state.lock().nonsense += 1;
        }
    }
}
