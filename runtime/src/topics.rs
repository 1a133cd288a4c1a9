//! Topics: what is published reaches every subscriber in the cluster.
//!
//! Each node tells the others which patterns it has subscribers for, so something published goes
//! once to each node that wants it and to no other. There it is handed to each subscriber once,
//! however many of its patterns mean the topic. A subscriber never makes a publisher wait: what it
//! does not take in time it loses, it is told how much that was, and it is counted.
//!
//! What is published travels as JSON text, since whoever publishes cannot know who will read it:
//! `docs/decisions/0020-what-is-published-travels-as-json.md`.

mod agent;
mod publication;
mod publishing;
mod subscription;
mod trie;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use genii_protocols::frame::{Control, Told, Wanted};
use genii_protocols::{Address, NodeName, Pattern, Topic};
use parking_lot::RwLock;

pub(crate) use agent::{AgentSink, Announced};
pub use agent::{Arrival, WAITING_MAX};
pub use publication::Publication;
pub(crate) use publishing::Origin;
pub use publishing::{NotPublished, Reached, Unreached};
pub(crate) use subscription::Subscribed;
pub use subscription::{Heard, Subscription, SubscriptionId};

use crate::heard::{self, Changed, TooMany};
use crate::link::sending::Link;
use crate::node::Node;
use crate::ring::{Budget, Ring};
use trie::Trie;

/// How many publications wait for a subscriber. Then the oldest go.
pub const SUBSCRIPTION_CAPACITY: usize = 1_000;

/// How many bytes wait for a subscriber. Then the oldest go. One publication that is larger may wait
/// alone.
pub const SUBSCRIPTION_MAX_LEN: usize = 8 << 20;

/// How many subscriptions a node may have; more are refused.
pub const SUBSCRIPTIONS_MAX: usize = 1 << 16;

/// How many patterns a subscription may have; more are refused.
pub const PATTERNS_EACH_MAX: usize = 64;

/// How many different patterns a node may have subscribers for. More are refused; a node that tells
/// of more speaks nonsense.
pub const PATTERNS_MAX: usize = 1 << 16;

/// Why there is no subscription.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotSubscribed {
    /// No pattern, or more than a subscription may have.
    #[error("a subscription has 1 to {PATTERNS_EACH_MAX} patterns, not {0}")]
    Patterns(usize),
    /// The node has as many as it may.
    #[error("this node has {SUBSCRIPTIONS_MAX} subscriptions, and may have no more")]
    TooMany,
    /// The node has as many different patterns as it may.
    #[error("this node has subscribers for {PATTERNS_MAX} patterns, and may have no more")]
    TooManyPatterns,
    /// The agent has as many as it may.
    #[error("an agent may have {max} subscriptions")]
    TooManyOfAgent {
        /// How many.
        max: usize,
    },
    /// What comes is to be a message that the agent does not answer.
    #[error("{message} is not in the protocol of {agent}, or is answered by a stream")]
    UnknownMessage {
        /// The wire name.
        message: &'static str,
        /// The address of the agent.
        agent: Address,
    },
}

/// For what a node has subscribers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedBy {
    /// Which topics.
    pub pattern: Pattern,
    /// The node.
    pub node: NodeName,
    /// How many subscribers.
    pub subscribers: u32,
}

/// A subscriber on a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriberHere {
    /// Which topics it wants.
    pub patterns: Vec<Pattern>,
    /// The agent, if it is one.
    pub agent: Option<Address>,
    /// How many publications it has lost, because it did not take them in time.
    pub lost: u64,
}

/// The subscriptions of a node, and what is known of those of the others.
pub(crate) struct Topics {
    own: RwLock<Own>,
    far: RwLock<Far>,
    ids: AtomicU64,
    /// How many publications were lost by subscribers here.
    lost: AtomicU64,
}

#[derive(Default)]
struct Own {
    subscribers: HashMap<SubscriptionId, Subscriber>,
    by_pattern: Trie<SubscriptionId>,
    /// How many subscribers each pattern has.
    wanted: BTreeMap<Pattern, u32>,
}

struct Subscriber {
    patterns: BTreeSet<Pattern>,
    sink: Sink,
}

/// Where what is published goes.
#[derive(Clone)]
pub(crate) enum Sink {
    /// To who reads it from here.
    Ring(Arc<Ring<Arc<Publication>>>),
    /// To the mailbox of an agent.
    Agent(Arc<AgentSink>),
}

struct Far {
    heard: heard::Heard<Pattern>,
    nodes: Trie<NodeName>,
}

