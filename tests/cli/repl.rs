//! The REPL, on a terminal of its own.

use std::io::{Read, Write};
use std::process::{ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use crate::support::{DEADLINE, House, wait_until};
use crate::up::STEADY;

/// What a terminal is asked for its cursor with, and what one without a screen answers.
const WHERE: &str = "\x1b[6n";
const HERE: &[u8] = b"\x1b[1;1R";

/// A terminal: `script` gives its child one.
struct Terminal {
    keys: ChildStdin,
    screen: Receiver<String>,
    seen: String,
}

impl Terminal {
    fn open(house: &House) -> Self {
        let mut command = house.command("script");
        let repl = format!("{} repl", env!("CARGO_BIN_EXE_genii"));
        command.args(["-qfc", &repl, "/dev/null"]).stdin(Stdio::piped()).env("TERM", "xterm");
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

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// Waits until a text is shown, and forgets what was shown before it.
    fn wait_for(&mut self, text: &str) {
        let until = Instant::now() + DEADLINE;
        loop {
            if let Some(at) = self.seen.find(text) {
                self.seen.drain(..at + text.len());
                return;
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

#[test]
fn a_person_completes_kills_watches_and_asks_why() {
    let house = House::new();
    let running = house.up(&format!(
        "[groups.a]\n[groups.core]\n[agents.\"a/base\"]\n{STEADY}\
         [agents.\"core/system-digital-twin\"]\nkind = \"system-digital-twin\"\n"
    ));
    let mut terminal = Terminal::open(&house);
    terminal.wait_for("genii> ");
    // Tab completes commands and addresses.
    terminal.press("kil\ta/b\t");
    terminal.wait_for("a/base");
    terminal.press("\r");
    terminal.wait_for("a/base is ");
    wait_until("its return", || {
        Some(house.row("a/base")).filter(|row| row["restarts"] == 1 && row["state"] == "ready")
    });
    terminal.wait_for("genii> ");
    terminal.press("why a/base\r");
    terminal.wait_for("killed by hand");
    terminal.wait_for("genii> ");
    // A hint of what the message takes.
    terminal.press("ask core/system-digital-twin twin.what_if ");
    terminal.wait_for("{ goes: [text]");
    terminal.press("'{\"goes\": [\"a/base\"]}'\r");
    terminal.wait_for("genii> ");
    // A slip is told, and the REPL goes on.
    terminal.press("tre\r");
    terminal.wait_for("tree");
    terminal.wait_for("genii> ");
    terminal.press("help\r");
    terminal.wait_for("dead-letters");
    terminal.wait_for("genii> ");
    terminal.press("exit\r");
    wait_until("the history", || {
        std::fs::read_to_string(house.path("data/history"))
            .ok()
            .filter(|it| it.contains("why a/base"))
    });
    running.stop();
}
