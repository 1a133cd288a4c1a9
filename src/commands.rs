//! The admin commands: the same in the shell (`genii ctl`), in scripts and in the REPL.
//!
//! Each command is one file in this folder and one line in [`COMMANDS`]. It says what it is called
//! and takes ([`Command::Args`]), what it does at the side of the running genii
//! ([`Command::serve`]), and how what it says looks to a person ([`Command::show`]). Those about beings
//! stand together beneath `being`, in a folder and a list of their own.

mod apply;
mod ask;
pub mod being;
mod dead_letters;
mod deps;
mod drain;
pub mod elsewhere;
pub mod groups;
mod inspect;
mod journal;
mod kill;
mod log;
pub mod messages;
pub mod nodes;
pub mod pinned;
mod plan;
pub mod ps;
mod publish;
mod release;
mod restart;
mod resume;
mod shutdown;
mod start;
mod state;
mod stop;
mod subscribe;
mod suspend;
pub mod target;
mod tell;
mod top;
pub mod topics;
pub mod tree;
pub mod whom;
pub mod why;

use std::marker::PhantomData;

use clap::{ArgMatches, FromArgMatches, ValueHint};
use futures_util::future::BoxFuture;
use genii_protocols::NodeName;
use genii_protocols::admin::run_reply::Said;
use genii_runtime::{House, HouseError, Unheard};
use genii_supervision::ChildError;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::mpsc;

use self::pinned::Pin;
use crate::data::Data;
use crate::doubt::Doubt;
use crate::fault::Fault;
use crate::screen::{Screen, harmless_value};
use crate::up::ending::Ending;

/// All commands but those beneath [`being`], by name.
pub const COMMANDS: [Entry; 29] = [
    entry::<apply::Apply>(),
    entry::<ask::Ask>(),
    entry::<dead_letters::DeadLetters>(),
    entry::<deps::Deps>(),
    entry::<drain::Drain>(),
    entry::<groups::Groups>(),
    entry::<inspect::Inspect>(),
    entry::<journal::Journal>(),
    entry::<kill::Kill>(),
    entry::<log::Log>(),
    entry::<messages::Messages>(),
    entry::<nodes::Nodes>(),
    entry::<plan::Plan>(),
    entry::<ps::Ps>(),
    entry::<publish::Publish>(),
    entry::<release::Release>(),
    entry::<restart::Restart>(),
    entry::<resume::Resume>(),
    entry::<shutdown::Shutdown>(),
    entry::<start::Start>(),
    entry::<state::State>(),
    entry::<stop::Stop>(),
    entry::<subscribe::Subscribe>(),
    entry::<suspend::Suspend>(),
    entry::<tell::Tell>(),
    entry::<top::Top>(),
    entry::<topics::Topics>(),
    entry::<tree::Tree>(),
    entry::<why::Why>(),
];

/// A command.
pub trait Command: 'static {
    /// What it is called; of one beneath `being`, with that before it.
    const NAME: &'static str;
    /// What it does, in a line.
    const ABOUT: &'static str;
    /// How it is used, for `--help`: lines that begin with the command.
    const EXAMPLES: &'static [&'static str];
    /// What may keep it waiting, which a person is told after a while; empty if nothing does.
    const WAITS_FOR: &'static str = "";

    /// Whether what it shows is JSON and nothing else, which holds what was said and commands no terminal by
    /// itself. What any other says is shown without what would.
    const SHOWS_JSON: bool = false;
    /// What it takes.
    type Args: clap::Args + Serialize + DeserializeOwned + Send + 'static;
    /// What it says, once or many times.
    type Said: Serialize + DeserializeOwned + Send + 'static;

    /// Reads what lies on the side of who asks: files that it names.
    ///
    /// # Errors
    /// When that cannot be read.
    fn prepare(_args: &mut Self::Args) -> Result<(), Fault> {
        Ok(())
    }

    /// What a person is asked before it is carried out, where it cannot be undone.
    fn doubt(_args: &Self::Args) -> Option<Doubt> {
        None
    }

    /// Tidies up what lies on the side of who asked, once it was carried out.
    fn done(_args: &Self::Args, _data: &Data) {}

    /// The agent or group that it is about, where it can be carried out only where that lives.
    fn about(_args: &Self::Args) -> Option<&str> {
        None
    }

    /// Takes out of it to which machine the agent or group is pinned that it is about.
    fn unpin(_args: &mut Self::Args) -> Option<Pin> {
        None
    }

    /// Does it, at the side of the running genii.
    fn serve(
        args: Self::Args,
        side: Side,
        out: Out<Self::Said>,
    ) -> impl Future<Output = Result<(), Refusal>> + Send;

    /// Shows a thing that it said to a person.
    fn show(said: Self::Said, screen: &mut Screen);

    /// The same to a person who called it so, where what was not found is told by what was looked for.
    fn show_called(_args: &Self::Args, said: Self::Said, screen: &mut Screen) {
        Self::show(said, screen);
    }
}

