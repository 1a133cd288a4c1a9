//! What is too large for one frame, and so goes in parts.

use std::sync::atomic::Ordering;

use genii_protocols::frame::{Data, PAYLOAD_MAX_LEN};

use super::{Link, NotSent};
use crate::link::lane;
use crate::link::outbox::NotWritten;

impl Link {
    /// Sends what is too large for one frame, with room between for others.
    pub(in crate::link) async fn send_parts(&self, payload: &[u8]) -> Result<Parts<'_>, NotSent> {
        let kib = u32::try_from(payload.len().div_ceil(KIB)).unwrap_or(u32::MAX);
        // The other end lets go of them when it has the frame that they belong to.
        let room = self.parts_room.acquire_many(kib).await.map_err(|_| NotSent::Lost)?;
        let id = self.parts.fetch_add(1, Ordering::Relaxed);
        let parts = Parts { link: self, id, is_used: false, _room: room };
        for bytes in payload.chunks(PAYLOAD_MAX_LEN) {
            let part = Data::Part { id, bytes };
            loop {
                match self.data.write(|buffer| lane::put(buffer, &part)) {
                    Ok(_) => break,
                    Err(NotWritten::Full) => self.data.room().await,
                    Err(NotWritten::Closed) => return Err(NotSent::Lost),
                }
            }
        }
        Ok(parts)
    }
}

pub(super) const KIB: usize = 1_024;

/// Parts that are under way. Given up unless what they belong to was sent.
pub(in crate::link) struct Parts<'a> {
    link: &'a Link,
    pub(in crate::link) id: u32,
    is_used: bool,
    _room: tokio::sync::SemaphorePermit<'a>,
}

impl Parts<'_> {
    pub(in crate::link) fn are_used(mut self, is_used: bool) {
        self.is_used = is_used;
    }
}

impl Drop for Parts<'_> {
    fn drop(&mut self) {
        if !self.is_used {
            let abandon = Data::Abandon { id: self.id };
            let _over = self.link.data.write_always(|buffer| lane::put(buffer, &abandon));
        }
    }
}
