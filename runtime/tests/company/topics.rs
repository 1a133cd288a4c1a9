//! What is published, and who hears it.

use std::sync::Arc;

use genii_protocols::{Json, Message};
use genii_runtime::topics::{
    NotPublished, NotSubscribed, Publication, Reached, SUBSCRIPTION_CAPACITY, Subscription,
    Unreached, WAITING_MAX,
};
use genii_runtime::{Heard, cluster::Membership};
use serde_json::json;

use super::super::*;

/// All that was heard within a while, and how much was lost.
async fn heard(subscription: &mut Subscription) -> (Vec<Arc<Publication>>, u64) {
    let (mut all, mut lost) = (Vec::new(), 0);
    let while_ = Duration::from_millis(500);
    while let Ok(Some(next)) = tokio::time::timeout(while_, subscription.next()).await {
        match next {
            Heard::Published(publication) => all.push(publication),
            Heard::Lost(more) => lost += more,
        }
    }
    (all, lost)
}

fn numbers(publications: &[Arc<Publication>], by: &str) -> Vec<u64> {
    let counts = publications.iter().map(|publication| publication.read::<Count>().unwrap());
    counts.filter(|count| count.by == by).map(|count| count.number).collect()
}

async fn counts(machine: &Machine, ear: &str) -> Vec<super::super::Heard> {
    machine.node.to(address(ear)).ask(Counts {}).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_is_published_comes_to_each_subscriber_in_the_cluster_once() {
    for seed in 0..10 {
        let (_waters, [one, two, three]) = three(seed).await;
        let overlapping = patterns(&["world.*", "world.**", "world.updates"]);
        let mut own = one.node.subscribe(&overlapping).unwrap();
        let mut far = two.node.subscribe(&overlapping).unwrap();
        let mut other = two.node.subscribe(&patterns(&["elsewhere.**"])).unwrap();
        until("it is known", || one.nodes_wanting("world.*") == 1).await;
        assert_eq!(one.count("world.updates", 7).await, Reached { here: 1, nodes: 2 });
        for subscription in [&mut own, &mut far] {
            let (all, lost) = heard(subscription).await;
            assert_eq!((numbers(&all, "one"), lost), (vec![7], 0));
            assert_eq!(all[0].topic(), &topic("world.updates"));
            assert_eq!((all[0].node(), all[0].from()), (&name("one"), None));
        }
        assert_eq!(heard(&mut other).await.0.len(), 0);
        let at_agent = counts(&three, "three/ear").await;
        assert_eq!(at_agent.iter().map(|heard| heard.number).collect::<Vec<_>>(), [7]);
        assert_eq!(at_agent[0].topic, "world.updates");
    }
}

#[tokio::test(start_paused = true)]
async fn only_nodes_with_subscribers_are_sent_to() {
    let (_waters, [one, two, three]) = three(20).await;
    let mut far = two.node.subscribe(&patterns(&["elsewhere.*"])).unwrap();
    let mut also = two.node.subscribe(&patterns(&["elsewhere.*"])).unwrap();
    until("it is known", || one.nodes_wanting("elsewhere.*") == 1).await;
    assert_eq!(one.count("elsewhere.x", 1).await, Reached { here: 0, nodes: 1 });
    assert_eq!(one.count("elsewhere.x.y", 2).await, Reached::default());
    assert_eq!(two.count("elsewhere.x", 3).await, Reached { here: 2, nodes: 0 });
    assert_eq!(heard(&mut far).await.0.len(), 2);
    drop(far);
    assert_eq!(one.count("elsewhere.x", 4).await, Reached { here: 0, nodes: 1 });
    assert_eq!(heard(&mut also).await.0.len(), 3);
    drop(also);
    until("it is gone", || one.nodes_wanting("elsewhere.*") == 0).await;
    assert_eq!(one.count("elsewhere.x", 5).await, Reached::default());
    drop(three);
}

#[tokio::test(start_paused = true)]
async fn what_one_publishes_comes_in_its_order_also_where_some_of_it_is_large() {
    let (_waters, [one, two, _three]) = three(21).await;
    let mut far = two.node.subscribe(&patterns(&["order.*"])).unwrap();
    until("it is known", || one.nodes_wanting("order.*") == 1).await;
    let publish = |by: &'static str| {
        let node = one.node.clone();
        async move {
            for number in 0..400 {
                let padding = if number % 50 == 0 { 200 << 10 } else { 10 };
                let content = json!({ "by": by, "number": number, "more": "x".repeat(padding) });
                node.publish(&topic("order.x"), &Json(content)).await.unwrap();
            }
        }
    };
    tokio::join!(publish("a"), publish("b"));
    let (all, lost) = heard(&mut far).await;
    assert_eq!(lost, 0);
    for by in ["a", "b"] {
        assert_eq!(numbers(&all, by), (0..400).collect::<Vec<_>>());
    }
}

