//! The host: the ractor actor behind every agent.
//!
//! A host handles one ractor message, which lasts its whole life: it takes letters from its own
//! bounded mailbox, lets the agent handle them one at a time, and looks at the urgent lane between
//! any two. ractor starts it, links it to its supervisor, kills it and reports its end; it is not
//! in the way of a message. (Waking a ractor actor for every message halves the rate of asks:
//! `docs/decisions/0002-the-host-has-its-own-mailbox.md`.)

use std::collections::VecDeque;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::future::BoxFuture;
use genii_protocols::{Cause, CauseKind, Fault, Json};
use genii_supervision::{
    Exit, ExitReason, Failure, FailureKind, Place, Start, StartError, Started,
};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;
use tokio::time::Instant;

use crate::agent::Agent;
use crate::context::Context;
use crate::directory::Line;
use crate::house::House;
use crate::letter::{Letter, Meta};
use crate::mailbox::Mailbox;
use crate::node::Node;
use crate::post::{self, Batch};
use crate::protocol::{self, AnyProtocol, Protocol};
use crate::urgent::{Down, Urgent};
use crate::{cause, scope};

/// Starts an agent of one type at the address that its key is.
pub(crate) struct HostStart<A: Agent> {
    pub(crate) node: Node,
    /// The house, for an agent that may look at it as a whole.
    pub(crate) house: Option<House>,
    pub(crate) settings: Arc<Json>,
    pub(crate) mailbox_capacity: usize,
    pub(crate) agent: PhantomData<fn() -> A>,
}

impl<A: Agent> Start for HostStart<A> {
    fn start(&self, place: Place) -> BoxFuture<'static, Result<Started, StartError>> {
        let (node, house) = (self.node.clone(), self.house.clone());
        let (settings, capacity) = (self.settings.clone(), self.mailbox_capacity);
        Box::pin(start::<A>(node, house, settings, capacity, place))
    }
}

async fn start<A: Agent>(
    node: Node,
    house: Option<House>,
    settings: Arc<Json>,
    capacity: usize,
    place: Place,
) -> Result<Started, StartError> {
    let address = genii_protocols::Address::from_shared(place.key.shared())
        .map_err(|error| StartError::refused(error.to_string()))?;
    let slot = node.directory().claim(&address);
    let protocol = node.protocols().of::<A>();
    // What waits for it already is the first that it handles.
    let mailbox = match slot.doorstep() {
        Some(doorstep) => {
            doorstep.become_life(place.incarnation);
            doorstep.mailbox.clone()
        }
        None => Arc::new(Mailbox::new(capacity)),
    };
    let line = Arc::new(Line::new(&slot, place.incarnation, mailbox, protocol.clone()));
    slot.begin(line.clone());
    let mut unborn = Unborn(Some((node.clone(), line.clone())));
    let context = Context::new(node, house, line.clone(), place.report());
    let birth = Birth { settings, protocol, context };
    let spawned = place.spawn_controlled(Host::<A>(PhantomData), birth, |_| line.clone()).await;
    if let Err(error) = spawned {
        unborn.bury(cause::of_start(&error));
        return Err(error);
    }
    let is_later = line.is_ready_later.load(Ordering::Relaxed);
    unborn.born();
    Ok(if is_later { Started::Alive } else { Started::Ready })
}

/// Takes a life back out of the directory when its start fails or is called off.
struct Unborn(Option<(Node, Arc<Line>)>);

impl Unborn {
    fn born(mut self) {
        self.0 = None;
    }

    /// Takes it back; what waited for it learns why.
    fn bury(&mut self, cause: Cause) {
        let Some((node, line)) = self.0.take() else { return };
        line.mailbox.close();
        post::give_back(&node, &line.identity.address, line.mailbox.take_rest(), &cause);
        line.slot.end(line.identity.incarnation);
        node.leave_groups(&line.identity);
    }
}

impl Drop for Unborn {
    fn drop(&mut self) {
        self.bury(Cause::new(CauseKind::StartFailed, "its start was called off"));
    }
}

/// The ractor actor.
struct Host<A>(PhantomData<fn() -> A>);

/// What a host is started with.
struct Birth<A: Agent> {
    settings: Arc<Json>,
    protocol: Arc<Protocol<A>>,
    context: Context,
}

/// The only message of a host: live.
struct Live;

impl<A: Agent> Actor for Host<A> {
    type Msg = Live;
    type State = Box<Life<A>>;
    type Arguments = Birth<A>;

