//! `genii invite`: lets another machine in.

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::Args;
use genii_protocols::{NodeName, TimeSpan, Timestamp};
use genii_runtime::trust::Invitation;
use serde_json::json;

use super::{authority, fault, tell};
use crate::commands::examples;
use crate::data::Data;
use crate::fault::Fault;
use crate::screen::complain;
use crate::settings::Settings;

#[derive(Debug, Args)]
#[command(after_help = examples(&[
    "genii invite pc2",
    "genii invite pc2 --for 15m --at 192.168.1.10:7420",
]))]
pub struct InviteArgs {
    /// The name that the other machine will have
    #[arg(value_name = "NAME")]
    node: NodeName,
    /// How long it may wait; a week at most. It takes the place of an earlier one of that name
    #[arg(long = "for", value_name = "TIME", default_value = "1h")]
    span: TimeSpan,
    /// Where this machine is reached, as HOST:PORT [default: where it listens]
    #[arg(long, value_name = "HOST:PORT")]
    at: Vec<String>,
    /// Print an object with `line`, `node`, `household`, `at` and `expires`
    #[arg(long)]
    json: bool,
}

/// How long an invitation may wait.
const SPAN_MAX: Duration = Duration::from_secs(7 * 86_400);

/// Prints a line that lets one machine in, once.
pub fn run(args: &InviteArgs, data: &Data) -> Result<ExitCode, Fault> {
    let settings = Settings::read(data, &[])?;
    let authority = authority(data)?;
    let at = match args.at.is_empty() {
        true => vec![reached_at(&settings)?],
        false => args.at.clone(),
    };
    if let Some(bad) = at.iter().find(|at| !is_place(at)) {
        return Err(
            Fault::usage(format!("{bad:?} is not HOST:PORT")).help("as in --at 192.168.1.10:7420")
        );
    }
    let own = genii_runtime::trust::Identity::open(&data.trust()).map_err(fault)?;
    let by = own.map(|own| own.node().clone()).ok_or_else(|| {
        Fault::new("this machine has no certificate").help("`genii up` makes one")
    })?;
    if by == args.node {
        return Err(Fault::new(format!("{by} is this machine itself"))
            .help("give the other machine another name"));
    }
    let now = SystemTime::now();
    let span = args.span.0;
    if span > SPAN_MAX {
        return Err(Fault::usage("an invitation waits a week at most").help("as in --for 7d"));
    }
    let known = authority.nodes().map_err(fault)?;
    if known.contains(&(args.node.clone(), false)) {
        complain(format_args!(
            "{0} belongs to the household already: the line is for that machine, if it has lost its data \
             folder; two machines of one name keep each other out",
            args.node
        ));
    }
    let secret = authority.invite(&args.node, span, now).map_err(fault)?;
    let until = now + span;
    let expires = until.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let household = authority.household();
    let invitation = Invitation { node: args.node.clone(), by, household, at, expires, secret };
    let line = invitation.line().map_err(|fault| Fault::usage(fault.to_string()))?;
    let until = Timestamp::from(until);
    if !args.json {
        let node = &args.node;
        complain(format_args!(
            "valid once, until {until}; on {node}, run: genii join, and paste this line there"
        ));
    }
    let value = json!({
        "line": line,
        "node": args.node,
        "household": household.to_string(),
        "at": invitation.at,
        "expires": until,
    });
    tell(args.json, &value, || line.clone())
}

/// Whether a text names a host and a port.
fn is_place(text: &str) -> bool {
    let parts = text.rsplit_once(':');
    parts.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|it| it > 0))
}

/// Where others reach this machine, by its settings.
fn reached_at(settings: &Settings) -> Result<String, Fault> {
    match settings.listen() {
        Some(at) => Ok(super::place(at)),
        None => Err(Fault::new("this machine does not listen to others").help(
            "set `listen = \"0.0.0.0:7420\"` in genii.toml and start genii anew, or say where it is \
             reached with --at HOST:PORT",
        )),
    }
}
