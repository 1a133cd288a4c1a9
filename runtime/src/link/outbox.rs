//! What waits to be sent on a lane.
//!
//! Whoever sends writes its frame after those that wait already, and the lane takes all of them at
//! once when it can send again. So frames travel in batches that are as large as the lane is busy,
//! with no timer, and with no task between the sender and the lane.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// How many bytes a lane takes at once, and so how long a frame may wait behind others.
const BATCH_MAX_LEN: usize = 128 << 10;

/// A lane that gathers waits for nobody when so many bytes are there.
const GATHERED_LEN: usize = 16 << 10;

/// How many times its capacity may wait in an outbox, at the very most.
const ALWAYS_TIMES: usize = 16;

/// An outbox, with a bound in bytes.
pub(crate) struct Outbox {
    waits: Mutex<Waits>,
    capacity: usize,
    /// Wakes those who wait for room.
    room: Notify,
    waiting: AtomicUsize,
    /// Tells that more was to be written than may ever wait.
    overrun: Notify,
}

#[derive(Default)]
struct Waits {
    bytes: BytesMut,
    /// How many bytes were taken last: about as many will wait again.
    taken_len: usize,
    /// The lane, when nothing waits.
    sleeper: Option<Waker>,
    closed: bool,
}

/// Why nothing was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotWritten {
    /// So much waits already.
    Full,
    /// The lane has broken.
    Closed,
}

impl Outbox {
    /// An outbox for so many bytes. One frame may go beyond.
    pub(crate) fn new(capacity: usize) -> Arc<Self> {
        Arc::new(Self {
            waits: Mutex::default(),
            capacity,
            room: Notify::new(),
            waiting: AtomicUsize::new(0),
            overrun: Notify::new(),
        })
    }

    /// Writes frames, if there is room.
    pub(crate) fn write<T>(&self, write: impl FnOnce(&mut BytesMut) -> T) -> Result<T, NotWritten> {
        self.write_within(self.capacity, write)
    }

    /// Writes frames whether or not there is room, up to a bound where something is amiss: the other
    /// end does not read, and asks for ever more. Then nothing of it is kept, and whoever waits for
    /// [`Outbox::overrun`] is told. For what is small.
    pub(crate) fn write_always<T>(
        &self,
        write: impl FnOnce(&mut BytesMut) -> T,
    ) -> Result<T, NotWritten> {
        let written = self.write_within(self.capacity * ALWAYS_TIMES, write);
        if matches!(written, Err(NotWritten::Full)) {
            self.abandon();
            self.overrun.notify_one();
        }
        written
    }

    /// Waits until more was to be written than may ever wait. For one who waits.
    pub(crate) async fn overrun(&self) {
        self.overrun.notified().await;
    }

    fn write_within<T>(
        &self,
        capacity: usize,
        write: impl FnOnce(&mut BytesMut) -> T,
    ) -> Result<T, NotWritten> {
        let mut waits = self.waits.lock();
        if waits.closed {
            return Err(NotWritten::Closed);
        }
        if waits.bytes.len() >= capacity {
            return Err(NotWritten::Full);
        }
        if waits.bytes.capacity() == 0 {
            // Not by doubling, which copies what waits again and again.
            let about = waits.taken_len;
            waits.bytes.reserve(about);
        }
        let written = write(&mut waits.bytes);
        if let Some(lane) = waits.sleeper.take() {
            drop(waits);
            lane.wake();
        }
        Ok(written)
    }

    /// Waits until there may be room, or the lane has broken.
    pub(crate) async fn room(&self) {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let _waiting = Leaving(&self.waiting);
        loop {
            let room = self.room.notified();
            tokio::pin!(room);
            // Enlisted before the look, so that room made between the two is not missed.
            room.as_mut().enable();
            {
                let waits = self.waits.lock();
                if waits.closed || waits.bytes.len() < self.capacity {
                    return;
                }
            }
            room.await;
        }
    }

    /// Takes nothing more, and ends the lane when what waits has been sent.
    pub(crate) fn close(&self) {
        self.close_with(|_| {});
    }

    /// Takes nothing more, and ends the lane without what waits: the other end may never take that.
    pub(crate) fn abandon(&self) {
        self.close_with(|waits| waits.bytes = BytesMut::new());
    }

    fn close_with(&self, change: impl FnOnce(&mut Waits)) {
        let mut waits = self.waits.lock();
        waits.closed = true;
        change(&mut waits);
        let lane = waits.sleeper.take();
        drop(waits);
        if let Some(lane) = lane {
            lane.wake();
        }
        self.room.notify_waiters();
    }

    /// Whether something waits, and more could go with it.
    fn is_worth_waiting(&self) -> bool {
        let waits = self.waits.lock();
        !waits.closed && (1..GATHERED_LEN).contains(&waits.bytes.len())
    }

