//! What a being makes of its conversations behind the reply, with a server that plays a model.

use std::time::Duration;

use genii_protocols::Json;
use genii_protocols::being::{
    AskHealth, Forget, Forgettable, MemoryKind, NotAnswered, Query, RecallMemories, SetBudget,
    SetProvider, ShowBeing,
};
use genii_protocols::beings::{BeingState, CreateBeing, GetBeing};
use genii_protocols::budget::BudgetLimits;
use tokio::sync::watch;

use crate::server::{Script, Server, Step, answer, begins, words};
use crate::world::{World, being, character, name};

/// After so many turns it is done.
const EVERY: usize = 20;

const NOTES: &str = "Here are the notes:\n\
                     fact 3: home of user: The user lives near Heronsbridge.\n\
                     summary: They spoke of beehives, and of the Quillmarsh fair.";

/// Answers to so many turns, then what comes of the question for notes, then answers again.
fn scripts(notes: Script) -> Vec<Script> {
    let mut scripts = vec![answer(&["I shall keep that in mind."]); EVERY];
    scripts.extend([notes, answer(&["Go on."])]);
    scripts
}

async fn alice(world: &World, server: &Server) {
    let provider = serde_json::json!({
        "kind": "openai", "base_url": server.base_url(), "model": "wise-1",
        "consolidate_after": "50ms",
    });
    let create = CreateBeing {
        id: Some(name("alice")),
        character: character("Alice"),
        provider: Some(Json(provider)),
        node: None,
        isolation: None,
    };
    world.ask(&world.registry, create).await;
}

async fn talk(world: &World) {
    for number in 1..=EVERY {
        world.query("alice", &format!("Beehive {number} has a queen called Tansy{number}.")).await;
    }
}

/// How often its provider was asked, as far as it is counted.
async fn asked(world: &World) -> u64 {
    world.ask(&being("alice"), ShowBeing {}).await.budget.in_all.requests
}

