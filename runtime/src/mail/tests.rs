use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use genii_protocols::{Address, Fault, Json, Message, Name, Never, NodeName, message};
use genii_supervision::{ChildPolicy, Restart, StartError, Supervisor, SupervisorSpec};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use tokio::time::Instant;

use super::{Mail, Put, Way, told};
use crate::cluster::{Cluster, Timing};
use crate::link::simulated::Waters;
use crate::protocol::Content;
use crate::topology::Topology;
use crate::{
    Agent, Catalogue, Context, Handle, House, Node, NodeOptions, Nursery, NurserySettings,
    Protocol, Tenancy,
};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Knock, and hear how often somebody has.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct Knock {
    number: u64,
}
message!(Knock = "sleeper.knock" -> u64);

thread_local! {
    /// What happens while the next [`TellPlace`] is read: the way is found by then, and nothing sent.
    static MEANWHILE: Cell<Option<Box<dyn FnOnce()>>> = const { Cell::new(None) };
}

/// Knock, and hear on which node.
#[derive(Debug, Clone, Serialize, JsonSchema)]
struct TellPlace {}
message!(TellPlace = "sleeper.tell_place" -> String);

impl<'de> Deserialize<'de> for TellPlace {
    fn deserialize<D: Deserializer<'de>>(content: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Plain {}
        if let Some(happens) = MEANWHILE.take() {
            happens();
        }
        Plain::deserialize(content).map(|Plain {}| Self {})
    }
}

#[derive(Default)]
struct Sleeper {
    knocks: u64,
}

#[derive(Deserialize)]
struct Nothing {}

impl Agent for Sleeper {
    type Settings = Nothing;

    fn protocol() -> Protocol<Self> {
        Protocol::new().on::<Knock>().on::<TellPlace>()
    }

    async fn start(_: Nothing, _: &mut Context) -> Result<Self, StartError> {
        Ok(Self::default())
    }
}

impl Handle<Knock> for Sleeper {
    async fn handle(&mut self, _: Knock, _: &mut Context) -> Result<u64, Never> {
        self.knocks += 1;
        Ok(self.knocks)
    }
}

impl Handle<TellPlace> for Sleeper {
    async fn handle(&mut self, _: TellPlace, at: &mut Context) -> Result<String, Never> {
        self.knocks += 1;
        Ok(at.node().name().to_string())
    }
}

fn node(name: &str) -> Node {
    Node::new(NodeOptions::new(NodeName::new(name).unwrap()))
}

/// A house with one that sleeps.
async fn sleeper() -> (House, Nursery, Address) {
    sleeper_on(node("main")).await
}

async fn sleeper_on(node: Node) -> (House, Nursery, Address) {
    let catalogue = Catalogue::new().with::<Sleeper>("sleeper");
    let house = House::begin(node, catalogue, Topology::default()).await.unwrap();
    house.up().await.unwrap();
    let tenancy =
        |_: &Address| Tenancy { kind: "sleeper".to_owned(), settings: Json(serde_json::json!({})) };
    let settings = NurserySettings {
        group: Name::new("bed").unwrap(),
        kind: "sleeper".to_owned(),
        tenancy: Arc::new(tenancy),
        awake_max: 1,
        idle_after: Duration::from_secs(60),
        finish_within: Duration::from_secs(30),
        mailbox_capacity: 10,
        policy: Arc::new(ChildPolicy {
            restart: Restart::Transient,
            required: false,
            ..ChildPolicy::default()
        }),
    };
    let nursery = house.nursery(settings).await.unwrap();
    let address = nursery.admit(&Name::new("alice").unwrap());
    (house, nursery, address)
}

