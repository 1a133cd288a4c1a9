//! How a child stands, for itself and for those who need it.

use std::fmt;
use std::sync::Arc;

use crate::exit::Failure;
use crate::spec::Key;

/// How a child stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// It is expected; its supervisor has not come to it yet.
    Declared,
    /// It is to start, and waits for what it needs.
    Waiting,
    /// It is to start, but what it needs will not come by itself.
    Blocked,
    /// It is being started, or runs and is not ready yet.
    Starting,
    /// It is ready.
    Ready,
    /// It is ready, but lacks something.
    Degraded(Arc<str>),
    /// It has failed and will be restarted.
    Down(Arc<Failure>),
    /// It has been asked to stop.
    Stopping,
    /// It was made to stop.
    Stopped(Arc<str>),
    /// It ended in good order, by itself.
    Completed,
    /// It failed too often and is held back.
    Quarantined(Arc<Failure>),
}

/// Why a child is stopped whose start failed when a command asked for it.
pub const START_FAILED: &str = "its start failed";

impl Status {
    /// Whether others may build on it.
    pub fn is_up(&self) -> bool {
        matches!(self, Self::Ready | Self::Degraded(_))
    }

    /// Whether an actor may be there.
    pub fn is_alive(&self) -> bool {
        matches!(self, Self::Starting | Self::Ready | Self::Degraded(_) | Self::Stopping)
    }

    /// Whether it will change by itself.
    pub fn is_settled(&self) -> bool {
        !matches!(
            self,
            Self::Declared | Self::Waiting | Self::Starting | Self::Down(_) | Self::Stopping
        )
    }

    /// All words for a status.
    pub const WORDS: [&str; 11] = [
        "declared",
        "waiting",
        "blocked",
        "starting",
        "ready",
        "degraded",
        "down",
        "stopping",
        "stopped",
        "completed",
        "quarantined",
    ];

    /// The status in one word.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Declared => "declared",
            Self::Waiting => "waiting",
            Self::Blocked => "blocked",
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Degraded(_) => "degraded",
            Self::Down(_) => "down",
            Self::Stopping => "stopping",
            Self::Stopped(_) => "stopped",
            Self::Completed => "completed",
            Self::Quarantined(_) => "quarantined",
        }
    }

    /// What lies behind the word, where there is something to say.
    pub fn detail(&self) -> Option<String> {
        match self {
            Self::Degraded(why) | Self::Stopped(why) => Some(why.to_string()),
            Self::Down(failure) | Self::Quarantined(failure) => Some(failure.to_string()),
            _ => None,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// How something stands for those who need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It is there.
    Met,
    /// It is down, and this one stands in for it.
    StandIn(Key),
    /// It is not there, and need not be: it is not required and has been given up.
    Excused,
    /// It is not there, but on its way.
    Coming,
    /// It is not there and will not come by itself.
    Stuck,
}

impl Standing {
    /// Whether who needs it may start.
    pub fn lets_start(&self) -> bool {
        matches!(self, Self::Met | Self::StandIn(_) | Self::Excused)
    }
}
