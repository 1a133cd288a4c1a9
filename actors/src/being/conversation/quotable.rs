//! Which of the memories that were found may be quoted by who answers without a model.
//!
//! It understands nothing, so that it says only what bears on the question by itself.
//!
//! | memory | quoted |
//! |---|---|
//! | asks something | no: what was asked before tells nothing |
//! | is what somebody said who answers without a model | no: that quotes what is remembered elsewhere |
//! | has words of the question, is of a day that it names, or is alike in its vector | yes |
//! | was found only since it stands beside others | if it follows what asks something, or nothing else is left |

use std::collections::BTreeSet;

use genii_storage::memories::Recalled;
use genii_storage::ranking::reasons::Reasons;

use crate::being::provider::offline;

/// Those of them that may be quoted, in the same order.
pub(super) fn quotable(mut recalled: Vec<Recalled>) -> Vec<Recalled> {
    let asking = recalled.iter().map(|it| &it.memory).filter(|memory| asks(&memory.text));
    let questions: BTreeSet<u64> = asking.map(|memory| memory.id).collect();
    recalled.retain(|it| !asks(&it.memory.text) && !offline::is_answer(&it.memory.text));
    let fits = |it: &Recalled| {
        let mut asked_before = questions.range(..it.memory.id);
        let places = places(&it.reasons);
        is_found_itself(&it.reasons, &places) || asked_before.any(|id| places.contains(&Some(*id)))
    };
    if recalled.iter().any(fits) {
        recalled.retain(fits);
    }
    recalled
}

fn asks(text: &str) -> bool {
    text.trim_end().ends_with('?')
}

/// Where that was found for which a memory is told: in itself, or in others.
fn places(reasons: &Reasons) -> Vec<Option<u64>> {
    let words = reasons.words.iter().map(|word| word.beside);
    words.chain(reasons.similarity.iter().map(|it| it.beside)).collect()
}

/// Whether it was found for something of its own. Who said it is that only where nothing else was found.
fn is_found_itself(reasons: &Reasons, places: &[Option<u64>]) -> bool {
    reasons.date > 0.0 || places.is_empty() || places.contains(&None)
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use genii_storage::memories::{Memory, MemoryKind};
    use genii_storage::ranking::reasons::{Similarity, Speaker, Word};

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
        let ids: Vec<u64> = quotable(recalled).iter().map(|it| it.memory.id).collect();
        assert_eq!(ids, expected);
    }

    #[test]
    fn what_asks_something_is_not_quoted() {
        check(vec![found(1, "Where is my sister? ", by_word(None))], &[]);
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
    fn what_was_found_beside_others_is_quoted_if_nothing_else_is_left() {
        check(vec![found(2, "In Bergen.", by_word(Some(1)))], &[2]);
    }
}
