//! The bounds of what is held for the other end of a link: streams, watches, answers, and calls that
//! were begun.

use genii_protocols::frame::{CREDIT_MAX, Control, Data, ITEM_COST_MIN, Payload, Stand, Standing};
use genii_protocols::{AskError, Fault, wire};
use genii_runtime::cluster::Membership;
use genii_runtime::link::network::Lane;

use super::{HOSTILE, Three, frame, letter, many, names, work};
use crate::greeting::{OWN, machine};
use crate::machine::{address, extra};
use crate::raw::{Raw, hello};
use crate::script::millis;
use crate::streams::Count;

/// How many streams of one link may be under way in one direction.
const STREAMS_MAX: u64 = 1 << 16;

/// How many lives here the other end of a link may watch.
const WATCHES_MAX: u64 = 1 << 16;

/// How many agents are asked for them, all of which have something else to do, and how many of each:
/// as many as its credit bears.
const BUSY: usize = 17;
const STREAMS_OF_ONE: u64 = CREDIT_MAX as u64 - 1;

/// How many bytes may wait on a lane whatever they are.
const ALWAYS_MAX_LEN: usize = 16 << 20;

/// How many bytes are on their way on a lane that nobody reads, at most.
const ON_THE_WAY_MAX_LEN: usize = 1 << 20;

/// How many callers may be welcomed whose data lanes have not come, and how many of one node.
const HALF_OPEN_MAX: usize = 64;
const GREETINGS_OF_ONE_MAX: usize = 8;

fn said(frame: &[u8]) -> Data<'_> {
    wire::decode_first(frame).unwrap().0
}

#[tokio::test(start_paused = true)]
async fn items_beyond_the_credit_of_their_stream_end_the_link() {
    let mut three = Three::meet().await;
    let listed = Stand {
        address: "g0/quick".into(),
        incarnation: 1,
        standing: Standing::Ready,
        detail: "".into(),
    };
    let told = Control::Standings { is_first: true, agents: vec![listed] };
    three.hostile.say(Lane::Control, &frame(&told));
    three.hostile.settle().await;
    let count = Count { id: 1, of: 0, gap_millis: 0, stays: true };
    let mail = three.machine.node.to(address((HOSTILE, 0)));
    // One who takes nothing.
    let mut answers = mail.stream(count).await.unwrap();
    let heard = three.hostile.hears().await;
    let correlation = heard.iter().find_map(|frame| match said(frame) {
        Data::Stream { correlation, .. } => Some(correlation),
        _ => None,
    });
    let correlation = correlation.expect("it is asked");
    let number = wire::encode(&5_u64).unwrap();
    let item = frame(&Data::Item { correlation, item: Payload::Whole(&number) });
    let all = (CREDIT_MAX / ITEM_COST_MIN) as usize;
    three.hostile.say(Lane::Data, &many(all, |_| item.clone()));
    three.bears_with_it("items").await;
    three.hostile.say(Lane::Data, &item);
    three.drops_it("items", "a stream goes beyond its credit", 1).await;
    // What was within the bound came, and how it ended is told.
    let mut came = 0;
    while answers.next().await.is_some() {
        came += 1;
    }
    assert_eq!(came, all);
    let end = answers.finish().await.unwrap_err();
    assert!(
        matches!(&end, AskError::Fault(f) if matches!(**f, Fault::Unreachable { .. })),
        "{end}"
    );
}

#[tokio::test(start_paused = true)]
async fn one_stream_too_many_is_refused_and_those_before_go_on() {
    let mut three = Three::meet().await;
    three.machine.follow(BUSY).await.unwrap();
    three.hostile.say(Lane::Data, &names(&["worker.work", "worker.count"]));
    let busy = |stream: u64| 2 + u32::try_from(stream / STREAMS_OF_ONE).unwrap();
    let stream = |correlation: u64| {
        let count = Count { id: correlation, of: 0, gap_millis: 0, stays: true };
        let count = wire::encode(&count).unwrap();
        let letter = letter(busy(correlation), 1, false, &count);
        frame(&Data::Stream { correlation, letter })
    };
    let occupied = wire::encode(&work(0)).unwrap();
    for number in 0..BUSY {
        let to = 2 + u32::try_from(number).unwrap();
        three.hostile.say(Lane::Data, &names(&[&extra(OWN, number).to_string()]));
        let work = Data::Tell(letter(to, 0, false, &occupied));
        three.hostile.say(Lane::Data, &frame(&work));
    }
    let all = usize::try_from(STREAMS_MAX).unwrap();
    three.hostile.say(Lane::Data, &many(all, |number| stream(number as u64)));
    three.bears_with_it("streams").await;
    let refused = async |three: &mut Three| {
        let heard = three.hostile.hears().await;
        let refused = heard.iter().filter_map(|frame| match said(frame) {
            Data::Failed { correlation, fault } => Some((correlation, fault.to_string())),
            _ => None,
        });
        refused.collect::<Vec<_>>()
    };
    assert_eq!(refused(&mut three).await, []);
    three.hostile.say(Lane::Data, &stream(STREAMS_MAX));
    let told = refused(&mut three).await;
    assert!(matches!(&told[..], [(STREAMS_MAX, why)] if why.contains("overloaded")), "{told:?}");
    // One that is wanted no more makes room.
    three.hostile.say(Lane::Data, &frame(&Data::Forget { correlation: 0 }));
    three.hostile.say(Lane::Data, &stream(STREAMS_MAX + 1));
    assert_eq!(refused(&mut three).await, []);
    three.bears_with_it("streams").await;
}

