//! What goes wrong around genii: `kill -9`, a full disk, a folder that is somebody else's.

use rustix::process::Signal;

use crate::support::{House, children_of, stuck_terminal, wait_until};
use crate::up::STEADY;

/// Agents with children of their own, one of which hides in a session of its own.
const FAMILY: &str = r#"kind = "process"
settings.command = ["sh", "-c", "sleep 1001 & setsid sleep 1002 & echo ready; sleep 1003"]
settings.ready = { line = { contains = "ready" } }
"#;

#[test]
fn kill_9_in_any_phase_leaves_no_process_and_the_next_up_works() {
    let house = House::new();
    let slow = "kind = \"process\"\nsettings.command = [\"sh\", \"-c\", \"trap '' TERM; while :; do sleep 1; done\"]\n";
    let topology = format!(
        "[groups.a]\n[agents.\"a/family\"]\n{FAMILY}[agents.\"a/second\"]\nneeds = [\"a/family\"]\n{FAMILY}\
         [agents.\"a/slow\"]\nneeds = [\"a/second\"]\nstop_timeout = \"10m\"\n{slow}\
         settings.ready = {{ line = {{ contains = \"never\" }} }}\n"
    );
    let file = house.file("house.toml", &topology);
    let file = ["--topology", file.to_str().unwrap()];
    for phase in
        ["a/family is starting", "a/family is ready", "a/second is ready", "a/slow is starting"]
    {
        let mut running = house.begin(&file);
        running.wait_for(phase);
        running.signal(Signal::KILL);
        running.end();
        house.wait_for_no_process();
    }
    // And while it stops.
    let mut running = house.begin(&file);
    running.wait_for("a/slow is starting");
    running.signal(Signal::TERM);
    running.wait_for("a/slow is stopping");
    running.signal(Signal::KILL);
    running.end();
    house.wait_for_no_process();

    let running = house.up(&format!("[groups.a]\n[agents.\"a/family\"]\n{FAMILY}"));
    assert_eq!(house.row("a/family")["state"], "ready");
    running.stop();
    house.wait_for_no_process();
}

/// Genii goes in the very moment in which its agents begin to have children.
#[test]
fn kill_9_in_the_moment_of_a_start_leaves_no_process() {
    let house = House::new();
    let file = house.file("house.toml", &format!("[groups.a]\n[agents.\"a/family\"]\n{FAMILY}"));
    for _ in 0..25 {
        let mut running = house.begin(&["--topology", file.to_str().unwrap()]);
        running.wait_for("a/family is starting");
        running.signal(Signal::KILL);
        running.end();
    }
    house.wait_for_no_process();
}

/// Genii and all its keepers are killed together, as `killall -9` does: nobody is left to end what
/// they kept, but the next genii does.
#[test]
fn what_is_left_when_all_keepers_are_killed_is_swept_up_by_the_next_up() {
    let house = House::new();
    let topology = format!("[groups.a]\n[agents.\"a/family\"]\n{FAMILY}");
    let mut running = house.up(&topology);
    let hidden = || house.processes().iter().filter(|it| it.trim() == "sleep 1002").count();
    wait_until("the child that hides", || Some(()).filter(|()| hidden() == 1));
    let keepers = children_of(running.pid());
    assert_eq!(keepers.len(), 1);
    // Stopped before, so that none is quick enough to end its own in between.
    let signal = |pid, signal| rustix::process::kill_process(pid, signal).unwrap();
    keepers.iter().for_each(|keeper| signal(*keeper, Signal::STOP));
    signal(running.pid(), Signal::KILL);
    keepers.iter().for_each(|keeper| signal(*keeper, Signal::KILL));
    running.end();
    assert_eq!(hidden(), 1, "one is left");
    let mut running = house.begin(&["--topology", house.path("house.toml").to_str().unwrap()]);
    running.wait_for("that an earlier genii left w");
    running.wait_for("agents are ready after");
    wait_until("that of this life alone", || Some(()).filter(|()| hidden() == 1));
    running.stop();
    house.wait_for_no_process();
}

