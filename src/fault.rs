//! What a person is told when something does not work: what, and what to do.

use std::fmt;
use std::process::ExitCode;

use serde_json::{Value, json};

use crate::data::Data;
use crate::reader::{Reader, called_about};
use crate::screen::{complain, harmless, harmless_json};

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

    /// The same, whose help names commands as this reader calls them. As [`Fault::about`], not for help that
    /// is to be followed on another machine.
    #[must_use]
    pub fn told_to(self, reader: &Reader) -> Self {
        Self { help: reader.called(&self.help), ..self }
    }

    /// Says it on standard error: in words, or as JSON.
    pub fn tell(&self, as_json: bool) {
        match as_json {
            true => complain(harmless_json(&self.to_json().to_string())),
            false => complain(self),
        }
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
    fn as_json_it_has_help_where_there_is_some() {
        let fault = Fault::new("a");
        assert_eq!(fault.to_json(), json!({ "error": "a" }));
        assert_eq!(fault.help("b").to_json(), json!({ "error": "a", "help": "b" }));
    }

    #[test]
    fn only_help_names_commands_as_its_reader_calls_them() {
        let fault = Fault::new("`why` tells more").help("`why a/b` tells more");
        assert_eq!(fault.clone().told_to(&Reader::Repl), fault);
        let told = fault.clone().told_to(&Reader::Shell("genii".to_owned()));
        assert_eq!(told, fault.help("`genii ctl why a/b` tells more"));
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
