//! The port of a node.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

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
use crate::trust::TurnedAway;
use crate::trust::credentials::{Credentials, NoCredentials};

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

/// How many calls a node may make at once on one connection: a lane is one.
const NODE_CALLS_MAX: u32 = 8;

/// How long calls that are being served may take to end when the port closes.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// The port, and what serves it. Dropped, it is no longer served.
pub struct Listener {
    at: SocketAddr,
    credentials: Arc<Credentials>,
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
    pub async fn open(at: SocketAddr, trust: &Path) -> Result<(Self, Opens), ListenError> {
        let credentials = Credentials::at(trust);
        credentials.current()?;
        let port = TcpListener::bind(at).await;
        let port = port.map_err(|error| ListenError::Port { at, error })?;
        let at = port.local_addr().map_err(|error| ListenError::Port { at, error })?;
        let (met, strangers) = mpsc::channel(CALLERS_MAX);
        let (linked, nodes) = mpsc::channel(CALLERS_MAX);
        let (opened, opens) = mpsc::channel(OPENED_MAX);
        let doors = Doors { strangers: met, nodes: linked };
        let accepting = accept(port, credentials.clone(), doors);
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
            .max_concurrent_streams(NODE_CALLS_MAX)
            .add_service(Lanes { opened })
            .add_service(join::service(trust))
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
        let opens = Opens { opened: opens, credentials: Some(credentials.clone()) };
        let listener = Self { at, credentials, stop: Some(stop), accepting, serving, linking };
        Ok((listener, opens))
    }

    /// Where it listens.
    pub fn at(&self) -> SocketAddr {
        self.at
    }

    /// How many callers were turned away.
    pub fn turned_away(&self) -> u64 {
        self.credentials.tally().counts().iter().map(|(_, count)| count).sum()
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

/// What other nodes open, and the credentials by which they were let in.
pub struct Opens {
    pub(super) opened: mpsc::Receiver<Opened>,
    /// Those of the port; none where nobody listens.
    pub(super) credentials: Option<Arc<Credentials>>,
}

impl From<mpsc::Receiver<Opened>> for Opens {
    fn from(opened: mpsc::Receiver<Opened>) -> Self {
        Self { opened, credentials: None }
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
    /// This node is nobody, or who it is cannot be read.
    #[error(transparent)]
    Nobody(#[from] NoCredentials),
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
async fn accept(port: TcpListener, credentials: Arc<Credentials>, doors: Doors) {
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
            credentials.tally().count(TurnedAway::Crowded);
            continue;
        };
        let (credentials, doors) = (credentials.clone(), doors.clone());
        let strangers = strangers.clone();
        tokio::spawn(async move {
            let greeting =
                tokio::time::timeout(HANDSHAKE_PATIENCE, greet(stream, &credentials, &strangers));
            let greeted = greeting.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
            drop(permit);
            match greeted {
                Ok(caller) => {
                    let door = if caller.is_stranger() { doors.strangers } else { doors.nodes };
                    let _closed = door.send(Ok(caller)).await;
                }
                Err(error) => {
                    credentials.tally().count(TurnedAway::Garbage);
                    tracing::info!(%from, "a caller was turned away: {error}");
                }
            }
        });
    }
}

async fn greet(
    stream: TcpStream,
    credentials: &Credentials,
    strangers: &Arc<Semaphore>,
) -> io::Result<Caller> {
    stream.set_nodelay(true)?;
    let current = credentials.current().map_err(io::Error::other)?;
    let stream = TlsAcceptor::from(current.server.clone()).accept(stream).await?;
    Caller::new(stream, strangers)
}
