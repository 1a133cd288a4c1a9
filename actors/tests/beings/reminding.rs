//! What beings are reminded of: awake, asleep, and while genii was down.

use std::time::{Duration, SystemTime};

use genii_protocols::being::{
    CancelReminder, Forget, Forgettable, HeedReminders, ListReminders, Remind, Reminder, SetBudget,
    SetProvider, ShowHistory, Turn,
};
use genii_protocols::beings::{BeingDue, BeingState, DeleteBeing, ExportBeing, GetBeing, NoBeing};
use genii_protocols::budget::BudgetLimits;
use genii_protocols::{Address, Json, Pattern, Timestamp};
use genii_runtime::Heard;

use crate::world::{PATIENCE, World, being, holds, import, name};

/// So soon that a test can wait for it.
const SOON: Duration = Duration::from_millis(300);

/// As [`SOON`], and late enough for what is to come before it, on a machine that is busy.
const SOON_ENOUGH: Duration = Duration::from_secs(3);

/// Not in this test.
const LATE: Duration = Duration::from_secs(86_400);

fn after(span: Duration) -> Timestamp {
    (SystemTime::now() + span).into()
}

fn reminder(span: Duration, text: &str) -> Remind {
    Remind { at: after(span), text: text.to_owned() }
}

async fn remind(world: &World, id: &str, span: Duration, text: &str) -> Reminder {
    world.ask(&being(id), reminder(span, text)).await
}

async fn reminders(world: &World, id: &str) -> Vec<String> {
    let all = world.ask(&being(id), ListReminders::default()).await.reminders;
    all.into_iter().map(|reminder| reminder.text).collect()
}

/// The turns of a being, the newest first.
async fn turns(world: &World, id: &str) -> Vec<Turn> {
    world.ask(&being(id), ShowHistory::default()).await.turns
}

/// Waits until a being was reminded so many times, and has nothing left that is due.
async fn until_reminded(world: &World, id: &str, times: usize) -> Vec<Turn> {
    let done = async |world: &World| {
        let turns = turns(world, id).await;
        let is_over =
            |turn: &&Turn| !turn.is_being_answered && turn.failure.as_deref() != Some(UNFINISHED);
        turns.iter().filter(is_over).count() >= times
    };
    world.until(done).await;
    turns(world, id).await
}

/// Why a turn has no answer that was just being given when its life ended.
const UNFINISHED: &str = "it was not answered to the end: the being or genii ended meanwhile, or \
     the answer could not be kept";

