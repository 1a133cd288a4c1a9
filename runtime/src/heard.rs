//! What other nodes have told of a table that each node tells all others: what there is of its own,
//! and how much.
//!
//! A node tells all that it has when a link is new, and each change from then on. What it tells is
//! how things stand and not what has happened, so hearing of a thing twice does no harm.

use std::collections::HashMap;
use std::hash::Hash;

use genii_protocols::NodeName;
use genii_protocols::frame::Told;

/// What all other nodes have told.
pub(crate) struct Heard<K> {
    nodes: HashMap<NodeName, OfNode<K>>,
    /// How many keys one node may tell of.
    keys_max: usize,
}

/// What one node has told.
struct OfNode<K> {
    /// The number of the last full list that was begun.
    round: u64,
    counts: HashMap<K, Count>,
}

struct Count {
    count: u32,
    /// The full list, or the news after it, that it was last in.
    round: u64,
}

/// Something stands otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Changed<K> {
    pub(crate) key: K,
    /// How much there is now.
    pub(crate) count: u32,
}

/// A node has told of more keys than it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooMany(pub(crate) usize);

impl<K: Clone + Eq + Hash> Heard<K> {
    pub(crate) fn new(keys_max: usize) -> Self {
        Self { nodes: HashMap::new(), keys_max }
    }

    /// A node tells how some keys stand. Returns what stands otherwise than before.
    pub(crate) fn hear(
        &mut self,
        node: &NodeName,
        told: Told,
        keys: impl IntoIterator<Item = (K, u32)>,
    ) -> Result<Vec<Changed<K>>, TooMany> {
        let new = || OfNode { round: 0, counts: HashMap::new() };
        let of_node = self.nodes.entry(node.clone()).or_insert_with(new);
        if let Told::First(round) = told {
            of_node.round = of_node.round.max(round);
        }
        let mut changed = Vec::new();
        for (key, count) in keys {
            changed.extend(of_node.set(key, count));
        }
        if let Told::Last(round) = told {
            of_node.drop_before(round, &mut changed);
        }
        match of_node.counts.len() > self.keys_max {
            true => Err(TooMany(self.keys_max)),
            false => Ok(changed),
        }
    }

    /// A node is gone, and with it all that it told of.
    pub(crate) fn forget(&mut self, node: &NodeName) -> Vec<Changed<K>> {
        let gone = self.nodes.remove(node).map(|gone| gone.counts).unwrap_or_default();
        gone.into_keys().map(|key| Changed { key, count: 0 }).collect()
    }

    /// All that was told, with the nodes that told it, in no order.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&NodeName, &K, u32)> {
        self.nodes.iter().flat_map(|(node, of_node)| {
            of_node.counts.iter().map(move |(key, count)| (node, key, count.count))
        })
    }
}

impl<K: Clone + Eq + Hash> OfNode<K> {
    fn set(&mut self, key: K, count: u32) -> Option<Changed<K>> {
        let round = self.round;
        let before = match count {
            0 => self.counts.remove(&key),
            count => self.counts.insert(key.clone(), Count { count, round }),
        };
        let before = before.map_or(0, |before| before.count);
        (before != count).then_some(Changed { key, count })
    }

    /// What was in none of the rounds from this one on is no more.
    fn drop_before(&mut self, round: u64, changed: &mut Vec<Changed<K>>) {
        self.counts.retain(|key, count| {
            let stays = count.round >= round;
            if !stays {
                changed.push(Changed { key: key.clone(), count: 0 });
            }
            stays
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Told2 = (Told, &'static [(&'static str, u32)]);

    fn node(text: &str) -> NodeName {
        NodeName::new(text).unwrap()
    }

    /// What is known after a node has told this.
    fn known(told: &[Told2]) -> Vec<(&'static str, u32)> {
        let mut heard = Heard::new(10);
        for (told, keys) in told {
            heard.hear(&node("pc2"), *told, keys.iter().copied()).unwrap();
        }
        let mut all: Vec<_> = heard.all().map(|(_, key, count)| (*key, count)).collect();
        all.sort_unstable();
        all
    }

    #[test]
    fn a_full_list_takes_the_place_of_what_was_told_before() {
        let (first, news, last) = (Told::First(1), Told::News, Told::Last(1));
        assert_eq!(known(&[(first, &[("a", 1)]), (last, &[])]), [("a", 1)]);
        assert_eq!(known(&[(first, &[("a", 1)]), (news, &[("b", 2), ("a", 0)])]), [("b", 2)]);
        let again: &[Told2] = &[
            (first, &[("a", 1), ("b", 1)]),
            (last, &[]),
            (Told::First(2), &[]),
            // News between the parts of a list count as much as the list.
            (news, &[("c", 1)]),
            (news, &[("b", 3)]),
            (Told::Last(2), &[]),
        ];
        assert_eq!(known(again), [("b", 3), ("c", 1)]);
        let crossed: &[Told2] = &[
            (first, &[("a", 1)]),
            (Told::First(2), &[("b", 1)]),
            (last, &[]),
            (news, &[("a", 1)]),
            (Told::Last(2), &[]),
        ];
        assert_eq!(known(crossed), [("a", 1), ("b", 1)]);
    }

    #[test]
    fn only_what_stands_otherwise_is_a_change_and_a_node_that_goes_takes_its_own() {
        let mut heard = Heard::new(10);
        let keys = |keys: &[(&'static str, u32)]| keys.to_vec();
        let changed = heard.hear(&node("a"), Told::First(1), keys(&[("x", 1), ("y", 0)]));
        assert_eq!(changed.unwrap(), [Changed { key: "x", count: 1 }]);
        assert_eq!(heard.hear(&node("a"), Told::News, keys(&[("x", 1)])).unwrap(), []);
        heard.hear(&node("b"), Told::First(1), keys(&[("x", 5)])).unwrap();
        assert_eq!(heard.forget(&node("a")), [Changed { key: "x", count: 0 }]);
        assert_eq!(heard.all().count(), 1);
    }

    #[test]
    fn who_tells_of_too_much_is_told_so() {
        let mut heard = Heard::new(2);
        let keys = (0..3).map(|key| (key, 1));
        assert_eq!(heard.hear(&node("a"), Told::First(1), keys), Err(TooMany(2)));
    }
}
