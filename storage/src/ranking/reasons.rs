//! Why something was found, for a person to read.

use serde::{Deserialize, Serialize};

use super::matching::{Match, Matches};
use super::{Candidate, Parts, Question};

/// Smaller shares are not told.
const SHARE_MIN: f32 = 0.005;

/// Why a memory was found. All shares together make 1.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Reasons {
    /// The words of the question that it or a neighbour has, the weightiest first.
    pub words: Vec<Word>,
    /// That it means something like the question.
    pub similarity: Option<Similarity>,
    /// That it was said by somebody whom the question names.
    pub speaker: Option<Speaker>,
    /// The share that comes of its days being those that the question names.
    pub date: f32,
    /// The share that comes of what kind of text it is: one that says much, that tells a time when the
    /// question asks for one, that does not itself ask.
    pub kind: f32,
}

/// A word of the question that was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Word {
    /// As it was asked.
    pub word: String,
    /// The beginning of the word that it was found as, if it is spelt otherwise.
    pub spelt: Option<String>,
    /// The neighbour that has it, if the memory itself has not.
    pub beside: Option<u64>,
    /// Its share in the score.
    pub share: f32,
}

/// That a memory means something like the question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Similarity {
    /// The cosine of the two vectors.
    pub cosine: f32,
    /// The neighbour whose vector it is, if that counts more than the memory's own.
    pub beside: Option<u64>,
    /// Its share in the score.
    pub share: f32,
}

/// That a memory was said by somebody whom the question names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Speaker {
    /// Who, in lower case.
    pub name: String,
    /// Its share in the score.
    pub share: f32,
}

impl Reasons {
    pub(super) fn new(
        question: &Question,
        candidates: &[Candidate<'_>],
        matches: &Matches<'_>,
        parts: &Parts,
        at: usize,
    ) -> Self {
        let total = parts.total();
        let beside = |found: &Match<'_>| {
            let found_in = found.found_in as usize;
            (found_in != at).then(|| candidates[found_in].id)
        };
        let word = |((_, word), found): ((&str, &str), &Match<'_>)| {
            let share = found.weight / total;
            (share >= SHARE_MIN).then(|| Word {
                word: word.to_owned(),
                spelt: found.spelt.map(str::to_owned),
                beside: beside(found),
                share,
            })
        };
        let words = question.words().zip(matches.words(at));
        let mut words: Vec<Word> = words.filter_map(word).collect();
        words.sort_by(|a, b| b.share.total_cmp(&a.share));
        let near = matches.similarity(at);
        let similarity = Similarity {
            cosine: candidates[near.found_in as usize].similarity.unwrap_or_default(),
            beside: beside(near),
            share: parts.similarity / total,
        };
        let speaker = parts.speaker / total;
        let speaker = (speaker >= SHARE_MIN).then(|| {
            let name = candidates[at].analysis.speaker.join(" ");
            Speaker { name, share: speaker }
        });
        Self {
            words,
            similarity: (similarity.share >= SHARE_MIN).then_some(similarity),
            speaker,
            date: parts.date / total,
            kind: parts.kind / total,
        }
    }
}
