//! `being delete`: deletes a being for good.

use genii_protocols::beings::{BeingEntry, DeleteBeing};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Being, reach, words};
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
}

/// The being that is no more.
#[derive(Debug, Serialize, Deserialize)]
pub struct Deleted {
    deleted: BeingEntry,
}

impl Command for Delete {
    const NAME: &'static str = "being delete";
    const ABOUT: &'static str = "Delete a being for good, with all that it remembers";
    const EXAMPLES: &'static [&'static str] =
        &["being delete marit", "being delete marit --yes      without asking"];
    type Args = Args;
    type Said = Deleted;

    fn doubt(args: &Args) -> Option<Doubt> {
        let id = &args.being.id;
        (!args.yes).then(|| Doubt {
            question: format!("Delete {id} for good, with all that it remembers?"),
            at_stake: Some(("being show", json!({ "id": id }))),
        })
    }

    fn done(args: &Args, data: &Data) {
        chat::forget_typed(data, &args.being.id);
    }

    async fn serve(args: Args, side: Side, out: Out<Deleted>) -> Result<(), Refusal> {
        let delete = DeleteBeing { id: args.being.id };
        let deleted = reach::registry_ask_within(&side, delete, reach::LONG_PATIENCE).await?;
        out.say(Deleted { deleted }).await
    }

    fn show(Deleted { deleted }: Deleted, screen: &mut Screen) {
        let name = words::harmless(&deleted.name);
        screen.line(format!(
            "{} ({name}) is no more, and nothing that it remembered is left",
            deleted.id
        ));
    }
}
