//! Which words of the question stand in a candidate or beside it.

use std::time::Duration;

use foldhash::{HashMap, HashMapExt};

use super::spelling::Spelling;
use super::{Candidate, NEIGHBOURS, Question, Statistics, Weights};
use crate::text::{Terms, as_text};

/// Memories further apart than this in time are not of one conversation.
const APART_MAX: Duration = Duration::from_secs(3_600);

/// Up to this cosine two texts are alike by chance only.
const COSINE_MIN: f32 = 0.15;

/// How many words of a question that no memory has are looked for in other spellings.
const MISSPELT_MAX: usize = 8;

/// What the candidates have of the question, in the order of the candidates.
pub(super) struct Matches<'c> {
    words: Rows<'c>,
    similarities: Vec<Match<'c>>,
}

/// A row for each candidate that has words of the question: a match for each term. Most have none.
struct Rows<'c> {
    terms: usize,
    /// Where the row of each candidate begins; none if it has none.
    begins: Vec<Option<usize>>,
    matches: Vec<Match<'c>>,
}

impl<'c> Rows<'c> {
    fn new(terms: usize, candidates: usize) -> Self {
        Self { terms, begins: Vec::with_capacity(candidates), matches: Vec::new() }
    }

    /// The row of a candidate, which has no match if it has none.
    fn row(&self, at: usize) -> &[Match<'c>] {
        self.begins[at].map_or(&[], |begin| &self.matches[begin..begin + self.terms])
    }

    fn has_row(&self, at: usize) -> bool {
        self.begins[at].is_some()
    }

    /// Adds that the next candidate has this row, or none.
    fn push(&mut self, row: Option<&[Match<'c>]>) {
        self.begins.push(row.map(|_| self.matches.len()));
        self.matches.extend_from_slice(row.unwrap_or_default());
    }
}

/// What a candidate has of one word.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Match<'c> {
    /// How much that weighs; 0 for nothing.
    pub weight: f32,
    /// The candidate in which it was found: itself or one beside it. There are never more than this can count.
    pub found_in: u32,
    /// The term that it was found as, if it is spelt otherwise.
    pub spelt: Option<&'c str>,
}

impl<'c> Matches<'c> {
    /// Matches candidates, which are sorted by id.
    pub(super) fn new(
        question: &Question,
        candidates: &[Candidate<'c>],
        statistics: &Statistics,
        weights: &Weights,
    ) -> Self {
        let asked = Asked::new(question, statistics, weights);
        let terms = asked.rarities.len();
        let mut words = Rows::new(terms, candidates.len());
        let (mut spellings, mut counts) = (HashMap::new(), vec![0.0; terms]);
        let mut row = vec![Match::default(); terms];
        for (at, candidate) in candidates.iter().enumerate() {
            let has_any =
                asked.in_one(&candidate.analysis.terms, &mut spellings, &mut counts, &mut row);
            if has_any {
                row.iter_mut().for_each(|word| word.found_in = at as u32);
            }
            words.push(has_any.then_some(row.as_slice()));
            if has_any {
                row.fill(Match::default());
            }
        }
        let similarity = |(at, candidate): (usize, &Candidate<'_>)| {
            let cosine =
                candidate.similarity.filter(|cosine| cosine.is_finite()).unwrap_or_default();
            let telling = (cosine.min(1.0) - COSINE_MIN).max(0.0) / (1.0 - COSINE_MIN);
            Match { weight: weights.similarity * telling, found_in: at as u32, spelt: None }
        };
        let similarities = candidates.iter().enumerate().map(similarity).collect();
        Self { words, similarities }.spread(question, candidates, weights)
    }

    /// What a candidate has of each term of the question; of none if neither it nor one beside it has any.
    pub(super) fn words(&self, at: usize) -> impl Iterator<Item = &Match<'c>> {
        self.words.row(at).iter()
    }

