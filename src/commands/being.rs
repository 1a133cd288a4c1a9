//! `being`: the commands about beings. One file and one line each, as all others.
//!
//! They run at the side of the running genii, which speaks to `beings/registry` and to `being/ID`
//! ([`reach`]); what a person sees of memories and turns is put into words in [`words`].

pub mod ask;
mod budget;
mod card;
mod character;
mod check;
mod core;
mod create;
mod delete;
mod export;
mod forget;
pub mod history;
mod import;
mod isolate;
mod list;
mod migrate;
mod provider;
pub mod reach;
pub mod recall;
mod remember;
mod remind;
mod reminders;
mod say;
pub mod show;
pub mod words;

#[cfg(test)]
pub mod stand_ins;
#[cfg(test)]
mod tests;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use genii_protocols::beings::Isolation;
use genii_protocols::{Name, NodeName, TimeSpan, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Entry, entry, examples};

/// What stands before the names of these commands.
pub const NAME: &str = "being";

/// What keeps those commands waiting that break no answer off.
const WAITS_FOR_ANSWER: &str = "if it is answering, it may go on with that for a while";

/// What keeps those waiting that ask a being.
const WAITS_FOR_BEING: &str = "it may be about to move, with what it is at ended first; `genii being list` says how it stands";

/// All commands about beings, by name.
pub const COMMANDS: [Entry; 22] = [
    entry::<ask::Ask>(),
    entry::<budget::Budget>(),
    entry::<card::Card>(),
    entry::<character::Character>(),
    entry::<check::Check>(),
    entry::<core::Core>(),
    entry::<create::Create>(),
    entry::<delete::Delete>(),
    entry::<export::Export>(),
    entry::<forget::Forget>(),
    entry::<history::History>(),
    entry::<import::Import>(),
    entry::<isolate::Isolate>(),
    entry::<list::List>(),
    entry::<migrate::Migrate>(),
    entry::<provider::Provider>(),
    entry::<recall::Recall>(),
    entry::<remember::Remember>(),
    entry::<remind::Remind>(),
    entry::<reminders::Reminders>(),
    entry::<say::Say>(),
    entry::<show::Show>(),
];

/// What `being` does, in a line.
pub const ABOUT: &str = "Make beings, talk with them, and see what they remember";

/// The commands beneath `being`, which is called as `called` and its name.
pub fn clap(called: &str) -> clap::Command {
    let lines = [
        "being create examples/characters/marit.toml --id marit",
        "being list",
        "being recall marit 'my sister'",
    ];
    let lines = lines.map(|line| format!("{called}{line}"));
    clap::Command::new(NAME)
        .about(ABOUT)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand_value_name("COMMAND")
        // In the order of their names, also with those that are added.
        .subcommands(COMMANDS.iter().map(|entry| (entry.clap)(called).display_order(0)))
        .after_help(examples(&lines.each_ref().map(String::as_str)))
}

/// The command beneath `being` that was meant by a word that is no command of this line itself.
pub fn meant(line: &clap::Command, word: &str) -> Option<String> {
    let command = line.find_subcommand(NAME)?.find_subcommand(word)?;
    Some(format!("{NAME} {}", command.get_name()))
}

/// A being, by its id.
#[derive(Debug, Clone, clap::Args, Serialize, Deserialize)]
pub struct Being {
    /// The being, by its id
    #[arg(value_name = "BEING", value_parser = id)]
    pub id: Name,
}

/// Reads the id of a being; its address does as well.
pub fn id(text: &str) -> Result<Name, String> {
    let id = text.strip_prefix("being/").unwrap_or(text);
    Name::new(id).map_err(|error| error.to_string())
}

/// Reads the name of a machine.
pub fn node(text: &str) -> Result<NodeName, String> {
    NodeName::new(text).map_err(|error| error.to_string())
}

/// Reads how a being is kept apart.
pub fn isolation() -> impl TypedValueParser<Value = Isolation> {
    let read = |text: String| serde_json::from_value::<Isolation>(text.into());
    PossibleValuesParser::new(["actor", "process"]).try_map(read)
}

/// What helps who names the later time first.
const EARLIER: &str = "--from is the earlier of the two";

/// What is wrong with two moments of which the later comes first.
fn no_time(from: Timestamp, until: Timestamp) -> String {
    format!("no time lies between {from} and {until}")
}

/// Reads a moment: RFC 3339, a day, or how long ago it was.
pub fn moment(text: &str) -> Result<Timestamp, String> {
    if let Ok(TimeSpan(ago)) = text.parse() {
        let at = std::time::SystemTime::now().checked_sub(ago);
        return at.map(Timestamp::from).ok_or_else(|| "it is before all time".to_owned());
    }
    date(text).ok_or_else(|| {
        "it must be a time such as 2026-05-03T14:00:00Z, a day such as 2026-05-03, or how long ago, \
         as 2days; not before 1970"
            .to_owned()
    })
}

/// Reads a moment that is to come: RFC 3339, a day, or in how long it is.
pub fn later(text: &str) -> Result<Timestamp, String> {
    let now = std::time::SystemTime::now();
    if let Ok(TimeSpan(span)) = text.parse() {
        let at = now.checked_add(span);
        return at.map(Timestamp::from).ok_or_else(|| "it is after all time".to_owned());
    }
    match date(text) {
        Some(at) if at < Timestamp::from(now) => Err(format!("{at} has passed")),
        Some(at) => Ok(at),
        None => Err("it must be in how long, as 10m or 2days, a time such as \
                     2026-05-03T14:00:00Z, or a day such as 2026-05-03"
            .to_owned()),
    }
}

/// Reads RFC 3339, or a day, which is its beginning.
fn date(text: &str) -> Option<Timestamp> {
    let read = |text: String| serde_json::from_value(text.into()).ok();
    let is_day = text.len() == "2026-05-03".len();
    read(text.to_owned()).or_else(|| is_day.then(|| read(format!("{text}T00:00:00Z")))?)
}
