//! A lorebook that is ready to be searched.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::decorators::{Decorators, split};
use super::search::{Haystack, Key, LoreProblem, Patterns, Place, first_found};
use super::{LoreEntry, LorePosition, Lorebook};
use crate::being::prompt::TokenCounter;

/// How many of the newest texts are searched for keys when a lorebook does not say.
pub const SCAN_DEPTH_DEFAULT: u32 = 4;

/// With more keys than this, searching a lorebook takes so long that others would wait.
const KEYS_IN_PASSING_MAX: usize = 500;

/// How many times entries that came may call others.
pub const ROUNDS_MAX: usize = 3;

/// A lorebook that is ready to be searched.
#[derive(Debug)]
pub struct PreparedLorebook {
    entries: Vec<Prepared>,
    scan_depth: u32,
    token_budget: Option<u32>,
    is_recursive: bool,
    problems: Vec<LoreProblem>,
}

/// What is searched.
#[derive(Debug, Clone, Copy, Default)]
pub struct Talk<'a> {
    /// What was said, the newest last.
    pub texts: &'a [&'a str],
    /// How many answers the being has given in the conversation.
    pub answers: u32,
    /// Which greeting the conversation began with, if that is known.
    pub greeting: Option<u32>,
}

/// What a talk calls for.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Activation {
    /// What came, in the order in which it stands in the prompt.
    pub taken: Vec<ActiveLore>,
    /// What came and was beyond the token budget of the book.
    pub left_out: Vec<ActiveLore>,
}

/// An entry that came.
#[derive(Debug, Clone, PartialEq)]
pub struct ActiveLore {
    /// Which entry of the book.
    pub index: usize,
    /// What it is called; often empty.
    pub name: String,
    /// What is known, without decorators.
    pub text: String,
    /// How many tokens that takes.
    pub tokens: u32,
    /// Where it stands.
    pub position: LorePosition,
    /// Why it came.
    pub why: Why,
    /// How important it is.
    pub rank: f64,
    /// Its `insertion_order`.
    pub order: f64,
    /// It goes before all others when there is no room.
    pub first_to_go: bool,
}

impl ActiveLore {
    /// Which of two stands first in the prompt.
    pub(in crate::being) fn stands_before(&self, other: &Self) -> std::cmp::Ordering {
        self.order.total_cmp(&other.order).then(self.index.cmp(&other.index))
    }
}

/// Why an entry came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// It always does.
    Constant,
    /// A key is in what was said.
    Key {
        /// The key.
        key: String,
        /// The secondary key that was found too, if one was wanted.
        with: Option<String>,
    },
    /// A key is in another entry that came.
    Lore {
        /// The key.
        key: String,
        /// Which entry.
        entry: usize,
    },
}

impl PreparedLorebook {
    /// Makes a lorebook ready. Keys that can never match are [problems](Self::problems).
    pub fn new(book: &Lorebook) -> Self {
        let mut patterns = Patterns::new();
        let entries = book.entries.iter().enumerate();
        // An entry that cannot come is not kept.
        let entries = entries.filter(|(_, entry)| entry.enabled);
        let entries =
            entries.filter_map(|(index, entry)| Prepared::new(index, entry, &mut patterns));
        Self {
            entries: entries.collect(),
            scan_depth: book.scan_depth.unwrap_or(SCAN_DEPTH_DEFAULT),
            token_budget: book.token_budget,
            is_recursive: book.recursive_scanning,
            problems: patterns.problems,
        }
    }

    /// Whether searching it takes longer than others should wait for.
    pub fn takes_a_while(&self) -> bool {
        self.entries.iter().map(Prepared::keys).sum::<usize>() > KEYS_IN_PASSING_MAX
    }

    /// Keys that can never match.
    pub fn problems(&self) -> &[LoreProblem] {
        &self.problems
    }

    /// What the talk calls for, within the token budget of the book.
    pub fn activate(&self, talk: &Talk<'_>, counter: &dyn TokenCounter) -> Activation {
        let came = self.find(talk).into_iter();
        let active = came.map(|(at, why)| self.entries[at].active(why, counter));
        let mut active: Vec<ActiveLore> = active.collect();
        active.sort_by(by_importance);
        let mut left = self.token_budget.unwrap_or(u32::MAX);
        let (mut taken, left_out): (Vec<_>, Vec<_>) = active.into_iter().partition(|lore| {
            let fits = lore.tokens <= left;
            left -= if fits { lore.tokens } else { 0 };
            fits
        });
        taken.sort_by(ActiveLore::stands_before);
        Activation { taken, left_out }
    }

