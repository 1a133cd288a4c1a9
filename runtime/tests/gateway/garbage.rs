//! Garbage of every kind: none of it hangs a call, keeps the gateway from serving another client, makes
//! anything panic, or is taken for something good.

use std::sync::{Mutex, Once};
use std::time::Duration;

use bytes::Bytes;
use genii_protocols::api::{
    AskRequest, DescribeRequest, Payload, PublishRequest, StreamRequest, SubscribeRequest,
    TellRequest, WatchRequest, payload,
};
use genii_protocols::client::Client;
use genii_runtime::trust::scope::Verb;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tonic::{Code, Status};

use crate::place::*;
use crate::raw::{Raw, Sent, ended, framed};

const METHODS: [&str; 9] = [
    "/genii.v1.Genii/Ask",
    "/genii.v1.Genii/Tell",
    "/genii.v1.Genii/Stream",
    "/genii.v1.Genii/Subscribe",
    "/genii.v1.Genii/Publish",
    "/genii.v1.Genii/Describe",
    "/genii.v1.Genii/Watch",
    "/grpc.health.v1.Health/Check",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
];

/// What garbage is thrown at: a gateway, and a client that it serves all the while.
struct Victim {
    place: Place,
    /// Somebody who comes over TLS with a token, by one connection.
    client: Client,
    /// The token, as it is shown.
    shown: String,
}

impl Victim {
    async fn new() -> Self {
        let place = Place::new().await;
        let (_, token) = place.token(&["*"], &Verb::ALL);
        let client = place.holder(&token).await.unwrap();
        Self { place, client, shown: format!("Bearer {token}") }
    }

    /// Makes a call, by the Unix socket or over TLS, and reads the answer to its end or for a while. A
    /// call that neither answers nor ends has failed, but for those that go on for ever.
    async fn call(&self, over_tls: bool, call: Call<'_>) -> Option<Status> {
        let Call { path, headers, bytes, has_end } = call;
        let mut headers = headers.to_vec();
        let raw = if over_tls {
            headers.push(("authorization", self.shown.as_bytes()));
            Raw::connect_tls(&self.place).await
        } else {
            Raw::connect(&self.place).await
        };
        let sent = Sent { bytes: Some(bytes), has_end };
        let began = tokio::time::timeout(DEADLINE, raw.begin(path, &headers, sent)).await;
        let response = began.expect("it must answer or end")?;
        tokio::time::timeout(Duration::from_millis(20), ended(response)).await.ok()?
    }

    /// Whether it is as well as ever.
    async fn is_well(&self) {
        let echo = Echo { text: "x".to_owned() };
        let lamp = address("here/lamp");
        let answer = tokio::time::timeout(DEADLINE, self.client.ask(&lamp, &echo)).await;
        assert_eq!(answer.expect("it must answer"), Ok("x".to_owned()));
        let panics = PANICS.lock().unwrap().clone();
        assert!(panics.is_empty(), "{panics:?}");
    }
}

/// A call of garbage.
#[derive(Clone)]
struct Call<'a> {
    path: &'a str,
    headers: &'a [(&'a str, &'a [u8])],
    bytes: Bytes,
    has_end: bool,
}

/// What has panicked in this process that should not: not those agents that are told to.
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn notice_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let said = info.to_string();
            let own = std::thread::current().name().is_some_and(|name| name.contains("::"));
            if !own && !said.contains("as it was told") {
                PANICS.lock().unwrap().push(said);
            }
            before(info);
        }));
    });
}

/// Runs `case` for many things that a strategy makes, on one gateway, which must serve its client
/// after each.
fn survives<S: Strategy>(strategy: &S, case: impl AsyncFn(&Victim, S::Value)) {
    notice_panics();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.unwrap();
    let victim = runtime.block_on(runtime.spawn(Victim::new())).unwrap();
    let outcome = TestRunner::default().run(strategy, |made| {
        runtime.block_on(async {
            case(&victim, made).await;
            victim.is_well().await;
        });
        Ok(())
    });
    outcome.unwrap();
}

/// Fails if a call ended as only our own mistakes may end, other than because it is no message.
fn check(status: Option<&Status>) {
    let Some(status) = status else { return };
    let unreadable = ["decod", "compress", "Missing request message"];
    let is_unreadable = unreadable.iter().any(|word| status.message().contains(word));
    let is_ours = matches!(status.code(), Code::Internal | Code::Unknown);
    assert!(!is_ours || is_unreadable, "{status}");
}

fn bytes(len_max: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..len_max)
}

