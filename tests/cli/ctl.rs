//! The admin commands, from the shell and in scripts.

use crate::support::{House, Running, wait_until};
use crate::up::STEADY;

fn two() -> (House, Running) {
    let house = House::new();
    let topology = format!(
        "[groups.a]\n[groups.core]\n[agents.\"core/system-digital-twin\"]\nkind = \"system-digital-twin\"\n\
         [agents.\"a/base\"]\n{STEADY}[agents.\"a/top\"]\nneeds = [\"a/base\"]\n{STEADY}"
    );
    let running = house.up(&topology);
    (house, running)
}

#[test]
fn a_killed_agent_returns_and_why_tells_the_truth() {
    let (house, running) = two();
    let before = house.row("a/base")["pid"].clone();
    let killed = house.genii(&["ctl", "kill", "a/base"]);
    assert_eq!(killed.code, 0, "{}", killed.err);
    let row = wait_until("its return", || {
        Some(house.row("a/base")).filter(|row| row["restarts"] == 1 && row["state"] == "ready")
    });
    assert_ne!(row["pid"], before);
    let why = house.genii(&["ctl", "why", "a/base"]).out;
    assert!(why.contains("a/base has been ready") && why.contains("killed by hand"), "{why}");
    let journal = house.genii(&["ctl", "journal", "a/base"]).out;
    assert!(journal.contains("crashed: it was killed by hand"), "{journal}");
    running.stop();
}

#[test]
fn every_command_speaks_json_and_plain_words() {
    let (house, running) = two();
    for command in [
        "tree",
        "tree a",
        "ps",
        "ps a --state ready",
        "top -n 1",
        "plan",
        "deps a/top",
        "why a/top",
        "inspect a/top",
        "state core/system-digital-twin",
        "messages core/system-digital-twin",
        "messages core/system-digital-twin twin.what_if",
        "ask core/system-digital-twin twin.what_if '{\"goes\": [\"a/base\"]}'",
        "suspend core/system-digital-twin",
        "resume core/system-digital-twin",
        "restart a/top",
        "stop a/top",
        "start a/top",
        "journal -n 3",
        "log a/top -n 3",
        "dead-letters",
    ] {
        let words = shlex::split(command).unwrap();
        if command.starts_with("start") {
            house.genii(&["ctl", "stop", "a/top"]);
        }
        let mut args = vec!["ctl"];
        args.extend(words.iter().map(String::as_str));
        let plain = house.genii(&args);
        assert_eq!(plain.code, 0, "{command}: {}", plain.err);
        assert!(!plain.out.is_empty() || command.starts_with("log"), "{command} says nothing");
        if command.starts_with("start") {
            house.genii(&["ctl", "stop", "a/top"]);
        }
        args.push("--json");
        let json = house.genii(&args);
        assert_eq!(json.code, 0, "{command}: {}", json.err);
        for line in json.out.lines() {
            serde_json::from_str::<serde_json::Value>(line)
                .unwrap_or_else(|error| panic!("{command}: {error}: {line}"));
        }
    }
    running.stop();
}

#[test]
fn what_is_refused_says_why_and_what_to_do() {
    let (house, running) = two();
    for (args, code, expected) in [
        (&["why", "a/bace"][..], 1, "a/base"),
        (&["why", "A b"], 2, "A b"),
        (&["inspekt", "a/base"], 2, "inspect"),
        (&["ask", "core/system-digital-twin", "twin.what_of"], 1, "twin.what_if"),
        (&["ask", "core/system-digital-twin", "twin.what_if", "{"], 2, "JSON"),
        (&["ask", "core/system-digital-twin", "twin.what_if", "{}"], 1, "goes"),
        (&["release", "a/base"], 1, "quarantine"),
        (&["ask", "a/base", "x.y"], 1, "a/base is a process, and answers no messages"),
        (&["tell", "a/base", "x.y"], 1, "`genii ctl log a/base` shows what it prints"),
        (&["apply", "nowhere.toml"], 1, "nowhere.toml cannot be read"),
        (&["ps", "--state", "dead"], 2, "quarantined"),
    ] {
        let said = house.genii(&[&["ctl"], args].concat());
        assert_eq!(said.code, code, "{args:?}: {}{}", said.out, said.err);
        assert!(said.err.contains(expected), "{args:?}: {}", said.err);
    }
    running.stop();
}

