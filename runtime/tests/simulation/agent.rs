//! The agents that are sent to.

use std::cell::RefCell;
use std::time::Duration;

use genii_protocols::{Never, message};
use genii_runtime::{Agent, Context, Down, Handle, Protocol, WatchId};
use genii_supervision::StartError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::company::{self, News};
use crate::linking::{Tie, Untie};
use crate::log::Log;
use crate::streams::Count;
use crate::watching::{Unwatch, Watch, Watches};

thread_local! {
    /// The log of the run on this thread: an agent is made by its kind, and knows nothing else.
    static LOG: RefCell<Option<Log>> = const { RefCell::new(None) };
}

/// From now on agents on this thread write into this log.
pub fn write_into(log: &Log) {
    LOG.set(Some(log.clone()));
}

/// The log of the run on this thread.
pub fn log() -> Log {
    LOG.with_borrow(Clone::clone).expect("it is set before the first agent")
}

/// Do something.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Work {
    pub id: u64,
    pub takes_millis: u64,
    pub fill: String,
}
message!(Work = "worker.work" -> u64);

/// Fail.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Break {}
message!(Break = "worker.break" -> ());

/// What it fails with.
pub const BROKEN: &str = "as it was told";

#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Settings {
    /// It subscribes to what is published, and is in the group.
    listens: bool,
}

pub struct Worker {
    /// Which life it is, of all in the run.
    pub life: u64,
    pub watches: Vec<WatchId>,
    /// The links that it has made.
    pub ties: Vec<WatchId>,
}

impl Agent for Worker {
    type Settings = Settings;

    fn protocol() -> Protocol<Self> {
        let protocol = Protocol::new().on::<Work>().on::<Break>().on_stream::<Count>();
        protocol.on::<Watch>().on::<Unwatch>().on::<News>().on::<Tie>().on::<Untie>()
    }

    async fn start(settings: Settings, context: &mut Context) -> Result<Self, StartError> {
        let life = log().watches(Watches::begins);
        log().note(format_args!("{life} is {} {}", context.address(), context.incarnation()));
        if settings.listens {
            company::join(context);
        }
        Ok(Self { life, watches: Vec::new(), ties: Vec::new() })
    }

    async fn down(&mut self, down: &Down, _: &mut Context) {
        self.was_told(down);
    }
}

impl Handle<Work> for Worker {
    async fn handle(&mut self, work: Work, context: &mut Context) -> Result<u64, Never> {
        log().handles(work.id, context.address());
        if work.takes_millis > 0 {
            tokio::time::sleep(Duration::from_millis(work.takes_millis)).await;
        }
        Ok(work.id)
    }
}

impl Handle<Break> for Worker {
    async fn handle(&mut self, _: Break, _: &mut Context) -> Result<(), Never> {
        panic!("{BROKEN}");
    }
}
