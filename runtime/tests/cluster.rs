//! Whole clusters in one process, on a simulated network and the paused clock.

#![allow(clippy::unwrap_used)]

#[path = "cluster/accounting.rs"]
mod accounting;
#[path = "cluster/across.rs"]
mod across;
#[path = "cluster/clashes.rs"]
mod clashes;
#[path = "cluster/forgetting.rs"]
mod forgetting;
#[path = "cluster/standing_in.rs"]
mod standing_in;
#[path = "cluster/together.rs"]
mod together;

use std::cell::Cell;
use std::time::Duration;

use genii_protocols::frame::CREDIT_MAX;
use genii_protocols::{
    Address, AskError, Destination, Fault, Json, Never, NodeName, Rejection, message,
};
use genii_runtime::cluster::{Cluster, Membership, Timing};
use genii_runtime::link::network::Lane;
use genii_runtime::link::simulated::Waters;
use genii_runtime::topology::Topology;
use genii_runtime::{
    Agent, Catalogue, Context, Down, Handle, HandleStream, House, JsonNext, Node, NodeOptions,
    Outlet, Protocol, WatchId,
};
use genii_supervision::StartError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// How long anything may take, on the paused clock.
const PATIENCE: Duration = Duration::from_secs(120);

/// Say it back, and who says it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct Echo {
    text: String,
}
message!(Echo = "worker.echo" -> String, refused by WontSay);

/// It does not say that.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[error("it does not say {word:?}")]
struct WontSay {
    word: String,
}

/// Note a number.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct Note {
    number: u64,
}
message!(Note = "worker.note" -> ());

/// What was noted, in order.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct Notes {}
message!(Notes = "worker.notes" -> Vec<u64>);

/// Do not answer for so many milliseconds.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct Dawdle {
    millis: u64,
}
message!(Dawdle = "worker.dawdle" -> ());

/// Fail.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct Crash {}
message!(Crash = "worker.crash" -> ());

/// Count from one, and crash at 666.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct CountTo {
    last: u64,
}
message!(CountTo = "worker.count_to" -> u64, refused by WontSay, streams u64);

/// Say something long many times.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct Repeat {
    len: usize,
    times: usize,
}
message!(Repeat = "worker.repeat" -> (), streams String);

/// Watch a life, or be linked to it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct Watch {
    whom: String,
    is_link: bool,
}
message!(Watch = "worker.watch" -> ());

/// Watch no longer what was watched last.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct Unwatch {}
message!(Unwatch = "worker.unwatch" -> ());

/// Watch a life until it has crashed, and then the next, before you are told of the first.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct WatchTwice {
    whom: String,
}
message!(WatchTwice = "worker.watch_twice" -> ());

/// Which ends were told.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct Told {}
message!(Told = "worker.told" -> Vec<String>);

thread_local! {
    /// How many items all streams of a test have sent, and whether one was ended by its asker.
    static SENT: Cell<u64> = const { Cell::new(0) };
    static GONE: Cell<bool> = const { Cell::new(false) };
}

struct Worker {
    name: String,
    notes: Vec<u64>,
    watched: Option<WatchId>,
    told: Vec<String>,
}

impl Agent for Worker {
    type Settings = ();

    fn protocol() -> Protocol<Self> {
        Protocol::new()
            .on::<Echo>()
            .on::<Note>()
            .on::<Notes>()
            .on::<Dawdle>()
            .on::<Crash>()
            .on_stream::<CountTo>()
            .on_stream::<Repeat>()
            .on::<Watch>()
            .on::<Unwatch>()
            .on::<WatchTwice>()
            .on::<Told>()
    }

    async fn start((): (), context: &mut Context) -> Result<Self, StartError> {
        let name = format!("{}@{}", context.address(), context.node().name());
        Ok(Self { name, notes: Vec::new(), watched: None, told: Vec::new() })
    }

    async fn down(&mut self, down: &Down, _: &mut Context) {
        let how = if down.is_abnormal { "abnormal" } else { "normal" };
        self.told.push(format!("{} {how} {}", down.address, down.cause));
    }
}