/// A refusal may hold nothing: what its type says is told, with what to do.
#[test]
fn an_agent_that_refuses_is_quoted_in_words() {
    let house = House::new();
    let running = house
        .up("[groups.pc2-core]\n[agents.\"pc2-core/unified-error\"]\nkind = \"unified-error\"\n");
    let ask = |message, content| {
        let said = house.genii(&["ctl", "ask", "pc2-core/unified-error", message, content]);
        assert_eq!(said.code, 1, "{}{}", said.out, said.err);
        said.err
    };
    let said = ask("errors.report", "{\"message\": \"hi\"}");
    let expected = "refuses: a report from nobody about nobody: say whose error it is, with `agent` \
                    (UnnamedReporter {})";
    assert!(said.contains(expected), "{said}");
    let said = ask("errors.show", "{\"id\": 7}");
    let expected = "refuses: there is no group of errors with this number (NoSuchError {\"id\":7})";
    assert!(said.contains(expected), "{said}");
    running.stop();
}

#[test]
fn what_goes_wrong_is_json_too_where_json_is_asked_for() {
    let (house, running) = two();
    let read = |said: &str| serde_json::from_str::<serde_json::Value>(said).unwrap();
    let said = house.genii(&["ctl", "--json", "why", "a/bace"]);
    assert_eq!((said.code, said.out.as_str()), (1, ""));
    let fault = read(&said.err);
    assert_eq!(fault["error"], "a/bace is not in this house; did you mean a/base?");
    assert_eq!(fault["help"], "`genii ctl ps` lists all agents");
    let said = house.script(&["--json", "--keep-going"], "why a/bace\nwhy a/base\n");
    assert_eq!(said.code, 1);
    assert!(read(&said.err)["error"].as_str().unwrap().starts_with("line 1: "), "{}", said.err);
    assert_eq!(read(&said.out)["name"], "a/base");
    running.stop();
}

#[test]
fn a_script_is_read_whole_before_any_of_it_is_done() {
    let (house, running) = two();
    let said = house.script(&[], "stop a/top\n# a remark\ninspekt a/base\n");
    assert_eq!(said.code, 2);
    assert!(said.err.contains("line 3"), "{}", said.err);
    assert_eq!(house.row("a/top")["state"], "ready", "nothing was done");

    let said = house.script(&[], "stop a/top\nwhy a/nobody\nstart a/top\n");
    assert_eq!(said.code, 1);
    assert!(said.err.contains("line 2"), "{}", said.err);
    assert_eq!(house.row("a/top")["state"], "stopped", "it ends where it was refused");

    let said = house.script(&["--keep-going"], "why a/nobody\nstart a/top\n");
    assert_eq!(said.code, 1);
    house.wait_for_state("a/top", "ready");
    running.stop();
}

#[test]
fn only_what_changed_restarts_when_a_topology_is_applied() {
    let (house, running) = two();
    let before = house.row("a/base")["pid"].clone();
    let twin = "[groups.a]\n[groups.core]\n[agents.\"core/system-digital-twin\"]\nkind = \"system-digital-twin\"\n";
    let file = house.file(
        "new.toml",
        &format!(
            "{twin}[agents.\"a/base\"]\n{STEADY}\
             [agents.\"a/new\"]\nneeds = [\"a/base\"]\n{STEADY}\
             [agents.\"a/top\"]\nneeds = [\"a/base\"]\n{STEADY}settings.env = {{ MOOD = \"new\" }}\n"
        ),
    );
    let file = file.to_str().unwrap();
    let top = house.row("a/top")["pid"].clone();
    let shown = house.genii(&["ctl", "apply", file, "--dry-run"]);
    assert_eq!(shown.code, 0, "{}", shown.err);
    assert!(shown.out.contains("a/new") && shown.out.contains("a/top"), "{}", shown.out);
    assert!(!shown.out.contains("a/base"), "{}", shown.out);
    assert_eq!(house.row("a/top")["pid"], top);
    let applied = house.genii(&["ctl", "apply", file]);
    assert_eq!(applied.code, 0, "{}{}", applied.out, applied.err);
    house.wait_for_state("a/new", "ready");
    house.wait_for_state("a/top", "ready");
    assert_ne!(house.row("a/top")["pid"], top);
    assert_eq!(house.row("a/base")["pid"], before);
    let again = house.genii(&["ctl", "apply", file]);
    assert!(again.out.contains("nothing changes"), "{}", again.out);
    let bad = house.file("bad.toml", "[groups.a]\n[agents.\"a/x\"]\nkind = \"nothing\"\n");
    let bad = house.genii(&["ctl", "apply", bad.to_str().unwrap()]);
    assert_eq!(bad.code, 1);
    assert!(bad.err.contains("nothing was changed"), "{}", bad.err);
    running.stop();
}