/// The running genii, as commands see it.
#[derive(Clone)]
pub struct Side {
    /// The house.
    pub house: House,
    /// Its end.
    pub ending: Ending,
    /// What the registry of beings has not told just now.
    pub unanswered: being::reach::Unanswered,
}

/// Why a command is not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What is wrong.
    pub message: String,
    /// What to do about it; empty if nothing comes to mind.
    pub help: String,
    /// Nothing was done, and what is in its way passes by itself, as far as can be told: the command may be
    /// given again in a moment.
    pub passes: bool,
}

impl Refusal {
    /// A refusal in words alone.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), help: String::new(), passes: false }
    }

    /// The same, with what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = help.into();
        self
    }
}

impl From<HouseError> for Refusal {
    fn from(error: HouseError) -> Self {
        let help = match &error {
            HouseError::Supervisor { address, error: ChildError::Gone } => {
                let group = address.split('/').next().unwrap_or_default();
                format!("its group does not run; `start {group}` starts it")
            }
            HouseError::Supervisor { error, .. } if HouseError::has_remedy(error) => String::new(),
            HouseError::NotFound { .. } => "`ps` lists all agents".to_owned(),
            HouseError::Elsewhere { node, .. } => format!(
                "`nodes` shows how {node} stands; `--node {node}` asks it, where it is connected"
            ),
            HouseError::Supervisor { address, .. }
            | HouseError::Unheard { address, error: Unheard::NotRunning } => {
                format!("`why {address}` tells how it stands")
            }
            HouseError::Unheard { address, .. } => {
                format!("`inspect {address}` shows what it is doing; `restart {address}` ends that")
            }
        };
        Self::new(error.to_string()).help(help)
    }
}

/// Where a command says things.
pub struct Out<T> {
    said: mpsc::Sender<Said>,
    what: PhantomData<fn(T)>,
}

impl<T: Serialize> Out<T> {
    /// Says something, as soon as who asked has read enough of what was said before.
    ///
    /// # Errors
    /// When nobody listens any more.
    pub async fn say(&self, what: T) -> Result<(), Refusal> {
        let text = serde_json::to_string(&what)
            .map_err(|error| Refusal::new(format!("it cannot be said in JSON: {error}")))?;
        self.said.send(Said::Output(text)).await.map_err(|_| Refusal::new("nobody listens"))
    }

    /// Says something that need not be said each time: one who reads slowly is not told of it.
    pub fn say_if_room(&self, what: T) {
        let Ok(text) = serde_json::to_string(&what) else { return };
        let _reads_slowly = self.said.try_send(Said::Output(text));
    }
}

/// The name of the argument that says on which machine.
const NODE: &str = "on-node";

/// How far a command may run ahead of who reads what it says.
const SAID_CAPACITY: usize = 64;

type Serve = fn(Value, Side, mpsc::Sender<Said>) -> BoxFuture<'static, Result<(), Refusal>>;

/// Shows what was said, with the arguments of who asked where they are known.
type Show = fn(Option<&Value>, Value, &mut Screen) -> Result<(), serde_json::Error>;

/// A command in the list, whatever its types.
pub struct Entry {
    /// What it is called.
    pub name: &'static str,
    /// What may keep it waiting; empty if nothing does.
    pub waits_for: &'static str,
    clap: fn(&str) -> clap::Command,
    arguments: fn(&ArgMatches) -> Result<Value, Fault>,
    /// What a person is asked before.
    doubt: fn(&Value) -> Option<Doubt>,
    /// Tidies up after it.
    done: fn(&Value, &Data),
    /// The agent or group that it is about, where it can be carried out only where that lives.
    about: fn(&Value) -> Option<String>,
    /// Takes out to which machine that is pinned.
    unpin: fn(&mut Value) -> Option<Pin>,
    /// Does it.
    serve: Serve,
    show: Show,
}

