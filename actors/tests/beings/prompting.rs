//! What a model is told when somebody speaks to a being, as the server that plays it sees it.

use genii_actors::being::prompt::{
    ANSWER_MARK_TOKENS, EstimatedTokens, MESSAGE_TOKENS, TokenCounter,
};
use genii_protocols::Json;
use genii_protocols::being::{
    AskHealth, NotAnswered, Query, Remember, SetCore, SetProvider, UpdateCharacter,
};
use genii_protocols::beings::CreateBeing;
use serde_json::{Value, json};

use crate::server::{Server, answer};
use crate::world::{World, being, name};

/// How many tokens a prompt may have if nobody says otherwise.
const TOKENS_MAX: u32 = 6_000;

/// What a being knows of the foghorn.
const LORE: &str = "The foghorn is tuned to a low F.";

/// The messages of a question, each as its role and its text.
type Prompt = Vec<(String, String)>;

/// Makes a being that has its words found by a server.
async fn alice(world: &World, server: &Server) {
    let character = json!({
        "name": "Alice",
        "description": "{{char}} keeps the lighthouse on Skerry Rock.",
        "system_prompt": "You are {{char}}. Answer in two sentences.",
        // Only what is said now calls for lore.
        "lorebook": { "scan_depth": 1, "entries": [{ "keys": ["foghorn"], "content": LORE }] },
    });
    let provider = json!({
        "kind": "openai", "base_url": server.base_url(), "model": "wise-1", "consolidate": false,
    });
    let create = CreateBeing {
        id: Some(name("alice")),
        character: Json(character),
        provider: Some(Json(provider)),
        node: None,
        isolation: None,
    };
    world.ask(&world.registry, create).await;
}

/// All prompts that a server has seen, the first first.
fn prompts(server: &Server) -> Vec<Prompt> {
    server.seen().iter().map(|seen| prompt_of(&seen.body)).collect()
}

fn prompt_of(body: &Value) -> Prompt {
    let text = |message: &Value, field: &str| message[field].as_str().unwrap().to_owned();
    let messages = body["messages"].as_array().unwrap().iter();
    messages.map(|message| (text(message, "role"), text(message, "content"))).collect()
}

fn tokens_of(prompt: &[(String, String)]) -> u32 {
    let each = prompt.iter().map(|(_, text)| EstimatedTokens.count(text) + MESSAGE_TOKENS);
    each.sum::<u32>() + ANSWER_MARK_TOKENS
}

