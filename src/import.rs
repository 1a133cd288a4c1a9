//! `genii import`: a topology from start-up files of before.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use genii_protocols::NodeName;
use serde_json::json;

use crate::commands::examples;
use crate::fault::Fault;
use crate::load::{self, From, LegacyArgs, legacy_file};
use crate::screen::{Screen, many};

#[derive(Debug, Args)]
#[command(after_help = examples(&[
    "genii import startup_config.yaml",
    "genii import startup_config.yaml --cut TaskRouter:EmotionEngine -o topology.toml",
    "genii import mainpc=main.yaml pc2=pc2.yaml -o topology.toml",
]))]
pub struct ImportArgs {
    /// Start-up files of before; NODE=FILE says which machine a file starts
    #[arg(value_name = "FILE", required = true, value_parser = legacy_file)]
    files: Vec<(Option<NodeName>, PathBuf)>,
    /// Where to write the topology [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    legacy: LegacyArgs,
    /// Print an object with `agents`, `topology` and `diagnostics`
    #[arg(long)]
    json: bool,
}

/// Makes a topology, or says everything that is wrong.
pub fn run(args: &ImportArgs) -> Result<ExitCode, Fault> {
    if let Some(output) = &args.output {
        let same = |path: &Path| {
            let of = |path: &Path| std::fs::canonicalize(path).ok();
            path == output || of(path).is_some_and(|path| of(output) == Some(path))
        };
        if args.files.iter().any(|(_, path)| same(path)) {
            let message = format!("{} is one of the files that are read", output.display());
            return Err(Fault::usage(message).help("name another file with -o"));
        }
    }
    let loaded = load::load(&From::Legacy(args.files.clone(), args.legacy.clone()))?;
    let is_good = !loaded.report.has_errors();
    let extras = loaded.imported.map(|imported| imported.extras).unwrap_or_default();
    let text = is_good.then(|| loaded.topology.to_toml(&extras));
    if let (Some(text), Some(path)) = (&text, &args.output) {
        write(path, text)?;
    }
    let mut screen = Screen::stdout();
    match (&text, &args.output) {
        _ if args.json => screen.line(
            json!({
                "agents": loaded.topology.agents.len(),
                "topology": text,
                "diagnostics": loaded.report,
            })
            .to_string(),
        ),
        (Some(text), None) => screen.line(text.trim_end()),
        _ => {}
    }
    if !args.json {
        crate::report::show(&loaded.report);
    }
    let shown = screen.finish()?;
    let warnings = loaded.report.warnings();
    let agents = loaded.topology.agents.len();
    match (is_good, &args.output) {
        (false, _) => Err(match loaded.report.errors() {
            1 => Fault::new("there is one error; no topology was written"),
            errors => Fault::new(format!("there are {errors} errors; no topology was written")),
        }),
        (true, Some(path)) => {
            let path = path.display();
            let agents = many(agents, "agent", "agents");
            let warnings = many(warnings, "warning", "warnings");
            crate::screen::complain(format_args!("{agents} written to {path}, with {warnings}"));
            crate::screen::complain(format_args!(
                "next: `genii plan {path}`, then `genii up --topology {path}`"
            ));
            Ok(shown)
        }
        (true, None) => Ok(shown),
    }
}

/// Writes a file whole or not at all.
fn write(path: &Path, text: &str) -> Result<(), Fault> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    std::fs::write(&beside, text).and_then(|()| std::fs::rename(&beside, path)).map_err(|error| {
        let _not_even_begun = std::fs::remove_file(&beside);
        Fault::new(format!("{} cannot be written: {error}", path.display()))
    })
}
