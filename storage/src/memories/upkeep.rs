//! How memories come into the index: behind everybody's back, a bounded step at a time.
//!
//! | when | then |
//! |---|---|
//! | memories were removed, and not purged | they are purged |
//! | memories in the tail have no vector | some get theirs |
//! | the index lacks settled memories | it gets the next of them, and is brought to cover them |
//! | there are memories that neither are settled nor in the tail, or the tail is long | a batch is settled |
//! | the index has grown | its own upkeep takes a step |
//! | settled memories have vectors of an earlier embedder, and the index has them all | some get theirs (`renewing`) |
//!
//! A batch is appended to the index and covered by it, and is written down as settled then: until that it
//! stays in the tail, so that no recall has to look at rows one by one. A crash in between lets it go to
//! the index a second time, where it is passed over. Which steps are due is told by the store and the index
//! themselves, so that a step that is not finished is just taken again.
//!
//! A step of the index may take seconds. What is told meanwhile is embedded beside it, and goes to the index
//! in one larger batch after it; and after each batch the index's own upkeep has its turn. So neither starves
//! however much comes. Embedding and indexing make way for whoever waits to purge.
//!
//! While the embedder fails, what has its vector is settled and indexed all the same.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::index::{Entry, Index, IndexError, Shape, Tended};
use crate::store::StoreError;
use crate::vector::Vector;

use super::embedding::TEXTS_AT_ONCE;
use super::live::Live;
use super::memory::{Memory, micros};
use super::tables::{self, Gist};
use super::{Inner, MemoriesError, TAIL_GROWTH_MAX, blocking};

/// How many memories are settled or appended at a time when many wait.
const MANY: usize = 2_048;

/// An index that is made anew is brought to cover what was appended after so many, and again each time that
/// there are twice as many: seldom enough to merge little, and often enough for recall to find more in it.
const COVERED_FROM: u64 = 16_384;

/// How far an index that is being made anew has come, in ids of memories.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// All through this one are in it or, after a change of the embedder, have their vectors for it.
    pub done: u64,
    /// All through this one should be. Equal to `done` when there is nothing to do.
    pub total: u64,
}

/// What is to be settled.
struct Due {
    /// All through this id,
    through: u64,
    /// so many at a time.
    count: usize,
    /// Through this id they are neither settled nor in the tail, if there are such.
    gap_ends: Option<u64>,
}

/// Memories with their gists and, if they have none yet, no vectors.
pub(super) type Batch = Vec<(Memory, Gist)>;

impl Inner {
    pub(super) fn is_due(&self) -> bool {
        let live = self.live.read();
        let is_long = live.tail.len() >= self.settings.tail_max.max(1);
        let is_behind = live.has_gap() || !live.unembedded.is_empty() || live.renewal.is_some();
        is_long || is_behind || !live.forgotten.is_empty()
    }

    /// One step; whether there may be more.
    pub(super) async fn tend(&self) -> Result<bool, MemoriesError> {
        let _tending = self.tending.lock().await;
        if self.live.read().forgotten.is_empty() {
            return self.tend_others().await;
        }
        match self.purge().await {
            // All else is kept up until there is room.
            Err(no_room @ MemoriesError::Index(IndexError::NoSpace { .. })) => {
                match self.tend_others().await? {
                    true => Ok(true),
                    false => Err(no_room),
                }
            }
            purged => purged.map(|()| true),
        }
    }

    /// A step beside what is forgotten. It makes way for whoever waits to purge, and is taken again
    /// after that.
    async fn tend_others(&self) -> Result<bool, MemoriesError> {
        let embedded = tokio::select! {
            biased;
            () = self.worker.purge_waits() => return Ok(true),
            embedded = self.embed_some() => embedded,
        };
        if matches!(embedded, Ok(true)) || !self.is_index_due(embedded.is_ok()) {
            return embedded;
        }
        // Makes no way: an index that was given up while it is made would be in the way of the
        // purge.
        let index = self.index().await?;
        let done = tokio::select! {
            biased;
            () = self.worker.purge_waits() => return Ok(true),
            done = self.tend_index(&index, embedded.is_ok()) => done,
        };
        if let Err(MemoriesError::Index(error)) = &done {
            self.access.heed(&index, error).await;
        }
        let done = done?;
        if done && index.covered() < Some(self.live.read().settled) {
            // What it lacks is looked for in the store until it has that: no model is waited for before.
            return Ok(true);
        }
        match self.renew(embedded.is_ok()).await {
            // It is tried again by the next step, which tells of it.
            Err(_) if done => Ok(true),
            Err(error) => Err(error),
            Ok(renewed) if done || renewed => Ok(true),
            Ok(_) => embedded,
        }
    }

    /// Whether there is an index, or something for one. While the embedder fails, that is only what
    /// has its vector.
    fn is_index_due(&self, can_embed: bool) -> bool {
        if self.live.read().settled > 0 {
            return true;
        }
        self.due().is_some() && (can_embed || self.has_next_vector())
    }