#[tokio::test(start_paused = true)]
async fn what_meets_the_moment_in_which_an_address_is_let_go_comes_back_to_be_sent_elsewhere() {
    let (house, nursery, alice) = sleeper().await;
    let mail = house.node().to(alice.clone());
    mail.ask(Knock { number: 6 }).await.unwrap();
    let Ok(Way::Near(line)) = mail.way() else { panic!("it is here") };
    nursery.dismiss_once_idle(&alice, PATIENCE).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(1);
    let letter = mail.told(Knock { number: 7 });
    let Ok(Put::Nowhere(letter)) = mail.push_or_return(&line, letter, deadline).await else {
        panic!("nobody here has the address")
    };
    assert_eq!(told::<Knock>(letter).message.number, 7);
    // One that has come back meanwhile gets it.
    nursery.admit(&Name::new("alice").unwrap());
    let letter = mail.told(Knock { number: 8 });
    let put = mail.push_or_return(&line, letter, deadline).await;
    assert!(matches!(put, Ok(Put::In(_))));
    assert_eq!(mail.ask(Knock { number: 9 }).await.unwrap(), 2);
}

/// Has the sleeper here, and lets its address go while what is sent next is read.
async fn let_go_meanwhile(house: &House, nursery: &Nursery) -> Mail {
    let alice = nursery.admit(&Name::new("alice").unwrap());
    let (mail, nursery) = (house.node().to(alice.clone()), nursery.clone());
    mail.ask(Knock { number: 0 }).await.unwrap();
    MEANWHILE.set(Some(Box::new(move || {
        let letting_go = nursery.dismiss_once_idle(&alice, Duration::ZERO).now_or_never();
        assert!(letting_go.is_none(), "its life ends by and by");
        assert!(!nursery.has(&alice));
    })));
    assert!(matches!(mail.way(), Ok(Way::Near(_))), "it is here until then");
    mail
}

#[tokio::test(start_paused = true)]
async fn what_meets_that_moment_goes_where_the_address_is_in_whatever_form_it_is_sent() {
    let waters = Waters::new(1, (Duration::ZERO, Duration::ZERO));
    let (pc2, main) = (node("pc2"), node("main"));
    let join =
        |node: &Node| Cluster::begin(node, waters.harbour(node.name()), Timing::default(), 1);
    let _there = join(&pc2);
    let alice = Address::parse("bed/alice").unwrap();
    let spec = SupervisorSpec::new("bed")
        .with_child(pc2.agent::<Sleeper>(&alice, Json(serde_json::json!({}))));
    let _root = Supervisor::start(spec, pc2.tree().clone()).await.unwrap();
    let here = join(&main);
    let (house, nursery, _) = sleeper_on(main).await;
    let known = async {
        while here.find(&alice).is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, known).await.unwrap();

    let (name, content) = (TellPlace::NAME, Json(serde_json::json!({})));
    let text = Content::Json(b"{}");
    let mail = let_go_meanwhile(&house, &nursery).await;
    assert_eq!(mail.ask_untyped(name, text, PATIENCE).await.unwrap(), b"\"pc2\"");
    let mail = let_go_meanwhile(&house, &nursery).await;
    mail.tell_untyped(name, text, PATIENCE).await.unwrap();
    let mail = let_go_meanwhile(&house, &nursery).await;
    assert_eq!(mail.ask_json(name, &content, PATIENCE).await.unwrap(), Json("pc2".into()));
    let mail = let_go_meanwhile(&house, &nursery).await;
    mail.tell_json(name, &content).await.unwrap();
    assert_eq!(house.node().to(alice).ask(Knock { number: 1 }).await, Ok(5));
    assert_eq!(house.node().dead_letters().total(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_hint_that_nobody_takes_is_no_dead_letter() {
    let (house, _nursery, alice) = sleeper().await;
    let node = house.node();
    let nobody = node.to(Address::parse("bed/nobody").unwrap());
    let fault = nobody.hint(Knock { number: 1 }).unwrap_err();
    assert!(matches!(*fault, Fault::NotFound { .. }), "{fault}");
    assert_eq!(node.dead_letters().total(), 0);
    nobody.try_tell(Knock { number: 2 }).unwrap_err();
    assert_eq!(node.dead_letters().total(), 1, "what is told is one");
    let alice = node.to(alice);
    alice.hint(Knock { number: 3 }).unwrap();
    assert_eq!(alice.ask(Knock { number: 4 }).await.unwrap(), 2, "one that is there hears it");
}
