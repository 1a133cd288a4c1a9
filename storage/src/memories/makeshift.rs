//! A makeshift in memory for what the index lacks. While an index of many memories is made anew, each recall
//! would read all that it lacks from the store. So the first one that has to keeps what finding them takes: hashes
//! of terms, and vectors, but no text. The makeshift brings candidates as the index does, and goes when that has
//! them (decision 75).

use std::hash::BuildHasher;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use foldhash::fast::RandomState;
use foldhash::{HashMap, HashMapExt};
use parking_lot::Mutex;
use tokio::sync::OwnedSemaphorePermit;

use crate::ranking::Weights;
use crate::store::StoreError;
use crate::vector::{Vector, rough_product};

use super::Inner;
use super::scan::walk;
use super::tables::Gist;

/// What a memory takes beside its vector and the terms of its text, in bytes: for its id, its speaker and its day.
const MEMORY_BYTES: u64 = 96;

/// What a term of a memory takes at most, in bytes: 4 if others have it too.
const TERM_BYTES: u64 = 24;

/// The makeshift of some memories, if there is one.
#[derive(Default)]
pub(super) struct Place {
    /// Held while one is made: who comes meanwhile waits for that, and does not read everything too.
    made: Mutex<Option<Arc<Makeshift>>>,
    /// How often memories were forgotten. What was made before that has them still.
    forgettings: AtomicU64,
}

impl Place {
    /// Something was forgotten: what was made before is not used any more.
    pub(super) fn forget(&self) {
        self.forgettings.fetch_add(1, Ordering::SeqCst);
    }

    #[cfg(test)]
    pub(super) fn stands_in(&self) -> bool {
        self.made.lock().is_some()
    }

    /// Nothing is missing any more.
    pub(super) fn clear(&self) {
        // Whoever holds it sees to that.
        if let Some(mut made) = self.made.try_lock() {
            *made = None;
        }
    }
}

/// Memories by hashes of their terms, and by their vectors.
pub(super) struct Makeshift {
    /// All memories with these ids are in it.
    covers: RangeInclusive<u64>,
    /// How often memories had been forgotten when it was begun.
    forgettings: u64,
    /// What is in it, in ascending order. A place is where something stands here.
    ids: Vec<u64>,
    /// How many terms each has.
    lengths: Vec<u32>,
    /// How many they have together.
    terms: u64,
    /// At which places each term is, as often as it is there.
    places: HashMap<u64, Vec<u32>>,
    hasher: RandomState,
    dimensions: usize,
    /// The numbers of all vectors, one vector after the other.
    numbers: Vec<i8>,
    /// By what the product with each vector is a cosine.
    scales: Vec<f32>,
    #[expect(dead_code, reason = "held as long as it takes memory")]
    leave: OwnedSemaphorePermit,
}

impl Makeshift {
    /// How many of its memories have an id above one.
    pub(super) fn count_after(&self, id: u64) -> usize {
        self.ids.len() - self.first_after(id)
    }

    /// The last id that it covers.
    pub(super) fn last(&self) -> u64 {
        *self.covers.end()
    }

    /// The memories above an id that have most of some terms, by BM25.
    pub(super) fn words(&self, terms: &[&str], after: u64, limit: usize) -> Vec<u64> {
        let (first, all) = (self.first_after(after), self.ids.len() as f32);
        let mut scores = vec![0.0_f32; self.ids.len() - first];
        let Weights { saturation, length_penalty, .. } = Weights::default();
        let mean_length = (self.terms as f32 / all.max(1.0)).max(1.0);
        for places in terms.iter().filter_map(|term| self.places.get(&self.hash(term))) {
            let having = places.chunk_by(|a, b| a == b).count() as f32;
            let rarity = (1.0 + (all - having + 0.5) / (having + 0.5)).ln();
            let from = places.partition_point(|place| (*place as usize) < first);
            for same in places[from..].chunk_by(|a, b| a == b) {
                let (place, count) = (same[0] as usize, same.len() as f32);
                let relative = self.lengths[place] as f32 / mean_length;
                let limit = saturation * (1.0 - length_penalty + length_penalty * relative);
                scores[place - first] += rarity * count * (saturation + 1.0) / (count + limit);
            }
        }
        self.best(scores, first, limit)
    }

