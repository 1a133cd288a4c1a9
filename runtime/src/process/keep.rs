//! genii's end of a keeper.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dashmap::DashMap;
use genii_protocols::Address;
use genii_supervision::StartError;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::{Child, Command as TokioCommand};
use tokio::sync::watch;

use super::keeper::{KEEP, TERMINATE};
use super::output::Output;
use super::settings::{Command, ProcessSettings};
use super::strays::{self, MARK, NUMBER};
use crate::context::Context;

/// How long a keeper may take to say that it has begun, and to end after its process has.
pub(super) const KEEPER_PATIENCE: Duration = Duration::from_secs(10);

/// A process that is kept.
pub(crate) struct Keeping {
    pid: i32,
    /// Where orders go. When this is dropped, the keeper kills all that it keeps.
    orders: OwnedWriteHalf,
    exit: watch::Receiver<Option<Exit>>,
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// With this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// Its keeper could not keep it, and says why.
    Failed(String),
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "ended with code {code}"),
            Self::Signal(signal) => match Signal::from_named_raw(*signal) {
                Some(name) => {
                    let name = format!("{name:?}");
                    let name = name.trim_matches('"').trim_start_matches("Signal::");
                    write!(f, "was ended by signal {signal} (SIG{name})")
                }
                None => write!(f, "was ended by signal {signal}"),
            },
            Self::Failed(why) => write!(f, "could not be kept: {why}"),
        }
    }
}

impl Keeping {
    /// Starts a keeper, and through it a process.
    pub(crate) async fn start(
        command: &Command,
        settings: &ProcessSettings,
        context: &Context,
        output: &Arc<Output>,
    ) -> Result<Self, StartError> {
        let failed =
            |what: &str, error: &dyn fmt::Display| StartError::failed(format!("{what}: {error}"));
        let (ours, theirs) =
            StdUnixStream::pair().map_err(|error| failed("no socket to a keeper", &error))?;
        let keepers = context.node().keepers();
        let (mut keeper, number) = keeper_command(command, settings, keepers, theirs);
        let mut child =
            keeper.spawn().map_err(|error| failed("its keeper cannot be run", &error))?;
        drop(keeper);
        output.read(child.stdout.take(), child.stderr.take());
        ours.set_nonblocking(true).map_err(|error| failed("no socket to a keeper", &error))?;
        let socket = UnixStream::from_std(ours).map_err(|error| failed("no socket", &error))?;
        let (said, orders) = socket.into_split();
        let mut said = BufReader::new(said).lines();
        let pid = match tokio::time::timeout(KEEPER_PATIENCE, said.next_line()).await {
            Ok(Ok(Some(line))) => begun(&line)?,
            Ok(_) => return Err(StartError::failed("its keeper ended before it began")),
            Err(_) => return Err(StartError::failed("its keeper did not begin in time")),
        };
        let exit = keepers.mind(context.address(), pid, number, child, said);
        Ok(Self { pid, orders, exit })
    }

    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    /// Asks the process to end.
    pub(crate) fn terminate(&self) {
        // A socket takes one short line at once, or is closed; then all has ended already.
        let _sent = self.orders.try_write(format!("{TERMINATE}\n").as_bytes());
    }

    /// Waits until the process, and all that it left behind, has ended.
    pub(crate) async fn exited(&self) -> Exit {
        self.exit().await
    }

    /// As [`Keeping::exited`], without holding on to the process.
    pub(crate) fn exit(&self) -> impl Future<Output = Exit> + Send + 'static {
        let mut exit = self.exit.clone();
        async move {
            let ended = exit.wait_for(Option::is_some).await;
            let known = ended.ok().and_then(|exit| exit.clone());
            known.unwrap_or_else(|| Exit::Failed("its node has ended".into()))
        }
    }
}

/// Runs a command to its end, as an agent's process is run, without its output. Nothing of it is
/// left when it has ended, or when nobody waits for it any more.
///
/// # Errors
/// In words, when it cannot be run.
pub(super) async fn run_once(
    words: &[String],
    settings: &ProcessSettings,
    keepers: &Keepers,
) -> Result<Exit, String> {
    let failed = |error: std::io::Error| format!("it cannot be kept: {error}");
    let (ours, theirs) = StdUnixStream::pair().map_err(failed)?;
    ours.set_nonblocking(true).map_err(failed)?;
    let command = Command { words: words.to_vec(), directory: settings.directory() };
    let (mut keeper, number) = keeper_command(&command, settings, keepers, theirs);
    keeper.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = keeper.spawn().map_err(failed)?;
    // The keeper has its end; ours would keep the socket open beyond its life.
    drop(keeper);
    let mut said = BufReader::new(UnixStream::from_std(ours).map_err(failed)?).lines();
    let first = said.next_line().await.map_err(failed)?;
    begun(&first.unwrap_or_default()).map_err(|error| error.to_string())?;
    let last = said.next_line().await.map_err(failed)?;
    let _reaped = child.wait().await;
    match last.as_deref().and_then(read_exit) {
        Some(exit) => Ok(exit),
        None => {
            clear_up_after(number).await;
            Err("its keeper was killed".to_owned())
        }
    }
}

/// Ends what a keeper kept that was killed itself.
async fn clear_up_after(number: OsString) {
    let _sweeping = tokio::task::spawn_blocking(move || strays::sweep_one(&number)).await;
}

