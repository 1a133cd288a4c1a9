//! What is known of a run from outside: what was sent, what came of it, what was handled.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use genii_protocols::{Address, Fault};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::company::Company;
use crate::linking::Ties;
use crate::streams::Wanted;
use crate::watching::Watches;

/// How something is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    Tell,
    TryTell,
    Ask { patience: Duration },
    Stream(Wanted),
}

impl Style {
    /// Nobody waits for an answer.
    pub fn is_told(self) -> bool {
        matches!(self, Self::Tell | Self::TryTell)
    }
}

/// What came of something that was sent.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// It was told.
    Told,
    /// It was answered, for this number.
    Answered(u64),
    /// Its asker had as much of it as it wanted.
    LetGo,
    /// It ended in a fault.
    Failed(Fault),
    /// Its sender is gone, with its node.
    Orphaned,
}

/// Something that was sent.
#[derive(Debug, Clone)]
pub struct Sent {
    /// Which node, which life of it, which of its senders.
    pub from: (usize, u64, usize),
    pub to: Address,
    pub style: Style,
    pub began: Duration,
    pub ended: Option<(Duration, Outcome)>,
    /// How many items of a stream have come.
    pub items: u64,
}

/// Something that was handled.
#[derive(Debug, Clone)]
pub struct Handled {
    pub id: u64,
    pub by: Address,
}

/// A dead letter of a node, as far as it concerns what is counted here.
#[derive(Debug, Clone)]
pub struct Buried {
    /// Which node, and which life of it.
    pub on: (usize, u64),
    pub to: Address,
    /// How many it stands for at most, if the link was lost on which they were told.
    pub up_to: Option<u64>,
}

/// The log of a run.
#[derive(Clone)]
pub struct Log(Arc<Mutex<Inner>>);

struct Inner {
    began: Instant,
    next: u64,
    sent: BTreeMap<u64, Sent>,
    handled: Vec<Handled>,
    /// The streams at which agents work.
    served: BTreeSet<u64>,
    watches: Watches,
    company: Company,
    ties: Ties,
    buried: Vec<Buried>,
    /// Those that were gone from one moment to the next, with what they had told.
    crashed: BTreeSet<(usize, u64)>,
    /// Those that have buried more than was written down.
    uncounted: BTreeSet<(usize, u64)>,
    trace: Vec<String>,
}

