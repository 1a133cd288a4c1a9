//! Whether the agents of this node have a thread to run on.
//!
//! The control lanes have a thread of their own, and would say that the node is alive for ever, also
//! when no agent of it gets a turn any more.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// How many times it beats in the time after which it counts as stopped.
const BEATS: u32 = 4;

/// The pulse. It beats where agents run, and is felt where control lanes are heeded.
pub(super) struct Pulse {
    began: Instant,
    /// When it last beat, in microseconds since it began.
    last: AtomicU64,
    has_stopped: AtomicBool,
}

impl Pulse {
    pub(super) fn new() -> Self {
        Self { began: Instant::now(), last: AtomicU64::new(0), has_stopped: AtomicBool::new(false) }
    }

    /// Beats for ever.
    pub(super) async fn beat(&self, stops_after: Duration) {
        loop {
            self.last.store(self.now(), Ordering::Relaxed);
            tokio::time::sleep(stops_after / BEATS).await;
        }
    }

    /// Whether it has not beaten for so long. It is said once each time.
    pub(super) fn has_stopped(&self, stops_after: Duration) -> bool {
        let silent = self.now().saturating_sub(self.last.load(Ordering::Relaxed));
        let has_stopped = Duration::from_micros(silent) > stops_after;
        if self.has_stopped.swap(has_stopped, Ordering::Relaxed) != has_stopped {
            match has_stopped {
                true => tracing::error!(
                    "no agent had a thread to run on for {stops_after:?}: they are all held, and \
                     other machines take this one for down"
                ),
                false => tracing::warn!("agents have threads to run on again"),
            }
        }
        has_stopped
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}
