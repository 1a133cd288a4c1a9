//! `being forget`: has a being forget for good.

use genii_protocols::being::{
    Forget as ForgetThis, Forgettable, Forgotten, ListReminders, MemoryKind, RecallMemories,
    Recollection, Reminder, Turn,
};
use genii_protocols::{Name, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::history::newest;
use super::recall::RECALLED_MAX;
use super::{Being, moment, reach, words};
use crate::chat;
use crate::commands::{Command, Out, Refusal, Side};
use crate::data::Data;
use crate::doubt::Doubt;
use crate::screen::Screen;

/// How many turns are looked at to show what would go, the newest.
const LOOKED_AT_MAX: usize = 1_000;

/// How many reminders are looked at; no being has more.
const REMINDERS_MAX: u32 = 1_000;

/// How many memories, turns and reminders are shown to a person of what would go, of each.
const SHOWN_MAX: usize = 10;

/// How many letters of each.
const SHOWN_LETTERS: usize = 100;

pub struct Forget;

#[derive(Debug, clap::Args, Serialize, Deserialize)]
pub struct Args {
    #[command(flatten)]
    #[serde(flatten)]
    being: Being,
    /// One memory, by its number, with the turn that it is of
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["from", "until", "matching"],
        required_unless_present_any = ["from", "until", "matching"])]
    memory: Option<u64>,
    /// All that was said or noted from then on: a time, a day, or how long ago; with --until
    #[arg(long, value_name = "TIME", value_parser = moment, requires = "until",
        conflicts_with = "matching")]
    from: Option<Timestamp>,
    /// And before then
    #[arg(long, value_name = "TIME", value_parser = moment, requires = "from")]
    until: Option<Timestamp>,
    /// All in which these words stand, in this order, whether large or small
    #[arg(long, value_name = "TEXT")]
    matching: Option<String>,
    /// Show what would go, and forget nothing
    #[arg(long, conflicts_with = "memory")]
    dry_run: bool,
    /// Forget without asking
    #[arg(long, short)]
    yes: bool,
}

/// What comes of it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    /// What would go, as far as it was looked for.
    AtStake {
        /// Memories that would go.
        memories: Vec<Recollection>,
        /// Turns that would go, the newest first.
        turns: Vec<Turn>,
        /// Reminders that would go.
        reminders: Vec<Reminder>,
        /// More may go: not everything was looked at.
        may_be_more: bool,
    },
    /// What was forgotten.
    Forgotten(Forgotten),
}

impl Args {
    fn what(&self) -> Result<Forgettable, Refusal> {
        match (self.memory, self.from.zip(self.until), &self.matching) {
            (Some(id), ..) => Ok(Forgettable::Memory { id }),
            (_, Some((from, until)), _) if from >= until => {
                Err(Refusal::new(format!("no time lies between {from} and {until}"))
                    .help("--from is the earlier of the two"))
            }
            (_, Some((from, until)), _) => Ok(Forgettable::Span { from, until }),
            (.., Some(text)) if text.trim().is_empty() => {
                Err(Refusal::new("--matching takes words")
                    .help("`being delete` deletes all that a being is"))
            }
            (.., Some(text)) => Ok(Forgettable::Matching { text: text.clone() }),
            (None, None, None) => Err(Refusal::new("it is not said what is to be forgotten")
                .help("--memory, --from and --until, or --matching say it")),
        }
    }
}

impl Command for Forget {
    const NAME: &'static str = "being forget";
    const ABOUT: &'static str = "Have a being forget for good: nothing of it is left in its folder";
    const EXAMPLES: &'static [&'static str] = &[
        "being forget marit --memory 12",
        "being forget marit --matching 'my salary'",
        "being forget marit --from 2026-05-03 --until 2026-05-04 --dry-run",
        "being forget marit --from 1hour --until 0s --yes",
    ];
    type Args = Args;
    type Said = Said;

    fn doubt(args: &Args) -> Option<Doubt> {
        if args.yes || args.dry_run {
            return None;
        }
        let id = &args.being.id;
        let question = match args.memory {
            Some(memory) => {
                format!("Have {id} forget memory {memory} for good, with the turn that it is of?")
            }
            None => format!("Have {id} forget this for good?"),
        };
        let looking = json!({
            "id": id, "memory": null, "from": args.from, "until": args.until,
            "matching": args.matching, "dry_run": true, "yes": false,
        });
        let at_stake = args.memory.is_none().then_some((Self::NAME, looking));
        Some(Doubt { question, at_stake })
    }

    fn done(args: &Args, data: &Data) {
        // What was typed to it may hold the same words.
        if !args.dry_run {
            chat::forget_typed(data, &args.being.id);
        }
    }

    async fn serve(args: Args, side: Side, out: Out<Said>) -> Result<(), Refusal> {
        let what = args.what()?;
        let id = &args.being.id;
        if args.dry_run {
            return out.say(at_stake(&side, id, &what).await?).await;
        }
        let forgotten =
            reach::ask_within(&side, id, ForgetThis { what }, reach::LONG_PATIENCE).await?;
        out.say(Said::Forgotten(forgotten)).await
    }

    fn show(said: Said, screen: &mut Screen) {
        match said {
            Said::Forgotten(Forgotten { memories: 0, turns: 0, reminders: 0 }) => {
                screen.line("nothing was forgotten: it remembers nothing of that");
            }
            Said::Forgotten(Forgotten { memories, turns, reminders }) => {
                let mut parts =
                    vec![many(memories, "memory", "memories"), many(turns, "turn", "turns")];
                if reminders > 0 {
                    parts.push(many(reminders, "reminder", "reminders"));
                }
                screen.line(format!("forgotten for good: {}", parts.join(", ")));
            }
            Said::AtStake { memories, turns, reminders, may_be_more } => {
                show_stake(&memories, &turns, &reminders, may_be_more, screen);
            }
        }
    }
}

