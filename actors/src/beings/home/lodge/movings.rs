//! Who is about to leave, or has left.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use genii_protocols::{Address, Destination, Json, Name, NodeName};
use genii_runtime::nursery::{Kept, Tenancy};
use parking_lot::{Mutex, RwLock};

use super::super::tenancies::Tenancies;
use super::KIND;
use crate::beings::errands::Amiss;

/// The kind of those who send what comes for a being after it.
const RELAY: &str = "being-relay";

/// Those that are about to leave or have left. It outlives the home when that crashes, so that none of
/// them wakes meanwhile.
#[derive(Default)]
pub(super) struct Movings {
    /// How those are kept apart that live here. None as long as no home has begun.
    pub(super) tenancies: RwLock<Option<Arc<Tenancies>>>,
    /// Held asleep as long as it is open where they live.
    pub(super) held: Mutex<HashMap<Name, Held>>,
    /// Those that live elsewhere by now, and where.
    pub(super) left: Mutex<HashMap<Name, NodeName>>,
    /// Those that are being packed.
    pub(super) packing: Mutex<HashSet<Name>>,
}

/// One that is held asleep to leave.
pub(super) struct Held {
    pub(super) kept: Kept,
    /// It could not wake before: if it stays, that is to show again.
    pub(super) was_held_back: bool,
}

impl Movings {
    /// Who takes the messages of an address.
    pub(super) fn tenancy(&self, address: &Address) -> Tenancy {
        let left = Name::new(address.name()).ok().and_then(|id| self.left.lock().get(&id).cloned());
        if let Some(node) = left {
            let to = Destination { address: address.clone(), node: Some(node) };
            let settings = Json(serde_json::json!({ "to": to.to_string() }));
            return Tenancy { kind: RELAY.to_owned(), settings };
        }
        match &*self.tenancies.read() {
            Some(tenancies) => tenancies.tenancy(address),
            None => Tenancy { kind: KIND.to_owned(), settings: Json::default() },
        }
    }

    /// Refuses what would begin at an address from which messages are still sent after who has left.
    pub(super) fn check_settled(&self, id: &Name) -> Result<(), Amiss> {
        match self.left.lock().contains_key(id) {
            false => Ok(()),
            true => Err(Amiss::failed(
                "it has just left, and what came for it meanwhile is still sent after it; try again in \
                 some seconds",
            )),
        }
    }

    /// Whether a being is held asleep here to leave, or about to be.
    pub(super) fn is_leaving(&self, id: &Name) -> bool {
        self.packing.lock().contains(id) || self.held.lock().contains_key(id)
    }
}

/// One that is being packed.
pub(super) struct Packing<'a>(&'a Movings, &'a Name);

impl<'a> Packing<'a> {
    pub(super) fn begin(movings: &'a Movings, id: &'a Name) -> Option<Self> {
        movings.packing.lock().insert(id.clone()).then(|| Self(movings, id))
    }
}

impl Drop for Packing<'_> {
    fn drop(&mut self) {
        self.0.packing.lock().remove(self.1);
    }
}
