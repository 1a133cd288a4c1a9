//! The two doors: a Unix socket for the owner, and a port with TLS.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tonic::Status;

use super::caller::Shown;
use super::complaints::Complaints;
use super::gate::Gate;
use super::shared::Shared;
use crate::link::crowd::{Crowd, Place};
use crate::link::listener::why_turned_away;
use crate::link::network::Certificate;
use crate::trust::credentials::Credentials;
use crate::trust::{TurnedAway, tls};

/// How many clients may be connected at each door who have shown something that counts; more are
/// turned away. At the Unix socket everybody has.
const CONNECTIONS_MAX: usize = 128;

/// How many may be in their handshake at once. Where there is one too many, the oldest goes: somebody
/// who means it takes milliseconds.
const HANDSHAKES_MAX: usize = 64;

/// How many may be connected who have shown nothing that counts. Where there is one too many, the
/// oldest goes: somebody who means it calls at once.
const STRANGERS_MAX: usize = 64;

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

/// How often to look whether calls are under way that are to be answered yet, and how many looks in a
/// row must find none: a call may be on its way from who has not heard that no more are taken.
const FINISH_LOOK: Duration = Duration::from_millis(20);
const FINISH_LOOKS: u32 = 3;

/// How long a connection stays open for a client to hear that it was closed in good order. What it
/// still says meanwhile is not heard; if that broke its connection, it would not know that.
const LINGER: Duration = Duration::from_secs(1);

/// How long to wait after a connection could not be taken, as when no more files may be opened.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why somebody is turned away who has shown something that counts.
const FULL: &str = "too many clients are connected";

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
    /// Those at the port who were let in.
    clients: Arc<Semaphore>,
    /// Those at the port who were not yet.
    handshakes: Crowd,
    strangers: Crowd,
    /// How many calls are under way that come to an end by themselves.
    answering: Arc<AtomicUsize>,
    /// No call is taken any more.
    is_shut: Arc<AtomicBool>,
    /// By which those at the port are known, and counted when they are turned away.
    credentials: Arc<Credentials>,
    complaints: Arc<Complaints>,
}

impl Doors {
    pub(super) fn new(credentials: Arc<Credentials>, complaints: Arc<Complaints>) -> Self {
        Self {
            closing: watch::Sender::new(Closing::Not),
            owners: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            clients: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            handshakes: Crowd::with_strangers(HANDSHAKES_MAX),
            strangers: Crowd::with_strangers(STRANGERS_MAX),
            answering: Arc::default(),
            is_shut: Arc::default(),
            credentials,
            complaints,
        }
    }

    /// Takes no more calls, and waits until those under way have ended that come to an end. What comes
    /// for a moment from who has not heard of it is answered; what comes later is refused unseen.
    pub(super) async fn finish(&self, until: Instant) {
        self.closing.send_replace(Closing::Soon);
        let mut quiet = 0;
        while quiet < FINISH_LOOKS && self.is_anybody_there() && Instant::now() < until {
            tokio::time::sleep(FINISH_LOOK).await;
            let is_quiet = self.answering.load(Ordering::Relaxed) == 0;
            quiet = if is_quiet { quiet + 1 } else { 0 };
        }
        // In one order with a call that begins: either it is seen here, or it sees this.
        self.is_shut.store(true, Ordering::SeqCst);
        while self.answering.load(Ordering::SeqCst) > 0 && Instant::now() < until {
            tokio::time::sleep(FINISH_LOOK).await;
        }
    }

    fn is_anybody_there(&self) -> bool {
        [&self.owners, &self.clients].iter().any(|it| it.available_permits() < CONNECTIONS_MAX)
    }

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

    /// Somebody at the port was turned away.
    fn turn_away(&self, from: &str, counts_as: TurnedAway, why: &str) {
        self.credentials.tally().count(counts_as);
        self.complaints.add(from, why);
    }

    /// Somebody at the port did not get through the handshake.
    fn fail(&self, from: &str, error: &io::Error) {
        match why_turned_away(error) {
            Some(counts_as) => self.turn_away(from, counts_as, &error.to_string()),
            // The verifier has counted it.
            None => self.complaints.add(from, error),
        }
    }
}

/// Serves whoever comes to the Unix socket.
pub(super) async fn serve_unix(listener: UnixListener, gate: Arc<Gate>, doors: Arc<Doors>) {
    loop {
        let Some((stream, _)) = taken(listener.accept().await).await else { continue };
        let from = "the unix socket";
        if !is_ours(&stream) {
            doors.complaints.add(from, "it is another user's");
            continue;
        }
        match doors.owners.clone().try_acquire_owned() {
            Err(_) => doors.complaints.add(from, "too many are connected"),
            Ok(place) => {
                let place = Standing::LetIn(place);
                let connection = Connection::new(Shown::Owner, from.to_owned(), place, &doors);
                tokio::spawn(serve(stream, connection, gate.clone(), doors.clone(), None));
            }
        }
    }
}

/// Serves whoever comes to a port, once TLS has told who it is.
pub(super) async fn serve_tcp(listener: TcpListener, gate: Arc<Gate>, doors: Arc<Doors>) {
    loop {
        let Some((stream, from)) = taken(listener.accept().await).await else { continue };
        let (shaking, is_needed, _) = doors.handshakes.enter(None);
        let coming = come(stream, from.to_string(), gate.clone(), doors.clone(), shaking);
        let (doors, from) = (doors.clone(), from.to_string());
        tokio::spawn(async move {
            tokio::select! {
                Ok(()) = is_needed => {
                    let why = "others have come while it was in its handshake";
                    doors.turn_away(&from, TurnedAway::Crowded, why);
                }
                () = coming => {}
            }
        });
    }
}

