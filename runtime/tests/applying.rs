//! A house that follows another topology while it lives, on the paused clock.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use genii_protocols::{Address, AskError, Fault, Never, NodeName, message};
use genii_runtime::house::Applied;
use genii_runtime::topology::Topology;
use genii_runtime::{Agent, Catalogue, Context, Handle, House, Node, NodeOptions, Protocol};
use genii_supervision::StartError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// How long anything may take, on the paused clock.
const PATIENCE: Duration = Duration::from_secs(3_600);

/// Have done your work.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
struct Finish {}
message!(Finish = "worker.finish" -> ());

/// Be gone, as after a fault.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
struct Crash {}
message!(Crash = "worker.crash" -> ());

/// Who answers.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
struct Name {}
message!(Name = "worker.name" -> String);

/// What a worker is set to.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WorkerSettings {
    /// It cannot start.
    fails: bool,
    /// It starts for ever.
    hangs: bool,
    /// Only so that something is otherwise.
    note: u32,
}

struct Worker {
    name: String,
}

impl Agent for Worker {
    type Settings = WorkerSettings;

    fn protocol() -> Protocol<Self> {
        Protocol::new().on::<Finish>().on::<Crash>().on::<Name>()
    }

    async fn start(set: WorkerSettings, context: &mut Context) -> Result<Self, StartError> {
        if set.hangs {
            std::future::pending::<()>().await;
        }
        let name = format!("{} {}", context.address(), set.note);
        if set.fails { Err(StartError::failed("no luck")) } else { Ok(Self { name }) }
    }
}

impl Handle<Finish> for Worker {
    async fn handle(&mut self, _: Finish, context: &mut Context) -> Result<(), Never> {
        context.finish();
        Ok(())
    }
}

impl Handle<Crash> for Worker {
    async fn handle(&mut self, _: Crash, _: &mut Context) -> Result<(), Never> {
        panic!("as it was told");
    }
}

impl Handle<Name> for Worker {
    async fn handle(&mut self, _: Name, _: &mut Context) -> Result<String, Never> {
        Ok(self.name.clone())
    }
}

fn topology(text: &str) -> Topology {
    Topology::parse(text, &kinds()).unwrap()
}

fn kinds() -> Catalogue {
    Catalogue::new().with::<Worker>("worker")
}

async fn house(text: &str) -> House {
    let node = Node::new(NodeOptions::new(NodeName::new("here").unwrap()));
    let house = House::begin(node, kinds(), topology(text)).await.unwrap();
    house.up().await.unwrap();
    house
}

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

/// How something stands, in one word, or `gone`.
fn state(house: &House, name: &str) -> &'static str {
    house.member(name).map_or("gone", |member| member.view.status.word())
}