impl Entry {
    /// What a person is asked before it is carried out, where it cannot be undone.
    pub fn doubt(&self, arguments: &Value) -> Option<Doubt> {
        (self.doubt)(arguments)
    }

    /// Tidies up what lies on the side of who asked, once it was carried out.
    pub fn done(&self, arguments: &Value, data: &Data) {
        (self.done)(arguments, data);
    }

    /// Shows a thing that it said to a person.
    ///
    /// # Errors
    /// When another version of genii said it.
    pub fn show(&self, said: Value, screen: &mut Screen) -> Result<(), Fault> {
        (self.show)(None, said, screen).map_err(of_another_version)
    }
}

fn of_another_version(error: serde_json::Error) -> Fault {
    Fault::new(format!("the answer is of another version of genii: {error}"))
        .help("use the same version as the one that runs")
}

const fn entry<C: Command>() -> Entry {
    Entry {
        name: C::NAME,
        waits_for: C::WAITS_FOR,
        clap: clap_of::<C>,
        arguments: arguments_of::<C>,
        doubt: doubt::<C>,
        done: done::<C>,
        about: about::<C>,
        unpin: unpin::<C>,
        serve: serve::<C>,
        show: show::<C>,
    }
}

/// The command, whose examples are called so.
fn clap_of<C: Command>(called: &str) -> clap::Command {
    // One beneath `being` is called so there.
    let name = C::NAME.rsplit(' ').next().unwrap_or(C::NAME);
    let command = <C::Args as clap::Args>::augment_args(clap::Command::new(name));
    // Last, since arguments that are shared bring along what is said of them.
    let node = clap::Arg::new(NODE)
        .long("node")
        .value_name("NODE")
        .value_parser(clap::value_parser!(NodeName))
        .help(
            "Carry it out on this machine of the household [default: where it is about, or this one]",
        )
        .display_order(100);
    // A shell that knows nothing better would offer files.
    let no_file = |arg: clap::Arg| match arg.get_value_hint() {
        ValueHint::Unknown if arg.get_action().takes_values() => arg.value_hint(ValueHint::Other),
        _ => arg,
    };
    let lines: Vec<String> = C::EXAMPLES.iter().map(|line| format!("{called}{line}")).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    command
        .arg(node)
        .mut_args(no_file)
        .about(C::ABOUT)
        .long_about(None)
        .after_help(examples(&lines))
}

/// Examples as they stand at the end of a help page.
pub fn examples(lines: &[&str]) -> String {
    let lines: Vec<String> = lines.iter().map(|line| format!("  {line}")).collect();
    format!("Examples:\n{}", lines.join("\n"))
}

fn arguments_of<C: Command>(matches: &ArgMatches) -> Result<Value, Fault> {
    let args = C::Args::from_arg_matches(matches);
    let mut args = args.map_err(|error| Fault::usage(error.to_string()))?;
    C::prepare(&mut args)?;
    serde_json::to_value(&args).map_err(|error| Fault::usage(error.to_string()))
}

fn doubt<C: Command>(arguments: &Value) -> Option<Doubt> {
    C::doubt(&C::Args::deserialize(arguments).ok()?)
}

fn done<C: Command>(arguments: &Value, data: &Data) {
    if let Ok(args) = C::Args::deserialize(arguments) {
        C::done(&args, data);
    }
}

fn about<C: Command>(arguments: &Value) -> Option<String> {
    let args = C::Args::deserialize(arguments).ok()?;
    C::about(&args).map(str::to_owned)
}

fn unpin<C: Command>(arguments: &mut Value) -> Option<Pin> {
    let mut args = C::Args::deserialize(&*arguments).ok()?;
    let pin = C::unpin(&mut args)?;
    *arguments = serde_json::to_value(&args).ok()?;
    Some(pin)
}

