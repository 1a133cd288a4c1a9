//! Passing on what is asked to somebody who answers in one's place, on the paused clock.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use genii_protocols::{Address, AskError, Destination, Fault, Json, Never, NodeName, message};
use genii_runtime::topology::Topology;
use genii_runtime::{
    Agent, Catalogue, Context, Handle, HandleLater, HandleStream, House, Node, NodeOptions, Outlet,
    Promise, Protocol, Relay, Relays,
};
use genii_supervision::StartError;
use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How long a question here may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Write a number down; odd ones are refused.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct Write {
    number: u64,
}
message!(Write = "scribe.write" -> u64, refused by String);

/// Say when your answer is due, after so many seconds.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct Ponder {
    seconds: u64,
}
message!(Ponder = "scribe.ponder" -> Option<u64>);

/// Count, one number a second; refuse in the end if there is no number.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct Count {
    to: u64,
}
message!(Count = "scribe.count" -> u64, refused by String, streams u64);

/// Panic.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct Panic {}
message!(Panic = "scribe.panic" -> ());

/// Show what was written, and how often somebody left.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct Show {}
message!(Show = "scribe.show" -> (Vec<u64>, u64));

/// Say who sends this.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct TellSender {}
message!(TellSender = "scribe.tell_sender" -> Option<Address>);

/// Ask somebody who sends you that.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct AskForSender {
    whom: Address,
}
message!(AskForSender = "scribe.ask_for_sender" -> Option<Address>);

#[derive(Default)]
struct Scribe {
    written: Vec<u64>,
    left: Arc<Mutex<u64>>,
}

#[derive(Deserialize)]
struct Nothing {}

impl Agent for Scribe {
    type Settings = Nothing;

    fn protocol() -> Protocol<Self> {
        Protocol::new()
            .on::<Write>()
            .on_later::<Ponder>()
            .on_stream::<Count>()
            .on::<Panic>()
            .on::<Show>()
            .on::<TellSender>()
            .on::<AskForSender>()
    }

    async fn start(_: Nothing, _: &mut Context) -> Result<Self, StartError> {
        Ok(Self::default())
    }
}

impl Handle<Write> for Scribe {
    async fn handle(&mut self, write: Write, _: &mut Context) -> Result<u64, String> {
        self.written.push(write.number);
        match write.number % 2 {
            0 => Ok(write.number),
            _ => Err(format!("{} is odd", write.number)),
        }
    }
}

impl HandleLater<Ponder> for Scribe {
    async fn handle_later(&mut self, ask: Ponder, promise: Promise<Ponder>, at: &mut Context) {
        let due = at.deadline().map(|due| (due - tokio::time::Instant::now()).as_secs());
        let left = self.left.clone();
        at.spawn(async move {
            for _ in 0..ask.seconds {
                tokio::time::sleep(Duration::from_secs(1)).await;
                if promise.is_forgotten() {
                    *left.lock() += 1;
                    return;
                }
            }
            promise.answer(due);
        });
    }
}

impl HandleStream<Count> for Scribe {
    async fn handle_stream(&mut self, ask: Count, mut outlet: Outlet<Count>, at: &mut Context) {
        let left = self.left.clone();
        at.spawn(async move {
            for number in 0..ask.to {
                tokio::time::sleep(Duration::from_secs(1)).await;
                if outlet.send(number).await.is_err() {
                    *left.lock() += 1;
                    return;
                }
            }
            let none = || "there is no number".to_owned();
            outlet.finish(ask.to.checked_sub(1).ok_or_else(none)).await;
        });
    }
}

impl Handle<Panic> for Scribe {
    async fn handle(&mut self, _: Panic, _: &mut Context) -> Result<(), Never> {
        panic!("it was told to")
    }
}

impl Handle<Show> for Scribe {
    async fn handle(&mut self, _: Show, _: &mut Context) -> Result<(Vec<u64>, u64), Never> {
        Ok((self.written.clone(), *self.left.lock()))
    }
}

impl Handle<TellSender> for Scribe {
    async fn handle(&mut self, _: TellSender, at: &mut Context) -> Result<Option<Address>, Never> {
        Ok(at.sender().map(|sender| sender.address.clone()))
    }
}

impl Handle<AskForSender> for Scribe {
    async fn handle(
        &mut self,
        ask: AskForSender,
        at: &mut Context,
    ) -> Result<Option<Address>, Never> {
        Ok(at.to(ask.whom).ask(TellSender {}).await.unwrap())
    }
}

struct Clerk(Relay);

