//! The port of a node.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::server::Acceptor;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::{StartHandshake, TlsStream};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;

use super::caller::Caller;
use super::control_thread::{ControlThread, Elsewhere};
use super::crowd::Crowd;
use super::lanes::Lanes;
use super::network::Opened;
use super::{CONNECTION_WINDOW, HANDSHAKE_PATIENCE, HANDSHAKES_MAX, STREAM_WINDOW, join, prepare};
use crate::trust::credentials::{Credentials, NoCredentials};
use crate::trust::verdict::alert_of;
use crate::trust::{TurnedAway, tls};

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

/// A connection of a node on which nothing was heard for so long is asked for a sign of life, and ended
/// when none comes for as long.
const KEEPALIVE: Duration = Duration::from_secs(20);

/// How much is read of what somebody sends who was turned away, in bytes.
const REST_MAX_LEN: u64 = 64 << 10;

/// How long calls that are being served may take to end when the port closes, and who is turned away
/// to read why.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// The port, and what serves it. Dropped, it is no longer served.
pub struct Listener {
    at: SocketAddr,
    credentials: Arc<Credentials>,
    stop: Option<oneshot::Sender<()>>,
    accepting: JoinHandle<()>,
    serving: JoinHandle<()>,
    linking: JoinHandle<()>,
    controlling: JoinHandle<()>,
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
        let (controlled, controls) = mpsc::channel(CALLERS_MAX);
        let (opened, opens) = mpsc::channel(OPENED_MAX);
        let control = ControlThread::start().map_err(ListenError::Thread)?;
        let porch = Porch {
            credentials: credentials.clone(),
            crowd: Crowd::default(),
            strangers: met,
            nodes: linked,
            controls: controlled,
        };
        let accepting = accept(port, Arc::new(porch), control.clone());
        let (stop, stopped) = oneshot::channel();
        let server = Server::builder()
            .concurrency_limit_per_connection(CALLS_MAX)
            .timeout(CALL_PATIENCE)
            .add_service(join::service(&credentials))
            .serve_with_incoming_shutdown(ReceiverStream::new(strangers), async {
                let _either_way = stopped.await;
            });
        let lanes = Lanes { opened, credentials: credentials.clone(), takes_data: true };
        let linking = tokio::spawn(link(nodes, lanes.clone(), credentials.clone()));
        // Messages would hold up the signs of life.
        let lanes = Lanes { takes_data: false, ..lanes };
        let controlling = control.runtime().spawn(link(controls, lanes, credentials.clone()));
        let serving = tokio::spawn(async move {
            if let Err(error) = server.await {
                tracing::error!("the port is no longer served: {error}");
            }
        });
        let accepting = tokio::spawn(accepting);
        let opens =
            Opens { opened: opens, credentials: Some(credentials.clone()), control: Some(control) };
        let stop = Some(stop);
        Ok((Self { at, credentials, stop, accepting, serving, linking, controlling }, opens))
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
        // From then on nobody is at the port, not even to be turned away.
        let _aborted = (&mut self.accepting).await;
        drop(self.stop.take());
        let _enough = tokio::time::timeout(LAST_WORDS, &mut self.serving).await;
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.accepting.abort();
        self.serving.abort();
        self.linking.abort();
        self.controlling.abort();
    }
}

/// Serves nodes: they open lanes, and renew their certificates.
async fn link(
    nodes: mpsc::Receiver<Result<Caller, io::Error>>,
    lanes: Lanes,
    credentials: Arc<Credentials>,
) {
    let serving = Server::builder()
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(NODE_CALLS_MAX)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE))
        .add_service(lanes)
        .add_service(join::service(&credentials))
        .serve_with_incoming(ReceiverStream::new(nodes));
    if let Err(error) = serving.await {
        tracing::error!("nodes are no longer linked: {error}");
    }
}

/// What other nodes open, and the credentials by which they were let in.
pub struct Opens {
    pub(super) opened: mpsc::Receiver<Opened>,
    /// Those of the port; none where nobody listens.
    pub(super) credentials: Option<Arc<Credentials>>,
    /// The thread of the control lanes, where it has begun.
    pub(super) control: Option<Arc<ControlThread>>,
}

impl From<mpsc::Receiver<Opened>> for Opens {
    fn from(opened: mpsc::Receiver<Opened>) -> Self {
        Self { opened, credentials: None, control: None }
    }
}

/// Where callers are greeted, and the doors behind it: strangers may ask to join, nodes may open lanes.
struct Porch {
    credentials: Arc<Credentials>,
    crowd: Crowd,
    strangers: Door,
    nodes: Door,
    /// For nodes on connections for control lanes.
    controls: Door,
}

type Door = mpsc::Sender<Result<Caller, io::Error>>;

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
    /// The thread of the control lanes cannot be started.
    #[error("a thread cannot be started: {0}")]
    Thread(io::Error),
}

