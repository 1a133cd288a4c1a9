//! The real network: gRPC streams over mutual TLS.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use genii_protocols::NodeName;
use genii_protocols::frame::NAME_MAX_LEN;
use parking_lot::Mutex;
use rustls::AlertDescription;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;
use tonic::Request;
use tonic::client::Grpc;
use tonic::transport::Channel;

use super::control_thread::{ControlThread, Elsewhere};
use super::heard::{Alert, Heard};
use super::lanes::{self, BATCH_MAX_LEN};
use super::listener::Opens;
use super::network::{Broken, Certificate, Lane, Network, Opened, Outgoing, Reached};
use super::raw::Raw;
use super::{HANDSHAKE_PATIENCE, channel_over, prepare};
use crate::trust::credentials::{Credentials, Current};
use crate::trust::verdict::{Verdict, of_alert};
use crate::trust::{Identity, certified, expulsion, tls};

/// How many nodes are known at most.
const PEERS_MAX: usize = 256;

/// How long a place may say nothing until the next one is tried beside it.
const NEXT_PLACE_AFTER: Duration = Duration::from_millis(200);

/// How many places of one node are known at most.
const PLACES_MAX: usize = 8;

/// The network as this node has it.
pub struct TlsNetwork {
    credentials: Arc<Credentials>,
    own: NodeName,
    /// Where others reach this node.
    places: Vec<String>,
    peers: Arc<Mutex<Peers>>,
    /// Held while something is kept.
    keeping: Arc<Mutex<()>>,
    opened: tokio::sync::Mutex<mpsc::Receiver<Opened>>,
    /// That of the port, or begun with the first control lane where nobody listens.
    control: Mutex<Option<Arc<ControlThread>>>,
}

impl TlsNetwork {
    /// The network of a node: who it is by a folder of trust, where others reach it, and what they
    /// open, as its [listener](super::listener::Listener) hands it on.
    pub fn new(trust: &Path, own: NodeName, places: Vec<String>, opens: impl Into<Opens>) -> Self {
        let peers = Peers { places: super::peers::read(trust), hearsay: BTreeSet::new() };
        let peers = Arc::new(Mutex::new(peers));
        let Opens { opened, credentials, control } = opens.into();
        let credentials = credentials.unwrap_or_else(|| Credentials::at(trust));
        let opened = tokio::sync::Mutex::new(opened);
        let control = Mutex::new(control);
        Self { credentials, own, places, peers, keeping: Arc::default(), opened, control }
    }

    /// The runtime of the thread of the control lanes.
    fn control(&self) -> std::io::Result<Handle> {
        let mut control = self.control.lock();
        let thread = match &*control {
            Some(thread) => thread,
            None => control.insert(ControlThread::start()?),
        };
        Ok(thread.runtime().clone())
    }
}

/// Where other nodes are.
struct Peers {
    places: BTreeMap<NodeName, Vec<String>>,
    /// Of which nodes others have told alone.
    hearsay: BTreeSet<NodeName>,
}

impl Peers {
    /// Whether it is news, and there is room for it.
    fn put(&mut self, node: &NodeName, places: Vec<String>) -> bool {
        let is_new = self.places.get(node) != Some(&places);
        let has_room = self.places.len() < PEERS_MAX || self.places.contains_key(node);
        if is_new && has_room {
            self.places.insert(node.clone(), places);
        }
        is_new && has_room
    }

    /// What is kept for the next start.
    fn to_keep(&self) -> BTreeMap<NodeName, Vec<String>> {
        let told = self.places.iter().filter(|(node, _)| !self.hearsay.contains(*node));
        told.map(|(node, places)| (node.clone(), places.clone())).collect()
    }
}

/// Places that are no longer than any that there is, and not too many.
fn short(places: &[String]) -> Vec<String> {
    let short = places.iter().filter(|place| place.len() <= NAME_MAX_LEN);
    short.take(PLACES_MAX).cloned().collect()
}

impl TlsNetwork {
    /// Keeps where the others are for the next start, away from those who wait for other things.
    fn keep(&self) {
        let (peers, keeping) = (self.peers.clone(), self.keeping.clone());
        let folder = self.credentials.folder().to_owned();
        let keep = move || {
            // One at a time, and each what is known by then.
            let _alone = keeping.lock();
            let to_keep = peers.lock().to_keep();
            super::peers::write(&folder, &to_keep);
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(keep)),
            Err(_) => keep(),
        }
    }
}

