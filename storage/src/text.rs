//! What a text says, for finding it again: its terms, who said it, and the days it names.
//!
//! The same text always gives the same analysis, on every machine. What an analysis is made of changes
//! only together with [`VERSION`]; what was analysed by another version is to be analysed anew.
//!
//! | module | what it holds |
//! |---|---|
//! | [`dates`] | days and spans of days, and how people name them |
//! | `words` | where words begin and end, in any script, folded to plain lower case |
//! | `english` | words that say nothing, and one form for all forms of a word |
//! | `line` | a line of a transcript: who, when, what |
//! | `terms` | terms as they are kept |

use genii_protocols::Timestamp;
use serde::{Deserialize, Serialize};

use self::dates::{Day, Days};
use self::line::Line;

pub mod dates;
mod english;
mod line;
mod terms;
mod words;

pub(crate) use self::english::{is_silent, terms as terms_and_words};
pub use self::terms::Terms;
pub(crate) use self::terms::as_text;
pub use self::words::{folded_words, spelt_words};

/// Which analysis this is. It goes up whenever a text may give other terms than before.
pub const VERSION: u32 = 1;

/// How many terms of a text are kept; what follows them is not found by its words.
pub const TERMS_MAX: usize = 4_096;

/// How many of the days that a text names are kept.
pub const DATES_MAX: usize = 16;

/// The letters of a word that count. A longer one is found by its beginning.
pub const WORD_CHARS_MAX: usize = 48;

/// What a text says. Small beside the text, and kept with it, so that ranking need not read it again.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Analysis {
    /// Its terms in their order, each as often as it occurs, without words that say nothing.
    pub terms: Terms,
    /// The name of who said it, as folded words.
    pub speaker: Vec<String>,
    /// The day on which it was said.
    pub day: Day,
    /// The days that it names, at most [`DATES_MAX`].
    pub dates: Vec<Days>,
    /// It speaks of when something is: `yesterday`, `since May`, `two weeks`.
    pub tells_time: bool,
    /// It ends by asking something.
    pub asks: bool,
}

impl Analysis {
    /// Analyses what was said by somebody at some time. A text that is a line of a transcript, such as
    /// `Ann: hello` or `[2024-05-07 13:56] Ann: hello`, says by itself who said it and when.
    pub fn new(text: &str, speaker: Option<&str>, at: Timestamp) -> Self {
        let line = Line::parse(text, speaker.is_none());
        let day = line.day.unwrap_or_else(|| Day::of(at));
        let named = dates::named(line.text, Some(day));
        let tells_time = !named.is_empty() || dates::is_about_time(line.text);
        let mut days: Vec<Days> = named.into_iter().filter_map(|date| date.days()).collect();
        days.truncate(DATES_MAX);
        let speaker = speaker.or(line.label);
        let mut speaker: Vec<String> =
            speaker.map(|name| folded_words(name).collect()).unwrap_or_default();
        speaker.truncate(line::LABEL_WORDS_MAX);
        let terms = self::terms(line.text).into_iter().collect();
        Self { terms, speaker, day, dates: days, tells_time, asks: asks(line.text) }
    }

    /// About how many bytes it takes in memory beside itself.
    pub(crate) fn heap_bytes(&self) -> usize {
        let speaker: usize =
            self.speaker.iter().map(|name| size_of::<String>() + name.capacity()).sum();
        self.terms.heap_bytes() + speaker + self.dates.capacity() * size_of::<Days>()
    }

    /// What a full-text index is to hold of it, with blanks between: its terms, and in spellings that
    /// no term has, who said it (`@ann`) and on which day, in which month and year
    /// (`#2024-05-07 #2024-05 #2024`).
    pub fn index_terms(&self) -> String {
        let mut terms = self.terms.join(" ");
        for name in &self.speaker {
            terms.push_str(" @");
            terms.push_str(name);
        }
        for day in std::iter::once(&self.day).chain(self.dates.iter().map(|days| &days.first)) {
            for mark in day.marks() {
                terms.push(' ');
                terms.push_str(&mark);
            }
        }
        terms
    }
}

/// The terms of a text, in their order, each as often as it occurs, at most [`TERMS_MAX`]. Words that
/// say nothing by themselves are left out, unless there are no others.
pub fn terms(text: &str) -> Vec<String> {
    english::terms(text).into_iter().map(|(term, _)| term).collect()
}

/// Whether a text ends by asking something.
fn asks(text: &str) -> bool {
    let end = text
        .trim_end_matches(|c: char| !c.is_alphanumeric() && !matches!(c, '?' | '？' | '؟' | ']'));
    end.ends_with(['?', '？', '؟'])
}

#[cfg(test)]
mod tests;
