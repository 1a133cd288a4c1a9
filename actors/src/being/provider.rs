//! Providers: who finds the words that a being says.
//!
//! Each being has a provider of its own, with its own settings, key and limits. [`make`] makes one
//! that costs next to nothing before the first question. Of what providers of a house do, only the
//! connections to a server are in common, and those through a [`ProviderShare`].

mod limits;
pub(super) mod offline;
mod openai;
#[cfg(test)]
pub(crate) mod panicking;
mod settings;
mod share;

use std::sync::Arc;

use futures_util::stream::BoxStream;
use genii_protocols::Timestamp;
use parking_lot::Mutex;

pub use offline::Offline;
pub use openai::OpenAi;
pub use settings::{
    NoKey, ProviderKind, ProviderSettings, ProviderSettingsError, ReplyTokensField,
};
pub use share::ProviderShare;

/// Makes the provider that settings describe. The seed is for the chance in its waits.
///
/// # Errors
/// With all that is wrong with the settings. Whether the server is there, and whether the key is, is
/// seen at the first question.
pub fn make(
    settings: &ProviderSettings,
    share: &ProviderShare,
    seed: u64,
) -> Result<Arc<dyn Provider>, ProviderSettingsError> {
    // For a test of what becomes of a being whose provider has a fault.
    #[cfg(test)]
    if settings.model.as_deref() == Some(panicking::MODEL) {
        return Ok(Arc::new(panicking::Panicking));
    }
    Ok(match settings.access()? {
        None => Arc::new(Offline),
        Some(access) => Arc::new(OpenAi::new(settings, access, share.clone(), seed)),
    })
}

/// Finds words. Each being has an instance of its own.
pub trait Provider: Send + Sync + 'static {
    /// What answers, for people: `offline`, or a model and where it runs. No secrets.
    fn label(&self) -> String;

    /// Begins to answer. Dropping the stream calls the answer off. It ends after the first error, or
    /// after [`Piece::End`].
    fn answer(&self, request: Arc<Request>) -> BoxStream<'static, Result<Piece, ProviderError>>;
}

/// What is to be answered.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The prompt, as a model reads it: the last message is what was said.
    pub messages: Vec<PromptMessage>,
    /// How many tokens the answer may have; as many as the provider's settings allow if zero.
    pub reply_tokens_max: u32,
    /// How freely a model may choose its words, from 0 to 2; as the provider's settings say if it does
    /// not.
    pub temperature: Option<f32>,
    /// What the prompt was made of, for who answers without a model; empty for others.
    pub grounds: Grounds,
    /// Whether it is with a server, and what that has counted.
    pub under_way: UnderWay,
}

/// Whether a question is with a server, which may count it although nobody waits for the answer any more, or
/// what comes is none. All clones tell the same.
#[derive(Debug, Clone, Default)]
pub struct UnderWay(Arc<Mutex<Standing>>);

/// How a question stands with a server.
#[derive(Debug, Clone, Copy, Default)]
struct Standing {
    is_set: bool,
    /// It was, if only until the server said no.
    was_set: bool,
    /// What the server has counted so far.
    usage: Usage,
}

impl UnderWay {
    pub(super) fn set(&self, is_under_way: bool) {
        let mut standing = self.0.lock();
        standing.is_set = is_under_way;
        standing.was_set |= is_under_way;
    }

    /// The server says what it takes.
    pub(super) fn count(&self, usage: Usage) {
        self.0.lock().usage = usage;
    }

    /// Whether it is.
    pub fn is_set(&self) -> bool {
        self.0.lock().is_set
    }

    /// Whether a server was asked at all, also one that refused.
    pub fn was_set(&self) -> bool {
        self.0.lock().was_set
    }

    /// What the server has counted so far, in tokens. It may count what never comes: thinking, and answers
    /// that break off.
    pub fn usage(&self) -> Usage {
        self.0.lock().usage
    }
}

/// What a prompt was made of.
#[derive(Debug, Clone, Default)]
pub struct Grounds {
    /// The name of the being.
    pub name: String,
    /// Its character, in a few sentences.
    pub description: String,
    /// All that is written down of its character, sentence by sentence.
    pub character: Vec<String>,
    /// What was said.
    pub said: String,
    /// Who said it, by the name that [`Remembered::speaker`] has for them.
    pub asker: Option<String>,
    /// What it remembers of that, the most telling first.
    pub memories: Vec<Remembered>,
    /// What its character knows of that, the most important first.
    pub lore: Vec<String>,
}

