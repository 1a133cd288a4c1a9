//! How a client comes to a node, and knows that it is of the household.

use std::error::Error;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tonic::Status;
use tonic::transport::{Channel, Endpoint, Uri};

/// How long to try to connect at first.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);

/// How long one attempt may take.
const ATTEMPT_PATIENCE: Duration = Duration::from_secs(5);

/// The first wait before another attempt; it doubles up to the last, and each is shortened by chance
/// so that clients that lost the same node do not come back at once.
const WAIT_FIRST: Duration = Duration::from_millis(50);
const WAIT_LAST: Duration = Duration::from_secs(2);

/// How often to look whether a silent node still answers, and how long it may take to.
const ALIVE_PERIOD: Duration = Duration::from_secs(20);
const ALIVE_PATIENCE: Duration = Duration::from_secs(10);

/// How much may come that was not read yet, in bytes: of one call, and of all. The second also says
/// how many small items of streams may lie unread before the connection is given up.
const CALL_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 16 << 20;

/// How many bytes of a fingerprint are needed: those that `genii household` shows.
const FINGERPRINT_LEN: usize = 16;

/// What every name of a node ends with in its certificate.
const SUFFIX: &str = ".genii.internal";

/// A household, as a client knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Household {
    /// By the certificate of its authority, in DER.
    Certificate(Vec<u8>),
    /// By at least the first 16 bytes of the SHA-256 digest of that certificate.
    Fingerprint(Vec<u8>),
}

impl Household {
    /// By its certificate as PEM: the file `trust/household.crt` of any of its nodes.
    ///
    /// # Errors
    /// When it is none.
    pub fn from_pem(text: &str) -> Result<Self, ConnectError> {
        let certificate = CertificateDer::from_pem_slice(text.as_bytes());
        let certificate =
            certificate.map_err(|error| ConnectError::Household(error.to_string()))?;
        Ok(Self::Certificate(certificate.to_vec()))
    }

    /// By its fingerprint, as `genii household` shows it.
    ///
    /// # Errors
    /// When it is none, or less than that.
    pub fn from_fingerprint(text: &str) -> Result<Self, ConnectError> {
        let wrong = || {
            let why =
                "a fingerprint has 32 hexadecimal digits at least, as `genii household` shows";
            ConnectError::Household(why.to_owned())
        };
        let digits: Vec<u8> = text.bytes().filter(|byte| !matches!(byte, b'-' | b':')).collect();
        let digit = |byte: u8| (byte as char).to_digit(16).map(|digit| digit as u8);
        let byte = |pair: &[u8]| Some(digit(pair[0])? << 4 | digit(*pair.get(1)?)?);
        let bytes: Option<Vec<u8>> = digits.chunks(2).map(byte).collect();
        let is_long_enough = |bytes: &Vec<u8>| (FINGERPRINT_LEN..=32).contains(&bytes.len());
        bytes.filter(is_long_enough).map(Self::Fingerprint).ok_or_else(wrong)
    }

