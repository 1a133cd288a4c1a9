//! What people and programs may ask of a supervisor.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::time::Instant;

use super::{Core, Ix, Mode, Phase, Then};
use crate::Taken;
use crate::exit::Failure;
use crate::journal::{StopWhy, What};
use crate::spec::{
    ChildKind, ChildSpec, Key, Restart, SpecError, Strategy, SupervisorFlags, check_child,
    check_flags,
};
use crate::start::StartError;
use crate::status::Status;

/// Where the answer to a command goes.
pub(crate) type Reply<T> = Box<dyn FnOnce(Result<T, ChildError>) + Send>;

/// A child that has been started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StartedChild {
    /// Which life of it.
    pub incarnation: u64,
    /// There was nothing to run.
    pub ignored: bool,
}

/// Why a supervisor does not do what it is asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChildError {
    /// It has no such child.
    #[error("it has no such child")]
    NotFound,
    /// It has a child of this name, which does not run; restart or delete that one.
    #[error(
        "it has a child of this name already, which is not running; restart or delete that one"
    )]
    AlreadyPresent,
    /// It has a child of this name, which runs.
    #[error("it has a child of this name already, and it is running")]
    AlreadyStarted,
    /// The name is taken elsewhere in the tree.
    #[error(transparent)]
    Taken(#[from] Taken),
    /// The child runs.
    #[error("it is running; stop it first")]
    Running,
    /// The child is about to be restarted.
    #[error("it is about to be restarted; stop it first")]
    Restarting,
    /// The child is held back; release it.
    #[error("it is in quarantine; release it")]
    Quarantined,
    /// The child is not held back.
    #[error("it is not in quarantine")]
    NotQuarantined,
    /// The child is not running, so there is nothing to restart.
    #[error("it is not running; start it")]
    NotRunning,
    /// The declaration is wrong.
    #[error("its declaration is wrong: {0}")]
    Invalid(#[from] SpecError),
    /// The start failed.
    #[error("it could not start: {0}")]
    StartFailed(StartError),
    /// What it needs will not come by itself.
    #[error("it cannot start: {0}")]
    Blocked(String),
    /// It was stopped before it was ready.
    #[error("it was stopped before it was ready")]
    Stopped,
    /// A temporary child is started once.
    #[error("it is temporary: it is started once, and forgotten when it has ended")]
    Temporary,
    /// Children of a dynamic supervisor are forgotten when they stop.
    #[error(
        "its supervisor is dynamic: a child that has stopped is forgotten and cannot be restarted"
    )]
    Dynamic,
    /// The supervisor ends.
    #[error("its supervisor is ending")]
    Ending,
    /// The supervisor is gone.
    #[error("its supervisor is gone")]
    Gone,
}

/// A child as its supervisor lists it.
#[derive(Debug, Clone)]
pub struct ChildInfo {
    /// Its declaration.
    pub spec: ChildSpec,
    /// How it stands.
    pub status: Status,
    /// Which life of it; zero before the first.
    pub incarnation: u64,
    /// How often it was restarted because it ended.
    pub restarts: u32,
}

/// How many children a supervisor has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Declared.
    pub specs: usize,
    /// Alive.
    pub active: usize,
    /// Declared as supervisors, alive or not.
    pub supervisors: usize,
    /// Declared as workers, alive or not.
    pub workers: usize,
}

impl Core {
    /// Adds a child and starts it; answers when it is ready. If that fails it is forgotten again.
    pub(crate) fn start_child(
        &mut self,
        spec: ChildSpec,
        reply: Reply<StartedChild>,
        now: Instant,
    ) {
        match self.check_new(&spec).and_then(|()| Ok(self.admit(spec, now)?)) {
            Err(error) => reply(Err(error)),
            Ok(ix) => {
                self.child(ix).rare().on_trial = true;
                self.start_by_command(ix, reply, now);
            }
        }
    }

    /// Adds a child, which starts when it can as the first children do; answers at once. If its start
    /// fails it is restarted or given up as any other.
    pub(crate) fn add_child(&mut self, spec: ChildSpec, reply: Reply<()>, now: Instant) {
        match self.check_new(&spec).and_then(|()| Ok(self.admit(spec, now)?)) {
            Err(error) => reply(Err(error)),
            Ok(ix) => {
                self.want_up(ix, now);
                self.set_status(ix, Status::Waiting, now);
                self.join_sequence(ix);
                self.try_start(ix, now);
                reply(Ok(()));
                self.advance(now);
            }
        }
    }

