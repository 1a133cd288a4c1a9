//! Reading an answer as it comes.

use std::time::Duration;

use reqwest::Response;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout, timeout_at};

use super::super::limits::tokens_in;
use super::super::{Piece, ProviderError, Usage};
use super::asking::Question;
use super::chunk::{Chunk, Finish, NoChunk};
use super::events::Events;
use super::fault;

/// How long to wait for the count of tokens once the answer is there.
const AFTERWORD_TIMEOUT: Duration = Duration::from_secs(2);

/// How long to wait for the end of a stream whose last event was read.
const SET_FREE_TIMEOUT: Duration = Duration::from_millis(100);

/// How much may come without a word in it, in bytes.
const WORDLESS_LEN_MAX: usize = 4 << 20;

/// How long a token may be, in bytes. A server that sends more than the answer may have is left.
const TOKEN_LEN_MAX: usize = 128;

/// The event after which nothing comes.
const DONE: &str = "[DONE]";

/// An answer that comes. Dropping it drops the connection.
pub(super) struct Reading {
    question: Question,
    response: Response,
    events: Events,
    /// Held as long as the answer comes.
    _slot: OwnedSemaphorePermit,
    /// By when the model must have said something.
    first_by: Instant,
    /// Since when it is waited for more.
    waiting_since: Instant,
    /// The model has said something, if only to itself.
    is_alive: bool,
    /// How much came since, in bytes.
    wordless_len: usize,
    /// How much was handed on, in bytes.
    answer_len: usize,
    has_events: bool,
    finish: Option<Finish>,
    usage: Usage,
}

