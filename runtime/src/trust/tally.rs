//! Who was turned away, counted by why.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use genii_protocols::NodeName;
use parking_lot::Mutex;

use super::verdict::Verdict;

/// Why somebody, or something that was sent, was turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TurnedAway {
    /// Too many callers were in their handshake at once.
    Crowded,
    /// The handshake took too long.
    Slow,
    /// What was said is no TLS, or not the TLS that is spoken here.
    Garbage,
    /// The certificate is of another household.
    Foreign,
    /// The certificate was expelled.
    Expelled,
    /// The certificate counts no more, or not yet.
    Untimely,
    /// Too many without a certificate were there; the oldest was ended.
    Strangers,
    /// A node had too many connections; the oldest was ended.
    TooMany,
    /// The caller did not take the certificate of this node.
    Distrusted,
    /// A connection on which nothing was asked for that there is.
    Idle,
    /// What a node sent on a link made no sense.
    Nonsense,
    /// A list of the expelled that the authority has not signed.
    ForgedList,
    /// A list of the expelled that is older than the one that is known.
    OldList,
}

/// All of them, in the order in which they are shown.
const ALL: [TurnedAway; 13] = [
    TurnedAway::Crowded,
    TurnedAway::Slow,
    TurnedAway::Garbage,
    TurnedAway::Foreign,
    TurnedAway::Expelled,
    TurnedAway::Untimely,
    TurnedAway::Strangers,
    TurnedAway::TooMany,
    TurnedAway::Distrusted,
    TurnedAway::Idle,
    TurnedAway::Nonsense,
    TurnedAway::ForgedList,
    TurnedAway::OldList,
];

impl TurnedAway {
    /// In a word, as it is shown.
    pub fn word(self) -> &'static str {
        match self {
            Self::Crowded => "crowded",
            Self::Slow => "slow",
            Self::Garbage => "garbage",
            Self::Foreign => "foreign",
            Self::Expelled => "expelled",
            Self::Untimely => "untimely",
            Self::Strangers => "strangers",
            Self::TooMany => "too-many",
            Self::Distrusted => "distrusted",
            Self::Idle => "idle",
            Self::Nonsense => "nonsense",
            Self::ForgedList => "forged-list",
            Self::OldList => "old-list",
        }
    }
}

/// Of how many nodes it is kept why they were turned away last.
const NODES_MAX: usize = 256;

/// How often each was, since the node began; and of nodes, why they were turned away last.
#[derive(Debug, Default)]
pub struct Tally {
    counts: [AtomicU64; ALL.len()],
    nodes: Mutex<BTreeMap<NodeName, String>>,
}

impl Tally {
    /// Once more.
    pub fn count(&self, why: TurnedAway) {
        self.counts[why as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How often it was for one reason.
    pub fn of(&self, why: TurnedAway) -> u64 {
        self.counts[why as usize].load(Ordering::Relaxed)
    }

    /// A certificate was not taken. Written down once for each node and reason.
    pub fn refuse(&self, verdict: &Verdict) {
        self.count(verdict.counts_as());
        let Some(node) = verdict.node() else { return };
        let why = verdict.to_string();
        let mut nodes = self.nodes.lock();
        if nodes.get(node) == Some(&why) || nodes.len() >= NODES_MAX && !nodes.contains_key(node) {
            return;
        }
        tracing::warn!(%node, "it is turned away: {why}");
        nodes.insert(node.clone(), why);
    }

    /// A node was let in.
    pub(crate) fn welcome(&self, node: &NodeName) {
        self.nodes.lock().remove(node);
    }

    /// Why a node was turned away last, if it was not let in since.
    pub fn why(&self, node: &NodeName) -> Option<String> {
        self.nodes.lock().get(node).cloned()
    }

    /// How often it was for each reason for which it was at all.
    pub fn counts(&self) -> Vec<(TurnedAway, u64)> {
        ALL.into_iter().map(|why| (why, self.of(why))).filter(|(_, count)| *count > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_a_count_of_its_own() {
        let tally = Tally::default();
        for (at, why) in ALL.into_iter().enumerate() {
            assert_eq!(why as usize, at);
            tally.count(why);
        }
        assert_eq!(tally.counts(), ALL.map(|why| (why, 1)));
    }
}
