//! The prompt: everything that a model is to know, within a budget of tokens.
//!
//! What was said always stays whole: if it alone is beyond the budget, that is an error. Of the rest
//! each part first gets what it wants up to its [share](Shares), in this order; what then is left goes
//! round once more, in the same order:
//!
//! | part | when there is too much of it |
//! |---|---|
//! | character | cut at a sentence: first the scenario, then personality, description, instructions |
//! | core memory | blocks that do not fit are cut at a sentence, or left out if there is no room for that |
//! | turns | long ones are cut, and the oldest are left out |
//! | memories | long ones are cut, and those with the lowest scores are left out |
//! | lore | the least important is left out |
//! | example dialogue | the last conversations are left out |
//!
//! What was said before, an answer and a memory each take at most a quarter of the share of their part at
//! first, so that one long text leaves room for the others: its beginning stays, with a `…`. Where room is
//! left then, it is there as a whole.
//!
//! A prompt is never longer than its budget by the [`TokenCounter`] it was made with.
//!
//! Core memory, memories and lore are data: who wrote them is not who gives instructions. They are
//! quoted in a fence that they cannot break.
//!
//! The order of the messages: one of the system (instructions, lore, character, core memory, memories,
//! examples), the turns with lore between them, one of the system with the instructions that are to
//! stand last, and what was said.

mod account;
mod cut;
mod gather;
mod pieces;
mod pile;
mod quote;
mod shelf;
mod tokens;

use std::collections::BTreeMap;
use std::sync::Arc;

use genii_protocols::Timestamp;

use super::character::{Character, Names};
use super::lorebook::PreparedLorebook;
use super::provider::{Grounds, Remembered, Request, UnderWay};

pub use account::{LoreUse, PromptAccount, Selection, TokensByPart};
pub(super) use gather::{is_long, minute};
pub(super) use quote::in_one_line;
pub use tokens::{EstimatedTokens, TokenCounter};

use pieces::Pieces;
use pile::Pile;

/// What a message takes besides its text, in tokens: role and marks.
pub const MESSAGE_TOKENS: u32 = 4;

/// What the beginning of the answer takes, in tokens.
pub const ANSWER_MARK_TOKENS: u32 = 3;

/// How many of the newest turns are looked at.
pub const TURNS_MAX: usize = 1_000;

/// A turn or a memory that takes no more tokens than this is not cut, however small a prompt is: of fewer,
/// hardly more than the time of a memory would be left.
const PIECE_TOKENS_MIN: u32 = 64;

/// How many memories are looked at, those with the highest scores.
pub const MEMORIES_MAX: usize = 1_000;

/// What a prompt is made of.
#[derive(Debug, Clone, Copy)]
pub struct PromptInput<'a> {
    /// Who answers.
    pub character: &'a Character,
    /// Its lorebook.
    pub lorebook: Option<&'a PreparedLorebook>,
    /// What it keeps in mind, the most important first.
    pub core: &'a [CoreBlock],
    /// What it remembers of what was said, in any order.
    pub memories: &'a [Recalled],
    /// What was said before, the oldest first.
    pub turns: &'a [Turn],
    /// What was said now.
    pub said: &'a str,
    /// What whoever said it is called.
    pub user: &'a str,
    /// When.
    pub now: Timestamp,
    /// How many answers it has given in this conversation.
    pub answers: u32,
    /// Which greeting the conversation began with, if it did.
    pub greeting: Option<u32>,
    /// What macros make their choices by.
    pub seed: u64,
    /// Whether who answers has no model, and is to be told [what the prompt was made of](Request::grounds).
    pub wants_grounds: bool,
}

/// A small text that a being keeps in mind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoreBlock {
    /// What it is about, such as `who I am`.
    pub title: String,
    /// What it says.
    pub text: String,
}

/// Something that was remembered, and how well it answers to what was said.
#[derive(Debug, Clone)]
pub struct Recalled {
    /// What.
    pub memory: Remembered,
    /// The higher, the better.
    pub score: f32,
}

/// Something that was said before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// Who said it, if not the being itself.
    pub speaker: Option<String>,
    /// What.
    pub text: String,
}

