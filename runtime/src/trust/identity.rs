//! Who this node is.

use std::path::Path;
use std::time::SystemTime;

use genii_protocols::NodeName;
use rcgen::{CertificateParams, KeyPair, PublicKeyData};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};

use super::folder::Folder;
use super::{Authority, Expelled, Fingerprint, TrustError};

/// The file of its certificate.
const CERTIFICATE: &str = "node.crt";

/// The file of its key.
const KEY: &str = "node.key";

/// The file of its key while its certificate is replaced.
const NEXT_KEY: &str = "node.next.key";

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
        // Between the two files that it reads, both may have been replaced.
        Self::read(&folder).or_else(|_| Self::read(&folder))
    }

    fn read(folder: &Folder) -> Result<Option<Self>, TrustError> {
        let read = |name: &str| folder.read(name);
        let parts = (read("household.crt")?, read(CERTIFICATE)?);
        let (Some(household), Some(certificate)) = parts else { return Ok(None) };
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
        let certificate = certificate_of(CERTIFICATE, &certificate)?;
        let (key, _) = key_of(folder, &certificate)?
            .ok_or_else(|| damaged(KEY, format!("it is not the key of {CERTIFICATE}")))?;
        let expelled = Expelled::read_pem(&expelled)
            .map_err(|error| damaged("expelled.crl", error.to_string()))?;
        let node = node_of(&certificate)
            .ok_or_else(|| damaged(CERTIFICATE, "it names no node".to_owned()))?;
        let folder = folder.clone();
        Ok(Some(Self { node, household, certificate, key, expelled, folder }))
    }

    /// Keeps what the authority of a household has signed for a key of ours, in the place of what was
    /// here before: a certificate of the same household, or a household of which nobody else was part.
    /// That stays as it was where something is wrong with what came.
    ///
    /// # Errors
    /// When it is not for that key, or not signed by that household; when this machine belongs to
    /// another that does not give way; or it cannot be written.
    pub fn keep(
        folder: &Path,
        request: &Request,
        household: &[u8],
        certificate: &[u8],
        expelled: &[u8],
    ) -> Result<Self, TrustError> {
        let identity = Self::signed(folder, request, household, certificate, expelled)?;
        let folder = Folder::make(folder)?;
        let _alone = folder.lock()?;
        gives_way(&folder, identity.household())?;
        let pem = super::pem_of;
        // The household last, and that of before first: where this is cut short the machine belongs to
        // none, and may join again.
        let before = ["household.crt", "household.key", "ledger.json", NEXT_KEY];
        let files = [
            (KEY, identity.key.clone()),
            (CERTIFICATE, pem("CERTIFICATE", &identity.certificate)),
            ("expelled.crl", pem("X509 CRL", identity.expelled.list())),
            ("household.crt", pem("CERTIFICATE", &identity.household)),
        ];
        folder.replace(&before, &files.each_ref().map(|(name, text)| (*name, &text[..])))?;
        Ok(identity)
    }

    /// Keeps what the authority has signed for the node on which it lives itself.
    pub(super) fn keep_beside_authority(
        folder: &Folder,
        request: &Request,
        household: &[u8],
        certificate: &[u8],
        expelled: &[u8],
    ) -> Result<Self, TrustError> {
        let identity = Self::signed(folder.root(), request, household, certificate, expelled)?;
        let pem = super::pem_of;
        identity.keep_own()?;
        folder.write("expelled.crl", &pem("X509 CRL", identity.expelled.list()))?;
        folder.write("household.crt", &pem("CERTIFICATE", &identity.household))?;
        Ok(identity)
    }

    /// Who somebody is for whom a household has signed.
    fn signed(
        folder: &Path,
        request: &Request,
        household: &[u8],
        certificate: &[u8],
        expelled: &[u8],
    ) -> Result<Self, TrustError> {
        let household = CertificateDer::from(household.to_vec());
        let certificate = CertificateDer::from(certificate.to_vec());
        let node = node_of(&certificate).ok_or(TrustError::Stranger)?;
        let expelled = Expelled::signed_by(&household, expelled)?;
        let (key, folder) = (request.key.serialize_pem(), Folder::at(folder));
        let identity = Self { node, household, certificate, key, expelled, folder };
        super::tls::client(&identity)?;
        // Whether it counts today is the matter of those who are shown it.
        let from = super::verdict::validity(&identity.certificate).ok_or(TrustError::Stranger)?.0;
        super::tls::verify_own(&identity, from)?;
        Ok(identity)
    }

    /// Takes another certificate, for another key, in the place of its own.
    ///
    /// # Errors
    /// When the authority has not signed it for this node and this key, or it cannot be written.
    pub fn renew(self, request: &Request, certificate: &[u8]) -> Result<Self, TrustError> {
        let certificate = CertificateDer::from(certificate.to_vec());
        let key = request.key.serialize_pem();
        let identity = Self { certificate, key, ..self };
        super::tls::client(&identity)?;
        super::tls::verify_own(&identity, UnixTime::now())?;
        let _alone = identity.folder.lock()?;
        identity.keep_own()?;
        Ok(identity)
    }

    /// Writes the certificate and its key. Whenever that is cut short, the folder holds a certificate
    /// with its key: the new key waits beside the old one until the certificate is replaced, which
    /// happens at once or not at all.
    fn keep_own(&self) -> Result<(), TrustError> {
        let folder = &self.folder;
        // One that was cut short before is brought to its end, or else its key would be lost.
        let before = folder.read(CERTIFICATE)?;
        let before = before.and_then(|text| CertificateDer::from_pem_slice(text.as_bytes()).ok());
        let before = before.map(|certificate| key_of(folder, &certificate)).transpose()?.flatten();
        if before.is_some_and(|(_, name)| name == NEXT_KEY) {
            folder.rename(NEXT_KEY, KEY)?;
        }
        folder.write(NEXT_KEY, &self.key)?;
        folder.write(CERTIFICATE, &super::pem_of("CERTIFICATE", &self.certificate))?;
        folder.rename(NEXT_KEY, KEY)
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

    /// The folder in which it is.
    pub(super) fn folder(&self) -> &Folder {
        &self.folder
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

/// Whether what is in a folder may give way to a certificate of a household.
fn gives_way(folder: &Folder, household: Fingerprint) -> Result<(), TrustError> {
    let present = |it: Fingerprint| TrustError::Present { fingerprint: it.to_string() };
    if let Some(authority) = Authority::open(folder.root())? {
        let is_alone = authority.is_alone()?;
        return if is_alone { Ok(()) } else { Err(present(authority.household())) };
    }
    match Identity::open(folder.root())? {
        Some(before) if before.household() != household => Err(present(before.household())),
        Some(_) | None => Ok(()),
    }
}

/// The key of a certificate, and the file in which it is.
fn key_of(
    folder: &Folder,
    certificate: &CertificateDer<'_>,
) -> Result<Option<(String, &'static str)>, TrustError> {
    for name in [KEY, NEXT_KEY] {
        let Some(text) = folder.read(name)? else { continue };
        let Ok(key) = KeyPair::from_pem(&text) else { continue };
        if is_of(&key, certificate) {
            return Ok(Some((text, name)));
        }
    }
    Ok(None)
}

/// Whether a key is that of a certificate.
pub(super) fn is_of(key: &KeyPair, certificate: &CertificateDer<'_>) -> bool {
    x509_parser::parse_x509_certificate(certificate)
        .is_ok_and(|(_, it)| it.public_key().raw == key.subject_public_key_info())
}

/// The node that a certificate is for: its only name.
pub(super) fn node_of(certificate: &CertificateDer<'_>) -> Option<NodeName> {
    let certificate = webpki::EndEntityCert::try_from(certificate).ok()?;
    let mut names = certificate.valid_dns_names();
    let name = NodeName::new(names.next()?.strip_suffix(super::SUFFIX)?).ok()?;
    names.next().is_none().then_some(name)
}
