//! A machine that stands still for so long that it is given up, and wakes: it comes back as another
//! life, and nothing that it said in the one before is heeded.

use std::thread;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::cluster::{ASK, Two, on};
use crate::support::{House, wait_until};

/// How many messages are told across the pause, and how many must have come before it.
const TELLS: usize = 1_500;
const BEFORE: u64 = 100;

/// Who is said to have reported them.
const REPORTER: &str = "pause/test";

/// What a command on a machine says, each thing as JSON.
fn said(house: &House, data: &str, args: &[&str]) -> Vec<Value> {
    let said = on(house, data, &[args, &["--json"]].concat());
    assert_eq!(said.code, 0, "{args:?}: {}", said.err);
    said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// How many of the errors that one has reported an agent has counted, as the first machine hears.
pub fn counted(house: &House, by: &str, reporter: &str) -> u64 {
    let list = json!({ "agent": reporter }).to_string();
    let groups = said(house, "data", &["ctl", "ask", by, "errors.list", &list]);
    groups[0]["reply"]["groups"][0]["count"].as_u64().unwrap_or_default()
}

/// What the journal of a machine says of another, in order, each with the life that it is about.
fn told_of(house: &House, data: &str, node: &str) -> Vec<(u64, String)> {
    let events = said(house, data, &["ctl", "journal", "-n", "1000"]);
    let of_node = events.iter().filter(|event| event["name"] == format!("@{node}"));
    let told = |event: &Value| {
        (event["incarnation"].as_u64().unwrap(), event["text"].as_str().unwrap().to_owned())
    };
    of_node.map(told).collect()
}

/// How many messages at most a machine does not know to have been handled, of those it told on links
/// that are lost.
pub fn unheard(house: &House, data: &str) -> u64 {
    let letters = said(house, data, &["ctl", "dead-letters", "-n", "1000"]);
    let up_to = |letter: &Value| {
        let rest = letter["message"].as_str()?.strip_prefix("(up to ")?.split(' ').next();
        rest?.parse::<u64>().ok()
    };
    letters[0]["letters"].as_array().unwrap().iter().filter_map(up_to).sum()
}

#[test]
fn who_is_paused_for_long_comes_back_as_another_life_and_what_the_old_one_said_is_refused() {
    let two = Two::new();
    let life = |name: &str| two.node(name)["incarnation"].as_u64().unwrap();
    let before = life("pc2");
    let report = json!({ "agent": REPORTER, "message": "again" });
    let script = format!("tell core/needy errors.report '{report}'\n").repeat(TELLS);
    let told = thread::scope(|scope| {
        let telling = scope.spawn(|| two.house.script_on("pc2", &["--keep-going"], &script));
        wait_until("the first to be handled", || {
            (counted(&two.house, "core/needy", REPORTER) >= BEFORE).then_some(())
        });
        two.pc2.signal(Signal::STOP);
        assert!(!telling.is_finished(), "all is told before it is paused");
        two.until_node("pc2", "down");
        two.pc2.signal(Signal::CONT);
        two.until_node("pc2", "alive");
        telling.join().unwrap()
    });
    assert!(life("pc2") > before);
    // Told of at both ends: given up, and linked as another life.
    for (data, other) in [("data", "pc2"), ("pc2", "main")] {
        let told = told_of(&two.house, data, other);
        let down = told.iter().position(|(_, text)| text.starts_with("is down: "));
        let (first, (last, text)) = (down.map(|down| told[down].0), told.last().unwrap());
        assert!(
            first.is_some_and(|first| first < *last) && text == "is linked",
            "{data}: {told:?}"
        );
    }
    // Those that called it meanwhile, and gave it up, were nobody's attack.
    let turned_away = &said(&two.house, "pc2", &["ctl", "nodes"])[0][0]["turned_away"];
    assert!(turned_away["garbage"].is_null(), "{turned_away}");
    // Each message was handled once, or its sender knows that it may not have been.
    let refused = told.err.lines().filter(|line| line.contains("line ")).count();
    let (sent, handled) =
        (TELLS as u64 - refused as u64, counted(&two.house, "core/needy", REPORTER));
    assert!(handled <= sent, "{handled} were handled of {sent}");
    let lost = unheard(&two.house, "pc2");
    assert!(handled + lost >= sent, "{sent} were sent, {handled} handled, {lost} lost");
    two.house.wait_for_state("core/needy", "ready");
    assert_eq!(two.house.genii(&ASK).code, 0);
    two.pc2.stop();
    two.main.stop();
}
