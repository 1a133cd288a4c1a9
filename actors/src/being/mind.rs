//! What a being has at hand while it is awake.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use genii_protocols::being::{BeingInfo, CoreBlock, NotChanged};
use genii_protocols::budget::Budget;
use genii_protocols::{Json, Name, Timestamp};
use genii_runtime::Node;
use genii_storage::embed::Embedder;
use genii_storage::memories::{Memories, MemoriesError, MemoriesSettings};
use genii_storage::store::{OpenError, Reader, Store, StoreError, StoreOptions};
use genii_supervision::StartError;
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::beings::home::folders::{LEAVING, STORE};

use super::birth::Birth;
use super::character::Character;
use super::consolidating::{self, Consolidating};
use super::embedding::Chosen;
use super::forgetting::Owed;
use super::interruption::STOPPED;
use super::keeping::Keeping;
use super::lorebook::PreparedLorebook;
use super::provider::{self, Provider, ProviderKind, ProviderSettings};
use super::shared::Shared;
use super::tables::{ABOUT, About, BUDGET, Block, CORE, SCHEMA, StoredTurn, TURNS};

/// How many of the newest turns are at hand for a prompt.
pub(super) const RECENT_MAX: usize = 40;

/// How many blocks core memory has at most.
pub(super) const CORE_BLOCKS_MAX: usize = 16;

/// How long the title of a block may be, in bytes.
pub(super) const CORE_TITLE_BYTES_MAX: usize = 100;

/// How long a block may be, in bytes.
pub(super) const CORE_TEXT_BYTES_MAX: usize = 8_192;

/// How long a store is waited for that somebody else holds, and how often it is tried.
const LOCKED_PATIENCE: Duration = Duration::from_secs(1);
const LOCKED_LOOK: Duration = Duration::from_millis(20);

/// Its index of memories, in its folder. Deleting it loses nothing.
pub(super) const INDEX_FOLDER: &str = "vectors";

pub(super) struct Mind {
    pub(super) id: Name,
    pub(super) store: Store,
    pub(super) memories: Memories,
    /// By what its memories are found.
    pub(super) embedder: Arc<dyn Embedder>,
    pub(super) about: RwLock<About>,
    pub(super) who: RwLock<Arc<Who>>,
    /// The newest turns, the oldest first.
    pub(super) recent: Mutex<VecDeque<StoredTurn>>,
    /// How many of the newest turns found room in the last prompt.
    pub(super) turns_that_fit: AtomicUsize,
    /// Held from what is said to its answer: there is one conversation, and it goes turn by turn. When the
    /// last one ended.
    pub(super) turn: Arc<tokio::sync::Mutex<Option<Instant>>>,
    /// When that was said which is being answered, if it is on the disk before its answer.
    pub(super) answering: Mutex<Option<Timestamp>>,
    /// Whether the last turn that was to be written was not.
    pub(super) has_missed_a_turn: AtomicBool,
    /// Why it is about to close, if it is: whose turn comes then begins nothing.
    closing: OnceLock<Arc<str>>,
    /// Whether the turn that is under way is to end before its answer is whole.
    interrupted: watch::Sender<bool>,
    /// Whether something was removed whose bytes may still lie in the file.
    pub(super) owed: Owed,
    /// Held while that is seen to: who comes meanwhile finds it done, or does it for all that came.
    pub(super) finishing: tokio::sync::Mutex<()>,
    /// Whether a task of the being's waits to see to it.
    pub(super) is_finish_awaited: AtomicBool,
    /// Held while something is looked for that is to be forgotten, until it is removed, and while it is
    /// written down what another being was asked or answered: neither misses the other.
    pub(super) saying: tokio::sync::Mutex<()>,
    /// What it is to remember, as long as that is being kept.
    pub(super) keeping: Keeping,
    /// How conversations are consolidated.
    pub(super) consolidating: Consolidating,
    shared: Arc<Shared>,
}

/// Who a being is, ready to be asked.
pub(super) struct Who {
    pub(super) character: Character,
    pub(super) lorebook: Option<PreparedLorebook>,
    pub(super) core: Vec<CoreBlock>,
    pub(super) provider: Arc<dyn Provider>,
    pub(super) provider_settings: ProviderSettings,
    /// How many blocks of core memory were not in its last prompt as a whole. None are known of before the
    /// first one that is made by what is set now.
    pub(super) core_not_whole: AtomicUsize,
}

impl Who {
    /// Whether its words are found without a model.
    pub(super) fn is_offline(&self) -> bool {
        self.provider_settings.kind == ProviderKind::Offline
    }

