//! `drain`: lets what runs finish, ends the house and leaves the household, so that nothing is lost.

use std::time::Duration;

use genii_protocols::{NodeName, TimeSpan};
use genii_runtime::house::Unfinished;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{Command, Out, Refusal, Side, elsewhere};
use crate::screen::{Screen, many};

/// How long what runs may take to finish, unless it is said.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long who asked may take to read that all is finished, before genii ends without.
const TELL_PATIENCE: Duration = Duration::from_secs(1);

/// How many agents are named that are not finished.
const NAMED_MAX: usize = 5;

pub struct Drain;

#[derive(Debug, clap::Args, Serialize, Deserialize)]
pub struct Args {
    /// The machine [default: the one that is asked]
    #[arg(value_name = "NODE")]
    node: Option<NodeName>,
    /// How long what runs may take to finish; what does not is cut off [default: 30s]
    #[arg(long = "for", value_name = "TIME")]
    patience: Option<TimeSpan>,
}

/// What becomes of the house.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    /// This is still to be finished; at first, what that is is not known.
    Finishing(Unfinished),
    /// All was finished but for this, and it is being stopped.
    Stopping(Unfinished),
    /// It has stopped.
    Stopped {
        /// How many processes could not be ended.
        left: usize,
    },
}

impl Command for Drain {
    const NAME: &'static str = "drain";
    const ABOUT: &'static str = "Let what runs finish while stand-ins take what is new, then end";
    const EXAMPLES: &'static [&'static str] = &["drain", "drain pc2 --for 2m"];
    type Args = Args;
    type Said = Said;

    async fn serve(args: Args, side: Side, out: Out<Said>) -> Result<(), Refusal> {
        let own = side.house.node().name().clone();
        if let Some(node) = args.node.filter(|node| *node != own) {
            let there = Args { node: None, patience: args.patience };
            let arguments = serde_json::to_value(there);
            let arguments = arguments.map_err(|error| Refusal::new(error.to_string()))?;
            return elsewhere::run(node, Self::NAME, arguments, side, out.said).await;
        }
        let patience = args.patience.map_or(PATIENCE, |patience| patience.0);
        // What was begun goes on to its end, also when nobody listens any more.
        let drains = tokio::spawn(drain(side, out, patience));
        drains.await.map_err(|error| Refusal::new(format!("it broke off: {error}")))?
    }

    fn show(said: Said, screen: &mut Screen) {
        match said {
            Said::Finishing(now) if now.is_nothing() => {
                screen.line("what is new goes to stand-ins; what runs may finish");
            }
            Said::Finishing(now) => screen.line(format!("waiting for {}", in_words(&now))),
            Said::Stopping(left) if left.is_nothing() => screen.line("all is finished; stopping"),
            Said::Stopping(left) => {
                screen.line(format!("stopping, without waiting longer for {}", in_words(&left)));
            }
            Said::Stopped { left: 0 } => screen.line("stopped"),
            Said::Stopped { left } => {
                let left = many(left, "process", "processes");
                screen.line(format!("stopped, but {left} could not be ended"));
            }
        }
    }
}

/// Lets what runs finish, then begins the end, whether or not anybody listens.
async fn drain(side: Side, out: Out<Said>, patience: Duration) -> Result<(), Refusal> {
    let until = Instant::now() + patience;
    // Who asked hears that it has begun, also if it ends before there is more to say.
    out.say_if_room(Said::Finishing(Unfinished::default()));
    let left =
        side.house.drain(patience, |now| out.say_if_room(Said::Finishing(now.clone()))).await;
    // Before the way to who asked is closed.
    let told = tokio::time::timeout(TELL_PATIENCE, out.say(Said::Stopping(left))).await;
    side.ending.begin_with_answers("it was asked to drain", until);
    told.map_err(|_| Refusal::new("who asked does not read what is said"))??;
    let left = side.ending.ended().await;
    out.say(Said::Stopped { left }).await
}

fn in_words(unfinished: &Unfinished) -> String {
    let Unfinished { agents, nodes } = unfinished;
    let mut what: Vec<String> = agents.iter().take(NAMED_MAX).map(ToString::to_string).collect();
    match agents.len().saturating_sub(NAMED_MAX) {
        0 => {}
        1 => what.push("one agent more".to_owned()),
        more => what.push(format!("{more} agents more")),
    }
    match nodes {
        0 => {}
        1 => what.push("answers to or from another node".to_owned()),
        nodes => what.push(format!("answers to or from {nodes} other nodes")),
    }
    what.join(", ")
}
