//! `being import`: takes a being in that was exported.

use std::path::PathBuf;

use genii_protocols::beings::{BeingEntry, ImportBeing};
use genii_protocols::{Name, NodeName};
use serde::{Deserialize, Serialize};

use super::export::absolute;
use super::{id, node, reach, words};
use crate::commands::{Command, Out, Refusal, Side};
use crate::fault::Fault;
use crate::screen::Screen;

pub struct Import;

#[derive(Debug, clap::Args, Serialize, Deserialize)]
pub struct Args {
    /// The file, on the machine of the registry
    #[arg(value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    file: PathBuf,
    /// Its id here [default: the one that it had]
    #[arg(long, value_name = "ID", value_parser = id)]
    id: Option<Name>,
    /// The machine on which it is to live [default: as set, or the one with the fewest beings]
    #[arg(long, value_name = "NODE", value_parser = node)]
    home: Option<NodeName>,
}

impl Command for Import {
    const NAME: &'static str = "being import";
    const ABOUT: &'static str = "Take a being in that was exported, with all that it remembers";
    const EXAMPLES: &'static [&'static str] =
        &["being import marit.being", "being import marit.being --id marit-of-before"];
    type Args = Args;
    type Said = BeingEntry;

    fn prepare(args: &mut Args) -> Result<(), Fault> {
        args.file = absolute(&args.file)?;
        Ok(())
    }

    async fn serve(args: Args, side: Side, out: Out<BeingEntry>) -> Result<(), Refusal> {
        let Args { file, id, home } = args;
        let import = ImportBeing { file: file.display().to_string(), id, node: home };
        out.say(reach::registry_ask_within(&side, import, reach::LONG_PATIENCE).await?).await
    }

    fn show(being: BeingEntry, screen: &mut Screen) {
        let name = words::harmless(&being.name);
        screen.line(format!(
            "{} lives: {name}, at {}",
            screen.bold(being.id.as_str()),
            being.address
        ));
    }
}
