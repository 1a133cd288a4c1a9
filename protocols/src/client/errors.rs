//! Why a call was not answered.

use std::fmt;

use tonic::{Code, Status};

use super::connecting::never_arrived;
use crate::api::{self, Refused};
use crate::{Fault, Never};

/// Why a call was not answered with a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallError<R = Never> {
    /// The agent handled the message and refused it.
    Refused(R),
    /// The message was not answered, or not even delivered.
    Fault(Box<Fault>),
    /// The node does not let this client in, or not to this.
    Denied(Box<Refused>),
    /// No node can be reached. Nothing was sent.
    Unreachable(String),
    /// The connection broke, or nothing was heard in time. Whether the message was handled is not
    /// known.
    Lost(String),
    /// The node says no for another reason, as when a bound was reached.
    Failed(Code, String),
    /// The message cannot be sent.
    Unsendable(String),
    /// What came back is not what was promised.
    Unreadable(String),
}

impl<R> CallError<R> {
    pub(super) fn of(status: &Status) -> Self {
        if let Some(fault) = api::fault_of(status) {
            return Self::Fault(Box::new(fault));
        }
        if let Some(refused) = Refused::of(status) {
            return Self::Denied(Box::new(refused));
        }
        let said = status.message().to_owned();
        let is_from_here = std::error::Error::source(status).is_some();
        match status.code() {
            _ if never_arrived(status) => Self::Unreachable(words(status)),
            _ if is_from_here => Self::Lost(words(status)),
            code => Self::Failed(code, said),
        }
    }
}

/// All that is known of an error of the connection.
fn words(status: &Status) -> String {
    let mut words = Vec::new();
    let mut next = std::error::Error::source(status);
    while let Some(error) = next {
        let said = error.to_string();
        if words.last() != Some(&said) {
            words.push(said);
        }
        next = error.source();
    }
    if words.is_empty() { status.message().to_owned() } else { words.join(": ") }
}

impl<R: fmt::Display> fmt::Display for CallError<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => write!(f, "refused: {refusal}"),
            Self::Fault(fault) => fault.fmt(f),
            Self::Denied(refused) => refused.fmt(f),
            Self::Unreachable(why) => write!(f, "no node can be reached: {why}"),
            Self::Lost(why) => write!(f, "the connection was lost: {why}"),
            Self::Failed(code, why) => write!(f, "{why} ({code:?})"),
            Self::Unsendable(why) => write!(f, "the message cannot be sent: {why}"),
            Self::Unreadable(why) => write!(f, "the answer cannot be read: {why}"),
        }
    }
}

impl<R: fmt::Display + fmt::Debug> std::error::Error for CallError<R> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Fault(fault) => Some(fault),
            Self::Denied(refused) => Some(refused),
            _ => None,
        }
    }
}
