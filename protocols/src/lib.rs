//! What is said in a genii household.
//!
//! Addresses, messages, the envelope they travel in, and the errors that come back. Everything an
//! agent or a client may say is declared here, one file per subject, so that nobody who sends a
//! message needs to know the agent that handles it, and no agent needs to know another.
//!
//! | module | what it holds |
//! |---|---|
//! | [`address`] | `group/name`, the node that may pin it, and strict parsing |
//! | [`mod@message`] | what makes a struct a message: its wire name, reply and refusal |
//! | [`envelope`] | what surrounds a message on its way |
//! | [`frame`] | what nodes say to each other on a link |
//! | [`topic`] | what something that is published is about, and patterns of that |
//! | [`managing`] | which messages are only for who may manage an agent |
//! | [`fault`] | every way a message can fail to be answered, and the cause that travels with it |
//! | [`wire`] | the one place that knows bincode |
//! | [`json`], [`time`] | values that read well as JSON and travel well as bytes |
//! | `api`, `client` | what clients say to a household, and a client; behind features of these names |
//! | [`calendar`] | days and months of UTC |
//! | subjects | [`being`], [`beings`], [`budget`], [`errors`], [`health`], [`resources`], [`twin`]: the messages themselves |

pub mod address;
#[cfg(feature = "admin")]
pub mod admin;
#[cfg(feature = "api")]
pub mod api;
pub mod being;
pub mod beings;
pub mod budget;
pub mod calendar;
#[cfg(feature = "client")]
pub mod client;
mod digest;
pub mod envelope;
pub mod errors;
pub mod fault;
pub mod frame;
pub mod health;
#[cfg(feature = "household")]
pub mod household;
pub mod json;
pub mod managing;
pub mod message;
pub mod resources;
pub mod time;
pub mod topic;
pub mod twin;
pub mod wire;

pub use address::{Address, AddressError, Destination, Name, NodeName};
pub use envelope::{Envelope, Kind, Payload, Sender, TraceContext};
pub use fault::{AskError, Cause, CauseKind, Fault, Rejection};
pub use json::Json;
pub use message::{Message, MessageInfo, Never, Streamed, Style};
pub use time::{TimeSpan, Timestamp};
pub use topic::{Pattern, Topic, TopicError};
