//! Beings, as their owner meets them: made, talked with, remembering, forgetting, and back after the end
//! of genii.

mod at_a_terminal;
mod files;
mod outliving;
mod piped;
mod providers;
mod telling;
mod typing;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Stdio};

use serde_json::{Value, json};

use crate::support::{House, Said, finish, wait_until};

/// A house in which beings may live.
pub const HOUSE: &str = "[groups.beings]\n[groups.homes]\n\
    [agents.\"beings/registry\"]\nkind = \"beings-registry\"\nwants = \"homes/beings\"\n\
    [agents.\"homes/beings\"]\nkind = \"beings-home\"\n";

/// A character in its shortest form.
const MARIT: &str = "name = \"Marit Holm\"\ndescription = \"{{char}} was a harbour pilot.\"\n\
                     first_message = \"Sit down, {{user}}.\"\n";

pub fn create(house: &House, id: &str) -> Value {
    let file = house.file("marit.toml", MARIT);
    house.json(&["being", "create", file.to_str().unwrap(), "--id", id, "--json"])
}

pub fn remember(house: &House, id: &str, text: &str) {
    house.json(&["being", "remember", id, text, "--json"]);
}

pub fn recalled(house: &House, id: &str, query: &str) -> String {
    house.json(&["being", "recall", id, query, "--json"]).to_string()
}

/// The beings that there are: by what the registry says, and by their folders.
pub fn beings(house: &House) -> (Vec<String>, Vec<String>) {
    let listed = house.json(&["being", "list", "--json"]);
    let listed =
        listed.as_array().unwrap().iter().map(|being| being["id"].as_str().unwrap().to_owned());
    let folders = fs::read_dir(house.path("data/beings")).unwrap().map(Result::unwrap);
    let folders = folders.filter(|entry| entry.path().is_dir());
    let folders = folders.map(|entry| entry.file_name().into_string().unwrap());
    let mut folders: Vec<String> = folders.filter(|name| !name.starts_with('.')).collect();
    folders.sort_unstable();
    (listed.collect(), folders)
}

/// The last turn of a conversation, once there is one.
fn last_turn(house: &House, id: &str) -> Value {
    wait_until(&format!("a turn of {id}"), || {
        let history = house.json(&["being", "history", id, "--json"]);
        history["turns"].get(0).cloned()
    })
}

/// The last answer of a being, once there is one.
fn last_answer(house: &House, id: &str) -> String {
    wait_until(&format!("an answer of {id}"), || {
        last_turn(house, id)["answer"].as_str().map(str::to_owned)
    })
}

/// Chats from a pipe.
fn chat(house: &House, args: &[&str], lines: &str) -> Said {
    let mut child = begin_chat(house, args, Stdio::piped());
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    finish(child)
}

/// Begins a chat from a pipe, whose answers go there.
fn begin_chat(house: &House, args: &[&str], answers: impl Into<Stdio>) -> Child {
    let mut command = house.command(env!("CARGO_BIN_EXE_genii"));
    command.args(["being", "chat"]).args(args).stdin(Stdio::piped()).stdout(answers);
    command.spawn().unwrap()
}

#[test]
fn a_house_without_beings_says_how_to_make_the_first() {
    let house = House::new();
    let mut running = house.up(HOUSE);
    let hint = running.wait_for("no being lives here yet");
    let empty = house.genii(&["being", "list"]);
    assert!(empty.out.contains("`genii being create FILE` makes one"), "{}", empty.out);
    // What it says can be pasted as it stands.
    let genii = Path::new(env!("CARGO_BIN_EXE_genii")).parent().unwrap().display();
    let path = format!("{genii}:{}", std::env::var("PATH").unwrap());
    let mut shell = house.command("sh");
    shell.args(["-c", hint.split('`').nth(1).unwrap()]).env("PATH", path);
    let pasted = finish(shell.spawn().unwrap());
    assert_eq!(pasted.code, 0, "{hint}: {}", pasted.err);
    assert_eq!(house.json(&["being", "list", "--json"])[0]["name"], "Ada");
    running.stop();
    let again = house.up(HOUSE).stop();
    assert!(!again.contains("being create"), "{again}");
}

