//! Memories that no index holds yet, searched directly.

use std::collections::BTreeMap;

use foldhash::{HashMap, HashMapExt};
use genii_protocols::Timestamp;

use super::{Candidate, NEIGHBOURS, Question, Statistics, Weights, when};
use crate::text::Analysis;
use crate::vector::{Aim, Vector};

/// Memories in memory, with everything that an index would know of them. It holds what it is given;
/// whoever fills it empties it into the index when that has come to some thousand.
#[derive(Debug, Default)]
pub struct Tail {
    memories: BTreeMap<u64, Memory>,
    /// The memories that have a term, and how often.
    terms: HashMap<String, BTreeMap<u64, u32>>,
    /// How many terms they have together.
    length: u64,
}

#[derive(Debug)]
struct Memory {
    at: Timestamp,
    analysis: Analysis,
    /// Empty if it is not made yet.
    vector: Vector,
}

impl Memory {
    fn candidate(&self, id: u64, similarity: Option<f32>) -> Candidate<'_> {
        Candidate { id, at: self.at, analysis: &self.analysis, similarity }
    }

    /// Whether it was said by somebody whom a question names.
    fn is_by(&self, question: &Question) -> bool {
        question.names_speaker(&self.analysis.speaker)
    }
}

impl Tail {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many memories it holds.
    pub fn len(&self) -> usize {
        self.memories.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.memories.is_empty()
    }

    /// Takes a memory in, in place of one with the same id.
    pub fn insert(&mut self, id: u64, at: Timestamp, analysis: Analysis, vector: Vector) {
        self.remove(id);
        self.length += analysis.terms.len() as u64;
        for term in analysis.terms.iter() {
            match self.terms.get_mut(term) {
                Some(with) => *with.entry(id).or_default() += 1,
                None => drop(self.terms.insert(term.to_owned(), BTreeMap::from([(id, 1)]))),
            }
        }
        self.memories.insert(id, Memory { at, analysis, vector });
    }

    /// Forgets a memory; whether it was there.
    pub fn remove(&mut self, id: u64) -> bool {
        let Some(memory) = self.memories.remove(&id) else { return false };
        self.length -= memory.analysis.terms.len() as u64;
        for term in memory.analysis.terms.iter() {
            let Some(with) = self.terms.get_mut(term) else { continue };
            with.remove(&id);
            if with.is_empty() {
                self.terms.remove(term);
            }
        }
        true
    }

    /// What it adds to the counts that ranking goes by.
    pub fn statistics(&self, question: &Question) -> Statistics {
        let count = |term: &str| Some((term.to_owned(), self.terms.get(term)?.len() as u64));
        Statistics {
            memories: self.memories.len() as u64,
            terms: self.length,
            frequencies: question.terms().filter_map(count).collect(),
        }
    }

    /// All memories as candidates, in the order of their ids. Of some hundred, this is quicker than to choose.
    pub fn all(&self, aim: &Aim) -> Vec<Candidate<'_>> {
        let all = self.memories.iter();
        all.map(|(id, memory)| memory.candidate(*id, Some(memory.vector.cosine(aim)))).collect()
    }

    /// The memories that may answer: the best by words, by vector and by day, at most `limit` of each,
    /// and the neighbours of all these. In the order of their ids.
    pub fn candidates(&self, question: &Question, aim: &Aim, limit: usize) -> Vec<Candidate<'_>> {
        self.candidates_among(question, aim, limit, |_| true)
    }

    /// As [`Tail::candidates`], of some memories only; among the neighbours others may be.
    pub fn candidates_among(
        &self,
        question: &Question,
        aim: &Aim,
        limit: usize,
        is_wanted: impl Fn(u64) -> bool,
    ) -> Vec<Candidate<'_>> {
        let cosine = |(id, memory): (&u64, &Memory)| (*id, memory.vector.cosine(aim));
        // In the order of their ids.
        let cosines: Vec<(u64, f32)> = self.memories.iter().map(cosine).collect();
        let is_wanted = |(id, _): &(u64, f32)| is_wanted(*id);
        let mut ids = best(cosines.iter().copied().filter(is_wanted), limit);
        ids.extend(best(self.by_words(question).filter(is_wanted), limit));
        ids.extend(best(self.by_days(question).filter(is_wanted), limit));
        let around = |id: u64| id.saturating_sub(NEIGHBOURS)..=id.saturating_add(NEIGHBOURS);
        let mut ids: Vec<u64> = ids.into_iter().flat_map(around).collect();
        ids.sort_unstable();
        ids.dedup();
        let candidate = |id| {
            let at = cosines.binary_search_by_key(&id, |(id, _)| *id).ok()?;
            self.candidate(id, Some(cosines[at].1))
        };
        ids.into_iter().filter_map(candidate).collect()
    }

    /// The lowest id in it.
    pub fn first(&self) -> Option<u64> {
        self.memories.keys().next().copied()
    }

    /// The vector of a memory.
    pub fn vector(&self, id: u64) -> Option<&Vector> {
        self.memories.get(&id).map(|memory| &memory.vector)
    }

    /// Gives a memory that it holds a vector.
    pub fn set_vector(&mut self, id: u64, vector: Vector) {
        if let Some(memory) = self.memories.get_mut(&id) {
            memory.vector = vector;
        }
    }

    /// A memory as a candidate, of this similarity to the question.
    pub fn candidate(&self, id: u64, similarity: Option<f32>) -> Option<Candidate<'_>> {
        self.memories.get(&id).map(|memory| memory.candidate(id, similarity))
    }

    /// Memories that have terms of the question, by BM25; those of a speaker whom it names before others.
    fn by_words(&self, question: &Question) -> impl Iterator<Item = (u64, f32)> {
        let (statistics, weights) = (self.statistics(question), Weights::default());
        let mut scores: HashMap<u64, f32> = HashMap::new();
        for (term, having) in question.terms().filter_map(|term| self.terms.get_key_value(term)) {
            let rarity = statistics.rarity(term);
            for (id, count) in having {
                let length = self.memories[id].analysis.terms.len();
                let weight = rarity * statistics.saturated(*count as f32, length, &weights);
                *scores.entry(*id).or_default() += weight;
            }
        }
        let Weights { speaker, speaker_alone, .. } = weights;
        for (id, _) in self.memories.iter().filter(|(_, memory)| memory.is_by(question)) {
            let score = scores.entry(*id).or_default();
            *score += *score * speaker + speaker_alone;
        }
        scores.into_iter()
    }

    /// Memories by how well they fit the days that are asked about.
    fn by_days(&self, question: &Question) -> impl Iterator<Item = (u64, f32)> {
        let asked = !question.dates.is_empty();
        let memories = self.memories.iter().filter(move |_| asked);
        memories.map(|(id, memory)| (*id, when::fit(&question.dates, &memory.analysis)))
    }
}

/// The ids with the highest scores above none; of equal ones the newest.
fn best(scores: impl Iterator<Item = (u64, f32)>, limit: usize) -> Vec<u64> {
    let mut scores: Vec<(u64, f32)> = scores.filter(|(_, score)| *score > 0.0).collect();
    scores.sort_unstable_by(|(a, of_a), (b, of_b)| of_b.total_cmp(of_a).then(b.cmp(a)));
    scores.truncate(limit);
    scores.into_iter().map(|(id, _)| id).collect()
}

#[cfg(test)]
mod tests;
