//! Files as people write them, and what they are told.

use genii_protocols::Json;

use super::check::{Kinds, Untie, check};
use super::diff::Diff;
use super::source::Source;
use super::write::Extras;
use super::{Plan, Report, Topology, read};

struct TestKinds;

impl Kinds for TestKinds {
    fn names(&self) -> Vec<String> {
        vec!["noop".into(), "process".into()]
    }

    fn faults(&self, kind: &str, settings: &Json) -> Vec<String> {
        let needs_script = kind == "process" && settings.0["script"].is_null();
        needs_script.then(|| "missing field `script`".into()).into_iter().collect()
    }

    fn ports(&self, _: &str, settings: &Json) -> Vec<(u16, &'static str)> {
        let port = |key: &str| settings.0[key].as_u64().map(|port| port as u16);
        let health = port("health_port").map(|port| (port, "health port"));
        port("port").map(|port| (port, "port")).into_iter().chain(health).collect()
    }
}

fn load(text: &str) -> (Topology, Report) {
    let source = Source::new("house.toml", text);
    let mut report = Report::default();
    let topology = read::read(&source, &mut report);
    check(&topology, &TestKinds, Untie::Edit, &mut report);
    (topology, report)
}

fn own() -> genii_protocols::NodeName {
    genii_protocols::NodeName::new("mainpc").unwrap()
}

fn good(text: &str) -> Topology {
    let (topology, report) = load(text);
    assert!(!report.has_errors(), "{report}");
    topology
}

/// Each of `expected` must be said, each as a line of its own, and nothing else be an error.
fn faults(text: &str, expected: &[&str]) {
    let (_, report) = load(text);
    let said = report.to_string();
    for line in expected {
        assert!(said.contains(line), "missing {line:?} in\n{said}");
    }
    assert_eq!(report.errors(), expected.len(), "\n{said}");
}

const HOUSE: &str = r#"
[defaults]
stop_timeout = "2s"

[kinds.process]
root = "/agents"
env = { A = "1", B = "2" }

[groups.core]
node = "mainpc"
strategy = "rest-for-one"
restarts = 3
window = "10s"

[groups.memory]

[agents."core/coordinator"]
kind = "noop"
required = true

[agents."memory/session"]
kind = "process"
needs = ["core/coordinator"]
wants = "memory/store"
fallback = "memory/store"
backoff = { first = "1s", cap = "5s" }
[agents."memory/session".settings]
script = "session.py"
env = { B = "3" }

[agents."memory/store"]
kind = "noop"
backoff = "none"
"#;

#[test]
fn a_file_is_read_with_its_defaults_and_the_settings_of_its_kinds() {
    let topology = good(HOUSE);
    let session = &topology.agents[1];
    assert_eq!(session.policy.stop_timeout.as_secs(), 2);
    assert_eq!(session.policy.backoff.unwrap().cap.as_secs(), 5);
    let settings = serde_json::json!({
        "root": "/agents", "env": { "A": "1", "B": "3" }, "script": "session.py"
    });
    assert_eq!(session.settings.0, settings);
    assert_eq!(session.wants[0].to.as_str(), "memory/store");
    assert_eq!(topology.agents[2].policy.backoff, None);
    assert!(topology.agents[0].policy.required && !session.policy.required);
    let core = topology.group("core").unwrap();
    assert_eq!(core.flags.intensity.restarts, 3);
    assert_eq!(topology.node_of(&topology.agents[0]).unwrap().as_str(), "mainpc");
}

#[test]
fn what_is_written_reads_back_the_same() {
    let topology = good(HOUSE);
    let kinds = serde_json::json!({ "root": "/agents", "env": { "A": "1", "B": "2" } });
    let mut extras = Extras { kinds: vec![("process".into(), Json(kinds))], ..Extras::default() };
    extras.defaults.stop_timeout = std::time::Duration::from_secs(2);
    extras.remarks.push("made by a test".into());
    for extras in [extras, Extras::default()] {
        let written = topology.to_toml(&extras);
        let again = good(&written);
        assert!(Diff::between(&topology, &again, &own()).is_empty(), "{written}");
        assert_eq!(again.groups.len(), 2);
    }
}

