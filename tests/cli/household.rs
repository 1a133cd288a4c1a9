//! Machines that come to belong to a household, and cease to.

use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::cluster::Two;
use crate::support::{House, Running, Said, finish, wait_until};
use crate::up::STEADY;

/// A household that listens, and where it does.
fn listening(house: &House) -> (Running, String) {
    house.file("data/genii.toml", "listen = \"127.0.0.1:0\"\n");
    let mut running = house.up(&format!("[groups.a]\n[agents.\"a/one\"]\n{STEADY}"));
    let line = running.wait_for("listening at ");
    let at = line.split("listening at ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
    let at = at.to_owned();
    (running, at)
}

/// What `genii` says with another data folder: another machine.
fn elsewhere(house: &House, name: &str, args: &[&str]) -> Said {
    let folder = house.path(name);
    let args: Vec<&str> =
        ["--data", folder.to_str().unwrap()].into_iter().chain(args.iter().copied()).collect();
    house.genii(&args)
}

fn invite(house: &House, name: &str, at: &str) -> Value {
    house.json(&["invite", name, "--at", at, "--json"])
}

#[test]
fn a_machine_joins_by_a_line_and_is_expelled_again() {
    let house = House::new();
    let (running, at) = listening(&house);
    let invited = house.genii(&["invite", "pc2", "--at", &at]);
    assert_eq!(invited.code, 0, "{}", invited.err);
    assert!(invited.out.starts_with("genii-join-1-") && invited.out.lines().count() == 1);
    assert!(invited.err.contains("on pc2, run: genii join"), "{}", invited.err);
    let line = invited.out.trim();
    let joined = elsewhere(&house, "pc2", &["join", line]);
    assert_eq!(joined.code, 0, "{}", joined.err);
    assert!(joined.out.contains("this machine is pc2"), "{}", joined.out);
    let own = house.json(&["household", "--json"]);
    let other = elsewhere(&house, "pc2", &["household", "--json"]);
    let other: Value = serde_json::from_str(&other.out).unwrap();
    assert_eq!(own["household"], other["household"]);
    assert_eq!((&own["node"], &other["node"]), (&"main".into(), &"pc2".into()));
    assert_eq!(own["nodes"][1], serde_json::json!({ "node": "pc2", "expelled": false }));
    // The line counts once, also for another.
    let again = elsewhere(&house, "pc3", &["join", line]);
    assert_eq!(again.code, 1);
    assert!(again.err.contains("used already"), "{}", again.err);
    let again = elsewhere(&house, "pc2", &["join", line]);
    assert!(again.err.contains("belongs to the household"), "{}", again.err);

    assert_eq!(house.genii(&["expel", "pc2"]).code, 0);
    let own = house.json(&["household", "--json"]);
    assert_eq!(own["nodes"][1], serde_json::json!({ "node": "pc2", "expelled": true }));
    let line = invite(&house, "pc2", &at)["line"].as_str().unwrap().to_owned();
    std::fs::remove_dir_all(house.path("pc2/trust")).unwrap();
    assert_eq!(elsewhere(&house, "pc2", &["join", &line]).code, 0);
    running.stop();
}

/// What `genii join` says to a line on its standard input.
fn join_by(house: &House, name: &str, args: &[&str], line: &str) -> Said {
    let mut command = house.command(env!("CARGO_BIN_EXE_genii"));
    command.arg("--data").arg(house.path(name)).arg("join").args(args).stdin(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let _not_read = child.stdin.take().unwrap().write_all(line.as_bytes());
    finish(child)
}

/// As an argument it would be in the list of processes.
#[test]
fn a_line_is_read_from_standard_input() {
    let house = House::new();
    let (running, at) = listening(&house);
    let line = invite(&house, "pc2", &at)["line"].as_str().unwrap().to_owned();
    let nothing = join_by(&house, "pc2", &[], &line);
    assert_eq!(nothing.code, 2, "{}", nothing.err);
    assert!(nothing.err.contains("no line") && nothing.err.contains("genii join -"));
    for bad in ["", "hello", &"genii-join-1-".repeat(1_000)] {
        let said = join_by(&house, "pc2", &["-"], bad);
        assert_eq!(said.code, 2, "{}", said.err);
    }
    let joined = join_by(&house, "pc2", &["-"], &format!("{line}\n"));
    assert_eq!(joined.code, 0, "{}", joined.err);
    assert!(joined.out.contains("this machine is pc2"), "{}", joined.out);
    running.stop();
}

#[test]
fn an_invitation_is_taken_back() {
    let house = House::new();
    let (running, at) = listening(&house);
    let line = invite(&house, "pc3", &at)["line"].as_str().unwrap().to_owned();
    let expelled = house.genii(&["expel", "pc3"]);
    assert_eq!(expelled.code, 0, "{}", expelled.err);
    let said = "pc3 has not joined; its invitation counts no more";
    assert!(expelled.out.contains(said), "{}", expelled.out);
    let refused = elsewhere(&house, "pc3", &["join", &line]);
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("nobody was invited with this line"), "{}", refused.err);
    // What was made for it is taken away again, and nothing else.
    assert!(!house.path("pc3").exists());
    house.file("pc3/genii.toml", "listen = \"\"\n");
    assert_eq!(elsewhere(&house, "pc3", &["join", &line]).code, 1);
    let left = std::fs::read_dir(house.path("pc3")).unwrap().map(|it| it.unwrap().file_name());
    assert_eq!(left.collect::<Vec<_>>(), ["genii.toml"]);
    invite(&house, "pc3", &at);
    let expelled = house.json(&["expel", "pc3", "--json"]);
    let expected = serde_json::json!({ "expelled": "pc3", "joined": false, "invitations": 1 });
    assert_eq!(expelled, expected);
    running.stop();
}

#[test]
fn what_is_wrong_with_a_line_is_said_and_its_secret_is_not() {
    let house = House::new();
    let (running, at) = listening(&house);
    let line = invite(&house, "pc2", &at)["line"].as_str().unwrap().to_owned();
    let says = |line: &str, code: i32, what: &str| {
        let said = elsewhere(&house, "pc2", &["join", line]);
        assert_eq!(said.code, code, "{}", said.err);
        assert!(said.err.contains(what), "{}", said.err);
    };
    says("hello", 2, "this is no invitation");
    says(&line[..line.len() - 3], 2, "damaged");
    says("genii-join-7-abc", 2, "another version");
    let short = house.json(&["invite", "pc2", "--at", &at, "--for", "1ms", "--json"]);
    says(short["line"].as_str().unwrap(), 1, "has expired");
    let nowhere = house.json(&["invite", "pc2", "--at", "127.0.0.1:1", "--json"]);
    says(nowhere["line"].as_str().unwrap(), 1, "nobody answers: 127.0.0.1:1");
    running.stop();
    // No part of a line is in any log.
    let body = line.trim_start_matches("genii-join-1-");
    for entry in std::fs::read_dir(house.path("data/logs")).unwrap() {
        let log = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        assert!(!log.contains(&body[..40]), "{log}");
    }
}

#[test]
fn a_household_that_came_about_by_itself_becomes_one_that_was_wanted() {
    let house = House::new();
    let topology = format!("[groups.a]\n[agents.\"a/one\"]\n{STEADY}");
    let running = house.up(&topology);
    // Whoever runs keeps its name until it ends.
    let refused = house.genii(&["init", "--node", "mainpc"]);
    assert_eq!(refused.code, 1, "{}", refused.out);
    assert!(refused.err.contains("in use by another genii"), "{}", refused.err);
    running.stop();
    let made = house.genii(&["init", "--node", "mainpc"]);
    assert!(made.out.contains("this machine is mainpc"), "{}{}", made.out, made.err);
    assert_eq!(house.json(&["household", "--json"])["node"], "mainpc");
    // From then on it stays.
    let again = house.genii(&["init", "--node", "other"]);
    assert!(again.err.contains("there is a household already"), "{}", again.err);
}

#[test]
fn who_cannot_invite_is_told_why_and_what_to_do() {
    let house = House::new();
    let says = |args: &[&str], code: i32, what: &str, help: &str| {
        let said = house.genii(args);
        assert_eq!(said.code, code, "{args:?}: {}", said.err);
        assert!(said.err.contains(what) && said.err.contains(help), "{args:?}: {}", said.err);
    };
    says(&["invite", "pc2"], 1, "no household here yet", "genii init");
    says(&["expel", "pc2"], 1, "no household here yet", "genii init");
    says(&["household"], 1, "no household here yet", "genii init");
    let made = house.genii(&["init", "--node", "mainpc"]);
    assert!(made.out.contains("this machine is mainpc"), "{}{}", made.out, made.err);
    says(&["init"], 1, "there is a household already", "--data");
    says(&["invite", "pc2"], 1, "does not listen", "listen = ");
    says(&["invite", "pc2", "--at", "here"], 2, "not HOST:PORT", "192.168");
    says(&["invite", "mainpc", "--at", "h:1"], 1, "this machine itself", "another name");
    says(&["invite", "My PC"], 2, "invalid value", "");
    says(&["expel", "pc2"], 1, "no node of this household", "genii household");
    says(&["expel", "mainpc"], 1, "this machine itself", "");
    // The name in the certificate is the name, and needs no setting.
    let node = house.json(&["settings", "--json"]);
    let node = node.as_array().unwrap().iter().find(|setting| setting["name"] == "node").unwrap();
    assert_eq!(node["value"], "mainpc");
    assert!(Path::new(node["from"].as_str().unwrap()).ends_with("trust/node.crt"));
}

#[test]
fn a_machine_that_others_know_keeps_its_name() {
    let house = House::new();
    let topology = format!("[groups.a]\n[agents.\"a/one\"]\n{STEADY}");
    let file = house.file("house.toml", &topology);
    let file = file.to_str().unwrap();
    let up = |name: &str| {
        let mut running = house.begin(&["--topology", file, "--node", name]);
        running.wait_for("agents are ready after");
        running.stop();
    };
    // While it is alone it may have another.
    up("first");
    up("second");
    house.json(&["invite", "pc2", "--at", "127.0.0.1:1", "--json"]);
    let refused = house.genii(&["up", "--topology", file, "--node", "third"]);
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("is second by its certificate"), "{}", refused.err);
    up("second");
}

