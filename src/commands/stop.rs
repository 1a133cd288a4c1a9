//! `stop`: stops what runs; it stays stopped until it is started.

use genii_runtime::{House, HouseError};

use super::target::OnTarget;

pub struct Stop;

impl OnTarget for Stop {
    const NAME: &'static str = "stop";
    const ABOUT: &'static str = "Stop an agent or a group, and wait until it has stopped";
    const EXAMPLES: &'static [&'static str] = &["stop core/system-digital-twin", "stop pc2-core"];

    async fn act(house: &House, name: &str) -> Result<(), HouseError> {
        house.stop(name).await
    }
}
