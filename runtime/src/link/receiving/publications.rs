//! What others have published, for those who subscribed here.

use std::sync::Arc;

use genii_protocols::Topic;
use genii_protocols::frame::{self, Payload};

use super::Receiving;
use crate::link::lane::End;
use crate::topics::Publication;

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
        self.link.distributed_here(cost);
        Ok(())
    }
}
