//! Pieces of one kind, as they stand in a prompt.

use super::pile::{Pile, Rule};
use super::quote::fenced;
use super::tokens::TokenCounter;

/// Pieces of one kind.
pub(super) struct Shelf {
    pub(super) texts: Vec<String>,
    /// What each takes.
    pub(super) tokens: Vec<u32>,
    /// What stands above them.
    pub(super) heading: String,
    /// The name of their fence; empty if they stand in none.
    pub(super) tag: &'static str,
    /// What heading and fence take.
    pub(super) fixed: u32,
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
        Self { tokens: each_with_break(&texts, counter), texts, heading, tag, fixed }
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
        Pile::new(self.tokens.clone(), (0..self.texts.len()).collect(), rule, self.fixed)
    }
}

fn each_with_break(texts: &[String], counter: &dyn TokenCounter) -> Vec<u32> {
    texts.iter().map(|text| counter.count(text).saturating_add(1)).collect()
}
