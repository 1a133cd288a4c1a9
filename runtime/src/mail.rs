//! Sending: tell, ask and stream.

mod far;
mod untyped;
mod way;

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use genii_protocols::frame::NAME_MAX_LEN;
use genii_protocols::wire;
use genii_protocols::{
    AskError, Cause, CauseKind, Destination, Fault, Json, Message, NodeName, Rejection, Sender,
    Streamed, TraceContext,
};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use self::way::{FarWay, Remembered, Way};
use crate::deadlines::Late;
use crate::directory::{Line, Slot, State};
use crate::letter::{Answer, Letter, Meta, Question, ReplyTo, settled};
use crate::mailbox::NotTaken;
use crate::node::Node;
use crate::protocol::JsonReply;
use crate::stream::{
    Answers, CREDIT, Flow, Flowing, Items, JsonAnswers, JsonFlow, Origin, Source, StreamQuestion,
};

/// How much of a message's name is kept with a dead letter, where anybody may have written it.
const NAME_KEPT_LEN: usize = 200;

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

    /// The same, from an agent that handles a message with this deadline and trace.
    pub(crate) fn within(mut self, from: Arc<Sender>, meta: &Meta) -> Self {
        self.from = Some(from);
        self.deadline = meta.deadline;
        self.trace.clone_from(&meta.trace);
        self
    }

    /// Whether it is sent from a node.
    pub(crate) fn is_from(&self, node: &Node) -> bool {
        self.node.is(node)
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
        if let Some(far) = self.remembered() {
            return self.bury(M::NAME, self.tell_far(&far, &message).await);
        }
        let result = match self.push(self.told(message)) {
            Pushed::Taken => return Ok(()),
            Pushed::Full(line, letter) => {
                let deadline = self.deadline_within(self.node.limits().tell_patience);
                self.push_when_room(&line, letter, deadline).await.map(drop)
            }
            Pushed::Closed(line, _) => Err(self.ended(&line)),
            Pushed::Far(far, letter) => self.tell_far(&far, &told::<M>(letter).message).await,
            Pushed::Nowhere(fault) => Err(fault),
        };
        self.bury(M::NAME, result)
    }

    /// Sends without an answer, or fails at once.
    ///
    /// # Errors
    /// As [`Mail::tell`]; [`Fault::Overloaded`] when there is no room.
    pub fn try_tell<M: Message>(&self, message: M) -> Result<(), Box<Fault>> {
        let result = match self.push(self.told(message)) {
            Pushed::Taken => Ok(()),
            Pushed::Full(line, _) => Err(self.overloaded(&line)),
            Pushed::Closed(line, _) => Err(self.ended(&line)),
            Pushed::Far(far, letter) => self.try_tell_far(&far, &told::<M>(letter).message),
            Pushed::Nowhere(fault) => Err(fault),
        };
        self.bury(M::NAME, result)
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
        let (way, _coming) = self.way_to_ask()?;
        let line = match way {
            Way::Near(line) => line,
            Way::Far(far) => {
                let meta = self.meta(Some(deadline));
                let said = self.saying(&far, M::NAME, &meta, wire::encode(&message))?;
                let answer = self.ask_far(&far, said, asked_at, deadline).await?;
                return settled::<M::Reply, M::Refusal>(&self.to, M::NAME, &answer);
            }
        };
        let (asker, answer) = oneshot::channel();
        let meta = Meta { asked_at: Some(asked_at), ..self.meta(Some(deadline)) };
        let letter: Box<dyn Letter> =
            Box::new(Question { meta, message, reply: ReplyTo::Asker(asker) });
        let line = match line.mailbox.push(letter) {
            Ok(()) => line,
            Err(NotTaken::Full(letter) | NotTaken::Closed(letter)) => {
                self.push_when_room(&line, letter, deadline).await?
            }
        };
        match self.node.deadlines().before(deadline, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(self.why_ended(&line, deadline).await.into()),
            Err(Late) => Err(self.timed_out(M::NAME, deadline - asked_at).into()),
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
        let (way, _coming) = self.way_to_ask()?;
        let line = match way {
            Way::Near(line) => line,
            Way::Far(far) => {
                let meta = self.meta(self.deadline);
                let said = self.saying(&far, M::NAME, &meta, wire::encode(&message))?;
                let stream = self.stream_far(&far, said, patience).await?;
                let source = self.far_source(&far, patience, M::NAME);
                return Ok(Answers::new(Flowing::Far(stream), source));
            }
        };
        let (items, flow) = mpsc::channel::<Flow<M>>(CREDIT);
        let meta = self.meta(self.deadline);
        let letter = Box::new(StreamQuestion { meta, message, items: Items::Typed(items) });
        let deadline = self.earlier(Instant::now() + patience);
        let line = self.push_when_room(&line, letter, deadline).await?;
        Ok(Answers::new(Flowing::Near(flow), self.source(&line, patience, M::NAME)))
    }

    /// As [`Mail::tell`], for a message in JSON.
    ///
    /// # Errors
    /// As [`Mail::tell`], and when the agent does not know the message or cannot read it.
    pub async fn tell_json(&self, message: &str, content: &Json) -> Result<(), Box<Fault>> {
        let told = self.told_json(message, content).await;
        let name = crate::logbook::cut(message, NAME_KEPT_LEN);
        self.bury(name.to_owned(), told)
    }

    async fn told_json(&self, message: &str, content: &Json) -> Result<(), Box<Fault>> {
        let line = match self.way()? {
            Way::Near(line) => line,
            Way::Far(far) => {
                let meta = self.meta(self.deadline);
                let deadline = self.deadline_within(self.node.limits().tell_patience);
                let said = self.saying_json(&far, message, &meta, content)?;
                let told = far.link.tell(said, deadline, self.node.deadlines()).await;
                return told.map_err(|why| self.not_sent(&far, why));
            }
        };
        let deadline = self.deadline_within(self.node.limits().tell_patience);
        let reply = JsonReply::Nobody;
        let letter = self.json_letter(&line, message, content, self.deadline, reply)?;
        self.push_when_room(&line, letter, deadline).await.map(drop)
    }

    /// As [`Mail::ask_within`], for a message in JSON.
    ///
    /// # Errors
    /// As [`Mail::ask`], and when the agent does not know the message or cannot read it.
    pub async fn ask_json(
        &self,
        message: &str,
        content: &Json,
        timeout: Duration,
    ) -> Result<Json, AskError<Json>> {
        let began = Instant::now();
        let deadline = self.earlier(began + timeout);
        let (way, _coming) = self.way_to_ask()?;
        let line = match way {
            Way::Near(line) => line,
            Way::Far(far) => {
                let meta = self.meta(Some(deadline));
                let said = self.saying_json(&far, message, &meta, content)?;
                let answer = self.ask_far(&far, said, began, deadline).await?;
                return settled::<Json, Json>(&self.to, message, &answer);
            }
        };
        let (asker, answer) = oneshot::channel();
        let reply = JsonReply::Asker(asker);
        let letter = self.json_letter(&line, message, content, Some(deadline), reply)?;
        let line = self.push_when_room(&line, letter, deadline).await?;
        match self.node.deadlines().before(deadline, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(self.why_ended(&line, deadline).await.into()),
            Err(Late) => Err(self.timed_out(message, deadline - began).into()),
        }
    }

    /// As [`Mail::stream`], for a message in JSON. `patience` is for each item.
    ///
    /// # Errors
    /// As [`Mail::stream`], and when the agent does not know the message or cannot read it.
    pub async fn stream_json(
        &self,
        message: &str,
        content: &Json,
        patience: Duration,
    ) -> Result<JsonAnswers, Box<Fault>> {
        let (way, _coming) = self.way_to_ask()?;
        let line = match way {
            Way::Near(line) => line,
            Way::Far(far) => {
                let meta = self.meta(self.deadline);
                let said = self.saying_json(&far, message, &meta, content)?;
                let stream = self.stream_far(&far, said, patience).await?;
                let source = self.far_source(&far, patience, message.to_owned());
                return Ok(JsonAnswers::new(Flowing::Far(stream), source));
            }
        };
        let (items, flow) = mpsc::channel::<JsonFlow>(CREDIT);
        let reply = JsonReply::Items(items);
        let letter = self.json_letter(&line, message, content, self.deadline, reply)?;
        let name = letter.name();
        let deadline = self.earlier(Instant::now() + patience);
        let line = self.push_when_room(&line, letter, deadline).await?;
        Ok(JsonAnswers::new(Flowing::Near(flow), self.source(&line, patience, name)))
    }

    fn told<M: Message>(&self, message: M) -> Box<dyn Letter> {
        Box::new(Question { meta: self.meta(self.deadline), message, reply: ReplyTo::Nobody })
    }

    fn json_letter(
        &self,
        line: &Line,
        message: &str,
        content: &Json,
        deadline: Option<Instant>,
        reply: JsonReply,
    ) -> Result<Box<dyn Letter>, Box<Fault>> {
        self.check_name(line, message)?;
        let letter = line.protocol.letter(message, content, self.meta(deadline), reply);
        letter.map_err(|reason| {
            line.slot.vitals.reject();
            self.rejected(message, reason)
        })
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

    fn source(&self, line: &Arc<Line>, patience: Duration, message: &'static str) -> Source {
        let origin = Origin::Near(line.clone());
        Source { to: self.to.clone(), origin, patience, message: message.into() }
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
    /// which it gives way meanwhile. Returns the one that has it.
    async fn push_when_room(
        &self,
        line: &Arc<Line>,
        mut letter: Box<dyn Letter>,
        deadline: Instant,
    ) -> Result<Arc<Line>, Box<Fault>> {
        let mut line = line.clone();
        for _ in 0..GIVEN_WAY_MAX {
            let push = Box::pin(line.mailbox.push_when_room(letter));
            letter = match self.node.deadlines().before(deadline, push).await {
                Ok(Ok(())) => return Ok(line),
                Ok(Err(NotTaken::Full(_))) | Err(Late) => return Err(self.overloaded(&line)),
                Ok(Err(NotTaken::Closed(letter))) if line.has_given_way() => letter,
                Ok(Err(NotTaken::Closed(_))) => return Err(self.why_ended(&line, deadline).await),
            };
            self.node.directory().rouse(&line.slot.address);
            let next = self.node.directory().line_at(&line.slot.address);
            let next = next.ok_or_else(|| self.node.directory().not_found(&self.to));
            line = next?.1.map_err(|cause| self.down((*cause).clone()))?;
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

/// A letter that was told as what it was made of.
fn told<M: Message>(letter: Box<dyn Letter>) -> Box<Question<M>> {
    match letter.downcast() {
        Ok(question) => question,
        Err(_) => unreachable!("it was made by `Mail::told`"),
    }
}
