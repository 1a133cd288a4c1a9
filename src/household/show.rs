//! `genii household`: who belongs.

use std::process::ExitCode;
use std::time::SystemTime;

use clap::{Args, Subcommand};
use genii_protocols::Timestamp;
use genii_runtime::trust::{Authority, Identity};
use serde_json::json;

use super::fault;
use crate::cli::JsonArg;
use crate::commands::examples;
use crate::data::Data;
use crate::fault::Fault;
use crate::screen::Screen;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, after_help = examples(&[
    "genii household",
    "genii household renew",
]))]
pub struct HouseholdArgs {
    #[command(subcommand)]
    command: Option<HouseholdCommand>,
    #[command(flatten)]
    json: JsonArg,
}

#[derive(Debug, Subcommand)]
enum HouseholdCommand {
    /// Give this machine another certificate and another key, now
    ///
    /// They are renewed by themselves while genii runs, 30 days before they run out. The machine
    /// where the household was made signs; genii must run there and be reached from here. A genii
    /// that runs here uses them from its next connection on.
    #[command(after_help = examples(&["genii household renew"]))]
    Renew(JsonArg),
}

/// Does what is asked of the household.
pub async fn run(args: &HouseholdArgs, data: &Data) -> Result<ExitCode, Fault> {
    match &args.command {
        None => show(&args.json, data),
        Some(HouseholdCommand::Renew(args)) => super::renew::run(args, data).await,
    }
}

/// Shows who this machine is, and where the household was made, who else belongs.
fn show(args: &JsonArg, data: &Data) -> Result<ExitCode, Fault> {
    let trust = data.trust();
    let identity = Identity::open(&trust).map_err(fault)?.ok_or_else(|| {
        Fault::new("there is no household here yet")
            .help("make one with `genii init`, or join one with `genii join`")
    })?;
    let authority = Authority::open(&trust).map_err(fault)?;
    let nodes = authority.as_ref().map(Authority::nodes).transpose().map_err(fault)?;
    let expires = identity.expires().map(Timestamp::from);
    let mut screen = Screen::stdout();
    if args.json {
        let node = |(node, expelled): &(_, bool)| json!({ "node": node, "expelled": expelled });
        let nodes = nodes.as_ref().map(|nodes| nodes.iter().map(node).collect::<Vec<_>>());
        let (household, node) = (identity.household().to_string(), identity.node());
        screen.line(
            json!({ "household": household, "node": node, "expires": expires, "nodes": nodes })
                .to_string(),
        );
        return screen.finish();
    }
    screen.line(format!("household    {}", identity.household()));
    screen.line(format!("this machine {}", identity.node()));
    if let Some(expires) = expires {
        let over = match identity.expires().is_some_and(|at| at < SystemTime::now()) {
            true => ", and counts no more: let it be invited again",
            false => "",
        };
        screen.line(format!("certificate  until {expires}{over}"));
    }
    match nodes {
        None => screen
            .line(screen.faint("it was made on another machine, which knows who else belongs")),
        Some(nodes) => {
            for (node, expelled) in nodes {
                let expelled = if expelled { ", expelled" } else { "" };
                screen.line(format!("node         {node}{expelled}"));
            }
        }
    }
    screen.finish()
}
