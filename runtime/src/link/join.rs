//! Joining a household, which is the only thing that a stranger may ask; and the certificates that
//! nodes are given later.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use genii_protocols::NodeName;
use genii_protocols::household::household_client::HouseholdClient;
use genii_protocols::household::household_server::{Household, HouseholdServer};
use genii_protocols::household::{JoinReply, JoinRequest, RenewReply, RenewRequest};
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::TlsConnector;
use tonic::transport::Channel;
use tonic::{Code, Request as Call, Response, Status};

use super::caller::CallerName;
use super::network::Certificate;
use super::{HANDSHAKE_PATIENCE, channel_over};
use crate::trust::credentials::Credentials;
use crate::trust::verdict::Verdict;
use crate::trust::{
    Admitted, Authority, Fingerprint, Identity, Invitation, JoinRefused, Request, Secret,
    TrustError, TurnedAway, aside, signer, tls,
};

/// The largest request or reply, in bytes.
pub(super) const JOIN_MAX_LEN: usize = 64 << 10;

/// How long the authority may take to sign.
pub(super) const SIGN_PATIENCE: Duration = Duration::from_secs(10);

/// How many certificates may be signed at once; who asks for more is to ask again.
const SIGNING_MAX: usize = 4;

/// The service that lets others join the household of a node.
pub(super) fn service(credentials: &Arc<Credentials>) -> HouseholdServer<Door> {
    let signing = Arc::new(Semaphore::new(SIGNING_MAX));
    HouseholdServer::new(Door { credentials: credentials.clone(), signing })
        .max_decoding_message_size(JOIN_MAX_LEN)
        .max_encoding_message_size(JOIN_MAX_LEN)
}

/// The door to a household.
pub(super) struct Door {
    credentials: Arc<Credentials>,
    signing: Arc<Semaphore>,
}

impl Door {
    /// The node that calls, unless it is a stranger. Its certificate counted when it connected.
    fn heed_caller<T>(&self, call: &Call<T>) -> Result<Option<(NodeName, Certificate)>, Status> {
        let Some(caller) = call.extensions().get::<CallerName>() else { return Ok(None) };
        caller.asks();
        let Some((node, certificate)) = caller.node.clone() else { return Ok(None) };
        if let Err(verdict) = self.credentials.still_counts(&certificate) {
            self.credentials.tally().refuse(&verdict);
            return Err(Status::permission_denied(verdict.to_string()));
        }
        Ok(Some((node, certificate)))
    }

    /// Does the work of the authority, away from those who wait for other things.
    async fn sign<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Path) -> Result<T, Status> + Send + 'static,
    ) -> Result<Response<T>, Status> {
        let many = |_| Status::resource_exhausted("many ask for certificates just now; ask again");
        let permit = self.signing.clone().try_acquire_owned().map_err(many)?;
        let trust = self.credentials.folder().to_owned();
        let signed = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work(&trust)
        });
        signed.await.map_err(|_| Status::internal("it failed"))?.map(Response::new)
    }
}

#[tonic::async_trait]
impl Household for Door {
    async fn join(&self, call: Call<JoinRequest>) -> Result<Response<JoinReply>, Status> {
        self.heed_caller(&call)?;
        let JoinRequest { secret, request } = call.into_inner();
        self.sign(move |trust| admit(trust, &secret, &request)).await
    }

    async fn renew(&self, call: Call<RenewRequest>) -> Result<Response<RenewReply>, Status> {
        let caller = self.heed_caller(&call)?;
        let stranger = || Status::unauthenticated("only a node of the household can renew");
        let (node, certificate) = caller.ok_or_else(stranger)?;
        let RenewRequest { request } = call.into_inner();
        self.sign(move |trust| renew(trust, &node, &certificate, &request)).await
    }
}

fn renew(
    trust: &Path,
    node: &NodeName,
    shown: &Certificate,
    request: &[u8],
) -> Result<RenewReply, Status> {
    let authority = authority(trust)?;
    let signed = authority.renew(shown, request, SystemTime::now());
    let certificate = signed.map_err(|error| match error {
        TrustError::CountsNoMore | TrustError::TooMany(_) => {
            Status::permission_denied(error.to_string())
        }
        error => failed(error),
    })?;
    tracing::info!(%node, "its certificate was renewed");
    Ok(RenewReply { certificate })
}

fn authority(trust: &Path) -> Result<Authority, Status> {
    Authority::open(trust).map_err(failed)?.ok_or_else(|| {
        Status::failed_precondition(
            "this node cannot sign certificates; its household was made elsewhere",
        )
    })
}

fn failed(error: TrustError) -> Status {
    tracing::warn!("a certificate cannot be signed: {error}");
    Status::internal("the certificate cannot be signed; its log says why")
}

fn admit(trust: &Path, secret: &[u8], request: &[u8]) -> Result<JoinReply, Status> {
    let authority = authority(trust)?;
    let secret = Secret::from_bytes(secret);
    let refused = |refused: JoinRefused| Status::permission_denied(refused.to_string());
    let secret = secret.ok_or_else(|| refused(JoinRefused::Unknown))?;
    match authority.admit(&secret, request, SystemTime::now()).map_err(failed)? {
        Err(why) => {
            tracing::warn!("a machine that wants to join was refused: {why}");
            Err(refused(why))
        }
        Ok(Admitted { certificate, expelled }) => {
            tracing::info!("a machine has joined the household");
            let own = Identity::open(trust).map_err(failed)?;
            let node = own.map(|own| own.node().to_string()).unwrap_or_default();
            let household = authority.certificate().to_vec();
            Ok(JoinReply { certificate, household, expelled, node })
        }
    }
}

