//! What is said to `pc2-core/unified-error`: errors, grouped by cause and ranked.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Address, TimeSpan, Timestamp, message};

/// Report an error that no crash report and no log line tells of.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ReportError {
    /// Whose error; the sender's if it does not say.
    #[serde(default)]
    pub agent: Option<Address>,
    /// What went wrong.
    pub message: String,
    /// Where, as `file:line:column`.
    #[serde(default)]
    pub place: Option<String>,
}
message!(ReportError = "errors.report" -> ErrorId, refused by UnnamedReporter);

/// The number of a group of errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct ErrorId(pub u64);

/// A report from nobody about nobody: say whose error it is, with `agent`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[error("say whose error it is, with `agent`")]
pub struct UnnamedReporter {}

/// List groups of errors, the most pressing first.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct ListErrors {
    /// Only those of this agent.
    #[serde(default)]
    pub agent: Option<Address>,
    /// Only those seen within this time.
    #[serde(default)]
    pub within: Option<TimeSpan>,
    /// At most so many; 20 if it does not say.
    #[serde(default)]
    pub limit: Option<u32>,
}
message!(ListErrors = "errors.list" -> ErrorGroups);

/// Groups of errors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorGroups {
    /// The most pressing first.
    pub groups: Vec<ErrorGroup>,
    /// How many groups there are in all.
    pub total: u64,
}

/// Errors with the same cause.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorGroup {
    /// Its number.
    pub id: ErrorId,
    /// Where they come from.
    pub source: ErrorSource,
    /// What they have in common; numbers and other accidents are replaced by `#`.
    pub cause: String,
    /// Where they happened.
    pub place: Option<String>,
    /// How many there were.
    pub count: u64,
    /// When the first was.
    pub first: Timestamp,
    /// When the last was.
    pub last: Timestamp,
    /// Whose they were.
    pub agents: Vec<Address>,
    /// How pressing it is: more of them, lately, by more agents, and crashes above log lines.
    pub rank: f64,
}

/// Where an error comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorSource {
    /// An agent crashed.
    Crash,
    /// An agent could not start.
    Start,
    /// An agent logged or printed it.
    Log,
    /// Somebody reported it.
    Report,
}

/// Show one group of errors with its last samples.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ShowError {
    /// Its number.
    pub id: ErrorId,
}
message!(ShowError = "errors.show" -> ErrorDetail, refused by NoSuchError);

/// A group of errors with its last samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorDetail {
    /// The group.
    pub group: ErrorGroup,
    /// The last of them, as they were, oldest first.
    pub samples: Vec<ErrorSample>,
}

/// One error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorSample {
    /// When.
    pub at: Timestamp,
    /// Whose.
    pub agent: Address,
    /// What it said, with the errors beneath it.
    pub message: String,
    /// The message that was being handled.
    pub handling: Option<String>,
    /// The last lines of its output.
    pub output: Vec<String>,
}

/// There is no group of errors with this number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[error("no group of errors has the number {}", id.0)]
pub struct NoSuchError {
    /// The number.
    pub id: ErrorId,
}

/// Forget a group of errors, or all of them.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct ForgetErrors {
    /// Its number; all groups if it does not say.
    #[serde(default)]
    pub id: Option<ErrorId>,
}
message!(ForgetErrors = "errors.forget" -> u64);
