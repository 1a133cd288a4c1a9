//! Pieces of one kind, as they stand in a prompt.

use std::collections::BTreeMap;

use super::pile::{Pile, Rule};
use super::quote::fenced;
use super::tokens::TokenCounter;

/// Pieces of one kind.
pub(super) struct Shelf {
    pub(super) texts: Vec<String>,
    /// What each takes.
    pub(super) tokens: Vec<u32>,
    /// The beginnings of long ones, by their places, for where there is no room for all of them.
    pub(super) cut: BTreeMap<usize, Beginning>,
    /// What stands above them.
    pub(super) heading: String,
    /// The name of their fence; empty if they stand in none.
    pub(super) tag: &'static str,
    /// What heading and fence take.
    pub(super) fixed: u32,
}

/// The beginning of a piece.
pub(super) struct Beginning {
    pub(super) text: String,
    /// What it takes.
    pub(super) tokens: u32,
}

impl Shelf {
    /// Pieces that stand in a fence under a heading.
    pub(super) fn quoted(
        texts: Vec<String>,
        heading: String,
        tag: &'static str,
        counter: &dyn TokenCounter,
    ) -> Self {
        let fixed = counter.count(&fenced(&heading, tag, &[])).saturating_add(1);
        let (tokens, cut) = (each_with_break(&texts, counter), BTreeMap::new());
        Self { texts, tokens, cut, heading, tag, fixed }
    }

    /// Cuts pieces that stand in a fence and take more than some tokens: by their places, and how many
    /// they may have. One of which nothing fits has no beginning.
    pub(super) fn cut_long(
        &mut self,
        piece_max: u32,
        within: impl Fn(usize, u32) -> Option<String>,
        counter: &dyn TokenCounter,
    ) {
        for index in 0..self.texts.len() {
            if self.tokens[index] <= piece_max {
                continue;
            }
            // A line break goes with each.
            let Some(text) = within(index, piece_max.saturating_sub(1)) else { continue };
            let tokens = counter.count(&text).saturating_add(1);
            self.cut.insert(index, Beginning { text, tokens });
        }
    }

    /// A piece as it stands in a prompt for which this pile of them was taken.
    pub(super) fn text(&self, index: usize, pile: &Pile) -> &str {
        match self.cut.get(&index) {
            Some(beginning) if pile.is_cut(index) => &beginning.text,
            _ => &self.texts[index],
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// The fence with these pieces; nothing if there are none.
    pub(super) fn fence(&self, indices: &[usize]) -> Option<String> {
        let lines: Vec<&str> = indices.iter().map(|index| self.texts[*index].as_str()).collect();
        self.fence_around(&lines)
    }

    /// The fence with these lines; nothing if there are none.
    pub(super) fn fence_around(&self, lines: &[&str]) -> Option<String> {
        (!lines.is_empty()).then(|| fenced(&self.heading, self.tag, lines))
    }

    /// All of it, in the order in which it stands on the shelf.
    pub(super) fn pile(&self, rule: Rule) -> Pile {
        let pile =
            Pile::new(self.tokens.clone(), (0..self.texts.len()).collect(), rule, self.fixed);
        pile.with_cut(self.cut.iter().map(|(index, beginning)| (*index, beginning.tokens)))
    }
}

fn each_with_break(texts: &[String], counter: &dyn TokenCounter) -> Vec<u32> {
    texts.iter().map(|text| counter.count(text).saturating_add(1)).collect()
}
