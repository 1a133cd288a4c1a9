//! The bounds at which a link is ended.

use genii_protocols::frame::{
    CREDIT_MAX, Control, Data, NAME_MAX_LEN, NAMES_MAX, PARTS_MAX_LEN, PAYLOAD_MAX_LEN, Stand,
    Standing,
};
use genii_protocols::wire::MESSAGE_MAX_LEN;
use genii_runtime::link::network::Lane;

use super::{Three, brief, frame, letter, many, names, work};
use crate::machine::ADDRESSES_MAX;

/// How many things may come in parts at a time.
const IN_PARTS_MAX: usize = 4_096;

/// The largest frame, in bytes.
const FRAME_MAX_LEN: usize = 256 << 10;

/// What a part takes in a frame besides its bytes, when it is as large as a frame can be.
const AROUND_PART_LEN: usize = 7;

/// How many addresses are told of at once.
const ADDRESSES_IN_FRAME: usize = 100;

/// How much a large message takes of the credit of its receiver, and of how many bytes it is then.
const LARGE_COST: usize = 256;
const LARGE_LEN: usize = (LARGE_COST - 1) * 256 + 50;

/// One bound.
struct Row {
    /// Of what there is too much.
    what: &'static str,
    lane: Lane,
    /// As much as may be.
    within: fn() -> Vec<u8>,
    /// The least that is too much.
    beyond: fn() -> Vec<u8>,
    /// What is told of it.
    why: &'static str,
}

const ROWS: [Row; 9] = [
    Row {
        what: "small messages to one receiver",
        lane: Lane::Data,
        within: || [to_the_slow(), many(CREDIT_MAX as usize, |_| brief())].concat(),
        beyond: brief,
        why: "beyond its credit",
    },
    Row {
        what: "large messages to one receiver",
        lane: Lane::Data,
        within: || [to_the_slow(), many(CREDIT_MAX as usize / LARGE_COST, |_| large())].concat(),
        beyond: large,
        why: "beyond its credit",
    },
    Row {
        what: "things in parts at a time",
        lane: Lane::Data,
        // One that has begun goes on.
        within: || [many(IN_PARTS_MAX, |id| part(id, 1)), part(0, 1)].concat(),
        beyond: || part(IN_PARTS_MAX, 1),
        why: "too many parts",
    },
    Row {
        what: "one thing in parts",
        lane: Lane::Data,
        within: || whole_in_parts(0),
        beyond: || part(0, 1),
        why: "its parts are too large",
    },
    Row {
        what: "all that is in parts",
        lane: Lane::Data,
        // What was given up counts no more.
        within: || {
            let all = many(PARTS_MAX_LEN / MESSAGE_MAX_LEN, whole_in_parts);
            let another = whole_in_parts(7);
            [all, frame(&Data::Abandon { id: 0 }), another].concat()
        },
        beyond: || part(9, 1),
        why: "its parts are too large",
    },
    Row {
        what: "names",
        lane: Lane::Data,
        within: || many(NAMES_MAX, |_| names(&[""])),
        beyond: || names(&[""]),
        why: "more than 262144 names",
    },
    Row {
        what: "one name",
        lane: Lane::Data,
        within: || names(&[&"x".repeat(NAME_MAX_LEN)]),
        beyond: || names(&[&"x".repeat(NAME_MAX_LEN + 1)]),
        why: "a name of 257 bytes",
    },
    Row {
        what: "one frame",
        lane: Lane::Data,
        within: || part(0, FRAME_MAX_LEN - AROUND_PART_LEN),
        beyond: || part(0, FRAME_MAX_LEN - AROUND_PART_LEN + 1),
        why: "a frame of 262145 bytes",
    },
    Row {
        what: "addresses",
        lane: Lane::Control,
        within: || {
            let tell = |number| addresses(number * ADDRESSES_IN_FRAME, ADDRESSES_IN_FRAME);
            // Told again, they are no more than they were.
            [many(ADDRESSES_MAX / ADDRESSES_IN_FRAME, tell), addresses(0, 1)].concat()
        },
        beyond: || addresses(ADDRESSES_MAX, 1),
        why: "more than 1000 addresses",
    },
];

/// Gives numbers to the slow agent and to its work.
fn to_the_slow() -> Vec<u8> {
    names(&["g2/slow", "worker.work"])
}

/// A large message.
fn large() -> Vec<u8> {
    let work = serde_json::to_vec(&work(LARGE_LEN - 50)).unwrap();
    frame(&Data::Tell(letter(0, 1, true, &work)))
}

fn part(id: usize, len: usize) -> Vec<u8> {
    frame(&Data::Part { id: u32::try_from(id).unwrap(), bytes: &vec![0; len] })
}

/// The largest thing that may come in parts.
fn whole_in_parts(id: usize) -> Vec<u8> {
    many(MESSAGE_MAX_LEN / PAYLOAD_MAX_LEN, |_| part(id, PAYLOAD_MAX_LEN))
}

/// Tells of so many addresses, from this number on.
fn addresses(from: usize, count: usize) -> Vec<u8> {
    let stand = |number| Stand {
        address: format!("h/{number}").into(),
        incarnation: 1,
        standing: Standing::Ready,
        detail: "".into(),
    };
    let agents = (from..from + count).map(stand).collect();
    frame(&Control::Standings { is_first: false, agents })
}

#[tokio::test(start_paused = true)]
async fn who_goes_beyond_a_bound_is_dropped_and_counted_and_nobody_else_is() {
    for Row { what, lane, within, beyond, why } in ROWS {
        let mut three = Three::meet().await;
        three.hostile.say(lane, &within());
        three.bears_with_it(what).await;
        three.hostile.say(lane, &beyond());
        three.drops_it(what, why, 1).await;
    }
}
