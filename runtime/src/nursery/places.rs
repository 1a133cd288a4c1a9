//! Places for those that are awake: so many at a time, given in the order in which they are asked for.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

/// After how many looks in vain that is told.
const LOOKS_TO_TELL: u32 = 500;

/// How often the one that makes room, for all that wait, looks whether somebody rests by now.
const ROOM_LOOK: Duration = Duration::from_millis(10);

pub(super) struct Places {
    free: Arc<Semaphore>,
    number: Mutex<Number>,
    /// How many wait for one.
    waiting: AtomicUsize,
    /// Held by the one of them that makes room.
    making_room: tokio::sync::Mutex<()>,
}

/// How many places there are.
struct Number {
    /// How many there may be.
    max: usize,
    /// How many are taken beyond that. They are gone when they are given back.
    surplus: usize,
}

impl Places {
    /// So many, and one at least.
    pub(super) fn new(max: usize) -> Self {
        let max = bounded(max);
        Self {
            free: Arc::new(Semaphore::new(max)),
            number: Mutex::new(Number { max, surplus: 0 }),
            waiting: AtomicUsize::new(0),
            making_room: tokio::sync::Mutex::default(),
        }
    }

    /// There are so many from now on, and one at least. Those that are taken beyond that stay with
    /// those who have them, and nobody has them next.
    pub(super) fn set_max(&self, max: usize) {
        let max = bounded(max);
        let mut number = self.number.lock();
        let before = number.max + number.surplus;
        number.max = max;
        number.surplus = match before.checked_sub(max) {
            Some(fewer) => fewer - self.free.forget_permits(fewer),
            None => {
                self.free.add_permits(max - before);
                0
            }
        };
    }

    /// How many are taken.
    pub(super) fn taken(&self) -> usize {
        let number = self.number.lock();
        (number.max + number.surplus).saturating_sub(self.free.available_permits())
    }

    /// How many are to be given back: for those that wait, and because there are too many.
    pub(super) fn wanted(&self) -> usize {
        self.waiting.load(Ordering::Relaxed) + self.number.lock().surplus
    }

    /// A place, when those have one that have asked before. As long as some wait, one of them makes
    /// room from time to time, for all; the others sleep.
    pub(super) async fn take(self: &Arc<Self>, make_room: impl Fn()) -> Place {
        if let Ok(permit) = self.free.clone().try_acquire_owned() {
            return self.place(Ok(permit));
        }
        let _waiting = Waiting::new(&self.waiting);
        let taking = self.free.clone().acquire_owned();
        tokio::pin!(taking);
        let _making_room = tokio::select! {
            // Asked for first, so that the order is that of coming.
            biased;
            taken = &mut taking => return self.place(taken),
            making_room = self.making_room.lock() => making_room,
        };
        let mut looks = 0_u32;
        loop {
            make_room();
            looks = looks.saturating_add(1);
            if looks == LOOKS_TO_TELL {
                let (waiting, awake) = (self.waiting.load(Ordering::Relaxed), self.taken());
                tracing::warn!(
                    waiting,
                    awake,
                    "none of those that are awake has come to rest for five seconds, and the others wait; \
                     `awake_max` says how many may be awake"
                );
            }
            tokio::select! {
                biased;
                taken = &mut taking => return self.place(taken),
                () = tokio::time::sleep(ROOM_LOOK) => {}
            }
        }
    }

    fn place(self: &Arc<Self>, permit: Result<OwnedSemaphorePermit, AcquireError>) -> Place {
        let permit = permit.expect("the places of a nursery are never closed");
        Place { permit: Some(permit), places: self.clone() }
    }
}

/// A number of places that there can be.
fn bounded(max: usize) -> usize {
    max.clamp(1, Semaphore::MAX_PERMITS)
}

/// A place. It is given back when this is dropped.
pub(super) struct Place {
    /// `None` once it has been given back.
    permit: Option<OwnedSemaphorePermit>,
    places: Arc<Places>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(permit) = self.permit.take() else { return };
        // Held until it is free, so that nobody counts it as neither taken nor free.
        let mut number = self.places.number.lock();
        match number.surplus.checked_sub(1) {
            Some(left) => {
                number.surplus = left;
                permit.forget();
            }
            None => drop(permit),
        }
    }
}

