//! The cases that stand alone: trees, order, change while running, many children.

use std::sync::Arc;
use std::time::Duration;

use genii_supervision::{
    ChildError, ChildPolicy, Intensity, Restart, Shutdown, SpecError, Strategy, SupervisorFlags,
    SupervisorSpec,
};

use crate::puppet::*;

#[tokio::test(start_paused = true)]
async fn tree() {
    let stage = Stage::new();
    let inner = flags(Strategy::OneForOne, 4, 3600);
    let permanent = || ChildPolicy::supervisor();
    let transient = ChildPolicy { restart: Restart::Transient, ..ChildPolicy::supervisor() };
    let sup1 = SupervisorSpec::new("sup1")
        .with_flags(inner)
        .with_child(stage.child("child1"))
        .with_child(stage.child("child2"));
    let top = stage.supervisor(flags(Strategy::OneForAll, 4, 3600)).await;
    top.start_child(sup1.into_child(permanent())).await.unwrap();
    let sup2 = SupervisorSpec::new("sup2").with_flags(inner).into_child(permanent());
    top.start_child(sup2).await.unwrap();
    let sup3 = SupervisorSpec::new("sup3").with_flags(inner).into_child(transient);
    top.start_child(sup3).await.unwrap();
    top.terminate_child("sup3").await.unwrap();
    assert_eq!(counts(&top).await, [3, 2, 3, 0]);

    let script = Script::default();
    let sup2 = stage.tree.supervisor("sup2").unwrap();
    sup2.start_child(stage.scripted("child3", script.clone())).await.unwrap();
    sup2.start_child(stage.child("child4")).await.unwrap();
    assert_eq!(counts(&sup2).await, [2, 2, 0, 2]);

    // Only the one that dies is restarted.
    let (first, fourth) = (stage.incarnation("child1"), stage.incarnation("child4"));
    stage.end("child4", abnormal()).await;
    stage.reborn("child4", fourth).await;
    assert_eq!(stage.incarnation("child1"), first);

    // One that cannot be restarted brings its supervisor down, and that all its siblings; static
    // children return, dynamic ones do not.
    script.fail_next(u32::MAX);
    stage.end("child3", abnormal()).await;
    stage.reborn("child1", first).await;
    stage.reborn("sup2", 2).await;
    assert_eq!(children(&stage.tree.supervisor("sup1").unwrap()).await.len(), 2);
    assert_eq!(counts(&stage.tree.supervisor("sup2").unwrap()).await, [0, 0, 0, 0]);
    assert_eq!(counts(&top).await, [3, 2, 3, 0], "what was stopped by hand stays stopped");
}

/// A supervisor that is killed takes its children along, and returns with them.
#[tokio::test(start_paused = true)]
async fn simple_global_supervisor() {
    let stage = Stage::new();
    let middle = SupervisorSpec::new("middle")
        .with_flags(flags(Strategy::OneForAll, 3, 60))
        .with_child(stage.child("server"));
    let top = SupervisorSpec::new("top")
        .with_flags(flags(Strategy::OneForAll, 3, 60))
        .with_child(middle.into_child(ChildPolicy::supervisor()));
    let top = stage.start(top).await;

    // The supervisor is killed.
    let old = stage.puppet("server");
    stage.tree.supervisor("middle").unwrap().kill();
    stage.reborn("middle", 1).await;
    stage.reborn("server", 1).await;
    assert_eq!(old.get_status(), ractor::ActorStatus::Stopped);

    // The worker is killed, and is made to fail.
    for reason in [genii_supervision::ExitReason::Killed, abnormal()] {
        let before = stage.incarnation("server");
        stage.end("server", reason).await;
        stage.reborn("server", before).await;
    }

    // The worker is restarted by hand.
    let middle = stage.tree.supervisor("middle").unwrap();
    middle.terminate_child("server").await.unwrap();
    middle.restart_child("server").await.unwrap();

    top.kill();
    top.ended().await;
    let server = stage.puppet("server");
    stage.until("all are dead", || server.get_status() == ractor::ActorStatus::Stopped).await;
}

