//! What beings have on the disk: what is told of one that was killed or is damaged, what a repair does, that
//! the others never notice, and that a folder of beings is of one genii at a time.

use std::fs;
use std::path::Path;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::beings::{HOUSE, create, recalled, remember};
use crate::cluster::{begin_with, on};
use crate::support::{House, wait_until};

/// The first page of a store, in bytes: it says where all else is.
const FIRST_PAGE_LEN: usize = 4_096;

/// Makes a being that knows where a key is.
fn create_who_knows(house: &House, id: &str) {
    create(house, id);
    remember(house, id, "The key is under the blue pot");
}

fn knows(house: &House, id: &str) -> bool {
    recalled(house, id, "where is the key?").contains("blue pot")
}

/// What is found on the disk of a being. The command fails if that is damage.
fn checked(house: &House, id: &str, flags: &[&str]) -> Value {
    let said = house.genii(&[&["being", "check", id, "--json"], flags].concat());
    let found: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(said.code, i32::from(found["finding"] != "whole"), "{}", said.err);
    found
}

/// Overwrites all that a closed store holds but its first page; what is there then.
fn damage(store: &Path) -> Vec<u8> {
    let mut bytes = fs::read(store).unwrap();
    bytes[FIRST_PAGE_LEN..].fill(0x5a);
    fs::write(store, &bytes).unwrap();
    bytes
}

/// Speaks to a being that is damaged, and waits until it is held back; why it is, as the list says.
fn held_back(house: &House, id: &str) -> String {
    let refused = house.genii(&["being", "recall", id, "where is the key?"]);
    assert!(refused.code == 1 && refused.err.contains("is damaged"), "{}", refused.err);
    comes_to_be_held_back(house, id)
}

/// Waits until a being is held back; why it is, as the list says.
fn comes_to_be_held_back(house: &House, id: &str) -> String {
    wait_until(&format!("{id} to be held back"), || {
        let listed = house.json(&["being", "list", "--json"]);
        let being = listed.as_array().unwrap().iter().find(|being| being["id"] == id)?;
        let why = being["why"].as_str().filter(|_| being["state"] == "quarantined");
        why.map(str::to_owned)
    })
}

/// A house whose beings lie in this folder, and whose home does not take long to give up.
fn house_in(folder: &Path) -> String {
    format!(
        "{HOUSE}backoff = {{ first = \"1ms\", cap = \"2ms\" }}\n\
         [agents.\"homes/beings\".settings]\nfolder = \"{}\"\n",
        folder.display()
    )
}

#[test]
fn one_that_was_killed_is_whole_and_a_repair_closes_it() {
    let house = House::new();
    let mut running = house.up(HOUSE);
    create_who_knows(&house, "marit");
    running.signal(Signal::KILL);
    running.end();
    let running = house.up(HOUSE);
    let found = checked(&house, "marit", &[]);
    assert_eq!(found["finding"], "whole");
    assert!(found["words"].as_str().unwrap().contains("was not closed"), "{found}");
    let closed = checked(&house, "marit", &["--repair"]);
    assert_eq!((&closed["finding"], &closed["words"]), (&json!("whole"), &json!("it is whole")));
    assert_eq!(closed["tables"], found["tables"]);
    assert!(knows(&house, "marit"));
    running.stop();
}

#[test]
fn one_that_is_damaged_is_held_back_with_what_helps_and_no_other_notices() {
    let house = House::new();
    let running = house.up(HOUSE);
    create_who_knows(&house, "ann");
    create_who_knows(&house, "marit");
    house.json(&["being", "export", "marit", "marit.being", "--json"]);
    running.stop();
    let store = house.path("data/beings/marit/being.redb");
    let damaged = damage(&store);

    let running = house.up(HOUSE);
    assert!(knows(&house, "ann"));
    let life_of_ann = house.row("being/ann")["incarnation"].clone();
    let why = held_back(&house, "marit");
    assert!(why.contains("being.redb is damaged") && why.contains("restore a backup"), "{why}");
    assert_eq!(checked(&house, "marit", &[])["finding"], "damaged");
    comes_to_be_held_back(&house, "marit");
    // It is tried again, and is as it was: nothing of it can be mended, and nothing is made worse.
    held_back(&house, "marit");
    let repair = house.genii(&["being", "check", "marit", "--repair"]);
    assert_eq!(repair.code, 1, "{}", repair.err);
    assert!(repair.out.contains("it is damaged and cannot be repaired"), "{}", repair.out);
    assert!(repair.out.contains("restore a backup"), "{}", repair.out);
    assert!(repair.err.contains("being delete marit`, then"), "{}", repair.err);
    assert_eq!(checked(&house, "marit", &["--repair"])["is_repaired"], false);
    assert!(fs::read(&store).unwrap() == damaged, "what is damaged was written to");
    held_back(&house, "marit");

    assert_eq!(house.genii(&["being", "delete", "marit", "--yes"]).code, 0);
    house.json(&["being", "import", "marit.being", "--json"]);
    assert!(knows(&house, "marit") && knows(&house, "ann"));
    let ann = house.row("being/ann");
    assert_eq!((&ann["incarnation"], &ann["restarts"]), (&life_of_ann, &json!(0)), "{ann}");
    running.stop();
}

