//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;
use genii_storage::index::threads;
use tokio::runtime::Runtime;

use crate::commands::{self, examples};
use crate::data::Data;
use crate::fault::Fault;
use crate::reader::Reader;
use crate::screen::{Screen, complain};
use crate::settings::Settings;
use crate::{being, ctl, household, import, plan, repl, token, up};

/// Runs a household of agents: starts them in the order of their needs, watches them, restarts
/// them, and says why.
#[derive(Debug, Parser)]
#[command(name = "genii", version, arg_required_else_help = true, after_help = examples(&[
    "genii up                            run the household that is built in",
    "genii up --topology house.toml      run yours",
    "genii repl                          look at it, in another terminal",
    "genii ctl why core                  ask one thing",
    "genii import startup_config.yaml    make a topology of a start-up file of before",
]))]
pub struct Cli {
    /// The household on disk [env: GENII_DATA] [default: a folder in your data directory]
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<PathBuf>,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the household: start every agent in the order of its needs, and serve until a signal
    Up(up::UpArgs),
    /// Show the order in which a topology starts, or everything that makes it impossible
    Plan(plan::PlanArgs),
    /// Make a topology of start-up files of before, or say everything that is wrong with them
    Import(import::ImportArgs),
    /// Print the topology that is built in
    #[command(after_help = examples(&[
        "genii topology",
        "genii topology > house.toml      to begin yours with",
    ]))]
    Topology,
    /// Print what is set for the household, and where each setting comes from
    #[command(after_help = examples(&[
        "genii settings",
        "genii settings --data ~/other-house",
        "genii settings --json | jq -r '.[] | select(.name == \"node\") | .value'",
    ]))]
    Settings(JsonArg),
    /// Make a household, of which this machine is the first
    Init(household::InitArgs),
    /// Let another machine into the household: print a line that is valid once
    Invite(household::InviteArgs),
    /// Make this machine part of a household, by the line that `invite` printed there
    Join(household::JoinArgs),
    /// Refuse a machine that belonged to the household, or take its invitation back
    ///
    /// What was signed for it counts no more, on any machine, and no invitation of it that is still
    /// open. One that was invited and has not joined is refused by that alone. It may be invited again.
    Expel(household::ExpelArgs),
    /// Show who this machine is, and who belongs to its household
    Household(household::HouseholdArgs),
    /// Say something to the running household, or all that a script on standard input says
    Ctl(ctl::CtlArgs),
    /// Make beings, talk with them, and see what they remember
    Being(being::BeingArgs),
    /// Talk with the running household
    #[command(after_help = examples(&[
        "genii repl                       Tab completes; `help` lists the commands; `exit` leaves",
        "genii repl --data ~/other-house",
    ]))]
    Repl,
    /// Give clients access: make tokens, list them, take them back
    #[command(subcommand, after_help = examples(&[
        "genii token new --allow 'memory/*' --name game",
        "genii token list",
        "genii token revoke 3fa9c1d2",
    ]))]
    Token(token::TokenCommand),
    /// Print a script that completes commands in a shell
    #[command(alias = "completion", after_help = examples(&[
        "genii completions bash > ~/.local/share/bash-completion/completions/genii",
        "genii completions zsh > ~/.zfunc/_genii",
    ]))]
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// Whether to print JSON.
#[derive(Debug, Args)]
pub struct JsonArg {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// The whole command line, with the admin commands beneath `ctl`.
pub fn command_line() -> clap::Command {
    Cli::command()
        .mut_subcommand("ctl", |ctl| {
            ctl.subcommands(commands::claps("genii ctl "))
                .subcommand_help_heading("Admin commands")
                .subcommand_value_name("COMMAND")
                .disable_help_subcommand(false)
        })
        .mut_subcommand(commands::being::NAME, being::with_commands)
}

/// Runs what the command line says.
pub fn run() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    let read = matched(&words).and_then(|matches| Ok((Cli::from_arg_matches(&matches)?, matches)));
    let (cli, matches) = match read {
        Ok(read) => read,
        Err(error) => return tell_usage(&error, wants_json(&words)),
    };
    let is_json = match &cli.command {
        Command::Ctl(args) => args.is_json(),
        Command::Being(args) => args.is_json(),
        _ => false,
    };
    match carry_out(cli, &matches) {
        Ok(code) => code,
        Err(fault) => {
            let code = fault.code();
            complain_at_last(fault, is_json);
            code
        }
    }
}

