//! What is wrong with settings, all at once; and what is left of them when nothing is.

use std::path::PathBuf;
use std::time::Duration;

use genii_protocols::TimeSpan;
use reqwest::Url;

use super::{ProviderKind, ProviderSettings, ProviderSettingsError};

/// More retries than these only keep a person waiting.
const RETRIES_MAX: u32 = 10;

/// How many questions of one being may be under way at a time.
const CONCURRENT_MAX: u32 = 256;

/// With fewer tokens a prompt has no room for who the being is.
const PROMPT_TOKENS_MIN: u32 = 256;

/// How many tokens a prompt may have.
const PROMPT_TOKENS_MAX: u32 = 1 << 20;

/// How many tokens an answer may have.
const REPLY_TOKENS_MAX: u32 = 1 << 20;

/// The longest time that a question may take.
const TOTAL_MAX: Duration = Duration::from_secs(24 * 3_600);

/// How long a text in settings may be, in bytes.
const TEXT_LEN_MAX: usize = 1_024;

/// How long the name of an environment variable may be, in bytes.
const ENV_NAME_LEN_MAX: usize = 64;

/// Where a server is, and how to be let in.
#[derive(Debug, Clone)]
pub(in super::super) struct Access {
    /// Where completions are asked for.
    pub url: Url,
    /// Where the server is, for people.
    pub place: String,
    /// The model.
    pub model: String,
    /// Where the key is.
    pub key: KeySource,
}

/// Where a key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum KeySource {
    /// The server wants none.
    Nowhere,
    /// In an environment variable.
    Env(String),
    /// In a file.
    File(PathBuf),
}

impl ProviderSettings {
    /// Says all that is wrong with them.
    ///
    /// # Errors
    /// With every fault, in words that never repeat what could be a key.
    pub fn check(&self) -> Result<(), ProviderSettingsError> {
        self.access().map(drop)
    }

    /// Where to ask, if a server is to be asked at all.
    pub(in super::super) fn access(&self) -> Result<Option<Access>, ProviderSettingsError> {
        let mut faults = Faults::default();
        self.check_bounds(&mut faults);
        let key = self.key_source(&mut faults);
        let access = match self.kind {
            ProviderKind::Offline => self.check_offline(&mut faults),
            ProviderKind::OpenAi => self.openai(key, &mut faults),
        };
        if faults.0.is_empty() {
            Ok(access)
        } else {
            Err(ProviderSettingsError { faults: faults.0 })
        }
    }

    fn check_offline(&self, faults: &mut Faults) -> Option<Access> {
        for (name, value) in [("base_url", &self.base_url), ("model", &self.model)] {
            if value.is_some() {
                faults.add(format!(
                    "`{name}` is set, and nobody reads it; set `kind = \"openai\"` too"
                ));
            }
        }
        None
    }

    fn openai(&self, key: KeySource, faults: &mut Faults) -> Option<Access> {
        let url = self.url(faults);
        let model = self.model.as_deref().map(str::trim).unwrap_or_default();
        if model.is_empty() {
            faults.add("`model` is missing; it is the name by which the server knows the model");
        }
        if model.len() > TEXT_LEN_MAX || model.chars().any(char::is_control) {
            faults.add(format!("`model` must be one line of {TEXT_LEN_MAX} bytes at most"));
        }
        let base = url?;
        let place = base.as_str().trim_end_matches('/').to_owned();
        let url = Url::parse(&format!("{place}/chat/completions")).ok()?;
        Some(Access { url, place, model: model.to_owned(), key })
    }

