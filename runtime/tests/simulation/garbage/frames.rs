//! Frames of every kind, that make sense or none.

use std::borrow::Cow;

use fastrand::Rng;
use genii_protocols::frame::{
    Control, Data, Joined, Letter, NAMES_MAX, Payload, Place, Publication, Refused, Stand,
    Standing, Told, Wanted,
};
use genii_protocols::{Cause, CauseKind, Destination, Fault, Rejection};

use super::{HOSTILE, bytes};
use crate::machine::{address, name};
use crate::raw::{frame, hello};

/// One frame in so many takes its leave. What is said after that is not heeded.
const STAYS_TO_LEAVES: u8 = 40;

/// What has a number. The first make sense.
const TEXTS: [&str; 6] =
    ["g2/quick", "worker.work", "worker.count", "g0/quick", "no address at all", ""];

/// How many numbers of names and of parts are used.
const NUMBERS: u32 = 4;

/// One thing in so many ends the link by itself, so that most of what is said is heeded.
const SENSE_TO_NONSENSE: u8 = 20;

fn makes_no_sense(rng: &mut Rng) -> bool {
    rng.u8(0..SENSE_TO_NONSENSE) == 0
}

/// One of these, or now and then the one that makes no sense.
fn one_of<T: Copy>(rng: &mut Rng, sense: &[T], nonsense: T) -> T {
    if makes_no_sense(rng) { nonsense } else { *rng.choice(sense).unwrap() }
}

/// The number of an address, as a rule.
fn address_number(rng: &mut Rng) -> u32 {
    let any = rng.u32(0..NUMBERS + 2);
    one_of(rng, &[0, 3], any)
}

/// An agent with its life, or none.
fn sender(rng: &mut Rng) -> Option<(u32, u64)> {
    rng.bool().then(|| (address_number(rng), rng.u64(..)))
}

/// The numbers of the first two questions on a link, and one that may be nobody's.
fn correlation(rng: &mut Rng) -> u64 {
    let (near, any) = (rng.u64(0..9), rng.u64(..));
    *rng.choice(&[0, (1 << 28) | 1, near, any]).unwrap()
}

/// One agent of it takes messages, so that it can be asked.
pub fn listed() -> Control<'static> {
    let stand = Stand {
        address: address((HOSTILE, 0)).to_string().into(),
        incarnation: 1,
        standing: Standing::Ready,
        detail: "".into(),
    };
    Control::Standings { is_first: true, agents: vec![stand] }
}

pub fn control_frame(rng: &mut Rng) -> Control<'static> {
    if rng.u8(0..STAYS_TO_LEAVES) == 0 {
        return Control::Goodbye;
    }
    match rng.u8(0..20) {
        0 => Control::Ping(rng.u64(..)),
        1 => Control::Pong(rng.u64(..)),
        2..=4 => Control::Standings { is_first: rng.bool(), agents: several(rng, stand) },
        5 => Control::AllTold,
        6 => Control::Places(several(rng, place)),
        7..=9 => Control::Groups { told: told(rng), members: several(rng, joined) },
        10..=12 => Control::Patterns { told: told(rng), patterns: several(rng, wanted) },
        13..=14 => Control::Expulsions(rng.u64(..)),
        15 => Control::Expelled(b"no list"),
        16..=18 => Control::Draining,
        _ => greeting(rng),
    }
}

/// What has its place when a link begins, and none later.
fn greeting(rng: &mut Rng) -> Control<'static> {
    let hello = hello((1, 1), rng.u64(..), rng.u64(..));
    match rng.u8(0..3) {
        0 => Control::Hello(hello),
        1 => Control::Welcome(hello),
        _ => Control::Refused(refused(rng)),
    }
}

fn several<T>(rng: &mut Rng, one: impl Fn(&mut Rng) -> T) -> Vec<T> {
    (0..rng.usize(0..4)).map(|_| one(rng)).collect()
}

fn stand(rng: &mut Rng) -> Stand<'static> {
    Stand {
        address: agent(rng),
        incarnation: rng.u64(..),
        standing: *rng.choice(&[Standing::Ready, Standing::Gone, Standing::Down]).unwrap(),
        detail: "x".repeat(rng.usize(0..2_000)).into(),
    }
}

/// An agent, some of them of others.
fn agent(rng: &mut Rng) -> Cow<'static, str> {
    address((rng.usize(0..3), rng.usize(0..3))).to_string().into()
}

fn place(rng: &mut Rng) -> Place<'static> {
    let node = format!("n{}", rng.usize(0..300)).into();
    Place { node, places: vec!["x".repeat(rng.usize(0..400)).into()] }
}

fn told(rng: &mut Rng) -> Told {
    let round = rng.u64(0..3);
    *rng.choice(&[Told::First(round), Told::News, Told::Last(round)]).unwrap()
}

fn joined(rng: &mut Rng) -> Joined<'static> {
    Joined {
        group: one_of(rng, &["listeners", "others"], "no group").into(),
        address: agent(rng),
        incarnation: rng.u64(0..3),
        times: *rng.choice(&[0, 1, u32::MAX]).unwrap(),
    }
}

