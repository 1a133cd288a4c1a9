//! The process of a being: a node on which it lives alone, linked to its annex and to nobody else.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use genii_protocols::{Json, NodeName};
use genii_runtime::cluster::Cluster;
use genii_runtime::link::network::Network;
use genii_runtime::link::tls_network::TlsNetwork;
use genii_runtime::{Node, NodeOptions};
use genii_storage::index::threads;
use genii_supervision::{
    ChildPolicy, Failure, FailureKind, Intensity, Key, Shutdown, Supervisor, SupervisorFlags,
    SupervisorSpec,
};
use tokio::sync::mpsc;

use super::annex;
use super::dead_letters::Teller;
use super::desk::{self, Desk};
pub use super::lease::Lease;
use super::lease::Outcome;
use crate::being::{Being, embedding};

/// The word that makes this program the process of a being; the folder of its lease comes after it.
pub const WORD: &str = "live-as-tenant";

/// How many threads it has for the being; each other library is held to as few.
pub const THREADS: usize = 2;

/// How much it is nicer to the other processes of the machine than genii is.
pub const NICE: i32 = 5;

/// What is set for the libraries of a process, which would make a thread for each core otherwise, and for
/// the allocator of glibc, which keeps an arena for each thread: with two, a being that is told much takes a
/// third less memory, and a sixth more time.
pub(super) const ENVIRONMENT: [(&str, &str); 4] = [
    threads::SETTING,
    ("LANCE_IO_THREADS", "2"),
    ("RAYON_NUM_THREADS", "1"),
    ("MALLOC_ARENA_MAX", "2"),
];

/// How long the being may take to end in good order: less than its process.
const STOP_PATIENCE: Duration = Duration::from_secs(9);

/// A being that fails ends its process: it is its supervisor in the house that decides.
const NO_RESTARTS: Intensity = Intensity { restarts: 0, window: Duration::from_secs(1) };

/// The name of this end.
pub(super) fn name() -> NodeName {
    NodeName::new("tenant").expect("it is the name of a node")
}

/// Lets a being live here until `stop`, or until it fails, which is then said in its folder; whether it
/// has ended in good order.
pub async fn live(lease: Lease, folder: &Path, stop: impl Future<Output = ()>) -> bool {
    let Err(failure) = live_or_fail(lease, folder, stop).await else { return true };
    tracing::error!("{failure}");
    if let Err(error) = Outcome::of(&failure).write(folder) {
        tracing::error!("why it fails cannot be said: {error}");
    }
    false
}

async fn live_or_fail(
    lease: Lease,
    folder: &Path,
    stop: impl Future<Output = ()>,
) -> Result<(), Arc<Failure>> {
    let node = Node::new(NodeOptions::new(name()));
    let key = Key::from(lease.being.shared());
    // What the supervisor says is that it could not go on; why is what the being says.
    let why = |failure: Arc<Failure>| {
        node.tree().crashes.last(&key).map_or(failure, |crash| crash.failure.clone())
    };
    let embedder = embedding::choose(&node, &lease.embedder).await;
    embedder.map_err(|error| Arc::new(Failure::new(FailureKind::Start, error.to_string())))?;
    let settings = Json(serde_json::json!({ "folder": lease.folder }));
    let being = node.agent::<Being>(&lease.being, settings).with_policy(ChildPolicy {
        shutdown: Shutdown::Within(STOP_PATIENCE),
        ..ChildPolicy::default()
    });
    // Before the being, so that it goes after that.
    let desk = node.agent::<Desk>(&desk::address(), desk::settings(&lease.being));
    let spec = SupervisorSpec::new("tenant")
        .with_flags(SupervisorFlags { intensity: NO_RESTARTS, ..SupervisorFlags::default() })
        .with_child(desk)
        .with_child(being);
    let root = Supervisor::start(spec, node.tree().clone()).await.map_err(&why)?;
    let cluster = link(&node, &lease, folder);
    let mut teller = Teller::new(&node);
    let ended = tokio::select! {
        reason = root.ended() => reason.failure().map_or(Ok(()), |failure| Err(why(failure))),
        () = stop => {
            let _in_good_order = root.shutdown().await;
            Ok(())
        }
        never = teller.tell() => match never {},
    };
    let untold = teller.tell_rest().await;
    if untold > 0 {
        tracing::warn!(untold, "dead letters of this being do not stand among those of genii");
    }
    // What the being has answered, and how it has ended, is still said.
    cluster.leave().await;
    ended
}

/// Links this node to its annex.
fn link(node: &Node, lease: &Lease, folder: &Path) -> Cluster {
    let nobody_opens = mpsc::channel(1).1;
    let network = TlsNetwork::new(folder, name(), Vec::new(), nobody_opens);
    network.learn(&annex::own_name(), std::slice::from_ref(&lease.annex));
    let timing = annex::timing(lease.limits.answer_within.0);
    Cluster::begin(node, Arc::new(network), timing, annex::began())
}

/// A failure of what comes before the being, which is said in its folder.
pub fn fail(folder: &Path, message: String) {
    let failure = Failure::new(FailureKind::Start, message);
    if let Err(error) = Outcome::of(&failure).write(folder) {
        tracing::error!("why it fails cannot be said: {error}");
    }
}

#[cfg(test)]
mod tests;
