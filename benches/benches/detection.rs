//! How soon a node sees that another is gone, and how often it believes so wrongly: two processes,
//! with mutual TLS between them.
//!
//! `cargo bench -p genii-benches --bench detection -- 600` looks for false alarms for ten minutes; a
//! minute is usual. As root, with `ip` at hand, the other node lives behind a cable of its own that
//! can be cut; otherwise it is paused in its place.
#![allow(clippy::unwrap_used, missing_docs)]

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use genii_benches::{agents, quantile};
use genii_protocols::NodeName;
use genii_runtime::Node;
use genii_runtime::cluster::{Cluster, Member, Membership, Timing};
use genii_runtime::link::listener::Listener;
use genii_runtime::link::tls_network::TlsNetwork;
use genii_runtime::trust::{Admitted, Authority, Identity, Request};
use rustix::process::{Pid, Signal, kill_process};
use tokio::runtime::Runtime;

/// The environment variables that make this program the other node: its folder of trust, and where it
/// listens.
const SERVE: &str = "GENII_BENCH_SERVE";
const LISTEN: &str = "GENII_BENCH_LISTEN";

const KILLS: usize = 20;
const CUTS: u32 = 40;
const ALARM_SPAN: Duration = Duration::from_secs(60);

/// How long anything else may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often to look.
const LOOK: Duration = Duration::from_micros(200);

fn name(text: &str) -> NodeName {
    NodeName::new(text).unwrap()
}

fn began() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    since.as_millis() as u64
}

/// The other node: serves until its standard input ends.
async fn serve(trust: &Path, listen: &str) {
    let (listener, opens) = Listener::open(listen.parse().unwrap(), trust).await.unwrap();
    let (node, supervisor) = agents::house_on(name("pc2")).await;
    let network = TlsNetwork::new(trust, name("pc2"), vec![listener.at().to_string()], opens);
    Cluster::begin(&node, Arc::new(network), Timing::default(), began());
    agents::counter(&node, &supervisor, "far").await;
    println!("{}", listener.at());
    let waiting = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    let _either_way = waiting.await;
    std::process::exit(0);
}

/// A cable of its own for the other node, which can be cut.
struct Cable {
    space: String,
    here: String,
    /// Carries out what is written to it at once: to start a program takes as long as what is measured
    /// may vary.
    ip: Child,
}

impl Cable {
    /// A cable; `None` where this user may lay none.
    fn lay() -> Option<Self> {
        let id = std::process::id();
        let batch = Command::new("ip").args(["-batch", "-"]).stdin(Stdio::piped()).spawn().ok()?;
        let cable = Self { space: format!("genii-bench-{id}"), here: format!("gb{id}"), ip: batch };
        let (space, here, there) = (&cable.space, &cable.here, format!("gc{id}"));
        let laid = ip(&["netns", "add", space])
            && ip(&["link", "add", here, "type", "veth", "peer", "name", &there, "netns", space])
            && ip(&["addr", "add", "10.83.7.1/30", "dev", here])
            && ip(&["link", "set", here, "up"])
            && ip(&["-n", space, "addr", "add", "10.83.7.2/30", "dev", &there])
            && ip(&["-n", space, "link", "set", &there, "up"]);
        laid.then_some(cable)
    }

    fn is_whole(&self, is_whole: bool) {
        let mut ip = self.ip.stdin.as_ref().unwrap();
        writeln!(ip, "link set {} {}", self.here, if is_whole { "up" } else { "down" }).unwrap();
        ip.flush().unwrap();
    }

    /// Waits until the system has cut it, as has been asked for.
    fn until_cut(&self) {
        let flags = format!("/sys/class/net/{}/flags", self.here);
        let is_up = || {
            let flags = std::fs::read_to_string(&flags).unwrap();
            u32::from_str_radix(flags.trim().trim_start_matches("0x"), 16).unwrap() & 1 == 1
        };
        while is_up() {
            std::thread::sleep(LOOK);
        }
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        let _gone = self.ip.kill().and_then(|()| self.ip.wait());
        ip(&["link", "del", &self.here]);
        ip(&["netns", "del", &self.space]);
    }
}

fn ip(args: &[&str]) -> bool {
    let command = Command::new("ip").args(args).stderr(Stdio::null()).status();
    command.is_ok_and(|status| status.success())
}

/// This node, and the other in a process of its own.
struct Two {
    cluster: Cluster,
    _node: Node,
    there: PathBuf,
    cable: Option<Cable>,
    other: Option<Child>,
}

