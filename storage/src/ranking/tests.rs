//! Tests of ranking, on conversations invented for it.

use std::time::{Duration, UNIX_EPOCH};

use genii_protocols::wire;
use proptest::prelude::*;

use super::tail::Tail;
use super::*;
use crate::embed::Embedder;
use crate::embed::hashed::Hashed;
use crate::vector::{Aim, Vector};

const DAY: u64 = 86_400;

/// 15 May 2024, in seconds.
const TODAY: u64 = 19_858 * DAY;

fn seconds(seconds: u64) -> Timestamp {
    (UNIX_EPOCH + Duration::from_secs(seconds)).into()
}

fn vector(text: &str) -> Vec<f32> {
    Hashed::new().embed(&[text]).unwrap().remove(0)
}

fn kept(text: &str) -> Vector {
    Vector::new(&vector(text))
}

/// Memories by their place, each a day after the one before, so that none is another's neighbour.
fn notes(texts: &[&str]) -> Tail {
    spoken(texts.iter().map(|text| (None, *text)), DAY)
}

/// Turns by their place, a second apart.
fn talk(turns: &[(&'static str, &'static str)]) -> Tail {
    spoken(turns.iter().map(|(name, text)| (Some(*name), *text)), 1)
}

fn spoken<'a>(turns: impl Iterator<Item = (Option<&'a str>, &'a str)>, apart: u64) -> Tail {
    let mut tail = Tail::new();
    for (id, (name, text)) in (0..).zip(turns) {
        let at = seconds(TODAY - 100 * DAY + id * apart);
        tail.insert(id, at, Analysis::new(text, name, at), kept(text));
    }
    tail
}

fn ask(tail: &Tail, text: &str) -> Vec<Ranked> {
    ask_with(tail, text, &Weights::default())
}

fn ask_with(tail: &Tail, text: &str, weights: &Weights) -> Vec<Ranked> {
    ask_question(tail, Question::new(text, seconds(TODAY)), &vector(text), weights)
}

fn ask_question(tail: &Tail, question: Question, vector: &[f32], weights: &Weights) -> Vec<Ranked> {
    let best = tail.best(&question, 50, |_| 1.0);
    let candidates = best.candidates(&question, &Aim::new(vector));
    rank(&question, &candidates, &tail.statistics(&question), weights, 10)
}

fn ids(found: &[Ranked]) -> Vec<u64> {
    found.iter().map(|found| found.id).collect()
}

const NOTES: [&str; 8] = [
    "the spare key is under the blue pot",
    "Milk, bread, two lemons",
    "Dentist on 12 June at 9",
    "Grandma's birthday is on 3 October",
    "the wifi password of the cabin is larkspur42",
    "Ask Tom whether the boat is mended",
    "the red pot has a crack",
    "Reminder: water the ferns",
];

#[test]
fn a_question_that_was_asked_before_does_not_stand_before_its_answer() {
    let asked = "Where does my sister live?";
    let turns = [
        "My sister Ingrid keeps bees in Bergen.",
        "I am allergic to walnuts.",
        asked,
        "The car is at the garage.",
        "Nice weather.",
        "I bought new shoes.",
        asked,
        "The train was late.",
    ];
    let tail = spoken(turns.iter().map(|text| (Some("Ann"), *text)), 60);
    let question = Question::new(asked, seconds(TODAY)).asked_by("Ann");
    let found = ask_question(&tail, question, &vector(asked), &Weights::default());
    assert_eq!(found[0].id, 0, "{found:?}");
    let score = |id: u64| found.iter().find(|it| it.id == id).map_or(0.0, |it| it.score);
    assert!(score(3) < score(0) / 2.0 && score(7) < score(0) / 2.0, "{found:?}");
    // Of two who talk, the other answers.
    let tail = talk(&[("Ann", "Where does Ingrid live?"), ("Bob", "In Bergen, by the harbour.")]);
    assert_eq!(ask(&tail, "Where does Ingrid live?")[0].id, 1);
}

#[test]
fn a_note_is_found_by_its_own_words() {
    let tail = notes(&NOTES);
    for (id, text) in (0..).zip(NOTES) {
        let found = ask(&tail, text);
        assert_eq!(found[0].id, id, "{text}");
        assert!(found[0].score > 0.7, "{text}: {}", found[0].score);
    }
}

