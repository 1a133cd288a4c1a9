//! A house as each version of genii left it: its beings are there, are who they were, and go on.

use std::path::{Path, PathBuf};

use genii_protocols::being::{
    CancelReminder, CoreBlock, Forget, Forgettable, ListReminders, MemoryKind, Query,
    RecallMemories, Recollection, Remember, Remind, SetBudget, SetCore, SetProvider, ShowBeing,
    ShowHistory,
};
use genii_protocols::beings::{CreateBeing, ListBeings};
use genii_protocols::budget::{BudgetLimits, Spent};
use genii_protocols::{Json, Timestamp};
use genii_storage::store::check;
use serde_json::{Value, json};

use crate::golden_stores::{pack, unpack};
use crate::server::{Server, answer};
use crate::world::{World, being, name};

const BEING: &str = "being";

/// The oldest version of which there is a golden file. The migrations from those before change nothing
/// that was written.
const BEING_OLDEST: u32 = 3;

/// The book of the registry, whose golden files its own tests write.
const REGISTRY: &str = "registry";

/// After so many turns they are summed up.
const EVERY: u64 = 20;

/// What each turn is answered with.
const ANSWER: &str = "I shall keep that in mind.";

const SUMMARY: &str = "They spoke of beehives, and of the Quillmarsh fair.";

/// What Bob said, and when.
const SMOKER: &str = "the spare smoker is under the stairs";
const SMOKER_AT: &str = "2024-05-06T07:08:09.123456Z";

/// Two notes, the turns with their answers and the one without, the facts told in them and the one found
/// later, and the summary.
const MEMORIES: u64 = 2 + 2 * EVERY + 1 + 2 + 1 + 1;

/// The server says of each answer, and of what it has noted, that it took nine tokens.
const SPENT: Spent = Spent { requests: EVERY + 1, tokens: 9 * (EVERY + 1) };

/// Not while anybody runs this.
const REMINDED_AT: &str = "2100-01-01T08:00:00Z";

fn at(time: &str) -> Timestamp {
    serde_json::from_value(time.into()).unwrap()
}

fn character() -> Value {
    json!({
        "name": "Mira",
        "description": "Mira keeps bees beside a mill.",
        "personality": "patient",
        "first_message": "Mind the bees.",
        "tags": ["bees", "mill"],
        "lorebook": { "entries": [{ "keys": ["drone"], "content": "Drones have no sting." }] },
    })
}

fn core_blocks() -> [CoreBlock; 2] {
    let blocks = [("whom I talk to", "Ann, who fears wasps"), ("what I owe", "a jar of honey")];
    blocks.map(|(title, text)| CoreBlock { title: title.to_owned(), text: text.to_owned() })
}

fn limits() -> BudgetLimits {
    let (requests, tokens) = (Some(1_000), Some(1_000_000));
    BudgetLimits { requests_per_day: requests, tokens_in_all: tokens, ..BudgetLimits::default() }
}

/// What Ann says in a turn.
fn said(turn: u64) -> String {
    match turn {
        1 => "I live in Porto.".to_owned(),
        2 => "I moved to Lisbon.".to_owned(),
        _ => format!("Beehive {turn} has a queen called Tansy{turn}."),
    }
}

fn by_ann(said: String) -> Query {
    Query { said, speaker: Some("Ann".to_owned()), path: Vec::new() }
}

fn remind(text: &str) -> Remind {
    Remind { at: at(REMINDED_AT), text: text.to_owned() }
}

fn provider(base_url: &str) -> Json {
    Json(json!({
        "kind": "openai", "base_url": base_url, "model": "wise-1", "retries_max": 0,
        "consolidate_after": "50ms",
    }))
}

/// A house with a book and a being as genii of these versions left them.
async fn left_in(registry_version: u32, being_version: u32) -> World {
    let data = tempfile::tempdir().unwrap();
    let beings = data.path().join("beings");
    std::fs::create_dir_all(beings.join("mira")).unwrap();
    unpack(REGISTRY, registry_version, &beings.join("registry.redb"));
    unpack(BEING, being_version, &beings.join("mira/being.redb"));
    World::on(data, String::new()).await
}