    /// Which entries come, as places in `entries`, and why.
    fn find(&self, talk: &Talk<'_>) -> Vec<(usize, Why)> {
        let mut haystack = Haystack::new(talk.texts);
        let mut is_in = vec![false; self.entries.len()];
        let mut came = Vec::new();
        let rounds = if self.is_recursive { ROUNDS_MAX } else { 0 };
        for round in 0..=rounds {
            let before = came.len();
            for (at, entry) in self.entries.iter().enumerate() {
                let why =
                    (!is_in[at]).then(|| entry.why(&haystack, talk, self.scan_depth)).flatten();
                if let Some(why) = why {
                    is_in[at] = true;
                    came.push((at, why));
                }
            }
            if came.len() == before || round == rounds {
                break;
            }
            for (at, _) in &came[before..] {
                haystack.add_lore(self.entries[*at].index, &self.entries[*at].text);
            }
        }
        came
    }
}

/// The most important first; of two alike, the one that stands first in the book.
pub(in crate::being) fn by_importance(a: &ActiveLore, b: &ActiveLore) -> std::cmp::Ordering {
    let by_rank = b.rank.total_cmp(&a.rank);
    a.first_to_go.cmp(&b.first_to_go).then(by_rank).then(a.index.cmp(&b.index))
}

/// An entry that is ready.
#[derive(Debug)]
struct Prepared {
    index: usize,
    name: String,
    text: String,
    keys: Vec<Key>,
    /// One of each is wanted too.
    also: Vec<Vec<Key>>,
    never: Vec<Key>,
    is_constant: bool,
    order: f64,
    rank: f64,
    position: LorePosition,
    decorators: Decorators,
}

impl Prepared {
    fn keys(&self) -> usize {
        self.keys.len() + self.also.iter().map(Vec::len).sum::<usize>() + self.never.len()
    }

    fn new(index: usize, entry: &LoreEntry, patterns: &mut Patterns) -> Option<Self> {
        let (decorators, text) = split(&entry.content);
        let is_off = decorators.dont_activate && !decorators.activate;
        if is_off || text.trim().is_empty() {
            return None;
        }
        let is_word = entry.extension("match_whole_words").and_then(Value::as_bool) == Some(true);
        let mut keys = |keys: &[String]| -> Vec<Key> {
            let keys = keys.iter().filter(|key| !key.trim().is_empty());
            match entry.use_regex {
                true => keys
                    .filter_map(|key| patterns.compile(index, key, entry.case_sensitive))
                    .collect(),
                false => keys.map(|key| Key::text(key, entry.case_sensitive, is_word)).collect(),
            }
        };
        let mut also: Vec<Vec<Key>> =
            decorators.additional_keys.iter().map(|it| keys(it)).collect();
        // What is constant does not depend on keys, only on decorators.
        let is_constant = entry.constant && !entry.use_regex;
        let is_selective = entry.selective && !entry.use_regex && !is_constant;
        // Cards have a blank one where there is none; nothing would ever find it.
        let secondary = if is_selective { keys(&entry.secondary_keys) } else { Vec::new() };
        if !secondary.is_empty() {
            also.insert(0, secondary);
        }
        Some(Self {
            index,
            name: if entry.name.is_empty() { entry.comment.clone() } else { entry.name.clone() },
            text: text.to_owned(),
            never: if entry.use_regex { Vec::new() } else { keys(&decorators.exclude_keys) },
            keys: keys(&entry.keys),
            also,
            is_constant,
            order: entry.insertion_order,
            rank: entry.priority.unwrap_or(entry.insertion_order),
            position: decorators.place().unwrap_or_else(|| entry.position()),
            decorators,
        })
    }

    /// Why it comes, if it does.
    fn why(&self, haystack: &Haystack, talk: &Talk<'_>, scan_depth: u32) -> Option<Why> {
        if self.decorators.activate {
            return Some(Why::Constant);
        }
        if !self.may_come(talk) {
            return None;
        }
        let depth = self.decorators.scan_depth.unwrap_or(scan_depth);
        if self.never.iter().any(|key| haystack.find(key, depth).is_some()) {
            return None;
        }
        let also = self.also.iter().map(|keys| first_found(keys, haystack, depth));
        let with: Vec<(&Key, Place)> = also.collect::<Option<_>>()?;
        if self.is_constant {
            return Some(Why::Constant);
        }
        let (key, place) = first_found(&self.keys, haystack, depth)?;
        let key = key.shown.clone();
        Some(match place {
            Place::Talk => Why::Key { key, with: with.first().map(|(key, _)| key.shown.clone()) },
            Place::Lore(entry) => Why::Lore { key, entry },
        })
    }

    /// Whether the moment is one at which it may come.
    fn may_come(&self, talk: &Talk<'_>) -> bool {
        let rules = &self.decorators;
        rules.only_after.is_none_or(|after| talk.answers >= after)
            && rules.only_every.is_none_or(|every| talk.answers.is_multiple_of(every))
            && rules.greeting.is_none_or(|its| talk.greeting.is_none_or(|greeting| greeting == its))
    }

    fn active(&self, why: Why, counter: &dyn TokenCounter) -> ActiveLore {
        ActiveLore {
            index: self.index,
            name: self.name.clone(),
            text: self.text.clone(),
            tokens: counter.count(&self.text),
            position: self.position,
            why,
            rank: self.rank,
            order: self.order,
            first_to_go: self.decorators.first_to_go,
        }
    }
}
