//! `beings/registry`: which beings there are, and where.
//!
//! | module | what it holds |
//! |---|---|
//! | `book` | what is known of each being, and was done with it, on the disk: the last word on where it lives |
//! | `homes` | the homes of beings, one on each machine |
//! | `lost` | beings of machines that are lost for good, and what remains of others where they do not live |
//! | `making` | beings come and go |
//! | `moving` | a being moves to another machine |
//! | `passing` | what beings ask each other, which goes through here |
//! | `settling` | what did not come to its end |
//! | `unsettled` | with whom, and why |
//!
//! What was begun when genii ended, or a machine was lost, is settled as soon as both are there again: a
//! being that was being made and was never told of goes, one that was being deleted goes too, one that
//! was moving is on one machine, and a folder that the book does not have is taken in. Nothing of that takes
//! away what lay there before, nor the only copy of a being.

mod book;
mod homes;
mod lost;
mod making;
mod moving;
mod passing;
mod settling;
#[cfg(test)]
mod tests;
mod unsettled;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use genii_protocols::being::UpdateCharacter;
use genii_protocols::beings::{
    BeingEntry, BeingRenamed, BeingState, Beings, CheckBeing, CreateBeing, DeleteBeing,
    ExportBeing, GetBeing, ImportBeing, IsolateBeing, ListBeings, MigrateBeing, NoBeing, PassOn,
    RouteBeing, UpdateBeing,
};
use genii_protocols::{Address, AskError, Json, Message, Name, Never, NodeName};
use genii_runtime::{Agent, Context, Handle, HandleLater, Node, Promise, Protocol};
use genii_supervision::journal::KeptNote;
use genii_supervision::{Key, StartError, What};
use parking_lot::Mutex;
use serde::Deserialize;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::errands::{AskStates, Standing};
use book::{Book, Entry, Note, Stage};
use homes::Homes;
pub use making::ERRAND_PATIENCE_MAX;
use unsettled::Unsettled;

/// How many beings one registry may know.
const BEINGS_MAX: u64 = 1_000_000;

/// How many beings are listed unless the question says otherwise, and at most.
const LIST: (u32, u32) = (100, 1_000);

/// How many beings are made, taken in, written out, moved or deleted at a time. One more is refused.
const ERRANDS_MAX: usize = 64;

/// How many are looked for at a time. One more is refused.
const LOOKS_MAX: usize = 256;

/// How long a machine may take to say how beings stand.
const STATES_PATIENCE: Duration = Duration::from_secs(2);

/// How long a being may take to become another.
const UPDATE_PATIENCE: Duration = Duration::from_secs(30);

/// How long one waits for something else that is being done with a being.
const TAKE_PATIENCE: Duration = Duration::from_secs(2);

/// How often one looks whether it is.
const TAKE_LOOK: Duration = Duration::from_millis(10);

/// Among how many ids one is looked for that may have been meant.
const NEAREST_MAX: usize = 10_000;

/// The group of the addresses of beings.
const GROUP: &str = "being";

/// The agent.
pub struct Registry {
    shared: Arc<Shared>,
    /// Places for what takes a while, and for what does not.
    errands: Arc<Semaphore>,
    looks: Arc<Semaphore>,
    /// Places for what beings ask each other.
    passing: Arc<Semaphore>,
}

/// What its tasks work with.
struct Shared {
    node: Node,
    book: Book,
    homes: Homes,
    group: Name,
    /// Where new beings live that do not say where.
    home: Option<NodeName>,
    /// Those with which something is being done that bears nothing else beside it.
    taken: Mutex<HashSet<Name>>,
    /// Those with which something has not come to its end.
    unsettled: Unsettled,
}

/// What may be set.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RegistrySettings {
    /// The folder in which its book lies; `beings` in genii's own if not set.
    pub folder: Option<PathBuf>,
    /// The machine on which new beings live that do not say where; the one with the fewest if not set.
    pub home: Option<NodeName>,
}

impl Agent for Registry {
    type Settings = RegistrySettings;

