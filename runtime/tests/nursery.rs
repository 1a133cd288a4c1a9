//! Agents that sleep while nobody talks to them, on the paused clock.

#![allow(clippy::unwrap_used)]

#[path = "nursery/held.rs"]
mod held;
#[path = "nursery/keeping.rs"]
mod keeping;
#[path = "nursery/parting.rs"]
mod parting;
#[path = "nursery/setting.rs"]
mod setting;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use genii_protocols::{Address, AskError, CauseKind, Fault, Json, Name, Never, NodeName, message};
use genii_runtime::nursery::Mood;
use genii_runtime::topology::Topology;
use genii_runtime::{
    Agent, Catalogue, Context, Handle, HandleLater, HandleStream, House, Node, NodeOptions,
    Nursery, NurserySettings, Outlet, Promise, Protocol, Relay, Relays, Tenancy,
};
use genii_supervision::{Backoff, ChildPolicy, GiveUp, Restart, StartError, Status};
use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;

/// How long a resident rests here before it sleeps.
const IDLE: Duration = Duration::from_secs(60);

/// How long one that is to be kept asleep may go on here.
const FINISH: Duration = Duration::from_secs(30);

/// Keep a number.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct Keep {
    number: u64,
}
message!(Keep = "dreamer.keep" -> u64);

/// Say which life of yours this is, and what you have kept in it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct Tell {}
message!(Tell = "dreamer.tell" -> (u64, Vec<u64>));

/// Answer after so many seconds.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct Ponder {
    seconds: u64,
}
message!(Ponder = "dreamer.ponder" -> ());

/// Answer later, and go on meanwhile.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct Promised {
    seconds: u64,
}
message!(Promised = "dreamer.promised" -> ());

/// Answer when you are called off, with the reason.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct Brood {}
message!(Brood = "dreamer.brood" -> String);

/// Count, one number a second.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct Count {
    to: u64,
}
message!(Count = "dreamer.count" -> (), streams u64);

/// Rest so many seconds, then work so many, while nobody waits for it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct Labour {
    after: u64,
    seconds: u64,
}
message!(Labour = "dreamer.labour" -> ());

/// Panic.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct Panic {}
message!(Panic = "dreamer.panic" -> ());

struct Dreamer {
    life: u64,
    kept: Vec<u64>,
    stops_for: u64,
    brooding: Vec<Promise<Brood>>,
}

#[derive(Deserialize)]
struct DreamerSettings {
    #[serde(default)]
    is_broken: bool,
    #[serde(default)]
    starts_for: u64,
    #[serde(default)]
    stops_for: u64,
    #[serde(default)]
    needs_room: bool,
}

/// Whether those find room that need it.
static HAS_ROOM: AtomicBool = AtomicBool::new(false);

impl Agent for Dreamer {
    type Settings = DreamerSettings;

    fn protocol() -> Protocol<Self> {
        Protocol::new()
            .on::<Keep>()
            .on::<Tell>()
            .on::<Ponder>()
            .on::<Labour>()
            .on::<Panic>()
            .on_later::<Promised>()
            .on_later::<Brood>()
            .on_stream::<Count>()
    }

    async fn start(settings: DreamerSettings, context: &mut Context) -> Result<Self, StartError> {
        tokio::time::sleep(Duration::from_secs(settings.starts_for)).await;
        if settings.needs_room && !HAS_ROOM.load(Ordering::SeqCst) {
            return Err(StartError::failed("the disk is full"));
        }
        match settings.is_broken {
            true => Err(StartError::refused("its store is damaged")),
            false => Ok(Self {
                life: context.incarnation(),
                kept: Vec::new(),
                stops_for: settings.stops_for,
                brooding: Vec::new(),
            }),
        }
    }

    async fn stop(&mut self, context: &mut Context) {
        if let Some(why) = context.called_off() {
            self.brooding.drain(..).for_each(|promise| promise.answer(why.to_owned()));
        }
        tokio::time::sleep(Duration::from_secs(self.stops_for)).await;
    }
}

impl Handle<Keep> for Dreamer {
    async fn handle(&mut self, keep: Keep, _: &mut Context) -> Result<u64, Never> {
        self.kept.push(keep.number);
        Ok(keep.number)
    }
}

