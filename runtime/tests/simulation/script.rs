//! What happens in one run: a list of operations, made from a seed.

use std::time::Duration;

use fastrand::Rng;
use genii_runtime::link::network::Lane;

use crate::linking::LINKER;
use crate::streams::Wanted;

/// The agents of each node, by their names in its group: one that is quick, one with little room
/// and, now and then, a long handler, one that needs the quick one of the next node, one for which
/// the spare one of the next node stands in, and a spare one. So that it is known of each tell where
/// it must be looked for, only the first three are told; the spare one is never addressed.
pub const AGENTS: [&str; 5] = ["quick", "slow", "needy", "covered", "spare"];

/// How many of them are told.
const TOLD: usize = 3;

/// The one for which another stands in.
pub const COVERED: usize = 3;

/// The one that stands in for that of the node before.
pub const SPARE: usize = 4;

/// How many senders each node has. Each sends one thing after another.
pub const SENDERS: usize = 2;

/// One thing that happens. Nodes, senders and agents are told by their numbers.
#[derive(Debug, Clone)]
pub enum Op {
    /// A sender tells an agent, so many times.
    Tell { from: usize, sender: usize, to: (usize, usize), count: usize },
    /// As `Tell`, without waiting for room.
    TryTell { from: usize, sender: usize, to: (usize, usize), count: usize },
    /// A sender tells something that is too large for one frame.
    LargeTell { from: usize, sender: usize, to: (usize, usize), kib: usize },
    /// A sender asks, so many times.
    Ask { from: usize, sender: usize, to: (usize, usize), count: usize },
    /// A sender asks what takes longer than it waits, or nearly.
    SlowAsk { from: usize, sender: usize, to: (usize, usize), takes: u64, patience: u64 },
    /// A sender asks what is too large for one frame.
    LargeAsk { from: usize, sender: usize, to: (usize, usize), kib: usize },
    /// A sender asks for a stream.
    Stream { from: usize, sender: usize, to: (usize, usize), wanted: Wanted },
    /// A sender publishes, so many times.
    Publish { from: usize, sender: usize, count: usize },
    /// Nothing comes through between two nodes.
    Cut { one: usize, other: usize },
    /// Nothing comes through one way.
    CutWay { from: usize, to: usize },
    /// What was cut or slow is whole again.
    Heal { one: usize, other: usize },
    /// Everything takes longer between two nodes.
    Slow { one: usize, other: usize, millis: u64 },
    /// The connections of two nodes carry nothing any more; new ones do.
    Stall { one: usize, other: usize },
    /// The connections of a kind between two nodes break.
    Reset { one: usize, other: usize, lane: Lane },
    /// A node stands still.
    Pause { node: usize },
    /// It goes on.
    Resume { node: usize },
    /// A node is gone from one moment to the next.
    Crash { node: usize },
    /// A node takes its leave, and stops in good order.
    Leave { node: usize },
    /// A node lets finish what runs on it, for so many milliseconds at most, then stops in good order
    /// and takes its leave.
    Drain { node: usize, patience: u64 },
    /// A node that is gone begins another life.
    Restart { node: usize },
    /// An agent crashes while it handles a message.
    CrashAgent { from: usize, to: (usize, usize) },
    /// The watcher of a node is to watch an agent.
    Watch { node: usize, whom: (usize, usize) },
    /// It is to watch nobody any more.
    Unwatch { node: usize },
    /// An agent is stopped by a person on its node.
    StopAgent { agent: (usize, usize) },
    /// It is started again.
    StartAgent { agent: (usize, usize) },
    /// The linker of a node is to tie its life to that of an agent.
    Tie { node: usize, to: (usize, usize) },
    /// It is to be tied to nobody.
    Untie { node: usize },
    /// A node follows a topology with so many agents of which the others have not heard.
    Extras { node: usize, count: usize },
    /// Time passes.
    Wait { millis: u64 },
}

/// How long a node that is drained in a rolling restart may take, and who asks then, in
/// milliseconds: longer than all that was asked can take together.
const ROLLING_PATIENCE: u64 = 60_000;

/// The most agents that come and go on one node.
pub const EXTRAS_MAX: usize = 4;

/// What happens, and to how many.
#[derive(Debug, Clone)]
pub struct Script {
    pub nodes: usize,
    /// Nothing goes wrong; nodes are drained and started again, one at a time.
    pub is_rolling: bool,
    pub ops: Vec<Op>,
}

impl Script {
    /// The script of a seed.
    pub fn of(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        // Three are enough for most of what can go wrong, and quickest.
        let nodes = *rng.choice(&[3, 3, 3, 3, 4, 4, 5, 6, 7]).unwrap_or(&3);
        let count = rng.usize(20..60);
        let is_rolling = rng.u8(0..8) == 0;
        // One run in four is without faults, so that nothing hides behind them.
        let is_calm = rng.u8(0..4) == 0;
        let ops = (0..count).flat_map(|_| {
            let op = if is_rolling {
                roll(&mut rng, nodes)
            } else if is_calm || rng.u8(0..10) < 6 {
                say(&mut rng, nodes)
            } else {
                fault(&mut rng, nodes)
            };
            // Some things come at once.
            let wait = if rng.bool() { Some(Op::Wait { millis: pause(&mut rng) }) } else { None };
            [Some(op), wait]
        });
        Self { nodes, is_rolling, ops: ops.flatten().collect() }
    }
}

