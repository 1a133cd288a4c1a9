//! Whether the process of a being is well: linked, awake, and not greedy; and whether the being has something
//! to do.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use genii_protocols::{Address, TimeSpan};
use genii_runtime::cluster::Cluster;
use genii_runtime::{Health, Mail, Node, Worker};
use parking_lot::Mutex;
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};
use tokio::time::Instant;

use super::annex::Annex;
use super::desk::AskWhetherAtWork;
use super::{ProcessLimits, tenant};

/// How often to look whether the link is there.
const LINK_LOOK: Duration = Duration::from_millis(250);

/// How often to ask whether the being has something to do, and how long to wait for that.
const WORK_LOOK: Duration = Duration::from_millis(250);

/// How often to ask the being how it is.
const ASK_EVERY: Duration = Duration::from_secs(5);

/// How many looks make a window of processor time.
const LOOKS_IN_WINDOW: u32 = 20;

/// The shortest wait between two looks at what it takes.
const FIGURES_LOOK_MIN: Duration = Duration::from_millis(500);

/// What is amiss with a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Amiss {
    /// The link to it is gone, for this reason where it is known.
    Lost(Option<String>),
    /// The being does not look up from its work.
    Silent(TimeSpan),
    /// It takes too much of a processor: so much, over such a time, where so much is allowed.
    Greedy { percent: u64, over: TimeSpan, allowed: u32 },
}

impl fmt::Display for Amiss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(None) => f.write_str("its process does not answer any more"),
            Self::Lost(Some(why)) => write!(f, "its process does not answer any more: {why}"),
            Self::Silent(span) => write!(
                f,
                "it has not looked up from its work for {span}, which `limits.answer_within` allows"
            ),
            Self::Greedy { percent, over, allowed } => write!(
                f,
                "its process took {percent} % of a core for {over}, and `limits.cpu_percent` allows \
                 {allowed} %"
            ),
        }
    }
}

/// What a process has taken.
#[derive(Debug, Clone, Copy)]
pub(super) struct Figures {
    /// Its memory that is in use, in bytes.
    pub(super) memory_bytes: u64,
    /// Its processor time so far.
    pub(super) cpu_time: Duration,
}

/// Looks after a process.
#[derive(Clone)]
pub(super) struct Watch {
    node: Node,
    cluster: Cluster,
    being: Address,
    desk: Mail,
    pid: i32,
    limits: ProcessLimits,
    seen: Arc<Mutex<Seen>>,
}

/// What was seen last.
#[derive(Default)]
struct Seen {
    health: Health,
    is_at_work: bool,
}

impl Watch {
    pub(super) fn new(annex: &Annex, pid: i32, limits: ProcessLimits) -> Self {
        let (node, cluster, being) = annex.ends();
        let desk = annex.desk();
        Self { node, cluster, being, desk, pid, limits, seen: Arc::default() }
    }

    /// How the being was when it was asked last.
    pub(super) fn health(&self) -> Health {
        self.seen.lock().health.clone()
    }

    /// What its process has taken; `None` if that cannot be seen. Reads a few files of the kernel alone, which
    /// no disk holds up.
    pub(super) fn figures(&self) -> Option<Figures> {
        look(None, self.pid).map(|(figures, _)| figures)
    }

    /// Whether the being had something to do at the last look.
    pub(super) fn is_at_work(&self) -> bool {
        self.seen.lock().is_at_work
    }

    /// Has its agent count as at work as long as the being is, for ever.
    pub(super) async fn keep_awake(&self, worker: &Worker) {
        let mut at_work = None;
        loop {
            tokio::time::sleep(WORK_LOOK).await;
            // If it does not answer, it is as it was.
            let asked = self.desk.ask_within(AskWhetherAtWork {}, WORK_LOOK).await;
            let Ok(is_at_work) = asked else { continue };
            self.seen.lock().is_at_work = is_at_work;
            at_work = is_at_work.then(|| at_work.take().or_else(|| worker.begin())).flatten();
        }
    }

    /// Waits until something is amiss.
    pub(super) async fn until_amiss(&self) -> Amiss {
        tokio::select! {
            amiss = self.until_lost() => amiss,
            amiss = self.until_silent() => amiss,
            amiss = self.until_greedy() => amiss,
        }
    }

    async fn until_lost(&self) -> Amiss {
        while self.cluster.is_connected(&tenant::name()) {
            tokio::time::sleep(LINK_LOOK).await;
        }
        let members = self.cluster.members().into_iter();
        Amiss::Lost(members.filter_map(|member| member.why).next())
    }

