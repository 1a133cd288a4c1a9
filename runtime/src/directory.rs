//! The directory: which agent is behind an address now, on this node.
//!
//! Each known address has a [`Slot`] that outlives the lives of its agent, so that a sender can
//! keep hold of it. The slot says whether a life is open to messages and, if not, why; counts; and
//! names the stand-in.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::{ArcSwap, ArcSwapOption};
use dashmap::DashMap;
use genii_protocols::{Address, Cause, CauseKind, Destination, Fault, NodeName, Sender};
use genii_supervision::{Control, NeedChange};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::mailbox::Mailbox;
use crate::monitor::Watchers;
use crate::nursery::Nest;
use crate::protocol::AnyProtocol;
use crate::urgent::Urgent;
use crate::vitals::Vitals;

/// Above so many addresses nobody looks for the one that was meant.
const NEAREST_MAX: usize = 10_000;

/// How many stand-ins for stand-ins are followed.
const STAND_IN_DEPTH: usize = 8;

/// One life of an agent, as a sender reaches it.
pub(crate) struct Line {
    pub(crate) identity: Arc<Sender>,
    /// Shared with the doorstep that it was before, if it was.
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) protocol: Arc<dyn AnyProtocol>,
    pub(crate) slot: Arc<Slot>,
    /// The agent will say itself when it is ready.
    pub(crate) is_ready_later: AtomicBool,
    /// Nobody lives here yet: what comes waits in the mailbox, which the next life takes over.
    pub(crate) is_doorstep: bool,
    /// It took no more messages because it went to sleep, was let go of, or was not needed as a
    /// doorstep: what did not get in is to be sent to whoever takes them now.
    has_given_way: AtomicBool,
    /// The life that took over this doorstep; zero as long as none has.
    became: AtomicU64,
    /// Why it is to break off what it is at when it is asked to stop, if it is.
    pub(crate) called_off: OnceLock<Arc<str>>,
}

impl Line {
    /// Where the messages to one life come in.
    pub(crate) fn new(
        slot: &Arc<Slot>,
        incarnation: u64,
        mailbox: Arc<Mailbox>,
        protocol: Arc<dyn AnyProtocol>,
    ) -> Self {
        Self {
            identity: Arc::new(Sender { address: slot.address.clone(), incarnation }),
            mailbox,
            protocol,
            slot: slot.clone(),
            is_ready_later: false.into(),
            is_doorstep: false,
            has_given_way: false.into(),
            became: 0.into(),
            called_off: OnceLock::new(),
        }
    }

    /// A life takes over what waits on this doorstep.
    pub(crate) fn become_life(&self, incarnation: u64) {
        self.became.store(incarnation, Ordering::Release);
    }

    /// Why this life, or the one that took over this doorstep, is not there. Waits until that is known.
    pub(crate) async fn cause_of_end(&self) -> Arc<Cause> {
        let life = self.identity.incarnation.max(self.became.load(Ordering::Acquire));
        self.slot.cause_of_end(life).await
    }

    /// Where messages wait for a life that is being woken.
    pub(crate) fn doorstep(
        slot: &Arc<Slot>,
        capacity: usize,
        protocol: Arc<dyn AnyProtocol>,
    ) -> Self {
        let mailbox = Arc::new(Mailbox::new(capacity));
        Self { is_doorstep: true, ..Self::new(slot, 0, mailbox, protocol) }
    }

    /// Takes nothing more if nothing waits here, and says that others are to be looked for; whether
    /// it did.
    pub(crate) fn give_way(&self) -> bool {
        // Said before the first can find it closed.
        self.has_given_way.store(true, Ordering::SeqCst);
        let is_idle = || self.is_doorstep || self.slot.vitals.is_idle();
        let closed = self.mailbox.close_if_empty(is_idle);
        if !closed {
            self.has_given_way.store(false, Ordering::SeqCst);
        }
        closed
    }

    /// Whether what finds it closed is to be sent to whoever takes messages now.
    pub(crate) fn has_given_way(&self) -> bool {
        self.has_given_way.load(Ordering::SeqCst)
    }
}

impl Control for Line {
    fn stop(&self) {
        self.mailbox.close();
    }

    fn need_changed(&self, change: &NeedChange) {
        if self.mailbox.push_urgent(Urgent::NeedChanged(change.clone())).is_err() {
            tracing::debug!(agent = %self.identity.address, need = %change.key, "ended untold");
        }
    }
}

/// Whether an address takes messages.
pub(crate) enum State {
    /// To this life.
    Open(Arc<Line>),
    /// No, for this reason. The life is there all the same if it is starting or stopping, and then
    /// the reason is not the last word.
    Shut { cause: Arc<Cause>, incarnation: u64, is_final: bool },
}

