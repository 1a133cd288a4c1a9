//! What a node makes of one that greets it, link by link and frame by frame.

use std::time::Duration;

use genii_protocols::Fault;
use genii_protocols::frame::{Control, Data, NEWEST, OLDEST, Refused, Stand, Standing};
use genii_protocols::wire;
use genii_runtime::cluster::Membership;
use genii_runtime::link::network::Lane;
use genii_runtime::link::simulated::Waters;

use crate::agent::write_into;
use crate::log::Log;
use crate::machine::{Machine, address};
use crate::raw::{Raw, frame, hello};
use crate::script::millis;

/// Its number, the last: it gives way when both call each other.
pub const OWN: usize = 2;

/// A node that knows of two others, both of which are what a test makes of them.
pub async fn machine(seed: u64) -> (Waters, Machine) {
    let log = Log::new();
    write_into(&log);
    let waters = Waters::new(seed, (Duration::from_micros(50), Duration::from_millis(3)));
    let machine = Machine::boot(&waters, 3, (OWN, 1), &log).await;
    (waters, machine)
}

#[tokio::test(start_paused = true)]
async fn who_speaks_no_version_of_ours_is_refused_and_told_why() {
    let (waters, machine) = machine(1).await;
    let stranger = Raw::new(&waters, 1);
    let refused = stranger.greet(OWN, hello((NEWEST + 1, NEWEST + 2), 7, 1)).await.err().unwrap();
    assert_eq!(refused, Refused::Version(OLDEST, NEWEST));
    let member = machine.cluster.members().remove(1);
    assert_ne!(member.membership, Membership::Alive);
    let why = member.why.unwrap();
    assert!(why.contains(&format!("versions {} to {}", NEWEST + 1, NEWEST + 2)), "{why}");
}

#[tokio::test(start_paused = true)]
async fn who_speaks_later_versions_too_is_linked_also_if_it_says_more() {
    let (waters, machine) = machine(2).await;
    let later = Raw::new(&waters, 1);
    let _lanes = later.greet(OWN, hello((OLDEST, NEWEST + 9), 7, 1)).await.unwrap();
    tokio::time::sleep(millis(20)).await;
    assert_eq!(machine.membership(1), Some(Membership::Alive));

    let longer = Raw::new(&waters, 0);
    let mut greeting = frame(&Control::Hello(hello((OLDEST, NEWEST + 9), 7, 2)));
    greeting.extend(b"more");
    greeting[0] += 4;
    let mut control = longer.open(OWN, Lane::Control, greeting).await.unwrap();
    assert_eq!(control.hear().await.unwrap()[0], 1, "it is welcome");
}

