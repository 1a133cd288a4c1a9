//! This node among the others of its household.
//!
//! Every node that knows where another is calls it, and tries again until it answers. Two nodes have
//! one link at a time. When it is lost, for whatever reason, each holds the other's life to have
//! ended: asks that wait end at once, and what was on its way on that link is heard no more. To be
//! heard again a node must begin another life towards the other, with a greater incarnation. So both
//! always agree on what has ended, whatever became of the other: a crash, a pause, a cut cable.

mod claims;
mod draining;
mod examining;
mod expulsions;
mod figures;
mod forms;
mod greeting;
mod hearing;
mod linking;
mod member;
mod places;
mod pulse;
mod renewing;
mod running;
mod standings;
mod tables;
mod tending;
#[cfg(test)]
mod tests;
mod timing;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use genii_protocols::frame::Standing;
use genii_protocols::{Address, NodeName};
use genii_supervision::{Change, Key, What};
use parking_lot::{Mutex, RwLock};
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::link::lane::{End, Frames};
use crate::link::network::{Certificate, Network, Outgoing};
use crate::link::sending::Link;
use crate::node::{Node, WeakNode};
use crate::trust::TurnedAway;

pub(crate) use claims::Changing;
pub(crate) use draining::Asked;
pub use figures::Figures;
pub use member::{Member, Membership};
pub use running::Carry;
pub use timing::Timing;

/// How long others may take to hear that this node leaves.
const LEAVE_PATIENCE: Duration = Duration::from_millis(300);

/// How often to look whether they have.
const LEAVE_LOOK: Duration = Duration::from_millis(5);

/// This node among the others. Cheap to clone; all clones are the same.
#[derive(Clone)]
pub struct Cluster(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    node: WeakNode,
    name: NodeName,
    network: Arc<dyn Network>,
    timing: Timing,
    /// This life of the node.
    began: u64,
    peers: RwLock<BTreeMap<NodeName, Arc<Peer>>>,
    /// Where the addresses of others are.
    claims: claims::Claims,
    /// Accepted calls whose data lane has not come yet.
    half_open: Mutex<HashMap<(NodeName, u64), oneshot::Sender<DataLane>>>,
    links: AtomicU64,
    /// How many times other nodes have begun to tell of all that they have.
    tales: AtomicU64,
    running: running::Running,
    is_leaving: watch::Sender<bool>,
    /// How many lanes of each node are being greeted.
    greeted: Mutex<BTreeMap<NodeName, usize>>,
    /// How many were turned away because so many were.
    turned_away: AtomicU64,
    /// How often somebody was dropped whose words made no sense.
    nonsense: AtomicU64,
    tasks: Mutex<Vec<AbortHandle>>,
    /// Where its tasks run, whoever begins them.
    runtime: Handle,
    pulse: pulse::Pulse,
}

/// A data lane that has come to its link: what it sends, and where what is sent back goes.
type DataLane = (Frames, Option<Certificate>, oneshot::Sender<Outgoing>);

/// Another node.
struct Peer {
    name: NodeName,
    state: Mutex<PeerState>,
    /// Held while something that it tells is taken in, and while all that it told on a link that is
    /// lost is thrown away. It is not linked again meanwhile, or what it tells then would go too.
    hearing: Mutex<()>,
    /// Tells who calls it that it may be time to.
    changed: Notify,
    /// The list of the expelled that it has.
    list: expulsions::List,
}

struct PeerState {
    membership: Membership,
    since: Instant,
    /// The last life of it that was linked.
    incarnation: u64,
    /// The life of it that was seen to end.
    ended: Option<u64>,
    /// Our own life towards it.
    own: u64,
    link: Option<Arc<Link>>,
    is_calling: bool,
    /// Since when it is known by hearsay alone.
    heard_of: Option<Instant>,
    why: Option<String>,
    told: standings::Told,
    round_trip: Option<Duration>,
    nonsense: u64,
}

/// Where an address of another node is, and how it stands.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Far {
    pub(crate) node: NodeName,
    pub(crate) incarnation: u64,
    pub(crate) standing: Standing,
    pub(crate) detail: Arc<str>,
    /// When its node told of it: since which time that it began to tell of all.
    pub(crate) tale: u64,
}