    /// What the nearness of a candidate's vector weighs.
    pub(super) fn similarity(&self, at: usize) -> &Match<'c> {
        &self.similarities[at]
    }

    /// Gives each candidate for each word the best of its own and of a share of its neighbours': a
    /// question and its answer have the words that are looked for together, and not each alone.
    fn spread(&self, question: &Question, candidates: &[Candidate<'_>], weights: &Weights) -> Self {
        let mut words = Rows::new(self.words.terms, candidates.len());
        let mut similarities = self.similarities.clone();
        let repeats =
            candidates.iter().map(|candidate| question.is_repeated_by(candidate.analysis));
        let repeats: Vec<bool> = repeats.collect();
        let mut row: Vec<Match<'c>> = Vec::with_capacity(self.words.terms);
        for (at, similarity) in similarities.iter_mut().enumerate() {
            row.clear();
            row.extend_from_slice(self.words.row(at));
            for (beside, share) in neighbours(candidates, at, weights) {
                // Whoever asked the same before has not answered themselves: what they said beside it is about
                // something else.
                let speaker = |at: usize| &candidates[at].analysis.speaker;
                if repeats[beside] && speaker(beside) == speaker(at) {
                    continue;
                }
                if self.words.has_row(beside) {
                    let none = Match { found_in: at as u32, ..Match::default() };
                    row.resize(self.words.terms, none);
                    for (word, theirs) in row.iter_mut().zip(self.words.row(beside)) {
                        word.raise(theirs, share);
                    }
                }
                similarity.raise(&self.similarities[beside], share);
            }
            words.push((!row.is_empty()).then_some(row.as_slice()));
        }
        Self { words, similarities }
    }
}

impl Match<'_> {
    /// Weighs a share of another match if that is more. One that is a match itself is still found where it is.
    fn raise(&mut self, theirs: &Self, share: f32) {
        let weight = theirs.weight * share;
        if weight > self.weight {
            *self = if self.weight > 0.0 {
                Self { weight, ..*self }
            } else {
                Self { weight, ..*theirs }
            };
        }
    }
}

/// The neighbours of a candidate, which is one of some sorted by id, with the shares that it has in
/// what they say.
fn neighbours<'a>(
    candidates: &'a [Candidate<'_>],
    at: usize,
    weights: &'a Weights,
) -> impl Iterator<Item = (usize, f32)> + 'a {
    let own = &candidates[at];
    let reach = NEIGHBOURS as usize;
    let around = at.saturating_sub(reach)..=(at + reach).min(candidates.len() - 1);
    around.filter(move |beside| *beside != at).filter_map(move |beside| {
        let other = &candidates[beside];
        let distance = own.id.abs_diff(other.id);
        let apart = Duration::from_micros(own.at.micros().abs_diff(other.at.micros()));
        if distance > NEIGHBOURS || apart > APART_MAX {
            return None;
        }
        let are_turns = !own.analysis.speaker.is_empty() && !other.analysis.speaker.is_empty();
        let shares = if other.id < own.id { weights.after } else { weights.before };
        let share = shares[distance as usize - 1];
        Some((beside, if are_turns { share } else { share * weights.notes }))
    })
}

/// The terms of a question, with what each weighs.
struct Asked<'a> {
    terms: HashMap<&'a [u8], usize>,
    sieve: Sieve,
    /// Of all terms together about 1, and more where one that no memory has is rarer than all others: it
    /// counts in full for who has it misspelt.
    rarities: Vec<f32>,
    /// Terms that no memory has, by their spelling.
    misspelt: Vec<(usize, Spelling)>,
    /// The first bytes of these: what begins otherwise is like none.
    misspelt_from: [bool; 256],
    statistics: &'a Statistics,
    weights: &'a Weights,
}

/// Lets few terms through beside those that it was made of, and takes less time than to look them up.
struct Sieve {
    /// By the first byte of a term, which last bytes and lengths there are together. Some share a bit.
    kinds: [u64; 256],
}

impl Sieve {
    fn of<'a>(terms: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut kinds = [0; 256];
        for (first, kind) in terms.map(Self::place) {
            kinds[first] |= kind;
        }
        Self { kinds }
    }

    fn lets_through(&self, term: &[u8]) -> bool {
        let (first, kind) = Self::place(term);
        self.kinds[first] & kind != 0
    }

    fn place(term: &[u8]) -> (usize, u64) {
        let [first, last] =
            [term.first(), term.last()].map(|byte| usize::from(*byte.unwrap_or(&0)));
        (first, 1 << ((last + 8 * term.len()) % 64))
    }
}

