//! Cases `child_adm`, `child_specs`, `sup_flags` and their like.

use std::time::Duration;

use genii_supervision::{
    AutoShutdown, Backoff, ChildError, ChildKind, ChildPolicy, Edges, Intensity, Restart, Shutdown,
    SpecError, Strategy, Supervisor, SupervisorFlags, SupervisorSpec,
};

use crate::puppet::*;

#[tokio::test(start_paused = true)]
async fn child_adm() {
    let stage = Stage::new();
    let supervisor =
        stage.start(SupervisorSpec::new("sup").with_child(stage.child("child1"))).await;
    assert_eq!(children(&supervisor).await, named(&[("child1", true)]));
    assert_eq!(counts(&supervisor).await, [1, 1, 0, 1]);

    let again = refused(supervisor.start_child(stage.child("child1")).await);
    assert_eq!(again, ChildError::AlreadyStarted);

    assert_eq!(refused(supervisor.terminate_child("hej").await), ChildError::NotFound);
    supervisor.terminate_child("child1").await.unwrap();
    assert_eq!(stage.last_stop("child1"), shutdown());
    assert_eq!(children(&supervisor).await, named(&[("child1", false)]));
    assert_eq!(counts(&supervisor).await, [1, 0, 0, 1]);
    supervisor.terminate_child("child1").await.unwrap();

    let present = refused(supervisor.start_child(stage.child("child1")).await);
    assert_eq!(present, ChildError::AlreadyPresent);

    supervisor.restart_child("child1").await.unwrap();
    assert_eq!(counts(&supervisor).await, [1, 1, 0, 1]);
    assert_eq!(refused(supervisor.restart_child("child1").await), ChildError::Running);
    assert_eq!(refused(supervisor.restart_child("child2").await), ChildError::NotFound);

    assert_eq!(refused(supervisor.delete_child("child1").await), ChildError::Running);
    assert_eq!(refused(supervisor.delete_child("hej").await), ChildError::NotFound);
    supervisor.terminate_child("child1").await.unwrap();
    supervisor.delete_child("child1").await.unwrap();
    assert_eq!(refused(supervisor.restart_child("child1").await), ChildError::NotFound);
    assert_eq!(counts(&supervisor).await, [0, 0, 0, 0]);

    supervisor.start_child(stage.child("child1")).await.unwrap();
    assert_eq!(counts(&supervisor).await, [1, 1, 0, 1]);

    supervisor.shutdown().await;
    assert_eq!(refused(supervisor.start_child(stage.child("x")).await), ChildError::Gone);
    assert_eq!(refused(supervisor.which_children().await), ChildError::Gone);
    assert_eq!(refused(supervisor.count_children().await), ChildError::Gone);
}

#[tokio::test(start_paused = true)]
async fn child_adm_simple() {
    let stage = Stage::new();
    let supervisor = stage.supervisor(flags(Strategy::Dynamic, 2, 3600)).await;
    assert_eq!(counts(&supervisor).await, [0, 0, 0, 0]);
    supervisor.start_child(stage.child("child1")).await.unwrap();
    supervisor.start_child(stage.child("child2")).await.unwrap();
    assert_eq!(counts(&supervisor).await, [2, 2, 0, 2]);

    supervisor.terminate_child("child1").await.unwrap();
    assert_eq!(children(&supervisor).await, named(&[("child2", true)]));
    assert_eq!(refused(supervisor.terminate_child("child1").await), ChildError::NotFound);
    assert_eq!(refused(supervisor.restart_child("child2").await), ChildError::Dynamic);
    assert_eq!(refused(supervisor.delete_child("child2").await), ChildError::Dynamic);
}

/// The children are listed in their order, with how each stands.
#[tokio::test(start_paused = true)]
async fn which_children() {
    let stage = Stage::new();
    let supervisor = stage.supervisor(flags(Strategy::OneForOne, 2, 3600)).await;
    assert_eq!(children(&supervisor).await, named(&[]));
    for key in ["child1", "child2", "child3"] {
        supervisor.start_child(stage.child(key)).await.unwrap();
    }
    supervisor.terminate_child("child2").await.unwrap();
    let expected = named(&[("child1", true), ("child2", false), ("child3", true)]);
    assert_eq!(children(&supervisor).await, expected);
    supervisor.delete_child("child2").await.unwrap();
    assert_eq!(children(&supervisor).await, named(&[("child1", true), ("child3", true)]));
}

