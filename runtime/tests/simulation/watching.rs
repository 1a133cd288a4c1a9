//! Monitors: agents that watch others, and what they are told.

use std::collections::BTreeMap;
use std::time::Duration;

use genii_protocols::{Address, CauseKind, Never, message};
use genii_runtime::{Context, Down, Handle};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::agent::{BROKEN, Break, Worker, log};
use crate::log::Log;
use crate::machine::{Machine, address};
use crate::script::{AGENTS, millis};

/// The agent of each node that watches others.
pub const WATCHER: usize = 0;

/// How long it may take until the end of a life is known on another node.
const PATIENCE: Duration = Duration::from_secs(2);

/// Watch the life that is behind an address now.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Watch {
    pub address: String,
}
message!(Watch = "worker.watch" -> ());

/// Watch nobody any more; say which life you are.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Unwatch {}
message!(Unwatch = "worker.unwatch" -> u64);

/// What is known of those who watch. Lives are numbered across all nodes and their lives.
#[derive(Default)]
pub struct Watches {
    lives: u64,
    /// How many notices each life may still be given, by whom it watches.
    awaited: BTreeMap<(u64, Address), u64>,
    /// What it was told.
    notices: BTreeMap<(u64, Address), Vec<Down>>,
}

impl Watches {
    /// A life begins; its number.
    pub fn begins(&mut self) -> u64 {
        self.lives += 1;
        self.lives
    }

    fn told(&mut self, life: u64, down: &Down) {
        let key = (life, down.address.clone());
        let awaited = self.awaited.get_mut(&key).filter(|awaited| **awaited > 0);
        let Some(awaited) = awaited else { panic!("{key:?} is told once too often: {down:?}") };
        *awaited -= 1;
        self.notices.entry(key).or_default().push(down.clone());
    }
}

impl Worker {
    /// It is told of an end: of no more ends than it watches lives.
    pub fn was_told(&self, down: &Down) {
        let (log, life) = (log(), self.life);
        log.note(format_args!("{life} is told of {down:?}"));
        log.watches(|watches| watches.told(life, down));
    }
}

impl Handle<Watch> for Worker {
    async fn handle(&mut self, watch: Watch, context: &mut Context) -> Result<(), Never> {
        let (address, life) = (Address::parse(&watch.address).unwrap(), self.life);
        log().note(format_args!("{life} watches {address}"));
        self.watches.push(context.monitor(&address));
        log().watches(|watches| *watches.awaited.entry((life, address)).or_default() += 1);
        Ok(())
    }
}

impl Handle<Unwatch> for Worker {
    async fn handle(&mut self, _: Unwatch, context: &mut Context) -> Result<u64, Never> {
        let life = self.life;
        self.watches.drain(..).for_each(|watch| context.unwatch(watch));
        log().note(format_args!("{life} watches nobody"));
        log().watches(|watches| watches.awaited.retain(|(watcher, _), _| *watcher != life));
        Ok(life)
    }
}

impl Machine {
    /// Its watcher is to watch an agent. Whether it does is of no interest.
    pub fn watch(&self, whom: &Address) {
        let (mail, watch) = (self.watcher(), Watch { address: whom.to_string() });
        tokio::spawn(async move { drop(mail.ask_within(watch, millis(500)).await) });
    }

    /// It is to watch nobody.
    pub fn unwatch(&self) {
        let mail = self.watcher();
        tokio::spawn(async move { drop(mail.ask_within(Unwatch {}, millis(500)).await) });
    }

    fn watcher(&self) -> genii_runtime::Mail {
        self.node.to(address((self.which.0, WATCHER)))
    }
}

/// The watcher of a node is told once, and truly, when agents of another crash that it has begun to
/// watch. All see all when this is called.
pub async fn is_told_truly(log: &Log, one: &Machine, other: &Machine) {
    let watcher = one.watcher();
    let life = watcher.ask(Unwatch {}).await.unwrap();
    let watched = || (0..AGENTS.len()).map(|agent| address((other.which.0, agent)));
    for address in watched() {
        watcher.ask(Watch { address: address.to_string() }).await.unwrap();
    }
    let told = || {
        let notices = |address| log.watches(|it| it.notices.get(&(life, address)).cloned());
        watched().map(|address| notices(address).unwrap_or_default()).collect::<Vec<_>>()
    };
    let before: Vec<usize> = told().iter().map(Vec::len).collect();
    // Until the other node has heard of it.
    tokio::time::sleep(millis(50)).await;
    for address in watched() {
        other.node.to(address).ask(Break {}).await.unwrap_err();
    }
    let began = Instant::now();
    let are_all = || told().iter().zip(&before).all(|(told, before)| told.len() > *before);
    while !are_all() {
        assert!(began.elapsed() < PATIENCE, "{life} is not told of all: {:?}", told());
        tokio::time::sleep(millis(10)).await;
    }
    // Whoever is told twice fails then.
    tokio::time::sleep(millis(50)).await;
    for down in told().iter().filter_map(|told| told.last()) {
        let is_true = down.cause.kind == CauseKind::Panic && down.cause.message.contains(BROKEN);
        assert!(is_true && down.is_abnormal && down.incarnation > 0, "{down:?}");
    }
}
