//! Which of the memories that were found may be quoted by who answers without a model.
//!
//! It understands nothing, so that it says only what bears on the question by itself.
//!
//! | memory | quoted |
//! |---|---|
//! | asks something | no: what was asked before tells nothing |
//! | is what somebody said who answers without a model | no: that quotes what is remembered elsewhere |
//! | is of a day for which it asks | yes; if some of these were found for another reason as well, only they |
//! | has words of what was said, or is alike in its vector | yes, if none is of a day for which it asks |
//! | was found only for words, or a likeness, of what stands beside it | as before if that asks something, which it follows; for words also if nothing else is left |
//! | was found only by who said it | as before |
//! | was found only by a short word that is spelt nearly so, `today` or the like, or a day that is named in passing | no |

use std::collections::BTreeSet;

use genii_storage::memories::Recalled;
use genii_storage::ranking::reasons::{Reasons, Similarity, Word};

use crate::being::asked::{AskedDays, asks, is_relative_day};
use crate::being::provider::offline;

/// How alike a memory is at least to what was said, by the cosine of both vectors, to be quoted for that.
const ALIKE_MIN: f32 = 0.25;

/// How many letters a word has at least that is quoted for being spelt nearly so: `live` is like `lovely`, by its stem.
const SPELT_LETTERS_MIN: usize = 5;

/// Those of them that may be quoted of what was said, in the same order.
pub(super) fn quotable(days: &AskedDays, mut recalled: Vec<Recalled>) -> Vec<Recalled> {
    let asking = recalled.iter().map(|it| &it.memory).filter(|memory| asks(&memory.text));
    let questions: BTreeSet<u64> = asking.map(|memory| memory.id).collect();
    recalled.retain(|it| !asks(&it.memory.text) && !offline::is_answer(&it.memory.text));
    let of_days: BTreeSet<u64> =
        recalled.iter().map(|it| &it.memory).filter(|it| days.have(it)).map(|it| it.id).collect();
    let is_of_days = |it: &Recalled| of_days.contains(&it.memory.id);
    let is_found_itself =
        |it: &Recalled| is_found_at(&it.reasons, None) || it.reasons.speaker.is_some();
    let fits = |it: &Recalled| {
        let reasons = &it.reasons;
        let mut asked_before = questions.range(..it.memory.id);
        let mut follows_one = || asked_before.any(|id| is_found_at(reasons, Some(*id)));
        is_found_at(reasons, None) || is_found_by_speaker(reasons) || follows_one()
    };
    if recalled.iter().any(|it| is_of_days(it) && is_found_itself(it)) {
        recalled.retain(|it| is_of_days(it) && is_found_itself(it));
    } else if !of_days.is_empty() {
        recalled.retain(is_of_days);
    } else if recalled.iter().any(fits) {
        recalled.retain(fits);
    } else {
        recalled.retain(|it| it.reasons.words.iter().any(tells));
    }
    recalled
}

/// Whether a memory was found for something that stands in itself, or in another.
fn is_found_at(reasons: &Reasons, place: Option<u64>) -> bool {
    let is_alike = reasons.similarity.as_ref().is_some_and(|it| it.beside == place && is_alike(it));
    is_alike || reasons.words.iter().any(|word| word.beside == place && tells(word))
}

/// Whether it was found since somebody said it who is named, and for nothing else.
fn is_found_by_speaker(reasons: &Reasons) -> bool {
    let is_found_otherwise =
        reasons.words.iter().any(tells) || reasons.similarity.as_ref().is_some_and(is_alike);
    reasons.speaker.is_some() && !is_found_otherwise
}

fn is_alike(similarity: &Similarity) -> bool {
    similarity.cosine >= ALIKE_MIN
}

/// Whether a word that was found says that what has it is meant.
fn tells(word: &Word) -> bool {
    let is_spelt_so = word.spelt.as_ref();
    let is_meant = is_spelt_so.is_none_or(|spelt| spelt.chars().count() >= SPELT_LETTERS_MIN);
    is_meant && !is_relative_day(&word.word)
}

#[cfg(test)]
mod tests {
    use genii_storage::ranking::reasons::Speaker;

    use super::*;
    use crate::being::asked::tests::{at, told};

    fn found(id: u64, text: &str, reasons: Reasons) -> Recalled {
        found_of("2026-04-01", id, text, reasons)
    }

    fn found_of(day: &str, id: u64, text: &str, reasons: Reasons) -> Recalled {
        let memory = genii_storage::memories::Memory { id, ..told(day, text) };
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

    /// Asked on the fourth of May.
    fn check_of(said: &str, recalled: Vec<Recalled>, expected: &[u64]) {
        let days = AskedDays::of(said, at("2026-05-04"));
        let ids: Vec<u64> = quotable(&days, recalled).iter().map(|it| it.memory.id).collect();
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
            found(4, "Lena is a sibling.", alike(None)),
            found(5, "So she is.", alike(Some(4))),
        ];
        check(recalled, &[1, 4]);
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

    fn by_speaker() -> Reasons {
        let speaker = Some(Speaker { name: "ann".to_owned(), share: 0.2 });
        Reasons { speaker, ..Reasons::default() }
    }

    #[test]
    fn a_day_counts_for_who_asks_for_one() {
        let recalled = || {
            vec![
                found_of("2026-05-04", 1, "It rains.", Reasons::default()),
                found_of("2026-05-03", 2, "It pours.", Reasons::default()),
            ]
        };
        check_of("What was said today?", recalled(), &[1]);
        check_of("What was said yesterday?", recalled(), &[2]);
        check_of("Yesterday it was dry.", recalled(), &[]);
        check_of("How are you today?", recalled(), &[]);
    }

    #[test]
    fn a_day_counts_for_more_than_who_it_is_or_a_word() {
        let recalled = || {
            vec![
                found_of("2026-05-04", 1, "The boat is mended.", by_word(None)),
                found_of("2026-05-04", 2, "I am tired.", by_speaker()),
                found_of("2026-05-03", 3, "It pours.", Reasons::default()),
                found_of("2026-05-03", 4, "I swam.", by_speaker()),
            ]
        };
        check_of("What did Ann do yesterday?", recalled(), &[4]);
        let without_hers = recalled().into_iter().filter(|it| it.memory.id != 4).collect();
        check_of("What did Ann do yesterday?", without_hers, &[3]);
        // Nothing is left of that day.
        check_of("What did Ann do on 2 May 2026?", recalled(), &[1, 2, 4]);
    }

    #[test]
    fn the_word_for_a_day_is_no_reason() {
        let word = Word { word: "today".to_owned(), spelt: None, beside: None, share: 1.0 };
        let reasons = Reasons { words: vec![word], ..Reasons::default() };
        check_of("What did we eat today?", vec![found(1, "Today I swam.", reasons)], &[]);
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
