//! Groups and topics across a whole cluster in one process, on a simulated network and the paused
//! clock.

#![allow(clippy::unwrap_used)]

mod company {
    mod groups;
    mod nonsense;
    mod scripted;
    mod topics;
}

use std::time::Duration;

use genii_protocols::{Address, Name, Never, NodeName, Pattern, Topic, message};
use genii_runtime::cluster::{Cluster, Timing};
use genii_runtime::link::simulated::Waters;
use genii_runtime::topics::SubscriptionId;
use genii_runtime::topology::Topology;
use genii_runtime::{
    Agent, Catalogue, Context, Handle, House, Limits, Node, NodeOptions, Protocol,
};
use genii_supervision::StartError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// How long anything may take, on the paused clock.
const PATIENCE: Duration = Duration::from_secs(120);

/// A number that is published.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
struct Count {
    by: String,
    number: u64,
}
message!(Count = "listener.count" -> ());

/// What was heard, in order.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct Counts {}
message!(Counts = "listener.counts" -> Vec<Heard>);

/// Do nothing for so many milliseconds.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct Dawdle {
    millis: u64,
}
message!(Dawdle = "listener.dawdle" -> ());

/// Publish a number.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct Announce {
    topic: Topic,
    number: u64,
}
message!(Announce = "listener.announce" -> ());

/// Join a group, or leave it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct Belong {
    group: String,
    joins: bool,
}
message!(Belong = "listener.belong" -> bool);

/// Listen no more.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct Hush {}
message!(Hush = "listener.hush" -> ());

/// Try to subscribe as a message that it does not answer, and tell what is said of it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct Misunderstand {}
message!(Misunderstand = "listener.misunderstand" -> String);

/// Nobody answers this.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct Unanswered {}
message!(Unanswered = "listener.unanswered" -> ());

/// Fail.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct Crash {}
message!(Crash = "listener.crash" -> ());

/// A number that was heard.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
struct Heard {
    topic: String,
    number: u64,
    from: Option<String>,
    lost: u64,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Settings {
    patterns: Vec<Pattern>,
    joins: Vec<String>,
}

/// An agent that listens to topics, and is in groups.
struct Listener {
    heard: Vec<Heard>,
    subscription: Option<SubscriptionId>,
}

impl Agent for Listener {
    type Settings = Settings;

    fn protocol() -> Protocol<Self> {
        let protocol = Protocol::new().on::<Count>().on::<Counts>().on::<Dawdle>();
        protocol.on::<Announce>().on::<Belong>().on::<Hush>().on::<Misunderstand>().on::<Crash>()
    }

