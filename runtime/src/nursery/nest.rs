//! The nursery itself: who lives in it, who of them is awake, and how that changes.
//!
//! | module | what it holds |
//! |---|---|
//! | `held` | those that are held back, and when they are tried again |
//! | `keeping` | how one comes to rest, and is kept asleep |
//! | `parting` | how one is let go of whose address is elsewhere |

mod held;
mod keeping;
mod parting;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use genii_protocols::{Address, Cause, CauseKind, Name, Sender};
use genii_supervision::{Change, ChildError, ChildSpec, Key, Status};
use parking_lot::{Mutex, MutexGuard, RwLock};
use tokio::time::Instant;

use self::held::Held;
use super::places::{Place, Places};
use super::{Mood, NurserySettings, PUT_TO_SLEEP};
use crate::directory::{Line, Slot};
use crate::node::{Node, WeakNode};
use crate::post;
use crate::protocol::AnyProtocol;

/// How many may be woken at a time, beside those that are awake. To one more nothing can be sent.
const WAKING_MAX: usize = 4_096;

/// The shortest and the longest wait between two looks at who has rested long enough.
const TEND_PERIOD: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// Makes the child that hosts a resident, as long as the house is there.
pub(crate) type MakeChild =
    Box<dyn Fn(&NurserySettings, &Address) -> Option<ChildSpec> + Send + Sync>;

pub(crate) struct Nest {
    node: WeakNode,
    group: Name,
    /// As they were set last.
    settings: ArcSwap<NurserySettings>,
    make_child: MakeChild,
    protocol: Arc<dyn AnyProtocol>,
    residents: RwLock<HashSet<Address>>,
    /// Those of whom other nodes are told that they are not here; also one that is a resident no more, as
    /// long as its life ends.
    hidden: RwLock<HashSet<Address>>,
    /// Those that do not sleep. Whoever changes how one stands holds this.
    stirring: Mutex<HashMap<Address, Stirring>>,
    /// Places for those that are awake.
    places: Arc<Places>,
}

/// One that does not sleep.
struct Stirring {
    stage: Stage,
    /// Its place, once it has one.
    place: Option<Place>,
    /// It is to sleep until somebody lets it wake.
    is_kept: bool,
    /// Why somebody has wanted that last.
    why: Arc<str>,
    /// The doorstep of the next life, while those who asked the last are told why that has failed.
    put_aside: Option<Line>,
    /// How it is held back, if it is.
    held: Option<Held>,
}

/// How far one is that does not sleep.
enum Stage {
    /// It waits for a place. It has no life.
    Waking,
    /// It lives, is about to, or is held back because it failed.
    Awake,
    /// This life does what it was asked before; what comes waits for the next.
    Draining(Arc<Line>),
    /// Its life ends; what comes waits for the next.
    Dozing,
    /// It has no life any more, and is kept asleep.
    Resting,
}

impl Stirring {
    fn new(stage: Stage) -> Self {
        let why = PUT_TO_SLEEP.into();
        Self { stage, place: None, is_kept: false, why, put_aside: None, held: None }
    }

    fn mood(&self) -> Mood {
        match self.stage {
            Stage::Waking if self.is_kept => Mood::Dozing,
            Stage::Waking => Mood::Waking,
            Stage::Awake | Stage::Draining(_) => Mood::Awake,
            Stage::Dozing | Stage::Resting => Mood::Dozing,
        }
    }

    fn is_awake(&self) -> bool {
        matches!(self.stage, Stage::Awake)
    }

    fn is_dozing(&self) -> bool {
        matches!(self.stage, Stage::Dozing)
    }
}

type All<'a> = MutexGuard<'a, HashMap<Address, Stirring>>;

impl Nest {
    pub(crate) fn new(
        node: &Node,
        settings: NurserySettings,
        protocol: Arc<dyn AnyProtocol>,
        make_child: MakeChild,
    ) -> Arc<Self> {
        let nest = Arc::new(Self {
            node: node.downgrade(),
            group: settings.group.clone(),
            places: Arc::new(Places::new(settings.awake_max)),
            settings: ArcSwap::from_pointee(settings),
            make_child,
            protocol,
            residents: RwLock::default(),
            hidden: RwLock::default(),
            stirring: Mutex::default(),
        });
        tokio::spawn(tend(Arc::downgrade(&nest)));
        nest
    }

