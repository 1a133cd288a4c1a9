//! The protocol table: which messages an agent answers, and how.
//!
//! One table serves typed local calls (a boxed value and its `TypeId`), calls in JSON, later calls
//! over the wire, completion, and the documentation.

use std::any::TypeId;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use genii_protocols::{Fault, Json, Message, MessageInfo, Rejection, Streamed, Style, wire};
use tokio::sync::oneshot;

use crate::agent::{Handle, HandleLater, HandleStream};
use crate::aside;
use crate::context::Context;
use crate::letter::{JsonAnswer, Letter, Meta, Question, ReplyTo};
use crate::link::FarReply;
use crate::relay::Relays;
use crate::reply::Promise;
use crate::stream::{Items, JsonItems, Outlet, StreamQuestion};
use crate::topics::Announced;
use crate::untyped::UntypedReply;
use crate::vitals::Outcome;

/// The messages that an agent of type `A` answers.
///
/// ```ignore
/// Protocol::new().on::<Recall>().on::<Remember>().on_stream::<Speak>()
/// ```
pub struct Protocol<A> {
    entries: Vec<Entry<A>>,
    /// The types of the messages, in the order of the entries. Tables are short, and looking
    /// through one is quicker than hashing.
    types: Vec<TypeId>,
}

struct Entry<A> {
    name: &'static str,
    style: Style,
    info: fn() -> MessageInfo,
    handle: Handler<A>,
    from_json: FromJson,
    from_afar: FromAfar,
    from_untyped: FromUntyped,
}

impl<A> Entry<A> {
    /// Of a message that is asked or told.
    fn question<M: Message>(handle: Handler<A>) -> Self {
        Self {
            name: M::NAME,
            style: Style::Ask,
            info: MessageInfo::of::<M>,
            handle,
            from_json: question_from_json::<M>,
            from_afar: question_from_afar::<M>,
            from_untyped: question_from_untyped::<M>,
        }
    }

    /// Of a message that is answered by a stream.
    fn stream<M: Streamed>(handle: Handler<A>) -> Self {
        Self {
            name: M::NAME,
            style: Style::Stream,
            info: MessageInfo::of_stream::<M>,
            handle,
            from_json: stream_from_json::<M>,
            from_afar: stream_from_afar::<M>,
            from_untyped: stream_from_untyped::<M>,
        }
    }
}