    /// The memories above an id whose vectors are nearest to one.
    pub(super) fn nearest(&self, vector: &[f32], after: u64, limit: usize) -> Vec<u64> {
        let (first, asked) = (self.first_after(after), Vector::new(vector));
        if asked.numbers().len() != self.dimensions || self.dimensions == 0 {
            return Vec::new();
        }
        let vectors = self.numbers.chunks_exact(self.dimensions).zip(&self.scales).skip(first);
        let score = |(numbers, scale): (&[i8], &f32)| {
            rough_product(numbers, asked.numbers()) as f32 * scale
        };
        self.best(vectors.map(score).collect(), first, limit)
    }

    /// The ids of the highest scores above none, of those from a place on.
    fn best(&self, scores: Vec<f32>, first: usize, limit: usize) -> Vec<u64> {
        let scored = scores.into_iter().enumerate().filter(|(_, score)| *score > 0.0);
        let mut scored: Vec<(usize, f32)> = scored.collect();
        if limit < scored.len() {
            // Of equal ones the newest.
            scored.select_nth_unstable_by(limit, |(a, of_a), (b, of_b)| {
                of_b.total_cmp(of_a).then(b.cmp(a))
            });
            scored.truncate(limit);
        }
        scored.into_iter().map(|(place, _)| self.ids[first + place]).collect()
    }

    fn first_after(&self, id: u64) -> usize {
        self.ids.partition_point(|own| *own <= id)
    }

    fn hash(&self, term: &str) -> u64 {
        self.hasher.hash_one(term)
    }

    fn add(&mut self, id: u64, gist: &Gist) {
        let Ok(place) = u32::try_from(self.ids.len()) else { return };
        let (terms, mut length) = (gist.analysis.index_terms(), 0);
        for term in terms.split(' ').filter(|term| !term.is_empty()) {
            length += 1;
            let hash = self.hasher.hash_one(term);
            self.places.entry(hash).or_default().push(place);
        }
        self.ids.push(id);
        self.lengths.push(length);
        self.terms += u64::from(length);
        let vector = gist.vector.as_ref().filter(|own| own.numbers().len() == self.dimensions);
        match vector {
            Some(vector) => self.numbers.extend_from_slice(vector.numbers()),
            None => self.numbers.resize(self.numbers.len() + self.dimensions, 0),
        }
        self.scales.push(vector.map_or(0.0, Vector::scale));
    }
}

impl Inner {
    /// The makeshift of what is missing, made if there is none; none if little is missing, or there is no
    /// room. What came since it was made is not in it. `terms` is how many all memories have together.
    pub(super) fn makeshift(
        &self,
        missing: &RangeInclusive<u64>,
        terms: u64,
    ) -> Result<Option<Arc<Makeshift>>, StoreError> {
        let is_much = |ids: RangeInclusive<u64>| {
            !ids.is_empty() && ids.end() - ids.start() >= self.settings.scanned_max
        };
        if !is_much(missing.clone()) {
            self.makeshift.clear();
            return Ok(None);
        }
        let mut made = self.makeshift.made.lock();
        let forgettings = self.makeshift.forgettings.load(Ordering::SeqCst);
        let is_good = |it: &Arc<Makeshift>| {
            it.forgettings == forgettings
                && it.covers.contains(missing.start())
                && !is_much(it.last().saturating_add(1)..=*missing.end())
        };
        if made.as_ref().is_some_and(is_good) {
            return Ok(made.clone());
        }
        // It gives back its leave before another is asked for.
        *made = None;
        let dimensions = self.embedder.dimensions();
        let each = dimensions as u64 + MEMORY_BYTES;
        let bytes = (missing.end() - missing.start()).saturating_mul(each);
        let bytes = bytes.saturating_add(terms.saturating_mul(TERM_BYTES));
        let Some(leave) = self.access.share().leave_makeshift(bytes) else { return Ok(None) };
        let mut makeshift = Makeshift {
            covers: missing.clone(),
            forgettings,
            ids: Vec::new(),
            lengths: Vec::new(),
            terms: 0,
            places: HashMap::new(),
            hasher: RandomState::default(),
            dimensions,
            numbers: Vec::new(),
            scales: Vec::new(),
            leave,
        };
        walk(&self.store, missing.clone(), |gists| {
            gists.iter().for_each(|(id, gist)| makeshift.add(*id, gist));
        })?;
        makeshift.places.values_mut().for_each(Vec::shrink_to_fit);
        let makeshift = Arc::new(makeshift);
        *made = Some(Arc::clone(&makeshift));
        Ok(Some(makeshift))
    }
}
