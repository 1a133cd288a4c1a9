//! When a child may start.

use tokio::time::Instant;

use super::{Action, Child, Core, Gone, Ix, Mode, Phase, StartedChild};
use crate::exit::{ExitReason, Failure, FailureKind};
use crate::journal::What;
use crate::spec::{ChildSpec, Edges, Key, Restart, StartOrder, Strategy};
use crate::start::StartError;
use crate::status::{Standing, Status};
use std::sync::Arc;

use crate::Taken;

/// Whether what a child needs lets it start.
enum Gate {
    Open,
    /// It will, when these have come.
    Waits(Vec<Key>),
    /// It will not, unless somebody does something about these.
    Blocked(Vec<Key>),
}

impl Core {
    /// Begins the supervisor with its first children.
    pub(crate) fn begin(&mut self, first: Vec<ChildSpec>, now: Instant) {
        let mut admitted = Vec::with_capacity(first.len());
        for spec in first {
            match self.admit(spec, now) {
                Ok(ix) => admitted.push(ix),
                Err(taken) => {
                    let failure = Failure::of(FailureKind::Refused, &taken);
                    self.end(ExitReason::Failed(Arc::new(failure)), now);
                    return;
                }
            }
        }
        self.unsettled = admitted.len();
        for &ix in &admitted {
            self.child(ix).unsettled = true;
            self.want_up(ix, now);
            self.join_sequence(ix);
        }
        if !self.starts_in_sequence() {
            for ix in admitted {
                self.try_start(ix, now);
            }
        }
        self.advance(now);
    }

    /// Takes a child in, idle.
    pub(super) fn admit(&mut self, spec: ChildSpec, now: Instant) -> Result<Ix, Taken> {
        self.tree.board.enter(&self.key, &spec, self.owner.clone())?;
        self.next_ix += 1;
        let ix = self.next_ix;
        self.note_edges(ix, &spec);
        self.by_key.insert(spec.key.clone(), ix);
        self.order.insert(ix, ix);
        let child = Child {
            spec,
            position: ix,
            phase: Phase::Idle,
            incarnation: 0,
            since: now,
            up_since: None,
            timer: None,
            restarts: 0,
            failed_starts: 0,
            attempt: 0,
            doom: None,
            held: false,
            unsettled: false,
            verdict: None,
            next_spec: None,
            rare: None,
        };
        self.children.insert(ix, child);
        Ok(ix)
    }

    /// From now on the child is to run.
    pub(super) fn want_up(&mut self, ix: Ix, now: Instant) {
        self.enter_phase(ix, Phase::Waiting, now);
        if let Some(rare) = &mut self.child(ix).rare {
            rare.waits_for.clear();
        }
    }

    pub(super) fn join_sequence(&mut self, ix: Ix) {
        if self.starts_in_sequence() {
            self.sequence.insert(self.children[&ix].position, ix);
        }
    }

    /// Whether children start, and stop, one after the other.
    pub(super) fn starts_in_sequence(&self) -> bool {
        self.flags.start_order == StartOrder::Sequential && self.flags.strategy != Strategy::Dynamic
    }

    /// Starts those whose turn it is.
    pub(super) fn pump_sequence(&mut self, now: Instant) {
        while let Some((_, &ix)) = self.sequence.first_key_value() {
            let before = self.sequence.len();
            self.try_start(ix, now);
            if self.sequence.len() == before {
                break;
            }
        }
    }

    /// Starts a child that is to run, if nothing stands against it.
    pub(super) fn try_start(&mut self, ix: Ix, now: Instant) {
        if matches!(self.mode, Mode::Ending(_) | Mode::Ended) || self.tree.is_ending() {
            return;
        }
        let Some(child) = self.children.get(&ix) else { return };
        let its_turn = match self.sequence.contains_key(&child.position) {
            true => self.sequence.first_key_value().is_some_and(|(_, &first)| first == ix),
            false => true,
        };
        if child.phase != Phase::Waiting || child.held || child.timer.is_some() || !its_turn {
            return;
        }
        match child.spec.edges.clone().map_or(Gate::Open, |edges| self.gate(&edges)) {
            Gate::Open => self.start(ix, now),
            Gate::Waits(on) => self.wait_for(ix, on, now),
            Gate::Blocked(on) => self.block_on(ix, on, now),
        }
    }

    /// A child that was blocked, and is not any more, waits for its turn.
    pub(super) fn unblock(&mut self, ix: Ix, now: Instant) {
        let Some(child) = self.children.get(&ix).filter(|child| child.phase == Phase::Waiting)
        else {
            return;
        };
        let view = self.tree.board.view(child.key().as_str());
        if !view.is_some_and(|view| view.status == Status::Blocked) {
            return;
        }
        let gate = child.spec.edges.clone().map_or(Gate::Open, |edges| self.gate(&edges));
        if !matches!(gate, Gate::Blocked(_)) {
            self.set_status(ix, Status::Waiting, now);
        }
    }

    fn gate(&self, edges: &Edges) -> Gate {
        let board = &self.tree.board;
        let (mut waits, mut blocked) = (Vec::new(), Vec::new());
        for key in &edges.needs {
            match board.standing(key) {
                Standing::Coming => waits.push(key.clone()),
                Standing::Stuck => blocked.push(key.clone()),
                Standing::Met | Standing::StandIn(_) | Standing::Excused => {}
            }
        }
        for key in edges.binds.iter().filter(|key| board.binding(key).is_none()) {
            let settled = board.view(key.as_str()).is_none_or(|view| view.status.is_settled());
            if settled { blocked.push(key.clone()) } else { waits.push(key.clone()) }
        }
        waits.extend(edges.wants.iter().filter(|key| !board.is_past_start(key)).cloned());
        match (blocked.is_empty(), waits.is_empty()) {
            (false, _) => Gate::Blocked(blocked),
            (true, false) => Gate::Waits(waits),
            (true, true) => Gate::Open,
        }
    }

