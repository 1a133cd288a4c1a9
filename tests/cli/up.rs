//! `genii up`: what it says, what it ends with, and what it leaves.

use genii_storage::index::threads;
use rustix::process::{Pid, Signal};

use crate::support::{House, Running};

/// A process that says that it is ready, and runs until it is stopped.
pub const STEADY: &str = r#"kind = "process"
settings.command = ["sh", "-c", "echo ready; exec sleep 1000"]
settings.ready = { line = { contains = "ready" } }
"#;

#[test]
fn the_house_that_is_built_in_comes_up_and_ends_at_a_signal() {
    let house = House::new();
    let mut running = house.begin(&[]);
    running.wait_for("6 of 6 agents are ready after");
    assert_eq!(house.row("core/system-digital-twin")["state"], "ready");
    let said = running.stop();
    assert!(said.contains("a signal came; stopping"), "{said}");
    assert!(said.contains("pc2-core/health-monitor stopped"), "{said}");
    let row = said.lines().find(|line| line.starts_with("being  ")).unwrap();
    let cells: Vec<&str> = row.split_whitespace().collect();
    assert_eq!(cells, ["being", "ready"], "a group in which nobody lives took no time");
    let gone = house.genii(&["ctl", "tree"]);
    assert_eq!(gone.code, 1);
    assert!(gone.err.contains("no genii runs on"), "{}", gone.err);
}

/// What stands in the environment of a process under a name.
fn in_environment(process: Pid, name: &str) -> Option<String> {
    let all = std::fs::read(format!("/proc/{}/environ", process.as_raw_nonzero())).unwrap();
    let all = String::from_utf8(all).unwrap();
    let mut of_name = all.split('\0').filter_map(|it| it.strip_prefix(name)?.strip_prefix('='));
    of_name.next().map(str::to_owned)
}

#[test]
fn on_few_cores_searches_have_a_thread_beside_upkeep_unless_something_else_is_set() {
    let is_few = std::thread::available_parallelism().unwrap().get() < 4;
    let usual = is_few.then_some("2");
    let (variable, _) = threads::SETTING;
    for (set, expected) in [(None, usual), (Some(""), usual), (Some("7"), Some("7"))] {
        let house = House::new();
        let file = house.file("house.toml", &format!("[groups.a]\n[agents.\"a/b\"]\n{STEADY}"));
        let mut command = house.command(env!("CARGO_BIN_EXE_genii"));
        command
            .args(["up", "--plain", "--topology"])
            .arg(file)
            .env_remove(variable)
            .env_remove("LANCE_IO_CORE_RESERVATION");
        if let Some(set) = set {
            command.env(variable, set);
        }
        let mut running = Running::new(command.spawn().unwrap());
        running.wait_for("agents are ready after");
        assert_eq!(in_environment(running.pid(), variable).as_deref(), expected);
        running.stop();
    }
}

#[test]
fn agents_start_after_what_they_need_and_stop_before_it() {
    let house = House::new();
    let running = house.up(&format!(
        "[groups.a]\n[agents.\"a/top\"]\nneeds = [\"a/middle\"]\n{STEADY}\
         [agents.\"a/middle\"]\nneeds = [\"a/base\"]\n{STEADY}[agents.\"a/base\"]\n{STEADY}"
    ));
    let said = running.stop();
    let line = |text: &str| {
        said.lines()
            .position(|line| line.contains(text))
            .unwrap_or_else(|| panic!("{text}: {said}"))
    };
    assert!(line("a/base is ready") < line("a/middle is starting"));
    assert!(line("a/middle is ready") < line("a/top is starting"));
    assert!(line("a/top stopped") < line("a/middle is stopping"));
    assert!(line("a/middle stopped") < line("a/base is stopping"));
    house.wait_for_no_process();
}

