//! `restart`: stops what runs, and starts it again.

use genii_runtime::{House, HouseError};

use super::target::OnTarget;

pub struct Restart;

impl OnTarget for Restart {
    const NAME: &'static str = "restart";
    const ABOUT: &'static str =
        "Stop an agent or a group and start it again, and wait until it is ready";
    const EXAMPLES: &'static [&'static str] =
        &["restart core/system-digital-twin", "restart pc2-core"];

    async fn act(house: &House, name: &str) -> Result<(), HouseError> {
        house.restart(name).await
    }
}
