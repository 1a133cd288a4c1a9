//! Beings that live on two machines, and move. The machines are two nodes in this process, on a simulated
//! network, the real clock and a disk.

mod noted;
mod panicking;
mod settling;
mod stuck;
mod talking;

use std::path::{Path, PathBuf};
use std::time::Duration;

use genii_protocols::being::{
    Answered, Query, RecallMemories, Remember, SetProvider, ShowBeing, ShowHistory, Turn,
};
use genii_protocols::beings::{
    BeingEntry, BeingState, CreateBeing, DeleteBeing, ExportBeing, GetBeing, ImportBeing,
    Isolation, ListBeings, MigrateBeing, NoBeing,
};
use genii_protocols::{Address, AskError, Destination, Json, Message, Name, NodeName, Timestamp};
use genii_runtime::cluster::{Cluster, Timing};
use genii_runtime::link::simulated::Waters;
use genii_runtime::topology::Topology;
use genii_runtime::{Catalogue, House, Node, NodeOptions};
use genii_supervision::{Event, Key};
use tempfile::TempDir;

use super::book::{Book, Entry, Stage};
use crate::being::birth::Birth;
use crate::beings::home::folders::LEAVING;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

const HOUSE: &str = r#"
[groups.beings]
node = "main"
[groups.homes]
[agents."beings/registry"]
kind = "beings-registry"
wants = ["homes/beings"]
[agents."homes/beings"]
kind = "beings-home"
"#;

/// A machine that runs.
struct Machine {
    node: Node,
    cluster: Cluster,
    house: House,
}

impl Machine {
    async fn boot(world: &World, own: &str, life: u64) -> Self {
        Self::boot_as(world, own, life, HOUSE, crate::catalogue()).await
    }

    async fn boot_as(
        world: &World,
        own: &str,
        life: u64,
        topology: &str,
        kinds: Catalogue,
    ) -> Self {
        let own = node(own);
        let data = world.disk.path().join(own.as_str());
        std::fs::create_dir_all(&data).unwrap();
        let node_options = NodeOptions { data: Some(data), ..NodeOptions::new(own.clone()) };
        let of = Node::new(node_options);
        let network = world.waters.harbour_that_knows(&own, &[node("main"), node("pc2")]);
        let cluster = Cluster::begin(&of, network, Timing::default(), life * 1_000);
        let topology = Topology::parse(topology, &kinds).unwrap();
        let house = House::begin(of.clone(), kinds, topology).await.unwrap();
        house.up().await.unwrap();
        Self { node: of, cluster, house }
    }

    async fn end(self) {
        self.house.shutdown().await;
        self.cluster.leave().await;
        self.cluster.end();
    }

    async fn try_ask<M: Message>(
        &self,
        to: &Address,
        message: M,
    ) -> Result<M::Reply, AskError<M::Refusal>> {
        self.node.to(to.clone()).ask_within(message, PATIENCE).await
    }

    async fn ask<M: Message>(&self, to: &Address, message: M) -> M::Reply {
        self.try_ask(to, message).await.unwrap_or_else(|error| panic!("{to}: {error}"))
    }

    async fn refused<M: Message>(&self, to: &Address, message: M) -> M::Refusal
    where
        M::Reply: std::fmt::Debug,
    {
        match self.try_ask(to, message).await {
            Err(AskError::Refused(refusal)) => refusal,
            other => panic!("{to} did not refuse: {other:?}"),
        }
    }

    /// Asks the home of this machine, as the registry does.
    async fn ask_home<M: Message>(&self, message: M) -> M::Reply {
        let address = Address::parse("homes/beings").unwrap();
        let home = self.node.to(Destination { address, node: Some(self.node.name().clone()) });
        let answer = home.ask_within(message, PATIENCE).await;
        answer.unwrap_or_else(|error| panic!("{}: {error}", home.to()))
    }

