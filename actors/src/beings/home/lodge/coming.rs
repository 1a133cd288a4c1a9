//! A being comes from another machine: first a copy, which lives when it is adopted.

use std::path::PathBuf;
use std::time::Duration;

use genii_protocols::Destination;
use genii_storage::store;
use tokio::time::timeout;

use super::super::tenancies;
use super::Lodge;
use crate::being::imported::{Imported, NotImported};
use crate::beings::errands::{Adopt, Amiss, Discard, Lodging, Parcel, Receive};
use crate::beings::parcels::fetch;

/// How long all others may take to hear that a being lives here.
const HEARD_PATIENCE: Duration = Duration::from_secs(2);

impl Lodge {
    pub(in super::super) async fn receive(&self, asked: Receive) -> Result<(), Amiss> {
        let Receive { id, from, parcel, isolation, making } = asked;
        // Also over what is cleared away in the end: nobody has begun anew there meanwhile.
        let _turn = self.turns.take(&id).await;
        self.movings.check_settled(&id)?;
        if self.folders.is_taken(&id) {
            return Err(Amiss::Taken { id });
        }
        let (of, bytes) = (id.clone(), parcel.bytes);
        let file = self.aside(move |folders| {
            store::find_room(folders.path(), bytes).map_err(std::io::Error::other)?;
            folders.receive(&of, making)
        });
        let file = file.await?;
        let of = id.clone();
        let received = match self.fetch_and_check(&from, &parcel, file).await {
            Ok(()) => {
                self.aside(move |folders| {
                    if let Some(isolation) = isolation {
                        tenancies::write(&folders.coming(&of), isolation)?;
                    }
                    folders.received(&of)
                })
                .await
            }
            Err(why) => Err(why),
        };
        if received.is_err() {
            self.aside(move |folders| folders.discard(&id)).await?;
        }
        received
    }

    async fn fetch_and_check(
        &self,
        from: &Destination,
        parcel: &Parcel,
        file: PathBuf,
    ) -> Result<(), Amiss> {
        let from = self.house.node().to(from.clone());
        fetch(&from, parcel, file.clone()).await?;
        let checked = tokio::task::spawn_blocking(move || Imported::of(&file)).await;
        let senseless = |error: NotImported| Amiss::Senseless { why: error.to_string() };
        checked.map_err(Amiss::failed)?.map(drop).map_err(senseless)
    }

    pub(in super::super) async fn adopt(&self, Adopt { id }: Adopt) -> Result<(), Amiss> {
        let _turn = self.turns.take(&id).await;
        let (of, tenancies) = (id.clone(), self.tenancies.clone());
        self.aside(move |folders| {
            match folders.lodging(&of)? {
                Some(Lodging::Coming) => folders.adopt(&of)?,
                Some(Lodging::Here) => {}
                Some(Lodging::Leaving) => folders.mark_staying(&of)?,
                None => return Err(std::io::Error::other("nothing of it has come")),
            }
            tenancies.recall(&of);
            Ok(())
        })
        .await?;
        self.nursery.admit(&id);
        self.due.ask(&id).await.map_err(Amiss::failed)?;
        // Nobody is to hear first that it is not where it was.
        if let Some(cluster) = self.house.node().cluster() {
            let _else_they_hear_it_late = timeout(HEARD_PATIENCE, cluster.heard()).await;
        }
        Ok(())
    }

    pub(in super::super) async fn discard(&self, Discard { id }: Discard) -> Result<(), Amiss> {
        let _turn = self.turns.take(&id).await;
        self.aside(move |folders| folders.discard(&id)).await
    }
}
