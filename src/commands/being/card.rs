//! `being card`: writes the character of a being as a Character Card.

use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use genii_actors::being::character::Character;
use genii_actors::being::character::limits::CARD_BYTES_MAX;
use genii_protocols::Json;
use genii_protocols::being::ShowBeing;
use serde::{Deserialize, Serialize};

use super::export::absolute;
use super::{Being, WAITS_FOR_BEING, reach, words};
use crate::commands::{Command, Out, Refusal, Side};
use crate::fault::Fault;
use crate::screen::Screen;

pub struct Card;

#[derive(Debug, clap::Args, Serialize, Deserialize)]
pub struct Args {
    #[command(flatten)]
    #[serde(flatten)]
    being: Being,
    /// The file, where genii runs; one that is there is not overwritten
    #[arg(value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    file: PathBuf,
    /// Write it into a copy of this picture, a PNG: the one that the being came in, or another
    #[arg(long, value_name = "PNG", value_hint = clap::ValueHint::FilePath)]
    image: Option<PathBuf>,
}

/// The file that was written.
#[derive(Debug, Serialize, Deserialize)]
pub struct Written {
    file: String,
    bytes: u64,
}

impl Command for Card {
    const NAME: &'static str = "being card";
    const ABOUT: &'static str =
        "Write the character of a being as a Character Card, for other programs";
    const EXAMPLES: &'static [&'static str] =
        &["being card marit marit.json", "being card vesper new.png --image vesper.png"];
    const WAITS_FOR: &'static str = WAITS_FOR_BEING;
    type Args = Args;
    type Said = Written;

    fn prepare(args: &mut Args) -> Result<(), Fault> {
        let is_png =
            |file: &Path| file.extension().is_some_and(|end| end.eq_ignore_ascii_case("png"));
        if is_png(&args.file) && args.image.is_none() {
            return Err(Fault::usage("a card in a picture needs one: `--image FILE.png`"));
        }
        args.file = absolute(&args.file)?;
        args.image = args.image.as_deref().map(absolute).transpose()?;
        Ok(())
    }

    async fn serve(args: Args, side: Side, out: Out<Written>) -> Result<(), Refusal> {
        let Args { being: Being { id }, file, image } = args;
        let character = reach::ask(&side, &id, ShowBeing {}).await?.character;
        let writing =
            tokio::task::spawn_blocking(move || write(&character, &file, image.as_deref()));
        let written = writing.await.unwrap_or_else(|error| Err(error.to_string()));
        out.say(written.map_err(Refusal::new)?).await
    }

    fn show(Written { file, bytes }: Written, screen: &mut Screen) {
        screen.line(format!("{file}: {}", words::bytes(bytes)));
    }
}

fn write(character: &Json, file: &Path, image: Option<&Path>) -> Result<Written, String> {
    let character = Character::try_from(character).map_err(|error| error.to_string())?;
    let card = match image {
        None => character.to_card().map(String::into_bytes),
        Some(image) => character.to_image(&read(image)?),
    };
    let card = card.map_err(|error| error.to_string())?;
    let written = || {
        let mut new = std::fs::File::create_new(file)?;
        new.write_all(&card)?;
        new.sync_all()
    };
    let shown = file.display();
    written().map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => format!("{shown} is there already; name another file"),
        _ => format!("{shown} cannot be written: {error}"),
    })?;
    Ok(Written { file: shown.to_string(), bytes: card.len() as u64 })
}

fn read(image: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(image);
    // One more than it may have, so that whoever looks into it sees that it is too large.
    let read = opened.and_then(|file| file.take(CARD_BYTES_MAX as u64 + 1).read_to_end(&mut bytes));
    read.map_err(|error| format!("{} cannot be read: {error}", image.display()))?;
    Ok(bytes)
}
