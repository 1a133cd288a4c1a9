//! The machines of a test: nodes in this process, with a house each, on one simulated network.

use std::time::Duration;

use genii_protocols::{Address, AskError, Destination, NodeName};
use genii_runtime::cluster::{Cluster, Membership, Timing};
use genii_runtime::link::simulated::Waters;
use genii_runtime::topology::Topology;
use genii_runtime::{Agent, Catalogue, House, Node, NodeOptions};
use tokio::time::Instant;

use super::worker::{Echo, WontSay, Worker};

/// How long anything may take, on the paused clock.
pub const PATIENCE: Duration = Duration::from_secs(120);

pub const TOPOLOGY: &str = r#"
[groups.here]
node = "main"
[groups.there]
node = "pc2"

[agents."here/lamp"]
kind = "worker"
[agents."here/desk"]
kind = "worker"
needs = ["there/power"]
[agents."there/power"]
kind = "worker"
[agents."there/printer"]
kind = "worker"
fallback = "here/lamp"
"#;

pub fn name(text: &str) -> NodeName {
    NodeName::new(text).unwrap()
}

pub fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

/// The kinds of agents that a machine has, unless a test says otherwise.
fn usual_kinds() -> Catalogue {
    Catalogue::new().with::<Worker>("worker")
}

/// One node of a cluster.
pub struct Machine {
    pub node: Node,
    pub cluster: Cluster,
    pub house: House,
}

impl Machine {
    pub async fn boot(waters: &Waters, own: &str, life: u64) -> Self {
        Self::boot_with(waters, own, life, usual_kinds()).await
    }

    pub async fn boot_with(waters: &Waters, own: &str, life: u64, kinds: Catalogue) -> Self {
        Self::boot_in(waters, own, life, kinds, TOPOLOGY).await
    }

    /// As `boot`, with a topology of its own.
    pub async fn boot_as(waters: &Waters, own: &str, life: u64, topology: &str) -> Self {
        Self::boot_in(waters, own, life, usual_kinds(), topology).await
    }

    pub async fn boot_in(
        waters: &Waters,
        own: &str,
        life: u64,
        kinds: Catalogue,
        topology: &str,
    ) -> Self {
        let node = Node::new(NodeOptions { seed: 7, ..NodeOptions::new(name(own)) });
        let network = waters.harbour(&name(own));
        let cluster = Cluster::begin(&node, network, Timing::default(), life);
        let topology = Topology::parse(topology, &kinds).unwrap();
        let house = House::begin(node.clone(), kinds, topology).await.unwrap();
        Self { node, cluster, house }
    }

    /// Follows another topology from now on.
    pub async fn apply(&self, topology: &str) {
        let topology = Topology::parse(topology, self.house.catalogue()).unwrap();
        for applied in self.house.apply(topology).await.steps {
            assert_eq!(applied.error, None, "{:?}", applied.step);
        }
    }

    /// What the journal says of another node.
    pub fn notes_of(&self, other: &str) -> Vec<String> {
        let of = format!("@{other}");
        let noted = self.node.tree().journal.tail(1_000, |event| event.key.as_str() == of);
        noted.iter().map(|event| event.what.to_string()).collect()
    }

    pub fn meet(&self, other: &str) {
        self.cluster.meet(&name(other), &[]);
    }

    pub fn membership(&self, other: &str) -> Membership {
        let members = self.cluster.members();
        members.iter().find(|member| member.node == name(other)).unwrap().membership
    }

    pub fn state(&self, agent: &str) -> &'static str {
        self.house.member(agent).unwrap().view.status.word()
    }

    pub async fn says(&self, to: &str) -> String {
        self.echo(to, "hi").await.unwrap()
    }

    pub async fn echo(&self, to: &str, text: &str) -> Result<String, AskError<WontSay>> {
        self.node.to(Destination::parse(to).unwrap()).ask(Echo { text: text.to_owned() }).await
    }

    /// It is gone from one moment to the next; what it was is put away behind the scenes.
    pub fn crash(self, waters: &Waters) {
        waters.crash(self.node.name());
        self.cluster.end();
        tokio::spawn(async move { self.house.shutdown().await });
    }
}

pub async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "never came true: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub fn waters(seed: u64) -> Waters {
    Waters::new(seed, (Duration::from_micros(50), Duration::from_millis(2)))
}

/// Two machines that are linked.
pub async fn two(seed: u64) -> (Waters, Machine, Machine) {
    two_with(seed, usual_kinds()).await
}

/// As `two`, the second of which has other kinds.
pub async fn two_with(seed: u64, kinds: Catalogue) -> (Waters, Machine, Machine) {
    let waters = waters(seed);
    let main = Machine::boot(&waters, "main", 1).await;
    let pc2 = Machine::boot_with(&waters, "pc2", 1, kinds).await;
    main.meet("pc2");
    pc2.meet("main");
    until("both are linked", || {
        main.membership("pc2") == Membership::Alive && pc2.membership("main") == Membership::Alive
    })
    .await;
    main.house.up().await.unwrap();
    pc2.house.up().await.unwrap();
    until("all is known", || main.state("there/printer") == "ready").await;
    (waters, main, pc2)
}

/// Two machines that are linked and up, whose agents are all of one type, by a topology.
pub async fn two_of<A: Agent>(seed: u64, topology: &str) -> (Machine, Machine) {
    let (waters, kinds) = (waters(seed), || Catalogue::new().with::<A>("worker"));
    let main = Machine::boot_in(&waters, "main", 1, kinds(), topology).await;
    let pc2 = Machine::boot_in(&waters, "pc2", 1, kinds(), topology).await;
    link(&[&main, &pc2]).await;
    main.house.up().await.unwrap();
    pc2.house.up().await.unwrap();
    until("it is ready", || main.state("there/power") == "ready").await;
    (main, pc2)
}

/// Links all of them with each other.
pub async fn link(machines: &[&Machine]) {
    for one in machines {
        for other in machines.iter().filter(|other| other.node.name() != one.node.name()) {
            one.meet(other.node.name().as_str());
        }
    }
    until("all are linked", || {
        machines.iter().all(|one| {
            let members = one.cluster.members();
            let alive = members.iter().filter(|it| it.membership == Membership::Alive);
            alive.count() == machines.len() - 1
        })
    })
    .await;
}