/// What a message from another node contains.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Content<'a> {
    /// Bytes of the wire format.
    Wire(&'a [u8]),
    /// JSON text.
    Json(&'a [u8]),
}

/// Why no letter was made of a message from afar, and the duty to say so.
type NotRead = (Rejection, Option<FarReply>);

type FromAfar = fn(Content<'_>, Meta, Option<FarReply>) -> Result<Box<dyn Letter>, NotRead>;

type FromUntyped = fn(Content<'_>, Meta, UntypedReply) -> Result<Box<dyn Letter>, Rejection>;

type FromJson = fn(&Json, Meta, JsonReply) -> Result<Box<dyn Letter>, Rejection>;

type Handler<A> = for<'a> fn(&'a mut A, Box<dyn Letter>, &'a mut Context) -> BoxFuture<'a, Outcome>;

/// Where the answer to a question in JSON goes.
pub(crate) enum JsonReply {
    Nobody,
    Asker(oneshot::Sender<JsonAnswer>),
    Items(JsonItems),
}

impl<A> Default for Protocol<A> {
    fn default() -> Self {
        Self { entries: Vec::new(), types: Vec::new() }
    }
}

impl<A> Protocol<A> {
    /// A table without messages.
    pub fn new() -> Self {
        Self::default()
    }

    /// The agent answers this message.
    #[must_use]
    pub fn on<M: Message>(self) -> Self
    where
        A: Handle<M>,
    {
        self.with::<M>(Entry::question::<M>(handle::<A, M>))
    }

    /// The agent answers this message when it can.
    #[must_use]
    pub fn on_later<M: Message>(self) -> Self
    where
        A: HandleLater<M>,
    {
        self.with::<M>(Entry::question::<M>(handle_later::<A, M>))
    }

    /// The agent answers this message with a stream.
    #[must_use]
    pub fn on_stream<M: Streamed>(self) -> Self
    where
        A: HandleStream<M>,
    {
        self.with::<M>(Entry::stream::<M>(handle_stream::<A, M>))
    }

    /// The agent passes this message on, and its answer back.
    #[must_use]
    pub fn pass<M: Message + Sync>(self) -> Self
    where
        A: Relays,
    {
        self.with::<M>(Entry::question::<M>(pass::<A, M>))
    }

    /// The agent passes this message on, and the stream that answers it back.
    #[must_use]
    pub fn pass_stream<M: Streamed<Item: Sync> + Sync>(self) -> Self
    where
        A: Relays,
    {
        self.with::<M>(Entry::stream::<M>(pass_stream::<A, M>))
    }

    fn with<M: Message>(mut self, entry: Entry<A>) -> Self {
        assert!(self.entry(entry.name).is_none(), "{} stands twice in a protocol", entry.name);
        self.types.push(TypeId::of::<M>());
        self.entries.push(entry);
        self
    }

    fn entry(&self, name: &str) -> Option<&Entry<A>> {
        self.entries.iter().find(|entry| entry.name == name)
    }

    /// Which entry answers a letter.
    pub(crate) fn find(&self, letter: &dyn Letter) -> Option<usize> {
        let wanted = letter.message_type();
        self.types.iter().position(|known| *known == wanted)
    }

    /// Lets the agent answer a letter. `entry` is where [`Protocol::find`] found it.
    pub(crate) fn call<'a>(
        &self,
        entry: usize,
        agent: &'a mut A,
        letter: Box<dyn Letter>,
        context: &'a mut Context,
    ) -> BoxFuture<'a, Outcome> {
        (self.entries[entry].handle)(agent, letter, context)
    }
}

/// A protocol table, whatever agent it is of.
pub(crate) trait AnyProtocol: Send + Sync + 'static {
    /// The wire names, in the order of the table.
    fn names(&self) -> Vec<&'static str>;

    /// The name of one entry.
    fn name(&self, entry: usize) -> &'static str;

    /// What a stranger needs to know of each message.
    fn infos(&self) -> Vec<MessageInfo>;

    /// How a message is answered, if it is known.
    fn style(&self, name: &str) -> Option<Style>;

    /// Makes a letter of JSON.
    fn letter(
        &self,
        name: &str,
        content: &Json,
        meta: Meta,
        reply: JsonReply,
    ) -> Result<Box<dyn Letter>, Rejection>;

    /// Makes a letter of a message from another node. `None` for a reply if it was told.
    fn far_letter(
        &self,
        name: &str,
        content: Content<'_>,
        meta: Meta,
        reply: Option<FarReply>,
    ) -> Result<Box<dyn Letter>, NotRead>;

    /// Makes a letter of a message from somebody who knows no types.
    fn untyped_letter(
        &self,
        name: &str,
        content: Content<'_>,
        meta: Meta,
        reply: UntypedReply,
    ) -> Result<Box<dyn Letter>, Rejection>;
}

impl<A: 'static> AnyProtocol for Protocol<A> {
    fn names(&self) -> Vec<&'static str> {
        self.entries.iter().map(|entry| entry.name).collect()
    }

    fn name(&self, entry: usize) -> &'static str {
        self.entries.get(entry).map_or("", |entry| entry.name)
    }

    fn infos(&self) -> Vec<MessageInfo> {
        self.entries.iter().map(|entry| (entry.info)()).collect()
    }

    fn style(&self, name: &str) -> Option<Style> {
        self.entry(name).map(|entry| entry.style)
    }

    fn letter(
        &self,
        name: &str,
        content: &Json,
        meta: Meta,
        reply: JsonReply,
    ) -> Result<Box<dyn Letter>, Rejection> {
        let entry = self.entry(name).ok_or_else(|| unknown(name, &self.names()))?;
        (entry.from_json)(content, meta, reply)
    }

    fn far_letter(
        &self,
        name: &str,
        content: Content<'_>,
        meta: Meta,
        reply: Option<FarReply>,
    ) -> Result<Box<dyn Letter>, NotRead> {
        match self.entry(name) {
            Some(entry) => (entry.from_afar)(content, meta, reply),
            None => Err((unknown(name, &self.names()), reply)),
        }
    }

    fn untyped_letter(
        &self,
        name: &str,
        content: Content<'_>,
        meta: Meta,
        reply: UntypedReply,
    ) -> Result<Box<dyn Letter>, Rejection> {
        let entry = self.entry(name).ok_or_else(|| unknown(name, &self.names()))?;
        (entry.from_untyped)(content, meta, reply)
    }
}

/// The rejection of a message that is not in the table.
pub(crate) fn unknown(name: &str, known: &[&'static str]) -> Rejection {
    let nearest = crate::nearest::nearest(name, known.iter().copied()).map(str::to_owned);
    Rejection::UnknownMessage { nearest }
}

fn handle<'a, A: Handle<M>, M: Message>(
    agent: &'a mut A,
    letter: Box<dyn Letter>,
    context: &'a mut Context,
) -> BoxFuture<'a, Outcome> {
    let question = match question::<M>(letter, context) {
        Ok(question) => question,
        Err(outcome) => return outcome,
    };
    Box::pin(async move {
        let Question { message, reply, .. } = *question;
        let answer = agent.handle(message, context).await;
        let outcome = if answer.is_ok() { Outcome::Handled } else { Outcome::Refused };
        reply.send(answer.map_err(genii_protocols::AskError::Refused));
        outcome
    })
}

