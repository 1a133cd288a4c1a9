//! What is published, on its way to another node.
//!
//! It has a credit of its own, which the other end gives back when it has handed things to those who
//! subscribed there. Nobody there can hold that up, so the credit bounds what is on its way, and says
//! how much may not have come when the link is lost.

use genii_protocols::frame::{self, Data, PAYLOAD_MAX_LEN, PUBLISHED_MAX, Payload};
use tokio::time::Instant;

use super::{Link, NotSent};
use crate::deadlines::{Deadlines, Late};
use crate::link::lane;
use crate::link::outbox::NotWritten;
use crate::topics::Publication;

impl Link {
    /// Sends something published, as soon as there is room.
    pub(crate) async fn publish(
        &self,
        publication: &Publication,
        deadline: Instant,
        deadlines: &Deadlines,
    ) -> Result<(), NotSent> {
        let sending = Box::pin(self.publish_when_room(publication));
        match deadlines.before(deadline, sending).await {
            Ok(sent) => sent,
            Err(Late) => Err(self.crowded_or_lost()),
        }
    }

    async fn publish_when_room(&self, publication: &Publication) -> Result<(), NotSent> {
        let text = publication.text().as_bytes();
        let cost = frame::Letter::cost(text.len());
        let room = self.published.acquire_many(cost).await.map_err(|_| NotSent::Lost)?;
        if text.len() > PAYLOAD_MAX_LEN {
            let parts = self.send_parts(text).await?;
            let whole = Payload::Parts(parts.id);
            let written = self.write_published(publication, whole).await;
            parts.are_used(written.is_ok());
            written?;
        } else {
            self.write_published(publication, Payload::Whole(text)).await?;
        }
        // The other end gives it back.
        room.forget();
        Ok(())
    }

    async fn write_published(
        &self,
        publication: &Publication,
        payload: Payload<'_>,
    ) -> Result<(), NotSent> {
        let number = |text: &str| self.number(text);
        let from = publication
            .from()
            .map(|from| Ok::<_, NotSent>((number(from.address.as_str())?, from.incarnation)));
        let frame = Data::Published(frame::Publication {
            topic: publication.topic().as_str(),
            from: from.transpose()?,
            trace: publication.trace(),
            payload,
        });
        loop {
            match self.data.write(|buffer| lane::put(buffer, &frame)) {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(_)) => return Err(NotSent::TooLarge(publication.text().len())),
                Err(NotWritten::Full) => self.data.room().await,
                Err(NotWritten::Closed) => return Err(NotSent::Lost),
            }
        }
    }

    /// How much of what was published may not have come to the other end, in costs.
    pub(crate) fn undistributed(&self) -> u32 {
        let left = u32::try_from(self.published.available_permits()).unwrap_or(PUBLISHED_MAX);
        PUBLISHED_MAX.saturating_sub(left)
    }

    /// The other end has handed out so much of what was published.
    pub(crate) fn distributed(&self, cost: u32) {
        // It cannot have handed out more than was sent.
        self.published.add_permits(cost.min(self.undistributed()) as usize);
    }

    /// Tells the other end that so much of what it published was handed out.
    pub(crate) fn give_back_published(&self, cost: u32) {
        let frame = Data::Distributed { cost };
        let _over = self.data.write_always(|buffer| lane::put(buffer, &frame));
    }
}
