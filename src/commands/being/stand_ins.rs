//! Stand-ins for a registry and for beings, which do what tests need of them, and a house of them.

use genii_protocols::being::*;
use genii_protocols::beings::*;
use genii_protocols::budget::Budget;
use genii_protocols::{Address, Json, Name, NodeName, Timestamp};
use genii_runtime::topology::Topology;
use genii_runtime::{
    Agent, Catalogue, Context, Handle, HandleLater, HandleStream, House, Node, NodeOptions, Outlet,
    Promise, Protocol,
};
use genii_supervision::StartError;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::json;

use super::reach::Unanswered;
use crate::commands::Side;
use crate::up::ending::Ending;

/// How what is said begins that a being is to answer until nobody listens.
pub const TALK_ON: &str = "talk on";

/// What was said to which a being noticed that nobody listens any more.
pub static NOTICED: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// A house with a registry of so many beings, of which `marit` lives, and `tobin` is held back.
pub async fn side(beings: usize) -> Side {
    side_with(beings, &[]).await
}

/// As [`side`], with others beside them, by their ids.
pub async fn side_with(beings: usize, others: &[String]) -> Side {
    let kinds = Catalogue::new().with::<Registry>("beings-registry").with::<Marit>("being");
    let text = format!(
        "[groups.beings]\n[agents.\"beings/registry\"]\nkind = \"beings-registry\"\n\
         settings.beings = {beings}\nsettings.others = {others:?}\n\
         [groups.being]\n[agents.\"being/marit\"]\nkind = \"being\"\n"
    );
    house(&text, kinds).await
}

/// A house in which `marit` lives, and nobody knows of her.
pub async fn side_without_registry() -> Side {
    let kinds = Catalogue::new().with::<Marit>("being");
    house("[groups.being]\n[agents.\"being/marit\"]\nkind = \"being\"\n", kinds).await
}

/// A house all of whose beings live on another machine.
pub async fn side_of_beings_elsewhere() -> Side {
    let kinds = Catalogue::new().with::<Registry>("beings-registry").with::<Marit>("being");
    let text = "[groups.beings]\n[agents.\"beings/registry\"]\nkind = \"beings-registry\"\n\
                settings = { beings = 7, others = [] }\n[groups.being]\nnode = \"pc9\"\n\
                [agents.\"being/marit\"]\nkind = \"being\"\n";
    house(text, kinds).await
}

/// A house in which `marit` lives, and whose registry answers nothing.
pub async fn side_with_a_registry_that_hangs() -> Side {
    let kinds = Catalogue::new().with::<Hangs>("beings-registry").with::<Marit>("being");
    let text = "[groups.beings]\n[agents.\"beings/registry\"]\nkind = \"beings-registry\"\n\
                [groups.being]\n[agents.\"being/marit\"]\nkind = \"being\"\n";
    house(text, kinds).await
}

/// A house all of whose beings live on another machine, and whose registry answers nothing.
pub async fn side_of_beings_elsewhere_with_a_registry_that_hangs() -> Side {
    let kinds = Catalogue::new().with::<Hangs>("beings-registry").with::<Marit>("being");
    let text = "[groups.beings]\n[agents.\"beings/registry\"]\nkind = \"beings-registry\"\n\
                [groups.being]\nnode = \"pc9\"\n[agents.\"being/marit\"]\nkind = \"being\"\n";
    house(text, kinds).await
}

/// A house whose registry is still starting, for ever.
pub async fn side_that_starts() -> Side {
    let kinds = Catalogue::new().with::<Registry>("beings-registry");
    let text = "[groups.beings]\n[agents.\"beings/registry\"]\nkind = \"beings-registry\"\n\
                settings = { beings = 1, others = [], is_late = true }\n";
    begin(text, kinds).await
}

async fn house(topology: &str, kinds: Catalogue) -> Side {
    let side = begin(topology, kinds).await;
    side.house.up().await.unwrap();
    side
}

async fn begin(topology: &str, kinds: Catalogue) -> Side {
    let topology = Topology::parse(topology, &kinds).unwrap();
    let node = Node::new(NodeOptions::new(NodeName::new("test").unwrap()));
    let house = House::begin(node, kinds, topology).await.unwrap();
    Side { house, ending: Ending::default(), unanswered: Unanswered::default() }
}

pub fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub fn at(text: &str) -> Timestamp {
    serde_json::from_value(text.into()).unwrap()
}

