//! What is written of a turn, all of it in one write: what was said and answered, as memories too, the
//! facts that are told in it, and what it took.

use genii_protocols::Timestamp;
use genii_storage::memories::{Memories, Memory, MemoryKind, NewMemory};
use genii_storage::store::{StoreError, Writer};

use crate::being::tables::{BUDGET, LAST_TURN, REMINDERS, StoredTurn, TURNS};
use crate::being::{TEXT_BYTES_MAX, facts};

/// What is written of a turn.
pub(super) struct Writing {
    /// The facts that are told in it.
    pub(super) facts: Vec<NewMemory>,
    /// The reminder that is done with it.
    pub(super) reminder: Option<u64>,
    pub(super) kept: Option<(u64, Memory)>,
    pub(super) at: Timestamp,
    pub(super) said: String,
    pub(super) speaker: Option<String>,
    pub(super) is_answer_remembered: bool,
    pub(super) name: String,
    pub(super) answer: Option<String>,
    pub(super) failure: Option<String>,
    /// How many tokens it took, as far as that is known; none if nothing was asked.
    pub(super) spent: u64,
    /// What was counted of it already, when it was kept before its end.
    pub(super) charged: Option<Charged>,
}

/// What is counted of a turn against the budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Charged {
    /// Under which time: a later one than that of the turn, if the clock went back.
    at: Timestamp,
    /// How many tokens.
    tokens: u64,
}

/// What is kept of a turn.
pub(super) struct Written {
    pub(super) turn: StoredTurn,
    pub(super) said: Memory,
    pub(super) answered: Option<Memory>,
    pub(super) facts: facts::Kept,
    pub(super) charged: Option<Charged>,
}

impl Writing {
    pub(super) fn write(&self, writer: &mut Writer) -> Result<Written, StoreError> {
        let (id, said) = match &self.kept {
            Some((id, said)) => (*id, said.clone()),
            None => {
                let id = next_turn(writer)?;
                let said = NewMemory { turn: Some(id), ..self.said_memory() };
                (id, Memories::put(writer, &said)?)
            }
        };
        let answered = self.answer_memory().map(|answer| {
            let answer = NewMemory { turn: Some(id), ..answer };
            Memories::put(writer, &answer)
        });
        let answered = answered.transpose()?;
        let turn = StoredTurn {
            id,
            at: self.at,
            speaker: self.speaker.clone(),
            said: self.said.clone(),
            answer: self.answer.clone(),
            failure: self.failure.clone(),
            memories: std::iter::once(&said).chain(&answered).map(|memory| memory.id).collect(),
        };
        writer.insert(TURNS, &id, &turn)?;
        let of_this_turn = |fact: &NewMemory| NewMemory { turn: Some(id), ..fact.clone() };
        let facts: Vec<NewMemory> = self.facts.iter().map(of_this_turn).collect();
        let facts = facts::put(writer, &facts, None)?;
        if let Some(reminder) = self.reminder {
            writer.remove(REMINDERS, &reminder)?;
        }
        let charged = self.count(writer)?;
        Ok(Written { turn, said, answered, facts, charged })
    }

    /// Counts what it took, once: what was counted before is corrected.
    fn count(&self, writer: &mut Writer) -> Result<Option<Charged>, StoreError> {
        if self.spent == self.charged.map_or(0, |charged| charged.tokens) {
            return Ok(self.charged);
        }
        let mut budget = writer.get(BUDGET, &())?.unwrap_or_default();
        let at = match self.charged {
            Some(Charged { at, tokens }) => {
                budget.correct(at, tokens, self.spent);
                at
            }
            None => {
                budget.charge(self.at, self.spent);
                budget.counted_at.unwrap_or(self.at)
            }
        };
        writer.insert(BUDGET, &(), &budget)?;
        Ok((self.spent > 0).then_some(Charged { at, tokens: self.spent }))
    }

    /// What is kept of it as memories, but for its number: what was said first, if it is not there yet.
    pub(super) fn memories(&self) -> impl Iterator<Item = NewMemory> {
        let said = self.kept.is_none().then(|| self.said_memory());
        said.into_iter().chain(self.answer_memory())
    }

