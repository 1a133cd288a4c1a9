//! What clients publish, and what they hear.

use std::time::Duration;

use genii_protocols::api::{Why, subscribe_reply::Said};
use genii_protocols::client::CallError;
use genii_protocols::{Json, Pattern, Topic};
use genii_runtime::trust::scope::Verb;
use serde_json::json;
use tonic::Code;

use crate::place::*;

fn topic(text: &str) -> Topic {
    Topic::parse(text).unwrap()
}

fn pattern(text: &str) -> Pattern {
    Pattern::parse(text).unwrap()
}

#[tokio::test]
async fn what_one_client_publishes_another_hears_once_and_in_order() {
    let place = Place::new().await;
    let (one, other) = (place.owner().await, place.owner().await);
    let wanted = [pattern("world.**"), pattern("world.updates.*")];
    let mut heard = other.subscribe(&wanted).await.unwrap();
    for number in 1..=50 {
        let what = json!({ "number": number });
        let reached = one.publish(&topic("world.updates.user"), &what).await.unwrap();
        assert_eq!((reached.here, reached.nodes, reached.unreached.len()), (1, 0, 0));
    }
    let elsewhere = one.publish(&topic("elsewhere"), &json!(null)).await.unwrap();
    assert_eq!(elsewhere.here, 0);
    // What the house itself publishes is heard as well.
    place.house.node().publish(&topic("world.end"), &Json(json!("end"))).await.unwrap();
    let mut expected = 1;
    while let Some(said) = heard.next().await.unwrap() {
        let Said::Publication(publication) = said else { panic!("{said:?}") };
        if publication.topic == "world.end" {
            assert_eq!((&*publication.node, &*publication.json), ("main", "\"end\""));
            break;
        }
        let content: serde_json::Value = serde_json::from_str(&publication.json).unwrap();
        assert_eq!(content["number"], expected);
        expected += 1;
    }
    assert_eq!(expected, 51);
}

#[tokio::test]
async fn a_subscription_ends_with_its_client() {
    let place = Place::new().await;
    let client = place.owner().await;
    let heard = client.subscribe(&[pattern("world.**")]).await.unwrap();
    assert_eq!(place.house.node().wanted().len(), 1);
    drop(heard);
    let began = std::time::Instant::now();
    while !place.house.node().wanted().is_empty() {
        assert!(began.elapsed() < DEADLINE);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn who_does_not_read_loses_the_oldest_and_is_told_how_many() {
    let place = Place::new().await;
    let client = place.owner().await;
    let mut heard = client.subscribe(&[pattern("world.**")]).await.unwrap();
    let letters = "x".repeat(2_000);
    for number in 0..5_000_u64 {
        let what = json!({ "number": number, "letters": letters });
        place.house.node().publish(&topic("world.flood"), &Json(what)).await.unwrap();
    }
    let (mut lost, mut taken, mut last) = (0, 0, None);
    while lost + taken < 5_000 {
        match heard.next().await.unwrap().unwrap() {
            Said::Lost(count) => lost += count,
            Said::Publication(publication) => {
                let content: serde_json::Value = serde_json::from_str(&publication.json).unwrap();
                let number = content["number"].as_u64();
                assert!(number > last, "in order");
                (last, taken) = (number, taken + 1);
            }
            Said::Subscribed(_) => panic!("it says so once"),
        }
    }
    assert!(lost > 0 && last == Some(4_999), "{lost} lost, the last is {last:?}");
}

#[tokio::test]
async fn a_token_opens_the_topics_that_it_is_for() {
    let place = Place::new().await;
    let (token, line) = place.token(&["world.updates.*", "here/*"], &[Verb::Subscribe, Verb::Ask]);
    let client = place.holder(&line).await.unwrap();
    let mut heard = client.subscribe(&[pattern("world.updates.*")]).await.unwrap();
    assert_eq!(why(client.subscribe(&[pattern("world.**")]).await.map(drop)), Why::Scope);
    let user = topic("world.updates.user");
    assert_eq!(why(client.publish(&user, &1).await), Why::Verb);
    let (_, line) = place.token(&["world.updates.*"], &[Verb::Publish]);
    let publisher = place.holder(&line).await.unwrap();
    publisher.publish(&user, &1).await.unwrap();
    assert_eq!(why(publisher.publish(&topic("world.end"), &1).await), Why::Scope);
    assert!(matches!(heard.next().await, Ok(Some(Said::Publication(_)))));
    place.revoke(&token.id);
    assert_eq!(why(heard.next().await), Why::Revoked);
}

#[tokio::test]
async fn what_is_no_topic_and_no_json_is_told_so() {
    let place = Place::new().await;
    let mut genii = genii_protocols::api::genii_client::GeniiClient::new(place.channel().await);
    let mut publish = async |topic: &str, json: &str| {
        let (topic, json) = (topic.to_owned(), json.to_owned());
        let request = genii_protocols::api::PublishRequest { topic, json, timeout_ms: 0 };
        genii.publish(request).await.unwrap_err().message().to_owned()
    };
    assert!(publish("World", "1").await.contains("did you mean \"world\"?"));
    assert!(publish("world", "{").await.contains("it is no JSON"));
    let client = place.owner().await;
    let none = client.subscribe(&[]).await.map(drop).unwrap_err().to_string();
    assert!(none.contains("1 to 64 patterns"), "{none}");
}

#[tokio::test]
async fn one_token_does_not_take_the_patterns_of_all_others() {
    let place = Place::new().await;
    let (_, greedy) = place.token(&["world.**"], &[Verb::Subscribe]);
    let (_, modest) = place.token(&["world.**"], &[Verb::Subscribe]);
    let (one, other) = (place.holder(&greedy).await.unwrap(), place.holder(&greedy).await.unwrap());
    let many = |number: usize| -> Vec<Pattern> {
        (0..64).map(|at| pattern(&format!("world.n{number}.n{at}"))).collect()
    };
    let mut held = Vec::new();
    for number in 0..64 {
        held.push(one.subscribe(&many(number)).await.unwrap());
    }
    let refused = other.subscribe(&many(64)).await.map(drop).unwrap_err();
    assert!(matches!(&refused, CallError::Failed(Code::ResourceExhausted, _)), "{refused:?}");
    assert!(refused.to_string().contains("4096 patterns"), "{refused}");
    let modest = place.holder(&modest).await.unwrap();
    for client in [modest, place.owner().await] {
        client.subscribe(&many(65)).await.unwrap();
    }
    held.pop();
    let began = std::time::Instant::now();
    while other.subscribe(&many(64)).await.is_err() {
        assert!(began.elapsed() < DEADLINE);
    }
}
