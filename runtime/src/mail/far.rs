//! Sending to an agent on another node.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use genii_protocols::frame::NAME_MAX_LEN;
use genii_protocols::wire::{self, WireError};
use genii_protocols::{Fault, Json, Message, Rejection};
use tokio::time::Instant;

use super::way::FarWay;
use super::{Mail, NAME_KEPT_LEN};
use crate::letter::Meta;
use crate::link::flowing::FarStream;
use crate::link::questions::FarAnswer;
use crate::link::sending::{AskLost, NotSent, Saying};
use crate::stream::{Origin, Source};

impl Mail {
    pub(super) fn saying<'a>(
        &self,
        far: &'a FarWay,
        message: &'a str,
        meta: &'a Meta,
        payload: Result<Vec<u8>, WireError>,
    ) -> Result<Saying<'a>, Box<Fault>> {
        // What would be read as something else there is not sent.
        match far.link.differing.contains(message) {
            true => Err(self.rejected(message, Rejection::OtherForm)),
            false => self.saying_in_any_form(far, message, meta, payload),
        }
    }

    pub(super) fn saying_in_any_form<'a>(
        &self,
        far: &'a FarWay,
        message: &'a str,
        meta: &'a Meta,
        payload: Result<Vec<u8>, WireError>,
    ) -> Result<Saying<'a>, Box<Fault>> {
        if message.len() > NAME_MAX_LEN {
            let name = crate::logbook::cut(message, NAME_KEPT_LEN);
            return Err(self.rejected(name, Rejection::UnknownMessage { nearest: None }));
        }
        let payload = payload.map_err(|error| {
            self.rejected(message, Rejection::Malformed { detail: error.to_string() })
        })?;
        Ok(Saying { to: &far.window, message, meta, is_json: false, payload })
    }

    /// A name that anybody may have made up is told to no other node that has no agent for it: names
    /// take room there as long as the link lasts.
    pub(super) fn known_there(&self, far: &FarWay, message: &str) -> Result<(), Box<Fault>> {
        far.link.knows(message).map_err(|nearest| {
            let name = crate::logbook::cut(message, NAME_KEPT_LEN);
            self.rejected(name, Rejection::UnknownMessage { nearest })
        })
    }

    pub(super) fn saying_json<'a>(
        &self,
        far: &'a FarWay,
        message: &'a str,
        meta: &'a Meta,
        content: &Json,
    ) -> Result<Saying<'a>, Box<Fault>> {
        self.known_there(far, message)?;
        let payload = content.0.to_string().into_bytes();
        let said = self.saying_in_any_form(far, message, meta, Ok(payload))?;
        Ok(Saying { is_json: true, ..said })
    }

    pub(super) async fn tell_far<M: Message>(
        &self,
        far: &FarWay,
        message: &M,
    ) -> Result<(), Box<Fault>> {
        let meta = self.meta(self.deadline);
        let said = self.saying(far, M::NAME, &meta, wire::encode(message))?;
        match far.link.try_tell(&said) {
            Err(NotSent::Crowded) => {}
            told => return told.map_err(|why| self.not_sent(far, why)),
        }
        let deadline = self.deadline_within(self.node.limits().tell_patience);
        let told = Box::pin(far.link.tell(said, deadline, self.node.deadlines())).await;
        told.map_err(|why| self.not_sent(far, why))
    }

    pub(super) fn try_tell_far<M: Message>(
        &self,
        far: &FarWay,
        message: &M,
    ) -> Result<(), Box<Fault>> {
        let meta = self.meta(self.deadline);
        let said = self.saying(far, M::NAME, &meta, wire::encode(message))?;
        far.link.try_tell(&said).map_err(|why| self.not_sent(far, why))
    }

    pub(super) async fn ask_far(
        &self,
        far: &FarWay,
        said: Saying<'_>,
        asked_at: Instant,
        deadline: Instant,
    ) -> Result<Bytes, Box<Fault>> {
        let message = said.message;
        let asked = Box::pin(far.link.ask(said, deadline, self.node.deadlines())).await;
        match asked {
            Ok(FarAnswer::Reply(answer)) => Ok(answer),
            Ok(FarAnswer::Failed(fault)) => Err(fault.of(&self.to).into()),
            Err(AskLost::NotSent(why)) => Err(self.not_sent(far, why)),
            Err(AskLost::Broken) => Err(self.unreachable(far.link.peer.clone())),
            Err(AskLost::Late) => Err(self.timed_out(message, deadline - asked_at)),
        }
    }

    pub(super) fn not_sent(&self, far: &FarWay, why: NotSent) -> Box<Fault> {
        match why {
            NotSent::Crowded => {
                let capacity = genii_protocols::frame::CREDIT_MAX as usize;
                Box::new(Fault::Overloaded { to: self.to.clone(), capacity })
            }
            NotSent::Lost => self.unreachable(far.link.peer.clone()),
            NotSent::TooLarge(len) => {
                let detail = WireError::TooLarge { len }.to_string();
                self.rejected("a message", Rejection::Malformed { detail })
            }
        }
    }

    /// Asks an agent on another node for a stream.
    pub(super) async fn stream_far(
        &self,
        far: &FarWay,
        said: Saying<'_>,
        patience: Duration,
    ) -> Result<FarStream, Box<Fault>> {
        let deadline = self.earlier(Instant::now() + patience);
        let asked = Box::pin(far.link.stream(said, deadline, self.node.deadlines())).await;
        asked.map_err(|why| self.not_sent(far, why))
    }

    /// Where a stream of another node comes from.
    pub(super) fn far_source(
        &self,
        far: &FarWay,
        patience: Duration,
        message: impl Into<Cow<'static, str>>,
    ) -> Source {
        let origin = Origin::Far(far.link.peer.clone());
        Source { to: self.to.clone(), origin, patience, message: message.into() }
    }
}