/// The first command that anybody types makes a household of one, which gives way to another.
#[test]
fn a_machine_that_was_up_by_itself_may_join_another() {
    let house = House::new();
    let (running, at) = listening(&house);
    let file = house.path("house.toml");
    let mut alone = house.command(env!("CARGO_BIN_EXE_genii"));
    alone.arg("--data").arg(house.path("pc2")).args(["up", "--plain", "--node", "2", "--topology"]);
    let mut alone = Running::new(alone.arg(&file).spawn().unwrap());
    alone.wait_for("agents are ready after");
    alone.stop();
    // Given once, its name does not stick.
    let settings = elsewhere(&house, "pc2", &["settings"]);
    assert!(settings.out.lines().any(|line| line.contains("node") && line.contains("main")));
    let line = invite(&house, "pc2", &at)["line"].as_str().unwrap().to_owned();
    let joined = elsewhere(&house, "pc2", &["join", &line]);
    assert_eq!(joined.code, 0, "{}", joined.err);
    let own = elsewhere(&house, "pc2", &["household"]);
    assert!(own.out.contains("pc2") && own.out.contains("another machine"), "{}", own.out);
    running.stop();
}

#[test]
fn a_certificate_is_renewed_by_hand_on_any_machine() {
    let house = House::new();
    let (running, at) = listening(&house);
    let line = invite(&house, "pc2", &at)["line"].as_str().unwrap().to_owned();
    assert_eq!(elsewhere(&house, "pc2", &["join", &line]).code, 0);
    let files = |folder: &str| {
        ["node.crt", "node.key"].map(|name| std::fs::read(house.path(folder).join(name)).unwrap())
    };
    let before = files("pc2/trust");
    let renewed = elsewhere(&house, "pc2", &["household", "renew", "--json"]);
    assert_eq!(renewed.code, 0, "{}", renewed.err);
    let renewed: Value = serde_json::from_str(&renewed.out).unwrap();
    assert_eq!(renewed["node"], "pc2");
    assert!(renewed["expires"].is_string());
    let after = files("pc2/trust");
    assert!(before[0] != after[0] && before[1] != after[1]);
    // The one that signs needs nobody, and shows the new one from then on.
    let own = house.genii(&["household", "renew"]);
    assert!(own.out.contains("main has another certificate"), "{}{}", own.out, own.err);
    assert_eq!(elsewhere(&house, "pc2", &["household", "renew"]).code, 0);
    running.stop();
    let alone = elsewhere(&house, "pc2", &["household", "renew"]);
    assert_eq!(alone.code, 1);
    assert!(alone.err.contains("nobody listens") && alone.err.contains("is up"), "{}", alone.err);
}