/// Takes connections, and hands on those that get through the handshake.
async fn accept(port: TcpListener, porch: Arc<Porch>, control: Arc<ControlThread>) {
    let mut handshakes = Handshakes::default();
    loop {
        let (stream, from) = match port.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!("a connection cannot be taken: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (tally, control) = (porch.credentials.clone(), control.clone());
        let porch = porch.clone();
        let handshake = async move {
            if let Err(error) = porch.clone().meet(stream, &control).await {
                turn_away(&porch.credentials, from, &error);
            }
        };
        if handshakes.begin(handshake) {
            tally.tally().count(TurnedAway::Crowded);
        }
    }
}

impl Porch {
    /// The handshake with a caller, to its end where it belongs by what it is for.
    async fn meet(self: Arc<Self>, stream: TcpStream, control: &ControlThread) -> io::Result<()> {
        let until = Instant::now() + HANDSHAKE_PATIENCE;
        prepare(&stream)?;
        let begun = LazyConfigAcceptor::new(Acceptor::default(), stream);
        let begun = timeout_at(until, begun).await??;
        if !tls::is_for_control(&begun.client_hello()) {
            return self.greet(begun, until, Some(&self.strangers), &self.nodes).await;
        }
        // A connection wakes those who wait for it on the thread on which it has begun.
        let StartHandshake { accepted, io, .. } = begun;
        let stream = io.into_std()?;
        let greeting = async move {
            let begun = StartHandshake::from_parts(accepted, TcpStream::from_std(stream)?);
            self.greet(begun, until, None, &self.controls).await
        };
        let greeted = Elsewhere::run(control.runtime(), greeting).done().await;
        greeted.unwrap_or_else(|| Err(io::ErrorKind::ConnectionAborted.into()))
    }

    /// The rest of it, and the door behind it. Whoever finds none must go.
    async fn greet(
        &self,
        begun: StartHandshake<TcpStream>,
        until: Instant,
        strangers: Option<&Door>,
        nodes: &Door,
    ) -> io::Result<()> {
        let stream = timeout_at(until, shake_hands(begun, &self.credentials)).await??;
        let caller = Caller::new(stream, self.credentials.clone(), &self.crowd);
        let door = if caller.is_stranger() { strangers } else { Some(nodes) };
        if let Some(door) = door {
            let _closed = door.send(Ok(caller)).await;
        }
        Ok(())
    }
}

/// The handshakes that go on, the oldest first.
#[derive(Default)]
struct Handshakes(VecDeque<AbortHandle>);

impl Handshakes {
    /// Begins one; whether another was ended for it.
    fn begin(&mut self, handshake: impl Future<Output = ()> + Send + 'static) -> bool {
        self.0.retain(|other| !other.is_finished());
        let oldest = if self.0.len() < HANDSHAKES_MAX { None } else { self.0.pop_front() };
        self.0.push_back(tokio::spawn(handshake).abort_handle());
        oldest.inspect(AbortHandle::abort).is_some()
    }
}

impl Drop for Handshakes {
    fn drop(&mut self) {
        self.0.iter().for_each(AbortHandle::abort);
    }
}

async fn shake_hands(
    begun: StartHandshake<TcpStream>,
    credentials: &Credentials,
) -> io::Result<TlsStream<TcpStream>> {
    let current = credentials.current().map_err(io::Error::other)?;
    let accepting = begun.into_stream(current.server.clone()).into_fallible();
    let (error, mut stream) = match accepting.await {
        Ok(stream) => return Ok(stream),
        Err(failed) => failed,
    };
    if is_about_certificate(&error) {
        // It was told why. Whatever it has sent meanwhile is read, since unread it would take back
        // what it was told.
        let _closed = stream.shutdown().await;
        let (mut rest, mut nowhere) = (stream.take(REST_MAX_LEN), tokio::io::sink());
        let reading = tokio::io::copy(&mut rest, &mut nowhere);
        let _enough = tokio::time::timeout(LAST_WORDS, reading).await;
    }
    Err(error)
}

fn is_about_certificate(error: &io::Error) -> bool {
    let error = error.get_ref().and_then(|error| error.downcast_ref());
    matches!(error, Some(rustls::Error::InvalidCertificate(_)))
}

/// Counts who did not get through, and says why.
fn turn_away(credentials: &Credentials, from: SocketAddr, error: &io::Error) {
    if let Some(why) = why_turned_away(error) {
        credentials.tally().count(why);
    }
    tracing::debug!(%from, "a caller was turned away: {error}");
}

/// As what a handshake counts that has failed; nothing if the verifier has counted it, which knows
/// more.
pub(crate) fn why_turned_away(error: &io::Error) -> Option<TurnedAway> {
    match (error.kind(), alert_of(error)) {
        _ if is_about_certificate(error) => None,
        (_, Some(_)) => Some(TurnedAway::Distrusted),
        (io::ErrorKind::TimedOut, _) => Some(TurnedAway::Slow),
        // As those who called while this process stood still, and have given it up since.
        (kind, _) if has_gone(kind) => Some(TurnedAway::Idle),
        _ => Some(TurnedAway::Garbage),
    }
}

/// Whether somebody went away before the end of what was begun.
fn has_gone(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{
        BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof,
    };
    matches!(kind, BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | UnexpectedEof)
}
