//! `being delete`: deletes a being for good, or gives one up whose machine is lost.

use genii_protocols::beings::{BeingEntry, DeleteBeing};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Being, WAITS_FOR_ANSWER, reach, words};
use crate::chat;
use crate::commands::{Command, Out, Refusal, Side};
use crate::data::Data;
use crate::doubt::Doubt;
use crate::screen::Screen;

pub struct Delete;

#[derive(Debug, clap::Args, Serialize, Deserialize)]
pub struct Args {
    #[command(flatten)]
    #[serde(flatten)]
    being: Being,
    /// Delete it without asking
    #[arg(long, short)]
    yes: bool,
    /// Its machine is lost for good: give it up, so that its id is free. If the machine comes back, what
    /// it has of the being is put aside there, and does not live
    #[arg(long)]
    #[serde(default)]
    lost: bool,
}

/// The being that is no more.
#[derive(Debug, Serialize, Deserialize)]
pub struct Deleted {
    deleted: BeingEntry,
    /// It was given up, and something of it may be left on its machine.
    is_lost: bool,
}

impl Command for Delete {
    const NAME: &'static str = "being delete";
    const ABOUT: &'static str = "Delete a being for good, with all that it remembers";
    const WAITS_FOR: &'static str = WAITS_FOR_ANSWER;
    const EXAMPLES: &'static [&'static str] = &[
        "being delete marit",
        "being delete marit --yes      without asking",
        "being delete marit --lost     its machine does not come back",
    ];
    type Args = Args;
    type Said = Deleted;

    fn doubt(args: &Args) -> Option<Doubt> {
        let id = &args.being.id;
        // One that was being made or deleted when its machine was lost cannot be shown.
        let at_stake = (!args.lost).then(|| ("being show", json!({ "id": id })));
        let question = match args.lost {
            false => format!("Delete {id} for good, with all that it remembers?"),
            true => format!(
                "Give {id} up, since its machine is lost? It does not live again by itself if that comes \
                 back: what is there is put aside."
            ),
        };
        (!args.yes).then_some(Doubt {
            question,
            at_stake,
            is_nothing: |_| false,
            if_nothing: String::new(),
        })
    }

    fn done(args: &Args, data: &Data) {
        chat::forget_typed(data, &args.being.id);
    }

    async fn serve(args: Args, side: Side, out: Out<Deleted>) -> Result<(), Refusal> {
        let Args { being, lost: is_lost, .. } = args;
        let delete = DeleteBeing { id: being.id, lost: is_lost };
        let deleted = reach::registry_ask_within(&side, delete, reach::REGISTRY_PATIENCE).await?;
        out.say(Deleted { deleted, is_lost }).await
    }

    fn show(Deleted { deleted, is_lost }: Deleted, screen: &mut Screen) {
        let (id, name, node) = (&deleted.id, words::harmless(&deleted.name), &deleted.node);
        screen.line(match is_lost {
            false => format!("{id} ({name}) is no more, and nothing that it remembered is left"),
            true => format!(
                "{id} ({name}) is given up; if {node} comes back, what it has of it is put aside there"
            ),
        });
    }
}
