//! Those are woken whose time has come.

use genii_protocols::being::{BeingReminded, Heeded};
use genii_protocols::beings::{BeingDue, NoBeing};
use genii_protocols::{Address, Name, Timestamp, Topic};
use genii_runtime::Nursery;
use genii_runtime::nursery::Mood;

use super::super::due::by_mail;
use super::super::folders::Folders;
use super::Lodge;
use crate::being::imported::next_reminder;

/// How large a store may be, in bytes, for its reminders to be looked at while its being sleeps.
const LOOKED_AT_MAX: u64 = 4 << 20;

impl Lodge {
    /// Wakes those whose time has come, for ever.
    pub(in super::super) fn heed(&self) -> impl Future<Output = ()> + Send + use<> {
        let by_mail = by_mail(self.house.node().clone(), self.nursery.group().clone());
        let (nursery, folders) = (self.nursery.clone(), self.folders.clone());
        let heed = move |id: Name| {
            let (nursery, folders, mail) = (nursery.clone(), folders.clone(), by_mail(id.clone()));
            async move {
                match sleeps_on(&nursery, &folders, &id).await {
                    Some(next) => Ok(Heeded { reminder: None, next }),
                    None => mail.await,
                }
            }
        };
        self.due.clone().watch(heed)
    }

    pub(in super::super) async fn is_due(
        &self,
        BeingDue { id, next }: BeingDue,
    ) -> Result<(), NoBeing> {
        if !self.nursery.has(&self.address(&id)) {
            return Err(NoBeing::NotFound { id, nearest: None });
        }
        let kept = self.due.set(&id, next).await;
        kept.map_err(|error| NoBeing::Failed { why: error.to_string() })
    }

    /// Has others hear of what a being that lives here was reminded of.
    pub(in super::super) async fn publish(&self, told: BeingReminded) {
        let being = told.being.as_str();
        if !self.nursery.has(&self.address(&told.being)) {
            return tracing::warn!(being, "a reminder of a being that does not live here");
        }
        let topic = format!("beings.{being}.said");
        let topic = match Topic::parse(&topic) {
            Ok(topic) => topic,
            Err(error) => return tracing::warn!("{topic} is no topic: {error}"),
        };
        if let Err(error) = self.house.node().publish(&topic, &told).await {
            tracing::warn!(being, "not all heard of its reminder: {error}");
        }
    }
}

/// When one that sleeps is due, if it need not be woken yet. A large store takes as long to be looked at as
/// its being to wake.
async fn sleeps_on(nursery: &Nursery, folders: &Folders, id: &Name) -> Option<Option<Timestamp>> {
    let address = Address::new(nursery.group(), id);
    if nursery.mood(&address) != Some(Mood::Asleep) {
        return None;
    }
    let asleep = nursery.keep_asleep(&address).await?;
    let store = folders.store_of(id);
    let looked = tokio::task::spawn_blocking(move || {
        let bytes = store.metadata().map_or(0, |about| about.len());
        (bytes <= LOOKED_AT_MAX).then(|| next_reminder(&store))
    });
    // What is wrong with it is told by whoever wakes it.
    let next = looked.await.ok()??.ok()?;
    drop(asleep);
    next.is_none_or(|next| next > Timestamp::now()).then_some(next)
}