#[tokio::test(start_paused = true)]
async fn one_watch_too_many_is_refused_and_those_before_stay() {
    let mut three = Three::meet().await;
    three.hostile.say(Lane::Data, &names(&["g2/quick"]));
    let watch = |watch: u64| frame(&Data::Watch { watch, to: 0, from: None });
    let ended = async |three: &mut Three| {
        let heard = three.hostile.hears().await;
        let ended = heard.iter().filter_map(|frame| match said(frame) {
            Data::Ended { watch, cause, .. } => Some((watch, cause.message)),
            _ => None,
        });
        ended.collect::<Vec<_>>()
    };
    three.hostile.say(Lane::Data, &(0..WATCHES_MAX).flat_map(watch).collect::<Vec<_>>());
    assert_eq!(ended(&mut three).await, []);
    three.bears_with_it("watches").await;
    three.hostile.say(Lane::Data, &watch(WATCHES_MAX));
    let why = "its node is watched too often".to_owned();
    assert_eq!(ended(&mut three).await, [(WATCHES_MAX, why)]);
    // One that is ended makes room.
    three.hostile.say(Lane::Data, &frame(&Data::Unwatch { watch: 0 }));
    three.hostile.say(Lane::Data, &watch(WATCHES_MAX + 1));
    assert_eq!(ended(&mut three).await, []);
    three.bears_with_it("watches").await;
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_ever_more_and_takes_nothing_of_it_is_given_up() {
    let mut three = Three::meet().await;
    three.hostile.say(Lane::Data, &names(&["g2/quick", "worker.work"]));
    let id = "x".repeat(3_000);
    let malformed = serde_json::to_vec(&serde_json::json!({ "id": id })).unwrap();
    // Each is refused, by what is longer than the text in it.
    let ask =
        |correlation| frame(&Data::Ask { correlation, letter: letter(0, 1, true, &malformed) });
    let asks = |from: usize, len: usize| {
        let count = len / id.len();
        (from..from + count).flat_map(|number| ask(number as u64)).collect::<Vec<_>>()
    };
    let within = ALWAYS_MAX_LEN / 8 * 7;
    three.hostile.say(Lane::Data, &asks(0, within));
    three.bears_with_it("answers").await;
    let beyond = ALWAYS_MAX_LEN - within + 2 * ON_THE_WAY_MAX_LEN;
    three.hostile.say(Lane::Data, &asks(10_000, beyond));
    // Those that take no more than they ask for are no nonsense, and so this may be none.
    three.drops_it("answers", "it does not take what it asks for", 0).await;
}

#[tokio::test(start_paused = true)]
async fn calls_that_are_begun_and_not_gone_on_with_take_only_so_many_places() {
    let (waters, machine) = machine(1).await;
    let mut link = 0;
    let mut begun = Vec::new();
    for node in 0..HALF_OPEN_MAX / GREETINGS_OF_ONE_MAX {
        let raw = Raw::new(&waters, 10 + node);
        for _ in 0..GREETINGS_OF_ONE_MAX {
            link += 1;
            let greeting = frame(&Control::Hello(hello((1, 1), 7, link)));
            begun.push(raw.open(OWN, Lane::Control, greeting).await.expect("it is welcome"));
        }
    }
    let figures = machine.cluster.figures();
    assert_eq!((figures.half_open, figures.turned_away), (HALF_OPEN_MAX, 0), "{figures:?}");
    let late = Raw::new(&waters, 1);
    let greeting = frame(&Control::Hello(hello((1, 1), 7, 1)));
    assert!(late.open(OWN, Lane::Control, greeting).await.is_none(), "there is no place");
    let figures = machine.cluster.figures();
    assert_eq!((figures.half_open, figures.turned_away), (HALF_OPEN_MAX, 1), "{figures:?}");
    // One that goes leaves its place.
    begun.pop();
    tokio::time::sleep(millis(20)).await;
    let _lanes = late.greet(OWN, hello((1, 1), 7, 2)).await.unwrap();
    tokio::time::sleep(millis(20)).await;
    assert_eq!(machine.membership(1), Some(Membership::Alive));
}
