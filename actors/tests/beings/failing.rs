//! What becomes of what was said when its provider fails: each failure is told as what it is, and what was
//! said is remembered, marked so.

use std::time::Duration;

use genii_protocols::being::{
    Converse, NotAnswered, ProviderFault, Query, SetCore, SetProvider, ShowBeing, ShowHistory,
    Turn, UpdateCharacter,
};
use genii_protocols::beings::{BeingState, IsolateBeing, Isolation};
use genii_protocols::budget::Spent;
use genii_protocols::{AskError, Fault, Json, Message, Rejection};
use tokio::sync::watch;

use crate::server::{
    Script, Server, Step, answer, begins, done, error, finish, page, stream, usage, words,
};
use crate::world::{PATIENCE, World, being, name};

const SAID: &str = "The kettle is on the stove.";

async fn ask_of(world: &World, server: &Server, settings: Json) {
    let Json(mut settings) = settings;
    settings["kind"] = "openai".into();
    settings["model"] = "m".into();
    settings["base_url"] = server.base_url().into();
    world.ask(&being("alice"), SetProvider { settings: Json(settings) }).await;
}

async fn last_turn(world: &World) -> Option<Turn> {
    world.ask(&being("alice"), ShowHistory::default()).await.turns.into_iter().next()
}

/// Waits until the last turn says that nobody listened to its end.
async fn until_called_off(world: &World) -> Turn {
    world
        .until(async |world| {
            let why = last_turn(world).await.and_then(|turn| turn.failure).unwrap_or_default();
            why.contains("whoever asked stopped listening")
        })
        .await;
    last_turn(world).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_failure_of_a_provider_is_told_and_what_was_said_is_kept() {
    let world = World::new().await;
    world.create("Alice").await;
    let words_then = |step: Step| -> Script {
        let mut script = begins();
        script.extend([words("It sings"), step]);
        script
    };
    let cases = [
        (error(401, "", "{}"), ProviderFault::Unauthorized, None),
        (error(429, "", "{}"), ProviderFault::Limited, None),
        (error(500, "", "{}"), ProviderFault::Failed, None),
        (error(400, "", "{}"), ProviderFault::Refused, None),
        (page("text/html", "<p>hello</p>"), ProviderFault::Garbage, None),
        (vec![Step::Hang], ProviderFault::Silent, None),
        (words_then(Step::Close), ProviderFault::BrokenOff, Some("It sings")),
        (words_then(Step::Hang), ProviderFault::Silent, Some("It sings")),
    ];
    for (script, expected, answer) in cases {
        let server = Server::start(vec![script]).await;
        let settings = serde_json::json!({
            "retries_max": 0, "first_token_timeout": "1s", "token_timeout": "1s",
        });
        ask_of(&world, &server, Json(settings)).await;
        let query = Query { said: SAID.to_owned(), speaker: None, path: Vec::new() };
        let refused = world.refused(&being("alice"), query).await;
        let NotAnswered::Provider { kind, turn, why } = refused else { panic!("{refused:?}") };
        assert_eq!(kind, expected, "{why}");
        let last = last_turn(&world).await.unwrap();
        assert_eq!((last.id, last.said.as_str()), (turn, SAID));
        assert_eq!(last.answer.as_deref(), answer, "{why}");
        assert_eq!(last.failure.as_deref(), Some(why.as_str()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_goes_away_calls_the_answer_off_and_the_turn_says_so() {
    let world = World::new().await;
    world.create("Alice").await;
    let mut script = begins();
    script.extend([words("It sings"), Step::Hang]);
    let server = Server::start(vec![script]).await;
    ask_of(&world, &server, Json(serde_json::json!({}))).await;
    let talk = Converse { said: SAID.to_owned(), speaker: None, path: Vec::new() };
    let mut answers = world.node.to(being("alice")).stream(talk).await.unwrap();
    assert_eq!(answers.next().await.as_deref(), Some("It sings"));
    drop(answers);
    server.was_left_by(1).await;
    let last = until_called_off(&world).await;
    assert_eq!((last.said.as_str(), last.answer.as_deref()), (SAID, Some("It sings")));
    // It was asked all the same.
    let spent = world.ask(&being("alice"), ShowBeing {}).await.budget.in_all;
    assert!(spent.requests == 1 && spent.tokens > 0, "{spent:?}");
    // And it is there for the next.
    tokio::time::timeout(Duration::from_secs(60), world.remember("alice", "tea")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_waits_for_the_whole_and_goes_away_calls_it_off_too() {
    let world = World::new().await;
    world.create("Alice").await;
    let server = Server::start(vec![vec![Step::Hang]]).await;
    ask_of(&world, &server, Json(serde_json::json!({}))).await;
    let alice = world.node.to(being("alice"));
    let query = Query { said: SAID.to_owned(), speaker: None, path: Vec::new() };
    tokio::select! {
        answered = alice.ask_within(query, PATIENCE) => panic!("{answered:?}"),
        () = world.until(async |_| !server.seen().is_empty()) => {}
    }
    tokio::time::timeout(PATIENCE, server.was_left_by(1)).await.expect("the connection is kept");
    let last = until_called_off(&world).await;
    assert_eq!((last.said.as_str(), last.answer.as_deref()), (SAID, None));
    // Whoever does not wait for the first word pays for it too.
    let spent = world.ask(&being("alice"), ShowBeing {}).await.budget.in_all;
    assert!(spent.requests == 1 && spent.tokens > 0, "{spent:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_not_whole_in_time_when_its_being_is_started_anew_is_interrupted() {
    let world = World::new().await;
    world.create("Alice").await;
    let mut script = begins();
    script.extend([words("It sings"), Step::Hang]);
    let server = Server::start(vec![script]).await;
    ask_of(&world, &server, Json(serde_json::json!({}))).await;
    let talk = Converse { said: SAID.to_owned(), speaker: None, path: Vec::new() };
    let mut answers = world.node.to(being("alice")).stream(talk).await.unwrap();
    assert_eq!(answers.next().await.as_deref(), Some("It sings"));
    world.house.restart("being/alice").await.unwrap();
    let ended = answers.finish().await;
    let Err(AskError::Refused(NotAnswered::Interrupted { why, turn: Some(turn) })) = ended else {
        panic!("{ended:?}")
    };
    let last = last_turn(&world).await.unwrap();
    assert_eq!((last.id, last.said.as_str()), (turn, SAID));
    assert_eq!(last.answer.as_deref(), Some("It sings"));
    assert_eq!(last.failure, Some(format!("it was interrupted: {why}")));
    tokio::time::timeout(PATIENCE, server.was_left_by(1)).await.expect("the connection is kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_goes_away_before_their_turn_comes_asks_nothing() {
    let world = World::new().await;
    world.create("Alice").await;
    let mut held = begins();
    held.extend([words("It sings"), Step::Hang]);
    let server = Server::start(vec![held, answer(&["It boils."])]).await;
    ask_of(&world, &server, Json(serde_json::json!({}))).await;
    let alice = world.node.to(being("alice"));
    let talk = Converse { said: SAID.to_owned(), speaker: None, path: Vec::new() };
    let mut first = alice.stream(talk).await.unwrap();
    assert_eq!(first.next().await.as_deref(), Some("It sings"));
    let asking = alice.clone();
    let second = tokio::spawn(async move {
        let query = Query { said: "Is it hot?".to_owned(), speaker: None, path: Vec::new() };
        asking.ask_within(query, PATIENCE).await
    });
    let talks = async |world: &World| {
        let Json(snapshot) = world.node.snapshot(&being("alice"), PATIENCE).await.unwrap();
        snapshot["talks"].as_u64()
    };
    world.until(async |world| talks(world).await == Some(2)).await;
    second.abort();
    assert!(second.await.is_err(), "it was answered");
    drop(first);
    world.until(async |world| talks(world).await == Some(0)).await;
    let last = until_called_off(&world).await;
    assert_eq!((last.said.as_str(), last.answer.as_deref()), ("Is it hot?", None));
    let spent = world.ask(&being("alice"), ShowBeing {}).await.budget.in_all;
    assert_eq!((server.seen().len(), spent.requests), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thinking_that_comes_to_no_word_counts_against_the_budget() {
    let world = World::new().await;
    world.create("Alice").await;
    let thought = stream(vec![finish("length"), usage(50, 30), done()]);
    let server = Server::start(vec![thought]).await;
    ask_of(&world, &server, Json(serde_json::json!({}))).await;
    let query = Query { said: SAID.to_owned(), speaker: None, path: Vec::new() };
    let refused = world.refused(&being("alice"), query).await;
    let garbage = ProviderFault::Garbage;
    assert!(
        matches!(&refused, NotAnswered::Provider { kind, .. } if *kind == garbage),
        "{refused}"
    );
    let spent = world.ask(&being("alice"), ShowBeing {}).await.budget.in_all;
    assert_eq!(spent, Spent { requests: 1, tokens: 80 });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_limits_of_a_minute_are_filled_by_time_alone_and_not_by_changes() {
    let world = World::new().await;
    world.create("Alice").await;
    let server = Server::start(vec![answer(&["It sings."])]).await;
    let one = || Json(serde_json::json!({ "requests_per_minute": 1 }));
    ask_of(&world, &server, one()).await;
    world.query("alice", SAID).await;
    let (title, text) = ("the kettle".to_owned(), Some("It is old.".to_owned()));
    world.ask(&being("alice"), SetCore { title, text }).await;
    let changes = Json(serde_json::json!({ "personality": "patient" }));
    world.ask(&being("alice"), UpdateCharacter { changes }).await;
    ask_of(&world, &server, one()).await;
    let query = Query { said: SAID.to_owned(), speaker: None, path: Vec::new() };
    let refused = world.refused(&being("alice"), query).await;
    assert!(refused.to_string().contains("requests_per_minute"), "{refused}");
    // Other settings are another provider.
    ask_of(&world, &server, Json(serde_json::json!({ "requests_per_minute": 2 }))).await;
    world.query("alice", SAID).await;
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_told_is_owed_until_it_is_kept() {
    let world = World::new().await;
    world.create("Alice").await;
    let server = Server::start(vec![answer(&["It sings."]), vec![Step::Hang]]).await;
    ask_of(&world, &server, Json(serde_json::json!({}))).await;
    let alice = being("alice");
    let owed = |world: &World| world.node.counters(&alice).map(|counters| counters.owed);
    let tell = async |world: &World| {
        let told = Query { said: SAID.to_owned(), speaker: None, path: Vec::new() };
        world.node.to(alice.clone()).tell(told).await.unwrap();
    };
    tell(&world).await;
    world.until(async |world| last_turn(world).await.is_some()).await;
    world.until(async |world| owed(world) == Some(0)).await;
    let turn = last_turn(&world).await.unwrap();
    assert_eq!((turn.answer.as_deref(), turn.failure), (Some("It sings."), None));
    // One is being answered, and one waits for that. Who owes something is not put to sleep.
    tell(&world).await;
    tell(&world).await;
    world.until(async |world| owed(world) == Some(2)).await;
    world.until(async |_| server.seen().len() == 2).await;
    assert_eq!(owed(&world), Some(2));
}

/// Why what a being was told is lost, of all that was.
fn lost(world: &World) -> Vec<Fault> {
    let letters = world.node.dead_letters().tail(1_000);
    let told = letters.iter().filter(|letter| letter.message == Query::NAME);
    told.map(|letter| letter.fault.clone()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_told_waits_where_who_asks_is_refused_and_is_a_dead_letter_if_it_cannot() {
    // Of those who talk with it at a time, and of what else waits that it is told.
    const PLACES: usize = 16 + 200;
    let world = World::new().await;
    world.create("Alice").await;
    let mut held = begins();
    held.extend([words("It sings"), Step::Hang]);
    let server = Server::start(vec![held, answer(&["It boils."])]).await;
    ask_of(&world, &server, Json(serde_json::json!({ "consolidate": false }))).await;
    let alice = world.node.to(being("alice"));
    let talk = Converse { said: SAID.to_owned(), speaker: None, path: Vec::new() };
    let mut first = alice.stream(talk).await.unwrap();
    assert_eq!(first.next().await.as_deref(), Some("It sings"));
    let tell = async |said: &str| {
        let told = Query { said: said.to_owned(), speaker: None, path: Vec::new() };
        alice.tell(told).await.unwrap();
    };
    for _ in 0..20 {
        tell("Is it hot?").await;
    }
    let owed = |world: &World| world.node.counters(&being("alice")).map(|counters| counters.owed);
    world.until(async |world| owed(world) > Some(20)).await;
    let asked = Query { said: SAID.to_owned(), speaker: None, path: Vec::new() };
    let refused = world.refused(&being("alice"), asked).await;
    assert!(matches!(refused, NotAnswered::Busy { max: 16 }), "{refused}");
    assert!(lost(&world).is_empty(), "{:?}", lost(&world));
    // One place is that of the talk.
    for _ in 20..PLACES - 1 {
        tell("Is it hot?").await;
    }
    tell("One too many.").await;
    world.until(async |world| lost(world).len() == 1).await;
    assert!(matches!(lost(&world)[..], [Fault::Overloaded { capacity: PLACES, .. }]));
    drop(first);
    let is_answered = async |world: &World| {
        let all = ShowHistory { before: None, limit: Some(200) };
        let turns = world.ask(&being("alice"), all).await.turns;
        turns.iter().filter(|turn| turn.answer.as_deref() == Some("It boils.")).count() > 20
    };
    world.until(is_answered).await;
    assert_eq!(lost(&world).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_told_and_makes_no_sense_is_a_dead_letter() {
    let world = World::new().await;
    world.create("Alice").await;
    let told = Query { said: " ".to_owned(), speaker: None, path: Vec::new() };
    world.node.to(being("alice")).tell(told).await.unwrap();
    world.until(async |world| !lost(world).is_empty()).await;
    let lost = lost(&world);
    let [Fault::Rejected { message, reason: Rejection::Malformed { detail }, .. }] = &lost[..]
    else {
        panic!("{lost:?}")
    };
    assert_eq!((message.as_str(), detail.as_str()), (Query::NAME, "nothing was said"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_told_and_not_asked_is_answered_too() {
    let world = World::new().await;
    world.create("Alice").await;
    let mut script = answer(&["It sings."]);
    script.insert(1, Step::Pause(Duration::from_millis(200)));
    let server = Server::start(vec![script]).await;
    ask_of(&world, &server, Json(serde_json::json!({}))).await;
    let told = Query { said: SAID.to_owned(), speaker: None, path: Vec::new() };
    world.node.to(being("alice")).tell(told).await.unwrap();
    let is_over = async |world: &World| {
        let turn = last_turn(world).await;
        turn.is_some_and(|turn| !turn.is_being_answered)
    };
    world.until(is_over).await;
    let turn = last_turn(&world).await.unwrap();
    assert_eq!((turn.answer.as_deref(), turn.failure), (Some("It sings."), None));
    // What was counted before its end is counted once, and by what it took.
    let spent = world.ask(&being("alice"), ShowBeing {}).await.budget.in_all;
    assert_eq!(spent, Spent { requests: 1, tokens: 9 });
}

/// So that it is counted also if the life ends with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_takes_its_time_is_counted_before_its_end_and_once() {
    let world = World::new().await;
    world.create("Alice").await;
    let mut script = begins();
    script.extend([words("It sings"), Step::Hang]);
    let server = Server::start(vec![script]).await;
    ask_of(&world, &server, Json(serde_json::json!({}))).await;
    let spent = async |world: &World| world.ask(&being("alice"), ShowBeing {}).await.budget.in_all;
    let talk = Converse { said: SAID.to_owned(), speaker: None, path: Vec::new() };
    let mut answers = world.node.to(being("alice")).stream(talk).await.unwrap();
    assert_eq!(answers.next().await.as_deref(), Some("It sings"));
    world.until(async |world| last_turn(world).await.is_some()).await;
    let answering = last_turn(&world).await.unwrap();
    assert!(answering.is_being_answered && answering.failure.is_none(), "{answering:?}");
    let early = spent(&world).await;
    assert!(early.requests == 1 && early.tokens > 0, "{early:?}");
    drop(answers);
    let over = until_called_off(&world).await;
    assert!(!over.is_being_answered, "{over:?}");
    let late = spent(&world).await;
    // The two words that came are counted, too.
    assert_eq!((late.requests, late.tokens), (1, early.tokens + 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_counted_early_is_taken_back_if_nobody_was_asked() {
    let world = World::new().await;
    world.create("Alice").await;
    let (goes_on, held) = watch::channel(false);
    let refusal = [vec![Step::Until(held)], error(401, "", "{}")].concat();
    let server = Server::start(vec![refusal]).await;
    ask_of(&world, &server, Json(serde_json::json!({ "retries_max": 0 }))).await;
    let query = Query { said: SAID.to_owned(), speaker: None, path: Vec::new() };
    let spent = async |world: &World| world.ask(&being("alice"), ShowBeing {}).await.budget.in_all;
    let alice = being("alice");
    let counted = async {
        world.until(async |world| spent(world).await != Spent::default()).await;
        goes_on.send_replace(true);
    };
    let (refused, ()) = tokio::join!(world.refused(&alice, query), counted);
    assert!(matches!(refused, NotAnswered::Provider { .. }), "{refused}");
    assert_eq!(spent(&world).await, Spent::default());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_is_broken_off_so_that_a_being_is_kept_apart_otherwise() {
    let world = World::new().await;
    world.create("Alice").await;
    let mut held = begins();
    held.extend([words("It sings"), Step::Hang]);
    let server = Server::start(vec![held]).await;
    ask_of(&world, &server, Json(serde_json::json!({}))).await;
    let talk = Converse { said: SAID.to_owned(), speaker: None, path: Vec::new() };
    let mut answers = world.node.to(being("alice")).stream(talk).await.unwrap();
    assert_eq!(answers.next().await.as_deref(), Some("It sings"));
    let isolate = IsolateBeing { id: name("alice"), isolation: Isolation::Process };
    let entry = world.ask(&world.registry, isolate).await;
    assert_eq!((entry.isolation, entry.state), (Some(Isolation::Process), BeingState::Awake));
    let Json(snapshot) = world.node.snapshot(&being("alice"), PATIENCE).await.unwrap();
    assert_eq!(snapshot["talks"].as_u64(), Some(1), "it goes on");
}