    fn said_memory(&self) -> NewMemory {
        self.memory(&self.said, self.speaker.clone())
    }

    fn answer_memory(&self) -> Option<NewMemory> {
        let answer = self.answer.as_deref().filter(|_| self.is_answer_remembered)?;
        Some(self.memory(answer, Some(self.name.clone())))
    }

    fn memory(&self, text: &str, speaker: Option<String>) -> NewMemory {
        remembered(text, speaker, self.at, None)
    }
}

/// What is remembered of what was said or answered in a turn. The turn keeps all of a text; what is found again
/// is its beginning.
pub(in crate::being) fn remembered(
    text: &str,
    speaker: Option<String>,
    at: Timestamp,
    turn: Option<u64>,
) -> NewMemory {
    let text = text[..text.floor_char_boundary(TEXT_BYTES_MAX)].to_owned();
    NewMemory { kind: MemoryKind::Turn, text, speaker, at, turn, subject: None }
}

/// The number of the next turn. None has that of another, also not of one that was forgotten.
fn next_turn(writer: &mut Writer) -> Result<u64, StoreError> {
    let last = writer.last(TURNS)?.map_or(0, |(last, _)| last);
    let last = writer.get(LAST_TURN, &())?.unwrap_or(0).max(last);
    let next = last.checked_add(1).ok_or(StoreError::NoNumber { table: TURNS.name() })?;
    writer.insert(LAST_TURN, &(), &next)?;
    Ok(next)
}

#[cfg(test)]
mod tests {
    use genii_protocols::budget::{Budget, Spent};
    use genii_storage::store::{Store, StoreOptions};

    use super::*;
    use crate::being::tables::SCHEMA;

    fn at(text: &str) -> Timestamp {
        serde_json::from_value(text.into()).unwrap()
    }

    /// A turn of this time that took so many tokens, as it is written.
    fn turn(at: Timestamp, spent: u64, charged: Option<Charged>) -> Writing {
        Writing {
            facts: Vec::new(),
            reminder: None,
            kept: None,
            at,
            said: "Is it windy?".to_owned(),
            speaker: None,
            is_answer_remembered: false,
            name: "Marit".to_owned(),
            answer: None,
            failure: None,
            spent,
            charged,
        }
    }

    #[test]
    fn no_turn_has_a_number_behind_the_highest() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("being.redb");
        let store = Store::open(path, &SCHEMA, &StoreOptions::default()).unwrap();
        let numbered = store.write_blocking(|writer: &mut Writer| {
            writer.insert(LAST_TURN, &(), &(u64::MAX - 1))?;
            assert_eq!(next_turn(writer)?, u64::MAX);
            next_turn(writer)
        });
        assert!(matches!(numbered, Err(StoreError::NoNumber { table: "turns" })), "{numbered:?}");
    }

    #[test]
    fn what_was_counted_early_is_taken_back_also_if_the_clock_went_back() {
        const BEFORE: &str = "2026-05-30T12:00:00Z";
        const LATER: &str = "2026-05-31T12:00:00Z";
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("being.redb");
        let store = Store::open(path, &SCHEMA, &StoreOptions::default()).unwrap();
        let count = |writing: Writing| {
            store.write_blocking(move |writer: &mut Writer| writing.count(writer)).unwrap()
        };
        let other = count(turn(at(LATER), 10, None));
        assert_eq!(other, Some(Charged { at: at(LATER), tokens: 10 }));
        let early = count(turn(at(BEFORE), 7, None));
        assert_eq!(count(turn(at(BEFORE), 0, early)), None);
        let budget = store.read::<_, StoreError>(|reader| reader.get(BUDGET, &()));
        let Budget { today, this_month, in_all, .. } = budget.unwrap().unwrap();
        let expected = Spent { requests: 1, tokens: 10 };
        assert_eq!([today, this_month, in_all], [expected; 3]);
    }
}
