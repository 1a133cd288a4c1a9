//! `genii token revoke`: takes a token back.

use std::process::ExitCode;
use std::time::SystemTime;

use clap::Args;
use serde_json::json;

use super::{fault, tokens};
use crate::commands::examples;
use crate::data::Data;
use crate::fault::Fault;
use crate::screen::Screen;

#[derive(Debug, Args)]
#[command(after_help = examples(&["genii token revoke 3fa9c1d2"]))]
pub struct RevokeArgs {
    /// Which, by the name that `genii token list` shows
    #[arg(value_name = "ID")]
    id: String,
    /// Print an object with `revoked`
    #[arg(long)]
    json: bool,
}

/// Takes a token back.
pub fn run(args: &RevokeArgs, data: &Data) -> Result<ExitCode, Fault> {
    let token = tokens(data)?.revoke(&args.id, SystemTime::now()).map_err(fault)?;
    let mut screen = Screen::stdout();
    match args.json {
        true => screen.line(json!({ "revoked": token.id }).to_string()),
        false => screen.line(format!("{} counts no more", token.id)),
    }
    screen.finish()
}
