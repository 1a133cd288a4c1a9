//! Everything that makes a topology impossible, all at once.

use std::collections::HashMap;

use genii_protocols::{Address, Json};
use genii_supervision::graph::{Graph, smallest_cut};
use genii_supervision::{AutoShutdown, Backoff, GiveUp, Restart, StartOrder};

use super::diagnostic::{Diagnostic, Report};
use super::source::Place;
use super::{AgentSpec, GroupSpec, Link, Topology};
use crate::nearest::nearest;

/// What is known about the kinds of agents, for checking what is set for them.
pub trait Kinds {
    /// The names of all kinds.
    fn names(&self) -> Vec<String>;

    /// What is wrong with settings of a kind: everything.
    fn faults(&self, kind: &str, settings: &Json) -> Vec<String>;

    /// The network ports that an agent of a kind opens, each with what it is for.
    fn ports(&self, _kind: &str, _settings: &Json) -> Vec<(u16, &'static str)> {
        Vec::new()
    }

    /// What keeps an agent with these settings from starting on this machine, if anything does.
    fn obstacle(&self, _kind: &str, _settings: &Json) -> Option<String> {
        None
    }
}

/// How a knot can be untied, for the help that goes with it.
#[derive(Debug, Clone, Copy)]
pub enum Untie<'a> {
    /// By editing the file.
    Edit,
    /// By an option `--cut A:B`, in the names that the files used.
    Option(&'a HashMap<Address, String>),
}

