//! A node: everything that lives in one process hangs from it, and from nothing else.

use std::any::{Any, TypeId};
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use genii_protocols::{Address, Destination, Json, MessageInfo, NodeName, Sender};
use genii_supervision::{
    Change, ChildSpec, Event, FailureKind, Key, Observer, Status, Tree, TreeOptions, What,
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::agent::{Agent, Health};
use crate::catalogue::Catalogue;
use crate::cluster::Cluster;
use crate::dead_letters::DeadLetters;
use crate::deadlines::Deadlines;
use crate::directory::{Directory, Slot};
use crate::groups::Groups;
use crate::host::HostStart;
use crate::link::sending::Link;
use crate::logbook::Logbook;
use crate::mail::Mail;
use crate::nursery::Nest;
use crate::process::keep::Keepers;
use crate::protocol::Protocols;
use crate::topics::Topics;
use crate::trust::TurnedAway;
use crate::trust::credentials::Credentials;
use crate::urgent::{Down, Urgent};
use crate::vitals::Counters;
use crate::{cause, watchdog};

/// How many addresses one other node may tell of, unless [`Limits`] say otherwise.
const ADDRESSES_OF_ONE_MAX: usize = 1_000_000;

/// The bounds of a node, each with what happens when it is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// How many messages wait for an agent, unless its topology says otherwise. A sender waits, and
    /// is then told that the agent is overloaded.
    pub mailbox_capacity: usize,
    /// How long an ask waits for its answer, unless it says otherwise.
    pub ask_timeout: Duration,
    /// How long a tell waits for room in a mailbox.
    pub tell_patience: Duration,
    /// How long a handler may run before the log and the journal name it.
    pub handler_patience: Duration,
    /// How many lifecycle events are kept.
    pub journal_capacity: usize,
    /// How many addresses one other node may tell of. It is dropped when it tells of more.
    pub addresses_of_one_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            mailbox_capacity: 1_000,
            ask_timeout: Duration::from_secs(5),
            tell_patience: Duration::from_secs(5),
            handler_patience: Duration::from_secs(10),
            journal_capacity: genii_supervision::journal::JOURNAL_CAPACITY,
            addresses_of_one_max: ADDRESSES_OF_ONE_MAX,
        }
    }
}

/// What a node is made with.
#[derive(Debug, Clone)]
pub struct NodeOptions {
    /// Its name in the cluster.
    pub name: NodeName,
    /// Its bounds.
    pub limits: Limits,
    /// Where its dice come from; the same seed gives the same jitter.
    pub seed: u64,
    /// The program that keeps the processes of its agents: this one, if it does not say. It must
    /// call [`process::keeper::run_if_asked`](crate::process::keeper::run_if_asked) first of all.
    pub keeper: Option<OsString>,
    /// What marks the processes of agents, so that a later genii can tell what this one left:
    /// [`process::strays::sweep`](crate::process::strays::sweep). They are not marked if it is not
    /// set.
    pub mark: Option<OsString>,
    /// The folder in which its agents may keep what is to outlive it, each in a folder of its own
    /// there; if it is not set, none can.
    pub data: Option<PathBuf>,
    /// The dead letters of another node, for one that is a part of it: its own are kept among those.
    pub dead_letters: Option<Arc<DeadLetters>>,
}

impl NodeOptions {
    /// A node of this name with the usual bounds.
    pub fn new(name: NodeName) -> Self {
        let entropy = std::collections::hash_map::RandomState::new();
        let seed = std::hash::BuildHasher::hash_one(&entropy, name.as_str());
        let limits = Limits::default();
        Self { name, limits, seed, keeper: None, mark: None, data: None, dead_letters: None }
    }
}

/// A node. Cheap to clone; all clones are the same node.
#[derive(Clone)]
pub struct Node(Arc<Inner>);

