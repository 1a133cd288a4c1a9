//! Completion of commands, addresses, groups, message names and their JSON, flags and files.

use std::path::Path;
use std::sync::Arc;

use reedline::{CompletionResult, Span, Suggestion};

use super::known::Known;
use crate::ctl::command_line;
use crate::schema;

/// Completes a line.
pub struct Completer {
    known: Arc<Known>,
}

impl Completer {
    /// Completes with what the running genii knows.
    pub fn new(known: Arc<Known>) -> Self {
        Self { known }
    }
}

impl reedline::Completer for Completer {
    fn complete(&mut self, line: &str, pos: usize) -> CompletionResult {
        let place = Place::of(&line[..pos]);
        let choices = match &place.expects {
            Expects::Command => commands(),
            Expects::Beneath(command) => beneath(command),
            Expects::Flag(command) => flags(command),
            Expects::Value(name) => self.values(name, &place),
            Expects::OneOf(values) => values.iter().cloned().map(Choice::plain).collect(),
            Expects::Nothing => Vec::new(),
        };
        let span = Span::new(pos - place.word.len(), pos);
        let good = choices.into_iter().filter(|choice| choice.text.starts_with(&place.word));
        let suggestions: Vec<Suggestion> = good.map(|choice| choice.suggest(span)).collect();
        CompletionResult::fresh(suggestions)
    }
}

impl Completer {
    fn values(&self, name: &str, place: &Place) -> Vec<Choice> {
        let plain = |texts: Vec<String>| texts.into_iter().map(Choice::plain).collect();
        match name {
            "ADDR" | "GROUP" | "NAME" if place.word.contains('@') => {
                plain(self.pinned(&place.word))
            }
            "ADDR" => plain(self.known.addresses()),
            "GROUP" => plain(self.known.groups()),
            "NAME" => plain([self.known.groups(), self.known.addresses()].concat()),
            "NODE" => plain(self.known.nodes()),
            "PATTERN" => plain(self.known.patterns()),
            "TOPIC" => plain(self.topics()),
            "PROCESS-GROUP" => plain(self.known.process_groups()),
            "MESSAGE" => self.messages(place),
            "JSON" => self.content(place),
            "FILE" => files(&place.word),
            "BEING" | "OTHER-BEING" => plain(self.known.beings(&place.word)),
            _ => Vec::new(),
        }
    }

    /// What stands before the `@`, pinned to each machine.
    fn pinned(&self, word: &str) -> Vec<String> {
        let name = word.split('@').next().unwrap_or_default();
        self.known.nodes().iter().map(|node| format!("{name}@{node}")).collect()
    }

    /// What is subscribed to by its whole name.
    fn topics(&self) -> Vec<String> {
        let mut topics = self.known.patterns();
        topics.retain(|pattern| genii_protocols::Topic::parse(pattern).is_ok());
        topics
    }

    fn messages(&self, place: &Place) -> Vec<Choice> {
        let messages = place.values.first().map(|address| self.known.messages(address));
        let choice = |info: genii_protocols::MessageInfo| Choice {
            text: info.name,
            about: info.about.lines().next().unwrap_or_default().to_owned(),
            goes_on: true,
        };
        messages.into_iter().flatten().map(choice).collect()
    }

    /// JSON that fits the message, to be filled in.
    fn content(&self, place: &Place) -> Vec<Choice> {
        let [address, message, ..] = &place.values[..] else { return Vec::new() };
        let messages = self.known.messages(address);
        let info = messages.into_iter().find(|info| info.name == *message);
        let skeleton = info.map(|info| format!("'{}'", schema::skeleton(&info.request.0)));
        skeleton.map(Choice::plain).into_iter().collect()
    }
}

/// Something that may stand in a line.
struct Choice {
    text: String,
    about: String,
    /// Whether another word follows.
    goes_on: bool,
}

impl Choice {
    fn plain(text: String) -> Self {
        let goes_on = !text.ends_with('/');
        Self { text, about: String::new(), goes_on }
    }

    fn suggest(self, span: Span) -> Suggestion {
        Suggestion {
            value: self.text,
            description: Some(self.about).filter(|about| !about.is_empty()),
            append_whitespace: self.goes_on,
            span,
            ..Suggestion::default()
        }
    }
}

