//! `genii init`: makes a household.

use std::process::ExitCode;
use std::time::SystemTime;

use clap::Args;
use genii_protocols::NodeName;
use genii_runtime::trust::{Authority, Identity, TrustError};
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

/// Makes a household, of which this machine is the first. One that `genii up` made by itself, and to
/// which nobody else belongs, becomes it.
pub fn run(args: &InitArgs, data: &Data) -> Result<ExitCode, Fault> {
    let flags = args.node.iter().map(|node| ("node", node.to_string())).collect::<Vec<_>>();
    let node = Settings::read(data, &flags)?.node();
    data.prepare()?;
    let now = SystemTime::now();
    let authority = match Authority::found(&data.trust(), &node, now) {
        Ok((authority, _)) => authority,
        Err(there @ TrustError::Present { .. }) => take_over(data, &node, &there)?,
        Err(error) => return Err(fault(error)),
    };
    authority.is_wanted().map_err(fault)?;
    let (household, genii) = (authority.household().to_string(), data.genii());
    tell(args.json, &json!({ "household": household, "node": node }), || {
        format!(
            "the household {household} is made, and this machine is {node} in it\n\
             next: `{genii} up` starts it; `{genii} invite NAME` lets another machine in"
        )
    })
}

/// The household that is there already, if it came about by itself and nobody else belongs to it.
fn take_over(data: &Data, node: &NodeName, there: &TrustError) -> Result<Authority, Fault> {
    let is_taken = || {
        Fault::new(there.to_string())
            .help("for another household, name another data folder with --data DIR")
    };
    let authority = Authority::open(&data.trust()).map_err(fault)?.ok_or_else(is_taken)?;
    if !authority.is_alone().map_err(fault)? {
        return Err(is_taken());
    }
    let own = Identity::open(&data.trust()).map_err(fault)?;
    if own.is_none_or(|own| own.node() != node) {
        // Not while a genii runs that is called otherwise.
        let _alone = data.lock()?;
        authority.rename(node, SystemTime::now()).map_err(fault)?;
    }
    Ok(authority)
}
