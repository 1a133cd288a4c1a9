//! Who does upkeep when nobody calls for it, and when it is tried again.
//!
//! | after a step | then |
//! |---|---|
//! | that says there is more | the next one |
//! | that says there is none | it rests until it is called; a call during the step is heard |
//! | that failed | it waits, longer each time, and tries again; when it is called, a second after that at the earliest |

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use super::{Inner, Memories, MemoriesError};
use crate::store::StoreError;

/// How long it waits after a failure, before it tries again. After each further one twice as long.
const RETRY_FIRST: Duration = Duration::from_millis(if cfg!(test) { 50 } else { 5_000 });

/// How soon after a failure a call is heard at all: whoever is told much calls with each of it.
const CALLED_AGAIN_AFTER: Duration = Duration::from_millis(if cfg!(test) { 5 } else { 1_000 });

/// How long it waits at most.
const RETRY_MAX: Duration = Duration::from_secs(5 * 60);

/// Who does upkeep when nobody calls for it.
#[derive(Default)]
pub(super) struct Worker {
    is_working: AtomicBool,
    /// Somebody has called for it since its last step began.
    is_called: AtomicBool,
    /// How many of its steps have failed, one after the other.
    failures: AtomicU32,
    /// When the last one failed, as long as none has gone well since.
    failed: Mutex<Option<Instant>>,
    is_stopped: watch::Sender<bool>,
    /// Much waits while the worker is at work already, or part of its work has ended.
    pub(super) has_news: Notify,
    /// How many wait to purge.
    purges: watch::Sender<usize>,
    /// There is one at a time, be it at work or waiting to try again.
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Worker {
    /// Ends it, at its next pause.
    pub(super) async fn stop(&self) {
        if let Some(task) = self.abandon() {
            // Aborted, or over before; either is well.
            let _ended = task.await;
        }
    }

    /// Waits until it is stopped.
    pub(super) async fn stopped(&self) {
        let mut is_stopped = self.is_stopped.subscribe();
        // It is not gone before: whoever waits has it.
        let _is_stopped = is_stopped.wait_for(|is_stopped| *is_stopped).await;
    }

    pub(super) fn is_stopped(&self) -> bool {
        *self.is_stopped.borrow()
    }

    /// As [`Worker::stop`], and waits for nothing. Its task, if there is one.
    fn abandon(&self) -> Option<JoinHandle<()>> {
        self.is_stopped.send_replace(true);
        self.task.lock().take().inspect(JoinHandle::abort)
    }

    /// Tells whoever tends that somebody waits to purge, until what this gives is dropped.
    pub(super) fn purging(&self) -> Purging<'_> {
        self.purges.send_modify(|purges| *purges += 1);
        Purging(&self.purges)
    }

    /// Waits until somebody waits to purge.
    pub(super) async fn purge_waits(&self) {
        let mut purges = self.purges.subscribe();
        // It is not gone before: whoever waits has it.
        let _purges = purges.wait_for(|purges| *purges > 0).await;
    }

    /// Begins to work; whether it was not at work already.
    fn begin(&self) -> bool {
        !self.is_working.swap(true, Ordering::SeqCst)
    }

    /// Whether there is another step to be taken, once it is time for that.
    async fn goes_on(&self, tended: Result<bool, MemoriesError>) -> bool {
        match tended {
            Ok(has_more) => {
                self.failures.store(0, Ordering::SeqCst);
                *self.failed.lock() = None;
                has_more || self.is_called_again()
            }
            Err(error) => {
                let wait = retry_wait(self.failures.fetch_add(1, Ordering::SeqCst));
                *self.failed.lock() = Some(Instant::now());
                let error = without_words(&error);
                tracing::warn!(error, ?wait, "the upkeep of memories will be tried again");
                if self.is_called_again() {
                    // Whoever called did not know.
                    tokio::time::sleep(CALLED_AGAIN_AFTER).await;
                    return true;
                }
                // Whoever calls meanwhile puts another in its place.
                tokio::time::sleep(wait).await;
                self.begin()
            }
        }
    }

