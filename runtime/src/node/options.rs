//! What a node is made with, and its bounds.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use genii_protocols::NodeName;

use crate::dead_letters::DeadLetters;

/// How many addresses one other node may tell of, unless [`Limits`] say otherwise.
const ADDRESSES_OF_ONE_MAX: usize = 1_000_000;

/// The bounds of a node, each with what happens when it is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// How many messages wait for an agent, unless its topology says otherwise. A sender waits, and
    /// is then told that the agent is overloaded.
    pub mailbox_capacity: usize,
    /// How long an ask waits for its answer, unless it says otherwise.
    pub ask_timeout: Duration,
    /// How long a tell waits for room in a mailbox.
    pub tell_patience: Duration,
    /// How long a handler may run before the log and the journal name it.
    pub handler_patience: Duration,
    /// How many lifecycle events are kept.
    pub journal_capacity: usize,
    /// How many addresses one other node may tell of. It is dropped when it tells of more.
    pub addresses_of_one_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            mailbox_capacity: 1_000,
            ask_timeout: Duration::from_secs(5),
            tell_patience: Duration::from_secs(5),
            handler_patience: Duration::from_secs(10),
            journal_capacity: genii_supervision::journal::JOURNAL_CAPACITY,
            addresses_of_one_max: ADDRESSES_OF_ONE_MAX,
        }
    }
}

/// What a node is made with.
#[derive(Debug, Clone)]
pub struct NodeOptions {
    /// Its name in the cluster.
    pub name: NodeName,
    /// Its bounds.
    pub limits: Limits,
    /// Where its dice come from; the same seed gives the same jitter.
    pub seed: u64,
    /// The program that keeps the processes of its agents: this one, if it does not say. It must
    /// call [`process::keeper::run_if_asked`](crate::process::keeper::run_if_asked) first of all.
    pub keeper: Option<OsString>,
    /// What marks the processes of agents, so that a later genii can tell what this one left:
    /// [`process::strays::sweep`](crate::process::strays::sweep). They are not marked if it is not
    /// set.
    pub mark: Option<OsString>,
    /// The folder in which its agents may keep what is to outlive it, each in a folder of its own
    /// there; if it is not set, none can.
    pub data: Option<PathBuf>,
    /// The dead letters of another node, for one that is a part of it: its own are kept among those.
    pub dead_letters: Option<Arc<DeadLetters>>,
}

impl NodeOptions {
    /// A node of this name with the usual bounds.
    pub fn new(name: NodeName) -> Self {
        let entropy = std::collections::hash_map::RandomState::new();
        let seed = std::hash::BuildHasher::hash_one(&entropy, name.as_str());
        let limits = Limits::default();
        Self { name, limits, seed, keeper: None, mark: None, data: None, dead_letters: None }
    }
}
