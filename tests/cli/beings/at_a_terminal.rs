//! Beings at a terminal: a person chats there, is asked, and is told what is waited for.

use std::fs;

use serde_json::json;

use super::providers::{with_a_provider_that_stops_after, with_a_provider_that_waits};
use super::{HOUSE, create, last_answer, last_turn, remember};
use crate::support::{House, wait_until};
use crate::terminal::Terminal;

#[test]
fn a_person_chats_at_a_terminal_and_genii_is_started_again_meanwhile() {
    let house = House::new();
    let running = house.up(HOUSE);
    create(&house, "marit");
    let mut terminal = Terminal::open(&house, "being chat marit --as Ann");
    terminal.wait_for("Sit down, Ann.");
    terminal.wait_for("Ann> ");
    terminal.press("My boat is called Sandpiper.\r");
    terminal.wait_for("Marit Holm: ");
    terminal.wait_for("Ann> ");
    // A backslash goes on, and so does what is pasted.
    terminal.press("one\\\rtwo\r");
    terminal.wait_for("Marit Holm: ");
    terminal.wait_for("Ann> ");
    terminal.press("/recall boat\r");
    terminal.wait_for("because ");
    terminal.wait_for("Ann> ");
    terminal.press("/memory\r");
    terminal.wait_for("did you mean /memories?");
    terminal.wait_for("Ann> ");
    terminal.press("\x03");
    terminal.wait_for("Ctrl-D or /quit leaves");
    terminal.wait_for("Ann> ");
    running.stop();
    terminal.press("are you there?\r");
    terminal.wait_for("no genii runs on");
    terminal.wait_for("Ann> ");
    let running = house.up(HOUSE);
    terminal.press("and now?\r");
    terminal.wait_for("Marit Holm: ");
    terminal.wait_for("Ann> ");
    terminal.press("\x04");
    wait_until("what was typed", || {
        fs::read_to_string(house.path("data/chats/marit"))
            .ok()
            .filter(|typed| typed.contains("Sandpiper") && typed.contains("and now?"))
    });
    let history = house.json(&["being", "history", "marit", "--json"]);
    let said = history["turns"].to_string();
    assert!(said.contains("one\\ntwo") && said.contains("and now?"), "{said}");
    // What is forgotten is gone from there, too.
    let gone = house.genii(&["being", "forget", "marit", "--matching", "Sandpiper", "--yes"]);
    assert_eq!(gone.code, 0, "{}", gone.err);
    assert!(!house.path("data/chats/marit").exists());
    running.stop();
}

#[test]
fn ctrl_c_ends_the_answer_and_not_the_chat() {
    let house = House::new();
    let running = house.up(HOUSE);
    create(&house, "marit");
    with_a_provider_that_stops_after(&house, "marit", "A fine name");
    let mut terminal = Terminal::open(&house, "being chat marit --as Ann");
    terminal.wait_for("Ann> ");
    terminal.press("My boat is called Sandpiper.\r");
    // The word that has not ended may be held back.
    terminal.wait_for("A fine ");
    terminal.press("\x03");
    terminal.wait_for("Ann> ");
    wait_until("the answer to be called off", || {
        let failure = last_turn(&house, "marit")["failure"].as_str().map(str::to_owned);
        failure.filter(|failure| failure.contains("stopped listening"))
    });
    terminal.press("/recall boat\r");
    terminal.wait_for("because ");
    terminal.wait_for("Ann> ");
    terminal.press("\x04");
    running.stop();
}

#[test]
fn whoever_waits_for_the_first_word_is_told_so() {
    let house = House::new();
    let running = house.up(HOUSE);
    create(&house, "marit");
    with_a_provider_that_stops_after(&house, "marit", "");
    let mut terminal = Terminal::open(&house, "being chat marit --as Ann");
    terminal.wait_for("Ann> ");
    terminal.press("Are you there?\r");
    terminal.wait_for("(no word yet; Ctrl-C stops it)");
    terminal.press("\x03");
    terminal.wait_for("(stopped; what you said is remembered)");
    terminal.wait_for("Ann> ");
    terminal.press("\x04");
    running.stop();
}

