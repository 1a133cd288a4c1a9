//! Memories that no index holds yet, searched directly.

use std::collections::BTreeMap;
use std::sync::Arc;

use foldhash::{HashMap, HashMapExt};
use genii_protocols::Timestamp;

use super::{Candidate, NEIGHBOURS, Question, Statistics, Weights, highest, when};
use crate::text::Analysis;
use crate::vector::{Aim, Vector};

/// Memories in memory, with everything that an index would know of them. It holds what it is given;
/// whoever fills it empties it into the index when that has come to some thousand.
#[derive(Debug, Default)]
pub struct Tail {
    memories: BTreeMap<u64, Arc<Memory>>,
    /// The memories that have a term.
    terms: HashMap<String, BTreeMap<u64, Having>>,
    /// How many terms they have together.
    length: u64,
}

/// What a tail held at a moment, to be ranked while others go on with it.
#[derive(Debug)]
pub struct Snapshot {
    /// In the order of their ids.
    held: Vec<Held>,
    /// Which of them may answer, if not all do.
    choice: Option<Choice>,
}

#[derive(Debug)]
struct Held {
    id: u64,
    memory: Arc<Memory>,
    /// What it counts for.
    share: f32,
}

/// The best by words, to which so many of the nearest and of those of the days that are asked about come.
#[derive(Debug)]
struct Choice {
    by_words: Vec<u64>,
    limit: usize,
}

/// What counts of a memory that has a term.
#[derive(Debug, Clone, Copy)]
struct Having {
    /// How often it has it.
    count: u32,
    /// How many terms it has in all.
    length: u32,
}

#[derive(Debug, Clone)]
struct Memory {
    at: Timestamp,
    analysis: Analysis,
    /// Empty if it is not made yet.
    vector: Vector,
}

impl Memory {
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

    /// How many terms they have together.
    pub fn terms(&self) -> u64 {
        self.length
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.memories.is_empty()
    }

    /// Takes a memory in, in place of one with the same id.
    pub fn insert(&mut self, id: u64, at: Timestamp, analysis: Analysis, vector: Vector) {
        self.remove(id);
        self.length += analysis.terms.len() as u64;
        let once = Having { count: 1, length: analysis.terms.len() as u32 };
        for term in analysis.terms.iter() {
            match self.terms.get_mut(term) {
                Some(with) => {
                    with.entry(id).and_modify(|having| having.count += 1).or_insert(once);
                }
                None => drop(self.terms.insert(term.to_owned(), BTreeMap::from([(id, once)]))),
            }
        }
        self.memories.insert(id, Arc::new(Memory { at, analysis, vector }));
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

    /// All memories, which are all candidates, each with the share that it counts for. Of some hundred, this is
    /// quicker than to choose.
    pub fn all(&self, share: impl Fn(u64) -> f32) -> Snapshot {
        let held = |(id, memory): (&u64, &Arc<Memory>)| Held {
            id: *id,
            memory: Arc::clone(memory),
            share: share(*id),
        };
        Snapshot { held: self.memories.iter().map(held).collect(), choice: None }
    }

    /// As [`Tail::all`], but for candidates only those that may answer: the best by words, by vector and by day, at
    /// most `limit` of each and none that counts for nothing, and the neighbours of all these.
    pub fn best(&self, question: &Question, limit: usize, share: impl Fn(u64) -> f32) -> Snapshot {
        let mut all = self.all(share);
        let counts = |(id, _): &(u64, f32)| all.share(*id).is_some_and(|share| share > 0.0);
        let by_words = best_above_none(self.by_words(question).filter(counts), limit);
        all.choice = Some(Choice { by_words, limit });
        all
    }

    /// The lowest id in it.
    pub fn first(&self) -> Option<u64> {
        self.memories.keys().next().copied()
    }

    /// The id in it of which so many are lower.
    pub fn nth(&self, lower: usize) -> Option<u64> {
        self.memories.keys().nth(lower).copied()
    }

    /// Gives a memory that it holds a vector.
    pub fn set_vector(&mut self, id: u64, vector: Vector) {
        if let Some(memory) = self.memories.get_mut(&id) {
            // A snapshot that has it keeps it as it was.
            Arc::make_mut(memory).vector = vector;
        }
    }

    /// Memories that have terms of the question, by BM25; those of a speaker whom it names before others.
    fn by_words(&self, question: &Question) -> impl Iterator<Item = (u64, f32)> {
        let (statistics, weights) = (self.statistics(question), Weights::default());
        let mut scores: HashMap<u64, f32> = HashMap::new();
        for (term, having) in question.terms().filter_map(|term| self.terms.get_key_value(term)) {
            let rarity = statistics.rarity(term);
            for (id, Having { count, length }) in having {
                let count = *count as f32;
                let weight = rarity * statistics.saturated(count, *length as usize, &weights);
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
}

impl Snapshot {
    /// The memories that may answer, in the order of their ids.
    pub fn candidates(&self, question: &Question, aim: &Aim) -> Vec<Candidate<'_>> {
        let all: Vec<Candidate<'_>> = self.held.iter().map(|held| held.candidate(aim)).collect();
        let Some(Choice { by_words, limit }) = &self.choice else { return all };
        let counting = || all.iter().zip(&self.held).filter(|(_, held)| held.share > 0.0);
        let near = counting().filter_map(|(one, _)| Some((one.id, one.similarity?)));
        let mut ids = best_above_none(near, *limit);
        ids.extend(by_words);
        if !question.dates.is_empty() {
            let fit = |one: &Candidate<'_>| when::fit(&question.dates, one.analysis);
            ids.extend(best_above_none(counting().map(|(one, _)| (one.id, fit(one))), *limit));
        }
        let around = |id: u64| id.saturating_sub(NEIGHBOURS)..=id.saturating_add(NEIGHBOURS);
        let mut ids: Vec<u64> = ids.into_iter().flat_map(around).collect();
        ids.sort_unstable();
        ids.dedup();
        ids.into_iter().filter_map(|id| Some(all[self.place(id)?])).collect()
    }

    /// A memory as a candidate, if it was there.
    pub fn candidate(&self, id: u64, aim: &Aim) -> Option<Candidate<'_>> {
        Some(self.held[self.place(id)?].candidate(aim))
    }

    /// What a memory counts for, if it was there.
    pub fn share(&self, id: u64) -> Option<f32> {
        Some(self.held[self.place(id)?].share)
    }

    fn place(&self, id: u64) -> Option<usize> {
        self.held.binary_search_by_key(&id, |held| held.id).ok()
    }
}

impl Held {
    fn candidate(&self, aim: &Aim) -> Candidate<'_> {
        let Memory { at, analysis, vector } = &*self.memory;
        let similarity = Some(vector.cosine(aim));
        Candidate { id: self.id, at: *at, analysis, similarity }
    }
}

/// The best of those that have a score.
fn best_above_none(scores: impl Iterator<Item = (u64, f32)>, limit: usize) -> Vec<u64> {
    highest(scores.filter(|(_, score)| *score > 0.0).collect(), limit).collect()
}

#[cfg(test)]
mod tests;
