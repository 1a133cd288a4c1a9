//! `suspend`: lets an agent pause between two messages.

use genii_runtime::House;

use super::Refusal;
use super::target::{OnTarget, agent};

pub struct Suspend;

impl OnTarget for Suspend {
    const NAME: &'static str = "suspend";
    const ABOUT: &'static str =
        "Let an agent handle no messages until it is resumed; they wait, up to its capacity";
    const EXAMPLES: &'static [&'static str] = &["suspend core/system-digital-twin"];

    async fn act(house: &House, name: &str) -> Result<(), Refusal> {
        let patience = house.node().limits().ask_timeout;
        Ok(house.suspend(&agent(house, name)?, patience).await?)
    }
}
