//! A supervisor as a ractor actor: it does what its `Core` decides, and never waits while it
//! does.

mod crew;
mod handle;

use std::collections::{HashMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use tokio::sync::{oneshot, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::board::Poke;
use crate::core::{Action, ChildInfo, Core, Counts, Gone, Ix, Reply, StartedChild};
use crate::exit::{Exit, ExitReason, Failure, FailureKind, reason_of};
use crate::spec::{ChildPolicy, ChildSpec, Key, SupervisorFlags, SupervisorSpec};
use crate::start::{Born, Control, Place, Report, Signal, Start, StartError, Started};
use crate::tree::Tree;

pub(crate) use crew::Crew;
use crew::Member;
pub use handle::SupervisorHandle;

/// Starts supervisors that are nobody's child; [`SupervisorSpec::into_child`] makes the others.
pub struct Supervisor;

/// The actor itself.
pub(crate) struct SupervisorActor;

/// What a supervisor is told.
pub(crate) enum Message {
    /// Begin with the first children.
    Begin,
    /// A start has returned.
    StartDone { ix: Ix, incarnation: u64, result: Result<Started, StartError>, born: Option<Born> },
    /// A child says that it is ready.
    Ready { ix: Ix, incarnation: u64 },
    /// A child says how it is.
    Degraded { ix: Ix, incarnation: u64, why: Option<Arc<str>> },
    /// A child says that it cannot go on.
    Failed { ix: Ix, incarnation: u64, failure: Arc<Failure> },
    /// Something on the board concerns a child; which one is in the [`Poker`].
    Poked,
    /// A timer may have run out.
    Tick,
    /// Somebody asks for something.
    Command(Command),
    /// End in good order.
    End(ExitReason),
}

/// What may be asked of a supervisor. Mirrors the commands of the core.
pub(crate) enum Command {
    Add(Box<ChildSpec>, Reply<()>),
    Start(Box<ChildSpec>, Reply<StartedChild>),
    Restart(Key, Reply<StartedChild>),
    Terminate(Key, Reply<()>),
    Cycle(Key, Reply<StartedChild>),
    Kill(Key, Arc<Failure>, Reply<()>),
    Delete(Key, Reply<()>),
    Free(Key, Reply<()>),
    Release(Key, Reply<StartedChild>),
    Replace(Box<ChildSpec>, bool, Reply<()>),
    SetFlags(SupervisorFlags, Reply<()>),
    Reorder(Vec<Key>, Reply<()>),
    Which(Reply<Vec<ChildInfo>>),
    Info(Key, Reply<ChildInfo>),
    Count(Reply<Counts>),
}

/// What a supervisor actor is started with.
pub(crate) struct Arguments {
    spec: SupervisorSpec,
    tree: Arc<Tree>,
    crew: Arc<Crew>,
    /// Says to the supervisor's own supervisor that it is ready.
    report: Option<Report>,
    /// Says to a handle how it fares.
    phase: watch::Sender<Fare>,
}

/// How a supervisor fares, for those who wait for it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Fare {
    Beginning,
    Up,
    Ended(ExitReason),
}

impl Supervisor {
    /// Starts a root supervisor, and waits until its first children have settled.
    ///
    /// # Errors
    /// When the declaration is wrong, or a required child cannot become ready; everything that had
    /// been started has then been stopped.
    pub async fn start(
        spec: SupervisorSpec,
        tree: Arc<Tree>,
    ) -> Result<SupervisorHandle, Arc<Failure>> {
        let handle = Self::begin(spec, tree).await?;
        handle.up().await?;
        Ok(handle)
    }

    /// Starts a root supervisor, and returns as soon as its children are being started.
    ///
    /// # Errors
    /// When the declaration is wrong.
    pub async fn begin(
        spec: SupervisorSpec,
        tree: Arc<Tree>,
    ) -> Result<SupervisorHandle, Arc<Failure>> {
        let refused = |error: &(dyn std::error::Error + 'static)| {
            Arc::new(Failure::of(FailureKind::Refused, error))
        };
        spec.check().map_err(|error| refused(&error))?;
        let key = spec.key.clone();
        let (phase, fare) = watch::channel(Fare::Beginning);
        let crew = tree.crew(&key);
        let arguments = Arguments { spec, tree, crew, report: None, phase };
        let spawned = Actor::spawn(None, SupervisorActor, arguments).await;
        let (actor, _) = spawned.map_err(|error| refused(&error))?;
        Ok(SupervisorHandle::new(key, actor, fare))
    }
}

impl SupervisorSpec {
    /// This supervisor as a child of another.
    pub fn into_child(self, policy: impl Into<Arc<ChildPolicy>>) -> ChildSpec {
        let key = self.key.clone();
        let start = SupervisorStart { spec: self };
        ChildSpec::new(key, Arc::new(start)).with_policy(policy)
    }
}

struct SupervisorStart {
    spec: SupervisorSpec,
}

impl Start for SupervisorStart {
    fn start(&self, place: Place) -> BoxFuture<'static, Result<Started, StartError>> {
        let spec = self.spec.clone();
        Box::pin(async move {
            if let Err(error) = spec.check() {
                return Err(StartError::refused(error.to_string()));
            }
            // A child that outlived a supervisor which was killed must not be started twice.
            let crew = place.tree.crew(&spec.key);
            crew.bury(&place.tree).await;
            let report = Some(place.report());
            let tree = place.tree.clone();
            let (phase, _) = watch::channel(Fare::Beginning);
            let arguments = Arguments { spec, tree, crew, report, phase };
            place
                .spawn_controlled(SupervisorActor, arguments, |actor| {
                    Arc::new(SupervisorControl(actor.clone()))
                })
                .await?;
            Ok(Started::Alive)
        })
    }
}

