//! An address that moves from one node to another while it is spoken to from three, on a simulated network and
//! the paused clock. How its store moves is nothing of the runtime: here, it has none.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use genii_protocols::{Address, Destination, Json, Name, Never, NodeName, message};
use genii_runtime::cluster::{Cluster, Timing};
use genii_runtime::link::simulated::Waters;
use genii_runtime::topology::Topology;
use genii_runtime::{
    Agent, Catalogue, Context, Handle, House, Node, NodeOptions, Nursery, NurserySettings,
    Protocol, Relay, Relays, Tenancy,
};
use genii_supervision::{ChildPolicy, Restart, StartError};
use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long those pause who speak again and again.
const PAUSE: Duration = Duration::from_millis(3);

/// Note who says this, and which time.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct Note {
    by: String,
    number: u64,
    is_asked: bool,
}
message!(Note = "walker.note" -> ());

/// All that was noted on a node.
#[derive(Default)]
struct Notes(Mutex<Vec<Note>>);

#[derive(Deserialize)]
struct Nothing {}

struct Walker(Arc<Notes>);

impl Agent for Walker {
    type Settings = Nothing;

    fn protocol() -> Protocol<Self> {
        Protocol::new().on::<Note>()
    }

    async fn start(_: Nothing, at: &mut Context) -> Result<Self, StartError> {
        Ok(Self(at.node().shared(Notes::default)))
    }
}

impl Handle<Note> for Walker {
    async fn handle(&mut self, note: Note, _: &mut Context) -> Result<(), Never> {
        self.0.0.lock().push(note);
        Ok(())
    }
}

/// Passes on what comes for a walker that is elsewhere.
struct Trail(Relay);

#[derive(Deserialize)]
struct TrailSettings {
    to: Destination,
}

impl Agent for Trail {
    type Settings = TrailSettings;

    fn protocol() -> Protocol<Self> {
        Protocol::new().pass::<Note>()
    }

    async fn start(settings: TrailSettings, at: &mut Context) -> Result<Self, StartError> {
        Ok(Self(Relay::lasting(at.node().to(settings.to))))
    }
}

impl Relays for Trail {
    fn relay(&self) -> &Relay {
        &self.0
    }
}

fn node(name: &str) -> NodeName {
    NodeName::new(name).unwrap()
}

fn alice() -> Address {
    Address::parse("walk/alice").unwrap()
}

/// Those that live here are on pc2 by now.
fn settings(have_left: Arc<AtomicBool>) -> NurserySettings {
    let tenancy = move |_: &Address| match have_left.load(Ordering::SeqCst) {
        false => Tenancy { kind: "walker".to_owned(), settings: Json(serde_json::json!({})) },
        true => {
            let settings = Json(serde_json::json!({ "to": "walk/alice@pc2" }));
            Tenancy { kind: "trail".to_owned(), settings }
        }
    };
    NurserySettings {
        group: Name::new("walk").unwrap(),
        kind: "walker".to_owned(),
        tenancy: Arc::new(tenancy),
        awake_max: 4,
        idle_after: Duration::from_secs(60),
        finish_within: Duration::from_secs(30),
        mailbox_capacity: 200,
        policy: Arc::new(ChildPolicy {
            restart: Restart::Transient,
            required: false,
            ..ChildPolicy::default()
        }),
    }
}

struct Machine {
    node: Node,
    cluster: Cluster,
    nursery: Nursery,
    have_left: Arc<AtomicBool>,
    house: House,
}

impl Machine {
    async fn boot(waters: &Waters, own: &str) -> Self {
        let of = Node::new(NodeOptions { seed: 7, ..NodeOptions::new(node(own)) });
        let cluster = Cluster::begin(&of, waters.harbour(&node(own)), Timing::default(), 1);
        let kinds = Catalogue::new().with::<Walker>("walker").with::<Trail>("trail");
        let house = House::begin(of.clone(), kinds, Topology::default()).await.unwrap();
        house.up().await.unwrap();
        let have_left = Arc::new(AtomicBool::new(false));
        let nursery = house.nursery(settings(have_left.clone())).await.unwrap();
        Self { node: of, cluster, nursery, have_left, house }
    }

    fn admit_alice(&self) {
        self.nursery.admit(&Name::new("alice").unwrap());
    }

    /// Whether another node has told of an address of its own.
    fn knows_one_of(&self, other: &str) -> bool {
        let members = self.cluster.members();
        members.iter().any(|member| member.node == node(other) && member.addresses > 0)
    }

    fn notes(&self) -> Vec<Note> {
        self.node.shared(Notes::default).0.lock().clone()
    }

