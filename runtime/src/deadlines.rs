//! Deadlines for asks: thousands of them at a time, nearly all of which never pass.
//!
//! A timer of tokio's for each ask would cost more than the ask itself. So waiting asks are kept in
//! a few slabs, each behind a lock of its own, and one task looks through them when the earliest
//! deadline has passed. Entering and leaving is a push and a pop.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use slab::Slab;
use tokio::sync::Notify;
use tokio::time::Instant;

/// How many slabs there are. More than there are cores, so that threads seldom meet.
const SHARDS: usize = 32;

/// A deadline passes at most this late.
const GRANULARITY: Duration = Duration::from_millis(2);

/// All deadlines of a node.
pub(crate) struct Deadlines {
    shards: Box<[Mutex<Slab<Wait>>]>,
    began: Instant,
    /// The earliest deadline, in nanoseconds since `began`; `u64::MAX` if there is none.
    earliest: AtomicU64,
    /// There is an earlier deadline than before.
    earlier: Notify,
}

struct Wait {
    at: u64,
    waker: Option<Waker>,
    passed: bool,
}

impl Deadlines {
    pub(crate) fn new() -> Arc<Self> {
        let shards = (0..SHARDS).map(|_| Mutex::new(Slab::new())).collect();
        Arc::new(Self {
            shards,
            began: Instant::now(),
            earliest: AtomicU64::new(u64::MAX),
            earlier: Notify::new(),
        })
    }

    /// Wakes those whose deadline has passed, as long as the node lives.
    pub(crate) async fn watch(self: Arc<Self>) {
        loop {
            let earliest = self.earliest.load(Ordering::SeqCst);
            let due = self.began + Duration::from_nanos(earliest) + GRANULARITY;
            tokio::select! {
                biased;
                () = self.earlier.notified() => continue,
                () = tokio::time::sleep_until(due), if earliest != u64::MAX => {}
            }
            self.sweep();
        }
    }

    fn sweep(&self) {
        let now = self.nanos(Instant::now());
        self.earliest.store(u64::MAX, Ordering::SeqCst);
        let mut next = u64::MAX;
        for shard in &self.shards {
            for (_, wait) in shard.lock().iter_mut().filter(|(_, wait)| !wait.passed) {
                if wait.at > now {
                    next = next.min(wait.at);
                    continue;
                }
                wait.passed = true;
                if let Some(waker) = wait.waker.take() {
                    waker.wake();
                }
            }
        }
        self.earliest.fetch_min(next, Ordering::SeqCst);
    }

    fn nanos(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.began).as_nanos().try_into().unwrap_or(u64::MAX - 1)
    }

    /// Waits for `future` until `at`. Nothing is entered if the future is ready at once.
    pub(crate) fn before<F: Future>(&self, at: Instant, future: F) -> Before<'_, F> {
        Before { deadlines: self, at, entry: None, future }
    }

    fn enter(&self, at: Instant, waker: &Waker) -> Entry<'_> {
        let at = self.nanos(at);
        let shard = &self.shards[shard_of_this_thread()];
        let wait = Wait { at, waker: Some(waker.clone()), passed: false };
        let key = shard.lock().insert(wait);
        if at < self.earliest.load(Ordering::Relaxed)
            && at < self.earliest.fetch_min(at, Ordering::SeqCst)
        {
            self.earlier.notify_one();
        }
        Entry { shard, key }
    }
}

/// A deadline that is waited for; leaves when dropped.
struct Entry<'a> {
    shard: &'a Mutex<Slab<Wait>>,
    key: usize,
}

impl Entry<'_> {
    /// Whether it has passed; if not, whom to wake when it has.
    fn poll(&self, waker: &Waker) -> bool {
        let mut shard = self.shard.lock();
        let wait = &mut shard[self.key];
        match &mut wait.waker {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        wait.passed
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.shard.lock().remove(self.key);
    }
}

/// A future with a deadline.
pub(crate) struct Before<'a, F> {
    deadlines: &'a Deadlines,
    at: Instant,
    entry: Option<Entry<'a>>,
    future: F,
}

/// The deadline has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Late;

impl<F: Future + Unpin> Future for Before<'_, F> {
    type Output = Result<F::Output, Late>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Poll::Ready(output) = Pin::new(&mut self.future).poll(context) {
            return Poll::Ready(Ok(output));
        }
        match &self.entry {
            None => self.entry = Some(self.deadlines.enter(self.at, context.waker())),
            Some(entry) if entry.poll(context.waker()) => return Poll::Ready(Err(Late)),
            Some(_) => {}
        }
        Poll::Pending
    }
}

/// Threads that run at the same time should use different slabs. Where a thread keeps its data is
/// as good a choice as any, and needs no counter.
fn shard_of_this_thread() -> usize {
    thread_local!(static SHARD: Cell<usize> = const { Cell::new(usize::MAX) });
    SHARD.with(|shard| {
        if shard.get() == usize::MAX {
            let place = std::ptr::from_ref(shard) as usize;
            shard.set((place >> 12 ^ place >> 20) % SHARDS);
        }
        shard.get()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;

    #[tokio::test(start_paused = true)]
    async fn each_deadline_passes_in_its_time() {
        let deadlines = Deadlines::new();
        let watch = tokio::spawn(deadlines.clone().watch());
        let began = Instant::now();
        let mut waits = tokio::task::JoinSet::new();
        for millis in [500_u64, 20, 1_000, 100, 20] {
            let deadlines = deadlines.clone();
            waits.spawn(async move {
                let at = began + Duration::from_millis(millis);
                let late = deadlines.before(at, Box::pin(pending::<()>())).await;
                (millis, late, began.elapsed())
            });
        }
        while let Some(done) = waits.join_next().await {
            let (millis, late, took) = done.unwrap();
            assert_eq!(late, Err(Late));
            let expected = Duration::from_millis(millis);
            assert!(
                took >= expected && took <= expected + 2 * GRANULARITY,
                "{millis} took {took:?}"
            );
        }
        assert!(deadlines.shards.iter().all(|shard| shard.lock().is_empty()));
        watch.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_done_in_time_leaves_nothing_behind() {
        let deadlines = Deadlines::new();
        let at = Instant::now() + Duration::from_secs(1);
        let sleep = Box::pin(tokio::time::sleep(Duration::from_millis(10)));
        assert_eq!(deadlines.before(at, sleep).await, Ok(()));
        assert_eq!(deadlines.before(at, std::future::ready(7)).await, Ok(7));
        drop(deadlines.before(at, Box::pin(pending::<()>())));
        assert!(deadlines.shards.iter().all(|shard| shard.lock().is_empty()));
    }
}
