mod golden;

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

fn name(id: &str) -> Name {
    Name::new(id).unwrap()
}

fn second(second: u64) -> Timestamp {
    (std::time::UNIX_EPOCH + Duration::from_secs(second)).into()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// One that nobody waits for any more.
fn long_ago() -> Timestamp {
    second(1)
}

fn heeded(reminder: u64) -> Result<Heeded, String> {
    Ok(Heeded { reminder: Some(reminder), next: None })
}

#[test]
fn the_earliest_comes_first_and_none_before_its_time() {
    let (mut schedule, moment) = (Schedule::default(), Instant::now());
    for (id, at) in [("late", 30), ("early", 10), ("middle", 20)] {
        schedule.set(&name(id), Some(second(at)));
    }
    assert_eq!(schedule.take(second(9), moment), None);
    assert_eq!(schedule.wait(second(9), moment), seconds(1));
    assert_eq!(schedule.take(second(25), moment), Some(name("early")));
    assert_eq!(schedule.take(second(25), moment), Some(name("middle")));
    assert_eq!(schedule.take(second(25), moment), None, "neither is taken twice");
    assert_eq!(schedule.wait(second(25), moment), seconds(5));
    schedule.done(&name("early"), Some(second(26)));
    assert_eq!(schedule.take(second(30), moment), Some(name("early")));
    schedule.set(&name("late"), None);
    assert_eq!(schedule.take(second(99), moment), None);
}

#[test]
fn a_clock_that_is_set_is_noticed() {
    let (mut schedule, moment) = (Schedule::default(), Instant::now());
    schedule.set(&name("a"), Some(second(1_000_000)));
    assert_eq!(schedule.wait(second(1), moment), LOOK_MAX, "it may be set forward meanwhile");
    assert_eq!(schedule.take(second(1_000_001), moment), Some(name("a")));
    // It was set back: the being says that its time has not come.
    schedule.done(&name("a"), Some(second(1_000_000)));
    assert_eq!(schedule.take(second(1), moment), None);
}

#[test]
fn one_that_fails_rests_longer_each_time_and_others_do_not_wait() {
    let (mut schedule, mut moment) = (Schedule::default(), Instant::now());
    let (a, now) = (name("a"), second(100));
    schedule.set(&a, Some(second(1)));
    let mut rests = Vec::new();
    for _ in 0..12 {
        assert_eq!(schedule.take(now, moment), Some(a.clone()));
        let rest = schedule.failed(&a, moment);
        assert_eq!(schedule.take(now, moment), None);
        assert_eq!(schedule.wait(now, moment), rest.min(LOOK_MAX));
        rests.push(rest);
        moment += rest;
    }
    assert_eq!(rests[..3], [1, 2, 4].map(seconds));
    assert_eq!(rests[11], BACKOFF.1);
    schedule.set(&name("b"), Some(second(50)));
    assert_eq!(schedule.take(now, moment - seconds(1)), Some(name("b")));
    // It is told anew when that changes, and does not rest any more.
    schedule.set(&a, Some(second(60)));
    assert_eq!(schedule.take(now, moment - seconds(1)), Some(a));
}

#[test]
fn what_it_says_while_it_heeds_counts_more_than_what_it_says_then() {
    let check = |said: &[Option<u64>], next: Option<u64>, due: Option<u64>| {
        let (mut schedule, a) = (Schedule::default(), name("a"));
        schedule.set(&a, Some(second(1)));
        schedule.take(second(5), Instant::now());
        for at in said {
            schedule.set(&a, at.map(second));
        }
        schedule.done(&a, next.map(second));
        assert_eq!(schedule.at(&a), due.map(second), "{said:?}, {next:?}");
    };
    check(&[], None, None);
    check(&[], Some(9), Some(9));
    // It says when it wakes what is known, and what was set meanwhile is not known to have been heeded.
    check(&[Some(1)], Some(9), Some(9));
    check(&[Some(7)], None, Some(7));
    check(&[Some(1), Some(7)], Some(9), Some(7));
    // Taken back, or deleted.
    check(&[None], Some(9), None);
    check(&[None, Some(8)], None, Some(8));
}

struct Scratch(tempfile::TempDir);

impl Scratch {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    async fn open(&self) -> Due {
        Due::open(self.0.path().to_owned()).await.unwrap()
    }

    /// One that has been at its place for long, where these live.
    async fn settled(&self, living: &[&str]) -> Due {
        let due = self.open().await;
        let living = living.iter().map(|id| name(id)).collect();
        due.settle(&living).await.unwrap();
        due
    }
}

fn known(due: &Due) -> Vec<String> {
    let mut ids: Vec<String> =
        due.0.known.lock().schedule.all().map(|(id, _)| id.as_str().to_owned()).collect();
    ids.sort_unstable();
    ids
}

#[tokio::test]
async fn what_is_told_outlives_the_end_of_genii() {
    let scratch = Scratch::new();
    let due = scratch.settled(&[]).await;
    due.set(&name("a"), Some(second(10))).await.unwrap();
    due.set(&name("b"), Some(second(20))).await.unwrap();
    due.set(&name("a"), None).await.unwrap();
    due.set(&name("b"), Some(second(30))).await.unwrap();
    due.close().await;
    let due = scratch.settled(&["a", "b"]).await;
    assert_eq!(due.0.known.lock().schedule.at(&name("b")), Some(second(30)));
    assert_eq!(known(&due), ["b"]);
    due.close().await;
    let refused = due.set(&name("a"), Some(second(10))).await;
    assert!(refused.is_err(), "it is closed");
    // What was not kept is not taken for known.
    assert!(due.set(&name("a"), Some(second(10))).await.is_err());
}

#[tokio::test]
async fn those_that_change_at_once_share_commits_and_the_last_word_stands() {
    const AT_ONCE: u64 = 64;
    let scratch = Scratch::new();
    let due = scratch.settled(&[]).await;
    let before = due.0.store.commits();
    let ids: Vec<Name> = (0..AT_ONCE).map(|number| name(&format!("b{number}"))).collect();
    let twice = [10, 20].into_iter().flat_map(|at| ids.iter().map(move |id| (id, at)));
    let all = twice.map(|(id, at)| due.set(id, Some(second(at))));
    for set in futures_util::future::join_all(all).await {
        set.unwrap();
    }
    assert!(due.0.store.commits() - before < AT_ONCE, "{}", due.0.store.commits());
    assert!(due.0.known.lock().unkept.is_empty(), "all is kept");
    due.close().await;
    let due = scratch.open().await;
    assert!(ids.iter().all(|id| due.0.known.lock().schedule.at(id) == Some(second(20))));
    due.close().await;
}

#[tokio::test]
async fn those_of_whom_nothing_is_known_are_asked_once() {
    let scratch = Scratch::new();
    // The file is new.
    let due = scratch.settled(&["a", "b"]).await;
    assert_eq!(known(&due), ["a", "b"]);
    due.forget(&name("a")).await;
    due.close().await;
    let due = scratch.settled(&["a", "b"]).await;
    assert_eq!(known(&due), ["b"]);
    due.close().await;
    // One was brought, and one has gone.
    let due = scratch.settled(&["a", "c"]).await;
    due.ask(&name("c")).await.unwrap();
    assert_eq!(known(&due), ["c"]);
    due.close().await;
    assert_eq!(known(&scratch.open().await), ["c"]);
}

#[tokio::test]
async fn no_more_heed_at_a_time_than_may() {
    const BEINGS: usize = 3 * HEEDING_MAX;
    let scratch = Scratch::new();
    let due = scratch.settled(&[]).await;
    for number in 0..BEINGS {
        due.set(&name(&format!("b{number}")), Some(long_ago())).await.unwrap();
    }
    let (heeding, most, all) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let gate = tokio::sync::Semaphore::new(0);
    let ended = Notify::new();
    let watching = due.clone().watch(|_| async {
        most.fetch_max(heeding.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        if heeding.load(Ordering::SeqCst) == HEEDING_MAX {
            gate.add_permits(BEINGS);
        }
        gate.acquire().await.unwrap().forget();
        heeding.fetch_sub(1, Ordering::SeqCst);
        if all.fetch_add(1, Ordering::SeqCst) + 1 == BEINGS {
            ended.notify_one();
        }
        heeded(1)
    });
    tokio::select! {
        () = watching => {}
        () = ended.notified() => {}
    }
    assert_eq!(most.load(Ordering::SeqCst), HEEDING_MAX);
}

#[tokio::test(start_paused = true)]
async fn one_that_fails_is_told_again_until_it_heeds() {
    let scratch = Scratch::new();
    let due = scratch.settled(&[]).await;
    due.set(&name("a"), Some(long_ago())).await.unwrap();
    let (tries, ended, began) = (AtomicUsize::new(0), Notify::new(), Instant::now());
    let watching = due.clone().watch(|_| async {
        match tries.fetch_add(1, Ordering::SeqCst) {
            0 => Err("it is down".to_owned()),
            // It says that it is due, and does nothing about it.
            1 => Ok(Heeded { reminder: None, next: Some(long_ago()) }),
            _ => {
                ended.notify_one();
                heeded(1)
            }
        }
    });
    tokio::select! {
        () = watching => {}
        () = ended.notified() => {}
    }
    assert!(began.elapsed() >= seconds(3), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn what_is_set_while_nobody_is_due_is_noticed() {
    let scratch = Scratch::new();
    let due = scratch.settled(&[]).await;
    let (ended, began) = (Notify::new(), Instant::now());
    let watching = due.clone().watch(|_| async {
        ended.notify_one();
        heeded(1)
    });
    let setting = async {
        due.set(&name("a"), Some(long_ago())).await.unwrap();
        ended.notified().await;
    };
    tokio::select! {
        () = watching => {}
        () = setting => {}
    }
    assert!(began.elapsed() < LOOK_MAX, "{:?}", began.elapsed());
}
