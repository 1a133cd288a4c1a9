//! Group commit: writes that wait share one durable commit.
//!
//! A write that finds nobody leading leads: it takes what waits, runs it in one transaction, and
//! commits. Whoever comes meanwhile waits for the next round. When nobody waits, nobody leads.

use std::collections::VecDeque;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, ThreadId};

use super::errors::{StoreError, panic_message};
use super::shared::{Seat, Shared};
use super::writer::Writer;

/// The writes of a store that wait, in the order in which they came.
#[derive(Default)]
pub(super) struct Queue {
    waiting: VecDeque<Box<dyn Job>>,
    is_led: bool,
    /// The thread that runs writes right now.
    leader: Option<ThreadId>,
}

impl Queue {
    /// Whether this thread is the one that runs writes right now.
    pub(super) fn is_led_from_here(&self) -> bool {
        self.leader == Some(thread::current().id())
    }
}

/// A write, and the one who waits for it.
pub(super) trait Job: Send {
    /// Runs it, and keeps what it said until the end; whether that was a success.
    fn run(&mut self, writer: &mut Writer) -> bool;

    /// Makes it say that it failed, whatever it said.
    fn refute(&mut self, error: StoreError);

    /// Hands over what it said.
    fn settle(self: Box<Self>);

    /// Says instead that it could not be done.
    fn fail(self: Box<Self>, error: StoreError);
}

/// A write with its types.
struct Typed<F, R, T, E> {
    work: F,
    said: Option<Result<T, E>>,
    reply: R,
}

pub(super) fn job<F, R, T, E>(work: F, reply: R) -> Box<dyn Job>
where
    F: Fn(&mut Writer) -> Result<T, E> + Send + 'static,
    R: FnOnce(Result<T, E>) + Send + 'static,
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
{
    Box::new(Typed { work, said: None, reply })
}

impl<F, R, T, E> Job for Typed<F, R, T, E>
where
    F: Fn(&mut Writer) -> Result<T, E> + Send,
    R: FnOnce(Result<T, E>) + Send,
    T: Send,
    E: From<StoreError> + Send,
{
    fn run(&mut self, writer: &mut Writer) -> bool {
        let said = catch_unwind(AssertUnwindSafe(|| (self.work)(writer)));
        let said = said.unwrap_or_else(|panic| {
            Err(StoreError::Panicked { message: panic_message(&*panic) }.into())
        });
        self.said.insert(said).is_ok()
    }

    fn refute(&mut self, error: StoreError) {
        self.said = Some(Err(error.into()));
    }

    fn settle(self: Box<Self>) {
        // One that was never run is dropped, which tells the one who waits that it was stopped.
        if let Some(said) = self.said {
            (self.reply)(said);
        }
    }

    fn fail(self: Box<Self>, error: StoreError) {
        (self.reply)(Err(error.into()));
    }
}

impl Shared {
    /// Puts a write into the queue. `Some` when its caller has to lead.
    pub(super) fn submit(self: &Arc<Self>, job: Box<dyn Job>) -> Result<Option<Lead>, StoreError> {
        let mut queue = self.queue.lock();
        let path = || self.path().to_owned();
        if queue.is_led_from_here() {
            return Err(StoreError::Nested { path: path() });
        }
        let waiting_max = self.options.waiting_max.max(1);
        if queue.waiting.len() >= waiting_max {
            return Err(StoreError::Busy { path: path(), waiting_max });
        }
        queue.waiting.push_back(job);
        if mem::replace(&mut queue.is_led, true) {
            return Ok(None);
        }
        Ok(Some(Lead { shared: Arc::clone(self), is_over: false }))
    }

    fn run_batch(&self, mut batch: Vec<Box<dyn Job>>) {
        let seat = self.take_seat_to_lead();
        let done = self.write_batch(&seat, &mut batch);
        if done.is_err() {
            // At once, so that readers need not do it. If it cannot be, they will be told so.
            let _present = self.present_for(&seat);
        }
        drop(seat);
        for job in batch {
            match &done {
                Ok(()) => job.settle(),
                Err(error) => job.fail(error.clone()),
            }
        }
    }

