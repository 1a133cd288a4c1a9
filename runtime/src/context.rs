//! What an agent has at hand while it handles a message.

mod company;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use genii_protocols::{Address, Destination, Message, Sender, TraceContext};
use genii_supervision::{ExitReason, Report};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior};

use crate::dead_letters::Grave;
use crate::directory::{Line, Slot};
use crate::house::House;
use crate::letter::{Meta, Question, ReplyTo};
use crate::link::sending::Link;
use crate::mail::Mail;
use crate::monitor::{Bond, WATCHES_MAX, WatchId};
use crate::node::Node;
use crate::reply::Owed;
use crate::scope;
use crate::topics::{Arrival, Subscribed, SubscriptionId};
use crate::urgent::{Down, Urgent};

/// How many timers one agent may have.
pub const TIMERS_MAX: usize = 1_024;

/// How many tasks one agent may have.
pub const TASKS_MAX: usize = 1_024;

/// An agent's place in the house, and the message it handles.
pub struct Context {
    node: Node,
    house: Option<House>,
    line: Arc<Line>,
    report: Report,
    /// What travels beside the message being handled.
    pub(crate) meta: Meta,
    /// What was published, where that is what is being handled. Boxed, since agents are many.
    pub(crate) arrival: Option<Box<Arrival>>,
    /// It wants to end, for this reason.
    pub(crate) end: Option<ExitReason>,
    held: Option<Box<Held>>,
}

/// What ends with the agent. Boxed, since most agents hold nothing.
#[derive(Default)]
struct Held {
    tasks: JoinSet<()>,
    timers: HashMap<u64, AbortHandle>,
    watches: HashMap<WatchId, Watched>,
    subscriptions: HashMap<SubscriptionId, Subscribed>,
    next: u64,
}

/// Whose life is watched.
enum Watched {
    /// One here.
    Near(Arc<Slot>),
    /// One on another node.
    Far { bond: Bond, link: Arc<Link>, watch: u64, line: Arc<Line> },
    /// A life that was not there; the news of that is on its way.
    Nobody,
}

/// Ends an agent from one of its tasks.
#[derive(Clone)]
pub struct Ender(Weak<Line>);

impl Ender {
    /// Ends the agent, for this reason, when the message that it handles is handled.
    pub fn end(&self, reason: ExitReason) {
        if let Some(line) = self.0.upgrade() {
            // An agent that has ended cannot be ended again.
            drop(line.mailbox.push_urgent(Urgent::End(reason)));
        }
    }
}

/// Lets a task of an agent say that it works.
#[derive(Clone)]
pub struct Worker(Weak<Line>);

impl Worker {
    /// From now on the agent has something to do, until what is returned is dropped: it is not put to
    /// sleep, and draining waits for it. None if the agent has ended. Afterwards it rests on from where it
    /// was: what it does by itself keeps it awake no longer than that takes. To be held for a bounded time.
    #[must_use = "it counts until it is dropped"]
    pub fn begin(&self) -> Option<AtWork> {
        self.0.upgrade().map(|line| AtWork { _owed: Owed::new(line) })
    }
}

/// An agent has something to do, although nobody waits for it, until this is dropped.
pub struct AtWork {
    _owed: Owed,
}

/// Names a timer, to cancel it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimerId(u64);

impl Context {
    pub(crate) fn new(node: Node, house: Option<House>, line: Arc<Line>, report: Report) -> Self {
        let meta = Meta::default();
        Self { node, house, line, report, meta, arrival: None, end: None, held: None }
    }

    /// The agent's own address.
    pub fn address(&self) -> &Address {
        &self.line.identity.address
    }

    /// Which life of the agent this is.
    pub fn incarnation(&self) -> u64 {
        self.line.identity.incarnation
    }

    /// The node it lives on.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// The house as a whole, for an agent whose line in the catalogue lets it look there.
    pub fn house(&self) -> Option<&House> {
        self.house.as_ref()
    }

    /// Who sent the message being handled, when an agent did.
    pub fn sender(&self) -> Option<&Sender> {
        self.meta.from.as_deref()
    }

    /// When the answer to the message being handled comes too late.
    pub fn deadline(&self) -> Option<Instant> {
        self.meta.deadline
    }

    /// Where the message being handled goes, if it was told and nothing comes of it.
    pub fn grave<M: Message>(&self) -> Grave {
        Grave::new(self.node.clone(), self.address().into(), self.meta.from.clone(), M::NAME)
    }

    /// The trace that the message being handled is part of.
    pub fn trace(&self) -> Option<TraceContext> {
        self.meta.trace.as_deref().copied()
    }