#[tokio::test(start_paused = true)]
async fn who_does_not_listen_loses_the_oldest_is_told_and_holds_up_nobody() {
    let (_waters, [one, two, _three]) = three(22).await;
    let mut slow = two.node.subscribe(&patterns(&["flood.*"])).unwrap();
    let mut quick = two.node.subscribe(&patterns(&["flood.*"])).unwrap();
    until("it is known", || one.nodes_wanting("flood.*") == 1).await;
    let reading = tokio::spawn(async move { heard(&mut quick).await });
    for number in 0..5_000 {
        one.count("flood.x", number).await;
        if number % 100 == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    let (all, lost) = reading.await.unwrap();
    assert_eq!((numbers(&all, "one"), lost), ((0..5_000).collect(), 0));
    let Some(Heard::Lost(lost)) = slow.next().await else { panic!("it is told first") };
    assert_eq!(lost, 5_000 - SUBSCRIPTION_CAPACITY as u64);
    let (all, more) = heard(&mut slow).await;
    assert_eq!((numbers(&all, "one"), more), ((lost..5_000).collect(), 0));
    assert_eq!(two.node.publications_lost(), lost);
    let lost_of: Vec<u64> = two.node.subscribers().iter().map(|it| it.lost).collect();
    assert_eq!(lost_of, [lost], "the other has ended");
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_is_slow_is_told_how_much_it_lost_and_answers_others() {
    let (_waters, [one, _two, three]) = three(23).await;
    let ear = three.node.to(address("three/ear"));
    ear.tell(Dawdle { millis: 3_000 }).await.unwrap();
    for number in 0..1_000 {
        one.count("world.flood", number).await;
    }
    until("all has come", || three.node.publications_lost() == 1_000 - WAITING_MAX as u64).await;
    // There is room in its mailbox for what others say.
    let letters = three.node.dead_letters();
    let told = counts(&three, "three/ear").await;
    assert_eq!(told.len(), WAITING_MAX);
    assert!(told.iter().zip(0..).all(|(heard, number)| heard.number == number && heard.lost == 0));
    // It is said once that it loses, and counted how much.
    assert_eq!(letters.total(), 1);
    let letter = letters.tail(1)[0].message.to_string();
    assert_eq!(letter, "listener.count (published on world.flood, while 256 more waited)");
    let slow = &three.node.subscribers()[0];
    assert_eq!(slow.agent, Some(address("three/ear")));
    assert_eq!(slow.lost, three.node.publications_lost());
    one.count("world.after", 1).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let last = counts(&three, "three/ear").await.pop().unwrap();
    assert_eq!((last.topic.as_str(), last.lost), ("world.after", 1_000 - WAITING_MAX as u64));
}

#[tokio::test(start_paused = true)]
async fn agents_publish_under_their_name_and_json_is_as_good_as_their_type() {
    let (_waters, [one, two, three]) = three(24).await;
    let mut reader = two.node.subscribe(&patterns(&["world.**"])).unwrap();
    until("it is known", || one.nodes_wanting("world.**") == 2).await;
    let announce = Announce { topic: topic("world.by-agent"), number: 5 };
    one.node.to(address("one/ear")).ask(announce).await.unwrap();
    let content = Json(json!({ "by": "json", "number": 6 }));
    one.node.publish(&topic("world.by-json"), &content).await.unwrap();
    one.node.publish(&topic("world.other"), &Json(json!("what?"))).await.unwrap();
    one.node.publish(&topic("world.other"), &Json(json!("what?"))).await.unwrap();
    let (all, _) = heard(&mut reader).await;
    assert_eq!(all[0].json().unwrap(), Json(json!({ "by": "one/ear", "number": 5 })));
    assert_eq!(all[0].from().unwrap().address, address("one/ear"));
    assert_eq!(all[1].read::<Count>().unwrap(), Count { by: "json".to_owned(), number: 6 });
    let at_agent = counts(&three, "three/ear").await;
    let told = |heard: &super::super::Heard| (heard.number, heard.from.clone());
    let expected = [(5, Some("one/ear".to_owned())), (6, None)];
    assert_eq!(at_agent.iter().map(told).collect::<Vec<_>>(), expected);
    // What is no such message is a dead letter, once in a row.
    let letters = three.node.dead_letters();
    assert_eq!(letters.total(), 1);
    let letter = &letters.tail(1)[0];
    assert!(letter.fault.to_string().contains("not valid"), "{}", letter.fault);
    assert!(letter.message.starts_with(Count::NAME), "{}", letter.message);
}

#[tokio::test(start_paused = true)]
async fn what_is_too_large_is_refused_and_what_is_large_comes_in_parts() {
    let (_waters, [one, two, _three]) = three(25).await;
    let mut far = two.node.subscribe(&patterns(&["large.*"])).unwrap();
    until("it is known", || one.nodes_wanting("large.*") == 1).await;
    let large = |len: usize| Json(json!("x".repeat(len)));
    let refused = one.node.publish(&topic("large.x"), &large(64 << 20)).await.unwrap_err();
    assert!(matches!(refused, NotPublished::TooLarge { .. }), "{refused}");
    assert!(refused.to_string().contains("more than the limit"), "{refused}");
    one.node.publish(&topic("large.x"), &large(5 << 20)).await.unwrap();
    let (all, lost) = heard(&mut far).await;
    assert_eq!((all.len(), lost), (1, 0));
    assert_eq!(all[0].text().len(), (5 << 20) + "\"\"".len());
}

#[tokio::test(start_paused = true)]
async fn where_a_cable_is_cut_it_is_said_who_was_not_reached() {
    // Less than it takes to see that the other is gone.
    let limits = Limits { tell_patience: Duration::from_millis(300), ..Limits::default() };
    let (waters, [one, two, three]) = three_with(26, limits).await;
    let mut far = two.node.subscribe(&patterns(&["cut.*"])).unwrap();
    let mut other = three.node.subscribe(&patterns(&["cut.*"])).unwrap();
    until("it is known", || one.nodes_wanting("cut.*") == 2).await;
    waters.cut(&name("one"), &name("two"));
    let content = Json(json!("x".repeat(20 << 10)));
    let mut sent = 0;
    let (nodes, reached) = loop {
        match one.node.publish(&topic("cut.x"), &content).await {
            Ok(reached) => assert_eq!(reached, Reached { here: 0, nodes: 2 }),
            Err(NotPublished::NotReached { nodes, reached }) => break (nodes, reached),
            Err(other) => panic!("{other}"),
        }
        sent += 1;
    };
    assert_eq!(nodes, [(name("two"), Unreached::Crowded)]);
    assert_eq!(reached, Reached { here: 0, nodes: 1 });
    assert_eq!(heard(&mut other).await.0.len(), sent + 1);

    let membership = || one.cluster.members().into_iter().find(|it| it.node == name("two"));
    until("it is down", || membership().unwrap().membership == Membership::Down).await;
    let noted = one
        .node
        .tree()
        .journal
        .tail(50, |event| event.what.to_string().contains("publications may not have come"));
    assert_eq!(noted.len(), 1);
    assert_eq!(one.count("cut.x", 1).await, Reached { here: 0, nodes: 1 });
    waters.heal(&name("one"), &name("two"));
    until("it is known again", || one.nodes_wanting("cut.*") == 2).await;
    assert_eq!(one.count("cut.x", 2).await, Reached { here: 0, nodes: 2 });
    // Nothing of the life before comes late.
    let (all, _) = heard(&mut far).await;
    assert_eq!(numbers(&all, "one"), [2]);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_comes_back_wants_what_its_agents_want() {
    let (waters, [one, two, three]) = three(27).await;
    three.crash(&waters);
    until("it is gone", || one.nodes_wanting("world.**") == 0).await;
    assert_eq!(one.count("world.x", 1).await, Reached::default());
    let three = Machine::boot(&waters, "three", 2).await;
    three.cluster.meet(&name("one"), &[]);
    three.house.up().await.unwrap();
    until("it is back", || one.nodes_wanting("world.**") == 1).await;
    assert_eq!(one.count("world.x", 2).await, Reached { here: 0, nodes: 1 });
    until("it has come", || three.node.counters(&address("three/ear")).unwrap().handled == 1).await;
    drop(two);
}

#[tokio::test(start_paused = true)]
async fn a_subscription_ends_with_the_life_of_its_agent() {
    let (_waters, [one, _two, three]) = three(28).await;
    let before = one.node.wanted();
    three.node.to(address("three/ear")).ask(Crash {}).await.unwrap_err();
    until("it is anew", || {
        let status = three.house.member("three/ear").unwrap().view.status.word();
        status == "ready" && one.node.wanted() == before
    })
    .await;
    one.count("world.x", 1).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(counts(&three, "three/ear").await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_agent_may_listen_no_more_and_only_as_what_it_answers() {
    let (_waters, [one, _two, three]) = three(29).await;
    let ear = three.node.to(address("three/ear"));
    let refused = ear.ask(Misunderstand {}).await.unwrap();
    assert!(refused.starts_with("listener.unanswered is not in the protocol"), "{refused}");
    assert_eq!(one.count("world.x", 1).await.nodes, 1);
    until("it has come", || three.node.counters(&address("three/ear")).unwrap().handled == 2).await;
    ear.ask(Hush {}).await.unwrap();
    until("all know", || one.nodes_wanting("world.**") == 0).await;
    assert_eq!(one.count("world.x", 2).await, Reached::default());
    assert_eq!(counts(&three, "three/ear").await.len(), 1);
    assert!(three.node.subscribers().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_subscribed_to_is_said() {
    let node = Node::new(NodeOptions::new(name("alone")));
    assert_eq!(node.subscribe(&[]).err(), Some(NotSubscribed::Patterns(0)));
    let many: Vec<String> = (0..65).map(|number| format!("a.{number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(node.subscribe(&patterns(&many)).err(), Some(NotSubscribed::Patterns(65)));
    let mut alone = node.subscribe(&patterns(&["**"])).unwrap();
    let reached = node.publish(&topic("a"), &Json(json!(null))).await.unwrap();
    assert_eq!(reached, Reached { here: 1, nodes: 0 });
    assert!(matches!(alone.next().await, Some(Heard::Published(_))));
    drop(node);
    assert!(alone.next().await.is_none(), "its node has ended");
}