/// A term of a memory: which terms of the question may be misspellings of it, and how alike they are.
type Spellings<'a> = HashMap<&'a str, Vec<(usize, f32)>>;

impl<'a> Asked<'a> {
    fn new(question: &'a Question, statistics: &'a Statistics, weights: &'a Weights) -> Self {
        let terms: HashMap<&[u8], usize> =
            question.terms().enumerate().map(|(at, term)| (term.as_bytes(), at)).collect();
        let is_known = |term: &str| statistics.frequency(term) > 0;
        let mut rarities: Vec<f32> = question.terms().map(|term| statistics.rarity(term)).collect();
        let known = question.terms().zip(&rarities).filter(|(term, _)| is_known(term));
        // What no memory has counts among all terms as the most telling one that some have, at most: `say` in
        // "what did I say about herring?" would else outweigh `herring` where many have that and none has `say`.
        let most = known.map(|(_, rarity)| *rarity).reduce(f32::max).unwrap_or(f32::MAX);
        let counted = question.terms().zip(&rarities);
        let counted =
            counted.map(|(term, rarity)| if is_known(term) { *rarity } else { rarity.min(most) });
        let all: f32 = counted.sum();
        rarities.iter_mut().for_each(|rarity| *rarity /= all);
        let words = question.words().enumerate();
        let unknown = words.filter(|(_, (term, _))| !is_known(term));
        let misspelt =
            unknown.filter_map(|(at, (term, word))| Some((at, Spelling::new(word, term)?)));
        let misspelt: Vec<(usize, Spelling)> = misspelt.take(MISSPELT_MAX).collect();
        let mut misspelt_from = [false; 256];
        for first in misspelt.iter().flat_map(|(_, spelling)| spelling.first_bytes()) {
            misspelt_from[usize::from(first)] = true;
        }
        let sieve = Sieve::of(question.terms().map(str::as_bytes));
        Self { terms, sieve, rarities, misspelt, misspelt_from, statistics, weights }
    }

    /// What one candidate has of each term (BM25, of all terms together about 1), and whether it has any.
    /// `counts` is a scratch of as many zeros, and is left so; `row` is one in which there is nothing.
    fn in_one<'c>(
        &self,
        terms: &'c Terms,
        spellings: &mut Spellings<'c>,
        counts: &mut [f32],
        row: &mut [Match<'c>],
    ) -> bool {
        let (mut has_terms, mut has_spellings) = (false, false);
        for term in terms.bytes() {
            if self.sieve.lets_through(term)
                && let Some(at) = self.terms.get(term)
            {
                counts[*at] += 1.0;
                has_terms = true;
            }
            has_spellings |= self.match_spelling(term, terms.len(), spellings, row);
        }
        if !has_terms {
            return has_spellings;
        }
        for (at, count) in counts.iter_mut().enumerate().filter(|(_, count)| **count > 0.0) {
            let count = std::mem::take(count);
            row[at].weight =
                self.rarities[at] * self.statistics.saturated(count, terms.len(), self.weights);
            row[at].spelt = None;
        }
        true
    }

    /// Matches what may be misspelt with a term; whether any is like it.
    fn match_spelling<'c>(
        &self,
        term: &'c [u8],
        length: usize,
        spellings: &mut Spellings<'c>,
        row: &mut [Match<'c>],
    ) -> bool {
        let first = term.first().copied().unwrap_or_default();
        if !self.misspelt_from[usize::from(first)] {
            return false;
        }
        let term = as_text(term);
        let alike = spellings.entry(term).or_insert_with(|| self.alike(term));
        for (at, likeness) in alike.iter() {
            let share = self.weights.near_spelling * *likeness;
            let weight =
                self.rarities[*at] * share * self.statistics.saturated(1.0, length, self.weights);
            if weight > row[*at].weight {
                row[*at].weight = weight;
                row[*at].spelt = Some(term);
            }
        }
        !alike.is_empty()
    }

    fn alike(&self, term: &str) -> Vec<(usize, f32)> {
        let likenesses = self.misspelt.iter().map(|(at, asked)| (*at, asked.likeness(term)));
        likenesses.filter(|(_, likeness)| *likeness > 0.0).collect()
    }
}
