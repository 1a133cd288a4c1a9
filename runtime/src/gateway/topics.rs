//! What clients publish, and hear of what is published.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use genii_protocols::api::{
    self, PublishReply, PublishRequest, SubscribeReply, Subscribed, subscribe_reply::Said,
};
use genii_protocols::wire::MESSAGE_MAX_LEN;
use genii_protocols::{Pattern, Topic};
use parking_lot::Mutex;
use serde_json::value::RawValue;
use tokio::time::Instant;
use tonic::Status;

use super::caller::{Caller, CallerId};
use super::said::Mouth;
use super::shares::{OWNER_SHARES, SHARES, Share, Shares};
use crate::aside;
use crate::node::Node;
use crate::ring::Budget;
use crate::topics::{
    Heard, NotPublished, NotSubscribed, Origin, PATTERNS_EACH_MAX, Publication, Subscription,
};

/// How many subscriptions one client may have, and how many patterns in all of them. All clients
/// together have no more than some shares of that, so that most of what a node may have is left to
/// its agents.
const SUBSCRIPTIONS_EACH_MAX: usize = 1_024;
const PATTERNS_OF_EACH_MAX: usize = 4_096;

/// How many bytes may wait for one client, in all of its subscriptions: enough for one publication of
/// any length. All clients together have as many shares of that.
const WAITING_EACH_MAX: usize = MESSAGE_MAX_LEN;

/// What clients may have of the topics of a node.
pub(super) struct Subscribing {
    subscriptions: Shares,
    patterns: Shares,
    /// What may wait for the owner, and for all others.
    owners: Arc<Budget>,
    all: Arc<Budget>,
    /// What may wait for each of those others who have a subscription.
    those: Mutex<HashMap<CallerId, Weak<Budget>>>,
}

/// A subscription of a client, with its share.
pub(super) struct ClientSubscription {
    subscription: Subscription,
    _shares: [Share; 2],
}

impl Default for Subscribing {
    fn default() -> Self {
        let budget = |shares| Arc::new(Budget::new(shares * WAITING_EACH_MAX, None));
        Self {
            subscriptions: Shares::new(SUBSCRIPTIONS_EACH_MAX),
            patterns: Shares::new(PATTERNS_OF_EACH_MAX),
            owners: budget(OWNER_SHARES),
            all: budget(SHARES),
            those: Mutex::default(),
        }
    }
}

impl Subscribing {
    /// Subscribes, if the caller may.
    ///
    /// # Errors
    /// When it may not, a pattern is none, or there are too many.
    pub(super) fn begin(
        &self,
        node: &Node,
        caller: &Caller,
        patterns: &[String],
    ) -> Result<ClientSubscription, Status> {
        let wanted = wanted(caller, patterns)?;
        let caller = caller.id();
        let count = u32::try_from(wanted.len()).unwrap_or(u32::MAX);
        let shares = self.subscriptions.try_take(&caller, 1);
        let _shares = shares.zip(self.patterns.try_take(&caller, count)).ok_or_else(too_many)?;
        let subscription = node.subscribe_within(&wanted, Some(self.budget(caller)));
        let subscription = subscription.map_err(|error| unsubscribed(&error))?;
        Ok(ClientSubscription { subscription, _shares: _shares.into() })
    }

    /// What may wait for a client.
    fn budget(&self, caller: CallerId) -> Arc<Budget> {
        if caller == CallerId::Owner {
            return self.owners.clone();
        }
        let mut those = self.those.lock();
        if let Some(own) = those.get(&caller).and_then(Weak::upgrade) {
            return own;
        }
        those.retain(|_, own| own.strong_count() > 0);
        let own = Arc::new(Budget::new(WAITING_EACH_MAX, Some(self.all.clone())));
        those.insert(caller, Arc::downgrade(&own));
        own
    }
}

fn too_many() -> Status {
    Status::resource_exhausted(format!(
        "a client may have {SUBSCRIPTIONS_EACH_MAX} subscriptions with {PATTERNS_OF_EACH_MAX} \
         patterns in all, and all clients together {SHARES} times as many"
    ))
}

/// The patterns that a caller wants, and may.
fn wanted(caller: &Caller, patterns: &[String]) -> Result<Vec<Pattern>, Status> {
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
    Ok(wanted)
}

fn unsubscribed(error: &NotSubscribed) -> Status {
    match error {
        NotSubscribed::Patterns(_) => Status::invalid_argument(error.to_string()),
        _ => Status::resource_exhausted(error.to_string()),
    }
}

/// Tells what is published. Whoever does not read loses the oldest, and is told how much.
pub(super) async fn tell(
    mut client: ClientSubscription,
    mouth: Mouth<SubscribeReply>,
) -> Result<(), Status> {
    mouth.say(SubscribeReply { said: Some(Said::Subscribed(Subscribed {})) }).await?;
    while let Some(heard) = client.subscription.next().await {
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
    let json: &RawValue =
        aside::reading(request.json.len(), || serde_json::from_str(&request.json))
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
