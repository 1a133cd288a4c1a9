//! A scratch household for a test, and the `genii` processes that run in it.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// After so long a test has failed. Nothing here takes a tenth of it.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// The environment variable by which a test knows every process that came of it.
const MARK: &str = "GENII_TEST_HOUSE";

/// A household in a folder of its own.
pub struct House {
    scratch: TempDir,
}

/// What a command that has ended said.
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl House {
    pub fn new() -> Self {
        Self { scratch: tempfile::tempdir().unwrap() }
    }

    /// The scratch folder, in which commands run; the data folder is `data` in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// Writes a file.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    /// A command that knows nothing but this household.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("GENII_") {
                command.env_remove(name);
            }
        }
        command.current_dir(self.scratch.path()).env("GENII_DATA", self.path("data"));
        command.env(MARK, self.scratch.path()).env("NO_COLOR", "1");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs `genii` to its end.
    pub fn genii(&self, args: &[&str]) -> Said {
        let mut command = self.command(env!("CARGO_BIN_EXE_genii"));
        finish(command.args(args).spawn().unwrap())
    }

    /// Runs `genii` to its end, and reads the JSON that it prints.
    pub fn json(&self, args: &[&str]) -> Value {
        let said = self.genii(args);
        assert_eq!(said.code, 0, "{args:?}: {}", said.err);
        serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {}", said.out))
    }

    /// Runs `genii ctl` on a script.
    pub fn script(&self, args: &[&str], script: &str) -> Said {
        self.script_on("data", args, script)
    }

    /// Runs `genii ctl` on a script, on the machine of a data folder.
    pub fn script_on(&self, data: &str, args: &[&str], script: &str) -> Said {
        let mut command = self.command(env!("CARGO_BIN_EXE_genii"));
        command.arg("--data").arg(self.path(data));
        let mut child = command.arg("ctl").args(args).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        finish(child)
    }

    /// Begins `genii up --plain`.
    pub fn begin(&self, args: &[&str]) -> Running {
        let mut command = self.command(env!("CARGO_BIN_EXE_genii"));
        Running::new(command.args(["up", "--plain"]).args(args).spawn().unwrap())
    }

    /// Brings a topology up, and waits until it is.
    pub fn up(&self, topology: &str) -> Running {
        let file = self.file("house.toml", topology);
        let mut running = self.begin(&["--topology", file.to_str().unwrap()]);
        running.wait_for("agents are ready after");
        running
    }

    /// What `ps` says of an agent.
    pub fn row(&self, agent: &str) -> Value {
        let rows = self.json(&["ctl", "ps", "--json"]);
        let row = rows.as_array().unwrap().iter().find(|row| row["name"] == agent);
        row.unwrap_or_else(|| panic!("no {agent} in {rows}")).clone()
    }

    /// Waits until `ps` says that an agent is in a state.
    pub fn wait_for_state(&self, agent: &str, state: &str) -> Value {
        wait_until(&format!("{agent} to be {state}"), || {
            Some(self.row(agent)).filter(|row| row["state"] == state)
        })
    }

    /// The processes that came of this household and live, genii included.
    pub fn processes(&self) -> Vec<String> {
        let words = |process: PathBuf| {
            let words = std::fs::read(process.join("cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&words).replace('\0', " ")
        };
        self.marked().map(words).collect()
    }

    /// Where the system tells of each of them.
    fn marked(&self) -> impl Iterator<Item = PathBuf> {
        let mark = format!("{MARK}={}", self.scratch.path().display());
        let entries = std::fs::read_dir("/proc").unwrap().flatten();
        entries.map(|entry| entry.path()).filter(move |process| {
            let environ = std::fs::read(process.join("environ")).unwrap_or_default();
            let is_ours = environ.split(|byte| *byte == 0).any(|it| it == mark.as_bytes());
            is_ours && is_alive(process)
        })
    }

    /// Waits until nothing of this household lives.
    pub fn wait_for_no_process(&self) {
        wait_until("every process to end", || {
            let left = self.processes();
            if left.is_empty() { Ok(()) } else { Err(left) }
        });
    }
}

impl Drop for House {
    fn drop(&mut self) {
        // A test that failed leaves nothing behind either, on any of its machines. By what each process
        // says of itself: a number that was written down may be another's by now.
        let number = |process: PathBuf| process.file_name()?.to_str()?.parse().ok();
        for pid in self.marked().filter_map(number).filter_map(Pid::from_raw) {
            let _it_has_ended = kill_process(pid, Signal::KILL);
        }
    }
}

/// A terminal that takes nothing any more, as one does whose person has pressed Ctrl-S: both ends.
pub fn stuck_terminal() -> (OwnedFd, OwnedFd) {
    use rustix::fs::{Mode, OFlags, open};
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let slave = |flags| open(&name, OFlags::RDWR | OFlags::NOCTTY | flags, Mode::empty()).unwrap();
    let filler = slave(OFlags::NONBLOCK);
    while rustix::io::write(&filler, &[b'.'; 4096]).is_ok() {}
    (master, slave(OFlags::empty()))
}

/// The children of a process.
pub fn children_of(parent: Pid) -> Vec<Pid> {
    let is_child = |stat: String| {
        let of = stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1)?.parse().ok());
        of == Some(parent.as_raw_nonzero().get())
    };
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let children = entries
        .filter(|entry| std::fs::read_to_string(entry.path().join("stat")).is_ok_and(is_child));
    children
        .filter_map(|it| it.file_name().to_str()?.parse().ok())
        .filter_map(Pid::from_raw)
        .collect()
}

