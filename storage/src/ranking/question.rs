//! What is asked for: words, names, days.

use std::collections::{BTreeMap, BTreeSet};

use genii_protocols::Timestamp;

use crate::text::dates::{self, Day, Named};
use crate::text::{Analysis, folded_words, is_silent, terms_and_words};

/// How many different terms of a question count, the first ones.
const TERMS_MAX: usize = 64;

/// How much of a question is read.
const QUESTION_BYTES_MAX: usize = 16 * 1_024;

/// How many dates of a question count, the first ones.
const DATES_MAX: usize = 4;

/// How long after a day people still tell of it, for finding candidates.
const TOLD_WITHIN_DAYS: i32 = 7;

/// Up to how many days a span is looked for day by day, and up to how many month by month.
const SPAN_BY_DAYS: u32 = 14;
const SPAN_BY_MONTHS: u32 = 100;

/// A question, analysed.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// Its terms, each with the word that it is of.
    terms: BTreeMap<String, String>,
    /// Words that may name a speaker.
    names: BTreeSet<String>,
    /// The days that it names.
    pub(super) dates: Vec<Named>,
    /// It wants to know when something was.
    pub(super) asks_when: bool,
    /// It says `I`, `me` or `my`.
    of_the_asker: bool,
}

impl Question {
    /// Analyses a question that is asked at some time.
    pub fn new(text: &str, at: Timestamp) -> Self {
        let text = &text[..text.floor_char_boundary(QUESTION_BYTES_MAX)];
        let mut terms = BTreeMap::new();
        for (term, word) in terms_and_words(text) {
            if terms.len() == TERMS_MAX {
                break;
            }
            let bare = word.strip_suffix("'s").map(str::to_owned);
            terms.entry(term).or_insert(bare.unwrap_or(word));
        }
        let mut dates = dates::named(text, Some(Day::of(at)));
        dates.truncate(DATES_MAX);
        let words: Vec<String> = folded_words(text).collect();
        let of_the_asker = words.iter().any(|word| {
            let word = word.split_once('\'').map_or(word.as_str(), |(word, _)| word);
            matches!(word, "i" | "me" | "my" | "mine" | "myself")
        });
        let names = names(&words);
        Self { terms, names, dates, asks_when: asks_when(&words), of_the_asker }
    }

    /// The same question, asked by somebody: `my dog` is then theirs.
    pub fn asked_by(mut self, name: &str) -> Self {
        if self.of_the_asker {
            self.names.extend(folded_words(name).take(TERMS_MAX));
        }
        self
    }

    /// Its terms, each once, in the order of the alphabet: those of which [`super::Statistics`] tells.
    pub fn terms(&self) -> impl ExactSizeIterator<Item = &str> {
        self.terms.keys().map(String::as_str)
    }

    /// What to search for in an index of [`crate::text::Analysis::index_terms`], with blanks between.
    pub fn search_terms(&self) -> String {
        let terms = self.terms.keys().cloned();
        let names = self.names.iter().map(|name| format!("@{name}"));
        let dates = self.dates.iter().flat_map(marks);
        terms.chain(names).chain(dates).collect::<Vec<_>>().join(" ")
    }

    /// The terms with the words that they are of.
    pub(super) fn words(&self) -> impl Iterator<Item = (&str, &str)> {
        self.terms.iter().map(|(term, word)| (term.as_str(), word.as_str()))
    }

    /// Whether a text asks the same: it has all of its terms and no other.
    pub(super) fn is_repeated_by(&self, analysis: &Analysis) -> bool {
        if !analysis.asks || analysis.terms.len() < self.terms.len() {
            return false;
        }
        // Mostly one of the first is another.
        if !analysis.terms.iter().all(|term| self.terms.contains_key(term)) {
            return false;
        }
        let there: BTreeSet<&str> = analysis.terms.iter().collect();
        there.len() == self.terms.len()
    }

    /// Whether it names who has this name.
    pub(super) fn names_speaker(&self, speaker: &[String]) -> bool {
        speaker.iter().any(|name| self.names.contains(name))
    }
}

/// The words that may be a name: all that say something, without the `'s` that may follow, and without
/// a plain `s` too.
fn names(words: &[String]) -> BTreeSet<String> {
    let bare =
        words.iter().map(|word| word.split_once('\'').map_or(word.as_str(), |(name, _)| name));
    let telling = bare.filter(|word| !is_silent(word)).take(TERMS_MAX);
    let both = |word: &str| [Some(word.to_owned()), word.strip_suffix('s').map(str::to_owned)];
    telling.flat_map(both).flatten().filter(|name| !name.is_empty()).collect()
}

/// `when did`, `since when`, `what day`, `how long`.
fn asks_when(words: &[String]) -> bool {
    const AUXILIARIES: [&str; 11] =
        ["did", "do", "does", "was", "is", "are", "were", "has", "have", "had", "will"];
    let starts = words.first().is_some_and(|word| word == "when");
    starts
        || words.windows(2).any(|pair| match (pair[0].as_str(), pair[1].as_str()) {
            ("when", next) => AUXILIARIES.contains(&next),
            ("what" | "which", unit) => {
                matches!(unit, "day" | "date" | "week" | "month" | "year" | "time")
            }
            ("how", "long") | ("since", "when") => true,
            _ => false,
        })
}

/// What an index holds of memories that may tell of a date.
fn marks(date: &Named) -> Vec<String> {
    match *date {
        Named::Yearly { month, day: None } => vec![format!("#{month:02}")],
        Named::Yearly { month, day: Some(day) } => vec![format!("#{month:02}-{day:02}")],
        Named::Days(days) if days.count() <= SPAN_BY_DAYS => {
            let last = days.last.plus(TOLD_WITHIN_DAYS);
            (days.first.0..=last.0).map(|day| Day(day).marks()[0].clone()).collect()
        }
        Named::Days(days) => {
            let kind = if days.count() <= SPAN_BY_MONTHS { 1 } else { 2 };
            let end = days.last.plus(TOLD_WITHIN_DAYS);
            let mut marks: Vec<String> = (days.first.0..=end.0)
                .step_by(TOLD_WITHIN_DAYS as usize)
                .map(|day| Day(day).marks()[kind].clone())
                .collect();
            marks.dedup();
            marks
        }
    }
}
