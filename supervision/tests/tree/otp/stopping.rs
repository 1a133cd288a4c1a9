//! Group `sup_stop`.

use std::time::Duration;

use genii_supervision::{ChildPolicy, ExitReason, Restart, Shutdown, Strategy};

use crate::puppet::*;

fn stopped_by(shutdown: Shutdown) -> ChildPolicy {
    ChildPolicy { shutdown, ..policy(Restart::Permanent) }
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn sup_stop_infinity() {
    let stage = Stage::new();
    let supervisor = stage.supervisor(flags(Strategy::OneForOne, 2, 3600)).await;
    let slow = Script::on_stop(OnStop::After(Duration::from_secs(3_000)));
    let child = stage.scripted("child1", slow).with_policy(stopped_by(Shutdown::Patient));
    supervisor.start_child(child).await.unwrap();
    supervisor.start_child(stage.child("child2")).await.unwrap();
    let before = tokio::time::Instant::now();
    assert_eq!(supervisor.shutdown().await, shutdown());
    assert!(before.elapsed() >= Duration::from_secs(3_000));
    assert_eq!(stage.last_stop("child1"), shutdown());
}

async fn one_of_two_does_not_hear(strategy: Strategy) {
    let stage = Stage::new();
    let supervisor = stage.supervisor(flags(strategy, 2, 3600)).await;
    for key in ["child1", "child2"] {
        let child = stage.child(key).with_policy(stopped_by(Shutdown::Within(SECOND)));
        supervisor.start_child(child).await.unwrap();
    }
    stage.puppet("child2").cast(Order::Sleep(Duration::from_secs(200))).unwrap();
    tokio::task::yield_now().await;
    let before = tokio::time::Instant::now();
    assert_eq!(supervisor.shutdown().await, shutdown());
    assert_eq!(before.elapsed(), SECOND);
    assert_eq!(stage.last_stop("child1"), shutdown());
    assert_eq!(stage.last_stop("child2"), ExitReason::Killed);
}

#[tokio::test(start_paused = true)]
async fn sup_stop_timeout() {
    one_of_two_does_not_hear(Strategy::OneForOne).await;
}

#[tokio::test(start_paused = true)]
async fn sup_stop_timeout_dynamic() {
    one_of_two_does_not_hear(Strategy::Dynamic).await;
}

#[tokio::test(start_paused = true)]
async fn sup_stop_brutal_kill() {
    let stage = Stage::new();
    let supervisor = stage.supervisor(flags(Strategy::OneForOne, 2, 3600)).await;
    supervisor.start_child(stage.child("child1")).await.unwrap();
    let child = stage.child("child2").with_policy(stopped_by(Shutdown::Kill));
    supervisor.start_child(child).await.unwrap();
    supervisor.shutdown().await;
    assert_eq!(stage.last_stop("child1"), shutdown());
    assert_eq!(stage.last_stop("child2"), ExitReason::Killed);
}

#[tokio::test(start_paused = true)]
async fn sup_stop_brutal_kill_dynamic() {
    let stage = Stage::new();
    let supervisor = stage.supervisor(flags(Strategy::Dynamic, 2, 3600)).await;
    let keys: Vec<String> = (0..10).map(|n| format!("child{n}")).collect();
    for key in &keys {
        let child = stage.child(key).with_policy(stopped_by(Shutdown::Kill));
        supervisor.start_child(child).await.unwrap();
    }
    assert_eq!(supervisor.shutdown().await, shutdown());
    for key in &keys {
        assert_eq!(stage.last_stop(key), ExitReason::Killed);
    }
}

fn own_reasons() -> [ExitReason; 4] {
    [ExitReason::Normal, shutdown(), ExitReason::shutdown("test"), abnormal()]
}

/// Children that end by themselves while the supervisor stops do not disturb it.
#[tokio::test(start_paused = true)]
async fn sup_stop_race() {
    let stage = Stage::new();
    let supervisor = stage.supervisor(flags(Strategy::OneForOne, 2, 3600)).await;
    supervisor.start_child(stage.child("a")).await.unwrap();
    let mut racers = Vec::new();
    for restart in [Restart::Temporary, Restart::Transient, Restart::Permanent] {
        for reason in own_reasons() {
            let key = format!("racer{}", racers.len());
            let child = stage.child(&key).with_policy(policy(restart));
            supervisor.start_child(child).await.unwrap();
            racers.push((key, reason));
        }
    }
    let slow = Script::on_stop(OnStop::After(SECOND));
    let last = stage.scripted("z", slow).with_policy(stopped_by(Shutdown::Within(2 * SECOND)));
    supervisor.start_child(last).await.unwrap();

    let stopping = tokio::spawn(async move { supervisor.shutdown().await });
    stage.until("the last is stopping", || stage.told("stopping") == ["z"]).await;
    for (key, reason) in &racers {
        stage.end(key, reason.clone()).await;
    }
    assert_eq!(stopping.await.unwrap(), shutdown());
    for (key, reason) in &racers {
        assert_eq!(stage.last_stop(key), *reason);
    }
    assert_eq!(stage.last_stop("a"), shutdown());
}

#[tokio::test(start_paused = true)]
async fn sup_stop_non_shutdown_exit_dynamic() {
    for restart in [Restart::Temporary, Restart::Transient, Restart::Permanent] {
        let stage = Stage::new();
        let supervisor = stage.supervisor(flags(Strategy::Dynamic, 2, 3600)).await;
        for (n, reason) in own_reasons().into_iter().enumerate() {
            let script = Script::on_stop(OnStop::With(reason));
            let child = stage.scripted(&format!("child{n}"), script).with_policy(policy(restart));
            supervisor.start_child(child).await.unwrap();
        }
        assert_eq!(supervisor.shutdown().await, shutdown());
        for (n, reason) in own_reasons().into_iter().enumerate() {
            assert_eq!(stage.last_stop(&format!("child{n}")), reason);
        }
    }
}

/// A child that neither stops nor dies is left behind, and its supervisor ends all the same.
#[tokio::test(start_paused = true)]
async fn child_unlink() {
    let stage = Stage::new();
    let supervisor = stage.supervisor(flags(Strategy::OneForOne, 2, 3600)).await;
    supervisor.start_child(stage.child("naughty")).await.unwrap();
    stage.puppet("naughty").cast(Order::Unlink).unwrap();
    tokio::task::yield_now().await;
    supervisor.terminate_child("naughty").await.unwrap();
    assert_eq!(counts(&supervisor).await, [1, 0, 0, 1]);
    assert_eq!(supervisor.shutdown().await, shutdown());
}