    /// That core memory does not fit into its prompts, if it does not. The titles of blocks are its own: what
    /// is said of its health stands in the journal.
    pub(super) fn core_note(&self) -> Option<String> {
        let (not_whole, all) = (self.core_not_whole.load(Ordering::Relaxed), self.core.len());
        (not_whole > 0).then(|| {
            format!(
                "{not_whole} of {all} blocks of its core memory had no room, or not as a whole, in its last \
                 prompt; say them in fewer words, or raise `prompt_tokens_max` in the settings of its provider"
            )
        })
    }
}

/// What is read when it wakes.
struct Kept {
    about: About,
    core: Vec<CoreBlock>,
    recent: VecDeque<StoredTurn>,
}

impl Mind {
    /// Opens what lies in the folder of a being.
    pub(super) async fn open(id: Name, folder: PathBuf, node: &Node) -> Result<Self, StartError> {
        let shared = Shared::of(node);
        let (store, kept) = {
            let (id, folder) = (id.clone(), folder.clone());
            let opening = tokio::task::spawn_blocking(move || open_store(id, &folder));
            opening.await.map_err(|error| StartError::failed(error.to_string()))??
        };
        let who = Who::new(&id, &kept.about, kept.core, None, &shared);
        let who = who.map_err(StartError::refused)?;
        let Chosen { embedder, weights, .. } = shared.embedder();
        let memories = Memories::open(
            store.clone(),
            folder.join(INDEX_FOLDER),
            embedder.clone(),
            weights,
            shared.index.clone(),
            MemoriesSettings::default(),
        );
        let consolidating = Consolidating::of(&store);
        Ok(Self {
            id,
            memories: memories.await.map_err(|error| StartError::failed(with_causes(&error)))?,
            embedder,
            store,
            about: RwLock::new(kept.about),
            who: RwLock::new(Arc::new(who)),
            recent: Mutex::new(kept.recent),
            turns_that_fit: AtomicUsize::new(usize::MAX),
            turn: Arc::default(),
            answering: Mutex::default(),
            has_missed_a_turn: AtomicBool::default(),
            closing: OnceLock::new(),
            interrupted: watch::Sender::default(),
            owed: Owed::default(),
            finishing: tokio::sync::Mutex::default(),
            is_finish_awaited: AtomicBool::default(),
            saying: tokio::sync::Mutex::default(),
            keeping: Keeping::default(),
            consolidating,
            shared,
        })
    }

    /// Who it is now.
    pub(super) fn who(&self) -> Arc<Who> {
        self.who.read().clone()
    }

    /// Why it is about to close, if it is: nothing more is to be begun.
    pub(super) fn closing(&self) -> Option<Arc<str>> {
        self.closing.get().cloned()
    }

    /// Waits until the turn that is under way is to end before its answer is whole, and returns why.
    pub(super) async fn interrupted(&self) -> Arc<str> {
        let mut interrupted = self.interrupted.subscribe();
        // The sender is here as long as this is.
        drop(interrupted.wait_for(|is_so| *is_so).await);
        self.closing().unwrap_or_else(|| STOPPED.into())
    }

    /// [Closes](Mind::close), for this reason. The turn that is under way is interrupted if its answer is not
    /// whole within so long: what of it there is by then is kept.
    pub(super) async fn end(&self, why: &str, patience: Duration) {
        self.closing.get_or_init(|| why.into());
        if timeout(patience, self.turn.lock()).await.is_err() {
            self.interrupted.send_replace(true);
        }
        self.close().await;
    }

    /// Lets go of its folder, when the turn that is under way has ended and is kept, and what it was to
    /// remember. Those who wait for their turn have none any more.
    pub(super) async fn close(&self) {
        self.closing.get_or_init(|| STOPPED.into());
        let _last_turn = self.turn.lock().await;
        self.keeping.is_done().await;
        self.memories.close().await;
        if let Err(error) = self.store.close().await {
            tracing::warn!(being = self.id.as_str(), "its store was not closed in order: {error}");
        }
    }

    /// Who it is, and what it has.
    pub(super) fn info(&self) -> Result<BeingInfo, MemoriesError> {
        let (who, about) = (self.who(), self.about.read().clone());
        let (turns, budget) = self.store.read(|reader| {
            Ok::<_, StoreError>((reader.len(TURNS)?, reader.get(BUDGET, &())?.unwrap_or_default()))
        })?;
        Ok(BeingInfo {
            id: self.id.clone(),
            name: who.character.name.clone(),
            character: about.character,
            core: who.core.clone(),
            provider: who.provider.label(),
            turns,
            memories: self.memories.count()?,
            budget: budget.at(Timestamp::now()),
            created: about.created,
            store_bytes: self.store.size_bytes()?,
        })
    }