/// Greets somebody at the port, and serves it from then on on its own.
async fn come(stream: TcpStream, from: String, gate: Arc<Gate>, doors: Arc<Doors>, shaking: Place) {
    let greeting = tokio::time::timeout(HANDSHAKE_PATIENCE, greet(stream, &doors.credentials));
    let greeted = greeting.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    match greeted {
        Err(error) => doors.fail(&from, &error),
        Ok((stream, shown)) => {
            let (place, is_needed, _) = doors.strangers.enter(None);
            let is_node = matches!(shown, Shown::Node(_));
            let connection = Connection::new(shown, from, Standing::Stranger(place), &doors);
            // Who shows a certificate has shown something that counts.
            if is_node && connection.let_in().is_err() {
                return doors.turn_away(&connection.from, TurnedAway::TooMany, FULL);
            }
            tokio::spawn(serve(stream, connection, gate, doors, Some(is_needed)));
        }
    }
    drop(shaking);
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

/// The place that a connection has: among strangers, until it has shown something that counts.
enum Standing {
    Stranger(#[expect(dead_code, reason = "it is held")] Place),
    LetIn(#[expect(dead_code, reason = "it is held")] OwnedSemaphorePermit),
}

/// A connection to a client.
pub(super) struct Connection {
    shown: Shown,
    from: String,
    standing: Mutex<Standing>,
    /// The places of those who were let in.
    clients: Arc<Semaphore>,
    /// Whether it has shown something that counts.
    is_let_in: AtomicBool,
    /// How many calls are under way.
    calls: AtomicUsize,
    /// How many are on all connections that come to an end by themselves.
    answering: Arc<AtomicUsize>,
    /// No call is taken any more, on any.
    is_shut: Arc<AtomicBool>,
    /// Since when there are none.
    idle_since: Mutex<Instant>,
    closed: Notify,
}

impl Connection {
    fn new(shown: Shown, from: String, standing: Standing, doors: &Doors) -> Arc<Self> {
        let is_let_in = AtomicBool::new(matches!(standing, Standing::LetIn(_)));
        Arc::new(Self {
            shown,
            from,
            standing: Mutex::new(standing),
            clients: doors.clients.clone(),
            is_let_in,
            calls: AtomicUsize::new(0),
            answering: doors.answering.clone(),
            is_shut: doors.is_shut.clone(),
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

    /// It has shown something that counts, and is a stranger no more.
    ///
    /// # Errors
    /// When there is no place among those who have.
    pub(super) fn let_in(&self) -> Result<(), Status> {
        if self.is_let_in() {
            return Ok(());
        }
        let mut standing = self.standing.lock();
        if !self.is_let_in() {
            let place = self.clients.clone().try_acquire_owned();
            *standing = Standing::LetIn(place.map_err(|_| Status::resource_exhausted(FULL))?);
            self.is_let_in.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    fn is_let_in(&self) -> bool {
        self.is_let_in.load(Ordering::Relaxed)
    }

    /// Waits until another needs its place, while it is a stranger.
    async fn until_needed(&self, is_needed: Option<oneshot::Receiver<()>>) {
        if let Some(is_needed) = is_needed
            && is_needed.await.is_ok()
            && !self.is_let_in()
        {
            return;
        }
        std::future::pending().await
    }

    /// A call is under way as long as what this returns lives. `None` when none is taken any more.
    pub(super) fn begin_call(self: &Arc<Self>, has_end: bool) -> Option<Active> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.answering.fetch_add(usize::from(has_end), Ordering::SeqCst);
        let active = Active { connection: self.clone(), has_end };
        (!self.is_shut.load(Ordering::SeqCst)).then_some(active)
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
pub(super) struct Active {
    connection: Arc<Connection>,
    /// It comes to an end by itself.
    has_end: bool,
}

impl Drop for Active {
    fn drop(&mut self) {
        *self.connection.idle_since.lock() = Instant::now();
        self.connection.calls.fetch_sub(1, Ordering::Relaxed);
        self.connection.answering.fetch_sub(usize::from(self.has_end), Ordering::Relaxed);
    }
}

async fn serve<I>(
    io: I,
    connection: Arc<Connection>,
    gate: Arc<Gate>,
    doors: Arc<Doors>,
    is_needed: Option<oneshot::Receiver<()>>,
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
    let io = Shared::new(io);
    let mut served = pin!(protocol().serve_connection(TokioIo::new(io.clone()), service));
    let mut needed = pin!(connection.until_needed(is_needed));
    let began = Instant::now();
    let mut looks = tokio::time::interval(IDLE_LOOK);
    let mut is_late = *closing.borrow_and_update() != Closing::Not;
    let mut is_ending = false;
    loop {
        if is_late && !is_ending {
            is_ending = true;
            served.as_mut().graceful_shutdown();
        }
        is_late = tokio::select! {
            ended = served.as_mut() => {
                match ended {
                    Ok(()) => drop(tokio::time::timeout(LINGER, io.hear_out()).await),
                    Err(error) => {
                        tracing::debug!(from = %connection.from, "a client has gone: {error}");
                    }
                }
                return;
            }
            () = connection.closed.notified() => return,
            () = needed.as_mut() => {
                let why = "others have come, and it has shown nothing that counts";
                return doors.turn_away(&connection.from, TurnedAway::Strangers, why);
            }
            changed = closing.changed() => {
                if changed.is_err() || *closing.borrow_and_update() == Closing::Now {
                    return;
                }
                true
            }
            _ = looks.tick() => {
                if !connection.is_let_in() && began.elapsed() >= STRANGER_STAY {
                    let why = "it has shown nothing that counts";
                    return doors.turn_away(&connection.from, TurnedAway::Idle, why);
                }
                connection.idle() >= IDLE_MAX
            }
        };
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
