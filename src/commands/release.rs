//! `release`: ends a quarantine.

use genii_runtime::{House, HouseError};

use super::target::OnTarget;

pub struct Release;

impl OnTarget for Release {
    const NAME: &'static str = "release";
    const ABOUT: &'static str =
        "Let an agent or a group out of quarantine, and wait until it is ready";
    const EXAMPLES: &'static [&'static str] = &["release gpu/nllb-adapter"];

    async fn act(house: &House, name: &str) -> Result<(), HouseError> {
        house.release(name).await
    }
}
