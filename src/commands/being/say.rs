//! `being say`: has a being say something to another.

use genii_protocols::Name;
use genii_protocols::being::{self, Said};
use serde::{Deserialize, Serialize};

use super::{Being, id, reach, words};
use crate::commands::{Command, Out, Refusal, Side};
use crate::screen::Screen;

pub struct Say;

#[derive(Debug, clap::Args, Serialize, Deserialize)]
pub struct Args {
    #[command(flatten)]
    #[serde(flatten)]
    being: Being,
    /// To whom: another being, by its id
    #[arg(value_name = "OTHER-BEING", value_parser = id)]
    to: Name,
    /// What
    #[arg(value_name = "TEXT")]
    text: String,
}

impl Command for Say {
    const NAME: &'static str = "being say";
    const ABOUT: &'static str = "Have a being say something to another; both remember it";
    const EXAMPLES: &'static [&'static str] =
        &["being say marit tobin 'Is your clock still slow?'"];
    type Args = Args;
    type Said = Said;

    async fn serve(args: Args, side: Side, out: Out<Said>) -> Result<(), Refusal> {
        let Args { being: Being { id }, to, text } = args;
        let say = being::Say { to, text, path: Vec::new() };
        out.say(reach::ask_within(&side, &id, say, reach::LONG_PATIENCE).await?).await
    }

    fn show(Said { by, text }: Said, screen: &mut Screen) {
        screen.line(format!("{}: {}", screen.bold(by.name()), words::harmless(&text)));
    }
}
