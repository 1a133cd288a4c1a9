//! Who is let in, to what, and for how long.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant, SystemTime};

use genii_protocols::NodeName;
use genii_protocols::api::{DescribeRequest, WatchRequest, Why, watch_reply::Said};
use genii_protocols::client::{CallError, Client, Household, Proof};
use genii_runtime::trust::scope::Verb;
use genii_runtime::trust::tokens::{TokenSpec, Tokens};
use genii_runtime::trust::{Authority, Fingerprint, Identity, Request};

use crate::place::*;

/// For how long a certificate of a node counts.
const NODE_SPAN: Duration = Duration::from_secs(90 * 86_400);

fn echo() -> Echo {
    Echo { text: "hello".to_owned() }
}

#[tokio::test]
async fn a_token_opens_what_it_is_for_and_nothing_else() {
    let place = Place::new().await;
    let (_, token) = place.token(&["here/lamp"], &[Verb::Ask]);
    let client = place.holder(&token).await.unwrap();
    assert_eq!(client.ask(&address("here/lamp"), &echo()).await, Ok("hello".to_owned()));
    assert_eq!(why(client.ask(&address("here/desk"), &echo()).await), Why::Scope);
    assert_eq!(why(client.tell(&address("here/lamp"), &Note { number: 1 }).await), Why::Verb);
    assert_eq!(why(client.watch(WatchRequest::default()).await.map(drop)), Why::Verb);
    let count = CountTo { number: 1, letters: 0 };
    assert_eq!(why(client.stream(&address("here/lamp"), &count).await.map(drop)), Why::Verb);
    // It sees no more of the house than it may reach, not even by a slip of the pen.
    let seen = client.describe(DescribeRequest::default()).await.unwrap();
    assert_eq!(seen.agents.len(), 1);
    let hidden = DescribeRequest { name: "here/desk".to_owned(), ..DescribeRequest::default() };
    assert!(client.describe(hidden).await.unwrap_err().to_string().contains("no agent"));
    let said = client.ask(&address("here/dest"), &echo()).await.unwrap_err().to_string();
    assert!(said.contains("does not allow to ask here/dest"), "{said}");
    assert!(!said.contains(&token), "a secret is said");
}

#[tokio::test]
async fn what_a_token_may_not_reach_is_not_watched_either() {
    let place = Place::new().await;
    let (_, token) = place.token(&["here/lamp"], &[Verb::Watch]);
    let client = place.holder(&token).await.unwrap();
    let mut events = client.watch(WatchRequest::default()).await.unwrap();
    let mut seen = 0;
    while let Some(Said::Event(event)) = events.next().await.unwrap() {
        assert_eq!(event.name, "here/lamp");
        seen += 1;
    }
    assert!(seen > 0);
    let desk = WatchRequest { name: "here/desk".to_owned(), ..WatchRequest::default() };
    assert_eq!(why(client.watch(desk).await.map(drop)), Why::Scope);
}

