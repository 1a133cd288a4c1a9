//! What may happen between two steps of a node, on threads of their own.

use std::sync::Barrier;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use genii_protocols::frame::{Control, Joined, Stand, Standing, Told};
use genii_protocols::{Name, NodeName};
use genii_supervision::Status;
use tokio::runtime::Runtime;

use super::*;
use crate::link::lane;
use crate::link::outbox::{Batches, Outbox};
use crate::link::simulated::Waters;
use crate::node::NodeOptions;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often what happens together is tried.
const ROUNDS: usize = 20_000;

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

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

fn frame_bytes(frame: &Control<'_>) -> Bytes {
    let mut bytes = BytesMut::new();
    lane::put(&mut bytes, frame).unwrap();
    bytes.freeze()
}

/// What comes on a lane: these frames, and then nothing.
fn lane_of(frames: &[Control<'_>]) -> Frames {
    let batches: Vec<_> = frames.iter().map(|frame| Ok(frame_bytes(frame))).collect();
    Frames::new(stream::iter(batches).chain(stream::pending()).boxed())
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

/// Fills what waits to be sent, so that nothing more finds room.
fn fill(outbox: &Outbox) {
    while outbox.write(|buffer| lane::put(buffer, &Control::Ping(0))).is_ok() {}
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_comes_while_all_are_being_told_of_stays_known() {
    let (_other, heard) = node("pc2");
    let (node, cluster) = node("main");
    let (old, new) = (address("main/old"), address("main/new"));
    node.declare(&old, None, None);
    let outbox = Outbox::new(1 << 10);
    let tells = Arc::new(Link::new(name("pc2"), 1, outbox.clone(), Outbox::new(1)));
    cluster.0.peer(&name("pc2")).state.lock().link = Some(tells.clone());
    let mut lane = Batches::at_once(&outbox);
    fill(&outbox);
    standings::tell_all(&cluster.0, &node, &tells);
    tokio::task::yield_now().await;
    // There is room, and whoever comes first has it.
    let mut told = BytesMut::from(lane.next().await.unwrap());
    node.declare(&new, None, None);
    node.tree().stand_elsewhere(&Key::from(new.shared()), 1, Status::Ready);
    let is_over = |told: &BytesMut| told.ends_with(&frame_bytes(&Control::AllTold));
    while !is_over(&told) {
        told.extend(lane.next().await.unwrap());
    }
    let hears = Arc::new(Link::new(name("main"), 1, Outbox::new(1), Outbox::new(1)));
    let peer = heard.0.peer(&name("main"));
    peer.state.lock().link = Some(hears.clone());
    let mut frames = Frames::new(stream::iter([Ok(told.freeze())]).boxed());
    frames.more().await.unwrap();
    let heed = |frame: &[u8]| tending::heed(&heard.0, &peer, &hears, frame);
    frames.each(|frame| heed(frame).map(|_| ())).unwrap();
    for address in [&old, &new] {
        assert!(heard.find(address).is_some(), "{address} is not known");
    }
}

/// A life of pc2 that is heard of, as by a link.
fn pc2() -> Arc<Link> {
    Arc::new(Link::new(name("pc2"), 1, Outbox::new(1), Outbox::new(1)))
}

/// It is heard that an agent of pc2 is ready.
fn hear_ready(cluster: &Cluster, from: &Link, address: &Address) {
    let stand = Stand {
        address: address.as_str().into(),
        incarnation: 1,
        standing: Standing::Ready,
        detail: "".into(),
    };
    let mut told = standings::Told::default();
    standings::learn(&cluster.0, from, &mut told, false, &[stand]).unwrap();
}

fn stands(node: &Node, address: &Address) -> Status {
    node.tree().board.view(address.as_str()).unwrap().status
}

#[test]
fn an_agent_that_is_told_of_while_it_is_declared_is_not_waited_for() {
    let runtime = Runtime::new().unwrap();
    let _within = runtime.enter();
    let (node, cluster) = node("main");
    let lamps = (0..ROUNDS).map(|number| address(&format!("pc2/lamp{number}")));
    let lamps: Vec<Address> = lamps.collect();
    let (together, home) = (Barrier::new(2), name("pc2"));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for lamp in &lamps {
                together.wait();
                node.declare(lamp, None, Some(&home));
            }
        });
        let pc2 = pc2();
        for lamp in &lamps {
            together.wait();
            hear_ready(&cluster, &pc2, lamp);
        }
    });
    for lamp in &lamps {
        assert_eq!(stands(&node, lamp), Status::Ready, "{lamp}");
    }
}

#[test]
fn an_agent_that_is_told_of_while_it_is_given_up_is_there() {
    let runtime = Runtime::new().unwrap();
    let _within = runtime.enter();
    let (node, cluster) = node("main");
    let (lamp, home) = (address("pc2/lamp"), name("pc2"));
    node.declare(&lamp, None, Some(&home));
    assert_eq!(stands(&node, &lamp), Status::Waiting);
    std::thread::scope(|scope| {
        // Whoever looks whether pc2 is linked waits.
        let middle = cluster.0.peers.write();
        scope.spawn(|| standings::give_up_on(&cluster.0, &node, &lamp, &home));
        std::thread::sleep(Duration::from_millis(100));
        scope.spawn(|| hear_ready(&cluster, &pc2(), &lamp));
        std::thread::sleep(Duration::from_millis(100));
        drop(middle);
    });
    assert_eq!(stands(&node, &lamp), Status::Ready);
}
