//! Callers that are not let in, as statuses of gRPC, and back.

use prost::Message as _;
use tonic::{Code, Status};

use super::faults::{detail, with_detail};
use super::made::{Denied, denied::Reason};

/// Why a caller may not do what it asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It has shown neither a token nor a certificate.
    NoToken,
    /// What it has shown is no token.
    Malformed,
    /// Nobody was given this token.
    Unknown,
    /// It was good until a while ago.
    Expired,
    /// It was taken back.
    Revoked,
    /// It is good, and not for this verb.
    Verb,
    /// It is good, and not for this address or topic.
    Scope,
    /// The certificate does not count any more.
    Expelled,
}

/// Who was not let in, to what, and why. It never holds the secret of a token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", words(self))]
pub struct Refused {
    /// Why.
    pub why: Why,
    /// The token by its public name; empty if it has none that is known.
    pub token: String,
    /// What was to be done; empty if it did not come so far.
    pub verb: String,
    /// To which address or topic; empty if to none.
    pub target: String,
}

fn words(refused: &Refused) -> String {
    let Refused { why, token, verb, target } = refused;
    let anew = "ask the owner for another, which `genii token new` makes";
    match why {
        Why::NoToken => format!(
            "no token was shown; send `authorization: Bearer TOKEN`, or a certificate of the \
             household; {anew}"
        ),
        Why::Malformed => "what was shown is no token; one begins with genii-token-1-".to_owned(),
        Why::Unknown => format!("nobody here was given this token; {anew}"),
        Why::Expired => format!("the token {token} has expired; {anew}"),
        Why::Revoked => format!("the token {token} was revoked; {anew}"),
        Why::Verb if verb == "manage" => format!(
            "the token {token} does not allow to manage {target}, only to talk with it; {anew} with \
             `manage` among its --verbs"
        ),
        Why::Verb => format!("the token {token} does not allow to {verb}; {anew}"),
        Why::Scope if verb == "subscribe" => {
            format!("the token {token} does not allow to subscribe to {target}; {anew}")
        }
        Why::Scope => format!("the token {token} does not allow to {verb} {target}; {anew}"),
        Why::Expelled => {
            "the certificate that was shown does not count any more; join the household anew"
                .to_owned()
        }
    }
}

impl From<Refused> for Status {
    fn from(refused: Refused) -> Self {
        let code = match refused.why {
            Why::Verb | Why::Scope => Code::PermissionDenied,
            _ => Code::Unauthenticated,
        };
        let message = refused.to_string();
        let Refused { why, token, verb, target } = refused;
        let reason = reason_of(why).into();
        let detail = Denied { reason, token, verb, target }.encode_to_vec();
        with_detail(code, message, "Denied", detail)
    }
}

impl Refused {
    /// What a status tells of a caller that was not let in; `None` if it is about something else.
    pub fn of(status: &Status) -> Option<Self> {
        let denied = detail::<Denied>(status, "Denied")?;
        let why = match denied.reason() {
            Reason::Unspecified => return None,
            Reason::NoToken => Why::NoToken,
            Reason::Malformed => Why::Malformed,
            Reason::Unknown => Why::Unknown,
            Reason::Expired => Why::Expired,
            Reason::Revoked => Why::Revoked,
            Reason::Verb => Why::Verb,
            Reason::Scope => Why::Scope,
            Reason::Expelled => Why::Expelled,
        };
        let Denied { token, verb, target, .. } = denied;
        Some(Self { why, token, verb, target })
    }
}

fn reason_of(why: Why) -> Reason {
    match why {
        Why::NoToken => Reason::NoToken,
        Why::Malformed => Reason::Malformed,
        Why::Unknown => Reason::Unknown,
        Why::Expired => Reason::Expired,
        Why::Revoked => Reason::Revoked,
        Why::Verb => Reason::Verb,
        Why::Scope => Reason::Scope,
        Why::Expelled => Reason::Expelled,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_survives_the_way_through_a_status_and_says_which() {
        for why in [
            Why::NoToken,
            Why::Malformed,
            Why::Unknown,
            Why::Expired,
            Why::Revoked,
            Why::Verb,
            Why::Scope,
            Why::Expelled,
        ] {
            let (token, verb) = ("3fa9c1d2".to_owned(), "ask".to_owned());
            let refused = Refused { why, token, verb, target: "memory/recall".to_owned() };
            let status = Status::from(refused.clone());
            assert_eq!(status.message(), refused.to_string());
            assert_eq!(Refused::of(&status), Some(refused));
        }
        assert_eq!(Refused::of(&Status::unauthenticated("something else")), None);
    }

    #[test]
    fn what_is_not_allowed_is_said_in_a_sentence() {
        for (verb, expected) in [("ask", "ask world.**;"), ("subscribe", "subscribe to world.**;")]
        {
            let (token, target) = ("3fa9c1d2".to_owned(), "world.**".to_owned());
            let said =
                Refused { why: Why::Scope, token, verb: verb.to_owned(), target }.to_string();
            assert!(said.contains(&format!("does not allow to {expected}")), "{said}");
        }
        let (token, target) = ("3fa9c1d2".to_owned(), "being/marit".to_owned());
        let said = Refused { why: Why::Verb, token, verb: "manage".to_owned(), target }.to_string();
        assert!(said.contains("does not allow to manage being/marit, only to talk"), "{said}");
        assert!(said.contains("`genii token new` makes with `manage` among its --verbs"), "{said}");
    }
}
