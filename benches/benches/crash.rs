//! From a panic to being ready again, without backoff; and ten thousand crashes in a row, which
//! must neither lose a neighbour's mail nor leak.
#![allow(clippy::unwrap_used, missing_docs)]

use std::time::{Duration, Instant};

use genii_benches::agents::{self, AddOne, Crash, Increment};
use genii_benches::{quantile, resident};
use tokio::runtime::Runtime;

const CRASHES: u64 = 10_000;

fn main() {
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async { tokio::spawn(run()).await.unwrap() });
}

async fn run() {
    let (node, supervisor) = agents::house().await;
    let crashing = agents::counter(&node, &supervisor, "crashing").await;
    let neighbour = agents::counter(&node, &supervisor, "neighbour").await;
    let (mail, neighbour) = (node.to(&crashing), node.to(&neighbour));
    // Made in full beforehand, so that what it holds does not count as gained.
    let mut times = vec![Duration::MAX; CRASHES as usize];
    let mut before = 0;
    for n in 0..CRASHES {
        neighbour.tell(Increment(1)).await.unwrap();
        let began = Instant::now();
        mail.tell(Crash {}).await.unwrap();
        // Ready again: the next life answers.
        while mail.ask(AddOne(n)).await.is_err() {
            tokio::task::yield_now().await;
        }
        times[n as usize] = began.elapsed();
        if n == CRASHES / 10 {
            before = resident();
        }
    }
    let leaked = resident().saturating_sub(before);
    let handled = node.counters(&agents_address("neighbour")).unwrap().handled;
    assert_eq!(handled, CRASHES, "a neighbour lost mail");
    println!("\n{CRASHES} crashes in a row, without backoff");
    let micros = |time: Duration| time.as_nanos() as f64 / 1_000.0;
    println!("  panic to answering again, p50 {:>9.1} us", micros(quantile(&mut times, 0.5)));
    println!("  panic to answering again, p99 {:>9.1} us", micros(quantile(&mut times, 0.99)));
    println!("  memory gained over the last nine tenths {:>9} KiB", leaked / 1024);
    println!("  messages of a neighbour lost            {:>9}", CRASHES - handled);
}

fn agents_address(name: &str) -> genii_protocols::Address {
    genii_protocols::Address::parse(&format!("bench/{name}")).unwrap()
}
