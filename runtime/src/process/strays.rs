//! Processes that an earlier genii left: where it and its keepers were killed together, nobody was
//! left to end what they kept. They are known by an environment variable.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, getpid, kill_process};

/// The environment variable that marks the processes of a house, with what tells it from others.
pub(crate) const MARK: &str = "GENII_KEPT_IN";

/// How long killed processes may take to go.
const PATIENCE: Duration = Duration::from_secs(5);

/// Kills what is left of the agents of a house that nobody runs any more, and says how many
/// processes that were. To be called by who holds the house.
pub fn sweep(mark: &std::ffi::OsStr) -> usize {
    let marked = [MARK.as_bytes(), b"=", mark.as_bytes()].concat();
    let mut swept = std::collections::BTreeSet::new();
    let deadline = Instant::now() + PATIENCE;
    // Again, since one that is about to be killed may start another.
    while Instant::now() < deadline {
        let strays = strays(&marked);
        if strays.is_empty() {
            break;
        }
        for pid in strays {
            let _has_ended = kill_process(pid, Signal::KILL);
            swept.insert(pid.as_raw_nonzero());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    swept.len()
}

/// Living processes with this entry in their environment, but for this one.
fn strays(marked: &[u8]) -> Vec<Pid> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter(|entry| has_entry(&entry.path(), marked))
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(Pid::from_raw)
        .filter(|pid| *pid != getpid())
        .collect()
}

/// Whether a process has an entry in its environment. One that has ended has none.
fn has_entry(process: &Path, entry: &[u8]) -> bool {
    let environ = std::fs::read(process.join("environ")).unwrap_or_default();
    environ.split(|byte| *byte == 0).any(|other| other == entry)
}
