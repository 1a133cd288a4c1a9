//! What makes a struct a message.
//!
//! A message is a struct with a wire name that is a promise, a reply type, and, where the receiver
//! may refuse it, a refusal type. Expected failure is a refusal; an unexpected one crashes the
//! agent, and its supervisor decides.
//!
//! ```
//! use genii_protocols::message;
//! use schemars::JsonSchema;
//! use serde::{Deserialize, Serialize};
//!
//! /// Look up a capital.
//! #[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
//! pub struct FindCapital {
//!     /// The country, in English.
//!     pub country: String,
//! }
//!
//! /// The country is not in the atlas.
//! #[derive(Debug, Clone, Serialize, Deserialize, JsonSchema, thiserror::Error)]
//! #[error("no country is called {country:?}")]
//! pub struct NoSuchCountry {
//!     /// As it was asked for.
//!     pub country: String,
//! }
//!
//! message!(FindCapital = "atlas.find_capital" -> String, refused by NoSuchCountry);
//! ```

use std::any::TypeId;
use std::fmt;

use schemars::{JsonSchema, Schema};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Something that can be said to an agent.
pub trait Message: Serialize + DeserializeOwned + JsonSchema + Send + 'static {
    /// The name on the wire, `subject.verb_noun`. Never changes, never reused.
    const NAME: &'static str;
    /// What comes back.
    type Reply: Serialize + DeserializeOwned + JsonSchema + Send + 'static;
    /// Why it may be refused; [`Never`] if it cannot be.
    type Refusal: Refusal;
}

/// A message answered by many items before its reply, which then sums up.
pub trait Streamed: Message {
    /// One item of the stream.
    type Item: Serialize + DeserializeOwned + JsonSchema + Send + 'static;
}

/// An expected failure: data that travels, and words for a person.
pub trait Refusal:
    Serialize + DeserializeOwned + JsonSchema + fmt::Display + fmt::Debug + Send + 'static
{
}

impl<T> Refusal for T where
    T: Serialize + DeserializeOwned + JsonSchema + fmt::Display + fmt::Debug + Send + 'static
{
}

/// The refusal of a message that is never refused. Has no values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Never {}

impl fmt::Display for Never {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

impl JsonSchema for Never {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Never".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> Schema {
        false.into()
    }
}

/// How a message is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Style {
    /// One reply. May also be told, and then the reply is dropped.
    Ask,
    /// Items, then a reply.
    Stream,
}

/// A message as a stranger sees it: enough to call it and to read the answer.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct MessageInfo {
    /// The wire name.
    pub name: String,
    /// How it is answered.
    pub style: Style,
    /// What it does, from its documentation.
    pub about: String,
    /// JSON schema of the message.
    pub request: crate::Json,
    /// JSON schema of the reply.
    pub reply: crate::Json,
    /// JSON schema of an item, for a stream.
    pub item: Option<crate::Json>,
    /// JSON schema of the refusal, where there is one.
    pub refusal: Option<crate::Json>,
}

impl MessageInfo {
    /// Describes a message that has one reply.
    pub fn of<M: Message>() -> Self {
        let request = schemars::schema_for!(M);
        let is_refused = TypeId::of::<M::Refusal>() != TypeId::of::<Never>();
        Self {
            name: M::NAME.to_owned(),
            style: Style::Ask,
            about: description(&request),
            request: schema_json(request),
            reply: schema_json(schemars::schema_for!(M::Reply)),
            item: None,
            refusal: is_refused.then(|| schema_json(schemars::schema_for!(M::Refusal))),
        }
    }

    /// Describes a message that is answered by a stream.
    pub fn of_stream<M: Streamed>() -> Self {
        Self {
            style: Style::Stream,
            item: Some(schema_json(schemars::schema_for!(M::Item))),
            ..Self::of::<M>()
        }
    }
}

fn schema_json(schema: Schema) -> crate::Json {
    crate::Json(schema.to_value())
}

fn description(schema: &Schema) -> String {
    schema.get("description").and_then(|text| text.as_str()).unwrap_or_default().to_owned()
}

/// Declares a struct to be a message: `message!(Type = "wire.name" -> Reply)`, with
/// `, refused by Refusal` and `, streams Item` where they apply, in this order.
#[macro_export]
macro_rules! message {
    ($message:ty = $name:literal -> $reply:ty) => {
        $crate::message!($message = $name -> $reply, refused by $crate::Never);
    };
    ($message:ty = $name:literal -> $reply:ty, streams $item:ty) => {
        $crate::message!($message = $name -> $reply, refused by $crate::Never, streams $item);
    };
    ($message:ty = $name:literal -> $reply:ty, refused by $refusal:ty) => {
        impl $crate::Message for $message {
            const NAME: &'static str = $name;
            type Reply = $reply;
            type Refusal = $refusal;
        }
    };
    ($message:ty = $name:literal -> $reply:ty, refused by $refusal:ty, streams $item:ty) => {
        $crate::message!($message = $name -> $reply, refused by $refusal);
        impl $crate::Streamed for $message {
            type Item = $item;
        }
    };
}
