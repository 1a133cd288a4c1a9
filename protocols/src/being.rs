//! What is said to `being/ID`: an isolated mind that remembers.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::beings::meant;
use crate::budget::{Budget, BudgetLimits, BudgetSpent};
use crate::{Address, Json, Name, Timestamp, message};

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
        "what was said has about {tokens} tokens, and {max} find room; say it in parts, or raise `prompt_tokens_max` in the settings of its provider"
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

/// What sort of failure of a provider it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProviderFault {
    /// It cannot be reached.
    Unreachable,
    /// It refuses the key.
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

/// Show who a being is, and what it has.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct ShowBeing {}
message!(ShowBeing = "being.info" -> BeingInfo);

/// Who a being is, and what it has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BeingInfo {
    /// Its id.
    pub id: Name,
    /// What it is called.
    pub name: String,
    /// Its character, in our own form.
    pub character: Json,
    /// What it keeps in mind at all times.
    pub core: Vec<CoreBlock>,
    /// Who finds its words: `offline`, or a model and where it runs.
    pub provider: String,
    /// How many turns of conversation it has had.
    pub turns: u64,
    /// How many memories it has.
    pub memories: u64,
    /// What it may spend, and what it has spent.
    pub budget: Budget,
    /// When it was made.
    pub created: Timestamp,
    /// What its store takes on the disk, in bytes.
    pub store_bytes: u64,
}

/// A small text that a being keeps in mind at all times, such as who it is, or whom it talks to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CoreBlock {
    /// What it is about, such as `whom I talk to`.
    pub title: String,
    /// What it says.
    pub text: String,
}

/// Ask a being how it is.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct AskHealth {}
message!(AskHealth = "being.health" -> BeingHealth);

/// How a being is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BeingHealth {
    /// Whether all is as it should be.
    pub is_well: bool,
    /// What is amiss, or being done about it.
    pub notes: Vec<String>,
}

/// Change the character of a being: fields of our own form, `null` for one that is to be empty.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct UpdateCharacter {
    /// The fields that change.
    pub changes: Json,
}
message!(UpdateCharacter = "being.update_character" -> BeingInfo, refused by NotChanged);

/// Set a block of a being's core memory, or take it away.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct SetCore {
    /// Which, such as `whom I talk to`.
    pub title: String,
    /// What it is to say; it is taken away if there is none.
    #[serde(default)]
    pub text: Option<String>,
}
message!(SetCore = "being.set_core" -> BeingInfo, refused by NotChanged);

/// Set who finds the words of a being.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct SetProvider {
    /// The settings of its provider, as `{"kind": "openai", "base_url": "...", "model": "..."}`. A key is
    /// never part of them: `key_env` or `key_file` name where it is.
    pub settings: Json,
}
message!(SetProvider = "being.set_provider" -> BeingInfo, refused by NotChanged);

/// Show by which settings the words of a being are found. They are no part of `BeingInfo`: in which file
/// a key of the house lies is for who may manage a being, and not for all who may talk with it.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct ShowProvider {}
message!(ShowProvider = "being.show_provider" -> ProviderInfo);

/// By which settings the words of a being are found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProviderInfo {
    /// Who finds its words: `offline`, or a model and where it runs.
    pub provider: String,
    /// What is set, as it was written. A key is never part of it: `key_env` or `key_file` name where it is.
    pub settings: Json,
    /// What is not set, as it is by default.
    pub defaults: Json,
}

/// Set what a being may spend.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct SetBudget {
    /// What it may spend from now on. What it has spent stays.
    pub limits: BudgetLimits,
}
message!(SetBudget = "being.set_budget" -> Budget, refused by NotChanged);

/// Why nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[error("{why}")]
pub struct NotChanged {
    /// What is wrong, and what to do.
    pub why: String,
}

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

/// Have a being remember something.
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
    pub reasons: Json,
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

/// Remind a being of something at a time: it wakes if need be, and that is said to it, by `reminder`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Remind {
    /// When; soon if that has passed.
    pub at: Timestamp,
    /// Of what.
    pub text: String,
}
message!(Remind = "being.remind" -> Reminder, refused by NotKept);

/// What a being is to be reminded of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reminder {
    /// Its number.
    pub id: u64,
    /// When.
    pub at: Timestamp,
    /// Of what.
    pub text: String,
    /// When it was set.
    pub made: Timestamp,
}

/// List what a being is to be reminded of, the next first.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ListReminders {
    /// How many; 100 if it does not say, and 1,000 at most.
    pub limit: Option<u32>,
}
message!(ListReminders = "being.list_reminders" -> Reminders, refused by NotKept);

/// What a being is to be reminded of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reminders {
    /// The next first.
    pub reminders: Vec<Reminder>,
    /// How many there are in all.
    pub total: u64,
}

/// Take a reminder back.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct CancelReminder {
    /// Its number.
    pub id: u64,
}
message!(CancelReminder = "being.cancel_reminder" -> Reminder, refused by NotKept);

/// Take up the next reminder if its time has come. From the home of the being.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct HeedReminders {}
message!(HeedReminders = "being.heed_reminders" -> Heeded, refused by NotKept);

/// What became of the reminders whose time has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Heeded {
    /// The one that was taken up, if one was due.
    pub reminder: Option<u64>,
    /// When the next one is due.
    pub next: Option<Timestamp>,
}

/// A being was reminded of something. Published about `beings.ID.said`, when it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BeingReminded {
    /// The being.
    pub being: Name,
    /// The number of the reminder.
    pub reminder: u64,
    /// When it was due.
    pub at: Timestamp,
    /// Of what.
    pub text: String,
    /// What it answered; a part of it, if it was not answered to the end.
    pub answer: Option<String>,
    /// Why there is no answer, or not the whole of it.
    pub failure: Option<String>,
    /// The turn under which it is remembered.
    pub turn: u64,
}
message!(BeingReminded = "being.reminded" -> ());

/// Why something was not kept, looked up or forgotten.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[error("{why}")]
pub struct NotKept {
    /// What went wrong, and what to do.
    pub why: String,
}

/// Have a being say something to another, and remember what that answers.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Say {
    /// To whom.
    pub to: Name,
    /// What.
    pub text: String,
    /// Through which beings this came about, the first first. Left empty by who is no being.
    #[serde(default)]
    pub path: Vec<Name>,
}
message!(Say = "being.say" -> Said, refused by NotSaid);

/// What another being answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Said {
    /// Who answered.
    pub by: Address,
    /// What.
    pub text: String,
}

/// Why a being did not say something to another, or has no answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum NotSaid {
    /// It would go round in a circle.
    #[error("{} has a part in this already, so it would go round in a circle: {}", to.as_str(), Way(path))]
    Circle {
        /// To whom.
        to: Name,
        /// Through which beings it came about.
        path: Vec<Name>,
    },
    /// It went through too many beings.
    #[error("it went through {max} beings already, and may go through no more: {}", Way(path))]
    TooFar {
        /// How many it may go through.
        max: u32,
        /// Through which beings it came about.
        path: Vec<Name>,
    },
    /// There is no such being.
    #[error("no being is called {}{}", to.as_str(), meant(nearest))]
    NoSuchBeing {
        /// To whom.
        to: Name,
        /// The one that was probably meant.
        nearest: Option<Name>,
    },
    /// The other did not answer, or cannot be reached.
    #[error("{why}")]
    NotAnswered {
        /// Why.
        why: String,
    },
}

/// Names, with arrows between.
struct Way<'a>(&'a [Name]);

impl fmt::Display for Way<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.0.iter().map(Name::as_str).collect();
        f.write_str(&names.join(" -> "))
    }
}
