//! Clients of real processes: tokens from the command line, TLS, two machines.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use genii_protocols::api::{DescribeRequest, Why};
use genii_protocols::client::{CallError, Client, ConnectError, Household, Proof};
use genii_protocols::errors::ListErrors;
use genii_protocols::resources::WatchMachine;
use genii_protocols::twin::DescribeHouse;
use genii_protocols::{Address, CauseKind, Fault, Json};
use rustix::process::Signal;
use serde_json::json;

use crate::cluster::{Two, TwoOptions};
use crate::support::{DEADLINE, House, Running, wait_until};

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

/// Where clients are served.
fn clients_at(running: &mut Running) -> String {
    let line = running.wait_for("clients are served at ");
    line.rsplit(' ').next().unwrap().to_owned()
}

async fn holder(house: &House, at: &str, token: &str) -> Result<Client, ConnectError> {
    let certificate = std::fs::read_to_string(house.path("data/trust/household.crt")).unwrap();
    let household = Household::from_pem(&certificate)?;
    Client::tcp(at, household, Proof::Token(token.to_owned())).await
}

fn why<T: std::fmt::Debug, R: std::fmt::Debug>(answer: Result<T, CallError<R>>) -> Why {
    match answer.unwrap_err() {
        CallError::Denied(refused) => refused.why,
        other => panic!("it should have been denied: {other:?}"),
    }
}