    /// Tells and asks alice in turn until it is enough, and returns how often.
    fn speaks(&self, enough: &Arc<AtomicBool>) -> JoinHandle<u64> {
        let (mail, by) = (self.node.to(alice()), self.node.name().to_string());
        let enough = enough.clone();
        tokio::spawn(async move {
            let mut number = 0;
            while !enough.load(Ordering::SeqCst) {
                let note = |is_asked| Note { by: by.clone(), number, is_asked };
                mail.tell(note(false)).await.unwrap();
                let answer = mail.ask_within(note(true), PATIENCE).await;
                answer.unwrap_or_else(|error| panic!("{by} {number}: {error}"));
                number += 1;
                tokio::time::sleep(PAUSE).await;
            }
            number
        })
    }
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "never came true: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Three machines that know each other, on the first of which alice lives.
async fn three() -> (Waters, [Machine; 3]) {
    let waters = Waters::new(7, (Duration::from_micros(50), Duration::from_millis(2)));
    let main = Machine::boot(&waters, "main").await;
    let pc2 = Machine::boot(&waters, "pc2").await;
    let pc3 = Machine::boot(&waters, "pc3").await;
    main.admit_alice();
    let machines = [main, pc2, pc3];
    until("all know her and each other", || {
        let is_linked = |it: &Machine| it.cluster.figures().links == 2;
        let [_, pc2, pc3] = &machines;
        machines.iter().all(is_linked) && pc2.knows_one_of("main") && pc3.knows_one_of("main")
    })
    .await;
    (waters, machines)
}

/// Alice moves from main to pc2 while all three speak to her; between two of them everything takes so much longer.
async fn is_spoken_to_while_she_moves([one, other]: [&str; 2], longer: Duration) {
    let (waters, machines) = three().await;
    waters.slow(&node(one), &node(other), longer);
    let [main, pc2, pc3] = &machines;
    let enough = Arc::new(AtomicBool::new(false));
    let speaking = [main, pc2, pc3].map(|machine| machine.speaks(&enough));
    tokio::time::sleep(Duration::from_secs(1)).await;

    let kept = main.nursery.keep_asleep(&alice()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    pc2.admit_alice();
    timeout(PATIENCE, pc2.cluster.heard()).await.unwrap();
    main.have_left.store(true, Ordering::SeqCst);
    drop(kept);
    main.nursery.hide(&alice());
    // Who is to be suspended is she, and not what sends on after her.
    assert_eq!(main.house.home_of("walk/alice"), Some(node("pc2")));
    timeout(PATIENCE, main.cluster.heard()).await.unwrap();
    main.nursery.dismiss_once_idle(&alice(), PATIENCE).await.unwrap();
    assert!(!main.nursery.has(&alice()));

    tokio::time::sleep(Duration::from_secs(2)).await;
    enough.store(true, Ordering::SeqCst);
    let said = futures_util::future::join_all(speaking).await;
    for other in [pc2, pc3] {
        let is_on_main = !other.cluster.lacks(&node("main"), &alice());
        assert!(!is_on_main, "{} looks for her on main", other.node.name());
    }
    // She has noted first what she was told here.
    let noted: Vec<Note> = main.notes().into_iter().chain(pc2.notes()).collect();
    for (machine, said) in machines.iter().zip(said) {
        let (by, said) = (machine.node.name().as_str(), said.unwrap());
        assert_eq!(machine.node.dead_letters().total(), 0, "{by}");
        let of = |note: &&Note| note.by == by;
        let numbers = |is_asked: bool| {
            let its = noted.iter().filter(of).filter(move |note| note.is_asked == is_asked);
            its.map(|note| note.number).collect::<Vec<u64>>()
        };
        assert_eq!(numbers(true), (0..said).collect::<Vec<_>>(), "{by}");
        // Of what only is told no order is promised across a move, but to who speaks where she was.
        let mut told = numbers(false);
        told.sort_unstable();
        assert_eq!(told, (0..said).collect::<Vec<_>>(), "{by}");
    }
    let of_main: Vec<_> = noted.iter().filter(|note| note.by == "main").collect();
    assert!(of_main.is_sorted_by_key(|note| (note.number, note.is_asked)), "{of_main:?}");
}

#[tokio::test(start_paused = true)]
async fn who_speaks_on_and_on_to_one_that_moves_is_heard_once_each_time() {
    is_spoken_to_while_she_moves(["main", "pc2"], Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn so_is_one_who_hears_late_that_she_is_gone_where_she_was() {
    is_spoken_to_while_she_moves(["main", "pc3"], Duration::from_millis(150)).await;
}

#[tokio::test(start_paused = true)]
async fn so_is_one_who_hears_late_that_she_is_where_she_is() {
    is_spoken_to_while_she_moves(["pc2", "pc3"], Duration::from_millis(150)).await;
}

#[tokio::test(start_paused = true)]
async fn one_whose_link_is_lost_is_not_waited_for() {
    let (waters, machines) = three().await;
    let [main, _pc2, pc3] = &machines;
    waters.cut(&node("main"), &node("pc3"));
    main.nursery.hide(&alice());
    let began = Instant::now();
    timeout(PATIENCE, main.cluster.heard()).await.unwrap();
    assert!(!main.cluster.is_connected(pc3.node.name()));
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn that_one_sleeps_is_known_on_other_nodes() {
    let (_waters, machines) = three().await;
    let pc2 = &machines[1];
    let state = || {
        let rows = pc2.house.rows().into_iter();
        rows.filter(|row| row.name == alice().as_str()).map(|row| row.state).next()
    };
    until("she sleeps", || state().as_deref() == Some("asleep")).await;
    let note = Note { by: "pc2".to_owned(), number: 0, is_asked: true };
    pc2.node.to(alice()).ask_within(note, PATIENCE).await.unwrap();
    until("she is awake", || state().as_deref() == Some("ready")).await;
    // As long as she rests, and until that is looked at.
    tokio::time::sleep(Duration::from_secs(70)).await;
    until("she sleeps again", || state().as_deref() == Some("asleep")).await;
}