#[test]
fn who_is_invited_and_who_was_expelled_is_shown() {
    let two = Two::new();
    let household = |data: &str| -> Value {
        let said = elsewhere(&two.house, data, &["household", "--json"]);
        assert_eq!(said.code, 0, "{}", said.err);
        serde_json::from_str(&said.out).unwrap()
    };
    assert_eq!(household("data")["invitations"], json!([]));
    let invite = ["invite", "pc3", "--for", "15m", "--at", "127.0.0.1:1", "--json"];
    let line = two.house.json(&invite);
    // To the second, as the ledger has it.
    let until = format!("{}.000Z", &line["expires"].as_str().unwrap()[..19]);
    let shown = two.house.genii(&["household"]);
    assert!(shown.out.contains(&format!("invited      pc3 until {until}")), "{}", shown.out);
    // The secret was shown once.
    assert!(!shown.out.contains("genii-join"), "{}", shown.out);
    let open = &household("data")["invitations"];
    let expires = open[0]["expires"].as_str().unwrap();
    assert_eq!(open, &json!([{ "node": "pc3", "expires": expires }]));
    assert_eq!(expires[..19], until[..19]);
    let own = household("pc2");
    assert_eq!((&own["expelled"], &own["invitations"]), (&json!(false), &Value::Null));

    assert_eq!(two.house.genii(&["expel", "pc3"]).code, 0);
    assert_eq!(household("data")["invitations"], json!([]));
    assert_eq!(two.house.genii(&["expel", "pc2"]).code, 0);
    wait_until("pc2 to hear of it", || {
        let own = household("pc2");
        if own["expelled"] == true { Ok(()) } else { Err(own) }
    });
    let main = "this machine was expelled; main has said so first at";
    // Also when nobody runs any more.
    two.pc2.stop();
    two.main.stop();
    let own = elsewhere(&two.house, "pc2", &["household"]);
    assert!(own.out.contains(main) && own.out.contains(" join`"), "{}", own.out);
}

/// What is said is to be typed works when it is typed.
#[test]
fn hints_name_the_data_folder_that_was_named() {
    let house = House::new();
    let data = house.path("my house");
    let data = data.to_str().unwrap();
    let says = |args: &[&str], hint: &str| {
        let said = house.genii(&[&["--data", data], args].concat());
        let text = said.out + &said.err;
        assert!(text.contains(&hint.replace("DIR", &format!("'{data}'"))), "{args:?}: {text}");
    };
    says(&["household"], "make one with `genii --data DIR init`");
    says(&["ctl", "ps"], "start it with `genii --data DIR up`");
    says(&["token", "list"], "`genii --data DIR up` makes one");
    says(&["init", "--node", "mainpc"], "next: `genii --data DIR up` starts it");
    says(&["expel", "pc2"], "`genii --data DIR household` shows the nodes");
    says(&["token", "list"], "`genii --data DIR token new` makes one");
    // What is to be done on another machine is not about this folder.
    says(&["join", "nonsense"], "`genii invite NAME` prints one");
    // Whoever named none is told of none.
    let other = house.genii(&["household"]);
    assert!(other.err.contains("make one with `genii init`"), "{}", other.err);
}
