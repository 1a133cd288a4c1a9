//! The provider that needs nothing: it quotes what the being remembers and what its character knows, and makes
//! nothing up.
//!
//! It has no understanding, and says so. Which memories bear on what was said is for the caller to
//! find; here they are quoted in the order in which they come. Dates are those of UTC.

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use genii_protocols::calendar::Day;
use genii_storage::text::terms;

use super::{Grounds, Piece, Provider, ProviderError, Remembered, Request, Usage};
use crate::being::asked::{has_one_of, is_about_name_of_asker, is_after_something, words};
use crate::being::character::macros::USER_DEFAULT;

/// How many memories are quoted, and how many pieces of lore.
const QUOTES_MAX: usize = 5;

/// How long a quote may be, in characters; what is longer is cut.
const QUOTE_CHARS_MAX: usize = 400;

/// How long a name may be, in characters.
const NAME_CHARS_MAX: usize = 80;

/// How many words come at a time.
const WORDS_PER_PIECE: usize = 3;

/// About how many characters make a token.
const CHARS_PER_TOKEN: usize = 4;

/// What every answer says of whoever gives it, in its first line.
const OFFLINE: &str = "I am offline: no model is configured, so I can only quote what I remember.";

/// What people say when they want to know who the being is.
const ABOUT_ITSELF: [&str; 9] = [
    "about you",
    "about yourself",
    "describe yourself",
    "introduce yourself",
    "what are you",
    "who are you",
    "who is this",
    "you called",
    "your name",
];

/// Who says one of these, and none of the others, speaks of the being.
const YOU: [&str; 4] = ["you", "your", "yours", "yourself"];
const ME: [&str; 5] = ["i", "me", "my", "mine", "myself"];

/// What who asks a being says of what it is to do, and not of what it is.
const ASKING_VERBS: [&str; 8] =
    ["know", "remember", "say", "tell", "think", "want", "hear", "mean"];

/// The provider that needs nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Offline;

impl Provider for Offline {
    fn label(&self) -> String {
        "offline".to_owned()
    }

    fn answer(&self, request: Arc<Request>) -> BoxStream<'static, Result<Piece, ProviderError>> {
        let (text, is_cut_off) = shortened(answer(&request.grounds), request.reply_tokens_max);
        let end = Piece::End(Usage { is_cut_off, ..Usage::default() });
        let pieces = in_pieces(&text).into_iter().map(Piece::Text).chain([end]);
        stream::iter(pieces.map(Ok).collect::<Vec<_>>()).boxed()
    }
}

/// The whole answer.
fn answer(grounds: &Grounds) -> String {
    let mut lines = vec![introduction(grounds)];
    let is_about_itself = is_about_itself(grounds);
    if is_about_itself {
        lines.extend(character(grounds));
    }
    let name = named_asker(grounds).filter(|_| is_about_name_of_asker(&grounds.said));
    lines.extend(name.map(|name| format!("You speak to me as {name}.")));
    let (known, quotes) = (known(grounds, is_about_itself), quotes(grounds));
    if !known.is_empty() {
        lines.push("This is written down of what I know of it:".to_owned());
        lines.extend(known.iter().cloned());
    }
    if !quotes.is_empty() {
        lines.push("This is what I remember of it:".to_owned());
    } else if known.is_empty() {
        lines.push("I remember nothing that fits what you said.".to_owned());
    }
    lines.extend(quotes);
    lines.join("\n")
}

/// What its character knows of what was said: lore, and what is written down of itself if that is asked for.
fn known(grounds: &Grounds, is_told_already: bool) -> Vec<String> {
    let own = if is_told_already { Vec::new() } else { own_life(grounds) };
    let known = grounds.lore.iter().chain(own);
    known.take(QUOTES_MAX).map(|text| quoted(text)).collect()
}

/// The sentences of its character that have a word in common with a question about itself.
fn own_life(grounds: &Grounds) -> Vec<&String> {
    let said = &grounds.said;
    if !is_after_something(said) || !has_one_of(said, &YOU) || has_one_of(said, &ME) {
        return Vec::new();
    }
    let others = [terms(&grounds.name), terms(&ASKING_VERBS.join(" "))].concat();
    let asked = terms(said).into_iter().filter(|term| !others.contains(term));
    let asked: Vec<String> = asked.collect();
    let bears_on_it = |sentence: &&String| {
        let there = terms(sentence);
        asked.iter().any(|term| there.contains(term))
    };
    grounds.character.iter().filter(bears_on_it).collect()
}

