//! What a being is to remember, as whoever asks or tells it wants. It is kept in the order in which it comes, several
//! in one commit, and whoever asks something else meanwhile does not wait for the disk.
//!
//! What is told, and not asked, is kept before the next message is looked at: its sender waits for no answer, and
//! may ask for it at once.

use std::sync::Arc;

use genii_protocols::being::{self, NotKept, Remember};
use genii_protocols::{Destination, Fault, Message, Rejection, Timestamp};
use genii_runtime::{Context, HandleLater, Promise};
use genii_storage::memories::{MemoriesError, Memory, MemoryKind, NewMemory};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::mind::memories_without_words;
use super::{Being, TEXT_BYTES_MAX, named, not_kept, recollection};

/// How many are kept at a time. One more waits in the mailbox. Who ends waits for all of them, so they are few: a long
/// text takes a while.
const KEPT_AT_ONCE: u32 = 16;

/// What is being kept.
pub(super) struct Keeping(Arc<Semaphore>);

impl Default for Keeping {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(KEPT_AT_ONCE as usize)))
    }
}

impl Keeping {
    /// A place for one more, when there is one. It is never closed, so there always comes one.
    pub(super) async fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0).acquire_owned().await.ok()
    }

    /// Waits until all is kept that has been begun.
    pub(super) async fn is_done(&self) {
        drop(self.0.acquire_many(KEPT_AT_ONCE).await);
    }
}

impl HandleLater<Remember> for Being {
    async fn handle_later(
        &mut self,
        asked: Remember,
        promise: Promise<Remember>,
        at: &mut Context,
    ) {
        let grave = promise.is_told().then(|| at.grave::<Remember>());
        let (new, grave) = match (new_memory(asked), grave) {
            (Ok(new), grave) => (new, grave),
            (Err(refused), None) => return promise.refuse(refused),
            (Err(NotKept { why: detail }), Some(grave)) => {
                return grave.bury(|to| fault(to, Rejection::Malformed { detail }));
            }
        };
        let place = self.mind.keeping.place().await;
        // Begun here, in the order of the mailbox.
        let kept = self.mind.memories.remember(vec![new]);
        if let Some(grave) = grave {
            match kept.await {
                Ok(_) => grave.close(),
                Err(error) => {
                    let why = memories_without_words(&error);
                    tracing::warn!(
                        being = self.mind.id.as_str(),
                        "what it was told is not kept: {why}"
                    );
                    grave.bury(|to| fault(to, Rejection::Unanswered));
                }
            }
            return;
        }
        at.spawn(async move {
            promise.settle(answer(kept.await));
            drop(place);
        });
    }
}

/// What is to be remembered, if it can be.
fn new_memory(Remember { text, speaker, at }: Remember) -> Result<NewMemory, NotKept> {
    let text = text.trim().to_owned();
    if text.is_empty() || text.len() > TEXT_BYTES_MAX {
        let why = format!("a memory has 1 to {TEXT_BYTES_MAX} bytes; this has {}", text.len());
        return Err(NotKept { why });
    }
    let speaker = named(speaker).map_err(|unfit| NotKept { why: unfit.to_string() })?;
    let at = at.unwrap_or_else(Timestamp::now);
    Ok(NewMemory { kind: MemoryKind::Note, text, speaker, at, turn: None, subject: None })
}

fn answer(kept: Result<Vec<Memory>, MemoriesError>) -> Result<being::Memory, NotKept> {
    let kept = kept.map_err(|error| not_kept(&error))?;
    kept.first()
        .map(recollection::memory)
        .ok_or_else(|| NotKept { why: "it was not kept; try again".to_owned() })
}

/// Why what was told is lost, for its dead letter.
fn fault(to: Destination, reason: Rejection) -> Fault {
    Fault::Rejected { to, message: Remember::NAME.to_owned(), reason }
}