    // What may be changed.

    /// Becomes another in some ways.
    pub(super) async fn change_character(&self, changes: &Json) -> Result<(), NotChanged> {
        let character = self.who().character.with(changes).map_err(not_changed)?;
        let about = About { character: character.to_json(), ..self.about.read().clone() };
        self.change(about, None).await
    }

    /// Is answered for by another provider.
    pub(super) async fn change_provider(&self, settings: Json) -> Result<(), NotChanged> {
        let about = About { provider: settings, ..self.about.read().clone() };
        self.change(about, None).await
    }

    /// Keeps something in mind, or no longer.
    pub(super) async fn set_core(
        &self,
        title: String,
        text: Option<String>,
    ) -> Result<(), NotChanged> {
        let (title, mut core) = (title.trim().to_owned(), self.who().core.clone());
        if title.is_empty() || title.len() > CORE_TITLE_BYTES_MAX || title.contains('\n') {
            let why = format!("a title is one line of 1 to {CORE_TITLE_BYTES_MAX} bytes");
            return Err(NotChanged { why });
        }
        let text = text.filter(|text| !text.trim().is_empty());
        if text.as_ref().is_some_and(|text| text.len() > CORE_TEXT_BYTES_MAX) {
            let why =
                format!("a block has {CORE_TEXT_BYTES_MAX} bytes at most; say it in fewer words");
            return Err(NotChanged { why });
        }
        let at = core.iter().position(|block| block.title == title);
        match (at, text) {
            (Some(at), Some(text)) => core[at].text = text,
            (Some(at), None) => drop(core.remove(at)),
            (None, Some(text)) => core.push(CoreBlock { title, text }),
            (None, None) => {
                let titles: Vec<&str> = core.iter().map(|block| block.title.as_str()).collect();
                let there = if titles.is_empty() { "none".to_owned() } else { titles.join(", ") };
                let why = format!("there is no block {title:?}; there are: {there}");
                return Err(NotChanged { why });
            }
        }
        if core.len() > CORE_BLOCKS_MAX {
            let why = format!("there are {CORE_BLOCKS_MAX} blocks at most; take one away before");
            return Err(NotChanged { why });
        }
        let about = self.about.read().clone();
        self.change(about, Some(core)).await
    }

    /// May spend so much from now on.
    pub(super) async fn set_budget(
        &self,
        limits: genii_protocols::budget::BudgetLimits,
    ) -> Result<Budget, NotChanged> {
        let changed = self.store.write(move |writer| {
            let budget = Budget { limits, ..writer.get(BUDGET, &())?.unwrap_or_default() };
            writer.insert(BUDGET, &(), &budget)?;
            Ok::<_, StoreError>(budget)
        });
        changed.await.map_err(not_changed)
    }

    async fn change(&self, about: About, core: Option<Vec<CoreBlock>>) -> Result<(), NotChanged> {
        let before = self.who();
        let kept = core.clone().unwrap_or_else(|| before.core.clone());
        let who = Who::new(&self.id, &about, kept, Some(&*before), &self.shared);
        let who = who.map_err(|why| NotChanged { why })?;
        let (written, owed) = (about.clone(), self.owed.clone());
        // What stood there before is to be gone as what is forgotten is.
        let goes = core.is_some() || about.character != self.about.read().character;
        let written = self.store.write(move |writer| {
            if goes {
                owed.owe(writer)?;
            }
            writer.insert(ABOUT, &(), &written)?;
            if let Some(core) = &core {
                writer.remove_range(CORE, ..)?;
                for (at, CoreBlock { title, text }) in core.iter().enumerate() {
                    let block = Block { title: title.clone(), text: text.clone() };
                    writer.insert(CORE, &(at as u64), &block)?;
                }
            }
            Ok::<_, StoreError>(())
        });
        written.await.map_err(not_changed)?;
        *self.about.write() = about;
        *self.who.write() = Arc::new(who);
        Ok(())
    }
}

impl Who {
    /// Who it is from now on; `before` is who it was, if it was awake.
    fn new(
        id: &Name,
        about: &About,
        core: Vec<CoreBlock>,
        before: Option<&Self>,
        shared: &Shared,
    ) -> Result<Self, String> {
        let character = Character::try_from(&about.character)
            .map_err(|error| format!("its character cannot be read: {error}"))?;
        let provider_settings: ProviderSettings = match &about.provider.0 {
            serde_json::Value::Null => ProviderSettings::default(),
            settings => serde_json::from_value(settings.clone())
                .map_err(|error| format!("the settings of its provider cannot be read: {error}"))?,
        };
        let provider = match before.filter(|it| it.provider_settings == provider_settings) {
            // It knows what is used up of the limits of a minute, and what is under way.
            Some(before) => before.provider.clone(),
            None => provider::make(&provider_settings, &shared.providers, seed(id))
                .map_err(|error| error.to_string())?,
        };
        let lorebook = character.lorebook.as_ref().map(PreparedLorebook::new);
        let core_not_whole = AtomicUsize::new(0);
        Ok(Self { character, lorebook, core, provider, provider_settings, core_not_whole })
    }
}