    async fn recalls(&self, id: &str, question: &str, text: &str) -> bool {
        let question = question.to_owned();
        let recall = RecallMemories { question, ..RecallMemories::default() };
        let recalled = self.try_ask(&being(id), recall).await;
        recalled.is_ok_and(|it| it.memories.iter().any(|it| it.memory.text == text))
    }
}

/// Two machines.
struct World {
    disk: TempDir,
    waters: Waters,
    machines: Vec<Machine>,
    life: u64,
}

impl World {
    async fn new() -> Self {
        let waters = Waters::new(7, (Duration::from_micros(100), Duration::from_millis(1)));
        let disk = tempfile::tempdir().unwrap();
        let mut world = Self { disk, waters, machines: Vec::new(), life: 1 };
        world.boot("main").await;
        world.boot("pc2").await;
        world.homes_are(2).await;
        world
    }

    async fn boot(&mut self, own: &str) {
        self.life += 1;
        let machine = Machine::boot(self, own, self.life).await;
        self.machines.push(machine);
    }

    async fn end(&mut self) {
        for machine in self.machines.drain(..) {
            machine.end().await;
        }
    }

    fn main(&self) -> &Machine {
        &self.machines[0]
    }

    fn pc2(&self) -> &Machine {
        &self.machines[1]
    }

    /// Waits until the registry knows so many homes.
    async fn homes_are(&self, count: usize) {
        let group = Name::new(crate::beings::errands::HOMES).unwrap();
        until(async || self.main().node.group_members(&group).len() == count).await;
    }

    async fn create(&self, id: &str, on: Option<&str>) -> BeingEntry {
        let character = Json(serde_json::json!({ "name": id }));
        let (id, node) = (Some(name(id)), on.map(node));
        let isolation = Some(Isolation::Actor);
        let create = CreateBeing { id, character, provider: None, node, isolation };
        self.main().ask(&registry(), create).await
    }

    async fn migrate(&self, id: &str, to: &str) -> BeingEntry {
        let migrate = MigrateBeing { id: name(id), node: node(to) };
        self.main().ask(&registry(), migrate).await
    }

    async fn refused<M: Message>(&self, message: M) -> M::Refusal
    where
        M::Reply: std::fmt::Debug,
    {
        self.main().refused(&registry(), message).await
    }

    /// All that was said to a being, the oldest first.
    async fn history(&self, id: &str) -> Vec<Turn> {
        let mut turns: Vec<Turn> = Vec::new();
        loop {
            let before = turns.last().map(|turn| turn.id);
            let page = ShowHistory { before, limit: Some(200) };
            let page = self.main().ask(&being(id), page).await;
            turns.extend(page.turns);
            if page.older.is_none() {
                break;
            }
        }
        turns.reverse();
        turns
    }

    /// Whether the journal has this of a being.
    fn has_noted(&self, id: &str, text: &str) -> bool {
        let key = Key::from(being(id).shared());
        let journal = &self.main().node.tree().journal;
        let is_meant = |event: &Event| event.key == key && event.what.to_string().contains(text);
        !journal.tail(1, is_meant).is_empty()
    }

    fn beings(&self, on: &str) -> PathBuf {
        self.disk.path().join(on).join("beings")
    }

    fn folder(&self, on: &str, id: &str) -> PathBuf {
        self.beings(on).join(id)
    }

    /// A copy of a store has come to a machine, and lies there, whole or not.
    fn has_come(&self, store: &Path, on: &str, at: &str, is_whole: bool) {
        let to = self.beings(on).join(at).join("being.redb");
        copy(store, &to);
        if !is_whole {
            std::fs::write(to, b"half").unwrap();
        }
    }

