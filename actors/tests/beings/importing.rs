//! Beings that come in a file, which somebody else may have made.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use genii_protocols::Json;
use genii_protocols::being::{Export, ListReminders, Remind, SetProvider, ShowBeing, ShowHistory};
use genii_protocols::beings::{
    DeleteBeing, ExportBeing, ImportBeing, ImportedProvider, Isolation, NoBeing,
};

use crate::server::{Server, answer};
use crate::world::{World, being, import, name};

/// How soon a reminder is due at first. If that is too soon for a machine, it is tried with more.
const SOON: Duration = Duration::from_millis(500);

/// A file beside the folder of beings.
fn beside(world: &World, name: &str) -> PathBuf {
    world.folder("").with_file_name(name)
}

/// Writes a being out.
async fn exported(world: &World, id: &str) -> String {
    let file = beside(world, &format!("{id}.being")).display().to_string();
    world.ask(&world.registry, ExportBeing { id: name(id), file: file.clone() }).await;
    file
}

/// Writes a being out with a reminder that is due soon, and that it has not taken up before.
async fn exported_with_a_reminder(world: &World, id: &str) -> String {
    let mut span = SOON;
    loop {
        let at = (SystemTime::now() + span).into();
        let remind = Remind { at, text: "Send the key.".to_owned() };
        let set = world.ask(&being(id), remind).await;
        let file = exported(world, id).await;
        // What it still has now, it had when it was written out.
        let left = world.ask(&being(id), ListReminders::default()).await.reminders;
        if left.iter().any(|reminder| reminder.id == set.id) {
            return file;
        }
        std::fs::remove_file(file).unwrap();
        span *= 2;
    }
}

async fn provider_of(world: &World, id: &str) -> String {
    world.ask(&being(id), ShowBeing {}).await.provider
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_comes_in_a_file_asks_nobody_for_its_words_unless_that_is_said() {
    let (world, server) = (World::new().await, Server::start(vec![answer(&["Aye."])]).await);
    world.create("Alice").await;
    let settings = serde_json::json!({
        "kind": "openai", "base_url": server.base_url(), "model": "wise-1", "key_env": "PATH",
    });
    world.ask(&being("alice"), SetProvider { settings: Json(settings) }).await;
    let file = exported_with_a_reminder(&world, "alice").await;
    world.ask(&world.registry, DeleteBeing { id: name("alice"), lost: false }).await;
    // Alice may have asked, whose provider it is.
    let asked_before = server.seen().len();

    let twin = world.ask(&world.registry, import(&file, "twin")).await;
    let provider = ImportedProvider {
        kind: "openai".to_owned(),
        model: Some("wise-1".to_owned()),
        base_url: Some(server.base_url()),
        is_kept: false,
    };
    assert_eq!(twin.provider.as_ref(), Some(&provider));
    let note = &twin.notes[0];
    assert!(note.contains("`being provider twin ") && note.contains(&server.base_url()), "{note}");
    assert!(!note.contains("PATH"), "{note}");
    let is_reminded = async |world: &World| {
        world.ask(&being("twin"), ListReminders::default()).await.reminders.is_empty()
    };
    world.until(is_reminded).await;
    let history = world.ask(&being("twin"), ShowHistory::default()).await;
    assert!(history.turns[0].answer.is_some(), "{history:?}");
    assert_eq!(server.seen().len(), asked_before);
    let world = world.again().await;
    assert_eq!(provider_of(&world, "twin").await, "offline");

    let friend = ImportBeing { with_provider: true, ..import(&file, "friend") };
    let friend = world.ask(&world.registry, friend).await;
    assert_eq!(friend.provider, Some(ImportedProvider { is_kept: true, ..provider }));
    let label = provider_of(&world, "friend").await;
    assert!(label.contains("wise-1"), "{label}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_be_no_being_is_refused_before_any_of_it_is_copied() {
    let world = World::new().await;
    let letter = beside(&world, "letter");
    std::fs::write(&letter, "Dear Ann, ".repeat(1_000)).unwrap();
    let empty = beside(&world, "empty");
    std::fs::write(&empty, "").unwrap();
    let socket = beside(&world, "socket");
    let _listens = UnixListener::bind(&socket).unwrap();
    for (file, says) in [
        (PathBuf::from("/dev/zero"), "is a device, a pipe or a socket"),
        (socket, "is a device, a pipe or a socket"),
        (world.folder(""), "is a folder"),
        (letter, "is not a store of a being: it does not begin as one does"),
        (empty, "is damaged: the file is empty; take in another export"),
    ] {
        let file = file.display().to_string();
        let refused = world.refused(&world.registry, import(&file, "alice")).await;
        assert!(matches!(refused, NoBeing::Senseless { .. }), "{file}: {refused}");
        assert!(refused.to_string().contains(says), "{file}: {refused}");
        assert!(!refused.to_string().contains("backup"), "{file}: {refused}");
    }
    for folder in [".going", ".coming"] {
        let left = std::fs::read_dir(world.folder(folder)).map_or(0, |left| left.count());
        assert_eq!(left, 0, "{folder}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn how_one_is_kept_apart_is_said_when_it_is_taken_in() {
    let world = World::new().await;
    world.create("Alice").await;
    let file = exported(&world, "alice").await;
    let twin = ImportBeing { isolation: Some(Isolation::Actor), ..import(&file, "twin") };
    let twin = world.ask(&world.registry, twin).await.being;
    assert_eq!(twin.isolation, Some(Isolation::Actor));
    let is_said_of = |id: &str| world.folder(id).join("tenancy.json").exists();
    assert!(is_said_of("twin"));
    world.ask(&world.registry, import(&file, "other")).await;
    assert!(!is_said_of("other"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_written_out_is_for_its_owner_alone_and_replaces_nothing() {
    let world = World::new().await;
    world.create("Alice").await;
    let mode = |file: &str| Path::new(file).metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&exported(&world, "alice").await), 0o600);
    let file = beside(&world, "own.being").display().to_string();
    world.ask(&being("alice"), Export { file: file.clone() }).await;
    assert_eq!(mode(&file), 0o600);
    std::fs::write(&file, "Dear Ann,").unwrap();
    let refused = world.refused(&being("alice"), Export { file: file.clone() }).await;
    assert!(refused.why.contains("is there already"), "{refused}");
    assert_eq!(std::fs::read(&file).unwrap(), b"Dear Ann,");

    // What she forgets is to be gone from her folder.
    world.create("Bob").await;
    for folder in [world.folder("alice"), world.folder("bob").join("vectors")] {
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("copy.being").display().to_string();
        let refused = world.refused(&being("alice"), Export { file: file.clone() }).await;
        assert!(refused.why.contains("own folder"), "{refused}");
        let export = ExportBeing { id: name("alice"), file: file.clone() };
        let refused = world.refused(&world.registry, export).await;
        assert!(refused.to_string().contains("own folder"), "{refused}");
        assert!(!Path::new(&file).exists());
    }
}