impl Handle<Echo> for Worker {
    async fn handle(&mut self, echo: Echo, context: &mut Context) -> Result<String, WontSay> {
        if echo.text == "unsayable" {
            return Err(WontSay { word: echo.text });
        }
        let from = context.sender().map(|sender| sender.address.to_string()).unwrap_or_default();
        Ok(format!("{}{from}: {}", self.name, echo.text))
    }
}

impl Handle<Note> for Worker {
    async fn handle(&mut self, note: Note, _: &mut Context) -> Result<(), Never> {
        self.notes.push(note.number);
        Ok(())
    }
}

impl Handle<Notes> for Worker {
    async fn handle(&mut self, _: Notes, _: &mut Context) -> Result<Vec<u64>, Never> {
        Ok(self.notes.clone())
    }
}

impl Handle<Dawdle> for Worker {
    async fn handle(&mut self, dawdle: Dawdle, _: &mut Context) -> Result<(), Never> {
        tokio::time::sleep(Duration::from_millis(dawdle.millis)).await;
        Ok(())
    }
}

impl HandleStream<CountTo> for Worker {
    async fn handle_stream(
        &mut self,
        count: CountTo,
        mut outlet: Outlet<CountTo>,
        context: &mut Context,
    ) {
        if count.last == 13 {
            return outlet.finish(Err(WontSay { word: "13".to_owned() })).await;
        }
        context.spawn(async move {
            for number in 1..=count.last {
                assert!(count.last != 666 || number < 600, "the number of the beast");
                if outlet.send(number).await.is_err() {
                    return GONE.with(|gone| gone.set(true));
                }
                SENT.with(|sent| sent.set(sent.get() + 1));
            }
            outlet.finish(Ok(count.last)).await;
        });
    }
}

impl HandleStream<Repeat> for Worker {
    async fn handle_stream(
        &mut self,
        repeat: Repeat,
        mut outlet: Outlet<Repeat>,
        context: &mut Context,
    ) {
        context.spawn(async move {
            for _ in 0..repeat.times {
                if outlet.send("x".repeat(repeat.len)).await.is_err() {
                    return;
                }
            }
            outlet.finish(Ok(())).await;
        });
    }
}

impl Handle<Watch> for Worker {
    async fn handle(&mut self, watch: Watch, context: &mut Context) -> Result<(), Never> {
        let whom = address(&watch.whom);
        self.watched = Some(match watch.is_link {
            true => context.link(&whom),
            false => context.monitor(&whom),
        });
        Ok(())
    }
}

impl Handle<Unwatch> for Worker {
    async fn handle(&mut self, _: Unwatch, context: &mut Context) -> Result<(), Never> {
        if let Some(watch) = self.watched.take() {
            context.unwatch(watch);
        }
        Ok(())
    }
}

impl Handle<WatchTwice> for Worker {
    async fn handle(&mut self, watch: WatchTwice, context: &mut Context) -> Result<(), Never> {
        let whom = address(&watch.whom);
        context.monitor(&whom);
        context.to(whom.clone()).ask(Crash {}).await.unwrap_err();
        while context.to(whom.clone()).ask(Notes {}).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.watched = Some(context.monitor(&whom));
        Ok(())
    }
}

impl Handle<Told> for Worker {
    async fn handle(&mut self, _: Told, _: &mut Context) -> Result<Vec<String>, Never> {
        Ok(self.told.clone())
    }
}

impl Handle<Crash> for Worker {
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

const TOPOLOGY: &str = r#"
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

/// One node of a cluster.
struct Machine {
    node: Node,
    cluster: Cluster,
    house: House,
}

impl Machine {
    async fn boot(waters: &Waters, own: &str, life: u64) -> Self {
        Self::boot_with(waters, own, life, Catalogue::new().with::<Worker>("worker")).await
    }

    async fn boot_with(waters: &Waters, own: &str, life: u64, kinds: Catalogue) -> Self {
        Self::boot_in(waters, own, life, kinds, TOPOLOGY).await
    }