/// Waits until a time lies so far back.
async fn until_past(at: Timestamp) {
    while Timestamp::now() <= at {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn heard(said: &mut genii_runtime::Subscription) -> serde_json::Value {
    match tokio::time::timeout(PATIENCE, said.next()).await.unwrap().unwrap() {
        Heard::Published(publication) => serde_json::from_str(publication.text()).unwrap(),
        Heard::Lost(count) => panic!("{count} were lost"),
    }
}

/// Who wakes the beings of this machine.
fn home() -> Address {
    Address::parse("homes/beings").unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_being_is_reminded_and_others_hear_of_it() {
    let world = World::new().await;
    world.create("Alice").await;
    world.remember("alice", "the tea is green").await;
    let mut said = world.node.subscribe(&[Pattern::parse("beings.*.said").unwrap()]).unwrap();
    let set = remind(&world, "alice", SOON_ENOUGH, "What colour is the tea?").await;
    assert_eq!(reminders(&world, "alice").await, ["What colour is the tea?"]);
    let heard = heard(&mut said).await;
    let turn = turns(&world, "alice").await.remove(0);
    assert_eq!((turn.speaker.as_deref(), &turn.failure), (Some("reminder"), &None));
    assert!(turn.answer.as_ref().unwrap().contains("green"), "{turn:?}");
    assert!(turn.at >= set.at);
    let expected = serde_json::json!({
        "being": "alice", "reminder": set.id, "at": set.at, "text": "What colour is the tea?",
        "answer": turn.answer, "failure": null, "turn": turn.id,
    });
    assert_eq!(heard, expected);
    assert!(reminders(&world, "alice").await.is_empty());
    // It is remembered like anything that was said.
    let recalled = world.recall("alice", "colour").await;
    assert!(recalled.iter().any(|it| it.memory.text.contains("colour")), "{recalled:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_being_that_sleeps_wakes_for_it() {
    let world = World::with("awake_max = 2\nidle_after = \"100ms\"").await;
    let ids = ["a", "b", "c", "d"];
    for id in ids {
        world.create_as(id, "Being").await;
        remind(&world, id, SOON_ENOUGH, "Wake up.").await;
    }
    world
        .until(async |world| {
            let get = |id| world.ask(&world.registry, GetBeing { id: name(id) });
            futures_util::future::join_all(ids.map(get))
                .await
                .iter()
                .all(|it| it.state == BeingState::Asleep)
        })
        .await;
    let mut said = world.node.subscribe(&[Pattern::parse("beings.*.said").unwrap()]).unwrap();
    // Nobody speaks to them meanwhile.
    let mut woken = Vec::new();
    for _ in ids {
        woken.push(heard(&mut said).await["being"].as_str().unwrap().to_owned());
    }
    woken.sort_unstable();
    assert_eq!(woken, ids);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_due_while_genii_was_down_comes_at_the_next_start_and_once() {
    let world = World::new().await;
    world.create("Alice").await;
    remind(&world, "alice", 4 * SOON, "One.").await;
    let last = remind(&world, "alice", 5 * SOON, "Two.").await;
    remind(&world, "alice", LATE, "Tomorrow.").await;
    world.house.shutdown().await;
    until_past(last.at).await;
    let world = world.again().await;
    let found = until_reminded(&world, "alice", 2).await;
    let said: Vec<&str> = found.iter().rev().map(|turn| turn.said.as_str()).collect();
    assert_eq!(said, ["One.", "Two."]);
    assert_eq!(reminders(&world, "alice").await, ["Tomorrow."]);
    // Nor does it come again by being told once more.
    let world = world.again().await;
    let heeded = world.ask(&being("alice"), HeedReminders {}).await;
    assert!(heeded.reminder.is_none() && heeded.next.is_some(), "{heeded:?}");
    assert_eq!(turns(&world, "alice").await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_home_that_lost_its_notes_asks_its_beings() {
    let world = World::new().await;
    world.create("Alice").await;
    let set = remind(&world, "alice", 4 * SOON, "One.").await;
    world.house.shutdown().await;
    std::fs::remove_file(world.folder("due.redb")).unwrap();
    until_past(set.at).await;
    let world = world.again().await;
    assert_eq!(until_reminded(&world, "alice", 1).await[0].said, "One.");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_being_whose_folder_was_brought_is_asked() {
    let world = World::new().await;
    world.create("Alice").await;
    let set = remind(&world, "alice", 4 * SOON, "One.").await;
    world.house.shutdown().await;
    std::fs::rename(world.folder("alice"), world.folder("zoe")).unwrap();
    until_past(set.at).await;
    let world = world.again().await;
    assert_eq!(until_reminded(&world, "zoe", 1).await[0].said, "One.");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_reminder_is_heeded_first_and_one_that_is_taken_back_never() {
    let world = World::new().await;
    world.create("Alice").await;
    remind(&world, "alice", LATE, "Tomorrow.").await;
    let back = remind(&world, "alice", SOON_ENOUGH, "Never.").await;
    remind(&world, "alice", SOON_ENOUGH + SOON, "Soon.").await;
    assert_eq!(reminders(&world, "alice").await, ["Never.", "Soon.", "Tomorrow."]);
    let first = ListReminders { limit: Some(1) };
    let first = world.ask(&being("alice"), first).await;
    assert_eq!((first.reminders.len(), first.total), (1, 3));
    let cancelled = world.ask(&being("alice"), CancelReminder { id: back.id }).await;
    assert_eq!(cancelled, back);
    let again = world.refused(&being("alice"), CancelReminder { id: back.id }).await;
    assert!(again.why.contains("no reminder 2"), "{again}");
    let folder = world.folder("alice");
    world.until(async |_| !holds(&folder, "Never.")).await;
    assert_eq!(until_reminded(&world, "alice", 1).await[0].said, "Soon.");
    assert_eq!(reminders(&world, "alice").await, ["Tomorrow."]);
    // No number is given twice.
    assert_eq!(remind(&world, "alice", LATE, "Other.").await.id, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reminder_that_nobody_answers_is_kept_and_done() {
    let world = World::new().await;
    for called in ["Alice", "Bob"] {
        world.create(called).await;
    }
    // Nobody listens on this port: it was free a moment ago, and is let go of.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let settings = Json(serde_json::json!({
        "kind": "openai", "base_url": format!("http://127.0.0.1:{port}/v1"), "model": "m",
        "retries_max": 0,
    }));
    world.ask(&being("alice"), SetProvider { settings }).await;
    let limits = BudgetLimits { requests_per_day: Some(0), ..BudgetLimits::default() };
    world.ask(&being("bob"), SetBudget { limits }).await;
    let mut said = world.node.subscribe(&[Pattern::parse("beings.*.said").unwrap()]).unwrap();
    for (id, why) in [("alice", "cannot be reached"), ("bob", "spent")] {
        remind(&world, id, Duration::ZERO, "The kettle.").await;
        let heard = heard(&mut said).await;
        assert_eq!((&heard["being"], &heard["answer"]), (&id.into(), &serde_json::Value::Null));
        let turn = turns(&world, id).await.remove(0);
        let failure = turn.failure.unwrap();
        assert!(failure.contains(why), "{failure}");
        assert_eq!(heard["failure"], failure);
        assert!(reminders(&world, id).await.is_empty());
        assert!(world.recall(id, "kettle").await[0].memory.text.contains("kettle"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reminders_have_bounds() {
    let world = World::new().await;
    world.create("Alice").await;
    for text in [String::new(), " \n".to_owned(), "x".repeat(4_097)] {
        let refused = world.refused(&being("alice"), reminder(LATE, &text)).await;
        assert!(refused.why.contains("1 to 4096 bytes"), "{refused}");
    }
    let mut ids = Vec::new();
    for _ in 0..50 {
        let some = (0..20).map(|_| remind(&world, "alice", LATE, "one of many"));
        let some = futures_util::future::join_all(some).await;
        ids.extend(some.into_iter().map(|reminder| reminder.id));
    }
    ids.sort_unstable();
    assert_eq!(ids, (1..=1_000).collect::<Vec<u64>>());
    let refused = world.refused(&being("alice"), reminder(LATE, "one more")).await;
    assert!(refused.why.contains("1000 reminders already; cancel one before"), "{refused}");
    let all = ListReminders { limit: Some(5_000) };
    assert_eq!(world.ask(&being("alice"), all).await.reminders.len(), 1_000);
    assert_eq!(reminders(&world, "alice").await.len(), 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_forgotten_comes_to_nobodys_mind_again() {
    let world = World::new().await;
    world.create("Alice").await;
    remind(&world, "alice", LATE, "Tune the xylophone.").await;
    let back = remind(&world, "alice", LATE, "Sell the xylophone.").await;
    remind(&world, "alice", LATE, "Water the plants.").await;
    world.ask(&being("alice"), CancelReminder { id: back.id }).await;
    let matching = Forgettable::Matching { text: "xylophone".to_owned() };
    let forgotten = world.ask(&being("alice"), Forget { what: matching }).await;
    assert_eq!((forgotten.memories, forgotten.turns, forgotten.reminders), (0, 0, 1));
    let bytes = world.bytes_of("alice");
    assert!(!bytes.windows(9).any(|window| window == b"xylophone"), "a trace is left");
    assert_eq!(reminders(&world, "alice").await, ["Water the plants."]);
    let (from, until) = (SystemTime::UNIX_EPOCH.into(), after(LATE));
    let forgotten =
        world.ask(&being("alice"), Forget { what: Forgettable::Span { from, until } }).await;
    assert_eq!(forgotten.reminders, 1);
    assert!(reminders(&world, "alice").await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reminders_go_with_a_being_that_moves_and_end_with_it() {
    let world = World::new().await;
    world.create("Alice").await;
    remind(&world, "alice", SOON_ENOUGH, "One.").await;
    let file = world.folder("").with_file_name("alice.being").display().to_string();
    world.ask(&world.registry, ExportBeing { id: name("alice"), file: file.clone() }).await;
    world.ask(&world.registry, DeleteBeing { id: name("alice"), lost: false }).await;
    let mut said = world.node.subscribe(&[Pattern::parse("beings.*.said").unwrap()]).unwrap();
    world.ask(&world.registry, import(&file, "twin")).await;
    assert_eq!(heard(&mut said).await["being"], "twin");
    assert_eq!(until_reminded(&world, "twin", 1).await[0].said, "One.");
    let due = BeingDue { id: name("alice"), next: Some(after(Duration::ZERO)) };
    let gone = world.refused(&home(), due).await;
    assert!(matches!(gone, NoBeing::NotFound { .. }), "{gone}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reminder_whose_answer_is_interrupted_comes_again() {
    let world = World::new().await;
    world.create("Alice").await;
    // It takes what it is asked, and never answers.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}/v1", silent.local_addr().unwrap());
    let settings = serde_json::json!({ "kind": "openai", "base_url": base_url, "model": "m" });
    world.ask(&being("alice"), SetProvider { settings: Json(settings) }).await;
    remind(&world, "alice", SOON, "What colour is the tea?").await;
    world
        .until(async |world| turns(world, "alice").await.iter().any(|turn| turn.is_being_answered))
        .await;
    // From the next turn on.
    let offline = Json(serde_json::json!({ "kind": "offline" }));
    world.ask(&being("alice"), SetProvider { settings: offline }).await;
    world.house.restart("being/alice").await.unwrap();
    world
        .until(async |world| turns(world, "alice").await.iter().any(|turn| turn.answer.is_some()))
        .await;
    let turns = turns(&world, "alice").await;
    assert_eq!(turns.len(), 2, "{turns:?}");
    let failure = turns[1].failure.as_deref().unwrap_or_default();
    assert!(failure.starts_with("it was interrupted: "), "{turns:?}");
    assert!(turns.iter().all(|turn| turn.said == "What colour is the tea?"), "{turns:?}");
    assert!(reminders(&world, "alice").await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_being_without_a_home_is_not_reminded_and_says_so() {
    let world = World::new().await;
    world.create("Alice").await;
    world.node.suspend(&home(), PATIENCE).await.unwrap();
    let refused = world.refused(&being("alice"), reminder(LATE, "One.")).await;
    assert!(refused.why.contains("it is not set"), "{refused}");
    world.node.resume(&home(), PATIENCE).await.unwrap();
    assert!(reminders(&world, "alice").await.is_empty());
}