    /// Whether what is settled next has its vector, as far as is known.
    fn has_next_vector(&self) -> bool {
        let live = self.live.read();
        live.has_gap() || live.tail.first().is_some_and(|id| !live.unembedded.contains(&id))
    }

    async fn tend_index(&self, index: &Index, can_embed: bool) -> Result<bool, MemoriesError> {
        if self.embed_beside(self.catch_up(index)).await? {
            return Ok(true);
        }
        let has_settled = self.embed_beside(self.settle(index, can_embed)).await?;
        let tended = self.embed_beside(async { Ok(index.tend().await?) }).await?;
        Ok(has_settled | (tended != Tended::Nothing))
    }

    /// Does something that may take a while. What is told meanwhile gets its vectors, until somebody waits to
    /// purge.
    pub(super) async fn embed_beside<T>(
        &self,
        work: impl Future<Output = Result<T, MemoriesError>>,
    ) -> Result<T, MemoriesError> {
        let has_news = &self.worker.has_news;
        let is_over = AtomicBool::new(false);
        let work = async {
            let done = work.await;
            is_over.store(true, Ordering::SeqCst);
            has_news.notify_one();
            done
        };
        let embedding = async {
            while !is_over.load(Ordering::SeqCst) {
                // What fails here is tried again by the next step, which tells of it.
                if !self.embed_some().await.unwrap_or(false) {
                    has_news.notified().await;
                }
            }
        };
        let embedding = async {
            tokio::select! {
                biased;
                () = self.worker.purge_waits() => {}
                () = embedding => {}
            }
        };
        let (done, ()) = tokio::join!(work, embedding);
        done
    }

    /// The index, which is made if there is none.
    pub(super) async fn index(&self) -> Result<Index, MemoriesError> {
        let next = self.store.read(tables::next_id)?;
        let has_vectors = self.live.read().renewal.is_none();
        Ok(self.access.get(next, self.shape(has_vectors)).await?)
    }

    /// What an index is made of, or one of words only.
    pub(super) fn shape(&self, has_vectors: bool) -> Shape {
        let terms_by = tables::analysed_by();
        if !has_vectors {
            return Shape::of_words(terms_by);
        }
        let (dimensions, vectors_by) = (self.embedder.dimensions(), self.embedder.name());
        Shape { dimensions, terms_by, vectors_by: Some(vectors_by.to_owned()) }
    }

    /// What is to be settled now: all that lies before the tail, and so many batches of that as make it short
    /// again. Were it left long because more lies before it, what is told meanwhile would leave it at once, and
    /// lie there next.
    fn due(&self) -> Option<Due> {
        let (live, longest) = (self.live.read(), self.settings.tail_max.max(1));
        let batch = self.settings.batch.clamp(1, longest);
        let excess = live.tail.len().checked_sub(longest);
        let of_tail = excess.map_or(0, |excess| (excess / batch + 1) * batch);
        let gap_ends = live.has_gap().then(|| live.tail_from - 1);
        let in_tail = of_tail.checked_sub(1).and_then(|last| live.tail.nth(last));
        match gap_ends {
            Some(end) => {
                Some(Due { through: in_tail.unwrap_or(end), count: self.many(), gap_ends })
            }
            // The oldest that there are, whatever was removed of those in the tail.
            None => in_tail.map(|_| Due { through: u64::MAX, count: of_tail.min(MANY), gap_ends }),
        }
    }

    /// How many at a time when many wait; fewer if each takes its time.
    pub(super) fn many(&self) -> usize {
        if self.embedder.is_quick() { MANY } else { self.settings.batch.clamp(1, MANY) }
    }

    /// Brings the index a step nearer to what is settled; whether that was needed.
    async fn catch_up(&self, index: &Index) -> Result<bool, MemoriesError> {
        let settled = self.live.read().settled;
        let (through, covered) = (index.through().unwrap_or(0), index.covered().unwrap_or(0));
        if covered >= settled {
            self.makeshift.clear();
            // It may have come there by being made as a whole.
            self.tell_progress(covered);
            return Ok(false);
        }
        self.tell_progress(covered);
        let is_amid = through > covered && through - covered < covered.max(COVERED_FROM);
        if through >= settled || !is_amid {
            let tended = index.tend().await?;
            self.tell_progress(index.covered().unwrap_or(0));
            if tended != Tended::Nothing {
                return Ok(true);
            }
        }
        let batch = self.batch(through + 1..=settled, self.many()).await?;
        if batch.is_empty() {
            // What the last of them were was removed.
            self.tell_progress(settled);
            return Ok(false);
        }
        let vectors = self.vectors_for(&batch).await?;
        index.append(entries(index.shape(), batch, &vectors)).await?;
        Ok(true)
    }

