//! The gateway: where clients come in, who are no nodes and know no types.
//!
//! It serves `genii.v1` (and gRPC's own health and reflection services) on a Unix socket, whose
//! permissions say who may come, and on a port with TLS 1.3, where a client shows a certificate of
//! the household or a token. Everything that a client can make grow is bounded here; `room` and
//! `door` have the bounds.

mod caller;
mod complaints;
mod describe;
mod door;
mod gate;
mod guard;
mod message_name;
mod room;
mod said;
mod service;
mod shared;
mod shares;
mod topics;
mod watching;

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use genii_protocols::api;
use parking_lot::Mutex;
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use self::complaints::Complaints;
use self::door::Doors;
use self::gate::Gate;
use self::guard::Guard;
use crate::House;
use crate::link::listener::ListenError;
use crate::node::Node;

/// How often it is written down how often tokens were used.
const USES_PERIOD: Duration = Duration::from_secs(10);

/// How long calls under way may take to end when the gateway closes.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// The gateway of a house. Dropped, it serves nobody any more.
pub struct Gateway {
    node: Node,
    gate: Arc<Gate>,
    guard: Arc<Guard>,
    doors: Arc<Doors>,
    health: HealthReporter,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    /// Those that take clients.
    taking: Mutex<Vec<JoinHandle<()>>>,
    socket: Mutex<Option<PathBuf>>,
}

impl Gateway {
    /// A gateway that is open to nobody yet. `trust` is the folder of trust, with the tokens in it.
    /// Needs a tokio runtime.
    pub fn new(house: House, trust: &Path) -> Self {
        let (health, health_service) = tonic_health::server::health_reporter();
        let guard = Arc::new(Guard::new(trust));
        let complaints = Arc::new(Complaints::default());
        let node = house.node().clone();
        let gate = Arc::new(Gate::new(house, guard.clone(), complaints.clone(), health_service));
        let looking = guard.clone();
        let looking = tokio::spawn(async move { looking.keep_looking().await });
        let counting = tokio::spawn(keep_counting(guard.clone(), complaints.clone()));
        let tasks = Mutex::new(vec![looking, counting]);
        let doors = Arc::new(Doors::new(guard.credentials().clone(), complaints));
        let (taking, socket) = (Mutex::default(), Mutex::default());
        Self { node, gate, guard, doors, health, tasks, taking, socket }
    }

    /// Says by gRPC's health service whether clients may count on the house: not before it is up, nor
    /// while it stops.
    pub async fn is_serving(&self, is_serving: bool) {
        let status = if is_serving { ServingStatus::Serving } else { ServingStatus::NotServing };
        for service in ["", api::SERVICE] {
            self.health.set_service_status(service, status).await;
        }
    }

    /// Serves the owner of this process at a Unix socket. Whoever holds the data folder may take the
    /// place of a socket that was left behind.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub fn serve_unix(&self, path: &Path) -> io::Result<()> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        *self.socket.lock() = Some(path.to_owned());
        self.take(door::serve_unix(listener, self.gate.clone(), self.doors.clone()));
        Ok(())
    }

    /// Serves clients at a port, and says which it is. They come by TLS 1.3, with a certificate of
    /// the household or a token.
    ///
    /// # Errors
    /// When this node is nobody, or the port cannot be had.
    pub async fn serve_tcp(&self, at: SocketAddr) -> Result<SocketAddr, ListenError> {
        self.serve_port(ClientPort::take(at).await?)
    }

    /// As [`Gateway::serve_tcp`], at a port that was taken before.
    ///
    /// # Errors
    /// When this node is nobody.
    pub fn serve_port(&self, port: ClientPort) -> Result<SocketAddr, ListenError> {
        // Read now, so that whoever is nobody learns it before anybody comes.
        self.guard.credentials().current()?;
        let ClientPort { listener, at } = port;
        let (gate, doors) = (self.gate.clone(), self.doors.clone());
        self.take(door::serve_tcp(listener, gate, doors));
        self.node.serves_clients(self.guard.credentials().clone());
        Ok(at)
    }

    /// How many who came to the port did not get through its handshake, or found no place.
    pub fn turned_away(&self) -> u64 {
        self.guard.credentials().tally().counts().iter().map(|(_, count)| count).sum()
    }

    /// Takes no more clients and no more calls, and waits until those under way are answered, but for
    /// what has no end of its own, as subscriptions: until `until`, and for a moment at least. To be
    /// done before the house stops: whoever calls later calls in vain, knows that nothing was done, and
    /// may call another node.
    pub async fn finish(&self, until: Option<Instant>) {
        self.unlink();
        for taking in std::mem::take(&mut *self.taking.lock()) {
            taking.abort();
        }
        let moment = Instant::now() + LAST_WORDS;
        self.doors.finish(until.map_or(moment, |until| until.max(moment))).await;
    }

    /// Takes the Unix socket away. To be done while the data folder is still held, so that it is not
    /// another's.
    pub fn unlink(&self) {
        if let Some(path) = self.socket.lock().take() {
            let _gone_already = std::fs::remove_file(path);
        }
    }

    /// Takes no more clients, gives calls under way a moment to end, and writes down how often tokens
    /// were used.
    pub async fn close(self) {
        for task in self.tasks.lock().drain(..).chain(self.taking.lock().drain(..)) {
            task.abort();
        }
        let _enough = tokio::time::timeout(LAST_WORDS, self.doors.end()).await;
        let guard = self.guard.clone();
        let _written = tokio::task::spawn_blocking(move || guard.tokens().write_uses()).await;
    }

    fn take(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.taking.lock().push(tokio::spawn(task));
    }
}

/// A port that was taken for clients, before there is a house that could serve them. Who comes to it
/// meanwhile waits, as far as the system lets them.
#[derive(Debug)]
pub struct ClientPort {
    listener: TcpListener,
    at: SocketAddr,
}

impl ClientPort {
    /// Takes a port.
    ///
    /// # Errors
    /// When it cannot be had.
    pub async fn take(at: SocketAddr) -> Result<Self, ListenError> {
        let failed = |error| ListenError::Port { at, error };
        let listener = TcpListener::bind(at).await.map_err(failed)?;
        let at = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, at })
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        for task in self.tasks.lock().iter().chain(&*self.taking.lock()) {
            task.abort();
        }
        self.doors.close();
    }
}

async fn keep_counting(guard: Arc<Guard>, complaints: Arc<Complaints>) {
    loop {
        tokio::time::sleep(USES_PERIOD).await;
        complaints.look();
        let guard = guard.clone();
        let _written = tokio::task::spawn_blocking(move || guard.tokens().write_uses()).await;
    }
}