#[tokio::test(start_paused = true)]
async fn who_speaks_the_version_before_is_linked_and_told_nothing_new() {
    let (waters, machine) = machine(7).await;
    let (before, current) = (Raw::new(&waters, 0), Raw::new(&waters, 1));
    let mut lanes = before.greet(OWN, hello((OLDEST, NEWEST - 1), 7, 1)).await.unwrap();
    let mut lanes_of_current = current.greet(OWN, hello((OLDEST, NEWEST), 7, 1)).await.unwrap();
    let (house, patience) = (machine.house.clone(), Duration::from_millis(200));
    let draining = tokio::spawn(async move { house.drain(patience, |_| {}).await });
    let left = draining.await.unwrap();
    // Who cannot know that it is to settle is not waited for.
    assert_eq!(left.nodes, 1, "{left:?}");
    let draining = wire::encode(&Control::Draining).unwrap();
    let is_told = async |control: &mut crate::raw::End| {
        // Until the link is given up, on which nothing more is said.
        while let Some(frame) = control.hear().await {
            if frame == draining {
                return true;
            }
        }
        false
    };
    assert!(is_told(&mut lanes_of_current.0).await);
    assert!(!is_told(&mut lanes.0).await);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_before_its_data_lane_comes_leaves_its_place() {
    let (waters, machine) = machine(8).await;
    let caller = Raw::new(&waters, 1);
    let greeting = frame(&Control::Hello(hello((1, 1), 7, 1)));
    let lane = caller.open(OWN, Lane::Control, greeting).await.unwrap();
    tokio::time::sleep(millis(20)).await;
    assert_eq!(machine.cluster.figures().half_open, 1);
    drop(lane);
    tokio::time::sleep(millis(20)).await;
    assert_eq!(machine.cluster.figures().half_open, 0);
}

#[tokio::test(start_paused = true)]
async fn who_speaks_nonsense_is_dropped_and_counted() {
    let (waters, machine) = machine(6).await;
    let said = [
        (Lane::Control, (u32::MAX).to_le_bytes().to_vec()),
        (Lane::Control, frame(&Control::Hello(hello((1, 1), 7, 1)))),
        (Lane::Data, frame(&Data::Attach { link: 1 })),
        (Lane::Data, frame(&Data::Credit { to: 7, cost: 1 })),
        (Lane::Data, vec![1, 0, 0, 0, 200]),
    ];
    for (count, (lane, nonsense)) in (1..).zip(said) {
        let other = Raw::new(&waters, 1);
        let (mut control, data) = other.greet(OWN, hello((1, 1), count, count)).await.unwrap();
        match lane {
            Lane::Control => control.say(nonsense),
            Lane::Data => data.say(nonsense),
        }
        assert!(control.ends().await);
        let member = machine.cluster.members().remove(1);
        assert_eq!((member.membership, member.nonsense), (Membership::Down, count));
        assert!(member.why.unwrap().contains("nonsense"));
    }
    let figures = machine.cluster.figures();
    assert_eq!((figures.nonsense, figures.links), (5, 0), "{figures:?}");
}

fn standings(is_first: bool, agents: &[(usize, usize)]) -> Vec<u8> {
    let stand = |agent: &(usize, usize)| Stand {
        address: address(*agent).to_string().into(),
        incarnation: 1,
        standing: Standing::Ready,
        detail: "".into(),
    };
    frame(&Control::Standings { is_first, agents: agents.iter().map(stand).collect() })
}

#[tokio::test(start_paused = true)]
async fn who_is_not_told_of_when_all_are_is_gone() {
    let (waters, machine) = machine(3).await;
    let other = Raw::new(&waters, 1);
    let (control, _data) = other.greet(OWN, hello((1, 1), 7, 1)).await.unwrap();
    control.say(standings(true, &[(1, 0)]));
    control.say(standings(false, &[(1, 1), (1, 2)]));
    control.say(frame(&Control::AllTold));
    tokio::time::sleep(millis(20)).await;
    let states = || [0, 1, 2].map(|agent| machine.state(&address((1, agent))).unwrap());
    assert_eq!(states(), ["ready"; 3]);

    // Told of all anew, it stays known what was until the tale has ended.
    control.say(standings(true, &[(1, 0)]));
    tokio::time::sleep(millis(20)).await;
    assert_eq!(states(), ["ready"; 3]);
    control.say(standings(false, &[(1, 2)]));
    control.say(frame(&Control::AllTold));
    tokio::time::sleep(millis(20)).await;
    assert_eq!(states(), ["ready", "stopped", "ready"]);
    assert_eq!(machine.cluster.members().remove(1).addresses, 2);
}

#[tokio::test(start_paused = true)]
async fn who_opens_lanes_without_end_is_turned_away_and_others_are_not() {
    let (waters, machine) = machine(4).await;
    let flood = Raw::new(&waters, 1);
    let calls = (0..40).map(|_| flood.open(OWN, Lane::Data, Vec::new()));
    let calls = futures_util::future::join_all(calls);
    let other = async {
        tokio::time::sleep(millis(100)).await;
        let figures = machine.cluster.figures();
        assert_eq!((figures.greetings, figures.turned_away), (8, 32));
        Raw::new(&waters, 0).greet(OWN, hello((1, 1), 7, 1)).await.unwrap()
    };
    let (_calls, _lanes) = tokio::join!(calls, other);
    tokio::time::sleep(Duration::from_secs(3)).await;
    // Those that never said what they came for have been let go of.
    assert_eq!(machine.cluster.figures().greetings, 0);
}

#[tokio::test(start_paused = true)]
async fn who_says_nothing_on_a_lane_that_is_up_is_given_up() {
    let (waters, machine) = machine(5).await;
    let mute = Raw::new(&waters, 1);
    let _lanes = mute.greet(OWN, hello((1, 1), 7, 1)).await.unwrap();
    tokio::time::sleep(millis(20)).await;
    assert_eq!(machine.membership(1), Some(Membership::Alive));
    tokio::time::sleep(millis(1_200)).await;
    assert_eq!(machine.membership(1), Some(Membership::Down));
    let asked = machine.probe(0, &address((1, 0)), millis(500)).await;
    let is_unreachable = matches!(asked, crate::log::Outcome::Failed(Fault::Unreachable { .. }));
    assert!(is_unreachable, "{asked:?}");
}
