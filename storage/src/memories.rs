//! A being's memories: kept in its store, found by words and by meaning.
//!
//! The store is the truth. A memory is safe when its write returned, and found at once: the newest ones
//! are held in memory (the tail) and searched directly. When the tail is long, its oldest go to the
//! index in a batch, behind everybody's back. A being with few memories never has an index at all.
//! What neither holds, after a crash or a loss of the index, is looked for in the store itself, slower; if
//! that is much, a makeshift in memory stands in for the index. Deleting the index's folder loses nothing.
//!
//! | what happens | what comes of it |
//! |---|---|
//! | a crash between a write and its indexing | the next opening takes the memory into the tail |
//! | the folder of the index is deleted or damaged | it is made anew a step at a time; a makeshift or the store is searched meanwhile |
//! | the analysis of words changes | terms and vectors are made anew likewise, with [`Memories::progress`] |
//! | the embedder changes | vectors are made anew, with [`Memories::progress`]; the index is asked for words meanwhile |
//! | a memory is forgotten | [`Memories::remove`], then [`Memories::purge`]: no byte is left in the index |
//! | a crash between the two | the next [`Memories::tend`] purges |
//! | some entries of the store were lost | [`Memories::mend`], and all that was made of memories is made anew; [`Memories::put_again`] keeps those once more that are known from elsewhere |
//! | the index can't be written | memories stay in the tail or, when that is too long, in the store; all are found |
//!
//! | module | what it holds |
//! |---|---|
//! | `memory` | what a memory is, and how one asks for some |
//! | `tables` | what the store holds |
//! | `live` | the tail, and how far the others have come |
//! | `at_hand` | what recall needs of those others, in memory as far as there is room |
//! | `access` | the index, opened when it is first needed |
//! | `recalling`, `asking`, `scan` | how memories are found |
//! | `makeshift` | what stands in for the index while it is made anew |
//! | `embedding` | when vectors are made |
//! | `upkeep`, `purge` | how they come into the index, and out of it |
//! | `renewing` | how they get the vectors of another embedder |
//! | `worker` | who does that when nobody calls for it |

mod access;
mod asking;
mod at_hand;
mod embedding;
mod error;
mod live;
mod makeshift;
mod memory;
mod purge;
mod recalling;
mod renewing;
mod scan;
mod tables;
mod upkeep;
mod worker;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::RwLock;
use tokio::sync::{Mutex as AsyncMutex, watch};
use tokio::task::spawn_blocking;

pub use error::MemoriesError;
pub use memory::{Foreseen, Memory, MemoryKind, NewMemory, Recall, RecallFilter, Recalled};
pub use upkeep::Progress;

use crate::embed::Embedder;
use crate::index::IndexShare;
use crate::ranking::Weights;
use crate::store::{Reader, Remains, Store, StoreError, Writer};
use crate::text::Analysis;
use crate::vector::Vector;

use access::Access;
use at_hand::AtHand;
use live::Live;
use tables::{Gist, MEMORIES};
use worker::{Lease, Worker};

/// How many memories one recall gives at most.
pub const RECALLED_MAX: usize = 200;

/// How many memories one page has at most.
pub const PAGE_MAX: usize = 1_000;

/// So many times its usual length may the tail grow while its memories can't be settled, and more with leave of
/// the share. What is beyond is looked for in the store.
const TAIL_GROWTH_MAX: usize = 4;

/// How memories are kept and searched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoriesSettings {
    /// When so many memories are in the tail, a batch of them goes to the index. Below, there is no
    /// index; each costs one or two KiB of memory, and all together a third of a millisecond a search.
    pub tail_max: usize,
    /// How many go at a time, the oldest first. Each batch is one write to the store, which others wait
    /// for some milliseconds, and one more file for the index.
    pub batch: usize,
    /// How many memories each way of searching brings, to be ranked: by words, half as many by vector, and
    /// from the tail, which is ranked whole up to five times as many.
    pub candidates: usize,
    /// Up to how many memories that neither the index nor the tail has each recall reads from the store. Of
    /// more the first recall makes something to find them by, in memory, for as long as they are missing.
    pub scanned_max: u64,
}

