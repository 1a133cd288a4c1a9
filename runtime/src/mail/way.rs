//! The way from here to who takes a message.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use genii_protocols::frame::Standing;
use genii_protocols::{Address, Fault, NodeName};

use super::Mail;
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
        match self.remembered() {
            Some(far) => Ok(Way::Far(far)),
            None => self.find_way(),
        }
    }

    /// As [`Mail::way`], for what is told: nobody waits for who tells.
    pub(super) fn way_to_tell(&self) -> Result<(Way, Option<Coming>), Box<Fault>> {
        self.way().map(|way| (way, None))
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
            way = self.find_way()?;
        }
    }

    fn find_way(&self) -> Result<Way, Box<Fault>> {
        let edition = self.node.directory().edition();
        let address = &self.to.address;
        if let Some(node) = self.to.node.as_ref().filter(|node| *node != self.node.name()) {
            // Addresses take room at the other end as long as the link lasts, and anybody may make
            // some up.
            if self.node.cluster().is_some_and(|cluster| cluster.lacks(node, address)) {
                return Err(Box::new(self.node.directory().not_found(&self.to)));
            }
            return self.far(node, address, edition).map(|far| self.remember(far));
        }
        if self.to.node.is_some() {
            return self.here();
        }
        let Some(slot) = self.node.directory().reach(address) else {
            // Nobody here has the address: another node may have told of it.
            let there = self.node.cluster().and_then(|cluster| cluster.find(address));
            let there = there.ok_or_else(|| self.node.directory().not_found(&self.to))?;
            return self.far(&there.node, address, edition).map(|far| self.remember(far));
        };
        // Who is about to leave is asked for want of another.
        let way = self.first_of(&slot, Leaving::Skipped, edition);
        if let Some(way) = way.or_else(|| self.first_of(&slot, Leaving::Asked, edition)) {
            return Ok(way);
        }
        match (slot.home(), &**slot.state()) {
            // It may take messages although that has not been told yet; or else it says why not.
            (Some(home), _) => self.far(&home, address, edition).map(|far| Way::Far(far.into())),
            (None, State::Open(line)) => Ok(Way::Near(line.clone())),
            // It has fallen asleep in between, which is seen once for each time that it does.
            (None, State::Shut { .. }) if slot.is_put_away() => self.find_way(),
            (None, State::Shut { cause, .. }) => Err(self.down((**cause).clone())),
        }
    }

    /// The way to who takes messages on this node, as for what another node sends here: what is addressed
    /// to a node by name goes to no other.
    fn here(&self) -> Result<Way, Box<Fault>> {
        let directory = self.node.directory();
        let found = directory.line_at(&self.to.address).filter(|(slot, _)| slot.home().is_none());
        let (slot, route) = found.ok_or_else(|| Box::new(directory.not_found(&self.to)))?;
        let line = route.map_err(|cause| self.down((*cause).clone()))?;
        Ok(Way::Near(self.near(&slot, line)))
    }

    /// The way to the first, of who has the address and those who stand in, who takes messages.
    fn first_of(&self, slot: &Arc<Slot>, leaving: Leaving, edition: u64) -> Option<Way> {
        let is_leaving = self.node.directory().is_draining();
        let mut passed_by_one_here = false;
        for candidate in slot.succession() {
            let Some(home) = candidate.home() else {
                let line = candidate.open_line();
                let line = line.filter(|_| !is_leaving || leaving == Leaving::Asked);
                if let Some(line) = line {
                    return Some(Way::Near(self.near(slot, line)));
                }
                passed_by_one_here = true;
                continue;
            };
            let Some(far) = self.far_that_takes(&home, &candidate.address, edition) else {
                continue;
            };
            if !far.is_draining || leaving == Leaving::Asked {
                // One here that comes back is no other edition of the ways.
                return Some(match passed_by_one_here {
                    true => Way::Far(far.into()),
                    false => self.remember(far),
                });
            }
        }
        None
    }

    /// A life here, which is found faster the next time.
    fn near(&self, slot: &Arc<Slot>, line: Arc<Line>) -> Arc<Line> {
        if slot.home().is_none() {
            self.slot.get_or_init(|| slot.clone());
        }
        line
    }

    /// The way to an agent of another node, if it takes messages for all that is known.
    fn far_that_takes(&self, home: &NodeName, address: &Address, edition: u64) -> Option<FarWay> {
        let stands = self.node.cluster()?.find(address).filter(|far| far.node == *home)?;
        match stands.standing {
            Standing::Ready | Standing::Degraded => self.far(home, address, edition).ok(),
            _ => None,
        }
    }

    /// Whether the agent at the other end of a way takes no messages, for all that is known.
    pub(super) fn is_down_there(&self, far: &FarWay) -> bool {
        let stands = self.node.cluster().and_then(|cluster| cluster.find(&self.to.address));
        stands
            .filter(|stands| stands.node == far.link.peer)
            .is_some_and(|stands| !matches!(stands.standing, Standing::Ready | Standing::Degraded))
    }

    fn far(&self, node: &NodeName, address: &Address, edition: u64) -> Result<FarWay, Box<Fault>> {
        let link = self.node.cluster().and_then(|cluster| cluster.link(node));
        let link = link.ok_or_else(|| self.unreachable(node.clone()))?;
        // Before it is decided whether somebody else is asked.
        let is_draining = link.is_draining();
        let window = link.window(address).map_err(|_| self.unreachable(node.clone()))?;
        Ok(FarWay { link, window, edition, is_draining })
    }

    fn remember(&self, far: FarWay) -> Way {
        let far = Arc::new(far);
        self.remembered.0.store(Some(far.clone()));
        Way::Far(far)
    }
}

/// What of those whose node is about to leave.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Leaving {
    Skipped,
    Asked,
}
