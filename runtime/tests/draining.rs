//! Rolling restarts under load, on a simulated network and the paused clock.

#![allow(clippy::unwrap_used)]

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use genii_protocols::{Address, AskError, Destination, Fault, Never, NodeName, message};
use genii_runtime::cluster::{Cluster, Membership, Timing};
use genii_runtime::link::simulated::Waters;
use genii_runtime::topology::Topology;
use genii_runtime::{
    Agent, Catalogue, Context, Handle, HandleLater, HandleStream, House, Node, NodeOptions, Outlet,
    Promise, Protocol,
};
use genii_supervision::StartError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::task::LocalSet;
use tokio::time::Instant;

/// How long anything may take, on the paused clock.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long a node may take to drain.
const DRAIN: Duration = Duration::from_secs(30);

/// How many tasks ask on each node.
const ASKERS: u64 = 24;

/// Say on which node you are, after so many microseconds.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct Where {
    micros: u64,
}
message!(Where = "worker.where" -> String);

/// Ask another where it is, and say what it says.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct Relay {
    to: String,
    micros: u64,
}
message!(Relay = "worker.relay" -> Result<String, String>);

/// Say it later, and go on meanwhile.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct Later {
    millis: u64,
}
message!(Later = "worker.later" -> String);

/// Count down, a number each millisecond.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct Countdown {
    from: u64,
}
message!(Countdown = "worker.countdown" -> (), streams u64);

struct Worker;

impl Agent for Worker {
    type Settings = ();

    fn protocol() -> Protocol<Self> {
        Protocol::new().on::<Where>().on::<Relay>().on_later::<Later>().on_stream::<Countdown>()
    }

    async fn start((): (), _: &mut Context) -> Result<Self, StartError> {
        Ok(Self)
    }
}

impl Handle<Where> for Worker {
    async fn handle(&mut self, ask: Where, context: &mut Context) -> Result<String, Never> {
        tokio::time::sleep(Duration::from_micros(ask.micros)).await;
        Ok(context.node().name().to_string())
    }
}

impl Handle<Relay> for Worker {
    async fn handle(
        &mut self,
        relay: Relay,
        context: &mut Context,
    ) -> Result<Result<String, String>, Never> {
        let to = Destination::parse(&relay.to).unwrap();
        let said = context.to(to).ask(Where { micros: relay.micros }).await;
        Ok(said.map_err(|error| error.to_string()))
    }
}

impl HandleLater<Later> for Worker {
    async fn handle_later(&mut self, ask: Later, promise: Promise<Later>, context: &mut Context) {
        let own = context.node().name().to_string();
        context.spawn(async move {
            tokio::time::sleep(Duration::from_millis(ask.millis)).await;
            promise.answer(own);
        });
    }
}

impl HandleStream<Countdown> for Worker {
    async fn handle_stream(
        &mut self,
        ask: Countdown,
        mut outlet: Outlet<Countdown>,
        context: &mut Context,
    ) {
        context.spawn(async move {
            for left in (0..ask.from).rev() {
                tokio::time::sleep(Duration::from_millis(1)).await;
                if outlet.send(left).await.is_err() {
                    return;
                }
            }
            outlet.finish(Ok(())).await;
        });
    }
}

/// Each agent that is asked has a stand-in on the other node. Those who relay ask those who do not,
/// so that none waits for itself.
const TOPOLOGY: &str = r#"
[groups.here]
node = "main"
[groups.there]
node = "pc2"

[agents."here/lamp"]
kind = "worker"
fallback = "there/spare-lamp"
[agents."there/spare-lamp"]
kind = "worker"
[agents."here/relay"]
kind = "worker"
fallback = "there/spare-relay"
[agents."there/spare-relay"]
kind = "worker"
[agents."there/lamp"]
kind = "worker"
fallback = "here/spare-lamp"
[agents."here/spare-lamp"]
kind = "worker"
[agents."there/relay"]
kind = "worker"
fallback = "here/spare-relay"
[agents."here/spare-relay"]
kind = "worker"
"#;

fn name(text: &str) -> NodeName {
    NodeName::new(text).unwrap()
}

#[derive(Clone)]
struct Machine {
    node: Node,
    cluster: Cluster,
    house: House,
}