impl Network for TlsNetwork {
    fn open(
        &self,
        to: &NodeName,
        lane: Lane,
        outgoing: Outgoing,
    ) -> BoxFuture<'static, Result<Reached, Broken>> {
        let (credentials, to) = (self.credentials.clone(), to.clone());
        let places = self.places_of(&to);
        let opening = async move { open(&credentials, &to, &places, lane, outgoing).await };
        let there = match lane {
            Lane::Data => return opening.boxed(),
            Lane::Control => self.control(),
        };
        async move {
            let there = there.map_err(|error| Broken::Other(error.to_string()))?;
            let opened = Elsewhere::run(&there, opening).done().await;
            opened.unwrap_or_else(|| Err(Broken::Other("it was cut short".to_owned())))
        }
        .boxed()
    }

    fn control_runtime(&self) -> Option<Handle> {
        let there = self.control();
        let warn = |error: &std::io::Error| {
            tracing::warn!("signs of life share the threads of the agents: {error}");
        };
        there.inspect_err(warn).ok()
    }

    fn accept(&self) -> BoxFuture<'_, Option<Opened>> {
        async { self.opened.lock().await.recv().await }.boxed()
    }

    fn places(&self) -> Vec<String> {
        self.places.clone()
    }

    fn learn(&self, node: &NodeName, places: &[String]) {
        if *node == self.own || places.is_empty() {
            return;
        }
        let places = short(places);
        let mut peers = self.peers.lock();
        let was_hearsay = peers.hearsay.remove(node);
        if peers.put(node, places) || was_hearsay {
            drop(peers);
            self.keep();
        }
    }

    fn hear(&self, node: &NodeName, places: &[String]) {
        let mut peers = self.peers.lock();
        let is_known = *node == self.own || peers.places.contains_key(node);
        if !is_known && peers.put(node, short(places)) {
            peers.hearsay.insert(node.clone());
        }
    }

    fn forget(&self, node: &NodeName) {
        let mut peers = self.peers.lock();
        peers.places.remove(node);
        peers.hearsay.remove(node);
    }

    fn credentials(&self) -> Option<&Arc<Credentials>> {
        Some(&self.credentials)
    }

    fn places_of(&self, node: &NodeName) -> Vec<String> {
        self.peers.lock().places.get(node).cloned().unwrap_or_default()
    }

    fn still_counts(&self, certificate: &Certificate) -> Result<(), Verdict> {
        self.credentials.still_counts(certificate)
    }

    fn known(&self) -> Vec<NodeName> {
        self.peers.lock().places.keys().filter(|node| **node != self.own).cloned().collect()
    }
}

/// Opens a lane on a connection of its own.
async fn open(
    credentials: &Credentials,
    to: &NodeName,
    places: &[String],
    lane: Lane,
    outgoing: Outgoing,
) -> Result<Reached, Broken> {
    let dialled = dial(credentials, to, places, lane).await?;
    let mut grpc = Grpc::new(dialled.channel).max_decoding_message_size(BATCH_MAX_LEN);
    let refused = |broken| refused_or(broken, to, credentials, &dialled.alert);
    let ready = grpc.ready().await;
    ready.map_err(|error| refused(Broken::Other(error.to_string())))?;
    let opened = grpc.streaming(Request::new(outgoing), lanes::path(lane), Raw).await;
    let batches = opened.map_err(|status| refused(lanes::broken(&status)))?.into_inner();
    // The connection lives as long as what comes in on it.
    let incoming = lanes::incoming(batches).chain(held(grpc)).boxed();
    Ok(Reached { incoming, certificate: dialled.certificate })
}

/// Holds something until a stream is dropped, and yields nothing.
fn held<T: Send + 'static, I: Send + 'static>(
    what: T,
) -> impl futures_util::Stream<Item = I> + Send {
    futures_util::stream::once(async move {
        drop(what);
        None
    })
    .filter_map(std::future::ready)
}

/// A connection to a node.
pub(super) struct Dialled {
    pub(super) channel: Channel,
    certificate: Option<Certificate>,
    pub(super) alert: Alert,
}

