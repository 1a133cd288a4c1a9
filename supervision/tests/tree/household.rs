//! What a household has beyond OTP: needs, readiness, backoff, quarantine, stand-ins, degradation.

use std::sync::Arc;
use std::time::Duration;

use genii_supervision::{
    Backoff, ChildError, ChildPolicy, ChildSpec, Control, Edges, ExitReason, Failure, FailureKind,
    GiveUp, Intensity, Key, NeedChange, Place, Restart, Standing, StartError, StartOrder, Started,
    Status, Strategy, Supervisor, SupervisorFlags, SupervisorHandle, SupervisorSpec, What,
};
use parking_lot::Mutex;

use crate::puppet::*;

const SECOND: Duration = Duration::from_secs(1);

fn graph() -> SupervisorFlags {
    let intensity = Intensity { restarts: 3, window: Duration::from_secs(60) };
    SupervisorFlags { intensity, start_order: StartOrder::Graph, ..SupervisorFlags::default() }
}

/// An agent of a household: backed off, held back when it crashes too often.
fn agent() -> ChildPolicy {
    let backoff = Backoff { first: SECOND, jitter: 0.0, ..Backoff::default() };
    ChildPolicy {
        backoff: Some(backoff),
        give_up: GiveUp::Quarantine,
        start_timeout: Some(10 * SECOND),
        ..policy(Restart::Permanent)
    }
}

fn optional() -> ChildPolicy {
    ChildPolicy { required: false, ..agent() }
}

fn needs(keys: &[&str]) -> Edges {
    Edges { needs: keys.iter().map(|key| Key::from(*key)).collect(), ..Edges::default() }
}

fn binds(keys: &[&str]) -> Edges {
    Edges { binds: keys.iter().map(|key| Key::from(*key)).collect(), ..Edges::default() }
}

fn wants(keys: &[&str]) -> Edges {
    Edges { wants: keys.iter().map(|key| Key::from(*key)).collect(), ..Edges::default() }
}

fn falls_back_on(key: &str) -> Edges {
    Edges { fallback: Some(key.into()), ..Edges::default() }
}

impl Stage {
    fn agent(&self, key: &str, edges: Edges) -> ChildSpec {
        self.child(key).with_policy(agent()).with_edges(edges)
    }

    async fn house(&self, children: Vec<ChildSpec>) -> SupervisorHandle {
        self.start(SupervisorSpec { children, ..SupervisorSpec::new("house").with_flags(graph()) })
            .await
    }

    fn is_up(&self, key: &str) -> bool {
        self.status(key).is_some_and(|status| status.is_up())
    }