struct SupervisorControl(ActorRef<Message>);

impl Control for SupervisorControl {
    fn stop(&self) {
        let _already_gone = self.0.cast(Message::End(ExitReason::Shutdown(None)));
    }
}

/// A start that has not returned.
struct Starting {
    incarnation: u64,
    /// Dropped to call the start off.
    call_off: Option<oneshot::Sender<()>>,
    /// What is to be done with the child if the start succeeds all the same.
    then: Option<End>,
}

#[derive(Clone, Copy)]
enum End {
    Stop,
    Kill,
}

/// The state of a supervisor actor.
pub(crate) struct State {
    core: Core,
    tree: Arc<Tree>,
    myself: ActorRef<Message>,
    first: Vec<ChildSpec>,
    key: Key,
    crew: Arc<Crew>,
    by_actor: HashMap<ActorId, (Ix, u64)>,
    starting: HashMap<Ix, Starting>,
    /// Actors that ended before their start was heard of.
    early: HashMap<ActorId, ExitReason>,
    /// Starts that failed after an actor was spawned; its end is theirs.
    failed_starts: HashMap<Ix, StartError>,
    poker: Arc<Poker>,
    timer: Option<(Instant, AbortHandle)>,
    report: Option<Report>,
    phase: watch::Sender<Fare>,
}

impl Actor for SupervisorActor {
    type Msg = Message;
    type State = State;
    type Arguments = Arguments;

    async fn pre_start(
        &self,
        myself: ActorRef<Message>,
        arguments: Arguments,
    ) -> Result<State, ActorProcessingErr> {
        let Arguments { mut spec, tree, crew, report, phase } = arguments;
        let poker = Arc::new(Poker::default());
        let _first_and_only = poker.actor.set(myself.clone());
        let first = std::mem::take(&mut spec.children);
        let core = Core::new(&spec, tree.clone(), poker.clone(), crew.next_incarnation());
        let fare = phase.subscribe();
        tree.enlist(SupervisorHandle::new(spec.key.clone(), myself.clone(), fare));
        myself.cast(Message::Begin)?;
        Ok(State {
            core,
            tree,
            myself,
            first,
            key: spec.key,
            crew,
            by_actor: HashMap::new(),
            starting: HashMap::new(),
            early: HashMap::new(),
            failed_starts: HashMap::new(),
            poker,
            timer: None,
            report,
            phase,
        })
    }

    async fn handle(
        &self,
        _: ActorRef<Message>,
        message: Message,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        state.hear(message, Instant::now());
        state.act()
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<Message>,
        event: SupervisionEvent,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        if let Some((actor, reason)) = reason_of(event) {
            state.actor_ended(actor, reason, Instant::now());
        }
        state.act()
    }
}

impl State {
    fn hear(&mut self, message: Message, now: Instant) {
        match message {
            Message::Begin => self.core.begin(std::mem::take(&mut self.first), now),
            Message::StartDone { ix, incarnation, result, born } => {
                self.start_done(ix, incarnation, result, born, now);
            }
            Message::Ready { ix, incarnation } => self.core.ready(ix, incarnation, now),
            Message::Degraded { ix, incarnation, why } => {
                self.core.degraded(ix, incarnation, why, now);
            }
            Message::Failed { ix, incarnation, failure } => {
                self.core.failed(ix, incarnation, failure, now);
            }
            Message::Poked => {
                for about in self.poker.take() {
                    self.core.needs_changed(&about, now);
                }
            }
            Message::Tick => {
                self.timer = None;
                self.core.tick(now);
            }
            Message::Command(command) => self.obey(command, now),
            Message::End(reason) => self.core.end(reason, now),
        }
    }

