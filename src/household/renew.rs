//! `genii household renew`: another certificate and another key, now.

use std::process::ExitCode;

use genii_protocols::Timestamp;
use genii_runtime::link::renewal::{RenewError, renew};
use serde_json::json;

use super::{fault, tell};
use crate::cli::JsonArg;
use crate::data::Data;
use crate::fault::Fault;

/// Has another certificate signed for another key.
pub async fn run(args: &JsonArg, data: &Data) -> Result<ExitCode, Fault> {
    let identity = renew(&data.trust()).await.map_err(refused)?;
    let expires = identity.expires().map(Timestamp::from);
    tell(args.json, &json!({ "node": identity.node(), "expires": expires }), || {
        let until = expires.map(|at| format!(", until {at}")).unwrap_or_default();
        format!("{} has another certificate and another key{until}", identity.node())
    })
}

fn refused(error: RenewError) -> Fault {
    let help = match error {
        RenewError::Trust(error) => return fault(error),
        RenewError::Nobody(_) => "make one with `genii init`, or join one with `genii join`",
        RenewError::NobodySigns => "run `genii up` here once while the other machines are up",
        RenewError::Unreachable(_) => {
            "see that genii is up where the household was made, and that it listens"
        }
        RenewError::Refused { .. } => "its log says more",
    };
    Fault::new(error.to_string()).help(help)
}
