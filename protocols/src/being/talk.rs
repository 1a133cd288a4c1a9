//! Talking with a being: questions, answers, and why there is none.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Recollection;
use crate::budget::BudgetSpent;
use crate::{Name, message};

/// Say something to a being, and have its whole answer when it is there. Both are remembered.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Query {
    /// What is said.
    pub said: String,
    /// Who says it, by name; nobody in particular if it does not say.
    #[serde(default)]
    pub speaker: Option<String>,
    /// Through which beings this came about, the first first; none if a person says it.
    #[serde(default)]
    pub path: Vec<Name>,
}
message!(Query = "being.query" -> Answered, refused by NotAnswered);

/// Say something to a being, and have its answer as it comes. Both are remembered. Who stops listening
/// calls the answer off; what was said, and what was answered by then, is remembered all the same.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Converse {
    /// What is said.
    pub said: String,
    /// Who says it, by name; nobody in particular if it does not say.
    #[serde(default)]
    pub speaker: Option<String>,
    /// Through which beings this came about, the first first; none if a person says it.
    #[serde(default)]
    pub path: Vec<Name>,
}
message!(Converse = "being.converse" -> Answered, refused by NotAnswered, streams String);

/// What a being answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Answered {
    /// The number of the turn under which it is remembered.
    pub turn: u64,
    /// The answer.
    pub text: String,
    /// What it remembered for it, the most telling first.
    pub recalled: Vec<Recollection>,
    /// Who found the words: `offline`, or a model and where it runs.
    pub provider: String,
    /// Tokens of the prompt, as far as they were counted or estimated.
    pub prompt_tokens: u32,
    /// Tokens of the answer, as far as they were counted or estimated.
    pub reply_tokens: u32,
    /// The answer was cut off, since it was longer than it may be.
    pub is_cut_off: bool,
}

/// Why a being did not answer. What was said is remembered all the same, where it says so.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum NotAnswered {
    /// Nothing was said.
    #[error("nothing was said")]
    Nothing,
    /// What was said does not fit into a prompt. It is remembered all the same, up to 64 KiB.
    #[error(
        "what was said has about {tokens} tokens, and {max} find room; say it in parts, or raise `prompt_tokens_max` in the settings of its provider ({})",
        if turn.is_some() { "it is remembered all the same" } else { "it is not remembered" }
    )]
    TooLong {
        /// About how many tokens it has.
        tokens: u32,
        /// How many find room.
        max: u32,
        /// The number of the turn, if it is remembered.
        turn: Option<u64>,
    },
    /// It may spend no more. What was said is remembered.
    #[error("{spent}")]
    Spent {
        /// What is spent, and until when.
        spent: BudgetSpent,
        /// The turn under which what was said is remembered.
        turn: u64,
    },
    /// Its provider did not answer, or not to the end. What was said is remembered, marked so.
    #[error("{why}")]
    Provider {
        /// What sort of failure it is.
        kind: ProviderFault,
        /// What went wrong, and what to do.
        why: String,
        /// The turn under which what was said is remembered.
        turn: u64,
    },
    /// It ended before its answer was whole, as when it moves to another machine.
    #[error("{}: {why}", how_far(turn))]
    Interrupted {
        /// Why it ended.
        why: String,
        /// The turn under which what was said is remembered, marked so; none if it was not begun, and is not
        /// remembered.
        turn: Option<u64>,
    },
    /// It cannot keep what was said, and so it does not answer.
    #[error("it cannot remember: {why}")]
    Store {
        /// What went wrong, and what to do.
        why: String,
    },
    /// Whoever speaks gave a name that is none. Nothing is remembered.
    #[error("a speaker is named on one line, in {max} characters at most")]
    Speaker {
        /// How many characters a name may have.
        max: u32,
    },
    /// So many talk with it already that no more can.
    #[error("{max} talk with it at the same time already, and no more can; ask again")]
    Busy {
        /// How many may.
        max: u32,
    },
}

/// How far an answer had come that ended with its being.
fn how_far(turn: &Option<u64>) -> &'static str {
    match turn {
        Some(_) => "it was interrupted",
        None => "it was not answered, and what was said is not remembered",
    }
}

/// What sort of failure of a provider it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProviderFault {
    /// It cannot be reached.
    Unreachable,
    /// It refuses the key, or there is none to ask it with.
    Unauthorized,
    /// It answers no more for now.
    Limited,
    /// It refuses the question.
    Refused,
    /// It failed.
    Failed,
    /// It said nothing for too long.
    Silent,
    /// It sent what is no answer.
    Garbage,
    /// It broke off in mid-answer.
    BrokenOff,
}