/// How large a prompt may be.
#[derive(Debug, Clone, PartialEq)]
pub struct PromptSettings {
    /// How many tokens the prompt may have. With those of the answer, no more than the model takes.
    pub tokens_max: u32,
    /// How many tokens the answer may have.
    pub reply_tokens_max: u32,
    /// How freely a model may choose its words, from 0 to 2; the model's own if not set.
    pub temperature: Option<f32>,
    /// How the prompt is divided.
    pub shares: Shares,
}

impl Default for PromptSettings {
    /// For a model that takes 8,192 tokens, with a margin for what [`EstimatedTokens`] gets wrong.
    fn default() -> Self {
        Self {
            tokens_max: 6_000,
            reply_tokens_max: 1_000,
            temperature: None,
            shares: Shares::default(),
        }
    }
}

impl PromptSettings {
    /// How many tokens a part with such a share gets before the others have had theirs.
    fn share(&self, percent: u8) -> u32 {
        u32::try_from(u64::from(self.tokens_max) * u64::from(percent) / 100).unwrap_or(u32::MAX)
    }

    /// How many of them one of its pieces gets before the others have had theirs.
    fn piece_max(&self, percent: u8) -> u32 {
        (self.share(percent) / 4).max(PIECE_TOKENS_MIN)
    }
}

/// How much of the prompt a part gets before the others have had theirs, in percent. They may add up
/// to more than 100: the order of the parts decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shares {
    /// The character's own texts. More than this they never get.
    pub character: u8,
    /// Core memory.
    pub core: u8,
    /// Turns.
    pub turns: u8,
    /// Memories.
    pub memories: u8,
    /// Lore.
    pub lore: u8,
    /// Example dialogue.
    pub examples: u8,
}

impl Default for Shares {
    fn default() -> Self {
        Self { character: 40, core: 15, turns: 35, memories: 20, lore: 15, examples: 10 }
    }
}

/// A prompt, and what it was made of.
#[derive(Debug, Clone)]
pub struct Assembled {
    /// What a provider is asked.
    pub request: Arc<Request>,
    /// What went into it.
    pub account: PromptAccount,
}

/// Why there is no prompt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PromptError {
    /// What was said does not fit by itself.
    #[error(
        "what was said takes {tokens} tokens, and a prompt may have {tokens_max}; say it in parts, \
         or raise `prompt_tokens_max` in the settings of the provider"
    )]
    TooLong {
        /// How many tokens a prompt of it alone takes.
        tokens: u32,
        /// How many a prompt may have.
        tokens_max: u32,
    },
    /// Nothing was said.
    #[error("nothing was said; say something")]
    Empty,
}

/// Makes a prompt.
///
/// # Errors
/// [`PromptError`] if nothing was said, or more than there is room for.
pub fn assemble(
    input: &PromptInput<'_>,
    settings: &PromptSettings,
    counter: &dyn TokenCounter,
) -> Result<Assembled, PromptError> {
    if input.said.trim().is_empty() {
        return Err(PromptError::Empty);
    }
    let tokens_max = settings.tokens_max;
    let said = message_tokens(input.said, counter);
    let least = said.saturating_add(ANSWER_MARK_TOKENS);
    if least > tokens_max {
        return Err(PromptError::TooLong { tokens: least, tokens_max });
    }
    let names = Names::new(input.character.called(), input.user);
    let pieces = Pieces::new(input, &names, settings, counter);
    let mut plan = Plan::new(&pieces, input.core, settings, tokens_max - least, counter);
    loop {
        let messages = pieces.messages(&plan);
        let each = messages.iter().map(|it| message_tokens(&it.text, counter));
        let tokens = each.fold(ANSWER_MARK_TOKENS, u32::saturating_add);
        if tokens <= tokens_max {
            let account = PromptAccount::new(&pieces, &plan, tokens_max, said, tokens);
            let request = Request {
                messages,
                reply_tokens_max: settings.reply_tokens_max,
                temperature: settings.temperature,
                grounds: match input.wants_grounds {
                    true => pieces.grounds(input, &names, &plan),
                    false => Grounds::default(),
                },
                under_way: UnderWay::default(),
            };
            return Ok(Assembled { request: Arc::new(request), account });
        }
        // Parts are counted one by one; together they may take a little more, by how texts are joined.
        if !plan.give_up_something(&pieces, counter) {
            return Err(PromptError::TooLong { tokens, tokens_max });
        }
    }
}

