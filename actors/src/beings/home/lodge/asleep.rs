//! What is done with a being while it is kept asleep.

use std::path::Path;
use std::time::Duration;

use genii_protocols::being::AskHealth;
use genii_protocols::beings::{Checked, CheckedTable, Soundness};
use genii_storage::store::{self, Finding, OpenError, Repair, TableReport};
use genii_supervision::Status;

use super::{Lodge, START_TIMEOUT};
use crate::being::imported::{Imported, NotImported};
use crate::beings::errands::{Amiss, CheckHere, Found, IsolateHere, LookAt};
use crate::beings::parcels::blocking;

/// How long a being that is to be kept apart otherwise may go on before it is left to its work.
const QUIET_PATIENCE: Duration = Duration::from_secs(2);

/// How long a being that is to be looked over may take to have nothing to do.
const ANSWER_PATIENCE: Duration = Duration::from_secs(30);

impl Lodge {
    pub(in super::super) async fn look_at(&self, LookAt { id }: LookAt) -> Result<Found, Amiss> {
        // Whoever is awake has its store to itself.
        let address = self.address(&id);
        let asleep = match self.nursery.has(&address) {
            true => self.nursery.keep_asleep(&address).await.map(Some),
            false => Some(None),
        };
        let asleep = asleep.ok_or_else(|| Amiss::failed("something else is done with it"))?;
        let folder = self.folders.of(&id);
        let looked = tokio::task::spawn_blocking(move || Imported::lying_in(&folder, &id)).await;
        drop(asleep);
        let senseless = |error: NotImported| Amiss::Senseless { why: error.to_string() };
        let Imported { id, name, created } = looked.map_err(Amiss::failed)?.map_err(senseless)?;
        Ok(Found { id, name, created })
    }

    /// It sleeps when this returns, unless it is at work: then that counts once it has slept.
    pub(in super::super) async fn isolate(&self, asked: IsolateHere) -> Result<(), Amiss> {
        let IsolateHere { id, isolation } = asked;
        let _turn = self.turns.take(&id).await;
        let address = self.address(&id);
        self.movings.check_settled(&id)?;
        if !self.nursery.has(&address) || self.movings.is_leaving(&id) {
            return Err(Amiss::failed("something else is done with it"));
        }
        let tenancies = self.tenancies.clone();
        blocking(move || tenancies.set(&id, isolation)).await?;
        // Read whenever it wakes: no answer needs to be broken off for it.
        drop(self.nursery.keep_once_idle(&address, QUIET_PATIENCE).await);
        Ok(())
    }

    /// Looks over what a being has on the disk, while it sleeps. One that is at work goes on.
    pub(in super::super) async fn check(&self, asked: CheckHere) -> Result<Checked, Amiss> {
        let CheckHere { id, repair } = asked;
        let address = self.address(&id);
        let status = self.house.member(address.as_str()).ok().map(|member| member.view.status);
        let asleep = self.nursery.keep_once_idle(&address, ANSWER_PATIENCE).await;
        let asleep = asleep.map_err(Amiss::failed)?;
        let file = self.folders.store_of(&id);
        let checked = tokio::task::spawn_blocking(move || check_file(&file, repair)).await;
        drop(asleep);
        if matches!(status, Some(Status::Quarantined(_))) {
            // It was held back, and sleeps now. Whether it can wake shows, and not only when somebody speaks to it.
            let being = self.house.node().to(address);
            tokio::spawn(async move { being.ask_within(AskHealth {}, START_TIMEOUT).await });
        }
        checked.map_err(Amiss::failed)?.map_err(Amiss::failed)
    }
}

/// Looks a store over, and mends it if that is wanted. Blocking.
fn check_file(file: &Path, repair: bool) -> Result<Checked, OpenError> {
    let (report, is_repaired) = match repair {
        true => {
            let Repair { before, after } = store::repair(file)?;
            let is_repaired = !before.is_whole() && after.is_whole();
            (after, is_repaired)
        }
        false => (store::check(file)?, false),
    };
    let finding = match report.finding {
        Finding::Whole | Finding::NotClosed => Soundness::Whole,
        Finding::Repairable { .. } => Soundness::Repairable,
        Finding::Damaged { .. } => Soundness::Damaged,
    };
    let table = |table: TableReport| {
        let TableReport { name, entries, bytes } = table;
        CheckedTable { name, entries, bytes }
    };
    let tables = report.tables.into_iter().map(table).collect();
    let (words, bytes) = (report.finding.to_string(), report.bytes);
    Ok(Checked { finding, words, is_repaired, bytes, tables })
}