#[tokio::test(start_paused = true)]
async fn which_children_simple_one_for_one() {
    let stage = Stage::new();
    let supervisor = stage.supervisor(flags(Strategy::Dynamic, 2, 3600)).await;
    assert_eq!(children(&supervisor).await, named(&[]));
    for key in ["child1", "child2"] {
        supervisor.start_child(stage.child(key)).await.unwrap();
    }
    assert_eq!(children(&supervisor).await, named(&[("child1", true), ("child2", true)]));
    supervisor.terminate_child("child1").await.unwrap();
    assert_eq!(children(&supervisor).await, named(&[("child2", true)]));
}

#[tokio::test(start_paused = true)]
async fn child_specs() {
    let stage = Stage::new();
    let supervisor = stage.supervisor(flags(Strategy::OneForOne, 2, 3600)).await;
    let check = async |policy: ChildPolicy, edges: Edges, expected: SpecError| {
        let child = stage.child("child").with_policy(policy).with_edges(edges);
        let error = refused(supervisor.start_child(child).await);
        assert_eq!(error, ChildError::Invalid(expected));
    };
    let key = || "child".into();
    let significant = |restart| ChildPolicy { significant: true, ..policy(restart) };
    let expected = SpecError::SignificantForNothing { key: key() };
    check(significant(Restart::Transient), Edges::default(), expected).await;
    let shrinking = Backoff { factor: 0.5, ..Backoff::default() };
    let policy = ChildPolicy { backoff: Some(shrinking), ..ChildPolicy::default() };
    check(policy, Edges::default(), SpecError::Backoff { key: key() }).await;
    let itself = Edges { needs: vec![key()], ..Edges::default() };
    check(ChildPolicy::default(), itself, SpecError::NeedsItself { key: key() }).await;

    let error = refused(supervisor.start_child(stage.child("")).await);
    assert_eq!(error, ChildError::Invalid(SpecError::EmptyKey));
    supervisor.start_child(stage.child("taken")).await.unwrap();
    let other = stage.start(SupervisorSpec::new("other")).await;
    let error = refused(other.start_child(stage.child("taken")).await);
    assert!(matches!(error, ChildError::Taken(taken) if taken.supervisor.as_str() == "sup"));
}