impl Machine {
    async fn boot(waters: &Waters, own: &str, other: &str, life: u64) -> Self {
        let kinds = Catalogue::new().with::<Worker>("worker");
        let node = Node::new(NodeOptions { seed: life, ..NodeOptions::new(name(own)) });
        let cluster = Cluster::begin(&node, waters.harbour(&name(own)), Timing::default(), life);
        let topology = Topology::parse(TOPOLOGY, &kinds).unwrap();
        let house = House::begin(node.clone(), kinds, topology).await.unwrap();
        cluster.meet(&name(other), &[]);
        Self { node, cluster, house }
    }

    fn sees_all_ready(&self) -> bool {
        let agents = ["lamp", "relay", "spare-lamp", "spare-relay"];
        let ready = |name: String| self.house.member(&name).unwrap().view.status.word() == "ready";
        agents.iter().all(|it| ready(format!("here/{it}")) && ready(format!("there/{it}")))
    }

    async fn leave(self) {
        self.house.shutdown().await;
        self.cluster.leave().await;
    }
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "never came true: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn pair(seed: u64) -> (Waters, Machine, Machine) {
    let waters = Waters::new(seed, (Duration::from_micros(50), Duration::from_millis(2)));
    let main = Machine::boot(&waters, "main", "pc2", 1).await;
    let pc2 = Machine::boot(&waters, "pc2", "main", 2).await;
    until("all are ready", || main.sees_all_ready() && pc2.sees_all_ready()).await;
    (waters, main, pc2)
}

/// What became of all asks.
#[derive(Default)]
struct Tally {
    answered: u64,
    lost: Vec<String>,
    /// Which agent was asked, and where it was answered.
    ways: BTreeSet<(&'static str, String)>,
    is_over: bool,
    /// The nodes from which nobody asks, since they are being restarted.
    resting: BTreeSet<String>,
}

type Shared = Rc<RefCell<Tally>>;

/// Asks one agent after the other, by itself or through another agent.
async fn keep_asking(from: Machine, number: u64, tally: Shared) {
    let mut round = number;
    let own = from.node.name().to_string();
    while !tally.borrow().is_over && !tally.borrow().resting.contains(&own) {
        round += 1;
        let micros = round * 37 % 400;
        let lamp = ["here/lamp", "there/lamp"][(round / 2 % 2) as usize];
        let said = match round % 2 {
            0 => {
                let to = Destination::parse(lamp).unwrap();
                from.node.to(to).ask(Where { micros }).await.map_err(|error| error.to_string())
            }
            _ => {
                let relay = ["here/relay", "there/relay"][(round / 4 % 2) as usize];
                let mail = from.node.to(Destination::parse(relay).unwrap());
                let said = mail.ask(Relay { to: lamp.to_owned(), micros }).await;
                said.map_err(|error| error.to_string()).and_then(|said| said)
            }
        };
        match said {
            Ok(node) => {
                let mut tally = tally.borrow_mut();
                tally.answered += 1;
                tally.ways.insert((lamp, node));
            }
            Err(error) => tally.borrow_mut().lost.push(format!("{own} to {lamp}: {error}")),
        }
        tokio::time::sleep(Duration::from_micros(200 + round % 7 * 100)).await;
    }
}

fn load(from: &Machine, tally: &Shared) {
    for number in 0..ASKERS {
        tokio::task::spawn_local(keep_asking(from.clone(), number, tally.clone()));
    }
}

/// Drains a node while it and the other are asked, and starts it again. Who asks on it rests only
/// when it has drained.
async fn restart(
    waters: &Waters,
    (it, other): (Machine, &Machine),
    life: u64,
    tally: &Shared,
) -> Machine {
    let (own, others) = (it.node.name().clone(), other.node.name().clone());
    let rests = |tally: &Shared| tally.borrow_mut().resting.insert(own.to_string());
    // Those who ask here go on while it drains, and rest before it is over.
    let drains = it.house.drain(DRAIN, |_| {});
    let (left, ()) = tokio::join!(drains, async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        rests(tally);
    });
    assert!(left.is_nothing(), "{left:?}");
    it.leave().await;
    let members = other.cluster.members();
    let seen = members.iter().find(|member| member.node == own).unwrap();
    assert_eq!(seen.membership, Membership::Left);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let again = Machine::boot(waters, own.as_str(), others.as_str(), life).await;
    until("it is back", || again.sees_all_ready() && other.sees_all_ready()).await;
    tally.borrow_mut().resting.remove(own.as_str());
    load(&again, tally);
    again
}