/// Only the keeper of an agent is killed, and genii lives: it clears up, and starts the agent anew.
#[test]
fn what_a_keeper_kept_that_is_killed_ends_with_it() {
    let house = House::new();
    let running = house.up(&format!("[groups.a]\n[agents.\"a/family\"]\n{FAMILY}"));
    let of_family = |it: &&String| matches!(it.trim(), "sleep 1001" | "sleep 1002" | "sleep 1003");
    let count = || house.processes().iter().filter(of_family).count();
    wait_until("the family", || Some(()).filter(|()| count() == 3));
    for keeper in children_of(running.pid()) {
        rustix::process::kill_process(keeper, Signal::KILL).unwrap();
    }
    wait_until("its next life", || Some(house.row("a/family")).filter(|row| row["restarts"] == 1));
    house.wait_for_state("a/family", "ready");
    wait_until("the family anew", || Some(()).filter(|()| count() == 3));
    running.stop();
    house.wait_for_no_process();
}

/// Many keepers have much to clear up, and the next genii comes at once: it waits for them.
#[test]
fn an_up_right_after_kill_9_finds_nothing_of_the_life_before() {
    let house = House::new();
    let agents = (0..12).map(|i| format!("[agents.\"a/family-{i}\"]\n{FAMILY}"));
    let topology = format!("[groups.a]\n{}", agents.collect::<String>());
    let of_family = |it: &&String| matches!(it.trim(), "sleep 1001" | "sleep 1002" | "sleep 1003");
    let running = || house.processes().iter().filter(of_family).count();
    let mut first = house.up(&topology);
    wait_until("all of them", || Some(()).filter(|()| running() == 36));
    first.signal(Signal::KILL);
    let file = house.path("empty.toml");
    std::fs::write(&file, format!("[groups.a]\n[agents.\"a/one\"]\n{STEADY}")).unwrap();
    let mut second = house.begin(&["--topology", file.to_str().unwrap()]);
    second.wait_for("agents are ready after");
    assert_eq!(running(), 0, "{:?}", house.processes());
    first.end();
    second.stop();
    house.wait_for_no_process();
}

/// A keeper that nobody is there to hear of clears up after itself all the same.
#[test]
fn a_keeper_whose_genii_has_gone_leaves_no_process() {
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;
    let house = House::new();
    let mut keepers = Vec::new();
    for _ in 0..25 {
        let (genii, keeper) = UnixStream::pair().unwrap();
        let mut command = house.command(env!("CARGO_BIN_EXE_genii"));
        command.args(["keep-process", "-", "-", "-"]).stdin(OwnedFd::from(keeper));
        command.args(["sh", "-c", "setsid sleep 3001 & setsid sleep 3002 & exec sleep 3003"]);
        keepers.push(command.spawn().unwrap());
        drop(genii);
    }
    house.wait_for_no_process();
    for mut keeper in keepers {
        keeper.wait().unwrap();
    }
}

#[test]
fn a_second_up_on_a_folder_is_told_who_holds_it() {
    let house = House::new();
    let running = house.up(&format!("[groups.a]\n[agents.\"a/one\"]\n{STEADY}"));
    let second = house.genii(&["up"]);
    assert_eq!(second.code, 1);
    let holder = format!("in use by another genii (process {}", running.pid().as_raw_nonzero());
    assert!(second.err.contains(&holder), "{}", second.err);
    assert!(second.err.contains("help: "), "{}", second.err);
    assert_eq!(house.row("a/one")["state"], "ready", "the first goes on");
    running.stop();
}

#[test]
fn a_data_folder_that_cannot_be_is_told_once() {
    let house = House::new();
    house.file("data", "a file where a folder should be");
    let said = house.genii(&["up"]);
    assert_eq!(said.code, 1);
    assert_eq!(said.err.matches("error: ").count(), 1, "{}", said.err);
    assert!(said.err.contains("data cannot be made"), "{}", said.err);
    assert!(said.err.contains("--data DIR"), "{}", said.err);
}

#[test]
fn who_names_a_file_for_a_folder_is_told_so() {
    let house = House::new();
    house.file("house.toml", "[groups.a]\n");
    let said = house.genii(&["--data", "house.toml", "ctl", "tree"]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("house.toml is a file, and a household is a folder"), "{}", said.err);
    assert!(said.err.contains("--data DIR") && said.err.contains("up --topology"), "{}", said.err);
}

