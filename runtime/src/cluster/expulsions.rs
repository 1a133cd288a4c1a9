//! Who was expelled: every node tells those with whom it is linked, and so all of them hear of it.
//!
//! The list is signed by the authority and numbered, so that it does not matter from whom it comes.
//! Both ends of a link say which list they have; who has a later one sends it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use genii_protocols::frame::Control;

use super::{Inner, Peer};
use crate::link::lane::{self, End};
use crate::link::sending::Link;
use crate::trust::credentials::Credentials;

/// The number of the list that another node has.
pub(super) struct List(AtomicU64);

/// Stands for a list that is not known: none is later.
const UNKNOWN: u64 = u64::MAX;

impl Default for List {
    fn default() -> Self {
        Self(AtomicU64::new(UNKNOWN))
    }
}

impl List {
    /// The other has this list now.
    pub(super) fn is(&self, number: u64) {
        self.0.store(number, Ordering::Relaxed);
    }
}

/// Says which list this node has, on a link that is new.
pub(super) fn begin(cluster: &Inner, peer: &Peer, link: &Link) {
    peer.list.is(UNKNOWN);
    let Some(number) = cluster.network.credentials().and_then(number) else { return };
    let said = Control::Expulsions(number);
    let _over = link.control.write_always(|buffer| lane::put(buffer, &said));
}

/// Tells the other of the list that this node has, if it has an older one.
pub(super) fn tell(cluster: &Inner, peer: &Peer, link: &Link) {
    let Some(current) = cluster.network.credentials().and_then(|it| it.current().ok()) else {
        return;
    };
    let expelled = current.identity.expelled();
    if peer.list.0.load(Ordering::Relaxed) >= expelled.number() {
        return;
    }
    let frame = Control::Expelled(expelled.list());
    // Where there is no room it is told a moment later.
    if link.control.write(|buffer| lane::put(buffer, &frame)).is_ok() {
        peer.list.is(expelled.number());
    }
}

/// Hears of a list. One that is news counts at once.
pub(super) fn learn(
    cluster: &Arc<Inner>,
    peer: &Peer,
    link: &Link,
    list: &[u8],
) -> Result<(), End> {
    let Some(credentials) = cluster.network.credentials().cloned() else { return Ok(()) };
    let is_news = credentials.learn_list(list).map_err(|why| {
        tracing::warn!(node = %link.peer, "a list of the expelled was refused: {why}");
        End::nonsense(why)
    })?;
    if !is_news {
        return Ok(());
    }
    let number = number(&credentials).unwrap_or_default();
    peer.list.is(number);
    let text = format!("tells who was expelled, in list {number}");
    cluster.note(&link.peer, link.incarnation, &text);
    cluster.spawn(async move {
        let keeping = tokio::task::spawn_blocking(move || credentials.keep_list());
        if let Ok(Err(error)) = keeping.await {
            tracing::warn!("the list of the expelled counts, and cannot be kept: {error}");
        }
    });
    Ok(())
}

fn number(credentials: &Arc<Credentials>) -> Option<u64> {
    Some(credentials.current().ok()?.identity.expelled().number())
}
