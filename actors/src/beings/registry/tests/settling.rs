//! What did not come to its end, and what is left of it on the disks.

use std::any::Any;

use genii_protocols::being::Exported;
use genii_runtime::{Agent, Context, HandleLater, Promise, Protocol};
use genii_supervision::StartError;

use super::*;
use crate::beings::errands::{
    AskLodging, HOMES, Leave, ListLodgers, Pack, Parcel, ReadParcel, Receive, TakeBack,
};

const HANGING_HOUSE: &str = r#"
[groups.homes]
[agents."homes/beings"]
kind = "home-that-hangs"
"#;

/// A home that takes what it is asked, and answers nothing.
struct Hangs(Vec<Box<dyn Any + Send>>);

impl Agent for Hangs {
    type Settings = Json;

    fn protocol() -> Protocol<Self> {
        Protocol::new().on_later::<ListLodgers>().on_later::<AskLodging>().on_later::<ReadParcel>()
    }

    async fn start(_: Json, context: &mut Context) -> Result<Self, StartError> {
        context.join_group(&name(HOMES)).unwrap();
        Ok(Self(Vec::new()))
    }
}

impl HandleLater<ListLodgers> for Hangs {
    async fn handle_later(
        &mut self,
        _: ListLodgers,
        promise: Promise<ListLodgers>,
        _: &mut Context,
    ) {
        self.0.push(Box::new(promise));
    }
}

impl HandleLater<AskLodging> for Hangs {
    async fn handle_later(&mut self, _: AskLodging, promise: Promise<AskLodging>, _: &mut Context) {
        self.0.push(Box::new(promise));
    }
}

impl HandleLater<ReadParcel> for Hangs {
    async fn handle_later(&mut self, _: ReadParcel, promise: Promise<ReadParcel>, _: &mut Context) {
        self.0.push(Box::new(promise));
    }
}

impl World {
    async fn boot_both(&mut self) {
        self.boot("main").await;
        self.boot("pc2").await;
        self.homes_are(2).await;
    }

    async fn knows(&self, id: &str) -> Option<BeingEntry> {
        self.main().try_ask(&registry(), GetBeing { id: name(id) }).await.ok()
    }

    /// While nothing runs: the book says one after the other of a being, and on which machine it is.
    async fn write(&self, id: &str, steps: &[(&str, Stage)]) {
        let book = Book::open(&self.beings("main")).unwrap();
        let entry = book.get(&name(id)).unwrap().unwrap();
        for (on, stage) in steps {
            let (node, stage) = (node(on), stage.clone());
            book.put(Entry { node, stage, ..entry.clone() }, None).await.unwrap();
        }
        book.close().await;
    }

    /// While nothing runs: a being lies on a machine as one does that is about to leave.
    fn mark_leaving(&self, on: &str, id: &str) {
        std::fs::write(self.folder(on, id).join(LEAVING), b"").unwrap();
    }

    async fn export(&self, id: &str) -> Exported {
        let file = self.disk.path().join(format!("{id}.being")).display().to_string();
        self.main().ask(&registry(), ExportBeing { id: name(id), file }).await
    }

    /// What a machine has in one of its folders.
    fn lies_in(&self, on: &str, folder: &str) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.beings(on).join(folder)).into_iter().flatten();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    /// Where something of a being was put aside on a machine.
    fn aside(&self, on: &str, id: &str) -> Option<PathBuf> {
        let is_of_it = |path: &PathBuf| {
            let file = path.file_name().unwrap().to_str().unwrap();
            file.strip_prefix(id).is_some_and(|rest| rest.starts_with('-'))
        };
        self.lies_in(on, ".aside").into_iter().find(is_of_it)
    }
}

fn import(file: impl AsRef<Path>, id: Option<&str>, on: &str) -> ImportBeing {
    ImportBeing {
        file: file.as_ref().display().to_string(),
        id: id.map(name),
        node: Some(node(on)),
        isolation: None,
        with_provider: false,
    }
}

