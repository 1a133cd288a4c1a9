//! Nurseries: agents of which very many exist and few are awake.
//!
//! The residents of a nursery are addresses of one group. One that nobody talks to sleeps: it has no
//! actor, no slot in the directory and no place on the board, only its name here. The first message
//! to it wakes it. What comes meanwhile waits on its doorstep, a mailbox that its life then takes
//! over, so that nothing is lost and nothing is overtaken. When it has had nothing to do for a while
//! it is put to sleep again; when too many are awake, the one that has rested longest is.
//!
//! | state | slot | board | what happens to a message |
//! |---|---|---|---|
//! | asleep | none | none | it wakes it |
//! | waking | open: its doorstep | none, then `starting` | it waits on the doorstep |
//! | awake | open: its life | `ready` | it is handled |
//! | to be kept asleep | open: a new doorstep | `ready` | it waits until that has done what it was asked before |
//! | dozing off | open: a new doorstep | `stopping` | it waits, and wakes it when it has stopped |
//! | kept asleep | open: a doorstep | none | it waits until it may wake |
//! | down, quarantined | shut, with the cause | the same | its sender is told the cause |
//!
//! One that is held back because it could not start is woken anew by a message that comes some
//! seconds later, with what is set for it by then.
//!
//! Each change of these states is made under one lock, which is never held across a wait. One that fails
//! while its next life is waited for already is down until it has been taken from its supervisor; what
//! has waited goes on waiting.

mod nest;
mod places;

use std::sync::Arc;
use std::time::Duration;

use genii_protocols::{Address, Json, Name};
use genii_supervision::ChildPolicy;

pub(crate) use nest::Nest;

/// How many residents may be awake at a time, unless its settings say otherwise.
pub const AWAKE_MAX: usize = 128;

/// How long a resident rests before it is put to sleep, unless its settings say otherwise.
pub const IDLE_AFTER: Duration = Duration::from_secs(300);

/// How long a resident that is to be kept asleep may go on with what it was asked before, unless its settings
/// say otherwise.
pub const FINISH_WITHIN: Duration = Duration::from_secs(30);

/// Why a life has ended that was put to sleep, if nothing more is said of it.
pub const PUT_TO_SLEEP: &str = "it was put to sleep";

/// How a nursery is run.
#[derive(Clone)]
pub struct NurserySettings {
    /// The group whose addresses its residents have. No topology may have it.
    pub group: Name,
    /// The kind whose messages its residents answer, as the catalogue has it. What waits on a doorstep
    /// is read as these.
    pub kind: String,
    /// As what a resident lives when it wakes next. Called when it is about to: it must not wait.
    pub tenancy: Arc<dyn Fn(&Address) -> Tenancy + Send + Sync>,
    /// How many may be awake at a time. One more waits until another sleeps.
    pub awake_max: usize,
    /// How long one rests before it is put to sleep.
    pub idle_after: Duration,
    /// How long one that is to be kept asleep may go on with what it was asked before. What it has not begun by
    /// then is returned, and it is [called off](crate::Context::called_off).
    pub finish_within: Duration,
    /// How many messages wait for one, also while it is woken.
    pub mailbox_capacity: usize,
    /// How each is treated when it fails or stops.
    pub policy: Arc<ChildPolicy>,
}

/// As what a resident lives.
#[derive(Debug, Clone, PartialEq)]
pub struct Tenancy {
    /// Its kind, as the catalogue has it: that of the nursery, or another that answers the same
    /// messages.
    pub kind: String,
    /// What is set for it.
    pub settings: Json,
}

/// Why there is no nursery.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NurseryError {
    /// The catalogue has no such kind.
    #[error("no agents are of the kind {kind:?}")]
    UnknownKind {
        /// The kind.
        kind: String,
    },
    /// The topology has a group of this name.
    #[error(
        "the topology has a group {group} already; the agents that sleep need one of their own"
    )]
    GroupTaken {
        /// The group.
        group: Name,
    },
    /// Its supervisor cannot begin.
    #[error("the supervisor of {group} cannot begin: {why}")]
    NoSupervisor {
        /// The group.
        group: Name,
        /// Why.
        why: String,
    },
}