/// What may stand where the cursor is.
#[derive(Debug, PartialEq, Eq)]
enum Expects {
    Command,
    /// A command beneath this one.
    Beneath(String),
    /// A flag of this command.
    Flag(String),
    /// A value of this name.
    Value(String),
    /// One of these.
    OneOf(Vec<String>),
    Nothing,
}

/// Where the cursor is in a line.
#[derive(Debug)]
pub struct Place {
    expects: Expects,
    /// What has been typed of the word at the cursor.
    word: String,
    /// The command, if it is whole.
    pub command: Option<String>,
    /// The values that stand before the cursor, flags and theirs left out.
    pub values: Vec<String>,
}

impl Place {
    /// The place at the end of a text.
    pub fn of(text: &str) -> Self {
        let begin = text.rfind(char::is_whitespace).map_or(0, |at| at + 1);
        let (before, word) = text.split_at(begin);
        let mut place = Self {
            expects: Expects::Nothing,
            word: word.to_owned(),
            command: None,
            values: Vec::new(),
        };
        // A quote that does not end is JSON that is being written.
        let Some(words) = shlex::split(before) else { return place };
        let mut words = words.into_iter();
        let Some(command) = words.next() else {
            place.expects = Expects::Command;
            return place;
        };
        place.fill(command, words);
        place
    }

    fn fill(&mut self, mut command: String, mut words: impl Iterator<Item = String>) {
        if command == "help" {
            self.expects = Expects::Command;
            return;
        }
        let line = command_line();
        let Some(mut found) = line.find_subcommand(&command) else { return };
        while found.has_subcommands() {
            let Some(word) = words.next() else {
                self.expects = Expects::Beneath(command);
                return;
            };
            let Some(beneath) = found.find_subcommand(&word) else { return };
            command = format!("{command} {word}");
            found = beneath;
        }
        self.command = Some(command.clone());
        let mut flag = None;
        for word in words {
            if flag.take().is_some() {
                continue;
            }
            match word.starts_with('-') {
                true => flag = value_of_flag(found, &word),
                false => self.values.push(word),
            }
        }
        self.expects = match flag {
            Some(value) => value,
            None if self.word.starts_with('-') => Expects::Flag(command),
            None => positional(found, self.values.len()).unwrap_or(Expects::Nothing),
        };
    }
}

/// The value that a flag takes (`--limit`, `-n`), if it takes one.
fn value_of_flag(command: &clap::Command, flag: &str) -> Option<Expects> {
    let is_short = |arg: &clap::Arg| arg.get_short().is_some_and(|it| flag == format!("-{it}"));
    let is_long = |arg: &clap::Arg| arg.get_long().is_some_and(|it| flag == format!("--{it}"));
    let mut flags = command.get_opts().filter(|arg| arg.get_action().takes_values());
    flags.find(|arg| is_short(arg) || is_long(arg)).map(value)
}

/// The value that stands in this place; the last may stand many times.
fn positional(command: &clap::Command, index: usize) -> Option<Expects> {
    let all: Vec<&clap::Arg> = command.get_positionals().collect();
    let is_list = |arg: &&&clap::Arg| matches!(arg.get_action(), clap::ArgAction::Append);
    all.get(index).or_else(|| all.last().filter(is_list)).map(|arg| value(arg))
}

fn value(arg: &clap::Arg) -> Expects {
    let possible = arg.get_possible_values();
    if !possible.is_empty() {
        return Expects::OneOf(possible.iter().map(|one| one.get_name().to_owned()).collect());
    }
    let names = arg.get_value_names().unwrap_or_default();
    Expects::Value(names.first().map(ToString::to_string).unwrap_or_default())
}

fn commands() -> Vec<Choice> {
    let line = command_line();
    let more = ["exit", "help"].map(|name| Choice::plain(name.to_owned()));
    line.get_subcommands().map(command_choice).chain(more).collect()
}

/// The commands beneath one.
fn beneath(command: &str) -> Vec<Choice> {
    let line = command_line();
    let found = find(&line, command).into_iter().flat_map(clap::Command::get_subcommands);
    found.map(command_choice).collect()
}

fn command_choice(command: &clap::Command) -> Choice {
    Choice {
        text: command.get_name().to_owned(),
        about: command.get_about().map(ToString::to_string).unwrap_or_default(),
        goes_on: command.has_subcommands() || command.get_positionals().next().is_some(),
    }
}

