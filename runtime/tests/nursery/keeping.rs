//! Residents that are to be kept asleep when things do not go as they should.

use std::sync::Arc;
use std::time::Duration;

use genii_protocols::{AskError, CauseKind, Fault};
use genii_runtime::NurserySettings;
use genii_runtime::nursery::{Mood, NotKept};
use genii_supervision::{ChildPolicy, Shutdown};
use tokio::time::{Instant, timeout};

use super::{Brood, FINISH, IDLE, Keep, Panic, Promised, settings, world, world_with};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn one_that_nobody_waits_to_keep_any_more_does_its_work_and_lives_on() {
    let world = world(1).await;
    let alice = world.admit("alice");
    let working = world.pondered(&alice, 3);
    world.comes_to(&alice, Mood::Awake).await;
    assert!(timeout(SECOND, world.nursery.keep_asleep(&alice)).await.is_err(), "it is at work");
    world.node.to(alice.clone()).tell(Keep { number: 1 }).await.unwrap();
    let began = Instant::now();
    assert_eq!(world.tell(&alice).await.1, [1]);
    assert!(began.elapsed() < 3 * SECOND, "{:?}", began.elapsed());
    working.await.unwrap().expect("what was begun is done first");
    let kept = timeout(IDLE, world.nursery.keep_asleep(&alice)).await.unwrap();
    assert!(kept.is_some(), "it can be kept later");
    assert_eq!(world.nursery.awake(), 0);
    assert_eq!(world.node.dead_letters().total(), 0);
}

#[tokio::test(start_paused = true)]
async fn one_that_nobody_waits_to_keep_any_more_while_it_ends_lives_on() {
    let world = world(1).await;
    let lingering = world.admit("lingering-alice");
    let (first, _) = world.tell(&lingering).await;
    assert!(timeout(SECOND, world.nursery.keep_asleep(&lingering)).await.is_err(), "it ends");
    world.node.to(lingering.clone()).tell(Keep { number: 1 }).await.unwrap();
    let (second, kept) = world.tell(&lingering).await;
    assert!(second != first && kept == [1], "{first} {second} {kept:?}");
    assert_eq!(world.node.dead_letters().total(), 0);
}

