//! Words of a server, made fit to be shown: one line, not too long, and without the key.

use std::collections::HashSet;
use std::sync::Arc;

use super::key::Key;

/// How long a cause may be, in characters.
const CAUSE_CHARS_MAX: usize = 300;

/// As many characters in a row as this that also stand in the key are taken for a part of it.
const TELLING_CHARS: usize = 8;

/// At the very end, where words may have been cut off, so many suffice if they are the first of the key.
const TELLING_CHARS_AT_END: usize = 3;

/// What stands in the place of a key.
const HIDDEN: &str = "[key]";

/// Makes words fit to be shown.
#[derive(Debug, Clone, Default)]
pub(super) struct Scrub {
    key: Option<Arc<Key>>,
}

impl Scrub {
    pub(super) fn new(key: Option<Arc<Key>>) -> Self {
        Self { key }
    }

    /// The words, fit to be shown. Whatever of the key was in them is not any more, also if it was cut
    /// or escaped on the way.
    pub(super) fn clean(&self, words: &str) -> String {
        let shown = words.chars().map(|c| if c.is_control() { ' ' } else { c });
        let shown: String = shown.collect();
        let line = shown.split_whitespace().collect::<Vec<_>>().join(" ");
        let line = match &self.key {
            Some(key) => hide(&line, key.reveal()),
            None => line,
        };
        match line.char_indices().nth(CAUSE_CHARS_MAX) {
            Some((at, _)) => format!("{}…", &line[..at]),
            None => line,
        }
    }
}

fn hide(line: &str, key: &str) -> String {
    let chars: Vec<char> = line.chars().collect();
    let key: Vec<char> = key.chars().collect();
    let telling = key.len().min(TELLING_CHARS);
    let parts: HashSet<&[char]> = key.windows(telling).collect();
    let mut is_key = vec![false; chars.len()];
    for (at, part) in chars.windows(telling).enumerate() {
        if parts.contains(part) {
            is_key[at..at + telling].fill(true);
        }
    }
    let begun = (TELLING_CHARS_AT_END..telling).rev().find(|len| chars.ends_with(&key[..*len]));
    let end = chars.len() - begun.unwrap_or_default();
    is_key[end..].fill(true);
    let mut shown = String::with_capacity(line.len());
    for (at, &c) in chars.iter().enumerate() {
        match is_key[at] {
            false => shown.push(c),
            true if at == 0 || !is_key[at - 1] => shown.push_str(HIDDEN),
            true => {}
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(words: &str, shown: &str) {
        let line = words.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(hide(&line, "sk-proj-0123456789abcdef"), shown);
    }

    #[test]
    fn a_key_is_hidden_whole_and_in_parts() {
        check("a bad key", "a bad key");
        check("Bearer sk-proj-0123456789abcdef!", "Bearer [key]!");
        check("sk-proj-0123456789abcdefsk-proj-0123456789abcdef", "[key]");
        check("key sk-proj-01234... is bad", "key [key]... is bad");
        check("it ends in 89abcdef.", "it ends in [key].");
        check("cut at sk-pr", "cut at [key]");
        check("no such models", "no such models");
        check("sk-proj-012\n3456789abcdef", "[key] [key]");
    }

    #[test]
    fn a_short_key_is_hidden_too() {
        assert_eq!(hide("abc xabcx ab", "abc"), "[key] x[key]x ab");
    }

    #[test]
    fn words_come_on_one_line_and_not_too_many() {
        let scrub = Scrub::default();
        assert_eq!(scrub.clean(" a\n\u{1b}[2J\tb\u{0} "), "a [2J b");
        assert_eq!(scrub.clean(&"ü".repeat(1_000)).chars().count(), CAUSE_CHARS_MAX + 1);
    }
}
