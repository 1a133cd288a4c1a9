//! Who lives in a home, is awake, comes or leaves.
//!
//! | module | what it holds |
//! |---|---|
//! | `asleep` | what is done with a being while it is kept asleep |
//! | `coming` | one comes from another machine |
//! | `giving` | files are given away to other machines |
//! | `heeding` | those are woken whose time has come |
//! | `leaving` | one leaves for another machine, or stays after all |
//! | `making` | beings come to be here, and are removed |
//! | `movings` | who is about to leave, or has left |
//! | `opening` | those who live in the folder can be spoken to from now on |
//! | `standing` | who is here, and how each stands |

mod asleep;
mod coming;
mod giving;
mod heeding;
mod leaving;
mod making;
mod movings;
mod opening;
mod standing;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use genii_protocols::beings::Checked;
use genii_protocols::{Address, Name};
use genii_runtime::{House, Nursery};

use super::due::Due;
use super::folders::Folders;
use super::tenancies::Tenancies;
use super::turns::Turns;
use crate::beings::errands::{Amiss, CheckHere};
use crate::beings::parcels::{Parcels, blocking};
use movings::Movings;

/// The kind of beings in the catalogue.
const KIND: &str = "being";

/// How long a being may take to wake.
const START_TIMEOUT: Duration = Duration::from_secs(30);

pub(super) struct Lodge {
    folders: Folders,
    house: House,
    nursery: Nursery,
    tenancies: Arc<Tenancies>,
    due: Due,
    parcels: Arc<Parcels>,
    movings: Arc<Movings>,
    /// The registry may give up waiting for what goes on here, and ask for something else.
    turns: Turns,
}

impl Lodge {
    pub(super) async fn close(&self) {
        self.due.close().await;
    }

    pub(super) fn nursery(&self) -> &Nursery {
        &self.nursery
    }

    pub(super) fn folder(&self) -> &Path {
        self.folders.path()
    }

    fn address(&self, id: &Name) -> Address {
        Address::new(self.nursery.group(), id)
    }

    /// Refuses what one that is suspended does not do.
    fn refuse_suspended(&self, id: &Name, what: &str) -> Result<(), Amiss> {
        let address = self.address(id);
        match self.house.node().is_suspended(&address) {
            false => Ok(()),
            true => Err(Amiss::failed(format!(
                "it is suspended, and {what} until it is resumed; `genii ctl resume {address}` does that"
            ))),
        }
    }

    /// Looks one over that is not suspended: one that is does not come to rest.
    pub(super) async fn look_over(&self, asked: CheckHere) -> Result<Checked, Amiss> {
        self.refuse_suspended(&asked.id, "is not looked over")?;
        self.check(asked).await
    }

    /// Does something with the folders, aside.
    async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce(Folders) -> std::io::Result<T> + Send + 'static,
    ) -> Result<T, Amiss> {
        let folders = self.folders.clone();
        blocking(move || work(folders)).await
    }
}
