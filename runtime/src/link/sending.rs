//! A link that is up, and what is sent on it.

mod answering;
mod leaving;
mod parts;
mod publishing;

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use bytes::Bytes;
use dashmap::DashMap;
use genii_protocols::frame::{
    self, CREDIT_MAX, Data, PARTS_MAX_LEN, PAYLOAD_MAX_LEN, PUBLISHED_MAX, Payload,
};
use genii_protocols::{Address, Fault, NodeName, wire};
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

use self::answering::ANSWERS_WAITING_MAX_LEN;
pub(super) use self::answering::short_cause;
pub(crate) use self::leaving::Coming;
use self::parts::KIB;
use super::flowing::{FarOutlet, FarStream, Flowing, Outlets};
use super::lane::{self, End};
use super::names::{NoNumber, Numbers};
use super::network::Certificate;
use super::outbox::{NotWritten, Outbox};
use super::questions::{FarAnswer, Questions};
use super::watching::Watching;
use crate::deadlines::{Deadlines, Late};
use crate::letter::Meta;

/// How many bytes may wait to be sent on a data lane.
pub(crate) const DATA_CAPACITY: usize = 1 << 20;

/// How many bytes may wait to be sent on a control lane.
pub(crate) const CONTROL_CAPACITY: usize = 1 << 20;

/// A link to a peer.
pub(crate) struct Link {
    /// Who is at the other end.
    pub(crate) peer: NodeName,
    /// Which life of it.
    pub(crate) incarnation: u64,
    /// The version of frames that both ends understand.
    pub(crate) version: u16,
    pub(crate) control: Arc<Outbox>,
    pub(crate) data: Arc<Outbox>,
    numbers: Numbers,
    windows: DashMap<Arc<str>, Arc<Window>>,
    pub(super) questions: Questions,
    outlets: Outlets,
    /// How many are about to ask on it.
    coming: AtomicUsize,
    pub(super) watching: Watching,
    parts: AtomicU32,
    /// How many KiB may still go in parts.
    parts_room: Semaphore,
    /// How much more of what is published may be on its way.
    published: Semaphore,
    is_over: AtomicBool,
    /// The other end was not told of everything, for want of room.
    pub(crate) is_behind: AtomicBool,
    /// The other end is just being told of everything.
    pub(crate) is_told_all: AtomicBool,
    /// The other end is about to leave.
    is_draining: AtomicBool,
    /// The other end knows that this node is about to leave, and waits for no answer.
    pub(crate) is_settled: AtomicBool,
    /// The certificates by which the other end is known: one for each lane, where there are any.
    pub(crate) certificates: Vec<Certificate>,
    /// The messages that agents at the other end answer, by name; none if it has not said.
    pub(crate) messages: HashSet<Box<str>>,
    /// Those of which the other end has another form.
    pub(crate) differing: BTreeSet<String>,
    /// How many KiB of answers may wait for room.
    answers_room: Arc<Semaphore>,
    /// Wakes those who wait for its end.
    ended: Notify,
}

/// A receiver at the other end, and what may be on its way to it.
pub(crate) struct Window {
    number: u32,
    credit: Semaphore,
    /// Held while something goes in parts, so that nothing overtakes it.
    turn: tokio::sync::Mutex<()>,
    in_parts: AtomicBool,
}

/// A message to be sent.
pub(crate) struct Saying<'a> {
    pub(crate) to: &'a Window,
    pub(crate) message: &'a str,
    pub(crate) meta: &'a Meta,
    pub(crate) is_json: bool,
    pub(crate) payload: Vec<u8>,
}

/// Why something was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotSent {
    /// There was no room, at the receiver or on the link, in time.
    Crowded,
    /// The link is over.
    Lost,
    /// Messages have a bound.
    TooLarge(usize),
}

/// Whether an answer is wanted.
#[derive(Clone, Copy)]
enum Style {
    Tell,
    Ask(u64),
    Stream(u64),
}

