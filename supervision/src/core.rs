//! What a supervisor decides, without how it is done.
//!
//! [`Core`] is told what happened (a child is ready, a child is gone, a timer ran out, somebody
//! commands) and says what to do about it, as [`Action`]s. It knows neither tasks nor actors: time
//! is handed to it, and the outcome of an action comes back as an event. So whole trees of cores
//! run in a test, on an invented clock, against scripted crashes.
//!
//! For every [`Action::Start`] the doer owes exactly one [`Core::gone`] of the same incarnation,
//! with [`Core::ready`] before it if the child became ready.
//!
//! | file | what it decides |
//! |---|---|
//! | `core.rs` | the children, their phases, timers, and how all of it settles |
//! | `core/begin.rs` | when a child may start |
//! | `core/restart.rs` | what follows from an end that nobody asked for |
//! | `core/stop.rs` | in which order children stop, and what comes after |
//! | `core/needs.rs` | what a child that is up is told of what it needs |
//! | `core/command.rs` | what people and programs may ask of a supervisor |

mod begin;
mod command;
mod needs;
mod restart;
mod stop;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::Instant;

use crate::backoff::Budget;
use crate::board::{Poke, Write};
use crate::exit::{ExitReason, Failure};
use crate::journal::What;
use crate::spec::{ChildKind, ChildSpec, Key, Restart, Strategy, SupervisorFlags, SupervisorSpec};
use crate::start::{NeedChange, Place, Start, StartError, Started};
use crate::status::{Standing, Status};
use crate::tree::Tree;

pub(crate) use command::Reply;
pub use command::{ChildError, ChildInfo, Counts, StartedChild};

/// How long a killed child may take to end before it is given up for lost.
pub const KILL_GRACE: Duration = Duration::from_secs(5);

/// A child's number in its supervisor. Not reused while anything may still refer to it.
pub(crate) type Ix = u64;

/// What the core wants done.
#[derive(Debug)]
pub(crate) enum Action {
    /// Start this life of a child.
    Start { ix: Ix, incarnation: u64, spec: ChildSpec },
    /// Ask it to stop, or call off its start.
    Stop { ix: Ix },
    /// Kill it, or call off its start.
    Kill { ix: Ix },
    /// It does not die: forget it.
    Abandon { ix: Ix },
    /// Tell it about something it needs.
    Tell { ix: Ix, change: NeedChange },
    /// The supervisor has started: all its first children have settled.
    Up,
    /// The supervisor has ended: all its children are gone.
    Exit(ExitReason),
}

/// How a life of a child ended.
#[derive(Debug, Clone)]
pub(crate) enum Gone {
    /// Its start did not succeed.
    NotStarted(StartError),
    /// Its start found nothing to run.
    Ignored,
    /// Its actor ended.
    Exited(ExitReason),
}

/// Where a child is between being declared and being gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// It does not run and is not to.
    Idle,
    /// It is to run: it waits for its turn, for its needs, or for its backoff to pass.
    Waiting,
    /// It is being started, or runs and is not ready.
    Starting,
    /// It is ready.
    Up,
    /// It was asked to stop.
    Stopping,
    /// It was killed.
    Killing,
}

impl Phase {
    fn is_alive(self) -> bool {
        matches!(self, Self::Starting | Self::Up | Self::Stopping | Self::Killing)
    }
}

/// What comes after a stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Then {
    /// It starts again.
    Start,
    /// It stays stopped.
    Rest,
    /// It is forgotten.
    Remove,
}

/// A child that is to stop.
#[derive(Debug, Clone)]
struct Doom {
    then: Then,
    why: crate::journal::StopWhy,
    /// It restarts together with others, which wait for it to have stopped.
    in_batch: bool,
    /// Since when.
    since: Instant,
}

struct Child {
    spec: ChildSpec,
    /// Its place in the order of children.
    position: u64,
    phase: Phase,
    /// Which life of it; zero before the first.
    incarnation: u64,
    /// When its phase began.
    since: Instant,
    /// Since when this life of it is, or was, ready.
    up_since: Option<Instant>,
    /// When its timer runs out: backoff, start deadline, stop deadline or kill grace, by its phase.
    timer: Option<Instant>,
    /// How often it was restarted because it ended.
    restarts: u32,
    /// How often in a row it failed without having been ready.
    failed_starts: u32,
    /// How often in a row its backoff has grown.
    attempt: u32,
    /// It is to stop.
    doom: Option<Doom>,
    /// It waits until all that restart with it have stopped.
    held: bool,
    /// The supervisor's start is not complete before this one has settled.
    unsettled: bool,
    /// Why it was killed by its supervisor, when it was.
    verdict: Option<Arc<Failure>>,
    /// Declared anew while it ran; holds from its next start.
    next_spec: Option<ChildSpec>,
    /// What is seldom there, boxed to keep a child small.
    rare: Option<Box<Rare>>,
}

