//! Streams over a link: many answers to one question, with a credit of their own.
//!
//! The end that answers may send so much beyond what the end that asked has taken, and waits for
//! more credit then. So a slow asker holds up nobody but the stream that it asked for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use genii_protocols::frame::{CREDIT_MAX, Data, ITEM_COST_MIN, Letter, PAYLOAD_MAX_LEN, Payload};
use tokio::sync::{Notify, Semaphore, mpsc};

use super::lane::{self, End};
use super::outbox::NotWritten;
use super::questions::FarAnswer;
use super::sending::{Link, NotSent};

/// How many streams of one link may be under way in one direction.
const STREAMS_MAX: usize = 1 << 16;

/// When so much of a stream has been taken, its credit is given back.
const CREDIT_STEP: u32 = CREDIT_MAX / 4;

/// What an item of so many bytes takes of the credit of its stream.
fn cost(len: usize) -> u32 {
    Letter::cost(len).max(ITEM_COST_MIN)
}

/// What flows through a stream from another node.
pub(crate) enum FarFlow {
    /// An item, encoded.
    Item(Bytes),
    /// How it ended.
    End(FarAnswer),
}

/// A stream that was asked for, as the link sees it.
pub(crate) struct Flowing {
    /// Bounded by the credit.
    flow: mpsc::UnboundedSender<FarFlow>,
    /// How much has come and was not taken.
    waits: Arc<AtomicU32>,
}

impl Flowing {
    /// A stream that begins, and where it comes from: until its end, or until nobody at this end
    /// holds it any more, as when the link is lost.
    pub(super) fn new() -> (Arc<Self>, Comes) {
        let ((flow, comes), waits) = (mpsc::unbounded_channel(), Arc::default());
        let comes = Comes { flow: comes, waits: Arc::clone(&waits) };
        (Arc::new(Self { flow, waits }), comes)
    }

    /// An item has come.
    pub(crate) fn item(&self, item: Bytes) -> Result<(), End> {
        let cost = cost(item.len());
        let before = self.waits.fetch_add(cost, Ordering::Relaxed);
        if before.saturating_add(cost) > CREDIT_MAX {
            return Err(End::nonsense("a stream goes beyond its credit"));
        }
        let _asker_has_gone = self.flow.send(FarFlow::Item(item));
        Ok(())
    }

    /// It has ended.
    pub(crate) fn end(&self, answer: FarAnswer) {
        let _asker_has_gone = self.flow.send(FarFlow::End(answer));
    }
}

/// What comes of a stream.
pub(super) struct Comes {
    flow: mpsc::UnboundedReceiver<FarFlow>,
    waits: Arc<AtomicU32>,
}

/// A stream from another node, for who asked for it. Dropped, it tells the other end to stop.
pub(crate) struct FarStream {
    pub(crate) link: Arc<Link>,
    correlation: u64,
    comes: Comes,
    /// What was taken and not given back.
    taken: u32,
    is_over: bool,
}

impl FarStream {
    pub(super) fn new(link: Arc<Link>, correlation: u64, comes: Comes) -> Self {
        Self { link, correlation, comes, taken: 0, is_over: false }
    }

    /// What comes next; `None` when the link is lost.
    pub(crate) async fn next(&mut self) -> Option<FarFlow> {
        let next = self.comes.flow.recv().await;
        match &next {
            Some(FarFlow::Item(item)) => self.give_back(cost(item.len())),
            Some(FarFlow::End(_)) | None => self.is_over = true,
        }
        next
    }

    fn give_back(&mut self, cost: u32) {
        self.taken += cost;
        if self.taken >= CREDIT_STEP {
            let cost = std::mem::take(&mut self.taken);
            self.comes.waits.fetch_sub(cost, Ordering::Relaxed);
            let more = Data::More { correlation: self.correlation, cost };
            let _over = self.link.data.write_always(|buffer| lane::put(buffer, &more));
        }
    }
}

impl Drop for FarStream {
    fn drop(&mut self) {
        self.link.questions.forget(self.correlation);
        if !self.is_over {
            let forget = Data::Forget { correlation: self.correlation };
            let _over = self.link.data.write_always(|buffer| lane::put(buffer, &forget));
        }
    }
}