impl<'a> Untie<'a> {
    /// What an agent is called by those who read this.
    fn name(self, address: &'a Address) -> &'a str {
        match self {
            Self::Option(names) => names.get(address).map_or(address.as_str(), String::as_str),
            Self::Edit => address.as_str(),
        }
    }

    /// How to cut some edges.
    fn help(self, cut: &[(&str, &str)]) -> String {
        let each = |word: fn(&(&str, &str)) -> String| cut.iter().map(word).collect::<Vec<_>>();
        match self {
            Self::Edit => {
                let list = each(|(from, to)| format!("{to} from {from}"));
                format!("remove {}", list.join(", "))
            }
            Self::Option(_) => each(|(from, to)| format!("--cut {from}:{to}")).join(" "),
        }
    }
}

/// Checks a topology, reporting everything that is wrong with it.
pub fn check(topology: &Topology, kinds: &dyn Kinds, untie: Untie<'_>, report: &mut Report) {
    for (kind, place) in &topology.kinds {
        check_kind_name(kind, format!("kind {kind:?}"), place, kinds, report);
    }
    let is_whole = !report.has_errors();
    for group in &topology.groups {
        check_group(group, report);
        let is_empty = topology.agents_of(group.name.as_str()).next().is_none();
        // Its agents may stand in what could not be read.
        if is_empty && is_whole {
            let message = format!("group {} has no agents", group.name);
            report.push(Diagnostic::warning("empty-group", message).at(&group.place));
        }
    }
    if topology.agents.is_empty() && is_whole {
        let help = "declare one, as `[agents.\"group/name\"]`";
        report.push(Diagnostic::error("no-agents", "the topology has no agents").help(help));
    }
    for agent in &topology.agents {
        check_home(agent, topology, report);
        check_kind(agent, kinds, report);
        check_links(agent, topology, report);
        check_policy(agent, topology, report);
    }
    check_ports(topology, kinds, report);
    check_knots(topology, untie, report);
    check_fallbacks(topology, report);
}

fn check_group(group: &GroupSpec, report: &mut Report) {
    if group.flags.intensity.window.is_zero() {
        let message = format!("the window of group {} is zero", group.name);
        let help = "give the time in which restarts are counted, as `window = \"1m\"`";
        report.push(Diagnostic::error("bad-value", message).at(&group.place).help(help));
    }
}

fn check_home(agent: &AgentSpec, topology: &Topology, report: &mut Report) {
    let home = agent.address.group();
    if topology.group(home).is_some() {
        return;
    }
    let message = format!("{} belongs to group {home}, which is not declared", agent.address);
    let known = topology.groups.iter().map(|group| group.name.as_str());
    let help = match nearest(home, known) {
        Some(group) => format!("did you mean {group}/{}?", agent.address.name()),
        None => format!("declare it with `[groups.{home}]`"),
    };
    report.push(Diagnostic::error("unknown-group", message).at(&agent.place).help(help));
}

/// Whether a kind is known; if not, that is reported of `who`.
fn check_kind_name(
    kind: &str,
    who: String,
    place: &Place,
    kinds: &dyn Kinds,
    report: &mut Report,
) -> bool {
    let names = kinds.names();
    if names.iter().any(|name| name == kind) {
        return true;
    }
    let help = match nearest(kind, names.iter().map(String::as_str)) {
        Some(kind) => format!("did you mean {kind:?}?"),
        None => format!("the kinds are {}", names.join(", ")),
    };
    let message = format!("{who} is not known");
    report.push(Diagnostic::error("unknown-kind", message).at(place).help(help));
    false
}

fn check_kind(agent: &AgentSpec, kinds: &dyn Kinds, report: &mut Report) {
    // One that says none has been told of.
    if agent.kind.is_empty() {
        return;
    }
    let who = format!("{} is of kind {:?}, which", agent.address, agent.kind);
    if !check_kind_name(&agent.kind, who, &agent.place, kinds, report) {
        return;
    }
    let faults = kinds.faults(&agent.kind, &agent.settings);
    for fault in &faults {
        let message = format!("the settings of {} are wrong: {fault}", agent.address);
        let diagnostic = Diagnostic::error("bad-settings", message).at(&agent.place);
        report.push(match meant_field(fault) {
            Some(field) => diagnostic.help(format!("did you mean `{field}`?")),
            None => diagnostic,
        });
    }
    if !faults.is_empty() {
        return;
    }
    if let Some(obstacle) = kinds.obstacle(&agent.kind, &agent.settings) {
        let message = format!("{} cannot start here: {obstacle}", agent.address);
        report.push(Diagnostic::warning("cannot-start-here", message).at(&agent.place));
    }
}

/// The field that was probably meant, when serde says that it does not know one.
fn meant_field(fault: &str) -> Option<&str> {
    let (_, rest) = fault.split_once("unknown field `")?;
    let (unknown, rest) = rest.split_once('`')?;
    let known = rest.split('`').skip(1).step_by(2);
    nearest(unknown, known)
}

fn check_links(agent: &AgentSpec, topology: &Topology, report: &mut Report) {
    let named = [("needs", &agent.needs), ("binds", &agent.binds), ("wants", &agent.wants)];
    for (what, links) in named {
        for link in links {
            check_link(agent, what, link, topology, report);
        }
    }
    if let Some(link) = &agent.fallback {
        check_link(agent, "falls back on", link, topology, report);
    }
}

fn check_link(
    agent: &AgentSpec,
    what: &str,
    link: &Link,
    topology: &Topology,
    report: &mut Report,
) {
    if link.to == agent.address {
        let message = format!("{} {what} itself", agent.address);
        report.push(Diagnostic::error("needs-itself", message).at(&link.place));
        return;
    }
    if topology.agent(&link.to).is_some() {
        return;
    }
    let message = format!("{} {what} {}, which is not declared", agent.address, link.to);
    let others = topology.agents.iter().map(|other| &other.address);
    let known: Vec<&str> =
        others.filter(|other| **other != agent.address).map(|other| other.as_str()).collect();
    // A wish is about order alone, and there is no order with what is not there.
    let diagnostic = match what {
        "wants" => Diagnostic::warning("unknown-name", message),
        _ => Diagnostic::error("unknown-name", message),
    };
    let diagnostic = diagnostic.at(&link.place);
    // One who got the group wrong means the agent of that name.
    let same_name = || known.iter().find(|other| other.ends_with(&format!("/{}", link.to.name())));
    let meant = nearest(link.to.as_str(), known.iter().copied()).or_else(|| same_name().copied());
    report.push(match meant {
        Some(meant) => diagnostic.help(format!("did you mean {meant}?")),
        None => {
            diagnostic.help(format!("declare it with `[agents.\"{}\"]`, or remove it", link.to))
        }
    });
}

fn check_policy(agent: &AgentSpec, topology: &Topology, report: &mut Report) {
    let policy = &agent.policy;
    let error = |code, message: String| Diagnostic::error(code, message).at(&agent.place);
    let Some(group) = topology.group(agent.address.group()) else { return };
    if policy.significant && group.flags.auto_shutdown == AutoShutdown::Never {
        let message =
            format!("{} is significant, but its group never shuts itself down", agent.address);
        let help = format!("set `auto_shutdown` of group {}", group.name);
        report.push(error("bad-value", message).help(help));
    }
    if policy.significant && policy.restart == Restart::Permanent {
        let message = format!("{} is significant and permanent", agent.address);
        let help = "make it transient or temporary";
        report.push(error("bad-value", message).help(help));
    }
    if policy.start_timeout.is_zero() {
        let message = format!("{} has no time to start", agent.address);
        report.push(error("bad-value", message).help("give it some with `start_timeout`"));
    }
    let Some(backoff) = policy.backoff else { return };
    if backoff.factor < 1.0 || !backoff.factor.is_finite() {
        let message = format!("the backoff of {} would shrink", agent.address);
        report.push(error("bad-value", message).help("its factor must be at least 1"));
    } else if !(0.0..=1.0).contains(&backoff.jitter) {
        let message = format!("the jitter of {} is not between 0 and 1", agent.address);
        report.push(error("bad-value", message));
    } else if backoff.first > backoff.cap {
        let message = format!("the backoff of {} begins above its cap", agent.address);
        report.push(error("bad-value", message));
    } else if policy.give_up == GiveUp::Quarantine
        && !group.flags.intensity.window.is_zero()
        && never_gives_up(&backoff, group)
    {
        let message = format!(
            "{} would be restarted for ever: its backoff is so slow that it never restarts more \
             than {} times within {:?}",
            agent.address, group.flags.intensity.restarts, group.flags.intensity.window
        );
        let help = format!("widen `window` of group {}, or lower `cap` of the backoff", group.name);
        report.push(Diagnostic::warning("never-gives-up", message).at(&agent.place).help(help));
    }
}

/// Whether as many restarts as are borne, each after its full wait, take longer than the window.
fn never_gives_up(backoff: &Backoff, group: &GroupSpec) -> bool {
    let intensity = group.flags.intensity;
    let waits = (0..intensity.restarts.min(10_000)).map(|attempt| backoff.wait(attempt, 0.0));
    waits.sum::<std::time::Duration>() > intensity.window
}

fn check_ports(topology: &Topology, kinds: &dyn Kinds, report: &mut Report) {
    let mut taken: HashMap<u16, Vec<(&AgentSpec, &'static str)>> = HashMap::new();
    // A group that names no node lives on each of them.
    let may_meet =
        |one: &AgentSpec, other: &AgentSpec| match (topology.node_of(one), topology.node_of(other))
        {
            (Some(one), Some(other)) => one == other,
            _ => true,
        };
    for agent in &topology.agents {
        for (port, purpose) in kinds.ports(&agent.kind, &agent.settings) {
            let of_port = taken.entry(port).or_default();
            let clash = of_port.iter().find(|(other, _)| may_meet(agent, other)).copied();
            of_port.push((agent, purpose));
            let Some((other, other_purpose)) = clash else { continue };
            let message = match other.address == agent.address {
                true => format!("{} uses port {port} twice", agent.address),
                false => format!(
                    "port {port} is the {purpose} of {} and the {other_purpose} of {}",
                    agent.address, other.address
                ),
            };
            let diagnostic = Diagnostic::error("port-clash", message).at(&agent.place);
            let note = format!("{} is declared here", other.address);
            let diagnostic = diagnostic.note(note, Some(&other.place));
            report.push(match lives_anywhere(agent, other, topology) {
                Some(group) => diagnostic.help(format!(
                    "{group} names no machine, and so lives on each; give it `node`"
                )),
                None => diagnostic,
            });
        }
    }
}

/// The group of the two that names no node, where the other does.
fn lives_anywhere<'a>(
    one: &'a AgentSpec,
    other: &'a AgentSpec,
    topology: &Topology,
) -> Option<&'a str> {
    match (topology.node_of(one), topology.node_of(other)) {
        (None, Some(_)) => Some(one.address.group()),
        (Some(_), None) => Some(other.address.group()),
        _ => None,
    }
}