    fn protocol() -> Protocol<Self> {
        Protocol::new()
            .on_later::<CreateBeing>()
            .on_later::<ListBeings>()
            .on_later::<GetBeing>()
            .on_later::<RouteBeing>()
            .on_later::<UpdateBeing>()
            .on_later::<ImportBeing>()
            .on_later::<ExportBeing>()
            .on_later::<MigrateBeing>()
            .on_later::<DeleteBeing>()
            .on_later::<IsolateBeing>()
            .on_later::<CheckBeing>()
            .on_later::<PassOn>()
            .on::<BeingRenamed>()
    }

    async fn start(settings: RegistrySettings, context: &mut Context) -> Result<Self, StartError> {
        let node = context.node().clone();
        let default = node.data().map(|data| data.join("beings"));
        let folder = settings.folder.or(default).ok_or_else(|| {
            StartError::refused("there is no folder for its book; set `folder`, an absolute path")
        })?;
        if !folder.is_absolute() {
            let why =
                format!("`folder` is to be an absolute path, and {} is none", folder.display());
            return Err(StartError::refused(why));
        }
        let opened = tokio::task::spawn_blocking(move || {
            let book = Book::open(&folder)?;
            let notes = book.notes();
            Ok::<_, StartError>((book, notes))
        });
        let opened = opened.await.map_err(|error| StartError::failed(error.to_string()))?;
        let (book, notes) = opened?;
        let shared = Arc::new(Shared {
            homes: Homes::new(node.clone()).map_err(StartError::refused)?,
            node,
            book,
            group: Name::new(GROUP).map_err(|error| StartError::refused(error.to_string()))?,
            home: settings.home,
            taken: Mutex::default(),
            unsettled: Unsettled::default(),
        });
        match notes {
            Ok(notes) => shared.recall(notes),
            Err(error) => tracing::warn!("what was done with beings cannot be read: {error}"),
        }
        context.spawn(settling::settle(shared.clone()));
        let errands = Arc::new(Semaphore::new(ERRANDS_MAX));
        let looks = Arc::new(Semaphore::new(LOOKS_MAX));
        let passing = Arc::new(Semaphore::new(passing::PASSING_MAX));
        Ok(Self { shared, errands, looks, passing })
    }

    fn snapshot(&self) -> Json {
        let homes = self.shared.homes.nodes().into_iter();
        let beings: HashMap<String, u64> =
            homes.map(|node| (node.to_string(), self.shared.book.count_on(&node))).collect();
        Json(serde_json::json!({ "beings": beings }))
    }

    async fn stop(&mut self, _: &mut Context) {
        self.shared.book.close().await;
    }
}

impl Registry {
    /// Begins something, if not too much of the kind is being done already.
    fn begin<M, F>(
        &self,
        places: &Arc<Semaphore>,
        promise: Promise<M>,
        context: &mut Context,
        work: impl FnOnce(Arc<Shared>) -> F,
    ) where
        M: Message<Refusal = NoBeing>,
        F: Future<Output = Result<M::Reply, NoBeing>> + Send + 'static,
    {
        let Ok(place) = places.clone().try_acquire_owned() else {
            let why = "too much is being done already; try again".to_owned();
            return promise.refuse(NoBeing::Failed { why });
        };
        let working = work(self.shared.clone());
        // Done also if nobody waits for it any more: it is not to end half-way.
        context.spawn(async move {
            promise.settle(working.await);
            drop(place);
        });
    }
}

/// A message that is answered by a method of what is shared.
macro_rules! answered_by_shared {
    ($($message:ty => $method:ident, $places:ident;)*) => {$(
        impl HandleLater<$message> for Registry {
            async fn handle_later(
                &mut self,
                asked: $message,
                promise: Promise<$message>,
                context: &mut Context,
            ) {
                let work = |shared: Arc<Shared>| async move { shared.$method(asked).await };
                self.begin(&self.$places, promise, context, work);
            }
        }
    )*};
}

answered_by_shared! {
    CreateBeing => create, errands;
    ListBeings => list, looks;
    GetBeing => get, looks;
    UpdateBeing => update, errands;
    ImportBeing => import, errands;
    ExportBeing => export, errands;
    MigrateBeing => migrate, errands;
    DeleteBeing => delete, errands;
    IsolateBeing => isolate, errands;
    CheckBeing => check, errands;
}