/// Where the items of a stream go that another node has asked for.
pub(crate) struct FarOutlet {
    credit: Semaphore,
    /// Tells that the asker has gone, when the credit is closed.
    gone: Notify,
}

impl FarOutlet {
    fn new() -> Self {
        Self { credit: Semaphore::new(CREDIT_MAX as usize), gone: Notify::new() }
    }

    /// Nobody wants the rest.
    pub(crate) fn end(&self) {
        self.credit.close();
        self.gone.notify_waiters();
    }

    /// Whether nobody wants the rest.
    pub(crate) fn is_over(&self) -> bool {
        self.credit.is_closed()
    }

    /// Waits until nobody wants the rest.
    pub(crate) async fn gone(&self) {
        loop {
            let gone = self.gone.notified();
            tokio::pin!(gone);
            // Enlisted before the look, so that an end between the two is not missed.
            gone.as_mut().enable();
            if self.is_over() {
                return;
            }
            gone.await;
        }
    }
}

/// The streams that the other end of a link has asked for.
#[derive(Default)]
pub(super) struct Outlets(dashmap::DashMap<u64, Arc<FarOutlet>>);

impl Outlets {
    /// A stream begins; `None` when too many are under way.
    pub(super) fn open(&self, correlation: u64) -> Option<Arc<FarOutlet>> {
        if self.0.len() >= STREAMS_MAX {
            return None;
        }
        let outlet = Arc::new(FarOutlet::new());
        self.0.insert(correlation, outlet.clone());
        Some(outlet)
    }

    /// The asker has taken so much.
    pub(super) fn more(&self, correlation: u64, cost: u32) {
        // One that has just ended needs no more.
        let Some(outlet) = self.0.get(&correlation) else { return };
        // It cannot have taken more than was sent.
        let whole = CREDIT_MAX as usize;
        let spent = whole - outlet.credit.available_permits().min(whole);
        outlet.credit.add_permits((cost as usize).min(spent));
    }

    /// It has ended, at one end or the other. Whether there was one.
    pub(super) fn end(&self, correlation: u64) -> bool {
        let Some((_, outlet)) = self.0.remove(&correlation) else { return false };
        outlet.end();
        true
    }

    /// The link is over.
    pub(super) fn end_all(&self) {
        for outlet in &self.0 {
            outlet.end();
        }
        self.0.clear();
    }
}

impl Link {
    /// Gives a command to the other end. What it says comes as a stream.
    ///
    /// # Errors
    /// When the link is over.
    pub(crate) async fn run(self: &Arc<Self>, command: Vec<u8>) -> Result<FarStream, NotSent> {
        let (flowing, comes) = Flowing::new();
        let correlation = self.questions.add_command(flowing).ok_or(NotSent::Lost)?;
        let stream = FarStream::new(self.clone(), correlation, comes);
        self.write_large(&command, |command| Data::Run { correlation, command }).await?;
        Ok(stream)
    }

    /// Sends an item of a stream, as soon as there is room for it.
    pub(crate) async fn item(
        &self,
        outlet: &FarOutlet,
        correlation: u64,
        item: &[u8],
    ) -> Result<(), NotSent> {
        let credit = outlet.credit.acquire_many(cost(item.len())).await;
        credit.map_err(|_| NotSent::Lost)?.forget();
        self.write_large(item, |item| Data::Item { correlation, item }).await
    }

    /// Sends a frame around something that may be too large for one, as soon as there is room.
    async fn write_large<'a>(
        &self,
        bytes: &'a [u8],
        frame: impl FnOnce(Payload<'a>) -> Data<'a>,
    ) -> Result<(), NotSent> {
        let parts = match bytes.len() > PAYLOAD_MAX_LEN {
            true => Some(self.send_parts(bytes).await?),
            false => None,
        };
        let whole = || Payload::Whole(bytes);
        let frame = frame(parts.as_ref().map_or_else(whole, |parts| Payload::Parts(parts.id)));
        loop {
            match self.data.write(|buffer| lane::put(buffer, &frame)) {
                Ok(_) => break,
                Err(NotWritten::Full) => self.data.room().await,
                Err(NotWritten::Closed) => return Err(NotSent::Lost),
            }
        }
        if let Some(parts) = parts {
            parts.are_used(true);
        }
        Ok(())
    }
}
