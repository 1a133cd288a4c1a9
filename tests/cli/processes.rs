//! Process agents: how they are called, watched, bounded and ended.

use crate::support::{House, wait_until};

#[test]
fn a_process_agent_has_no_stdin_and_the_folder_path_and_environment_that_were_set() {
    let house = House::new();
    house.file(
        "agents/one.py",
        "cat\npwd\necho \"$MOOD $PYTHONPATH $SECRET\"\necho \"$*\"\necho ready\nexec sleep 1000\n",
    );
    let root = std::fs::canonicalize(house.path("agents")).unwrap();
    let root = root.display();
    let running = house.up(&format!(
        "[groups.a]\n[agents.\"a/one\"]\nkind = \"process\"\n[agents.\"a/one\".settings]\n\
         script = \"one.py\"\ninterpreter = \"sh\"\nroot = \"{root}\"\nname = \"One\"\nport = 7001\n\
         args = {{ zeta = 1, alpha = \"b c\" }}\npython_path = [\"lib\"]\ninherit_env = false\n\
         env = {{ MOOD = \"good\", PATH = \"/usr/bin:/bin\" }}\n\
         ready = {{ line = {{ contains = \"ready\" }} }}\n"
    ));
    let lines = house.genii(&["ctl", "log", "a/one", "--json"]).out;
    let texts: Vec<String> = lines
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["text"].clone())
        .map(|text| text.as_str().unwrap().to_owned())
        .collect();
    let expected = [
        format!("{root}"),
        format!("good {root}/lib "),
        "--zeta=1 --alpha=b c --port=7001 --name=One".to_owned(),
        "ready".to_owned(),
    ];
    for line in &expected {
        assert!(
            texts.iter().any(|text| text.trim_end() == line.trim_end()),
            "{line:?} in {texts:?}"
        );
    }
    let logged = std::fs::read_to_string(house.path("data/logs/genii.log")).unwrap();
    assert!(logged.contains("a/one") && logged.contains("--zeta=1"), "{logged}");
    running.stop();
}

#[test]
fn its_last_lines_are_part_of_its_crash_report() {
    let house = House::new();
    let running = house.up(
        "[groups.a]\n[agents.\"a/one\"]\nkind = \"process\"\n\
         backoff = { first = \"1h\", cap = \"1h\" }\n\
         settings.command = [\"sh\", \"-c\", \"echo ready; until [ -e go ]; do sleep 0.01; done; echo cannot open the camera >&2; exit 7\"]\n\
         settings.ready = { line = { contains = \"ready\" } }\n",
    );
    house.file("go", "");
    house.wait_for_state("a/one", "down");
    let why = house.genii(&["ctl", "why", "a/one"]).out;
    assert!(why.contains("code 7") && why.contains("cannot open the camera"), "{why}");
    running.stop();
}

#[test]
fn its_children_go_with_it_also_those_that_hide() {
    let house = House::new();
    let running = house.up(
        "[groups.a]\n[agents.\"a/one\"]\nkind = \"process\"\n\
         settings.command = [\"sh\", \"-c\", \"sleep 2001 & setsid sleep 2002 & echo ready; exec sleep 2003\"]\n\
         settings.ready = { line = { contains = \"ready\" } }\n",
    );
    let has = |number: &str| house.processes().iter().any(|words| words.contains(number));
    wait_until("the hidden child", || if has("2002") { Ok(()) } else { Err(()) });
    assert_eq!(house.genii(&["ctl", "stop", "a/one"]).code, 0);
    wait_until("all of the family to end", || {
        let left = house.processes();
        if left.iter().any(|words| words.contains("sleep 200")) { Err(left) } else { Ok(()) }
    });
    assert_eq!(house.row("a/one")["state"], "stopped");
    running.stop();
}

#[test]
fn one_that_does_not_stop_is_killed_after_its_deadline() {
    let house = House::new();
    let running = house.up(
        "[groups.a]\n[agents.\"a/deaf\"]\nkind = \"process\"\nstop_timeout = \"200ms\"\n\
         settings.command = [\"sh\", \"-c\", \"trap '' TERM; echo ready; while :; do sleep 1; done\"]\n\
         settings.ready = { line = { contains = \"ready\" } }\n",
    );
    let said = running.stop();
    assert!(said.contains("a/deaf stopped"), "{said}");
    house.wait_for_no_process();
}

#[test]
fn one_that_is_not_well_any_more_is_restarted() {
    let house = House::new();
    house.file("well", "");
    let running = house.up("[groups.a]\n[agents.\"a/one\"]\nkind = \"process\"\n\
         backoff = { first = \"1ms\", cap = \"2ms\" }\n\
         [agents.\"a/one\".settings]\ncommand = [\"sleep\", \"1000\"]\n\
         ready = { command = [\"test\", \"-e\", \"well\"] }\n\
         live = { every = \"20ms\", timeout = \"5s\", failures = 2 }\n");
    let before = house.row("a/one")["pid"].clone();
    std::fs::remove_file(house.path("well")).unwrap();
    wait_until("a restart", || {
        Some(house.row("a/one")).filter(|row| row["restarts"].as_u64() > Some(0))
    });
    house.file("well", "");
    let row = house.wait_for_state("a/one", "ready");
    assert_ne!(row["pid"], before);
    let journal = house.genii(&["ctl", "journal", "a/one"]).out;
    assert!(journal.contains("2 health checks in a row"), "{journal}");
    running.stop();
}