/// Which combinations of auto-shutdown, restart type and significance are good.
#[tokio::test(start_paused = true)]
async fn child_specs_map() {
    let stage = Stage::new();
    for auto_shutdown in
        [AutoShutdown::Never, AutoShutdown::AnySignificant, AutoShutdown::AllSignificant]
    {
        for restart in [Restart::Permanent, Restart::Transient, Restart::Temporary] {
            for significant in [false, true] {
                let child = stage.child("child");
                let child = child.with_policy(ChildPolicy { significant, ..policy(restart) });
                let flags = SupervisorFlags { auto_shutdown, ..SupervisorFlags::default() };
                let spec = SupervisorSpec::new("sup").with_flags(flags).with_child(child);
                let good = !significant
                    || (auto_shutdown != AutoShutdown::Never && restart != Restart::Permanent);
                assert_eq!(
                    spec.check().is_ok(),
                    good,
                    "{auto_shutdown:?} {restart:?} {significant}"
                );
            }
        }
    }
    let shutdowns = [Shutdown::Kill, Shutdown::Patient, Shutdown::Within(Duration::ZERO)];
    for shutdown in shutdowns {
        for kind in [ChildKind::Worker, ChildKind::Supervisor] {
            let policy = ChildPolicy { shutdown, kind, ..ChildPolicy::default() };
            let spec = SupervisorSpec::new("sup").with_child(stage.child("c").with_policy(policy));
            spec.check().unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn sup_flags() {
    let stage = Stage::new();
    let intensity = Intensity { restarts: 2, window: Duration::ZERO };
    let flags = SupervisorFlags { intensity, ..SupervisorFlags::default() };
    let spec = SupervisorSpec::new("sup").with_flags(flags);
    assert_eq!(spec.check(), Err(SpecError::ZeroWindow));
    let failure = Supervisor::start(spec, stage.tree.clone()).await.unwrap_err();
    assert_eq!(failure.message, SpecError::ZeroWindow.to_string());
}

#[tokio::test(start_paused = true)]
async fn count_children() {
    let stage = Stage::new();
    let supervisor = stage.supervisor(flags(Strategy::Dynamic, 2, 3600)).await;
    let start = async |range: std::ops::Range<u32>| {
        for n in range {
            let child = stage.child(&format!("child{n}")).with_policy(policy(Restart::Temporary));
            supervisor.start_child(child).await.unwrap();
        }
    };
    start(0..100).await;
    assert_eq!(counts(&supervisor).await, [100, 100, 0, 100]);
    start(100..200).await;
    assert_eq!(counts(&supervisor).await, [200, 200, 0, 200]);
    assert_eq!(supervisor.which_children().await.unwrap().len(), 200);
    for n in 0..200 {
        stage.end(&format!("child{n}"), genii_supervision::ExitReason::Killed).await;
    }
    stage.until("all are forgotten", || stage.told("removed").len() == 200).await;
    assert_eq!(counts(&supervisor).await, [0, 0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn count_children_supervisor() {
    let stage = Stage::new();
    let supervisor = stage.supervisor(flags(Strategy::Dynamic, 2, 3600)).await;
    for n in 0..50 {
        let child = SupervisorSpec::new(format!("sup{n}")).into_child(ChildPolicy::supervisor());
        supervisor.start_child(child).await.unwrap();
    }
    assert_eq!(counts(&supervisor).await, [50, 50, 50, 0]);
}

/// Children that are being restarted are counted, but not as active.
#[tokio::test(start_paused = true)]
async fn count_restarting_children() {
    let stage = Stage::new();
    let supervisor = stage.supervisor(flags(Strategy::Dynamic, 20, 10)).await;
    let backoff = Backoff { first: Duration::from_secs(2), ..Backoff::default() };
    let patient = ChildPolicy { backoff: Some(backoff), ..policy(Restart::Permanent) };
    for key in ["child1", "child2", "child3"] {
        let child = stage.child(key).with_policy(patient.clone());
        supervisor.start_child(child).await.unwrap();
    }
    stage.end("child1", abnormal()).await;
    stage.end("child2", abnormal()).await;
    stage.until("both are down", || stage.told("restarting").len() == 2).await;
    assert_eq!(counts(&supervisor).await, [3, 1, 0, 3]);
    stage.reborn("child1", 1).await;
    stage.reborn("child2", 2).await;
    assert_eq!(counts(&supervisor).await, [3, 3, 0, 3]);
    supervisor.terminate_child("child3").await.unwrap();
    assert_eq!(counts(&supervisor).await, [2, 2, 0, 2]);
}

fn asked(restart: Restart) -> ChildPolicy {
    policy(restart)
}

/// What is left of a spec after its child ended in different ways.
#[tokio::test(start_paused = true)]
async fn do_not_save_child_specs_for_temporary_children() {
    for strategy in [Strategy::OneForOne, Strategy::OneForAll, Strategy::RestForOne] {
        for reason in [genii_supervision::ExitReason::Killed, shutdown(), abnormal()] {
            let stage = Stage::new();
            let supervisor = stage.supervisor(flags(strategy, 2, 3600)).await;
            let temporary = || stage.child("child").with_policy(asked(Restart::Temporary));
            supervisor.start_child(temporary()).await.unwrap();
            stage.end("child", reason).await;
            stage.until("it is forgotten", || stage.status("child").is_none()).await;
            supervisor.start_child(temporary()).await.unwrap();
            supervisor.terminate_child("child").await.unwrap();
            supervisor.start_child(temporary()).await.unwrap();
        }
    }
}

/// What a temporary child was started with is let go as soon as it runs.
#[tokio::test(start_paused = true)]
async fn do_not_save_start_parameters_for_temporary_children() {
    for (restart, kept) in [(Restart::Permanent, true), (Restart::Temporary, false)] {
        let stage = Stage::new();
        let supervisor = stage.supervisor(flags(Strategy::OneForOne, 2, 3600)).await;
        let child = stage.child("child").with_policy(asked(restart));
        let start = std::sync::Arc::downgrade(&child.start);
        supervisor.start_child(child).await.unwrap();
        tokio::task::yield_now().await;
        assert_eq!(start.upgrade().is_some(), kept, "{restart:?}");
    }
}