    async fn pre_start(
        &self,
        myself: ActorRef<Live>,
        birth: Birth<A>,
    ) -> Result<Box<Life<A>>, ActorProcessingErr> {
        let Birth { settings, protocol, mut context } = birth;
        let identity = context.line().identity.clone();
        let settings: A::Settings = read_settings(&settings)
            .map_err(|error| StartError::refused(format!("its settings are wrong: {error}")))?;
        let agent = scope::run(identity, scope::catch(A::start(settings, &mut context)))
            .await
            .map_err(|failure| StartError::Failed(Arc::new(failure)))??;
        myself.cast(Live)?;
        let clock = Instant::now();
        let batch = Batch::default();
        let (agent, line) = (Some(agent), context.line().clone());
        Ok(Box::new(Life {
            agent,
            protocol,
            line,
            context,
            batch,
            held_back: VecDeque::new(),
            clock,
            suspended: false,
            has_slept: true,
        }))
    }

    async fn handle(
        &self,
        _: ActorRef<Live>,
        _: Live,
        life: &mut Box<Life<A>>,
    ) -> Result<(), ActorProcessingErr> {
        let identity = life.line.identity.clone();
        let reason = scope::run(identity, life.live()).await;
        life.end(&reason);
        Err(Exit(reason).into())
    }
}

/// One life of an agent.
struct Life<A: Agent> {
    /// `None` once it has ended.
    agent: Option<A>,
    protocol: Arc<Protocol<A>>,
    line: Arc<Line>,
    context: Context,
    /// What was taken from the mailbox and not begun.
    batch: Batch,
    /// What its timers sent while it was suspended: one letter for each timer at most.
    held_back: VecDeque<Urgent>,
    suspended: bool,
    /// When the last handler ended: the next one begins then, unless the host has slept.
    clock: Instant,
    has_slept: bool,
}

/// What follows from something that was handled.
type Next = std::ops::ControlFlow<ExitReason>;

const GO_ON: Next = Next::Continue(());

impl<A: Agent> Life<A> {
    /// Handles what comes, until something ends it.
    async fn live(&mut self) -> ExitReason {
        loop {
            let next = if self.line.mailbox.is_urgent() {
                self.look_at_urgent().await
            } else if !self.suspended && !self.held_back.is_empty() {
                self.take_held_back().await
            } else if !self.suspended && !self.batch.is_empty() {
                self.handle_next().await
            } else {
                self.fetch().await;
                GO_ON
            };
            if let Next::Break(reason) = next {
                return reason;
            }
        }
    }

    /// Takes a batch from the mailbox, or sleeps until there is one.
    async fn fetch(&mut self) {
        let since = self.context.node().nanos(self.clock);
        self.line.slot.vitals.rest(since);
        self.line.mailbox.fetch(&mut self.batch, self.suspended).await;
        // A busy agent lets others on its thread have a turn.
        tokio::task::consume_budget().await;
        self.has_slept = true;
    }

    /// Heeds a message of its own timers that came while it was suspended.
    async fn take_held_back(&mut self) -> Next {
        match self.held_back.pop_front() {
            Some(own) => self.heed(own).await,
            None => GO_ON,
        }
    }

    async fn handle_next(&mut self) -> Next {
        let next = self.batch.next(&self.line);
        // Busy before it is no longer counted, so that nobody finds it idle in between.
        let now = self.context.node().nanos(self.clock);
        self.line.slot.vitals.begin(now, usize::MAX);
        self.line.mailbox.begun(self.batch.letters());
        let Some(letter) = next else { return GO_ON };
        self.answer(letter).await
    }