impl Link {
    pub(crate) fn new(
        peer: NodeName,
        incarnation: u64,
        control: Arc<Outbox>,
        data: Arc<Outbox>,
    ) -> Self {
        Self {
            peer,
            incarnation,
            version: frame::NEWEST,
            control,
            data,
            numbers: Numbers::default(),
            windows: DashMap::new(),
            questions: Questions::default(),
            outlets: Outlets::default(),
            coming: AtomicUsize::new(0),
            watching: Watching::default(),
            parts: AtomicU32::new(0),
            parts_room: Semaphore::new(PARTS_MAX_LEN / KIB),
            published: Semaphore::new(PUBLISHED_MAX as usize),
            is_over: AtomicBool::new(false),
            is_behind: AtomicBool::new(false),
            is_told_all: AtomicBool::new(false),
            is_draining: AtomicBool::new(false),
            is_settled: AtomicBool::new(false),
            certificates: Vec::new(),
            messages: HashSet::new(),
            differing: BTreeSet::new(),
            answers_room: Arc::new(Semaphore::new(ANSWERS_WAITING_MAX_LEN / KIB)),
            ended: Notify::new(),
        }
    }

    /// Whether it has ended.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    /// Ends it: who waits for an answer learns that none will come.
    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::Release);
        self.control.close();
        self.data.close();
        self.questions.close();
        self.outlets.end_all();
        self.watching.end_all(&self.peer);
        self.parts_room.close();
        self.published.close();
        let windows = self.windows.iter();
        let mut windows: Vec<_> =
            windows.map(|it| (it.key().clone(), it.value().clone())).collect();
        // Always in the same order, so that a simulated run can be repeated.
        windows.sort_by(|one, other| one.0.cmp(&other.0));
        for (_, window) in windows {
            window.credit.close();
        }
        self.ended.notify_waiters();
    }

    /// Waits until it has ended.
    pub(crate) async fn over(&self) {
        let ended = self.ended.notified();
        tokio::pin!(ended);
        // Enlisted before the look, so that an end between the two is not missed.
        ended.as_mut().enable();
        if !self.is_over() {
            ended.await;
        }
    }

    /// Sends a message without an answer. It has been sent when this returns; whether it was handled
    /// is not known.
    pub(crate) async fn tell(
        &self,
        saying: Saying<'_>,
        deadline: Instant,
        deadlines: &Deadlines,
    ) -> Result<(), NotSent> {
        self.send(Style::Tell, &saying, deadline, deadlines).await
    }

    /// As [`Link::tell`], if there is room at once.
    pub(crate) fn try_tell(&self, saying: &Saying<'_>) -> Result<(), NotSent> {
        check_len(saying)?;
        let window = saying.to;
        if saying.payload.len() > PAYLOAD_MAX_LEN || window.in_parts.load(Ordering::Acquire) {
            return Err(NotSent::Crowded);
        }
        let cost = frame::Letter::cost(saying.payload.len());
        let permit = window.credit.try_acquire_many(cost).map_err(|_| self.crowded_or_lost())?;
        self.write(Style::Tell, saying, Payload::Whole(&saying.payload))?;
        permit.forget();
        Ok(())
    }

    /// Sends a message, and waits for its answer.
    pub(crate) async fn ask(
        &self,
        saying: Saying<'_>,
        deadline: Instant,
        deadlines: &Deadlines,
    ) -> Result<FarAnswer, AskLost> {
        let (correlation, comes) = self.questions.add().ok_or(AskLost::NotSent(NotSent::Lost))?;
        let _asking = Asking { questions: &self.questions, correlation };
        let sent = self.send(Style::Ask(correlation), &saying, deadline, deadlines).await;
        sent.map_err(AskLost::NotSent)?;
        match deadlines.before(deadline, comes).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(AskLost::Broken),
            Err(Late) => Err(AskLost::Late),
        }
    }

    /// Sends a message that has many answers.
    pub(crate) async fn stream(
        self: &Arc<Self>,
        saying: Saying<'_>,
        deadline: Instant,
        deadlines: &Deadlines,
    ) -> Result<FarStream, NotSent> {
        let (flowing, comes) = Flowing::new();
        let correlation = self.questions.add_stream(flowing).ok_or(NotSent::Lost)?;
        let stream = FarStream::new(self.clone(), correlation, comes);
        self.send(Style::Stream(correlation), &saying, deadline, deadlines).await?;
        Ok(stream)
    }

    async fn send(
        &self,
        style: Style,
        saying: &Saying<'_>,
        deadline: Instant,
        deadlines: &Deadlines,
    ) -> Result<(), NotSent> {
        check_len(saying)?;
        let window = saying.to;
        let cost = frame::Letter::cost(saying.payload.len());
        let permit = match window.credit.try_acquire_many(cost) {
            Ok(permit) => permit,
            Err(_) => {
                let room = Box::pin(window.credit.acquire_many(cost));
                match deadlines.before(deadline, room).await {
                    Ok(Ok(permit)) => permit,
                    Ok(Err(_)) => return Err(NotSent::Lost),
                    Err(Late) => return Err(self.crowded_or_lost()),
                }
            }
        };
        let is_large = saying.payload.len() > PAYLOAD_MAX_LEN;
        if !is_large && !window.in_parts.load(Ordering::Acquire) {
            match self.write(style, saying, Payload::Whole(&saying.payload)) {
                Err(NotSent::Crowded) => {}
                written => {
                    if written.is_ok() {
                        permit.forget();
                    }
                    return written;
                }
            }
        }
        let rest = Box::pin(self.send_in_turn(window, style, saying));
        let sent = match deadlines.before(deadline, rest).await {
            Ok(sent) => sent,
            Err(Late) => Err(self.crowded_or_lost()),
        };
        if sent.is_ok() {
            permit.forget();
        }
        sent
    }

    /// Sends when there is room, after whatever goes to the same receiver before it.
    async fn send_in_turn(
        &self,
        window: &Window,
        style: Style,
        saying: &Saying<'_>,
    ) -> Result<(), NotSent> {
        let _turn = window.turn.lock().await;
        let payload = match saying.payload.len() > PAYLOAD_MAX_LEN {
            false => Payload::Whole(&saying.payload),
            true => {
                window.in_parts.store(true, Ordering::Release);
                let _done = Done(&window.in_parts);
                let parts = self.send_parts(&saying.payload).await?;
                let whole = Payload::Parts(parts.id);
                let written = self.write_when_room(style, saying, whole).await;
                parts.are_used(written.is_ok());
                return written;
            }
        };
        self.write_when_room(style, saying, payload).await
    }

    async fn write_when_room(
        &self,
        style: Style,
        saying: &Saying<'_>,
        payload: Payload<'_>,
    ) -> Result<(), NotSent> {
        loop {
            match self.write(style, saying, payload.clone()) {
                Err(NotSent::Crowded) => self.data.room().await,
                written => return written,
            }
        }
    }

    fn write(
        &self,
        style: Style,
        saying: &Saying<'_>,
        payload: Payload<'_>,
    ) -> Result<(), NotSent> {
        let number = |text: &str| self.number(text);
        let meta = saying.meta;
        let from = meta
            .from
            .as_ref()
            .map(|from| Ok::<_, NotSent>((number(from.address.as_str())?, from.incarnation)));
        let left = |deadline: Instant| {
            let left = deadline.saturating_duration_since(Instant::now()).as_micros();
            u64::try_from(left).unwrap_or(u64::MAX)
        };
        let letter = frame::Letter {
            to: saying.to.number,
            message: number(saying.message)?,
            from: from.transpose()?,
            deadline: meta.deadline.map(left),
            trace: meta.trace.as_deref().copied(),
            is_json: saying.is_json,
            payload,
        };
        let frame = match style {
            Style::Tell => Data::Tell(letter),
            Style::Ask(correlation) => Data::Ask { correlation, letter },
            Style::Stream(correlation) => Data::Stream { correlation, letter },
        };
        match self.data.write(|buffer| lane::put(buffer, &frame)) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(NotSent::TooLarge(saying.payload.len())),
            Err(NotWritten::Full) => Err(self.crowded_or_lost()),
            Err(NotWritten::Closed) => Err(NotSent::Lost),
        }
    }

    /// The number of a text, which the other end is told if it does not know it.
    pub(super) fn number(&self, text: &str) -> Result<u32, NotSent> {
        let tell = |text: &str| {
            self.data.write_always(|buffer| lane::put(buffer, &Data::Name(text))).is_ok()
        };
        self.numbers.of(text, tell).map_err(|why| {
            // What the other end still says is not heard then; where it is about to leave, it is.
            if why == NoNumber::UsedUp {
                // A new link begins to count anew.
                self.end();
            }
            NotSent::Lost
        })
    }

    /// Whether an agent at the other end may answer messages of a name.
    ///
    /// # Errors
    /// When none does, with the nearest name of which one does.
    pub(crate) fn knows(&self, message: &str) -> Result<(), Option<String>> {
        if self.messages.is_empty() || self.messages.contains(message) {
            return Ok(());
        }
        let known = self.messages.iter().map(|name| &**name);
        let is_name = message.len() <= frame::NAME_MAX_LEN;
        Err(is_name.then(|| crate::nearest::nearest(message, known)).flatten().map(str::to_owned))
    }

    /// A receiver at the other end, to send to. Keep it where you send often.
    ///
    /// # Errors
    /// When the link is over, or too many receivers are known.
    pub(crate) fn window(&self, to: &Address) -> Result<Arc<Window>, NotSent> {
        if let Some(window) = self.windows.get(to.as_str()) {
            return Ok(window.clone());
        }
        let number = self.number(to.as_str())?;
        let new = || {
            Arc::new(Window {
                number,
                credit: Semaphore::new(CREDIT_MAX as usize),
                turn: tokio::sync::Mutex::default(),
                in_parts: AtomicBool::new(false),
            })
        };
        let window = self.windows.entry(to.shared()).or_insert_with(new).clone();
        if self.is_over() {
            window.credit.close();
        }
        Ok(window)
    }

    fn crowded_or_lost(&self) -> NotSent {
        if self.is_over() { NotSent::Lost } else { NotSent::Crowded }
    }

    /// How many questions wait for their answers, but for the commands of people.
    pub(crate) fn questions(&self) -> usize {
        self.questions.len()
    }

    /// How many receivers at the other end something was sent to.
    pub(crate) fn receivers(&self) -> usize {
        self.windows.len()
    }

    /// The receivers that have not said that they have handled everything, by name, each with how
    /// much that may be at most.
    pub(crate) fn unheard(&self) -> Vec<(Address, u32)> {
        let each = self.windows.iter().filter_map(|window| {
            let whole = CREDIT_MAX as usize;
            let spent = whole - window.credit.available_permits().min(whole);
            let address = Address::from_shared(window.key().clone()).ok()?;
            (spent > 0).then_some((address, u32::try_from(spent).unwrap_or(CREDIT_MAX)))
        });
        let mut each: Vec<(Address, u32)> = each.collect();
        each.sort_unstable();
        each
    }

    // What comes back.

    /// The other end has handled something that was sent to the receiver of this number.
    pub(crate) fn credit(&self, to: u32, cost: u32) -> Result<(), End> {
        let unknown = || End::nonsense(format_args!("credit for number {to}, which is nobody's"));
        let address = self.numbers.text(to).ok_or_else(unknown)?;
        let window = self.windows.get(&address).ok_or_else(unknown)?;
        // It cannot have handled more than was sent.
        let whole = CREDIT_MAX as usize;
        let spent = whole - window.credit.available_permits().min(whole);
        window.credit.add_permits((cost as usize).min(spent));
        Ok(())
    }

    /// A question was answered.
    pub(crate) fn answered(&self, correlation: u64, reply: Bytes) {
        self.questions.answer(correlation, FarAnswer::Reply(reply));
    }

    /// A question was not answered.
    pub(crate) fn failed(&self, correlation: u64, fault: Box<Fault>) {
        self.questions.answer(correlation, FarAnswer::Failed(fault));
    }

    /// One of many answers to a question has come.
    pub(crate) fn item_came(&self, correlation: u64, item: Bytes) -> Result<(), End> {
        self.questions.item(correlation, item)
    }

    /// The other end wants many answers; `None` when it has asked for too many of those.
    pub(crate) fn open_outlet(&self, correlation: u64) -> Option<Arc<FarOutlet>> {
        self.outlets.open(correlation)
    }

    /// The other end has taken so much of many answers.
    pub(crate) fn more_wanted(&self, correlation: u64, cost: u32) {
        self.outlets.more(correlation, cost);
    }

    /// The rest of many answers is not wanted, or there is none.
    pub(crate) fn close_outlet(&self, correlation: u64) {
        self.outlets.end(correlation);
    }
}

/// Why no answer came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AskLost {
    /// It was not even sent.
    NotSent(NotSent),
    /// The link broke meanwhile.
    Broken,
    /// It did not come in time.
    Late,
}

fn check_len(saying: &Saying<'_>) -> Result<(), NotSent> {
    let len = saying.payload.len();
    if len > wire::MESSAGE_MAX_LEN { Err(NotSent::TooLarge(len)) } else { Ok(()) }
}

/// Forgets a question when its asker does.
struct Asking<'a> {
    questions: &'a Questions,
    correlation: u64,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.questions.forget(self.correlation);
    }
}

/// Says that nothing goes in parts any more.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}