#[test]
fn it_is_bounded_in_open_files_and_processor_time() {
    let house = House::new();
    let running = house.up(
        "[groups.a]\n[agents.\"a/one\"]\nkind = \"process\"\n\
         backoff = { first = \"1h\", cap = \"1h\" }\n\
         [agents.\"a/one\".settings]\ncommand = [\"sh\", \"-c\", \"ulimit -n; ulimit -v; while :; do :; done\"]\n\
         limits = { open_files = 77, cpu_time = \"1s\", memory_mb = 512 }\n",
    );
    house.wait_for_state("a/one", "down");
    let log = house.genii(&["ctl", "log", "a/one"]).out;
    assert!(log.contains("77") && log.contains("524288"), "{log}");
    let why = house.genii(&["ctl", "why", "a/one"]).out;
    assert!(why.contains("SIGKILL") || why.contains("SIGXCPU"), "{why}");
    running.stop();
}

#[test]
fn a_flood_of_output_is_bounded_and_stops_nobody() {
    let house = House::new();
    let running = house.up(
        "[groups.a]\n[agents.\"a/loud\"]\nkind = \"process\"\n\
         settings.command = [\"sh\", \"-c\", \"i=0; while [ $i -lt 200000 ]; do echo line $i; i=$((i+1)); done; head -c 3000000 /dev/zero; echo; echo ready; exec sleep 1000\"]\n\
         settings.ready = { line = { contains = \"ready\" } }\n",
    );
    let log = house.genii(&["ctl", "log", "a/loud", "-n", "1000000"]).out;
    assert!(log.len() < 1_000_000, "{} bytes", log.len());
    running.stop();
}

#[test]
fn one_that_is_stopping_can_be_killed() {
    let house = House::new();
    let running = house.up(
        "[groups.a]\n[agents.\"a/deaf\"]\nkind = \"process\"\nstop_timeout = \"10m\"\n\
         settings.command = [\"sh\", \"-c\", \"trap '' TERM; echo ready; while :; do sleep 1; done\"]\n\
         settings.ready = { line = { contains = \"ready\" } }\n",
    );
    let mut command = house.command(env!("CARGO_BIN_EXE_genii"));
    let mut stop = command.args(["ctl", "stop", "a/deaf"]).spawn().unwrap();
    house.wait_for_state("a/deaf", "stopping");
    assert_eq!(house.genii(&["ctl", "kill", "a/deaf"]).code, 0);
    let status = wait_until("the stop to be done", || stop.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));
    assert_eq!(house.row("a/deaf")["state"], "stopped");
    running.stop();
}

/// What a health check starts ends with it, whether it ends by itself or takes too long.
#[test]
fn nothing_of_a_health_check_is_left() {
    let house = House::new();
    let running = house.up(
        "[groups.a]\n[agents.\"a/one\"]\nkind = \"process\"\n\
         [agents.\"a/one\".settings]\ncommand = [\"sleep\", \"1000\"]\n\
         env = { WELL = \"yes\" }\n\
         ready = { command = [\"sh\", \"-c\", \"setsid sleep 5001 & sleep 5002 & test $WELL = yes\"] }\n\
         live = { every = \"20ms\", timeout = \"500ms\", failures = 1000, probe = { command = [\"sh\", \"-c\", \"echo x >> looks; setsid sleep 5003 & sleep 5004\"] } }\n",
    );
    wait_until("some looks", || {
        let looks = std::fs::read_to_string(house.path("looks")).unwrap_or_default();
        Some(()).filter(|()| looks.lines().count() > 5)
    });
    let sleeps = house.processes().iter().filter(|words| words.contains("sleep 500")).count();
    assert!(sleeps <= 6, "{:?}", house.processes());
    running.stop();
    house.wait_for_no_process();
}

/// One that does not become ready is told of with what the last look at it found.
#[test]
fn what_keeps_an_agent_from_being_ready_is_told() {
    let house = House::new();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let running = house.up(&format!(
        "[groups.a]\n[agents.\"a/one\"]\nkind = \"process\"\nbackoff = \"none\"\nstart_timeout = \"300ms\"\n\
         settings = {{ command = [\"sleep\", \"1000\"], ready = {{ tcp = {free} }} }}\n"
    ));
    assert_eq!(house.row("a/one")["state"], "quarantined");
    let why = house.genii(&["ctl", "why", "a/one"]).out;
    assert!(why.contains("it was not ready within") && why.contains("refused"), "{why}");
    running.stop();
}

/// Somebody else who answers on an agent's port is not taken for the agent.
#[test]
fn a_port_that_is_taken_is_told_of() {
    let house = House::new();
    let stranger = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = stranger.local_addr().unwrap().port();
    let running = house.up(&format!(
        "[groups.a]\n[agents.\"a/one\"]\nkind = \"process\"\n\
         backoff = {{ first = \"1ms\", cap = \"2ms\" }}\n\
         settings = {{ command = [\"sleep\", \"1000\"], ready = {{ tcp = {port} }} }}\n"
    ));
    assert_eq!(house.row("a/one")["state"], "quarantined");
    let why = house.genii(&["ctl", "why", "a/one"]).out;
    assert!(why.contains(&format!("port {port} is in use")), "{why}");
    running.stop();
}
