//! The start-up files of before, in YAML, into a topology.
//!
//! | file | what it does |
//! |---|---|
//! | `legacy.rs` | from files to a topology |
//! | `variables.rs` | `${VAR:-default}` and sums such as `${PORT_OFFSET}+7200` |
//! | `sections.rs` | which parts of a file are groups of agents, which are settings for all, and which are neither |
//! | `agent.rs` | one agent as such a file declares it |
//! | `names.rs` | names into addresses, dependencies into needs |
//! | `health.rs` | the port on which each agent answers health checks |

mod agent;
mod health;
mod names;
mod sections;
#[cfg(test)]
mod tests;
mod variables;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use genii_protocols::{Address, Json, NodeName};
use serde_json::json;

use self::agent::LegacyAgent;
use self::names::Names;
use self::sections::{Section, Shared};
use super::diagnostic::Report;
use super::read::merge;
use super::source::Source;
use super::write::Extras;
use super::{AgentPolicy, AgentSpec, GroupSpec, Topology, yaml};
use crate::process;

/// A start-up file.
#[derive(Debug, Clone)]
pub struct LegacyFile {
    /// The file.
    pub source: Arc<Source>,
    /// The machine that it starts, if somebody said so.
    pub node: Option<NodeName>,
}

/// What somebody wants to be done with start-up files.
pub struct LegacyOptions<'a> {
    /// Dependencies to leave out, each as who and on whom; names as in the file, or addresses.
    pub cuts: Vec<(String, String)>,
    /// Whether a dependency that no file declares becomes a wish.
    pub stub_missing: bool,
    /// Where scripts are found.
    pub root: Option<PathBuf>,
    /// The value of an environment variable.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
}

/// What start-up files say.
#[derive(Debug, Clone, Default)]
pub struct Imported {
    /// The topology.
    pub topology: Topology,
    /// What else belongs in a file of it.
    pub extras: Extras,
    /// What each agent was called.
    pub names: HashMap<Address, String>,
}

/// Reads start-up files, reporting every fault in them. What the result has in common with any
/// other topology, such as cycles and ports, is left to [`check`](super::check::check).
pub fn read(files: &[LegacyFile], options: &LegacyOptions<'_>, report: &mut Report) -> Imported {
    let mut sections = Vec::new();
    let mut all_were_read = true;
    for (number, file) in files.iter().enumerate() {
        match yaml::parse(&file.source, report) {
            Some(root) => {
                let root = variables::expand(root, options.variable, report);
                sections.extend(sections::read(number, &file.source, root, options, report));
            }
            None => all_were_read = false,
        }
    }
    let mut agents: Vec<LegacyAgent> = Vec::new();
    let mut topology = Topology::default();
    for section in &sections {
        agents.extend(section.agents(options, report));
        add_group(section, files, &mut topology, report);
    }
    let mut names = Names::of(&mut agents, report);
    health::assign(&mut agents, files, report);
    names.all_were_read = all_were_read;
    let needs = names.needs(&agents, options, report);
    let shared = shared_by_all(&sections);
    for (agent, needs) in agents.iter().zip(needs) {
        let address = agent.address();
        let settings = merge(agent.shared.settings(options.root.as_ref()), agent.settings());
        topology.agents.push(AgentSpec {
            address,
            kind: process::KIND.to_owned(),
            needs: needs.needs,
            binds: Vec::new(),
            wants: needs.wants,
            fallback: None,
            policy: AgentPolicy { required: agent.required, ..agent.shared.policy() },
            settings,
            place: agent.place.clone(),
        });
    }
    let is_used = |group: &GroupSpec| {
        topology.agents.iter().any(|agent| agent.address.group() == group.name.as_str())
    };
    topology.groups.retain(is_used);
    let extras = extras(files, &topology, shared, options, &names);
    Imported { topology, extras, names: names.spoken() }
}

fn add_group(
    section: &Section,
    files: &[LegacyFile],
    topology: &mut Topology,
    report: &mut Report,
) {
    let Some(name) = section.group_name(report) else { return };
    let node = files[section.file].node.clone();
    match topology.group(name.as_str()) {
        None => topology.groups.push(GroupSpec {
            name,
            node,
            flags: GroupSpec::default_flags(),
            place: section.place.clone(),
        }),
        Some(other) if other.node != node => {
            let message = format!("group {name} would live on two machines");
            let diagnostic = super::Diagnostic::error("two-homes", message).at(&section.place);
            report.push(diagnostic.note("it is here first", Some(&other.place)));
        }
        Some(_) => {}
    }
}

/// What all files set for all agents, if they agree.
fn shared_by_all(sections: &[Section]) -> Arc<Shared> {
    let mut each = sections.iter().map(|section| &section.shared);
    let first = each.next().cloned().unwrap_or_default();
    if each.all(|other| **other == *first) { first } else { Arc::default() }
}

fn extras(
    files: &[LegacyFile],
    topology: &Topology,
    shared: Arc<Shared>,
    options: &LegacyOptions<'_>,
    names: &Names,
) -> Extras {
    let sources: Vec<&str> = files.iter().map(|file| file.source.name.as_str()).collect();
    let mut remarks = vec![format!("Written by `genii import` from {}.", sources.join(", "))];
    remarks.extend(names.remarks.iter().cloned());
    let settings = shared.settings(options.root.as_ref());
    let required = topology.agents.iter().filter(|agent| agent.policy.required).count();
    let kinds = match settings == Json(json!({})) {
        true => Vec::new(),
        false => vec![(process::KIND.to_owned(), settings)],
    };
    let most_are_required = required * 2 > topology.agents.len();
    let defaults = AgentPolicy { required: most_are_required, ..shared.policy() };
    Extras { remarks, kinds, defaults }
}
