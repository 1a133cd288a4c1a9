//! Sending: tell, ask and stream.

mod draft;
mod far;
mod json;
mod untyped;
mod way;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use genii_protocols::frame::NAME_MAX_LEN;
use genii_protocols::{
    AskError, Cause, CauseKind, Destination, Fault, Message, NodeName, Rejection, Sender, Streamed,
    TraceContext,
};
use tokio::sync::oneshot;
use tokio::time::Instant;

use self::draft::{Asked, Got, Held, Wanted};
use self::way::{FarWay, Remembered, Way};
use crate::deadlines::Late;
use crate::directory::{Line, Slot, State};
use crate::letter::{Answer, Letter, Meta, Question, ReplyTo, settled};
use crate::mailbox::NotTaken;
use crate::node::Node;
use crate::stream::{Answers, Flowing, Origin, Source};

/// How much of a message's name is kept with a dead letter, where anybody may have written it.
pub(crate) const NAME_KEPT_LEN: usize = 200;

/// How often who was to take a message may have given way to another before that is told instead.
const GIVEN_WAY_MAX: usize = 8;

/// Sends to one destination. Keep it where you send often: it remembers the way, and notices when
/// the agent behind it is another, or elsewhere.
///
/// Whether the agent is in this process, on another machine, or stood in for by another, it is the
/// same call and fails in the same ways.
#[derive(Clone)]
pub struct Mail {
    node: Node,
    to: Destination,
    /// The way, once it is known. A slot that was forgotten stays shut for good, and then the
    /// directory is asked every time.
    slot: OnceLock<Arc<Slot>>,
    remembered: Remembered,
    from: Option<Arc<Sender>>,
    deadline: Option<Instant>,
    trace: Option<Box<TraceContext>>,
}

impl Mail {
    pub(crate) fn new(node: Node, to: Destination) -> Self {
        let (slot, remembered) = (OnceLock::new(), Remembered::default());
        Self { node, to, slot, remembered, from: None, deadline: None, trace: None }
    }

    /// The same, from who handles a message with this deadline and trace, or has sent it.
    pub(crate) fn within(mut self, from: Option<Arc<Sender>>, meta: &Meta) -> Self {
        self.from = from;
        self.deadline = meta.deadline;
        self.trace.clone_from(&meta.trace);
        self
    }

    /// Where it goes.
    pub fn to(&self) -> &Destination {
        &self.to
    }

    /// Sends without an answer, waiting for room in the mailbox if need be.
    ///
    /// # Errors
    /// When it cannot be delivered. It is then a dead letter too.
    pub async fn tell<M: Message>(&self, message: M) -> Result<(), Box<Fault>> {
        let told = self.tell_unburied(message).await;
        self.bury(M::NAME, told)
    }

    /// As [`Mail::tell`], for who sees to the dead letter.
    pub(crate) async fn tell_unburied<M: Message>(&self, message: M) -> Result<(), Box<Fault>> {
        if let Some(far) = self.remembered() {
            return self.tell_far(&far, &message).await;
        }
        let mut pushed = self.push(self.told(message));
        if let Pushed::Full(line, letter) = pushed {
            let deadline = self.deadline_within(self.node.limits().tell_patience);
            pushed = match self.push_or_return(&line, letter, deadline).await {
                Ok(Put::In(_)) => Pushed::Taken,
                Ok(Put::Nowhere(letter)) => self.push(letter),
                Err(fault) => Pushed::Nowhere(fault),
            };
        }
        match pushed {
            Pushed::Taken => Ok(()),
            Pushed::Full(line, _) => Err(self.overloaded(&line)),
            Pushed::Closed(line, _) => Err(self.ended(&line)),
            Pushed::Far(far, letter) => self.tell_far(&far, &told::<M>(letter).message).await,
            Pushed::Nowhere(fault) => Err(fault),
        }
    }