impl Log {
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Inner {
            began: Instant::now(),
            next: 0,
            sent: BTreeMap::new(),
            handled: Vec::new(),
            served: BTreeSet::new(),
            watches: Watches::default(),
            company: Company::default(),
            ties: Ties::default(),
            buried: Vec::new(),
            crashed: BTreeSet::new(),
            uncounted: BTreeSet::new(),
            trace: Vec::new(),
        })))
    }

    /// Notes an event, with the time.
    pub fn note(&self, event: impl std::fmt::Display) {
        self.0.lock().note(event);
    }

    /// Something is about to be sent; its number.
    pub fn sends(&self, from: (usize, u64, usize), to: &Address, style: Style) -> u64 {
        let mut log = self.0.lock();
        log.next += 1;
        let (id, began) = (log.next, log.began.elapsed());
        let sent = Sent { from, to: to.clone(), style, began, ended: None, items: 0 };
        log.sent.insert(id, sent);
        id
    }

    /// It is sent now, when those before it of the same sender have ended.
    pub fn begins(&self, id: u64) {
        let mut log = self.0.lock();
        let at = log.began.elapsed();
        log.sent.get_mut(&id).expect("it was noted").began = at;
    }

    /// Something came of what was sent.
    pub fn ends(&self, id: u64, outcome: Outcome) {
        let mut log = self.0.lock();
        let at = log.began.elapsed();
        log.note(format_args!("{id} ends: {outcome:?}"));
        let sent = log.sent.get_mut(&id).expect("it was sent");
        assert!(sent.ended.is_none(), "{id} has ended twice: {sent:?}, {outcome:?}");
        sent.ended = Some((at, outcome));
    }

    /// All that the senders of a node had not ended is orphaned.
    pub fn orphan(&self, node: usize, life: u64) {
        let mut log = self.0.lock();
        let at = log.began.elapsed();
        let of_it = |sent: &&mut Sent| sent.from.0 == node && sent.from.1 == life;
        for sent in log.sent.values_mut().filter(of_it) {
            sent.ended.get_or_insert((at, Outcome::Orphaned));
        }
        log.company.orphan(node, life);
    }

    /// Something was handled.
    pub fn handles(&self, id: u64, by: &Address) {
        let mut log = self.0.lock();
        log.note(format_args!("{by} handles {id}"));
        log.handled.push(Handled { id, by: by.clone() });
    }

    /// An agent begins to work at a stream.
    pub fn serves(&self, id: u64) {
        let is_new = self.0.lock().served.insert(id);
        assert!(is_new, "{id} is streamed twice");
    }

    /// It works at it no more.
    pub fn served(&self, id: u64) {
        let mut log = self.0.lock();
        log.note(format_args!("{id} is streamed no more"));
        log.served.remove(&id);
    }

    /// An item of a stream has come.
    pub fn took(&self, id: u64) {
        self.0.lock().sent.get_mut(&id).expect("it was asked for").items += 1;
    }

    /// Looks at what is known of those who watch, or writes into it.
    pub fn watches<T>(&self, with: impl FnOnce(&mut Watches) -> T) -> T {
        with(&mut self.0.lock().watches)
    }

    /// Looks at what is known of what was published, or writes into it.
    pub fn company<T>(&self, with: impl FnOnce(&mut Company) -> T) -> T {
        with(&mut self.0.lock().company)
    }

    /// Looks at what is known of those who are linked, or writes into it.
    pub fn ties<T>(&self, with: impl FnOnce(&mut Ties) -> T) -> T {
        with(&mut self.0.lock().ties)
    }

    pub fn buries(&self, buried: Vec<Buried>) {
        self.0.lock().buried.extend(buried);
    }

    /// A node is gone from one moment to the next.
    pub fn crashes(&self, which: (usize, u64)) {
        self.0.lock().crashed.insert(which);
    }

    pub fn crashed(&self) -> BTreeSet<(usize, u64)> {
        self.0.lock().crashed.clone()
    }

    /// A node has buried so much at once that not all of it was seen.
    pub fn lost_count(&self, which: (usize, u64)) {
        self.0.lock().uncounted.insert(which);
    }

    pub fn uncounted(&self) -> BTreeSet<(usize, u64)> {
        self.0.lock().uncounted.clone()
    }

    pub fn sent(&self) -> BTreeMap<u64, Sent> {
        self.0.lock().sent.clone()
    }

    pub fn handled(&self) -> Vec<Handled> {
        self.0.lock().handled.clone()
    }

    pub fn buried(&self) -> Vec<Buried> {
        self.0.lock().buried.clone()
    }

    /// Whether everything that was sent has ended, and nobody works at a stream.
    pub fn is_quiet(&self) -> bool {
        let log = self.0.lock();
        let is_quiet = log.served.is_empty() && log.company.is_quiet();
        is_quiet && log.sent.values().all(|sent| sent.ended.is_some())
    }

    /// Whether everything that was sent from a node has ended.
    pub fn is_quiet_on(&self, node: usize) -> bool {
        let log = self.0.lock();
        log.sent.values().all(|sent| sent.ended.is_some() || sent.from.0 != node)
    }

    pub fn trace(&self) -> Vec<String> {
        self.0.lock().trace.clone()
    }
}

impl Inner {
    fn note(&mut self, event: impl std::fmt::Display) {
        let at = self.began.elapsed().as_nanos();
        self.trace.push(format!("{:>12.6} {event}", at as f64 / 1e6));
    }
}
