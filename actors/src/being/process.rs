//! A being in an operating-system process of its own: the same program, as a node with one tenant, whose
//! crash, leak or endless loop touches nothing else. This agent stands for it in the house.
//!
//! | module | what it holds |
//! |---|---|
//! | `annex` | the little household of the being's process and this one, linked over mutual TLS |
//! | `window` | what the being may ask of the house, through the annex |
//! | `lease` | what the process is told, and what it says at its end |
//! | `watch` | whether the process is well, and whether the being has something to do |
//! | `desk` | who tells of that, in the process, and has the being called off |
//! | `dead_letters` | how those of the process come to stand among those of the house |
//! | [`tenant`] | the process itself |
//!
//! | what happens | what follows |
//! |---|---|
//! | something is said to the being | it is passed on, and what comes of it comes back as it is |
//! | what is told to the being reaches nobody | it is a dead letter of the house, from who told it |
//! | the being has something to do | so has this agent: it is not put to sleep |
//! | the being cannot start | this agent cannot, for the same reason, and with what the process printed |
//! | the being panics or fails | this agent fails with the same cause |
//! | the process is killed, or ends by itself | this agent fails, with how it ended and what it printed |
//! | it asks for more memory than it may have | it ends, and this agent says what may be set |
//! | it does not look up from its work, or stops | it is killed, and this agent fails |
//! | it takes more of a processor than it may | it is killed, and this agent fails |
//! | this agent is stopped | the process ends in good order, or is killed when that takes too long |
//! | this agent is called off | so is the being, before its process is asked to end |
//! | genii ends, also by `kill -9` | the process is killed by its keeper |

pub(crate) mod annex;
mod dead_letters;
mod desk;
mod lease;
pub mod tenant;
mod watch;
mod window;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::{OptionFuture, join};
use genii_protocols::being::AskHealth;
use genii_protocols::{Json, TimeSpan};
use genii_runtime::process::Exit;
use genii_runtime::process::own::{LastLines, OwnProcess};
use genii_runtime::{Agent, Context, Health, Protocol, Relay, Relays};
use genii_supervision::{ExitReason, Failure, FailureKind, StartError};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::{Instant, timeout};

use super::embedding;
use annex::Annex;
use desk::CallOff;
use lease::{Lease, Outcome};
use watch::{Amiss, Watch};

/// How long the process may take until the being answers.
const START_PATIENCE: Duration = Duration::from_secs(25);

/// How long it may take to hear all that was told before it is to end.
const HEARD_PATIENCE: Duration = Duration::from_secs(3);

/// How long it may take then to end in good order before it is killed.
const STOP_PATIENCE: Duration = Duration::from_secs(12);

/// How long it may take to be gone that was killed.
const KILL_PATIENCE: Duration = Duration::from_secs(5);

/// How long to wait for the end of a process that is out of reach: it tells more than that.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// How processes say that they get no more memory, or no thread for want of it.
const NO_MEMORY: [&str; 4] =
    ["memory allocation of", "Cannot allocate memory", "out of memory", "spawn worker thread"];

/// The agent.
pub struct BeingProcess {
    relay: Relay,
    /// Before the annex, so that the process goes before what it is linked to.
    process: OwnProcess,
    /// It is to be killed, and not asked to end.
    is_amiss: Arc<AtomicBool>,
    watch: Watch,
    began: Instant,
    annex: Annex,
}

/// What is set for it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BeingProcessSettings {
    /// The folder of the being.
    pub folder: PathBuf,
    /// What its process may take.
    #[serde(default)]
    pub limits: ProcessLimits,
}

/// What the process of a being may take.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProcessLimits {
    /// How much memory it may ask for, in MiB. What is mapped from files does not count.
    pub memory_mb: u64,
    /// How much of one core it may take in the long run, in percent.
    pub cpu_percent: u32,
    /// How long that is.
    pub cpu_window: TimeSpan,
    /// How long the being may not look up from its work.
    pub answer_within: TimeSpan,
}