impl Default for Topics {
    fn default() -> Self {
        let far = Far { heard: heard::Heard::new(PATTERNS_MAX), nodes: Trie::default() };
        Self {
            own: RwLock::default(),
            far: RwLock::new(far),
            ids: AtomicU64::new(1),
            lost: AtomicU64::new(0),
        }
    }
}

impl Drop for Topics {
    fn drop(&mut self) {
        for subscriber in self.own.get_mut().subscribers.values() {
            if let Sink::Ring(ring) = &subscriber.sink {
                ring.close();
            }
        }
    }
}

impl Topics {
    /// Takes a subscriber on. Whoever calls tells the other nodes of its patterns.
    fn add(
        &self,
        patterns: BTreeSet<Pattern>,
        sink: impl FnOnce(SubscriptionId) -> Sink,
    ) -> Result<SubscriptionId, NotSubscribed> {
        if patterns.is_empty() || patterns.len() > PATTERNS_EACH_MAX {
            return Err(NotSubscribed::Patterns(patterns.len()));
        }
        let id = SubscriptionId(self.ids.fetch_add(1, Ordering::Relaxed));
        let mut own = self.own.write();
        if own.subscribers.len() >= SUBSCRIPTIONS_MAX {
            return Err(NotSubscribed::TooMany);
        }
        let new = patterns.iter().filter(|pattern| !own.wanted.contains_key(*pattern)).count();
        if own.wanted.len() + new > PATTERNS_MAX {
            return Err(NotSubscribed::TooManyPatterns);
        }
        for pattern in &patterns {
            own.by_pattern.insert(pattern, id);
            *own.wanted.entry(pattern.clone()).or_default() += 1;
        }
        own.subscribers.insert(id, Subscriber { patterns, sink: sink(id) });
        Ok(id)
    }

    /// Lets go of a subscriber, and says which its patterns were.
    fn remove(&self, id: SubscriptionId) -> Vec<Pattern> {
        let mut own = self.own.write();
        let Some(gone) = own.subscribers.remove(&id) else { return Vec::new() };
        for pattern in &gone.patterns {
            own.by_pattern.remove(pattern, &id);
            if let Some(count) = own.wanted.get_mut(pattern) {
                *count -= 1;
                if *count == 0 {
                    own.wanted.remove(pattern);
                }
            }
        }
        gone.patterns.into_iter().collect()
    }

    /// Hands something published to those who want it here, and says how many they are.
    pub(crate) fn distribute(&self, node: &Node, publication: &Arc<Publication>) -> usize {
        let sinks: Vec<Sink> = {
            let own = self.own.read();
            let ids = own.by_pattern.of(publication.topic());
            let found = ids.iter().filter_map(|id| own.subscribers.get(id));
            found.map(|subscriber| subscriber.sink.clone()).collect()
        };
        let lost: u64 = sinks.iter().map(|sink| sink.take(node, publication)).sum();
        if lost > 0 {
            self.lost.fetch_add(lost, Ordering::Relaxed);
        }
        sinks.len()
    }

    /// The other nodes that want something about a topic.
    fn nodes(&self, topic: &Topic) -> BTreeSet<NodeName> {
        self.far.read().nodes.of(topic)
    }

    // What nodes tell each other.

    /// All patterns that there are subscribers for here.
    pub(crate) fn wanted(&self) -> Vec<Pattern> {
        self.own.read().wanted.keys().cloned().collect()
    }

    /// How many subscribers there are here for some patterns, as another node is told.
    pub(crate) fn frame(&self, told: Told, patterns: &[Pattern]) -> Control<'static> {
        let own = self.own.read();
        let wanted = |pattern: &Pattern| Wanted {
            pattern: pattern.to_string().into(),
            subscribers: own.wanted.get(pattern).copied().unwrap_or_default(),
        };
        Control::Patterns { told, patterns: patterns.iter().map(wanted).collect() }
    }

    /// The node at the other end of a link has subscribers for these.
    pub(crate) fn hear(
        &self,
        link: &Link,
        told: Told,
        patterns: Vec<(Pattern, u32)>,
    ) -> Result<(), TooMany> {
        let mut far = self.far.write();
        // A link that is over is forgotten, or about to be: nothing of it is to come after that.
        if link.is_over() {
            return Ok(());
        }
        let changed = far.heard.hear(&link.peer, told, patterns)?;
        far.follow(&link.peer, changed);
        Ok(())
    }

    /// Another node is gone, and its subscribers with it.
    pub(crate) fn forget(&self, node: &NodeName) {
        let mut far = self.far.write();
        let changed = far.heard.forget(node);
        far.follow(node, changed);
    }
}

