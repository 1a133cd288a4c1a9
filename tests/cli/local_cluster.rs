//! A household of two machines, both of them this one, by one command.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::cluster::on;
use crate::support::{House, Running, wait_until};

/// The data folder of the other machine.
const PC2: &str = "data/local-cluster/pc2";

const ASK: [&str; 5] = ["ctl", "ask", "pc2-core/unified-error", "errors.list", "{}"];
const MACHINE: [&str; 5] = ["ctl", "ask", "pc2-core/resource-manager", "resources.machine", "{}"];

/// Begins it, and waits until both machines are up.
fn begin(house: &House, args: &[&str]) -> Running {
    let mut running = house.begin(&[&["--local-cluster"], args].concat());
    // The trees of both.
    running.wait_for("pc2 | pc2-core ");
    running.wait_for("└─ core/resource-manager");
    house.wait_for_state("core/health-monitor", "ready");
    running
}

/// The process of the other machine, as the screen says.
fn pid_of(line: &str) -> Pid {
    let pid = line.split("process ").nth(1).and_then(|rest| rest.split(';').next());
    Pid::from_raw(pid.unwrap().parse().unwrap()).unwrap()
}

/// How an agent stands in the tree of the first machine.
fn in_tree(house: &House, agent: &str) -> String {
    fn find(branches: &Value, agent: &str) -> Option<String> {
        branches.as_array()?.iter().find_map(|branch| match branch["name"] == agent {
            true => branch["state"].as_str().map(str::to_owned),
            false => find(&branch["children"], agent),
        })
    }
    let tree = house.json(&["ctl", "tree", "--json"]);
    find(&tree, agent).unwrap_or_else(|| panic!("no {agent} in {tree}"))
}

fn until_in_tree(house: &House, agent: &str, state: &str) {
    wait_until(&format!("{agent} to be {state}"), || {
        let now = in_tree(house, agent);
        if now == state { Ok(()) } else { Err(now) }
    });
}

#[test]
fn a_machine_is_killed_and_comes_back_without_a_hand() {
    let house = House::new();
    let mut running = begin(&house, &["--restart-after", "10s"]);
    let answered = house.genii(&ASK);
    assert_eq!(answered.code, 0, "{}", answered.err);
    let back =
        on(&house, PC2, &["ctl", "ask", "core/system-digital-twin", "twin.describe_house", "{}"]);
    assert_eq!(back.code, 0, "{}", back.err);

    let round = house.json(&["ctl", "ask", "core/health-monitor", "health.check", "{}", "--json"]);
    let checks = round["reply"]["checks"].as_array().unwrap();
    let there = checks.iter().find(|check| check["address"] == "pc2-core/unified-error");
    assert_eq!(there.unwrap()["health"], "well", "{round}");
    assert_eq!(in_tree(&house, "pc2-core"), "alive");
    let pc2 = pid_of(&running.wait_for("pc2 runs as process"));
    kill_process(pc2, Signal::KILL).unwrap();
    let began = Instant::now();
    until_in_tree(&house, "pc2-core/unified-error", "stopped");
    // Some of it is the time that the command takes to start.
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert_eq!(in_tree(&house, "pc2-core"), "down");
    until_in_tree(&house, "core/health-monitor", "degraded");
    let why = house.genii(&["ctl", "why", "core/health-monitor"]).out;
    assert!(why.contains("its node pc2 is down"), "{why}");
    let stood_in = house.genii(&MACHINE);
    assert_eq!(stood_in.code, 0, "{}", stood_in.err);
    running.wait_for("pc2 was ended by signal 9 (SIGKILL); it is started again in 10");

    until_in_tree(&house, "pc2-core/unified-error", "ready");
    until_in_tree(&house, "core/health-monitor", "ready");
    assert_eq!(house.genii(&ASK).code, 0);
    running.stop();
    house.wait_for_no_process();
}