/// One that is paused has not gone: who asks is told which process it is, and how it goes on.
#[test]
fn a_genii_that_is_paused_is_said_not_to_answer() {
    let house = House::new();
    let running = house.up(&format!("[groups.a]\n[agents.\"a/one\"]\n{STEADY}"));
    running.signal(Signal::STOP);
    let said = house.genii(&["ctl", "tree"]);
    running.signal(Signal::CONT);
    assert_eq!(said.code, 1, "{}", said.out);
    let pid = running.pid().as_raw_nonzero();
    assert!(said.err.contains(&format!("(process {pid} since ")), "{}", said.err);
    assert!(said.err.contains("does not answer"), "{}", said.err);
    assert!(said.err.contains(&format!(" kill -CONT {pid} ")), "{}", said.err);
    assert_eq!(house.row("a/one")["state"], "ready");
    assert!(running.stop().contains("stopped"));
}

#[test]
fn a_full_disk_is_told_once() {
    let house = House::new();
    // No file may grow: to a writer the same as a disk without room.
    let mut command = house.command("sh");
    let script = "trap '' XFSZ; ulimit -f 0; exec \"$0\" up";
    let full = command.args(["-c", script, env!("CARGO_BIN_EXE_genii")]).output().unwrap();
    let said = String::from_utf8(full.stderr).unwrap();
    assert_eq!(full.status.code(), Some(1), "{said}");
    assert_eq!(said.matches("error: ").count(), 1, "{said}");
    assert!(said.contains("data cannot be written to"), "{said}");
}

/// Nobody reads what is printed: the house goes on, and ends in good order when it is told to.
#[test]
fn output_that_nobody_reads_or_takes_stops_nothing() {
    use std::process::Stdio;
    let house = House::new();
    // One that says very much: it crashes again and again.
    let loud = "kind = \"process\"\nbackoff = { first = \"1ms\", cap = \"1ms\" }\n\
                settings.command = [\"sh\", \"-c\", \"exit 3\"]\n";
    let group = "[groups.a]\nrestarts = 1000000\nwindow = \"1h\"\n";
    let file = house.file("house.toml", &format!("{group}[agents.\"a/loud\"]\n{loud}"));
    for out in ["unread", "closed", "full"] {
        let mut command = house.command(env!("CARGO_BIN_EXE_genii"));
        command.args(["up", "--plain", "--topology", file.to_str().unwrap()]);
        if out == "full" {
            let full = || std::fs::File::options().write(true).open("/dev/full").unwrap();
            command.stdout(Stdio::from(full())).stderr(Stdio::from(full()));
        }
        let mut child = command.spawn().unwrap();
        if out == "closed" {
            drop((child.stdout.take(), child.stderr.take()));
        }
        wait_until("it to have said more than a pipe holds", || {
            let said = house.genii(&["ctl", "journal", "--json", "-n", "1"]);
            let last: Option<serde_json::Value> = serde_json::from_str(said.out.trim()).ok();
            let last = last.filter(|last| last["seq"].as_u64() > Some(1_200));
            last.ok_or_else(|| format!("{out}: {} {}, {:?}", said.out, said.err, child.try_wait()))
        });
        rustix::process::kill_process(rustix::process::Pid::from_child(&child), Signal::TERM)
            .unwrap();
        let status = wait_until("it to end", || child.try_wait().unwrap());
        assert_eq!(status.code(), Some(0), "{out}");
        house.wait_for_no_process();
    }
}