impl Default for ProcessLimits {
    fn default() -> Self {
        Self {
            memory_mb: 1_024,
            cpu_percent: 90,
            cpu_window: TimeSpan::from_secs(600),
            answer_within: TimeSpan::from_secs(20),
        }
    }
}

impl ProcessLimits {
    /// What is wrong with them, if anything.
    fn fault(&self) -> Option<&'static str> {
        if self.memory_mb == 0 {
            return Some("`memory_mb` is 0, and nothing can live on that");
        }
        if self.cpu_percent == 0 {
            return Some("`cpu_percent` is 0, and nothing can live on that");
        }
        if self.cpu_window.0 < Duration::from_secs(1) {
            return Some("`cpu_window` is shorter than a second");
        }
        let is_short = self.answer_within.0 < Duration::from_secs(1);
        is_short.then_some("`answer_within` is shorter than a second")
    }
}

impl Agent for BeingProcess {
    type Settings = BeingProcessSettings;

    fn protocol() -> Protocol<Self> {
        super::relay::protocol()
    }

    async fn start(settings: BeingProcessSettings, at: &mut Context) -> Result<Self, StartError> {
        let BeingProcessSettings { folder, limits } = settings;
        if let Some(fault) = limits.fault() {
            return Err(StartError::refused(fault));
        }
        let embedder = embedding::chosen(at.node());
        let lease = Lease::new(at.address().clone(), folder, limits.clone(), embedder);
        // It has the folder of the annex, and that of the being.
        OwnProcess::earlier_is_gone(at).await;
        let annex = Annex::open(at.node(), lease).await?;
        let (words, environment) = annex.command();
        let process = OwnProcess::start(words, environment, at).await?;
        let end = End { annex: annex.folder(), lines: process.last_lines(), limits };
        tokio::select! {
            () = annex.answers() => {}
            exit = process.exited() => return Err(end.start_error(&exit).await),
            () = tokio::time::sleep(START_PATIENCE) => {
                let why = format!("its process has not begun to answer within {START_PATIENCE:?}");
                return Err(could_not_start(end.failure(why)));
            }
        }
        let relay = Relay::bound(annex.mail());
        let watch = Watch::new(&annex, process.pid(), end.limits.clone());
        let is_amiss = Arc::new(AtomicBool::new(false));
        look_after(&process, watch.clone(), end, is_amiss.clone(), at);
        let (attending, worker) = (watch.clone(), at.worker());
        at.spawn(async move { attending.keep_awake(&worker).await });
        Ok(Self { relay, process, is_amiss, watch, began: Instant::now(), annex })
    }

    fn health(&self) -> Health {
        self.watch.health()
    }

    fn snapshot(&self) -> Json {
        let figures = self.watch.figures();
        Json(json!({
            "isolation": "process",
            "pid": self.process.pid(),
            "runs_for": TimeSpan(self.began.elapsed()),
            "memory_mb": figures.map(|figures| figures.memory_bytes >> 20),
            "cpu_time": figures.map(|figures| TimeSpan(figures.cpu_time)),
            "is_at_work": self.watch.is_at_work(),
            "last_output": self.process.last_lines().read(),
        }))
    }

    async fn stop(&mut self, context: &mut Context) {
        let exited = self.process.exited();
        if !self.is_amiss.load(Ordering::Acquire) {
            let (being, desk) = (self.annex.mail(), self.annex.desk());
            let called_off = context.called_off().map(|why| CallOff { why: why.to_owned() });
            let called_off = called_off.map(|why| desk.ask_within(why, HEARD_PATIENCE));
            // What was told before is handled when this is answered: all goes one way, in order.
            let heard_all = being.ask_within(AskHealth {}, HEARD_PATIENCE);
            let _heard = join(heard_all, OptionFuture::from(called_off)).await;
            self.process.terminate();
            if timeout(STOP_PATIENCE, self.process.exited()).await.is_ok() {
                return;
            }
            let being = context.address();
            tracing::warn!(%being, "its process did not end within {STOP_PATIENCE:?}, and is killed");
        }
        self.process.kill();
        if timeout(KILL_PATIENCE, exited).await.is_err() {
            let (being, pid) = (context.address(), self.process.pid());
            tracing::error!(%being, pid, "could not be killed; it may hang in the kernel");
        }
    }
}

