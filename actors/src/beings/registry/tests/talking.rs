//! What beings on two machines say to each other, and what is said to one that moves.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::{join_all, poll_immediate};
use genii_protocols::being::{
    AskHealth, Forgettable, Memory, MemoryKind, NotAnswered, NotSaid, Say, WouldForget,
};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::*;
use crate::beings::errands::{AskStates, Pack, States};

impl World {
    /// With alice on pc2, and bob on main.
    async fn with_two() -> Self {
        let world = Self::new().await;
        world.create("alice", Some("pc2")).await;
        world.create("bob", Some("main")).await;
        world
    }

    async fn recall(&self, id: &str, question: &str) -> Vec<Memory> {
        let question = question.to_owned();
        let recall = RecallMemories { question, ..RecallMemories::default() };
        let recalled = self.main().ask(&being(id), recall).await;
        recalled.memories.into_iter().map(|it| it.memory).collect()
    }

    /// All notes of a being in which these words stand, in no order.
    async fn notes(&self, id: &str, words: &str) -> Vec<String> {
        let what = Forgettable::Matching { text: words.to_owned() };
        let found = self.main().ask(&being(id), WouldForget { what, limit: Some(200) }).await;
        let notes = found.memories.into_iter().filter(|memory| memory.kind == MemoryKind::Note);
        notes.map(|note| note.text).collect()
    }
}

fn say(to: &str, text: &str, path: &[&str]) -> Say {
    Say { to: name(to), text: text.to_owned(), path: names(path) }
}

fn names(ids: &[&str]) -> Vec<Name> {
    ids.iter().map(|id| name(id)).collect()
}