/// The versions in which this genii writes a book and a being.
async fn versions() -> (u32, u32) {
    let world = World::new().await;
    world.create("Mira").await;
    world.house.shutdown().await;
    (version(&world.folder("registry.redb")), version(&store_of_mira(&world)))
}

fn version(store: &Path) -> u32 {
    check(store).unwrap().version.unwrap()
}

fn store_of_mira(world: &World) -> PathBuf {
    world.folder("mira").join("being.redb")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_beings_of_a_registry_of_each_version_are_there() {
    let (registry, being_now) = versions().await;
    for version in 1..=registry {
        let world = left_in(version, being_now).await;
        let beings = world.ask(&world.registry, ListBeings::default()).await.beings;
        let told = beings.iter().map(|it| (it.id.as_str(), it.name.as_str(), it.node.as_str()));
        let expected = [
            ("carla", "Carla", "main"),
            ("greta", "Greta", "main"),
            ("hugo", "Hugo", "main"),
            ("mira", "Mira", "main"),
            ("nils", "Nils \u{2014} of the mill", "pc2"),
        ];
        assert_eq!(told.collect::<Vec<_>>(), expected, "version {version}");
        assert!(beings.iter().all(|it| it.created == at("2024-05-06T12:53:20Z")), "{beings:?}");
        assert_eq!(world.ask(&being("mira"), ShowBeing {}).await.turns, EVERY + 1);
        world.house.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_being_of_each_version_is_who_it_was_and_goes_on() {
    let (registry, being_now) = versions().await;
    for version in BEING_OLDEST..=being_now {
        println!("a being of version {version}");
        let world = left_in(registry, version).await;
        is_who_it_was(&world).await;
        has_its_turns(&world).await;
        remembers(&world).await;
        goes_on(&world).await;
        world.house.shutdown().await;
    }
}

async fn is_who_it_was(world: &World) {
    let info = world.ask(&being("mira"), ShowBeing {}).await;
    assert_eq!((info.id.as_str(), info.name.as_str()), ("mira", "Mira"));
    for field in ["description", "personality", "first_message", "tags"] {
        assert_eq!(info.character.0[field], character()[field], "{field}");
    }
    let lore = &info.character.0["lorebook"]["entries"][0];
    let expected = (json!(["drone"]), json!("Drones have no sting."));
    assert_eq!((&lore["keys"], &lore["content"]), (&expected.0, &expected.1));
    assert_eq!(info.core, core_blocks());
    assert_eq!(info.provider, "wise-1 at http://127.0.0.1:9/v1");
    assert_eq!((info.turns, info.memories), (EVERY + 1, MEMORIES));
    assert_eq!((info.budget.limits, info.budget.in_all), (limits(), SPENT));
    let reminders = world.ask(&being("mira"), ListReminders::default()).await.reminders;
    let told = reminders.iter().map(|it| (it.id, it.at, it.text.as_str()));
    let expected = [(1, at(REMINDED_AT), "Look after the third hive.")];
    assert_eq!(told.collect::<Vec<_>>(), expected);
}

async fn has_its_turns(world: &World) {
    let all = ShowHistory { before: None, limit: Some(200) };
    let turns = world.ask(&being("mira"), all).await.turns;
    let ids: Vec<u64> = turns.iter().map(|turn| turn.id).collect();
    assert_eq!(ids, (1..=EVERY + 1).rev().collect::<Vec<_>>());
    for turn in &turns {
        assert_eq!((turn.speaker.as_deref(), &turn.said), (Some("Ann"), &said(turn.id)));
        let (answer, failure) = (turn.answer.as_deref(), turn.failure.as_deref());
        match turn.id {
            1..=EVERY => assert_eq!((answer, failure), (Some(ANSWER), None)),
            _ => assert!(answer.is_none() && failure.unwrap().contains("cannot be reached")),
        }
    }
}

async fn recall(world: &World, question: &str, kind: MemoryKind) -> Vec<Recollection> {
    let (question, kinds) = (question.to_owned(), vec![kind]);
    let recall = RecallMemories { question, kinds, ..RecallMemories::default() };
    world.ask(&being("mira"), recall).await.memories
}

async fn remembers(world: &World) {
    let notes = recall(world, "where is the spare smoker", MemoryKind::Note).await;
    let note = &notes[0].memory;
    let (speaker, text) = (note.speaker.as_deref(), note.text.as_str());
    assert_eq!((speaker, text, note.at), (Some("Bob"), SMOKER, at(SMOKER_AT)));
    let facts = recall(world, "do I live in Porto or Lisbon, and a queen?", MemoryKind::Fact).await;
    let fact = |of: &str| {
        let fact = facts.iter().find(|it| it.memory.text.contains(of));
        &fact.unwrap_or_else(|| panic!("{of}: {facts:?}")).memory
    };
    assert_eq!(fact("Porto").until, Some(fact("Lisbon").at), "it is replaced");
    assert_eq!((fact("Lisbon").until, fact("Tansy3").until), (None, None));
    let summaries = recall(world, "the Quillmarsh fair", MemoryKind::Summary).await;
    assert_eq!(summaries[0].memory.text, SUMMARY);
}

async fn goes_on(world: &World) {
    let mira = being("mira");
    let set = world.ask(&mira, remind("Feed the bees.")).await;
    assert_eq!(set.id, 3, "none has the number of one that was taken back");
    world.ask(&mira, SetProvider { settings: Json(json!({ "kind": "offline" })) }).await;
    let answered = world.query("mira", "Where is the spare smoker?").await;
    assert!(answered.text.contains("under the stairs"), "{}", answered.text);
    assert_eq!(answered.turn, EVERY + 3, "none has the number of one that was forgotten");
    let what = Forgettable::Matching { text: "Tansy7".to_owned() };
    let forgotten = world.ask(&mira, Forget { what }).await;
    assert_eq!(forgotten.turns, 1, "{forgotten:?}");
    let summaries = recall(world, "the Quillmarsh fair", MemoryKind::Summary).await;
    assert!(summaries.is_empty(), "what was made of a turn goes with it: {summaries:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "writes the golden file of a new version; those that are there stay"]
async fn writes_the_golden_being() {
    let fact = "fact 3: queen of the third hive: The third hive has a queen called Tansy3.";
    let notes = format!("{fact}\nsummary: {SUMMARY}");
    let mut scripts = vec![answer(&[ANSWER]); EVERY as usize];
    scripts.push(answer(&[notes.as_str()]));
    let (world, server) = (World::new().await, Server::start(scripts).await);
    let mira = being("mira");
    let create = CreateBeing {
        id: Some(name("mira")),
        character: Json(character()),
        provider: Some(provider(&server.base_url())),
        node: None,
        isolation: None,
    };
    world.ask(&world.registry, create).await;
    for CoreBlock { title, text } in core_blocks() {
        world.ask(&mira, SetCore { title, text: Some(text) }).await;
    }
    world.ask(&mira, SetBudget { limits: limits() }).await;
    let (text, speaker) = (SMOKER.to_owned(), Some("Bob".to_owned()));
    world.ask(&mira, Remember { text, speaker, at: Some(at(SMOKER_AT)) }).await;
    world.remember("mira", "the mill stands still on Mondays").await;
    for turn in 1..=EVERY {
        world.ask(&mira, by_ann(said(turn))).await;
    }
    let spent = async |world: &World| world.ask(&being("mira"), ShowBeing {}).await.budget.in_all;
    // By then they are summed up too.
    world.until(async |world| spent(world).await == SPENT).await;
    world.ask(&mira, remind("Look after the third hive.")).await;
    let id = world.ask(&mira, remind("Sweep the yard.")).await.id;
    world.ask(&mira, CancelReminder { id }).await;
    // Nobody answers there.
    world.ask(&mira, SetProvider { settings: provider("http://127.0.0.1:9/v1") }).await;
    world.refused(&mira, by_ann(said(EVERY + 1))).await;
    world.refused(&mira, by_ann("The password is xylophone.".to_owned())).await;
    let what = Forgettable::Matching { text: "xylophone".to_owned() };
    world.ask(&mira, Forget { what }).await;
    world.house.shutdown().await;
    let store = store_of_mira(&world);
    pack(BEING, version(&store), &store);
}