    async fn start(settings: Settings, context: &mut Context) -> Result<Self, StartError> {
        // Without patterns it does not listen.
        let subscription = context.subscribe::<Count>(&settings.patterns).ok();
        for group in settings.joins {
            context.join_group(&Name::new(&group).unwrap()).unwrap();
        }
        Ok(Self { heard: Vec::new(), subscription })
    }
}

impl Handle<Count> for Listener {
    async fn handle(&mut self, count: Count, context: &mut Context) -> Result<(), Never> {
        let arrival = context.arrival().unwrap();
        let from = context.sender().map(|from| from.address.to_string());
        let topic = arrival.topic().to_string();
        self.heard.push(Heard { topic, number: count.number, from, lost: arrival.lost() });
        Ok(())
    }
}

impl Handle<Counts> for Listener {
    async fn handle(&mut self, _: Counts, context: &mut Context) -> Result<Vec<Heard>, Never> {
        assert!(context.arrival().is_none(), "nothing that was published is being handled");
        Ok(self.heard.clone())
    }
}

impl Handle<Dawdle> for Listener {
    async fn handle(&mut self, dawdle: Dawdle, _: &mut Context) -> Result<(), Never> {
        tokio::time::sleep(Duration::from_millis(dawdle.millis)).await;
        Ok(())
    }
}

impl Handle<Announce> for Listener {
    async fn handle(&mut self, announce: Announce, context: &mut Context) -> Result<(), Never> {
        let count = Count { by: context.address().to_string(), number: announce.number };
        context.publish(&announce.topic, &count).await.unwrap();
        Ok(())
    }
}

impl Handle<Belong> for Listener {
    async fn handle(&mut self, belong: Belong, context: &mut Context) -> Result<bool, Never> {
        let group = Name::new(&belong.group).unwrap();
        let done = match belong.joins {
            true => context.join_group(&group),
            false => context.leave_group(&group),
        };
        Ok(done.is_ok())
    }
}

impl Handle<Hush> for Listener {
    async fn handle(&mut self, _: Hush, context: &mut Context) -> Result<(), Never> {
        context.unsubscribe(self.subscription.take().unwrap());
        Ok(())
    }
}

impl Handle<Misunderstand> for Listener {
    async fn handle(&mut self, _: Misunderstand, context: &mut Context) -> Result<String, Never> {
        let refused = context.subscribe::<Unanswered>(&patterns(&["world.**"])).unwrap_err();
        Ok(refused.to_string())
    }
}

impl Handle<Crash> for Listener {
    async fn handle(&mut self, _: Crash, _: &mut Context) -> Result<(), Never> {
        panic!("as it was told");
    }
}

fn name(text: &str) -> NodeName {
    NodeName::new(text).unwrap()
}

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

fn topic(text: &str) -> Topic {
    Topic::parse(text).unwrap()
}

fn patterns(texts: &[&str]) -> Vec<Pattern> {
    texts.iter().map(|text| Pattern::parse(text).unwrap()).collect()
}

const TOPOLOGY: &str = r#"
[groups.one]
node = "one"
[groups.two]
node = "two"
[groups.three]
node = "three"

[agents."one/ear"]
kind = "listener"
[agents."two/ear"]
kind = "listener"
settings = { joins = ["ears"] }
[agents."three/ear"]
kind = "listener"
settings = { patterns = ["world.*.here", "world.**"], joins = ["ears", "thirds"] }
"#;

/// One node of a cluster.
struct Machine {
    node: Node,
    cluster: Cluster,
    house: House,
}

impl Machine {
    async fn boot(waters: &Waters, own: &str, life: u64) -> Self {
        Self::boot_with(waters, own, life, Limits::default()).await
    }

    async fn boot_with(waters: &Waters, own: &str, life: u64, limits: Limits) -> Self {
        let node = Node::new(NodeOptions { seed: 7, limits, ..NodeOptions::new(name(own)) });
        let network = waters.harbour(&name(own));
        let cluster = Cluster::begin(&node, network, Timing::default(), life);
        let kinds = Catalogue::new().with::<Listener>("listener");
        let topology = Topology::parse(TOPOLOGY, &kinds).unwrap();
        let house = House::begin(node.clone(), kinds, topology).await.unwrap();
        Self { node, cluster, house }
    }

    /// How many other nodes are known to have subscribers.
    fn nodes_wanting(&self, pattern: &str) -> usize {
        let wanted = self.node.wanted().into_iter();
        let there =
            wanted.filter(|by| by.pattern.as_str() == pattern && by.node != *self.node.name());
        there.count()
    }

    async fn count(&self, on: &str, number: u64) -> genii_runtime::topics::Reached {
        let count = Count { by: self.node.name().to_string(), number };
        self.node.publish(&topic(on), &count).await.unwrap()
    }

    /// It is gone from one moment to the next; what it was is put away behind the scenes.
    fn crash(self, waters: &Waters) {
        waters.crash(self.node.name());
        self.cluster.end();
        tokio::spawn(async move { self.house.shutdown().await });
    }
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "never came true: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

const NODES: [&str; 3] = ["one", "two", "three"];

/// Three machines, all linked.
async fn three(seed: u64) -> (Waters, [Machine; 3]) {
    three_with(seed, Limits::default()).await
}

async fn three_with(seed: u64, limits: Limits) -> (Waters, [Machine; 3]) {
    let waters = Waters::new(seed, (Duration::from_micros(50), Duration::from_millis(2)));
    let [one, two, three] = NODES.map(|node| Machine::boot_with(&waters, node, 1, limits.clone()));
    let all = [one.await, two.await, three.await];
    for machine in &all {
        for other in NODES.iter().filter(|other| **other != machine.node.name().as_str()) {
            machine.cluster.meet(&name(other), &[]);
        }
    }
    for machine in &all {
        machine.house.up().await.unwrap();
    }
    for machine in &all[..2] {
        until("the third's agent is known", || machine.nodes_wanting("world.**") == 1).await;
        until("the members are known", || machine.node.group_names().len() == 2).await;
    }
    (waters, all)
}
