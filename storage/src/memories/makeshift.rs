//! A makeshift in memory for what the index lacks. While an index of many memories is made anew, each recall
//! would read all that it lacks from the store. So the first one that has to keeps what finding them takes: hashes
//! of terms, and vectors, but no text. The makeshift brings candidates as the index does, and goes when that has
//! them (decision 75).

use std::hash::BuildHasher;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use parking_lot::Mutex;
use tokio::sync::OwnedSemaphorePermit;

use crate::index::IndexShare;
use crate::ranking::{Question, Statistics, Weights, highest};
use crate::store::StoreError;
use crate::vector::{Aim, Vector};

use super::Inner;
use super::scan::walk;
use super::tables::Gist;

/// What a memory takes beside its vector and its terms, in bytes.
const MEMORY_BYTES: usize = 24;

/// What a term of a memory takes while it is sorted in, in bytes.
const TERM_BYTES: usize = 16;

/// How long none is tried again when one has found no room: until then the store is read.
const NO_ROOM_WAIT: Duration = Duration::from_secs(10);

/// How many forgotten memories are taken out of one at a time. Where there are more it is made anew.
const TAKEN_OUT_MAX: usize = 1_024;

/// The makeshift of some memories, if there is one.
#[derive(Default)]
pub(super) struct Place {
    /// Held while one is made: who comes meanwhile waits for that, and does not read everything too.
    made: Mutex<Made>,
    /// What was forgotten since one was last looked for, which may have it still: as many as are taken out, or
    /// one more.
    forgotten: Mutex<Vec<u64>>,
}

#[derive(Default)]
struct Made {
    makeshift: Option<Arc<Makeshift>>,
    /// When one has found no room.
    no_room: Option<Instant>,
}

impl Place {
    /// Memories were forgotten, and are in the store no more: whoever looks for the makeshift next takes them
    /// out of it.
    pub(super) fn forget(&self, ids: &[u64]) {
        let mut forgotten = self.forgotten.lock();
        let room = (TAKEN_OUT_MAX + 1).saturating_sub(forgotten.len());
        forgotten.extend(ids.iter().take(room));
    }

    #[cfg(test)]
    pub(super) fn stands_in(&self) -> bool {
        self.made.lock().makeshift.is_some()
    }

    /// Nothing is missing any more.
    pub(super) fn clear(&self) {
        // Whoever holds it sees to that.
        if let Some(mut made) = self.made.try_lock() {
            *made = Made::default();
            *self.forgotten.lock() = Vec::new();
        }
    }
}

impl Made {
    /// Takes out what was forgotten. Where there is too much of it, or a recall still uses what there is, there is
    /// none any more.
    fn leave_out(&mut self, forgotten: &[u64]) {
        if forgotten.is_empty() {
            return;
        }
        let makeshift = self.makeshift.as_mut().filter(|_| forgotten.len() <= TAKEN_OUT_MAX);
        match makeshift.and_then(Arc::get_mut) {
            Some(makeshift) => makeshift.take_out(forgotten),
            None => self.makeshift = None,
        }
    }
}

/// Memories by hashes of their terms, and by their vectors.
pub(super) struct Makeshift {
    /// All memories with these ids are in it.
    covers: RangeInclusive<u64>,
    /// What is in it, in ascending order. A place is where something stands here.
    ids: Vec<u64>,
    /// How many terms the text of each has.
    terms: Vec<u32>,
    /// How many it has with those that tell who said it, and when.
    lengths: Vec<u32>,
    /// The terms of all by their hashes, each with the places where it is, as often as it is there.
    places: Vec<(u64, u32)>,
    hasher: RandomState,
    dimensions: usize,
    /// The numbers of all vectors, one vector after the other.
    numbers: Vec<i8>,
    /// By what the product with each vector is a cosine.
    scales: Vec<f32>,
    /// Held as long as it takes memory.
    leave: OwnedSemaphorePermit,
}

impl Makeshift {
    /// How many of its memories have an id above one.
    pub(super) fn count_after(&self, id: u64) -> usize {
        self.ids.len() - self.first_after(id)
    }

    /// The last id that it covers.
    fn last(&self) -> u64 {
        *self.covers.end()
    }

    /// Of ids, the first of which it covers, those behind all that it covers.
    pub(super) fn without(&self, ids: RangeInclusive<u64>) -> RangeInclusive<u64> {
        self.last().saturating_add(1).max(*ids.start())..=*ids.end()
    }