    /// It is run so from now on. Its group and its kind stay as they are.
    pub(crate) fn set(self: &Arc<Self>, settings: NurserySettings) {
        self.places.set_max(settings.awake_max);
        self.settings.store(Arc::new(settings));
        // Those that are too many sleep at once if they rest, and else as soon as they do.
        self.make_room();
    }

    pub(crate) fn group(&self) -> &Name {
        &self.group
    }

    pub(super) fn len(&self) -> usize {
        self.residents.read().len()
    }

    pub(super) fn awake(&self) -> usize {
        self.places.taken()
    }

    pub(crate) fn has(&self, address: &Address) -> bool {
        self.residents.read().contains(address)
    }

    /// Whether other nodes are told that one is not here, whatever lives at its address.
    pub(crate) fn hides(&self, address: &Address) -> bool {
        self.hidden.read().contains(address)
    }

    /// All residents of whom other nodes are told, in no order.
    pub(crate) fn shown(&self) -> Vec<Address> {
        let hidden = self.hidden.read();
        self.residents.read().iter().filter(|it| !hidden.contains(it)).cloned().collect()
    }

    pub(super) fn mood(&self, address: &Address) -> Option<Mood> {
        let stirring = self.stirring.lock();
        let mood = stirring.get(address).map_or(Mood::Asleep, Stirring::mood);
        self.has(address).then_some(mood)
    }

    pub(super) fn admit(&self, name: &Name) -> Address {
        let address = Address::new(self.group(), name);
        if self.residents.write().insert(address.clone()) {
            self.tell_others(&address);
        }
        address
    }

    pub(super) fn hide(&self, address: &Address) {
        if self.has(address) && self.hidden.write().insert(address.clone()) {
            self.tell_others(address);
        }
    }

    /// One that is kept asleep exists no more; what waited for it is returned.
    pub(super) fn dismiss(&self, address: &Address) {
        self.residents.write().remove(address);
        self.hidden.write().remove(address);
        if let Some(node) = self.node.upgrade() {
            let mut stirring = self.stirring.lock();
            stirring.remove(address);
            if let Some(slot) = node.directory().find(address) {
                shut(&node, &slot, &Cause::new(CauseKind::Stopped, "it was removed"));
            }
        }
        self.tell_others(address);
    }

    /// Other nodes are told how an address stands here.
    fn tell_others(&self, address: &Address) {
        let node = self.node.upgrade();
        if let Some(cluster) = node.as_ref().and_then(|node| node.cluster()) {
            cluster.stands_otherwise(address);
        }
    }

    // Waking.

    /// The slot of a resident, where messages may be sent; wakes it if it sleeps. One that says why if too
    /// many are being woken; `None` if it is no resident.
    pub(crate) fn rouse(self: &Arc<Self>, address: &Address) -> Option<Arc<Slot>> {
        let node = self.node.upgrade()?;
        let mut stirring = self.stirring.lock();
        if !self.has(address) {
            return None;
        }
        if stirring.contains_key(address) {
            return node.directory().find(address);
        }
        if self.is_full(&stirring) {
            let why = format!("{WAKING_MAX} others are being woken already; try again");
            tracing::warn!(%address, "is not woken: {why}");
            return Some(Slot::shut_for(address, Cause::new(CauseKind::Starting, why)));
        }
        let slot = node.directory().claim(address);
        self.put_doorstep(&slot);
        stirring.insert(address.clone(), Stirring::new(Stage::Waking));
        tokio::spawn(self.clone().wake(address.clone()));
        Some(slot)
    }

    /// Whether nobody more may be woken. Those that are held back do not count: they take no place,
    /// and wait for none.
    fn is_full(&self, stirring: &All<'_>) -> bool {
        let max = self.settings.load().awake_max.saturating_add(WAKING_MAX);
        // Counted only if it may be so.
        stirring.len() >= max && stirring.values().filter(|it| it.held.is_none()).count() >= max
    }

    fn put_doorstep(&self, slot: &Arc<Slot>) {
        slot.expect(self.doorstep(slot));
    }

    fn doorstep(&self, slot: &Arc<Slot>) -> Line {
        let capacity = self.settings.load().mailbox_capacity;
        Line::doorstep(slot, capacity, self.protocol.clone())
    }

    /// A doorstep as it is after a life: what has come for the next waits on. Whoever finds it and has not
    /// heard why there is no answer of that life hears at least that it has ended.
    fn doorstep_after(&self, slot: &Arc<Slot>, life: u64, before: &Line) -> Line {
        let mut doorstep = self.doorstep(slot);
        doorstep.mailbox = before.mailbox.clone();
        // The next life is no earlier than this.
        let identity = Sender { address: slot.address.clone(), incarnation: life + 1 };
        doorstep.identity = Arc::new(identity);
        doorstep
    }

