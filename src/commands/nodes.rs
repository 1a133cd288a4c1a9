//! `nodes`: the machines of the household, as this one sees them.

use std::collections::BTreeMap;

use genii_runtime::cluster::{Cluster, Member};
use genii_runtime::trust::TurnedAway;
use serde::{Deserialize, Serialize};

use super::{Command, Nothing, Out, Refusal, Side};
use crate::screen::{Screen, millis, seconds};

pub struct Nodes;

/// One machine.
#[derive(Debug, Serialize, Deserialize)]
pub struct NodeRow {
    /// Its name.
    pub node: String,
    /// `this`, or how it stands.
    state: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    for_seconds: Option<f64>,
    /// Which life of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    incarnation: Option<u64>,
    /// How many of its addresses are known.
    addresses: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    round_trip_ms: Option<f64>,
    /// Why it is not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    /// How many callers this machine has turned away, by why.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    turned_away: BTreeMap<String, u64>,
    /// The same, at its port for clients.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    clients_turned_away: BTreeMap<String, u64>,
    /// How often it was dropped because what it said made no sense.
    #[serde(default, skip_serializing_if = "is_none")]
    nonsense: u64,
    /// The messages that have another form there than here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    differing: Vec<String>,
}

fn is_none(count: &u64) -> bool {
    *count == 0
}

impl Command for Nodes {
    const NAME: &'static str = "nodes";
    const ABOUT: &'static str = "Show the machines of the household, as this one sees them";
    const EXAMPLES: &'static [&'static str] = &["nodes"];
    type Args = Nothing;
    type Said = Vec<NodeRow>;

    async fn serve(_: Nothing, side: Side, out: Out<Vec<NodeRow>>) -> Result<(), Refusal> {
        let node = side.house.node();
        let topology = side.house.topology();
        let here = topology.agents.iter().filter(|agent| topology.lives_on(agent, node.name()));
        let own = NodeRow {
            node: node.name().to_string(),
            state: "this".to_owned(),
            for_seconds: None,
            incarnation: None,
            addresses: here.count(),
            round_trip_ms: None,
            why: None,
            turned_away: counts(node.cluster().map(Cluster::turned_away).unwrap_or_default()),
            clients_turned_away: counts(node.clients_turned_away()),
            nonsense: 0,
            differing: Vec::new(),
        };
        let others = node.cluster().map(|cluster| cluster.members()).unwrap_or_default();
        let mut rows = vec![own];
        rows.extend(others.into_iter().map(row));
        out.say(rows).await
    }

    fn show(said: Vec<NodeRow>, screen: &mut Screen) {
        let row = |row: &NodeRow| {
            vec![
                row.node.clone(),
                row.state.clone(),
                row.for_seconds.map(seconds).unwrap_or_default(),
                row.addresses.to_string(),
                row.round_trip_ms.map(millis).unwrap_or_default(),
                remark(row),
            ]
        };
        let rows = said.iter().map(row).collect();
        screen.table(&["node", "state", "for", "agents", "round trip", "why"], rows);
        for (why, count) in said.iter().flat_map(|row| &row.turned_away) {
            screen.line(screen.faint(&format!("turned away: {why} {count}")));
        }
        for (why, count) in said.iter().flat_map(|row| &row.clients_turned_away) {
            let line = format!("turned away at the port for clients: {why} {count}");
            screen.line(screen.faint(&line));
        }
    }
}

/// Why it is not there, or what is amiss with it.
fn remark(row: &NodeRow) -> String {
    match (&row.why, row.differing.as_slice()) {
        (Some(why), _) => why.clone(),
        (None, []) => String::new(),
        (None, [one]) => format!("another form of {one}"),
        (None, [one, more @ ..]) => format!("another form of {one} and {} more", more.len()),
    }
}

fn row(member: Member) -> NodeRow {
    NodeRow {
        node: member.node.to_string(),
        state: member.membership.word().to_owned(),
        for_seconds: Some(member.since.elapsed().as_secs_f64()),
        incarnation: Some(member.incarnation),
        addresses: member.addresses,
        round_trip_ms: member.round_trip.map(|span| span.as_secs_f64() * 1e3),
        why: member.why,
        turned_away: BTreeMap::new(),
        clients_turned_away: BTreeMap::new(),
        nonsense: member.nonsense,
        differing: member.differing,
    }
}

fn counts(turned_away: Vec<(TurnedAway, u64)>) -> BTreeMap<String, u64> {
    turned_away.into_iter().map(|(why, count)| (why.word().to_owned(), count)).collect()
}
