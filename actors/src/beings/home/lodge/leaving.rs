//! A being leaves for another machine, or stays after all.

use std::time::Duration;

use genii_protocols::being::AskHealth;
use genii_protocols::{Address, Destination, Name};
use genii_runtime::{Node, Nursery};
use tokio::time::timeout;

use super::movings::{Held, Packing};
use super::{Lodge, START_TIMEOUT};
use crate::being::birth;
use crate::being::interruption::MOVES;
use crate::beings::errands::{Amiss, Leave, Lodging, Parcel, Stay};
use crate::beings::parcels::OfferedFile;

/// How long all others may take to hear that a being is not here any more. What they send to it meanwhile is sent
/// after it.
const HEARD_PATIENCE: Duration = Duration::from_secs(30);

/// How long what comes is sent after it when they have: somebody there may have been about to send something, or
/// waited for room.
const SENT_AFTER: Duration = Duration::from_secs(2);

/// How long a being that has left may take to be known where it lives, and to answer from there.
const KNOWN_PATIENCE: Duration = Duration::from_secs(30);

/// How often one looks whether it is.
const KNOWN_LOOK: Duration = Duration::from_millis(20);

/// How long it may take until all that has come is passed on. So many may wait for their answers that no more are
/// asked before one of those has come: longer than a provider may take.
const PASSED_ON_PATIENCE: Duration = Duration::from_secs(660);

impl Lodge {
    /// What a being takes along that is to leave: it is held asleep from now on.
    pub(super) async fn pack_to_leave(&self, id: Name) -> Result<Parcel, Amiss> {
        let Some(_packing) = Packing::begin(&self.movings, &id) else {
            return Err(Amiss::failed("it is being packed already"));
        };
        let address = self.address(&id);
        if !self.movings.held.lock().contains_key(&id) {
            // What waits for it would be returned, and it would not be suspended where it comes to.
            self.refuse_suspended(&id, "does not move")?;
            let was_held_back = self.is_held_back(&address);
            // It need not be able to wake here: that may be why it is to leave. All that it is lies in its
            // store, which is checked where it comes to.
            if self.is_unborn(&id).await? {
                self.be_born(&address).await?;
            }
            let kept = self.nursery.keep_asleep_since(&address, MOVES).await;
            let kept = kept.ok_or_else(|| Amiss::failed("something else is done with it"))?;
            let of = id.clone();
            // If this fails it is not held any more, and wakes.
            self.aside(move |folders| {
                folders.is_let_go(&of)?;
                folders.mark_leaving(&of)
            })
            .await?;
            self.movings.held.lock().insert(id.clone(), Held { kept, was_held_back });
        }
        let store = OfferedFile::Kept(self.folders.store_of(&id));
        self.parcels.offer(store, Some(id.clone())).await
    }

    /// Whether a being has never been awake. Refused if nothing of it lies here.
    async fn is_unborn(&self, id: &Name) -> Result<bool, Amiss> {
        let of = id.clone();
        self.aside(move |folders| match folders.lodging(&of)? {
            Some(Lodging::Here | Lodging::Leaving) => birth::is_in(&folders.of(&of)),
            Some(Lodging::Coming) | None => Err(std::io::Error::other(
                "it cannot move: there is nothing of it where it lives; delete it, and import it from a \
                 backup",
            )),
        })
        .await
    }

    /// Wakes one that has never been awake: it has not taken over yet who it is to be.
    async fn be_born(&self, address: &Address) -> Result<(), Amiss> {
        let being = self.house.node().to(address.clone());
        let well = being.ask_within(AskHealth {}, START_TIMEOUT).await;
        well.map(drop).map_err(|error| {
            Amiss::failed(format!("it cannot move before it was awake once: {error}"))
        })
    }

    pub(in super::super) async fn stay(&self, Stay { id }: Stay) -> Result<(), Amiss> {
        if self.movings.packing.lock().contains(&id) {
            return Err(Amiss::failed("it is being packed just now; try again"));
        }
        let (of, tenancies) = (id.clone(), self.tenancies.clone());
        self.aside(move |folders| {
            folders.mark_staying(&of)?;
            tenancies.recall(&of);
            Ok(())
        })
        .await?;
        let address = self.address(&id);
        // What has waited for it is handled now.
        let held = self.movings.held.lock().remove(&id);
        let was_held_back = held.is_some_and(|held| held.was_held_back);
        if self.is_held_back(&address) {
            // Because of what is mended now: it sleeps, and may wake.
            drop(self.nursery.keep_asleep(&address).await);
        }
        self.nursery.admit(&id);
        if was_held_back {
            self.try_to_wake(address);
        }
        // One that was brought by hand may have something to be woken for.
        self.due.ask(&id).await.map_err(Amiss::failed)
    }

    pub(in super::super) async fn leave(&self, Leave { id, to }: Leave) -> Result<(), Amiss> {
        let _turn = self.turns.take(&id).await;
        let of = id.clone();
        let address = self.address(&id);
        if self.movings.packing.lock().contains(&id) {
            return Err(Amiss::failed("it is being packed just now; try again"));
        }
        if self.nursery.has(&address) && !self.movings.held.lock().contains_key(&id) {
            return Err(Amiss::failed("it was not held, and is not where it would be removed"));
        }
        self.aside(move |folders| folders.leave(&of)).await?;
        self.due.forget(&id).await;
        self.tenancies.forget(&id);
        self.movings.left.lock().insert(id.clone(), to.clone());
        let held = self.movings.held.lock().remove(&id);
        let Some(Held { kept, .. }) = held else {
            self.movings.left.lock().remove(&id);
            return Ok(());
        };
        let (nursery, movings) = (self.nursery.clone(), self.movings.clone());
        let node = self.house.node().clone();
        // Not a task of the home: it is to go on when that crashes.
        tokio::spawn(async move {
            let known = timeout(KNOWN_PATIENCE, async {
                while node.cluster().is_some_and(|cluster| cluster.lacks(&to, &address)) {
                    tokio::time::sleep(KNOWN_LOOK).await;
                }
            });
            let _else_who_asks_is_told = known.await;
            // Whoever wakes now sends what has waited after it.
            drop(kept);
            send_after(&node, &nursery, &address).await;
            movings.left.lock().remove(&id);
        });
        Ok(())
    }
}

/// Sends after a being that has left what comes for it here, until the others know where it is, and lets go of
/// its address. Who goes on speaking to it here, or waits for an answer, does not keep that up: in the moment in
/// which all that has come is on its way, what comes next goes where the being lives.
async fn send_after(node: &Node, nursery: &Nursery, address: &Address) {
    let by_way_of_here = Destination { address: address.clone(), node: Some(node.name().clone()) };
    // Goes behind all that has waited, which is not to be overtaken by what others say there when they know.
    let _else_they_learn_it_now =
        node.to(by_way_of_here).ask_within(AskHealth {}, KNOWN_PATIENCE).await;
    nursery.hide(address);
    if let Some(cluster) = node.cluster() {
        let _else_they_say_nothing = timeout(HEARD_PATIENCE, cluster.heard()).await;
    }
    tokio::time::sleep(SENT_AFTER).await;
    // Again where something else is just done with it: left as it is, it would be the being next time it wakes.
    while nursery.dismiss_once_idle(address, PASSED_ON_PATIENCE).await.is_err()
        && nursery.has(address)
    {
        // What still waits to be passed on is returned.
        match nursery.keep_asleep(address).await {
            Some(kept) => return kept.dismiss(),
            None => tokio::time::sleep(KNOWN_LOOK).await,
        }
    }
}