    async fn until_silent(&self) -> Amiss {
        let patience = self.limits.answer_within.0;
        loop {
            tokio::time::sleep(ASK_EVERY.min(patience)).await;
            let asked = Instant::now();
            match self.node.health(&self.being, patience).await {
                Ok(health) => self.seen.lock().health = health,
                // One that fails at once is one that ends.
                Err(_) if asked.elapsed() < patience => {}
                Err(_) => return Amiss::Silent(patience.into()),
            }
        }
    }

    async fn until_greedy(&self) -> Amiss {
        let window = self.limits.cpu_window.0;
        let mut looks = Looks::new(window, self.limits.cpu_percent);
        let mut system = None;
        loop {
            tokio::time::sleep((window / LOOKS_IN_WINDOW).max(FIGURES_LOOK_MIN)).await;
            let pid = self.pid;
            let looked = tokio::task::spawn_blocking(move || look(system, pid)).await;
            let Ok(Some((figures, again))) = looked else {
                system = None;
                continue;
            };
            system = Some(again);
            if let Some(amiss) = looks.add(Instant::now(), figures.cpu_time) {
                return amiss;
            }
        }
    }
}

/// Looks what a process has taken; `None` if that cannot be seen. Blocking.
fn look(system: Option<System>, pid: i32) -> Option<(Figures, System)> {
    let mut system = system.or_else(|| System::new().ok())?;
    let pid = Pid::from_u32(u32::try_from(pid).ok()?);
    let what = ProcessRefreshKind::nothing().with_cpu().with_memory();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), true, what);
    let process = system.process(pid)?;
    let cpu_time = Duration::from_millis(process.accumulated_cpu_time());
    Some((Figures { memory_bytes: process.memory(), cpu_time }, system))
}

/// Looks at the processor time of a process, over a window.
struct Looks {
    window: Duration,
    percent_max: u32,
    looks: VecDeque<(Instant, Duration)>,
}

impl Looks {
    fn new(window: Duration, percent_max: u32) -> Self {
        Self { window, percent_max, looks: VecDeque::new() }
    }

    /// One more look; says when too much was taken over a whole window.
    fn add(&mut self, at: Instant, taken: Duration) -> Option<Amiss> {
        self.looks.push_back((at, taken));
        // The youngest that is a window old, and those after it.
        while self.looks.get(1).is_some_and(|(since, _)| at - *since >= self.window) {
            self.looks.pop_front();
        }
        let (since, before) = *self.looks.front()?;
        let (over, taken) = (at - since, taken.saturating_sub(before));
        if over < self.window {
            return None;
        }
        let percent = taken.as_millis() * 100 / over.as_millis().max(1);
        let percent = u64::try_from(percent).unwrap_or(u64::MAX);
        let allowed = self.percent_max;
        let over = TimeSpan::from_secs(over.as_secs());
        (percent > u64::from(allowed)).then_some(Amiss::Greedy { percent, over, allowed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks once a second at a process that takes so many milliseconds in each; after how many looks it
    /// is found greedy.
    fn found(takes: impl Fn(u64) -> u64) -> Option<u64> {
        let mut looks = Looks::new(Duration::from_secs(10), 90);
        let (began, mut taken) = (Instant::now(), Duration::ZERO);
        (0..100).find(|second| {
            let amiss = looks.add(began + Duration::from_secs(*second), taken);
            taken += Duration::from_millis(takes(*second));
            amiss.is_some()
        })
    }

    #[test]
    fn who_takes_too_much_over_a_whole_window_is_found_and_nobody_else() {
        assert_eq!(found(|_| 0), None);
        assert_eq!(found(|_| 900), None);
        assert_eq!(found(|_| 1_000), Some(10));
        // Much at once, and then nothing.
        assert_eq!(found(|second| if second < 4 { 2_000 } else { 0 }), None);
        let late = found(|second| if second < 50 { 0 } else { 1_000 });
        assert!(matches!(late, Some(59 | 60)), "{late:?}");
    }

    #[test]
    fn what_is_amiss_names_what_sets_the_limit() {
        let greedy = Amiss::Greedy { percent: 99, over: TimeSpan::from_secs(600), allowed: 90 };
        assert!(greedy.to_string().contains("limits.cpu_percent"), "{greedy}");
        let silent = Amiss::Silent(TimeSpan::from_secs(20));
        assert!(silent.to_string().contains("limits.answer_within"), "{silent}");
    }
}