    /// Sends without an answer, or fails at once.
    ///
    /// # Errors
    /// As [`Mail::tell`]; [`Fault::Overloaded`] when there is no room.
    pub fn try_tell<M: Message>(&self, message: M) -> Result<(), Box<Fault>> {
        let pushed = self.push(self.told(message));
        self.bury(M::NAME, self.told_at_once::<M>(pushed))
    }

    /// As [`Mail::try_tell`], for what nobody misses: it is no dead letter if it cannot be
    /// delivered, and is not sent to an agent on another node that is known to be down.
    ///
    /// # Errors
    /// As [`Mail::try_tell`].
    pub fn hint<M: Message>(&self, message: M) -> Result<(), Box<Fault>> {
        match self.push(self.told(message)) {
            Pushed::Far(far, _) if self.is_down_there(&far) => {
                Err(self.unreachable(far.link.peer.clone()))
            }
            pushed => self.told_at_once::<M>(pushed),
        }
    }

    /// What has become of what was told, without waiting for room.
    fn told_at_once<M: Message>(&self, pushed: Pushed) -> Result<(), Box<Fault>> {
        match pushed {
            Pushed::Taken => Ok(()),
            Pushed::Full(line, _) => Err(self.overloaded(&line)),
            Pushed::Closed(line, _) => Err(self.ended(&line)),
            Pushed::Far(far, letter) => self.try_tell_far(&far, &told::<M>(letter).message),
            Pushed::Nowhere(fault) => Err(fault),
        }
    }

    /// Asks, and waits for the answer for the node's usual time, or what is left of the deadline of
    /// the message being handled if that is less.
    ///
    /// # Errors
    /// The refusal, or the fault that took the place of an answer.
    pub async fn ask<M: Message>(&self, message: M) -> Answer<M> {
        self.ask_within(message, self.node.limits().ask_timeout).await
    }

    /// Asks, and waits for the answer for so long at most.
    ///
    /// # Errors
    /// As [`Mail::ask`].
    pub async fn ask_within<M: Message>(&self, message: M, timeout: Duration) -> Answer<M> {
        let asked_at = Instant::now();
        let deadline = self.earlier(asked_at + timeout);
        let mut asked = Asked { message: Held::new(message), asked_at, deadline };
        match self.deliver(&mut asked, Self::way_to_ask, deadline).await? {
            Got::Near(line, answer) => {
                self.answered(&line, M::NAME, answer, asked_at, deadline).await
            }
            Got::Far(far, _coming) => {
                let meta = self.meta(Some(deadline));
                let said = self.saying(&far, M::NAME, &meta, asked.message.encoded())?;
                let answer = self.ask_far(&far, said, asked_at, deadline).await?;
                settled::<M::Reply, M::Refusal>(&self.to, M::NAME, &answer)
            }
        }
    }

    /// Waits for the answer of a life here.
    async fn answered<R, E>(
        &self,
        line: &Line,
        message: &str,
        answer: oneshot::Receiver<Result<R, AskError<E>>>,
        asked_at: Instant,
        deadline: Instant,
    ) -> Result<R, AskError<E>> {
        match self.node.deadlines().before(deadline, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(self.why_ended(line, deadline).await.into()),
            Err(Late) => Err(self.timed_out(message, deadline - asked_at).into()),
        }
    }

    /// Asks for a stream of answers.
    ///
    /// # Errors
    /// When the question cannot be delivered. Everything later comes through the answers.
    pub async fn stream<M: Streamed>(&self, message: M) -> Result<Answers<M>, Box<Fault>> {
        self.stream_within(message, self.node.limits().ask_timeout).await
    }

    /// As [`Mail::stream`], waiting for each item for so long at most.
    ///
    /// # Errors
    /// As [`Mail::stream`].
    pub async fn stream_within<M: Streamed>(
        &self,
        message: M,
        patience: Duration,
    ) -> Result<Answers<M>, Box<Fault>> {
        let deadline = self.earlier(Instant::now() + patience);
        let mut wanted = Wanted(Held::new(message));
        match self.deliver(&mut wanted, Self::way_to_ask, deadline).await? {
            Got::Near(line, flow) => {
                let source = self.source(line, patience, M::NAME);
                Ok(Answers::new(Flowing::Near(flow), source))
            }
            Got::Far(far, _coming) => {
                let meta = self.meta(self.deadline);
                let said = self.saying(&far, M::NAME, &meta, wanted.0.encoded())?;
                let stream = self.stream_far(&far, said, patience).await?;
                let source = self.far_source(&far, patience, M::NAME);
                Ok(Answers::new(Flowing::Far(stream), source))
            }
        }
    }

