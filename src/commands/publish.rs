//! `publish`: publishes something about a topic.

use genii_protocols::{Json, Topic};
use genii_runtime::topics::{NotPublished, Reached};
use serde::{Deserialize, Serialize};

use super::ask::json;
use super::{Command, Out, Refusal, Side};
use crate::screen::Screen;

pub struct Publish;

#[derive(Debug, clap::Args, Serialize, Deserialize)]
pub struct Args {
    /// What it is about, as `world.updates.user.42`
    #[arg(value_name = "TOPIC")]
    topic: Topic,
    /// What to publish, as JSON
    #[arg(value_name = "JSON", default_value = "{}", value_parser = json)]
    content: Json,
}

/// Whom it has reached.
#[derive(Debug, Serialize, Deserialize)]
pub struct Said {
    /// How many subscribers on this machine.
    subscribers_here: usize,
    /// How many other machines with subscribers.
    other_nodes: usize,
}

impl Command for Publish {
    const NAME: &'static str = "publish";
    const ABOUT: &'static str = "Publish something about a topic, to all who subscribed to it";
    const EXAMPLES: &'static [&'static str] =
        &["publish world.updates.user.42 '{\"x\": 3, \"y\": 4}'", "publish house.bell"];
    type Args = Args;
    type Said = Said;

    async fn serve(args: Args, side: Side, out: Out<Said>) -> Result<(), Refusal> {
        let Args { topic, content } = args;
        let published = side.house.node().publish(&topic, &content).await;
        let Reached { here, nodes } = published.map_err(|error| refusal(&topic, &error))?;
        out.say(Said { subscribers_here: here, other_nodes: nodes }).await
    }

    fn show(said: Said, screen: &mut Screen) {
        let Said { subscribers_here: here, other_nodes: nodes } = said;
        screen.line(match (here, nodes) {
            (0, 0) => {
                let how = screen.called("`topics` lists what is subscribed to");
                format!("nobody has subscribed to it; {how}")
            }
            (here, 0) => format!("handed to {here} here"),
            (here, 1) => format!("handed to {here} here, and sent to 1 other machine"),
            (here, nodes) => format!("handed to {here} here, and sent to {nodes} other machines"),
        });
    }
}

fn refusal(topic: &Topic, error: &NotPublished) -> Refusal {
    let help = match error {
        NotPublished::NotReached { .. } => "`nodes` shows how they stand; all others were reached",
        NotPublished::TooLarge { .. } | NotPublished::NoForm(_) => "publish less at a time",
    };
    Refusal::new(format!("{topic} was not published: {error}")).help(help)
}