impl Reading {
    pub(super) fn new(
        question: Question,
        response: Response,
        first_by: Instant,
        slot: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            question,
            response,
            events: Events::default(),
            _slot: slot,
            first_by,
            waiting_since: Instant::now(),
            is_alive: false,
            wordless_len: 0,
            answer_len: 0,
            has_events: false,
            finish: None,
            usage: Usage::default(),
        }
    }

    /// The next words, or the end.
    pub(super) async fn next(&mut self) -> Result<Piece, ProviderError> {
        self.waiting_since = Instant::now();
        loop {
            while let Some(event) = self.next_event()? {
                if let Some(piece) = self.take(&event)? {
                    return Ok(piece);
                }
            }
            if !self.read().await? {
                return self.ended();
            }
        }
    }

    /// Reads what is left after an answer, which is next to nothing. A connection that is left with
    /// something to read is closed; one that is read to its end takes the next question.
    pub(super) async fn set_free(mut self) {
        let left = async { while let Ok(Some(_)) = self.response.chunk().await {} };
        // If there is more than that, closing it is cheaper.
        let _ = timeout(SET_FREE_TIMEOUT, left).await;
    }

    fn next_event(&mut self) -> Result<Option<String>, ProviderError> {
        let event = self.events.next();
        event.map_err(|bad| self.question.garbage(bad.to_string()))
    }

    /// What an event brings, if anything.
    fn take(&mut self, event: &str) -> Result<Option<Piece>, ProviderError> {
        self.has_events = true;
        if event.trim() == DONE {
            return self.whole().map(Some);
        }
        let chunk = Chunk::read(event).map_err(|bad| self.no_chunk(bad, event.len()))?;
        self.finish = self.finish.or(chunk.finish);
        self.usage.prompt_tokens = chunk.prompt_tokens.or(self.usage.prompt_tokens);
        self.usage.reply_tokens = chunk.reply_tokens.or(self.usage.reply_tokens);
        self.question.under_way.count(self.usage);
        if chunk.is_alive {
            self.is_alive = true;
            self.wordless_len = 0;
            self.waiting_since = Instant::now();
        }
        if chunk.text.is_empty() { Ok(None) } else { self.hand_on(chunk.text).map(Some) }
    }

    fn hand_on(&mut self, text: String) -> Result<Piece, ProviderError> {
        self.answer_len += text.len();
        let max = self.question.reply_tokens_max;
        if self.answer_len > (max as usize).saturating_mul(TOKEN_LEN_MAX) {
            return Err(self.broken_off(format!("it sends far more than {max} tokens")));
        }
        self.charge(tokens_in(&text));
        Ok(Piece::Text(text))
    }

    fn charge(&mut self, tokens: u32) {
        self.question.asker.limits.lock().settle(0, tokens);
        self.question.charged = self.question.charged.saturating_add(tokens);
    }

    /// Corrects the limits of the being by what the server has counted, if it has.
    fn settle(&mut self) {
        if let (Some(prompt), Some(reply)) = (self.usage.prompt_tokens, self.usage.reply_tokens) {
            let taken = prompt.saturating_add(reply);
            let charged = std::mem::replace(&mut self.question.charged, taken);
            self.question.asker.limits.lock().settle(charged, taken);
        }
    }

    /// Reads on; false when nothing more is to come.
    async fn read(&mut self) -> Result<bool, ProviderError> {
        if self.wordless_len > WORDLESS_LEN_MAX {
            return Err(self
                .question
                .garbage(format!("{} bytes without a word", self.wordless_len)));
        }
        let until = self.until();
        // Asked first, because what comes without end is always there.
        if Instant::now() >= until {
            return self.out_of_patience();
        }
        match timeout_at(until, self.response.chunk()).await {
            Ok(Ok(Some(bytes))) => {
                self.wordless_len += bytes.len();
                self.events.push(&bytes);
                Ok(true)
            }
            Ok(Ok(None)) => Ok(false),
            Ok(Err(_)) if self.finish.is_some() => Ok(false),
            Ok(Err(error)) => {
                let why = self.question.scrub.clean(&fault::why(&error));
                Err(self.broken_off(why))
            }
            Err(_) => self.out_of_patience(),
        }
    }

    /// How long to wait for what comes next.
    fn until(&self) -> Instant {
        let until = match self.finish {
            Some(_) => self.waiting_since + AFTERWORD_TIMEOUT,
            None if self.is_alive => {
                self.waiting_since + self.question.asker.settings.token_timeout.0
            }
            None => self.first_by,
        };
        until.min(self.question.deadline)
    }

    /// What it means that nothing came in time; false when the answer was there already.
    fn out_of_patience(&self) -> Result<bool, ProviderError> {
        if self.finish.is_some() {
            return Ok(false);
        }
        let settings = &self.question.asker.settings;
        let is_over = Instant::now() >= self.question.deadline;
        Err(match (is_over, self.answer_len > 0) {
            (true, true) => {
                let max = settings.total_timeout;
                self.broken_off(format!("it was not done within {max} (`total_timeout`)"))
            }
            (true, false) => ProviderError::Silent {
                place: self.question.place(),
                patience: settings.total_timeout.0,
                setting: "total_timeout",
            },
            (false, _) if self.is_alive => ProviderError::Silent {
                place: self.question.place(),
                patience: settings.token_timeout.0,
                setting: "token_timeout",
            },
            (false, _) => self.question.silent(self.first_by),
        })
    }

    /// What it means that the stream has ended.
    fn ended(&mut self) -> Result<Piece, ProviderError> {
        // What is left counts if it makes sense; if not, it is half an event.
        if let Ok(Some(event)) = self.events.finish()
            && let Ok(Some(piece)) = self.take(&event)
        {
            return Ok(piece);
        }
        match self.finish {
            Some(_) => self.whole(),
            None if !self.has_events => Err(self.question.garbage("a stream without an event")),
            None => Err(self.broken_off("the connection was closed")),
        }
    }

    /// The end of an answer that is whole.
    fn whole(&mut self) -> Result<Piece, ProviderError> {
        // Also what cannot be used was taken.
        self.settle();
        let place = self.question.place();
        match self.finish {
            Some(Finish::Filtered) => {
                let cause = "its content filter stopped the answer".to_owned();
                return Err(ProviderError::Refused { place, cause });
            }
            Some(Finish::TooLong) => self.usage.is_cut_off = true,
            Some(Finish::Whole) | None => {}
        }
        if self.answer_len == 0 {
            let cause = "an answer without a word; a model that thinks before it speaks may need a \
                         larger `reply_tokens_max`";
            return Err(self.question.garbage(cause));
        }
        Ok(Piece::End(self.usage))
    }

    fn no_chunk(&self, bad: NoChunk, len: usize) -> ProviderError {
        // What it says is left out, for it may be what the being would have said.
        match bad {
            NoChunk::NoJson => {
                self.question.garbage(format!("an event of {len} bytes that is not JSON"))
            }
            NoChunk::NoCompletion => self
                .question
                .garbage(format!("an event of {len} bytes that is no part of an answer")),
            NoChunk::Error(error) => {
                let said = fault::message(&error).unwrap_or_else(|| error.to_string());
                let cause = self.question.scrub.clean(&said);
                let place = self.question.place();
                match self.answer_len {
                    0 => ProviderError::Failed { place, cause },
                    _ => ProviderError::BrokenOff { place, cause },
                }
            }
        }
    }

    fn broken_off(&self, cause: impl Into<String>) -> ProviderError {
        ProviderError::BrokenOff { place: self.question.place(), cause: cause.into() }
    }
}
