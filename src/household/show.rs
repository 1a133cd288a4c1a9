//! `genii household`: who belongs.

use std::process::ExitCode;
use std::time::SystemTime;

use clap::{Args, Subcommand};
use genii_protocols::{NodeName, Timestamp};
use genii_runtime::trust::{Authority, Identity, expulsion};
use serde_json::{Value, json};

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

/// Who this machine is, and where the household was made, who else belongs or is invited.
struct Shown {
    identity: Identity,
    expelled: Option<Expelled>,
    ledger: Option<Ledger>,
    /// How genii is called about it.
    genii: String,
}

/// That this machine was expelled.
struct Expelled {
    /// Who says so, where it is not the list that is here.
    by: Option<NodeName>,
    /// Since when that is known here.
    at: Option<Timestamp>,
}

/// What is known where the household was made.
struct Ledger {
    nodes: Vec<(NodeName, bool)>,
    invitations: Vec<(NodeName, Timestamp)>,
}

impl Shown {
    fn read(data: &Data) -> Result<Self, Fault> {
        let trust = data.trust();
        let identity = Identity::open(&trust).map_err(fault)?.ok_or_else(|| {
            Fault::new("there is no household here yet")
                .help("make one with `genii init`, or join one with `genii join`")
        })?;
        let authority = Authority::open(&trust).map_err(fault)?;
        let ledger = authority.as_ref().map(Ledger::of).transpose()?;
        let expelled = Expelled::of(&identity);
        Ok(Self { identity, expelled, ledger, genii: data.genii() })
    }

    fn json(&self) -> Value {
        let node = |(node, expelled): &(_, bool)| json!({ "node": node, "expelled": expelled });
        let invited = |(node, until): &_| json!({ "node": node, "expires": until });
        let ledger = self.ledger.as_ref();
        json!({
            "household": self.identity.household().to_string(),
            "node": self.identity.node(),
            "expires": self.identity.expires().map(Timestamp::from),
            "expelled": self.expelled.is_some(),
            "nodes": ledger.map(|it| it.nodes.iter().map(node).collect::<Vec<_>>()),
            "invitations": ledger.map(|it| it.invitations.iter().map(invited).collect::<Vec<_>>()),
        })
    }

    fn show(&self, screen: &mut Screen) {
        let Self { identity, expelled, ledger, genii } = self;
        screen.line(format!("household    {}", identity.household()));
        screen.line(format!("this machine {}", identity.node()));
        if let Some(expires) = identity.expires() {
            let over = match expires < SystemTime::now() {
                true => ", and counts no more: let it be invited again",
                false => "",
            };
            screen.line(format!("certificate  until {}{over}", Timestamp::from(expires)));
        }
        if let Some(expelled) = expelled {
            expelled.show(genii, screen);
        }
        match ledger {
            Some(ledger) => ledger.show(screen),
            None => screen
                .line(screen.faint("it was made on another machine, which knows who else belongs")),
        }
    }
}

impl Expelled {
    fn of(identity: &Identity) -> Option<Self> {
        if identity.expelled().contains(identity.certificate()) {
            return Some(Self { by: None, at: None });
        }
        let told = expulsion::told(identity)?;
        let at = Some(Timestamp::from(told.at()));
        Some(Self { by: Some(told.by), at })
    }

    fn show(&self, genii: &str, screen: &mut Screen) {
        let said = match self {
            Self { by: Some(by), at: Some(at) } => format!("; {by} has said so first at {at}"),
            _ => String::new(),
        };
        screen.line(screen.red(&format!("expelled     this machine was expelled{said}")));
        screen.line(format!(
            "             to let it in again: invite it anew where the household was made; here, stop \
             genii,\n             remove the folder `trust` of its data, and `{genii} join`"
        ));
    }
}

impl Ledger {
    fn of(authority: &Authority) -> Result<Self, Fault> {
        let nodes = authority.nodes().map_err(fault)?;
        let open = authority.invitations(SystemTime::now()).map_err(fault)?;
        let invitations =
            open.into_iter().map(|(node, until)| (node, Timestamp::from(until))).collect();
        Ok(Self { nodes, invitations })
    }

    fn show(&self, screen: &mut Screen) {
        for (node, expelled) in &self.nodes {
            let expelled = if *expelled { ", expelled" } else { "" };
            screen.line(format!("node         {node}{expelled}"));
        }
        for (node, until) in &self.invitations {
            screen.line(format!("invited      {node} until {until}"));
        }
    }
}

/// Shows who this machine is, and where the household was made, who else belongs.
fn show(args: &JsonArg, data: &Data) -> Result<ExitCode, Fault> {
    let shown = Shown::read(data)?;
    let mut screen = Screen::stdout();
    match args.json {
        true => screen.line(shown.json().to_string()),
        false => shown.show(&mut screen),
    }
    screen.finish()
}
