//! Cables that are cut, and lines that are long and lose things: real processes, each in a network of
//! its own. That takes root and `ip`, and for the long line python3 and /dev/net/tun; where they are
//! not, each test says so and passes.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cluster::{ASK, TOPOLOGY};
use crate::pausing::{counted, unheard};
use crate::support::{House, Running, Said, finish, skipped, wait_until};

/// Carries packets between two devices, late, and loses some.
const LINE: &str = include_str!("cables/line.py");

/// How long a packet is on its way, and how many of a hundred are lost. There and back it is twice as
/// long.
const LATE: Duration = Duration::from_millis(50);
const LOST_PERCENT: &str = "1";

/// How many asks go over the long line.
const ASKS: usize = 50;

/// How to have a network in which cables can be cut.
const REMEDY: &str = "run it as root on Linux, with iproute2 and python3 (apt-get install iproute2 \
                      python3), network namespaces and /dev/net/tun";

/// Two networks with one line between them.
struct Line {
    spaces: [String; 2],
    devices: [String; 2],
    carrier: Option<Carrier>,
}

/// What carries the packets of a line, where the kernel does not.
struct Carrier {
    child: Child,
    said: BufReader<ChildStdout>,
}

impl Carrier {
    fn next_line(&mut self) -> String {
        let mut said = String::new();
        self.said.read_line(&mut said).unwrap();
        said.trim().to_owned()
    }
}

impl Line {
    fn new(kind: &str) -> Self {
        let name = |end: &str| format!("g{kind}{end}{}", std::process::id());
        let spaces = ["x", "y"].map(|end| format!("genii-{}", name(end)));
        Self { spaces, devices: ["a", "b"].map(name), carrier: None }
    }

    /// A cable that can be cut; says why not.
    fn cable() -> Result<Self, String> {
        let line = Self::new("c");
        let [here, there] = &line.devices;
        line.make_spaces()?;
        ip(&["link", "add", here, "type", "veth", "peer", "name", there])?;
        line.connect()?;
        Ok(line)
    }

    /// A line that is long and loses things; says why not.
    fn long() -> Result<Self, String> {
        Self::carried("l", LATE, LOST_PERCENT)
    }

    /// A line of which one connection may be cut, while the others go on; says why not.
    fn of_connections() -> Result<Self, String> {
        Self::carried("d", Duration::ZERO, "0")
    }

    /// A line that carries packets so late, and loses so many of a hundred.
    fn carried(kind: &str, late: Duration, lost: &str) -> Result<Self, String> {
        let mut line = Self::new(kind);
        line.make_spaces()?;
        let late = late.as_millis().to_string();
        let mut python = Command::new("python3");
        python.args(["-c", LINE]).args(&line.devices).args([&late, lost]);
        python.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child =
            python.spawn().map_err(|error| format!("`python3` cannot be run: {error}"))?;
        let said = BufReader::new(child.stdout.take().unwrap());
        let carrier = line.carrier.insert(Carrier { child, said });
        if carrier.next_line() != "ready" {
            return Err("python3 can make no tun devices".to_owned());
        }
        line.connect()?;
        Ok(line)
    }

    /// The connection that has carried the most carries nothing any more.
    fn cut_the_busiest(&mut self) {
        let carrier = self.carrier.as_mut().unwrap();
        carrier.child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
        let said = carrier.next_line();
        assert!(said.starts_with("dead "), "{said}");
    }

    fn make_spaces(&self) -> Result<(), String> {
        if !rustix::process::geteuid().is_root() {
            return Err("this is not root".to_owned());
        }
        self.spaces.iter().try_for_each(|space| ip(&["netns", "add", space]))
    }

    /// Puts each end into its network.
    fn connect(&self) -> Result<(), String> {
        for (number, (space, device)) in (1..).zip(self.spaces.iter().zip(&self.devices)) {
            let at = format!("10.83.9.{number}/24");
            ip(&["link", "set", device, "netns", space])?;
            ip(&["-n", space, "addr", "add", &at, "dev", device])?;
            ip(&["-n", space, "link", "set", device, "up"])?;
            ip(&["-n", space, "link", "set", "lo", "up"])?;
        }
        Ok(())
    }

