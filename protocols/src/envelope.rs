//! What surrounds a message on its way.
//!
//! In one process a message keeps its type and only the fields it needs; between processes it
//! travels as an [`Envelope`], whose bytes `tests/golden` pins.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::wire::{self, WireError};
use crate::{Address, Destination};

/// Everything a node needs to deliver a message and to bring its answer back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// The wire version of the sender, [`wire::VERSION`].
    pub version: u16,
    /// Where it goes.
    pub to: Destination,
    /// The incarnation the sender knows; an older one than that running is refused.
    pub incarnation: Option<u64>,
    /// Who sent it, when an agent did.
    pub from: Option<Sender>,
    /// What it is.
    pub kind: Kind,
    /// The message's wire name.
    pub message: String,
    /// Ties an answer to its question; chosen by the asker, zero for a tell.
    pub correlation: u64,
    /// How much time is left. Remaining time, not a date: clocks of machines differ.
    pub deadline: Option<Duration>,
    /// The trace that this message is part of.
    pub trace: Option<TraceContext>,
    /// The message itself.
    pub payload: Payload,
}

/// What an envelope carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// A message without an answer.
    Tell,
    /// A message that wants one answer.
    Ask,
    /// A message that wants many answers.
    Stream,
    /// The answer that ends an ask or a stream.
    Reply,
    /// One item of a stream.
    Item,
    /// Leave for the sender of a stream to send so many more items.
    Credit,
    /// The asker has gone; stop working for it.
    Cancel,
}

/// Who sent a message.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Sender {
    /// The sending agent.
    pub address: Address,
    /// Which life of it.
    pub incarnation: u64,
}

/// The trace that a message belongs to, as in W3C trace context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TraceContext {
    /// The whole conversation.
    pub trace_id: u128,
    /// The step that caused this message.
    pub span_id: u64,
}

/// A message as bytes or as text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Payload {
    /// Encoded by [`wire`].
    Wire(Vec<u8>),
    /// JSON text, from a client that speaks it.
    Json(String),
}

impl Envelope {
    /// The envelope as bytes.
    ///
    /// # Errors
    /// When it is larger than [`wire::MESSAGE_MAX_LEN`].
    pub fn encode(&self) -> Result<Vec<u8>, WireError> {
        wire::encode(self)
    }

    /// Reads an envelope from bytes.
    ///
    /// # Errors
    /// When the bytes are not exactly one envelope.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        wire::decode(bytes)
    }
}
