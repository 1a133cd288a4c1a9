//! tell and ask from one process to another, over mutual TLS on loopback, through addresses.
#![allow(clippy::unwrap_used, missing_docs)]

use std::time::{Duration, Instant};

use genii_benches::agents::{AddOne, Take};
use genii_benches::household::{self, Household};
use genii_benches::{Contender, compare, quantile};
use genii_runtime::Mail;
use genii_runtime::cluster::Timing;
use tokio::runtime::Runtime;

const TELLS: u64 = 500_000;
const ASKS: u64 = 100_000;
const ASKERS: u64 = 64;
const ONE_BY_ONE: usize = 5_000;
const PAYLOAD_LEN: usize = 64;

fn main() {
    let runtime = Runtime::new().unwrap();
    if household::serve_if_asked(&runtime) {
        return;
    }
    let (household, other) = runtime.block_on(async {
        let household = Household::found(Timing::default()).await;
        let other = household.begin("pc2", 0).await;
        (household, other)
    });
    measure(&runtime, &household.node.to(other.counter()));
}

/// What is to be measured: all of it, or what was named after `cargo bench --bench remote --`.
fn is_wanted(name: &str) -> bool {
    let mut named = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).peekable();
    named.peek().is_none() || named.any(|arg| arg == name)
}

fn measure(runtime: &Runtime, mail: &Mail) {
    if is_wanted("tell") {
        measure_tells(runtime, mail);
    }
    if is_wanted("ask") {
        measure_asks(runtime, mail);
    }
    if is_wanted("one-by-one") {
        measure_one_by_one(runtime, mail);
    }
}

fn measure_tells(runtime: &Runtime, mail: &Mail) {
    let payload = vec![7_u8; PAYLOAD_LEN];
    let tells = Contender::new("genii, to another process", || {
        let (mail, payload) = (mail.clone(), payload.clone());
        timed(runtime, async move {
            for _ in 0..TELLS {
                mail.tell(Take(payload.clone())).await.unwrap();
            }
            mail.ask(Take(payload)).await.unwrap();
        })
    });
    compare("tell, 64 bytes", TELLS, vec![tells]);
}

fn measure_asks(runtime: &Runtime, mail: &Mail) {
    let asks = Contender::new("genii, to another process", || {
        let mail = mail.clone();
        timed(runtime, async move {
            let asker = |_| {
                let mail = mail.clone();
                tokio::spawn(async move {
                    for n in 0..ASKS / ASKERS {
                        mail.ask(AddOne(n)).await.unwrap();
                    }
                })
            };
            let askers: Vec<_> = (0..ASKERS).map(asker).collect();
            for asker in askers {
                asker.await.unwrap();
            }
        })
    });
    compare("ask, from 64 tasks", ASKS, vec![asks]);
}

fn measure_one_by_one(runtime: &Runtime, mail: &Mail) {
    let mut times = runtime.block_on(async {
        let mail = mail.clone();
        let asking = tokio::spawn(async move {
            let mut times = Vec::with_capacity(ONE_BY_ONE);
            for n in 0..ONE_BY_ONE as u64 {
                let began = Instant::now();
                mail.ask(AddOne(n)).await.unwrap();
                times.push(began.elapsed());
            }
            times
        });
        asking.await.unwrap()
    });
    let (p50, p99) = (quantile(&mut times, 0.5), quantile(&mut times, 0.99));
    println!("\nask, one after another");
    println!("  p50 {:>10.1} us", p50.as_secs_f64() * 1e6);
    println!("  p99 {:>10.1} us", p99.as_secs_f64() * 1e6);
}

/// Runs on a worker of the runtime, as an agent would.
fn timed<F>(runtime: &Runtime, work: F) -> Duration
where
    F: Future<Output = ()> + Send + 'static,
{
    let began = Instant::now();
    runtime.block_on(async { tokio::spawn(work).await.unwrap() });
    began.elapsed()
}