    /// Settles the oldest memories that are not, if that is due; whether there were any. While the
    /// embedder fails, those before the first that has no vector.
    async fn settle(&self, index: &Index, can_embed: bool) -> Result<bool, MemoriesError> {
        let Some(Due { through, count, gap_ends }) = self.due() else { return Ok(false) };
        let settled = self.live.read().settled;
        let mut batch = self.batch(settled + 1..=through, count).await?;
        let is_last = batch.len() < count;
        let is_whole = can_embed || !self.cut_to_embedded(&mut batch);
        let mut stops: Vec<u64> = batch.iter().map(|(memory, _)| memory.id).collect();
        // At the end of the gap what is left may all have been removed.
        let last = stops.last().copied();
        stops.extend(gap_ends.filter(|end| is_last && is_whole && last < Some(*end)));
        let vectors = self.vectors_for(&batch).await?;
        index.append(entries(index.shape(), batch, &vectors)).await?;
        while index.covered() < index.through() && index.tend().await? != Tended::Nothing {}
        let vectors = Arc::new(vectors);
        for part in stops.chunks(self.settings.batch.max(1)) {
            self.write_settled(part[part.len() - 1], &vectors).await?;
        }
        Ok(!stops.is_empty())
    }

    /// Leaves of a batch what comes before the first that has no vector; whether anything went.
    fn cut_to_embedded(&self, batch: &mut Batch) -> bool {
        let live = self.live.read();
        let first = batch.iter().position(|(memory, gist)| {
            gist.vector.is_none() && !live.unsaved.contains_key(&memory.id)
        });
        batch.truncate(first.unwrap_or(batch.len()));
        first.is_some()
    }

    async fn write_settled(
        &self,
        through: u64,
        vectors: &Arc<BTreeMap<u64, Vector>>,
    ) -> Result<(), MemoriesError> {
        let (made_by, vectors) = (tables::made_by(self.embedder.name()), Arc::clone(vectors));
        let write = move |writer: &mut _| tables::settle(writer, &made_by, through, &vectors);
        self.store.write(write).await?;
        {
            let mut live = self.live.write();
            live.settle(through);
            self.shorten_tail(&mut live);
        }
        self.tell_progress(through);
        Ok(())
    }

    /// Leaves to the store what the tail is not to hold.
    pub(super) fn shorten_tail(&self, live: &mut Live) {
        let most = self.settings.tail_max.max(1).saturating_mul(TAIL_GROWTH_MAX);
        live.shorten(most, || self.access.share().leave_long_tail());
    }

    pub(super) async fn batch(
        &self,
        ids: RangeInclusive<u64>,
        count: usize,
    ) -> Result<Batch, MemoriesError> {
        let store = self.store.clone();
        let read = move || store.read(|reader| tables::some(reader, ids, count));
        Ok(blocking(read).await?.map_err(|error: StoreError| error)?)
    }

    /// The vectors that are known of memories that the store has none of, and those that a batch lacks
    /// besides, but for those that a renewal makes. Where they take their time, they are kept a piece at a time:
    /// if this is given up, they need not be made again.
    pub(super) async fn vectors_for(
        &self,
        batch: &Batch,
    ) -> Result<BTreeMap<u64, Vector>, MemoriesError> {
        let (mut known, renewal) = {
            let live = self.live.read();
            (live.unsaved.clone(), live.renewal.clone())
        };
        let is_due = |id| renewal.as_ref().is_some_and(|renewal| renewal.is_due(id));
        let lacks = |(memory, gist): &&(Memory, Gist)| {
            gist.vector.is_none() && !known.contains_key(&memory.id) && !is_due(memory.id)
        };
        let text = |(memory, _): &(Memory, Gist)| (memory.id, memory.text.clone());
        let texts: Vec<_> = batch.iter().filter(lacks).map(text).collect();
        for piece in texts.chunks(self.texts_at_once(texts.len())) {
            let made = self.vectors(piece.to_vec()).await?;
            if !self.embedder.is_quick() {
                self.save(made.clone()).await?;
            }
            known.extend(made);
        }
        Ok(known)
    }

    /// How many of so many texts are embedded before what was made is kept.
    pub(super) fn texts_at_once(&self, texts: usize) -> usize {
        if self.embedder.is_quick() { texts.max(1) } else { TEXTS_AT_ONCE }
    }

    /// Tells through which id the index has everything.
    pub(super) fn tell_progress(&self, done: u64) {
        let live = self.live.read();
        let total = if live.has_gap() { live.tail_from - 1 } else { live.settled };
        let done = match &live.renewal {
            // It is done when an index of all of them has its place.
            Some(renewal) => done.min(renewal.through).min(total.saturating_sub(1)),
            None => done.min(total),
        };
        drop(live);
        self.progress.send_replace(Progress { done, total });
    }
}

/// What an index of a shape is to hold of memories. Those without a vector are found by their words.
pub(super) fn entries(shape: &Shape, batch: Batch, vectors: &BTreeMap<u64, Vector>) -> Vec<Entry> {
    let entry = |(memory, gist): (Memory, Gist)| {
        let vector = gist.vector.as_ref().or(vectors.get(&memory.id));
        let vector = vector.filter(|_| shape.vectors_by.is_some()).map(Vector::unit);
        Entry {
            id: memory.id,
            at: micros(memory.at),
            kind: memory.kind.code(),
            speaker: memory.speaker,
            terms: gist.analysis.index_terms(),
            vector: vector.unwrap_or_else(|| vec![0.0; shape.dimensions]),
        }
    };
    batch.into_iter().map(entry).collect()
}