#[tokio::test(start_paused = true)]
async fn one_that_somebody_else_wants_to_keep_while_it_does_its_work_is_kept() {
    let world = world(1).await;
    let alice = world.admit("alice");
    let working = world.pondered(&alice, 3);
    world.comes_to(&alice, Mood::Awake).await;
    assert!(timeout(SECOND, world.nursery.keep_asleep(&alice)).await.is_err(), "it is at work");
    let kept = timeout(3 * SECOND, world.nursery.keep_asleep(&alice)).await.unwrap().unwrap();
    working.await.unwrap().expect("what was begun is done first");
    world.node.to(alice.clone()).tell(Keep { number: 1 }).await.unwrap();
    tokio::time::sleep(SECOND).await;
    assert_eq!(world.nursery.mood(&alice), Some(Mood::Dozing));
    drop(kept);
    assert_eq!(world.tell(&alice).await.1, [1]);
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_one_that_fails_at_its_last_work_is_for_its_next_life() {
    let world = world(1).await;
    let alice = world.admit("alice");
    let mail = world.node.to(alice.clone());
    let working = world.pondered(&alice, 3);
    world.comes_to(&alice, Mood::Awake).await;
    let failing = {
        let mail = mail.clone();
        tokio::spawn(async move { mail.ask_within(Panic {}, IDLE).await })
    };
    tokio::time::sleep(Duration::from_millis(1)).await;
    let keeping = {
        let (nursery, alice) = (world.nursery.clone(), alice.clone());
        tokio::spawn(async move { nursery.keep_asleep(&alice).await })
    };
    tokio::time::sleep(SECOND).await;
    mail.tell(Keep { number: 1 }).await.unwrap();
    let asked = {
        let mail = mail.clone();
        tokio::spawn(async move { mail.ask_within(Keep { number: 2 }, IDLE).await })
    };
    working.await.unwrap().unwrap();
    let began = Instant::now();
    let answer = failing.await.unwrap();
    let Err(AskError::Fault(fault)) = answer else { panic!("{answer:?}") };
    assert!(fault.to_string().contains("it was told to"), "{fault}");
    assert!(began.elapsed() < SECOND, "{:?}", began.elapsed());
    let kept = keeping.await.unwrap().unwrap();
    assert!(began.elapsed() < SECOND, "{:?}", began.elapsed());
    assert_eq!(world.nursery.mood(&alice), Some(Mood::Dozing));
    mail.tell(Keep { number: 3 }).await.unwrap();
    drop(kept);
    assert_eq!(asked.await.unwrap().unwrap(), 2);
    assert_eq!(world.tell(&alice).await.1, [1, 2, 3]);
    assert_eq!(world.node.dead_letters().total(), 0);
}

#[tokio::test(start_paused = true)]
async fn one_that_waits_for_a_place_is_kept_asleep_at_once() {
    let world = world(1).await;
    let [busy, late] = ["busy", "late"].map(|name| world.admit(name));
    let working = world.pondered(&busy, 20);
    world.comes_to(&busy, Mood::Awake).await;
    world.node.to(late.clone()).tell(Keep { number: 1 }).await.unwrap();
    assert_eq!(world.nursery.mood(&late), Some(Mood::Waking));
    let kept = timeout(SECOND, world.nursery.keep_asleep(&late)).await.unwrap().unwrap();
    assert_eq!(world.nursery.mood(&late), Some(Mood::Dozing));
    working.await.unwrap().unwrap();
    world.comes_to(&busy, Mood::Asleep).await;
    assert_eq!(world.nursery.mood(&late), Some(Mood::Dozing), "also when there is a place");
    drop(kept);
    assert_eq!(world.tell(&late).await.1, [1]);
    assert_eq!(world.node.dead_letters().total(), 0);
}

#[tokio::test(start_paused = true)]
async fn one_that_waits_for_a_place_goes_on_waiting_when_it_is_let_go() {
    let world = world(1).await;
    let [busy, late] = ["busy", "late"].map(|name| world.admit(name));
    let working = world.pondered(&busy, 20);
    world.comes_to(&busy, Mood::Awake).await;
    world.node.to(late.clone()).tell(Keep { number: 1 }).await.unwrap();
    drop(world.nursery.keep_asleep(&late).await.unwrap());
    assert_eq!(world.nursery.mood(&late), Some(Mood::Waking));
    assert_eq!(world.tell(&late).await.1, [1]);
    working.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn one_that_does_not_come_to_start_is_kept_asleep_in_the_end() {
    let world = world(1).await;
    let endless = world.admit("endless-alice");
    let mail = world.node.to(endless.clone());
    mail.tell(Keep { number: 1 }).await.unwrap();
    let asked = {
        let mail = mail.clone();
        tokio::spawn(async move { mail.ask_within(Keep { number: 2 }, 2 * IDLE).await })
    };
    world.comes_to(&endless, Mood::Awake).await;
    let kept = timeout(IDLE, world.nursery.keep_asleep(&endless)).await.unwrap().unwrap();
    assert_eq!(world.nursery.awake(), 0);
    let answer = asked.await.unwrap();
    let Err(AskError::Fault(fault)) = answer else { panic!("{answer:?}") };
    assert!(fault.to_string().contains("had not started yet"), "{fault}");
    assert_eq!(world.node.dead_letters().total(), 1, "what was told is told of");
    mail.tell(Keep { number: 3 }).await.unwrap();
    assert_eq!(world.nursery.mood(&endless), Some(Mood::Dozing), "what comes now waits");
    kept.dismiss();
    assert_eq!(world.node.dead_letters().total(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_one_that_is_suspended_is_returned_at_once() {
    const WHY: &str = "it moves to another machine";
    let world = world(1).await;
    let alice = world.admit("alice");
    world.tell(&alice).await;
    world.node.suspend(&alice, SECOND).await.unwrap();
    let mail = world.node.to(alice.clone());
    mail.tell(Keep { number: 1 }).await.unwrap();
    let asked = {
        let mail = mail.clone();
        tokio::spawn(async move { mail.ask_within(Keep { number: 2 }, IDLE).await })
    };
    tokio::time::sleep(Duration::from_millis(1)).await;
    let keeping = world.nursery.keep_asleep_since(&alice, WHY);
    let kept = timeout(SECOND, keeping).await.unwrap().unwrap();
    let answer = asked.await.unwrap();
    let Err(AskError::Fault(fault)) = answer else { panic!("{answer:?}") };
    let Fault::Down { cause, .. } = &*fault else { panic!("{fault}") };
    assert_eq!(cause.message, WHY);
    assert_eq!(world.node.dead_letters().total(), 1, "what was told is told of");
    mail.tell(Keep { number: 3 }).await.unwrap();
    drop(kept);
    assert_eq!(world.tell(&alice).await.1, [3], "its next life is not suspended");
}

#[tokio::test(start_paused = true)]
async fn one_that_was_suspended_at_its_work_does_that_before_it_is_kept_asleep() {
    let world = world(1).await;
    let alice = world.admit("alice");
    let working = {
        let mail = world.node.to(alice.clone());
        tokio::spawn(async move { mail.ask_within(Promised { seconds: 5 }, IDLE).await })
    };
    world.comes_to(&alice, Mood::Awake).await;
    tokio::time::sleep(SECOND).await;
    world.node.suspend(&alice, SECOND).await.unwrap();
    let kept = timeout(10 * SECOND, world.nursery.keep_asleep(&alice)).await.unwrap();
    assert!(kept.is_some());
    working.await.unwrap().expect("what was begun is done first");
}

#[tokio::test(start_paused = true)]
async fn what_takes_too_long_is_called_off_and_who_waits_for_it_is_told_why() {
    const WHY: &str = "it moves to another machine";
    let world = world(1).await;
    let alice = world.admit("alice");
    let mail = world.node.to(alice.clone());
    let brooding = {
        let mail = mail.clone();
        tokio::spawn(async move { mail.ask_within(Brood {}, 2 * IDLE).await })
    };
    let never_answered = {
        let mail = mail.clone();
        let promised = Promised { seconds: 1_000 };
        tokio::spawn(async move { mail.ask_within(promised, 2 * IDLE).await })
    };
    world.comes_to(&alice, Mood::Awake).await;
    tokio::time::sleep(SECOND).await;
    let began = Instant::now();
    let kept = world.nursery.keep_asleep_since(&alice, WHY).await.unwrap();
    assert_eq!(brooding.await.unwrap().unwrap(), WHY);
    let answer = never_answered.await.unwrap();
    let Err(AskError::Fault(fault)) = answer else { panic!("{answer:?}") };
    let Fault::Down { cause, .. } = *fault else { panic!("{fault}") };
    assert_eq!((cause.kind, cause.message.as_str()), (CauseKind::Stopped, WHY));
    let took = began.elapsed();
    assert!(took >= FINISH && took < FINISH + SECOND, "{took:?}");
    drop(kept);
    world.tell(&alice).await;
}

#[tokio::test(start_paused = true)]
async fn one_that_does_not_come_to_rest_is_not_kept() {
    let usual = settings(1);
    let policy = ChildPolicy { shutdown: Shutdown::Patient, ..ChildPolicy::clone(&usual.policy) };
    let world = world_with(NurserySettings { policy: Arc::new(policy), ..usual }).await;
    let staying = world.admit("staying-alice");
    world.tell(&staying).await;
    let kept = timeout(2 * IDLE, world.nursery.keep_asleep(&staying)).await.unwrap();
    assert!(kept.is_none());
    // It has been sent to sleep, and wakes when it has ended.
    let mail = world.node.to(staying.clone());
    assert_eq!(mail.ask_within(Keep { number: 1 }, 4 * IDLE).await.unwrap(), 1);
    assert_eq!(world.node.dead_letters().total(), 0);
}

#[tokio::test(start_paused = true)]
async fn no_work_is_broken_off_for_who_keeps_one_once_it_is_idle() {
    let world = world(1).await;
    let alice = world.admit("alice");
    let working = world.pondered(&alice, 100);
    world.comes_to(&alice, Mood::Awake).await;
    let kept = world.nursery.keep_once_idle(&alice, 40 * SECOND).await;
    assert!(matches!(kept, Err(NotKept::Busy)));
    world.node.to(alice.clone()).tell(Keep { number: 1 }).await.unwrap();
    let began = Instant::now();
    let kept = world.nursery.keep_once_idle(&alice, 100 * SECOND).await;
    assert!(kept.is_ok() && began.elapsed() >= 59 * SECOND, "{:?}", began.elapsed());
    working.await.unwrap().expect("it is done, however long it takes");
    assert!(matches!(world.nursery.keep_once_idle(&alice, SECOND).await, Err(NotKept::Taken)));
    assert_eq!(world.nursery.awake(), 0);
    world.node.to(alice.clone()).tell(Keep { number: 2 }).await.unwrap();
    drop(kept);
    assert_eq!(world.tell(&alice).await.1, [2], "what has come meanwhile is for its next life");
    assert_eq!(world.node.dead_letters().total(), 0);
}
