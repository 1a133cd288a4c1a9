//! `tell`: says something to an agent, and waits for no answer.

use super::ask::{Letter, fault_refusal};
use super::{Command, Nothing, Out, Refusal, Side};
use crate::screen::Screen;

pub struct Tell;

impl Command for Tell {
    const NAME: &'static str = "tell";
    const ABOUT: &'static str = "Say something to an agent, and wait for no answer";
    const EXAMPLES: &'static [&'static str] = &["tell pc2-core/health-monitor health.check"];
    type Args = Letter;
    type Said = Nothing;

    async fn serve(args: Letter, side: Side, out: Out<Nothing>) -> Result<(), Refusal> {
        let Letter { to, message, content } = args;
        let told = side.house.node().to(to.clone()).tell_json(&message, &content).await;
        told.map_err(|fault| fault_refusal(&side.house, &to, &fault))?;
        out.say(Nothing {}).await
    }

    fn show(_: Nothing, screen: &mut Screen) {
        screen.line("told");
    }
}
