//! `genii household`: who belongs.

use std::process::ExitCode;

use genii_protocols::Timestamp;
use genii_runtime::trust::{Authority, Identity};
use serde_json::json;

use super::fault;
use crate::cli::JsonArg;
use crate::data::Data;
use crate::fault::Fault;
use crate::screen::Screen;

/// Shows who this machine is, and where the household was made, who else belongs.
pub fn run(args: &JsonArg, data: &Data) -> Result<ExitCode, Fault> {
    let trust = data.trust();
    let identity = Identity::open(&trust).map_err(fault)?.ok_or_else(|| {
        Fault::new("there is no household here yet")
            .help("make one with `genii init`, or join one with `genii join LINE`")
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
        screen.line(format!("certificate  until {expires}"));
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
