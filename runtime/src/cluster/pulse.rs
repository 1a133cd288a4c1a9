//! Whether the agents of this node have a thread to run on.
//!
//! The control lanes have a thread of their own, and would say that the node is alive for ever, also
//! when no agent of it gets a turn any more. So they ask for a beat where agents run, and fall silent
//! when it does not come. To be asked also wakes a thread that sleeps while another is held.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::Inner;

/// A look that comes so much later than the one before says that this node as a whole stood still.
const STOOD_STILL: Duration = Duration::from_secs(1);

/// The pulse, as it is felt where control lanes are heeded.
pub(super) struct Pulse(Mutex<State>);

struct State {
    /// Since when a beat is waited for.
    asked: Option<Instant>,
    looked: Instant,
    has_stopped: bool,
}

impl Pulse {
    pub(super) fn new() -> Self {
        Self(Mutex::new(State { asked: None, looked: Instant::now(), has_stopped: false }))
    }

    /// Asks for a beat, unless one is waited for.
    pub(super) fn ask(cluster: &Arc<Inner>) {
        let mut state = cluster.pulse.0.lock();
        if state.asked.is_none() {
            state.asked = Some(Instant::now());
            let beating = cluster.clone();
            cluster.runtime.spawn(async move { beating.pulse.0.lock().asked = None });
        }
    }

    /// Whether no beat has come for so long. It is said once each time.
    pub(super) fn has_stopped(&self, stops_after: Duration) -> bool {
        let mut state = self.0.lock();
        let now = Instant::now();
        if now - std::mem::replace(&mut state.looked, now) > STOOD_STILL {
            // The agents get the time that they would have had.
            state.asked = state.asked.map(|_| now);
        }
        let has_stopped = state.asked.is_some_and(|since| now - since > stops_after);
        if std::mem::replace(&mut state.has_stopped, has_stopped) != has_stopped {
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
}