    /// Sends to an address, with the deadline and trace of the message being handled.
    pub fn to(&self, to: impl Into<Destination>) -> Mail {
        self.via(&self.node.to(to))
    }

    /// Sends where `mail` does, with the deadline and trace of the message being handled.
    pub fn via(&self, mail: &Mail) -> Mail {
        mail.clone().within(Some(self.line.identity.clone()), &self.meta)
    }

    /// As [`Context::via`], in the name of who sent the message being handled.
    pub(crate) fn on_behalf(&self, mail: &Mail) -> Mail {
        mail.clone().within(self.meta.from.clone(), &self.meta)
    }

    // How the agent is.

    /// In [`start`](crate::Agent::start): it is not ready when that returns, but when it calls
    /// [`Context::ready`].
    pub fn ready_later(&mut self) {
        self.line.is_ready_later.store(true, Ordering::Relaxed);
    }

    /// It is ready.
    pub fn ready(&self) {
        self.report.ready();
    }

    /// With this a task of the agent can say how it is.
    pub fn report(&self) -> Report {
        self.report.clone()
    }

    /// It works, but not as it should.
    pub fn degraded(&self, why: impl Into<Arc<str>>) {
        self.report.degraded(why);
    }

    /// It works again as it should.
    pub fn recovered(&self) {
        self.report.recovered();
    }

    /// It has nothing left to do, and ends when this message is handled.
    pub fn finish(&mut self) {
        self.end.get_or_insert(ExitReason::Normal);
    }

    /// It ends when this message is handled, for this reason.
    pub fn exit(&mut self, reason: ExitReason) {
        self.end.get_or_insert(reason);
    }

    /// With this a task of the agent can end it.
    pub fn ender(&self) -> Ender {
        Ender(Arc::downgrade(&self.line))
    }

    /// With this a task of the agent can say that it works, so that it is not put to sleep meanwhile.
    pub fn worker(&self) -> Worker {
        Worker(Arc::downgrade(&self.line))
    }

    // Tasks and timers, which end with the agent.

    /// Runs code beside the agent, as long as it lives. If that panics, the agent fails.
    ///
    /// # Panics
    /// When it has [`TASKS_MAX`] tasks running already.
    pub fn spawn(&mut self, code: impl Future<Output = ()> + Send + 'static) {
        let (agent, line) = (self.line.identity.clone(), Arc::downgrade(&self.line));
        let held = self.held();
        while held.tasks.try_join_next().is_some() {}
        assert!(held.tasks.len() < TASKS_MAX, "an agent may have {TASKS_MAX} tasks at a time");
        held.tasks.spawn(scope::run(agent, async move {
            let failed = scope::catch(code).await;
            if let (Err(failure), Some(line)) = (failed, line.upgrade()) {
                // An agent that has ended no longer cares.
                drop(line.mailbox.push_urgent(Urgent::TaskFailed(Arc::new(failure))));
            }
        }));
    }

