//! Small messages that have come together for one receiver.
//!
//! They stay bytes, side by side, until the receiver's host takes them one by one. So who reads the
//! lane does next to nothing for each, and what a message becomes is made, used and let go of by one
//! thread.

use std::collections::VecDeque;
use std::sync::Arc;

use genii_protocols::frame::{Brief, Letter as Frame};
use genii_protocols::{Cause, CauseKind, Fault, Sender, TraceContext};
use tokio::time::Instant;

use super::inlet::{Asked, Inlet};
use super::reply::FarReply;
use crate::directory::Line;
use crate::letter::{Letter, Meta};
use crate::protocol::Content;

/// How many messages a parcel has at most.
pub(super) const PARCEL_MAX: usize = 64;

/// How large a message in a parcel may be, in bytes. What is larger is read at once: it would be
/// copied once more.
pub(super) const SMALL_MAX_LEN: usize = 4 << 10;

/// Some small messages for one receiver, in their order. What each takes of its credit is given back
/// when the next is wanted, and so when it was handled.
pub(crate) struct Parcel {
    inlet: Arc<Inlet>,
    messages: VecDeque<Packed>,
    /// What they say, one after another.
    bytes: Vec<u8>,
    /// How many of the bytes are of messages that were taken.
    taken_len: usize,
    /// The names of messages, by number, and those who sent some.
    names: Vec<(u32, Arc<str>)>,
    senders: Vec<Arc<Sender>>,
    /// What those take of the credit that were not handled, and of that the one that was taken last.
    cost: u32,
    cost_in_hand: u32,
}

/// A message in a parcel. What lies in a list of the parcel is told by its place there.
struct Packed {
    len: usize,
    name: usize,
    sender: Option<usize>,
    deadline: Option<Instant>,
    trace: Option<Box<TraceContext>>,
    correlation: Option<u64>,
}

impl Parcel {
    pub(super) fn new(inlet: Arc<Inlet>) -> Box<Self> {
        Box::new(Self {
            inlet,
            messages: VecDeque::new(),
            bytes: Vec::new(),
            taken_len: 0,
            names: Vec::new(),
            senders: Vec::new(),
            cost: 0,
            cost_in_hand: 0,
        })
    }

    /// An empty one anew, for another receiver.
    pub(super) fn renew(&mut self, inlet: Arc<Inlet>) {
        self.inlet = inlet;
        self.bytes.clear();
        self.names.clear();
        self.senders.clear();
        (self.taken_len, self.cost, self.cost_in_hand) = (0, 0, 0);
    }

    /// How many messages there are.
    pub(crate) fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether there is no room for more.
    pub(super) fn is_full(&self) -> bool {
        self.messages.len() >= PARCEL_MAX
    }

    /// What all of them take of the receiver's credit.
    pub(super) fn cost(&self) -> u32 {
        self.cost
    }

    /// As [`Parcel::cost`]. Somebody else gives it back.
    pub(super) fn take_cost(&mut self) -> u32 {
        std::mem::take(&mut self.cost)
    }

    /// Packs a message. What its name and its sender are is asked for if it is not known here.
    pub(super) fn pack<E>(
        &mut self,
        brief: &Brief<'_>,
        deadline: Option<Instant>,
        name: impl FnOnce(u32) -> Result<Arc<str>, E>,
        sender: impl FnOnce((u32, u64)) -> Result<Arc<Sender>, E>,
    ) -> Result<(), E> {
        let known = self.names.iter().position(|(number, _)| *number == brief.message);
        let name = match known {
            Some(place) => place,
            None => {
                self.names.push((brief.message, name(brief.message)?));
                self.names.len() - 1
            }
        };
        let sender = brief.from.map(|from| Ok(self.place_of(sender(from)?))).transpose()?;
        self.bytes.extend_from_slice(brief.payload);
        self.cost += Frame::cost(brief.payload.len());
        self.messages.push_back(Packed {
            len: brief.payload.len(),
            name,
            sender,
            deadline,
            trace: brief.trace.map(Box::new),
            correlation: brief.correlation,
        });
        Ok(())
    }

