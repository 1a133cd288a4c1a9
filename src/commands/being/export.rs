//! `being export`: writes a being into one file.

use std::path::PathBuf;

use genii_protocols::NodeName;
use genii_protocols::being::Exported;
use genii_protocols::beings::ExportBeing;
use serde::{Deserialize, Serialize};

use super::{Being, WAITS_FOR_BEING, reach, words};
use crate::commands::{Command, Out, Refusal, Side};
use crate::fault::Fault;
use crate::screen::Screen;

pub struct Export;

#[derive(Debug, clap::Args, Serialize, Deserialize)]
pub struct Args {
    #[command(flatten)]
    #[serde(flatten)]
    being: Being,
    /// The file, which is written on the machine of the registry; one that is there is not overwritten
    #[arg(value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    file: PathBuf,
}

/// What was written, and where it is.
#[derive(Debug, Serialize, Deserialize)]
pub struct Written {
    #[serde(flatten)]
    exported: Exported,
    /// The machine on which the file is, that of the registry.
    node: NodeName,
}

impl Command for Export {
    const NAME: &'static str = "being export";
    const ABOUT: &'static str = "Write a being into one file, with all that it remembers";
    const EXAMPLES: &'static [&'static str] = &["being export marit marit.being"];
    const WAITS_FOR: &'static str = WAITS_FOR_BEING;
    type Args = Args;
    type Said = Written;

    fn prepare(args: &mut Args) -> Result<(), Fault> {
        args.file = absolute(&args.file)?;
        Ok(())
    }

    async fn serve(args: Args, side: Side, out: Out<Written>) -> Result<(), Refusal> {
        let file = args.file.display().to_string();
        let export = ExportBeing { id: args.being.id, file };
        let exported = reach::registry_ask_within(&side, export, reach::REGISTRY_PATIENCE).await?;
        out.say(Written { exported, node: reach::registry_node(&side) }).await
    }

    fn show(Written { exported, node }: Written, screen: &mut Screen) {
        let Exported { file, bytes, sha256 } = exported;
        screen.line(format!("{file} on {node}: {}, SHA-256 {sha256}", words::bytes(bytes)));
    }
}

/// The path of a file as the running genii needs it, which has another working directory.
///
/// # Errors
/// When it is no text, or there is no working directory.
pub fn absolute(file: &std::path::Path) -> Result<PathBuf, Fault> {
    if file.to_str().is_none() {
        return Err(Fault::usage(format!("{}: its name is not in UTF-8", file.display())));
    }
    std::path::absolute(file).map_err(|error| Fault::usage(format!("{}: {error}", file.display())))
}
