//! `being/ID`: an isolated mind, with a memory, a character and a provider of its own.
//!
//! A being sleeps while nobody speaks to it, and all it has lies in its folder: one store, and an index
//! of its memories that can be made anew from it. Nothing of that is shared with another being.
//!
//! | module | what it holds |
//! |---|---|
//! | [`birth`] | how a being comes to be |
//! | [`character`], [`lorebook`] | who it is, and what it knows |
//! | `mind` | what it has at hand while it is awake |
//! | `conversation`, `listener` | one turn: recall, prompt, answer, keep |
//! | [`prompt`] | the prompt, within a budget of tokens |
//! | [`provider`] | who finds its words |
//! | `asked` | what somebody asks for, for who understands nothing |
//! | `facts`, `consolidating` | what is made of what was said |
//! | `keeping` | what it is to remember |
//! | `forgetting`, `recollection` | what becomes of it |
//! | `places` | how many may ask for what takes a while |
//! | `reminding` | what it is to be reminded of, also when it sleeps |
//! | `saying` | what it says to other beings |
//! | `exporting` | all of it in one file |
//! | `salvaging` | what is left of one whose store is damaged |
//! | [`process`] | a being in an operating-system process of its own |
//! | [`relay`] | who passes on what is said to a being that lives elsewhere |
//! | [`embedding`] | by which embedder its memories are found |
//! | `shared` | what the beings of a node have in common |

mod asked;
pub mod birth;
pub mod character;
mod consolidating;
mod conversation;
pub mod embedding;
mod exporting;
mod facts;
mod forgetting;
pub mod imported;
pub(crate) mod interruption;
mod keeping;
mod listener;
pub mod lorebook;
mod mind;
mod places;
pub mod process;
pub mod prompt;
pub mod provider;
mod recollection;
pub mod relay;
mod reminding;
pub(crate) mod salvaging;
mod saying;
mod shared;
mod tables;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use genii_protocols::being::{
    AskHealth, BeingHealth, BeingInfo, CancelReminder, Converse, Export, Forget, HeedReminders,
    History, ListReminders, NotAnswered, NotChanged, NotKept, NotSaid, ProviderInfo, Query,
    RecallMemories, Recollections, Remember, Remind, Reminders, Say, SetBudget, SetCore,
    SetProvider, ShowBeing, ShowHistory, ShowProvider, Turn, UpdateCharacter, WouldForget,
};
use genii_protocols::beings::BeingRenamed;
use genii_protocols::budget::Budget;
use genii_protocols::{Address, Json, Name, Never, Timestamp, message};
use genii_runtime::{
    Agent, Context, Handle, HandleLater, HandleStream, Health, Outlet, Promise, Protocol,
};
use genii_storage::memories::{Recall, RecallFilter};
use genii_storage::store::StoreError;
use genii_supervision::StartError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use character::limits::NAME_CHARS_MAX;
use conversation::Saying;
use interruption::STOPPED;
use listener::Listener;
use mind::{Mind, memories_without_words, with_causes};
use places::{Places, TalkPlaces};
use provider::ProviderSettings;
use reminding::HomeLine;
use tables::{StoredTurn, TURNS};

/// How many may talk with a being at the same time; they are answered one after the other.
const TALKS_MAX: u32 = 16;

/// How much more may wait that it is told and that nobody waits for: it would be lost otherwise.
const TOLD_MAX: u32 = 200;

/// How many may ask it at a time what it remembers, while it does other things.
const RECALLS_MAX: usize = 16;

/// How many more may wait to ask that.
const RECALLS_WAITING_MAX: usize = 200;

/// How much else a being does at a time that takes a while: forgetting, exporting, speaking to others.
const ERRANDS_MAX: usize = 32;

/// How long a text may be that is remembered, in bytes.
const TEXT_BYTES_MAX: usize = 64 << 10;

/// How long the name of a speaker may be, in characters: as that of a being.
const SPEAKER_CHARS_MAX: u32 = NAME_CHARS_MAX as u32;

