//! What befalls the other machines, and what the rest of the household notices of it.

use std::thread;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::cluster::{ASK, Two, on};
use crate::support::{Running, wait_until};

/// What may wait for a machine that does not read, and all that it takes to make it, in bytes.
const GROWTH_MAX: u64 = 64 << 20;

/// How many send at once, and how often each sends its script.
const SENDERS: usize = 8;
const TIMES: usize = 12;

/// Tells that are nearly a mebibyte together, as much as a script may be.
fn tells(count: usize) -> String {
    let report = json!({ "agent": "core/twin", "message": "x".repeat(900_000 / count) });
    format!("tell far/errors errors.report '{report}'\n").repeat(count)
}

/// An agent that handles nothing, on another machine: what waits for it is bounded, who sends is told,
/// and its neighbours answer meanwhile.
#[test]
fn an_agent_that_stands_still_holds_up_nobody_else() {
    let two = Two::new();
    assert_eq!(on(&two.house, "pc2", &["ctl", "suspend", "far/errors"]).code, 0);
    let script = tells(60);
    thread::scope(|scope| {
        let send = || scope.spawn(|| two.house.script(&[], &script));
        let sending: Vec<_> = (0..4).map(|_| send()).collect();
        while sending.iter().any(|it| !it.is_finished()) {
            // Where all cores are busy with these and other tests, it may take its time.
            let ask =
                ["ctl", "ask", "far/machine@pc2", "resources.machine", "{}", "--timeout", "30s"];
            let neighbour = two.house.genii(&ask);
            assert_eq!(neighbour.code, 0, "{}", neighbour.err);
        }
        // So much may wait that what one of them sends has room, if it comes before all others.
        let said = sending.into_iter().map(|it| it.join().unwrap());
        let refused: Vec<_> = said.filter(|said| said.code != 0).collect();
        assert!(refused.len() >= 3, "{} of 4 were refused", refused.len());
        for said in refused {
            assert!(said.code == 1 && said.err.contains("overloaded"), "{}", said.err);
        }
    });
    assert_eq!(on(&two.house, "pc2", &["ctl", "resume", "far/errors"]).code, 0);
    assert_eq!(two.house.genii(&ASK).code, 0);
    assert_eq!(two.node("pc2")["state"], "alive");
    two.pc2.stop();
    two.main.stop();
}

/// A machine that stands still while others send to it without end: what waits for it is bounded, who
/// sends is told, and when it wakes all is as before.
#[test]
fn a_machine_that_stands_still_does_not_fill_the_others() {
    let two = Two::new();
    let script = tells(3);
    let before = two.main.resident();
    two.pc2.signal(Signal::STOP);
    let most = thread::scope(|scope| {
        let send = || (0..TIMES).map(|_| two.house.script(&["--keep-going"], &script));
        let send = || scope.spawn(move || send().collect::<Vec<_>>());
        let sending: Vec<_> = (0..SENDERS).map(|_| send()).collect();
        let mut most = before;
        while sending.iter().any(|it| !it.is_finished()) {
            most = most.max(two.main.resident());
            thread::yield_now();
        }
        let said = sending.into_iter().map(|it| it.join().unwrap().pop().unwrap());
        for said in said {
            assert!(said.code == 1 && said.err.contains("not connected"), "{}", said.err);
        }
        most
    });
    assert!(most < before + GROWTH_MAX, "{before} grew to {most}");
    two.until_node("pc2", "down");
    two.pc2.signal(Signal::CONT);
    two.until_node("pc2", "alive");
    assert_eq!(two.house.genii(&ASK).code, 0);
    two.pc2.stop();
    two.main.stop();
}

/// What lives on a third machine.
const THIRD: &str = r#"
[groups.third]
node = "pc3"
[agents."third/errors"]
kind = "unified-error"
"#;

/// Of three machines one is killed, another is expelled: each other link stays, and each other machine
/// learns what it must.
#[test]
fn of_three_machines_each_can_go_and_the_others_stay() {
    let mut two = Two::new();
    let line = two.main.wait_for("listening at ");
    let two = two;
    let at = line.split("listening at ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
    let invited = two.house.json(&["invite", "pc3", "--at", at, "--json"]);
    two.house.file("pc3/genii.toml", "listen = \"127.0.0.1:0\"\n");
    let joined = on(&two.house, "pc3", &["join", invited["line"].as_str().unwrap()]);
    assert_eq!(joined.code, 0, "{}", joined.err);
    let begin_third = || {
        let mut command = two.house.command(env!("CARGO_BIN_EXE_genii"));
        let (data, file) = (two.house.path("pc3"), two.house.file("three.toml", THIRD));
        command.arg("--data").arg(data).args(["up", "--plain", "--topology"]).arg(file);
        let mut pc3 = Running::new(command.spawn().unwrap());
        pc3.wait_for("agents are ready after");
        two.until_node("pc3", "alive");
        pc3
    };
    let mut pc3 = begin_third();
    let life = |name: &str| two.node(name)["incarnation"].as_u64().unwrap();
    let (before, main) = (life("pc2"), || {
        let nodes = on(&two.house, "pc2", &["ctl", "nodes", "--json"]);
        let nodes: Value = serde_json::from_str(&nodes.out).unwrap();
        nodes.as_array().unwrap().iter().find(|node| node["node"] == "main").cloned().unwrap()
    });
    pc3.signal(Signal::KILL);
    two.until_node("pc3", "down");
    pc3.end();
    assert_eq!((life("pc2"), main()["state"].as_str()), (before, Some("alive")));
    let pc3 = begin_third();

    let list = two.house.path("pc2/trust/expelled.crl");
    let before = std::fs::read(&list).unwrap();
    assert_eq!(two.house.genii(&["expel", "pc3"]).code, 0);
    two.until_node("pc3", "down");
    wait_until("pc2 to hear of it", || (std::fs::read(&list).unwrap() != before).then_some(()));
    // Both ends say why: the one that refuses, and the one that is refused.
    wait_until("the reason to be said", || {
        let why = two.node("pc3")["why"].as_str().unwrap_or_default().to_owned();
        if why.contains("pc3 was expelled") { Ok(()) } else { Err(why) }
    });
    wait_until("pc3 to hear why", || {
        let nodes = on(&two.house, "pc3", &["ctl", "nodes"]).out;
        if nodes.contains("pc3 was expelled") { Ok(()) } else { Err(nodes) }
    });
    assert_eq!(main()["state"], "alive");
    pc3.stop();
    two.pc2.stop();
    two.main.stop();
}
