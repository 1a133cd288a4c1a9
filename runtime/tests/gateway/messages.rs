//! What clients say, and what comes of it.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use genii_protocols::api::{DescribeRequest, WatchRequest, message::Style, watch_reply::Said};
use genii_protocols::client::{CallError, Client};
use genii_protocols::{AskError, CauseKind, Destination, Fault, Json, Rejection};
use genii_supervision::{Key, What};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tokio::net::UnixListener;

use crate::place::*;

fn fault<T: std::fmt::Debug, R: std::fmt::Debug>(answer: Result<T, CallError<R>>) -> Fault {
    match answer.unwrap_err() {
        CallError::Fault(fault) => *fault,
        other => panic!("it should have been a fault: {other:?}"),
    }
}

#[tokio::test]
async fn an_ask_is_answered_in_the_form_in_which_it_was_put() {
    let place = Place::new().await;
    let client = place.owner().await;
    let lamp = address("here/lamp");
    let answer = client.ask(&lamp, &Echo { text: "light".to_owned() }).await;
    assert_eq!(answer, Ok("light".to_owned()));
    let in_json = Json(json!({ "text": "light" }));
    assert_eq!(client.ask_json(&lamp, "worker.echo", &in_json).await, Ok(Json(json!("light"))));
    // A message without fields may be left out.
    let report = client.ask_json(&lamp, "worker.report", &Json(json!(null))).await.unwrap();
    assert_eq!(report.0["notes"], json!([]));
}

#[tokio::test]
async fn a_refusal_is_an_answer() {
    let place = Place::new().await;
    let client = place.owner().await;
    let lamp = address("here/lamp");
    let word = || "unsayable".to_owned();
    let refused = client.ask(&lamp, &Echo { text: word() }).await;
    assert_eq!(refused, Err(CallError::Refused(WontSay { word: word() })));
    let refused = client.ask_json(&lamp, "worker.echo", &Json(json!({ "text": word() }))).await;
    assert_eq!(refused, Err(CallError::Refused(Json(json!({ "word": word() })))));
}

#[tokio::test]
async fn what_is_told_arrives_in_order() {
    let place = Place::new().await;
    let client = place.owner().await;
    let lamp = address("here/lamp");
    for number in 1..=20 {
        client.tell(&lamp, &Note { number }).await.unwrap();
    }
    client.tell_json(&lamp, "worker.note", &Json(json!({ "number": 21 }))).await.unwrap();
    let report = client.ask(&lamp, &Report {}).await.unwrap();
    assert_eq!(report.notes, (1..=21).collect::<Vec<_>>());
}

#[tokio::test]
async fn every_fault_comes_with_what_is_known_of_it() {
    let place = Place::new().await;
    let client = place.owner().await;
    let lamp = Destination::parse("here/lamp").unwrap();
    let echo = Echo { text: String::new() };
    let unknown = fault(client.ask(Destination::parse("here/lmap").unwrap(), &echo).await);
    assert!(matches!(unknown, Fault::NotFound { nearest: Some(near), .. } if near == lamp));
    let misnamed = fault(client.ask_json(lamp.clone(), "worker.eccho", &Json(json!({}))).await);
    assert!(matches!(
        misnamed,
        Fault::Rejected { reason: Rejection::UnknownMessage { nearest: Some(near), .. }, .. }
            if near == "worker.echo"
    ));
    let malformed = fault(client.ask_json(lamp.clone(), "worker.echo", &Json(json!(7))).await);
    assert!(matches!(malformed, Fault::Rejected { reason: Rejection::Malformed { .. }, .. }));
    let stream =
        client.ask_json(lamp.clone(), "worker.count_to", &Json(json!({ "number": 1 }))).await;
    let expected = Rejection::WrongStyle { expected: "a stream".to_owned() };
    assert!(matches!(fault(stream), Fault::Rejected { reason, .. } if reason == expected));
    let away = fault(client.ask(Destination::parse("here/lamp@pc9").unwrap(), &echo).await);
    assert!(matches!(away, Fault::Unreachable { node, .. } if node.as_str() == "pc9"));
    let crashed = fault(client.ask(lamp, &Crash {}).await);
    let Fault::Down { cause, .. } = crashed else { panic!("{crashed}") };
    assert_eq!((cause.kind, &*cause.message), (CauseKind::Panic, "as it was told"));
    assert_eq!(cause.handling.as_deref(), Some("worker.crash"));
}

#[tokio::test]
async fn an_ask_ends_at_its_deadline_and_the_agent_sees_that_nobody_waits() {
    let place = Place::new().await;
    let client = place.owner().await.with_timeout(Duration::from_millis(100));
    let began = Instant::now();
    let late = fault(client.ask(&address("here/lamp"), &Brood {}).await);
    assert!(matches!(late, Fault::Timeout { .. }), "{late}");
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    place.report("here/lamp", |report| report.forgotten == 1).await;
}

