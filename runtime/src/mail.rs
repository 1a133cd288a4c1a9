//! Sending: tell, ask and stream.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use genii_protocols::frame::{NAME_MAX_LEN, Standing};
use genii_protocols::wire::{self, WireError};
use genii_protocols::{
    Address, AskError, Cause, CauseKind, Destination, Fault, Json, Message, NodeName, Rejection,
    Sender, Streamed, TraceContext,
};
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::cluster::Far;
use crate::deadlines::Late;
use crate::directory::{Line, Slot, State};
use crate::letter::{Answer, Letter, Meta, Question, ReplyTo};
use crate::link::questions::FarAnswer;
use crate::link::sending::{AskLost, Link, NotSent, Saying};
use crate::mailbox::NotTaken;
use crate::node::Node;
use crate::protocol::JsonReply;
/// How much of a message's name is kept with a dead letter, where anybody may have written it.
const NAME_KEPT_LEN: usize = 200;

use crate::stream::{Answers, CREDIT, Flow, Items, JsonAnswers, JsonFlow, Source, StreamQuestion};

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
    from: Option<Arc<Sender>>,
    deadline: Option<Instant>,
    trace: Option<Box<TraceContext>>,
}

impl Mail {
    pub(crate) fn new(node: Node, to: Destination) -> Self {
        Self { node, to, slot: OnceLock::new(), from: None, deadline: None, trace: None }
    }