    fn check_new(&self, spec: &ChildSpec) -> Result<(), ChildError> {
        if self.ends() {
            return Err(ChildError::Ending);
        }
        check_child(spec, &self.flags)?;
        match self.by_key.get(&spec.key) {
            None => Ok(()),
            Some(ix) if self.children[ix].phase.is_alive() => Err(ChildError::AlreadyStarted),
            Some(_) => Err(ChildError::AlreadyPresent),
        }
    }

    /// Starts a child that was stopped or has ended; answers when it is ready.
    pub(crate) fn restart_child(&mut self, key: &Key, reply: Reply<StartedChild>, now: Instant) {
        match self.startable(key) {
            Err(error) => reply(Err(error)),
            Ok(ix) => self.start_by_command(ix, reply, now),
        }
    }

    fn startable(&self, key: &Key) -> Result<Ix, ChildError> {
        if self.ends() {
            return Err(ChildError::Ending);
        }
        if self.flags.strategy == Strategy::Dynamic {
            return Err(ChildError::Dynamic);
        }
        let ix = self.find(key)?;
        match self.children[&ix].phase {
            Phase::Idle if self.is_quarantined(key) => Err(ChildError::Quarantined),
            Phase::Idle => Ok(ix),
            Phase::Waiting if self.waits_for_backoff(ix) => Err(ChildError::Restarting),
            Phase::Waiting => Ok(ix),
            _ => Err(ChildError::Running),
        }
    }

    fn waits_for_backoff(&self, ix: Ix) -> bool {
        let child = &self.children[&ix];
        child.timer.is_some() || child.held
    }

    fn start_by_command(&mut self, ix: Ix, reply: Reply<StartedChild>, now: Instant) {
        let child = self.child(ix);
        child.failed_starts = 0;
        child.attempt = 0;
        child.rare().start_waiters.push(reply);
        self.want_up(ix, now);
        self.set_status(ix, Status::Waiting, now);
        self.try_start(ix, now);
        self.advance(now);
    }

    /// Stops a child; answers when it has stopped. Not an error if it does not run.
    pub(crate) fn terminate_child(&mut self, key: &Key, reply: Reply<()>, now: Instant) {
        let ix = match self.find(key) {
            Err(error) => return reply(Err(error)),
            Ok(ix) => ix,
        };
        let forgotten = self.children[&ix].spec.policy.restart == Restart::Temporary
            || self.flags.strategy == Strategy::Dynamic;
        self.child(ix).rare().stop_waiters.push(reply);
        match self.children[&ix].phase {
            Phase::Idle | Phase::Waiting if forgotten => self.remove(ix),
            Phase::Idle | Phase::Waiting => {
                self.held.retain(|held| *held != ix);
                self.child(ix).held = false;
                self.answer_started(ix, Err(ChildError::Stopped));
                self.rest(ix, Status::Stopped(StopWhy::Asked.to_string().into()), now);
            }
            _ => {
                let then = if forgotten { Then::Remove } else { Then::Rest };
                self.doom(ix, then, StopWhy::Asked, false, now);
                if let Some(doom) = &mut self.child(ix).doom {
                    doom.why = StopWhy::Asked;
                }
            }
        }
        self.advance(now);
    }

    /// Stops a running child and starts it again; answers when it is ready.
    pub(crate) fn cycle_child(&mut self, key: &Key, reply: Reply<StartedChild>, now: Instant) {
        let ix = match self.find(key) {
            Err(error) => return reply(Err(error)),
            Ok(_) if self.ends() => return reply(Err(ChildError::Ending)),
            Ok(ix) => ix,
        };
        match self.children[&ix].phase {
            Phase::Idle if self.is_quarantined(key) => reply(Err(ChildError::Quarantined)),
            Phase::Idle => reply(Err(ChildError::NotRunning)),
            Phase::Waiting => self.start_by_command(ix, reply, now),
            _ if self.children[&ix].spec.policy.restart == Restart::Temporary => {
                reply(Err(ChildError::Temporary));
            }
            _ => {
                let child = self.child(ix);
                child.attempt = 0;
                child.rare().start_waiters.push(reply);
                self.doom(ix, Then::Start, StopWhy::RestartAsked, false, now);
                self.advance(now);
            }
        }
    }

