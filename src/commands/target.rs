//! Commands that do one thing to one agent or group, and then say how it stands.

use genii_protocols::Address;
use genii_runtime::house::Row;
use genii_runtime::{House, HouseError};
use serde::{Deserialize, Serialize};

use super::pinned::{Named, Pin, Pinned};
use super::whom::nobody;
use super::{Command, Out, Refusal, Side};
use crate::screen::{Screen, seconds};

/// One that stands as it does for less, in seconds, does so because of the command.
const FRESH_MAX: f64 = 1.0;

/// An agent or a group.
#[derive(Debug, Clone, clap::Args, Serialize, Deserialize)]
pub struct Target {
    /// An agent (`core/system-digital-twin`) or a group (`core`); with `@NODE` behind it, of that machine
    #[arg(value_name = "NAME")]
    pub name: Pinned<Named>,
}

/// An agent.
#[derive(Debug, Clone, clap::Args, Serialize, Deserialize)]
pub struct Agent {
    /// The agent, as `core/system-digital-twin`; with `@NODE` behind it, of that machine
    #[arg(value_name = "ADDR")]
    pub address: Pinned<Address>,
}

impl Target {
    /// The name, which is pinned to no machine any more when the command begins.
    pub fn name(&self) -> &str {
        self.name.name.as_str()
    }
}

/// A command that does one thing to one agent or group.
pub trait OnTarget: 'static {
    /// As of [`Command`].
    const NAME: &'static str;
    /// As of [`Command`].
    const ABOUT: &'static str;
    /// As of [`Command`].
    const EXAMPLES: &'static [&'static str];

    /// Does it.
    fn act(house: &House, name: &str) -> impl Future<Output = Result<(), HouseError>> + Send;
}

impl<C: OnTarget> Command for C {
    const NAME: &'static str = C::NAME;
    const ABOUT: &'static str = C::ABOUT;
    const EXAMPLES: &'static [&'static str] = C::EXAMPLES;
    type Args = Target;
    type Said = Row;

    fn about(args: &Target) -> Option<&str> {
        Some(args.name())
    }

    fn unpin(args: &mut Target) -> Option<Pin> {
        args.name.unpin()
    }

    async fn serve(args: Target, side: Side, out: Out<Row>) -> Result<(), Refusal> {
        let done = C::act(&side.house, args.name()).await;
        say_row(args.name(), done, &side, &out).await
    }

    fn show(row: Row, screen: &mut Screen) {
        show_row(&row, screen);
    }
}

/// Says how an agent or a group stands once the house has done something to it, or why it has not.
pub async fn say_row(
    name: &str,
    done: Result<(), HouseError>,
    side: &Side,
    out: &Out<Row>,
) -> Result<(), Refusal> {
    match done {
        Ok(()) => out.say(Row::from(&side.house.member(name)?)).await,
        Err(error) => Err(nobody(side, name, error).await),
    }
}

/// Shows how an agent or a group stands.
pub fn show_row(row: &Row, screen: &mut Screen) {
    let detail = row.detail.as_ref().map(|detail| format!(": {}", screen.told(detail)));
    let detail = detail.unwrap_or_default();
    let suspended = if row.is_suspended() { ", and suspended" } else { "" };
    let long = row.for_seconds.filter(|long| *long >= FRESH_MAX);
    let long = long.map(|long| format!(" for {}", seconds(long))).unwrap_or_default();
    let state = screen.state(&row.state);
    screen.line(format!("{} is {state}{long}{suspended}{detail}", row.name));
}
