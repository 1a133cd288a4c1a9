//! Restart strategies and their escalation.

use std::time::Duration;

use genii_supervision::{
    ChildError, ExitReason, Restart, Shutdown, Status, Strategy, SupervisorHandle, SupervisorSpec,
};

use crate::puppet::*;

fn gave_up(reason: &ExitReason) -> bool {
    matches!(reason, ExitReason::Shutdown(Some(why)) if why.contains("restarted too often"))
}

#[tokio::test(start_paused = true)]
async fn multiple_restarts() {
    let stage = Stage::new();
    let supervisor = stage.supervisor(flags(Strategy::OneForOne, 1, 1)).await;
    supervisor.start_child(stage.child("child1")).await.unwrap();
    for life in 1..=4 {
        stage.end("child1", abnormal()).await;
        stage.reborn("child1", life).await;
        tokio::time::sleep(Duration::from_millis(2_100)).await;
    }
    supervisor.terminate_child("child1").await.unwrap();
    supervisor.delete_child("child1").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn one_for_one() {
    let stage = Stage::new();
    let supervisor = stage.supervisor(flags(Strategy::OneForOne, 2, 3600)).await;
    supervisor.start_child(stage.child("child1")).await.unwrap();
    supervisor.start_child(stage.child("child2")).await.unwrap();
    stage.end("child1", abnormal()).await;
    stage.reborn("child1", 1).await;
    assert_eq!(stage.incarnation("child2"), 2, "the sibling lives on");
    assert_eq!(counts(&supervisor).await, [2, 2, 0, 2]);
    stage.end("child2", abnormal()).await;
    stage.reborn("child2", 2).await;
    stage.end("child1", abnormal()).await;
    assert!(gave_up(&supervisor.ended().await));
}

async fn escalates(strategy: Strategy) {
    let stage = Stage::new();
    let supervisor = stage.supervisor(flags(strategy, 4, 3600)).await;
    let script = Script::default();
    let (first, second) = match strategy {
        Strategy::OneForOne => (stage.scripted("child1", script.clone()), stage.child("child2")),
        _ => (stage.child("child1"), stage.scripted("child2", script.clone())),
    };
    supervisor.start_child(first).await.unwrap();
    supervisor.start_child(second).await.unwrap();
    script.fail_next(u32::MAX);
    stage.end("child1", abnormal()).await;
    assert!(gave_up(&supervisor.ended().await));
    assert_eq!(stage.told("escalated"), ["sup"]);
    let child = if strategy == Strategy::OneForOne { "child1" } else { "child2" };
    assert_eq!(stage.told("start-failed"), vec![child; 4]);
}

#[tokio::test(start_paused = true)]
async fn one_for_one_escalation() {
    escalates(Strategy::OneForOne).await;
}

#[tokio::test(start_paused = true)]
async fn one_for_all_escalation() {
    escalates(Strategy::OneForAll).await;
}

#[tokio::test(start_paused = true)]
async fn rest_for_one_escalation() {
    escalates(Strategy::RestForOne).await;
}

#[tokio::test(start_paused = true)]
async fn one_for_all() {
    let stage = Stage::new();
    let supervisor = stage.supervisor(flags(Strategy::OneForAll, 2, 3600)).await;
    supervisor.start_child(stage.child("child1")).await.unwrap();
    supervisor.start_child(stage.child("child2")).await.unwrap();
    stage.end("child1", abnormal()).await;
    stage.reborn("child1", 2).await;
    stage.reborn("child2", 2).await;
    assert_eq!(stage.last_stop("child2"), shutdown());
    assert_eq!(counts(&supervisor).await, [2, 2, 0, 2]);
    let report = stage.tree.crashes.last(&"child1".into()).unwrap();
    assert_eq!(report.took_down, ["child2".into()]);
    stage.end("child2", abnormal()).await;
    stage.reborn("child2", 4).await;
    stage.end("child1", abnormal()).await;
    assert!(gave_up(&supervisor.ended().await));
}

/// The first of two children crashes, and the start of the other, which is restarted with it, fails once.
async fn other_child_fails_restart(strategy: Strategy) -> (Stage, SupervisorHandle) {
    let stage = Stage::new();
    let script = Script::default();
    let spec = SupervisorSpec::new("sup")
        .with_flags(flags(strategy, 3, 3600))
        .with_child(stage.child("child1"))
        .with_child(stage.scripted("child2", script.clone()));
    let supervisor = stage.start(spec).await;
    script.fail_next(1);
    stage.end("child1", abnormal()).await;
    stage.reborn("child2", 2).await;
    (stage, supervisor)
}

/// While all restart, a start that fails takes along those that are up already.
#[tokio::test(start_paused = true)]
async fn one_for_all_other_child_fails_restart() {
    let (stage, _supervisor) = other_child_fails_restart(Strategy::OneForAll).await;
    assert_eq!(
        stage.told("starting"),
        ["child1", "child2", "child1", "child2", "child1", "child2"],
        "{}",
        stage.story()
    );
    assert_eq!(stage.last_stop("child1"), shutdown());
}

#[tokio::test(start_paused = true)]
async fn rest_for_one() {
    let stage = Stage::new();
    let supervisor = stage.supervisor(flags(Strategy::RestForOne, 2, 3600)).await;
    for key in ["child1", "child2", "child3"] {
        supervisor.start_child(stage.child(key)).await.unwrap();
    }
    stage.end("child2", abnormal()).await;
    stage.reborn("child2", 3).await;
    stage.reborn("child3", 3).await;
    assert_eq!(stage.incarnation("child1"), 1, "the one before lives on");
    assert_eq!(stage.last_stop("child3"), shutdown());
    stage.end("child3", abnormal()).await;
    stage.reborn("child3", 5).await;
    stage.end("child2", abnormal()).await;
    assert!(gave_up(&supervisor.ended().await));
}

/// A start that fails while some restart does not touch those before it.
#[tokio::test(start_paused = true)]
async fn rest_for_one_other_child_fails_restart() {
    let (stage, _supervisor) = other_child_fails_restart(Strategy::RestForOne).await;
    assert_eq!(stage.told("starting"), ["child1", "child2", "child1", "child2", "child2"]);
}

#[tokio::test(start_paused = true)]
async fn simple_one_for_one() {
    let stage = Stage::new();
    let supervisor = stage.supervisor(flags(Strategy::Dynamic, 2, 3600)).await;
    supervisor.start_child(stage.child("child1")).await.unwrap();
    supervisor.start_child(stage.child("child2")).await.unwrap();
    stage.end("child1", abnormal()).await;
    stage.reborn("child1", 1).await;
    assert_eq!(stage.incarnation("child2"), 2);
    stage.end("child2", abnormal()).await;
    stage.reborn("child2", 2).await;
    stage.end("child1", abnormal()).await;
    assert!(gave_up(&supervisor.ended().await));
}

#[tokio::test(start_paused = true)]
async fn simple_one_for_one_escalation() {
    let stage = Stage::new();
    let supervisor = stage.supervisor(flags(Strategy::Dynamic, 4, 3600)).await;
    let script = Script::default();
    supervisor.start_child(stage.scripted("child1", script.clone())).await.unwrap();
    supervisor.start_child(stage.child("child2")).await.unwrap();
    script.fail_next(u32::MAX);
    stage.end("child1", abnormal()).await;
    assert!(gave_up(&supervisor.ended().await));
    assert_eq!(stage.last_stop("child2"), shutdown());
}

/// A dynamic child that finds nothing to run when it restarts is forgotten.
#[tokio::test(start_paused = true)]
async fn simple_one_for_one_restart_ignore() {
    let stage = Stage::new();
    let supervisor = stage.supervisor(flags(Strategy::Dynamic, 2, 3600)).await;
    let script = Script::default();
    supervisor.start_child(stage.scripted("child1", script.clone())).await.unwrap();
    script.ignore_from_now_on();
    stage.end("child1", abnormal()).await;
    stage.until("it is forgotten", || stage.status("child1").is_none()).await;
    assert_eq!(counts(&supervisor).await, [0, 0, 0, 0]);
}

/// Children of a dynamic supervisor stop together, each within its own deadline.
#[tokio::test(start_paused = true)]
async fn simple_one_for_one_shutdown() {
    let second = Duration::from_secs(1);
    let stage = Stage::new();
    let supervisor = stage.supervisor(flags(Strategy::Dynamic, 2, 3600)).await;
    for (key, takes) in [("child1", second), ("child2", second), ("child3", 5 * second)] {
        let mut policy = policy(Restart::Permanent);
        policy.shutdown = Shutdown::Within(2 * second);
        let child = stage.scripted(key, Script::on_stop(OnStop::After(takes)));
        supervisor.start_child(child.with_policy(policy)).await.unwrap();
    }
    let before = tokio::time::Instant::now();
    supervisor.shutdown().await;
    assert_eq!(before.elapsed(), 2 * second);
    assert_eq!(stage.last_stop("child1"), shutdown());
    assert_eq!(stage.last_stop("child3"), ExitReason::Killed);
}

async fn hanging(strategy: Strategy) {
    let stage = Stage::new();
    let supervisor = stage.supervisor(flags(strategy, 8, 10)).await;
    let script = Script::ready_after(Duration::from_secs(2));
    if strategy == Strategy::RestForOne {
        supervisor.start_child(stage.child("child1")).await.unwrap();
    }
    supervisor.start_child(stage.scripted("child2", script.clone())).await.unwrap();
    if strategy == Strategy::RestForOne {
        supervisor.start_child(stage.child("child3")).await.unwrap();
    }
    let hang = async || {
        stage.end("child2", abnormal()).await;
        let starting = || stage.status("child2") == Some(Status::Starting);
        stage.until("it is being restarted", starting).await;
    };
    hang().await;
    let dynamic = strategy == Strategy::Dynamic;
    let running = if dynamic { ChildError::Dynamic } else { ChildError::Running };
    assert_eq!(refused(supervisor.restart_child("child2").await), running);
    assert_eq!(refused(supervisor.delete_child("child2").await), running);
    supervisor.terminate_child("child2").await.unwrap();
    match strategy {
        Strategy::Dynamic => {
            assert_eq!(stage.status("child2"), None);
            supervisor.start_child(stage.scripted("child2", script)).await.unwrap();
        }
        _ => {
            assert!(matches!(stage.status("child2"), Some(Status::Stopped(_))));
            supervisor.restart_child("child2").await.unwrap();
        }
    }
    hang().await;
    assert_eq!(supervisor.shutdown().await, shutdown());
}

/// A supervisor answers, and can be ended, while a restart of a child hangs.
#[tokio::test(start_paused = true)]
async fn hanging_restart_loop() {
    hanging(Strategy::OneForOne).await;
}

#[tokio::test(start_paused = true)]
async fn hanging_restart_loop_rest_for_one() {
    hanging(Strategy::RestForOne).await;
}

#[tokio::test(start_paused = true)]
async fn hanging_restart_loop_simple() {
    hanging(Strategy::Dynamic).await;
}
