//! `genii import`: start-up files of before, in all their dialects.

use crate::support::House;

/// Lists beneath group names, flow style, parameters, and a knot of two loops.
const LISTS: &str = r#"# The house before.
environment:
  LOG_LEVEL: DEBUG
ears:   
  - {name: EarAgent, script_path: agents/ear.py, port: 7100, params: {rate: 16000}, dependencies: [VoiceAgent, MoodAgent]}
  - name: NoiseAgent
    script_path: agents/noise.py
    port: 7110
    health_check_port: 7150
    dependencies: [EarAgent]
voice:
- {name: VoiceAgent, script_path: agents/voice.py, port: 7120, dependencies: [EarAgent]}
- {name: MoodAgent, script_path: agents/mood.py, port: 7130, dependencies: [NoiseAgent]}
astrology:
  sign: leo
"#;

/// Agents in maps, ports that are sums, and dependencies that nobody declares.
const MAPS: &str = r#"agent_groups:
  core_services:
    ServiceRegistry:
      script_path: agents/registry.py
      port: ${PORT_OFFSET:-0}+7200
      health_check_port: ${PORT_OFFSET:-0}+8200
      required: true
      dependencies: []
  tools:
    ToolAgent:
      script_path: agents/tool.py
      port: "${PORT_OFFSET:-0}+7210"
      dependencies: [ServiceRegistry, NobodyAgent]
"#;

#[test]
fn a_knot_is_told_with_its_path_and_the_fewest_edges_to_cut() {
    let house = House::new();
    let file = house.file("old.yaml", LISTS);
    let file = file.to_str().unwrap();
    let said = house.genii(&["import", file, "-o", "house.toml"]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("EarAgent -> VoiceAgent -> EarAgent"), "{}", said.err);
    assert!(said.err.contains("EarAgent -> MoodAgent -> NoiseAgent -> EarAgent"), "{}", said.err);
    assert!(said.err.contains("old.yaml:5:"), "{}", said.err);
    assert!(said.err.contains("the section astrology is not understood"), "{}", said.err);
    assert!(!house.path("house.toml").exists());

    // What it suggests is enough, and none of it may be left out.
    let help = said.err.lines().find(|line| line.contains("smallest set of edges")).unwrap();
    let cuts: Vec<&str> =
        help.split(" --cut ").skip(1).flat_map(|cut| ["--cut", cut.trim()]).collect();
    assert_eq!(cuts.len(), 4, "{help}");
    let args = ["import", file, "-o", "house.toml"];
    assert_eq!(house.genii(&[&args[..], &cuts[..2]].concat()).code, 1);
    let said = house.genii(&[&args[..], &cuts[..]].concat());
    assert_eq!(said.code, 0, "{}", said.err);
    let plan = house.json(&["plan", "house.toml", "--json"]);
    assert_eq!(plan["agents"], 4);
    let topology = std::fs::read_to_string(house.path("house.toml")).unwrap();
    for expected in ["rate = 16000", "health_port = 7150", "health_port = 7101", "LOG_LEVEL"] {
        assert!(topology.contains(expected), "{expected} in {topology}");
    }
}

#[test]
fn variables_count_and_what_is_missing_may_become_a_wish() {
    let house = House::new();
    let file = house.file("maps.yaml", MAPS);
    let file = file.to_str().unwrap();
    let said = house.genii(&["import", file]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("maps.yaml:13:"), "{}", said.err);
    assert!(said.err.contains("NobodyAgent") && said.err.contains("--stub-missing"));
    let mut command = house.command(env!("CARGO_BIN_EXE_genii"));
    command.args(["import", file, "--stub-missing"]).env("PORT_OFFSET", "100");
    let said = String::from_utf8(command.output().unwrap().stdout).unwrap();
    for expected in
        ["port = 7300", "health_port = 8300", "port = 7310", "wants = [\"missing/nobody-agent\"]"]
    {
        assert!(said.contains(expected), "{expected} in {said}");
    }
}

#[test]
fn faults_of_several_files_are_told_together() {
    let house = House::new();
    house.file("one.yaml", "a:\n- {name: X, script_path: x.py, port: 7000}\n- {name: X, script_path: y.py, port: 7005}\n");
    house.file("two.yaml", "b:\n- {name: Y, script_path: y.py, port: 7000}\n- {name: Z, script_path: z.py, port: many}\n");
    house.file("three.yaml", "c:\n- {name: [\n");
    let said = house.genii(&["import", "one.yaml", "two.yaml", "three.yaml"]);
    assert_eq!(said.code, 1);
    for expected in
        ["one.yaml:3:", "X is declared twice", "port 7000", "two.yaml:3:", "three.yaml:"]
    {
        assert!(said.err.contains(expected), "{expected} in {}", said.err);
    }
}

#[test]
fn bombs_are_bounded() {
    let house = House::new();
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let item = format!("*a{}", level - 1);
        let items = [item.as_str(); 10].join(", ");
        bomb.push_str(&format!("a{level}: &a{level} [{items}]\n"));
    }
    house.file("bomb.yaml", &bomb);
    house.file("deep.yaml", &"[".repeat(100_000));
    house.file("tag.yaml", "a: !!python/object/apply:os.system [ls]\n");
    let text = "x".repeat(100_000);
    house.file("text.yaml", &format!("a: &a {text}\nb: [{}]\n", vec!["*a"; 80_000].join(", ")));
    for name in ["bomb.yaml", "deep.yaml", "tag.yaml", "text.yaml"] {
        let said = house.genii(&["import", name]);
        assert_eq!(said.code, 1, "{name}");
        assert!(said.err.contains(&format!("{name}:")), "{}", said.err);
    }
}

/// Whatever a key is called, what is written is a topology; and a source is not written over.
#[test]
fn what_is_written_can_be_read_and_is_written_elsewhere() {
    let house = House::new();
    house.file(
        "odd.yaml",
        "g:\n- name: A\n  script_path: a.py\n  port: 7000\n  params: {\"a b\\\"]\\n[x\": \"\\u0001 \\\\ \\t\", é: 1}\n",
    );
    let said = house.genii(&["import", "odd.yaml", "-o", "house.toml"]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert_eq!(house.json(&["plan", "house.toml", "--json"])["agents"], 1);
    let said = house.genii(&["import", "odd.yaml", "-o", "./odd.yaml"]);
    assert_eq!(said.code, 2, "{}", said.err);
    assert!(std::fs::read_to_string(house.path("odd.yaml")).unwrap().starts_with("g:"));
}
