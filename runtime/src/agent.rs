//! What an agent is.

use std::fmt;

use genii_protocols::{Json, Message, Streamed};
use genii_supervision::{NeedChange, StartError};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::protocol::Protocol;
use crate::reply::Promise;
use crate::stream::Outlet;
use crate::urgent::Down;

/// Someone who lives at an address and answers messages, one at a time.
///
/// Expected failure is data: a handler returns its message's refusal. An unexpected one is a panic
/// or a failed start; then the agent's supervisor decides.
pub trait Agent: Sized + Send + 'static {
    /// What is set for it in the topology.
    type Settings: DeserializeOwned + Send + 'static;

    /// The messages it answers.
    fn protocol() -> Protocol<Self>;

    /// Brings it to life. It is ready when this returns, unless it called
    /// [`Context::ready_later`].
    fn start(
        settings: Self::Settings,
        context: &mut Context,
    ) -> impl Future<Output = Result<Self, StartError>> + Send;

    /// How it is, asked from time to time.
    fn health(&self) -> Health {
        Health::Well
    }

    /// Its state, for a person to read. No secrets.
    fn snapshot(&self) -> Json {
        Json::default()
    }

    /// Something that it needs has gone, is stood in for, or has returned.
    fn need_changed(
        &mut self,
        _change: NeedChange,
        _context: &mut Context,
    ) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// A life that it watches with [`Context::monitor`] has ended.
    fn down(&mut self, _down: &Down, _context: &mut Context) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// It ends in good order. Not called when it crashes or is killed. It may end first what it has begun, as
    /// long as its supervisor waits, unless it is [called off](Context::called_off).
    fn stop(&mut self, _context: &mut Context) -> impl Future<Output = ()> + Send {
        async {}
    }
}

/// Answers one kind of message.
pub trait Handle<M: Message>: Agent {
    /// Answers, or refuses.
    fn handle(
        &mut self,
        message: M,
        context: &mut Context,
    ) -> impl Future<Output = Result<M::Reply, M::Refusal>> + Send;
}

/// Answers one kind of message later, when it has the answer, and goes on meanwhile.
pub trait HandleLater<M: Message>: Agent {
    /// Takes the question on.
    fn handle_later(
        &mut self,
        message: M,
        promise: Promise<M>,
        context: &mut Context,
    ) -> impl Future<Output = ()> + Send;
}

/// Answers one kind of message with many items.
pub trait HandleStream<M: Streamed>: Agent {
    /// Takes the question on. What it sends into the outlet may come now, or from a task later.
    fn handle_stream(
        &mut self,
        message: M,
        outlet: Outlet<M>,
        context: &mut Context,
    ) -> impl Future<Output = ()> + Send;
}

/// How an agent is, by its own account.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Health {
    /// As it should be.
    #[default]
    Well,
    /// It works, but not as it should.
    Degraded(String),
    /// It does not do its work.
    Ill(String),
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Well => f.write_str("well"),
            Self::Degraded(why) => write!(f, "degraded: {why}"),
            Self::Ill(why) => write!(f, "ill: {why}"),
        }
    }
}