impl Relays for BeingProcess {
    fn relay(&self) -> &Relay {
        &self.relay
    }
}

/// Ends the agent when its process has ended, or something is amiss with it.
fn look_after(
    process: &OwnProcess,
    watch: Watch,
    end: End,
    is_amiss: Arc<AtomicBool>,
    context: &mut Context,
) {
    let (ender, exited) = (context.ender(), process.exited());
    context.spawn(async move {
        tokio::pin!(exited);
        let amiss = tokio::select! {
            exit = &mut exited => return ender.end(end.reason(&exit).await),
            amiss = watch.until_amiss() => amiss,
        };
        if let Amiss::Lost(_) = amiss
            && let Ok(exit) = timeout(LAST_WORDS, &mut exited).await
        {
            return ender.end(end.reason(&exit).await);
        }
        is_amiss.store(true, Ordering::Release);
        ender.end(ExitReason::Failed(Arc::new(end.failure(amiss.to_string()))));
    });
}

/// Why the agent cannot start. Of what sort the end of its process was does not matter: what was in its way may
/// have passed when it is tried again.
fn could_not_start(failure: Failure) -> StartError {
    StartError::Failed(Arc::new(Failure { kind: FailureKind::Start, ..failure }))
}

/// What is told of the end of a process.
struct End {
    /// The folder of the annex, where it leaves its last word.
    annex: PathBuf,
    lines: LastLines,
    limits: ProcessLimits,
}

impl End {
    /// Why the agent ends, when its process has ended like this.
    async fn reason(&self, exit: &Exit) -> ExitReason {
        match exit {
            Exit::Code(0) => ExitReason::Normal,
            exit => ExitReason::Failed(Arc::new(self.told(exit).await)),
        }
    }

    /// Why the agent cannot start, when its process has ended before it answered.
    async fn start_error(&self, exit: &Exit) -> StartError {
        let failure = self.told(exit).await;
        match failure.kind {
            FailureKind::Refused => StartError::Refused(Arc::new(failure)),
            _ => could_not_start(failure),
        }
    }

    /// What the process says itself, or else how it has ended.
    async fn told(&self, exit: &Exit) -> Failure {
        let folder = self.annex.clone();
        let outcome = tokio::task::spawn_blocking(move || Outcome::read(&folder)).await;
        if let Ok(Some(outcome)) = outcome {
            return Failure { output: self.lines.read(), ..outcome.into_failure() };
        }
        self.failure(format!("its process {exit}"))
    }

    fn failure(&self, message: String) -> Failure {
        let output = self.lines.read();
        let lacks = |line: &String| NO_MEMORY.iter().any(|words| line.contains(words));
        let message = match output.iter().any(lacks) {
            false => message,
            true => format!(
                "{message}: it may have {} MiB of memory, which seems too little; `limits.memory_mb` sets it",
                self.limits.memory_mb
            ),
        };
        Failure { output, ..Failure::new(FailureKind::Error, message) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_answers_whatever_a_being_does() {
        let kinds = crate::catalogue();
        let names = |kind: &str| {
            let messages = kinds.messages(kind).unwrap().into_iter();
            messages.map(|message| (message.name, message.style)).collect::<Vec<_>>()
        };
        assert_eq!(names("being-process"), names("being"));
    }

    #[test]
    fn limits_that_nothing_can_live_on_are_refused() {
        let fault = |limits: serde_json::Value| {
            serde_json::from_value::<ProcessLimits>(limits).unwrap().fault()
        };
        assert_eq!(fault(json!({})), None);
        assert!(fault(json!({ "memory_mb": 0 })).unwrap().contains("memory_mb"));
        assert!(fault(json!({ "cpu_percent": 0 })).unwrap().contains("cpu_percent"));
        assert!(fault(json!({ "cpu_window": "10ms" })).unwrap().contains("cpu_window"));
        assert!(fault(json!({ "answer_within": "0s" })).unwrap().contains("answer_within"));
    }
}
