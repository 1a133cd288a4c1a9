//! In which order children stop, and what comes after.
//!
//! A child that is to stop is *doomed*. It is asked to stop when its turn comes: in a sequence, when
//! all doomed children behind it have stopped; in a graph, when no doomed child anywhere in the
//! tree that depends on it lives. While the whole tree ends, everything counts as doomed. Where a
//! child in a sequence stands before one that it depends on, it stops before that all the same.

use std::time::Duration;

use tokio::time::Instant;

use super::{Action, ChildError, Core, Doom, Gone, Ix, KILL_GRACE, Mode, Phase, Then};
use crate::exit::{ExitReason, Failure, FailureKind};
use crate::journal::{StopWhy, What};
use crate::spec::{Restart, Shutdown, Strategy};
use crate::start::StartError;
use crate::status::Status;
use std::sync::Arc;

impl Core {
    /// Ends the supervisor: no child starts any more, all stop, and then it exits.
    pub(crate) fn end(&mut self, reason: ExitReason, now: Instant) {
        if matches!(self.mode, Mode::Ending(_) | Mode::Ended) {
            return;
        }
        self.mode = Mode::Ending(reason);
        let all: Vec<Ix> = self.order.values().copied().collect();
        for ix in all {
            match self.children[&ix].phase {
                Phase::Idle => {}
                Phase::Waiting => {
                    self.rest(ix, Status::Stopped("its supervisor ended".into()), now)
                }
                _ => self.doom(ix, Then::Rest, StopWhy::SupervisorEnds, false, now),
            }
            self.answer_started(ix, Err(ChildError::Ending));
        }
        self.advance(now);
    }

    /// From now on a living child is to stop. Of two reasons the more final holds.
    pub(super) fn doom(&mut self, ix: Ix, then: Then, why: StopWhy, in_batch: bool, now: Instant) {
        let child = self.child(ix);
        let position = child.position;
        match &mut child.doom {
            Some(doom) => {
                doom.then = doom.then.max(then);
                let joins = in_batch && !doom.in_batch;
                doom.in_batch |= in_batch;
                self.batch_pending += usize::from(joins);
            }
            None => {
                child.doom = Some(Doom { then, why, in_batch, since: now });
                let key = child.key().clone();
                self.batch_pending += usize::from(in_batch);
                self.doomed.insert(position, ix);
                self.tree.board.doom(&key, true);
            }
        }
    }

    /// Asks those to stop whose turn it is.
    pub(super) fn pump_stops(&mut self, now: Instant) {
        if self.doomed.is_empty() {
            return;
        }
        let candidates: Vec<Ix> = match self.starts_in_sequence() {
            true => self.last_to_stop().into_iter().collect(),
            false => self.doomed.values().rev().copied().collect(),
        };
        for ix in candidates {
            let child = &self.children[&ix];
            let asked = matches!(child.phase, Phase::Stopping | Phase::Killing);
            if !asked && !self.tree.board.holds_up_stop(child.key(), self.tree.is_ending()) {
                self.ask_to_stop(ix, now);
            }
        }
    }

    /// The last of the sequence that is to stop; or who of it depends on that, and is to stop first.
    fn last_to_stop(&self) -> Option<Ix> {
        let mut last = self.doomed.values().next_back().copied()?;
        // Each is passed once, also where dependencies go round in a circle.
        for _ in 0..self.doomed.len() {
            let dependents = self.tree.board.dependents(self.children[&last].key().as_str());
            let here = dependents.iter().filter_map(|key| self.by_key.get(key)).copied();
            let mut first = here.filter(|ix| self.children[ix].doom.is_some() && *ix != last);
            match first.next() {
                Some(dependent) => last = dependent,
                None => break,
            }
        }
        Some(last)
    }

    fn ask_to_stop(&mut self, ix: Ix, now: Instant) {
        let child = &self.children[&ix];
        let shutdown = child.spec.policy.shutdown;
        if let Some(doom) = &child.doom {
            self.record(ix, What::Stopping { why: doom.why.clone() });
        }
        let deadline = match shutdown {
            Shutdown::Kill => return self.kill(ix, now),
            Shutdown::Within(deadline) => Some(deadline),
            Shutdown::Patient => None,
        };
        self.enter_phase(ix, Phase::Stopping, now);
        if let Some(deadline) = deadline {
            self.arm(ix, now + deadline);
        }
        self.set_status(ix, Status::Stopping, now);
        self.actions.push(Action::Stop { ix });
    }

