//! What a person is told when something does not work: what, and what to do.

use std::fmt;
use std::process::ExitCode;

use serde_json::{Value, json};

use crate::data::Data;
use crate::reader::{Reader, called_about};
use crate::screen::flow::Flow;
use crate::screen::{columns_of_errors, complain, harmless, harmless_json};

/// With what a line begins in which another goes on.
const INDENT: &str = "  ";

/// A fault, for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What is wrong.
    pub message: String,
    /// What to do about it; empty if nothing comes to mind.
    pub help: String,
    /// Whether it was the call that was wrong, and not what was called for.
    pub is_usage: bool,
    /// Whether nothing was done, and what is in its way passes by itself, as far as can be told.
    pub passes: bool,
}

impl Fault {
    /// Something was refused or went wrong.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), help: String::new(), is_usage: false, passes: false }
    }

    /// The command itself was wrong.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { is_usage: true, ..Self::new(message) }
    }

    /// The same, where what was called for is at fault for the call itself: a file of settings.
    #[must_use]
    pub fn of_usage(self) -> Self {
        Self { is_usage: true, ..self }
    }

    /// The same, with what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = help.into();
        self
    }

    /// The same, whose help says how to call genii about this data folder. Not for help that is to be
    /// followed on another machine.
    #[must_use]
    pub fn about(self, data: &Data) -> Self {
        Self { help: called_about(&self.help, data), ..self }
    }

    /// The same, which names commands as this reader calls them, in its message those that are surely some. As
    /// [`Fault::about`], not for help that is to be followed on another machine.
    #[must_use]
    pub fn told_to(self, reader: &Reader) -> Self {
        let (message, help) = (reader.told(&self.message), reader.called(&self.help));
        Self { message, help, ..self }
    }

    /// Says it on standard error: in words, or as JSON.
    pub fn tell(&self, as_json: bool) {
        match as_json {
            true => complain(harmless_json(&self.to_json().to_string())),
            false => complain(self.within(columns_of_errors())),
        }
    }

    /// In words. On a terminal of so many columns, lines go on in the next behind a word, and no command in them
    /// is broken.
    fn within(&self, columns: Option<usize>) -> String {
        Flow::new(columns, "", INDENT).keeping_commands().whole(&self.to_string())
    }

    /// An object with `error` and, where something comes to mind, `help`.
    fn to_json(&self) -> Value {
        match self.help.as_str() {
            "" => json!({ "error": self.message }),
            help => json!({ "error": self.message, "help": help }),
        }
    }

    /// What the program ends with: 1 when something was refused, 2 when the call was wrong.
    pub fn code(&self) -> ExitCode {
        ExitCode::from(if self.is_usage { 2 } else { 1 })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // An agent, a model or a file may have had a part in the words.
        write!(f, "error: {}", harmless(&self.message))?;
        if !self.help.is_empty() {
            write!(f, "\n  help: {}", harmless(&self.help))?;
        }
        Ok(())
    }
}

impl std::error::Error for Fault {}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn no_fault_commands_the_terminal() {
        let fault = Fault::new("a\x1b[2Jb").help("c\u{9b}31md\ne");
        assert_eq!(fault.to_string(), "error: a[2Jb\n  help: c31md\ne");
    }

    #[test]
    fn it_is_kept_within_the_terminal_and_its_commands_are_kept_whole() {
        let fault = Fault::new("no genii runs here, nor did one");
        let fault = fault.help("start it with `genii --data x up`");
        assert_eq!(fault.within(None), fault.to_string());
        let narrow = [
            "error: no genii runs ",
            "  here, nor did one",
            "  help: start it with ",
            "  `genii --data x up`",
        ];
        assert_eq!(fault.within(Some(24)), narrow.join("\n"));
    }

    #[test]
    fn as_json_it_has_help_where_there_is_some() {
        let fault = Fault::new("a");
        assert_eq!(fault.to_json(), json!({ "error": "a" }));
        assert_eq!(fault.help("b").to_json(), json!({ "error": "a", "help": "b" }));
    }

    #[test]
    fn commands_are_named_as_its_reader_calls_them() {
        let fault = Fault::new("`why` tells more").help("`why a/b` tells more");
        assert_eq!(fault.clone().told_to(&Reader::Repl), fault);
        let told = fault.clone().told_to(&Reader::Shell("genii".to_owned()));
        assert_eq!(told, fault.help("`genii ctl why a/b` tells more"));
        let suspended = Fault::new("it is suspended; `genii ctl resume being/a` lets it go on");
        let told = suspended.told_to(&Reader::Shell("genii --data x".to_owned()));
        assert!(told.message.contains("; `genii --data x ctl resume being/a` lets"), "{told}");
    }

    #[test]
    fn help_calls_genii_about_the_folder_that_was_named() {
        let fault =
            Fault::new("x").help("`genii plan f` checks it, `genii up --topology f` runs it");
        let folder = PathBuf::from("my house");
        let data = Data::new(Some(folder.clone())).unwrap();
        assert_eq!(fault.clone().about(&data), fault);
        let told = fault.about(&data.with_flag(Some(folder.clone())));
        let expected =
            "`genii plan f` checks it, `genii --data 'my house' up --topology f` runs it";
        assert_eq!(told.help, expected);
        // Once is enough.
        let data = Data::new(Some(folder.clone())).unwrap().with_flag(Some(folder));
        assert_eq!(told.clone().about(&data), told);
    }
}
