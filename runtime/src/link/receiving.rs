//! What comes in on a data lane, and how it reaches the agents here.

mod publications;

use std::collections::HashMap;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use genii_protocols::frame::{self, CREDIT_MAX, Data, PARTS_MAX_LEN, Payload};
use genii_protocols::{Address, Cause, CauseKind, Fault, Rejection, Sender, wire};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::flowing::FarOutlet;
use super::lane::{End, Frames, read};
use super::names::Texts;
use super::sending::{Link, NotSent};
use crate::directory::{Line, Slot, State};
use crate::letter::{Letter, Meta};
use crate::mailbox::{Closed, NotTaken};
use crate::node::Node;
use crate::protocol::Content;

/// How many things may come in parts at a time.
const IN_PARTS_MAX: usize = 4_096;

/// When so much of a receiver's credit has been handled, it is given back.
const CREDIT_STEP: u32 = CREDIT_MAX / 4;

/// How long to wait to learn why somebody ended who owed an answer.
const CAUSE_PATIENCE: Duration = Duration::from_secs(5);

/// The receiving end of a data lane.
pub(crate) struct Receiving {
    node: Node,
    link: Arc<Link>,
    texts: Texts,
    /// By the number of the receiver.
    inlets: Vec<Option<Arc<Inlet>>>,
    senders: HashMap<(u32, u64), Arc<Sender>, foldhash::fast::RandomState>,
    parts: HashMap<u32, Vec<u8>>,
    parts_len: usize,
    /// How much of what was published has been handed out and not given back.
    distributed: u32,
}

impl Receiving {
    pub(crate) fn new(node: Node, link: Arc<Link>) -> Self {
        Self {
            node,
            link,
            texts: Texts::default(),
            inlets: Vec::new(),
            senders: HashMap::default(),
            parts: HashMap::new(),
            parts_len: 0,
            distributed: 0,
        }
    }

    /// Takes what comes until the lane ends.
    pub(crate) async fn run(mut self, mut frames: Frames) -> End {
        loop {
            if let Err(end) = frames.each(|frame| self.take(frame)) {
                return end;
            }
            if let Err(end) = frames.more().await {
                return end;
            }
        }
    }

