//! How memories come out of the index, so that no byte of them is left in its folder.

use std::collections::BTreeMap;

use crate::index::{Index, IndexError, Rebuild, Tended};
use crate::store::StoreError;

use super::tables;
use super::{Inner, MemoriesError, blocking};

impl Inner {
    /// Finds memories no more. They are purged by whoever tends next.
    pub(super) fn forget(&self, ids: &[u64]) {
        let mut live = self.live.write();
        for id in ids {
            live.let_go(*id);
            live.forgotten.insert(*id);
        }
    }

    /// Purges what is forgotten. To be called by whoever tends.
    pub(super) async fn purge(&self) -> Result<(), MemoriesError> {
        let gone = self.live.read().forgotten.clone();
        if gone.is_empty() {
            return Ok(());
        }
        if self.access.has_files() {
            let index = self.index().await?;
            let kept = match without(&index, gone.iter().copied().collect()).await {
                Ok(kept) => kept,
                Err(error) => {
                    self.access.heed(&index, &error).await;
                    return Err(error.into());
                }
            };
            self.make_anew(kept).await?;
        }
        let ids = gone.clone();
        self.store.write(move |writer| tables::are_gone(writer, &ids)).await?;
        self.live.write().forgotten.retain(|id| !gone.contains(id));
        Ok(())
    }

    /// Makes the index anew of what is settled, which is a share of what it has, from 0 to 1. The old one is searched
    /// meanwhile.
    async fn make_anew(&self, kept: f64) -> Result<(), MemoriesError> {
        let rebuild = self.access.rebuild(kept).await?;
        match self.fill(&rebuild).await {
            Ok(()) => Ok(self.access.replace(rebuild).await?),
            Err(error) => {
                // On a disk that is full it would keep it so.
                rebuild.give_up().await.unwrap_or_else(|error| {
                    tracing::warn!(%error, "what was made of a memory index lies there for now");
                });
                Err(error)
            }
        }
    }

    async fn fill(&self, rebuild: &Rebuild) -> Result<(), MemoriesError> {
        let settled = self.live.read().settled;
        let mut through = 0;
        while through < settled {
            let (store, count) = (self.store.clone(), self.many());
            let read = move || {
                let ids = through + 1..=settled;
                store.read(|reader| tables::some(reader, ids, count))
            };
            let batch = blocking(read).await?.map_err(|error: StoreError| error)?;
            through = batch.last().map_or(settled, |(memory, _)| memory.id);
            let vectors = self.vectors_for(&batch).await.or_else(|error| match error {
                // Forgetting needs no model: what lacks a vector, since its gist is damaged, is found by its
                // words from now on.
                MemoriesError::Embed(error) => {
                    tracing::warn!(%error, "an index is made anew without some vectors");
                    Ok(BTreeMap::new())
                }
                error => Err(error),
            });
            rebuild.append(self.entries(batch, &vectors?)).await?;
        }
        while rebuild.tend().await? != Tended::Nothing {}
        Ok(())
    }
}

/// Deletes some from an index; which share of it is left.
async fn without(index: &Index, gone: Vec<u64>) -> Result<f64, IndexError> {
    let before = index.count().await?;
    index.delete(gone).await?;
    Ok(index.count().await? as f64 / before.max(1) as f64)
}
