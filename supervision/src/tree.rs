//! What all the supervisors of one tree share.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, RwLock};
use ractor::ActorRef;

use crate::board::{Board, Change};
use crate::crash::Crashes;
use crate::journal::{Event, JOURNAL_CAPACITY, Journal, What};
use crate::spec::Key;
use crate::status::Status;
use crate::supervisor::{Crew, Message, SupervisorHandle};

/// The board, the journal, the crash reports and the dice of one tree.
///
/// Nothing in this crate is global to the process: two trees know nothing of each other.
pub struct Tree {
    /// How every child stands.
    pub board: Board,
    /// What happened.
    pub journal: Journal,
    /// The last crash reports of every child.
    pub crashes: Crashes,
    /// The supervisors that live, by name.
    supervisors: RwLock<HashMap<Key, SupervisorHandle>>,
    /// The living children of each supervisor, kept from one life of it to the next.
    crews: Mutex<HashMap<Key, Arc<Crew>>>,
    observer: Box<dyn Observer>,
    dice: Mutex<fastrand::Rng>,
    ending: AtomicBool,
}

/// Is told what happens in a tree, at once and in order for each child. Must not block.
pub trait Observer: Send + Sync + 'static {
    /// A child stands otherwise than before.
    fn changed(&self, _change: &Change) {}

    /// Something was written into the journal.
    fn recorded(&self, _event: &Arc<Event>) {}
}

/// An observer that does not care.
impl Observer for () {}

/// What a tree is made with.
pub struct TreeOptions {
    /// How many events the journal keeps.
    pub journal_capacity: usize,
    /// Where jitter comes from; the same seed gives the same waits.
    pub seed: u64,
    /// Who is told what happens.
    pub observer: Box<dyn Observer>,
}

impl Default for TreeOptions {
    fn default() -> Self {
        Self { journal_capacity: JOURNAL_CAPACITY, seed: fastrand::u64(..), observer: Box::new(()) }
    }
}

impl Tree {
    /// An empty tree.
    pub fn new(options: TreeOptions) -> Arc<Self> {
        Arc::new(Self {
            board: Board::default(),
            journal: Journal::new(options.journal_capacity),
            crashes: Crashes::default(),
            supervisors: RwLock::default(),
            crews: Mutex::default(),
            observer: options.observer,
            dice: Mutex::new(fastrand::Rng::with_seed(options.seed)),
            ending: AtomicBool::new(false),
        })
    }

    /// Writes into the journal.
    pub fn record(&self, key: &Key, incarnation: u64, what: What) {
        let event = self.journal.record(key, incarnation, what);
        tracing::debug!(target: "genii::journal", key = %event.key, "{}", event.what);
        self.observer.recorded(&event);
    }

    /// The whole tree is about to end: from now on nothing stops before what depends on it has.
    pub fn begin_ending(&self) {
        self.ending.store(true, Ordering::SeqCst);
    }

    /// Whether [`Tree::begin_ending`] was called.
    pub fn is_ending(&self) -> bool {
        self.ending.load(Ordering::SeqCst)
    }

    /// The living supervisor of this name.
    pub fn supervisor(&self, key: &str) -> Option<SupervisorHandle> {
        self.supervisors.read().get(key).cloned()
    }

    pub(crate) fn crew(&self, supervisor: &Key) -> Arc<Crew> {
        self.crews.lock().entry(supervisor.clone()).or_default().clone()
    }

    pub(crate) fn forget_crew(&self, supervisor: &Key) {
        self.crews.lock().remove(supervisor);
    }

    pub(crate) fn enlist(&self, supervisor: SupervisorHandle) {
        self.supervisors.write().insert(supervisor.key().clone(), supervisor);
    }

    /// Strikes a supervisor off, unless its next life has taken its place.
    pub(crate) fn discharge(&self, key: &Key, actor: &ActorRef<Message>) {
        let mut supervisors = self.supervisors.write();
        if supervisors.get(key).is_some_and(|listed| listed.is(actor)) {
            supervisors.remove(key);
        }
    }

    /// A number from zero to one by the dice of this tree.
    pub fn chance(&self) -> f64 {
        self.dice.lock().f64()
    }

    /// Says how a child stands that was declared elsewhere.
    pub fn stand_elsewhere(&self, key: &Key, incarnation: u64, status: Status) {
        self.publish(self.board.stand_elsewhere(key, incarnation, status));
    }

    /// Says who stands in for a child that was declared elsewhere; nothing if it was not.
    pub fn fall_back_elsewhere(&self, key: &Key, fallback: Option<&Key>) {
        self.publish(self.board.fall_back_elsewhere(key, fallback));
    }

    pub(crate) fn publish(&self, changes: Vec<Change>) {
        for change in changes {
            self.observer.changed(&change);
            for concern in &change.concerns {
                concern.poke();
            }
        }
    }
}