/// What whoever asks is called, if they have said so.
fn named_asker(grounds: &Grounds) -> Option<String> {
    let name = grounds.asker.as_deref().filter(|name| *name != USER_DEFAULT)?;
    Some(plain(name, NAME_CHARS_MAX)).filter(|name| !name.is_empty())
}

fn introduction(grounds: &Grounds) -> String {
    match plain(&grounds.name, NAME_CHARS_MAX) {
        name if name.is_empty() => OFFLINE.to_owned(),
        name => format!("I am {name}. {OFFLINE}"),
    }
}

/// Whether a text is an answer as this provider gives them, for whichever being.
pub(in crate::being) fn is_answer(text: &str) -> bool {
    text.lines().next().is_some_and(|line| line.contains(OFFLINE))
}

fn character(grounds: &Grounds) -> Option<String> {
    let description = plain(&grounds.description, QUOTE_CHARS_MAX);
    (!description.is_empty()).then(|| format!("My character is written down so: “{description}”"))
}

fn is_about_itself(grounds: &Grounds) -> bool {
    let name = words(&grounds.name);
    let asks_for_name =
        !name.trim().is_empty() && has_one_of(&grounds.said, &[&format!("who is{name}")]);
    asks_for_name || has_one_of(&grounds.said, &ABOUT_ITSELF)
}

fn quotes(grounds: &Grounds) -> Vec<String> {
    let mut quotes: Vec<String> = Vec::new();
    for memory in &grounds.memories {
        let quote = quote(memory, grounds);
        // The same words of the same day are said once.
        if quotes.len() < QUOTES_MAX && !quotes.contains(&quote) {
            quotes.push(quote);
        }
    }
    quotes
}

/// A memory with when it was said and by whom, and of a fact that has changed until when it held.
fn quote(memory: &Remembered, grounds: &Grounds) -> String {
    let day = Day::of(memory.at);
    let until = memory.until.map(|until| format!(" (until {})", Day::of(until)));
    let text = quoted(&memory.text) + &until.unwrap_or_default();
    let speaker = match &memory.speaker {
        None => return format!("On {day} I noted: {text}"),
        Some(speaker) if *speaker == grounds.name => return format!("On {day} I said: {text}"),
        Some(speaker) if Some(speaker) == grounds.asker.as_ref() => "you".to_owned(),
        Some(speaker) => plain(speaker, NAME_CHARS_MAX),
    };
    format!("On {day} {speaker} told me: {text}")
}

/// A text as it is quoted. No quote ends within.
fn quoted(text: &str) -> String {
    format!("“{}”", within_quotes(text))
}

/// What stands between the marks where a text is quoted.
pub(in crate::being) fn within_quotes(text: &str) -> String {
    plain(text, QUOTE_CHARS_MAX)
}

/// What stands between the marks of all quotes in an answer.
pub(in crate::being) fn quotes_in(answer: &str) -> impl Iterator<Item = &str> {
    answer.split('“').skip(1).filter_map(|rest| Some(rest.split_once('”')?.0))
}

/// A text on one line, without what could end a quote or move a cursor; cut if it is long.
fn plain(text: &str, chars_max: usize) -> String {
    let shown = text.chars().map(|c| match c {
        '“' | '”' => '"',
        c if c.is_control() || c.is_whitespace() || is_invisible(c) => ' ',
        c => c,
    });
    let shown: String = shown.collect();
    let line = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(chars_max) {
        Some((at, _)) => format!("{}…", line[..at].trim_end()),
        None => line,
    }
}

/// Characters that turn the direction of writing, or hide.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// As much of an answer as may be given, and whether that is not all of it. Zero means no limit.
fn shortened(mut text: String, tokens_max: u32) -> (String, bool) {
    let chars_max = (tokens_max as usize).saturating_mul(CHARS_PER_TOKEN);
    match text.char_indices().nth(chars_max).filter(|_| tokens_max > 0) {
        Some((at, _)) => {
            text.truncate(at);
            (text, true)
        }
        None => (text, false),
    }
}

/// A text in pieces of a few words, as a model would give it.
fn in_pieces(text: &str) -> Vec<String> {
    let words: Vec<&str> = text.split_inclusive([' ', '\n']).collect();
    words.chunks(WORDS_PER_PIECE).map(<[&str]>::concat).collect()
}

#[cfg(test)]
mod tests;
