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
    pub(super) spent: u64,
}

impl Writing {
    pub(super) fn write(
        &self,
        writer: &mut Writer,
    ) -> Result<(StoredTurn, Memory, Option<Memory>, facts::Kept), StoreError> {
        let (id, said) = match &self.kept {
            Some((id, said)) => (*id, said.clone()),
            None => {
                let id = next_turn(writer)?;
                let said =
                    NewMemory { speaker: self.speaker.clone(), ..self.memory(id, &self.said) };
                (id, Memories::put(writer, &said)?)
            }
        };
        let answered = match self.answer.as_deref().filter(|_| self.is_answer_remembered) {
            Some(answer) => {
                let speaker = Some(self.name.clone());
                let answer = NewMemory { speaker, ..self.memory(id, answer) };
                Some(Memories::put(writer, &answer)?)
            }
            None => None,
        };
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
        if self.spent > 0 {
            let mut budget = writer.get(BUDGET, &())?.unwrap_or_default();
            budget.charge(self.at, self.spent);
            writer.insert(BUDGET, &(), &budget)?;
        }
        Ok((turn, said, answered, facts))
    }

    /// The turn keeps all of a text; what is found again is its beginning.
    fn memory(&self, turn: u64, text: &str) -> NewMemory {
        NewMemory {
            kind: MemoryKind::Turn,
            text: text[..text.floor_char_boundary(TEXT_BYTES_MAX)].to_owned(),
            speaker: None,
            at: self.at,
            turn: Some(turn),
            subject: None,
        }
    }
}

/// The number of the next turn. None has that of another, also not of one that was forgotten.
fn next_turn(writer: &mut Writer) -> Result<u64, StoreError> {
    let last = writer.last(TURNS)?.map_or(0, |(last, _)| last);
    let next = writer.get(LAST_TURN, &())?.unwrap_or(0).max(last) + 1;
    writer.insert(LAST_TURN, &(), &next)?;
    Ok(next)
}
