//! The agents that every house has, in a house with others to look at.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use genii_protocols::errors::{ErrorSource, ListErrors, ReportError, ShowError};
use genii_protocols::health::{CheckHealth, HealthState, SetObjective, ShowHealth};
use genii_protocols::resources::{
    AcquireLease, LeaseRefused, ListLeases, ReleaseLease, RenewLease, Resource, ShowMachine,
    ShowUsage, TooManyWatch, WatchMachine,
};
use genii_protocols::twin::{Consequence, DescribeAgent, DescribeHouse, HowItGoes, WhatIf};
use genii_protocols::{Address, AskError, Message, Never, NodeName, TimeSpan, message};
use genii_runtime::logbook::Level;
use genii_runtime::topology::Topology;
use genii_runtime::{Agent, Context, Handle, Health, House, Node, NodeOptions, Protocol};
use genii_supervision::StartError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const PATIENCE: Duration = Duration::from_secs(60);

/// Do this.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
enum Do {
    /// Crash, on account of this many.
    Crash(u32),
    /// Look up from it never again.
    Hang,
    /// Say from now on that it is ill.
    FallIll,
}
message!(Do = "worker.do" -> ());

/// An agent to look at.
struct Worker {
    health: Health,
}

impl Agent for Worker {
    type Settings = ();

    fn protocol() -> Protocol<Self> {
        Protocol::new().on::<Do>()
    }

    async fn start((): (), _: &mut Context) -> Result<Self, StartError> {
        Ok(Self { health: Health::Well })
    }

    fn health(&self) -> Health {
        self.health.clone()
    }
}

impl Handle<Do> for Worker {
    async fn handle(&mut self, what: Do, _: &mut Context) -> Result<(), Never> {
        match what {
            Do::Crash(pages) => panic!("cannot print {pages} pages"),
            Do::Hang => std::future::pending().await,
            Do::FallIll => self.health = Health::Ill("no paper".to_owned()),
        }
        Ok(())
    }
}

/// Workers that need each other in some ways.
const WORKERS: &str = r#"
[groups.office]

[agents."office/power"]
kind = "worker"
backoff = "none"

[agents."office/printer"]
kind = "worker"
needs = ["office/power"]
fallback = "office/typewriter"
backoff = "none"

[agents."office/typewriter"]
kind = "worker"

[agents."office/clerk"]
kind = "worker"
needs = ["office/printer"]

[agents."office/scanner"]
kind = "worker"
binds = ["office/power"]

[agents."office/lamp"]
kind = "worker"
needs = ["office/power"]
"#;

async fn house() -> House {
    let kinds = genii_actors::catalogue().with::<Worker>("worker");
    let text = format!("{}\n{WORKERS}", genii_actors::BUILT_IN_TOPOLOGY);
    // The paused clock of these tests and a disk do not go together.
    let beings = "[groups.beings]\n\n[groups.homes]\n\n";
    let agents = "[agents.\"beings/registry\"]\nkind = \"beings-registry\"\n\
                  wants = [\"homes/beings\"]\n\n\
                  [agents.\"homes/beings\"]\nkind = \"beings-home\"\n\n";
    assert!(text.contains(beings) && text.contains(agents));
    let text = text.replace(beings, "").replace(agents, "");
    let topology = Topology::parse(&text, &kinds).unwrap();
    let node = Node::new(NodeOptions::new(NodeName::new("test").unwrap()));
    let house = House::begin(node, kinds, topology).await.unwrap();
    house.up().await.unwrap();
    house
}

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

async fn ask<M: Message>(
    house: &House,
    to: &str,
    message: M,
) -> Result<M::Reply, AskError<M::Refusal>> {
    house.node().to(address(to)).ask(message).await
}