#[test]
fn every_fault_is_reported_at_once_with_its_place_and_a_remedy() {
    faults(
        r#"
[grops.x]
[groups.core]
stratgy = "one-for-one"
strategy = "one-for-on"
restarts = -1
window = "soon"
[agents."core/a"]
kind = "nop"
needs = ["core/b", "core/bb"]
required = "yes"
[agents."core/b"]
kind = "noop"
needs = ["core/b"]
[agents."Core/C"]
kind = "noop"
[agents."cor/d"]
kind = "noop"
[agents."core/e"]
[agents."core/f"]
kind = "process"
"#,
        &[
            "house.toml:2:2: error: the topology has an unknown key \"grops\" [unknown-key]\n  help: did you mean \"groups\"?",
            "house.toml:4:1: error: group core has an unknown key \"stratgy\"",
            "house.toml:5:12: error: strategy of group core is \"one-for-on\", which it cannot be [bad-value]\n  help: did you mean \"one-for-one\"?",
            "house.toml:6:12: error: restarts of group core: -1 is out of range",
            "house.toml:7:10: error: window of group core: \"soon\" is not a time span",
            "core/a is of kind \"nop\", which is not known [unknown-kind]\n  help: did you mean \"noop\"?",
            "house.toml:10:20: error: core/a needs core/bb, which is not declared [unknown-name]\n  help: did you mean core/b?",
            "house.toml:11:12: error: required of agent core/a must be true or false, and is text",
            "core/b needs itself",
            "\"Core/C\" is not a valid address",
            "cor/d belongs to group cor, which is not declared [unknown-group]\n  help: did you mean core/d?",
            "agent core/e has no kind [missing-key]",
            "the settings of core/f are wrong: missing field `script`",
        ],
    );
}

#[test]
fn broken_syntax_does_not_hide_other_faults() {
    faults(
        "[groups.core]\nstrategy = \n[agents.\"core/a\"]\nkind = \"nooop\"\n",
        &["[toml-syntax]", "did you mean \"noop\"?"],
    );
    faults(
        "[agents]\n\"a/b\" = 1\n",
        &["agent a/b must be a table", "agent a/b has no kind", "group a, which is not declared"],
    );
    // One that lacks its kind is there for those who need it.
    faults(
        "[groups.a]\n[agents.\"a/x\"]\n[agents.\"a/y\"]\nkind = \"noop\"\nneeds = [\"a/x\"]\n",
        &["agent a/x has no kind"],
    );
    faults("", &["[no-agents]"]);
    faults("groups = 3\n", &["groups must be a table, and is a whole number"]);
    faults("[groups.a]\n[groups.a]\n", &["[toml-syntax]"]);
}

#[test]
fn a_knot_is_shown_with_its_paths_and_the_smallest_cut() {
    let text = r#"
[groups.g]
[agents."g/hub"]
kind = "noop"
needs = ["g/one", "g/two"]
[agents."g/one"]
kind = "noop"
needs = ["g/hub"]
[agents."g/two"]
kind = "noop"
binds = ["g/hub"]
[agents."g/three"]
kind = "noop"
wants = ["g/hub"]
"#;
    let (topology, report) = load(text);
    assert_eq!(report.errors(), 1, "{report}");
    let knot = &report.diagnostics[0];
    let said = knot.to_string();
    assert!(said.contains("g/hub, g/one, g/two wait for each other"), "{said}");
    assert!(said.contains("house.toml:5:10: g/hub -> g/one -> g/hub"), "{said}");
    assert!(said.contains("house.toml:5:19: g/hub -> g/two -> g/hub"), "{said}");
    let help = "the smallest set of edges to cut: remove g/one from g/hub, g/two from g/hub";
    assert!(said.contains(help), "{said}");
    assert_eq!(knot.cycle.len(), 3);
    assert_eq!(knot.cuts.len(), 2);
    assert!(Plan::of(&topology).is_none());
}