fn message_tokens(text: &str, counter: &dyn TokenCounter) -> u32 {
    counter.count(text).saturating_add(MESSAGE_TOKENS)
}

/// What of the pieces goes into the prompt.
#[derive(Debug)]
struct Plan {
    /// The character's texts, perhaps cut, in the order of [`pieces::CharacterPart`].
    character: Vec<Option<String>>,
    /// How many tokens those may have.
    character_max: u32,
    character_used: u32,
    core: Pile,
    /// The lines of blocks of core memory that are cut, by their places.
    core_cut: BTreeMap<usize, String>,
    turns: Pile,
    memories: Pile,
    lore: Pile,
    examples: Pile,
}

impl Plan {
    fn new(
        pieces: &Pieces,
        blocks: &[CoreBlock],
        settings: &PromptSettings,
        room: u32,
        counter: &dyn TokenCounter,
    ) -> Self {
        // For the two messages of the system.
        let room = room.saturating_sub(2 * MESSAGE_TOKENS + pieces.note_tokens);
        let shares = &settings.shares;
        let share = |percent: u8| settings.share(percent);
        let mut plan = Self {
            character: Vec::new(),
            character_max: share(shares.character).min(room),
            character_used: 0,
            core: pieces.core_pile(),
            core_cut: BTreeMap::new(),
            turns: pieces.turn_pile(),
            memories: pieces.memory_pile(),
            lore: pieces.lore_pile(),
            examples: pieces.example_pile(),
        };
        plan.cut_character(pieces, counter);
        let mut left = room.saturating_sub(plan.character_used);
        let core_share = share(shares.core).min(left);
        left -= plan.core.fill(core_share);
        // What is left of its share is kept for a block that has to be cut.
        let has_all = plan.core.left_out().is_empty();
        let kept = if has_all { 0 } else { core_share - plan.core.used() };
        left -= kept;
        let others = [shares.turns, shares.memories, shares.lore, shares.examples].map(share);
        for (pile, share) in plan.piles().into_iter().skip(1).zip(others) {
            left -= pile.fill(share.min(left));
        }
        left += kept;
        left -= plan.core.fill(left);
        left -= plan.cut_core(blocks, left, counter);
        for pile in plan.piles() {
            left -= pile.fill(left);
        }
        plan
    }

    /// The most important first.
    fn piles(&mut self) -> [&mut Pile; 5] {
        [&mut self.core, &mut self.turns, &mut self.memories, &mut self.lore, &mut self.examples]
    }

    fn cut_character(&mut self, pieces: &Pieces, counter: &dyn TokenCounter) {
        (self.character, self.character_used) =
            pieces.character_within(self.character_max, counter);
    }

    /// Takes beginnings of the blocks of core memory that do not fit as a whole. How many tokens that takes.
    fn cut_core(&mut self, blocks: &[CoreBlock], room: u32, counter: &dyn TokenCounter) -> u32 {
        let mut left = room;
        for index in self.core.left_out() {
            // A line break goes with each line.
            let line_max = self.core.room_for_one(left).and_then(|room| room.checked_sub(1));
            let line =
                line_max.and_then(|max| gather::core_line_within(&blocks[index], max, counter));
            let Some(line) = line else { continue };
            left -= self.core.take_smaller(index, counter.count(&line).saturating_add(1));
            self.core_cut.insert(index, line);
        }
        room - left
    }

    /// Leaves out the least important thing that is in. Whether there was one.
    fn give_up_something(&mut self, pieces: &Pieces, counter: &dyn TokenCounter) -> bool {
        if self.piles().into_iter().rev().any(Pile::give_back) {
            return true;
        }
        if self.character_max == 0 {
            return false;
        }
        self.character_max /= 2;
        self.cut_character(pieces, counter);
        true
    }
}

#[cfg(test)]
mod tests;