/// A being on a machine that is not linked, and one of this machine that has no home now.
pub const AWAY: &str = "x000002";
pub const HOMELESS: &str = "x000003";

/// A being that sleeps.
pub const ASLEEP: &str = "x000004";

/// Two of another machine: one that is suspended there, and one that has failed.
pub const SUSPENDED_THERE: &str = "x000005";
pub const DOWN_THERE: &str = "x000006";

/// One that is held back as soon as it was asked something.
pub const FAILS_WHEN_ASKED: &str = "x000007";

fn entry(id: &str) -> BeingEntry {
    let (state, node, why) = match id {
        "tobin" => (BeingState::Quarantined, "test", Some("its store is damaged")),
        AWAY => (BeingState::Unreachable, "pc9", None),
        ASLEEP => (BeingState::Asleep, "test", None),
        HOMELESS => (BeingState::Unreachable, "test", Some("its home does not run")),
        SUSPENDED_THERE => (BeingState::Awake, "pc9", Some("it is suspended; resume it")),
        DOWN_THERE => (BeingState::Down, "pc9", Some("its disk was full")),
        _ => (BeingState::Awake, "test", None),
    };
    BeingEntry {
        id: name(id),
        address: Address::new(&name("being"), &name(id)),
        name: id.to_uppercase(),
        state,
        isolation: Some(Isolation::Actor),
        node: NodeName::new(node).unwrap(),
        created: at("2026-05-03T10:00:00Z"),
        why: why.map(str::to_owned),
    }
}

struct Registry {
    beings: Vec<BeingEntry>,
    /// How often it was asked after the one that fails.
    looks: u32,
}

#[derive(Deserialize)]
struct RegistrySettings {
    beings: usize,
    others: Vec<String>,
    /// It never comes to have started.
    #[serde(default)]
    is_late: bool,
}

impl Agent for Registry {
    type Settings = RegistrySettings;

    fn protocol() -> Protocol<Self> {
        Protocol::new()
            .on::<CreateBeing>()
            .on::<ListBeings>()
            .on::<GetBeing>()
            .on::<ExportBeing>()
            .on::<ImportBeing>()
            .on::<MigrateBeing>()
            .on::<DeleteBeing>()
    }

    async fn start(settings: RegistrySettings, _: &mut Context) -> Result<Self, StartError> {
        if settings.is_late {
            std::future::pending::<()>().await;
        }
        let first = ["marit", "tobin"].map(str::to_owned);
        let more = (first.len()..).map(|number| format!("x{number:06}"));
        let ids = first.into_iter().chain(more).take(settings.beings).chain(settings.others);
        let mut beings: Vec<_> = ids.map(|id| entry(&id)).collect();
        beings.sort_by_key(|being| being.id.clone());
        Ok(Self { beings, looks: 0 })
    }
}

impl Registry {
    fn get(&self, id: &Name) -> Result<BeingEntry, NoBeing> {
        let found = self.beings.iter().find(|being| being.id == *id).cloned();
        let nearest = self.beings.first().map(|being| being.id.clone());
        found.ok_or_else(|| NoBeing::NotFound { id: id.clone(), nearest })
    }
}

impl Handle<CreateBeing> for Registry {
    async fn handle(&mut self, new: CreateBeing, _: &mut Context) -> Result<BeingEntry, NoBeing> {
        let id = new.id.unwrap_or_else(|| name("of-its-name"));
        if self.get(&id).is_ok() {
            return Err(NoBeing::Taken { id });
        }
        let called = new.character.0["name"].as_str().unwrap_or_default();
        let by = new.provider.map(|provider| provider.to_string()).unwrap_or_default();
        Ok(BeingEntry { name: format!("{called}{by}"), ..entry(id.as_str()) })
    }
}

impl Handle<ListBeings> for Registry {
    async fn handle(&mut self, list: ListBeings, _: &mut Context) -> Result<Beings, NoBeing> {
        let limit = list.limit.unwrap_or(100).min(1_000) as usize;
        let matching = list.matching.unwrap_or_default();
        let behind = |being: &&BeingEntry| list.after.as_ref().is_none_or(|id| being.id > *id);
        let of = self.beings.iter().filter(behind);
        let mut beings: Vec<_> =
            of.filter(|it| it.id.as_str().contains(&matching)).cloned().collect();
        let has_more = beings.len() > limit;
        beings.truncate(limit);
        let more = beings.last().filter(|_| has_more).map(|last| last.id.clone());
        Ok(Beings { beings, more, total: self.beings.len() as u64 })
    }
}