fn sorted(texts: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut texts: Vec<String> = texts.into_iter().collect();
    texts.sort_unstable();
    texts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beings_on_two_machines_talk_and_each_remembers_its_own_view() {
    let mut world = World::with_two().await;
    world.main().ask(&being("alice"), note("the museum opens at nine")).await;
    world.main().ask(&being("bob"), note("the bakery opens at six")).await;
    for (from, to, asked, known) in [
        ("alice", "bob", "When does the bakery open?", "the bakery opens at six"),
        ("bob", "alice", "When does the museum open?", "the museum opens at nine"),
    ] {
        let said = world.main().ask(&being(from), say(to, asked, &[])).await;
        assert_eq!(said.by, being(to));
        assert!(said.text.contains(known), "{said:?}");
        let has = |memories: &[Memory], speaker: &str, text: &str| {
            let is_it = |it: &Memory| it.speaker.as_deref() == Some(speaker) && it.text == text;
            memories.iter().any(is_it)
        };
        let own = world.recall(from, asked).await;
        assert!(has(&own, from, asked) && has(&own, to, &said.text), "{from}: {own:?}");
        let other = world.recall(to, asked).await;
        assert!(has(&other, from, asked), "{to}: {other:?}");
        // For who was asked it is a turn of a conversation, and for who asked it is none.
        let heard = world.history(to).await.into_iter().filter(|turn| turn.said == asked);
        let heard: Vec<_> = heard.map(|turn| (turn.speaker, turn.answer)).collect();
        assert_eq!(heard, [(Some(from.to_owned()), Some(said.text))]);
        assert!(world.history(from).await.iter().all(|turn| turn.said != asked));
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_would_go_in_a_circle_or_too_far_is_not_said_to_another_machine() {
    let mut world = World::with_two().await;
    for (from, to, asker) in [("alice", "bob", world.main()), ("bob", "alice", world.pc2())] {
        let not_said = async |say: Say| asker.refused(&being(from), say).await;
        let circle = not_said(say(to, "in a circle", &["carl", to])).await;
        let path = names(&["carl", to, from]);
        assert_eq!(circle, NotSaid::Circle { to: name(to), path });
        let to_itself = not_said(say(from, "to itself", &[])).await;
        assert_eq!(to_itself, NotSaid::Circle { to: name(from), path: names(&[from]) });
        let far = not_said(say(to, "too far", &["a", "b", "c", "d"])).await;
        let path = names(&["a", "b", "c", "d", from]);
        assert_eq!(far, NotSaid::TooFar { max: 4, path });
        let nobody = not_said(say("nobody", "to nobody", &[])).await;
        assert_eq!(nobody, NotSaid::NoSuchBeing { to: name("nobody"), nearest: None });
        let nearly = not_said(say("alcie", "to nearly alice", &[])).await;
        assert_eq!(nearly.to_string(), "no being is called alcie; did you mean alice?");
        asker.ask(&being(from), say(to, "just not too far", &["a", "b", "c"])).await;
        let heard = world.history(to).await.into_iter().map(|turn| turn.said);
        assert_eq!(heard.collect::<Vec<_>>(), ["just not too far"]);
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_speaks_to_one_whose_machine_is_away_remembers_what_it_said() {
    const ASKED: &str = "Has the ferry sunk?";
    let mut world = World::with_two().await;
    world.machines.pop().unwrap().end().await;
    world.homes_are(1).await;
    let refused = world.main().refused(&being("bob"), say("alice", ASKED, &[])).await;
    assert!(matches!(refused, NotSaid::NotAnswered { .. }), "{refused}");
    let own = world.recall("bob", ASKED).await;
    let told: Vec<_> = own.iter().map(|it| (it.speaker.as_deref(), it.text.as_str())).collect();
    assert_eq!(told, [(Some("bob"), ASKED)]);
    world.end().await;
}

/// Speaks to alice until it is enough, and never pauses. Returns from where, and what was said.
fn speaks(from: &Machine, enough: &Arc<AtomicBool>) -> JoinHandle<(String, Vec<String>)> {
    let (mail, from) = (from.node.to(being("alice")), from.node.name().to_string());
    let enough = enough.clone();
    tokio::spawn(async move {
        let mut said = Vec::new();
        while !enough.load(Ordering::SeqCst) {
            let text = format!("{from} says number {}", said.len());
            let answer = mail.ask_within(query(text.clone()), PATIENCE).await;
            answer.unwrap_or_else(|error| panic!("{text}: {error}"));
            said.push(text);
        }
        (from, said)
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_speaks_on_and_on_to_one_that_moves_is_answered_once_each_time_and_in_order() {
    let mut world = World::new().await;
    world.boot("pc3").await;
    world.homes_are(3).await;
    world.create("alice", Some("main")).await;
    until(async || world.machines[2].try_ask(&being("alice"), AskHealth {}).await.is_ok()).await;
    let enough = Arc::new(AtomicBool::new(false));
    let speaking: Vec<_> = world.machines.iter().map(|from| speaks(from, &enough)).collect();
    world.migrate("alice", "pc2").await;
    // What comes on the machine that it has left is sent after it, until that lets go of its address, and goes
    // where it lives from then on. Nobody is silent for that.
    until(async || {
        let States(states) = world.main().ask_home(AskStates { ids: names(&["alice"]) }).await;
        states[0].state == BeingState::Down
    })
    .await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    enough.store(true, Ordering::SeqCst);
    let spoken = join_all(speaking).await;
    let heard: Vec<String> =
        world.history("alice").await.into_iter().map(|turn| turn.said).collect();
    for spoken in spoken {
        let (from, said) = spoken.unwrap();
        let is_its = |heard: &&String| heard.starts_with(&from);
        assert_eq!(heard.iter().filter(is_its).cloned().collect::<Vec<_>>(), said);
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_that_waits_while_a_being_moves_comes_once() {
    /// From each machine. Of both these are as many as a being talks with at a time: it refuses one more.
    const TALKS: u32 = 8;
    const NOTES: u32 = 20;
    let mut world = World::new().await;
    world.create("alice", Some("main")).await;
    // So a move begins: from now on it is held asleep, and what comes for it waits.
    world.main().ask_home(Pack { id: name("alice"), to_leave: true }).await;
    let (mut noted, mut said, mut asking) = (Vec::new(), Vec::new(), Vec::new());
    for machine in &world.machines {
        let (mail, from) = (machine.node.to(being("alice")), machine.node.name());
        for number in 0..NOTES {
            let text = format!("{from} notes number {number}");
            mail.tell(note(&text)).await.unwrap();
            noted.push(text);
        }
        for number in 0..TALKS {
            let (mail, text) = (mail.clone(), format!("{from} says number {number}"));
            said.push(text.clone());
            asking.push(async move { mail.ask_within(query(text), PATIENCE).await });
        }
    }
    let mut asking = Box::pin(join_all(asking));
    assert!(poll_immediate(&mut asking).await.is_none(), "it is held asleep");
    let (answers, moved) = tokio::join!(asking, world.migrate("alice", "pc2"));
    assert_eq!(moved.node, node("pc2"));
    for (answer, said) in answers.into_iter().zip(&said) {
        answer.unwrap_or_else(|error| panic!("{said}: {error}"));
    }
    let heard = world.history("alice").await.into_iter().map(|turn| turn.said);
    assert_eq!(sorted(heard), sorted(said));
    // Nobody is told when what was told has come.
    until(async || world.notes("alice", "notes number").await.len() >= noted.len()).await;
    assert_eq!(sorted(world.notes("alice", "notes number").await), sorted(noted));
    world.end().await;
}

/// Has a being ask a server that takes what it is asked, and never answers, as long as what is returned is there.
async fn with_a_silent_provider(world: &World, id: &str) -> TcpListener {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}/v1", server.local_addr().unwrap());
    let settings = serde_json::json!({ "kind": "openai", "base_url": base_url, "model": "m" });
    world.main().ask(&being(id), SetProvider { settings: Json(settings) }).await;
    server
}

/// How a question was answered.
type Answer = Result<Answered, AskError<NotAnswered>>;

/// Asks a being from a machine, while other things are done.
fn asks(from: &Machine, id: &str, said: &str) -> JoinHandle<Answer> {
    let (mail, query) = (from.node.to(being(id)), query(said.to_owned()));
    tokio::spawn(async move { mail.ask_within(query, PATIENCE).await })
}

/// Why a question was interrupted, and the turn as which it is kept.
fn interrupted(answer: Answer) -> (String, Option<u64>) {
    match answer {
        Err(AskError::Refused(NotAnswered::Interrupted { why, turn })) => (why, turn),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_an_answer_for_which_a_move_or_deletion_does_not_wait_is_told_so() {
    const SAID: &str = "Is the ferry late?";
    const MOVES: &str = "it moves to another machine";
    let waters = Waters::new(7, (Duration::from_micros(100), Duration::from_millis(1)));
    let disk = tempfile::tempdir().unwrap();
    let mut world = World { disk, waters, machines: Vec::new(), life: 1 };
    let hasty = format!("{HOUSE}settings.finish_within = \"500ms\"\n");
    for (life, own) in [(2, "main"), (3, "pc2")] {
        let machine = Machine::boot_as(&world, own, life, &hasty, crate::catalogue()).await;
        world.machines.push(machine);
    }
    world.homes_are(2).await;
    let is_answering = async |id: &str| {
        until(async || world.history(id).await.iter().any(|turn| turn.is_being_answered)).await;
    };

    world.create("alice", Some("main")).await;
    let silent = with_a_silent_provider(&world, "alice").await;
    let asking = asks(world.pc2(), "alice", SAID);
    is_answering("alice").await;
    let waiting = asks(world.main(), "alice", "Is it foggy?");
    until(async || {
        let told = world.main().node.snapshot(&being("alice"), PATIENCE).await.unwrap();
        told.0["talks"].as_u64() == Some(2)
    })
    .await;
    world.migrate("alice", "pc2").await;
    let (why, turn) = interrupted(asking.await.unwrap());
    assert_eq!(why, MOVES);
    // Of who waited behind it nothing was begun.
    assert_eq!(interrupted(waiting.await.unwrap()), (MOVES.to_owned(), None));
    let turns = world.history("alice").await;
    let kept = turns.iter().map(|it| (Some(it.id), it.said.as_str(), it.failure.clone()));
    let failure = format!("it was interrupted: {MOVES}");
    assert_eq!(kept.collect::<Vec<_>>(), [(turn, SAID, Some(failure))]);
    drop(silent);

    world.create("bob", Some("pc2")).await;
    let silent = with_a_silent_provider(&world, "bob").await;
    let asking = asks(world.main(), "bob", SAID);
    is_answering("bob").await;
    world.main().ask(&registry(), DeleteBeing { id: name("bob"), lost: false }).await;
    assert_eq!(interrupted(asking.await.unwrap()).0, "it is deleted");
    drop(silent);
    world.end().await;
}
