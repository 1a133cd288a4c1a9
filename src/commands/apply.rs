//! `apply`: makes the running house follow another topology, restarting only what changed.

use std::path::PathBuf;

use genii_runtime::house::StepOutcome;
use genii_runtime::topology::check::Untie;
use genii_runtime::topology::diff::Step;
use genii_runtime::topology::{Report, Source, check, read};
use serde::{Deserialize, Serialize};

use super::{Command, Out, Refusal, Side};
use crate::fault::Fault;
use crate::load;
use crate::screen::Screen;

pub struct Apply;

#[derive(Debug, clap::Args, Serialize, Deserialize)]
pub struct Args {
    /// The topology file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Show the difference, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// The text of the file.
    #[arg(skip)]
    text: String,
}

/// What is to be done, then what came of it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    /// The difference.
    Difference(Vec<Step>),
    /// What came of each step.
    Done(Vec<StepOutcome>),
}

impl Command for Apply {
    const NAME: &'static str = "apply";
    const ABOUT: &'static str = "Follow another topology: show the difference, then carry it out; only what changed restarts";
    const EXAMPLES: &'static [&'static str] =
        &["apply topology.toml", "apply topology.toml --dry-run"];
    type Args = Args;
    type Said = Said;

    fn prepare(args: &mut Args) -> Result<(), Fault> {
        args.text = load::text(&args.file)?;
        Ok(())
    }

    async fn serve(args: Args, side: Side, out: Out<Said>) -> Result<(), Refusal> {
        let source = Source::new(args.file.display().to_string(), args.text);
        let mut report = Report::default();
        let topology = read::read(&source, &mut report);
        check(&topology, side.house.catalogue(), Untie::Edit, &mut report);
        report.sort();
        if report.has_errors() {
            report
                .diagnostics
                .retain(|one| one.severity == genii_runtime::topology::Severity::Error);
            let message = format!("{} is no good topology:\n{report}", args.file.display());
            return Err(Refusal::new(message.trim_end()).help("nothing was changed"));
        }
        let own = side.house.node().name();
        let is_idle = !topology.agents.iter().any(|agent| topology.lives_on(agent, own));
        // A member of a household is of use without agents, too.
        if is_idle && side.house.node().cluster().is_none() {
            let message = format!("nothing in {} lives on {own}", args.file.display());
            return Err(
                Refusal::new(message).help("nothing was changed; `shutdown` stops everything")
            );
        }
        let difference = side.house.diff(&topology);
        let nothing = difference.is_empty();
        out.say(Said::Difference(difference.steps)).await?;
        if args.dry_run || nothing {
            return Ok(());
        }
        let applied = side.house.apply(topology).await;
        let failed = applied.steps.iter().filter(|outcome| outcome.error.is_some()).count();
        out.say(Said::Done(applied.steps)).await?;
        match failed {
            0 => Ok(()),
            1 => Err(Refusal::new("one step failed").help("`why NAME` tells more")),
            failed => Err(Refusal::new(format!("{failed} steps failed"))
                .help("`why NAME` tells more of each")),
        }
    }

    fn show(said: Said, screen: &mut Screen) {
        match said {
            Said::Difference(steps) if steps.is_empty() => screen.line("nothing changes"),
            Said::Difference(steps) => {
                for step in &steps {
                    screen.line(step.to_string());
                }
            }
            Said::Done(outcomes) => {
                let good = outcomes.iter().filter(|outcome| outcome.error.is_none()).count();
                screen.line(format!("done: {good} of {}", outcomes.len()));
                for outcome in &outcomes {
                    if let Some(error) = &outcome.error {
                        screen.line(format!("{}: {}", outcome.step, screen.red(error)));
                    }
                }
            }
        }
    }
}
