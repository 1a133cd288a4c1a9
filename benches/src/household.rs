//! A household on one machine: this node, and others in processes of their own, linked over mutual
//! TLS on loopback. A benchmark whose `main` begins with [`serve_if_asked`] can be such another.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use genii_protocols::{Address, NodeName};
use genii_runtime::Node;
use genii_runtime::cluster::{Cluster, Member, Membership, Timing};
use genii_runtime::link::listener::Listener;
use genii_runtime::link::tls_network::TlsNetwork;
use genii_runtime::trust::{Admitted, Authority, Identity, Request};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::agents;

/// The environment variables that make a program another node: its folder of trust, its name, and how
/// many addresses it tells of.
const SERVE: &str = "GENII_BENCH_SERVE";
const NAME: &str = "GENII_BENCH_NAME";
const ADDRESSES: &str = "GENII_BENCH_ADDRESSES";

/// How long another node may take to begin and to be linked.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often to look whether it is.
const LOOK: Duration = Duration::from_millis(1);

fn name(text: &str) -> NodeName {
    NodeName::new(text).unwrap()
}

fn began() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    since.as_millis() as u64
}

/// Is another node until its standard input ends, if this process was begun to be one.
pub fn serve_if_asked(runtime: &Runtime) -> bool {
    let Some(trust) = std::env::var_os(SERVE) else { return false };
    runtime.block_on(serve(Path::new(&trust)));
    true
}

async fn serve(trust: &Path) {
    let own = name(&std::env::var(NAME).unwrap());
    let addresses: usize = std::env::var(ADDRESSES).unwrap().parse().unwrap();
    let (listener, opens) = Listener::open("127.0.0.1:0".parse().unwrap(), trust).await.unwrap();
    let (node, supervisor) = agents::house_on(own.clone()).await;
    for number in 0..addresses {
        let address = Address::parse(&format!("bench/known-{number:06}")).unwrap();
        node.declare(&address, None, None);
    }
    agents::counter(&node, &supervisor, own.as_str()).await;
    let network = TlsNetwork::new(trust, own, vec![listener.at().to_string()], opens);
    Cluster::begin(&node, Arc::new(network), Timing::default(), began());
    println!("{} {}", listener.at(), echo());
    let waiting = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    let _either_way = waiting.await;
    std::process::exit(0);
}

/// Sends back each byte on bare connections, for comparison: what the machine itself can do.
fn echo() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            echo_on(stream.unwrap());
        }
    });
    at
}

fn echo_on(mut stream: TcpStream) {
    stream.set_nodelay(true).unwrap();
    let mut byte = [0];
    while stream.read_exact(&mut byte).and_then(|()| stream.write_all(&byte)).is_ok() {}
}

/// This node, with the right to admit others.
pub struct Household {
    scratch: TempDir,
    authority: Authority,
    /// This node.
    pub node: Node,
    /// This node among the others.
    pub cluster: Cluster,
}

impl Household {
    /// A household of one.
    pub async fn found(timing: Timing) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let here = scratch.path().join("main");
        let (authority, _) = Authority::found(&here, &name("main"), SystemTime::now()).unwrap();
        let (node, _supervisor) = agents::house_on(name("main")).await;
        let opens = tokio::sync::mpsc::channel(1).1;
        let network = Arc::new(TlsNetwork::new(&here, name("main"), Vec::new(), opens));
        let cluster = Cluster::begin(&node, network, timing, began());
        Self { scratch, authority, node, cluster }
    }

    /// Gives another node its certificate: the folder of its trust.
    fn admit(&self, own: &NodeName) -> PathBuf {
        let there = self.scratch.path().join(own.as_str());
        let now = SystemTime::now();
        let secret = self.authority.invite(own, PATIENCE, now).unwrap();
        let request = Request::new().unwrap();
        let Admitted { certificate, expelled } =
            self.authority.admit(&secret, request.der(), now).unwrap().unwrap();
        let root = self.authority.certificate();
        Identity::keep(&there, &request, root, &certificate, &expelled).unwrap();
        there
    }

    /// Begins another node that tells of so many addresses beside its counter, and waits until all of
    /// them are known here.
    pub async fn begin(&self, other: &str, addresses: usize) -> Other {
        let own = name(other);
        let mut child = Command::new(std::env::current_exe().unwrap())
            .env(SERVE, self.admit(&own))
            .env(NAME, other)
            .env(ADDRESSES, addresses.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let (at, echo) = line.trim().split_once(' ').unwrap();
        self.cluster.meet(&own, &[at.to_owned()]);
        self.until(&own, |it| it.membership == Membership::Alive && it.addresses > addresses).await;
        Other { name: own, echo: echo.to_owned(), child }
    }

    /// How another node stands.
    pub fn member(&self, other: &NodeName) -> Option<Member> {
        self.cluster.members().into_iter().find(|it| it.node == *other)
    }

    async fn until(&self, other: &NodeName, is_so: impl Fn(&Member) -> bool) {
        let until = Instant::now() + PATIENCE;
        while !self.member(other).is_some_and(|it| is_so(&it)) {
            assert!(Instant::now() < until, "never so: {:?}", self.cluster.members());
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// Another node, in a process of its own, with a counter that has the node's name. It ends with this.
pub struct Other {
    /// Its name.
    pub name: NodeName,
    /// Where it sends back each byte.
    pub echo: String,
    child: Child,
}

impl Other {
    /// Its counter.
    pub fn counter(&self) -> Address {
        Address::parse(&format!("bench/{}", self.name.as_str())).unwrap()
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        // It ends when its standard input does, and could not be kept from it.
        drop(self.child.stdin.take());
        let _has_ended = self.child.wait();
    }
}

/// How long a byte takes to another process and back on a bare connection, again and again.
pub fn ping_pong(echo: &str, count: usize) -> Vec<Duration> {
    let mut stream = TcpStream::connect(echo).unwrap();
    stream.set_nodelay(true).unwrap();
    let once = |_| {
        let began = Instant::now();
        let mut byte = [7];
        stream.write_all(&byte).unwrap();
        stream.read_exact(&mut byte).unwrap();
        began.elapsed()
    };
    (0..count).map(once).collect()
}