impl Handle<GetBeing> for Registry {
    async fn handle(&mut self, get: GetBeing, _: &mut Context) -> Result<BeingEntry, NoBeing> {
        let being = self.get(&get.id)?;
        self.looks += u32::from(get.id.as_str() == FAILS_WHEN_ASKED);
        // Whoever shows it asks for it at first, and asks why it does not answer.
        if get.id.as_str() != FAILS_WHEN_ASKED || self.looks <= 2 {
            return Ok(being);
        }
        let why = Some("its store is damaged".to_owned());
        Ok(BeingEntry { state: BeingState::Quarantined, why, ..being })
    }
}

impl Handle<ExportBeing> for Registry {
    async fn handle(&mut self, export: ExportBeing, _: &mut Context) -> Result<Exported, NoBeing> {
        self.get(&export.id)?;
        Ok(Exported { file: export.file, bytes: 2_048, sha256: "ab".repeat(32) })
    }
}

impl Handle<ImportBeing> for Registry {
    async fn handle(
        &mut self,
        import: ImportBeing,
        _: &mut Context,
    ) -> Result<ImportedBeing, NoBeing> {
        if !import.file.ends_with(".being") {
            return Err(NoBeing::Failed { why: format!("{} is no export", import.file) });
        }
        let being = entry(import.id.unwrap_or_else(|| name("ann")).as_str());
        let provider = ImportedProvider {
            kind: "openai".to_owned(),
            model: Some("llama".to_owned()),
            base_url: Some("http://localhost:1/v1".to_owned()),
            is_kept: import.with_provider,
        };
        let notes = vec![format!("its provider: {provider}")];
        let being = BeingEntry { isolation: import.isolation, ..being };
        Ok(ImportedBeing { being, provider: Some(provider), notes })
    }
}

impl Handle<MigrateBeing> for Registry {
    async fn handle(
        &mut self,
        MigrateBeing { id, node }: MigrateBeing,
        _: &mut Context,
    ) -> Result<BeingEntry, NoBeing> {
        Ok(BeingEntry { node, ..self.get(&id)? })
    }
}

impl Handle<DeleteBeing> for Registry {
    async fn handle(
        &mut self,
        delete: DeleteBeing,
        _: &mut Context,
    ) -> Result<BeingEntry, NoBeing> {
        let gone = self.get(&delete.id)?;
        self.beings.retain(|being| being.id != delete.id);
        Ok(gone)
    }
}

/// A registry that takes what it is asked, and answers nothing.
struct Hangs(Vec<Promise<GetBeing>>);

impl Agent for Hangs {
    type Settings = Json;

    fn protocol() -> Protocol<Self> {
        Protocol::new().on_later::<GetBeing>()
    }

    async fn start(_: Json, _: &mut Context) -> Result<Self, StartError> {
        Ok(Self(Vec::new()))
    }
}

impl HandleLater<GetBeing> for Hangs {
    async fn handle_later(&mut self, _: GetBeing, promise: Promise<GetBeing>, _: &mut Context) {
        self.0.push(promise);
    }
}

struct Marit {
    info: BeingInfo,
    /// Of her provider.
    settings: Json,
    reminders: Vec<Reminder>,
}

impl Agent for Marit {
    type Settings = Json;

    fn protocol() -> Protocol<Self> {
        Protocol::new()
            .on_stream::<Converse>()
            .on::<ShowBeing>()
            .on::<AskHealth>()
            .on::<UpdateCharacter>()
            .on::<SetCore>()
            .on::<SetProvider>()
            .on::<ShowProvider>()
            .on::<SetBudget>()
            .on::<ShowHistory>()
            .on::<Remember>()
            .on::<RecallMemories>()
            .on::<Forget>()
            .on::<WouldForget>()
            .on::<Say>()
            .on::<Remind>()
            .on::<ListReminders>()
            .on::<CancelReminder>()
    }

    async fn start(_: Json, _: &mut Context) -> Result<Self, StartError> {
        let info = BeingInfo {
            id: name("marit"),
            name: "Marit".to_owned(),
            character: Json(json!({ "name": "Marit", "description": "A pilot." })),
            core: Vec::new(),
            provider: "offline".to_owned(),
            turns: 450,
            memories: 3,
            budget: Budget::default(),
            created: at("2026-05-03T10:00:00Z"),
            store_bytes: 1_536,
        };
        Ok(Self { info, settings: Json(json!({})), reminders: Vec::new() })
    }
}

