use std::collections::HashMap;

use super::*;
use crate::Catalogue;
use crate::topology::Plan;
use crate::topology::check::{Untie, check};

/// Reads files as the command would, and gives what is said as lines.
struct Case {
    files: Vec<LegacyFile>,
    cuts: Vec<(String, String)>,
    stub_missing: bool,
    variables: HashMap<&'static str, &'static str>,
}

impl Case {
    fn new(texts: &[(&str, &str)]) -> Self {
        let file = |(name, text): &(&str, &str)| LegacyFile {
            source: Source::new(*name, *text),
            node: None,
        };
        Self {
            files: texts.iter().map(file).collect(),
            cuts: Vec::new(),
            stub_missing: false,
            variables: HashMap::new(),
        }
    }

    fn one(text: &str) -> Self {
        Self::new(&[("house.yaml", text)])
    }

    fn cut(mut self, from: &str, to: &str) -> Self {
        self.cuts.push((from.into(), to.into()));
        self
    }

    fn run(&self) -> (Imported, Report) {
        let variable = |name: &str| self.variables.get(name).map(ToString::to_string);
        let options = LegacyOptions {
            cuts: self.cuts.clone(),
            stub_missing: self.stub_missing,
            root: Some("/opt/agents".into()),
            variable: &variable,
        };
        let mut report = Report::default();
        let imported = read(&self.files, &options, &mut report);
        let untie = Untie::Option(&imported.names);
        check(&imported.topology, &Catalogue::new(), untie, &mut report);
        report.diagnostics.retain(|one| one.code != "cannot-start-here");
        report.sort();
        (imported, report)
    }

    /// What is imported, when nothing is wrong.
    fn good(&self) -> Imported {
        let (imported, report) = self.run();
        assert!(!report.has_errors(), "{report}");
        imported
    }

    fn codes(&self) -> Vec<&'static str> {
        self.run().1.diagnostics.iter().map(|one| one.code).collect()
    }
}

fn settings<'a>(imported: &'a Imported, address: &str) -> &'a serde_json::Value {
    let address = Address::parse(address).unwrap();
    &imported.topology.agent(&address).unwrap_or_else(|| panic!("no {address}")).settings.0
}

fn addresses(imported: &Imported) -> Vec<&str> {
    imported.topology.agents.iter().map(|agent| agent.address.as_str()).collect()
}

const LISTS: &str = r#"
# A house of two groups.
kitchen_services:
  - name: StoveKeeper
    script_path: kitchen/stove.py
    port: 4100
    required: true
    params:
      heat: 3.5      # of five
      label: "a b"
      steam: true
  - { name: KettleAgent  , script_path: kitchen/kettle.py   , host: 0.0.0.0 , port: 4110, dependencies: [StoveKeeper] , required: true, env_vars: { DRY: "yes" } }
garden:
  - { name: RoseWatcher, script_path: garden/rose.py, port: 4120, health_check_port: 4990, dependencies: [KettleAgent] }
environment:
  PYTHONPATH: "${PYTHONPATH}:${PWD}:${PWD}/lib:/opt/lib"
  LEVEL: "INFO"
health_checks:
  interval_seconds: 20
  timeout_seconds: 4
  retries: 2
  start_period_seconds: 240
resource_limits:
  memory_mb: 2048
volumes:
  - source: ./logs
    target: /logs
network: { name: house }
"#;

#[test]
fn lists_under_group_names() {
    let (imported, report) = Case::one(LISTS).run();
    assert!(!report.has_errors(), "{report}");
    let names =
        ["kitchen-services/stove-keeper", "kitchen-services/kettle-agent", "garden/rose-watcher"];
    assert_eq!(addresses(&imported), names);
    let expected = json!({
        "root": "/opt/agents", "python_path": [".", "lib", "/opt/lib"], "env": { "LEVEL": "INFO" },
        "live": { "every": "20s", "timeout": "4s", "failures": 2 },
        "script": "kitchen/stove.py", "name": "StoveKeeper", "port": 4100, "health_port": 4101,
        "ready": { "zmq": 4101 }, "args": { "heat": 3.5, "label": "a b", "steam": true },
    });
    assert_eq!(settings(&imported, names[0]), &expected);
    assert_eq!(settings(&imported, names[1])["env"], json!({ "LEVEL": "INFO", "DRY": "yes" }));
    assert_eq!(settings(&imported, names[2])["health_port"], 4990);
    let rose = &imported.topology.agents[2];
    assert_eq!(rose.needs[0].to.as_str(), names[1]);
    assert!(!rose.policy.required && imported.topology.agents[0].policy.required);
    assert_eq!(rose.policy.start_timeout.as_secs(), 240);
    let said: Vec<_> = report.diagnostics.iter().map(|one| one.message.as_str()).collect();
    let expected = [
        "memory_mb in resource_limits is not carried over",
        "the section volumes is not understood, and left out",
        "the section network is not understood, and left out",
    ];
    assert_eq!(said, expected);
}

