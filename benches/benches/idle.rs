//! What an idle agent costs: 100,000 of them under one dynamic supervisor, each with an address.
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::Arc;
use std::time::Instant;

use genii_benches::{agents, resident};
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;

const AGENTS: u64 = 100_000;

fn main() {
    // Each contender has a process of its own, so that none inherits freed memory of another.
    let which = std::env::args().find(|argument| argument.starts_with("only-"));
    let Some(which) = which else {
        println!("\nidle agents, {AGENTS} of them");
        for contender in ["only-genii", "only-ractor", "only-kameo"] {
            let me = std::env::current_exe().unwrap();
            std::process::Command::new(me).arg(contender).status().unwrap();
        }
        return;
    };
    let runtime = Runtime::new().unwrap();
    let before = resident();
    let began = Instant::now();
    match which.as_str() {
        "only-genii" => runtime.block_on(genii()),
        "only-ractor" => runtime.block_on(ractor()),
        _ => runtime.block_on(kameo()),
    }
    let rate = AGENTS as f64 / began.elapsed().as_secs_f64();
    let each = (resident() - before) / AGENTS;
    println!("  {:34} {each:>7} B each {rate:>9.0} started/s", &which["only-".len()..]);
    std::process::exit(0);
}

async fn genii() {
    let (node, supervisor) = agents::house().await;
    let turns = Arc::new(Semaphore::new(64));
    let mut starts = tokio::task::JoinSet::new();
    for n in 0..AGENTS {
        let turn = turns.clone().acquire_owned().await.unwrap();
        let (node, supervisor) = (node.clone(), supervisor.clone());
        starts.spawn(async move {
            agents::counter(&node, &supervisor, &format!("counter-{n}")).await;
            drop(turn);
        });
        while starts.try_join_next().is_some() {}
    }
    while starts.join_next().await.is_some() {}
    assert_eq!(supervisor.count_children().await.unwrap().active, AGENTS as usize);
    std::mem::forget((node, supervisor));
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

async fn ractor() {
    for _ in 0..AGENTS {
        std::mem::forget(ractor::Actor::spawn(None, Raw, ()).await.unwrap());
    }
}

#[derive(kameo::Actor)]
struct Kameo;

async fn kameo() {
    use kameo::actor::Spawn;
    for _ in 0..AGENTS {
        std::mem::forget(Kameo::spawn(Kameo));
    }
}