/// Something that a being remembers.
#[derive(Debug, Clone)]
pub struct Remembered {
    /// As it was said or noted.
    pub text: String,
    /// Who said it, if somebody did.
    pub speaker: Option<String>,
    /// When.
    pub at: Timestamp,
    /// Since when it no longer holds, of a fact that has changed.
    pub until: Option<Timestamp>,
}

/// A part of a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PromptMessage {
    /// Whose words they are.
    pub role: Role,
    /// The words.
    pub text: String,
}

/// Whose words a part of a prompt is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Instructions: character, memories.
    System,
    /// Whoever talks with the being.
    User,
    /// The being itself.
    Assistant,
}

/// What comes of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// The next words.
    Text(String),
    /// The answer is whole.
    End(Usage),
}

/// What an answer took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Tokens of the prompt, if the provider counts them.
    pub prompt_tokens: Option<u32>,
    /// Tokens of the answer, if the provider counts them.
    pub reply_tokens: Option<u32>,
    /// The answer was cut off at [`Request::reply_tokens_max`].
    pub is_cut_off: bool,
}

/// Why there is no answer, or not the whole of it.
///
/// No key is ever in it. It may quote a line of what the server said, so it is for whoever asked, and
/// not for a log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// Nothing listens there, or the name is not known.
    #[error("{place} cannot be reached: {cause}; is it running, and is `base_url` right?")]
    Unreachable {
        /// Where it was looked for.
        place: String,
        /// What went wrong.
        cause: String,
    },
    /// It was not asked, since there is no key that it could be asked with.
    #[error(
        "{place} was not asked, for want of a key: {cause}; `key_env` or `key_file` says where genii finds it"
    )]
    Keyless {
        /// Who.
        place: String,
        /// What is wrong.
        cause: String,
    },
    /// The key is wrong, may not do this, or none was sent (401, 403).
    #[error("{place} lets nobody in without a valid key: {cause}; look at `key_env` or `key_file`")]
    Unauthorized {
        /// Who refuses.
        place: String,
        /// What it said.
        cause: String,
    },
    /// Too much was asked in a short time, or the account is empty (429), also after some retries; or a
    /// limit of the being's own is reached.
    #[error("{place} answers no more for now: {cause}")]
    Limited {
        /// Who.
        place: String,
        /// What it said.
        cause: String,
    },
    /// What was asked makes no sense to it, or it will not answer that: no such model, a prompt that is
    /// too long (400, 404, 413, 422).
    #[error("{place} refuses the question: {cause}")]
    Refused {
        /// Who refuses.
        place: String,
        /// What it said.
        cause: String,
    },
    /// It failed (5xx), also after some retries.
    #[error("{place} failed: {cause}")]
    Failed {
        /// Who.
        place: String,
        /// What it said.
        cause: String,
    },
    /// It said nothing for too long.
    #[error("{place} said nothing for {patience:?}; `{setting}` allows it more")]
    Silent {
        /// Who.
        place: String,
        /// How long it was given.
        patience: std::time::Duration,
        /// The setting that says so.
        setting: &'static str,
    },
    /// It sent what is no answer.
    #[error("{place} sent what is no answer: {cause}")]
    Garbage {
        /// Who.
        place: String,
        /// What is wrong with it.
        cause: String,
    },
    /// The answer broke off before its end.
    #[error("{place} broke off in mid-answer: {cause}")]
    BrokenOff {
        /// Who.
        place: String,
        /// What went wrong.
        cause: String,
    },
}

impl ProviderError {
    /// Whether who failed may have taken the question up before, and count it.
    pub fn may_have_cost(&self) -> bool {
        match self {
            Self::Silent { .. } | Self::BrokenOff { .. } => true,
            Self::Unreachable { .. }
            | Self::Keyless { .. }
            | Self::Unauthorized { .. }
            | Self::Limited { .. }
            | Self::Refused { .. }
            | Self::Failed { .. }
            | Self::Garbage { .. } => false,
        }
    }
}
