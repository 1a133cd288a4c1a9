//! A bounded queue that never lets who puts in wait: when it is full the oldest goes, and who takes
//! out is told how many went.

use std::collections::VecDeque;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// The queue. Many may put in, and one takes out.
pub(crate) struct Ring<T> {
    state: Mutex<State<T>>,
    capacity: usize,
    /// How many bytes may wait; one thing that is larger may wait alone.
    len_max: usize,
    /// Wakes who takes out.
    filled: Notify,
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
        Self { state: Mutex::new(state), capacity, len_max, filled: Notify::new() }
    }

    /// Puts something of so many bytes in, and says how many went for it.
    pub(crate) fn put(&self, one: T, len: usize) -> u64 {
        let mut state = self.state.lock();
        if state.is_closed {
            return 0;
        }
        let mut lost = 0;
        while state.waits.len() >= self.capacity || state.len + len > self.len_max {
            let Some((_, len)) = state.waits.pop_front() else { break };
            state.len -= len;
            lost += 1;
        }
        state.lost += lost;
        state.untold += lost;
        state.len += len;
        state.waits.push_back((one, len));
        drop(state);
        self.filled.notify_one();
        lost
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
        let (one, len) = state.waits.pop_front()?;
        state.len -= len;
        Some(Taken::One(one))
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

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
