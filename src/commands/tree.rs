//! `tree`: the supervision tree as it stands.

use std::collections::HashMap;
use std::time::Duration;

use genii_protocols::{Address, NodeName};
use genii_runtime::House;
use genii_runtime::cluster::{Member, Membership};
use genii_runtime::house::{ROOT, Row};
use genii_supervision::What;
use serde::{Deserialize, Serialize};

use super::pinned::{Named, Pin, Pinned};
use super::{Command, Out, Refusal, Side};
use crate::screen::{Screen, seconds, span};

pub struct Tree;

#[derive(Debug, clap::Args, Serialize, Deserialize)]
pub struct Args {
    /// A group or an agent, with `@NODE` behind it of that machine; all if none is given
    #[arg(value_name = "NAME")]
    name: Option<Pinned<Named>>,
}

/// A child of a supervisor, and its own children.
#[derive(Debug, Serialize, Deserialize)]
pub struct Branch {
    #[serde(flatten)]
    row: Row,
    /// How many milliseconds it last took from being started to being ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    ready_after_ms: Option<f64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    children: Vec<Branch>,
}

impl Command for Tree {
    const NAME: &'static str = "tree";
    const ABOUT: &'static str = "Show the supervision tree: who watches whom, and how each stands";
    const EXAMPLES: &'static [&'static str] = &["tree", "tree core"];
    type Args = Args;
    type Said = Vec<Branch>;

    fn unpin(args: &mut Args) -> Option<Pin> {
        args.name.as_mut()?.unpin()
    }

    async fn serve(args: Args, side: Side, out: Out<Vec<Branch>>) -> Result<(), Refusal> {
        let branches = branches(&side.house);
        let Some(name) = args.name else { return out.say(branches).await };
        let name = name.name.as_str();
        if let Some(found) = branches.into_iter().find_map(|branch| branch.find(name)) {
            return out.say(vec![found]).await;
        }
        side.house.member(name)?;
        out.say(Vec::new()).await
    }

    fn show(said: Vec<Branch>, screen: &mut Screen) {
        show(&said, screen);
    }
}

impl Branch {
    fn of(row: Row) -> Self {
        Self { row, ready_after_ms: None, children: Vec::new() }
    }

    fn find(self, name: &str) -> Option<Self> {
        if self.row.name == name {
            return Some(self);
        }
        self.children.into_iter().find_map(|child| child.find(name))
    }
}

/// The tree beneath the root.
pub fn branches(house: &House) -> Vec<Branch> {
    let topology = house.topology();
    let groups = topology.groups.iter().map(|group| group.name.as_str());
    let agents = topology.agents.iter().map(|agent| agent.address.as_str());
    let places: HashMap<&str, usize> = groups.chain(agents).zip(0..).collect();
    let mut under: HashMap<String, Vec<Branch>> = HashMap::new();
    let ready_after = ready_after(house);
    let supervisors = supervisors(house);
    for row in house.rows() {
        let supervisor = supervisor_of(&row.name, supervisors.get(&row.name));
        let ready_after_ms = ready_after.get(&row.name).map(|took| took.as_secs_f64() * 1e3);
        under.entry(supervisor).or_default().push(Branch { ready_after_ms, ..Branch::of(row) });
    }
    let elsewhere = elsewhere(house, &under);
    under.entry(ROOT.to_owned()).or_default().extend(elsewhere);
    for branches in under.values_mut() {
        branches.sort_by_key(|branch| {
            let place = places.get(branch.row.name.as_str()).copied().unwrap_or(usize::MAX);
            (place, branch.row.name.clone())
        });
    }
    take(ROOT, &mut under)
}

/// The groups that live on other machines, without their agents: those of the topology, and those of
/// which only other machines know.
fn elsewhere(house: &House, under: &HashMap<String, Vec<Branch>>) -> Vec<Branch> {
    let members = house.node().cluster().map(|cluster| cluster.members()).unwrap_or_default();
    let topology = house.topology();
    let declared = topology
        .groups
        .iter()
        .filter_map(|group| Some((group.name.to_string(), house.home_of(group.name.as_str())?)));
    let has_agents = under.iter().filter(|(group, _)| {
        *group != ROOT && topology.group(group).is_none() && !is_among(group, under)
    });
    // Where more than one machine has such a group, it stands as the first of them does.
    let strangers = has_agents.filter_map(|(group, agents)| {
        let nodes = agents.iter().filter_map(|branch| branch.row.node.clone());
        Some((group.clone(), nodes.min()?))
    });
    let group = |(group, node): (String, NodeName)| Branch::of(group_on(&members, group, node));
    declared.chain(strangers).map(group).collect()
}

/// Whether a group runs here.
fn is_among(group: &str, under: &HashMap<String, Vec<Branch>>) -> bool {
    under.get(ROOT).is_some_and(|groups| groups.iter().any(|branch| branch.row.name == group))
}

