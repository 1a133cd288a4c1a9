//! `journal`: what happened to whom, in order.

use std::borrow::Cow;
use std::sync::Arc;

use genii_protocols::{NodeName, Timestamp};
use genii_runtime::HouseError;
use genii_supervision::Event;
use genii_supervision::journal::Followed;
use serde::{Deserialize, Serialize};

use super::being::reach;
use super::pinned::{Named, Pin, is_known};
use super::whom::{Whom, nobody};
use super::{Command, Out, Refusal, Side};
use crate::screen::{Screen, many};

pub struct Journal;

#[derive(Debug, clap::Args, Serialize, Deserialize)]
pub struct Args {
    /// Only what happened to this agent or group; with `@NODE` behind it, to that of a machine; or to a
    /// machine (`@pc2`). Of a being, what its own machine knows: that it was made, has moved, was put aside or
    /// deleted is in the journal of the machine of the registry, which `--node` asks, also after a restart
    #[arg(value_name = "NAME")]
    name: Option<Whom<Named>>,
    /// Go on with what happens from now on
    #[arg(long, short)]
    follow: bool,
    /// How many events to begin with
    #[arg(long, short = 'n', value_name = "EVENTS", default_value_t = 50)]
    limit: usize,
}

/// Something that happened.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Entry {
    /// An event.
    Event {
        seq: u64,
        at: Timestamp,
        name: String,
        incarnation: u64,
        what: Cow<'static, str>,
        text: String,
    },
    /// It went too fast, and so many events are not shown.
    Missed { missed: u64 },
    /// Nothing is written of a being on the machine where it lives; what was done with it is on another.
    Nothing { nothing_of: String, on: NodeName, noted_on: NodeName },
}

impl Command for Journal {
    const NAME: &'static str = "journal";
    const ABOUT: &'static str = "Show what happened: starts, crashes, restarts, stops, in order";
    const EXAMPLES: &'static [&'static str] = &[
        "journal",
        "journal core/system-digital-twin",
        "journal @pc2",
        "journal being/marit --node main     where the registry is: when it was made, moved, deleted",
        "journal --follow",
    ];
    type Args = Args;
    type Said = Entry;

    fn about(args: &Args) -> Option<&str> {
        args.name.as_ref()?.name().map(Named::as_str)
    }

    fn unpin(args: &mut Args) -> Option<Pin> {
        // Notes outlive what they tell of.
        let pin = args.name.as_mut()?.unpin()?;
        Some(Pin { need_not_be: true, ..pin })
    }

    async fn serve(args: Args, side: Side, out: Out<Entry>) -> Result<(), Refusal> {
        let key = args.name.as_ref().map(ToString::to_string);
        let name = key.as_deref();
        let journal = &side.house.node().tree().journal;
        let concerns = |event: &Event| {
            name.is_none_or(|name| {
                let key = event.key.as_str();
                let is_of_group = || key.split_once('/').is_some_and(|(group, _)| group == name);
                key == name || is_of_group()
            })
        };
        let mut follow = args.follow.then(|| journal.follow());
        let mut last = 0;
        let events = journal.tail(args.limit, concerns);
        for event in &events {
            last = event.seq;
            out.say(Entry::of(event)).await?;
        }
        if let Some(whom) = args.name.as_ref().filter(|_| events.is_empty())
            && let Some(nothing) = may_have_none(&side, whom).await?
            && args.limit > 0
        {
            out.say(nothing).await?;
        }
        let Some(follow) = &mut follow else { return Ok(()) };
        loop {
            match follow.next().await {
                Some(Followed::Event(event)) if event.seq > last && concerns(&event) => {
                    out.say(Entry::of(&event)).await?;
                }
                Some(Followed::Event(_)) => {}
                Some(Followed::Missed(missed)) => out.say(Entry::Missed { missed }).await?,
                None => return Ok(()),
            }
        }
    }

    fn show(said: Entry, screen: &mut Screen) {
        match said {
            Entry::Event { seq, at, name, what, text, .. } => {
                // What was noted before genii was started has no number.
                let seq = if seq == 0 { String::new() } else { seq.to_string() };
                let head = screen.faint(&format!("{seq:>6} {at}"));
                let text = match &*what {
                    "crashed" | "start-failed" | "quarantined" | "escalated" => screen.red(&text),
                    _ => text,
                };
                screen.line(format!("{head} {} {text}", screen.bold(&name)));
            }
            Entry::Missed { missed } => {
                screen.line(format!("       ({} went by)", many(missed, "event", "events")));
            }
            Entry::Nothing { nothing_of, on, noted_on } => {
                let how = how_to_ask(&nothing_of, &noted_on);
                screen.hint(&format!("nothing is noted of {nothing_of} on {on}; {how}"));
            }
        }
    }
}

/// Sees that there is somebody about whom nothing is written; what is said of that, if there is more elsewhere.
async fn may_have_none(side: &Side, whom: &Whom<Named>) -> Result<Option<Entry>, Refusal> {
    let name = match whom {
        Whom::Machine(node) => return is_known(&side.house, node).map(|()| None),
        Whom::Named(pinned) => pinned.name.as_str(),
    };
    // What happens to one that lives elsewhere is known there alone.
    match side.house.is_own(name) {
        Ok(()) => Ok(registry_elsewhere(side, name).map(|noted_on| {
            let (nothing_of, on) = (name.to_owned(), side.house.node().name().clone());
            Entry::Nothing { nothing_of, on, noted_on }
        })),
        Err(error) => {
            let is_unknown = matches!(error, HouseError::NotFound { .. });
            let refusal = nobody(side, name, error).await;
            Err(if is_unknown { or_at_registry(side, name, refusal) } else { refusal })
        }
    }
}

/// The same refusal, with where is written what was done with a being that is not here.
fn or_at_registry(side: &Side, name: &str, refusal: Refusal) -> Refusal {
    let Some(registry) = registry_elsewhere(side, name) else { return refusal };
    let help = how_to_ask(name, &registry);
    match refusal.help.is_empty() {
        true => refusal.help(help),
        false => Refusal { help: format!("{}; {help}", refusal.help), ..refusal },
    }
}

/// The other machine that keeps what was done with whoever is called so, if it is a being and there is one.
fn registry_elsewhere(side: &Side, name: &str) -> Option<NodeName> {
    let registry = reach::registry_node(side);
    (name.starts_with("being/") && registry != *side.house.node().name()).then_some(registry)
}

fn how_to_ask(name: &str, registry: &NodeName) -> String {
    format!(
        "`journal {name} --node {registry}` asks the machine of the registry, which keeps when a being was \
         made, moved or deleted"
    )
}

impl Entry {
    fn of(event: &Arc<Event>) -> Self {
        Self::Event {
            seq: event.seq,
            at: event.at.into(),
            name: event.key.to_string(),
            incarnation: event.incarnation,
            what: event.what.word().into(),
            text: event.what.to_string(),
        }
    }
}