    fn url(&self, faults: &mut Faults) -> Option<Url> {
        let Some(text) = &self.base_url else {
            faults.add("`base_url` is missing; an example is \"http://localhost:11434/v1\"");
            return None;
        };
        // What is written there is never repeated: a password or a key may be in it.
        let url = match Url::parse(text.trim()) {
            Ok(url) if text.len() <= TEXT_LEN_MAX => url,
            Ok(_) => {
                faults.add(format!("`base_url` is longer than {TEXT_LEN_MAX} bytes"));
                return None;
            }
            Err(error) => {
                faults.add(format!(
                    "`base_url` is no URL ({error}); an example is \"http://localhost:11434/v1\""
                ));
                return None;
            }
        };
        let before = faults.0.len();
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            faults.add("`base_url` must begin with http:// or https:// and a host");
        }
        if !url.username().is_empty() || url.password().is_some() {
            faults.add("`base_url` holds a password; name it in `key_env` or `key_file` instead");
        }
        if url.query().is_some() || url.fragment().is_some() {
            faults.add("`base_url` must end before any ? or #");
        }
        if url.path().trim_end_matches('/').ends_with("/chat/completions") {
            faults.add("`base_url` must end before /chat/completions");
        }
        (faults.0.len() == before).then_some(url)
    }

    fn key_source(&self, faults: &mut Faults) -> KeySource {
        if self.api_key.was_found {
            faults.add(
                "a key stands in the settings, where everybody can read it; put it into an environment \
                 variable or a file, name that in `key_env` or `key_file`, and get a new key if these \
                 settings were shared",
            );
        }
        match (&self.key_env, &self.key_file) {
            (Some(_), Some(_)) => {
                faults.add("`key_env` and `key_file` are both set; set one of them");
                KeySource::Nowhere
            }
            (Some(name), None) => {
                if !is_env_name(name) {
                    faults.add(
                        "`key_env` must be the name of an environment variable, such as \
                         OPENAI_API_KEY, of capital letters, digits and _; not a key itself",
                    );
                }
                KeySource::Env(name.clone())
            }
            (None, Some(path)) => {
                if !path.is_absolute() {
                    faults.add("`key_file` must be an absolute path of a file; not a key itself");
                }
                KeySource::File(path.clone())
            }
            (None, None) => KeySource::Nowhere,
        }
    }

    fn check_bounds(&self, faults: &mut Faults) {
        faults.span("connect_timeout", self.connect_timeout);
        faults.span("first_token_timeout", self.first_token_timeout);
        faults.span("token_timeout", self.token_timeout);
        faults.span("total_timeout", self.total_timeout);
        faults.span("backoff_base", self.backoff_base);
        faults.span("backoff_cap", self.backoff_cap);
        if self.backoff_base > self.backoff_cap {
            faults.add("`backoff_base` is longer than `backoff_cap`");
        }
        faults.range("retries_max", self.retries_max, 0, RETRIES_MAX);
        faults.range("concurrent_max", self.concurrent_max, 1, CONCURRENT_MAX);
        let prompt_max = self.prompt_tokens_max;
        faults.range("prompt_tokens_max", prompt_max, PROMPT_TOKENS_MIN, PROMPT_TOKENS_MAX);
        faults.range("reply_tokens_max", self.reply_tokens_max, 1, REPLY_TOKENS_MAX);
        if self.temperature.is_some_and(|warmth| !(0.0..=2.0).contains(&warmth)) {
            faults.add("`temperature` must lie between 0 and 2");
        }
        if self.requests_per_minute == Some(0) {
            faults.add("`requests_per_minute` is zero; leave it out for no limit");
        }
        if self.tokens_per_minute == Some(0) {
            faults.add("`tokens_per_minute` is zero; leave it out for no limit");
        }
    }
}

fn is_env_name(name: &str) -> bool {
    let is_fine = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    let begins_well = name.bytes().next().is_some_and(|byte| !byte.is_ascii_digit());
    begins_well && name.len() <= ENV_NAME_LEN_MAX && name.bytes().all(is_fine)
}

/// What is wrong so far.
#[derive(Default)]
struct Faults(Vec<String>);

impl Faults {
    fn add(&mut self, fault: impl Into<String>) {
        self.0.push(fault.into());
    }

    fn span(&mut self, name: &str, span: TimeSpan) {
        if span.0.is_zero() || span.0 > TOTAL_MAX {
            let max = TimeSpan(TOTAL_MAX);
            self.add(format!("`{name}` must be more than zero, and {max} at most"));
        }
    }

    fn range(&mut self, name: &str, value: u32, min: u32, max: u32) {
        if !(min..=max).contains(&value) {
            self.add(format!("`{name}` must lie between {min} and {max}"));
        }
    }
}