/// In a group that starts in order, each waits for the one before it.
#[test]
fn an_order_that_contradicts_the_needs_is_a_knot() {
    let text = |start: &str| {
        format!(
            "[groups.g]\nstart = \"{start}\"\n[agents.\"g/first\"]\nkind = \"noop\"\n\
             needs = [\"g/second\"]\n[agents.\"g/second\"]\nkind = \"noop\"\n"
        )
    };
    let (topology, report) = load(&text("parallel"));
    assert!(!report.has_errors(), "{report}");
    assert_eq!(Plan::of(&topology).unwrap().waves.len(), 2);
    let (_, report) = load(&text("in-order"));
    let said = report.to_string();
    assert!(said.contains("g/first, g/second wait for each other"), "{said}");
    let (_, report) = load(&text("in-order").replace("needs = [\"g/second\"]\n", ""));
    assert!(!report.has_errors(), "{report}");
}

#[test]
fn what_is_set_for_nobody_or_cannot_work_is_told() {
    faults(
        "[kinds.noopp]\nx = 1\n[groups.g]\n[agents.\"g/one\"]\nkind = \"noop\"\n\
         fallback = [\"g/two\", \"g/three\"]\nstart_timeout = \"0s\"\n\
         [agents.\"g/two\"]\nkind = \"noop\"\nneeds = [\"g/twoo\"]\n",
        &[
            "house.toml:1:8: error: kind \"noopp\" is not known",
            "more than one fallback",
            "g/one has no time to start",
            "g/twoo, which is not declared [unknown-name]\n  help: did you mean g/one?",
        ],
    );
}

#[test]
fn ports_clash_on_one_node_and_not_across_nodes() {
    let house = |node: &str| {
        format!(
            r#"
[groups.a]
node = "one"
[groups.b]
node = "{node}"
[agents."a/x"]
kind = "noop"
settings = {{ port = 7000, health_port = 7001 }}
[agents."b/y"]
kind = "noop"
settings = {{ port = 7001 }}
"#
        )
    };
    faults(
        &house("one"),
        &["port 7001 is the port of b/y and the health port of a/x [port-clash]"],
    );
    good(&house("two"));
}

#[test]
fn policies_that_contradict_themselves_are_refused() {
    faults(
        r#"
[groups.g]
window = "0s"
[agents."g/a"]
kind = "noop"
significant = true
[agents."g/b"]
kind = "noop"
backoff = { factor = 0.5 }
[agents."g/c"]
kind = "noop"
backoff = { first = "1m" }
[agents."g/d"]
kind = "noop"
backoff = { jitter = 2 }
"#,
        &[
            "the window of group g is zero",
            "g/a is significant, but its group never shuts itself down",
            "g/a is significant and permanent",
            "the backoff of g/b would shrink",
            "the backoff of g/c begins above its cap",
            "the jitter of g/d is not between 0 and 1",
        ],
    );
}

#[test]
fn an_endless_restart_is_warned_of() {
    let (_, report) = load(
        "[groups.g]\n[agents.\"g/a\"]\nkind = \"noop\"\nbackoff = { first = \"30s\", cap = \"1h\" }\n",
    );
    assert_eq!((report.errors(), report.warnings()), (0, 1), "{report}");
    assert!(report.to_string().contains("would be restarted for ever"), "{report}");
}

#[test]
fn fallbacks_must_not_go_in_a_circle() {
    faults(
        r#"
[groups.g]
[agents."g/a"]
kind = "noop"
fallback = "g/b"
[agents."g/b"]
kind = "noop"
fallback = "g/a"
[agents."g/c"]
kind = "noop"
fallback = "g/a"
"#,
        &["g/a, g/b fall back on each other in a circle"],
    );
}