/// Reports each knot of agents that all wait for each other, with a path through it for every edge
/// of the smallest cut.
fn check_knots(topology: &Topology, untie: Untie<'_>, report: &mut Report) {
    let graph = graph_of(topology);
    let cut = smallest_cut(&graph);
    for knot in graph.knots() {
        let inside: Vec<(usize, usize)> = cut
            .edges
            .iter()
            .copied()
            .filter(|(a, b)| knot.contains(a) && knot.contains(b))
            .collect();
        report.push(knot_diagnostic(topology, &graph, &knot, &inside, cut.is_smallest, untie));
    }
}

/// How many edges of a cut are told of, each with its way around. A knot that takes more is told in
/// parts, as people untie it.
const PATHS_MAX: usize = 20;

fn knot_diagnostic(
    topology: &Topology,
    graph: &Graph,
    knot: &[usize],
    cut: &[(usize, usize)],
    is_smallest: bool,
    untie: Untie<'_>,
) -> Diagnostic {
    let address = |node: usize| &topology.agents[node].address;
    let name = |node: usize| untie.name(&topology.agents[node].address);
    let names: Vec<&str> = knot.iter().map(|&node| name(node)).collect();
    let message = format!("{} wait for each other and can never start", names.join(", "));
    let first = &topology.agents[knot[0]];
    let mut diagnostic = Diagnostic::error("cycle", message);
    for &(from, to) in cut.iter().take(PATHS_MAX) {
        let others: Vec<_> = cut.iter().copied().filter(|edge| *edge != (from, to)).collect();
        // The way back from `to` to `from`, then the edge itself.
        let mut path = graph.shortest_path(to, from, &others);
        path.insert(0, from);
        let words: Vec<&str> = path.iter().map(|&node| name(node)).collect();
        let place = topology.agents[from].before().find(|link| link.to == *address(to));
        let place = place.map(|link| &link.place);
        diagnostic = diagnostic.note(words.join(" -> "), place);
        if diagnostic.cycle.is_empty() {
            diagnostic.cycle = path.iter().map(|&node| address(node).clone()).collect();
            diagnostic.place = Some(place.unwrap_or(&first.place).clone());
        }
    }
    diagnostic.cuts = cut.iter().map(|&(a, b)| (address(a).clone(), address(b).clone())).collect();
    let smallest = if is_smallest { "the smallest set of edges to cut" } else { "edges to cut" };
    let is_declared = |&&(from, to): &&(usize, usize)| {
        topology.agents[from].before().any(|link| link.to == *address(to))
    };
    let (declared, by_order): (Vec<_>, Vec<_>) = cut.iter().partition(is_declared);
    let spoken: Vec<_> = declared.iter().map(|&&(from, to)| (name(from), name(to))).collect();
    let mut ways = Vec::new();
    if !spoken.is_empty() {
        ways.push(untie.help(&spoken[..spoken.len().min(PATHS_MAX)]));
    }
    if spoken.len() > PATHS_MAX {
        ways.push(format!("and {} more", spoken.len() - PATHS_MAX));
    }
    for &(from, to) in by_order {
        let (from, to) = (name(from), name(to));
        ways.push(format!(
            "declare {from} before {to}, or set `start = \"parallel\"` in their group"
        ));
    }
    diagnostic.help(format!("{smallest}: {}", ways.join("; ")))
}

