//! What links to other nodes cost beside what they carry: memory at rest, memory for each address
//! that another tells of, and how long the control lane waits behind a large transfer.
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use genii_benches::agents::Take;
use genii_benches::household::{self, Household, ping_pong};
use genii_benches::{quantile, resident};
use genii_protocols::NodeName;
use genii_runtime::Mail;
use genii_runtime::cluster::Timing;
use tokio::runtime::Runtime;

const ADDRESSES: usize = 100_000;
const LINKS: usize = 16;
const MESSAGE_LEN: usize = 32 << 20;
const TRANSFER_LEN: usize = 1 << 30;
const TRANSFERS: usize = 3;
const BARE_PINGS: usize = 20_000;

/// How often the control lane is measured, here alone: usual is every 100 ms.
const PING: Duration = Duration::from_millis(2);

/// How often to look whether there is another measurement.
const LOOK: Duration = Duration::from_micros(500);

/// How long a link is left alone before its memory is looked at.
const REST: Duration = Duration::from_secs(2);

fn main() {
    let runtime = Runtime::new().unwrap();
    if household::serve_if_asked(&runtime) {
        return;
    }
    // Each has a process of its own, so that none inherits freed memory of another.
    match std::env::args().find(|argument| argument.starts_with("only-")).as_deref() {
        Some("only-rest") => runtime.block_on(at_rest()),
        Some("only-addresses") => runtime.block_on(addresses()),
        Some(_) => runtime.block_on(control_lane()),
        None => {
            println!("\nlinks");
            for part in ["only-rest", "only-addresses", "only-control"] {
                let me = std::env::current_exe().unwrap();
                assert!(std::process::Command::new(me).arg(part).status().unwrap().success());
            }
        }
    }
}

/// One other node first, whose link warms up all that links share.
async fn at_rest() {
    let household = Household::found(Timing::default()).await;
    let mut others = vec![household.begin("first", 0).await];
    tokio::time::sleep(REST).await;
    let before = resident();
    for number in 0..LINKS {
        others.push(household.begin(&format!("other-{number}"), 0).await);
    }
    tokio::time::sleep(REST).await;
    let each = (resident() - before) / LINKS as u64;
    println!("  {:34} {:>10} B each, of {LINKS}", "memory of a link at rest", each);
}

async fn addresses() {
    let household = Household::found(Timing::default()).await;
    let _first = household.begin("first", 0).await;
    tokio::time::sleep(REST).await;
    let before = resident();
    let began = Instant::now();
    let _other = household.begin("other", ADDRESSES).await;
    let took = began.elapsed();
    tokio::time::sleep(REST).await;
    let each = (resident() - before) as f64 / ADDRESSES as f64;
    println!("  {:34} {each:>10.1} B each, link and all", format!("{ADDRESSES} addresses known"));
    println!("  {:34} {:>10.0} ms", "  until they were, with its start", took.as_secs_f64() * 1e3);
}

async fn control_lane() {
    let timing = Timing { ping: PING, ..Timing::default() };
    let household = Arc::new(Household::found(timing).await);
    let other = household.begin("other", 0).await;
    let bare = tokio::task::spawn_blocking({
        let echo = other.echo.clone();
        move || ping_pong(&echo, BARE_PINGS)
    });
    show("bare TCP, 1 byte there and back", bare.await.unwrap());
    show(
        "control lane, nothing else",
        watched(&household, &other.name, tokio::time::sleep(REST)).await,
    );
    let began = Instant::now();
    let times =
        watched(&household, &other.name, transfer(household.node.to(other.counter()))).await;
    let rate = (TRANSFERS * TRANSFER_LEN) as f64 / began.elapsed().as_secs_f64() / 1e6;
    show("control lane, beside a transfer", times);
    println!("  {:34} {rate:>10.0} MB/s", format!("  {TRANSFERS} times 1 GiB, of 32 MiB each"));
}

async fn transfer(mail: Mail) {
    let payload = vec![7; MESSAGE_LEN];
    for _ in 0..TRANSFERS * TRANSFER_LEN / MESSAGE_LEN {
        mail.tell(Take(payload.clone())).await.unwrap();
    }
    mail.ask(Take(Vec::new())).await.unwrap();
}

/// All round trips of the control lane while some work is done.
async fn watched<F>(household: &Arc<Household>, other: &NodeName, work: F) -> Vec<Duration>
where
    F: Future<Output = ()> + Send + 'static,
{
    let is_over = Arc::new(AtomicBool::new(false));
    let (household, other, over) = (household.clone(), other.clone(), is_over.clone());
    let watching = std::thread::spawn(move || {
        let (mut times, mut last) = (Vec::new(), None);
        while !over.load(Ordering::Relaxed) {
            let now = household.member(&other).unwrap().round_trip;
            // Two in a row that took the same to the microsecond count as one.
            if now != last {
                times.extend(now);
                last = now;
            }
            std::thread::sleep(LOOK);
        }
        times
    });
    tokio::spawn(work).await.unwrap();
    is_over.store(true, Ordering::Relaxed);
    watching.join().unwrap()
}

fn show(title: &str, mut times: Vec<Duration>) {
    let count = times.len();
    let [p50, p99] = [0.5, 0.99].map(|share| quantile(&mut times, share).as_secs_f64() * 1e3);
    println!("  {title:34} p50 {p50:>8.3} ms   p99 {p99:>8.3} ms   of {count}");
}
