//! Another node, as this one sees it.

use std::time::Duration;

use genii_protocols::NodeName;
use tokio::time::Instant;

/// How another node stands, as this one sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Membership {
    /// It was never seen.
    Unseen,
    /// It is there.
    Alive,
    /// It has been silent for longer than it should.
    Suspect,
    /// Its life has ended, for all that is known.
    Down,
    /// It has taken its leave.
    Left,
}

impl Membership {
    /// In one word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Unseen => "unseen",
            Self::Alive => "alive",
            Self::Suspect => "suspect",
            Self::Down => "down",
            Self::Left => "left",
        }
    }
}

/// Another node, as this one sees it.
#[derive(Debug, Clone)]
pub struct Member {
    /// Its name.
    pub node: NodeName,
    /// How it stands.
    pub membership: Membership,
    /// Since when.
    pub since: Instant,
    /// Which life of it; zero before the first.
    pub incarnation: u64,
    /// Why it is not there, where that is known.
    pub why: Option<String>,
    /// How many addresses it has told of.
    pub addresses: usize,
    /// How long a ping and its answer took last.
    pub round_trip: Option<Duration>,
    /// How often it was dropped because what it said made no sense.
    pub nonsense: u64,
    /// The messages that have another form there than here: they are not understood but as JSON.
    pub differing: Vec<String>,
}
