//! What is in the way of a being, how that is told, and how one gets past it.

use genii_protocols::beings::CheckBeing;
use tokio::time::timeout;

use super::*;

/// As [`HOUSE`], of a machine on which no being can wake unless it is said of it how it is kept apart.
const HARSH_HOUSE: &str = r#"
[groups.beings]
node = "main"
[groups.homes]
[agents."beings/registry"]
kind = "beings-registry"
wants = ["homes/beings"]
[agents."homes/beings"]
kind = "beings-home"
settings.isolation = "process"
settings.limits.memory_mb = 0
"#;

fn create(id: Option<&str>, called: &str, on: &str) -> CreateBeing {
    CreateBeing {
        id: id.map(name),
        character: Json(serde_json::json!({ "name": called })),
        provider: None,
        node: Some(node(on)),
        isolation: None,
    }
}

fn migrate(id: &str, to: &str) -> MigrateBeing {
    MigrateBeing { id: name(id), node: node(to) }
}

fn delete(id: &str) -> DeleteBeing {
    DeleteBeing { id: name(id), lost: false }
}

impl World {
    /// Nothing can be removed on a machine any more: a file lies where it would be put before.
    fn block_removals(&self, on: &str) -> PathBuf {
        let going = self.beings(on).join(".going");
        let _there_may_be_none = std::fs::remove_dir_all(&going);
        std::fs::write(&going, b"").unwrap();
        going
    }

