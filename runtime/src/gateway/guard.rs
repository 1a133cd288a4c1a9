//! Who is let in, and for how long: tokens and certificates, as the folder of trust has them now.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use genii_protocols::api::{Refused, Why};
use hyper::header::{AUTHORIZATION, HeaderMap};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::caller::{Caller, Shown};
use crate::link::network::Certificate;
use crate::trust::tokens::TokenDoor;
use crate::trust::{Expelled, Identity};

/// How often to look whether a token or a certificate was taken back, as long as somebody is served
/// by one. Who calls anew is always looked at anew.
const LOOK_PERIOD: Duration = Duration::from_millis(100);

/// Lets callers in.
pub(super) struct Guard {
    trust: PathBuf,
    tokens: TokenDoor,
    /// When the list of the expelled was last written, and what it says.
    expelled: Mutex<(Option<SystemTime>, Option<Expelled>)>,
    /// Rises when it is time to look again at those who are served.
    looks: watch::Sender<u64>,
    /// Somebody is served who must be looked at.
    served: Notify,
}

impl Guard {
    pub(super) fn new(trust: &Path) -> Self {
        Self {
            trust: trust.to_owned(),
            tokens: TokenDoor::new(trust),
            expelled: Mutex::default(),
            looks: watch::Sender::new(0),
            served: Notify::new(),
        }
    }

    pub(super) fn trust(&self) -> &Path {
        &self.trust
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
                self.is_expelled(certificate).then(|| refused(Why::Expelled))
            }
        }
    }

    fn is_expelled(&self, certificate: &Certificate) -> bool {
        let written = std::fs::metadata(self.trust.join("expelled.crl"));
        let written = written.and_then(|about| about.modified()).ok();
        let mut expelled = self.expelled.lock();
        if expelled.0 != written {
            // One that is just being written is read next time; until then the old one counts.
            if let Some(identity) = Identity::open(&self.trust).ok().flatten() {
                *expelled = (written, Some(identity.expelled().clone()));
            }
        }
        expelled.1.as_ref().is_some_and(|expelled| expelled.contains(certificate))
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
