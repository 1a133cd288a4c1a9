//! A house that follows another topology while it lives, on the paused clock.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use fastrand::Rng;
use genii_protocols::{Address, AskError, Fault, Never, NodeName, message};
use genii_runtime::house::Applied;
use genii_runtime::topology::Topology;
use genii_runtime::{Agent, Catalogue, Context, Handle, House, Node, NodeOptions, Protocol};
use genii_supervision::StartError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// How long anything may take, on the paused clock.
const PATIENCE: Duration = Duration::from_secs(700);

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
    /// It takes so many seconds to stop.
    lingers: u64,
    /// Only so that something is otherwise.
    note: u32,
}

struct Worker {
    name: String,
    lingers: u64,
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
        let lingers = set.lingers;
        if set.fails { Err(StartError::failed("no luck")) } else { Ok(Self { name, lingers }) }
    }

    async fn stop(&mut self, _: &mut Context) {
        tokio::time::sleep(Duration::from_secs(self.lingers)).await;
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

/// How often an agent was started.
fn life(house: &House, name: &str) -> u64 {
    house.member(name).unwrap().view.incarnation
}

/// What an agent needs, binds and wants by now.
fn edges(house: &House, name: &str) -> Vec<String> {
    let edges = house.member(name).unwrap().view.edges;
    edges.iter().flat_map(|edges| edges.before()).map(ToString::to_string).collect()
}

fn spawn_apply(house: &House, text: &str) -> tokio::task::JoinHandle<Applied> {
    let (house, topology) = (house.clone(), topology(text));
    tokio::spawn(async move { house.apply(topology).await })
}

#[tokio::test(start_paused = true)]
async fn the_last_declaration_holds_whatever_is_under_way() {
    let lamp = ("lamp", "");
    let slow = "settings.lingers = 4\n";
    let house = house(&group("a", &[lamp, ("one", slow)])).await;
    // While it restarts for one topology, another comes that only adds a need.
    let note = format!("{slow}settings.note = 2\n");
    let first = spawn_apply(&house, &group("a", &[lamp, ("one", &note)]));
    until(&house, "a/one", "stopping").await;
    let needs = format!("needs = [\"a/lamp\"]\n{note}");
    apply(&house, &group("a", &[lamp, ("one", &needs)])).await;
    assert_eq!(errors(&first.await.unwrap()), [""; 0]);
    until(&house, "a/one", "ready").await;
    assert_eq!(edges(&house, "a/one"), ["a/lamp"]);
    assert_eq!(name(&house, "a/one").await.unwrap(), "a/one 2");

    // While it stops by hand, another comes: when it starts again, that holds.
    let stopping = tokio::spawn({
        let house = house.clone();
        async move { house.stop("a/one").await }
    });
    until(&house, "a/one", "stopping").await;
    apply(&house, &group("a", &[lamp, ("one", "settings.note = 3")])).await;
    stopping.await.unwrap().unwrap();
    assert_eq!(state(&house, "a/one"), "stopped");
    house.start("a/one").await.unwrap();
    assert_eq!(name(&house, "a/one").await.unwrap(), "a/one 3");
    assert_eq!(edges(&house, "a/one"), [""; 0]);
    house.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_new_bond_of_an_agent_that_runs_holds() {
    let agents = |more| group("a", &[("lamp", ""), ("desk", more)]);
    let house = house(&agents("")).await;
    let before = life(&house, "a/desk");
    apply(&house, &agents("binds = [\"a/lamp\"]")).await;
    assert_eq!(life(&house, "a/desk"), before);
    house.restart("a/lamp").await.unwrap();
    until(&house, "a/desk", "ready").await;
    assert!(life(&house, "a/desk") > before);
    // Also one to something that comes up only later.
    house.stop("a/lamp").await.unwrap();
    apply(&house, &agents("")).await;
    until(&house, "a/desk", "ready").await;
    let before = life(&house, "a/desk");
    apply(&house, &agents("binds = [\"a/lamp\"]")).await;
    house.start("a/lamp").await.unwrap();
    assert_eq!(life(&house, "a/desk"), before);
    house.restart("a/lamp").await.unwrap();
    until(&house, "a/desk", "ready").await;
    assert!(life(&house, "a/desk") > before);
    house.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn who_lets_go_of_what_is_removed_goes_on() {
    let house = house(&group("a", &[("lamp", ""), ("desk", "binds = [\"a/lamp\"]")])).await;
    let before = life(&house, "a/desk");
    apply(&house, &group("a", &[("desk", "")])).await;
    assert_eq!((life(&house, "a/desk"), state(&house, "a/desk")), (before, "ready"));
    assert_eq!(state(&house, "a/lamp"), "gone");
    house.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_new_takes_its_place_in_the_order() {
    let text = |flags: &str, agents: &[(&str, &str)]| {
        group("a", agents).replacen('\n', &format!("\n{flags}\n"), 1)
    };
    let needs_new = ("one", "needs = [\"a/new\"]");
    for flags in ["start = \"in-order\"", "start = \"in-order\"\nstrategy = \"one-for-all\""] {
        let house = house(&text(flags, &[("one", "")])).await;
        apply(&house, &text(flags, &[("new", ""), needs_new])).await;
        let _it_crashes = house.node().to(address("a/new")).ask(Crash {}).await;
        until(&house, "a/one", "ready").await;
        until(&house, "a/new", "ready").await;
        let ended = tokio::time::timeout(PATIENCE, house.shutdown()).await;
        assert!(ended.is_ok(), "{flags}: it does not end");
    }
    // Those behind one that crashes restart with it.
    let flags = "strategy = \"rest-for-one\"";
    let house = house(&text(flags, &[("x", ""), ("y", "")])).await;
    apply(&house, &text(flags, &[("y", ""), ("new", ""), ("x", "")])).await;
    let lives = |house: &House| ["a/x", "a/y", "a/new"].map(|name| life(house, name));
    let before = lives(&house);
    let _it_crashes = house.node().to(address("a/new")).ask(Crash {}).await;
    until(&house, "a/new", "ready").await;
    until(&house, "a/x", "ready").await;
    let after = lives(&house);
    assert!(after[0] > before[0] && after[2] > before[2], "{before:?} {after:?}");
    assert_eq!(after[1], before[1]);
    house.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_need_on_a_new_agent_of_a_stopped_group_is_not_waited_for() {
    let house = house(&(group("a", &[("old", "")]) + &group("b", &[("one", "")]))).await;
    house.stop("a").await.unwrap();
    let needy = ("needy", "needs = [\"a/old\", \"a/new\"]");
    let began = Instant::now();
    let text = group("a", &[("old", ""), ("new", "")]) + &group("b", &[("one", ""), needy]);
    apply(&house, &text).await;
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(state(&house, "b/needy"), "degraded");
    house.start("a").await.unwrap();
    until(&house, "b/needy", "ready").await;
    house.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn to_name_this_machine_changes_nothing() {
    let here = group("a", &[("one", "")]);
    let house = house(&here).await;
    let before = life(&house, "a/one");
    apply(&house, &here.replacen('\n', "\nnode = \"here\"\n", 1)).await;
    assert_eq!((life(&house, "a/one"), state(&house, "a/one")), (before, "ready"));
    house.shutdown().await;
}

/// Some households, one made of the other, by chance: agents come, go, change, and need others.
fn any_topology(dice: &mut Rng) -> String {
    let mut text = String::new();
    let mut known: Vec<String> = Vec::new();
    for group in ["a", "b", "c"] {
        if dice.u8(..10) == 0 {
            continue;
        }
        let strategy = dice.choice(&["one-for-one", "one-for-all", "rest-for-one"]).unwrap();
        let start = dice.choice(&["parallel", "parallel", "in-order"]).unwrap();
        text += &format!(
            "[groups.{group}]\nstrategy = {strategy:?}\nstart = {start:?}\nrestarts = 1000\n"
        );
        let mut names: Vec<usize> = (0..5).filter(|_| dice.u8(..4) > 0).collect();
        dice.shuffle(&mut names);
        for number in names {
            let address = format!("{group}/w{number}");
            let mut edges = [Vec::new(), Vec::new(), Vec::new()];
            for _ in 0..dice.usize(..3) {
                let Some(other) = dice.choice(&known) else { continue };
                if !edges.iter().flatten().any(|known| known == other) {
                    edges[dice.usize(..3)].push(other.clone());
                }
            }
            let [needs, binds, wants] = edges;
            text += &format!(
                "[agents.{address:?}]\nkind = \"worker\"\nneeds = {needs:?}\nbinds = {binds:?}\nwants = {wants:?}\n"
            );
            text += &format!(
                "settings.note = {}\nsettings.lingers = {}\n",
                dice.u8(..3),
                dice.u8(..2) * 3
            );
            known.push(address);
        }
    }
    text + "[groups.d]\n[agents.\"d/last\"]\nkind = \"worker\"\n"
}

/// Whatever was applied before, and however close together: in the end everything stands as if the
/// last topology had been the first.
#[tokio::test(start_paused = true)]
async fn any_topology_may_follow_any_other() {
    let seeds = std::env::var("SEEDS").map_or(100, |seeds| seeds.parse().unwrap());
    for seed in 0..seeds {
        let mut dice = Rng::with_seed(seed);
        let mut last = any_topology(&mut dice);
        let house = house(&last).await;
        let mut applying = Vec::new();
        for _ in 0..dice.usize(1..5) {
            last = any_topology(&mut dice);
            applying.push(spawn_apply(&house, &last));
            if dice.bool() {
                let addresses: Vec<Address> =
                    topology(&last).agents.iter().map(|agent| agent.address.clone()).collect();
                let to = dice.choice(&addresses).unwrap().clone();
                let _it_crashes = house.node().to(to).try_tell(Crash {});
            }
            tokio::time::sleep(Duration::from_millis(dice.u64(..4_000))).await;
        }
        for applying in applying {
            let applied = tokio::time::timeout(PATIENCE, applying).await;
            assert!(applied.is_ok(), "seed {seed}: it is never done");
        }
        let wanted = topology(&last);
        for agent in &wanted.agents {
            until(&house, agent.address.as_str(), "ready").await;
            let note = agent.settings.0["note"].as_u64().unwrap_or_default();
            let said = name(&house, agent.address.as_str()).await.unwrap();
            assert_eq!(said, format!("{} {note}", agent.address), "seed {seed}");
        }
        let groups = wanted.groups.iter().map(|group| group.name.to_string());
        let agents = wanted.agents.iter().map(|agent| agent.address.to_string());
        let mut expected: Vec<String> = groups.chain(agents).collect();
        expected.sort();
        let known = house.members().into_iter().map(|member| member.view.key.to_string());
        assert_eq!(known.collect::<Vec<_>>(), expected, "seed {seed}");
        for agent in &wanted.agents {
            let declared = agent.edges();
            let known =
                house.member(agent.address.as_str()).unwrap().view.edges.unwrap_or_default();
            assert_eq!(known.needs, declared.needs, "seed {seed}: {}", agent.address);
            assert_eq!(known.binds, declared.binds, "seed {seed}: {}", agent.address);
        }
        let ended = tokio::time::timeout(PATIENCE, house.shutdown()).await;
        assert!(ended.is_ok(), "seed {seed}: it does not end");
    }
}
