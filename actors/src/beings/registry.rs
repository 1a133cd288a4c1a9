//! `beings/registry`: which beings there are, and where.
//!
//! | module | what it holds |
//! |---|---|
//! | `book` | what is known of each being, on the disk |
//! | `home` | the folders of the beings of this machine, and their nursery |
//!
//! Each being has a folder of its own in `beings/`, and its place in the book. What was begun when
//! genii ended is settled at the next start: a being that was being made and was never told of goes, one
//! that was being deleted goes too, and a folder that the book does not have is taken in.

mod book;
mod home;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use genii_protocols::being::{AskHealth, Export, Exported};
use genii_protocols::beings::{
    BeingEntry, BeingRenamed, Beings, CreateBeing, DeleteBeing, ExportBeing, GetBeing, ImportBeing,
    ListBeings, NoBeing, RouteBeing,
};
use genii_protocols::{Address, AskError, Json, Name, Never, TimeSpan, Timestamp};
use genii_runtime::{Agent, Context, Handle, HandleLater, Node, Promise, Protocol};
use genii_supervision::StartError;
use parking_lot::Mutex;
use serde::Deserialize;
use tokio::sync::Semaphore;

use crate::being::birth::Birth;
use crate::being::character::Character;
use crate::being::provider::{self, ProviderSettings, ProviderShare};

use book::{Book, Entry, Stage};
use home::Home;

/// How many beings one registry may know.
const BEINGS_MAX: u64 = 1_000_000;

/// How many beings are listed unless the question says otherwise, and at most.
const LIST: (u32, u32) = (100, 1_000);

/// How long a new being may take to say that it is well.
const BIRTH_PATIENCE: Duration = Duration::from_secs(30);

/// How long an export may take.
const EXPORT_PATIENCE: Duration = Duration::from_secs(600);

/// How many beings are made, taken in, written out or deleted at a time. One more is refused.
const ERRANDS_MAX: usize = 64;

/// How many ids are tried for a being whose name is taken.
const ID_TRIES: u32 = 1_000;

/// Among how many ids one is looked for that may have been meant.
const NEAREST_MAX: usize = 10_000;

/// The agent.
pub struct Registry {
    shared: Arc<Shared>,
}

/// What its tasks work with.
struct Shared {
    node: Node,
    book: Book,
    home: Home,
    /// Those with which something is being done that bears nothing else beside it.
    taken: Mutex<HashSet<Name>>,
    /// Places for what takes a while.
    errands: Arc<Semaphore>,
}

/// What may be set.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RegistrySettings {
    /// The folder in which the beings of this machine live; `beings` in genii's own if not set.
    pub folder: Option<PathBuf>,
    /// How many beings may be awake at a time.
    pub awake_max: usize,
    /// How long a being rests before it sleeps.
    pub idle_after: TimeSpan,
}

impl Default for RegistrySettings {
    fn default() -> Self {
        Self {
            folder: None,
            awake_max: genii_runtime::nursery::AWAKE_MAX,
            idle_after: genii_runtime::nursery::IDLE_AFTER.into(),
        }
    }
}

impl Agent for Registry {
    type Settings = RegistrySettings;

    fn protocol() -> Protocol<Self> {
        Protocol::new()
            .on_later::<CreateBeing>()
            .on::<ListBeings>()
            .on::<GetBeing>()
            .on::<RouteBeing>()
            .on_later::<ImportBeing>()
            .on_later::<ExportBeing>()
            .on_later::<DeleteBeing>()
            .on::<BeingRenamed>()
    }

    async fn start(settings: RegistrySettings, context: &mut Context) -> Result<Self, StartError> {
        let node = context.node().clone();
        let house = context.house().cloned();
        let house = house.ok_or_else(|| StartError::refused("it needs to see the house"))?;
        let default = node.data().map(|data| data.join("beings"));
        let folder = settings.folder.clone().or(default).ok_or_else(|| {
            StartError::refused("there is no folder for beings; set `folder`, an absolute path")
        })?;
        let home = Home::open(&house, folder.clone(), &settings).await?;
        let book = tokio::task::spawn_blocking(move || Book::open(&folder));
        let book = book.await.map_err(|error| StartError::failed(error.to_string()))??;
        home.settle(&book).await?;
        let errands = Arc::new(Semaphore::new(ERRANDS_MAX));
        let shared = Shared { node, book, home, taken: Mutex::default(), errands };
        Ok(Self { shared: Arc::new(shared) })
    }

