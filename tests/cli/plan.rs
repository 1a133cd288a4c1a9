//! `genii plan`: the order, or everything that is wrong at once.

use crate::support::House;

const GOOD: &str = r#"
[groups.memory]
[groups.voice]
[agents."memory/store"]
kind = "process"
settings.command = ["true"]
[agents."memory/recall"]
kind = "process"
needs = ["memory/store"]
settings.command = ["true"]
[agents."voice/speech"]
kind = "process"
needs = ["memory/recall"]
wants = ["memory/store"]
settings.command = ["true"]
"#;

#[test]
fn everything_that_is_wrong_with_settings_is_told_at_once() {
    let house = House::new();
    let file = house.file(
        "bad.toml",
        "[groups.a]\n[agents.\"a/one\"]\nkind = \"process\"\n[agents.\"a/one\".settings]\n\
         command = [\"sleep\", \"1\"]\nready = { zmq = 70000 }\nenv = { A = 1 }\nport = -1\nfoo = 2\n\
         limits = { memory = 3 }\nlive = { timeout = 3 }\n",
    );
    let said = house.genii(&["plan", file.to_str().unwrap()]);
    assert_eq!(said.code, 1);
    for what in
        ["`ready`: 70000 is no port", "`env.A`", "`port`", "`foo`", "`limits`", "`live.timeout`"]
    {
        assert!(said.err.contains(what), "{what}: {}", said.err);
    }
    assert!(said.err.contains("did you mean `memory_mb`?"), "{}", said.err);
}

#[test]
fn a_plan_tells_the_waves_and_the_critical_path() {
    let house = House::new();
    let file = house.file("house.toml", GOOD);
    let file = file.to_str().unwrap();
    let plan = house.json(&["plan", file, "--json"]);
    assert_eq!(plan["agents"], 3);
    let waves = serde_json::json!([["memory/store"], ["memory/recall"], ["voice/speech"]]);
    assert_eq!(plan["waves"], waves);
    let path = serde_json::json!(["memory/store", "memory/recall", "voice/speech"]);
    assert_eq!(plan["critical_path"], path);
    assert_eq!(plan["diagnostics"], serde_json::json!([]));
    let table = house.genii(&["plan", file]).out;
    assert!(table.contains("3 agents in 3 waves"), "{table}");
    let dot = house.genii(&["plan", file, "--dot"]).out;
    assert!(dot.starts_with("digraph") && dot.contains("memory/recall"), "{dot}");
}

#[test]
fn everything_that_makes_it_impossible_is_told_at_once() {
    let house = House::new();
    let file = house.file(
        "house.toml",
        r#"[groups.memory]
strateggy = "one_for_one"
[agents."memory/a"]
kind = "process"
needs = ["memory/b"]
settings = { command = ["true"], port = 7000 }
[agents."memory/b"]
kind = "process"
needs = ["memory/a", "memory/stora"]
settings = { command = ["true"], port = 7000 }
[agents."memory/store"]
kind = "proces"
[agents."voice/speech"]
kind = "process"
settings.command = ["true"]
start_timeout = "soon"
"#,
    );
    let said = house.genii(&["plan", file.to_str().unwrap()]);
    assert_eq!(said.code, 1);
    for expected in [
        "house.toml:2:1: error",
        "strategy",
        "memory/a -> memory/b -> memory/a",
        "memory/store",
        "port 7000",
        "house.toml:11:",
        "process",
        "voice",
        "start_timeout",
    ] {
        assert!(said.err.contains(expected), "{expected:?} in {}", said.err);
    }
    let json = house.genii(&["plan", file.to_str().unwrap(), "--json"]);
    assert_eq!(json.code, 1);
    let json: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    let errors = json["diagnostics"].as_array().unwrap();
    assert!(errors.len() >= 6, "{errors:?}");
    assert!(errors.iter().all(|one| one["line"].as_u64() > Some(0)), "{errors:?}");
}

#[test]
fn what_cannot_be_read_is_told_with_a_remedy() {
    let house = House::new();
    let gone = house.genii(&["plan", "nowhere.toml"]);
    assert_eq!(gone.code, 1);
    assert!(gone.err.contains("nowhere.toml cannot be read"), "{}", gone.err);
    let yaml = house.file("old.yaml", "agents: []\n");
    let yaml = house.genii(&["plan", yaml.to_str().unwrap()]);
    assert_eq!(yaml.code, 2);
    assert!(yaml.err.contains("genii import"), "{}", yaml.err);
    let broken = house.file("broken.toml", "[groups.a\n");
    let broken = house.genii(&["plan", broken.to_str().unwrap()]);
    assert_eq!(broken.code, 1);
    assert!(broken.err.contains("broken.toml:1:"), "{}", broken.err);
    let path = house.path("bytes.toml");
    std::fs::write(&path, [b'a', b'\n', 0xff, 0xfe]).unwrap();
    let bytes = house.genii(&["plan", path.to_str().unwrap()]);
    assert!(bytes.err.contains("bytes.toml:2: it is not UTF-8"), "{}", bytes.err);
}

#[test]
fn times_and_factors_without_measure_are_refused_and_make_nothing_panic() {
    let house = House::new();
    let topology = |line: &str| {
        format!(
            "[groups.a]\n[agents.\"a/x\"]\nkind = \"process\"\nsettings.command = [\"true\"]\n{line}\n"
        )
    };
    for (line, code) in [
        ("start_timeout = \"18446744073709551615s\"", 1),
        ("stop_timeout = \"11years\"", 1),
        ("backoff = { cap = \"18446744073709551615s\" }", 1),
        ("backoff = { first = \"0s\", factor = 1e308, cap = \"1h\", jitter = 0.5 }", 0),
        ("backoff = { factor = nan }", 1),
    ] {
        let file = house.file("house.toml", &topology(line));
        let said = house.genii(&["plan", file.to_str().unwrap()]);
        assert_eq!(said.code, code, "{line}: {}", said.err);
    }
    let mut command = house.command(env!("CARGO_BIN_EXE_genii"));
    let said = command.arg("up").env("GENII_ASK_TIMEOUT", "18446744073709551615s").output();
    assert_eq!(said.unwrap().status.code(), Some(2));
}

#[test]
fn the_topology_that_is_built_in_is_a_good_example() {
    let house = House::new();
    let printed = house.genii(&["topology"]);
    let file = house.file("house.toml", &printed.out);
    assert_eq!(house.json(&["plan", file.to_str().unwrap(), "--json"])["agents"], 6);
}

#[test]
fn a_wrong_call_ends_with_two_and_names_the_right_one() {
    let house = House::new();
    let said = house.genii(&["pln"]);
    assert_eq!(said.code, 2);
    assert!(said.err.contains("plan"), "{}", said.err);
    assert_eq!(house.genii(&["--help"]).code, 0);
    // Examples are called as they are typed: in a shell so, and in the REPL and in scripts without.
    let help = house.genii(&["ctl", "why", "--help"]);
    assert_eq!(help.code, 0);
    assert!(help.out.contains("\n  genii ctl why core/system-digital-twin"), "{}", help.out);
    let help = house.script(&[], "help why\n").out;
    assert!(help.contains("\n  why core/system-digital-twin"), "{help}");
    for name in ["completions", "completion"] {
        assert!(house.genii(&[name, "bash"]).out.contains("why"));
    }
}