#[test]
fn a_plan_has_waves_and_a_critical_path() {
    let plan = Plan::of(&good(HOUSE)).unwrap();
    let json = serde_json::to_value(&plan).unwrap();
    let expected = serde_json::json!({
        "agents": 3,
        "waves": [["core/coordinator", "memory/store"], ["memory/session"]],
        "critical_path": ["core/coordinator", "memory/session"],
    });
    assert_eq!(json, expected);
    let dot = good(HOUSE).dot();
    assert!(dot.contains("\"memory/session\" -> \"memory/store\" [style = dashed]"), "{dot}");
}

#[test]
fn a_part_brings_along_what_it_needs() {
    let topology = good(HOUSE);
    let part = topology.only(&["memory"]);
    assert_eq!(part.topology.agents.len(), 3);
    assert_eq!(part.pulled_in, [topology.agents[0].address.clone()]);
    let part = topology.only(&["core"]);
    assert_eq!((part.topology.agents.len(), part.topology.groups.len()), (1, 1));
}

#[test]
fn a_difference_restarts_only_what_is_another() {
    let from = good(HOUSE);
    let steps = |to: &str| -> Vec<String> {
        Diff::between(&from, &good(to), &own()).steps.iter().map(ToString::to_string).collect()
    };
    assert_eq!(steps(HOUSE), [""; 0]);
    assert_eq!(
        steps(&HOUSE.replace("session.py", "other.py").replace("required = true", "")),
        [
            "~ agent core/coordinator (policy; goes on)",
            "~ agent memory/session (settings; restarts)"
        ]
    );
    assert_eq!(
        steps(&HOUSE.replace("restarts = 3", "restarts = 4")),
        ["~ group core (restarts; goes on)"]
    );
    // To say where a group is that is here makes no difference, and its order only where it counts.
    assert_eq!(steps(&HOUSE.replace("node = \"mainpc\"", "")), [""; 0]);
    let more = format!(
        "{HOUSE}\n[groups.new]\n[agents.\"new/a\"]\nkind = \"noop\"\n[agents.\"core/b\"]\nkind = \"noop\"\n"
    );
    assert_eq!(steps(&more), ["+ group new", "+ agent core/b"]);
    let less = HOUSE.replace("wants = \"memory/store\"\nfallback = \"memory/store\"\n", "");
    let less = &less[..less.find("[agents.\"memory/store\"]").unwrap()];
    assert_eq!(
        steps(less),
        ["- agent memory/store", "~ agent memory/session (wants, fallback; goes on)"]
    );
    assert_eq!(
        steps(&HOUSE.replace("node = \"mainpc\"", "node = \"pc2\"")),
        ["- group core", "+ group core"]
    );
}

#[test]
fn the_order_of_agents_is_a_difference_where_it_counts() {
    let group = |flags: &str, agents: [&str; 2]| {
        let agents = agents.map(|name| format!("[agents.\"a/{name}\"]\nkind = \"noop\"\n"));
        good(&format!("[groups.a]\n{flags}\n{}", agents.concat()))
    };
    let steps = |flags: &str| {
        let (from, to) = (group(flags, ["x", "y"]), group(flags, ["y", "x"]));
        Diff::between(&from, &to, &own()).steps
    };
    assert_eq!(steps(""), []);
    for flags in ["strategy = \"rest-for-one\"", "start = \"in-order\""] {
        let steps = steps(flags);
        assert_eq!(steps.len(), 1, "{flags}");
        assert_eq!(steps[0].to_string(), "~ group a (order; goes on)");
    }
}

proptest::proptest! {
    #[test]
    fn no_text_makes_reading_panic(text in "\\PC{0,200}") {
        load(&text);
    }

    #[test]
    fn no_mangled_house_makes_reading_panic(at in 0..HOUSE.len(), cut in 0..60_usize, put in "[\\[\\]={}\",\\na-z0-9.]{0,6}") {
        let start = HOUSE.floor_char_boundary(at);
        let end = HOUSE.floor_char_boundary((at + cut).min(HOUSE.len()));
        load(&format!("{}{put}{}", &HOUSE[..start], &HOUSE[end..]));
    }
}
