//! The journal: what happened to whom, in order.
//!
//! Kept in memory, bounded, with a sequence number that only rises; notes longer than other events. Those that
//! somebody keeps on the disk, who puts them in again after a restart, have a place of their own: neither do other
//! events push them out, nor they others. Can be queried, and followed as it grows; a follower that falls behind
//! is told how many events it missed.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use tokio::sync::broadcast;

use crate::exit::{ExitReason, Failure};
use crate::spec::Key;

/// How many events are kept unless told otherwise, beside the kept notes.
pub const JOURNAL_CAPACITY: usize = 10_000;

/// How many notes are kept beside them that are older than those events: what was done with something and
/// will not be seen by what comes later. Agents that come and go by themselves leave many events, and those
/// that are kept may be of the last minutes.
const NOTES_KEPT: usize = 1_000;

/// How many kept notes there are beside both: an agent that is overdue again and again is not to push out that
/// another was deleted.
const KEPT_NOTES_MAX: usize = 8_000;

/// How many there are of how something came to be known, which are none of those: very many may come at once.
const COMINGS_MAX: usize = 2_000;

/// How many events a follower may fall behind before it misses some.
const FOLLOW_CAPACITY: usize = 4_096;

/// One thing that happened.
#[derive(Debug, Clone)]
pub struct Event {
    /// Its place in the order of all events; starts at one and rises by one. Zero for what is older than the
    /// journal ([`Journal::recall`]).
    pub seq: u64,
    /// When, by this machine's clock.
    pub at: SystemTime,
    /// To whom.
    pub key: Key,
    /// Which life of it; zero before the first.
    pub incarnation: u64,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// It wants to start and waits for these.
    Waiting {
        /// What it waits for.
        on: Vec<Key>,
    },
    /// It cannot start: these will not come by themselves.
    Blocked {
        /// What it waits for.
        on: Vec<Key>,
    },
    /// It is being started.
    Starting,
    /// It has slept, and is being started.
    Waking,
    /// It is ready.
    Ready {
        /// How long it took from being started.
        took: Duration,
    },
    /// Its start failed.
    StartFailed {
        /// Why.
        failure: Arc<Failure>,
    },
    /// It is ready, but lacks something.
    Degraded {
        /// What it lacks.
        why: Arc<str>,
    },
    /// It no longer lacks anything.
    Recovered,
    /// It ended abnormally.
    Crashed {
        /// Why.
        failure: Arc<Failure>,
    },
    /// It ended in good order, by itself.
    Ended {
        /// How.
        reason: ExitReason,
    },
    /// It will be started again.
    Restarting {
        /// After this wait.
        after: Duration,
        /// Whose end is the cause, if not its own.
        because_of: Option<Key>,
    },
    /// It crashed too often and is held back.
    Quarantined {
        /// The last failure.
        failure: Arc<Failure>,
    },
    /// It is no longer held back.
    Released,
    /// A supervisor gives up, and its own supervisor decides.
    Escalated {
        /// The child that crashed once too often.
        child: Key,
    },
    /// It is asked to stop.
    Stopping {
        /// Why.
        why: StopWhy,
    },
    /// It did not stop in time, or was not to be asked.
    Killed,
    /// It has stopped, having been asked to.
    Stopped {
        /// How it ended.
        reason: ExitReason,
        /// How long it took from being asked.
        took: Duration,
    },
    /// Its spec is forgotten.
    Removed,
    /// Its spec is forgotten until somebody wants it again.
    Asleep,
    /// Something that its agent or its host did: suspended, resumed, overdue and the like.
    Note {
        /// In words.
        text: Arc<str>,
    },
    /// A note of what was done with it for good, as that it was deleted. Whoever writes it keeps it on the disk,
    /// and puts it into the next journal with [`Journal::recall`].
    KeptNote {
        /// In words.
        text: Arc<str>,
        /// Whether it tells how that came to be known: such notes push out none but each other.
        is_coming: bool,
    },
}

/// A kept note that is older than a journal ([`Journal::recall`]).
#[derive(Debug, Clone)]
pub struct KeptNote {
    /// When, by the clock of the machine that wrote it.
    pub at: SystemTime,
    /// Of whom.
    pub key: Key,
    /// In words.
    pub text: Arc<str>,
    /// Whether it tells how that came to be known.
    pub is_coming: bool,
}

/// Why something is asked to stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StopWhy {
    /// Somebody asked for it.
    Asked,
    /// Somebody asked for it to be restarted.
    RestartAsked,
    /// Its supervisor ends.
    SupervisorEnds,
    /// A sibling ended, and its supervisor's strategy takes it along.
    Sibling(Key),
    /// What it is bound to has gone.
    Bound(Key),
}

impl fmt::Display for StopWhy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked => f.write_str("it was asked to stop"),
            Self::RestartAsked => f.write_str("it was asked to restart"),
            Self::SupervisorEnds => f.write_str("its supervisor ends"),
            Self::Sibling(key) => write!(f, "its sibling {key} ended"),
            Self::Bound(key) => write!(f, "it is bound to {key}, which has gone"),
        }
    }
}