    fn snapshot(&self) -> Json {
        Json(serde_json::json!({
            "beings": self.shared.home.nursery().len(),
            "awake": self.shared.home.nursery().awake(),
            "folder": self.shared.home.folder(),
        }))
    }

    async fn stop(&mut self, _: &mut Context) {
        self.shared.book.close().await;
    }
}

impl HandleLater<CreateBeing> for Registry {
    async fn handle_later(
        &mut self,
        asked: CreateBeing,
        promise: Promise<CreateBeing>,
        context: &mut Context,
    ) {
        let shared = self.shared.clone();
        let Ok(place) = shared.errands.clone().try_acquire_owned() else {
            return promise.refuse(busy());
        };
        context.spawn(async move {
            promise.settle(shared.create(asked).await);
            drop(place);
        });
    }
}

impl Handle<ListBeings> for Registry {
    async fn handle(&mut self, asked: ListBeings, _: &mut Context) -> Result<Beings, NoBeing> {
        let limit = asked.limit.unwrap_or(LIST.0).clamp(1, LIST.1) as usize;
        let (entries, more) =
            self.shared.book.page(asked.after, limit, asked.matching).map_err(failed)?;
        let beings = entries.into_iter().map(|entry| self.shared.shown(entry)).collect();
        let total = self.shared.book.len().map_err(failed)?;
        Ok(Beings { beings, more, total })
    }
}

impl Handle<GetBeing> for Registry {
    async fn handle(
        &mut self,
        GetBeing { id }: GetBeing,
        _: &mut Context,
    ) -> Result<BeingEntry, NoBeing> {
        let entry = self.shared.find(&id)?;
        Ok(self.shared.shown(entry))
    }
}

impl Handle<RouteBeing> for Registry {
    async fn handle(
        &mut self,
        RouteBeing { id }: RouteBeing,
        _: &mut Context,
    ) -> Result<Address, NoBeing> {
        self.shared.find(&id).map(|entry| self.shared.home.address(&entry.id))
    }
}

impl HandleLater<ImportBeing> for Registry {
    async fn handle_later(
        &mut self,
        asked: ImportBeing,
        promise: Promise<ImportBeing>,
        context: &mut Context,
    ) {
        let shared = self.shared.clone();
        let Ok(place) = shared.errands.clone().try_acquire_owned() else {
            return promise.refuse(busy());
        };
        context.spawn(async move {
            promise.settle(shared.import(asked).await);
            drop(place);
        });
    }
}

impl HandleLater<ExportBeing> for Registry {
    async fn handle_later(
        &mut self,
        asked: ExportBeing,
        promise: Promise<ExportBeing>,
        context: &mut Context,
    ) {
        let shared = self.shared.clone();
        let Ok(place) = shared.errands.clone().try_acquire_owned() else {
            return promise.refuse(busy());
        };
        context.spawn(async move {
            promise.settle(shared.export(asked).await);
            drop(place);
        });
    }
}

