//! Renewing the certificate of a node, and its key with it.

use std::path::Path;
use std::time::{Duration, SystemTime};

use genii_protocols::NodeName;
use genii_protocols::household::RenewRequest;
use genii_protocols::household::household_client::HouseholdClient;
use tonic::{Code, Request as Call};

use super::join::{JOIN_MAX_LEN, SIGN_PATIENCE};
use super::network::Broken;
use super::tls_network::{dial, refused_or};
use crate::trust::credentials::{Credentials, NoCredentials};
use crate::trust::{Authority, Identity, Request, TrustError};

/// How long it may take to find who signs, through all machines that are known.
const RENEW_PATIENCE: Duration = Duration::from_secs(120);

/// Why a certificate was not renewed.
#[derive(Debug, thiserror::Error)]
pub enum RenewError {
    /// This node is nobody.
    #[error(transparent)]
    Nobody(#[from] NoCredentials),
    /// No machine of the household is known, or none of those that are can sign.
    #[error("no machine is known that can sign, as the one can where the household was made")]
    NobodySigns,
    /// Those that might sign do not answer; each with what happened.
    #[error("nobody signs: {}", .0.join("; "))]
    Unreachable(Vec<String>),
    /// Who signs says no.
    #[error("{by} does not sign: {why}")]
    Refused {
        /// Who.
        by: NodeName,
        /// What it says.
        why: String,
    },
    /// It cannot be kept, or was not signed as it should be.
    #[error(transparent)]
    Trust(#[from] TrustError),
}

/// Why one machine did not sign.
enum NotSigned {
    /// The household was not made there.
    Cannot,
    Unreachable(String),
    Refused(String),
}

/// Gives the node of a folder of trust another certificate and another key: signed here, where the
/// household was made here, and else where it was made.
///
/// # Errors
/// When nobody signs, and why.
pub async fn renew(trust: &Path) -> Result<Identity, RenewError> {
    let credentials = Credentials::at(trust);
    let identity = credentials.current()?.identity.clone();
    if let Some(authority) = Authority::open(trust)? {
        return Ok(authority.renew_own(identity.node(), SystemTime::now())?);
    }
    let asking = ask_all(&credentials, identity);
    let late = |_| RenewError::Unreachable(vec![format!("nobody within {RENEW_PATIENCE:?}")]);
    tokio::time::timeout(RENEW_PATIENCE, asking).await.map_err(late)?
}

async fn ask_all(credentials: &Credentials, identity: Identity) -> Result<Identity, RenewError> {
    let request = Request::new()?;
    let mut unreachable = Vec::new();
    for (node, places) in super::peers::read(credentials.folder()) {
        match ask(credentials, &node, &places, &request).await {
            Ok(certificate) => return Ok(identity.renew(&request, &certificate)?),
            Err(NotSigned::Cannot) => {}
            Err(NotSigned::Unreachable(why)) => unreachable.push(format!("{node}: {why}")),
            Err(NotSigned::Refused(why)) => return Err(RenewError::Refused { by: node, why }),
        }
    }
    Err(match unreachable.is_empty() {
        true => RenewError::NobodySigns,
        false => RenewError::Unreachable(unreachable),
    })
}

async fn ask(
    credentials: &Credentials,
    node: &NodeName,
    places: &[String],
    request: &Request,
) -> Result<Vec<u8>, NotSigned> {
    let unreachable = |why: String| NotSigned::Unreachable(why);
    let reached = dial(credentials, node, places).await;
    let dialled = reached.map_err(|broken| unreachable(broken.to_string()))?;
    let alert = dialled.alert.clone();
    let mut call = Call::new(RenewRequest { request: request.der().to_vec() });
    call.set_timeout(SIGN_PATIENCE);
    let mut door = HouseholdClient::new(dialled.channel).max_decoding_message_size(JOIN_MAX_LEN);
    match tokio::time::timeout(SIGN_PATIENCE, door.renew(call)).await {
        Err(_) => Err(unreachable("no answer in time".to_owned())),
        Ok(Ok(reply)) => Ok(reply.into_inner().certificate),
        Ok(Err(status)) => Err(match status.code() {
            Code::FailedPrecondition | Code::Unimplemented => NotSigned::Cannot,
            Code::PermissionDenied | Code::Internal => {
                NotSigned::Refused(status.message().to_owned())
            }
            _ => {
                let broken = Broken::Other(status.message().to_owned());
                unreachable(refused_or(broken, credentials, &alert).to_string())
            }
        }),
    }
}
