//! What a person types is the same on each machine of a household, whatever it is about.

use rustix::process::Signal;
use serde_json::Value;

use crate::cluster::{Two, begin_with, join, listening_at, on};
use crate::support::{House, Said, wait_until};

/// What is said on a machine, which must be good.
fn good(said: Said) -> String {
    assert_eq!(said.code, 0, "{}", said.err);
    said.out
}

#[test]
fn every_command_takes_an_agent_that_is_pinned_to_its_machine() {
    let mut two = Two::new();
    let ctl = |args: &[&str]| two.house.genii(&[&["ctl"], args].concat());
    let pc2 = |args: &[&str]| on(&two.house, "pc2", &[&["ctl"], args].concat());
    assert!(good(ctl(&["stop", "far/errors@pc2"])).contains("far/errors is stopped"));
    assert!(good(ctl(&["start", "far/errors@pc2"])).contains("far/errors is ready"));
    assert!(good(ctl(&["restart", "far@pc2"])).contains("far is ready"));
    for command in ["state", "messages", "inspect", "log", "suspend", "resume", "why", "journal"] {
        good(ctl(&[command, "far/errors@pc2"]));
        good(pc2(&[command, "far/errors@pc2"]));
    }
    assert!(good(ctl(&["deps", "far/errors@pc2"])).contains("core/needy"));
    assert!(good(ctl(&["tree", "far@pc2"])).contains("far/errors"));
    good(ctl(&["suspend", "far/errors@pc2"]));
    wait_until("it to be listed as suspended", || {
        let listed = good(ctl(&["ps", "far"]));
        if listed.contains("ready (suspended)") { Ok(()) } else { Err(listed) }
    });
    good(ctl(&["resume", "far/errors@pc2"]));
    good(ctl(&["kill", "far/errors@pc2"]));
    let asked = ["ask", "far/errors@pc2", "errors.list"];
    wait_until("its return", || if ctl(&asked).code == 0 { Ok(()) } else { Err(()) });
    let started = ["start", "guests/desk@pc2", "--kind", "unified-error"];
    assert!(good(ctl(&started)).contains("guests/desk is ready"));
    good(ctl(&["stop", "guests/desk@pc2"]));

    // A machine itself is asked after by its name in the journal.
    assert_eq!(good(ctl(&["why", "@pc2"])), "@pc2 is alive\n");
    assert_eq!(good(ctl(&["why", "@main"])), "@main is this machine\n");
    let journal = good(ctl(&["journal", "@pc2"]));
    assert!(journal.lines().all(|line| line.contains(" @pc2 ")), "{journal}");
    assert!(!journal.is_empty() && good(pc2(&["journal", "@pc2"])).is_empty());
    assert!(good(ctl(&["ps", "@pc2"])).contains("far/errors"));
    assert!(!good(ctl(&["ps", "@pc2"])).contains("core/twin"));

    // What is not there, or cannot be, is said with what to do.
    let refused = |args: &[&str], why: &str, help: &str| {
        let said = ctl(args);
        assert_eq!(said.code, 1, "{args:?}: {}", said.out);
        assert!(said.err.contains(why) && said.err.contains(help), "{args:?}: {}", said.err);
    };
    refused(&["why", "core/twin@pc2"], "core/twin is not on pc2", "it lives on main");
    refused(&["stop", "far/errors@main"], "far/errors is not on main", "it lives on pc2");
    refused(&["restart", "core@pc2"], "core is not on pc2", "it lives on main");
    refused(&["log", "guests/nobody@pc2"], "guests/nobody is not on pc2", "ctl ps --node pc2`");
    refused(&["log", "far/nobody@pc2"], "far/nobody is not in this house", "(on pc2)");
    refused(&["why", "pc2"], "pc2 is a machine", "`genii ctl nodes` shows");
    refused(&["journal", "pc2"], "pc2 is a machine", "why @pc2` asks after it");
    refused(&["ps", "pc2"], "pc2 is a machine", "`genii ctl nodes` shows");
    refused(&["why", "@pc3"], "no machine pc3 is known", "did you mean pc2?");
    refused(
        &["start", "core/guest@pc2", "--kind", "unified-error"],
        "the group core lives on main, so core/guest cannot start here (on pc2)",
        "`--node main`",
    );
    refused(&["state", "far/errors@pc3"], "no machine pc3 is known", "did you mean pc2?");
    refused(
        &["why", "far/errors@pc2", "--node", "main"],
        "pinned to pc2, and --node says main",
        "leave one",
    );
    let typed = ctl(&["why", "far/errors@PC2"]);
    assert!(typed.code == 2 && typed.err.contains("did you mean \"pc2\"?"), "{}", typed.err);

    let typed = ctl(&["stop", "@pc2"]);
    assert!(typed.code == 2 && typed.err.contains("`nodes` shows the machines"), "{}", typed.err);

    // Of a machine that is gone, each tells what it knows, pinned or not.
    two.pc2.signal(Signal::KILL);
    two.pc2.end();
    two.until_node("pc2", "down");
    let ctl = |args: &[&str]| two.house.genii(&[&["ctl"], args].concat());
    assert!(good(ctl(&["why", "far/errors@pc2"])).contains("its node pc2 is down"));
    assert!(good(ctl(&["why", "@pc2"])).starts_with("@pc2 is down"));
    for command in ["stop", "state", "suspend", "log"] {
        let refused = ctl(&[command, "far/errors@pc2"]);
        assert_eq!((refused.code, refused.out.as_str()), (1, ""), "{command}");
        let pc2 = "far/errors lives on pc2\n  help: `genii ctl nodes` shows how pc2 stands";
        assert!(refused.err.contains(pc2), "{command}: {}", refused.err);
    }
    let asked = ctl(&asked);
    assert!(asked.err.contains("`genii ctl nodes` shows how pc2 stands"), "{}", asked.err);
    let not_there = ctl(&["log", "core/twin@pc2"]);
    assert!(not_there.err.contains("it is not connected (down"), "{}", not_there.err);
    two.main.stop();
}

