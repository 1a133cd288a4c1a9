//! Homes are brought to what the book says: when one is found, and after something that did not come to
//! its end. Each is seen to for itself, so that one that hangs holds up no other.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{StreamExt, stream};
use genii_protocols::beings::NoBeing;
use genii_protocols::{Name, NodeName};
use genii_runtime::GroupEvent;
use tokio::time::MissedTickBehavior;

use super::super::errands::{
    Adopt, AskLodging, Discard, Leave, ListLodgers, Lodging, LookAt, MissHere, RemoveHere, Stay,
    TakeBack,
};
use super::book::{Entry, Stage};
use super::moving::has_moved;
use super::{Shared, failed};

/// How often one tries again what could not be settled.
const PERIOD: Duration = Duration::from_secs(2);

/// How long a home may take to say who is in it.
const LIST_PATIENCE: Duration = Duration::from_secs(120);

/// How long a home may take to say how one being lies there.
const LOOK_PATIENCE: Duration = Duration::from_secs(10);

/// How many homes are seen to at the same time.
const HOMES_AT_ONCE: usize = 64;

/// How many beings of a home are settled at the same time.
const SETTLED_AT_ONCE: usize = 16;

/// What is to be settled with a home.
#[derive(Debug, Default)]
struct Owed {
    /// All that it has, and all that it should have.
    visit: bool,
    /// These.
    ids: HashSet<Name>,
}

/// What is to be settled with which home.
#[derive(Debug, Default)]
struct Debts(BTreeMap<NodeName, Owed>);

impl Debts {
    fn visit(&mut self, node: NodeName) {
        self.0.entry(node).or_default().visit = true;
    }

    fn settle(&mut self, node: NodeName, ids: &HashSet<Name>) {
        self.0.entry(node).or_default().ids.extend(ids.iter().cloned());
    }

    /// Takes out what is owed to a home that nobody is seeing to.
    fn next(&mut self, seen_to: &BTreeSet<NodeName>) -> Option<(NodeName, Owed)> {
        let node = self.0.keys().find(|node| !seen_to.contains(*node))?.clone();
        self.0.remove_entry(&node)
    }
}

/// Settles as long as the registry is there.
pub(super) async fn settle(shared: Arc<Shared>) {
    let mut monitor = match shared.homes.monitor() {
        Ok(monitor) => monitor,
        Err(error) => return tracing::error!("homes of beings are not found: {error}"),
    };
    let (mut debts, mut seen_to) = (Debts::default(), BTreeSet::new());
    monitor.members().iter().for_each(|member| debts.visit(member.node.clone()));
    let mut settling = FuturesUnordered::new();
    let mut again = tokio::time::interval(PERIOD);
    again.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        while seen_to.len() < HOMES_AT_ONCE
            && let Some((node, owed)) = debts.next(&seen_to)
        {
            seen_to.insert(node.clone());
            settling.push(see_to(shared.clone(), node, owed));
        }
        tokio::select! {
            event = monitor.next() => match event {
                Some(GroupEvent::Joined(member)) => debts.visit(member.node),
                // What went wrong there is looked at anew when it is back.
                Some(GroupEvent::Left(member)) => shared.unsettled.forget_on(&member.node),
                Some(GroupEvent::Lost(_)) => {
                    shared.homes.nodes().into_iter().for_each(|node| debts.visit(node));
                }
                None => return,
            },
            Some((node, is_visited)) = settling.next() => {
                seen_to.remove(&node);
                // One that has gone is visited when it is back.
                if !is_visited && shared.homes.on(&node).is_ok() {
                    debts.visit(node);
                }
            }
            _ = again.tick() => {
                let ids = shared.unsettled.take();
                let nodes = if ids.is_empty() { Vec::new() } else { shared.homes.nodes() };
                nodes.into_iter().for_each(|node| debts.settle(node, &ids));
            }
        }
    }
}

/// Settles what is owed to a home; whether it was visited, if it was to be.
async fn see_to(shared: Arc<Shared>, node: NodeName, owed: Owed) -> (NodeName, bool) {
    let visited = match owed.visit {
        true => shared.visit(&node).await,
        false => Ok(()),
    };
    if let Err(why) = &visited {
        tracing::warn!(%node, "who lives there is not known yet: {why}");
        owed.ids.iter().for_each(|id| shared.unsettled.add(id));
        tokio::time::sleep(PERIOD).await;
    } else {
        shared.settle_all(&node, owed.ids.into_iter().collect()).await;
    }
    (node, visited.is_ok())
}