/// Counts one that waits for a place, also if it stops waiting half-way.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    /// The same, and counts how often it is looked at.
    fn counted<F: Future>(future: F, polls: Arc<AtomicUsize>) -> impl Future<Output = F::Output> {
        let mut future = Box::pin(future);
        poll_fn(move |context| {
            polls.fetch_add(1, Ordering::Relaxed);
            future.as_mut().poll(context)
        })
    }

    #[tokio::test(start_paused = true)]
    async fn of_many_that_wait_one_makes_room_and_the_others_sleep() {
        const MANY: usize = 1_000;
        let places = Arc::new(Places::new(1));
        let taken = places.take(|| ()).await;
        let (polls, looks) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let all: Vec<_> = (0..MANY)
            .map(|_| {
                let (places, looks) = (places.clone(), looks.clone());
                let look = move || {
                    looks.fetch_add(1, Ordering::Relaxed);
                };
                let taking = async move { drop(places.take(look).await) };
                tokio::spawn(counted(taking, polls.clone()))
            })
            .collect();
        tokio::time::sleep(ROOM_LOOK * 1_000).await;
        assert_eq!(places.wanted(), MANY);
        let (polls, looks) = (polls.load(Ordering::Relaxed), looks.load(Ordering::Relaxed));
        assert!((900..1_100).contains(&looks), "{looks}");
        assert!(polls < MANY + 1_100, "{polls}");
        drop(taken);
        for one in all {
            one.await.unwrap();
        }
        assert_eq!((places.wanted(), places.taken()), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn places_are_given_in_the_order_in_which_they_are_asked_for() {
        let places = Arc::new(Places::new(1));
        let taken = places.take(|| ()).await;
        let order: Arc<Mutex<Vec<usize>>> = Arc::default();
        let mut all = Vec::new();
        for number in 0..100 {
            let (places, order) = (places.clone(), order.clone());
            all.push(tokio::spawn(async move {
                let _place = places.take(|| ()).await;
                order.lock().push(number);
                tokio::time::sleep(ROOM_LOOK * 3).await;
            }));
        }
        tokio::time::sleep(ROOM_LOOK).await;
        drop(taken);
        for one in all {
            one.await.unwrap();
        }
        assert_eq!(*order.lock(), (0..100).collect::<Vec<_>>());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_taken_beyond_a_smaller_number_is_gone_when_it_is_given_back() {
        let places = Arc::new(Places::new(4));
        let mut taken = Vec::new();
        for _ in 0..3 {
            taken.push(places.take(|| ()).await);
        }
        places.set_max(1);
        assert_eq!((places.taken(), places.wanted()), (3, 2));
        let waits = tokio::spawn({
            let places = places.clone();
            async move { places.take(|| ()).await }
        });
        taken.truncate(1);
        tokio::time::sleep(ROOM_LOOK).await;
        assert_eq!((places.taken(), places.wanted()), (1, 1), "one waits, and none is too many");
        assert!(!waits.is_finished());
        taken.clear();
        let taken = waits.await.unwrap();
        assert_eq!((places.taken(), places.wanted()), (1, 0));
        places.set_max(0);
        assert_eq!(places.taken(), 1, "there is one at least");
        drop(taken);
        places.set_max(usize::MAX);
        assert_eq!((places.taken(), places.wanted()), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn more_places_go_first_to_those_that_are_too_many() {
        let places = Arc::new(Places::new(3));
        let mut taken = Vec::new();
        for _ in 0..3 {
            taken.push(places.take(|| ()).await);
        }
        places.set_max(1);
        places.set_max(2);
        assert_eq!((places.taken(), places.wanted()), (3, 1));
        places.set_max(4);
        assert_eq!((places.taken(), places.wanted()), (3, 0));
        let _fourth = places.take(|| ()).await;
        assert_eq!(places.taken(), 4);
    }
}
