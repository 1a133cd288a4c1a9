//! What one holds to command a supervisor.

use std::fmt;
use std::sync::Arc;

use ractor::ActorRef;
use tokio::sync::{oneshot, watch};

use super::{Command, Fare, Message};
use crate::core::{ChildError, ChildInfo, Counts, Reply, StartedChild};
use crate::exit::{ExitReason, Failure, FailureKind};
use crate::spec::{ChildSpec, Key, SupervisorFlags};

/// Commands a supervisor, and waits for it. Cheap to clone; does not keep the supervisor alive.
#[derive(Clone)]
pub struct SupervisorHandle {
    key: Key,
    actor: ActorRef<Message>,
    fare: watch::Receiver<Fare>,
}

impl SupervisorHandle {
    pub(super) fn new(key: Key, actor: ActorRef<Message>, fare: watch::Receiver<Fare>) -> Self {
        Self { key, actor, fare }
    }

    /// The supervisor's name.
    pub fn key(&self) -> &Key {
        &self.key
    }

    pub(crate) fn is(&self, actor: &ActorRef<Message>) -> bool {
        self.actor.get_id() == actor.get_id()
    }

    /// Waits until the first children have settled.
    ///
    /// # Errors
    /// When the supervisor ended instead; why.
    pub async fn up(&self) -> Result<(), Arc<Failure>> {
        let mut fare = self.fare.clone();
        let reached = fare.wait_for(|fare| *fare != Fare::Beginning).await;
        let reason = match reached.as_deref() {
            Ok(Fare::Up | Fare::Beginning) => return Ok(()),
            Ok(Fare::Ended(reason)) => reason.clone(),
            Err(_) => ExitReason::Killed,
        };
        Err(reason.failure().unwrap_or_else(|| {
            Arc::new(Failure::new(crate::FailureKind::Start, format!("it ended: {reason}")))
        }))
    }

    /// Waits until the supervisor has ended, and says why it did.
    pub async fn ended(&self) -> ExitReason {
        let mut fare = self.fare.clone();
        let ended = fare.wait_for(|fare| matches!(fare, Fare::Ended(_))).await;
        match ended.as_deref() {
            Ok(Fare::Ended(reason)) => reason.clone(),
            _ => ExitReason::Killed,
        }
    }

    /// Ends the supervisor and all its children in good order, and waits for it.
    pub async fn shutdown(&self) -> ExitReason {
        let _already_gone = self.actor.cast(Message::End(ExitReason::Shutdown(None)));
        self.ended().await
    }

    /// Kills the supervisor and all below it, at once.
    pub fn kill(&self) {
        self.actor.kill();
    }

    /// Adds a child, which starts when what it needs is there, as the first children do; returns at
    /// once. If its start fails it is restarted or given up as any other, and not forgotten.
    ///
    /// # Errors
    /// When the declaration is wrong, or the name taken.
    pub async fn add_child(&self, spec: ChildSpec) -> Result<(), ChildError> {
        self.command(|reply| Command::Add(Box::new(spec), reply)).await
    }

    /// Adds a child and starts it; returns when it is ready.
    ///
    /// # Errors
    /// When the declaration is wrong, the name taken, or the start fails. The child is then
    /// forgotten again.
    pub async fn start_child(&self, spec: ChildSpec) -> Result<StartedChild, ChildError> {
        self.command(|reply| Command::Start(Box::new(spec), reply)).await
    }

    /// Starts a child that was stopped or has ended; returns when it is ready.
    ///
    /// # Errors
    /// When there is none, it runs, or its start fails.
    pub async fn restart_child(&self, key: impl Into<Key>) -> Result<StartedChild, ChildError> {
        let key = key.into();
        self.command(|reply| Command::Restart(key, reply)).await
    }

    /// Stops a child, if it runs; returns when it has stopped.
    ///
    /// # Errors
    /// When there is none.
    pub async fn terminate_child(&self, key: impl Into<Key>) -> Result<(), ChildError> {
        let key = key.into();
        self.command(|reply| Command::Terminate(key, reply)).await
    }

