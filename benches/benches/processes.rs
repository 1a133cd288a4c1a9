//! How long a house of 59 Python agents takes to be ready, in the order of its needs, beside what
//! the machine needs to start as many with no order and nobody who watches them.
#![allow(clippy::unwrap_used, missing_docs)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use genii_benches::{Contender, compare};
use genii_protocols::NodeName;
use genii_runtime::process::keeper;
use genii_runtime::topology::Topology;
use genii_runtime::{Catalogue, House, Node, NodeOptions};
use tokio::runtime::Runtime;
use zeromq::{Socket, SocketRecv, SocketSend};

/// Whom each of 59 agents of a real house waits for, after the knots in it were cut.
const NEEDS: [&[usize]; 59] = [
    &[45],
    &[],
    &[],
    &[],
    &[3, 58],
    &[],
    &[0],
    &[0],
    &[0],
    &[20],
    &[0],
    &[0],
    &[],
    &[],
    &[],
    &[],
    &[],
    &[],
    &[],
    &[],
    &[],
    &[20],
    &[20],
    &[5, 3],
    &[20],
    &[20],
    &[54],
    &[26, 48],
    &[26],
    &[26],
    &[26, 20],
    &[53],
    &[5],
    &[32],
    &[0],
    &[],
    &[33, 5],
    &[33],
    &[37, 5],
    &[36],
    &[6, 7],
    &[40],
    &[40],
    &[5],
    &[],
    &[5],
    &[47],
    &[53],
    &[3],
    &[],
    &[],
    &[50],
    &[50, 51],
    &[0],
    &[0],
    &[],
    &[0, 3],
    &[],
    &[],
];

/// The first port; each agent has one.
const PORT: u16 = 17_600;

fn main() -> ExitCode {
    // This program keeps the processes of its own agents.
    if let Some(code) = keeper::run_if_asked() {
        return code;
    }
    let runtime = Runtime::new().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/stand_in.py");
    let ordered = topology(&script, true);
    let unordered = topology(&script, false);
    let contenders = vec![
        Contender::new("no genii, no order", || runtime.block_on(bare(&script))),
        Contender::new("genii, in order", || runtime.block_on(house(ordered.clone()))),
        Contender::new("genii, no order", || runtime.block_on(house(unordered.clone()))),
    ];
    let medians = compare("59 Python agents: until all answer", NEEDS.len() as u64, contenders);
    for (name, took) in ["no genii", "in order", "no order"].iter().zip(&medians) {
        let times = took.as_secs_f64() / medians[0].as_secs_f64();
        println!("  {name:10} {:>6.0} ms, {times:.2} times", took.as_secs_f64() * 1_000.0);
    }
    ExitCode::SUCCESS
}

fn topology(script: &Path, in_order: bool) -> Topology {
    let mut text = String::from("[groups.house]\n");
    for (n, needs) in NEEDS.iter().enumerate() {
        let needs = needs.iter().filter(|_| in_order);
        let needs: Vec<String> = needs.map(|need| format!("\"house/a-{need}\"")).collect();
        let port = PORT + n as u16;
        write!(
            text,
            "[agents.\"house/a-{n}\"]\nkind = \"process\"\nneeds = [{}]\n\
             [agents.\"house/a-{n}\".settings]\nscript = {script:?}\nname = \"a-{n}\"\n\
             health_port = {port}\nready = {{ zmq = {port} }}\n",
            needs.join(", ")
        )
        .unwrap();
    }
    Topology::parse(&text, &Catalogue::new()).unwrap()
}

async fn house(topology: Topology) -> Duration {
    let node = Node::new(NodeOptions::new(NodeName::new("bench").unwrap()));
    let began = Instant::now();
    let house = House::begin(node, Catalogue::new(), topology).await.unwrap();
    house.up().await.unwrap();
    let took = began.elapsed();
    let well = house.members().iter().filter(|row| row.view.status.is_alive()).count();
    assert_eq!(well, NEEDS.len() + 1, "the group and its agents");
    assert_eq!(house.shutdown().await, 0);
    took
}

/// Starts all of them at once, and asks each until it answers.
async fn bare(script: &PathBuf) -> Duration {
    let began = Instant::now();
    let mut children = Vec::new();
    let mut answers = tokio::task::JoinSet::new();
    for n in 0..NEEDS.len() as u16 {
        let port = PORT + n;
        let child = Command::new("python3")
            .arg(script)
            .args([format!("--health_check_port={port}"), format!("--name=a-{n}")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        children.push(child.unwrap());
        answers.spawn(answer(port));
    }
    while answers.join_next().await.is_some() {}
    let took = began.elapsed();
    for mut child in children {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    took
}

async fn answer(port: u16) {
    let address = format!("127.0.0.1:{port}");
    while tokio::net::TcpStream::connect(&address).await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut socket = zeromq::ReqSocket::new();
    socket.connect(&format!("tcp://{address}")).await.unwrap();
    socket.send("{\"action\":\"health_check\"}".into()).await.unwrap();
    let answer = socket.recv().await.unwrap();
    assert!(String::from_utf8_lossy(answer.get(0).unwrap()).contains("ok"));
}
