//! What a being remembers: looking back, recalling, forgetting, and all of it in one file.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Reminder;
use crate::{Timestamp, message};

/// Look back at a conversation, the newest turns first.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ShowHistory {
    /// Only turns before this one; from the newest on if it does not say.
    pub before: Option<u64>,
    /// How many; 20 if it does not say, and 200 at most.
    pub limit: Option<u32>,
}
message!(ShowHistory = "being.history" -> History, refused by NotKept);

/// A part of a conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct History {
    /// The turns, the newest first.
    pub turns: Vec<Turn>,
    /// There are older ones: ask for those before this one.
    pub older: Option<u64>,
}

/// What was said to a being, and what it answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Turn {
    /// Its number.
    pub id: u64,
    /// When it was said.
    pub at: Timestamp,
    /// Who said it, if that is known.
    pub speaker: Option<String>,
    /// What was said.
    pub said: String,
    /// What was answered; a part of it, if it was not answered to the end.
    pub answer: Option<String>,
    /// Why there is no answer, or not the whole of it.
    pub failure: Option<String>,
    /// It is being answered just now.
    #[serde(default)]
    pub is_being_answered: bool,
}

/// Have a being remember something. When it is answered, that is on the disk, and found. Who tells it, and does not
/// ask, has it found by whatever they ask next. What is sent before an answer has come may be handled earlier, but for
/// [`Forget`](super::Forget), and for others of these, which are kept in the order in which they come.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Remember {
    /// What.
    pub text: String,
    /// Who said it, if somebody did.
    #[serde(default)]
    pub speaker: Option<String>,
    /// When; now if it does not say.
    #[serde(default)]
    pub at: Option<Timestamp>,
}
message!(Remember = "being.remember" -> Memory, refused by NotKept);

/// Something that a being remembers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Memory {
    /// Its number.
    pub id: u64,
    /// What sort it is.
    pub kind: MemoryKind,
    /// What was said or noted.
    pub text: String,
    /// Who said it, if somebody did.
    pub speaker: Option<String>,
    /// When it was said or noted.
    pub at: Timestamp,
    /// Since when it no longer holds, of a fact that has changed.
    pub until: Option<Timestamp>,
}

/// What sort a memory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MemoryKind {
    /// Said in a conversation.
    Turn,
    /// Told to be remembered.
    Note,
    /// A fact that was told.
    Fact,
    /// What much came down to.
    Summary,
}

/// Ask what a being remembers of something.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RecallMemories {
    /// Of what: a question, or words.
    pub question: String,
    /// How many; 10 if it does not say, and 100 at most.
    pub limit: Option<u32>,
    /// Only those from then on.
    pub from: Option<Timestamp>,
    /// Only those before then.
    pub until: Option<Timestamp>,
    /// Only those by this speaker.
    pub speaker: Option<String>,
    /// Only those of these kinds; of all if there are none.
    pub kinds: Vec<MemoryKind>,
}
message!(RecallMemories = "being.recall" -> Recollections, refused by NotKept);

/// What a being remembers of something.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Recollections {
    /// The most telling first.
    pub memories: Vec<Recollection>,
}

/// Something that was remembered, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Recollection {
    /// What.
    pub memory: Memory,
    /// How well it answers, from 0 to 1.
    pub score: f32,
    /// Why it was found, in a few words.
    pub why: String,
    /// Why it was found: each reason with its share.
    pub reasons: Reasons,
}

/// Why something was found. All shares together make 1.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Reasons {
    /// The words of the question that it or what stands beside it has, the weightiest first.
    pub words: Vec<FoundWord>,
    /// That it means something like the question.
    pub similarity: Option<Likeness>,
    /// That it was said by somebody whom the question names.
    pub speaker: Option<NamedSpeaker>,
    /// The share that comes of its days being those that the question names.
    pub date: f32,
    /// The share that comes of what kind of text it is.
    pub kind: f32,
}

/// A word of the question that was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FoundWord {
    /// As it was asked.
    pub word: String,
    /// The beginning of the word that it was found as, if it is spelt otherwise.
    pub spelt: Option<String>,
    /// The memory beside it that has it, if it has not itself.
    pub beside: Option<u64>,
    /// Its share in the score.
    pub share: f32,
}

/// That a memory means something like the question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Likeness {
    /// How much: the cosine of both vectors, at most 1.
    pub cosine: f32,
    /// The memory beside it whose vector it is, if that counts more than its own.
    pub beside: Option<u64>,
    /// Its share in the score.
    pub share: f32,
}

/// That a memory was said by somebody whom the question names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NamedSpeaker {
    /// Who, in lower case.
    pub name: String,
    /// Its share in the score.
    pub share: f32,
}

/// Have a being forget for good: nothing of it is left in its folder when this is answered.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Forget {
    /// What.
    pub what: Forgettable,
}
message!(Forget = "being.forget" -> Forgotten, refused by NotKept);

/// Tell what a being would forget, and forget nothing.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct WouldForget {
    /// What.
    pub what: Forgettable,
    /// How many are shown of each sort, the newest; 10 if it does not say, and 200 at most.
    #[serde(default)]
    pub limit: Option<u32>,
}
message!(WouldForget = "being.would_forget" -> AtStake, refused by NotKept);

/// What would be forgotten.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AtStake {
    /// How many of each sort would go.
    pub all: Forgotten,
    /// The newest of the memories.
    pub memories: Vec<Memory>,
    /// The newest of the turns.
    pub turns: Vec<Turn>,
    /// The newest of the turns of which only the answer would go.
    pub answering: Vec<Turn>,
    /// The newest of the reminders.
    pub reminders: Vec<Reminder>,
}

/// What may be forgotten.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Forgettable {
    /// One memory, by its number, with the turn that it is of.
    Memory {
        /// Its number.
        id: u64,
    },
    /// All that was said or noted in a span of time, and the reminders that were set in it.
    Span {
        /// From then on.
        from: Timestamp,
        /// Before then.
        until: Timestamp,
    },
    /// All memories, turns and reminders in which these words stand, in this order, whether large or
    /// small: in their text, in what a fact is about, or in the name of who said it.
    Matching {
        /// The words.
        text: String,
    },
    /// One turn of the conversation, by its number, with what is remembered of it.
    Turn {
        /// Its number.
        id: u64,
    },
}

/// What was forgotten: what was meant, what was made of it, and answers that quote it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Forgotten {
    /// How many memories.
    pub memories: u64,
    /// How many turns.
    pub turns: u64,
    /// How many answers of turns of which the rest stays.
    #[serde(default)]
    pub answers: u64,
    /// How many reminders.
    pub reminders: u64,
}

/// Write all that a being is and remembers into one file, which another household can take in.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Export {
    /// The file, on the machine of the being; an absolute path. One that is there is not overwritten.
    pub file: String,
}
message!(Export = "being.export" -> Exported, refused by NotKept);

/// What was exported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Exported {
    /// The file.
    pub file: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
}

/// Why something was not kept, looked up or forgotten.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[error("{why}")]
pub struct NotKept {
    /// What went wrong, and what to do.
    pub why: String,
}
