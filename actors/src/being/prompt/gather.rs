//! Gathers what might stand in a prompt: texts with their macros filled in, quoted where they are data.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use genii_protocols::Timestamp;

use super::account::LoreUse;
use super::cut::{cut, cut_anywhere};
use super::quote::{barred, in_one_line};
use super::shelf::{Beginning, Shelf};
use super::tokens::TokenCounter;
use super::{
    CoreBlock, MEMORIES_MAX, MESSAGE_TOKENS, PromptInput, PromptSettings, Recalled, TURNS_MAX, Turn,
};
use crate::being::character::macros::{expand, expand_within};
use crate::being::character::{Character, Names};
use crate::being::lorebook::{ActiveLore, LorePosition, Talk, by_importance};
use crate::being::provider::{Remembered, Role};

/// What a model is told when a character has no system prompt, and in place of `{{original}}` in one.
const INSTRUCTIONS: &str = "You are {{char}}, and you talk with {{user}}. Stay {{char}} in what you say \
     and in how you say it. Use what you know and remember where it matters. Make up no memories: what \
     you do not know, you say that you do not know.";

/// By how much all lore of a prompt may grow when names are put in, in bytes (1 MiB): no lorebook that is
/// meant well comes near it.
pub(super) const LORE_GROWTH_BYTES_MAX: usize = 1 << 20;

/// A text with more bytes for each of so many tokens has more tokens: a word of five letters and a blank is
/// about the most that one may stand for.
const TOKEN_BYTES_MAX: usize = 8;

pub(super) fn character_texts(input: &PromptInput<'_>, names: &Names) -> [(String, String); 5] {
    let Character { system_prompt, post_history_instructions, .. } = input.character;
    let own = |text: &str| expand(text.trim(), names, input.seed);
    let instructions = match system_prompt.trim() {
        "" => INSTRUCTIONS.to_owned(),
        some => with_original(some, INSTRUCTIONS),
    };
    let about = |what: &str| format!("{what}\n");
    [
        (String::new(), own(&instructions)),
        (String::new(), own(&with_original(post_history_instructions, ""))),
        (about(&format!("Who {} is:", names.being())), own(&input.character.description)),
        (about(&format!("How {} is:", names.being())), own(&input.character.personality)),
        (about("Where this takes place:"), own(&input.character.scenario)),
    ]
}

/// Fills in what would stand there if the character said nothing. Once: a text that repeats it a
/// thousand times gains nothing by it.
fn with_original(text: &str, original: &str) -> String {
    const ORIGINAL: &str = "{{original}}";
    text.replacen(ORIGINAL, original, 1).replace(ORIGINAL, "")
}

pub(super) fn core_line(block: &CoreBlock) -> String {
    line_under(&block.title, &block.text)
}

/// The line of a block whose text is cut, so that it takes at most so many tokens. None if not even a word
/// of the text fits.
pub(super) fn core_line_within(
    block: &CoreBlock,
    tokens_max: u32,
    counter: &dyn TokenCounter,
) -> Option<String> {
    let line = |text: &str| line_under(&block.title, text);
    let text = cut(block.text.trim(), tokens_max, &InLine { line, counter })?;
    Some(line(&text))
}

/// Counts a text with all that its line has besides.
struct InLine<'a, L> {
    line: L,
    counter: &'a dyn TokenCounter,
}

impl<L: Fn(&str) -> String + Send + Sync> TokenCounter for InLine<'_, L> {
    fn count(&self, text: &str) -> u32 {
        self.counter.count(&(self.line)(text))
    }
}

fn line_under(title: &str, text: &str) -> String {
    barred(&format!("{}: {}", in_one_line(title), text.trim()))
}

