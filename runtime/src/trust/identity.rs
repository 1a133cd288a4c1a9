//! Who this node is.

use std::path::Path;
use std::time::SystemTime;

use genii_protocols::NodeName;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::folder::Folder;
use super::{Expelled, Fingerprint, TrustError};

/// A node of a household: its certificate and key, and whom the household trusts.
#[derive(Clone)]
pub struct Identity {
    node: NodeName,
    household: CertificateDer<'static>,
    certificate: CertificateDer<'static>,
    key: String,
    expelled: Expelled,
    folder: Folder,
}

/// A key that asks for its certificate.
pub struct Request {
    key: KeyPair,
    der: Vec<u8>,
}

impl Request {
    /// A new key.
    ///
    /// # Errors
    /// When none can be made.
    pub fn new() -> Result<Self, TrustError> {
        let key = KeyPair::generate()?;
        let request = CertificateParams::default().serialize_request(&key)?;
        Ok(Self { der: request.der().to_vec(), key })
    }

    /// What is sent to the authority.
    pub fn der(&self) -> &[u8] {
        &self.der
    }
}

impl Identity {
    /// The identity in a folder; `None` if there is none.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn open(folder: &Path) -> Result<Option<Self>, TrustError> {
        let folder = Folder::at(folder);
        let read = |name: &str| folder.read(name);
        let parts = (read("household.crt")?, read("node.crt")?, read("node.key")?);
        let (Some(household), Some(certificate), Some(key)) = parts else { return Ok(None) };
        let expelled = read("expelled.crl")?.unwrap_or_default();
        let damaged = |name: &str, detail: String| TrustError::Damaged {
            path: folder.path(name).display().to_string(),
            detail,
        };
        let certificate_of = |name: &str, text: &str| {
            CertificateDer::from_pem_slice(text.as_bytes())
                .map_err(|error| damaged(name, error.to_string()))
        };
        let household = certificate_of("household.crt", &household)?;
        let certificate = certificate_of("node.crt", &certificate)?;
        PrivateKeyDer::from_pem_slice(key.as_bytes())
            .map_err(|error| damaged("node.key", error.to_string()))?;
        let expelled = Expelled::read_pem(&expelled)
            .map_err(|error| damaged("expelled.crl", error.to_string()))?;
        let node = node_of(&certificate)
            .ok_or_else(|| damaged("node.crt", "it names no node".to_owned()))?;
        Ok(Some(Self { node, household, certificate, key, expelled, folder }))
    }

    /// Keeps what the authority has signed for a key of ours.
    ///
    /// # Errors
    /// When it is not for that key, or cannot be written.
    pub fn keep(
        folder: &Path,
        request: &Request,
        household: &[u8],
        certificate: &[u8],
        expelled: &[u8],
    ) -> Result<Self, TrustError> {
        let folder = Folder::make(folder)?;
        let household = CertificateDer::from(household.to_vec());
        let certificate = CertificateDer::from(certificate.to_vec());
        let node = node_of(&certificate).ok_or(TrustError::Stranger)?;
        let expelled = Expelled::signed_by(&household, expelled)?;
        let key = request.key.serialize_pem();
        let identity = Self { node, household, certificate, key, expelled, folder };
        // What does not fit together is not written.
        super::tls::client(&identity)?;
        let pem = super::pem_of;
        identity.folder.write("node.key", &identity.key)?;
        identity.folder.write("node.crt", &pem("CERTIFICATE", &identity.certificate))?;
        identity.folder.write("expelled.crl", &pem("X509 CRL", identity.expelled.list()))?;
        identity.folder.write("household.crt", &pem("CERTIFICATE", &identity.household))?;
        Ok(identity)
    }

    /// Its name.
    pub fn node(&self) -> &NodeName {
        &self.node
    }

    /// Its household.
    pub fn household(&self) -> Fingerprint {
        Fingerprint::of(&self.household)
    }

    /// Until when its certificate counts.
    pub fn expires(&self) -> Option<SystemTime> {
        let (_, parsed) = x509_parser::parse_x509_certificate(&self.certificate).ok()?;
        let seconds = parsed.validity().not_after.timestamp().try_into().ok()?;
        Some(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds))
    }

    pub(super) fn roots(&self) -> &CertificateDer<'static> {
        &self.household
    }

    /// Its certificate.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    pub(super) fn key(&self) -> Result<PrivateKeyDer<'static>, TrustError> {
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes());
        key.map_err(|error| TrustError::Crypto(error.to_string()))
    }

    /// This node, with another list of the expelled.
    pub(super) fn with_expelled(self, expelled: Expelled) -> Self {
        Self { expelled, ..self }
    }

    /// The certificates that count no more.
    pub fn expelled(&self) -> &Expelled {
        &self.expelled
    }
}

/// The node that a certificate is for: its only name.
pub(super) fn node_of(certificate: &CertificateDer<'_>) -> Option<NodeName> {
    let certificate = webpki::EndEntityCert::try_from(certificate).ok()?;
    let mut names = certificate.valid_dns_names();
    let name = NodeName::new(names.next()?.strip_suffix(super::SUFFIX)?).ok()?;
    names.next().is_none().then_some(name)
}