    /// What its memories above an id add to the counts that ranking goes by.
    pub(super) fn statistics(&self, question: &Question, after: u64) -> Statistics {
        let first = self.first_after(after);
        let having = |term: &str| {
            let having = from(self.places_of(term), first).chunk_by(|a, b| a.1 == b.1).count();
            (having > 0).then(|| (term.to_owned(), having as u64))
        };
        Statistics {
            memories: (self.ids.len() - first) as u64,
            terms: self.terms[first..].iter().copied().map(u64::from).sum(),
            frequencies: question.terms().filter_map(having).collect(),
        }
    }

    /// The memories above an id that have most of some terms, by BM25.
    pub(super) fn words(&self, terms: &[&str], after: u64, limit: usize) -> Vec<u64> {
        let (first, all) = (self.first_after(after), self.ids.len() as f32);
        let mut scores = vec![0.0_f32; self.ids.len() - first];
        let Weights { saturation, length_penalty, .. } = Weights::default();
        let mean_length = (self.places.len() as f32 / all.max(1.0)).max(1.0);
        for places in terms.iter().map(|term| self.places_of(term)) {
            let having = places.chunk_by(|a, b| a.1 == b.1).count() as f32;
            let rarity = (1.0 + (all - having + 0.5) / (having + 0.5)).ln();
            for same in from(places, first).chunk_by(|a, b| a.1 == b.1) {
                let (place, count) = (same[0].1 as usize, same.len() as f32);
                let relative = self.lengths[place] as f32 / mean_length;
                let limit = saturation * (1.0 - length_penalty + length_penalty * relative);
                scores[place - first] += rarity * count * (saturation + 1.0) / (count + limit);
            }
        }
        self.best(scores, first, limit)
    }

    /// The memories above an id whose vectors are nearest to a question's.
    pub(super) fn nearest(&self, aim: &Aim, after: u64, limit: usize) -> Vec<u64> {
        let first = self.first_after(after);
        if aim.len() != self.dimensions || self.dimensions == 0 {
            return Vec::new();
        }
        let vectors = self.numbers.chunks_exact(self.dimensions).zip(&self.scales).skip(first);
        let scores = vectors.map(|(numbers, scale)| aim.product(numbers) * scale);
        self.best(scores.collect(), first, limit)
    }

    /// The ids of the highest scores above none, of those from a place on.
    fn best(&self, scores: Vec<f32>, first: usize, limit: usize) -> Vec<u64> {
        let scored = scores.into_iter().enumerate().filter(|(_, score)| *score > 0.0).collect();
        highest(scored, limit).map(|place: usize| self.ids[first + place]).collect()
    }

    fn first_after(&self, id: u64) -> usize {
        self.ids.partition_point(|own| *own <= id)
    }

    /// Where a term is.
    fn places_of(&self, term: &str) -> &[(u64, u32)] {
        let hash = self.hasher.hash_one(term);
        let first = self.places.partition_point(|(own, _)| *own < hash);
        let behind = self.places[first..].partition_point(|(own, _)| *own == hash);
        &self.places[first..first + behind]
    }

    /// Adds memories that come after all that are in it, and takes no more room than these need.
    fn add(&mut self, gists: &[(u64, Gist)]) {
        let mut places = Vec::new();
        self.numbers.reserve_exact(gists.len() * self.dimensions);
        gists.iter().for_each(|(id, gist)| self.add_one(*id, gist, &mut places));
        self.places.reserve_exact(places.len());
        self.places.append(&mut places);
    }

    fn add_one(&mut self, id: u64, gist: &Gist, places: &mut Vec<(u64, u32)>) {
        let Ok(place) = u32::try_from(self.ids.len()) else { return };
        let (terms, before) = (gist.analysis.index_terms(), places.len());
        for term in terms.split(' ').filter(|term| !term.is_empty()) {
            places.push((self.hasher.hash_one(term), place));
        }
        self.ids.push(id);
        self.terms.push(gist.analysis.terms.len() as u32);
        self.lengths.push((places.len() - before) as u32);
        let vector = gist.vector.as_ref().filter(|own| own.numbers().len() == self.dimensions);
        match vector {
            Some(vector) => self.numbers.extend_from_slice(vector.numbers()),
            None => self.numbers.resize(self.numbers.len() + self.dimensions, 0),
        }
        self.scales.push(vector.map_or(0.0, Vector::scale));
    }

