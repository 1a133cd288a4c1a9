//! A node is told nonsense, on each lane and at each step of a greeting. It drops who does, counts
//! it, and stays what it is for everybody else.

use fastrand::Rng;
use genii_protocols::frame::{Control, Data, Letter, NAMES_MAX, Payload, Place, Stand, Standing};
use genii_runtime::cluster::Membership;
use genii_runtime::link::network::Lane;

use crate::greeting::{OWN, machine};
use crate::log::Outcome;
use crate::machine::{Machine, address};
use crate::raw::{End, Raw, frame, hello};
use crate::script::{AGENTS, millis};
use crate::variable;

/// How many are tried unless `GARBAGE` says otherwise.
const CASES: u64 = 150;

/// How many frames are said in one case at most.
const FRAMES_MAX: usize = 40;

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
    let neighbour = Machine::boot(&waters, 3, (1, 1), &log).await;
    let is_up = || machine.membership(1) == Some(Membership::Alive);
    let mut waited = 0;
    while !is_up() || machine.state(&address((1, 0))) != Some("ready") {
        assert!(waited < 1_000, "they are linked");
        waited += 1;
        tokio::time::sleep(millis(10)).await;
    }
    let mallory = Raw::new(&waters, 0);
    for life in 1..4 {
        bother(&mut rng, &mallory, life).await;
        well(&machine, &neighbour).await;
    }
    let figures = machine.cluster.figures();
    assert!(figures.links <= 2 && figures.greetings <= 8, "{figures:?}");
    assert!(figures.addresses <= AGENTS.len() + FRAMES_MAX * 3, "{figures:?}");
    // What is left of it is let go of when it says no more.
    drop(mallory);
    waters.crash(&crate::machine::name(0));
    tokio::time::sleep(millis(3_000)).await;
    let figures = machine.cluster.figures();
    assert_eq!((figures.links, figures.greetings, figures.half_open), (1, 0, 0), "{figures:?}");
    assert_eq!(figures.addresses, AGENTS.len(), "{figures:?}");
}

/// The two that are well still are, and answer each other.
pub async fn well(machine: &Machine, neighbour: &Machine) {
    let answered = machine.probe(0, &address((1, 0)), millis(500)).await;
    assert!(matches!(answered, Outcome::Answered(_)), "{answered:?}");
    assert_eq!(machine.membership(1), Some(Membership::Alive));
    assert_eq!(neighbour.membership(OWN), Some(Membership::Alive));
}

async fn bother(rng: &mut Rng, mallory: &Raw, life: u64) {
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
            let greeting = hello((1, 1), life * 10_000_000, life);
            let Ok((mut control, mut data)) = mallory.greet(OWN, greeting).await else { return };
            babble(rng, &mut control, &mut data).await;
            let announced = (u32::MAX).to_le_bytes().to_vec();
            data.say(announced);
            tokio::time::sleep(millis(1_500)).await;
            assert!(control.ends().await && data.ends().await, "it is dropped");
        }
    }
}

async fn babble(rng: &mut Rng, control: &mut End, data: &mut End) {
    for _ in 0..rng.usize(0..FRAMES_MAX) {
        let (end, said) = match rng.bool() {
            true => (&mut *control, frame(&control_frame(rng))),
            false => (&mut *data, data_frame(rng)),
        };
        end.say(if rng.u8(0..6) == 0 { spoil(rng, said) } else { said });
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

fn control_frame(rng: &mut Rng) -> Control<'static> {
    let stand = |rng: &mut Rng| Stand {
        // Some of them are of others.
        address: address((rng.usize(0..3), rng.usize(0..3))).to_string().into(),
        incarnation: rng.u64(..),
        standing: *rng.choice(&[Standing::Ready, Standing::Gone, Standing::Down]).unwrap(),
        detail: "x".repeat(rng.usize(0..2_000)).into(),
    };
    match rng.u8(0..8) {
        0 => Control::Ping(rng.u64(..)),
        1 => Control::Pong(rng.u64(..)),
        2..=4 => {
            let agents = (0..rng.usize(0..4)).map(|_| stand(rng)).collect();
            Control::Standings { is_first: rng.bool(), agents }
        }
        5 => Control::AllTold,
        6 => {
            let node = format!("n{}", rng.usize(0..300)).into();
            Control::Places(vec![Place {
                node,
                places: vec!["x".repeat(rng.usize(0..400)).into()],
            }])
        }
        _ => Control::Hello(hello((1, 1), rng.u64(..), rng.u64(..))),
    }
}

fn data_frame(rng: &mut Rng) -> Vec<u8> {
    let payload = bytes(rng, 300);
    let letter = |rng: &mut Rng| Letter {
        to: rng.u32(0..4),
        message: rng.u32(0..4),
        from: rng.bool().then(|| (rng.u32(0..4), rng.u64(..))),
        deadline: rng.bool().then(|| rng.u64(..)),
        trace: None,
        is_json: rng.bool(),
        payload: if rng.bool() { Payload::Whole(&payload) } else { Payload::Parts(rng.u32(0..4)) },
    };
    let names = ["g2/quick", "worker.work", "g1/quick", "no address at all", ""];
    match rng.u8(0..12) {
        0..=3 => frame(&Data::Name(rng.choice(&names).unwrap())),
        4 => frame(&Data::Tell(letter(rng))),
        5 => frame(&Data::Ask { correlation: rng.u64(..), letter: letter(rng) }),
        6 => frame(&Data::Reply { correlation: rng.u64(..), answer: Payload::Whole(&payload) }),
        7 => frame(&Data::Credit { to: rng.u32(0..NAMES_MAX as u32), cost: rng.u32(..) }),
        8..=9 => frame(&Data::Part { id: rng.u32(0..4), bytes: &payload }),
        10 => frame(&Data::Abandon { id: rng.u32(0..4) }),
        _ => frame(&Data::Attach { link: rng.u64(..) }),
    }
}
