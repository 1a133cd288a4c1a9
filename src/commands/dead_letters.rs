//! `dead-letters`: messages that reached nobody.

use genii_protocols::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Command, Out, Refusal, Side};
use crate::screen::Screen;

pub struct DeadLetters;

#[derive(Debug, clap::Args, Serialize, Deserialize)]
pub struct Args {
    /// How many of the last ones to show
    #[arg(long, short = 'n', value_name = "LETTERS", default_value_t = 50)]
    limit: usize,
}

/// The last dead letters.
#[derive(Debug, Serialize, Deserialize)]
pub struct Letters {
    /// How many there have been.
    total: u64,
    letters: Vec<Letter>,
}

/// One of them.
#[derive(Debug, Serialize, Deserialize)]
pub struct Letter {
    at: Timestamp,
    to: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    message: String,
    why: String,
}

impl Command for DeadLetters {
    const NAME: &'static str = "dead-letters";
    const ABOUT: &'static str = "Show the last messages that reached nobody, and why";
    const EXAMPLES: &'static [&'static str] = &["dead-letters", "dead-letters -n 5"];
    type Args = Args;
    type Said = Letters;

    async fn serve(args: Args, side: Side, out: Out<Letters>) -> Result<(), Refusal> {
        let dead = side.house.node().dead_letters();
        let letters = dead.tail(args.limit).into_iter().map(|letter| Letter {
            at: letter.at,
            to: letter.to.to_string(),
            from: letter.from.as_ref().map(|from| from.address.to_string()),
            message: letter.message.to_string(),
            why: letter.fault.to_string(),
        });
        out.say(Letters { total: dead.total(), letters: letters.collect() }).await
    }

    fn show(said: Letters, screen: &mut Screen) {
        for letter in &said.letters {
            let head = screen.faint(&letter.at.to_string());
            let from = letter.from.as_ref().map(|from| format!(" from {from}")).unwrap_or_default();
            let Letter { to, message, why, .. } = letter;
            screen.line(format!("{head} {} to {to}{from}: {why}", screen.bold(message)));
        }
        match said.total {
            0 => screen.line("no message has been lost"),
            total => screen.line(format!("{total} in all")),
        }
    }
}
