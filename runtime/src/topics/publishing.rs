//! Publishing: to the subscribers here, and once to each other node that has some.

use std::fmt;
use std::sync::Arc;

use futures_util::future::join_all;
use genii_protocols::wire::MESSAGE_MAX_LEN;
use genii_protocols::{NodeName, Sender, Topic, TraceContext};
use serde::Serialize;
use tokio::time::Instant;

use super::Publication;
use crate::link::sending::NotSent;
use crate::node::Node;

/// On whose behalf something is published.
#[derive(Default)]
pub(crate) struct Origin {
    pub(crate) from: Option<Arc<Sender>>,
    pub(crate) deadline: Option<Instant>,
    pub(crate) trace: Option<TraceContext>,
}

/// Whom something published has reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reached {
    /// How many subscribers here it was handed to.
    pub here: usize,
    /// To how many other nodes with subscribers it was sent.
    pub nodes: usize,
}

/// Why something was not published, or not everywhere.
#[derive(Debug, thiserror::Error)]
pub enum NotPublished {
    /// It cannot be written as JSON.
    #[error("it has no form as JSON: {0}")]
    NoForm(#[source] serde_json::Error),
    /// It is larger than any message may be.
    #[error("it has {len} bytes, more than the limit of {MESSAGE_MAX_LEN}")]
    TooLarge {
        /// Its size as JSON text, in bytes.
        len: usize,
    },
    /// Some nodes have subscribers and were not reached. All others were.
    #[error("it did not reach the subscribers on {}", list(nodes))]
    NotReached {
        /// Those nodes, each with why.
        nodes: Vec<(NodeName, Unreached)>,
        /// Whom it has reached.
        reached: Reached,
    },
}

/// Why a node was not reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreached {
    /// There was no room on the link to it in time.
    Crowded,
    /// It is not connected any more.
    Lost,
}

impl fmt::Display for Unreached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Crowded => "there was no room on the link to it in time",
            Self::Lost => "it is not connected any more",
        })
    }
}

fn list(nodes: &[(NodeName, Unreached)]) -> String {
    let each: Vec<String> = nodes.iter().map(|(node, why)| format!("{node} ({why})")).collect();
    each.join(", ")
}

impl Node {
    /// Publishes something about a topic: a message, or any [`Json`](genii_protocols::Json). It has
    /// been handed to the subscribers here and put on the link to each other node that has some when
    /// this returns. What one publisher publishes, one thing after another, comes to each subscriber
    /// in that order.
    ///
    /// Where there is no room on a link it waits, for the node's `tell_patience` at most.
    ///
    /// # Errors
    /// When it has no form or is too large, and then nobody was reached; or when some nodes were not
    /// reached.
    pub async fn publish<T: Serialize + Sync + ?Sized>(
        &self,
        topic: &Topic,
        message: &T,
    ) -> Result<Reached, NotPublished> {
        self.publish_from(Origin::default(), topic, message).await
    }

    pub(crate) async fn publish_from<T: Serialize + Sync + ?Sized>(
        &self,
        origin: Origin,
        topic: &Topic,
        message: &T,
    ) -> Result<Reached, NotPublished> {
        let text = serde_json::to_string(message).map_err(NotPublished::NoForm)?;
        if text.len() > MESSAGE_MAX_LEN {
            return Err(NotPublished::TooLarge { len: text.len() });
        }
        let patience = Instant::now() + self.limits().tell_patience;
        let deadline = origin.deadline.map_or(patience, |deadline| deadline.min(patience));
        let Origin { from, trace, .. } = origin;
        let name = self.name().clone();
        let publication = Arc::new(Publication::new(topic.clone(), name, from, trace, text));
        let here = self.topics().distribute(self, &publication);
        self.send_published(&publication, here, deadline).await
    }

    /// Sends something to each other node that wants it, to all at once.
    async fn send_published(
        &self,
        publication: &Publication,
        here: usize,
        deadline: Instant,
    ) -> Result<Reached, NotPublished> {
        let nodes = self.topics().nodes(publication.topic());
        let wanting = nodes.len();
        let each = nodes.into_iter().map(|node| async move {
            let sent = self.send_published_to(&node, publication, deadline).await;
            sent.err().map(|why| (node, why))
        });
        let unreached: Vec<_> = join_all(each).await.into_iter().flatten().collect();
        let reached = Reached { here, nodes: wanting - unreached.len() };
        match unreached.is_empty() {
            true => Ok(reached),
            false => Err(NotPublished::NotReached { nodes: unreached, reached }),
        }
    }

    async fn send_published_to(
        &self,
        node: &NodeName,
        publication: &Publication,
        deadline: Instant,
    ) -> Result<(), Unreached> {
        let link = self.cluster().and_then(|cluster| cluster.link(node)).ok_or(Unreached::Lost)?;
        let sent = link.publish(publication, deadline, self.deadlines()).await;
        sent.map_err(|why| match why {
            NotSent::Crowded | NotSent::TooLarge(_) => Unreached::Crowded,
            NotSent::Lost => Unreached::Lost,
        })
    }
}
