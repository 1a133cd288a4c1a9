//! What beings were told, and what was done with them, outlives the end of genii, however it ends.

use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::providers::with_a_provider_that_stops_after;
use super::{HOUSE, MARIT, beings, chat, create, last_turn, recalled, remember};
use crate::support::{House, finish, wait_until};
use crate::terminal::Terminal;

#[test]
fn what_it_is_told_outlives_a_kill_and_is_forgotten_for_good() {
    let house = House::new();
    let mut running = house.up(HOUSE);
    create(&house, "marit");
    let told = chat(&house, &["marit", "--as", "Ann"], "My boat is called Sandpiper.\n");
    assert_eq!(told.code, 0, "{}", told.err);
    assert!(!told.out.trim().is_empty());
    remember(&house, "marit", "Ann is allergic to walnuts");
    running.signal(Signal::KILL);
    running.end();
    let running = house.up(HOUSE);
    assert!(recalled(&house, "marit", "what is Ann's boat called?").contains("Sandpiper"));
    let answer = chat(&house, &["marit", "--json"], "What is my boat called?\n");
    let answer: Value = serde_json::from_str(&answer.out).unwrap();
    assert!(answer["recalled"].to_string().contains("Sandpiper"), "{answer}");
    assert!(house.genii(&["being", "history", "marit"]).out.contains("Sandpiper"));
    // It is asked first, and nobody is there to answer.
    let unsure = house.genii(&["being", "forget", "marit", "--matching", "walnuts"]);
    assert_eq!(unsure.code, 2, "{}", unsure.out);
    assert!(unsure.err.contains("--yes"), "{}", unsure.err);
    let stake = house.genii(&["being", "forget", "marit", "--matching", "walnuts", "--dry-run"]);
    assert!(stake.out.contains("allergic to walnuts"), "{}", stake.out);
    let gone = house.genii(&["being", "forget", "marit", "--matching", "walnuts", "--yes"]);
    assert_eq!(gone.code, 0, "{}", gone.err);
    assert!(!recalled(&house, "marit", "walnuts").contains("walnuts"));
    running.stop();
}

#[test]
fn what_is_said_outlives_a_kill_in_mid_answer_and_is_marked() {
    let house = House::new();
    let mut running = house.up(HOUSE);
    create(&house, "marit");
    with_a_provider_that_stops_after(&house, "marit", "A fine name");
    let mut terminal = Terminal::open(&house, "being ask marit 'My boat is called Sandpiper.'");
    terminal.wait_for("A fine name");
    let kept = last_turn(&house, "marit");
    running.signal(Signal::KILL);
    running.end();
    let running = house.up(HOUSE);
    let last = last_turn(&house, "marit");
    assert_eq!((&last["id"], &last["said"]), (&kept["id"], &json!("My boat is called Sandpiper.")));
    let failure = last["failure"].as_str().unwrap_or_default();
    assert!(failure.contains("not answered to the end"), "{last}");
    let spent = &house.json(&["being", "show", "marit", "--json"])["info"]["budget"]["in_all"];
    assert!(spent["requests"] == 1 && spent["tokens"].as_u64() > Some(0), "{spent}");
    let shown = house.genii(&["being", "history", "marit"]).out;
    assert!(shown.contains("Sandpiper") && shown.contains("genii ended meanwhile"), "{shown}");
    assert!(recalled(&house, "marit", "what is the boat called?").contains("Sandpiper"));
    running.stop();
}

#[test]
fn a_kill_in_the_midst_of_making_and_deleting_leaves_each_whole_or_gone() {
    let house = House::new();
    let file = house.file("marit.toml", MARIT);
    let file = file.to_str().unwrap();
    let begin = |args: &[&str]| {
        let mut command = house.command(env!("CARGO_BIN_EXE_genii"));
        command.arg("being").args(args).spawn().unwrap()
    };
    // Wherever it has come to by then, what is said below holds.
    for millis in [0, 15, 30, 60, 120] {
        let mut running = house.up(HOUSE);
        create(&house, "old");
        remember(&house, "old", "the key is under the blue pot");
        let making = begin(&["create", file, "--id", "new"]);
        let deleting = begin(&["delete", "old", "--yes"]);
        thread::sleep(Duration::from_millis(millis));
        running.signal(Signal::KILL);
        let (made, deleted) = (finish(making).code == 0, finish(deleting).code == 0);
        running.end();

        let running = house.up(HOUSE);
        wait_until("each to be whole or gone", || match beings(&house) {
            (listed, folders) if listed == folders => Ok(()),
            others => Err(format!("{others:?}")),
        });
        let (listed, _) = beings(&house);
        let is_listed = |id: &str| listed.iter().any(|listed| listed == id);
        assert!(is_listed("new") || !made, "{millis} ms: it was made, and is not there");
        assert!(!is_listed("old") || !deleted, "{millis} ms: it was deleted, and is there");
        if is_listed("old") {
            assert!(recalled(&house, "old", "where is the key").contains("blue pot"));
        }
        for id in ["new", "old"] {
            if is_listed(id) {
                assert_eq!(house.json(&["being", "show", id, "--json"])["info"]["id"], id);
                assert_eq!(house.genii(&["being", "delete", id, "--yes"]).code, 0);
            }
            create(&house, id);
            assert_eq!(house.genii(&["being", "delete", id, "--yes"]).code, 0);
        }
        running.stop();
    }
}

#[test]
fn what_is_set_for_a_being_stays_set() {
    let house = House::new();
    let running = house.up(HOUSE);
    create(&house, "marit");
    house.json(&["being", "core", "marit", "whom I talk to", "Ann, who sails", "--json"]);
    house.json(&["being", "budget", "marit", "--requests-per-day", "1", "--json"]);
    house.json(&["being", "character", "marit", "nickname", "Mari", "--json"]);
    let url = "http://127.0.0.1:9/v1";
    let server = ["being", "provider", "marit", "--base-url", url, "--model", "none"];
    let more = ["--provider-json", "{\"prompt_tokens_max\": 2800}", "--json"];
    house.json(&[&server[..], &more].concat());
    running.stop();
    let running = house.up(HOUSE);
    let info = house.json(&["being", "show", "marit", "--json"])["info"].clone();
    assert_eq!(info["core"][0]["text"], "Ann, who sails");
    assert_eq!(info["budget"]["limits"]["requests_per_day"], 1);
    assert_eq!(info["character"]["nickname"], "Mari");
    assert!(info["provider"].as_str().unwrap().contains("none"), "{info}");
    let told = house.json(&["being", "provider", "marit", "--json"]);
    let set = json!({
        "kind": "openai", "base_url": url, "model": "none", "prompt_tokens_max": 2_800,
    });
    assert_eq!((&told["provider"], &told["settings"]), (&info["provider"], &set));
    assert_eq!(told["defaults"]["reply_tokens_max"], 1_024);
    let seen = house.genii(&["being", "provider", "marit"]).out;
    assert!(seen.contains("prompt_tokens_max") && seen.contains("first_token_timeout"), "{seen}");
    let seen = house.genii(&["being", "show", "marit"]).out;
    assert!(seen.contains("prompt_tokens_max = 2800"), "{seen}");
    // Nobody listens there, and that is told; what was said is remembered.
    let failed = chat(&house, &["marit"], "hello\n/history\n");
    assert_eq!(failed.code, 1);
    assert!(failed.err.contains("marit: ") && failed.out.contains("hello"), "{}", failed.err);
    running.stop();
}
