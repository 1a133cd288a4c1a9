//! `genii plan`: the order in which a topology starts, or everything that makes it impossible.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use genii_protocols::{Address, NodeName};
use genii_runtime::topology::{Plan, Topology};
use serde_json::json;

use crate::commands::examples;
use crate::data::Data;
use crate::fault::Fault;
use crate::load::{self, From, LegacyArgs, Loaded, legacy_file};
use crate::screen::{Screen, many};
use crate::settings::Settings;

#[derive(Debug, Args)]
#[command(after_help = examples(&[
    "genii plan                          what `genii up` would start, and when",
    "genii plan house.toml",
    "genii plan house.toml --dot | dot -Tsvg > house.svg",
    "genii plan --legacy startup_config.yaml --json",
]))]
pub struct PlanArgs {
    /// The topology file [default: the one that is set, or else the one that is built in]
    #[arg(value_name = "FILE", conflicts_with = "legacy")]
    file: Option<PathBuf>,
    /// Start-up files of before; NODE=FILE for those of another machine
    #[arg(long, value_name = "FILE", num_args = 1.., value_parser = legacy_file)]
    legacy: Vec<(Option<NodeName>, PathBuf)>,
    #[command(flatten)]
    legacy_args: LegacyArgs,
    /// Print an object with `agents`, `waves`, `critical_path` and `diagnostics`
    #[arg(long)]
    json: bool,
    /// Print a picture for Graphviz
    #[arg(long, conflicts_with = "json")]
    dot: bool,
}

/// Shows the plan. Ends with 1 when it is impossible.
pub fn run(args: &PlanArgs, data: &Data) -> Result<ExitCode, Fault> {
    args.legacy_args.refuse_without(&args.legacy)?;
    let from = match (&args.file, args.legacy.is_empty()) {
        (Some(file), _) => From::File(file.clone()),
        (None, false) => From::Legacy(args.legacy.clone(), args.legacy_args.clone()),
        (None, true) => match Settings::read(data, &[])?.topology(data) {
            Some(file) => From::File(file),
            None => From::BuiltIn,
        },
    };
    let loaded = load::load(&from)?;
    let mut screen = Screen::stdout();
    let plan = (!loaded.report.has_errors()).then(|| Plan::of(&loaded.topology)).flatten();
    match &plan {
        _ if args.json => screen.line(as_json(&loaded, plan.as_ref())),
        Some(_) if args.dot => screen.line(loaded.topology.dot().trim_end()),
        Some(plan) => show(plan, &loaded.topology, &mut screen),
        None => {}
    }
    if !args.json {
        crate::report::show(&loaded.report);
    }
    let shown = screen.finish()?;
    Ok(if plan.is_some() { shown } else { ExitCode::FAILURE })
}

fn as_json(loaded: &Loaded, plan: Option<&Plan>) -> String {
    json!({
        "agents": loaded.topology.agents.len(),
        "waves": plan.map(|plan| plan.waves.as_slice()).unwrap_or_default(),
        "critical_path": plan.map(|plan| plan.critical_path.as_slice()).unwrap_or_default(),
        "diagnostics": loaded.report,
    })
    .to_string()
}

fn show(plan: &Plan, topology: &Topology, screen: &mut Screen) {
    let mut rows = Vec::with_capacity(plan.agents);
    for (number, wave) in plan.waves.iter().enumerate() {
        for (place, address) in wave.iter().enumerate() {
            let Some(agent) = topology.agent(address) else { continue };
            let waits_for: Vec<&str> = agent.before().map(|link| link.to.as_str()).collect();
            rows.push(vec![
                if place == 0 { (number + 1).to_string() } else { String::new() },
                address.to_string(),
                agent.kind.clone(),
                topology.node_of(agent).map(ToString::to_string).unwrap_or_default(),
                waits_for.join(", "),
            ]);
        }
    }
    screen.table(&["wave", "agent", "kind", "node", "waits for"], rows);
    show_sum(plan, screen);
}

/// Shows the waves of a plan alone.
pub fn show_waves(plan: &Plan, screen: &mut Screen) {
    let row = |(number, wave): (usize, &Vec<Address>)| {
        let names: Vec<&str> = wave.iter().map(Address::as_str).collect();
        vec![(number + 1).to_string(), names.join(", ")]
    };
    let rows = plan.waves.iter().enumerate().map(row).collect();
    screen.table(&["wave", "agents"], rows);
    show_sum(plan, screen);
}

fn show_sum(plan: &Plan, screen: &mut Screen) {
    let agents = many(plan.agents, "agent", "agents");
    let waves = many(plan.waves.len(), "wave", "waves");
    screen.line("");
    screen.line(format!("{agents} in {waves}"));
    let path: Vec<&str> = plan.critical_path.iter().map(Address::as_str).collect();
    screen.line(format!("critical path: {}", path.join(" -> ")));
}