#[derive(Default)]
struct Rare {
    /// What it said of itself.
    own_degradation: Option<Arc<str>>,
    /// What it needs and how that stands, where that is not simply met.
    lacks: Vec<(Key, Standing)>,
    /// The lives that it is bound to.
    bound: Vec<(Key, u64)>,
    /// Its own restarts, where they are counted alone.
    budget: Budget,
    /// Who waits for it to be ready.
    start_waiters: Vec<Reply<StartedChild>>,
    /// Who waits for it to have stopped.
    stop_waiters: Vec<Reply<()>>,
    /// It was added by a command, and is forgotten again if its first start fails.
    on_trial: bool,
    /// What it was last said to wait for, so that it is not said twice.
    waits_for: Vec<Key>,
}

impl Child {
    fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    fn key(&self) -> &Key {
        &self.spec.key
    }
}

/// What the supervisor as a whole is doing.
#[derive(Debug, Clone, PartialEq)]
enum Mode {
    /// Its first children have not all settled.
    Beginning,
    /// It supervises.
    Running,
    /// It ends, for this reason, when its children are gone.
    Ending(ExitReason),
    /// It has ended.
    Ended,
}

/// A supervisor's mind.
pub(crate) struct Core {
    key: Key,
    flags: SupervisorFlags,
    tree: Arc<Tree>,
    owner: Arc<dyn Poke>,
    mode: Mode,
    children: HashMap<Ix, Child>,
    by_key: HashMap<Key, Ix>,
    /// The children by their place in the order.
    order: BTreeMap<u64, Ix>,
    /// Those that start one after the other and have not come up yet, by place.
    sequence: BTreeMap<u64, Ix>,
    /// Those that are to stop, by place.
    doomed: BTreeMap<u64, Ix>,
    /// For each key, the children here that need, bind or want it.
    needed_by: HashMap<Key, Vec<Ix>>,
    timers: BTreeSet<(Instant, Ix)>,
    /// How many children are alive.
    alive: usize,
    /// How many of the first children have not settled.
    unsettled: usize,
    /// How many children must stop before those that are held may start.
    batch_pending: usize,
    held: Vec<Ix>,
    /// Those that are held start no sooner.
    batch_not_before: Option<Instant>,
    /// The restarts that are counted for all children together.
    budget: Budget,
    /// Takes the place of a start that will not be used again.
    spent: Arc<dyn Start>,
    next_ix: Ix,
    next_incarnation: u64,
    actions: Vec<Action>,
}

struct Spent;

impl Start for Spent {
    fn start(&self, _: Place) -> BoxFuture<'static, Result<Started, StartError>> {
        Box::pin(async { Err(StartError::refused("it was temporary and has been started once")) })
    }
}

impl Core {
    /// A supervisor that has not begun. `first_incarnation` lies above all that an earlier life of
    /// this supervisor gave out.
    pub(crate) fn new(
        spec: &SupervisorSpec,
        tree: Arc<Tree>,
        owner: Arc<dyn Poke>,
        first_incarnation: u64,
    ) -> Self {
        Self {
            key: spec.key.clone(),
            flags: spec.flags,
            tree,
            owner,
            mode: Mode::Beginning,
            children: HashMap::new(),
            by_key: HashMap::new(),
            order: BTreeMap::new(),
            sequence: BTreeMap::new(),
            doomed: BTreeMap::new(),
            needed_by: HashMap::new(),
            timers: BTreeSet::new(),
            alive: 0,
            unsettled: 0,
            batch_pending: 0,
            held: Vec::new(),
            batch_not_before: None,
            budget: Budget::default(),
            spent: Arc::new(Spent),
            next_ix: 0,
            next_incarnation: first_incarnation,
            actions: Vec::new(),
        }
    }

    /// What is to be done, in order.
    pub(crate) fn take_actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    /// When [`Core::tick`] is next due.
    pub(crate) fn next_timer(&self) -> Option<Instant> {
        self.timers.first().map(|&(at, _)| at)
    }

    /// The name of a child.
    pub(crate) fn key_of(&self, ix: Ix) -> Option<Key> {
        self.children.get(&ix).map(|child| child.key().clone())
    }