#[derive(Deserialize)]
struct ClerkSettings {
    to: Destination,
    #[serde(default)]
    is_bound: bool,
    #[serde(default)]
    is_lasting: bool,
}

impl Agent for Clerk {
    type Settings = ClerkSettings;

    fn protocol() -> Protocol<Self> {
        Protocol::new()
            .pass::<Write>()
            .pass::<Ponder>()
            .pass_stream::<Count>()
            .pass::<Panic>()
            .pass::<Show>()
            .pass::<TellSender>()
    }

    async fn start(settings: ClerkSettings, at: &mut Context) -> Result<Self, StartError> {
        let mail = at.node().to(settings.to);
        Ok(Self(match (settings.is_bound, settings.is_lasting) {
            (true, _) => Relay::bound(mail),
            (false, true) => Relay::lasting(mail),
            (false, false) => Relay::new(mail),
        }))
    }
}

impl Relays for Clerk {
    fn relay(&self) -> &Relay {
        &self.0
    }
}

const TOPOLOGY: &str = r#"
[groups.desk]
[agents."desk/scribe"]
kind = "scribe"
[agents."desk/novice"]
kind = "scribe"
[agents."desk/clerk"]
kind = "clerk"
settings = { to = "desk/scribe" }
[agents."desk/passing"]
kind = "clerk"
settings = { to = "desk/scribe", is_lasting = true }
[agents."desk/lost"]
kind = "clerk"
settings = { to = "desk/nobody" }
[agents."desk/cut-off"]
kind = "clerk"
settings = { to = "desk/scribe@elsewhere" }
[agents."desk/bound"]
kind = "clerk"
settings = { to = "desk/scribe@elsewhere", is_bound = true }
"#;

async fn house() -> House {
    let node = Node::new(NodeOptions::new(NodeName::new("main").unwrap()));
    let kinds = Catalogue::new().with::<Scribe>("scribe").with::<Clerk>("clerk");
    let topology = Topology::parse(TOPOLOGY, &kinds).unwrap();
    let house = House::begin(node, kinds, topology).await.unwrap();
    house.up().await.unwrap();
    house
}

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

#[tokio::test(start_paused = true)]
async fn replies_and_refusals_come_back_as_they_are_and_all_in_order() {
    let house = house().await;
    let clerk = house.node().to(address("desk/clerk"));
    assert_eq!(clerk.ask(Write { number: 2 }).await, Ok(2));
    let refused = clerk.ask(Write { number: 3 }).await;
    assert_eq!(refused, Err(AskError::Refused("3 is odd".to_owned())));
    for number in (10..200).step_by(2) {
        clerk.tell(Write { number }).await.unwrap();
    }
    let many = (200..400).step_by(2).map(|number| clerk.ask(Write { number }));
    let answers = futures_util::future::join_all(many).await;
    assert!(answers.iter().all(Result::is_ok));
    let (written, _) = clerk.ask(Show {}).await.unwrap();
    let expected: Vec<u64> = [2, 3].into_iter().chain((10..400).step_by(2)).collect();
    assert_eq!(written, expected);
}

#[tokio::test(start_paused = true)]
async fn a_question_in_json_is_passed_on_as_any_other() {
    let house = house().await;
    let clerk = house.node().to(address("desk/clerk"));
    let content = Json(serde_json::json!({ "number": 4 }));
    let answer = clerk.ask_json("scribe.write", &content, PATIENCE).await.unwrap();
    assert_eq!(answer, Json(serde_json::json!(4)));
}

#[tokio::test(start_paused = true)]
async fn a_stream_comes_through_with_its_end() {
    let house = house().await;
    let clerk = house.node().to(address("desk/clerk"));
    let mut answers = clerk.stream(Count { to: 100 }).await.unwrap();
    let mut counted = Vec::new();
    while let Some(number) = answers.next().await {
        counted.push(number);
    }
    assert_eq!(counted, (0..100).collect::<Vec<_>>());
    assert_eq!(answers.finish().await, Ok(99));
    let answers = clerk.stream(Count { to: 0 }).await.unwrap();
    let refused = AskError::Refused("there is no number".to_owned());
    assert_eq!(answers.finish().await, Err(refused));
}