#[tokio::test(start_paused = true)]
async fn code_change() {
    let stage = Stage::new();
    let supervisor = stage.supervisor(flags(Strategy::OneForOne, 0, 1)).await;
    supervisor.set_flags(flags(Strategy::OneForOne, 1, 3)).await.unwrap();
    supervisor.start_child(stage.child("child1")).await.unwrap();
    stage.end("child1", abnormal()).await;
    stage.reborn("child1", 1).await;

    let shutdown = Shutdown::Within(Duration::from_secs(2));
    let changed = ChildPolicy { shutdown, ..ChildPolicy::default() };
    supervisor.replace_child(stage.child("child1").with_policy(changed), false).await.unwrap();
    let info = supervisor.child("child1").await.unwrap();
    assert_eq!(
        (info.spec.policy.shutdown, info.incarnation),
        (shutdown, 2),
        "it was not restarted"
    );

    supervisor.replace_child(stage.child("child1"), true).await.unwrap();
    stage.reborn("child1", 2).await;

    let intensity = Intensity { restarts: 1, window: Duration::ZERO };
    let faulty = SupervisorFlags { intensity, ..SupervisorFlags::default() };
    let error = refused(supervisor.set_flags(faulty).await);
    assert_eq!(error, ChildError::Invalid(SpecError::ZeroWindow));
    assert_eq!(
        refused(supervisor.replace_child(stage.child("child2"), false).await),
        ChildError::NotFound
    );
}

#[tokio::test(start_paused = true)]
async fn code_change_simple() {
    let stage = Stage::new();
    let supervisor = stage.supervisor(flags(Strategy::Dynamic, 0, 1)).await;
    supervisor.set_flags(flags(Strategy::Dynamic, 1, 1)).await.unwrap();
    let error = refused(supervisor.set_flags(flags(Strategy::OneForOne, 1, 1)).await);
    assert_eq!(error, ChildError::Dynamic);
}

#[tokio::test(start_paused = true)]
async fn order_of_children() {
    let stage = Stage::new();
    let keys = ["ch7", "ch3", "ch10", "ch2", "ch5"];
    let mut spec = SupervisorSpec::new("sup").with_flags(flags(Strategy::RestForOne, 2, 3600));
    for key in keys {
        spec = spec.with_child(stage.child(key));
    }
    let supervisor = stage.start(spec).await;
    assert_eq!(stage.told("ready"), keys);

    stage.end("ch10", abnormal()).await;
    stage.reborn("ch5", 5).await;
    assert_eq!(stage.told("stopped"), ["ch5", "ch2"]);
    assert_eq!(stage.told("ready")[5..], ["ch10", "ch2", "ch5"]);

    supervisor.shutdown().await;
    assert_eq!(stage.told("stopped")[2..], ["ch5", "ch2", "ch10", "ch3", "ch7"]);
}

async fn many(strategy: Strategy, restart: Restart) {
    let stage = Stage::new();
    let supervisor = stage.supervisor(flags(strategy, 2, 3600)).await;
    let policy = Arc::new(policy(restart));
    let keys: Vec<String> = (0..2_000).map(|n| format!("child{n}")).collect();
    for key in &keys {
        let child = stage.child(key).with_policy(policy.clone());
        supervisor.start_child(child).await.unwrap();
    }
    for key in &keys {
        supervisor.terminate_child(key.as_str()).await.unwrap();
    }
    assert_eq!(supervisor.count_children().await.unwrap().active, 0);
}

/// How it scales is measured in the benchmarks.
#[tokio::test(start_paused = true)]
async fn simple_one_for_one_scale_many_temporary_children() {
    many(Strategy::Dynamic, Restart::Temporary).await;
}

#[tokio::test(start_paused = true)]
async fn scale_start_stop_many_children() {
    many(Strategy::OneForOne, Restart::Permanent).await;
}
