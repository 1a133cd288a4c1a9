//! A bounded mailbox with an urgent lane.
//!
//! One lock around two queues: a sender holds it for a push, the host for taking a whole batch. That
//! costs less than a lock-free channel, leaves nothing allocated while the mailbox is empty, and
//! lets closing be exact: a letter is either handed over before, or returned to its sender.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use genii_supervision::{Failure, FailureKind};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use crate::letter::Letter;
use crate::post::{Batch, Mailable, Post};
use crate::urgent::Urgent;

/// How many letters or parcels the host takes at once. Until they are begun they count as being in the
/// mailbox.
pub(crate) const BATCH_MAX: usize = 64;

/// How many urgent messages may wait. They come from the house itself and are few; more than this
/// means that the agent has not looked into its mailbox for very long.
pub(crate) const URGENT_MAX: usize = 4_096;

pub(crate) struct Mailbox {
    queues: Mutex<Queues>,
    capacity: usize,
    /// Letters that the host has taken and not begun.
    in_hand: AtomicUsize,
    /// There is something in the urgent lane, or the mailbox has closed.
    urgent_waits: AtomicBool,
    /// Wakes senders that wait for room.
    room: Notify,
    /// How many senders wait for room.
    waiting: AtomicUsize,
    /// Wakes those who wait for room for many letters.
    roomy: Notify,
    /// How much room is kept for them.
    reserved: AtomicUsize,
}

#[derive(Default)]
struct Queues {
    normal: VecDeque<Post>,
    /// How many letters those are.
    letters: usize,
    urgent: VecDeque<Urgent>,
    closed: bool,
    /// The host, when it sleeps.
    sleeper: Option<Waker>,
}

/// Why something was not taken, and what.
pub(crate) enum NotTaken<T = Box<dyn Letter>> {
    /// There is no room for it.
    Full(T),
    /// The mailbox has closed.
    Closed(T),
}

