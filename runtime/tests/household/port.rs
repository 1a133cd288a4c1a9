//! What comes to the port and does not belong there: it is dropped, counted, and keeps nobody out.

use std::time::SystemTime;

use futures_util::StreamExt;
use genii_protocols::household::JoinRequest;
use genii_protocols::household::household_client::HouseholdClient;
use genii_runtime::link::network::{Lane, Network};
use genii_runtime::link::tls_network::TlsNetwork;
use genii_runtime::trust::{Request, TurnedAway};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::nodes::{HOUR, Household, PATIENCE, Running, name};
use crate::wire;

async fn until_counted(node: &Running, why: TurnedAway, count: u64) {
    node.until(&format!("{count} of {}", why.word()), || node.credentials.tally().of(why) >= count)
        .await;
}

/// Another machine joins, over the port.
async fn joins(household: &Household, main: &Running, node: &str) {
    let secret = household.authority.invite(&name(node), HOUR, SystemTime::now()).unwrap();
    let channel = wire::channel(wire::stranger(household, main).await).await;
    let request = Request::new().unwrap().der().to_vec();
    let joining = JoinRequest { secret: secret.bytes().to_vec(), request };
    let joined = tokio::time::timeout(PATIENCE, HouseholdClient::new(channel).join(joining)).await;
    assert_eq!(joined.unwrap().unwrap().into_inner().node, "main");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handshakes_that_do_not_end_keep_nobody_out() {
    let household = Household::new();
    household.admit("b");
    let (main, b) = (household.begin("main").await, household.begin("b").await);
    let mut slow = Vec::new();
    for _ in 0..200 {
        let mut stream = TcpStream::connect(main.listener.at()).await.unwrap();
        // The first bytes of a handshake, and never the rest.
        stream.write_all(b"\x16\x03\x01").await.unwrap();
        slow.push(stream);
    }
    b.meet(&main);
    b.until_linked("main").await;
    joins(&household, &main, "c").await;
    until_counted(&main, TurnedAway::Crowded, 200 - 64).await;
    // Those that are left end by themselves.
    until_counted(&main, TurnedAway::Slow, 1).await;
    assert!(b.is_linked("main"));
    for mut stream in slow {
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
        assert!(ended.is_ok() && rest.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_within_tls_is_dropped_and_counted() {
    let household = Household::new();
    let (b, c) = (household.admit("b"), household.admit("c"));
    drop(c);
    let (main, c) = (household.begin("main").await, household.begin("c").await);
    c.meet(&main);
    c.until_linked("main").await;
    let garbage: [&[u8]; 3] = [
        b"GET / HTTP/1.1\r\n\r\n",
        &[0; 70_000],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    ];
    for (count, garbage) in (1..).zip(garbage) {
        for mut stream in [wire::stranger(&household, &main).await, wire::node(&b, &main).await] {
            let _may_end_before = stream.write_all(garbage).await;
            let _may_end_before = stream.flush().await;
            let mut rest = Vec::new();
            let ended = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
            assert!(ended.is_ok() && rest.len() < 1_000);
        }
        until_counted(&main, TurnedAway::Idle, 2 * count).await;
    }
    assert!(c.is_linked("main"));
    joins(&household, &main, "d").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_of_strangers_and_of_each_node_are_bounded() {
    let household = Household::new();
    let (b, _) = (household.admit("b"), household.admit("c"));
    let (main, c) = (household.begin("main").await, household.begin("c").await);
    c.meet(&main);
    c.until_linked("main").await;
    let (mut strangers, mut nodes) = (Vec::new(), Vec::new());
    for _ in 0..40 {
        strangers.push(wire::stranger(&household, &main).await);
        nodes.push(wire::node(&b, &main).await);
    }
    until_counted(&main, TurnedAway::Strangers, 40 - 16).await;
    until_counted(&main, TurnedAway::TooMany, 40 - 16).await;
    // The oldest were ended.
    for mut stream in strangers.into_iter().chain(nodes).step_by(40) {
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
        assert!(ended.is_ok());
    }
    assert!(c.is_linked("main"));
    joins(&household, &main, "d").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_speaks_nonsense_is_dropped_and_counted() {
    let household = Household::new();
    household.admit("b");
    let main = household.begin("main").await;
    let opens = tokio::sync::mpsc::channel(1).1;
    let network = TlsNetwork::new(&household.path("b"), name("b"), Vec::new(), opens);
    network.learn(&name("main"), &[main.listener.at().to_string()]);
    // A frame that is announced too large; one that has no form; one that comes too early.
    let garbage: [&[u8]; 3] = [&[255; 64], &[2, 0, 0, 0, 99, 99], &[1, 0, 0, 0, 6]];
    for (count, garbage) in (1..).zip(garbage) {
        for lane in [Lane::Control, Lane::Data] {
            let sent = futures_util::stream::iter([garbage.to_vec().into()]);
            let opened = network.open(
                &name("main"),
                lane,
                sent.chain(futures_util::stream::pending()).boxed(),
            );
            let opened = tokio::time::timeout(PATIENCE, opened).await.unwrap();
            assert!(opened.is_err());
        }
        until_counted(&main, TurnedAway::Nonsense, 2 * count).await;
    }
    assert!(main.sees("b").is_none_or(|b| b.incarnation == 0));
}
