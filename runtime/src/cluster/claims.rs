//! Which other nodes have an address, as they tell, and whose claim counts.
//!
//! As a rule one node has an address, and what is kept of it is small. More than one may: while a
//! topology is being applied on one machine after the other, or where two machines both have a group
//! that names none. All claims are kept, and by the same rule each node heeds the same one: that of
//! the node where the address was declared to live, or else that of the least name.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use dashmap::DashMap;
use genii_protocols::{Address, NodeName};
use genii_supervision::Status;
use parking_lot::{Mutex, MutexGuard};

use super::Far;

/// All that other nodes claim to have. Those addresses that stand alike share how.
#[derive(Default)]
pub(super) struct Claims {
    counting: Counting,
    /// Of those that more than one claims, the others. Held by whoever changes anything.
    others: Mutex<Others>,
}

/// Of each address, as text, the claim that counts. There may be very many, so this holds no more than
/// that, and nothing else may hold what was read of each: a hole would stay where it was.
type Counting = DashMap<Box<str>, Arc<Far>>;

type Others = HashMap<Address, Vec<Arc<Far>>>;

/// As long as this is held, nobody else changes what is claimed.
pub(crate) struct Changing<'a> {
    counting: &'a Counting,
    others: MutexGuard<'a, Others>,
}

/// What a claim is to what was known before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Claimed {
    /// Its node had it before.
    Again,
    /// Nobody had it.
    First,
    /// One other node has it, and now both do.
    Clash {
        /// Which.
        other: NodeName,
        /// The one whose claim counts.
        counts: NodeName,
    },
    /// More than one other node had it already.
    Further,
}

impl Claims {
    pub(super) fn change(&self) -> Changing<'_> {
        Changing { counting: &self.counting, others: self.others.lock() }
    }

    /// The claim that counts.
    pub(super) fn find(&self, address: &Address) -> Option<Arc<Far>> {
        self.counting.get(address.as_str()).map(|far| far.clone())
    }

    /// How many addresses are claimed.
    pub(super) fn len(&self) -> usize {
        self.counting.len()
    }

    /// The claims that count, in no order.
    pub(super) fn all(&self) -> Vec<(Address, Arc<Far>)> {
        let claims = self.counting.iter();
        claims.filter_map(|far| Some((read(far.key())?, far.value().clone()))).collect()
    }
}

impl Changing<'_> {
    /// A node has an address that was declared to live on `home`, if it was.
    pub(super) fn claim(
        &mut self,
        address: &Address,
        far: Arc<Far>,
        home: Option<&NodeName>,
    ) -> Claimed {
        let Some(mut counts) = self.counting.get_mut(address.as_str()) else {
            self.counting.insert(address.as_str().into(), far);
            return Claimed::First;
        };
        if counts.node == far.node {
            *counts = far;
            return Claimed::Again;
        }
        let others = self.others.entry(address.clone()).or_default();
        if let Some(before) = others.iter_mut().find(|other| other.node == far.node) {
            *before = far;
            return Claimed::Again;
        }
        let (other, is_clash) = (counts.node.clone(), others.is_empty());
        others.push(far);
        prefer(&mut counts, others, home);
        match is_clash {
            true => Claimed::Clash { other, counts: counts.node.clone() },
            false => Claimed::Further,
        }
    }

    /// A node has an address no more; whether it had it.
    pub(super) fn withdraw(
        &mut self,
        address: &Address,
        node: &NodeName,
        home: Option<&NodeName>,
    ) -> bool {
        match self.counting.get_mut(address.as_str()) {
            None => return false,
            Some(counts) if counts.node != *node => return self.drop_other(address, node),
            Some(mut counts) => {
                if let Some(next) = self.next(address, home) {
                    *counts = next;
                    return true;
                }
            }
        }
        self.counting.remove(address.as_str());
        true
    }

    /// A node has no more but those that stay. Returns what it had, by address, with the lives.
    pub(super) fn withdraw_all(
        &mut self,
        node: &NodeName,
        stays: impl Fn(&Far) -> bool,
        home_of: impl Fn(&Address) -> Option<NodeName>,
    ) -> Vec<(Address, u64)> {
        let mut gone = Vec::new();
        let goes = |far: &Far| far.node == *node && !stays(far);
        self.others.retain(|address, others| {
            let going = others.extract_if(.., |far| goes(far));
            gone.extend(going.map(|far| (address.clone(), far.incarnation)));
            !others.is_empty()
        });
        let counting = self.counting;
        counting.retain(|address, counts| {
            let Some(address) = goes(counts).then(|| read(address)).flatten() else { return true };
            let next = self.next(&address, home_of(&address).as_ref());
            gone.push((address, counts.incarnation));
            next.map(|next| *counts = next).is_some()
        });
        gone.sort_unstable();
        gone
    }

    /// An address was declared to live on `home`, or nowhere.
    pub(crate) fn home_is(&mut self, address: &Address, home: Option<&NodeName>) {
        if let Some(others) = self.others.get_mut(address)
            && let Some(mut counts) = self.counting.get_mut(address.as_str())
        {
            prefer(&mut counts, others, home);
        }
    }

    /// How an address stands that is declared to live on `home`: it is waited for until that tells.
    pub(crate) fn stands(&self, address: &Address, home: &NodeName) -> (u64, Status) {
        match self.of(address, home) {
            Some(far) => (far.incarnation, far.status()),
            None => (0, Status::Waiting),
        }
    }

    /// What a node has told of an address.
    pub(super) fn of(&self, address: &Address, node: &NodeName) -> Option<Arc<Far>> {
        let counts = self.counting.get(address.as_str())?.clone();
        let others = self.others.get(address).into_iter().flatten().cloned();
        std::iter::once(counts).chain(others).find(|far| far.node == *node)
    }

    fn drop_other(&mut self, address: &Address, node: &NodeName) -> bool {
        let Entry::Occupied(mut others) = self.others.entry(address.clone()) else { return false };
        let before = others.get().len();
        others.get_mut().retain(|far| far.node != *node);
        let was_there = others.get().len() < before;
        if others.get().is_empty() {
            others.remove();
        }
        was_there
    }

    /// Takes out of the others the one that counts when the one that does is gone.
    fn next(&mut self, address: &Address, home: Option<&NodeName>) -> Option<Arc<Far>> {
        let Entry::Occupied(mut others) = self.others.entry(address.clone()) else { return None };
        let next = others.get_mut().pop();
        let next = next.map(|mut next| {
            prefer(&mut next, others.get_mut(), home);
            next
        });
        if others.get().is_empty() {
            others.remove();
        }
        next
    }
}