    /// Forgets a child that does not run.
    pub(crate) fn delete_child(&mut self, key: &Key, reply: Reply<()>) {
        let deletable = self.find(key).and_then(|ix| match self.children[&ix].phase {
            _ if self.flags.strategy == Strategy::Dynamic => Err(ChildError::Dynamic),
            Phase::Idle => Ok(ix),
            Phase::Waiting => Err(ChildError::Restarting),
            _ => Err(ChildError::Running),
        });
        match deletable {
            Err(error) => reply(Err(error)),
            Ok(ix) => {
                self.remove(ix);
                reply(Ok(()));
            }
        }
    }

    /// Lets a child out of quarantine; answers when it is ready.
    pub(crate) fn release_child(&mut self, key: &Key, reply: Reply<StartedChild>, now: Instant) {
        match self.releasable(key) {
            Err(error) => reply(Err(error)),
            Ok(ix) => {
                self.forgive(ix);
                self.start_by_command(ix, reply, now);
            }
        }
    }

    /// Lets a child out of quarantine; answers at once. If its start fails it is restarted or given
    /// up as any other.
    pub(crate) fn free_child(&mut self, key: &Key, reply: Reply<()>, now: Instant) {
        match self.releasable(key) {
            Err(error) => reply(Err(error)),
            Ok(ix) => {
                self.forgive(ix);
                self.want_up(ix, now);
                self.set_status(ix, Status::Waiting, now);
                self.try_start(ix, now);
                reply(Ok(()));
                self.advance(now);
            }
        }
    }

    fn releasable(&self, key: &Key) -> Result<Ix, ChildError> {
        self.find(key).and_then(|ix| match self.is_quarantined(key) {
            _ if self.ends() => Err(ChildError::Ending),
            true => Ok(ix),
            false => Err(ChildError::NotQuarantined),
        })
    }

    /// Forgets how often a child has failed.
    fn forgive(&mut self, ix: Ix) {
        let child = self.child(ix);
        child.failed_starts = 0;
        child.attempt = 0;
        child.rare().budget = crate::backoff::Budget::default();
        self.record(ix, What::Released);
    }

    /// Declares a child anew. If it runs it is restarted when `restart` says so, and otherwise
    /// follows the new declaration from its next start; answers at once.
    pub(crate) fn replace_child(
        &mut self,
        spec: ChildSpec,
        restart: bool,
        reply: Reply<()>,
        now: Instant,
    ) {
        let checked = check_child(&spec, &self.flags).map_err(ChildError::from);
        let ix = match checked.and_then(|()| self.find(&spec.key)) {
            Err(error) => return reply(Err(error)),
            Ok(ix) => ix,
        };
        let child = &self.children[&ix];
        let is_alive = child.phase.is_alive();
        if is_alive && (restart || child.doom.is_some()) {
            // What ends goes by its old declaration, but for what it would not need any more; what
            // comes next goes by the last that was given.
            let old = &self.children[&ix].spec;
            let left = old.edges.as_ref().map(|old| match &spec.edges {
                Some(new) => Arc::new(old.within(new)),
                None => Arc::default(),
            });
            let shrunk = ChildSpec { edges: left, ..old.clone() };
            self.replace_spec(ix, shrunk);
            self.child(ix).next_spec = Some(spec);
            if restart {
                self.doom(ix, Then::Start, StopWhy::RestartAsked, false, now);
            }
        } else {
            self.replace_spec(ix, spec);
            if restart && self.children[&ix].phase == Phase::Waiting && !self.children[&ix].held {
                // It may be mended, and need not wait for its backoff.
                self.disarm(ix);
                self.child(ix).attempt = 0;
            }
            // What it waited for, or lacks, may not be needed any more.
            self.try_start(ix, now);
            if is_alive {
                self.bind(ix);
            }
            if self.children[&ix].phase == Phase::Up {
                self.refresh_standings(ix, now);
            }
        }
        reply(Ok(()));
        self.advance(now);
    }