impl HandleLater<RouteBeing> for Registry {
    async fn handle_later(
        &mut self,
        RouteBeing { id }: RouteBeing,
        promise: Promise<RouteBeing>,
        context: &mut Context,
    ) {
        match self.shared.known(&id) {
            Ok(Some(_)) => promise.settle(Ok(self.shared.address(&id))),
            Ok(None) => {
                let work = |shared: Arc<Shared>| async move { Err(shared.not_found(&id).await) };
                self.begin(&self.looks, promise, context, work);
            }
            Err(why) => promise.refuse(why),
        }
    }
}

impl Handle<BeingRenamed> for Registry {
    async fn handle(&mut self, renamed: BeingRenamed, _: &mut Context) -> Result<(), Never> {
        let BeingRenamed { id, name } = renamed;
        if let Err(error) = self.shared.book.rename(id, name).await {
            tracing::warn!("a being is called otherwise, which was not kept: {error}");
        }
        Ok(())
    }
}

impl Shared {
    async fn list(&self, asked: ListBeings) -> Result<Beings, NoBeing> {
        let limit = asked.limit.unwrap_or(LIST.0).clamp(1, LIST.1) as usize;
        let page = self.book.page(asked.after, limit, asked.matching).await;
        let (entries, more) = page.map_err(failed)?;
        let beings = self.all_shown(entries).await;
        let total = self.book.len().map_err(failed)?;
        Ok(Beings { beings, more, total })
    }

    async fn get(&self, GetBeing { id }: GetBeing) -> Result<BeingEntry, NoBeing> {
        let entry = self.find(&id).await?;
        Ok(self.shown(entry).await)
    }

    async fn update(
        &self,
        UpdateBeing { id, changes }: UpdateBeing,
    ) -> Result<BeingEntry, NoBeing> {
        self.find(&id).await?;
        let being = self.node.to(self.address(&id));
        let info = being.ask_within(UpdateCharacter { changes }, UPDATE_PATIENCE).await;
        let info = info.map_err(|error| match error {
            AskError::Refused(refused) => senseless(refused),
            error => failed(error),
        })?;
        self.book.rename(id.clone(), info.name).await.map_err(failed)?;
        let entry = self.find(&id).await?;
        Ok(self.shown(entry).await)
    }

    /// What is known of a being that is there.
    fn known(&self, id: &Name) -> Result<Option<Entry>, NoBeing> {
        Ok(self.book.get(id).map_err(failed)?.filter(Entry::is_there))
    }

    async fn find(&self, id: &Name) -> Result<Entry, NoBeing> {
        match self.known(id)? {
            Some(entry) => Ok(entry),
            None => Err(self.not_found(id).await),
        }
    }

    /// What the book has of a being, also of one that is being made or deleted.
    async fn find_at_any_stage(&self, id: &Name) -> Result<Entry, NoBeing> {
        match self.book.get(id).map_err(failed)? {
            Some(entry) => Ok(entry),
            None => Err(self.not_found(id).await),
        }
    }

    /// What is said of one that is being made or deleted: nobody can do anything with it, nor is its id free.
    fn half_there(&self, entry: &Entry) -> NoBeing {
        let Entry { id, node, stage, .. } = entry;
        let what = match stage {
            Stage::Going => "deleted",
            Stage::Coming | Stage::Living | Stage::Moving { .. } | Stage::Arriving { .. } => "made",
        };
        let why = self.unsettled.why(id).map(|why| format!(" ({why})")).unwrap_or_default();
        NoBeing::Failed {
            why: format!(
                "{id} is being {what} on {node}{why}; delete it to have it gone, as lost (--lost) if that \
                 machine is gone for good"
            ),
        }
    }

    async fn not_found(&self, id: &Name) -> NoBeing {
        if let Ok(Some(entry)) = self.book.get(id) {
            return self.half_there(&entry);
        }
        let known = self.book.page(None, NEAREST_MAX, None).await;
        let known = known.map(|(entries, _)| entries).unwrap_or_default();
        let ids = known.iter().map(|entry| entry.id.as_str());
        let nearest = genii_runtime::nearest(id.as_str(), ids);
        let nearest = nearest.and_then(|nearest| Name::new(nearest).ok());
        NoBeing::NotFound { id: id.clone(), nearest }
    }

