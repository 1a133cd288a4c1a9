//! What the house asks of an agent past its mailbox, and what it counts.

use std::time::Duration;

use genii_protocols::Style;
use genii_runtime::{Health, Unheard};
use genii_supervision::Edges;
use serde_json::json;

use crate::parrot::*;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_suspended_agent_handles_nothing_loses_nothing_and_still_answers_the_house() {
    let house = House::new().await;
    let polly = house.parrot("zoo/polly").await;
    let mail = house.node.to(&polly);
    for number in 0..5 {
        mail.tell(Note { number, millis: 10 }).await.unwrap();
    }
    house.node.suspend(&polly, SECOND).await.unwrap();
    assert!(house.node.is_suspended(&polly));
    let held = house.node.counters(&polly).unwrap();
    tokio::time::sleep(10 * SECOND).await;
    let later = house.node.counters(&polly).unwrap();
    assert_eq!((later.handled, later.depth), (held.handled, held.depth));
    assert_eq!(later.handled + later.depth as u64, 5);
    house.node.ping(&polly, SECOND).await.unwrap();
    assert!(house.node.snapshot(&polly, SECOND).await.unwrap().0["notes"].is_array());
    let waiting = mail.ask_within(Notes {}, SECOND).await;
    assert!(waiting.is_err(), "it waits with the others");
    house.node.resume(&polly, SECOND).await.unwrap();
    assert_eq!(mail.ask(Notes {}).await.unwrap(), [0, 1, 2, 3, 4]);
}

/// Its timers run on, and what they send waits too.
#[tokio::test(start_paused = true)]
async fn a_suspended_agent_heeds_its_timers_when_it_is_resumed() {
    let house = House::new().await;
    let polly = house.parrot("zoo/polly").await;
    let mail = house.node.to(&polly);
    mail.ask(Tick { millis: 1_000 }).await.unwrap();
    house.node.suspend(&polly, SECOND).await.unwrap();
    tokio::time::sleep(10 * SECOND).await;
    let notes = || async { house.node.snapshot(&polly, SECOND).await.unwrap().0["notes"].clone() };
    assert_eq!(notes().await, json!([]));
    house.node.resume(&polly, SECOND).await.unwrap();
    // One of the timer that repeats, however often it ran out, and the one that does not.
    assert_eq!(mail.ask(Notes {}).await.unwrap(), [7, 8]);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_panics_when_it_is_looked_at_says_where() {
    let house = House::new().await;
    let polly = house.parrot_with("zoo/polly", json!({ "refuses": "looks" }), Edges::default());
    let polly = polly.await;
    assert!(house.node.snapshot(&polly, SECOND).await.is_err());
    house.reborn(&polly, 1).await;
    let crash = house.last_crash(&polly);
    assert!(crash.contains("panic: do not look") && crash.contains("parrot.rs"), "{crash}");
    assert!(crash.contains("while handling a look at its state"), "{crash}");
}

#[tokio::test(start_paused = true)]
async fn a_suspended_agent_can_be_stopped() {
    let house = House::new().await;
    let polly = house.parrot("zoo/polly").await;
    house.node.suspend(&polly, SECOND).await.unwrap();
    house.node.to(&polly).tell(Note { number: 1, millis: 0 }).await.unwrap();
    house.supervisor.terminate_child("zoo/polly").await.unwrap();
    assert_eq!(house.node.dead_letters().total(), 1);
    assert!(!house.node.is_suspended(&polly));
}

#[tokio::test(start_paused = true)]
async fn a_ping_that_is_not_answered_names_the_handler() {
    let house = House::new().await;
    let polly = house.parrot("zoo/polly").await;
    house.node.to(&polly).tell(Misbehave::Hang).await.unwrap();
    tokio::time::sleep(SECOND).await;
    let error = house.node.ping(&polly, SECOND).await.unwrap_err();
    let said = error.to_string();
    assert!(said.contains("it has been handling parrot.misbehave for 2.0s"), "{said}");
    assert_eq!(house.node.ping(&address("zoo/x"), SECOND).await, Err(Unheard::NotFound));
    house.supervisor.kill_child("zoo/polly", "killed by hand").await.unwrap();
    house.until("it is down", || house.node.busy(&polly).is_none()).await;
    assert_eq!(house.node.ping(&polly, SECOND).await, Err(Unheard::NotRunning));
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_runs_too_long_is_written_down_by_name_once() {
    let house = House::new().await;
    let polly = house.parrot("zoo/polly").await;
    let slow = Note { number: 1, millis: 30_000 };
    house.node.to(&polly).ask_within(slow, PATIENCE).await.unwrap();
    tokio::time::sleep(2 * SECOND).await;
    let notes: Vec<String> = (house.node.tree().journal)
        .tail(10, |event| event.what.word() == "note")
        .iter()
        .map(|event| event.what.to_string())
        .collect();
    assert_eq!(notes.len(), 2, "{notes:?}");
    assert!(notes[0].starts_with("has been handling parrot.note for 1"), "{notes:?}");
    assert_eq!(notes[1], "has got out of the handler that took so long");
}

#[tokio::test(start_paused = true)]
async fn an_agent_says_how_it_is() {
    let house = House::new().await;
    let polly = house.parrot("zoo/polly").await;
    assert_eq!(house.node.health(&polly, SECOND).await, Ok(Health::Well));
    for number in 0..10 {
        house.node.to(&polly).ask(Note { number, millis: 0 }).await.unwrap();
    }
    let ill = Health::Degraded("it has noted too much".into());
    assert_eq!(house.node.health(&polly, SECOND).await, Ok(ill));
}

#[tokio::test(start_paused = true)]
async fn what_an_agent_does_is_counted_over_all_its_lives() {
    let house = House::new().await;
    let polly = house.parrot_with("zoo/polly", json!({ "refuses": "x" }), Default::default()).await;
    house.echo(&polly, "one").await.unwrap();
    house.echo(&polly, "x").await.unwrap_err();
    house.node.to(&polly).tell(Misbehave::Panic).await.unwrap();
    house.reborn(&polly, 1).await;
    house.node.to(&polly).ask(Note { number: 1, millis: 100 }).await.unwrap();
    let counters = house.node.counters(&polly).unwrap();
    assert_eq!((counters.handled, counters.refused, counters.failed), (2, 1, 1));
    let p99 = counters.p99.unwrap();
    assert!((100..=113).contains(&p99.as_millis()), "{p99:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stranger_can_learn_what_an_agent_answers() {
    let house = House::new().await;
    let polly = house.parrot("zoo/polly").await;
    let messages = house.node.messages(&polly).unwrap();
    let echo = messages.iter().find(|message| message.name == "parrot.echo").unwrap();
    assert_eq!(echo.about, "Say it back.");
    assert_eq!(echo.request.0["properties"]["text"]["description"], "What to say.");
    assert!(echo.refusal.is_some());
    let count = messages.iter().find(|message| message.name == "parrot.count_to").unwrap();
    assert_eq!(count.style, Style::Stream);
    assert!(count.item.is_some());
    let note = messages.iter().find(|message| message.name == "parrot.note").unwrap();
    assert!(note.refusal.is_none(), "what is never refused has no refusal");
    assert!(house.node.messages(&address("zoo/x")).is_none());
}