/// Looks for what would go.
async fn at_stake(side: &Side, id: &Name, what: &Forgettable) -> Result<Said, Refusal> {
    let (question, from, until) = match what {
        Forgettable::Matching { text } => (text.clone(), None, None),
        Forgettable::Span { from, until } => (String::new(), Some(*from), Some(*until)),
        Forgettable::Memory { .. } => (String::new(), None, None),
    };
    let found = match question.is_empty() {
        // There are no words to find memories by; the turns of that time show what it is.
        true => Vec::new(),
        false => {
            let limit = Some(RECALLED_MAX);
            let recall = RecallMemories { question, limit, from, until, ..Default::default() };
            reach::ask(side, id, recall).await?.memories
        }
    };
    let is_full = found.len() >= RECALLED_MAX as usize;
    let goes = |found: &Recollection| {
        // A turn is shown as a turn.
        found.memory.kind != MemoryKind::Turn && is_of(what, &[&found.memory.text], found.memory.at)
    };
    let memories = found.into_iter().filter(goes).collect();
    let turn_goes = |turn: &Turn| {
        is_of(what, &[&turn.said, turn.answer.as_deref().unwrap_or_default()], turn.at)
    };
    let turns = newest(side, id, None, LOOKED_AT_MAX, turn_goes).await?;
    let limit = Some(REMINDERS_MAX);
    let mut reminders = reach::ask(side, id, ListReminders { limit }).await?.reminders;
    reminders.retain(|reminder| is_of(what, &[&reminder.text], reminder.made));
    let may_be_more = is_full || turns.older.is_some() || matches!(what, Forgettable::Span { .. });
    Ok(Said::AtStake { memories, turns: turns.turns, reminders, may_be_more })
}

/// Whether something with these texts, of this time, would go.
fn is_of(what: &Forgettable, texts: &[&str], at: Timestamp) -> bool {
    match what {
        Forgettable::Memory { .. } => false,
        Forgettable::Span { from, until } => *from <= at && at < *until,
        Forgettable::Matching { text } => {
            let words = |text: &str| {
                let words = text.split_whitespace().map(str::to_lowercase);
                words.collect::<Vec<_>>().join(" ")
            };
            let wanted = words(text);
            texts.iter().any(|text| words(text).contains(&wanted))
        }
    }
}

fn show_stake(
    memories: &[Recollection],
    turns: &[Turn],
    reminders: &[Reminder],
    may_be_more: bool,
    screen: &mut Screen,
) {
    let all = memories.len() + turns.len() + reminders.len();
    if all == 0 {
        screen.line(match may_be_more {
            true => "nothing was found that would go; it was not looked for everywhere",
            false => "nothing would go",
        });
        return;
    }
    let memory = |found: &Recollection| {
        let text = words::in_short(&found.memory.text, SHOWN_LETTERS);
        format!("  {}: {text}", words::about(&found.memory, screen))
    };
    let turn = |turn: &Turn| {
        let text = words::in_short(&turn.said, SHOWN_LETTERS);
        format!("  turn {} {}: {text}", turn.id, screen.faint(&turn.at.to_string()))
    };
    let lines = memories.iter().take(SHOWN_MAX).map(memory);
    let reminder = |reminder: &Reminder| {
        let text = words::in_short(&reminder.text, SHOWN_LETTERS);
        format!("  {}: {text}", words::reminder(reminder, screen))
    };
    let lines = lines.chain(turns.iter().take(SHOWN_MAX).map(turn));
    let lines = lines.chain(reminders.iter().take(SHOWN_MAX).map(reminder));
    let lines: Vec<String> = lines.collect();
    screen.line("this would go:");
    for line in &lines {
        screen.line(line);
    }
    if all > lines.len() {
        screen.line(format!("  and {} more", all - lines.len()));
    }
    if may_be_more {
        screen.line(screen.faint("  and perhaps what is older or was not found"));
    }
}

fn many(count: u64, one: &str, more: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { more })
}
