//! The provider that asks a server, against a server that plays all that servers do.
#![allow(clippy::unwrap_used)]

#[path = "provider/server.rs"]
mod server;

#[path = "provider/keys.rs"]
mod keys;

#[path = "provider/limits.rs"]
mod limits;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{Stream, StreamExt};
use genii_actors::being::provider::{
    Piece, PromptMessage, Provider, ProviderError, ProviderKind, ProviderSettings, ProviderShare,
    Request, Role, Usage, make,
};
use genii_protocols::TimeSpan;
use serde_json::json;

use server::{
    Script, Server, Step, answer, begins, done, error, event, finish, nowhere, page, part, raw,
    stream, words,
};

/// How long a test waits for what must come. Nothing of what is tested takes as long.
const PATIENCE: Duration = Duration::from_secs(60);

/// A time that passes in tests, and is long enough for a busy machine to answer at once.
const SHORT: TimeSpan = TimeSpan::from_millis(1_000);

/// What came of a question.
struct Outcome {
    text: String,
    end: Result<Usage, ProviderError>,
    requests: usize,
}

fn settings(base_url: String) -> ProviderSettings {
    ProviderSettings {
        kind: ProviderKind::OpenAi,
        base_url: Some(base_url),
        model: Some("wise-1".to_owned()),
        backoff_base: TimeSpan::from_millis(1),
        backoff_cap: TimeSpan::from_millis(20),
        ..ProviderSettings::default()
    }
}

fn provider(settings: &ProviderSettings) -> Arc<dyn Provider> {
    make(settings, &ProviderShare::new(), 7).unwrap()
}

fn request(said: &str) -> Arc<Request> {
    let messages = vec![PromptMessage { role: Role::User, text: said.to_owned() }];
    Arc::new(Request { messages, ..Request::default() })
}

async fn all_of(
    mut answer: impl Stream<Item = Result<Piece, ProviderError>> + Unpin,
) -> (String, Result<Usage, ProviderError>) {
    let mut text = String::new();
    while let Some(piece) = answer.next().await {
        match piece {
            Ok(Piece::Text(more)) => text += &more,
            Ok(Piece::End(usage)) => {
                assert!(answer.next().await.is_none(), "nothing comes after the end");
                return (text, Ok(usage));
            }
            Err(error) => {
                assert!(answer.next().await.is_none(), "nothing comes after an error");
                return (text, Err(error));
            }
        }
    }
    panic!("the answer stopped without an end after {text:?}");
}

async fn ask_with(
    scripts: Vec<Script>,
    change: impl FnOnce(ProviderSettings) -> ProviderSettings,
) -> Outcome {
    let server = Server::start(scripts).await;
    let provider = provider(&change(settings(server.base_url())));
    let asking = all_of(provider.answer(request("Hello?")));
    let (text, end) = tokio::time::timeout(PATIENCE, asking).await.expect("it takes far too long");
    Outcome { text, end, requests: server.seen().len() }
}

/// The answer comes whole: these words, after so many requests.
async fn check_answer(scripts: Vec<Script>, text: &str, usage: Usage, requests: usize) {
    let outcome = ask_with(scripts, |settings| settings).await;
    assert_eq!(outcome.end.as_ref(), Ok(&usage), "after {:?}", outcome.text);
    assert_eq!((&*outcome.text, outcome.requests), (text, requests));
}

/// It fails: with this kind of error that says this, after these words and so many requests.
fn check_failure(outcome: &Outcome, text: &str, kind: &str, says: &str, requests: usize) {
    let error = outcome.end.as_ref().expect_err(&outcome.text);
    let shown = error.to_string();
    assert!(format!("{error:?}").starts_with(kind), "{kind} was expected, not {error:?}");
    assert!(shown.contains(says), "{says:?} was expected in {shown:?}");
    assert_eq!((&*outcome.text, outcome.requests), (text, requests), "{shown}");
}

async fn check_error(scripts: Vec<Script>, text: &str, kind: &str, says: &str, requests: usize) {
    let outcome = ask_with(scripts, |settings| settings).await;
    check_failure(&outcome, text, kind, says, requests);
}

fn counted(prompt: u32, reply: u32) -> Usage {
    Usage { prompt_tokens: Some(prompt), reply_tokens: Some(reply), is_cut_off: false }
}

