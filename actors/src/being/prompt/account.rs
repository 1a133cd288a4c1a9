//! What went into a prompt, and what did not.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Plan;
use super::pieces::Pieces;
use super::pile::Pile;
use crate::being::lorebook::Why;

/// What went into a prompt, and what did not. Numbers in [selections](Selection) are places in what the
/// prompt was made of.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct PromptAccount {
    /// How many tokens the prompt has, by estimate.
    pub tokens: u32,
    /// How many it may have.
    pub tokens_max: u32,
    /// What each part takes of them.
    pub by_part: TokensByPart,
    /// Whether a text of the character was cut or left out.
    pub is_character_cut: bool,
    /// Blocks of core memory, the most important first.
    pub core: Selection,
    /// Those of them that are in the prompt, but not as a whole.
    pub core_cut: Vec<u32>,
    /// Turns, the newest first.
    pub turns: Selection,
    /// Those of them of which only the beginning is in the prompt, the newest first.
    pub turns_cut: Vec<u32>,
    /// Memories, those with the highest score first.
    pub memories: Selection,
    /// Those of them of which only the beginning is in the prompt, in the same order.
    pub memories_cut: Vec<u32>,
    /// Lore that is in the prompt, the most important first.
    pub lore: Vec<LoreUse>,
    /// Lore that was called and is not in the prompt.
    pub lore_left_out: Vec<LoreUse>,
    /// Conversations of the example dialogue.
    pub examples: Selection,
}

/// What each part of a prompt takes, in tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct TokensByPart {
    /// What was said.
    pub said: u32,
    /// The character's own texts.
    pub character: u32,
    /// Core memory.
    pub core: u32,
    /// Turns.
    pub turns: u32,
    /// Memories.
    pub memories: u32,
    /// Lore.
    pub lore: u32,
    /// Example dialogue.
    pub examples: u32,
    /// What holds the parts together.
    pub framing: u32,
}

/// What was taken and what was left out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Selection {
    /// In the prompt.
    pub taken: Vec<u32>,
    /// Not in the prompt, for want of room.
    pub left_out: Vec<u32>,
}

/// An entry of the lorebook that was called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LoreUse {
    /// Which entry of the lorebook.
    pub entry: u32,
    /// What it is called; often empty.
    pub name: String,
    /// Why it came.
    pub why: Why,
}

impl PromptAccount {
    pub(super) fn new(
        pieces: &Pieces,
        plan: &Plan,
        tokens_max: u32,
        said: u32,
        tokens: u32,
    ) -> Self {
        let mut by_part = TokensByPart {
            said,
            character: plan.character_used,
            core: plan.core.used(),
            turns: plan.turns.used(),
            memories: plan.memories.used(),
            lore: plan.lore.used(),
            examples: plan.examples.used(),
            framing: 0,
        };
        by_part.framing = tokens.saturating_sub(by_part.sum());
        let mut core = Selection::of(&plan.core, |index| index);
        core.taken.sort_unstable();
        let is_cut = |place: &u32| plan.core_cut.contains_key(&(*place as usize));
        let core_cut = core.taken.iter().copied().filter(is_cut).collect();
        let lore = |index: &usize| pieces.lore_use(*index);
        let beyond_book = pieces.lore_beyond_book().iter().cloned();
        Self {
            tokens,
            tokens_max,
            by_part,
            is_character_cut: pieces.is_cut(&plan.character),
            core,
            core_cut,
            turns: Selection::of(&plan.turns, |index| pieces.turn_place(index)),
            turns_cut: cut_of(&plan.turns, |index| pieces.turn_place(index)),
            memories: Selection::of(&plan.memories, |index| pieces.memory_place(index)),
            memories_cut: cut_of(&plan.memories, |index| pieces.memory_place(index)),
            lore: plan.lore.taken().iter().map(lore).collect(),
            lore_left_out: plan.lore.left_out().iter().map(lore).chain(beyond_book).collect(),
            examples: Selection::of(&plan.examples, |index| index),
        }
    }
}

impl PromptAccount {
    /// How many blocks of core memory are cut or left out.
    pub fn core_not_whole(&self) -> usize {
        self.core_cut.len() + self.core.left_out.len()
    }
}

impl TokensByPart {
    fn sum(&self) -> u32 {
        let parts = [self.said, self.character, self.core, self.turns, self.memories];
        let more = [self.lore, self.examples, self.framing];
        parts.into_iter().chain(more).fold(0, u32::saturating_add)
    }
}

impl Selection {
    fn of(pile: &Pile, place: impl Fn(usize) -> usize) -> Self {
        let left_out = pile.left_out();
        Self { taken: places(pile.taken(), &place), left_out: places(&left_out, &place) }
    }
}

/// Those of a pile that are taken, and not as a whole.
fn cut_of(pile: &Pile, place: impl Fn(usize) -> usize) -> Vec<u32> {
    let cut: Vec<usize> =
        pile.taken().iter().copied().filter(|index| pile.is_cut(*index)).collect();
    places(&cut, &place)
}

fn places(indices: &[usize], place: &impl Fn(usize) -> usize) -> Vec<u32> {
    let places = indices.iter().map(|index| place(*index));
    places.map(|place| place.try_into().unwrap_or(u32::MAX)).collect()
}