fn serve<C: Command>(
    arguments: Value,
    side: Side,
    said: mpsc::Sender<Said>,
) -> BoxFuture<'static, Result<(), Refusal>> {
    Box::pin(async move {
        let args = serde_json::from_value(arguments).map_err(|error| {
            Refusal::new(format!("the arguments of {} are wrong: {error}", C::NAME))
                .help("use the same version of genii as the one that runs")
        })?;
        C::serve(args, side, Out { said, what: PhantomData }).await
    })
}

fn show<C: Command>(
    arguments: Option<&Value>,
    said: Value,
    screen: &mut Screen,
) -> Result<(), serde_json::Error> {
    // Names and texts in it come from anybody: from agents, processes, clients and other machines.
    let said = if C::SHOWS_JSON { said } else { harmless_value(said) };
    let said = serde_json::from_value(said)?;
    match arguments.and_then(|arguments| C::Args::deserialize(arguments).ok()) {
        Some(args) => C::show_called(&args, said, screen),
        None => C::show(said, screen),
    }
    Ok(())
}

/// The command of this name.
pub fn find(name: &str) -> Option<&'static Entry> {
    let all = const { &COMMANDS }.iter().chain(const { &being::COMMANDS });
    all.into_iter().find(|entry| entry.name == name)
}

/// All commands, for a command line to have beneath it, where each is called as `called` and its name:
/// `genii ctl ` in a shell.
pub fn claps(called: &str) -> impl Iterator<Item = clap::Command> {
    let alone = COMMANDS.iter().map(move |entry| (entry.clap)(called));
    alone.chain(std::iter::once(being::clap(called)))
}

/// A command and its arguments.
pub struct Call {
    /// The command.
    pub entry: &'static Entry,
    /// The arguments, as a JSON object.
    pub arguments: Value,
    /// The machine on which it is to be carried out, where that was said.
    pub node: Option<NodeName>,
}

impl Call {
    /// The command that was matched beneath a command line; `None` if none was.
    ///
    /// # Errors
    /// When its arguments are wrong.
    pub fn matched(matches: &ArgMatches) -> Result<Option<Self>, Fault> {
        match matches.subcommand() {
            None => Ok(None),
            Some((being::NAME, matches)) => Self::of(&format!("{} ", being::NAME), matches),
            Some(_) => Self::of("", matches),
        }
    }

    /// The command about beings that was matched beneath `being`; `None` if none was.
    ///
    /// # Errors
    /// As [`Call::matched`].
    pub fn matched_about_beings(matches: &ArgMatches) -> Result<Option<Self>, Fault> {
        Self::of(&format!("{} ", being::NAME), matches)
    }

    /// Shows a thing that it said to the person who called it.
    ///
    /// # Errors
    /// As [`Entry::show`].
    pub fn show(&self, said: Value, screen: &mut Screen) -> Result<(), Fault> {
        (self.entry.show)(Some(&self.arguments), said, screen).map_err(of_another_version)
    }

    /// The command whose name begins so, and goes on with what was matched.
    fn of(begin: &str, matches: &ArgMatches) -> Result<Option<Self>, Fault> {
        let Some((name, matches)) = matches.subcommand() else { return Ok(None) };
        let name = format!("{begin}{name}");
        let entry = find(&name).ok_or_else(|| Fault::usage(format!("no command {name:?}")))?;
        let node = matches.get_one::<NodeName>(NODE).cloned();
        Ok(Some(Self { entry, arguments: (entry.arguments)(matches)?, node }))
    }
}

/// Begins to carry out a command, on this machine or where what it is about lives, and returns
/// what it says. It ends when nobody listens any more.
pub fn begin_anywhere(
    entry: &'static Entry,
    mut arguments: Value,
    node: Option<NodeName>,
    side: Side,
) -> mpsc::Receiver<Said> {
    let pin = (entry.unpin)(&mut arguments);
    let about = (entry.about)(&arguments);
    match pinned::place(&side.house, node, pin, about.as_deref()) {
        Ok(None) => begin(entry, arguments, side),
        Ok(Some(node)) => {
            listen(entry.name, |said| elsewhere::run(node, entry.name, arguments, side, said))
        }
        Err(refusal) => listen(entry.name, |_| std::future::ready(Err(refusal))),
    }
}

