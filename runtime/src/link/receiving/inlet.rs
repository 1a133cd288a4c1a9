//! Where messages from another node come in for one receiver here.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use genii_protocols::frame::CREDIT_MAX;
use genii_protocols::{Address, Cause, CauseKind, Fault, Rejection, Sender};
use parking_lot::Mutex;

use super::parcel::Parcel;
use super::reply::FarReply;
use crate::directory::{Line, Slot, State};
use crate::letter::{Letter, Meta};
use crate::link::lane::End;
use crate::link::sending::Link;
use crate::mailbox::{Closed, NotTaken};
use crate::node::Node;
use crate::post::Post;
use crate::protocol::Content;

/// How often who was to take a message may have given way to another before it is lost.
const GIVEN_WAY_MAX: usize = 8;

/// When so much of a receiver's credit has been handled, it is given back.
const CREDIT_STEP: u32 = CREDIT_MAX / 4;

/// Where the messages of a link to one receiver here come in.
pub(crate) struct Inlet {
    node: Node,
    link: Arc<Link>,
    /// As the other end knows the receiver.
    number: u32,
    address: Address,
    /// What the directory had for it. A slot that was forgotten stays shut for good, and then the
    /// directory is asked every time.
    slot: OnceLock<Arc<Slot>>,
    /// How much has been handled whose credit was not given back.
    handled: AtomicU32,
    /// It is among those that owe something.
    is_owing: AtomicBool,
    /// How much has come and was not handled.
    outstanding: AtomicU32,
    overflow: Mutex<Overflow>,
}

/// That an answer is wanted, or many.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    pub(super) correlation: u64,
    pub(super) wants_many: bool,
}

impl Asked {
    /// That one answer is wanted.
    pub(super) fn for_one(correlation: u64) -> Self {
        Self { correlation, wants_many: false }
    }
}

/// What did not find room in the mailbox. Bounded by the credit of the other end.
#[derive(Default)]
struct Overflow {
    posts: VecDeque<Post>,
    /// Somebody carries them to the mailbox as there is room.
    is_carried: bool,
}

impl Inlet {
    /// For the receiver that has this number at the other end.
    pub(super) fn new(node: Node, link: Arc<Link>, number: u32, address: Address) -> Self {
        Self {
            node,
            link,
            number,
            address,
            slot: OnceLock::new(),
            handled: AtomicU32::new(0),
            is_owing: AtomicBool::new(false),
            outstanding: AtomicU32::new(0),
            overflow: Mutex::default(),
        }
    }

    pub(super) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// Delivers a message that is read at once.
    pub(super) fn deliver(
        self: &Arc<Self>,
        message: &str,
        content: Content<'_>,
        meta: Meta,
        asked: Option<Asked>,
    ) {
        let (from, deadline) = (meta.from.clone(), meta.deadline);
        let line = match self.line() {
            Ok(line) => line,
            Err(fault) => return self.undelivered(message, from, asked, *fault),
        };
        let outlet = match asked.filter(|asked| asked.wants_many) {
            None => None,
            Some(asked) => match self.link.open_outlet(asked.correlation) {
                Some(outlet) => Some(outlet),
                None => {
                    let (to, capacity) = (self.address.clone().into(), line.mailbox.capacity());
                    let crowded = Fault::Overloaded { to, capacity };
                    return self.undelivered(message, from, Some(asked), crowded);
                }
            },
        };
        let is_json = matches!(content, Content::Json(_));
        let reply = asked.map(|asked| {
            FarReply::new(self.clone(), line.clone(), asked, deadline, is_json, outlet)
        });
        match line.protocol.far_letter(message, content, meta, reply) {
            Ok(letter) => self.put(&line, Post::Letter(letter)),
            Err((reason, reply)) => self.not_read(&line, message, from, reason, reply),
        }
    }

