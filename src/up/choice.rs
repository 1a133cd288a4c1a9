//! Which part of a topology is started here.

use genii_actors::catalogue;
use genii_protocols::{Address, Name, NodeName};
use genii_runtime::topology::check::Kinds;
use genii_runtime::topology::{AgentSpec, Diagnostic, Report, Severity, Topology};

use crate::data::Data;
use crate::fault::Fault;
use crate::household;
use crate::settings::Settings;

/// The part that is started here, and what is left out.
pub struct Choice {
    /// The part.
    pub topology: Topology,
    node: NodeName,
    /// Agents that nobody named, which come along because others need them.
    pulled_in: Vec<Address>,
}

impl Choice {
    /// Chooses some groups, or all, for a machine that is of use with them: one with agents of its own,
    /// or a member of a household.
    ///
    /// # Errors
    /// When a group is not known, or the machine would be of no use.
    pub fn on(
        topology: Topology,
        only: &[Name],
        settings: &Settings,
        data: &Data,
    ) -> Result<Self, Fault> {
        let choice = Self::of(topology, only, &settings.node())?;
        // Who has said what to start, and starts nothing, has made a slip.
        let may_be_idle = || Ok(only.is_empty() && household::is_member(data, settings)?);
        match choice.is_idle() && !may_be_idle()? {
            true => Err(choice.nothing_here()),
            false => Ok(choice),
        }
    }

    /// Chooses some groups, or all.
    ///
    /// # Errors
    /// When a group is not known.
    fn of(topology: Topology, only: &[Name], node: &NodeName) -> Result<Self, Fault> {
        for group in only {
            if topology.group(group.as_str()).is_none() {
                return Err(unknown_group(group, &topology));
            }
        }
        if only.is_empty() {
            return Ok(Self { topology, node: node.clone(), pulled_in: Vec::new() });
        }
        let only: Vec<&str> = only.iter().map(Name::as_str).collect();
        let selection = topology.only(&only);
        let (topology, pulled_in) = (selection.topology, selection.pulled_in);
        Ok(Self { topology, node: node.clone(), pulled_in })
    }

    /// Whether nothing is started on this machine.
    fn is_idle(&self) -> bool {
        self.here().next().is_none()
    }

    fn here(&self) -> impl Iterator<Item = &AgentSpec> {
        let is_here = |agent: &&AgentSpec| self.topology.lives_on(agent, &self.node);
        self.topology.agents.iter().filter(is_here)
    }

    /// The fault for a machine that is of no use without agents, and has none.
    fn nothing_here(&self) -> Fault {
        let nodes: Vec<&str> = self.topology.nodes().iter().map(|node| node.as_str()).collect();
        match nodes.first() {
            None => Fault::new("the topology has no agents"),
            Some(first) => Fault::new(format!(
                "nothing in the topology lives on {}; its machines are {}",
                self.node,
                nodes.join(", ")
            ))
            .help(format!(
                "say which one this is, as `--node {first}`, or set `node` in genii.toml; one that has \
                 joined a household comes up without agents, too"
            )),
        }
    }

    /// What keeps required agents from starting on this machine.
    pub fn obstacles(&self) -> Report {
        let kinds = catalogue();
        let mut report = Report::default();
        for agent in self.here().filter(|agent| agent.policy.required) {
            if let Some(obstacle) = kinds.obstacle(&agent.kind, &agent.settings) {
                let message =
                    format!("{} is required, and cannot start: {obstacle}", agent.address);
                report.push(Diagnostic::error("cannot-start-here", message).at(&agent.place));
            }
        }
        report
    }

    /// Leaves out warnings that are about agents which are not started here, or which are errors
    /// by now.
    pub fn leave_out_others(&self, report: &mut Report) {
        let is_here = |one: &Diagnostic| {
            self.here()
                .any(|agent| !agent.policy.required && one.place.as_ref() == Some(&agent.place))
        };
        report.diagnostics.retain(|one| {
            one.severity == Severity::Error || one.code != "cannot-start-here" || is_here(one)
        });
    }

    /// What is started beside what was named, and what is started nowhere if this machine is not
    /// among others, in lines.
    pub fn what_is_left_out(&self, is_among_others: bool) -> String {
        let mut lines = String::new();
        if !self.pulled_in.is_empty() {
            let names: Vec<&str> = self.pulled_in.iter().map(Address::as_str).collect();
            let names = names.join(", ");
            lines += &format!("also started, since others need them: {names}\n");
        }
        let others = self.topology.nodes().into_iter().filter(|node| **node != self.node);
        for node in others.filter(|_| !is_among_others) {
            let lives_there = |agent: &&AgentSpec| self.topology.node_of(agent) == Some(node);
            let agents = match self.topology.agents.iter().filter(lives_there).count() {
                1 => "1 agent lives".to_owned(),
                agents => format!("{agents} agents live"),
            };
            lines += &format!("{agents} on {node}, which this machine is not linked with\n");
        }
        lines
    }
}

fn unknown_group(group: &Name, topology: &Topology) -> Fault {
    let known = || topology.groups.iter().map(|group| group.name.as_str());
    let help = match genii_runtime::nearest(group.as_str(), known()) {
        Some(nearest) => format!("did you mean {nearest}?"),
        None => format!("the groups are {}", known().collect::<Vec<_>>().join(", ")),
    };
    Fault::usage(format!("--only: the topology has no group {group}")).help(help)
}
