//! Supervisors and children as the dice make them.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::spec::{
    Backoff, ChildPolicy, ChildSpec, Edges, GiveUp, Intensity, Key, Restart, Shutdown, StartOrder,
    Strategy, SupervisorFlags,
};
use crate::start::{Place, Start, StartError, Started};

pub(super) fn random_flags(dice: &mut fastrand::Rng) -> SupervisorFlags {
    SupervisorFlags {
        strategy: *dice
            .choice(&[Strategy::OneForOne, Strategy::OneForAll, Strategy::RestForOne])
            .expect("there are three"),
        intensity: Intensity {
            restarts: dice.u32(..6),
            window: Duration::from_millis(dice.u64(1..20_000)),
        },
        start_order: if dice.bool() { StartOrder::Graph } else { StartOrder::Sequential },
        ..SupervisorFlags::default()
    }
}

/// Children need only what comes before them, so that there is no cycle, also not with the order
/// of a sequence.
pub(super) fn random_child(dice: &mut fastrand::Rng, number: usize) -> ChildSpec {
    let name = |number: usize| Key::from(format!("child-{number}"));
    let mut edges = Edges::default();
    for _ in 0..dice.usize(..4).min(number) {
        let other = name(dice.usize(..number));
        match dice.u8(..6) {
            0 => edges.wants.push(other),
            1 => edges.binds.push(other),
            2 => edges.fallback = Some(other),
            _ => edges.needs.push(other),
        }
    }
    let policy = ChildPolicy {
        restart: *dice
            .choice(&[Restart::Permanent, Restart::Permanent, Restart::Transient])
            .expect("there are three"),
        shutdown: if dice.u8(..5) == 0 {
            Shutdown::Kill
        } else {
            Shutdown::Within(Duration::from_secs(2))
        },
        start_timeout: Some(Duration::from_millis(dice.u64(150..2_000))),
        required: dice.u8(..5) == 0,
        backoff: dice.bool().then(|| Backoff { cap: Duration::from_secs(3), ..Backoff::default() }),
        give_up: if dice.u8(..4) == 0 { GiveUp::Escalate } else { GiveUp::Quarantine },
        ..ChildPolicy::default()
    };
    ChildSpec::new(name(number), Arc::new(Never)).with_policy(policy).with_edges(edges)
}

/// Children of a world are not started by their spec but by the world.
struct Never;

impl Start for Never {
    fn start(&self, _: Place) -> BoxFuture<'static, Result<Started, StartError>> {
        Box::pin(async { unreachable!("the world starts its children itself") })
    }
}
