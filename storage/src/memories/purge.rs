//! How memories come out of the index, so that no byte of them is left in its folder.

use crate::index::{IndexError, Tended};
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
            let rebuilt = self.rebuild_without(gone.iter().copied().collect()).await;
            if let Err(MemoriesError::Index(error)) = &rebuilt {
                self.access.heed(error).await;
            }
            rebuilt?;
        }
        let ids = gone.clone();
        self.store.write(move |writer| tables::are_gone(writer, &ids)).await?;
        self.live.write().forgotten.retain(|id| !gone.contains(id));
        Ok(())
    }

    /// Makes the index anew of what is settled. The old one, without what is gone, is searched meanwhile.
    async fn rebuild_without(&self, gone: Vec<u64>) -> Result<(), MemoriesError> {
        self.index().await?.delete(gone).await?;
        let settled = self.live.read().settled;
        let rebuild = self.access.rebuild().await?;
        let mut through = 0;
        while through < settled {
            let (store, count) = (self.store.clone(), self.many());
            let read = move || {
                let ids = through + 1..=settled;
                store.read(|reader| tables::some(reader, ids, count))
            };
            let batch = blocking(read).await?.map_err(|error: StoreError| error)?;
            through = batch.last().map_or(settled, |(memory, _)| memory.id);
            let (entries, _) = self.entries(batch).await?;
            rebuild.append(entries).await?;
        }
        while rebuild.tend().await? != Tended::Nothing {}
        Ok(self.access.replace(rebuild).await.map_err(|error: IndexError| error)?)
    }
}
