//! How one comes to rest, and is kept asleep.
//!
//! Whoever wants to keep one asleep waits; a task of the nursery does it. So it is done as well when nobody
//! waits any more, as when an agent that has wanted it ends: only the wish to keep it is gone then, and what
//! has come meanwhile wakes it again.
//!
//! | where it is | what is done |
//! |---|---|
//! | asleep, or waiting for a place | nothing: it has no life, and gets none as long as it is kept |
//! | starting | it starts first, since what waits for it is for that life |
//! | awake | it does what it was asked before, and then its life ends |
//! | suspended | it does what it has begun, and then its life ends: what waits for it is returned |
//! | down, quarantined | it is taken from its supervisor |
//!
//! What has not been begun within [`finish_within`](crate::NurserySettings::finish_within) is returned, and what it
//! is at by then is called off: it is not waited for once more while it stops. Who waits for an answer of it is told
//! why it was to sleep. Who has not ended [`END_PATIENCE`] later is not kept. Where its work is not to be broken off,
//! one is kept only once it has nothing to do, and goes on until then as if nobody wanted it.

use std::sync::Arc;
use std::time::Duration;

use genii_protocols::{Address, Cause, CauseKind};
use tokio::time::Instant;

use super::{All, Nest, PUT_TO_SLEEP, Stage, Stirring, return_what_waits};
use crate::directory::Line;
use crate::node::Node;
use crate::nursery::{Kept, NotKept};

/// How long one may take to end, at most, whose time is over to do what it was asked.
const END_PATIENCE: Duration = Duration::from_secs(60);

/// How often to look whether one that is to be kept asleep has come to rest.
const REST_LOOK: Duration = Duration::from_millis(5);

impl Nest {
    pub(crate) async fn keep_asleep(self: Arc<Self>, address: &Address, why: &str) -> Option<Kept> {
        let kept = self.begin_to_keep(address, why)?;
        if self.rests(address) {
            return Some(kept);
        }
        tokio::spawn(self.clone().drain(address.clone()));
        self.comes_to_rest(address).await.then_some(kept)
    }

    pub(crate) async fn keep_once_idle(
        self: Arc<Self>,
        address: &Address,
        patience: Duration,
    ) -> Result<Kept, NotKept> {
        let until = Instant::now() + patience;
        let kept = loop {
            match self.keep_if_idle(address) {
                Err(NotKept::Busy) if Instant::now() < until => {
                    tokio::time::sleep(REST_LOOK).await;
                }
                settled => break settled?,
            }
        };
        self.comes_to_rest(address).await.then_some(kept).ok_or(NotKept::Taken)
    }

    /// Waits until one that is kept asleep has no life; whether it came to that in time.
    async fn comes_to_rest(&self, address: &Address) -> bool {
        let patience = self.finish_within() + END_PATIENCE;
        let until = Instant::now() + patience;
        while !self.rests(address) {
            if Instant::now() >= until {
                tracing::warn!(%address, "does not come to rest within {patience:?}");
                return false;
            }
            tokio::time::sleep(REST_LOOK).await;
        }
        true
    }

    fn finish_within(&self) -> Duration {
        self.settings.load().finish_within
    }

    /// From now on it is to rest, if it has nothing to do: its life ends, if it has one.
    fn keep_if_idle(self: &Arc<Self>, address: &Address) -> Result<Kept, NotKept> {
        let node = self.node.upgrade().ok_or(NotKept::Taken)?;
        let mut stirring = self.stirring.lock();
        if !self.has(address) || stirring.get(address).is_some_and(|it| it.is_kept) {
            return Err(NotKept::Taken);
        }
        if !self.ends_if_idle(&node, &mut stirring, address) {
            return Err(NotKept::Busy);
        }
        self.keep(&node, &mut stirring, address, PUT_TO_SLEEP).ok_or(NotKept::Taken)
    }

    /// From now on it is to rest. `None` if it is no resident, or kept already.
    fn begin_to_keep(self: &Arc<Self>, address: &Address, why: &str) -> Option<Kept> {
        let node = self.node.upgrade()?;
        let mut stirring = self.stirring.lock();
        self.keep(&node, &mut stirring, address, why)
    }

