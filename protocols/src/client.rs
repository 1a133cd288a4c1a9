//! A client of a household: typed messages to addresses, over a Unix socket or TLS.
//!
//! ```no_run
//! # use genii_protocols::client::{Client, Household, Proof};
//! # use genii_protocols::{Address, twin::DescribeHouse};
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let household = Household::from_pem(&std::fs::read_to_string("household.crt")?)?;
//! let token = Proof::Token(std::env::var("GENII_TOKEN")?);
//! let client = Client::tcp("mainpc.local:7421", household, token).await?;
//! let twin = Address::parse("core/system-digital-twin")?;
//! let house = client.ask(&twin, &DescribeHouse::default()).await?;
//! # Ok(())
//! # }
//! ```
//!
//! There is one policy for trying again: who cannot be reached is called again, after waits that
//! double, until the time of the call is up. What may have reached a node is never sent again, so
//! that a message is handled at most once.

mod connecting;
mod errors;
mod streams;

use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

pub use connecting::{ConnectError, Household, Proof};
pub use errors::CallError;
pub use streams::{Events, Items, JsonItems, Publications};

use crate::api::genii_client::GeniiClient;
use crate::api::{
    AskReply, AskRequest, DescribeReply, DescribeRequest, Payload, PublishReply, PublishRequest,
    StreamRequest, SubscribeRequest, TellRequest, WatchRequest, ask_reply::Outcome, payload,
};
use crate::{Destination, Json, Message, Pattern, Streamed, Topic, wire};
use connecting::Waits;

/// How long an answer is waited for, unless a call says otherwise.
pub const ASK_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest that an answer may be waited for; more counts as this.
pub const TIMEOUT_MAX: Duration = Duration::from_secs(24 * 3_600);

/// How much longer than a node an asker waits, so that the node can say why there is no answer.
const GRACE: Duration = Duration::from_secs(2);

/// How much later than that gRPC's own deadline is, by which a node knows that nobody waits any more
/// also if it cannot be told.
const DEADLINE_LAG: Duration = Duration::from_secs(1);

/// The longest message, in bytes, with what stands around it.
const MESSAGE_MAX_LEN: usize = wire::MESSAGE_MAX_LEN + (4 << 10);

/// A client. Cheap to clone; all clones have the same connection.
#[derive(Clone)]
pub struct Client {
    genii: GeniiClient<Channel>,
    token: Option<MetadataValue<Ascii>>,
    timeout: Duration,
}

impl Client {
    /// Connects to the household of the owner of this process, at the socket in its data folder.
    ///
    /// # Errors
    /// When nobody can be reached there.
    pub async fn unix(socket: impl AsRef<Path>) -> Result<Self, ConnectError> {
        let channel = connecting::unix(socket.as_ref()).await?;
        Ok(Self::over(channel, None))
    }

    /// Connects to a node of a household at `host:port`. It is known by the certificate of the
    /// household, and nobody else is taken for it.
    ///
    /// # Errors
    /// When nobody can be reached there, or it is not of that household.
    pub async fn tcp(at: &str, household: Household, proof: Proof) -> Result<Self, ConnectError> {
        let token = match &proof {
            Proof::Token(token) => {
                let value = format!("Bearer {}", token.trim()).parse::<MetadataValue<Ascii>>();
                let mut value = value.map_err(|_| ConnectError::Token)?;
                value.set_sensitive(true);
                Some(value)
            }
            Proof::Certificate { .. } => None,
        };
        let channel = connecting::tcp(at, household, proof).await?;
        Ok(Self::over(channel, token))
    }

    fn over(channel: Channel, token: Option<MetadataValue<Ascii>>) -> Self {
        let genii = GeniiClient::new(channel)
            .max_decoding_message_size(MESSAGE_MAX_LEN)
            .max_encoding_message_size(MESSAGE_MAX_LEN);
        Self { genii, token, timeout: ASK_TIMEOUT }
    }

