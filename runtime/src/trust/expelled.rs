//! The list of the expelled: certificates that count no more, as the authority has signed it.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};

/// The largest list, in bytes: some 4,000 certificates. It travels in one frame.
pub const EXPELLED_MAX_LEN: usize = 192 << 10;

/// The certificates that count no more.
#[derive(Clone)]
pub struct Expelled {
    list: CertificateRevocationListDer<'static>,
    number: u64,
    /// Each certificate by its serial number, with the time when it was expelled.
    serials: HashMap<Vec<u8>, SystemTime>,
}

/// Why a list does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoList {
    /// It has too many entries.
    #[error("the list of the expelled has {0} bytes, and {EXPELLED_MAX_LEN} are the most")]
    TooLong(usize),
    /// It is no such list.
    #[error("the list of the expelled cannot be read: {0}")]
    Unreadable(String),
    /// Somebody else has signed it.
    #[error("the authority of this household has not signed the list of the expelled")]
    Forged,
}

impl Expelled {
    /// Reads a list in DER, whoever has signed it.
    ///
    /// # Errors
    /// When it is none, or too long.
    pub fn read(list: &[u8]) -> Result<Self, NoList> {
        if list.len() > EXPELLED_MAX_LEN {
            return Err(NoList::TooLong(list.len()));
        }
        let unreadable = |what: &str| NoList::Unreadable(what.to_owned());
        let (rest, read) = x509_parser::parse_x509_crl(list)
            .map_err(|error| NoList::Unreadable(error.to_string()))?;
        if !rest.is_empty() {
            return Err(unreadable("something stands behind it"));
        }
        let number = read.crl_number().ok_or_else(|| unreadable("it has no number"))?;
        let number = u64::try_from(number).map_err(|_| unreadable("its number is too large"))?;
        let serials = read.iter_revoked_certificates().map(|revoked| {
            let at = u64::try_from(revoked.revocation_date.timestamp()).unwrap_or_default();
            (plain(revoked.raw_serial()).to_vec(), SystemTime::UNIX_EPOCH + Duration::from_secs(at))
        });
        let serials = serials.collect();
        Ok(Self { list: CertificateRevocationListDer::from(list.to_vec()), number, serials })
    }

    /// Reads a list in PEM.
    pub(super) fn read_pem(text: &str) -> Result<Self, NoList> {
        let list = CertificateRevocationListDer::from_pem_slice(text.as_bytes());
        Self::read(&list.map_err(|error| NoList::Unreadable(error.to_string()))?)
    }

    /// Reads a list in DER that the authority with this certificate has signed.
    ///
    /// # Errors
    /// When it has not, or it is no list, or too long.
    pub fn signed_by(household: &CertificateDer<'_>, list: &[u8]) -> Result<Self, NoList> {
        let expelled = Self::read(list)?;
        let (_, read) = x509_parser::parse_x509_crl(list).map_err(|_| NoList::Forged)?;
        let authority = webpki::EndEntityCert::try_from(household).map_err(|_| NoList::Forged)?;
        let verified = authority.verify_signature(
            webpki::ring::ECDSA_P256_SHA256,
            read.tbs_cert_list.as_ref(),
            &read.signature_value.data,
        );
        verified.map_err(|_| NoList::Forged)?;
        Ok(expelled)
    }

    /// Which list it is: a later one has a greater number.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The list, in DER.
    pub fn list(&self) -> &CertificateRevocationListDer<'static> {
        &self.list
    }

    /// Whether a certificate counts no more. One that cannot be read counts as little.
    pub fn contains(&self, certificate: &CertificateDer<'_>) -> bool {
        match x509_parser::parse_x509_certificate(certificate) {
            Ok((_, certificate)) => self.has_serial(certificate.raw_serial()),
            Err(_) => true,
        }
    }

    /// Whether the certificate with this serial number counts no more.
    pub(super) fn has_serial(&self, serial: &[u8]) -> bool {
        self.serials.contains_key(plain(serial))
    }

    /// Each serial number, with the time when it was expelled.
    pub(super) fn serials(&self) -> impl Iterator<Item = (&[u8], SystemTime)> {
        self.serials.iter().map(|(serial, at)| (&serial[..], *at))
    }
}

/// A serial number without the zeros that some forms of it have in front.
pub(super) fn plain(serial: &[u8]) -> &[u8] {
    let zeros = serial.iter().take_while(|byte| **byte == 0).count();
    &serial[zeros..]
}
