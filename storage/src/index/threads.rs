//! How many threads LanceDB computes with.
//!
//! It takes two fewer than the machine has cores, and at least one, and all searches of a process share these with
//! the upkeep of its indices. Where there is one, a search waits until upkeep has sorted the words of a
//! segment, or joined two; where there are two it need not, since upkeep does one such thing at a time. LanceDB looks up
//! how many once, in the environment, and what is there can't be changed by a running program without `unsafe` code. So
//! a program begins anew, as the same process
//! (docs/decisions/0078-a-search-has-a-thread-beside-upkeep.md).

use std::io;
use std::num::NonZero;
use std::thread::available_parallelism;

/// The variable of the environment by which LanceDB is told, and how many it needs: one for searches, and one for
/// upkeep.
pub const SETTING: (&str, &str) = ("LANCE_CPU_THREADS", "2");

/// By which it is told how many cores to leave alone; by itself, two.
const LEFT_ALONE: &str = "LANCE_IO_CORE_RESERVATION";

/// From how many cores on it has two threads by itself.
const CORES_ENOUGH: usize = 4;

/// Begins this program anew, with the same words, if LanceDB would have too few threads here and nothing is set about
/// them, or if what is set is nothing, at which LanceDB would panic. To be called by a program that keeps memories
/// before it has done anything: nothing of that would remain but the process.
///
/// # Errors
/// When it can't begin anew. It goes on as it is, and recalls take longer while an index grows.
pub fn have_enough() -> io::Result<()> {
    let set = |name| std::env::var_os(name);
    let cores = available_parallelism().map_or(1, NonZero::get);
    let wanted = (cores < CORES_ENOUGH && set(LEFT_ALONE).is_none()).then_some(SETTING.1);
    match set(SETTING.0) {
        Some(value) if value.is_empty() => begin_anew(wanted),
        None if wanted.is_some() => begin_anew(wanted),
        _ => Ok(()),
    }
}

/// With so many threads, or as many as LanceDB takes.
#[cfg(unix)]
fn begin_anew(threads: Option<&str>) -> io::Result<()> {
    use std::os::unix::process::CommandExt;

    let mut anew = std::process::Command::new(std::env::current_exe()?);
    let mut words = std::env::args_os();
    if let Some(name) = words.next() {
        anew.arg0(name);
    }
    match threads {
        Some(threads) => anew.env(SETTING.0, threads),
        None => anew.env_remove(SETTING.0),
    };
    Err(anew.args(words).exec())
}

#[cfg(not(unix))]
fn begin_anew(_threads: Option<&str>) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
