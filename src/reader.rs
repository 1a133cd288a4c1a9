//! Who reads what genii says, and how they call the commands that are named in it: what is told can be pasted.
//!
//! | in the text | at the REPL | at a shell |
//! |---|---|---|
//! | `` `being list` `` | as it is | `` `genii being list` `` |
//! | `` `why core` ``, as all of [`COMMANDS`] | as it is | `` `genii ctl why core` `` |
//! | `` `genii up` `` | as it is | as it is, or with the data folder that was named |
//!
//! A command is one only right behind a backtick. A text that was rewritten is not changed by being rewritten
//! again. In what was told of something, in which agents may have had a part, only what begins with `genii` or
//! `being` is one: `why` may be a word of theirs.

use crate::commands::{COMMANDS, being};
use crate::data::Data;

/// What follows `genii` where it matters not on which data folder it is called, or where that is said.
const ABOUT_NO_DATA: [&str; 5] = ["--data", "completions", "import", "plan", "topology"];

/// What tells of the commands. It is called as they are.
const HELP: &str = "help";

/// Whoever reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reader {
    /// Somebody at the REPL, where commands are called by their bare names.
    Repl,
    /// Somebody at a shell, where genii is called so.
    Shell(String),
}

impl Reader {
    /// Somebody at a shell, who asks about this data folder.
    pub fn at_shell(data: &Data) -> Self {
        Self::Shell(data.genii())
    }

    /// A text in which each command is called as this reader calls it.
    pub fn called(&self, text: &str) -> String {
        match self {
            Self::Repl => text.to_owned(),
            Self::Shell(genii) => rewritten(text, |words| {
                with_data(words, genii).or_else(|| behind_genii(words, genii))
            }),
        }
    }

    /// What was told of something, in which each command about beings, and each call of genii, is called as this
    /// reader calls it.
    pub fn told(&self, text: &str) -> String {
        match self {
            Self::Repl => text.to_owned(),
            Self::Shell(genii) => rewritten(text, |words| {
                with_data(words, genii).or_else(|| about_beings(words, genii))
            }),
        }
    }
}

/// A text in which genii is called about this data folder, whoever reads it.
pub fn called_about(text: &str, data: &Data) -> String {
    let genii = data.genii();
    rewritten(text, |words| with_data(words, &genii))
}

/// A text with other words behind its backticks, where there are others.
fn rewritten(text: &str, other: impl Fn(&str) -> Option<String>) -> String {
    let mut parts = text.split('`');
    let mut rewritten = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        rewritten.push('`');
        rewritten.push_str(other(part).as_deref().unwrap_or(part));
    }
    rewritten
}

/// A call of genii, about the data folder on which it is called so; `None` for any other words.
fn with_data(words: &str, genii: &str) -> Option<String> {
    let rest = words.strip_prefix("genii ")?;
    let is_about_none = ABOUT_NO_DATA.iter().any(|word| rest.starts_with(word));
    (!is_about_none).then(|| format!("{genii} {rest}"))
}

/// A command as it is called in a shell; `None` for any other words.
fn behind_genii(words: &str, genii: &str) -> Option<String> {
    about_beings(words, genii).or_else(|| {
        let name = command(words).filter(|name| is_of_ctl(name));
        name.map(|_| format!("{genii} ctl {words}"))
    })
}

fn is_of_ctl(name: &str) -> bool {
    name == HELP || COMMANDS.iter().any(|entry| entry.name == name)
}

/// A command about beings as it is called in a shell; `None` for any other words.
fn about_beings(words: &str, genii: &str) -> Option<String> {
    let name = command(words).filter(|name| *name == being::NAME);
    name.map(|_| format!("{genii} {words}"))
}

/// What may be the name of a command; `None` of a setting, which may be called so, too.
fn command(words: &str) -> Option<&str> {
    let (name, rest) = words.split_once(' ').unwrap_or((words, ""));
    (!rest.starts_with('=')).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(genii: &str) -> Reader {
        Reader::Shell(genii.to_owned())
    }

    #[test]
    fn a_shell_calls_commands_behind_genii() {
        for (text, expected) in [
            ("`ps` lists all agents", "`genii ctl ps` lists all agents"),
            ("`why a/b` tells the cause", "`genii ctl why a/b` tells the cause"),
            ("`being list` shows all", "`genii being list` shows all"),
            ("`help being` lists them", "`genii ctl help being` lists them"),
            ("`nodes` shows; `@pc2` asks", "`genii ctl nodes` shows; `@pc2` asks"),
            ("as in `start a/b --kind x`", "as in `genii ctl start a/b --kind x`"),
        ] {
            assert_eq!(shell("genii").called(text), expected);
            assert_eq!(Reader::Repl.called(text), text);
        }
    }

    #[test]
    fn what_was_told_of_something_names_commands_that_are_no_words_of_others() {
        let reader = shell("genii --data x");
        for (text, expected) in [
            ("`being check a` tells", "`genii --data x being check a` tells"),
            ("`genii ctl resume a/b`", "`genii --data x ctl resume a/b`"),
            ("panic: `why` and `state`", "panic: `why` and `state`"),
            ("set `being = 1`", "set `being = 1`"),
        ] {
            assert_eq!(reader.told(text), expected);
            assert_eq!(reader.told(expected), expected);
            assert_eq!(Reader::Repl.told(text), text);
        }
    }

    #[test]
    fn what_is_no_command_stays() {
        for text in [
            "no command: why, ps, being",
            "set `start = \"parallel\"` in the group",
            "`psx`, `whyever`, `beings`, `--node pc2`, `trust`",
            "`genii up` starts it, and `genii` alone helps",
            "the folder `a`, why not",
            "``",
            "",
        ] {
            assert_eq!(shell("genii").called(text), text);
        }
    }

    #[test]
    fn the_data_folder_is_named_where_it_was_and_once() {
        let reader = shell("genii --data 'my house'");
        for (text, expected) in [
            ("`why`", "`genii --data 'my house' ctl why`"),
            ("`being show x`", "`genii --data 'my house' being show x`"),
            ("`genii up`", "`genii --data 'my house' up`"),
            ("`genii plan f`, `genii topology`", "`genii plan f`, `genii topology`"),
        ] {
            assert_eq!(reader.called(text), expected);
            assert_eq!(reader.called(expected), expected);
        }
    }
}