/// As [`begin_anywhere`], on this machine.
fn begin(entry: &'static Entry, arguments: Value, side: Side) -> mpsc::Receiver<Said> {
    listen(entry.name, |said| (entry.serve)(arguments, side, said))
}

fn listen<F>(
    command: &'static str,
    run: impl FnOnce(mpsc::Sender<Said>) -> F,
) -> mpsc::Receiver<Said>
where
    F: Future<Output = Result<(), Refusal>> + Send + 'static,
{
    let (said, listener) = mpsc::channel(SAID_CAPACITY);
    let run = run(said.clone());
    tokio::spawn(async move {
        // In a task of its own, so that a panic in it reaches who asked.
        let mut running = tokio::spawn(run);
        let ended = tokio::select! {
            ended = &mut running => ended,
            // Whoever asked has gone: what follows a journal would follow it for ever.
            () = said.closed() => return running.abort(),
        };
        let refusal = match ended {
            Ok(Ok(())) => return,
            Ok(Err(refusal)) => refusal,
            Err(panic) => {
                tracing::error!(command, "a command failed: {panic}");
                Refusal::new(format!("{command} failed within genii: {panic}"))
                    .help("this is a fault of genii; please report it")
            }
        };
        let Refusal { message, help, passes } = refusal;
        let refused = genii_protocols::admin::Refusal { message, help, passes };
        let _nobody_listens = said.send(Said::Refusal(refused)).await;
    });
    listener
}

/// Nothing to say about what is to be done.
#[derive(Debug, Clone, clap::Args, Serialize, Deserialize)]
pub struct Nothing {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_stand_in_the_order_of_their_names_and_have_examples() {
        assert!(COMMANDS.windows(2).all(|pair| pair[0].name < pair[1].name));
        assert!(being::COMMANDS.windows(2).all(|pair| pair[0].name < pair[1].name));
        let mut abouts = std::collections::BTreeSet::new();
        let beings = being::clap("being ");
        let all: Vec<_> = claps("").chain(beings.get_subcommands().cloned()).collect();
        for mut command in all.clone() {
            command.clone().debug_assert();
            let help = command.render_help().to_string();
            assert!(help.contains("Examples:\n  "), "{help}");
            abouts.insert(command.get_about().unwrap().to_string());
        }
        assert_eq!(abouts.len(), all.len(), "each says what it does itself: {abouts:?}");
    }

    #[test]
    fn nothing_that_a_command_shows_commands_the_terminal() {
        const TITLE: &str = "\x1b]0;x\x07";
        let letter = serde_json::json!({
            "at": "2026-05-01T00:00:00.000000Z",
            "to": "being/marit",
            "message": TITLE,
            "why": TITLE,
        });
        let event = serde_json::json!({
            "seq": 1,
            "at": "2026-05-01T00:00:00.000000Z",
            "name": "core/twin",
            "incarnation": 1,
            "what": "crashed",
            "text": TITLE,
        });
        let why = serde_json::json!({
            "name": "core/twin",
            "state": "down",
            "says": TITLE,
            "first_causes": [TITLE],
        });
        for (name, said) in [
            ("dead-letters", serde_json::json!({ "total": 1, "letters": [letter] })),
            ("journal", event),
            ("why", why),
            ("state", serde_json::json!({ TITLE: TITLE })),
        ] {
            let mut screen = Screen::stdout();
            screen.colour = false;
            find(name).unwrap().show(said, &mut screen).unwrap();
            let text = screen.into_text();
            assert!(text.contains("]0;x"), "{name}: {text:?}");
            let is_command = |letter: char| letter != '\n' && letter.is_control();
            assert!(!text.contains(is_command), "{name}: {text:?}");
        }
    }

    #[test]
    fn what_is_shown_as_json_is_what_was_said() {
        let said = serde_json::json!({ "words": "a\x1b[2Jb\u{9b}31mc" });
        for (name, value) in [
            ("state", said.clone()),
            ("ask", serde_json::json!({ "reply": said })),
            ("being character", said.clone()),
        ] {
            let mut screen = Screen::stdout();
            find(name).unwrap().show(value, &mut screen).unwrap();
            let shown: Value = serde_json::from_str(&screen.into_text()).unwrap();
            assert_eq!(shown, said, "{name}");
        }
    }
}
