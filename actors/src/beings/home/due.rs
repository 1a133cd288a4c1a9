//! When beings are due: those whose time has come are woken for it, a bounded number at a time.
//!
//! What a being is to be reminded of lies in its own store. Here lies no more than when the next of it
//! is due, so that it can sleep until then. It tells that when it wakes and when it changes.
//!
//! | what happens | what comes of it |
//! |---|---|
//! | the time comes, or came while genii was down | the being is told to heed its reminders, and says when it is due next |
//! | more are due than [`HEEDING_MAX`] | the others wait, the earliest first |
//! | a being cannot be told, or fails | it is told again, after a second, two, four, and at last every ten minutes |
//! | the clock is set | it is looked at every [`LOOK_MAX`] at least; who is told too early says so |
//! | the file is deleted, or is new | each being is asked once |
//! | a being came with its folder | it is asked |
//! | one that is to be asked sleeps | its store is looked at, and it sleeps on if nothing is due |

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use genii_protocols::being::{HeedReminders, Heeded};
use genii_protocols::{Address, Name, Timestamp};
use genii_runtime::Node;
use genii_storage::store::{OpenError, Schema, Store, StoreError, StoreOptions, Table, Writer};
use genii_supervision::StartError;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

/// The file. Each version has a golden one.
const SCHEMA: Schema = Schema::new("due", 1, &[]);

/// When beings are due, by id.
const DUE: Table<String, Timestamp> = Table::new("due");

/// All beings that were there at the first start were asked. One entry.
const ALL_ASKED: Table<(), ()> = Table::new("all_asked");

/// The file, in the folder of the beings. No being can have its name: it has a dot in it.
const FILE: &str = "due.redb";

/// How many beings heed reminders at a time.
const HEEDING_MAX: usize = 32;

/// How long one may take, with waking. What it has begun it ends all the same.
const HEEDING_PATIENCE: Duration = Duration::from_secs(120);

/// How long to wait before one that failed is told again: at first, and at most.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(600));

/// How long the clock is not looked at, at most.
const LOOK_MAX: Duration = Duration::from_secs(30);

/// When beings are due. Cheap to clone.
#[derive(Clone)]
pub(super) struct Due(Arc<Inner>);

struct Inner {
    store: Store,
    known: Mutex<Known>,
    changed: Notify,
}

/// When who is due, and what of that is not in the file yet.
#[derive(Default)]
struct Known {
    schedule: Schedule,
    /// Those of which the file may say something else, each with its last change.
    unkept: HashMap<Name, u64>,
    /// How many changes there were.
    changes: u64,
}

impl Known {
    /// A being is due at another time, which is to be written; which change that is.
    fn changed(&mut self, id: &Name) -> u64 {
        self.changes += 1;
        self.unkept.insert(id.clone(), self.changes);
        self.changes
    }

    /// A change is in the file, and what it says holds if there was no other since.
    fn kept(&mut self, id: &Name, change: u64) {
        if self.unkept.get(id) == Some(&change) {
            self.unkept.remove(id);
        }
    }
}

impl Due {
    /// Opens the file in the folder of the beings, or makes it.
    pub(super) async fn open(folder: PathBuf) -> Result<Self, StartError> {
        let opening = tokio::task::spawn_blocking(move || {
            let store = open_or_make(&folder.join(FILE)).map_err(|error| StartError::of(&error))?;
            let kept = store.read(|reader| reader.range(DUE, ..).collect::<Result<Vec<_>, _>>());
            let kept = kept.map_err(|error: StoreError| StartError::of(&error))?;
            let mut known = Known::default();
            for (id, at) in kept {
                let id = Name::new(&id).map_err(|error| StartError::failed(error.to_string()))?;
                known.schedule.set(&id, Some(at));
            }
            Ok(Self(Arc::new(Inner { store, known: Mutex::new(known), changed: Notify::new() })))
        });
        opening.await.map_err(|error| StartError::failed(error.to_string()))?
    }

    /// Lets go of all but those that live here, and has all asked if the file is new: nothing is known of
    /// them then.
    pub(super) async fn settle(&self, living: &HashSet<Name>) -> Result<(), StoreError> {
        let all_asked = self.0.store.read(|reader| reader.contains(ALL_ASKED, &()))?;
        let has_gone = self.0.known.lock().schedule.retain(living);
        if all_asked && !has_gone {
            return Ok(());
        }
        if !all_asked {
            let (mut known, now) = (self.0.known.lock(), Timestamp::now());
            living.iter().for_each(|id| known.schedule.set(id, Some(now)));
        }
        let own = self.clone();
        let written = self.0.store.write(move |writer| {
            writer.remove_range(DUE, ..)?;
            for (id, at) in own.0.known.lock().schedule.all() {
                writer.insert(DUE, &id.as_str().to_owned(), &at)?;
            }
            writer.insert(ALL_ASKED, &(), &())?;
            Ok::<_, StoreError>(())
        });
        written.await?;
        self.0.changed.notify_one();
        Ok(())
    }