#[test]
fn words_are_kept_whole_at_the_edge_of_a_terminal() {
    let house = House::new();
    let running = house.up(HOUSE);
    create(&house, "marit");
    remember(&house, "marit", "The key is under the blue pot");
    let recall = ["being", "recall", "marit", "key"];
    let mut terminal = Terminal::open_at(&house, 30, &recall.join(" "));
    terminal.wait_for("    The key is under the blue \r\n    pot\r\n");
    let mut terminal = Terminal::open_at(&house, 30, "being chat marit --as Ann");
    let head = terminal.wait_for("Ann> ");
    assert!(head.lines().all(|line| line.chars().count() <= 30), "{head:?}");
    terminal.press("/help\r");
    terminal.wait_for("/recall WORDS   what it \r\n                remembers of \r\n");
    terminal.press("\x04");
    let mut terminal = Terminal::open_at(&house, 12, "being ask marit 'Where is the key?'");
    let answer = terminal.wait_for("used)");
    assert!(answer.lines().last().is_some_and(|line| line.chars().count() <= 12), "{answer:?}");
    // In a pipe a line is as long as it is.
    let piped = house.genii(&recall);
    assert!(piped.out.contains("    The key is under the blue pot\n"), "{}", piped.out);
    running.stop();
}

/// What is typed would be drawn where nobody looks.
#[test]
fn nothing_is_asked_with_an_editor_whose_screen_goes_elsewhere() {
    let house = House::new();
    let running = house.up(HOUSE);
    create(&house, "marit");
    let mut terminal = Terminal::open(&house, "being chat marit --as Ann 2>errors");
    terminal.press("My boat is called Sandpiper.\r");
    let answer = last_answer(&house, "marit");
    let before = terminal.wait_for(answer.lines().next().unwrap());
    assert!(!before.contains("Marit Holm: "), "{before}");
    terminal.press("\x04");
    let _terminal = Terminal::open(&house, "being delete marit 2>refusal");
    wait_until("the refusal", || {
        let told = fs::read_to_string(house.path("refusal")).ok();
        told.filter(|told| told.contains("Nobody is here to answer") && told.contains("--yes"))
    });
    assert_eq!(house.json(&["being", "list", "--json"])[0]["id"], "marit");
    running.stop();
}

#[test]
fn a_person_is_asked_before_anything_is_gone() {
    let house = House::new();
    let running = house.up(HOUSE);
    create(&house, "marit");
    // Nothing would go, but something of before may not be gone for good yet.
    let mut terminal = Terminal::open(&house, "being forget marit --matching walnuts");
    terminal.wait_for("may have left");
    terminal.press("y\r");
    terminal.wait_for("nor is a trace of it left");
    let mut terminal = Terminal::open(&house, "being delete marit");
    terminal.wait_for("Marit Holm (marit)");
    terminal.wait_for("[y/N]");
    terminal.press("n\r");
    terminal.wait_for("nothing was done");
    let mut terminal = Terminal::open(&house, "being delete marit");
    terminal.wait_for("[y/N]");
    terminal.press("y\r");
    terminal.wait_for("is no more");
    assert_eq!(house.json(&["being", "list", "--json"]), json!([]));
    running.stop();
}

#[test]
fn whoever_deletes_a_being_that_is_answering_is_told_what_that_waits_for() {
    let house = House::new();
    let running = house.up(HOUSE);
    create(&house, "marit");
    let waits = with_a_provider_that_waits(&house, "marit", "A fine ", "name.");
    let mut asking = Terminal::open(&house, "being ask marit 'My boat is called Sandpiper.'");
    asking.wait_for("A fine");
    let mut terminal = Terminal::open(&house, "being delete marit --yes");
    terminal.wait_for("(waiting: if it is answering, ");
    drop(waits);
    terminal.wait_for("is no more");
    running.stop();
}

#[test]
fn a_being_is_talked_with_in_the_repl() {
    let house = House::new();
    let running = house.up(HOUSE);
    create(&house, "marit");
    let mut terminal = Terminal::open(&house, "repl");
    terminal.wait_for("genii> ");
    terminal.press("being show ma\t");
    terminal.wait_for("marit");
    terminal.press("\r");
    terminal.wait_for("Marit Holm (marit)");
    terminal.wait_for("genii> ");
    terminal.press("being chat marit\r");
    terminal.wait_for("you> ");
    terminal.press("hello\r");
    terminal.wait_for("Marit Holm: ");
    terminal.wait_for("you> ");
    terminal.press("/quit\r");
    terminal.wait_for("genii> ");
    terminal.press("exit\r");
    running.stop();
}
