//! How memories are found: candidates from the index and the tail, what neither has from the store, and
//! all of them ranked by the same counts.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::Arc;

use crate::embed::EmbedFor;
use crate::index::IndexError;
use crate::ranking::tail::Snapshot;
use crate::ranking::{NEIGHBOURS, Question, Ranked, Statistics, rank_by_share};
use crate::store::StoreError;
use crate::vector::Aim;

use super::makeshift::Makeshift;
use super::memory::{Memory, Recall, RecallFilter, Recalled};
use super::scan;
use super::tables::{self, Brief, Gist};
use super::{Inner, Memories, MemoriesError, RECALLED_MAX, blocking};

/// What a fact that no longer holds counts for, beside one that does.
const OUTDATED_SHARE: f32 = 0.5;

/// What is left of the score of the fact that replaced it, where it would still be above that.
const BELOW_ITS_SUCCESSOR: f32 = 0.99;

/// How often a search is tried again when the index is replaced meanwhile.
const SEARCHES_MAX: usize = 3;

/// Up to how many memories in the tail are searched in passing.
const IN_PASSING_MAX: usize = 512;

/// What is asked, ready to be compared with.
pub(super) struct Asked {
    pub(super) question: Question,
    /// Of length one, or all zeros; empty if none could be made.
    pub(super) vector: Vec<f32>,
    /// The same, to be compared with many.
    pub(super) aim: Aim,
    pub(super) filter: RecallFilter,
    pub(super) limit: usize,
}

/// Gists with the ids of their memories, in the order of these.
pub(super) type Gists = Vec<(u64, Arc<Gist>)>;

/// What the index brought, or is at hand instead.
struct Hits {
    /// All settled memories through this id were looked at.
    through: u64,
    /// By their words.
    words: BTreeSet<u64>,
    /// By their vectors.
    near: BTreeSet<u64>,
}

impl Hits {
    /// None, among the settled memories through this id.
    fn none(through: u64) -> Self {
        Self { through, words: BTreeSet::new(), near: BTreeSet::new() }
    }
}

impl Asked {
    /// What a memory counts for.
    pub(super) fn share(&self, memory: &Brief) -> f32 {
        match self.filter.passes(memory) {
            false => 0.0,
            true if memory.replaced_by.is_some() => OUTDATED_SHARE,
            true => 1.0,
        }
    }

    /// How many are ranked, so that enough are left when some turn out to be gone.
    pub(super) fn ranked(&self) -> usize {
        2 * self.limit
    }
}

/// What answers best; and how many memories had to be read from the store for that.
pub(super) async fn recall(
    memories: &Memories,
    recall: Recall,
) -> Result<(Vec<Recalled>, usize), MemoriesError> {
    let Recall { question, at, asked_by, limit, filter } = recall;
    let vector = memories.0.vector_of(&question).await;
    let question = Question::new(&question, at);
    let question = match asked_by {
        Some(name) => question.asked_by(&name),
        None => question,
    };
    let (aim, limit) = (Aim::new(&vector), limit.min(RECALLED_MAX));
    let asked = Asked { question, vector, aim, filter, limit };
    let (settled, tail, has_gap) = {
        let live = memories.0.live.read();
        (live.settled, live.tail.len(), live.has_gap())
    };
    let hits = memories.search_index(&asked, settled).await;
    if settled == 0 && !has_gap && tail <= IN_PASSING_MAX {
        return Ok(memories.0.judge(&asked, hits)?);
    }
    memories.fill_at_hand();
    let own = Arc::clone(&memories.0);
    let (found, scanned) = blocking(move || own.judge(&asked, hits)).await??;
    if scanned > 0 {
        tracing::info!(memories = scanned, "recall read memories that are not indexed yet");
        memories.tend_aside();
    }
    Ok((found, scanned))
}

impl Memories {
    /// Asks the index. When it can't answer, nothing was looked at.
    async fn search_index(&self, asked: &Asked, settled: u64) -> Hits {
        let nothing = Hits::none(0);
        if settled == 0 {
            return nothing;
        }
        for _ in 0..SEARCHES_MAX {
            match self.try_index(asked, settled).await {
                Ok(hits) => return hits,
                Err(MemoriesError::Index(IndexError::Replaced { .. })) => {}
                Err(error) => {
                    tracing::warn!(%error, "recall goes on without the index");
                    break;
                }
            }
        }
        nothing
    }

    async fn try_index(&self, asked: &Asked, settled: u64) -> Result<Hits, MemoriesError> {
        let index = self.0.index().await?;
        let through = index.covered().unwrap_or(0).min(settled);
        if through == 0 {
            return Ok(Hits::none(through));
        }
        let asked = self.ask(&index, asked, through).await;
        if let Err(MemoriesError::Index(error)) = &asked {
            self.0.access.heed(&index, error).await;
        }
        let (words, near) = asked?;
        Ok(Hits { through, words, near })
    }
}

