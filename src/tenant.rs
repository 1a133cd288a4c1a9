//! The process of one being, as genii starts it for a being that is kept apart: this program, called with
//! a word that nobody else uses.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use genii_actors::being::process::tenant::{self, Lease, NICE, THREADS, WORD};
use rustix::process::{Resource, Rlimit, getrlimit, nice, setrlimit};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::writer::MakeWriterExt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::logging;

/// How many threads may wait for files at a time.
const BLOCKING_THREADS_MAX: usize = 16;

/// How long what still waits for files may take at the end.
const LAST_WORK: Duration = Duration::from_secs(2);

/// Lives as the process of a being, if that is what the arguments say. Otherwise `None`: it is an ordinary
/// call of the program.
pub fn run_if_asked() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    let is_asked = arguments.next().is_some_and(|word| word == WORD);
    is_asked.then(|| run(arguments.next()))
}

fn run(folder: Option<OsString>) -> ExitCode {
    let folder = folder.unwrap_or_default();
    let folder = Path::new(&folder);
    let lease = match Lease::read(folder) {
        Ok(lease) => lease,
        Err(error) => {
            crate::screen::complain(format_args!("this command is for genii's own use: {error}"));
            return ExitCode::from(2);
        }
    };
    begin_to_log(&lease.log);
    match live(lease, folder) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            tenant::fail(folder, format!("its process cannot begin: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn live(lease: Lease, folder: &Path) -> std::io::Result<bool> {
    limit(&lease)?;
    // It goes with the folder when the process has ended.
    let _is_set_once = tempfile::env::override_temp_dir(folder);
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(THREADS).max_blocking_threads(BLOCKING_THREADS_MAX).enable_all();
    let runtime = runtime.build()?;
    let lived = runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let stop = async {
            let _asked = terminate.recv().await;
        };
        Ok(tenant::live(lease, folder, stop).await)
    });
    runtime.shutdown_timeout(LAST_WORK);
    lived
}

/// Holds this process to what it may take. What it does beyond that fails, and nothing else does.
fn limit(lease: &Lease) -> std::io::Result<()> {
    // Whoever may not have more takes what there is.
    let most = getrlimit(Resource::Data).maximum;
    let memory = most.map_or(lease.memory_bytes(), |most| most.min(lease.memory_bytes()));
    setrlimit(Resource::Data, Rlimit { current: Some(memory), maximum: Some(memory) })?;
    // A process that crashes leaves no copy of what it remembers.
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    let _as_nice_as_before = nice(NICE);
    Ok(())
}

/// Begins to log: to standard output, and to standard error what is amiss. It goes into the log of the
/// being.
fn begin_to_log(level: &str) {
    let writer = std::io::stderr.with_max_level(tracing::Level::WARN).or_else(std::io::stdout);
    let lines =
        tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(false).without_time();
    tracing_subscriber::registry().with(lines.with_filter(logging::filter(level))).init();
}
