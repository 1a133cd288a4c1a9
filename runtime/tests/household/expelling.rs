//! Who is expelled on one machine is refused by all.

use std::time::{Duration, Instant, SystemTime};

use genii_protocols::frame::Control;
use genii_protocols::wire;
use genii_runtime::trust::{Expelled, Identity, TurnedAway};

use crate::nodes::{Household, name};

/// Three nodes, of which the second is linked with both others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_expelled_on_one_machine_is_refused_by_all() {
    let household = Household::new();
    household.admit("b");
    household.admit("c");
    let (main, b, c) =
        (household.begin("main").await, household.begin("b").await, household.begin("c").await);
    b.meet(&main);
    c.meet(&b);
    b.until_linked("main").await;
    b.until_linked("c").await;

    let began = Instant::now();
    household.authority.expel(&name("c"), SystemTime::now()).unwrap();
    b.until_lost("c", "expelled").await;
    // A tenth of a second for each hand through which it goes; much more where cores are busy.
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!((main.list(), b.list()), (1, 1));
    assert!(b.is_linked("main") && main.is_linked("b"));
    // It is kept, and refuses also after another start.
    b.until("the list to be kept", || {
        Identity::open(&household.path("b")).unwrap().unwrap().expelled().number() == 1
    })
    .await;
    b.end().await;
    let b = household.begin("b").await;
    assert_eq!(b.list(), 1);
    // It is let in again by another invitation, also where only the old one was known.
    std::fs::remove_dir_all(household.path("c")).unwrap();
    household.admit("c");
    c.end().await;
    let c = household.begin("c").await;
    c.meet(&b);
    b.until_linked("c").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_away_learns_it_from_whom_it_meets_first() {
    let household = Household::new();
    for node in ["b", "c", "d"] {
        household.admit(node);
    }
    // Nobody but the authority knows of it, and it is gone before the others come.
    household.authority.expel(&name("c"), SystemTime::now()).unwrap();
    let main = household.begin("main").await;
    let d = household.begin("d").await;
    d.meet(&main);
    d.until("d to hear of it", || d.list() == 1).await;
    main.end().await;
    let (b, c) = (household.begin("b").await, household.begin("c").await);
    c.meet(&b);
    b.until_linked("c").await;
    b.meet(&d);
    b.until_lost("c", "expelled").await;
    assert!(b.is_linked("d"));
    // Who has the older list tells nobody of it.
    assert_eq!(d.credentials.tally().of(TurnedAway::OldList), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forged_or_older_list_is_refused_and_counted() {
    let (household, other) = (Household::new(), Household::new());
    household.admit("b");
    other.admit("b");
    household.authority.expel(&name("b"), SystemTime::now()).unwrap();
    let old = Identity::open(&household.path("main")).unwrap().unwrap().expelled().clone();
    household.admit("b");
    household.authority.expel(&name("b"), SystemTime::now()).unwrap();
    let main = household.begin("main").await;
    assert_eq!(main.list(), 2);
    let refused = |list: &[u8]| main.credentials.learn_list(list);
    assert!(!refused(old.list()).unwrap());
    let mut forged = Vec::new();
    for _ in 0..3 {
        forged = other.authority.expel(&name("b"), SystemTime::now()).unwrap();
    }
    assert_eq!(Expelled::read(&forged).unwrap().number(), 3);
    assert!(refused(&forged).unwrap_err().to_string().contains("has not signed"));
    assert!(refused(b"nonsense").unwrap_err().to_string().contains("cannot be read"));
    assert!(refused(&[7; 300_000]).unwrap_err().to_string().contains("are the most"));
    assert_eq!(main.list(), 2);
    let tally = main.credentials.tally();
    assert_eq!((tally.of(TurnedAway::ForgedList), tally.of(TurnedAway::OldList)), (3, 1));
}

/// The authority's folder from a copy of before does not undo what others were told since.
#[tokio::test]
async fn a_ledger_from_a_copy_takes_nothing_back() {
    let household = Household::new();
    household.admit("b");
    household.admit("c");
    let ledger = household.path("main").join("ledger.json");
    let copy = std::fs::read(&ledger).unwrap();
    let first = household.authority.expel(&name("b"), SystemTime::now()).unwrap();
    std::fs::write(&ledger, copy).unwrap();
    let nodes = household.authority.nodes().unwrap();
    assert!(nodes.contains(&(name("b"), true)), "{nodes:?}");
    let second = household.authority.expel(&name("c"), SystemTime::now()).unwrap();
    let [first, second] = [first, second].map(|list| Expelled::read(&list).unwrap());
    assert!(second.number() > first.number());
    let b = Identity::open(&household.path("b")).unwrap().unwrap();
    assert!(first.contains(b.certificate()) && second.contains(b.certificate()));
}

/// Some thousands of machines can be expelled before the list has no room.
#[test]
fn the_largest_list_travels_in_one_frame() {
    let list = vec![0; genii_runtime::trust::EXPELLED_MAX_LEN];
    assert!(wire::encode(&Control::Expelled(&list)).unwrap().len() < 256 << 10);
}