fn handle_later<'a, A: HandleLater<M>, M: Message>(
    agent: &'a mut A,
    letter: Box<dyn Letter>,
    context: &'a mut Context,
) -> BoxFuture<'a, Outcome> {
    let question = match question::<M>(letter, context) {
        Ok(question) => question,
        Err(outcome) => return outcome,
    };
    Box::pin(async move {
        let Question { message, reply, .. } = *question;
        let promise = Promise::new(reply, context.line().clone());
        agent.handle_later(message, promise, context).await;
        Outcome::Handled
    })
}

fn handle_stream<'a, A: HandleStream<M>, M: Streamed>(
    agent: &'a mut A,
    letter: Box<dyn Letter>,
    context: &'a mut Context,
) -> BoxFuture<'a, Outcome> {
    let question = match letter.downcast::<StreamQuestion<M>>() {
        Ok(question) => question,
        Err(letter) => return wrong_style(letter, context, "a stream"),
    };
    Box::pin(async move {
        let StreamQuestion { message, items, .. } = *question;
        let outlet = Outlet::new(items, context.line().clone());
        agent.handle_stream(message, outlet, context).await;
        Outcome::Handled
    })
}

fn pass<'a, A: Relays, M: Message + Sync>(
    agent: &'a mut A,
    letter: Box<dyn Letter>,
    context: &'a mut Context,
) -> BoxFuture<'a, Outcome> {
    let question = match question::<M>(letter, context) {
        Ok(question) => question,
        Err(outcome) => return outcome,
    };
    Box::pin(async move {
        let Question { message, reply, .. } = *question;
        let promise = Promise::new(reply, context.line().clone());
        agent.relay().pass(message, promise, context).await;
        Outcome::Handled
    })
}

fn pass_stream<'a, A: Relays, M: Streamed<Item: Sync> + Sync>(
    agent: &'a mut A,
    letter: Box<dyn Letter>,
    context: &'a mut Context,
) -> BoxFuture<'a, Outcome> {
    let question = match letter.downcast::<StreamQuestion<M>>() {
        Ok(question) => question,
        Err(letter) => return wrong_style(letter, context, "a stream"),
    };
    Box::pin(async move {
        let StreamQuestion { message, items, .. } = *question;
        let outlet = Outlet::new(items, context.line().clone());
        agent.relay().pass_stream(message, outlet, context).await;
        Outcome::Handled
    })
}

/// The question in a letter; or something published, which nobody waits to have answered.
fn question<'a, M: Message>(
    letter: Box<dyn Letter>,
    context: &mut Context,
) -> Result<Box<Question<M>>, BoxFuture<'a, Outcome>> {
    let letter = match letter.downcast::<Question<M>>() {
        Ok(question) => return Ok(question),
        Err(letter) => letter,
    };
    let announced = match letter.downcast::<Announced<M>>() {
        Ok(announced) => announced,
        Err(letter) => return Err(wrong_style(letter, context, "an ask or a tell")),
    };
    let read = announced.read(context.node());
    let (message, arrival) =
        read.ok_or_else(|| Box::pin(std::future::ready(Outcome::Refused)) as BoxFuture<'a, _>)?;
    context.arrival = Some(Box::new(arrival));
    Ok(Box::new(Question { meta: Meta::default(), message, reply: ReplyTo::Nobody }))
}

fn wrong_style<'a>(
    letter: Box<dyn Letter>,
    context: &Context,
    expected: &str,
) -> BoxFuture<'a, Outcome> {
    let from = context.meta.from.clone();
    let fault = Fault::Rejected {
        to: context.address().into(),
        message: letter.name().to_owned(),
        reason: Rejection::WrongStyle { expected: expected.to_owned() },
    };
    if !letter.has_asker() {
        let to = context.address().into();
        context.node().dead_letters().add(to, from, letter.name(), fault.clone());
    }
    letter.fail(fault);
    Box::pin(std::future::ready(Outcome::Refused))
}

fn question_from_json<M: Message>(
    content: &Json,
    meta: Meta,
    reply: JsonReply,
) -> Result<Box<dyn Letter>, Rejection> {
    let message: M = read(content)?;
    let reply = match reply {
        JsonReply::Nobody => ReplyTo::Nobody,
        JsonReply::Asker(asker) => ReplyTo::Json(asker),
        JsonReply::Items(_) => {
            return Err(Rejection::WrongStyle { expected: "an ask or a tell".to_owned() });
        }
    };
    Ok(Box::new(Question { meta, message, reply }))
}

