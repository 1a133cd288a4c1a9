//! A certificate that does not count is refused by both ends, which say whose it is and why.

use std::time::{Duration, SystemTime};

use genii_runtime::trust::TurnedAway;

use crate::nodes::{HOUR, Household, Running, name};

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// A household of two, of which the second was let in as of a time.
async fn two(now: SystemTime) -> (Household, Running, Running) {
    let household = Household::new();
    household.admit_at("b", now);
    let (main, b) = (household.begin("main").await, household.begin("b").await);
    (household, main, b)
}

/// Lets one call the other, in both directions in turn, and waits until both say why it is refused.
async fn refused(main: &Running, b: &Running, called: &str, caller: &str, counts_as: TurnedAway) {
    // The one whose certificate is bad calls: it hears why from the one that it called.
    b.meet(main);
    b.until_lost("main", caller).await;
    let why = || main.credentials.tally().why(&name("b")).unwrap_or_default();
    main.until("the called to say why", || why().contains(called)).await;
    assert!(main.credentials.tally().of(counts_as) > 0);
    // It is called: the other sees why by itself.
    main.meet(b);
    main.until_lost("b", called).await;
    let told = || b.credentials.tally().of(TurnedAway::Distrusted) > 0;
    b.until("the refusal to be counted", told).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_has_run_out() {
    let (_household, main, b) = two(SystemTime::now() - 91 * DAY).await;
    let (called, caller) = ("the certificate of b ran out at 20", "must be invited again");
    refused(&main, &b, called, caller, TurnedAway::Untimely).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_does_not_count_yet_for_clocks_that_differ_by_more_than_a_day() {
    let (_household, main, b) = two(SystemTime::now() + 2 * DAY).await;
    let (called, caller) = ("the certificate of b counts from 20", "the clock there");
    refused(&main, &b, called, caller, TurnedAway::Untimely).await;
    let why = main.sees("b").unwrap().why.unwrap();
    assert!(why.contains("the clock here is behind"), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clocks_that_differ_by_less_than_a_day_do_no_harm() {
    let (_household, main, b) = two(SystemTime::now() + 23 * HOUR).await;
    b.meet(&main);
    b.until_linked("main").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_was_expelled() {
    let (household, main, b) = two(SystemTime::now()).await;
    household.authority.expel(&name("b"), SystemTime::now()).unwrap();
    let expelled = "b was expelled from the household";
    refused(&main, &b, expelled, expelled, TurnedAway::Expelled).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_another_household() {
    let (household, other) = (Household::new(), Household::new());
    household.admit("b");
    other.admit("b");
    let (main, stray) = (household.begin("main").await, other.begin("b").await);
    stray.meet(&main);
    stray.until_lost("main", "its certificate is of another household").await;
    main.until("the called to hear of it", || {
        main.credentials.tally().of(TurnedAway::Distrusted) > 0
    })
    .await;
    // One that would take anybody is not taken itself, whatever name and time its certificate has.
    for (count, age) in [(1, DAY), (2, 91 * DAY)] {
        let forger = household.path("forger");
        let _first_time = std::fs::remove_dir_all(&forger);
        other.admit_at("b", SystemTime::now() - age);
        std::fs::create_dir_all(&forger).unwrap();
        for (from, file) in [
            (&other, "node.crt"),
            (&other, "node.key"),
            (&household, "household.crt"),
            (&household, "expelled.crl"),
        ] {
            std::fs::copy(from.path("b").join(file), forger.join(file)).unwrap();
        }
        let forger = Running::begin(&forger, "b").await;
        forger.meet(&main);
        forger.until_lost("main", "it belongs to another household").await;
        assert!(main.credentials.tally().of(TurnedAway::Foreign) >= count);
        assert_eq!(main.credentials.tally().of(TurnedAway::Untimely), 0);
        forger.end().await;
    }
    // Nobody is blamed for what another claimed.
    assert_eq!(main.credentials.tally().why(&name("b")), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_another_name() {
    let (_household, main, b) = two(SystemTime::now()).await;
    b.cluster.meet(&name("c"), &[main.listener.at().to_string()]);
    b.until_lost("c", "the machine there is main").await;
}
