//! A rolling restart: two real machines are drained and started again, one after the other, while
//! clients of both ask agents that have stand-ins. Each ask must be answered, and handled once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use genii_protocols::client::{CallError, Client};
use genii_protocols::resources::{AcquireLease, LeaseRefused, Resource};
use genii_protocols::{Address, TimeSpan};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::cluster::{Two, TwoOptions, begin, on};
use crate::support::{House, Running, wait_until};

/// Each agent that is asked has a stand-in on the other machine.
const TOPOLOGY: &str = r#"
[groups.core]
node = "main"
[groups.far]
node = "pc2"

[agents."core/desk"]
kind = "resource-manager"
fallback = "far/spare"
[agents."far/spare"]
kind = "resource-manager"
[agents."far/desk"]
kind = "resource-manager"
fallback = "core/spare"
[agents."core/spare"]
kind = "resource-manager"
"#;

/// Who is asked.
const DESKS: [&str; 2] = ["core/desk", "far/desk"];

/// The data folders of the machines, by which clients find them, and the machines' names.
const FOLDERS: [&str; 2] = ["data", "pc2"];
const NAMES: [&str; 2] = ["main", "pc2"];

/// How many clients each machine has.
const CLIENTS: usize = 4;

/// How long each waits between two asks.
const PACE: Duration = Duration::from_millis(3);

/// How long a client tries to reach a machine that is not there, before it turns to the other.
const PATIENCE: Duration = Duration::from_secs(4);

/// How many asks are to be answered before anything happens, and after everything has.
const ASKS: usize = 200;

/// What is known of all asks.
#[derive(Default)]
struct Tally {
    /// The numbers of the leases that each desk has given, whoever of its lives and stand-ins did.
    /// A life counts its leases from one.
    leases: Mutex<BTreeMap<&'static str, Vec<u64>>>,
    answered: AtomicUsize,
    lost: Mutex<Vec<String>>,
    /// How many clients ask each machine now.
    clients: [AtomicUsize; 2],
    is_over: AtomicBool,
}

impl Tally {
    /// Waits until so many more asks have been answered.
    fn more(&self, asks: usize) {
        let before = self.answered.load(Ordering::SeqCst);
        wait_until("asks to be answered", || {
            let lost = self.lost.lock();
            assert!(lost.is_empty(), "{} asks were lost: {lost:#?}", lost.len());
            let now = self.answered.load(Ordering::SeqCst);
            (now >= before + asks).then_some(())
        });
    }

    /// What came of an ask; whether the machine that was to carry it was not there.
    fn is_unreachable(
        &self,
        desk: &'static str,
        answer: &Result<u64, CallError<LeaseRefused>>,
    ) -> bool {
        match answer {
            Ok(lease) => {
                self.leases.lock().entry(desk).or_default().push(*lease);
                self.answered.fetch_add(1, Ordering::SeqCst);
                false
            }
            // Nothing was sent.
            Err(CallError::Unreachable(_)) => true,
            Err(lost) => {
                self.lost.lock().push(format!("{desk}: {lost}"));
                false
            }
        }
    }
}

async fn ask(client: &Client, desk: &'static str) -> Result<u64, CallError<LeaseRefused>> {
    let lasts = TimeSpan(Duration::from_millis(1));
    let lease = AcquireLease { resource: Resource::DiskMb, amount: 1, lasts, holder: None };
    let desk = Address::parse(desk).unwrap();
    client.ask(desk, &lease).await.map(|lease| lease.id)
}

/// A client of a machine, which asks both desks time after time, and turns to the other machine as often
/// as the one that it asks is not there.
async fn keep_asking(sockets: [std::path::PathBuf; 2], first: usize, tally: Arc<Tally>) {
    let mut at = first;
    let connect =
        async |at: usize| Client::unix(&sockets[at]).await.unwrap().with_timeout(PATIENCE);
    let mut client = connect(at).await;
    tally.clients[at].fetch_add(1, Ordering::SeqCst);
    while !tally.is_over.load(Ordering::SeqCst) {
        let answers = tokio::join!(ask(&client, DESKS[0]), ask(&client, DESKS[1]));
        let answers = DESKS.into_iter().zip([answers.0, answers.1]);
        let unsent = answers.filter(|(desk, answer)| tally.is_unreachable(desk, answer)).count();
        if unsent > 0 {
            tally.clients[at].fetch_sub(1, Ordering::SeqCst);
            at = 1 - at;
            tally.clients[at].fetch_add(1, Ordering::SeqCst);
            client = connect(at).await;
        }
        tokio::time::sleep(PACE).await;
    }
}

/// Drains a machine from the other one, waits until nobody asks it any more, and starts it again.
/// Returns when it is as it was before.
fn restart(house: &House, running: &mut Running, which: usize, tally: &Tally) {
    let other = FOLDERS[1 - which];
    let drained = on(house, other, &["ctl", "drain", NAMES[which]]);
    assert!(drained.out.contains("all is finished; stopping"), "{} {}", drained.out, drained.err);
    let (code, said) = running.end();
    assert_eq!(code, Some(0), "{said}");
    wait_until("its clients to turn to the other machine", || {
        (tally.clients[which].load(Ordering::SeqCst) == 0).then_some(())
    });
    *running = begin(house, FOLDERS[which]);
    running.wait_for("agents are ready after");
    for folder in FOLDERS {
        wait_until("all to be ready again", || {
            let rows = on(house, folder, &["ctl", "ps", "--json"]).out;
            let rows: Vec<Value> = serde_json::from_str(&rows).unwrap();
            let are_ready = rows.len() == 4 && rows.iter().all(|row| row["state"] == "ready");
            if are_ready { Ok(()) } else { Err(rows) }
        });
    }
}

/// The numbers that three lives gave, one after another and each once: so many of them have given the
/// first, no more the second, and so on.
fn are_of_three_lives(leases: &[u64]) -> Result<(), String> {
    let mut times = BTreeMap::<u64, usize>::new();
    for lease in leases {
        *times.entry(*lease).or_default() += 1;
    }
    let mut before = 3;
    for (expected, (lease, times)) in (1..).zip(&times) {
        let is_next = *lease == expected && *times <= before && (expected > 1 || *times == before);
        if !is_next {
            return Err(format!(
                "{times} lives gave the number {lease} after {before} gave the one before"
            ));
        }
        before = *times;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_rolling_restart_of_two_machines_under_load_loses_no_ask() {
    let mut two = Two::with(&TwoOptions { topology: TOPOLOGY, ..TwoOptions::default() });
    let sockets = FOLDERS.map(|folder| two.house.path(&format!("{folder}/clients.sock")));
    let (tally, mut clients) = (Arc::new(Tally::default()), JoinSet::new());
    for which in (0..2).cycle().take(2 * CLIENTS) {
        clients.spawn(keep_asking(sockets.clone(), which, tally.clone()));
    }
    tally.more(ASKS);
    restart(&two.house, &mut two.pc2, 1, &tally);
    tally.more(ASKS);
    restart(&two.house, &mut two.main, 0, &tally);
    tally.more(ASKS);
    tally.is_over.store(true, Ordering::SeqCst);
    clients.join_all().await;
    let lost = tally.lost.lock();
    assert!(lost.is_empty(), "{} asks were lost: {lost:#?}", lost.len());
    for (desk, leases) in &*tally.leases.lock() {
        // Its own, its stand-in, and its own again.
        are_of_three_lives(leases).unwrap_or_else(|why| panic!("{desk}: {why}"));
    }
    two.pc2.stop();
    two.main.stop();
}