#[test]
fn a_written_topology_reads_back_as_it_was() {
    let imported = Case::one(LISTS).good();
    let text = imported.topology.to_toml(&imported.extras);
    let mut report = Report::default();
    let again = super::super::read::read(&Source::new("topology.toml", text.as_str()), &mut report);
    check(&again, &Catalogue::new(), Untie::Edit, &mut report);
    assert!(!report.has_errors(), "{report}\n{text}");
    let own = genii_protocols::NodeName::new("main").unwrap();
    assert!(
        super::super::diff::Diff::between(&imported.topology, &again, &own).is_empty(),
        "{text}"
    );
    assert_eq!(text.matches("LEVEL").count(), 1, "what all share is written once:\n{text}");
}

#[test]
fn agents_under_agents_belong_to_a_group_that_is_called_after_the_file() {
    let text = "agents:\n  - name: OvenHand\n    script_path: oven.py\n    port: 4200\n    dependencies: []\n";
    let imported = Case::new(&[("config/hot_kitchen.yaml", text)]).good();
    assert_eq!(addresses(&imported), ["hot-kitchen/oven-hand"]);
    assert_eq!(addresses(&Case::new(&[("---.yaml", text)]).good()), ["agents/oven-hand"]);
}

#[test]
fn core_agents_with_their_dependencies_beside_them() {
    let text = "
core_agents:
  - { name: Cook, script_path: cook.py, port: 4300, dependencies: [Larder] }
dependencies:
  - { name: Larder, script_path: larder.py, port: 4310 }
pc2_services:
  - { name: Baker, script_path: baker.py, port: 4320, dependencies: [Cook] }
";
    let imported = Case::one(text).good();
    assert_eq!(
        addresses(&imported),
        ["core-agents/cook", "dependencies/larder", "pc2-services/baker"]
    );
    assert_eq!(imported.topology.agents[0].needs[0].to.as_str(), "dependencies/larder");
}

const MAPS: &str = r#"
global_settings:
  environment: { PYTHONPATH: /app }
  health_checks: { interval_seconds: 5 }
  colour: blue
agent_groups:
  hall:
    DoorKeeper:
      script_path: hall/door.py
      port: "${OFFSET}+7200"
      health_check_port: "${OFFSET}+8200"
      required: true
      dependencies: []
      config:
        backend: ${BACKEND:-memory}
        redis: { port: "${OFFSET}+6379" }
    BellRinger:
      script_path: hall/bell.py
      port: 7400
      required: false
      dependencies:
      - DoorKeeper
"#;

#[test]
fn groups_as_tables_with_variables_and_sums() {
    let mut case = Case::one(MAPS);
    case.variables.insert("OFFSET", "100");
    let imported = case.good();
    assert_eq!(addresses(&imported), ["hall/door-keeper", "hall/bell-ringer"]);
    let door = settings(&imported, "hall/door-keeper");
    assert_eq!((&door["port"], &door["health_port"]), (&json!(7300), &json!(8300)));
    assert_eq!(door["args"], json!({ "backend": "memory", "redis": "{\"port\":6479}" }));
    assert_eq!(door["live"]["every"], "5s");
    let codes = case.codes();
    assert_eq!(codes, ["not-understood", "passed-as-json"]);
    case.variables.clear();
    assert_eq!(settings(&case.good(), "hall/door-keeper")["port"], 7200);
    assert!(case.codes().contains(&"unset-variable"));
}

#[test]
fn a_health_port_that_is_taken_is_moved() {
    let text = "
g:
  - { name: A, script_path: a.py, port: 5000 }
  - { name: B, script_path: b.py, port: 5001 }
  - { name: C, script_path: c.py, port: 6000 }
  - { name: D, script_path: d.py, port: 65535 }
  - { name: E, script_path: e.py }
";
    let case = Case::one(text);
    let imported = case.good();
    let health = |name: &str| settings(&imported, name)["health_port"].clone();
    assert_eq!(
        (health("g/a"), health("g/b"), health("g/c")),
        (json!(6001), json!(5002), json!(7000))
    );
    assert_eq!(health("g/d"), 1024);
    assert_eq!(case.codes(), ["health-port", "health-port", "health-port", "no-health-port"]);
}

#[test]
fn a_knot_is_told_with_its_smallest_cut_and_cut() {
    let text = "
g:
  - { name: Router, script_path: r.py, port: 1000, dependencies: [Voice, Face] }
  - { name: Voice, script_path: v.py, port: 2000, dependencies: [Router] }
  - { name: Face, script_path: f.py, port: 3000, dependencies: [Router] }
  - { name: User, script_path: u.py, port: 4000, dependencies: [Router] }
";
    let report = Case::one(text).run().1;
    let said = report.to_string();
    assert!(said.contains("Router, Voice, Face wait for each other"), "{said}");
    assert!(said.contains("house.yaml:3:67: Router -> Voice -> Router"), "{said}");
    let cut = "the smallest set of edges to cut: --cut Router:Voice --cut Router:Face";
    assert!(said.contains(cut), "{said}");
    let imported = Case::one(text).cut("Router", "Voice").cut("g/router", "g/face").good();
    assert_eq!(Plan::of(&imported.topology).unwrap().waves.len(), 2);
    assert!(imported.extras.remarks.contains(&"Cut: Router does not wait for Voice.".to_owned()));
}

