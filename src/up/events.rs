//! The lines that say what happens, for a person and for the log file.

use std::collections::BTreeSet;
use std::sync::Arc;

use genii_runtime::Node;
use genii_supervision::journal::{Follow, Followed};
use genii_supervision::{Event, Key, What};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use super::printer::{LAST_WORDS, Printer};
use crate::screen::many;

/// Prints what happens, a line for each thing.
pub struct Events {
    printing: JoinHandle<()>,
    stop: oneshot::Sender<()>,
    /// The number of the last event that was printed.
    printed: watch::Receiver<u64>,
}

impl Events {
    /// Prints everything that happens from now on, or only what is news where a display shows the
    /// rest.
    pub fn print(node: &Node, printer: Arc<Printer>, everything: bool) -> Self {
        let follow = node.tree().journal.follow();
        let (stop, stopped) = oneshot::channel();
        let (told, printed) = watch::channel(0);
        let printing = tokio::spawn(print(follow, printer, everything, stopped, told));
        Self { printing, stop, printed }
    }

    /// Waits until everything has been printed up to this event.
    pub async fn caught_up(&self, with: u64) {
        let mut printed = self.printed.clone();
        let _it_only_orders_lines =
            tokio::time::timeout(LAST_WORDS, printed.wait_for(|printed| *printed >= with)).await;
    }

    /// Prints what has happened until now, and no more.
    pub async fn finish(self) {
        drop(self.stop);
        let _it_only_prints = self.printing.await;
    }
}

async fn print(
    mut follow: Follow,
    printer: Arc<Printer>,
    everything: bool,
    mut stopped: oneshot::Receiver<()>,
    told: watch::Sender<u64>,
) {
    let mut unwell = BTreeSet::new();
    loop {
        let next = tokio::select! {
            // What has happened already is printed before it stops.
            biased;
            next = follow.next() => next,
            _ = &mut stopped => None,
        };
        match next {
            Some(Followed::Event(event)) => {
                log(&event);
                if is_news(&event, &mut unwell) || everything {
                    let at = genii_protocols::Timestamp::from(event.at);
                    printer.say(format!("{at} {} {}\n", event.key, event.what));
                }
                told.send_replace(event.seq);
            }
            Some(Followed::Missed(missed)) => {
                printer.say(format!("({} went by)\n", many(missed, "event", "events")));
            }
            None => return,
        }
    }
}

/// What happens stands in the log file as well, among what the agents say.
fn log(event: &Event) {
    let (agent, what) = (&event.key, &event.what);
    match what {
        What::Crashed { .. }
        | What::StartFailed { .. }
        | What::Quarantined { .. }
        | What::Escalated { .. } => tracing::warn!(target: JOURNAL, "{agent} {what}"),
        _ => tracing::info!(target: JOURNAL, "{agent} {what}"),
    }
}

/// The target of what happens, for the setting `log`.
const JOURNAL: &str = "genii::journal";

/// Whether somebody should hear of it who sees how things stand: what goes wrong, and when it is
/// well again. `unwell` holds those of whom something was told that is not over.
fn is_news(event: &Event, unwell: &mut BTreeSet<Key>) -> bool {
    match &event.what {
        What::Crashed { .. }
        | What::StartFailed { .. }
        | What::Quarantined { .. }
        | What::Escalated { .. }
        | What::Blocked { .. } => {
            unwell.insert(event.key.clone());
            true
        }
        // How what it lacks fares meanwhile is told of that.
        What::Degraded { .. } => unwell.insert(event.key.clone()),
        What::Ready { .. } | What::Recovered => unwell.remove(&event.key),
        _ => false,
    }
}