    fn start(&mut self, ix: Ix, now: Instant) {
        let incarnation = self.next_incarnation;
        self.next_incarnation += 1;
        self.enter_phase(ix, Phase::Starting, now);
        let board = &self.tree.board;
        let child = self.children.get_mut(&ix).expect("it has just entered a phase");
        let is_first = std::mem::replace(&mut child.incarnation, incarnation) == 0;
        child.up_since = None;
        let binds = child.spec.edges.iter().flat_map(|edges| &edges.binds);
        let bound: Vec<(Key, u64)> =
            binds.filter_map(|key| Some((key.clone(), board.binding(key)?))).collect();
        if let Some(rare) = &mut child.rare {
            rare.own_degradation = None;
            rare.lacks.clear();
            rare.waits_for.clear();
        }
        if !bound.is_empty() {
            child.rare().bound = bound;
        }
        let spec = child.spec.clone();
        if spec.policy.restart == Restart::Temporary {
            // It is started once; what its start holds need not be kept while it lives.
            child.spec.start = self.spent.clone();
        }
        if let Some(timeout) = spec.policy.start_timeout {
            self.arm(ix, now + timeout);
        }
        let wakes = is_first && spec.policy.sleeps;
        self.record(ix, if wakes { What::Waking } else { What::Starting });
        self.set_status(ix, Status::Starting, now);
        self.actions.push(Action::Start { ix, incarnation, spec });
    }

    fn wait_for(&mut self, ix: Ix, on: Vec<Key>, now: Instant) {
        self.set_status(ix, Status::Waiting, now);
        if self.child(ix).rare().waits_for != on {
            self.child(ix).rare().waits_for.clone_from(&on);
            self.record(ix, What::Waiting { on });
        }
    }

    fn block_on(&mut self, ix: Ix, on: Vec<Key>, now: Instant) {
        let child = self.child(ix);
        let at_first = child.unsettled && child.spec.policy.required;
        let failure = blocked_failure(&on);
        if child.rare().waits_for != on {
            child.rare().waits_for.clone_from(&on);
            self.record(ix, What::Blocked { on });
        }
        self.set_status(ix, Status::Blocked, now);
        self.leave_sequence(ix);
        if at_first {
            self.fail_to_begin(ix, Arc::new(failure), now);
            return;
        }
        self.answer_started(ix, Err(super::ChildError::Blocked(failure.message)));
        self.settle(ix);
    }

    /// The supervisor cannot start, because this child cannot.
    pub(super) fn fail_to_begin(&mut self, ix: Ix, cause: Arc<Failure>, now: Instant) {
        let kind = match cause.kind {
            FailureKind::Refused => FailureKind::Refused,
            _ => FailureKind::Start,
        };
        let failure = Failure {
            chain: vec![cause.to_string()],
            output: cause.output.clone(),
            ..Failure::new(kind, format!("{} could not start", self.children[&ix].key()))
        };
        self.end(ExitReason::Failed(Arc::new(failure)), now);
    }

    /// A life of a child ended before it was ready.
    pub(super) fn not_started(&mut self, ix: Ix, gone: Gone, now: Instant) {
        match gone {
            Gone::Ignored => self.ignored(ix, now),
            Gone::NotStarted(error) => self.start_failed(ix, error, now),
            Gone::Exited(reason) => {
                let failure = reason.failure().unwrap_or_else(|| {
                    let message = format!("it ended before it was ready ({reason})");
                    Arc::new(Failure::new(FailureKind::Start, message))
                });
                let error = match failure.kind {
                    FailureKind::Refused => StartError::Refused(failure),
                    _ => StartError::Failed(failure),
                };
                self.start_failed(ix, error, now);
            }
        }
    }

    fn ignored(&mut self, ix: Ix, now: Instant) {
        let child = &self.children[&ix];
        let forgotten = child.spec.policy.restart == Restart::Temporary
            || self.flags.strategy == Strategy::Dynamic;
        let incarnation = child.incarnation;
        self.record(ix, What::Ended { reason: ExitReason::Normal });
        self.set_status(ix, Status::Completed, now);
        self.answer_started(ix, Ok(StartedChild { incarnation, ignored: true }));
        self.leave_sequence(ix);
        self.settle(ix);
        if forgotten {
            self.remove(ix);
        }
    }

    pub(super) fn start_deadline_passed(&mut self, ix: Ix, now: Instant) {
        let child = self.child(ix);
        let after = now.duration_since(child.since);
        let lacks = child.rare.as_ref().and_then(|rare| rare.own_degradation.as_ref());
        let lacks = lacks.map(|lacks| format!(": {lacks}")).unwrap_or_default();
        let message = format!("it was not ready within {after:.1?}{lacks}");
        child.verdict = Some(Arc::new(Failure::new(FailureKind::StartTimeout, message)));
        self.kill(ix, now);
    }
}

fn blocked_failure(on: &[Key]) -> Failure {
    let names: Vec<&str> = on.iter().map(Key::as_str).collect();
    let verb = if on.len() == 1 { "is" } else { "are" };
    let message = format!(
        "it needs {}, which {verb} not running and will not come by itself",
        names.join(", ")
    );
    Failure::new(FailureKind::Start, message)
}
