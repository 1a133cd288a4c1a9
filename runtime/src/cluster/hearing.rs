//! Knowing that all others have heard where the addresses of this node are.
//!
//! What a node tells of its addresses goes over control lanes, and what is sent to these over data lanes, which
//! know nothing of each other's order. So two signs are waited for, of each node that is linked:
//!
//! | sign | what it says |
//! |---|---|
//! | it answers a ping that was sent after all was told | who looks for a way there finds the new one |
//! | it answers a command that was given after that | what it had sent by then has come |

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join_all;

use super::Cluster;
use crate::link::outbox::NotWritten;
use crate::link::sending::Link;

/// How often to look whether a sign has come.
const HEARD_LOOK: Duration = Duration::from_millis(5);

impl Cluster {
    /// Waits until all nodes that are linked have heard what this one has told of its addresses until now, and
    /// what they had sent before is here. A node whose link is lost meanwhile is not waited for, as nothing comes
    /// on that any more; for one that stays linked and answers nothing there is no bound. What somebody there was
    /// just about to send, or what waits for room there, may still come.
    pub async fn heard(&self) {
        join_all(self.linked().into_iter().map(|link| self.heard_by(link))).await;
    }

    async fn heard_by(&self, link: Arc<Link>) {
        tokio::select! {
            biased;
            () = link.over() => {}
            () = self.signs_of(&link) => {}
        }
    }

    async fn signs_of(&self, link: &Link) {
        // One who had no room for what it was told is told of everything anew.
        while link.is_behind.load(Ordering::Acquire) || link.is_told_all.load(Ordering::Acquire) {
            tokio::time::sleep(HEARD_LOOK).await;
        }
        let ping = loop {
            match link.ping() {
                Ok(ping) => break ping,
                Err(NotWritten::Full) => tokio::time::sleep(HEARD_LOOK).await,
                Err(NotWritten::Closed) => return,
            }
        };
        while !link.pings.has_answered(ping) {
            tokio::time::sleep(HEARD_LOOK).await;
        }
        while !self.answers(&link.peer).await {
            tokio::time::sleep(HEARD_LOOK).await;
        }
    }
}