#[test]
fn a_being_is_spoken_to_from_both_machines_whether_it_sleeps_or_not() {
    let house = House::new();
    let running = begin(&house, &[]);
    let file = house.file("marit.toml", "name = \"Marit\"\n");
    let made = house.genii(&["being", "create", file.to_str().unwrap()]);
    assert_eq!(made.code, 0, "{}", made.err);
    let told = on(&house, PC2, &["being", "remember", "marit", "the key is under the blue pot"]);
    assert_eq!(told.code, 0, "{}", told.err);
    // One that was stopped sleeps, and the other machine does not see a difference.
    assert_eq!(house.genii(&["ctl", "stop", "being/marit"]).code, 0);
    let recalled = on(&house, PC2, &["being", "recall", "marit", "where is the key"]);
    assert!(recalled.out.contains("blue pot"), "{} {}", recalled.out, recalled.err);
    let listed = on(&house, PC2, &["being", "list"]);
    assert!(listed.out.contains("mainpc"), "{} {}", listed.out, listed.err);
    running.stop();
    house.wait_for_no_process();
}

#[test]
fn a_being_moves_to_the_other_machine_in_the_middle_of_a_chat() {
    let house = House::new();
    let mut running = begin(&house, &[]);
    let pc2 = pid_of(&running.wait_for("pc2 runs as process"));
    let file = house.file("marit.toml", "name = \"Marit\"\n");
    let made = house.genii(&["being", "create", file.to_str().unwrap(), "--home", "mainpc"]);
    assert_eq!(made.code, 0, "{}", made.err);
    let mut chat = house.command(env!("CARGO_BIN_EXE_genii"));
    chat.args(["being", "chat", "marit", "--json"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut chat = chat.spawn().unwrap();
    let (mut says, hears) = (chat.stdin.take().unwrap(), chat.stdout.take().unwrap());
    let mut hears = BufReader::new(hears).lines();
    let mut say = |said: &str| -> Value {
        writeln!(says, "{said}").unwrap();
        serde_json::from_str(&hears.next().unwrap().unwrap()).unwrap()
    };
    say("My boat is called Sandpiper.");
    let remind = house.genii(&["being", "remind", "marit", "5s", "The tide turns."]);
    assert_eq!(remind.code, 0, "{}", remind.err);
    let moved = house.json(&["being", "migrate", "marit", "pc2", "--json"]);
    assert_eq!((&moved["id"], &moved["node"]), (&"marit".into(), &"pc2".into()));
    let answer = say("What is my boat called?");
    assert!(answer["recalled"].to_string().contains("Sandpiper"), "{answer}");
    assert!(house.path(PC2).join("beings/marit/being.redb").exists());
    assert!(!house.path("data/beings/marit").exists());
    // It is reminded wherever it lives by then.
    wait_until("marit to be reminded", || {
        let history = house.json(&["being", "history", "marit", "--json"]).to_string();
        if history.contains("The tide turns.") { Ok(()) } else { Err(history) }
    });
    drop(says);
    assert!(chat.wait().unwrap().success());
    let listed = on(&house, PC2, &["being", "list"]);
    assert!(listed.out.contains("pc2"), "{} {}", listed.out, listed.err);
    let nowhere = house.genii(&["being", "migrate", "marit", "pc9"]);
    assert_eq!(nowhere.code, 1, "{}", nowhere.out);
    assert!(nowhere.err.contains("there are homes on mainpc, pc2"), "{}", nowhere.err);
    // It lives there: with that machine it is gone, and with it it comes back.
    kill_process(pc2, Signal::KILL).unwrap();
    let state = || house.json(&["being", "list", "--json"])[0]["state"].to_string();
    wait_until("marit to be unreachable", || match state() {
        state if state == "\"unreachable\"" => Ok(()),
        state => Err(state),
    });
    wait_until("marit to be back", || {
        let recalled = house.genii(&["being", "recall", "marit", "what is the boat called"]);
        let is_back = recalled.out.contains("Sandpiper");
        if is_back { Ok(()) } else { Err(recalled.out + &recalled.err) }
    });
    running.stop();
    house.wait_for_no_process();
}

/// Where the processes of beings are kept, of those that have one.
fn kept_at(house: &House) -> Vec<String> {
    let of_being = |words: String| {
        // The words of their keepers hold those of their own.
        let is_keeper = words.contains("-process ");
        words.split_once(" live-as-tenant ").map(|(_, at)| at.to_owned()).filter(|_| !is_keeper)
    };
    house.processes().into_iter().filter_map(of_being).collect()
}

#[test]
fn a_being_with_a_process_of_its_own_moves_while_it_is_awake_and_has_one_there() {
    let house = House::new();
    let running = begin(&house, &[]);
    let file = house.file("marit.toml", "name = \"Marit\"\n");
    let file = file.to_str().unwrap();
    let made = ["being", "create", file, "--home", "mainpc", "--isolation", "process"];
    let made = house.genii(&made);
    assert_eq!(made.code, 0, "{}", made.err);
    let told = house.genii(&["being", "ask", "marit", "My boat is called Sandpiper."]);
    assert_eq!(told.code, 0, "{}", told.err);
    let [before] = &kept_at(&house)[..] else { panic!("{:?}", house.processes()) };
    assert!(!before.contains(PC2), "{before}");

    for (to, asked_on) in [("pc2", "data"), ("mainpc", PC2)] {
        // For some seconds it is refused to move where it has just left.
        let moved = wait_until(&format!("marit to move to {to}"), || {
            let said = house.genii(&["being", "migrate", "marit", to, "--json"]);
            serde_json::from_str::<Value>(&said.out).map_err(|_| said.err)
        });
        assert_eq!((&moved["node"], &moved["isolation"]), (&to.into(), &"process".into()));
        let answered = on(&house, asked_on, &["being", "ask", "marit", "What is my boat called?"]);
        assert!(answered.out.contains("Sandpiper"), "{} {}", answered.out, answered.err);
        wait_until(&format!("marit to have one process, on {to}"), || {
            let now = kept_at(&house);
            let is_there = now.len() == 1 && now[0].contains(PC2) == (to == "pc2");
            if is_there { Ok(()) } else { Err(now.join(" ")) }
        });
    }
    running.stop();
    house.wait_for_no_process();
}

#[test]
fn it_begins_again_as_the_same_household_and_leaves_nothing_behind() {
    let house = House::new();
    let household = || {
        let said = on(&house, PC2, &["household", "--json"]).out;
        serde_json::from_str::<Value>(&said).unwrap()["household"].clone()
    };
    let running = begin(&house, &[]);
    let before = household();
    running.stop();
    house.wait_for_no_process();

    let mut running = begin(&house, &[]);
    assert_eq!(household(), before);
    assert_eq!(house.genii(&ASK).code, 0);
    // Also when it can stop nothing any more.
    running.signal(Signal::KILL);
    running.end();
    house.wait_for_no_process();
}

#[test]
fn a_machine_that_was_stopped_stays_so_until_it_is_started_by_hand() {
    let house = House::new();
    let mut running = begin(&house, &[]);
    assert_eq!(on(&house, PC2, &["ctl", "shutdown"]).code, 0);
    let said = running.wait_for("pc2 was stopped; to start it again: genii ");
    let command = said.split("again: genii ").nth(1).unwrap();
    let words: Vec<&str> = command.split(' ').collect();
    let mut pc2 = house.command(env!("CARGO_BIN_EXE_genii"));
    let mut pc2 = Running::new(pc2.args(words).spawn().unwrap());
    pc2.wait_for("agents are ready after");
    until_in_tree(&house, "core/health-monitor", "ready");
    assert_eq!(house.genii(&ASK).code, 0);
    pc2.stop();
    running.stop();
}

#[test]
fn what_cannot_be_is_said_before_anything_starts() {
    let house = House::new();
    let alone = house
        .file("alone.toml", "[groups.core]\n[agents.\"core/errors\"]\nkind = \"unified-error\"\n");
    let said = house.genii(&["up", "--local-cluster", "--topology", alone.to_str().unwrap()]);
    assert_eq!(said.code, 1, "{}", said.err);
    assert!(said.err.contains("no machine but main") && said.err.contains("help"), "{}", said.err);

    // Somebody of that name belongs to the household, and may live anywhere.
    begin(&house, &[]).stop();
    std::fs::remove_dir_all(house.path(PC2)).unwrap();
    let said = house.genii(&["up", "--local-cluster"]);
    assert_eq!(said.code, 1, "{}", said.err);
    assert!(said.err.contains("has a machine pc2 already"), "{}", said.err);
    assert_eq!(house.genii(&["expel", "pc2"]).code, 0);
    begin(&house, &[]).stop();
    assert_eq!(house.genii(&["expel", "pc2"]).code, 0);
    let said = house.genii(&["up", "--local-cluster"]);
    assert!(said.err.contains("pc2 was expelled from the household"), "{}", said.err);
    house.wait_for_no_process();
}