/// The life that takes messages, or why none does.
pub(crate) type Route = Result<Arc<Line>, Arc<Cause>>;

/// An address.
pub(crate) struct Slot {
    pub(crate) address: Address,
    pub(crate) vitals: Vitals,
    pub(crate) watchers: Watchers,
    state: ArcSwap<State>,
    /// The last life that is known to have ended, and why, for those who ask when another has begun.
    ended: ArcSwapOption<(u64, Arc<Cause>)>,
    /// The life that exists, open or not, for what comes from the house itself.
    line: ArcSwapOption<Line>,
    stand_in: ArcSwapOption<Slot>,
    /// The node that it lives on, where that is another.
    home: ArcSwapOption<NodeName>,
    /// Its agent sleeps, and another slot takes its place when it wakes.
    is_put_away: AtomicBool,
    /// Those who wait for the state to change.
    waiting: Mutex<Vec<oneshot::Sender<()>>>,
}

impl Slot {
    fn new(address: Address) -> Self {
        let cause = Arc::new(Cause::new(CauseKind::Starting, "it has not started yet"));
        Self {
            address,
            vitals: Vitals::default(),
            watchers: Watchers::default(),
            state: ArcSwap::from_pointee(State::Shut { cause, incarnation: 0, is_final: false }),
            ended: ArcSwapOption::empty(),
            line: ArcSwapOption::empty(),
            stand_in: ArcSwapOption::empty(),
            home: ArcSwapOption::empty(),
            is_put_away: false.into(),
            waiting: Mutex::default(),
        }
    }

    /// The slot of nobody, which says why.
    pub(crate) fn shut_for(address: &Address, cause: Cause) -> Arc<Self> {
        let slot = Self::new(address.clone());
        slot.shut(u64::MAX, cause, true);
        Arc::new(slot)
    }

    /// The life here that takes messages for this address: its own, or that of a stand-in.
    pub(crate) fn route(self: &Arc<Self>) -> Result<Arc<Line>, Arc<Cause>> {
        match &**self.state.load() {
            State::Open(line) => Ok(line.clone()),
            State::Shut { cause, .. } => {
                let line = self.succession().find_map(|slot| slot.open_line());
                line.ok_or_else(|| cause.clone())
            }
        }
    }

    /// As it is now, without the stand-in.
    pub(crate) fn state(&self) -> arc_swap::Guard<Arc<State>> {
        self.state.load()
    }

    /// The life here that takes messages, without the stand-in.
    pub(crate) fn open_line(&self) -> Option<Arc<Line>> {
        match &**self.state.load() {
            State::Open(line) => Some(line.clone()),
            State::Shut { .. } => None,
        }
    }

    /// Those who take messages for this address, if those before them do not: itself, its stand-in,
    /// the stand-in of that, wherever they live.
    pub(crate) fn succession(self: &Arc<Self>) -> impl Iterator<Item = Arc<Self>> {
        let next = |slot: &Arc<Self>| slot.stand_in.load_full();
        std::iter::successors(Some(self.clone()), next).take(1 + STAND_IN_DEPTH)
    }

    /// Whether whoever found it is to look for the address once more.
    pub(crate) fn is_put_away(&self) -> bool {
        self.is_put_away.load(Ordering::SeqCst)
    }

    /// The life that exists, whether or not it takes messages.
    pub(crate) fn line(&self) -> Option<Arc<Line>> {
        self.line.load_full()
    }

    /// A life has begun. It takes messages when it is [opened](Slot::open).
    pub(crate) fn begin(&self, line: Arc<Line>) {
        self.line.store(Some(line));
    }

    /// The life that exists takes messages from now on.
    pub(crate) fn open(&self, incarnation: u64) {
        let Some(line) = self.line.load_full() else { return };
        if line.identity.incarnation == incarnation {
            self.state.store(Arc::new(State::Open(line)));
            self.tell_change();
        }
    }

    /// Whether there is nobody, and there has been nobody as long as it is known.
    fn is_empty(&self) -> bool {
        self.line.load().is_none()
            && matches!(&**self.state.load(), State::Shut { incarnation: 0, .. })
    }

    /// Messages wait on this doorstep from now on.
    pub(crate) fn expect(&self, doorstep: Line) {
        self.state.store(Arc::new(State::Open(Arc::new(doorstep))));
        self.tell_change();
    }

    /// The doorstep on which messages wait now, if they do.
    pub(crate) fn doorstep(&self) -> Option<Arc<Line>> {
        self.open_line().filter(|line| line.is_doorstep)
    }

