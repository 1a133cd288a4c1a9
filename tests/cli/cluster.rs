//! Two machines of one household: two real processes, with mutual TLS between them.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{House, Running, Said, wait_until};
use crate::terminal::Terminal;

pub const TOPOLOGY: &str = r#"
[groups.core]
node = "main"
[groups.far]
node = "pc2"

[agents."core/twin"]
kind = "system-digital-twin"
[agents."core/needy"]
kind = "unified-error"
needs = ["far/errors"]
[agents."far/errors"]
kind = "unified-error"
[agents."far/machine"]
kind = "resource-manager"
fallback = "core/spare"
[agents."core/spare"]
kind = "resource-manager"
"#;

/// Two machines that have been made one household.
pub struct Two {
    pub house: House,
    pub main: Running,
    pub pc2: Running,
}

/// What is set besides on the first machine, and the topology of both.
pub struct TwoOptions<'a> {
    pub main: &'a str,
    pub topology: &'a str,
}

impl Default for TwoOptions<'_> {
    fn default() -> Self {
        Self { main: "", topology: TOPOLOGY }
    }
}

impl Two {
    pub fn new() -> Self {
        Self::with(&TwoOptions::default())
    }

    pub fn with(options: &TwoOptions<'_>) -> Self {
        let house = House::new();
        house.file("two.toml", options.topology);
        let main = format!("listen = \"127.0.0.1:0\"\n{}", options.main);
        house.file("data/genii.toml", &main);
        house.file("pc2/genii.toml", "listen = \"127.0.0.1:0\"\n");
        let mut main = begin(&house, "data");
        join(&house, &listening_at(&mut main), "pc2");
        let mut pc2 = begin(&house, "pc2");
        main.wait_for("agents are ready after");
        pc2.wait_for("agents are ready after");
        let two = Self { house, main, pc2 };
        two.until_node("pc2", "alive");
        two
    }

    pub fn node(&self, name: &str) -> Value {
        let nodes = self.house.json(&["ctl", "nodes", "--json"]);
        let nodes = nodes.as_array().unwrap();
        nodes.iter().find(|node| node["node"] == name).cloned().unwrap_or_default()
    }

    pub fn until_node(&self, name: &str, state: &str) {
        wait_until(&format!("{name} to be {state}"), || {
            let node = self.node(name);
            if node["state"] == state { Ok(()) } else { Err(node) }
        });
    }
}

pub fn begin(house: &House, data: &str) -> Running {
    begin_with(house, data, "two.toml")
}

pub fn begin_with(house: &House, data: &str, topology: &str) -> Running {
    let (data, file) = (house.path(data), house.path(topology));
    let mut command = house.command(env!("CARGO_BIN_EXE_genii"));
    command.arg("--data").arg(data).args(["up", "--plain", "--topology"]).arg(file);
    Running::new(command.spawn().unwrap())
}

/// Where a machine listens, as it says when it begins.
pub fn listening_at(running: &mut Running) -> String {
    let line = running.wait_for("listening at ");
    let at = line.split("listening at ").nth(1).and_then(|rest| rest.split(' ').next());
    at.unwrap().to_owned()
}

/// Lets another machine join the household that listens there.
pub fn join(house: &House, at: &str, name: &str) {
    let invited = house.json(&["invite", name, "--at", at, "--json"]);
    let joined = on(house, name, &["join", invited["line"].as_str().unwrap()]);
    assert_eq!(joined.code, 0, "{}", joined.err);
}

/// What `genii` says on another machine.
pub fn on(house: &House, data: &str, args: &[&str]) -> Said {
    let data = house.path(data);
    let all: Vec<&str> =
        ["--data", data.to_str().unwrap()].into_iter().chain(args.iter().copied()).collect();
    house.genii(&all)
}

