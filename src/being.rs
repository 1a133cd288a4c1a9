//! `genii being`: the commands about beings, and the chat with one, straight from the shell.

use std::process::ExitCode;

use clap::{ArgMatches, Args};
use tokio::runtime::Runtime;

use crate::admin::client::Client;
use crate::chat;
use crate::commands::{self, Call, examples};
use crate::ctl;
use crate::data::Data;
use crate::fault::Fault;
use crate::reader::Reader;

#[derive(Debug, Args)]
pub struct BeingArgs {
    /// Print each thing that is said as JSON, on a line of its own; what goes wrong, on standard error
    #[arg(long, global = true)]
    json: bool,
}

impl BeingArgs {
    /// Whether JSON is printed, also of what goes wrong.
    pub fn is_json(&self) -> bool {
        self.json
    }
}

/// The command with all that is about beings beneath it.
pub fn with_commands(command: clap::Command) -> clap::Command {
    let beings = commands::being::clap("genii ");
    command
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand_value_name("COMMAND")
        .subcommands(beings.get_subcommands().cloned())
        .subcommand(chat::clap("genii being "))
        .after_help(examples(&[
            "genii being create examples/characters/marit.toml --id marit",
            "genii being chat marit",
            "genii being list --json | jq -r '.[].id'",
            "genii being recall marit 'my sister'",
        ]))
}

/// Runs one of them.
pub fn run(
    runtime: &Runtime,
    args: &BeingArgs,
    matches: &ArgMatches,
    data: &Data,
) -> Result<ExitCode, Fault> {
    if let Some(chat) = chat::matched_alone(matches)? {
        return chat::run(runtime, data, &chat, args.json);
    }
    let call = Call::matched_about_beings(matches)?;
    let call = call.ok_or_else(|| Fault::usage("no command was given"))?;
    runtime.block_on(async {
        let mut client = Client::connect(data).await?;
        ctl::carry_out(&mut client, &call, args.json, &Reader::at_shell(data)).await
    })
}
