//! Asking: from a question to the first sign that it will be answered.

use std::sync::Arc;
use std::time::Duration;

use genii_protocols::TimeSpan;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::Value;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep, timeout_at};

use super::super::limits::LimitReached;
use super::super::share::is_this_machine;
use super::super::{ProviderError, Request, UnderWay};
use super::Asker;
use super::fault::{self, Again, Fault};
use super::key::Key;
use super::prompt;
use super::reading::Reading;
use super::scrub::Scrub;

/// What of a question is needed as long as it is under way.
pub(super) struct Question {
    pub asker: Arc<Asker>,
    pub scrub: Scrub,
    /// When all of it must be over.
    pub deadline: Instant,
    /// How many tokens the answer may have.
    pub reply_tokens_max: u32,
    /// How many tokens were taken out of the limits for it so far.
    pub charged: u32,
    /// Whether it is with the server.
    pub under_way: UnderWay,
}

/// Asks, as often as may be, until somebody begins to answer.
pub(super) async fn begin(asker: Arc<Asker>, request: &Request) -> Result<Reading, ProviderError> {
    let deadline = Instant::now() + asker.settings.total_timeout.0;
    let tokens = prompt::prompt_tokens(request);
    admit(&asker, tokens)?;
    let begun = begin_admitted(&asker, request, deadline, tokens).await;
    if begun.is_err() {
        asker.limits.lock().settle(tokens, 0);
    }
    begun
}

async fn begin_admitted(
    asker: &Arc<Asker>,
    request: &Request,
    deadline: Instant,
    charged: u32,
) -> Result<Reading, ProviderError> {
    let slot = slot(asker, deadline).await?;
    let key = key(asker, deadline).await?;
    let connect_timeout = asker.settings.connect_timeout.0;
    let client = asker.share.client(&asker.access.url, connect_timeout).await;
    let client =
        client.map_err(|cause| ProviderError::Unreachable { place: asker.place(), cause })?;
    let body = prompt::body(&asker.settings, &asker.access.model, request);
    let reply_tokens_max = prompt::reply_tokens_max(&asker.settings, request);
    let scrub = Scrub::new(key.clone());
    let (asker, under_way) = (asker.clone(), request.under_way.clone());
    let question = Question { asker, scrub, deadline, reply_tokens_max, charged, under_way };
    let (response, first_by) = question.ask_until_answered(&client, key.as_deref(), &body).await?;
    Ok(Reading::new(question, response, first_by, slot))
}

/// Refuses what is beyond the limits of the being.
fn admit(asker: &Asker, tokens: u32) -> Result<(), ProviderError> {
    let admitted = asker.limits.lock().admit(Instant::now(), tokens);
    admitted.map_err(|reached| match reached {
        LimitReached::For { name, limit, wait } => {
            // In whole seconds, and not too early.
            let wait = TimeSpan::from_secs(wait.as_secs() + 1);
            let cause = format!("its limit of {limit} is reached (`{name}`); ask again in {wait}");
            ProviderError::Limited { place: "this being".to_owned(), cause }
        }
        LimitReached::ForGood { tokens, limit } => {
            let cause = format!(
                "it has about {tokens} tokens, and the being may use {limit} a minute \
                 (`tokens_per_minute`)"
            );
            ProviderError::Refused { place: "this being".to_owned(), cause }
        }
    })
}

/// Waits until there are not too many questions under way.
async fn slot(asker: &Asker, deadline: Instant) -> Result<OwnedSemaphorePermit, ProviderError> {
    let acquired = timeout_at(deadline, asker.slots.clone().acquire_owned()).await;
    let refused = || {
        let max = asker.settings.concurrent_max;
        let cause = format!("{max} questions were under way all the time (`concurrent_max`)");
        ProviderError::Limited { place: "this being".to_owned(), cause }
    };
    acquired.map_err(|_| refused())?.map_err(|_| refused())
}

/// The key, read if it was not before.
async fn key(asker: &Asker, deadline: Instant) -> Result<Option<Arc<Key>>, ProviderError> {
    if let Some(key) = &*asker.key.lock() {
        return Ok(Some(key.clone()));
    }
    let reading = timeout_at(deadline, Key::read(&asker.access.key, &asker.share)).await;
    let no_key = |cause: String| ProviderError::Keyless { place: asker.place(), cause };
    let read = reading.map_err(|_| no_key("reading the key takes too long".to_owned()))?;
    let Some(key) = read.map_err(|error| no_key(error.to_string()))?.map(Arc::new) else {
        return Ok(None);
    };
    let url = &asker.access.url;
    let is_in_clear = url.scheme() == "http" && !is_this_machine(url);
    if is_in_clear && asker.share.is_news(&asker.access.place) {
        tracing::warn!(place = asker.access.place, "the key is sent there unencrypted; use https");
    }
    *asker.key.lock() = Some(key.clone());
    Ok(Some(key))
}