#[test]
fn an_agent_of_the_catalogue_is_started_on_the_other_machine() {
    let two = Two::new();
    let start = |more: &[&str]| {
        let start = ["ctl", "start", "guests/desk", "--node", "pc2"];
        two.house.genii(&[&start, more].concat())
    };
    let slip = start(&["--kind", "unified-eror"]);
    assert_ne!(slip.code, 0);
    assert!(slip.err.contains("unified-error") && slip.err.contains("(on pc2)"), "{}", slip.err);
    let bad = start(&["--kind", "unified-error", "--settings", "[]"]);
    assert!(bad.err.contains("settings are an object"), "{}", bad.err);
    let started = start(&["--kind", "unified-error"]);
    assert!(started.out.contains("guests/desk is ready"), "{} {}", started.out, started.err);
    let asked = ["ctl", "ask", "guests/desk", "errors.list", "{}"];
    wait_until("it to be known here", || {
        let answered = two.house.genii(&asked);
        if answered.code == 0 { Ok(()) } else { Err(answered.err) }
    });
    // What happened to it, and why it stands so, is told from here too.
    let of_it = |command: &str| two.house.genii(&["ctl", command, "guests/desk"]).out;
    assert!(of_it("why").contains("guests/desk has been ready"), "{}", of_it("why"));
    assert!(of_it("journal").contains("is ready after"), "{}", of_it("journal"));
    assert!(two.house.genii(&["ctl", "why", "far"]).out.contains("far has been ready"));
    let theirs = ["ctl", "start", "core/desk", "--kind", "unified-error", "--node", "pc2"];
    let refused = two.house.genii(&theirs);
    assert!(refused.code == 1 && refused.err.contains("lives on main"), "{}", refused.err);
    let again = start(&["--kind", "unified-error"]);
    assert!(again.err.contains("has guests/desk already"), "{}", again.err);
    let stopped = two.house.genii(&["ctl", "stop", "guests/desk"]);
    assert!(stopped.out.contains("guests/desk is stopped"), "{} {}", stopped.out, stopped.err);
    two.pc2.stop();
    two.main.stop();
}

#[test]
fn who_waits_for_another_machine_sees_it() {
    let house = House::new();
    house.file("two.toml", TOPOLOGY);
    house.file("data/genii.toml", "listen = \"127.0.0.1:0\"\n");
    let up = format!("up --topology {}", house.path("two.toml").display());
    let mut terminal = Terminal::open(&house, &up);
    terminal.wait_for("listening at ");
    let at = terminal.wait_for(" for the household");
    // Only what is to start here is counted.
    terminal.wait_for("2/3");
    terminal.wait_for("core/needy waits for far/errors on pc2, which is not connected");
    join(&house, &at, "pc2");
    house.file("pc2/genii.toml", "listen = \"127.0.0.1:0\"\n");
    let mut pc2 = begin(&house, "pc2");
    terminal.wait_for("3 of 3 agents are ready after");
    terminal.wait_for("; on pc2, ");
    pc2.wait_for("agents are ready after");
    terminal.press("\x03");
    terminal.wait_for("stopping");
    pc2.stop();
}

pub const ASK: [&str; 5] = ["ctl", "ask", "far/errors", "errors.list", "{}"];

#[test]
fn a_machine_asks_the_other_and_sees_it_go_and_return() {
    let mut two = Two::new();
    let answered = two.house.genii(&ASK);
    assert_eq!(answered.code, 0, "{}", answered.err);
    let back = on(&two.house, "pc2", &["ctl", "ask", "core/twin", "twin.describe_house", "{}"]);
    assert_eq!(back.code, 0, "{}", back.err);
    two.house.wait_for_state("core/needy", "ready");
    two.house.wait_for_state("far/machine", "ready");

    two.pc2.signal(Signal::KILL);
    let began = Instant::now();
    two.until_node("pc2", "down");
    // Most of it is the time that the command takes to start.
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    two.pc2.end();
    two.house.wait_for_state("core/needy", "degraded");
    let why = two.house.genii(&["ctl", "why", "core/needy"]).out;
    assert!(why.contains("pc2"), "{why}");
    let lost = two.house.genii(&ASK);
    assert_eq!(lost.code, 1);
    assert!(lost.err.contains("node pc2 is not connected"), "{}", lost.err);
    // A stand-in on this machine takes over for what was there.
    let stood_in = two.house.genii(&["ctl", "ask", "far/machine", "resources.machine", "{}"]);
    assert_eq!(stood_in.code, 0, "{}", stood_in.err);

    two.pc2 = begin(&two.house, "pc2");
    two.until_node("pc2", "alive");
    two.house.wait_for_state("core/needy", "ready");
    assert_eq!(two.house.genii(&ASK).code, 0);
    two.pc2.stop();
    wait_until("pc2 to have left", || {
        let nodes = two.house.json(&["ctl", "nodes", "--json"]);
        let left = nodes.as_array().unwrap().iter().any(|it| it["state"] == "left");
        if left { Ok(()) } else { Err(nodes) }
    });
    two.main.stop();
    two.house.wait_for_no_process();
}