#[tokio::test]
async fn an_answer_comes_in_pieces_with_what_it_took() {
    let server = Server::start(vec![answer(&["Hel", "lo ", "🐈!"])]).await;
    let provider = provider(&settings(server.base_url()));
    assert_eq!(provider.label(), format!("wise-1 at {}", server.base_url()));
    let pieces: Vec<_> = provider.answer(request("Hi")).map(Result::unwrap).collect().await;
    let text = |text: &str| Piece::Text(text.to_owned());
    assert_eq!(pieces, [text("Hel"), text("lo "), text("🐈!"), Piece::End(counted(7, 2))]);
    let seen = &server.seen()[0];
    assert_eq!(seen.line, "POST /v1/chat/completions HTTP/1.1");
    assert_eq!(seen.body["messages"][0]["content"], "Hi");
    assert!(seen.headers.contains("content-type: application/json"), "{}", seen.headers);
    assert!(!seen.headers.contains("authorization"), "{}", seen.headers);
}

#[tokio::test]
async fn an_answer_may_end_in_many_ways() {
    let none = Usage::default();
    let whole = |parts| vec![stream(parts)];
    check_answer(whole(vec![words("a"), finish("stop"), done()]), "a", none, 1).await;
    // Without the last event, and without a count.
    check_answer(whole(vec![words("a"), finish("stop")]), "a", none, 1).await;
    // Without a reason.
    check_answer(whole(vec![words("a"), done()]), "a", none, 1).await;
    // The last event is not ended by an empty line.
    check_answer(whole(vec![words("a"), part("data: [DONE]")]), "a", none, 1).await;
    // The connection breaks after the end.
    let cut = [begins(), vec![words("a"), finish("stop"), Step::Close]].concat();
    check_answer(vec![cut], "a", none, 1).await;
    // The connection stays open after the end.
    let open = [begins(), vec![words("a"), finish("stop"), Step::Hang]].concat();
    check_answer(vec![open], "a", none, 1).await;
    let cut_off = Usage { is_cut_off: true, ..none };
    check_answer(whole(vec![words("a"), finish("length"), done()]), "a", cut_off, 1).await;
}

#[tokio::test]
async fn an_answer_may_come_in_many_ways() {
    let none = Usage::default();
    let thought = event(&json!({ "choices": [{ "delta": { "reasoning_content": "hm" } }] }));
    let role = event(&json!({ "choices": [{ "delta": { "role": "assistant", "content": "" } }] }));
    let parts = vec![part(": ping\n\n"), role, thought, words("a"), words("b"), done()];
    check_answer(vec![stream(parts)], "ab", none, 1).await;
    let split =
        "data: {\"choices\":[{\"delta\":{\"content\":\"ab\"}}]}\r\n\r\ndata: [DONE]\r\n\r\n";
    let bytes: Vec<Step> = split.chars().map(|c| part(&c.to_string())).collect();
    check_answer(vec![stream(bytes)], "ab", none, 1).await;
    let without_kind = format!("HTTP/1.1 200 OK\r\n\r\n{split}");
    check_answer(vec![raw(&without_kind)], "ab", none, 1).await;
}

#[tokio::test]
async fn what_may_pass_is_asked_again() {
    let hello = answer(&["Hello"]);
    for status in [429, 500, 502, 503, 504] {
        let scripts = vec![error(status, "", "{}"), error(status, "", ""), hello.clone()];
        check_answer(scripts, "Hello", counted(7, 2), 3).await;
    }
    check_answer(vec![vec![Step::Close], hello.clone()], "Hello", counted(7, 2), 2).await;
    let later = error(429, "retry-after: 0\r\n", "{}");
    check_answer(vec![later, hello], "Hello", counted(7, 2), 2).await;
}