#[test]
fn a_note_is_found_as_a_person_asks() {
    let tail = notes(&NOTES);
    for (question, id) in [
        ("Where is the spare key?", 0),
        ("when do I see the dentist?", 2),
        ("when is my grandmother's birthday", 3),
        ("what's the cabins wifi pasword?", 4),
        ("which pot is cracked?", 6),
        ("what happens on 12 June?", 2),
        ("what reminders do I have?", 7),
    ] {
        let found = ask(&tail, question);
        assert_eq!(found.first().map(|found| found.id), Some(id), "{question}: {found:#?}");
    }
}

#[test]
fn what_nothing_speaks_to_is_not_found() {
    let tail = notes(&NOTES);
    for question in ["zyx", "", "🎉", "?"] {
        assert_eq!(ask(&tail, question), [], "{question}");
    }
    assert_eq!(ask(&Tail::new(), "the spare key"), []);
}

const TALK: [(&str, &str); 8] = [
    ("Ann", "Hello, how was the regatta?"),
    ("Bob", "Windy, and we came in third."),
    ("Ann", "And what did you name the new boat?"),
    ("Bob", "Marigold, after my aunt."),
    ("Ann", "Lovely."),
    ("Bob", "I began to learn the cello last week."),
    ("Ann", "Bob, do you play the cello every day?"),
    ("Ann", "I play the oboe myself."),
];

#[test]
fn an_answer_is_found_by_the_question_before_it() {
    let tail = talk(&TALK);
    let found = ask(&tail, "What is the name of Bob's boat?");
    assert_eq!(found[0].id, 3, "{found:#?}");
    let from: Vec<Option<u64>> = found[0].reasons.words.iter().map(|word| word.beside).collect();
    assert!(from.contains(&Some(2)), "{from:?}");
    let alone = Weights { after: [0.0; 2], before: [0.0; 2], ..Weights::default() };
    assert_ne!(ask_with(&tail, "What is the name of Bob's boat?", &alone)[0].id, 3);
}

#[test]
fn memories_far_apart_in_time_are_no_neighbours() {
    let days = spoken(TALK.iter().map(|(name, text)| (Some(*name), *text)), DAY);
    let found = ask(&days, "the name of the new boat");
    assert_eq!(found[0].id, 2);
    assert!(found.iter().all(|found| found.id != 3), "{found:#?}");
}

#[test]
fn who_is_named_comes_before_who_is_spoken_to() {
    let tail = talk(&TALK);
    for (question, id) in [("Does Bob play the cello?", 5), ("What does Ann play?", 7)] {
        let found = ask(&tail, question);
        assert_eq!(found[0].id, id, "{question}: {found:#?}");
        assert!(found[0].reasons.speaker.is_some());
    }
    let found = ask(&tail, "Bob's");
    assert!(found.iter().any(|found| found.id == 1), "his turns are found by his name alone");
}

#[test]
fn my_means_who_asks() {
    let turns = [("Ann", "the dog is called Rex"), ("Cy", "the dog is called Fido")];
    let tail = spoken(turns.iter().map(|(name, text)| (Some(*name), *text)), DAY);
    for (name, id) in [("Ann", 0), ("Cy", 1)] {
        let text = "what is my dog called?";
        let question = Question::new(text, seconds(TODAY)).asked_by(name);
        assert_eq!(ask_question(&tail, question, &vector(text), &Weights::default())[0].id, id);
    }
    let question = Question::new("what is the dog called?", seconds(TODAY));
    assert_eq!(question.clone().asked_by("Ann"), question);
}