#[test]
fn a_being_is_made_listed_and_shown() {
    let house = House::new();
    let running = house.up(HOUSE);
    let made = create(&house, "marit");
    assert_eq!((&made["id"], &made["address"]), (&json!("marit"), &json!("being/marit")));
    assert_eq!(create(&house, "ann")["name"], "Marit Holm");
    let listed = house.json(&["being", "list", "--json"]);
    let ids: Vec<&Value> = listed.as_array().unwrap().iter().map(|being| &being["id"]).collect();
    assert_eq!(ids, ["ann", "marit"]);
    assert!(listed.as_array().unwrap().iter().all(|being| being["state"].is_string()), "{listed}");
    assert_eq!(
        house.json(&["being", "list", "--matching", "MAR", "-n", "1", "--json"])[0]["id"],
        "ann"
    );
    let shown = house.json(&["being", "show", "marit", "--json"]);
    assert_eq!((&shown["name"], &shown["info"]["turns"]), (&json!("Marit Holm"), &json!(0)));
    // The same in scripts, and to whoever asks by the address.
    let said = house.script(&[], "being show marit\nask being/marit being.info\n");
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(said.out.contains("Marit Holm"), "{}", said.out);
    running.stop();
}

#[test]
fn a_being_is_reminded_while_nobody_speaks_to_it() {
    let house = House::new();
    let running = house.up(HOUSE);
    create(&house, "marit");
    let late = house.json(&["being", "remind", "marit", "2days", "Oil the hinges.", "--json"]);
    assert_eq!((&late["id"], &late["is_cancelled"]), (&json!(1), &json!(false)));
    house.json(&["being", "remind", "marit", "1s", "The tea is ready.", "--json"]);
    let shown = house.genii(&["being", "reminders", "marit"]);
    assert!(shown.out.contains("Oil the hinges."), "{}", shown.out);
    let turn = wait_until("the reminder", || {
        let history = house.json(&["being", "history", "marit", "--json"]);
        let turn = history["turns"].get(0)?.clone();
        turn["answer"].is_string().then_some(turn)
    });
    assert_eq!(
        (&turn["speaker"], &turn["said"]),
        (&json!("reminder"), &json!("The tea is ready."))
    );
    running.stop();
    let running = house.up(HOUSE);
    let left = house.json(&["being", "reminders", "marit", "--json"]);
    assert_eq!(
        (&left["total"], &left["reminders"][0]["text"]),
        (&json!(1), &json!("Oil the hinges."))
    );
    let back = house.json(&["being", "remind", "marit", "--cancel", "1", "--json"]);
    assert_eq!(back["is_cancelled"], true);
    let again = house.genii(&["being", "remind", "marit", "--cancel", "1"]);
    let how = "`genii being reminders marit`";
    assert!(again.code == 1 && again.err.contains(how), "{}", again.err);
    let past = house.genii(&["being", "remind", "marit", "2020-01-01", "Too late."]);
    assert!(past.code == 2 && past.err.contains("has passed"), "{}", past.err);
    let help = house.genii(&["being", "remind", "--help"]);
    assert!(help.out.contains("genii being remind marit 10m"), "{}", help.out);
    running.stop();
}

#[test]
fn what_a_being_has_on_the_disk_is_looked_over_while_it_sleeps() {
    let house = House::new();
    let _running = house.up(HOUSE);
    create(&house, "marit");
    remember(&house, "marit", "the tide turns at six");
    let checked = house.json(&["being", "check", "marit", "--json"]);
    assert_eq!(checked["finding"], "whole");
    let tables = checked["tables"].as_array().unwrap();
    assert!(tables.iter().any(|table| table["entries"] == 1), "{checked}");
    let mended = house.json(&["being", "check", "marit", "--repair", "--json"]);
    assert_eq!((&mended["finding"], &mended["is_repaired"]), (&json!("whole"), &json!(false)));
    assert!(recalled(&house, "marit", "the tide").contains("turns at six"));
    let unknown = house.genii(&["being", "check", "nobody"]);
    assert!(unknown.err.contains("nobody"), "{}", unknown.err);
    let unknown = house.genii(&["ctl", "ask", "being/nobody", "being.info", "{}"]);
    assert!(unknown.err.contains("being list"), "{}", unknown.err);
}
