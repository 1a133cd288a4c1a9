//! What follows from an end that nobody asked for.
//!
//! | restart type | ended normally or by shutdown | failed or killed |
//! |---|---|---|
//! | permanent | restarted | restarted |
//! | transient | stays down (completed) | restarted |
//! | temporary | forgotten | forgotten |
//!
//! A restart is counted before it is made. Under [`GiveUp::Escalate`] it is counted for the
//! supervisor, which ends when it has made too many; under [`GiveUp::Quarantine`] for the child
//! alone, which is then held back. So that a child which never comes up is held back too, however
//! slowly it fails, one failed start in a row more than there may be restarts is the end of it.

use std::time::Duration;

use tokio::time::Instant;

use super::{ChildError, Core, Ix, Mode, Phase, Then};
use crate::crash::CrashReport;
use crate::exit::{ExitReason, Failure, FailureKind};
use crate::journal::{StopWhy, What};
use crate::spec::{AutoShutdown, GiveUp, Key, Restart, Strategy};
use crate::start::StartError;
use crate::status::{START_FAILED, Status};
use std::sync::Arc;

impl Core {
    /// A child that had been ready ended by itself.
    pub(super) fn exited(
        &mut self,
        ix: Ix,
        reason: ExitReason,
        uptime: Option<Duration>,
        now: Instant,
    ) {
        let policy = self.children[&ix].spec.policy.clone();
        let failure = reason.failure();
        match &failure {
            Some(failure) => self.record(ix, What::Crashed { failure: failure.clone() }),
            None => self.record(ix, What::Ended { reason: reason.clone() }),
        }
        let restarts = match policy.restart {
            Restart::Permanent => true,
            Restart::Transient => reason.is_abnormal(),
            Restart::Temporary => false,
        };
        if !restarts {
            // Those who watch it learn why before it is forgotten.
            let status = failure.clone().map_or(Status::Completed, Status::Down);
            self.set_status(ix, status, now);
            self.report_crash(ix, failure, uptime, Vec::new());
            if policy.restart == Restart::Temporary || self.flags.strategy == Strategy::Dynamic {
                self.remove(ix);
            }
            if policy.significant {
                self.significant_ended(now);
            }
            return;
        }
        let calm = uptime.is_some_and(|uptime| uptime > self.flags.intensity.window);
        if calm {
            self.child(ix).attempt = 0;
        }
        let cause = failure.clone().unwrap_or_else(|| {
            Arc::new(Failure::new(FailureKind::Ended, format!("it ended by itself ({reason})")))
        });
        let took_down = self.restart(ix, cause, now);
        self.report_crash(ix, failure, uptime, took_down);
    }

    fn significant_ended(&mut self, now: Instant) {
        let another_lives = || {
            self.children
                .values()
                .any(|child| child.spec.policy.significant && child.phase != Phase::Idle)
        };
        let ends = match self.flags.auto_shutdown {
            AutoShutdown::Never => false,
            AutoShutdown::AnySignificant => true,
            AutoShutdown::AllSignificant => !another_lives(),
        };
        if ends {
            self.end(ExitReason::Shutdown(None), now);
        }
    }

    /// A start did not succeed.
    pub(super) fn start_failed(&mut self, ix: Ix, error: StartError, now: Instant) {
        let failure = error.failure().clone();
        self.record(ix, What::StartFailed { failure: failure.clone() });
        let child = self.child(ix);
        child.failed_starts += 1;
        let policy = child.spec.policy.clone();
        let at_first = child.unsettled;
        let asked_for = child.rare.as_ref().is_some_and(|rare| !rare.start_waiters.is_empty());
        let on_trial = child.rare.as_ref().is_some_and(|rare| rare.on_trial);
        let hopeless = matches!(error, StartError::Refused(_));
        let is_temporary = policy.restart == Restart::Temporary;

        if asked_for {
            self.report_crash(ix, Some(failure.clone()), None, Vec::new());
            self.answer_started(ix, Err(ChildError::StartFailed(error)));
            if on_trial {
                self.remove(ix);
            } else if policy.give_up == GiveUp::Quarantine {
                self.quarantine(ix, failure, now);
            } else {
                self.rest(ix, Status::Stopped(START_FAILED.into()), now);
            }
        } else if at_first && (policy.backoff.is_none() || hopeless || is_temporary) {
            self.report_crash(ix, Some(failure.clone()), None, Vec::new());
            self.give_up_first_start(ix, failure, now);
        } else if hopeless && policy.give_up == GiveUp::Quarantine {
            self.report_crash(ix, Some(failure.clone()), None, Vec::new());
            self.quarantine(ix, failure, now);
        } else {
            let took_down = self.restart(ix, failure.clone(), now);
            self.report_crash(ix, Some(failure), None, took_down);
        }
    }

    fn give_up_first_start(&mut self, ix: Ix, failure: Arc<Failure>, now: Instant) {
        let policy = &self.children[&ix].spec.policy;
        match (policy.required, policy.restart) {
            (true, _) => {
                self.set_status(ix, Status::Quarantined(failure.clone()), now);
                self.fail_to_begin(ix, failure, now);
            }
            (false, Restart::Temporary) => self.remove(ix),
            (false, _) => self.quarantine(ix, failure, now),
        }
    }

