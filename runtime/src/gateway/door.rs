//! The two doors: a Unix socket for the owner, and a port with TLS.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::caller::Shown;
use super::gate::Gate;
use crate::link::network::Certificate;
use crate::trust::credentials::Credentials;
use crate::trust::tls;

/// How many clients may be connected at each door; more are turned away.
const CONNECTIONS_MAX: usize = 128;

/// How many may be in their handshake at once; more are turned away.
const HANDSHAKES_MAX: usize = 32;

/// How long a handshake may take.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(5);

/// How long somebody may stay connected who has shown nothing that counts.
const STRANGER_STAY: Duration = Duration::from_secs(30);

/// How long a connection may be without a call. It is then closed in good order.
const IDLE_MAX: Duration = Duration::from_secs(600);

/// How often to look at that.
const IDLE_LOOK: Duration = Duration::from_secs(5);

/// How many calls of one connection are served at once; the client waits with more.
const CALLS_MAX: u32 = 64;

/// How much a client may send that was not looked at yet, in bytes: of one call, and of all of a
/// connection.
const CALL_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;

/// How much of an answer may wait in a connection, in bytes.
const SEND_MAX_LEN: usize = 32 << 10;

/// How large the headers of a call may be, in bytes.
const HEADERS_MAX_LEN: u32 = 8 << 10;

/// How many calls a client may take back before they were looked at. Who gives up a batch takes back
/// all that it has at once and more that it has begun meanwhile, and is no attacker for it; each that
/// waits to be looked at takes some hundred bytes.
const RESETS_MAX: usize = 1_024;

/// How often to look whether a silent client is still there, and how long it may take to say so.
const ALIVE_PERIOD: Duration = Duration::from_secs(30);
const ALIVE_PATIENCE: Duration = Duration::from_secs(20);

/// How long to wait after a connection could not be taken, as when no more files may be opened.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How clients are let go of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Closing {
    /// Not yet.
    Not,
    /// When their calls have ended.
    Soon,
    /// At once.
    Now,
}

/// What both doors have.
pub(super) struct Doors {
    closing: watch::Sender<Closing>,
    owners: Arc<Semaphore>,
    clients: Arc<Semaphore>,
    turned_away: AtomicU64,
}

impl Default for Doors {
    fn default() -> Self {
        Self {
            closing: watch::Sender::new(Closing::Not),
            owners: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            clients: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            turned_away: AtomicU64::new(0),
        }
    }
}

impl Doors {
    /// Lets all clients end their calls, and waits until they have gone.
    pub(super) async fn end(&self) {
        self.closing.send_replace(Closing::Soon);
        for places in [&self.owners, &self.clients] {
            let _all = places.acquire_many(CONNECTIONS_MAX as u32).await;
        }
    }

    /// Lets go of all clients at once.
    pub(super) fn close(&self) {
        self.closing.send_replace(Closing::Now);
    }

    pub(super) fn turned_away(&self) -> u64 {
        self.turned_away.load(Ordering::Relaxed)
    }

    fn turn_away(&self, from: &str, why: impl std::fmt::Display) {
        self.turned_away.fetch_add(1, Ordering::Relaxed);
        tracing::info!(%from, "a client was turned away: {why}");
    }
}

/// Serves whoever comes to the Unix socket.
pub(super) async fn serve_unix(listener: UnixListener, gate: Arc<Gate>, doors: Arc<Doors>) {
    loop {
        let Some((stream, _)) = taken(listener.accept().await).await else { continue };
        let from = "the unix socket";
        if !is_ours(&stream) {
            doors.turn_away(from, "it is another user's");
            continue;
        }
        match doors.owners.clone().try_acquire_owned() {
            Err(_) => doors.turn_away(from, "too many are connected"),
            Ok(place) => {
                let connection = Connection::new(Shown::Owner, from.to_owned());
                tokio::spawn(serve(stream, connection, gate.clone(), doors.clone(), place));
            }
        }
    }
}

/// Serves whoever comes to a port, once TLS has told who it is.
pub(super) async fn serve_tcp(
    listener: TcpListener,
    credentials: Arc<Credentials>,
    gate: Arc<Gate>,
    doors: Arc<Doors>,
) {
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    loop {
        let Some((stream, from)) = taken(listener.accept().await).await else { continue };
        let from = from.to_string();
        let places = doors.clients.clone().try_acquire_owned();
        let (Ok(place), Ok(shaking)) = (places, handshakes.clone().try_acquire_owned()) else {
            doors.turn_away(&from, "too many are connected");
            continue;
        };
        let (credentials, gate, doors) = (credentials.clone(), gate.clone(), doors.clone());
        tokio::spawn(async move {
            let greeting = tokio::time::timeout(HANDSHAKE_PATIENCE, greet(stream, &credentials));
            let greeted = greeting.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
            drop(shaking);
            match greeted {
                Err(error) => doors.turn_away(&from, error),
                Ok((stream, shown)) => {
                    serve(stream, Connection::new(shown, from), gate, doors, place).await;
                }
            }
        });
    }
}

