//! A nursery that is set otherwise while residents of it are awake.

use std::time::Duration;

use genii_runtime::NurserySettings;
use genii_runtime::nursery::Mood;
use tokio::time::Instant;

use super::{Keep, settings, world};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn more_places_are_there_at_once() {
    let world = world(1).await;
    let [busy, late] = ["busy", "late"].map(|name| world.admit(name));
    let working = world.pondered(&busy, 20);
    world.comes_to(&busy, Mood::Awake).await;
    world.node.to(late.clone()).tell(Keep { number: 1 }).await.unwrap();
    assert_eq!(world.nursery.mood(&late), Some(Mood::Waking));
    world.house.nursery(settings(2)).await.unwrap();
    let began = Instant::now();
    assert_eq!(world.tell(&late).await.1, [1]);
    assert!(began.elapsed() < SECOND, "{:?}", began.elapsed());
    assert_eq!(world.nursery.awake(), 2);
    working.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn of_those_that_are_too_many_those_sleep_first_that_have_rested_longest() {
    let world = world(3).await;
    let [a, b, c] = ["a", "b", "c"].map(|name| world.admit(name));
    for who in [&a, &b, &c, &a] {
        world.tell(who).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    world.house.nursery(settings(2)).await.unwrap();
    let began = Instant::now();
    world.comes_to(&b, Mood::Asleep).await;
    assert!([&a, &c].iter().all(|who| world.nursery.mood(who) == Some(Mood::Awake)));
    world.house.nursery(settings(1)).await.unwrap();
    world.comes_to(&c, Mood::Asleep).await;
    assert_eq!(world.nursery.mood(&a), Some(Mood::Awake));
    assert_eq!(world.nursery.awake(), 1);
    assert!(began.elapsed() < SECOND, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn one_that_is_too_many_and_at_work_sleeps_when_it_has_done_it() {
    let world = world(2).await;
    let [first, second, late] = ["first", "second", "late"].map(|name| world.admit(name));
    let works = [world.pondered(&first, 20), world.pondered(&second, 40)];
    for who in [&first, &second] {
        world.comes_to(who, Mood::Awake).await;
    }
    world.house.nursery(settings(1)).await.unwrap();
    assert_eq!(world.nursery.awake(), 2, "nobody is sent off from its work");
    world.node.to(late.clone()).tell(Keep { number: 1 }).await.unwrap();
    world.comes_to(&first, Mood::Asleep).await;
    assert_eq!(world.nursery.awake(), 1);
    assert_eq!(world.nursery.mood(&late), Some(Mood::Waking), "that place is gone");
    for work in works {
        work.await.unwrap().unwrap();
    }
    assert_eq!(world.tell(&late).await.1, [1]);
    assert_eq!(world.nursery.awake(), 1);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_too_many_sleeps_also_if_nobody_waits_for_its_place() {
    let world = world(2).await;
    let [first, second] = ["first", "second"].map(|name| world.admit(name));
    let works = [world.pondered(&first, 20), world.pondered(&second, 40)];
    for who in [&first, &second] {
        world.comes_to(who, Mood::Awake).await;
    }
    world.house.nursery(settings(1)).await.unwrap();
    let began = Instant::now();
    world.comes_to(&first, Mood::Asleep).await;
    // Before it would have rested long enough.
    assert!(began.elapsed() < 30 * SECOND, "{:?}", began.elapsed());
    for work in works {
        work.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn how_long_one_rests_holds_from_the_next_look_on() {
    let world = world(2).await;
    let alice = world.admit("alice");
    world.tell(&alice).await;
    world.house.nursery(NurserySettings { idle_after: SECOND, ..settings(2) }).await.unwrap();
    let began = Instant::now();
    world.comes_to(&alice, Mood::Asleep).await;
    assert!(began.elapsed() < 10 * SECOND, "{:?}", began.elapsed());
}
