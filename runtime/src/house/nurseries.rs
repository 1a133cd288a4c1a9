//! Nurseries of a house: groups whose agents sleep while nobody talks to them.

use std::sync::Arc;
use std::time::Duration;

use genii_protocols::Address;
use genii_supervision::{
    ChildError, ChildKind, ChildPolicy, ChildSpec, GiveUp, Intensity, Key, Restart, Status,
    Strategy, SupervisorFlags, SupervisorSpec, View,
};
use tokio::time::Instant;

use super::{Home, House, ROOT};
use crate::nursery::{Nest, Nursery, NurseryError, NurserySettings, Tenancy};

/// How often an agent of a nursery may fail before it is held back.
const INTENSITY: Intensity = Intensity { restarts: 5, window: Duration::from_secs(60) };

impl House {
    /// The nursery of a group; it is opened if there is none yet, and then has no residents. One that
    /// is there already is run by these settings from now on, but for its kind: those that are then too
    /// many awake are put to sleep when they rest, and lives that have begun stay as they are.
    ///
    /// # Errors
    /// When its kind is not known, or the topology has its group.
    pub async fn nursery(&self, settings: NurserySettings) -> Result<Nursery, NurseryError> {
        let policy = ChildPolicy { sleeps: true, ..ChildPolicy::clone(&settings.policy) };
        let settings = NurserySettings { policy: Arc::new(policy), ..settings };
        // Not the lock of changes: an agent that they start may ask for this.
        let one_at_a_time = self.0.opening.lock().await;
        let group = settings.group.clone();
        if let Some(nest) = self.0.node.directory().nursery(group.as_str()) {
            nest.set(settings);
            return Ok(Nursery(nest));
        }
        if self.topology().group(group.as_str()).is_some() {
            return Err(NurseryError::GroupTaken { group });
        }
        let (node, catalogue) = (&self.0.node, &self.0.catalogue);
        let unknown = || NurseryError::UnknownKind { kind: settings.kind.clone() };
        let protocol = catalogue.protocol(&settings.kind, node).ok_or_else(unknown)?;
        let supervisor = SupervisorSpec::new(group.as_str()).with_flags(SupervisorFlags {
            strategy: Strategy::Dynamic,
            intensity: INTENSITY,
            ..SupervisorFlags::default()
        });
        let policy = ChildPolicy {
            give_up: GiveUp::Quarantine,
            restart: Restart::Permanent,
            required: false,
            ..ChildPolicy::supervisor()
        };
        // Those who ask may be part of the start of the house, before which its root is not at hand.
        let began = match node.tree().supervisor(ROOT) {
            Some(root) => root.start_child(supervisor.into_child(policy)).await,
            None => Err(ChildError::Gone),
        };
        began.map_err(|error| NurseryError::NoSupervisor { group, why: error.to_string() })?;
        let house = Arc::downgrade(&self.0);
        let make_child = Box::new(move |settings: &NurserySettings, address: &Address| {
            House(house.upgrade()?).resident(settings, address)
        });
        let nest = Nest::new(node, settings, protocol, make_child);
        node.directory().add_nursery(&nest);
        drop(one_at_a_time);
        Ok(Nursery(nest))
    }

    /// How one of a nursery stands that sleeps: nothing of it is on the board.
    pub(super) fn asleep(&self, name: &str) -> Option<View> {
        let address = Address::parse(name).ok()?;
        let nursery = self.0.node.directory().nursery(address.group())?;
        nursery.has(&address).then(|| View {
            key: Key::from(address.shared()),
            supervisor: Key::from(address.group()),
            kind: ChildKind::Worker,
            required: false,
            status: Status::Stopped("it sleeps, and wakes at its next message".into()),
            since: Instant::now(),
            incarnation: 0,
            restarts: 0,
            edges: None,
            is_doomed: false,
        })
    }

    /// The child that is to host one of a nursery that is held back, as things are set now.
    pub(super) fn held_resident(&self, name: &str) -> Option<ChildSpec> {
        let (address, node) = (Address::parse(name).ok()?, &self.0.node);
        let nursery = node.directory().nursery(address.group())?;
        let is_held = matches!(node.tree().board.view(name)?.status, Status::Quarantined(_));
        if is_held && nursery.has(&address) { nursery.child(&address) } else { None }
    }

    /// The child that hosts one of a nursery.
    fn resident(&self, settings: &NurserySettings, address: &Address) -> Option<ChildSpec> {
        let Tenancy { kind, settings: set } = (settings.tenancy)(address);
        let home = Home {
            address: address.clone(),
            settings: Arc::new(set),
            mailbox_capacity: settings.mailbox_capacity,
        };
        let child = self.0.catalogue.child(&kind, &self.0.node, self, home)?;
        Some(child.with_policy(settings.policy.clone()))
    }
}
