//! A node is told nonsense, on each lane and at each step of a greeting, in frames of every kind that
//! come when nobody expects them. It drops who does, counts it, and stays what it is for everybody else.

mod frames;

use std::sync::Arc;

use fastrand::Rng;
use futures_util::{StreamExt, stream};
use genii_protocols::Json;
use genii_protocols::frame::{Control, NEWEST};
use genii_runtime::cluster::Membership;
use genii_runtime::link::network::Lane;
use tokio::task::JoinHandle;

use self::frames::{control_frame, data_frame, listed, preface};
use crate::agent::Work;
use crate::company;
use crate::greeting::{OWN, machine};
use crate::log::Outcome;
use crate::machine::{Machine, address, name};
use crate::raw::{End, Raw, frame, hello};
use crate::script::{AGENTS, millis};
use crate::streams::Count;
use crate::variable;

/// How many are tried unless `GARBAGE` says otherwise.
const CASES: u64 = 150;

/// How many frames are said in one case at most.
const FRAMES_MAX: usize = 40;

/// The number of the node that talks nonsense.
const HOSTILE: usize = 0;

#[test]
fn nonsense_is_dropped_and_counted_and_harms_nobody_else() {
    let cases = variable("SEED").map_or(0..variable("GARBAGE").unwrap_or(CASES), |it| it..it + 1);
    for seed in cases {
        let tried = std::panic::catch_unwind(|| {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = runtime.enable_time().start_paused(true).build().unwrap();
            runtime.block_on(one(seed));
        });
        assert!(tried.is_ok(), "SEED={seed} fails");
    }
}

async fn one(seed: u64) {
    let mut rng = Rng::with_seed(seed);
    let (waters, machine) = machine(seed).await;
    let log = crate::log::Log::new();
    // Commands are said back, three times.
    machine.cluster.carry_out(Arc::new(|_, said: Json| stream::repeat(Ok(said)).take(3).boxed()));
    let neighbour = Machine::boot(&waters, 3, (1, 1), &log).await;
    let is_up = || machine.membership(1) == Some(Membership::Alive);
    let mut waited = 0;
    while !is_up() || machine.state(&address((1, 0))) != Some("ready") {
        assert!(waited < 1_000, "they are linked");
        waited += 1;
        tokio::time::sleep(millis(10)).await;
    }
    let mallory = Raw::new(&waters, HOSTILE);
    for life in 1..4 {
        bother(&mut rng, &machine, &mallory, life).await;
        well(&machine, &neighbour).await;
    }
    let figures = machine.cluster.figures();
    assert!(figures.links <= 2 && figures.greetings <= 8, "{figures:?}");
    assert!(figures.addresses <= AGENTS.len() + FRAMES_MAX * 3, "{figures:?}");
    // What is left of it is let go of when it says no more.
    drop(mallory);
    waters.crash(&name(HOSTILE));
    tokio::time::sleep(millis(3_000)).await;
    let figures = machine.cluster.figures();
    assert_eq!((figures.links, figures.greetings, figures.half_open), (1, 0, 0), "{figures:?}");
    assert_eq!(figures.questions, 0, "{figures:?}");
    let wanted = machine.node.wanted();
    assert!(wanted.iter().all(|wanted| wanted.node != name(HOSTILE)), "{wanted:?}");
    let members = machine.node.group_members(&company::group());
    assert!(members.iter().all(|member| member.node != name(HOSTILE)), "{members:?}");
    assert_eq!(figures.addresses, AGENTS.len(), "{figures:?}");
}

/// The two that are well still are, and answer each other.
pub async fn well(machine: &Machine, neighbour: &Machine) {
    let answered = machine.probe(0, &address((1, 0)), millis(500)).await;
    assert!(matches!(answered, Outcome::Answered(_)), "{answered:?}");
    assert_eq!(machine.membership(1), Some(Membership::Alive));
    assert_eq!(neighbour.membership(OWN), Some(Membership::Alive));
}

async fn bother(rng: &mut Rng, machine: &Machine, mallory: &Raw, life: u64) {
    match rng.u8(0..4) {
        // Bytes, in place of a greeting.
        0 => {
            let lane = if rng.bool() { Lane::Control } else { Lane::Data };
            let said = mallory.open(OWN, lane, bytes(rng, 2_000)).await;
            tokio::time::sleep(millis(50)).await;
            drop(said);
        }
        // A greeting that was spoilt.
        1 => {
            let greeting = frame(&Control::Hello(hello((1, 1), life * 10, life)));
            let said = mallory.open(OWN, Lane::Control, spoil(rng, greeting)).await;
            tokio::time::sleep(millis(50)).await;
            drop(said);
        }
        // Frames that were spoilt, or have no place there, on a link that is up.
        _ => {
            let greeting = hello((1, rng.u16(1..=NEWEST)), life * 10_000_000, life);
            let Ok((mut control, mut data)) = mallory.greet(OWN, greeting).await else { return };
            control.say(frame(&listed()));
            tokio::time::sleep(millis(20)).await;
            let askers = want_something_of_it(machine);
            tokio::time::sleep(millis(20)).await;
            babble(rng, &mut control, &mut data).await;
            let announced = (u32::MAX).to_le_bytes().to_vec();
            data.say(announced);
            tokio::time::sleep(millis(1_500)).await;
            assert!(control.ends().await && data.ends().await, "it is dropped");
            assert!(askers.iter().all(JoinHandle::is_finished), "they are told that it is gone");
        }
    }
}

/// Asks it, watches an agent of it, and publishes: so there is something to answer wrongly. Whatever
/// comes, those who ask are not left waiting.
fn want_something_of_it(machine: &Machine) -> [JoinHandle<()>; 2] {
    let agent = address((HOSTILE, 0));
    machine.watch(&agent);
    machine.publish(0);
    let (one, many) = (machine.node.to(agent.clone()), machine.node.to(agent));
    let work = Work { id: 0, takes_millis: 0, fill: String::new() };
    let asks = async move { drop(one.ask_within(work, millis(500)).await) };
    let streams = async move {
        let count = Count { id: 0, of: 9, gap_millis: 0, stays: false };
        if let Ok(mut answers) = many.stream(count).await {
            while answers.next().await.is_some() {}
            drop(answers.finish().await);
        }
    };
    [tokio::spawn(asks), tokio::spawn(streams)]
}

async fn babble(rng: &mut Rng, control: &mut End, data: &mut End) {
    if rng.u8(0..4) > 0 {
        data.say(preface());
    }
    // Half of them know how frames are made, and get further.
    let spoils = rng.bool();
    for _ in 0..rng.usize(0..FRAMES_MAX) {
        let (end, said) = match rng.bool() {
            true => (&mut *control, frame(&control_frame(rng))),
            false => (&mut *data, data_frame(rng)),
        };
        end.say(if spoils && rng.u8(0..6) == 0 { spoil(rng, said) } else { said });
        if rng.bool() {
            tokio::time::sleep(millis(rng.u64(0..20))).await;
        }
    }
}

fn bytes(rng: &mut Rng, most: usize) -> Vec<u8> {
    (0..rng.usize(1..most)).map(|_| rng.u8(..)).collect()
}

/// Changes a few bits, or cuts it, or repeats a part of it.
fn spoil(rng: &mut Rng, mut said: Vec<u8>) -> Vec<u8> {
    for _ in 0..rng.usize(1..4) {
        let at = rng.usize(0..said.len());
        match rng.u8(0..4) {
            0 => said.truncate(at.max(1)),
            1 => said.extend_from_within(at..),
            _ => said[at] ^= 1 << rng.u8(0..8),
        }
    }
    said
}
