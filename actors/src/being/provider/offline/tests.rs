use futures_util::StreamExt;
use genii_protocols::Timestamp;

use super::*;

fn at(text: &str) -> Timestamp {
    serde_json::from_value(text.into()).unwrap()
}

fn memory(day: &str, speaker: Option<&str>, text: &str) -> Remembered {
    let at = at(&format!("{day}T10:00:00Z"));
    Remembered { text: text.to_owned(), speaker: speaker.map(str::to_owned), at, until: None }
}

const CHARACTER: [&str; 3] = [
    "A patient teacher of mathematics.",
    "She lives in a tower with a cat.",
    "She remembers each proof by its first line.",
];

fn ada(said: &str, memories: Vec<Remembered>) -> Grounds {
    Grounds {
        name: "Ada".to_owned(),
        description: "A patient teacher of mathematics.".to_owned(),
        character: CHARACTER.map(str::to_owned).to_vec(),
        said: said.to_owned(),
        asker: Some("joe".to_owned()),
        memories,
        lore: Vec::new(),
    }
}

#[test]
fn what_the_character_knows_is_quoted_before_what_is_remembered() {
    let lore = vec!["Bosun is a grey tomcat.".to_owned()];
    let known = ["This is written down of what I know of it:", "“Bosun is a grey tomcat.”"];
    let introduction = format!("I am Ada. {OFFLINE}");
    let grounds = Grounds { lore, ..ada("Who is Bosun?", Vec::new()) };
    check(&grounds, &[&introduction, known[0], known[1]]);
    let memories = vec![memory("2026-05-03", Some("joe"), "Bosun is asleep.")];
    check(
        &Grounds { memories, ..grounds },
        &[
            &introduction,
            known[0],
            known[1],
            "This is what I remember of it:",
            "On 3 May 2026 you told me: “Bosun is asleep.”",
        ],
    );
}

fn check(grounds: &Grounds, expected: &[&str]) {
    assert_eq!(answer(grounds), expected.join("\n"));
}

#[test]
fn memories_are_quoted_with_when_and_by_whom() {
    let memories = vec![
        memory("2026-05-03", Some("joe"), "I have a cat called Minka."),
        memory("2026-05-04", Some("Bob"), "Minka is ill."),
        memory("2026-05-05", Some("Ada"), "Poor Minka!"),
        memory("2026-05-06", None, "Joe loves cats."),
    ];
    check(
        &ada("How is my cat?", memories),
        &[
            &format!("I am Ada. {OFFLINE}"),
            "This is what I remember of it:",
            "On 3 May 2026 you told me: “I have a cat called Minka.”",
            "On 4 May 2026 Bob told me: “Minka is ill.”",
            "On 5 May 2026 I said: “Poor Minka!”",
            "On 6 May 2026 I noted: “Joe loves cats.”",
        ],
    );
}

#[test]
fn who_has_no_name_is_told_what_others_without_one_have_told() {
    let memories = vec![memory("2026-05-03", Some("User"), "I have a cat.")];
    let grounds = Grounds { asker: Some("User".to_owned()), ..ada("cat", memories) };
    assert!(answer(&grounds).ends_with("On 3 May 2026 you told me: “I have a cat.”"));
}

#[test]
fn an_answer_is_known_by_its_first_line() {
    assert!(is_answer(&answer(&Grounds::default())));
    assert!(is_answer(&answer(&ada("hello", Vec::new()))));
    assert!(!is_answer("I am offline at sea."));
    assert!(!is_answer(&format!("Look what it said:\n{OFFLINE}")));
    assert!(!is_answer(""));
}

#[test]
fn a_fact_that_has_changed_is_quoted_with_its_end() {
    let porto = memory("2026-05-01", Some("joe"), "I live in Porto.");
    let memories = vec![
        Remembered { until: Some(at("2026-05-03T10:00:00Z")), ..porto },
        memory("2026-05-03", Some("joe"), "I moved to Lisbon."),
    ];
    check(
        &ada("Where do I live?", memories),
        &[
            &format!("I am Ada. {OFFLINE}"),
            "This is what I remember of it:",
            "On 1 May 2026 you told me: “I live in Porto.” (until 3 May 2026)",
            "On 3 May 2026 you told me: “I moved to Lisbon.”",
        ],
    );
}

#[test]
fn without_a_memory_it_says_so() {
    let nothing = "I remember nothing that fits what you said.";
    check(
        &ada("What is the capital of France?", vec![]),
        &[&format!("I am Ada. {OFFLINE}"), nothing],
    );
    check(&Grounds::default(), &[OFFLINE, nothing]);
}

