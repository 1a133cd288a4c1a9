//! `subscribe`: shows what is published, as it comes.

use std::borrow::Cow;

use genii_protocols::{Json, Pattern};
use genii_runtime::{Heard, Publication};
use serde::{Deserialize, Serialize};

use super::{Command, Out, Refusal, Side};
use crate::screen::{Screen, harmless_json, many};

pub struct Subscribe;

#[derive(Debug, clap::Args, Serialize, Deserialize)]
pub struct Args {
    /// Which topics: `*` stands for one segment, `**` at the end for all that follow
    #[arg(value_name = "PATTERN", required = true)]
    patterns: Vec<Pattern>,
    /// End after so many; if not given, when it is interrupted
    #[arg(long, short = 'n', value_name = "COUNT")]
    count: Option<u64>,
}

/// The largest publication whose content is shown, in bytes of JSON text: read, it may take tens of
/// times as much.
const SHOWN_MAX_LEN: usize = 256 << 10;

/// What is heard.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Said {
    /// Something that was published.
    Published {
        topic: String,
        node: String,
        /// The agent that published it.
        #[serde(skip_serializing_if = "Option::is_none")]
        from: Option<String>,
        content: Json,
    },
    /// What was published is too large for a person.
    Large {
        topic: String,
        node: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        from: Option<String>,
        /// How large, in bytes of JSON text.
        bytes: usize,
    },
    /// What was published is no JSON.
    Unreadable { topic: String, node: String, why: String },
    /// It went too fast, and so many publications are not shown.
    Missed { missed: u64 },
    /// It is heard from now on.
    Subscribed { subscribed: Cow<'static, str> },
}

impl Command for Subscribe {
    const NAME: &'static str = "subscribe";
    const ABOUT: &'static str = "Show what is published about some topics, as it comes";
    const EXAMPLES: &'static [&'static str] = &[
        "subscribe 'world.updates.user.*'",
        "subscribe 'world.**' house.bell -n 10",
        "subscribe '**' --json",
    ];
    type Args = Args;
    type Said = Said;

    async fn serve(args: Args, side: Side, out: Out<Said>) -> Result<(), Refusal> {
        let subscription = side.house.node().subscribe(&args.patterns);
        let mut subscription = subscription.map_err(|error| {
            Refusal::new(error.to_string()).help("`topics` lists what is subscribed to")
        })?;
        out.say(Said::Subscribed { subscribed: "from now on".into() }).await?;
        let mut heard = 0;
        while args.count.is_none_or(|count| heard < count) {
            match subscription.next().await {
                Some(Heard::Published(publication)) => {
                    heard += 1;
                    out.say(Said::of(&publication)).await?;
                }
                Some(Heard::Lost(missed)) => out.say(Said::Missed { missed }).await?,
                None => return Ok(()),
            }
        }
        Ok(())
    }

    fn show(said: Said, screen: &mut Screen) {
        match said {
            Said::Published { topic, node, from, content } => {
                let by = from.map_or_else(|| format!("@{node}"), |from| format!("{from}@{node}"));
                let content = harmless_json(&content.to_string());
                screen.line(format!("{} {} {content}", screen.bold(&topic), screen.faint(&by)));
            }
            Said::Large { topic, node, from, bytes } => {
                let by = from.map_or_else(|| format!("@{node}"), |from| format!("{from}@{node}"));
                let large = screen.faint(&format!("({bytes} bytes, too many to be shown)"));
                screen.line(format!("{} {} {large}", screen.bold(&topic), screen.faint(&by)));
            }
            Said::Unreadable { topic, node, why } => {
                let why = screen.red(&format!("it cannot be read: {why}"));
                screen.line(format!("{} @{node} {why}", screen.bold(&topic)));
            }
            Said::Missed { missed } => {
                screen.line(format!("({} went by)", many(missed, "publication", "publications")));
            }
            Said::Subscribed { .. } => screen.line(screen.faint("(listening; Ctrl-C ends it)")),
        }
    }
}

impl Said {
    fn of(publication: &Publication) -> Self {
        let (topic, node) = (publication.topic().to_string(), publication.node().to_string());
        let from = publication.from().map(|from| from.address.to_string());
        let bytes = publication.text().len();
        if bytes > SHOWN_MAX_LEN {
            return Self::Large { topic, node, from, bytes };
        }
        match publication.json() {
            Ok(content) => Self::Published { topic, node, from, content },
            Err(why) => Self::Unreadable { topic, node, why: why.to_string() },
        }
    }
}
