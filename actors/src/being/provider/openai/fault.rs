//! What goes wrong before an answer begins, and whether it helps to ask again.
//!
//! | what | becomes | asked again |
//! |---|---|---|
//! | no connection | `Unreachable` | yes |
//! | closed before it answered | `Failed` | yes |
//! | not HTTP | `Garbage` | no |
//! | 401, 403 | `Unauthorized` | no |
//! | 402, or 429 with an empty account | `Limited` | no |
//! | 429 | `Limited` | yes, not before `Retry-After` |
//! | 500, 502, 503, 504 | `Failed` | yes, not before `Retry-After` |
//! | another 5xx | `Failed` | no |
//! | 3xx and other 4xx | `Refused` | no |

use std::error::Error;
use std::time::{Duration, SystemTime};

use reqwest::header::{HeaderMap, LOCATION, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use serde_json::Value;
use tokio::time::timeout;

use super::super::ProviderError;
use super::scrub::Scrub;

/// How much of the body of an error is read, in bytes.
const BODY_LEN_MAX: usize = 8 << 10;

/// How long the body of an error may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(2);

/// Something that went wrong before an answer began.
pub(super) struct Fault {
    pub error: ProviderError,
    pub again: Again,
}

/// Whether it helps to ask again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    /// It does not.
    Never,
    /// It may, after a while; this long at least.
    After(Duration),
}

/// It may help, and nobody says when.
const SOON: Again = Again::After(Duration::ZERO);

/// What it means that no response came.
pub(super) fn of_sending(error: &reqwest::Error, place: String, scrub: &Scrub) -> Fault {
    let cause = scrub.clean(&why(error));
    if error.is_connect() {
        return Fault { error: ProviderError::Unreachable { place, cause }, again: SOON };
    }
    let is_no_http = causes(error).filter_map(|cause| cause.downcast_ref::<hyper::Error>());
    if is_no_http.into_iter().any(hyper::Error::is_parse) {
        let cause = format!("it does not speak HTTP: {cause}");
        return Fault { error: ProviderError::Garbage { place, cause }, again: Again::Never };
    }
    let cause = format!("it closed the connection before it answered: {cause}");
    Fault { error: ProviderError::Failed { place, cause }, again: SOON }
}

/// What a response means that is no answer.
pub(super) async fn of_status(response: Response, place: String, scrub: &Scrub) -> Fault {
    let status = response.status();
    let patience = retry_after(response.headers(), SystemTime::now());
    let moved_to = location(response.headers()).filter(|_| status.is_redirection());
    let body = some_of(response).await;
    let said = Said::read(&body);
    let cause = cause(status, &said, moved_to, scrub);
    fault(status, said.is_account_empty, patience, place, cause)
}

fn fault(
    status: StatusCode,
    is_account_empty: bool,
    patience: Option<Duration>,
    place: String,
    cause: String,
) -> Fault {
    let later = patience.map_or(SOON, Again::After);
    let (error, again) = match status.as_u16() {
        401 | 403 => (ProviderError::Unauthorized { place, cause }, Again::Never),
        402 => (ProviderError::Limited { place, cause }, Again::Never),
        429 if is_account_empty => (ProviderError::Limited { place, cause }, Again::Never),
        429 => (ProviderError::Limited { place, cause }, later),
        500 | 502 | 503 | 504 => (ProviderError::Failed { place, cause }, later),
        501.. => (ProviderError::Failed { place, cause }, Again::Never),
        _ => (ProviderError::Refused { place, cause }, Again::Never),
    };
    Fault { error, again }
}

fn cause(status: StatusCode, said: &Said, moved_to: Option<String>, scrub: &Scrub) -> String {
    let mut cause = format!("HTTP {}", status.as_u16());
    if !said.message.is_empty() {
        cause = format!("{cause}: {}", scrub.clean(&said.message));
    }
    if let Some(place) = moved_to {
        cause = format!("{cause}: it has moved to {}; correct `base_url`", scrub.clean(&place));
    }
    if status == StatusCode::NOT_FOUND {
        cause += " (`base_url` of most servers ends in /v1, and `model` must be one that it has)";
    }
    cause
}

/// What a server says in words.
#[derive(Default)]
struct Said {
    message: String,
    /// Asking again does not help before somebody has paid.
    is_account_empty: bool,
}

impl Said {
    fn read(body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body);
        let Ok(value) = serde_json::from_str::<Value>(&text) else {
            // A page is for browsers.
            let is_page = text.trim_start().starts_with('<');
            let message = if is_page { "it sent a page".to_owned() } else { text.into_owned() };
            return Self { message, is_account_empty: false };
        };
        let is_quota = |name| {
            let code = value.get("error").and_then(|error| error.get(name));
            code.and_then(Value::as_str) == Some("insufficient_quota")
        };
        let is_account_empty = is_quota("code") || is_quota("type");
        let message = message(&value).unwrap_or_else(|| value.to_string());
        Self { message, is_account_empty }
    }
}

/// The words in an error, in the forms in which servers write them.
pub(super) fn message(value: &Value) -> Option<String> {
    let found = match value {
        Value::String(text) => return Some(text.clone()),
        Value::Array(all) => all.first(),
        Value::Object(all) => {
            ["error", "message", "detail", "msg"].iter().find_map(|name| all.get(*name))
        }
        _ => None,
    };
    message(found?)
}

