//! `being remind`: has a being come back to something at a time, or no longer.

use genii_protocols::Timestamp;
use genii_protocols::being::{self, CancelReminder, Reminder};
use serde::{Deserialize, Serialize};

use super::{Being, later, reach, words};
use crate::commands::{Command, Out, Refusal, Side};
use crate::screen::Screen;

pub struct Remind;

#[derive(Debug, clap::Args, Serialize, Deserialize)]
pub struct Args {
    #[command(flatten)]
    #[serde(flatten)]
    being: Being,
    /// When: in how long, as 10m, a time, or a day
    #[arg(value_name = "WHEN", value_parser = later, requires = "text",
        required_unless_present = "cancel")]
    when: Option<Timestamp>,
    /// What is said to it then
    #[arg(value_name = "TEXT")]
    text: Option<String>,
    /// Take a reminder back, by its number
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["when", "text"])]
    cancel: Option<u64>,
}

/// What became of a reminder.
#[derive(Debug, Serialize, Deserialize)]
pub struct Said {
    #[serde(flatten)]
    reminder: Reminder,
    is_cancelled: bool,
}

impl Command for Remind {
    const NAME: &'static str = "being remind";
    const ABOUT: &'static str = "Remind a being of something at a time; it wakes for it";
    const EXAMPLES: &'static [&'static str] = &[
        "being remind marit 10m 'The tea is ready.'",
        "being remind marit 2026-12-24T18:00:00Z 'Wish Ann a merry Christmas.'",
        "being remind marit --cancel 3",
    ];
    type Args = Args;
    type Said = Said;

    async fn serve(args: Args, side: Side, out: Out<Said>) -> Result<(), Refusal> {
        let Args { being: Being { id }, when, text, cancel } = args;
        let is_cancelled = cancel.is_some();
        let reminder = match (cancel, when.zip(text)) {
            (Some(number), _) => reach::ask(&side, &id, CancelReminder { id: number }).await,
            (None, Some((at, text))) => reach::ask(&side, &id, being::Remind { at, text }).await,
            (None, None) => {
                return Err(Refusal::new("it is not said when, and of what")
                    .help("`being remind BEING WHEN TEXT`, or --cancel NUMBER"));
            }
        };
        let reminder = reminder.map_err(|no| match is_cancelled && no.help.is_empty() {
            true => no.help(format!("`being reminders {id}` shows those that it has")),
            false => no,
        })?;
        out.say(Said { reminder, is_cancelled }).await
    }

    fn show(Said { reminder, is_cancelled }: Said, screen: &mut Screen) {
        let what = if is_cancelled { "taken back" } else { "it will be reminded" };
        screen.line(format!("{what}: {}", words::reminder(&reminder, screen)));
        words::set_in(&reminder.text, screen);
    }
}