impl Inner {
    /// The vector of a question. Without one it is answered by its words.
    async fn vector_of(&self, question: &str) -> Vec<f32> {
        match self.embed(vec![question.to_owned()], EmbedFor::Question).await {
            Ok(mut vectors) => vectors.pop().unwrap_or_default(),
            Err(error) => {
                tracing::warn!(%error, "recall goes on by words only");
                Vec::new()
            }
        }
    }

    /// Ranks what the index brought together with everything that it does not have; and how many memories
    /// had to be read from the store for that.
    fn judge(&self, asked: &Asked, mut hits: Hits) -> Result<(Vec<Recalled>, usize), StoreError> {
        let (mut counts, settled, covered_from) = {
            let live = self.live.read();
            (live.tail.statistics(&asked.question), live.settled, live.covers_from())
        };
        let (settled_counts, counted) =
            self.store.read(|reader| tables::counts(reader, &asked.question))?;
        counts = counts.and(&settled_counts);
        // Settled since the index was asked, or not in the index, or neither settled nor in the tail.
        let missing = hits.through.min(settled) + 1..=covered_from - 1;
        let mut uncounted = counted.max(settled) + 1..=covered_from - 1;
        let makeshift = self.stand_in(asked, &mut hits, &missing)?;
        let (missing, stood_in) = match makeshift {
            Some(makeshift) => {
                let in_it = *uncounted.start() - 1;
                counts = counts.and(&makeshift.statistics(&asked.question, in_it));
                uncounted = makeshift.without(uncounted);
                let stood_in = makeshift.count_after(*missing.start() - 1);
                (makeshift.without(missing), stood_in)
            }
            None => (missing, 0),
        };
        let read = scan::Scan { store: &self.store, asked, weights: &self.weights };
        read.count(uncounted, &mut counts)?;
        let (mut ranked, scanned) = read.rank(missing, &counts)?;
        let fetched = self.fetch(&hits, covered_from)?;
        ranked.extend(self.rank(asked, fetched, covered_from, &counts)?);
        Ok((self.recalled(asked, ranked)?, stood_in + scanned))
    }

    /// Has the makeshift bring candidates of what is missing, if that is much; the makeshift, if it has.
    fn stand_in(
        &self,
        asked: &Asked,
        hits: &mut Hits,
        missing: &RangeInclusive<u64>,
    ) -> Result<Option<Arc<Makeshift>>, StoreError> {
        // The best of some memories only may be far behind the best of all.
        let makeshift = match asked.filter.is_of_the_asker_only() {
            true => self.makeshift(missing)?,
            false => None,
        };
        if let Some(makeshift) = &makeshift {
            let (terms, limit) = (asked.question.search_terms(), self.settings.candidates);
            let (terms, through) = (terms.split(' ').collect::<Vec<_>>(), missing.start() - 1);
            hits.words.extend(makeshift.words(&terms, through, limit));
            hits.near.extend(makeshift.nearest(&asked.aim, through, limit / 2));
        }
        Ok(makeshift)
    }

    /// The gists of what the index brought, of what stands beside it, and of what lies before the tail.
    fn fetch(&self, hits: &Hits, covered_from: u64) -> Result<Gists, StoreError> {
        let around = |id: &u64| id.saturating_sub(NEIGHBOURS)..=id.saturating_add(NEIGHBOURS);
        let before_tail = covered_from.saturating_sub(NEIGHBOURS)..covered_from;
        let mut ids: Vec<u64> = hits.words.iter().flat_map(around).collect();
        match self.weights.similarity_spreads() {
            true => ids.extend(hits.near.iter().flat_map(around)),
            false => ids.extend(&hits.near),
        }
        ids.extend(before_tail);
        ids.sort_unstable();
        ids.dedup();
        self.gists(&ids)
    }

    /// Gists of memories with ascending ids, each once, of those that there are: what is not at hand is read.
    pub(super) fn gists(&self, ids: &[u64]) -> Result<Gists, StoreError> {
        let mut gists = self.at_hand.of(ids, self.store.reopened());
        if gists.len() < ids.len() {
            let is_lacking = |id: &&u64| gists.binary_search_by_key(*id, |(own, _)| *own).is_err();
            let missing: BTreeSet<u64> = ids.iter().filter(is_lacking).copied().collect();
            let read = self.store.read(|reader| tables::gists_of(reader, &missing))?;
            gists.extend(read.into_iter().map(|(id, gist)| (id, Arc::new(gist))));
            gists.sort_unstable_by_key(|(id, _)| *id);
        }
        Ok(gists)
    }

