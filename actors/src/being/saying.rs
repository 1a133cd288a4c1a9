//! What a being says to another. Each remembers its own view of it.

use std::sync::Arc;
use std::time::Duration;

use genii_protocols::being::{Answered, NotSaid, Query, Said, Say};
use genii_protocols::beings::{NoBeing, RouteBeing};
use genii_protocols::{Address, AskError, Timestamp};
use genii_runtime::{Context, Mail, Node};
use genii_storage::memories::{MemoryKind, NewMemory};

use super::mind::Mind;
use super::registry;

/// Through how many beings something may go.
const HOPS_MAX: usize = 4;

/// How long another being may take to answer.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long the registry may take to say where a being is.
const ROUTE_PATIENCE: Duration = Duration::from_secs(5);

/// On its way to another being.
pub(super) struct Errand {
    mind: Arc<Mind>,
    node: Node,
    registry: Mail,
}

impl Errand {
    pub(super) fn new(mind: Arc<Mind>, context: &Context) -> Self {
        Self { mind, node: context.node().clone(), registry: context.to(registry()) }
    }

    pub(super) async fn say(self, Say { to, text, mut path }: Say) -> Result<Said, NotSaid> {
        path.push(self.mind.id.clone());
        if path.contains(&to) {
            return Err(NotSaid::Circle { to, path });
        }
        if path.len() > HOPS_MAX {
            return Err(NotSaid::TooFar { max: HOPS_MAX as u32, path });
        }
        let route = self.registry.ask_within(RouteBeing { id: to.clone() }, ROUTE_PATIENCE).await;
        let address: Address = route.map_err(|error| match error {
            AskError::Refused(NoBeing::NotFound { .. }) => NotSaid::NoSuchBeing { to: to.clone() },
            error => NotSaid::NotAnswered { why: error.to_string() },
        })?;
        let own = self.mind.who().character.called().to_owned();
        let query = Query { said: text.clone(), speaker: Some(own.clone()), path };
        let answered = self.node.to(address.clone()).ask_within(query, PATIENCE).await;
        let Answered { text: answer, .. } =
            answered.map_err(|error| NotSaid::NotAnswered { why: error.to_string() })?;
        let now = Timestamp::now();
        let turn = |speaker: &str, text: &str| NewMemory {
            kind: MemoryKind::Turn,
            text: text.to_owned(),
            speaker: Some(speaker.to_owned()),
            at: now,
            turn: None,
            subject: None,
        };
        let kept = vec![turn(&own, &text), turn(to.as_str(), &answer)];
        let kept = self.mind.memories.remember(kept).await;
        kept.map_err(|error| NotSaid::NotAnswered {
            why: format!("{} answered, and it cannot be remembered: {error}", to.as_str()),
        })?;
        Ok(Said { by: address, text: answer })
    }
}