async fn rolling_restart(seed: u64) -> u64 {
    let (waters, main, pc2) = pair(seed).await;
    let tally = Shared::default();
    load(&main, &tally);
    load(&pc2, &tally);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let pc2 = restart(&waters, (pc2, &main), 3, &tally).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let main = restart(&waters, (main, &pc2), 4, &tally).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    tally.borrow_mut().is_over = true;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let tally = std::mem::take(&mut *tally.borrow_mut());
    assert!(tally.lost.is_empty(), "seed {seed}: {} lost: {:#?}", tally.lost.len(), tally.lost);
    // Each was answered at home, and by its stand-in.
    assert_eq!(tally.ways.len(), 4, "{:?}", tally.ways);
    main.leave().await;
    pc2.leave().await;
    tally.answered
}

#[tokio::test(start_paused = true)]
async fn a_rolling_restart_of_both_nodes_under_load_loses_no_ask() {
    let mut answered = 0;
    for seed in 0..5 {
        answered += LocalSet::new().run_until(rolling_restart(seed)).await;
    }
    assert!(answered > 10_000, "only {answered} asks");
}

#[tokio::test(start_paused = true)]
async fn what_is_owed_here_is_waited_for() {
    let (_waters, main, pc2) = pair(1).await;
    let to = |address: &str| pc2.node.to(Destination::parse(address).unwrap());
    // Nobody stands in for it.
    let (spare, lamp) = (to("there/spare-lamp"), to("there/lamp"));
    let mut numbers = lamp.stream(Countdown { from: 700 }).await.unwrap();
    let asked = tokio::spawn(async move { spare.ask(Later { millis: 500 }).await });
    let counted = tokio::spawn(async move {
        let mut count = 0;
        while numbers.next().await.is_some() {
            count += 1;
        }
        numbers.finish().await.map(|()| count)
    });
    let owes = |address: &str| pc2.node.counters(&Address::parse(address).unwrap()).unwrap().owed;
    until("it is owed", || owes("there/spare-lamp") == 1 && owes("there/lamp") == 1).await;
    let mut told = Vec::new();
    let left = pc2.house.drain(DRAIN, |now| told.push(now.agents.clone())).await;
    assert!(left.is_nothing(), "{left:?}");
    let both = ["there/lamp", "there/spare-lamp"].map(|text| Address::parse(text).unwrap());
    assert_eq!(told.first().map(|agents| &agents[..]), Some(&both[..]));
    assert!(asked.is_finished() && counted.is_finished());
    pc2.leave().await;
    assert_eq!(asked.await.unwrap().unwrap(), "pc2");
    assert_eq!(counted.await.unwrap(), Ok(700));
    main.leave().await;
}

#[tokio::test(start_paused = true)]
async fn what_runs_beyond_the_deadline_is_cut_off_and_who_asked_hears_of_it() {
    let (_waters, main, pc2) = pair(1).await;
    let asker = main.node.to(Destination::parse("there/lamp").unwrap());
    let micros = 3_600_000_000;
    let asked = tokio::spawn(async move { asker.ask_within(Where { micros }, PATIENCE).await });
    let lamp = Address::parse("there/lamp").unwrap();
    until("it is busy", || pc2.node.busy(&lamp).is_some()).await;
    let began = Instant::now();
    let mut told = Vec::new();
    let left = pc2.house.drain(Duration::from_secs(2), |now| told.push(now.clone())).await;
    assert_eq!(began.elapsed(), Duration::from_secs(2));
    assert_eq!((left.agents.clone(), left.nodes), (vec![lamp], 1));
    assert_eq!(told.last(), Some(&left));
    // Meanwhile others were sent to the stand-in.
    let mail = main.node.to(Destination::parse("there/lamp").unwrap());
    assert_eq!(mail.ask(Where { micros: 0 }).await.unwrap(), "main");
    pc2.leave().await;
    let fault = asked.await.unwrap().unwrap_err();
    let AskError::Fault(fault) = fault;
    assert!(matches!(*fault, Fault::Down { .. } | Fault::Unreachable { .. }), "{fault}");
    main.leave().await;
}
