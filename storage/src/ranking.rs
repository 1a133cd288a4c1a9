//! Which of some memories answer a question best, and why.
//!
//! Pure functions of the question, the candidates and a few counts, so that any index may find the
//! candidates. How it scores, what each part brought and why the constants are what they are stands
//! in `docs/recall.md`.
//!
//! | module | what it holds |
//! |---|---|
//! | `question` | what is asked for: words, names, days |
//! | `matching` | which words of the question stand in a candidate or beside it |
//! | `spelling` | words that are spelt nearly alike |
//! | `when` | how well a memory fits the days that are asked about |
//! | `highest` | the highest of many scores |
//! | [`reasons`] | why something was found, for a person to read |
//! | [`tail`] | memories that no index holds yet, searched directly |

use std::collections::BTreeMap;

use genii_protocols::Timestamp;

pub(crate) use self::highest::highest;
use self::matching::Matches;
pub use self::question::Question;
use self::reasons::Reasons;
use crate::text::Analysis;

mod highest;
mod matching;
mod question;
pub mod reasons;
mod spelling;
pub mod tail;
mod when;

/// How far before and behind a candidate, by id, its neighbours are. Whoever finds candidates adds
/// these, because an answer often has none of the words of its question.
pub const NEIGHBOURS: u64 = 2;

/// A memory that may answer.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// Which; in the order in which memories arrived.
    pub id: u64,
    /// When it arrived.
    pub at: Timestamp,
    /// What it says.
    pub analysis: &'a Analysis,
    /// The cosine of its vector and the question's, if that is known.
    pub similarity: Option<f32>,
}

/// Counts over all memories, of which the candidates are some.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Statistics {
    /// How many there are.
    pub memories: u64,
    /// How many terms they have together.
    pub terms: u64,
    /// In how many of them each term of the question is; a term of none may be left out.
    pub frequencies: BTreeMap<String, u64>,
}

/// How much each sign of an answer weighs against the words, which weigh 1 when all of them are there.
#[derive(Debug, Clone, PartialEq)]
pub struct Weights {
    /// How soon a word that is repeated stops to count (BM25's k1).
    pub saturation: f32,
    /// How much a long text's words count less, from 0 to 1 (BM25's b).
    pub length_penalty: f32,
    /// The share of a word's weight for the memory after the one that has it, and for the next one: an
    /// answer follows its question.
    pub after: [f32; NEIGHBOURS as usize],
    /// The same for the memory before, and the one before that.
    pub before: [f32; NEIGHBOURS as usize],
    /// The part of that which memories have that no speaker is known of: notes, not turns.
    pub notes: f32,
    /// The share of a word's weight for one that is spelt nearly alike.
    pub near_spelling: f32,
    /// What a cosine of 1 weighs.
    pub similarity: f32,
    /// Gained, as a share, by what was said by somebody whom the question names.
    pub speaker: f32,
    /// What it weighs to be said by somebody whom the question names, with none of its words.
    pub speaker_alone: f32,
    /// Gained by what tells a time when the question asks for one.
    pub tells_time: f32,
    /// Gained by a text of many words, which says more than a greeting.
    pub length: f32,
    /// Lost by what asks something itself.
    pub asks: f32,
    /// The share that is left of what asks the same, and so has all the words and tells nothing.
    pub asks_the_same: f32,
    /// What it weighs to be of the days that the question names.
    pub date: f32,
}

impl Default for Weights {
    fn default() -> Self {
        Self {
            saturation: 1.2,
            length_penalty: 0.75,
            after: [0.7, 0.35],
            before: [0.6, 0.3],
            notes: 0.75,
            near_spelling: 0.5,
            similarity: 0.1,
            speaker: 0.75,
            speaker_alone: 0.05,
            tells_time: 0.5,
            length: 0.5,
            asks: 0.2,
            asks_the_same: 0.25,
            date: 0.5,
        }
    }
}

impl Weights {
    /// The weights for vectors that tell what a text means, and not only how it is spelt.
    pub fn of_meaning() -> Self {
        Self { similarity: 0.3, ..Self::default() }
    }

    /// Whether what stands beside something that is alike in its vector alone can be among the best for it.
    /// Where vectors tell only how texts are spelt it gains too little: a neighbour of whoever has the words
    /// is found by that.
    pub fn similarity_spreads(&self) -> bool {
        const TELLING_MIN: f32 = 0.2;
        self.similarity >= TELLING_MIN
    }
}

/// A memory that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranked {
    /// Which.
    pub id: u64,
    /// How well it answers, from 0 to 1. About 0.8 if it has all words of the question.
    pub score: f32,
    /// Why.
    pub reasons: Reasons,
}

