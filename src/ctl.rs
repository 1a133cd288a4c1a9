//! `genii ctl`: an admin command from the shell, or a script of them.

use std::io::{IsTerminal, Read};
use std::process::ExitCode;

use clap::{ArgMatches, Args};

use crate::admin::client::Client;
use crate::chat::{self, ChatArgs};
use crate::commands::{self, Call, being, examples};
use crate::data::Data;
use crate::doubt;
use crate::fault::Fault;
use crate::reader::Reader;
use crate::screen::Screen;

/// How long a script may be, in bytes.
const SCRIPT_MAX_LEN: u64 = 1024 * 1024;

#[derive(Debug, Args)]
#[command(after_help = examples(&[
    "genii ctl tree",
    "genii ctl ps --json | jq '.[] | select(.state != \"ready\")'",
    "genii ctl why core/system-digital-twin",
    "genii ctl tree --node pc2        on another machine of the household",
    "genii ctl < script               one command in a line; # begins a remark",
]))]
pub struct CtlArgs {
    /// Print each thing that is said as JSON, on a line of its own; what goes wrong, on standard error
    #[arg(long, global = true)]
    json: bool,
    /// Go on with a script after a command that was refused
    #[arg(long)]
    keep_going: bool,
}

impl CtlArgs {
    /// Whether JSON is printed, also of what goes wrong.
    pub fn is_json(&self) -> bool {
        self.json
    }
}

/// Runs one command, or a script.
pub async fn run(args: &CtlArgs, matches: &ArgMatches, data: &Data) -> Result<ExitCode, Fault> {
    if let Some(call) = Call::matched(matches)? {
        let mut client = Client::connect(data).await?;
        return carry_out(&mut client, &call, args.json, &Reader::at_shell(data)).await;
    }
    if std::io::stdin().is_terminal() {
        let mut command_line = crate::cli::command_line();
        let help = command_line.find_subcommand_mut("ctl").map(clap::Command::render_help);
        crate::screen::complain(help.map(|help| help.to_string()).unwrap_or_default());
        return Ok(ExitCode::from(2));
    }
    script(args, data).await
}

async fn script(args: &CtlArgs, data: &Data) -> Result<ExitCode, Fault> {
    let mut text = String::new();
    let read = std::io::stdin().take(SCRIPT_MAX_LEN).read_to_string(&mut text);
    let len = read.map_err(|error| Fault::usage(format!("the script cannot be read: {error}")))?;
    if len as u64 == SCRIPT_MAX_LEN {
        return Err(Fault::usage("the script is longer than 1 MiB"));
    }
    // All of it is read before any of it is done, so that a slip in its end changes nothing.
    let mut calls = Vec::new();
    let mut code = ExitCode::SUCCESS;
    for (number, line) in text.lines().enumerate() {
        let number = number + 1;
        match parse(line) {
            Ok(Line::Nothing) => {}
            Ok(Line::Help(text)) => crate::screen::say(text),
            Ok(Line::Call(call)) => calls.push((number, call)),
            Ok(Line::Chat(_)) => {
                let message = format!("line {number}: a chat is nothing for a script of commands");
                return Err(Fault::usage(message)
                    .help("`genii being chat BEING < FILE` says what is in a file, line by line"));
            }
            Err(fault) => {
                let message = format!("line {number}: {}", fault.message);
                return Err(Fault { message, ..fault });
            }
        }
    }
    if calls.is_empty() {
        return Ok(code);
    }
    let mut client = Client::connect(data).await?;
    let reader = Reader::at_shell(data);
    for (number, call) in calls {
        match carry_out(&mut client, &call, args.json, &reader).await {
            Ok(_) => {}
            Err(fault) if args.keep_going => {
                code = fault.code();
                let message = format!("line {number}: {}", fault.message);
                Fault { message, ..fault }.told_to(&reader).tell(args.json);
            }
            Err(fault) => {
                let message = format!("line {number}: {}", fault.message);
                return Err(Fault { message, ..fault });
            }
        }
    }
    Ok(code)
}

/// What a line says.
pub enum Line {
    /// Nothing.
    Nothing,
    /// Somebody asks for help: this.
    Help(String),
    /// A command.
    Call(Call),
    /// A chat with a being.
    Chat(ChatArgs),
}