    /// As `boot`, with a topology of its own.
    async fn boot_as(waters: &Waters, own: &str, life: u64, topology: &str) -> Self {
        let kinds = Catalogue::new().with::<Worker>("worker");
        Self::boot_in(waters, own, life, kinds, topology).await
    }

    async fn boot_in(
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
    async fn apply(&self, topology: &str) {
        let topology = Topology::parse(topology, self.house.catalogue()).unwrap();
        for applied in self.house.apply(topology).await.steps {
            assert_eq!(applied.error, None, "{:?}", applied.step);
        }
    }

    /// What the journal says of another node.
    fn notes_of(&self, other: &str) -> Vec<String> {
        let of = format!("@{other}");
        let noted = self.node.tree().journal.tail(1_000, |event| event.key.as_str() == of);
        noted.iter().map(|event| event.what.to_string()).collect()
    }

    fn meet(&self, other: &str) {
        self.cluster.meet(&name(other), &[]);
    }

    fn membership(&self, other: &str) -> Membership {
        let members = self.cluster.members();
        members.iter().find(|member| member.node == name(other)).unwrap().membership
    }

    fn state(&self, agent: &str) -> &'static str {
        self.house.member(agent).unwrap().view.status.word()
    }

    async fn says(&self, to: &str) -> String {
        self.echo(to, "hi").await.unwrap()
    }

