//! Searching the store itself, for what neither the index nor the tail has. It looks at each memory: slow
//! for many, but nothing is missed.

use std::collections::{BTreeMap, VecDeque};
use std::ops::RangeInclusive;

use crate::ranking::{Candidate, NEIGHBOURS, Ranked, Statistics, Weights, rank_by_share};
use crate::store::{Store, StoreError};

use super::recalling::Asked;
use super::tables::{self, Gist};

/// How many memories are read and ranked at a time.
const CHUNK: usize = 1_024;

/// A search of a store.
pub(super) struct Scan<'a> {
    pub(super) store: &'a Store,
    pub(super) asked: &'a Asked,
    pub(super) weights: &'a Weights,
}

impl Scan<'_> {
    /// Adds memories to the counts that ranking goes by.
    pub(super) fn count(
        &self,
        ids: RangeInclusive<u64>,
        counts: &mut Statistics,
    ) -> Result<(), StoreError> {
        walk(self.store, ids, |chunk| {
            chunk.iter().for_each(|(_, gist)| {
                tables::count_one(counts, &self.asked.question, gist);
            });
            true
        })
    }

    /// The best of some memories, and how many there were.
    pub(super) fn rank(
        &self,
        ids: RangeInclusive<u64>,
        counts: &Statistics,
    ) -> Result<(Vec<Ranked>, usize), StoreError> {
        let (mut best, mut scanned) = (BTreeMap::<u64, Ranked>::new(), 0);
        if ids.is_empty() {
            return Ok((Vec::new(), scanned));
        }
        let with_neighbours =
            ids.start().saturating_sub(NEIGHBOURS)..=ids.end().saturating_add(NEIGHBOURS);
        // Those at the end of a chunk are ranked again with what follows them.
        let mut before: VecDeque<(u64, Gist)> = VecDeque::new();
        walk(self.store, with_neighbours, |chunk| {
            scanned += chunk.iter().filter(|(id, _)| ids.contains(id)).count();
            before.extend(chunk);
            for ranked in self.rank_some(before.make_contiguous(), counts) {
                let known = best.get(&ranked.id).map_or(f32::NEG_INFINITY, |known| known.score);
                if ranked.score > known {
                    best.insert(ranked.id, ranked);
                }
            }
            before.drain(..before.len().saturating_sub(2 * NEIGHBOURS as usize));
            keep_best(&mut best, self.asked.ranked());
            true
        })?;
        Ok((best.into_values().collect(), scanned))
    }

    fn rank_some(&self, gists: &[(u64, Gist)], counts: &Statistics) -> Vec<Ranked> {
        let aim = &self.asked.aim;
        let candidates: Vec<Candidate<'_>> =
            gists.iter().map(|(id, gist)| gist.candidate(*id, aim)).collect();
        let share = |id: u64| {
            let at = gists.binary_search_by_key(&id, |(id, _)| *id);
            at.map_or(0.0, |at| self.asked.share(&gists[at].1.brief))
        };
        let (question, limit) = (&self.asked.question, self.asked.ranked());
        rank_by_share(question, &candidates, counts, self.weights, limit, share)
    }
}

/// Goes through memories in the order of their ids, a chunk at a time, each read at one moment, as long as it is
/// to go on.
pub(super) fn walk(
    store: &Store,
    ids: RangeInclusive<u64>,
    mut each: impl FnMut(Vec<(u64, Gist)>) -> bool,
) -> Result<(), StoreError> {
    let (mut next, last) = (*ids.start(), *ids.end());
    while next <= last {
        let read = |reader: &_| tables::some_gists(reader, next..=last, CHUNK);
        let chunk = store.read(read)?;
        let Some((newest, _)) = chunk.last() else { break };
        next = newest + 1;
        if !each(chunk) {
            break;
        }
    }
    Ok(())
}

/// Leaves the best of what was ranked.
fn keep_best(ranked: &mut BTreeMap<u64, Ranked>, count: usize) {
    if ranked.len() <= count {
        return;
    }
    let mut scores: Vec<f32> = ranked.values().map(|ranked| ranked.score).collect();
    scores.sort_by(|a, b| b.total_cmp(a));
    let least = scores[count - 1];
    ranked.retain(|_, ranked| ranked.score >= least);
}