    /// No messages are taken from now on, for this reason.
    pub(crate) fn shut(&self, incarnation: u64, cause: Cause, is_final: bool) {
        let cause = Arc::new(cause);
        // The first that is told of a life: what comes after it, as that its supervisor gave up, is no news of
        // why it ended. One that is removed ends no life.
        let is_end = is_final && incarnation > 0 && incarnation < u64::MAX;
        if is_end && cause.kind != CauseKind::Starting && self.end_of(incarnation).is_none() {
            self.ended.store(Some(Arc::new((incarnation, cause.clone()))));
        }
        self.state.store(Arc::new(State::Shut { cause, incarnation, is_final }));
        self.tell_change();
    }

    /// Whether a life has ended here, and why is known. Nothing better can be said of it later.
    pub(crate) fn has_ended(&self) -> bool {
        match &**self.state.load() {
            State::Shut { cause, incarnation, is_final } => {
                *is_final && *incarnation > 0 && cause.kind != CauseKind::Starting
            }
            State::Open(_) => false,
        }
    }

    /// A life has ended for this reason, if none is known yet; whoever takes messages now.
    pub(crate) fn note_end(&self, incarnation: u64, cause: Cause) {
        if self.end_of(incarnation).is_none() {
            self.ended.store(Some(Arc::new((incarnation, Arc::new(cause)))));
        }
        self.tell_change();
    }

    /// A life has ended.
    pub(crate) fn end(&self, incarnation: u64) {
        let line = self.line.load();
        if line.as_ref().is_some_and(|line| line.identity.incarnation == incarnation) {
            self.line.store(None);
        }
    }

    pub(crate) fn set_stand_in(&self, stand_in: Option<Arc<Self>>) {
        self.stand_in.store(stand_in);
    }

    pub(crate) fn set_home(&self, home: Option<&NodeName>) {
        self.home.store(home.map(|home| Arc::new(home.clone())));
    }

    /// The node that it lives on, where that is another.
    pub(crate) fn home(&self) -> Option<Arc<NodeName>> {
        self.home.load_full()
    }

    /// Why a life, which no longer answers, is not there. Waits until that is known.
    async fn cause_of_end(&self, incarnation: u64) -> Arc<Cause> {
        loop {
            let (told, change) = oneshot::channel();
            self.enlist(told);
            if let Some(known) = self.end_of(incarnation) {
                return known;
            }
            let standing = match &**self.state.load() {
                State::Shut { cause, incarnation: shut, is_final: true }
                    if *shut >= incarnation =>
                {
                    let is_of_next = cause.kind == CauseKind::Starting && incarnation > 0;
                    Some(if is_of_next { Arc::new(next_is_to_begin()) } else { cause.clone() })
                }
                State::Open(line) if line.identity.incarnation > incarnation => {
                    // Several lives ago, so that nobody knows why any more.
                    let message = "it has ended, and another life has begun";
                    Some(Arc::new(Cause::new(CauseKind::Stopped, message)))
                }
                _ => None,
            };
            if let Some(standing) = standing {
                return standing;
            }
            if change.await.is_err() {
                return Arc::new(Cause::new(CauseKind::Stopped, "its node has ended"));
            }
        }
    }

    /// Why a life ended, if it is the last that did.
    fn end_of(&self, incarnation: u64) -> Option<Arc<Cause>> {
        let ended = self.ended.load_full()?;
        let (life, cause) = &*ended;
        (*life == incarnation).then(|| cause.clone())
    }

    fn enlist(&self, told: oneshot::Sender<()>) {
        let mut waiting = self.waiting.lock();
        waiting.retain(|other| !other.is_closed());
        waiting.push(told);
    }

    fn tell_change(&self) {
        for told in std::mem::take(&mut *self.waiting.lock()) {
            let _no_longer_waits = told.send(());
        }
    }
}

/// Why a life is not there that was stopped to be started anew. That the next is to begin is no reason for the end
/// of this one, which may have done what it was asked.
pub(crate) fn next_is_to_begin() -> Cause {
    Cause::new(CauseKind::Stopped, "it has ended, and another life is to begin")
}

/// All addresses of a node.
#[derive(Default)]
pub(crate) struct Directory {
    slots: DashMap<Address, Arc<Slot>>,
    /// Rises when a way that somebody remembers may be another.
    edition: AtomicU64,
    /// This node is about to leave the others.
    is_draining: AtomicBool,
    /// By group, those whose agents sleep while nobody talks to them.
    nurseries: ArcSwap<HashMap<String, Arc<Nest>>>,
}

impl Directory {
    /// The slot of an address, made if need be.
    pub(crate) fn claim(&self, address: &Address) -> Arc<Slot> {
        if let Some(slot) = self.slots.get(address) {
            return slot.clone();
        }
        let slot = || Arc::new(Slot::new(address.clone()));
        let slot = self.slots.entry(address.clone()).or_insert_with(slot).clone();
        self.ways_changed();
        slot
    }