impl Cluster {
    /// Joins a node to the others that a network reaches. `began` tells this life of it from those
    /// before: it is greater than theirs.
    pub fn begin(node: &Node, network: Arc<dyn Network>, timing: Timing, began: u64) -> Self {
        let inner = Arc::new(Inner {
            node: node.downgrade(),
            name: node.name().clone(),
            network,
            timing,
            began,
            peers: RwLock::default(),
            claims: claims::Claims::default(),
            half_open: Mutex::default(),
            links: AtomicU64::new(began),
            tales: AtomicU64::new(0),
            running: running::Running::default(),
            is_leaving: watch::Sender::new(false),
            greeted: Mutex::default(),
            turned_away: AtomicU64::new(0),
            nonsense: AtomicU64::new(0),
            tasks: Mutex::default(),
            runtime: Handle::current(),
            pulse: pulse::Pulse::new(),
        });
        let cluster = Self(inner);
        node.set_cluster(&cluster);
        for peer in cluster.0.network.known() {
            cluster.0.peer(&peer);
        }
        cluster.0.spawn(greeting::accept(cluster.0.clone()));
        cluster.0.spawn(renewing::keep_renewed(cluster.0.clone()));
        let inner = cluster.0.clone();
        cluster.0.spawn(async move {
            loop {
                tokio::time::sleep(inner.timing.join / 4).await;
                standings::give_up(&inner);
            }
        });
        cluster
    }

    /// The other nodes, by name.
    pub fn members(&self) -> Vec<Member> {
        let peers = self.0.peers.read();
        peers.values().map(|peer| self.0.with_verdict(peer.member())).collect()
    }

    /// How many callers and lists were turned away at this node's port, by why.
    pub fn turned_away(&self) -> Vec<(TurnedAway, u64)> {
        self.0.network.credentials().map(|it| it.tally().counts()).unwrap_or_default()
    }

    /// Whether there is a link to a node.
    pub fn is_connected(&self, node: &NodeName) -> bool {
        self.0.is_linked(node)
    }

    /// Another node is known from now on.
    pub fn meet(&self, node: &NodeName, places: &[String]) {
        self.0.network.learn(node, places);
        self.0.peer(node).changed.notify_waiters();
    }

    /// Takes leave of the others: they are told that this node is not to be waited for. Returns when
    /// they have heard, or might have.
    pub async fn leave(&self) {
        self.0.is_leaving.send_replace(true);
        self.0.running.all_gone(LEAVE_PATIENCE).await;
        let peers: Vec<Arc<Peer>> = self.0.peers.read().values().cloned().collect();
        let links: Vec<Arc<Link>> =
            peers.iter().filter_map(|peer| peer.state.lock().link.clone()).collect();
        for link in &links {
            link.give_back_owed();
            tending::say_goodbye(link);
            // What waits is still sent, and the other end hears it out.
            link.data.close();
        }
        // Who has heard ends the link.
        let until = Instant::now() + LEAVE_PATIENCE;
        while links.iter().any(|link| !link.is_over()) && Instant::now() < until {
            tokio::time::sleep(LEAVE_LOOK).await;
        }
        self.end();
    }

    /// Ends all that it does, and says nothing to others. What was told on its links and may not have been
    /// handled are dead letters.
    pub fn end(&self) {
        for task in std::mem::take(&mut *self.0.tasks.lock()) {
            task.abort();
        }
        for peer in self.0.peers.read().values() {
            let link = peer.state.lock().link.take();
            if let Some(link) = link {
                link.end();
                self.0.bury(&link.peer, link.unheard());
            }
        }
    }

    /// An agent here stands otherwise.
    pub(crate) fn changed(&self, change: &Change) {
        standings::tell(&self.0, change);
    }

    /// An address here stands otherwise, in a way that does not stand on the board.
    pub(crate) fn stands_otherwise(&self, address: &Address) {
        standings::tell_of(&self.0, address, 0);
    }

    /// The link to a node, if there is one.
    pub(crate) fn link(&self, node: &NodeName) -> Option<Arc<Link>> {
        let peer = self.0.peers.read().get(node).cloned()?;
        let link = peer.state.lock().link.clone();
        link.filter(|link| !link.is_over())
    }

