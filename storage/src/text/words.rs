//! Where words begin and end, in any script, folded to plain lower case.

use std::iter;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use super::WORD_CHARS_MAX;

/// The words of a text in lower case and without accents: `Café` gives `cafe`. An apostrophe inside a
/// word stays. Scripts that put no blanks between words (Chinese, Japanese, Thai) give each two
/// neighbouring letters as a word.
pub fn folded_words(text: &str) -> impl Iterator<Item = String> {
    raw_words(text).flat_map(|word| {
        let word = folded(word);
        match word.chars().any(is_unspaced) {
            true => pairs(&word),
            false => vec![word],
        }
    })
}

/// The words of a text in small letters, spelt as they are: accents stay, and what looks the same is the same
/// (`ü` as one letter, or as `u` and two dots; wide letters; hyphens that are not seen). Where scripts put no blanks
/// between words, each letter with its marks is one.
pub fn spelt_words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    // Whether a mark, and whether a letter, would go on with the last word.
    let (mut takes_marks, mut takes_letters) = (false, false);
    let seen = text.chars().filter(|c| !is_ignorable(*c));
    for c in seen.nfkc().flat_map(char::to_lowercase).nfkc() {
        let (is_mark, is_letter) = (is_combining_mark(c), c.is_alphanumeric());
        let is_alone = is_unspaced(c) || is_unspaced_sign(c);
        match words.last_mut() {
            Some(word) if is_mark && takes_marks => {
                word.push(c);
                continue;
            }
            Some(word) if is_letter && takes_letters && !is_alone => word.push(c),
            _ if is_letter => words.push(c.to_string()),
            _ => {}
        }
        (takes_marks, takes_letters) = (is_letter, is_letter && !is_alone);
    }
    words
}

/// The words of a text as they stand.
pub(super) fn raw_words(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    iter::from_fn(move || {
        let begin = rest.find(char::is_alphanumeric)?;
        rest = &rest[begin..];
        let (word, after) = rest.split_at(end_of_word(rest));
        rest = after;
        Some(word)
    })
}

/// Where the word ends with which a text begins.
fn end_of_word(text: &str) -> usize {
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let next = chars.peek().map(|(_, c)| *c);
        if c.is_alphanumeric() || is_combining_mark(c) || is_ignorable(c) {
            continue;
        }
        // `don't`, `o'clock`, and in numbers `2.5` and `10,000`.
        let before = text[..at].chars().next_back();
        let joins = match c {
            _ if is_apostrophe(c) => next.is_some_and(char::is_alphanumeric),
            '.' | ',' => is_digit(before) && is_digit(next),
            _ => false,
        };
        if !joins {
            return at;
        }
    }
    text.len()
}

fn is_digit(c: Option<char>) -> bool {
    c.is_some_and(|c| c.is_ascii_digit())
}

fn is_apostrophe(c: char) -> bool {
    matches!(c, '\'' | '\u{2019}' | '\u{2bc}' | '\u{ff07}')
}

/// Signs within words that are not seen: soft hyphens, joiners, the byte order mark.
fn is_ignorable(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{feff}')
}

/// Scripts without blanks between words.
fn is_unspaced(c: char) -> bool {
    matches!(c, '\u{e00}'..='\u{eff}' | '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{20000}'..='\u{3ffff}')
}

/// Signs of these scripts that are no letters of theirs: of repetition, small syllables, old forms.
fn is_unspaced_sign(c: char) -> bool {
    matches!(c, '\u{3005}'..='\u{3007}' | '\u{31f0}'..='\u{31ff}' | '\u{f900}'..='\u{faff}')
}

fn folded(word: &str) -> String {
    if word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'\'') {
        let end = word.len().min(WORD_CHARS_MAX);
        return word[..end].to_ascii_lowercase();
    }
    // What is cut off is not even decomposed: a word may be a megabyte long.
    let letters = word.chars().take(2 * WORD_CHARS_MAX).filter(|c| !is_ignorable(*c) && *c != ',');
    let plain = letters.nfkd().filter(|c| !matches!(c, '\u{300}'..='\u{36f}'));
    let lower = plain.flat_map(char::to_lowercase).filter(|c| !matches!(c, '\u{300}'..='\u{36f}'));
    let mut text = String::with_capacity(word.len().min(WORD_CHARS_MAX));
    for c in lower.take(WORD_CHARS_MAX) {
        push_plain(&mut text, c);
    }
    text
}

/// Letters of Latin script that have no accent to take off, and are written with others in their stead.
fn push_plain(text: &mut String, c: char) {
    match c {
        'ß' => text.push_str("ss"),
        'æ' => text.push_str("ae"),
        'œ' => text.push_str("oe"),
        'ø' => text.push('o'),
        'đ' | 'ð' => text.push('d'),
        'ł' => text.push('l'),
        'ħ' => text.push('h'),
        'ı' => text.push('i'),
        'þ' => text.push_str("th"),
        _ if is_apostrophe(c) => text.push('\''),
        // Some signs come apart into blanks and marks, and a term has none.
        _ if c.is_alphanumeric() || is_combining_mark(c) || c == '.' => text.push(c),
        _ => {}
    }
}

fn pairs(word: &str) -> Vec<String> {
    let letters: Vec<char> = word.chars().collect();
    if letters.len() < 2 {
        return vec![word.to_owned()];
    }
    letters.windows(2).map(|pair| pair.iter().collect()).collect()
}