impl What {
    /// The kind of event in one word, for filters and machine-readable output.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Waiting { .. } => "waiting",
            Self::Blocked { .. } => "blocked",
            Self::Starting => "starting",
            Self::Waking => "waking",
            Self::Ready { .. } => "ready",
            Self::StartFailed { .. } => "start-failed",
            Self::Degraded { .. } => "degraded",
            Self::Recovered => "recovered",
            Self::Crashed { .. } => "crashed",
            Self::Ended { .. } => "ended",
            Self::Restarting { .. } => "restarting",
            Self::Quarantined { .. } => "quarantined",
            Self::Released => "released",
            Self::Escalated { .. } => "escalated",
            Self::Stopping { .. } => "stopping",
            Self::Killed => "killed",
            Self::Stopped { .. } => "stopped",
            Self::Removed => "removed",
            Self::Asleep => "asleep",
            Self::Note { .. } | Self::KeptNote { .. } => "note",
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Waiting { on } => write!(f, "waits for {}", list(on)),
            Self::Blocked { on } => write!(f, "is blocked by {}", list(on)),
            Self::Starting => f.write_str("is starting"),
            Self::Waking => f.write_str("is waking"),
            Self::Ready { took } => write!(f, "is ready after {took:.1?}"),
            Self::StartFailed { failure } => write!(f, "could not start: {failure}"),
            Self::Degraded { why } => write!(f, "is degraded: {why}"),
            Self::Recovered => f.write_str("has recovered"),
            Self::Crashed { failure } => write!(f, "crashed: {failure}"),
            Self::Ended { reason } => write!(f, "ended by itself: {reason}"),
            Self::Restarting { after, because_of } => {
                f.write_str("will restart")?;
                if !after.is_zero() {
                    write!(f, " in {after:.1?}")?;
                }
                match because_of {
                    Some(key) => write!(f, " because of {key}"),
                    None => Ok(()),
                }
            }
            Self::Quarantined { failure } => write!(f, "is in quarantine: {failure}"),
            Self::Released => f.write_str("was released from quarantine"),
            Self::Escalated { child } => write!(f, "gives up: {child} was restarted too often"),
            Self::Stopping { why } => write!(f, "is stopping: {why}"),
            Self::Killed => f.write_str("is being killed"),
            Self::Stopped { reason, took } => write!(f, "stopped after {took:.1?} ({reason})"),
            Self::Removed => f.write_str("was removed"),
            Self::Asleep => f.write_str("went to sleep"),
            Self::Note { text } | Self::KeptNote { text, .. } => f.write_str(text),
        }
    }
}

fn list(keys: &[Key]) -> String {
    keys.iter().map(Key::as_str).collect::<Vec<_>>().join(", ")
}

/// The journal of one tree.
pub struct Journal {
    book: Mutex<Book>,
    follow: broadcast::Sender<Arc<Event>>,
}

/// Where a kept note stands among all: its number, and among those without one their order.
type Place = (u64, u64);

struct Book {
    /// The last events that are no kept notes, oldest first.
    events: VecDeque<Arc<Event>>,
    /// Notes that are older than those, oldest first.
    notes: VecDeque<Arc<Event>>,
    /// Kept notes, oldest first; those without a number before all others.
    kept_notes: BTreeMap<Place, Arc<Event>>,
    /// Where they are: first those that are not of how something came to be known, then those that are. A new
    /// one must not walk through all of them while everybody else waits to write.
    places: [VecDeque<Place>; 2],
    capacity: usize,
    /// The number of the event that was the last to make room for another among the last ones.
    gone: u64,
    /// The sequence number of the last event ever.
    last: u64,
    /// Whether it was told what is older than it.
    has_recalled: bool,
}

impl Journal {
    /// A journal that keeps the last `capacity` events, at least one, of those before them the last thousand
    /// notes, and beside both the last two thousand kept notes of how something came to be known and the last
    /// eight thousand of all else.
    pub fn new(capacity: usize) -> Self {
        let book = Book {
            events: VecDeque::new(),
            notes: VecDeque::new(),
            kept_notes: BTreeMap::new(),
            places: Default::default(),
            capacity: capacity.max(1),
            gone: 0,
            last: 0,
            has_recalled: false,
        };
        Self { book: Mutex::new(book), follow: broadcast::Sender::new(FOLLOW_CAPACITY) }
    }

    /// Writes an event, and returns it with its number and time.
    pub fn record(&self, key: &Key, incarnation: u64, what: What) -> Arc<Event> {
        let mut book = self.book.lock();
        book.last += 1;
        let (seq, at) = (book.last, SystemTime::now());
        let event = Arc::new(Event { seq, at, key: key.clone(), incarnation, what });
        book.keep(event.clone());
        // Sent under the lock, so that followers see the order of the book.
        let _nobody_follows = self.follow.send(event.clone());
        event
    }

