//! Many answers to one question.

use std::time::Duration;

use genii_protocols::{AskError, Fault, Json, Rejection};
use genii_runtime::JsonNext;
use serde_json::json;

use crate::parrot::*;

fn count_to(number: u64) -> CountTo {
    CountTo { number, panic_at: None }
}

#[tokio::test(start_paused = true)]
async fn a_stream_brings_its_items_in_order_and_then_its_reply() {
    let house = House::new().await;
    let polly = house.parrot("zoo/polly").await;
    let mut answers = house.node.to(&polly).stream(count_to(500)).await.unwrap();
    let mut items = Vec::new();
    while let Some(item) = answers.next().await {
        items.push(item);
    }
    assert_eq!(items, (1..=500).collect::<Vec<_>>());
    assert_eq!(answers.finish().await, Ok(500));
}

#[tokio::test(start_paused = true)]
async fn a_stream_may_be_refused_and_may_be_dropped_unanswered() {
    let house = House::new().await;
    let polly = house.parrot("zoo/polly").await;
    let mail = house.node.to(&polly);
    let refused = mail.stream(count_to(13)).await.unwrap().finish().await;
    assert_eq!(refused, Err(AskError::Refused(WontSay { word: "13".into() })));
    let dropped = mail.stream(count_to(0)).await.unwrap().finish().await.unwrap_err();
    let fault = dropped.fault().unwrap();
    assert!(matches!(fault, Fault::Rejected { reason: Rejection::Unanswered, .. }), "{fault}");
}

/// A slow asker holds the agent's task up, not the house: no more than the credit is on its way.
#[tokio::test(start_paused = true)]
async fn the_sender_of_a_stream_waits_for_a_slow_asker() {
    let house = House::new().await;
    let polly = house.parrot("zoo/polly").await;
    let mut answers = house.node.to(&polly).stream(count_to(100_000)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    house.echo(&polly, "the agent itself is free").await.unwrap();
    let mut last = 0;
    for _ in 0..1_000 {
        last = answers.next().await.unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(last, 1_000);
}

#[tokio::test(start_paused = true)]
async fn a_stream_breaks_off_with_the_cause_when_its_agent_crashes() {
    let house = House::new().await;
    let polly = house.parrot("zoo/polly").await;
    let count = CountTo { number: 10, panic_at: Some(4) };
    let mut answers = house.node.to(&polly).stream(count).await.unwrap();
    let mut items = Vec::new();
    while let Some(item) = answers.next().await {
        items.push(item);
    }
    assert_eq!(items, [1, 2, 3]);
    let error = answers.finish().await.unwrap_err().to_string();
    assert!(error.contains("told to panic while counting"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_in_json_is_the_same_stream() {
    let house = House::new().await;
    let polly = house.parrot("zoo/polly").await;
    let content = Json(json!({ "number": 2 }));
    let mut answers =
        house.node.to(&polly).stream_json("parrot.count_to", &content, PATIENCE).await.unwrap();
    assert!(matches!(answers.next().await, JsonNext::Item(Json(item)) if item == 1));
    assert!(matches!(answers.next().await, JsonNext::Item(Json(item)) if item == 2));
    assert!(matches!(answers.next().await, JsonNext::End(Ok(Json(reply))) if reply == 2));
    let wrong = house.node.to(&polly).stream_json("parrot.notes", &Json::default(), PATIENCE).await;
    assert!(wrong.is_err());
}