    /// A being is due then, or never. Returns when that is kept; nothing is written if it is known.
    pub(super) async fn set(&self, id: &Name, next: Option<Timestamp>) -> Result<(), StoreError> {
        let change = {
            let mut known = self.0.known.lock();
            if known.schedule.at(id) == next && !known.unkept.contains_key(id) {
                return Ok(());
            }
            known.schedule.set(id, next);
            known.changed(id)
        };
        self.0.changed.notify_one();
        self.keep(id, change).await
    }

    /// A being came with its folder, and is asked when it is due.
    pub(super) async fn ask(&self, id: &Name) -> Result<(), StoreError> {
        self.set(id, Some(Timestamp::now())).await
    }

    /// A being is no more. If that cannot be kept, the next start lets go of it.
    pub(super) async fn forget(&self, id: &Name) {
        if let Err(error) = self.set(id, None).await {
            tracing::warn!(being = id.as_str(), "that it is never due was not kept: {error}");
        }
    }

    /// Has those heed their reminders whose time has come, for ever.
    pub(super) async fn watch<F>(self, heed: impl Fn(Name) -> F)
    where
        F: Future<Output = Result<Heeded, String>>,
    {
        let mut heeding = FuturesUnordered::new();
        loop {
            while heeding.len() < HEEDING_MAX
                && let Some(id) = self.take()
            {
                let (own, heeded) = (&self, heed(id.clone()));
                heeding.push(async move { own.heeded(&id, heeded.await).await });
            }
            let wait = if heeding.len() < HEEDING_MAX { self.wait() } else { LOOK_MAX };
            tokio::select! {
                Some(()) = heeding.next() => {}
                () = self.0.changed.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    fn take(&self) -> Option<Name> {
        self.0.known.lock().schedule.take(Timestamp::now(), Instant::now())
    }

    fn wait(&self) -> Duration {
        self.0.known.lock().schedule.wait(Timestamp::now(), Instant::now())
    }

    async fn heeded(&self, id: &Name, heeded: Result<Heeded, String>) {
        let now = Timestamp::now();
        let is_due = |next: Option<Timestamp>| next.is_some_and(|next| next <= now);
        let next = match heeded {
            // By its clock the time has not come, or somebody else takes it up.
            Ok(Heeded { reminder: None, next }) if is_due(next) => {
                Err("it has more to heed, and does not".to_owned())
            }
            Ok(Heeded { next, .. }) => Ok(next),
            Err(why) => Err(why),
        };
        match next {
            Ok(next) => {
                let change = {
                    let mut known = self.0.known.lock();
                    known.schedule.done(id, next);
                    known.changed(id)
                };
                if let Err(error) = self.keep(id, change).await {
                    tracing::warn!(being = id.as_str(), "when it is due was not kept: {error}");
                }
            }
            Err(why) => {
                let again = self.0.known.lock().schedule.failed(id, Instant::now());
                let being = id.as_str();
                tracing::warn!(being, "its reminders wait, and again in {again:?}: {why}");
            }
        }
    }

    /// Writes what is known of a being, in one commit with others that are being written.
    async fn keep(&self, id: &Name, change: u64) -> Result<(), StoreError> {
        let (own, of) = (self.clone(), id.clone());
        let write = move |writer: &mut Writer| {
            let key = of.as_str().to_owned();
            match own.0.known.lock().schedule.at(&of) {
                Some(at) => writer.insert(DUE, &key, &at).map(drop),
                None => writer.remove(DUE, &key).map(drop),
            }
        };
        self.0.store.write(write).await?;
        self.0.known.lock().kept(id, change);
        Ok(())
    }

    pub(super) async fn close(&self) {
        if let Err(error) = self.0.store.close().await {
            tracing::warn!("the file of who is due was not closed in order: {error}");
        }
    }
}

/// Opens the file. One that cannot be read is put aside, and a new one made: nothing is lost but when to
/// ask whom.
fn open_or_make(file: &Path) -> Result<Store, OpenError> {
    let open = || Store::open(file, &SCHEMA, &StoreOptions::default());
    match open() {
        Err(
            error @ (OpenError::Damaged { .. }
            | OpenError::NotAStore { .. }
            | OpenError::OtherApplication { .. }),
        ) => {
            let aside = file.with_extension("damaged");
            tracing::warn!(aside = %aside.display(), "when beings are due is asked anew: {error}");
            if std::fs::rename(file, aside).is_err() {
                return Err(error);
            }
            open()
        }
        opened => opened,
    }
}

/// Has a being of a group on this node heed its reminders.
pub(super) fn by_mail(
    node: Node,
    group: Name,
) -> impl Fn(Name) -> futures_util::future::BoxFuture<'static, Result<Heeded, String>> {
    move |id| {
        let being = node.to(Address::new(&group, &id));
        Box::pin(async move {
            let heeded = being.ask_within(HeedReminders {}, HEEDING_PATIENCE).await;
            heeded.map_err(|error| error.to_string())
        })
    }
}

/// Who is due when, and how that stands. Pure: it is told the time.
#[derive(Debug, Default)]
struct Schedule {
    beings: HashMap<Name, Entry>,
    /// Those that wait for their time.
    waiting: BTreeSet<(Timestamp, Name)>,
    /// Those that failed, by when they are told again.
    resting: BTreeSet<(Instant, Name)>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    at: Timestamp,
    stand: Stand,
    /// How often it has failed on end.
    failures: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stand {
    /// It waits for its time.
    Waits,
    /// It heeds the time that it had then.
    Heeds(Timestamp),
    /// It failed, and is told again then.
    Rests(Instant),
}

impl Schedule {
    fn at(&self, id: &Name) -> Option<Timestamp> {
        self.beings.get(id).map(|entry| entry.at)
    }

    fn all(&self) -> impl Iterator<Item = (&Name, Timestamp)> {
        self.beings.iter().map(|(id, entry)| (id, entry.at))
    }

    /// Lets go of all but these; whether there were others.
    fn retain(&mut self, living: &HashSet<Name>) -> bool {
        let before = self.beings.len();
        self.beings.retain(|id, _| living.contains(id));
        self.waiting.retain(|(_, id)| living.contains(id));
        self.resting.retain(|(_, id)| living.contains(id));
        self.beings.len() < before
    }

    /// One is due then, or never. Nothing if it is known.
    fn set(&mut self, id: &Name, next: Option<Timestamp>) {
        let known = self.beings.get(id).copied();
        if known.map(|entry| entry.at) == next {
            return;
        }
        let heeds = known.map(|entry| entry.stand).filter(|it| matches!(it, Stand::Heeds(_)));
        self.strike(id);
        let Some(at) = next else { return };
        // One that is at it is told again when it has ended, if need be.
        self.put(id, Entry { at, stand: heeds.unwrap_or(Stand::Waits), failures: 0 });
    }

    /// The next whose time has come. It heeds from now on.
    fn take(&mut self, now: Timestamp, moment: Instant) -> Option<Name> {
        let rested = self.resting.first().filter(|(until, _)| *until <= moment);
        let waited = self.waiting.first().filter(|(at, _)| *at <= now);
        let id = rested.map(|(_, id)| id).or(waited.map(|(_, id)| id))?.clone();
        let entry = self.strike(&id)?;
        self.put(&id, Entry { stand: Stand::Heeds(entry.at), ..entry });
        Some(id)
    }

    /// One has heeded, and is due again then. What it has said since it began to counts more.
    fn done(&mut self, id: &Name, next: Option<Timestamp>) {
        let Some(entry) = self.beings.get(id).copied() else { return };
        let Stand::Heeds(of) = entry.stand else { return };
        self.strike(id);
        let next = if entry.at == of { next } else { Some(entry.at) };
        if let Some(at) = next {
            self.put(id, Entry { at, stand: Stand::Waits, failures: 0 });
        }
    }

    /// One has failed; how long it rests.
    fn failed(&mut self, id: &Name, moment: Instant) -> Duration {
        let Some(entry) = self.beings.get(id).copied() else { return Duration::ZERO };
        let Stand::Heeds(_) = entry.stand else { return Duration::ZERO };
        let rest = BACKOFF.0.saturating_mul(1 << entry.failures.min(16)).min(BACKOFF.1);
        self.strike(id);
        let (stand, failures) = (Stand::Rests(moment + rest), entry.failures.saturating_add(1));
        self.put(id, Entry { stand, failures, ..entry });
        rest
    }

    /// How long nobody's time comes, as far as can be told now.
    fn wait(&self, now: Timestamp, moment: Instant) -> Duration {
        let until = |at: Timestamp| Duration::from_micros(at.micros().saturating_sub(now.micros()));
        let waiting = self.waiting.first().map(|(at, _)| until(*at));
        let resting = self.resting.first().map(|(at, _)| at.saturating_duration_since(moment));
        waiting.into_iter().chain(resting).fold(LOOK_MAX, Duration::min)
    }

    fn put(&mut self, id: &Name, entry: Entry) {
        match entry.stand {
            Stand::Waits => drop(self.waiting.insert((entry.at, id.clone()))),
            Stand::Rests(until) => drop(self.resting.insert((until, id.clone()))),
            Stand::Heeds(_) => {}
        }
        self.beings.insert(id.clone(), entry);
    }

    fn strike(&mut self, id: &Name) -> Option<Entry> {
        let entry = self.beings.remove(id)?;
        match entry.stand {
            Stand::Waits => drop(self.waiting.remove(&(entry.at, id.clone()))),
            Stand::Rests(until) => drop(self.resting.remove(&(until, id.clone()))),
            Stand::Heeds(_) => {}
        }
        Some(entry)
    }
}

#[cfg(test)]
mod tests;
