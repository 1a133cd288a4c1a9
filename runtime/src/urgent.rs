//! What the house itself says to an agent, past the letters in its mailbox.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use genii_protocols::{Address, Cause, Json};
use genii_supervision::{ExitReason, Failure, NeedChange};
use tokio::sync::oneshot;

use crate::agent::Health;
use crate::letter::Letter;
use crate::monitor::WatchId;

/// An urgent message.
pub(crate) enum Urgent {
    /// Are you there?
    Ping(oneshot::Sender<()>),
    /// How are you?
    Health(oneshot::Sender<Health>),
    /// What is your state?
    Snapshot(oneshot::Sender<Json>),
    /// Handle no letters until told to.
    Suspend(oneshot::Sender<()>),
    /// Handle letters again.
    Resume(oneshot::Sender<()>),
    /// Something you need has gone or returned.
    NeedChanged(NeedChange),
    /// A life that you watch has ended, by this watch.
    Down(WatchId, Arc<Down>),
    /// A life that you are linked to has ended, by this link if it was you who made it.
    LinkDown(Option<WatchId>, Arc<Down>),
    /// A message to yourself, from a timer. A timer that repeats learns here that it was taken.
    Own(Box<dyn Letter>, Option<Arc<AtomicBool>>),
    /// A task of yours has panicked.
    TaskFailed(Arc<Failure>),
    /// A task of yours wants you to end.
    End(ExitReason),
}

/// A life that was watched has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Down {
    /// Whose life.
    pub address: Address,
    /// Which life; zero if there was none to watch.
    pub incarnation: u64,
    /// Why it ended.
    pub cause: Cause,
    /// Whether it ended otherwise than in good order.
    pub is_abnormal: bool,
}
