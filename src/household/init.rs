//! `genii init`: makes a household.

use std::process::ExitCode;
use std::time::SystemTime;

use clap::Args;
use genii_protocols::NodeName;
use genii_runtime::trust::{Authority, TrustError};
use serde_json::json;

use super::{fault, tell};
use crate::commands::examples;
use crate::data::Data;
use crate::fault::Fault;
use crate::settings::Settings;

#[derive(Debug, Args)]
#[command(after_help = examples(&[
    "genii init",
    "genii init --node mainpc",
    "genii init --data ~/other-house",
]))]
pub struct InitArgs {
    /// The name of this machine in the household [default: the setting `node`]
    #[arg(long, value_name = "NAME")]
    node: Option<NodeName>,
    /// Print an object with `household` and `node`
    #[arg(long)]
    json: bool,
}

/// Makes a household, of which this machine is the first.
pub fn run(args: &InitArgs, data: &Data) -> Result<ExitCode, Fault> {
    let flags = args.node.iter().map(|node| ("node", node.to_string())).collect::<Vec<_>>();
    let node = Settings::read(data, &flags)?.node();
    data.prepare()?;
    let (authority, _) =
        Authority::found(&data.trust(), &node, SystemTime::now()).map_err(|error| match error {
            TrustError::Present { .. } => Fault::new(error.to_string()).help(
                "as long as it is alone, `genii up --node NAME` gives this machine another name; for \
                 another household, name another data folder with --data DIR",
            ),
            error => fault(error),
        })?;
    authority.is_wanted().map_err(fault)?;
    let (household, genii) = (authority.household().to_string(), data.genii());
    tell(args.json, &json!({ "household": household, "node": node }), || {
        format!(
            "the household {household} is made, and this machine is {node} in it\n\
             next: `{genii} up` starts it; `{genii} invite NAME` lets another machine in"
        )
    })
}
