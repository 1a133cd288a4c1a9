//! Where several rules meet: temporary children, commands against what waits, children that start
//! after their supervisor was declared.

use std::time::Duration;

use genii_supervision::{
    Backoff, ChildError, ChildPolicy, ChildSpec, Edges, FailureKind, GiveUp, Intensity, Key,
    Restart, StartOrder, Status, Strategy, SupervisorFlags, SupervisorSpec,
};

use crate::puppet::*;

const SECOND: Duration = Duration::from_secs(1);

fn graph() -> SupervisorFlags {
    let intensity = Intensity { restarts: 3, window: Duration::from_secs(60) };
    SupervisorFlags { intensity, start_order: StartOrder::Graph, ..SupervisorFlags::default() }
}

/// A child as a household has them: backed off, and held back when it crashes too often.
fn member(restart: Restart) -> ChildPolicy {
    let backoff = Backoff { first: SECOND, jitter: 0.0, ..Backoff::default() };
    ChildPolicy {
        backoff: Some(backoff),
        give_up: GiveUp::Quarantine,
        required: false,
        ..policy(restart)
    }
}

fn edges(needs: &[&str], binds: &[&str]) -> Edges {
    let keys = |names: &[&str]| names.iter().map(|name| Key::from(*name)).collect();
    Edges { needs: keys(needs), binds: keys(binds), ..Edges::default() }
}

fn house(children: Vec<ChildSpec>) -> SupervisorSpec {
    SupervisorSpec { children, ..SupervisorSpec::new("house").with_flags(graph()) }
}

#[tokio::test(start_paused = true)]
async fn a_temporary_child_whose_first_start_fails_is_not_started_twice() {
    let stage = Stage::new();
    let child = stage.scripted("child", Script::failing());
    let _house = stage.start(house(vec![child.with_policy(member(Restart::Temporary))])).await;
    assert_eq!(stage.told("starting"), ["child"]);
    assert_eq!(stage.status("child"), None, "it is forgotten");
    let crash = stage.tree.crashes.last(&"child".into()).unwrap();
    assert_eq!(crash.failure.message, "told to fail");
}

#[tokio::test(start_paused = true)]
async fn a_temporary_child_goes_with_what_it_is_bound_to_and_does_not_return() {
    let stage = Stage::new();
    let base = stage.child("base").with_policy(member(Restart::Permanent));
    let child = stage.child("child").with_policy(member(Restart::Temporary));
    let spec = house(vec![base, child.with_edges(edges(&[], &["base"]))]);
    let _house = stage.start(spec).await;
    stage.end("base", abnormal()).await;
    stage.reborn("base", 1).await;
    stage.until("it is forgotten", || stage.status("child").is_none()).await;
    assert!(stage.told("quarantined").is_empty(), "{}", stage.story());
}

#[tokio::test(start_paused = true)]
async fn a_temporary_child_is_not_restarted_by_hand() {
    let stage = Stage::new();
    let child = stage.child("child").with_policy(member(Restart::Temporary));
    let house = stage.start(house(vec![child])).await;
    assert_eq!(refused(house.cycle_child("child").await), ChildError::Temporary);
    assert_eq!(stage.status("child"), Some(Status::Ready));
}

#[tokio::test(start_paused = true)]
async fn a_blocked_child_starts_when_it_is_declared_without_what_it_lacked() {
    let stage = Stage::new();
    let child = || stage.child("child").with_policy(member(Restart::Permanent));
    let spec = house(vec![child().with_edges(edges(&["nobody"], &[]))]);
    let house = stage.start(spec).await;
    assert_eq!(stage.status("child"), Some(Status::Blocked));
    let error = refused(house.restart_child("child").await);
    assert!(matches!(error, ChildError::Blocked(why) if why.contains("it needs nobody")));
    house.replace_child(child(), true).await.unwrap();
    stage.until("it is up", || stage.status("child") == Some(Status::Ready)).await;
}

#[tokio::test(start_paused = true)]
async fn a_child_that_was_released_in_vain_is_held_back_again() {
    let stage = Stage::new();
    let script = Script::failing();
    let child = stage.scripted("child", script.clone()).with_policy(member(Restart::Permanent));
    let house = stage.start(house(vec![child])).await;
    assert!(matches!(stage.status("child"), Some(Status::Quarantined(_))));
    let error = refused(house.release_child("child").await);
    assert!(matches!(error, ChildError::StartFailed(_)), "{error}");
    assert!(matches!(stage.status("child"), Some(Status::Quarantined(_))));
    script.fail_next(0);
    house.release_child("child").await.unwrap();
    assert_eq!(stage.status("child"), Some(Status::Ready));
}

#[tokio::test(start_paused = true)]
async fn the_first_children_of_a_dynamic_supervisor_start() {
    let stage = Stage::new();
    let flags = flags(Strategy::Dynamic, 3, 60);
    let spec = SupervisorSpec::new("sup").with_flags(flags).with_child(stage.child("child"));
    let supervisor = stage.start(spec).await;
    assert_eq!(counts(&supervisor).await, [1, 1, 0, 1]);
}

#[tokio::test(start_paused = true)]
async fn one_that_only_sleeps_is_told_to_wake_and_to_go_to_sleep() {
    let stage = Stage::new();
    let supervisor = stage.supervisor(flags(Strategy::Dynamic, 3, 60)).await;
    let sleeper = ChildPolicy { sleeps: true, ..policy(Restart::Permanent) };
    supervisor.start_child(stage.child("child").with_policy(sleeper)).await.unwrap();
    stage.end("child", abnormal()).await;
    stage.reborn("child", 1).await;
    supervisor.terminate_child("child").await.unwrap();
    stage.until("it sleeps", || stage.told("asleep") == ["child"]).await;
    assert_eq!(stage.told("waking"), ["child"]);
    assert_eq!(stage.told("starting"), ["child"], "that is when it was restarted");
    assert!(stage.told("removed").is_empty(), "{}", stage.story());
}

#[tokio::test(start_paused = true)]
async fn an_end_in_good_order_is_told_apart_from_a_crash() {
    let stage = Stage::new();
    let child = stage.child("child").with_policy(member(Restart::Permanent));
    let _house = stage.start(house(vec![child])).await;
    stage.end("child", shutdown()).await;
    stage.until("it is down", || matches!(stage.status("child"), Some(Status::Down(_)))).await;
    let Some(Status::Down(failure)) = stage.status("child") else { panic!("it was down") };
    assert_eq!(failure.kind, FailureKind::Ended);
    stage.reborn("child", 1).await;
    assert!(stage.tree.crashes.last(&"child".into()).is_none(), "and it is no crash");
}