#[test]
fn a_required_agent_that_cannot_become_ready_ends_it_all_and_says_why() {
    let house = House::new();
    let file = house.file(
        "house.toml",
        &format!(
            "[groups.a]\n[agents.\"a/good\"]\n{STEADY}\
             [agents.\"a/bad\"]\nrequired = true\nneeds = [\"a/good\"]\nkind = \"process\"\n\
             backoff = {{ first = \"1ms\", cap = \"2ms\" }}\n\
             settings.command = [\"sh\", \"-c\", \"echo no microphone; exit 3\"]\n\
             settings.ready = {{ line = {{ contains = \"ready\" }} }}\n"
        ),
    );
    let mut running = house.begin(&["--topology", file.to_str().unwrap()]);
    let (code, said) = running.end();
    assert_eq!(code, Some(1), "{said}");
    let error = said.lines().find(|line| line.starts_with("error: ")).unwrap();
    assert!(error.contains("a/bad"), "{said}");
    assert!(said.contains("code 3") && said.contains("no microphone"), "{said}");
    assert!(said.contains("a/good stopped"), "{said}");
    house.wait_for_no_process();
}

#[test]
fn one_that_is_not_required_leaves_the_others_degraded_or_on_their_fallback() {
    let house = House::new();
    let running = house.up(&format!(
        "[groups.a]\n\
         [agents.\"a/bad\"]\nkind = \"process\"\nfallback = \"a/second\"\n\
         settings.command = [\"false\"]\nsettings.ready = {{ line = {{ contains = \"x\" }} }}\n\
         backoff = {{ first = \"1ms\", cap = \"2ms\" }}\n\
         [agents.\"a/worse\"]\nkind = \"process\"\n\
         settings.command = [\"false\"]\nsettings.ready = {{ line = {{ contains = \"x\" }} }}\n\
         backoff = {{ first = \"1ms\", cap = \"2ms\" }}\n\
         [agents.\"a/second\"]\n{STEADY}\
         [agents.\"a/on-fallback\"]\nneeds = [\"a/bad\"]\n{STEADY}\
         [agents.\"a/lacking\"]\nneeds = [\"a/worse\"]\n{STEADY}"
    ));
    assert_eq!(house.row("a/bad")["state"], "quarantined");
    for agent in ["a/on-fallback", "a/lacking"] {
        assert_eq!(house.row(agent)["state"], "degraded", "{agent}");
    }
    let why = house.genii(&["ctl", "why", "a/lacking"]).out;
    assert!(why.contains("a/worse") && why.contains("code 1"), "{why}");
    let why = house.genii(&["ctl", "why", "a/on-fallback"]).out;
    assert!(why.contains("a/second"), "{why}");
    running.stop();
}

#[test]
fn a_missing_script_is_refused_where_it_is_required_and_is_no_crash_loop_elsewhere() {
    let house = House::new();
    let topology = |required: bool| {
        format!(
            "[groups.a]\n[agents.\"a/here\"]\n{STEADY}[agents.\"a/gone\"]\nkind = \"process\"\n\
             required = {required}\nsettings.script = \"agents/gone.py\"\n"
        )
    };
    let file = house.file("strict.toml", &topology(true));
    let plan = house.genii(&["plan", file.to_str().unwrap()]);
    assert_eq!(plan.code, 0, "it may lie on another machine: {}", plan.err);
    assert!(plan.err.contains("warning") && plan.err.contains("agents/gone.py"), "{}", plan.err);
    let said = house.genii(&["up", "--topology", file.to_str().unwrap()]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("agents/gone.py does not exist"), "{}", said.err);
    assert!(!house.path("data").exists(), "it began nevertheless");

    let running = house.up(&topology(false));
    assert_eq!(house.row("a/gone")["state"], "quarantined");
    let why = house.genii(&["ctl", "why", "a/gone"]).out;
    assert!(why.contains("agents/gone.py does not exist"), "{why}");
    assert!(why.contains("a/gone is in quarantine for ") && !why.contains("restarts"), "{why}");
    let said = running.stop();
    assert_eq!(said.matches("a/gone is starting").count(), 1, "{said}");
}

#[test]
fn only_the_groups_that_are_named_start_and_what_they_need() {
    let house = House::new();
    let file = house.file(
        "house.toml",
        &format!(
            "[groups.ears]\n[groups.voice]\n[groups.eyes]\n\
             [agents.\"ears/capture\"]\n{STEADY}[agents.\"ears/noise\"]\n{STEADY}\
             [agents.\"voice/speech\"]\nneeds = [\"ears/capture\"]\n{STEADY}\
             [agents.\"eyes/camera\"]\n{STEADY}"
        ),
    );
    let file = file.to_str().unwrap();
    let mut running = house.begin(&["--topology", file, "--only", "voice"]);
    running.wait_for("2 of 2 agents are ready");
    running.wait_for("also started, since others need them: ears/capture");
    running.stop();
    let said = house.genii(&["up", "--topology", file, "--only", "voise"]);
    assert_eq!(said.code, 2);
    assert!(said.err.contains("did you mean voice?"), "{}", said.err);
}

