//! `genii expel`: takes back what a machine was given.

use std::process::ExitCode;
use std::time::SystemTime;

use clap::Args;
use genii_protocols::NodeName;
use serde_json::json;

use super::{authority, fault, tell};
use crate::commands::examples;
use crate::data::Data;
use crate::fault::Fault;

#[derive(Debug, Args)]
#[command(after_help = examples(&["genii expel pc2"]))]
pub struct ExpelArgs {
    /// The machine that does not belong any more
    #[arg(value_name = "NAME")]
    node: NodeName,
    /// Print an object with `expelled`, `joined` and `invitations`
    #[arg(long)]
    json: bool,
}

/// Refuses a machine from now on, or takes its invitation back. It may be invited again.
pub fn run(args: &ExpelArgs, data: &Data) -> Result<ExitCode, Fault> {
    let authority = authority(data)?;
    let own = genii_runtime::trust::Identity::open(&data.trust()).map_err(fault)?;
    if own.is_some_and(|own| *own.node() == args.node) {
        return Err(Fault::new(format!(
            "{} is this machine itself, where the household was made",
            args.node
        ))
        .help("expel the others, and make a new household elsewhere"));
    }
    let expulsion = authority.expel(&args.node, SystemTime::now()).map_err(fault)?;
    let (joined, invitations) = (expulsion.list.is_some(), expulsion.invitations);
    let value = json!({ "expelled": args.node, "joined": joined, "invitations": invitations });
    tell(args.json, &value, || {
        let node = &args.node;
        match (joined, invitations) {
            (true, 0) => format!("{node} is refused from now on"),
            (true, _) => {
                format!("{node} is refused from now on, and its invitation counts no more")
            }
            (false, _) => format!("{node} has not joined; its invitation counts no more"),
        }
    })
}
