//! A terminal with a person before it.

use std::io::{Read, Write};
use std::process::{ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use crate::support::{DEADLINE, House};

/// What a terminal is asked for its cursor with, and what one without a screen answers.
const WHERE: &str = "\x1b[6n";
const HERE: &[u8] = b"\x1b[1;1R";

/// A terminal: `script` gives its child one.
pub struct Terminal {
    keys: ChildStdin,
    screen: Receiver<String>,
    seen: String,
}

impl Terminal {
    /// Runs genii, with these words, where somebody looks.
    pub fn open(house: &House, words: &str) -> Self {
        Self::run(house, &format!("{} {words}", env!("CARGO_BIN_EXE_genii")))
    }

    /// The same, on a terminal that says how many columns it has.
    pub fn open_at(house: &House, columns: u16, words: &str) -> Self {
        let genii = env!("CARGO_BIN_EXE_genii");
        Self::run(house, &format!("stty cols {columns} rows 24; {genii} {words}"))
    }

    /// Runs a line of a shell where somebody looks.
    pub fn run(house: &House, line: &str) -> Self {
        let mut command = house.command("script");
        command.args(["-qfc", line, "/dev/null"]).stdin(Stdio::piped()).env("TERM", "xterm");
        let mut child = command.spawn().unwrap();
        let (keys, mut from) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (said, screen) = channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(len @ 1..) = from.read(&mut bytes) {
                let text = String::from_utf8_lossy(&bytes[..len]).into_owned();
                if said.send(text).is_err() {
                    break;
                }
            }
            let _status = child.wait();
        });
        Self { keys, screen, seen: String::new() }
    }

    pub fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// Waits until a text is shown, and forgets what was shown before it; what that was.
    pub fn wait_for(&mut self, text: &str) -> String {
        let until = Instant::now() + DEADLINE;
        loop {
            if let Some(at) = self.seen.find(text) {
                let before = self.seen[..at].to_owned();
                self.seen.drain(..at + text.len());
                return before;
            }
            let left = until.saturating_duration_since(Instant::now());
            let Ok(shown) = self.screen.recv_timeout(left) else {
                panic!("waited in vain for {text:?} on {:?}", self.seen);
            };
            for _ in shown.matches(WHERE) {
                self.keys.write_all(HERE).unwrap();
            }
            self.seen.push_str(&plain(&shown));
        }
    }
}

/// A text without the commands to the terminal that are in it.
fn plain(shown: &str) -> String {
    let mut text = String::new();
    let mut letters = shown.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\x1b' if letters.next() == Some('[') => {
                let _command = letters.by_ref().find(char::is_ascii_alphabetic);
            }
            '\x1b' => {}
            letter => text.push(letter),
        }
    }
    text
}