    /// A child is ready.
    pub(crate) fn ready(&mut self, ix: Ix, incarnation: u64, now: Instant) {
        let Some(child) = self.living(ix, incarnation) else { return };
        if child.phase != Phase::Starting {
            return;
        }
        let took = now.duration_since(child.since);
        child.failed_starts = 0;
        child.up_since = Some(now);
        self.enter_phase(ix, Phase::Up, now);
        self.record(ix, What::Ready { took });
        self.refresh_standings(ix, now);
        self.answer_started(ix, Ok(StartedChild { incarnation, ignored: false }));
        self.leave_sequence(ix);
        self.settle(ix);
        self.advance(now);
    }

    /// A child says how it is: degraded for this reason, or well.
    pub(crate) fn degraded(
        &mut self,
        ix: Ix,
        incarnation: u64,
        why: Option<Arc<str>>,
        now: Instant,
    ) {
        let Some(child) = self.living(ix, incarnation) else { return };
        child.rare().own_degradation = why;
        if child.phase == Phase::Up {
            self.publish_up(ix, now);
        }
    }

    /// A child says that it cannot go on.
    pub(crate) fn failed(&mut self, ix: Ix, incarnation: u64, failure: Arc<Failure>, now: Instant) {
        let Some(child) = self.living(ix, incarnation) else { return };
        if matches!(child.phase, Phase::Starting | Phase::Up) {
            child.verdict = Some(failure);
            self.kill(ix, now);
        }
    }

    /// A life of a child has ended.
    pub(crate) fn gone(&mut self, ix: Ix, incarnation: u64, gone: Gone, now: Instant) {
        let Some(child) = self.living(ix, incarnation) else { return };
        let up_since = child.up_since.take();
        let gone = match child.verdict.take() {
            Some(failure) => Gone::Exited(ExitReason::Failed(failure)),
            None => gone,
        };
        let doom = child.doom.take();
        self.enter_phase(ix, Phase::Idle, now);
        match (doom, up_since) {
            (Some(doom), _) => self.stopped(ix, doom, gone, now),
            (None, Some(up_since)) => {
                let Gone::Exited(reason) = gone else { return };
                self.exited(ix, reason, Some(now.duration_since(up_since)), now);
            }
            (None, None) => self.not_started(ix, gone, now),
        }
        self.advance(now);
    }

    /// Time has passed.
    pub(crate) fn tick(&mut self, now: Instant) {
        self.end_backoffs(now);
        while let Some(&(at, ix)) = self.timers.first() {
            if at > now {
                break;
            }
            self.timers.remove(&(at, ix));
            if let Some(child) = self.children.get_mut(&ix) {
                child.timer = None;
                self.timer_ran_out(ix, now);
            }
        }
        self.advance(now);
    }

    /// Those whose backoff has passed are expected again, before any of them starts: who wants one
    /// that returns with it waits for it.
    fn end_backoffs(&mut self, now: Instant) {
        let due = self.timers.iter().take_while(|(at, _)| *at <= now).map(|(_, ix)| *ix);
        let due: Vec<Ix> = due.collect();
        if due.len() < 2 {
            return;
        }
        for ix in due {
            if self.children.get(&ix).is_some_and(|child| child.phase == Phase::Waiting) {
                self.set_status(ix, Status::Waiting, now);
            }
        }
    }

    fn timer_ran_out(&mut self, ix: Ix, now: Instant) {
        match self.children[&ix].phase {
            Phase::Waiting => self.try_start(ix, now),
            Phase::Starting => self.start_deadline_passed(ix, now),
            Phase::Stopping => self.kill(ix, now),
            Phase::Killing => self.abandon(ix, now),
            Phase::Idle | Phase::Up => {}
        }
    }

    /// Does whatever has become possible: starts, stops, the supervisor's own start and end.
    fn advance(&mut self, now: Instant) {
        self.pump_stops(now);
        self.pump_sequence(now);
        if self.mode == Mode::Beginning && self.unsettled == 0 {
            self.mode = Mode::Running;
            self.actions.push(Action::Up);
        }
        self.exit_if_empty(now);
    }

    fn exit_if_empty(&mut self, now: Instant) {
        let Mode::Ending(reason) = &self.mode else { return };
        if self.alive > 0 {
            return;
        }
        let reason = reason.clone();
        self.mode = Mode::Ended;
        self.abandon_board(now);
        self.actions.push(Action::Exit(reason));
    }