#[test]
fn what_crashes_too_often_is_quarantined_until_it_is_released() {
    let house = House::new();
    let running = house.up(
        "[groups.a]\n[agents.\"a/one\"]\nkind = \"process\"\nbackoff = { first = \"1ms\", cap = \"2ms\" }\n\
         settings.command = [\"sh\", \"-c\", \"[ -e well ] || exit 5; echo ready; exec sleep 1000\"]\n\
         settings.ready = { line = { contains = \"ready\" } }\n",
    );
    assert_eq!(house.row("a/one")["state"], "quarantined");
    let why = house.genii(&["ctl", "why", "a/one"]).out;
    assert!(why.contains("code 5") && why.contains("release"), "{why}");
    let again = house.genii(&["ctl", "release", "a/one"]);
    assert_eq!(again.code, 1);
    assert!(again.err.contains("code 5"), "{}", again.err);
    let why = house.genii(&["ctl", "why", "a/one"]).out;
    assert!(why.contains("code 5") && why.contains(", after 5 restarts: "), "{why}");
    house.file("well", "");
    let released = house.genii(&["ctl", "release", "a/one"]);
    assert_eq!(released.code, 0, "{}", released.err);
    house.wait_for_state("a/one", "ready");
    // The restarts that led to the quarantine count for it no more, but are counted on.
    assert_eq!(house.genii(&["ctl", "kill", "a/one"]).code, 0);
    wait_until("its return", || {
        Some(house.row("a/one")).filter(|row| row["restarts"] == 6 && row["state"] == "ready")
    });
    running.stop();
}

/// A topology that mends what was held back lets it try again.
#[test]
fn what_is_quarantined_is_released_by_a_topology_that_changes_it() {
    let house = House::new();
    let topology = |command: &str| {
        format!(
            "[groups.a]\n[agents.\"a/one\"]\nkind = \"process\"\n\
             backoff = {{ first = \"1ms\", cap = \"2ms\" }}\n\
             settings.command = [\"sh\", \"-c\", \"{command}\"]\n\
             settings.ready = {{ line = {{ contains = \"ready\" }} }}\n"
        )
    };
    let running = house.up(&topology("exit 5"));
    assert_eq!(house.row("a/one")["state"], "quarantined");
    let mended = house.file("mended.toml", &topology("echo ready; exec sleep 1000"));
    let applied = house.genii(&["ctl", "apply", mended.to_str().unwrap()]);
    assert_eq!(applied.code, 0, "{}{}", applied.out, applied.err);
    assert_eq!(house.row("a/one")["state"], "ready");
    running.stop();
}

/// What is new starts in the order of its needs, whatever the order in the file.
#[test]
fn new_agents_and_groups_may_need_those_that_stand_after_them() {
    let (house, running) = two();
    let twin =
        "[groups.core]\n[agents.\"core/system-digital-twin\"]\nkind = \"system-digital-twin\"\n";
    let file = house.file(
        "new.toml",
        &format!(
            "[groups.b]\n[groups.c]\n[groups.a]\n{twin}\
             [agents.\"b/x\"]\nneeds = [\"c/y\"]\n{STEADY}[agents.\"c/y\"]\nneeds = [\"a/late\"]\n{STEADY}\
             [agents.\"a/early\"]\nneeds = [\"a/late\"]\n{STEADY}[agents.\"a/late\"]\n{STEADY}\
             [agents.\"a/base\"]\n{STEADY}[agents.\"a/top\"]\nneeds = [\"a/base\"]\n{STEADY}"
        ),
    );
    let applied = house.genii(&["ctl", "apply", file.to_str().unwrap()]);
    assert_eq!(applied.code, 0, "{}{}", applied.out, applied.err);
    for agent in ["b/x", "c/y", "a/early", "a/late", "a/base", "a/top"] {
        assert_eq!(house.row(agent)["state"], "ready", "{agent}");
    }
    running.stop();
}

/// A new agent that cannot start is there all the same, to be looked at and released.
#[test]
fn a_new_agent_that_cannot_start_is_told_of_and_stays() {
    let house = House::new();
    let topology = |more: &str| format!("[groups.a]\n[agents.\"a/one\"]\n{STEADY}{more}");
    let running = house.up(&topology(""));
    let file = house.file(
        "new.toml",
        &topology(
            "[agents.\"a/bad\"]\nkind = \"process\"\nbackoff = { first = \"1ms\", cap = \"2ms\" }\n\
             settings.command = [\"sh\", \"-c\", \"[ -e well ] || exit 5; echo ready; exec sleep 1000\"]\n\
             settings.ready = { line = { contains = \"ready\" } }\n",
        ),
    );
    let applied = house.genii(&["ctl", "apply", file.to_str().unwrap()]);
    assert_eq!(applied.code, 1);
    assert!(applied.out.contains("code 5"), "{}{}", applied.out, applied.err);
    assert_eq!(house.row("a/bad")["state"], "quarantined");
    house.file("well", "");
    assert_eq!(house.genii(&["ctl", "release", "a/bad"]).code, 0);
    running.stop();
}