impl Far {
    fn follow(&mut self, node: &NodeName, changed: Vec<Changed<Pattern>>) {
        for Changed { key, count } in changed {
            match count {
                0 => self.nodes.remove(&key, node),
                _ => self.nodes.insert(&key, node.clone()),
            }
        }
    }
}

impl Sink {
    /// Takes something published, and says how many it lost for it.
    fn take(&self, node: &Node, publication: &Arc<Publication>) -> u64 {
        match self {
            Self::Ring(ring) => ring.put(publication.clone(), publication.text().len()),
            Self::Agent(agent) => agent.take(node, publication),
        }
    }

    fn agent(&self) -> Option<&Address> {
        match self {
            Self::Ring(_) => None,
            Self::Agent(agent) => Some(agent.address()),
        }
    }

    fn lost(&self) -> u64 {
        match self {
            Self::Ring(ring) => ring.lost(),
            Self::Agent(agent) => agent.lost(),
        }
    }
}

impl Node {
    /// Subscribes to all topics that any of these patterns mean. What is published about them from
    /// now on comes once. Other nodes send it as soon as they have heard of the subscription, which
    /// takes them as long as a ping.
    ///
    /// # Errors
    /// When there are too many subscriptions or patterns, or no pattern was given.
    pub fn subscribe(&self, patterns: &[Pattern]) -> Result<Subscription, NotSubscribed> {
        self.subscribe_within(patterns, None)
    }

    /// The same, for no more bytes that wait than other subscriptions have left of a budget.
    pub(crate) fn subscribe_within(
        &self,
        patterns: &[Pattern],
        budget: Option<Arc<Budget>>,
    ) -> Result<Subscription, NotSubscribed> {
        let ring = Ring::new(SUBSCRIPTION_CAPACITY, SUBSCRIPTION_MAX_LEN).within(budget);
        let ring = Arc::new(ring);
        let subscribed = self.subscribe_with(patterns, |_| Sink::Ring(ring.clone()))?;
        Ok(Subscription::new(ring, subscribed))
    }

    pub(crate) fn subscribe_with(
        &self,
        patterns: &[Pattern],
        sink: impl FnOnce(SubscriptionId) -> Sink,
    ) -> Result<Subscribed, NotSubscribed> {
        let patterns: BTreeSet<Pattern> = patterns.iter().cloned().collect();
        let changed: Vec<Pattern> = patterns.iter().cloned().collect();
        let id = self.topics().add(patterns, sink)?;
        let subscribed = Subscribed::new(self, id);
        self.tell_wanted(&changed);
        Ok(subscribed)
    }

    fn unsubscribe(&self, id: SubscriptionId) {
        let changed = self.topics().remove(id);
        self.tell_wanted(&changed);
    }

    fn tell_wanted(&self, changed: &[Pattern]) {
        if let Some(cluster) = self.cluster() {
            cluster.wanted_changed(changed);
        }
    }

    /// For what there are subscribers, on which nodes, by pattern.
    pub fn wanted(&self) -> Vec<WantedBy> {
        let wanted = |pattern: &Pattern, node: &NodeName, subscribers| WantedBy {
            pattern: pattern.clone(),
            node: node.clone(),
            subscribers,
        };
        let own = self.topics().own.read();
        let here = own.wanted.iter().map(|(pattern, count)| wanted(pattern, self.name(), *count));
        let far = self.topics().far.read();
        let there = far.heard.all().map(|(node, pattern, count)| wanted(pattern, node, count));
        let mut all: Vec<WantedBy> = here.chain(there).collect();
        all.sort_by(|a, b| (&a.pattern, &a.node).cmp(&(&b.pattern, &b.node)));
        all
    }

    /// All subscribers here, the oldest first.
    pub fn subscribers(&self) -> Vec<SubscriberHere> {
        let own = self.topics().own.read();
        let mut all: Vec<_> = own.subscribers.iter().collect();
        all.sort_unstable_by_key(|(id, _)| **id);
        let here = |subscriber: &Subscriber| SubscriberHere {
            patterns: subscriber.patterns.iter().cloned().collect(),
            agent: subscriber.sink.agent().cloned(),
            lost: subscriber.sink.lost(),
        };
        all.into_iter().map(|(_, subscriber)| here(subscriber)).collect()
    }

    /// How many publications subscribers here have lost, because they did not take them in time;
    /// those that have ended are counted too.
    pub fn publications_lost(&self) -> u64 {
        self.topics().lost.load(Ordering::Relaxed)
    }
}