/// What an agent waits for: its edges, and in a group that starts in order, the one before it.
pub(crate) fn graph_of(topology: &Topology) -> Graph {
    let number: HashMap<&Address, usize> =
        topology.agents.iter().enumerate().map(|(n, agent)| (&agent.address, n)).collect();
    let before = before_in_order(topology, &number);
    let edges = topology.agents.iter().enumerate().flat_map(|(n, agent)| {
        let links = agent.before().filter(|link| link.to != agent.address);
        let links = links.filter_map(|link| number.get(&link.to));
        links.chain(before.get(&n)).map(|&to| (n, to)).collect::<Vec<_>>()
    });
    Graph::new(topology.agents.len(), edges.collect::<Vec<_>>())
}

/// For each agent of a group that starts in order, but the first, the one before it.
fn before_in_order(
    topology: &Topology,
    number: &HashMap<&Address, usize>,
) -> HashMap<usize, usize> {
    let mut before = HashMap::new();
    let is_in_order = |group: &&GroupSpec| group.flags.start_order == StartOrder::Sequential;
    for group in topology.groups.iter().filter(is_in_order) {
        let agents: Vec<usize> =
            topology.agents_of(group.name.as_str()).map(|agent| number[&agent.address]).collect();
        before.extend(agents.windows(2).map(|pair| (pair[1], pair[0])));
    }
    before
}

/// A chain of fallbacks must come to an end.
fn check_fallbacks(topology: &Topology, report: &mut Report) {
    for agent in &topology.agents {
        let mut chain = vec![&agent.address];
        let mut at = agent;
        while let Some(next) = at.fallback.as_ref().and_then(|link| topology.agent(&link.to)) {
            if next.address == agent.address {
                // Each circle is reported once, at the first of its addresses.
                if chain.iter().min() == Some(&&agent.address) && chain.len() > 1 {
                    let names: Vec<&str> = chain.iter().map(|address| address.as_str()).collect();
                    let message =
                        format!("{} fall back on each other in a circle", names.join(", "));
                    report.push(Diagnostic::error("fallback-circle", message).at(&agent.place));
                }
                break;
            }
            if chain.contains(&&next.address) {
                break;
            }
            chain.push(&next.address);
            at = next;
        }
    }
}
