//! What others have published, for those who subscribed here.

use std::sync::Arc;

use genii_protocols::Topic;
use genii_protocols::frame::{self, PUBLISHED_MAX, Payload};

use super::Receiving;
use crate::link::lane::End;
use crate::topics::Publication;

/// When so much has been handed out, it is given back.
const DISTRIBUTED_STEP: u32 = PUBLISHED_MAX / 4;

impl Receiving {
    /// Hands something published to those who subscribed here. That waits for nobody.
    pub(super) fn published(&mut self, published: frame::Publication<'_>) -> Result<(), End> {
        let topic = Topic::parse(published.topic).map_err(End::nonsense)?;
        let from = published.from.map(|from| self.sender(from)).transpose()?;
        let text = match published.payload {
            Payload::Whole(bytes) => bytes.to_vec(),
            Payload::Parts(id) => self.whole(id)?,
        };
        let cost = frame::Letter::cost(text.len());
        let text = String::from_utf8(text).map_err(End::nonsense)?;
        let node = self.link.peer.clone();
        let publication = Publication::new(topic, node, from, published.trace, text);
        self.node.topics().distribute(&self.node, &Arc::new(publication));
        self.distributed += cost;
        if self.distributed >= DISTRIBUTED_STEP {
            self.link.give_back_published(std::mem::take(&mut self.distributed));
        }
        Ok(())
    }
}
