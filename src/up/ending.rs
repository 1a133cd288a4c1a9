//! The end of a running genii: who asks for it, and who waits for it.

use std::sync::{Arc, OnceLock};

use tokio::sync::watch;
use tokio::time::Instant;

/// The end. Cheap to clone; all clones are the same end.
#[derive(Clone, Default)]
pub struct Ending(Arc<Inner>);

struct Inner {
    /// Why it has begun; nothing before.
    begun: watch::Sender<Option<String>>,
    /// Until when what clients have asked may still be answered.
    answers_until: OnceLock<Instant>,
    /// How many processes are left, once all else has stopped.
    ended: watch::Sender<Option<usize>>,
}

impl Default for Inner {
    fn default() -> Self {
        let (begun, ended) = (watch::Sender::new(None), watch::Sender::new(None));
        Self { begun, answers_until: OnceLock::new(), ended }
    }
}

impl Ending {
    /// Asks for it. The first reason counts.
    pub fn begin(&self, why: &str) {
        self.0.begun.send_if_modified(|begun| {
            let is_first = begun.is_none();
            begun.get_or_insert_with(|| why.to_owned());
            is_first
        });
    }

    /// Asks for it, and lets clients wait until then for the answers that they wait for already.
    pub fn begin_with_answers(&self, why: &str, until: Instant) {
        // Who asked for it first has said until when.
        let _is_first = self.0.answers_until.set(until);
        self.begin(why);
    }

    /// Until when clients may wait for their answers, if somebody has said so.
    pub fn answers_until(&self) -> Option<Instant> {
        self.0.answers_until.get().copied()
    }

    /// Waits until somebody has asked for it, and says why.
    pub async fn begun(&self) -> String {
        wait(&self.0.begun).await
    }

    /// Everything has stopped but for so many processes.
    pub fn finish(&self, left: usize) {
        self.0.ended.send_replace(Some(left));
    }

    /// Waits until everything has stopped, and says how many processes are left.
    pub async fn ended(&self) -> usize {
        wait(&self.0.ended).await
    }
}

async fn wait<T: Clone>(on: &watch::Sender<Option<T>>) -> T {
    let mut receiver = on.subscribe();
    let value = receiver.wait_for(Option::is_some).await.map(|value| value.clone());
    value.ok().flatten().expect("the sender lives as long as this borrow of it")
}
