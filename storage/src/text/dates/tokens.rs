//! The words and numbers of a text, as dates are made of them.

use std::borrow::Cow;
use std::ops::Range;

use super::relative::is_weekday;

/// How many words and numbers of a text are looked at for dates.
const TOKENS_MAX: usize = 4_096;

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

const NUMBERS: [&str; 13] = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    "eleven", "twelve",
];

/// The longest word that a date may have in it: `september`, `wednesday`.
const WORD_BYTES_MAX: usize = 12;

/// A word or a number.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::text) struct Token<'a> {
    /// As it stands.
    pub text: &'a str,
    /// In lower case; empty if it is too long for a part of a date.
    pub lower: Cow<'a, str>,
    /// Its place in the text.
    pub place: Range<usize>,
}

impl Token<'_> {
    /// Its value, if it is written in digits.
    pub(super) fn digits(&self) -> Option<u32> {
        self.lower.starts_with(|c: char| c.is_ascii_digit()).then(|| self.lower.parse().ok())?
    }

    /// Its value, be it in digits or in words.
    pub(super) fn number(&self) -> Option<u32> {
        let in_words = || NUMBERS.iter().position(|word| *word == self.lower);
        self.digits().or_else(|| in_words().map(|at| at as u32))
    }

    pub(super) fn is(&self, words: &[&str]) -> bool {
        words.contains(&&*self.lower)
    }

    /// Which month it names, from 1, and whether it does so in full.
    pub(super) fn month(&self) -> Option<(u32, bool)> {
        let word = &*self.lower;
        let full = MONTHS.iter().position(|month| *month == word);
        if let Some(at) = full {
            return Some((at as u32 + 1, true));
        }
        let short = MONTHS.iter().position(|month| word.len() == 3 && month.starts_with(word));
        let at = if word == "sept" { Some(8) } else { short };
        at.map(|at| (at as u32 + 1, false))
    }
}

/// The words and numbers of a text. A number and letters beside it (`7th`) are two.
pub(in crate::text) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut begin = 0;
    while tokens.len() < TOKENS_MAX {
        let Some(skipped) = text[begin..].find(char::is_alphanumeric) else { break };
        begin += skipped;
        let end = begin + end_of_token(&text[begin..]);
        tokens.push(token(text, begin..end));
        begin = end;
    }
    tokens
}

fn end_of_token(text: &str) -> usize {
    let is_number = text.starts_with(|c: char| c.is_ascii_digit());
    text.find(|c: char| !c.is_alphanumeric() || c.is_ascii_digit() != is_number)
        .unwrap_or(text.len())
}

fn token(text: &str, place: Range<usize>) -> Token<'_> {
    let text = &text[place.clone()];
    let lower = match text.len() <= WORD_BYTES_MAX {
        true if text.bytes().any(|byte| byte.is_ascii_uppercase()) => {
            text.to_ascii_lowercase().into()
        }
        true => text.into(),
        false => "".into(),
    };
    Token { text, lower, place }
}

/// Whether a token may be part of a time stamp.
pub(in crate::text) fn is_stampish(token: &Token<'_>) -> bool {
    const PARTS: [&str; 18] = [
        "am", "pm", "a", "p", "m", "at", "on", "of", "the", "st", "nd", "rd", "th", "t", "z",
        "utc", "gmt", "h",
    ];
    token.is(&PARTS) || token.digits().is_some() || token.month().is_some() || is_weekday(token)
}
