//! What is known of what was sent when a link is lost, and how agents of other nodes are.

use genii_runtime::{Health, Unheard};

use super::*;

/// The messages for an agent of whose handling nothing is known.
fn unknown(machine: &Machine, to: &str) -> Vec<String> {
    let letters = machine.node.dead_letters().tail(10).into_iter();
    let to = letters.filter(|letter| letter.to.address == address(to));
    to.map(|letter| letter.message.to_string()).collect()
}

async fn until_gone(main: &Machine, membership: Membership) {
    until("it is gone", || main.membership("pc2") == membership).await;
}

#[tokio::test(start_paused = true)]
async fn what_was_answered_is_no_dead_letter_when_a_node_leaves() {
    let (_waters, main, pc2) = two(70).await;
    for number in 0..5 {
        main.echo("there/power", "hi").await.unwrap();
        main.node.to(address("there/power")).tell(Note { number }).await.unwrap();
    }
    main.echo("there/power", "hi").await.unwrap();
    pc2.cluster.leave().await;
    until_gone(&main, Membership::Left).await;
    assert_eq!(unknown(&main, "there/power"), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn what_was_handled_some_time_ago_is_no_dead_letter_when_a_node_crashes() {
    let (waters, main, pc2) = two(71).await;
    for number in 0..5 {
        main.node.to(address("there/power")).tell(Note { number }).await.unwrap();
    }
    main.echo("there/power", "hi").await.unwrap();
    // Others were asked alone, and one of them is at work when it happens.
    main.echo("there/printer", "hi").await.unwrap();
    let late = main.node.to(address("there/printer"));
    let late = tokio::spawn(async move { late.ask(Dawdle { millis: 5_000 }).await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    pc2.crash(&waters);
    until_gone(&main, Membership::Down).await;
    assert_eq!(unknown(&main, "there/power"), [""; 0]);
    assert_eq!(unknown(&main, "there/printer"), [""; 0]);
    let late = late.await.unwrap().unwrap_err();
    assert!(matches!(late.fault(), Some(Fault::Unreachable { .. })), "{late}");
}

#[tokio::test(start_paused = true)]
async fn what_was_told_and_not_handled_is_a_dead_letter_when_a_node_crashes() {
    let (waters, main, pc2) = two(72).await;
    let power = main.node.to(address("there/power"));
    power.ask(Notes {}).await.unwrap();
    power.tell(Dawdle { millis: 60_000 }).await.unwrap();
    power.tell(Note { number: 1 }).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    pc2.crash(&waters);
    until_gone(&main, Membership::Down).await;
    let told = unknown(&main, "there/power");
    assert_eq!(told.len(), 1);
    assert!(told[0].contains("up to 2 messages"), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn what_was_told_and_may_be_lost_is_a_dead_letter() {
    let (waters, main, pc2) = two(11).await;
    waters.cut(&name("main"), &name("pc2"));
    for number in 0..10 {
        main.node.to(address("there/power")).tell(Note { number }).await.unwrap();
    }
    until("it is down", || main.membership("pc2") == Membership::Down).await;
    let told = unknown(&main, "there/power");
    assert!(told.first().is_some_and(|first| first.contains("up to 10 messages")), "{told:?}");
    waters.heal(&name("main"), &name("pc2"));
    until("it is back", || main.state("there/power") == "ready").await;
    // What belonged to the life before is heard no more.
    assert_eq!(main.node.to(address("there/power")).ask(Notes {}).await.unwrap(), [0; 0]);
    drop(pc2);
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_room_does_not_outlive_its_link_and_so_keeps_its_order() {
    let (waters, main, pc2) = two(15).await;
    let to = main.node.to(address("there/printer"));
    to.tell(Dawdle { millis: 2_000 }).await.unwrap();
    // More than finds room in its mailbox.
    for number in 0..1_020 {
        to.tell(Note { number }).await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    waters.reset(&name("main"), &name("pc2"), Lane::Data);
    until("it is down", || main.membership("pc2") == Membership::Down).await;
    until("it is back", || main.state("there/printer") == "ready").await;
    for number in 2_000..2_010 {
        to.tell(Note { number }).await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    let notes = to.ask(Notes {}).await.unwrap();
    assert!(notes.is_sorted(), "{:?}", &notes[990..]);
    assert_eq!(notes[notes.len() - 10..], (2_000..2_010).collect::<Vec<_>>());
    // What was given up is told of, where it waited as where it came from.
    let lost = 1_020 - (notes.len() as u64 - 10);
    assert!(lost > 0);
    assert_eq!(pc2.node.dead_letters().total(), lost);
}

#[tokio::test(start_paused = true)]
async fn what_a_node_says_before_it_leaves_is_heard() {
    for seed in 0..20 {
        let (_waters, main, pc2) = two(20 + seed).await;
        let to = pc2.node.to(address("here/lamp"));
        for number in 0..500 {
            to.tell(Note { number }).await.unwrap();
        }
        pc2.cluster.leave().await;
        let notes = main.node.to(address("here/lamp")).ask(Notes {}).await.unwrap();
        assert_eq!(notes, (0..500).collect::<Vec<_>>());
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_node_that_leaves_could_not_say_is_a_dead_letter() {
    let (waters, main, pc2) = two(41).await;
    waters.cut(&name("main"), &name("pc2"));
    pc2.node.to(address("here/lamp")).tell(Note { number: 1 }).await.unwrap();
    pc2.cluster.leave().await;
    let told = unknown(&pc2, "here/lamp");
    assert!(told.first().is_some_and(|first| first.contains("up to 1 messages")), "{told:?}");
    drop(main);
}

#[tokio::test(start_paused = true)]
async fn what_was_told_on_links_that_a_node_ends_itself_is_a_dead_letter() {
    let (waters, main, pc2) = two(42).await;
    waters.cut(&name("main"), &name("pc2"));
    pc2.node.to(address("here/lamp")).tell(Note { number: 1 }).await.unwrap();
    pc2.cluster.end();
    pc2.cluster.end();
    let told = unknown(&pc2, "here/lamp");
    assert!(matches!(&told[..], [one] if one.contains("up to 1 messages")), "{told:?}");
    drop(main);
}

#[tokio::test(start_paused = true)]
async fn an_agent_of_another_node_says_how_it_is() {
    let (waters, main, pc2) = two(73).await;
    let power = address("there/power");
    let patience = Duration::from_secs(1);
    assert_eq!(main.node.health(&power, patience).await, Ok(Health::Well));
    main.node.to(power.clone()).tell(Dawdle { millis: 10_000 }).await.unwrap();
    main.echo("there/printer", "hi").await.unwrap();
    let busy = main.node.health(&power, patience).await;
    let Err(Unheard::Busy { with: Some((message, _)), .. }) = busy else { panic!("{busy:?}") };
    assert_eq!(message, "worker.dawdle");
    pc2.house.stop("there/power").await.unwrap();
    assert_eq!(main.node.health(&power, patience).await, Err(Unheard::NotRunning));
    pc2.crash(&waters);
    until_gone(&main, Membership::Down).await;
    let gone = main.node.health(&power, patience).await;
    assert!(matches!(gone, Err(Unheard::Away { .. })), "{gone:?}");
}
