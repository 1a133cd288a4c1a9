//! What a process prints, line by line and bounded.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use genii_protocols::Address;
use parking_lot::Mutex;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{ChildStderr, ChildStdout};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::logbook::{LINE_MAX_LEN, Level, cut};
use crate::node::Node;

/// How many of the last lines are part of a crash report.
const TAIL_LINES: usize = 50;

/// How many lines a process may print at once before the log leaves some out.
const BURST_LINES: f64 = 2_000.0;

/// How many lines a second it may print in the long run.
const LINES_PER_SECOND: f64 = 500.0;

/// How long the last lines may take to arrive after a process has ended.
const DRAIN_PATIENCE: Duration = Duration::from_secs(1);

/// What a process has printed.
pub(crate) struct Output {
    node: Node,
    agent: Address,
    state: Mutex<State>,
    /// How many of its two streams are open; changes with every line too, to wake those who wait
    /// for one.
    open: watch::Sender<Streams>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Streams {
    open: usize,
    lines: u64,
}

struct State {
    tail: VecDeque<String>,
    /// Texts that are looked for, and when a line last contained them.
    marks: Vec<(String, Option<Instant>)>,
    /// How many lines it may print now, and since when.
    allowance: f64,
    since: Instant,
    left_out: u64,
}

impl Output {
    pub(crate) fn new(node: Node, agent: Address) -> Self {
        let state = State {
            tail: VecDeque::new(),
            marks: Vec::new(),
            allowance: BURST_LINES,
            since: Instant::now(),
            left_out: 0,
        };
        let (open, _) = watch::channel(Streams { open: 0, lines: 0 });
        Self { node, agent, state: Mutex::new(state), open }
    }

    /// Reads what a process prints, until it has closed its streams.
    pub(crate) fn read(self: &Arc<Self>, stdout: Option<ChildStdout>, stderr: Option<ChildStderr>) {
        if let Some(stdout) = stdout {
            self.follow(stdout, Level::Stdout);
        }
        if let Some(stderr) = stderr {
            self.follow(stderr, Level::Stderr);
        }
    }

    fn follow(self: &Arc<Self>, stream: impl AsyncRead + Unpin + Send + 'static, level: Level) {
        self.open.send_modify(|streams| streams.open += 1);
        let output = self.clone();
        tokio::spawn(async move {
            let mut stream = BufReader::new(stream);
            while let Some(line) = next_line(&mut stream).await {
                output.heard(level, &line);
            }
            output.open.send_modify(|streams| streams.open -= 1);
        });
    }

    fn heard(&self, level: Level, line: &str) {
        let mut state = self.state.lock();
        let now = Instant::now();
        for (text, seen) in &mut state.marks {
            if line.contains(text.as_str()) {
                *seen = Some(now);
            }
        }
        if state.tail.len() == TAIL_LINES {
            state.tail.pop_front();
        }
        state.tail.push_back(line.to_owned());
        let left_out = state.admit(now);
        drop(state);
        match left_out {
            Admitted::No => {}
            Admitted::Yes => self.log(level, line),
            Admitted::After(left_out) => {
                self.log(
                    Level::Warn,
                    &format!("{left_out} lines were printed too fast, and left out"),
                );
                self.log(level, line);
            }
        }
        self.open.send_modify(|streams| streams.lines += 1);
    }

    fn log(&self, level: Level, line: &str) {
        self.node.logbook().write(&self.agent, level, line);
        match level {
            Level::Stderr | Level::Warn => {
                tracing::warn!(target: "genii::output", agent = %self.agent, "{line}");
            }
            _ => tracing::info!(target: "genii::output", agent = %self.agent, "{line}"),
        }
    }

    /// The last lines.
    pub(crate) fn tail(&self) -> Vec<String> {
        self.state.lock().tail.iter().cloned().collect()
    }

    /// When a line last contained a text; looks for it from now on, and among the last lines.
    pub(crate) fn last_with(&self, text: &str) -> Option<Instant> {
        let mut state = self.state.lock();
        if let Some((_, seen)) = state.marks.iter().find(|(known, _)| known == text) {
            return *seen;
        }
        let seen = state.tail.iter().any(|line| line.contains(text)).then(Instant::now);
        state.marks.push((text.to_owned(), seen));
        seen
    }

    /// Waits until a line is printed, but not longer than this.
    pub(crate) async fn printed_within(&self, patience: Duration) {
        let mut open = self.open.subscribe();
        // A line that came between a look and this is found by the look after it.
        let _none_came = tokio::time::timeout(patience, open.changed()).await;
    }

