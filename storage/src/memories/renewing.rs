//! Another embedder: settled memories get its vectors in the order of their ids, and the index is made anew when
//! all have theirs. Until then the old one is asked for words, and memories that have theirs are ranked by them, too.
//!
//! Vectors are kept a piece at a time, together with how far they have come: after a crash, that goes on. The
//! index begins again.

use std::collections::BTreeMap;

use crate::vector::Vector;

use super::tables::{self, Renewal};
use super::{Inner, MemoriesError};

impl Inner {
    /// One step of a renewal, if one goes on; whether there was anything to do. It makes way for whoever waits
    /// to purge.
    pub(super) async fn renew(&self, can_embed: bool) -> Result<bool, MemoriesError> {
        let Some(renewal) = self.live.read().renewal.clone() else { return Ok(false) };
        if renewal.is_over() {
            let purge_waits = self.worker.purge_waits();
            return self.embed_beside(self.make_anew(1.0, purge_waits)).await.map(|()| true);
        }
        if !can_embed {
            return Ok(false);
        }
        tokio::select! {
            biased;
            () = self.worker.purge_waits() => Ok(true),
            renewed = self.embed_beside(self.renew_some(&renewal)) => renewed.map(|()| true),
        }
    }

    /// Gives the next settled memories their vectors.
    async fn renew_some(&self, renewal: &Renewal) -> Result<(), MemoriesError> {
        let count = self.many();
        let batch = self.batch(renewal.through + 1..=renewal.last, count).await?;
        let is_last = batch.len() < count;
        let texts = batch.into_iter().map(|(memory, _)| (memory.id, memory.text));
        let texts: Vec<(u64, String)> = texts.collect();
        // No more than a batch in one write, which others wait for.
        let at_once = self.texts_at_once(texts.len()).min(self.settings.batch.max(1));
        for piece in texts.chunks(at_once) {
            let vectors = self.vectors(piece.to_vec()).await?;
            self.keep_renewed(piece[piece.len() - 1].0, vectors).await?;
        }
        if is_last {
            // What comes after them was removed, or can't be read.
            self.keep_renewed(renewal.last, BTreeMap::new()).await?;
        }
        Ok(())
    }

    async fn keep_renewed(
        &self,
        through: u64,
        vectors: BTreeMap<u64, Vector>,
    ) -> Result<(), MemoriesError> {
        self.store.write(move |writer| tables::renew(writer, through, &vectors)).await?;
        if let Some(renewal) = &mut self.live.write().renewal {
            renewal.through = through;
        }
        self.tell_progress(through);
        Ok(())
    }

    /// Everything is of this embedder, the index too.
    pub(super) async fn end_renewal(&self) -> Result<(), MemoriesError> {
        let made_by = tables::made_by(self.embedder.name());
        self.store.write(move |writer| tables::end_renewal(writer, &made_by)).await?;
        self.live.write().renewal = None;
        let settled = self.live.read().settled;
        self.tell_progress(settled);
        Ok(())
    }
}
