//! Many answers to one question.
//!
//! Items flow through a bounded channel: the sender waits when the asker is slow (its credit is
//! spent), and learns when the asker has gone. A stream ends in exactly one of: its reply, its
//! refusal, a fault.

use std::any::TypeId;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use genii_protocols::{AskError, Destination, Fault, Json, NodeName, Rejection, Streamed, wire};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

use crate::directory::Line;
use crate::letter::{Answer, JsonAnswer, Letter, Meta, in_json, send_far, settled};
use crate::link::FarReply;
use crate::link::flowing::{FarFlow, FarStream};
use crate::link::questions::FarAnswer;
use crate::reply::{Owed, unanswered};
use crate::untyped::UntypedItems;

/// How many items may be on their way to an asker.
pub(crate) const CREDIT: usize = 64;

/// What flows through a stream.
pub(crate) enum Flow<M: Streamed> {
    Item(M::Item),
    End(Answer<M>),
}

/// What flows through a stream in JSON.
pub(crate) enum JsonFlow {
    Item(Json),
    End(JsonAnswer),
}

pub(crate) type JsonItems = mpsc::Sender<JsonFlow>;

/// Where the items of a stream go.
pub(crate) enum Items<M: Streamed> {
    Typed(mpsc::Sender<Flow<M>>),
    Json(JsonItems),
    /// To an asker on another node.
    Far(FarReply),
    Untyped(UntypedItems),
}

impl<M: Streamed> From<JsonItems> for Items<M> {
    fn from(items: JsonItems) -> Self {
        Self::Json(items)
    }
}

impl<M: Streamed> From<FarReply> for Items<M> {
    fn from(asker: FarReply) -> Self {
        Self::Far(asker)
    }
}

impl<M: Streamed> Items<M> {
    async fn send(&self, item: M::Item) -> Result<(), AskerGone> {
        let sent = match self {
            Self::Typed(items) => items.send(Flow::Item(item)).await.is_ok(),
            Self::Json(items) => items.send(JsonFlow::Item(Json::of(&item))).await.is_ok(),
            Self::Far(asker) => {
                let item = match asker.is_json() {
                    true => wire::encode(&Json::of(&item)),
                    false => wire::encode(&item),
                };
                asker.item(item).await.is_ok()
            }
            Self::Untyped(items) => items.send(&item).await,
        };
        if sent { Ok(()) } else { Err(AskerGone) }
    }

    async fn end(self, answer: Answer<M>) {
        // An asker that is gone does not care how it ended.
        match self {
            Self::Far(asker) => send_far(asker, answer),
            Self::Typed(items) => drop(items.send(Flow::End(answer)).await),
            Self::Json(items) => drop(items.send(JsonFlow::End(in_json(answer))).await),
            Self::Untyped(items) => items.end(answer).await,
        }
    }

    /// Ends at once if there is room; if there is not, the asker sees the stream break off.
    fn try_end(self, fault: Fault) {
        match self {
            Self::Far(asker) => asker.fail(fault),
            Self::Typed(items) => drop(items.try_send(Flow::End(Err(fault.into())))),
            Self::Json(items) => drop(items.try_send(JsonFlow::End(Err(fault.into())))),
            Self::Untyped(items) => items.try_end(fault),
        }
    }

    async fn closed(&self) {
        match self {
            Self::Typed(items) => items.closed().await,
            Self::Json(items) => items.closed().await,
            Self::Far(asker) => asker.forgotten().await,
            Self::Untyped(items) => items.closed().await,
        }
    }
}

/// A message that is answered by a stream.
pub(crate) struct StreamQuestion<M: Streamed> {
    pub(crate) meta: Meta,
    pub(crate) message: M,
    pub(crate) items: Items<M>,
}

impl<M: Streamed> Letter for StreamQuestion<M> {
    fn message_type(&self) -> TypeId {
        TypeId::of::<M>()
    }

    fn name(&self) -> &'static str {
        M::NAME
    }

    fn meta(&mut self) -> &mut Meta {
        &mut self.meta
    }

    fn has_asker(&self) -> bool {
        true
    }

    fn fail(self: Box<Self>, fault: Fault) {
        self.items.try_end(fault);
    }
}

/// The asker of a stream has gone; nobody wants the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the asker has gone")]
pub struct AskerGone;

/// Where an agent sends the items of a stream. Dropped without an end, it tells the asker so.
pub struct Outlet<M: Streamed> {
    items: Option<Items<M>>,
    owed: Owed,
}

impl<M: Streamed> Outlet<M> {
    pub(crate) fn new(items: Items<M>, line: Arc<Line>) -> Self {
        Self { items: Some(items), owed: Owed::new(line) }
    }

    /// The agent owes this no more: it may end before the stream does.
    pub(crate) fn outlive(&mut self) {
        self.owed.settle();
    }

    /// Sends an item, as soon as the asker has room for it.
    ///
    /// # Errors
    /// When the asker has gone: stop working for it.
    pub async fn send(&mut self, item: M::Item) -> Result<(), AskerGone> {
        match &self.items {
            Some(items) => items.send(item).await,
            None => Err(AskerGone),
        }
    }

    /// Ends the stream with its reply or its refusal.
    pub async fn finish(self, result: Result<M::Reply, M::Refusal>) {
        self.pass(result.map_err(AskError::Refused)).await;
    }

    /// Passes on how the stream of somebody else has ended: with a reply, a refusal or a fault.
    pub(crate) async fn pass(mut self, answer: Answer<M>) {
        if let Some(items) = self.items.take() {
            items.end(answer).await;
        }
    }

    /// Waits until the asker has gone.
    pub async fn asker_gone(&self) {
        if let Some(items) = &self.items {
            items.closed().await;
        }
    }
}