/// The same for each life of a being, and another for each being.
fn seed(id: &Name) -> u64 {
    let bytes = id.as_str().bytes();
    bytes.fold(7, |seed: u64, byte| seed.wrapping_mul(0x0100_0000_01b3).wrapping_add(byte.into()))
}

/// Opens the store; that of a being which is new is made.
fn open_store(id: Name, folder: &Path) -> Result<(Store, Kept), StartError> {
    let path = folder.join(STORE);
    if folder.join(LEAVING).exists() {
        // Where it lives now, the registry knows.
        return Err(StartError::failed("it is about to move to another machine, or has moved"));
    }
    let birth = Birth::read(folder)
        .map_err(|error| StartError::refused(format!("who it is to be cannot be read: {error}")))?;
    if birth.is_none() && !path.exists() {
        let why = format!(
            "there is no being in {}; delete it, and import it from a backup",
            folder.display()
        );
        return Err(StartError::refused(why));
    }
    let store = open_when_free(&path).map_err(of_open)?;
    if let Err(error) = consolidating::count_left(&store) {
        // It is counted before the next is asked.
        tracing::warn!(being = id.as_str(), "what it spent is not counted yet: {error}");
    }
    if let Some(Birth { created, character, provider }) = birth {
        let about = About { id, created, character, provider };
        let born = store.write_blocking(move |writer| {
            if !writer.contains(ABOUT, &())? {
                writer.insert(ABOUT, &(), &about)?;
            }
            Ok::<_, StoreError>(())
        });
        born.map_err(|error| StartError::failed(error.to_string()))?;
        Birth::remove(folder).map_err(|error| StartError::failed(error.to_string()))?;
    }
    let kept = store.read(read).map_err(|error| StartError::refused(error.to_string()))?;
    let kept = kept.ok_or_else(|| StartError::refused("its store does not say who it is"))?;
    Ok((store, kept))
}

/// Opens the store when what the last life had begun lets go of it, if it failed in its midst.
fn open_when_free(path: &Path) -> Result<Store, OpenError> {
    let began = std::time::Instant::now();
    loop {
        match Store::open(path, &SCHEMA, &StoreOptions::default()) {
            Err(OpenError::Locked { .. }) if began.elapsed() < LOCKED_PATIENCE => {
                std::thread::sleep(LOCKED_LOOK);
            }
            opened => return opened,
        }
    }
}

fn read(reader: &Reader) -> Result<Option<Kept>, StoreError> {
    let Some(about) = reader.get(ABOUT, &())? else { return Ok(None) };
    let blocks = reader.range(CORE, ..).map(|block| {
        let (_, Block { title, text }) = block?;
        Ok(CoreBlock { title, text })
    });
    let core = blocks.collect::<Result<Vec<_>, StoreError>>()?;
    Ok(Some(Kept { about, core, recent: newest_turns(reader)? }))
}

/// The turns that are at hand for a prompt, the oldest first.
pub(super) fn newest_turns(reader: &Reader) -> Result<VecDeque<StoredTurn>, StoreError> {
    let mut newest = VecDeque::new();
    for turn in reader.range(TURNS, ..).rev().take(RECENT_MAX) {
        newest.push_front(turn?.1);
    }
    Ok(newest)
}

/// What cannot get better by itself is not tried again.
fn of_open(error: OpenError) -> StartError {
    match error {
        OpenError::Locked { .. } | OpenError::Full { .. } | OpenError::Io { .. } => {
            StartError::failed(with_causes(&error))
        }
        error => StartError::refused(with_causes(&error)),
    }
}

fn not_changed(error: impl std::fmt::Display) -> NotChanged {
    NotChanged { why: error.to_string() }
}

/// What an error of the store says where others may read it. What is damaged, or cannot be kept, it names by
/// its key, and that may be a word that was said.
pub(super) fn without_words(error: &StoreError) -> String {
    let damaged = || "its store is damaged; `being check` tells what of it can be saved".to_owned();
    match error {
        StoreError::Damaged { .. } => damaged(),
        StoreError::Unopened(why) if matches!(**why, OpenError::Damaged { .. }) => damaged(),
        StoreError::Unfit { table, source, .. } => {
            format!("a value cannot be kept in table {table:?}: {source}")
        }
        error => with_causes(error),
    }
}

