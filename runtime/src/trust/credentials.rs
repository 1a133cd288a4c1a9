//! Who this node is and whom it trusts, at any time: as its folder says, and as others tell of who
//! was expelled.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;

use super::folder::Folder;
use super::tally::{Tally, TurnedAway};
use super::verdict::Verdict;
use super::{Expelled, Identity, NoList, TrustError, tls};

/// How long to wait before files that could not be read are read again.
const REREAD_PAUSE: Duration = Duration::from_secs(1);

/// The files that make the difference.
const FILES: [&str; 3] = ["node.crt", "expelled.crl", "household.crt"];

/// The credentials of a node. What is written into its folder counts from the next connection on.
pub struct Credentials {
    folder: Folder,
    tally: Arc<Tally>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The files as they were when they were read last.
    stamp: Option<Stamp>,
    current: Option<Arc<Current>>,
    /// The newest list of the expelled that others told of.
    learned: Option<Expelled>,
    /// When to try again to read what could not be read.
    reread: Option<Instant>,
}

/// What tells a file from the one that it replaces.
type Stamp = [(i64, i64, u64, u64); FILES.len()];

/// Who a node is and whom it trusts, at one time.
pub struct Current {
    /// Who it is.
    pub identity: Identity,
    /// For who listens.
    pub server: Arc<ServerConfig>,
}

/// Why there are no credentials.
#[derive(Debug, thiserror::Error)]
pub enum NoCredentials {
    /// This node is nobody.
    #[error("this node belongs to no household")]
    Nobody,
    /// They cannot be read.
    #[error(transparent)]
    Trust(#[from] TrustError),
}

impl Credentials {
    /// Those of a folder of trust.
    pub fn at(folder: &Path) -> Arc<Self> {
        let folder = Folder::at(folder);
        Arc::new(Self { folder, tally: Arc::default(), state: Mutex::default() })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        self.folder.root()
    }

    /// Who was turned away by them, and at the port where they count.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Who this node is and whom it trusts, for the next connection.
    ///
    /// # Errors
    /// When it is nobody, or that cannot be read and could not before.
    pub fn current(&self) -> Result<Arc<Current>, NoCredentials> {
        let mut state = self.state.lock();
        let stamp = self.stamp();
        if let Some(current) = state.current.clone() {
            let waits = state.reread.is_some_and(|at| Instant::now() < at);
            if waits || stamp.is_some() && stamp == state.stamp {
                return Ok(current);
            }
        }
        match self.read(&state) {
            Ok(current) => {
                (state.stamp, state.reread) = (stamp, None);
                state.current = Some(current.clone());
                Ok(current)
            }
            // They are being written, or were taken away.
            Err(error) => {
                state.reread = Some(Instant::now() + REREAD_PAUSE);
                let before = state.current.clone();
                before
                    .inspect(|_| tracing::warn!("certificates cannot be read anew: {error}"))
                    .ok_or(error)
            }
        }
    }

    /// Whether a certificate by which somebody was let in counts by now: it may have run out since, or
    /// been taken back. Nothing is counted by this; [`Tally::refuse`] does.
    ///
    /// # Errors
    /// Why it does not.
    pub fn still_counts(&self, certificate: &CertificateDer<'_>) -> Result<(), Verdict> {
        let current = self.current().map_err(|error| Verdict::Other(error.to_string()))?;
        Verdict::at(SystemTime::now(), certificate, current.identity.expelled())
    }

    /// Learns a list of the expelled that another node has sent; whether it is news. It counts at
    /// once, and is kept by [`Credentials::keep_list`].
    ///
    /// # Errors
    /// When it is no list, or not signed by the authority of this household.
    pub fn learn_list(&self, list: &[u8]) -> Result<bool, NoList> {
        let Ok(current) = self.current() else { return Ok(false) };
        let identity = current.identity.clone();
        let known = identity.expelled().number();
        let forged = |_: &NoList| self.tally.count(TurnedAway::ForgedList);
        if Expelled::read(list).inspect_err(forged)?.number() <= known {
            self.tally.count(TurnedAway::OldList);
            return Ok(false);
        }
        let expelled = Expelled::signed_by(identity.roots(), list).inspect_err(forged)?;
        // One that TLS cannot use would keep out the same list from somebody honest.
        let made = self.made_of(identity.with_expelled(expelled.clone()));
        let made = made.map_err(|error| NoList::Unreadable(error.to_string()));
        let made = made.inspect_err(forged)?;
        let mut state = self.state.lock();
        let learned = state.learned.as_ref().map_or(0, Expelled::number);
        if expelled.number() <= learned {
            return Ok(false);
        }
        state.learned = Some(expelled);
        // It counts also if the files cannot be read just now.
        state.current = Some(made);
        state.stamp = None;
        Ok(true)
    }

    /// Keeps the list of the expelled that was learned for the next start, unless there is a newer
    /// one by now.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep_list(&self) -> Result<(), TrustError> {
        let Some(learned) = self.state.lock().learned.clone() else { return Ok(()) };
        let _alone = self.folder.lock()?;
        let text = self.folder.read("expelled.crl")?.unwrap_or_default();
        if Expelled::read_pem(&text).is_ok_and(|kept| kept.number() >= learned.number()) {
            return Ok(());
        }
        self.folder.write("expelled.crl", &super::pem_of("X509 CRL", learned.list()))
    }

    fn read(&self, state: &State) -> Result<Arc<Current>, NoCredentials> {
        let mut identity = Identity::open(self.folder.root())?.ok_or(NoCredentials::Nobody)?;
        let learned = state.learned.as_ref();
        if let Some(learned) = learned.filter(|it| it.number() > identity.expelled().number()) {
            identity = identity.with_expelled(learned.clone());
        }
        Ok(self.made_of(identity)?)
    }

    fn made_of(&self, identity: Identity) -> Result<Arc<Current>, TrustError> {
        let tally = self.tally.clone();
        let watch = Arc::new(move |verdict: Verdict| tally.refuse(&verdict));
        let server = Arc::new(tls::server_watched(&identity, watch)?);
        Ok(Arc::new(Current { identity, server }))
    }

    /// The files as they are.
    fn stamp(&self) -> Option<Stamp> {
        let about = |name: &str| {
            let about = std::fs::metadata(self.folder.path(name)).ok()?;
            Some((about.mtime(), about.mtime_nsec(), about.ino(), about.len()))
        };
        let [certificate, expelled, household] = FILES.map(about);
        Some([certificate?, expelled?, household?])
    }
}
