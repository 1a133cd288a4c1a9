//! What a being says to another. Each remembers its own view of it.
//!
//! It asks the registry to put its question to the other: a being need not know where another lives, nor
//! be able to reach it.
//!
//! | what happens | what is remembered |
//! |---|---|
//! | the disk is full, or the store fails otherwise | nothing, and nothing is said |
//! | genii ends, or the being fails, before the other answers | what was said |
//! | the other does not answer | what was said: it may have heard it |
//! | there is no such being | nothing |
//! | what was said is forgotten before the other answers | nothing; the answer is told all the same |

use std::sync::Arc;
use std::time::Duration;

use genii_protocols::being::{NotSaid, Query, Said, Say};
use genii_protocols::beings::{PASS_ON_PATIENCE, PassOn, PassedOn};
use genii_protocols::{AskError, Timestamp};
use genii_runtime::{Context, Mail, Promise};
use genii_storage::memories::{Memories, MemoriesError, Memory, MemoryKind, NewMemory};
use genii_storage::store::Writer;

use super::mind::{Mind, memories_without_words, without_words};
use super::{TEXT_BYTES_MAX, forgetting, registry};

/// Through how many beings something may go.
const HOPS_MAX: usize = 4;

/// How much longer than the other the registry may take.
const REGISTRY_PATIENCE: Duration = Duration::from_secs(5);

/// On its way to another being.
pub(super) struct Errand {
    mind: Arc<Mind>,
    registry: Mail,
    /// The memory of what was said to nobody, of which traces are left on the disk.
    taken_back: Option<u64>,
}

impl Errand {
    pub(super) fn new(mind: Arc<Mind>, context: &Context) -> Self {
        Self { mind, registry: context.to(registry()), taken_back: None }
    }

    /// Says something, and answers with what has come of it.
    pub(super) async fn run(mut self, asked: Say, promise: Promise<Say>) {
        promise.settle(self.say(asked).await);
        // Nobody waits for this: in a large store it takes its time.
        if let Some(taken_back) = self.taken_back {
            self.clear(taken_back).await;
        }
    }

    async fn say(&mut self, Say { to, text, mut path }: Say) -> Result<Said, NotSaid> {
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
        let asked = self.keep_asked(turn(&own, &text)).await;
        let asked = asked.map_err(|error| NotSaid::NotAnswered {
            why: format!("it was not said, since it cannot be remembered: {error}"),
        })?;
        let PassedOn { by, answered } = match self.registry.ask_within(pass_on, patience).await {
            Ok(passed) => passed,
            // The other may have heard it, and remembers that then: so does who said it.
            Err(AskError::Refused(refused @ NotSaid::NotAnswered { .. })) => return Err(refused),
            Err(AskError::Fault(fault)) => {
                return Err(NotSaid::NotAnswered { why: fault.to_string() });
            }
            Err(AskError::Refused(refused)) => {
                self.take_back(asked.id).await;
                return Err(refused);
            }
        };
        let kept = self.keep_answer(asked.id, turn(to.as_str(), &answered.text)).await;
        kept.map_err(|error| NotSaid::NotAnswered {
            why: format!("{} answered, and it cannot be remembered: {error}", to.as_str()),
        })?;
        Ok(Said { by, text: answered.text })
    }

    /// Remembers what is said, before it is: from then on it can be forgotten.
    async fn keep_asked(&self, asked: NewMemory) -> Result<Memory, MemoriesError> {
        let _saying = self.mind.saying.lock().await;
        let kept = self.mind.memories.remember(vec![asked]).await?;
        kept.into_iter().next().ok_or(MemoriesError::Stopped)
    }

    /// Remembers what was answered, unless what was said has been forgotten meanwhile.
    async fn keep_answer(&self, asked: u64, answer: NewMemory) -> Result<(), MemoriesError> {
        let _saying = self.mind.saying.lock().await;
        let written = self.mind.store.write(move |writer: &mut Writer| {
            match Memories::find(writer, asked)?.is_some() {
                true => Memories::put(writer, &answer).map(Some),
                false => Ok(None),
            }
        });
        let kept = written.await?;
        self.mind.memories.take_in(kept.into_iter().collect()).await;
        Ok(())
    }

    /// Remembers no longer what was said to nobody.
    async fn take_back(&mut self, asked: u64) {
        let owed = self.mind.owed.clone();
        let removed = self.mind.store.write(move |writer: &mut Writer| {
            owed.owe(writer)?;
            Memories::remove(writer, &[asked])
        });
        let being = self.mind.id.as_str();
        if let Err(error) = removed.await {
            let why = without_words(&error);
            return tracing::warn!(being, "it still remembers what it said to nobody: {why}");
        }
        self.taken_back = Some(asked);
    }

    /// Leaves nothing on the disk of what was taken back.
    async fn clear(&self, asked: u64) {
        let being = self.mind.id.as_str();
        let purged = self.mind.memories.purge(&[asked]).await;
        if let Err(error) = purged {
            let why = memories_without_words(&error);
            tracing::warn!(being, "traces are left of what it said to nobody: {why}");
        }
        if let Err(error) = forgetting::finish(&self.mind).await {
            tracing::warn!(being, "what it said to nobody is not gone for good yet: {error}");
        }
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

#[cfg(test)]
mod tests {
    use genii_protocols::Name;

    use super::*;

    #[tokio::test]
    async fn nothing_is_said_that_cannot_be_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let (mind, node) = Mind::of_marit(folder.path()).await;
        mind.store.close().await.unwrap();
        // There is no registry here: if it were asked, it would be that which is told.
        let mind = Arc::new(mind);
        let mut errand = Errand { mind, registry: node.to(registry()), taken_back: None };
        let to = Name::new("tobin").unwrap();
        let say = Say { to, text: "Is your clock still slow?".to_owned(), path: Vec::new() };
        let why = errand.say(say).await.unwrap_err().to_string();
        assert!(why.starts_with("it was not said, since it cannot be remembered"), "{why}");
    }
}
