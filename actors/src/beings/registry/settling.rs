//! Homes are brought to what the book says: when one is found, and after something that did not come to
//! its end.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use genii_protocols::beings::NoBeing;
use genii_protocols::{Name, NodeName};
use genii_runtime::GroupEvent;
use tokio::time::Instant;

use super::super::errands::{
    Adopt, AskLodging, Discard, Leave, ListLodgers, Lodging, LookAt, MissHere, PutAside,
    RemoveHere, Stay,
};
use super::book::{Entry, Stage};
use super::{Shared, failed};

/// How often one tries again what could not be settled.
const PERIOD: Duration = Duration::from_secs(2);

/// How long a home may take to say who is in it.
const LIST_PATIENCE: Duration = Duration::from_secs(120);

/// How many beings are settled at the same time.
const SETTLED_AT_ONCE: usize = 16;

/// How many beings are remembered that are not settled. The others are when their home is found next.
const UNSETTLED_MAX: usize = 10_000;

/// Settles as long as the registry is there.
pub(super) async fn settle(shared: Arc<Shared>) {
    let mut monitor = match shared.homes.monitor() {
        Ok(monitor) => monitor,
        Err(error) => return tracing::error!("homes of beings are not found: {error}"),
    };
    let node_of = |member: &genii_runtime::GroupMember| member.node.clone();
    let mut to_visit: BTreeSet<NodeName> = monitor.members().iter().map(node_of).collect();
    loop {
        let began = Instant::now();
        for node in std::mem::take(&mut to_visit) {
            if let Err(why) = shared.visit(&node).await {
                tracing::warn!(%node, "who lives there is not known yet: {why}");
                // One that has gone is visited when it is back.
                if shared.homes.on(&node).is_ok() {
                    to_visit.insert(node);
                }
            }
        }
        for id in shared.take_unsettled() {
            for node in shared.homes.nodes() {
                shared.settle_one(&node, &id).await;
            }
        }
        tokio::select! {
            event = monitor.next() => match event {
                Some(GroupEvent::Joined(member)) => drop(to_visit.insert(member.node)),
                Some(GroupEvent::Left(_)) => {}
                Some(GroupEvent::Lost(_)) => to_visit.extend(shared.homes.nodes()),
                None => return,
            },
            () = tokio::time::sleep_until(began + PERIOD) => {}
        }
    }
}

impl Shared {
    /// It is looked at again what is to become of a being.
    pub(super) fn unsettled(&self, id: &Name) {
        let mut unsettled = self.unsettled.lock();
        if unsettled.len() < UNSETTLED_MAX {
            unsettled.insert(id.clone());
        }
    }

    fn take_unsettled(&self) -> HashSet<Name> {
        std::mem::take(&mut *self.unsettled.lock())
    }

    /// Goes through all that a home has, and all that it should have.
    async fn visit(&self, node: &NodeName) -> Result<(), NoBeing> {
        let (mut seen, mut after) = (HashSet::new(), None);
        loop {
            let page = self.homes.ask_within(node, ListLodgers { after }, LIST_PATIENCE).await?;
            let mut unsettled = Vec::new();
            for (id, lodging) in page.lodgers {
                if !self.is_as_written(node, &id, lodging)? {
                    unsettled.push(id.clone());
                }
                seen.insert(id);
            }
            // Many at once, so that those that are written down share a commit.
            let settling =
                stream::iter(unsettled).for_each_concurrent(SETTLED_AT_ONCE, async |id| {
                    self.settle_one(node, &id).await;
                });
            settling.await;
            after = page.more;
            if after.is_none() {
                break;
            }
        }
        for entry in self.book.all().map_err(failed)? {
            if entry.node == *node && !seen.contains(&entry.id) {
                self.settle_one(node, &entry.id).await;
            }
        }
        Ok(())
    }

    fn is_as_written(&self, node: &NodeName, id: &Name, is: Lodging) -> Result<bool, NoBeing> {
        let entry = self.book.get(id).map_err(failed)?;
        let lives_there = |entry: Entry| entry.node == *node && entry.stage == Stage::Living;
        Ok(is == Lodging::Here && entry.is_some_and(lives_there))
    }

    /// Brings a home to what the book says of a being, and the book to what is there of one that it
    /// does not know.
    async fn settle_one(&self, node: &NodeName, id: &Name) {
        let Ok(_taken) = self.try_take(id) else { return self.unsettled(id) };
        if let Err(why) = self.settle_taken(node, id).await {
            tracing::debug!(being = id.as_str(), %node, "is not settled yet: {why}");
            self.unsettled(id);
        }
    }

