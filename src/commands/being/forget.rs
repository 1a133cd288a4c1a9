//! `being forget`: has a being forget for good.

use genii_protocols::Timestamp;
use genii_protocols::being::{
    AtStake, Forget as ForgetThis, Forgettable, Forgotten, Memory, MemoryKind, WouldForget,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Being, EARLIER, moment, no_time, reach, words};
use crate::chat;
use crate::commands::{Command, Out, Refusal, Side};
use crate::data::Data;
use crate::doubt::Doubt;
use crate::fault::Fault;
use crate::screen::{Screen, many};

/// How many of each are told of.
const STAKE_MAX: u32 = 200;

/// How many memories, turns and reminders are shown to a person of what would go, of each.
const SHOWN_MAX: usize = 10;

/// How many letters of each.
const SHOWN_LETTERS: usize = 100;

/// What says what is to be forgotten.
const WHAT: &str = "--memory, --turn, --from and --until, or --matching say it";

/// What is wrong with a text in which there is none.
const NO_WORDS: &str = "--matching takes words";

pub struct Forget;

#[derive(Debug, clap::Args, Serialize, Deserialize)]
pub struct Args {
    #[command(flatten)]
    #[serde(flatten)]
    being: Being,
    /// One memory, by its number (`being recall` shows it), with the turn that it is of
    #[arg(long, value_name = "NUMBER", value_parser = number,
        conflicts_with_all = ["turn", "from", "until", "matching"])]
    memory: Option<u64>,
    /// One turn, by its number (`being history` shows it), with what is remembered of it
    #[arg(long, value_name = "NUMBER", value_parser = number,
        conflicts_with_all = ["from", "until", "matching"])]
    #[serde(default)]
    turn: Option<u64>,
    /// All that was said or noted from then on: a time, a day, or how long ago; with --until
    #[arg(long, value_name = "TIME", value_parser = moment, requires = "until",
        conflicts_with = "matching")]
    from: Option<Timestamp>,
    /// And before then
    #[arg(long, value_name = "TIME", value_parser = moment, requires = "from")]
    until: Option<Timestamp>,
    /// All in which these whole words stand, in this order, whether large or small; also all that somebody of this
    /// name said
    #[arg(long, value_name = "TEXT")]
    matching: Option<String>,
    /// Show what would go, and forget nothing
    #[arg(long)]
    dry_run: bool,
    /// Forget without asking
    #[arg(long, short)]
    yes: bool,
}

/// What comes of it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    /// What would go.
    AtStake(AtStake),
    /// What was forgotten.
    Forgotten(Forgotten),
}

impl Args {
    fn deletes_all(&self) -> String {
        format!("`being delete {}` deletes all that it is", self.being.id)
    }

    fn what(&self) -> Result<Forgettable, Refusal> {
        if let Some(id) = self.turn {
            return Ok(Forgettable::Turn { id });
        }
        match (self.memory, self.from.zip(self.until), &self.matching) {
            (Some(id), ..) => Ok(Forgettable::Memory { id }),
            (_, Some((from, until)), _) if from >= until => {
                Err(Refusal::new(no_time(from, until)).help(EARLIER))
            }
            (_, Some((from, until)), _) => Ok(Forgettable::Span { from, until }),
            (.., Some(text)) if text.trim().is_empty() => {
                Err(Refusal::new(NO_WORDS).help(self.deletes_all()))
            }
            (.., Some(text)) => Ok(Forgettable::Matching { text: text.clone() }),
            (None, None, None) => {
                Err(Refusal::new("it is not said what is to be forgotten").help(WHAT))
            }
        }
    }
}

