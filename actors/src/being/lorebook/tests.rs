//! Which entries come, why, and in which order.

use serde_json::json;

use super::*;
use crate::being::prompt::{EstimatedTokens, TokenCounter};

/// Counts every text as ten.
struct Tens;

impl TokenCounter for Tens {
    fn count(&self, _: &str) -> u32 {
        10
    }
}

fn book(value: &Value) -> Lorebook {
    Lorebook::read(&Fields::of(value, "book").unwrap()).unwrap()
}

/// A book with one entry, of which some fields are said.
fn one(entry: Value) -> PreparedLorebook {
    let mut whole = json!({ "keys": ["dragon"], "content": "It sleeps." });
    whole.as_object_mut().unwrap().extend(entry.as_object().unwrap().clone());
    PreparedLorebook::new(&book(&json!({ "entries": [whole] })))
}

fn talk<'a>(texts: &'a [&'a str]) -> Talk<'a> {
    Talk { texts, ..Talk::default() }
}

fn comes(book: &PreparedLorebook, texts: &[&str]) -> bool {
    !book.activate(&talk(texts), &EstimatedTokens).taken.is_empty()
}

fn key(key: &str, with: Option<&str>) -> Why {
    Why::Key { key: key.to_owned(), with: with.map(str::to_owned) }
}

#[test]
fn an_entry_comes_when_the_table_says() {
    for (entry, said, expected) in [
        (json!({}), "a Dragon!", true),
        (json!({}), "dragonflies too", true),
        (json!({}), "a wyvern", false),
        (json!({ "enabled": false }), "a dragon", false),
        (json!({ "case_sensitive": true }), "a Dragon", false),
        (json!({ "case_sensitive": true }), "a dragon", true),
        (json!({ "extensions": { "match_whole_words": true } }), "dragonflies", false),
        (json!({ "extensions": { "match_whole_words": true } }), "the dragon, there", true),
        (json!({ "constant": true, "keys": [] }), "anything", true),
        (json!({ "constant": true, "keys": [], "use_regex": true }), "anything", false),
        (json!({ "keys": ["", " "] }), "a b", false),
        (json!({ "keys": ["ÉCLAIR"] }), "an éclair", true),
        (json!({ "selective": true, "secondary_keys": ["cave"] }), "a dragon", false),
        (json!({ "selective": true, "secondary_keys": ["cave"] }), "a dragon in a cave", true),
        (json!({ "selective": true, "secondary_keys": [] }), "a dragon", true),
        (json!({ "selective": true, "secondary_keys": ["", " "] }), "a dragon", true),
        (json!({ "selective": true, "secondary_keys": ["", "cave"] }), "a dragon", false),
        (json!({ "selective": true, "secondary_keys": ["", "cave"] }), "a dragon in a cave", true),
        (json!({ "secondary_keys": ["cave"] }), "a dragon", true),
        (json!({ "use_regex": true, "keys": ["dra[gk]on\\b"] }), "a DRAKON", true),
        (json!({ "use_regex": true, "keys": ["/Dragon/"] }), "a dragon", false),
        (json!({ "use_regex": true, "keys": ["/Dragon/i"] }), "a dragon", true),
        (json!({ "use_regex": true, "keys": ["(broken"] }), "(broken", false),
        (json!({ "content": "" }), "a dragon", false),
        (json!({ "content": "@@dont_activate\nText" }), "a dragon", false),
        (json!({ "content": "@@activate\nText" }), "anything", true),
        (json!({ "content": "@@activate\n@@dont_activate\nText" }), "anything", true),
        (json!({ "content": "@@exclude_keys toy, film\nText" }), "a toy dragon", false),
        (json!({ "content": "@@exclude_keys toy, film\nText" }), "a dragon", true),
        (json!({ "content": "@@additional_keys red,blue\nText" }), "a dragon", false),
        (json!({ "content": "@@additional_keys red,blue\nText" }), "a blue dragon", true),
        (json!({ "content": "@@unheard_of\nText" }), "a dragon", true),
        (json!({ "constant": true, "content": "@@exclude_keys film\nText" }), "a film", false),
    ] {
        assert_eq!(comes(&one(entry.clone()), &[said]), expected, "{entry} at {said:?}");
    }
}

#[test]
fn only_the_newest_texts_are_searched() {
    let old = ["a dragon", "two", "three", "four", "five"];
    assert!(!comes(&one(json!({})), &old), "it is the fifth, and four are searched");
    assert!(comes(&one(json!({})), &old[..4]));
    assert!(comes(&one(json!({ "content": "@@scan_depth 5\nText" })), &old));
    let shallow = book(&json!({ "scan_depth": 1, "entries": [{ "keys": ["x"], "content": "c" }] }));
    let shallow = PreparedLorebook::new(&shallow);
    assert!(comes(&shallow, &["y", "x"]) && !comes(&shallow, &["x", "y"]));
}

#[test]
fn decorators_look_at_the_moment() {
    let at = |content: &str, answers, greeting| {
        let book = one(json!({ "content": content }));
        let talk = Talk { texts: &["a dragon"], answers, greeting };
        !book.activate(&talk, &EstimatedTokens).taken.is_empty()
    };
    let after = "@@activate_only_after 3\nText";
    assert!(!at(after, 2, None) && at(after, 3, None));
    let every = "@@activate_only_every 3\nText";
    assert!(!at(every, 4, None) && at(every, 6, None));
    let greeting = "@@is_greeting 1\nText";
    assert!(!at(greeting, 0, Some(0)) && at(greeting, 0, Some(1)) && at(greeting, 0, None));
}

#[test]
fn each_entry_says_why_it_came() {
    let book = book(&json!({ "recursive_scanning": true, "entries": [
        { "keys": ["dragon"], "content": "It guards a crown." },
        { "keys": ["tin", "crown"], "content": "The crown is iron." },
        { "keys": ["cave"], "secondary_keys": ["north"], "selective": true, "content": "Cold." },
        { "keys": [], "constant": true, "content": "Always." },
        { "keys": ["iron"], "content": "Iron rusts." },
    ] }));
    let said = ["A dragon in a cave in the north"];
    let activation = PreparedLorebook::new(&book).activate(&talk(&said), &EstimatedTokens);
    let whys: Vec<(usize, Why)> =
        activation.taken.iter().map(|lore| (lore.index, lore.why.clone())).collect();
    let expected = vec![
        (0, key("dragon", None)),
        (1, Why::Lore { key: "crown".to_owned(), entry: 0 }),
        (2, key("cave", Some("north"))),
        (3, Why::Constant),
        (4, Why::Lore { key: "iron".to_owned(), entry: 1 }),
    ];
    assert_eq!(whys, expected);
}

#[test]
fn entries_call_each_other_only_if_the_book_says_and_only_so_often() {
    let chain: Vec<Value> = (0..10)
        .map(|at| json!({ "keys": [format!("k{at}.")], "content": format!("see k{}.", at + 1) }))
        .collect();
    let came = |recursive: bool| {
        let book = book(&json!({ "recursive_scanning": recursive, "entries": chain }));
        PreparedLorebook::new(&book).activate(&talk(&["k0."]), &EstimatedTokens).taken.len()
    };
    assert_eq!(came(false), 1);
    assert_eq!(came(true), 1 + ROUNDS_MAX);
}

#[test]
fn the_budget_keeps_what_matters_and_the_order_is_the_books() {
    let book = book(&json!({ "token_budget": 35, "entries": [
        { "keys": ["x"], "content": "a", "insertion_order": 9, "priority": 10 },
        { "keys": ["x"], "content": "b", "insertion_order": 3 },
        { "keys": ["x"], "content": "@@ignore_on_max_context\nc", "insertion_order": 1, "priority": 99 },
        { "keys": ["x"], "content": "d", "insertion_order": 5, "priority": 7 },
        { "keys": ["x"], "content": "e", "insertion_order": 5, "priority": 1 },
    ] }));
    let activation = PreparedLorebook::new(&book).activate(&talk(&["x"]), &Tens);
    let texts = |lore: &[ActiveLore]| lore.iter().map(|it| it.text.clone()).collect::<String>();
    assert_eq!(
        (texts(&activation.taken), texts(&activation.left_out)),
        ("bda".into(), "ec".into())
    );
    let without = Lorebook { token_budget: None, ..book.clone() };
    let activation = PreparedLorebook::new(&without).activate(&talk(&["x"]), &Tens);
    assert_eq!(
        texts(&activation.taken),
        "cbdea",
        "of two alike the first of the book stands first"
    );
    let nothing = Lorebook { token_budget: Some(0), ..book };
    assert!(PreparedLorebook::new(&nothing).activate(&talk(&["x"]), &Tens).taken.is_empty());
}

#[test]
fn entries_stand_where_they_say() {
    for (entry, expected) in [
        (json!({}), LorePosition::BeforeChar),
        (json!({ "position": "after_char" }), LorePosition::AfterChar),
        (json!({ "position": "elsewhere" }), LorePosition::BeforeChar),
        (json!({ "position": 3 }), LorePosition::BeforeChar),
        (json!({ "extensions": { "position": 4, "depth": 2 } }), LorePosition::Depth(2)),
        (json!({ "extensions": { "position": 1, "depth": 2 } }), LorePosition::BeforeChar),
        (json!({ "content": "@@depth 3\nText" }), LorePosition::Depth(3)),
        (json!({ "content": "@@position after_desc\n@@depth 3\nText" }), LorePosition::AfterChar),
    ] {
        let active = one(entry.clone()).activate(&talk(&["dragon"]), &EstimatedTokens).taken;
        assert_eq!(active[0].position, expected, "{entry}");
    }
}

#[test]
fn patterns_that_are_wrong_or_too_large_or_too_many_are_told() {
    let problem =
        |key: &str| one(json!({ "use_regex": true, "keys": [key] })).problems()[0].why.clone();
    assert_eq!(problem("(a"), "unclosed group");
    assert_eq!(problem("a\n(b"), "unclosed group", "on one line");
    assert!(problem("(\\w{1,200}){200}").contains("size limit"));
    let many: Vec<Value> = (0..=PATTERNS_MAX)
        .map(|at| json!({ "keys": [format!("^{at}$")], "use_regex": true, "content": "c" }))
        .collect();
    let book = PreparedLorebook::new(&book(&json!({ "entries": many })));
    assert_eq!(book.problems().len(), 1);
    assert_eq!(book.problems()[0].entry, PATTERNS_MAX);
    assert!(comes(&book, &["63"]) && !comes(&book, &["64"]));
    let wrong = one(json!({ "use_regex": true, "keys": vec!["(a"; PATTERNS_MAX + 1] }));
    let last = &wrong.problems()[PATTERNS_MAX].why;
    assert!(last.contains("one more"), "those that are wrong count too: {last}");
}

#[test]
fn a_pattern_made_to_be_slow_is_not() {
    let book = one(json!({ "use_regex": true, "keys": ["(a+)+$", "(a|a)*b"] }));
    let text = "a".repeat(SCAN_BYTES_MAX - 1) + "!";
    assert!(!comes(&book, &[&text]), "matching takes time that grows with the text alone");
}

#[test]
fn of_a_long_text_only_the_end_is_searched() {
    let long = "é".repeat(SCAN_BYTES_MAX);
    assert!(!comes(&one(json!({})), &[&format!("dragon{long}")]));
    assert!(comes(&one(json!({})), &[&format!("{long}dragon")]));
}

#[test]
fn a_book_is_written_as_it_was_read() {
    let whole = json!({
        "name": "n", "scan_depth": 3, "token_budget": 9, "recursive_scanning": true,
        "entries": [{
            "keys": ["k"], "content": "@@depth 2\nc", "enabled": false, "insertion_order": 1.5,
            "use_regex": true, "priority": 7, "case_sensitive": true, "constant": true,
            "selective": true, "secondary_keys": ["s"], "name": "a", "comment": "b",
            "id": "x", "position": "after_char", "extensions": { "y": 1 }, "x_new": [2],
        }],
        "extensions": {}, "x_book": 1,
    });
    assert_eq!(book(&whole).to_value(), whole);
}