impl Default for MemoriesSettings {
    fn default() -> Self {
        Self { tail_max: 512, batch: 256, candidates: 100, scanned_max: 2_048 }
    }
}

/// The memories of one being. A clone is the same memories.
#[derive(Clone)]
pub struct Memories(
    Arc<Inner>,
    #[expect(dead_code, reason = "what counts is when the last goes")] Arc<Lease>,
);

struct Inner {
    store: Store,
    embedder: Arc<dyn Embedder>,
    weights: Weights,
    settings: MemoriesSettings,
    access: Access,
    makeshift: makeshift::Place,
    at_hand: AtHand,
    /// Never held while anything is waited for or read from a file.
    live: RwLock<Live>,
    /// Held during a step of upkeep, so that there is one at a time.
    tending: AsyncMutex<()>,
    worker: Arc<Worker>,
    progress: watch::Sender<Progress>,
}

impl Memories {
    /// Opens the memories in a store, whose index lies in a folder of its own. `weights` are those that
    /// fit the embedder.
    ///
    /// # Errors
    /// When the store can't be read. What the index is like is looked at later.
    pub async fn open(
        store: Store,
        folder: PathBuf,
        embedder: Arc<dyn Embedder>,
        weights: Weights,
        share: IndexShare,
        settings: MemoriesSettings,
    ) -> Result<Self, MemoriesError> {
        let made_by = tables::made_by(embedder.name());
        let (opened, longest) = (store.clone(), settings.tail_max.max(1));
        let live = blocking(move || load(&opened, &made_by, longest)).await??;
        let inner = Inner {
            store,
            embedder,
            weights,
            settings,
            access: Access::new(folder, share),
            makeshift: makeshift::Place::default(),
            at_hand: AtHand::default(),
            live: RwLock::new(Live::default()),
            tending: AsyncMutex::default(),
            worker: Arc::default(),
            progress: watch::Sender::default(),
        };
        let lease = Arc::new(Lease(Arc::clone(&inner.worker)));
        let memories = Self(Arc::new(inner), lease);
        *memories.0.live.write() = live;
        if memories.0.embedder.is_quick() {
            memories.0.embed_all().await?;
        }
        // What it is really like is told by whoever first looks into it.
        let settled = memories.0.live.read().settled;
        memories.0.tell_progress(if memories.0.access.has_files() { settled } else { 0 });
        memories.tend_if_due();
        Ok(memories)
    }

    /// Keeps a memory in a write of the caller's own, so that it is kept together with what else that
    /// writes. Then [`Memories::take_in`] is called with it; if that does not happen, it is found from
    /// the next opening on.
    ///
    /// # Errors
    /// When the store can't be written.
    pub fn put(writer: &mut Writer, new: &NewMemory) -> Result<Memory, StoreError> {
        tables::put(writer, new)
    }

    /// Writes down, in a write of the caller's own, that a fact no longer holds since another was put: it
    /// keeps its text, and is told to have held until the new one's time. Whether it held until now. Then
    /// [`Memories::take_in`] is called with the new one, and [`Memories::outdated`] with both.
    ///
    /// # Errors
    /// When the store can't be written.
    pub fn outdate(writer: &mut Writer, old: u64, by: &Memory) -> Result<bool, StoreError> {
        let held = writer.get(MEMORIES, &old)?.filter(|old| old.replaced_by.is_none());
        match held {
            Some(old) => tables::outdate(writer, old, by).map(|()| true),
            None => Ok(false),
        }
    }

    /// Heeds what [`Memories::outdate`] has written; if that does not happen, it is heeded from the next
    /// opening on.
    pub fn outdated(&self, old: u64, by: u64) {
        if let Some(brief) = self.0.live.write().briefs.get_mut(&old) {
            brief.replaced_by = Some(by);
        }
        self.0.at_hand.replaced(old, by);
    }

