//! The newest turns, as a prompt has them: those that are at hand, and of a whole conversation the greeting
//! that it began with.

use std::collections::BTreeSet;

use genii_storage::store::StoreError;

use crate::being::character::macros::{USER_DEFAULT, expand};
use crate::being::character::{Character, Names};
use crate::being::mind::Mind;
use crate::being::prompt::{EstimatedTokens, PromptAccount, PromptSettings, Turn, is_long};
use crate::being::tables::{LAST_TURN, TURNS};

/// What a greeting makes its choices by: the same as where a chat shows it.
const GREETING_SEED: u64 = 0;

/// The newest turns, as a prompt has them.
pub(super) struct Newest {
    pub(super) turns: Vec<Turn>,
    /// Of which stored turn each is; none of the greeting.
    of: Vec<Option<u64>>,
    /// How many answers the being has given, from the beginning on, by the number of the last turn: one without
    /// an answer counts as well.
    pub(super) answers: u32,
    /// Which greeting the conversation began with, if the being has one. It stands among the turns only as
    /// long as all of them are at hand.
    pub(super) greeting: Option<u32>,
}

impl Newest {
    /// Those of a being, for somebody who talks with it now. Where a conversation begins, the being has
    /// greeted whoever it talks with.
    pub(super) fn of(mind: &Mind, character: &Character, user: &str) -> Result<Self, StoreError> {
        let first = match character.greeting(0) {
            Some(_) => mind.store.read::<_, StoreError>(|reader| reader.first(TURNS))?,
            None => None,
        };
        let recent = mind.recent.lock();
        let room = recent.len() * 2 + 1;
        let (mut turns, mut of) = (Vec::with_capacity(room), Vec::with_capacity(room));
        let first = first.map(|(first, _)| first);
        let is_from_its_beginning = first == recent.front().map(|turn| turn.id);
        let greeting = character.greeting(0);
        if let Some(greeting) = greeting.filter(|_| is_from_its_beginning) {
            let names = Names::new(character.called(), user);
            let text = expand(greeting, &names, GREETING_SEED).trim().to_owned();
            turns.push(Turn { speaker: None, text });
            of.push(None);
        }
        // Turns are numbered from 1 on, so they need not be read to be counted. One without an answer counts, too, and
        // one that is forgotten still does: what happens every so many answers is to miss none.
        let last = match recent.back() {
            Some(turn) => turn.id,
            None => mind.store.read(|reader| reader.get(LAST_TURN, &()))?.unwrap_or_default(),
        };
        let answers = u32::try_from(last).unwrap_or(u32::MAX);
        for turn in recent.iter() {
            let speaker = turn.speaker.clone().or_else(|| Some(USER_DEFAULT.to_owned()));
            turns.push(Turn { speaker, text: turn.said.clone() });
            of.push(Some(turn.id));
            if let Some(answer) = &turn.answer {
                turns.push(Turn { speaker: None, text: answer.clone() });
                of.push(Some(turn.id));
            }
        }
        Ok(Self { turns, of, answers, greeting: greeting.map(|_| 0) })
    }

    /// The oldest of so many turns, of as many as there are.
    pub(super) fn last(&self, count: usize) -> Option<u64> {
        let ids = self.ids();
        ids.get(ids.len().saturating_sub(count)).copied()
    }

    /// How many turns stand in a prompt, with the answer and with what was said, if only the beginning of it.
    pub(super) fn whole_in(&self, account: &PromptAccount) -> usize {
        let Some(oldest) = account.turns.taken.iter().min().map(|place| *place as usize) else {
            return 0;
        };
        let before = oldest.checked_sub(1).and_then(|before| self.of[before]);
        let mut whole = self.of[oldest..].iter().copied().flatten();
        match whole.find(|turn| Some(*turn) != before) {
            Some(from) => self.ids().into_iter().filter(|id| *id >= from).count(),
            None => 0,
        }
    }

    /// Those turns of which a prompt may have the beginning only, of what was said or of the answer.
    pub(super) fn long(&self, settings: &PromptSettings) -> BTreeSet<u64> {
        let turns = self.turns.iter().zip(&self.of);
        let long = turns.filter(|(turn, _)| is_long(turn, settings, &EstimatedTokens));
        long.filter_map(|(_, of)| *of).collect()
    }

    pub(super) fn ids(&self) -> Vec<u64> {
        let mut ids: Vec<u64> = self.of.iter().copied().flatten().collect();
        ids.dedup();
        ids
    }
}
