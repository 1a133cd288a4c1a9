//! Group `significant`: auto-shutdown.

use std::time::Duration;

use genii_supervision::{
    AutoShutdown, ChildError, ChildPolicy, ExitReason, Restart, SpecError, Strategy,
    SupervisorFlags, SupervisorHandle, SupervisorSpec,
};

use crate::puppet::*;

const MODES: [AutoShutdown; 3] =
    [AutoShutdown::Never, AutoShutdown::AnySignificant, AutoShutdown::AllSignificant];

fn mode(auto_shutdown: AutoShutdown) -> SupervisorFlags {
    SupervisorFlags { auto_shutdown, ..flags(Strategy::OneForOne, 5, 3600) }
}

fn significant(restart: Restart) -> ChildPolicy {
    ChildPolicy { significant: true, ..policy(restart) }
}

async fn stays(supervisor: &SupervisorHandle) {
    let ended = tokio::time::timeout(Duration::from_secs(10), supervisor.ended()).await;
    assert!(ended.is_err(), "the supervisor ended: {ended:?}");
}

async fn ends(supervisor: &SupervisorHandle) {
    let ended = tokio::time::timeout(Duration::from_secs(10), supervisor.ended()).await;
    assert_eq!(ended.expect("the supervisor ends"), shutdown());
}

#[tokio::test(start_paused = true)]
async fn nonsignificant_temporary() {
    for auto_shutdown in MODES {
        let stage = Stage::new();
        let supervisor = stage.supervisor(mode(auto_shutdown)).await;
        let start = async || {
            let child = stage.child("child1").with_policy(policy(Restart::Temporary));
            supervisor.start_child(child).await.unwrap();
        };
        start().await;
        supervisor.terminate_child("child1").await.unwrap();
        for reason in [ExitReason::Killed, abnormal(), ExitReason::Normal] {
            start().await;
            stage.end("child1", reason).await;
            stage.until("it is forgotten", || stage.status("child1").is_none()).await;
        }
        stays(&supervisor).await;
    }
}

#[tokio::test(start_paused = true)]
async fn nonsignificant_transient() {
    for auto_shutdown in MODES {
        let stage = Stage::new();
        let supervisor = stage.supervisor(mode(auto_shutdown)).await;
        let child = stage.child("child1").with_policy(policy(Restart::Transient));
        supervisor.start_child(child).await.unwrap();
        supervisor.terminate_child("child1").await.unwrap();
        supervisor.restart_child("child1").await.unwrap();
        for reason in [ExitReason::Killed, abnormal()] {
            let before = stage.incarnation("child1");
            stage.end("child1", reason).await;
            stage.reborn("child1", before).await;
        }
        stage.end("child1", ExitReason::Normal).await;
        stays(&supervisor).await;
    }
}

async fn three(stage: &Stage, auto_shutdown: AutoShutdown, restart: Restart) -> SupervisorHandle {
    let supervisor = stage.supervisor(mode(auto_shutdown)).await;
    for key in ["child1", "child2"] {
        let child = stage.child(key).with_policy(significant(restart));
        supervisor.start_child(child).await.unwrap();
    }
    let third = stage.child("child3").with_policy(policy(restart));
    supervisor.start_child(third).await.unwrap();
    supervisor
}

#[tokio::test(start_paused = true)]
async fn significant_temporary() {
    let any = AutoShutdown::AnySignificant;
    for reason in [ExitReason::Killed, abnormal(), ExitReason::Normal] {
        let stage = Stage::new();
        let supervisor = three(&stage, any, Restart::Temporary).await;
        supervisor.terminate_child("child2").await.unwrap();
        stays(&supervisor).await;
        stage.end("child1", reason).await;
        ends(&supervisor).await;
    }
    let stage = Stage::new();
    let supervisor = three(&stage, AutoShutdown::AllSignificant, Restart::Temporary).await;
    stage.end("child1", ExitReason::Normal).await;
    stays(&supervisor).await;
    stage.end("child2", ExitReason::Normal).await;
    ends(&supervisor).await;
}

#[tokio::test(start_paused = true)]
async fn significant_transient() {
    let stage = Stage::new();
    let supervisor = three(&stage, AutoShutdown::AnySignificant, Restart::Transient).await;
    supervisor.terminate_child("child1").await.unwrap();
    supervisor.restart_child("child1").await.unwrap();
    for reason in [ExitReason::Killed, abnormal()] {
        let before = stage.incarnation("child1");
        stage.end("child1", reason).await;
        stage.reborn("child1", before).await;
    }
    stays(&supervisor).await;
    stage.end("child1", ExitReason::Normal).await;
    ends(&supervisor).await;

    let stage = Stage::new();
    let supervisor = three(&stage, AutoShutdown::AllSignificant, Restart::Transient).await;
    stage.end("child1", ExitReason::Normal).await;
    stays(&supervisor).await;
    stage.end("child2", ExitReason::Normal).await;
    ends(&supervisor).await;
}

#[tokio::test(start_paused = true)]
async fn significant_simple() {
    for auto_shutdown in [AutoShutdown::AnySignificant, AutoShutdown::AllSignificant] {
        let stage = Stage::new();
        let flags = SupervisorFlags { strategy: Strategy::Dynamic, ..mode(auto_shutdown) };
        let supervisor = stage.supervisor(flags).await;
        for key in ["child1", "child2"] {
            let child = stage.child(key).with_policy(significant(Restart::Temporary));
            supervisor.start_child(child).await.unwrap();
        }
        stage.end("child1", ExitReason::Normal).await;
        if auto_shutdown == AutoShutdown::AllSignificant {
            stays(&supervisor).await;
            stage.end("child2", ExitReason::Normal).await;
        }
        ends(&supervisor).await;
    }
}