    pub(super) fn replace_spec(&mut self, ix: Ix, spec: ChildSpec) {
        let old = std::mem::replace(&mut self.child(ix).spec, spec.clone());
        self.forget_edges(ix, &old);
        self.note_edges(ix, &spec);
        if let Some(rare) = &mut self.child(ix).rare {
            let binds = spec.edges.as_ref().map(|edges| &edges.binds);
            rare.bound.retain(|(key, _)| binds.is_some_and(|binds| binds.contains(key)));
        }
        self.tree.publish(self.tree.board.amend(&spec));
    }

    /// Puts children in this order. Those that it does not name stay behind them, in theirs.
    pub(crate) fn reorder(&mut self, keys: &[Key], reply: Reply<()>, now: Instant) {
        let named: Vec<Ix> = keys.iter().filter_map(|key| self.by_key.get(key)).copied().collect();
        let first: HashSet<Ix> = named.iter().copied().collect();
        let others = self.order.values().copied().filter(|ix| !first.contains(ix));
        let all: Vec<Ix> = named.into_iter().chain(others).collect();
        // Numbers of children count up, so that none that comes later stands before these.
        for (position, ix) in (1..).zip(&all) {
            self.child(*ix).position = position;
        }
        let place = |ix: &Ix| (self.children[ix].position, *ix);
        self.order = all.iter().map(place).collect();
        self.sequence = self.sequence.values().map(place).collect();
        self.doomed = self.doomed.values().map(place).collect();
        reply(Ok(()));
        self.advance(now);
    }

    /// Supervises otherwise from now on. Children that are there stay as they are.
    pub(crate) fn set_flags(&mut self, flags: SupervisorFlags, reply: Reply<()>) {
        let dynamic = |flags: &SupervisorFlags| flags.strategy == Strategy::Dynamic;
        if let Err(error) = check_flags(&flags) {
            return reply(Err(error.into()));
        }
        if dynamic(&flags) != dynamic(&self.flags) {
            return reply(Err(ChildError::Dynamic));
        }
        self.flags = flags;
        reply(Ok(()));
    }

    /// The children in their order.
    pub(crate) fn which_children(&self) -> Vec<ChildInfo> {
        self.order.values().map(|ix| self.info(&self.children[ix])).collect()
    }

    /// One child.
    pub(crate) fn child_info(&self, key: &Key) -> Result<ChildInfo, ChildError> {
        self.find(key).map(|ix| self.info(&self.children[&ix]))
    }

    fn info(&self, child: &super::Child) -> ChildInfo {
        let view = self.tree.board.view(child.key().as_str());
        ChildInfo {
            spec: child.spec.clone(),
            status: view.map_or(Status::Declared, |view| view.status),
            incarnation: child.incarnation,
            restarts: child.restarts,
        }
    }

    /// How many there are.
    pub(crate) fn count_children(&self) -> Counts {
        let supervisors = self
            .children
            .values()
            .filter(|child| child.spec.policy.kind == ChildKind::Supervisor)
            .count();
        Counts {
            specs: self.children.len(),
            active: self.alive,
            supervisors,
            workers: self.children.len() - supervisors,
        }
    }

    /// Kills a living child; what follows is what follows when it crashes. Answers at once.
    pub(crate) fn kill_child(
        &mut self,
        key: &Key,
        failure: Arc<Failure>,
        reply: Reply<()>,
        now: Instant,
    ) {
        let ix = match self.find(key) {
            Err(error) => return reply(Err(error)),
            Ok(ix) => ix,
        };
        let child = &self.children[&ix];
        if !child.phase.is_alive() {
            return reply(Err(ChildError::NotRunning));
        }
        let incarnation = child.incarnation;
        match child.phase {
            // It was asked politely, and somebody waits no longer.
            Phase::Stopping => self.kill(ix, now),
            _ => self.failed(ix, incarnation, failure, now),
        }
        reply(Ok(()));
    }

    fn find(&self, key: &Key) -> Result<Ix, ChildError> {
        self.by_key.get(key).copied().ok_or(ChildError::NotFound)
    }

    fn is_quarantined(&self, key: &Key) -> bool {
        let view = self.tree.board.view(key.as_str());
        view.is_some_and(|view| matches!(view.status, Status::Quarantined(_)))
    }

    fn ends(&self) -> bool {
        matches!(self.mode, Mode::Ending(_) | Mode::Ended)
    }
}
