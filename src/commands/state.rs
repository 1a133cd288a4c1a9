//! `state`: what an agent holds, by its own account.

use genii_protocols::Json;

use super::pinned::Pin;
use super::target::Agent;
use super::whom::nobody;
use super::{Command, Out, Refusal, Side};
use crate::screen::Screen;

pub struct State;

impl Command for State {
    const NAME: &'static str = "state";
    const ABOUT: &'static str = "Show the state of an agent, by its own account";
    const EXAMPLES: &'static [&'static str] = &["state pc2-core/health-monitor"];
    const SHOWS_JSON: bool = true;
    type Args = Agent;
    type Said = Json;

    fn about(args: &Agent) -> Option<&str> {
        Some(args.address.name.as_str())
    }

    fn unpin(args: &mut Agent) -> Option<Pin> {
        args.address.unpin()
    }

    async fn serve(args: Agent, side: Side, out: Out<Json>) -> Result<(), Refusal> {
        let patience = side.house.node().limits().ask_timeout;
        let address = &args.address.name;
        match side.house.snapshot(address, patience).await {
            Ok(state) => out.say(state).await,
            Err(error) => Err(nobody(&side, address.as_str(), error).await),
        }
    }

    fn show(said: Json, screen: &mut Screen) {
        screen.json(&said.0);
    }
}