#[test]
fn what_can_be_read_of_one_that_is_damaged_is_saved_when_the_rest_is_given_up() {
    const TIDE: &str = "The tide turns at six";
    let house = House::new();
    let running = house.up(HOUSE);
    create_who_knows(&house, "marit");
    remember(&house, "marit", TIDE);
    running.stop();
    let store = house.path("data/beings/marit/being.redb");
    let mut bytes = fs::read(&store).unwrap();
    let is_it = |at: &usize| bytes[*at..].starts_with(TIDE.as_bytes());
    let places: Vec<usize> = (0..bytes.len()).filter(is_it).collect();
    places.into_iter().for_each(|at| bytes[at] = b't');
    fs::write(&store, bytes).unwrap();

    let running = house.up(HOUSE);
    let told = house.genii(&["being", "check", "marit"]);
    assert!(told.code == 1 && told.out.contains("entries can be saved"), "{}", told.out);
    assert!(told.out.contains("memories: 1 entry, ") && told.out.contains("; 1 lost behind 1"));
    assert!(told.err.contains("being check marit --give-up` saves"), "{}", told.err);
    let saved = house.genii(&["being", "check", "marit", "--give-up"]);
    assert_eq!(saved.code, 0, "{}", saved.err);
    assert!(saved.out.contains("it was mended: it is whole, and has "), "{}", saved.out);
    assert!(saved.out.contains("being.redb.damaged"), "{}", saved.out);
    assert_eq!(checked(&house, "marit", &[])["finding"], "whole");
    assert!(knows(&house, "marit"));
    running.stop();
}

#[test]
fn one_that_a_check_finds_damaged_is_held_back_before_anybody_speaks_to_it() {
    let house = House::new();
    let running = house.up(HOUSE);
    create_who_knows(&house, "marit");
    running.stop();
    damage(&house.path("data/beings/marit/being.redb"));
    let running = house.up(HOUSE);
    assert_eq!(checked(&house, "marit", &[])["finding"], "damaged");
    let why = comes_to_be_held_back(&house, "marit");
    assert!(why.contains("being.redb is damaged"), "{why}");
    running.stop();
}

#[test]
fn a_repair_says_of_one_of_which_all_can_be_read_that_nothing_would_be_given_up() {
    let house = House::new();
    let running = house.up(HOUSE);
    create_who_knows(&house, "marit");
    running.stop();
    let store = house.path("data/beings/marit/being.redb");
    let mut bytes = fs::read(&store).unwrap();
    // By this it is known for a store.
    bytes[3] ^= 1;
    fs::write(&store, bytes).unwrap();

    let running = house.up(HOUSE);
    let repair = house.genii(&["being", "check", "marit", "--repair"]);
    assert_eq!(repair.code, 1, "{}", repair.out);
    let says = "being check marit --give-up` makes its store anew of what can be read";
    assert!(repair.err.contains(says), "{}{}", repair.out, repair.err);
    assert!(repair.err.contains("nothing is lost"), "{}", repair.err);
    assert_eq!(house.genii(&["being", "check", "marit", "--give-up"]).code, 0);
    assert!(knows(&house, "marit"));
    running.stop();
}

#[test]
fn a_folder_of_beings_is_of_one_genii_at_a_time() {
    let house = House::new();
    let topology = house_in(&house.path("beings"));
    let first = house.up(&topology);
    create_who_knows(&house, "marit");
    house.file("second.toml", &topology);
    let mut second = begin_with(&house, "second", "second.toml");
    second.wait_for("agents are ready after");
    let why = on(&house, "second", &["ctl", "why", "homes/beings"]).out;
    assert!(why.contains("homes/beings is in quarantine"), "{why}");
    assert!(why.contains("beings/due.redb is in use elsewhere; close it there first"), "{why}");
    let refused = on(&house, "second", &["being", "create", "marit.toml", "--id", "tobin"]);
    assert!(refused.code == 1 && refused.err.contains("home for beings"), "{}", refused.err);
    second.stop();

    assert!(knows(&house, "marit"));
    let exported = house.json(&["being", "export", "marit", "marit.being", "--json"]);
    assert_eq!(exported["bytes"], house.path("marit.being").metadata().unwrap().len());
    first.stop();
}
