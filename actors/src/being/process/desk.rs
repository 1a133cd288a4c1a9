//! Who tells, in the process of a being, whether that has something to do: the house would put it to sleep
//! otherwise while it answers what it was only told, or waits for its notes.

use genii_protocols::{Address, Json, Never, message};
use genii_runtime::{Agent, Context, Handle, Protocol};
use genii_supervision::StartError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Say whether the being has something to do.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(super) struct AskWhetherAtWork {}
message!(AskWhetherAtWork = "tenant.ask_whether_at_work" -> bool);

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
        Protocol::new().on::<AskWhetherAtWork>()
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