/// How many memories are recalled unless the question says otherwise, and at most.
const RECALL: (u32, u32) = (10, 100);

/// How many turns of a conversation are shown unless the question says otherwise, and at most.
const HISTORY: (u32, u32) = (20, 200);

/// How long an answer may go on when the being is asked to stop, unless it has had time before: less than whoever
/// asks it waits, so that it ends in good order.
const ANSWER_GRACE: Duration = Duration::from_secs(5);

/// How long to wait, when nothing else is to be done, before the index is looked after.
const TEND_AFTER: Duration = Duration::from_secs(5);

/// The agent.
pub struct Being {
    mind: Arc<Mind>,
    /// Places for those who talk with it.
    talks: TalkPlaces,
    /// Places for who asks what it remembers.
    recalls: Places,
    /// Places for what else takes a while.
    errands: Arc<Semaphore>,
    /// Where it is known when it is due.
    home: Arc<HomeLine>,
}

/// What may be set. A being that is made by the registry is set by it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BeingSettings {
    /// Its folder.
    pub folder: PathBuf,
}

/// Look after the index. From the being to itself.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct TendIndex {}
message!(TendIndex = "being.tend_index" -> ());

impl Agent for Being {
    type Settings = BeingSettings;

    fn protocol() -> Protocol<Self> {
        Protocol::new()
            .on_later::<Query>()
            .on_stream::<Converse>()
            .on::<ShowBeing>()
            .on::<AskHealth>()
            .on::<UpdateCharacter>()
            .on::<SetCore>()
            .on::<SetProvider>()
            .on::<ShowProvider>()
            .on::<SetBudget>()
            .on::<ShowHistory>()
            .on_later::<Remember>()
            .on_later::<RecallMemories>()
            .on_later::<Forget>()
            .on_later::<WouldForget>()
            .on_later::<Export>()
            .on_later::<Say>()
            .on_later::<Remind>()
            .on::<ListReminders>()
            .on_later::<CancelReminder>()
            .on_later::<HeedReminders>()
            .on::<TendIndex>()
    }

    async fn start(settings: BeingSettings, context: &mut Context) -> Result<Self, StartError> {
        let id = Name::new(context.address().name());
        let id = id.map_err(|error| StartError::refused(error.to_string()))?;
        let mind = Mind::open(id, settings.folder, context.node()).await?;
        mind.consolidating.is_done_by(context.worker());
        tell_name(&mind, context);
        context.send_after(TEND_AFTER, TendIndex {});
        let talks = TalkPlaces::new(TALKS_MAX as usize, TOLD_MAX as usize);
        let recalls = Places::new(RECALLS_MAX, RECALLS_WAITING_MAX);
        let errands = Arc::new(Semaphore::new(ERRANDS_MAX));
        let home = Arc::new(HomeLine::new(context.to(home())));
        let being = Self { mind: Arc::new(mind), talks, recalls, errands, home };
        being.tell_home(context);
        Ok(being)
    }

    fn health(&self) -> Health {
        match notes(&self.mind).as_slice() {
            [] => Health::Well,
            notes => Health::Degraded(notes.join("; ")),
        }
    }

    fn snapshot(&self) -> Json {
        // What it remembers is its own: only counts are shown.
        let memories = self.mind.memories.count().unwrap_or_default();
        Json(serde_json::json!({
            "name": self.mind.who().character.name,
            "provider": self.mind.who().provider.label(),
            "memories": memories,
            "embedder": self.mind.embedder.name(),
            "talks": self.talks.taken(),
        }))
    }

    async fn stop(&mut self, context: &mut Context) {
        match context.called_off().map(str::to_owned) {
            Some(why) => self.mind.end(&why, Duration::ZERO).await,
            None => self.mind.end(STOPPED, ANSWER_GRACE).await,
        }
    }
}

