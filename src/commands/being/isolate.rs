//! `being isolate`: how a being is kept apart from the others.

use genii_protocols::beings::{BeingEntry, IsolateBeing, Isolation};
use serde::{Deserialize, Serialize};

use super::{Being, isolation, reach};
use crate::commands::{Command, Out, Refusal, Side};
use crate::screen::Screen;

pub struct Isolate;

#[derive(Debug, clap::Args, Serialize, Deserialize)]
pub struct Args {
    #[command(flatten)]
    #[serde(flatten)]
    being: Being,
    /// `process`: in a process of its own, with limits; `actor`: beside the others
    #[arg(value_name = "HOW", value_parser = isolation())]
    how: Isolation,
}

impl Command for Isolate {
    const NAME: &'static str = "being isolate";
    const ABOUT: &'static str = "Keep a being apart from the others in another way";
    const EXAMPLES: &'static [&'static str] =
        &["being isolate marit process", "being isolate marit actor"];
    type Args = Args;
    type Said = BeingEntry;

    async fn serve(args: Args, side: Side, out: Out<BeingEntry>) -> Result<(), Refusal> {
        let Args { being: Being { id }, how } = args;
        let isolate = IsolateBeing { id, isolation: how };
        out.say(reach::registry_ask_within(&side, isolate, reach::REGISTRY_PATIENCE).await?).await
    }

    fn show(being: BeingEntry, screen: &mut Screen) {
        let id = screen.bold(being.id.as_str());
        screen.line(match being.isolation.unwrap_or_default() {
            Isolation::Process => format!("{id} has a process of its own when it wakes next"),
            Isolation::Actor => format!("{id} lives beside the others when it wakes next"),
        });
    }
}
