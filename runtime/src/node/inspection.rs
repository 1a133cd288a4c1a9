//! What is known about an agent from outside, without asking it.

use std::time::Duration;

use genii_protocols::{Address, MessageInfo, Style};
use tokio::time::Instant;

use super::Node;
use crate::directory::Slot;
use crate::vitals::Counters;

impl Node {
    /// What is counted about an agent.
    pub fn counters(&self, address: &Address) -> Option<Counters> {
        let slot = self.0.directory.find(address)?;
        let depth = slot.line().map_or(0, |line| line.mailbox.depth());
        Some(slot.vitals.read(depth))
    }

    /// Whether an agent is suspended.
    pub fn is_suspended(&self, address: &Address) -> bool {
        self.0.directory.find(address).is_some_and(|slot| slot.vitals.is_suspended())
    }

    /// The handler that an agent is in, and for how long.
    pub fn busy(&self, address: &Address) -> Option<(String, Duration)> {
        self.0.directory.find(address).and_then(|slot| self.busy_with(&slot))
    }

    /// As [`Node::busy`], of the agent of a slot.
    pub(super) fn busy_with(&self, slot: &Slot) -> Option<(String, Duration)> {
        let (since, entry) = slot.vitals.busy()?;
        let name = slot.line()?.protocol.name(entry).to_owned();
        let now = self.nanos(Instant::now());
        Some((name, Duration::from_nanos(now.saturating_sub(since))))
    }

    /// The messages that an agent answers; `None` if it does not run.
    pub fn messages(&self, address: &Address) -> Option<Vec<MessageInfo>> {
        let line = self.0.directory.find(address)?.line()?;
        Some(line.protocol.infos())
    }

    /// The wire names of the messages that an agent answers; `None` if it does not run.
    pub fn message_names(&self, address: &Address) -> Option<Vec<&'static str>> {
        let line = self.0.directory.find(address)?.line()?;
        Some(line.protocol.names())
    }

    /// How a message of an agent is answered; `None` if it does not run or does not know it.
    pub fn message_style(&self, address: &Address, name: &str) -> Option<Style> {
        self.0.directory.find(address)?.line()?.protocol.style(name)
    }
}