    async fn echo(&self, to: &str, text: &str) -> Result<String, AskError<WontSay>> {
        self.node.to(Destination::parse(to).unwrap()).ask(Echo { text: text.to_owned() }).await
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

fn waters(seed: u64) -> Waters {
    Waters::new(seed, (Duration::from_micros(50), Duration::from_millis(2)))
}

/// Two machines that are linked.
async fn two(seed: u64) -> (Waters, Machine, Machine) {
    two_with(seed, Catalogue::new().with::<Worker>("worker")).await
}

/// As `two`, the second of which has other kinds.
async fn two_with(seed: u64, kinds: Catalogue) -> (Waters, Machine, Machine) {
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
async fn two_of<A: Agent>(seed: u64, topology: &str) -> (Machine, Machine) {
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
async fn link(machines: &[&Machine]) {
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

#[tokio::test(start_paused = true)]
async fn an_address_is_the_same_line_of_code_on_either_machine() {
    for seed in 0..20 {
        let (_waters, main, pc2) = two(seed).await;
        assert_eq!(main.echo("there/power", "hi").await.unwrap(), "there/power@pc2: hi");
        assert_eq!(pc2.echo("here/lamp", "hi").await.unwrap(), "here/lamp@main: hi");
        assert_eq!(pc2.echo("here/lamp@main", "hi").await.unwrap(), "here/lamp@main: hi");
        let elsewhere = main.echo("there/power@main", "hi").await.unwrap_err().to_string();
        let said = "there/power@main is not known; did you mean there/power?";
        assert_eq!(elsewhere, said);
        let refused = main.echo("there/power", "unsayable").await.unwrap_err();
        assert_eq!(refused, AskError::Refused(WontSay { word: "unsayable".to_owned() }));
        let to = main.node.to(address("there/power"));
        let json = Json(serde_json::json!({ "text": "json" }));
        let said = to.ask_json("worker.echo", &json, PATIENCE).await.unwrap();
        assert_eq!(said.0, "there/power@pc2: json");
        let unknown = to.ask_json("worker.ecko", &json, PATIENCE).await.unwrap_err();
        assert!(unknown.to_string().contains("did you mean worker.echo?"), "{unknown}");
        let nobody = main.echo("there/nobody", "hi").await.unwrap_err();
        assert!(matches!(nobody.fault(), Some(Fault::NotFound { .. })), "{nobody}");
        let late = to.ask_within(Dawdle { millis: 500 }, Duration::from_millis(100)).await;
        assert!(matches!(late.unwrap_err().fault(), Some(Fault::Timeout { .. })));
    }
}

/// Names and addresses that anybody may make up take room at the other end as long as the link lasts.
#[tokio::test(start_paused = true)]
async fn what_is_made_up_takes_no_room_on_a_link() {
    let (_waters, main, _pc2) = two(1).await;
    let before = main.cluster.figures().receivers;
    for number in 0..100 {
        let to = format!("there/made-up-{number}@pc2");
        let fault = main.echo(&to, "hi").await.unwrap_err();
        assert!(fault.to_string().contains("is not known"), "{fault}");
        let mail = main.node.to(address("there/power"));
        let message = format!("made.up_{number}");
        let refused = mail.ask_json(&message, &Json::default(), PATIENCE).await.unwrap_err();
        assert!(refused.to_string().contains("has no such message"), "{refused}");
    }
    // The one that does exist.
    assert_eq!(main.cluster.figures().receivers, before + 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_told_comes_once_and_in_order_however_much_it_is() {
    let (_waters, main, _pc2) = two(3).await;
    let to = main.node.to(address("there/power"));
    for number in 0..5_000 {
        to.tell(Note { number }).await.unwrap();
    }
    let notes = to.ask(Notes {}).await.unwrap();
    assert_eq!(notes, (0..5_000).collect::<Vec<_>>());
    assert_eq!(main.node.dead_letters().total(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_large_travels_in_parts_and_keeps_its_place() {
    let (_waters, main, _pc2) = two(4).await;
    let to = main.node.to(address("there/power"));
    let text = "x".repeat(5 << 20);
    let answer = to.ask(Echo { text: text.clone() }).await.unwrap();
    assert_eq!(answer.len(), "there/power@pc2: ".len() + text.len());
    let too_large = "x".repeat(65 << 20);
    let refused = to.ask(Echo { text: too_large }).await.unwrap_err();
    assert!(refused.to_string().contains("more than the limit"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn a_slow_agent_holds_up_nobody_else() {
    let (_waters, main, _pc2) = two(5).await;
    let slow = main.node.to(address("there/printer"));
    slow.tell(Dawdle { millis: 60_000 }).await.unwrap();
    let filling = tokio::spawn({
        let slow = slow.clone();
        async move {
            let mut sent = 0;
            while slow.tell(Note { number: sent }).await.is_ok() {
                sent += 1;
            }
            sent
        }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    let began = Instant::now();
    assert_eq!(main.echo("there/power", "hi").await.unwrap(), "there/power@pc2: hi");
    assert!(began.elapsed() < Duration::from_millis(20), "{:?}", began.elapsed());
    assert_eq!(main.membership("pc2"), Membership::Alive);
    let sent = filling.await.unwrap();
    assert!((1_000..=u64::from(CREDIT_MAX)).contains(&sent), "{sent}");
}

#[tokio::test(start_paused = true)]
async fn that_an_agent_is_suspended_is_known_on_other_nodes() {
    let (waters, main, pc2) = two(18).await;
    let power = address("there/power");
    let is_suspended = |machine: &Machine| {
        let rows = machine.house.rows();
        rows.iter().any(|row| row.name == "there/power" && row.is_suspended())
    };
    assert!(!is_suspended(&main));
    pc2.node.suspend(&power, PATIENCE).await.unwrap();
    until("it is told", || is_suspended(&main)).await;
    // One that comes later, and whose topology does not have it, is told, too.
    let other = "[groups.other]\n[agents.\"other/y\"]\nkind = \"worker\"\n";
    let pc3 = Machine::boot_as(&waters, "pc3", 1, other).await;
    link(&[&main, &pc2, &pc3]).await;
    let is_known = || pc3.house.rows().iter().any(|row| row.name == "there/power");
    until("it is listed", is_known).await;
    assert!(is_suspended(&pc3));
    pc2.node.resume(&power, PATIENCE).await.unwrap();
    until("it goes on", || !is_suspended(&main) && !is_suspended(&pc3)).await;
    // The next life of one is not suspended.
    pc2.node.suspend(&power, PATIENCE).await.unwrap();
    until("it is told again", || is_suspended(&main) && is_suspended(&pc3)).await;
    pc2.house.restart("there/power").await.unwrap();
    until("it is ready", || main.state("there/power") == "ready").await;
    until("that is told", || !is_suspended(&main) && !is_suspended(&pc3)).await;
}

#[tokio::test(start_paused = true)]
async fn an_ask_that_waits_on_a_node_that_goes_ends_at_once() {
    let (waters, main, pc2) = two(6).await;
    let waiting = tokio::spawn({
        let to = main.node.to(address("there/power"));
        async move { to.ask_within(Dawdle { millis: 600_000 }, PATIENCE * 4).await }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let began = Instant::now();
    pc2.crash(&waters);
    let lost = waiting.await.unwrap().unwrap_err();
    assert!(matches!(lost.fault(), Some(Fault::Unreachable { .. })), "{lost}");
    assert!(began.elapsed() < Duration::from_millis(20), "{:?}", began.elapsed());
    until("it is down", || main.membership("pc2") == Membership::Down).await;
    // Those who need what was there lack it, and stand-ins stand in.
    until("it is degraded", || main.state("here/desk") == "degraded").await;
    assert_eq!(main.echo("there/printer", "hi").await.unwrap(), "here/lamp@main: hi");

    let pc2 = Machine::boot(&waters, "pc2", 2).await;
    pc2.meet("main");
    until("all is well", || main.state("here/desk") == "ready").await;
    until("it is known", || main.state("there/printer") == "ready").await;
    assert_eq!(main.echo("there/printer", "hi").await.unwrap(), "there/printer@pc2: hi");
}

#[tokio::test(start_paused = true)]
async fn a_cut_is_suspected_then_down_and_heals_by_another_life() {
    let (waters, main, pc2) = two(8).await;
    waters.cut(&name("main"), &name("pc2"));
    let began = Instant::now();
    until("it is suspected", || main.membership("pc2") == Membership::Suspect).await;
    let suspected = began.elapsed();
    until("it is down", || main.membership("pc2") == Membership::Down).await;
    let down = began.elapsed();
    assert!(suspected <= Duration::from_millis(410), "{suspected:?}");
    assert!(down <= Duration::from_millis(1_110), "{down:?}");
    until("the other sees it too", || pc2.membership("main") == Membership::Down).await;
    let before = main.cluster.members()[0].incarnation;
    waters.heal(&name("main"), &name("pc2"));
    until("it is back", || main.membership("pc2") == Membership::Alive).await;
    assert!(main.cluster.members()[0].incarnation > before);
    until("all is known", || main.state("there/power") == "ready").await;
    assert_eq!(main.echo("there/power", "hi").await.unwrap(), "there/power@pc2: hi");
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_crashes_while_it_is_asked_from_afar_tells_why() {
    let (_waters, main, _pc2) = two(9).await;
    let lost = main.node.to(address("there/power")).ask(Crash {}).await.unwrap_err();
    assert!(lost.to_string().contains("as it was told"), "{lost}");
    until("it returns", || main.state("there/power") == "ready").await;
}

#[tokio::test(start_paused = true)]
async fn what_was_told_and_may_be_lost_is_a_dead_letter() {
    let (waters, main, pc2) = two(11).await;
    waters.cut(&name("main"), &name("pc2"));
    for number in 0..10 {
        main.node.to(address("there/power")).tell(Note { number }).await.unwrap();
    }
    until("it is down", || main.membership("pc2") == Membership::Down).await;
    let letters = main.node.dead_letters().tail(10);
    let told = letters.iter().find(|letter| letter.to.address == address("there/power"));
    let told = told.expect("it is not silent");
    assert!(told.message.contains("up to 10 messages"), "{}", told.message);
    waters.heal(&name("main"), &name("pc2"));
    until("it is back", || main.state("there/power") == "ready").await;
    // What belonged to the life before is heard no more.
    assert_eq!(main.node.to(address("there/power")).ask(Notes {}).await.unwrap(), [0; 0]);
    drop(pc2);
}

#[tokio::test(start_paused = true)]
async fn what_is_large_finds_room_whatever_came_before() {
    let (_waters, main, _pc2) = two(12).await;
    let to = main.node.to(address("there/power"));
    to.tell(Note { number: 1 }).await.unwrap();
    let asks = (0..2).map(|_| {
        let (power, printer) = (to.clone(), main.node.to(address("there/printer")));
        tokio::spawn(async move {
            let text = "x".repeat(40 << 20);
            let both = tokio::join!(
                power.ask_within(Echo { text: text.clone() }, PATIENCE),
                printer.ask_within(Echo { text }, PATIENCE),
            );
            both.0.unwrap().len().min(both.1.unwrap().len())
        })
    });
    for ask in asks.collect::<Vec<_>>() {
        assert!(ask.await.unwrap() > 40 << 20);
    }
    // Those that are given up half-way leave nothing behind.
    for _ in 0..10 {
        let text = "x".repeat(20 << 20);
        let _late = to.ask_within(Echo { text }, Duration::from_millis(3)).await;
    }
    assert_eq!(main.echo("there/power", "hi").await.unwrap(), "there/power@pc2: hi");
    assert_eq!(main.membership("pc2"), Membership::Alive);
}

#[tokio::test(start_paused = true)]
async fn what_its_node_does_not_have_is_not_waited_for() {
    let waters = waters(13);
    let main = Machine::boot(&waters, "main", 1).await;
    let node = Node::new(NodeOptions { seed: 7, ..NodeOptions::new(name("pc2")) });
    let cluster = Cluster::begin(&node, waters.harbour(&name("pc2")), Timing::default(), 1);
    cluster.meet(&name("main"), &[]);
    let began = Instant::now();
    main.house.up().await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert_eq!(main.state("here/desk"), "degraded");
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_room_does_not_outlive_its_link_and_so_keeps_its_order() {
    let (waters, main, pc2) = two(15).await;
    let to = main.node.to(address("there/printer"));
    to.tell(Dawdle { millis: 2_000 }).await.unwrap();
    // More than finds room in its mailbox.
    for number in 0..1_020 {
        to.tell(Note { number }).await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    waters.reset(&name("main"), &name("pc2"), Lane::Data);
    until("it is down", || main.membership("pc2") == Membership::Down).await;
    until("it is back", || main.state("there/printer") == "ready").await;
    for number in 2_000..2_010 {
        to.tell(Note { number }).await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    let notes = to.ask(Notes {}).await.unwrap();
    assert!(notes.is_sorted(), "{:?}", &notes[990..]);
    assert_eq!(notes[notes.len() - 10..], (2_000..2_010).collect::<Vec<_>>());
    // What was given up is told of, where it waited as where it came from.
    let lost = 1_020 - (notes.len() as u64 - 10);
    assert!(lost > 0);
    assert_eq!(pc2.node.dead_letters().total(), lost);
}

/// Say it back, as it will be asked one day.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct LaterEcho {
    #[serde(default)]
    times: u32,
    text: String,
}
message!(LaterEcho = "worker.echo" -> String);

/// A worker as it will be one day.
struct LaterWorker;

impl Agent for LaterWorker {
    type Settings = ();

    fn protocol() -> Protocol<Self> {
        Protocol::new().on::<LaterEcho>().on::<Notes>()
    }

    async fn start((): (), _: &mut Context) -> Result<Self, StartError> {
        Ok(Self)
    }
}

impl Handle<LaterEcho> for LaterWorker {
    async fn handle(&mut self, echo: LaterEcho, _: &mut Context) -> Result<String, Never> {
        Ok(echo.text.repeat(echo.times as usize + 1))
    }
}

impl Handle<Notes> for LaterWorker {
    async fn handle(&mut self, _: Notes, _: &mut Context) -> Result<Vec<u64>, Never> {
        Ok(Vec::new())
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_has_another_form_there_is_not_misread() {
    let kinds = Catalogue::new().with::<LaterWorker>("worker");
    let (_waters, main, pc2) = two_with(17, kinds).await;
    let to = main.node.to(address("there/power"));
    let rejected = to.ask(Echo { text: "hi".to_owned() }).await.unwrap_err();
    let is_form =
        matches!(rejected.fault(), Some(Fault::Rejected { reason: Rejection::OtherForm, .. }));
    assert!(is_form, "{rejected}");
    assert!(to.tell(Echo { text: "hi".to_owned() }).await.is_err());
    // What has the same form on both is understood, and JSON is.
    assert_eq!(to.ask(Notes {}).await.unwrap(), [0; 0]);
    let json = Json(serde_json::json!({ "text": "hi" }));
    assert_eq!(to.ask_json("worker.echo", &json, PATIENCE).await.unwrap().0, "hi");
    let back = pc2.node.to(address("here/lamp"));
    assert!(back.ask(LaterEcho { times: 1, text: "hi".to_owned() }).await.is_err());
    for one in [&main, &pc2] {
        assert_eq!(one.cluster.members()[0].differing, ["worker.echo"]);
    }
    let noted = main.node.tree().journal.tail(100, |event| event.key.as_str() == "@pc2");
    assert!(
        noted.iter().any(|event| event.what.to_string().contains("another form of worker.echo"))
    );
}

#[tokio::test(start_paused = true)]
async fn nodes_that_have_met_one_are_introduced_to_each_other() {
    let waters = waters(16);
    let boot = |own: &str, knows: &[&str]| {
        let node = Node::new(NodeOptions { seed: 7, ..NodeOptions::new(name(own)) });
        let knows: Vec<NodeName> = knows.iter().map(|known| name(known)).collect();
        let network = waters.harbour_that_knows(&name(own), &knows);
        (Cluster::begin(&node, network, Timing::default(), 1), node)
    };
    let nodes = [
        boot("main", &[]),
        boot("pc2", &["main"]),
        boot("pc3", &["main"]),
        // One that knows another that joined.
        boot("pc4", &["pc3"]),
    ];
    let began = Instant::now();
    until("all are linked", || {
        nodes.iter().all(|(cluster, _)| {
            let members = cluster.members();
            members.len() == 3 && members.iter().all(|it| it.membership == Membership::Alive)
        })
    })
    .await;
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn what_a_node_says_before_it_leaves_is_heard() {
    for seed in 0..20 {
        let (_waters, main, pc2) = two(20 + seed).await;
        let to = pc2.node.to(address("here/lamp"));
        for number in 0..500 {
            to.tell(Note { number }).await.unwrap();
        }
        pc2.cluster.leave().await;
        let notes = main.node.to(address("here/lamp")).ask(Notes {}).await.unwrap();
        assert_eq!(notes, (0..500).collect::<Vec<_>>());
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_node_that_leaves_could_not_say_is_a_dead_letter() {
    let (waters, main, pc2) = two(41).await;
    waters.cut(&name("main"), &name("pc2"));
    pc2.node.to(address("here/lamp")).tell(Note { number: 1 }).await.unwrap();
    pc2.cluster.leave().await;
    let letters = pc2.node.dead_letters().tail(10);
    let told = letters.iter().find(|letter| letter.to.address == address("here/lamp"));
    assert!(told.expect("it is not silent").message.contains("up to 1 messages"));
    drop(main);
}

#[tokio::test(start_paused = true)]
async fn what_was_told_on_links_that_a_node_ends_itself_is_a_dead_letter() {
    let (waters, main, pc2) = two(42).await;
    waters.cut(&name("main"), &name("pc2"));
    pc2.node.to(address("here/lamp")).tell(Note { number: 1 }).await.unwrap();
    pc2.cluster.end();
    pc2.cluster.end();
    let letters = pc2.node.dead_letters().tail(10);
    let told = letters.iter().filter(|letter| letter.to.address == address("here/lamp"));
    let told: Vec<&str> = told.map(|letter| &*letter.message).collect();
    assert!(matches!(told[..], [one] if one.contains("up to 1 messages")), "{told:?}");
    drop(main);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_takes_its_leave_is_not_waited_for() {
    let (_waters, main, pc2) = two(10).await;
    pc2.cluster.leave().await;
    until("it has left", || main.membership("pc2") == Membership::Left).await;
    let fault = main.echo("there/power", "hi").await.unwrap_err();
    assert!(matches!(fault.fault(), Some(Fault::Unreachable { .. })), "{fault}");
}