fn wanted(rng: &mut Rng) -> Wanted<'static> {
    Wanted {
        pattern: one_of(rng, &["news.*", "news.**", "**"], "a..b").into(),
        subscribers: *rng.choice(&[0, 1, u32::MAX]).unwrap(),
    }
}

fn refused(rng: &mut Rng) -> Refused {
    let ended = Refused::Ended(rng.u64(..));
    *rng.choice(&[Refused::Version(7, 9), ended, Refused::Crossed, Refused::Leaving]).unwrap()
}

/// What makes sense of much that comes after it: names, and things in parts.
pub fn preface() -> Vec<u8> {
    let names = TEXTS[..NUMBERS as usize].iter().map(|text| frame(&Data::Name(text)));
    let parts = (0..NUMBERS).map(|id| frame(&Data::Part { id, bytes: b"{}" }));
    names.chain(parts).collect::<Vec<_>>().concat()
}

pub fn data_frame(rng: &mut Rng) -> Vec<u8> {
    let said = said(rng);
    let (correlation, watch, cost) = (correlation(rng), rng.u64(0..4), rng.u32(..));
    let is_abnormal = rng.bool();
    match rng.u8(0..34) {
        0..=7 => frame(&Data::Name(rng.choice(&TEXTS).unwrap())),
        8 => frame(&Data::Tell(letter(rng, &said))),
        9 => frame(&Data::Ask { correlation, letter: letter(rng, &said) }),
        10 => frame(&Data::Reply { correlation, answer: payload(rng, &said) }),
        11 => {
            let any = rng.u32(0..NAMES_MAX as u32);
            frame(&Data::Credit { to: one_of(rng, &[0], any), cost })
        }
        12..=13 => frame(&Data::Part { id: rng.u32(0..NUMBERS), bytes: &said }),
        14 => frame(&Data::Abandon { id: rng.u32(0..NUMBERS) }),
        15 => frame(&Data::Attach { link: rng.u64(..) }),
        16..=17 => frame(&Data::Stream { correlation, letter: letter(rng, &said) }),
        18..=19 => frame(&Data::Item { correlation, item: payload(rng, &said) }),
        20 => frame(&Data::More { correlation, cost }),
        21 => frame(&Data::Forget { correlation }),
        22..=23 => {
            let from = sender(rng);
            frame(&Data::Watch { watch, to: address_number(rng), from })
        }
        24 => frame(&Data::Unwatch { watch }),
        25 => {
            let (incarnation, cause) = (rng.u64(..), cause(rng));
            frame(&Data::Ended { watch, incarnation, cause, is_abnormal })
        }
        26 => frame(&Data::Broke { watch, cause: cause(rng), is_abnormal }),
        27..=28 => frame(&Data::Published(Publication {
            topic: one_of(rng, &["news.n0", "other"], "no..topic"),
            from: sender(rng),
            trace: None,
            payload: payload(rng, &said),
        })),
        29 => frame(&Data::Distributed { cost }),
        30..=31 => frame(&Data::Run { correlation, command: payload(rng, &said) }),
        32 => frame(&Data::Failed { correlation, fault: Box::new(fault(rng)) }),
        _ => frame(&Data::Settled),
    }
}

/// What goes in place of a message: bytes, or JSON text.
fn said(rng: &mut Rng) -> Vec<u8> {
    let texts = ["{}", "7", "{\"id\":1,\"takes_millis\":1,\"fill\":\"\"}"];
    let text = rng.choice(&texts).unwrap().as_bytes().to_vec();
    if makes_no_sense(rng) { bytes(rng, 300) } else { text }
}

fn payload<'a>(rng: &mut Rng, said: &'a [u8]) -> Payload<'a> {
    if makes_no_sense(rng) { Payload::Parts(rng.u32(0..NUMBERS)) } else { Payload::Whole(said) }
}

fn letter<'a>(rng: &mut Rng, said: &'a [u8]) -> Letter<'a> {
    Letter {
        to: address_number(rng),
        message: rng.u32(0..NUMBERS),
        from: sender(rng),
        deadline: rng.bool().then(|| rng.u64(..)),
        trace: None,
        is_json: rng.bool(),
        payload: payload(rng, said),
    }
}

fn cause(rng: &mut Rng) -> Box<Cause> {
    let kind = *rng.choice(&[CauseKind::Panic, CauseKind::Stopped]).unwrap();
    Box::new(Cause::new(kind, "x".repeat(rng.usize(0..2_000))))
}

fn fault(rng: &mut Rng) -> Fault {
    let to = Destination::from(address((HOSTILE, 0)));
    let faults = [
        Fault::Overloaded { to: to.clone(), capacity: rng.usize(..) },
        Fault::Unreachable { to: to.clone(), node: name(1) },
        Fault::Down { to: to.clone(), cause: *cause(rng) },
        Fault::NotFound { to: to.clone(), nearest: Some(to.clone()) },
        Fault::Rejected { to, message: "x".repeat(99), reason: Rejection::Unanswered },
    ];
    rng.choice(&faults).unwrap().clone()
}
