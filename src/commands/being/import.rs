//! `being import`: takes a being in that was exported.

use std::path::PathBuf;

use genii_protocols::beings::{
    BeingEntry, ImportBeing, ImportedBeing, ImportedProvider, Isolation,
};
use genii_protocols::{Name, NodeName};
use serde::{Deserialize, Serialize};

use super::export::absolute;
use super::{id, isolation, node, reach, words};
use crate::commands::{Command, Out, Refusal, Side};
use crate::fault::Fault;
use crate::screen::Screen;

pub struct Import;

#[derive(Debug, clap::Args, Serialize, Deserialize)]
pub struct Args {
    /// The file, which is read on the machine of the registry
    #[arg(value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    file: PathBuf,
    /// Its id here [default: the one that it had]
    #[arg(long, value_name = "ID", value_parser = id)]
    id: Option<Name>,
    /// The machine on which it is to live [default: as set, or the one with the fewest beings]
    #[arg(long, value_name = "NODE", value_parser = node)]
    home: Option<NodeName>,
    /// Keep it apart from the others in this way, which is not in the file [default: as all are, by the
    /// settings of its home]
    #[arg(long, value_name = "HOW", value_parser = isolation())]
    isolation: Option<Isolation>,
    /// Let the provider in the file find its words here, too, with the key that it names: only if you trust
    /// who made the file [default: it answers offline]
    #[arg(long)]
    with_provider: bool,
}

/// The being that was taken in.
#[derive(Debug, Serialize, Deserialize)]
pub struct TakenIn {
    #[serde(flatten)]
    being: BeingEntry,
    /// The provider that is in the file.
    provider: Option<ImportedProvider>,
    /// What a person should know about it.
    notes: Vec<String>,
}

impl Command for Import {
    const NAME: &'static str = "being import";
    const ABOUT: &'static str = "Take a being in that was exported, with all that it remembers";
    const EXAMPLES: &'static [&'static str] = &[
        "being import marit.being",
        "being import marit.being --id marit-of-before",
        "being import marit.being --with-provider",
        "being import marit.being --isolation process",
    ];
    type Args = Args;
    type Said = TakenIn;

    fn prepare(args: &mut Args) -> Result<(), Fault> {
        args.file = absolute(&args.file)?;
        Ok(())
    }

    async fn serve(args: Args, side: Side, out: Out<TakenIn>) -> Result<(), Refusal> {
        let Args { file, id, home, isolation, with_provider } = args;
        let file = file.display().to_string();
        let import = ImportBeing { file, id, node: home, isolation, with_provider };
        let imported = reach::registry_ask_within(&side, import, reach::REGISTRY_PATIENCE).await;
        let ImportedBeing { being, provider, notes } =
            imported.map_err(|no| with_what_is_taken_in(no, &side))?;
        out.say(TakenIn { being, provider, notes }).await
    }

    fn show(TakenIn { being, notes, .. }: TakenIn, screen: &mut Screen) {
        let name = words::harmless(&being.name);
        screen.line(format!(
            "{} lives: {name}, at {}",
            screen.bold(being.id.as_str()),
            being.address
        ));
        for note in notes {
            screen.line(format!("note: {}", screen.called(&words::harmless(&note))));
        }
        screen.hint(&format!("`being chat {}` talks with it", being.id));
    }
}

/// A refusal, with what is taken in, and where that is looked for if that is another machine than this.
fn with_what_is_taken_in(no: Refusal, side: &Side) -> Refusal {
    if !no.help.is_empty() {
        return no;
    }
    let node = reach::registry_node(side);
    match node == *side.house.node().name() {
        true => no.help("a file that `being export` has made is taken in"),
        false => no.help(format!(
            "a file that `being export` has made is taken in, from {node}, the machine of the registry"
        )),
    }
}
