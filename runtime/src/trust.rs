//! Who belongs to a household: certificates in place of passwords and addresses.
//!
//! A household has an authority, which lives where the household was made, and signs a certificate
//! for each node. A node is who its certificate says it is, and belongs if the household's authority
//! signed it and has not expelled it since. Everything is kept in one folder, for its owner alone:
//!
//! | file | what it is | where |
//! |---|---|---|
//! | `household.crt` | the certificate of the authority | everywhere |
//! | `household.key` | the key of the authority | where the household was made |
//! | `ledger.json` | what was signed, and who is invited | where the household was made |
//! | `node.crt`, `node.key` | the certificate of this node, and its key | everywhere |
//! | `node.next.key` | its key, while the certificate is replaced | everywhere, for a moment |
//! | `signed-by` | who has signed that certificate | everywhere but where the household was made |
//! | `expelled.crl` | the certificates that count no more, signed by the authority | everywhere |
//! | `told-expelled.json` | who has told this node that it was expelled | on one that was |
//! | `tokens.json` | the tokens of clients, without their secrets | everywhere, for that machine |
//! | `token-uses.json` | how often each was used | everywhere, for that machine |

mod authority;
pub mod credentials;
mod expelled;
pub mod expulsion;
mod folder;
mod identity;
mod invitation;
pub mod scope;
pub mod signer;
mod tally;
pub mod tls;
pub mod tokens;
pub mod verdict;
mod watched;

use genii_protocols::NodeName;

pub use authority::{Admitted, Authority, Expulsion, JoinRefused, RENEWED_BEFORE};
pub use expelled::{EXPELLED_MAX_LEN, Expelled, NoList};
pub use identity::{Identity, Request};
pub use invitation::{Invitation, InvitationFault, Secret};
pub use tally::{Tally, TurnedAway};
pub use watched::Watch;

/// Why trust cannot be made, read or given.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// A file cannot be read or written.
    #[error("{path}: {error}")]
    File {
        /// Which.
        path: String,
        /// What the system says.
        error: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{path} is damaged: {detail}")]
    Damaged {
        /// Which.
        path: String,
        /// How.
        detail: String,
    },
    /// There is a household in the folder already.
    #[error("there is a household already, {fingerprint}")]
    Present {
        /// Which.
        fingerprint: String,
    },
    /// Something was signed by another household.
    #[error("it belongs to another household")]
    Stranger,
    /// A certificate or a request cannot be made or read.
    #[error("cryptography: {0}")]
    Crypto(String),
    /// So many were expelled that the list has no room for another.
    #[error(transparent)]
    List(#[from] NoList),
    /// A node has more certificates than it can need.
    #[error("{0} has {max} certificates that still count; wait until some run out", max = authority::CERTIFICATES_MAX)]
    TooMany(NodeName),
    /// Another program changes the folder, for longer than that can take.
    #[error("{folder} is being changed by another genii ({holder})")]
    Busy {
        /// Which.
        folder: String,
        /// Who, as far as it is known.
        holder: String,
    },
    /// Whoever did it has gone.
    #[error("it was cut short")]
    CutShort,
    /// Who wants another certificate shows one that was taken back, has run out, or is not known.
    #[error("the certificate that is to be renewed counts no more; its node must be invited again")]
    CountsNoMore,
    /// Nobody of this name has a certificate or an invitation.
    #[error("{0} is no node of this household, nor is it invited")]
    UnknownNode(NodeName),
}

impl From<rcgen::Error> for TrustError {
    fn from(error: rcgen::Error) -> Self {
        Self::Crypto(error.to_string())
    }
}

impl From<rustls::Error> for TrustError {
    fn from(error: rustls::Error) -> Self {
        Self::Crypto(error.to_string())
    }
}

/// What tells a household from all others: the digest of its authority's certificate.
#[derive(Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// Of the certificate of an authority, in DER.
    pub fn of(certificate: &[u8]) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, certificate);
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest.as_ref());
        Self(bytes)
    }
}

impl std::fmt::Display for Fingerprint {
    /// Its first sixteen bytes, in groups that can be read out.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, pair) in self.0[..16].chunks(2).enumerate() {
            let dash = if i == 0 { "" } else { "-" };
            write!(f, "{dash}{:02x}{:02x}", pair[0], pair[1])?;
        }
        Ok(())
    }
}

impl std::fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

/// What stands behind the name of a node in its certificate: a name alone may be no name of a host,
/// as `2`.
const SUFFIX: &str = ".genii.internal";

/// The name of a node as its certificate has it.
pub fn certified(node: &NodeName) -> String {
    format!("{node}{SUFFIX}")
}

/// Bytes that nobody can foretell.
fn random<const LEN: usize>() -> Result<[u8; LEN], TrustError> {
    let mut bytes = [0; LEN];
    let filled = ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes);
    filled.map_err(|_| TrustError::Crypto("the system has no random numbers".to_owned()))?;
    Ok(bytes)
}

/// Keeps a text in a folder of trust, for its owner alone.
pub(crate) fn keep_text(
    folder: &std::path::Path,
    name: &str,
    text: &str,
) -> Result<(), TrustError> {
    folder::Folder::at(folder).write(name, text)
}

/// Does what may wait for files, away from those who wait for other things.
pub(crate) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, TrustError> + Send + 'static,
) -> Result<T, TrustError> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(TrustError::CutShort))
}

fn seconds(at: std::time::SystemTime) -> u64 {
    at.duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes as PEM text.
fn pem_of(label: &str, bytes: &[u8]) -> String {
    pem::encode(&pem::Pem::new(label, bytes))
}
