//! A node: everything that lives in one process hangs from it, and from nothing else.

mod homes;
mod house_calls;
mod inspection;
mod options;
mod watch;

use std::any::{Any, TypeId};
use std::collections::{BTreeMap, HashMap};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, Weak};

use genii_protocols::{Address, Destination, Json, NodeName, Sender};
use genii_supervision::{ChildSpec, Key, Tree, TreeOptions, What};
use parking_lot::Mutex;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::agent::Agent;
use crate::catalogue::Catalogue;
use crate::cluster::Cluster;
use crate::dead_letters::DeadLetters;
use crate::deadlines::Deadlines;
use crate::directory::Directory;
use crate::groups::Groups;
use crate::host::HostStart;
use crate::logbook::Logbook;
use crate::mail::Mail;
use crate::process::keep::Keepers;
use crate::protocol::Protocols;
use crate::topics::Topics;
use crate::trust::TurnedAway;
use crate::trust::credentials::Credentials;
use crate::watchdog;

use watch::Watch;

pub use house_calls::Unheard;
pub use options::{Limits, NodeOptions};

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

/// A node that may have ended.
#[derive(Clone)]
pub(crate) struct WeakNode(Weak<Inner>);

impl WeakNode {
    pub(crate) fn upgrade(&self) -> Option<Node> {
        self.0.upgrade().map(Node)
    }
}