    /// A memory, in a read or a write of the caller's own.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn find(reader: &Reader, id: u64) -> Result<Option<Memory>, StoreError> {
        reader.get(MEMORIES, &id)
    }

    /// Takes in what [`Memories::put`] has kept, after that write returned: it is found from then on.
    /// With an embedder that is not quick it is found by its words at first, and by its meaning a moment
    /// later.
    pub async fn take_in(&self, memories: Vec<Memory>) {
        let with_gist = |memory: Memory| (Gist::of(&memory), memory, None);
        self.take_in_all(memories.into_iter().map(with_gist).collect()).await;
    }

    /// As [`Memories::take_in`], of memories of which was made ahead what finding them needs.
    pub async fn take_in_foreseen(&self, memories: Vec<(Memory, Foreseen)>) {
        let with_gist = |(memory, foreseen): (Memory, Foreseen)| {
            let Foreseen { analysis, vector } = foreseen;
            (Gist::with(&memory, analysis), memory, vector)
        };
        self.take_in_all(memories.into_iter().map(with_gist).collect()).await;
    }

    /// Makes ahead what finding a memory needs, while something else is waited for: that it is kept, for
    /// one. With an embedder that is not quick, its vector is made later all the same.
    pub fn foresee(&self, new: &NewMemory) -> Foreseen {
        let analysis = Analysis::new(&new.text, new.speaker.as_deref(), new.at);
        Foreseen { analysis, vector: self.0.vector_in_passing(&new.text) }
    }

    async fn take_in_all(&self, memories: Vec<(Gist, Memory, Option<Vector>)>) {
        let (mut vectors, mut texts) = (BTreeMap::new(), Vec::new());
        {
            let mut live = self.0.live.write();
            for (gist, Memory { id, text, .. }, vector) in memories {
                live.take_in(id, gist);
                match vector {
                    Some(vector) => drop(vectors.insert(id, vector)),
                    None => texts.push((id, text)),
                }
            }
            live.embed(vectors);
            self.0.shorten_tail(&mut live);
        }
        if self.0.embedder.is_quick() && !texts.is_empty() {
            // What fails here is tried again by upkeep.
            let embedded = self.0.embed_tail(texts).await;
            embedded.unwrap_or_else(|error| tracing::warn!(%error, "memories without vectors"));
        }
        self.tend_if_due();
    }

    /// Keeps memories, all or none, and takes them in. They have their place among all that is kept when this is
    /// called. Goes on to its end also if nobody waits for it.
    ///
    /// # Errors
    /// When the store can't be written.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn remember(
        &self,
        new: Vec<NewMemory>,
    ) -> impl Future<Output = Result<Vec<Memory>, MemoriesError>> + Send + use<> {
        let written = self.0.store.write(move |writer: &mut Writer| {
            new.iter().map(|new| Self::put(writer, new)).collect::<Result<Vec<_>, StoreError>>()
        });
        let own = self.clone();
        whole(async move {
            let memories = written.await?;
            own.take_in(memories.clone()).await;
            Ok(memories)
        })
    }

    /// Keeps a fact in the stead of one that no longer holds. The old one keeps its text, and is told to
    /// have held until the new one's time; both are found, the old one after the new. Goes on to its end
    /// also if nobody waits for it.
    ///
    /// # Errors
    /// When there is no such fact, when it was replaced before, or the store can't be written.
    pub async fn replace(&self, old: u64, new: NewMemory) -> Result<Memory, MemoriesError> {
        let own = self.clone();
        whole(async move {
            let write = move |writer: &mut Writer| {
                let outdated = writer.get(MEMORIES, &old)?;
                let outdated = outdated.ok_or(MemoriesError::Missing { id: old })?;
                if let Some(by) = outdated.replaced_by {
                    return Err(MemoriesError::Replaced { id: old, by });
                }
                let memory = Self::put(writer, &new)?;
                tables::outdate(writer, outdated, &memory)?;
                Ok(memory)
            };
            let memory = own.0.store.write(write).await?;
            own.outdated(old, memory.id);
            own.take_in(vec![memory.clone()]).await;
            Ok(memory)
        })
        .await
    }

    /// The memories that answer a question best, best first, with their reasons.
    ///
    /// # Errors
    /// When the store can't be read. Not when the index fails: then the store itself is searched; and not
    /// when the embedder does: then only words count.
    pub async fn recall(&self, recall: Recall) -> Result<Vec<Recalled>, MemoriesError> {
        Ok(recalling::recall(self, recall).await?.0)
    }

    /// A memory.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn get(&self, id: u64) -> Result<Option<Memory>, MemoriesError> {
        Ok(self.0.store.read(|reader| reader.get(MEMORIES, &id))?)
    }

    /// Memories after an id, or from the first on, the oldest first, at most [`PAGE_MAX`].
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn page(&self, after: Option<u64>, limit: usize) -> Result<Vec<Memory>, MemoriesError> {
        let from = after.map_or(0, |after| after.saturating_add(1));
        self.read(|reader| {
            let memories = reader.range(MEMORIES, from..).take(limit.min(PAGE_MAX));
            memories.map(|entry| Ok(entry?.1)).collect()
        })
    }

    /// Memories before an id, or from the last on, the newest first, at most [`PAGE_MAX`].
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn page_before(
        &self,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Memory>, MemoriesError> {
        let end = before.unwrap_or(u64::MAX);
        self.read(|reader| {
            let memories = reader.range(MEMORIES, ..end).rev().take(limit.min(PAGE_MAX));
            memories.map(|entry| Ok(entry?.1)).collect()
        })
    }

    /// How many memories there are.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn count(&self) -> Result<u64, MemoriesError> {
        self.read(|reader| reader.len(MEMORIES))
    }

    /// Removes memories in a write of the caller's own; those that there were. Then [`Memories::purge`]
    /// is called with their ids. Their bytes in the store itself go with [`Store::rewrite`].
    ///
    /// # Errors
    /// When the store can't be written.
    pub fn remove(writer: &mut Writer, ids: &[u64]) -> Result<Vec<Memory>, StoreError> {
        tables::remove(writer, ids)
    }

    /// Brings to agree what is left of memories in a store that has lost some entries, in a write of the caller's
    /// own, before they are opened. What was made of them is made anew. `named` is the highest id of a memory that
    /// something else in the store names: neither it nor one that may have been lost is given again. What is no
    /// memory counts as lost.
    ///
    /// # Errors
    /// When the store can't be read or written.
    pub fn mend(writer: &mut Writer, remains: &mut Remains, named: u64) -> Result<(), StoreError> {
        tables::mend(writer, remains, named)
    }

    /// Keeps a memory once more under the id that it had, in a write of the caller's own after
    /// [`Memories::mend`]. Whether it was lost: nothing is kept under an id that is in use, that was never given,
    /// or that is known to be of a memory which was removed.
    ///
    /// # Errors
    /// When the store can't be read or written.
    pub fn put_again(writer: &mut Writer, id: u64, new: &NewMemory) -> Result<bool, StoreError> {
        tables::put_again(writer, id, new)
    }

    /// Whether memories are lost of a store of which this can be read, or may be.
    pub fn are_lost(remains: &Remains) -> bool {
        remains.has_lost(MEMORIES.name())
    }

    /// All memories, in a read or a write of the caller's own, the oldest first. For who can wait for it.
    ///
    /// # Errors
    /// When one can't be read; it is the last then.
    pub fn all(reader: &Reader) -> impl Iterator<Item = Result<Memory, StoreError>> {
        reader.range(MEMORIES, ..).map(|entry| Ok(entry?.1))
    }

    /// Whether a table of a store is one of memories.
    pub fn has_table(table: &str) -> bool {
        tables::is_own(table)
    }

    /// Whether a table of a store holds only what is made anew of memories when it is lost.
    pub fn is_made_anew(table: &str) -> bool {
        tables::is_made_anew(table)
    }

    /// Sees to it that nothing is left of memories that [`Memories::remove`] has removed: not in
    /// memory, and no byte in the folder of the index, which is made anew without them. With some
    /// thousand that takes a second or more; from its beginning on they are found no more, and
    /// whatever else is asked meanwhile is answered by what was there. If it is interrupted,
    /// [`Memories::tend`] does it again; if it fails, it is tried again by itself. Upkeep that
    /// embeds or indexes makes way for it.
    ///
    /// # Errors
    /// When the index can't be written.
    pub async fn purge(&self, ids: &[u64]) -> Result<(), MemoriesError> {
        self.0.forget(ids);
        let purging = self.0.worker.purging();
        let _tending = self.0.tending.lock().await;
        // Upkeep that comes after it need make way no more.
        drop(purging);
        let purged = self.0.purge().await;
        if purged.is_err() {
            self.tend_aside();
        }
        purged
    }

    /// One step of upkeep, of bounded length; whether there may be more to do. To be called when there is
    /// nothing else to do, until it says no. Dropped, it leaves everything as it was. When much waits,
    /// it is done without being called.
    ///
    /// # Errors
    /// When the store, the embedder or the index fails; another call tries again.
    pub async fn tend(&self) -> Result<bool, MemoriesError> {
        tokio::select! {
            biased;
            // Whoever closes them waits for no step.
            () = self.0.worker.stopped() => Ok(false),
            tended = self.0.tend() => tended,
        }
    }

    /// How far the index has come which is being made anew.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.0.progress.subscribe()
    }

    /// Makes the vectors that are missing and keeps those that are not kept yet, so that the next opening
    /// need not make them again. If that fails, it does so.
    pub async fn flush(&self) {
        if let Err(error) = self.0.flush().await {
            tracing::warn!(%error, "the vectors of some memories are not kept; they will be made again");
        }
    }

    /// Ends upkeep and keeps the vectors that were made; those that are missing are made too if that is
    /// quick, and at the next opening if not. To be called before the store is closed.
    pub async fn close(&self) {
        self.0.worker.stop().await;
        match self.0.embedder.is_quick() {
            true => self.flush().await,
            false => self.0.save_vectors().await.unwrap_or_else(|error| {
                tracing::warn!(%error, "the vectors of some memories are not kept; they will be made again");
            }),
        }
        self.0.access.close().await;
        self.0.at_hand.clear();
    }

    fn read<T>(
        &self,
        work: impl FnOnce(&Reader) -> Result<T, StoreError>,
    ) -> Result<T, MemoriesError> {
        Ok(self.0.store.read(work)?)
    }
}

