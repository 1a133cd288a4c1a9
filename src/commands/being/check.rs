//! `being check`: looks over what a being has on the disk, and mends it.

use genii_protocols::beings::{CheckBeing, Checked, Soundness};
use serde::{Deserialize, Serialize};

use super::{Being, reach, words};
use crate::commands::{Command, Out, Refusal, Side};
use crate::screen::{Screen, many};

pub struct Check;

#[derive(Debug, clap::Args, Serialize, Deserialize)]
pub struct Args {
    #[command(flatten)]
    #[serde(flatten)]
    being: Being,
    /// Mend what can be mended; what cannot needs a file of `being export`
    #[arg(long)]
    repair: bool,
}

impl Command for Check {
    const NAME: &'static str = "being check";
    const ABOUT: &'static str = "Look over what a being has on the disk, while it sleeps";
    const EXAMPLES: &'static [&'static str] = &["being check marit", "being check marit --repair"];
    type Args = Args;
    type Said = Checked;

    async fn serve(args: Args, side: Side, out: Out<Checked>) -> Result<(), Refusal> {
        let id = args.being.id;
        let check = CheckBeing { id: id.clone(), repair: args.repair };
        let checked: Checked =
            reach::registry_ask_within(&side, check, reach::REGISTRY_PATIENCE).await?;
        let finding = checked.finding;
        out.say(checked).await?;
        // For a script that looks at how it ended.
        match finding {
            Soundness::Whole => Ok(()),
            Soundness::Repairable => Err(Refusal::new(format!("{id} is not whole"))
                .help(format!("`being check {id} --repair` mends it"))),
            // Its id is taken as long as it is there.
            Soundness::Damaged => Err(Refusal::new(format!("{id} is damaged")).help(format!(
                "`being delete {id}`, then `being import FILE` takes in a file of `being export` \
                 from before"
            ))),
        }
    }

    fn show(checked: Checked, screen: &mut Screen) {
        let Checked { words: found, is_repaired, bytes, tables, .. } = checked;
        let mended = if is_repaired { "it was mended: " } else { "" };
        screen.line(format!("{mended}{found} ({})", words::bytes(bytes)));
        for table in tables {
            let (name, entries, bytes) = (table.name, table.entries, words::bytes(table.bytes));
            let entries = many(entries, "entry", "entries");
            screen.line(format!("  {name}: {entries}, {bytes}"));
        }
    }
}