    /// The same client, which waits for so long for each answer, and for [`TIMEOUT_MAX`] at most.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout.min(TIMEOUT_MAX);
        self
    }

    /// Asks an agent, and waits for its answer.
    ///
    /// # Errors
    /// The refusal of the agent, or why there is no answer.
    pub async fn ask<M: Message>(
        &self,
        to: impl Into<Destination>,
        message: &M,
    ) -> Result<M::Reply, CallError<M::Refusal>> {
        let reply = self.asked(to.into(), M::NAME, bytes_of(message)?).await?;
        match outcome(reply)? {
            Ok(payload) => read_bytes(&payload).map_err(CallError::Unreadable),
            Err(payload) => {
                Err(read_bytes(&payload).map_or_else(CallError::Unreadable, CallError::Refused))
            }
        }
    }

    /// As [`Client::ask`], for a message in JSON.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub async fn ask_json(
        &self,
        to: impl Into<Destination>,
        message: &str,
        content: &Json,
    ) -> Result<Json, CallError<Json>> {
        let reply = self.asked(to.into(), message, text_of(content)).await?;
        match outcome(reply)? {
            Ok(payload) => read_text(&payload).map_err(CallError::Unreadable),
            Err(payload) => {
                Err(read_text(&payload).map_or_else(CallError::Unreadable, CallError::Refused))
            }
        }
    }

    async fn asked<R>(
        &self,
        to: Destination,
        message: &str,
        payload: Payload,
    ) -> Result<AskReply, CallError<R>> {
        let request = AskRequest {
            to: to.to_string(),
            message: message.to_owned(),
            payload: Some(payload),
            timeout_ms: millis(self.timeout),
        };
        let send = async |mut genii: GeniiClient<Channel>, request| genii.ask(request).await;
        Ok(self.call(Answers::One, request, send).await?.into_inner())
    }

    /// Tells an agent something. It is in its mailbox, or on its way to another node, when this
    /// returns.
    ///
    /// # Errors
    /// Why it cannot be delivered.
    pub async fn tell<M: Message>(
        &self,
        to: impl Into<Destination>,
        message: &M,
    ) -> Result<(), CallError> {
        self.told(to.into(), M::NAME, bytes_of(message)?).await
    }

    /// As [`Client::tell`], for a message in JSON.
    ///
    /// # Errors
    /// As [`Client::tell`].
    pub async fn tell_json(
        &self,
        to: impl Into<Destination>,
        message: &str,
        content: &Json,
    ) -> Result<(), CallError> {
        self.told(to.into(), message, text_of(content)).await
    }

    async fn told(
        &self,
        to: Destination,
        message: &str,
        payload: Payload,
    ) -> Result<(), CallError> {
        let request = TellRequest {
            to: to.to_string(),
            message: message.to_owned(),
            payload: Some(payload),
            timeout_ms: millis(self.timeout),
        };
        let send = async |mut genii: GeniiClient<Channel>, request| genii.tell(request).await;
        self.call(Answers::One, request, send).await.map(drop)
    }

    /// Asks an agent that answers with many items. Each is waited for as long as an answer is.
    /// Dropped, the items tell the agent to stop.
    ///
    /// # Errors
    /// When the question cannot be delivered. What comes later, also a refusal, comes with the items.
    pub async fn stream<M: Streamed>(
        &self,
        to: impl Into<Destination>,
        message: &M,
    ) -> Result<Items<M>, CallError<M::Refusal>> {
        let replies = self.streamed(to.into(), M::NAME, bytes_of(message)?).await?;
        Ok(Items::new(replies))
    }

    /// As [`Client::stream`], for a message in JSON.
    ///
    /// # Errors
    /// As [`Client::stream`].
    pub async fn stream_json(
        &self,
        to: impl Into<Destination>,
        message: &str,
        content: &Json,
    ) -> Result<JsonItems, CallError<Json>> {
        let replies = self.streamed(to.into(), message, text_of(content)).await?;
        Ok(JsonItems::new(replies))
    }

    async fn streamed<R>(
        &self,
        to: Destination,
        message: &str,
        payload: Payload,
    ) -> Result<tonic::Streaming<crate::api::StreamReply>, CallError<R>> {
        let request = StreamRequest {
            to: to.to_string(),
            message: message.to_owned(),
            payload: Some(payload),
            timeout_ms: millis(self.timeout),
        };
        let send = async |mut genii: GeniiClient<Channel>, request| genii.stream(request).await;
        Ok(self.call(Answers::Many, request, send).await?.into_inner())
    }

    /// Hears what is published about topics, from when this returns at the node that is called, and on
    /// others as soon as they have heard of it. Dropped, nothing more is heard.
    ///
    /// # Errors
    /// When it may not be heard, or there are too many subscriptions.
    pub async fn subscribe(&self, patterns: &[Pattern]) -> Result<Publications, CallError> {
        let patterns = patterns.iter().map(ToString::to_string).collect();
        let request = SubscribeRequest { patterns };
        let send = async |mut genii: GeniiClient<Channel>, request| genii.subscribe(request).await;
        let replies = self.call(Answers::Many, request, send).await?.into_inner();
        Publications::begin(replies).await
    }

    /// Publishes something about a topic, and says whom it has reached.
    ///
    /// # Errors
    /// When it may not be published, or cannot be written as JSON.
    pub async fn publish<T: Serialize + ?Sized>(
        &self,
        topic: &Topic,
        what: &T,
    ) -> Result<PublishReply, CallError> {
        let json = serde_json::to_string(what);
        let json = json.map_err(|error| CallError::Unsendable(error.to_string()))?;
        let timeout_ms = millis(self.timeout);
        let request = PublishRequest { topic: topic.to_string(), json, timeout_ms };
        let send = async |mut genii: GeniiClient<Channel>, request| genii.publish(request).await;
        Ok(self.call(Answers::One, request, send).await?.into_inner())
    }

    /// Which agents there are, and which messages they answer: of a name (an agent, a group, or
    /// nothing for all), with or without the schemas.
    ///
    /// # Errors
    /// When there are none of this name.
    pub async fn describe(&self, request: DescribeRequest) -> Result<DescribeReply, CallError> {
        let send = async |mut genii: GeniiClient<Channel>, request| genii.describe(request).await;
        Ok(self.call(Answers::One, request, send).await?.into_inner())
    }

    /// What happens to agents.
    ///
    /// # Errors
    /// When there is nothing of this name.
    pub async fn watch(&self, request: WatchRequest) -> Result<Events, CallError> {
        let send = async |mut genii: GeniiClient<Channel>, request| genii.watch(request).await;
        Ok(Events::new(self.call(Answers::Many, request, send).await?.into_inner()))
    }

    /// Makes a call, and tries again as long as no node can be reached.
    async fn call<Q: Clone, A, R>(
        &self,
        answers: Answers,
        message: Q,
        send: impl AsyncFn(GeniiClient<Channel>, Request<Q>) -> Result<Response<A>, Status>,
    ) -> Result<Response<A>, CallError<R>> {
        let until = Instant::now() + self.timeout;
        let mut waits = Waits::default();
        loop {
            let mut request = Request::new(message.clone());
            if let Some(token) = &self.token {
                request.metadata_mut().insert("authorization", token.clone());
            }
            if answers == Answers::One {
                request.set_timeout(until + GRACE + DEADLINE_LAG - Instant::now());
            }
            let sending = send(self.genii.clone(), request);
            let status = match tokio::time::timeout_at(until + GRACE, sending).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(status)) => status,
                Err(_) => return Err(CallError::Lost("nothing was heard in time".to_owned())),
            };
            let wait = waits.next();
            let may_go_on = Instant::now() + wait < until;
            if !(may_go_on && connecting::never_arrived(&status)) {
                return Err(CallError::of(&status));
            }
            tokio::time::sleep(wait).await;
        }
    }
}

