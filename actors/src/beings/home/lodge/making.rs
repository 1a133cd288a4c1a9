//! Beings come to be here, and are removed.

use genii_protocols::Name;

use super::super::tenancies;
use super::Lodge;
use crate::being::birth::Birth;
use crate::being::interruption::{DELETED, LIVES_ELSEWHERE};
use crate::being::process::annex;
use crate::beings::errands::{Amiss, MakeHere, MissHere, PutAside, RemoveHere, TakeBack};
use crate::beings::parcels::blocking;

impl Lodge {
    pub(in super::super) async fn make(&self, asked: MakeHere) -> Result<(), Amiss> {
        let MakeHere { id, making, created, character, provider, isolation } = asked;
        let birth = Birth { created, character, provider };
        let _turn = self.turns.take(&id).await;
        self.movings.check_settled(&id)?;
        if self.folders.is_taken(&id) {
            return Err(Amiss::Taken { id });
        }
        let of = id.clone();
        let tenancies = self.tenancies.clone();
        self.aside(move |folders| {
            folders.make(&of, making, |folder| {
                if let Some(isolation) = isolation {
                    tenancies::write(folder, isolation)?;
                }
                birth.write(folder)
            })?;
            tenancies.recall(&of);
            Ok(())
        })
        .await?;
        self.nursery.admit(&id);
        Ok(())
    }

    pub(in super::super) async fn miss(&self, MissHere { id }: MissHere) -> Result<(), Amiss> {
        self.nursery.admit(&id);
        Ok(())
    }

    /// Removes a being: its address, and its folder with all that is in it.
    pub(in super::super) async fn remove(
        &self,
        RemoveHere { id }: RemoveHere,
    ) -> Result<(), Amiss> {
        let _turn = self.turns.take(&id).await;
        self.dismiss(&id, DELETED).await?;
        self.parcels.forget_of(&id).await;
        self.aside(move |folders| {
            folders.discard(&id)?;
            folders.take_out(&id)
        })
        .await
    }

    /// Removes what one making of a being has made, and leaves all else as it is. If that goes on it is
    /// waited for: nothing is made of it later.
    pub(in super::super) async fn take_back(&self, asked: TakeBack) -> Result<(), Amiss> {
        let TakeBack { id, making } = asked;
        let _turn = self.turns.take(&id).await;
        let of = id.clone();
        if self.aside(move |folders| folders.is_made_by(&of, making)).await? {
            self.dismiss(&id, "it did not come to live").await?;
        }
        self.aside(move |folders| folders.take_back(&id, making)).await
    }

    pub(in super::super) async fn put_aside(
        &self,
        PutAside { id }: PutAside,
    ) -> Result<Vec<String>, Amiss> {
        let _turn = self.turns.take(&id).await;
        self.dismiss(&id, LIVES_ELSEWHERE).await?;
        let of = id.clone();
        let aside = self.aside(move |folders| folders.put_aside(&of)).await?;
        let aside: Vec<String> = aside.iter().map(|path| path.display().to_string()).collect();
        for aside in &aside {
            tracing::warn!(being = id.as_str(), aside, "is not to live here, and is put aside");
        }
        Ok(aside)
    }

    /// It cannot be spoken to here any more, for this reason.
    async fn dismiss(&self, id: &Name, why: &str) -> Result<(), Amiss> {
        let address = self.address(id);
        let held = self.movings.held.lock().remove(id);
        let kept = match held {
            Some(held) => Some(held.kept),
            None => self.nursery.keep_asleep_since(&address, why).await,
        };
        match kept {
            Some(kept) => kept.dismiss(),
            None if self.nursery.has(&address) => {
                return Err(Amiss::failed("something else is done with it just now; try again"));
            }
            None => {}
        }
        self.due.forget(id).await;
        self.tenancies.forget(id);
        let (node, id) = (self.house.node().clone(), id.clone());
        blocking(move || {
            annex::forget(&node, &id);
            Ok(())
        })
        .await
    }
}