/// Memories by their score, with their places among those given, and as lines.
pub(super) fn memories(recalled: &[Recalled]) -> (Vec<(usize, Remembered)>, Vec<String>) {
    let mut order: Vec<usize> = (0..recalled.len()).collect();
    let newer = |a: usize, b: usize| recalled[b].memory.at.cmp(&recalled[a].memory.at);
    let by_score = |a: &usize, b: &usize| -> Ordering {
        recalled[*b].score.total_cmp(&recalled[*a].score).then(newer(*a, *b)).then(a.cmp(b))
    };
    order.sort_by(by_score);
    order.truncate(MEMORIES_MAX);
    let kept: Vec<_> = order.into_iter().map(|at| (at, recalled[at].memory.clone())).collect();
    let lines = kept.iter().map(|(_, memory)| memory_line(memory, &memory.text)).collect();
    (kept, lines)
}

/// The line of a memory whose text is cut, so that it takes at most so many tokens. None if nothing of the
/// text fits.
pub(super) fn memory_line_within(
    memory: &Remembered,
    tokens_max: u32,
    counter: &dyn TokenCounter,
) -> Option<String> {
    let line = |text: &str| memory_line(memory, text);
    let text = cut_anywhere(memory.text.trim(), tokens_max, &InLine { line, counter })?;
    Some(line(&text))
}

fn memory_line(memory: &Remembered, text: &str) -> String {
    let when = match memory.until {
        // A fact that has changed is no lie, but it is not so any more.
        Some(until) => format!("{}, held until {}", minute(memory.at), minute(until)),
        None => minute(memory.at),
    };
    let text = text.trim();
    barred(&match &memory.speaker {
        Some(speaker) => format!("{when}, {}: {text}", in_one_line(speaker)),
        None => format!("{when}: {text}"),
    })
}

/// A time to the minute, such as `2026-03-01 09:30`.
pub(in super::super) fn minute(at: Timestamp) -> String {
    const MINUTE_LEN: usize = "2026-03-01T09:30".len();
    let mut text = at.to_string().replacen('T', " ", 1);
    text.truncate(MINUTE_LEN);
    text
}

/// What lore the talk calls for, the most important first, and what the book's own budget leaves out.
pub(super) fn called_lore(
    input: &PromptInput<'_>,
    counter: &dyn TokenCounter,
) -> (Vec<ActiveLore>, Vec<LoreUse>) {
    let Some(book) = input.lorebook else {
        return (Vec::new(), Vec::new());
    };
    let turns = input.turns.iter().map(|turn| turn.text.as_str());
    let texts: Vec<&str> = turns.chain([input.said]).collect();
    let talk = Talk { texts: &texts, answers: input.answers, greeting: input.greeting };
    let mut activation = book.activate(&talk, counter);
    activation.taken.sort_by(by_importance);
    (activation.taken, activation.left_out.iter().map(lore_use).collect())
}

pub(super) fn lore_use(lore: &ActiveLore) -> LoreUse {
    LoreUse {
        entry: lore.index.try_into().unwrap_or(u32::MAX),
        name: lore.name.clone(),
        why: lore.why.clone(),
    }
}

/// Lore as it stands in a prompt. What is most important comes first, and so has its names filled in also
/// where others are made of nothing but names.
pub(super) fn lore_shelf(
    active: &[ActiveLore],
    names: &Names,
    seed: u64,
    counter: &dyn TokenCounter,
) -> Shelf {
    let mut growth = LORE_GROWTH_BYTES_MAX;
    let texts = active
        .iter()
        .map(|lore| barred(&expand_within(lore.text.trim(), names, seed, &mut growth)))
        .collect();
    let heading = format!("What {} knows:", names.being());
    let mut shelf = Shelf::quoted(texts, heading, "lore", counter);
    for (tokens, lore) in shelf.tokens.iter_mut().zip(active) {
        // Lore among the turns is a message of its own.
        if matches!(lore.position, LorePosition::Depth(_)) {
            *tokens = tokens.saturating_add(shelf.fixed).saturating_add(MESSAGE_TOKENS);
        }
    }
    // There may be a fence before the description and one after it.
    shelf.fixed = shelf.fixed.saturating_mul(2);
    shelf
}

