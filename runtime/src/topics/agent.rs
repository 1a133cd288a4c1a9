//! Subscriptions of agents: what is published comes into the mailbox, as a message of its own type.

use std::any::TypeId;
use std::marker::PhantomData;
use std::sync::{Arc, Weak};

use genii_protocols::{Address, Fault, Message, Rejection, Topic};
use parking_lot::Mutex;

use super::{Publication, SUBSCRIPTION_MAX_LEN, SubscriptionId};
use crate::directory::Line;
use crate::letter::{Letter, Meta};
use crate::mailbox::NotTaken;
use crate::node::Node;

/// How many publications of one subscription wait in the mailbox of an agent. What comes then is
/// lost to it, so that there is always room for other messages.
pub const WAITING_MAX: usize = 256;

/// The way of a subscription into a mailbox.
pub(crate) struct AgentSink {
    address: Address,
    line: Weak<Line>,
    id: SubscriptionId,
    message: &'static str,
    /// Makes a letter of what comes.
    announce: fn(Meta, Arrival) -> Box<dyn Letter>,
    waits: Mutex<Waits>,
}

/// What waits in the mailbox and was not handled.
#[derive(Default)]
struct Waits {
    count: usize,
    len: usize,
    /// How many were lost, ever.
    lost: u64,
    /// How many of those the agent has not been told of.
    untold: u64,
    /// The last one that was handled could not be read.
    is_unreadable: bool,
}

/// Something published that has come to an agent.
pub struct Arrival {
    publication: Arc<Publication>,
    lost: u64,
    sink: Arc<AgentSink>,
}

impl Arrival {
    /// What was published.
    pub fn publication(&self) -> &Publication {
        &self.publication
    }

    /// What it is about.
    pub fn topic(&self) -> &Topic {
        self.publication.topic()
    }

    /// How many publications of this subscription were lost before it, because there was no room for
    /// them in the mailbox.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// The subscription by which it has come.
    pub fn subscription(&self) -> SubscriptionId {
        self.sink.id
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        let mut waits = self.sink.waits.lock();
        waits.count -= 1;
        waits.len -= self.publication.text().len();
    }
}

impl AgentSink {
    /// The way of a subscription into the mailbox of a life, as messages of type `M`.
    pub(crate) fn new<M: Message>(line: &Arc<Line>, id: SubscriptionId) -> Self {
        Self {
            address: line.identity.address.clone(),
            line: Arc::downgrade(line),
            id,
            message: M::NAME,
            announce: |meta, arrival| {
                Box::new(Announced::<M> { meta, arrival, message: PhantomData })
            },
            waits: Mutex::default(),
        }
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// How many it has lost, ever.
    pub(super) fn lost(&self) -> u64 {
        self.waits.lock().lost
    }

    /// Takes something published, and says how many were lost for it.
    pub(super) fn take(self: &Arc<Self>, node: &Node, publication: &Arc<Publication>) -> u64 {
        // A life that has ended wants nothing any more.
        let Some(line) = self.line.upgrade() else { return 0 };
        let Some(lost) = self.make_room(publication.text().len()) else {
            return self.lose(node, publication, 0, WAITING_MAX);
        };
        let arrival = Arrival { publication: publication.clone(), lost, sink: self.clone() };
        let trace = publication.trace().map(Box::new);
        let meta = Meta { from: publication.sender().cloned(), trace, ..Meta::default() };
        match line.mailbox.push((self.announce)(meta, arrival)) {
            Ok(()) | Err(NotTaken::Closed(_)) => 0,
            Err(NotTaken::Full(letter)) => {
                // It lets go of its room, and what it would have told is still to be told.
                drop(letter);
                self.lose(node, publication, lost, line.mailbox.capacity())
            }
        }
    }

    /// Makes room for so many bytes, if there is some, and says how many were lost that the agent was
    /// not told of.
    fn make_room(&self, len: usize) -> Option<u64> {
        let mut waits = self.waits.lock();
        // One that is larger may wait alone.
        let is_too_much = waits.count > 0 && waits.len + len > SUBSCRIPTION_MAX_LEN;
        if waits.count >= WAITING_MAX || is_too_much {
            return None;
        }
        waits.count += 1;
        waits.len += len;
        Some(std::mem::take(&mut waits.untold))
    }

    /// One is lost, after so many of which the agent was not told. The first of a row is a dead
    /// letter, and all are counted.
    fn lose(&self, node: &Node, publication: &Publication, before: u64, capacity: usize) -> u64 {
        let mut waits = self.waits.lock();
        waits.lost += 1;
        waits.untold += before + 1;
        let (is_first, count) = (waits.untold == 1, waits.count);
        drop(waits);
        if is_first {
            let (to, waits) = (self.address.clone().into(), format!("while {count} more waited"));
            self.bury(node, publication, &waits, Fault::Overloaded { to, capacity });
        }
        1
    }

    /// Something was handled, or could not be read.
    fn was_read(&self, node: &Node, arrival: &Arrival, unread: Option<Rejection>) {
        let mut waits = self.waits.lock();
        let was_unreadable = std::mem::replace(&mut waits.is_unreadable, unread.is_some());
        if unread.is_some() {
            // What it would have told is still to be told.
            waits.untold += arrival.lost;
        }
        drop(waits);
        if let Some(reason) = unread.filter(|_| !was_unreadable) {
            let (to, message) = (self.address.clone().into(), self.message.to_owned());
            let fault = Fault::Rejected { to, message, reason };
            self.bury(node, &arrival.publication, "and not readable", fault);
        }
    }

    fn bury(&self, node: &Node, publication: &Publication, why: &str, fault: Fault) {
        let (to, from) = (self.address.clone().into(), publication.sender().cloned());
        let what = format!("{} (published on {}, {why})", self.message, publication.topic());
        node.dead_letters().add(to, from, what, fault);
    }
}

/// Something published, in a mailbox. It is read when its turn comes, so that reading it costs
/// neither who published it nor the link.
pub(crate) struct Announced<M> {
    meta: Meta,
    arrival: Arrival,
    message: PhantomData<fn() -> M>,
}

impl<M: Message> Announced<M> {
    /// The message that it holds. One that is no such message is a dead letter, if the one before it
    /// was not too.
    pub(crate) fn read(self, node: &Node) -> Option<(M, Arrival)> {
        let arrival = self.arrival;
        let (message, unread) = match arrival.publication.read::<M>() {
            Ok(message) => (Some(message), None),
            Err(reason) => (None, Some(reason)),
        };
        arrival.sink.was_read(node, &arrival, unread);
        message.map(|message| (message, arrival))
    }
}

impl<M: Message> Letter for Announced<M> {
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
        false
    }

    fn fail(self: Box<Self>, _: Fault) {}
}