    fn told<M: Message>(&self, message: M) -> Box<dyn Letter> {
        Box::new(Question { meta: self.meta(self.deadline), message, reply: ReplyTo::Nobody })
    }

    /// Whether a name that anybody may have written can be that of a message at all. No work is done
    /// for one that is longer than any name, here as on other nodes.
    fn check_name(&self, line: &Line, message: &str) -> Result<(), Box<Fault>> {
        if message.len() <= NAME_MAX_LEN {
            return Ok(());
        }
        line.slot.vitals.reject();
        let name = crate::logbook::cut(message, NAME_KEPT_LEN);
        Err(self.rejected(name, Rejection::UnknownMessage { nearest: None }))
    }

    fn meta(&self, deadline: Option<Instant>) -> Meta {
        Meta { from: self.from.clone(), deadline, trace: self.trace.clone(), ..Meta::default() }
    }

    /// Where a stream of a life here comes from.
    fn source(
        &self,
        line: Arc<Line>,
        patience: Duration,
        message: impl Into<Cow<'static, str>>,
    ) -> Source {
        let (to, origin) = (self.to.clone(), Origin::Near(line));
        Source { to, origin, patience, message: message.into() }
    }

    fn earlier(&self, deadline: Instant) -> Instant {
        self.deadline.map_or(deadline, |other| other.min(deadline))
    }

    fn deadline_within(&self, patience: Duration) -> Instant {
        self.earlier(Instant::now() + patience)
    }

    /// Puts a letter into the mailbox of the life that takes messages now, if it has room.
    fn push(&self, mut letter: Box<dyn Letter>) -> Pushed {
        for _ in 0..GIVEN_WAY_MAX {
            letter = match self.push_once(letter) {
                Ok(pushed) => return pushed,
                Err(letter) => letter,
            };
        }
        Pushed::Nowhere(self.restless())
    }

    /// As [`Mail::push`]; gives the letter back where who was to take it has given way to another.
    fn push_once(&self, letter: Box<dyn Letter>) -> Result<Pushed, Box<dyn Letter>> {
        let pushed = self.push_as_it_stands(letter);
        match pushed {
            Pushed::Closed(line, letter) if line.has_given_way() => {
                self.node.directory().rouse(&line.slot.address);
                Err(letter)
            }
            pushed => Ok(pushed),
        }
    }

    fn push_as_it_stands(&self, letter: Box<dyn Letter>) -> Pushed {
        if let Some(slot) = self.slot.get().filter(|_| !self.node.directory().is_draining()) {
            let state = slot.state();
            if let State::Open(line) = &**state {
                return match line.mailbox.push(letter) {
                    Ok(()) => Pushed::Taken,
                    Err(NotTaken::Full(letter)) => Pushed::Full(line.clone(), letter),
                    Err(NotTaken::Closed(letter)) => Pushed::Closed(line.clone(), letter),
                };
            }
        }
        match self.way() {
            Err(fault) => Pushed::Nowhere(fault),
            Ok(Way::Far(far)) => Pushed::Far(far, letter),
            Ok(Way::Near(line)) => match line.mailbox.push(letter) {
                Ok(()) => Pushed::Taken,
                Err(NotTaken::Full(letter)) => Pushed::Full(line, letter),
                Err(NotTaken::Closed(letter)) => Pushed::Closed(line, letter),
            },
        }
    }