async fn taken<T>(accepted: io::Result<T>) -> Option<T> {
    match accepted {
        Ok(taken) => Some(taken),
        Err(error) => {
            tracing::warn!("a client cannot be taken: {error}");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

async fn greet(
    stream: TcpStream,
    credentials: &Credentials,
) -> io::Result<(TlsStream<TcpStream>, Shown)> {
    stream.set_nodelay(true)?;
    let current = credentials.current().map_err(io::Error::other)?;
    let stream = TlsAcceptor::from(current.server.clone()).accept(stream).await?;
    let certificates = stream.get_ref().1.peer_certificates();
    let certificate = certificates.and_then(|shown| shown.first()).cloned();
    // TLS has found it good; it names a node of the household, or it is nobody's.
    let certificate = certificate.filter(|_| tls::peer(certificates).is_some());
    let shown =
        certificate.map_or(Shown::Nobody, |shown| Shown::Node(Certificate::into_owned(shown)));
    Ok((stream, shown))
}

/// Whether somebody who connected is who runs this process. The permissions of the socket say so
/// already; this holds where a file system does not heed them.
fn is_ours(stream: &UnixStream) -> bool {
    let own = rustix::process::geteuid().as_raw();
    stream.peer_cred().is_ok_and(|peer| peer.uid() == own || peer.uid() == 0)
}

/// A connection to a client.
pub(super) struct Connection {
    shown: Shown,
    from: String,
    /// Whether it has shown something that counts.
    is_let_in: AtomicBool,
    /// How many calls are under way.
    calls: AtomicUsize,
    /// Since when there are none.
    idle_since: Mutex<Instant>,
    closed: Notify,
}

impl Connection {
    fn new(shown: Shown, from: String) -> Arc<Self> {
        let is_let_in = AtomicBool::new(!matches!(shown, Shown::Nobody));
        Arc::new(Self {
            shown,
            from,
            is_let_in,
            calls: AtomicUsize::new(0),
            idle_since: Mutex::new(Instant::now()),
            closed: Notify::new(),
        })
    }

    pub(super) fn shown(&self) -> &Shown {
        &self.shown
    }

    pub(super) fn from(&self) -> &str {
        &self.from
    }

    pub(super) fn let_in(&self) {
        self.is_let_in.store(true, Ordering::Relaxed);
    }

    /// A call is under way as long as what this returns lives.
    pub(super) fn begin_call(self: &Arc<Self>) -> Active {
        self.calls.fetch_add(1, Ordering::Relaxed);
        Active(self.clone())
    }

    /// Closes it at once.
    pub(super) fn close(&self, why: &str) {
        tracing::info!(from = %self.from, "a client is let go of: {why}");
        self.closed.notify_one();
    }

    fn idle(&self) -> Duration {
        match self.calls.load(Ordering::Relaxed) {
            0 => self.idle_since.lock().elapsed(),
            _ => Duration::ZERO,
        }
    }
}

/// A call that is under way.
pub(super) struct Active(Arc<Connection>);

impl Drop for Active {
    fn drop(&mut self) {
        *self.0.idle_since.lock() = Instant::now();
        self.0.calls.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn serve<I>(
    io: I,
    connection: Arc<Connection>,
    gate: Arc<Gate>,
    doors: Arc<Doors>,
    _place: OwnedSemaphorePermit,
) where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = {
        let connection = connection.clone();
        service_fn(move |request| {
            let (gate, connection) = (gate.clone(), connection.clone());
            async move { gate.serve(connection, request).await }
        })
    };
    let mut closing = doors.closing.subscribe();
    let mut served = pin!(protocol().serve_connection(TokioIo::new(io), service));
    let began = Instant::now();
    let mut looks = tokio::time::interval(IDLE_LOOK);
    let mut is_ending = *closing.borrow_and_update() != Closing::Not;
    loop {
        let is_late = tokio::select! {
            ended = served.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(from = %connection.from, "a client has gone: {error}");
                }
                return;
            }
            () = connection.closed.notified() => return,
            changed = closing.changed() => {
                if changed.is_err() || *closing.borrow_and_update() == Closing::Now {
                    return;
                }
                true
            }
            _ = looks.tick() => {
                let is_stranger = !connection.is_let_in.load(Ordering::Relaxed);
                if is_stranger && began.elapsed() >= STRANGER_STAY {
                    return doors.turn_away(&connection.from, "it has shown nothing that counts");
                }
                connection.idle() >= IDLE_MAX
            }
        };
        if is_late && !is_ending {
            is_ending = true;
            served.as_mut().graceful_shutdown();
        }
    }
}

fn protocol() -> http2::Builder<TokioExecutor> {
    let mut protocol = http2::Builder::new(TokioExecutor::new());
    protocol
        .timer(TokioTimer::new())
        .max_concurrent_streams(CALLS_MAX)
        .initial_stream_window_size(CALL_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_MAX_LEN)
        .max_header_list_size(HEADERS_MAX_LEN)
        .max_pending_accept_reset_streams(RESETS_MAX)
        .max_local_error_reset_streams(RESETS_MAX)
        .keep_alive_interval(ALIVE_PERIOD)
        .keep_alive_timeout(ALIVE_PATIENCE);
    protocol
}
