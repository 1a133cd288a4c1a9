//! `genii join`: makes this machine a node of another's household.

use std::process::ExitCode;
use std::time::SystemTime;

use clap::Args;
use genii_runtime::link::join::{JoinError, join};
use genii_runtime::trust::{Invitation, InvitationFault};
use serde_json::json;

use super::{fault, tell};
use crate::commands::examples;
use crate::data::Data;
use crate::fault::Fault;

#[derive(Debug, Args)]
#[command(after_help = examples(&["genii join genii-join-1-..."]))]
pub struct JoinArgs {
    /// The line that `genii invite` printed
    #[arg(value_name = "LINE")]
    line: String,
    /// Print an object with `household` and `node`
    #[arg(long)]
    json: bool,
}

/// Asks who invited for a certificate, and keeps it.
pub async fn run(args: &JoinArgs, data: &Data) -> Result<ExitCode, Fault> {
    let invitation: Invitation = args.line.parse().map_err(|fault: InvitationFault| {
        Fault::usage(fault.to_string())
            .help("`genii invite NAME` prints one, on the machine where the household was made")
    })?;
    data.prepare()?;
    let _alone = data.lock()?;
    let identity =
        join(&invitation, &data.trust()).await.map_err(|error| refused(error, &invitation))?;
    let (household, node) = (identity.household().to_string(), identity.node());
    tell(args.json, &json!({ "household": household, "node": node }), || {
        format!("this machine is {node} in the household {household}\nnext: `genii up`")
    })
}

fn refused(error: JoinError, invitation: &Invitation) -> Fault {
    let help = match &error {
        JoinError::Present(_) => "name another data folder with --data DIR to join from there",
        JoinError::Unreachable(_) if invitation.has_expired(SystemTime::now()) => {
            "by the clock here this line has expired, too; ask for another with `genii invite NAME`"
        }
        JoinError::Unreachable(_) => {
            "see that genii is up there and listens, and that nothing between blocks the port"
        }
        JoinError::Stranger(_) => {
            "somebody else answers at that place; ask for a line with another place"
        }
        JoinError::Untimely(_) => {
            "set the clocks here and there, which may differ by a day; `genii up` there renews what ran out"
        }
        JoinError::Refused(_) => "",
        JoinError::Trust(_) => {
            return match error {
                JoinError::Trust(error) => fault(error),
                other => Fault::new(other.to_string()),
            };
        }
    };
    Fault::new(error.to_string()).help(help)
}
