//! What others notice when an agent crashes.

use std::time::Duration;

use genii_protocols::{Cause, CauseKind, Fault, Json};
use genii_runtime::JsonNext;
use genii_supervision::Edges;
use serde_json::json;

use crate::parrot::*;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn the_asker_of_a_handler_that_panics_learns_the_cause() {
    let house = House::new().await;
    let polly = house.parrot("zoo/polly").await;
    let error = house.node.to(&polly).ask(Misbehave::Panic).await.unwrap_err();
    let Some(Fault::Down { cause, .. }) = error.fault() else { panic!("{error}") };
    assert_eq!(cause.kind, CauseKind::Panic);
    assert_eq!(cause.message, "told to panic");
    assert_eq!(cause.handling.as_deref(), Some("parrot.misbehave"));
    assert!(cause.place.as_ref().unwrap().contains("parrot.rs:"), "{cause}");
    house.reborn(&polly, 1).await;
    assert_eq!(house.echo(&polly, "again").await.unwrap(), "again");
    assert!(house.last_crash(&polly).contains("while handling parrot.misbehave"));
    assert_eq!(house.node.counters(&polly).unwrap().failed, 1);
}

/// What waited in the mailbox of the one that crashed is returned; nothing is lost in silence.
#[tokio::test(start_paused = true)]
async fn what_waits_behind_a_crash_is_returned_with_its_cause() {
    let house = House::new().await;
    let polly = house.parrot("zoo/polly").await;
    let mail = house.node.to(&polly);
    let slow = Note { number: 1, millis: 1_000 };
    mail.tell(slow).await.unwrap();
    tokio::task::yield_now().await;
    mail.tell(Misbehave::Panic).await.unwrap();
    mail.tell(Note { number: 2, millis: 0 }).await.unwrap();
    let error = mail.ask(Notes {}).await.unwrap_err();
    assert!(error.to_string().contains("it panicked: told to panic"), "{error}");
    let dead = house.node.dead_letters().tail(10);
    let names: Vec<&str> = dead.iter().map(|letter| &*letter.message).collect();
    assert_eq!(names, ["parrot.note"]);
    assert!(matches!(&dead[0].fault, Fault::Down { cause, .. } if cause.kind == CauseKind::Panic));
}

