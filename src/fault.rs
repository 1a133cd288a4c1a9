//! What a person is told when something does not work: what, and what to do.

use std::fmt;
use std::process::ExitCode;

/// A fault, for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What is wrong.
    pub message: String,
    /// What to do about it; empty if nothing comes to mind.
    pub help: String,
    /// Whether it was the call that was wrong, and not what was called for.
    pub is_usage: bool,
}

impl Fault {
    /// Something was refused or went wrong.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), help: String::new(), is_usage: false }
    }

    /// The command itself was wrong.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { is_usage: true, ..Self::new(message) }
    }

    /// The same, with what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = help.into();
        self
    }

    /// What the program ends with: 1 when something was refused, 2 when the call was wrong.
    pub fn code(&self) -> ExitCode {
        ExitCode::from(if self.is_usage { 2 } else { 1 })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        if !self.help.is_empty() {
            write!(f, "\n  help: {}", self.help)?;
        }
        Ok(())
    }
}

impl std::error::Error for Fault {}