#[tokio::test]
async fn no_text_tells_a_token_of_agents_beyond_it() {
    let place = Place::new().await;
    let (_, token) = place.token(&["here/lamp"], &[Verb::Ask, Verb::Watch]);
    let client = place.holder(&token).await.unwrap();
    let lamp = address("here/lamp");
    let request = WatchRequest { name: "here/lamp".to_owned(), follow: true, from: 0 };
    let mut events = client.watch(request).await.unwrap();
    for (whom, is_told) in [("here/desk", false), ("here/lamp", true)] {
        // Also after it has failed once.
        while client.ask(&lamp, &echo()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let blame = Blame { whom: whom.to_owned() };
        let said = client.ask(&lamp, &blame).await.unwrap_err().to_string();
        assert_eq!(said.contains("is to blame"), is_told, "{said}");
        let text = loop {
            let Some(Said::Event(event)) = events.next().await.unwrap() else { panic!() };
            if event.what == "crashed" {
                break event.text;
            }
        };
        assert_eq!(text.contains("is to blame"), is_told, "{text}");
    }
}

#[tokio::test]
async fn without_a_token_that_counts_nobody_is_let_in() {
    let place = Place::new().await;
    let (_, good) = place.token(&["*"], &Verb::ALL);
    let lamp = address("here/lamp");
    // Letters that look like one, of which nobody was given.
    let forged = format!("{}AAAA", &good[..good.len() - 4]);
    for (token, expected) in [
        ("", Why::Malformed),
        ("nonsense", Why::Malformed),
        (&*forged, Why::Unknown),
        ("genii-token-1-00000000-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", Why::Unknown),
    ] {
        let client = place.holder(token).await.unwrap();
        assert_eq!(why(client.ask(&lamp, &echo()).await), expected, "{token:?}");
    }
    let spec = TokenSpec {
        name: String::new(),
        allow: vec!["*".parse().unwrap()],
        verbs: Verb::ALL.to_vec(),
        span: Duration::from_secs(60),
    };
    let long_ago = SystemTime::now() - Duration::from_secs(3_600);
    let (_, expired) = Tokens::open(&place.trust()).unwrap().make(spec, long_ago).unwrap();
    let client = place.holder(&expired.line()).await.unwrap();
    let late = client.ask(&lamp, &echo()).await;
    assert!(late.as_ref().unwrap_err().to_string().contains("has expired"), "{late:?}");
    assert_eq!(why(late), Why::Expired);
}

#[tokio::test]
async fn a_token_that_is_taken_back_counts_no_more_at_once_also_under_a_stream() {
    let place = Place::new().await;
    let (token, line) = place.token(&["here/*"], &Verb::ALL);
    let client = place.holder(&line).await.unwrap();
    let lamp = address("here/lamp");
    let mut items = client.stream(&lamp, &CountTo { number: u64::MAX, letters: 0 }).await.unwrap();
    items.next().await.unwrap();
    let asking = tokio::spawn({
        let (client, lamp) = (client.clone(), lamp.clone());
        async move { client.ask(&lamp, &Brood {}).await }
    });
    let began = Instant::now();
    place.revoke(&token.id);
    assert_eq!(why(client.ask(&lamp, &echo()).await), Why::Revoked);
    assert_eq!(why(items.finish().await), Why::Revoked);
    assert_eq!(why(asking.await.unwrap()), Why::Revoked);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    place.report("here/lamp", |report| report.gone == 1).await;
}

#[tokio::test]
async fn every_use_is_counted_and_outlives_the_gateway() {
    let place = Place::new().await;
    let (token, line) = place.token(&["here/*"], &[Verb::Ask]);
    let client = place.holder(&line).await.unwrap();
    for _ in 0..5 {
        client.ask(&address("here/lamp"), &echo()).await.unwrap();
    }
    let tokens = Tokens::open(&place.trust()).unwrap();
    drop(client);
    place.gateway.close().await;
    let (listed, uses) = tokens.list().unwrap().remove(0);
    assert_eq!((listed.id, uses.count), (token.id, 5));
    assert!(uses.last > 0);
}

#[tokio::test]
async fn a_certificate_of_the_household_opens_everything_until_it_is_expelled() {
    let place = Place::new().await;
    let authority = Authority::open(&place.trust()).unwrap().unwrap();
    let pc2 = NodeName::new("pc2").unwrap();
    let now = SystemTime::now();
    let secret = authority.invite(&pc2, Duration::from_secs(60), now).unwrap();
    let request = Request::new().unwrap();
    let admitted = authority.admit(&secret, request.der(), now).unwrap().unwrap();
    let folder = place.scratch.path().join("pc2");
    let (household, shown) = (authority.certificate(), &admitted.certificate);
    Identity::keep(&folder, &request, household, shown, &admitted.expelled).unwrap();
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let proof = Proof::Certificate { certificate: read("node.crt"), key: read("node.key") };
    // It knows the household by no more than its fingerprint.
    let fingerprint = Fingerprint::of(household).to_string();
    let household = Household::from_fingerprint(&fingerprint).unwrap();
    let at = place.at.to_string();
    let client = Client::tcp(&at, household.clone(), proof.clone()).await.unwrap();
    assert_eq!(client.ask(&address("here/desk"), &echo()).await, Ok("hello".to_owned()));
    let mut events =
        client.watch(WatchRequest { follow: true, ..WatchRequest::default() }).await.unwrap();
    authority.expel(&pc2, now).unwrap();
    assert_eq!(why(client.ask(&address("here/desk"), &echo()).await), Why::Expelled);
    let end = async {
        while events.next().await?.is_some() {}
        Ok::<(), CallError>(())
    };
    assert_eq!(why(end.await), Why::Expelled);
    let anew = Client::tcp(&at, household, proof).await;
    let refused = match anew {
        Err(_) => true,
        // TLS 1.3 tells a client that it is refused with what it reads first.
        Ok(client) => client.ask(&address("here/desk"), &echo()).await.is_err(),
    };
    assert!(refused);
}

#[tokio::test]
async fn a_certificate_that_runs_out_opens_nothing_more_also_on_a_connection_that_is_open() {
    let place = Place::new().await;
    let authority = Authority::open(&place.trust()).unwrap().unwrap();
    let pc2 = NodeName::new("pc2").unwrap();
    // Signed so long ago that it counts for some seconds more.
    let then = SystemTime::now() - NODE_SPAN + Duration::from_secs(4);
    let secret = authority.invite(&pc2, Duration::from_secs(60), then).unwrap();
    let request = Request::new().unwrap();
    let admitted = authority.admit(&secret, request.der(), then).unwrap().unwrap();
    let folder = place.scratch.path().join("pc2");
    let (household, shown) = (authority.certificate(), &admitted.certificate);
    Identity::keep(&folder, &request, household, shown, &admitted.expelled).unwrap();
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let proof = Proof::Certificate { certificate: read("node.crt"), key: read("node.key") };
    let client = Client::tcp(&place.at.to_string(), place.household(), proof).await.unwrap();
    assert_eq!(client.ask(&address("here/desk"), &echo()).await, Ok("hello".to_owned()));
    let count = CountTo { number: u64::MAX, letters: 0 };
    let mut items = client.stream(&address("here/desk"), &count).await.unwrap();
    while items.next().await.is_some() {}
    assert_eq!(why(items.finish().await), Why::Expelled);
    assert_eq!(why(client.ask(&address("here/desk"), &echo()).await), Why::Expelled);
}

#[tokio::test]
async fn nobody_is_taken_for_the_household_that_is_not() {
    let place = Place::new().await;
    let other = tempfile::tempdir().unwrap();
    let name = NodeName::new("main").unwrap();
    let (other, _) = Authority::found(other.path(), &name, SystemTime::now()).unwrap();
    let (_, token) = place.token(&["*"], &Verb::ALL);
    let at = place.at.to_string();
    let began = Instant::now();
    for household in [
        Household::Certificate(other.certificate().to_vec()),
        Household::from_fingerprint(&other.household().to_string()).unwrap(),
    ] {
        let said = Client::tcp(&at, household, Proof::Token(token.clone())).await;
        let said = said.err().unwrap().to_string();
        assert!(said.contains("certificate"), "{said}");
    }
    assert!(began.elapsed() < Duration::from_secs(5), "it does not try again in vain");
    // Nor is anybody let in by a certificate of another household.
    let folder = tempfile::tempdir().unwrap();
    let (_, stranger) = Authority::found(folder.path(), &name, SystemTime::now()).unwrap();
    drop(stranger);
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    let proof = Proof::Certificate { certificate: read("node.crt"), key: read("node.key") };
    let refused = match Client::tcp(&at, place.household(), proof).await {
        Err(_) => true,
        Ok(client) => {
            let client = client.with_timeout(Duration::from_secs(1));
            client.ask(&address("here/lamp"), &echo()).await.is_err()
        }
    };
    assert!(refused);
}

#[tokio::test]
async fn the_socket_is_its_owners_alone_and_a_token_counts_there_too() {
    let place = Place::new().await;
    let mode = std::fs::metadata(place.socket()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let mode = std::fs::metadata(place.trust().join("node.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    place.token(&["*"], &Verb::ALL);
    let mode = std::fs::metadata(place.trust().join("tokens.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let (socket, owner) = (place.socket(), place.owner().await);
    owner.ask(&address("here/lamp"), &echo()).await.unwrap();
    place.gateway.unlink();
    assert!(!socket.exists());
}
