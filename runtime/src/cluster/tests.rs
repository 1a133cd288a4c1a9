//! What may happen between two steps of a node, on threads of their own.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use genii_protocols::frame::{Control, Joined, Told};
use genii_protocols::{Name, NodeName};
use tokio::runtime::Runtime;

use super::*;
use crate::link::lane;
use crate::link::outbox::Outbox;
use crate::link::simulated::Waters;
use crate::node::NodeOptions;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(10);

fn name(text: &str) -> NodeName {
    NodeName::new(text).unwrap()
}

/// A node that hears nothing of others but what a test says.
fn node(own: &str) -> (Node, Cluster) {
    let node = Node::new(NodeOptions::new(name(own)));
    let waters = Waters::new(1, (Duration::ZERO, Duration::ZERO));
    let forever = Duration::from_secs(3_600);
    let timing = Timing { suspect: forever, down: forever, ..Timing::default() };
    let cluster = Cluster::begin(&node, waters.harbour(&name(own)), timing, 1);
    (node, cluster)
}

/// What comes on a lane: these frames, and then nothing.
fn lane_of(frames: &[Control<'_>]) -> Frames {
    let mut bytes = BytesMut::new();
    for frame in frames {
        lane::put(&mut bytes, frame).unwrap();
    }
    Frames::new(stream::iter([Ok(Bytes::from(bytes))]).chain(stream::pending()).boxed())
}

/// A life of pc2 is linked, and says this.
fn link(cluster: &Cluster, life: u64, says: &[Control<'_>]) {
    let outbox = || Outbox::new(1 << 20);
    let link = Link::new(name("pc2"), life, outbox(), outbox());
    let linked = cluster.0.establish(link, lane_of(says), lane_of(&[]));
    assert!(linked.is_ok());
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = std::time::Instant::now() + PATIENCE;
    while !is_so() {
        assert!(std::time::Instant::now() < deadline, "never came true: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn what_a_node_tells_when_it_is_back_is_not_forgotten_with_what_it_told_before() {
    let runtime = Runtime::new().unwrap();
    let _within = runtime.enter();
    let (node, cluster) = node("main");
    link(&cluster, 1, &[]);
    let peer = cluster.0.peer(&name("pc2"));
    let first = cluster.link(&name("pc2")).unwrap();
    let ears = Name::new("ears").unwrap();
    let joined =
        Joined { group: "ears".into(), address: "pc2/ear".into(), incarnation: 1, times: 1 };
    let joined = Control::Groups { told: Told::First(1), members: vec![joined] };
    std::thread::scope(|scope| {
        // It is in the middle of forgetting.
        let middle = cluster.changing();
        let lost = scope.spawn(|| {
            let _within = runtime.enter();
            cluster.0.lost(&peer, &first, Membership::Down, &End::Closed);
        });
        until("it is being lost", || first.is_over());
        let back = scope.spawn(|| {
            let _within = runtime.enter();
            link(&cluster, 2, &[joined]);
        });
        // Time enough to be linked, and heard.
        std::thread::sleep(Duration::from_millis(100));
        drop(middle);
        lost.join().unwrap();
        back.join().unwrap();
    });
    assert_eq!(cluster.members()[0].membership, Membership::Alive);
    until("its member is known", || node.group_members(&ears).len() == 1);
}
