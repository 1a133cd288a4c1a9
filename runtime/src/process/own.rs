//! This program once more, as the process of an agent: kept, listened to, and gone with its agent.

use std::collections::BTreeMap;
use std::sync::Arc;

use genii_supervision::StartError;

use super::keep::{Exit, Keeping};
use super::output::Output;
use super::settings::{Command, ProcessSettings};
use crate::context::Context;

/// A process of this program that belongs to an agent. What it prints goes into the log of the agent.
/// When this is dropped, it is killed, and all that it left.
pub struct OwnProcess {
    pid: i32,
    /// `None` when it is to be killed.
    keeping: Option<Keeping>,
    output: Arc<Output>,
}

impl OwnProcess {
    /// Waits until the process of an earlier life of the agent is gone.
    pub async fn earlier_is_gone(context: &Context) {
        context.node().keepers().gone(context.address()).await;
    }

    /// Starts the program by which the node keeps processes with these words. `environment` comes beside
    /// what there is.
    ///
    /// # Errors
    /// When it cannot be run.
    pub async fn start(
        words: Vec<String>,
        environment: BTreeMap<String, String>,
        context: &Context,
    ) -> Result<Self, StartError> {
        let keepers = context.node().keepers();
        let program = keepers.program().to_str();
        let program = program.ok_or_else(|| StartError::refused("the path of genii is no text"))?;
        let words = std::iter::once(program.to_owned()).chain(words).collect();
        let settings = ProcessSettings { env: environment, ..ProcessSettings::default() };
        let command = Command { words, directory: settings.directory() };
        let output = Arc::new(Output::new(context.node().clone(), context.address().clone()));
        let keeping = Keeping::start(&command, &settings, context, &output).await?;
        Ok(Self { pid: keeping.pid(), keeping: Some(keeping), output })
    }

    /// Its process.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Asks it to end in good order.
    pub fn terminate(&self) {
        if let Some(keeping) = &self.keeping {
            keeping.terminate();
        }
    }

    /// Has it killed, and all that it left.
    pub fn kill(&mut self) {
        self.keeping = None;
    }

    /// Waits until it has ended, and all that it left, and says how. To be asked for before it is killed.
    pub fn exited(&self) -> impl Future<Output = Exit> + Send + 'static {
        let exit = self.keeping.as_ref().map(Keeping::exit);
        let output = self.output.clone();
        async move {
            let exit = match exit {
                Some(exit) => exit.await,
                None => return Exit::Failed("it was killed".to_owned()),
            };
            output.drained().await;
            exit
        }
    }

    /// The last lines that it printed, with whatever comes while this is held.
    pub fn last_lines(&self) -> LastLines {
        LastLines(self.output.clone())
    }
}

/// The last lines that a process has printed.
#[derive(Clone)]
pub struct LastLines(Arc<Output>);

impl LastLines {
    /// As they are now.
    pub fn read(&self) -> Vec<String> {
        self.0.tail()
    }
}
