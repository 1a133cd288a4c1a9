//! How long a house of 1,000 native agents, ten deep, takes to be ready, and to be stopped: from
//! its topology, in the order of its needs. Beside it, as many raw actors without any order.
#![allow(clippy::unwrap_used, missing_docs)]

use std::cell::Cell;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use genii_benches::agents::Counter;
use genii_benches::{Contender, compare};
use genii_protocols::NodeName;
use genii_runtime::topology::Topology;
use genii_runtime::{Catalogue, House, Node, NodeOptions};
use tokio::runtime::Runtime;

const DEEP: usize = 10;
const WIDE: usize = 100;

/// How many agents of the layer beneath an agent needs.
const NEEDS: usize = 3;

fn main() {
    let runtime = Runtime::new().unwrap();
    let topology = topology();
    let stopping = Cell::new(Vec::new());
    let contenders = vec![
        Contender::new("genii, in order", || {
            let (ready, stopped) = runtime.block_on(house(topology.clone()));
            let mut all = stopping.take();
            all.push(stopped);
            stopping.set(all);
            ready
        }),
        Contender::new("ractor, no order", || runtime.block_on(ractor())),
    ];
    let agents = (DEEP * WIDE) as u64;
    let medians = compare("1,000 agents, 10 deep: until all are ready", agents, contenders);
    println!("  ready in   {:>6.1} ms", medians[0].as_secs_f64() * 1_000.0);
    let stopped = genii_benches::median(stopping.take());
    println!("  stopped in {:>6.1} ms", stopped.as_secs_f64() * 1_000.0);
}

fn kinds() -> Catalogue {
    Catalogue::new().with::<Counter>("counter")
}

fn topology() -> Topology {
    let mut text = String::new();
    for deep in 0..DEEP {
        writeln!(text, "[groups.layer-{deep}]").unwrap();
    }
    for deep in 0..DEEP {
        for wide in 0..WIDE {
            let need =
                |n: usize| format!("\"layer-{}/a-{}\"", deep - 1, (wide * 7 + n * 31) % WIDE);
            let needs: Vec<String> = (0..NEEDS).filter(|_| deep > 0).map(need).collect();
            writeln!(text, "[agents.\"layer-{deep}/a-{wide}\"]\nkind = \"counter\"").unwrap();
            writeln!(text, "needs = [{}]", needs.join(", ")).unwrap();
        }
    }
    Topology::parse(&text, &kinds()).unwrap()
}

async fn house(topology: Topology) -> (Duration, Duration) {
    let node = Node::new(NodeOptions::new(NodeName::new("bench").unwrap()));
    let began = Instant::now();
    let house = House::begin(node, kinds(), topology).await.unwrap();
    house.up().await.unwrap();
    let ready = began.elapsed();
    let began = Instant::now();
    assert_eq!(house.shutdown().await, 0);
    (ready, began.elapsed())
}

struct Raw;

impl ractor::Actor for Raw {
    type Msg = u64;
    type State = u64;
    type Arguments = ();

    async fn pre_start(
        &self,
        _: ractor::ActorRef<u64>,
        (): (),
    ) -> Result<u64, ractor::ActorProcessingErr> {
        Ok(0)
    }
}

async fn ractor() -> Duration {
    let began = Instant::now();
    let mut actors = Vec::new();
    for _ in 0..DEEP * WIDE {
        actors.push(ractor::Actor::spawn(None, Raw, ()).await.unwrap());
    }
    let took = began.elapsed();
    for (actor, ended) in actors {
        actor.stop(None);
        ended.await.unwrap();
    }
    took
}