    /// Lets the agent answer a letter, unless it comes too late or is not known.
    async fn answer(&mut self, mut letter: Box<dyn Letter>) -> Next {
        let mut meta = std::mem::take(letter.meta());
        // Its sender may send more when it has been handled, and not before.
        let _credit = meta.ticket.take();
        if std::mem::take(&mut self.has_slept) {
            // Nothing waited while it slept, so that what woke it was asked just now.
            let begins = meta.asked_at.unwrap_or_else(Instant::now);
            self.clock = self.clock.max(begins);
        }
        if meta.deadline.is_some_and(|deadline| deadline < self.clock) {
            self.expire(letter, &meta);
            return GO_ON;
        }
        let Some(entry) = self.protocol.find(&*letter) else {
            self.reject(letter, &meta);
            return GO_ON;
        };
        let Some(agent) = self.agent.as_mut() else { return GO_ON };
        let name = letter.name();
        let slot = &self.line.slot;
        slot.vitals.begin(self.context.node().nanos(self.clock), entry);
        self.context.meta = meta;
        let answering = self.protocol.call(entry, agent, letter, &mut self.context);
        let answered = match tracing::enabled!(target: "genii::message", tracing::Level::DEBUG) {
            true => {
                let agent = &slot.address;
                let span = tracing::debug_span!(target: "genii::message", "handle", %agent, message = name);
                scope::catch(tracing::Instrument::instrument(answering, span)).await
            }
            false => scope::catch(answering).await,
        };
        self.context.arrival = None;
        let now = Instant::now();
        match answered {
            Ok(outcome) => slot.vitals.end(outcome, now - self.clock),
            Err(failure) => {
                slot.vitals.fail();
                let failure = Failure { handling: Some(name.to_owned()), ..failure };
                return Next::Break(ExitReason::Failed(Arc::new(failure)));
            }
        }
        self.clock = now;
        match self.context.end.take() {
            Some(reason) => Next::Break(self.stop(reason).await),
            None => GO_ON,
        }
    }

    fn expire(&self, letter: Box<dyn Letter>, meta: &Meta) {
        self.line.slot.vitals.expire();
        let fault = Fault::Timeout {
            to: self.context.address().into(),
            message: letter.name().to_owned(),
            after: std::time::Duration::ZERO.into(),
        };
        self.give_up(letter, meta, fault);
    }

    fn reject(&self, letter: Box<dyn Letter>, meta: &Meta) {
        self.line.slot.vitals.reject();
        let fault = Fault::Rejected {
            to: self.context.address().into(),
            message: letter.name().to_owned(),
            reason: protocol::unknown(letter.name(), &self.protocol.names()),
        };
        self.give_up(letter, meta, fault);
    }

    fn give_up(&self, letter: Box<dyn Letter>, meta: &Meta, fault: Fault) {
        let (node, to) = (self.context.node(), self.context.address());
        post::give_up(node, to, letter, meta.from.clone(), fault);
    }

    async fn look_at_urgent(&mut self) -> Next {
        match self.line.mailbox.take_urgent() {
            (_, true) => Next::Break(self.stop(ExitReason::Shutdown(None)).await),
            (None, false) => GO_ON,
            (Some(urgent), false) => self.heed(urgent).await,
        }
    }

    async fn heed(&mut self, urgent: Urgent) -> Next {
        let Some(agent) = self.agent.as_mut() else { return GO_ON };
        match urgent {
            Urgent::Ping(reply) => {
                let _asker_has_gone = reply.send(());
            }
            Urgent::Health(reply) => {
                // Held as its only holder, since an agent need not bear being shared.
                let look = async move { std::convert::identity::<&mut A>(agent).health() };
                let looked = scope::catch(look).await;
                return Self::told("a look at its health", looked.map(|it| drop(reply.send(it))));
            }
            Urgent::Snapshot(reply) => {
                let look = async move { std::convert::identity::<&mut A>(agent).snapshot() };
                let looked = scope::catch(look).await;
                return Self::told("a look at its state", looked.map(|it| drop(reply.send(it))));
            }
            Urgent::Suspend(reply) => {
                self.set_suspended(true);
                let _asker_has_gone = reply.send(());
            }
            Urgent::Resume(reply) => {
                self.set_suspended(false);
                let _asker_has_gone = reply.send(());
            }
            Urgent::NeedChanged(change) => {
                let telling = agent.need_changed(change, &mut self.context);
                return Self::told("news of a need", scope::catch(telling).await);
            }
            Urgent::Down(watch, down) => {
                if self.context.forget_watch(watch) {
                    let telling = agent.down(&down, &mut self.context);
                    return Self::told("news of an end", scope::catch(telling).await);
                }
            }
            Urgent::LinkDown(link, down) => {
                let is_held = link.is_none_or(|link| self.context.forget_watch(link));
                if is_held && down.is_abnormal {
                    return Next::Break(link_broke(&down));
                }
            }
            own @ Urgent::Own(..) if self.suspended => self.held_back.push_back(own),
            Urgent::Own(letter, waits) => {
                if let Some(waits) = waits {
                    waits.store(false, Ordering::Release);
                }
                return self.answer(letter).await;
            }
            Urgent::TaskFailed(failure) => return Next::Break(ExitReason::Failed(failure)),
            Urgent::End(reason) => return Next::Break(self.stop(reason).await),
        }
        GO_ON
    }

