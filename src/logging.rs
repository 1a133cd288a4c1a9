//! Where log lines go: a file in the data folder, and the log of the agent whose code wrote them.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use genii_runtime::logbook::Level as LogLevel;
use genii_runtime::{Node, scope};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::filter::{FilterExt, LevelFilter, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Context, Filter as LayerFilter, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::data::Data;
use crate::fault::Fault;
use crate::settings::Settings;

/// With what the targets of LanceDB's crates begin.
const INDEX_TARGET: &str = "lance";

/// Begins to log.
///
/// # Errors
/// When the log file cannot be opened.
pub fn begin(data: &Data, settings: &Settings, node: &Node) -> Result<(), Fault> {
    let (max_len, kept) = settings.log_files();
    let file = LogFile::open(&data.logs(), max_len, kept).map_err(|error| {
        Fault::new(format!("the log file in {} cannot be opened: {error}", data.logs().display()))
    })?;
    let directives = settings.text("log");
    let file = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(file);
    let registry = tracing_subscriber::registry()
        .with(file.with_filter(filter(directives)))
        .with(AgentLog { node: node.clone() }.with_filter(filter(directives)));
    // Somebody who logs already, as a test may, goes on doing so.
    let _already_logging = registry.try_init();
    Ok(())
}

/// What is logged. What the index of memories tells of its own doings, which is much, is logged only from
/// warnings on, unless it is named.
pub fn filter<S: Subscriber>(directives: &str) -> impl LayerFilter<S> + use<S> {
    let is_named = directives.contains(INDEX_TARGET);
    let is_wanted = move |about: &Metadata<'_>| {
        is_named || !about.target().starts_with(INDEX_TARGET) || *about.level() <= Level::WARN
    };
    // Without a hint of its own it would hide that of the other: everything would be looked at, and the
    // process of a being, which logs as much as this one, would log all that there is.
    let is_wanted = filter_fn(is_wanted).with_max_level_hint(LevelFilter::TRACE);
    directives.parse::<EnvFilter>().unwrap_or_default().and(is_wanted)
}

/// Writes the lines of an agent's own code into the agent's log.
struct AgentLog {
    node: Node,
}

impl<S: Subscriber> Layer<S> for AgentLog {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        // What a process prints is written there by its agent itself.
        let Some(agent) = scope::current().filter(|_| event.metadata().target() != "genii::output")
        else {
            return;
        };
        let mut line = Line::default();
        event.record(&mut line);
        let level = match *event.metadata().level() {
            Level::ERROR => LogLevel::Error,
            Level::WARN => LogLevel::Warn,
            Level::INFO => LogLevel::Info,
            Level::DEBUG => LogLevel::Debug,
            Level::TRACE => LogLevel::Trace,
        };
        self.node.logbook().write(&agent.address, level, line.text.trim());
    }
}

/// The message of an event, and its fields behind it.
#[derive(Default)]
struct Line {
    text: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        match field.name() {
            "message" => self.text = format!("{value:?} {}", self.text),
            name => self.text.push_str(&format!("{name}={value:?} ")),
        }
    }
}

/// A log file that is set aside when it has grown too large; so many are kept.
struct LogFile {
    state: Mutex<LogState>,
    folder: PathBuf,
    max_len: u64,
    kept: usize,
}

struct LogState {
    file: File,
    len: u64,
    /// Writing failed, and was complained of.
    has_failed: bool,
}

impl LogFile {
    fn open(folder: &Path, max_len: u64, kept: usize) -> std::io::Result<Self> {
        let file = options().append(true).open(path(folder, 0))?;
        let len = file.metadata()?.len();
        let state = Mutex::new(LogState { file, len, has_failed: false });
        Ok(Self { state, folder: folder.to_owned(), max_len, kept: kept.max(1) })
    }

