//! The real network: gRPC streams over mutual TLS.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};
use genii_protocols::NodeName;
use parking_lot::Mutex;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;
use tonic::Request;
use tonic::client::Grpc;
use tonic::transport::Channel;

use super::lanes::{self, BATCH_MAX_LEN};
use super::network::{Broken, Certificate, Incoming, Lane, Network, Opened, Outgoing};
use super::raw::Raw;
use super::{HANDSHAKE_PATIENCE, channel_over};
use crate::trust::{Expelled, Identity, certified, tls};

/// How many nodes are known at most.
const PEERS_MAX: usize = 256;

/// How many places of one node are known at most.
const PLACES_MAX: usize = 8;

/// The network as this node has it.
pub struct TlsNetwork {
    trust: PathBuf,
    own: NodeName,
    /// Where others reach this node.
    places: Vec<String>,
    peers: Mutex<BTreeMap<NodeName, Vec<String>>>,
    shown: Arc<Shown>,
    opened: tokio::sync::Mutex<mpsc::Receiver<Opened>>,
}

impl TlsNetwork {
    /// The network of a node: who it is by a folder of trust, where others reach it, and what they
    /// open, as its [listener](super::listener::Listener) hands it on.
    pub fn new(
        trust: &Path,
        own: NodeName,
        places: Vec<String>,
        opened: mpsc::Receiver<Opened>,
    ) -> Self {
        let peers = Mutex::new(super::peers::read(trust));
        let (shown, opened) = (Arc::default(), tokio::sync::Mutex::new(opened));
        Self { trust: trust.to_owned(), own, places, peers, shown, opened }
    }
}

impl Network for TlsNetwork {
    fn open(
        &self,
        to: &NodeName,
        lane: Lane,
        outgoing: Outgoing,
    ) -> BoxFuture<'static, Result<Incoming, Broken>> {
        let (trust, to, places) = (self.trust.clone(), to.clone(), self.places_of(to));
        let shown = self.shown.clone();
        async move {
            let channel = dial(&trust, &to, &places, &shown).await?;
            let mut grpc = Grpc::new(channel).max_decoding_message_size(BATCH_MAX_LEN);
            grpc.ready().await.map_err(|error| Broken::Other(error.to_string()))?;
            let opened = grpc.streaming(Request::new(outgoing), lanes::path(lane), Raw).await;
            let batches = opened.map_err(|status| lanes::broken(&status))?.into_inner();
            // The connection lives as long as what comes in on it.
            Ok(lanes::incoming(batches).chain(held(grpc)).boxed())
        }
        .boxed()
    }

    fn accept(&self) -> BoxFuture<'_, Option<Opened>> {
        async {
            let opened = self.opened.lock().await.recv().await?;
            if let Some(certificate) = &opened.certificate {
                self.shown.note(&opened.from, certificate);
            }
            Some(opened)
        }
        .boxed()
    }

    fn places(&self) -> Vec<String> {
        self.places.clone()
    }

    fn learn(&self, node: &NodeName, places: &[String]) {
        if *node == self.own || places.is_empty() {
            return;
        }
        let places: Vec<String> = places.iter().take(PLACES_MAX).cloned().collect();
        let mut peers = self.peers.lock();
        let is_new = peers.get(node) != Some(&places);
        if is_new && (peers.len() < PEERS_MAX || peers.contains_key(node)) {
            peers.insert(node.clone(), places);
            super::peers::write(&self.trust, &peers);
        }
    }

    fn places_of(&self, node: &NodeName) -> Vec<String> {
        self.peers.lock().get(node).cloned().unwrap_or_default()
    }

    fn is_expelled(&self, node: &NodeName) -> bool {
        self.shown.is_expelled(node, &self.trust)
    }

    fn known(&self) -> Vec<NodeName> {
        self.peers.lock().keys().filter(|node| **node != self.own).cloned().collect()
    }
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

/// Connects to a node, wherever it is.
async fn dial(
    trust: &Path,
    to: &NodeName,
    places: &[String],
    shown: &Shown,
) -> Result<Channel, Broken> {
    let identity = Identity::open(trust).map_err(|error| Broken::Other(error.to_string()))?;
    let identity = identity.ok_or_else(|| Broken::Other("this node is nobody".to_owned()))?;
    let config = tls::client(&identity).map_err(|error| Broken::Other(error.to_string()))?;
    let connector = TlsConnector::from(Arc::new(config));
    let name = ServerName::try_from(certified(to));
    let name = name.map_err(|error| Broken::Other(error.to_string()))?;
    let mut last = Broken::NoPlace;
    for place in places {
        let reaching = reach(place, &connector, name.clone());
        match tokio::time::timeout(HANDSHAKE_PATIENCE, reaching).await {
            Ok(Ok((channel, certificate))) => {
                certificate.inspect(|certificate| shown.note(to, certificate));
                return Ok(channel);
            }
            Ok(Err(broken)) => last = broken,
            Err(_) => last = Broken::Other(format!("no answer at {place}")),
        }
    }
    Err(last)
}

async fn reach(
    place: &str,
    connector: &TlsConnector,
    name: ServerName<'static>,
) -> Result<(Channel, Option<Certificate>), Broken> {
    let stream = TcpStream::connect(place).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::ConnectionRefused => Broken::NobodyThere(place.to_owned()),
        _ => Broken::Other(format!("{place}: {error}")),
    })?;
    stream.set_nodelay(true).map_err(|error| Broken::Other(error.to_string()))?;
    let stream = connector.connect(name, stream).await;
    let stream = stream.map_err(|error| Broken::Refused(format!("{place}: {error}")))?;
    let certificates = stream.get_ref().1.peer_certificates();
    let certificate = certificates.and_then(|shown| shown.first()).cloned();
    let certificate = certificate.map(Certificate::into_owned);
    let channel = channel_over(stream).await;
    let channel = channel.map_err(|error| Broken::Other(format!("{place}: {error}")))?;
    Ok((channel, certificate))
}

/// The certificates by which nodes were linked last, and those that count no more.
#[derive(Default)]
struct Shown {
    certificates: Mutex<BTreeMap<NodeName, Certificate>>,
    expelled: Mutex<(Option<SystemTime>, Option<Expelled>)>,
}

impl Shown {
    fn note(&self, node: &NodeName, certificate: &Certificate) {
        self.certificates.lock().insert(node.clone(), certificate.clone());
    }

    fn is_expelled(&self, node: &NodeName, trust: &Path) -> bool {
        let written = std::fs::metadata(trust.join("expelled.crl"));
        let written = written.and_then(|about| about.modified()).ok();
        let mut expelled = self.expelled.lock();
        if expelled.0 != written {
            // One that is just being written is read next time; until then the old one counts.
            if let Some(identity) = Identity::open(trust).ok().flatten() {
                *expelled = (written, Some(identity.expelled().clone()));
            }
        }
        let certificates = self.certificates.lock();
        let both = certificates.get(node).zip(expelled.1.as_ref());
        both.is_some_and(|(certificate, expelled)| expelled.contains(certificate))
    }
}
