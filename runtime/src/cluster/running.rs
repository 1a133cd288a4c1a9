//! What a node does for the people at another: the admin commands.
//!
//! They travel in a frame of their own and not as messages: no agent and no client can send one,
//! whatever addresses it may reach.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt};
use genii_protocols::{Address, Destination, Fault, Json, NodeName, Rejection, wire};
use parking_lot::RwLock;
use tokio::sync::{Semaphore, watch};
use tokio::task::coop::unconstrained;

use super::examining::Examine;
use super::{Cluster, Inner};
use crate::link::flowing::FarOutlet;
use crate::link::sending::Link;
use crate::node::Node;
use crate::stream::{Flowing, JsonAnswers, Origin, Source};

/// How many commands of other nodes may run at once; more are refused.
const RUNNING_MAX: usize = 64;

/// How long a command may say nothing, as one that follows the journal does. A node that is gone
/// ends it at once.
const SILENCE_MAX: Duration = Duration::from_secs(30 * 24 * 3_600);

/// How long to wait for room to send a command.
const SEND_PATIENCE: Duration = Duration::from_secs(5);

/// Carries out a command: what it says, one thing after another, or why it was refused.
pub type Carry = dyn Fn(NodeName, Json) -> BoxStream<'static, Result<Json, Json>> + Send + Sync;

/// Who carries out the commands of other nodes, and how many run.
pub(super) struct Running {
    carry: RwLock<Option<Arc<Carry>>>,
    places: Arc<Semaphore>,
}

impl Default for Running {
    fn default() -> Self {
        Self { carry: RwLock::default(), places: Arc::new(Semaphore::new(RUNNING_MAX)) }
    }
}

impl Running {
    /// Waits until no command runs, for so long at most. Once this node leaves, each ends when what it has
    /// said is on its way.
    pub(super) async fn all_gone(&self, patience: Duration) {
        let all = u32::try_from(RUNNING_MAX).expect("they are few");
        // Who reads too slowly loses what it has not read.
        let _are_gone = tokio::time::timeout(patience, self.places.acquire_many(all)).await;
    }
}

impl Cluster {
    /// Says who carries out the commands that are given at other nodes for this one.
    pub fn carry_out(&self, carry: Arc<Carry>) {
        *self.0.running.carry.write() = Some(carry);
    }

    /// Gives a command to another node. What it says comes as a stream, whose end is `null`, or the
    /// refusal.
    ///
    /// # Errors
    /// When the node cannot be reached, or the command is too large.
    pub async fn run(&self, node: &NodeName, command: &Json) -> Result<JsonAnswers, Box<Fault>> {
        let to = destination(node);
        let unreachable = || Box::new(Fault::Unreachable { to: to.clone(), node: node.clone() });
        let link = self.link(node).ok_or_else(unreachable)?;
        let sending = link.run(command.0.to_string().into_bytes());
        let sent = tokio::time::timeout(SEND_PATIENCE, sending).await;
        let stream = sent.map_err(|_| unreachable())?.map_err(|_| unreachable())?;
        let origin = Origin::Far(node.clone());
        let source = Source { to, origin, patience: SILENCE_MAX, message: "a command".into() };
        Ok(JsonAnswers::new(Flowing::Far(stream), source))
    }
}

/// What stands for a node in faults about it.
pub(super) fn destination(node: &NodeName) -> Destination {
    let address = Address::parse("genii/commands").expect("it is a good address");
    Destination { node: Some(node.clone()), address }
}

impl Inner {
    /// Another node has given a command.
    pub(crate) fn run(&self, link: &Arc<Link>, correlation: u64, command: &[u8]) {
        let refuse = |reason: Rejection| {
            let (to, message) = (destination(&self.name), "a command".to_owned());
            link.fail(correlation, Fault::Rejected { to, message, reason });
        };
        let command = match serde_json::from_slice(command) {
            Ok(command) => Json(command),
            Err(error) => return refuse(Rejection::Malformed { detail: error.to_string() }),
        };
        let carry = self.running.carry.read().clone();
        let doing = match (Examine::read(&command), self.node.upgrade(), carry) {
            (Some(examine), Some(node), _) => Doing::Examine(examine, node),
            (_, _, Some(carry)) => Doing::Carry(carry, command),
            _ => return refuse(Rejection::UnknownMessage { nearest: None }),
        };
        let place = self.running.places.clone().try_acquire_owned();
        let outlet = place.ok().and_then(|place| Some((link.open_outlet(correlation)?, place)));
        let Some((outlet, place)) = outlet else {
            let to = destination(&self.name);
            return link.fail(correlation, Fault::Overloaded { to, capacity: RUNNING_MAX });
        };
        let (own, link) = (self.name.clone(), link.clone());
        // Begun when there is a place for it, and not before.
        let said = doing.begin(&link.peer);
        let leaving = self.is_leaving.subscribe();
        tokio::spawn(async move {
            say(&own, &link, correlation, &outlet, said, leaving).await;
            link.close_outlet(correlation);
            drop(place);
        });
    }
}

/// What is to be done for another node.
enum Doing {
    Examine(Examine, Node),
    Carry(Arc<Carry>, Json),
}

impl Doing {
    fn begin(self, by: &NodeName) -> BoxStream<'static, Result<Json, Json>> {
        match self {
            Self::Examine(examine, node) => {
                futures_util::stream::once(examine.answer(node).map(Ok)).boxed()
            }
            Self::Carry(carry, command) => carry(by.clone(), command),
        }
    }
}

/// Sends back what a command says, until its end, or until nobody wants it any more or this node leaves.
async fn say(
    own: &NodeName,
    link: &Arc<Link>,
    correlation: u64,
    outlet: &FarOutlet,
    mut said: BoxStream<'static, Result<Json, Json>>,
    mut leaving: watch::Receiver<bool>,
) {
    loop {
        let next = tokio::select! {
            biased;
            () = outlet.gone() => return,
            next = said.next() => next,
            _ = leaving.wait_for(|is_leaving| *is_leaving) => {
                // A task that has done much in one go is told that there is nothing.
                match unconstrained(said.next()).now_or_never() {
                    Some(next) => next,
                    None => return,
                }
            }
        };
        let end: Result<Json, Json> = match next {
            Some(Ok(item)) => match wire::encode(&item) {
                Ok(item) if link.item(outlet, correlation, &item).await.is_ok() => continue,
                Ok(_) => return,
                Err(error) => Err(Json(serde_json::json!({ "message": error.to_string() }))),
            },
            Some(Err(refusal)) => Err(refusal),
            None => Ok(Json::default()),
        };
        let said = wire::encode(&end).map(|end| link.reply(correlation, end, None));
        if !matches!(said, Ok(Ok(()))) {
            tracing::warn!(node = %link.peer, "the end of a command cannot be said: {said:?}");
            // Who gave the command would wait for its end as long as the link lasts.
            let (to, reason) = (destination(own), Rejection::Unanswered);
            link.fail(correlation, Fault::Rejected { to, message: "a command".to_owned(), reason });
        }
        return;
    }
}
