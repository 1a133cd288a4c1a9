//! How long each thing may take between nodes.

use std::time::Duration;

/// How links are watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timing {
    /// How often each end says that it is alive.
    pub ping: Duration,
    /// Silent for so long, a node is suspected.
    pub suspect: Duration,
    /// Silent for so long, a node is down.
    pub down: Duration,
    /// How long nodes may take to greet each other.
    pub greet: Duration,
    /// How long what lives on another node is waited for, at first.
    pub join: Duration,
    /// The first wait before a node is called again; it doubles up to the last.
    pub retry: (Duration, Duration),
    /// How long all threads of the agents may be held before this node says no more that it is alive.
    pub held: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            ping: Duration::from_millis(100),
            suspect: Duration::from_millis(300) - LATENESS,
            down: Duration::from_secs(1) - LATENESS,
            greet: Duration::from_secs(2),
            join: Duration::from_secs(10),
            retry: (Duration::from_millis(50), Duration::from_secs(2)),
            held: Duration::from_secs(10),
        }
    }
}

/// How late a thread may run whose time has come, on a busy machine: silence is to be noticed within
/// 300 ms and within a second, and not after them.
const LATENESS: Duration = Duration::from_millis(40);
