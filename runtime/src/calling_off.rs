//! A life that is called off: when it is asked to stop, it is to break off what it is at.
//!
//! Whoever stops may end first what it has begun, as long as its supervisor waits. Where somebody has waited
//! for that already, as a nursery does for a resident that is to be kept asleep, it is not to be waited for twice.

use std::sync::Arc;

use genii_protocols::Address;

use crate::context::Context;
use crate::directory::Line;
use crate::node::Node;

impl Line {
    /// It is to break off what it is at when it is asked to stop, for this reason. The first that is given stays.
    pub(crate) fn call_off(&self, why: Arc<str>) {
        let _the_first_stays = self.called_off.set(why);
    }
}

impl Node {
    /// The life that an address has here is to break off what it is at when it is asked to stop, for this reason,
    /// since it has had time to end it. Whether there is such a life.
    pub fn call_off(&self, address: &Address, why: &str) -> bool {
        let line = self.directory().find(address).and_then(|slot| slot.line());
        line.inspect(|line| line.call_off(why.into())).is_some()
    }
}

impl Context {
    /// In [`stop`](crate::Agent::stop): why the agent is to break off what it is at, since it has had time to end
    /// it. `None` if it may end it first, as long as its supervisor waits.
    pub fn called_off(&self) -> Option<&str> {
        self.line().called_off.get().map(|why| &**why)
    }
}
