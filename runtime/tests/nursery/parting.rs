//! How one is let go of whose address is elsewhere.

use genii_runtime::nursery::NotKept;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// How long somebody who asks again and again pauses: less than there is between two looks.
const PAUSE: Duration = Duration::from_millis(3);

#[tokio::test(start_paused = true)]
async fn one_is_let_go_of_at_a_moment_at_which_it_has_nothing_to_do() {
    let world = world(2).await;
    let alice = world.admit("alice");
    let working = world.pondered(&alice, 3);
    world.comes_to(&alice, Mood::Awake).await;
    let busy = world.nursery.dismiss_once_idle(&alice, SECOND).await;
    assert_eq!(busy, Err(NotKept::Busy));
    assert!(world.nursery.has(&alice), "it is as it was");
    world.nursery.dismiss_once_idle(&alice, IDLE).await.unwrap();
    working.await.unwrap().expect("what was begun is done first");
    assert!(!world.nursery.has(&alice));
    assert_eq!(world.nursery.awake(), 0);
    let mail = world.node.to(alice.clone());
    let fault = mail.ask(Tell {}).await.unwrap_err();
    assert!(matches!(fault.fault(), Some(Fault::NotFound { .. })), "{fault}");
    let gone = world.nursery.dismiss_once_idle(&alice, SECOND).await;
    assert_eq!(gone, Err(NotKept::Taken));
    // It may come back, and then it is as any other.
    world.admit("alice");
    assert!(world.tell(&alice).await.1.is_empty());
    assert_eq!(world.node.dead_letters().total(), 0);
}

#[tokio::test(start_paused = true)]
async fn one_that_sleeps_is_let_go_of_at_once_and_one_that_is_kept_is_not() {
    let world = world(2).await;
    let [alice, bob] = ["alice", "bob"].map(|name| world.admit(name));
    world.nursery.dismiss_once_idle(&alice, Duration::ZERO).await.unwrap();
    assert!(!world.nursery.has(&alice));
    let kept = world.nursery.keep_asleep(&bob).await.unwrap();
    let taken = world.nursery.dismiss_once_idle(&bob, SECOND).await;
    assert_eq!(taken, Err(NotKept::Taken));
    drop(kept);
    assert!(world.tell(&bob).await.1.is_empty());
}

#[tokio::test(start_paused = true)]
async fn one_is_let_go_of_however_often_it_is_asked_and_nothing_is_lost() {
    let world = world(4).await;
    let (home, gone) = (world.admit("home"), world.admit("elsewhere"));
    let mail = world.node.to(gone.clone());
    let asking = tokio::spawn(async move {
        let mut number = 0;
        loop {
            if let Err(error) = mail.ask(Keep { number }).await {
                return (number, error);
            }
            number += 1;
            tokio::time::sleep(PAUSE).await;
        }
    });
    tokio::time::sleep(SECOND).await;
    world.nursery.dismiss_once_idle(&gone, SECOND).await.unwrap();
    let (asked, error) = asking.await.unwrap();
    assert!(matches!(error.fault(), Some(Fault::NotFound { .. })), "{error}");
    assert!(asked > 100, "{asked}");
    assert_eq!(world.tell(&home).await.1, (0..asked).collect::<Vec<_>>());
    assert_eq!(world.node.dead_letters().total(), 0);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_held_back_is_let_go_of_at_once() {
    let world = world(2).await;
    let broken = world.admit("broken-alice");
    assert!(world.node.to(broken.clone()).ask(Tell {}).await.is_err());
    let is_held = || {
        let member = world.house.member(broken.as_str());
        member.is_ok_and(|member| matches!(member.view.status, Status::Quarantined(_)))
    };
    while !is_held() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    world.nursery.dismiss_once_idle(&broken, SECOND).await.unwrap();
    assert!(!world.nursery.has(&broken));
    assert!(world.house.member(broken.as_str()).is_err(), "nothing of it is left");
}
