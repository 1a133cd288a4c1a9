//! That this node was expelled, as others have told it: kept, so that it can be said also when they are
//! not there. Nobody sends the list of the expelled to one that is on it.

use std::time::{Duration, SystemTime};

use genii_protocols::NodeName;
use serde::{Deserialize, Serialize};

use super::{Fingerprint, Identity, TrustError, seconds};

/// The file.
const FILE: &str = "told-expelled.json";

/// Who has said first that the certificate of this node was taken back, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToldExpelled {
    /// Which certificate; of another it says nothing.
    certificate: Fingerprint,
    /// Who has said it, as its own certificate has it.
    pub by: NodeName,
    /// When, in seconds since 1970.
    at: u64,
}

impl ToldExpelled {
    /// When it was said.
    pub fn at(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(self.at)
    }
}

/// Whether others have said that the certificate of a node was taken back.
pub fn told(identity: &Identity) -> Option<ToldExpelled> {
    let text = identity.folder().read(FILE).ok().flatten()?;
    let told: ToldExpelled = serde_json::from_str(&text).ok()?;
    (told.certificate == Fingerprint::of(identity.certificate())).then_some(told)
}

/// Keeps that another node has said so, unless one has before.
///
/// # Errors
/// When it cannot be written.
pub fn keep(identity: &Identity, by: &NodeName, now: SystemTime) -> Result<(), TrustError> {
    if told(identity).is_some() {
        return Ok(());
    }
    let certificate = Fingerprint::of(identity.certificate());
    let told = ToldExpelled { certificate, by: by.clone(), at: seconds(now) };
    let text = serde_json::to_string(&told).map_err(|it| TrustError::Crypto(it.to_string()))?;
    identity.folder().write(FILE, &text)
}