#[tokio::test(start_paused = true)]
async fn significant_bystander() {
    for strategy in [Strategy::OneForOne, Strategy::OneForAll, Strategy::RestForOne] {
        for auto_shutdown in [AutoShutdown::AnySignificant, AutoShutdown::AllSignificant] {
            let stage = Stage::new();
            let flags = SupervisorFlags { strategy, ..mode(auto_shutdown) };
            let supervisor = stage.supervisor(flags).await;
            for key in ["child1", "child2", "child3"] {
                let policy = match key {
                    "child2" => policy(Restart::Transient),
                    _ => significant(Restart::Transient),
                };
                supervisor.start_child(stage.child(key).with_policy(policy)).await.unwrap();
            }
            stage.end("child2", ExitReason::Killed).await;
            stage.reborn("child2", 3).await;
            stays(&supervisor).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn significant_escalation() {
    for is_significant in [true, false] {
        let stage = Stage::new();
        let outer = stage.supervisor(mode(AutoShutdown::AnySignificant)).await;
        let policy = ChildPolicy {
            restart: Restart::Transient,
            significant: is_significant,
            ..ChildPolicy::supervisor()
        };
        let inner = SupervisorSpec::new("inner").with_flags(mode(AutoShutdown::AnySignificant));
        outer.start_child(inner.into_child(policy)).await.unwrap();
        let inner = stage.tree.supervisor("inner").unwrap();
        let child = stage.child("child1").with_policy(significant(Restart::Transient));
        inner.start_child(child).await.unwrap();
        stage.end("child1", ExitReason::Normal).await;
        ends(&inner).await;
        if is_significant { ends(&outer).await } else { stays(&outer).await }
    }
}

/// Changes the mode while two significant children run; the first then ends, then the second.
async fn upgraded(from: AutoShutdown, to: AutoShutdown) {
    let stage = Stage::new();
    let supervisor = stage.supervisor(mode(from)).await;
    let child = |key: &str| stage.child(key).with_policy(significant(Restart::Transient));
    let not_here =
        |key: &str| ChildError::Invalid(SpecError::SignificantForNothing { key: key.into() });
    if from == AutoShutdown::Never {
        assert_eq!(refused(supervisor.start_child(child("child1")).await), not_here("child1"));
        supervisor.set_flags(mode(to)).await.unwrap();
    }
    supervisor.start_child(child("child1")).await.unwrap();
    supervisor.start_child(child("child2")).await.unwrap();
    supervisor.set_flags(mode(to)).await.unwrap();
    if to == AutoShutdown::Never {
        assert_eq!(refused(supervisor.start_child(child("child3")).await), not_here("child3"));
    }
    stays(&supervisor).await;
    stage.end("child1", ExitReason::Normal).await;
    if to == AutoShutdown::AnySignificant {
        return ends(&supervisor).await;
    }
    stays(&supervisor).await;
    stage.end("child2", ExitReason::Normal).await;
    match to {
        AutoShutdown::AllSignificant => ends(&supervisor).await,
        _ => {
            stays(&supervisor).await;
            supervisor.restart_child("child1").await.unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn significant_upgrade_never_any() {
    upgraded(AutoShutdown::Never, AutoShutdown::AnySignificant).await;
}

#[tokio::test(start_paused = true)]
async fn significant_upgrade_any_never() {
    upgraded(AutoShutdown::AnySignificant, AutoShutdown::Never).await;
}

#[tokio::test(start_paused = true)]
async fn significant_upgrade_never_all() {
    upgraded(AutoShutdown::Never, AutoShutdown::AllSignificant).await;
}

#[tokio::test(start_paused = true)]
async fn significant_upgrade_all_never() {
    upgraded(AutoShutdown::AllSignificant, AutoShutdown::Never).await;
}

#[tokio::test(start_paused = true)]
async fn significant_upgrade_any_all() {
    upgraded(AutoShutdown::AnySignificant, AutoShutdown::AllSignificant).await;
}

#[tokio::test(start_paused = true)]
async fn significant_upgrade_all_any() {
    upgraded(AutoShutdown::AllSignificant, AutoShutdown::AnySignificant).await;
}

#[tokio::test(start_paused = true)]
async fn significant_upgrade_child() {
    let plain = |stage: &Stage| stage.child("child").with_policy(policy(Restart::Transient));
    let weighty = |stage: &Stage| stage.child("child").with_policy(significant(Restart::Transient));

    let stage = Stage::new();
    let supervisor = stage.supervisor(mode(AutoShutdown::Never)).await;
    supervisor.start_child(plain(&stage)).await.unwrap();
    refused(supervisor.replace_child(weighty(&stage), false).await);
    stays(&supervisor).await;

    let stage = Stage::new();
    let supervisor = stage.supervisor(mode(AutoShutdown::AnySignificant)).await;
    supervisor.start_child(plain(&stage)).await.unwrap();
    supervisor.replace_child(weighty(&stage), false).await.unwrap();
    stays(&supervisor).await;
    stage.end("child", ExitReason::Normal).await;
    ends(&supervisor).await;

    let stage = Stage::new();
    let supervisor = stage.supervisor(mode(AutoShutdown::AnySignificant)).await;
    supervisor.start_child(weighty(&stage)).await.unwrap();
    supervisor.replace_child(plain(&stage), false).await.unwrap();
    stage.end("child", ExitReason::Normal).await;
    stays(&supervisor).await;
}