    /// The oldest goes, each other becomes one older.
    fn set_aside(&self) -> std::io::Result<File> {
        for number in (0..self.kept - 1).rev() {
            let (from, to) = (path(&self.folder, number), path(&self.folder, number + 1));
            match std::fs::rename(from, to) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        let mut fresh = options();
        // Where none is kept beside it, it begins anew itself.
        match self.kept {
            1 => fresh.write(true).truncate(true),
            _ => fresh.append(true),
        };
        fresh.open(path(&self.folder, 0))
    }
}

/// A log is its owner's alone.
fn options() -> std::fs::OpenOptions {
    let mut options = File::options();
    options.create(true).mode(0o600);
    options
}

fn path(folder: &Path, number: usize) -> PathBuf {
    match number {
        0 => folder.join("genii.log"),
        number => folder.join(format!("genii.{number}.log")),
    }
}

impl<'a> MakeWriter<'a> for LogFile {
    type Writer = &'a LogFile;

    fn make_writer(&'a self) -> &'a LogFile {
        self
    }
}

impl Write for &LogFile {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let written = (|| {
            if state.len > 0 && state.len + bytes.len() as u64 > self.max_len {
                state.file = self.set_aside()?;
                state.len = 0;
            }
            state.file.write_all(bytes)
        })();
        match written {
            Ok(()) => {
                state.len += bytes.len() as u64;
                state.has_failed = false;
            }
            // A full disk must neither stop the house nor fill the terminal.
            Err(error) if !std::mem::replace(&mut state.has_failed, true) => {
                let text = format!("genii: log lines are lost: {}: {error}", self.folder.display());
                // Whoever logs does not wait for a terminal that takes nothing.
                std::thread::spawn(move || crate::screen::complain(text));
            }
            Err(_) => {}
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::Registry;

    use super::*;

    #[test]
    fn no_more_is_looked_at_than_may_be_logged() {
        let looked_at = |directives| {
            let filter = filter::<Registry>(directives);
            LayerFilter::<Registry>::max_level_hint(&filter)
        };
        assert_eq!(looked_at("info"), Some(LevelFilter::INFO));
        assert_eq!(looked_at("warn,genii=debug"), Some(LevelFilter::DEBUG));
    }

    #[test]
    fn a_log_that_has_grown_is_set_aside_and_the_oldest_goes() {
        let scratch = tempfile::tempdir().unwrap();
        let log = LogFile::open(scratch.path(), 10, 3).unwrap();
        for line in ["one......\n", "two......\n", "three....\n", "four.....\n"] {
            (&log).write_all(line.as_bytes()).unwrap();
        }
        let read = |number| std::fs::read_to_string(path(scratch.path(), number)).unwrap();
        assert_eq!(
            (read(0), read(1), read(2)),
            ("four.....\n".into(), "three....\n".into(), "two......\n".into())
        );
        assert!(!path(scratch.path(), 3).exists());
        let lone = LogFile::open(&scratch.path().join("lone"), 10, 1);
        assert!(lone.is_err(), "its folder is made by somebody else");
        std::fs::create_dir(scratch.path().join("lone")).unwrap();
        let lone = LogFile::open(&scratch.path().join("lone"), 10, 1).unwrap();
        for _ in 0..100 {
            (&lone).write_all(b"one......\n").unwrap();
        }
        assert_eq!(std::fs::read(path(&lone.folder, 0)).unwrap().len(), 10);
        let again = LogFile::open(scratch.path(), 10, 3).unwrap();
        (&again).write_all(b"five.....\n").unwrap();
        assert_eq!(read(1), "four.....\n", "what was there before counts");
    }

    #[test]
    fn the_index_is_logged_from_warnings_on_unless_it_is_named() {
        let logged = |directives: &str| {
            let scratch = tempfile::tempdir().unwrap();
            let file = LogFile::open(scratch.path(), 10_000, 1).unwrap();
            let lines = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(file);
            let registry =
                tracing_subscriber::registry().with(lines.with_filter(filter(directives)));
            tracing::subscriber::with_default(registry, || {
                tracing::info!(target: "lance_index::words", "a segment was read");
                tracing::warn!(target: "lance::index", "a segment is missing");
                tracing::info!("a being woke");
            });
            let text = std::fs::read_to_string(path(scratch.path(), 0)).unwrap();
            let told = ["was read", "is missing", "woke"].map(|what| text.contains(what));
            (told[0], told[1], told[2])
        };
        assert_eq!(logged("info"), (false, true, true));
        assert_eq!(logged("info,lance_index=info"), (true, true, true));
        assert_eq!(logged("warn"), (false, true, false));
        assert_eq!(logged("off"), (false, false, false));
    }
}