impl Mailbox {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            queues: Mutex::default(),
            capacity: capacity.max(1),
            in_hand: AtomicUsize::new(0),
            urgent_waits: AtomicBool::new(false),
            room: Notify::new(),
            waiting: AtomicUsize::new(0),
            roomy: Notify::new(),
            reserved: AtomicUsize::new(0),
        }
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// How many letters wait to be handled.
    pub(crate) fn depth(&self) -> usize {
        self.queues.lock().letters + self.in_hand.load(Ordering::Relaxed)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.queues.lock().closed
    }

    /// Puts a letter in, or a parcel of some, if there is room.
    pub(crate) fn push<T: Mailable>(&self, post: T) -> Result<(), NotTaken<T>> {
        let mut queues = self.queues.lock();
        if queues.closed {
            return Err(NotTaken::Closed(post));
        }
        let reserved = self.reserved.load(Ordering::Relaxed).min(self.capacity / 2);
        if self.taken(&queues) + reserved + post.letters() > self.capacity {
            return Err(NotTaken::Full(post));
        }
        queues.letters += post.letters();
        queues.normal.push_back(post.into());
        wake(queues);
        Ok(())
    }

    /// Puts a letter in as soon as there is room. Dropped while it waits, it takes the letter along.
    pub(crate) async fn push_when_room(&self, letter: Box<dyn Letter>) -> Result<(), NotTaken> {
        let mut letter = match self.push(letter) {
            Err(NotTaken::Full(letter)) => letter,
            done => return done,
        };
        let _waiting = Waiting::new(self);
        loop {
            let room = self.room.notified();
            tokio::pin!(room);
            // Enlisted before the second look, so that room made between the two is not missed.
            room.as_mut().enable();
            letter = match self.push(letter) {
                Err(NotTaken::Full(letter)) => letter,
                done => return done,
            };
            room.await;
        }
    }

    /// Puts in as many letters as there is room for, from the front; whether that was all of them.
    ///
    /// # Errors
    /// When the mailbox has closed. All letters are still there.
    pub(crate) fn push_many(&self, posts: &mut VecDeque<Post>) -> Result<bool, Closed> {
        let mut queues = self.queues.lock();
        if queues.closed {
            return Err(Closed);
        }
        let mut room = self.capacity.saturating_sub(self.taken(&queues));
        let before = queues.letters;
        while let Some(first) = posts.front_mut().filter(|_| room > 0) {
            let post = match first {
                Post::Parcel(parcel) if parcel.len() > room => Post::Parcel(parcel.split(room)),
                _ => posts.pop_front().expect("it was just looked at"),
            };
            room -= post.letters();
            queues.letters += post.letters();
            queues.normal.push_back(post);
        }
        if queues.letters > before {
            wake(queues);
        }
        Ok(posts.is_empty())
    }

    /// Waits until there is room for many letters at once, or the mailbox has closed. Some room is
    /// kept meanwhile, so that others who are quicker do not take all of it.
    pub(crate) async fn roomy(&self) {
        let wanted = BATCH_MAX.min(self.capacity / 2);
        let _reserving = Reserving::new(self, wanted);
        loop {
            let roomy = self.roomy.notified();
            tokio::pin!(roomy);
            // Enlisted before the look, so that room made between the two is not missed.
            roomy.as_mut().enable();
            {
                let queues = self.queues.lock();
                let room = self.capacity.saturating_sub(self.taken(&queues));
                if queues.closed || room >= wanted.max(1) {
                    return;
                }
            }
            roomy.await;
        }
    }

    /// Whether somebody waits for room for many letters.
    pub(crate) fn is_awaited(&self) -> bool {
        self.reserved.load(Ordering::SeqCst) > 0
    }

    fn taken(&self, queues: &Queues) -> usize {
        queues.letters + self.in_hand.load(Ordering::Relaxed)
    }

    /// Puts an urgent message in. Returns it if the mailbox has closed or the lane is full. A life
    /// whose lane was full has missed something that it must not miss, and is to fail.
    pub(crate) fn push_urgent(&self, urgent: Urgent) -> Result<(), Urgent> {
        let mut queues = self.queues.lock();
        if queues.closed || queues.urgent.len() > URGENT_MAX {
            return Err(urgent);
        }
        if queues.urgent.len() == URGENT_MAX {
            let message = format!("{URGENT_MAX} urgent messages waited, and it looked at none");
            let failure = Failure::new(FailureKind::Error, message);
            queues.urgent.push_back(Urgent::TaskFailed(Arc::new(failure)));
            return Err(urgent);
        }
        queues.urgent.push_back(urgent);
        self.urgent_waits.store(true, Ordering::Release);
        wake(queues);
        Ok(())
    }

    /// Takes nothing more. What is in it stays for [`Mailbox::take_rest`].
    pub(crate) fn close(&self) {
        let mut queues = self.queues.lock();
        queues.closed = true;
        self.urgent_waits.store(true, Ordering::Release);
        wake(queues);
        self.room.notify_waiters();
        self.roomy.notify_waiters();
    }

    /// Closes if there is nothing in it at all, urgent or not, and its host is idle; whether it did.
    pub(crate) fn close_if_empty(&self, is_idle: impl FnOnce() -> bool) -> bool {
        let mut queues = self.queues.lock();
        let is_empty = queues.letters + self.in_hand.load(Ordering::Acquire) == 0;
        if !is_empty || !queues.urgent.is_empty() || queues.closed || !is_idle() {
            return false;
        }
        queues.closed = true;
        self.urgent_waits.store(true, Ordering::Release);
        wake(queues);
        self.room.notify_waiters();
        self.roomy.notify_waiters();
        true
    }

    // For the host alone.

    /// Whether the host should look at the urgent lane before its next letter.
    pub(crate) fn is_urgent(&self) -> bool {
        self.urgent_waits.load(Ordering::Acquire)
    }

    /// The next urgent message, and whether the mailbox has closed.
    pub(crate) fn take_urgent(&self) -> (Option<Urgent>, bool) {
        let mut queues = self.queues.lock();
        let urgent = queues.urgent.pop_front();
        self.urgent_waits.store(!queues.urgent.is_empty() || queues.closed, Ordering::Release);
        (urgent, queues.closed)
    }

    /// Moves some letters into `batch`; sleeps as long as there are none, and nothing is urgent. With
    /// `urgent_only`, letters do not count.
    pub(crate) async fn fetch(&self, batch: &mut Batch, urgent_only: bool) {
        poll_fn(|context| self.poll_fetch(batch, urgent_only, context)).await;
    }

    fn poll_fetch(
        &self,
        batch: &mut Batch,
        urgent_only: bool,
        context: &mut Context<'_>,
    ) -> Poll<()> {
        let mut queues = self.queues.lock();
        let has_letters = !urgent_only && !queues.normal.is_empty();
        if !has_letters && queues.urgent.is_empty() && !queues.closed {
            queues.sleeper = Some(context.waker().clone());
            self.let_senders_in(&queues);
            return Poll::Pending;
        }
        if has_letters {
            self.take_some(&mut queues, batch);
        }
        self.in_hand.store(batch.letters(), Ordering::Relaxed);
        if queues.normal.is_empty() && queues.normal.capacity() > BATCH_MAX {
            queues.normal.shrink_to(BATCH_MAX);
        }
        self.let_senders_in(&queues);
        Poll::Ready(())
    }

    /// Moves what makes a batch, in one go: senders wait for the lock meanwhile.
    fn take_some(&self, queues: &mut Queues, batch: &mut Batch) {
        let count = queues.normal.len().min(BATCH_MAX);
        // None is empty.
        let is_one_each = queues.letters == queues.normal.len();
        let letters = match is_one_each {
            true => count,
            false => queues.normal.iter().take(count).map(Mailable::letters).sum(),
        };
        queues.letters -= letters;
        batch.add(queues.normal.drain(..count), letters);
    }

    fn let_senders_in(&self, queues: &Queues) {
        if self.reserved.load(Ordering::Relaxed) > 0 {
            self.roomy.notify_waiters();
        }
        let waiting = self.waiting.load(Ordering::Relaxed);
        if waiting == 0 {
            return;
        }
        for _ in 0..self.capacity.saturating_sub(self.taken(queues)).min(waiting) {
            self.room.notify_one();
        }
    }

    /// One letter of the batch has been begun. A sender that comes to wait in this moment may not
    /// be seen here; then the next letter or the next batch lets it in.
    pub(crate) fn begun(&self, left_in_batch: usize) {
        self.in_hand.store(left_in_batch, Ordering::Release);
        if self.waiting.load(Ordering::Relaxed) > 0 {
            self.room.notify_one();
        }
    }

    /// Everything that was not handled, when the mailbox has closed.
    pub(crate) fn take_rest(&self) -> VecDeque<Post> {
        let mut queues = self.queues.lock();
        queues.urgent.clear();
        queues.letters = 0;
        self.in_hand.store(0, Ordering::Relaxed);
        std::mem::take(&mut queues.normal)
    }
}

