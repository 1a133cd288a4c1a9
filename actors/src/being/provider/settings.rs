//! What may be set for the provider of a being.

mod check;
mod written;

use std::fmt;
use std::path::PathBuf;

use genii_protocols::TimeSpan;
use schemars::JsonSchema;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize};

pub(super) use check::{Access, KeySource};

/// What may be set for the provider of a being. All has a default; the default answers offline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ProviderSettings {
    /// Who answers.
    pub kind: ProviderKind,
    /// Where the server is, up to what stands before `/chat/completions`: `http://localhost:11434/v1`.
    pub base_url: Option<String>,
    /// The model, as the server calls it.
    pub model: Option<String>,
    /// The environment variable that holds the key.
    pub key_env: Option<String>,
    /// The file that holds the key and nothing else; an absolute path.
    pub key_file: Option<PathBuf>,
    /// Not a setting: a key never stands here, and whoever writes one is told where it belongs.
    #[serde(
        skip_serializing,
        alias = "api-key",
        alias = "apikey",
        alias = "authorization",
        alias = "key",
        alias = "password",
        alias = "secret",
        alias = "token"
    )]
    #[schemars(skip)]
    pub api_key: NoKey,
    /// How long a connection may take to be made.
    pub connect_timeout: TimeSpan,
    /// How long the first words may take, from the moment that the question is sent. A local model
    /// may have to be loaded first.
    pub first_token_timeout: TimeSpan,
    /// How long the next words may take.
    pub token_timeout: TimeSpan,
    /// How long all of it may take, with waiting and asking again.
    pub total_timeout: TimeSpan,
    /// How often a question is asked again if the server cannot be reached, fails, or is busy.
    pub retries_max: u32,
    /// How long to wait before it is asked again for the first time; twice as long each time after.
    pub backoff_base: TimeSpan,
    /// No wait is longer. A server that wants more patience than this is not asked again.
    pub backoff_cap: TimeSpan,
    /// How many questions are under way at a time; more wait, within `total_timeout`.
    pub concurrent_max: u32,
    /// How freely the model chooses its words, from 0 to 2; its own way if not set.
    pub temperature: Option<f32>,
    /// How many tokens a prompt may have at most, by a guess. Together with `reply_tokens_max` no more
    /// than the model's window.
    pub prompt_tokens_max: u32,
    /// How many tokens an answer may have at most.
    pub reply_tokens_max: u32,
    /// By which name the server is told of it.
    pub reply_tokens_field: ReplyTokensField,
    /// Whether the server is asked to count tokens; a few servers refuse the question.
    pub ask_usage: bool,
    /// Whether it is asked, now and then, to sum up what was said and to note the facts in it.
    pub consolidate: bool,
    /// After how much quiet it is asked that. What is said meanwhile calls it off.
    pub consolidate_after: TimeSpan,
    /// How many questions this being may ask in a minute; as many as it likes if not set.
    pub requests_per_minute: Option<u32>,
    /// How many tokens this being may use in a minute, of prompts and answers; as many as it likes if
    /// not set.
    pub tokens_per_minute: Option<u32>,
}

impl Default for ProviderSettings {
    fn default() -> Self {
        Self {
            kind: ProviderKind::Offline,
            base_url: None,
            model: None,
            key_env: None,
            key_file: None,
            api_key: NoKey::default(),
            connect_timeout: TimeSpan::from_secs(5),
            first_token_timeout: TimeSpan::from_secs(120),
            token_timeout: TimeSpan::from_secs(30),
            total_timeout: TimeSpan::from_secs(600),
            retries_max: 2,
            backoff_base: TimeSpan::from_millis(500),
            backoff_cap: TimeSpan::from_secs(20),
            concurrent_max: 4,
            temperature: None,
            prompt_tokens_max: 6_000,
            reply_tokens_max: 1_024,
            reply_tokens_field: ReplyTokensField::MaxTokens,
            ask_usage: true,
            consolidate: true,
            consolidate_after: TimeSpan::from_secs(20),
            requests_per_minute: None,
            tokens_per_minute: None,
        }
    }
}

/// Who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ProviderKind {
    /// The responder that is built in: it needs nothing, and quotes what the being remembers.
    #[default]
    Offline,
    /// A server that speaks OpenAI's chat completions.
    OpenAi,
}

/// By which name a server is told how many tokens an answer may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReplyTokensField {
    /// What nearly all servers understand.
    #[default]
    MaxTokens,
    /// What OpenAI's own newer models insist on.
    MaxCompletionTokens,
}

/// Notices a key that stands in settings, and does not keep it.
///
/// It is read rather than refused by the reader of the file, because such readers show the line that
/// they dislike. [`super::make`] refuses it, in words that do not repeat it.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct NoKey {
    was_found: bool,
}

impl fmt::Debug for NoKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.was_found { "found" } else { "none" })
    }
}

// It is never written. On the wire, where fields have no names, nothing is read for it either: nobody
// writes settings by hand there.
impl<'de> Deserialize<'de> for NoKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            return Ok(Self::default());
        }
        let found = Option::<IgnoredAny>::deserialize(deserializer)?;
        Ok(Self { was_found: found.is_some() })
    }
}

/// Why there can be no such provider: everything that is wrong with its settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the settings of the provider make no sense: {}", faults.join("; "))]
pub struct ProviderSettingsError {
    /// What is wrong, and what to do.
    pub faults: Vec<String>,
}

#[cfg(test)]
mod tests;
