//! What is sent back to who asked.

use std::sync::Arc;

use genii_protocols::frame::{BriefReply, Data, PAYLOAD_MAX_LEN, Payload};
use genii_protocols::{Cause, Fault, Rejection, wire};
use tokio::time::Instant;

use super::parts::KIB;
use super::{Link, NotSent};
use crate::link::lane;
use crate::link::outbox::NotWritten;

/// How many bytes of answers may wait for room on a link. Beyond that they are dropped, and who asked
/// is told so.
pub(super) const ANSWERS_WAITING_MAX_LEN: usize = 2 * wire::MESSAGE_MAX_LEN;

impl Link {
    /// Sends a reply. One for which there is no room waits in a task of its own, until nobody waits
    /// for it any more.
    ///
    /// # Errors
    /// When too much waits for room already.
    pub(crate) fn reply(
        self: &Arc<Self>,
        correlation: u64,
        answer: Vec<u8>,
        deadline: Option<Instant>,
    ) -> Result<(), NotSent> {
        if answer.len() <= PAYLOAD_MAX_LEN {
            let head = BriefReply { correlation, payload: &answer }.head();
            match self.data.write(|buffer| lane::put_bytes(buffer, head.as_ref(), &answer)) {
                Ok(_) | Err(NotWritten::Closed) => return Ok(()),
                Err(NotWritten::Full) => {}
            }
        }
        let kib = u32::try_from(answer.len().div_ceil(KIB)).unwrap_or(u32::MAX);
        let room = self.answers_room.clone().try_acquire_many_owned(kib.max(1));
        let room = room.map_err(|_| NotSent::Crowded)?;
        let link = self.clone();
        tokio::spawn(async move {
            let _room = room;
            let sending = link.reply_when_room(correlation, &answer);
            match deadline {
                // Who asked has given up by then.
                Some(deadline) => drop(tokio::time::timeout_at(deadline, sending).await),
                None => sending.await,
            }
        });
        Ok(())
    }

    async fn reply_when_room(&self, correlation: u64, answer: &[u8]) {
        let parts = match answer.len() > PAYLOAD_MAX_LEN {
            true => match self.send_parts(answer).await {
                Ok(parts) => Some(parts),
                Err(_) => return,
            },
            false => None,
        };
        let whole = || Payload::Whole(answer);
        let payload = parts.as_ref().map_or_else(whole, |parts| Payload::Parts(parts.id));
        let reply = Data::Reply { correlation, answer: payload };
        while let Err(NotWritten::Full) = self.data.write(|buffer| lane::put(buffer, &reply)) {
            self.data.room().await;
        }
        if let Some(parts) = parts {
            parts.are_used(true);
        }
    }

    /// Says that what was asked before the other end said that it is about to leave is answered.
    pub(crate) fn settle(&self) {
        let _over = self.data.write_always(|buffer| lane::put(buffer, &Data::Settled));
    }

    /// Sends what takes the place of a reply.
    pub(crate) fn fail(&self, correlation: u64, fault: Fault) {
        let failed = Data::Failed { correlation, fault: Box::new(in_short(fault)) };
        let _over = self.data.write_always(|buffer| lane::put(buffer, &failed));
    }

    /// Gives credit back.
    pub(crate) fn give_credit(&self, to: u32, cost: u32) {
        let credit = Data::Credit { to, cost };
        let _over = self.data.write_always(|buffer| lane::put(buffer, &credit));
    }
}

/// How much of a text travels in a fault, in bytes; and how many errors of a chain.
const FAULT_TEXT_LEN: usize = 4_096;
const FAULT_CHAIN: usize = 8;

/// A fault that fits into a frame whatever an agent said.
pub(crate) fn in_short(mut fault: Fault) -> Fault {
    let cut = |text: &mut String| *text = crate::logbook::cut(text, FAULT_TEXT_LEN).to_owned();
    match &mut fault {
        Fault::Down { cause, .. } => {
            *cause = short_cause(std::mem::replace(cause, Cause::new(cause.kind, "")));
        }
        Fault::Rejected { message, reason, .. } => {
            cut(message);
            match reason {
                Rejection::Malformed { detail } | Rejection::WrongStyle { expected: detail } => {
                    cut(detail);
                }
                Rejection::UnknownMessage { nearest } => nearest.iter_mut().for_each(cut),
                Rejection::Version { .. } | Rejection::Unanswered | Rejection::OtherForm => {}
            }
        }
        Fault::Timeout { message, .. } => cut(message),
        Fault::NotFound { .. } | Fault::Overloaded { .. } | Fault::Unreachable { .. } => {}
    }
    fault
}

/// A cause that fits into a frame whatever an agent said.
pub(in crate::link) fn short_cause(mut cause: Cause) -> Cause {
    let cut = |text: &mut String| *text = crate::logbook::cut(text, FAULT_TEXT_LEN).to_owned();
    cut(&mut cause.message);
    cause.chain.truncate(FAULT_CHAIN);
    cause.chain.iter_mut().for_each(cut);
    cause.place.iter_mut().for_each(cut);
    cause.handling.iter_mut().for_each(cut);
    cause
}
