//! The port of a node.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;

use super::caller::Caller;
use super::lanes::Lanes;
use super::network::Opened;
use super::{
    CONNECTION_WINDOW, HANDSHAKE_PATIENCE, HANDSHAKES_MAX, STRANGERS_MAX, STREAM_WINDOW, join,
};
use crate::trust::{Identity, TrustError, tls};

/// How many lanes may wait to be taken.
const OPENED_MAX: usize = 16;

/// How many connections may wait to be served.
const CALLERS_MAX: usize = 16;

/// How long to wait after a connection could not be taken, as when no more files may be opened.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long one call of a stranger may take.
const CALL_PATIENCE: Duration = Duration::from_secs(10);

/// How many calls of one connection are served at once.
const CALLS_MAX: usize = 8;

/// How long calls that are being served may take to end when the port closes.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// The port, and what serves it. Dropped, it is no longer served.
pub struct Listener {
    at: SocketAddr,
    turned_away: Arc<AtomicU64>,
    stop: Option<oneshot::Sender<()>>,
    accepting: JoinHandle<()>,
    serving: JoinHandle<()>,
    linking: JoinHandle<()>,
}

impl Listener {
    /// Begins to listen, as whom the folder of trust says that this node is. Beside it comes what
    /// other nodes open.
    ///
    /// # Errors
    /// When it is nobody, or the port cannot be had.
    pub async fn open(
        at: SocketAddr,
        trust: &Path,
    ) -> Result<(Self, mpsc::Receiver<Opened>), ListenError> {
        let papers = Papers::read(trust)?;
        let port = TcpListener::bind(at).await;
        let port = port.map_err(|error| ListenError::Port { at, error })?;
        let at = port.local_addr().map_err(|error| ListenError::Port { at, error })?;
        let (met, strangers) = mpsc::channel(CALLERS_MAX);
        let (linked, nodes) = mpsc::channel(CALLERS_MAX);
        let (opened, opens) = mpsc::channel(OPENED_MAX);
        let turned_away = Arc::new(AtomicU64::new(0));
        let doors = Doors { strangers: met, nodes: linked };
        let accepting = accept(port, Arc::new(papers), doors, turned_away.clone());
        let (stop, stopped) = oneshot::channel();
        let server = Server::builder()
            .concurrency_limit_per_connection(CALLS_MAX)
            .timeout(CALL_PATIENCE)
            .add_service(join::service(trust))
            .serve_with_incoming_shutdown(ReceiverStream::new(strangers), async {
                let _either_way = stopped.await;
            });
        let links = Server::builder()
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .add_service(Lanes { opened })
            .serve_with_incoming(ReceiverStream::new(nodes));
        let linking = tokio::spawn(async move {
            if let Err(error) = links.await {
                tracing::error!("nodes are no longer linked: {error}");
            }
        });
        let serving = tokio::spawn(async move {
            if let Err(error) = server.await {
                tracing::error!("the port is no longer served: {error}");
            }
        });
        let accepting = tokio::spawn(accepting);
        let listener = Self { at, turned_away, stop: Some(stop), accepting, serving, linking };
        Ok((listener, opens))
    }

    /// Where it listens.
    pub fn at(&self) -> SocketAddr {
        self.at
    }

    /// How many callers did not get through the handshake.
    pub fn turned_away(&self) -> u64 {
        self.turned_away.load(Ordering::Relaxed)
    }

    /// Takes no more calls, and gives those that are served a moment to end.
    pub async fn close(mut self) {
        self.accepting.abort();
        drop(self.stop.take());
        let _enough = tokio::time::timeout(LAST_WORDS, &mut self.serving).await;
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.accepting.abort();
        self.serving.abort();
        self.linking.abort();
    }
}

/// Where callers go: strangers may ask to join, nodes may open lanes.
#[derive(Clone)]
struct Doors {
    strangers: mpsc::Sender<Result<Caller, io::Error>>,
    nodes: mpsc::Sender<Result<Caller, io::Error>>,
}

/// Why nobody listens.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// This node is nobody.
    #[error("this node belongs to no household")]
    Nobody,
    /// Who it is cannot be read.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The port cannot be had.
    #[error("{at} cannot be listened at: {error}")]
    Port {
        /// Which.
        at: SocketAddr,
        /// What the system says.
        error: io::Error,
    },
}

/// Takes connections, and hands on those that get through the handshake.
async fn accept(port: TcpListener, papers: Arc<Papers>, doors: Doors, turned_away: Arc<AtomicU64>) {
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    let strangers = Arc::new(Semaphore::new(STRANGERS_MAX));
    loop {
        let (stream, from) = match port.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!("a connection cannot be taken: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(permit) = handshakes.clone().try_acquire_owned() else {
            turned_away.fetch_add(1, Ordering::Relaxed);
            continue;
        };
        let (papers, doors, turned_away) = (papers.clone(), doors.clone(), turned_away.clone());
        let strangers = strangers.clone();
        tokio::spawn(async move {
            let greeting =
                tokio::time::timeout(HANDSHAKE_PATIENCE, greet(stream, &papers, &strangers));
            let greeted = greeting.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
            drop(permit);
            match greeted {
                Ok(caller) => {
                    let door = if caller.is_stranger() { doors.strangers } else { doors.nodes };
                    let _closed = door.send(Ok(caller)).await;
                }
                Err(error) => {
                    turned_away.fetch_add(1, Ordering::Relaxed);
                    tracing::info!(%from, "a caller was turned away: {error}");
                }
            }
        });
    }
}

async fn greet(
    stream: TcpStream,
    papers: &Papers,
    strangers: &Arc<Semaphore>,
) -> io::Result<Caller> {
    stream.set_nodelay(true)?;
    let stream = TlsAcceptor::from(papers.current()).accept(stream).await?;
    Caller::new(stream, strangers)
}

/// Who this node is and whom it trusts, as the folder says at the time.
pub(crate) struct Papers {
    folder: PathBuf,
    read: Mutex<(Option<Stamp>, Arc<ServerConfig>)>,
}

/// When the files were last written.
type Stamp = [SystemTime; 2];

impl Papers {
    pub(crate) fn read(folder: &Path) -> Result<Self, ListenError> {
        let read = (stamp(folder), config(folder)?);
        Ok(Self { folder: folder.to_owned(), read: Mutex::new(read) })
    }

    /// For the next caller. What was written since the last one counts.
    pub(crate) fn current(&self) -> Arc<ServerConfig> {
        let mut read = self.read.lock();
        let now = stamp(&self.folder);
        if now != read.0 {
            match config(&self.folder) {
                Ok(config) => *read = (now, config),
                // They are being written, or were taken away.
                Err(error) => tracing::warn!("certificates cannot be read anew: {error}"),
            }
        }
        read.1.clone()
    }
}

fn stamp(folder: &Path) -> Option<Stamp> {
    let written = |name: &str| std::fs::metadata(folder.join(name)).ok()?.modified().ok();
    Some([written("node.crt")?, written("expelled.crl")?])
}

fn config(folder: &Path) -> Result<Arc<ServerConfig>, ListenError> {
    let identity = Identity::open(folder)?.ok_or(ListenError::Nobody)?;
    Ok(Arc::new(tls::server(&identity)?))
}
