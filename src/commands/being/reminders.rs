//! `being reminders`: what a being is to be reminded of.

use genii_protocols::being::{self, ListReminders};
use serde::{Deserialize, Serialize};

use super::{Being, WAITS_FOR_BEING, reach, words};
use crate::commands::{Command, Out, Refusal, Side};
use crate::screen::Screen;

/// How many reminders are shown at most; no being has more.
const SHOWN_MAX: u32 = 1_000;

pub struct Reminders;

#[derive(Debug, clap::Args, Serialize, Deserialize)]
pub struct Args {
    #[command(flatten)]
    #[serde(flatten)]
    being: Being,
    /// How many, the next
    #[arg(long, short = 'n', value_name = "COUNT", default_value_t = SHOWN_MAX,
        value_parser = clap::value_parser!(u32).range(1..=i64::from(SHOWN_MAX)))]
    limit: u32,
}

impl Command for Reminders {
    const NAME: &'static str = "being reminders";
    const ABOUT: &'static str = "Show what a being is to be reminded of, the next first";
    const EXAMPLES: &'static [&'static str] =
        &["being reminders marit", "being reminders marit -n 1 --json"];
    const WAITS_FOR: &'static str = WAITS_FOR_BEING;
    type Args = Args;
    type Said = being::Reminders;

    async fn serve(args: Args, side: Side, out: Out<being::Reminders>) -> Result<(), Refusal> {
        let limit = Some(args.limit);
        out.say(reach::ask(&side, &args.being.id, ListReminders { limit }).await?).await
    }

    fn show(being::Reminders { reminders, total }: being::Reminders, screen: &mut Screen) {
        if reminders.is_empty() {
            screen.line("it is to be reminded of nothing");
        }
        for reminder in &reminders {
            screen.line(words::reminder(reminder, screen));
            words::set_in(&reminder.text, screen);
        }
        let left = total.saturating_sub(reminders.len() as u64);
        if left > 0 {
            screen.line(screen.faint(&format!("(and {left} more)")));
        }
    }
}