impl Two {
    fn begin_other(&mut self) {
        let program = std::env::current_exe().unwrap();
        let (mut command, listen) = match &self.cable {
            Some(cable) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", &cable.space]).arg(program);
                (command, "10.83.7.2:0")
            }
            None => (Command::new(program), "127.0.0.1:0"),
        };
        let piped = command.env(SERVE, &self.there).env(LISTEN, listen).stdin(Stdio::piped());
        let mut other = piped.stdout(Stdio::piped()).spawn().unwrap();
        let mut at = String::new();
        BufReader::new(other.stdout.take().unwrap()).read_line(&mut at).unwrap();
        self.cluster.meet(&name("pc2"), &[at.trim().to_owned()]);
        self.other = Some(other);
        self.until(|it| it.membership == Membership::Alive && it.addresses > 0);
    }

    /// Waits until the other stands so.
    fn until(&self, is_so: impl Fn(&Member) -> bool) -> Instant {
        let until = Instant::now() + PATIENCE;
        loop {
            let members = self.cluster.members();
            if members.iter().any(&is_so) {
                return Instant::now();
            }
            assert!(Instant::now() < until, "{members:?}");
            std::thread::sleep(LOOK);
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(self.other.as_ref().unwrap()), signal).unwrap();
    }

    /// How long until a killed node is seen to be down.
    fn kill(&mut self) -> Duration {
        self.begin_other();
        let began = Instant::now();
        self.signal(Signal::KILL);
        let took = self.until(|it| it.membership == Membership::Down) - began;
        self.other.take().unwrap().wait().unwrap();
        took
    }

    /// How long the cut itself takes, and how long until one that is cut off is suspected, and until it
    /// is down. `phase` is how long after it was linked, so that it falls anywhere between two pings.
    fn cut(&mut self, phase: Duration) -> [Duration; 3] {
        std::thread::sleep(Timing::default().down + phase);
        let began = Instant::now();
        match &self.cable {
            Some(cable) => {
                cable.is_whole(false);
                cable.until_cut();
            }
            None => self.signal(Signal::STOP),
        }
        let cut = began.elapsed();
        let suspect = self.until(|it| it.membership != Membership::Alive) - began;
        let down = self.until(|it| it.membership == Membership::Down) - began;
        match &self.cable {
            Some(cable) => cable.is_whole(true),
            None => self.signal(Signal::CONT),
        }
        self.until(|it| it.membership == Membership::Alive);
        [cut, suspect, down]
    }
}

fn show(title: &str, mut times: Vec<Duration>) {
    let shares = [0.5, 0.99].map(|share| quantile(&mut times, share).as_secs_f64() * 1e3);
    println!(
        "  {title:34} p50 {:>8.1} ms   p99 {:>8.1} ms   of {}",
        shares[0],
        shares[1],
        times.len()
    );
}

/// How often the other was suspected or held to be down while all cores were busy.
fn false_alarms(two: &Two, span: Duration) {
    let busy = Arc::new(AtomicBool::new(true));
    let cores = std::thread::available_parallelism().unwrap().get();
    let spin = |_| {
        let busy = busy.clone();
        std::thread::spawn(move || {
            while busy.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        })
    };
    let spinning: Vec<_> = (0..2 * cores).map(spin).collect();
    let (mut suspected, mut lost, mut before) = (0, 0, Membership::Alive);
    let began = Instant::now();
    while began.elapsed() < span {
        let now = two.cluster.members()[0].membership;
        suspected += u32::from(now == Membership::Suspect && before != now);
        lost += u32::from(now == Membership::Down && before != now);
        before = now;
        std::thread::sleep(Duration::from_millis(1));
    }
    busy.store(false, Ordering::Relaxed);
    spinning.into_iter().for_each(|it| it.join().unwrap());
    let (threads, seconds) = (2 * cores, span.as_secs());
    println!(
        "  {threads} threads spin on {cores} cores for {seconds} s: suspected {suspected} times, down {lost} times"
    );
}

fn main() {
    let runtime = Runtime::new().unwrap();
    if let Some(trust) = std::env::var_os(SERVE) {
        let listen = std::env::var(LISTEN).unwrap();
        return runtime.block_on(serve(Path::new(&trust), &listen));
    }
    let _inside = runtime.enter();
    let seconds = std::env::args().find_map(|argument| argument.parse().ok());
    let span = seconds.map_or(ALARM_SPAN, Duration::from_secs);
    let scratch = tempfile::tempdir().unwrap();
    let (here, there) = (scratch.path().join("main"), scratch.path().join("pc2"));
    let now = SystemTime::now();
    let (authority, _) = Authority::found(&here, &name("main"), now).unwrap();
    let secret = authority.invite(&name("pc2"), PATIENCE, now).unwrap();
    let request = Request::new().unwrap();
    let Admitted { certificate, expelled } =
        authority.admit(&secret, request.der(), now).unwrap().unwrap();
    Identity::keep(&there, &request, authority.certificate(), &certificate, &expelled).unwrap();
    let (node, cluster) = runtime.block_on(async {
        let (node, _supervisor) = agents::house_on(name("main")).await;
        let opens = tokio::sync::mpsc::channel(1).1;
        let network = Arc::new(TlsNetwork::new(&here, name("main"), Vec::new(), opens));
        let cluster = Cluster::begin(&node, network, Timing::default(), began());
        (node, cluster)
    });
    let mut two = Two { cluster, _node: node, there, cable: None, other: None };

    println!("\nfrom a fault to how it is seen");
    show("kill -9, to down", (0..KILLS).map(|_| two.kill()).collect());
    two.cable = Cable::lay();
    let how = if two.cable.is_some() { "cable cut" } else { "paused (no right to cut a cable)" };
    two.begin_other();
    let phases = (0..CUTS).map(|it| Timing::default().ping * it / CUTS);
    let cuts: Vec<_> = phases.map(|phase| two.cut(phase)).collect();
    for (index, what) in ["until it was cut", "to suspect", "to down"].into_iter().enumerate() {
        show(&format!("{how}, {what}"), cuts.iter().map(|cut| cut[index]).collect());
    }
    println!("\nfalse alarms");
    false_alarms(&two, span);
    two.signal(Signal::KILL);
    two.other.take().unwrap().wait().unwrap();
}