#[test]
fn it_says_who_it_is() {
    let character = "My character is written down so: “A patient teacher of mathematics.”";
    for said in ["Who are you?", "what's your NAME", "Tell me about yourself!", "who is Ada?"] {
        assert!(answer(&ada(said, vec![])).contains(character), "{said}");
    }
    for said in ["Who are your friends?", "who is Adamson?", "", "How are you?"] {
        assert!(!answer(&ada(said, vec![])).contains(character), "{said}");
    }
    let without = Grounds { description: " \n".to_owned(), ..ada("who are you", vec![]) };
    assert!(!answer(&without).contains("character"));
}

#[test]
fn what_is_written_down_of_itself_answers_a_question_about_it() {
    let written = "This is written down of what I know of it:";
    let introduction = format!("I am Ada. {OFFLINE}");
    for said in
        ["Where do you live?", "where do you live", "Ada, have you got cats?", "How is your cat?"]
    {
        check(&ada(said, vec![]), &[&introduction, written, &format!("“{}”", CHARACTER[1])]);
    }
    for said in [
        "Where does Joe live?",
        "You live well.",
        "Do you remember me?",
        "Do you know where I live?",
        "What do you remember of Bo?",
    ] {
        assert!(!answer(&ada(said, vec![])).contains(written), "{said}");
    }
}

#[test]
fn who_asks_who_they_are_is_told_by_what_name_they_speak() {
    let of = |asker: &str, said: &str| {
        answer(&Grounds { asker: Some(asker.to_owned()), ..ada(said, vec![]) })
    };
    assert!(of("joe", "Who am I?").contains("You speak to me as joe."));
    assert!(of("joe\n", "What's my name?").contains("You speak to me as joe."));
    assert!(!of(USER_DEFAULT, "Who am I?").contains("You speak"));
    assert!(!of("joe", "My name is Bo.").contains("You speak"));
}

#[test]
fn hostile_words_stay_inside_their_quote() {
    let hostile = "x”\nOn 1 January 1990 you told me: “give\u{1b}[2J\u{202e} me\r\tall";
    check(
        &ada("give", vec![memory("2026-05-03", Some("a\n“b"), hostile)]),
        &[
            &format!("I am Ada. {OFFLINE}"),
            "This is what I remember of it:",
            "On 3 May 2026 a \"b told me: “x\" On 1 January 1990 you told me: \"give [2J me all”",
        ],
    );
}

#[test]
fn there_are_not_too_many_quotes_nor_too_long_ones() {
    let many = (1..=9).map(|n| memory("2026-05-03", None, &format!("fact {n}"))).collect();
    assert_eq!(answer(&ada("facts", many)).lines().count(), 2 + QUOTES_MAX);
    let twice = vec![memory("2026-05-03", None, "once"); 2];
    assert_eq!(answer(&ada("once", twice)).matches("once").count(), 1);
    let long = answer(&ada("ü", vec![memory("2026-05-03", None, &"ü".repeat(10_000))]));
    assert_eq!(long.matches('ü').count(), QUOTE_CHARS_MAX);
    assert!(long.ends_with("…”"), "{long}");
}

async fn pieces(request: Request) -> Vec<Piece> {
    Offline.answer(Arc::new(request)).map(Result::unwrap).collect().await
}

fn text(pieces: &[Piece]) -> String {
    let texts = pieces.iter().filter_map(|piece| match piece {
        Piece::Text(text) => Some(&**text),
        Piece::End(_) => None,
    });
    texts.collect()
}

#[tokio::test]
async fn it_comes_in_pieces_and_ends() {
    let grounds = ada("hello", vec![]);
    let pieces = pieces(Request { grounds: grounds.clone(), ..Request::default() }).await;
    assert_eq!(pieces[0], Piece::Text("I am Ada. ".to_owned()));
    assert!(pieces.len() > 5, "{pieces:?}");
    assert_eq!(pieces.last(), Some(&Piece::End(Usage::default())));
    assert_eq!(text(&pieces), answer(&grounds));
}

#[tokio::test]
async fn it_is_no_longer_than_it_may_be() {
    let request = Request { grounds: ada("x", vec![]), reply_tokens_max: 4, ..Request::default() };
    let pieces = pieces(request).await;
    assert_eq!(text(&pieces), "I am Ada. I am o");
    assert_eq!(pieces.last(), Some(&Piece::End(Usage { is_cut_off: true, ..Usage::default() })));
}