    /// Puts in kept notes that are older than this journal, oldest first: they stand before all that it has.
    /// Those for which there is no room are left out, the oldest of a kind first. Only the first call counts:
    /// whoever is started again has written what is newer into this journal.
    pub fn recall(&self, notes: impl DoubleEndedIterator<Item = KeptNote>) {
        let mut book = self.book.lock();
        if std::mem::replace(&mut book.has_recalled, true) {
            return;
        }
        for (nth, KeptNote { at, key, text, is_coming }) in (0..).zip(notes.rev()) {
            if book.room_for(is_coming) == 0 {
                continue;
            }
            let what = What::KeptNote { text, is_coming };
            let place = (0, u64::MAX - nth);
            book.places[usize::from(is_coming)].push_front(place);
            let event = Event { seq: 0, at, key, incarnation: 0, what };
            book.kept_notes.insert(place, Arc::new(event));
        }
    }

    /// The last events for which `keep` holds, oldest first, at most `limit`.
    pub fn tail(&self, limit: usize, keep: impl Fn(&Event) -> bool) -> Vec<Arc<Event>> {
        let book = self.book.lock();
        let mut found: Vec<_> =
            book.newest_first().filter(|event| keep(event)).take(limit).cloned().collect();
        found.reverse();
        found
    }

    /// The events from a number on, or from the first of the last ones, oldest first, at most `limit`. Numbers
    /// are missing among them where kept notes have gone.
    pub fn from(&self, seq: u64, limit: usize) -> Vec<Arc<Event>> {
        let book = self.book.lock();
        let first = seq.max(book.gone + 1);
        let passed = book.events.partition_point(|event| event.seq < first);
        let events = book.events.range(passed..).take(limit);
        let kept_notes = book.kept_notes.range((first, 0)..).map(|(_, note)| note).take(limit);
        let mut found: Vec<Arc<Event>> = events.chain(kept_notes).cloned().collect();
        found.sort_unstable_by_key(|event| event.seq);
        found.truncate(limit);
        found
    }

    /// The events to come, in order. With [`Journal::tail`] before it an event may be seen twice,
    /// but none is missed; sequence numbers tell.
    pub fn follow(&self) -> Follow {
        Follow { events: self.follow.subscribe() }
    }

    /// The number of the last event.
    pub fn last(&self) -> u64 {
        self.book.lock().last
    }
}

impl Book {
    /// All that is kept, newest first. Those without a number are the oldest, and stay in their order.
    fn newest_first(&self) -> impl Iterator<Item = &Arc<Event>> {
        let mut others = self.events.iter().rev().chain(self.notes.iter().rev()).peekable();
        let mut kept_notes = self.kept_notes.values().rev().peekable();
        std::iter::from_fn(move || {
            let is_kept = match (others.peek(), kept_notes.peek()) {
                (Some(other), Some(note)) => note.seq > other.seq,
                (None, _) => true,
                (Some(_), None) => false,
            };
            if is_kept { kept_notes.next() } else { others.next() }
        })
    }

    /// Keeps an event, for which another goes if there is no room.
    fn keep(&mut self, event: Arc<Event>) {
        if matches!(event.what, What::KeptNote { .. }) {
            return self.keep_for_long(event);
        }
        if self.events.len() == self.capacity
            && let Some(oldest) = self.events.pop_front()
        {
            self.gone = oldest.seq;
            self.keep_if_note(oldest);
        }
        self.events.push_back(event);
    }

    /// Keeps an event that is none of the last ones any more, if it is a note.
    fn keep_if_note(&mut self, event: Arc<Event>) {
        if !matches!(event.what, What::Note { .. }) {
            return;
        }
        if self.notes.len() == NOTES_KEPT {
            self.notes.pop_front();
        }
        self.notes.push_back(event);
    }

    /// Keeps a kept note, for which the oldest of its kind goes if there is no room.
    fn keep_for_long(&mut self, note: Arc<Event>) {
        let (kind, place) = (is_coming(&note), (note.seq, 0));
        let is_full = self.room_for(kind) == 0;
        let places = &mut self.places[usize::from(kind)];
        if is_full && let Some(oldest) = places.pop_front() {
            self.kept_notes.remove(&oldest);
        }
        places.push_back(place);
        self.kept_notes.insert(place, note);
    }

    /// For how many more kept notes there is room, of those of how something came to be known or of all others.
    fn room_for(&self, is_of_comings: bool) -> usize {
        let max = if is_of_comings { COMINGS_MAX } else { KEPT_NOTES_MAX };
        max.saturating_sub(self.places[usize::from(is_of_comings)].len())
    }
}

/// Whether a kept note tells how something came to be known.
fn is_coming(note: &Event) -> bool {
    matches!(note.what, What::KeptNote { is_coming: true, .. })
}

/// Events as they are written.
pub struct Follow {
    events: broadcast::Receiver<Arc<Event>>,
}

/// What a follower sees next.
#[derive(Debug, Clone)]
pub enum Followed {
    /// An event.
    Event(Arc<Event>),
    /// It was too slow, and so many events have gone by.
    Missed(u64),
}

impl Follow {
    /// Waits for the next event; `None` when the journal has closed.
    pub async fn next(&mut self) -> Option<Followed> {
        match self.events.recv().await {
            Ok(event) => Some(Followed::Event(event)),
            Err(broadcast::error::RecvError::Lagged(missed)) => Some(Followed::Missed(missed)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

#[cfg(test)]
mod tests;
