//! Crash reports: why a child crashed, what it was doing, and what it took down with it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

use crate::exit::Failure;
use crate::spec::Key;

/// How many reports are kept of one child.
pub const REPORTS_PER_CHILD: usize = 8;

/// Of how many children reports are kept; of the child whose last crash is oldest they go first.
pub const CHILDREN_WITH_REPORTS: usize = 1_000;

/// One crash.
#[derive(Debug, Clone)]
pub struct CrashReport {
    /// Who crashed.
    pub key: Key,
    /// Which life of it.
    pub incarnation: u64,
    /// When, by this machine's clock.
    pub at: SystemTime,
    /// How long it had been ready; `None` if it never was.
    pub uptime: Option<Duration>,
    /// Why.
    pub failure: Arc<Failure>,
    /// Whom its supervisor's strategy took down with it.
    pub took_down: Vec<Key>,
}

/// The last crash reports of every child of a tree.
#[derive(Default)]
pub struct Crashes {
    reports: Mutex<HashMap<Key, VecDeque<Arc<CrashReport>>>>,
}

impl Crashes {
    /// The reports of one child, oldest first.
    pub fn of(&self, key: &Key) -> Vec<Arc<CrashReport>> {
        self.reports.lock().get(key).map(|kept| kept.iter().cloned().collect()).unwrap_or_default()
    }

    /// The last report of one child.
    pub fn last(&self, key: &Key) -> Option<Arc<CrashReport>> {
        self.reports.lock().get(key).and_then(|kept| kept.back().cloned())
    }

    pub(crate) fn add(&self, report: CrashReport) {
        let mut reports = self.reports.lock();
        if !reports.contains_key(&report.key) && reports.len() >= CHILDREN_WITH_REPORTS {
            let stalest =
                reports.iter().min_by_key(|(_, kept)| kept.back().map(|report| report.at));
            if let Some(key) = stalest.map(|(key, _)| key.clone()) {
                reports.remove(&key);
            }
        }
        let kept = reports.entry(report.key.clone()).or_default();
        if kept.len() == REPORTS_PER_CHILD {
            kept.pop_front();
        }
        kept.push_back(Arc::new(report));
    }
}