    /// Delivers a parcel, and gives it back where what was in it did not need it.
    pub(super) fn deliver_parcel(
        self: &Arc<Self>,
        mut parcel: Box<Parcel>,
    ) -> Result<Option<Box<Parcel>>, End> {
        let cost = parcel.cost();
        self.take_on(cost)?;
        let line = match self.line() {
            Ok(line) => line,
            Err(fault) => {
                parcel.lose(&fault);
                return Ok(None);
            }
        };
        if parcel.len() > 1 {
            self.put(&line, Post::Parcel(parcel));
            return Ok(None);
        }
        let ticket = Ticket { inlet: self.clone(), cost: parcel.take_cost() };
        if let Some(mut letter) = parcel.next(&line) {
            letter.meta().ticket = Some(ticket);
            self.put(&line, Post::Letter(letter));
        }
        Ok(Some(parcel))
    }

    /// A message made no sense to a life.
    pub(super) fn not_read(
        &self,
        line: &Line,
        message: &str,
        from: Option<Arc<Sender>>,
        reason: Rejection,
        reply: Option<FarReply>,
    ) {
        line.slot.vitals.reject();
        let (to, name) = (self.address.clone().into(), message.to_owned());
        let fault = Fault::Rejected { to, message: name, reason };
        let asked = reply.map(FarReply::cancel);
        self.undelivered(message, from, asked, fault);
    }

    /// The life that takes messages now.
    fn line(&self) -> Result<Arc<Line>, Box<Fault>> {
        if let Some(slot) = self.slot.get()
            && let State::Open(line) = &**slot.state()
        {
            return Ok(line.clone());
        }
        let to = || self.address.clone().into();
        let found = self.node.directory().line_at(&self.address);
        let (slot, route) =
            found.ok_or_else(|| Box::new(self.node.directory().not_found(&to())))?;
        let _known_already = self.slot.set(slot);
        route.map_err(|cause| Box::new(Fault::Down { to: to(), cause: (*cause).clone() }))
    }

    fn put(self: &Arc<Self>, line: &Arc<Line>, post: Post) {
        let mut overflow = self.overflow.lock();
        if overflow.is_carried {
            overflow.posts.push_back(post);
            return;
        }
        match self.push(line, post) {
            Ok(()) => {}
            Err((NotTaken::Closed(post), line)) => self.bury(post, &line),
            Err((NotTaken::Full(post), _)) => {
                overflow.posts.push_back(post);
                overflow.is_carried = true;
                tokio::spawn(self.clone().carry());
            }
        }
    }

    /// Puts a post into the mailbox of a life, or of that to which it has given way.
    fn push(&self, line: &Arc<Line>, mut post: Post) -> Result<(), (NotTaken<Post>, Arc<Line>)> {
        let mut line = line.clone();
        for _ in 0..GIVEN_WAY_MAX {
            post = match line.mailbox.push(post) {
                Err(NotTaken::Closed(post)) if line.has_given_way() => post,
                pushed => return pushed.map_err(|why| (why, line)),
            };
            self.node.directory().rouse(&self.address);
            let Some((_, Ok(next))) = self.node.directory().line_at(&self.address) else { break };
            line = next;
        }
        Err((NotTaken::Closed(post), line))
    }

    /// Carries to the mailbox what did not find room, in its order.
    async fn carry(self: Arc<Self>) {
        while let Some(line) = self.carry_what_fits() {
            tokio::select! {
                biased;
                () = self.link.over() => {}
                () = line.mailbox.roomy() => {}
            }
        }
    }

    /// Carries what finds room; returns the life in whose mailbox there is none for the rest.
    fn carry_what_fits(&self) -> Option<Arc<Line>> {
        let mut overflow = self.overflow.lock();
        if self.link.is_over() {
            // What comes on the next link would come before it.
            for post in std::mem::take(&mut overflow.posts) {
                self.overtaken(post);
            }
        }
        loop {
            let line = self.line();
            let pushed = match &line {
                Ok(line) => line.mailbox.push_many(&mut overflow.posts),
                Err(_) => Err(Closed),
            };
            if pushed == Ok(false) {
                return line.ok();
            }
            if line.as_ref().is_ok_and(|line| pushed.is_err() && line.has_given_way()) {
                // Whoever it gave way to is found the next time.
                self.node.directory().rouse(&self.address);
                continue;
            }
            // There is no life that takes the next; the one after that may find another.
            let Some(post) = overflow.posts.pop_front() else {
                overflow.is_carried = false;
                return None;
            };
            match line {
                Ok(line) => self.bury(post, &line),
                Err(fault) => self.return_post(post, *fault),
            }
        }
    }

