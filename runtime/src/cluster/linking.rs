//! Taking a link into use, and what is to be done when it is lost.

use std::sync::Arc;

use genii_protocols::{Address, Destination, Fault, NodeName};

use super::{Inner, Membership, Peer, draining, expulsions, places, standings, tables, tending};
use crate::link::lane::{End, Frames};
use crate::link::sending::Link;
use crate::trust::verdict::Verdict;

/// A link was made and is not needed.
pub(super) struct NotNeeded;

impl Inner {
    /// Takes a link into use, unless there is another.
    pub(super) fn establish(
        self: &Arc<Self>,
        link: Link,
        control: Frames,
        data: Frames,
    ) -> Result<(), NotNeeded> {
        let Some(node) = self.node.upgrade() else {
            link.end();
            return Err(NotNeeded);
        };
        if let Err(verdict) = self.still_counts(&link) {
            tracing::debug!(node = %link.peer, "it is not linked: {verdict}");
            link.end();
            return Err(NotNeeded);
        }
        let peer = self.peer(&link.peer);
        let before = peer.state.lock().link.clone();
        if let Some(before) = before.filter(|before| before.is_over()) {
            before.wait_until_unread();
        }
        let hearing = peer.hearing.lock();
        let mut state = peer.state.lock();
        if state.link.as_ref().is_some_and(|link| !link.is_over()) || self.is_leaving() {
            link.end();
            return Err(NotNeeded);
        }
        let link = Arc::new(link);
        state.link = Some(link.clone());
        state.heard_of = None;
        state.incarnation = link.incarnation;
        peer.stand(&mut state, Membership::Alive, None);
        drop(state);
        drop(hearing);
        self.note(&link.peer, link.incarnation, "is linked");
        self.note_differing(&link);
        expulsions::begin(self, &peer, &link);
        standings::tell_all(self, &node, &link);
        tables::tell_all(self, &node, &link);
        places::introduce(self, &link);
        draining::tell_newcomer(&node, &link);
        self.spawn(tending::tend(self.clone(), peer, link, control, data));
        Ok(())
    }

    /// Whether the other end of a link still belongs to the household.
    pub(super) fn still_counts(&self, link: &Link) -> Result<(), Verdict> {
        link.certificates.iter().try_for_each(|certificate| self.network.still_counts(certificate))
    }

    /// A link is lost, and with it the life at its other end.
    pub(super) fn lost(
        self: &Arc<Self>,
        peer: &Peer,
        link: &Arc<Link>,
        membership: Membership,
        why: &End,
    ) {
        self.count_nonsense(why);
        // First, so that nothing more is told on it that would not be counted.
        link.end();
        link.wait_until_unread();
        let (unheard, undistributed) = (link.unheard(), link.undistributed());
        self.heard_nonsense(&link.peer, why);
        let hearing = peer.hearing.lock();
        let mut state = peer.state.lock();
        // Whoever takes it away says what was lost with it.
        if state.link.take_if(|current| Arc::ptr_eq(current, link)).is_none() {
            return;
        }
        state.ended = Some(link.incarnation);
        state.told = standings::Told::default();
        let why = why.to_string();
        peer.stand(&mut state, membership, Some(why.clone()));
        drop(state);
        let text = match membership {
            Membership::Left => "has left".to_owned(),
            _ => format!("is down: {why}"),
        };
        // Who takes its own leave does not wonder that the others go.
        if !self.is_leaving() || membership == Membership::Left {
            self.note(&link.peer, link.incarnation, &text);
        }
        self.bury(&link.peer, unheard);
        standings::forget(self, &link.peer, membership);
        tables::forget(self, link, undistributed);
        drop(hearing);
        peer.changed.notify_waiters();
    }

    /// What was told on a link that is lost, and may not have been handled: nobody knows, and
    /// somebody may want to.
    pub(super) fn bury(&self, node: &NodeName, unheard: Vec<(Address, u32)>) {
        let Some(own) = self.node.upgrade() else { return };
        for (address, count) in unheard {
            let to = Destination::from(address);
            let fault = Fault::Unreachable { to: to.clone(), node: node.clone() };
            let what = format!(
                "(up to {count} messages whose handling is not known, fewer if they were large)"
            );
            own.dead_letters().add(to, None, what, fault);
        }
    }
}
