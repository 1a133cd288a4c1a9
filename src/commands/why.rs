//! `why`: how an agent stands, and because of what, down to the first cause.

use std::collections::BTreeSet;

use genii_protocols::NodeName;
use genii_runtime::cluster::Membership;
use genii_runtime::house::why::{Because, Crash, Explanation};
use genii_runtime::{House, HouseError};

use super::pinned::Pin;
use super::target::Target;
use super::{Command, Out, Refusal, Side};
use crate::screen::{Screen, seconds};

pub struct Why;

impl Command for Why {
    const NAME: &'static str = "why";
    const ABOUT: &'static str =
        "Tell why an agent or a group stands as it does, to the first cause";
    const EXAMPLES: &'static [&'static str] = &["why core/system-digital-twin"];
    type Args = Target;
    type Said = Explanation;

    fn about(args: &Target) -> Option<&str> {
        Some(args.name())
    }

    fn unpin(args: &mut Target) -> Option<Pin> {
        args.name.unpin()
    }

    async fn serve(args: Target, side: Side, out: Out<Explanation>) -> Result<(), Refusal> {
        match side.house.why(args.name()) {
            Err(HouseError::Elsewhere { address, node }) => {
                out.say(elsewhere(&side.house, address, &node)).await
            }
            why => out.say(why?).await,
        }
    }

    fn show(said: Explanation, screen: &mut Screen) {
        show_because(&said.because, 0, screen);
        for name in quarantined(&said.because) {
            screen.line(format!("`release {name}` lets it try again"));
        }
        let is_whole_story = said.because.because.is_empty();
        if !is_whole_story {
            for cause in &said.first_causes {
                screen.line(format!("first cause: {cause}"));
            }
        }
    }
}

/// What is known here of a group that lives on another machine: how that stands.
fn elsewhere(house: &House, name: String, node: &NodeName) -> Explanation {
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
    let says = format!("lives on {node}, which {stands}{why}");
    let first_causes = vec![format!("{node} {stands}")];
    let (state, because) = (state.into(), Vec::new());
    Explanation { because: Because { name, state, says, because, crash: None }, first_causes }
}

/// Who waits for a person, each once.
fn quarantined(because: &Because) -> BTreeSet<&str> {
    let mut names: BTreeSet<&str> = because.because.iter().flat_map(quarantined).collect();
    if because.state == "quarantined" {
        names.insert(&because.name);
    }
    names
}

fn show_because(because: &Because, depth: usize, screen: &mut Screen) {
    let indent = "  ".repeat(depth);
    let link = if depth > 0 { "because " } else { "" };
    screen.line(format!("{indent}{link}{} {}", screen.bold(&because.name), because.says));
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
    screen.line(format!("{indent}  last failed {ago} ago, {after}: {}", screen.red(&crash.cause)));
    if !crash.took_down.is_empty() {
        screen.line(format!("{indent}  which took down {}", crash.took_down.join(", ")));
    }
    for line in &crash.output {
        screen.line(screen.faint(&format!("{indent}  | {line}")));
    }
}
