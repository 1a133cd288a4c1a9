//! `kill`: ends what runs without asking it; its supervisor decides what follows.

use genii_runtime::{House, HouseError};

use super::target::OnTarget;

pub struct Kill;

impl OnTarget for Kill {
    const NAME: &'static str = "kill";
    const ABOUT: &'static str = "Kill an agent or a group, to see it return as after a crash";
    const EXAMPLES: &'static [&'static str] = &["kill core/system-digital-twin"];

    async fn act(house: &House, name: &str) -> Result<(), HouseError> {
        house.kill(name, "it was killed by hand").await
    }
}
