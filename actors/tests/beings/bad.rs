//! What goes wrong for one being, and for nobody else.

use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use genii_protocols::being::{
    AskHealth, Forget, Forgettable, ListReminders, MemoryKind, NotAnswered, ProviderFault, Query,
    Remind, SetBudget, SetCore, SetProvider, ShowBeing, ShowHistory, ShowProvider,
};
use genii_protocols::beings::{
    BeingState, CheckBeing, Checked, GetBeing, IsolateBeing, Isolation, NoBeing, Soundness,
};
use genii_protocols::budget::BudgetLimits;
use genii_protocols::{AskError, CauseKind, Fault, Json};
use genii_supervision::{Event, What};

use crate::world::{World, being, contains, import, name};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_being_with_a_damaged_store_is_held_back_and_no_other() {
    let world = World::new().await;
    world.create("Alice").await;
    world.create("Bob").await;
    world.remember("bob", "the bakery opens at six").await;
    let world = {
        world.house.shutdown().await;
        let store = world.folder("alice").join("being.redb");
        std::fs::write(store, vec![0x5a; 50_000]).unwrap();
        world.again().await
    };
    let answer =
        world.node.to(being("alice")).ask_within(AskHealth {}, crate::world::PATIENCE).await;
    let Err(AskError::Fault(fault)) = answer else { panic!("{answer:?}") };
    assert!(fault.to_string().contains("not a store"), "{fault}");
    world
        .until(async |world| {
            let entry = world.ask(&world.registry, GetBeing { id: name("alice") }).await;
            entry.state == BeingState::Quarantined && entry.why.is_some()
        })
        .await;
    let answer = world.node.to(being("alice")).ask(AskHealth {}).await;
    let Err(AskError::Fault(fault)) = answer else { panic!("{answer:?}") };
    assert!(matches!(*fault, Fault::Down { cause, .. } if cause.kind == CauseKind::Quarantined));
    assert_eq!(world.recall("bob", "bakery").await.len(), 1);

    // What is set of it does not make it well.
    let isolate = IsolateBeing { id: name("alice"), isolation: Isolation::Actor };
    world.ask(&world.registry, isolate).await;
    world
        .until(async |world| {
            let entry = world.ask(&world.registry, GetBeing { id: name("alice") }).await;
            entry.state == BeingState::Quarantined && entry.why.is_some()
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_that_is_met_while_a_being_lives_is_told_and_it_goes_on() {
    const TEXT: &str = "the kettle is on the stove";
    let (world, alice) = (World::new().await, being("alice"));
    world.create("Alice").await;
    let tomorrow = SystemTime::now() + Duration::from_secs(86_400);
    let remind = Remind { at: tomorrow.into(), text: TEXT.to_owned() };
    world.ask(&alice, remind).await;
    // A store of more than 4 MiB is not looked through when it is opened.
    for number in 0..80 {
        world.remember("alice", &format!("{number} {}", "x".repeat(60_000))).await;
    }
    world.house.shutdown().await;
    let store = world.folder("alice").join("being.redb");
    let mut bytes = std::fs::read(&store).unwrap();
    assert!(bytes.len() > 4 << 20);
    let is_it = |at: &usize| bytes[*at..].starts_with(TEXT.as_bytes());
    let places: Vec<_> = (0..bytes.len()).filter(is_it).collect();
    places.into_iter().for_each(|at| bytes[at] = b'T');
    std::fs::write(&store, bytes).unwrap();

    let world = world.again().await;
    let refused = world.refused(&alice, ListReminders::default()).await;
    assert!(refused.why.contains("damaged: it is not what was written"), "{refused}");
    let health = world.ask(&alice, AskHealth {}).await;
    assert!(!health.is_well, "{health:?}");
    let is_damage = |note: &String| note.contains("its store is damaged");
    assert!(health.notes.iter().any(is_damage), "{health:?}");
    world.remember("alice", "the anchor is rusty").await;
    assert_eq!(world.recall("alice", "anchor").await[0].memory.text, "the anchor is rusty");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_be_read_of_a_damaged_being_is_saved_when_the_rest_is_given_up() {
    const LOST: &str = "the kettle is on the stove";
    const KEPT: [&str; 2] = ["the anchor is rusty", "the bakery opens at six"];
    let (world, alice) = (World::new().await, being("alice"));
    world.create("Alice").await;
    world.remember("alice", KEPT[0]).await;
    let lost = world.remember("alice", LOST).await;
    world.remember("alice", KEPT[1]).await;
    world.house.shutdown().await;
    let store = world.folder("alice").join("being.redb");
    let mut bytes = std::fs::read(&store).unwrap();
    let is_it = |at: &usize| bytes[*at..].starts_with(LOST.as_bytes());
    let places: Vec<_> = (0..bytes.len()).filter(is_it).collect();
    places.into_iter().for_each(|at| bytes[at] = b'T');
    std::fs::write(&store, &bytes).unwrap();

    let world = world.again().await;
    let check = |give_up| CheckBeing { id: name("alice"), repair: false, give_up };
    let memories = |checked: &Checked| {
        let table = checked.tables.iter().find(|table| table.name == "memories").unwrap();
        (table.entries, table.lost, table.gaps.clone())
    };
    let found = world.ask(&world.registry, check(false)).await;
    assert_eq!((found.finding, found.can_be_saved), (Soundness::Damaged, true), "{found:?}");
    let gap = format!("between {} and {}", lost - 1, lost + 1);
    assert_eq!(memories(&found), (2, 1, vec![gap]));
    assert!(std::fs::read(&store).unwrap() == bytes, "nothing is given up unasked");
    let saved = world.ask(&world.registry, check(true)).await;
    assert_eq!((saved.finding, saved.is_repaired), (Soundness::Whole, true), "{saved:?}");
    assert_eq!(memories(&saved), memories(&found));
    let is_noted = |event: &Event| matches!(event.what, What::KeptNote { .. });
    let noted = world.node.tree().journal.tail(1, is_noted);
    let (of, done) = (noted[0].key.as_str(), noted[0].what.to_string());
    assert!(of == "being/alice" && done.starts_with("was damaged, and "), "{of} {done}");
    assert!(done.ends_with("given up"), "{done}");
    for text in KEPT {
        assert_eq!(world.recall("alice", text).await[0].memory.text, text);
    }
    let next = world.remember("alice", "the tide turns at noon").await;
    assert!(next > lost + 1, "{next} was given before");

    // What was there is kept until something is forgotten for good, also if that is what was lost.
    let damaged = store.with_extension("redb.damaged");
    assert!(std::fs::read(&damaged).unwrap() == bytes);
    let what = Forgettable::Matching { text: "kettle".to_owned() };
    let forgotten = world.ask(&alice, Forget { what }).await;
    assert_eq!(forgotten.memories, 0, "it cannot be found");
    assert!(!damaged.exists());
    let left = world.bytes_of("alice");
    let secret = b"kettle";
    assert!(!left.windows(secret.len()).any(|window| window == secret));
    assert_eq!(world.recall("alice", KEPT[1]).await[0].memory.text, KEPT[1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_being_remembered_of_turns_that_are_left_is_remembered_again() {
    const SAID: [&str; 3] =
        ["The kettle is on the stove.", "I live in Faro.", "The anchor is rusty."];
    let (world, alice) = (World::new().await, being("alice"));
    world.create("Alice").await;
    for said in SAID {
        let (said, speaker) = (said.to_owned(), Some("Ann".to_owned()));
        world.ask(&alice, Query { said, speaker, path: Vec::new() }).await;
    }
    let what = Forgettable::Matching { text: "anchor".to_owned() };
    world.ask(&alice, Forget { what }).await;
    let before = world.recall("alice", "kettle").await[0].memory.clone();
    assert_eq!((before.text.as_str(), before.speaker.as_deref()), (SAID[0], Some("Ann")));
    world.house.shutdown().await;
    let store = world.folder("alice").join("being.redb");
    let mut bytes = std::fs::read(&store).unwrap();
    // In a memory it is followed by who said it, and in a turn by the answer.
    let of_ann = |said: &str| [said.as_bytes(), b"\x01\x03Ann"].concat();
    let memories = SAID.map(of_ann);
    let is_it = |at: &usize| memories.iter().any(|memory| bytes[*at..].starts_with(memory));
    let places: Vec<_> = (0..bytes.len()).filter(is_it).collect();
    places.into_iter().for_each(|at| bytes[at] ^= 1);
    std::fs::write(&store, &bytes).unwrap();

    let world = world.again().await;
    let check = |give_up| CheckBeing { id: name("alice"), repair: false, give_up };
    for give_up in [false, true] {
        let checked = world.ask(&world.registry, check(give_up)).await;
        let memories = checked.tables.iter().find(|table| table.name == "memories").unwrap();
        assert_eq!((memories.entries, memories.lost), (0, 3), "{checked:?}");
        let is_told = |note: &String| note.contains("lost of memories is made again");
        assert!(checked.notes.iter().any(is_told), "{checked:?}");
    }
    assert_eq!(world.recall("alice", "kettle").await[0].memory, before);
    let about_faro = world.recall("alice", "Where do I live? In Faro?").await;
    let is_fact = |kind| about_faro.iter().any(|it| it.memory.kind == kind);
    assert!(is_fact(MemoryKind::Fact) && is_fact(MemoryKind::Turn), "{about_faro:?}");
    let about_the_anchor = world.recall("alice", "The anchor is rusty").await;
    let is_forgotten = about_the_anchor.iter().all(|it| it.memory.text != SAID[2]);
    assert!(is_forgotten, "{about_the_anchor:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_being_of_whose_file_the_beginning_is_damaged_is_saved() {
    const TEXT: &str = "the anchor is rusty";
    let world = World::new().await;
    world.create("Alice").await;
    world.remember("alice", TEXT).await;
    world.house.shutdown().await;
    let store = world.folder("alice").join("being.redb");
    let mut bytes = std::fs::read(&store).unwrap();
    bytes[3] ^= 1;
    std::fs::write(&store, &bytes).unwrap();

    let world = world.again().await;
    let check = |give_up| CheckBeing { id: name("alice"), repair: false, give_up };
    let found = world.ask(&world.registry, check(false)).await;
    assert_eq!((found.finding, found.can_be_saved), (Soundness::Damaged, true), "{found:?}");
    assert!(found.words.contains("it does not begin as one does"), "{found:?}");
    assert!(found.tables.iter().all(|table| table.lost == 0), "{found:?}");
    let saved = world.ask(&world.registry, check(true)).await;
    assert_eq!((saved.finding, saved.is_repaired), (Soundness::Whole, true), "{saved:?}");
    let is_told = |note: &String| note.contains("copy it elsewhere if you need it");
    assert!(saved.notes.iter().any(is_told), "{saved:?}");
    assert_eq!(world.recall("alice", "anchor").await[0].memory.text, TEXT);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_is_in_use_elsewhere_is_not_taken() {
    let world = World::new().await;
    world.create("Alice").await;
    world.house.shutdown().await;
    let store = world.folder("alice").join("being.redb");
    let schema = genii_storage::store::Schema::new("being", 3, &[]);
    let held = genii_storage::store::Store::open(store, &schema, &Default::default()).unwrap();
    let world = world.again().await;
    let answer = world.node.to(being("alice")).ask(AskHealth {}).await;
    let Err(AskError::Fault(fault)) = answer else { panic!("{answer:?}") };
    assert!(fault.to_string().contains("in use elsewhere"), "{fault}");
    held.close().await.unwrap();
    world.until(async |world| world.node.to(being("alice")).ask(AskHealth {}).await.is_ok()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_said_is_remembered_also_if_nobody_answers() {
    let world = World::new().await;
    world.create("Alice").await;
    // Nobody listens on this port: it was free a moment ago, and is let go of.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let settings = Json(serde_json::json!({
        "kind": "openai", "base_url": format!("http://127.0.0.1:{port}/v1"), "model": "m",
        "retries_max": 0,
    }));
    let info = world.ask(&being("alice"), SetProvider { settings }).await;
    assert!(info.provider.contains('m'), "{}", info.provider);
    let said = "The kettle is on the stove.".to_owned();
    let query = Query { said, speaker: Some("Ann".to_owned()), path: Vec::new() };
    let refused = world.refused(&being("alice"), query).await;
    let NotAnswered::Provider { kind: ProviderFault::Unreachable, turn, .. } = refused else {
        panic!("{refused}")
    };
    let history = world.ask(&being("alice"), ShowHistory::default()).await;
    assert_eq!((history.turns[0].id, history.turns[0].answer.as_ref()), (turn, None));
    assert!(history.turns[0].failure.as_ref().unwrap().contains("cannot be reached"));
    let recalled = world.recall("alice", "kettle").await;
    assert!(recalled[0].memory.text.contains("kettle"), "{recalled:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_set_for_a_provider_is_told_and_a_misspelt_name_changes_nothing() {
    let world = World::new().await;
    world.create("Alice").await;
    let alice = being("alice");
    let written = serde_json::json!({
        "kind": "openai", "base_url": "http://127.0.0.1:9/v1", "model": "m",
        "key_env": "KEY_OF_THE_HOUSE", "prompt_tokens_max": 2_800,
    });
    world.ask(&alice, SetProvider { settings: Json(written.clone()) }).await;
    let mut misspelt = written.clone();
    misspelt["timout"] = "5s".into();
    let refused = world.refused(&alice, SetProvider { settings: Json(misspelt) }).await;
    assert!(refused.why.contains("did you mean `connect_timeout` or "), "{refused}");
    let told = world.ask(&alice, ShowProvider {}).await;
    assert_eq!(told.provider, "m at http://127.0.0.1:9/v1");
    assert_eq!(told.settings.0, written);
    assert_eq!(told.defaults.0["reply_tokens_max"], 1_024);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_budget_that_is_spent_is_told_and_what_was_said_is_kept() {
    let world = World::new().await;
    world.create("Alice").await;
    let limits = BudgetLimits { requests_per_day: Some(1), ..BudgetLimits::default() };
    world.ask(&being("alice"), SetBudget { limits }).await;
    world.query("alice", "Who are you?").await;
    let said = "The kettle is on the stove.".to_owned();
    let query = Query { said, speaker: None, path: Vec::new() };
    let refused = world.refused(&being("alice"), query).await;
    assert!(matches!(refused, NotAnswered::Spent { .. }), "{refused}");
    let recalled = world.recall("alice", "kettle").await;
    assert!(recalled[0].memory.text.contains("kettle"), "{recalled:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_holds_no_being_is_refused_and_leaves_nothing() {
    let world = World::new().await;
    let file = world.folder("").with_file_name("nonsense.being");
    std::fs::write(&file, b"this is no being").unwrap();
    let import = |file: &str| import(file, "alice");
    let refused = world.refused(&world.registry, import(file.to_str().unwrap())).await;
    assert!(matches!(refused, NoBeing::Senseless { .. }), "{refused}");
    let missing = world.refused(&world.registry, import("/nowhere/x.being")).await;
    assert!(matches!(missing, NoBeing::Senseless { .. }), "{missing}");
    let relative = world.refused(&world.registry, import("x.being")).await;
    assert!(relative.to_string().contains("absolute"), "{relative}");
    assert!(!world.folder("alice").exists());
    world.create_as("alice", "Alice").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_being_that_wakes_without_a_registry_leaves_no_dead_letter() {
    let world = World::new().await;
    world.create("Alice").await;
    let _asleep_already = world.house.stop("being/alice").await;
    world.house.stop("beings/registry").await.unwrap();
    // It has told its name when it answers.
    assert!(world.ask(&being("alice"), AskHealth {}).await.is_well);
    let dead = world.node.dead_letters().tail(usize::MAX);
    assert!(dead.iter().all(|letter| letter.message != "beings.renamed"), "{dead:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_changes_a_being_without_a_pause_does_it_no_harm() {
    // More than an agent may have tasks.
    const CHANGES: usize = 1_300;
    let world = World::new().await;
    world.create("Alice").await;
    let said = world.query("alice", "Good morning.").await;
    let change = async |number: usize| {
        let text = Some(format!("I have changed my mind {number} times."));
        let set = SetCore { title: "my mind".to_owned(), text };
        world.ask(&being("alice"), set).await;
    };
    for from in (0..CHANGES).step_by(100) {
        join_all((from..from + 100).map(change)).await;
    }
    let info = world.ask(&being("alice"), ShowBeing {}).await;
    assert!(info.core.iter().any(|block| block.text.contains("1299 times")), "{:?}", info.core);
    assert_eq!(world.query("alice", "And now?").await.turn, said.turn + 1);
    // All that was there before is gone from the disk.
    world.until(async |world| !contains(&world.bytes_of("alice"), "mind 1200 times")).await;
}
