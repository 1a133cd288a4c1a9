//! Any server that speaks OpenAI's chat completions: Ollama, llama.cpp, vLLM, a hosted API.
//!
//! What is asked is built with the types of `async-openai`. Its client is not used: it retries by a
//! policy of its own, reads streams in a task of its own through an unbounded channel, writes what it
//! cannot read into the log, and takes a stream that was cut for one that has ended. So questions are
//! sent with `reqwest`, and the stream is read here, with every length and every wait bounded.
//!
//! What may come of a question is a table in `docs/providers.md`.

mod asking;
mod chunk;
mod events;
mod fault;
mod key;
mod prompt;
mod reading;
mod scrub;

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use genii_supervision::Backoff;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::limits::Limits;
use super::settings::{Access, ProviderSettings};
use super::{Piece, Provider, ProviderError, ProviderShare, Request};
use asking::begin;
use key::Key;
use reading::Reading;

/// The share of a wait before asking again that is left to chance, so that beings that were refused
/// together do not come back together.
const BACKOFF_JITTER: f64 = 0.5;

/// The provider of a being that asks a server.
pub struct OpenAi {
    asker: Arc<Asker>,
}

/// What all questions of a being have in common.
struct Asker {
    settings: ProviderSettings,
    access: Access,
    share: ProviderShare,
    /// The key, once it was needed. It is forgotten when it was refused, so that a new one is seen.
    key: Mutex<Option<Arc<Key>>>,
    limits: Mutex<Limits>,
    slots: Arc<Semaphore>,
    dice: Mutex<fastrand::Rng>,
}

impl OpenAi {
    pub(super) fn new(
        settings: &ProviderSettings,
        access: Access,
        share: ProviderShare,
        seed: u64,
    ) -> Self {
        let per_minute = (settings.requests_per_minute, settings.tokens_per_minute);
        let asker = Asker {
            access,
            share,
            key: Mutex::default(),
            limits: Mutex::new(Limits::new(per_minute.0, per_minute.1, Instant::now())),
            slots: Arc::new(Semaphore::new(settings.concurrent_max as usize)),
            dice: Mutex::new(fastrand::Rng::with_seed(seed)),
            settings: settings.clone(),
        };
        Self { asker: Arc::new(asker) }
    }
}

impl Provider for OpenAi {
    fn label(&self) -> String {
        format!("{} at {}", self.asker.access.model, self.asker.access.place)
    }

    fn answer(&self, request: Arc<Request>) -> BoxStream<'static, Result<Piece, ProviderError>> {
        stream::unfold(Answer::Wanted(self.asker.clone(), request), next).boxed()
    }
}

impl Asker {
    fn place(&self) -> String {
        self.access.place.clone()
    }

    /// How long to wait before a question is asked again for the `attempt`th time, from zero.
    fn backoff(&self, attempt: u32) -> Duration {
        let backoff = Backoff {
            first: self.settings.backoff_base.0,
            factor: 2.0,
            cap: self.settings.backoff_cap.0,
            jitter: BACKOFF_JITTER,
        };
        backoff.wait(attempt, self.dice.lock().f64())
    }
}

/// How far an answer has come.
enum Answer {
    Wanted(Arc<Asker>, Arc<Request>),
    Comes(Box<Reading>),
    /// It is whole, and the connection is not free yet.
    Whole(Box<Reading>),
    Over,
}

// Nothing runs between two pieces, and no task belongs to a question: dropping the stream drops the
// connection.
async fn next(answer: Answer) -> Option<(Result<Piece, ProviderError>, Answer)> {
    let mut reading = match answer {
        Answer::Wanted(asker, request) => match begin(asker, &request).await {
            Ok(reading) => Box::new(reading),
            Err(error) => return Some((Err(error), Answer::Over)),
        },
        Answer::Comes(reading) => reading,
        Answer::Whole(reading) => {
            reading.set_free().await;
            return None;
        }
        Answer::Over => return None,
    };
    match reading.next().await {
        Ok(Piece::Text(text)) => Some((Ok(Piece::Text(text)), Answer::Comes(reading))),
        Ok(end) => Some((Ok(end), Answer::Whole(reading))),
        Err(error) => Some((Err(error), Answer::Over)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::ProviderKind;
    use super::*;

    fn waits(seed: u64) -> Vec<Duration> {
        let settings = ProviderSettings {
            kind: ProviderKind::OpenAi,
            base_url: Some("http://localhost:1/v1".to_owned()),
            model: Some("m".to_owned()),
            ..ProviderSettings::default()
        };
        let access = settings.access().unwrap().unwrap();
        let asker = OpenAi::new(&settings, access, ProviderShare::new(), seed).asker;
        (0..10).map(|attempt| asker.backoff(attempt)).collect()
    }

    #[test]
    fn waits_grow_to_the_cap_and_chance_halves_them_at_most() {
        let full = |attempt| Duration::from_millis(500_u64 << attempt).min(Duration::from_secs(20));
        for (attempt, wait) in waits(7).into_iter().enumerate() {
            let full = full(attempt);
            assert!((full / 2..=full).contains(&wait), "{attempt}: {wait:?}");
        }
    }

    #[test]
    fn chance_follows_the_seed() {
        assert_eq!(waits(7), waits(7));
        assert_ne!(waits(7), waits(8));
    }
}