/// The newest turns that a prompt could hold at all, the newest first. Of long ones the beginnings, too: one
/// for which there is no room would end the run, and all before it be left out.
pub(super) fn turns(
    input: &PromptInput<'_>,
    settings: &PromptSettings,
    counter: &dyn TokenCounter,
) -> (Shelf, Vec<Role>) {
    let turn_max = settings.piece_max(settings.shares.turns);
    let (mut texts, mut tokens, mut roles) = (Vec::new(), Vec::new(), Vec::new());
    let (mut cut, mut in_all) = (BTreeMap::new(), 0_u32);
    for (index, turn) in input.turns.iter().rev().take(TURNS_MAX).enumerate() {
        let (role, text) = turn_text(turn, input.user);
        // A run that is over the budget stops: what is older need not be counted.
        let is_over = in_all > settings.tokens_max;
        let whole = if is_over { settings.tokens_max } else { counter.count(&text) };
        let whole = whole.saturating_add(MESSAGE_TOKENS);
        let is_long = whole > turn_max && !is_over;
        let beginning = is_long.then(|| turn_within(&text, turn_max, counter)).flatten();
        in_all = in_all.saturating_add(beginning.as_ref().map_or(whole, |it| it.tokens));
        cut.extend(beginning.map(|beginning| (index, beginning)));
        texts.push(text);
        tokens.push(whole);
        roles.push(role);
    }
    (Shelf { texts, tokens, cut, heading: String::new(), tag: "", fixed: 0 }, roles)
}

/// Whether a turn may stand in a prompt by its beginning only. Of one that is long beyond doubt not all is
/// counted.
pub(in super::super) fn is_long(
    turn: &Turn,
    settings: &PromptSettings,
    counter: &dyn TokenCounter,
) -> bool {
    // As in `turns`, but for who said it: at the edge that makes no difference worth a copy.
    let turn_max = settings.piece_max(settings.shares.turns);
    turn.text.len() / TOKEN_BYTES_MAX > turn_max as usize
        || counter.count(&turn.text).saturating_add(MESSAGE_TOKENS) > turn_max
}

fn turn_within(text: &str, tokens_max: u32, counter: &dyn TokenCounter) -> Option<Beginning> {
    let text = cut_anywhere(text, tokens_max.saturating_sub(MESSAGE_TOKENS), counter)?;
    let tokens = counter.count(&text).saturating_add(MESSAGE_TOKENS);
    Some(Beginning { text, tokens })
}

fn turn_text(turn: &Turn, user: &str) -> (Role, String) {
    match &turn.speaker {
        None => (Role::Assistant, turn.text.clone()),
        Some(speaker) if speaker == user => (Role::User, turn.text.clone()),
        // Somebody else than who talks now.
        Some(speaker) => (Role::User, format!("{}: {}", in_one_line(speaker), turn.text)),
    }
}

/// The conversations of the example dialogue.
pub(super) fn examples(
    input: &PromptInput<'_>,
    names: &Names,
    counter: &dyn TokenCounter,
) -> Shelf {
    let whole = expand(&input.character.example_dialogue, names, input.seed);
    let texts = conversations(&whole);
    let heading = format!("How {} talks, by example. None of this was said:", names.being());
    let tokens =
        texts.iter().map(|text| counter.count(text).saturating_add(counter.count("\n***\n")));
    let fixed = counter.count(&heading).saturating_add(2);
    Shelf { tokens: tokens.collect(), texts, cut: BTreeMap::new(), heading, tag: "", fixed }
}

fn conversations(text: &str) -> Vec<String> {
    const START: &str = "<START>";
    let (mut found, mut begin, mut at) = (Vec::new(), 0, 0);
    while let Some(start) = text[at..].find('<').map(|offset| at + offset) {
        at = start + 1;
        let end = start + START.len();
        if text
            .as_bytes()
            .get(start..end)
            .is_some_and(|it| it.eq_ignore_ascii_case(START.as_bytes()))
        {
            found.push(&text[begin..start]);
            (begin, at) = (end, end);
        }
    }
    found.push(&text[begin..]);
    let found = found.into_iter().map(str::trim).filter(|text| !text.is_empty());
    found.map(str::to_owned).collect()
}
