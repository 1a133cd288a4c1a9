//! Access for clients: `genii token new`, `list` and `revoke`.

mod list;
mod make;
mod revoke;

use std::process::ExitCode;

use clap::Subcommand;
use genii_runtime::trust::Identity;
use genii_runtime::trust::tokens::{TokenError, Tokens};

use crate::cli::JsonArg;
use crate::commands::examples;
use crate::data::Data;
use crate::fault::Fault;

/// What may be done with tokens.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token, and print it: this once, and never again
    New(make::NewArgs),
    /// List the tokens, with how often each was used
    #[command(after_help = examples(&[
        "genii token list",
        "genii token list --json | jq -r '.[] | select(.uses == 0) | .id'",
    ]))]
    List(JsonArg),
    /// Take a token back: it counts no more, also where it is being used
    Revoke(revoke::RevokeArgs),
}

/// Does it.
pub fn run(command: &TokenCommand, data: &Data) -> Result<ExitCode, Fault> {
    match command {
        TokenCommand::New(args) => make::run(args, data),
        TokenCommand::List(args) => list::run(args, data),
        TokenCommand::Revoke(args) => revoke::run(args, data),
    }
}

fn tokens(data: &Data) -> Result<Tokens, Fault> {
    let is_there = Identity::open(&data.trust()).ok().flatten().is_some();
    if !is_there {
        let folder = data.trust();
        let folder = folder.parent().unwrap_or(&folder).display();
        return Err(Fault::new(format!("there is no household in {folder} yet"))
            .help("`genii up` makes one; or name the right data folder with --data DIR"));
    }
    Tokens::open(&data.trust()).map_err(|error| fault(error.into()))
}

fn fault(error: TokenError) -> Fault {
    let help = match &error {
        TokenError::Trust(_) => "see that the data folder can be read and written to",
        TokenError::TooMany => "revoke some with `genii token revoke ID`, and wait",
        TokenError::Scope => "as in --allow 'memory/*'; `genii token new --help` has examples",
        TokenError::Name => "choose a shorter one with --name",
        TokenError::Span => "as in --for 30d",
        TokenError::Unknown(_) => "`genii token list` shows those that there are",
    };
    let is_usage = matches!(error, TokenError::Scope | TokenError::Name | TokenError::Span);
    Fault { is_usage, ..Fault::new(error.to_string()) }.help(help)
}
