//! `ps`: the agents, one in a line, with what is counted about them.

use clap::builder::PossibleValuesParser;
use genii_protocols::{Address, Name, NodeName};
use genii_runtime::House;
use genii_runtime::house::{ASLEEP, Counted, Row};
use genii_supervision::Status;
use serde::{Deserialize, Serialize};

use super::pinned::{Pinned, is_known};
use super::whom::{Whom, named_like_a_machine};
use super::{Command, Out, Refusal, Side};
use crate::screen::{Screen, millis, seconds};

pub struct Ps;

#[derive(Debug, clap::Args, Serialize, Deserialize)]
pub struct Args {
    /// Only the agents of these groups; with `@NODE` behind one, those on that machine; `@NODE` alone, all
    /// on that machine
    #[arg(value_name = "GROUP", value_parser = of_groups)]
    groups: Vec<Whom<Name>>,
    /// Only agents in this state
    #[arg(long, value_name = "STATE", value_parser = PossibleValuesParser::new(states()))]
    state: Option<String>,
}

impl Command for Ps {
    const NAME: &'static str = "ps";
    const ABOUT: &'static str =
        "List the agents: state, uptime, restarts, mailbox depth, handled, p99";
    const EXAMPLES: &'static [&'static str] =
        &["ps", "ps core guests@pc2", "ps @pc2", "ps --state quarantined"];
    type Args = Args;
    type Said = Vec<Row>;

    async fn serve(args: Args, side: Side, out: Out<Vec<Row>>) -> Result<(), Refusal> {
        let topology = side.house.topology();
        let mut rows = agents(&side.house);
        for group in &args.groups {
            if let Whom::Named(Pinned { node: Some(node), .. }) | Whom::Machine(node) = group {
                is_known(&side.house, node)?;
            }
            let Some(name) = group.name() else { continue };
            let of_group = |row: &Row| is_of(row, name);
            if topology.group(name.as_str()).is_none() && !rows.iter().any(of_group) {
                let refusal = named_like_a_machine(&side.house, name.as_str());
                refusal.map_or(Ok(()), Err)?;
                side.house.member(name.as_str())?;
            }
        }
        let own = side.house.node().name();
        rows.retain(|row| args.takes(row, own));
        out.say(rows).await
    }

    fn show(said: Vec<Row>, screen: &mut Screen) {
        if said.is_empty() {
            return screen.line("no agent is in this list");
        }
        let header = ["agent", "state", "for", "restarts", "depth", "handled", "p99", "pid"];
        let mut rows: Vec<Vec<String>> = said.iter().map(|row| cells(row, screen)).collect();
        if said.iter().all(|row| row.node.is_none()) {
            return screen.table(&header, rows);
        }
        for (row, cells) in said.iter().zip(&mut rows) {
            cells.push(row.node.as_ref().map(ToString::to_string).unwrap_or_default());
        }
        screen.table(&[&header[..], &["node"]].concat(), rows);
    }
}

/// All words for how an agent stands.
fn states() -> impl Iterator<Item = &'static str> {
    Status::WORDS.into_iter().chain([ASLEEP])
}

/// Reads of which groups, or of which machine.
fn of_groups(text: &str) -> Result<Whom<Name>, String> {
    let name = text.split_once('@').map_or(text, |(name, _)| name);
    match Address::parse(name) {
        Ok(agent) => Err(format!(
            "{agent} is an agent, and `ps` takes groups; `why {text}` tells of one agent"
        )),
        Err(_) => text.parse(),
    }
}

impl Args {
    fn takes(&self, row: &Row, own: &NodeName) -> bool {
        let home = row.node.as_ref().unwrap_or(own);
        let is_there = |node: &Option<NodeName>| node.as_ref().is_none_or(|node| node == home);
        let is_in = |group: &Whom<Name>| match group {
            Whom::Machine(node) => node == home,
            Whom::Named(group) => is_of(row, &group.name) && is_there(&group.node),
        };
        (self.groups.is_empty() || self.groups.iter().any(is_in))
            && self.state.as_ref().is_none_or(|state| *state == row.state)
    }
}

fn is_of(row: &Row, group: &Name) -> bool {
    row.name.split_once('/').is_some_and(|(home, _)| home == group.as_str())
}

/// The agents as they stand, without the groups, by name: also those that only other machines have.
pub fn agents(house: &House) -> Vec<Row> {
    let mut rows = house.rows();
    rows.retain(|row| Address::parse(&row.name).is_ok());
    rows
}

fn cells(row: &Row, screen: &Screen) -> Vec<String> {
    let state = match row.is_suspended() {
        true => format!("{} (suspended)", screen.state(&row.state)),
        false => screen.state(&row.state),
    };
    // What is counted elsewhere is not known here.
    let counted =
        |count: fn(&Counted) -> String| row.counted.as_ref().map(count).unwrap_or_default();
    vec![
        row.name.clone(),
        state,
        row.for_seconds.map(seconds).unwrap_or_default(),
        counted(|it| it.restarts.to_string()),
        counted(|it| it.depth.to_string()),
        counted(|it| it.handled.to_string()),
        counted(|it| it.p99_ms.map(millis).unwrap_or_default()),
        row.pid.map(|pid| pid.to_string()).unwrap_or_default(),
    ]
}
