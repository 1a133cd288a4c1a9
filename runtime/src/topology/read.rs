//! A tree into a topology. `docs/topology.md` describes the file for people.

use std::sync::Arc;

use genii_protocols::{Address, Json, Name, NodeName};
use genii_supervision::{AutoShutdown, Backoff, GiveUp, Intensity, Restart, StartOrder, Strategy};
use serde_json::Value as JsonValue;

use super::diagnostic::{Diagnostic, Report};
use super::source::{Place, Source};
use super::tree::{Key, Node, Table, Value};
use super::{AgentPolicy, AgentSpec, GroupSpec, Link, Topology};

/// How strategies are called in files.
pub const STRATEGIES: [(&str, Strategy); 3] = [
    ("one-for-one", Strategy::OneForOne),
    ("one-for-all", Strategy::OneForAll),
    ("rest-for-one", Strategy::RestForOne),
];

/// How auto-shutdown is called in files.
pub const AUTO_SHUTDOWNS: [(&str, AutoShutdown); 3] = [
    ("never", AutoShutdown::Never),
    ("any-significant", AutoShutdown::AnySignificant),
    ("all-significant", AutoShutdown::AllSignificant),
];

/// How start orders are called in files.
pub const START_ORDERS: [(&str, StartOrder); 2] =
    [("parallel", StartOrder::Graph), ("in-order", StartOrder::Sequential)];

/// How restart types are called in files.
pub const RESTARTS: [(&str, Restart); 3] = [
    ("permanent", Restart::Permanent),
    ("transient", Restart::Transient),
    ("temporary", Restart::Temporary),
];

/// How giving up is called in files.
pub const GIVE_UPS: [(&str, GiveUp); 2] =
    [("quarantine", GiveUp::Quarantine), ("escalate", GiveUp::Escalate)];

/// Reads a topology from a TOML file, reporting every fault in it.
pub fn read(source: &Arc<Source>, report: &mut Report) -> Topology {
    let root = super::toml::parse(source, report);
    let mut table = Table::new(&root, "the topology", report);
    let defaults = table.any("defaults");
    let kinds = table.any("kinds");
    let groups = table.any("groups");
    let agents = table.any("agents");
    table.finish();
    let defaults = match defaults {
        Some(node) => read_defaults(node, report),
        None => AgentPolicy::default(),
    };
    let each = |node: Option<&'_ Node>| node.map(Node::entries).unwrap_or_default().to_vec();
    for (name, node) in [("groups", groups), ("agents", agents), ("kinds", kinds)] {
        if let Some(node) = node {
            must_be_table(name, node, report);
        }
    }
    let groups =
        each(groups).iter().filter_map(|(key, node)| read_group(key, node, report)).collect();
    let agents = each(agents)
        .iter()
        .filter_map(|(key, node)| read_agent(key, node, &defaults, kinds, report))
        .collect();
    report.drop_consequences("toml-syntax");
    let kinds = each(kinds).iter().map(|(key, _)| (key.name.clone(), key.place.clone())).collect();
    Topology { groups, agents, kinds }
}

fn must_be_table(name: &str, node: &Node, report: &mut Report) {
    if !matches!(node.value, Value::Map(_)) {
        let message = format!("{name} must be a table, and is {}", node.what());
        report.push(Diagnostic::error("wrong-type", message).at(&node.place));
    }
}

fn read_defaults(node: &Node, report: &mut Report) -> AgentPolicy {
    let mut table = Table::new(node, "defaults", report);
    let policy = read_policy(&mut table, &AgentPolicy::default());
    table.finish();
    policy
}

fn read_group(key: &Key, node: &Node, report: &mut Report) -> Option<GroupSpec> {
    let name =
        Name::new(&key.name).map_err(|error| bad_name(&error.to_string(), &key.place, report)).ok();
    let mut table = Table::new(node, format!("group {}", key.name), report);
    let usual = GroupSpec::default_flags();
    let node_name = table.text("node").and_then(|(text, place)| {
        NodeName::new(text)
            .map_err(|error| bad_name(&error.to_string(), place, table.report()))
            .ok()
    });
    let mut flags = usual;
    flags.strategy = table.choice("strategy", &STRATEGIES).unwrap_or(usual.strategy);
    flags.start_order = table.choice("start", &START_ORDERS).unwrap_or(usual.start_order);
    flags.auto_shutdown =
        table.choice("auto_shutdown", &AUTO_SHUTDOWNS).unwrap_or(usual.auto_shutdown);
    flags.intensity = Intensity {
        restarts: table.number("restarts", 0).unwrap_or(usual.intensity.restarts),
        window: table.duration("window").unwrap_or(usual.intensity.window),
    };
    table.finish();
    Some(GroupSpec { name: name?, node: node_name, flags, place: key.place.clone() })
}

