//! Processes that nobody keeps: those of a keeper that was killed, and those that an earlier genii
//! left, where it and its keepers were killed together. They are known by environment variables.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, getpid, kill_process};

/// The environment variable that marks the processes of a house, with what tells it from others.
pub(crate) const MARK: &str = "GENII_KEPT_IN";

/// The environment variable that tells which keeper keeps a process.
pub(crate) const NUMBER: &str = "GENII_KEPT_AS";

/// How long it may take to end what one keeper kept.
const ONE_PATIENCE: Duration = Duration::from_secs(2);

/// How long keepers may take to clear up by themselves, as they do when their genii has gone. One
/// that is killed over it leaves what it has not come to.
const KEEPERS_PATIENCE: Duration = Duration::from_secs(6);

/// How long all of it may take.
const PATIENCE: Duration = Duration::from_secs(11);

/// Kills what is left of the agents of a house that nobody runs any more, and says how many
/// processes that were. To be called by who holds the house.
pub fn sweep(mark: &std::ffi::OsStr) -> usize {
    let marked = [MARK.as_bytes(), b"=", mark.as_bytes()].concat();
    let mut swept = std::collections::BTreeSet::new();
    let began = Instant::now();
    // Again, since one that is about to be killed may start another.
    while began.elapsed() < PATIENCE {
        let strays = strays(&marked);
        if strays.is_empty() {
            break;
        }
        let clears_up = strays.iter().any(|pid| is_keeper(*pid));
        let strays = if clears_up && began.elapsed() < KEEPERS_PATIENCE { vec![] } else { strays };
        for pid in strays {
            let _has_ended = kill_process(pid, Signal::KILL);
            swept.insert(pid.as_raw_nonzero());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    swept.len()
}

/// Kills what one keeper kept, which has been killed.
pub(super) fn sweep_one(number: &std::ffi::OsStr) {
    let marked = [NUMBER.as_bytes(), b"=", number.as_bytes()].concat();
    let began = Instant::now();
    while began.elapsed() < ONE_PATIENCE {
        let strays = strays(&marked);
        if strays.is_empty() {
            break;
        }
        for pid in strays {
            let _has_ended = kill_process(pid, Signal::KILL);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn is_keeper(pid: Pid) -> bool {
    let words = std::fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero()));
    let words = words.unwrap_or_default();
    words.split(|byte| *byte == 0).nth(1) == Some(super::keeper::KEEP.as_bytes())
}

/// This process and those it came from, which are not left by anybody.
fn ancestors() -> Vec<Pid> {
    let parent = |pid: &Pid| {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
        let parent = stat.rsplit(") ").next()?.split(' ').nth(1)?.parse().ok()?;
        Pid::from_raw(parent)
    };
    std::iter::successors(Some(getpid()), parent).collect()
}

/// Living processes with this entry in their environment, but for this one and its ancestors.
fn strays(marked: &[u8]) -> Vec<Pid> {
    let own = ancestors();
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter(|entry| has_entry(&entry.path(), marked))
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(Pid::from_raw)
        .filter(|pid| !own.contains(pid))
        .collect()
}

/// Whether a process has an entry in its environment. One that has ended has none.
fn has_entry(process: &Path, entry: &[u8]) -> bool {
    let environ = std::fs::read(process.join("environ")).unwrap_or_default();
    environ.split(|byte| *byte == 0).any(|other| other == entry)
}
