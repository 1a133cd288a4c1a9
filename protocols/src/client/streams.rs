//! What comes bit by bit.

use std::marker::PhantomData;

use tonic::Streaming;

use super::{CallError, read_bytes, read_text};
use crate::api::{
    Payload, StreamReply, SubscribeReply, WatchReply, stream_reply, subscribe_reply, watch_reply,
};
use crate::{Json, Message, Streamed};

/// One thing of a stream: an item, or its end.
enum Next<R> {
    Item(Payload),
    End(Result<Payload, CallError<R>>),
}

/// The replies to a question for many, and whether the last has come.
struct Replies {
    replies: Streaming<StreamReply>,
}

impl Replies {
    /// The next item, or the end; a refusal as `Ok(Err(..))` of the pair.
    async fn next<R>(&mut self, read: impl FnOnce(Payload) -> CallError<R>) -> Next<R> {
        let reply = match self.replies.message().await {
            Ok(Some(reply)) => reply,
            Ok(None) => {
                let why = "the stream broke off".to_owned();
                return Next::End(Err(CallError::Lost(why)));
            }
            Err(status) => return Next::End(Err(CallError::of(&status))),
        };
        match reply.said {
            Some(stream_reply::Said::Item(item)) => Next::Item(item),
            Some(stream_reply::Said::Reply(reply)) => Next::End(Ok(reply)),
            Some(stream_reply::Said::Refusal(refusal)) => Next::End(Err(read(refusal))),
            None => {
                let why = "it is of a later version".to_owned();
                Next::End(Err(CallError::Unreadable(why)))
            }
        }
    }
}

/// How a typed stream ended.
type End<M> = Result<<M as Message>::Reply, CallError<<M as Message>::Refusal>>;

/// The items of a stream. Dropped, they tell the agent to stop.
pub struct Items<M: Streamed> {
    replies: Replies,
    end: Option<End<M>>,
    message: PhantomData<fn() -> M>,
}

impl<M: Streamed> Items<M> {
    pub(super) fn new(replies: Streaming<StreamReply>) -> Self {
        Self { replies: Replies { replies }, end: None, message: PhantomData }
    }

    /// The next item; `None` when the stream has ended, and [`Items::finish`] says how.
    pub async fn next(&mut self) -> Option<M::Item> {
        if self.end.is_some() {
            return None;
        }
        let refusal = |refusal: Payload| {
            read_bytes(&refusal).map_or_else(CallError::Unreadable, CallError::Refused)
        };
        let end = match self.replies.next(refusal).await {
            Next::Item(item) => match read_bytes(&item) {
                Ok(item) => return Some(item),
                Err(error) => Err(CallError::Unreadable(error)),
            },
            Next::End(Ok(reply)) => read_bytes(&reply).map_err(CallError::Unreadable),
            Next::End(Err(error)) => Err(error),
        };
        self.end = Some(end);
        None
    }

    /// How the stream ended. Items that were not taken are passed over.
    ///
    /// # Errors
    /// Its refusal, or why it did not come to an end.
    pub async fn finish(mut self) -> Result<M::Reply, CallError<M::Refusal>> {
        while self.next().await.is_some() {}
        self.end.take().unwrap_or_else(|| Err(CallError::Lost("the stream broke off".to_owned())))
    }
}

/// The items of a stream in JSON. Dropped, they tell the agent to stop.
pub struct JsonItems {
    replies: Replies,
    end: Option<Result<Json, CallError<Json>>>,
}

impl JsonItems {
    pub(super) fn new(replies: Streaming<StreamReply>) -> Self {
        Self { replies: Replies { replies }, end: None }
    }

    /// The next item; `None` when the stream has ended, and [`JsonItems::finish`] says how.
    pub async fn next(&mut self) -> Option<Json> {
        if self.end.is_some() {
            return None;
        }
        let refusal = |refusal: Payload| {
            read_text(&refusal).map_or_else(CallError::Unreadable, CallError::Refused)
        };
        let end = match self.replies.next(refusal).await {
            Next::Item(item) => match read_text(&item) {
                Ok(item) => return Some(item),
                Err(error) => Err(CallError::Unreadable(error)),
            },
            Next::End(Ok(reply)) => read_text(&reply).map_err(CallError::Unreadable),
            Next::End(Err(error)) => Err(error),
        };
        self.end = Some(end);
        None
    }

    /// How the stream ended. Items that were not taken are passed over.
    ///
    /// # Errors
    /// Its refusal, or why it did not come to an end.
    pub async fn finish(mut self) -> Result<Json, CallError<Json>> {
        while self.next().await.is_some() {}
        self.end.take().unwrap_or_else(|| Err(CallError::Lost("the stream broke off".to_owned())))
    }
}

/// What happens to agents, as it happens. Dropped, nobody watches any more.
pub struct Events {
    replies: Streaming<WatchReply>,
}

impl Events {
    pub(super) fn new(replies: Streaming<WatchReply>) -> Self {
        Self { replies }
    }

    /// The next event, or how many were missed; `None` when there will be no more.
    ///
    /// # Errors
    /// When it broke off.
    pub async fn next(&mut self) -> Result<Option<watch_reply::Said>, CallError> {
        match self.replies.message().await {
            Ok(reply) => Ok(reply.and_then(|reply| reply.said)),
            Err(status) => Err(CallError::of(&status)),
        }
    }
}

/// What is published about topics. Dropped, nothing more is heard.
pub struct Publications {
    replies: Streaming<SubscribeReply>,
}

impl Publications {
    /// Waits until it is heard.
    pub(super) async fn begin(replies: Streaming<SubscribeReply>) -> Result<Self, CallError> {
        let mut publications = Self { replies };
        match publications.next().await? {
            Some(subscribe_reply::Said::Subscribed(_)) => Ok(publications),
            _ => Err(CallError::Unreadable("it does not begin as a subscription".to_owned())),
        }
    }

    /// The next publication, or how many were lost here because they were not taken in time; `None`
    /// when there will be no more.
    ///
    /// # Errors
    /// When it broke off.
    pub async fn next(&mut self) -> Result<Option<subscribe_reply::Said>, CallError> {
        match self.replies.message().await {
            Ok(reply) => Ok(reply.and_then(|reply| reply.said)),
            Err(status) => Err(CallError::of(&status)),
        }
    }
}