    /// The same, from an agent that handles a message with this deadline and trace.
    pub(crate) fn within(mut self, from: Arc<Sender>, meta: &Meta) -> Self {
        self.from = Some(from);
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
        let result = match self.push(self.told(message)) {
            Pushed::Taken => return Ok(()),
            Pushed::Full(line, letter) => {
                let deadline = self.deadline_within(self.node.limits().tell_patience);
                self.push_when_room(&line, letter, deadline).await
            }
            Pushed::Closed(line) => Err(self.ended(&line)),
            Pushed::Far(far, letter) => self.tell_far(&far, &mut *told::<M>(letter)).await,
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
            Pushed::Closed(line) => Err(self.ended(&line)),
            Pushed::Far(far, letter) => {
                let mut question = told::<M>(letter);
                let meta = std::mem::take(&mut question.meta);
                let said = self.saying(&far, M::NAME, &meta, wire::encode(&question.message));
                said.and_then(|said| {
                    far.link.try_tell(&said).map_err(|why| self.not_sent(&far, why))
                })
            }
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
        let line = match self.way()? {
            Way::Near(line) => line,
            Way::Far(far) => {
                let meta = self.meta(Some(deadline));
                let said = self.saying(&far, M::NAME, &meta, wire::encode(&message))?;
                let answer = self.ask_far(&far, said, asked_at, deadline).await?;
                return self.settled::<M::Reply, M::Refusal>(M::NAME, &answer);
            }
        };
        let (asker, answer) = oneshot::channel();
        let meta = Meta { asked_at: Some(asked_at), ..self.meta(Some(deadline)) };
        let letter = Box::new(Question { meta, message, reply: ReplyTo::Asker(asker) });
        match line.mailbox.push(letter) {
            Ok(()) => {}
            Err(NotTaken::Full(letter)) => self.push_when_room(&line, letter, deadline).await?,
            Err(NotTaken::Closed) => return Err(self.why_ended(&line, deadline).await.into()),
        }
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
        let patience = self.node.limits().ask_timeout;
        let line = self.line()?;
        let (items, flow) = mpsc::channel::<Flow<M>>(CREDIT);
        let meta = self.meta(self.deadline);
        let letter = Box::new(StreamQuestion { meta, message, items: Items::Typed(items) });
        self.push_when_room(&line, letter, self.earlier(Instant::now() + patience)).await?;
        Ok(Answers::new(flow, self.source(&line, patience, M::NAME)))
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
        self.push_when_room(&line, letter, deadline).await
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
        let line = match self.way()? {
            Way::Near(line) => line,
            Way::Far(far) => {
                let meta = self.meta(Some(deadline));
                let said = self.saying_json(&far, message, &meta, content)?;
                let answer = self.ask_far(&far, said, began, deadline).await?;
                return self.settled::<Json, Json>(message, &answer);
            }
        };
        let (asker, answer) = oneshot::channel();
        let reply = JsonReply::Asker(asker);
        let letter = self.json_letter(&line, message, content, Some(deadline), reply)?;
        self.push_when_room(&line, letter, deadline).await?;
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
        let line = self.line()?;
        let (items, flow) = mpsc::channel::<JsonFlow>(CREDIT);
        let reply = JsonReply::Items(items);
        let letter = self.json_letter(&line, message, content, self.deadline, reply)?;
        let name = letter.name();
        self.push_when_room(&line, letter, self.earlier(Instant::now() + patience)).await?;
        Ok(JsonAnswers::new(flow, self.source(&line, patience, name)))
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
        let letter = line.protocol.letter(message, content, self.meta(deadline), reply);
        letter.map_err(|reason| {
            line.slot.vitals.reject();
            self.rejected(message, reason)
        })
    }

    fn meta(&self, deadline: Option<Instant>) -> Meta {
        Meta { from: self.from.clone(), deadline, trace: self.trace.clone(), ..Meta::default() }
    }

    fn source(&self, line: &Arc<Line>, patience: Duration, message: &'static str) -> Source {
        Source {
            to: self.to.clone(),
            slot: line.slot.clone(),
            incarnation: line.identity.incarnation,
            patience,
            message,
        }
    }

    fn earlier(&self, deadline: Instant) -> Instant {
        self.deadline.map_or(deadline, |other| other.min(deadline))
    }

    fn deadline_within(&self, patience: Duration) -> Instant {
        self.earlier(Instant::now() + patience)
    }

    /// Puts a letter into the mailbox of the life that takes messages now, if it has room.
    fn push(&self, letter: Box<dyn Letter>) -> Pushed {
        if let Some(slot) = self.slot.get() {
            let state = slot.state();
            if let State::Open(line) = &**state {
                return match line.mailbox.push(letter) {
                    Ok(()) => Pushed::Taken,
                    Err(NotTaken::Full(letter)) => Pushed::Full(line.clone(), letter),
                    Err(NotTaken::Closed) => Pushed::Closed(line.clone()),
                };
            }
        }
        match self.way() {
            Err(fault) => Pushed::Nowhere(fault),
            Ok(Way::Far(far)) => Pushed::Far(far, letter),
            Ok(Way::Near(line)) => match line.mailbox.push(letter) {
                Ok(()) => Pushed::Taken,
                Err(NotTaken::Full(letter)) => Pushed::Full(line, letter),
                Err(NotTaken::Closed) => Pushed::Closed(line),
            },
        }
    }

    /// The way to who takes messages now, here or on another node.
    fn way(&self) -> Result<Way, Box<Fault>> {
        let Some(cluster) = self.node.cluster() else { return self.line().map(Way::Near) };
        let far = |node: &NodeName, address: &Address| {
            let link = cluster.link(node).ok_or_else(|| self.unreachable(node.clone()))?;
            Ok(Way::Far(FarWay { link, address: address.clone() }))
        };
        let pinned = self.to.node.as_ref().filter(|node| *node != self.node.name());
        let address = &self.to.address;
        if let Some(node) = pinned {
            return far(node, address);
        }
        let slot = self.node.directory().find(address);
        if let Some(home) = slot.as_ref().and_then(|slot| slot.home()) {
            // Where it lives elsewhere, and is not to be had there, somebody may stand in.
            let stands = cluster.find(address).filter(|far| far.node == *home);
            let takes = |far: &Far| matches!(far.standing, Standing::Ready | Standing::Degraded);
            let is_there = stands.as_ref().is_some_and(takes);
            let way = far(&home, address);
            return match (is_there && way.is_ok(), self.line()) {
                (false, Ok(stand_in)) => Ok(Way::Near(stand_in)),
                (_, _) => way,
            };
        }
        match (self.line(), slot) {
            (Ok(line), _) => Ok(Way::Near(line)),
            // Nobody here has the address: another node may have told of it.
            (Err(fault), None) => match cluster.find(address) {
                Some(there) => far(&there.node, address),
                None => Err(fault),
            },
            // It is down here, and its stand-in may live elsewhere.
            (Err(fault), Some(slot)) => {
                let stand_in = slot.stand_in_elsewhere();
                let way = stand_in.and_then(|(node, address)| far(&node, &address).ok());
                way.ok_or(fault)
            }
        }
    }

    fn saying<'a>(
        &self,
        far: &'a FarWay,
        message: &'a str,
        meta: &'a Meta,
        payload: Result<Vec<u8>, WireError>,
    ) -> Result<Saying<'a>, Box<Fault>> {
        // What would be read as something else there is not sent.
        match far.link.differing.contains(message) {
            true => Err(self.rejected(message, Rejection::OtherForm)),
            false => self.saying_in_any_form(far, message, meta, payload),
        }
    }

    fn saying_in_any_form<'a>(
        &self,
        far: &'a FarWay,
        message: &'a str,
        meta: &'a Meta,
        payload: Result<Vec<u8>, WireError>,
    ) -> Result<Saying<'a>, Box<Fault>> {
        if message.len() > NAME_MAX_LEN {
            let name = crate::logbook::cut(message, NAME_KEPT_LEN);
            return Err(self.rejected(name, Rejection::UnknownMessage { nearest: None }));
        }
        let payload = payload.map_err(|error| {
            self.rejected(message, Rejection::Malformed { detail: error.to_string() })
        })?;
        Ok(Saying { to: &far.address, message, meta, is_json: false, payload })
    }

    fn saying_json<'a>(
        &self,
        far: &'a FarWay,
        message: &'a str,
        meta: &'a Meta,
        content: &Json,
    ) -> Result<Saying<'a>, Box<Fault>> {
        let payload = content.0.to_string().into_bytes();
        let said = self.saying_in_any_form(far, message, meta, Ok(payload))?;
        Ok(Saying { is_json: true, ..said })
    }

    async fn tell_far<M: Message>(
        &self,
        far: &FarWay,
        question: &mut Question<M>,
    ) -> Result<(), Box<Fault>> {
        let meta = std::mem::take(&mut question.meta);
        let said = self.saying(far, M::NAME, &meta, wire::encode(&question.message))?;
        let deadline = self.deadline_within(self.node.limits().tell_patience);
        let told = Box::pin(far.link.tell(said, deadline, self.node.deadlines())).await;
        told.map_err(|why| self.not_sent(far, why))
    }

    async fn ask_far(
        &self,
        far: &FarWay,
        said: Saying<'_>,
        asked_at: Instant,
        deadline: Instant,
    ) -> Result<Bytes, Box<Fault>> {
        let message = said.message.to_owned();
        let asked = Box::pin(far.link.ask(said, deadline, self.node.deadlines())).await;
        match asked {
            Ok(FarAnswer::Reply(answer)) => Ok(answer),
            Ok(FarAnswer::Failed(fault)) => Err(fault),
            Err(AskLost::NotSent(why)) => Err(self.not_sent(far, why)),
            Err(AskLost::Broken) => Err(self.unreachable(far.link.peer.clone())),
            Err(AskLost::Late) => Err(self.timed_out(&message, deadline - asked_at)),
        }
    }

    fn not_sent(&self, far: &FarWay, why: NotSent) -> Box<Fault> {
        match why {
            NotSent::Crowded => {
                let capacity = genii_protocols::frame::CREDIT_MAX as usize;
                Box::new(Fault::Overloaded { to: self.to.clone(), capacity })
            }
            NotSent::Lost => self.unreachable(far.link.peer.clone()),
            NotSent::TooLarge(len) => {
                let detail = WireError::TooLarge { len }.to_string();
                self.rejected("a message", Rejection::Malformed { detail })
            }
        }
    }

    /// What an answer from afar says.
    fn settled<R: DeserializeOwned, E: DeserializeOwned>(
        &self,
        message: &str,
        answer: &[u8],
    ) -> Result<R, AskError<E>> {
        match wire::decode::<Result<R, E>>(answer) {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(refusal)) => Err(AskError::Refused(refusal)),
            Err(error) => {
                let detail = format!("its answer: {error}");
                Err(self.rejected(message, Rejection::Malformed { detail }).into())
            }
        }
    }

    /// The life here that takes messages now.
    fn line(&self) -> Result<Arc<Line>, Box<Fault>> {
        let slot = match self.slot.get() {
            Some(slot) => slot,
            None => {
                let slot = self.find()?;
                self.slot.get_or_init(|| slot)
            }
        };
        slot.route().or_else(|cause| {
            let current = self.find()?;
            let shut = |cause: Arc<Cause>| match current.home() {
                Some(node) => self.unreachable((*node).clone()),
                None => self.down((*cause).clone()),
            };
            match Arc::ptr_eq(&current, slot) {
                true => Err(shut(cause)),
                false => current.route().map_err(shut),
            }
        })
    }

    fn find(&self) -> Result<Arc<Slot>, Box<Fault>> {
        if let Some(node) = self.to.node.as_ref().filter(|node| *node != self.node.name()) {
            return Err(self.unreachable(node.clone()));
        }
        let found = self.node.directory().find(&self.to.address);
        found.ok_or_else(|| Box::new(self.node.directory().not_found(&self.to)))
    }

    async fn push_when_room(
        &self,
        line: &Line,
        letter: Box<dyn Letter>,
        deadline: Instant,
    ) -> Result<(), Box<Fault>> {
        let push = Box::pin(line.mailbox.push_when_room(letter));
        match self.node.deadlines().before(deadline, push).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(NotTaken::Full(_))) | Err(Late) => Err(self.overloaded(line)),
            Ok(Err(NotTaken::Closed)) => Err(self.why_ended(line, deadline).await),
        }
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
        let cause = Box::pin(line.slot.cause_of_end(line.identity.incarnation));
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
    Closed(Arc<Line>),
    Far(FarWay, Box<dyn Letter>),
    Nowhere(Box<Fault>),
}

/// The way to who takes a message.
enum Way {
    /// To a life here.
    Near(Arc<Line>),
    /// To another node.
    Far(FarWay),
}

/// The way to an address on another node.
struct FarWay {
    link: Arc<Link>,
    /// The address, or that of a stand-in.
    address: Address,
}

/// A letter that was told as what it was made of.
fn told<M: Message>(letter: Box<dyn Letter>) -> Box<Question<M>> {
    match letter.downcast() {
        Ok(question) => question,
        Err(_) => unreachable!("it was made by `Mail::told`"),
    }
}
