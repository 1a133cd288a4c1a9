//! A node whose threads are all held by agents that do not give them back.

use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use genii_runtime::cluster::{Membership, Timing};
use tokio::runtime::{Builder, Runtime};

use super::nodes::{Household, PATIENCE, Running};

/// How many threads it has for its agents.
const THREADS: usize = 2;

/// A node with threads of its own, and another that is linked with it.
struct Two {
    main: Running,
    pc2: Running,
    threads: Runtime,
    _household: Household,
}

impl Two {
    async fn begin(timing: Timing) -> Self {
        let household = Household::new();
        household.admit("pc2");
        let threads = Builder::new_multi_thread().worker_threads(THREADS).enable_all().build();
        let threads = threads.unwrap();
        let main = household.begin("main").await;
        let path = household.path("pc2");
        let pc2 = async move { Running::begin_with(&path, "pc2", timing).await };
        let pc2 = threads.spawn(pc2).await.unwrap();
        main.meet(&pc2);
        main.until_linked("pc2").await;
        Self { main, pc2, threads, _household: household }
    }

    async fn end(self) {
        self.pc2.end().await;
        self.threads.shutdown_background();
    }
}

/// Holds all threads of a runtime until it is dropped.
struct Held(Arc<Barrier>);

impl Held {
    fn all_of(runtime: &Runtime) -> Self {
        // One more is this thread: it goes on when all the others are held.
        let [met, over] = [(); 2].map(|()| Arc::new(Barrier::new(THREADS + 1)));
        for _ in 0..THREADS {
            let (met, over) = (met.clone(), over.clone());
            runtime.spawn(async move {
                met.wait();
                over.wait();
            });
        }
        met.wait();
        Self(over)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_threads_are_all_held_still_gives_signs_of_life() {
    let two = Two::begin(Timing::default()).await;
    let held = Held::all_of(&two.threads);
    let (mut signs, mut last) = (0, None);
    // For twice the time after which a silent node is down.
    let enough = 2 * Timing::default().down.as_micros() / Timing::default().ping.as_micros();
    let until = Instant::now() + PATIENCE;
    while signs < enough {
        assert!(Instant::now() < until, "no more signs of life after {signs}");
        let seen = two.main.sees("pc2").unwrap();
        assert_ne!(seen.membership, Membership::Down, "{:?}", seen.why);
        signs += u128::from(seen.round_trip != last);
        last = seen.round_trip;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    drop(held);
    two.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_threads_are_held_for_too_long_is_down_until_it_has_them_back() {
    let timing = Timing { held: Duration::from_millis(500), ..Timing::default() };
    let two = Two::begin(timing).await;
    let before = two.main.sees("pc2").unwrap().incarnation;
    let held = Held::all_of(&two.threads);
    two.main.until_lost("pc2", "nothing was heard of it").await;
    drop(held);
    two.main.until_linked("pc2").await;
    assert!(two.main.sees("pc2").unwrap().incarnation > before);
    two.end().await;
}