    fn take(&mut self, frame: &[u8]) -> Result<(), End> {
        match read::<Data<'_>>(frame)? {
            Data::Attach { .. } => return Err(End::nonsense("it attaches twice")),
            Data::Name(text) => self.texts.add(text)?,
            Data::Tell(letter) => self.deliver(letter, None)?,
            Data::Ask { correlation, letter } => {
                self.deliver(letter, Some(Asked { correlation, wants_many: false }))?;
            }
            Data::Stream { correlation, letter } => {
                self.deliver(letter, Some(Asked { correlation, wants_many: true }))?;
            }
            Data::Reply { correlation, answer } => {
                let reply = self.bytes(answer)?;
                self.link.answered(correlation, reply);
            }
            Data::Item { correlation, item } => {
                let item = self.bytes(item)?;
                self.link.item_came(correlation, item)?;
            }
            Data::More { correlation, cost } => self.link.more_wanted(correlation, cost),
            Data::Forget { correlation } => self.link.close_outlet(correlation),
            Data::Watch { watch, to, from } => {
                let to = address(self.texts.get(to)?)?;
                let linked = match from {
                    Some((number, life)) => Some((address(self.texts.get(number)?)?, life)),
                    None => None,
                };
                self.link.watched(&self.node, watch, &to, linked)?;
            }
            Data::Unwatch { watch } => self.link.unwatched(watch),
            Data::Ended { watch, incarnation, cause, is_abnormal } => {
                self.link.watched_ended(watch, incarnation, *cause, is_abnormal);
            }
            Data::Run { correlation, command } => {
                let command = self.bytes(command)?;
                if let Some(cluster) = self.node.cluster() {
                    cluster.0.run(&self.link, correlation, &command);
                }
            }
            Data::Broke { watch, cause, is_abnormal } => {
                self.link.watcher_ended(watch, *cause, is_abnormal);
            }
            Data::Failed { correlation, fault } => self.link.failed(correlation, fault),
            Data::Credit { to, cost } => self.link.credit(to, cost)?,
            Data::Part { id, bytes } => self.part(id, bytes)?,
            Data::Abandon { id } => drop(self.whole(id)),
            Data::Settled => self.link.is_settled.store(true, Ordering::Release),
            Data::Published(published) => self.published(published)?,
            Data::Distributed { cost } => self.link.distributed(cost),
        }
        Ok(())
    }

    fn bytes(&mut self, payload: Payload<'_>) -> Result<Bytes, End> {
        match payload {
            Payload::Whole(bytes) => Ok(Bytes::copy_from_slice(bytes)),
            Payload::Parts(id) => self.whole(id).map(Bytes::from),
        }
    }

    fn part(&mut self, id: u32, bytes: &[u8]) -> Result<(), End> {
        if bytes.is_empty() || self.parts.len() > IN_PARTS_MAX {
            return Err(End::nonsense("too many parts, or parts of nothing"));
        }
        self.parts_len += bytes.len();
        let parts = self.parts.entry(id).or_default();
        parts.extend_from_slice(bytes);
        if parts.len() > wire::MESSAGE_MAX_LEN || self.parts_len > PARTS_MAX_LEN {
            return Err(End::nonsense("its parts are too large"));
        }
        Ok(())
    }

    /// What has come in parts.
    fn whole(&mut self, id: u32) -> Result<Vec<u8>, End> {
        let parts = self.parts.remove(&id);
        let parts = parts.ok_or_else(|| End::nonsense("parts that did not come"))?;
        self.parts_len -= parts.len();
        Ok(parts)
    }

    fn deliver(&mut self, letter: frame::Letter<'_>, asked: Option<Asked>) -> Result<(), End> {
        let inlet = self.inlet(letter.to)?;
        let from = letter.from.map(|from| self.sender(from)).transpose()?;
        let whole;
        let payload = match letter.payload {
            Payload::Whole(bytes) => bytes,
            Payload::Parts(id) => {
                whole = self.whole(id)?;
                &whole[..]
            }
        };
        let deadline = letter.deadline.map(|left| Instant::now() + Duration::from_micros(left));
        let ticket = Ticket::new(inlet.clone(), frame::Letter::cost(payload.len()))?;
        let meta = Meta {
            from,
            deadline,
            asked_at: None,
            trace: letter.trace.map(Box::new),
            ticket: Some(ticket),
        };
        let content = if letter.is_json { Content::Json(payload) } else { Content::Wire(payload) };
        inlet.deliver(self.texts.get(letter.message)?, content, meta, asked);
        Ok(())
    }

    fn inlet(&mut self, number: u32) -> Result<Arc<Inlet>, End> {
        // A name that the other end has told; there are no more numbers than those.
        let index = number as usize;
        if let Some(Some(inlet)) = self.inlets.get(index) {
            return Ok(inlet.clone());
        }
        let address = address(self.texts.get(number)?)?;
        let inlet = Arc::new(Inlet {
            node: self.node.clone(),
            link: self.link.clone(),
            number,
            address,
            slot: OnceLock::new(),
            handled: AtomicU32::new(0),
            outstanding: AtomicU32::new(0),
            overflow: Mutex::default(),
        });
        if self.inlets.len() <= index {
            self.inlets.resize(index + 1, None);
        }
        self.inlets[index] = Some(inlet.clone());
        Ok(inlet)
    }

    fn sender(&mut self, from: (u32, u64)) -> Result<Arc<Sender>, End> {
        if let Some(sender) = self.senders.get(&from) {
            return Ok(sender.clone());
        }
        // Lives come and go; those of before are of no use.
        if self.senders.len() >= frame::NAMES_MAX {
            self.senders.clear();
        }
        let address = address(self.texts.get(from.0)?)?;
        let sender = Arc::new(Sender { address, incarnation: from.1 });
        self.senders.insert(from, sender.clone());
        Ok(sender)
    }
}

fn address(text: &Arc<str>) -> Result<Address, End> {
    Address::from_shared(text.clone()).map_err(End::nonsense)
}

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
    /// How much has come and was not handled.
    outstanding: AtomicU32,
    overflow: Mutex<Overflow>,
}

/// That an answer is wanted, or many.
#[derive(Clone, Copy)]
struct Asked {
    correlation: u64,
    wants_many: bool,
}

