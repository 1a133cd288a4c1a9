//! `being create`: makes a being of a character.

use std::io::Read;
use std::path::{Path, PathBuf};

use genii_actors::being::character;
use genii_actors::being::character::limits::CARD_BYTES_MAX;
use genii_protocols::beings::{BeingEntry, CreateBeing, Isolation};
use genii_protocols::{Json, Name, NodeName};
use serde::{Deserialize, Serialize};

use super::provider::ProviderArgs;
use super::{id, isolation, node, reach, words};
use crate::commands::{Command, Out, Refusal, Side};
use crate::fault::Fault;
use crate::load;
use crate::screen::Screen;

pub struct Create;

#[derive(Debug, clap::Args, Serialize, Deserialize)]
pub struct Args {
    /// Its character: TOML, JSON, or a Character Card in JSON or PNG; `-` for standard input
    #[arg(value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    file: PathBuf,
    /// Its id, by which it is called from then on [default: made of its name]
    #[arg(long, value_name = "ID", value_parser = id)]
    id: Option<Name>,
    /// The machine on which it is to live [default: as set, or the one with the fewest beings]
    #[arg(long, value_name = "NODE", value_parser = node)]
    home: Option<NodeName>,
    /// Keep it apart from the others in this way [default: as all are, by the settings of its home]
    #[arg(long, value_name = "HOW", value_parser = isolation())]
    isolation: Option<Isolation>,
    #[command(flatten)]
    provider: ProviderArgs,
    /// The character in the file.
    #[arg(skip)]
    character: Json,
    /// What a person should know about it.
    #[arg(skip)]
    notes: Vec<String>,
}

/// The being that was made.
#[derive(Debug, Serialize, Deserialize)]
pub struct Made {
    #[serde(flatten)]
    being: BeingEntry,
    /// What a person should know about its character.
    notes: Vec<String>,
}

impl Command for Create {
    const NAME: &'static str = "being create";
    const ABOUT: &'static str = "Make a being of a character, and wait until it lives";
    const EXAMPLES: &'static [&'static str] = &[
        "being create examples/characters/marit.toml --id marit",
        "being create card.png --base-url http://localhost:11434/v1 --model llama3.2",
        "being create card.json --base-url https://api.openai.com/v1 --model gpt-5-mini --key-env OPENAI_API_KEY",
        "being create examples/characters/marit.toml --home pc2",
        "being create card.png --isolation process",
        "being create - < character.toml",
    ];
    type Args = Args;
    type Said = Made;

    fn prepare(args: &mut Args) -> Result<(), Fault> {
        args.provider.prepare()?;
        let shown = args.file.display();
        let read = character::Character::read(&bytes(&args.file)?);
        let import = read.map_err(|error| {
            Fault::new(format!("{shown} is no good character: {error}"))
                .help("docs/characters.md tells how one is written, and which cards are read")
        })?;
        args.character = import.character.to_json();
        args.notes = import.notes;
        Ok(())
    }

    async fn serve(args: Args, side: Side, out: Out<Made>) -> Result<(), Refusal> {
        let Args { id, home, isolation, character, notes, provider, .. } = args;
        let create =
            CreateBeing { id, character, provider: provider.settings, node: home, isolation };
        let being = reach::registry_ask_within(&side, create, reach::REGISTRY_PATIENCE).await?;
        out.say(Made { being, notes }).await
    }

    fn show(Made { being, notes }: Made, screen: &mut Screen) {
        let name = words::harmless(&being.name);
        screen.line(format!(
            "{} lives: {name}, at {}",
            screen.bold(being.id.as_str()),
            being.address
        ));
        for note in notes {
            screen.line(format!("note: {}", words::harmless(&note)));
        }
        screen.hint(&format!("`being chat {}` talks with it", being.id));
    }
}

/// What a file holds, or standard input.
fn bytes(file: &Path) -> Result<Vec<u8>, Fault> {
    let max = CARD_BYTES_MAX as u64;
    if file.as_os_str() != "-" {
        return load::bytes(file, max);
    }
    let mut bytes = Vec::new();
    // One more than it may have, so that whoever reads it sees that it is too large.
    let read = std::io::stdin().lock().take(max + 1).read_to_end(&mut bytes);
    read.map_err(|error| Fault::new(format!("standard input cannot be read: {error}")))?;
    Ok(bytes)
}