fn stream_from_json<M: Streamed>(
    content: &Json,
    meta: Meta,
    reply: JsonReply,
) -> Result<Box<dyn Letter>, Rejection> {
    let message: M = read(content)?;
    let JsonReply::Items(items) = reply else {
        return Err(Rejection::WrongStyle { expected: "a stream".to_owned() });
    };
    Ok(Box::new(StreamQuestion { meta, message, items: items.into() }))
}

fn question_from_afar<M: Message>(
    content: Content<'_>,
    meta: Meta,
    reply: Option<FarReply>,
) -> Result<Box<dyn Letter>, NotRead> {
    if reply.as_ref().is_some_and(FarReply::wants_many) {
        return Err((Rejection::WrongStyle { expected: "an ask or a tell".to_owned() }, reply));
    }
    match read_content::<M>(content) {
        Err(reason) => Err((reason, reply)),
        Ok(message) => {
            let reply = reply.map_or(ReplyTo::Nobody, ReplyTo::Far);
            Ok(Box::new(Question::<M> { meta, message, reply }))
        }
    }
}

fn stream_from_afar<M: Streamed>(
    content: Content<'_>,
    meta: Meta,
    reply: Option<FarReply>,
) -> Result<Box<dyn Letter>, NotRead> {
    let reply = match reply {
        Some(reply) if reply.wants_many() => reply,
        other => {
            return Err((Rejection::WrongStyle { expected: "a stream".to_owned() }, other));
        }
    };
    match read_content::<M>(content) {
        Err(reason) => Err((reason, Some(reply))),
        Ok(message) => Ok(Box::new(StreamQuestion::<M> { meta, message, items: reply.into() })),
    }
}

fn question_from_untyped<M: Message>(
    content: Content<'_>,
    meta: Meta,
    reply: UntypedReply,
) -> Result<Box<dyn Letter>, Rejection> {
    let message: M = read_content(content)?;
    let reply = match reply {
        UntypedReply::Nobody => ReplyTo::Nobody,
        UntypedReply::Asker(asker) => ReplyTo::Untyped(asker),
        UntypedReply::Items(_) => {
            return Err(Rejection::WrongStyle { expected: "an ask or a tell".to_owned() });
        }
    };
    Ok(Box::new(Question { meta, message, reply }))
}

fn stream_from_untyped<M: Streamed>(
    content: Content<'_>,
    meta: Meta,
    reply: UntypedReply,
) -> Result<Box<dyn Letter>, Rejection> {
    let message: M = read_content(content)?;
    let UntypedReply::Items(items) = reply else {
        return Err(Rejection::WrongStyle { expected: "a stream".to_owned() });
    };
    Ok(Box::new(StreamQuestion { meta, message, items: Items::Untyped(items) }))
}

/// Reads a message from its bytes or its text, with nothing in between that could be many times as
/// large.
fn read_content<M: Message>(content: Content<'_>) -> Result<M, Rejection> {
    match content {
        Content::Wire(bytes) => {
            aside::reading(bytes.len(), || wire::decode(bytes)).map_err(malformed)
        }
        Content::Json(text) => {
            // One without fields may be written as `null`, or left out.
            let is_nothing = matches!(text.trim_ascii(), b"" | b"null");
            let text = if is_nothing { b"{}" } else { text };
            aside::reading(text.len(), || serde_json::from_slice(text)).map_err(malformed)
        }
    }
}

fn malformed(error: impl std::fmt::Display) -> Rejection {
    Rejection::Malformed { detail: error.to_string() }
}

/// Reads a message of JSON. One without fields may be written as `null` too.
fn read<M: Message>(content: &Json) -> Result<M, Rejection> {
    let content = match &content.0 {
        serde_json::Value::Null => serde_json::Value::Object(serde_json::Map::new()),
        other => other.clone(),
    };
    serde_json::from_value(content).map_err(malformed)
}

/// The tables of a node, built once for each type of agent.
#[derive(Default)]
pub(crate) struct Protocols {
    tables: dashmap::DashMap<TypeId, Arc<dyn std::any::Any + Send + Sync>>,
}

impl Protocols {
    pub(crate) fn of<A: crate::agent::Agent>(&self) -> Arc<Protocol<A>> {
        let table =
            self.tables.entry(TypeId::of::<A>()).or_insert_with(|| Arc::new(A::protocol())).clone();
        table.downcast().expect("the table of a type is kept under that type")
    }
}