    pub(crate) fn find(&self, address: &Address) -> Option<Arc<Slot>> {
        self.slots.get(address).map(|slot| slot.clone())
    }

    /// Forgets an address. Who still holds its slot finds it shut.
    pub(crate) fn forget(&self, address: &Address) {
        if let Some((_, slot)) = self.slots.remove(address).filter(|(_, slot)| !slot.has_ended()) {
            slot.shut(u64::MAX, Cause::new(CauseKind::Stopped, "it was removed"), true);
        }
        self.ways_changed();
    }

    /// Which edition of the ways from here this is. One that was found in another may be wrong.
    pub(crate) fn edition(&self) -> u64 {
        self.edition.load(Ordering::Acquire)
    }

    /// Ways from here have changed.
    pub(crate) fn ways_changed(&self) {
        self.edition.fetch_add(1, Ordering::AcqRel);
    }

    /// This node is about to leave: what has a stand-in on another node is to go there.
    pub(crate) fn drain(&self) {
        self.is_draining.store(true, Ordering::Release);
        self.ways_changed();
    }

    /// Whether this node is about to leave.
    pub(crate) fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Acquire)
    }

    pub(crate) fn not_found(&self, to: &Destination) -> Fault {
        // What is pinned to a node that does not have it may be on another.
        let is_elsewhere = to.node.is_some() && self.slots.contains_key(&to.address);
        let nearest = match is_elsewhere {
            true => Some(to.address.clone()),
            false => self.nearest(&to.address),
        };
        Fault::NotFound { to: to.clone(), nearest: nearest.map(Destination::from) }
    }

    fn nearest(&self, address: &Address) -> Option<Address> {
        if self.slots.len() > NEAREST_MAX {
            return None;
        }
        let known: Vec<Address> = self.slots.iter().map(|slot| slot.key().clone()).collect();
        let names = known.iter().map(Address::as_str);
        crate::nearest::nearest(address.as_str(), names).and_then(|name| Address::parse(name).ok())
    }

    /// Takes an address out that is asleep again. Who still holds its slot finds it shut, and comes
    /// back.
    pub(crate) fn put_away(&self, slot: &Arc<Slot>) {
        self.slots.remove_if(&slot.address, |_, known| Arc::ptr_eq(known, slot));
        slot.is_put_away.store(true, Ordering::SeqCst);
        slot.shut(u64::MAX, Cause::new(CauseKind::Starting, "it sleeps"), true);
        self.ways_changed();
    }

    // Those who sleep.

    /// The nursery of a group, if it has one.
    pub(crate) fn nursery(&self, group: &str) -> Option<Arc<Nest>> {
        self.nurseries.load().get(group).cloned()
    }

    /// All nurseries.
    pub(crate) fn nurseries(&self) -> Vec<Arc<Nest>> {
        self.nurseries.load().values().cloned().collect()
    }

    /// The agents of a group sleep from now on while nobody talks to them.
    pub(crate) fn add_nursery(&self, nest: &Arc<Nest>) {
        self.nurseries.rcu(|known| {
            let mut all = HashMap::clone(known);
            all.insert(nest.group().as_str().to_owned(), nest.clone());
            all
        });
    }

    /// The slot of an address, where messages may be sent; one that sleeps is woken, and one that
    /// is held back is tried again if its time has come.
    pub(crate) fn reach(&self, address: &Address) -> Option<Arc<Slot>> {
        match self.find(address) {
            Some(slot) if slot.is_empty() => self.rouse(address).or(Some(slot)),
            Some(slot) => {
                if slot.open_line().is_none()
                    && let Some(nursery) = self.nursery(address.group())
                {
                    nursery.try_again(address);
                }
                Some(slot)
            }
            None => self.rouse(address),
        }
    }

    /// The slot of an address, and the life or doorstep there that takes messages, or why none does;
    /// `None` if nobody has the address.
    pub(crate) fn line_at(&self, address: &Address) -> Option<(Arc<Slot>, Route)> {
        loop {
            let slot = self.reach(address)?;
            let route = slot.route();
            // It has fallen asleep in between, which is seen once for each time that it does.
            if route.is_ok() || !slot.is_put_away() {
                return Some((slot, route));
            }
        }
    }

    /// As [`Directory::reach`], for who has just found an address asleep, or going to sleep.
    pub(crate) fn rouse(&self, address: &Address) -> Option<Arc<Slot>> {
        self.nursery(address.group())?.rouse(address)
    }

    /// All slots, in no order.
    pub(crate) fn all(&self) -> Vec<Arc<Slot>> {
        self.slots.iter().map(|slot| slot.value().clone()).collect()
    }
}
