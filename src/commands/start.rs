//! `start`: starts what was stopped.

use genii_runtime::House;

use super::Refusal;
use super::target::OnTarget;

pub struct Start;

impl OnTarget for Start {
    const NAME: &'static str = "start";
    const ABOUT: &'static str =
        "Start an agent or a group that was stopped, and wait until it is ready";
    const EXAMPLES: &'static [&'static str] = &["start core/system-digital-twin", "start pc2-core"];

    async fn act(house: &House, name: &str) -> Result<(), Refusal> {
        Ok(house.start(name).await?)
    }
}
