//! Who tells, in the process of a being, whether that has something to do: the house would put it to sleep
//! otherwise while it answers what it was only told, or waits for its notes. And who has the being called off, if
//! it is to end without waiting for what it is at.

use genii_protocols::{Address, Json, Never, message};
use genii_runtime::{Agent, Context, Handle, Protocol};
use genii_supervision::StartError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Say whether the being has something to do.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(super) struct AskWhetherAtWork {}
message!(AskWhetherAtWork = "tenant.ask_whether_at_work" -> bool);

/// Have the being break off what it is at when it is asked to stop.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(super) struct CallOff {
    /// Why.
    pub(super) why: String,
}
message!(CallOff = "tenant.call_off" -> ());

/// The agent.
pub(super) struct Desk {
    being: Address,
}

/// Where it is, beside the being.
pub(super) fn address() -> Address {
    Address::parse("tenant/desk").expect("it is written as an address is")
}

/// What is set for it.
pub(super) fn settings(being: &Address) -> Json {
    Json::of(&DeskSettings { being: being.clone() })
}

/// What is set for it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DeskSettings {
    being: Address,
}

impl Agent for Desk {
    type Settings = DeskSettings;

    fn protocol() -> Protocol<Self> {
        Protocol::new().on::<AskWhetherAtWork>().on::<CallOff>()
    }

    async fn start(settings: DeskSettings, _: &mut Context) -> Result<Self, StartError> {
        Ok(Self { being: settings.being })
    }
}

impl Handle<AskWhetherAtWork> for Desk {
    async fn handle(&mut self, _: AskWhetherAtWork, at: &mut Context) -> Result<bool, Never> {
        let counters = at.node().counters(&self.being);
        Ok(counters.is_some_and(|being| being.owed > 0 || being.depth > 0))
    }
}

impl Handle<CallOff> for Desk {
    async fn handle(&mut self, CallOff { why }: CallOff, at: &mut Context) -> Result<(), Never> {
        // One that has ended has nothing to break off.
        let _is_there = at.node().call_off(&self.being, &why);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use genii_protocols::NodeName;
    use genii_runtime::{Node, NodeOptions};
    use genii_supervision::{Supervisor, SupervisorSpec};
    use parking_lot::Mutex;

    use super::*;

    /// Why the lodger was called off.
    #[derive(Default)]
    struct Heard(Mutex<Option<String>>);

    struct Lodger;

    impl Agent for Lodger {
        type Settings = ();

        fn protocol() -> Protocol<Self> {
            Protocol::new()
        }

        async fn start((): (), _: &mut Context) -> Result<Self, StartError> {
            Ok(Self)
        }

        async fn stop(&mut self, at: &mut Context) {
            let why = at.called_off().map(str::to_owned);
            *at.node().shared(Heard::default).0.lock() = why;
        }
    }

    #[tokio::test]
    async fn the_being_is_called_off_for_the_reason_that_the_house_has() {
        const WHY: &str = "it moves to another machine";
        let node = Node::new(NodeOptions::new(NodeName::new("tenant").unwrap()));
        let being = Address::parse("being/marit").unwrap();
        let spec = SupervisorSpec::new("tenant")
            .with_child(node.agent::<Desk>(&address(), settings(&being)))
            .with_child(node.agent::<Lodger>(&being, Json::default()));
        let root = Supervisor::start(spec, node.tree().clone()).await.unwrap();
        node.to(address()).ask(CallOff { why: WHY.to_owned() }).await.unwrap();
        root.shutdown().await;
        assert_eq!(node.shared(Heard::default).0.lock().as_deref(), Some(WHY));
    }
}