/// A command by its name, with the names of those above it before it.
fn find<'a>(line: &'a clap::Command, command: &str) -> Option<&'a clap::Command> {
    command.split(' ').try_fold(line, |above, name| above.find_subcommand(name))
}

fn flags(command: &str) -> Vec<Choice> {
    let line = command_line();
    let args = find(&line, command).into_iter().flat_map(clap::Command::get_arguments);
    let choice = |arg: &clap::Arg| {
        let about = arg.get_help().map(ToString::to_string).unwrap_or_default();
        Some(Choice { text: format!("--{}", arg.get_long()?), about, goes_on: true })
    };
    args.filter_map(choice).collect()
}

/// How many files of a folder are offered.
const FILES_MAX: usize = 200;

fn files(word: &str) -> Vec<Choice> {
    let (folder, _) =
        word.rsplit_once('/').map_or(("", word), |(folder, _)| word.split_at(folder.len() + 1));
    let read =
        std::fs::read_dir(if folder.is_empty() { Path::new(".") } else { Path::new(folder) });
    let mut names: Vec<String> = read
        .into_iter()
        .flatten()
        .flatten()
        .take(FILES_MAX)
        .filter_map(|entry| {
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let name = entry.file_name().into_string().ok()?;
            Some(format!("{folder}{name}{}", if is_folder { "/" } else { "" }))
        })
        .collect();
    names.sort();
    names.into_iter().map(Choice::plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expects: Expects, word: &str) {
        let place = Place::of(text);
        assert_eq!(place.expects, expects, "{text:?}");
        assert_eq!(place.word, word, "{text:?}");
    }

    #[test]
    fn what_may_follow_is_known_from_the_command() {
        let value = |name: &str| Expects::Value(name.to_owned());
        check("", Expects::Command, "");
        check("wh", Expects::Command, "wh");
        check("help w", Expects::Command, "w");
        check("why ", value("NAME"), "");
        check("deps core/sys", value("ADDR"), "core/sys");
        check("why a/b ", Expects::Nothing, "");
        check("restart m", value("NAME"), "m");
        check("ps a b c", value("GROUP"), "c");
        check("ask a/b ", value("MESSAGE"), "");
        check("ask --timeout 3s a/b x.y ", value("JSON"), "");
        check("ask --timeout 3", value("TIME"), "3");
        check("ask a/b x.y '{\"a\": ", Expects::Nothing, "");
        check("subscribe a.b ", value("PATTERN"), "");
        check("publish ", value("TOPIC"), "");
        check("groups sp", value("PROCESS-GROUP"), "sp");
        check("journal --f", Expects::Flag("journal".to_owned()), "--f");
        check("nonsense x", Expects::Nothing, "x");
        check("tree --node p", value("NODE"), "p");
        check("drain ", value("NODE"), "");
        check("journal -n 5 ", value("NAME"), "");
        check("journal -f ", value("NAME"), "");
        check("why core/twin@", value("NAME"), "core/twin@");
        check("being ", Expects::Beneath("being".to_owned()), "");
        check("being re", Expects::Beneath("being".to_owned()), "re");
        check("being recall ma", value("BEING"), "ma");
        check("being say marit ", value("OTHER-BEING"), "");
        check("being chat ", value("BEING"), "");
        check("being list --m", Expects::Flag("being list".to_owned()), "--m");
        check("being nonsense ", Expects::Nothing, "");
    }

    #[test]
    fn of_some_values_all_are_known() {
        let one_of = |text: &str, expected: &str| {
            let Expects::OneOf(values) = Place::of(text).expects else {
                panic!("{text:?} may be anything")
            };
            assert!(values.iter().any(|value| value == expected), "{values:?}");
        };
        one_of("ps --state ", "quarantined");
        one_of("start a/b --kind un", "unified-error");
    }

    #[test]
    fn flags_and_commands_are_offered_with_what_they_do() {
        assert!(
            flags("journal").iter().any(|flag| flag.text == "--follow" && !flag.about.is_empty())
        );
        assert!(
            commands().iter().any(|command| command.text == "tree" && !command.about.is_empty())
        );
        assert!(flags("being list").iter().any(|flag| flag.text == "--matching"));
        assert!(beneath("being").iter().any(|it| it.text == "recall" && !it.about.is_empty()));
    }
}