/// It moves to the machine of the registry, and that alone ends. The old one goes on, with the being as it was
/// told by then: as it lives, held asleep, or gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_that_is_cut_off_by_the_end_of_the_registry_alone_leaves_it_on_one_machine() {
    const SAID: &str = "Is somebody there?";
    let moving = || Stage::Moving { to: node("main") };
    let arriving = || Stage::Arriving { from: node("pc2") };
    let coming = ".coming/alice";
    let cut = |stage, lives_on, old, new| Cut { stage, lives_on, old, new };
    let cuts = [
        cut(moving(), "pc2", Some(false), None),
        cut(moving(), "pc2", Some(true), None),
        cut(moving(), "pc2", Some(true), Some((coming, false))),
        cut(moving(), "pc2", Some(true), Some((coming, true))),
        cut(Stage::Living, "pc2", Some(true), Some((coming, true))),
        cut(arriving(), "main", Some(true), Some((coming, true))),
        cut(arriving(), "main", Some(true), Some(("alice", true))),
        cut(arriving(), "main", None, Some(("alice", true))),
        cut(Stage::Living, "main", Some(true), Some(("alice", true))),
    ];
    for Cut { stage, lives_on, old, new } in cuts {
        let mut world = World::new().await;
        world.create("alice", Some("pc2")).await;
        world.main().ask(&being("alice"), note(BOAT)).await;
        world.machines.remove(0).end().await;
        let goes_on = &world.machines[0];
        if old != Some(false) {
            goes_on.ask_home(Pack { id: name("alice"), to_leave: true }).await;
        }
        if let Some((at, is_whole)) = new {
            let store = world.folder("pc2", "alice").join("being.redb");
            world.has_come(&store, "main", at, is_whole);
        }
        let answer = match old {
            None => {
                goes_on.ask_home(Leave { id: name("alice"), to: node("main") }).await;
                None
            }
            // What is said to one that is held asleep waits.
            Some(_) => {
                let mail = goes_on.node.to(being("alice"));
                let said = query(SAID.to_owned());
                Some(tokio::spawn(async move { mail.ask_within(said, PATIENCE).await }))
            }
        };
        world.write("alice", &[(lives_on, stage.clone())]).await;
        world.boot("main").await;
        world.machines.swap(0, 1);
        let elsewhere = if lives_on == "main" { "pc2" } else { "main" };
        world.comes_to_live("alice", lives_on, elsewhere).await;
        if matches!(stage, Stage::Arriving { .. }) {
            until(async || world.has_noted("alice", "has moved from pc2 to main")).await;
        }
        let times = usize::from(answer.is_some());
        if let Some(answer) = answer {
            answer.await.unwrap().unwrap_or_else(|error| panic!("{stage:?}: {error}"));
        }
        let turns = world.history("alice").await;
        assert_eq!(turns.iter().filter(|turn| turn.said == SAID).count(), times, "{stage:?}");
        world.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_copy_is_left_of_what_is_refused() {
    /// More than may be on their way at a time.
    const MANY: usize = 65;
    let mut world = World::new().await;
    world.create("alice", Some("main")).await;
    world.main().ask(&being("alice"), note(BOAT)).await;
    let file = world.export("alice").await.file;
    for _ in 0..MANY {
        let taken = world.refused(import(&file, None, "main")).await;
        assert!(matches!(taken, NoBeing::Taken { .. }), "{taken}");
    }
    // Something lies where they would live.
    std::fs::create_dir(world.folder("pc2", "twin")).unwrap();
    std::fs::create_dir(world.folder("pc2", "alice")).unwrap();
    let refused = world.refused(import(&file, Some("twin"), "pc2")).await;
    is_in_the_way(&refused, "twin");
    let refused = world.refused(MigrateBeing { id: name("alice"), node: node("pc2") }).await;
    is_in_the_way(&refused, "alice");
    let nowhere = world.disk.path().join("nowhere/alice.being").display().to_string();
    let nowhere = world.refused(ExportBeing { id: name("alice"), file: nowhere }).await;
    assert!(nowhere.to_string().contains("there is no folder"), "{nowhere}");
    until(async || ["main", "pc2"].iter().all(|on| world.lies_in(on, ".going").is_empty())).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_a_making_has_made_is_taken_back() {
    const MAKING: u64 = 7;
    let mut world = World::new().await;
    world.create("alice", Some("main")).await;
    world.main().ask(&being("alice"), note(BOAT)).await;
    world.end().await;
    let store = world.folder("main", "alice").join("being.redb");
    let book = Book::open(&world.beings("main")).unwrap();
    let alice = book.get(&name("alice")).unwrap().unwrap();
    for (id, at, mark) in [
        ("made", "made", Some("7")),
        ("come", ".coming/come", Some("7")),
        ("of-another", "of-another", Some("8")),
        ("unmarked", "unmarked", None),
    ] {
        let folder = world.beings("pc2").join(at);
        copy(&store, &folder.join("being.redb"));
        if let Some(mark) = mark {
            std::fs::write(folder.join("making"), mark).unwrap();
        }
        let (node, stage) = (node("pc2"), Stage::Coming);
        let entry = Entry { id: name(id), node, stage, ..alice.clone() };
        book.begin(entry, MAKING).await.unwrap();
    }
    book.close().await;
    drop(book);
    world.boot_both().await;
    for id in ["of-another", "unmarked"] {
        until(async || world.knows(id).await.is_some()).await;
        until(async || world.main().recalls(id, "boat", BOAT).await).await;
    }
    let coming = world.beings("pc2").join(".coming/come");
    until(async || !world.folder("pc2", "made").exists() && !coming.exists()).await;
    assert!(world.knows("made").await.is_none() && world.knows("come").await.is_none());
    // So it is when it is known at once that something lies there.
    copy(&store, &world.folder("pc2", "carried").join("being.redb"));
    let character = Json(serde_json::json!({ "name": "Carried" }));
    let create = CreateBeing {
        id: Some(name("carried")),
        character,
        provider: None,
        node: Some(node("pc2")),
        isolation: None,
    };
    is_in_the_way(&world.refused(create).await, "carried");
    until(async || world.knows("carried").await.is_some()).await;
    until(async || world.main().recalls("carried", "boat", BOAT).await).await;
    until(async || world.has_noted("carried", "was found on pc2, and is known from")).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_was_given_up_does_not_live_again_beside_another() {
    let mut world = World::new().await;
    for id in ["alice", "bob"] {
        world.create(id, Some("pc2")).await;
    }
    world.main().ask(&being("alice"), note(BOAT)).await;
    let file = world.export("alice").await.file;
    let give_up = |id: &str| DeleteBeing { id: name(id), lost: true };
    let refused = world.refused(give_up("alice")).await;
    assert!(refused.to_string().contains("without --lost"), "{refused}");
    world.machines.pop().unwrap().end().await;
    world.homes_are(1).await;
    let delete = DeleteBeing { id: name("alice"), lost: false };
    let refused = world.refused(delete).await;
    assert!(refused.to_string().contains("`being delete alice --lost`"), "{refused}");
    let taken = world.refused(import(&file, None, "main")).await;
    assert!(matches!(taken, NoBeing::Taken { .. }), "{taken}");
    for id in ["alice", "bob"] {
        until(async || world.main().try_ask(&registry(), give_up(id)).await.is_ok()).await;
        assert!(world.knows(id).await.is_none(), "{id}");
    }
    world.main().ask(&registry(), import(&file, None, "main")).await;
    world.boot("pc2").await;
    world.homes_are(2).await;
    world.comes_to_live("alice", "main", "pc2").await;
    for id in ["alice", "bob"] {
        until(async || world.has_noted(id, &format!(".aside/{id}-"))).await;
        assert!(!world.folder("pc2", id).exists() && world.aside("pc2", id).is_some(), "{id}");
    }
    assert!(world.knows("bob").await.is_none());
    // Put back by hand, it is as any other that nobody knows.
    world.end().await;
    std::fs::rename(world.aside("pc2", "bob").unwrap(), world.folder("pc2", "bob")).unwrap();
    world.boot_both().await;
    until(async || world.knows("bob").await.is_some_and(|bob| bob.node == node("pc2"))).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_nobody_knows_of_or_that_is_the_only_one_is_put_aside() {
    let mut world = World::new().await;
    world.create("alice", Some("main")).await;
    world.main().ask(&being("alice"), note(BOAT)).await;
    world.end().await;
    let store = world.folder("main", "alice").join("being.redb");
    let come = |world: &World, id: &str| {
        copy(&store, &world.beings("pc2").join(".coming").join(id).join("being.redb"));
    };
    come(&world, "alice");
    come(&world, "stray");
    world.boot_both().await;
    world.comes_to_live("alice", "main", "pc2").await;
    until(async || world.has_noted("stray", ".aside/stray-")).await;
    assert!(world.lies_in("pc2", ".coming").is_empty());
    assert_eq!(world.aside("pc2", "alice"), None, "it lives elsewhere, and that was a copy");
    let aside = world.aside("pc2", "stray").unwrap().join("being.redb");
    world.main().ask(&registry(), import(aside, Some("stray"), "main")).await;
    until(async || world.main().recalls("stray", "boat", BOAT).await).await;
    world.end().await;
    come(&world, "alice");
    std::fs::remove_dir_all(world.folder("main", "alice")).unwrap();
    world.boot_both().await;
    until(async || world.aside("pc2", "alice").is_some()).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_home_that_hangs_holds_up_no_other() {
    let mut world = World::new().await;
    world.create("alice", Some("pc2")).await;
    world.main().ask(&being("alice"), note(BOAT)).await;
    world.end().await;
    let store = world.folder("pc2", "alice").join("being.redb");
    copy(&store, &world.folder("pc2", "twin").join("being.redb"));
    world.boot("main").await;
    // The first by its name, and there before the other.
    let kinds = crate::catalogue().with::<Hangs>("home-that-hangs");
    let hangs = Machine::boot_as(&world, "attic", world.life, HANGING_HOUSE, kinds).await;
    world.machines.push(hangs);
    world.homes_are(2).await;
    world.boot("pc2").await;
    until(async || world.knows("twin").await.is_some()).await;
    until(async || world.main().recalls("twin", "boat", BOAT).await).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_whose_deletion_was_cut_off_goes_and_the_journal_says_so() {
    let mut world = World::new().await;
    world.create("alice", Some("pc2")).await;
    world.end().await;
    world.write("alice", &[("pc2", Stage::Going)]).await;
    world.boot_both().await;
    until(async || world.has_noted("alice", "was deleted")).await;
    assert!(!world.folder("pc2", "alice").exists() && world.knows("alice").await.is_none());
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_was_gone_where_it_lived_goes_also_where_it_had_moved_from() {
    let mut world = World::new().await;
    world.create("alice", Some("main")).await;
    world.main().ask(&being("alice"), note(BOAT)).await;
    world.end().await;
    world.mark_leaving("main", "alice");
    let arriving = Stage::Arriving { from: node("main") };
    world.write("alice", &[("pc2", arriving), ("pc2", Stage::Going)]).await;
    world.boot_both().await;
    until(async || world.has_noted("alice", "was deleted")).await;
    until(async || !world.folder("main", "alice").exists()).await;
    assert!(world.knows("alice").await.is_none());
    assert_eq!(world.aside("main", "alice"), None);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_was_deleted_does_not_live_again_where_a_move_has_left_something_of_it() {
    let mut world = World::new().await;
    for id in ["alice", "bob"] {
        world.create(id, Some("main")).await;
        world.main().ask(&being(id), note(BOAT)).await;
    }
    world.end().await;
    // The one has moved here, and the other was about to move there.
    let store = |id: &str| world.folder("main", id).join("being.redb");
    copy(&store("alice"), &world.folder("pc2", "alice").join("being.redb"));
    world.mark_leaving("pc2", "alice");
    let coming = world.beings("pc2").join(".coming/bob");
    copy(&store("bob"), &coming.join("being.redb"));
    world.mark_leaving("main", "bob");
    world.write("alice", &[("main", Stage::Arriving { from: node("pc2") })]).await;
    world.write("bob", &[("main", Stage::Moving { to: node("pc2") })]).await;
    world.boot("main").await;
    until(async || world.has_noted("alice", "has moved from pc2 to main")).await;
    for id in ["alice", "bob"] {
        until(async || {
            let delete = DeleteBeing { id: name(id), lost: false };
            let _asked_again = world.main().try_ask(&registry(), delete).await;
            world.has_noted(id, "was deleted")
        })
        .await;
    }
    // Another has the id of one of them when the machine comes back.
    world.create("bob", Some("main")).await;
    world.main().ask(&being("bob"), note(BOAT)).await;
    world.boot("pc2").await;
    world.homes_are(2).await;
    until(async || !world.folder("pc2", "alice").exists() && !coming.exists()).await;
    assert!(world.knows("alice").await.is_none());
    world.comes_to_live("bob", "main", "pc2").await;
    assert_eq!((world.aside("pc2", "alice"), world.aside("pc2", "bob")), (None, None));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_taken_back_while_it_comes_does_not_come_later() {
    const MAKING: u64 = 7;
    let mut world = World::new().await;
    let kinds = crate::catalogue().with::<Hangs>("home-that-hangs");
    let hangs = Machine::boot_as(&world, "attic", world.life, HANGING_HOUSE, kinds).await;
    world.machines.push(hangs);
    until(async || world.pc2().node.group_members(&name(HOMES)).len() == 3).await;
    let home = |on: &str| {
        let address = Address::parse("homes/beings").unwrap();
        Destination { address, node: Some(node(on)) }
    };
    let parcel = Parcel { ticket: 1, bytes: 1, sha256: String::new() };
    let (id, making) = (name("alice"), Some(MAKING));
    let receive = Receive { id, from: home("attic"), parcel, isolation: None, making };
    let mail = world.pc2().node.to(home("pc2"));
    let receiving = tokio::spawn(async move { mail.ask_within(receive, PATIENCE).await });
    let coming = world.beings("pc2").join(".coming/alice");
    until(async || coming.exists()).await;
    let back = TakeBack { id: name("alice"), making: MAKING };
    let mail = world.pc2().node.to(home("pc2"));
    let taking = tokio::spawn(async move { mail.ask_within(back, PATIENCE).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!taking.is_finished() && coming.exists(), "what comes is waited for");
    world.machines.pop().unwrap().end().await;
    assert!(receiving.await.unwrap().is_err());
    taking.await.unwrap().unwrap();
    assert!(!coming.exists());
    world.end().await;
}
