//! What a being says to another. Each remembers its own view of it.
//!
//! It asks the registry to put its question to the other: a being need not know where another lives, nor
//! be able to reach it.

use std::sync::Arc;
use std::time::Duration;

use genii_protocols::being::{NotSaid, Query, Said, Say};
use genii_protocols::beings::{PASS_ON_PATIENCE, PassOn, PassedOn};
use genii_protocols::{AskError, Timestamp};
use genii_runtime::{Context, Mail};
use genii_storage::memories::{MemoryKind, NewMemory};

use super::mind::Mind;
use super::{TEXT_BYTES_MAX, registry};

/// Through how many beings something may go.
const HOPS_MAX: usize = 4;

/// How much longer than the other the registry may take.
const REGISTRY_PATIENCE: Duration = Duration::from_secs(5);

/// On its way to another being.
pub(super) struct Errand {
    mind: Arc<Mind>,
    registry: Mail,
}

impl Errand {
    pub(super) fn new(mind: Arc<Mind>, context: &Context) -> Self {
        Self { mind, registry: context.to(registry()) }
    }

    pub(super) async fn say(self, Say { to, text, mut path }: Say) -> Result<Said, NotSaid> {
        if text.trim().is_empty() {
            return Err(NotSaid::NotAnswered { why: "there is nothing to say".to_owned() });
        }
        path.push(self.mind.id.clone());
        if path.contains(&to) {
            return Err(NotSaid::Circle { to, path });
        }
        if path.len() > HOPS_MAX {
            return Err(NotSaid::TooFar { max: HOPS_MAX as u32, path });
        }
        let own = self.mind.who().character.called().to_owned();
        let query = Query { said: text.clone(), speaker: Some(own.clone()), path };
        let pass_on = PassOn { to: to.clone(), query };
        let patience = PASS_ON_PATIENCE + REGISTRY_PATIENCE;
        let asked = turn(&own, &text);
        let PassedOn { by, answered } = match self.registry.ask_within(pass_on, patience).await {
            Ok(passed) => passed,
            Err(AskError::Refused(NotSaid::NotAnswered { why })) => {
                return Err(self.unanswered(asked, why).await);
            }
            Err(AskError::Refused(refused)) => return Err(refused),
            Err(AskError::Fault(fault)) => {
                return Err(self.unanswered(asked, fault.to_string()).await);
            }
        };
        let answer = turn(to.as_str(), &answered.text);
        let kept = self.mind.memories.remember(vec![asked, answer]).await;
        kept.map_err(|error| NotSaid::NotAnswered {
            why: format!("{} answered, and it cannot be remembered: {error}", to.as_str()),
        })?;
        Ok(Said { by, text: answered.text })
    }

    /// The other may have heard it, and remembers that then: so does who said it.
    async fn unanswered(&self, asked: NewMemory, mut why: String) -> NotSaid {
        if let Err(error) = self.mind.memories.remember(vec![asked]).await {
            why += &format!("; and what was said cannot be remembered: {error}");
        }
        NotSaid::NotAnswered { why }
    }
}

/// What somebody said just now, as it is remembered: its beginning, if it is very long.
fn turn(speaker: &str, text: &str) -> NewMemory {
    NewMemory {
        kind: MemoryKind::Turn,
        text: text[..text.floor_char_boundary(TEXT_BYTES_MAX)].to_owned(),
        speaker: Some(speaker.to_owned()),
        at: Timestamp::now(),
        turn: None,
        subject: None,
    }
}
