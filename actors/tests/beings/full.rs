//! A disk without space: who speaks to a being is told, nothing is lost, and all goes on when there is space
//! again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use genii_protocols::being::{
    AskHealth, NotAnswered, Query, Remember, SetProvider, ShowBeing, ShowHistory,
};
use genii_protocols::{AskError, Json};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::server::{Server, answer};
use crate::world::{PATIENCE, World, being};

/// Set where this test binary runs as a child of itself.
const CHILD: &str = "GENII_BEINGS_TEST_CHILD";

/// How much more than it has a store may take until the disk is full, in bytes.
const ROOM: u64 = 1 << 20;

fn letter(number: u32) -> String {
    format!("Letter {number}: {}", "much has happened here. ".repeat(400))
}

/// That a being tells of a disk without space, and goes on when it has some.
async fn check(world: World, fill: impl FnOnce(&World), make_room: impl FnOnce(&World)) {
    world.create("Alice").await;
    world.remember("alice", "the kettle is on the stove").await;
    fill(&world);
    let mut kept = 0;
    let why = loop {
        let said = Query { said: letter(kept), speaker: None, path: Vec::new() };
        match world.node.to(being("alice")).ask_within(said, PATIENCE).await {
            Ok(_) => kept += 1,
            Err(AskError::Refused(NotAnswered::Store { why })) => break why,
            Err(other) => panic!("{other}"),
        }
        assert!(kept < 1_000, "there is room for everything");
    };
    assert!(why.contains("no space is left"), "{why}");
    let more = Remember { text: letter(0), speaker: None, at: None };
    let refused = world.refused(&being("alice"), more).await;
    assert!(refused.why.contains("no space is left"), "{refused}");
    let found = world.recall("alice", "Where is the kettle?").await;
    assert_eq!(found[0].memory.text, "the kettle is on the stove", "what there is can be read");

    make_room(&world);
    let answered = world.query("alice", "Where is the kettle?").await;
    assert!(answered.text.contains("on the stove"), "{}", answered.text);
    let world = world.again().await;
    let all = ShowHistory { before: None, limit: Some(200) };
    let turns = world.ask(&being("alice"), all).await.turns;
    assert_eq!(turns[0].said, "Where is the kettle?");
    for number in kept.saturating_sub(100)..kept {
        assert!(turns.iter().any(|turn| turn.said == letter(number)), "letter {number} is lost");
    }
    let health = world.ask(&being("alice"), AskHealth {}).await;
    assert!(health.is_well, "{health:?}");
    world.house.shutdown().await;
}

/// That no model is asked, over and over, for what cannot be kept and counted.
async fn check_with_a_model(
    world: World,
    fill: impl FnOnce(&World),
    make_room: impl FnOnce(&World),
) {
    let server = Server::start(vec![answer(&["I shall see."])]).await;
    world.create("Alice").await;
    let settings = serde_json::json!({
        "kind": "openai", "base_url": server.base_url(), "model": "wise-1", "consolidate": false,
    });
    world.ask(&being("alice"), SetProvider { settings: Json(settings) }).await;
    fill(&world);
    let query = |number| Query { said: letter(number), speaker: None, path: Vec::new() };
    // What was refused may find room with less beside it.
    let (mut said, mut refused_in_a_row) = (0, 0);
    while refused_in_a_row < 3 {
        match world.node.to(being("alice")).ask_within(query(said), PATIENCE).await {
            Ok(_) => refused_in_a_row = 0,
            Err(AskError::Refused(NotAnswered::Store { .. })) => refused_in_a_row += 1,
            Err(other) => panic!("{other}"),
        }
        said += 1;
        assert!(said < 1_000, "there is room for everything");
    }
    let asked = server.seen().len();
    for _ in 0..3 {
        let refused = world.refused(&being("alice"), query(said)).await;
        assert!(matches!(refused, NotAnswered::Store { .. }), "{refused}");
    }
    assert_eq!(server.seen().len(), asked, "it was paid for in vain");

    let spent = async || world.ask(&being("alice"), ShowBeing {}).await.budget.in_all.requests;
    let before = spent().await;
    make_room(&world);
    world.query("alice", "Where is the kettle?").await;
    world.query("alice", "And the stove?").await;
    assert_eq!((server.seen().len(), spent().await), (asked + 2, before + 2));
    world.house.shutdown().await;
}

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
    let ballast = folder.path().join("ballast");
    let world = World::on(folder, String::new()).await;
    // It takes all that there is.
    let fill = |_: &World| drop(fs::write(&ballast, vec![0; 64 << 20]).unwrap_err());
    check(world, fill, |_| fs::remove_file(&ballast).unwrap()).await;
}

/// The child of [`files_that_may_not_grow_are_a_full_disk`]. Its own process, since the limit holds for all
/// of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_into_a_limit() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let before = getrlimit(Resource::Fsize);
    let fill = |world: &World| {
        let store = fs::metadata(world.folder("alice").join("being.redb")).unwrap().len();
        let limit = Rlimit { current: Some(store + ROOM), ..before };
        setrlimit(Resource::Fsize, limit).unwrap();
    };
    let make_room = |_: &World| setrlimit(Resource::Fsize, before).unwrap();
    check(World::new().await, fill, make_room).await;
    check_with_a_model(World::new().await, fill, make_room).await;
    println!("\nit goes on");
}

#[test]
fn files_that_may_not_grow_are_a_full_disk() {
    // The signal that comes with the limit would end the process; a shell can have it ignored.
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(std::env::current_exe().unwrap());
    shell.args(["--exact", "full::runs_into_a_limit", "--nocapture", "--test-threads=1"]);
    let Output { stdout, stderr, .. } =
        shell.env(CHILD, "1").stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&stdout);
    assert!(said.contains("it goes on"), "{said}{}", String::from_utf8_lossy(&stderr));
}
