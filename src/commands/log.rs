//! `log`: what an agent logged or printed.

use std::borrow::Cow;
use std::sync::Arc;

use genii_protocols::{Address, Timestamp};
use genii_runtime::LogLine;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast::error::RecvError;

use super::pinned::{Pin, Pinned};
use super::{Command, Out, Refusal, Side};
use crate::screen::{Screen, many};

pub struct Log;

#[derive(Debug, clap::Args, Serialize, Deserialize)]
pub struct Args {
    /// The agent, as `core/system-digital-twin`; with `@NODE` behind it, of that machine
    #[arg(value_name = "ADDR")]
    address: Pinned<Address>,
    /// Go on with what it logs from now on
    #[arg(long, short)]
    follow: bool,
    /// How many lines to begin with
    #[arg(long, short = 'n', value_name = "LINES", default_value_t = 50)]
    limit: usize,
}

/// Something that was logged.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Said {
    /// A line.
    Line { at: Timestamp, level: Cow<'static, str>, text: String },
    /// It went too fast, and so many lines are not shown.
    Missed { missed: u64 },
}

impl Command for Log {
    const NAME: &'static str = "log";
    const ABOUT: &'static str = "Show the last lines that an agent logged or printed";
    const EXAMPLES: &'static [&'static str] =
        &["log core/system-digital-twin", "log core/system-digital-twin --follow"];
    type Args = Args;
    type Said = Said;

    fn about(args: &Args) -> Option<&str> {
        Some(args.address.name.as_str())
    }

    fn unpin(args: &mut Args) -> Option<Pin> {
        args.address.unpin()
    }

    async fn serve(args: Args, side: Side, out: Out<Said>) -> Result<(), Refusal> {
        let address = args.address.name;
        side.house.member(address.as_str())?;
        let logbook = side.house.node().logbook();
        let mut follow = args.follow.then(|| logbook.follow());
        let mut last = None;
        for line in logbook.tail(&address, args.limit) {
            out.say(Said::of(&line)).await?;
            last = Some(line);
        }
        if last.is_none() {
            // What one logs that lives elsewhere is known there alone.
            side.house.is_own(address.as_str())?;
        }
        let Some(follow) = &mut follow else { return Ok(()) };
        // What was written between the two looks would be seen twice.
        let is_seen = |line: &Arc<LogLine>| last.as_ref().is_some_and(|last| line.at <= last.at);
        loop {
            match follow.recv().await {
                Ok(line) if line.agent == address && !is_seen(&line) => {
                    out.say(Said::of(&line)).await?;
                }
                Ok(_) => {}
                Err(RecvError::Lagged(missed)) => out.say(Said::Missed { missed }).await?,
                Err(RecvError::Closed) => return Ok(()),
            }
        }
    }

    fn show(said: Said, screen: &mut Screen) {
        match said {
            Said::Line { at, level, text } => {
                let head = screen.faint(&format!("{at} {level:<5}"));
                let text = match &*level {
                    "error" => screen.red(&text),
                    _ => text,
                };
                screen.line(format!("{head} {text}"));
            }
            Said::Missed { missed } => {
                screen.line(format!("({} went by)", many(missed, "line", "lines")));
            }
        }
    }
}

impl Said {
    fn of(line: &Arc<LogLine>) -> Self {
        Self::Line { at: line.at, level: line.level.word().into(), text: line.text.clone() }
    }
}
