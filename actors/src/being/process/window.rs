//! What a being in a process of its own may ask of the house: to put its questions to other beings, and to
//! say what it is called, when it is to be woken, and of what it was reminded. Nothing else of the registry
//! and of its home, and nothing in the name of another.

use genii_protocols::being::{BeingReminded, NotSaid};
use genii_protocols::beings::{BeingDue, BeingRenamed, NoBeing, PassOn};
use genii_protocols::{Name, Never};
use genii_runtime::{Agent, Context, Handle, HandleLater, Mail, Node, Promise, Protocol, Relay};
use genii_supervision::StartError;
use serde::Deserialize;

/// The node of the house, as the node of an annex has it.
pub(super) struct Outside(pub(super) Node);

/// The agent. It has the address of who it stands for in the house.
pub(super) struct Window {
    tenant: Name,
    outside: Mail,
    relay: Relay,
}

/// What is set for it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WindowSettings {
    /// The being, by its id.
    tenant: Name,
}

impl Agent for Window {
    type Settings = WindowSettings;

    fn protocol() -> Protocol<Self> {
        Protocol::new()
            .on_later::<PassOn>()
            .on::<BeingRenamed>()
            .on_later::<BeingDue>()
            .on_later::<BeingReminded>()
    }

    async fn start(settings: WindowSettings, at: &mut Context) -> Result<Self, StartError> {
        let own = at.node().clone();
        let house = at.node().shared(|| Outside(own));
        let outside = house.0.to(at.address().clone());
        Ok(Self { tenant: settings.tenant, relay: Relay::new(outside.clone()), outside })
    }
}

impl HandleLater<PassOn> for Window {
    async fn handle_later(&mut self, asked: PassOn, promise: Promise<PassOn>, at: &mut Context) {
        // Through which beings it came is what keeps them from going round in a circle.
        if asked.query.path.last() != Some(&self.tenant) {
            let why = format!("it is not asked by {}", self.tenant.as_str());
            return promise.refuse(NotSaid::NotAnswered { why });
        }
        self.relay.pass(asked, promise, at).await;
    }
}

impl Handle<BeingRenamed> for Window {
    async fn handle(&mut self, renamed: BeingRenamed, at: &mut Context) -> Result<(), Never> {
        if renamed.id == self.tenant {
            // A registry that is down hears it when the being wakes the next time.
            let _unheard = at.via(&self.outside).hint(renamed);
        }
        Ok(())
    }
}

impl HandleLater<BeingDue> for Window {
    async fn handle_later(&mut self, due: BeingDue, promise: Promise<BeingDue>, at: &mut Context) {
        if due.id != self.tenant {
            return promise.refuse(NoBeing::NotFound { id: due.id, nearest: None });
        }
        self.relay.pass(due, promise, at).await;
    }
}

impl HandleLater<BeingReminded> for Window {
    async fn handle_later(
        &mut self,
        told: BeingReminded,
        promise: Promise<BeingReminded>,
        at: &mut Context,
    ) {
        if told.being == self.tenant {
            self.relay.pass(told, promise, at).await;
        }
    }
}
