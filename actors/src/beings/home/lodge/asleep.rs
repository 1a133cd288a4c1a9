//! What is done with a being while it is kept asleep.

use std::path::Path;
use std::time::Duration;

use genii_protocols::being::AskHealth;
use genii_protocols::beings::{Checked, CheckedTable, Soundness};
use genii_protocols::{Address, Name};
use genii_runtime::nursery::NotKept;
use genii_storage::memories::Memories;
use genii_storage::store::{
    self, Finding, OpenError, Remains, Repair, Report, SalvageError, Salvaged, StoreOptions,
    TableRemains, TableReport,
};
use genii_supervision::Status;

use super::{Lodge, START_TIMEOUT};
use crate::being::imported::{Imported, NotImported};
use crate::being::salvaging;
use crate::beings::errands::{Amiss, CheckHere, Found, IsolateHere, LookAt};
use crate::beings::home::folders::STORE;
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
        let not_written = |error: std::io::Error| {
            let why = "how it is kept apart cannot be written beside it, and is as before";
            std::io::Error::new(error.kind(), format!("{why}: {error}"))
        };
        blocking(move || tenancies.set(&id, isolation).map_err(not_written)).await?;
        let was_held_back = self.is_held_back(&address);
        // Read whenever it wakes: no answer needs to be broken off for it.
        drop(self.nursery.keep_once_idle(&address, QUIET_PATIENCE).await);
        if was_held_back {
            self.try_to_wake(address);
        }
        Ok(())
    }

    /// Looks over what a being has on the disk, while it sleeps. One that is at work goes on.
    pub(in super::super) async fn check(&self, asked: CheckHere) -> Result<Checked, Amiss> {
        let CheckHere { id, repair, give_up } = asked;
        let address = self.address(&id);
        let was_held_back = self.is_held_back(&address);
        let asleep = self.nursery.keep_once_idle(&address, ANSWER_PATIENCE).await;
        let asleep = asleep.map_err(|not_kept| match not_kept {
            NotKept::Busy => Amiss::failed(format!(
                "{not_kept}, or `genii ctl restart {address}`, which breaks an answer off"
            )),
            NotKept::Taken => Amiss::failed(not_kept),
        })?;
        let folder = self.folders.of(&id);
        let check = move || check_in(&folder, &id, repair || give_up, give_up);
        let checked = tokio::task::spawn_blocking(check).await.map_err(Amiss::failed);
        let checked = checked.and_then(|checked| checked.map_err(Amiss::failed));
        drop(asleep);
        if was_held_back || checked.as_ref().is_ok_and(is_to_be_held_back) {
            self.try_to_wake(address);
        }
        checked
    }

    /// Whether a being is held back just now, since it could not wake or failed again and again.
    pub(super) fn is_held_back(&self, address: &Address) -> bool {
        let status = self.house.member(address.as_str()).ok().map(|member| member.view.status);
        matches!(status, Some(Status::Quarantined(_)))
    }

    /// Wakes one that sleeps since something was done with it, while the caller goes on: whether it can wake is
    /// to show, and not only when somebody speaks to it.
    pub(super) fn try_to_wake(&self, address: Address) {
        let being = self.house.node().to(address);
        tokio::spawn(async move { being.ask_within(AskHealth {}, START_TIMEOUT).await });
    }
}

/// Whether one of whose store this was found does not wake with it.
fn is_to_be_held_back(checked: &Checked) -> bool {
    checked.finding == Soundness::Damaged && is_looked_through(checked.bytes)
}

/// Whether a store of so many bytes is looked through whenever its being wakes.
fn is_looked_through(bytes: u64) -> bool {
    bytes <= StoreOptions::default().verify_max_bytes
}

/// Looks a store over, mends it if that is wanted, and gives up what nothing mends if that is, too. Blocking.
fn check_in(
    folder: &Path,
    id: &Name,
    repair: bool,
    give_up: bool,
) -> Result<Checked, SalvageError> {
    let (report, is_repaired) = look_over(folder, repair)?;
    match report.finding {
        Finding::Damaged { .. } if give_up => Ok(saved(salvaging::salvage(folder, id)?, id)),
        Finding::Damaged { .. } => Ok(damaged(&report, &salvaging::remains(folder)?, id)),
        _ => Ok(mendable(report, is_repaired)),
    }
}

