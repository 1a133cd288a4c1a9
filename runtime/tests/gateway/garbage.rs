//! Garbage of every kind: none of it hangs a call, ends the gateway, or is taken for something good.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use genii_protocols::api::{
    AskRequest, DescribeRequest, Payload, PublishRequest, StreamRequest, SubscribeRequest,
    TellRequest, WatchRequest, payload,
};
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::place::*;

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

/// Runs `case` for many things that a strategy makes, on one house, which must answer after each.
fn survives<S: Strategy>(strategy: &S, case: impl AsyncFn(&Place, S::Value)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let place = runtime.block_on(Place::new());
    let outcome = TestRunner::default().run(strategy, |made| {
        runtime.block_on(async {
            case(&place, made).await;
            let mail = place.house.node().to(address("here/lamp"));
            let echo = mail.ask(Echo { text: "x".to_owned() });
            assert_eq!(echo.await, Ok("x".to_owned()));
        });
        Ok(())
    });
    outcome.unwrap();
}

/// Makes a call, and reads the answer to its end or for a while. A call that neither answers nor ends
/// has failed, but for those that go on for ever.
async fn call(place: &Place, path: &str, headers: &[(&str, &[u8])], body: Bytes) {
    let stream = UnixStream::connect(place.socket()).await.unwrap();
    let handshake =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.unwrap();
    let driving = tokio::spawn(connection);
    let mut request = Request::post(format!("http://genii.invalid{path}"));
    request = request.header("content-type", "application/grpc").header("te", "trailers");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    if let Ok(request) = request.body(Full::new(body)) {
        let answered = tokio::time::timeout(DEADLINE, sender.send_request(request)).await;
        if let Ok(response) = answered.expect("it must answer or end") {
            let read = response.into_body().collect();
            let _goes_on = tokio::time::timeout(Duration::from_millis(20), read).await;
        }
    }
    driving.abort();
}

/// A message of gRPC, with a length that may lie.
fn framed(flag: u8, len: Option<u32>, message: &[u8]) -> Bytes {
    let mut framed = BytesMut::new();
    framed.put_u8(flag);
    framed.put_u32(len.unwrap_or(message.len() as u32));
    framed.put_slice(message);
    framed.freeze()
}

fn bytes(len_max: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..len_max)
}

#[test]
fn bytes_that_are_no_http() {
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    let strategy = (any::<bool>(), bytes(600));
    survives(&strategy, async |place, (has_preface, garbage)| {
        let mut stream = UnixStream::connect(place.socket()).await.unwrap();
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
    survives(&strategy, async |place, (path, flag, len, message, header)| {
        let flag = if flag < 200 { 0 } else { flag };
        let headers = [("grpc-timeout", &*header), ("authorization", &*header)];
        call(place, path, &headers[..1], framed(flag, len, &message)).await;
        call(place, path, &headers, framed(0, None, &message)).await;
        // More than one message, and less than one.
        let twice = [framed(0, None, &message), framed(flag, len, &message)].concat();
        call(place, path, &[], twice.into()).await;
        call(place, path, &[("grpc-timeout", b"50m")], message.into()).await;
    });
}

/// Text that is sometimes what is wanted.
fn text(good: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(good).prop_map(str::to_owned),
        "\\PC{0,40}",
        "[a-z*./@-]{0,80}"
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
    survives(&strategy, async |place, (to, message, payload, topic, number)| {
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
        call(place, METHODS[which], &[], framed(0, None, &bodies[which])).await;
    });
}