    /// Waits until a being lives on one machine, remembers, and nothing of it is on the other.
    async fn comes_to_live(&self, id: &str, on: &str, not_on: &str) {
        until(async || {
            let coming = |on: &str| self.beings(on).join(".coming").join(id).exists();
            let is_whole = self.folder(on, id).join("being.redb").exists()
                && !self.folder(on, id).join(LEAVING).exists()
                && !self.folder(not_on, id).exists()
                && !coming(on)
                && !coming(not_on);
            let entry = self.main().try_ask(&registry(), GetBeing { id: name(id) }).await;
            is_whole && entry.is_ok_and(|entry| entry.node == node(on))
        })
        .await;
        for machine in &self.machines {
            until(async || machine.recalls(id, "boat", BOAT).await).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_being_lives_where_that_is_set() {
    const SET: &str = "[agents.\"beings/registry\".settings]\nhome = \"pc2\"\n";
    let waters = Waters::new(7, (Duration::from_micros(100), Duration::from_millis(1)));
    let disk = tempfile::tempdir().unwrap();
    let mut world = World { disk, waters, machines: Vec::new(), life: 1 };
    for (life, own) in [(2, "main"), (3, "pc2")] {
        let topology = format!("{HOUSE}{SET}");
        let machine = Machine::boot_as(&world, own, life, &topology, crate::catalogue()).await;
        world.machines.push(machine);
    }
    world.homes_are(2).await;
    // By the fewest, the first would live on main.
    for id in ["alice", "bob"] {
        assert_eq!(world.create(id, None).await.node, node("pc2"));
    }
    assert_eq!(world.create("carl", Some("main")).await.node, node("main"));
    world.end().await;
}

const BOAT: &str = "the boat is called Marigold";

fn node(text: &str) -> NodeName {
    NodeName::new(text).unwrap()
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn being(id: &str) -> Address {
    Address::parse(&format!("being/{id}")).unwrap()
}

fn registry() -> Address {
    Address::parse("beings/registry").unwrap()
}

fn note(text: &str) -> Remember {
    Remember { text: text.to_owned(), speaker: None, at: None }
}

fn query(said: String) -> Query {
    Query { said, speaker: None, path: Vec::new() }
}

/// Waits until something holds.
async fn until(holds: impl AsyncFn() -> bool) {
    let looking = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.expect("it comes to hold");
}

/// It is refused since something lies on pc2 where a being would live.
#[track_caller]
fn is_in_the_way(refused: &NoBeing, id: &str) {
    let NoBeing::Failed { why } = refused else { panic!("{refused:?}") };
    assert!(why.contains("on pc2") && why.contains(&format!("beings/{id}")), "{why}");
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to.parent().unwrap()).unwrap();
    std::fs::copy(from, to).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_beings_live_where_the_fewest_do() {
    let mut world = World::new().await;
    for number in 0..4 {
        world.create(&format!("b{number}"), None).await;
    }
    let beings = world.main().ask(&registry(), ListBeings::default()).await.beings;
    let on = |on: &str| beings.iter().filter(|being| being.node == node(on)).count();
    assert_eq!((on("main"), on("pc2")), (2, 2));
    assert!(beings.iter().all(|being| being.state != BeingState::Unreachable), "{beings:?}");
    let elsewhere = world.create("c", Some("pc2")).await;
    assert_eq!(elsewhere.node, node("pc2"));
    assert!(world.folder("pc2", "c").exists() && !world.folder("main", "c").exists());
    let character = Json(serde_json::json!({ "name": "x" }));
    let nowhere = CreateBeing {
        id: None,
        character,
        provider: None,
        node: Some(node("pc9")),
        isolation: None,
    };
    let refused = world.refused(nowhere).await;
    assert!(refused.to_string().contains("pc9 is not linked"), "{refused}");
    // Those of a machine that is away are told of, and not deleted.
    world.machines.pop().unwrap().end().await;
    until(async || {
        let entry = world.main().ask(&registry(), GetBeing { id: name("c") }).await;
        entry.state == BeingState::Unreachable
    })
    .await;
    let delete = DeleteBeing { id: name("c"), lost: false };
    let refused = world.refused(delete.clone()).await;
    assert!(refused.to_string().contains("pc2 is not linked"), "{refused}");
    world.boot("pc2").await;
    world.homes_are(2).await;
    world.main().ask(&registry(), delete).await;
    assert!(!world.folder("pc2", "c").exists());
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_being_moves_with_all_that_it_remembers() {
    let mut world = World::new().await;
    world.create("alice", Some("main")).await;
    world.pc2().ask(&being("alice"), note(BOAT)).await;
    let moved = world.migrate("alice", "pc2").await;
    assert_eq!(moved.node, node("pc2"));
    world.comes_to_live("alice", "pc2", "main").await;
    // What was said of how it is kept apart goes with it.
    assert_eq!(moved.isolation, Some(Isolation::Actor));
    assert!(world.folder("pc2", "alice").join("tenancy.json").exists());
    // To where it is already is no move.
    assert_eq!(world.migrate("alice", "pc2").await.node, node("pc2"));
    until(async || {
        let back = MigrateBeing { id: name("alice"), node: node("main") };
        world.main().try_ask(&registry(), back).await.is_ok()
    })
    .await;
    world.comes_to_live("alice", "main", "pc2").await;
    // From here on it is as any other, also after all have ended.
    world.end().await;
    world.boot("main").await;
    world.boot("pc2").await;
    world.comes_to_live("alice", "main", "pc2").await;
    let nobody = world.refused(MigrateBeing { id: name("bob"), node: node("pc2") }).await;
    assert!(matches!(nobody, NoBeing::NotFound { .. }), "{nobody}");
    let nowhere = world.refused(MigrateBeing { id: name("alice"), node: node("pc9") }).await;
    assert!(nowhere.to_string().contains("pc9 is not linked"), "{nowhere}");
    world.comes_to_live("alice", "main", "pc2").await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_being_that_moves_keeps_its_provider() {
    let mut world = World::new().await;
    world.create("alice", Some("main")).await;
    let settings = serde_json::json!({
        "kind": "openai", "base_url": "http://127.0.0.1:9/v1", "model": "wise-1",
    });
    let set = SetProvider { settings: Json(settings) };
    let before = world.main().ask(&being("alice"), set).await.provider;
    assert!(before.contains("wise-1"), "{before}");
    world.migrate("alice", "pc2").await;
    until(async || {
        let after = world.main().try_ask(&being("alice"), ShowBeing {}).await;
        after.is_ok_and(|info| info.provider == before)
    })
    .await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_said_while_a_being_moves_is_answered_once_and_in_order() {
    const TALKS: u32 = 30;
    let mut world = World::new().await;
    world.create("alice", Some("main")).await;
    let mut talks = Vec::new();
    for machine in ["main", "pc2"] {
        let from = if machine == "main" { world.main() } else { world.pc2() };
        let mail = from.node.to(being("alice"));
        talks.push(tokio::spawn(async move {
            for talk in 0..TALKS {
                let said = query(format!("{machine} says number {talk}"));
                let answered: Result<Answered, _> = mail.ask_within(said, PATIENCE).await;
                answered.unwrap_or_else(|error| panic!("{machine} {talk}: {error}"));
            }
        }));
    }
    world.migrate("alice", "pc2").await;
    for talk in talks {
        talk.await.unwrap();
    }
    let turns = world.history("alice").await;
    for machine in ["main", "pc2"] {
        let said = turns.iter().map(|turn| turn.said.clone()).filter(|it| it.starts_with(machine));
        let expected: Vec<_> = (0..TALKS).map(|it| format!("{machine} says number {it}")).collect();
        assert_eq!(said.collect::<Vec<_>>(), expected);
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_being_that_cannot_be_shipped_stays() {
    let mut world = World::new().await;
    world.create("alice", Some("main")).await;
    world.main().ask(&being("alice"), note(BOAT)).await;
    // Something lies where it would live.
    let in_the_way = world.folder("pc2", "alice");
    std::fs::create_dir_all(&in_the_way).unwrap();
    let migrate = || MigrateBeing { id: name("alice"), node: node("pc2") };
    is_in_the_way(&world.refused(migrate()).await, "alice");
    std::fs::remove_dir(&in_the_way).unwrap();
    world.comes_to_live("alice", "main", "pc2").await;
    // The other machine is lost while it is on its way.
    let moving = {
        let mail = world.main().node.to(registry());
        tokio::spawn(async move { mail.ask_within(migrate(), PATIENCE).await })
    };
    world.waters.cut(&node("main"), &node("pc2"));
    let moved = moving.await.unwrap();
    world.waters.heal(&node("main"), &node("pc2"));
    world.homes_are(2).await;
    match moved {
        Ok(_) => world.comes_to_live("alice", "pc2", "main").await,
        Err(_) => {
            let is_there = async || world.folder("pc2", "alice").join("being.redb").exists();
            // It is where the book has it.
            let entry = world.main().ask(&registry(), GetBeing { id: name("alice") }).await;
            match entry.node == node("pc2") || is_there().await {
                true => world.comes_to_live("alice", "pc2", "main").await,
                false => world.comes_to_live("alice", "main", "pc2").await,
            }
        }
    }
    world.end().await;
}

/// What is on the disks when all ends after some step of a move.
struct Cut {
    stage: Stage,
    lives_on: &'static str,
    /// How it lies on the old machine: as it lived, marked, or not at all.
    old: Option<bool>,
    /// Where the copy lies on the new machine, and whether it is whole.
    new: Option<(&'static str, bool)>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_that_is_cut_off_anywhere_leaves_it_on_one_machine() {
    let moving = || Stage::Moving { to: node("pc2") };
    let arriving = || Stage::Arriving { from: node("main") };
    let coming = ".coming/alice";
    let cut = |stage, lives_on, old, new| Cut { stage, lives_on, old, new };
    let cuts = [
        cut(moving(), "main", Some(false), None),
        cut(moving(), "main", Some(true), None),
        cut(moving(), "main", Some(true), Some((coming, false))),
        cut(moving(), "main", Some(true), Some((coming, true))),
        cut(Stage::Living, "main", Some(true), Some((coming, true))),
        cut(arriving(), "pc2", Some(true), Some((coming, true))),
        cut(arriving(), "pc2", Some(true), Some(("alice", true))),
        cut(arriving(), "pc2", None, Some(("alice", true))),
        cut(Stage::Living, "pc2", Some(true), Some(("alice", true))),
    ];
    for Cut { stage, lives_on, old, new } in cuts {
        for first in ["main", "pc2"] {
            let mut world = World::new().await;
            world.create("alice", Some("main")).await;
            world.main().ask(&being("alice"), note(BOAT)).await;
            world.end().await;
            let store = world.folder("main", "alice").join("being.redb");
            if let Some((at, is_whole)) = new {
                world.has_come(&store, "pc2", at, is_whole);
            }
            match old {
                None => std::fs::remove_dir_all(store.parent().unwrap()).unwrap(),
                Some(false) => {}
                Some(true) => std::fs::write(store.with_file_name(LEAVING), b"").unwrap(),
            }
            let book = Book::open(&world.beings("main")).unwrap();
            let entry = book.get(&name("alice")).unwrap().unwrap();
            let node = node(lives_on);
            book.put(Entry { node, stage: stage.clone(), ..entry }, None).await.unwrap();
            book.close().await;
            drop(book);
            // Whichever machine is up first.
            let second = if first == "main" { "pc2" } else { "main" };
            world.boot(first).await;
            world.boot(second).await;
            if first == "pc2" {
                world.machines.swap(0, 1);
            }
            let elsewhere = if lives_on == "main" { "pc2" } else { "main" };
            world.comes_to_live("alice", lives_on, elsewhere).await;
            if matches!(stage, Stage::Arriving { .. }) {
                until(async || world.has_noted("alice", "has moved from main to pc2")).await;
            }
            world.end().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_copies_the_one_of_the_book_lives_and_none_is_lost() {
    let mut world = World::new().await;
    world.create("alice", Some("main")).await;
    world.main().ask(&being("alice"), note(BOAT)).await;
    world.end().await;
    let store = world.folder("main", "alice").join("being.redb");
    copy(&store, &world.folder("pc2", "alice").join("being.redb"));
    world.boot("main").await;
    world.boot("pc2").await;
    world.comes_to_live("alice", "main", "pc2").await;
    let aside = std::fs::read_dir(world.beings("pc2").join(".aside")).unwrap();
    assert_eq!(aside.count(), 1);
    // One that was carried over by hand lives where it is.
    world.end().await;
    std::fs::rename(world.folder("main", "alice"), world.folder("pc2", "alice")).unwrap();
    world.boot("main").await;
    world.boot("pc2").await;
    world.comes_to_live("alice", "pc2", "main").await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_that_nobody_knows_are_taken_in_be_they_born_or_not() {
    let mut world = World::new().await;
    world.create("alice", Some("main")).await;
    world.main().ask(&being("alice"), note(BOAT)).await;
    world.end().await;
    let store = world.folder("main", "alice").join("being.redb");
    copy(&store, &world.folder("pc2", "twin").join("being.redb"));
    let unborn = world.folder("pc2", "unborn");
    std::fs::create_dir(&unborn).unwrap();
    let character = Json(serde_json::json!({ "name": "Una" }));
    let birth = Birth { created: Timestamp::now(), character, provider: Json::default() };
    birth.write(&unborn).unwrap();
    let senseless = world.folder("pc2", "senseless");
    copy(&store, &senseless.join("being.redb"));
    std::fs::write(senseless.join("being.redb"), b"nothing of the sort").unwrap();
    world.boot("main").await;
    world.boot("pc2").await;
    let known = async |id: &str| {
        let known = world.main().try_ask(&registry(), GetBeing { id: name(id) }).await;
        known.ok().map(|entry| (entry.name, entry.node))
    };
    until(async || known("twin").await.is_some() && known("unborn").await.is_some()).await;
    assert_eq!(known("twin").await, Some(("alice".to_owned(), node("pc2"))));
    assert_eq!(known("unborn").await, Some(("Una".to_owned(), node("pc2"))));
    assert_eq!(known("senseless").await, None);
    let recall = RecallMemories { question: BOAT.to_owned(), ..RecallMemories::default() };
    let found = world.main().ask(&being("twin"), recall).await;
    assert_eq!(found.memories.len(), 1);
    assert!(unborn.join("birth.json").exists(), "nobody is woken to be taken in");
    world.main().ask(&being("unborn"), note(BOAT)).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_another_machine_is_written_out_and_taken_in_here() {
    let mut world = World::new().await;
    world.create("alice", Some("pc2")).await;
    world.main().ask(&being("alice"), note(BOAT)).await;
    let file = world.disk.path().join("alice.being");
    let text = file.display().to_string();
    let export = ExportBeing { id: name("alice"), file: text.clone() };
    let exported = world.main().ask(&registry(), export.clone()).await;
    assert_eq!(exported.bytes, std::fs::metadata(&file).unwrap().len());
    let refused = world.refused(export).await;
    assert!(refused.to_string().contains("is there already"), "{refused}");
    let import = ImportBeing {
        file: text,
        id: Some(name("twin")),
        node: Some(node("pc2")),
        isolation: Some(Isolation::Actor),
        with_provider: false,
    };
    let twin = world.main().ask(&registry(), import.clone()).await.being;
    assert_eq!((twin.node, twin.isolation), (node("pc2"), Some(Isolation::Actor)));
    assert!(world.folder("pc2", "twin").join("tenancy.json").exists());
    assert!(world.main().recalls("twin", "boat", BOAT).await);
    let taken = world.refused(import).await;
    assert!(matches!(taken, NoBeing::Taken { .. }), "{taken}");
    world.end().await;
}
