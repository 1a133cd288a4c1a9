//! What a link needs of a network: lanes between nodes that have proved who they are.
//!
//! Two things are one: the real network ([`super::tls_network`]), and one that lives in a test with a seed.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use genii_protocols::NodeName;
use rustls::pki_types::CertificateDer;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::trust::credentials::Credentials;
use crate::trust::verdict::Verdict;

/// The two lanes of a link, each a connection of its own, so that neither waits for the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    /// For what nodes say of themselves.
    Control,
    /// For messages.
    Data,
}

/// What is sent on a lane: bytes in the order of their sending.
pub type Outgoing = BoxStream<'static, Bytes>;

/// What comes back on it. It ends when the other end closes the lane, or with how it broke.
pub type Incoming = BoxStream<'static, Result<Bytes, Broken>>;

/// How a lane broke, or could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// Nobody listens there: the machine is up, and the node is not.
    #[error("nobody listens at {0}")]
    NobodyThere(String),
    /// It is not known where the node is.
    #[error("it is not known where it is")]
    NoPlace,
    /// The other end is not who it should be, or does not take us for who we are.
    #[error("it is refused: {0}")]
    Refused(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

/// A certificate as it was shown.
pub type Certificate = CertificateDer<'static>;

/// A lane that was opened to another node.
pub struct Reached {
    /// What comes back.
    pub incoming: Incoming,
    /// The certificate by which the other is known, where there are certificates.
    pub certificate: Option<Certificate>,
}

/// A lane that another node has opened.
pub struct Opened {
    /// Who, by its certificate.
    pub from: NodeName,
    /// Which lane.
    pub lane: Lane,
    /// The certificate by which it is known, where there are certificates.
    pub certificate: Option<Certificate>,
    /// What it sends.
    pub incoming: Incoming,
    /// Takes what is to be sent back. Dropped, it refuses the lane.
    pub outgoing: oneshot::Sender<Outgoing>,
}

/// A network.
pub trait Network: Send + Sync + 'static {
    /// Opens a lane to a node.
    fn open(
        &self,
        to: &NodeName,
        lane: Lane,
        outgoing: Outgoing,
    ) -> BoxFuture<'static, Result<Reached, Broken>>;

    /// The next lane that another node opens; `None` when there will be none.
    fn accept(&self) -> BoxFuture<'_, Option<Opened>>;

    /// Where this node is reached, to tell others.
    fn places(&self) -> Vec<String>;

    /// Where another node is reached, as it tells.
    fn learn(&self, node: &NodeName, places: &[String]);

    /// Where another node is reached, as a third one tells. It is not kept for the next start until
    /// the node has told it itself.
    fn hear(&self, node: &NodeName, places: &[String]) {
        self.learn(node, places);
    }

    /// Where another node is said to be is of no interest any more.
    fn forget(&self, _node: &NodeName) {}

    /// Where another node is reached, as far as is known.
    fn places_of(&self, node: &NodeName) -> Vec<String>;

    /// The nodes that may be reached.
    fn known(&self) -> Vec<NodeName>;

    /// By which nodes know each other, where they do by certificates.
    fn credentials(&self) -> Option<&Arc<Credentials>> {
        None
    }

    /// Where what comes on control lanes is heeded, if not beside everything else.
    fn control_runtime(&self) -> Option<Handle> {
        None
    }

    /// Whether a certificate still counts by which a node is linked.
    ///
    /// # Errors
    /// Why it does not.
    fn still_counts(&self, _certificate: &Certificate) -> Result<(), Verdict> {
        Ok(())
    }
}