impl HandleLater<Query> for Being {
    async fn handle_later(&mut self, asked: Query, promise: Promise<Query>, at: &mut Context) {
        let Query { said, speaker, path: _ } = asked;
        // What is told is answered too, for the history.
        let listener = match promise.is_told() {
            true => Listener::Told(promise, Some(at.grave::<Query>())),
            false => Listener::Whole(promise),
        };
        self.talk(Saying { said, speaker }, listener, at).await;
    }
}

impl HandleStream<Converse> for Being {
    async fn handle_stream(&mut self, asked: Converse, outlet: Outlet<Converse>, at: &mut Context) {
        let Converse { said, speaker, path: _ } = asked;
        self.talk(Saying { said, speaker }, Listener::Pieces(outlet), at).await;
    }
}

impl Being {
    /// Sees to it that what was removed is gone from the disk, while it goes on.
    fn finish_forgetting(&self, context: &mut Context) {
        // Whoever waits to see to it sees to this, too.
        if self.mind.is_finish_awaited.swap(true, Ordering::SeqCst) {
            return;
        }
        let mind = self.mind.clone();
        context.spawn(async move { finish_forgetting(&mind).await });
    }

    /// Tells its home when it is due, while it goes on.
    fn tell_home(&self, context: &mut Context) {
        let (mind, home) = (self.mind.clone(), self.home.clone());
        context.spawn(async move { home.tell(&mind).await });
    }

    /// A place among those who talk with it. Who asks is told that there is none, and may ask again; what is
    /// told waits.
    fn place_for(&self, listener: &Listener) -> Result<OwnedSemaphorePermit, NotAnswered> {
        let (place, max) = match listener.is_told() {
            true => (self.talks.for_told(), TALKS_MAX + TOLD_MAX),
            false => (self.talks.for_asker(), TALKS_MAX),
        };
        place.ok_or(NotAnswered::Busy { max })
    }

    async fn talk(&self, saying: Saying, listener: Listener, context: &mut Context) {
        let place = match self.place_for(&listener) {
            Ok(place) => place,
            Err(busy) => return listener.finish(Err(busy)).await,
        };
        if saying.said.trim().is_empty() {
            return listener.finish(Err(NotAnswered::Nothing)).await;
        }
        let Saying { said, speaker } = saying;
        let saying = match named(speaker) {
            Ok(speaker) => Saying { said, speaker },
            Err(unfit) => return listener.finish(Err(unfit)).await,
        };
        let (mind, in_row) = (self.mind.clone(), conversation::Place::take(&self.mind).await);
        context.spawn(async move {
            let awake = conversation::answer(mind.clone(), in_row, saying, listener).await;
            drop(place);
            consolidating::consolidate(&mind, awake).await;
        });
    }
}

impl Handle<ShowBeing> for Being {
    async fn handle(&mut self, _: ShowBeing, _: &mut Context) -> Result<BeingInfo, Never> {
        // A store that cannot be read is no expected failure: its supervisor decides.
        match self.mind.info() {
            Ok(info) => Ok(info),
            Err(error) => panic!("{}", with_causes(&error)),
        }
    }
}

impl Handle<AskHealth> for Being {
    async fn handle(&mut self, _: AskHealth, _: &mut Context) -> Result<BeingHealth, Never> {
        let notes = notes(&self.mind);
        Ok(BeingHealth { is_well: notes.is_empty(), notes })
    }
}

/// Sees to it that what was removed is gone from the disk. What hinders that is left to the next occasion.
async fn finish_forgetting(mind: &Mind) {
    if let Err(error) = forgetting::finish(mind).await {
        let being = mind.id.as_str();
        tracing::warn!(being, "something is not forgotten for good yet: {error}");
    }
}

impl Handle<UpdateCharacter> for Being {
    async fn handle(
        &mut self,
        UpdateCharacter { changes }: UpdateCharacter,
        context: &mut Context,
    ) -> Result<BeingInfo, NotChanged> {
        let before = self.mind.who().character.name.clone();
        self.mind.change_character(&changes).await?;
        self.finish_forgetting(context);
        let info = self.changed()?;
        if info.name != before {
            tell_name(&self.mind, context);
        }
        Ok(info)
    }
}

