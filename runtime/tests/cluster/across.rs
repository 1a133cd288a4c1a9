//! Streams, monitors and links between agents of different machines.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::{StreamExt, stream};
use serde_json::json;
use tokio_stream::wrappers::ReceiverStream;

use super::*;

fn count_to(last: u64) -> CountTo {
    CountTo { last }
}

#[tokio::test(start_paused = true)]
async fn a_stream_from_another_node_brings_its_items_in_order_and_then_its_reply() {
    let (_waters, main, _pc2) = two(30).await;
    let to = main.node.to(address("there/power"));
    let mut answers = to.stream(count_to(1_000)).await.unwrap();
    for number in 1..=1_000 {
        assert_eq!(answers.next().await, Some(number));
    }
    assert_eq!(answers.next().await, None);
    assert_eq!(answers.finish().await.unwrap(), 1_000);
    let refused = to.stream(count_to(13)).await.unwrap().finish().await.unwrap_err();
    assert_eq!(refused, AskError::Refused(WontSay { word: "13".to_owned() }));
}

#[tokio::test(start_paused = true)]
async fn a_stream_in_json_is_the_same_stream_on_another_node() {
    let (_waters, main, _pc2) = two(31).await;
    let to = main.node.to(address("there/power"));
    let content = Json(serde_json::json!({ "last": 3 }));
    let mut answers = to.stream_json("worker.count_to", &content, PATIENCE).await.unwrap();
    let mut items = Vec::new();
    let end = loop {
        match answers.next().await {
            JsonNext::Item(item) => items.push(item.0),
            JsonNext::End(end) => break end,
        }
    };
    assert_eq!((items, end.unwrap().0), (vec![1.into(), 2.into(), 3.into()], 3.into()));
    let asked = to.ask_json("worker.count_to", &content, PATIENCE).await.unwrap_err();
    assert!(asked.to_string().contains("a stream"), "{asked}");
    let mut wrong = to.stream_json("worker.notes", &Json::default(), PATIENCE).await.unwrap();
    let JsonNext::End(Err(wrong)) = wrong.next().await else {
        panic!("it streams what it does not")
    };
    assert!(wrong.to_string().contains("an ask or a tell"), "{wrong}");
}

