//! Why an actor ended.

use std::fmt;
use std::sync::Arc;

use ractor::{ActorProcessingErr, SupervisionEvent};

/// Why an actor ended, as its supervisor judges it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExitReason {
    /// It had nothing left to do.
    Normal,
    /// It was asked to stop, or stopped itself in good order and says why.
    Shutdown(Option<Arc<str>>),
    /// It was killed.
    Killed,
    /// It failed.
    Failed(Arc<Failure>),
}

impl ExitReason {
    /// Whether a transient child is restarted after it.
    pub fn is_abnormal(&self) -> bool {
        matches!(self, Self::Killed | Self::Failed(_))
    }

    /// Shutdown with a word of explanation.
    pub fn shutdown(why: impl Into<Arc<str>>) -> Self {
        Self::Shutdown(Some(why.into()))
    }

    /// The failure it stands for, where it is abnormal.
    pub fn failure(&self) -> Option<Arc<Failure>> {
        match self {
            Self::Normal | Self::Shutdown(_) => None,
            Self::Killed => Some(Arc::new(Failure::new(FailureKind::Killed, "it was killed"))),
            Self::Failed(failure) => Some(failure.clone()),
        }
    }
}

impl fmt::Display for ExitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Normal => f.write_str("ended normally"),
            Self::Shutdown(None) => f.write_str("shutdown"),
            Self::Shutdown(Some(why)) => write!(f, "shutdown: {why}"),
            Self::Killed => f.write_str("killed"),
            Self::Failed(failure) => failure.fmt(f),
        }
    }
}

/// A failure with its cause: what, where, while doing what, and because of what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What sort of failure.
    pub kind: FailureKind,
    /// The error or panic message.
    pub message: String,
    /// Where a panic happened: `file:line:column`.
    pub place: Option<String>,
    /// The message that was being handled.
    pub handling: Option<String>,
    /// The errors beneath the first, outermost first.
    pub chain: Vec<String>,
    /// The last lines of output, for an actor that stands for an operating-system process.
    pub output: Vec<String>,
}

/// What sort of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// It panicked.
    Panic,
    /// It returned an error.
    Error,
    /// It ended in good order, though it should not have ended.
    Ended,
    /// It was killed.
    Killed,
    /// It could not start, and trying again may help.
    Start,
    /// It cannot start as it is declared; trying again cannot help.
    Refused,
    /// It was not ready before its start deadline.
    StartTimeout,
    /// It was killed and still has not ended: its thread does not yield.
    Unkillable,
}

impl Failure {
    /// A failure in words alone.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            place: None,
            handling: None,
            chain: Vec::new(),
            output: Vec::new(),
        }
    }

    /// A failure from an error and the errors beneath it.
    pub fn of(kind: FailureKind, error: &(dyn std::error::Error + 'static)) -> Self {
        let beneath = std::iter::successors(error.source(), |error| error.source());
        Self {
            chain: beneath.map(ToString::to_string).take(CHAIN_MAX_LEN).collect(),
            ..Self::new(kind, error.to_string())
        }
    }
}

/// The most errors that are kept beneath the first.
const CHAIN_MAX_LEN: usize = 16;

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kind == FailureKind::Panic {
            f.write_str("panic: ")?;
        }
        f.write_str(&self.message)?;
        if let Some(place) = &self.place {
            write!(f, " at {place}")?;
        }
        if let Some(handling) = &self.handling {
            write!(f, " while handling {handling}")?;
        }
        for error in &self.chain {
            write!(f, ": {error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

/// An [`ExitReason`] in the form in which a ractor actor returns it: `Err(Exit(reason).into())`.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Exit(pub ExitReason);

/// The reason with which ractor actors are asked to stop.
pub(crate) const SHUTDOWN: &str = "shutdown";

/// Reads ractor's account of an actor's end. `None` for an event that is no end.
pub(crate) fn reason_of(event: SupervisionEvent) -> Option<(ractor::ActorId, ExitReason)> {
    match event {
        SupervisionEvent::ActorTerminated(cell, _, reason) => {
            Some((cell.get_id(), terminated(reason.as_deref())))
        }
        SupervisionEvent::ActorFailed(cell, error) => Some((cell.get_id(), failed(error))),
        _ => None,
    }
}

fn terminated(reason: Option<&str>) -> ExitReason {
    match reason {
        Some("killed" | "actor_task_cancelled") => ExitReason::Killed,
        Some(SHUTDOWN) => ExitReason::Shutdown(None),
        Some(reason) => match reason.strip_prefix("shutdown: ") {
            Some(why) => ExitReason::shutdown(why),
            None => ExitReason::Normal,
        },
        None => ExitReason::Normal,
    }
}

/// Reads the error with which an actor ended; ractor turns a panic into an error of plain text.
pub(crate) fn failed(error: ActorProcessingErr) -> ExitReason {
    match error.downcast::<Exit>() {
        Ok(exit) => exit.0,
        Err(error) => ExitReason::Failed(Arc::new(Failure::of(FailureKind::Error, &*error))),
    }
}