    fn address(&self, id: &Name) -> Address {
        Address::new(&self.group, id)
    }

    async fn shown(&self, entry: Entry) -> BeingEntry {
        let mut shown = self.all_shown(vec![entry]).await;
        shown.swap_remove(0)
    }

    /// Beings with how they stand, for which each machine is asked once.
    async fn all_shown(&self, entries: Vec<Entry>) -> Vec<BeingEntry> {
        let mut by_node: HashMap<NodeName, Vec<Name>> = HashMap::new();
        for entry in &entries {
            by_node.entry(entry.node.clone()).or_default().push(entry.id.clone());
        }
        let asked = by_node.into_iter().map(async |(node, ids)| {
            let asked = AskStates { ids: ids.clone() };
            let states = self.homes.ask_within(&node, asked, STATES_PATIENCE).await;
            let states = match states {
                Ok(states) => states.0,
                Err(error) => {
                    let why = Some(error.to_string());
                    vec![unreachable(why); ids.len()]
                }
            };
            ids.into_iter().zip(states)
        });
        let states = futures_util::future::join_all(asked).await;
        let mut states: HashMap<Name, _> = states.into_iter().flatten().collect();
        let shown = |Entry { id, name, node, created, .. }: Entry| {
            let standing = states.remove(&id).unwrap_or_else(|| unreachable(None));
            let Standing { state, why, isolation } = standing;
            let why = why.or_else(|| self.unsettled.why(&id));
            let address = self.address(&id);
            BeingEntry { address, id, name, state, isolation, node, created, why }
        };
        entries.into_iter().map(shown).collect()
    }

    /// Writes into the journal what was done with a being, once the book has it.
    fn note(&self, id: &Name, text: &str) {
        self.write_down(id, text, false);
    }

    /// As [`Shared::note`], of how one came to be known.
    fn note_coming(&self, id: &Name, text: &str) {
        self.write_down(id, text, true);
    }

    fn write_down(&self, id: &Name, text: &str, is_coming: bool) {
        tracing::info!(being = id.as_str(), "{text}");
        let what = What::KeptNote { text: text.into(), is_coming };
        self.node.tree().record(&self.key(id), 0, what);
    }

    /// Puts into the journal what the book has of before genii was started.
    fn recall(&self, notes: Vec<(Note, bool)>) {
        let told = |(Note { id, at, text }, is_coming): (Note, bool)| KeptNote {
            at: at.system_time(),
            key: self.key(&id),
            text: text.into(),
            is_coming,
        };
        self.node.tree().journal.recall(notes.into_iter().map(told));
    }

    /// What the journal calls a being.
    fn key(&self, id: &Name) -> Key {
        Key::from(self.address(id).shared())
    }

    /// Keeps others from doing something with a being at the same time, as soon as nobody else does.
    async fn take(&self, id: &Name) -> Result<Taken<'_>, NoBeing> {
        let patience = Instant::now() + TAKE_PATIENCE;
        loop {
            match self.try_take(id) {
                Err(_) if Instant::now() < patience => tokio::time::sleep(TAKE_LOOK).await,
                taken => return taken,
            }
        }
    }

    fn try_take(&self, id: &Name) -> Result<Taken<'_>, NoBeing> {
        match self.taken.lock().insert(id.clone()) {
            true => Ok(Taken { of: &self.taken, id: id.clone() }),
            false => {
                let why = format!(
                    "something else is being done with {} just now; `being list` says how it stands, try again \
                     when that has ended",
                    id.as_str()
                );
                Err(NoBeing::Failed { why })
            }
        }
    }
}

/// How one stands whose machine does not say it.
fn unreachable(why: Option<String>) -> Standing {
    Standing { state: BeingState::Unreachable, why, isolation: None }
}

struct Taken<'a> {
    of: &'a Mutex<HashSet<Name>>,
    id: Name,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.of.lock().remove(&self.id);
    }
}

fn failed(error: impl std::fmt::Display) -> NoBeing {
    NoBeing::Failed { why: error.to_string() }
}

fn senseless(error: impl std::fmt::Display) -> NoBeing {
    NoBeing::Senseless { why: error.to_string() }
}
