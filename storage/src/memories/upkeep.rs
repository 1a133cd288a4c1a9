//! How memories come into the index: behind everybody's back, a bounded step at a time.
//!
//! | when | then |
//! |---|---|
//! | memories were removed, and not purged | they are purged |
//! | memories in the tail have no vector | some get theirs |
//! | the index lacks settled memories | it gets the next of them, and is brought to cover them |
//! | there are memories that neither are settled nor in the tail, or the tail is long | a batch is settled |
//! | the index has grown | its own upkeep takes a step |
//!
//! A batch is appended to the index and covered by it, and is written down as settled then: until that it
//! stays in the tail, so that no recall has to look at rows one by one. A crash in between lets it go to
//! the index a second time, where it is passed over. Which steps are due is told by the store and the index
//! themselves, so that a step that is not finished is just taken again.
//!
//! A step of the index may take seconds. What is told meanwhile is embedded beside it, and goes to the index
//! in one larger batch after it; and after each batch the index's own upkeep has its turn. So neither starves
//! however much comes.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use crate::index::{Entry, Index, IndexError, Tended};
use crate::store::StoreError;

use super::memory::{Memory, micros};
use super::tables::{self, Gist};
use super::vector::Vector;
use super::{Inner, Memories, MemoriesError, blocking};

/// How many memories are settled or appended at a time when many wait.
const MANY: usize = 2_048;

/// An index that is made anew is brought to cover what was appended after so many, and again each time that
/// there are twice as many: seldom enough to merge little, and often enough for recall to find more in it.
const COVERED_FROM: u64 = 16_384;

/// How far an index that is being made anew has come, in ids of memories.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// All through this one are in it.
    pub done: u64,
    /// All through this one should be. Equal to `done` when there is nothing to do.
    pub total: u64,
}

/// Who does upkeep when nobody calls for it.
#[derive(Default)]
pub(super) struct Worker {
    is_working: AtomicBool,
    is_stopped: watch::Sender<bool>,
    /// Much waits while the worker is at work already, or part of its work has ended.
    has_news: Notify,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Worker {
    /// Ends it, at its next pause.
    pub(super) async fn stop(&self) {
        if let Some(task) = self.abandon() {
            // Aborted, or over before; either is well.
            let _ended = task.await;
        }
    }

    /// Waits until it is stopped.
    pub(super) async fn stopped(&self) {
        let mut is_stopped = self.is_stopped.subscribe();
        // It is not gone before: whoever waits has it.
        let _is_stopped = is_stopped.wait_for(|is_stopped| *is_stopped).await;
    }

    /// As [`Worker::stop`], and waits for nothing. Its task, if there is one.
    fn abandon(&self) -> Option<JoinHandle<()>> {
        self.is_stopped.send_replace(true);
        self.task.lock().take().inspect(JoinHandle::abort)
    }
}

/// Held by all who use memories. When the last of them goes without closing them, as after a panic, their
/// upkeep ends: it holds their store, which is to be opened again.
pub(super) struct Lease(pub(super) Arc<Worker>);

impl Drop for Lease {
    fn drop(&mut self) {
        drop(self.0.abandon());
    }
}

impl Memories {
    /// Has upkeep done if much waits for it.
    pub(super) fn tend_if_due(&self) {
        if self.0.is_due() {
            self.0.worker.has_news.notify_one();
            self.tend_aside();
        }
    }

    /// Has upkeep done by the worker. It works on as long as there is something to do, and holds the
    /// memories no longer than a step.
    pub(super) fn tend_aside(&self) {
        let worker = &self.0.worker;
        let mut task = worker.task.lock();
        if *worker.is_stopped.borrow() || worker.is_working.swap(true, Ordering::SeqCst) {
            return;
        }
        *task = Some(tokio::spawn(work(Arc::downgrade(&self.0))));
    }
}

async fn work(memories: Weak<Inner>) {
    while let Some(memories) = memories.upgrade() {
        match memories.tend().await {
            Ok(true) => continue,
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "the upkeep of memories will be tried again"),
        }
        memories.worker.is_working.store(false, Ordering::SeqCst);
        return;
    }
}

/// Memories with their gists and, if they have none yet, no vectors.
type Batch = Vec<(Memory, Gist)>;