    fn place_of(&mut self, sender: Arc<Sender>) -> usize {
        let known = self.senders.iter().position(|known| Arc::ptr_eq(known, &sender));
        known.unwrap_or_else(|| {
            self.senders.push(sender);
            self.senders.len() - 1
        })
    }

    /// The next message, as a letter for a life. One that makes no sense is refused, and passed over.
    pub(crate) fn next(&mut self, line: &Arc<Line>) -> Option<Box<dyn Letter>> {
        loop {
            self.give_back();
            let packed = self.messages.pop_front()?;
            // Nothing, where somebody else gives it back.
            self.cost_in_hand = Frame::cost(packed.len).min(self.cost);
            let begin = self.taken_len;
            self.taken_len += packed.len;
            let content = Content::Wire(&self.bytes[begin..self.taken_len]);
            let name = &self.names[packed.name].1;
            let reply = packed.reply(&self.inlet, line);
            let from = packed.sender.map(|place| self.senders[place].clone());
            let meta = Meta {
                from: from.clone(),
                deadline: packed.deadline,
                trace: packed.trace,
                ..Meta::default()
            };
            match line.protocol.far_letter(name, content, meta, reply) {
                Ok(letter) => return Some(letter),
                Err((reason, reply)) => self.inlet.not_read(line, name, from, reason, reply),
            }
        }
    }

    /// Gives back what the one took that was taken last.
    fn give_back(&mut self) {
        let cost = std::mem::take(&mut self.cost_in_hand);
        if cost > 0 {
            self.cost -= cost;
            self.inlet.handled(cost);
        }
    }

    /// The first of them, at most so many, as a parcel of their own.
    pub(crate) fn split(&mut self, count: usize) -> Box<Self> {
        let count = count.min(self.messages.len());
        let messages: VecDeque<Packed> = self.messages.drain(..count).collect();
        let len: usize = messages.iter().map(|packed| packed.len).sum();
        let cost = messages.iter().map(|packed| Frame::cost(packed.len)).sum();
        let begin = self.taken_len;
        self.taken_len += len;
        self.cost -= cost;
        Box::new(Self {
            inlet: self.inlet.clone(),
            messages,
            bytes: self.bytes[begin..begin + len].to_vec(),
            taken_len: 0,
            names: self.names.clone(),
            senders: self.senders.clone(),
            cost,
            cost_in_hand: 0,
        })
    }

    /// None of them is handled, for this reason.
    pub(crate) fn lose(&mut self, fault: &Fault) {
        while let Some(packed) = self.messages.pop_front() {
            let asked = packed.correlation.map(Asked::for_one);
            self.undelivered(&packed, asked, fault);
        }
    }

    /// The life that was to handle them has ended; askers are told why when that is known.
    pub(super) fn bury(&mut self, line: &Arc<Line>, fault: &Fault) {
        while let Some(packed) = self.messages.pop_front() {
            match packed.reply(&self.inlet, line) {
                Some(dropped) => drop(dropped),
                None => self.undelivered(&packed, None, fault),
            }
        }
    }

    fn undelivered(&self, packed: &Packed, asked: Option<Asked>, fault: &Fault) {
        let from = packed.sender.map(|place| self.senders[place].clone());
        self.inlet.undelivered(&self.names[packed.name].1, from, asked, fault.clone());
    }
}

impl Packed {
    fn reply(&self, inlet: &Arc<Inlet>, line: &Arc<Line>) -> Option<FarReply> {
        let asked = Asked::for_one(self.correlation?);
        Some(FarReply::new(inlet.clone(), line.clone(), asked, self.deadline, false, None))
    }
}

impl Drop for Parcel {
    fn drop(&mut self) {
        if !self.messages.is_empty() {
            self.lose(&self.inlet.down(Cause::new(CauseKind::Stopped, "it has ended")));
        }
        self.inlet.handled(self.cost);
    }
}