impl Handle<SetCore> for Being {
    async fn handle(&mut self, set: SetCore, at: &mut Context) -> Result<BeingInfo, NotChanged> {
        self.mind.set_core(set.title, set.text).await?;
        self.finish_forgetting(at);
        self.changed()
    }
}

impl Handle<SetProvider> for Being {
    async fn handle(&mut self, set: SetProvider, _: &mut Context) -> Result<BeingInfo, NotChanged> {
        // Whoever has misspelt the name of one is told which was meant.
        ProviderSettings::read(&set.settings)
            .map_err(|error| NotChanged { why: error.to_string() })?;
        self.mind.change_provider(set.settings).await?;
        self.changed()
    }
}

impl Handle<ShowProvider> for Being {
    async fn handle(&mut self, _: ShowProvider, _: &mut Context) -> Result<ProviderInfo, Never> {
        let (settings, defaults) = ProviderSettings::told(&self.mind.about.read().provider);
        Ok(ProviderInfo { provider: self.mind.who().provider.label(), settings, defaults })
    }
}

impl Being {
    fn changed(&self) -> Result<BeingInfo, NotChanged> {
        self.mind.info().map_err(|error| NotChanged { why: with_causes(&error) })
    }
}

impl Handle<SetBudget> for Being {
    async fn handle(&mut self, set: SetBudget, _: &mut Context) -> Result<Budget, NotChanged> {
        self.mind.set_budget(set.limits).await
    }
}

impl Handle<ShowHistory> for Being {
    async fn handle(&mut self, asked: ShowHistory, _: &mut Context) -> Result<History, NotKept> {
        let limit = asked.limit.unwrap_or(HISTORY.0).clamp(1, HISTORY.1) as usize;
        let before = asked.before.unwrap_or(u64::MAX);
        // Looked at before and after: a turn may begin to be kept, or end, while turns are read.
        let before_that = *self.mind.answering.lock();
        let turns = self.mind.store.read(|reader| {
            let turns = reader.range(TURNS, ..before).rev().take(limit + 1);
            turns.map(|turn| Ok(turn?.1)).collect::<Result<Vec<StoredTurn>, StoreError>>()
        });
        let mut turns = turns.map_err(|error| not_kept(&error))?;
        let has_more = turns.len() > limit;
        turns.truncate(limit);
        let older = turns.last().map(|last| last.id).filter(|_| has_more);
        let mut turns: Vec<Turn> = turns.into_iter().map(shown).collect();
        let answering = [before_that, *self.mind.answering.lock()];
        let is_it = |turn: &&mut Turn| {
            answering.contains(&Some(turn.at))
                && turn.failure.as_deref() == Some(conversation::UNFINISHED)
        };
        if let Some(turn) = turns.iter_mut().find(is_it) {
            turn.failure = None;
            turn.is_being_answered = true;
        }
        Ok(History { turns, older })
    }
}

impl HandleLater<RecallMemories> for Being {
    async fn handle_later(
        &mut self,
        asked: RecallMemories,
        promise: Promise<RecallMemories>,
        at: &mut Context,
    ) {
        let Some(waiting) = self.recalls.ask() else {
            let max = RECALLS_MAX + RECALLS_WAITING_MAX;
            let why = format!("{max} ask it already what it remembers; ask again");
            return promise.refuse(NotKept { why });
        };
        let mind = self.mind.clone();
        // With too many at a time, it waits for one of them, and the mailbox does not.
        at.spawn(async move {
            let place = waiting.place().await;
            // Who has gone meanwhile is not told any more.
            if !promise.is_forgotten() {
                promise.settle(recall(&mind, asked).await);
            }
            drop(place);
        });
    }
}

