//! `being history`: what was said to a being, and what it answered.

use genii_protocols::Name;
use genii_protocols::being::{self, ShowHistory, Turn};
use serde::{Deserialize, Serialize};

use super::{Being, WAITS_FOR_BEING, reach, words};
use crate::commands::{Command, Out, Refusal, Side};
use crate::screen::Screen;

/// How many turns a being is asked for at a time.
const PAGE: u32 = 200;

/// How many turns are shown at most.
const SHOWN_MAX: i64 = 10_000;

pub struct History;

#[derive(Debug, clap::Args, Serialize, Deserialize)]
pub struct Args {
    #[command(flatten)]
    #[serde(flatten)]
    being: Being,
    /// How many turns, the newest
    #[arg(long, short = 'n', value_name = "COUNT", default_value_t = 20,
        value_parser = clap::value_parser!(u32).range(1..=SHOWN_MAX))]
    limit: u32,
    /// Only turns before this one, by its number; the first has the number 1
    #[arg(long, value_name = "TURN")]
    before: Option<u64>,
}

/// A part of a conversation.
#[derive(Debug, Serialize, Deserialize)]
pub struct Talk {
    /// With whom.
    being: Name,
    /// The turns, the newest first.
    turns: Vec<Turn>,
    /// There are older ones: those before this one.
    older: Option<u64>,
}

impl Command for History {
    const NAME: &'static str = "being history";
    const ABOUT: &'static str = "Show what was said to a being, and what it answered";
    const EXAMPLES: &'static [&'static str] =
        &["being history marit", "being history marit -n 100", "being history marit --before 40"];
    const WAITS_FOR: &'static str = WAITS_FOR_BEING;
    type Args = Args;
    type Said = Talk;

    async fn serve(args: Args, side: Side, out: Out<Talk>) -> Result<(), Refusal> {
        let Args { being: Being { id }, limit, before } = args;
        let being::History { turns, older } = newest(&side, &id, before, limit as usize).await?;
        out.say(Talk { being: id, turns, older }).await
    }

    fn show(Talk { being, turns, older }: Talk, screen: &mut Screen) {
        if let Some(older) = older {
            let how = format!("(there are older turns: `being history {being} --before {older}`)");
            screen.hint(&how);
        }
        if turns.is_empty() {
            screen.line("nothing was said yet");
        }
        for turn in turns.iter().rev() {
            words::turn(turn, being.as_str(), screen);
        }
    }

    fn show_called(args: &Args, talk: Talk, screen: &mut Screen) {
        match args.before.filter(|_| talk.turns.is_empty()) {
            Some(before) => {
                let newest = format!("`being history {}` shows the newest", talk.being);
                let newest = screen.called(&newest);
                screen.line(format!("it has no turn before {before}; {newest}"));
            }
            None => Self::show(talk, screen),
        }
    }
}

/// The newest turns before one, the newest first, so many at most.
async fn newest(
    side: &Side,
    id: &Name,
    mut before: Option<u64>,
    most: usize,
) -> Result<being::History, Refusal> {
    let (mut turns, mut left) = (Vec::new(), most);
    loop {
        let limit = u32::try_from(left).unwrap_or(PAGE).min(PAGE);
        let page = reach::ask(side, id, ShowHistory { before, limit: Some(limit) }).await?;
        left = left.saturating_sub(page.turns.len());
        // Without turns it would go on for ever.
        let older = page.older.filter(|_| !page.turns.is_empty());
        turns.extend(page.turns);
        match older {
            Some(_) if left > 0 => before = older,
            older => return Ok(being::History { turns, older }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_no_turn_is_found_it_is_told_before_which() {
        let shown = |before| {
            let id = Name::new("marit").unwrap();
            let talk = Talk { being: id.clone(), turns: Vec::new(), older: None };
            let mut screen = Screen::stdout();
            let args = Args { being: Being { id }, limit: 20, before };
            History::show_called(&args, talk, &mut screen);
            screen.into_text()
        };
        let none = "it has no turn before 1; `being history marit` shows the newest\n";
        assert_eq!(shown(Some(1)), none);
        assert_eq!(shown(None), "nothing was said yet\n");
    }
}