    /// Stops a running child and starts it again; returns when it is ready. Not counted against
    /// the restarts that are borne.
    ///
    /// # Errors
    /// When there is none, it does not run, or its start fails.
    pub async fn cycle_child(&self, key: impl Into<Key>) -> Result<StartedChild, ChildError> {
        let key = key.into();
        self.command(|reply| Command::Cycle(key, reply)).await
    }

    /// Kills a child, for a reason in words. What follows is what follows when it crashes.
    ///
    /// # Errors
    /// When there is none or it does not run.
    pub async fn kill_child(&self, key: impl Into<Key>, why: &str) -> Result<(), ChildError> {
        let (key, failure) = (key.into(), Arc::new(Failure::new(FailureKind::Killed, why)));
        self.command(|reply| Command::Kill(key, failure, reply)).await
    }

    /// Forgets a child that does not run.
    ///
    /// # Errors
    /// When there is none, or it runs.
    pub async fn delete_child(&self, key: impl Into<Key>) -> Result<(), ChildError> {
        let key = key.into();
        self.command(|reply| Command::Delete(key, reply)).await
    }

    /// Lets a child out of quarantine; returns at once.
    ///
    /// # Errors
    /// When there is none, or it is not in quarantine.
    pub async fn free_child(&self, key: impl Into<Key>) -> Result<(), ChildError> {
        let key = key.into();
        self.command(|reply| Command::Free(key, reply)).await
    }

    /// Lets a child out of quarantine; returns when it is ready.
    ///
    /// # Errors
    /// When there is none, it is not in quarantine, or its start fails.
    pub async fn release_child(&self, key: impl Into<Key>) -> Result<StartedChild, ChildError> {
        let key = key.into();
        self.command(|reply| Command::Release(key, reply)).await
    }

    /// Declares a child anew. If it runs it is restarted when `restart` says so, and otherwise
    /// follows the new declaration from its next start.
    ///
    /// # Errors
    /// When the declaration is wrong, or there is no such child.
    pub async fn replace_child(&self, spec: ChildSpec, restart: bool) -> Result<(), ChildError> {
        self.command(|reply| Command::Replace(Box::new(spec), restart, reply)).await
    }

    /// Supervises otherwise from now on; children that are there stay as they are.
    ///
    /// # Errors
    /// When the flags are wrong, or would make a dynamic supervisor of another or the reverse.
    pub async fn set_flags(&self, flags: SupervisorFlags) -> Result<(), ChildError> {
        self.command(|reply| Command::SetFlags(flags, reply)).await
    }

    /// Puts children in this order, by which a sequence starts and stops, and `rest_for_one` tells
    /// who stands behind whom. Those that it does not name stay behind them, in theirs.
    ///
    /// # Errors
    /// When the supervisor is gone.
    pub async fn reorder(&self, keys: Vec<Key>) -> Result<(), ChildError> {
        self.command(|reply| Command::Reorder(keys, reply)).await
    }

    /// The children in their order.
    ///
    /// # Errors
    /// When the supervisor is gone.
    pub async fn which_children(&self) -> Result<Vec<ChildInfo>, ChildError> {
        self.command(Command::Which).await
    }

    /// One child.
    ///
    /// # Errors
    /// When there is none.
    pub async fn child(&self, key: impl Into<Key>) -> Result<ChildInfo, ChildError> {
        let key = key.into();
        self.command(|reply| Command::Info(key, reply)).await
    }

    /// How many children there are.
    ///
    /// # Errors
    /// When the supervisor is gone.
    pub async fn count_children(&self) -> Result<Counts, ChildError> {
        self.command(Command::Count).await
    }

    async fn command<T: Send + 'static>(
        &self,
        command: impl FnOnce(Reply<T>) -> Command,
    ) -> Result<T, ChildError> {
        let (send, answer) = oneshot::channel();
        let reply: Reply<T> = Box::new(move |result| {
            let _asker_has_gone = send.send(result);
        });
        let command = Message::Command(command(reply));
        self.actor.cast(command).map_err(|_| ChildError::Gone)?;
        answer.await.unwrap_or(Err(ChildError::Gone))
    }
}

impl fmt::Debug for SupervisorHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SupervisorHandle").field("key", &self.key).finish_non_exhaustive()
    }
}