#[tokio::test]
async fn an_agent_sees_that_its_asker_has_gone() {
    let place = Place::new().await;
    let client = place.owner().await;
    let lamp = address("here/lamp");
    // By a call that is taken back.
    let brooding = client.ask(&lamp, &Brood {});
    let _given_up = tokio::time::timeout(Duration::from_millis(50), brooding).await;
    place.report("here/lamp", |report| report.forgotten == 1).await;
    // By a stream that is dropped.
    let mut items = client.stream(&lamp, &CountTo { number: u64::MAX, letters: 0 }).await.unwrap();
    items.next().await.unwrap();
    drop(items);
    place.report("here/lamp", |report| report.gone == 1).await;
    // By a client that goes altogether.
    let other = place.owner().await;
    let mut items = other.stream(&lamp, &CountTo { number: u64::MAX, letters: 0 }).await.unwrap();
    items.next().await.unwrap();
    drop((items, other));
    place.report("here/lamp", |report| report.gone == 2).await;
}

#[tokio::test]
async fn a_stream_brings_its_items_and_then_its_reply_or_its_refusal() {
    let place = Place::new().await;
    let client = place.owner().await;
    let lamp = address("here/lamp");
    let count = |number| CountTo { number, letters: 0 };
    let mut items = client.stream(&lamp, &count(500)).await.unwrap();
    let mut counted = Vec::new();
    while let Some(item) = items.next().await {
        counted.push(item.number);
    }
    assert_eq!(counted, (1..=500).collect::<Vec<_>>());
    assert_eq!(items.finish().await, Ok(500));
    let refused = client.stream(&lamp, &count(13)).await.unwrap().finish().await;
    assert_eq!(refused, Err(CallError::Refused(WontSay { word: "13".to_owned() })));
    let content = Json(json!({ "number": 2 }));
    let mut items = client.stream_json(&lamp, "worker.count_to", &content).await.unwrap();
    assert_eq!(items.next().await.unwrap().0["number"], 1);
    assert_eq!(items.finish().await, Ok(Json(json!(2))));
}

#[tokio::test]
async fn a_stream_breaks_off_with_the_cause() {
    let place = Place::new().await;
    let client = place.owner().await;
    let lamp = address("here/lamp");
    let mut items = client.stream(&lamp, &CountTo { number: u64::MAX, letters: 0 }).await.unwrap();
    items.next().await.unwrap();
    client.ask(&lamp, &Crash {}).await.unwrap_err();
    let broken = fault(items.finish().await);
    assert!(broken.to_string().contains("as it was told"), "{broken}");
}

#[tokio::test]
async fn the_house_describes_itself() {
    let place = Place::new().await;
    let client = place.owner().await;
    let all = client.describe(DescribeRequest::default()).await.unwrap();
    let addresses: Vec<&str> = all.agents.iter().map(|agent| &*agent.address).collect();
    assert_eq!((addresses, all.more), (vec!["away/oven", "here/desk", "here/lamp"], false));
    let oven = &all.agents[0];
    assert_eq!((&*oven.node, oven.messages_known), ("pc2", true), "its kind is known");
    let request = |name: &str, schemas| DescribeRequest {
        name: name.to_owned(),
        schemas,
        ..DescribeRequest::default()
    };
    let lamp = client.describe(request("here/lamp", true)).await.unwrap();
    assert_eq!((&*lamp.agents[0].state, &*lamp.agents[0].node), ("ready", "main"));
    let messages = &lamp.agents[0].messages;
    let count = messages.iter().find(|message| message.name == "worker.count_to").unwrap();
    assert_eq!((count.style(), &*count.about), (Style::Stream, "Count up to a number."));
    let schema: serde_json::Value = serde_json::from_str(&count.request_schema).unwrap();
    assert_eq!(schema["properties"]["number"]["type"], "integer");
    assert!(!count.item_schema.is_empty() && !count.refusal_schema.is_empty());
    assert_eq!(client.describe(request("here", false)).await.unwrap().agents.len(), 2);
    assert!(client.describe(request("nowhere", false)).await.is_err());
    // One after another.
    let page = |after: &str| DescribeRequest {
        after: after.to_owned(),
        limit: 1,
        ..DescribeRequest::default()
    };
    let first = client.describe(page("")).await.unwrap();
    assert_eq!((&*first.agents[0].address, first.more), ("away/oven", true));
    let last = client.describe(page("here/desk")).await.unwrap();
    assert_eq!((&*last.agents[0].address, last.more), ("here/lamp", false));
}

