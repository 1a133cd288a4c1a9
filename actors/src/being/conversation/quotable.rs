//! Which of the memories that were found may be quoted by who answers without a model.
//!
//! It understands nothing, so that it says only what bears on the question by itself.
//!
//! | memory | quoted |
//! |---|---|
//! | asks something | no: what was asked before tells nothing |
//! | is what somebody said who answers without a model | no: that quotes what is remembered elsewhere |
//! | has words of what was said, is alike in its vector, or is of a day after which it asks | yes |
//! | was found only for words, or a likeness, of what stands beside it | if that asks something, which it follows; for words also if nothing else is left |
//! | was found only by who said it | yes |
//! | was found only by a short word that is spelt nearly so, or a day that is named in passing | no |

use std::collections::BTreeSet;

use genii_storage::memories::Recalled;
use genii_storage::ranking::reasons::{Reasons, Similarity, Word};

use crate::being::provider::offline;

/// How alike a memory is at least to what was said, by the cosine of both vectors, to be quoted for that.
const ALIKE_MIN: f32 = 0.25;

/// How many letters a word has at least that is quoted for being spelt nearly so: `live` is like `lovely`, by its stem.
const SPELT_LETTERS_MIN: usize = 5;

/// Who asks for something without a question mark has one of these among the first words.
const ASKING: [&str; 12] = [
    "what", "who", "where", "which", "how", "did", "tell", "show", "list", "remind", "describe",
    "say",
];

/// How many these are.
const FIRST_WORDS: usize = 4;

/// With what a question begins that has no question mark, and what comes next; else it may tell something, as `What I
/// like is tea` does.
const QUESTION_WORDS: [&str; 7] = ["what", "who", "where", "when", "which", "how", "why"];
const THEN: [&str; 17] = [
    "did", "do", "does", "is", "are", "am", "was", "were", "will", "would", "can", "could",
    "should", "has", "have", "had", "happened",
];

/// Those of them that may be quoted of what was said, in the same order.
pub(super) fn quotable(said: &str, mut recalled: Vec<Recalled>) -> Vec<Recalled> {
    let asking = recalled.iter().map(|it| &it.memory).filter(|memory| asks(&memory.text));
    let questions: BTreeSet<u64> = asking.map(|memory| memory.id).collect();
    recalled.retain(|it| !asks(&it.memory.text) && !offline::is_answer(&it.memory.text));
    let asks_for_a_day = is_after_something(said);
    let fits = |it: &Recalled| {
        let reasons = &it.reasons;
        let is_of_that_day = asks_for_a_day && reasons.date > 0.0;
        let mut asked_before = questions.range(..it.memory.id);
        let mut follows_one = || asked_before.any(|id| is_found_at(reasons, Some(*id)));
        is_of_that_day
            || is_found_at(reasons, None)
            || is_found_by_speaker(reasons)
            || follows_one()
    };
    if recalled.iter().any(fits) {
        recalled.retain(fits);
    } else {
        recalled.retain(|it| it.reasons.words.iter().any(tells));
    }
    recalled
}

/// Whether it asks something, or wants something told.
fn asks(text: &str) -> bool {
    let mut words = text.split_whitespace().map(bare);
    let (first, second) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let word = first.strip_suffix("'s").unwrap_or(&first);
    let is_asked = QUESTION_WORDS.contains(&word) && (word != first || THEN.contains(&&*second));
    let is_wanted = first == "tell" && ["me", "us"].contains(&&*second);
    text.trim_end().ends_with('?') || is_asked || is_wanted
}

/// A word in small letters, without what stands around it.
fn bare(word: &str) -> String {
    word.trim_matches(|letter: char| !letter.is_alphanumeric()).replace('’', "'").to_lowercase()
}

/// Whether what was said wants something told, as far as its form says so.
fn is_after_something(said: &str) -> bool {
    let mut first = said.split_whitespace().take(FIRST_WORDS).map(bare);
    said.contains('?') || first.any(|word| ASKING.contains(&&*word))
}

/// Whether a memory was found for something that stands in itself, or in another.
fn is_found_at(reasons: &Reasons, place: Option<u64>) -> bool {
    let is_alike = reasons.similarity.as_ref().is_some_and(|it| it.beside == place && is_alike(it));
    is_alike || reasons.words.iter().any(|word| word.beside == place && tells(word))
}

/// Whether it was found since somebody said it who is named, and for nothing else.
fn is_found_by_speaker(reasons: &Reasons) -> bool {
    let is_found_otherwise = reasons.date > 0.0
        || reasons.words.iter().any(tells)
        || reasons.similarity.as_ref().is_some_and(is_alike);
    reasons.speaker.is_some() && !is_found_otherwise
}

fn is_alike(similarity: &Similarity) -> bool {
    similarity.cosine >= ALIKE_MIN
}

