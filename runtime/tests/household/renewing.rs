//! Certificates are renewed before they run out, and whenever somebody wants it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use genii_protocols::household::RenewRequest;
use genii_protocols::household::household_client::HouseholdClient;
use genii_runtime::link::renewal::{RenewError, renew};
use genii_runtime::trust::{Identity, Request, tls};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::Endpoint;

use crate::nodes::{Household, Running, name};

const DAY: Duration = Duration::from_secs(24 * 3_600);

async fn connect(at: SocketAddr, config: ClientConfig) -> TlsStream<TcpStream> {
    let stream = TcpStream::connect(at).await.unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    connector.connect(tls::ANY_NODE.clone(), stream).await.unwrap()
}

/// The certificate that a node shows to who calls it now.
async fn shown(household: &Household, node: &Running) -> Vec<u8> {
    let config = tls::joiner(household.authority.household(), &node.name).unwrap();
    let stream = connect(node.listener.at(), config).await;
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

/// Lets two meet, so that each knows afterwards where the other is.
async fn acquaint(household: &Household, node: &str, main: &Running) {
    let running = household.begin(node).await;
    running.meet(main);
    running.until_linked("main").await;
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
    assert_eq!(shown(&household, &b).await, now().certificate().to_vec());
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
    let config = tls::joiner(household.authority.household(), &name("main")).unwrap();
    let mut stream = Some(TokioIo::new(connect(main.listener.at(), config).await));
    let connector = tower::service_fn(move |_: tonic::transport::Uri| {
        let stream = stream.take();
        async move { stream.ok_or_else(|| std::io::Error::other("it was used already")) }
    });
    let endpoint = Endpoint::from_static("http://genii.invalid");
    let channel = endpoint.connect_with_connector(connector).await.unwrap();
    let request = Request::new().unwrap().der().to_vec();
    let refused = HouseholdClient::new(channel).renew(RenewRequest { request }).await;
    assert_eq!(refused.unwrap_err().code(), tonic::Code::Unauthenticated);
}