#[tokio::test(start_paused = true)]
async fn the_deadline_is_passed_on_and_an_asker_that_goes_calls_it_off() {
    let house = house().await;
    let clerk = house.node().to(address("desk/clerk"));
    let due = clerk.ask_within(Ponder { seconds: 2 }, Duration::from_secs(30)).await.unwrap();
    assert!(matches!(due, Some(29 | 30)), "{due:?}");
    let late = clerk.ask_within(Ponder { seconds: 1_000 }, Duration::from_secs(3)).await;
    assert!(matches!(late.unwrap_err().fault(), Some(Fault::Timeout { .. })));
    let mut answers = clerk.stream(Count { to: 1_000 }).await.unwrap();
    answers.next().await.unwrap();
    drop(answers);
    let looking = async {
        while clerk.ask(Show {}).await.unwrap().1 < 2 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_fault_is_told_of_who_was_asked_with_its_cause() {
    let house = house().await;
    let fault = |who: &str| {
        let mail = house.node().to(address(who));
        async move { mail.ask(Panic {}).await.unwrap_err().fault().unwrap().clone() }
    };
    let Fault::Down { to, cause } = fault("desk/clerk").await else { panic!("no such fault") };
    assert_eq!(to.to_string(), "desk/clerk");
    assert!(cause.message.contains("it was told to"), "{cause}");
    let Fault::NotFound { to, .. } = fault("desk/lost").await else { panic!("no such fault") };
    assert_eq!(to.to_string(), "desk/lost");
}

#[tokio::test(start_paused = true)]
async fn what_is_passed_on_comes_from_who_has_sent_it() {
    let house = house().await;
    let asked = AskForSender { whom: address("desk/clerk") };
    let sender = house.node().to(address("desk/novice")).ask(asked).await.unwrap();
    assert_eq!(sender, Some(address("desk/novice")));
    let nobody = house.node().to(address("desk/clerk")).ask(TellSender {}).await.unwrap();
    assert_eq!(nobody, None);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_told_on_is_one_dead_letter_of_who_was_asked() {
    let house = house().await;
    house.node().to(address("desk/lost")).tell(Write { number: 2 }).await.unwrap();
    let (_, letter) = house.node().dead_letters().next_after(0).await;
    assert_eq!((letter.to.to_string().as_str(), &*letter.message), ("desk/lost", "scribe.write"));
    assert!(matches!(&letter.fault, Fault::NotFound { to, .. } if *to == letter.to));
    assert_eq!(house.node().dead_letters().total(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_asks_one_that_ends_with_another_learns_why_it_ended() {
    let house = house().await;
    let cut_off = house.node().to(address("desk/cut-off")).ask(Show {}).await.unwrap_err();
    let Some(Fault::Unreachable { to, .. }) = cut_off.fault() else { panic!("{cut_off}") };
    assert_eq!(to.to_string(), "desk/cut-off");
    let bound = house.node().to(address("desk/bound"));
    let stream = bound.stream(Count { to: 3 }).await.unwrap();
    let asked = tokio::spawn(async move { bound.ask(Show {}).await });
    let handled = || house.member("desk/bound").unwrap().counters.unwrap().handled;
    while handled() < 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    house.kill("desk/bound", "its process was ended by signal 9").await.unwrap();
    let lost = asked.await.unwrap().unwrap_err().to_string();
    let broken_off = stream.finish().await.unwrap_err().to_string();
    for error in [lost, broken_off] {
        assert!(error.contains("signal 9"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_lasts_owes_no_answer_and_all_come_back_when_it_has_ended() {
    let house = house().await;
    let passing = house.node().to(address("desk/passing"));
    let stream = passing.stream(Count { to: 3 }).await.unwrap();
    let asking = {
        let passing = passing.clone();
        tokio::spawn(async move { passing.ask_within(Ponder { seconds: 3 }, PATIENCE).await })
    };
    let counters = || house.member("desk/passing").unwrap().counters.unwrap();
    while counters().handled < 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(counters().owed, 0);
    house.stop("desk/passing").await.unwrap();
    let ended = passing.ask(Show {}).await.unwrap_err();
    assert!(matches!(ended.fault(), Some(Fault::Down { .. })), "{ended}");
    assert!(asking.await.unwrap().unwrap().is_some());
    assert_eq!(stream.finish().await, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn an_asker_that_goes_calls_off_what_one_has_passed_on_that_has_ended() {
    let house = house().await;
    let passing = house.node().to(address("desk/passing"));
    let asking = {
        let passing = passing.clone();
        tokio::spawn(async move { passing.ask_within(Ponder { seconds: 1_000 }, PATIENCE).await })
    };
    let handled = || house.member("desk/passing").unwrap().counters.unwrap().handled;
    while handled() < 1 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    house.stop("desk/passing").await.unwrap();
    asking.abort();
    let scribe = house.node().to(address("desk/scribe"));
    let looking = async {
        while scribe.ask(Show {}).await.unwrap().1 < 1 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(PATIENCE / 2, looking).await.unwrap();
}
