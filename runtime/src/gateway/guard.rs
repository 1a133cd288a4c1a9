//! Who is let in, and for how long: tokens and certificates, as the folder of trust has them now.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use genii_protocols::api::{Refused, Why};
use hyper::header::{AUTHORIZATION, HeaderMap};
use tokio::sync::{Notify, watch};

use super::caller::{Caller, Shown};
use crate::link::network::Certificate;
use crate::trust::credentials::Credentials;
use crate::trust::tokens::TokenDoor;

/// How often to look whether a token or a certificate was taken back, as long as somebody is served
/// by one. Who calls anew is always looked at anew.
const LOOK_PERIOD: Duration = Duration::from_millis(100);

/// Lets callers in.
pub(super) struct Guard {
    tokens: TokenDoor,
    credentials: Arc<Credentials>,
    /// Rises when it is time to look again at those who are served.
    looks: watch::Sender<u64>,
    /// Somebody is served who must be looked at.
    served: Notify,
}

impl Guard {
    pub(super) fn new(trust: &Path) -> Self {
        Self {
            tokens: TokenDoor::new(trust),
            credentials: Credentials::at(trust),
            looks: watch::Sender::new(0),
            served: Notify::new(),
        }
    }

    pub(super) fn credentials(&self) -> &Arc<Credentials> {
        &self.credentials
    }

    pub(super) fn tokens(&self) -> &TokenDoor {
        &self.tokens
    }

    /// Who makes a call, by what it shows. A token counts for less than a certificate or the socket
    /// of the owner, and so does who shows one there.
    ///
    /// # Errors
    /// Why it is not let in.
    pub(super) fn admit(&self, shown: &Shown, headers: &HeaderMap) -> Result<Caller, Refused> {
        match (bearer(headers)?, shown) {
            (Some(token), _) => self.tokens.admit(token).map(Caller::Holder),
            (None, Shown::Owner) => Ok(Caller::Owner),
            (None, Shown::Node(certificate)) => {
                let caller = Caller::Node(certificate.clone());
                self.ended(&caller).map_or(Ok(caller), Err)
            }
            (None, Shown::Nobody) => Err(refused(Why::NoToken)),
        }
    }

    /// Waits until who was let in would not be any more, and says why.
    pub(super) async fn until_ended(&self, caller: &Caller) -> Refused {
        let mut looks = self.looks.subscribe();
        if matches!(caller, Caller::Owner) {
            return std::future::pending().await;
        }
        loop {
            self.served.notify_one();
            if looks.changed().await.is_err() {
                return std::future::pending().await;
            }
            if let Some(refused) = self.ended(caller) {
                return refused;
            }
        }
    }

    fn ended(&self, caller: &Caller) -> Option<Refused> {
        match caller {
            Caller::Owner => None,
            Caller::Holder(token) => self.tokens.ended(&token.id),
            Caller::Node(certificate) => {
                (!self.still_counts(certificate)).then(|| refused(Why::Expelled))
            }
        }
    }

    /// Whether a certificate counts that was found good when its connection was new: it may have been
    /// taken back or have run out since. None does as long as it cannot be known.
    fn still_counts(&self, certificate: &Certificate) -> bool {
        let verdict = self.credentials.still_counts(certificate);
        verdict.inspect_err(|why| tracing::debug!("a certificate counts no more: {why}")).is_ok()
    }

    /// Has those who are served looked at, now and then.
    pub(super) async fn keep_looking(&self) {
        loop {
            self.served.notified().await;
            tokio::time::sleep(LOOK_PERIOD).await;
            self.looks.send_modify(|looks| *looks += 1);
        }
    }
}

/// The token that a call shows, if it does.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Refused> {
    let Some(value) = headers.get(AUTHORIZATION) else { return Ok(None) };
    let text = value.to_str().map_err(|_| refused(Why::Malformed))?;
    let (scheme, token) = text.split_once(' ').ok_or_else(|| refused(Why::Malformed))?;
    match scheme.eq_ignore_ascii_case("bearer") {
        true => Ok(Some(token.trim())),
        false => Err(refused(Why::Malformed)),
    }
}

fn refused(why: Why) -> Refused {
    Refused { why, token: String::new(), verb: String::new(), target: String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_let_in_by_a_certificate_as_long_as_nothing_is_known_of_the_household() {
        let scratch = tempfile::tempdir().unwrap();
        let shown = Shown::Node(Certificate::from(vec![0; 64]));
        let refused = Guard::new(scratch.path()).admit(&shown, &HeaderMap::new()).unwrap_err();
        assert_eq!(refused.why, Why::Expelled);
    }
}
