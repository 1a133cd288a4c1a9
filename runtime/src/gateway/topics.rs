//! What clients publish, and hear of what is published.

use std::time::Duration;

use genii_protocols::api::{
    self, PublishReply, PublishRequest, SubscribeReply, Subscribed, subscribe_reply::Said,
};
use genii_protocols::wire::MESSAGE_MAX_LEN;
use genii_protocols::{Pattern, Topic};
use serde_json::value::RawValue;
use tokio::time::Instant;
use tonic::Status;

use super::caller::Caller;
use super::said::Mouth;
use crate::node::Node;
use crate::topics::{
    Heard, NotPublished, NotSubscribed, Origin, PATTERNS_EACH_MAX, Publication, Subscription,
};

/// Subscribes, if the caller may.
///
/// # Errors
/// When it may not, a pattern is none, or there are too many.
pub(super) fn subscribe(
    node: &Node,
    caller: &Caller,
    patterns: &[String],
) -> Result<Subscription, Status> {
    if patterns.len() > PATTERNS_EACH_MAX {
        return Err(unsubscribed(&NotSubscribed::Patterns(patterns.len())));
    }
    let mut wanted = Vec::with_capacity(patterns.len());
    for pattern in patterns {
        let pattern = Pattern::parse(pattern);
        let pattern = pattern.map_err(|error| Status::invalid_argument(error.to_string()))?;
        caller.check_topics(&pattern)?;
        wanted.push(pattern);
    }
    node.subscribe(&wanted).map_err(|error| unsubscribed(&error))
}

fn unsubscribed(error: &NotSubscribed) -> Status {
    match error {
        NotSubscribed::Patterns(_) => Status::invalid_argument(error.to_string()),
        _ => Status::resource_exhausted(error.to_string()),
    }
}

/// Tells what is published. Whoever does not read loses the oldest, and is told how much.
pub(super) async fn tell(
    mut subscription: Subscription,
    mouth: Mouth<SubscribeReply>,
) -> Result<(), Status> {
    mouth.say(SubscribeReply { said: Some(Said::Subscribed(Subscribed {})) }).await?;
    while let Some(heard) = subscription.next().await {
        let said = match heard {
            Heard::Published(publication) => Said::Publication(published(&publication)),
            Heard::Lost(count) => Said::Lost(count),
        };
        mouth.say(SubscribeReply { said: Some(said) }).await?;
    }
    Err(Status::unavailable("the node has ended"))
}

fn published(publication: &Publication) -> api::Publication {
    api::Publication {
        topic: publication.topic().to_string(),
        node: publication.node().to_string(),
        from: publication.from().map(|from| from.address.to_string()).unwrap_or_default(),
        json: publication.text().to_owned(),
    }
}

/// Publishes, if the caller may.
///
/// # Errors
/// When it may not, the topic is none, or what is to be published is no JSON or too large. That some
/// nodes were not reached is part of the reply.
pub(super) async fn publish(
    node: &Node,
    caller: &Caller,
    request: &PublishRequest,
    wait: Duration,
) -> Result<PublishReply, Status> {
    let topic = Topic::parse(&request.topic);
    let topic = topic.map_err(|error| Status::invalid_argument(error.to_string()))?;
    caller.check_topic(&topic)?;
    let json: &RawValue = serde_json::from_str(&request.json)
        .map_err(|error| Status::invalid_argument(format!("it is no JSON: {error}")))?;
    let origin = Origin { deadline: Some(Instant::now() + wait), ..Origin::default() };
    match node.publish_from(origin, &topic, json).await {
        Ok(reached) => Ok(reply(reached.here, reached.nodes, Vec::new())),
        Err(NotPublished::NotReached { nodes, reached }) => {
            let unreached = nodes
                .into_iter()
                .map(|(node, why)| api::Unreached { node: node.to_string(), why: why.to_string() });
            Ok(reply(reached.here, reached.nodes, unreached.collect()))
        }
        Err(NotPublished::TooLarge { len }) => Err(Status::resource_exhausted(format!(
            "it has {len} bytes, more than the limit of {MESSAGE_MAX_LEN}"
        ))),
        Err(error @ NotPublished::NoForm(_)) => Err(Status::invalid_argument(error.to_string())),
    }
}

fn reply(here: usize, nodes: usize, unreached: Vec<api::Unreached>) -> PublishReply {
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    PublishReply { here: count(here), nodes: count(nodes), unreached }
}