    /// As [`Nest::begin_to_keep`], for who holds those that stir.
    fn keep(
        self: &Arc<Self>,
        node: &Node,
        stirring: &mut All<'_>,
        address: &Address,
        why: &str,
    ) -> Option<Kept> {
        if !self.has(address) {
            return None;
        }
        let is_asleep = !stirring.contains_key(address);
        let it = stirring.entry(address.clone()).or_insert_with(|| Stirring::new(Stage::Resting));
        if std::mem::replace(&mut it.is_kept, true) {
            return None;
        }
        it.why = why.into();
        if is_asleep {
            self.put_doorstep(&node.directory().claim(address));
        }
        Some(Kept { nest: self.clone(), address: address.clone() })
    }

    /// Whether one that is kept asleep has no life.
    fn rests(&self, address: &Address) -> bool {
        // Where the node has ended nobody has.
        if self.node.upgrade().is_none() {
            return true;
        }
        let stirring = self.stirring.lock();
        let it = stirring.get(address).filter(|it| it.is_kept);
        it.is_some_and(|it| matches!(it.stage, Stage::Waking | Stage::Resting))
    }

    /// Brings one to rest that is to be kept asleep.
    async fn drain(self: Arc<Self>, address: Address) {
        let patience = Instant::now() + self.finish_within();
        while self.drains_on(&address, patience) {
            tokio::time::sleep(REST_LOOK).await;
        }
    }

    /// Takes the next step towards the rest of one; whether there are more.
    fn drains_on(self: &Arc<Self>, address: &Address, patience: Instant) -> bool {
        let Some(node) = self.node.upgrade() else { return false };
        let mut stirring = self.stirring.lock();
        let Some(it) = stirring.get_mut(address) else { return false };
        let is_late = Instant::now() >= patience;
        let is_done = match &it.stage {
            Stage::Awake if it.is_kept => {
                return self.begin_to_drain(&node, &mut stirring, address, is_late);
            }
            // One whose mailbox is closed may just be ending by itself, and is let do so.
            Stage::Draining(life) => {
                // One that is suspended and held up has begun nothing that would be broken off.
                let is_held_up = life.slot.vitals.is_held_up();
                if is_late || is_held_up {
                    life.call_off(it.why.clone());
                }
                is_late || is_held_up || is_over(&node, address, life) || life.give_way()
            }
            // Nobody wants it any more, or it is on its way without this.
            _ => return false,
        };
        if is_done {
            self.send_off(&mut stirring, address);
        }
        !is_done
    }

    /// What is in the mailbox of one already is handled before it rests; what comes waits. Whether there
    /// are more steps to take.
    fn begin_to_drain(
        self: &Arc<Self>,
        node: &Node,
        stirring: &mut All<'_>,
        address: &Address,
        is_late: bool,
    ) -> bool {
        let slot = node.directory().claim(address);
        let line = slot.open_line();
        if let Some(doorstep) = line.as_ref().filter(|line| line.is_doorstep) {
            // It has begun to start. What waits for it is for that life.
            if !is_late && !doorstep.mailbox.is_closed() {
                return true;
            }
            let why = stirring.get(address).map_or(PUT_TO_SLEEP, |it| &*it.why);
            let why = format!("{why}, and had not started yet");
            return_what_waits(node, &slot, &Cause::new(CauseKind::Stopped, why));
        }
        self.put_doorstep(&slot);
        match line.filter(|line| !line.is_doorstep) {
            Some(life) => {
                if let Some(it) = stirring.get_mut(address) {
                    it.stage = Stage::Draining(life);
                }
                true
            }
            None => {
                self.send_off(stirring, address);
                false
            }
        }
    }

    /// One that was kept asleep may wake. It does if something waits for it, as soon as it has no life.
    pub(crate) fn let_wake(self: &Arc<Self>, address: &Address) {
        let Some(node) = self.node.upgrade() else { return };
        let mut stirring = self.stirring.lock();
        if let Some(it) = stirring.get_mut(address) {
            it.is_kept = false;
            it.why = PUT_TO_SLEEP.into();
        }
        self.sleep_or_wake(&node, &mut stirring, address);
    }
}

/// Whether a life is over, with all that it held.
fn is_over(node: &Node, address: &Address, life: &Arc<Line>) -> bool {
    let line = node.directory().claim(address).line();
    line.is_none_or(|line| !Arc::ptr_eq(&line, life))
}