    /// Ranks what was fetched together with what is in the tail.
    fn rank(
        &self,
        asked: &Asked,
        mut fetched: Gists,
        covered_from: u64,
        counts: &Statistics,
    ) -> Result<Vec<Ranked>, StoreError> {
        let tail = self.tail_beside(asked, &mut fetched, covered_from)?;
        let mut candidates = tail.candidates(&asked.question, &asked.aim);
        candidates.extend(fetched.iter().map(|(id, gist)| {
            // The tail may have its vector when the store does not yet.
            let of_tail = tail.candidate(*id, &asked.aim);
            of_tail.unwrap_or_else(|| gist.candidate(*id, &asked.aim))
        }));
        let share = |id: u64| {
            let of_fetched = || {
                let place = fetched.binary_search_by_key(&id, |(own, _)| *own).ok()?;
                Some(asked.share(&fetched[place].1.brief))
            };
            tail.share(id).or_else(of_fetched).unwrap_or(0.0)
        };
        let (question, weights) = (&asked.question, &self.weights);
        Ok(rank_by_share(question, &candidates, counts, weights, asked.ranked(), share))
    }

    /// What is in the tail, when what has left it since the others were fetched is fetched, too. It is taken out of
    /// it, which takes far less than to rank it: nobody who tells something is to wait for that.
    fn tail_beside(
        &self,
        asked: &Asked,
        fetched: &mut Gists,
        mut covered_from: u64,
    ) -> Result<Snapshot, StoreError> {
        let limit = self.settings.candidates;
        loop {
            let left = {
                let live = self.live.read();
                let left = covered_from..live.covers_from();
                if left.is_empty() {
                    let share = |id| live.briefs.get(&id).map_or(0.0, |brief| asked.share(brief));
                    // Of so few, the best and their neighbours are about all that there are.
                    return Ok(match live.tail.len() <= limit * (1 + 2 * NEIGHBOURS as usize) {
                        true => live.tail.all(share),
                        false => live.tail.best(&asked.question, limit, share),
                    });
                }
                left
            };
            covered_from = left.end;
            // Of one that was fetched twice, what was read last comes first, also when they are sorted.
            let before = std::mem::take(fetched);
            *fetched = self.gists(&left.collect::<Vec<_>>())?;
            fetched.extend(before);
            fetched.sort_by_key(|(id, _)| *id);
            fetched.dedup_by_key(|(id, _)| *id);
        }
    }

    /// The best of what was ranked, each once, as far as it is still there.
    fn recalled(&self, asked: &Asked, ranked: Vec<Ranked>) -> Result<Vec<Recalled>, StoreError> {
        let mut best = BTreeMap::<u64, Ranked>::new();
        for ranked in ranked {
            let known = best.get(&ranked.id).map_or(f32::NEG_INFINITY, |known| known.score);
            if ranked.score > known {
                best.insert(ranked.id, ranked);
            }
        }
        let mut best: Vec<Ranked> = best.into_values().collect();
        best.sort_by(|a, b| b.score.total_cmp(&a.score).then(b.id.cmp(&a.id)));
        best.truncate(asked.ranked());
        let others = best.split_off(asked.limit.min(best.len()));
        let mut found = self.read(best)?;
        // Mostly each of them is there, and keeps its place.
        let holds = |it: &Recalled| it.memory.replaced_by.is_none();
        let are_settled = found.len() == asked.limit && found.iter().all(holds);
        if !are_settled && !others.is_empty() {
            found.extend(self.read(others)?);
        }
        put_behind_successors(&mut found);
        found.truncate(asked.limit);
        Ok(found)
    }

    /// What was ranked, as far as it is still there.
    fn read(&self, ranked: Vec<Ranked>) -> Result<Vec<Recalled>, StoreError> {
        let ids = ranked.iter().map(|ranked| ranked.id);
        let memories = self.store.read(|reader| tables::memories(reader, ids))?;
        let memories = memories.into_iter().map(|memory| (memory.id, memory));
        let mut memories: BTreeMap<u64, Memory> = memories.collect();
        let found = ranked.into_iter().filter_map(|Ranked { id, score, reasons }| {
            memories.remove(&id).map(|memory| Recalled { memory, score, reasons })
        });
        Ok(found.collect())
    }
}

/// Puts facts that no longer hold behind those that replaced them.
fn put_behind_successors(found: &mut [Recalled]) {
    // The newest first, so that what replaced a fact has its place already.
    let mut scores = BTreeMap::new();
    let mut newest_first: Vec<&mut Recalled> = found.iter_mut().collect();
    newest_first.sort_by_key(|recalled| std::cmp::Reverse(recalled.memory.id));
    for recalled in newest_first {
        let successor = recalled.memory.replaced_by.and_then(|by| scores.get(&by));
        let most = successor.map_or(f32::MAX, |score| score * BELOW_ITS_SUCCESSOR);
        recalled.score = recalled.score.min(most);
        scores.insert(recalled.memory.id, recalled.score);
    }
    found.sort_by(|a, b| b.score.total_cmp(&a.score).then(b.memory.id.cmp(&a.memory.id)));
}
