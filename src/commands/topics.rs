//! `topics`: what is subscribed to, on which machines, by how many.

use genii_protocols::Pattern;
use serde::{Deserialize, Serialize};

use super::{Command, Nothing, Out, Refusal, Side};
use crate::screen::Screen;

pub struct Topics;

/// What is subscribed to.
#[derive(Debug, Serialize, Deserialize)]
pub struct Said {
    /// Each pattern on each machine.
    pub patterns: Vec<Wanted>,
    /// How many publications were lost here by subscribers that were too slow.
    lost_here: u64,
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
        out.say(Said { patterns: wanted.collect(), lost_here: node.publications_lost() }).await
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
            let lost =
                format!("{} publications were lost here by slow subscribers", said.lost_here);
            screen.line(screen.faint(&lost));
        }
    }
}