#[test]
fn days_asked_about_are_found() {
    let mut tail = Tail::new();
    for (id, (text, ago)) in (0..).zip([
        ("We sailed to the island", 400),
        ("We sailed to the lighthouse", 20),
        ("We sailed to the harbour", 1),
        ("We will sail to the island on 3 March 2025", 90),
    ]) {
        let at = seconds(TODAY - ago * DAY);
        tail.insert(id * 10, at, Analysis::new(text, None, at), kept(text));
    }
    for (question, id) in [
        ("where did we sail yesterday?", 20),
        ("where did we sail in April 2024?", 10),
        ("where did we sail in April?", 10),
        ("where did we sail last year?", 0),
        ("what happens on 3 March?", 30),
    ] {
        let found = ask(&tail, question);
        assert_eq!(found[0].id, id, "{question}: {found:#?}");
        assert!(found[0].reasons.date > 0.1, "{question}");
    }
}

#[test]
fn asked_when_what_tells_a_time_comes_first() {
    let tail = notes(&["Bought a kayak", "Bought a kayak yesterday", "Bought a kayak?"]);
    assert_eq!(ids(&ask(&tail, "When was the kayak bought?")), [1, 0, 2]);
}

#[test]
fn a_misspelt_word_is_told_as_what_it_was_found() {
    let tail = notes(&["we won the chess tournament", "we lost the key"]);
    let found = ask(&tail, "torunament");
    assert_eq!(found[0].id, 0);
    let word = &found[0].reasons.words[0];
    assert_eq!((word.word.as_str(), word.spelt.as_deref()), ("torunament", Some("tournament")));
}

#[test]
fn a_word_that_all_have_is_found_beside_one_that_none_has() {
    let lines: Vec<String> = (0..20).map(|line| format!("line {line} about herring")).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let found = ask(&notes(&lines), "What did I say about herring?");
    assert_eq!(found.len(), 10);
    assert!(found.iter().all(|found| found.score > 0.4), "{found:#?}");
    let both = ask(&notes(&[&lines[..], &["I said that herring keeps"]].concat()), "say herring");
    assert_eq!(both[0].id, 20);
    assert!(both[1].score < 0.1, "a word that somebody has counts in full: {both:#?}");
}

#[test]
fn a_word_that_none_has_counts_in_full_for_who_has_it_misspelt() {
    let lines = ["line of red wool", "line of blue wool", "line of wool, tournament"];
    let found = ask(&notes(&lines), "wool torunament");
    assert_eq!(found[0].id, 2, "{found:#?}");
    assert!(found[0].score > found[1].score + 0.1, "{found:#?}");
}

#[test]
fn a_memory_is_found_by_its_meaning_alone() {
    let mut tail = Tail::new();
    for (id, (text, vector)) in
        (0..).zip([("feline", [1.0, 0.0]), ("anchor", [0.0, 1.0]), ("harbour", [0.6, 0.8])])
    {
        let at = seconds(TODAY - id * DAY);
        tail.insert(id * 10, at, Analysis::new(text, None, at), Vector::new(&vector));
    }
    let question = Question::new("cats?", seconds(TODAY));
    let found = ask_question(&tail, question, &[1.0, 0.0], &Weights::of_meaning());
    assert_eq!(ids(&found), [0, 20]);
    let similarity = found[0].reasons.similarity.as_ref().unwrap();
    assert_eq!((similarity.cosine, similarity.beside), (1.0, None));
}

#[test]
fn of_equal_ones_the_newer_comes_first() {
    let tail = notes(&["the boat", "the boat", "the boat"]);
    assert_eq!(ids(&ask(&tail, "boat")), [2, 1, 0]);
}

#[test]
fn the_order_of_candidates_does_not_matter() {
    let tail = talk(&TALK);
    let question = Question::new("does Bob play the cello", seconds(TODAY));
    let best = tail.best(&question, 50, |_| 1.0);
    let mut candidates = best.candidates(&question, &Aim::new(&vector("cello")));
    let statistics = tail.statistics(&question);
    let weights = Weights::default();
    let expected = rank(&question, &candidates, &statistics, &weights, 10);
    candidates.reverse();
    candidates.extend_from_within(..3);
    assert_eq!(rank(&question, &candidates, &statistics, &weights, 10), expected);
    assert_eq!(rank(&question, &candidates, &statistics, &weights, 2), expected[..2]);
}

