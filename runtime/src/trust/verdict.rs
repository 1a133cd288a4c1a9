//! Why a certificate is not taken, for people.

use std::fmt;
use std::time::{Duration, SystemTime};

use genii_protocols::{NodeName, Timestamp};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::{AlertDescription, CertificateError as Bad, Error};

use super::{Expelled, Identity, TurnedAway};

/// Why a certificate is not taken. Its text says whose it is, where that is certain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Another household has signed it, or nobody.
    Foreign,
    /// The authority has taken it back.
    Expelled(NodeName),
    /// It ran out then.
    Expired(NodeName, Timestamp),
    /// It counts from then on.
    NotYet(NodeName, Timestamp),
    /// It is of another node than the one that was called.
    OtherName(NodeName),
    /// Anything else.
    Other(String),
}

impl Verdict {
    /// What it means that a certificate was not taken, and the error that says so best. `verify` says
    /// whether it would be at another time, which tells one that has run out from one of a stranger
    /// that claims to have.
    pub(super) fn of(
        error: Error,
        certificate: &CertificateDer<'_>,
        verify: impl Fn(UnixTime) -> Result<(), Error>,
    ) -> (Self, Error) {
        let node = super::identity::node_of(certificate);
        let Some((node, (from, to))) = node.zip(validity(certificate)) else {
            return (Self::plainly(&error, None), error);
        };
        let expired = Self::Expired(node.clone(), timestamp(to));
        let not_yet = Self::NotYet(node.clone(), timestamp(from));
        let (at, verdict) = match &error {
            Error::InvalidCertificate(Bad::Expired | Bad::ExpiredContext { .. }) => (to, expired),
            Error::InvalidCertificate(Bad::NotValidYet | Bad::NotValidYetContext { .. }) => {
                (from, not_yet)
            }
            _ => return (Self::plainly(&error, Some(node)), error),
        };
        match verify(at) {
            Ok(()) => (verdict, error),
            Err(worse) => (Self::plainly(&worse, Some(node)), worse),
        }
    }

    /// What an error means that has nothing to do with the time.
    fn plainly(error: &Error, node: Option<NodeName>) -> Self {
        match (error, node) {
            (Error::InvalidCertificate(Bad::Revoked), Some(node)) => Self::Expelled(node),
            (Error::InvalidCertificate(Bad::NotValidForNameContext { .. }), Some(node)) => {
                Self::OtherName(node)
            }
            (Error::InvalidCertificate(Bad::UnknownIssuer | Bad::BadSignature), _) => Self::Foreign,
            _ => Self::Other(error.to_string()),
        }
    }

    /// Whether a certificate that the authority has signed, as TLS has found, counts at a time.
    pub(super) fn at(
        now: SystemTime,
        certificate: &CertificateDer<'_>,
        expelled: &Expelled,
    ) -> Result<(), Self> {
        let node = super::identity::node_of(certificate);
        let Some((node, (from, to))) = node.zip(validity(certificate)) else {
            return Err(Self::Other("its certificate cannot be read".to_owned()));
        };
        let now = super::seconds(now);
        if expelled.contains(certificate) {
            return Err(Self::Expelled(node));
        }
        if now > to.as_secs() {
            return Err(Self::Expired(node, timestamp(to)));
        }
        if now < from.as_secs() {
            return Err(Self::NotYet(node, timestamp(from)));
        }
        Ok(())
    }

    /// The node whose it is, where that is certain.
    pub fn node(&self) -> Option<&NodeName> {
        match self {
            Self::Expelled(node) | Self::Expired(node, _) | Self::NotYet(node, _) => Some(node),
            Self::Foreign | Self::OtherName(_) | Self::Other(_) => None,
        }
    }

    /// As what it is counted.
    pub fn counts_as(&self) -> TurnedAway {
        match self {
            Self::Foreign | Self::OtherName(_) => TurnedAway::Foreign,
            Self::Expelled(_) => TurnedAway::Expelled,
            Self::Expired(..) | Self::NotYet(..) => TurnedAway::Untimely,
            Self::Other(_) => TurnedAway::Garbage,
        }
    }
}

impl fmt::Display for Verdict {
    /// Without the time of day, so that it stays the same for as long as it is so.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign => f.write_str("its certificate is of another household"),
            Self::Expelled(node) => write!(f, "{node} was expelled from the household"),
            Self::Expired(node, at) => write!(
                f,
                "the certificate of {node} ran out at {at}; if that is not so, the clock here is \
                 wrong"
            ),
            Self::NotYet(node, from) => write!(
                f,
                "the certificate of {node} counts from {from} on: the clock here is behind, or the \
                 one was ahead where it was signed"
            ),
            Self::OtherName(name) => write!(f, "the machine there is {name}"),
            Self::Other(why) => f.write_str(why),
        }
    }
}

/// What it means that the other end has not taken the certificate of this node.
pub fn of_alert(alert: AlertDescription, own: &Identity) -> String {
    let node = own.node();
    let has_run_out = own.expires().is_some_and(|at| at < SystemTime::now());
    match alert {
        AlertDescription::CertificateRevoked => {
            format!("{node} was expelled from the household, it says")
        }
        AlertDescription::CertificateExpired if has_run_out => {
            let at = own.expires().map(Timestamp::from);
            let at = at.map(|at| format!(" at {at}")).unwrap_or_default();
            format!(
                "the certificate of {node} ran out{at}, it says too; {node} must be invited again"
            )
        }
        AlertDescription::CertificateExpired => format!(
            "by its clock the certificate of {node} does not count now: the clock there or the one \
             here is wrong"
        ),
        AlertDescription::UnknownCA | AlertDescription::DecryptError => {
            "it belongs to another household".to_owned()
        }
        alert => format!("it does not take the certificate of {node}: {alert:?}"),
    }
}

/// The alert by which the other end of a connection told why it ended it, if it did.
pub fn alert_of(error: &std::io::Error) -> Option<AlertDescription> {
    match error.get_ref()?.downcast_ref::<Error>()? {
        Error::AlertReceived(alert) => Some(*alert),
        _ => None,
    }
}

/// From when and until when a certificate counts.
pub(super) fn validity(certificate: &CertificateDer<'_>) -> Option<(UnixTime, UnixTime)> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let time = |seconds: i64| {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(seconds).ok()?)))
    };
    let validity = parsed.validity();
    Some((time(validity.not_before.timestamp())?, time(validity.not_after.timestamp())?))
}

fn timestamp(at: UnixTime) -> Timestamp {
    Timestamp::from(SystemTime::UNIX_EPOCH + Duration::from_secs(at.as_secs()))
}
