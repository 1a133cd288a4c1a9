//! Commands that do one thing to one agent or group, and then say how it stands.

use clap::builder::NonEmptyStringValueParser as Text;
use clap::builder::TypedValueParser;
use genii_protocols::{Address, Name};
use genii_runtime::House;
use genii_runtime::house::Row;
use serde::{Deserialize, Serialize};

use super::{Command, Out, Refusal, Side};
use crate::screen::{Screen, seconds};

/// An agent or a group.
#[derive(Debug, Clone, clap::Args, Serialize, Deserialize)]
pub struct Target {
    /// An agent (`core/system-digital-twin`) or a group (`core`)
    #[arg(value_name = "NAME", value_parser = name())]
    pub name: String,
}

/// An agent.
#[derive(Debug, Clone, clap::Args, Serialize, Deserialize)]
pub struct Agent {
    /// The agent, as `core/system-digital-twin`
    #[arg(value_name = "ADDR")]
    pub address: Address,
}

/// Reads the name of an agent or a group.
pub fn name() -> impl TypedValueParser<Value = String> {
    Text::new().try_map(|text| {
        let parsed = match text.contains('/') {
            true => Address::parse(&text).map(drop),
            false => Name::new(&text).map(drop),
        };
        parsed.map(|()| text)
    })
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
    fn act(house: &House, name: &str) -> impl Future<Output = Result<(), Refusal>> + Send;
}

impl<C: OnTarget> Command for C {
    const NAME: &'static str = C::NAME;
    const ABOUT: &'static str = C::ABOUT;
    const EXAMPLES: &'static [&'static str] = C::EXAMPLES;
    type Args = Target;
    type Said = Row;

    fn about(args: &Target) -> Option<&str> {
        Some(&args.name)
    }

    async fn serve(args: Target, side: Side, out: Out<Row>) -> Result<(), Refusal> {
        C::act(&side.house, &args.name).await?;
        out.say(Row::from(&side.house.member(&args.name)?)).await
    }

    fn show(row: Row, screen: &mut Screen) {
        show_row(&row, screen);
    }
}

/// Shows how an agent or a group stands.
pub fn show_row(row: &Row, screen: &mut Screen) {
    let detail = row.detail.as_ref().map(|detail| format!(": {detail}")).unwrap_or_default();
    let suspended = if row.suspended { ", and suspended" } else { "" };
    let (state, long) = (screen.state(&row.state), seconds(row.for_seconds));
    screen.line(format!("{} is {state} for {long}{suspended}{detail}", row.name));
}
