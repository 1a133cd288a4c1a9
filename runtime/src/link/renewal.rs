//! Renewing the certificate of a node, and its key with it.

use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::{StreamExt, stream};
use genii_protocols::NodeName;
use genii_protocols::household::RenewRequest;
use genii_protocols::household::household_client::HouseholdClient;
use tonic::{Code, Request as Call};

use super::join::{JOIN_MAX_LEN, SIGN_PATIENCE};
use super::network::{Broken, Lane};
use super::tls_network::{dial, refused_or};
use crate::trust::credentials::{Credentials, NoCredentials};
use crate::trust::{Authority, Identity, Request, TrustError, aside, signer};

/// How long one machine may take to answer, at all places where it may be.
const NODE_PATIENCE: Duration = Duration::from_secs(30);

/// How many machines are asked at once where it is not known who signs, or that one does not answer. Of
/// the 256 that may be known each is asked within four minutes.
const ASKED_MAX: usize = 32;

/// Why a certificate was not renewed.
#[derive(Debug, thiserror::Error)]
pub enum RenewError {
    /// This node is nobody.
    #[error(transparent)]
    Nobody(#[from] NoCredentials),
    /// No machine of the household is known, or none of those that are can sign.
    #[error("no machine is known that can sign, as the one can where the household was made")]
    NobodySigns,
    /// Those that might sign do not answer, or say no; each with what happened.
    #[error("nobody signs: {}", .0.join("; "))]
    Unreachable(Vec<String>),
    /// Who has signed before says no.
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
    /// It did, and that cannot be kept here.
    NotKept(TrustError),
}

/// Gives the node of a folder of trust another certificate and another key: signed here, where the
/// household was made here, and else where it was made.
///
/// # Errors
/// When nobody signs, and why.
pub async fn renew(trust: &Path) -> Result<Identity, RenewError> {
    let credentials = Credentials::at(trust);
    let identity = credentials.current()?.identity.clone();
    let (folder, node) = (trust.to_owned(), identity.node().clone());
    let own = aside(move || {
        let authority = Authority::open(&folder)?;
        authority.map(|it| it.renew_own(&node, SystemTime::now())).transpose()
    });
    match own.await? {
        Some(identity) => Ok(identity),
        None => Renewal::new(credentials, identity)?.ask_all().await,
    }
}

/// A node that wants another certificate of others.
struct Renewal {
    credentials: Arc<Credentials>,
    identity: Identity,
    request: Arc<Request>,
    /// Who has signed the last one.
    signer: Option<NodeName>,
}

impl Renewal {
    fn new(credentials: Arc<Credentials>, identity: Identity) -> Result<Self, TrustError> {
        let (request, signer) = (Arc::new(Request::new()?), signer::read(credentials.folder()));
        Ok(Self { credentials, identity, request, signer })
    }

    /// Asks who has signed before, whose word is the last, and else all others. What any of those says
    /// is in nobody's way.
    async fn ask_all(self) -> Result<Identity, RenewError> {
        let is_signer = |node: &NodeName| Some(node) == self.signer.as_ref();
        let peers = super::peers::read(self.credentials.folder()).into_iter();
        let (first, others): (Vec<_>, Vec<_>) = peers.partition(|(node, _)| is_signer(node));
        let first = stream::iter(first).then(|(node, places)| self.ask_one(node, places));
        let others = stream::iter(others).map(|(node, places)| self.ask_one(node, places));
        let mut answers = pin!(first.chain(others.buffer_unordered(ASKED_MAX)));
        let mut unsigned = Vec::new();
        while let Some((node, answer)) = answers.next().await {
            match answer {
                Ok(identity) => return Ok(identity),
                Err(NotSigned::NotKept(error)) => return Err(error.into()),
                Err(NotSigned::Refused(why)) if is_signer(&node) => {
                    return Err(RenewError::Refused { by: node, why });
                }
                Err(NotSigned::Refused(why)) => unsigned.push(format!("{node} says no: {why}")),
                Err(NotSigned::Unreachable(why)) => unsigned.push(format!("{node}: {why}")),
                Err(NotSigned::Cannot) => {}
            }
        }
        Err(match unsigned.is_empty() {
            true => RenewError::NobodySigns,
            false => RenewError::Unreachable(unsigned),
        })
    }

    /// Asks one, and keeps what it has signed.
    async fn ask_one(
        &self,
        node: NodeName,
        places: Vec<String>,
    ) -> (NodeName, Result<Identity, NotSigned>) {
        let asking = ask(&self.credentials, &node, &places, &self.request);
        let late = |_| Err(NotSigned::Unreachable(format!("no answer within {NODE_PATIENCE:?}")));
        let answer = tokio::time::timeout(NODE_PATIENCE, asking).await.unwrap_or_else(late);
        let kept = match answer {
            Ok(certificate) => self.keep(&node, certificate).await,
            Err(why) => Err(why),
        };
        (node, kept)
    }

    async fn keep(&self, by: &NodeName, certificate: Vec<u8>) -> Result<Identity, NotSigned> {
        let (identity, request) = (self.identity.clone(), self.request.clone());
        let (folder, by) = (self.credentials.folder().to_owned(), by.clone());
        let kept = aside(move || {
            let identity = identity.renew(&request, &certificate)?;
            signer::write(&folder, &by)?;
            Ok(identity)
        });
        kept.await.map_err(|error| match error {
            TrustError::Crypto(why) => {
                NotSigned::Refused(format!("what it signed is no good: {why}"))
            }
            error => NotSigned::NotKept(error),
        })
    }
}

async fn ask(
    credentials: &Credentials,
    node: &NodeName,
    places: &[String],
    request: &Request,
) -> Result<Vec<u8>, NotSigned> {
    let unreachable = |why: String| NotSigned::Unreachable(why);
    let reached = dial(credentials, node, places, Lane::Data).await;
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
                unreachable(refused_or(broken, node, credentials, &alert).to_string())
            }
        }),
    }
}
