//! `pc2-core/unified-error`: collects crash reports and error lines, groups those with the same
//! cause, and ranks the groups.

mod groups;

use std::sync::Arc;
use std::time::Duration;

use genii_protocols::errors::{
    ErrorDetail, ErrorGroups, ErrorId, ErrorSample, ErrorSource, ForgetErrors, ListErrors,
    NoSuchError, ReportError, ShowError, UnnamedReporter,
};
use genii_protocols::{Address, Json, Never, Timestamp};
use genii_runtime::logbook::{Level, LogLine};
use genii_runtime::{Agent, Context, Handle, House, Protocol};
use genii_supervision::journal::{Followed, What};
use genii_supervision::{Event, Failure, StartError};
use parking_lot::Mutex;
use serde::Deserialize;
use tokio::sync::broadcast::error::RecvError;

use groups::{Groups, Seen};

/// How many groups are listed unless somebody asks for more.
const LIST_LIMIT: usize = 20;

/// Words that make a line on the error stream of a process an error.
const ERROR_WORDS: [&str; 6] = ["error", "exception", "traceback", "critical", "fatal", "panic"];

/// The agent.
pub struct UnifiedError {
    groups: Arc<Mutex<Groups>>,
}

/// What may be set.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UnifiedErrorSettings {
    /// How many groups are kept; the least pressing goes when there are more.
    pub groups: usize,
}

impl Default for UnifiedErrorSettings {
    fn default() -> Self {
        Self { groups: 1_000 }
    }
}

impl Agent for UnifiedError {
    type Settings = UnifiedErrorSettings;

    fn protocol() -> Protocol<Self> {
        Protocol::new()
            .on::<ReportError>()
            .on::<ListErrors>()
            .on::<ShowError>()
            .on::<ForgetErrors>()
    }

    async fn start(
        settings: UnifiedErrorSettings,
        context: &mut Context,
    ) -> Result<Self, StartError> {
        let house = context.house().cloned();
        let house = house.ok_or_else(|| StartError::refused("it needs to see the house"))?;
        let groups = Arc::new(Mutex::new(Groups::new(settings.groups.max(1))));
        catch_up(&house, &groups);
        context.spawn(follow_journal(house.clone(), groups.clone()));
        context.spawn(follow_log(house, groups.clone()));
        Ok(Self { groups })
    }

    fn snapshot(&self) -> Json {
        let groups = self.groups.lock();
        Json(serde_json::json!({
            "groups": groups.len(),
            "errors": groups.errors(),
            "missed": groups.missed(),
        }))
    }
}

impl Handle<ReportError> for UnifiedError {
    async fn handle(
        &mut self,
        ReportError { agent, message, place }: ReportError,
        context: &mut Context,
    ) -> Result<ErrorId, UnnamedReporter> {
        let sender = || context.sender().map(|sender| sender.address.clone());
        let agent = agent.or_else(sender).ok_or(UnnamedReporter {})?;
        let sample = ErrorSample {
            at: Timestamp::now(),
            agent,
            message,
            handling: None,
            output: Vec::new(),
        };
        Ok(self.groups.lock().add(Seen { source: ErrorSource::Report, place, sample }))
    }
}

impl Handle<ListErrors> for UnifiedError {
    async fn handle(&mut self, list: ListErrors, _: &mut Context) -> Result<ErrorGroups, Never> {
        let limit = list.limit.map_or(LIST_LIMIT, |limit| limit as usize);
        let within = list.within.map(Duration::from);
        Ok(self.groups.lock().list(list.agent.as_ref(), within, limit, Timestamp::now()))
    }
}

impl Handle<ShowError> for UnifiedError {
    async fn handle(
        &mut self,
        ShowError { id }: ShowError,
        _: &mut Context,
    ) -> Result<ErrorDetail, NoSuchError> {
        self.groups.lock().show(id, Timestamp::now()).ok_or(NoSuchError { id })
    }
}

impl Handle<ForgetErrors> for UnifiedError {
    async fn handle(&mut self, forget: ForgetErrors, _: &mut Context) -> Result<u64, Never> {
        Ok(self.groups.lock().forget(forget.id))
    }
}

/// Takes in what happened before this life began.
fn catch_up(house: &House, groups: &Mutex<Groups>) {
    let events = house.node().tree().journal.tail(usize::MAX, |_| true);
    let mut groups = groups.lock();
    for event in events {
        if let Some(seen) = seen_in_event(&event) {
            groups.add(seen);
        }
    }
}

async fn follow_journal(house: House, groups: Arc<Mutex<Groups>>) {
    let journal = &house.node().tree().journal;
    let mut follow = journal.follow();
    while let Some(next) = follow.next().await {
        match next {
            Followed::Event(event) => {
                if let Some(seen) = seen_in_event(&event) {
                    groups.lock().add(seen);
                }
            }
            Followed::Missed(missed) => groups.lock().miss(missed),
        }
    }
}

async fn follow_log(house: House, groups: Arc<Mutex<Groups>>) {
    let mut follow = house.node().logbook().follow();
    loop {
        match follow.recv().await {
            Ok(line) => {
                if let Some(seen) = seen_in_line(&line) {
                    groups.lock().add(seen);
                }
            }
            Err(RecvError::Lagged(missed)) => groups.lock().miss(missed),
            Err(RecvError::Closed) => return,
        }
    }
}

fn seen_in_event(event: &Event) -> Option<Seen> {
    let (source, failure) = match &event.what {
        What::Crashed { failure } => (ErrorSource::Crash, failure),
        What::StartFailed { failure } => (ErrorSource::Start, failure),
        _ => return None,
    };
    let agent = Address::parse(event.key.as_str()).ok()?;
    Some(seen(source, event.at.into(), agent, failure))
}

fn seen(source: ErrorSource, at: Timestamp, agent: Address, failure: &Failure) -> Seen {
    let chain = std::iter::once(&failure.message).chain(&failure.chain);
    let message = chain.map(String::as_str).collect::<Vec<_>>().join(": ");
    let (handling, output) = (failure.handling.clone(), failure.output.clone());
    let sample = ErrorSample { at, agent, message, handling, output };
    Seen { source, place: failure.place.clone(), sample }
}

fn seen_in_line(line: &LogLine) -> Option<Seen> {
    let is_error = match line.level {
        Level::Error => true,
        Level::Stderr => {
            let text = line.text.to_lowercase();
            ERROR_WORDS.iter().any(|word| text.contains(word))
        }
        _ => false,
    };
    let sample = ErrorSample {
        at: line.at,
        agent: line.agent.clone(),
        message: line.text.clone(),
        handling: None,
        output: Vec::new(),
    };
    is_error.then_some(Seen { source: ErrorSource::Log, place: None, sample })
}
