//! Mutual TLS 1.3 from who this node is and whom the household trusts.

use std::sync::{Arc, LazyLock};

use genii_protocols::NodeName;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::{ClientHello, NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig,
    SignatureScheme,
};

use super::watched::{Watch, Watched};
use super::{Fingerprint, Identity, TrustError};

/// What a link speaks within TLS.
const LINK_PROTOCOL: &[u8] = b"h2";

/// The same, on a connection that is for a control lane.
const CONTROL_PROTOCOL: &[u8] = b"genii-control";

/// For who listens. Whoever has no certificate is let in so far that it can ask to join.
///
/// # Errors
/// When the identity does not fit together.
pub fn server(identity: &Identity) -> Result<ServerConfig, TrustError> {
    server_watched(identity, Arc::new(drop))
}

/// As [`server`], and tells of each certificate that is not taken.
///
/// # Errors
/// When the identity does not fit together.
pub fn server_watched(identity: &Identity, watch: Watch) -> Result<ServerConfig, TrustError> {
    let verifier = WebPkiClientVerifier::builder_with_provider(roots(identity)?, provider())
        .with_crls([identity.expelled().list().clone()])
        .allow_unauthenticated()
        .build()
        .map_err(|error| TrustError::Crypto(error.to_string()))?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(Arc::new(Watched { watch, verifier }))
        .with_single_cert(chain(identity), identity.key()?)?;
    config.alpn_protocols = vec![CONTROL_PROTOCOL.to_vec(), LINK_PROTOCOL.to_vec()];
    // A session that is taken up again would not be asked for its certificate.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// For who calls.
///
/// # Errors
/// When the identity does not fit together.
pub fn client(identity: &Identity) -> Result<ClientConfig, TrustError> {
    client_watched(identity, Arc::new(drop))
}

/// As [`client`], and tells of each certificate that is not taken.
///
/// # Errors
/// When the identity does not fit together.
pub fn client_watched(identity: &Identity, watch: Watch) -> Result<ClientConfig, TrustError> {
    let verifier = WebPkiServerVerifier::builder_with_provider(roots(identity)?, provider())
        .with_crls([identity.expelled().list().clone()])
        .build()
        .map_err(|error| TrustError::Crypto(error.to_string()))?;
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Watched { watch, verifier }))
        .with_client_auth_cert(chain(identity), identity.key()?)?;
    config.alpn_protocols = vec![LINK_PROTOCOL.to_vec()];
    Ok(config)
}

/// Says beforehand that a connection is for a control lane. Whoever does not know of it yet takes it
/// for any other.
pub(crate) fn announce_control(config: &mut ClientConfig) {
    config.alpn_protocols.insert(0, CONTROL_PROTOCOL.to_vec());
}

/// Whether who calls says that the connection is for a control lane.
pub(crate) fn is_for_control(hello: &ClientHello<'_>) -> bool {
    hello.alpn().is_some_and(|mut offered| offered.any(|protocol| protocol == CONTROL_PROTOCOL))
}

/// Whether the authority has signed the certificate of an identity for its name and for a time.
///
/// # Errors
/// When it has not.
pub(super) fn verify_own(identity: &Identity, at: UnixTime) -> Result<(), TrustError> {
    let verifier = WebPkiServerVerifier::builder_with_provider(roots(identity)?, provider());
    let verifier = verifier.build().map_err(|error| TrustError::Crypto(error.to_string()))?;
    let name = ServerName::try_from(super::certified(identity.node()));
    let name = name.map_err(|error| TrustError::Crypto(error.to_string()))?;
    verifier.verify_server_cert(identity.certificate(), &[], &name, &[], at)?;
    Ok(())
}

/// The node that a certificate names, once TLS has found it good.
pub fn peer(certificates: Option<&[CertificateDer<'_>]>) -> Option<NodeName> {
    super::identity::node_of(certificates?.first()?)
}

fn chain(identity: &Identity) -> Vec<CertificateDer<'static>> {
    // The household's own comes along for who is about to join, and knows only its fingerprint.
    vec![identity.certificate().clone(), identity.roots().clone()]
}

fn roots(identity: &Identity) -> Result<Arc<RootCertStore>, TrustError> {
    let mut roots = RootCertStore::empty();
    roots.add(identity.roots().clone())?;
    Ok(Arc::new(roots))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// The name by which who joins calls: it does not know yet whose certificate it will see.
pub static ANY_NODE: LazyLock<ServerName<'static>> =
    LazyLock::new(|| ServerName::try_from("any-node").expect("it is a good name"));

/// For who is about to join a household, and knows no more of it than its fingerprint.
///
/// # Errors
/// When the system cannot.
pub fn joiner(household: Fingerprint, by: &NodeName) -> Result<ClientConfig, TrustError> {
    joiner_watched(household, by, Arc::new(drop))
}

/// As [`joiner`], and tells of each certificate that is not taken.
///
/// # Errors
/// When the system cannot.
pub fn joiner_watched(
    household: Fingerprint,
    by: &NodeName,
    watch: Watch,
) -> Result<ClientConfig, TrustError> {
    let verifier = Arc::new(ByFingerprint { household, by: by.clone() });
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Watched { watch, verifier }))
        .with_no_client_auth();
    config.alpn_protocols = vec![LINK_PROTOCOL.to_vec()];
    Ok(config)
}

/// Takes whoever shows the household's own certificate, and one for itself that this one has
/// signed. "Dangerous" is what rustls calls every verifier but its own; this one adds the
/// fingerprint and leaves the rest to that.
#[derive(Debug)]
struct ByFingerprint {
    household: Fingerprint,
    /// Who has invited. Nobody else is to hear the secret, not even of the household.
    by: NodeName,
}

impl ServerCertVerifier for ByFingerprint {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let unknown = || rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let household = others.iter().find(|other| Fingerprint::of(other) == self.household);
        let mut roots = RootCertStore::empty();
        roots.add(household.ok_or_else(unknown)?.clone().into_owned())?;
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider());
        let verifier = verifier.build().map_err(|_| unknown())?;
        let node = ServerName::try_from(super::certified(&self.by)).map_err(|_| unknown())?;
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
        let algorithms = provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}