impl<M: Streamed> Drop for Outlet<M> {
    fn drop(&mut self) {
        let Some(items) = self.items.take() else { return };
        // When the agent is going down, the asker learns the cause of that instead.
        if !std::thread::panicking() && !self.owed.line.mailbox.is_closed() {
            items.try_end(unanswered::<M>(&self.owed.line));
        }
    }
}

/// The answers to a streamed question. Dropped, it tells the agent to stop.
pub struct Answers<M: Streamed> {
    flow: Flowing<Flow<M>>,
    end: Option<Answer<M>>,
    source: Source,
}

/// How what flows comes to who asked for it.
pub(crate) enum Flowing<T> {
    /// Within this process.
    Near(mpsc::Receiver<T>),
    /// From another node.
    Far(FarStream),
}

/// Where a stream comes from, to say why it broke off.
pub(crate) struct Source {
    pub(crate) to: Destination,
    pub(crate) origin: Origin,
    /// How long to wait for each item.
    pub(crate) patience: Duration,
    pub(crate) message: Cow<'static, str>,
}

/// Who answers.
pub(crate) enum Origin {
    /// A life here.
    Near(Arc<Line>),
    /// A life on another node.
    Far(NodeName),
}

impl Source {
    pub(crate) fn too_slow(&self) -> Fault {
        Fault::Timeout {
            to: self.to.clone(),
            message: self.message.clone().into_owned(),
            after: self.patience.into(),
        }
    }

    pub(crate) async fn broken_off(&self) -> Fault {
        let cause = match &self.origin {
            Origin::Near(line) => line.cause_of_end(),
            Origin::Far(node) => {
                return Fault::Unreachable { to: self.to.clone(), node: node.clone() };
            }
        };
        match tokio::time::timeout(self.patience, cause).await {
            Ok(cause) => Fault::Down { to: self.to.clone(), cause: (*cause).clone() },
            Err(_) => self.too_slow(),
        }
    }
}

impl Source {
    /// What has come from another node: an item, or how the stream ended.
    fn read<I, R, E>(&self, came: FarFlow) -> Result<I, Result<R, AskError<E>>>
    where
        I: DeserializeOwned,
        R: DeserializeOwned,
        E: DeserializeOwned,
    {
        match came {
            FarFlow::Item(item) => wire::decode(&item).map_err(|error| {
                let detail = format!("an item of its answer: {error}");
                let (to, message) = (self.to.clone(), self.message.clone().into_owned());
                let reason = Rejection::Malformed { detail };
                Err(Fault::Rejected { to, message, reason }.into())
            }),
            FarFlow::End(FarAnswer::Failed(fault)) => Err(Err(fault.of(&self.to).into())),
            FarFlow::End(FarAnswer::Reply(answer)) => {
                Err(settled(&self.to, &self.message, &answer))
            }
        }
    }
}

impl<M: Streamed> Flowing<Flow<M>> {
    async fn next(&mut self, source: &Source) -> Option<Flow<M>> {
        match self {
            Self::Near(flow) => flow.recv().await,
            Self::Far(stream) => {
                let read = source.read(stream.next().await?);
                Some(read.map_or_else(Flow::End, Flow::Item))
            }
        }
    }
}

impl Flowing<JsonFlow> {
    async fn next(&mut self, source: &Source) -> Option<JsonFlow> {
        match self {
            Self::Near(flow) => flow.recv().await,
            Self::Far(stream) => {
                let read = source.read(stream.next().await?);
                Some(read.map_or_else(JsonFlow::End, JsonFlow::Item))
            }
        }
    }
}

impl<M: Streamed> Answers<M> {
    pub(crate) fn new(flow: Flowing<Flow<M>>, source: Source) -> Self {
        Self { flow, end: None, source }
    }

    /// The next item; `None` when the stream has ended, and [`Answers::finish`] says how.
    pub async fn next(&mut self) -> Option<M::Item> {
        if self.end.is_some() {
            return None;
        }
        match tokio::time::timeout(self.source.patience, self.flow.next(&self.source)).await {
            Ok(Some(Flow::Item(item))) => return Some(item),
            Ok(Some(Flow::End(answer))) => self.end = Some(answer),
            Ok(None) => self.end = Some(Err(self.source.broken_off().await.into())),
            Err(_) => self.end = Some(Err(self.source.too_slow().into())),
        }
        None
    }

    /// How the stream ended. Items that were not taken are passed over.
    ///
    /// # Errors
    /// Its refusal, or why it did not come to an end.
    pub async fn finish(mut self) -> Answer<M> {
        while self.next().await.is_some() {}
        self.end.take().unwrap_or_else(|| Err(self.source.too_slow().into()))
    }
}

/// The answers to a streamed question that was put in JSON.
pub struct JsonAnswers {
    flow: Flowing<JsonFlow>,
    source: Source,
}

/// What comes next in a stream of JSON.
#[derive(Debug)]
pub enum JsonNext {
    /// An item.
    Item(Json),
    /// The end.
    End(JsonAnswer),
}

impl JsonAnswers {
    pub(crate) fn new(flow: Flowing<JsonFlow>, source: Source) -> Self {
        Self { flow, source }
    }

    /// The next item or the end. Not to be called again after the end.
    pub async fn next(&mut self) -> JsonNext {
        match tokio::time::timeout(self.source.patience, self.flow.next(&self.source)).await {
            Ok(Some(JsonFlow::Item(item))) => JsonNext::Item(item),
            Ok(Some(JsonFlow::End(answer))) => JsonNext::End(answer),
            Ok(None) => JsonNext::End(Err(self.source.broken_off().await.into())),
            Err(_) => JsonNext::End(Err(self.source.too_slow().into())),
        }
    }
}