#[test]
fn a_signal_while_it_starts_stops_what_was_started() {
    let house = House::new();
    let file = house.file(
        "house.toml",
        &format!(
            "[groups.a]\n[agents.\"a/steady\"]\n{STEADY}\
             [agents.\"a/slow\"]\nkind = \"process\"\nneeds = [\"a/steady\"]\n\
             settings.command = [\"sleep\", \"1000\"]\n\
             settings.ready = {{ line = {{ contains = \"ready\" }} }}\n"
        ),
    );
    let mut running = house.begin(&["--topology", file.to_str().unwrap()]);
    running.wait_for("a/slow is starting");
    running.signal(Signal::INT);
    let (code, said) = running.end();
    assert_eq!(code, Some(130), "{said}");
    assert!(said.contains("a/steady stopped"), "{said}");
    house.wait_for_no_process();
}

#[test]
fn a_second_signal_does_not_wait_for_those_who_will_not_stop() {
    let house = House::new();
    let mut running = house.up(
        "[groups.a]\n[agents.\"a/deaf\"]\nkind = \"process\"\nstop_timeout = \"10m\"\n\
         settings.command = [\"sh\", \"-c\", \"trap '' TERM; echo ready; while :; do sleep 1; done\"]\n\
         settings.ready = { line = { contains = \"ready\" } }\n",
    );
    running.signal(Signal::TERM);
    running.wait_for("a/deaf is stopping");
    running.signal(Signal::TERM);
    let (code, said) = running.end();
    assert_eq!(code, Some(130), "{said}");
    house.wait_for_no_process();
}

#[test]
fn a_start_up_file_of_before_is_run_in_one_go() {
    let house = House::new();
    // What runs it here is no Python, but it is called as Python was.
    let python = house.file("bin/python3", "#!/bin/sh\nexec sh \"$@\"\n");
    let mut permissions = std::fs::metadata(&python).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o755);
    std::fs::set_permissions(&python, permissions).unwrap();
    house.file(
        "agents/ear.py",
        "printf '%s\\n' \"$*\" > said; pwd >> said; echo \"$PYTHONPATH\" >> said; exec sleep 1000\n",
    );
    let file = house.file(
        "startup.yaml",
        "ears:\n- {name: EarAgent, script_path: agents/ear.py, port: 7100,\n   params: {rate: 16000},\n   health_check: {enabled: false}}\n",
    );
    let mut command = house.command(env!("CARGO_BIN_EXE_genii"));
    let path = format!("{}:{}", house.path("bin").display(), std::env::var("PATH").unwrap());
    command.args(["import", file.to_str().unwrap()]).env("PATH", &path);
    let topology = command.output().unwrap();
    let topology = String::from_utf8(topology.stdout).unwrap();
    // Nothing here answers health checks: it is ready as soon as it runs.
    let topology: String = topology
        .lines()
        .filter(|line| !line.starts_with("ready"))
        .map(|line| format!("{line}\n"))
        .collect();
    let file = house.file("house.toml", &topology);
    let mut command = house.command(env!("CARGO_BIN_EXE_genii"));
    command.args(["up", "--plain", "--topology", file.to_str().unwrap()]).env("PATH", &path);
    let mut running = crate::support::Running::new(command.spawn().unwrap());
    running.wait_for("1 of 1 agents are ready");
    let said = crate::support::wait_until("the agent to say how it was called", || {
        std::fs::read_to_string(house.path("said")).ok().filter(|said| said.lines().count() == 3)
    });
    let mut said = said.lines();
    let root = house.path("");
    let root = root.to_str().unwrap().trim_end_matches('/');
    assert_eq!(
        said.next(),
        Some("--rate=16000 --port=7100 --health_check_port=7101 --name=EarAgent")
    );
    assert_eq!(said.next(), Some(root));
    running.stop();
}
