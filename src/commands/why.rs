//! `why`: how an agent stands, and because of what, down to the first cause.

use std::borrow::Cow;
use std::collections::BTreeMap;

use genii_protocols::NodeName;
use genii_protocols::beings::BeingEntry;
use genii_runtime::cluster::Membership;
use genii_runtime::house::why::{Because, Crash, Explanation};
use genii_runtime::{House, HouseError};
use serde::{Deserialize, Serialize};

use super::pinned::{Named, Pin, is_known};
use super::whom::{Whom, nobody};
use super::{Command, Out, Refusal, Side, being};
use crate::screen::{Screen, seconds};

pub struct Why;

#[derive(Debug, clap::Args, Serialize, Deserialize)]
pub struct Args {
    /// An agent (`core/system-digital-twin`) or a group (`core`), with `@NODE` behind it of that machine; or
    /// a machine (`@pc2`)
    #[arg(value_name = "NAME")]
    name: Whom<Named>,
}

impl Command for Why {
    const NAME: &'static str = "why";
    const ABOUT: &'static str =
        "Tell why an agent, a group or a machine stands as it does, to the first cause";
    const EXAMPLES: &'static [&'static str] = &["why core/system-digital-twin", "why @pc2"];
    type Args = Args;
    type Said = Explanation;

    fn about(args: &Args) -> Option<&str> {
        args.name.name().map(Named::as_str)
    }

    fn unpin(args: &mut Args) -> Option<Pin> {
        args.name.unpin()
    }

    async fn serve(args: Args, side: Side, out: Out<Explanation>) -> Result<(), Refusal> {
        let house = &side.house;
        let name = match &args.name {
            Whom::Machine(node) => return out.say(of_machine(house, node)?).await,
            Whom::Named(pinned) => pinned.name.as_str(),
        };
        let why = house.why(name);
        if matches!(why, Err(HouseError::NotFound { .. }))
            && let Some(being) = being::reach::known(&side, name).await?
        {
            return out.say(of_being(house, being)).await;
        }
        match why {
            Err(HouseError::Elsewhere { address, node }) => {
                out.say(elsewhere(house, address, &node)).await
            }
            Err(error) => Err(nobody(&side, name, error).await),
            Ok(why) => out.say(why).await,
        }
    }

    fn show(said: Explanation, screen: &mut Screen) {
        show_because(&said.because, 0, screen);
        for (name, says) in quarantined(&said.because) {
            screen.line(screen.called(&being::words::remedy(name, says)));
        }
        let is_whole_story = said.because.because.is_empty();
        if !is_whole_story {
            for cause in &said.first_causes {
                screen.line(format!("first cause: {}", screen.told(cause)));
            }
        }
    }
}

/// How a machine stands, as it is seen from here.
fn of_machine(house: &House, node: &NodeName) -> Result<Explanation, Refusal> {
    is_known(house, node)?;
    let name = format!("@{node}");
    if node == house.node().name() {
        let says = "is this machine".to_owned();
        return Ok(explained(name, Membership::Alive.word().into(), says, Vec::new()));
    }
    let Standing { state, stands, why } = standing(house, node);
    Ok(explained(name, state.into(), format!("{stands}{why}"), Vec::new()))
}

/// What the registry knows of a being that is not at hand here.
fn of_being(house: &House, being: BeingEntry) -> Explanation {
    let BeingEntry { address, state, node, why, .. } = being;
    let is_here = node == *house.node().name();
    let is_linked = house.node().cluster().is_some_and(|cluster| cluster.is_connected(&node));
    if !is_here && !is_linked {
        return elsewhere(house, address.to_string(), &node);
    }
    // As it is named in a command that is to reach it.
    let name = if is_here { address.to_string() } else { format!("{address}@{node}") };
    let state = being::words::state(state);
    let why = why.map(|why| format!(": {why}")).unwrap_or_default();
    explained(name, state.into(), format!("is {state} on {node}{why}"), Vec::new())
}

/// What is known here of a group or a being that lives on another machine: how that stands.
fn elsewhere(house: &House, name: String, node: &NodeName) -> Explanation {
    let Standing { state, stands, why } = standing(house, node);
    let says = format!("lives on {node}, which {stands}{why}");
    explained(name, state.into(), says, vec![format!("{node} {stands}")])
}

fn explained(
    name: String,
    state: Cow<'static, str>,
    says: String,
    first_causes: Vec<String>,
) -> Explanation {
    let because = Vec::new();
    Explanation { because: Because { name, state, says, because, crash: None }, first_causes }
}

/// How another machine stands.
struct Standing {
    state: &'static str,
    /// As part of a sentence.
    stands: String,
    /// The cause, behind a colon; empty if there is none.
    why: String,
}

fn standing(house: &House, node: &NodeName) -> Standing {
    let members = house.node().cluster().map(|cluster| cluster.members()).unwrap_or_default();
    let member = members.into_iter().find(|member| member.node == *node);
    let membership = member.as_ref().map_or(Membership::Unseen, |member| member.membership);
    let state = membership.word();
    let stands = match membership {
        Membership::Left => "has left".to_owned(),
        _ => format!("is {state}"),
    };
    let why = member.and_then(|member| member.why).filter(|_| membership != Membership::Left);
    let why = why.map(|why| format!(": {why}")).unwrap_or_default();
    Standing { state, stands, why }
}

/// Who waits for a person, each once, with what is said of it.
fn quarantined(because: &Because) -> BTreeMap<&str, &str> {
    let mut waiting: BTreeMap<&str, &str> = because.because.iter().flat_map(quarantined).collect();
    if because.state == "quarantined" {
        waiting.insert(&because.name, &because.says);
    }
    waiting
}

fn show_because(because: &Because, depth: usize, screen: &mut Screen) {
    let indent = "  ".repeat(depth);
    let link = if depth > 0 { "because " } else { "" };
    let says = screen.told(&because.says);
    screen.line(format!("{indent}{link}{} {says}", screen.bold(&because.name)));
    if let Some(crash) = &because.crash {
        show_crash(crash, &indent, screen);
    }
    for deeper in &because.because {
        show_because(deeper, depth + 1, screen);
    }
}

/// Shows a crash, and what was printed last before it.
pub fn show_crash(crash: &Crash, indent: &str, screen: &mut Screen) {
    let after = match crash.after_seconds {
        Some(after) => format!("after {} of work", seconds(after)),
        None => "before it was ready".to_owned(),
    };
    let ago = seconds(crash.seconds_ago);
    let cause = screen.red(&screen.told(&crash.cause));
    screen.line(format!("{indent}  last failed {ago} ago, {after}: {cause}"));
    if !crash.took_down.is_empty() {
        screen.line(format!("{indent}  which took down {}", crash.took_down.join(", ")));
    }
    for line in &crash.output {
        screen.line(screen.faint(&format!("{indent}  | {line}")));
    }
}
