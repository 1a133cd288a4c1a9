//! `genii join`: makes this machine a node of another's household.

use std::io::{BufRead, IsTerminal, Read};
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
use crate::screen::complain;

/// How much of a line is read, in bytes: more than any has.
const READ_MAX_LEN: u64 = 8 << 10;

#[derive(Debug, Args)]
#[command(after_help = examples(&["genii join", "ssh mainpc genii invite pc2 | genii join -"]))]
pub struct JoinArgs {
    /// The line that `genii invite` printed, or `-` to read it from standard input
    ///
    /// It holds a secret. As an argument it is seen by everybody who may list the processes of this
    /// machine, and stays in the history of the shell. At a terminal, leave it out: it is asked for.
    #[arg(value_name = "LINE")]
    line: Option<String>,
    /// Print an object with `household` and `node`
    #[arg(long)]
    json: bool,
}

/// Asks who invited for a certificate, and keeps it.
pub async fn run(args: &JoinArgs, data: &Data) -> Result<ExitCode, Fault> {
    let invitation: Invitation = line(args)?.parse().map_err(|fault: InvitationFault| {
        Fault::usage(fault.to_string())
            .help("`genii invite NAME` prints one, on the machine where the household was made")
    })?;
    let missing = data.missing();
    data.prepare()?;
    let _alone = data.lock()?;
    let joined = join(&invitation, &data.trust()).await;
    if joined.is_err() {
        missing.clear();
    }
    let identity = joined.map_err(|error| refused(error, &invitation))?;
    let (household, node) = (identity.household().to_string(), identity.node());
    tell(args.json, &json!({ "household": household, "node": node }), || {
        format!("this machine is {node} in the household {household}\nnext: `{} up`", data.genii())
    })
}

/// The line: as it was given, or as it is typed or piped in.
fn line(args: &JoinArgs) -> Result<String, Fault> {
    match args.line.as_deref() {
        Some("-") => read_line(),
        Some(line) => Ok(line.to_owned()),
        None if std::io::stdin().is_terminal() => {
            complain("paste the line that `genii invite` printed:");
            read_line()
        }
        None => Err(Fault::usage("there is no line to join by")
            .help("pipe the line that `genii invite NAME` printed into `genii join -`")),
    }
}

fn read_line() -> Result<String, Fault> {
    let mut line = String::new();
    let read = std::io::stdin().lock().take(READ_MAX_LEN).read_line(&mut line);
    read.map_err(|error| Fault::new(format!("the line cannot be read: {error}")))?;
    Ok(line)
}

fn refused(error: JoinError, invitation: &Invitation) -> Fault {
    let help = match &error {
        JoinError::Present(_) => {
            "if it was expelled, or is to belong to another one: stop genii here, remove the folder \
             `trust` of its data, and join again; or name another data folder with --data DIR"
        }
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