    /// The certificate of the authority, if it is among those that were shown.
    fn authority(&self, shown: &[CertificateDer<'_>]) -> Option<CertificateDer<'static>> {
        match self {
            Self::Certificate(certificate) => Some(CertificateDer::from(certificate.clone())),
            Self::Fingerprint(fingerprint) => {
                let digest = |der: &[u8]| ring::digest::digest(&ring::digest::SHA256, der);
                let is_it =
                    |other: &&CertificateDer<'_>| digest(other).as_ref().starts_with(fingerprint);
                shown.iter().find(is_it).map(|found| found.clone().into_owned())
            }
        }
    }
}

/// How a client shows who it is.
#[derive(Clone)]
pub enum Proof {
    /// By a token that `genii token new` has made.
    Token(String),
    /// By a certificate of the household and its key, as PEM: a node has them in its folder `trust`.
    Certificate {
        /// The certificate.
        certificate: String,
        /// Its key.
        key: String,
    },
}

/// Why a client has not come to a node.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The household is not said as it should be.
    #[error("this says of no household: {0}")]
    Household(String),
    /// The token has letters that no token has.
    #[error("this is no token; one begins with genii-token-1-")]
    Token,
    /// The certificate or its key cannot be used.
    #[error("the certificate or its key cannot be used: {0}")]
    Certificate(String),
    /// Nobody could be reached in time, or somebody who is not of the household.
    #[error("{at} cannot be reached: {why}")]
    Unreachable {
        /// Where.
        at: String,
        /// What happened last.
        why: String,
    },
}

/// The waits before further attempts.
#[derive(Debug, Default)]
pub(super) struct Waits(u32);

impl Waits {
    pub(super) fn next(&mut self) -> Duration {
        let wait = (WAIT_FIRST * 2_u32.saturating_pow(self.0.min(10))).min(WAIT_LAST);
        self.0 += 1;
        wait.mul_f64(0.5 + fastrand::f64() / 2.0)
    }
}

pub(super) async fn unix(socket: &Path) -> Result<Channel, ConnectError> {
    let (socket, at) = (socket.to_owned(), socket.display().to_string());
    let connect = move || {
        let socket = socket.clone();
        async move { UnixStream::connect(socket).await.map(TokioIo::new) }
    };
    reach(at, connect).await
}

pub(super) async fn tcp(
    at: &str,
    household: Household,
    proof: Proof,
) -> Result<Channel, ConnectError> {
    let connector = TlsConnector::from(Arc::new(config(household, &proof)?));
    let at = at.to_owned();
    let place = at.clone();
    let connect = move || {
        let (at, connector) = (place.clone(), connector.clone());
        async move {
            let stream = TcpStream::connect(&at).await?;
            stream.set_nodelay(true)?;
            // Which node it is will be seen by its certificate.
            let name = ServerName::try_from("any-node").map_err(io::Error::other)?;
            connector.connect(name, stream).await.map(TokioIo::new)
        }
    };
    reach(at, connect).await
}

/// Connects, with further attempts, and goes on to do so whenever the connection breaks and somebody
/// calls.
async fn reach<S, F>(
    at: String,
    connect: impl Fn() -> F + Clone + Send + 'static,
) -> Result<Channel, ConnectError>
where
    F: Future<Output = io::Result<TokioIo<S>>> + Send + 'static,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let connector = tower::service_fn(move |_: Uri| {
        let connecting = connect();
        async move {
            let attempt = tokio::time::timeout(ATTEMPT_PATIENCE, connecting).await;
            attempt.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        }
    });
    let endpoint = Endpoint::from_static("http://genii.invalid")
        .initial_stream_window_size(CALL_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_keep_alive_interval(ALIVE_PERIOD)
        .keep_alive_timeout(ALIVE_PATIENCE);
    let until = Instant::now() + CONNECT_PATIENCE;
    let mut waits = Waits::default();
    loop {
        let error = match endpoint.connect_with_connector(connector.clone()).await {
            Ok(channel) => return Ok(channel),
            Err(error) => error,
        };
        let wait = waits.next();
        if is_hopeless(&error) || Instant::now() + wait > until {
            return Err(ConnectError::Unreachable { at, why: root(&error) });
        }
        tokio::time::sleep(wait).await;
    }
}

/// Whether nobody has taken a call, and it may be made again: there was no connection, or the node was
/// about to close it and said that it takes no more.
pub(super) fn never_arrived(status: &Status) -> bool {
    let is_unsent = |error: &(dyn Error + 'static)| {
        error.is::<tonic::ConnectError>()
            || error.downcast_ref().is_some_and(hyper::Error::is_canceled)
            || error.downcast_ref().is_some_and(is_not_taken)
    };
    causes(status).any(is_unsent) && !is_hopeless(status)
}