struct Inner {
    name: NodeName,
    limits: Limits,
    began: Instant,
    tree: Arc<Tree>,
    directory: Directory,
    deadlines: Arc<Deadlines>,
    dead_letters: Arc<DeadLetters>,
    protocols: Protocols,
    logbook: Logbook,
    keepers: Keepers,
    /// Where its agents may keep what is to outlive it.
    data: Option<PathBuf>,
    /// What agents of one sort have in common, by its type.
    shared: Mutex<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>,
    groups: Groups,
    topics: Topics,
    cluster: OnceLock<Cluster>,
    /// By which clients are known at their port, where one is served.
    clients: OnceLock<Arc<Credentials>>,
    /// The messages that its kinds of agents answer, with the digests of their forms.
    forms: OnceLock<BTreeMap<String, u64>>,
    tasks: OnceLock<Vec<AbortHandle>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        for task in self.tasks.get().into_iter().flatten() {
            task.abort();
        }
    }
}

impl Node {
    /// A node in which nobody lives yet. Needs a tokio runtime.
    pub fn new(options: NodeOptions) -> Self {
        let NodeOptions { name, limits, seed, keeper, mark, data, dead_letters } = options;
        let node = Arc::new_cyclic(|weak: &Weak<Inner>| {
            let tree = Tree::new(TreeOptions {
                journal_capacity: limits.journal_capacity,
                seed,
                observer: Box::new(Watch(weak.clone())),
            });
            Inner {
                name,
                limits,
                began: Instant::now(),
                tree,
                directory: Directory::default(),
                deadlines: Deadlines::new(),
                dead_letters: dead_letters.unwrap_or_default(),
                protocols: Protocols::default(),
                logbook: Logbook::default(),
                keepers: Keepers::new(keeper, mark),
                data,
                shared: Mutex::default(),
                groups: Groups::default(),
                topics: Topics::default(),
                cluster: OnceLock::new(),
                clients: OnceLock::new(),
                forms: OnceLock::new(),
                tasks: OnceLock::new(),
            }
        });
        let deadlines = tokio::spawn(node.deadlines.clone().watch());
        let watchdog = tokio::spawn(watchdog::watch(WeakNode(Arc::downgrade(&node))));
        let tasks = vec![deadlines.abort_handle(), watchdog.abort_handle()];
        let _set_once = node.tasks.set(tasks);
        Self(node)
    }

    /// Its name in the cluster.
    pub fn name(&self) -> &NodeName {
        &self.0.name
    }

    /// Its bounds.
    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// The folder in which its agents may keep what is to outlive it.
    pub fn data(&self) -> Option<&Path> {
        self.0.data.as_deref()
    }

