//! Who is expelled on one machine is refused by all.

use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use futures_util::StreamExt;
use genii_protocols::frame::{Control, Data, Hello};
use genii_protocols::wire as form;
use genii_runtime::link::network::{Lane, Network};
use genii_runtime::link::tls_network::TlsNetwork;
use genii_runtime::trust::credentials::Credentials;
use genii_runtime::trust::{Expelled, Identity, TurnedAway};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;

use crate::nodes::{Household, name};
use crate::wire;

/// Expels a node, and says the list that tells of it.
fn expel(household: &Household, node: &str) -> Vec<u8> {
    household.authority.expel(&name(node), SystemTime::now()).unwrap().list.unwrap()
}

/// Three nodes, of which the second is linked with both others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_expelled_on_one_machine_is_refused_by_all() {
    let household = Household::new();
    household.admit("b");
    household.admit("c");
    let (main, b, c) =
        (household.begin("main").await, household.begin("b").await, household.begin("c").await);
    b.meet(&main);
    c.meet(&b);
    b.until_linked("main").await;
    b.until_linked("c").await;

    let began = Instant::now();
    household.authority.expel(&name("c"), SystemTime::now()).unwrap();
    b.until_lost("c", "expelled").await;
    // A tenth of a second for each hand through which it goes; much more where cores are busy.
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!((main.list(), b.list()), (1, 1));
    assert!(b.is_linked("main") && main.is_linked("b"));
    // It is kept, and refuses also after another start.
    b.until("the list to be kept", || {
        Identity::open(&household.path("b")).unwrap().unwrap().expelled().number() == 1
    })
    .await;
    b.end().await;
    let b = household.begin("b").await;
    assert_eq!(b.list(), 1);
    // It is let in again by another invitation, also where only the old one was known.
    std::fs::remove_dir_all(household.path("c")).unwrap();
    household.admit("c");
    c.end().await;
    let c = household.begin("c").await;
    c.meet(&b);
    b.until_linked("c").await;
}

