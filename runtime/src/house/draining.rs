//! Letting what runs finish before the house shuts down.

use std::time::Duration;

use genii_protocols::Address;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::House;
use crate::cluster::{Asked, Cluster};

/// How often to look what still runs.
const DRAIN_LOOK: Duration = Duration::from_millis(20);

/// How many looks in a row must find nothing, so that what was just being handed on is seen.
const QUIET_LOOKS: u32 = 3;

/// What is not finished on a node that is about to leave.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unfinished {
    /// The agents that are in a handler, have messages waiting, or owe an answer, by address.
    pub agents: Vec<Address>,
    /// How many other nodes wait for an answer of this one, or owe one to it.
    pub nodes: usize,
}

impl Unfinished {
    /// Whether all is finished.
    pub fn is_nothing(&self) -> bool {
        self.agents.is_empty() && self.nodes == 0
    }
}

impl House {
    /// Hands over to stand-ins on other nodes what is asked from now on, there and here, and lets
    /// what was asked before finish. Agents without a stand-in elsewhere go on being asked. Returns
    /// what is not finished when so much time has passed; nothing is stopped yet. `progress` is
    /// told what is unfinished each time that it is something else.
    pub async fn drain(
        &self,
        patience: Duration,
        mut progress: impl FnMut(&Unfinished),
    ) -> Unfinished {
        let until = Instant::now() + patience;
        self.0.node.directory().drain();
        let asked = self.0.node.cluster().map(|cluster| (cluster, cluster.tell_draining()));
        let (mut quiet, mut before) = (0, Unfinished::default());
        loop {
            let now = self.unfinished(asked.as_ref());
            quiet = if now.is_nothing() { quiet + 1 } else { 0 };
            if quiet == QUIET_LOOKS || Instant::now() >= until {
                return now;
            }
            if now != before && !now.is_nothing() {
                progress(&now);
                before = now;
            }
            tokio::time::sleep_until(until.min(Instant::now() + DRAIN_LOOK)).await;
        }
    }

    /// What is not finished.
    fn unfinished(&self, asked: Option<&(&Cluster, Asked)>) -> Unfinished {
        let node = &self.0.node;
        let works = |address: &Address| {
            let counters = node.counters(address).unwrap_or_default();
            counters.depth > 0 || counters.owed > 0 || node.busy(address).is_some()
        };
        let slots = node.directory().all();
        let own = slots.iter().filter(|slot| slot.home().is_none()).map(|slot| &slot.address);
        let mut agents: Vec<Address> = own.filter(|address| works(address)).cloned().collect();
        agents.sort_unstable();
        let nodes = asked.map_or(0, |(cluster, asked)| cluster.unsettled(asked));
        Unfinished { agents, nodes }
    }
}
