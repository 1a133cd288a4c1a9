//! Why an agent stands as it does: through the graph and the crash reports to the first cause.

use std::borrow::Cow;
use std::collections::HashSet;
use std::time::Duration;

use genii_protocols::Address;
use genii_supervision::status::START_FAILED;
use genii_supervision::{CrashReport, Edges, Key, Standing, Status, StopWhy, Tree, View, What};
use serde::{Deserialize, Serialize};

use super::{House, HouseError};

/// How deep causes are followed.
const DEPTH_MAX: usize = 32;

/// How an agent stands, and because of what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Because {
    /// Which agent or group.
    pub name: String,
    /// How it stands, in one word.
    pub state: Cow<'static, str>,
    /// How it stands, in a sentence about it.
    pub says: String,
    /// What lies behind that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub because: Vec<Because>,
    /// What is known about its last crash.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crash: Option<Crash>,
}

/// A crash, for a person to read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Crash {
    /// When, as RFC 3339.
    pub at: String,
    /// How many seconds ago.
    pub seconds_ago: f64,
    /// Why.
    pub cause: String,
    /// How many seconds it had been ready; none if it never was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_seconds: Option<f64>,
    /// Whom it took down with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub took_down: Vec<String>,
    /// The last lines of its output.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub output: Vec<String>,
}

impl From<&CrashReport> for Crash {
    fn from(report: &CrashReport) -> Self {
        let ago = report.at.elapsed().unwrap_or_default();
        Self {
            at: genii_protocols::Timestamp::from(report.at).to_string(),
            seconds_ago: ago.as_secs_f64(),
            cause: report.failure.to_string(),
            after_seconds: report.uptime.map(|uptime| uptime.as_secs_f64()),
            took_down: report.took_down.iter().map(ToString::to_string).collect(),
            output: report.failure.output.clone(),
        }
    }
}

/// The answer to `why`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// How it stands, and because of what.
    #[serde(flatten)]
    pub because: Because,
    /// Where all causes begin.
    pub first_causes: Vec<String>,
}

impl House {
    /// Why an agent or a group stands as it does.
    ///
    /// # Errors
    /// When there is none of this name.
    pub fn why(&self, name: &str) -> Result<Explanation, HouseError> {
        let tree = self.0.node.tree();
        let key = Key::from(name);
        if tree.board.view(name).is_none() {
            return Err(self.not_found(name));
        }
        let mut seen = HashSet::new();
        let mut because = explain(tree, &key, &mut seen, 0);
        self.place(&mut because);
        let suspended =
            Address::parse(name).is_ok_and(|address| self.0.node.is_suspended(&address));
        if suspended {
            because.says.push_str("; it is suspended, and handles nothing until it is resumed");
        }
        let mut first_causes = Vec::new();
        collect_first_causes(&because, &mut first_causes);
        Ok(Explanation { because, first_causes })
    }
}

impl House {
    /// Says of those that are waited for where they live, if that is another node.
    fn place(&self, because: &mut Because) {
        if let Some(node) = self.home_of(&because.name).filter(|_| because.state == "waiting") {
            let is_linked = self.0.node.cluster().is_some_and(|it| it.is_connected(&node));
            let linked = if is_linked { "" } else { ", which is not linked" };
            because.says.push_str(&format!(", on its node {node}{linked}"));
        }
        because.because.iter_mut().for_each(|deeper| self.place(deeper));
    }
}

fn collect_first_causes(because: &Because, causes: &mut Vec<String>) {
    if because.because.is_empty() {
        let cause = match (&because.crash, &*because.state) {
            (Some(crash), "down" | "quarantined" | "starting" | "stopped") => {
                format!("{}: {}", because.name, crash.cause)
            }
            _ => format!("{} {}", because.name, because.says),
        };
        if !causes.contains(&cause) {
            causes.push(cause);
        }
    }
    for deeper in &because.because {
        collect_first_causes(deeper, causes);
    }
}

fn explain(tree: &Tree, key: &Key, seen: &mut HashSet<Key>, depth: usize) -> Because {
    let Some(view) = tree.board.view(key.as_str()) else {
        let says = "is not in this house".to_owned();
        return Because {
            name: key.to_string(),
            state: "unknown".into(),
            says,
            because: vec![],
            crash: None,
        };
    };
    let first_visit = seen.insert(key.clone()) && depth < DEPTH_MAX;
    let mut because = Vec::new();
    if first_visit {
        for deeper in reasons(tree, &view) {
            because.push(explain(tree, &deeper, seen, depth + 1));
        }
    }
    let crash = tree.crashes.last(key).map(|report| Crash::from(&*report));
    let crash = crash.filter(|_| matters(&view, tree));
    Because {
        name: key.to_string(),
        state: view.status.word().into(),
        says: sentence(tree, &view),
        because,
        crash,
    }
}