/// Reads a command line.
///
/// # Errors
/// When it is none, with what was meant where `being` was left out before a command about beings.
fn matched(words: &[OsString]) -> Result<clap::ArgMatches, clap::Error> {
    command_line().try_get_matches_from(words).map_err(|mut error| {
        if let Some(meant) = meant_about_beings(&error, words) {
            error.insert(ContextKind::SuggestedSubcommand, ContextValue::Strings(vec![meant]));
        }
        error
    })
}

/// The command about beings that was meant, if it was that.
fn meant_about_beings(error: &clap::Error, words: &[OsString]) -> Option<String> {
    let word = match error.get(ContextKind::InvalidSubcommand)? {
        ContextValue::String(word) if error.kind() == ErrorKind::InvalidSubcommand => word,
        _ => return None,
    };
    let line = command_line();
    let mut before =
        words.iter().skip(1).take_while(|before| before.to_str() != Some(word.as_str()));
    // Beneath `ctl` there is the same `being`, and beneath any other command it is another mistake.
    let is_beneath_other =
        before.any(|before| before != "ctl" && line.find_subcommand(before).is_some());
    if is_beneath_other { None } else { commands::being::meant(&line, word) }
}

/// Says what is wrong with a command line, or the help that was asked for; what the program ends with.
fn tell_usage(error: &clap::Error, is_json: bool) -> ExitCode {
    let is_help = matches!(
        error.kind(),
        ErrorKind::DisplayHelp
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
            | ErrorKind::DisplayVersion
    );
    match is_json && !is_help {
        true => complain_at_last(fault_of(error), true),
        false => {
            let _nobody_reads = error.print();
        }
    }
    ExitCode::from(if error.use_stderr() { 2 } else { 0 })
}

/// Whether JSON is asked for on a command line, also on one that is none.
fn wants_json(words: &[OsString]) -> bool {
    words.iter().skip(1).take_while(|word| *word != "--").any(|word| word == "--json")
}

/// What is wrong with a command line: first what is, and behind that how it would be right.
fn fault_of(error: &clap::Error) -> Fault {
    let text = error.render().to_string();
    let text = text.trim().strip_prefix("error: ").unwrap_or(text.trim());
    let (message, help) = text.split_once("\n\n").unwrap_or((text, ""));
    Fault::usage(message).help(help.trim())
}

/// Says what went wrong, but does not wait for ever for somebody to read it.
fn complain_at_last(fault: Fault, is_json: bool) {
    let (said, is_said) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        fault.tell(is_json);
        let _nobody_waits = said.send(());
    });
    let _nobody_reads = is_said.recv_timeout(crate::up::LAST_WORDS);
}

fn carry_out(cli: Cli, matches: &clap::ArgMatches) -> Result<ExitCode, Fault> {
    // One that is set to nothing is as good as not set.
    let named = std::env::var_os("GENII_DATA").filter(|named| !named.is_empty());
    let data = || {
        let data = Data::new(cli.data.clone().or_else(|| named.clone().map(PathBuf::from)));
        data.map(|data| data.with_flag(cli.data.clone()))
    };
    let told = |fault: Fault| match data() {
        // What it says is to be done on the machine that invited.
        _ if matches!(cli.command, Command::Join(_)) => fault,
        Ok(data) => fault.told_to(&Reader::at_shell(&data)),
        Err(_) => fault,
    };
    carry_out_on(&cli.command, matches, &data).map_err(told)
}

/// Carries out a command, on the data folder where it is about one.
fn carry_out_on(
    command: &Command,
    matches: &clap::ArgMatches,
    data: &dyn Fn() -> Result<Data, Fault>,
) -> Result<ExitCode, Fault> {
    match command {
        Command::Up(args) => {
            if let Err(error) = threads::have_enough() {
                let (variable, threads) = threads::SETTING;
                complain(format!(
                    "beings recall more slowly, as genii can't begin anew: {error}; \
                     set {variable}={threads} in its environment"
                ));
            }
            runtime()?.block_on(up::run(args, &data()?))
        }
        Command::Plan(args) => plan::run(args, &data()?),
        Command::Import(args) => import::run(args),
        Command::Topology => print(genii_actors::BUILT_IN_TOPOLOGY),
        Command::Settings(args) => show_settings(&data()?, args),
        Command::Init(args) => household::init(args, &data()?),
        Command::Invite(args) => household::invite(args, &data()?),
        Command::Join(args) => runtime()?.block_on(household::join(args, &data()?)),
        Command::Expel(args) => household::expel(args, &data()?),
        Command::Household(args) => runtime()?.block_on(household::household(args, &data()?)),
        Command::Ctl(args) => {
            let matches = matches.subcommand_matches("ctl");
            let matches = matches.ok_or_else(|| Fault::usage("no command was given"))?;
            runtime()?.block_on(ctl::run(args, matches, &data()?))
        }
        Command::Being(args) => {
            let matches = matches.subcommand_matches(commands::being::NAME);
            let matches = matches.ok_or_else(|| Fault::usage("no command was given"))?;
            being::run(&runtime()?, args, matches, &data()?)
        }
        Command::Repl => repl::run(&runtime()?, &data()?),
        Command::Token(command) => token::run(command, &data()?),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut command_line(), "genii", &mut script);
            print(&String::from_utf8_lossy(&script))
        }
    }
}

