//! The topology: which groups and agents a household has, and what they need of each other.
//!
//! | file | what it does |
//! |---|---|
//! | `topology.rs` | the model, and its defaults |
//! | `source.rs` | a file, and a place in it |
//! | `diagnostic.rs` | what is wrong with it, where, and what to do |
//! | `tree.rs` | a file as a tree in which everything knows its place, whatever its syntax |
//! | `toml.rs` | TOML into such a tree |
//! | `read.rs` | such a tree into a topology |
//! | `check.rs` | everything that makes a topology impossible, all at once |
//! | `plan.rs` | the waves in which it starts, its critical path, a picture |
//! | `write.rs` | a topology as a file |
//! | `diff.rs` | what it takes to make one topology of another |
//! | `yaml.rs` | YAML into such a tree |
//! | `legacy.rs` | the start-up files of before into a topology |

pub mod check;
pub mod diagnostic;
pub mod diff;
pub mod legacy;
pub mod plan;
pub mod read;
pub mod source;
#[cfg(test)]
mod tests;
mod toml;
pub mod tree;
pub mod write;
mod yaml;

use std::time::Duration;

use genii_protocols::{Address, Json, Name, NodeName};
use genii_supervision::{
    AutoShutdown, Backoff, ChildPolicy, Edges, GiveUp, Intensity, Key, Restart, Shutdown,
    StartOrder, Strategy, SupervisorFlags,
};

pub use check::{Kinds, check};
pub use diagnostic::{Diagnostic, Report, Severity};
pub use plan::Plan;
pub use source::{Place, Source};

/// A household as it is declared. Groups and agents stand in the order of the file.
#[derive(Debug, Clone, Default)]
pub struct Topology {
    /// The groups.
    pub groups: Vec<GroupSpec>,
    /// The agents.
    pub agents: Vec<AgentSpec>,
    /// The kinds for which something is set, and where.
    pub kinds: Vec<(String, Place)>,
}

/// A group: a supervisor and where it lives.
#[derive(Debug, Clone)]
pub struct GroupSpec {
    /// Its name, the part of its agents' addresses before the slash.
    pub name: Name,
    /// The node it lives on; any, if it does not say.
    pub node: Option<NodeName>,
    /// How it supervises.
    pub flags: SupervisorFlags,
    /// Where it is declared.
    pub place: Place,
}

/// An agent.
#[derive(Debug, Clone)]
pub struct AgentSpec {
    /// Where it is reached.
    pub address: Address,
    /// What it is: a name in the catalogue.
    pub kind: String,
    /// Must be ready before it starts.
    pub needs: Vec<Link>,
    /// As needs, and it is restarted with them.
    pub binds: Vec<Link>,
    /// Start before it, and that is all.
    pub wants: Vec<Link>,
    /// Stands in for it while it is down.
    pub fallback: Option<Link>,
    /// How it is treated.
    pub policy: AgentPolicy,
    /// What is set for it, with the settings of its kind beneath.
    pub settings: Json,
    /// Where it is declared.
    pub place: Place,
}

/// An address that an agent names, and where it does.
#[derive(Debug, Clone)]
pub struct Link {
    /// Whom it names.
    pub to: Address,
    /// Where.
    pub place: Place,
}

/// How an agent is treated.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentPolicy {
    /// Whether the house cannot start without it.
    pub required: bool,
    /// When it is started again.
    pub restart: Restart,
    /// How long to wait before that.
    pub backoff: Option<Backoff>,
    /// What happens when it crashes too often.
    pub give_up: GiveUp,
    /// Whether its end can end its group.
    pub significant: bool,
    /// How long it may take to become ready.
    pub start_timeout: Duration,
    /// How long it may take to stop before it is killed.
    pub stop_timeout: Duration,
    /// How many messages may wait for it.
    pub mailbox_capacity: usize,
}

impl Default for AgentPolicy {
    fn default() -> Self {
        Self {
            required: false,
            restart: Restart::Permanent,
            backoff: Some(Backoff::default()),
            give_up: GiveUp::Quarantine,
            significant: false,
            start_timeout: Duration::from_secs(30),
            stop_timeout: Duration::from_secs(5),
            mailbox_capacity: 1_000,
        }
    }
}

/// How many restarts a group bears if it does not say.
pub const DEFAULT_INTENSITY: Intensity = Intensity { restarts: 5, window: Duration::from_secs(60) };

impl GroupSpec {
    /// How a group supervises if it does not say.
    pub fn default_flags() -> SupervisorFlags {
        SupervisorFlags {
            strategy: Strategy::OneForOne,
            intensity: DEFAULT_INTENSITY,
            auto_shutdown: AutoShutdown::Never,
            start_order: StartOrder::Graph,
        }
    }
}

impl AgentSpec {
    /// Everything it names that must come before it: needs, binds and wants.
    pub fn before(&self) -> impl Iterator<Item = &Link> {
        self.needs.iter().chain(&self.binds).chain(&self.wants)
    }

    /// Its needs as its supervisor knows them.
    pub fn edges(&self) -> Edges {
        let keys = |links: &[Link]| links.iter().map(|link| Key::from(link.to.shared())).collect();
        Edges {
            needs: keys(&self.needs),
            binds: keys(&self.binds),
            wants: keys(&self.wants),
            fallback: self.fallback.as_ref().map(|link| Key::from(link.to.shared())),
        }
    }

    /// How its supervisor treats it.
    pub fn child_policy(&self) -> ChildPolicy {
        let policy = &self.policy;
        ChildPolicy {
            restart: policy.restart,
            shutdown: match policy.stop_timeout.is_zero() {
                true => Shutdown::Kill,
                false => Shutdown::Within(policy.stop_timeout),
            },
            significant: policy.significant,
            start_timeout: Some(policy.start_timeout),
            required: policy.required,
            backoff: policy.backoff,
            give_up: policy.give_up,
            ..ChildPolicy::default()
        }
    }
}

impl Topology {
    /// The group of this name.
    pub fn group(&self, name: &str) -> Option<&GroupSpec> {
        self.groups.iter().find(|group| group.name.as_str() == name)
    }

    /// The agent at this address.
    pub fn agent(&self, address: &Address) -> Option<&AgentSpec> {
        self.agents.iter().find(|agent| agent.address == *address)
    }

    /// Reads and checks a topology that is at hand as text.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(text: &str, kinds: &dyn check::Kinds) -> Result<Self, Report> {
        let mut report = Report::default();
        let topology = read::read(&Source::new("topology", text), &mut report);
        check::check(&topology, kinds, check::Untie::Edit, &mut report);
        if report.has_errors() { Err(report) } else { Ok(topology) }
    }

    /// The agents of a group, in order.
    pub fn agents_of<'a>(&'a self, group: &'a str) -> impl Iterator<Item = &'a AgentSpec> {
        self.agents.iter().filter(move |agent| agent.address.group() == group)
    }

    /// The node on which an agent lives, if its group says.
    pub fn node_of(&self, agent: &AgentSpec) -> Option<&NodeName> {
        self.group(agent.address.group()).and_then(|group| group.node.as_ref())
    }
}
