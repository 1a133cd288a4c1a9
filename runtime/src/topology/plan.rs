//! The order in which a topology starts.

use std::collections::HashSet;
use std::fmt::Write as _;

use genii_protocols::{Address, NodeName};
use serde::{Deserialize, Serialize};

use super::check::graph_of;
use super::{AgentSpec, Topology};

/// The waves in which a topology starts, and what takes longest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// How many agents there are.
    pub agents: usize,
    /// The agents, each as early as what it waits for lets it.
    pub waves: Vec<Vec<Address>>,
    /// The longest chain of agents that wait for each other, first agent first.
    pub critical_path: Vec<Address>,
}

impl Plan {
    /// The plan of a topology; `None` if it has a cycle.
    pub fn of(topology: &Topology) -> Option<Self> {
        let graph = graph_of(topology);
        let address = |node: &usize| topology.agents[*node].address.clone();
        let addresses = |nodes: &Vec<usize>| nodes.iter().map(address).collect::<Vec<_>>();
        let mut waves: Vec<Vec<Address>> = graph.waves()?.iter().map(addresses).collect();
        for wave in &mut waves {
            wave.sort();
        }
        let critical_path = addresses(&graph.critical_path(|_| 1.0)?);
        Some(Self { agents: topology.agents.len(), waves, critical_path })
    }
}

/// A part of a topology.
#[derive(Debug, Clone)]
pub struct Selection {
    /// The part.
    pub topology: Topology,
    /// Agents that nobody asked for, which are in it because others need them.
    pub pulled_in: Vec<Address>,
}

impl Topology {
    /// The agents of some groups, and whatever they need or are bound to.
    pub fn only(&self, groups: &[&str]) -> Selection {
        let asked_for = |agent: &AgentSpec| groups.contains(&agent.address.group());
        let mut chosen: HashSet<&Address> = HashSet::new();
        let mut next: Vec<&AgentSpec> = self.agents.iter().filter(|a| asked_for(a)).collect();
        while let Some(agent) = next.pop() {
            if chosen.insert(&agent.address) {
                let needed = agent.needs.iter().chain(&agent.binds).chain(&agent.fallback);
                next.extend(needed.filter_map(|link| self.agent(&link.to)));
            }
        }
        let is_chosen = |agent: &&AgentSpec| chosen.contains(&agent.address);
        let agents: Vec<AgentSpec> = self.agents.iter().filter(is_chosen).cloned().collect();
        let pulled_in = agents.iter().filter(|agent| !asked_for(agent));
        let pulled_in = pulled_in.map(|agent| agent.address.clone()).collect();
        let is_used = |name: &str| agents.iter().any(|agent| agent.address.group() == name);
        let groups = self.groups.iter().filter(|group| is_used(group.name.as_str()));
        let topology =
            Self { groups: groups.cloned().collect(), agents, kinds: self.kinds.clone() };
        Selection { topology, pulled_in }
    }

    /// The names of the nodes that groups name, each once.
    pub fn nodes(&self) -> Vec<&NodeName> {
        let mut nodes: Vec<&NodeName> =
            self.groups.iter().filter_map(|group| group.node.as_ref()).collect();
        nodes.sort();
        nodes.dedup();
        nodes
    }

    /// The agents that live on a node: those of its groups, and of groups that name no node.
    pub fn lives_on(&self, agent: &AgentSpec, node: &NodeName) -> bool {
        self.node_of(agent).is_none_or(|home| home == node)
    }

    /// A picture for Graphviz.
    pub fn dot(&self) -> String {
        let mut dot = String::from("digraph house {\n  rankdir = BT;\n  node [shape = box];\n");
        for group in &self.groups {
            let name = &group.name;
            writeln_to(
                &mut dot,
                &format!("  subgraph \"cluster_{name}\" {{\n    label = \"{name}\";"),
            );
            for agent in self.agents_of(name.as_str()) {
                let (address, short) = (&agent.address, agent.address.name());
                writeln_to(&mut dot, &format!("    \"{address}\" [label = \"{short}\"];"));
            }
            writeln_to(&mut dot, "  }");
        }
        for agent in &self.agents {
            let styles = [(&agent.needs, ""), (&agent.binds, "bold"), (&agent.wants, "dashed")];
            for (links, style) in styles {
                for link in links {
                    edge(&mut dot, &agent.address, &link.to, style, "");
                }
            }
            if let Some(link) = &agent.fallback {
                edge(&mut dot, &agent.address, &link.to, "dotted", "falls back on");
            }
        }
        dot.push_str("}\n");
        dot
    }
}

fn edge(dot: &mut String, from: &Address, to: &Address, style: &str, label: &str) {
    let mut attributes = Vec::new();
    if !style.is_empty() {
        attributes.push(format!("style = {style}"));
    }
    if !label.is_empty() {
        attributes.push(format!("label = \"{label}\", constraint = false"));
    }
    let attributes = attributes.join(", ");
    writeln_to(dot, &format!("  \"{from}\" -> \"{to}\" [{attributes}];"));
}

fn writeln_to(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("text takes any line");
}
