//! What whoever calls is told when something is amiss, or has to be waited for.

use std::fs;
use std::io::{BufRead, BufReader};

use serde_json::Value;

use super::{HOUSE, MARIT, create, last_turn, remember};
use crate::cluster::{Two, TwoOptions, begin, on};
use crate::support::{House, wait_until};

#[test]
fn wrong_calls_end_with_two_and_refusals_with_one() {
    let house = House::new();
    let none = house.genii(&["being", "list"]);
    assert!(none.code == 1 && none.err.contains("`genii up`"), "{}", none.err);
    let running = house.up(HOUSE);
    create(&house, "marit");
    for (args, code, said) in [
        (&["being", "forget", "marit"][..], 2, "--memory"),
        (&["being", "show", "Marit"], 2, "did you mean"),
        (&["being", "show", "mart"], 1, "did you mean marit?"),
        (&["being", "chat", "mart"], 1, "did you mean marit?"),
        (&["provider", "marit"], 2, "'being provider'"),
        (
            &["being", "provider", "marit", "--provider-json", "{\"timout\": \"5s\"}"],
            2,
            "did you mean `connect_timeout` or `first_token_timeout`",
        ),
        (&["being", "create", "nowhere.toml"], 1, "cannot be read"),
        (&["being", "create", "marit.toml", "--id", "marit"], 1, "--id"),
        (&["being", "say", "marit", "nobody", "hello"], 1, "nobody"),
    ] {
        let done = house.genii(args);
        assert_eq!(done.code, code, "{args:?}: {}", done.err);
        assert!(done.err.contains(said), "{args:?}: {}", done.err);
    }
    let json = house.genii(&["being", "show", "mart", "--json"]);
    let fault: Value = serde_json::from_str(&json.err).unwrap();
    assert!(fault["error"].as_str().unwrap().contains("mart"), "{fault}");
    let script = house.script(&[], "being chat marit\n");
    assert!(script.code == 2 && script.err.contains("line 1"), "{}", script.err);
    running.stop();
}

#[test]
fn what_is_wrong_with_a_command_line_is_json_where_that_is_asked_for() {
    let house = House::new();
    for args in [
        &["being", "recall", "marit", "--json"][..],
        &["being", "show", "Marit", "--json"],
        &["ctl", "--json", "tre"],
        &["settings", "--json", "--nothing-like-it"],
    ] {
        let wrong = house.genii(args);
        assert_eq!((wrong.code, wrong.out.as_str()), (2, ""), "{args:?}: {}", wrong.err);
        let fault: Value = serde_json::from_str(&wrong.err).unwrap();
        assert!(fault["error"].is_string() && fault["help"].is_string(), "{args:?}: {fault}");
    }
    let help = house.genii(&["being", "--json", "--help"]);
    assert!(help.code == 0 && help.out.contains("Usage"), "{}{}", help.out, help.err);
}

/// As long as the file `go` is not there, its beings have no home yet.
fn late_house() -> String {
    let home =
        HOUSE.replace("kind = \"beings-home\"", "kind = \"beings-home\"\nneeds = [\"a/late\"]");
    home + "[groups.a]\n[agents.\"a/late\"]\nkind = \"process\"\n\
        settings.command = [\"sh\", \"-c\", \"until [ -e go ]; do sleep 0.01; done; echo ready; exec sleep 1000\"]\n\
        settings.ready = { line = { contains = \"ready\" } }\n"
}

#[test]
fn who_asks_while_genii_starts_waits_and_is_told_so() {
    let house = House::new();
    house.file("go", "");
    let running = house.up(&late_house());
    create(&house, "marit");
    running.stop();
    fs::remove_file(house.path("go")).unwrap();
    let running = house.begin(&["--topology", "house.toml"]);
    wait_until("genii to be there", || {
        let there = house.genii(&["ctl", "ps"]);
        if there.code == 0 { Ok(()) } else { Err(there.err) }
    });
    let mut command = house.command(env!("CARGO_BIN_EXE_genii"));
    let mut asking = command.args(["being", "ask", "marit", "Are you there?"]).spawn().unwrap();
    let mut told = String::new();
    BufReader::new(asking.stderr.take().unwrap()).read_line(&mut told).unwrap();
    assert!(told.starts_with("(waiting: "), "{told}");
    house.file("go", "");
    let status = wait_until("the answer", || asking.try_wait().unwrap());
    assert!(status.success());
    assert_eq!(last_turn(&house, "marit")["said"], "Are you there?");
    running.stop();
}