async fn until(house: &House, name: &str, word: &str) {
    let deadline = Instant::now() + PATIENCE;
    while state(house, name) != word {
        assert!(Instant::now() < deadline, "{name} is {} and never {word}", state(house, name));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn name(house: &House, to: &str) -> Result<String, AskError<Never>> {
    house.node().to(address(to)).ask(Name {}).await
}

fn errors(applied: &Applied) -> Vec<&str> {
    applied.steps.iter().filter_map(|step| step.error.as_deref()).collect()
}

/// Applies what must succeed.
async fn apply(house: &House, text: &str) {
    let applied = house.apply(topology(text)).await;
    assert_eq!(errors(&applied), [""; 0], "{applied:?}");
}

/// A group of workers, one for each name, with what else is said of it.
fn group(name: &str, workers: &[(&str, &str)]) -> String {
    let worker = |(worker, more): &(&str, &str)| {
        format!("[agents.\"{name}/{worker}\"]\nkind = \"worker\"\n{more}\n")
    };
    let workers: String = workers.iter().map(worker).collect();
    format!("[groups.{name}]\n{workers}")
}

#[tokio::test(start_paused = true)]
async fn a_temporary_agent_that_has_ended_is_not_expected_again() {
    let job = ("job", "restart = \"temporary\"");
    let needy = "needs = [\"a/job\"]";
    let house = house(&group("a", &[job, ("needy", needy)])).await;
    house.node().to(address("a/job")).ask(Finish {}).await.unwrap();
    until(&house, "a/job", "gone").await;
    // For who needed it then it has done its work; who comes later goes on without it.
    house.restart("a/needy").await.unwrap();
    assert_eq!(state(&house, "a/needy"), "ready");
    apply(&house, &group("a", &[job, ("needy", ""), ("late", needy)])).await;
    assert_eq!(state(&house, "a/job"), "gone");
    assert_eq!(state(&house, "a/late"), "degraded");
    let nobody = name(&house, "a/job").await.unwrap_err();
    assert!(matches!(nobody.fault(), Some(Fault::NotFound { .. })), "{nobody}");

    // As another it is started again.
    let job = ("job", "restart = \"temporary\"\nsettings.note = 2");
    apply(&house, &group("a", &[job, ("late", needy)])).await;
    assert_eq!(name(&house, "a/job").await.unwrap(), "a/job 2");
    until(&house, "a/late", "ready").await;
    house.node().to(address("a/job")).ask(Finish {}).await.unwrap();
    until(&house, "a/job", "gone").await;
    assert_eq!(state(&house, "a/late"), "ready");
    apply(&house, &group("a", &[("late", "")])).await;
    house.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_waits_out_a_long_backoff_starts_at_once_as_another() {
    let slow = "backoff = { first = \"1h\", cap = \"1h\" }";
    let house = house(&group("a", &[("one", slow)])).await;
    let _it_crashes = house.node().to(address("a/one")).ask(Crash {}).await;
    until(&house, "a/one", "down").await;
    let began = Instant::now();
    apply(&house, &group("a", &[("one", &format!("{slow}\nsettings.note = 2"))])).await;
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(name(&house, "a/one").await.unwrap(), "a/one 2");
    house.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_no_longer_needs_what_is_down_is_well() {
    let lamp = ("lamp", "");
    let house = house(&group("a", &[lamp, ("desk", "needs = [\"a/lamp\"]")])).await;
    house.stop("a/lamp").await.unwrap();
    until(&house, "a/desk", "degraded").await;
    apply(&house, &group("a", &[lamp, ("desk", "")])).await;
    assert_eq!(state(&house, "a/desk"), "ready");
    assert_eq!(state(&house, "a/lamp"), "stopped");
    house.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_topology_that_hangs_is_mended_by_another() {
    let house = house(&group("a", &[("one", "")])).await;
    let hangs = "start_timeout = \"30m\"\nsettings.hangs = true";
    let first = topology(&group("a", &[("one", ""), ("new", hangs)]));
    let applying = tokio::spawn({
        let house = house.clone();
        async move { house.apply(first).await }
    });
    until(&house, "a/new", "starting").await;
    apply(&house, &group("a", &[("one", ""), ("new", "")])).await;
    assert_eq!(errors(&applying.await.unwrap()), [""; 0]);
    assert_eq!(name(&house, "a/new").await.unwrap(), "a/new 0");
    house.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_stopped_while_it_is_applied_is_told_of() {
    let house = house(&group("a", &[("one", "")])).await;
    let hangs = "start_timeout = \"30m\"\nsettings.hangs = true";
    let next = topology(&group("a", &[("one", ""), ("new", hangs)]));
    let applying = tokio::spawn({
        let house = house.clone();
        async move { house.apply(next).await }
    });
    until(&house, "a/new", "starting").await;
    house.shutdown().await;
    let applied = applying.await.unwrap();
    assert_eq!(errors(&applied).len(), 1, "{applied:?}");
    assert!(errors(&applied)[0].contains("stopped meanwhile"), "{applied:?}");
}

#[tokio::test(start_paused = true)]
async fn what_was_stopped_by_hand_stays_so() {
    let house = house(&group("a", &[("one", ""), ("two", "")])).await;
    house.stop("a/one").await.unwrap();
    apply(&house, &group("a", &[("one", "settings.note = 2"), ("two", "")])).await;
    assert_eq!(state(&house, "a/one"), "stopped");
    house.start("a/one").await.unwrap();
    assert_eq!(name(&house, "a/one").await.unwrap(), "a/one 2");
    house.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_group_that_is_stopped_returns_as_it_is_declared_by_then() {
    let house = house(&group("a", &[("old", ""), ("same", "")])).await;
    house.stop("a").await.unwrap();
    apply(&house, &group("a", &[("same", "settings.note = 2"), ("new", "")])).await;
    assert_eq!(state(&house, "a"), "stopped");
    assert_eq!(state(&house, "a/old"), "gone");
    house.start("a").await.unwrap();
    assert_eq!(state(&house, "a/old"), "gone");
    assert_eq!(name(&house, "a/same").await.unwrap(), "a/same 2");
    assert_eq!(name(&house, "a/new").await.unwrap(), "a/new 0");
    house.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_was_removed_does_not_return_with_its_group() {
    let house = house(&group("a", &[("old", ""), ("same", "")])).await;
    apply(&house, &group("a", &[("same", "")])).await;
    assert_eq!(state(&house, "a/old"), "gone");
    house.restart("a").await.unwrap();
    until(&house, "a/same", "ready").await;
    assert_eq!(state(&house, "a/old"), "gone");
    house.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_group_that_was_held_back_is_released_by_what_mends_it() {
    let strict = "restarts = 0\nwindow = \"1h\"\n";
    let fragile = |more: &str| {
        let agents = group("a", &[("one", &format!("give_up = \"escalate\"\n{more}"))]);
        agents.replacen('\n', &format!("\n{strict}"), 1)
    };
    let house = house(&fragile("")).await;
    for _ in 0..10 {
        if state(&house, "a") == "quarantined" {
            break;
        }
        let _it_crashes = house.node().to(address("a/one")).ask(Crash {}).await;
        let deadline = Instant::now() + PATIENCE;
        while !matches!(state(&house, "a"), "ready" | "quarantined") {
            assert!(Instant::now() < deadline);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    assert_eq!(state(&house, "a"), "quarantined");
    apply(&house, &fragile("settings.note = 2")).await;
    assert_eq!(name(&house, "a/one").await.unwrap(), "a/one 2");
    house.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn what_cannot_start_in_a_new_group_is_told_of() {
    let house = house(&group("a", &[("one", "")])).await;
    let bad = "backoff = \"none\"\nsettings.fails = true";
    let text = group("a", &[("one", "")]) + &group("b", &[("bad", bad), ("good", "")]);
    let applied = house.apply(topology(&text)).await;
    assert_eq!(errors(&applied).len(), 1, "{applied:?}");
    let error = errors(&applied)[0];
    assert!(error.contains("b/bad") && error.contains("no luck"), "{error}");
    assert!(!error.contains("b/good"), "{error}");
    house.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_group_may_move_to_another_node_and_return() {
    let needy = group("b", &[("needy", "needs = [\"a/one\"]")]);
    let here = group("a", &[("one", "")]) + &needy;
    let there = here.replacen('\n', "\nnode = \"there\"\n", 1);
    let house = house(&here).await;
    apply(&house, &there).await;
    assert_eq!(state(&house, "a/one"), "stopped");
    let unreachable = name(&house, "a/one").await.unwrap_err();
    assert!(unreachable.to_string().contains("there"), "{unreachable}");
    assert_eq!(state(&house, "b/needy"), "degraded");
    apply(&house, &here).await;
    assert_eq!(name(&house, "a/one").await.unwrap(), "a/one 0");
    until(&house, "b/needy", "ready").await;
    // What lived elsewhere and is removed is not known any more.
    apply(&house, &there).await;
    apply(&house, &group("b", &[("needy", "")])).await;
    assert_eq!(state(&house, "a/one"), "gone");
    house.shutdown().await;
}
