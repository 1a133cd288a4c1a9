//! What a client may make grow, and what it may not.

use std::time::Duration;

use std::sync::Arc;

use genii_protocols::Json;
use genii_protocols::api::genii_client::GeniiClient;
use genii_protocols::api::{AskRequest, DescribeRequest, Payload, payload};
use genii_protocols::client::CallError;
use genii_runtime::trust::TurnedAway;
use genii_runtime::trust::scope::Verb;
use prost::Message;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tonic::Code;

use crate::place::*;
use crate::raw::{Raw, Sent, framed};

const MIB: usize = 1 << 20;

#[tokio::test]
async fn large_messages_and_answers_go_through_up_to_the_limit() {
    let place = Place::new().await;
    let client = place.owner().await.with_timeout(DEADLINE);
    let lamp = address("here/lamp");
    let text = "x".repeat(20 * MIB);
    let echoed = client.ask(&lamp, &Echo { text: text.clone() }).await.unwrap();
    assert!(echoed == text);
    let in_json = Json(json!({ "letters": 20 * MIB }));
    let spelled = client.ask_json(&lamp, "worker.spell", &in_json).await.unwrap();
    assert_eq!(spelled.0.as_str().unwrap().len(), 20 * MIB);
    let too_large = client.ask(&lamp, &Spell { letters: 65 * MIB }).await.unwrap_err();
    assert!(too_large.to_string().contains("more than the limit"), "{too_large}");
    assert!(client.ask(&lamp, &Spell { letters: 1 }).await.is_ok());
}

#[tokio::test]
async fn a_message_that_says_it_is_too_long_is_refused_before_it_has_come() {
    let place = Place::new().await;
    // Larger than anything that may be said: the client's own bound is put aside.
    let payload = Payload { form: Some(payload::Form::Bincode(vec![0; 65 * MIB])) };
    let request = AskRequest {
        to: "here/lamp".to_owned(),
        message: "worker.echo".to_owned(),
        payload: Some(payload),
        timeout_ms: 0,
    };
    let mut genii = GeniiClient::new(place.channel().await).max_encoding_message_size(usize::MAX);
    let status = genii.ask(request).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    assert!(status.message().contains("more than the limit"), "{status}");
}

/// An ask with so many letters, as it is sent.
fn asked(letters: usize) -> bytes::Bytes {
    let text = format!("{{\"text\": \"{}\"}}", "x".repeat(letters));
    let payload = Some(Payload { form: Some(payload::Form::Json(text)) });
    let (to, message) = ("here/lamp".to_owned(), "worker.echo".to_owned());
    let request = AskRequest { to, message, payload, timeout_ms: 0 };
    framed(0, None, &request.encode_to_vec())
}

const ASK: &str = "/genii.v1.Genii/Ask";