#[test]
fn agents_that_only_another_machine_knows_are_listed_and_taken_like_all_others() {
    let mut two = Two::new();
    let ctl = |args: &[&str]| two.house.genii(&[&["ctl"], args].concat());
    let started = ["start", "guests/desk@pc2", "--kind", "unified-error"];
    assert!(good(ctl(&started)).contains("guests/desk is ready"));
    let row = two.house.wait_for_state("guests/desk", "ready");
    // What is not known here is left out, and is not nothing.
    assert_eq!(row["node"], "pc2");
    for unknown in ["for_seconds", "restarts", "depth", "handled", "suspended", "required"] {
        assert_eq!(row[unknown], Value::Null, "{unknown} of {row}");
    }
    let declared = two.house.row("far/errors");
    assert!(declared["for_seconds"].is_number() && declared["restarts"].is_null(), "{declared}");
    assert_eq!(two.house.row("core/twin")["restarts"], 0);
    assert!(good(ctl(&["ps", "guests"])).contains("pc2"));
    assert_eq!(good(ctl(&["ps", "guests@pc2", "core@main"])).lines().count(), 5);
    assert!(good(ctl(&["ps", "guests@main"])).contains("no agent"));
    let nowhere = ctl(&["ps", "guests@pc3"]);
    assert!(nowhere.code == 1 && nowhere.err.contains("did you mean pc2?"), "{}", nowhere.err);
    let tree = good(ctl(&["tree"]));
    assert!(tree.contains("guests") && tree.contains("└─ guests/desk"), "{tree}");
    assert!(tree.lines().any(|it| it.starts_with("guests ") && it.ends_with("on pc2")), "{tree}");
    assert!(good(ctl(&["tree", "guests"])).contains("guests/desk"));

    // What is typed about it here is carried out there.
    assert!(good(ctl(&["deps", "guests/desk"])).contains("depends on nobody"));
    assert!(good(ctl(&["why", "guests"])).contains("guests has been ready"));
    assert!(good(ctl(&["restart", "guests"])).contains("guests is ready"));
    let slip = ctl(&["why", "guests/dek"]);
    assert!(slip.err.contains("did you mean guests/desk?"), "{}", slip.err);
    // The machine itself has all of it.
    let there = good(on(&two.house, "pc2", &["ctl", "ps", "guests", "--json"]));
    assert!(there.contains("\"restarts\":0") && !there.contains("\"node\""), "{there}");
    two.pc2.signal(Signal::TERM);
    two.pc2.end();
    two.until_node("pc2", "left");
    let ctl = |args: &[&str]| two.house.genii(&[&["ctl"], args].concat());
    let gone = ctl(&["ps", "guests"]);
    assert!(gone.code == 1 && gone.err.contains("guests is not in this house"), "{}", gone.err);
    two.main.stop();
}

const MAIN_ALONE: &str = r#"
[groups.core]
node = "main"
[agents."core/twin"]
kind = "system-digital-twin"
"#;

const ALL_ON_PC2: &str = r#"
[groups.core]
node = "pc2"
[agents."core/twin"]
kind = "system-digital-twin"
"#;

#[test]
fn a_machine_without_agents_of_its_own_comes_up_as_a_member() {
    let house = House::new();
    let topology = house.file("house.toml", MAIN_ALONE);
    house.file("next.toml", ALL_ON_PC2);
    house.file("data/genii.toml", "listen = \"127.0.0.1:0\"\n");
    // By itself it would be of no use, and is more likely to be called otherwise.
    let up = ["up", "--plain", "--topology", topology.to_str().unwrap()];
    let alone = on(&house, "pc2", &[&up[..], &["--node", "pc2"]].concat());
    assert!(alone.code == 1 && alone.err.contains("as `--node main`"), "{}", alone.err);
    let mut main = begin_with(&house, "data", "house.toml");
    join(&house, &listening_at(&mut main), "pc2");
    let mut pc2 = begin_with(&house, "pc2", "house.toml");
    pc2.wait_for("pc2 is up, and hosts no agents yet");
    let ctl = |args: &[&str]| on(&house, "pc2", &[&["ctl"], args].concat());
    wait_until("it to be linked", || {
        let asked = ctl(&["ask", "core/twin", "twin.describe_house"]);
        if asked.code == 0 { Ok(()) } else { Err(asked.err) }
    });
    assert!(good(ctl(&["tree"])).contains("core/twin"));
    let nodes = house.json(&["ctl", "nodes", "--json"]);
    let row = nodes.as_array().unwrap().iter().find(|row| row["node"] == "pc2").unwrap();
    assert_eq!((&row["state"], &row["addresses"]), (&"alive".into(), &0.into()));

    // It takes agents when it is given some, and another may be left without any.
    assert!(good(ctl(&["start", "guests/desk", "--kind", "unified-error"])).contains("is ready"));
    let next = house.path("next.toml");
    let apply = ["apply", next.to_str().unwrap()];
    assert!(good(ctl(&apply)).contains("done"));
    assert!(good(house.genii(&[&["ctl"], &apply[..]].concat())).contains("done"));
    let row = house.wait_for_state("core/twin", "ready");
    assert_eq!(row["node"], "pc2");
    main.stop();
    pc2.stop();
    house.wait_for_no_process();
}
