//! The last lines that each agent logged or printed, for a person to look at and to follow.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use dashmap::DashMap;
use genii_protocols::{Address, Timestamp};
use parking_lot::Mutex;
use tokio::sync::broadcast;

/// How many lines are kept of one agent.
pub const LINES_PER_AGENT: usize = 500;

/// How many bytes of a line are kept.
pub const LINE_MAX_LEN: usize = 8 * 1024;

/// How many lines a follower may fall behind before it misses some.
const FOLLOW_CAPACITY: usize = 4_096;

/// A line.
#[derive(Debug, Clone)]
pub struct LogLine {
    /// When.
    pub at: Timestamp,
    /// Whose.
    pub agent: Address,
    /// How much it matters, or where it was printed.
    pub level: Level,
    /// The line itself.
    pub text: String,
}

/// How much a line matters, or where it was printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// A fault.
    Error,
    /// Something to look into.
    Warn,
    /// News.
    Info,
    /// For those who look closely.
    Debug,
    /// For those who look very closely.
    Trace,
    /// Printed by a process.
    Stdout,
    /// Printed by a process where faults go.
    Stderr,
}

impl Level {
    /// The level in one word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
            Self::Stdout => "out",
            Self::Stderr => "err",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// The last lines of every agent of a node.
pub struct Logbook {
    books: DashMap<Address, Mutex<VecDeque<Arc<LogLine>>>>,
    follow: broadcast::Sender<Arc<LogLine>>,
}

impl Default for Logbook {
    fn default() -> Self {
        Self { books: DashMap::new(), follow: broadcast::Sender::new(FOLLOW_CAPACITY) }
    }
}

impl Logbook {
    /// Writes a line, cut off where it is too long.
    pub fn write(&self, agent: &Address, level: Level, text: &str) {
        let text = cut(text, LINE_MAX_LEN).to_owned();
        let line = Arc::new(LogLine { at: Timestamp::now(), agent: agent.clone(), level, text });
        let book = self.books.entry(agent.clone()).or_default();
        let mut lines = book.lock();
        if lines.len() == LINES_PER_AGENT {
            lines.pop_front();
        }
        lines.push_back(line.clone());
        drop(lines);
        let _nobody_follows = self.follow.send(line);
    }

    /// The last lines of an agent, oldest first.
    pub fn tail(&self, agent: &Address, limit: usize) -> Vec<Arc<LogLine>> {
        let Some(book) = self.books.get(agent) else { return Vec::new() };
        let lines = book.lock();
        lines.iter().skip(lines.len().saturating_sub(limit)).cloned().collect()
    }

    /// The lines of all agents as they are written.
    pub fn follow(&self) -> broadcast::Receiver<Arc<LogLine>> {
        self.follow.subscribe()
    }

    /// Forgets an agent.
    pub(crate) fn forget(&self, agent: &Address) {
        self.books.remove(agent);
    }
}

/// The beginning of a text that is no longer than so many bytes.
pub(crate) fn cut(text: &str, len: usize) -> &str {
    &text[..text.floor_char_boundary(len)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_last_lines_of_each_agent_and_cuts_long_ones() {
        let logbook = Logbook::default();
        let (one, two) = (Address::parse("a/1").unwrap(), Address::parse("a/2").unwrap());
        for n in 0..LINES_PER_AGENT + 10 {
            logbook.write(&one, Level::Info, &n.to_string());
        }
        logbook.write(&two, Level::Stderr, &"é".repeat(LINE_MAX_LEN));
        let lines = logbook.tail(&one, usize::MAX);
        assert_eq!((lines.len(), lines[0].text.as_str()), (LINES_PER_AGENT, "10"));
        assert_eq!(logbook.tail(&one, 1)[0].text, (LINES_PER_AGENT + 9).to_string());
        assert_eq!(logbook.tail(&two, 1)[0].text.len(), LINE_MAX_LEN);
        assert!(logbook.tail(&Address::parse("a/3").unwrap(), 1).is_empty());
    }
}
