//! Who signs: the authority of a household, and its ledger.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, SystemTime};

use genii_protocols::NodeName;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams,
    CertificateSigningRequestParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer};
use serde::{Deserialize, Serialize};

use super::folder::Folder;
use super::invitation::{INVITATION_SPAN_MAX, Secret};
use super::{Expelled, Fingerprint, Identity, NoList, Request, TrustError, hex, seconds};

/// How long the certificate of a node counts. It is renewed long before.
pub const NODE_SPAN: Duration = Duration::from_secs(90 * DAY);

/// So long before it runs out, the certificate of a node is renewed.
pub const RENEWED_BEFORE: Duration = Duration::from_secs(30 * DAY);

/// How many certificates of one node may count at a time, older ones among them.
pub(super) const CERTIFICATES_MAX: usize = 128;

/// How long the certificate of a household counts.
const HOUSEHOLD_SPAN: Duration = Duration::from_secs(20 * 365 * DAY);

/// How far the clocks of two machines may differ.
const CLOCK_SKEW: Duration = Duration::from_secs(DAY);

const DAY: u64 = 86_400;

/// The file of the list of the expelled.
const EXPELLED: &str = "expelled.crl";

/// How many invitations may be open at a time.
const INVITATIONS_MAX: usize = 256;

/// The authority of a household.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    folder: Folder,
}

/// What the authority remembers.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Ledger {
    signed: Vec<Signed>,
    invitations: Vec<Invited>,
    /// The number of the last list of the expelled.
    expulsions: u64,
    /// Somebody wanted this household; it did not only come about.
    is_wanted: bool,
}

impl Ledger {
    /// Withdraws all invitations of a node, and says how many of them were open. What was used stays
    /// known as such.
    fn withdraw(&mut self, node: &NodeName, at: u64) -> usize {
        let of_node = |it: &Invited| it.node == *node && !it.used;
        let open = self.invitations.iter().filter(|it| of_node(it) && it.expires > at).count();
        self.invitations.retain(|it| !of_node(it));
        open
    }
}

/// A certificate that was signed.
#[derive(Debug, Serialize, Deserialize)]
struct Signed {
    node: NodeName,
    serial: String,
    expires: u64,
    expelled: Option<u64>,
}

impl Signed {
    /// Whether it is this certificate.
    fn is(&self, certificate: &CertificateDer<'_>) -> bool {
        let parsed = x509_parser::parse_x509_certificate(certificate).ok();
        parsed.zip(unhex(&self.serial)).is_some_and(|((_, parsed), serial)| {
            super::expelled::plain(parsed.raw_serial()) == super::expelled::plain(&serial)
        })
    }
}

/// An invitation. Its secret is not kept, only the digest.
#[derive(Debug, Serialize, Deserialize)]
struct Invited {
    node: NodeName,
    digest: String,
    expires: u64,
    used: bool,
}

/// What somebody gets who was let in.
#[derive(Debug)]
pub struct Admitted {
    /// Its certificate, in DER.
    pub certificate: Vec<u8>,
    /// The list of the expelled, in DER.
    pub expelled: Vec<u8>,
}

/// What came of it that a node was expelled.
#[derive(Debug)]
pub struct Expulsion {
    /// The list that says so, in DER; `None` if it never had a certificate that may still count.
    pub list: Option<Vec<u8>>,
    /// How many invitations were open, which count no more.
    pub invitations: usize,
}

/// Why somebody who wants to join is turned away.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JoinRefused {
    /// Nobody was invited with this secret.
    #[error("nobody was invited with this line; ask for another with `genii invite NAME`")]
    Unknown,
    /// It was used before.
    #[error("this invitation was used already; ask for another with `genii invite NAME`")]
    Used,
    /// It is too late.
    #[error("this invitation has expired; ask for another with `genii invite NAME`")]
    Expired,
}

