//! A relay at the address of a being that lives elsewhere: all that is said to it there is passed on, in
//! order, and what comes of it comes back as it is, also when the relay is there no more.

use genii_protocols::being::{
    AskHealth, CancelReminder, Converse, Export, Forget, HeedReminders, ListReminders, Query,
    RecallMemories, Remember, Remind, Say, SetBudget, SetCore, SetProvider, ShowBeing, ShowHistory,
    ShowProvider, UpdateCharacter, WouldForget,
};
use genii_protocols::{Destination, Json};
use genii_runtime::{Agent, Context, Protocol, Relay, Relays};
use genii_supervision::StartError;
use serde::Deserialize;

use super::TendIndex;

/// The messages of a being, in the order of its own table, each passed on.
pub(super) fn protocol<A: Relays>() -> Protocol<A> {
    Protocol::new()
        .pass::<Query>()
        .pass_stream::<Converse>()
        .pass::<ShowBeing>()
        .pass::<AskHealth>()
        .pass::<UpdateCharacter>()
        .pass::<SetCore>()
        .pass::<SetProvider>()
        .pass::<ShowProvider>()
        .pass::<SetBudget>()
        .pass::<ShowHistory>()
        .pass::<Remember>()
        .pass::<RecallMemories>()
        .pass::<Forget>()
        .pass::<WouldForget>()
        .pass::<Export>()
        .pass::<Say>()
        .pass::<Remind>()
        .pass::<ListReminders>()
        .pass::<CancelReminder>()
        .pass::<HeedReminders>()
        .pass::<TendIndex>()
}

/// The agent.
pub struct BeingRelay {
    to: Destination,
    relay: Relay,
}

/// What is set for it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BeingRelaySettings {
    /// Where the being lives, as `being/alice@pc2`. Without a node it would be the relay itself.
    pub to: Destination,
}

impl Agent for BeingRelay {
    type Settings = BeingRelaySettings;

    fn protocol() -> Protocol<Self> {
        protocol()
    }

    async fn start(settings: BeingRelaySettings, at: &mut Context) -> Result<Self, StartError> {
        let to = settings.to;
        let leads_here = to.node.as_ref().is_none_or(|node| node == at.node().name());
        if to.address == *at.address() && leads_here {
            return Err(StartError::refused(format!("{to} is this relay itself; name its node")));
        }
        let relay = Relay::lasting(at.node().to(&to));
        Ok(Self { to, relay })
    }

    fn snapshot(&self) -> Json {
        Json(serde_json::json!({ "passes_on_to": self.to }))
    }
}

impl Relays for BeingRelay {
    fn relay(&self) -> &Relay {
        &self.relay
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_answers_whatever_a_being_does() {
        let kinds = crate::catalogue();
        let names = |kind: &str| {
            let messages = kinds.messages(kind).unwrap().into_iter();
            messages.map(|message| (message.name, message.style)).collect::<Vec<_>>()
        };
        assert_eq!(names("being-relay"), names("being"));
    }
}
