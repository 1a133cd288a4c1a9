//! A bounded queue that never lets who puts in wait: when it is full the oldest goes, and who takes
//! out is told how many went.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// The queue. Many may put in, and one takes out.
pub(crate) struct Ring<T> {
    state: Mutex<State<T>>,
    capacity: usize,
    /// How many bytes may wait; one thing that is larger may wait alone.
    len_max: usize,
    /// How many bytes may wait in this ring and others together.
    budget: Option<Arc<Budget>>,
    /// Wakes who takes out.
    filled: Notify,
}

/// How many bytes may wait in several rings together, perhaps within what may wait in still more.
pub(crate) struct Budget {
    used: AtomicUsize,
    max: usize,
    within: Option<Arc<Budget>>,
}

impl Budget {
    pub(crate) fn new(max: usize, within: Option<Arc<Self>>) -> Self {
        Self { used: AtomicUsize::new(0), max, within }
    }

    /// Takes so much, if it is there.
    fn take(&self, len: usize) -> bool {
        let and_len = |used: usize| used.checked_add(len).filter(|used| *used <= self.max);
        let taken = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, and_len);
        let is_there = taken.is_ok();
        if is_there && self.within.as_ref().is_some_and(|within| !within.take(len)) {
            self.used.fetch_sub(len, Ordering::Relaxed);
            return false;
        }
        is_there
    }

    fn give(&self, len: usize) {
        self.used.fetch_sub(len, Ordering::Relaxed);
        if let Some(within) = &self.within {
            within.give(len);
        }
    }
}

struct State<T> {
    /// What waits, each with its length in bytes.
    waits: VecDeque<(T, usize)>,
    len: usize,
    /// How many went, ever.
    lost: u64,
    /// How many of those have not been told.
    untold: u64,
    is_closed: bool,
}

/// What comes out of a ring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Taken<T> {
    /// Something that was put in.
    One(T),
    /// So many went, because nobody took them in time. They were before what comes next.
    Lost(u64),
}

impl<T> Ring<T> {
    /// A ring for so many things, and so many bytes.
    pub(crate) fn new(capacity: usize, len_max: usize) -> Self {
        let state = State { waits: VecDeque::new(), len: 0, lost: 0, untold: 0, is_closed: false };
        Self { state: Mutex::new(state), capacity, len_max, budget: None, filled: Notify::new() }
    }

    /// The same, for no more bytes than others that share a budget have left.
    pub(crate) fn within(mut self, budget: Option<Arc<Budget>>) -> Self {
        self.budget = budget;
        self
    }

    /// Puts something of so many bytes in, and says how many went for it. Where others have left no
    /// room for it, it goes itself.
    pub(crate) fn put(&self, one: T, len: usize) -> u64 {
        let mut state = self.state.lock();
        if state.is_closed {
            return 0;
        }
        let mut lost = 0;
        let is_full =
            |state: &State<T>| state.waits.len() >= self.capacity || state.len + len > self.len_max;
        while is_full(&state) && self.pop(&mut state).is_some() {
            lost += 1;
        }
        let take = || self.budget.as_ref().is_none_or(|budget| budget.take(len));
        let mut has_room = take();
        while !has_room && self.pop(&mut state).is_some() {
            lost += 1;
            has_room = take();
        }
        if has_room {
            state.len += len;
            state.waits.push_back((one, len));
        } else {
            lost += 1;
        }
        state.lost += lost;
        state.untold += lost;
        drop(state);
        self.filled.notify_one();
        lost
    }

    /// Takes the oldest out, and what room it had.
    fn pop(&self, state: &mut State<T>) -> Option<T> {
        let (one, len) = state.waits.pop_front()?;
        state.len -= len;
        if let Some(budget) = &self.budget {
            budget.give(len);
        }
        Some(one)
    }

    /// Takes the next, as soon as there is one. `None` when the ring is closed and empty.
    pub(crate) async fn take(&self) -> Option<Taken<T>> {
        loop {
            // A permit is kept for who comes to wait after it was filled.
            let filled = self.filled.notified();
            if let Some(taken) = self.try_take() {
                return Some(taken);
            }
            if self.state.lock().is_closed {
                return self.try_take();
            }
            filled.await;
        }
    }

    /// Takes the next, if there is one now.
    pub(crate) fn try_take(&self) -> Option<Taken<T>> {
        let mut state = self.state.lock();
        if state.untold > 0 {
            return Some(Taken::Lost(std::mem::take(&mut state.untold)));
        }
        self.pop(&mut state).map(Taken::One)
    }

    /// How many went, ever.
    pub(crate) fn lost(&self) -> u64 {
        self.state.lock().lost
    }

    /// Nothing more comes.
    pub(crate) fn close(&self) {
        self.state.lock().is_closed = true;
        self.filled.notify_one();
    }
}

impl<T> Drop for Ring<T> {
    fn drop(&mut self) {
        let len = self.state.get_mut().len;
        if let Some(budget) = &self.budget {
            budget.give(len);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_oldest_goes_and_that_is_told_first() {
        let ring = Ring::new(3, 1_000);
        let lost: u64 = (0..5).map(|number| ring.put(number, 1)).sum();
        assert_eq!(lost, 2);
        assert_eq!(ring.take().await, Some(Taken::Lost(2)));
        for number in 2..5 {
            assert_eq!(ring.take().await, Some(Taken::One(number)));
        }
        assert_eq!(ring.try_take(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_large_takes_the_place_of_much() {
        let ring = Ring::new(100, 10);
        for number in 0..5 {
            assert_eq!(ring.put(number, 2), 0);
        }
        assert_eq!(ring.put(5, 3), 2);
        assert_eq!(ring.put(6, 999), 4);
        assert_eq!(ring.take().await, Some(Taken::Lost(6)));
        assert_eq!(ring.take().await, Some(Taken::One(6)));
    }

    #[test]
    fn rings_that_share_a_budget_have_no_more_together() {
        let all = Arc::new(Budget::new(15, None));
        let (one, other) = (Budget::new(10, Some(all.clone())), Budget::new(10, Some(all.clone())));
        let (one, other) = (Arc::new(one), Arc::new(other));
        let ring = |budget: &Arc<Budget>| Ring::new(100, 100).within(Some(budget.clone()));
        let (first, second, third) = (ring(&one), ring(&one), ring(&other));
        assert_eq!((first.put(1, 6), second.put(2, 4)), (0, 0));
        // The budget of the two is used up: one's own oldest go, if that helps.
        assert_eq!(second.put(3, 4), 1);
        assert_eq!(second.put(4, 7), 2);
        assert_eq!(second.try_take(), Some(Taken::Lost(3)));
        // And so is, nearly, that of all.
        assert_eq!((third.put(5, 9), third.put(6, 2), third.put(7, 8)), (0, 1, 1));
        assert_eq!(first.try_take(), Some(Taken::One(1)));
        assert_eq!(second.put(8, 7), 0);
        drop((first, second, third));
        assert!(all.take(15), "who is gone leaves nothing behind");
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_is_woken_and_hears_of_the_end() {
        let ring = Arc::new(Ring::new(3, 1_000));
        let waiting = tokio::spawn({
            let ring = ring.clone();
            async move { (ring.take().await, ring.take().await, ring.take().await) }
        });
        tokio::task::yield_now().await;
        ring.put(1, 1);
        ring.put(2, 1);
        ring.close();
        ring.put(3, 1);
        assert_eq!(waiting.await.unwrap(), (Some(Taken::One(1)), Some(Taken::One(2)), None));
    }
}