    /// Runs all writes of a batch in one transaction and commits it.
    ///
    /// A write that fails after it has changed something spoils the transaction; then all is taken
    /// back and run again without it. What came before it in the queue does the same as before, so
    /// each of them says what it would have said alone, in the order in which they came.
    fn write_batch(&self, seat: &Seat<'_>, batch: &mut [Box<dyn Job>]) -> Result<(), StoreError> {
        let mut is_out = vec![false; batch.len()];
        loop {
            let writer = self.writer(seat)?;
            match run_all(writer, batch, &is_out)? {
                Run::Whole => {
                    self.committed();
                    return Ok(());
                }
                Run::Nothing => return Ok(()),
                Run::Spoiled(by) => is_out[by] = true,
            }
        }
    }
}

/// What became of a transaction.
enum Run {
    /// It is committed.
    Whole,
    /// Nothing was changed, so nothing had to be committed.
    Nothing,
    /// This write failed and has left a trace in it; it was taken back.
    Spoiled(usize),
}

fn run_all(
    mut writer: Writer,
    batch: &mut [Box<dyn Job>],
    is_out: &[bool],
) -> Result<Run, StoreError> {
    let mut is_changed = false;
    for (index, job) in batch.iter_mut().enumerate().filter(|(index, _)| !is_out[*index]) {
        writer.forget_touch();
        let is_well = job.run(&mut writer);
        // When the system fails under one write, none can be committed.
        if let Some(failure) = writer.generation().failure().cloned() {
            // Nor can it be taken back properly; the next opening does that.
            let _broken = writer.abort();
            return Err(failure);
        }
        let is_broken = writer.generation().is_broken();
        if is_broken && is_well {
            let why = "a change to it failed".to_owned();
            job.refute(StoreError::structure(writer.generation().path(), why));
        }
        if is_broken || writer.is_touched() && !is_well {
            // If this fails, the file is opened again, and the change is gone too.
            let _broken = writer.abort();
            return Ok(Run::Spoiled(index));
        }
        is_changed |= writer.is_touched();
    }
    if is_changed {
        return writer.commit().map(|()| Run::Whole);
    }
    writer.abort().map(|()| Run::Nothing)
}

/// The duty to run what waits. Dropped undone, those who wait are told.
pub(super) struct Lead {
    shared: Arc<Shared>,
    is_over: bool,
}

impl Lead {
    /// Leads until nobody waits.
    pub(super) fn run(mut self) {
        while !self.is_over {
            self.run_some();
        }
    }

    /// Runs one batch, with the leader's own write in it, and leaves the rest to a thread.
    pub(super) fn run_one_batch(mut self) {
        self.run_some();
        if self.is_over || self.end_if_nobody_waits() {
            return;
        }
        let shared = Arc::clone(&self.shared);
        let lead = Self { shared, is_over: false };
        self.is_over = true;
        let thread = thread::Builder::new().name("genii-store".to_owned());
        // Without a thread the closure is dropped, and with it those who wait are told.
        let _thread = thread.spawn(move || lead.run());
    }

    fn run_some(&mut self) {
        let Some(batch) = self.next_batch() else { return };
        self.shared.run_batch(batch);
        self.shared.queue.lock().leader = None;
    }

    fn next_batch(&mut self) -> Option<Vec<Box<dyn Job>>> {
        if self.end_if_nobody_waits() {
            return None;
        }
        let mut queue = self.shared.queue.lock();
        let count = queue.waiting.len().min(self.shared.options.batch_max.max(1));
        queue.leader = Some(thread::current().id());
        Some(queue.waiting.drain(..count).collect())
    }

    fn end_if_nobody_waits(&mut self) -> bool {
        let mut queue = self.shared.queue.lock();
        if queue.waiting.is_empty() {
            queue.is_led = false;
            self.is_over = true;
        }
        self.is_over
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let mut queue = self.shared.queue.lock();
        (queue.is_led, queue.leader) = (false, None);
        let waiting = mem::take(&mut queue.waiting);
        drop(queue);
        for job in waiting {
            job.fail(self.shared.stopped());
        }
    }
}
