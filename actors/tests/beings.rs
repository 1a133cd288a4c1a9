//! Beings as whoever speaks to them meets them: made, talked to, asleep, gone, and back.
#![allow(clippy::unwrap_used)]

#[path = "beings/bad.rs"]
mod bad;
#[path = "beings/consolidating.rs"]
mod consolidating;
#[path = "beings/embedding.rs"]
mod embedding;
#[path = "beings/failing.rs"]
mod failing;
#[path = "beings/full.rs"]
mod full;
#[path = "beings/golden.rs"]
mod golden;
#[path = "../../storage/tests/golden/stores.rs"]
mod golden_stores;
#[path = "beings/importing.rs"]
mod importing;
#[path = "beings/keeping.rs"]
mod keeping;
#[path = "beings/prompting.rs"]
mod prompting;
#[path = "beings/remembering.rs"]
mod remembering;
#[path = "beings/reminding.rs"]
mod reminding;
#[allow(dead_code, reason = "most of what it plays is for the tests of providers")]
#[path = "provider/server.rs"]
mod server;
#[path = "beings/world.rs"]
mod world;

use std::time::Duration;

use genii_protocols::being::{
    AskHealth, Converse, Forget, Forgettable, NotAnswered, NotSaid, Query, RecallMemories,
    Remember, Say, SetCore, SetProvider, ShowBeing, ShowHistory, UpdateCharacter,
};
use genii_protocols::beings::{
    BeingState, CreateBeing, DeleteBeing, ExportBeing, GetBeing, ImportBeing, ListBeings, NoBeing,
    RouteBeing, UpdateBeing,
};
use genii_protocols::{Address, AskError, Json};
use world::{World, character, import, name, refusal};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_being_is_made_and_spoken_to() {
    let world = World::new().await;
    let entry = world.create("Alice").await;
    assert_eq!((entry.id.as_str(), entry.address.as_str()), ("alice", "being/alice"));
    let health = world.ask(&entry.address, AskHealth {}).await;
    assert!(health.is_well, "{health:?}");
    world.remember("alice", "the spare key is under the blue pot").await;
    let answered = world.query("alice", "Where is the spare key?").await;
    assert!(answered.text.contains("under the blue pot"), "{}", answered.text);
    assert!(answered.text.contains("offline"), "{}", answered.text);
    let used = &answered.recalled[0];
    assert_eq!(used.memory.text, "the spare key is under the blue pot");
    assert!(used.why.contains("key") && used.score > 0.3, "{used:?}");
    let history = world.ask(&entry.address, ShowHistory::default()).await;
    assert_eq!(history.turns[0].said, "Where is the spare key?");
    assert_eq!(history.turns[0].answer.as_deref(), Some(answered.text.as_str()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_comes_as_it_is_found() {
    let world = World::new().await;
    let alice = world.create("Alice").await.address;
    let said = Converse { said: "Who are you?".to_owned(), speaker: None, path: Vec::new() };
    let mut answers = world.node.to(alice).stream(said).await.unwrap();
    let mut heard = String::new();
    while let Some(words) = answers.next().await {
        heard.push_str(&words);
    }
    let answered = answers.finish().await.unwrap();
    assert_eq!(answered.text, heard);
    assert!(heard.contains("Alice"), "{heard}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beings_are_listed_found_and_deleted() {
    let world = World::new().await;
    for name in ["Alice", "Bob", "Bob", "Carla"] {
        world.create(name).await;
    }
    let all = world.ask(&world.registry, ListBeings::default()).await;
    let ids: Vec<&str> = all.beings.iter().map(|entry| entry.id.as_str()).collect();
    assert_eq!((ids, all.total), (vec!["alice", "bob", "bob-2", "carla"], 4));
    let page = ListBeings { limit: Some(2), ..ListBeings::default() };
    let page = world.ask(&world.registry, page).await;
    let more = ListBeings { after: page.more, ..ListBeings::default() };
    assert_eq!(world.ask(&world.registry, more).await.beings.len(), 2);
    let matching = ListBeings { matching: Some("BO".to_owned()), ..ListBeings::default() };
    assert_eq!(world.ask(&world.registry, matching).await.beings.len(), 2);

    let folder = world.folder("bob");
    assert!(folder.exists());
    world.ask(&world.registry, DeleteBeing { id: name("bob"), lost: false }).await;
    assert!(!folder.exists());
    let route = world.refused(&world.registry, RouteBeing { id: name("bob") }).await;
    let NoBeing::NotFound { nearest, .. } = route else { panic!("{route:?}") };
    assert_eq!(nearest, Some(name("bob-2")));
    let gone = world.node.to(Address::parse("being/bob").unwrap()).ask(AskHealth {}).await;
    assert!(gone.is_err());
    // The id is free again, and nothing of the other is left.
    let bob = world.create_as("bob", "Bob").await;
    let recalled = world.recall("bob", "anything").await;
    assert!(recalled.is_empty() && bob.id == name("bob"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_of_one_name_that_are_made_at_once_are_not_mistaken_for_each_other() {
    let world = World::new().await;
    let made = (0..8).map(|_| world.create("Twin"));
    let made = futures_util::future::join_all(made).await;
    let ids: std::collections::BTreeSet<_> = made.iter().map(|it| it.id.as_str()).collect();
    assert_eq!(ids.len(), 8, "{ids:?}");
    for entry in &made {
        assert!(world.ask(&entry.address, AskHealth {}).await.is_well);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beings_sleep_and_survive_the_end_of_genii() {
    let world = World::with("awake_max = 2\nidle_after = \"200ms\"").await;
    for number in 0..6 {
        let id = format!("b{number}");
        world.create_as(&id, "Being").await;
        world.remember(&id, &format!("my number is {number}")).await;
    }
    world
        .until(async |world| {
            let all = world.ask(&world.registry, ListBeings::default()).await;
            all.beings.iter().all(|entry| entry.state == BeingState::Asleep)
        })
        .await;
    for number in 0..6 {
        let found = world.recall(&format!("b{number}"), "what is my number").await;
        assert_eq!(found[0].memory.text, format!("my number is {number}"));
    }
    let world = world.again().await;
    let all = world.ask(&world.registry, ListBeings::default()).await;
    assert_eq!(all.total, 6);
    let found = world.recall("b3", "what is my number").await;
    assert_eq!(found[0].memory.text, "my number is 3");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_being_moves_in_one_file() {
    let world = World::new().await;
    world.create("Alice").await;
    world.remember("alice", "the boat is called Marigold").await;
    let file = world.folder("..").join("alice.being").display().to_string();
    let file = file.replace("/..", "");
    let export = ExportBeing { id: name("alice"), file: file.clone() };
    let exported = world.ask(&world.registry, export).await;
    assert!(exported.bytes > 0 && exported.sha256.len() == 64);
    let again = ExportBeing { id: name("alice"), file: file.clone() };
    assert!(matches!(world.refused(&world.registry, again).await, NoBeing::Failed { .. }));

    let as_it_was = ImportBeing { id: None, ..import(&file, "alice") };
    assert!(matches!(world.refused(&world.registry, as_it_was).await, NoBeing::Taken { .. }));
    let twin = world.ask(&world.registry, import(&file, "twin")).await;
    assert_eq!((twin.provider, twin.notes.len()), (None, 0));
    let twin = twin.being;
    assert_eq!((twin.id.as_str(), twin.name.as_str()), ("twin", "Alice"));
    let found = world.recall("twin", "what is the boat called").await;
    assert_eq!(found[0].memory.text, "the boat is called Marigold");
    // They share nothing.
    world.remember("twin", "the anchor is rusty").await;
    assert!(world.recall("alice", "anchor").await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_being_is_changed_and_keeps_it() {
    let world = World::new().await;
    let alice = world.create("Alice").await.address;
    let core = SetCore { title: "whom I talk to".to_owned(), text: Some("Ann".to_owned()) };
    assert_eq!(world.ask(&alice, core).await.core[0].text, "Ann");
    let changes = Json(serde_json::json!({ "name": "Alicia", "personality": null }));
    world.ask(&alice, UpdateCharacter { changes }).await;
    let wrong = Json(serde_json::json!({ "nmae": "x" }));
    let refused = world.refused(&alice, UpdateCharacter { changes: wrong.clone() }).await;
    assert!(refused.why.contains("name"), "{refused}");
    // The same by way of the registry, which knows it at once.
    let update = |changes: Json| UpdateBeing { id: name("alice"), changes };
    let called = Json(serde_json::json!({ "name": "Alina" }));
    assert_eq!(world.ask(&world.registry, update(called)).await.name, "Alina");
    let refused = world.refused(&world.registry, update(wrong)).await;
    assert!(matches!(refused, NoBeing::Senseless { .. }), "{refused}");
    let called = Json(serde_json::json!({ "name": "Alicia" }));
    world.ask(&alice, UpdateCharacter { changes: called }).await;
    let world = world.again().await;
    let info = world.ask(&alice, ShowBeing {}).await;
    assert_eq!((info.name.as_str(), info.core.len()), ("Alicia", 1));
    world
        .until(async |world| {
            let entry = world.ask(&world.registry, GetBeing { id: name("alice") }).await;
            entry.name == "Alicia"
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_the_registry_never_heard_is_told_when_the_being_wakes() {
    let world = World::new().await;
    let alice = world.create("Alice").await.address;
    let book = world.folder("registry.redb");
    world.house.shutdown().await;
    let before = std::fs::read(&book).unwrap();
    let world = world.again().await;
    let changes = Json(serde_json::json!({ "name": "Alicia" }));
    world.ask(&alice, UpdateCharacter { changes }).await;
    world.house.shutdown().await;
    std::fs::write(&book, before).unwrap();
    let world = world.again().await;
    let known =
        async |world: &World| world.ask(&world.registry, GetBeing { id: name("alice") }).await.name;
    assert_eq!(known(&world).await, "Alice");
    world.ask(&alice, ShowBeing {}).await;
    world.until(async |world| known(world).await == "Alicia").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beings_talk_with_each_other_and_in_no_circle() {
    let world = World::new().await;
    world.create("Alice").await;
    world.create("Bob").await;
    world.remember("bob", "the bakery opens at six").await;
    let alice = Address::parse("being/alice").unwrap();
    let say = |to: &str, path: &[&str]| Say {
        to: name(to),
        text: "When does the bakery open?".to_owned(),
        path: path.iter().map(|id| name(id)).collect(),
    };
    let said = world.ask(&alice, say("bob", &[])).await;
    assert!(said.text.contains("at six"), "{said:?}");
    // Each remembers its own view.
    let own = world.recall("alice", "what did bob say about the bakery").await;
    assert!(own.iter().any(|it| it.memory.speaker.as_deref() == Some("bob")), "{own:?}");
    let other = world.recall("bob", "what did Alice ask").await;
    assert!(other.iter().any(|it| it.memory.speaker.as_deref() == Some("Alice")), "{other:?}");

    let circle = world.refused(&alice, say("bob", &["bob"])).await;
    assert!(matches!(circle, NotSaid::Circle { .. }), "{circle}");
    let far = world.refused(&alice, say("bob", &["a", "b", "c", "d"])).await;
    assert!(matches!(far, NotSaid::TooFar { .. }), "{far}");
    let nobody = world.refused(&alice, say("carl", &[])).await;
    assert!(matches!(nobody, NotSaid::NoSuchBeing { .. }), "{nobody}");

    // Also of what is not answered.
    let away = serde_json::json!({
        "kind": "openai", "base_url": "http://127.0.0.1:9/v1", "model": "none", "retries_max": 0,
    });
    let bob = Address::parse("being/bob").unwrap();
    world.ask(&bob, SetProvider { settings: Json(away) }).await;
    let text = "Has the ferry sunk?".to_owned();
    let unheard = Say { to: name("bob"), text, path: Vec::new() };
    let why = world.refused(&alice, unheard).await;
    assert!(matches!(why, NotSaid::NotAnswered { .. }), "{why}");
    for id in ["alice", "bob"] {
        let found = world.recall(id, "ferry sunk").await;
        assert!(found.iter().any(|it| it.memory.text.contains("ferry")), "{id}: {found:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_being_repeated_is_forgotten_with_what_it_was_told() {
    let world = World::new().await;
    world.create("Alice").await;
    world.create("Bob").await;
    let alice = Address::parse("being/alice").unwrap();
    let say = |text: &str| Say { to: name("bob"), text: text.to_owned(), path: Vec::new() };
    let told = "The brass key hangs behind the clock.";
    world.ask(&alice, say(told)).await;
    let said = world.ask(&alice, say("Where does the brass key hang?")).await;
    assert!(said.text.contains("behind the clock"), "{said:?}");
    let found = world.recall("alice", "brass key").await;
    let first = found.iter().find(|it| it.memory.text == told).unwrap();
    let what = Forgettable::Memory { id: first.memory.id };
    world.ask(&alice, Forget { what }).await;
    let bytes = String::from_utf8_lossy(&world.bytes_of("alice")).into_owned();
    assert!(!bytes.contains("behind the clock"));
    assert!(bytes.contains("Where does the brass key hang?"), "what repeats nothing stays");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_said_at_once_is_answered_in_the_order_in_which_it_came() {
    const AT_ONCE: usize = 8;
    let world = World::new().await;
    world.create("Alice").await;
    // She sleeps when the first come, and not when the others do.
    let world = world.again().await;
    let alice = Address::parse("being/alice").unwrap();
    let mail = world.node.to(alice.clone());
    let history = async |world: &World| {
        let asked = ShowHistory { limit: Some(200), ..ShowHistory::default() };
        world.ask(&alice, asked).await.turns
    };
    for round in 1..=2 {
        for number in 1..=AT_ONCE {
            let said = format!("This is number {number}.");
            let query = Query { said, speaker: None, path: Vec::new() };
            mail.tell(query).await.unwrap();
        }
        world.until(async |world| history(world).await.len() == round * AT_ONCE).await;
    }
    let turns = history(&world).await;
    let said: Vec<&str> = turns.iter().rev().map(|turn| turn.said.as_str()).collect();
    let numbers = (1..=AT_ONCE).map(|number| format!("This is number {number}."));
    let twice: Vec<String> = numbers.clone().chain(numbers).collect();
    assert_eq!(said, twice);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_makes_no_sense_is_refused_and_leaves_nothing() {
    let world = World::new().await;
    let create = |character: Json, provider: Option<Json>| CreateBeing {
        id: Some(name("alice")),
        character,
        provider,
        node: None,
        isolation: None,
    };
    let nameless = Json(serde_json::json!({ "description": "nobody" }));
    let refused = world.refused(&world.registry, create(nameless, None)).await;
    assert!(refused.to_string().contains("name"), "{refused}");
    let key = Json(serde_json::json!({ "kind": "openai", "api_key": "sk-secret" }));
    let refused = world.refused(&world.registry, create(character("Alice"), Some(key))).await;
    assert!(!refused.to_string().contains("sk-secret"), "{refused}");
    assert!(!world.folder("alice").exists());
    world.create("Alice").await;
    let taken = world.refused(&world.registry, create(character("Alice"), None)).await;
    assert!(matches!(taken, NoBeing::Taken { .. }));
    let alice = Address::parse("being/alice").unwrap();
    let empty = Query { said: "  ".to_owned(), speaker: None, path: Vec::new() };
    let refused = world.refused(&alice, empty).await;
    assert_eq!(refused.to_string(), "nothing was said");
    let long = Query { said: "word ".repeat(40_000), speaker: None, path: Vec::new() };
    let refused = world.refused(&alice, long).await;
    assert!(refused.to_string().contains("say it in parts"), "{refused}");
    assert!(matches!(refused, NotAnswered::TooLong { turn: None, .. }), "{refused:?}");
    // What can be remembered is, although it finds no room in a prompt.
    let long = Query { said: "word ".repeat(13_000), speaker: None, path: Vec::new() };
    let refused = world.refused(&alice, long).await;
    let NotAnswered::TooLong { turn: Some(turn), .. } = refused else { panic!("{refused:?}") };
    let history = world.ask(&alice, ShowHistory::default()).await;
    let said = &history.turns[0];
    assert_eq!((said.id, said.said.len(), said.answer.is_none()), (turn, 65_000, true));
    assert!(said.failure.as_ref().unwrap().contains("say it in parts"));
    world.query("alice", "Who are you?").await;
    let empty = Remember { text: String::new(), speaker: None, at: None };
    let refused = world.refused(&alice, empty).await;
    assert!(refused.why.contains("bytes"), "{refused}");
    let many = RecallMemories { question: String::new(), ..RecallMemories::default() };
    assert!(world.ask(&alice, many).await.memories.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_talk_with_many_at_once() {
    let world = World::with("awake_max = 4").await;
    for number in 0..12 {
        world.create_as(&format!("b{number}"), "Being").await;
    }
    let mut talks = Vec::new();
    for talk in 0..48_u32 {
        let mail = world.node.to(Address::parse(&format!("being/b{}", talk % 12)).unwrap());
        talks.push(tokio::spawn(async move {
            let said = format!("Remember that the number of talk {talk} is {talk}.");
            let query = Query { said, speaker: Some(format!("Caller {talk}")), path: Vec::new() };
            mail.ask_within(query, Duration::from_secs(60)).await.map(|it| it.turn)
        }));
    }
    for talk in talks {
        let answered: Result<u64, AskError<_>> = talk.await.unwrap();
        answered.unwrap_or_else(|error| panic!("{}", refusal(error)));
    }
    for number in 0..12 {
        let being = Address::parse(&format!("being/b{number}")).unwrap();
        assert_eq!(world.ask(&being, ShowHistory::default()).await.turns.len(), 4);
    }
}