/// A letter of some four hundred words. In the third stands where the key is.
fn letter(number: u32) -> String {
    let told = match number {
        3 => "The key to the boathouse hangs behind the clock. ",
        _ => "",
    };
    let weather = "It rained on the quay, and the gulls sat on the roof once more. ".repeat(28);
    format!("This is letter {number}. {told}{weather}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_is_told_who_it_is_what_it_remembers_and_what_was_said() {
    let (world, server) = (World::new().await, Server::start(vec![answer(&["As ever."])]).await);
    alice(&world, &server).await;
    let core = SetCore {
        title: "whom I talk to".to_owned(),
        text: Some("Ann, who fears the fog.".to_owned()),
    };
    world.ask(&being("alice"), core).await;
    let note = Remember {
        text: "The oil for the foghorn is in the blue barrel.".to_owned(),
        speaker: Some("Ann".to_owned()),
        at: Some(serde_json::from_value(json!("2019-05-03T14:00:00Z")).unwrap()),
    };
    world.ask(&being("alice"), note).await;

    world.query("alice", "Is it windy?").await;
    world.query("alice", "Where is the oil for the foghorn?").await;
    let prompts = prompts(&server);
    let ((role, system), talk) = prompts[1].split_first().unwrap();
    assert_eq!(role, "system");
    for told in [
        "You are Alice. Answer in two sentences.",
        "Alice keeps the lighthouse on Skerry Rock.",
        "| whom I talk to: Ann, who fears the fog.",
        "| 2019-05-03 14:00, Ann: The oil for the foghorn is in the blue barrel.",
        LORE,
    ] {
        assert!(system.contains(told), "{told:?} is not in {system}");
    }
    let said = |role: &str, text: &str| (role.to_owned(), text.to_owned());
    let expected = [
        said("user", "Is it windy?"),
        said("assistant", "As ever."),
        said("user", "Where is the oil for the foghorn?"),
    ];
    assert_eq!(talk, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lore_is_told_when_the_talk_comes_to_it() {
    let (world, server) = (World::new().await, Server::start(vec![answer(&["I see."])]).await);
    alice(&world, &server).await;
    for (said, is_told) in
        [("Is it windy?", false), ("Who built the Foghorn?", true), ("And the tower?", false)]
    {
        world.query("alice", said).await;
        let prompts = prompts(&server);
        let (_, system) = &prompts.last().unwrap()[0];
        assert_eq!(system.contains(LORE), is_told, "{said}: {system}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_finds_no_room_as_a_turn_is_told_as_a_memory() {
    let (world, server) = (World::new().await, Server::start(vec![answer(&["I see."])]).await);
    alice(&world, &server).await;
    for number in 1..=30 {
        world.query("alice", &letter(number)).await;
    }
    world.query("alice", "Where does the key to the boathouse hang?").await;
    let prompts = prompts(&server);
    for prompt in &prompts {
        let tokens = tokens_of(prompt);
        assert!(tokens <= TOKENS_MAX, "{tokens} tokens: {prompt:?}");
    }
    let ((_, system), talk) = prompts.last().unwrap().split_first().unwrap();
    let is_turn = |number| talk.iter().any(|(_, text)| *text == letter(number));
    assert!(is_turn(30) && !is_turn(3), "{talk:?}");
    let third = "User: This is letter 3. The key to the boathouse hangs behind the clock.";
    assert!(system.contains(third), "{system}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_too_long_to_be_answered_takes_no_other_turn_out_of_the_next_prompt() {
    let (world, server) = (World::new().await, Server::start(vec![answer(&["Aye."])]).await);
    alice(&world, &server).await;
    world.query("alice", "My boat is called Sandpiper.").await;
    let paste = "word ".repeat(13_000);
    let query = Query { said: paste.clone(), speaker: None, path: Vec::new() };
    let refused = world.refused(&being("alice"), query).await;
    assert!(matches!(refused, NotAnswered::TooLong { turn: Some(_), .. }), "{refused}");
    world.query("alice", "What is my boat called?").await;
    let prompt = prompts(&server).pop().unwrap();
    assert!(tokens_of(&prompt) <= TOKENS_MAX, "{prompt:?}");
    let talk: Vec<&str> = prompt[1..].iter().map(|(_, text)| text.as_str()).collect();
    let [boat, aye, cut, said] = talk[..] else { panic!("{talk:?}") };
    assert_eq!(
        [boat, aye, said],
        ["My boat is called Sandpiper.", "Aye.", "What is my boat called?"]
    );
    assert!(paste.starts_with(cut.strip_suffix(" …").unwrap()) && cut.len() > 500, "{cut}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_told_where_a_turn_is_cut_is_told_as_a_memory() {
    let (world, server) = (World::new().await, Server::start(vec![answer(&["Aye."])]).await);
    alice(&world, &server).await;
    world.query("alice", "My cat is called Miso.").await;
    let said = format!("{}\nMy boat is called Sandpiper.", "word ".repeat(12_900));
    let query = Query { said, speaker: None, path: Vec::new() };
    let refused = world.refused(&being("alice"), query).await;
    assert!(matches!(refused, NotAnswered::TooLong { turn: Some(_), .. }), "{refused}");
    world.query("alice", "What is my boat called?").await;
    let prompt = prompts(&server).pop().unwrap();
    let ((_, system), talk) = prompt.split_first().unwrap();
    assert!(talk.iter().all(|(_, text)| !text.contains("Sandpiper")), "{talk:?}");
    assert!(system.contains("User: My boat is called Sandpiper."), "{system}");
    assert!(!system.contains("Miso"), "what stands there as a whole is told once: {system}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn core_memory_that_is_too_long_is_told_in_part_and_beside_the_rest() {
    let (world, server) = (World::new().await, Server::start(vec![answer(&["As ever."])]).await);
    alice(&world, &server).await;
    let alice = being("alice");
    let narrow = json!({
        "kind": "openai", "base_url": server.base_url(), "model": "wise-1", "consolidate": false,
        "prompt_tokens_max": 600,
    });
    world.ask(&alice, SetProvider { settings: Json(narrow) }).await;
    let core = |title: &str, text: Option<String>| SetCore { title: title.to_owned(), text };
    let diary = "I keep a diary of gulls. ".repeat(300);
    world.ask(&alice, core("what I do", Some(diary))).await;
    let ann = "Ann, who fears the fog.".to_owned();
    world.ask(&alice, core("whom I talk to", Some(ann))).await;

    world.query("alice", "Is it windy?").await;
    let prompt = prompts(&server).pop().unwrap();
    assert!(tokens_of(&prompt) <= 600, "{prompt:?}");
    let told = |begins: &str| prompt[0].1.lines().find(|line| line.starts_with(begins)).unwrap();
    assert!(told("| what I do: I keep a diary of gulls. ").ends_with("gulls. …"), "{prompt:?}");
    assert_eq!(told("| whom"), "| whom I talk to: Ann, who fears the fog.");
    let health = world.ask(&alice, AskHealth {}).await;
    assert!(!health.is_well && health.notes[0].contains("1 of 2 blocks of its core memory"));
    assert!(!health.notes[0].contains("what I do"), "what it has in mind is its own");

    world.ask(&alice, core("what I do", None)).await;
    world.query("alice", "And now?").await;
    let health = world.ask(&alice, AskHealth {}).await;
    assert!(health.is_well, "{health:?}");
}

/// Longer than the turns that a being has at hand.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lore_of_a_moment_comes_at_that_moment_in_a_long_conversation_too() {
    const TURNS: usize = 50;
    let (world, server) = (World::new().await, Server::start(vec![answer(&["As ever."])]).await);
    alice(&world, &server).await;
    let lore = |content: &str| json!({ "constant": true, "content": content });
    let changes = json!({
        "first_message": "Sit down.",
        "lorebook": { "entries": [
            lore("@@activate_only_every 4\nThe lamp turns."),
            lore("@@activate_only_after 45\nThe oil runs low."),
            lore("@@is_greeting 0\nThe door is open."),
            lore("@@is_greeting 1\nThe door is shut."),
            lore("{{random:North,East,South,West}} wind blows."),
        ] },
    });
    world.ask(&being("alice"), UpdateCharacter { changes: Json(changes) }).await;
    for _ in 0..TURNS {
        world.query("alice", "Go on.").await;
    }
    let prompts = prompts(&server);
    let tells = |lore: &str| -> Vec<usize> {
        let all = prompts.iter().enumerate();
        all.filter(|(_, prompt)| prompt[0].1.contains(lore)).map(|(answers, _)| answers).collect()
    };
    assert_eq!(tells("The lamp turns."), (0..TURNS).step_by(4).collect::<Vec<_>>());
    assert_eq!(tells("The oil runs low."), (45..TURNS).collect::<Vec<_>>());
    assert_eq!(tells("The door is open."), (0..TURNS).collect::<Vec<_>>());
    assert!(tells("The door is shut.").is_empty(), "it began with the other greeting");
    let late = ["North", "East", "South", "West"].map(|wind| {
        tells(&format!("{wind} wind")).into_iter().filter(|answers| *answers >= 40).count()
    });
    assert!(late.iter().all(|times| *times < TURNS - 40), "choices are made anew: {late:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_greeting_is_the_first_turn_of_a_conversation() {
    let (world, server) = (World::new().await, Server::start(vec![answer(&["Aye."])]).await);
    alice(&world, &server).await;
    let changes = Json(json!({ "first_message": "Sit down, {{user}}. I am {{char}}." }));
    world.ask(&being("alice"), UpdateCharacter { changes }).await;
    let query = |said: &str| Query {
        said: said.to_owned(),
        speaker: Some("Ann".to_owned()),
        path: Vec::new(),
    };
    world.ask(&being("alice"), query("Thank you.")).await;
    world.ask(&being("alice"), query("Is it windy?")).await;
    for (prompt, said) in prompts(&server).iter().zip(["Thank you.", "Is it windy?"]) {
        let greeting = ("assistant".to_owned(), "Sit down, Ann. I am Alice.".to_owned());
        assert_eq!(prompt[1], greeting, "{prompt:?}");
        assert_eq!(prompt.last().unwrap().1, said);
    }
}