/// Why a call failed: the other end may have said so when it ended the connection.
pub(super) fn refused_or(
    broken: Broken,
    by: &NodeName,
    credentials: &Credentials,
    alert: &Alert,
) -> Broken {
    let (Some(alert), Ok(current)) = (*alert.lock(), credentials.current()) else { return broken };
    if alert == AlertDescription::CertificateRevoked {
        keep_told(current.clone(), by.clone());
    }
    Broken::Refused(of_alert(alert, &current.identity))
}

/// Keeps that another node says that this one was expelled, away from those who wait for other things.
fn keep_told(current: Arc<Current>, by: NodeName) {
    tokio::task::spawn_blocking(move || {
        let kept = expulsion::keep(&current.identity, &by, SystemTime::now());
        if let Err(error) = kept {
            tracing::warn!("that this machine was expelled cannot be written down: {error}");
        }
    });
}

/// Connects to a node, wherever it is.
pub(super) async fn dial(
    credentials: &Credentials,
    to: &NodeName,
    places: &[String],
    lane: Lane,
) -> Result<Dialled, Broken> {
    let current = credentials.current().map_err(|error| Broken::Other(error.to_string()))?;
    let name = ServerName::try_from(certified(to));
    let name = name.map_err(|error| Broken::Other(error.to_string()))?;
    let mut left = places.iter();
    let mut reaching = FuturesUnordered::new();
    let mut why = Broken::NoPlace;
    loop {
        // One after another, and the next at once where one has failed.
        match left.next() {
            Some(place) => reaching.push(reach_at(place, name.clone(), &current.identity, lane)),
            None if reaching.is_empty() => return Err(why),
            None => {}
        }
        let pause = tokio::time::sleep(NEXT_PLACE_AFTER);
        tokio::select! {
            reached = reaching.select_next_some() => match reached {
                Ok(reached) => return Ok(reached),
                // That it is refused tells more than that nobody is there.
                Err(_) if matches!(why, Broken::Refused(_)) => {}
                Err(broken) => why = broken,
            },
            () = pause, if left.len() > 0 => {}
        }
    }
}

/// Connects to a node at one place; if that fails, with why it was not taken, in place of what TLS says
/// about it.
async fn reach_at(
    place: &str,
    name: ServerName<'static>,
    own: &Identity,
    lane: Lane,
) -> Result<Dialled, Broken> {
    let verdict = Arc::new(Mutex::new(None));
    let tell = verdict.clone();
    let watch = Arc::new(move |verdict| *tell.lock() = Some(verdict));
    let config = tls::client_watched(own, watch);
    let mut config = config.map_err(|error| Broken::Other(error.to_string()))?;
    if lane == Lane::Control {
        tls::announce_control(&mut config);
    }
    let connector = TlsConnector::from(Arc::new(config));
    let reached = tokio::time::timeout(HANDSHAKE_PATIENCE, reach(place, &connector, name)).await;
    let reached = reached.map_err(|_| Broken::Other(format!("no answer at {place}")))?;
    reached.map_err(|broken| match verdict.lock().take() {
        Some(why) => Broken::Refused(format!("{place}: {why}")),
        None => broken,
    })
}

async fn reach(
    place: &str,
    connector: &TlsConnector,
    name: ServerName<'static>,
) -> Result<Dialled, Broken> {
    let stream = TcpStream::connect(place).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::ConnectionRefused => Broken::NobodyThere(place.to_owned()),
        _ => Broken::Other(format!("{place}: {error}")),
    })?;
    prepare(&stream).map_err(|error| Broken::Other(error.to_string()))?;
    let stream = connector.connect(name, stream).await;
    let stream = stream.map_err(|error| Broken::Refused(format!("{place}: {error}")))?;
    let certificates = stream.get_ref().1.peer_certificates();
    let certificate = certificates.and_then(|shown| shown.first()).cloned();
    let certificate = certificate.map(Certificate::into_owned);
    let alert = Alert::default();
    let channel = channel_over(Heard { stream, alert: alert.clone() }).await;
    let channel = channel.map_err(|error| Broken::Other(format!("{place}: {error}")))?;
    Ok(Dialled { channel, certificate, alert })
}