    async fn wake(self: Arc<Self>, address: Address) {
        let place = self.places.take(|| self.make_room()).await;
        if !self.takes_place(&address, place) {
            return;
        }
        let Some(node) = self.node.upgrade() else { return };
        let supervisor = node.tree().supervisor(self.group().as_str());
        let added = match supervisor.zip(self.child(&address)) {
            Some((supervisor, child)) => supervisor.add_child(child).await,
            None => Err(ChildError::Gone),
        };
        if let Err(error) = added {
            self.is_not_woken(&node, &address, &error);
        }
    }

    /// The child that hosts a resident, as things are set now.
    pub(crate) fn child(&self, address: &Address) -> Option<ChildSpec> {
        let settings = self.settings.load_full();
        (self.make_child)(&settings, address)
    }

    /// One that is being woken has its turn; whether it is to live.
    fn takes_place(&self, address: &Address, place: Place) -> bool {
        let mut stirring = self.stirring.lock();
        match stirring.get_mut(address) {
            Some(it) if matches!(it.stage, Stage::Waking) && it.is_kept => {
                it.stage = Stage::Resting;
                false
            }
            Some(it) if matches!(it.stage, Stage::Waking) => {
                it.place = Some(place);
                // From here on what becomes of its life is news of it.
                it.stage = Stage::Awake;
                true
            }
            // It was let go of meanwhile, and may have been woken again.
            _ => false,
        }
    }

    /// Nobody takes one as a child that is being woken. What waits for it is returned, unless it is
    /// kept asleep: then it is for the next time.
    fn is_not_woken(&self, node: &Node, address: &Address, error: &ChildError) {
        tracing::warn!(%address, "cannot be woken: {error}");
        let mut stirring = self.stirring.lock();
        let Some(it) = stirring.get_mut(address).filter(|it| it.is_awake()) else { return };
        if it.is_kept {
            it.place = None;
            it.stage = Stage::Resting;
            return;
        }
        stirring.remove(address);
        if let Some(slot) = node.directory().find(address) {
            let why = format!("it cannot be woken: {error}");
            shut(node, &slot, &Cause::new(CauseKind::StartFailed, why));
        }
    }

    /// Sends as many to sleep as places are wanted, those first that have rested longest.
    fn make_room(self: &Arc<Self>) {
        let Some(node) = self.node.upgrade() else { return };
        let mut stirring = self.stirring.lock();
        let leaving = stirring.values().filter(|it| it.is_dozing() && it.place.is_some()).count();
        let wanted = self.places.wanted().saturating_sub(leaving);
        if wanted == 0 {
            return;
        }
        let mut resting = self.resting(&node, &stirring);
        resting.sort_unstable_by_key(|(since, _)| *since);
        for (_, address) in resting.into_iter().take(wanted) {
            self.doze(&node, &mut stirring, &address);
        }
    }

    // Sleeping.

    /// Those that are awake and have nothing to do, each with since when.
    fn resting(&self, node: &Node, stirring: &All<'_>) -> Vec<(u64, Address)> {
        let awake = stirring.iter().filter(|(_, it)| it.is_awake());
        let resting = awake.filter_map(|(address, _)| {
            let slot = node.directory().find(address)?;
            let line = slot.open_line().filter(|line| !line.is_doorstep)?;
            let rests = slot.vitals.is_idle() && line.mailbox.depth() == 0;
            rests.then(|| (slot.vitals.rests_since(), address.clone()))
        });
        resting.collect()
    }

    /// The life of one ends if it has nothing to do; whether it has none from now on, or soon. One
    /// that has failed is taken from its supervisor; one that starts is let do so.
    fn ends_if_idle(
        self: &Arc<Self>,
        node: &Node,
        stirring: &mut All<'_>,
        address: &Address,
    ) -> bool {
        if stirring.get(address).is_none_or(|it| !it.is_awake()) {
            return true;
        }
        match node.directory().find(address).and_then(|slot| slot.open_line()) {
            None => self.let_go(node, stirring, address),
            Some(line) if line.is_doorstep => {}
            Some(_) => self.doze(node, stirring, address),
        }
        stirring.get(address).is_none_or(|it| !it.is_awake())
    }