pub fn recollection(id: u64, text: &str) -> Recollection {
    Recollection {
        memory: Memory {
            id,
            kind: MemoryKind::Note,
            text: text.to_owned(),
            speaker: Some("Ann".to_owned()),
            at: at("2026-05-03T10:00:00Z"),
            until: None,
        },
        score: 0.75,
        why: "the words nuts".to_owned(),
        reasons: Reasons { kind: 0.75, ..Reasons::default() },
    }
}

impl HandleStream<Converse> for Marit {
    async fn handle_stream(&mut self, said: Converse, mut out: Outlet<Converse>, _: &mut Context) {
        if said.said.is_empty() {
            return out.finish(Err(NotAnswered::Nothing)).await;
        }
        let is_endless = said.said.starts_with(TALK_ON);
        tokio::spawn(async move {
            let words = ["You said: ".to_owned(), said.said.clone()];
            for words in &words {
                let _gone = out.send(words.clone()).await;
            }
            if is_endless {
                out.asker_gone().await;
                return NOTICED.lock().push(said.said);
            }
            let answered = Answered {
                turn: 7,
                text: words.concat(),
                recalled: vec![recollection(3, "Ann is allergic to nuts")],
                provider: "offline".to_owned(),
                prompt_tokens: 1,
                reply_tokens: 2,
                is_cut_off: false,
            };
            out.finish(Ok(answered)).await;
        });
    }
}

impl Handle<ShowBeing> for Marit {
    async fn handle(
        &mut self,
        _: ShowBeing,
        _: &mut Context,
    ) -> Result<BeingInfo, genii_protocols::Never> {
        Ok(self.info.clone())
    }
}

impl Handle<AskHealth> for Marit {
    async fn handle(
        &mut self,
        _: AskHealth,
        _: &mut Context,
    ) -> Result<BeingHealth, genii_protocols::Never> {
        Ok(BeingHealth { is_well: true, notes: vec!["its index is being built".to_owned()] })
    }
}

impl Handle<UpdateCharacter> for Marit {
    async fn handle(
        &mut self,
        update: UpdateCharacter,
        _: &mut Context,
    ) -> Result<BeingInfo, NotChanged> {
        if update.changes.0.get("nmae").is_some() {
            return Err(NotChanged {
                why: "there is no field nmae; did you mean name?".to_owned(),
            });
        }
        Ok(BeingInfo { character: update.changes, ..self.info.clone() })
    }
}

impl Handle<SetCore> for Marit {
    async fn handle(&mut self, set: SetCore, _: &mut Context) -> Result<BeingInfo, NotChanged> {
        self.info.core.retain(|block| block.title != set.title);
        let block = set.text.map(|text| CoreBlock { title: set.title, text });
        self.info.core.extend(block);
        Ok(self.info.clone())
    }
}

impl Handle<SetProvider> for Marit {
    async fn handle(&mut self, set: SetProvider, _: &mut Context) -> Result<BeingInfo, NotChanged> {
        let provider = set.settings.0["model"].as_str().unwrap_or("offline").to_owned();
        self.info.provider = provider;
        self.settings = set.settings;
        Ok(self.info.clone())
    }
}

impl Handle<ShowProvider> for Marit {
    async fn handle(
        &mut self,
        _: ShowProvider,
        _: &mut Context,
    ) -> Result<ProviderInfo, genii_protocols::Never> {
        Ok(ProviderInfo {
            provider: self.info.provider.clone(),
            settings: self.settings.clone(),
            defaults: Json(json!({ "temperature": null, "total_timeout": "10m" })),
        })
    }
}

impl Handle<SetBudget> for Marit {
    async fn handle(&mut self, set: SetBudget, _: &mut Context) -> Result<Budget, NotChanged> {
        self.info.budget = Budget { limits: set.limits, ..self.info.budget };
        Ok(self.info.budget)
    }
}