    /// Puts a letter into the mailbox of a life as soon as it has room, or into that of the life to
    /// which it gives way meanwhile. Gives the letter back if it has given way to nobody here: the
    /// address may be on another node by now.
    async fn push_or_return(
        &self,
        line: &Arc<Line>,
        mut letter: Box<dyn Letter>,
        deadline: Instant,
    ) -> Result<Put, Box<Fault>> {
        let mut line = line.clone();
        for _ in 0..GIVEN_WAY_MAX {
            let push = Box::pin(line.mailbox.push_when_room(letter));
            letter = match self.node.deadlines().before(deadline, push).await {
                Ok(Ok(())) => return Ok(Put::In(line)),
                Ok(Err(NotTaken::Full(_))) | Err(Late) => return Err(self.overloaded(&line)),
                Ok(Err(NotTaken::Closed(letter))) if line.has_given_way() => letter,
                Ok(Err(NotTaken::Closed(_))) => return Err(self.why_ended(&line, deadline).await),
            };
            self.node.directory().rouse(&line.slot.address);
            let Some((_, next)) = self.node.directory().line_at(&line.slot.address) else {
                return Ok(Put::Nowhere(letter));
            };
            line = next.map_err(|cause| self.down((*cause).clone()))?;
        }
        Err(self.restless())
    }

    /// Who was to take a message gave way to another again and again.
    fn restless(&self) -> Box<Fault> {
        self.down(Cause::new(CauseKind::Stopped, "it falls asleep again and again"))
    }

    /// The fault for a life that ended just now, without waiting to learn why.
    fn ended(&self, line: &Line) -> Box<Fault> {
        match line.slot.route() {
            Err(cause) => self.down((*cause).clone()),
            Ok(_) => self.down(Cause::new(CauseKind::Stopped, "it has just ended")),
        }
    }

    /// The fault for a life that ended, with the cause.
    async fn why_ended(&self, line: &Line, deadline: Instant) -> Box<Fault> {
        let cause = Box::pin(line.cause_of_end());
        match self.node.deadlines().before(deadline, cause).await {
            Ok(cause) => self.down((*cause).clone()),
            Err(Late) => self.down(Cause::new(CauseKind::Stopped, "it has just ended")),
        }
    }

    fn unreachable(&self, node: NodeName) -> Box<Fault> {
        Box::new(Fault::Unreachable { to: self.to.clone(), node })
    }

    fn down(&self, cause: Cause) -> Box<Fault> {
        Box::new(Fault::Down { to: self.to.clone(), cause })
    }

    fn overloaded(&self, line: &Line) -> Box<Fault> {
        let (to, capacity) = (self.to.clone(), line.mailbox.capacity());
        Box::new(Fault::Overloaded { to, capacity })
    }

    fn rejected(&self, message: &str, reason: Rejection) -> Box<Fault> {
        Box::new(Fault::Rejected { to: self.to.clone(), message: message.to_owned(), reason })
    }

    fn timed_out(&self, message: &str, after: Duration) -> Box<Fault> {
        let (to, message) = (self.to.clone(), message.to_owned());
        Box::new(Fault::Timeout { to, message, after: after.into() })
    }

    fn bury(
        &self,
        message: impl Into<Cow<'static, str>>,
        result: Result<(), Box<Fault>>,
    ) -> Result<(), Box<Fault>> {
        if let Err(fault) = &result {
            let (to, from) = (self.to.clone(), self.from.clone());
            self.node.dead_letters().add(to, from, message, (**fault).clone());
        }
        result
    }
}

/// What became of a letter.
enum Pushed {
    Taken,
    Full(Arc<Line>, Box<dyn Letter>),
    Closed(Arc<Line>, Box<dyn Letter>),
    Far(Arc<FarWay>, Box<dyn Letter>),
    Nowhere(Box<Fault>),
}

/// Where a letter is that waited for room.
enum Put {
    /// With this life.
    In(Arc<Line>),
    /// Still here: nobody on this node has the address any more.
    Nowhere(Box<dyn Letter>),
}

/// A letter that was told or asked as what it was made of.
fn told<M: Message>(letter: Box<dyn Letter>) -> Box<Question<M>> {
    match letter.downcast() {
        Ok(question) => question,
        Err(_) => unreachable!("it was made here of such a message"),
    }
}