/// The best of some candidates, best first; of equal ones the newer first. Candidates to which nothing
/// of the question speaks are left out. Of several with one id the first counts.
pub fn rank(
    question: &Question,
    candidates: &[Candidate<'_>],
    statistics: &Statistics,
    weights: &Weights,
    limit: usize,
) -> Vec<Ranked> {
    rank_by_share(question, candidates, statistics, weights, limit, |_| 1.0)
}

/// As [`rank`], of candidates that count for a share only. One with a share of 0 is left out of what is
/// found, and still speaks for its neighbours.
pub fn rank_by_share(
    question: &Question,
    candidates: &[Candidate<'_>],
    statistics: &Statistics,
    weights: &Weights,
    limit: usize,
    share: impl Fn(u64) -> f32,
) -> Vec<Ranked> {
    let sorted = sorted(candidates);
    let matches = Matches::new(question, &sorted, statistics, weights);
    let found = best(question, &sorted, &matches, weights, limit, share);
    let ranked = |(total, at): (f32, usize)| {
        let parts = Parts::new(question, &sorted, &matches, weights, at);
        let reasons = Reasons::new(question, &sorted, &matches, &parts, at);
        Ranked { id: sorted[at].id, score: readable(total), reasons }
    };
    found.into_iter().map(ranked).collect()
}

/// In the order of their ids, each once.
fn sorted<'a>(candidates: &[Candidate<'a>]) -> Vec<Candidate<'a>> {
    let mut sorted = candidates.to_vec();
    sorted.sort_by_key(|candidate| candidate.id);
    sorted.dedup_by_key(|candidate| candidate.id);
    sorted
}

/// The highest totals, and of which candidates they are.
fn best(
    question: &Question,
    sorted: &[Candidate<'_>],
    matches: &Matches<'_>,
    weights: &Weights,
    limit: usize,
    share: impl Fn(u64) -> f32,
) -> Vec<(f32, usize)> {
    let mut found: Vec<(f32, usize)> = (0..sorted.len())
        .map(|at| (share(sorted[at].id), at))
        .filter(|(share, _)| *share > 0.0)
        .map(|(share, at)| (share * Parts::new(question, sorted, matches, weights, at).total(), at))
        .filter(|(total, _)| *total > 0.0)
        .collect();
    found.sort_by(|(a, at), (b, bt)| b.total_cmp(a).then(bt.cmp(at)));
    found.truncate(limit);
    found
}

/// From 0 to 1, with 0.78 for a total of 1 and 0.53 for one of a half.
fn readable(total: f32) -> f32 {
    (1.0 - (-1.5 * total).exp()).clamp(0.0, 1.0)
}

/// What a candidate's score is made of.
struct Parts {
    /// Its words and those beside it.
    words: f32,
    /// The nearness of its vector, or of those beside it.
    similarity: f32,
    /// Gained by who said it.
    speaker: f32,
    /// Gained or lost by what kind of text it is: long or short, telling a time, asking.
    kind: f32,
    /// Gained by its days.
    date: f32,
}

impl Parts {
    fn new(
        question: &Question,
        candidates: &[Candidate<'_>],
        matches: &Matches<'_>,
        weights: &Weights,
        at: usize,
    ) -> Self {
        let analysis = candidates[at].analysis;
        let words = matches.words(at).map(|word| word.weight).sum();
        let similarity = matches.similarity(at).weight;
        let said_by = question.names_speaker(&analysis.speaker);
        let (by_speaker, alone) =
            if said_by { (1.0 + weights.speaker, weights.speaker_alone) } else { (1.0, 0.0) };
        let base: f32 = words + similarity;
        // It is a factor of what is there.
        let by_kind = if base > 0.0 { kind(question, analysis, weights) } else { 1.0 };
        Self {
            words,
            similarity,
            speaker: base * (by_speaker - 1.0) + alone,
            kind: base * by_speaker * (by_kind - 1.0),
            date: weights.date * when::fit(&question.dates, analysis),
        }
    }

    fn total(&self) -> f32 {
        self.words + self.similarity + self.speaker + self.kind + self.date
    }
}

/// What a text of this kind counts more than one that is of no kind.
fn kind(question: &Question, analysis: &Analysis, weights: &Weights) -> f32 {
    let mut factor = 1.0 + weights.length * fullness(analysis.terms.len());
    if question.asks_when && analysis.tells_time {
        factor += weights.tells_time;
    }
    if analysis.asks {
        factor -= weights.asks;
    }
    if question.is_repeated_by(analysis) {
        factor *= weights.asks_the_same;
    }
    factor.max(0.0)
}

/// How full a text is, from 0 to 1: a greeting has a term or two, one that tells much has forty.
fn fullness(terms: usize) -> f32 {
    const FULL_TERMS: f32 = 40.0;
    ((1.0 + terms as f32).ln() / (1.0 + FULL_TERMS).ln()).min(1.0)
}

impl Statistics {
    /// The counts of two separate sets of memories together.
    pub fn and(mut self, other: &Self) -> Self {
        self.memories += other.memories;
        self.terms += other.terms;
        for (term, count) in &other.frequencies {
            *self.frequencies.entry(term.clone()).or_default() += count;
        }
        self
    }

    fn frequency(&self, term: &str) -> u64 {
        self.frequencies.get(term).copied().unwrap_or_default()
    }

    /// How much a term tells (BM25's idf, in the form that is never negative).
    fn rarity(&self, term: &str) -> f32 {
        let with = self.frequency(term) as f32;
        let without = self.memories as f32 - with;
        (1.0 + (without.max(0.0) + 0.5) / (with + 0.5)).ln()
    }

    /// How much a term counts that is so often in a text of so many terms (BM25).
    fn saturated(&self, count: f32, length: usize, weights: &Weights) -> f32 {
        let Weights { saturation, length_penalty, .. } = weights;
        let mean_length = (self.terms as f32 / self.memories.max(1) as f32).max(1.0);
        let relative = length as f32 / mean_length;
        let limit = saturation * (1.0 - length_penalty + length_penalty * relative);
        count * (saturation + 1.0) / (count + limit)
    }
}

#[cfg(test)]
mod tests;
