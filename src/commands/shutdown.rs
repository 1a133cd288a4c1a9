//! `shutdown`: ends the house, in the reverse of the order in which it starts.

use serde::{Deserialize, Serialize};

use super::{Command, Nothing, Out, Refusal, Side};
use crate::screen::{Screen, many};

pub struct Shutdown;

/// What becomes of the house.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    /// It is being stopped.
    Stopping {
        /// How many agents run.
        agents: usize,
    },
    /// It has stopped.
    Stopped {
        /// How many processes could not be ended.
        left: usize,
    },
}

impl Command for Shutdown {
    const NAME: &'static str = "shutdown";
    const ABOUT: &'static str = "Stop all agents in reverse order, and end genii";
    const EXAMPLES: &'static [&'static str] = &["shutdown"];
    type Args = Nothing;
    type Said = Said;

    async fn serve(_: Nothing, side: Side, out: Out<Said>) -> Result<(), Refusal> {
        let alive = |row: &genii_runtime::house::Row| {
            row.node.is_none() && matches!(&*row.state, "ready" | "degraded" | "starting")
        };
        let agents = super::ps::agents(&side.house).iter().filter(|row| alive(row)).count();
        out.say(Said::Stopping { agents }).await?;
        side.ending.begin("it was asked to shut down");
        let left = side.ending.ended().await;
        out.say(Said::Stopped { left }).await
    }

    fn show(said: Said, screen: &mut Screen) {
        match said {
            Said::Stopping { agents: 1 } => screen.line("stopping one agent"),
            Said::Stopping { agents } => screen.line(format!("stopping {agents} agents")),
            Said::Stopped { left: 0 } => screen.line("stopped"),
            Said::Stopped { left } => {
                let left = many(left, "process", "processes");
                screen.line(format!("stopped, but {left} could not be ended"));
            }
        }
    }
}
