use std::sync::Arc;
use std::time::Duration;

use genii_protocols::{Address, Fault, Json, Name, Never, NodeName, message};
use genii_supervision::{ChildPolicy, StartError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{Put, Way, told};
use crate::topology::Topology;
use crate::{
    Agent, Catalogue, Context, Handle, House, Node, NodeOptions, Nursery, NurserySettings,
    Protocol, Tenancy,
};

/// Knock, and hear how often somebody has.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct Knock {
    number: u64,
}
message!(Knock = "sleeper.knock" -> u64);

#[derive(Default)]
struct Sleeper {
    knocks: u64,
}

#[derive(Deserialize)]
struct Nothing {}

impl Agent for Sleeper {
    type Settings = Nothing;

    fn protocol() -> Protocol<Self> {
        Protocol::new().on::<Knock>()
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

/// A house with one that sleeps.
async fn sleeper() -> (House, Nursery, Address) {
    let node = Node::new(NodeOptions::new(NodeName::new("main").unwrap()));
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
        mailbox_capacity: 10,
        policy: Arc::new(ChildPolicy { required: false, ..ChildPolicy::default() }),
    };
    let nursery = house.nursery(settings).await.unwrap();
    let address = nursery.admit(&Name::new("alice").unwrap());
    (house, nursery, address)
}

#[tokio::test(start_paused = true)]
async fn what_meets_the_moment_in_which_an_address_is_let_go_comes_back_to_be_sent_elsewhere() {
    let (house, nursery, alice) = sleeper().await;
    let mail = house.node().to(alice.clone());
    let kept = nursery.keep_asleep(&alice).await.unwrap();
    let Ok(Way::Near(line)) = mail.way() else { panic!("it is here") };
    assert!(kept.dismiss_if_unwanted().is_ok());
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