/// How many answers a call has. Where there are many, they may come for as long as there are any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answers {
    One,
    Many,
}

fn millis(span: Duration) -> u64 {
    span.as_millis().try_into().unwrap_or(u64::MAX)
}

fn bytes_of<M: Serialize, R>(message: &M) -> Result<Payload, CallError<R>> {
    let bytes = wire::encode(message).map_err(|error| CallError::Unsendable(error.to_string()))?;
    Ok(Payload { form: Some(payload::Form::Bincode(bytes)) })
}

fn text_of(content: &Json) -> Payload {
    Payload { form: Some(payload::Form::Json(content.to_string())) }
}

fn read_bytes<T: DeserializeOwned>(payload: &Payload) -> Result<T, String> {
    match &payload.form {
        Some(payload::Form::Bincode(bytes)) => {
            wire::decode(bytes).map_err(|error| error.to_string())
        }
        _ => Err("it is not in the form of the question".to_owned()),
    }
}

fn read_text(payload: &Payload) -> Result<Json, String> {
    match &payload.form {
        Some(payload::Form::Json(text)) => {
            serde_json::from_str(text).map_err(|error| error.to_string())
        }
        _ => Err("it is not in the form of the question".to_owned()),
    }
}

fn outcome<R>(reply: AskReply) -> Result<Result<Payload, Payload>, CallError<R>> {
    match reply.outcome {
        Some(Outcome::Reply(reply)) => Ok(Ok(reply)),
        Some(Outcome::Refusal(refusal)) => Ok(Err(refusal)),
        None => Err(CallError::Unreadable("it is neither a reply nor a refusal".to_owned())),
    }
}
