//! With which beings something has not come to its end, and why.

use std::collections::{BTreeMap, HashMap, HashSet};

use genii_protocols::{Name, NodeName};
use parking_lot::Mutex;

/// How many are remembered. The others are settled when their home is found next.
const UNSETTLED_MAX: usize = 10_000;

#[derive(Default)]
pub(super) struct Unsettled(Mutex<Held>);

#[derive(Default)]
struct Held {
    /// Those at which is to be looked again.
    again: HashSet<Name>,
    /// Why those are not settled at which was looked, by the machine on which.
    whys: HashMap<Name, BTreeMap<NodeName, String>>,
}

impl Unsettled {
    pub(super) fn add(&self, id: &Name) {
        let mut held = self.0.lock();
        if held.again.len() < UNSETTLED_MAX {
            held.again.insert(id.clone());
        }
    }

    pub(super) fn take(&self) -> HashSet<Name> {
        std::mem::take(&mut self.0.lock().again)
    }

    /// Keeps why a being is not settled on a machine. Whether that is not known yet.
    pub(super) fn keep_why(&self, id: &Name, node: &NodeName, why: &str) -> bool {
        let mut held = self.0.lock();
        if held.whys.len() >= UNSETTLED_MAX && !held.whys.contains_key(id) {
            return false;
        }
        let on = held.whys.entry(id.clone()).or_default();
        let before = on.insert(node.clone(), why.to_owned());
        before.as_deref() != Some(why)
    }

    /// A being is settled on a machine.
    pub(super) fn forget_why(&self, id: &Name, node: &NodeName) {
        let mut held = self.0.lock();
        let Some(on) = held.whys.get_mut(id) else { return };
        on.remove(node);
        if on.is_empty() {
            held.whys.remove(id);
        }
    }

    /// Nothing that was known of a being counts any more.
    pub(super) fn forget(&self, id: &Name) {
        self.0.lock().whys.remove(id);
    }

    /// All that is on a machine is looked at anew.
    pub(super) fn forget_on(&self, node: &NodeName) {
        self.0.lock().whys.retain(|_, on| {
            on.remove(node);
            !on.is_empty()
        });
    }

    /// Why a being is not settled, if it is not.
    pub(super) fn why(&self, id: &Name) -> Option<String> {
        let held = self.0.lock();
        let (node, why) = held.whys.get(id)?.first_key_value()?;
        Some(format!("what was begun with it has not come to its end on {node} yet: {why}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_new_once_and_known_until_it_is_settled() {
        let unsettled = Unsettled::default();
        let id = Name::new("alice").unwrap();
        let [main, pc2] = ["main", "pc2"].map(|node| NodeName::new(node).unwrap());
        assert_eq!(unsettled.why(&id), None);
        assert!(unsettled.keep_why(&id, &pc2, "the disk is full"));
        assert!(!unsettled.keep_why(&id, &pc2, "the disk is full"), "it is known");
        assert!(unsettled.keep_why(&id, &pc2, "the disk is gone"));
        assert!(unsettled.keep_why(&id, &main, "it hangs"));
        let why = unsettled.why(&id).unwrap();
        assert!(why.contains("on main yet: it hangs"), "{why}");
        unsettled.forget_on(&main);
        let why = unsettled.why(&id).unwrap();
        assert!(why.contains("on pc2 yet: the disk is gone"), "{why}");
        unsettled.forget_why(&id, &pc2);
        assert_eq!(unsettled.why(&id), None);
        unsettled.keep_why(&id, &pc2, "the disk is full");
        unsettled.forget(&id);
        assert_eq!(unsettled.why(&id), None);
    }

    #[test]
    fn those_at_which_is_to_be_looked_again_are_taken_once() {
        let unsettled = Unsettled::default();
        let id = Name::new("alice").unwrap();
        unsettled.add(&id);
        unsettled.add(&id);
        assert_eq!(unsettled.take(), HashSet::from([id]));
        assert!(unsettled.take().is_empty());
    }
}