impl Handle<Tell> for Dreamer {
    async fn handle(&mut self, _: Tell, _: &mut Context) -> Result<(u64, Vec<u64>), Never> {
        Ok((self.life, self.kept.clone()))
    }
}

impl Handle<Ponder> for Dreamer {
    async fn handle(&mut self, ponder: Ponder, _: &mut Context) -> Result<(), Never> {
        tokio::time::sleep(Duration::from_secs(ponder.seconds)).await;
        Ok(())
    }
}

impl Handle<Labour> for Dreamer {
    async fn handle(&mut self, labour: Labour, context: &mut Context) -> Result<(), Never> {
        let worker = context.worker();
        context.spawn(async move {
            tokio::time::sleep(Duration::from_secs(labour.after)).await;
            let _at_work = worker.begin();
            tokio::time::sleep(Duration::from_secs(labour.seconds)).await;
        });
        Ok(())
    }
}

impl Handle<Panic> for Dreamer {
    async fn handle(&mut self, _: Panic, _: &mut Context) -> Result<(), Never> {
        panic!("it was told to")
    }
}

impl HandleLater<Promised> for Dreamer {
    async fn handle_later(&mut self, ask: Promised, promise: Promise<Promised>, at: &mut Context) {
        at.spawn(async move {
            tokio::time::sleep(Duration::from_secs(ask.seconds)).await;
            promise.answer(());
        });
    }
}

impl HandleLater<Brood> for Dreamer {
    async fn handle_later(&mut self, _: Brood, promise: Promise<Brood>, _: &mut Context) {
        self.brooding.push(promise);
    }
}

impl HandleStream<Count> for Dreamer {
    async fn handle_stream(&mut self, ask: Count, mut outlet: Outlet<Count>, at: &mut Context) {
        at.spawn(async move {
            for number in 0..ask.to {
                tokio::time::sleep(Duration::from_secs(1)).await;
                if outlet.send(number).await.is_err() {
                    return;
                }
            }
            outlet.finish(Ok(())).await;
        });
    }
}

/// Passes on what is said to it to `dream/home`.
struct Elsewhere(Relay);

impl Agent for Elsewhere {
    type Settings = DreamerSettings;

    fn protocol() -> Protocol<Self> {
        Protocol::new().pass::<Keep>().pass::<Tell>()
    }

    async fn start(_: DreamerSettings, context: &mut Context) -> Result<Self, StartError> {
        let home = Address::parse("dream/home").map_err(|error| StartError::of(&error))?;
        Ok(Self(Relay::new(context.node().to(home))))
    }
}

impl Relays for Elsewhere {
    fn relay(&self) -> &Relay {
        &self.0
    }
}

struct World {
    node: Node,
    house: House,
    nursery: Nursery,
}

/// A house with a nursery in which so many may be awake. Residents whose names begin with `broken` cannot
/// start, those that begin with `poor` not without room; those that begin with `elsewhere` are relays; some
/// [take long](takes).
async fn world(awake_max: usize) -> World {
    world_with(settings(awake_max)).await
}

async fn world_with(settings: NurserySettings) -> World {
    let node = Node::new(NodeOptions::new(NodeName::new("main").unwrap()));
    let catalogue = Catalogue::new().with::<Dreamer>("dreamer").with::<Elsewhere>("elsewhere");
    let house = House::begin(node.clone(), catalogue, Topology::default()).await.unwrap();
    house.up().await.unwrap();
    let nursery = house.nursery(settings).await.unwrap();
    World { node, house, nursery }
}

/// How many seconds one takes to start and to stop, by how its name begins.
fn takes(name: &str) -> (u64, u64) {
    match name.split('-').next() {
        Some("slow") => (3, 0),
        Some("endless") => (1_000, 0),
        Some("lingering") => (0, 3),
        Some("staying") => (0, 200),
        _ => (0, 0),
    }
}

fn settings(awake_max: usize) -> NurserySettings {
    let backoff = Backoff { first: Duration::from_secs(1), jitter: 0.0, ..Backoff::default() };
    NurserySettings {
        group: Name::new("dream").unwrap(),
        kind: "dreamer".to_owned(),
        tenancy: Arc::new(|address| Tenancy {
            kind: match address.name().starts_with("elsewhere") {
                true => "elsewhere".to_owned(),
                false => "dreamer".to_owned(),
            },
            settings: Json(serde_json::json!({
                "is_broken": address.name().starts_with("broken"),
                "needs_room": address.name().starts_with("poor"),
                "starts_for": takes(address.name()).0,
                "stops_for": takes(address.name()).1,
            })),
        }),
        awake_max,
        idle_after: IDLE,
        finish_within: FINISH,
        mailbox_capacity: 100,
        policy: Arc::new(ChildPolicy {
            restart: Restart::Transient,
            required: false,
            backoff: Some(backoff),
            give_up: GiveUp::Quarantine,
            ..ChildPolicy::default()
        }),
    }
}