/// A terminal that takes nothing: progress is drawn on it, and what goes wrong is told to it.
#[test]
fn a_terminal_that_takes_nothing_stops_nothing() {
    let house = House::new();
    let slow = "kind = \"process\"\nsettings.command = [\"sh\", \"-c\", \"> begun; exec sleep 1000\"]\n\
                settings.ready = { line = { contains = \"never\" } }\n";
    let steady = format!("[groups.a]\n[agents.\"a/one\"]\n{STEADY}");
    let starting = house.file("starting.toml", &format!("{steady}[agents.\"a/slow\"]\n{slow}"));
    let up = house.file("up.toml", &steady);
    let nowhere = house.path("nowhere.toml");
    for (file, code) in [(&starting, 130), (&up, 0), (&nowhere, 1)] {
        let (_master, terminal) = stuck_terminal();
        let mut command = house.command(env!("CARGO_BIN_EXE_genii"));
        command.args(["up", "--topology", file.to_str().unwrap()]);
        command.stdout(terminal.try_clone().unwrap()).stderr(terminal);
        let mut child = command.spawn().unwrap();
        match code {
            130 => {
                wait_until("the slow one to be starting", || std::fs::metadata(house.path("begun")))
                    .is_file()
            }
            0 => wait_until("it to be up", || {
                let shown = house.genii(&["ctl", "ps", "--json"]);
                Some(shown.code == 0 && shown.out.contains("\"ready\"")).filter(|is_up| *is_up)
            }),
            _ => true,
        };
        if code != 1 {
            rustix::process::kill_process(rustix::process::Pid::from_child(&child), Signal::TERM)
                .unwrap();
        }
        let status = wait_until("it to end", || child.try_wait().unwrap());
        assert_eq!(status.code(), Some(code), "{}", file.display());
        house.wait_for_no_process();
    }
}

#[test]
fn a_file_that_never_ends_is_not_read_to_its_end() {
    let house = House::new();
    for file in ["/dev/zero", "/dev/urandom"] {
        let said = house.genii(&["plan", file]);
        assert_eq!(said.code, 1);
        assert!(said.err.contains("larger than 8 MiB"), "{}", said.err);
    }
}

#[test]
fn nothing_is_written_by_way_of_a_link() {
    let house = House::new();
    let victim = house.file("victim", "precious");
    std::fs::create_dir_all(house.path("data")).unwrap();
    std::os::unix::fs::symlink(&victim, house.path("data/.probe")).unwrap();
    let running = house.up(&format!("[groups.a]\n[agents.\"a/one\"]\n{STEADY}"));
    running.stop();
    std::fs::remove_file(house.path("data/lock")).unwrap();
    std::os::unix::fs::symlink(&victim, house.path("data/lock")).unwrap();
    assert_eq!(house.genii(&["up"]).code, 1);
    assert_eq!(std::fs::read_to_string(victim).unwrap(), "precious");
}

#[test]
fn the_socket_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let house = House::new();
    let running = house.up(&format!("[groups.a]\n[agents.\"a/one\"]\n{STEADY}"));
    for name in ["data/admin.sock", "data/logs/genii.log", "data/lock"] {
        let mode = std::fs::metadata(house.path(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{name} is {mode:o}");
    }
    running.stop();
    assert!(!house.path("data/admin.sock").exists());
}

#[test]
fn garbage_on_the_socket_disturbs_nobody() {
    use std::io::Write;
    let house = House::new();
    let running = house.up(&format!("[groups.a]\n[agents.\"a/one\"]\n{STEADY}"));
    for garbage in
        [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 4096], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0"]
    {
        let mut socket =
            std::os::unix::net::UnixStream::connect(house.path("data/admin.sock")).unwrap();
        // It may hang up before all of it is written.
        let _written = socket.write_all(garbage);
    }
    assert_eq!(house.row("a/one")["state"], "ready");
    running.stop();
}

#[test]
fn settings_that_are_wrong_are_refused_with_their_place() {
    let house = House::new();
    house.file("data/genii.toml", "ask_timeot = \"1s\"\n");
    let said = house.genii(&["up"]);
    assert_eq!(said.code, 2);
    assert!(said.err.contains("genii.toml") && said.err.contains("did you mean ask_timeout?"));
    std::fs::write(house.path("data/genii.toml"), b"node = \"\xff\"\n").unwrap();
    let said = house.genii(&["up"]);
    assert_eq!(said.code, 2);
    assert!(said.err.contains("genii.toml:1: it is not UTF-8 text"), "{}", said.err);
    house.file("data/genii.toml", "node = \"pc2\"\n");
    let shown = house.json(&["settings", "--json"]);
    let node = shown.as_array().unwrap().iter().find(|one| one["name"] == "node").unwrap();
    assert_eq!(node["value"], "pc2");
    assert!(node["from"].as_str().unwrap().ends_with("genii.toml"), "{node}");
}