    /// What agents of this node that use a type have in common: one value, made for the first. It is
    /// made under a lock, so making it must not wait, nor ask for another.
    pub fn shared<T: Send + Sync + 'static>(&self, make: impl FnOnce() -> T) -> Arc<T> {
        let mut shared = self.0.shared.lock();
        let one = shared.entry(TypeId::of::<T>()).or_insert_with(|| Arc::new(make()));
        one.clone().downcast().expect("what is shared is kept under its own type")
    }

    /// How everything in it stands, and what happened.
    pub fn tree(&self) -> &Arc<Tree> {
        &self.0.tree
    }

    /// Letters that reached nobody.
    pub fn dead_letters(&self) -> &Arc<DeadLetters> {
        &self.0.dead_letters
    }

    /// The last lines of every agent.
    pub fn logbook(&self) -> &Logbook {
        &self.0.logbook
    }

    /// The operating-system process of a process agent.
    pub fn process_of(&self, address: &Address) -> Option<i32> {
        self.0.keepers.pid(address)
    }

    pub(crate) fn keepers(&self) -> &Keepers {
        &self.0.keepers
    }

    /// This node among others, if it is.
    pub fn cluster(&self) -> Option<&Cluster> {
        self.0.cluster.get()
    }

    pub(crate) fn set_cluster(&self, cluster: &Cluster) {
        // A node is among others once.
        let _is_already = self.0.cluster.set(cluster.clone());
    }

    /// How many were turned away at the port for clients, by why; nothing if there is none.
    pub fn clients_turned_away(&self) -> Vec<(TurnedAway, u64)> {
        self.0.clients.get().map(|credentials| credentials.tally().counts()).unwrap_or_default()
    }

    pub(crate) fn serves_clients(&self, credentials: Arc<Credentials>) {
        // A house has one gateway; of another, who is turned away is written in the log alone.
        let _has_one = self.0.clients.set(credentials);
    }

    /// Says which kinds of agents it has, so that other nodes learn whether their messages have the
    /// same forms. Nothing if it has been said. A house says it of its own; it is to be said earlier
    /// where the node is among others before.
    pub fn knows(&self, kinds: &Catalogue) {
        self.0.forms.get_or_init(|| kinds.forms());
    }

    /// The messages that its kinds of agents answer, with the digests of their forms.
    pub(crate) fn forms(&self) -> Option<&BTreeMap<String, u64>> {
        self.0.forms.get()
    }

    pub(crate) fn downgrade(&self) -> WeakNode {
        WeakNode(Arc::downgrade(&self.0))
    }

    /// Whether an address was declared to live on another node.
    pub(crate) fn lives_elsewhere(&self, address: &Address) -> bool {
        self.0.directory.find(address).is_some_and(|slot| slot.home().is_some())
    }

    /// The other node where an address was declared to live, if it was.
    pub(crate) fn home_of(&self, address: &Address) -> Option<NodeName> {
        self.0.directory.find(address).and_then(|slot| slot.home()).map(|home| (*home).clone())
    }

    /// The other node where an address is, as far as is known, and the link to it if there is one.
    pub(crate) fn elsewhere(&self, address: &Address) -> Option<(NodeName, Option<Arc<Link>>)> {
        let cluster = self.cluster()?;
        let home = match self.0.directory.find(address) {
            Some(slot) => (*slot.home()?).clone(),
            None => cluster.find(address)?.node.clone(),
        };
        let link = cluster.link(&home);
        Some((home, link))
    }

    /// All addresses that were declared to live on other nodes, by name, with their nodes.
    pub(crate) fn declared_elsewhere(&self) -> Vec<(Address, NodeName)> {
        let slots = self.0.directory.all().into_iter();
        let homes = slots.filter_map(|slot| Some((slot.address.clone(), (*slot.home()?).clone())));
        let mut homes: Vec<(Address, NodeName)> = homes.collect();
        homes.sort_unstable();
        homes
    }

    /// An agent of another node stands so. It matters here if it was declared.
    pub(crate) fn stands_elsewhere(
        &self,
        address: &Address,
        node: &NodeName,
        incarnation: u64,
        status: Status,
    ) {
        let slot = self.0.directory.find(address);
        let home = slot.and_then(|slot| slot.home());
        if home.is_some_and(|home| *home == *node) {
            self.0.tree.stand_elsewhere(&Key::from(address.shared()), incarnation, status);
        }
    }

    /// Sends to an address.
    pub fn to(&self, to: impl Into<Destination>) -> Mail {
        Mail::new(self.clone(), to.into())
    }

    /// A child that hosts an agent of type `A`, to be given to a supervisor.
    ///
    /// # Errors
    /// When the settings are not those of the agent.
    pub fn agent<A: Agent>(&self, address: &Address, settings: Json) -> ChildSpec {
        self.agent_with::<A>(address, Arc::new(settings), self.0.limits.mailbox_capacity)
    }

    /// As [`Node::agent`], with shared settings and a mailbox of another capacity.
    pub fn agent_with<A: Agent>(
        &self,
        address: &Address,
        settings: Arc<Json>,
        mailbox_capacity: usize,
    ) -> ChildSpec {
        let node = self.clone();
        let start =
            HostStart::<A> { node, house: None, settings, mailbox_capacity, agent: PhantomData };
        ChildSpec::new(Key::from(address.shared()), Arc::new(start))
    }

    /// Makes an address known, with who stands in for it while it is down.
    pub fn declare(&self, address: &Address, fallback: Option<&Address>, home: Option<&NodeName>) {
        let (key, board) = (Key::from(address.shared()), &self.0.tree.board);
        let home = home.filter(|home| **home != self.0.name);
        // Nothing is learnt of it between the look and what is written.
        let mut claims = self.cluster().map(Cluster::changing);
        self.0.directory.claim(address).set_home(home);
        if let Some(claims) = &mut claims {
            claims.home_is(address, home);
        }
        match home {
            None => board.declare(&key),
            Some(home) => {
                let fallback = fallback.map(|fallback| Key::from(fallback.shared()));
                let why = format!("it lives on {home}, which is not connected");
                board.declare_elsewhere(&key, fallback.as_ref(), why);
                if let Some(claims) = &claims {
                    // It is waited for, as others are; or known already.
                    let (incarnation, status) = claims.stands(address, home);
                    self.0.tree.stand_elsewhere(&key, incarnation, status);
                }
            }
        }
        drop(claims);
        self.set_fallback(address, fallback);
        self.0.directory.ways_changed();
    }

    /// Says who stands in for an address while it is down; nothing if the address is not known.
    pub(crate) fn set_fallback(&self, address: &Address, fallback: Option<&Address>) {
        if let Some(slot) = self.0.directory.find(address) {
            slot.set_stand_in(fallback.map(|fallback| self.0.directory.claim(fallback)));
            self.0.directory.ways_changed();
            // Of those that live here their supervisors say it.
            let fallback = fallback.map(|fallback| Key::from(fallback.shared()));
            let key = Key::from(address.shared());
            self.0.tree.fall_back_elsewhere(&key, fallback.as_ref());
        }
    }

    /// Takes back what was declared, and has no supervisor any more that would.
    pub(crate) fn undeclare(&self, address: &Address) {
        if self.0.tree.board.undeclare(&Key::from(address.shared())) {
            self.forget(address);
        }
    }

    fn forget(&self, address: &Address) {
        self.0.directory.forget(address);
        self.forget_beside(address);
    }

    /// Forgets what is known of an address beside the way to it.
    fn forget_beside(&self, address: &Address) {
        if let Some(cluster) = self.cluster() {
            cluster.changing().home_is(address, None);
        }
        self.0.logbook.forget(address);
    }

    // What the house says to an agent, past its mailbox.

    /// Whether an agent looks into its mailbox, within `patience`.
    ///
    /// # Errors
    /// Why it did not answer.
    pub async fn ping(&self, address: &Address, patience: Duration) -> Result<Duration, Unheard> {
        let began = Instant::now();
        self.say(address, patience, Urgent::Ping).await?;
        Ok(began.elapsed())
    }

    /// How an agent is, by its own account, on whichever node it lives.
    ///
    /// # Errors
    /// Why it did not answer.
    pub async fn health(&self, address: &Address, patience: Duration) -> Result<Health, Unheard> {
        match self.cluster().zip(self.elsewhere(address)) {
            Some((cluster, (node, _))) => cluster.health(&node, address, patience).await,
            None => self.health_here(address, patience).await,
        }
    }

    /// As [`Node::health`], of an agent that lives here.
    pub(crate) async fn health_here(
        &self,
        address: &Address,
        patience: Duration,
    ) -> Result<Health, Unheard> {
        self.say(address, patience, Urgent::Health).await
    }

    /// The state of an agent.
    ///
    /// # Errors
    /// Why it did not answer.
    pub async fn snapshot(&self, address: &Address, patience: Duration) -> Result<Json, Unheard> {
        self.say(address, patience, Urgent::Snapshot).await
    }

    /// Lets an agent handle nothing until it is resumed. Messages wait, up to its capacity.
    ///
    /// # Errors
    /// Why it did not hear.
    pub async fn suspend(&self, address: &Address, patience: Duration) -> Result<(), Unheard> {
        self.say(address, patience, Urgent::Suspend).await
    }

    /// Lets an agent handle messages again.
    ///
    /// # Errors
    /// Why it did not hear.
    pub async fn resume(&self, address: &Address, patience: Duration) -> Result<(), Unheard> {
        self.say(address, patience, Urgent::Resume).await
    }

    async fn say<T>(
        &self,
        address: &Address,
        patience: Duration,
        make: impl FnOnce(oneshot::Sender<T>) -> Urgent,
    ) -> Result<T, Unheard> {
        let slot = self.0.directory.find(address).ok_or(Unheard::NotFound)?;
        let line = slot.line().ok_or(Unheard::NotRunning)?;
        let (reply, answer) = oneshot::channel();
        line.mailbox.push_urgent(make(reply)).map_err(|_| Unheard::NotRunning)?;
        match tokio::time::timeout(patience, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(Unheard::NotRunning),
            Err(_) => Err(Unheard::Busy { with: self.busy_with(&slot), patience }),
        }
    }

    // What is known about an agent.

    /// What is counted about an agent.
    pub fn counters(&self, address: &Address) -> Option<Counters> {
        let slot = self.0.directory.find(address)?;
        let depth = slot.line().map_or(0, |line| line.mailbox.depth());
        Some(slot.vitals.read(depth))
    }

    /// Whether an agent is suspended.
    pub fn is_suspended(&self, address: &Address) -> bool {
        self.0.directory.find(address).is_some_and(|slot| slot.vitals.is_suspended())
    }

    /// The handler that an agent is in, and for how long.
    pub fn busy(&self, address: &Address) -> Option<(String, Duration)> {
        self.0.directory.find(address).and_then(|slot| self.busy_with(&slot))
    }

    fn busy_with(&self, slot: &Slot) -> Option<(String, Duration)> {
        let (since, entry) = slot.vitals.busy()?;
        let name = slot.line()?.protocol.name(entry).to_owned();
        let now = self.nanos(Instant::now());
        Some((name, Duration::from_nanos(now.saturating_sub(since))))
    }

    /// The messages that an agent answers; `None` if it does not run.
    pub fn messages(&self, address: &Address) -> Option<Vec<MessageInfo>> {
        let line = self.0.directory.find(address)?.line()?;
        Some(line.protocol.infos())
    }

    /// The wire names of the messages that an agent answers; `None` if it does not run.
    pub fn message_names(&self, address: &Address) -> Option<Vec<&'static str>> {
        let line = self.0.directory.find(address)?.line()?;
        Some(line.protocol.names())
    }

    /// How a message of an agent is answered; `None` if it does not run or does not know it.
    pub fn message_style(&self, address: &Address, name: &str) -> Option<genii_protocols::Style> {
        self.0.directory.find(address)?.line()?.protocol.style(name)
    }

    /// Writes a line about an agent into the journal.
    pub(crate) fn note(&self, agent: &Sender, text: impl Into<Arc<str>>) {
        let key = Key::from(agent.address.shared());
        self.0.tree.record(&key, agent.incarnation, What::Note { text: text.into() });
    }

    pub(crate) fn nanos(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.0.began).as_nanos();
        since.try_into().unwrap_or(u64::MAX)
    }

    pub(crate) fn directory(&self) -> &Directory {
        &self.0.directory
    }

    pub(crate) fn deadlines(&self) -> &Deadlines {
        &self.0.deadlines
    }

    pub(crate) fn protocols(&self) -> &Protocols {
        &self.0.protocols
    }

    pub(crate) fn groups(&self) -> &Groups {
        &self.0.groups
    }

    pub(crate) fn topics(&self) -> &Topics {
        &self.0.topics
    }
}

