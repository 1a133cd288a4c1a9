//! Every way a message can fail to be answered, and the cause that travels with it.
//!
//! An ask ends in exactly one of: its reply, its refusal, or one [`Fault`].

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Destination, Never, NodeName, TimeSpan};

/// How an ask failed: the agent said no, or no answer came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AskError<R = Never> {
    /// The agent handled the message and refused it.
    Refused(R),
    /// The message was not answered. Boxed, so that an answer is no larger than it must be.
    Fault(Box<Fault>),
}

impl<R> AskError<R> {
    /// The fault, unless the agent refused.
    pub fn fault(&self) -> Option<&Fault> {
        match self {
            Self::Refused(_) => None,
            Self::Fault(fault) => Some(fault),
        }
    }
}

impl<R> From<Fault> for AskError<R> {
    fn from(fault: Fault) -> Self {
        Self::Fault(Box::new(fault))
    }
}

impl<R> From<Box<Fault>> for AskError<R> {
    fn from(fault: Box<Fault>) -> Self {
        Self::Fault(fault)
    }
}

impl<R: fmt::Display> fmt::Display for AskError<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => write!(f, "refused: {refusal}"),
            Self::Fault(fault) => fault.fmt(f),
        }
    }
}

impl<R: fmt::Display + fmt::Debug> std::error::Error for AskError<R> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Refused(_) => None,
            Self::Fault(fault) => Some(fault),
        }
    }
}

/// Why a message was not answered, or not even delivered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// No agent has this address.
    #[error("{to} is not known{}", nearest.as_ref().map(|n| format!("; did you mean {n}?")).unwrap_or_default())]
    NotFound {
        /// Where it should have gone.
        to: Destination,
        /// The known address that looks most like it.
        nearest: Option<Destination>,
    },
    /// The mailbox stayed full until the deadline, or at once where the sender would not wait.
    #[error("{to} is overloaded: its mailbox of {capacity} messages is full")]
    Overloaded {
        /// Where it should have gone.
        to: Destination,
        /// How many messages the mailbox holds.
        capacity: usize,
    },
    /// The agent is not running, or stopped before it answered.
    #[error("{to} is down: {cause}")]
    Down {
        /// Where it should have gone.
        to: Destination,
        /// Why the agent is not there.
        cause: Cause,
    },
    /// No answer came before the deadline.
    #[error("{to} did not answer {message} within {after}")]
    Timeout {
        /// Where it went.
        to: Destination,
        /// The message's wire name.
        message: String,
        /// How long the asker waited.
        after: TimeSpan,
    },
    /// The node that holds the agent cannot be reached.
    #[error("{to} cannot be reached: node {node} is not connected")]
    Unreachable {
        /// Where it should have gone.
        to: Destination,
        /// The node it lives on.
        node: NodeName,
    },
    /// The agent does not understand the message.
    #[error("{to} rejected {message}: {reason}")]
    Rejected {
        /// Where it went.
        to: Destination,
        /// The message's wire name.
        message: String,
        /// What it did not understand.
        reason: Rejection,
    },
}

impl Fault {
    /// The same of the address that was asked, where somebody stood in for it.
    pub fn of(mut self, asked: &Destination) -> Self {
        match &mut self {
            Self::NotFound { to, .. }
            | Self::Overloaded { to, .. }
            | Self::Down { to, .. }
            | Self::Timeout { to, .. }
            | Self::Unreachable { to, .. }
            | Self::Rejected { to, .. } => to.clone_from(asked),
        }
        self
    }
}

/// What an agent did not understand about a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Rejection {
    /// The agent has no handler for it.
    #[error("it has no such message{}", nearest.as_ref().map(|n| format!("; did you mean {n}?")).unwrap_or_default())]
    UnknownMessage {
        /// The message of that agent that looks most like it.
        nearest: Option<String>,
    },
    /// The wire version is not one that this node speaks.
    #[error("wire version {theirs} is not supported here (this is version {ours})")]
    Version {
        /// The version of the envelope.
        theirs: u16,
        /// The version of this node.
        ours: u16,
    },
    /// The payload is not a valid message of this name.
    #[error("its content is not valid: {detail}")]
    Malformed {
        /// What is wrong with it.
        detail: String,
    },
    /// The agent took the message on, and dropped it without an answer.
    #[error("it dropped the question without an answer")]
    Unanswered,
    /// The message is answered in another way (a stream was asked, or an ask was streamed).
    #[error("it must be sent as {expected}")]
    WrongStyle {
        /// The way that the agent expects.
        expected: String,
    },
    /// The node of the agent was built with another form of the message than the node that sends.
    #[error("it has another form there than here: bring both nodes up to date, or send it as JSON")]
    OtherForm,
}

/// Why an agent is not there. Travels between machines; made from a crash or a stop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cause {
    /// What sort of end it was.
    pub kind: CauseKind,
    /// The error or panic message, or the reason for stopping, in words.
    pub message: String,
    /// Where a panic happened: `file:line:column`.
    pub place: Option<String>,
    /// The message that was being handled.
    pub handling: Option<String>,
    /// The errors beneath the first, outermost first.
    pub chain: Vec<String>,
}

/// What sort of end an agent came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CauseKind {
    /// It panicked.
    Panic,
    /// It returned an error.
    Error,
    /// It was killed.
    Killed,
    /// It could not start.
    StartFailed,
    /// It has not started yet.
    Starting,
    /// It was stopped, or ended by itself.
    Stopped,
    /// It crashed too often and is held back.
    Quarantined,
}

impl Cause {
    /// A cause in words alone.
    pub fn new(kind: CauseKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), place: None, handling: None, chain: Vec::new() }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match self.kind {
            CauseKind::Panic => "it panicked: ",
            CauseKind::Error => "it failed: ",
            // Its message says so.
            CauseKind::Killed => "",
            CauseKind::StartFailed => "it could not start: ",
            CauseKind::Starting => "it is starting: ",
            CauseKind::Stopped => "it is stopped: ",
            CauseKind::Quarantined => "it is in quarantine: ",
        };
        write!(f, "{verb}{}", self.message)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_read_as_sentences_with_a_remedy() {
        let to = Destination::parse("memory/session-memry").unwrap();
        let nearest = Some(Destination::parse("memory/session-memory").unwrap());
        assert_eq!(
            Fault::NotFound { to: to.clone(), nearest }.to_string(),
            "memory/session-memry is not known; did you mean memory/session-memory?"
        );
        let cause = Cause {
            place: Some("src/x.rs:1:2".into()),
            handling: Some("memory.recall".into()),
            chain: vec!["disk full".into()],
            ..Cause::new(CauseKind::Panic, "index out of bounds")
        };
        assert_eq!(
            Fault::Down { to: to.clone(), cause }.to_string(),
            "memory/session-memry is down: it panicked: index out of bounds at src/x.rs:1:2 while \
             handling memory.recall: disk full"
        );
        let late = Fault::Timeout { to, message: "a.b".into(), after: TimeSpan::from_millis(250) };
        assert!(late.to_string().ends_with("within 250ms"));
    }
}
