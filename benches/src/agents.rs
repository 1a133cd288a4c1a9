//! The agents that are measured, and a house for them.

use std::time::Duration;

use genii_protocols::{Address, Json, Never, NodeName, message};
use genii_runtime::{Agent, Context, Handle, Limits, Node, NodeOptions, Protocol};
use genii_supervision::{
    ChildPolicy, GiveUp, Intensity, StartError, Strategy, Supervisor, SupervisorFlags,
    SupervisorHandle, SupervisorSpec,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Add to the sum.
#[derive(Serialize, Deserialize, JsonSchema)]
pub struct Increment(pub u64);
message!(Increment = "bench.increment" -> ());

/// One more than this.
#[derive(Serialize, Deserialize, JsonSchema)]
pub struct AddOne(pub u64);
message!(AddOne = "bench.add_one" -> u64);

/// Take these bytes.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub struct Take(
    #[serde(with = "serde_bytes")]
    #[schemars(with = "Vec<u8>")]
    pub Vec<u8>,
);
message!(Take = "bench.take" -> u64);

/// Fail.
#[derive(Serialize, Deserialize, JsonSchema)]
pub struct Crash {}
message!(Crash = "bench.crash" -> ());

/// An agent that does next to nothing.
pub struct Counter(u64);

impl Agent for Counter {
    type Settings = ();

    fn protocol() -> Protocol<Self> {
        Protocol::new().on::<Increment>().on::<AddOne>().on::<Take>().on::<Crash>()
    }

    async fn start((): (), _: &mut Context) -> Result<Self, StartError> {
        Ok(Self(0))
    }
}

impl Handle<Increment> for Counter {
    async fn handle(&mut self, Increment(by): Increment, _: &mut Context) -> Result<(), Never> {
        self.0 += by;
        Ok(())
    }
}

impl Handle<AddOne> for Counter {
    async fn handle(&mut self, AddOne(to): AddOne, _: &mut Context) -> Result<u64, Never> {
        Ok(to + 1)
    }
}

impl Handle<Take> for Counter {
    async fn handle(&mut self, Take(bytes): Take, _: &mut Context) -> Result<u64, Never> {
        self.0 += bytes.len() as u64;
        Ok(self.0)
    }
}

impl Handle<Crash> for Counter {
    async fn handle(&mut self, _: Crash, _: &mut Context) -> Result<(), Never> {
        panic!("told to crash")
    }
}

/// A node with one dynamic supervisor that bears any number of restarts.
///
/// # Panics
/// When the supervisor does not start.
pub async fn house() -> (Node, SupervisorHandle) {
    house_on(NodeName::new("bench").expect("it is a good name")).await
}

/// As [`house`], on a node of this name.
///
/// # Panics
/// When the supervisor does not start.
pub async fn house_on(name: NodeName) -> (Node, SupervisorHandle) {
    let limits = Limits { journal_capacity: 1_000, ..Limits::default() };
    let node = Node::new(NodeOptions { limits, ..NodeOptions::new(name) });
    // Restarts are remembered for as long as the window, which must not count as a leak.
    let window = Duration::from_millis(1);
    let intensity = Intensity { restarts: u32::MAX, window };
    let strategy = Strategy::Dynamic;
    let flags = SupervisorFlags { strategy, intensity, ..SupervisorFlags::default() };
    let spec = SupervisorSpec::new("house").with_flags(flags);
    let supervisor = Supervisor::start(spec, node.tree().clone()).await;
    (node, supervisor.expect("it starts"))
}

/// Starts a counter at an address, restarted at once when it crashes.
///
/// # Panics
/// When it does not start.
pub async fn counter(node: &Node, supervisor: &SupervisorHandle, name: &str) -> Address {
    let address = Address::parse(&format!("bench/{name}")).expect("it is a good address");
    let policy = ChildPolicy { give_up: GiveUp::Escalate, ..ChildPolicy::default() };
    let child = node.agent::<Counter>(&address, Json::default()).with_policy(policy);
    supervisor.start_child(child).await.expect("it starts");
    address
}