/// The same of memories.
pub(super) fn memories_without_words(error: &MemoriesError) -> String {
    match error {
        MemoriesError::Store(error) => without_words(error),
        error => with_causes(error),
    }
}

/// What an error and everything beneath it says.
pub(super) fn with_causes(error: &dyn std::error::Error) -> String {
    let chain = std::iter::successors(Some(error), |error| error.source());
    let mut words: Vec<String> = chain.map(ToString::to_string).collect();
    // Some repeat what is beneath them.
    words.dedup_by(|beneath, above| above.contains(beneath.as_str()));
    words.join(": ")
}

#[cfg(test)]
impl Mind {
    /// That of a being called Marit, who has no more than a name, and the node on which she is alone.
    pub(super) async fn of_marit(folder: &Path) -> (Self, Node) {
        use genii_protocols::{NodeName, Timestamp};
        use genii_runtime::NodeOptions;

        let birth = Birth {
            created: Timestamp::now(),
            character: Json(serde_json::json!({ "name": "Marit" })),
            provider: Json(serde_json::Value::Null),
        };
        birth.write(folder).unwrap();
        let node = Node::new(NodeOptions::new(NodeName::new("main").unwrap()));
        let id = Name::new("marit").unwrap();
        (Self::open(id, folder.to_owned(), &node).await.unwrap(), node)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::poll_immediate;

    use super::super::conversation::{self, Place, Saying};
    use super::super::listener::Listener;
    use super::*;

    #[tokio::test]
    async fn who_waits_for_their_turn_is_not_waited_for_when_it_closes() {
        let folder = tempfile::tempdir().unwrap();
        let mind = Arc::new(Mind::of_marit(folder.path()).await.0);
        let under_way = Place::take(&mind).await.turn().await;
        let place = Place::take(&mind).await;
        let saying = Saying { said: "Is it windy?".to_owned(), speaker: None };
        let answering = conversation::answer(mind.clone(), place, saying, Listener::Nobody);
        let waiting = tokio::spawn(answering);
        let mut closing = Box::pin(mind.close());
        assert!(poll_immediate(&mut closing).await.is_none(), "a turn is under way");
        drop(under_way);
        closing.await;
        assert!(!waiting.is_finished(), "its end is that of the life");
        assert!(mind.recent.lock().is_empty(), "it was answered");
    }

    #[tokio::test]
    async fn what_is_being_kept_is_waited_for_when_it_closes() {
        let folder = tempfile::tempdir().unwrap();
        let mind = Mind::of_marit(folder.path()).await.0;
        let place = mind.keeping.place().await;
        let mut closing = Box::pin(mind.close());
        assert!(poll_immediate(&mut closing).await.is_none(), "something is being kept");
        drop(place);
        closing.await;
    }

    #[tokio::test]
    async fn a_turn_is_interrupted_when_its_time_is_over_and_not_before() {
        const GRACE: Duration = Duration::from_millis(50);
        let folder = tempfile::tempdir().unwrap();
        let mind = Arc::new(Mind::of_marit(folder.path()).await.0);
        let under_way = Place::take(&mind).await.turn().await;
        let began = Instant::now();
        let waiting = {
            let mind = mind.clone();
            tokio::spawn(async move {
                let why = mind.interrupted().await;
                drop(under_way);
                (why, began.elapsed())
            })
        };
        mind.end("it moves", GRACE).await;
        let (why, after) = waiting.await.unwrap();
        assert_eq!(&*why, "it moves");
        assert!(after >= GRACE, "{after:?}");
    }

    #[test]
    fn damage_is_told_without_the_words_that_were_met() {
        let (path, why) = (PathBuf::from("being.redb"), "it ends too early".to_owned());
        let met = || StoreError::Damaged {
            path: path.clone(),
            place: "entry \"xylophone\" of table \"facts\"".to_owned(),
            why: why.clone(),
        };
        let reopened = StoreError::Unopened(Arc::new(OpenError::from(met())));
        let store_errors = [met(), reopened];
        for error in store_errors {
            let of_memories = MemoriesError::Store(error.clone());
            for told in [without_words(&error), memories_without_words(&of_memories)] {
                assert!(told.contains("damaged") && !told.contains("xylophone"), "{told}");
            }
        }
        let closed = StoreError::Closed { path };
        assert_eq!(without_words(&closed), closed.to_string(), "others say what they say");
    }
}
