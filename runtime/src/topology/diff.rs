//! What it takes to make one topology of another, restarting only what changed.

use std::fmt;

use genii_protocols::{Address, Name, NodeName};
use genii_supervision::{StartOrder, Strategy};
use serde::{Deserialize, Serialize};

use super::{AgentSpec, GroupSpec, Topology};

/// The steps from one topology to another, in the order in which they are to be taken.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diff {
    /// The steps.
    pub steps: Vec<Step>,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "step")]
pub enum Step {
    /// Stop an agent, and forget it.
    RemoveAgent {
        /// Which.
        address: Address,
    },
    /// Stop a group, and forget it.
    RemoveGroup {
        /// Which.
        group: Name,
    },
    /// Add a group.
    AddGroup {
        /// Which.
        group: Name,
    },
    /// Supervise a group otherwise. Its agents go on.
    ChangeGroup {
        /// Which.
        group: Name,
        /// What is otherwise.
        what: Vec<String>,
    },
    /// Add an agent, and start it.
    AddAgent {
        /// Which.
        address: Address,
    },
    /// Treat an agent otherwise, and restart it if what it is has changed.
    ChangeAgent {
        /// Which.
        address: Address,
        /// What is otherwise.
        what: Vec<String>,
        /// Whether it must be restarted.
        restart: bool,
    },
}

impl Diff {
    /// The steps from one topology to another, on the node `own`, where groups live that do not say.
    pub fn between(from: &Topology, to: &Topology, own: &NodeName) -> Self {
        let home = |group: &GroupSpec| group.node.clone().unwrap_or_else(|| own.clone());
        let stays = |group: &GroupSpec| {
            to.group(group.name.as_str()).is_some_and(|other| home(other) == home(group))
        };
        let group_stays = |name: &str| from.group(name).is_some_and(stays);
        let mut steps = Vec::new();
        // Whoever depends on others goes first, and comes last.
        for agent in from.agents.iter().rev() {
            let gone = to.agent(&agent.address).is_none();
            if gone && group_stays(agent.address.group()) {
                steps.push(Step::RemoveAgent { address: agent.address.clone() });
            }
        }
        for group in from.groups.iter().rev().filter(|group| !stays(group)) {
            steps.push(Step::RemoveGroup { group: group.name.clone() });
        }
        for group in &to.groups {
            match from.group(group.name.as_str()).filter(|before| stays(before)) {
                None => steps.push(Step::AddGroup { group: group.name.clone() }),
                Some(before) => steps.extend(change_of_group(before, group, from, to)),
            }
        }
        // Whoever is new is there before others come to need it.
        let stay = || to.agents.iter().filter(|agent| group_stays(agent.address.group()));
        let new = stay().filter(|agent| from.agent(&agent.address).is_none());
        steps.extend(new.map(|agent| Step::AddAgent { address: agent.address.clone() }));
        steps.extend(stay().filter_map(|agent| change(from.agent(&agent.address)?, agent)));
        Self { steps }
    }

    /// Whether nothing has to be done.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }
}

impl Step {
    /// Whether something is taken away.
    pub fn is_removal(&self) -> bool {
        matches!(self, Self::RemoveAgent { .. } | Self::RemoveGroup { .. })
    }

    /// Whether something that is there becomes another.
    pub fn is_change(&self) -> bool {
        matches!(self, Self::ChangeAgent { .. })
    }

    /// The agent or the group that is to be up when the step is done, if any starts.
    pub fn starts(&self) -> Option<&str> {
        match self {
            Self::AddAgent { address } | Self::ChangeAgent { address, restart: true, .. } => {
                Some(address.as_str())
            }
            Self::AddGroup { group } => Some(group.as_str()),
            _ => None,
        }
    }

    /// The group that stays and becomes another, with its agents.
    pub fn changes_in(&self) -> Option<&str> {
        match self {
            Self::RemoveAgent { address }
            | Self::AddAgent { address }
            | Self::ChangeAgent { address, .. } => Some(address.group()),
            Self::ChangeGroup { group, .. } => Some(group.as_str()),
            Self::RemoveGroup { .. } | Self::AddGroup { .. } => None,
        }
    }
}

fn change_of_group(
    before: &GroupSpec,
    after: &GroupSpec,
    from: &Topology,
    to: &Topology,
) -> Option<Step> {
    let (old, new) = (&before.flags, &after.flags);
    let name = after.name.as_str();
    // Of those that are in both: whoever is new takes its place when it comes.
    let both = |agent: &&AgentSpec| {
        from.agent(&agent.address).is_some() && to.agent(&agent.address).is_some()
    };
    let order = |topology: &Topology| -> Vec<Address> {
        topology.agents_of(name).filter(both).map(|agent| agent.address.clone()).collect()
    };
    let is_ordered =
        new.strategy == Strategy::RestForOne || new.start_order == StartOrder::Sequential;
    let otherwise = [
        ("strategy", old.strategy != new.strategy),
        ("start", old.start_order != new.start_order),
        ("restarts", old.intensity.restarts != new.intensity.restarts),
        ("window", old.intensity.window != new.intensity.window),
        ("auto_shutdown", old.auto_shutdown != new.auto_shutdown),
        ("order", is_ordered && order(from) != order(to)),
    ];
    let what = otherwise.iter().filter(|(_, is_so)| *is_so).map(|(name, _)| (*name).to_owned());
    let what: Vec<String> = what.collect();
    let group = after.name.clone();
    (!what.is_empty()).then_some(Step::ChangeGroup { group, what })
}

fn change(before: &AgentSpec, after: &AgentSpec) -> Option<Step> {
    let mut what = Vec::new();
    let mut note = |name: &str, same: bool| {
        if !same {
            what.push(name.to_owned());
        }
        !same
    };
    let is_another = [
        note("kind", before.kind == after.kind),
        note("settings", before.settings == after.settings),
        note("mailbox_capacity", before.policy.mailbox_capacity == after.policy.mailbox_capacity),
    ];
    let (edges, other_edges) = (before.edges(), after.edges());
    note("needs", edges.needs == other_edges.needs);
    note("binds", edges.binds == other_edges.binds);
    note("wants", edges.wants == other_edges.wants);
    note("fallback", edges.fallback == other_edges.fallback);
    note("policy", before.child_policy() == after.child_policy());
    let restart = is_another.contains(&true);
    let address = after.address.clone();
    (!what.is_empty()).then_some(Step::ChangeAgent { address, what, restart })
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RemoveAgent { address } => write!(f, "- agent {address}"),
            Self::RemoveGroup { group } => write!(f, "- group {group}"),
            Self::AddGroup { group } => write!(f, "+ group {group}"),
            Self::ChangeGroup { group, what } => {
                write!(f, "~ group {group} ({}; goes on)", what.join(", "))
            }
            Self::AddAgent { address } => write!(f, "+ agent {address}"),
            Self::ChangeAgent { address, what, restart } => {
                let how = if *restart { "restarts" } else { "goes on" };
                write!(f, "~ agent {address} ({}; {how})", what.join(", "))
            }
        }
    }
}
