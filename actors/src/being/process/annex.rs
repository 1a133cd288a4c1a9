//! The annex of a being: a little household of two nodes on this machine, which know each other by
//! certificates of an authority that lives as long as they do. One of them is in this process, and has a
//! window to the house; the other is the process of the being.
//!
//! The household proper has no part in it. So a being's process is no member of that, need not be let in
//! by anybody, and can reach nothing but the window; and each has an annex of its own, so that no being's
//! process can reach that of another.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use genii_protocols::{Address, Destination, Json, Name, NodeName};
use genii_runtime::cluster::{Cluster, Timing};
use genii_runtime::link::listener::Listener;
use genii_runtime::link::tls_network::TlsNetwork;
use genii_runtime::trust::{Authority, Identity, Request, TrustError, signer};
use genii_runtime::{Limits, Mail, Node, NodeOptions};
use genii_supervision::{
    StartError, Supervisor, SupervisorFlags, SupervisorHandle, SupervisorSpec,
};
use parking_lot::Mutex;
use tokio::task::spawn_blocking;

use super::dead_letters::{self, Graveyard};
use super::lease::Lease;
use super::window::{Outside, Window};
use super::{desk, tenant};
use crate::being::{home, registry};
use crate::beings::home::folders::remove_folder;

/// The folder of the annexes, in the folder of the node.
const FOLDER: &str = "annexes";

/// The folder of the authority and of this end, in that of an annex.
const HOUSE: &str = "house";

/// The folder of the other end, in that of an annex. It is all that the other is told.
const TENANT: &str = "tenant";

/// How long the invitation counts that is used at once.
const INVITED_FOR: Duration = Duration::from_secs(60);

/// How often to look whether the being answers.
const LOOK: Duration = Duration::from_millis(10);

/// How many addresses the other end may tell of. It has two.
const ADDRESSES_MAX: usize = 16;

/// How many lifecycle events of an annex are kept.
const JOURNAL_CAPACITY: usize = 100;

/// An open annex. Dropped, it is closed, and nothing of it is left.
pub(super) struct Annex {
    node: Node,
    cluster: Cluster,
    root: SupervisorHandle,
    being: Address,
    /// How long a look may take whether the being answers.
    answer_within: Duration,
    folder: AnnexFolder,
    _listener: Listener,
}

impl Annex {
    /// Opens one for a being of a node.
    pub(super) async fn open(house: &Node, mut lease: Lease) -> Result<Self, StartError> {
        let being = lease.being.clone();
        let data = house.data().ok_or_else(|| {
            StartError::refused(
                "genii has no folder in which a being's process could find its keys",
            )
        })?;
        let (folder, open) = (data.join(FOLDER).join(being.name()), Open::of(house));
        let made = spawn_blocking(move || AnnexFolder::make(folder, open)).await;
        let folder = made.map_err(|error| StartError::failed(error.to_string()))??;
        let at = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let trust = folder.house();
        let (listener, opens) =
            Listener::open(at, &trust).await.map_err(|error| StartError::of(&error))?;
        lease.annex = listener.at().to_string();
        lease.write(&folder.tenant()).map_err(|error| StartError::of(&error))?;

        let node = Node::new(NodeOptions {
            limits: Limits {
                addresses_of_one_max: ADDRESSES_MAX,
                journal_capacity: JOURNAL_CAPACITY,
                ..house.limits().clone()
            },
            // What is lost here, or over there, was lost in the house.
            dead_letters: Some(house.dead_letters().clone()),
            ..NodeOptions::new(own_name())
        });
        node.shared(|| Outside(house.clone()));
        let root = open_window(&node, &being).await?;
        let network = TlsNetwork::new(&trust, own_name(), vec![lease.annex.clone()], opens);
        let timing = timing(lease.limits.answer_within.0);
        let cluster = Cluster::begin(&node, Arc::new(network), timing, began());
        let answer_within = lease.limits.answer_within.0;
        Ok(Self { node, cluster, root, being, answer_within, folder, _listener: listener })
    }

    /// The words and the environment with which the process of the being is started. Neither holds a
    /// secret.
    pub(super) fn command(&self) -> (Vec<String>, BTreeMap<String, String>) {
        let folder = self.folder().to_string_lossy().into_owned();
        let environment =
            tenant::ENVIRONMENT.map(|(name, value)| (name.to_owned(), value.to_owned()));
        (vec![tenant::WORD.to_owned(), folder], environment.into())
    }

    /// The folder that the process of the being is given.
    pub(super) fn folder(&self) -> PathBuf {
        self.folder.tenant()
    }

