//! `start`: starts what was stopped, or an agent of which no topology says anything.

use std::ffi::OsStr;

use clap::builder::{NonEmptyStringValueParser, PossibleValue, TypedValueParser};
use genii_actors::catalogue;
use genii_protocols::{Address, Json};
use genii_runtime::house::Row;
use genii_runtime::topology::check::Untie;
use genii_runtime::topology::{Report, Severity, Source, Topology, check, read};
use genii_runtime::{House, HouseError};
use genii_supervision::ChildError;
use serde::{Deserialize, Serialize};

use super::pinned::{Named, Pin, Pinned};
use super::target::show_row;
use super::whom::nobody;
use super::{Command, Out, Refusal, Side};
use crate::screen::Screen;

pub struct Start;

#[derive(Debug, clap::Args, Serialize, Deserialize)]
pub struct Args {
    /// An agent (`core/system-digital-twin`) or a group (`core`); with `@NODE` behind it, of that machine
    #[arg(value_name = "NAME")]
    name: Pinned<Named>,
    /// Start an agent of this kind, which the topology does not have; until another is applied, or
    /// genii ends
    #[arg(long, value_name = "KIND", value_parser = Kind)]
    kind: Option<String>,
    /// The settings of that agent [default: {}]
    #[arg(long, value_name = "JSON", requires = "kind", value_parser = settings)]
    settings: Option<Json>,
}

impl Command for Start {
    const NAME: &'static str = "start";
    const ABOUT: &'static str = "Start an agent or a group that was stopped, or an agent of a kind, and wait until it is ready";
    const EXAMPLES: &'static [&'static str] = &[
        "start core/system-digital-twin",
        "start pc2-core",
        "start guests/errors@pc2 --kind unified-error",
    ];
    type Args = Args;
    type Said = Row;

    fn about(args: &Args) -> Option<&str> {
        Some(args.name.name.as_str())
    }

    fn unpin(args: &mut Args) -> Option<Pin> {
        let pin = args.name.unpin()?;
        Some(Pin { need_not_be: args.kind.is_some(), ..pin })
    }

    async fn serve(args: Args, side: Side, out: Out<Row>) -> Result<(), Refusal> {
        let name = args.name.name.as_str();
        match args.kind {
            None => start(&side, name).await?,
            Some(kind) => add(&side.house, name, &kind, args.settings).await?,
        }
        out.say(Row::from(&side.house.member(name)?)).await
    }

    fn show(row: Row, screen: &mut Screen) {
        show_row(&row, screen);
    }
}

/// Starts what was stopped.
async fn start(side: &Side, name: &str) -> Result<(), Refusal> {
    let error = match side.house.start(name).await {
        Ok(()) => return Ok(()),
        // One that is forgotten when it has stopped, as a being is, cannot be started: it runs.
        Err(HouseError::Supervisor { address, error: ChildError::Dynamic })
            if side.house.member(name).is_ok_and(|member| member.view.status.is_alive()) =>
        {
            HouseError::Supervisor { address, error: ChildError::Running }
        }
        Err(error) => error,
    };
    Err(nobody(side, name, error).await)
}

/// Reads the name of a kind. Those that are known here are offered, and no other is refused: the machine
/// that starts it may be of another version.
#[derive(Clone)]
struct Kind;

impl TypedValueParser for Kind {
    type Value = String;

    fn parse_ref(
        &self,
        command: &clap::Command,
        arg: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<String, clap::Error> {
        NonEmptyStringValueParser::new().parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(catalogue().kinds().into_iter().map(PossibleValue::new)))
    }
}

fn settings(text: &str) -> Result<Json, String> {
    let settings: serde_json::Value = serde_json::from_str(text).map_err(|it| it.to_string())?;
    match settings.is_object() {
        true => Ok(Json(settings)),
        false => Err("settings are an object, as {\"name\": 1}".to_owned()),
    }
}

/// Starts an agent that is not in the topology of this house, which follows it from now on.
async fn add(house: &House, name: &str, kind: &str, settings: Option<Json>) -> Result<(), Refusal> {
    let address = Address::parse(name).map_err(|error| {
        Refusal::new(format!("{name:?} is no address of an agent: {error}"))
            .help("as in `start guests/errors --kind unified-error`")
    })?;
    let before = house.topology();
    if let Some(known) = before.agent(&address) {
        let message = format!("the topology has {address} already, as {:?}", known.kind);
        return Err(Refusal::new(message).help("start it without --kind, or take another name"));
    }
    if let Some(node) = house.home_of(name) {
        let group = address.group();
        let message = match house.home_of(group) {
            Some(_) => format!("the group {group} lives on {node}, so {address} cannot start here"),
            None => format!("{address} lives on {node} already, so it cannot start here"),
        };
        let help = format!("take another group, or start it there with `--node {node}`");
        return Err(Refusal::new(message).help(help));
    }
    let mut topology = Topology::clone(&before);
    let said = declare(house, &address, kind);
    let mut report = Report::default();
    let addition = read::read(&Source::new("--kind", said), &mut report);
    if topology.group(address.group()).is_none() {
        topology.groups.extend(addition.groups);
    }
    for mut agent in addition.agents {
        if let Some(settings) = &settings {
            agent.settings = settings.clone();
        }
        topology.agents.push(agent);
    }
    check(&topology, house.catalogue(), Untie::Edit, &mut report);
    report.diagnostics.retain(|one| one.severity == Severity::Error);
    if report.has_errors() {
        let message = format!("{address} cannot be started:\n{report}");
        return Err(Refusal::new(message.trim_end()).help("nothing was changed"));
    }
    let applied = house.apply(topology).await;
    match applied.steps.into_iter().find_map(|step| step.error) {
        None => Ok(()),
        Some(error) => Err(Refusal::new(error).help(format!("`why {address}` tells more"))),
    }
}

/// The agent as a topology file has it, in a group of this machine.
fn declare(house: &House, address: &Address, kind: &str) -> String {
    // Text of JSON is text of TOML.
    let kind = serde_json::Value::from(kind);
    let (group, node) = (address.group(), house.node().name());
    format!("[groups.{group}]\nnode = \"{node}\"\n[agents.\"{address}\"]\nkind = {kind}\n")
}