    fn obey(&mut self, command: Command, now: Instant) {
        match command {
            Command::Add(spec, reply) => self.core.add_child(*spec, reply, now),
            Command::Start(spec, reply) => self.core.start_child(*spec, reply, now),
            Command::Restart(key, reply) => self.core.restart_child(&key, reply, now),
            Command::Terminate(key, reply) => self.core.terminate_child(&key, reply, now),
            Command::Cycle(key, reply) => self.core.cycle_child(&key, reply, now),
            Command::Kill(key, failure, reply) => self.core.kill_child(&key, failure, reply, now),
            Command::Delete(key, reply) => self.core.delete_child(&key, reply),
            Command::Free(key, reply) => self.core.free_child(&key, reply, now),
            Command::Release(key, reply) => self.core.release_child(&key, reply, now),
            Command::Replace(spec, restart, reply) => {
                self.core.replace_child(*spec, restart, reply, now);
            }
            Command::SetFlags(flags, reply) => self.core.set_flags(flags, reply),
            Command::Reorder(keys, reply) => self.core.reorder(&keys, reply, now),
            Command::Which(reply) => reply(Ok(self.core.which_children())),
            Command::Info(key, reply) => reply(self.core.child_info(&key)),
            Command::Count(reply) => reply(Ok(self.core.count_children())),
        }
    }

    /// Does what the core wants, until it wants no more.
    fn act(&mut self) -> Result<(), ActorProcessingErr> {
        let mut exit = None;
        for action in self.core.take_actions() {
            match action {
                Action::Start { ix, incarnation, spec } => self.start(ix, incarnation, spec),
                Action::Stop { ix } => self.end_child(ix, End::Stop),
                Action::Kill { ix } => self.end_child(ix, End::Kill),
                Action::Abandon { ix } => self.abandon(ix),
                Action::Tell { ix, change } => {
                    self.crew.with(ix, |member| member.born.control().need_changed(&change));
                }
                Action::Up => self.up(),
                Action::Exit(reason) => exit = Some(reason),
            }
        }
        if let Some(reason) = exit {
            self.tree.discharge(&self.key, &self.myself);
            self.phase.send_replace(Fare::Ended(reason.clone()));
            return Err(Exit(reason).into());
        }
        self.arm_timer();
        Ok(())
    }

    fn start(&mut self, ix: Ix, incarnation: u64, spec: ChildSpec) {
        self.crew.note_incarnation(incarnation);
        let signal = Arc::new(ChildSignal { supervisor: self.myself.clone(), ix });
        let supervisor = self.myself.get_cell();
        let place = Place::new(self.tree.clone(), spec.key, incarnation, supervisor, signal);
        let (call_off, called_off) = oneshot::channel();
        let supervisor = self.myself.clone();
        tokio::spawn(async move {
            let starting = AssertUnwindSafe(spec.start.start(place.clone())).catch_unwind();
            let result = tokio::select! {
                biased;
                result = starting => result.unwrap_or_else(|panic| Err(start_panicked(&*panic))),
                _ = called_off => Err(StartError::failed("the start was called off")),
            };
            let born = place.take_born();
            let done = Message::StartDone { ix, incarnation, result, born };
            if let Err(ractor::MessagingErr::SendErr(Message::StartDone {
                born: Some(born), ..
            })) = supervisor.cast(done)
            {
                born.cell.kill();
            }
        });
        self.starting.insert(ix, Starting { incarnation, call_off: Some(call_off), then: None });
    }

    fn start_done(
        &mut self,
        ix: Ix,
        incarnation: u64,
        result: Result<Started, StartError>,
        born: Option<Born>,
        now: Instant,
    ) {
        let Some(starting) = self.starting.remove(&ix) else {
            return born.into_iter().for_each(|born| born.cell.kill());
        };
        if starting.incarnation != incarnation {
            self.starting.insert(ix, starting);
            return born.into_iter().for_each(|born| born.cell.kill());
        }
        let Some(born) = born else {
            let gone = match result {
                Ok(Started::Ignored) => Gone::Ignored,
                Ok(_) => {
                    Gone::NotStarted(StartError::refused("its start returned without an actor"))
                }
                Err(error) => Gone::NotStarted(error),
            };
            return self.core.gone(ix, incarnation, gone, now);
        };
        let actor = born.cell.get_id();
        self.by_actor.insert(actor, (ix, incarnation));
        let key = self.core_key(ix);
        self.crew.join(ix, Member { key, born });
        let ready = match result {
            Ok(started) => started == Started::Ready,
            Err(error) => {
                self.failed_starts.insert(ix, error);
                self.end_child(ix, End::Kill);
                false
            }
        };
        if ready {
            self.core.ready(ix, incarnation, now);
        }
        if let Some(end) = starting.then {
            self.end_child(ix, end);
        }
        if let Some(reason) = self.early.remove(&actor) {
            self.actor_ended(actor, reason, now);
        }
        if self.starting.is_empty() {
            self.early.clear();
        }
    }

