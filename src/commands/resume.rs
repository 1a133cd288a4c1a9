//! `resume`: ends a suspension.

use genii_runtime::house::Row;

use super::pinned::Pin;
use super::target::{Agent, say_row, show_row};
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
        let done = side.house.resume(address, patience).await;
        say_row(address.as_str(), done, &side, &out).await
    }

    fn show(row: Row, screen: &mut Screen) {
        show_row(&row, screen);
    }
}
