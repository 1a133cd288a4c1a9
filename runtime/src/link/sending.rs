//! A link that is up, and what is sent on it.

mod answering;
mod forgotten;
mod leaving;
mod parts;
mod publishing;
mod windows;
mod writing;

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use bytes::Bytes;
use dashmap::DashMap;
use genii_protocols::frame::{self, PARTS_MAX_LEN, PAYLOAD_MAX_LEN, PUBLISHED_MAX, Payload};
use genii_protocols::{Fault, NodeName, wire};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

use self::answering::ANSWERS_WAITING_MAX_LEN;
pub(crate) use self::answering::in_short;
pub(super) use self::answering::short_cause;
use self::forgotten::Forgotten;
pub(crate) use self::leaving::Coming;
use self::parts::KIB;
pub(crate) use self::windows::Window;
use super::flowing::{FarOutlet, FarStream, Flowing, Outlets};
use super::lane::End;
use super::names::Numbers;
use super::network::Certificate;
use super::outbox::Outbox;
use super::pings::Pings;
use super::questions::{FarAnswer, Questions};
use super::receiving::Owed;
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
    pub(crate) pings: Pings,
    numbers: Numbers,
    windows: DashMap<Arc<str>, Arc<Window>>,
    pub(super) questions: Questions,
    outlets: Outlets,
    /// The questions of the other end whose askers have gone.
    forgotten: Forgotten,
    pub(super) owed: Owed,
    /// How many are about to ask on it.
    coming: AtomicUsize,
    pub(super) watching: Watching,
    parts: AtomicU32,
    /// How many KiB may still go in parts.
    parts_room: Semaphore,
    /// How much more of what is published may be on its way.
    published: Semaphore,
    is_over: AtomicBool,
    /// Held while a batch of the data lane is heeded.
    reading: Mutex<()>,
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
            pings: Pings::begin(),
            numbers: Numbers::default(),
            windows: DashMap::new(),
            questions: Questions::default(),
            outlets: Outlets::default(),
            forgotten: Forgotten::default(),
            owed: Owed::default(),
            coming: AtomicUsize::new(0),
            watching: Watching::default(),
            parts: AtomicU32::new(0),
            parts_room: Semaphore::new(PARTS_MAX_LEN / KIB),
            published: Semaphore::new(PUBLISHED_MAX as usize),
            is_over: AtomicBool::new(false),
            reading: Mutex::default(),
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
        self.control.abandon();
        self.data.abandon();
        self.questions.close();
        self.outlets.end_all();
        self.watching.end_all(&self.peer);
        self.parts_room.close();
        self.published.close();
        self.forget_owed();
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

    /// Held by who heeds what comes on the data lane, and to be had no more when it has ended.
    pub(super) fn reading(&self) -> Option<MutexGuard<'_, ()>> {
        let reading = self.reading.lock();
        (!self.is_over()).then_some(reading)
    }

    /// Waits, when it has ended, until nothing that came on it is being heeded any more. What comes on
    /// the next link must not come before it. It takes as long as a batch does at most.
    pub(crate) fn wait_until_unread(&self) {
        drop(self.reading.lock());
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

    /// Waits until the other end has asked for more than may ever wait for it.
    pub(crate) async fn overrun(&self) {
        tokio::select! {
            biased;
            () = self.control.overrun() => {}
            () = self.data.overrun() => {}
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
        let told = window.telling(Style::Tell, cost);
        self.write(Style::Tell, saying, Payload::Whole(&saying.payload))?;
        told.keep();
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
        let mut asking = Asking { link: self, correlation, is_sent: false };
        let sent = self.send(Style::Ask(correlation), &saying, deadline, deadlines).await;
        sent.map_err(AskLost::NotSent)?;
        asking.is_sent = true;
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
        let told = window.telling(style, cost);
        let is_large = saying.payload.len() > PAYLOAD_MAX_LEN;
        if !is_large && !window.in_parts.load(Ordering::Acquire) {
            match self.write(style, saying, Payload::Whole(&saying.payload)) {
                Err(NotSent::Crowded) => {}
                written => {
                    if written.is_ok() {
                        told.keep();
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
            told.keep();
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

    fn crowded_or_lost(&self) -> NotSent {
        if self.is_over() { NotSent::Lost } else { NotSent::Crowded }
    }

    /// How many questions wait for their answers, but for the commands of people.
    pub(crate) fn questions(&self) -> usize {
        self.questions.len()
    }

    // What comes back.

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

    /// Nobody waits for the answer to a question of the other end any more, or for the rest of many.
    pub(crate) fn forgotten_there(&self, correlation: u64) {
        if !self.outlets.end(correlation) {
            self.forgotten.add(correlation);
        }
    }

    /// Whether the other end has said that nobody waits for the one answer to a question of its own.
    pub(crate) fn is_forgotten_there(&self, correlation: u64) -> bool {
        self.forgotten.has(correlation)
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
    link: &'a Link,
    correlation: u64,
    is_sent: bool,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let was_unanswered = self.link.questions.forget(self.correlation);
        if was_unanswered && self.is_sent {
            self.link.forget(self.correlation);
        }
    }
}

/// Says that nothing goes in parts any more.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}