impl Handle<ShowHistory> for Marit {
    async fn handle(&mut self, show: ShowHistory, _: &mut Context) -> Result<History, NotKept> {
        let before = show.before.unwrap_or(self.info.turns + 1);
        let limit = u64::from(show.limit.unwrap_or(20).min(200));
        let first = before.saturating_sub(limit).max(1);
        let turn = |id: u64| Turn {
            id,
            at: at("2026-05-03T10:00:00Z"),
            speaker: Some("Ann".to_owned()),
            said: format!("word {id}"),
            answer: Some("Aye.".to_owned()),
            failure: None,
            is_being_answered: false,
        };
        let turns = (first..before).rev().map(turn).collect();
        Ok(History { turns, older: (first > 1).then_some(first) })
    }
}

impl Handle<Remember> for Marit {
    async fn handle(&mut self, it: Remember, _: &mut Context) -> Result<Memory, NotKept> {
        if it.text.is_empty() {
            return Err(NotKept { why: "there is nothing to remember".to_owned() });
        }
        let now = at("2026-05-04T10:00:00Z");
        let note = recollection(9, &it.text).memory;
        Ok(Memory { speaker: it.speaker, at: it.at.unwrap_or(now), ..note })
    }
}

impl Handle<RecallMemories> for Marit {
    async fn handle(
        &mut self,
        it: RecallMemories,
        _: &mut Context,
    ) -> Result<Recollections, NotKept> {
        let memories =
            [recollection(3, "Ann is allergic to NUTS"), recollection(4, "Bosun is a cat")];
        let limit = it.limit.unwrap_or(10) as usize;
        Ok(Recollections { memories: memories.into_iter().take(limit).collect() })
    }
}

impl Handle<Forget> for Marit {
    async fn handle(&mut self, _: Forget, _: &mut Context) -> Result<Forgotten, NotKept> {
        Ok(Forgotten { memories: 2, turns: 1, answers: 0, reminders: 0 })
    }
}

impl Handle<WouldForget> for Marit {
    async fn handle(&mut self, asked: WouldForget, _: &mut Context) -> Result<AtStake, NotKept> {
        let words = match asked.what {
            Forgettable::Matching { text } => text.to_lowercase(),
            _ => String::new(),
        };
        let is_meant = |text: &str| text.to_lowercase().contains(&words);
        let note = recollection(3, "Ann is allergic to NUTS").memory;
        let memories: Vec<_> = [note].into_iter().filter(|it| is_meant(&it.text)).collect();
        let reminders = self.reminders.iter().filter(|it| is_meant(&it.text)).cloned();
        let reminders: Vec<_> = reminders.collect();
        let found = memories.len() as u64;
        // More of each than are shown.
        let all = Forgotten {
            memories: 12 * found,
            turns: found,
            answers: found,
            reminders: reminders.len() as u64,
        };
        let (turns, answering) = (Vec::new(), Vec::new());
        Ok(AtStake { all, memories, turns, answering, reminders })
    }
}

impl Handle<Say> for Marit {
    async fn handle(&mut self, say: Say, _: &mut Context) -> Result<Said, NotSaid> {
        match say.to.as_str() {
            "tobin" => Ok(Said { by: Address::parse("being/tobin").unwrap(), text: say.text }),
            _ => Err(NotSaid::NoSuchBeing { to: say.to, nearest: None }),
        }
    }
}

impl Handle<Remind> for Marit {
    async fn handle(&mut self, it: Remind, _: &mut Context) -> Result<Reminder, NotKept> {
        if it.text.is_empty() {
            return Err(NotKept { why: "there is nothing to be reminded of".to_owned() });
        }
        let (id, made) = (self.reminders.len() as u64 + 1, at("2026-05-03T10:00:00Z"));
        let reminder = Reminder { id, at: it.at, text: it.text, made };
        self.reminders.push(reminder.clone());
        Ok(reminder)
    }
}

impl Handle<ListReminders> for Marit {
    async fn handle(&mut self, it: ListReminders, _: &mut Context) -> Result<Reminders, NotKept> {
        let (limit, total) = (it.limit.unwrap_or(100) as usize, self.reminders.len() as u64);
        Ok(Reminders { reminders: self.reminders.iter().take(limit).cloned().collect(), total })
    }
}

impl Handle<CancelReminder> for Marit {
    async fn handle(&mut self, it: CancelReminder, _: &mut Context) -> Result<Reminder, NotKept> {
        let found = self.reminders.iter().position(|reminder| reminder.id == it.id);
        let no = || NotKept { why: format!("it has no reminder {}", it.id) };
        found.map(|place| self.reminders.remove(place)).ok_or_else(no)
    }
}
