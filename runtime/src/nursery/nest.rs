//! The nursery itself: who lives in it, who of them is awake, and how that changes.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use genii_protocols::{Address, Cause, CauseKind, Name};
use genii_supervision::{Change, ChildError, ChildSpec, FailureKind, Key, Status};
use parking_lot::{Mutex, MutexGuard, RwLock};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::{Kept, Mood, NurserySettings};
use crate::directory::{Line, Slot};
use crate::node::{Node, WeakNode};
use crate::post;
use crate::protocol::AnyProtocol;

/// How many may be woken at a time, beside those that are awake. To one more nothing can be sent.
const WAKING_MAX: usize = 4_096;

/// How often one that waits for a place looks whether somebody rests by now.
const PLACE_LOOK: Duration = Duration::from_millis(10);

/// How long one that is to be kept asleep may take to do what it was asked before. What it has not
/// begun by then is returned.
const DRAIN_PATIENCE: Duration = Duration::from_secs(30);

/// How often to look whether one that is to be kept asleep has come to rest.
const REST_LOOK: Duration = Duration::from_millis(5);

/// The shortest and the longest wait between two looks at who has rested long enough.
const TEND_PERIOD: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// How long one that could not start is held back before it is tried again: by then there may be room on
/// the disk, or another process have let go of its file.
const TRIED_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// Makes the child that hosts a resident, as long as the house is there.
pub(crate) type MakeChild = Box<dyn Fn(&Address) -> Option<ChildSpec> + Send + Sync>;

pub(crate) struct Nest {
    node: WeakNode,
    settings: NurserySettings,
    make_child: MakeChild,
    protocol: Arc<dyn AnyProtocol>,
    residents: RwLock<HashSet<Address>>,
    /// Those of whom other nodes are told that they are not here.
    hidden: RwLock<HashSet<Address>>,
    /// Those that do not sleep. Whoever changes how one stands holds this.
    stirring: Mutex<HashMap<Address, Stirring>>,
    /// Places for those that are awake.
    places: Arc<Semaphore>,
    /// How many wait for one.
    waiting: AtomicUsize,
    /// When it was last looked for one that rests, in vain.
    looked_in_vain: Mutex<Option<Instant>>,
}

/// One that does not sleep.
struct Stirring {
    mood: Mood,
    /// Its place, once it has one.
    place: Option<OwnedSemaphorePermit>,
    /// It is to sleep until somebody lets it wake.
    is_kept: bool,
    /// The life that is to end for that, with what it was sent before.
    last_line: Option<Arc<Line>>,
    /// Since when it is held back, if that may pass by itself.
    held_since: Option<Instant>,
}