const THREE: &str = r#"
[groups.core]
node = "main"
[groups.far]
node = "pc2"
[groups.third]
node = "pc3"

[agents."core/twin"]
kind = "system-digital-twin"
[agents."far/errors"]
kind = "unified-error"
[agents."third/errors"]
kind = "unified-error"
"#;

#[test]
fn machines_that_joined_by_the_same_one_come_to_know_each_other() {
    let house = House::new();
    house.file("three.toml", THREE);
    for data in ["data", "pc2", "pc3"] {
        house.file(&format!("{data}/genii.toml"), "listen = \"127.0.0.1:0\"\n");
    }
    let mut main = begin_with(&house, "data", "three.toml");
    let at = listening_at(&mut main);
    let others = ["pc2", "pc3"].map(|name| {
        join(&house, &at, name);
        begin_with(&house, name, "three.toml")
    });
    wait_until("pc2 to reach pc3", || {
        let asked = on(&house, "pc2", &["ctl", "ask", "third/errors", "errors.list", "{}"]);
        if asked.code == 0 { Ok(()) } else { Err(asked.err) }
    });
    // Also without the one by which they know each other.
    main.stop();
    let asked = on(&house, "pc3", &["ctl", "ask", "far/errors", "errors.list", "{}"]);
    assert_eq!(asked.code, 0, "{}", asked.err);
    for other in others {
        other.stop();
    }
}

#[test]
fn who_is_expelled_is_not_linked_any_more() {
    let two = Two::new();
    assert_eq!(two.house.genii(&["expel", "pc2"]).code, 0);
    two.until_node("pc2", "down");
    let lost = two.house.genii(&ASK);
    assert!(lost.err.contains("node pc2 is not connected"), "{}", lost.err);
    two.pc2.stop();
    two.main.stop();
}

#[test]
fn every_command_reaches_every_agent_from_either_machine() {
    let mut two = Two::new();
    let said = |args: &[&str]| {
        let said = two.house.genii(args);
        assert_eq!(said.code, 0, "{args:?}: {}", said.err);
        said.out
    };
    two.house.wait_for_state("far/errors", "ready");
    assert!(said(&["ctl", "stop", "far/errors"]).contains("far/errors is stopped"));
    two.house.wait_for_state("far/errors", "stopped");
    assert!(said(&["ctl", "start", "far/errors"]).contains("far/errors is ready"));
    assert!(said(&["ctl", "restart", "far"]).contains("far is ready"));
    assert!(said(&["ctl", "state", "far/errors"]).starts_with('{'));
    assert!(said(&["ctl", "messages", "far/errors"]).contains("errors.report"));
    assert!(said(&["ctl", "inspect", "far/machine"]).contains("far/machine"));
    said(&["ctl", "log", "far/errors"]);
    assert!(said(&["ctl", "suspend", "far/errors"]).contains("suspended"));
    said(&["ctl", "resume", "far/errors"]);
    // Of all that happens there, and not only of one agent.
    let journal = said(&["ctl", "journal", "--node", "pc2", "--json"]);
    assert!(journal.contains("far/errors"), "{journal}");
    // A stream from there.
    let watched = ["ctl", "ask", "far/machine", "resources.watch", "{\"looks\": 2}", "--json"];
    assert_eq!(said(&watched).lines().count(), 3);
    let refused = two.house.genii(&["ctl", "start", "far/nobody"]);
    assert_eq!(refused.code, 1);
    let there = two.house.genii(&["ctl", "deps", "far/nobody", "--node", "pc2"]);
    assert!(there.code == 1 && there.err.contains("(on pc2)"), "{}", there.err);
    let nowhere = two.house.genii(&["ctl", "tree", "--node", "pc3"]);
    assert!(nowhere.code == 1 && nowhere.err.contains("did you mean pc2?"), "{}", nowhere.err);
    // It is made ready to be restarted from here, and returns.
    let drained = said(&["ctl", "drain", "pc2"]);
    assert!(drained.contains("all is finished; stopping"), "{drained}");
    two.pc2.end();
    two.until_node("pc2", "left");
    two.pc2 = begin(&two.house, "pc2");
    two.until_node("pc2", "alive");
    // The other machine may end this one.
    let ended = on(&two.house, "pc2", &["ctl", "shutdown", "--node", "main"]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    two.main.end();
    two.pc2.stop();
    two.house.wait_for_no_process();
}