/// The runtime on which everything that waits runs.
fn runtime() -> Result<Runtime, Fault> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(|error| Fault::new(format!("no threads can be started: {error}")))
}

fn print(text: &str) -> Result<ExitCode, Fault> {
    let mut screen = Screen::stdout();
    screen.line(text.trim_end());
    screen.finish()
}

fn show_settings(data: &Data, args: &JsonArg) -> Result<ExitCode, Fault> {
    let settings = Settings::read(data, &[])?;
    let mut screen = Screen::stdout();
    if args.json {
        screen.line(serde_json::json!(settings.effective()).to_string());
    } else {
        let row = |setting: &crate::settings::Effective| {
            vec![
                setting.name.to_owned(),
                setting.value.clone(),
                setting.from.clone(),
                setting.about.to_owned(),
            ]
        };
        let rows = settings.effective().iter().map(row).collect();
        screen.table(&["setting", "value", "from", "what it is"], rows);
        screen.line(screen.faint(&format!("data folder: {}", data.folder().display())));
    }
    screen.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        command_line().debug_assert();
    }

    #[test]
    fn a_command_about_beings_is_found_also_without_being_before_it() {
        let told = |line: &str| {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            matched(&words).map(drop).unwrap_err().to_string()
        };
        for (line, meant) in [
            ("genii provider marit --model m", "a similar subcommand exists: 'being provider'"),
            ("genii --data x chat marit", "'being chat'"),
            ("genii ctl provider marit", "'being provider'"),
            // This one is like another, too.
            ("genii recall marit tea", "a similar subcommand exists: 'being recall'"),
            ("genii tokn list", "'token'"),
        ] {
            assert!(told(line).contains(meant), "{line}: {}", told(line));
        }
        for line in ["genii token provider", "genii being token", "genii wibble"] {
            assert!(!told(line).contains("'being "), "{line}: {}", told(line));
        }
    }

    #[test]
    fn a_command_line_that_is_wrong_is_told_with_how_it_would_be_right() {
        let fault = |line: &str| {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            (fault_of(&matched(&words).map(drop).unwrap_err()), wants_json(&words))
        };
        let (recall, is_json) = fault("genii being recall marit --json");
        assert!(is_json && recall.is_usage, "{recall}");
        assert!(recall.message.starts_with("the following required arguments"), "{recall}");
        assert!(recall.message.contains("<QUERY>"), "{recall}");
        assert!(recall.help.starts_with("Usage: genii being recall"), "{recall}");
        let (tokn, is_json) = fault("genii tokn list");
        assert!(!is_json && tokn.help.contains("'token'"), "{tokn}");
        assert!(!fault("genii wibble -- --json").1);
    }

    #[test]
    fn every_help_page_has_examples() {
        let mut line = command_line();
        line.build();
        check(&mut line);
    }

    fn check(command: &mut clap::Command) {
        let help = command.render_long_help().to_string();
        assert!(help.contains("Examples:\n  "), "{help}");
        let is_own = |command: &&mut clap::Command| command.get_name() != "help";
        command.get_subcommands_mut().filter(is_own).for_each(check);
    }

    #[test]
    fn a_shell_completes_what_is_known_without_a_running_genii() {
        let mut script = Vec::new();
        clap_complete::generate(Shell::Zsh, &mut command_line(), "genii", &mut script);
        let script = String::from_utf8(script).unwrap();
        let offers = |of: &str, what: &str| {
            script.lines().any(|line| line.contains(of) && line.contains(what))
        };
        assert!(offers(":KIND:", "unified-error") && offers(":STATE:", "quarantined"), "{script}");
        // What only the running one knows is no file, either.
        assert!(!offers(":NODE:", "_default") && !offers(":ADDR", "_default"), "{script}");
        assert!(offers(":FILE:", "_files"));
    }
}