impl Stirring {
    fn new(mood: Mood) -> Self {
        Self { mood, place: None, is_kept: false, last_line: None, held_since: None }
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
            places: Arc::new(Semaphore::new(settings.awake_max.max(1))),
            settings,
            make_child,
            protocol,
            residents: RwLock::default(),
            hidden: RwLock::default(),
            stirring: Mutex::default(),
            waiting: AtomicUsize::new(0),
            looked_in_vain: Mutex::default(),
        });
        tokio::spawn(tend(Arc::downgrade(&nest)));
        nest
    }

    pub(crate) fn group(&self) -> &Name {
        &self.settings.group
    }

    pub(super) fn len(&self) -> usize {
        self.residents.read().len()
    }

    pub(super) fn awake(&self) -> usize {
        self.settings.awake_max.max(1) - self.places.available_permits()
    }

    pub(crate) fn has(&self, address: &Address) -> bool {
        self.residents.read().contains(address)
    }

    /// Whether other nodes are told of one.
    pub(crate) fn shows(&self, address: &Address) -> bool {
        self.has(address) && !self.hidden.read().contains(address)
    }

    /// All residents of whom other nodes are told, in no order.
    pub(crate) fn shown(&self) -> Vec<Address> {
        let hidden = self.hidden.read();
        self.residents.read().iter().filter(|it| !hidden.contains(it)).cloned().collect()
    }

    pub(super) fn mood(&self, address: &Address) -> Option<Mood> {
        let stirring = self.stirring.lock();
        let mood = stirring.get(address).map_or(Mood::Asleep, |it| it.mood);
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

    /// One that is kept asleep exists no more, if nothing waits for it; whether so.
    pub(super) fn dismiss_if_unwanted(&self, address: &Address) -> bool {
        let Some(node) = self.node.upgrade() else { return true };
        {
            let mut stirring = self.stirring.lock();
            let slot = node.directory().find(address);
            let doorstep = slot.as_ref().and_then(|slot| slot.doorstep());
            if doorstep.is_some_and(|doorstep| !doorstep.give_way()) {
                return false;
            }
            self.residents.write().remove(address);
            self.hidden.write().remove(address);
            stirring.remove(address);
            if let Some(slot) = slot {
                node.directory().put_away(&slot);
            }
        }
        self.tell_others(address);
        true
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
        if stirring.len() >= self.settings.awake_max + WAKING_MAX {
            let why = format!("{WAKING_MAX} others are being woken already; try again");
            tracing::warn!(%address, "is not woken: {why}");
            return Some(Slot::shut_for(address, Cause::new(CauseKind::Starting, why)));
        }
        let slot = node.directory().claim(address);
        self.put_doorstep(&slot);
        stirring.insert(address.clone(), Stirring::new(Mood::Waking));
        tokio::spawn(self.clone().wake(address.clone()));
        Some(slot)
    }

    fn put_doorstep(&self, slot: &Arc<Slot>) {
        let capacity = self.settings.mailbox_capacity;
        slot.expect(Line::doorstep(slot, capacity, self.protocol.clone()));
    }

    async fn wake(self: Arc<Self>, address: Address) {
        let place = self.place().await;
        {
            let mut stirring = self.stirring.lock();
            let Some(it) = stirring.get_mut(&address) else { return };
            if it.is_kept {
                it.mood = Mood::Dozing;
                return;
            }
            it.place = Some(place);
            // From here on what becomes of its life is news of it.
            it.mood = Mood::Awake;
        }
        let Some(node) = self.node.upgrade() else { return };
        let supervisor = node.tree().supervisor(self.group().as_str());
        let added = match supervisor.zip((self.make_child)(&address)) {
            Some((supervisor, child)) => supervisor.add_child(child).await,
            None => Err(ChildError::Gone),
        };
        let Err(error) = added else { return };
        let mut stirring = self.stirring.lock();
        tracing::warn!(%address, "cannot be woken: {error}");
        stirring.remove(&address);
        if let Some(slot) = node.directory().find(&address) {
            let why = format!("it cannot be woken: {error}");
            shut(&node, &slot, &Cause::new(CauseKind::StartFailed, why));
        }
    }

    /// A place among those that are awake; sends one that rests to sleep if there is none.
    async fn place(self: &Arc<Self>) -> OwnedSemaphorePermit {
        if let Ok(place) = self.places.clone().try_acquire_owned() {
            return place;
        }
        let _waiting = Waiting::new(&self.waiting);
        let acquiring = self.places.clone().acquire_owned();
        tokio::pin!(acquiring);
        loop {
            self.make_room();
            tokio::select! {
                place = &mut acquiring => {
                    return place.expect("the places of a nursery are never closed");
                }
                () = tokio::time::sleep(PLACE_LOOK) => {}
            }
        }
    }

    /// Sends to sleep as many as there are that wait for a place, those first that have rested longest.
    fn make_room(self: &Arc<Self>) {
        let Some(node) = self.node.upgrade() else { return };
        let mut in_vain = self.looked_in_vain.lock();
        // One looks for all that wait.
        if in_vain.is_some_and(|at| at.elapsed() < PLACE_LOOK) {
            return;
        }
        let mut stirring = self.stirring.lock();
        let dozing = stirring.values().filter(|it| it.mood == Mood::Dozing).count();
        let wanted = self.waiting.load(Ordering::Relaxed).saturating_sub(dozing);
        if wanted == 0 {
            return;
        }
        let mut resting = self.resting(&node, &stirring);
        *in_vain = resting.is_empty().then(Instant::now);
        resting.sort_unstable_by_key(|(since, _)| *since);
        for (_, address) in resting.into_iter().take(wanted) {
            self.doze(&node, &mut stirring, &address);
        }
    }

    // Sleeping.

    /// Those that are awake and have nothing to do, each with since when.
    fn resting(&self, node: &Node, stirring: &All<'_>) -> Vec<(u64, Address)> {
        let awake = stirring.iter().filter(|(_, it)| it.mood == Mood::Awake);
        let resting = awake.filter_map(|(address, _)| {
            let slot = node.directory().find(address)?;
            let line = slot.open_line().filter(|line| !line.is_doorstep)?;
            let rests = slot.vitals.is_idle() && line.mailbox.depth() == 0;
            rests.then(|| (slot.vitals.rests_since(), address.clone()))
        });
        resting.collect()
    }

    /// Sends one to sleep that is awake, if nothing has come for it in the meantime.
    fn doze(self: &Arc<Self>, node: &Node, stirring: &mut All<'_>, address: &Address) -> bool {
        let slot = node.directory().find(address);
        let life = slot.as_ref().and_then(|slot| slot.open_line());
        let (Some(slot), Some(life)) = (slot, life) else { return false };
        if !life.give_way() {
            return false;
        }
        self.put_doorstep(&slot);
        self.send_off(stirring, address);
        true
    }

    fn send_off(self: &Arc<Self>, stirring: &mut All<'_>, address: &Address) {
        if let Some(it) = stirring.get_mut(address) {
            it.mood = Mood::Dozing;
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

    /// The life of one that was sent to sleep has ended. It wakes again if somebody has come
    /// meanwhile, unless it is kept asleep.
    fn has_stopped(self: &Arc<Self>, address: &Address) {
        let Some(node) = self.node.upgrade() else { return };
        let mut stirring = self.stirring.lock();
        let Some(it) = stirring.get_mut(address).filter(|it| it.mood == Mood::Dozing) else {
            return;
        };
        // Given back first: whoever waits for a place comes before one that wakes again.
        it.place = None;
        if it.is_kept {
            return;
        }
        let slot = node.directory().find(address);
        let doorstep = slot.as_ref().and_then(|slot| slot.doorstep());
        if doorstep.is_some_and(|doorstep| !doorstep.give_way()) {
            it.mood = Mood::Waking;
            tokio::spawn(self.clone().wake(address.clone()));
            return;
        }
        stirring.remove(address);
        if let Some(slot) = slot {
            node.directory().put_away(&slot);
        }
    }

    /// Sends those to sleep that have rested long enough.
    fn tend(self: &Arc<Self>) {
        let Some(node) = self.node.upgrade() else { return };
        let idle_after = self.settings.idle_after.as_nanos().try_into().unwrap_or(u64::MAX);
        let now = node.nanos(Instant::now());
        let mut stirring = self.stirring.lock();
        // These wake at their next message.
        let held = stirring.iter().filter(|(_, it)| it.mood == Mood::Awake && !it.is_kept);
        let held = held.filter(|(_, it)| {
            it.held_since.is_some_and(|since| since.elapsed() >= TRIED_AGAIN_AFTER)
        });
        let held: Vec<Address> = held.map(|(address, _)| address.clone()).collect();
        for address in held {
            self.send_off(&mut stirring, &address);
        }
        for (since, address) in self.resting(&node, &stirring) {
            if now.saturating_sub(since) >= idle_after {
                self.doze(&node, &mut stirring, &address);
            }
        }
    }

    // Being kept asleep.

    pub(super) async fn keep_asleep(self: Arc<Self>, address: &Address) -> Option<Kept> {
        let kept = self.clone().begin_to_keep(address)?;
        let patience = Instant::now() + DRAIN_PATIENCE;
        while !self.comes_to_rest(address, patience) {
            tokio::time::sleep(REST_LOOK).await;
        }
        Some(kept)
    }

    /// From now on what comes for it waits. `None` if it is no resident, or kept already.
    fn begin_to_keep(self: Arc<Self>, address: &Address) -> Option<Kept> {
        let node = self.node.upgrade()?;
        let mut stirring = self.stirring.lock();
        if !self.has(address) {
            return None;
        }
        let is_asleep = !stirring.contains_key(address);
        let it = stirring.entry(address.clone()).or_insert_with(|| Stirring::new(Mood::Dozing));
        if std::mem::replace(&mut it.is_kept, true) {
            return None;
        }
        if is_asleep {
            self.put_doorstep(&node.directory().claim(address));
        }
        drop(stirring);
        Some(Kept { nest: self, address: address.clone() })
    }

    /// Takes the next step towards the rest of one that is kept asleep; whether it rests.
    fn comes_to_rest(self: &Arc<Self>, address: &Address, patience: Instant) -> bool {
        let Some(node) = self.node.upgrade() else { return true };
        let mut stirring = self.stirring.lock();
        let Some(it) = stirring.get_mut(address) else { return true };
        match it.mood {
            Mood::Dozing | Mood::Asleep => return it.place.is_none(),
            Mood::Waking => return false,
            Mood::Awake => {}
        }
        if it.last_line.is_none() {
            let slot = node.directory().claim(address);
            match slot.open_line() {
                // It has begun to start. What waits for it is for that life.
                Some(line) if line.is_doorstep => return false,
                // What is in its mailbox already is handled before; what comes waits.
                life => it.last_line = life,
            }
            self.put_doorstep(&slot);
        }
        let is_empty = it.last_line.as_ref().is_none_or(|line| {
            line.slot.vitals.is_idle() && (line.mailbox.is_closed() || line.give_way())
        });
        if is_empty || Instant::now() >= patience {
            self.send_off(&mut stirring, address);
        }
        false
    }

    /// One that was kept asleep may wake; it does if something waits for it.
    pub(super) fn let_wake(self: &Arc<Self>, address: &Address) {
        if let Some(it) = self.stirring.lock().get_mut(address) {
            it.is_kept = false;
            it.last_line = None;
        }
        self.has_stopped(address);
    }

    /// Whether one is going to sleep, or kept asleep.
    pub(crate) fn is_dozing(&self, address: &Address) -> bool {
        self.stirring.lock().get(address).is_some_and(|it| it.mood == Mood::Dozing)
    }

    /// A resident stands otherwise on the board; whether it sleeps from now on without having been
    /// sent to sleep, since somebody stopped it or its supervisor.
    pub(crate) fn changed(&self, address: &Address, change: &Change) -> bool {
        let mut stirring = self.stirring.lock();
        let Some(it) = stirring.get_mut(address).filter(|it| it.mood == Mood::Awake) else {
            return false;
        };
        let is_over = matches!(change.now, Status::Stopped(_) | Status::Completed);
        if is_over && !it.is_kept {
            stirring.remove(address);
            return true;
        }
        it.held_since = None;
        if let Status::Quarantined(failure) = &change.now {
            // It is held back, and takes no place; one that is released may be one too many.
            it.place = None;
            let may_pass = matches!(failure.kind, FailureKind::Start | FailureKind::StartTimeout);
            it.held_since = may_pass.then(Instant::now);
        }
        false
    }
}

/// Counts one that waits for a place, also if it stops waiting half-way.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Nobody takes messages here, for this reason; what waits is returned.
fn shut(node: &Node, slot: &Arc<Slot>, cause: &Cause) {
    if let Some(doorstep) = slot.doorstep() {
        doorstep.mailbox.close();
        post::give_back(node, &slot.address, doorstep.mailbox.take_rest(), cause);
    }
    slot.shut(u64::MAX, cause.clone(), true);
    node.directory().forget(&slot.address);
}

/// Looks from time to time who has rested long enough, as long as the nursery is there.
async fn tend(nest: std::sync::Weak<Nest>) {
    loop {
        let Some(period) = nest.upgrade().map(|nest| nest.settings.idle_after / 8) else { return };
        tokio::time::sleep(period.clamp(TEND_PERIOD.0, TEND_PERIOD.1)).await;
        match nest.upgrade() {
            Some(nest) => nest.tend(),
            None => return,
        }
    }
}
