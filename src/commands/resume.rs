//! `resume`: ends a suspension.

use genii_runtime::House;

use super::Refusal;
use super::target::{OnTarget, agent};

pub struct Resume;

impl OnTarget for Resume {
    const NAME: &'static str = "resume";
    const ABOUT: &'static str = "Let a suspended agent handle messages again";
    const EXAMPLES: &'static [&'static str] = &["resume core/system-digital-twin"];

    async fn act(house: &House, name: &str) -> Result<(), Refusal> {
        let patience = house.node().limits().ask_timeout;
        Ok(house.resume(&agent(house, name)?, patience).await?)
    }
}
