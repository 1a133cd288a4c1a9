//! `being recall`: what a being remembers of something, and why that was found.

use clap::ValueEnum;
use genii_protocols::Timestamp;
use genii_protocols::being::{MemoryKind, RecallMemories, Recollections};
use serde::{Deserialize, Serialize};

use super::{Being, EARLIER, WAITS_FOR_BEING, moment, no_time, reach, words};
use crate::commands::{Command, Fault, Out, Refusal, Side};
use crate::screen::Screen;

pub struct Recall;

/// How many memories one question may bring.
pub const RECALLED_MAX: u32 = 100;

#[derive(Debug, clap::Args, Serialize, Deserialize)]
pub struct Args {
    #[command(flatten)]
    #[serde(flatten)]
    being: Being,
    /// Of what: a question, or words
    #[arg(value_name = "QUERY")]
    query: String,
    /// How many at most
    #[arg(long, short = 'n', value_name = "COUNT", default_value_t = 10,
        value_parser = clap::value_parser!(u32).range(1..=i64::from(RECALLED_MAX)))]
    limit: u32,
    /// Only from then on: a time, a day, or how long ago
    #[arg(long, value_name = "TIME", value_parser = moment)]
    from: Option<Timestamp>,
    /// Only before then
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Timestamp>,
    /// Only what they said, by the name that they gave, in its letters; who gave none has no name
    #[arg(long, value_name = "NAME")]
    speaker: Option<String>,
    /// Only of these kinds
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    kind: Vec<Kind>,
}

/// What sort a memory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    /// Said in a conversation
    Turn,
    /// Told to be remembered
    Note,
    /// A fact that was told
    Fact,
    /// What much came down to
    Summary,
}

impl From<Kind> for MemoryKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Turn => Self::Turn,
            Kind::Note => Self::Note,
            Kind::Fact => Self::Fact,
            Kind::Summary => Self::Summary,
        }
    }
}

impl Command for Recall {
    const NAME: &'static str = "being recall";
    const ABOUT: &'static str = "Show what a being remembers of something, and why";
    const EXAMPLES: &'static [&'static str] = &[
        "being recall marit 'what is Ann allergic to?'",
        "being recall marit exam --from 2026-05-01 --speaker Ann -n 3",
        "being recall marit harbour --kind fact,note --from 2weeks",
    ];
    const WAITS_FOR: &'static str = WAITS_FOR_BEING;
    type Args = Args;
    type Said = Recollections;

    fn prepare(args: &mut Args) -> Result<(), Fault> {
        match args.from.zip(args.until) {
            Some((from, until)) if from >= until => {
                Err(Fault::usage(no_time(from, until)).help(EARLIER))
            }
            _ if args.query.trim().is_empty() => {
                Err(Fault::usage("it is not said what is to be recalled")
                    .help("a question, or words of what was said"))
            }
            _ => Ok(()),
        }
    }

    async fn serve(args: Args, side: Side, out: Out<Recollections>) -> Result<(), Refusal> {
        let Args { being: Being { id }, query, limit, from, until, speaker, kind } = args;
        let kinds = kind.into_iter().map(MemoryKind::from).collect();
        let recall =
            RecallMemories { question: query, limit: Some(limit), from, until, speaker, kinds };
        out.say(reach::ask(&side, &id, recall).await?).await
    }

    fn show(Recollections { memories }: Recollections, screen: &mut Screen) {
        if memories.is_empty() {
            screen.line("it remembers nothing of that");
        }
        for memory in &memories {
            words::recollection(memory, screen);
        }
    }
}