#[tokio::test(start_paused = true)]
async fn a_crash_does_not_touch_the_mailbox_of_a_neighbour() {
    let house = House::new().await;
    let polly = house.parrot("zoo/polly").await;
    let neighbour = house.parrot("zoo/neighbour").await;
    for number in 0..100 {
        house.node.to(&neighbour).tell(Note { number, millis: 10 }).await.unwrap();
    }
    house.node.to(&polly).tell(Misbehave::Panic).await.unwrap();
    house.reborn(&polly, 1).await;
    let notes = house.node.to(&neighbour).ask_within(Notes {}, PATIENCE).await.unwrap();
    assert_eq!(notes.len(), 100);
    assert_eq!(house.incarnation(&neighbour), 2);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_panics_takes_its_agent_along() {
    let house = House::new().await;
    let polly = house.parrot("zoo/polly").await;
    house.node.to(&polly).ask(Misbehave::PanicInTask).await.unwrap();
    house.reborn(&polly, 1).await;
    let crash = house.last_crash(&polly);
    assert!(crash.starts_with("panic: told to panic in a task at "), "{crash}");
}

/// The cause of which a fault tells, where an agent has ended.
#[track_caller]
fn cause(fault: Option<&Fault>) -> &Cause {
    match fault {
        Some(Fault::Down { cause, .. }) => cause,
        other => panic!("it does not tell of an end: {other:?}"),
    }
}

/// A promise that goes with the panic of a task does not tell that it was dropped.
#[tokio::test(start_paused = true)]
async fn the_asker_of_a_task_that_panics_learns_the_cause() {
    let house = House::new().await;
    let polly = house.parrot("zoo/polly").await;
    let mail = house.node.to(&polly);
    let began = tokio::time::Instant::now();
    let typed = mail.ask_within(Owe { in_task: true }, PATIENCE).await.unwrap_err();
    assert!(began.elapsed() < SECOND, "at once, not at the deadline");
    house.reborn(&polly, 1).await;
    let content = Json(json!({ "in_task": true }));
    let in_json = mail.ask_json("parrot.owe", &content, PATIENCE).await.unwrap_err();
    for cause in [cause(typed.fault()), cause(in_json.fault())] {
        assert_eq!(cause.kind, CauseKind::Panic);
        assert_eq!(cause.message, "told to panic in a task that owes an answer");
        assert!(cause.place.as_ref().unwrap().contains("parrot.rs:"), "{cause}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_asker_of_a_stream_whose_task_panics_learns_the_cause() {
    let house = House::new().await;
    let polly = house.parrot("zoo/polly").await;
    let mail = house.node.to(&polly);
    let count = CountTo { number: 10, panic_at: Some(1) };
    let began = tokio::time::Instant::now();
    let typed = mail.stream_within(count, PATIENCE).await.unwrap().finish().await.unwrap_err();
    assert!(began.elapsed() < SECOND, "at once, not when it has been waited for long enough");
    house.reborn(&polly, 1).await;
    let content = Json(json!({ "number": 10, "panic_at": 1 }));
    let mut answers = mail.stream_json("parrot.count_to", &content, PATIENCE).await.unwrap();
    let JsonNext::End(Err(in_json)) = answers.next().await else { panic!("it does not end so") };
    for cause in [cause(typed.fault()), cause(in_json.fault())] {
        assert_eq!(cause.kind, CauseKind::Panic);
        assert!(cause.message.contains("told to panic while counting"), "{cause}");
        assert!(cause.place.as_ref().unwrap().contains("parrot.rs:"), "{cause}");
    }
}

/// The agent has long begun another life when who is slow comes to the end of what was on its way.
#[tokio::test(start_paused = true)]
async fn a_slow_asker_of_a_stream_whose_task_has_panicked_learns_the_cause_too() {
    let house = House::new().await;
    let polly = house.parrot("zoo/polly").await;
    // As many as may be on their way, so that there is no room for the end beside them.
    let count = CountTo { number: 100, panic_at: Some(65) };
    let mut answers = house.node.to(&polly).stream(count).await.unwrap();
    house.reborn(&polly, 1).await;
    let mut items = Vec::new();
    while let Some(item) = answers.next().await {
        items.push(item);
    }
    assert_eq!(items, (1..=64).collect::<Vec<_>>());
    let error = answers.finish().await.unwrap_err();
    let cause = cause(error.fault());
    assert_eq!(cause.kind, CauseKind::Panic);
    assert!(cause.message.contains("told to panic while counting"), "{cause}");
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_an_agent_whose_task_or_handler_panics_learns_the_cause() {
    for how in [Misbehave::PanicInTask, Misbehave::Panic] {
        let house = House::new().await;
        let polly = house.parrot("zoo/polly").await;
        let mail = house.node.to(&polly);
        let waiting = tokio::spawn({
            let mail = mail.clone();
            async move { mail.ask_within(Owe { in_task: false }, PATIENCE).await }
        });
        house.until("it owes", || house.node.counters(&polly).unwrap().handled == 1).await;
        let began = tokio::time::Instant::now();
        mail.tell(how).await.unwrap();
        let error = waiting.await.unwrap().unwrap_err();
        assert!(began.elapsed() < SECOND, "at once, not at the deadline");
        let cause = cause(error.fault());
        assert_eq!(cause.kind, CauseKind::Panic);
        assert!(cause.message.starts_with("told to panic"), "{cause}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_killed_agent_answers_nobody_and_says_so() {
    let house = House::new().await;
    let polly = house.parrot("zoo/polly").await;
    let hanging = tokio::spawn({
        let mail = house.node.to(&polly);
        async move { mail.ask_within(Misbehave::Hang, PATIENCE).await }
    });
    house.until("it hangs", || house.node.busy(&polly).is_some()).await;
    let began = tokio::time::Instant::now();
    house.supervisor.kill_child(polly.as_str(), "killed by hand").await.unwrap();
    let error = hanging.await.unwrap().unwrap_err();
    assert!(
        matches!(error.fault(), Some(Fault::Down { cause, .. }) if cause.kind == CauseKind::Killed)
    );
    assert!(began.elapsed() < SECOND, "at once, not at the deadline");
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_has_finished_ends_in_good_order() {
    let house = House::new().await;
    let polly = house.parrot("zoo/polly").await;
    house.node.to(&polly).ask(Misbehave::Finish).await.unwrap();
    house.reborn(&polly, 1).await;
    let words: Vec<String> = (house.node.tree().journal)
        .tail(10, |event| event.key.as_str() == "zoo/polly")
        .iter()
        .map(|event| event.what.word().to_owned())
        .collect();
    assert_eq!(words[2..], ["ended", "restarting", "starting", "ready"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_of_a_stopping_agent_ends_when_it_stops() {
    let house = House::new().await;
    let settings = json!({ "slow_stop_millis": 3_000 });
    let polly = house.parrot_with("zoo/polly", settings, Edges::default()).await;
    let mail = house.node.to(&polly);
    let waiting = mail.ask_within(Note { number: 1, millis: 1_000 }, PATIENCE);
    let behind = mail.ask_within(Notes {}, PATIENCE);
    let stopping = async {
        tokio::task::yield_now().await;
        house.supervisor.terminate_child("zoo/polly").await.unwrap();
    };
    let (waiting, behind, ()) = tokio::join!(waiting, behind, stopping);
    assert_eq!(waiting.unwrap(), 1, "what it was handling it finishes");
    let error = behind.unwrap_err().to_string();
    assert_eq!(error, "zoo/polly is down: it is stopped: shutdown");
}

#[tokio::test(start_paused = true)]
async fn a_fallback_answers_for_an_address_that_is_down_and_no_longer() {
    let house = House::new().await;
    let stand_in = house.parrot_with("zoo/stand-in", json!({}), Edges::default()).await;
    let fallback = Edges { fallback: Some("zoo/stand-in".into()), ..Edges::default() };
    let polly = house.parrot_with("zoo/polly", json!({ "refuses": "x" }), fallback).await;
    let mail = house.node.to(&polly);
    let refuses = async || mail.ask(Echo { text: "x".into() }).await.is_err();
    assert!(refuses().await, "it answers itself");
    mail.tell(Misbehave::Panic).await.unwrap();
    house.until("it is down", || house.node.counters(&polly).unwrap().failed == 1).await;
    house
        .until("it is known to be down", || {
            let view = house.node.tree().board.view("zoo/polly").unwrap();
            !view.status.is_up()
        })
        .await;
    assert!(!refuses().await, "the stand-in answers, which refuses nothing");
    assert_eq!(house.node.counters(&stand_in).unwrap().handled, 1);
    house.reborn(&polly, 2).await;
    assert!(refuses().await, "it answers itself again");
}

#[tokio::test(start_paused = true)]
async fn a_removed_address_is_not_known_any_more_and_may_be_given_again() {
    let house = House::new().await;
    let polly = house.parrot("zoo/polly").await;
    let mail = house.node.to(&polly);
    mail.ask(Notes {}).await.unwrap();
    house.supervisor.terminate_child("zoo/polly").await.unwrap();
    house.supervisor.delete_child("zoo/polly").await.unwrap();
    let gone = mail.ask(Notes {}).await.unwrap_err();
    assert!(matches!(gone.fault(), Some(Fault::NotFound { .. })), "{gone}");
    house.parrot("zoo/polly").await;
    assert!(mail.ask(Notes {}).await.is_ok(), "who kept the mail reaches the new one");
}