async fn recall(mind: &Mind, asked: RecallMemories) -> Result<Recollections, NotKept> {
    let recall = Recall {
        question: asked.question,
        at: Timestamp::now(),
        asked_by: None,
        limit: asked.limit.unwrap_or(RECALL.0).clamp(1, RECALL.1) as usize,
        filter: RecallFilter {
            from: asked.from,
            until: asked.until,
            kinds: asked.kinds.into_iter().map(recollection::kind).collect(),
            speaker: asked.speaker,
            ..RecallFilter::default()
        },
    };
    let recalled = mind.memories.recall(recall).await.map_err(|error| not_kept(&error))?;
    Ok(Recollections { memories: recalled.iter().map(recollection::of).collect() })
}

impl HandleLater<Forget> for Being {
    async fn handle_later(&mut self, asked: Forget, promise: Promise<Forget>, at: &mut Context) {
        let (mind, home) = (self.mind.clone(), self.home.clone());
        let Ok(place) = self.errands.clone().try_acquire_owned() else {
            return promise.refuse(NotKept { why: busy() });
        };
        // What is said after it is answered after it.
        let in_row = conversation::Place::take(&mind).await;
        // It may take a while, and is done also if nobody waits for it any more.
        at.spawn(async move {
            promise.settle(forgetting::forget(&mind, in_row, asked.what).await);
            home.tell(&mind).await;
            drop(place);
        });
    }
}

impl HandleLater<WouldForget> for Being {
    async fn handle_later(
        &mut self,
        asked: WouldForget,
        promise: Promise<WouldForget>,
        at: &mut Context,
    ) {
        let mind = self.mind.clone();
        let Ok(place) = self.errands.clone().try_acquire_owned() else {
            return promise.refuse(NotKept { why: busy() });
        };
        at.spawn(async move {
            promise.settle(forgetting::would_forget(&mind, asked).await);
            drop(place);
        });
    }
}

impl HandleLater<Export> for Being {
    async fn handle_later(&mut self, asked: Export, promise: Promise<Export>, at: &mut Context) {
        let mind = self.mind.clone();
        let Ok(place) = self.errands.clone().try_acquire_owned() else {
            return promise.refuse(NotKept { why: busy() });
        };
        at.spawn(async move {
            promise.settle(exporting::export(&mind, asked.file).await);
            drop(place);
        });
    }
}

impl HandleLater<Say> for Being {
    async fn handle_later(&mut self, asked: Say, promise: Promise<Say>, context: &mut Context) {
        let errand = saying::Errand::new(self.mind.clone(), context);
        let Ok(place) = self.errands.clone().try_acquire_owned() else {
            return promise.refuse(NotSaid::NotAnswered { why: busy() });
        };
        context.spawn(async move {
            errand.run(asked, promise).await;
            drop(place);
        });
    }
}

impl HandleLater<Remind> for Being {
    async fn handle_later(&mut self, asked: Remind, promise: Promise<Remind>, at: &mut Context) {
        let (mind, home) = (self.mind.clone(), self.home.clone());
        let Ok(place) = self.errands.clone().try_acquire_owned() else {
            return promise.refuse(NotKept { why: busy() });
        };
        at.spawn(async move {
            promise.settle(reminding::remind(&mind, &home, asked).await);
            // One that its home could not be told of is taken back.
            finish_forgetting(&mind).await;
            drop(place);
        });
    }
}

impl Handle<ListReminders> for Being {
    async fn handle(
        &mut self,
        asked: ListReminders,
        _: &mut Context,
    ) -> Result<Reminders, NotKept> {
        reminding::list(&self.mind, &asked)
    }
}

impl HandleLater<CancelReminder> for Being {
    async fn handle_later(
        &mut self,
        asked: CancelReminder,
        promise: Promise<CancelReminder>,
        at: &mut Context,
    ) {
        let (mind, home) = (self.mind.clone(), self.home.clone());
        let Ok(place) = self.errands.clone().try_acquire_owned() else {
            return promise.refuse(NotKept { why: busy() });
        };
        at.spawn(async move {
            promise.settle(reminding::cancel(&mind, asked.id).await);
            home.tell(&mind).await;
            finish_forgetting(&mind).await;
            drop(place);
        });
    }
}