    /// Sends one to sleep that is awake, if nothing has come for it in the meantime.
    fn doze(self: &Arc<Self>, node: &Node, stirring: &mut All<'_>, address: &Address) {
        let Some(slot) = node.directory().find(address) else { return };
        if slot.open_line().is_some_and(|life| life.give_way()) {
            self.put_doorstep(&slot);
            self.send_off(stirring, address);
        }
    }

    /// The life of one ends from now on. A task of the nursery waits for that, and not who has wanted it.
    fn send_off(self: &Arc<Self>, stirring: &mut All<'_>, address: &Address) {
        if let Some(it) = stirring.get_mut(address) {
            it.stage = Stage::Dozing;
            it.held = None;
        }
        let (nest, address) = (self.clone(), address.clone());
        tokio::spawn(async move {
            nest.end_life(&address).await;
            nest.has_stopped(&address);
        });
    }

    /// Ends the life of a resident in good order, if there is one.
    async fn end_life(&self, address: &Address) {
        let supervisor = {
            let Some(node) = self.node.upgrade() else { return };
            node.tree().supervisor(self.group().as_str())
        };
        if let Some(supervisor) = supervisor {
            // One that has gone by itself needs no ending.
            let _gone = supervisor.terminate_child(Key::from(address.shared())).await;
        }
    }

    /// The life of one that was sent to sleep has ended.
    fn has_stopped(self: &Arc<Self>, address: &Address) {
        let Some(node) = self.node.upgrade() else { return };
        let mut stirring = self.stirring.lock();
        let Some(it) = stirring.get_mut(address).filter(|it| it.is_dozing()) else { return };
        // Given back first: whoever waits for a place comes before one that wakes again.
        it.place = None;
        it.stage = Stage::Resting;
        let put_aside = it.put_aside.take();
        let slot = node.directory().claim(address);
        match put_aside {
            Some(doorstep) => slot.expect(doorstep),
            None if slot.doorstep().is_some_and(|it| !it.mailbox.is_closed()) => {}
            // A start that was called off has closed the doorstep that it had taken over.
            None => self.put_doorstep(&slot),
        }
        self.sleep_or_wake(&node, &mut stirring, address);
    }

    /// One that has no life any more sleeps, or wakes again if somebody has come meanwhile; nothing if it
    /// is kept asleep.
    fn sleep_or_wake(self: &Arc<Self>, node: &Node, stirring: &mut All<'_>, address: &Address) {
        let it = stirring.get_mut(address);
        let Some(it) = it.filter(|it| matches!(it.stage, Stage::Resting) && !it.is_kept) else {
            return;
        };
        let slot = node.directory().find(address);
        let doorstep = slot.as_ref().and_then(|slot| slot.doorstep());
        if doorstep.is_some_and(|doorstep| !doorstep.give_way()) {
            it.stage = Stage::Waking;
            tokio::spawn(self.clone().wake(address.clone()));
            return;
        }
        stirring.remove(address);
        if let Some(slot) = slot {
            node.directory().put_away(&slot);
        }
    }

    /// Sends those to sleep that have rested long enough, and those that are too many.
    fn tend(self: &Arc<Self>) {
        self.doze_off();
        self.make_room();
    }

    /// Sends those to sleep that have rested long enough.
    fn doze_off(self: &Arc<Self>) {
        let Some(node) = self.node.upgrade() else { return };
        let idle_after = self.settings.load().idle_after;
        let idle_after = idle_after.as_nanos().try_into().unwrap_or(u64::MAX);
        let now = node.nanos(Instant::now());
        let mut stirring = self.stirring.lock();
        for (since, address) in self.resting(&node, &stirring) {
            if now.saturating_sub(since) >= idle_after {
                self.doze(&node, &mut stirring, &address);
            }
        }
    }

    // What becomes of lives.

    /// Whether one is going to sleep, or kept asleep.
    pub(crate) fn is_dozing(&self, address: &Address) -> bool {
        let stirring = self.stirring.lock();
        let stage = stirring.get(address).map(|it| &it.stage);
        matches!(stage, Some(Stage::Dozing | Stage::Resting))
    }

    /// A life takes messages from now on, unless what comes is for the next.
    pub(crate) fn life_opens(&self, slot: &Slot, life: u64) {
        let stirring = self.stirring.lock();
        let stage = stirring.get(&slot.address).map(|it| &it.stage);
        if !matches!(stage, Some(Stage::Draining(_) | Stage::Dozing | Stage::Resting)) {
            slot.open(life);
        }
    }