/// Mostly short; sometimes as long as it takes to be given up.
fn pause(rng: &mut Rng) -> u64 {
    match rng.u8(0..10) {
        0..=5 => rng.u64(1..20),
        6..=8 => rng.u64(20..300),
        _ => rng.u64(300..1_600),
    }
}

fn say(rng: &mut Rng, nodes: usize) -> Op {
    let (from, sender) = (rng.usize(0..nodes), rng.usize(0..SENDERS));
    let (to, asked) =
        ((rng.usize(0..nodes), rng.usize(0..TOLD)), (rng.usize(0..nodes), rng.usize(0..=COVERED)));
    match rng.u8(0..26) {
        0..=5 => Op::Tell { from, sender, to, count: rng.usize(1..40) },
        6 => Op::Tell { from, sender, to, count: rng.usize(100..300) },
        7..=8 => Op::TryTell { from, sender, to, count: rng.usize(1..40) },
        9 => Op::LargeTell { from, sender, to, kib: rng.usize(60..400) },
        10..=14 => Op::Ask { from, sender, to: asked, count: rng.usize(1..10) },
        15..=17 => {
            let takes = rng.u64(1..600);
            Op::SlowAsk { from, sender, to: asked, takes, patience: rng.u64(1..800) }
        }
        18..=19 => Op::LargeAsk { from, sender, to: asked, kib: rng.usize(60..400) },
        20..=22 => Op::Stream { from, sender, to: asked, wanted: wanted(rng) },
        _ => Op::Publish { from, sender, count: rng.usize(1..40) },
    }
}

/// Some streams are longer than what may be on its way at a time; some are let go of early, and some
/// have no end.
fn wanted(rng: &mut Rng) -> Wanted {
    let (of, gap) = (rng.u64(0..200), millis(*rng.choice(&[0, 0, 1, 10]).unwrap_or(&0)));
    let is_let_go_of = rng.bool();
    let takes = if is_let_go_of { rng.u64(0..=of) } else { of + 1 };
    Wanted { of, gap, takes, stays: is_let_go_of && rng.bool() }
}

/// Something in a rolling restart: mostly asks for which somebody stands in.
fn roll(rng: &mut Rng, nodes: usize) -> Op {
    let (from, sender) = (rng.usize(0..nodes), rng.usize(0..SENDERS));
    let (node, to) = (rng.usize(0..nodes), (rng.usize(0..nodes), COVERED));
    match rng.u8(0..20) {
        0..=1 => Op::Drain { node, patience: ROLLING_PATIENCE },
        2..=5 => Op::Restart { node },
        6..=8 => {
            let takes = rng.u64(1..60);
            Op::SlowAsk { from, sender, to, takes, patience: ROLLING_PATIENCE }
        }
        9 => {
            let to = (node, rng.usize(0..TOLD));
            Op::Tell { from, sender, to, count: rng.usize(1..40) }
        }
        10..=12 => Op::Stream { from, sender, to, wanted: wanted(rng) },
        _ => Op::Ask { from, sender, to, count: rng.usize(1..60) },
    }
}

fn fault(rng: &mut Rng, nodes: usize) -> Op {
    let (one, other) = two(rng, nodes);
    let node = one;
    match rng.u8(0..48) {
        0..=2 => Op::Cut { one, other },
        3 => Op::CutWay { from: one, to: other },
        4..=8 => Op::Heal { one, other },
        9 => Op::Slow { one, other, millis: rng.u64(10..250) },
        10..=11 => Op::Stall { one, other },
        12..=14 => {
            let lane = if rng.bool() { Lane::Control } else { Lane::Data };
            Op::Reset { one, other, lane }
        }
        15 => Op::Pause { node },
        16..=17 => Op::Resume { node },
        18..=19 => Op::Crash { node },
        20 => Op::Leave { node },
        21..=23 => Op::Restart { node },
        24..=25 => Op::CrashAgent { from: other, to: agent(rng, nodes) },
        26 => Op::StopAgent { agent: agent(rng, nodes) },
        27..=28 => Op::StartAgent { agent: agent(rng, nodes) },
        29..=30 => Op::Drain { node, patience: rng.u64(20..2_000) },
        31..=33 => Op::Watch { node, whom: agent(rng, nodes) },
        34 => Op::Unwatch { node },
        35..=41 => Op::Tie { node, to: agent(rng, nodes) },
        42 => Op::Untie { node },
        43..=44 => Op::CrashAgent { from: other, to: (node, LINKER) },
        _ => Op::Extras { node, count: rng.usize(0..=EXTRAS_MAX) },
    }
}

fn agent(rng: &mut Rng, nodes: usize) -> (usize, usize) {
    (rng.usize(0..nodes), rng.usize(0..AGENTS.len()))
}

/// Two different nodes.
fn two(rng: &mut Rng, nodes: usize) -> (usize, usize) {
    let one = rng.usize(0..nodes);
    (one, (one + rng.usize(1..nodes)) % nodes)
}

/// So long in milliseconds.
pub fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
