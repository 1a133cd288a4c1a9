//! An answer, handed on as it comes to whoever listens.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt};
use genii_protocols::being::{NotAnswered, ProviderFault};
use tokio::time::{Instant, Sleep};

use super::{KEPT_AFTER, LISTENER_PATIENCE, Telling};
use crate::being::interruption;
use crate::being::listener::Listener;
use crate::being::provider::{Piece, ProviderError, Usage};

/// How many pieces of an answer that have come are handed on together at most.
const PIECES_AT_ONCE_MAX: usize = 16;

/// How long an answer may be that is kept, in bytes. What a provider says beyond it is not listened to.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// What came of asking the provider.
#[derive(Default)]
pub(super) struct Outcome {
    pub(super) text: String,
    pub(super) usage: Usage,
    pub(super) failure: Option<Failure>,
}

/// Why an answer has no end.
pub(super) enum Failure {
    Provider(ProviderError),
    CalledOff,
    /// The being ends, for this reason.
    Interrupted(Arc<str>),
}

impl Failure {
    pub(super) fn in_words(&self) -> String {
        match self {
            Self::Provider(error) => error.to_string(),
            Self::CalledOff => "whoever asked stopped listening".to_owned(),
            Self::Interrupted(why) => interruption::told(why),
        }
    }

    /// What whoever asked is told, with the turn as which it is kept.
    pub(super) fn not_answered(&self, turn: u64) -> NotAnswered {
        let kind = match self {
            Self::Interrupted(why) => {
                return NotAnswered::Interrupted { why: why.to_string(), turn: Some(turn) };
            }
            Self::Provider(error) => kind_of(error),
            Self::CalledOff => ProviderFault::BrokenOff,
        };
        NotAnswered::Provider { kind, why: self.in_words(), turn }
    }
}

fn kind_of(error: &ProviderError) -> ProviderFault {
    match error {
        ProviderError::Unreachable { .. } => ProviderFault::Unreachable,
        ProviderError::Keyless { .. } | ProviderError::Unauthorized { .. } => {
            ProviderFault::Unauthorized
        }
        ProviderError::Limited { .. } => ProviderFault::Limited,
        ProviderError::Refused { .. } => ProviderFault::Refused,
        ProviderError::Failed { .. } => ProviderFault::Failed,
        ProviderError::Silent { .. } => ProviderFault::Silent,
        ProviderError::Garbage { .. } => ProviderFault::Garbage,
        ProviderError::BrokenOff { .. } => ProviderFault::BrokenOff,
    }
}

impl Telling<'_> {
    /// Hands the answer on as it comes, until its end, or until nobody listens any more or the being ends. What
    /// comes at once is handed on together.
    pub(super) async fn listen(
        &mut self,
        pieces: BoxStream<'static, Result<Piece, ProviderError>>,
        listener: &mut Listener,
    ) -> Result<Outcome, NotAnswered> {
        let mut outcome = Outcome::default();
        // Whoever has gone while others were answered is not to pay for what nobody hears. Nothing is asked
        // before the first piece is wanted.
        if listener.gone().now_or_never().is_some() {
            outcome.failure = Some(Failure::CalledOff);
            return Ok(outcome);
        }
        let mut pieces = pieces.ready_chunks(PIECES_AT_ONCE_MAX);
        let early = tokio::time::sleep_until(Instant::now() + KEPT_AFTER);
        tokio::pin!(early);
        loop {
            let come = tokio::select! {
                biased;
                come = pieces.next() => come,
                () = listener.gone() => {
                    outcome.failure = Some(Failure::CalledOff);
                    return Ok(outcome);
                }
                why = self.mind.interrupted() => {
                    outcome.failure = Some(Failure::Interrupted(why));
                    return Ok(outcome);
                }
                () = &mut early, if self.kept.is_none() => {
                    self.keep_unfinished().await?;
                    continue;
                }
            };
            let (words, end) = joined(come.unwrap_or_else(|| vec![Err(self.without_an_end())]));
            outcome.text.push_str(&words);
            if outcome.text.len() > ANSWER_BYTES_MAX {
                outcome.text.truncate(outcome.text.floor_char_boundary(ANSWER_BYTES_MAX));
                outcome.usage.is_cut_off = true;
                return Ok(outcome);
            }
            if !words.is_empty()
                && let Err(failure) = self.hand_on(words, listener, early.as_mut()).await?
            {
                outcome.failure = Some(failure);
                return Ok(outcome);
            }
            match end {
                None => {}
                Some(Ok(usage)) => {
                    outcome.usage = usage;
                    if outcome.text.trim().is_empty() {
                        let place = self.who.provider.label();
                        let cause = "the answer is empty".to_owned();
                        let empty = ProviderError::Garbage { place, cause };
                        outcome.failure = Some(Failure::Provider(empty));
                    }
                    return Ok(outcome);
                }
                Some(Err(error)) => {
                    outcome.failure = Some(Failure::Provider(error));
                    return Ok(outcome);
                }
            }
        }
    }

    fn without_an_end(&self) -> ProviderError {
        let cause = "it ended without an end".to_owned();
        ProviderError::BrokenOff { place: self.who.provider.label(), cause }
    }

    /// Hands some words on; why that is the end, if it is. Who takes nothing for too long does not listen any
    /// more: others wait behind them.
    async fn hand_on(
        &mut self,
        text: String,
        listener: &mut Listener,
        mut early: Pin<&mut Sleep>,
    ) -> Result<Result<(), Failure>, NotAnswered> {
        let began = Instant::now();
        let patience = LISTENER_PATIENCE.min(self.patience);
        let handing = tokio::time::timeout(patience, listener.piece(text));
        tokio::pin!(handing);
        loop {
            tokio::select! {
                biased;
                handed = &mut handing => {
                    self.patience = self.patience.saturating_sub(began.elapsed());
                    let is_heard = matches!(handed, Ok(Ok(())));
                    return Ok(if is_heard { Ok(()) } else { Err(Failure::CalledOff) });
                }
                why = self.mind.interrupted() => return Ok(Err(Failure::Interrupted(why))),
                () = early.as_mut(), if self.kept.is_none() => self.keep_unfinished().await?,
            }
        }
    }
}

/// The words of some pieces, and how they end, if they do.
fn joined(
    pieces: Vec<Result<Piece, ProviderError>>,
) -> (String, Option<Result<Usage, ProviderError>>) {
    let mut words = String::new();
    for piece in pieces {
        match piece {
            Ok(Piece::Text(text)) => words.push_str(&text),
            Ok(Piece::End(usage)) => return (words, Some(Ok(usage))),
            Err(error) => return (words, Some(Err(error))),
        }
    }
    (words, None)
}