    fn degraded(&self, key: &str) -> Option<String> {
        match self.status(key) {
            Some(Status::Degraded(why)) => Some(why.to_string()),
            _ => None,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn children_start_in_parallel_as_far_as_their_needs_let_them() {
    let stage = Stage::new();
    let slow = |key: &str, edges: Edges| {
        stage.scripted(key, Script::ready_after(SECOND)).with_policy(agent()).with_edges(edges)
    };
    let before = tokio::time::Instant::now();
    stage
        .house(vec![
            slow("top", needs(&["left", "right"])),
            slow("left", needs(&["root"])),
            slow("right", needs(&["root"])),
            slow("root", Edges::default()),
            slow("apart", Edges::default()),
        ])
        .await;
    assert_eq!(before.elapsed(), 3 * SECOND, "three waves of a second each");
    assert_eq!(stage.told("ready")[2..], ["left", "right", "top"]);
}

#[tokio::test(start_paused = true)]
async fn needs_hold_across_supervisors_and_so_does_the_order_of_stopping() {
    let stage = Stage::new();
    for key in ["a/1", "a/2", "b/1", "b/2"] {
        stage.tree.board.declare(&key.into());
    }
    let group = |key: &str, children: Vec<ChildSpec>| {
        let spec = SupervisorSpec { children, ..SupervisorSpec::new(key).with_flags(graph()) };
        spec.into_child(ChildPolicy::supervisor())
    };
    let house = stage
        .house(vec![
            group(
                "a",
                vec![stage.agent("a/2", needs(&["b/1"])), stage.agent("a/1", Edges::default())],
            ),
            group(
                "b",
                vec![stage.agent("b/2", needs(&["a/2"])), stage.agent("b/1", needs(&["a/1"]))],
            ),
        ])
        .await;
    let agents = |word: &str| -> Vec<String> {
        stage.told(word).into_iter().filter(|key| key.contains('/')).collect()
    };
    assert_eq!(agents("ready"), ["a/1", "b/1", "a/2", "b/2"]);
    stage.tree.begin_ending();
    house.shutdown().await;
    assert_eq!(agents("stopped"), ["b/2", "a/2", "b/1", "a/1"]);
}

/// A child that says when it is ready, and writes down what it is told of its needs.
fn speaking(
    key: &str,
    ready_after: Option<Duration>,
    told: Arc<Mutex<Vec<NeedChange>>>,
) -> ChildSpec {
    struct Ears(ractor::ActorCell, Arc<Mutex<Vec<NeedChange>>>);
    impl Control for Ears {
        fn stop(&self) {
            Control::stop(&self.0);
        }
        fn need_changed(&self, change: &NeedChange) {
            self.1.lock().push(change.clone());
        }
    }
    let start = move |place: Place| {
        let told = told.clone();
        async move {
            let ears = |actor: &ractor::ActorRef<Order>| -> Arc<dyn Control> {
                Arc::new(Ears(actor.get_cell(), told))
            };
            let puppet = Puppet { on_stop: OnStop::Heed };
            place.spawn_controlled(puppet, (), ears).await?;
            let report = place.report();
            tokio::spawn(async move {
                if let Some(after) = ready_after {
                    tokio::time::sleep(after).await;
                    report.ready();
                }
            });
            Ok(Started::Alive)
        }
    };
    ChildSpec::new(key, Arc::new(start))
}

#[tokio::test(start_paused = true)]
async fn started_is_not_ready() {
    let stage = Stage::new();
    let slow = speaking("slow", Some(5 * SECOND), Arc::default()).with_policy(agent());
    let before = tokio::time::Instant::now();
    stage.house(vec![slow, stage.agent("after", needs(&["slow"]))]).await;
    assert_eq!(before.elapsed(), 5 * SECOND);
    assert_eq!(stage.told("ready"), ["slow", "after"]);
}

#[tokio::test(start_paused = true)]
async fn a_child_that_never_becomes_ready_is_killed_at_its_deadline() {
    let stage = Stage::new();
    let policy = ChildPolicy { backoff: None, ..agent() };
    let stuck = speaking("stuck", None, Arc::default()).with_policy(policy);
    let spec = SupervisorSpec::new("house").with_flags(graph()).with_child(stuck);
    let before = tokio::time::Instant::now();
    let failure = Supervisor::start(spec, stage.tree.clone()).await.unwrap_err();
    assert_eq!(before.elapsed(), 10 * SECOND);
    assert_eq!(failure.to_string(), "stuck could not start: it was not ready within 10.0s");
}

#[tokio::test(start_paused = true)]
async fn what_a_child_needs_goes_and_returns_and_it_is_told() {
    let stage = Stage::new();
    let told = Arc::new(Mutex::new(Vec::new()));
    let listener = speaking("listener", Some(Duration::ZERO), told.clone());
    let listener = listener.with_policy(agent()).with_edges(needs(&["base"]));
    stage.house(vec![stage.agent("base", Edges::default()), listener]).await;

    stage.end("base", abnormal()).await;
    stage.until("it is degraded", || stage.degraded("listener").is_some()).await;
    assert_eq!(stage.degraded("listener").unwrap(), "base is down");
    stage.reborn("base", 1).await;
    stage.until("it has recovered", || stage.status("listener") == Some(Status::Ready)).await;
    let standings: Vec<Standing> =
        told.lock().iter().map(|change| change.standing.clone()).collect();
    assert_eq!(standings, [Standing::Coming, Standing::Met]);
    assert_eq!(stage.incarnation("listener"), 2, "needing is not being bound");
}

#[tokio::test(start_paused = true)]
async fn a_bound_child_is_restarted_with_what_it_is_bound_to() {
    let stage = Stage::new();
    stage
        .house(vec![
            stage.agent("base", Edges::default()),
            stage.agent("bound", binds(&["base"])),
            stage.agent("bound-to-bound", binds(&["bound"])),
            stage.agent("free", needs(&["base"])),
        ])
        .await;
    let free = stage.incarnation("free");
    stage.end("base", abnormal()).await;
    stage.reborn("bound-to-bound", 4).await;
    assert_eq!(stage.incarnation("free"), free);
    let told = stage.tree.journal.tail(100, |event| event.what.word() == "stopping");
    let why: Vec<String> = told.iter().map(|event| event.what.to_string()).collect();
    assert_eq!(
        why,
        [
            "is stopping: it is bound to base, which has gone",
            "is stopping: it is bound to bound, which has gone"
        ]
    );
    let order = stage.told("ready");
    assert_eq!(order[4..], ["base", "bound", "bound-to-bound"]);
}

#[tokio::test(start_paused = true)]
async fn a_want_is_only_an_order() {
    let stage = Stage::new();
    let first = stage.scripted("first", Script::ready_after(SECOND)).with_policy(agent());
    let broken = stage.scripted("broken", Script::failing()).with_policy(optional());
    stage
        .house(vec![stage.agent("last", wants(&["first", "broken", "absent"])), first, broken])
        .await;
    assert_eq!(stage.told("ready"), ["first", "last"]);
    stage.end("first", abnormal()).await;
    stage.reborn("first", 1).await;
    assert_eq!(stage.status("last"), Some(Status::Ready), "it does not care any more");
}

#[tokio::test(start_paused = true)]
async fn a_crash_loop_ends_in_quarantine_and_a_release_ends_that() {
    let stage = Stage::new();
    let script = Script::default();
    let child = stage.scripted("loops", script.clone()).with_policy(agent());
    let house = stage.house(vec![child, stage.agent("other", Edges::default())]).await;
    script.fail_next(u32::MAX);
    let before = tokio::time::Instant::now();
    stage.end("loops", abnormal()).await;
    let held = || matches!(stage.status("loops"), Some(Status::Quarantined(_)));
    stage.until("it is held back", held).await;
    let waited = before.elapsed().as_secs();
    assert_eq!(waited, 1 + 2 + 4, "three restarts, each after twice the wait");
    assert!(stage.is_up("other"), "its sibling goes on");

    assert_eq!(refused(house.restart_child("loops").await), ChildError::Quarantined);
    assert_eq!(refused(house.release_child("other").await), ChildError::NotQuarantined);
    script.fail_next(0);
    house.release_child("loops").await.unwrap();
    assert!(stage.is_up("loops"));
    assert_eq!(stage.told("released"), ["loops"]);
}

/// However slowly it fails, a child that never comes up is held back in the end.
#[tokio::test(start_paused = true)]
async fn a_slow_failure_does_not_escape_quarantine() {
    let stage = Stage::new();
    let mut policy = optional();
    policy.start_timeout = Some(50 * SECOND);
    let stuck = speaking("stuck", None, Arc::default()).with_policy(policy);
    stage.house(vec![stuck, stage.agent("needs-it", needs(&["stuck"]))]).await;
    assert!(matches!(stage.status("stuck"), Some(Status::Quarantined(_))));
    assert_eq!(stage.told("start-failed").len(), 4);
    assert_eq!(stage.degraded("needs-it").unwrap(), "stuck is quarantined");
}

#[tokio::test(start_paused = true)]
async fn a_refused_start_is_not_tried_again() {
    let stage = Stage::new();
    let start = |_: Place| async { Err(StartError::refused("the script is missing")) };
    let child = ChildSpec::new("broken", Arc::new(start)).with_policy(optional());
    stage.house(vec![child]).await;
    assert_eq!(stage.told("start-failed").len(), 1);
    assert!(matches!(stage.status("broken"), Some(Status::Quarantined(_))));
}

#[tokio::test(start_paused = true)]
async fn a_required_child_that_cannot_start_takes_the_start_down_with_it() {
    let stage = Stage::new();
    let spec = SupervisorSpec::new("house")
        .with_flags(graph())
        .with_child(stage.agent("fine", Edges::default()))
        .with_child(stage.scripted("broken", Script::failing()).with_policy(agent()))
        .with_child(stage.agent("never", needs(&["broken"])));
    let failure = Supervisor::start(spec, stage.tree.clone()).await.unwrap_err();
    assert_eq!(failure.to_string(), "broken could not start: told to fail");
    assert_eq!(stage.told("stopped"), ["fine"]);
    assert!(!stage.told("starting").contains(&"never".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn one_that_is_not_required_leaves_its_dependents_degraded() {
    let stage = Stage::new();
    let broken = stage.scripted("broken", Script::failing()).with_policy(optional());
    stage.house(vec![broken, stage.agent("goes-on", needs(&["broken"]))]).await;
    assert_eq!(stage.degraded("goes-on").unwrap(), "broken is quarantined");
}

#[tokio::test(start_paused = true)]
async fn a_fallback_stands_in_while_its_principal_is_down() {
    let stage = Stage::new();
    let told = Arc::new(Mutex::new(Vec::new()));
    let user = speaking("user", Some(Duration::ZERO), told.clone());
    stage
        .house(vec![
            stage.agent("principal", falls_back_on("stand-in")),
            stage.agent("stand-in", Edges::default()),
            user.with_policy(agent()).with_edges(needs(&["principal"])),
        ])
        .await;
    assert_eq!(stage.status("user"), Some(Status::Ready));
    stage.end("principal", abnormal()).await;
    stage.until("it is degraded", || stage.degraded("user").is_some()).await;
    assert_eq!(stage.degraded("user").unwrap(), "stand-in stands in for principal, which is down");
    stage.reborn("principal", 1).await;
    stage.until("it has recovered", || stage.status("user") == Some(Status::Ready)).await;
    let standings: Vec<Standing> =
        told.lock().iter().map(|change| change.standing.clone()).collect();
    assert_eq!(standings, [Standing::StandIn("stand-in".into()), Standing::Met]);
}

#[tokio::test(start_paused = true)]
async fn a_fallback_stands_in_for_what_lives_elsewhere_whenever_that_is_not_there() {
    let stage = Stage::new();
    let (principal, stand_in) = (Key::from("principal"), Key::from("stand-in"));
    let stands = |status: Status| stage.tree.stand_elsewhere(&principal, 1, status);
    stage.tree.board.declare_elsewhere(&principal, Some(&stand_in), "it is far away");
    stands(Status::Waiting);
    let user = stage.agent("user", needs(&["principal"]));
    stage.house(vec![stage.agent("stand-in", Edges::default()), user]).await;
    let lacks = async |what: &str| {
        stage.until(what, || stage.degraded("user").as_deref() == Some(what)).await;
    };
    lacks("stand-in stands in for principal, which is waiting").await;
    stands(Status::Ready);
    stage.until("it has recovered", || stage.status("user") == Some(Status::Ready)).await;
    stands(Status::Stopped("its machine is gone".into()));
    lacks("stand-in stands in for principal, which is stopped").await;
    stage.tree.fall_back_elsewhere(&principal, None);
    lacks("principal is stopped").await;
}

#[tokio::test(start_paused = true)]
async fn who_needs_a_principal_that_cannot_start_starts_on_the_fallback() {
    let stage = Stage::new();
    let broken = stage.scripted("principal", Script::failing()).with_policy(optional());
    stage
        .house(vec![
            broken.with_edges(falls_back_on("stand-in")),
            stage.agent("stand-in", Edges::default()),
            stage.agent("user", needs(&["principal"])),
        ])
        .await;
    let why = stage.degraded("user").unwrap();
    assert_eq!(why, "stand-in stands in for principal, which is quarantined");
}

/// Without a stand-in, who is bound to something that is given up waits, visibly.
#[tokio::test(start_paused = true)]
async fn who_is_bound_to_something_given_up_is_blocked() {
    let stage = Stage::new();
    let script = Script::failing();
    let broken = stage.scripted("broken", script.clone()).with_policy(optional());
    let bound = stage.child("bound").with_policy(optional()).with_edges(binds(&["broken"]));
    let house = stage.house(vec![broken, bound]).await;
    assert_eq!(stage.status("bound"), Some(Status::Blocked));
    script.fail_next(0);
    house.release_child("broken").await.unwrap();
    stage.until("it starts after all", || stage.is_up("bound")).await;
}

#[tokio::test(start_paused = true)]
async fn what_a_child_says_of_itself_shows_beside_what_it_lacks() {
    let stage = Stage::new();
    let reports = Arc::new(Mutex::new(Vec::new()));
    let kept = reports.clone();
    let start = move |place: Place| {
        let kept = kept.clone();
        async move {
            place.spawn(Puppet { on_stop: OnStop::Heed }, ()).await?;
            kept.lock().push(place.report());
            Ok(Started::Ready)
        }
    };
    let child = ChildSpec::new("child", Arc::new(start)).with_policy(agent());
    stage
        .house(vec![stage.agent("base", Edges::default()), child.with_edges(needs(&["base"]))])
        .await;
    let report = reports.lock()[0].clone();
    report.degraded("the model is missing");
    stage.until("it shows", || stage.degraded("child").is_some()).await;
    assert_eq!(stage.degraded("child").unwrap(), "the model is missing");
    stage.end("base", abnormal()).await;
    stage.until("both show", || stage.degraded("child").unwrap().contains(';')).await;
    assert_eq!(stage.degraded("child").unwrap(), "the model is missing; base is down");
    report.recovered();
    stage.reborn("base", 1).await;
    stage.until("it is well", || stage.status("child") == Some(Status::Ready)).await;

    let failure = Failure::new(FailureKind::Error, "the probe gave up");
    report.failed(failure.clone());
    stage.reborn("child", 2).await;
    let crash = stage.tree.crashes.last(&"child".into()).unwrap();
    assert_eq!(*crash.failure, failure);
    report.ready();
    report.failed(failure);
    tokio::time::sleep(SECOND).await;
    assert!(stage.is_up("child"), "what an earlier life says goes nowhere");
}

#[tokio::test(start_paused = true)]
async fn a_restart_by_hand_is_not_a_crash() {
    let stage = Stage::new();
    let house = stage.house(vec![stage.agent("child", Edges::default())]).await;
    for life in 2..10 {
        assert_eq!(house.cycle_child("child").await.unwrap().incarnation, life);
    }
    assert_eq!(house.child("child").await.unwrap().restarts, 0);
    assert!(stage.tree.crashes.last(&"child".into()).is_none());
    house.terminate_child("child").await.unwrap();
    assert_eq!(refused(house.cycle_child("child").await), ChildError::NotRunning);
}

#[tokio::test(start_paused = true)]
async fn a_kill_by_hand_is_a_crash() {
    let stage = Stage::new();
    let house = stage.house(vec![stage.agent("child", Edges::default())]).await;
    house.kill_child("child", "killed by hand").await.unwrap();
    stage.reborn("child", 1).await;
    assert_eq!(house.child("child").await.unwrap().restarts, 1);
    let crash = stage.tree.crashes.last(&"child".into()).unwrap();
    assert_eq!(crash.failure.kind, FailureKind::Killed);
}

/// Something is stopped by hand; who needs it goes on degraded, and is blocked when it restarts.
#[tokio::test(start_paused = true)]
async fn who_needs_something_stopped_by_hand_goes_on_but_does_not_start() {
    let stage = Stage::new();
    let house = stage
        .house(vec![stage.agent("base", Edges::default()), stage.agent("user", needs(&["base"]))])
        .await;
    house.terminate_child("base").await.unwrap();
    stage.until("it is degraded", || stage.degraded("user").is_some()).await;
    assert_eq!(stage.degraded("user").unwrap(), "base is stopped");
    let error = refused(house.cycle_child("user").await);
    assert!(matches!(error, ChildError::Blocked(why) if why.contains("it needs base")));
    assert_eq!(stage.status("user"), Some(Status::Blocked));
    house.restart_child("base").await.unwrap();
    stage.until("it starts after all", || stage.is_up("user")).await;
}

/// A supervisor that is killed in the middle of everything leaves nobody behind.
#[tokio::test(start_paused = true)]
async fn a_start_that_is_under_way_when_the_supervisor_dies_leaves_no_orphan() {
    let stage = Stage::new();
    let slow = stage.scripted("slow", Script::ready_after(SECOND)).with_policy(agent());
    let spec = SupervisorSpec::new("house").with_flags(graph()).with_child(slow);
    let house = Supervisor::begin(spec, stage.tree.clone()).await.unwrap();
    stage.until("it is starting", || stage.status("slow") == Some(Status::Starting)).await;
    house.kill();
    assert_eq!(house.ended().await, ExitReason::Killed);
    tokio::time::sleep(10 * SECOND).await;
    let told = stage.told("ready");
    assert!(told.is_empty(), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn the_journal_tells_a_crash_from_beginning_to_end() {
    let stage = Stage::new();
    stage.house(vec![stage.agent("child", Edges::default())]).await;
    let from = stage.tree.journal.last();
    stage.end("child", abnormal()).await;
    stage.reborn("child", 1).await;
    let events = stage.tree.journal.tail(100, |event| event.seq > from);
    let words: Vec<&str> = events.iter().map(|event| event.what.word()).collect();
    assert_eq!(words, ["crashed", "restarting", "starting", "ready"]);
    assert!(matches!(&events[1].what, What::Restarting { after, .. } if *after == SECOND));
}

/// Under a strategy that takes siblings along, a child is backed off with them.
#[tokio::test(start_paused = true)]
async fn siblings_wait_out_the_backoff_together() {
    let stage = Stage::new();
    let flags = SupervisorFlags { strategy: Strategy::OneForAll, ..graph() };
    let spec = SupervisorSpec::new("house")
        .with_flags(flags)
        .with_child(stage.agent("a", Edges::default()))
        .with_child(stage.agent("b", Edges::default()));
    let _house = stage.start(spec).await;
    let before = tokio::time::Instant::now();
    stage.end("a", abnormal()).await;
    stage.reborn("b", 2).await;
    stage.reborn("a", 2).await;
    let waited = before.elapsed();
    assert!((SECOND..SECOND + SECOND / 10).contains(&waited), "{waited:?}");
}
