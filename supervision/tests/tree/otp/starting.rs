//! Group `sup_start`.

use std::sync::Arc;
use std::time::Duration;

use genii_supervision::{
    ChildError, ChildKind, ChildPolicy, FailureKind, Restart, Shutdown, SpecError, StartError,
    Strategy, Supervisor, SupervisorFlags, SupervisorSpec,
};

use crate::puppet::*;

#[tokio::test(start_paused = true)]
async fn sup_start_normal() {
    let stage = Stage::new();
    let supervisor = stage.supervisor(flags(Strategy::OneForOne, 2, 3600)).await;
    assert_eq!(supervisor.shutdown().await, shutdown());
}

#[tokio::test(start_paused = true)]
async fn sup_start_ignore_child() {
    let stage = Stage::new();
    let supervisor = stage.supervisor(flags(Strategy::OneForOne, 2, 3600)).await;
    let started =
        supervisor.start_child(stage.scripted("child1", Script::ignoring())).await.unwrap();
    assert!(started.ignored);
    supervisor.start_child(stage.child("child2")).await.unwrap();
    assert_eq!(children(&supervisor).await, named(&[("child1", false), ("child2", true)]));
    assert_eq!(counts(&supervisor).await, [2, 1, 0, 2]);
}

#[tokio::test(start_paused = true)]
async fn sup_start_ignore_temporary_child() {
    let stage = Stage::new();
    let temporary = policy(Restart::Temporary);
    let spec = SupervisorSpec::new("sup")
        .with_child(stage.scripted("child1", Script::ignoring()).with_policy(temporary.clone()))
        .with_child(stage.child("child2").with_policy(temporary));
    let supervisor = stage.start(spec).await;
    assert_eq!(children(&supervisor).await, named(&[("child2", true)]));
    assert_eq!(counts(&supervisor).await, [1, 1, 0, 1]);
}

#[tokio::test(start_paused = true)]
async fn sup_start_ignore_temporary_child_start_child() {
    let stage = Stage::new();
    let supervisor = stage.supervisor(flags(Strategy::OneForOne, 2, 3600)).await;
    let temporary = policy(Restart::Temporary);
    let child = stage.scripted("child1", Script::ignoring()).with_policy(temporary.clone());
    assert!(supervisor.start_child(child).await.unwrap().ignored);
    supervisor.start_child(stage.child("child2").with_policy(temporary)).await.unwrap();
    assert_eq!(children(&supervisor).await, named(&[("child2", true)]));
}

async fn ignored_under_a_dynamic_supervisor(restart: Restart) {
    let stage = Stage::new();
    let supervisor = stage.supervisor(flags(Strategy::Dynamic, 2, 3600)).await;
    let child = stage.scripted("child1", Script::ignoring()).with_policy(policy(restart));
    assert!(supervisor.start_child(child).await.unwrap().ignored);
    supervisor.start_child(stage.child("child2").with_policy(policy(restart))).await.unwrap();
    assert_eq!(children(&supervisor).await, named(&[("child2", true)]));
    assert_eq!(supervisor.shutdown().await, shutdown());
}

#[tokio::test(start_paused = true)]
async fn sup_start_ignore_temporary_child_start_child_simple() {
    ignored_under_a_dynamic_supervisor(Restart::Temporary).await;
}

#[tokio::test(start_paused = true)]
async fn sup_start_ignore_permanent_child_start_child_simple() {
    ignored_under_a_dynamic_supervisor(Restart::Permanent).await;
}

/// A supervisor that is declared wrongly does not start, and says what is wrong.
#[tokio::test(start_paused = true)]
async fn sup_start_fail() {
    let stage = Stage::new();
    let spec = SupervisorSpec::new("sup").with_child(stage.child("a")).with_child(stage.child("a"));
    let failure = Supervisor::start(spec, stage.tree.clone()).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Refused);
    assert_eq!(failure.message, SpecError::Duplicate { key: "a".into() }.to_string());
}

