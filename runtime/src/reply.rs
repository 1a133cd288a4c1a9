//! An answer that is given later.

use std::sync::Arc;
use std::time::Duration;

use genii_protocols::{AskError, Fault, Message, Rejection};
use tokio::time::Instant;

use crate::directory::Line;
use crate::letter::{Answer, ReplyTo};

/// How often to look whether an asker on another node still waits.
const LOOK: Duration = Duration::from_millis(100);

/// The duty to answer a question. Dropped without an answer, it tells the asker so.
pub struct Promise<M: Message> {
    reply: Option<ReplyTo<M>>,
    owed: Owed,
}

impl<M: Message> Promise<M> {
    pub(crate) fn new(reply: ReplyTo<M>, line: Arc<Line>) -> Self {
        Self { reply: Some(reply), owed: Owed::new(line) }
    }

    /// Answers.
    pub fn answer(self, reply: M::Reply) {
        self.send(Ok(reply));
    }

    /// Refuses.
    pub fn refuse(self, refusal: M::Refusal) {
        self.send(Err(AskError::Refused(refusal)));
    }

    /// Answers or refuses.
    pub fn settle(self, result: Result<M::Reply, M::Refusal>) {
        self.send(result.map_err(AskError::Refused));
    }

    /// Passes on how somebody else has answered: with a reply, a refusal or a fault.
    pub(crate) fn pass(self, answer: Answer<M>) {
        self.send(answer);
    }

    /// The agent owes this no more: it may end before it is answered.
    pub(crate) fn outlive(&mut self) {
        self.owed.settle();
    }

    /// Whether nobody asked: it was told.
    pub fn is_told(&self) -> bool {
        matches!(self.reply, None | Some(ReplyTo::Nobody))
    }

    /// Waits until the asker has gone.
    pub(crate) async fn forgotten(&mut self) {
        match &mut self.reply {
            None | Some(ReplyTo::Nobody) => {}
            Some(ReplyTo::Asker(asker)) => asker.closed().await,
            Some(ReplyTo::Json(asker)) => asker.closed().await,
            Some(ReplyTo::Untyped(asker)) => asker.forgotten().await,
            Some(ReplyTo::Far(asker)) => {
                while !asker.is_forgotten() {
                    tokio::time::sleep(LOOK).await;
                }
            }
        }
    }

    /// Whether the asker has gone, so that nobody needs the answer.
    pub fn is_forgotten(&self) -> bool {
        match &self.reply {
            None | Some(ReplyTo::Nobody) => true,
            Some(ReplyTo::Asker(asker)) => asker.is_closed(),
            Some(ReplyTo::Json(asker)) => asker.is_closed(),
            Some(ReplyTo::Far(asker)) => asker.is_forgotten(),
            Some(ReplyTo::Untyped(asker)) => asker.is_forgotten(),
        }
    }

    fn send(mut self, answer: Answer<M>) {
        if let Some(reply) = self.reply.take() {
            reply.send(answer);
        }
    }
}

impl<M: Message> Drop for Promise<M> {
    fn drop(&mut self) {
        let Some(reply) = self.reply.take() else { return };
        // When the agent is going down, the asker learns the cause of that instead.
        if !std::thread::panicking() && !self.owed.line.mailbox.is_closed() {
            reply.send(Err(unanswered::<M>(&self.owed.line).into()));
        }
    }
}

/// A question that a life has taken on, and counts until it is settled, answered or dropped.
pub(crate) struct Owed {
    /// The life.
    pub(crate) line: Arc<Line>,
    /// Since when, and that in nanoseconds since the node began.
    since: Instant,
    nanos: u64,
    is_settled: bool,
}

impl Owed {
    pub(crate) fn new(line: Arc<Line>) -> Self {
        let nanos = line.slot.vitals.owe();
        Self { line, since: Instant::now(), nanos, is_settled: false }
    }

    /// It counts no more.
    pub(crate) fn settle(&mut self) {
        if !std::mem::replace(&mut self.is_settled, true) {
            let took = u64::try_from(self.since.elapsed().as_nanos()).unwrap_or(u64::MAX);
            self.line.slot.vitals.settle(self.nanos.saturating_add(took));
        }
    }
}

impl Drop for Owed {
    fn drop(&mut self) {
        self.settle();
    }
}

/// The agent let a question go without an answer.
pub(crate) fn unanswered<M: Message>(line: &Line) -> Fault {
    Fault::Rejected {
        to: line.identity.address.clone().into(),
        message: M::NAME.to_owned(),
        reason: Rejection::Unanswered,
    }
}
