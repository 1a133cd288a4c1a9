//! Process agents: an operating-system process that lives at an address like any other agent.
//!
//! | file | what it does |
//! |---|---|
//! | `process.rs` | the agent: starts its process, watches it, stops it |
//! | `settings.rs` | what may be set for one, and the command line that follows from it |
//! | `keeper.rs` | the small process between genii and an agent's, which outlives neither |
//! | `keep.rs` | genii's end of a keeper |
//! | `companion.rs` | another genii, kept in the same way |
//! | `own.rs` | this program once more, as the process of an agent |
//! | `output.rs` | what a process prints, line by line and bounded |
//! | `probe.rs` | asking from outside whether a process is ready, or well |
//! | `strays.rs` | what an earlier genii left |
//! | `zmtp.rs` | one bounded question to a ZeroMQ socket |

pub mod companion;
pub(crate) mod keep;
pub mod keeper;
mod output;
pub mod own;
mod probe;
pub mod settings;
pub mod strays;
mod zmtp;

use std::sync::Arc;
use std::time::Duration;

use genii_protocols::Json;
use genii_supervision::{ExitReason, Failure, FailureKind, Report, StartError};
use serde_json::json;
use tokio::time::Instant;

use crate::agent::Agent;
use crate::context::Context;
use crate::protocol::Protocol;

pub use keep::Exit;
use keep::Keeping;
use output::Output;
use probe::Prober;
pub use settings::{Liveness, Probe, ProcessSettings, ResourceLimits};

/// The name of this kind of agent.
pub const KIND: &str = "process";

/// The shortest wait between two looks whether a process is ready.
const READY_PERIOD: Duration = Duration::from_millis(20);

/// The longest wait between two looks whether a process is ready.
const READY_PERIOD_MAX: Duration = Duration::from_millis(250);

/// The agent that stands for a process.
pub struct ProcessAgent {
    keeping: Keeping,
    output: Arc<Output>,
    command: Vec<String>,
    began: Instant,
}

impl Agent for ProcessAgent {
    type Settings = ProcessSettings;

    fn protocol() -> Protocol<Self> {
        Protocol::new()
    }

    async fn start(settings: ProcessSettings, context: &mut Context) -> Result<Self, StartError> {
        let command = settings.command()?;
        context.node().keepers().gone(context.address()).await;
        for port in settings.probed_ports() {
            probe::is_free(port).await.map_err(StartError::failed)?;
        }
        let output = Arc::new(Output::new(context.node().clone(), context.address().clone()));
        let keeping = Keeping::start(&command, &settings, context, &output).await?;
        context.ready_later();
        watch_exit(&keeping, &output, context);
        watch_health(&settings, &output, context);
        Ok(Self { keeping, output, command: command.words, began: Instant::now() })
    }

    fn snapshot(&self) -> Json {
        Json(json!({
            "pid": self.keeping.pid(),
            "command": self.command,
            "runs_for": genii_protocols::TimeSpan(self.began.elapsed()),
            "last_output": self.output.tail(),
        }))
    }

    async fn stop(&mut self, _: &mut Context) {
        // How long it may take is its supervisor's business, which kills this agent when it takes
        // longer; and with the agent goes the keeper, and all that it keeps.
        self.keeping.terminate();
        self.keeping.exited().await;
    }
}

/// Ends the agent when its process has ended.
fn watch_exit(keeping: &Keeping, output: &Arc<Output>, context: &mut Context) {
    let exit = keeping.exit();
    let (ender, output) = (context.ender(), output.clone());
    context.spawn(async move {
        let exit = exit.await;
        output.drained().await;
        match exit {
            Exit::Code(0) => ender.end(ExitReason::Normal),
            exit => ender.end(ExitReason::Failed(Arc::new(Failure {
                output: output.tail(),
                ..Failure::new(FailureKind::Error, format!("its process {exit}"))
            }))),
        }
    });
}

/// Says when the process is ready, and ends the agent when it is no longer well.
fn watch_health(settings: &ProcessSettings, output: &Arc<Output>, context: &mut Context) {
    let (report, ender) = (context.report(), context.ender());
    let ready = settings.ready.clone();
    let live = settings.live.clone();
    let prober = Prober::new(
        context.node().clone(),
        Arc::new(settings.clone()),
        output.clone(),
        context.address().clone(),
    );
    context.spawn(async move {
        if let Some(probe) = &ready {
            until_ready(&prober, probe, &report).await;
            report.recovered();
        }
        report.ready();
        let Some(live) = live else { return };
        if let Some(probe) = live.probe.as_ref().or(ready.as_ref()) {
            let failure = until_ill(&prober, probe, &live).await;
            ender.end(ExitReason::Failed(Arc::new(failure)));
        }
    });
}

/// Looks until the process is ready, and says what it lacks meanwhile. The start deadline of the
/// agent bounds it.
async fn until_ready(prober: &Prober, probe: &Probe, report: &Report) {
    let began = Instant::now();
    let mut said = String::new();
    while let Err(why) = prober.probe(probe, settings::PROBE_TIMEOUT).await {
        if said != why {
            report.degraded(why.as_str());
            said = why;
        }
        // A tenth of what it has taken already: that much later than it might have been seen.
        let period = (began.elapsed() / 10).clamp(READY_PERIOD, READY_PERIOD_MAX);
        match probe {
            Probe::Line { .. } => prober.output().printed_within(period).await,
            _ => tokio::time::sleep(period).await,
        }
    }
}

/// Looks from time to time, until too many looks in a row have failed.
async fn until_ill(prober: &Prober, probe: &Probe, live: &Liveness) -> Failure {
    let mut failures = 0;
    loop {
        tokio::time::sleep(live.every.0).await;
        match prober.probe(probe, live.timeout.0).await {
            Ok(()) => failures = 0,
            Err(why) => {
                failures += 1;
                tracing::warn!(agent = %prober.agent(), "health check {failures} failed: {why}");
                if failures >= live.failures {
                    let message = format!("{failures} health checks in a row failed: {why}");
                    let output = prober.output().tail();
                    return Failure { output, ..Failure::new(FailureKind::Error, message) };
                }
            }
        }
    }
}
