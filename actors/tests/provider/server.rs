//! A server on this machine that plays what it is told, word for word and fault for fault.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What is done about a question, step by step.
#[derive(Debug, Clone)]
pub enum Step {
    /// Send these bytes.
    Send(Vec<u8>),
    /// Do nothing for a while.
    Pause(Duration),
    /// Do nothing until this is so.
    #[allow(dead_code, reason = "only the tests of beings hold an answer back")]
    Until(watch::Receiver<bool>),
    /// Do nothing until the asker goes away, and count that.
    Hang,
    /// Close the connection.
    Close,
    /// Send an error in whose body is what the question had for authorization.
    EchoAuthorization(u16),
    /// Send these bytes over and over, until the asker goes away.
    Flood(Vec<u8>),
}

/// All that is done about a question.
pub type Script = Vec<Step>;

/// A question, as it came.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The first line.
    pub line: String,
    /// The headers, in lower case.
    pub headers: String,
    /// What was asked.
    pub body: Value,
}

/// A server that plays one script for each question; the last is played again and again.
pub struct Server {
    port: u16,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

struct State {
    scripts: Vec<Script>,
    seen: Mutex<Vec<Seen>>,
    connections: AtomicUsize,
    /// How many questions there were that nobody waited for any more.
    left: watch::Sender<usize>,
}

impl Server {
    pub async fn start(scripts: Vec<Script>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (left, _) = watch::channel(0);
        let state =
            State { scripts, seen: Mutex::default(), connections: AtomicUsize::new(0), left };
        let state = Arc::new(state);
        let accepting = tokio::spawn(accept(listener, state.clone()));
        Self { port, state, accepting }
    }

    pub fn base_url(&self) -> String {
        format!("http://127.0.0.1:{}/v1", self.port)
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().clone()
    }

    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::Relaxed)
    }

    /// Waits until so many askers went away.
    pub async fn was_left_by(&self, askers: usize) {
        self.state.left.subscribe().wait_for(|left| *left >= askers).await.unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// The address of a server that is not there.
pub async fn nowhere() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}/v1", listener.local_addr().unwrap())
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    while let Ok((stream, _)) = listener.accept().await {
        // Each step is seen as it is played.
        stream.set_nodelay(true).unwrap();
        state.connections.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(serve(stream, state.clone()));
    }
}

/// Plays scripts on a connection as long as it lasts.
async fn serve(mut stream: TcpStream, state: Arc<State>) {
    while let Some(seen) = question(&mut stream).await {
        let number = {
            let mut all = state.seen.lock();
            all.push(seen.clone());
            all.len() - 1
        };
        let script = state.scripts.get(number).or(state.scripts.last()).cloned();
        for step in script.unwrap_or_default() {
            if play(step, &mut stream, &seen, &state).await.is_none() {
                return;
            }
        }
    }
}

async fn play(step: Step, stream: &mut TcpStream, seen: &Seen, state: &State) -> Option<()> {
    match step {
        Step::Send(bytes) => stream.write_all(&bytes).await.ok(),
        Step::Pause(time) => {
            tokio::time::sleep(time).await;
            Some(())
        }
        Step::Until(mut is_so) => {
            let has_come = is_so.wait_for(|is_so| *is_so).await.is_ok();
            has_come.then_some(())
        }
        Step::Close => None,
        Step::Hang => {
            while stream.read(&mut [0; 64]).await.is_ok_and(|len| len > 0) {}
            state.left.send_modify(|left| *left += 1);
            None
        }
        Step::EchoAuthorization(status) => {
            let header = seen.headers.lines().find(|line| line.starts_with("authorization"));
            let body = json!({ "error": { "message": format!("bad header: {}", header?) } });
            stream.write_all(&bytes_of(&error(status, "", &body.to_string()))).await.ok()
        }
        Step::Flood(bytes) => {
            while stream.write_all(&bytes).await.is_ok() {}
            state.left.send_modify(|left| *left += 1);
            None
        }
    }
}

async fn question(stream: &mut TcpStream) -> Option<Seen> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        more(stream, &mut bytes).await?;
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let (line, headers) = head.split_once("\r\n").unwrap();
    let lower = |line: &str| match line.split_once(':') {
        Some((name, value)) => format!("{}:{value}", name.to_lowercase()),
        None => line.to_owned(),
    };
    let headers = headers.lines().map(lower).collect::<Vec<_>>().join("\n");
    let len = headers.lines().find_map(|line| line.strip_prefix("content-length:"));
    let len: usize = len.unwrap().trim().parse().unwrap();
    while bytes.len() < end + len {
        more(stream, &mut bytes).await?;
    }
    let body = serde_json::from_slice(&bytes[end..]).unwrap();
    Some(Seen { line: line.to_owned(), headers, body })
}

async fn more(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<()> {
    let mut buffer = [0; 4_096];
    let len = stream.read(&mut buffer).await.ok().filter(|len| *len > 0)?;
    bytes.extend_from_slice(&buffer[..len]);
    Some(())
}

fn bytes_of(script: &Script) -> Vec<u8> {
    let bytes = script.iter().filter_map(|step| match step {
        Step::Send(bytes) => Some(&**bytes),
        _ => None,
    });
    bytes.collect::<Vec<_>>().concat()
}

fn send(text: impl Into<String>) -> Step {
    Step::Send(text.into().into_bytes())
}

/// Raw bytes, and then the connection is closed.
pub fn raw(text: &str) -> Script {
    vec![send(text), Step::Close]
}

/// An error with some headers, each with its line end, and a body.
pub fn error(status: u16, headers: &str, body: &str) -> Script {
    let len = body.len();
    vec![send(format!(
        "HTTP/1.1 {status} Some Words\r\ncontent-type: application/json\r\n{headers}content-length: {len}\r\n\r\n{body}"
    ))]
}

/// A whole response of some kind.
pub fn page(kind: &str, body: &str) -> Script {
    let len = body.len();
    vec![send(format!(
        "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {len}\r\n\r\n{body}"
    ))]
}

/// The beginning of a stream of events.
pub fn begins() -> Script {
    vec![send(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
    )]
}

/// Bytes of a stream.
pub fn part(text: &str) -> Step {
    send(format!("{:x}\r\n{text}\r\n", text.len()))
}

/// The end of a stream.
pub fn ends() -> Step {
    send("0\r\n\r\n")
}

/// An event.
pub fn event(data: &Value) -> Step {
    part(&format!("data: {data}\n\n"))
}

/// Some words of an answer.
pub fn words(text: &str) -> Step {
    event(&json!({ "choices": [{ "index": 0, "delta": { "content": text } }] }))
}

/// Why the answer ends.
pub fn finish(reason: &str) -> Step {
    event(&json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": reason }] }))
}

/// How many tokens it took.
pub fn usage(prompt: u32, reply: u32) -> Step {
    let usage = json!({ "prompt_tokens": prompt, "completion_tokens": reply });
    event(&json!({ "choices": [], "usage": usage }))
}

/// The last event.
pub fn done() -> Step {
    part("data: [DONE]\n\n")
}

/// A stream of these parts that ends as it should.
pub fn stream(parts: Vec<Step>) -> Script {
    [begins(), parts, vec![ends()]].concat()
}

/// A whole answer of these words.
pub fn answer(texts: &[&str]) -> Script {
    let texts = texts.iter().map(|text| words(text));
    stream(texts.chain([finish("stop"), usage(7, 2), done()]).collect())
}