#[tokio::test]
async fn a_server_that_fails_is_not_asked_for_ever() {
    let busy = error(503, "", r#"{"error":{"message":"loading model"}}"#);
    check_error(vec![busy], "", "Failed", "HTTP 503: loading model (asked 3 times)", 3).await;
    check_error(vec![error(429, "", "{}")], "", "Limited", "(asked 3 times)", 3).await;
    check_error(vec![vec![Step::Close]], "", "Failed", "before it answered", 3).await;
    let once = |settings| ProviderSettings { retries_max: 0, ..settings };
    let outcome = ask_with(vec![error(500, "", "out of memory")], once).await;
    check_failure(&outcome, "", "Failed", "HTTP 500: out of memory", 1);
}

#[tokio::test]
async fn what_will_not_pass_is_not_asked_again() {
    let no = |status| vec![error(status, "", r#"{"error":{"message":"no, thanks"}}"#)];
    check_error(no(400), "", "Refused", "HTTP 400: no, thanks", 1).await;
    check_error(no(401), "", "Unauthorized", "HTTP 401: no, thanks", 1).await;
    check_error(no(402), "", "Limited", "HTTP 402: no, thanks", 1).await;
    check_error(no(403), "", "Unauthorized", "HTTP 403: no, thanks", 1).await;
    check_error(no(404), "", "Refused", "ends in /v1", 1).await;
    check_error(no(413), "", "Refused", "HTTP 413", 1).await;
    check_error(no(422), "", "Refused", "HTTP 422", 1).await;
    check_error(no(501), "", "Failed", "HTTP 501", 1).await;
    let empty = error(429, "", r#"{"error":{"message":"pay","code":"insufficient_quota"}}"#);
    check_error(vec![empty], "", "Limited", "HTTP 429: pay", 1).await;
    let tomorrow = error(429, "retry-after: 86400\r\n", "{}");
    check_error(vec![tomorrow], "", "Limited", "HTTP 429", 1).await;
    let moved = error(307, "location: https://b.example/v1\r\n", "");
    check_error(vec![moved], "", "Refused", "it has moved to https://b.example/v1", 1).await;
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named() {
    // No name has a part of more than 63 letters, so nobody is asked for this one.
    let no_name = format!("http://{}.invalid/v1", "x".repeat(64));
    for base_url in [nowhere().await, no_name] {
        let provider = provider(&settings(base_url.clone()));
        let (_, end) = all_of(provider.answer(request("Hi"))).await;
        let shown = end.unwrap_err().to_string();
        assert!(shown.starts_with(&format!("{base_url} cannot be reached: ")), "{shown}");
        assert!(shown.contains("(asked 3 times); is it running"), "{shown}");
    }
}

#[tokio::test]
async fn a_server_that_does_not_speak_tls_is_not_waited_for() {
    let server = Server::start(vec![]).await;
    let base_url = server.base_url().replace("http:", "https:");
    let impatient =
        ProviderSettings { connect_timeout: SHORT, retries_max: 0, ..settings(base_url) };
    let (_, end) = all_of(provider(&impatient).answer(request("Hi"))).await;
    assert!(matches!(end, Err(ProviderError::Unreachable { .. })), "{end:?}");
}

#[tokio::test]
async fn garbage_is_called_so() {
    let garbage = |parts| vec![stream(parts)];
    let page = page("text/html; charset=utf-8", "<html>Log in</html>");
    check_error(vec![page], "", "Garbage", "text/html; charset=utf-8 instead of", 1).await;
    check_error(vec![raw("SSH-2.0-OpenSSH_9.6\r\n")], "", "Garbage", "does not speak HTTP", 1)
        .await;
    check_error(garbage(vec![part("data: {oops\n\n")]), "", "Garbage", "that is not JSON", 1).await;
    let half = garbage(vec![words("a"), part("data: {oops\n\n")]);
    check_error(half, "a", "Garbage", "that is not JSON", 1).await;
    check_error(garbage(vec![part("data: {}\n\n")]), "", "Garbage", "no part of an answer", 1)
        .await;
    check_error(garbage(vec![]), "", "Garbage", "without an event", 1).await;
    let no_data = garbage(vec![part("event: message\nid: 7\n\nhello\n\n")]);
    check_error(no_data, "", "Garbage", "without an event", 1).await;
    check_error(garbage(vec![finish("stop"), done()]), "", "Garbage", "without a word", 1).await;
}

#[tokio::test]
async fn nothing_endless_is_read_to_the_end() {
    let flood = |bytes: &str| vec![[begins(), vec![Step::Flood(chunked(bytes))]].concat()];
    let line = "x".repeat(1 << 16);
    check_error(flood(&line), "", "Garbage", "an event of more than", 1).await;
    let data = format!("data: {line}\n");
    check_error(flood(&data), "", "Garbage", "an event of more than", 1).await;
    let pings = ": ping\n\n".repeat(1 << 13);
    check_error(flood(&pings), "", "Garbage", "without a word", 1).await;
    let huge = json!({ "choices": [{ "delta": { "content": "x".repeat(1 << 20) } }] });
    check_error(vec![stream(vec![event(&huge)])], "", "Garbage", "an event of more than", 1).await;
    let long = json!({ "choices": [{ "delta": { "content": "x".repeat(1 << 19) } }] });
    let long = vec![stream(vec![words("a"), event(&long)])];
    check_error(long, "a", "BrokenOff", "far more than 1024 tokens", 1).await;
}

fn chunked(text: &str) -> Vec<u8> {
    match part(text) {
        Step::Send(bytes) => bytes,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_endless_error_is_read_in_part() {
    let head = "HTTP/1.1 400 Bad Request\r\n\r\n";
    let endless = vec![Step::Send(head.into()), Step::Flood(b"so wrong ".repeat(1_000))];
    check_error(vec![endless], "", "Refused", "HTTP 400: so wrong so wrong", 1).await;
    let stuck = "HTTP/1.1 400 Bad Request\r\ncontent-length: 1000\r\n\r\nso wrong";
    let stuck = vec![Step::Send(stuck.into()), Step::Hang];
    check_error(vec![stuck], "", "Refused", "HTTP 400: so wrong", 1).await;
}

#[tokio::test]
async fn an_answer_that_is_cut_is_not_taken_for_whole() {
    let cut = |parts| vec![[begins(), parts, vec![Step::Close]].concat()];
    check_error(cut(vec![words("Once upon")]), "Once upon", "BrokenOff", "mid-answer", 1).await;
    let half = vec![words("a"), part("data: {\"choices\":[{\"delta\":{\"cont")];
    check_error(cut(half.clone()), "a", "BrokenOff", "mid-answer", 1).await;
    // It ends as streams should, and the answer does not.
    check_error(vec![stream(half)], "a", "BrokenOff", "the connection was closed", 1).await;
    check_error(vec![stream(vec![words("a")])], "a", "BrokenOff", "closed", 1).await;
    let trouble = event(&json!({ "error": { "message": "out of memory", "code": 500 } }));
    let parts = vec![words("a"), trouble.clone()];
    check_error(vec![stream(parts)], "a", "BrokenOff", "out of memory", 1).await;
    check_error(vec![stream(vec![trouble])], "", "Failed", "out of memory", 1).await;
    let error = page("application/json", r#"{"error":{"message":"no such model"}}"#);
    check_error(vec![error], "", "Failed", "no such model", 1).await;
    let filtered = stream(vec![words("a"), finish("content_filter"), done()]);
    check_error(vec![filtered], "a", "Refused", "content filter", 1).await;
}

/// It hangs like this, and is found silent for as long as the settings let it.
async fn check_silence(script: Script, setting: &'static str, text: &str) {
    let server = Server::start(vec![script]).await;
    let mut settings = settings(server.base_url());
    match setting {
        "first_token_timeout" => settings.first_token_timeout = SHORT,
        "token_timeout" => settings.token_timeout = SHORT,
        _ => settings.total_timeout = SHORT,
    }
    let provider = provider(&settings);
    let (said, end) = all_of(provider.answer(request("Hi"))).await;
    let silent = ProviderError::Silent { place: server.base_url(), patience: SHORT.0, setting };
    assert!(silent.to_string().ends_with(&format!("`{setting}` allows it more")), "{silent}");
    assert_eq!((&*said, end), (text, Err(silent)));
    tokio::time::timeout(PATIENCE, server.was_left_by(1)).await.expect("the connection is kept");
    assert_eq!(server.seen().len(), 1, "silence is not asked for twice");
}

#[tokio::test]
async fn silence_is_borne_for_a_while() {
    let hang = |parts| [begins(), parts, vec![Step::Hang]].concat();
    let first = "first_token_timeout";
    check_silence(vec![Step::Hang], first, "").await;
    check_silence(vec![Step::Send(b"HTTP/1.1 200 OK\r\ncont".to_vec()), Step::Hang], first, "")
        .await;
    check_silence(hang(vec![]), first, "").await;
    check_silence(hang(vec![part(": ping\n\n")]), first, "").await;
    check_silence(hang(vec![words("a")]), "token_timeout", "a").await;
    check_silence(vec![Step::Hang], "total_timeout", "").await;
}

#[tokio::test]
async fn thinking_is_a_sign_of_life() {
    let thought = event(&json!({ "choices": [{ "delta": { "reasoning": "hm" } }] }));
    let parts = vec![thought, Step::Pause(SHORT.0 * 3), words("a"), done()];
    let quick =
        |settings| ProviderSettings { first_token_timeout: TimeSpan(SHORT.0 * 2), ..settings };
    let outcome = ask_with(vec![stream(parts)], quick).await;
    assert_eq!((&*outcome.text, outcome.end), ("a", Ok(Usage::default())));
}

#[tokio::test]
async fn a_server_may_tell_of_thoughts_by_two_names_at_once() {
    let delta = |delta: serde_json::Value| event(&json!({ "choices": [{ "delta": delta }] }));
    let parts = vec![
        delta(json!({ "content": "", "reasoning": null, "reasoning_content": null })),
        delta(json!({ "content": null, "reasoning": "hm", "reasoning_content": "hm" })),
        delta(json!({ "content": "a", "reasoning": null, "reasoning_content": null })),
        delta(json!({ "content": "b", "reasoning": null })),
        finish("stop"),
        done(),
    ];
    check_answer(vec![stream(parts)], "ab", Usage::default(), 1).await;
}

#[tokio::test]
async fn an_answer_that_never_ends_is_broken_off() {
    let word = match words("on and on ") {
        Step::Send(bytes) => bytes,
        other => panic!("{other:?}"),
    };
    let endless = [begins(), vec![Step::Flood(word)]].concat();
    let settings =
        |settings| ProviderSettings { total_timeout: SHORT, reply_tokens_max: 1 << 20, ..settings };
    let outcome = ask_with(vec![endless], settings).await;
    let error = outcome.end.unwrap_err().to_string();
    assert!(error.contains("`total_timeout`") || error.contains("far more than"), "{error}");
    assert!(outcome.text.starts_with("on and on "));
}

#[tokio::test]
async fn the_connection_closes_at_once_when_nobody_waits_any_more() {
    let scripts = vec![vec![Step::Hang], [begins(), vec![words("a"), Step::Hang]].concat()];
    let server = Server::start(scripts).await;
    let provider = provider(&settings(server.base_url()));
    // Before anything came: the question is known to have arrived.
    let mut answer = provider.answer(request("Hi"));
    let arrived = async {
        while server.seen().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        piece = answer.next() => panic!("{piece:?}"),
        () = arrived => {}
    }
    drop(answer);
    tokio::time::timeout(PATIENCE, server.was_left_by(1)).await.expect("the connection is kept");
    // In mid-answer.
    let mut answer = provider.answer(request("Hi"));
    assert_eq!(answer.next().await, Some(Ok(Piece::Text("a".to_owned()))));
    drop(answer);
    tokio::time::timeout(PATIENCE, server.was_left_by(2)).await.expect("the connection is kept");
}

#[tokio::test]
async fn ten_thousand_providers_cost_nothing_before_the_first_question() {
    let server = Server::start(vec![answer(&["a"])]).await;
    let share = ProviderShare::new();
    let settings = settings(server.base_url());
    let began = Instant::now();
    let providers: Vec<_> =
        (0..10_000).map(|seed| make(&settings, &share, seed).unwrap()).collect();
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!((share.servers(), server.seen().len()), (0, 0));
    for provider in &providers[..20] {
        all_of(provider.answer(request("Hi"))).await.1.unwrap();
    }
    assert_eq!((share.servers(), server.seen().len()), (1, 20));
    // They take turns on a connection; now and then one is asked for before it is free again.
    assert!(server.connections() < 10, "{} connections", server.connections());
}

#[tokio::test]
async fn without_settings_it_answers_offline() {
    let provider = provider(&ProviderSettings::default());
    assert_eq!(provider.label(), "offline");
    let (text, end) = all_of(provider.answer(request("Hi"))).await;
    assert!(text.contains("I am offline"), "{text}");
    end.unwrap();
}

#[test]
fn settings_that_make_no_sense_make_no_provider() {
    let settings = ProviderSettings { kind: ProviderKind::OpenAi, ..ProviderSettings::default() };
    let error = make(&settings, &ProviderShare::new(), 7).err().unwrap().to_string();
    assert!(
        error.contains("`base_url` is missing") && error.contains("`model` is missing"),
        "{error}"
    );
}
