//! Tests of what a text is taken to say.

use std::time::{Duration, UNIX_EPOCH};

use genii_protocols::wire;
use proptest::prelude::*;

use super::*;

/// Wednesday, 15 May 2024.
fn now() -> Timestamp {
    (UNIX_EPOCH + Duration::from_secs(19_858 * 86_400 + 9 * 3_600)).into()
}

fn check(text: &str, expected: &str) {
    assert_eq!(terms(text).join(" "), expected, "{text:?}");
}

/// A change here changes what stored memories are found by: then `VERSION` goes up.
#[test]
fn terms_are_what_they_were() {
    assert_eq!(VERSION, 1);
    check("The spare key is under the blue pot.", "spare key blue pot");
    check("She'd gone hiking; they've been running and ran", "go hike run run");
    check("My mum's kids bought three bicycles", "mother child buy 3 bicycl");
    check("Ann’s café costs 10,000 — or 2.5 — naïve façades", "ann cafe cost 10000 2.5 naiv facad");
    check("We can't, won't and shouldn't meet at seven o'clock", "meet 7 oclock");
    check("e-mail: Bob@example.org", "e mail bob exampl org");
}

#[test]
fn words_that_say_nothing_are_kept_when_there_are_no_others() {
    check("To be or not to be", "to be or not to be");
    check("Who am I?", "who am i");
}

#[test]
fn other_languages_are_left_whole() {
    check("Nasaan ang susi ng bahay?", "nasaan ang susi ng bahay");
    check("Der Schlüssel hängt in der Straße", "der schlussel hangt der strass");
    check("l'école d'été", "ecol ete");
    check("Ключ под горшком", "ключ под горшком");
    check("钥匙在花盆下", "钥匙 匙在 在花 花盆 盆下");
    check("المفتاح تحت الباب", "المفتاح تحت الباب");
    check("Łódź smørrebrød", "lodz smorrebrod");
}

#[test]
fn nothing_to_go_by_gives_no_terms() {
    for text in ["", "   \n\t", "🎉🎉", "?!…", "\u{0}\u{7}\u{200b}", "'''"] {
        check(text, "");
    }
}

#[test]
fn a_huge_word_is_found_by_its_beginning() {
    for letter in ["a", "ß", "é", "Ω", "9"] {
        let word = letter.repeat(1 << 20);
        let found = terms(&word);
        assert_eq!(found.len(), 1);
        assert!(found[0].chars().count() <= 2 * WORD_CHARS_MAX, "{}", found[0]);
        assert_eq!(found, terms(&letter.repeat(1 << 10)));
    }
    assert_eq!(terms(&"word 漢字 ".repeat(100_000)).len(), TERMS_MAX);
}

#[test]
fn unseen_signs_do_not_part_words() {
    check("pass\u{ad}word zero\u{200b}width", "password zerowidth");
}

#[test]
fn a_line_of_a_transcript_says_who_and_when() {
    let bare = Analysis::new("Shall we go sailing?", Some("Ann Lee"), at("2023-05-08"));
    for line in [
        "Ann Lee: Shall we go sailing? 1:56 pm on 8 May, 2023",
        "Ann Lee: Shall we go sailing? [2023-05-08 13:56]",
        "[2023-05-08 13:56] Ann Lee: Shall we go sailing?",
        "8 May 2023, 13:56 - Ann Lee: Shall we go sailing?",
        "  Ann Lee:  Shall we go sailing?  on Monday, May 8th, 2023 at 1:56:02 p.m.  ",
    ] {
        assert_eq!(Analysis::new(line, None, now()), bare, "{line}");
    }
    assert_eq!(bare.speaker, ["ann", "lee"]);
}

fn at(day: &str) -> Timestamp {
    let days = dates::named(day, None)[0].days().unwrap();
    (UNIX_EPOCH + Duration::from_secs(days.first.0 as u64 * 86_400)).into()
}

#[test]
fn what_only_looks_like_such_a_line_stays_whole() {
    let check = |text: &str, expected: &str| {
        let analysis = Analysis::new(text, None, now());
        assert_eq!(
            (analysis.terms.join(" ").as_str(), analysis.day),
            (expected, Day::of(now())),
            "{text}"
        );
        assert!(analysis.speaker.is_empty(), "{text}: {:?}", analysis.speaker);
    };
    check("see https://example.org/a", "see https exampl org");
    check("the train leaves at 7:30", "train leav 7 30");
    check("I was born on 8 May 1990", "born 8 1990");
    check("Nobody:", "nobodi");
    check("- this: that", "this that");
    check("[draft] a plan", "draft plan");
    check("8 May 2023", "8 2023");
}

#[test]
fn a_speaker_who_is_given_is_not_looked_for() {
    let analysis = Analysis::new("Reminder: feed the cat", Some("Bob"), now());
    assert_eq!(analysis.speaker, ["bob"]);
    assert!(analysis.terms.iter().eq(["remind", "feed", "cat"]), "{analysis:?}");
}

#[test]
fn questions_and_times_are_told_from_the_rest() {
    let asks = |text: &str| Analysis::new(text, None, now()).asks;
    assert!(asks("And you?") && asks("Really?! 😀") && asks("你呢？"));
    assert!(!asks("Why? Because.") && !asks("") && !asks("Look? [shares a photo]"));
    let tells = |text: &str| Analysis::new(text, None, now()).tells_time;
    assert!(tells("We sailed yesterday") && tells("It took two weeks") && !tells("We sail"));
}

#[test]
fn days_that_are_named_are_kept_with_the_day_of_telling() {
    let analysis = Analysis::new("Yesterday I sailed; next on 12 June 2024!", None, now());
    let days: Vec<String> =
        analysis.dates.iter().map(|days| days.first.marks()[0].clone()).collect();
    assert_eq!(days, ["#2024-05-14", "#2024-06-12"]);
    assert_eq!(analysis.day, Day::of(now()));
    let many = Analysis::new(&"1 May 2024 ".repeat(100), None, now());
    assert_eq!(many.dates.len(), DATES_MAX);
}

#[test]
fn an_index_gets_terms_speaker_and_days() {
    let analysis = Analysis::new("Mended the boat", Some("Ann Lee"), now());
    assert_eq!(analysis.index_terms(), "mend boat @ann @lee #2024-05-15 #2024-05 #2024 #05-15 #05");
}

#[test]
fn an_analysis_survives_being_stored() {
    let analysis = Analysis::new("[2023-05-08] Ann: sailing since May?", None, now());
    let bytes = wire::encode(&analysis).unwrap();
    assert_eq!(wire::decode::<Analysis>(&bytes).unwrap(), analysis);
}

proptest! {
    #[test]
    fn any_text_can_be_analysed(text in "\\PC{0,200}|(?s).{0,200}", speaker in proptest::option::of(".{0,20}")) {
        let analysis = Analysis::new(&text, speaker.as_deref(), now());
        for term in analysis.terms.iter() {
            prop_assert!(!term.is_empty() && !term.contains(char::is_whitespace), "{term:?}");
            prop_assert!(!term.starts_with(['@', '#']), "{term:?}");
        }
        prop_assert_eq!(Analysis::new(&text, speaker.as_deref(), now()), analysis);
    }

    #[test]
    fn what_looks_like_dates_can_be_analysed(text in "(([0-9]{1,10}|may|March|ago|last|on|week|:|\\[|\\]|-|, | |th|of|years|a few){1,12})") {
        Analysis::new(&text, None, now());
    }
}