impl Authority {
    /// Makes a household, and this node its first.
    ///
    /// # Errors
    /// When there is one already, or it cannot be written.
    pub fn found(
        path: &Path,
        node: &NodeName,
        now: SystemTime,
    ) -> Result<(Self, Identity), TrustError> {
        let folder = Folder::make(path)?;
        let _alone = folder.lock()?;
        if let Some(text) = folder.read("household.crt")? {
            let certificate = read_certificate(&folder, &text)?;
            let fingerprint = Fingerprint::of(&certificate).to_string();
            return Err(TrustError::Present { fingerprint });
        }
        let key = KeyPair::generate()?;
        let params = household(now);
        let certificate = params.self_signed(&key)?;
        folder.write("household.key", &key.serialize_pem())?;
        let certificate = certificate.der().clone();
        let issuer = Issuer::new(params, key);
        let authority = Self { issuer, certificate, folder };
        let identity = authority.admit_own(&mut Ledger::default(), node, now)?;
        Ok((authority, identity))
    }

    /// The authority in a folder; `None` if it lives elsewhere. A key there that is not the household's
    /// is of a household that was never wholly made, and none.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn open(path: &Path) -> Result<Option<Self>, TrustError> {
        let folder = Folder::at(path);
        let (key, certificate) = (folder.read("household.key")?, folder.read("household.crt")?);
        let (Some(key), Some(certificate)) = (key, certificate) else { return Ok(None) };
        let certificate = read_certificate(&folder, &certificate)?;
        let key = KeyPair::from_pem(&key).map_err(|error| TrustError::Damaged {
            path: folder.path("household.key").display().to_string(),
            detail: error.to_string(),
        })?;
        if !super::identity::is_of(&key, &certificate) {
            return Ok(None);
        }
        let issuer = Issuer::from_ca_cert_der(&certificate, key)?;
        Ok(Some(Self { issuer, certificate, folder }))
    }

    /// What tells this household from others.
    pub fn household(&self) -> Fingerprint {
        Fingerprint::of(&self.certificate)
    }

    /// The certificate of the household.
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// Whether this node is the only one that ever belonged, and nobody asked for a household.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn is_alone(&self) -> Result<bool, TrustError> {
        let ledger = self.ledger()?;
        let own = Identity::open(self.folder.root())?;
        let own = own.as_ref().map(Identity::node);
        let of_own = |signed: &Signed| Some(&signed.node) == own;
        let has_others = !ledger.invitations.is_empty() || !ledger.signed.iter().all(of_own);
        Ok(!ledger.is_wanted && !has_others)
    }

    /// Says that somebody wants this household and its name, and that it is not to give way.
    ///
    /// # Errors
    /// When it cannot be written down.
    pub fn is_wanted(&self) -> Result<(), TrustError> {
        let _alone = self.folder.lock()?;
        let ledger = Ledger { is_wanted: true, ..self.ledger()? };
        self.keep(&ledger)
    }

    /// Signs a new certificate for the node on which the authority lives.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn renew_own(&self, node: &NodeName, now: SystemTime) -> Result<Identity, TrustError> {
        let _alone = self.folder.lock()?;
        let mut ledger = self.ledger()?;
        self.admit_own(&mut ledger, node, now)
    }

    /// Gives this node another name. To be done only while it is alone.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn rename(&self, node: &NodeName, now: SystemTime) -> Result<Identity, TrustError> {
        let _alone = self.folder.lock()?;
        let mut ledger = self.ledger()?;
        ledger.signed.clear();
        self.admit_own(&mut ledger, node, now)
    }

    /// Signs for the node on which the authority lives.
    fn admit_own(
        &self,
        ledger: &mut Ledger,
        node: &NodeName,
        now: SystemTime,
    ) -> Result<Identity, TrustError> {
        let request = Request::new()?;
        let signed = self.sign(ledger, node, request.der(), now)?;
        self.keep(ledger)?;
        let expelled = self.expelled_so_far(ledger, now)?;
        let (folder, certificate) = (&self.folder, &self.certificate);
        Identity::keep_beside_authority(folder, &request, certificate, &signed, &expelled)
    }

    /// Invites a node for so long, and says the secret by which it is known.
    ///
    /// # Errors
    /// When that cannot be written down, or too many are open.
    pub fn invite(
        &self,
        node: &NodeName,
        span: Duration,
        now: SystemTime,
    ) -> Result<Secret, TrustError> {
        let _alone = self.folder.lock()?;
        let mut ledger = self.ledger()?;
        let at = seconds(now);
        // What was used or has expired is kept a while, so that it can be told from what never was.
        let kept = INVITATION_SPAN_MAX.as_secs();
        ledger.invitations.retain(|invited| invited.expires.saturating_add(kept) > at);
        // Of two open lines for one name, one machine would have to take another.
        let is_over = |invited: &Invited| invited.used || invited.expires <= at;
        ledger.invitations.retain(|invited| is_over(invited) || invited.node != *node);
        if ledger.invitations.len() >= INVITATIONS_MAX {
            let detail = format!("{INVITATIONS_MAX} invitations are open; wait until some expire");
            let path = self.folder.path("ledger.json").display().to_string();
            return Err(TrustError::File { path, error: std::io::Error::other(detail) });
        }
        let secret = Secret::new()?;
        ledger.invitations.push(Invited {
            node: node.clone(),
            digest: secret.digest(),
            expires: at + span.min(INVITATION_SPAN_MAX).as_secs(),
            used: false,
        });
        self.keep(&ledger)?;
        Ok(secret)
    }

    /// Signs for somebody who was invited, once. Answers with the certificate and the list of the
    /// expelled.
    ///
    /// # Errors
    /// When it was not invited, the request is no request, or it cannot be written down.
    pub fn admit(
        &self,
        secret: &Secret,
        request: &[u8],
        now: SystemTime,
    ) -> Result<Result<Admitted, JoinRefused>, TrustError> {
        let _alone = self.folder.lock()?;
        let mut ledger = self.ledger()?;
        let digest = secret.digest();
        let invited = ledger.invitations.iter_mut().find(|invited| invited.digest == digest);
        let node = match invited {
            None => return Ok(Err(JoinRefused::Unknown)),
            Some(invited) if invited.used => return Ok(Err(JoinRefused::Used)),
            Some(invited) if invited.expires <= seconds(now) => {
                return Ok(Err(JoinRefused::Expired));
            }
            Some(invited) => {
                invited.used = true;
                invited.node.clone()
            }
        };
        let certificate = self.sign(&mut ledger, &node, request, now)?;
        // It is used from now on, also if the answer is lost.
        self.keep(&ledger)?;
        let expelled = self.expelled_so_far(&ledger, now)?;
        Ok(Ok(Admitted { certificate, expelled }))
    }

    /// Signs a new certificate for the node that shows this one, which must count itself: that another
    /// machine was given the name since does not help who had it before.
    ///
    /// # Errors
    /// When the request is no request, what it shows counts no more, the node has too many, or it
    /// cannot be written down.
    pub fn renew(
        &self,
        shown: &CertificateDer<'_>,
        request: &[u8],
        now: SystemTime,
    ) -> Result<Vec<u8>, TrustError> {
        let _alone = self.folder.lock()?;
        let mut ledger = self.ledger()?;
        let at = seconds(now);
        let counts = |it: &&Signed| it.expelled.is_none() && it.expires > at;
        let shown = ledger.signed.iter().find(|it| it.is(shown)).filter(counts);
        let node = shown.ok_or(TrustError::CountsNoMore)?.node.clone();
        let of_node = ledger.signed.iter().filter(|it| it.node == node);
        if of_node.filter(counts).count() >= CERTIFICATES_MAX {
            return Err(TrustError::TooMany(node));
        }
        let certificate = self.sign(&mut ledger, &node, request, now)?;
        self.keep(&ledger)?;
        Ok(certificate)
    }

    /// Takes back everything that was signed for a node, makes the list that says so, and lets no
    /// invitation of it count that is still open.
    ///
    /// # Errors
    /// When there is no such node and none was invited, or it cannot be written down.
    pub fn expel(&self, node: &NodeName, now: SystemTime) -> Result<Expulsion, TrustError> {
        let _alone = self.folder.lock()?;
        let mut ledger = self.ledger()?;
        let at = seconds(now);
        let invitations = ledger.withdraw(node, at);
        let mut is_known = false;
        for signed in ledger.signed.iter_mut().filter(|signed| signed.node == *node) {
            is_known = true;
            signed.expelled.get_or_insert(at);
        }
        if !is_known && invitations == 0 {
            return Err(TrustError::UnknownNode(node.clone()));
        }
        let list = is_known.then(|| self.next_list(&mut ledger, now)).transpose()?;
        self.keep(&ledger)?;
        Ok(Expulsion { list, invitations })
    }

    /// Makes the next list of the expelled, and keeps it. What it says holds also if the ledger is not
    /// written any more.
    fn next_list(&self, ledger: &mut Ledger, now: SystemTime) -> Result<Vec<u8>, TrustError> {
        // Others know the last list that was made, also if the ledger is from a copy.
        let before = self.last_list()?;
        let last = before.as_ref().map_or(0, Expelled::number);
        ledger.expulsions = ledger.expulsions.max(last) + 1;
        let list = self.list_expelled(ledger, before.as_ref(), now)?;
        Expelled::read(&list)?;
        self.folder.write(EXPELLED, &super::pem_of("X509 CRL", &list))?;
        Ok(list)
    }

    /// The nodes that were given a certificate, and whether they were expelled.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn nodes(&self) -> Result<Vec<(NodeName, bool)>, TrustError> {
        let mut nodes: Vec<(NodeName, bool)> = Vec::new();
        let list = self.last_list()?;
        for signed in self.ledger()?.signed {
            let is_listed = list.as_ref().zip(unhex(&signed.serial));
            let is_listed = is_listed.is_some_and(|(list, serial)| list.has_serial(&serial));
            let is_expelled = signed.expelled.is_some() || is_listed;
            match nodes.iter_mut().find(|(node, _)| *node == signed.node) {
                // One that was invited again belongs again.
                Some((_, expelled)) => *expelled = *expelled && is_expelled,
                None => nodes.push((signed.node, is_expelled)),
            }
        }
        Ok(nodes)
    }

    /// Who is invited and has not come, and until when that counts.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn invitations(&self, now: SystemTime) -> Result<Vec<(NodeName, SystemTime)>, TrustError> {
        let at = seconds(now);
        let open = |it: &Invited| !it.used && it.expires > at;
        let until =
            |it: Invited| (it.node, SystemTime::UNIX_EPOCH + Duration::from_secs(it.expires));
        Ok(self.ledger()?.invitations.into_iter().filter(open).map(until).collect())
    }

    fn sign(
        &self,
        ledger: &mut Ledger,
        node: &NodeName,
        request: &[u8],
        now: SystemTime,
    ) -> Result<Vec<u8>, TrustError> {
        let request = CertificateSigningRequestDer::from(request.to_vec());
        // Nothing of what it asks for counts but its key, which it has shown to have.
        let request = CertificateSigningRequestParams::from_der(&request)?;
        let serial = super::random::<16>()?;
        let expires = now + NODE_SPAN;
        let mut params = CertificateParams::new([super::certified(node)])?;
        params.distinguished_name = named(node.as_str());
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        params.not_before = (now - CLOCK_SKEW).into();
        params.not_after = expires.into();
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&request.public_key, &self.issuer)?;
        // What has expired need not be remembered: nobody takes it.
        let at = seconds(now);
        ledger.signed.retain(|signed| signed.expires + CLOCK_SKEW.as_secs() > at);
        ledger.signed.push(Signed {
            node: node.clone(),
            serial: hex(&serial),
            expires: seconds(expires),
            expelled: None,
        });
        Ok(certificate.der().to_vec())
    }

    /// The list of the expelled that was made last. One of another household, which was here before,
    /// is none.
    fn last_list(&self) -> Result<Option<Expelled>, TrustError> {
        let Some(text) = self.folder.read(EXPELLED)? else { return Ok(None) };
        let read = Expelled::read_pem(&text);
        let signed = read.and_then(|it| Expelled::signed_by(&self.certificate, it.list()));
        match signed {
            Ok(list) => Ok(Some(list)),
            Err(NoList::Forged) => Ok(None),
            Err(error) => Err(TrustError::Damaged {
                path: self.folder.path(EXPELLED).display().to_string(),
                detail: error.to_string(),
            }),
        }
    }

    /// The list of the expelled as it is, for who is let in.
    fn expelled_so_far(&self, ledger: &Ledger, now: SystemTime) -> Result<Vec<u8>, TrustError> {
        match self.last_list()? {
            Some(list) => Ok(list.list().to_vec()),
            None => self.list_expelled(ledger, None, now),
        }
    }

    /// Makes a list of the expelled: those of the ledger, and those of the list before it whose
    /// certificates may still run.
    fn list_expelled(
        &self,
        ledger: &Ledger,
        before: Option<&Expelled>,
        now: SystemTime,
    ) -> Result<Vec<u8>, TrustError> {
        let revoked = |serial: &[u8], at: SystemTime| RevokedCertParams {
            serial_number: SerialNumber::from_slice(serial),
            revocation_time: at.into(),
            reason_code: None,
            invalidity_date: None,
        };
        let mut expelled = BTreeMap::new();
        let still_runs = |at: &SystemTime| *at + NODE_SPAN + CLOCK_SKEW > now;
        let before = before.into_iter().flat_map(Expelled::serials);
        for (serial, at) in before.filter(|(_, at)| still_runs(at)) {
            expelled.insert(serial.to_vec(), at);
        }
        for signed in &ledger.signed {
            if let Some((at, serial)) = signed.expelled.zip(unhex(&signed.serial)) {
                let serial = super::expelled::plain(&serial).to_vec();
                expelled.insert(serial, SystemTime::UNIX_EPOCH + Duration::from_secs(at));
            }
        }
        let params = CertificateRevocationListParams {
            this_update: (now - CLOCK_SKEW).into(),
            next_update: (now + HOUSEHOLD_SPAN).into(),
            crl_number: SerialNumber::from(ledger.expulsions),
            issuing_distribution_point: None,
            revoked_certs: expelled.iter().map(|(serial, at)| revoked(serial, *at)).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        Ok(params.signed_by(&self.issuer)?.der().to_vec())
    }

    fn ledger(&self) -> Result<Ledger, TrustError> {
        let text = self.folder.read("ledger.json")?.unwrap_or_else(|| "{}".to_owned());
        serde_json::from_str(&text).map_err(|error| TrustError::Damaged {
            path: self.folder.path("ledger.json").display().to_string(),
            detail: error.to_string(),
        })
    }

    fn keep(&self, ledger: &Ledger) -> Result<(), TrustError> {
        let text = serde_json::to_string_pretty(ledger);
        let text = text.map_err(|error| TrustError::Crypto(error.to_string()))?;
        self.folder.write("ledger.json", &text)
    }
}

fn household(now: SystemTime) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = named("genii household");
    params.not_before = (now - CLOCK_SKEW).into();
    params.not_after = (now + HOUSEHOLD_SPAN).into();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn named(name: &str) -> DistinguishedName {
    let mut named = DistinguishedName::new();
    named.push(DnType::CommonName, name);
    named
}

fn read_certificate(folder: &Folder, text: &str) -> Result<CertificateDer<'static>, TrustError> {
    CertificateDer::from_pem_slice(text.as_bytes()).map_err(|error| TrustError::Damaged {
        path: folder.path("household.crt").display().to_string(),
        detail: error.to_string(),
    })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let pair = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    (0..text.len()).step_by(2).map(pair).collect()
}
