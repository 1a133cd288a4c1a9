//! Monitors, links, timers, and being told of one's needs.

use std::time::Duration;

use genii_supervision::{ChildPolicy, Edges, Restart};
use serde_json::json;

use crate::parrot::*;

#[tokio::test(start_paused = true)]
async fn a_monitor_tells_of_an_end_once_with_its_cause() {
    let house = House::new().await;
    let polly = house.parrot("zoo/polly").await;
    let watcher = house.parrot("zoo/watcher").await;
    let attend = Attend { to: polly.clone(), link: false };
    house.node.to(&watcher).ask(attend).await.unwrap();
    house.node.to(&polly).tell(Misbehave::Panic).await.unwrap();
    house.reborn(&polly, 1).await;
    house.node.to(&polly).tell(Misbehave::Panic).await.unwrap();
    house.reborn(&polly, 3).await;
    let seen = house.seen(&watcher).await;
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert!(seen[0].starts_with("zoo/polly went down: it panicked: told to panic"), "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn a_monitor_of_nobody_tells_at_once() {
    let house = House::new().await;
    let watcher = house.parrot("zoo/watcher").await;
    let attend = Attend { to: address("zoo/nobody"), link: false };
    house.node.to(&watcher).ask(attend).await.unwrap();
    house.echo(&watcher, "after").await.unwrap();
    let seen = house.seen(&watcher).await;
    assert_eq!(seen, ["zoo/nobody went down: it is stopped: there is no such life"]);
}

#[tokio::test(start_paused = true)]
async fn a_link_takes_either_end_along_when_the_other_crashes() {
    for (crashes, falls) in [("zoo/one", "zoo/two"), ("zoo/two", "zoo/one")] {
        let house = House::new().await;
        let (one, two) = (house.parrot("zoo/one").await, house.parrot("zoo/two").await);
        house.node.to(&one).ask(Attend { to: two, link: true }).await.unwrap();
        let before = house.incarnation(&address(falls));
        house.node.to(address(crashes)).tell(Misbehave::Panic).await.unwrap();
        house.reborn(&address(falls), before).await;
        let crash = house.last_crash(&address(falls));
        let expected = format!("{crashes}, to which it is linked, has ended: it panicked");
        assert!(crash.starts_with(&expected), "{crash}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_link_bears_an_end_in_good_order() {
    let house = House::new().await;
    let (one, two) = (house.parrot("zoo/one").await, house.parrot("zoo/two").await);
    house.node.to(&one).ask(Attend { to: two.clone(), link: true }).await.unwrap();
    house.supervisor.terminate_child(two.as_str()).await.unwrap();
    house.echo(&one, "still here").await.unwrap();
    assert_eq!(house.incarnation(&one), 1);
}

#[tokio::test(start_paused = true)]
async fn who_has_let_go_hears_nothing_that_was_on_its_way() {
    for link in [false, true] {
        let house = House::new().await;
        let (one, two) = (house.parrot("zoo/one").await, house.parrot("zoo/two").await);
        house.node.to(&one).ask(Attend { to: two.clone(), link }).await.unwrap();
        house.node.to(&one).tell(LetGo { millis: 50 }).await.unwrap();
        // The news of it waits until the other has let go.
        house.node.to(&two).tell(Misbehave::Panic).await.unwrap();
        house.reborn(&two, 1).await;
        house.echo(&one, "still here").await.unwrap();
        assert_eq!(house.incarnation(&one), 1);
        assert_eq!(house.seen(&one).await, [""; 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn timers_send_in_their_time_and_die_with_their_agent() {
    let house = House::new().await;
    let polly = house.parrot("zoo/polly").await;
    house.node.to(&polly).ask(Tick { millis: 1_000 }).await.unwrap();
    tokio::time::sleep(Duration::from_millis(3_500)).await;
    let notes = house.node.to(&polly).ask(Notes {}).await.unwrap();
    assert_eq!(notes.iter().filter(|note| **note == 7).count(), 3);
    assert_eq!(notes.iter().filter(|note| **note == 8).count(), 1);
    house.node.to(&polly).tell(Misbehave::Panic).await.unwrap();
    house.reborn(&polly, 1).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(house.node.to(&polly).ask(Notes {}).await.unwrap(), [0; 0]);
}

/// A timer that repeats does not pile up messages while its agent is busy.
#[tokio::test(start_paused = true)]
async fn a_timer_waits_until_its_last_message_was_taken() {
    let house = House::new().await;
    let polly = house.parrot("zoo/polly").await;
    let mail = house.node.to(&polly);
    mail.ask(Tick { millis: 1_000 }).await.unwrap();
    mail.ask_within(Note { number: 1, millis: 20_500 }, PATIENCE).await.unwrap();
    let notes = mail.ask(Notes {}).await.unwrap();
    assert_eq!(notes.iter().filter(|note| **note == 7).count(), 1, "{notes:?}");
}

#[tokio::test(start_paused = true)]
async fn an_agent_is_told_when_what_it_needs_goes_and_returns() {
    let house = House::new().await;
    let base = house.parrot("zoo/base").await;
    let edges = Edges { needs: vec!["zoo/base".into()], ..Edges::default() };
    let user = house.parrot_with("zoo/user", json!({}), edges).await;
    house.node.to(&base).tell(Misbehave::Panic).await.unwrap();
    house.reborn(&base, 1).await;
    house.echo(&user, "after").await.unwrap();
    assert_eq!(house.seen(&user).await, ["zoo/base: Coming", "zoo/base: Met"]);
}

/// A life that ended in good order breaks no link, also when its supervisor starts another.
#[tokio::test(start_paused = true)]
async fn a_link_bears_an_agent_that_has_finished() {
    let house = House::new().await;
    let (one, two) = (house.parrot("zoo/one").await, house.parrot("zoo/two").await);
    house.node.to(&one).ask(Attend { to: two.clone(), link: true }).await.unwrap();
    house.node.to(&two).tell(Misbehave::Finish).await.unwrap();
    house.reborn(&two, 2).await;
    house.echo(&one, "still here").await.unwrap();
    assert_eq!(house.incarnation(&one), 1);
}

/// Who watches an agent that is forgotten with its end learns why it ended all the same.
#[tokio::test(start_paused = true)]
async fn the_crash_of_a_temporary_agent_reaches_those_who_watch_and_ask() {
    let house = House::new().await;
    let watcher = house.parrot("zoo/watcher").await;
    let polly = address("zoo/polly");
    let child = house.node.agent::<Parrot>(&polly, genii_protocols::Json(json!({})));
    let once = ChildPolicy { restart: Restart::Temporary, ..policy() };
    house.supervisor.start_child(child.with_policy(once)).await.unwrap();
    house.node.to(&watcher).ask(Attend { to: polly.clone(), link: false }).await.unwrap();
    let error = house.node.to(&polly).ask(Misbehave::Panic).await.unwrap_err().to_string();
    assert!(error.contains("it panicked: told to panic"), "{error}");
    let seen = house.seen(&watcher).await;
    assert!(seen[0].starts_with("zoo/polly went down: it panicked: told to panic"), "{seen:?}");
    assert_eq!(house.echo(&polly, "hello").await.unwrap_err(), "zoo/polly is not known");
}
