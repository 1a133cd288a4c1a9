//! Children that do as they are told, and the tree they live in.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use genii_supervision::{
    ChildError, ChildKind, ChildPolicy, ChildSpec, Counts, Exit, ExitReason, Failure, FailureKind,
    GiveUp, Intensity, Key, Place, Restart, Shutdown, StartError, Started, Status, Strategy,
    Supervisor, SupervisorFlags, SupervisorHandle, SupervisorSpec, Tree, TreeOptions, What,
};
use parking_lot::Mutex;
use ractor::{Actor, ActorProcessingErr, ActorRef};

/// How long anything may take, on the paused clock.
const PATIENCE: Duration = Duration::from_secs(120);

/// A child that ends as it is told.
pub struct Puppet {
    /// How it answers being asked to stop.
    pub on_stop: OnStop,
}

/// How a puppet answers being asked to stop.
#[derive(Clone)]
pub enum OnStop {
    /// At once.
    Heed,
    /// After this long.
    After(Duration),
    /// At once, but for a reason of its own.
    With(ExitReason),
}

/// What a puppet is told.
pub enum Order {
    /// End for this reason.
    End(ExitReason),
    /// Panic.
    Panic,
    /// Hear nothing for so long.
    Sleep(Duration),
    /// Leave the supervisor.
    Unlink,
}

impl Actor for Puppet {
    type Msg = Order;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Order>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<Order>,
        order: Order,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        match order {
            Order::End(reason) => return Err(Exit(reason).into()),
            Order::Panic => panic!("told to panic"),
            Order::Sleep(long) => tokio::time::sleep(long).await,
            Order::Unlink => {
                if let Some(supervisor) = myself.try_get_supervisor() {
                    myself.unlink(supervisor);
                }
            }
        }
        Ok(())
    }

    async fn post_stop(&self, _: ActorRef<Order>, (): &mut ()) -> Result<(), ActorProcessingErr> {
        match &self.on_stop {
            OnStop::Heed => Ok(()),
            OnStop::After(long) => {
                tokio::time::sleep(*long).await;
                Ok(())
            }
            OnStop::With(reason) => Err(Exit(reason.clone()).into()),
        }
    }
}

/// A tree and everything that has happened in it.
pub struct Stage {
    pub tree: Arc<Tree>,
    puppets: Arc<Mutex<HashMap<Key, ActorRef<Order>>>>,
}

/// What the next starts of a child are to come to.
#[derive(Clone, Default)]
pub struct Script {
    /// So many starts fail, from now on.
    fail: Arc<AtomicU32>,
    /// Starts find nothing to run, from now on.
    ignore: Arc<AtomicBool>,
    on_stop: Option<OnStop>,
    ready_after: Option<Duration>,
}

impl Script {
    pub fn ignoring() -> Self {
        let script = Self::default();
        script.ignore_from_now_on();
        script
    }

    pub fn failing() -> Self {
        let script = Self::default();
        script.fail_next(u32::MAX);
        script
    }

    pub fn on_stop(on_stop: OnStop) -> Self {
        Self { on_stop: Some(on_stop), ..Self::default() }
    }

    pub fn ready_after(after: Duration) -> Self {
        Self { ready_after: Some(after), ..Self::default() }
    }

    pub fn fail_next(&self, starts: u32) {
        self.fail.store(starts, Ordering::SeqCst);
    }

    pub fn ignore_from_now_on(&self) {
        self.ignore.store(true, Ordering::SeqCst);
    }

    fn fails(&self) -> bool {
        let spend = |left: u32| (left > 0).then(|| left.saturating_sub(u32::from(left < u32::MAX)));
        self.fail.fetch_update(Ordering::SeqCst, Ordering::SeqCst, spend).is_ok()
    }
}

impl Stage {
    pub fn new() -> Self {
        let tree = Tree::new(TreeOptions { seed: 7, ..TreeOptions::default() });
        Self { tree, puppets: Arc::default() }
    }

    /// A permanent child that is well.
    pub fn child(&self, key: &str) -> ChildSpec {
        self.scripted(key, Script::default())
    }

    /// A child whose starts follow a script.
    pub fn scripted(&self, key: &str, script: Script) -> ChildSpec {
        let puppets = self.puppets.clone();
        let start = move |place: Place| {
            let (puppets, script) = (puppets.clone(), script.clone());
            async move {
                if script.fails() {
                    return Err(StartError::failed("told to fail"));
                }
                if script.ignore.load(Ordering::SeqCst) {
                    return Ok(Started::Ignored);
                }
                if let Some(after) = script.ready_after {
                    tokio::time::sleep(after).await;
                }
                let puppet = Puppet { on_stop: script.on_stop.unwrap_or(OnStop::Heed) };
                let actor = place.spawn(puppet, ()).await?;
                puppets.lock().insert(place.key.clone(), actor);
                Ok(Started::Ready)
            }
        };
        ChildSpec::new(key, Arc::new(start))
    }