fn bad_name(error: &str, place: &Place, report: &mut Report) {
    report.push(Diagnostic::error("bad-name", error).at(place));
}

fn read_agent(
    key: &Key,
    node: &Node,
    defaults: &AgentPolicy,
    kinds: Option<&Node>,
    report: &mut Report,
) -> Option<AgentSpec> {
    let address = Address::parse(&key.name)
        .map_err(|error| bad_name(&error.to_string(), &key.place, report))
        .ok();
    let mut table = Table::new(node, format!("agent {}", key.name), report);
    let kind = table.text("kind").map(|(kind, _)| kind.to_owned());
    if kind.is_none() && node.get("kind").is_none() {
        let message = format!("agent {} has no kind", key.name);
        let help = "say what it is, as `kind = \"process\"`";
        table.report().push(Diagnostic::error("missing-key", message).at(&key.place).help(help));
    }
    let needs = read_links(&mut table, "needs");
    let binds = read_links(&mut table, "binds");
    let wants = read_links(&mut table, "wants");
    let mut fallbacks = read_links(&mut table, "fallback").into_iter();
    let fallback = fallbacks.next();
    if let Some(second) = fallbacks.next() {
        let message = format!("agent {} has more than one fallback", key.name);
        let help = "give the first fallback a fallback of its own";
        let diagnostic = Diagnostic::error("bad-value", message).at(&second.place);
        table.report().push(diagnostic.help(help));
    }
    let policy = read_policy(&mut table, defaults);
    let own = table.any("settings").map(Node::json);
    table.finish();
    // Others may still mean it, and what else is wrong with it is told.
    let kind = kind.unwrap_or_default();
    let beneath = kinds.and_then(|kinds| kinds.get(&kind)).map(Node::json);
    let settings = merge(beneath.unwrap_or_default(), own.unwrap_or_default());
    let place = key.place.clone();
    Some(AgentSpec {
        address: address?,
        kind,
        needs,
        binds,
        wants,
        fallback,
        policy,
        settings,
        place,
    })
}

fn read_links(table: &mut Table<'_, '_>, key: &'static str) -> Vec<Link> {
    let mut links: Vec<Link> = Vec::new();
    for (text, place) in table.texts(key) {
        match Address::parse(text) {
            Err(error) => bad_name(&error.to_string(), place, table.report()),
            Ok(to) if links.iter().any(|link| link.to == to) => {
                let message = format!("{to} stands twice in {key}");
                table.report().push(Diagnostic::warning("stands-twice", message).at(place));
            }
            Ok(to) => links.push(Link { to, place: place.clone() }),
        }
    }
    links
}

fn read_policy(table: &mut Table<'_, '_>, usual: &AgentPolicy) -> AgentPolicy {
    AgentPolicy {
        required: table.bool("required").unwrap_or(usual.required),
        restart: table.choice("restart", &RESTARTS).unwrap_or(usual.restart),
        backoff: read_backoff(table, usual.backoff),
        give_up: table.choice("give_up", &GIVE_UPS).unwrap_or(usual.give_up),
        significant: table.bool("significant").unwrap_or(usual.significant),
        start_timeout: table.duration("start_timeout").unwrap_or(usual.start_timeout),
        stop_timeout: table.duration("stop_timeout").unwrap_or(usual.stop_timeout),
        mailbox_capacity: table.number("mailbox_capacity", 1).unwrap_or(usual.mailbox_capacity),
    }
}

/// `backoff = "none"`, or a table with some of `first`, `factor`, `cap` and `jitter`.
fn read_backoff(table: &mut Table<'_, '_>, usual: Option<Backoff>) -> Option<Backoff> {
    let Some(node) = table.any("backoff") else { return usual };
    if node.text() == Some("none") {
        return None;
    }
    let usual = usual.unwrap_or_default();
    let mut table = Table::new(node, "backoff", table.report());
    let backoff = Backoff {
        first: table.duration("first").unwrap_or(usual.first),
        factor: table.float("factor").unwrap_or(usual.factor),
        cap: table.duration("cap").unwrap_or(usual.cap),
        jitter: table.float("jitter").unwrap_or(usual.jitter),
    };
    table.finish();
    Some(backoff)
}

/// Lays one set of settings over another: tables are merged, anything else is replaced.
pub fn merge(beneath: Json, above: Json) -> Json {
    match (beneath.0, above.0) {
        (JsonValue::Object(mut beneath), JsonValue::Object(above)) => {
            for (key, value) in above {
                let below = beneath.get_mut(&key).map(serde_json::Value::take).unwrap_or_default();
                // In its place, so that settings stay in the order in which they were written.
                beneath.insert(key, merge(Json(below), Json(value)).0);
            }
            Json(JsonValue::Object(beneath))
        }
        (beneath, JsonValue::Null) => Json(beneath),
        (_, above) => Json(above),
    }
}
