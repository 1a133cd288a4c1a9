//! Topics and groups, from the shells of two machines.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::cluster::{Two, on};
use crate::support::{House, Running, wait_until};

/// `genii ctl subscribe` on a machine, when it listens.
fn subscribe(house: &House, data: &str, args: &[&str]) -> Running {
    let mut command = house.command(env!("CARGO_BIN_EXE_genii"));
    command.arg("--data").arg(house.path(data)).args(["ctl", "subscribe", "--json"]);
    let mut running = Running::new(command.args(args).spawn().unwrap());
    running.wait_for("subscribed");
    running
}

/// On which machines there are subscribers for a pattern, as the first machine knows.
fn nodes_wanting(house: &House, pattern: &str) -> Vec<String> {
    let topics = house.json(&["ctl", "topics", "--json"]);
    let patterns = topics["patterns"].as_array().unwrap().iter();
    let of_pattern = patterns.filter(|wanted| wanted["pattern"] == pattern);
    of_pattern.map(|wanted| wanted["node"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn what_is_published_on_one_machine_is_heard_on_the_other() {
    let mut two = Two::new();
    let nobody = two.house.genii(&["ctl", "publish", "world.updates.user.42"]);
    assert!(nobody.out.contains("nobody has subscribed to it"), "{}", nobody.out);
    let mut far = subscribe(&two.house, "pc2", &["world.updates.user.*", "world.**", "-n", "2"]);
    let mut other = subscribe(&two.house, "pc2", &["elsewhere.**"]);
    wait_until("it to be known", || {
        Some(nodes_wanting(&two.house, "world.**")).filter(|nodes| nodes == &["pc2"])
    });

    let content = "{\"x\": [3, null]}";
    let publish = ["ctl", "publish", "world.updates.user.42", content];
    let published = two.house.genii(&publish);
    assert_eq!(published.out.trim(), "handed to 0 here, and sent to 1 other machine");
    let own = on(&two.house, "pc2", &["ctl", "publish", "world.updates.user.7", "--json"]);
    let reached: Value = serde_json::from_str(&own.out).unwrap();
    assert_eq!(reached, json!({ "subscribers_here": 1, "other_nodes": 0 }));
    let (code, said) = far.end();
    assert_eq!(code, Some(0), "{said}");
    let lines: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let expected = [
        json!({ "subscribed": "from now on" }),
        json!({ "topic": "world.updates.user.42", "node": "main", "content": { "x": [3, null] } }),
        json!({ "topic": "world.updates.user.7", "node": "pc2", "content": {} }),
    ];
    assert_eq!(lines, expected);
    wait_until("it to be gone", || {
        Some(()).filter(|()| nodes_wanting(&two.house, "world.**").is_empty())
    });

    assert_eq!(nodes_wanting(&two.house, "elsewhere.**"), ["pc2"]);
    two.pc2.signal(Signal::KILL);
    two.pc2.end();
    wait_until("its subscribers to be gone", || {
        Some(()).filter(|()| nodes_wanting(&two.house, "elsewhere.**").is_empty())
    });
    let (_, said) = other.end();
    assert!(!said.contains("world"), "{said}");
    two.main.stop();
}

#[test]
fn what_is_too_large_for_a_person_is_told_of_by_its_size() {
    let house = House::new();
    let running = house.up("[groups.core]\n[agents.\"core/errors\"]\nkind = \"unified-error\"\n");
    let mut heard = subscribe(&house, "data", &["news.**", "-n", "2"]);
    let text = "x".repeat(256 << 10);
    let script = format!("publish news.large '\"{text}\"'\npublish news.small '\"x\"'\n");
    let published = house.script(&[], &script);
    assert_eq!(published.code, 0, "{}", published.err);
    let (_, said) = heard.end();
    let lines: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[1], json!({ "topic": "news.large", "node": "main", "bytes": text.len() + 2 }));
    assert_eq!(lines[2]["content"], "x");
    running.stop();
}

#[test]
fn what_is_no_topic_or_group_is_told_what_was_meant() {
    let house = House::new();
    let running = house.up("[groups.core]\n[agents.\"core/errors\"]\nkind = \"unified-error\"\n");
    let said = |args: &[&str]| {
        let said = house.genii(&[&["ctl"], args].concat());
        assert_ne!(said.code, 0, "{}", said.out);
        said.err
    };
    let error = said(&["publish", "World/Updates"]);
    assert!(error.contains("did you mean \"world.updates\"?"), "{error}");
    let error = said(&["publish", "world.*"]);
    assert!(error.contains("only a pattern"), "{error}");
    let error = said(&["publish", "world.updates", "{oops"]);
    assert!(error.contains("it is no JSON"), "{error}");
    let error = said(&["subscribe", "world.**.x"]);
    assert!(error.contains("comes last"), "{error}");
    let error = said(&["groups", "speakers"]);
    assert!(error.contains("no agent has joined a group speakers"), "{error}");
    assert!(house.genii(&["ctl", "groups"]).out.contains("no agent has joined a group"));
    assert!(house.genii(&["ctl", "topics"]).out.contains("nobody has subscribed"));
    let help = house.genii(&["ctl", "subscribe", "--help"]).out;
    assert!(help.contains("subscribe 'world.updates.user.*'"), "{help}");
    running.stop();
}