    /// As long as this is held, nothing is learnt of where addresses are.
    pub(crate) fn changing(&self) -> Changing<'_> {
        self.0.claims.change()
    }

    /// What other nodes have told of, in no order.
    pub(crate) fn told(&self) -> Vec<(Address, Arc<Far>)> {
        self.0.claims.all()
    }

    /// Whether a node has told of all that it has, and an address is not among it.
    pub fn lacks(&self, node: &NodeName, address: &Address) -> bool {
        let peer = self.0.peers.read().get(node).cloned();
        peer.is_some_and(|peer| peer.state.lock().told.is_whole)
            && self.0.claims.change().of(address, node).is_none()
    }

    /// Where an address is, if another node has told of it.
    pub(crate) fn find(&self, address: &Address) -> Option<Arc<Far>> {
        self.0.claims.find(address)
    }
}

impl Inner {
    /// A peer; it is called from now on if it was not known.
    fn peer(self: &Arc<Self>, name: &NodeName) -> Arc<Peer> {
        if let Some(peer) = self.peers.read().get(name) {
            return peer.clone();
        }
        let mut peers = self.peers.write();
        if let Some(peer) = peers.get(name) {
            return peer.clone();
        }
        let peer = Arc::new(Peer {
            name: name.clone(),
            state: Mutex::new(PeerState {
                membership: Membership::Unseen,
                since: Instant::now(),
                incarnation: 0,
                ended: None,
                own: self.began,
                link: None,
                is_calling: false,
                heard_of: None,
                why: None,
                told: standings::Told::default(),
                round_trip: None,
                nonsense: 0,
            }),
            hearing: Mutex::default(),
            changed: Notify::new(),
            list: expulsions::List::default(),
        });
        peers.insert(name.clone(), peer.clone());
        drop(peers);
        self.spawn(greeting::keep_calling(self.clone(), peer.clone()));
        peer
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let task = self.runtime.spawn(task).abort_handle();
        let mut tasks = self.tasks.lock();
        tasks.retain(|task| !task.is_finished());
        tasks.push(task);
    }

    fn is_linked(&self, node: &NodeName) -> bool {
        let peer = self.peers.read().get(node).cloned();
        peer.is_some_and(|peer| peer.state.lock().link.as_ref().is_some_and(|link| !link.is_over()))
    }

    /// What a node sent made no sense.
    fn count_nonsense(&self, end: &End) {
        if let (End::Nonsense(_), Some(credentials)) = (end, self.network.credentials()) {
            credentials.tally().count(TurnedAway::Nonsense);
        }
    }

    /// A node that is not there, with why it was turned away at the port, if it was.
    fn with_verdict(&self, member: Member) -> Member {
        let is_there = matches!(member.membership, Membership::Alive | Membership::Suspect);
        let credentials = self.network.credentials().filter(|_| !is_there);
        let verdict = credentials.and_then(|it| it.tally().why(&member.node));
        Member { why: verdict.or(member.why), ..member }
    }

    fn is_leaving(&self) -> bool {
        *self.is_leaving.borrow()
    }

    /// Writes about a node into the journal.
    fn note(&self, node: &NodeName, incarnation: u64, text: &str) {
        if let Some(own) = self.node.upgrade() {
            let key = Key::from(format!("@{node}").as_str());
            own.tree().record(&key, incarnation, What::Note { text: text.into() });
        }
    }
}

impl Peer {
    /// Whether this is its link, and not one that is lost.
    fn is_linked_by(&self, link: &Arc<Link>) -> bool {
        self.state.lock().link.as_ref().is_some_and(|current| Arc::ptr_eq(current, link))
    }

    fn stand(&self, state: &mut PeerState, membership: Membership, why: Option<String>) {
        if state.membership != membership {
            state.since = Instant::now();
        }
        (state.membership, state.why) = (membership, why);
    }

    fn member(&self) -> Member {
        let state = self.state.lock();
        Member {
            node: self.name.clone(),
            membership: state.membership,
            since: state.since,
            incarnation: state.incarnation,
            why: state.why.clone(),
            addresses: state.told.known,
            round_trip: state.round_trip,
            nonsense: state.nonsense,
            differing: state.link.iter().flat_map(|link| link.differing.iter().cloned()).collect(),
        }
    }
}