/// Whether a word that was found says that what has it is meant.
fn tells(word: &Word) -> bool {
    word.spelt.as_ref().is_none_or(|spelt| spelt.chars().count() >= SPELT_LETTERS_MIN)
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use genii_storage::memories::{Memory, MemoryKind};
    use genii_storage::ranking::reasons::Speaker;

    use super::*;

    fn found(id: u64, text: &str, reasons: Reasons) -> Recalled {
        let memory = Memory {
            id,
            kind: MemoryKind::Turn,
            text: text.to_owned(),
            speaker: None,
            at: UNIX_EPOCH.into(),
            turn: None,
            subject: None,
            until: None,
            replaced_by: None,
        };
        Recalled { memory, score: 0.8, reasons }
    }

    /// Found for a word that stands in itself, or beside it.
    fn by_word(beside: Option<u64>) -> Reasons {
        let word = Word { word: "sister".to_owned(), spelt: None, beside, share: 1.0 };
        Reasons { words: vec![word], ..Reasons::default() }
    }

    fn check(recalled: Vec<Recalled>, expected: &[u64]) {
        check_of("Where is she?", recalled, expected);
    }

    fn check_of(said: &str, recalled: Vec<Recalled>, expected: &[u64]) {
        let ids: Vec<u64> = quotable(said, recalled).iter().map(|it| it.memory.id).collect();
        assert_eq!(ids, expected);
    }

    #[test]
    fn what_asks_something_is_not_quoted() {
        for asks in [
            "Where is my sister? ",
            "where does my sister live",
            "What’s my sister called",
            "Tell me about my sister.",
        ] {
            check(vec![found(1, asks, by_word(None))], &[]);
        }
        for tells in ["What I like is my sister.", "When I was ill my sister came.", "Tell no one."]
        {
            check(vec![found(1, tells, by_word(None))], &[1]);
        }
    }

    #[test]
    fn what_somebody_said_who_answers_without_a_model_is_not_quoted() {
        let said = "I am Tobin. I am offline: no model is configured, so I can only quote what I \
                    remember.\nI remember nothing that fits what you said.";
        check(vec![found(1, said, by_word(None)), found(2, "It rains.", by_word(Some(1)))], &[2]);
    }

    #[test]
    fn what_has_something_of_the_question_itself_is_quoted() {
        let alike = |beside| {
            let similarity = Some(Similarity { cosine: 0.7, beside, share: 0.5 });
            Reasons { similarity, ..by_word(Some(1)) }
        };
        let recalled = vec![
            found(1, "My sister lives in Bergen.", by_word(None)),
            found(2, "I ate soup.", by_word(Some(1))),
            found(3, "We met on that day.", Reasons { date: 0.1, ..by_word(Some(1)) }),
            found(4, "Lena is a sibling.", alike(None)),
            found(5, "So she is.", alike(Some(4))),
        ];
        check(recalled, &[1, 3, 4]);
    }

    #[test]
    fn who_said_it_counts_where_nothing_else_was_found() {
        let speaker = Some(Speaker { name: "ann".to_owned(), share: 0.2 });
        let recalled = vec![
            found(1, "My sister lives in Bergen.", by_word(None)),
            found(2, "I ate soup.", Reasons { speaker: speaker.clone(), ..by_word(Some(1)) }),
            found(3, "Ahoy.", Reasons { speaker, ..Reasons::default() }),
        ];
        check(recalled, &[1, 3]);
    }

    #[test]
    fn what_follows_a_question_may_be_its_answer() {
        let recalled = vec![
            found(1, "The sun is out.", by_word(Some(2))),
            found(2, "Where does your sister live?", by_word(None)),
            found(3, "In Bergen.", by_word(Some(2))),
            found(9, "Her sister is ill.", by_word(None)),
        ];
        check(recalled, &[3, 9]);
    }

    #[test]
    fn a_day_counts_for_who_asks_after_one() {
        let speaker = Some(Speaker { name: "ann".to_owned(), share: 0.2 });
        for speaker in [None, speaker] {
            let of_today = Reasons { date: 0.4, speaker, ..Reasons::default() };
            let recalled = || vec![found(1, "It rains.", of_today.clone())];
            for asks in [
                "What was said today?",
                "Marit, what was said today? I forgot.",
                "Please tell me what was said today",
                "And today?!",
            ] {
                check_of(asks, recalled(), &[1]);
            }
            for tells in ["I had soup today.", "Had soup today.", "Was in Oslo today"] {
                check_of(tells, recalled(), &[]);
            }
        }
    }

    #[test]
    fn a_mistake_in_a_word_is_forgiven_unless_it_is_short() {
        let spelt = |word: &str, spelt: &str| {
            let (word, spelt) = (word.to_owned(), Some(spelt.to_owned()));
            let words = vec![Word { word, spelt, beside: None, share: 0.5 }];
            let similarity = Some(Similarity { cosine: 0.1, beside: None, share: 0.1 });
            Reasons { similarity, words, ..Reasons::default() }
        };
        let recalled = vec![
            found(1, "Greta lives in Oslo.", spelt("lovely", "live")),
            found(2, "My passport is in the drawer.", spelt("passprot", "passport")),
            found(3, "Greta lives in Oslo.", spelt("gretta", "greta")),
        ];
        check(recalled, &[2, 3]);
    }

    #[test]
    fn what_is_hardly_alike_is_not_quoted_for_that() {
        let alike = |cosine| {
            let similarity = Some(Similarity { cosine, beside: None, share: 0.5 });
            Reasons { similarity, ..Reasons::default() }
        };
        check(vec![found(1, "It rains.", alike(0.1)), found(2, "It pours.", alike(0.3))], &[2]);
        check(vec![found(1, "It rains.", alike(0.1))], &[]);
    }

    #[test]
    fn what_was_found_beside_others_is_quoted_if_nothing_else_is_left() {
        check(vec![found(2, "In Bergen.", by_word(Some(1)))], &[2]);
    }
}