/// How long a server wants to be left alone, which it says in seconds or by a date (RFC 9110, 10.2.3).
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let date = httpdate::parse_http_date(text).ok()?;
    // A date that is past is no reason to wait.
    Some(date.duration_since(now).unwrap_or_default())
}

fn location(headers: &HeaderMap) -> Option<String> {
    headers.get(LOCATION)?.to_str().ok().map(str::to_owned)
}

/// The beginning of a body, as far as it comes in time.
pub(super) async fn some_of(mut response: Response) -> Vec<u8> {
    let mut body = Vec::new();
    let reading = async {
        while body.len() < BODY_LEN_MAX
            && let Ok(Some(bytes)) = response.chunk().await
        {
            let room = BODY_LEN_MAX - body.len();
            body.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
    };
    // What came in time is what there is; the status tells the rest.
    let _ = timeout(BODY_TIMEOUT, reading).await;
    body
}

/// The innermost cause, which is the one that people understand. It never has the URL in it.
pub(super) fn why(error: &reqwest::Error) -> String {
    if error.is_connect() && error.is_timeout() {
        return "no connection within `connect_timeout`".to_owned();
    }
    causes(error).last().map_or_else(|| "it is not said why".to_owned(), ToString::to_string)
}

/// What an error comes from, the nearest first.
fn causes<'a>(error: &'a reqwest::Error) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let next = |cause: &&'a (dyn Error + 'static)| (*cause).source();
    std::iter::successors(error.source(), next)
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    /// The 31st of December 1999, seven seconds before midnight; since 1970.
    const NOW: Duration = Duration::from_secs(946_684_793);

    fn check(status: u16, patience: Option<u64>, kind: &str, again: Again) {
        let status = StatusCode::from_u16(status).unwrap();
        let patience = patience.map(Duration::from_secs);
        let fault = fault(status, false, patience, "p".to_owned(), "c".to_owned());
        assert!(format!("{:?}", fault.error).starts_with(kind), "{status}: {:?}", fault.error);
        assert_eq!(fault.again, again, "{status}");
    }

    #[test]
    fn each_status_means_something() {
        let after = |seconds| Again::After(Duration::from_secs(seconds));
        for status in [300, 302, 307, 400, 404, 405, 408, 409, 413, 418, 422] {
            check(status, Some(1), "Refused", Again::Never);
        }
        for status in [401, 403] {
            check(status, Some(1), "Unauthorized", Again::Never);
        }
        check(402, None, "Limited", Again::Never);
        check(429, None, "Limited", SOON);
        check(429, Some(7), "Limited", after(7));
        for status in [500, 502, 503, 504] {
            check(status, None, "Failed", SOON);
            check(status, Some(7), "Failed", after(7));
        }
        for status in [501, 505, 529, 599] {
            check(status, Some(1), "Failed", Again::Never);
        }
    }

    fn says(body: &str, message: &str) {
        assert_eq!(Said::read(body.as_bytes()).message, message, "{body}");
    }

    #[test]
    fn errors_are_read_in_many_forms() {
        says(r#"{"error":{"message":"no such model","type":"x","code":null}}"#, "no such model");
        says(r#"{"error":"no such model"}"#, "no such model");
        says(r#"{"message":"no such model"}"#, "no such model");
        says(r#"{"object":"error","message":"no such model"}"#, "no such model");
        says(r#"{"detail":[{"loc":["body"],"msg":"no such model"}]}"#, "no such model");
        says(r#"{"wrong":1}"#, r#"{"wrong":1}"#);
        says("no such model", "no such model");
        says(" <html><body>404</body></html>", "it sent a page");
        says("", "");
    }

    #[test]
    fn an_empty_account_is_known() {
        let empty = r#"{"error":{"message":"pay","type":"insufficient_quota","code":null}}"#;
        assert!(Said::read(empty.as_bytes()).is_account_empty);
        assert!(!Said::read(br#"{"error":{"code":"rate_limit_exceeded"}}"#).is_account_empty);
    }

    fn patience(text: &str) -> Option<Duration> {
        let headers = [(RETRY_AFTER, text.parse().unwrap())].into_iter().collect();
        retry_after(&headers, UNIX_EPOCH + NOW)
    }

    #[test]
    fn patience_is_read_in_seconds() {
        assert_eq!(patience("7"), Some(Duration::from_secs(7)));
        assert_eq!(patience(" 0.5"), Some(Duration::from_millis(500)));
    }

    #[test]
    fn patience_is_read_as_a_date() {
        for (date, seconds) in [
            ("Fri, 31 Dec 1999 23:59:59 GMT", 6),
            (" Sat, 01 Jan 2000 00:00:00 GMT", 7),
            ("Saturday, 01-Jan-00 00:00:00 GMT", 7),
            ("Sat Jan  1 00:00:00 2000", 7),
            ("Sun, 02 Jan 2000 00:00:00 GMT", 86_407),
            ("Fri, 31 Dec 1999 23:59:53 GMT", 0),
            ("Fri, 31 Dec 1999 23:59:52 GMT", 0),
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ] {
            assert_eq!(patience(date), Some(Duration::from_secs(seconds)), "{date}");
        }
    }

    #[test]
    fn patience_that_makes_no_sense_is_none() {
        for senseless in ["", "-1", "soon", "NaN", "1e400", "Fri, 31 Nov 1999 23:59:59 GMT"] {
            assert_eq!(patience(senseless), None, "{senseless}");
        }
    }
}