#[tokio::test]
async fn the_journal_is_watched_from_any_number_on() {
    let place = Place::new().await;
    let client = place.owner().await;
    let watch = |from, follow| WatchRequest { name: "here/lamp".to_owned(), from, follow };
    let mut past = client.watch(watch(0, false)).await.unwrap();
    let mut what = Vec::new();
    let mut last = 0;
    while let Some(Said::Event(event)) = past.next().await.unwrap() {
        assert_eq!(event.name, "here/lamp");
        (last, what) = (event.seq, [what, vec![event.what]].concat());
    }
    assert!(what.ends_with(&["ready".to_owned()]), "{what:?}");
    let mut follow = client.watch(watch(last + 1, true)).await.unwrap();
    client.ask(&address("here/lamp"), &Crash {}).await.unwrap_err();
    loop {
        let Some(Said::Event(event)) = follow.next().await.unwrap() else { panic!("it missed") };
        assert!(event.seq > last);
        if event.what == "crashed" {
            assert!(event.text.contains("as it was told"), "{}", event.text);
            break;
        }
    }
    let nobody = WatchRequest { name: "here/nobody".to_owned(), ..WatchRequest::default() };
    assert!(client.watch(nobody).await.is_err());
}

#[tokio::test]
async fn who_watches_is_told_how_many_notes_have_gone_from_the_midst() {
    const NOTES: u64 = 3_000;
    let place = Place::new().await;
    let client = place.owner().await;
    let tree = place.house.node().tree();
    let (lamp, from) = (Key::from("here/lamp"), tree.journal.last() + 1);
    tree.record(&lamp, 1, What::Recovered);
    for _ in 0..NOTES {
        tree.record(&lamp, 0, What::KeptNote { text: "was made".into(), is_coming: true });
    }
    let request = WatchRequest { name: "here/lamp".to_owned(), from, follow: false };
    let mut past = client.watch(request).await.unwrap();
    let (mut events, mut missed) = (0_u64, 0_u64);
    while let Some(said) = past.next().await.unwrap() {
        match said {
            Said::Event(_) => events += 1,
            Said::Missed(some) => missed += some,
        }
    }
    assert!(missed > 0, "{events} events");
    assert_eq!(events + missed, 1 + NOTES);
}

#[tokio::test]
async fn a_name_longer_than_any_is_refused_before_it_is_compared_with_any() {
    let place = Place::new().await;
    let (client, lamp) = (place.owner().await, address("here/lamp"));
    let name = "worker.echo".repeat(200_000);
    let began = Instant::now();
    let nothing = Json::default();
    let asked = client.ask_json(&lamp, &name, &nothing).await.map(drop).unwrap_err();
    let told = client.tell_json(&lamp, &name, &nothing).await.unwrap_err();
    let streamed = client.stream_json(&lamp, &name, &nothing).await.map(drop).unwrap_err();
    for said in [asked.to_string(), told.to_string(), streamed.to_string()] {
        assert!(said.contains("256 bytes at most") && said.contains("InvalidArgument"), "{said}");
    }
    // Nor is it compared where it came by another way.
    let mail = place.house.node().to(lamp);
    let asked = mail.ask_json(&name, &nothing, DEADLINE).await.unwrap_err();
    let AskError::Fault(fault) = asked else { panic!("{asked:?}") };
    let Fault::Rejected { message, reason, .. } = *fault else { panic!("{fault:?}") };
    assert_eq!(reason, Rejection::UnknownMessage { nearest: None });
    assert!(message.len() < 1_000 && began.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn no_time_is_too_long_for_a_client() {
    let place = Place::new().await;
    let client = place.owner().await.with_timeout(Duration::MAX);
    let lamp = address("here/lamp");
    let echo = Echo { text: "late".to_owned() };
    assert_eq!(client.ask(&lamp, &echo).await, Ok("late".to_owned()));
    let mut items = client.stream(&lamp, &CountTo { number: 1, letters: 0 }).await.unwrap();
    assert!(items.next().await.is_some());
}

#[tokio::test]
async fn a_client_says_by_grpc_too_until_when_it_waits_for_one_answer() {
    let scratch = tempfile::tempdir().unwrap();
    let socket = scratch.path().join("nobody.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let (seen, mut headers) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            seen.send(request.headers().get("grpc-timeout").cloned()).unwrap();
            let status = tonic::Status::unimplemented("nobody is here");
            async { Ok::<_, Infallible>(status.into_http::<tonic::body::Body>()) }
        });
        let protocol = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        protocol.serve_connection(TokioIo::new(stream), service).await
    });
    let client = Client::unix(&socket).await.unwrap().with_timeout(Duration::from_secs(10));
    let (lamp, nothing) = (address("here/lamp"), Json::default());
    client.ask_json(&lamp, "worker.report", &nothing).await.unwrap_err();
    let said = headers.recv().await.unwrap().expect("it says when");
    let micros: u64 = said.to_str().unwrap().strip_suffix('u').unwrap().parse().unwrap();
    assert!((11_000_000..14_000_000).contains(&micros), "{micros}");
    // What comes bit by bit may take as long as it likes.
    client.stream_json(&lamp, "worker.count_to", &nothing).await.map(drop).unwrap_err();
    assert_eq!(headers.recv().await, Some(None));
}
