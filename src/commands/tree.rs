//! `tree`: the supervision tree as it stands.

use std::collections::HashMap;
use std::time::Duration;

use genii_protocols::{Address, NodeName};
use genii_runtime::House;
use genii_runtime::cluster::Membership;
use genii_runtime::house::{ROOT, Row};
use genii_supervision::{Key, What};
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
    for member in house.members() {
        let row = Row::from(&member);
        let supervisor = supervisor_of(&row.name, member.view.supervisor.as_str());
        let ready_after_ms = ready_after.get(&member.view.key).map(|took| took.as_secs_f64() * 1e3);
        let branch = Branch { row, ready_after_ms, children: Vec::new() };
        under.entry(supervisor).or_default().push(branch);
    }
    for group in &topology.groups {
        if let Some(node) = house.home_of(group.name.as_str()) {
            let row = elsewhere(house, group.name.as_str(), node);
            let branch = Branch { row, ready_after_ms: None, children: Vec::new() };
            under.entry(ROOT.to_owned()).or_default().push(branch);
        }
    }
    for branches in under.values_mut() {
        branches.sort_by_key(|branch| {
            let place = places.get(branch.row.name.as_str()).copied().unwrap_or(usize::MAX);
            (place, branch.row.name.clone())
        });
    }
    take(ROOT, &mut under)
}

/// A group that lives on another machine, and stands as that does.
fn elsewhere(house: &House, group: &str, node: NodeName) -> Row {
    let cluster = house.node().cluster();
    let members = cluster.map(|cluster| cluster.members()).unwrap_or_default();
    let member = members.into_iter().find(|member| member.node == node);
    Row {
        name: group.to_owned(),
        state: member.as_ref().map_or(Membership::Unseen, |member| member.membership).word().into(),
        for_seconds: member.map_or(0.0, |member| member.since.elapsed().as_secs_f64()),
        node: Some(node),
        ..Row::default()
    }
}

/// The supervisor of a member: for one that lives elsewhere, its group.
fn supervisor_of(name: &str, supervisor: &str) -> String {
    match (supervisor, Address::parse(name)) {
        ("", Ok(address)) => address.group().to_owned(),
        ("", Err(_)) => ROOT.to_owned(),
        (supervisor, _) => supervisor.to_owned(),
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
fn ready_after(house: &House) -> HashMap<Key, Duration> {
    let journal = &house.node().tree().journal;
    let ready = journal.tail(usize::MAX, |event| matches!(event.what, What::Ready { .. }));
    let took = |event: &genii_supervision::Event| match event.what {
        What::Ready { took } => Some((event.key.clone(), took)),
        _ => None,
    };
    ready.iter().filter_map(|event| took(event)).collect()
}

/// Shows branches.
pub fn show(branches: &[Branch], screen: &mut Screen) {
    let width = width(branches, 0).min(60);
    for branch in branches {
        show_branch(branch, "", "", width, screen);
    }
}

fn width(branches: &[Branch], depth: usize) -> usize {
    let each = branches.iter().map(|branch| {
        let own = depth * 3 + branch.row.name.chars().count();
        own.max(width(&branch.children, depth + 1))
    });
    each.max().unwrap_or(0)
}

fn show_branch(branch: &Branch, first: &str, rest: &str, width: usize, screen: &mut Screen) {
    let row = &branch.row;
    let name = if branch.children.is_empty() { row.name.clone() } else { screen.bold(&row.name) };
    let pad = width.saturating_sub(first.chars().count() + row.name.chars().count());
    let line = format!(
        "{}{name}{:pad$}  {}{}",
        screen.faint(first),
        "",
        screen.state(&row.state),
        remarks(branch, screen)
    );
    screen.line(line.trim_end());
    let last = branch.children.len().saturating_sub(1);
    for (number, child) in branch.children.iter().enumerate() {
        let (fork, line) = if number == last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        show_branch(child, &format!("{rest}{fork}"), &format!("{rest}{line}"), width, screen);
    }
}

fn remarks(branch: &Branch, screen: &Screen) -> String {
    let row = &branch.row;
    let mut remarks = Vec::new();
    let is_up = matches!(&*row.state, "ready" | "degraded");
    if let Some(took) = branch.ready_after_ms.filter(|_| is_up && branch.children.is_empty()) {
        remarks.push(format!("after {}", span(Duration::from_secs_f64(took / 1e3))));
    }
    // Its agents are on it as well.
    if let Some(node) = row.node.as_ref().filter(|_| !branch.children.is_empty()) {
        remarks.push(format!("on {node}"));
    }
    if !matches!(&*row.state, "ready" | "declared" | "alive" | "unseen") {
        remarks.push(format!("for {}", seconds(row.for_seconds)));
    }
    if row.restarts > 0 {
        let times = if row.restarts == 1 { "restart" } else { "restarts" };
        remarks.push(format!("{} {times}", row.restarts));
    }
    if row.suspended {
        remarks.push("suspended".to_owned());
    }
    let remarks = match remarks.is_empty() {
        true => String::new(),
        false => format!(" {}", screen.faint(&remarks.join(", "))),
    };
    match &row.detail {
        Some(detail) => format!("{remarks}: {detail}"),
        None => remarks,
    }
}
