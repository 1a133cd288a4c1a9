//! `being migrate`: lets a being live on another machine.

use genii_protocols::NodeName;
use genii_protocols::beings::{BeingEntry, MigrateBeing};
use serde::{Deserialize, Serialize};

use super::{Being, WAITS_FOR_ANSWER, node, reach};
use crate::commands::{Command, Out, Refusal, Side};
use crate::screen::Screen;

pub struct Migrate;

#[derive(Debug, clap::Args, Serialize, Deserialize)]
pub struct Args {
    #[command(flatten)]
    #[serde(flatten)]
    being: Being,
    /// The machine on which it is to live; `genii ctl nodes` shows them
    #[arg(value_name = "NODE", value_parser = node)]
    home: NodeName,
}

impl Command for Migrate {
    const NAME: &'static str = "being migrate";
    const ABOUT: &'static str =
        "Let a being live on another machine; what is said to it meanwhile is answered there";
    const EXAMPLES: &'static [&'static str] = &["being migrate marit pc2"];
    const WAITS_FOR: &'static str = WAITS_FOR_ANSWER;
    type Args = Args;
    type Said = BeingEntry;

    async fn serve(args: Args, side: Side, out: Out<BeingEntry>) -> Result<(), Refusal> {
        let migrate = MigrateBeing { id: args.being.id, node: args.home };
        out.say(reach::registry_ask_within(&side, migrate, reach::REGISTRY_PATIENCE).await?).await
    }

    fn show(being: BeingEntry, screen: &mut Screen) {
        screen.line(format!("{} lives on {}", screen.bold(being.id.as_str()), being.node));
    }
}