impl Question {
    pub(super) fn place(&self) -> String {
        self.asker.place()
    }

    pub(super) fn garbage(&self, cause: impl Into<String>) -> ProviderError {
        ProviderError::Garbage { place: self.place(), cause: cause.into() }
    }

    /// Asks again and again as long as that may help: the response, and by when it must have said
    /// something.
    async fn ask_until_answered(
        &self,
        client: &Client,
        key: Option<&Key>,
        body: &[u8],
    ) -> Result<(Response, Instant), ProviderError> {
        let mut attempt = 0;
        loop {
            let patience = self.asker.settings.first_token_timeout.0;
            let first_by = (Instant::now() + patience).min(self.deadline);
            let mut request = client.post(self.asker.access.url.clone()).body(body.to_vec());
            if let Some(key) = key {
                request = request.header(AUTHORIZATION, key.authorization());
            }
            self.under_way.set(true);
            let fault = match self.ask(request, first_by).await {
                Ok(response) => return Ok((response, first_by)),
                Err(fault) => fault,
            };
            self.under_way.set(fault.error.may_have_cost());
            let Some(wait) = self.wait_after(&fault, attempt) else {
                return Err(counted(fault.error, attempt + 1));
            };
            tracing::debug!(
                place = self.asker.access.place,
                attempt,
                ?wait,
                "a question is asked again"
            );
            sleep(wait).await;
            attempt += 1;
        }
    }

    /// Asks once.
    async fn ask(&self, request: RequestBuilder, first_by: Instant) -> Result<Response, Fault> {
        let request =
            request.header(CONTENT_TYPE, "application/json").header(ACCEPT, "text/event-stream");
        let response = match timeout_at(first_by, request.send()).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(fault::of_sending(&error, self.place(), &self.scrub)),
            Err(_) => return Err(Fault { error: self.silent(first_by), again: Again::Never }),
        };
        if !response.status().is_success() {
            let fault = fault::of_status(response, self.place(), &self.scrub).await;
            if matches!(fault.error, ProviderError::Unauthorized { .. }) {
                self.asker.key.lock().take();
            }
            return Err(fault);
        }
        match content_type(&response) {
            None => Ok(response),
            Some(kind) if kind.starts_with("text/event-stream") => Ok(response),
            Some(kind) => Err(self.no_stream(&kind, response).await),
        }
    }

    /// That nothing came before the first words had to be there.
    pub(super) fn silent(&self, first_by: Instant) -> ProviderError {
        let settings = &self.asker.settings;
        let (patience, setting) = match first_by < self.deadline {
            true => (settings.first_token_timeout.0, "first_token_timeout"),
            false => (settings.total_timeout.0, "total_timeout"),
        };
        ProviderError::Silent { place: self.place(), patience, setting }
    }

    /// What it means that something else than a stream of events comes.
    async fn no_stream(&self, kind: &str, response: Response) -> Fault {
        let kind = self.scrub.clean(kind);
        let body = fault::some_of(response).await;
        let value = serde_json::from_slice::<Value>(&body).ok();
        let said = value.as_ref().and_then(|value| value.get("error")).and_then(fault::message);
        let error = match said {
            Some(said) => {
                ProviderError::Failed { place: self.place(), cause: self.scrub.clean(&said) }
            }
            None => self.garbage(format!("{kind} instead of a stream of events")),
        };
        Fault { error, again: Again::Never }
    }

    /// How long to wait before asking again, if that may help and there is time.
    fn wait_after(&self, fault: &Fault, attempt: u32) -> Option<Duration> {
        let Again::After(patience) = fault.again else { return None };
        let settings = &self.asker.settings;
        if attempt >= settings.retries_max || patience > settings.backoff_cap.0 {
            return None;
        }
        let wait = self.asker.backoff(attempt).max(patience);
        (Instant::now() + wait < self.deadline).then_some(wait)
    }
}

fn content_type(response: &Response) -> Option<String> {
    let value = response.headers().get(CONTENT_TYPE)?;
    Some(String::from_utf8_lossy(value.as_bytes()).trim().to_ascii_lowercase())
}

/// The error, with how often it was tried.
fn counted(mut error: ProviderError, attempts: u32) -> ProviderError {
    if let ProviderError::Unreachable { cause, .. }
    | ProviderError::Limited { cause, .. }
    | ProviderError::Failed { cause, .. } = &mut error
        && attempts > 1
    {
        *cause = format!("{cause} (asked {attempts} times)");
    }
    error
}