/// Waits until what was talked of is summed up, and that is remembered: a little later than it is asked for.
async fn is_summed_up(world: &World) {
    world
        .until(async |world| {
            let found = world.recall("alice", "What did they say of the Quillmarsh fair?").await;
            found.first().is_some_and(|it| it.memory.kind == MemoryKind::Summary)
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn some_turns_are_summed_up_and_what_was_made_of_them_goes_with_them() {
    let (world, server) = (World::new().await, Server::start(scripts(answer(&[NOTES]))).await);
    alice(&world, &server).await;
    talk(&world).await;
    is_summed_up(&world).await;
    assert_eq!(asked(&world).await, EVERY as u64 + 1);
    let found = world.recall("alice", "Who lives near Heronsbridge?").await;
    assert_eq!(found[0].memory.kind, MemoryKind::Fact, "{found:?}");
    let question = server.seen()[EVERY].body.to_string();
    assert!(question.contains("[20] ") && question.contains("Tansy20"), "{question}");

    // It quotes them, while it has no model.
    let offline = Json(serde_json::json!({ "kind": "offline" }));
    world.ask(&being("alice"), SetProvider { settings: offline }).await;
    let answered = world.query("alice", "What did they say of the fair?").await;
    assert!(answered.text.contains("Quillmarsh"), "{}", answered.text);

    // Other turns than the one that it names may stand behind it.
    let what = Forgettable::Matching { text: "Tansy7".to_owned() };
    world.ask(&being("alice"), Forget { what }).await;
    let bytes = String::from_utf8_lossy(&world.bytes_of("alice")).into_owned();
    for gone in ["Tansy7.", "Quillmarsh", "Heronsbridge"] {
        assert!(!bytes.contains(gone), "{gone}");
    }
    assert!(bytes.contains("Tansy8"), "the others are remembered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_made_of_an_answer_that_is_emptied_goes_with_it() {
    const SECRET: &str = "the heron nests in the old mill";
    let mut scripts = scripts(answer(&[NOTES]));
    scripts[6] = answer(&["You told me: the heron nests in the old mill."]);
    let (world, server) = (World::new().await, Server::start(scripts).await);
    alice(&world, &server).await;
    let note = world.remember("alice", SECRET).await;
    talk(&world).await;
    is_summed_up(&world).await;
    let what = Forgettable::Memory { id: note };
    let forgotten = world.ask(&being("alice"), Forget { what }).await;
    assert_eq!((forgotten.turns, forgotten.answers), (0, 1));
    let bytes = String::from_utf8_lossy(&world.bytes_of("alice")).into_owned();
    for gone in ["heron nests", "Quillmarsh", "Heronsbridge"] {
        assert!(!bytes.contains(gone), "{gone}");
    }
    assert!(bytes.contains("Tansy7."), "what was said stays");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_kept_of_what_was_forgotten_while_it_was_summed_up() {
    let mut notes = answer(&[NOTES]);
    notes.insert(1, Step::Pause(Duration::from_secs(2)));
    let (world, server) = (World::new().await, Server::start(scripts(notes)).await);
    alice(&world, &server).await;
    talk(&world).await;
    world.until(async |_| server.seen().len() > EVERY).await;
    let what = Forgettable::Matching { text: "Tansy7".to_owned() };
    world.ask(&being("alice"), Forget { what }).await;
    world.until(async |world| asked(world).await == EVERY as u64 + 1).await;
    assert!(!String::from_utf8_lossy(&world.bytes_of("alice")).contains("Quillmarsh"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_being_does_not_fall_asleep_while_it_waits_for_notes() {
    let state = async |world: &World, id: &str| {
        world.ask(&world.registry, GetBeing { id: name(id) }).await.state
    };
    let (goes_on, held) = watch::channel(false);
    let mut notes = answer(&[NOTES]);
    notes.insert(0, Step::Until(held));
    let world = World::with("idle_after = \"2s\"").await;
    let server = Server::start(scripts(notes)).await;
    alice(&world, &server).await;
    talk(&world).await;
    world.until(async |_| server.seen().len() > EVERY).await;
    // Who is spoken to later, and has nothing to do then, falls asleep.
    world.create("Bob").await;
    world.remember("bob", "the bakery opens at six").await;
    world.until(async |world| state(world, "bob").await == BeingState::Asleep).await;
    assert!(state(&world, "alice").await == BeingState::Awake);
    goes_on.send_replace(true);
    world.until(async |world| state(world, "alice").await == BeingState::Asleep).await;
    assert_eq!((asked(&world).await, server.seen().len()), (EVERY as u64 + 1, EVERY + 1));
    let found = world.recall("alice", "What did they say of the Quillmarsh fair?").await;
    assert_eq!(found[0].memory.kind, MemoryKind::Summary, "{found:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_speaks_calls_it_off_and_is_answered_at_once() {
    let mut notes = begins();
    notes.extend([words("fact 3: home of user: He"), Step::Hang]);
    let (world, server) = (World::new().await, Server::start(scripts(notes)).await);
    alice(&world, &server).await;
    talk(&world).await;
    world.until(async |_| server.seen().len() > EVERY).await;
    let answered = world.query("alice", "Are you there?").await;
    assert_eq!(answered.text, "Go on.");
    server.was_left_by(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_asked_when_genii_ends_is_counted() {
    let (world, server) = (World::new().await, Server::start(scripts(vec![Step::Hang])).await);
    alice(&world, &server).await;
    talk(&world).await;
    world.until(async |_| server.seen().len() > EVERY).await;
    assert_eq!(asked(&world).await, EVERY as u64);
    let world = world.again().await;
    // It may have asked once more by now.
    assert!(asked(&world).await > EVERY as u64, "it was not counted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fact_that_is_noted_in_other_words_holds_on() {
    let notes = "fact 1: home of ann: Ann lives in Lisbon by the river Tejo.\nsummary: Of a move.";
    let (world, server) = (World::new().await, Server::start(scripts(answer(&[notes]))).await);
    alice(&world, &server).await;
    let moved = Query {
        said: "I moved to Lisbon.".to_owned(),
        speaker: Some("Ann".to_owned()),
        path: Vec::new(),
    };
    world.ask(&being("alice"), moved).await;
    for number in 2..=EVERY {
        world.query("alice", &format!("Beehive {number} has a queen.")).await;
    }
    world.until(async |world| asked(world).await == EVERY as u64 + 1).await;
    let facts = RecallMemories {
        question: "Who moved to Lisbon, or lives there?".to_owned(),
        kinds: vec![MemoryKind::Fact],
        ..RecallMemories::default()
    };
    let found = world.ask(&being("alice"), facts).await.memories;
    let told: Vec<_> = found.iter().map(|it| (it.memory.text.as_str(), it.memory.until)).collect();
    assert_eq!(told, [("I moved to Lisbon.", None)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_being_whose_budget_is_spent_asks_nothing_of_its_own() {
    let (world, server) = (World::new().await, Server::start(scripts(answer(&[NOTES]))).await);
    alice(&world, &server).await;
    let limits =
        BudgetLimits { requests_in_all: Some(EVERY as u64 + 1), ..BudgetLimits::default() };
    world.ask(&being("alice"), SetBudget { limits }).await;
    for number in 1..=EVERY {
        world.query("alice", &format!("Beehive {number} has a queen.")).await;
    }
    // It may ask once more, and does; and then not even for whoever speaks to it.
    world.until(async |world| asked(world).await == EVERY as u64 + 1).await;
    let more = Query { said: "More?".to_owned(), speaker: None, path: Vec::new() };
    let refused = world.refused(&being("alice"), more).await;
    assert!(matches!(refused, NotAnswered::Spent { .. }), "{refused}");
    assert_eq!(server.seen().len(), EVERY + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_that_writes_no_notes_is_not_asked_over_and_over() {
    let garbage = answer(&["As a model I would rather not."]);
    let (world, server) = (World::new().await, Server::start(scripts(garbage)).await);
    alice(&world, &server).await;
    talk(&world).await;
    world.until(async |world| asked(world).await == EVERY as u64 + 1).await;
    for turn in 1..=3 {
        world.query("alice", "And another one.").await;
        assert_eq!(server.seen().len(), EVERY + 1 + turn);
    }
    assert!(world.ask(&being("alice"), AskHealth {}).await.is_well);
    let found = world.recall("alice", "What is the queen of beehive 7 called?").await;
    assert!(found[0].memory.text.contains("Tansy7"), "{found:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_being_that_sleeps_between_all_turns_sums_them_up_all_the_same() {
    let world = World::with("awake_max = 1").await;
    let mut scripts = scripts(answer(&[NOTES]));
    scripts.insert(0, answer(&["Good morning."]));
    let server = Server::start(scripts).await;
    alice(&world, &server).await;
    let patient = serde_json::json!({
        "kind": "openai", "base_url": server.base_url(), "model": "wise-1", "consolidate_after": "1h",
    });
    world.ask(&being("alice"), SetProvider { settings: Json(patient) }).await;
    world.create("Bob").await;
    for number in 0..=EVERY {
        world.query("alice", &format!("Beehive {number} has a queen called Tansy{number}.")).await;
        // There is no room for her meanwhile.
        world.remember("bob", "the bakery opens at six").await;
    }
    is_summed_up(&world).await;
    assert_eq!(asked(&world).await, EVERY as u64 + 2);
}