#[test]
fn a_being_whose_home_does_not_run_is_not_said_to_be_lost() {
    let house = House::new();
    let running = house.up(HOUSE);
    create(&house, "marit");
    let marit = || house.json(&["being", "list", "--json"])[0].clone();
    assert_eq!(house.genii(&["ctl", "stop", "homes/beings"]).code, 0);
    wait_until("its home to be gone", || {
        let marit = marit();
        let why = marit["why"].as_str().unwrap_or_default();
        if why.contains("no machine has a home") { Ok(()) } else { Err(marit) }
    });
    for flags in [&["--yes"][..], &["--yes", "--lost"]] {
        let refused = house.genii(&[&["being", "delete", "marit"], flags].concat());
        let help = "`genii ctl why homes/beings --node main` says why";
        assert!(refused.code == 1 && refused.err.contains(help), "{flags:?}: {}", refused.err);
        assert!(!refused.err.contains("--lost"), "{flags:?}: {}", refused.err);
    }
    let why = house.genii(&["ctl", "why", "homes/beings", "--node", "main"]);
    assert!(why.out.contains("stopped"), "{}{}", why.out, why.err);
    assert_eq!(house.genii(&["ctl", "start", "homes/beings"]).code, 0);
    wait_until("its home to be back", || {
        let marit = marit();
        if marit["state"] == "unreachable" { Err(marit) } else { Ok(()) }
    });
    let deleted = house.genii(&["being", "delete", "marit", "--yes"]);
    assert_eq!(deleted.code, 0, "{}", deleted.err);
    running.stop();
}

#[test]
fn what_helps_is_called_about_the_folder_that_was_named_also_within_a_sentence() {
    let house = House::new();
    let running = house.up(HOUSE);
    create(&house, "marit");
    remember(&house, "marit", "The key is under the blue pot");
    assert_eq!(house.genii(&["ctl", "suspend", "being/marit"]).code, 0);
    for args in [&["list"][..], &["show", "marit"], &["check", "marit"]] {
        let said = on(&house, "data", &[&["being"], args].concat());
        let told = said.out + &said.err;
        let (before, resume) =
            told.split_once(" ctl resume being/marit`").unwrap_or((told.as_str(), ""));
        assert!(before.contains("`genii --data ") && !resume.is_empty(), "{args:?}: {told}");
    }
    running.stop();
}

#[test]
fn what_the_registry_notes_of_a_being_is_in_the_journal_of_its_own_machine() {
    let topology = HOUSE.replace("[groups.beings]\n", "[groups.beings]\nnode = \"main\"\n");
    let mut two = Two::with(&TwoOptions { topology: &topology, ..TwoOptions::default() });
    let file = two.house.file("marit.toml", MARIT);
    let create =
        ["being", "create", file.to_str().unwrap(), "--id", "marit", "--home", "pc2", "--json"];
    wait_until("a being on the other machine", || {
        let made = two.house.genii(&create);
        if made.code == 0 { Ok(()) } else { Err(made.err) }
    });
    let journal = ["ctl", "journal", "being/marit", "--node", "main"];
    for data in ["data", "pc2"] {
        let noted = on(&two.house, data, &journal);
        assert!(noted.out.contains("was made on pc2"), "{data}: {}{}", noted.out, noted.err);
    }
    // Where it lives nothing has happened to it since that was started.
    two.pc2.stop();
    two.pc2 = begin(&two.house, "pc2");
    for data in ["data", "pc2"] {
        wait_until("where its journal is", || {
            let nothing = on(&two.house, data, &["ctl", "journal", "being/marit"]);
            let is_told = nothing.out.contains("nothing is noted of being/marit on pc2; `genii ")
                && nothing.out.contains("ctl journal being/marit --node main` asks the machine");
            if is_told { Ok(()) } else { Err(nothing.out + &nothing.err) }
        });
    }
    let unknown = on(&two.house, "pc2", &["ctl", "journal", "being/nobody"]);
    assert!(unknown.err.contains("journal being/nobody --node main`"), "{}", unknown.err);
    let help = two.house.genii(&["ctl", "journal", "--help"]).out;
    assert!(help.contains("journal being/marit --node main"), "{help}");
    two.pc2.stop();
    two.main.stop();
}
