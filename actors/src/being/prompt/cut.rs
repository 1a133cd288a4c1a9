//! Cuts a text that is too long, at the end of a sentence.

use super::tokens::TokenCounter;

/// What stands where something was cut off.
pub(super) const ELLIPSIS: &str = " …";

/// The longest beginning of a text that takes at most so many tokens with an ellipsis: whole sentences
/// if there is one that fits, else whole words. Nothing if not even a word fits.
pub(super) fn cut(text: &str, tokens_max: u32, counter: &dyn TokenCounter) -> Option<String> {
    if counter.count(text) <= tokens_max {
        return Some(text.to_owned());
    }
    let fits = |end: usize| counter.count(&shortened(text, end)) <= tokens_max;
    let end =
        last_that(&sentence_ends(text), fits).or_else(|| last_that(&word_ends(text), fits))?;
    Some(shortened(text, end))
}

/// As [`cut`]; where not even a word fits, as many of its letters as do.
pub(super) fn cut_anywhere(
    text: &str,
    tokens_max: u32,
    counter: &dyn TokenCounter,
) -> Option<String> {
    cut(text, tokens_max, counter).or_else(|| {
        let ends: Vec<usize> = text.char_indices().map(|(at, c)| at + c.len_utf8()).collect();
        let fits = |end: usize| counter.count(&shortened(text, end)) <= tokens_max;
        last_that(&ends, fits).map(|end| shortened(text, end))
    })
}

fn shortened(text: &str, end: usize) -> String {
    text[..end].trim_end().to_owned() + ELLIPSIS
}

/// The last end that fits, found by halving: what is longer takes more tokens. A counter for which
/// that is not quite so is met by going back from there. It begins at the beginning, in steps that
/// double: a text may be a thousand times longer than what fits.
fn last_that(ends: &[usize], fits: impl Fn(usize) -> bool) -> Option<usize> {
    let mut reach = 1;
    while ends.get(reach).is_some_and(|end| fits(*end)) {
        reach *= 2;
    }
    let ends = &ends[..ends.len().min(reach + 1)];
    let count = ends.partition_point(|end| fits(*end));
    ends[..count].iter().rev().copied().find(|end| fits(*end))
}

/// The sentences of a text, without what stands between.
pub(super) fn sentences(text: &str) -> Vec<String> {
    let ends = sentence_ends(text);
    let begins = std::iter::once(0).chain(ends.iter().copied());
    let ends = ends.iter().copied().chain([text.len()]);
    let sentences = begins.zip(ends).map(|(begin, end)| text[begin..end].trim());
    sentences.filter(|sentence| !sentence.is_empty()).map(str::to_owned).collect()
}

/// Where sentences end: after `.`, `!`, `?` and their like with a space behind, and before line breaks.
fn sentence_ends(text: &str) -> Vec<usize> {
    let mut ends = Vec::new();
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let next = chars.peek().map(|(_, next)| *next);
        let after = at + c.len_utf8();
        match c {
            '\n' if at > 0 => ends.push(at),
            '。' | '！' | '？' => ends.push(after),
            '.' | '!' | '?' | '…' if next.is_none_or(char::is_whitespace) => ends.push(after),
            '"' | '”' | '*' | ')'
                if next.is_none_or(char::is_whitespace) && ends.last() == Some(&at) =>
            {
                ends.push(after);
            }
            _ => {}
        }
    }
    ends
}

fn word_ends(text: &str) -> Vec<usize> {
    let spaces = text.char_indices().filter(|(at, c)| *at > 0 && c.is_whitespace());
    spaces.map(|(at, _)| at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::being::prompt::EstimatedTokens;

    fn check(text: &str, tokens_max: u32, expected: Option<&str>) {
        assert_eq!(cut(text, tokens_max, &EstimatedTokens).as_deref(), expected, "{text:?}");
    }

    #[test]
    fn sentences_stay_whole() {
        let text = "I am Ada. I keep bees. I live at the sea.";
        check(text, 99, Some(text));
        check(text, 11, Some("I am Ada. I keep bees. …"));
        check(text, 9, Some("I am Ada. …"));
    }

    #[test]
    fn words_stay_whole_when_no_sentence_fits() {
        check("one two three four five", 4, Some("one two …"));
        check("one two three", 2, None);
        check("wonderful", 1, None);
    }

    #[test]
    fn letters_are_parted_where_that_is_better_than_nothing() {
        let cut = |text: &str, tokens_max| cut_anywhere(text, tokens_max, &EstimatedTokens);
        assert_eq!(cut("one two three four five", 4).as_deref(), Some("one two …"));
        let letters = cut(&"x".repeat(9_000), 100).unwrap();
        assert_eq!(letters, "x".repeat(98 * 5) + ELLIPSIS);
        assert_eq!(cut(&"\u{1f408}".repeat(9_000), 8).as_deref(), Some("\u{1f408}\u{1f408} …"));
        assert_eq!(cut("wonderful", 1), None);
    }

    #[test]
    fn a_text_is_parted_into_its_sentences() {
        let parted = sentences("She counts. \"Why?\" she asks!\n\nShe keeps bees");
        assert_eq!(parted, ["She counts.", "\"Why?\" she asks!", "She keeps bees"]);
        assert_eq!(sentences(" \n"), Vec::<String>::new());
    }

    #[test]
    fn sentences_end_where_people_end_them() {
        check("A number is 3.14 or so. It goes on and on.", 13, Some("A number is 3.14 or so. …"));
        check("猫がいる。犬もいる。鳥もいる。", 14, Some("猫がいる。 …"));
    }
}