fn is_alive(process: &Path) -> bool {
    let stat = std::fs::read_to_string(process.join("stat")).unwrap_or_default();
    let state = stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
    !matches!(state, None | Some('Z' | 'X'))
}

/// What may have been waited for.
pub trait Outcome {
    type Value;

    /// The value, or what there is instead.
    fn value(self) -> Result<Self::Value, String>;
}

impl<T> Outcome for Option<T> {
    type Value = T;

    fn value(self) -> Result<T, String> {
        self.ok_or_else(String::new)
    }
}

impl<T, E: std::fmt::Debug> Outcome for Result<T, E> {
    type Value = T;

    fn value(self) -> Result<T, String> {
        self.map_err(|error| format!("{error:?}"))
    }
}

/// Waits until something is so.
pub fn wait_until<T: Outcome>(what: &str, mut look: impl FnMut() -> T) -> T::Value {
    let began = Instant::now();
    loop {
        match look().value() {
            Ok(value) => return value,
            Err(instead) => {
                assert!(began.elapsed() < DEADLINE, "waited in vain for {what}: {instead}");
            }
        }
        // Between two looks at another process.
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A `genii up` that runs.
pub struct Running {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Running {
    pub fn new(mut child: Child) -> Self {
        let (said, lines) = channel();
        follow(child.stdout.take().unwrap(), said.clone());
        follow(child.stderr.take().unwrap(), said);
        Self { child, lines, seen: Vec::new() }
    }

    /// Waits for a line that contains a text. Lines that were seen before count too.
    pub fn wait_for(&mut self, text: &str) -> String {
        self.wait_for_any(&[text])
    }

    fn wait_for_any(&mut self, texts: &[&str]) -> String {
        let is_one = |line: &&String| texts.iter().any(|text| line.contains(text));
        if let Some(line) = self.seen.iter().find(is_one) {
            return line.clone();
        }
        let until = Instant::now() + DEADLINE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if is_one(&&line) {
                        return line;
                    }
                }
                Err(_) => panic!("waited in vain for {texts:?} in:\n{}", self.seen.join("\n")),
            }
        }
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// The memory that it holds, in bytes.
    pub fn resident(&self) -> u64 {
        let file = format!("/proc/{}/smaps_rollup", self.pid().as_raw_nonzero());
        let text = std::fs::read_to_string(file).unwrap();
        let line = text.lines().find(|line| line.starts_with("Rss:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }

    /// Waits until it ends; its exit code, and everything that it said.
    pub fn end(&mut self) -> (Option<i32>, String) {
        let status = wait(&mut self.child);
        while let Ok(line) = self.lines.recv_timeout(DEADLINE) {
            self.seen.push(line);
        }
        (status.code(), self.seen.join("\n"))
    }

    /// Waits until its start is over, however that went.
    pub fn until_up(&mut self) {
        self.wait_for_any(&["agents are ready after", "is up, and hosts no agents yet"]);
    }

    /// Asks it to stop, and waits until it has, in good order: what is asked to stop while it starts has
    /// been interrupted, and says so.
    pub fn stop(mut self) -> String {
        self.until_up();
        self.signal(Signal::TERM);
        let (code, said) = self.end();
        assert_eq!(code, Some(0), "{said}");
        said
    }
}

fn follow(from: impl Read + Send + 'static, said: Sender<String>) {
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            if said.send(line).is_err() {
                return;
            }
        }
    });
}

fn wait(child: &mut Child) -> ExitStatus {
    wait_until("genii to end", || child.try_wait().unwrap())
}

/// Waits until a command has ended.
pub fn finish(mut child: Child) -> Said {
    let read = |mut from: Box<dyn Read + Send>| {
        std::thread::spawn(move || {
            let mut text = String::new();
            from.read_to_string(&mut text).unwrap();
            text
        })
    };
    let out = read(Box::new(child.stdout.take().unwrap()));
    let err = read(Box::new(child.stderr.take().unwrap()));
    let status = wait(&mut child);
    let (out, err) = (out.join().unwrap(), err.join().unwrap());
    Said { code: status.code().unwrap_or(-1), out, err }
}

/// Says that a test cannot be made here, what is missing, and how to get it. It is written past what
/// is kept of a test that passes, so that whoever runs all of them sees it.
pub fn skipped(test: &str, missing: &str, remedy: &str) {
    let line = format!("\nSKIPPED {test}: {missing}. To have it, {remedy}.\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}