impl fmt::Debug for Memories {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memories").field("store", &self.0.store.path()).finish_non_exhaustive()
    }
}

/// What there is at an opening. What was made by something else is thrown away.
fn load(store: &Store, made_by: &str, longest: usize) -> Result<Live, StoreError> {
    let (settled, renewal) = match store.read(|reader| tables::standing(reader, made_by))? {
        Some(standing) => standing,
        None => {
            let made_by = made_by.to_owned();
            store.write_blocking(move |writer| tables::turn_to(writer, &made_by))?
        }
    };
    let mut live = Live { settled, tail_from: settled + 1, renewal, ..Live::default() };
    store.read(|reader| {
        live.forgotten = tables::forgotten(reader)?;
        let newest = tables::newest(reader, settled, longest)?;
        if let Some((first, _)) = newest.first() {
            let has_older = tables::has_any(reader, settled + 1..first.id)?;
            live.tail_from = if has_older { first.id } else { live.tail_from };
        }
        newest.into_iter().for_each(|(memory, gist)| live.take_in(memory.id, gist));
        Ok(live)
    })
}

/// Does something from its beginning, which is now, to its end, whether or not anybody waits for it.
fn whole<T: Send + 'static, W>(
    work: W,
) -> impl Future<Output = Result<T, MemoriesError>> + use<T, W>
where
    W: Future<Output = Result<T, MemoriesError>> + Send + 'static,
{
    let task = tokio::spawn(work);
    async { task.await.unwrap_or(Err(MemoriesError::Stopped)) }
}

/// Does something on a thread that may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, MemoriesError> {
    spawn_blocking(work).await.map_err(|_| MemoriesError::Stopped)
}

#[cfg(test)]
mod tests;
