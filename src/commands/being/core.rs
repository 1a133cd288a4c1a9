//! `being core`: what a being keeps in mind at all times.

use genii_protocols::being::{CoreBlock, SetCore, ShowBeing};
use serde::{Deserialize, Serialize};

use super::{Being, WAITS_FOR_BEING, reach, words};
use crate::commands::{Command, Out, Refusal, Side};
use crate::fault::Fault;
use crate::screen::Screen;

pub struct Core;

#[derive(Debug, clap::Args, Serialize, Deserialize)]
pub struct Args {
    #[command(flatten)]
    #[serde(flatten)]
    being: Being,
    /// A block, such as `whom I talk to` [default: show all]
    #[arg(value_name = "TITLE")]
    title: Option<String>,
    /// What it is to say
    #[arg(value_name = "TEXT", group = "change")]
    text: Option<String>,
    /// Take the block away
    #[arg(long, group = "change", requires = "title")]
    remove: bool,
}

/// All of its blocks.
#[derive(Debug, Serialize, Deserialize)]
pub struct Blocks {
    core: Vec<CoreBlock>,
}

impl Command for Core {
    const NAME: &'static str = "being core";
    const ABOUT: &'static str = "Show or set what a being keeps in mind at all times";
    const EXAMPLES: &'static [&'static str] = &[
        "being core marit",
        "being core marit 'whom I talk to' 'Ann, who sails alone and worries about it.'",
        "being core marit 'whom I talk to' --remove",
    ];
    const WAITS_FOR: &'static str = WAITS_FOR_BEING;
    type Args = Args;
    type Said = Blocks;

    fn prepare(args: &mut Args) -> Result<(), Fault> {
        let Args { being: Being { id }, title, text, remove } = args;
        if title.is_none() || text.is_some() || *remove {
            return Ok(());
        }
        // A usage line of clap's would have the text before the title.
        Err(Fault::usage("it is not said what the block is to say").help(format!(
            "`being core {id} TITLE TEXT` sets it, `being core {id} TITLE --remove` takes it away"
        )))
    }

    async fn serve(args: Args, side: Side, out: Out<Blocks>) -> Result<(), Refusal> {
        let Args { being: Being { id }, title, text, .. } = args;
        let info = match title {
            Some(title) => reach::ask(&side, &id, SetCore { title, text }).await?,
            None => reach::ask(&side, &id, ShowBeing {}).await?,
        };
        out.say(Blocks { core: info.core }).await
    }

    fn show(Blocks { core }: Blocks, screen: &mut Screen) {
        if core.is_empty() {
            screen.line("it keeps nothing in mind beyond its character");
        }
        words::core(&core, screen);
    }
}