/// A token as the command line makes it: what it is called, and the whole of it.
fn token(house: &House, args: &[&str]) -> (String, String) {
    let made = house.json(&[&["token", "new", "--json"], args].concat());
    let text = |name: &str| made[name].as_str().unwrap().to_owned();
    (text("id"), text("token"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_lives_from_its_making_to_its_end() {
    let house = House::new();
    house.file("data/genii.toml", "clients = \"127.0.0.1:0\"\n");
    let mut running = house.begin(&[]);
    let at = clients_at(&mut running);
    running.wait_for("agents are ready after");
    let (id, line) =
        token(&house, &["--allow", "core/*", "--verbs", "ask", "--for", "1h", "--name", "a game"]);
    let client = holder(&house, &at, &line).await.unwrap();
    let twin = address("core/system-digital-twin");
    for _ in 0..3 {
        client.ask(&twin, &DescribeHouse::default()).await.unwrap();
    }
    let errors = address("pc2-core/unified-error");
    assert_eq!(why(client.ask(&errors, &ListErrors::default()).await), Why::Scope);
    // Who speaks no TLS is counted where the owner looks.
    std::io::Write::write_all(&mut std::net::TcpStream::connect(&at).unwrap(), b"hello\n").unwrap();
    wait_until("it to be counted", || {
        let nodes = house.json(&["ctl", "nodes", "--json"]);
        (nodes[0]["clients_turned_away"]["garbage"] == 1).then_some(())
    });
    let garbage = holder(&house, &at, "garbage").await.unwrap();
    assert_eq!(why(garbage.ask(&twin, &DescribeHouse::default()).await), Why::Malformed);
    let (_, brief) = token(&house, &["--allow", "*", "--for", "1s"]);
    let brief = holder(&house, &at, &brief).await.unwrap();
    let until = Instant::now() + DEADLINE;
    let late = loop {
        match brief.ask(&twin, &DescribeHouse::default()).await {
            Ok(_) => assert!(Instant::now() < until, "it does not expire"),
            late => break late,
        }
    };
    assert_eq!(why(late), Why::Expired);

    assert_eq!(house.genii(&["token", "revoke", &id]).code, 0);
    assert_eq!(why(client.ask(&twin, &DescribeHouse::default()).await), Why::Revoked);
    let unknown = house.genii(&["token", "revoke", "00000000"]);
    assert!(unknown.err.contains("there is no token 00000000"), "{}", unknown.err);
    let log = std::fs::read_to_string(house.path("data/logs/genii.log")).unwrap();
    let secret = line.rsplit_once('-').unwrap().1;
    assert!(log.contains(&format!("the token {id} was revoked")), "{log}");
    assert!(!log.contains(secret), "a secret is in the log");

    // Uses are written down when it stops, if not before.
    running.stop();
    let listed = house.json(&["token", "list", "--json"]);
    // Nobody manages whom that was not given by name.
    assert!(!listed.to_string().contains("manage"), "{listed}");
    let listed = listed.as_array().unwrap().iter().find(|token| token["id"] == id).unwrap().clone();
    // What it was let in for, and what it was then not allowed.
    assert_eq!((&listed["uses"], &listed["state"]), (&json!(4), &json!("revoked")));
    assert_eq!(listed["name"], "a game");
    assert!(!listed.to_string().contains(secret));
    let shown = house.genii(&["token", "list"]).out;
    assert!(shown.contains(&id) && shown.contains("core/*"), "{shown}");
}

#[test]
fn what_is_wrong_with_a_token_or_a_door_is_said() {
    let house = House::new();
    let said = |args: &[&str]| {
        let said = house.genii(&[&["token", "new"], args].concat());
        (said.code, said.err)
    };
    let (code, refused) = said(&["--allow", "a/b"]);
    assert!(code == 1 && refused.contains("there is no household in"), "{code} {refused}");
    assert_eq!(house.genii(&["init"]).code, 0);
    // What is wrong on the command line.
    let said = |args: &[&str]| {
        let (code, said) = said(args);
        assert_eq!(code, 2, "{said}");
        said
    };
    assert!(said(&[]).contains("--allow"));
    assert!(said(&["--allow", "memory"]).contains("no '/'"));
    assert!(said(&["--allow", "a/b", "--verbs", "shout"]).contains("is no verb"));
    assert!(said(&["--allow", "a/b", "--for", "900d"]).contains("a year at most"));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    house.file("data/genii.toml", &format!("clients = \"{}\"\n", taken.local_addr().unwrap()));
    let mut running = house.begin(&[]);
    let (code, said) = running.end();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("set `clients` in genii.toml"), "{said}");
    assert!(!house.path("data/clients.sock").exists());
}

/// One that cannot serve clients as it is told to does not come among the others, and go again.
#[test]
fn a_machine_whose_port_for_clients_is_taken_is_seen_by_no_other() {
    let mut two = Two::new();
    two.pc2.signal(Signal::TERM);
    two.pc2.end();
    two.until_node("pc2", "left");
    let journal = || two.house.genii(&["ctl", "journal", "@pc2"]).out;
    let before = journal();
    assert!(!before.is_empty());
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = taken.local_addr().unwrap();
    let settings = format!("listen = \"127.0.0.1:0\"\nclients = \"{at}\"\n");
    two.house.file("pc2/genii.toml", &settings);
    let (code, said) = crate::cluster::begin(&two.house, "pc2").end();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("cannot be listened at"), "{said}");
    assert_eq!(journal(), before);
    two.main.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_comes_by_the_socket_of_the_folder() {
    let house = House::new();
    let mut running = house.begin(&[]);
    running.wait_for("agents are ready after");
    let socket = house.path("data/clients.sock");
    let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let client = Client::unix(&socket).await.unwrap();
    let resources = address("pc2-core/resource-manager");
    let mut looks = client.stream(&resources, &WatchMachine { looks: Some(2) }).await.unwrap();
    assert!(looks.next().await.unwrap().cores > 0);
    assert_eq!(looks.finish().await, Ok(2));
    // Killed, and started again: the client finds its way back.
    running.signal(Signal::KILL);
    running.end();
    let lost = client.clone().with_timeout(Duration::from_millis(200));
    let lost = lost.ask_json(&resources, "resources.machine", &Json::default()).await;
    assert!(matches!(lost, Err(CallError::Unreachable(_) | CallError::Lost(_))), "{lost:?}");
    let asking = tokio::spawn(async move {
        let until = Instant::now() + DEADLINE;
        loop {
            match client.ask_json(&resources, "resources.machine", &Json::default()).await {
                // Clients are let in before every agent is ready, and are told of it.
                Err(CallError::Fault(fault))
                    if Instant::now() < until
                        && matches!(&*fault, Fault::Down { cause, .. }
                            if cause.kind == CauseKind::Starting) => {}
                answer => break answer,
            }
        }
    });
    let mut running = house.begin(&[]);
    running.wait_for("agents are ready after");
    asking.await.unwrap().unwrap();
    running.stop();
    assert!(!socket.exists());
}

/// By messages in JSON, as a client in any language does it.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_makes_a_being_talks_with_it_and_is_remembered() {
    let house = House::new();
    let mut running = house.begin(&[]);
    running.wait_for("agents are ready after");
    let client = Client::unix(house.path("data/clients.sock")).await.unwrap();
    let client = client.with_timeout(DEADLINE);
    let registry = address("beings/registry");
    let character = json!({ "name": "Marit Holm", "description": "{{char}} was a harbour pilot." });
    let create = Json(json!({ "id": "marit", "character": character }));
    let made = client.ask_json(&registry, "beings.create", &create).await.unwrap();
    assert_eq!(made.0["address"], "being/marit");

    let being = address("being/marit");
    let said = Json(json!({ "said": "My boat is called Sandpiper.", "speaker": "Ann" }));
    let mut answer = client.stream_json(&being, "being.converse", &said).await.unwrap();
    let mut heard = String::new();
    while let Some(words) = answer.next().await {
        heard.push_str(words.0.as_str().unwrap());
    }
    let answered = answer.finish().await.unwrap();
    assert_eq!(answered.0["text"], heard);
    assert!(heard.contains("Marit Holm"), "{heard}");

    let question = Json(json!({ "question": "What is Ann's boat called?" }));
    let found = client.ask_json(&being, "being.recall", &question).await.unwrap();
    assert!(found.0["memories"].to_string().contains("Sandpiper"), "{found}");
    let query = Json(json!({ "said": "What is my boat called?", "speaker": "Ann" }));
    let whole = client.ask_json(&being, "being.query", &query).await.unwrap();
    assert!(whole.0["text"].as_str().unwrap().contains("Sandpiper"), "{whole}");
    running.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_one_machine_reaches_the_agents_of_both() {
    let mut two =
        Two::with(&TwoOptions { main: "clients = \"127.0.0.1:0\"\n", ..TwoOptions::default() });
    let at = clients_at(&mut two.main);
    let (_, line) = token(&two.house, &["--allow", "*"]);
    let client = holder(&two.house, &at, &line).await.unwrap();
    client.ask(&address("core/twin"), &DescribeHouse::default()).await.unwrap();
    client.ask(&address("far/errors"), &ListErrors::default()).await.unwrap();
    let in_json = client.ask_json(&address("far/errors"), "errors.list", &Json::default()).await;
    in_json.unwrap();
    let described = client.describe(DescribeRequest::default()).await.unwrap();
    let errors = described.agents.iter().find(|agent| agent.address == "far/errors").unwrap();
    assert_eq!((&*errors.node, &*errors.state, errors.messages_known), ("pc2", "ready", true));
    // One that was published on the other machine.
    let pattern = "news.**".parse().unwrap();
    let mut news = client.subscribe(&[pattern]).await.unwrap();
    wait_until("it to be known there", || {
        let said = crate::cluster::on(&two.house, "pc2", &["ctl", "publish", "news.of.pc2"]);
        said.out.contains("sent to 1 other machine").then_some(())
    });
    assert!(news.next().await.unwrap().is_some());

    two.pc2.signal(Signal::KILL);
    two.pc2.end();
    let lost = client.ask(&address("far/errors"), &ListErrors::default()).await;
    assert!(lost.unwrap_err().to_string().contains("pc2"));
    two.main.stop();
}
