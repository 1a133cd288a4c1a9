//! Servers that find the words of beings, as slowly as a test wants it.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Sender, channel};

use serde_json::json;

use crate::support::House;

/// Has a being ask a server for its words that begins each answer with these, and never goes on.
pub fn with_a_provider_that_stops_after(house: &House, id: &str, words: &str) {
    let begins = piece(words);
    with_a_provider(house, id, move |asker| asker.write_all(begins.as_bytes()).unwrap());
}

/// Has a being ask a server for its words that answers in two parts, with the second when what is returned is
/// dropped.
pub fn with_a_provider_that_waits(house: &House, id: &str, begins: &str, ends: &str) -> Sender<()> {
    let (begins, ends) = (piece(begins), format!("{}data: [DONE]\n\n", piece(ends)));
    let (waits, dropped) = channel();
    with_a_provider(house, id, move |asker| {
        asker.write_all(begins.as_bytes()).unwrap();
        let _is_dropped = dropped.recv();
        let _asker_has_gone = asker.write_all(ends.as_bytes());
    });
    waits
}

/// Has a being ask a server for its words, which answers each question so.
fn with_a_provider(house: &House, id: &str, answer: impl Fn(&mut TcpStream) + Send + 'static) {
    const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", server.local_addr().unwrap());
    std::thread::spawn(move || {
        let mut askers = Vec::new();
        for mut asker in server.incoming().map_while(Result::ok) {
            let _has_begun = asker.read(&mut [0; 64]).unwrap();
            asker.write_all(HEAD).unwrap();
            answer(&mut asker);
            // One that is let go of would have come to its end.
            askers.push(asker);
        }
    });
    house.json(&["being", "provider", id, "--base-url", &url, "--model", "slow", "--json"]);
}

/// Some words of an answer, as such a server sends them.
fn piece(words: &str) -> String {
    let piece = json!({ "choices": [{ "index": 0, "delta": { "content": words } }] });
    format!("data: {piece}\n\n")
}