pub(super) fn begun(line: &str) -> Result<i32, StartError> {
    match line.split_once(' ') {
        Some(("pid", pid)) => {
            pid.parse().map_err(|_| StartError::failed("its keeper says nothing sensible"))
        }
        Some(("failed", why)) => Err(StartError::failed(format!("it cannot be run: {why}"))),
        _ => Err(StartError::failed("its keeper says nothing sensible")),
    }
}

fn keeper_command(
    command: &Command,
    settings: &ProcessSettings,
    keepers: &Keepers,
    socket: StdUnixStream,
) -> (TokioCommand, OsString) {
    let mut keeper = TokioCommand::new(&keepers.program);
    keeper.arg(KEEP);
    let limits = &settings.limits;
    let number = |limit: Option<u64>| limit.map_or_else(|| "-".to_owned(), |n| n.to_string());
    keeper.arg(number(limits.memory_mb.map(|mib| mib.saturating_mul(1 << 20))));
    // A limit of zero seconds would be none at all.
    keeper.arg(number(limits.cpu_time.map(|time| time.0.as_secs().max(1))));
    keeper.arg(number(limits.open_files));
    keeper.args(&command.words).current_dir(&command.directory);
    if settings.inherit_env == Some(false) {
        keeper.env_clear();
    }
    keeper.envs(settings.environment());
    if let Some(mark) = &keepers.mark {
        keeper.env(MARK, mark);
    }
    let number = keepers.number();
    keeper.env(NUMBER, &number);
    // A group of its own, so that Ctrl-C in a terminal reaches genii alone.
    keeper.process_group(0);
    keeper.stdin(Stdio::from(OwnedFd::from(socket)));
    keeper.stdout(Stdio::piped()).stderr(Stdio::piped());
    (keeper, number)
}

/// The keepers of a node.
pub(crate) struct Keepers {
    /// The program that can be a keeper: this one, in an ordinary genii.
    program: OsString,
    /// What marks the processes.
    mark: Option<OsString>,
    /// How many there were.
    count: AtomicU64,
    kept: Arc<DashMap<Address, Kept>>,
}

struct Kept {
    pid: i32,
    exit: watch::Receiver<Option<Exit>>,
}

impl Keepers {
    pub(crate) fn new(program: Option<OsString>, mark: Option<OsString>) -> Self {
        let this = || std::env::current_exe().map(OsString::from).unwrap_or_default();
        let (count, kept) = (AtomicU64::new(0), Arc::default());
        Self { program: program.unwrap_or_else(this), mark, count, kept }
    }

    /// The program that can be a keeper.
    pub(crate) fn program(&self) -> &OsStr {
        &self.program
    }

    /// What tells the processes of one keeper from those of all others that live.
    fn number(&self) -> OsString {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        // Two nodes in one process have counts of their own.
        format!("{}.{:x}.{count}", std::process::id(), std::ptr::from_ref(self).addr()).into()
    }

    /// The process of an agent.
    pub(crate) fn pid(&self, agent: &Address) -> Option<i32> {
        self.kept.get(agent).map(|kept| kept.pid)
    }

    /// Waits until an agent's process of an earlier life is gone. Its keeper kills it, so that this
    /// does not take long.
    pub(crate) async fn gone(&self, agent: &Address) {
        let exit = self.kept.get(agent).map(|kept| kept.exit.clone());
        if let Some(mut exit) = exit {
            let _told_or_node_ended = exit.wait_for(Option::is_some).await;
        }
    }

    /// Waits until all processes are gone, within `patience`; says how many are left.
    pub(crate) async fn all_gone(&self, patience: Duration) -> usize {
        let agents: Vec<Address> = self.kept.iter().map(|kept| kept.key().clone()).collect();
        let waiting = async {
            for agent in agents {
                self.gone(&agent).await;
            }
        };
        let _some_may_be_left = tokio::time::timeout(patience, waiting).await;
        self.kept.len()
    }

    /// Looks after a keeper until it has ended.
    fn mind(
        &self,
        agent: &Address,
        pid: i32,
        number: OsString,
        child: Child,
        said: Lines<BufReader<OwnedReadHalf>>,
    ) -> watch::Receiver<Option<Exit>> {
        let (send, exit) = watch::channel(None);
        self.kept.insert(agent.clone(), Kept { pid, exit: exit.clone() });
        let (kept, agent) = (self.kept.clone(), agent.clone());
        tokio::spawn(async move {
            let exit = until_ended(pid, number, child, said).await;
            kept.remove_if(&agent, |_, kept| kept.pid == pid);
            send.send_replace(Some(exit));
        });
        exit
    }
}

async fn until_ended(
    pid: i32,
    number: OsString,
    mut child: Child,
    mut said: Lines<BufReader<OwnedReadHalf>>,
) -> Exit {
    let last_words = said.next_line().await.ok().flatten();
    let exit = last_words.as_deref().and_then(read_exit);
    if exit.is_none() {
        // The keeper was killed. The kernel kills the process with it, and we the rest.
        if let Some(group) = Pid::from_raw(pid) {
            let _has_ended = kill_process_group(group, Signal::KILL);
        }
        clear_up_after(number).await;
    }
    if tokio::time::timeout(KEEPER_PATIENCE, child.wait()).await.is_err() {
        let _has_ended = child.start_kill();
    }
    exit.unwrap_or_else(|| Exit::Failed("its keeper was killed".into()))
}

pub(super) fn read_exit(line: &str) -> Option<Exit> {
    let (word, rest) = line.split_once(' ')?;
    match word {
        "code" => rest.parse().ok().map(Exit::Code),
        "signal" => rest.parse().ok().map(Exit::Signal),
        "failed" => Some(Exit::Failed(rest.to_owned())),
        _ => None,
    }
}
