//! Certificates are renewed before they run out, and whenever somebody wants it.

use std::io::Write;
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use genii_protocols::NodeName;
use genii_protocols::household::RenewRequest;
use genii_protocols::household::household_client::HouseholdClient;
use genii_runtime::link::network::Network;
use genii_runtime::link::renewal::{RenewError, renew};
use genii_runtime::link::tls_network::TlsNetwork;
use genii_runtime::trust::{Identity, Request, TurnedAway, signer};

use crate::nodes::{Household, PATIENCE, Running, name};
use crate::wire;

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// Lets two meet, so that each knows afterwards where the other is.
async fn acquaint(household: &Household, node: &str, main: &Running) {
    let running = household.begin(node).await;
    running.meet(main);
    running.until_linked("main").await;
    // It is kept a moment later, aside.
    let kept = || std::fs::read_to_string(household.path(node).join("peers.json"));
    let is_kept = || kept().unwrap_or_default().contains("main");
    running.until("where main is to be kept", is_kept).await;
    running.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_runs_out_soon_is_renewed_without_a_hand() {
    let household = Household::new();
    let before = household.admit_at("b", SystemTime::now() - 70 * DAY);
    let main = household.begin("main").await;
    acquaint(&household, "b", &main).await;
    let b = household.begin("b").await;
    let now = || b.credentials.current().unwrap().identity.clone();
    b.until("the certificate to be renewed", || {
        now().expires().unwrap() > SystemTime::now() + 80 * DAY
    })
    .await;
    // It is shown from the next connection on, by the node as it runs.
    assert_ne!(now().certificate(), before.certificate());
    assert_eq!(wire::shown(&household, &b).await, now().certificate().to_vec());
    main.end().await;
    let main = household.begin("main").await;
    b.meet(&main);
    b.until_linked("main").await;
    // It is of the authority's ledger, so that it can be taken back.
    household.authority.expel(&name("b"), SystemTime::now()).unwrap();
    main.until_lost("b", "expelled").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_authority_renews_its_own_and_one_that_has_time_is_left_alone() {
    let household = Household::new();
    household.admit("b");
    let authority = &household.authority;
    authority.renew_own(&name("main"), SystemTime::now() - 70 * DAY).unwrap();
    let (main, b) = (household.begin("main").await, household.begin("b").await);
    let before = b.credentials.current().unwrap();
    b.meet(&main);
    b.until_linked("main").await;
    main.until("the certificate to be renewed", || {
        let now = main.credentials.current().unwrap();
        now.identity.expires().unwrap() > SystemTime::now() + 80 * DAY
    })
    .await;
    let now = b.credentials.current().unwrap();
    assert_eq!(now.identity.certificate(), before.identity.certificate());
    assert!(b.is_linked("main"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_wants_another_has_it_or_is_told_why_not() {
    let household = Household::new();
    household.admit("b");
    let main = household.begin("main").await;
    let unknown = renew(&household.path("b")).await.err().unwrap();
    assert!(matches!(unknown, RenewError::NobodySigns), "{unknown}");
    let nobody = renew(&household.path("nobody")).await.err().unwrap();
    assert!(nobody.to_string().contains("no household"), "{nobody}");
    acquaint(&household, "b", &main).await;
    let before = Identity::open(&household.path("b")).unwrap().unwrap();
    let after = renew(&household.path("b")).await.unwrap();
    assert_ne!(before.certificate(), after.certificate());
    let kept = Identity::open(&household.path("b")).unwrap().unwrap();
    assert_eq!(kept.certificate(), after.certificate());
    main.end().await;
    let gone = renew(&household.path("b")).await.err().unwrap();
    assert!(gone.to_string().contains("nobody listens"), "{gone}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_gets_no_certificate() {
    let household = Household::new();
    let main = household.begin("main").await;
    let channel = wire::channel(wire::stranger(&household, &main).await).await;
    let request = Request::new().unwrap().der().to_vec();
    let refused = HouseholdClient::new(channel).renew(RenewRequest { request }).await;
    assert_eq!(refused.unwrap_err().code(), tonic::Code::Unauthenticated);
}

/// A connection that was opened before does not help a machine that was expelled, also not when another
/// was given its name since.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_expelled_gets_no_certificate_on_a_connection_of_before() {
    let household = Household::new();
    let before = household.admit("b");
    let main = household.begin("main").await;
    let channel = wire::channel(wire::node(&before, &main).await).await;
    let mut door = HouseholdClient::new(channel);
    let request = Request::new().unwrap().der().to_vec();
    door.renew(RenewRequest { request: request.clone() }).await.unwrap();
    household.authority.expel(&name("b"), SystemTime::now()).unwrap();
    std::fs::remove_dir_all(household.path("b")).unwrap();
    household.admit("b");
    let refused = door.renew(RenewRequest { request }).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::PermissionDenied, "{refused}");
    assert!(refused.message().contains("b was expelled from the household"), "{refused}");
    assert_eq!(main.credentials.tally().of(TurnedAway::Expelled), 1);
}

/// A network of a node that is not up, for what it knows.
fn network(household: &Household, node: &str) -> TlsNetwork {
    let opens = tokio::sync::mpsc::channel(1).1;
    TlsNetwork::new(&household.path(node), name(node), Vec::new(), opens)
}

/// Lets a node know where another is, and waits until that is kept.
async fn learn(household: &Household, node: &str, of: &NodeName, place: SocketAddr) {
    network(household, node).learn(of, &[place.to_string()]);
    let file = household.path(node).join("peers.json");
    let until = Instant::now() + PATIENCE;
    while !std::fs::read_to_string(&file).unwrap_or_default().contains(&place.to_string()) {
        assert!(Instant::now() < until, "it is not kept");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Whoever says no, and cannot sign anyway, is in nobody's way, and neither is who says nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_than_who_signs_are_in_nobodys_way() {
    let household = Household::new();
    household.admit("a");
    household.admit("b");
    let (main, a) = (household.begin("main").await, household.begin("a").await);
    std::fs::write(household.path("a").join("household.key"), "garbage").unwrap();
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    learn(&household, "b", &a.name, a.listener.at()).await;
    let nobody = renew(&household.path("b")).await.err().unwrap();
    assert!(nobody.to_string().contains("a says no: the certificate cannot be"), "{nobody}");
    learn(&household, "b", &name("0-ghost"), silent.local_addr().unwrap()).await;
    learn(&household, "b", &main.name, main.listener.at()).await;
    assert_eq!(signer::read(&household.path("b")), None);
    renew(&household.path("b")).await.unwrap();
    assert_eq!(signer::read(&household.path("b")), Some(name("main")));
    // Once it is known who signs, nobody else is asked.
    let _asked = silent.accept().await.unwrap();
    renew(&household.path("b")).await.unwrap();
    let asked = tokio::time::timeout(Duration::from_millis(10), silent.accept()).await;
    assert!(asked.is_err());
    // Its no is the last word, and is heard at once.
    std::fs::write(household.path("main").join("household.key"), "garbage").unwrap();
    let refused = renew(&household.path("b")).await.err().unwrap();
    assert!(matches!(&refused, RenewError::Refused { by, .. } if *by == name("main")), "{refused}");
}

/// A folder that somebody else has is not waited for without end, and nobody else waits meanwhile.
#[tokio::test]
async fn a_folder_that_is_in_use_is_waited_for_aside_and_not_for_ever() {
    let household = Household::new();
    let lock = std::fs::OpenOptions::new().write(true).open(household.path("main").join("lock"));
    let mut lock = lock.unwrap();
    lock.lock().unwrap();
    lock.set_len(0).unwrap();
    lock.write_all(b"process 7 since noon\n").unwrap();
    let main = household.path("main");
    let mut renewing = std::pin::pin!(renew(&main));
    let at_once = tokio::time::timeout(Duration::from_millis(10), &mut renewing).await;
    assert!(at_once.is_err());
    let busy = tokio::time::timeout(PATIENCE, renewing).await.unwrap().err().unwrap();
    let who = "is being changed by another genii (process 7 since noon)";
    assert!(busy.to_string().contains(who), "{busy}");
    drop(lock);
    renew(&main).await.unwrap();
}