impl World {
    fn admit(&self, name: &str) -> Address {
        self.nursery.admit(&Name::new(name).unwrap())
    }

    async fn tell(&self, who: &Address) -> (u64, Vec<u64>) {
        self.node.to(who.clone()).ask_within(Tell {}, Duration::from_secs(30)).await.unwrap()
    }

    /// Somebody asks one to ponder, and waits for it.
    fn pondered(&self, who: &Address, seconds: u64) -> JoinHandle<Result<(), AskError<Never>>> {
        let mail = self.node.to(who.clone());
        let patience = Duration::from_secs(seconds) + IDLE;
        tokio::spawn(async move { mail.ask_within(Ponder { seconds }, patience).await })
    }

    /// Waits until one is in a mood, for an hour at most.
    async fn comes_to(&self, who: &Address, mood: Mood) {
        let looking = async {
            while self.nursery.mood(who) != Some(mood) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(3_600), looking).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_message_wakes_one_that_sleeps() {
    let world = world(4).await;
    let alice = world.admit("alice");
    assert_eq!(world.nursery.mood(&alice), Some(Mood::Asleep));
    assert!(world.node.counters(&alice).is_none(), "one that sleeps has no slot");
    world.node.to(alice.clone()).tell(Keep { number: 7 }).await.unwrap();
    assert_eq!(world.tell(&alice).await.1, [7]);
    assert_eq!(world.nursery.mood(&alice), Some(Mood::Awake));
}

#[tokio::test(start_paused = true)]
async fn what_comes_while_one_wakes_is_handled_in_order() {
    let world = world(4).await;
    let slow = world.admit("slow-alice");
    let mail = world.node.to(slow.clone());
    for number in 0..50 {
        mail.tell(Keep { number }).await.unwrap();
    }
    assert_eq!(world.tell(&slow).await.1, (0..50).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn nobody_is_woken_who_is_no_resident() {
    let world = world(4).await;
    world.admit("alice");
    let stranger = Address::parse("dream/alicf").unwrap();
    let answer = world.node.to(stranger).ask(Tell {}).await;
    assert!(
        matches!(answer, Err(AskError::Fault(fault)) if matches!(*fault, Fault::NotFound { .. }))
    );
}

#[tokio::test(start_paused = true)]
async fn one_too_many_to_be_woken_is_told_so() {
    const WOKEN: usize = 1 + 4_096;
    let world = world(1).await;
    let busy = world.admit("busy");
    let mail = world.node.to(busy.clone());
    let work = tokio::spawn(async move { mail.ask_within(Ponder { seconds: 1 }, IDLE).await });
    world.comes_to(&busy, Mood::Awake).await;
    for number in 1..WOKEN {
        let late = world.admit(&format!("n{number}"));
        world.node.to(late).try_tell(Keep { number: 1 }).unwrap();
    }
    let fault = world.node.to(world.admit("late")).try_tell(Keep { number: 1 }).unwrap_err();
    let Fault::Down { cause, .. } = *fault else { panic!("{fault}") };
    assert!(cause.message.contains("are being woken already"), "{cause}");
    work.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn one_that_rests_long_enough_leaves_nothing_behind() {
    let world = world(4).await;
    let alice = world.admit("alice");
    let mail = world.node.to(alice.clone());
    mail.tell(Keep { number: 1 }).await.unwrap();
    let (first, _) = world.tell(&alice).await;
    world.comes_to(&alice, Mood::Asleep).await;
    assert!(world.node.counters(&alice).is_none(), "its slot has gone");
    let places = world.house.members();
    assert!(places.iter().all(|it| it.view.key.as_str() != alice.as_str()), "nor has it a place");
    let member = world.house.member(alice.as_str()).unwrap();
    assert!(member.view.status.detail().unwrap().contains("it sleeps"), "and that is told");
    assert_eq!(world.nursery.awake(), 0);
    // Who has kept the way finds the next life.
    mail.tell(Keep { number: 2 }).await.unwrap();
    let (second, kept) = world.tell(&alice).await;
    assert!(second != first && kept == [2], "{first} {second} {kept:?}");
}

#[tokio::test(start_paused = true)]
async fn the_journal_says_that_one_wakes_and_that_it_went_to_sleep() {
    let world = world(4).await;
    let alice = world.admit("alice");
    for _ in 0..2 {
        world.tell(&alice).await;
        world.comes_to(&alice, Mood::Asleep).await;
    }
    let told = world.node.tree().journal.tail(100, |event| event.key.as_str() == alice.as_str());
    // It is asked to stop, or has ended by itself before.
    let is_of_the_end = |word: &&str| matches!(*word, "stopping" | "stopped" | "ended");
    let words = told.iter().map(|event| event.what.word());
    let words: Vec<_> = words.filter(|word| !is_of_the_end(word)).collect();
    let life = ["waking", "ready", "asleep"];
    assert_eq!(words, [life, life].concat());
    assert_eq!(told[told.len() - 1].what.to_string(), "went to sleep");
}

#[tokio::test(start_paused = true)]
async fn the_one_that_has_rested_longest_makes_room() {
    let world = world(2).await;
    let [a, b, c] = ["a", "b", "c"].map(|name| world.admit(name));
    for who in [&a, &b, &a] {
        world.tell(who).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    world.tell(&c).await;
    assert_eq!(world.nursery.mood(&b), Some(Mood::Asleep));
    assert_eq!(world.nursery.mood(&a), Some(Mood::Awake));
    assert_eq!(world.nursery.awake(), 2);
}

#[tokio::test(start_paused = true)]
async fn one_that_took_long_to_answer_rests_since_it_answered() {
    let world = world(2).await;
    let [slow, quick, third] = ["slow", "quick", "third"].map(|name| world.admit(name));
    let (node, asked) = (world.node.clone(), slow.clone());
    let answer = tokio::spawn(async move {
        node.to(asked).ask_within(Promised { seconds: 20 }, Duration::from_secs(60)).await
    });
    tokio::time::sleep(Duration::from_secs(10)).await;
    world.tell(&quick).await;
    answer.await.unwrap().unwrap();
    world.tell(&third).await;
    assert_eq!(world.nursery.mood(&quick), Some(Mood::Asleep));
    assert_eq!(world.nursery.mood(&slow), Some(Mood::Awake));
}

#[tokio::test(start_paused = true)]
async fn one_that_has_something_to_do_is_not_put_to_sleep() {
    let world = world(1).await;
    let [busy, other] = ["busy", "other"].map(|name| world.admit(name));
    let node = world.node.clone();
    for owed in ["handler", "promise", "stream"] {
        let mail = node.to(busy.clone());
        let work = tokio::spawn(async move {
            let patience = Duration::from_secs(200);
            match owed {
                "handler" => mail.ask_within(Ponder { seconds: 90 }, patience).await.unwrap(),
                "promise" => mail.ask_within(Promised { seconds: 90 }, patience).await.unwrap(),
                _ => mail.stream(Count { to: 90 }).await.unwrap().finish().await.unwrap(),
            }
        });
        world.comes_to(&busy, Mood::Awake).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let began = tokio::time::Instant::now();
        let patience = Duration::from_secs(200);
        node.to(other.clone()).ask_within(Tell {}, patience).await.unwrap();
        assert!(began.elapsed() >= Duration::from_secs(88), "{owed}: {:?}", began.elapsed());
        work.await.unwrap();
        world.comes_to(&other, Mood::Asleep).await;
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_works_by_itself_is_not_put_to_sleep_and_rests_on_then() {
    let world = world(1).await;
    let [busy, other] = ["busy", "other"].map(|name| world.admit(name));
    let labour = Labour { after: 30, seconds: 300 };
    world.node.to(busy.clone()).ask(labour).await.unwrap();
    let began = tokio::time::Instant::now();
    world.comes_to(&busy, Mood::Asleep).await;
    // It had rested 30 seconds before, and rests as many once more, and until it is looked at.
    let took = began.elapsed().as_secs();
    assert!((358..=375).contains(&took), "{took}");

    // Nor is it sent off when its place is wanted.
    let labour = Labour { after: 0, seconds: 90 };
    world.node.to(busy.clone()).ask(labour).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (began, patience) = (tokio::time::Instant::now(), Duration::from_secs(200));
    world.node.to(other.clone()).ask_within(Tell {}, patience).await.unwrap();
    assert!(began.elapsed() >= Duration::from_secs(88), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn many_take_turns_and_nothing_is_lost() {
    let world = world(3).await;
    let all: Vec<Address> = (0..40).map(|number| world.admit(&format!("n{number}"))).collect();
    let kept: Arc<Mutex<u64>> = Arc::default();
    let mut askers = Vec::new();
    for asker in 0..8_u64 {
        let (node, all, kept) = (world.node.clone(), all.clone(), kept.clone());
        askers.push(tokio::spawn(async move {
            let mut dice = fastrand::Rng::with_seed(asker);
            for number in 0..100 {
                let who = all[dice.usize(..all.len())].clone();
                let answer =
                    node.to(who).ask_within(Keep { number }, Duration::from_secs(60)).await;
                assert_eq!(answer.unwrap(), number);
                *kept.lock() += 1;
            }
        }));
    }
    for asker in askers {
        asker.await.unwrap();
    }
    assert_eq!(*kept.lock(), 800);
    assert!(world.nursery.awake() <= 3);
    assert_eq!(world.node.dead_letters().total(), 0);
}

#[tokio::test(start_paused = true)]
async fn one_that_cannot_start_says_why_and_takes_no_place() {
    let world = world(1).await;
    let [broken, well] = ["broken", "well"].map(|name| world.admit(name));
    let answer = world.node.to(broken.clone()).ask(Tell {}).await;
    let Err(AskError::Fault(fault)) = answer else { panic!("{answer:?}") };
    assert!(fault.to_string().contains("its store is damaged"), "{fault}");
    world.tell(&well).await;
    let answer = world.node.to(broken.clone()).ask(Tell {}).await;
    let Err(AskError::Fault(fault)) = answer else { panic!("{answer:?}") };
    let Fault::Down { cause, .. } = &*fault else { panic!("{fault}") };
    assert_eq!(cause.kind, CauseKind::Quarantined);
    let why = format!("{:?}", world.house.why(broken.as_str()).unwrap());
    assert!(why.contains("its store is damaged"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn one_that_could_not_start_is_held_back_with_the_reason_until_it_is_spoken_to() {
    let world = world(1).await;
    let poor = world.admit("poor");
    world.node.to(poor.clone()).ask(Tell {}).await.unwrap_err();
    let is_held = || {
        let status = world.house.member(poor.as_str()).unwrap().view.status;
        matches!(status, Status::Quarantined(why) if why.to_string().contains("the disk is full"))
    };
    let held = async {
        while !is_held() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(3_600), held).await.unwrap();
    // That nobody speaks to it makes nothing better, and nor does speaking to it.
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    assert!(is_held());
    let answer = world.node.to(poor.clone()).ask(Tell {}).await;
    let Err(AskError::Fault(fault)) = answer else { panic!("{answer:?}") };
    assert!(fault.to_string().contains("the disk is full"), "{fault}");
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    assert!(is_held());
    HAS_ROOM.store(true, Ordering::SeqCst);
    world.tell(&poor).await;
    assert_eq!(world.nursery.mood(&poor), Some(Mood::Awake));
}

#[tokio::test(start_paused = true)]
async fn a_crash_is_told_and_does_not_end_it_for_good() {
    let world = world(2).await;
    let alice = world.admit("alice");
    // Its mailbox was its doorstep before, and the cause is told all the same.
    let answer = world.node.to(alice.clone()).ask(Panic {}).await;
    let Err(AskError::Fault(fault)) = answer else { panic!("{answer:?}") };
    assert!(fault.to_string().contains("it was told to"), "{fault}");
    tokio::time::sleep(Duration::from_secs(2)).await;
    world.tell(&alice).await;
    world.comes_to(&alice, Mood::Asleep).await;
    assert_eq!(world.nursery.awake(), 0);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_stopped_wakes_at_its_next_message() {
    let world = world(2).await;
    let alice = world.admit("alice");
    world.tell(&alice).await;
    world.house.stop(alice.as_str()).await.unwrap();
    world.tell(&alice).await;
    world.house.kill("dream", "to see what follows").await.unwrap();
    let looking = async {
        while world.node.to(alice.clone()).ask(Tell {}).await.is_err() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), looking).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn one_that_is_stopped_while_it_starts_wakes_at_its_next_message() {
    let world = world(2).await;
    let slow = world.admit("slow-alice");
    world.node.to(slow.clone()).tell(Keep { number: 1 }).await.unwrap();
    world.comes_to(&slow, Mood::Awake).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.house.stop(slow.as_str()).await.unwrap();
    assert_eq!(world.node.dead_letters().total(), 1, "what waited for that life is told of");
    world.comes_to(&slow, Mood::Asleep).await;
    assert!(world.tell(&slow).await.1.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_comes_for_one_that_is_kept_asleep_waits() {
    let world = world(2).await;
    let alice = world.admit("alice");
    let mail = world.node.to(alice.clone());
    let working = {
        let mail = mail.clone();
        tokio::spawn(async move { mail.ask_within(Ponder { seconds: 3 }, IDLE).await })
    };
    world.comes_to(&alice, Mood::Awake).await;
    mail.tell(Keep { number: 1 }).await.unwrap();
    let kept = world.nursery.keep_asleep(&alice).await.unwrap();
    working.await.unwrap().expect("what was begun is done first");
    assert!(world.nursery.keep_asleep(&alice).await.is_none(), "it is kept already");
    assert_eq!(world.nursery.awake(), 0);
    mail.tell(Keep { number: 2 }).await.unwrap();
    tokio::time::sleep(IDLE * 2).await;
    assert_eq!(world.nursery.mood(&alice), Some(Mood::Dozing));
    drop(kept);
    assert_eq!(world.tell(&alice).await.1, [2]);
    assert_eq!(world.node.dead_letters().total(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_one_that_starts_is_handled_before_it_is_kept_asleep() {
    let world = world(2).await;
    let slow = world.admit("slow-alice");
    let mail = world.node.to(slow.clone());
    let asked = {
        let mail = mail.clone();
        tokio::spawn(async move { mail.ask_within(Keep { number: 1 }, IDLE).await })
    };
    world.comes_to(&slow, Mood::Awake).await;
    let kept = world.nursery.keep_asleep(&slow).await.unwrap();
    assert_eq!(asked.await.unwrap().unwrap(), 1);
    mail.tell(Keep { number: 2 }).await.unwrap();
    drop(kept);
    assert_eq!(world.tell(&slow).await.1, [2]);
    assert_eq!(world.node.dead_letters().total(), 0);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_kept_asleep_before_it_woke_never_wakes() {
    let world = world(1).await;
    let [busy, late] = ["busy", "late"].map(|name| world.admit(name));
    let mail = world.node.to(busy.clone());
    let work = tokio::spawn(async move { mail.ask_within(Ponder { seconds: 20 }, IDLE).await });
    world.comes_to(&busy, Mood::Awake).await;
    world.node.to(late.clone()).tell(Keep { number: 1 }).await.unwrap();
    assert_eq!(world.nursery.mood(&late), Some(Mood::Waking));
    let kept = world.nursery.keep_asleep(&late).await.unwrap();
    kept.dismiss();
    assert!(!world.nursery.has(&late));
    assert_eq!(world.node.dead_letters().total(), 1, "what waited for it is told of");
    assert!(world.node.to(late).ask(Tell {}).await.is_err());
    work.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_house_ends_with_those_that_are_awake() {
    let world = world(2).await;
    let alice = world.admit("alice");
    world.tell(&alice).await;
    world.house.shutdown().await;
    assert!(world.node.to(alice).ask(Tell {}).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn one_may_live_as_another_kind_and_what_waited_for_it_is_passed_on_in_order() {
    let world = world(4).await;
    let (home, gone) = (world.admit("home"), world.admit("elsewhere"));
    let mail = world.node.to(gone.clone());
    for number in 0..50 {
        mail.tell(Keep { number }).await.unwrap();
    }
    assert_eq!(world.tell(&gone).await.1, (0..50).collect::<Vec<_>>());
    assert_eq!(world.tell(&home).await.1, (0..50).collect::<Vec<_>>());
    let unknown = world.node.to(gone).ask(Panic {}).await;
    assert!(
        matches!(unknown, Err(AskError::Fault(fault)) if matches!(*fault, Fault::Rejected { .. }))
    );
}