/// A connection that was opened before is of no use to a machine that was expelled, and does no harm to
/// the one that was given its name since.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_expelled_opens_no_lane_on_a_connection_of_before() {
    let household = Household::new();
    let before = household.admit("b");
    let main = household.begin("main").await;
    let mut channel = wire::channel(wire::node(&before, &main).await).await;
    assert_eq!(wire::refusal_of_lane(&mut channel).await.code(), Code::Aborted);
    household.authority.expel(&name("b"), SystemTime::now()).unwrap();
    std::fs::remove_dir_all(household.path("b")).unwrap();
    household.admit("b");
    let b = household.begin("b").await;
    b.meet(&main);
    b.until_linked("main").await;
    main.until_linked("b").await;
    let refused = wire::refusal_of_lane(&mut channel).await;
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert!(refused.message().contains("expelled"), "{refused}");
    assert_eq!(main.credentials.tally().of(TurnedAway::Expelled), 1);
    // Where cores are busy one may suspect the other for a moment.
    main.until_linked("b").await;
    b.until_linked("main").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_away_learns_it_from_whom_it_meets_first() {
    let household = Household::new();
    for node in ["b", "c", "d"] {
        household.admit(node);
    }
    // Nobody but the authority knows of it, and it is gone before the others come.
    household.authority.expel(&name("c"), SystemTime::now()).unwrap();
    let main = household.begin("main").await;
    let d = household.begin("d").await;
    d.meet(&main);
    d.until("d to hear of it", || d.list() == 1).await;
    main.end().await;
    let (b, c) = (household.begin("b").await, household.begin("c").await);
    c.meet(&b);
    b.until_linked("c").await;
    b.meet(&d);
    b.until_lost("c", "expelled").await;
    assert!(b.is_linked("d"));
    // Who has the older list tells nobody of it.
    assert_eq!(d.credentials.tally().of(TurnedAway::OldList), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forged_or_older_list_is_refused_and_counted() {
    let (household, other) = (Household::new(), Household::new());
    household.admit("b");
    other.admit("b");
    household.authority.expel(&name("b"), SystemTime::now()).unwrap();
    let old = Identity::open(&household.path("main")).unwrap().unwrap().expelled().clone();
    household.admit("b");
    household.authority.expel(&name("b"), SystemTime::now()).unwrap();
    let main = household.begin("main").await;
    assert_eq!(main.list(), 2);
    let refused = |list: &[u8]| main.credentials.learn_list(list);
    assert!(!refused(old.list()).unwrap());
    let mut forged = Vec::new();
    for _ in 0..3 {
        forged = expel(&other, "b");
    }
    assert_eq!(Expelled::read(&forged).unwrap().number(), 3);
    assert!(refused(&forged).unwrap_err().to_string().contains("has not signed"));
    assert!(refused(b"nonsense").unwrap_err().to_string().contains("cannot be read"));
    assert!(refused(&[7; 300_000]).unwrap_err().to_string().contains("are the most"));
    assert_eq!(main.list(), 2);
    let tally = main.credentials.tally();
    assert_eq!((tally.of(TurnedAway::ForgedList), tally.of(TurnedAway::OldList)), (3, 1));
}

/// Frames as they stand on a lane.
fn batch(frames: &[impl serde::Serialize]) -> Bytes {
    let mut batch = Vec::new();
    for frame in frames {
        let frame = form::encode(frame).unwrap();
        batch.extend_from_slice(&u32::try_from(frame.len()).unwrap().to_le_bytes());
        batch.extend_from_slice(&frame);
    }
    batch.into()
}

/// A node that sends a forged list on its link loses the link, and the list counts for nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sends_a_forged_list_is_not_linked_any_more() {
    let (household, other) = (Household::new(), Household::new());
    household.admit("b");
    other.admit("c");
    let main = household.begin("main").await;
    let opens = tokio::sync::mpsc::channel(1).1;
    let network = TlsNetwork::new(&household.path("b"), name("b"), Vec::new(), opens);
    network.learn(&name("main"), &[main.listener.at().to_string()]);
    let (places, messages) = (Vec::new(), Vec::new());
    let hello = Hello { versions: (1, 1), incarnation: 5, link: 7, ended: None, places, messages };
    let open = |lane, first: Bytes| {
        let (sender, receiver) = tokio::sync::mpsc::channel(1);
        sender.try_send(first).unwrap();
        (network.open(&name("main"), lane, ReceiverStream::new(receiver).boxed()), sender)
    };
    let (opened, control) = open(Lane::Control, batch(&[Control::Hello(hello)]));
    let _incoming = opened.await.unwrap();
    let (opened, _data) = open(Lane::Data, batch(&[Data::Attach { link: 7 }]));
    let _incoming = opened.await.unwrap();
    main.until_linked("b").await;
    let forged = expel(&other, "c");
    control.send(batch(&[Control::Expelled(&forged)])).await.unwrap();
    main.until_lost("b", "has not signed").await;
    let tally = main.credentials.tally();
    assert_eq!((tally.of(TurnedAway::ForgedList), tally.of(TurnedAway::Nonsense)), (1, 1));
    assert_eq!(main.list(), 0);
}

/// Nobody can pass a list on that is damaged in a place that no signature covers, and so keep the list
/// itself from being learned.
#[tokio::test]
async fn a_list_that_was_touched_anywhere_is_refused() {
    let household = Household::new();
    household.admit("b");
    household.admit("c");
    let credentials = Credentials::at(&household.path("b"));
    let list = expel(&household, "c");
    for at in 0..list.len() {
        for flip in [1, 0x80, 0xff] {
            let mut touched = list.clone();
            touched[at] ^= flip;
            assert!(!credentials.learn_list(&touched).is_ok_and(|is_news| is_news), "byte {at}");
        }
        assert!(credentials.learn_list(&list[..at]).is_err());
    }
    assert!(credentials.learn_list(&list).unwrap());
    credentials.keep_list().unwrap();
    let kept = Identity::open(&household.path("b")).unwrap().unwrap();
    assert_eq!(kept.expelled().number(), 1);
}

/// The authority's folder from a copy of before does not undo what others were told since.
#[tokio::test]
async fn a_ledger_from_a_copy_takes_nothing_back() {
    let household = Household::new();
    household.admit("b");
    household.admit("c");
    let ledger = household.path("main").join("ledger.json");
    let copy = std::fs::read(&ledger).unwrap();
    let first = expel(&household, "b");
    std::fs::write(&ledger, copy).unwrap();
    let nodes = household.authority.nodes().unwrap();
    assert!(nodes.contains(&(name("b"), true)), "{nodes:?}");
    let second = expel(&household, "c");
    let [first, second] = [first, second].map(|list| Expelled::read(&list).unwrap());
    assert!(second.number() > first.number());
    let b = Identity::open(&household.path("b")).unwrap().unwrap();
    assert!(first.contains(b.certificate()) && second.contains(b.certificate()));
}

/// Some thousands of machines can be expelled before the list has no room.
#[test]
fn the_largest_list_travels_in_one_frame() {
    let list = vec![0; genii_runtime::trust::EXPELLED_MAX_LEN];
    assert!(form::encode(&Control::Expelled(&list)).unwrap().len() < 256 << 10);
}
