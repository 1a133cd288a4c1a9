//! tell and ask from one process to another, over mutual TLS on loopback, through addresses.
#![allow(clippy::unwrap_used, missing_docs)]

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use genii_benches::agents::{self, AddOne, Take};
use genii_benches::{Contender, compare, quantile};
use genii_protocols::{Address, NodeName};
use genii_runtime::Mail;
use genii_runtime::cluster::{Cluster, Membership, Timing};
use genii_runtime::link::listener::Listener;
use genii_runtime::link::tls_network::TlsNetwork;
use genii_runtime::trust::{Admitted, Authority, Identity, Request};
use tokio::runtime::Runtime;

/// The environment variable that makes this program the other node, with its folder of trust.
const SERVE: &str = "GENII_BENCH_SERVE";

const TELLS: u64 = 500_000;
const ASKS: u64 = 100_000;
const ASKERS: u64 = 64;
const ONE_BY_ONE: usize = 5_000;
const PAYLOAD_LEN: usize = 64;

fn name(text: &str) -> NodeName {
    NodeName::new(text).unwrap()
}

fn began() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    since.as_millis() as u64
}

/// The other node: serves until its standard input ends.
async fn serve(trust: &Path) {
    let (listener, opens) = Listener::open("127.0.0.1:0".parse().unwrap(), trust).await.unwrap();
    let (node, supervisor) = agents::house_on(name("pc2")).await;
    let network = TlsNetwork::new(trust, name("pc2"), vec![listener.at().to_string()], opens);
    Cluster::begin(&node, Arc::new(network), Timing::default(), began());
    agents::counter(&node, &supervisor, "far").await;
    println!("{}", listener.at());
    let waiting = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    let _either_way = waiting.await;
    std::process::exit(0);
}

fn main() {
    let runtime = Runtime::new().unwrap();
    if let Some(trust) = std::env::var_os(SERVE) {
        return runtime.block_on(serve(Path::new(&trust)));
    }
    let scratch = tempfile::tempdir().unwrap();
    let (here, there) = (scratch.path().join("main"), scratch.path().join("pc2"));
    let now = SystemTime::now();
    let (authority, _) = Authority::found(&here, &name("main"), now).unwrap();
    let secret = authority.invite(&name("pc2"), Duration::from_secs(60), now).unwrap();
    let request = Request::new().unwrap();
    let Admitted { certificate, expelled } =
        authority.admit(&secret, request.der(), now).unwrap().unwrap();
    Identity::keep(&there, &request, authority.certificate(), &certificate, &expelled).unwrap();
    let mut other = Command::new(std::env::current_exe().unwrap())
        .env(SERVE, &there)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut at = String::new();
    BufReader::new(other.stdout.take().unwrap()).read_line(&mut at).unwrap();

    let (node, mail) = runtime.block_on(async {
        let (node, _supervisor) = agents::house_on(name("main")).await;
        let opens = tokio::sync::mpsc::channel(1).1;
        let network = Arc::new(TlsNetwork::new(&here, name("main"), Vec::new(), opens));
        let cluster = Cluster::begin(&node, network, Timing::default(), began());
        cluster.meet(&name("pc2"), &[at.trim().to_owned()]);
        let is_linked = || {
            let members = cluster.members();
            members.iter().any(|it| it.membership == Membership::Alive && it.addresses > 0)
        };
        let until = Instant::now() + Duration::from_secs(10);
        while !is_linked() {
            assert!(Instant::now() < until, "never linked: {:?}", cluster.members());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let mail = node.to(Address::parse("bench/far").unwrap());
        (node, mail)
    });
    measure(&runtime, &mail);
    drop(node);
    let mut stdin = other.stdin.take().unwrap();
    let _has_ended = stdin.flush();
    drop(stdin);
    other.wait().unwrap();
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