    /// Takes memories out, of those that are in it: nothing of them is counted or found any more.
    fn take_out(&mut self, ids: &[u64]) {
        let mut gone: Vec<usize> =
            ids.iter().filter_map(|id| self.ids.binary_search(id).ok()).collect();
        if gone.is_empty() {
            return;
        }
        gone.sort_unstable();
        gone.dedup();
        self.places.retain_mut(|(_, place)| match gone.binary_search(&(*place as usize)) {
            Ok(_) => false,
            Err(gone_before) => {
                *place -= gone_before as u32;
                true
            }
        });
        let count = self.ids.len();
        without_rows(&mut self.ids, &gone, count, 1);
        without_rows(&mut self.terms, &gone, count, 1);
        without_rows(&mut self.lengths, &gone, count, 1);
        without_rows(&mut self.scales, &gone, count, 1);
        without_rows(&mut self.numbers, &gone, count, self.dimensions);
    }

    /// Whether there is room for what it takes.
    fn has_leave(&mut self, share: &IndexShare) -> bool {
        let vectors = self.numbers.capacity() + self.ids.capacity() * MEMORY_BYTES;
        let bytes = vectors + self.places.capacity() * TERM_BYTES;
        let lacking = bytes.saturating_sub(self.leave.num_permits() << 20);
        if lacking == 0 {
            return true;
        }
        let more = share.leave_makeshift(lacking);
        more.map(|more| self.leave.merge(more)).is_some()
    }
}

/// Of places those from one on.
fn from(places: &[(u64, u32)], first: usize) -> &[(u64, u32)] {
    &places[places.partition_point(|(_, place)| (*place as usize) < first)..]
}

/// Takes rows out of so many, each of so many values. All values are moved once, however many rows go.
fn without_rows<T: Copy>(values: &mut Vec<T>, gone: &[usize], count: usize, width: usize) {
    let (mut from, mut kept) = (0, 0);
    for end in gone.iter().copied().chain([count]) {
        values.copy_within(from * width..end * width, kept * width);
        kept += end - from;
        from = end + 1;
    }
    values.truncate(kept * width);
}

impl Inner {
    /// The makeshift of what is missing, made if there is none; none if little is missing, or there is no
    /// room. What came since it was made is not in it.
    pub(super) fn makeshift(
        &self,
        missing: &RangeInclusive<u64>,
    ) -> Result<Option<Arc<Makeshift>>, StoreError> {
        let is_much = |ids: RangeInclusive<u64>| {
            !ids.is_empty() && ids.end() - ids.start() >= self.settings.scanned_max
        };
        if !is_much(missing.clone()) {
            self.makeshift.clear();
            return Ok(None);
        }
        let mut made = self.makeshift.made.lock();
        // Before one is made: what is forgotten while that is read may be in it.
        let forgotten = std::mem::take(&mut *self.makeshift.forgotten.lock());
        made.leave_out(&forgotten);
        let is_good = |it: &Arc<Makeshift>| {
            it.covers.contains(missing.start())
                && !is_much(it.last().saturating_add(1)..=*missing.end())
        };
        if made.makeshift.as_ref().is_some_and(is_good) {
            return Ok(made.makeshift.clone());
        }
        if made.no_room.is_some_and(|at| at.elapsed() < NO_ROOM_WAIT) {
            return Ok(None);
        }
        // It gives back its leave before another is asked for.
        *made = Made::default();
        let Some(leave) = self.access.share().leave_makeshift(1) else { return Ok(None) };
        made.makeshift = self.make_makeshift(missing.clone(), leave)?.map(Arc::new);
        made.no_room = made.makeshift.is_none().then(Instant::now);
        Ok(made.makeshift.clone())
    }

    /// None if it finds no room.
    fn make_makeshift(
        &self,
        covers: RangeInclusive<u64>,
        leave: OwnedSemaphorePermit,
    ) -> Result<Option<Makeshift>, StoreError> {
        let share = self.access.share();
        let mut makeshift = Makeshift {
            covers: covers.clone(),
            ids: Vec::new(),
            terms: Vec::new(),
            lengths: Vec::new(),
            places: Vec::new(),
            hasher: RandomState::default(),
            dimensions: self.embedder.dimensions(),
            numbers: Vec::new(),
            scales: Vec::new(),
            leave,
        };
        let mut has_room = true;
        walk(&self.store, covers, |gists| {
            makeshift.add(&gists);
            has_room = makeshift.has_leave(share);
            has_room
        })?;
        makeshift.places.sort_unstable();
        Ok(has_room.then_some(makeshift))
    }
}