    /// What is amiss with a being.
    async fn why(&self, id: &str) -> Option<String> {
        self.main().ask(&registry(), GetBeing { id: name(id) }).await.why
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_cannot_wake_where_it_lies_is_written_out_and_moves_away() {
    let waters = Waters::new(7, (Duration::from_micros(100), Duration::from_millis(1)));
    let disk = tempfile::tempdir().unwrap();
    let mut world = World { disk, waters, machines: Vec::new(), life: 1 };
    for (life, own, topology) in [(2, "main", HARSH_HOUSE), (3, "pc2", HOUSE)] {
        let machine = Machine::boot_as(&world, own, life, topology, crate::catalogue()).await;
        world.machines.push(machine);
    }
    world.homes_are(2).await;
    world.main().ask(&registry(), create(Some("alice"), "Alice", "pc2")).await;
    world.main().ask(&being("alice"), note(BOAT)).await;
    // It comes to where it cannot live, and nothing of it is left where it could.
    let refused = world.refused(migrate("alice", "main")).await;
    assert!(refused.to_string().contains("lives on main from now on"), "{refused}");
    until(async || !world.folder("pc2", "alice").exists()).await;
    assert!(world.main().try_ask(&being("alice"), ShowBeing {}).await.is_err(), "she cannot wake");
    let file = world.disk.path().join("alice.being").display().to_string();
    let export = ExportBeing { id: name("alice"), file: file.clone() };
    world.main().ask(&registry(), export).await;
    let import = ImportBeing {
        file,
        id: Some(name("twin")),
        node: Some(node("pc2")),
        isolation: None,
        with_provider: false,
    };
    world.main().ask(&registry(), import).await;
    until(async || world.main().recalls("twin", "boat", BOAT).await).await;
    // For some seconds it cannot come back to where it was.
    until(async || world.main().try_ask(&registry(), migrate("alice", "pc2")).await.is_ok()).await;
    world.comes_to_live("alice", "pc2", "main").await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_whose_deletion_does_not_come_to_its_end_is_told_so_and_can_be_deleted_again() {
    let mut world = World::new().await;
    world.create("alice", Some("pc2")).await;
    let going = world.block_removals("pc2");
    for _ in 0..2 {
        let refused = world.refused(delete("alice")).await;
        assert!(refused.to_string().contains("not all of it is gone yet"), "{refused}");
    }
    let get = GetBeing { id: name("alice") };
    for refused in [
        world.refused(get.clone()).await,
        world.refused(create(Some("alice"), "Alice", "main")).await,
    ] {
        let NoBeing::Failed { why } = &refused else { panic!("{refused:?}") };
        for part in ["being deleted on pc2", "come to its end on pc2", "as lost (--lost)"] {
            assert!(why.contains(part), "{part}: {why}");
        }
    }
    // Whoever names no id is given another.
    let other = world.main().ask(&registry(), create(None, "Alice", "main")).await;
    assert_eq!(other.id, name("alice-2"));
    std::fs::remove_file(going).unwrap();
    until(async || {
        let _asked_again = world.main().try_ask(&registry(), delete("alice")).await;
        world.has_noted("alice", "was deleted")
    })
    .await;
    let gone = world.refused(get).await;
    assert!(matches!(gone, NoBeing::NotFound { .. }), "{gone}");
    world.main().ask(&registry(), create(Some("alice"), "Alice", "main")).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_whose_making_was_cut_off_is_told_so_and_what_lay_there_before_is_not_deleted() {
    const MAKING: u64 = 7;
    let mut world = World::new().await;
    world.create("alice", Some("main")).await;
    world.main().ask(&being("alice"), note(BOAT)).await;
    world.end().await;
    let book = Book::open(&world.beings("main")).unwrap();
    let alice = book.get(&name("alice")).unwrap().unwrap();
    let (id, node) = (name("made"), node("pc2"));
    let made = Entry { id, node, stage: Stage::Coming, ..alice };
    book.begin(made, MAKING).await.unwrap();
    book.close().await;
    drop(book);
    let store = world.folder("main", "alice").join("being.redb");
    copy(&store, &world.folder("pc2", "made").join("being.redb"));
    // By which making it came to be cannot be read, so that nothing is settled for now.
    let mark = world.folder("pc2", "made").join("making");
    std::fs::create_dir(&mark).unwrap();
    world.boot("main").await;
    let told = world.refused(GetBeing { id: name("made") }).await.to_string();
    assert!(told.contains("made is being made on pc2"), "{told}");
    let told = world.refused(delete("made")).await.to_string();
    assert!(told.contains("`being delete made --lost`"), "{told}");
    world.boot("pc2").await;
    world.homes_are(2).await;
    let told = world.refused(delete("made")).await.to_string();
    assert!(told.contains("not all of it is gone yet"), "{told}");
    std::fs::remove_dir(mark).unwrap();
    until(async || world.main().recalls("made", "boat", BOAT).await).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_being_that_is_made_without_an_id_passes_by_what_is_in_the_way() {
    let mut world = World::new().await;
    std::fs::create_dir(world.folder("pc2", "alice")).unwrap();
    is_in_the_way(&world.refused(create(Some("alice"), "Alice", "pc2")).await, "alice");
    let made = world.main().ask(&registry(), create(None, "Alice", "pc2")).await;
    assert_eq!(made.id, name("alice-2"));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn why_a_being_is_not_settled_is_shown_until_it_is() {
    let mut world = World::new().await;
    world.create("alice", Some("main")).await;
    world.main().ask(&being("alice"), note(BOAT)).await;
    let going = world.block_removals("main");
    // It lives there, and what it was here cannot be removed.
    world.refused(migrate("alice", "pc2")).await;
    until(async || world.why("alice").await.is_some_and(|it| it.contains("come to its end"))).await;
    let listed = world.main().ask(&registry(), ListBeings::default()).await.beings;
    assert!(listed[0].why.is_some(), "{listed:?}");
    std::fs::remove_file(going).unwrap();
    until(async || world.why("alice").await.is_none()).await;
    world.comes_to_live("alice", "pc2", "main").await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_without_a_home_is_told_from_one_that_is_not_linked() {
    let mut world = World::new().await;
    world.create("alice", Some("pc2")).await;
    world.pc2().house.stop("homes/beings").await.unwrap();
    let homeless = "pc2 has no home for beings; there are homes on main";
    until(async || world.why("alice").await.is_some_and(|why| why.contains(homeless))).await;
    world.machines.remove(1).end().await;
    let away = "pc2 is not linked; there are homes on main";
    until(async || world.why("alice").await.is_some_and(|why| why.contains(away))).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_suspended_stays_as_it_is_and_what_waits_for_it_is_told_when_it_is_deleted() {
    /// Far less than it may take to do what it was asked before, which it never does.
    const AT_ONCE: Duration = Duration::from_secs(20);
    let mut world = World::new().await;
    world.create("alice", Some("pc2")).await;
    world.main().ask(&being("alice"), note(BOAT)).await;
    world.pc2().node.suspend(&being("alice"), PATIENCE).await.unwrap();
    let refused = timeout(AT_ONCE, world.refused(migrate("alice", "main"))).await.unwrap();
    assert!(refused.to_string().contains("`genii ctl resume being/alice`"), "{refused}");
    let check = CheckBeing { id: name("alice"), repair: false, give_up: false };
    let refused = timeout(AT_ONCE, world.refused(check)).await.unwrap();
    assert!(refused.to_string().contains("`genii ctl resume being/alice`"), "{refused}");
    assert!(world.pc2().node.is_suspended(&being("alice")));
    let suspended = "it is suspended; `genii ctl resume being/alice`";
    until(async || world.why("alice").await.is_some_and(|why| why.contains(suspended))).await;
    // It lives on where it did, with what waits for it.
    let waits = "the anchor is rusty";
    world.pc2().node.to(being("alice")).tell(note(waits)).await.unwrap();
    world.pc2().node.resume(&being("alice"), PATIENCE).await.unwrap();
    until(async || world.why("alice").await.is_none()).await;
    until(async || world.main().recalls("alice", "anchor", waits).await).await;
    world.pc2().node.suspend(&being("alice"), PATIENCE).await.unwrap();
    world.pc2().node.to(being("alice")).tell(note(waits)).await.unwrap();
    let before = world.pc2().node.dead_letters().total();
    let registry = registry();
    let deleting = world.main().ask(&registry, delete("alice"));
    timeout(AT_ONCE, deleting).await.unwrap();
    assert!(world.pc2().node.dead_letters().total() > before, "what waited is told of");
    assert!(!world.folder("pc2", "alice").exists());
    world.end().await;
}