#[tokio::test(start_paused = true)]
async fn who_sends_a_stream_waits_for_a_slow_asker_elsewhere_and_stops_when_it_goes() {
    let (_waters, main, pc2) = two(32).await;
    let to = main.node.to(address("there/power"));
    let mut answers = to.stream(count_to(1_000_000)).await.unwrap();
    for number in 1..=10 {
        assert_eq!(answers.next().await, Some(number));
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let sent = SENT.with(Cell::get);
    assert!((10..=200).contains(&sent), "{sent} were sent to one who takes 10");
    // It holds up nobody else, not even on the same lane.
    assert_eq!(main.echo("there/printer", "hi").await.unwrap(), "there/printer@pc2: hi");
    drop(answers);
    until("the agent has stopped for want of an asker", || {
        pc2.house.member("there/power").unwrap().view.status.word() == "ready"
            && GONE.with(Cell::get)
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn large_items_of_a_stream_travel_in_parts() {
    let (_waters, main, _pc2) = two(33).await;
    let to = main.node.to(address("there/power"));
    let mut answers = to.stream(Repeat { len: 3 << 20, times: 4 }).await.unwrap();
    for _ in 0..4 {
        assert_eq!(answers.next().await.unwrap().len(), 3 << 20);
    }
    answers.finish().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_with_its_agent_or_its_node() {
    let (waters, main, pc2) = two(34).await;
    let to = main.node.to(address("there/power"));
    let mut answers = to.stream(count_to(666)).await.unwrap();
    while answers.next().await.is_some() {}
    let crashed = answers.finish().await.unwrap_err();
    let Some(Fault::Down { cause, .. }) = crashed.fault() else { panic!("{crashed}") };
    assert!(cause.message.contains("the number of the beast"), "{cause}");

    let mut answers =
        main.node.to(address("there/printer")).stream(count_to(1_000_000)).await.unwrap();
    assert_eq!(answers.next().await, Some(1));
    pc2.crash(&waters);
    let began = Instant::now();
    let lost = answers.finish().await.unwrap_err();
    assert!(matches!(lost.fault(), Some(Fault::Unreachable { .. })), "{lost}");
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

/// What a watcher has been told.
async fn told(main: &Machine) -> Vec<String> {
    main.node.to(address("here/lamp")).ask(Told {}).await.unwrap()
}

async fn watch(main: &Machine, whom: &str, is_link: bool) {
    let watch = Watch { whom: whom.to_owned(), is_link };
    main.node.to(address("here/lamp")).ask(watch).await.unwrap();
}

async fn told_so(main: &Machine, count: usize) -> Vec<String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let told = told(main).await;
        if told.len() >= count {
            return told;
        }
        assert!(Instant::now() < deadline, "it was told only {told:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_monitor_brings_the_true_end_of_a_life_on_another_node() {
    let (waters, main, pc2) = two(35).await;
    watch(&main, "there/power", false).await;
    main.node.to(address("there/power")).tell(Crash {}).await.unwrap();
    let first = told_so(&main, 1).await;
    assert!(first[0].starts_with("there/power abnormal it panicked"), "{first:?}");
    assert!(first[0].contains("as it was told"), "{first:?}");

    watch(&main, "there/nobody", false).await;
    let second = told_so(&main, 2).await;
    assert!(second[1].contains("there is no such life"), "{second:?}");

    until("it is there again", || pc2.state("there/power") == "ready").await;
    watch(&main, "there/power", false).await;
    // What comes later on the same lane tells that the other end knows of it.
    main.echo("there/power", "hi").await.unwrap();
    pc2.house.stop("there/power").await.unwrap();
    let third = told_so(&main, 3).await;
    assert!(third[2].starts_with("there/power normal"), "{third:?}");

    watch(&main, "there/printer", false).await;
    pc2.crash(&waters);
    let fourth = told_so(&main, 4).await;
    assert!(fourth[3].contains("its node pc2 cannot be reached"), "{fourth:?}");
    watch(&main, "there/printer", false).await;
    let fifth = told_so(&main, 5).await;
    assert!(fifth[4].contains("its node pc2 cannot be reached"), "{fifth:?}");
}

/// Each end of a link numbers its watches from the same number.
#[tokio::test(start_paused = true)]
async fn of_two_that_watch_each_other_each_is_told_of_the_end_of_the_other() {
    let (_waters, main, pc2) = two(38).await;
    watch(&main, "there/power", false).await;
    let back = Watch { whom: "here/lamp".to_owned(), is_link: false };
    pc2.node.to(address("there/power")).ask(back).await.unwrap();
    // What comes later on the same lanes tells that both ends know of it.
    main.echo("there/power", "hi").await.unwrap();
    pc2.echo("here/lamp", "hi").await.unwrap();
    main.node.to(address("there/power")).ask(Crash {}).await.unwrap_err();
    let told = told_so(&main, 1).await;
    assert!(told[0].starts_with("there/power abnormal it panicked"), "{told:?}");
}

/// An end that is told late says nothing of the life after it.
#[tokio::test(start_paused = true)]
async fn a_watch_of_the_next_life_outlasts_the_news_of_the_end_of_the_one_before() {
    for whom in ["there/power", "here/desk"] {
        let (_waters, main, _pc2) = two(37).await;
        let watch_twice = WatchTwice { whom: whom.to_owned() };
        main.node.to(address("here/lamp")).ask(watch_twice).await.unwrap();
        assert_eq!(told_so(&main, 1).await.len(), 1);
        main.node.to(address("here/lamp")).ask(Unwatch {}).await.unwrap();
        main.node.to(address(whom)).ask(Crash {}).await.unwrap_err();
        until("it is there again", || main.state(whom) == "ready").await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(told(&main).await.len(), 1, "{whom}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_watches_no_longer_is_told_nothing() {
    let (_waters, main, _pc2) = two(36).await;
    watch(&main, "there/power", false).await;
    main.node.to(address("here/lamp")).ask(Unwatch {}).await.unwrap();
    main.node.to(address("there/power")).tell(Crash {}).await.unwrap();
    until("it has crashed", || main.state("there/power") == "down").await;
    until("it is there again", || main.state("there/power") == "ready").await;
    assert_eq!(told(&main).await, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn who_is_linked_across_nodes_ends_with_the_other_whichever_it_is() {
    let (_waters, main, pc2) = two(37).await;
    let life =
        |machine: &Machine, agent: &str| machine.house.member(agent).unwrap().view.incarnation;
    for whom in ["there/power", "here/lamp"] {
        watch(&main, "there/power", true).await;
        let (lamp, power) = (life(&main, "here/lamp"), life(&pc2, "there/power"));
        main.node.to(address(whom)).tell(Crash {}).await.unwrap();
        until("both have begun another life", || {
            life(&main, "here/lamp") > lamp
                && life(&pc2, "there/power") > power
                && main.state("here/lamp") == "ready"
                && main.state("there/power") == "ready"
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_linked_across_nodes_ends_when_the_link_does() {
    let (waters, main, pc2) = two(38).await;
    watch(&main, "there/power", true).await;
    // What comes later on the same lane tells that the other end knows of it.
    main.echo("there/power", "hi").await.unwrap();
    let life =
        |machine: &Machine, agent: &str| machine.house.member(agent).unwrap().view.incarnation;
    let (lamp, power) = (life(&main, "here/lamp"), life(&pc2, "there/power"));
    waters.cut(&name("main"), &name("pc2"));
    until("both have begun another life", || {
        life(&main, "here/lamp") > lamp && life(&pc2, "there/power") > power
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_command_for_which_there_is_no_place_is_not_begun() {
    const PLACES: usize = 64;
    let (_waters, main, pc2) = two(74).await;
    let begun = Arc::new(AtomicUsize::new(0));
    let counted = begun.clone();
    pc2.cluster.carry_out(Arc::new(move |_, _| {
        counted.fetch_add(1, Ordering::SeqCst);
        futures_util::stream::pending().boxed()
    }));
    let command = Json(serde_json::json!({ "says": "nothing" }));
    let mut running = Vec::new();
    for _ in 0..PLACES {
        running.push(main.cluster.run(&name("pc2"), &command).await.unwrap());
    }
    let mut refused = main.cluster.run(&name("pc2"), &command).await.unwrap();
    let JsonNext::End(Err(error)) = refused.next().await else { panic!("it was begun") };
    assert!(matches!(error.fault(), Some(Fault::Overloaded { .. })), "{error}");
    assert_eq!(begun.load(Ordering::SeqCst), PLACES);
}

#[tokio::test(start_paused = true)]
async fn what_a_command_has_said_comes_before_its_machine_is_gone() {
    const SAID: usize = 50;
    let (_waters, main, pc2) = two(75).await;
    let (says, said) = tokio::sync::mpsc::channel::<Json>(SAID);
    let said = Mutex::new(Some(said));
    pc2.cluster.carry_out(Arc::new(move |_, _| {
        let said = said.lock().unwrap().take().unwrap();
        ReceiverStream::new(said).map(Ok).boxed()
    }));
    let mut running = main.cluster.run(&name("pc2"), &Json(json!("go on"))).await.unwrap();
    says.send(Json(json!("it has begun"))).await.unwrap();
    assert!(matches!(running.next().await, JsonNext::Item(said) if said.0 == "it has begun"));
    for last in 0..SAID {
        says.try_send(Json(json!(last))).unwrap();
    }
    pc2.cluster.leave().await;
    for last in 0..SAID {
        let next = running.next().await;
        assert!(matches!(&next, JsonNext::Item(said) if said.0 == last), "{last}: {next:?}");
    }
    let JsonNext::End(Err(error)) = running.next().await else { panic!("it has said its end") };
    assert!(error.fault().is_some(), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_machine_does_not_stay_for_one_who_does_not_read() {
    let (_waters, main, pc2) = two(76).await;
    pc2.cluster.carry_out(Arc::new(|_, said: Json| stream::repeat(Ok(said)).boxed()));
    let running = main.cluster.run(&name("pc2"), &Json(json!("again"))).await.unwrap();
    let begun = tokio::time::Instant::now();
    pc2.cluster.leave().await;
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    drop(running);
}
