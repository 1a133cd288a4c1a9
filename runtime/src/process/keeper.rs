//! The keeper: a small process between genii and the process of an agent.
//!
//! It exists so that nothing of an agent survives genii, whatever happens to either:
//!
//! - genii holds one end of a socket that is the keeper's standard input. When genii ends, also by
//!   `kill -9`, the socket closes, and the keeper kills everything it keeps.
//! - The keeper is a subreaper: whatever the agent's process leaves behind, also in a process group
//!   of its own, becomes the keeper's child, and is killed when the agent's process has ended.
//! - The agent's process is killed by the kernel when the keeper ends, also by `kill -9`.
//!
//! It is the same program, called with a word that nobody else uses, and runs before anything else
//! of genii does. It uses no threads but one that waits for the socket, and no async runtime.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{
    Pid, Resource, Rlimit, Signal, WaitOptions, getpid, getppid, kill_process, kill_process_group,
    set_child_subreaper, set_parent_process_death_signal, setrlimit, wait,
};

/// The word that makes this program a keeper.
pub const KEEP: &str = "keep-process";

/// The word with which a keeper makes this program set limits and become the agent's process.
const BECOME: &str = "become-process";

/// How long the keeper looks for what it has to kill before it gives up.
const SWEEP_PATIENCE: Duration = Duration::from_secs(5);

/// What genii tells the keeper: end politely.
pub(crate) const TERMINATE: &str = "terminate";

/// Runs as a keeper, or on the way to an agent's process, if that is what the arguments say.
/// Otherwise `None`: it is an ordinary call of the program.
pub fn run_if_asked() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    let word = arguments.next()?;
    let rest: Vec<OsString> = arguments.collect();
    match word.to_str()? {
        KEEP => Some(keep(&rest)),
        BECOME => Some(become_process(&rest)),
        _ => None,
    }
}

/// The keeper itself. Its arguments are limits, then the command.
fn keep(arguments: &[OsString]) -> ExitCode {
    let Ok(mut genii) = socket() else {
        eprintln!("this command is for genii's own use");
        return ExitCode::from(2);
    };
    // Where there are no subreapers, what an agent leaves behind is killed by its process group.
    let _only_on_linux = set_child_subreaper(Some(getpid()));
    let pid = match spawn(arguments) {
        Ok(child) => Pid::from_child(&child),
        Err(error) => {
            let _genii_has_ended = writeln!(genii, "failed {error}");
            return ExitCode::FAILURE;
        }
    };
    let told = writeln!(genii, "pid {}", pid.as_raw_nonzero());
    match told.and_then(|()| genii.try_clone()) {
        Ok(orders) => drop(std::thread::spawn(move || heed(orders, pid))),
        // Genii has ended already. What the process has started meanwhile is swept up below.
        Err(_) => kill_group(pid),
    }
    let status = wait_for(pid);
    kill_group(pid);
    sweep();
    let _genii_has_ended = writeln!(genii, "{status}");
    ExitCode::SUCCESS
}

/// The socket to genii, which is our standard input.
fn socket() -> std::io::Result<UnixStream> {
    let stdin = std::io::stdin().as_fd().try_clone_to_owned()?;
    let socket = UnixStream::from(stdin);
    socket.peer_addr()?;
    Ok(socket)
}

fn spawn(arguments: &[OsString]) -> std::io::Result<std::process::Child> {
    Command::new(std::env::current_exe()?)
        .arg(BECOME)
        .arg(std::process::id().to_string())
        .args(arguments)
        .stdin(Stdio::null())
        .process_group(0)
        .spawn()
}

/// Does what genii says, until genii has ended, or says nothing sensible any more; then kills.
fn heed(genii: UnixStream, pid: Pid) {
    for order in BufReader::new(genii).lines() {
        match order.as_deref() {
            Ok(TERMINATE) => drop(kill_process_group(pid, Signal::TERM)),
            _ => break,
        }
    }
    kill_group(pid);
}

/// Kills the process group of the agent's process.
fn kill_group(pid: Pid) {
    // What has ended already cannot be killed, and need not be.
    let _has_ended = kill_process_group(pid, Signal::KILL);
}

/// Waits until the agent's process has ended, and says how. Meanwhile it takes leave of whatever
/// else has become our child.
fn wait_for(pid: Pid) -> String {
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((ended, status))) if ended == pid => {
                return match (status.exit_status(), status.terminating_signal()) {
                    (Some(code), _) => format!("code {code}"),
                    (None, Some(signal)) => format!("signal {signal}"),
                    (None, None) => "failed it ended in no known way".to_owned(),
                };
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return format!("failed {error}"),
        }
    }
}

/// Kills whatever has become our child, until we have none.
fn sweep() {
    let deadline = Instant::now() + SWEEP_PATIENCE;
    while Instant::now() < deadline {
        for pid in children() {
            let _has_ended = kill_process(pid, Signal::KILL);
        }
        match wait(WaitOptions::NOHANG) {
            Ok(Some(_)) => {}
            Ok(None) => std::thread::sleep(Duration::from_millis(5)),
            // We have no children left.
            Err(_) => return,
        }
    }
}

/// Our children, by the process table.
fn children() -> Vec<Pid> {
    let me = getpid().as_raw_nonzero().get();
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let parent_is_me = |stat: String| {
        let fields = stat.rsplit(')').next().unwrap_or_default();
        fields.split_whitespace().nth(1).and_then(|parent| parent.parse().ok()) == Some(me)
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(parent_is_me))
        .filter_map(Pid::from_raw)
        .collect()
}

/// Sets limits, asks to die with the keeper, and becomes the agent's process.
fn become_process(arguments: &[OsString]) -> ExitCode {
    let [keeper, memory, cpu, files, program, rest @ ..] = arguments else {
        eprintln!("this command is for genii's own use");
        return ExitCode::from(2);
    };
    let _only_on_linux = set_parent_process_death_signal(Some(Signal::KILL));
    // If the keeper ended before that was said, nobody will send the signal.
    let parent = getppid().map(|parent| parent.as_raw_nonzero().to_string());
    if parent.as_deref() != keeper.to_str() {
        return ExitCode::FAILURE;
    }
    for (resource, limit) in
        [(Resource::As, memory), (Resource::Cpu, cpu), (Resource::Nofile, files)]
    {
        if let Some(limit) = limit.to_str().and_then(|limit| limit.parse().ok()) {
            let limit = Rlimit { current: Some(limit), maximum: Some(limit) };
            if let Err(error) = setrlimit(resource, limit) {
                eprintln!("genii: a resource limit cannot be set: {error}");
                return ExitCode::from(126);
            }
        }
    }
    let error = Command::new(program).args(rest).exec();
    eprintln!("genii: {} cannot be run: {error}", program.to_string_lossy());
    ExitCode::from(127)
}