    /// Restarts a child and whoever goes with it, or gives up. Says whom it takes down.
    fn restart(&mut self, ix: Ix, cause: Arc<Failure>, now: Instant) -> Vec<Key> {
        let intensity = self.flags.intensity;
        let policy = self.children[&ix].spec.policy.clone();
        let admitted = match policy.give_up {
            GiveUp::Escalate => self.budget.admit(intensity, now),
            GiveUp::Quarantine => {
                let child = self.child(ix);
                child.failed_starts <= intensity.restarts
                    && child.rare().budget.admit(intensity, now)
            }
        };
        if !admitted {
            match policy.give_up {
                GiveUp::Escalate => self.escalate(ix, cause, now),
                GiveUp::Quarantine => self.quarantine(ix, cause, now),
            }
            return Vec::new();
        }
        let chance = self.tree.chance();
        let child = self.child(ix);
        let wait =
            policy.backoff.map_or(Duration::ZERO, |backoff| backoff.wait(child.attempt, chance));
        child.attempt = child.attempt.saturating_add(1);
        child.restarts = child.restarts.saturating_add(1);
        self.record(ix, What::Restarting { after: wait, because_of: None });
        self.want_up(ix, now);
        self.set_status(ix, Status::Down(cause), now);
        let others = self.restart_with(ix);
        let took_down = others.iter().map(|other| self.children[other].key().clone()).collect();
        self.restart_batch(ix, others, wait, now);
        took_down
    }

    /// Who else restarts when this one does, by the strategy.
    fn restart_with(&self, ix: Ix) -> Vec<Ix> {
        let position = self.children[&ix].position;
        let others: Vec<Ix> = match self.flags.strategy {
            Strategy::OneForOne | Strategy::Dynamic => return Vec::new(),
            Strategy::OneForAll => {
                self.order.values().copied().filter(|other| *other != ix).collect()
            }
            Strategy::RestForOne => {
                self.order.range(position + 1..).map(|(_, other)| *other).collect()
            }
        };
        let restarts = |other: &Ix| {
            let child = &self.children[other];
            let completed = || {
                let view = self.tree.board.view(child.key().as_str());
                view.is_some_and(|view| view.status == Status::Completed)
            };
            child.phase != Phase::Idle || completed()
        };
        others.into_iter().filter(restarts).collect()
    }

    /// Stops the others, and starts all of them, in order, when the last has stopped.
    fn restart_batch(&mut self, ix: Ix, others: Vec<Ix>, wait: Duration, now: Instant) {
        if others.is_empty() && self.batch_pending == 0 {
            self.start_after(ix, wait, now);
            return;
        }
        let culprit = self.children[&ix].key().clone();
        for other in others {
            let child = self.child(other);
            if child.phase.is_alive() {
                let then = self.after_restart_of_another(other);
                self.doom(other, then, StopWhy::Sibling(culprit.clone()), true, now);
            } else {
                self.want_up(other, now);
                // It has not completed any more, for those who need it.
                self.set_status(other, Status::Waiting, now);
                self.hold(other);
            }
        }
        self.hold(ix);
        self.batch_not_before = self.batch_not_before.max(Some(now + wait));
        self.release_batch_if_clear(now);
    }

    /// What becomes of a child that stops because another restarts.
    pub(super) fn after_restart_of_another(&self, ix: Ix) -> Then {
        match self.children[&ix].spec.policy.restart {
            Restart::Temporary => Then::Remove,
            Restart::Permanent | Restart::Transient => Then::Start,
        }
    }

    /// Starts a child when the wait is over. One that is not required lets those behind it in the
    /// sequence go ahead meanwhile.
    fn start_after(&mut self, ix: Ix, wait: Duration, now: Instant) {
        if wait.is_zero() {
            self.try_start(ix, now);
            return;
        }
        if !self.children[&ix].spec.policy.required {
            self.leave_sequence(ix);
        }
        self.arm(ix, now + wait);
    }

    fn escalate(&mut self, ix: Ix, cause: Arc<Failure>, now: Instant) {
        let child = self.children[&ix].key().clone();
        // Those who watch it learn why it ended, not only that it stays down.
        self.set_status(ix, Status::Down(cause.clone()), now);
        self.tree.record(&self.key, 0, What::Escalated { child: child.clone() });
        self.set_status(ix, Status::Stopped("its supervisor gave up".into()), now);
        let why = format!("{child} was restarted too often; the last time because {cause}");
        if self.mode == Mode::Beginning {
            let failure = Failure::new(FailureKind::Start, why);
            self.end(ExitReason::Failed(Arc::new(failure)), now);
        } else {
            self.end(ExitReason::shutdown(why), now);
        }
    }

    pub(super) fn quarantine(&mut self, ix: Ix, failure: Arc<Failure>, now: Instant) {
        let child = self.child(ix);
        if child.unsettled && child.spec.policy.required {
            self.enter_phase(ix, Phase::Idle, now);
            self.set_status(ix, Status::Quarantined(failure.clone()), now);
            self.fail_to_begin(ix, failure, now);
            return;
        }
        self.record(ix, What::Quarantined { failure: failure.clone() });
        self.rest(ix, Status::Quarantined(failure), now);
    }

    /// The child does not run, and is not to.
    pub(super) fn rest(&mut self, ix: Ix, status: Status, now: Instant) {
        self.enter_phase(ix, Phase::Idle, now);
        self.set_status(ix, status, now);
        self.leave_sequence(ix);
        self.settle(ix);
        self.answer_stopped(ix);
    }

    pub(super) fn report_crash(
        &mut self,
        ix: Ix,
        failure: Option<Arc<Failure>>,
        uptime: Option<Duration>,
        took_down: Vec<Key>,
    ) {
        let (Some(failure), Some(child)) = (failure, self.children.get(&ix)) else { return };
        self.tree.crashes.add(CrashReport {
            key: child.key().clone(),
            incarnation: child.incarnation,
            at: std::time::SystemTime::now(),
            uptime,
            failure,
            took_down,
        });
    }
}
