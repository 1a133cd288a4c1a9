//! A server on this machine that answers at once, as servers of models do that stream, and keeps the
//! time of each answer: so what a query costs without it can be told.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc)]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use genii_protocols::Json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// How a question is marked, so that its answer is known again.
const MARK: &str = "talk-";

const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
                    Transfer-Encoding: chunked\r\n\r\n";
const WORDS: [&str; 20] = [
    "The ", "lamp ", "is ", "lit, ", "and ", "the ", "boats ", "are ", "home; ", "I ", "shall ",
    "keep ", "in ", "mind ", "what ", "you ", "told ", "me ", "just ", "now.",
];

/// When a question was there, and its answer was sent.
#[derive(Debug, Clone, Copy)]
pub struct Served {
    /// All of the question had come.
    pub asked: Instant,
    /// The first words were about to go.
    pub began: Instant,
    /// The last had gone.
    pub ended: Instant,
}

/// The server. It has a thread of its own, and ends with the process.
pub struct Stub {
    port: u16,
    served: Arc<Mutex<HashMap<u64, Served>>>,
}

impl Stub {
    /// Starts it.
    pub fn start() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let served = Arc::new(Mutex::new(HashMap::new()));
        let keeping = served.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(accept(listener, keeping));
        });
        Self { port, served }
    }

    /// Where it listens, on this machine.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The settings of a provider that asks it.
    pub fn settings(&self) -> Json {
        let base_url = format!("http://127.0.0.1:{}/v1", self.port);
        Json(serde_json::json!({ "kind": "openai", "base_url": base_url, "model": "stub" }))
    }

    /// What is said so that [`Stub::served`] knows it again.
    pub fn marked(text: &str, number: u64) -> String {
        format!("{text} {MARK}{number}")
    }

    /// When it was asked that, and answered.
    pub fn served(&self, number: u64) -> Served {
        self.served.lock().unwrap()[&number]
    }
}

async fn accept(listener: std::net::TcpListener, served: Arc<Mutex<HashMap<u64, Served>>>) {
    let listener = TcpListener::from_std(listener).unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        tokio::spawn(serve(stream, served.clone()));
    }
}

async fn serve(mut stream: TcpStream, served: Arc<Mutex<HashMap<u64, Served>>>) {
    let first = format!("{HEAD}{}", chunk(&event(WORDS[0], "null")));
    let mut rest: String = WORDS[1..].iter().map(|word| chunk(&event(word, "null"))).collect();
    rest += &chunk(&event("", "\"stop\""));
    rest += &chunk("data: [DONE]\n\n");
    rest += "0\r\n\r\n";
    let mut buffer = Vec::new();
    while let Some(body) = question(&mut stream, &mut buffer).await {
        let asked = Instant::now();
        let number = marked_with(&body);
        let began = Instant::now();
        stream.write_all(first.as_bytes()).await.unwrap();
        stream.write_all(rest.as_bytes()).await.unwrap();
        let ended = Instant::now();
        if let Some(number) = number {
            // Whoever sums up a talk quotes what was asked before.
            let served = &mut served.lock().unwrap();
            served.entry(number).or_insert(Served { asked, began, ended });
        }
    }
}

fn event(words: &str, finish: &str) -> String {
    format!(
        "data: {{\"object\":\"chat.completion.chunk\",\"choices\":[{{\"index\":0,\
         \"delta\":{{\"content\":\"{words}\"}},\"finish_reason\":{finish}}}]}}\n\n"
    )
}

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

/// The body of the next question; none when the asker has gone.
async fn question(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<String> {
    loop {
        if let Some((from, to)) = body_in(buffer) {
            let body = String::from_utf8_lossy(&buffer[from..to]).into_owned();
            buffer.drain(..to);
            return Some(body);
        }
        if stream.read_buf(buffer).await.unwrap_or(0) == 0 {
            return None;
        }
    }
}

/// Where the body of a question is, once it is whole.
fn body_in(bytes: &[u8]) -> Option<(usize, usize)> {
    let head = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:")).unwrap();
    let end = head + 4 + length.trim().parse::<usize>().unwrap();
    (bytes.len() >= end).then_some((head + 4, end))
}

/// The number of what was said last. What was said before stands in a prompt, too.
fn marked_with(body: &str) -> Option<u64> {
    let at = body.rfind(MARK)? + MARK.len();
    let digits: String = body[at..].chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}
