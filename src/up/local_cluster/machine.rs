//! One machine beside this one: its process is started, listened to, and started again.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use genii_protocols::NodeName;
use genii_runtime::process::Exit;
use genii_runtime::process::companion::Companion;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::LISTEN;
use crate::data::genii_on;
use crate::screen::span;
use crate::up::printer::{LAST_WORDS, Printer};

/// How long a machine may take to stop before it is killed.
const STOP_PATIENCE: Duration = Duration::from_secs(30);

/// How long it may take to be gone that was killed.
const KILL_PATIENCE: Duration = Duration::from_secs(10);

/// The longest wait before one is started again that fails each time, unless a longer one was asked
/// for. It doubles up to this.
const RESTART_AFTER_MAX: Duration = Duration::from_secs(60);

/// Whoever lived so long does not fail each time.
const LIVED_LONG: Duration = Duration::from_secs(60);

/// How much of a line is printed in one piece, in bytes.
const LINE_MAX_LEN: u64 = 16 << 10;

/// What a machine is to be.
pub struct MachineSpec {
    pub node: NodeName,
    pub folder: PathBuf,
    pub topology: PathBuf,
    /// How long it stays down after its process has ended in an unforeseen way.
    pub restart_after: Duration,
    /// Whether everything that happens there is printed, or only what is news.
    pub is_plain: bool,
}

/// A machine that is kept running until it is stopped.
pub struct Machine {
    is_to_stop: watch::Sender<bool>,
    keeping: JoinHandle<()>,
}

impl Machine {
    /// Starts it, and again whenever it fails.
    pub fn begin(spec: MachineSpec, printer: Arc<Printer>) -> Self {
        let (is_to_stop, stop) = watch::channel(false);
        let keeping = tokio::spawn(Keeping { spec, printer, stop }.live());
        Self { is_to_stop, keeping }
    }

    /// Asks it to stop.
    pub fn stop(&self) {
        self.is_to_stop.send_replace(true);
    }

    /// Waits until it has stopped.
    pub async fn stopped(self) {
        let _it_only_keeps = self.keeping.await;
    }
}

struct Keeping {
    spec: MachineSpec,
    printer: Arc<Printer>,
    stop: watch::Receiver<bool>,
}

impl Keeping {
    async fn live(mut self) {
        let mut pause = self.spec.restart_after;
        let pause_max = pause.max(RESTART_AFTER_MAX);
        loop {
            let began = Instant::now();
            let Some(exit) = self.once().await else { return };
            if exit == Exit::Code(0) {
                return self.say(format!("was stopped; to start it again: {}", self.command()));
            }
            if began.elapsed() >= LIVED_LONG {
                pause = self.spec.restart_after;
            }
            self.say(format!("{exit}; it is started again in {}", span(pause)));
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = self.stop.wait_for(|stop| *stop) => return,
            }
            pause = (pause * 2).min(pause_max);
        }
    }

    /// Runs it once; how it has ended, unless it was to stop.
    async fn once(&mut self) -> Option<Exit> {
        let mut companion = match self.start().await {
            Ok(companion) => companion,
            Err(why) => return Some(Exit::Failed(why)),
        };
        let (pid, genii) = (companion.pid(), genii_on(&self.spec.folder));
        self.say(format!("runs as process {pid}; `{genii} repl` talks with it"));
        let printing = companion.printed().map(|(out, err)| {
            let (node, printer) = (self.spec.node.clone(), self.printer.clone());
            let out = print(out, format!("{node} | "), printer.clone());
            let err = print(err, format!("{node} | "), printer);
            tokio::spawn(async { tokio::join!(out, err) })
        });
        let exit = tokio::select! {
            exit = companion.exited() => Some(exit),
            _ = self.stop.wait_for(|stop| *stop) => None,
        };
        if exit.is_none() {
            self.end(&mut companion).await;
        }
        if let Some(printing) = printing {
            let _nobody_may_read = tokio::time::timeout(LAST_WORDS, printing).await;
        }
        exit
    }

    async fn start(&self) -> Result<Companion, String> {
        let environment = [
            ("GENII_LISTEN", Some(LISTEN)),
            // What was meant for this machine is not meant for the others.
            ("GENII_CLIENTS", None),
            ("GENII_DATA", None),
            ("GENII_NODE", None),
            ("GENII_TOPOLOGY", None),
        ];
        let mut words = self.words();
        words.push(if self.spec.is_plain { "--plain" } else { "--only-news" }.into());
        Companion::start(&words, &environment).await
    }

    /// Ends it in good order, or at last without.
    async fn end(&self, companion: &mut Companion) {
        companion.terminate();
        if tokio::time::timeout(STOP_PATIENCE, companion.exited()).await.is_ok() {
            return;
        }
        self.say(format!("did not stop within {}, and is killed", span(STOP_PATIENCE)));
        companion.kill();
        if tokio::time::timeout(KILL_PATIENCE, companion.exited()).await.is_err() {
            self.say("could not be killed; it may hang in the kernel".to_owned());
        }
    }

    fn words(&self) -> Vec<OsString> {
        let MachineSpec { node, folder, topology, .. } = &self.spec;
        let words = ["--data".into(), folder.into(), "up".into()].into_iter();
        let words = words.chain(["--node".into(), node.as_str().into()]);
        words.chain(["--topology".into(), topology.into()]).collect()
    }

    /// What a person types to start it.
    fn command(&self) -> String {
        let words = self.words();
        let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
        let quoted = shlex::try_join(words.iter().map(|word| &**word));
        format!("genii {}", quoted.unwrap_or_else(|_| words.join(" ")))
    }

    fn say(&self, what: String) {
        self.printer.complain(format!("{} {what}\n", self.spec.node));
    }
}

/// Prints what a machine says, with its name before each line.
async fn print(from: impl AsyncRead + Unpin, head: String, printer: Arc<Printer>) {
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut from).take(LINE_MAX_LEN).read_until(b'\n', &mut line).await {
            Ok(1..) => {}
            _ => return,
        }
        let text = String::from_utf8_lossy(&line);
        printer.say(format!("{head}{}\n", text.trim_end_matches('\n')));
    }
}