/// Looks a store over, and mends it if that is wanted; whether it was mended. Blocking.
fn look_over(folder: &Path, repair: bool) -> Result<(Report, bool), OpenError> {
    let file = folder.join(STORE);
    let looked = match repair {
        true => store::repair(&file).map(|Repair { before, after }| {
            let is_repaired = !before.is_whole() && after.is_whole();
            (after, is_repaired)
        }),
        false => store::check(&file).map(|report| (report, false)),
    };
    match looked {
        // Its beginning is damaged, with more of it or less.
        Err(OpenError::NotAStore { path, why }) => {
            let bytes = file.metadata().map_or(0, |about| about.len());
            let (finding, tables) = (Finding::Damaged { why }, Vec::new());
            let report = Report { path, bytes, finding, application: None, version: None, tables };
            Ok((report, false))
        }
        looked => looked,
    }
}

/// What is told of a store that is whole, or can be mended without loss.
fn mendable(report: Report, is_repaired: bool) -> Checked {
    let is_whole = report.is_whole();
    let table = |table: TableReport| {
        let TableReport { name, entries, bytes } = table;
        CheckedTable { name, entries, bytes, lost: 0, gaps: Vec::new() }
    };
    Checked {
        finding: if is_whole { Soundness::Whole } else { Soundness::Repairable },
        words: report.finding.to_string(),
        is_repaired,
        can_be_saved: false,
        bytes: report.bytes,
        tables: report.tables.into_iter().map(table).collect(),
        notes: Vec::new(),
    }
}

/// What is told of a store that nothing mends, with what could be saved.
fn damaged(report: &Report, remains: &Remains, id: &Name) -> Checked {
    let tables = tables(remains);
    let can_be_saved = tables.iter().any(|table| table.entries > 0);
    let mut words = report.finding.to_string();
    let mut notes = Vec::new();
    if can_be_saved {
        notes = salvaging::notes(remains, id);
        notes.extend(salvaging::not_kept(remains));
        let counted = counted(&tables, remains.are_all);
        words.push_str(&format!("; or give up the rest: {counted} can be saved"));
    }
    if !is_looked_through(report.bytes) {
        words.push_str(
            "; it is too large to be looked through whenever the being wakes, which may live on with the \
             damage: `being list` then does not tell of it",
        );
    }
    Checked {
        finding: Soundness::Damaged,
        words,
        is_repaired: false,
        can_be_saved,
        bytes: report.bytes,
        notes,
        tables,
    }
}

/// What is told of a store of which the rest was given up.
fn saved(salvaged: Salvaged, id: &Name) -> Checked {
    let kept = salvaging::kept(&salvaged);
    let Salvaged { remains, after, .. } = salvaged;
    let tables = tables(&remains);
    let mut notes = salvaging::notes(&remains, id);
    notes.push(kept);
    Checked {
        finding: Soundness::Whole,
        words: format!("{}, and has {}", after.finding, counted(&tables, remains.are_all)),
        is_repaired: true,
        can_be_saved: false,
        bytes: after.bytes,
        tables,
        notes,
    }
}

/// The tables of which something is lost when an entry is.
fn tables(remains: &Remains) -> Vec<CheckedTable> {
    let is_told = |table: &&TableRemains| !Memories::is_made_anew(&table.name);
    let table = |table: &TableRemains| {
        let TableRemains { name, entries, bytes, lost, gaps, .. } = table.clone();
        CheckedTable { name, entries, bytes, lost, gaps }
    };
    remains.tables.iter().filter(is_told).map(table).collect()
}

/// How many entries there are; of how many that there were, if that is known.
fn counted(tables: &[CheckedTable], are_all: bool) -> String {
    let entries: u64 = tables.iter().map(|table| table.entries).sum();
    let lost: u64 = tables.iter().map(|table| table.lost).sum();
    match are_all {
        true => format!("{entries} of {} entries", entries + lost),
        false => format!("{entries} entries"),
    }
}
