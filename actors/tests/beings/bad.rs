//! What goes wrong for one being, and for nobody else.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use genii_protocols::being::{
    AskHealth, NotAnswered, ProviderFault, Query, Remember, SetBudget, SetProvider, ShowHistory,
    ShowProvider,
};
use genii_protocols::beings::{BeingState, GetBeing, NoBeing};
use genii_protocols::budget::BudgetLimits;
use genii_protocols::{AskError, CauseKind, Fault, Json};

use crate::world::{PATIENCE, World, being, import, name};

/// A small disk of its own, where that is permitted.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path) -> Option<Self> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=24m", "tmpfs"]).arg(at);
        let mounted = mount.stderr(Stdio::null()).status();
        mounted.is_ok_and(|status| status.success()).then(|| Self(at.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(&self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_told_and_harms_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let Some(_disk) = SmallDisk::mount(folder.path()) else {
        println!("not tried: mounting a small disk is not permitted here");
        return;
    };
    let world = World::on(folder, String::new()).await;
    world.create("Alice").await;
    world.remember("alice", "the kettle is on the stove").await;
    let ballast = world.data().join("ballast");
    // It takes all that there is.
    std::fs::write(&ballast, vec![0; 64 << 20]).unwrap_err();

    let long = |number: u32| format!("Letter {number}: {}", "much has happened here. ".repeat(400));
    let mut kept = 0;
    let why = loop {
        let said = Query { said: long(kept), speaker: None, path: Vec::new() };
        match world.node.to(being("alice")).ask_within(said, PATIENCE).await {
            Ok(_) => kept += 1,
            Err(AskError::Refused(NotAnswered::Store { why })) => break why,
            Err(other) => panic!("{other}"),
        }
        assert!(kept < 1_000, "there is room for everything");
    };
    assert!(why.contains("no space is left"), "{why}");
    let more = Remember { text: long(0), speaker: None, at: None };
    let refused = world.refused(&being("alice"), more).await;
    assert!(refused.why.contains("no space is left"), "{refused}");
    let found = world.recall("alice", "Where is the kettle?").await;
    assert_eq!(found[0].memory.text, "the kettle is on the stove", "what there is can be read");

    std::fs::remove_file(&ballast).unwrap();
    let answered = world.query("alice", "Where is the kettle?").await;
    assert!(answered.text.contains("on the stove"), "{}", answered.text);
    let world = world.again().await;
    let all = ShowHistory { before: None, limit: Some(200) };
    let turns = world.ask(&being("alice"), all).await.turns;
    assert_eq!(turns[0].said, "Where is the kettle?");
    for number in kept.saturating_sub(100)..kept {
        assert!(turns.iter().any(|turn| turn.said == long(number)), "letter {number} is lost");
    }
    let health = world.ask(&being("alice"), AskHealth {}).await;
    assert!(health.is_well, "{health:?}");
    world.house.shutdown().await;
}

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