/// Why a resident is not kept asleep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotKept {
    /// It has not had nothing to do for a moment.
    #[error("it is answering, starting or suspended; try again when it is not")]
    Busy,
    /// It is no resident, is kept already, or does not come to rest in time.
    #[error("something else is done with it")]
    Taken,
}

/// How a resident stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// It sleeps, and wakes at its next message.
    Asleep,
    /// It is being woken, or waits for a place among those that are awake.
    Waking,
    /// It is awake, or held back because it failed.
    Awake,
    /// It is going to sleep, or kept asleep.
    Dozing,
}

/// A group of agents that sleep while nobody talks to them. Cheap to clone.
#[derive(Clone)]
pub struct Nursery(pub(crate) Arc<Nest>);

impl Nursery {
    /// Its group.
    pub fn group(&self) -> &Name {
        self.0.group()
    }

    /// An address of its group exists from now on, asleep. Nothing if it exists already.
    pub fn admit(&self, name: &Name) -> Address {
        self.0.admit(name)
    }

    /// Puts a resident to sleep when it has done what it was asked already, and keeps it asleep as long
    /// as what is returned is held: what comes for it meanwhile waits. What it has not begun within
    /// [`finish_within`](NurserySettings::finish_within) is returned, and what it is at then it is to break off;
    /// of one that is suspended, what it has not begun is returned at once. `None` if it is no resident, kept
    /// already, or does not come to rest in time.
    ///
    /// If this is dropped half-way, nobody wants it kept any more: it does what it was asked before, and
    /// what has come meanwhile wakes it again.
    pub async fn keep_asleep(&self, address: &Address) -> Option<Kept> {
        self.0.clone().keep_asleep(address, PUT_TO_SLEEP).await
    }

    /// As [`Nursery::keep_asleep`], for a reason that whoever waits for an answer is told if there is none.
    pub async fn keep_asleep_since(&self, address: &Address, why: &str) -> Option<Kept> {
        self.0.clone().keep_asleep(address, why).await
    }

    /// As [`Nursery::keep_asleep`], at a moment at which a resident has nothing to do: no answer of
    /// it is broken off. Waits so long at most for that moment; what comes meanwhile is handled as
    /// always.
    ///
    /// # Errors
    /// When there was no such moment, or it cannot be kept.
    pub async fn keep_once_idle(
        &self,
        address: &Address,
        patience: Duration,
    ) -> Result<Kept, NotKept> {
        self.0.clone().keep_once_idle(address, patience).await
    }

    /// A resident exists no more, from a moment on at which nothing waits for it and it has nothing to do. What
    /// comes from then on goes where the address is by then, and behind what was sent here before, as far as
    /// that was passed on. Waits so long at most for that moment, and returns when its life has ended; before
    /// that it is not to be admitted again.
    ///
    /// # Errors
    /// When there was no such moment; when it is no resident, or kept.
    pub async fn dismiss_once_idle(
        &self,
        address: &Address,
        patience: Duration,
    ) -> Result<(), NotKept> {
        self.0.clone().dismiss_once_idle(address, patience).await
    }

    /// Other nodes are told that an address is not here, as it is elsewhere by now. What comes for it all
    /// the same is still taken, until it is [dismissed](Nursery::dismiss_once_idle). Nothing if it is no
    /// resident.
    pub fn hide(&self, address: &Address) {
        self.0.hide(address);
    }

    /// Whether it is a resident.
    pub fn has(&self, address: &Address) -> bool {
        self.0.has(address)
    }

    /// How a resident stands; `None` if it is none.
    pub fn mood(&self, address: &Address) -> Option<Mood> {
        self.0.mood(address)
    }

    /// How many residents there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many hold a place among those that are awake.
    pub fn awake(&self) -> usize {
        self.0.awake()
    }
}

/// A resident is kept asleep as long as this is held.
pub struct Kept {
    nest: Arc<Nest>,
    address: Address,
}

impl Kept {
    /// Who is kept asleep.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// It exists no more from now on. What waits for it is returned.
    pub fn dismiss(self) {
        self.nest.dismiss(&self.address);
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.nest.let_wake(&self.address);
    }
}
