//! `topics`: what is subscribed to, on which machines, by how many.

use genii_protocols::{Address, Pattern};
use genii_runtime::topics::SubscriberHere;
use serde::{Deserialize, Serialize};

use super::{Command, Nothing, Out, Refusal, Side};
use crate::screen::{Screen, many};

pub struct Topics;

/// What is subscribed to.
#[derive(Debug, Serialize, Deserialize)]
pub struct Said {
    /// Each pattern on each machine.
    pub patterns: Vec<Wanted>,
    /// Subscribers on this machine that were too slow, and lost something.
    slow: Vec<Slow>,
    /// How many publications were lost on this machine, also by subscribers that have ended.
    lost_here: u64,
}

/// A subscriber that was too slow.
#[derive(Debug, Serialize, Deserialize)]
pub struct Slow {
    /// The agent; none if it is something else, as a shell.
    agent: Option<Address>,
    patterns: Vec<Pattern>,
    lost: u64,
}

/// A pattern with its subscribers on a machine.
#[derive(Debug, Serialize, Deserialize)]
pub struct Wanted {
    /// Which topics.
    pub pattern: Pattern,
    node: String,
    subscribers: u32,
}

impl Command for Topics {
    const NAME: &'static str = "topics";
    const ABOUT: &'static str = "Show which topics are subscribed to, on which machines";
    const EXAMPLES: &'static [&'static str] = &["topics"];
    type Args = Nothing;
    type Said = Said;

    async fn serve(_: Nothing, side: Side, out: Out<Said>) -> Result<(), Refusal> {
        let node = side.house.node();
        let wanted = node.wanted().into_iter().map(|by| Wanted {
            pattern: by.pattern,
            node: by.node.to_string(),
            subscribers: by.subscribers,
        });
        let slow = node.subscribers().into_iter().filter(|subscriber| subscriber.lost > 0);
        let said = Said {
            patterns: wanted.collect(),
            slow: slow.map(Slow::from).collect(),
            lost_here: node.publications_lost(),
        };
        out.say(said).await
    }

    fn show(said: Said, screen: &mut Screen) {
        if said.patterns.is_empty() {
            screen.line("nobody has subscribed to anything");
        } else {
            let row = |wanted: &Wanted| {
                let pattern = wanted.pattern.to_string();
                vec![pattern, wanted.node.clone(), wanted.subscribers.to_string()]
            };
            let rows = said.patterns.iter().map(row).collect();
            screen.table(&["pattern", "node", "subscribers"], rows);
        }
        if said.lost_here > 0 {
            let lost = many(said.lost_here, "publication was", "publications were");
            screen.line(format!("{lost} lost here by slow subscribers:"));
            let row = |slow: &Slow| {
                let patterns: Vec<&str> = slow.patterns.iter().map(Pattern::as_str).collect();
                let agent = slow.agent.as_ref().map_or("(no agent)", Address::as_str);
                vec![agent.to_owned(), patterns.join(" "), slow.lost.to_string()]
            };
            let rows = said.slow.iter().map(row).collect();
            screen.table(&["subscriber", "patterns", "lost"], rows);
        }
    }
}

impl From<SubscriberHere> for Slow {
    fn from(subscriber: SubscriberHere) -> Self {
        let SubscriberHere { patterns, agent, lost } = subscriber;
        Self { agent, patterns, lost }
    }
}
