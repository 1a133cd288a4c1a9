//! A being moves to another machine.
//!
//! | step | the book says | the old machine | the new machine |
//! |---|---|---|---|
//! | 1 | lives there, about to move | it lives | |
//! | 2 | the same | held asleep, marked; what comes for it waits | |
//! | 3 | the same | the same | a copy has come, and is checked |
//! | 4 | lives on the new machine | the same | the same |
//! | 5 | the same | the same | it lives, and the others have heard so |
//! | 6 | the same | what has waited is sent after it, all is removed | it lives |
//!
//! Step 4 is one commit, and decides who has it. Whatever ends where, [`settling`](super::settling)
//! brings both machines to what the book says.

use std::time::Duration;

use genii_protocols::being::AskHealth;
use genii_protocols::beings::{BeingEntry, MigrateBeing, NoBeing};
use genii_protocols::{AskError, Destination, Fault, Name, NodeName};
use tokio::time::Instant;

use super::super::errands::{Adopt, Discard, Leave, Pack, Receive, Stay};
use super::super::parcels::Claim;
use super::book::{Entry, Stage};
use super::{Shared, failed};

/// How long it may take to put a being to sleep, and to read all that it is.
pub(super) const PACK_PATIENCE: Duration = Duration::from_secs(180);

/// How long all that a being is may take to another machine.
pub(super) const RECEIVE_PATIENCE: Duration = Duration::from_secs(3_600);

/// How long a being may take to say that it is well where it has come to live.
pub(super) const ARRIVAL_PATIENCE: Duration = Duration::from_secs(30);

/// How often one whose machine has not told of it yet is asked again.
const ARRIVAL_LOOK: Duration = Duration::from_millis(20);

impl Shared {
    pub(super) async fn migrate(&self, asked: MigrateBeing) -> Result<BeingEntry, NoBeing> {
        let MigrateBeing { id, node: to } = asked;
        self.find(&id).await?;
        let _taken = self.take(&id).await?;
        let entry = self.find(&id).await?;
        if entry.node == to {
            return Ok(self.shown(entry).await);
        }
        if entry.stage != Stage::Living {
            let why = "it is on its way already; try again in some seconds".to_owned();
            return Err(NoBeing::Failed { why });
        }
        let source = self.homes.on(&entry.node)?;
        self.homes.on(&to)?;
        self.refuse_more_remains()?;
        let moving = Stage::Moving { to: to.clone() };
        self.book.put(Entry { stage: moving, ..entry.clone() }, None).await.map_err(failed)?;
        if let Err(why) = self.ship(&id, &entry.node, source, &to).await {
            self.stay(entry, &to).await;
            return Err(why);
        }
        let arriving = Stage::Arriving { from: entry.node.clone() };
        let moved = Entry { node: to.clone(), stage: arriving, ..entry.clone() };
        if let Err(error) = self.book.put(moved.clone(), None).await {
            let why = failed(error);
            self.not_settled(&to, &id, &why);
            return Err(why);
        }
        match self.arrive(&moved, &entry.node).await {
            Ok(entry) => Ok(self.shown(entry).await),
            Err(why) => {
                self.not_settled(&to, &id, &why);
                let why = format!("it lives on {to} from now on, but does not answer yet: {why}");
                Err(NoBeing::Failed { why })
            }
        }
    }

    /// Steps 2 and 3.
    async fn ship(
        &self,
        id: &Name,
        from: &NodeName,
        source: Destination,
        to: &NodeName,
    ) -> Result<(), NoBeing> {
        let pack = Pack { id: id.clone(), to_leave: true };
        let packed = self.homes.ask_within(from, pack, PACK_PATIENCE).await?;
        let (parcel, isolation) = (packed.parcel, packed.isolation);
        let _until_it_has_come = Claim::on(&parcel, self.node.to(source.clone()));
        let receive = Receive { id: id.clone(), from: source, parcel, isolation, making: None };
        self.homes.ask_within(to, receive, RECEIVE_PATIENCE).await
    }

    /// Steps 5 and 6.
    async fn arrive(&self, moved: &Entry, from: &NodeName) -> Result<Entry, NoBeing> {
        let (id, to) = (&moved.id, &moved.node);
        self.homes.ask(to, Adopt { id: id.clone() }).await?;
        self.is_well(id, to).await?;
        self.homes.ask(from, Leave { id: id.clone(), to: to.clone() }).await?;
        let living = Entry { stage: Stage::Living, ..moved.clone() };
        let done = has_moved(from, to);
        self.book.put_alone(living.clone(), Some(&done)).await.map_err(failed)?;
        self.note(id, &done);
        Ok(living)
    }

    /// A being that was to move lives on where it did.
    async fn stay(&self, entry: Entry, to: &NodeName) {
        let id = entry.id.clone();
        let stays = self.homes.ask(&entry.node, Stay { id: id.clone() }).await;
        let discarded = self.homes.ask(to, Discard { id: id.clone() }).await;
        let from = entry.node.clone();
        let written = match discarded {
            Ok(()) => self.book.put_alone(entry, None).await,
            Err(_) => self.book.put(entry, None).await,
        };
        for (node, ended) in [(&from, stays), (to, discarded), (&from, written.map_err(failed))] {
            if let Err(why) = ended {
                self.not_settled(node, &id, &why);
            }
        }
    }

    /// Waits until a being says on its machine that it is well.
    pub(super) async fn is_well(&self, id: &Name, node: &NodeName) -> Result<(), NoBeing> {
        let patience = Instant::now() + ARRIVAL_PATIENCE;
        let to = Destination { address: self.address(id), node: Some(node.clone()) };
        loop {
            let left = patience.saturating_duration_since(Instant::now());
            match self.node.to(to.clone()).ask_within(AskHealth {}, left).await {
                Ok(_) => return Ok(()),
                // Its machine tells of its addresses on another way than that of its answers.
                Err(AskError::Fault(fault))
                    if matches!(*fault, Fault::NotFound { .. }) && !left.is_zero() =>
                {
                    tokio::time::sleep(ARRIVAL_LOOK).await;
                }
                Err(error) => {
                    return Err(NoBeing::Failed { why: format!("it cannot live: {error}") });
                }
            }
        }
    }
}

/// What is noted of a being that has moved.
pub(super) fn has_moved(from: &NodeName, to: &NodeName) -> String {
    format!("has moved from {from} to {to}")
}
