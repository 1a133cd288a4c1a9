//! Places for those who ask something that takes a while: so many at a time, and so many more who wait for one
//! of them. Who waits does so beside the mailbox, so that nobody else waits with them.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// So many places, and so many who may wait.
pub(super) struct Places {
    at_a_time: Arc<Semaphore>,
    in_all: Arc<Semaphore>,
}

/// Places for those who talk, one after the other: for so many who ask, and for so many more who are not
/// waited for. Who asks would wait behind all of them, so all count.
pub(super) struct TalkPlaces {
    all: Arc<Semaphore>,
    max: usize,
    asking_max: usize,
}

/// Somebody who has asked, and has a place or waits for one.
pub(super) struct Waiting {
    at_a_time: Arc<Semaphore>,
    asked: OwnedSemaphorePermit,
}

/// Held as long as somebody is answered.
pub(super) struct Place {
    _one_at_a_time: OwnedSemaphorePermit,
    _asked: OwnedSemaphorePermit,
}

impl Places {
    pub(super) fn new(at_a_time: usize, waiting: usize) -> Self {
        let places = |count| Arc::new(Semaphore::new(count));
        Self { at_a_time: places(at_a_time), in_all: places(at_a_time + waiting) }
    }

    /// Lets somebody ask. None if too many wait already.
    pub(super) fn ask(&self) -> Option<Waiting> {
        let asked = self.in_all.clone().try_acquire_owned().ok()?;
        Some(Waiting { at_a_time: self.at_a_time.clone(), asked })
    }
}

impl TalkPlaces {
    pub(super) fn new(asking_max: usize, told_max: usize) -> Self {
        let max = asking_max + told_max;
        Self { all: Arc::new(Semaphore::new(max)), max, asking_max }
    }

    /// A place for somebody who asks. None if too many are before them.
    pub(super) fn for_asker(&self) -> Option<OwnedSemaphorePermit> {
        if self.taken() >= self.asking_max {
            return None;
        }
        self.for_told()
    }

    /// A place for what is told, which may wait for longer.
    pub(super) fn for_told(&self) -> Option<OwnedSemaphorePermit> {
        self.all.clone().try_acquire_owned().ok()
    }

    /// How many places are taken.
    pub(super) fn taken(&self) -> usize {
        self.max - self.all.available_permits()
    }
}

impl Waiting {
    /// Waits for a place. The places are never closed, so there always comes one.
    pub(super) async fn place(self) -> Option<Place> {
        let Self { at_a_time, asked } = self;
        let one = at_a_time.acquire_owned().await.ok()?;
        Some(Place { _one_at_a_time: one, _asked: asked })
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn who_asks_waits_behind_few_also_of_what_was_told() {
        let talks = TalkPlaces::new(2, 3);
        let asking = talks.for_asker();
        let mut told: Vec<_> = (0..4).map(|_| talks.for_told()).collect();
        assert!(asking.is_some() && told.iter().all(Option::is_some));
        assert!(talks.for_told().is_none() && talks.taken() == 5);
        drop(asking);
        assert!(talks.for_asker().is_none(), "four are before them");
        told.truncate(1);
        assert!(talks.for_asker().is_some());
    }

    #[test]
    fn who_finds_no_place_waits_and_who_finds_too_many_waiting_is_refused() {
        let places = Places::new(2, 1);
        let asked: Vec<Waiting> = std::iter::from_fn(|| places.ask()).take(9).collect();
        assert_eq!(asked.len(), 3, "two have a place, and one waits");
        let mut waiting: Vec<_> = asked.into_iter().map(|it| Box::pin(it.place())).collect();
        let come = waiting.iter_mut().map(|it| it.now_or_never().flatten());
        let mut come: Vec<Option<Place>> = come.collect();
        assert_eq!(come.iter().map(Option::is_some).collect::<Vec<_>>(), [true, true, false]);
        // Nothing waits here: who is refused is told so at once.
        assert!(places.ask().is_none());
        drop(come.swap_remove(0));
        let third = waiting.pop().and_then(FutureExt::now_or_never).flatten();
        assert!(third.is_some() && places.ask().is_some());
    }
}
