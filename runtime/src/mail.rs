//! Sending: tell, ask and stream.

mod far;
mod untyped;
mod way;

#[cfg(test)]
mod tests;

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
        let mut pushed = self.push(self.told(message));
        if let Pushed::Full(line, letter) = pushed {
            let deadline = self.deadline_within(self.node.limits().tell_patience);
            pushed = match self.push_or_return(&line, letter, deadline).await {
                Ok(Put::In(_)) => Pushed::Taken,
                Ok(Put::Nowhere(letter)) => self.push(letter),
                Err(fault) => Pushed::Nowhere(fault),
            };
        }
        let result = match pushed {
            Pushed::Taken => return Ok(()),
            Pushed::Full(line, _) => Err(self.overloaded(&line)),
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
    pub async fn ask_within<M: Message>(&self, mut message: M, timeout: Duration) -> Answer<M> {
        let asked_at = Instant::now();
        let deadline = self.earlier(asked_at + timeout);
        for _ in 0..GIVEN_WAY_MAX {
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
                    match self.push_or_return(&line, letter, deadline).await? {
                        Put::In(line) => line,
                        // It may have moved in this moment.
                        Put::Nowhere(letter) => {
                            message = told::<M>(letter).message;
                            continue;
                        }
                    }
                }
            };
            return match self.node.deadlines().before(deadline, answer).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(_)) => Err(self.why_ended(&line, deadline).await.into()),
                Err(Late) => Err(self.timed_out(M::NAME, deadline - asked_at).into()),
            };
        }
        Err(self.restless().into())
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
        mut message: M,
        patience: Duration,
    ) -> Result<Answers<M>, Box<Fault>> {
        let deadline = self.earlier(Instant::now() + patience);
        for _ in 0..GIVEN_WAY_MAX {
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
            match self.push_or_return(&line, letter, deadline).await? {
                Put::In(line) => {
                    let source = self.source(&line, patience, M::NAME);
                    return Ok(Answers::new(Flowing::Near(flow), source));
                }
                Put::Nowhere(letter) => message = streamed::<M>(letter).message,
            }
        }
        Err(self.restless())
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
        let deadline = self.deadline_within(self.node.limits().tell_patience);
        for _ in 0..GIVEN_WAY_MAX {
            let line = match self.way()? {
                Way::Near(line) => line,
                Way::Far(far) => {
                    let meta = self.meta(self.deadline);
                    let said = self.saying_json(&far, message, &meta, content)?;
                    let told = far.link.tell(said, deadline, self.node.deadlines()).await;
                    return told.map_err(|why| self.not_sent(&far, why));
                }
            };
            let reply = JsonReply::Nobody;
            let letter = self.json_letter(&line, message, content, self.deadline, reply)?;
            if let Put::In(_) = self.push_or_return(&line, letter, deadline).await? {
                return Ok(());
            }
        }
        Err(self.restless())
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
        for _ in 0..GIVEN_WAY_MAX {
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
            let Put::In(line) = self.push_or_return(&line, letter, deadline).await? else {
                continue;
            };
            return match self.node.deadlines().before(deadline, answer).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(_)) => Err(self.why_ended(&line, deadline).await.into()),
                Err(Late) => Err(self.timed_out(message, deadline - began).into()),
            };
        }
        Err(self.restless().into())
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
        let deadline = self.earlier(Instant::now() + patience);
        for _ in 0..GIVEN_WAY_MAX {
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
            if let Put::In(line) = self.push_or_return(&line, letter, deadline).await? {
                let source = self.source(&line, patience, name);
                return Ok(JsonAnswers::new(Flowing::Near(flow), source));
            }
        }
        Err(self.restless())
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

    /// As [`Mail::push_or_return`], where a letter is not sent after whoever has left this node.
    async fn push_when_room(
        &self,
        line: &Arc<Line>,
        letter: Box<dyn Letter>,
        deadline: Instant,
    ) -> Result<Arc<Line>, Box<Fault>> {
        match self.push_or_return(line, letter, deadline).await? {
            Put::In(line) => Ok(line),
            Put::Nowhere(_) => Err(self.node.directory().not_found(&self.to).into()),
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

/// As [`told`], for one that is answered by a stream.
fn streamed<M: Streamed>(letter: Box<dyn Letter>) -> Box<StreamQuestion<M>> {
    match letter.downcast() {
        Ok(question) => question,
        Err(_) => unreachable!("it was made here of such a message"),
    }
}