    /// The children are nobody's now; a later life of this supervisor may take them in again.
    fn abandon_board(&mut self, now: Instant) {
        for child in self.children.values() {
            let forgotten = self.flags.strategy == Strategy::Dynamic
                || child.spec.policy.restart == Restart::Temporary;
            if forgotten {
                self.tree.publish(self.tree.board.leave(child.key()));
                continue;
            }
            let Some(view) = self.tree.board.view(child.key().as_str()) else { continue };
            let status = match view.status.is_settled() && !view.status.is_up() {
                true => view.status,
                false => Status::Stopped("its supervisor ended".into()),
            };
            let (incarnation, restarts) = (child.incarnation, child.restarts);
            let write = Write { status, incarnation, restarts, now };
            self.tree.publish(self.tree.board.orphan(child.key(), write));
        }
    }

    // What the other files stand on.

    fn living(&mut self, ix: Ix, incarnation: u64) -> Option<&mut Child> {
        self.children
            .get_mut(&ix)
            .filter(|child| child.incarnation == incarnation && child.phase.is_alive())
    }

    fn enter_phase(&mut self, ix: Ix, phase: Phase, now: Instant) {
        self.disarm(ix);
        let child = self.child(ix);
        let (was, is) = (child.phase.is_alive(), phase.is_alive());
        child.phase = phase;
        child.since = now;
        match (was, is) {
            (false, true) => self.alive += 1,
            (true, false) => self.alive -= 1,
            _ => {}
        }
    }

    fn arm(&mut self, ix: Ix, at: Instant) {
        self.disarm(ix);
        self.child(ix).timer = Some(at);
        self.timers.insert((at, ix));
    }

    fn disarm(&mut self, ix: Ix) {
        if let Some(at) = self.child(ix).timer.take() {
            self.timers.remove(&(at, ix));
        }
    }

    fn child(&mut self, ix: Ix) -> &mut Child {
        self.children.get_mut(&ix).expect("a child that is dealt with has not been removed")
    }

    fn set_status(&mut self, ix: Ix, status: Status, now: Instant) {
        let child = &self.children[&ix];
        let (incarnation, restarts) = (child.incarnation, child.restarts);
        let write = Write { status, incarnation, restarts, now };
        self.tree.publish(self.tree.board.set(child.key(), write));
    }

    fn record(&self, ix: Ix, what: What) {
        let child = &self.children[&ix];
        self.tree.record(child.key(), child.incarnation, what);
    }

    /// One of the first children has come as far as it will.
    fn settle(&mut self, ix: Ix) {
        if std::mem::take(&mut self.child(ix).unsettled) {
            self.unsettled -= 1;
        }
    }

    fn leave_sequence(&mut self, ix: Ix) {
        let position = self.children[&ix].position;
        self.sequence.remove(&position);
    }

    fn answer_started(&mut self, ix: Ix, answer: Result<StartedChild, ChildError>) {
        let Some(rare) = self.child(ix).rare.as_mut() else { return };
        rare.on_trial = false;
        for reply in std::mem::take(&mut rare.start_waiters) {
            reply(answer.clone());
        }
    }

    fn answer_stopped(&mut self, ix: Ix) {
        let Some(rare) = self.child(ix).rare.as_mut() else { return };
        for reply in std::mem::take(&mut rare.stop_waiters) {
            reply(Ok(()));
        }
    }

    /// Forgets a child that does not live.
    fn remove(&mut self, ix: Ix) {
        self.disarm(ix);
        self.settle(ix);
        self.leave_sequence(ix);
        self.answer_stopped(ix);
        self.answer_started(ix, Err(ChildError::Stopped));
        self.held.retain(|held| *held != ix);
        let Some(child) = self.children.remove(&ix) else { return };
        self.by_key.remove(child.key());
        self.order.remove(&child.position);
        self.doomed.remove(&child.position);
        self.forget_edges(ix, &child.spec);
        let what = if child.spec.policy.sleeps { What::Asleep } else { What::Removed };
        self.tree.record(child.key(), child.incarnation, what);
        self.tree.publish(self.tree.board.leave(child.key()));
        if child.spec.policy.kind == ChildKind::Supervisor {
            self.tree.publish(self.tree.board.leave_children_of(child.key()));
            self.tree.forget_crew(child.key());
        }
    }

    fn note_edges(&mut self, ix: Ix, spec: &ChildSpec) {
        for key in spec.edges.iter().flat_map(|edges| edges.before()) {
            self.needed_by.entry(key.clone()).or_default().push(ix);
        }
    }

    fn forget_edges(&mut self, ix: Ix, spec: &ChildSpec) {
        for key in spec.edges.iter().flat_map(|edges| edges.before()) {
            if let Some(children) = self.needed_by.get_mut(key) {
                children.retain(|other| *other != ix);
                if children.is_empty() {
                    self.needed_by.remove(key);
                }
            }
        }
    }
}