    /// Waits until the streams are closed and all is read, but not for long.
    pub(crate) async fn drained(&self) {
        let mut open = self.open.subscribe();
        let closed = open.wait_for(|streams| streams.open == 0);
        let _something_holds_them = tokio::time::timeout(DRAIN_PATIENCE, closed).await;
    }
}

enum Admitted {
    Yes,
    No,
    /// Yes, after so many were left out.
    After(u64),
}

impl State {
    /// Whether a line may go into the log: so many at once, so many a second in the long run.
    fn admit(&mut self, now: Instant) -> Admitted {
        let earned = now.duration_since(self.since).as_secs_f64() * LINES_PER_SECOND;
        self.allowance = (self.allowance + earned).min(BURST_LINES);
        self.since = now;
        if self.allowance < 1.0 {
            self.left_out += 1;
            return Admitted::No;
        }
        self.allowance -= 1.0;
        match std::mem::take(&mut self.left_out) {
            0 => Admitted::Yes,
            left_out => Admitted::After(left_out),
        }
    }
}

/// The next line, cut off where it is too long; what is beyond is read and dropped. Bytes that are
/// no text are replaced.
async fn next_line(stream: &mut (impl AsyncBufRead + Unpin)) -> Option<String> {
    let mut line: Vec<u8> = Vec::new();
    let mut is_empty = true;
    loop {
        let available = stream.fill_buf().await.ok()?;
        if available.is_empty() {
            return (!is_empty).then(|| text(&line));
        }
        is_empty = false;
        let end = available.iter().position(|byte| *byte == b'\n');
        let part = &available[..end.unwrap_or(available.len())];
        let room = (LINE_MAX_LEN + 1).saturating_sub(line.len());
        line.extend_from_slice(&part[..part.len().min(room)]);
        let used = end.map_or(available.len(), |end| end + 1);
        stream.consume(used);
        if end.is_some() {
            return Some(text(&line));
        }
    }
}

fn text(line: &[u8]) -> String {
    let text = plain(&String::from_utf8_lossy(line));
    match text.len() > LINE_MAX_LEN {
        true => format!("{}...", cut(&text, LINE_MAX_LEN - 3)),
        false => text,
    }
}

/// A text without what commands a terminal: colours, and anything worse.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\x1b' if letters.next_if_eq(&'[').is_some() => {
                let _command = letters.by_ref().find(|letter| ('@'..='~').contains(letter));
            }
            '\t' => plain.push('\t'),
            letter if letter.is_control() => {}
            letter => plain.push(letter),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines(bytes: &[u8]) -> Vec<String> {
        let mut stream = BufReader::with_capacity(16, bytes);
        let mut lines = Vec::new();
        while let Some(line) = next_line(&mut stream).await {
            lines.push(line);
        }
        lines
    }

    #[tokio::test]
    async fn what_commands_a_terminal_is_left_out() {
        let said = lines(b"\x1b[31mred\x1b[0m and\tplain\x07\x1b]0;title\r\n").await;
        assert_eq!(said, ["red and\tplain]0;title"]);
    }

    #[tokio::test]
    async fn lines_are_split_cut_and_made_text() {
        assert_eq!(lines(b"one\r\n\ntwo\nrest").await, ["one", "", "two", "rest"]);
        assert_eq!(lines(b"").await, [""; 0]);
        assert_eq!(lines(b"a\xffb\n").await, ["a\u{fffd}b"]);
        let long = lines(&[b"x".repeat(LINE_MAX_LEN * 3), b"\nnext\n".to_vec()].concat()).await;
        assert_eq!((long[0].len(), long[1].as_str()), (LINE_MAX_LEN, "next"));
        assert!(long[0].ends_with("..."));
    }

    #[test]
    fn a_flood_is_thinned_and_the_log_says_so() {
        let mut state = State {
            tail: VecDeque::new(),
            marks: Vec::new(),
            allowance: 2.0,
            since: Instant::now(),
            left_out: 0,
        };
        let now = state.since;
        assert!(matches!(state.admit(now), Admitted::Yes));
        assert!(matches!(state.admit(now), Admitted::Yes));
        assert!(matches!(state.admit(now), Admitted::No));
        assert!(matches!(state.admit(now), Admitted::No));
        let later = now + Duration::from_millis(10);
        assert!(matches!(state.admit(later), Admitted::After(2)));
    }
}