    fn poll_take(&self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let mut waits = self.waits.lock();
        if waits.bytes.is_empty() {
            if waits.closed {
                return Poll::Ready(None);
            }
            waits.sleeper = Some(context.waker().clone());
            return Poll::Pending;
        }
        let batch = match waits.bytes.len() > BATCH_MAX_LEN {
            true => waits.bytes.split_to(BATCH_MAX_LEN),
            false => std::mem::take(&mut waits.bytes),
        };
        waits.taken_len = batch.len();
        let has_room = waits.bytes.len() < self.capacity;
        drop(waits);
        if has_room && self.waiting.load(Ordering::SeqCst) > 0 {
            self.room.notify_waiters();
        }
        Poll::Ready(Some(batch.freeze()))
    }
}

/// Counts down also who stops waiting half-way.
struct Leaving<'a>(&'a AtomicUsize);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What a lane sends: batches of frames. A frame may lie across two.
pub(crate) struct Batches {
    outbox: Arc<Outbox>,
    /// It gathers, and has not let the others go first since it slept.
    is_to_gather: bool,
    gathers: bool,
}

impl Batches {
    /// Each frame goes as soon as it can.
    pub(crate) fn at_once(outbox: &Arc<Outbox>) -> Self {
        Self { outbox: outbox.clone(), is_to_gather: false, gathers: false }
    }

    /// Whoever is about to run has its turn first, since it may have something to send as well.
    pub(crate) fn gathered(outbox: &Arc<Outbox>) -> Self {
        Self { outbox: outbox.clone(), is_to_gather: true, gathers: true }
    }
}

impl Stream for Batches {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if std::mem::take(&mut self.is_to_gather) && self.outbox.is_worth_waiting() {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let taken = self.outbox.poll_take(context);
        self.is_to_gather = self.gathers && taken.is_pending();
        taken
    }
}

impl Drop for Batches {
    /// The lane has broken: nobody takes what waits.
    fn drop(&mut self) {
        self.outbox.close();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;

    use super::*;

    fn put(outbox: &Outbox, bytes: &[u8]) -> Result<(), NotWritten> {
        outbox.write(|to| to.extend_from_slice(bytes))
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_is_taken_at_once_and_in_order() {
        let outbox = Outbox::new(100);
        let mut lane = Batches::at_once(&outbox);
        put(&outbox, b"one").unwrap();
        put(&outbox, b"two").unwrap();
        assert_eq!(lane.next().await.unwrap(), "onetwo");
        let next = tokio::spawn(async move { (lane.next().await, lane) });
        tokio::task::yield_now().await;
        put(&outbox, b"three").unwrap();
        let (three, mut lane) = next.await.unwrap();
        assert_eq!(three.unwrap(), "three");
        put(&outbox, b"last").unwrap();
        outbox.close();
        assert_eq!(put(&outbox, b"late"), Err(NotWritten::Closed));
        assert_eq!(lane.next().await.unwrap(), "last");
        assert!(lane.next().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_outbox_takes_more_when_the_lane_has_taken() {
        let outbox = Outbox::new(4);
        let mut lane = Batches::at_once(&outbox);
        put(&outbox, b"12345").unwrap();
        assert_eq!(put(&outbox, b"6"), Err(NotWritten::Full));
        let waiting = tokio::spawn({
            let outbox = outbox.clone();
            async move {
                outbox.room().await;
                put(&outbox, b"6")
            }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        lane.next().await.unwrap();
        waiting.await.unwrap().unwrap();
        put(&outbox, b"789").unwrap();
        let waiting = tokio::spawn({
            let outbox = outbox.clone();
            async move {
                outbox.room().await;
                put(&outbox, b"x")
            }
        });
        tokio::task::yield_now().await;
        drop(lane);
        assert_eq!(waiting.await.unwrap(), Err(NotWritten::Closed));
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_takes_is_kept_up_to_a_bound_and_then_not_at_all() {
        let outbox = Outbox::new(4);
        let mut lane = Batches::at_once(&outbox);
        let always = |bytes: &[u8]| outbox.write_always(|to| to.extend_from_slice(bytes));
        for _ in 0..ALWAYS_TIMES {
            always(b"1234").unwrap();
        }
        let overrun = tokio::time::timeout(std::time::Duration::from_secs(1), outbox.overrun());
        assert!(overrun.await.is_err());
        assert_eq!(always(b"5"), Err(NotWritten::Full));
        outbox.overrun().await;
        assert_eq!(outbox.waits.lock().bytes.capacity(), 0);
        assert_eq!(always(b"6"), Err(NotWritten::Closed));
        assert!(lane.next().await.is_none());
    }
}
