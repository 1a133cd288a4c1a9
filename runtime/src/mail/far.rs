//! Sending to an agent on another node.

use bytes::Bytes;
use genii_protocols::frame::NAME_MAX_LEN;
use genii_protocols::wire::{self, WireError};
use genii_protocols::{AskError, Fault, Json, Message, Rejection};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::way::FarWay;
use super::{Mail, NAME_KEPT_LEN};
use crate::letter::Meta;
use crate::link::questions::FarAnswer;
use crate::link::sending::{AskLost, NotSent, Saying};

impl Mail {
    pub(super) fn saying<'a>(
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

    pub(super) fn saying_json<'a>(
        &self,
        far: &'a FarWay,
        message: &'a str,
        meta: &'a Meta,
        content: &Json,
    ) -> Result<Saying<'a>, Box<Fault>> {
        let payload = content.0.to_string().into_bytes();
        Ok(Saying { is_json: true, ..self.saying(far, message, meta, Ok(payload))? })
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
            Ok(FarAnswer::Failed(fault)) => Err(fault),
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

    /// What an answer from afar says.
    pub(super) fn settled<R: DeserializeOwned, E: DeserializeOwned>(
        &self,
        message: &str,
        answer: &[u8],
    ) -> Result<R, AskError<E>> {
        match wire::decode::<Result<R, E>>(answer) {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(refusal)) => Err(AskError::Refused(refusal)),
            Err(error) => {
                let detail = format!("its answer: {error}");
                Err(self.rejected(message, Rejection::Malformed { detail }).into())
            }
        }
    }
}