    fn told(what: &str, told: Result<(), Failure>) -> Next {
        match told {
            Ok(()) => GO_ON,
            Err(failure) => {
                let failure = Failure { handling: Some(what.to_owned()), ..failure };
                Next::Break(ExitReason::Failed(Arc::new(failure)))
            }
        }
    }

    fn set_suspended(&mut self, suspended: bool) {
        if self.suspended == suspended {
            return;
        }
        self.suspended = suspended;
        self.line.slot.vitals.set_suspended(suspended);
        self.tell_others();
        let what = if suspended { "was suspended" } else { "was resumed" };
        self.context.node().note(&self.line.identity, what);
    }

    /// Other nodes are told whether it is suspended.
    fn tell_others(&self) {
        if let Some(cluster) = self.context.node().cluster() {
            cluster.stands_otherwise(self.context.address());
        }
    }

    /// Lets the agent end in good order.
    async fn stop(&mut self, reason: ExitReason) -> ExitReason {
        let Some(agent) = self.agent.as_mut() else { return reason };
        match scope::catch(agent.stop(&mut self.context)).await {
            Ok(()) => reason,
            Err(failure) => {
                let failure = Failure { handling: Some("its stop".to_owned()), ..failure };
                ExitReason::Failed(Arc::new(failure))
            }
        }
    }

    /// Returns what was not handled to its senders. Nothing that was taken is lost in silence.
    fn end(&mut self, reason: &ExitReason) {
        let line = self.line.clone();
        // Before the agent goes, so that whoever waits for an answer that it owes learns why it ended.
        line.mailbox.close();
        self.agent = None;
        line.slot.vitals.idle();
        line.slot.vitals.set_suspended(false);
        if std::mem::take(&mut self.suspended) {
            self.tell_others();
        }
        let cause = match (reason, line.called_off.get()) {
            (ExitReason::Shutdown(_), Some(why)) => Cause::new(CauseKind::Stopped, &**why),
            _ => cause::of_exit(reason),
        };
        let taken = std::mem::take(&mut self.batch).into_posts();
        let posts = taken.into_iter().chain(line.mailbox.take_rest());
        post::give_back(self.context.node(), self.context.address(), posts, &cause);
        line.slot.end(line.identity.incarnation);
        self.context.node().leave_groups(&line.identity);
    }
}

impl<A: Agent> Drop for Life<A> {
    fn drop(&mut self) {
        // A life that was killed had no time to put its things in order.
        if self.agent.is_some() {
            self.end(&ExitReason::Killed);
        }
    }
}

/// What is wrong with what is set for an agent: which key, and what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SettingsFault {
    /// The way to the key, or to the table that has it; empty for the whole.
    pub(crate) path: Vec<String>,
    /// What is wrong.
    pub(crate) what: String,
}

impl std::fmt::Display for SettingsFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.path.is_empty() {
            true => f.write_str(&self.what),
            false => write!(f, "`{}`: {}", self.path.join("."), self.what),
        }
    }
}

/// Reads what is set for an agent. Nothing at all is as good as an empty table.
pub(crate) fn read_settings<T: DeserializeOwned>(settings: &Json) -> Result<T, SettingsFault> {
    let read = |value: serde_json::Value| {
        serde_path_to_error::deserialize(value).map_err(|error| {
            let named = |segment: &Segment| match segment {
                Segment::Map { key } => Some(key.clone()),
                Segment::Seq { index } => Some(index.to_string()),
                Segment::Enum { .. } | Segment::Unknown => None,
            };
            let mut path: Vec<String> = error.path().iter().filter_map(named).collect();
            let what = error.into_inner().to_string();
            // One that is not known is named in the words.
            path.pop_if(|last| what.starts_with(&format!("unknown field `{last}`")));
            SettingsFault { path, what }
        })
    };
    let own = read(settings.0.clone());
    match &settings.0 {
        serde_json::Value::Null => {
            own.or_else(|_| read(serde_json::Value::Object(serde_json::Map::new())))
        }
        _ => own,
    }
}

fn link_broke(down: &Down) -> ExitReason {
    let message = format!("{}, to which it is linked, has ended", down.address);
    let chain = vec![down.cause.to_string()];
    ExitReason::Failed(Arc::new(Failure { chain, ..Failure::new(FailureKind::Error, message) }))
}