/// Wakes the host, if it sleeps, after letting go of the lock.
fn wake(mut queues: MutexGuard<'_, Queues>) {
    if let Some(host) = queues.sleeper.take() {
        drop(queues);
        host.wake();
    }
}

/// The mailbox has closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Closed;

/// Keeps room for many letters, also if whoever waits for it stops half-way.
struct Reserving<'a> {
    mailbox: &'a Mailbox,
    room: usize,
}

impl<'a> Reserving<'a> {
    fn new(mailbox: &'a Mailbox, room: usize) -> Self {
        // Even where none can be kept, somebody waits.
        let room = room.max(1);
        mailbox.reserved.fetch_add(room, Ordering::SeqCst);
        Self { mailbox, room }
    }
}

impl Drop for Reserving<'_> {
    fn drop(&mut self) {
        self.mailbox.reserved.fetch_sub(self.room, Ordering::SeqCst);
    }
}

/// Counts a sender that waits for room, also if it stops waiting half-way.
struct Waiting<'a>(&'a Mailbox);

impl<'a> Waiting<'a> {
    fn new(mailbox: &'a Mailbox) -> Self {
        mailbox.waiting.fetch_add(1, Ordering::SeqCst);
        Self(mailbox)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
        // It may have been woken for room that it no longer wants.
        self.0.room.notify_one();
    }
}
