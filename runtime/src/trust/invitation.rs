//! The line by which another machine joins a household.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use genii_protocols::{NodeName, wire};
use serde::{Deserialize, Serialize};

use super::{Fingerprint, TrustError};

/// The longest that an invitation may stay open: a week.
pub const INVITATION_SPAN_MAX: Duration = Duration::from_secs(7 * 86_400);

/// What every line begins with. The number is that of its form.
const PREFIX: &str = "genii-join-1-";

/// The longest line that is read, in bytes.
const LINE_MAX_LEN: usize = 4_096;

/// How many bytes of a digest guard a line against slips of the pen.
const CHECK_LEN: usize = 4;

/// What only the inviting and the invited know. It is never printed but in the line itself.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret([u8; 16]);

impl Secret {
    pub(super) fn new() -> Result<Self, TrustError> {
        super::random().map(Self)
    }

    pub(super) fn digest(&self) -> String {
        let digest = ring::digest::digest(&ring::digest::SHA256, &self.0);
        URL_SAFE_NO_PAD.encode(digest)
    }

    /// The secret as it travels.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// A secret that has travelled; `None` if it is none.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// An invitation to a household, as a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    /// Whom it is for.
    pub node: NodeName,
    /// Who invites, and alone may answer.
    pub by: NodeName,
    /// The household, so that nobody else can answer for it.
    pub household: Fingerprint,
    /// Where to ask, as `host:port`; the first that answers counts.
    pub at: Vec<String>,
    /// Until when it counts, in seconds since 1970, by the clock of who invites.
    pub expires: u64,
    /// What it is known by.
    pub secret: Secret,
}

impl Invitation {
    /// Whether it is too late for it, if this clock is right. Who invites decides.
    pub fn has_expired(&self, now: SystemTime) -> bool {
        now > SystemTime::UNIX_EPOCH + Duration::from_secs(self.expires)
    }

    /// The line.
    ///
    /// # Errors
    /// When it is too long.
    pub fn line(&self) -> Result<String, InvitationFault> {
        let mut bytes = wire::encode(self).map_err(|_| InvitationFault::TooLong)?;
        let check = check(&bytes);
        bytes.extend_from_slice(&check);
        let line = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes));
        if line.len() > LINE_MAX_LEN { Err(InvitationFault::TooLong) } else { Ok(line) }
    }
}

/// What is wrong with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvitationFault {
    /// It is something else.
    #[error("this is no invitation; one begins with {PREFIX}")]
    NoInvitation,
    /// It is of a later genii.
    #[error("this invitation was made by another version of genii; bring both to the same")]
    OtherVersion,
    /// Letters are missing or wrong.
    #[error("the invitation is damaged: letters are missing or wrong; copy the whole line")]
    Damaged,
    /// It has too many letters.
    #[error("the invitation is longer than {LINE_MAX_LEN} letters")]
    TooLong,
}

impl FromStr for Invitation {
    type Err = InvitationFault;

    fn from_str(line: &str) -> Result<Self, InvitationFault> {
        let line = line.trim();
        if line.len() > LINE_MAX_LEN {
            return Err(InvitationFault::TooLong);
        }
        let Some(text) = line.strip_prefix(PREFIX) else {
            let is_other = line.starts_with("genii-join-");
            return Err(match is_other {
                true => InvitationFault::OtherVersion,
                false => InvitationFault::NoInvitation,
            });
        };
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| InvitationFault::Damaged)?;
        let body = bytes.len().checked_sub(CHECK_LEN).ok_or(InvitationFault::Damaged)?;
        let (bytes, found) = bytes.split_at(body);
        if check(bytes) != found {
            return Err(InvitationFault::Damaged);
        }
        wire::decode(bytes).map_err(|_| InvitationFault::OtherVersion)
    }
}

fn check(bytes: &[u8]) -> [u8; CHECK_LEN] {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    let mut check = [0; CHECK_LEN];
    check.copy_from_slice(&digest.as_ref()[..CHECK_LEN]);
    check
}
