//! `being chat`: a conversation with a being.
//!
//! Where all of it is at a terminal it is read with an editor ([`terminal`]); otherwise line by line
//! ([`piped`]). What a line may say is the same ([`mod@line`]), and so is the way to the being
//! ([`conversation`]). What is typed while that answers waits ([`quiet`]).

mod conversation;
mod line;
mod piped;
mod quiet;
mod terminal;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{ArgMatches, Args, FromArgMatches};
use genii_protocols::Name;
use tokio::runtime::Runtime;

use self::conversation::Conversation;
use crate::commands::being::show::Known;
use crate::commands::being::{self, Being};
use crate::commands::examples;
use crate::data::Data;
use crate::fault::Fault;
use crate::reader::Reader;
use crate::screen::has_editor;

/// What the command is called beneath `being`.
const NAME: &str = "chat";

#[derive(Debug, Clone, Args)]
pub struct ChatArgs {
    #[command(flatten)]
    being: Being,
    /// Who you are, by name; the being remembers who said what
    #[arg(long = "as", value_name = "NAME")]
    speaker: Option<String>,
}

/// The command, which is called as `called` and its name.
pub fn clap(called: &str) -> clap::Command {
    let lines = [
        "chat marit                          Ctrl-D leaves; /help tells what else may be typed",
        "chat marit --as Ann",
    ];
    let mut lines = lines.map(|line| format!("{called}{line}")).to_vec();
    if called.starts_with("genii ") {
        lines.push(format!(
            "{called}chat marit < questions          one in a line; answers on standard output"
        ));
    }
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    ChatArgs::augment_args(clap::Command::new(NAME))
        .about("Talk with a being")
        .long_about(None)
        .display_order(0)
        .after_help(examples(&lines))
}

/// What was matched of it beneath `being` of a command line; `None` if it was another command.
///
/// # Errors
/// When its arguments are wrong.
pub fn matched(matches: &ArgMatches) -> Result<Option<ChatArgs>, Fault> {
    matches.subcommand_matches(being::NAME).map_or(Ok(None), matched_alone)
}

/// As [`matched`], of what is beneath `being` itself.
///
/// # Errors
/// As [`matched`].
pub fn matched_alone(matches: &ArgMatches) -> Result<Option<ChatArgs>, Fault> {
    let args = matches.subcommand_matches(NAME).map(ChatArgs::from_arg_matches);
    args.transpose().map_err(|error| Fault::usage(error.to_string()))
}

/// Talks until there is nothing more to say.
///
/// # Errors
/// When genii does not run or there is no such being, at the beginning; later that is said, and the
/// conversation goes on.
pub fn run(runtime: &Runtime, data: &Data, args: &ChatArgs, json: bool) -> Result<ExitCode, Fault> {
    let (talk, known) = begin(runtime, data, args, !json)?;
    let reader = Reader::at_shell(data);
    match is_at_terminal() && !json {
        true => terminal::run(talk, &known, reader),
        false => piped::run(talk, json, &reader),
    }
}

/// Talks with a being within something else that reads what is typed.
///
/// # Errors
/// When it is not at a terminal as a whole, the being is not there, or there is no way to it.
pub fn run_within(runtime: &Runtime, data: &Data, args: &ChatArgs) -> Result<ExitCode, Fault> {
    if !is_at_terminal() {
        return Err(Fault::usage("a chat here needs a terminal for what is said")
            .help("`genii being chat ID` can be read from a pipe"));
    }
    let (talk, known) = begin(runtime, data, args, true)?;
    terminal::run(talk, &known, Reader::Repl)
}

fn begin<'a>(
    runtime: &'a Runtime,
    data: &'a Data,
    args: &ChatArgs,
    is_for_person: bool,
) -> Result<(Conversation<'a>, Known), Fault> {
    let ChatArgs { being: Being { id }, speaker } = args;
    Conversation::begin(runtime, data, id, speaker.clone(), is_for_person)
}

fn is_at_terminal() -> bool {
    has_editor() && std::io::stdout().is_terminal()
}

/// Takes away what was typed to a being: it is to be forgotten there, too.
pub fn forget_typed(data: &Data, being: &Name) {
    let typed = data.typed_to(being);
    match std::fs::remove_file(&typed) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            let shown = typed.display();
            crate::screen::complain(format!(
                "warning: {shown} cannot be deleted, and holds what was typed to {being}: {error}"
            ));
        }
        _ => {}
    }
}
