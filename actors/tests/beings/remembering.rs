//! What a being remembers, and what it forgets for good.

use genii_protocols::being::{Forget, Forgettable, MemoryKind, RecallMemories, ShowHistory};

use crate::world::{World, being};

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window.eq_ignore_ascii_case(text.as_bytes()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_said_is_found_after_the_end_of_genii_and_without_its_index() {
    let world = World::new().await;
    world.create("Alice").await;
    world.query("alice", "My cat is called Miso.").await;
    for number in 0..30 {
        world
            .remember("alice", &format!("shelf {number} holds jam of year {}", 1990 + number))
            .await;
    }
    let world = world.again().await;
    let index = world.folder("alice").join("vectors");
    if index.exists() {
        std::fs::remove_dir_all(index).unwrap();
    }
    let answered = world.query("alice", "What is my cat called?").await;
    assert!(answered.text.contains("Miso"), "{}", answered.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fact_that_changes_is_kept_with_the_time_in_which_it_held() {
    let world = World::new().await;
    world.create("Alice").await;
    world.query("alice", "I live in Porto.").await;
    world.query("alice", "I moved to Lisbon.").await;
    let facts = RecallMemories {
        question: "where do I live, Porto or Lisbon".to_owned(),
        kinds: vec![MemoryKind::Fact],
        ..RecallMemories::default()
    };
    // A fact is kept after the answer was given.
    world
        .until(async |world| {
            let found = world.ask(&being("alice"), facts.clone()).await.memories;
            let old = found.iter().find(|it| it.memory.text.contains("Porto"));
            let new = found.iter().find(|it| it.memory.text.contains("Lisbon"));
            old.is_some_and(|old| old.memory.until.is_some())
                && new.is_some_and(|new| new.memory.until.is_none())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_forgotten_is_nowhere_any_more() {
    let world = World::new().await;
    world.create("Alice").await;
    world.query("alice", "The password of the safe is xylophone-42.").await;
    world.query("alice", "The weather is fine.").await;
    let note = world.remember("alice", "the xylophone stands in the attic").await;
    let other = world.remember("alice", "the quokka sleeps until noon").await;
    assert!(contains(&world.bytes_of("alice"), "xylophone"));

    let forget = |what| Forget { what };
    let matching = Forgettable::Matching { text: "Xylophone".to_owned() };
    let forgotten = world.ask(&being("alice"), forget(matching)).await;
    assert!(forgotten.memories >= 2 && forgotten.turns >= 1, "{forgotten:?}");
    assert!(!contains(&world.bytes_of("alice"), "xylophone"), "a trace is left");
    assert!(world.recall("alice", "xylophone").await.iter().all(|it| it.memory.id != note));
    let history = world.ask(&being("alice"), ShowHistory::default()).await;
    assert_eq!(history.turns.len(), 1);

    let one = world.ask(&being("alice"), forget(Forgettable::Memory { id: other })).await;
    assert_eq!((one.memories, one.turns), (1, 0));
    assert!(!contains(&world.bytes_of("alice"), "quokka"), "a trace is left");
    let world = world.again().await;
    assert!(!contains(&world.bytes_of("alice"), "xylophone"), "a trace came back");
    let none = Forgettable::Matching { text: "xylophone".to_owned() };
    assert_eq!(world.ask(&being("alice"), forget(none)).await.memories, 0);
    let empty = Forgettable::Matching { text: " ".to_owned() };
    let refused = world.refused(&being("alice"), forget(empty)).await;
    assert!(refused.why.contains("name at least a word"), "{refused}");
}