/// Whether the other end of a connection has said that it does not look at a call. One that closes a
/// connection in good order answers all calls that it had before, and none that came later: these
/// alone end so. See RFC 9113, sections 6.8 and 8.7.
fn is_not_taken(error: &h2::Error) -> bool {
    let closes = error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR);
    error.is_remote() && (closes || error.reason() == Some(h2::Reason::REFUSED_STREAM))
}

/// Whether there is no use in trying again: whoever is there is not of the household.
fn is_hopeless(error: &(dyn Error + 'static)) -> bool {
    causes(error).any(|cause| {
        let within = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        within.is_some_and(|within| within.is::<rustls::Error>())
    })
}

/// An error and those beneath it.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| (*error).source())
}

/// What lies at the bottom of an error.
fn root(error: &(dyn Error + 'static)) -> String {
    causes(error).last().map(ToString::to_string).unwrap_or_default()
}

fn config(household: Household, proof: &Proof) -> Result<ClientConfig, ConnectError> {
    let wrong = |error: &dyn Error| ConnectError::Certificate(error.to_string());
    let verifier = Arc::new(ByHousehold { household, provider: provider() });
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| wrong(&error))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match proof {
        Proof::Token(_) => config.with_no_client_auth(),
        Proof::Certificate { certificate, key } => {
            let certificate = CertificateDer::from_pem_slice(certificate.as_bytes());
            let certificate = certificate.map_err(|error| wrong(&error))?;
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes());
            let key = key.map_err(|error| wrong(&error))?;
            let config = config.with_client_auth_cert(vec![certificate], key);
            config.map_err(|error| wrong(&error))?
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Takes whoever shows a certificate of a node that the household has signed, whichever node it is.
/// "Dangerous" is what rustls calls every verifier but its own; this one finds out the name and the
/// authority, and leaves the rest to that.
#[derive(Debug)]
struct ByHousehold {
    household: Household,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for ByHousehold {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let unknown = || rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let mut roots = RootCertStore::empty();
        roots.add(self.household.authority(others).ok_or_else(unknown)?)?;
        let verifier =
            WebPkiServerVerifier::builder_with_provider(roots.into(), self.provider.clone());
        let verifier = verifier.build().map_err(|_| unknown())?;
        let node = node_of(certificate).ok_or_else(unknown)?;
        verifier.verify_server_cert(certificate, &[], &node, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("only TLS 1.3 is spoken".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// The name of the node that a certificate is for.
fn node_of(certificate: &CertificateDer<'_>) -> Option<ServerName<'static>> {
    let certificate = webpki::EndEntityCert::try_from(certificate).ok()?;
    let name = certificate.valid_dns_names().find(|name| name.ends_with(SUFFIX))?;
    ServerName::try_from(name.to_owned()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_household_is_known_by_what_the_command_shows() {
        let shown = "0011-2233-4455-6677-8899-aabb-ccdd-eeff";
        let household = Household::from_fingerprint(shown).unwrap();
        let Household::Fingerprint(bytes) = household else { panic!("it is a fingerprint") };
        assert_eq!((bytes.len(), bytes[0], bytes[15]), (16, 0, 0xff));
        for wrong in ["", "0011", "zz11-2233-4455-6677-8899-aabb-ccdd-eeff", &shown.repeat(3)] {
            assert!(Household::from_fingerprint(wrong).is_err(), "{wrong}");
        }
        assert!(Household::from_pem("no certificate").is_err());
    }

    #[test]
    fn waits_grow_up_to_a_bound_and_differ() {
        let mut waits = Waits::default();
        let all: Vec<Duration> = (0..12).map(|_| waits.next()).collect();
        assert!(all[0] >= WAIT_FIRST / 2 && all[0] <= WAIT_FIRST);
        assert!(all.iter().all(|wait| *wait <= WAIT_LAST));
        assert!(all[11] >= WAIT_LAST / 2);
    }
}
