//! How soon a node that is silent is suspected, and held to be down: on a simulated network and the
//! paused clock, wherever between two pings it falls silent.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use genii_protocols::NodeName;
use genii_runtime::cluster::{Cluster, Membership, Timing};
use genii_runtime::link::simulated::Waters;
use genii_runtime::{Node, NodeOptions};
use tokio::time::Instant;

/// How long a message is on its way at most.
const DELAY: Duration = Duration::from_millis(2);

/// How finely time is looked at.
const LOOK: Duration = Duration::from_millis(1);

fn name(text: &str) -> NodeName {
    NodeName::new(text).unwrap()
}

fn boot(waters: &Waters, own: &str) -> (Node, Cluster) {
    let node = Node::new(NodeOptions::new(name(own)));
    let cluster = Cluster::begin(&node, waters.harbour(&name(own)), Timing::default(), 1);
    (node, cluster)
}

async fn until(cluster: &Cluster, is_so: impl Fn(Membership) -> bool) -> Instant {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !cluster.members().iter().any(|it| is_so(it.membership)) {
        assert!(Instant::now() < deadline, "{:?}", cluster.members());
        tokio::time::sleep(LOOK).await;
    }
    Instant::now()
}

#[tokio::test(start_paused = true)]
async fn silence_is_noticed_in_time_wherever_it_begins() {
    let timing = Timing::default();
    for phase in 0..50 {
        let waters = Waters::new(phase, (Duration::from_micros(50), DELAY));
        let ((_main, main), (_pc2, pc2)) = (boot(&waters, "main"), boot(&waters, "pc2"));
        main.meet(&name("pc2"), &[]);
        pc2.meet(&name("main"), &[]);
        until(&main, |it| it == Membership::Alive).await;
        tokio::time::sleep(Duration::from_millis(500 + 2 * phase)).await;
        let cut = Instant::now();
        waters.cut(&name("main"), &name("pc2"));
        let suspected = until(&main, |it| it == Membership::Suspect).await - cut;
        let down = until(&main, |it| it == Membership::Down).await - cut;
        // What was on its way may still come.
        let [least, most] = [2 * (LOOK + DELAY) + timing.ping, 2 * (LOOK + DELAY)];
        assert!(suspected + least > timing.suspect, "{phase}: {suspected:?}");
        assert!(suspected < timing.suspect + most, "{phase}: {suspected:?}");
        assert!(down + least > timing.down, "{phase}: {down:?}");
        assert!(down < timing.down + most, "{phase}: {down:?}");
        main.end();
        pc2.end();
    }
}
