//! A line of a transcript: who, when, what. `Ann: hello`, `[2024-05-07 13:56] Ann: hello`, and the
//! time may as well stand behind.

use super::dates::{Day, full_day, is_stampish, tokens};

/// How many words a name in front of a line may have.
pub(super) const LABEL_WORDS_MAX: usize = 4;

/// How long a name in front of a line may be.
const LABEL_BYTES_MAX: usize = 64;

/// How much of a text's beginning and end is looked at for a time.
const STAMP_BYTES_MAX: usize = 64;

/// A line, taken apart.
#[derive(Debug, PartialEq)]
pub(super) struct Line<'a> {
    /// The name in front.
    pub label: Option<&'a str>,
    /// The day of the time in front or behind.
    pub day: Option<Day>,
    /// The rest.
    pub text: &'a str,
}

impl<'a> Line<'a> {
    /// Takes a text apart; a name in front is looked for only if it is wanted.
    pub(super) fn parse(text: &'a str, label_wanted: bool) -> Self {
        let text = text.trim();
        let (before, text) =
            stamp_in_front(text).map_or((None, text), |(day, rest)| (Some(day), rest));
        let (label, text) = match label_in_front(text).filter(|_| label_wanted) {
            Some((label, rest)) => (Some(label), rest),
            None => (None, text),
        };
        let (behind, text) =
            stamp_behind(text).map_or((None, text), |(day, rest)| (Some(day), rest));
        Self { label, day: before.or(behind), text }
    }
}

/// `Ann Lee: `. Not `http://`, and not `7:30`: letters must be before the colon and a blank behind it.
fn label_in_front(text: &str) -> Option<(&str, &str)> {
    let (label, rest) = text.split_once(':')?;
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, ' ' | '.' | '-' | '\'' | '’' | '_');
    let is_label = label.len() <= LABEL_BYTES_MAX
        && label.starts_with(char::is_alphabetic)
        && label.chars().all(is_name)
        && label.split_whitespace().count() <= LABEL_WORDS_MAX
        && rest.starts_with(char::is_whitespace);
    let rest = rest.trim_start();
    (is_label && !rest.is_empty()).then_some((label, rest))
}

/// `[2024-05-07 13:56] `, `7 May 2024, 13:56 - `.
fn stamp_in_front(text: &str) -> Option<(Day, &str)> {
    let head = beginning(text, STAMP_BYTES_MAX);
    let end = match head.strip_prefix(['[', '(']) {
        Some(_) => head.find([']', ')'])? + 1,
        None => head.find(" - ")? + 3,
    };
    let tokens = tokens(&text[..end]);
    if !tokens.iter().all(is_stampish) {
        return None;
    }
    Some((full_day(&tokens)?, text[end..].trim_start_matches([' ', '-', ':'])))
}

/// ` 1:56 pm on 7 May, 2024` behind the end of a sentence.
fn stamp_behind(text: &str) -> Option<(Day, &str)> {
    let tail = ending(text, STAMP_BYTES_MAX);
    let offset = text.len() - tail.len();
    let tokens = tokens(tail);
    let first = tokens.iter().rposition(|token| !is_stampish(token)).map_or(0, |at| at + 1);
    let before =
        |at: usize| text[..offset + tokens[at].place.start].trim_end_matches([' ', '[', '(']);
    let begin = (first..tokens.len()).find(|at| ends_sentence(before(*at)))?;
    Some((full_day(&tokens[begin..])?, before(begin)))
}

fn ends_sentence(text: &str) -> bool {
    const INSIDE: &str = ",:;-–/'’";
    text.ends_with(|c: char| !c.is_alphanumeric() && !INSIDE.contains(c))
}

fn beginning(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

fn ending(text: &str, bytes: usize) -> &str {
    &text[text.ceil_char_boundary(text.len().saturating_sub(bytes))..]
}