    fn is_whole(&self, is_whole: bool) {
        let how = if is_whole { "up" } else { "down" };
        ip(&["-n", &self.spaces[1], "link", "set", &self.devices[1], how]).unwrap();
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if let Some(mut carrier) = self.carrier.take() {
            let _has_ended = carrier.child.kill().and_then(|()| carrier.child.wait());
        }
        for space in &self.spaces {
            let _seldom_missing = ip(&["netns", "del", space]);
        }
        let _moved_and_gone = ip(&["link", "del", &self.devices[0]]);
    }
}

fn ip(args: &[&str]) -> Result<(), String> {
    let done = Command::new("ip").args(args).stdin(Stdio::null()).output();
    let done = done.map_err(|error| format!("`ip` cannot be run: {error}"))?;
    let said = || format!("ip {}: {}", args.join(" "), String::from_utf8_lossy(&done.stderr));
    if done.status.success() { Ok(()) } else { Err(said()) }
}

/// The line, or `None` after it was said why there is none. `test` is the name of the test.
fn laid(test: &str, line: Result<Line, String>) -> Option<Line> {
    line.inspect_err(|why| skipped(&format!("cables::{test}"), why.trim(), REMEDY)).ok()
}

/// Two machines at the ends of a line.
struct Two {
    house: House,
    line: Line,
    main: Running,
    pc2: Running,
}

impl Two {
    fn new(line: Line) -> Self {
        let house = House::new();
        house.file("two.toml", TOPOLOGY);
        house.file("data/genii.toml", "listen = \"10.83.9.1:7420\"\n");
        house.file("pc2/genii.toml", "listen = \"10.83.9.2:7420\"\n");
        let mut main = begin(&house, &line, 0, "data");
        main.wait_for("listening at ");
        let at = "10.83.9.1:7420";
        let invited = house.json(&["invite", "pc2", "--at", at, "--json"]);
        let mut joining = genii(&house, &line, 1, "pc2");
        let joining = joining.args(["join", invited["line"].as_str().unwrap()]);
        let joined: Said = finish(joining.spawn().unwrap());
        assert_eq!(joined.code, 0, "{}", joined.err);
        let mut pc2 = begin(&house, &line, 1, "pc2");
        main.wait_for("agents are ready after");
        pc2.wait_for("agents are ready after");
        let two = Self { house, line, main, pc2 };
        two.until_state("alive");
        two
    }

    fn other(&self) -> Value {
        let nodes = self.house.json(&["ctl", "nodes", "--json"]);
        nodes
            .as_array()
            .unwrap()
            .iter()
            .find(|node| node["node"] == "pc2")
            .cloned()
            .unwrap_or_default()
    }

    fn until_state(&self, state: &str) {
        wait_until(&format!("pc2 to be {state}"), || {
            let other = self.other();
            if other["state"] == state { Ok(()) } else { Err(other) }
        });
    }

    fn end(self) {
        self.pc2.stop();
        self.main.stop();
    }
}

/// A command in one of the networks.
fn genii(house: &House, line: &Line, end: usize, data: &str) -> Command {
    let mut command = house.command("ip");
    command.args(["netns", "exec", &line.spaces[end], env!("CARGO_BIN_EXE_genii"), "--data"]);
    command.arg(house.path(data));
    command
}

fn begin(house: &House, line: &Line, end: usize, data: &str) -> Running {
    let mut command = genii(house, line, end, data);
    command.args(["up", "--plain", "--topology"]).arg(house.path("two.toml"));
    Running::new(command.spawn().unwrap())
}

#[test]
fn a_cable_that_is_cut_is_noticed_and_one_that_heals_is_used_again() {
    let Some(line) =
        laid("a_cable_that_is_cut_is_noticed_and_one_that_heals_is_used_again", Line::cable())
    else {
        return;
    };
    let two = Two::new(line);
    assert_eq!(two.house.genii(&ASK).code, 0);
    let before = two.other()["incarnation"].as_u64().unwrap();
    let began = Instant::now();
    two.line.is_whole(false);
    two.until_state("down");
    // It takes a second; the rest is what the commands take.
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    let journal = two.house.genii(&["ctl", "journal", "-n", "1000"]).out;
    let said = |what: &str| journal.find(what).unwrap_or_else(|| panic!("no {what:?}: {journal}"));
    assert!(said("is suspected") < said("nothing was heard of it for"));
    two.house.wait_for_state("core/needy", "degraded");
    let lost = two.house.genii(&ASK);
    assert!(lost.err.contains("node pc2 is not connected"), "{}", lost.err);
    two.line.is_whole(true);
    two.until_state("alive");
    assert!(two.other()["incarnation"].as_u64().unwrap() > before);
    two.house.wait_for_state("core/needy", "ready");
    assert_eq!(two.house.genii(&ASK).code, 0);
    two.end();
}

