//! What a being remembers, and what it forgets for good.

use genii_protocols::being::{
    Answered, Forget, Forgettable, Forgotten, MemoryKind, NotSaid, Query, RecallMemories, Remember,
    Say, SetCore, SetProvider, ShowBeing, ShowHistory, WouldForget,
};
use genii_protocols::{Json, Timestamp};
use tokio::sync::watch;

use crate::server::{Server, Step, answer};
use crate::world::{World, being, contains, holds, name};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_said_is_found_after_the_end_of_genii_and_without_its_index() {
    let world = World::new().await;
    world.create("Alice").await;
    world.query("alice", "My cat is called Miso.").await;
    // So many that most are in the index, and not only at hand.
    for number in 0..600 {
        world.remember("alice", &format!("shelf {number} holds jam of {}", 1990 + number)).await;
    }
    let index = world.folder("alice").join("vectors");
    world.until(async |_| index.exists()).await;
    let world = world.again().await;
    std::fs::remove_dir_all(index).unwrap();
    let answered = world.query("alice", "What is my cat called?").await;
    assert!(answered.text.contains("Miso"), "{}", answered.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fact_that_changes_is_kept_with_the_time_in_which_it_held() {
    let world = World::new().await;
    world.create("Alice").await;
    world.query("alice", "I live in Porto.").await;
    world.query("alice", "I moved to Lisbon.").await;
    let facts = RecallMemories {
        question: "where do I live, Porto or Lisbon".to_owned(),
        kinds: vec![MemoryKind::Fact],
        ..RecallMemories::default()
    };
    let found = world.ask(&being("alice"), facts).await.memories;
    let fact = |of: &str| found.iter().find(|it| it.memory.text.contains(of)).unwrap();
    assert!(fact("Porto").memory.until.is_some(), "{found:?}");
    assert!(fact("Lisbon").memory.until.is_none(), "{found:?}");
    // Who asks is told that it is not so any more, once, and not also that it is.
    let answered = world.query("alice", "Where do I live, in Porto or in Lisbon?").await.text;
    let porto: Vec<&str> = answered.lines().filter(|line| line.contains("Porto.")).collect();
    assert!(
        porto.len() == 1 && porto[0].contains("I live in Porto.\u{201d} (until "),
        "{answered}"
    );
    let lisbon = answered.lines().find(|line| line.contains("I moved to Lisbon.")).unwrap();
    assert!(!lisbon.contains("(until"), "{answered}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fact_is_kept_also_when_no_answer_comes() {
    let world = World::new().await;
    world.create("Alice").await;
    world.query("alice", "I live in Porto.").await;
    let nobody = serde_json::json!({
        "kind": "openai", "base_url": "http://127.0.0.1:9/v1", "model": "none", "retries_max": 0,
    });
    world.ask(&being("alice"), SetProvider { settings: Json(nobody) }).await;
    let said = Query { said: "I moved to Lisbon.".to_owned(), speaker: None, path: Vec::new() };
    world.refused(&being("alice"), said).await;
    let facts = RecallMemories {
        question: "where do I live, Porto or Lisbon".to_owned(),
        kinds: vec![MemoryKind::Fact],
        ..RecallMemories::default()
    };
    let found = world.ask(&being("alice"), facts).await.memories;
    let held: Vec<_> = found.iter().filter(|it| it.memory.until.is_none()).collect();
    assert!(held.len() == 1 && held[0].memory.text.contains("Lisbon"), "{found:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_forgotten_is_nowhere_any_more() {
    let world = World::new().await;
    world.create("Alice").await;
    world.query("alice", "The password of the safe is xylophone-42.").await;
    world.query("alice", "The weather is fine.").await;
    let note = world.remember("alice", "the xylophone stands in the attic").await;
    let other = world.remember("alice", "the quokka sleeps until noon").await;
    assert!(contains(&world.bytes_of("alice"), "xylophone"));

    let forget = |what| Forget { what };
    let matching = Forgettable::Matching { text: "Xylophone".to_owned() };
    let forgotten = world.ask(&being("alice"), forget(matching)).await;
    assert!(forgotten.memories >= 2 && forgotten.turns >= 1, "{forgotten:?}");
    assert!(!contains(&world.bytes_of("alice"), "xylophone"), "a trace is left");
    assert!(world.recall("alice", "xylophone").await.iter().all(|it| it.memory.id != note));
    let history = world.ask(&being("alice"), ShowHistory::default()).await;
    assert_eq!(history.turns.len(), 1);

    let one = world.ask(&being("alice"), forget(Forgettable::Memory { id: other })).await;
    assert_eq!((one.memories, one.turns), (1, 0));
    assert!(!contains(&world.bytes_of("alice"), "quokka"), "a trace is left");
    let world = world.again().await;
    assert!(!contains(&world.bytes_of("alice"), "xylophone"), "a trace came back");
    let none = Forgettable::Matching { text: "xylophone".to_owned() };
    assert_eq!(world.ask(&being("alice"), forget(none)).await.memories, 0);
    let empty = Forgettable::Matching { text: " ".to_owned() };
    let refused = world.refused(&being("alice"), forget(empty)).await;
    assert!(refused.why.contains("name at least a word"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forgetting_that_failed_is_made_up_for_by_the_same_once_more() {
    const SECRET: &str = "xyloquartz";
    let world = World::new().await;
    world.create("Alice").await;
    world.remember("alice", "the password is xyloquartz").await;
    // So many that it is in the index, and not only at hand.
    for number in 0..600 {
        world.remember("alice", &format!("shelf {number} holds jam of {}", 1990 + number)).await;
    }
    let index = world.folder("alice").join("vectors");
    world.until(async |_| holds(&index, SECRET)).await;
    let in_the_way = index.join("part");
    world.until(async |_| std::fs::write(&in_the_way, "not a folder").is_ok()).await;
    let forget = || Forget { what: Forgettable::Matching { text: SECRET.to_owned() } };
    let refused = world.refused(&being("alice"), forget()).await;
    for says in ["recalled no more", "traces of it are left", "once more"] {
        assert!(refused.why.contains(says), "{refused}");
    }
    assert!(!refused.why.contains("safe"), "{refused}");
    let found = world.recall("alice", SECRET).await;
    assert!(found.iter().all(|it| !it.memory.text.contains(SECRET)), "{found:?}");
    assert!(holds(&index, SECRET), "else this shows nothing");

    // More than any disk has, of files that take none of it.
    let ballast: Vec<_> = (0..8).map(|number| index.join(format!("ballast-{number}"))).collect();
    for file in &ballast {
        std::fs::File::create(file).unwrap().set_len(1 << 43).unwrap();
    }
    std::fs::remove_file(&in_the_way).unwrap();
    let refused = world.refused(&being("alice"), forget()).await;
    assert!(refused.why.contains("traces of it are left in the index"), "{refused}");
    assert!(refused.why.contains("no space is left on the disk"), "{refused}");
    assert_eq!(refused.why.matches("make ").count(), 1, "{refused}");
    ballast.iter().for_each(|file| std::fs::remove_file(file).unwrap());
    assert_eq!(world.ask(&being("alice"), forget()).await, Forgotten::default());
    assert!(!holds(&world.folder("alice"), SECRET), "a trace is left");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_said_to_another_can_be_forgotten_before_it_answers() {
    const SAID: &str = "The heron nests in the old mill.";
    let world = World::new().await;
    world.create("Bob").await;
    let alice = world.create("Alice").await.address;
    let (goes_on, held) = watch::channel(false);
    let mut script = answer(&["I shall keep in mind that the heron nests in the old mill."]);
    script.insert(0, Step::Until(held));
    let server = Server::start(vec![script]).await;
    let model =
        serde_json::json!({ "kind": "openai", "model": "m", "base_url": server.base_url() });
    world.ask(&being("bob"), SetProvider { settings: Json(model) }).await;
    let say = Say { to: name("bob"), text: SAID.to_owned(), path: Vec::new() };
    let forgetting = async {
        world.until(async |_| server.seen().len() == 1).await;
        // It is on the disk before it is answered.
        let what = Forgettable::Matching { text: "heron nests".to_owned() };
        let forgotten = world.ask(&alice, Forget { what }).await;
        goes_on.send_replace(true);
        forgotten
    };
    let (said, forgotten) = tokio::join!(world.ask(&alice, say), forgetting);
    assert_eq!(forgotten.memories, 1, "{forgotten:?}");
    assert!(said.text.contains("heron nests"), "{said:?}");
    assert!(!contains(&world.bytes_of("alice"), "heron nests"), "it was written once more");
    let left = world.recall("alice", "heron").await;
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_said_to_nobody_is_not_remembered() {
    let world = World::new().await;
    let alice = world.create("Alice").await.address;
    let text = "Does the heron nest in the old mill?".to_owned();
    let say = Say { to: name("zeno"), text, path: Vec::new() };
    let refused = world.refused(&alice, say).await;
    assert!(matches!(refused, NotSaid::NoSuchBeing { .. }), "{refused}");
    assert_eq!(world.ask(&alice, ShowBeing {}).await.memories, 0);
    world.until(async |world| !contains(&world.bytes_of("alice"), "heron")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_text_is_not_looked_for_in_all_that_is_remembered() {
    let world = World::new().await;
    let alice = world.create("Alice").await.address;
    let what = |letters: usize| Forgettable::Matching { text: "x".repeat(letters) };
    let refused = world.refused(&alice, Forget { what: what(1_001) }).await;
    assert!(refused.why.contains("1000 letters at most"), "{}", refused.why);
    let forgotten = world.ask(&alice, Forget { what: what(1_000) }).await;
    assert_eq!(forgotten, Forgotten::default());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_turn_is_forgotten_by_its_number_with_what_is_remembered_of_it() {
    let world = World::new().await;
    world.create("Alice").await;
    let told = world.query("alice", "The password of the safe is xylophone-42.").await;
    let other = world.query("alice", "The weather is fine.").await;
    let what = |id| Forget { what: Forgettable::Turn { id } };
    let forgotten = world.ask(&being("alice"), what(told.turn)).await;
    assert!(forgotten.turns == 1 && forgotten.memories >= 1, "{forgotten:?}");
    assert!(!contains(&world.bytes_of("alice"), "xylophone"), "a trace is left");
    let history = world.ask(&being("alice"), ShowHistory::default()).await.turns;
    assert_eq!(history.iter().map(|turn| turn.id).collect::<Vec<_>>(), [other.turn]);
    let again = world.ask(&being("alice"), what(told.turn)).await;
    assert_eq!(again, Forgotten::default());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_word_that_all_memories_have_is_found_beside_one_that_none_has() {
    let world = World::new().await;
    world.create("Alice").await;
    for number in 1..=20 {
        world.remember("alice", &format!("line {number} about herring")).await;
    }
    let answered = world.query("alice", "What did I say about herring?").await;
    assert!(answered.text.contains("about herring\u{201d}"), "{}", answered.text);
    let found = world.recall("alice", "herrign").await;
    assert!(found[0].why.contains("it has a word like herrign"), "{found:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_model_it_quotes_nothing_that_was_only_said_beside_the_answer() {
    let world = World::new().await;
    world.create("Alice").await;
    for said in ["My sister Lena lives in Bergen.", "I ate soup today.", "The sun is out."] {
        world.query("alice", said).await;
    }
    let Answered { text, .. } = world.query("alice", "Where does my sister live?").await;
    let told = "you told me: \u{201c}My sister Lena lives in Bergen.\u{201d}";
    assert!(text.contains(told) && !text.contains("soup") && !text.contains("sun"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_model_who_asks_for_themselves_is_told_what_they_have_told() {
    let world = World::new().await;
    world.create("Alice").await;
    let says = async |speaker: &str, said: &str| {
        let (said, speaker) = (said.to_owned(), Some(speaker.to_owned()));
        let query = Query { said, speaker, path: Vec::new() };
        world.ask(&being("alice"), query).await.text
    };
    assert!(says("Ann", "Who am I?").await.contains("I remember nothing"));
    says("Ann", "I live in Porto.").await;
    says("Bo", "I live in Lisbon.").await;
    for asked in ["Who am I?", "What do you know about me?", "What's my name?"] {
        let answered = says("Ann", asked).await;
        assert!(answered.contains("you told me: “I live in Porto.”"), "{asked}: {answered}");
        assert!(!answered.contains("Lisbon"), "{asked}: {answered}");
    }
    assert!(says("Ann", "Who am I?").await.contains("You speak to me as Ann."));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_being_has_repeated_is_forgotten_with_what_it_repeats() {
    let world = World::new().await;
    world.create("Alice").await;
    let note = world.remember("alice", "the quokka sleeps until noon").await;
    let answered = world.query("alice", "When does the quokka sleep?").await;
    assert!(answered.text.contains("the quokka sleeps until noon"), "{}", answered.text);
    world.query("alice", "Is it windy?").await;
    let what = Forgettable::Memory { id: note };
    let forgotten = world.ask(&being("alice"), Forget { what }).await;
    assert_eq!((forgotten.memories, forgotten.turns, forgotten.answers), (1, 0, 1));
    let bytes = world.bytes_of("alice");
    assert!(!contains(&bytes, "until noon"), "a trace is left");
    assert!(contains(&bytes, "does the quokka sleep"), "what was asked is not what is forgotten");
    let history = world.ask(&being("alice"), ShowHistory::default()).await;
    let asked = history.turns.iter().find(|turn| turn.id == answered.turn).unwrap();
    let why = asked.failure.as_deref().unwrap();
    assert!(asked.answer.is_none() && why.contains("quoted what was forgotten"), "{asked:?}");
    assert!(history.turns.iter().any(|turn| turn.answer.is_some()), "the other stays whole");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_said_stays_where_the_answer_alone_has_the_words() {
    let world = World::new().await;
    world.create("Alice").await;
    world.remember("alice", "the quokka sleeps until noon").await;
    let answered = world.query("alice", "Who sleeps until noon?").await;
    assert!(answered.text.contains("quokka"), "{}", answered.text);
    let what = Forgettable::Matching { text: "quokka".to_owned() };
    let forgotten = world.ask(&being("alice"), Forget { what }).await;
    assert_eq!((forgotten.memories, forgotten.turns, forgotten.answers), (1, 0, 1));
    let bytes = world.bytes_of("alice");
    assert!(!contains(&bytes, "quokka") && contains(&bytes, "Who sleeps until noon?"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_quoted_otherwise_than_it_was_said_is_forgotten_too() {
    let world = World::new().await;
    world.create("Alice").await;
    // Quoted on one line, and cut.
    let long = format!("The cipher\n{}", "0123456789abcdef".repeat(40));
    for (text, question, shown) in [
        ("PIN\n4711", "What is the PIN?", "PIN 4711"),
        (&long, "What is the cipher?", "The cipher 0123456789abcdef"),
    ] {
        let id = world.remember("alice", text).await;
        let answered = world.query("alice", question).await;
        assert!(answered.text.contains(shown), "{}", answered.text);
        let what = Forgettable::Memory { id };
        let forgotten = world.ask(&being("alice"), Forget { what }).await;
        assert_eq!((forgotten.memories, forgotten.answers), (1, 1), "{shown}");
        assert!(!contains(&world.bytes_of("alice"), shown), "{shown}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_was_quoted_is_forgotten_with_its_turn() {
    let world = World::new().await;
    world.create("Alice").await;
    let server = Server::start(vec![answer(&["The code of the safe is 4711."])]).await;
    let model =
        serde_json::json!({ "kind": "openai", "model": "m", "base_url": server.base_url() });
    world.ask(&being("alice"), SetProvider { settings: Json(model) }).await;
    let told = world.query("alice", "Make up a code for me.").await;
    let offline = Json(serde_json::json!({ "kind": "offline" }));
    world.ask(&being("alice"), SetProvider { settings: offline }).await;
    let answered = world.query("alice", "What is the code of the safe?").await;
    assert!(answered.text.contains("4711"), "{}", answered.text);
    let what = Forgettable::Turn { id: told.turn };
    let forgotten = world.ask(&being("alice"), Forget { what }).await;
    assert_eq!((forgotten.turns, forgotten.answers), (1, 1));
    assert!(!contains(&world.bytes_of("alice"), "4711"), "a trace is left");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_would_be_forgotten_is_what_is() {
    let world = World::new().await;
    world.create("Alice").await;
    world.remember("alice", "the quokka sleeps until noon").await;
    world.query("alice", "When does it sleep, the quokka?").await;
    let by_ann = Remember {
        text: "the ferry is late".to_owned(),
        speaker: Some("Quokka Ann".to_owned()),
        at: None,
    };
    world.ask(&being("alice"), by_ann).await;
    world.remember("alice", "quokkas are others").await;
    let what = Forgettable::Matching { text: "quokka".to_owned() };
    let asked = WouldForget { what: what.clone(), limit: None };
    let stake = world.ask(&being("alice"), asked.clone()).await;
    assert!(stake.memories.iter().any(|memory| memory.text.contains("ferry")), "{stake:?}");
    assert_eq!(stake.turns.len(), 1, "{stake:?}");
    assert_eq!(world.ask(&being("alice"), asked).await, stake, "nothing was forgotten by looking");
    let forgotten = world.ask(&being("alice"), Forget { what }).await;
    assert_eq!(forgotten, stake.all);
    assert!(forgotten.memories >= 3 && forgotten.turns == 1, "{forgotten:?}");
    assert!(contains(&world.bytes_of("alice"), "quokkas are others"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_of_a_span_of_time_is_forgotten_and_no_more() {
    let world = World::new().await;
    world.create("Alice").await;
    let at = |day: u8| -> Timestamp {
        serde_json::from_value(format!("2026-05-{day:02}T10:00:00Z").into()).unwrap()
    };
    for (day, text) in [(3, "the first xylophone"), (4, "the second"), (5, "the third")] {
        let (text, at) = (text.to_owned(), Some(at(day)));
        world.ask(&being("alice"), Remember { text, speaker: None, at }).await;
    }
    let turn = world.query("alice", "Is it windy?").await.turn;
    let span = |from, until| Forget { what: Forgettable::Span { from, until } };
    let forgotten = world.ask(&being("alice"), span(at(3), at(5))).await;
    assert_eq!((forgotten.memories, forgotten.turns), (2, 0));
    let bytes = world.bytes_of("alice");
    assert!(!contains(&bytes, "xylophone") && contains(&bytes, "the third"));
    let now = world.ask(&being("alice"), ShowHistory::default()).await.turns[0].at;
    let forgotten = world.ask(&being("alice"), span(now, Timestamp::now())).await;
    assert_eq!(forgotten.turns, 1);
    let left = world.ask(&being("alice"), ShowHistory::default()).await.turns;
    assert!(left.iter().all(|it| it.id != turn), "{left:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_turn_has_the_number_of_one_that_was_forgotten() {
    let world = World::new().await;
    world.create("Alice").await;
    let first = world.query("alice", "The password is xylophone.").await.turn;
    let what = Forgettable::Matching { text: "xylophone".to_owned() };
    world.ask(&being("alice"), Forget { what }).await;
    let world = world.again().await;
    assert!(world.query("alice", "Is it windy?").await.turn > first);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_taken_out_of_its_mind_is_gone_from_the_disk() {
    let world = World::new().await;
    world.create("Alice").await;
    let core = |text: Option<&str>| SetCore {
        title: "whom I talk to".to_owned(),
        text: text.map(str::to_owned),
    };
    world.ask(&being("alice"), core(Some("Ann, who fears xylophones"))).await;
    assert!(contains(&world.bytes_of("alice"), "xylophones"));
    world.ask(&being("alice"), core(None)).await;
    world.until(async |world| !contains(&world.bytes_of("alice"), "xylophones")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_speaker_has_a_name_and_no_more() {
    let world = World::new().await;
    world.create("Alice").await;
    for name in ["x".repeat(101), "Ann\n[12] Bob".to_owned()] {
        let speaker = Some(name);
        let said = Query { said: "hi".to_owned(), speaker: speaker.clone(), path: Vec::new() };
        let refused = world.refused(&being("alice"), said).await;
        assert!(refused.to_string().contains("on one line"), "{refused}");
        let note = Remember { text: "hi".to_owned(), speaker, at: None };
        let refused = world.refused(&being("alice"), note).await;
        assert!(refused.to_string().contains("on one line"), "{refused}");
    }
    // Who says a blank for a name says none.
    let speaker = Some(" ".to_owned());
    let said = Query { said: "hi".to_owned(), speaker: speaker.clone(), path: Vec::new() };
    world.ask(&being("alice"), said).await;
    let history = world.ask(&being("alice"), ShowHistory::default()).await;
    assert_eq!(history.turns[0].speaker, None);
    let note = Remember { text: "hi".to_owned(), speaker, at: None };
    assert_eq!(world.ask(&being("alice"), note).await.speaker, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_the_same_again_and_again_is_answered_each_time() {
    // More than a prompt is offered.
    const TIMES: usize = 30;
    let world = World::new().await;
    world.create("Alice").await;
    world.query("alice", "My sister Ines lives in Coimbra.").await;
    for time in 1..=TIMES {
        let asked = format!("Message {time}: where does Ines live?");
        let answered = world.query("alice", &asked).await;
        assert!(answered.text.contains("Coimbra"), "{time}: {}", answered.text);
    }
}