async fn until<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !condition().await {
        assert!(tokio::time::Instant::now() < deadline, "never came true: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

const TWIN: &str = "core/system-digital-twin";
const ERRORS: &str = "pc2-core/unified-error";
const HEALTH: &str = "pc2-core/health-monitor";
const RESOURCES: &str = "pc2-core/resource-manager";

#[tokio::test(start_paused = true)]
async fn the_twin_says_what_follows_from_the_graph_and_what_is_so() {
    let house = house().await;
    let names = |list: &[Consequence]| {
        let mut names: Vec<String> = list.iter().map(|one| one.address.to_string()).collect();
        names.sort();
        names
    };
    let goes = || vec![address("office/power")];
    let stops = WhatIf { goes: goes(), how: HowItGoes::Stops };
    let follows = ask(&house, TWIN, stops).await.unwrap();
    assert_eq!(names(&follows.stops), ["office/power", "office/scanner"]);
    assert_eq!(names(&follows.degrades), ["office/lamp", "office/printer"]);
    let crashes = WhatIf { goes: goes(), how: HowItGoes::Crashes };
    let follows = ask(&house, TWIN, crashes).await.unwrap();
    assert_eq!(names(&follows.restarts), ["office/power", "office/scanner"]);
    let printer = WhatIf { goes: vec![address("office/printer")], how: HowItGoes::Stops };
    let follows = ask(&house, TWIN, printer).await.unwrap();
    assert_eq!(names(&follows.falls_back), ["office/printer"]);
    assert_eq!(follows.falls_back[0].stand_in, Some(address("office/typewriter")));
    let unknown = WhatIf { goes: vec![address("office/printr")], how: HowItGoes::Stops };
    let refusal = ask(&house, TWIN, unknown).await.unwrap_err().to_string();
    assert!(refusal.contains("did you mean office/printer?"), "{refusal}");

    // What it foretold comes true.
    house.stop("office/power").await.unwrap();
    let state = |name: &str| house.member(name).unwrap().view.status.word();
    until("the scanner is down", || async { state("office/scanner") != "ready" }).await;
    assert_eq!(state("office/lamp"), "degraded");
    assert_eq!(state("office/clerk"), "ready");
    let model = ask(&house, TWIN, DescribeAgent { address: address("office/lamp") }).await.unwrap();
    assert_eq!(model.state, "degraded");
    assert_eq!(model.detail.as_deref(), Some("office/power is stopped"));
    let model = ask(&house, TWIN, DescribeHouse {}).await.unwrap();
    assert_eq!(model.agents.len(), 10);
}

#[tokio::test(start_paused = true)]
async fn errors_of_one_cause_are_one_group_whoever_tells_of_them() {
    let house = house().await;
    for pages in [3, 40] {
        let crashed = ask(&house, "office/printer", Do::Crash(pages)).await;
        assert!(crashed.is_err());
        let is_back = || async { house.member("office/printer").unwrap().view.status.is_up() };
        until("the printer is back", is_back).await;
    }
    let lamp = address("office/lamp");
    house.node().logbook().write(&lamp, Level::Error, "the bulb is broken");
    house.node().logbook().write(&lamp, Level::Info, "all is well");
    let report = ReportError {
        agent: Some(address("office/clerk")),
        message: "no tea".to_owned(),
        place: None,
    };
    let reported = ask(&house, ERRORS, report).await.unwrap();
    until("all are collected", || async {
        ask(&house, ERRORS, ListErrors::default()).await.unwrap().total == 3
    })
    .await;
    let groups = ask(&house, ERRORS, ListErrors::default()).await.unwrap().groups;
    let crash = &groups[0];
    assert_eq!((crash.source, crash.count), (ErrorSource::Crash, 2), "the most pressing is first");
    assert_eq!(crash.cause, "cannot print # pages");
    assert_eq!(crash.agents, [address("office/printer")]);
    assert!(crash.place.as_ref().unwrap().contains("actors/tests/house.rs"), "{:?}", crash.place);
    let detail = ask(&house, ERRORS, ShowError { id: crash.id }).await.unwrap();
    assert!(detail.samples[1].message.contains("cannot print 40 pages"), "{:?}", detail.samples);
    assert_eq!(detail.samples[1].handling.as_deref(), Some("worker.do"));
    assert!(groups.iter().any(|group| group.id == reported));
    let of_lamp = ListErrors { agent: Some(lamp), ..ListErrors::default() };
    let of_lamp = ask(&house, ERRORS, of_lamp).await.unwrap().groups;
    assert_eq!(of_lamp.len(), 1);
    assert_eq!(of_lamp[0].source, ErrorSource::Log);

    // It remembers, by the journal, what happened before it was itself restarted.
    house.restart(ERRORS).await.unwrap();
    let groups = ask(&house, ERRORS, ListErrors::default()).await.unwrap().groups;
    assert!(groups.iter().any(|group| group.cause == "cannot print # pages" && group.count == 2));
}

#[tokio::test(start_paused = true)]
async fn a_round_finds_who_hangs_is_ill_or_down_and_who_falls_short() {
    let house = house().await;
    house.node().to(address("office/clerk")).tell(Do::Hang).await.unwrap();
    ask(&house, "office/lamp", Do::FallIll).await.unwrap();
    house.stop("office/typewriter").await.unwrap();
    let round = ask(&house, HEALTH, CheckHealth::default()).await.unwrap();
    let of = |name: &str| {
        round.checks.iter().find(|check| check.address.as_str() == name).unwrap().clone()
    };
    assert_eq!(of("office/power").health, HealthState::Well);
    assert_eq!(of("office/clerk").health, HealthState::Unresponsive);
    assert!(of("office/clerk").detail.unwrap().contains("worker.do"));
    assert_eq!(of("office/lamp").health, HealthState::Ill);
    assert_eq!(of("office/lamp").detail.as_deref(), Some("no paper"));
    assert_eq!(of("office/typewriter").health, HealthState::Off);

    let senseless = SetObjective {
        address: None,
        objective: genii_protocols::health::Objective {
            target: 2.0,
            window: TimeSpan::from_secs(1),
        },
    };
    assert!(ask(&house, HEALTH, senseless).await.is_err());
    // Rounds go on by themselves, and tell who has used up what was allowed.
    tokio::time::sleep(Duration::from_secs(120)).await;
    let report = ask(&house, HEALTH, ShowHealth {}).await.unwrap();
    assert!(report.rounds >= 10, "{}", report.rounds);
    let of = |name: &str| {
        report.agents.iter().find(|one| one.last.address.as_str() == name).unwrap().clone()
    };
    assert!(!of("office/clerk").meets_objective);
    assert!(of("office/clerk").budget_left.unwrap() < 0.0);
    assert!(of("office/power").meets_objective);
    assert!(!report.agents[0].meets_objective, "those that fall short are first");
}

/// On the real clock: the machine is really looked at.
#[tokio::test(flavor = "multi_thread")]
async fn leases_are_bounded_and_end_with_their_holder() {
    let house = house().await;
    let machine = ask(&house, RESOURCES, ShowMachine {}).await.unwrap();
    assert!(machine.cores > 0);
    let pools = ask(&house, RESOURCES, ListLeases {}).await.unwrap().pools;
    let pool = pools.iter().find(|pool| pool.resource == Resource::CpuMilli).unwrap().clone();
    let acquire = |amount: u64, holder: Option<&str>| AcquireLease {
        resource: Resource::CpuMilli,
        amount,
        lasts: TimeSpan::from_secs(60),
        holder: holder.map(address),
    };
    let all = ask(&house, RESOURCES, acquire(pool.limit, Some("office/printer"))).await.unwrap();
    let refused = ask(&house, RESOURCES, acquire(1, None)).await.unwrap_err();
    let expected = LeaseRefused::NotEnough {
        resource: Resource::CpuMilli,
        asked: 1,
        available: 0,
        limit: pool.limit,
    };
    assert_eq!(refused, AskError::Refused(expected));
    let renew = RenewLease { id: all.id, lasts: TimeSpan::from_secs(600) };
    assert!(ask(&house, RESOURCES, renew).await.unwrap().expires > all.expires);
    // Its holder crashes, and what it held is free again.
    assert!(ask(&house, "office/printer", Do::Crash(1)).await.is_err());
    let is_free =
        || async { ask(&house, RESOURCES, ListLeases {}).await.unwrap().leases.is_empty() };
    until("the lease is given back", is_free).await;
    let lease = ask(&house, RESOURCES, acquire(1, None)).await.unwrap();
    ask(&house, RESOURCES, ReleaseLease { id: lease.id }).await.unwrap();
    assert!(ask(&house, RESOURCES, ReleaseLease { id: lease.id }).await.is_err());
    assert!(ask(&house, RESOURCES, acquire(0, None)).await.is_err());
    let usage = ask(&house, RESOURCES, ShowUsage::default()).await.unwrap();
    assert!(serde_json::to_string(&usage).unwrap().contains("memory"), "{usage:?}");
    house.shutdown().await;
}

/// On the real clock: the machine is really looked at, again and again.
#[tokio::test(flavor = "multi_thread")]
async fn the_machine_is_watched_as_often_as_it_is_looked_at() {
    let house = house().await;
    let mail = house.node().to(address(RESOURCES));
    let mut looks = mail.stream(WatchMachine { looks: Some(3) }).await.unwrap();
    let mut seen = Vec::new();
    while let Some(machine) = looks.next().await {
        seen.push(machine.at);
    }
    assert_eq!(looks.finish().await, Ok(3));
    assert!(seen.len() == 3 && seen.is_sorted() && seen[0] < seen[2], "{seen:?}");
    let mut watching = Vec::new();
    for _ in 0..64 {
        let mut looks = mail.stream(WatchMachine::default()).await.unwrap();
        assert!(looks.next().await.is_some());
        watching.push(looks);
    }
    let refused = mail.stream(WatchMachine::default()).await.unwrap().finish().await;
    assert_eq!(refused, Err(AskError::Refused(TooManyWatch { max: 64 })));
    // Who goes makes room.
    watching.clear();
    let has_room = || async {
        mail.stream(WatchMachine { looks: Some(1) }).await.unwrap().finish().await.is_ok()
    };
    until("there is room again", has_room).await;
    house.shutdown().await;
}