    pub(super) fn kill(&mut self, ix: Ix, now: Instant) {
        self.enter_phase(ix, Phase::Killing, now);
        self.arm(ix, now + KILL_GRACE);
        self.record(ix, What::Killed);
        self.set_status(ix, Status::Stopping, now);
        self.actions.push(Action::Kill { ix });
    }

    /// A killed child has not ended: a thread of it does not yield. It is forgotten, and not
    /// started again beside its own ghost until somebody says so.
    pub(super) fn abandon(&mut self, ix: Ix, now: Instant) {
        let incarnation = self.children[&ix].incarnation;
        let message = "it was killed and has not ended: a handler of it does not yield";
        let verdict = self.child(ix).verdict.take();
        let failure = Arc::new(Failure {
            chain: verdict
                .iter()
                .map(|verdict| format!("it was killed because {verdict}"))
                .collect(),
            ..Failure::new(FailureKind::Unkillable, message)
        });
        self.actions.push(Action::Abandon { ix });
        if self.children[&ix].doom.is_some() {
            let gone = Gone::Exited(ExitReason::Failed(failure));
            self.gone(ix, incarnation, gone, now);
            return;
        }
        self.answer_started(ix, Err(ChildError::StartFailed(StartError::Failed(failure.clone()))));
        self.report_crash(ix, Some(failure.clone()), None, Vec::new());
        self.quarantine(ix, failure, now);
    }

    /// A child that was to stop has ended.
    pub(super) fn stopped(&mut self, ix: Ix, doom: Doom, gone: Gone, now: Instant) {
        let took = now.duration_since(doom.since);
        let reason = match gone {
            Gone::Exited(reason) => reason,
            Gone::NotStarted(_) | Gone::Ignored => ExitReason::Shutdown(None),
        };
        let unkillable = reason.failure().filter(|failure| failure.kind == FailureKind::Unkillable);
        self.record(ix, What::Stopped { reason, took });
        let child = &self.children[&ix];
        self.tree.board.doom(child.key(), false);
        self.doomed.remove(&child.position.clone());
        self.batch_pending -= usize::from(doom.in_batch);
        let forgotten = child.spec.policy.restart == Restart::Temporary
            || self.flags.strategy == Strategy::Dynamic;
        if let Some(spec) = self.child(ix).next_spec.take() {
            self.replace_spec(ix, spec);
        }
        match doom.then {
            Then::Start if let Some(failure) = unkillable => {
                self.record(ix, What::Quarantined { failure: failure.clone() });
                self.rest(ix, Status::Quarantined(failure), now);
            }
            Then::Start => self.start_again(ix, &doom, now),
            Then::Rest if !forgotten || self.is_ending() => {
                self.answer_started(ix, Err(ChildError::Stopped));
                self.rest(ix, Status::Stopped(doom.why.to_string().into()), now);
            }
            Then::Rest | Then::Remove => self.remove(ix),
        }
        self.release_batch_if_clear(now);
    }

    fn start_again(&mut self, ix: Ix, doom: &Doom, now: Instant) {
        if self.is_ending() {
            self.rest(ix, Status::Stopped("its supervisor ended".into()), now);
            return;
        }
        if let StopWhy::Sibling(key) | StopWhy::Bound(key) = &doom.why {
            let because_of = Some(key.clone());
            self.record(ix, What::Restarting { after: Duration::ZERO, because_of });
        }
        self.want_up(ix, now);
        self.set_status(ix, Status::Waiting, now);
        if doom.in_batch {
            self.hold(ix);
        } else {
            self.try_start(ix, now);
        }
    }

    /// The child waits until all that restart with it have stopped.
    pub(super) fn hold(&mut self, ix: Ix) {
        self.disarm(ix);
        self.leave_sequence(ix);
        let child = self.child(ix);
        if !std::mem::replace(&mut child.held, true) {
            self.held.push(ix);
        }
    }

    pub(super) fn release_batch_if_clear(&mut self, now: Instant) {
        if self.batch_pending > 0 || self.held.is_empty() {
            return;
        }
        let mut held = std::mem::take(&mut self.held);
        held.sort_by_key(|ix| self.children[ix].position);
        let not_before = self.batch_not_before.take().filter(|&at| at > now);
        for &ix in &held {
            self.child(ix).held = false;
            if self.children[&ix].phase == Phase::Waiting {
                self.join_sequence(ix);
                match not_before {
                    Some(at) => self.arm(ix, at),
                    // Who wants another of them waits for it, though it has failed.
                    None => self.set_status(ix, Status::Waiting, now),
                }
            }
        }
        for ix in held {
            self.try_start(ix, now);
        }
    }

    fn is_ending(&self) -> bool {
        matches!(self.mode, Mode::Ending(_) | Mode::Ended)
    }
}