#[test]
fn a_line_that_is_long_and_loses_things_does() {
    let Some(line) = laid("a_line_that_is_long_and_loses_things_does", Line::long()) else {
        return;
    };
    let two = Two::new(line);
    let before = two.other()["incarnation"].as_u64().unwrap();
    let asks = format!("{}\n", ASK[1..].join(" ")).repeat(ASKS);
    let asked = two.house.script(&["--json"], &asks);
    assert_eq!(asked.code, 0, "{}", asked.err);
    assert_eq!(asked.out.lines().count(), ASKS);
    let other = two.other();
    assert_eq!(other["incarnation"].as_u64(), Some(before), "{other}");
    let round_trip = other["round_trip_ms"].as_f64().unwrap();
    assert!(round_trip >= 2.0 * LATE.as_secs_f64() * 1e3, "{round_trip} ms");
    two.end();
}

/// How many messages are told while a connection dies, and how large those are that tell which it is.
const TELLS: usize = 1_500;
const LARGE_LEN: usize = 200_000;

/// How long the asker would wait, and after how long it must know at the latest. TCP gives a connection
/// up 3 s after what was sent has not been heard.
const LONG: &str = "60s";
const KNOWN_WITHIN: Duration = Duration::from_secs(15);

fn report(reporter: &str, message: &str) -> String {
    let report = serde_json::json!({ "agent": reporter, "message": message });
    format!("tell far/errors errors.report '{report}'\n")
}

/// The connection of a data lane dies, while that of the control lane says that both machines are well.
#[test]
fn a_data_lane_that_dies_alone_is_noticed_and_what_waits_on_it_is_told() {
    let Some(line) = laid(
        "a_data_lane_that_dies_alone_is_noticed_and_what_waits_on_it_is_told",
        Line::of_connections(),
    ) else {
        return;
    };
    let mut two = Two::new(line);
    let before = two.other()["incarnation"].as_u64().unwrap();
    let large = report("large/test", &"x".repeat(LARGE_LEN)).repeat(4);
    assert_eq!(two.house.script(&[], &large).code, 0);
    assert_eq!(two.house.genii(&ASK).code, 0);
    let asks = [
        ["ctl", "ask", "far/errors", "errors.list", "{}", "--timeout", LONG],
        ["ctl", "ask", "far/machine@pc2", "resources.watch", "{}", "--timeout", LONG],
    ];
    let mut watching = two.house.command(env!("CARGO_BIN_EXE_genii"));
    let mut watching = Running::new(watching.args(asks[1]).spawn().unwrap());
    watching.wait_for("cores");
    let script = report("small/test", "again").repeat(TELLS);
    two.line.cut_the_busiest();
    let (began, house) = (Instant::now(), &two.house);
    let told = std::thread::scope(|scope| {
        let telling = scope.spawn(|| house.script(&["--keep-going"], &script));
        let asking = asks.map(|ask| scope.spawn(move || house.genii(&ask)));
        for lost in asking.map(|asking| asking.join().unwrap()) {
            assert!(lost.code == 1 && lost.err.contains("pc2 is not connected"), "{}", lost.err);
        }
        assert!(began.elapsed() < KNOWN_WITHIN, "{:?}", began.elapsed());
        telling.join().unwrap()
    });
    let (code, said) = watching.end();
    assert!(code == Some(1) && said.contains("pc2 is not connected"), "{said}");
    two.until_state("alive");
    assert!(two.other()["incarnation"].as_u64().unwrap() > before);
    // It was the data lane, and nothing else was noticed before.
    let journal = two.house.genii(&["ctl", "journal", "-n", "1000"]).out;
    let down = journal.lines().find(|line| line.contains("is down: ")).unwrap();
    assert!(!down.contains("nothing was heard"), "{down}");
    two.house.wait_for_state("core/needy", "ready");
    assert_eq!(two.house.genii(&ASK).code, 0);
    // Each message was handled once, or its sender knows that it may not have been.
    let refused = told.err.lines().filter(|line| line.contains("line ")).count();
    let (sent, handled) =
        (TELLS as u64 - refused as u64, counted(&two.house, "far/errors", "small/test"));
    let lost = unheard(&two.house, "data");
    let counts = format!("{sent} were sent, {handled} handled, {lost} lost");
    assert!(handled <= sent && handled + lost >= sent, "{counts}");
    two.end();
}