impl Command for Forget {
    const NAME: &'static str = "being forget";
    const ABOUT: &'static str =
        "Have a being forget for good; its character and core memory stay as you wrote them";
    const EXAMPLES: &'static [&'static str] = &[
        "being forget marit --memory 12",
        "being forget marit --turn 40",
        "being forget marit --matching 'my salary'",
        "being forget marit --from 2026-05-03 --until 2026-05-04 --dry-run",
        "being forget marit --from 1hour --until 0s --yes",
    ];
    type Args = Args;
    type Said = Said;

    fn prepare(args: &mut Args) -> Result<(), Fault> {
        match (args.memory, args.turn, args.from.zip(args.until), &args.matching) {
            (None, None, None, None) => {
                Err(Fault::usage("it is not said what is to be forgotten").help(WHAT))
            }
            (_, _, Some((from, until)), _) if from >= until => {
                Err(Fault::usage(no_time(from, until)).help(EARLIER))
            }
            (.., Some(text)) if text.trim().is_empty() => {
                Err(Fault::usage(NO_WORDS).help(args.deletes_all()))
            }
            _ => Ok(()),
        }
    }

    fn doubt(args: &Args) -> Option<Doubt> {
        if args.yes || args.dry_run {
            return None;
        }
        let id = &args.being.id;
        let this = args.what().map_or_else(|_| "this".to_owned(), |what| in_words(&what));
        let question = format!("Have {id} forget {this} for good?");
        let looking = json!({
            "id": id, "memory": args.memory, "turn": args.turn, "from": args.from,
            "until": args.until, "matching": args.matching, "dry_run": true, "yes": false,
        });
        let is_nothing = |said: &Value| {
            let said = serde_json::from_value(said.clone());
            matches!(said, Ok(Said::AtStake(stake)) if stake.all == Forgotten::default())
        };
        let if_nothing =
            format!("Clear what earlier forgetting may have left, and all that was typed to {id}?");
        Some(Doubt { question, at_stake: Some((Self::NAME, looking)), is_nothing, if_nothing })
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
            let asked = WouldForget { what, limit: Some(STAKE_MAX) };
            let stake = reach::ask_within(&side, id, asked, reach::LONG_PATIENCE).await?;
            return out.say(Said::AtStake(stake)).await;
        }
        let forgotten =
            reach::ask_within(&side, id, ForgetThis { what }, reach::LONG_PATIENCE).await?;
        out.say(Said::Forgotten(forgotten)).await
    }

    fn show(said: Said, screen: &mut Screen) {
        match said {
            Said::Forgotten(all) if all == Forgotten::default() => {
                screen.line("it remembers nothing of that, nor is a trace of it left");
            }
            Said::Forgotten(all) => {
                screen.line(format!("forgotten for good: {}", counted(&all)));
            }
            Said::AtStake(stake) => show_stake(&stake, screen),
        }
    }
}

/// Reads the number of a memory or a turn.
fn number(text: &str) -> Result<u64, String> {
    let no_number = "it must be the number of one, as `being recall` or `being history` shows it";
    text.parse().map_err(|_| no_number.to_owned())
}

/// What is to be forgotten, as it is asked about.
fn in_words(what: &Forgettable) -> String {
    match what {
        Forgettable::Memory { id } => format!("memory {id}"),
        Forgettable::Turn { id } => format!("turn {id}"),
        Forgettable::Span { from, until } => format!("all that was told from {from} until {until}"),
        Forgettable::Matching { text } => {
            format!("all that matches '{}'", words::in_short(text, SHOWN_LETTERS))
        }
    }
}

fn show_stake(stake: &AtStake, screen: &mut Screen) {
    let AtStake { all, memories, turns, answering, reminders } = stake;
    if *all == Forgotten::default() {
        screen.line("nothing would go");
        return;
    }
    screen.line(format!("this would go: {}", counted(all)));
    // A turn is shown as a turn.
    let is_of_turn = |memory: &&Memory| memory.kind == MemoryKind::Turn;
    let memories_shown = memories.iter().filter(is_of_turn).count() + SHOWN_MAX;
    for memory in memories.iter().filter(|memory| !is_of_turn(memory)).take(SHOWN_MAX) {
        let text = words::in_short(&memory.text, SHOWN_LETTERS);
        screen.line(format!("  {}: {text}", words::about(memory, screen)));
    }
    for (kept, turns) in [("", turns), ("only the answer of ", answering)] {
        for turn in turns.iter().take(SHOWN_MAX) {
            let text = words::in_short(&turn.said, SHOWN_LETTERS);
            let when = screen.faint(&turn.at.to_string());
            screen.line(format!("  {kept}turn {} {when}: {text}", turn.id));
        }
    }
    for reminder in reminders.iter().take(SHOWN_MAX) {
        let text = words::in_short(&reminder.text, SHOWN_LETTERS);
        screen.line(format!("  {}: {text}", words::reminder(reminder, screen)));
    }
    let most = all.turns.max(all.answers).max(all.reminders);
    if most > SHOWN_MAX as u64 || all.memories > memories_shown as u64 {
        screen.line(screen.faint("  the newest of each are shown"));
    }
}

/// How much it is, in words.
fn counted(all: &Forgotten) -> String {
    let each = [
        (all.memories, "memory", "memories"),
        (all.turns, "turn", "turns"),
        (all.answers, "answer that quotes it", "answers that quote it"),
        (all.reminders, "reminder", "reminders"),
    ];
    let parts = each.into_iter().filter(|(count, ..)| *count > 0);
    let parts: Vec<String> = parts.map(|(count, one, more)| many(count, one, more)).collect();
    parts.join(", ")
}