/// Reads a line of a script or of the REPL.
///
/// # Errors
/// When it is no command.
pub fn parse(line: &str) -> Result<Line, Fault> {
    let words = words(line)?;
    if words.is_empty() {
        return Ok(Line::Nothing);
    }
    let matches = match command_line().try_get_matches_from(&words) {
        Ok(matches) => matches,
        Err(error) => {
            let text = error.render().to_string();
            let text = text.trim().strip_prefix("error: ").unwrap_or(text.trim());
            if !error.use_stderr() {
                return Ok(Line::Help(text.to_owned()));
            }
            if error.kind() == clap::error::ErrorKind::InvalidSubcommand {
                return Err(unknown(&words));
            }
            let fault = Fault::usage(text);
            return Err(match line.contains('{') && !line.contains('\'') {
                true => fault.help("quote JSON as '{\"key\": \"value\"}'"),
                false => fault,
            });
        }
    };
    if let Some(chat) = chat::matched(&matches)? {
        return Ok(Line::Chat(chat));
    }
    Ok(Call::matched(&matches)?.map_or(Line::Nothing, Line::Call))
}

/// No command is called so, or none beneath the first word.
fn unknown(words: &[String]) -> Fault {
    let line = command_line();
    let (above, begin, word) = match words {
        [first, word, ..] if line.find_subcommand(first).is_some() => {
            (line.find_subcommand(first).unwrap_or(&line), format!("{first} "), word)
        }
        [word, ..] => (&line, String::new(), word),
        [] => return Fault::usage("no command was given"),
    };
    let known = above.get_subcommands().map(clap::Command::get_name);
    let nearest = || Some(format!("{begin}{}", genii_runtime::nearest(word, known)?));
    let help = match being::meant(above, word).or_else(nearest) {
        Some(meant) => format!("did you mean {meant}?"),
        None => format!("`{}` lists the commands", format!("help {begin}").trim_end()),
    };
    Fault::usage(format!("there is no command \"{begin}{word}\"")).help(help)
}

/// The words of a line, as a shell has them. Nothing is expanded.
///
/// # Errors
/// When a quote does not end.
pub fn words(line: &str) -> Result<Vec<String>, Fault> {
    shlex::split(line).ok_or_else(|| {
        Fault::usage("a quote does not end").help("quote JSON as '{\"key\": \"value\"}'")
    })
}

/// The admin commands as a command line of their own.
pub fn command_line() -> clap::Command {
    clap::Command::new("genii")
        .multicall(true)
        .subcommand_required(true)
        .subcommand_help_heading("Commands")
        .subcommand_value_name("COMMAND")
        .help_template("{all-args}")
        .subcommands(commands::claps(""))
        .mut_subcommand(being::NAME, |beings| beings.subcommand(chat::clap("being ")))
}

/// Runs a command and shows this reader what it says. Where it cannot be undone, a person is asked first.
///
/// # Errors
/// When it is refused, by the person or by genii, or genii has gone.
pub async fn carry_out(
    client: &mut Client,
    call: &Call,
    json: bool,
    reader: &Reader,
) -> Result<ExitCode, Fault> {
    if let Some(doubt) = call.entry.doubt(&call.arguments) {
        doubt::settle(client, call, doubt, reader).await?;
    }
    let mut screen = Screen::stdout().for_reader(reader);
    let (name, node) = (call.entry.name, call.node.as_ref());
    let (mut next, mut replies) = client.run_patiently(node, name, &call.arguments, !json).await?;
    while let Some(said) = next {
        if json {
            screen.json_line(&said);
        } else {
            call.show(said, &mut screen)?;
        }
        if !screen.flush()? {
            break;
        }
        next = match replies.next().await {
            Ok(next) => next,
            Err(fault) => {
                screen.end_line()?;
                return Err(fault);
            }
        };
    }
    call.entry.done(&call.arguments, client.data());
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_as_a_shell_reads_it() {
        let line = parse("ask a/b x.y '{\"k\": \"a b\"}' --timeout 2s # why not").unwrap();
        let Line::Call(call) = line else { panic!("it is a command") };
        assert_eq!(call.entry.name, "ask");
        let expected = serde_json::json!({
            "to": "a/b", "message": "x.y", "content": { "k": "a b" }, "timeout": "2s",
        });
        assert_eq!(call.arguments, expected);
        assert!(matches!(parse("").unwrap(), Line::Nothing));
        assert!(matches!(parse("   # nothing").unwrap(), Line::Nothing));
    }

    #[test]
    fn what_is_no_command_is_said_so() {
        let said = |line: &str| parse(line).map(drop).unwrap_err();
        assert!(said("tre").help.contains("tree"), "{}", said("tre"));
        assert!(said("why NOT/good").message.contains("NOT/good"));
        assert!(said("ask a/b x.y '{'").message.contains("it is no JSON"));
        assert!(said("ask 'a").message.contains("a quote does not end"));
        assert!(matches!(parse("help").unwrap(), Line::Help(_)));
    }
}
