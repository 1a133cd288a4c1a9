//! How a child comes to life: what starts it, what it is told, and how it says that it is ready.

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use ractor::{Actor, ActorCell, ActorRef, SpawnErr};

use crate::exit::{Exit, ExitReason, Failure, FailureKind, SHUTDOWN};
use crate::spec::Key;
use crate::status::Standing;
use crate::tree::Tree;

/// Starts a child, again and again if need be.
///
/// The future may be dropped at any of its waits, when the start is called off or takes too long;
/// what it has begun must then come undone by being dropped.
pub trait Start: Send + Sync + 'static {
    /// Brings the child to life in its place.
    fn start(&self, place: Place) -> BoxFuture<'static, Result<Started, StartError>>;
}

impl<F, Fut> Start for F
where
    F: Fn(Place) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Started, StartError>> + Send + 'static,
{
    fn start(&self, place: Place) -> BoxFuture<'static, Result<Started, StartError>> {
        Box::pin(self(place))
    }
}

/// How far a start has come when it returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Started {
    /// It runs and is ready.
    Ready,
    /// It runs, and will say when it is ready.
    Alive,
    /// There is nothing to run; the child counts as ended in good order.
    Ignored,
}

/// Why a start failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// It may go better the next time.
    #[error("{0}")]
    Failed(Arc<Failure>),
    /// It cannot go better until somebody changes something.
    #[error("{0}")]
    Refused(Arc<Failure>),
}

impl StartError {
    /// A failure that may not come again.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::Failed(Arc::new(Failure::new(FailureKind::Start, message)))
    }

    /// A failure that will come again until somebody changes something.
    pub fn refused(message: impl Into<String>) -> Self {
        Self::Refused(Arc::new(Failure::new(FailureKind::Refused, message)))
    }

    /// A failure that may not come again, from an error and the errors beneath it.
    pub fn of(error: &(dyn std::error::Error + 'static)) -> Self {
        Self::Failed(Arc::new(Failure::of(FailureKind::Start, error)))
    }

    /// What went wrong.
    pub fn failure(&self) -> &Arc<Failure> {
        match self {
            Self::Failed(failure) | Self::Refused(failure) => failure,
        }
    }
}

/// What a supervisor holds of a child that lives.
pub trait Control: Send + Sync + 'static {
    /// Asks it to end in good order, soon.
    fn stop(&self);

    /// Tells it that something it needs has gone or returned.
    fn need_changed(&self, _change: &NeedChange) {}
}

impl Control for ActorCell {
    fn stop(&self) {
        ActorCell::stop(self, Some(SHUTDOWN.to_owned()));
    }
}

/// News about something that a child needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NeedChange {
    /// What it needs.
    pub key: Key,
    /// How that stands now.
    pub standing: Standing,
}

/// The place in the tree where a child is started.
#[derive(Clone)]
pub struct Place {
    /// The tree.
    pub tree: Arc<Tree>,
    /// The child's name.
    pub key: Key,
    /// Which life of the child this is; rises with each start.
    pub incarnation: u64,
    supervisor: ActorCell,
    signal: Arc<dyn Signal>,
    born: Arc<Mutex<Option<Born>>>,
}

impl Place {
    pub(crate) fn new(
        tree: Arc<Tree>,
        key: Key,
        incarnation: u64,
        supervisor: ActorCell,
        signal: Arc<dyn Signal>,
    ) -> Self {
        Self { tree, key, incarnation, supervisor, signal, born: Arc::default() }
    }

    /// Spawns an actor as this child, linked to its supervisor, and waits until it has started.
    ///
    /// # Errors
    /// Whatever the actor's `pre_start` returns: a [`StartError`] or an [`Exit`] as itself, any
    /// other error as [`StartError::Failed`].
    pub async fn spawn<A: Actor>(
        &self,
        actor: A,
        arguments: A::Arguments,
    ) -> Result<ActorRef<A::Msg>, StartError> {
        let supervisor = self.supervisor.clone();
        let spawned = A::spawn_linked(None, actor, arguments, supervisor).await;
        let (actor, _) = spawned.map_err(start_error)?;
        self.register(actor.get_cell(), None);
        Ok(actor)
    }

    /// As [`Place::spawn`], for an actor that is stopped and told of its needs in a way of its own.
    ///
    /// # Errors
    /// As [`Place::spawn`].
    pub async fn spawn_controlled<A: Actor>(
        &self,
        actor: A,
        arguments: A::Arguments,
        control: impl FnOnce(&ActorRef<A::Msg>) -> Arc<dyn Control>,
    ) -> Result<ActorRef<A::Msg>, StartError> {
        let supervisor = self.supervisor.clone();
        let spawned = A::spawn_linked(None, actor, arguments, supervisor).await;
        let (actor, _) = spawned.map_err(start_error)?;
        self.register(actor.get_cell(), Some(control(&actor)));
        Ok(actor)
    }

    /// What the child says of itself from now on.
    pub fn report(&self) -> Report {
        Report { signal: self.signal.clone(), incarnation: self.incarnation }
    }

    fn register(&self, cell: ActorCell, control: Option<Arc<dyn Control>>) {
        *self.born.lock() = Some(Born { cell, control });
    }

    pub(crate) fn take_born(&self) -> Option<Born> {
        self.born.lock().take()
    }
}

/// The actor that a start has spawned. Noted in the same poll in which it is linked, so that a
/// start that is dropped later cannot lose it.
pub(crate) struct Born {
    pub(crate) cell: ActorCell,
    pub(crate) control: Option<Arc<dyn Control>>,
}

impl Born {
    pub(crate) fn control(&self) -> &dyn Control {
        match &self.control {
            Some(control) => &**control,
            None => &self.cell,
        }
    }
}

fn start_error(error: SpawnErr) -> StartError {
    let SpawnErr::StartupFailed(error) = error else {
        return StartError::of(&error);
    };
    let error = match error.downcast::<StartError>() {
        Ok(start_error) => return *start_error,
        Err(error) => error,
    };
    match error.downcast::<Exit>() {
        Ok(exit) => match exit.0 {
            ExitReason::Failed(failure) => StartError::Failed(failure),
            reason => StartError::failed(reason.to_string()),
        },
        Err(error) => StartError::of(&*error),
    }
}

/// Carries what a child says to its supervisor.
pub(crate) trait Signal: Send + Sync + 'static {
    fn ready(&self, incarnation: u64);
    fn degraded(&self, incarnation: u64, why: Option<Arc<str>>);
    fn failed(&self, incarnation: u64, failure: Arc<Failure>);
}

/// With this a child says how it is. What it says after its end goes nowhere.
#[derive(Clone)]
pub struct Report {
    signal: Arc<dyn Signal>,
    incarnation: u64,
}

impl Report {
    /// It is ready: whoever needs it may start.
    pub fn ready(&self) {
        self.signal.ready(self.incarnation);
    }

    /// It works, but not as it should. Said before it is ready, it is what the start waits for.
    pub fn degraded(&self, why: impl Into<Arc<str>>) {
        self.signal.degraded(self.incarnation, Some(why.into()));
    }

    /// It works again as it should.
    pub fn recovered(&self) {
        self.signal.degraded(self.incarnation, None);
    }

    /// It has failed and cannot go on: it is killed, and this is the cause.
    pub fn failed(&self, failure: Failure) {
        self.signal.failed(self.incarnation, Arc::new(failure));
    }
}

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Report").field("incarnation", &self.incarnation).finish_non_exhaustive()
    }
}