#[test]
fn reasons_read_well() {
    let found = ask(&talk(&TALK), "What is the name of Bob's boat?");
    let told = serde_json::to_value(&found[0].reasons).unwrap();
    assert_eq!(told["words"][0]["beside"], 2);
    assert_eq!(told["speaker"]["name"], "bob");
    assert_eq!(told["date"], 0.0);
    let bytes = wire::encode(&found[0].reasons).unwrap();
    assert_eq!(wire::decode::<Reasons>(&bytes).unwrap(), found[0].reasons);
}

#[test]
fn counts_of_two_sets_add_up() {
    let (first, second) = (notes(&["boat", "pot"]), notes(&["boat and oar"]));
    let question = Question::new("boat oar", seconds(TODAY));
    let both = first.statistics(&question).and(&second.statistics(&question));
    assert_eq!((both.memories, both.terms), (3, 4));
    assert_eq!(both.frequencies, BTreeMap::from([("boat".to_owned(), 2), ("oar".to_owned(), 1)]));
}

#[test]
fn what_to_search_for_fits_what_an_index_holds() {
    let question = Question::new("What did Ann mend on 15 May 2024?", seconds(TODAY));
    let wanted = question.search_terms();
    let wanted: Vec<&str> = wanted.split(' ').collect();
    let held = Analysis::new("Mended the boat", Some("Ann"), seconds(TODAY)).index_terms();
    let common: Vec<&str> = held.split(' ').filter(|term| wanted.contains(term)).collect();
    assert_eq!(common, ["mend", "@ann", "#2024-05-15"]);
    let held = |question: &str| Question::new(question, seconds(TODAY)).search_terms();
    assert!(held("sailing in May").contains("#05"));
    assert!(held("sailing in May 2023").contains("#2023-05 #2023-06"));
    assert!(held("sailing in 2023").contains("#2023"));
}

#[test]
fn a_huge_question_is_cut() {
    let text: String = (0..100_000).map(|number| format!("word{number} on 3 May ")).collect();
    let question = Question::new(&text, seconds(TODAY)).asked_by(&text);
    assert!(question.terms().len() <= 64);
    assert!(ask_question(&notes(&NOTES), question, &[], &Weights::default()).len() <= 10);
}

#[test]
fn senseless_numbers_do_no_harm() {
    let analysis = Analysis::new("the boat", None, seconds(TODAY));
    let at = seconds(TODAY);
    let candidate =
        |id, similarity| Candidate { id, at, analysis: &analysis, similarity: Some(similarity) };
    let candidates = [
        candidate(0, f32::NAN),
        candidate(5, f32::INFINITY),
        candidate(u64::MAX, -7.0),
        candidate(9, 7.0),
    ];
    let question = Question::new("boat", at);
    for statistics in [
        Statistics::default(),
        Statistics { memories: 1, terms: 0, frequencies: BTreeMap::from([("boat".to_owned(), 9)]) },
    ] {
        let found = rank(&question, &candidates, &statistics, &Weights::default(), 10);
        assert_eq!(found.len(), 4);
        assert!(found.iter().all(|found| (0.0..=1.0).contains(&found.score)), "{found:#?}");
    }
}

proptest! {
    #[test]
    fn scores_are_in_order_and_shares_make_one(
        texts in prop::collection::vec("([a-d]{1,2}|on 3 May 2024|Ann: |\\?|yesterday| ){0,12}", 1..12),
        question in "([a-d]{1,2}|Ann|when|in May|my| ){0,8}",
        together in any::<bool>(),
    ) {
        let texts = texts.iter().map(|text| (None, text.as_str()));
        let tail = spoken(texts, if together { 1 } else { DAY });
        let found = ask(&tail, &question);
        for pair in found.windows(2) {
            prop_assert!(pair[0].score >= pair[1].score);
        }
        for one in &found {
            prop_assert!(one.score > 0.0 && one.score <= 1.0);
            let Reasons { words, similarity, speaker, date, kind } = &one.reasons;
            let shares: f32 = words.iter().map(|word| word.share).sum::<f32>()
                + similarity.as_ref().map_or(0.0, |part| part.share)
                + speaker.as_ref().map_or(0.0, |part| part.share)
                + date + kind;
            prop_assert!((shares - 1.0).abs() < 0.1, "{one:?}");
        }
        prop_assert_eq!(ask(&tail, &question), found);
    }
}