    /// Waits until the being answers from its process.
    pub(super) async fn answers(&self) {
        loop {
            let there = self.is_linked();
            if there && self.node.health(&self.being, self.answer_within).await.is_ok() {
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Sends to the being in its process.
    pub(super) fn mail(&self) -> Mail {
        let address = self.being.clone();
        self.node.to(Destination { address, node: Some(tenant::name()) })
    }

    /// Sends to who tells, in the process, whether the being has something to do.
    pub(super) fn desk(&self) -> Mail {
        self.node.to(Destination { address: desk::address(), node: Some(tenant::name()) })
    }

    /// Whether there is a link to the process of the being.
    fn is_linked(&self) -> bool {
        self.cluster.is_connected(&tenant::name())
    }

    /// The two ends of it, to look whether the other is well.
    pub(super) fn ends(&self) -> (Node, Cluster, Address) {
        (self.node.clone(), self.cluster.clone(), self.being.clone())
    }
}

impl Drop for Annex {
    fn drop(&mut self) {
        self.cluster.end();
        self.root.kill();
    }
}

/// The name of this end.
pub(super) fn own_name() -> NodeName {
    NodeName::new("annex").expect("it is the name of a node")
}

/// How the link between the two is watched: no more closely than the being itself.
pub(super) fn timing(answer_within: Duration) -> Timing {
    Timing {
        ping: Duration::from_millis(500).min(answer_within / 4),
        suspect: answer_within / 2,
        down: answer_within,
        ..Timing::default()
    }
}

/// What tells this life of a node from those before.
pub(super) fn began() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX / 2)
}

/// Opens the windows to the house, where the being looks for the registry and for its home, and where its
/// process tells of dead letters.
async fn open_window(node: &Node, being: &Address) -> Result<SupervisorHandle, StartError> {
    let tenant = Name::new(being.name()).map_err(|error| StartError::refused(error.to_string()))?;
    let settings = Json(serde_json::json!({ "tenant": tenant }));
    let spec = SupervisorSpec::new("annex")
        .with_flags(SupervisorFlags::default())
        .with_child(node.agent::<Window>(&registry(), settings.clone()))
        .with_child(node.agent::<Window>(&home(), settings))
        .with_child(
            node.agent::<Graveyard>(&dead_letters::address(), dead_letters::settings(being)),
        );
    Supervisor::start(spec, node.tree().clone()).await.map_err(StartError::Failed)
}

/// Removes what is left of annexes that are not open: of those that a genii had open that was killed.
/// Blocking.
///
/// # Errors
/// When the folder of the annexes cannot be read. What cannot be removed is said in the log.
pub(crate) fn clear(house: &Node) -> io::Result<()> {
    let Some(data) = house.data() else { return Ok(()) };
    let open = Open::of(house);
    let annexes = match std::fs::read_dir(data.join(FOLDER)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        annexes => annexes?,
    };
    for annex in annexes {
        open.clear(&annex?.path());
    }
    Ok(())
}

/// Removes what is left of the annex of a being that is no more. Blocking.
pub(crate) fn forget(house: &Node, being: &Name) {
    if let Some(data) = house.data() {
        Open::of(house).clear(&data.join(FOLDER).join(being.as_str()));
    }
}

/// The folders of the annexes that a node has open.
#[derive(Default)]
struct Open(Mutex<HashSet<PathBuf>>);

impl Open {
    fn of(house: &Node) -> Arc<Self> {
        house.shared(Self::default)
    }

    /// Removes a folder, if it is not that of an open annex. None is opened there meanwhile.
    fn clear(&self, folder: &Path) {
        let open = self.0.lock();
        if open.contains(folder) {
            return;
        }
        if let Err(error) = remove_folder(folder) {
            tracing::warn!("{} cannot be removed: {error}", folder.display());
        }
    }
}

/// The folder of an annex: for its owner alone, made anew, and removed when this is dropped.
struct AnnexFolder {
    path: PathBuf,
    open: Arc<Open>,
}

impl AnnexFolder {
    /// Makes it, with an authority that signs for the two ends and for nobody else. Blocking.
    fn make(path: PathBuf, open: Arc<Open>) -> Result<Self, StartError> {
        open.0.lock().insert(path.clone());
        let folder = Self { path, open };
        folder.make_anew().map_err(|error| {
            let path = folder.path.display();
            StartError::failed(format!("its annex {path} cannot be made: {error}"))
        })?;
        folder.sign().map_err(|error| StartError::of(&error))?;
        Ok(folder)
    }

    fn make_anew(&self) -> io::Result<()> {
        remove_folder(&self.path)?;
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.path)
    }

    fn sign(&self) -> Result<(), TrustError> {
        let now = SystemTime::now();
        let (authority, _) = Authority::found(&self.house(), &own_name(), now)?;
        let request = Request::new()?;
        let secret = authority.invite(&tenant::name(), INVITED_FOR, now)?;
        let admitted = authority.admit(&secret, request.der(), now)?;
        let admitted = admitted.map_err(|refused| TrustError::Crypto(refused.to_string()))?;
        let (certificate, expelled) = (&admitted.certificate, &admitted.expelled);
        let tenant = self.tenant();
        Identity::keep(&tenant, &request, authority.certificate(), certificate, expelled)?;
        signer::write(&tenant, &own_name())
    }

    fn house(&self) -> PathBuf {
        self.path.join(HOUSE)
    }

    fn tenant(&self) -> PathBuf {
        self.path.join(TENANT)
    }
}

impl Drop for AnnexFolder {
    fn drop(&mut self) {
        self.open.0.lock().remove(&self.path);
        self.open.clear(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_left_of_annexes_goes_and_those_that_are_open_stay() {
        let data = tempfile::tempdir().unwrap();
        let house = Node::new(NodeOptions {
            data: Some(data.path().to_owned()),
            ..NodeOptions::new(NodeName::new("main").unwrap())
        });
        clear(&house).unwrap();
        let annex = |being: &str| data.path().join(FOLDER).join(being);
        let leave = |being: &str| {
            std::fs::create_dir_all(annex(being).join(TENANT)).unwrap();
            std::fs::write(annex(being).join(TENANT).join("outcome.json"), "{}").unwrap();
        };
        ["alice", "bob", "carla"].into_iter().for_each(leave);
        let open = AnnexFolder::make(annex("alice"), Open::of(&house)).unwrap();
        assert!(!open.tenant().join("outcome.json").exists(), "it is made anew");
        forget(&house, &Name::new("bob").unwrap());
        forget(&house, &Name::new("alice").unwrap());
        assert!(!annex("bob").exists() && annex("alice").exists() && annex("carla").exists());
        clear(&house).unwrap();
        assert!(annex("alice").join(HOUSE).exists() && !annex("carla").exists());
        drop(open);
        assert!(!annex("alice").exists());
    }
}
