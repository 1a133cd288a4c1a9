//! What a memory is, and how one asks for some.

use std::collections::BTreeSet;

use genii_protocols::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::index::Filter;
use crate::ranking::reasons::Reasons;
use crate::text::Analysis;
use crate::vector::Vector;

use super::tables::Brief;

/// What sort of memory something is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum MemoryKind {
    /// Said in a conversation.
    Turn,
    /// Told to be remembered.
    Note,
    /// Extracted from what was said.
    Fact,
    /// A summary of what was said.
    Summary,
}

impl MemoryKind {
    /// Its number in the index. It never changes.
    pub fn code(self) -> u8 {
        match self {
            Self::Turn => 0,
            Self::Note => 1,
            Self::Fact => 2,
            Self::Summary => 3,
        }
    }
}

/// Something that is remembered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Memory {
    /// Which. Ids ascend in the order in which memories arrive, from 1 on, and none is given twice.
    pub id: u64,
    /// What sort of memory it is.
    pub kind: MemoryKind,
    /// What it says.
    pub text: String,
    /// Who said it.
    pub speaker: Option<String>,
    /// When it was said or noted.
    pub at: Timestamp,
    /// The turn of the conversation that it is of.
    pub turn: Option<u64>,
    /// Of a fact: what it is about, such as `city of Ann`.
    pub subject: Option<String>,
    /// Of a fact that no longer holds: since when it does not.
    pub until: Option<Timestamp>,
    /// Of a fact that no longer holds: the one that holds in its stead. That may have been forgotten
    /// since.
    pub replaced_by: Option<u64>,
}

/// What finding a memory needs, made before it is kept: [`super::Memories::foresee`].
#[derive(Debug, Clone)]
pub struct Foreseen {
    pub(super) analysis: Analysis,
    pub(super) vector: Option<Vector>,
}

/// Something to be remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMemory {
    /// What sort of memory it is.
    pub kind: MemoryKind,
    /// What it says.
    pub text: String,
    /// Who said it.
    pub speaker: Option<String>,
    /// When it was said or noted.
    pub at: Timestamp,
    /// The turn of the conversation that it is of.
    pub turn: Option<u64>,
    /// Of a fact: what it is about.
    pub subject: Option<String>,
}

impl NewMemory {
    pub(super) fn with_id(&self, id: u64) -> Memory {
        let Self { kind, text, speaker, at, turn, subject } = self.clone();
        Memory { id, kind, text, speaker, at, turn, subject, until: None, replaced_by: None }
    }
}

/// A question to the memories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recall {
    /// What is asked, in plain words.
    pub question: String,
    /// When it is asked: `yesterday` is counted from it.
    pub at: Timestamp,
    /// Who asks: `my dog` is then theirs.
    pub asked_by: Option<String>,
    /// How many memories are wanted at most; no more than [`super::RECALLED_MAX`] are given.
    pub limit: usize,
    /// Among which memories.
    pub filter: RecallFilter,
}

/// Which memories a question is put to. The default is all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecallFilter {
    /// Those from this time on.
    pub from: Option<Timestamp>,
    /// Those before this time.
    pub until: Option<Timestamp>,
    /// Those of these kinds; of all kinds, if there are none.
    pub kinds: Vec<MemoryKind>,
    /// Those by this speaker, spelt as it was then.
    pub speaker: Option<String>,
    /// None of the turns from this one on: they are before the asker's eyes anyway.
    pub except_turns_from: Option<u64>,
    /// Of these not all may be before the asker's eyes: only what was said in them is left out, and no fact
    /// that was told.
    pub seen_in_part: BTreeSet<u64>,
}

impl RecallFilter {
    pub(super) fn passes(&self, memory: &Brief) -> bool {
        let speaker = self.speaker.as_ref();
        let is_said = memory.kind == MemoryKind::Turn;
        let is_before_eyes = |turn: u64| {
            self.except_turns_from.is_some_and(|from| turn >= from)
                && (is_said || !self.seen_in_part.contains(&turn))
        };
        self.from.is_none_or(|from| memory.at >= from)
            && self.until.is_none_or(|until| memory.at < until)
            && (self.kinds.is_empty() || self.kinds.contains(&memory.kind))
            && speaker.is_none_or(|speaker| memory.speaker.as_ref() == Some(speaker))
            && memory.turn.is_none_or(|turn| !is_before_eyes(turn))
    }

    /// Whether it leaves out only what is before the asker's eyes, which is the newest.
    pub(super) fn is_of_the_asker_only(&self) -> bool {
        let Self { from, until, kinds, speaker, except_turns_from: _, seen_in_part: _ } = self;
        from.is_none() && until.is_none() && kinds.is_empty() && speaker.is_none()
    }

    /// The same for the index, which knows no turns, among memories through an id.
    pub(super) fn for_index(&self, through: u64) -> Filter {
        Filter {
            through: Some(through),
            from: self.from.map(micros),
            until: self.until.map(micros),
            kinds: self.kinds.iter().map(|kind| kind.code()).collect(),
            speaker: self.speaker.clone(),
            except: Vec::new(),
        }
    }
}

/// A time as the index has it.
pub(super) fn micros(at: Timestamp) -> i64 {
    i64::try_from(at.micros()).unwrap_or(i64::MAX)
}

/// A memory that was recalled.
#[derive(Debug, Clone, PartialEq)]
pub struct Recalled {
    /// The memory.
    pub memory: Memory,
    /// How well it answers, from 0 to 1.
    pub score: f32,
    /// Why it was found.
    pub reasons: Reasons,
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn what_was_told_in_a_turn_that_is_seen_in_part_is_found() {
        let seen_in_part = BTreeSet::from([8]);
        let filter =
            RecallFilter { except_turns_from: Some(7), seen_in_part, ..RecallFilter::default() };
        let passes = |kind, turn| {
            let (at, speaker, replaced_by) = (UNIX_EPOCH.into(), None, None);
            filter.passes(&Brief { at, kind, speaker, turn, replaced_by })
        };
        let expected = [
            (Some(6), [true, true]),
            (Some(7), [false, false]),
            (Some(8), [false, true]),
            (Some(9), [false, false]),
            (None, [true, true]),
        ];
        for (turn, found) in expected {
            let said_and_told = [MemoryKind::Turn, MemoryKind::Fact].map(|kind| passes(kind, turn));
            assert_eq!(said_and_told, found, "{turn:?}");
        }
    }
}