#[test]
fn bytes_that_are_no_http() {
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    let strategy = (any::<bool>(), bytes(600));
    survives(&strategy, async |victim, (has_preface, garbage)| {
        let mut stream = UnixStream::connect(victim.place.socket()).await.unwrap();
        let begun = if has_preface { preface.clone() } else { Vec::new() };
        let _closed_already = stream.write_all(&[begun, garbage].concat()).await;
        let _closed_already = stream.shutdown().await;
        let mut said = Vec::new();
        let read = stream.read_to_end(&mut said);
        let _either_way = tokio::time::timeout(DEADLINE, read).await.expect("it must end");
    });
}

#[test]
fn calls_that_are_no_messages() {
    let strategy = (
        prop::sample::select(&METHODS[..]),
        any::<u8>(),
        prop::option::of(any::<u32>()),
        bytes(300),
        bytes(60),
    );
    survives(&strategy, async |victim, (path, flag, len, message, header)| {
        let over_tls = len.is_some_and(|len| len % 4 == 0);
        let flag = if flag < 200 { 0 } else { flag };
        let (lying, honest) = (framed(flag, len, &message), framed(0, None, &message));
        let late: &[(&str, &[u8])] = &[("grpc-timeout", &header)];
        let unknown: &[(&str, &[u8])] = &[late[0], ("authorization", &header)];
        let soon: &[(&str, &[u8])] = &[("grpc-timeout", b"50m")];
        // More than one message, and less than one; those that end, and those that do not.
        let twice = Bytes::from([&honest[..], &lying[..]].concat());
        let less = Bytes::from(message.clone());
        for (headers, bytes, has_end) in [
            (late, lying.clone(), true),
            (unknown, honest.clone(), true),
            (&[], twice, true),
            (soon, less, true),
            (soon, lying, false),
            (soon, honest, false),
        ] {
            let status = victim.call(over_tls, Call { path, headers, bytes, has_end }).await;
            check(status.as_ref());
        }
    });
}

/// Text that is sometimes what is wanted.
fn text(good: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop_oneof![
        6 => prop::sample::select(good).prop_map(str::to_owned),
        6 => "\\PC{0,40}",
        6 => "[a-z*./@-]{0,80}",
        1 => (1_usize..400_000).prop_map(move |len| good[0].repeat(len / good[0].len() + 1)),
    ]
}

fn content() -> impl Strategy<Value = Option<Payload>> {
    let json = prop_oneof![
        "[\\[\\]{}\":,0-9a-z ]{0,60}",
        (1_usize..5_000).prop_map(|deep| "[".repeat(deep)),
        Just("{\"text\": \"x\"}".to_owned()),
        Just("{\"number\": 3}".to_owned()),
    ];
    let form = prop_oneof![
        json.prop_map(payload::Form::Json),
        bytes(60).prop_map(payload::Form::Bincode),
    ];
    prop::option::of(prop::option::of(form).prop_map(|form| Payload { form }))
}

#[test]
fn messages_that_make_no_sense() {
    const TO: &[&str] = &["here/lamp", "here/desk", "here/lamp@main", "away/oven", "here/lamp@pc2"];
    // Neither those that fail on purpose nor those that say as much as they are told to.
    const MESSAGES: &[&str] = &["worker.echo", "worker.note", "worker.report", "worker.brood"];
    const TOPICS: &[&str] = &["world.updates", "world.*", "**", "bell"];
    let strategy = (text(TO), text(MESSAGES), content(), text(TOPICS), any::<u64>());
    survives(&strategy, async |victim, (to, message, payload, topic, number)| {
        let timeout_ms = number % 30 + 1;
        let (to, message) = (|| to.clone(), || message.clone());
        let ask = AskRequest { to: to(), message: message(), payload: payload.clone(), timeout_ms };
        let tell =
            TellRequest { to: to(), message: message(), payload: payload.clone(), timeout_ms };
        let stream = StreamRequest { to: to(), message: message(), payload, timeout_ms };
        let describe =
            DescribeRequest { name: to(), schemas: true, after: message(), limit: number as u32 };
        let watch = WatchRequest { name: to(), from: number, follow: number % 2 == 0 };
        let json = message();
        let publish = PublishRequest { topic: topic.clone(), json, timeout_ms };
        let subscribe = SubscribeRequest { patterns: vec![topic; (number % 70) as usize] };
        let bodies = [
            ask.encode_to_vec(),
            tell.encode_to_vec(),
            stream.encode_to_vec(),
            subscribe.encode_to_vec(),
            publish.encode_to_vec(),
            describe.encode_to_vec(),
            watch.encode_to_vec(),
        ];
        let which = (number % bodies.len() as u64) as usize;
        let bytes = framed(0, None, &bodies[which]);
        let call = Call { path: METHODS[which], headers: &[], bytes, has_end: true };
        let status = victim.call(number % 4 == 0, call.clone()).await;
        check(status.as_ref());
        let headers: &[(&str, &[u8])] = &[("grpc-timeout", b"50m")];
        let unended = Call { headers, has_end: false, ..call };
        check(victim.call(false, unended).await.as_ref());
    });
}