    pub async fn supervisor(&self, flags: SupervisorFlags) -> SupervisorHandle {
        self.start(SupervisorSpec::new("sup").with_flags(flags)).await
    }

    pub async fn start(&self, spec: SupervisorSpec) -> SupervisorHandle {
        Supervisor::start(spec, self.tree.clone()).await.expect("the supervisor starts")
    }

    pub fn puppet(&self, key: &str) -> ActorRef<Order> {
        self.puppets.lock().get(key).cloned().expect("it was started")
    }

    /// Makes a child end, and waits until it has.
    pub async fn end(&self, key: &str, reason: ExitReason) {
        let puppet = self.puppet(key);
        match reason {
            ExitReason::Killed => puppet.kill(),
            reason => puppet.cast(Order::End(reason)).expect("it lives"),
        }
        puppet.wait(Some(PATIENCE)).await.expect("it ends");
    }

    pub fn incarnation(&self, key: &str) -> u64 {
        self.tree.board.view(key).map_or(0, |view| view.incarnation)
    }

    pub fn status(&self, key: &str) -> Option<Status> {
        self.tree.board.view(key).map(|view| view.status)
    }

    /// Waits until a child has come up in a life after `before`.
    pub async fn reborn(&self, key: &str, before: u64) {
        self.until(&format!("{key} is up again"), || {
            let view = self.tree.board.view(key);
            view.is_some_and(|view| view.incarnation > before && view.status.is_up())
        })
        .await;
    }

    /// Waits until a condition holds; fails the test, with the journal, if it never does.
    pub async fn until(&self, what: &str, condition: impl Fn() -> bool) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while !condition() {
            let late = tokio::time::Instant::now() > deadline;
            assert!(!late, "never came true: {what}\n{}", self.story());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    pub fn story(&self) -> String {
        let events = self.tree.journal.tail(200, |_| true);
        let lines: Vec<String> =
            events.iter().map(|event| format!("{} {}", event.key, event.what)).collect();
        lines.join("\n")
    }

    /// The keys of the events of one kind, in order.
    pub fn told(&self, word: &str) -> Vec<String> {
        let events = self.tree.journal.tail(10_000, |event| event.what.word() == word);
        events.iter().map(|event| event.key.to_string()).collect()
    }

    /// How a child ended the last time it was stopped.
    pub fn last_stop(&self, key: &str) -> ExitReason {
        let stopped = self.tree.journal.tail(1, |event| {
            event.key.as_str() == key && matches!(event.what, What::Stopped { .. })
        });
        match stopped.first().map(|event| event.what.clone()) {
            Some(What::Stopped { reason, .. }) => reason,
            _ => panic!("{key} was never stopped\n{}", self.story()),
        }
    }
}

pub fn flags(strategy: Strategy, restarts: u32, window_secs: u64) -> SupervisorFlags {
    let intensity = Intensity { restarts, window: Duration::from_secs(window_secs) };
    SupervisorFlags { strategy, intensity, ..SupervisorFlags::default() }
}

pub fn policy(restart: Restart) -> ChildPolicy {
    let shutdown = Shutdown::Within(Duration::from_secs(1));
    ChildPolicy { restart, shutdown, give_up: GiveUp::Escalate, ..ChildPolicy::default() }
}

pub fn abnormal() -> ExitReason {
    ExitReason::Failed(Arc::new(Failure::new(FailureKind::Error, "died")))
}

pub fn shutdown() -> ExitReason {
    ExitReason::Shutdown(None)
}

/// Specs, active, supervisors and workers, in OTP's order.
pub async fn counts(supervisor: &SupervisorHandle) -> [usize; 4] {
    let Counts { specs, active, supervisors, workers } =
        supervisor.count_children().await.expect("it lives");
    [specs, active, supervisors, workers]
}

/// The children in order, with whether they live.
pub async fn children(supervisor: &SupervisorHandle) -> Vec<(String, bool)> {
    let children = supervisor.which_children().await.expect("it lives");
    children.into_iter().map(|child| (child.spec.key.to_string(), child.status.is_up())).collect()
}

pub fn named(expected: &[(&str, bool)]) -> Vec<(String, bool)> {
    expected.iter().map(|(key, lives)| ((*key).to_owned(), *lives)).collect()
}

pub fn refused<T: std::fmt::Debug>(result: Result<T, ChildError>) -> ChildError {
    result.expect_err("it is refused")
}

pub const WORKER: ChildKind = ChildKind::Worker;
