//! Questions of one being to another, which go through the registry: so a being need not know where
//! another lives, nor be able to reach it.

use genii_protocols::AskError;
use genii_protocols::being::NotSaid;
use genii_protocols::beings::{NoBeing, PASS_ON_PATIENCE, PassOn, PassedOn};
use genii_runtime::{Context, HandleLater, Promise};

use super::{Registry, Shared};

/// How many questions are on their way at a time. One more is refused. With all else that the registry
/// does at a time these are fewer tasks than an agent may have.
pub(super) const PASSING_MAX: usize = 512;

impl HandleLater<PassOn> for Registry {
    async fn handle_later(&mut self, asked: PassOn, promise: Promise<PassOn>, at: &mut Context) {
        let shared = self.shared.clone();
        let Ok(place) = self.passing.clone().try_acquire_owned() else {
            let why = format!("{PASSING_MAX} beings talk with others already; ask again");
            return promise.refuse(NotSaid::NotAnswered { why });
        };
        at.spawn(async move {
            promise.settle(shared.pass_on(asked).await);
            drop(place);
        });
    }
}

impl Shared {
    async fn pass_on(&self, PassOn { to, query }: PassOn) -> Result<PassedOn, NotSaid> {
        let entry = self.find(&to).await.map_err(|why| match why {
            NoBeing::NotFound { id, nearest } => NotSaid::NoSuchBeing { to: id, nearest },
            why => NotSaid::NotAnswered { why: why.to_string() },
        })?;
        let by = self.address(&entry.id);
        let answered = self.node.to(by.clone()).ask_within(query, PASS_ON_PATIENCE).await;
        let answered = answered.map_err(|error| {
            let why = match error {
                // It is not that of who asks for this.
                AskError::Refused(no) => format!("{} does not answer: {no}", entry.id.as_str()),
                AskError::Fault(fault) => fault.to_string(),
            };
            NotSaid::NotAnswered { why }
        })?;
        Ok(PassedOn { by, answered })
    }
}
