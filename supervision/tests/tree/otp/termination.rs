//! Groups `normal_termination`, `shutdown_termination` and `abnormal_termination`.

use genii_supervision::{
    ChildPolicy, ExitReason, Restart, Status, Strategy, Supervisor, SupervisorSpec,
};

use crate::puppet::*;

async fn is_restarted(restart: Restart, reason: ExitReason) {
    let stage = Stage::new();
    let supervisor = stage.supervisor(flags(Strategy::OneForOne, 2, 3600)).await;
    supervisor.start_child(stage.child("child").with_policy(policy(restart))).await.unwrap();
    let before = stage.incarnation("child");
    stage.end("child", reason).await;
    stage.reborn("child", before).await;
    assert_eq!(counts(&supervisor).await, [1, 1, 0, 1]);
}

async fn stays_down(reason: ExitReason) {
    let stage = Stage::new();
    let supervisor = stage.supervisor(flags(Strategy::OneForOne, 2, 3600)).await;
    let child = stage.child("child").with_policy(policy(Restart::Transient));
    supervisor.start_child(child).await.unwrap();
    stage.end("child", reason).await;
    stage.until("it is done", || stage.status("child") == Some(Status::Completed)).await;
    assert_eq!(counts(&supervisor).await, [1, 0, 0, 1]);
    supervisor.restart_child("child").await.unwrap();
}

async fn is_forgotten(reason: ExitReason) {
    let stage = Stage::new();
    let supervisor = stage.supervisor(flags(Strategy::OneForOne, 2, 3600)).await;
    let child = stage.child("child").with_policy(policy(Restart::Temporary));
    supervisor.start_child(child).await.unwrap();
    stage.end("child", reason).await;
    stage.until("it is forgotten", || stage.status("child").is_none()).await;
    assert_eq!(counts(&supervisor).await, [0, 0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn permanent_normal() {
    is_restarted(Restart::Permanent, ExitReason::Normal).await;
}

#[tokio::test(start_paused = true)]
async fn transient_normal() {
    stays_down(ExitReason::Normal).await;
}

#[tokio::test(start_paused = true)]
async fn temporary_normal() {
    is_forgotten(ExitReason::Normal).await;
}

#[tokio::test(start_paused = true)]
async fn permanent_shutdown() {
    is_restarted(Restart::Permanent, shutdown()).await;
    is_restarted(Restart::Permanent, ExitReason::shutdown("some info")).await;
}

#[tokio::test(start_paused = true)]
async fn transient_shutdown() {
    stays_down(shutdown()).await;
    stays_down(ExitReason::shutdown("some info")).await;
}

#[tokio::test(start_paused = true)]
async fn temporary_shutdown() {
    is_forgotten(shutdown()).await;
    is_forgotten(ExitReason::shutdown("some info")).await;
}

#[tokio::test(start_paused = true)]
async fn permanent_abnormal() {
    is_restarted(Restart::Permanent, abnormal()).await;
    is_restarted(Restart::Permanent, ExitReason::Killed).await;
}

#[tokio::test(start_paused = true)]
async fn transient_abnormal() {
    is_restarted(Restart::Transient, abnormal()).await;
    is_restarted(Restart::Transient, ExitReason::Killed).await;
}

#[tokio::test(start_paused = true)]
async fn temporary_abnormal() {
    is_forgotten(abnormal()).await;
    is_forgotten(ExitReason::Killed).await;
}

/// A panic is an abnormal end, and its message the cause.
#[tokio::test(start_paused = true)]
async fn permanent_panic() {
    let stage = Stage::new();
    let supervisor = stage.supervisor(flags(Strategy::OneForOne, 2, 3600)).await;
    supervisor.start_child(stage.child("child")).await.unwrap();
    stage.puppet("child").cast(Order::Panic).unwrap();
    stage.reborn("child", 1).await;
    let report = stage.tree.crashes.last(&"child".into()).unwrap();
    assert!(report.failure.to_string().contains("told to panic"), "{}", report.failure);
}

/// The cause of a failed start comes up through the supervisors above it.
#[tokio::test(start_paused = true)]
async fn faulty_application_shutdown() {
    let stage = Stage::new();
    let inner =
        SupervisorSpec::new("inner").with_child(stage.scripted("faulty", Script::failing()));
    let outer =
        SupervisorSpec::new("outer").with_child(inner.into_child(ChildPolicy::supervisor()));
    let failure = Supervisor::start(outer, stage.tree.clone()).await.unwrap_err();
    let said = failure.to_string();
    assert_eq!(said, "inner could not start: faulty could not start: told to fail");
}

#[tokio::test(start_paused = true)]
async fn temporary_bystander() {
    for strategy in [Strategy::OneForAll, Strategy::RestForOne] {
        let stage = Stage::new();
        let supervisor = stage.supervisor(flags(strategy, 2, 300)).await;
        supervisor.start_child(stage.child("child1")).await.unwrap();
        let temporary = stage.child("child2").with_policy(policy(Restart::Temporary));
        supervisor.start_child(temporary).await.unwrap();
        stage.end("child1", ExitReason::Normal).await;
        stage.reborn("child1", 1).await;
        assert_eq!(children(&supervisor).await, named(&[("child1", true)]));
    }
}