    /// Ends its work, unless somebody called who still found it at work, and so went away again.
    fn is_called_again(&self) -> bool {
        self.is_working.store(false, Ordering::SeqCst);
        self.is_called.load(Ordering::SeqCst) && self.begin()
    }
}

/// What failed, without the place of damage: that may be a word that was said.
pub(super) fn without_words(error: &MemoriesError) -> String {
    match error {
        MemoriesError::Store(StoreError::Damaged { .. }) => "the store is damaged".to_owned(),
        error => error.to_string(),
    }
}

/// How long it waits after so many failures before the last one.
fn retry_wait(failures: u32) -> Duration {
    RETRY_FIRST.saturating_mul(1 << failures.min(16)).min(RETRY_MAX)
}

/// Somebody who waits to purge.
pub(super) struct Purging<'a>(&'a watch::Sender<usize>);

impl Drop for Purging<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|purges| *purges -= 1);
    }
}

/// Held by all who use memories. When the last of them goes without closing them, as after a panic,
/// their upkeep ends: it holds their store, which is to be opened again.
pub(super) struct Lease(pub(super) Arc<Worker>);

impl Drop for Lease {
    fn drop(&mut self) {
        drop(self.0.abandon());
    }
}

impl Memories {
    /// Has upkeep done if much waits for it.
    pub(super) fn tend_if_due(&self) {
        if self.0.is_due() {
            self.0.worker.has_news.notify_one();
            self.tend_aside();
        }
    }

    /// Has upkeep done by the worker. It works on as long as there is something to do, and holds
    /// the memories no longer than a step; while it waits to try again, it does not.
    pub(super) fn tend_aside(&self) {
        let worker = &self.0.worker;
        let mut task = worker.task.lock();
        worker.is_called.store(true, Ordering::SeqCst);
        let failed = *worker.failed.lock();
        let has_just_failed = failed.is_some_and(|at| at.elapsed() < CALLED_AGAIN_AFTER);
        if worker.is_stopped() || has_just_failed || !worker.begin() {
            return;
        }
        // The last one is over, or waits to try again, which the next one does now. It cannot be at work, for
        // this one is.
        if let Some(last) = task.take() {
            last.abort();
        }
        *task = Some(tokio::spawn(work(Arc::downgrade(&self.0), Arc::clone(worker))));
    }
}

/// A step; if it panics, another may be begun.
struct Step<'a>(&'a Worker);

impl Drop for Step<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.is_working.store(false, Ordering::SeqCst);
        }
    }
}

async fn work(memories: Weak<Inner>, worker: Arc<Worker>) {
    let _step = Step(&worker);
    while let Some(held) = memories.upgrade() {
        worker.is_called.store(false, Ordering::SeqCst);
        let tended = held.tend().await;
        // While it waits, it keeps nobody from the store.
        drop(held);
        if !worker.goes_on(tended).await {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_calls_during_the_last_step_is_heard() {
        let worker = Worker::default();
        assert!(worker.begin());
        worker.is_called.store(true, Ordering::SeqCst);
        assert!(!worker.begin(), "it is at work, so who called goes away");
        assert!(worker.goes_on(Ok(false)).await);
        worker.is_called.store(false, Ordering::SeqCst);
        assert!(worker.goes_on(Ok(true)).await);
        assert!(!worker.goes_on(Ok(false)).await);
        assert!(worker.begin(), "it rests, and can be called");
    }

    #[test]
    fn it_waits_longer_after_each_failure_and_not_for_ever() {
        for (failures, times) in [(0, 1), (1, 2), (2, 4), (5, 32)] {
            assert_eq!(retry_wait(failures), RETRY_FIRST * times, "after {failures}");
        }
        assert_eq!([retry_wait(16), retry_wait(u32::MAX)], [RETRY_MAX; 2]);
    }

    #[tokio::test]
    async fn a_purge_waits_until_it_is_dropped() {
        let worker = Worker::default();
        let waits = || tokio::time::timeout(Duration::ZERO, worker.purge_waits());
        assert!(waits().await.is_err());
        let (one, other) = (worker.purging(), worker.purging());
        drop(one);
        assert!(waits().await.is_ok());
        drop(other);
        assert!(waits().await.is_err());
    }
}
