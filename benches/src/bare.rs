//! What no query can beat: a question to a server and its answer, read to the end, and one commit of what was said
//! to a store of its own, with nothing between.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc)]

use std::path::Path;
use std::time::Instant;

use genii_storage::store::{Schema, Store, StoreError, StoreOptions, Table, Writer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::provider::Stub;

const SCHEMA: Schema = Schema::new("bare", 1, &[]);
const TURNS: Table<u64, String> = Table::new("turns");

/// What stands before a question, as long as what a being is asked with: some 2,000 tokens.
const PROMPT_BYTES: usize = 8_192;

/// What is kept of a turn: what was said, and the answer.
const TURN_BYTES: usize = 512;

/// The end of an answer.
const LAST: &[u8] = b"\r\n0\r\n\r\n";

/// A connection to a server, and a store.
pub struct Bare {
    stream: TcpStream,
    store: Store,
    turns: u64,
    answer: Vec<u8>,
}

impl Bare {
    /// Connects it, and makes its store.
    pub async fn open(stub: &Stub, path: &Path) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", stub.port())).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let store = Store::open(path, &SCHEMA, &StoreOptions::default()).unwrap();
        Self { stream, store, turns: 0, answer: Vec::new() }
    }

    /// Asks, and keeps the turn; when the first words had come.
    pub async fn ask(&mut self, said: &str) -> Instant {
        let body = format!("{}{said}", ".".repeat(PROMPT_BYTES));
        let head = format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n", body.len());
        self.stream.write_all((head + &body).as_bytes()).await.unwrap();
        self.answer.clear();
        let mut first = None;
        while !self.answer.ends_with(LAST) {
            assert_ne!(self.stream.read_buf(&mut self.answer).await.unwrap(), 0, "it was cut off");
            first.get_or_insert_with(Instant::now);
        }
        self.turns += 1;
        let id = self.turns;
        let keep = move |to: &mut Writer| to.insert(TURNS, &id, &"x".repeat(TURN_BYTES)).map(drop);
        self.store.write(keep).await.map_err(|error: StoreError| error).unwrap();
        first.unwrap()
    }

    /// Closes its store.
    pub async fn close(self) {
        self.store.close().await.unwrap();
    }
}
