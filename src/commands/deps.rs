//! `deps`: whom an agent waits for, and who waits for it.

use std::borrow::Cow;
use std::collections::HashSet;

use genii_protocols::Address;
use genii_runtime::House;
use genii_runtime::topology::{AgentSpec, Topology};
use serde::{Deserialize, Serialize};

use super::pinned::{Pin, Pinned};
use super::{Command, Out, Refusal, Side};
use crate::screen::Screen;

pub struct Deps;

#[derive(Debug, clap::Args, Serialize, Deserialize)]
pub struct Args {
    /// The agent, as `core/system-digital-twin`; with `@NODE` behind it, of that machine
    #[arg(value_name = "ADDR")]
    address: Pinned<Address>,
    /// Also whom those wait for, and who waits for those, and so on
    #[arg(long)]
    all: bool,
}

/// Whom an agent waits for, and who waits for it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Neighbours {
    address: Address,
    /// Whom it depends on, and how.
    on: Vec<Link>,
    /// Who depends on it, and how.
    by: Vec<Link>,
}

/// One who is depended on, or depends.
#[derive(Debug, Serialize, Deserialize)]
pub struct Link {
    address: Address,
    /// `needs`, `binds`, `wants` or `falls back on`.
    how: Cow<'static, str>,
    state: Cow<'static, str>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    then: Vec<Link>,
}

impl Command for Deps {
    const NAME: &'static str = "deps";
    const ABOUT: &'static str = "Show whom an agent depends on, and who depends on it";
    const EXAMPLES: &'static [&'static str] =
        &["deps core/system-digital-twin", "deps pc2-core/health-monitor --all"];
    type Args = Args;
    type Said = Neighbours;

    fn about(args: &Args) -> Option<&str> {
        Some(args.address.name.as_str())
    }

    fn unpin(args: &mut Args) -> Option<Pin> {
        args.address.unpin()
    }

    async fn serve(args: Args, side: Side, out: Out<Neighbours>) -> Result<(), Refusal> {
        let Args { address: Pinned { name: address, .. }, all } = args;
        side.house.member(address.as_str())?;
        let topology = side.house.topology();
        let depth = if all { usize::MAX } else { 1 };
        let walk = Walk { house: &side.house, topology: &topology };
        let on = walk.from(&address, on, depth, &mut HashSet::new());
        let by = walk.from(&address, by, depth, &mut HashSet::new());
        out.say(Neighbours { address, on, by }).await
    }

    fn show(said: Neighbours, screen: &mut Screen) {
        screen.line(screen.bold(said.address.as_str()));
        show_links("depends on", "nobody", &said.on, screen);
        show_links("is depended on by", "nobody", &said.by, screen);
    }
}

type Step = for<'a> fn(&'a Topology, &Address) -> Vec<(&'a Address, &'static str)>;

/// Whom an agent names, and how.
fn on<'a>(topology: &'a Topology, address: &Address) -> Vec<(&'a Address, &'static str)> {
    topology.agent(address).map(named).unwrap_or_default()
}

/// Who names an agent, and how.
fn by<'a>(topology: &'a Topology, address: &Address) -> Vec<(&'a Address, &'static str)> {
    let each = topology.agents.iter().flat_map(|agent| {
        let names = named(agent).into_iter().filter(|(to, _)| *to == address);
        names.map(|(_, how)| (&agent.address, how))
    });
    each.collect()
}

fn named(agent: &AgentSpec) -> Vec<(&Address, &'static str)> {
    let each = [
        ("needs", agent.needs.as_slice()),
        ("binds", &agent.binds),
        ("wants", &agent.wants),
        ("falls back on", agent.fallback.as_slice()),
    ];
    let links = each.into_iter().flat_map(|(how, links)| links.iter().map(move |link| (link, how)));
    links.map(|(link, how)| (&link.to, how)).collect()
}

struct Walk<'a> {
    house: &'a House,
    topology: &'a Topology,
}

impl Walk<'_> {
    fn from(
        &self,
        address: &Address,
        step: Step,
        depth: usize,
        seen: &mut HashSet<Address>,
    ) -> Vec<Link> {
        if depth == 0 || !seen.insert(address.clone()) {
            return Vec::new();
        }
        let link = |(address, how): (&Address, &'static str)| {
            let member = self.house.member(address.as_str());
            let state = member.map_or("unknown", |member| member.view.status.word());
            let then = self.from(address, step, depth - 1, seen);
            Link { address: address.clone(), how: how.into(), state: state.into(), then }
        };
        step(self.topology, address).into_iter().map(link).collect()
    }
}

fn show_links(title: &str, none: &str, links: &[Link], screen: &mut Screen) {
    if links.is_empty() {
        return screen.line(format!("{title} {none}"));
    }
    screen.line(format!("{title}:"));
    show_level(links, 1, screen);
}

fn show_level(links: &[Link], depth: usize, screen: &mut Screen) {
    for link in links {
        let (how, state) = (screen.faint(&link.how), screen.state(&link.state));
        screen.line(format!("{:indent$}{} {state} {how}", "", link.address, indent = depth * 2));
        show_level(&link.then, depth + 1, screen);
    }
}