#[tokio::test]
async fn who_claims_room_and_sends_nothing_holds_up_nobody_else() {
    let place = Place::new().await;
    let (_, greedy) = place.token(&["here/*"], &[Verb::Ask]);
    let (_, modest) = place.token(&["here/*"], &[Verb::Ask]);
    let greedy = format!("Bearer {greedy}");
    let raw = Arc::new(Raw::connect(&place).await);
    for _ in 0..8 {
        let (raw, greedy) = (raw.clone(), greedy.clone());
        tokio::spawn(async move {
            let bytes = Some(framed(0, Some(64 << 20), &[]));
            let headers = [("authorization", greedy.as_bytes())];
            raw.call(ASK, &headers, Sent { bytes, has_end: false }).await
        });
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let text = "x".repeat(40_000);
    for client in [place.owner().await, place.holder(&modest).await.unwrap()] {
        let client = client.with_timeout(Duration::from_secs(5));
        let echoed = client.ask(&address("here/lamp"), &Echo { text: text.clone() }).await;
        assert_eq!(echoed.as_ref(), Ok(&text));
    }
}

#[tokio::test]
async fn a_message_is_waited_for_no_longer_than_its_call_may_last() {
    let place = Place::new().await;
    let raw = Raw::connect(&place).await;
    let began = std::time::Instant::now();
    let headers = [("grpc-timeout", &b"200m"[..])];
    let sent = Sent { bytes: Some(framed(0, Some(64 << 20), &[])), has_end: false };
    let status = raw.call(ASK, &headers, sent).await.unwrap();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_call_ends_with_its_one_message() {
    let place = Place::new().await;
    let raw = Raw::connect(&place).await;
    let began = std::time::Instant::now();
    let unended = Sent { bytes: Some(asked(40_000)), has_end: false };
    let status = raw.call(ASK, &[], unended).await.unwrap();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
    assert!(status.message().contains("did not end"), "{status}");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    let twice = [asked(1), asked(1)].concat().into();
    let status = raw.call(ASK, &[], Sent { bytes: Some(twice), has_end: true }).await.unwrap();
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    let once = Sent { bytes: Some(asked(40_000)), has_end: true };
    assert_eq!(raw.call(ASK, &[], once).await.unwrap().code(), Code::Ok);
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_its_own_stream_up_and_nothing_else() {
    let place = Place::new().await;
    let client = place.owner().await;
    let lamp = address("here/lamp");
    let count = CountTo { number: 1_000_000, letters: 1_000 };
    let slow = client.stream(&lamp, &count).await.unwrap();
    // It goes on until all that lies between is full, and then no further.
    let mut before = place.report("here/lamp", |report| report.sent > 0).await.sent;
    loop {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let now = place.report("here/lamp", |_| true).await.sent;
        if now == before {
            break;
        }
        before = now;
    }
    assert!(before < 5_000, "{before} items of 1,000 letters wait for somebody who does not read");
    // Others of the same client, on the same connection, are served as ever.
    for _ in 0..100 {
        client.ask(&lamp, &Echo { text: "quick".to_owned() }).await.unwrap();
    }
    drop(slow);
    place.report("here/lamp", |report| report.gone == 1).await;
}

#[tokio::test]
async fn more_calls_than_a_connection_may_have_wait_their_turn() {
    let place = Place::new().await;
    let client = place.owner().await;
    let lamp = address("here/lamp");
    let mut streams = Vec::new();
    for _ in 0..64 {
        let count = CountTo { number: u64::MAX, letters: 0 };
        streams.push(client.stream(&lamp, &count).await.unwrap());
    }
    let hasty = client.clone().with_timeout(Duration::from_millis(100));
    let late = hasty.ask(&lamp, &Echo { text: "late".to_owned() }).await;
    assert!(matches!(late, Err(CallError::Lost(_))), "{late:?}");
    streams.pop();
    let answer = client.ask(&lamp, &Echo { text: "now".to_owned() }).await;
    assert_eq!(answer, Ok("now".to_owned()));
}

#[tokio::test]
async fn strangers_are_in_nobody_s_way_however_many_they_are() {
    let place = Place::new().await;
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(TcpStream::connect(place.at).await.unwrap());
    }
    let mut strangers = Vec::new();
    for _ in 0..80 {
        strangers.push(place.holder("nonsense").await.unwrap());
    }
    let (_, token) = place.token(&["*"], &Verb::ALL);
    let client = place.holder(&token).await.unwrap();
    let echo = || Echo { text: "still".to_owned() };
    client.ask(&address("here/lamp"), &echo()).await.unwrap();
    // Who was let in stays, whoever comes.
    for _ in 0..200 {
        silent.push(TcpStream::connect(place.at).await.unwrap());
    }
    client.ask(&address("here/lamp"), &echo()).await.unwrap();
    let counts = place.house.node().clients_turned_away();
    let count = |wanted| counts.iter().find(|(why, _)| *why == wanted).map_or(0, |found| found.1);
    assert!(count(TurnedAway::Crowded) >= 200, "{counts:?}");
    assert!(count(TurnedAway::Strangers) >= 16, "{counts:?}");
    assert!(place.gateway.turned_away() >= 216);
}

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u32, content: &[u8]) -> Vec<u8> {
    let len = u32::try_from(content.len()).unwrap().to_be_bytes();
    [&len[1..], &[kind, flags], &stream.to_be_bytes(), content].concat()
}

#[tokio::test]
async fn who_gives_up_a_whole_batch_of_calls_is_still_served() {
    const HEADERS: u8 = 1;
    const RESET: u8 = 3;
    const SETTINGS: u8 = 4;
    const PING: u8 = 6;
    const GO_AWAY: u8 = 7;
    let place = Place::new().await;
    let mut stream = UnixStream::connect(place.socket()).await.unwrap();
    let mut sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    sent.extend(frame(SETTINGS, 0, 0, &[]));
    // POST, http, the path, the authority and the type of the content.
    let call = b"\x83\x86\x04\x13/genii.v1.Genii/Ask\x01\x09localhost\x0f\x10\x10application/grpc";
    for number in 0..300 {
        sent.extend(frame(HEADERS, 4, 2 * number + 1, call));
        // It is taken back (8).
        sent.extend(frame(RESET, 0, 2 * number + 1, &8_u32.to_be_bytes()));
    }
    sent.extend(frame(PING, 0, 0, &[0; 8]));
    stream.write_all(&sent).await.unwrap();
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.unwrap();
        let len = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut content = vec![0; len as usize];
        stream.read_exact(&mut content).await.unwrap();
        assert_ne!(head[3], GO_AWAY, "{content:?}");
        if (head[3], head[4]) == (PING, 1) {
            return;
        }
    }
}

#[test]
fn however_many_want_a_description_few_are_made_at_once() {
    const THREAD: &str = "of-this-test";
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().thread_name(THREAD).build().unwrap();
    runtime.block_on(async {
        let place = Place::new().await;
        let client = place.owner().await;
        let all = DescribeRequest { schemas: true, ..DescribeRequest::default() };
        for _ in 0..5 {
            let asking: Vec<_> = (0..60)
                .map(|_| {
                    let (client, all) = (client.clone(), all.clone());
                    tokio::spawn(async move { client.describe(all).await })
                })
                .collect();
            tokio::time::sleep(Duration::from_millis(20)).await;
            asking.iter().for_each(tokio::task::JoinHandle::abort);
        }
        assert_eq!(client.describe(all).await.unwrap().agents.len(), 3);
    });
    let names = std::fs::read_dir("/proc/self/task").unwrap();
    let names =
        names.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    let threads = names.filter(|name| name.trim() == THREAD).count();
    // Of 300 askers. One that has made its description may not be idle yet when the next is made, so
    // that on a busy machine there are more threads than descriptions.
    assert!(threads <= 32, "{threads} threads");
}

#[tokio::test]
async fn nonsense_ends_its_own_connection_and_nothing_else() {
    let place = Place::new().await;
    let client = place.owner().await;
    for nonsense in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 4_096], b"PRI * HTTP/2.0\r\n\r\nXX"] {
        let mut stream = UnixStream::connect(place.socket()).await.unwrap();
        stream.write_all(nonsense).await.unwrap();
        let mut said = Vec::new();
        let _either_way = stream.read_to_end(&mut said).await;
        let mut stream = TcpStream::connect(place.at).await.unwrap();
        stream.write_all(nonsense).await.unwrap();
        let _either_way = stream.read_to_end(&mut said).await;
        client.ask(&address("here/lamp"), &Echo { text: "here".to_owned() }).await.unwrap();
    }
}
