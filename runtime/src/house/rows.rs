//! What is listed about agents and groups, one in a line: those of this house, and those that other
//! machines have and of which its topology says nothing.

use std::borrow::Cow;
use std::collections::HashSet;

use genii_protocols::{Address, NodeName};
use serde::{Deserialize, Serialize};

use super::{House, Member};
use crate::cluster::Far;

/// The word for how an agent of another machine stands that sleeps, and wakes at its next message.
pub const ASLEEP: &str = "asleep";

/// One line of what is listed about an agent or a group. What is not known here is left out.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Row {
    /// Its address, or the name of the group.
    pub name: String,
    /// How it stands, in one word.
    pub state: Cow<'static, str>,
    /// What lies behind the word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// For how many seconds it stands so, as seen from here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub for_seconds: Option<f64>,
    /// Which life of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<u64>,
    /// What is counted about it, which only the machine knows where it lives.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub counted: Option<Counted>,
    /// Whether it is suspended; of one that lives elsewhere said only if its machine has told that it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspended: Option<bool>,
    /// Whether the house cannot start without it, where the topology says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub required: Option<bool>,
    /// What it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Its operating-system process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// The other node where it lives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeName>,
}

/// What is counted about an agent or a group that lives here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Counted {
    /// How often it was restarted because it ended.
    pub restarts: u32,
    /// Letters that wait for it.
    pub depth: usize,
    /// Messages it has handled.
    pub handled: u64,
    /// How many milliseconds 99 of 100 of its handlers took at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p99_ms: Option<f64>,
}

impl Row {
    /// Whether it is suspended, for all that is known here.
    pub fn is_suspended(&self) -> bool {
        self.suspended == Some(true)
    }

    /// An agent of another machine, of which the topology here says nothing.
    fn of_stranger(address: &Address, far: &Far) -> Self {
        let status = far.status();
        let word = if far.is_asleep() { ASLEEP } else { status.word() };
        Self {
            name: address.to_string(),
            state: word.into(),
            detail: status.detail(),
            incarnation: Some(far.incarnation),
            suspended: far.is_suspended().then_some(true),
            node: Some(far.node.clone()),
            ..Self::default()
        }
    }
}

impl From<&Member> for Row {
    fn from(member: &Member) -> Self {
        Self {
            name: member.view.key.to_string(),
            state: member.view.status.word().into(),
            detail: member.view.status.detail(),
            for_seconds: Some(member.view.since.elapsed().as_secs_f64()),
            incarnation: Some(member.view.incarnation),
            counted: member.home.is_none().then(|| Counted::from(member)),
            suspended: (member.home.is_none() || member.suspended).then_some(member.suspended),
            required: Some(member.view.required),
            kind: member.spec.as_ref().map(|spec| spec.kind.clone()),
            pid: member.pid,
            node: member.home.clone(),
        }
    }
}

impl From<&Member> for Counted {
    fn from(member: &Member) -> Self {
        let counters = member.counters.clone().unwrap_or_default();
        Self {
            restarts: member.view.restarts,
            depth: counters.depth,
            handled: counters.handled,
            p99_ms: counters.p99.map(|p99| p99.as_secs_f64() * 1_000.0),
        }
    }
}

impl House {
    /// How everything stands that is known here, agents and groups, by name: what the topology has, and
    /// what other machines have told of beside it.
    pub fn rows(&self) -> Vec<Row> {
        let mut rows: Vec<Row> = self.members().iter().map(Row::from).collect();
        let known: HashSet<&str> = rows.iter().map(|row| row.name.as_str()).collect();
        let strangers: Vec<Row> = (self.told().iter())
            .filter(|(address, _)| !known.contains(address.as_str()))
            .map(|(address, far)| Row::of_stranger(address, far))
            .collect();
        rows.extend(strangers);
        rows.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        rows
    }
}