impl Shared {
    /// Something with a being has not come to its end on a machine. It is looked at again what is to become of
    /// it; why is told once, and shown as long as that is so.
    pub(super) fn not_settled(&self, node: &NodeName, id: &Name, why: &NoBeing) {
        if self.unsettled.keep_why(id, node, &why.to_string()) {
            tracing::warn!(being = id.as_str(), %node, "is not settled yet: {why}");
        }
        self.unsettled.add(id);
    }

    /// Goes through all that a home has, and all that it should have.
    async fn visit(&self, node: &NodeName) -> Result<(), NoBeing> {
        self.unsettled.forget_on(node);
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
            self.settle_all(node, unsettled).await;
            after = page.more;
            if after.is_none() {
                break;
            }
        }
        let all = self.book.all().map_err(failed)?.into_iter();
        let missing = all.filter(|entry| entry.node == *node).map(|entry| entry.id);
        let remaining = self.book.remaining_on(node).map_err(failed)?;
        let unseen = missing.chain(remaining).filter(|id| !seen.contains(id));
        let unseen: HashSet<Name> = unseen.collect();
        self.settle_all(node, unseen.into_iter().collect()).await;
        Ok(())
    }

    fn is_as_written(&self, node: &NodeName, id: &Name, is: Lodging) -> Result<bool, NoBeing> {
        let entry = self.book.get(id).map_err(failed)?;
        let lives_there = |entry: Entry| entry.node == *node && entry.stage == Stage::Living;
        Ok(is == Lodging::Here && entry.is_some_and(lives_there))
    }

    /// Many at once, so that those that are written down share a commit.
    async fn settle_all(&self, node: &NodeName, ids: Vec<Name>) {
        let settling = stream::iter(ids).for_each_concurrent(SETTLED_AT_ONCE, async |id| {
            self.settle_one(node, &id).await;
        });
        settling.await;
    }

    async fn settle_one(&self, node: &NodeName, id: &Name) {
        // Before it is taken hold of: a home that hangs is to keep nobody from it, nor another home.
        if let Err(why) = self.lodging(node, id).await {
            return match self.is_tied(node, id) {
                true => self.not_settled(node, id, &why),
                // It has nothing of the being, as far as anybody knows.
                false => self.unsettled.add(id),
            };
        }
        match self.try_to_settle(node, id).await {
            Ok(true) => self.unsettled.forget_why(id, node),
            Ok(false) => self.unsettled.add(id),
            Err(why) => self.not_settled(node, id, &why),
        }
    }

    /// Whether a being has to do with a machine, as far as the book says.
    fn is_tied(&self, node: &NodeName, id: &Name) -> bool {
        let Ok(Some(entry)) = self.book.get(id) else { return true };
        let remains = || !matches!(self.book.remains(id, node), Ok(None));
        entry.node == *node || entry.other() == Some(node) || remains()
    }

    /// Brings a home to what the book says of a being, and the book to what is there of one that it
    /// does not know. `false` if something else is being done with it.
    async fn try_to_settle(&self, node: &NodeName, id: &Name) -> Result<bool, NoBeing> {
        let Ok(_taken) = self.take(id).await else { return Ok(false) };
        let entry = self.book.get(id).map_err(failed)?;
        let lodging = self.lodging(node, id).await?;
        match entry {
            Some(entry) if entry.node == *node => self.settle_own(entry, lodging).await?,
            entry => self.settle_away(node, id, entry, lodging).await?,
        }
        Ok(true)
    }

    /// How a being lies in a home. Said soon, or not at all.
    async fn lodging(&self, node: &NodeName, id: &Name) -> Result<Option<Lodging>, NoBeing> {
        let asked = AskLodging { id: id.clone() };
        self.homes.ask_within(node, asked, LOOK_PATIENCE).await
    }

    /// The book does not say that it is to live there.
    async fn settle_away(
        &self,
        node: &NodeName,
        id: &Name,
        entry: Option<Entry>,
        lodging: Option<Lodging>,
    ) -> Result<(), NoBeing> {
        let Some(lodging) = lodging else { return self.nothing_remains(node, id).await };
        if self.settle_remains(node, id, entry.as_ref(), lodging).await? {
            return Ok(());
        }
        let Some(entry) = entry else {
            return self.settle_unknown(node, id.clone(), lodging).await;
        };
        self.settle_elsewhere(node, entry, lodging).await?;
        self.nothing_remains(node, id).await
    }

    /// The book does not know it.
    async fn settle_unknown(
        &self,
        node: &NodeName,
        id: Name,
        lodging: Lodging,
    ) -> Result<(), NoBeing> {
        if lodging == Lodging::Coming {
            // It may be the only one, or not be whole.
            return self.put_aside(node, &id, "a copy of it has come that nobody knows of").await;
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
        let entry =
            Entry { id: id.clone(), name, node: node.clone(), created, stage: Stage::Living };
        let done = format!("was found on {node}, and is known from now on");
        self.book.put(entry, Some(&done)).await.map_err(failed)?;
        self.note_coming(&id, &done);
        Ok(())
    }

    /// It is to live there.
    async fn settle_own(&self, entry: Entry, lodging: Option<Lodging>) -> Result<(), NoBeing> {
        match &entry.stage {
            Stage::Coming => return self.settle_unmade(&entry).await,
            Stage::Going => return self.settle_deleted(&entry, lodging).await,
            Stage::Living | Stage::Moving { .. } | Stage::Arriving { .. } => {}
        }
        let (node, id) = (&entry.node, entry.id.clone());
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
        let (other, done) = match &entry.stage {
            Stage::Moving { to } => (to, None),
            Stage::Arriving { from } => (from, Some(has_moved(from, node))),
            Stage::Coming | Stage::Living | Stage::Going => return Ok(()),
        };
        let settled = Entry { stage: Stage::Living, ..entry.clone() };
        self.book.put(settled, done.as_deref()).await.map_err(failed)?;
        if let Some(done) = &done {
            self.note(&id, done);
        }
        // What lies on the other machine is settled when that is looked at: the book keeps it in mind.
        match self.homes.on(other) {
            Ok(_) => {
                let lodging = self.lodging(other, &id).await?;
                self.settle_away(other, &id, Some(entry.clone()), lodging).await
            }
            Err(_) => Ok(()),
        }
    }

    /// It was being made, and nobody was told of it.
    pub(super) async fn settle_unmade(&self, entry: &Entry) -> Result<(), NoBeing> {
        let (node, id) = (&entry.node, entry.id.clone());
        let making = self.book.making(&id).map_err(failed)?;
        // What was made of one that an older genii had begun nobody can tell. Also if nothing lies there
        // yet: its making may still go on.
        if let Some(making) = making {
            self.homes.ask(node, TakeBack { id: id.clone(), making }).await?;
        }
        self.book.strike(&id, None).await.map_err(failed)?;
        // What lies there all the same lay there before, and is taken in.
        self.unsettled.add(&id);
        Ok(())
    }

    /// It was being deleted.
    async fn settle_deleted(&self, entry: &Entry, lodging: Option<Lodging>) -> Result<(), NoBeing> {
        if lodging.is_some() {
            self.homes.ask(&entry.node, RemoveHere { id: entry.id.clone() }).await?;
        }
        self.strike_deleted(&entry.id).await
    }

    /// It lives elsewhere.
    async fn settle_elsewhere(
        &self,
        node: &NodeName,
        entry: Entry,
        lodging: Lodging,
    ) -> Result<(), NoBeing> {
        let id = entry.id.clone();
        // Nothing is removed, or put aside, before it is certain that it is there.
        let there = self.lodging(&entry.node, &id).await?;
        match (lodging, there) {
            (Lodging::Coming, Some(_)) => self.homes.ask(node, Discard { id }).await,
            (Lodging::Leaving, Some(_)) => self.homes.ask(node, Leave { id, to: entry.node }).await,
            (Lodging::Here, Some(_)) => {
                let why = format!("lives on {}", entry.node);
                self.put_aside(node, &id, &why).await
            }
            (Lodging::Coming, None) if entry.stage == Stage::Going => {
                self.homes.ask(node, Discard { id }).await
            }
            (Lodging::Leaving, None) if entry.stage == Stage::Going => {
                self.homes.ask(node, RemoveHere { id }).await
            }
            // Somebody has put it there while it was being deleted.
            (Lodging::Here, None) if entry.stage == Stage::Going => {
                self.put_aside(node, &id, "was deleted").await
            }
            (Lodging::Coming, None) => {
                let why = format!("is not on {}, where it is to live", entry.node);
                self.put_aside(node, &id, &why).await
            }
            (Lodging::Here | Lodging::Leaving, None) => {
                // Somebody has carried it over by hand. Where it was, nothing of it is left but its address.
                let was_on = entry.node.clone();
                self.put_aside(&was_on, &id, "was carried to another machine").await?;
                self.homes.ask(node, Stay { id: id.clone() }).await?;
                let moved = Entry { node: node.clone(), stage: Stage::Living, ..entry };
                let done = format!("was on {was_on}, and lives on {node} from now on");
                self.book.put(moved, Some(&done)).await.map_err(failed)?;
                self.note(&id, &done);
                Ok(())
            }
        }
    }
}