/// Whether the last crash of a child has to do with how it stands now. A life that ended in a crash
/// explains why it is in its next.
fn matters(view: &View, tree: &Tree) -> bool {
    match &view.status {
        Status::Completed | Status::Blocked | Status::Declared => false,
        Status::Stopped(why) => &**why == START_FAILED,
        _ => {
            tree.crashes.last(&view.key).is_some_and(|crash| crash.incarnation <= view.incarnation)
        }
    }
}

/// What else has to be explained to explain how a child stands.
fn reasons(tree: &Tree, view: &View) -> Vec<Key> {
    let nothing = Edges::default();
    let edges = view.edges.as_deref().unwrap_or(&nothing);
    match &view.status {
        Status::Waiting | Status::Blocked => {
            let not_there = |key: &&Key| !tree.board.standing(key).lets_start();
            let wanted = edges.wants.iter().filter(|key| {
                let view = tree.board.view(key.as_str());
                view.is_some_and(|view| {
                    matches!(view.status, Status::Declared | Status::Waiting | Status::Starting)
                })
            });
            let needed = edges.needs.iter().filter(not_there);
            let bound = edges.binds.iter().filter(|key| tree.board.standing(key) != Standing::Met);
            needed.chain(bound).chain(wanted).cloned().collect()
        }
        Status::Degraded(_) => {
            let lacking = tree.board.standings(edges).into_iter();
            lacking.filter(|(_, standing)| *standing != Standing::Met).map(|(key, _)| key).collect()
        }
        Status::Stopped(why) if &**why == START_FAILED => Vec::new(),
        // It is nobody's here: it lives elsewhere, or its group does not run.
        Status::Stopped(_) if view.supervisor.as_str().is_empty() => Vec::new(),
        Status::Stopped(_) | Status::Stopping => match last_stop(tree, &view.key) {
            Some(StopWhy::Sibling(key) | StopWhy::Bound(key)) => vec![key],
            Some(StopWhy::SupervisorEnds) => vec![view.supervisor.clone()],
            Some(StopWhy::Asked | StopWhy::RestartAsked) => Vec::new(),
            // Stopped while it waited: its supervisor took it along.
            None => vec![view.supervisor.clone()],
        },
        _ => Vec::new(),
    }
}

/// Why a child was last asked to stop.
fn last_stop(tree: &Tree, key: &Key) -> Option<StopWhy> {
    let stopping = tree
        .journal
        .tail(1, |event| event.key == *key && matches!(event.what, What::Stopping { .. }));
    match &stopping.first()?.what {
        What::Stopping { why } => Some(why.clone()),
        _ => None,
    }
}

fn sentence(tree: &Tree, view: &View) -> String {
    let long = ago(view.since.elapsed());
    match &view.status {
        Status::Declared => "has not been started yet".to_owned(),
        Status::Waiting => format!("has been waiting for {long}"),
        Status::Blocked => "cannot start: what it needs will not come by itself".to_owned(),
        Status::Starting => format!("has been starting for {long}"),
        Status::Ready => format!("has been ready for {long}{}", lives(view)),
        Status::Degraded(why) => format!("is ready but degraded: {why}{}", lives(view)),
        Status::Down(failure) => {
            let last = tree.journal.tail(1, |event| {
                event.key == view.key && matches!(event.what, What::Restarting { .. })
            });
            let next = match last.first().map(|event| &event.what) {
                Some(What::Restarting { after, .. }) => {
                    let left = after.saturating_sub(view.since.elapsed());
                    format!("; it restarts in {}", ago(left))
                }
                _ => String::new(),
            };
            format!("is down: {failure}{next}")
        }
        Status::Stopping => "is stopping".to_owned(),
        Status::Stopped(why) => format!("is stopped: {why}"),
        Status::Completed => format!("ended in good order {long} ago"),
        Status::Quarantined(failure) => {
            format!("is in quarantine for {long}{}: {failure}", lives(view))
        }
    }
}

fn lives(view: &View) -> String {
    match view.restarts {
        0 => String::new(),
        1 => ", after one restart".to_owned(),
        restarts => format!(", after {restarts} restarts"),
    }
}

/// A span in the words of a person: `850 ms`, `3.2 s`, `4 min`, `2 h`.
fn ago(span: Duration) -> String {
    match span.as_secs_f64() {
        s if s < 1.0 => format!("{:.0} ms", s * 1_000.0),
        s if s < 60.0 => format!("{s:.1} s"),
        s if s < 3_600.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3_600.0),
    }
}
