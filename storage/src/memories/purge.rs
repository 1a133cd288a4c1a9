//! How memories come out of the index, so that no byte of them is left in its folder.

use std::collections::BTreeMap;
use std::future::pending;

use crate::index::{Index, IndexError, Rebuild, Tended};
use crate::store::StoreError;

use super::tables::{self, Renewal};
use super::upkeep::entries;
use super::{Inner, MemoriesError, blocking};

impl Inner {
    /// Finds memories no more. They are purged by whoever tends next.
    pub(super) fn forget(&self, ids: &[u64]) {
        let mut live = self.live.write();
        for id in ids {
            live.let_go(*id);
            live.forgotten.insert(*id);
        }
        self.shorten_tail(&mut live);
        drop(live);
        self.makeshift.forget(ids);
        self.at_hand.forgotten(ids);
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
            self.make_anew(kept, pending()).await?;
        }
        let ids = gone.clone();
        self.store.write(move |writer| tables::are_gone(writer, &ids)).await?;
        self.live.write().forgotten.retain(|id| !gone.contains(id));
        Ok(())
    }

    /// Makes the index anew of what is settled, which is a share of what it has, from 0 to 1: of words only as
    /// long as vectors are missing that a renewal makes, which ends if none are. The old one is searched
    /// meanwhile. It is given up when `in_the_way` is over before it is filled.
    pub(super) async fn make_anew(
        &self,
        kept: f64,
        in_the_way: impl Future<Output = ()>,
    ) -> Result<(), MemoriesError> {
        let renewal = self.live.read().renewal.clone();
        let has_vectors = renewal.as_ref().is_none_or(Renewal::is_over);
        let rebuild = self.access.rebuild(kept, self.shape(has_vectors)).await?;
        let filled = tokio::select! {
            biased;
            () = in_the_way => None,
            filled = self.fill(&rebuild) => Some(filled),
        };
        if let Some(Ok(())) = filled {
            self.access.replace(rebuild).await?;
            return match renewal {
                Some(renewal) if renewal.is_over() => self.end_renewal().await,
                _ => Ok(()),
            };
        }
        // On a disk that is full it would keep it so, and be in the way of whatever is made next.
        rebuild.give_up().await.unwrap_or_else(|error| {
            tracing::warn!(%error, "what was made of a memory index lies there for now");
        });
        filled.unwrap_or(Ok(()))
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
            rebuild.append(entries(rebuild.index().shape(), batch, &vectors?)).await?;
        }
        while rebuild.tend().await? != Tended::Nothing {}
        Ok(())
    }
}

/// Deletes some from an index; which share of it is left.
async fn without(index: &Index, gone: Vec<u64>) -> Result<f64, IndexError> {
    let before = index.count().await?;
    index.delete(gone).await?;
    Ok(share_of(before, index.count().await?))
}

/// How much is left of what was there, from 0 to 1. More may have come meanwhile: what was appended when upkeep
/// made way goes on to its end.
fn share_of(before: usize, left: usize) -> f64 {
    left.min(before) as f64 / before.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_meanwhile_is_no_more_than_all() {
        for (before, left, share) in [(0, 0, 0.0), (0, 2_048, 0.0), (4, 3, 0.75), (4, 9, 1.0)] {
            assert_eq!(share_of(before, left), share, "{left} of {before}");
        }
    }
}