    /// Sends itself a message after a while, past what waits in its mailbox.
    ///
    /// # Panics
    /// When it has [`TIMERS_MAX`] timers already.
    pub fn send_after<M: Message>(&mut self, delay: Duration, message: M) -> TimerId {
        let line = Arc::downgrade(&self.line);
        self.add_timer(tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            if let Some(line) = line.upgrade() {
                drop(line.mailbox.push_urgent(Urgent::Own(own(message), None)));
            }
        }))
    }

    /// Sends itself a message again and again, the first after one period. While one waits to be
    /// handled, no other is sent.
    ///
    /// # Panics
    /// When it has [`TIMERS_MAX`] timers already, or the period is zero.
    pub fn send_every<M: Message>(
        &mut self,
        period: Duration,
        make: impl Fn() -> M + Send + 'static,
    ) -> TimerId {
        let line = Arc::downgrade(&self.line);
        let mut ticks = tokio::time::interval_at(Instant::now() + period, period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.add_timer(tokio::spawn(async move {
            let waits = Arc::new(AtomicBool::new(false));
            loop {
                ticks.tick().await;
                let Some(line) = line.upgrade() else { return };
                if waits.swap(true, Ordering::AcqRel) {
                    continue;
                }
                let urgent = Urgent::Own(own(make()), Some(waits.clone()));
                if line.mailbox.push_urgent(urgent).is_err() {
                    return;
                }
            }
        }))
    }

    /// Ends a timer. What it has sent already still comes.
    pub fn cancel(&mut self, timer: TimerId) {
        if let Some(task) = self.held().timers.remove(&timer.0) {
            task.abort();
        }
    }

    fn add_timer(&mut self, task: tokio::task::JoinHandle<()>) -> TimerId {
        let held = self.held();
        held.timers.retain(|_, timer| !timer.is_finished());
        assert!(held.timers.len() < TIMERS_MAX, "an agent may have {TIMERS_MAX} timers at a time");
        held.next += 1;
        held.timers.insert(held.next, task.abort_handle());
        TimerId(held.next)
    }

    // Monitors and links.

    /// Watches the life that is behind an address now: when it ends, or if there is none,
    /// [`down`](crate::Agent::down) is called, once.
    ///
    /// # Panics
    /// When it watches [`WATCHES_MAX`] lives already.
    pub fn monitor(&mut self, address: &Address) -> WatchId {
        self.watch(address, Bond::Monitor)
    }

    /// Ties its fate to the life behind an address: if either ends abnormally, so does the other.
    ///
    /// # Panics
    /// When it watches [`WATCHES_MAX`] lives already.
    pub fn link(&mut self, address: &Address) -> WatchId {
        let id = self.watch(address, Bond::Link);
        if let Some(line) = self.node.directory().find(address).and_then(|slot| slot.line()) {
            self.line.slot.watchers.add(id.of_the_other(), Bond::Link, &line);
        }
        id
    }

    /// Watches no longer.
    pub fn unwatch(&mut self, watch: WatchId) {
        let line = self.line.clone();
        match self.held().watches.remove(&watch) {
            Some(Watched::Near(slot)) => {
                slot.watchers.remove(watch, &line);
                if let Some(other) = slot.line() {
                    line.slot.watchers.remove(watch.of_the_other(), &other);
                }
            }
            Some(Watched::Far { link, watch, .. }) => link.unwatch(watch, &line),
            Some(Watched::Nobody) | None => {}
        }
    }

    fn watch(&mut self, address: &Address, bond: Bond) -> WatchId {
        let line = self.line.clone();
        let found = self.node.directory().find(address);
        let elsewhere = self.node.elsewhere(address);
        let held = self.held();
        assert!(held.watches.len() < WATCHES_MAX, "an agent may watch {WATCHES_MAX} lives");
        held.next += 1;
        let id = WatchId(held.next);
        if let Some((node, link)) = elsewhere {
            let watched =
                link.and_then(|link| Some((link.watch(id, address, bond, &line).ok()?, link)));
            match watched {
                Some((watch, link)) => {
                    held.watches.insert(id, Watched::Far { bond, link, watch, line });
                }
                None => {
                    held.watches.insert(id, Watched::Nobody);
                    let why = format!("its node {node} cannot be reached");
                    tell_absent(address, id, bond, &line, &why);
                }
            }
            return id;
        }
        match found {
            Some(slot) if slot.line().is_some() => {
                slot.watchers.add(id, bond, &line);
                held.watches.insert(id, Watched::Near(slot.clone()));
                // It may have ended in between, and then nobody would tell.
                if slot.line().is_none() {
                    slot.watchers.remove(id, &line);
                    tell_absent(address, id, bond, &line, NO_LIFE);
                }
            }
            _ => {
                held.watches.insert(id, Watched::Nobody);
                tell_absent(address, id, bond, &line, NO_LIFE);
            }
        }
        id
    }

    /// It is told of the end, unless it has ended the watch itself meanwhile; whether it is to be told.
    /// Other watches of the same address may be of its next life.
    pub(crate) fn forget_watch(&mut self, watch: WatchId) -> bool {
        let held = self.held.as_mut();
        watch.is_of_the_other() || held.is_some_and(|held| held.watches.remove(&watch).is_some())
    }

    pub(crate) fn line(&self) -> &Arc<Line> {
        &self.line
    }

    fn held(&mut self) -> &mut Held {
        self.held.get_or_insert_default()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        for timer in self.timers.values() {
            timer.abort();
        }
        for watched in self.watches.values() {
            // Whom it is linked to is told by its end.
            if let Watched::Far { bond: Bond::Monitor, link, watch, line, .. } = watched {
                link.unwatch(*watch, line);
            }
        }
    }
}

fn own<M: Message>(message: M) -> Box<Question<M>> {
    Box::new(Question { meta: Meta::default(), message, reply: ReplyTo::Nobody })
}

const NO_LIFE: &str = "there is no such life";

fn tell_absent(address: &Address, id: WatchId, bond: Bond, watcher: &Arc<Line>, why: &str) {
    let cause = genii_protocols::Cause::new(genii_protocols::CauseKind::Stopped, why);
    let down = Down { address: address.clone(), incarnation: 0, cause, is_abnormal: true };
    drop(watcher.mailbox.push_urgent(bond.news(id, Arc::new(down))));
}
