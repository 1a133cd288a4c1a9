//! Another genii beside this one, kept as the process of an agent is: it ends with this one, however
//! that ends.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};

use super::keep::{Exit, KEEPER_PATIENCE, begun, read_exit};
use super::keeper::{KEEP, TERMINATE};

/// A limit that is not set, as a keeper is told of it: memory, processor time, open files.
const NO_LIMITS: [&str; 3] = ["-"; 3];

/// A genii that runs beside this one. When this is dropped, it is killed.
pub struct Companion {
    pid: i32,
    /// Where orders go. When it is closed, the keeper kills all that it keeps.
    orders: Option<OwnedWriteHalf>,
    said: Lines<BufReader<OwnedReadHalf>>,
    keeper: Child,
    /// What it prints, until somebody takes it.
    printed: Option<(ChildStdout, ChildStderr)>,
}

impl Companion {
    /// Starts this program once more, with other words and another environment: what has no value
    /// there is left out of it.
    ///
    /// # Errors
    /// In words, when it cannot be run.
    pub async fn start(
        words: &[OsString],
        environment: &[(&str, Option<&str>)],
    ) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("it cannot be kept: {error}");
        let program = std::env::current_exe().map_err(failed)?;
        let (ours, theirs) = StdUnixStream::pair().map_err(failed)?;
        ours.set_nonblocking(true).map_err(failed)?;
        let mut command = Command::new(&program);
        command.arg(KEEP).args(NO_LIMITS).arg(&program).args(words);
        for (name, value) in environment {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        // A group of its own, so that Ctrl-C in a terminal reaches this one alone.
        command.process_group(0).stdin(Stdio::from(OwnedFd::from(theirs)));
        let mut keeper =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(failed)?;
        // The keeper has its end; ours would keep the socket open beyond its life.
        drop(command);
        let printed = keeper.stdout.take().zip(keeper.stderr.take());
        let (said, orders) = UnixStream::from_std(ours).map_err(failed)?.into_split();
        let mut said = BufReader::new(said).lines();
        let first = tokio::time::timeout(KEEPER_PATIENCE, said.next_line()).await;
        let first = first.map_err(|_| "its keeper did not begin in time".to_owned())?;
        let pid = begun(&first.map_err(failed)?.unwrap_or_default());
        let pid = pid.map_err(|error| error.to_string())?;
        Ok(Self { pid, orders: Some(orders), said, keeper, printed })
    }

    /// Its process.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// What it prints; `None` if somebody has taken that already.
    pub fn printed(&mut self) -> Option<(ChildStdout, ChildStderr)> {
        self.printed.take()
    }

    /// Asks it to end in good order.
    pub fn terminate(&self) {
        // A socket takes one short line at once, or is closed; then all has ended already.
        let order = format!("{TERMINATE}\n");
        let _sent = self.orders.as_ref().map(|orders| orders.try_write(order.as_bytes()));
    }

    /// Has it killed, and all that it left. [`Companion::exited`] says when that is done.
    pub fn kill(&mut self) {
        self.orders = None;
    }

    /// Waits until it has ended, and all that it left behind. To be asked once for its end.
    pub async fn exited(&mut self) -> Exit {
        let last_words = self.said.next_line().await.ok().flatten();
        let exit = last_words.as_deref().and_then(read_exit);
        if tokio::time::timeout(KEEPER_PATIENCE, self.keeper.wait()).await.is_err() {
            let _has_ended = self.keeper.start_kill();
        }
        exit.unwrap_or_else(|| Exit::Failed("its keeper was killed".into()))
    }
}