    /// The link has ended on which something came that has found no room yet. What comes on the next
    /// must not be handled before it, and so it is not handled at all.
    fn overtaken(&self, post: Post) {
        let cause = Cause::new(CauseKind::Stopped, "it had no room before the link was lost");
        self.return_post(post, self.down(cause));
    }

    /// Nobody takes it.
    fn return_post(&self, post: Post, fault: Fault) {
        match post {
            Post::Parcel(mut parcel) => parcel.lose(&fault),
            Post::Letter(letter) => {
                let letter = self.noted(letter, &fault);
                letter.fail(fault);
            }
        }
    }

    /// The mailbox has closed, and something was lost with it.
    fn bury(&self, post: Post, line: &Arc<Line>) {
        let cause = match line.slot.route() {
            Err(cause) => (*cause).clone(),
            Ok(_) => Cause::new(CauseKind::Stopped, "it has just ended"),
        };
        let fault = self.down(cause);
        match post {
            Post::Parcel(mut parcel) => parcel.bury(line, &fault),
            // Who asked hears of it by the reply that is dropped.
            Post::Letter(letter) => drop(self.noted(letter, &fault)),
        }
    }

    /// Notes a letter that is lost, unless somebody waits to hear about it.
    fn noted(&self, mut letter: Box<dyn Letter>, fault: &Fault) -> Box<dyn Letter> {
        if !letter.has_asker() {
            let from = letter.meta().from.clone();
            self.undelivered(letter.name(), from, None, fault.clone());
        }
        letter
    }

    pub(super) fn down(&self, cause: Cause) -> Fault {
        Fault::Down { to: self.address.clone().into(), cause }
    }

    pub(super) fn undelivered(
        &self,
        message: &str,
        from: Option<Arc<Sender>>,
        asked: Option<Asked>,
        fault: Fault,
    ) {
        match asked {
            Some(asked) => self.link.fail(asked.correlation, fault),
            None => {
                let to = self.address.clone().into();
                self.node.dead_letters().add(to, from, message.to_owned(), fault);
            }
        }
    }

    /// Something has come.
    ///
    /// # Errors
    /// When the other end had no credit left for it.
    fn take_on(&self, cost: u32) -> Result<(), End> {
        let before = self.outstanding.fetch_add(cost, Ordering::Relaxed);
        match before.saturating_add(cost) > CREDIT_MAX {
            true => Err(End::nonsense("it sends beyond its credit")),
            false => Ok(()),
        }
    }

    /// So much of what has come needs no more room.
    pub(super) fn handled(self: &Arc<Self>, cost: u32) {
        self.outstanding.fetch_sub(cost, Ordering::Relaxed);
        let handled = self.handled.fetch_add(cost, Ordering::SeqCst) + cost;
        if handled >= CREDIT_STEP {
            self.give_back();
        } else if !self.is_owing.load(Ordering::SeqCst)
            && !self.is_owing.swap(true, Ordering::SeqCst)
        {
            self.link.owe(self);
        }
    }

    /// Gives back what was handled; whatever is handled from here on is owed anew.
    pub(super) fn give_back_owed(&self) {
        // In this order, so that what is handled between the two is not forgotten.
        self.is_owing.store(false, Ordering::SeqCst);
        self.give_back();
    }

    fn give_back(&self) {
        let handled = self.handled.swap(0, Ordering::SeqCst);
        if handled > 0 {
            self.link.give_credit(self.number, handled);
        }
    }
}

/// What a message from afar holds of its sender's credit until it has been handled.
pub(crate) struct Ticket {
    inlet: Arc<Inlet>,
    cost: u32,
}

impl Ticket {
    pub(super) fn new(inlet: Arc<Inlet>, cost: u32) -> Result<Self, End> {
        inlet.take_on(cost)?;
        Ok(Self { inlet, cost })
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.inlet.handled(self.cost);
    }
}

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ticket({})", self.cost)
    }
}