/// Who asked for a new topology may go: it is carried out all the same.
#[test]
fn a_new_topology_is_carried_out_also_when_nobody_waits_for_it() {
    let house = House::new();
    let running = house.up(&format!("[groups.a]\n[agents.\"a/one\"]\n{STEADY}"));
    let slow = "kind = \"process\"\nsettings.ready = { line = { contains = \"ready\" } }\n\
                settings.command = [\"sh\", \"-c\", \"until [ -e go ]; do sleep 0.01; done; echo ready; exec sleep 1000\"]\n";
    let file = house.file(
        "new.toml",
        &format!(
            "[groups.a]\n[groups.b]\n[groups.c]\n[agents.\"a/one\"]\n{STEADY}\
             [agents.\"b/slow\"]\n{slow}[agents.\"c/after\"]\nneeds = [\"b/slow\"]\n{STEADY}"
        ),
    );
    let mut command = house.command(env!("CARGO_BIN_EXE_genii"));
    let mut apply = command.args(["ctl", "apply", file.to_str().unwrap()]).spawn().unwrap();
    wait_until("the slow one to be starting", || {
        let rows = house.json(&["ctl", "ps", "--json"]);
        let mut rows = rows.as_array().unwrap().iter();
        rows.find(|row| row["name"] == "b/slow" && row["state"] == "starting").map(drop)
    });
    apply.kill().unwrap();
    apply.wait().unwrap();
    house.file("go", "");
    house.wait_for_state("c/after", "ready");
    running.stop();
}

/// A group that shuts itself down with a significant agent has done its work.
#[test]
fn a_group_that_has_done_its_work_stays_down() {
    let house = House::new();
    let running = house.up(&format!(
        "[groups.a]\n[groups.b]\nauto_shutdown = \"any-significant\"\n[agents.\"a/one\"]\n{STEADY}\
         [agents.\"b/side\"]\n{STEADY}[agents.\"b/job\"]\nkind = \"process\"\n\
         restart = \"transient\"\nsignificant = true\n\
         settings.command = [\"sh\", \"-c\", \"echo ready; until [ -e go ]; do sleep 0.01; done\"]\n\
         settings.ready = {{ line = {{ contains = \"ready\" }} }}\n"
    ));
    house.file("go", "");
    wait_until("the group to be done", || {
        let tree = house.genii(&["ctl", "tree", "b"]).out;
        if tree.contains("completed") { Ok(()) } else { Err(tree) }
    });
    house.wait_for_state("b/side", "stopped");
    let said = running.stop();
    assert_eq!(said.matches(" b is starting").count(), 1, "{said}");
}

/// An agent whose group was stopped is not blamed for it.
#[test]
fn an_agent_of_a_stopped_group_is_started_with_its_group() {
    let (house, running) = two();
    assert_eq!(house.genii(&["ctl", "stop", "a"]).code, 0);
    let refused = house.genii(&["ctl", "start", "a/base"]);
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("`genii ctl start a`"), "{}", refused.err);
    assert_eq!(house.genii(&["ctl", "start", "a"]).code, 0);
    house.wait_for_state("a/base", "ready");
    running.stop();
}

#[test]
fn the_journal_and_a_log_can_be_followed() {
    let (house, running) = two();
    let follow = |args: &[&str]| {
        let mut command = house.command(env!("CARGO_BIN_EXE_genii"));
        Running::new(command.arg("ctl").args(args).arg("--follow").spawn().unwrap())
    };
    let mut journal = follow(&["journal"]);
    let mut log = follow(&["log", "a/top"]);
    journal.wait_for("a/top is ready");
    log.wait_for("ready");
    assert_eq!(house.genii(&["ctl", "restart", "a/top"]).code, 0);
    journal.wait_for("a/top is stopping");
    house.wait_for_state("a/top", "ready");
    assert_eq!(house.genii(&["ctl", "shutdown"]).code, 0);
    let mut running = running;
    assert_eq!(running.end().0, Some(0));
    // Who follows is told that it is over, and does not hang.
    for follower in [&mut journal, &mut log] {
        let (code, said) = follower.end();
        assert!(code.is_some(), "{said}");
    }
}