    /// A life takes no messages any more, for this reason. What has come since it was to sleep is kept for
    /// the next.
    pub(crate) fn life_shuts(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        life: u64,
        cause: &Cause,
        is_final: bool,
    ) {
        let Some(node) = self.node.upgrade() else { return };
        let mut stirring = self.stirring.lock();
        match stirring.get_mut(&slot.address) {
            // It has no life: this is late news of the one before.
            Some(Stirring { stage: Stage::Waking | Stage::Resting, .. }) => {}
            Some(it) if !it.is_awake() => {
                if let Some(doorstep) = slot.doorstep() {
                    it.put_aside = Some(self.doorstep_after(slot, life, &doorstep));
                }
                // Told to those who have asked it.
                slot.shut(life, cause.clone(), is_final);
                if !it.is_dozing() {
                    self.send_off(&mut stirring, &slot.address);
                }
            }
            _ => {
                return_what_waits(&node, slot, cause);
                slot.shut(life, cause.clone(), is_final);
            }
        }
    }

    /// The life of one that was sent to sleep has ended. Who waits for an answer of it is told why.
    pub(crate) fn life_ends(&self, slot: &Slot, life: u64) {
        let why = self.stirring.lock().get(&slot.address).map(|it| it.why.clone());
        let why = why.as_deref().unwrap_or(PUT_TO_SLEEP);
        slot.note_end(life, Cause::new(CauseKind::Stopped, why));
    }

    /// A resident stands otherwise on the board; whether it sleeps from now on without having been
    /// sent to sleep, since somebody stopped it or its supervisor.
    pub(crate) fn changed(&self, address: &Address, change: &Change) -> bool {
        let Some(node) = self.node.upgrade() else { return false };
        let mut stirring = self.stirring.lock();
        let Some(it) = stirring.get_mut(address).filter(|it| it.is_awake()) else { return false };
        let is_over = matches!(change.now, Status::Stopped(_) | Status::Completed);
        if is_over && !it.is_kept {
            let slot = node.directory().find(address);
            let doorstep = slot.and_then(|slot| slot.doorstep());
            // A life has closed its doorstep when it is over: this is late news of the one before.
            let is_late = doorstep.is_some_and(|doorstep| !doorstep.mailbox.is_closed());
            if is_late && change.incarnation > 0 {
                return false;
            }
            stirring.remove(address);
            return true;
        }
        it.held = None;
        if let Status::Quarantined(failure) = &change.now {
            // It is held back, and takes no place; one that is released may be one too many.
            it.place = None;
            it.held = Some(Held::now(failure.kind));
        }
        false
    }

    /// Takes the slot of one that sleeps out of the directory, if nobody has come for it since; whether so.
    pub(crate) fn put_away(&self, slot: &Arc<Slot>) -> bool {
        let Some(node) = self.node.upgrade() else { return false };
        let stirring = self.stirring.lock();
        let known = node.directory().find(&slot.address);
        let is_known = known.is_some_and(|known| Arc::ptr_eq(&known, slot));
        if stirring.contains_key(&slot.address) || !is_known {
            return false;
        }
        match slot.doorstep() {
            // It was stopped before it had started.
            Some(_) => {
                let cause = Cause::new(CauseKind::Stopped, "it was stopped before it had started");
                return_what_waits(&node, slot, &cause);
                node.directory().put_away(slot);
            }
            None => node.directory().forget(&slot.address),
        }
        true
    }
}

/// Nobody takes messages here, for this reason; what waits is returned.
fn shut(node: &Node, slot: &Arc<Slot>, cause: &Cause) {
    return_what_waits(node, slot, cause);
    slot.shut(u64::MAX, cause.clone(), true);
    node.directory().forget(&slot.address);
}

/// What waits on a doorstep is returned, for this reason.
fn return_what_waits(node: &Node, slot: &Slot, cause: &Cause) {
    if let Some(doorstep) = slot.doorstep() {
        doorstep.mailbox.close();
        post::give_back(node, &slot.address, doorstep.mailbox.take_rest(), cause);
    }
}

/// Looks from time to time who has rested long enough, as long as the nursery is there.
async fn tend(nest: std::sync::Weak<Nest>) {
    loop {
        let idle_after = nest.upgrade().map(|nest| nest.settings.load().idle_after);
        let Some(period) = idle_after.map(|idle_after| idle_after / 8) else { return };
        tokio::time::sleep(period.clamp(TEND_PERIOD.0, TEND_PERIOD.1)).await;
        match nest.upgrade() {
            Some(nest) => nest.tend(),
            None => return,
        }
    }
}