impl HandleLater<DeleteBeing> for Registry {
    async fn handle_later(
        &mut self,
        asked: DeleteBeing,
        promise: Promise<DeleteBeing>,
        context: &mut Context,
    ) {
        let shared = self.shared.clone();
        let Ok(place) = shared.errands.clone().try_acquire_owned() else {
            return promise.refuse(busy());
        };
        context.spawn(async move {
            promise.settle(shared.delete(asked.id).await);
            drop(place);
        });
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
    async fn create(&self, asked: CreateBeing) -> Result<BeingEntry, NoBeing> {
        let text = asked.character.to_string();
        let read = Character::try_from(&asked.character)
            .or_else(|_| Character::read(text.as_bytes()).map(|import| import.character));
        let character = read.map_err(senseless)?;
        let provider = asked.provider.unwrap_or_default();
        check_provider(&provider)?;
        let (name, created) = (character.name.clone(), Timestamp::now());
        let birth = Birth { created, character: character.to_json(), provider };
        let (id, _taken) = self.reserve(asked.id, &name)?;
        self.begin(&id, name, created).await?;
        let made = self.home.make(&id, &birth).await.map_err(failed);
        self.finish(id, made).await
    }

    async fn import(&self, asked: ImportBeing) -> Result<BeingEntry, NoBeing> {
        let file = PathBuf::from(&asked.file);
        if !file.is_absolute() {
            return Err(NoBeing::Senseless { why: format!("{} is no absolute path", asked.file) });
        }
        let found = self.home.look_into(file.clone()).await.map_err(senseless)?;
        let wanted = asked.id.unwrap_or(found.id);
        let (id, _taken) = self.reserve(Some(wanted), &found.name)?;
        self.begin(&id, found.name, found.created).await?;
        let made = self.home.take_in(&id, file).await.map_err(failed);
        self.finish(id, made).await
    }

    /// Notes that a being is about to be.
    async fn begin(&self, id: &Name, name: String, created: Timestamp) -> Result<(), NoBeing> {
        if self.book.len().map_err(failed)? >= BEINGS_MAX {
            let why = format!("there are {BEINGS_MAX} beings already, and no more can be");
            return Err(NoBeing::Failed { why });
        }
        let node = self.node.name().clone();
        let entry = Entry { id: id.clone(), name, node, created, stage: Stage::Coming };
        self.book.put(entry).await.map_err(failed)
    }

    /// Waits until a new being is well, or takes it back.
    async fn finish(&self, id: Name, made: Result<(), NoBeing>) -> Result<BeingEntry, NoBeing> {
        let lives = match made {
            Ok(()) => self.is_well(&id).await,
            Err(why) => Err(why),
        };
        if let Err(why) = lives {
            self.home.remove(&id).await.map_err(failed)?;
            self.book.strike(&id).await.map_err(failed)?;
            return Err(why);
        }
        let entry = Entry {
            stage: Stage::Living,
            ..self.book.get(&id).map_err(failed)?.ok_or_else(|| self.not_found(&id))?
        };
        self.book.put(entry.clone()).await.map_err(failed)?;
        Ok(self.shown(entry))
    }

    async fn is_well(&self, id: &Name) -> Result<(), NoBeing> {
        let being = self.node.to(self.home.address(id));
        match being.ask_within(AskHealth {}, BIRTH_PATIENCE).await {
            Ok(_) => Ok(()),
            Err(error) => Err(NoBeing::Failed { why: format!("it cannot live: {error}") }),
        }
    }

    async fn export(&self, asked: ExportBeing) -> Result<Exported, NoBeing> {
        let ExportBeing { id, file } = asked;
        self.find(&id)?;
        let being = self.node.to(self.home.address(&id));
        let exported = being.ask_within(Export { file }, EXPORT_PATIENCE).await;
        exported.map_err(|error| match error {
            AskError::Refused(refused) => NoBeing::Failed { why: refused.why },
            error => NoBeing::Failed { why: error.to_string() },
        })
    }

    async fn delete(&self, id: Name) -> Result<BeingEntry, NoBeing> {
        let entry = self.find(&id)?;
        let _taken = self.take(&id)?;
        let shown = self.shown(entry.clone());
        self.book.put(Entry { stage: Stage::Going, ..entry }).await.map_err(failed)?;
        self.home.remove(&id).await.map_err(failed)?;
        self.book.strike(&id).await.map_err(failed)?;
        tracing::info!(being = id.as_str(), "was deleted, with all that it remembered");
        Ok(shown)
    }

    fn find(&self, id: &Name) -> Result<Entry, NoBeing> {
        let entry = self.book.get(id).map_err(failed)?;
        entry.filter(|entry| entry.stage == Stage::Living).ok_or_else(|| self.not_found(id))
    }

    fn not_found(&self, id: &Name) -> NoBeing {
        let known = self.book.page(None, NEAREST_MAX, None).map(|(entries, _)| entries);
        let known = known.unwrap_or_default();
        let ids = known.iter().map(|entry| entry.id.as_str());
        let nearest = genii_runtime::nearest(id.as_str(), ids);
        let nearest = nearest.and_then(|nearest| Name::new(nearest).ok());
        NoBeing::NotFound { id: id.clone(), nearest }
    }

    fn shown(&self, entry: Entry) -> BeingEntry {
        let Entry { id, name, node, created, .. } = entry;
        let address = self.home.address(&id);
        let (state, why) = self.home.state(&address);
        BeingEntry { id, address, name, state, node, created, why }
    }

    /// Takes an id that no being has: the one that is wanted, or one made of a name.
    fn reserve(&self, wanted: Option<Name>, name: &str) -> Result<(Name, Taken<'_>), NoBeing> {
        // Looked at when it is taken: before that another may have been made of it.
        // A folder that the book does not have may be all that is left of a being: it is nobody's to
        // take, or to take away.
        let is_free = |id: &Name| {
            Ok(self.book.get(id).map_err(failed)?.is_none() && !self.home.has_folder(id))
        };
        if let Some(id) = wanted {
            let taken = self.take(&id)?;
            return if is_free(&id)? { Ok((id, taken)) } else { Err(NoBeing::Taken { id }) };
        }
        let stem = kebab(name);
        for number in 1..=ID_TRIES {
            let text = if number == 1 { stem.clone() } else { format!("{stem}-{number}") };
            let id = Name::new(&text).map_err(senseless)?;
            if let Ok(taken) = self.take(&id)
                && is_free(&id)?
            {
                return Ok((id, taken));
            }
        }
        let why = format!("{ID_TRIES} beings are called {stem} already; name an id");
        Err(NoBeing::Senseless { why })
    }

    /// Keeps others from doing something with a being at the same time.
    fn take(&self, id: &Name) -> Result<Taken<'_>, NoBeing> {
        match self.taken.lock().insert(id.clone()) {
            true => Ok(Taken { of: &self.taken, id: id.clone() }),
            false => {
                let why = format!("something else is being done with {} just now", id.as_str());
                Err(NoBeing::Failed { why })
            }
        }
    }
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

/// Whether there can be such a provider.
fn check_provider(settings: &Json) -> Result<(), NoBeing> {
    if settings.0.is_null() {
        return Ok(());
    }
    let read = serde_json::from_value::<ProviderSettings>(settings.0.clone());
    let settings = read.map_err(|error| NoBeing::Senseless {
        why: format!("the settings of its provider make no sense: {error}"),
    })?;
    provider::make(&settings, &ProviderShare::new(), 0).map(drop).map_err(senseless)
}

/// A name as an id: small letters and digits, with hyphens between words.
fn kebab(name: &str) -> String {
    const WORDS_BYTES_MAX: usize = 48;
    let words = genii_storage::text::folded_words(name);
    let ascii = words.map(|word| word.replace(|c: char| !c.is_ascii_alphanumeric(), ""));
    let mut id = String::new();
    for word in ascii.filter(|word| !word.is_empty()) {
        if id.len() + word.len() > WORDS_BYTES_MAX {
            break;
        }
        if !id.is_empty() {
            id.push('-');
        }
        id.push_str(&word);
    }
    if id.is_empty() { "being".to_owned() } else { id }
}

fn busy() -> NoBeing {
    NoBeing::Failed { why: format!("{ERRANDS_MAX} things are being done already; try again") }
}

fn failed(error: impl std::fmt::Display) -> NoBeing {
    NoBeing::Failed { why: error.to_string() }
}

fn senseless(error: impl std::fmt::Display) -> NoBeing {
    NoBeing::Senseless { why: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_made_of_any_name() {
        let check = |name: &str, id: &str| {
            assert_eq!(kebab(name), id);
            Name::new(id).unwrap();
        };
        check("Alice", "alice");
        check("Dr. Émile O'Hara", "dr-emile-ohara");
        check("  ", "being");
        check("龍", "being");
        check(&"x".repeat(500), &"x".repeat(48));
        check("../../etc/passwd", "etc-passwd");
    }
}