/// Why this machine could not join.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// It belongs to a household already.
    #[error("this machine belongs to the household {0} already")]
    Present(Fingerprint),
    /// Nobody answered; each place with what happened there.
    #[error("nobody answers: {}", .0.join("; "))]
    Unreachable(Vec<String>),
    /// Who invited says no.
    #[error("{0}")]
    Refused(String),
    /// Somebody else answers; each place with what happened there.
    #[error("nobody answers who has invited: {}", .0.join("; "))]
    Stranger(Vec<String>),
    /// By the clock here the certificate of who answers does not count; each place with what happened
    /// there.
    #[error("who answers cannot be known now: {}", .0.join("; "))]
    Untimely(Vec<String>),
    /// It cannot be kept.
    #[error(transparent)]
    Trust(#[from] TrustError),
}

/// Joins the household of an invitation, and keeps who this machine is then in a folder of trust.
///
/// # Errors
/// When nobody answers, or says no.
pub async fn join(invitation: &Invitation, trust: &Path) -> Result<Identity, JoinError> {
    let own = Authority::open(trust)?;
    let is_alone = own.map(|authority| authority.is_alone()).transpose()?.unwrap_or_default();
    if let Some(identity) = Identity::open(trust)?.filter(|_| !is_alone) {
        return Err(JoinError::Present(identity.household()));
    }
    // Whether the line has expired is for who has invited to say, whose clock it was made by.
    let mut not_reached = Vec::new();
    for at in &invitation.at {
        match call(at, invitation).await {
            Ok(channel) => return ask(channel, at, invitation, trust).await,
            Err(why) => not_reached.push((at, why)),
        }
    }
    Err(nobody(&not_reached))
}

/// Why nobody was reached at a place who could be asked.
enum NotReached {
    /// Nobody answers, or says what makes no sense.
    Silent(String),
    /// Somebody answers whose certificate is not taken.
    Distrusted(Verdict),
}

impl fmt::Display for NotReached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent(why) => f.write_str(why),
            Self::Distrusted(verdict) => verdict.fmt(f),
        }
    }
}

/// What it comes to that nobody was reached anywhere.
fn nobody(places: &[(&String, NotReached)]) -> JoinError {
    let is = |away: TurnedAway| {
        let mut whys = places.iter().map(|(_, why)| why);
        whys.any(|why| matches!(why, NotReached::Distrusted(it) if it.counts_as() == away))
    };
    let whys = places.iter().map(|(at, why)| format!("{at}: {why}")).collect();
    match () {
        () if is(TurnedAway::Untimely) => JoinError::Untimely(whys),
        () if is(TurnedAway::Foreign) => JoinError::Stranger(whys),
        () => JoinError::Unreachable(whys),
    }
}

/// Connects to whoever answers for a household at a place.
async fn call(at: &str, invitation: &Invitation) -> Result<Channel, NotReached> {
    let verdict = Arc::new(Mutex::new(None));
    let tell = verdict.clone();
    let watch = Arc::new(move |verdict| *tell.lock() = Some(verdict));
    let silent = |error: String| NotReached::Silent(error);
    let config = tls::joiner_watched(invitation.household, &invitation.by, watch);
    let config = config.map_err(|error| silent(error.to_string()))?;
    let place = at.to_owned();
    let reach = async move {
        let stream = TcpStream::connect(&place).await?;
        stream.set_nodelay(true)?;
        let connector = TlsConnector::from(Arc::new(config));
        connector.connect(tls::ANY_NODE.clone(), stream).await
    };
    let reached = tokio::time::timeout(HANDSHAKE_PATIENCE, reach).await;
    let stream = match reached {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            let verdict = verdict.lock().take().map(NotReached::Distrusted);
            return Err(verdict.unwrap_or_else(|| silent(error.to_string())));
        }
        Err(_) => return Err(silent(format!("no answer within {HANDSHAKE_PATIENCE:?}"))),
    };
    channel_over(stream).await.map_err(|error| silent(error.to_string()))
}

async fn ask(
    channel: Channel,
    at: &str,
    invitation: &Invitation,
    trust: &Path,
) -> Result<Identity, JoinError> {
    let request = Request::new()?;
    let secret = invitation.secret.bytes().to_vec();
    let mut call = Call::new(JoinRequest { secret, request: request.der().to_vec() });
    call.set_timeout(SIGN_PATIENCE);
    let mut door = HouseholdClient::new(channel).max_decoding_message_size(JOIN_MAX_LEN);
    let reply = match tokio::time::timeout(SIGN_PATIENCE, door.join(call)).await {
        Err(_) => {
            return Err(JoinError::Unreachable(vec![format!("{at}: no answer in time")]));
        }
        Ok(Err(status)) => {
            return Err(match status.code() {
                Code::PermissionDenied | Code::FailedPrecondition | Code::Internal => {
                    JoinError::Refused(status.message().to_owned())
                }
                _ => JoinError::Unreachable(vec![format!("{at}: {}", status.message())]),
            });
        }
        Ok(Ok(reply)) => reply.into_inner(),
    };
    let JoinReply { certificate, household, expelled, node: _ } = reply;
    if Fingerprint::of(&household) != invitation.household {
        return Err(JoinError::Stranger(vec![format!("{at}: {}", Verdict::Foreign)]));
    }
    let (folder, by) = (trust.to_owned(), invitation.by.clone());
    let identity = aside(move || {
        // A household of one, as `up` makes by itself, gives way.
        let identity = Identity::keep(&folder, &request, &household, &certificate, &expelled)?;
        signer::write(&folder, &by)?;
        Ok(identity)
    });
    let identity = identity.await?;
    // Who has signed is who is called first.
    super::peers::write(trust, &[(invitation.by.clone(), invitation.at.clone())].into());
    Ok(identity)
}
