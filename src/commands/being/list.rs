//! `being list`: which beings there are, and how they stand.

use genii_protocols::Name;
use genii_protocols::beings::{BeingEntry, ListBeings};
use serde::{Deserialize, Serialize};

use super::{id, reach, words};
use crate::commands::{Command, Out, Refusal, Side};
use crate::screen::Screen;

/// How many beings the registry is asked for at a time.
const PAGE: u32 = 1_000;

/// How many beings are listed at most: they are said at once, and that has a bound.
const LISTED_MAX: u32 = 100_000;

pub struct List;

#[derive(Debug, clap::Args, Serialize, Deserialize)]
pub struct Args {
    /// Only those in whose id or name this stands, whether large or small
    #[arg(long, short, value_name = "TEXT")]
    matching: Option<String>,
    /// Only those behind this id, in the order of their ids
    #[arg(long, value_name = "BEING", value_parser = id)]
    #[serde(default)]
    after: Option<Name>,
    /// How many at most [default: all, up to 100,000]
    #[arg(long, short = 'n', value_name = "COUNT",
        value_parser = clap::value_parser!(u32).range(1..=i64::from(LISTED_MAX)))]
    limit: Option<u32>,
}

impl Args {
    /// That there is none of those that are wanted; nothing if all are.
    fn none(&self) -> Option<String> {
        let text = self.matching.as_deref().map(|text| words::in_short(text, NAME_SHOWN_LETTERS));
        match (text, &self.after) {
            (Some(text), Some(after)) => {
                Some(format!("no being behind {after} has '{text}' in its id or name"))
            }
            (Some(text), None) => Some(format!("no being has '{text}' in its id or name")),
            (None, Some(after)) => Some(format!("no being is behind {after}")),
            (None, None) => None,
        }
    }
}

impl Command for List {
    const NAME: &'static str = "being list";
    const ABOUT: &'static str = "List the beings, and how each stands";
    const EXAMPLES: &'static [&'static str] = &[
        "being list",
        "being list --matching holm",
        "being list -n 100 --after marit",
        "being list --json | jq -r '.[] | select(.state == \"quarantined\") | .id'",
    ];
    type Args = Args;
    type Said = Vec<BeingEntry>;

    async fn serve(args: Args, side: Side, out: Out<Vec<BeingEntry>>) -> Result<(), Refusal> {
        let Args { matching, mut after, limit } = args;
        let wanted = limit.unwrap_or(LISTED_MAX) as usize;
        let mut listed = Vec::new();
        loop {
            let left = u32::try_from(wanted - listed.len()).unwrap_or(PAGE).min(PAGE);
            if left == 0 && limit.is_none() {
                let message = format!("there are more than {LISTED_MAX} beings");
                return Err(Refusal::new(message).help("--matching or --limit shows some of them"));
            }
            if left == 0 {
                break;
            }
            let page = ListBeings { after, limit: Some(left), matching: matching.clone() };
            let page = reach::registry_ask(&side, page).await?;
            listed.extend(page.beings);
            listed.truncate(wanted);
            match page.more {
                Some(more) => after = Some(more),
                None => break,
            }
        }
        out.say(listed).await
    }

    fn show(beings: Vec<BeingEntry>, screen: &mut Screen) {
        if beings.is_empty() {
            let how = screen.called("`being create FILE` makes one");
            return screen.line(format!("no being lives here yet; {how}"));
        }
        let row = |being: &BeingEntry| {
            vec![
                being.id.to_string(),
                words::in_short(&being.name, NAME_SHOWN_LETTERS),
                screen.state(words::state(being.state)),
                being.node.to_string(),
                being.created.to_string(),
                screen.told(&words::harmless(being.why.as_deref().unwrap_or_default())),
            ]
        };
        let rows = beings.iter().map(row).collect();
        screen.table(&["id", "name", "state", "on", "made", "why"], rows);
    }

    fn show_called(args: &Args, beings: Vec<BeingEntry>, screen: &mut Screen) {
        match args.none().filter(|_| beings.is_empty()) {
            Some(none) => {
                let all = screen.called("`being list` shows all");
                screen.line(format!("{none}; {all}"));
            }
            None => Self::show(beings, screen),
        }
    }
}

/// How many letters of a name stand in the list.
const NAME_SHOWN_LETTERS: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_none_is_found_it_is_told_by_what_was_looked_for() {
        let shown = |matching: Option<&str>, after: Option<&str>| {
            let after = after.map(|id| Name::new(id).unwrap());
            let args = Args { matching: matching.map(str::to_owned), after, limit: None };
            let mut screen = Screen::stdout();
            List::show_called(&args, Vec::new(), &mut screen);
            screen.into_text()
        };
        for (matching, after, told) in [
            (Some("ann"), None, "no being has 'ann' in its id or name; `being list` shows all"),
            (None, Some("zeno"), "no being is behind zeno; `being list` shows all"),
            (
                Some("ann"),
                Some("bo"),
                "no being behind bo has 'ann' in its id or name; `being list` shows all",
            ),
            (None, None, "no being lives here yet; `being create FILE` makes one"),
        ] {
            assert_eq!(shown(matching, after), format!("{told}\n"));
        }
    }
}
