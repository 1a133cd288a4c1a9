//! `being remember`: has a being remember something.

use genii_protocols::Timestamp;
use genii_protocols::being::{self, Memory};
use serde::{Deserialize, Serialize};

use super::{Being, WAITS_FOR_BEING, moment, reach, words};
use crate::commands::{Command, Out, Refusal, Side};
use crate::screen::Screen;

pub struct Remember;

#[derive(Debug, clap::Args, Serialize, Deserialize)]
pub struct Args {
    #[command(flatten)]
    #[serde(flatten)]
    being: Being,
    /// What it is to remember
    #[arg(value_name = "TEXT")]
    text: String,
    /// Who said it, if somebody did
    #[arg(long, value_name = "NAME")]
    speaker: Option<String>,
    /// When: a time, a day, or how long ago [default: now]
    #[arg(long, value_name = "TIME", value_parser = moment)]
    at: Option<Timestamp>,
}

impl Command for Remember {
    const NAME: &'static str = "being remember";
    const ABOUT: &'static str = "Have a being remember something";
    const EXAMPLES: &'static [&'static str] = &[
        "being remember marit 'Ann is allergic to nuts'",
        "being remember marit 'I passed the exam' --speaker Ann --at 2026-05-03",
    ];
    const WAITS_FOR: &'static str = WAITS_FOR_BEING;
    type Args = Args;
    type Said = Memory;

    async fn serve(args: Args, side: Side, out: Out<Memory>) -> Result<(), Refusal> {
        let Args { being: Being { id }, text, speaker, at } = args;
        out.say(reach::ask(&side, &id, being::Remember { text, speaker, at }).await?).await
    }

    fn show(memory: Memory, screen: &mut Screen) {
        screen.line(format!("remembered: {}", words::about(&memory, screen)));
    }
}