    fn core_key(&self, ix: Ix) -> Key {
        self.core.key_of(ix).unwrap_or_else(|| self.key.clone())
    }

    fn end_child(&mut self, ix: Ix, end: End) {
        if let Some(starting) = self.starting.get_mut(&ix) {
            starting.then = Some(end);
            starting.call_off = None;
            return;
        }
        self.crew.with(ix, |member| match end {
            End::Stop => member.born.control().stop(),
            End::Kill => member.born.cell.kill(),
        });
    }

    fn abandon(&mut self, ix: Ix) {
        self.starting.remove(&ix);
        self.failed_starts.remove(&ix);
        if let Some(member) = self.crew.leave(ix) {
            self.by_actor.remove(&member.born.cell.get_id());
            member.born.cell.unlink(self.myself.get_cell());
        }
    }

    fn actor_ended(&mut self, actor: ActorId, reason: ExitReason, now: Instant) {
        let Some((ix, incarnation)) = self.by_actor.remove(&actor) else {
            if !self.starting.is_empty() {
                self.early.insert(actor, reason);
            }
            return;
        };
        self.crew.leave(ix);
        let gone = match self.failed_starts.remove(&ix) {
            Some(error) => Gone::NotStarted(error),
            None => Gone::Exited(reason),
        };
        self.core.gone(ix, incarnation, gone, now);
    }

    fn up(&mut self) {
        self.phase.send_replace(Fare::Up);
        if let Some(report) = &self.report {
            report.ready();
        }
    }

    fn arm_timer(&mut self) {
        let Some(at) = self.core.next_timer() else { return };
        if self.timer.as_ref().is_some_and(|(armed, _)| *armed <= at) {
            return;
        }
        let myself = self.myself.clone();
        let task = tokio::spawn(async move {
            tokio::time::sleep_until(at).await;
            let _already_gone = myself.cast(Message::Tick);
        });
        if let Some((_, old)) = self.timer.replace((at, task.abort_handle())) {
            old.abort();
        }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        if let Some((_, timer)) = &self.timer {
            timer.abort();
        }
        self.tree.discharge(&self.key, &self.myself);
        let ended = matches!(*self.phase.borrow(), Fare::Ended(_));
        if !ended {
            self.phase.send_replace(Fare::Ended(ExitReason::Killed));
        }
    }
}

fn start_panicked(panic: &(dyn std::any::Any + Send)) -> StartError {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    let message = text.unwrap_or_else(|| "a panic without a message".to_owned());
    StartError::Failed(Arc::new(Failure::new(FailureKind::Panic, message)))
}

/// Tells a supervisor that the board concerns it: what about is collected, and one message at a
/// time says that there is something.
#[derive(Default)]
struct Poker {
    actor: OnceLock<ActorRef<Message>>,
    about: Mutex<HashSet<Key>>,
}

impl Poker {
    fn take(&self) -> HashSet<Key> {
        std::mem::take(&mut *self.about.lock())
    }
}

impl Poke for Poker {
    fn poke(&self, about: &Key) {
        let mut keys = self.about.lock();
        let first = keys.is_empty();
        keys.insert(about.clone());
        drop(keys);
        if let Some(actor) = self.actor.get().filter(|_| first) {
            let _already_gone = actor.cast(Message::Poked);
        }
    }
}

/// Carries what a child says to its supervisor.
struct ChildSignal {
    supervisor: ActorRef<Message>,
    ix: Ix,
}

impl ChildSignal {
    fn send(&self, message: Message) {
        let _already_gone = self.supervisor.cast(message);
    }
}

impl Signal for ChildSignal {
    fn ready(&self, incarnation: u64) {
        self.send(Message::Ready { ix: self.ix, incarnation });
    }

    fn degraded(&self, incarnation: u64, why: Option<Arc<str>>) {
        self.send(Message::Degraded { ix: self.ix, incarnation, why });
    }

    fn failed(&self, incarnation: u64, failure: Arc<Failure>) {
        self.send(Message::Failed { ix: self.ix, incarnation, failure });
    }
}
