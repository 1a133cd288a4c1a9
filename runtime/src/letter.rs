//! A message on its way inside one process: still of its own type, with what travels beside it.

use std::any::{Any, TypeId};
use std::sync::Arc;

use genii_protocols::{
    AskError, Destination, Fault, Json, Message, Rejection, Sender, TraceContext, wire,
};
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::link::{FarReply, Ticket};
use crate::untyped::UntypedAsker;

/// What travels beside a message.
#[derive(Debug, Default)]
pub(crate) struct Meta {
    /// Who sent it, when an agent did.
    pub(crate) from: Option<Arc<Sender>>,
    /// It is not handled after this.
    pub(crate) deadline: Option<Instant>,
    /// When it was asked; spares the host a look at the clock.
    pub(crate) asked_at: Option<Instant>,
    /// The trace it is part of; boxed, since a message is moved more often than it is traced.
    pub(crate) trace: Option<Box<TraceContext>>,
    /// What it holds of the credit of a sender on another node.
    pub(crate) ticket: Option<Ticket>,
}

/// A message in a mailbox, whatever its type.
pub(crate) trait Letter: Any + Send {
    /// The type of the message.
    fn message_type(&self) -> TypeId;

    /// The wire name of the message.
    fn name(&self) -> &'static str;

    fn meta(&mut self) -> &mut Meta;

    /// Whether somebody waits for an answer. If nobody does and it cannot be delivered, it becomes
    /// a dead letter.
    fn has_asker(&self) -> bool;

    /// Answers that it was not handled.
    fn fail(self: Box<Self>, fault: Fault);
}

/// The answer to an ask.
pub(crate) type Answer<M> = Result<<M as Message>::Reply, AskError<<M as Message>::Refusal>>;

/// The answer to an ask that was made in JSON.
pub(crate) type JsonAnswer = Result<Json, AskError<Json>>;

/// A message that has one answer.
pub(crate) struct Question<M: Message> {
    pub(crate) meta: Meta,
    pub(crate) message: M,
    pub(crate) reply: ReplyTo<M>,
}

/// Where an answer goes. Dropped without an answer, the asker learns that there will be none.
pub(crate) enum ReplyTo<M: Message> {
    /// Nowhere: it was told, not asked.
    Nobody,
    /// To an asker in this process.
    Asker(oneshot::Sender<Answer<M>>),
    /// To an asker that speaks JSON.
    Json(oneshot::Sender<JsonAnswer>),
    /// To an asker on another node.
    Far(FarReply),
    /// To an asker that knows no types.
    Untyped(UntypedAsker),
}

impl<M: Message> ReplyTo<M> {
    pub(crate) fn send(self, answer: Answer<M>) {
        // An asker that is gone does not care.
        match self {
            Self::Nobody => {}
            Self::Asker(asker) => drop(asker.send(answer)),
            Self::Json(asker) => drop(asker.send(in_json(answer))),
            Self::Far(asker) => send_far(asker, answer),
            Self::Untyped(asker) => asker.send(answer),
        }
    }
}

/// Answers somebody on another node.
pub(crate) fn send_far<R, E>(asker: FarReply, answer: Result<R, AskError<E>>)
where
    R: serde::Serialize,
    E: serde::Serialize,
{
    let settled: Result<R, E> = match answer {
        Ok(reply) => Ok(reply),
        Err(AskError::Refused(refusal)) => Err(refusal),
        Err(AskError::Fault(fault)) => return asker.fail(*fault),
    };
    match asker.is_json() {
        false => asker.answer(wire::encode(&settled)),
        true => {
            let settled = match &settled {
                Ok(reply) => Ok(Json::of(reply)),
                Err(refusal) => Err(Json::of(refusal)),
            };
            asker.answer(wire::encode(&settled));
        }
    }
}

/// What an answer from another node says.
pub(crate) fn settled<R, E>(
    to: &Destination,
    message: &str,
    answer: &[u8],
) -> Result<R, AskError<E>>
where
    R: DeserializeOwned,
    E: DeserializeOwned,
{
    match wire::decode::<Result<R, E>>(answer) {
        Ok(Ok(reply)) => Ok(reply),
        Ok(Err(refusal)) => Err(AskError::Refused(refusal)),
        Err(error) => {
            let reason = Rejection::Malformed { detail: format!("its answer: {error}") };
            let (to, message) = (to.clone(), message.to_owned());
            Err(Fault::Rejected { to, message, reason }.into())
        }
    }
}

/// An answer in JSON.
pub(crate) fn in_json<R, E>(answer: Result<R, AskError<E>>) -> JsonAnswer
where
    R: serde::Serialize,
    E: serde::Serialize,
{
    match answer {
        Ok(reply) => Ok(Json::of(&reply)),
        Err(AskError::Refused(refusal)) => Err(AskError::Refused(Json::of(&refusal))),
        Err(AskError::Fault(fault)) => Err(AskError::Fault(fault)),
    }
}

impl<M: Message> Letter for Question<M> {
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
        !matches!(self.reply, ReplyTo::Nobody)
    }

    fn fail(self: Box<Self>, fault: Fault) {
        self.reply.send(Err(fault.into()));
    }
}

impl dyn Letter {
    /// The letter as what it is, or back again.
    pub(crate) fn downcast<L: Letter>(self: Box<Self>) -> Result<Box<L>, Box<dyn Letter>> {
        if (&*self as &dyn Any).type_id() != TypeId::of::<L>() {
            return Err(self);
        }
        let any: Box<dyn Any> = self;
        Ok(any.downcast().expect("its type has just been looked at"))
    }
}