#[tokio::test(start_paused = true)]
async fn sup_start_child_returns_error() {
    let stage = Stage::new();
    let supervisor = stage.supervisor(flags(Strategy::OneForOne, 2, 3600)).await;
    let error = refused(supervisor.start_child(stage.scripted("child1", Script::failing())).await);
    assert_eq!(error, ChildError::StartFailed(StartError::failed("told to fail")));
    assert_eq!(children(&supervisor).await, named(&[]));
}

#[tokio::test(start_paused = true)]
async fn sup_start_restart_child_returns_error() {
    let stage = Stage::new();
    let script = Script::default();
    let spec = SupervisorSpec::new("sup").with_child(stage.scripted("child1", script.clone()));
    let supervisor = stage.start(spec).await;
    supervisor.terminate_child("child1").await.unwrap();
    script.fail_next(1);
    let error = refused(supervisor.restart_child("child1").await);
    assert!(matches!(error, ChildError::StartFailed(_)));
    assert_eq!(children(&supervisor).await, named(&[("child1", false)]));
}

#[tokio::test(start_paused = true)]
async fn sup_start_child_returns_error_simple() {
    let stage = Stage::new();
    let supervisor = stage.supervisor(flags(Strategy::Dynamic, 2, 3600)).await;
    refused(supervisor.start_child(stage.scripted("child1", Script::failing())).await);
    assert_eq!(children(&supervisor).await, named(&[]));
}

/// A start that fails part-way stops what it had started, in the reverse order.
#[tokio::test(start_paused = true)]
async fn sup_start_stops_what_it_had_started() {
    let stage = Stage::new();
    let spec = SupervisorSpec::new("sup")
        .with_child(stage.child("a"))
        .with_child(stage.child("b"))
        .with_child(stage.scripted("c", Script::failing()))
        .with_child(stage.child("d"));
    let failure = Supervisor::start(spec, stage.tree.clone()).await.unwrap_err();
    assert_eq!(failure.to_string(), "c could not start: told to fail");
    assert_eq!(stage.told("stopped"), ["b", "a"]);
    assert_eq!(stage.told("starting"), ["a", "b", "c"]);
}

/// The defaults are OTP's.
#[tokio::test(start_paused = true)]
async fn sup_start_map() {
    let stage = Stage::new();
    let brutal = ChildPolicy { shutdown: Shutdown::Kill, ..ChildPolicy::default() };
    let inner = SupervisorSpec::new("child3").into_child(ChildPolicy::supervisor());
    let spec = SupervisorSpec::new("sup")
        .with_child(stage.child("child1"))
        .with_child(stage.child("child2").with_policy(brutal))
        .with_child(inner);
    let supervisor = stage.start(spec).await;
    let policy_of = async |key: &str| supervisor.child(key).await.unwrap().spec.policy;
    let first = policy_of("child1").await;
    assert_eq!(first.restart, Restart::Permanent);
    assert_eq!(first.shutdown, Shutdown::Within(Duration::from_secs(5)));
    assert_eq!(first.kind, WORKER);
    assert!(!first.significant);
    assert_eq!(policy_of("child2").await.shutdown, Shutdown::Kill);
    let third = policy_of("child3").await;
    assert_eq!((third.shutdown, third.kind), (Shutdown::Patient, ChildKind::Supervisor));
    assert_eq!(refused(supervisor.child("child4").await), ChildError::NotFound);
    assert_eq!(SupervisorFlags::default().strategy, Strategy::OneForOne);
    let intensity = SupervisorFlags::default().intensity;
    assert_eq!((intensity.restarts, intensity.window), (1, Duration::from_secs(5)));
}

#[tokio::test(start_paused = true)]
async fn sup_start_map_simple() {
    let stage = Stage::new();
    let supervisor = stage.supervisor(flags(Strategy::Dynamic, 2, 3600)).await;
    let temporary = Arc::new(policy(Restart::Temporary));
    for key in ["child1", "child2", "child3"] {
        supervisor.start_child(stage.child(key).with_policy(temporary.clone())).await.unwrap();
        assert_eq!(supervisor.child(key).await.unwrap().spec.policy, temporary);
    }
    assert_eq!(refused(supervisor.child("other").await), ChildError::NotFound);
}