/// A group that lives on another machine, and stands as that does.
fn group_on(members: &[Member], group: String, node: NodeName) -> Row {
    let member = members.iter().find(|member| member.node == node);
    Row {
        name: group,
        state: member.map_or(Membership::Unseen, |member| member.membership).word().into(),
        for_seconds: member.map(|member| member.since.elapsed().as_secs_f64()),
        node: Some(node),
        ..Row::default()
    }
}

/// Who watches whom in this house, by name.
fn supervisors(house: &House) -> HashMap<String, String> {
    let views = house.node().tree().board.all().into_iter();
    views.map(|view| (view.key.to_string(), view.supervisor.to_string())).collect()
}

/// The supervisor of a member: for one that lives elsewhere, its group.
fn supervisor_of(name: &str, supervisor: Option<&String>) -> String {
    match (supervisor.filter(|known| !known.is_empty()), Address::parse(name)) {
        (Some(supervisor), _) => supervisor.clone(),
        (None, Ok(address)) => address.group().to_owned(),
        (None, Err(_)) => ROOT.to_owned(),
    }
}

fn take(supervisor: &str, under: &mut HashMap<String, Vec<Branch>>) -> Vec<Branch> {
    let mut branches = under.remove(supervisor).unwrap_or_default();
    for branch in &mut branches {
        branch.children = take(&branch.row.name, under);
    }
    branches
}

/// How long each last took to become ready.
fn ready_after(house: &House) -> HashMap<String, Duration> {
    let journal = &house.node().tree().journal;
    let ready = journal.tail(usize::MAX, |event| matches!(event.what, What::Ready { .. }));
    let took = |event: &genii_supervision::Event| match event.what {
        What::Ready { took } => Some((event.key.to_string(), took)),
        _ => None,
    };
    ready.iter().filter_map(|event| took(event)).collect()
}

/// Shows branches.
pub fn show(branches: &[Branch], screen: &mut Screen) {
    let width = width(branches, 0).min(60);
    for branch in branches {
        show_branch(branch, None, "", "", width, screen);
    }
}

fn width(branches: &[Branch], depth: usize) -> usize {
    let each = branches.iter().map(|branch| {
        let own = depth * 3 + branch.row.name.chars().count();
        own.max(width(&branch.children, depth + 1))
    });
    each.max().unwrap_or(0)
}

fn show_branch(
    branch: &Branch,
    group: Option<&Row>,
    first: &str,
    rest: &str,
    width: usize,
    screen: &mut Screen,
) {
    let row = &branch.row;
    let name = if branch.children.is_empty() { row.name.clone() } else { screen.bold(&row.name) };
    let pad = width.saturating_sub(first.chars().count() + row.name.chars().count());
    let line = format!(
        "{}{name}{:pad$}  {}{}",
        screen.faint(first),
        "",
        screen.state(&row.state),
        remarks(branch, group, screen)
    );
    screen.line(line.trim_end());
    let last = branch.children.len().saturating_sub(1);
    for (number, child) in branch.children.iter().enumerate() {
        let (fork, line) = if number == last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        let (first, rest) = (format!("{rest}{fork}"), format!("{rest}{line}"));
        show_branch(child, Some(row), &first, &rest, width, screen);
    }
}

fn remarks(branch: &Branch, group: Option<&Row>, screen: &Screen) -> String {
    let row = &branch.row;
    let mut remarks = Vec::new();
    let is_up = matches!(&*row.state, "ready" | "degraded");
    // A group takes as long as its agents, which say so themselves.
    let is_agent = Address::parse(&row.name).is_ok();
    if let Some(took) = branch.ready_after_ms.filter(|_| is_up && is_agent) {
        remarks.push(format!("after {}", span(Duration::from_secs_f64(took / 1e3))));
    }
    // Its agents are on it as well, as a rule.
    let of_group = group.and_then(|group| group.node.as_ref());
    if let Some(node) = row.node.as_ref().filter(|node| Some(*node) != of_group) {
        remarks.push(format!("on {node}"));
    }
    let is_usual = matches!(&*row.state, "ready" | "declared" | "alive" | "unseen");
    if let Some(long) = row.for_seconds.filter(|_| !is_usual) {
        remarks.push(format!("for {}", seconds(long)));
    }
    match row.counted.unwrap_or_default().restarts {
        0 => {}
        1 => remarks.push("1 restart".to_owned()),
        restarts => remarks.push(format!("{restarts} restarts")),
    }
    if row.is_suspended() {
        remarks.push("suspended".to_owned());
    }
    let remarks = match remarks.is_empty() {
        true => String::new(),
        false => format!(" {}", screen.faint(&remarks.join(", "))),
    };
    match &row.detail {
        Some(detail) => format!("{remarks}: {}", screen.told(detail)),
        None => remarks,
    }
}