impl Inner {
    fn is_due(&self) -> bool {
        let live = self.live.read();
        let is_long = live.tail.len() >= self.settings.tail_max.max(1);
        is_long || live.has_gap() || !live.unembedded.is_empty() || !live.forgotten.is_empty()
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

    /// A step beside what is forgotten.
    async fn tend_others(&self) -> Result<bool, MemoriesError> {
        if self.embed_some().await? {
            return Ok(true);
        }
        if self.live.read().settled == 0 && self.due_count() == 0 {
            return Ok(false);
        }
        let index = self.index().await?;
        let done = self.tend_index(&index).await;
        if let Err(MemoriesError::Index(error)) = &done {
            self.access.heed(&index, error).await;
        }
        done
    }

    async fn tend_index(&self, index: &Index) -> Result<bool, MemoriesError> {
        if self.embed_beside(self.catch_up(index)).await? {
            return Ok(true);
        }
        let has_settled = self.embed_beside(self.settle(index)).await?;
        let tended = self.embed_beside(async { Ok(index.tend().await?) }).await?;
        Ok(has_settled | (tended != Tended::Nothing))
    }

    /// Does something that may take a while. What is told meanwhile gets its vectors.
    async fn embed_beside<T>(
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
                if !self.embed_some().await? {
                    has_news.notified().await;
                }
            }
            Ok(())
        };
        let (done, embedded) = tokio::join!(work, embedding);
        done.and_then(|done| embedded.map(|()| done))
    }

    /// The index, which is made if there is none.
    pub(super) async fn index(&self) -> Result<Index, MemoriesError> {
        let next = self.store.read(tables::next_id)?;
        Ok(self.access.get(next).await?)
    }

    /// How many memories are to be settled now: so many batches that the tail is no longer long.
    fn due_count(&self) -> usize {
        let (live, longest) = (self.live.read(), self.settings.tail_max.max(1));
        let batch = self.settings.batch.clamp(1, longest);
        let excess = live.tail.len().checked_sub(longest);
        match excess.map(|excess| (excess / batch + 1) * batch) {
            _ if live.has_gap() => self.many(),
            Some(count) => count.min(MANY),
            None => 0,
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
        let (entries, _) = self.entries(batch).await?;
        index.append(entries).await?;
        Ok(true)
    }

    /// Settles the oldest memories that are not, if that is due; whether there were any.
    async fn settle(&self, index: &Index) -> Result<bool, MemoriesError> {
        let count = self.due_count();
        if count == 0 {
            return Ok(false);
        }
        let (settled, gap_ends) = {
            let live = self.live.read();
            (live.settled, live.has_gap().then(|| live.tail_from - 1))
        };
        let batch = self.batch(settled + 1..=gap_ends.unwrap_or(u64::MAX), count).await?;
        let mut stops: Vec<u64> = batch.iter().map(|(memory, _)| memory.id).collect();
        // At the end of the gap what is left may all have been removed.
        stops.extend(gap_ends.filter(|_| batch.len() < count));
        let (entries, vectors) = self.entries(batch).await?;
        index.append(entries).await?;
        while index.covered() < index.through() && index.tend().await? != Tended::Nothing {}
        let vectors = Arc::new(vectors);
        for part in stops.chunks(self.settings.batch.max(1)) {
            self.write_settled(part[part.len() - 1], &vectors).await?;
        }
        Ok(!stops.is_empty())
    }

    async fn write_settled(
        &self,
        through: u64,
        vectors: &Arc<BTreeMap<u64, Vector>>,
    ) -> Result<(), MemoriesError> {
        let (made_by, vectors) = (tables::made_by(self.embedder.name()), Arc::clone(vectors));
        let write = move |writer: &mut _| tables::settle(writer, &made_by, through, &vectors);
        self.store.write(write).await?;
        self.live.write().settle(through);
        self.tell_progress(through);
        Ok(())
    }

    async fn batch(&self, ids: RangeInclusive<u64>, count: usize) -> Result<Batch, MemoriesError> {
        let store = self.store.clone();
        let read = move || store.read(|reader| tables::some(reader, ids, count));
        Ok(blocking(read).await?.map_err(|error: StoreError| error)?)
    }

    /// What the index is to hold of memories, and the vectors that were made for it.
    pub(super) async fn entries(
        &self,
        batch: Batch,
    ) -> Result<(Vec<Entry>, BTreeMap<u64, Vector>), MemoriesError> {
        let mut known = self.live.read().unsaved.clone();
        let lacks = |(memory, gist): &&(Memory, Gist)| {
            gist.vector.is_none() && !known.contains_key(&memory.id)
        };
        let text = |(memory, _): &(Memory, Gist)| (memory.id, memory.text.clone());
        let texts: Vec<_> = batch.iter().filter(lacks).map(text).collect();
        if !texts.is_empty() {
            known.extend(self.vectors(texts).await?);
        }
        let dimensions = self.embedder.dimensions();
        let entry = |(memory, gist): (Memory, Gist)| {
            let vector = gist.vector.as_ref().or(known.get(&memory.id)).map(Vector::unit);
            Entry {
                id: memory.id,
                at: micros(memory.at),
                kind: memory.kind.code(),
                speaker: memory.speaker,
                terms: gist.analysis.index_terms(),
                vector: vector.unwrap_or_else(|| vec![0.0; dimensions]),
            }
        };
        Ok((batch.into_iter().map(entry).collect(), known))
    }

    /// Tells through which id the index has everything.
    pub(super) fn tell_progress(&self, done: u64) {
        let total = match self.live.read() {
            live if live.has_gap() => live.tail_from - 1,
            live => live.settled,
        };
        self.progress.send_replace(Progress { done: done.min(total), total });
    }
}
