//! The port on which each agent answers health checks.
//!
//! It is what the file says, or else the agent's port + 1. Since that is often another agent's port,
//! one that is taken is moved: to port + 1000, as later files have it, or the next that is free.

use std::collections::HashSet;

use genii_protocols::NodeName;

use super::super::diagnostic::{Diagnostic, Report};
use super::LegacyFile;
use super::agent::LegacyAgent;

/// How far above the port a health port goes when the next one is taken.
const FAR: u16 = 1_000;

/// Gives a health port to each agent that has a port and does not say.
pub(super) fn assign(agents: &mut [LegacyAgent], files: &[LegacyFile], report: &mut Report) {
    let node = |agent: &LegacyAgent| files[agent.file].node.clone();
    let mut taken: HashSet<(Option<NodeName>, u16)> = HashSet::new();
    for agent in agents.iter() {
        let declared = agent.port.iter().chain(&agent.health_port);
        taken.extend(declared.map(|(port, _)| (node(agent), *port)));
    }
    for agent in agents.iter_mut().filter(|agent| agent.health_port.is_none()) {
        let Some((port, place)) = agent.port.clone() else {
            if !agent.says_port {
                let message =
                    format!("{} has no port, so nobody can tell whether it is well", agent.name);
                report.push(Diagnostic::warning("no-health-port", message).at(&agent.place));
            }
            continue;
        };
        let home = node(agent);
        let is_free = |port: &u16| !taken.contains(&(home.clone(), *port));
        let next = port.saturating_add(1);
        let from = port.saturating_add(FAR);
        let mut candidates = [next].into_iter().chain(from..=u16::MAX).chain(1_024..from);
        let Some(health_port) = candidates.find(is_free) else { continue };
        if health_port != next {
            let message = format!(
                "the health port of {} would be {next}, its port + 1, which is taken; it is \
                 {health_port} instead",
                agent.name
            );
            let help = "or set `health_check_port`";
            report.push(Diagnostic::warning("health-port", message).at(&place).help(help));
        }
        taken.insert((home, health_port));
        agent.health_port = Some((health_port, place));
    }
}
