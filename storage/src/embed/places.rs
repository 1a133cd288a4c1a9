//! Places for calls of an embedder that takes its time.
//!
//! Many minds share one model. A call holds a thread for as long as it lasts, so only so many are made at
//! a time, and whoever comes next waits without a thread. Questions have places of their own: what is
//! being indexed behind everybody's back does not keep them waiting.
//!
//! | a call for | at once | waits | then |
//! |---|---|---|---|
//! | a question | `questions_max` | `question_wait` | only its words count |
//! | memories | `memories_max` | for as long as it takes, in the order of coming | |

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What a text is embedded for, the more urgent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EmbedFor {
    /// Somebody waits for what is found by it.
    Question,
    /// It is kept, and nobody waits.
    Memories,
}

/// Places for calls of one embedder, whoever makes them.
#[derive(Debug)]
pub struct Places {
    questions: Arc<Semaphore>,
    memories: Arc<Semaphore>,
    question_wait: Duration,
}

impl Places {
    /// So many places for questions, each of which waits so long at most, and so many for memories.
    pub fn new(
        questions_max: NonZeroUsize,
        question_wait: Duration,
        memories_max: NonZeroUsize,
    ) -> Self {
        Self {
            questions: Arc::new(Semaphore::new(questions_max.get())),
            memories: Arc::new(Semaphore::new(memories_max.get())),
            question_wait,
        }
    }

    /// Takes a place, which is given back when it is dropped; `None` if there was none in time.
    pub async fn take(&self, of: EmbedFor) -> Option<OwnedSemaphorePermit> {
        let place = match of {
            EmbedFor::Memories => return self.memories.clone().acquire_owned().await.ok(),
            EmbedFor::Question => self.questions.clone().acquire_owned(),
        };
        tokio::time::timeout(self.question_wait, place).await.ok()?.ok()
    }

    /// How long a question waits.
    pub fn question_wait(&self) -> Duration {
        self.question_wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: NonZeroUsize = NonZeroUsize::MIN;

    #[tokio::test]
    async fn a_question_does_not_wait_for_memories() {
        let places = Places::new(ONE, Duration::from_secs(60), ONE);
        let _indexing = places.take(EmbedFor::Memories).await.unwrap();
        assert!(places.take(EmbedFor::Question).await.is_some());
    }

    #[tokio::test]
    async fn a_question_waits_for_its_turn_and_not_for_ever() {
        let places = Places::new(ONE, Duration::from_millis(1), ONE);
        let asked = places.take(EmbedFor::Question).await.unwrap();
        assert!(places.take(EmbedFor::Question).await.is_none());
        drop(asked);
        assert!(places.take(EmbedFor::Question).await.is_some());
    }

    #[tokio::test]
    async fn memories_wait_for_as_long_as_it_takes() {
        let places = Arc::new(Places::new(ONE, Duration::ZERO, ONE));
        let first = places.take(EmbedFor::Memories).await.unwrap();
        let own = places.clone();
        let second = tokio::spawn(async move { own.take(EmbedFor::Memories).await.is_some() });
        drop(first);
        assert!(second.await.unwrap());
    }
}