    async fn settle_taken(&self, node: &NodeName, id: &Name) -> Result<(), NoBeing> {
        let id = id.clone();
        let entry = self.book.get(&id).map_err(failed)?;
        let lodging = self.homes.ask(node, AskLodging { id: id.clone() }).await?;
        match entry {
            None => self.settle_unknown(node, id, lodging).await,
            Some(entry) if entry.node == *node => self.settle_own(entry, lodging).await,
            Some(entry) => self.settle_elsewhere(node, entry, lodging).await,
        }
    }

    /// The book does not know it.
    async fn settle_unknown(
        &self,
        node: &NodeName,
        id: Name,
        lodging: Option<Lodging>,
    ) -> Result<(), NoBeing> {
        match lodging {
            None => return Ok(()),
            Some(Lodging::Coming) => {
                let being = id.as_str();
                tracing::warn!(being, %node, "a copy has come there that nobody knows of");
                return Ok(());
            }
            Some(Lodging::Here | Lodging::Leaving) => {}
        }
        let found = match self.homes.ask(node, LookAt { id: id.clone() }).await {
            Ok(found) => found,
            Err(NoBeing::Senseless { why }) => {
                tracing::warn!(being = id.as_str(), %node, "cannot be taken in: {why}");
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        // Before it is written down: what is as it is written is not looked at again.
        self.homes.ask(node, Stay { id: id.clone() }).await?;
        let (name, created) = (found.name, found.created);
        tracing::info!(being = id.as_str(), %node, "was found, and is known from now on");
        let entry = Entry { id, name, node: node.clone(), created, stage: Stage::Living };
        self.book.put(entry).await.map_err(failed)
    }

    /// It is to live there.
    async fn settle_own(&self, entry: Entry, lodging: Option<Lodging>) -> Result<(), NoBeing> {
        let (node, id) = (&entry.node, entry.id.clone());
        let is_made_or_deleted = matches!(entry.stage, Stage::Coming | Stage::Going);
        if is_made_or_deleted {
            if lodging.is_some() {
                self.homes.ask(node, RemoveHere { id: id.clone() }).await?;
            }
            return self.book.strike(&id).await.map_err(failed);
        }
        match lodging {
            Some(Lodging::Here | Lodging::Leaving) => {
                self.homes.ask(node, Stay { id: id.clone() }).await?;
            }
            Some(Lodging::Coming) => self.homes.ask(node, Adopt { id: id.clone() }).await?,
            None => {
                let being = id.as_str();
                tracing::warn!(being, %node, "is not there; delete it, and import it from a backup");
                self.homes.ask(node, MissHere { id: id.clone() }).await?;
            }
        }
        // What lies on the other machine is settled when that is looked at.
        match &entry.stage {
            Stage::Moving { to: other } | Stage::Arriving { from: other } => {
                let other = other.clone();
                self.book
                    .put(Entry { stage: Stage::Living, ..entry.clone() })
                    .await
                    .map_err(failed)?;
                match self.homes.on(&other) {
                    Ok(_) => self.unsettle_other(&entry, &other).await,
                    Err(_) => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    async fn unsettle_other(&self, entry: &Entry, other: &NodeName) -> Result<(), NoBeing> {
        let lodging = self.homes.ask(other, AskLodging { id: entry.id.clone() }).await?;
        self.settle_elsewhere(other, entry.clone(), lodging).await
    }

    /// It lives elsewhere.
    async fn settle_elsewhere(
        &self,
        node: &NodeName,
        entry: Entry,
        lodging: Option<Lodging>,
    ) -> Result<(), NoBeing> {
        let id = entry.id.clone();
        let Some(lodging) = lodging else { return Ok(()) };
        if lodging == Lodging::Coming {
            return self.homes.ask(node, Discard { id }).await;
        }
        // Nothing is removed, or put aside, before it is certain that it is there.
        let there = self.homes.ask(&entry.node, AskLodging { id: id.clone() }).await?;
        match (lodging, there) {
            (Lodging::Leaving, Some(_)) => self.homes.ask(node, Leave { id, to: entry.node }).await,
            (Lodging::Here, Some(_)) => self.homes.ask(node, PutAside { id }).await,
            (_, None) => {
                // Somebody has carried it over by hand. Where it was, nothing of it is left but its address.
                let was_on = entry.node.clone();
                self.homes.ask(&was_on, PutAside { id: id.clone() }).await?;
                self.homes.ask(node, Stay { id: id.clone() }).await?;
                let moved = Entry { node: node.clone(), stage: Stage::Living, ..entry };
                tracing::info!(being = id.as_str(), %node, "lives there from now on");
                self.book.put(moved).await.map_err(failed)
            }
            (Lodging::Coming, Some(_)) => Ok(()),
        }
    }
}