impl HandleLater<HeedReminders> for Being {
    async fn handle_later(
        &mut self,
        _: HeedReminders,
        promise: Promise<HeedReminders>,
        at: &mut Context,
    ) {
        let (mind, home) = (self.mind.clone(), self.home.clone());
        let Ok(place) = self.errands.clone().try_acquire_owned() else {
            return promise.refuse(NotKept { why: busy() });
        };
        at.spawn(async move {
            let heeded = reminding::heed(&mind, &home).await;
            let awake = mind.consolidating.at_the_end_of_a_turn();
            promise.settle(heeded);
            drop(place);
            consolidating::consolidate(&mind, awake).await;
        });
    }
}

impl Handle<TendIndex> for Being {
    async fn handle(&mut self, _: TendIndex, context: &mut Context) -> Result<(), Never> {
        let mind = self.mind.clone();
        // Once more, for a registry and a home that were not there yet.
        tell_name(&mind, context);
        self.tell_home(context);
        self.finish_forgetting(context);
        // In a task of its own: it waits for quiet, and the index is not to wait for that.
        let consolidated = mind.clone();
        context.spawn(async move { consolidating::take_up(&consolidated).await });
        context.spawn(async move {
            loop {
                match mind.memories.tend().await {
                    Ok(true) => {}
                    Ok(false) => return,
                    Err(error) => {
                        let why = memories_without_words(&error);
                        tracing::warn!(being = mind.id.as_str(), "its index was not tended: {why}");
                        return;
                    }
                }
            }
        });
        Ok(())
    }
}

/// Tells the registry what a being is called.
fn tell_name(mind: &Mind, context: &Context) {
    let (id, name) = (mind.id.clone(), mind.who().character.name.clone());
    // A registry that is down now hears it when the being wakes the next time.
    let _unheard = context.to(registry()).hint(BeingRenamed { id, name });
}

/// Who speaks, if they are named as one may be. Whose name is blank says none.
fn named(speaker: Option<String>) -> Result<Option<String>, NotAnswered> {
    let speaker = speaker.filter(|name| !name.trim().is_empty());
    let fits = |name: &String| {
        name.chars().count() <= SPEAKER_CHARS_MAX as usize && !name.chars().any(char::is_control)
    };
    match speaker.as_ref().is_none_or(fits) {
        true => Ok(speaker),
        false => Err(NotAnswered::Speaker { max: SPEAKER_CHARS_MAX }),
    }
}

fn busy() -> String {
    format!("it does {ERRANDS_MAX} other things already; ask again")
}

/// What is amiss with a being, or being done about it.
fn notes(mind: &Mind) -> Vec<String> {
    let progress = *mind.memories.progress().borrow();
    let is_behind = progress.done < progress.total;
    let told = format!(
        "its index of memories is being made anew, {} of {} are in it; all are found meanwhile",
        progress.done, progress.total
    );
    // Where it was met may be a word that was said.
    let damaged = mind.store.damage().map(|_| {
        let id = mind.id.as_str();
        format!("its store is damaged, and not all that it has can be read; `being check {id}` tells more")
    });
    let took_back = mind.store.took_back().then(|| {
        "the last write of its store was not whole after an end without order, and is taken back: what it was told \
         last may be lost"
            .to_owned()
    });
    let notes = is_behind.then_some(told).into_iter().chain(damaged).chain(took_back);
    notes.chain(mind.who().core_note()).collect()
}

/// Where it is known which beings there are.
fn registry() -> Address {
    Address::parse("beings/registry").expect("it is an address")
}

/// Who wakes a being when it is due: the home of the machine on which it lives.
pub(crate) fn home() -> Address {
    Address::parse("homes/beings").expect("it is an address")
}

fn shown(turn: StoredTurn) -> Turn {
    let StoredTurn { id, at, speaker, said, answer, failure, .. } = turn;
    Turn { id, at, speaker, said, answer, failure, is_being_answered: false }
}

fn not_kept(error: &dyn std::error::Error) -> NotKept {
    NotKept { why: with_causes(error) }
}
