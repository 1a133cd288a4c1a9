//! What a being is told to remember: in order, and before what comes after it.

use futures_util::future::join_all;
use genii_protocols::AskError;
use genii_protocols::being::{Forget, Forgettable, RecallMemories, Remember, ShowBeing};

use crate::world::{PATIENCE, World};

fn remember(text: impl Into<String>) -> Remember {
    Remember { text: text.into(), speaker: None, at: None }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_at_once_is_kept_in_the_order_in_which_it_came() {
    let world = World::new().await;
    let alice = world.create("Alice").await.address;
    // More than are kept at a time.
    let all = (0..150).map(|number| world.ask(&alice, remember(format!("jar {number}"))));
    let kept = join_all(all).await;
    let ids: Vec<u64> = kept.iter().map(|memory| memory.id).collect();
    assert_eq!(ids, (1..=150).collect::<Vec<u64>>());
    assert!(kept.iter().enumerate().all(|(n, memory)| memory.text == format!("jar {n}")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_told_is_known_to_whatever_comes_after_it() {
    let world = World::new().await;
    let alice = world.create("Alice").await.address;
    let mail = world.node.to(alice.clone());
    for number in 0..20 {
        mail.tell(remember(format!("the kestrel number {number} sleeps"))).await.unwrap();
        let question = format!("kestrel {number}");
        let recall = RecallMemories { question, ..RecallMemories::default() };
        let found = world.ask(&alice, recall).await.memories;
        let text = format!("the kestrel number {number} sleeps");
        assert!(found.iter().any(|it| it.memory.text == text), "{number}: {found:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_told_and_cannot_be_kept_is_a_dead_letter() {
    let world = World::new().await;
    let alice = world.create("Alice").await.address;
    world.node.to(alice.clone()).tell(remember("  ")).await.unwrap();
    assert_eq!(world.ask(&alice, ShowBeing {}).await.memories, 0);
    let dead = world.node.dead_letters().tail(10);
    let dead = dead.iter().find(|letter| letter.message == "being.remember").unwrap();
    assert!(dead.fault.to_string().contains("a memory has 1 to 65536 bytes"), "{}", dead.fault);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_being_kept_is_forgotten_with_the_rest() {
    let world = World::new().await;
    let alice = world.create("Alice").await.address;
    let telling = join_all((0..60).map(|n| world.ask(&alice, remember(format!("heron {n}")))));
    let what = Forgettable::Matching { text: "heron".to_owned() };
    let (kept, forgotten) = tokio::join!(telling, world.ask(&alice, Forget { what }));
    assert_eq!((kept.len(), forgotten.memories), (60, 60));
    assert_eq!(world.ask(&alice, ShowBeing {}).await.memories, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_said_to_be_kept_is_there_after_an_end_in_its_midst() {
    let world = World::new().await;
    let alice = world.create("Alice").await.address;
    let mail = world.node.to(alice.clone());
    let telling = tokio::spawn(join_all((0..150).map(|number| {
        let mail = mail.clone();
        async move { mail.ask_within(remember(format!("jar {number}")), PATIENCE).await }
    })));
    world.until(async |world| world.bytes_of("alice").windows(5).any(|it| it == b"jar 3")).await;
    let world = world.again().await;
    let mut kept = Vec::new();
    for told in telling.await.unwrap() {
        match told {
            Ok(memory) => kept.push(memory.id),
            // Who is not answered learns that the being has ended, and not of a store that was closed.
            Err(AskError::Fault(_)) => {}
            Err(refused) => panic!("{refused}"),
        }
    }
    let there = world.ask(&alice, ShowBeing {}).await.memories;
    assert!(!kept.is_empty() && kept.iter().all(|id| *id <= there), "{kept:?} of {there}");
}
