//! `resume`: ends a suspension.

use genii_runtime::house::Row;

use super::pinned::Pin;
use super::target::{Agent, show_row};
use super::whom::nobody;
use super::{Command, Out, Refusal, Side};
use crate::screen::Screen;

pub struct Resume;

impl Command for Resume {
    const NAME: &'static str = "resume";
    const ABOUT: &'static str = "Let a suspended agent handle messages again";
    const EXAMPLES: &'static [&'static str] = &["resume core/system-digital-twin"];
    type Args = Agent;
    type Said = Row;

    fn about(args: &Agent) -> Option<&str> {
        Some(args.address.name.as_str())
    }

    fn unpin(args: &mut Agent) -> Option<Pin> {
        args.address.unpin()
    }

    async fn serve(args: Agent, side: Side, out: Out<Row>) -> Result<(), Refusal> {
        let patience = side.house.node().limits().ask_timeout;
        let address = &args.address.name;
        match side.house.resume(address, patience).await {
            Ok(()) => out.say(Row::from(&side.house.member(address.as_str())?)).await,
            Err(error) => Err(nobody(&side, address.as_str(), error).await),
        }
    }

    fn show(row: Row, screen: &mut Screen) {
        show_row(&row, screen);
    }
}