#[test]
fn a_cut_that_cuts_nothing_is_refused() {
    let said = |from, to| Case::one(LISTS).cut(from, to).run().1.to_string();
    assert!(said("StoveKeper", "X").contains("did you mean StoveKeeper?"));
    assert!(said("KettleAgent", "X").contains("it depends on StoveKeeper"));
    assert!(said("StoveKeeper", "X").contains("it depends on nobody"));
}

#[test]
fn what_no_file_declares_is_refused_or_becomes_a_wish() {
    let text = "g:\n  - { name: Cook, script_path: c.py, port: 1000, dependencies: [Ladder] }\n  - { name: Larder, script_path: l.py, port: 2000 }\n";
    let said = Case::one(text).run().1.to_string();
    assert!(
        said.starts_with("house.yaml:2:65: error: Cook depends on Ladder, which no file"),
        "{said}"
    );
    assert!(said.contains("did you mean Larder?") && said.contains("--stub-missing"), "{said}");
    let imported = Case { stub_missing: true, ..Case::one(text) }.good();
    let cook = &imported.topology.agents[0];
    assert_eq!((cook.needs.len(), cook.wants[0].to.as_str()), (0, "missing/ladder"));
}

#[test]
fn every_fault_of_every_file_is_told_at_once() {
    let one = "
g:
  - { name: A, script_path: a.py, port: 99999 }
  - { name: A, script_path: a.py, port: 1000 }
  - { name: B, port: 1001, dependencies: 5 }
  - { name: C, script_path: c.py, port: 1000, health_check_port: 2000, required: maybe }
  - { script_path: d.py }
  - oops
  - { name: ___, script_path: e.py, port: '${X' }
  - { name: F, script_path: f.py, port: 1000, hat: red }
";
    let case = Case::new(&[("one.yaml", one), ("two.yaml", "g: [\n"), ("three.yaml", "x: 1\n")]);
    let said = case.run().1.to_string();
    for expected in [
        "one.yaml:3:41: error: port of A is not a port",
        "one.yaml:4:13: error: A is declared twice",
        "one.yaml:5:13: error: B has no script_path",
        "one.yaml:5:42: error: dependencies of B must be a list of names",
        "one.yaml:6:82: error: required of C must be true or false",
        "one.yaml:7:5: error: an agent has no name",
        "one.yaml:8:5: error: an agent must be a table",
        "one.yaml:9:13: error: \"___\" makes no address: \"\" is not a valid name",
        "one.yaml:10:47: warning: hat of F is not understood",
        "port 1000 is the port of g/f and the port of g/c",
        "two.yaml:2:1: error:",
        "three.yaml:1:1: error: three.yaml holds no agents",
        "three.yaml:1:1: warning: the section x is not understood",
    ] {
        assert!(said.contains(expected), "no {expected:?} in\n{said}");
    }
}

#[test]
fn two_files_may_use_one_name_in_two_groups() {
    let one = "main:\n  - { name: Memory, script_path: m.py, port: 1000 }\n  - { name: User, script_path: u.py, port: 1100, dependencies: [Memory] }\n";
    let two = "other:\n  - { name: Memory, script_path: m.py, port: 2000 }\n  - { name: Reader, script_path: r.py, port: 2100, dependencies: [Memory, User] }\n";
    let imported = Case::new(&[("one.yaml", one), ("two.yaml", two)]).good();
    let needs = |n: usize| {
        let needs = imported.topology.agents[n].needs.iter();
        needs.map(|link| link.to.as_str().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(needs(1), ["main/memory"]);
    assert_eq!(needs(3), ["other/memory", "main/user"]);
}

#[test]
fn files_of_two_machines_may_use_one_port() {
    let one = "main:\n  - { name: A, script_path: a.py, port: 1000 }\n";
    let two = "other:\n  - { name: B, script_path: b.py, port: 1000 }\n";
    let mut case = Case::new(&[("one.yaml", one), ("two.yaml", two)]);
    assert!(case.codes().contains(&"port-clash"));
    case.files[1].node = NodeName::new("pc2").ok();
    let said = case.run().1.to_string();
    assert!(said.contains("main names no machine, and so lives on each"), "{said}");
    case.files[0].node = NodeName::new("mainpc").ok();
    let imported = case.good();
    assert_eq!(imported.topology.groups[1].node.as_ref().unwrap().as_str(), "pc2");
}

proptest::proptest! {
    /// Whatever a person's hand, or a disk, does to a file: it is refused or read, in good order.
    #[test]
    fn a_damaged_file_makes_nothing_panic(
        at in 0..LISTS.len(),
        len in 0..40_usize,
        with in "[-a-z0-9:{}\\[\\],&*!<#|>'\"$ \n]{0,12}",
        which in 0..2_usize,
    ) {
        let text = [LISTS, MAPS][which];
        let at = text.floor_char_boundary(at.min(text.len()));
        let end = text.floor_char_boundary((at + len).min(text.len()));
        let damaged = format!("{}{with}{}", &text[..at], &text[end..]);
        Case::one(&damaged).run();
    }
}