/// The name of a message, and who sent it.
type Note = (&'static str, Option<Arc<Sender>>);

/// A letter on its way to the mailbox.
struct Told {
    letter: Box<dyn Letter>,
    note: Option<Note>,
}

/// What did not find room in the mailbox. Bounded by the credit of the other end.
#[derive(Default)]
struct Overflow {
    letters: VecDeque<Box<dyn Letter>>,
    /// Somebody carries them to the mailbox as there is room.
    is_carried: bool,
}

impl Inlet {
    fn deliver(
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
        let reply = asked.map(|asked| FarReply {
            inlet: self.clone(),
            line: line.clone(),
            correlation: asked.correlation,
            deadline,
            is_json: matches!(content, Content::Json(_)),
            outlet,
            is_done: false,
        });
        match line.protocol.far_letter(message, content, meta, reply) {
            Ok(letter) => self.put(&line, letter),
            Err((reason, reply)) => {
                line.slot.vitals.reject();
                let (to, message) = (self.address.clone().into(), message.to_owned());
                let fault = Fault::Rejected { to, message: message.clone(), reason };
                if let Some(reply) = reply {
                    reply.cancel();
                }
                self.undelivered(&message, from, asked, fault);
            }
        }
    }

    /// The life that takes messages now.
    fn line(&self) -> Result<Arc<Line>, Box<Fault>> {
        if let Some(slot) = self.slot.get()
            && let State::Open(line) = &**slot.state()
        {
            return Ok(line.clone());
        }
        let to = || self.address.clone().into();
        let slot = self.node.directory().find(&self.address);
        let slot = slot.ok_or_else(|| Box::new(self.node.directory().not_found(&to())))?;
        let _known_already = self.slot.set(slot.clone());
        slot.route().map_err(|cause| Box::new(Fault::Down { to: to(), cause: (*cause).clone() }))
    }

    fn put(self: &Arc<Self>, line: &Arc<Line>, letter: Box<dyn Letter>) {
        let mut overflow = self.overflow.lock();
        if overflow.is_carried {
            overflow.letters.push_back(letter);
            return;
        }
        let told = self.told(letter);
        match line.mailbox.push(told.letter) {
            Ok(()) => {}
            Err(NotTaken::Closed) => self.bury(told.note, line),
            Err(NotTaken::Full(letter)) => {
                overflow.letters.push_back(letter);
                overflow.is_carried = true;
                tokio::spawn(self.clone().carry());
            }
        }
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
            for letter in std::mem::take(&mut overflow.letters) {
                self.overtaken(self.told(letter).note);
            }
        }
        loop {
            let line = self.line();
            let pushed = match &line {
                Ok(line) => line.mailbox.push_many(&mut overflow.letters),
                Err(_) => Err(Closed),
            };
            if pushed == Ok(false) {
                return line.ok();
            }
            // There is no life that takes the next; the one after that may find another.
            let Some(letter) = overflow.letters.pop_front() else {
                overflow.is_carried = false;
                return None;
            };
            let told = self.told(letter);
            match line {
                Ok(line) => self.bury(told.note, &line),
                Err(fault) => {
                    if let Some((message, from)) = told.note {
                        self.undelivered(message, from, None, (*fault).clone());
                    }
                    told.letter.fail(*fault);
                }
            }
        }
    }

    /// The link has ended on which a letter came that has found no room yet. What comes on the next
    /// must not be handled before it, and so it is not handled at all.
    fn overtaken(&self, note: Option<Note>) {
        let Some((message, from)) = note else { return };
        let cause = Cause::new(CauseKind::Stopped, "it had no room before the link was lost");
        let fault = Fault::Down { to: self.address.clone().into(), cause };
        self.undelivered(message, from, None, fault);
    }

    /// A letter, with what is noted of one that nobody waits to hear about if it is lost.
    fn told(&self, mut letter: Box<dyn Letter>) -> Told {
        let note = match letter.has_asker() {
            // Who asked hears of it by the reply that is dropped.
            true => None,
            false => Some((letter.name(), letter.meta().from.clone())),
        };
        Told { letter, note }
    }

    /// The mailbox has closed, and a letter was lost with it.
    fn bury(&self, note: Option<Note>, line: &Line) {
        let Some((message, from)) = note else { return };
        let cause = match line.slot.route() {
            Err(cause) => (*cause).clone(),
            Ok(_) => Cause::new(CauseKind::Stopped, "it has just ended"),
        };
        let fault = Fault::Down { to: self.address.clone().into(), cause };
        self.undelivered(message, from, None, fault);
    }

    fn undelivered(
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

    fn handled(&self, cost: u32) {
        self.outstanding.fetch_sub(cost, Ordering::Relaxed);
        let handled = self.handled.fetch_add(cost, Ordering::Relaxed) + cost;
        if handled >= CREDIT_STEP {
            let handled = self.handled.swap(0, Ordering::Relaxed);
            if handled > 0 {
                self.link.give_credit(self.number, handled);
            }
        }
    }
}

/// What a message from afar holds of its sender's credit until it has been handled.
pub(crate) struct Ticket {
    inlet: Arc<Inlet>,
    cost: u32,
}

impl Ticket {
    fn new(inlet: Arc<Inlet>, cost: u32) -> Result<Self, End> {
        let before = inlet.outstanding.fetch_add(cost, Ordering::Relaxed);
        let ticket = Self { inlet, cost };
        match before.saturating_add(cost) > CREDIT_MAX {
            true => Err(End::nonsense("it sends beyond its credit")),
            false => Ok(ticket),
        }
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

/// The duty to answer somebody who asked from afar. Dropped without an answer, it tells why there
/// is none.
pub(crate) struct FarReply {
    inlet: Arc<Inlet>,
    line: Arc<Line>,
    correlation: u64,
    /// Until when who asked waits, where that is known.
    deadline: Option<Instant>,
    is_json: bool,
    /// Where items go, if many answers are wanted.
    outlet: Option<Arc<FarOutlet>>,
    is_done: bool,
}

impl FarReply {
    /// Whether the answer is to be JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.is_json
    }

    /// Answers, with a reply or a refusal that has been encoded.
    pub(crate) fn answer(mut self, answer: Result<Vec<u8>, wire::WireError>) {
        self.is_done = true;
        match answer {
            Ok(answer) => {
                let link = &self.inlet.link;
                // A stream has no such deadline: its asker waits as long as something comes.
                let deadline = self.deadline.filter(|_| self.outlet.is_none());
                if link.reply(self.correlation, answer, deadline).is_err() {
                    let (to, reason) = (self.inlet.address.clone().into(), Rejection::Unanswered);
                    let message = "an answer for which there is no room".to_owned();
                    link.fail(self.correlation, Fault::Rejected { to, message, reason });
                }
            }
            Err(error) => {
                self.inlet.link.fail(self.correlation, self.not_encoded("its answer", &error));
            }
        }
    }

    /// Says what takes the place of an answer.
    pub(crate) fn fail(mut self, fault: Fault) {
        self.is_done = true;
        self.inlet.link.fail(self.correlation, fault);
    }

    /// Whether nobody needs the answer any more.
    pub(crate) fn is_forgotten(&self) -> bool {
        self.inlet.link.is_over() || self.outlet.as_ref().is_some_and(|outlet| outlet.is_over())
    }

    /// Whether many answers are wanted.
    pub(crate) fn wants_many(&self) -> bool {
        self.outlet.is_some()
    }

    /// Sends one of many answers that has been encoded, as soon as there is room for it.
    ///
    /// # Errors
    /// When nobody wants it any more, or it cannot be sent; then neither can what follows.
    pub(crate) async fn item(&self, item: Result<Vec<u8>, wire::WireError>) -> Result<(), NotSent> {
        let Some(outlet) = &self.outlet else { return Err(NotSent::Lost) };
        match item {
            Ok(item) => self.inlet.link.item(outlet, self.correlation, &item).await,
            Err(error) => {
                self.inlet.link.fail(self.correlation, self.not_encoded("an item of it", &error));
                outlet.end();
                Err(NotSent::Lost)
            }
        }
    }

    /// Waits until nobody wants the rest of many answers.
    pub(crate) async fn forgotten(&self) {
        if let Some(outlet) = &self.outlet {
            outlet.gone().await;
        }
    }

    fn not_encoded(&self, what: &str, error: &wire::WireError) -> Fault {
        let reason = Rejection::Malformed { detail: format!("{what}: {error}") };
        let to = self.inlet.address.clone().into();
        Fault::Rejected { to, message: "the answer".to_owned(), reason }
    }

    /// Somebody else answers.
    fn cancel(mut self) {
        self.is_done = true;
    }
}

impl Drop for FarReply {
    fn drop(&mut self) {
        if self.outlet.is_some() {
            self.inlet.link.close_outlet(self.correlation);
        }
        if self.is_done || self.inlet.link.is_over() {
            return;
        }
        let (inlet, line, correlation) = (self.inlet.clone(), self.line.clone(), self.correlation);
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            let cause = line.slot.cause_of_end(line.identity.incarnation);
            let cause = match tokio::time::timeout(CAUSE_PATIENCE, cause).await {
                Ok(cause) => (*cause).clone(),
                Err(_) => Cause::new(CauseKind::Stopped, "it has ended"),
            };
            let to = inlet.address.clone().into();
            inlet.link.fail(correlation, Fault::Down { to, cause });
        });
    }
}