/// An address that is claimed. It is one: it was when it was claimed.
fn read(text: &str) -> Option<Address> {
    Address::parse(text).ok()
}

/// Puts in the place of the claim that counts the one that should.
fn prefer(counts: &mut Arc<Far>, others: &mut [Arc<Far>], home: Option<&NodeName>) {
    for other in others {
        if rank(other, home) < rank(counts, home) {
            std::mem::swap(other, counts);
        }
    }
}

/// The least counts.
fn rank<'a>(far: &'a Far, home: Option<&NodeName>) -> (bool, &'a NodeName) {
    (home.is_none_or(|home| *home != far.node), &far.node)
}

#[cfg(test)]
mod tests {
    use genii_protocols::frame::Standing;

    use super::*;

    fn name(text: &str) -> NodeName {
        NodeName::new(text).unwrap()
    }

    fn lamp() -> Address {
        Address::parse("lamp/x").unwrap()
    }

    fn far(node: &str) -> Arc<Far> {
        let standing = Standing::Ready;
        Arc::new(Far { node: name(node), incarnation: 1, standing, detail: "".into(), tale: 1 })
    }

    /// Whose claim counts when these have claimed, in this order.
    fn counts(claimants: &[&str], home: Option<&str>) -> String {
        let claims = Claims::default();
        let home = home.map(name);
        for claimant in claimants {
            claims.change().claim(&lamp(), far(claimant), home.as_ref());
        }
        claims.find(&lamp()).unwrap().node.to_string()
    }

    #[test]
    fn one_claim_counts_in_whatever_order_they_come() {
        for order in [["pc1", "pc2", "pc3"], ["pc3", "pc2", "pc1"], ["pc2", "pc3", "pc1"]] {
            assert_eq!(counts(&order, None), "pc1");
            assert_eq!(counts(&order, Some("pc2")), "pc2");
            assert_eq!(counts(&order, Some("nobody")), "pc1");
        }
    }

    #[test]
    fn a_clash_is_told_of_once() {
        let claims = Claims::default();
        let claim = |node: &str| claims.change().claim(&lamp(), far(node), None);
        assert_eq!(claim("pc2"), Claimed::First);
        assert_eq!(claim("pc2"), Claimed::Again);
        let clash = Claimed::Clash { other: name("pc2"), counts: name("pc1") };
        assert_eq!(claim("pc1"), clash);
        assert_eq!([claim("pc1"), claim("pc2")], [Claimed::Again, Claimed::Again]);
        assert_eq!(claim("pc3"), Claimed::Further);
    }

    #[test]
    fn who_goes_leaves_it_to_the_next_and_nothing_is_left_of_it() {
        let claims = Claims::default();
        for node in ["pc1", "pc2", "pc3"] {
            claims.change().claim(&lamp(), far(node), None);
        }
        assert!(!claims.change().withdraw(&lamp(), &name("nobody"), None));
        assert!(claims.change().withdraw(&lamp(), &name("pc1"), None));
        assert_eq!(claims.find(&lamp()).unwrap().node, name("pc2"));
        claims.change().home_is(&lamp(), Some(&name("pc3")));
        assert_eq!(claims.find(&lamp()).unwrap().node, name("pc3"));
        assert!(claims.change().of(&lamp(), &name("pc2")).is_some());
        assert!(claims.change().withdraw(&lamp(), &name("pc2"), None));
        assert!(claims.change().others.is_empty());
        let of_pc3 = claims.change().withdraw_all(&name("pc3"), |_| false, |_| None);
        assert_eq!(of_pc3, [(lamp(), 1)]);
        assert_eq!(claims.len(), 0);
    }

    #[test]
    fn what_a_node_has_no_more_is_left_to_others_that_have_it() {
        let claims = Claims::default();
        for node in ["pc1", "pc2"] {
            claims.change().claim(&lamp(), far(node), None);
        }
        let stays = |_: &Far| true;
        assert_eq!(claims.change().withdraw_all(&name("pc1"), stays, |_| None), []);
        assert_eq!(claims.change().withdraw_all(&name("pc1"), |_| false, |_| None), [(lamp(), 1)]);
        assert_eq!(claims.find(&lamp()).unwrap().node, name("pc2"));
        assert!(claims.change().others.is_empty());
    }
}