/// Why an agent did not hear, or did not answer, the house.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Unheard {
    /// Nobody has this address.
    #[error("it is not known")]
    NotFound,
    /// It does not run.
    #[error("it is not running")]
    NotRunning,
    /// It did not look into its mailbox in time.
    #[error("it did not answer within {patience:.1?}{}", busy(with))]
    Busy {
        /// The handler that it is in, and for how long.
        with: Option<(String, Duration)>,
        /// How long it was given.
        patience: Duration,
    },
    /// Its node cannot be asked.
    #[error("its node {node} cannot be asked: {why}")]
    Away {
        /// Where it lives.
        node: NodeName,
        /// What is amiss.
        why: String,
    },
}

fn busy(with: &Option<(String, Duration)>) -> String {
    match with {
        Some((handler, long)) => format!("; it has been handling {handler} for {long:.1?}"),
        None => String::new(),
    }
}

/// A node that may have ended.
#[derive(Clone)]
pub(crate) struct WeakNode(Weak<Inner>);

impl WeakNode {
    pub(crate) fn upgrade(&self) -> Option<Node> {
        self.0.upgrade().map(Node)
    }
}

/// Keeps the directory in step with the tree.
struct Watch(Weak<Inner>);

impl Observer for Watch {
    fn changed(&self, change: &Change) {
        let Some(node) = self.0.upgrade() else { return };
        let Ok(address) = Address::from_shared(change.key.shared()) else { return };
        let Some(slot) = node.directory.find(&address) else { return };
        let nursery = node.directory.nursery(address.group());
        let life = change.incarnation;
        let is_expected = || {
            let is_dozing = |nursery: &Arc<Nest>| nursery.is_dozing(&address);
            slot.doorstep().is_some() || nursery.as_ref().is_some_and(is_dozing)
        };
        match cause::of_status(&change.now) {
            None => match &nursery {
                Some(nursery) => nursery.life_opens(&slot, life),
                None => slot.open(life),
            },
            // What waits on its doorstep is for the life that comes, or comes again; nor does it matter
            // how the life before ends, as long as it does not fail.
            Some(_) if !has_failed(&change.now) && is_expected() => {}
            // Why it ended says more than that it was then forgotten.
            Some(_) if change.is_forgotten && slot.has_ended() => {}
            Some(cause) => {
                let is_final = change.now != Status::Stopping;
                match &nursery {
                    Some(nursery) => nursery.life_shuts(&slot, life, &cause, is_final),
                    None => slot.shut(life, cause.clone(), is_final),
                }
                if change.before.is_alive() && !change.now.is_alive() {
                    tell_watchers(&slot, change, cause);
                }
            }
        }
        if let Some(cluster) = node.cluster.get() {
            cluster.changed(change);
        }
        let is_asleep = nursery.as_ref().is_some_and(|nursery| nursery.changed(&address, change));
        match &nursery {
            _ if !change.is_forgotten && !is_asleep => {}
            // Somebody may have come for it meanwhile.
            Some(nursery) if !nursery.put_away(&slot) => {}
            Some(_) => Node(node).forget_beside(&address),
            None => Node(node).forget(&address),
        }
    }

    fn recorded(&self, _: &Arc<Event>) {}
}

fn has_failed(status: &Status) -> bool {
    matches!(status, Status::Down(_) | Status::Quarantined(_) | Status::Blocked)
}

fn tell_watchers(slot: &Slot, change: &Change, cause: genii_protocols::Cause) {
    let is_abnormal = match &change.now {
        Status::Down(failure) | Status::Quarantined(failure) => failure.kind != FailureKind::Ended,
        _ => false,
    };
    let (address, incarnation) = (slot.address.clone(), change.incarnation);
    slot.watchers.tell(&Arc::new(Down { address, incarnation, cause, is_abnormal }));
}
