//! `plan`: the order in which the running topology starts.

use genii_runtime::topology;

use super::{Command, Nothing, Out, Refusal, Side};
use crate::plan::show_waves;
use crate::screen::Screen;

pub struct Plan;

impl Command for Plan {
    const NAME: &'static str = "plan";
    const ABOUT: &'static str = "Show the waves in which the running topology starts";
    const EXAMPLES: &'static [&'static str] = &["plan"];
    type Args = Nothing;
    type Said = topology::Plan;

    async fn serve(_: Nothing, side: Side, out: Out<topology::Plan>) -> Result<(), Refusal> {
        let plan = topology::Plan::of(&side.house.topology());
        out.say(plan.ok_or_else(|| Refusal::new("the running topology has a cycle"))?).await
    }

    fn show(said: topology::Plan, screen: &mut Screen) {
        show_waves(&said, screen);
    }
}
