//! A household whose nodes live in this process, each with its folder, its port and its clock.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use genii_protocols::NodeName;
use genii_runtime::cluster::{Cluster, Member, Membership, Timing};
use genii_runtime::link::listener::Listener;
use genii_runtime::link::network::Network;
use genii_runtime::link::tls_network::TlsNetwork;
use genii_runtime::trust::credentials::Credentials;
use genii_runtime::trust::{Admitted, Authority, Identity, Request};
use genii_runtime::{Node, NodeOptions};

pub const HOUR: Duration = Duration::from_secs(3_600);

/// How long anything may take.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub fn name(text: &str) -> NodeName {
    NodeName::new(text).unwrap()
}

/// A household, with the folder of its authority in `main`.
pub struct Household {
    pub scratch: tempfile::TempDir,
    pub authority: Authority,
}

impl Household {
    pub fn new() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("main");
        let (authority, _) = Authority::found(&path, &name("main"), SystemTime::now()).unwrap();
        Self { scratch, authority }
    }

    pub fn path(&self, node: &str) -> PathBuf {
        self.scratch.path().join(node)
    }

    /// Lets a node in, as of a time.
    pub fn admit_at(&self, node: &str, now: SystemTime) -> Identity {
        let secret = self.authority.invite(&name(node), HOUR, now).unwrap();
        let request = Request::new().unwrap();
        let Admitted { certificate, expelled } =
            self.authority.admit(&secret, request.der(), now).unwrap().unwrap();
        let household = self.authority.certificate();
        Identity::keep(&self.path(node), &request, household, &certificate, &expelled).unwrap()
    }

    pub fn admit(&self, node: &str) -> Identity {
        self.admit_at(node, SystemTime::now())
    }

    /// Begins a node that listens.
    pub async fn begin(&self, node: &str) -> Running {
        Running::begin(&self.path(node), node).await
    }
}

/// A node that listens, and is linked with whom it knows.
pub struct Running {
    pub name: NodeName,
    /// Lives as long as this does.
    _node: Node,
    pub listener: Listener,
    pub cluster: Cluster,
    pub credentials: Arc<Credentials>,
}

impl Running {
    pub async fn begin(trust: &Path, own: &str) -> Self {
        Self::begin_with(trust, own, Timing::default()).await
    }

    pub async fn begin_with(trust: &Path, own: &str, timing: Timing) -> Self {
        let at: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let (listener, opens) = Listener::open(at, trust).await.unwrap();
        let node = Node::new(NodeOptions::new(name(own)));
        let places = vec![listener.at().to_string()];
        let network = Arc::new(TlsNetwork::new(trust, name(own), places, opens));
        let credentials = network.credentials().unwrap().clone();
        let began = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let began = began.as_millis() as u64;
        let cluster = Cluster::begin(&node, network, timing, began);
        Self { name: name(own), _node: node, listener, cluster, credentials }
    }

    /// Tells it where another is.
    pub fn meet(&self, other: &Running) {
        self.cluster.meet(&other.name, &[other.listener.at().to_string()]);
    }

    /// How it sees another.
    pub fn sees(&self, other: &str) -> Option<Member> {
        self.cluster.members().into_iter().find(|member| member.node == name(other))
    }

    pub fn is_linked(&self, other: &str) -> bool {
        self.sees(other).is_some_and(|member| member.membership == Membership::Alive)
    }

    pub async fn until_linked(&self, other: &str) {
        self.until(&format!("{} to be linked with {other}", self.name), || self.is_linked(other))
            .await;
    }

    /// Waits until it sees another down, and for this reason.
    pub async fn until_lost(&self, other: &str, why: &str) {
        let lost = || {
            let member = self.sees(other);
            member.is_some_and(|it| {
                it.membership != Membership::Alive && it.why.is_some_and(|it| it.contains(why))
            })
        };
        self.until(&format!("{} to lose {other} because {why:?}", self.name), lost).await;
    }

    /// Waits until something is so.
    pub async fn until(&self, what: &str, is_so: impl Fn() -> bool) {
        let until = Instant::now() + PATIENCE;
        while !is_so() {
            assert!(
                Instant::now() < until,
                "waited in vain for {what}: {:?}; {:?}",
                self.cluster.members(),
                self.credentials.tally().counts()
            );
            // Between two looks.
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Which list of the expelled it has.
    pub fn list(&self) -> u64 {
        self.credentials.current().unwrap().identity.expelled().number()
    }

    /// Ends it, as a machine that is switched off.
    pub async fn end(self) {
        self.cluster.end();
        self.listener.close().await;
    }
}
