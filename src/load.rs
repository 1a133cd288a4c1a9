//! Reading a topology: the one that is built in, a file, or start-up files of before.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use genii_actors::catalogue;
use genii_protocols::NodeName;
use genii_runtime::topology::check::Untie;
use genii_runtime::topology::legacy::{self, Imported, LegacyFile, LegacyOptions};
use genii_runtime::topology::{Report, Source, Topology, check, read};

use crate::fault::Fault;

/// How large a file may be, in bytes.
const FILE_MAX_LEN: u64 = 8 * 1024 * 1024;

/// Start-up files of before, and what to do about their faults.
#[derive(Debug, Clone, Default, Args)]
pub struct LegacyArgs {
    /// Leave out that A depends on B; names as in the file, or addresses
    #[arg(long, value_name = "A:B", value_parser = cut)]
    pub cut: Vec<(String, String)>,
    /// Turn a dependency that no file declares into a wish
    #[arg(long)]
    pub stub_missing: bool,
    /// Where scripts are found [default: the working directory]
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
}

impl LegacyArgs {
    /// Refuses options that are about start-up files of before where there are none.
    ///
    /// # Errors
    /// When there are such options, and no such files.
    pub fn refuse_without(&self, files: &[(Option<NodeName>, PathBuf)]) -> Result<(), Fault> {
        let is_given = !self.cut.is_empty() || self.stub_missing || self.root.is_some();
        if is_given && files.is_empty() {
            let message = "--cut, --stub-missing and --root are about start-up files of before";
            return Err(Fault::usage(message).help("name those with --legacy FILE"));
        }
        Ok(())
    }
}

/// Reads `A:B`.
fn cut(text: &str) -> Result<(String, String), String> {
    match text.split_once(':') {
        Some((from, to)) if !from.trim().is_empty() && !to.trim().is_empty() => {
            Ok((from.trim().to_owned(), to.trim().to_owned()))
        }
        _ => Err("it must be A:B, as TaskRouter:EmotionEngine".to_owned()),
    }
}

/// Where a topology comes from.
#[derive(Debug, Clone)]
pub enum From {
    /// Built into genii.
    BuiltIn,
    /// Built into genii, for two machines.
    TwoMachines,
    /// A file.
    File(PathBuf),
    /// Start-up files of before, each with the machine that it starts, if that was said.
    Legacy(Vec<(Option<NodeName>, PathBuf)>, LegacyArgs),
}

/// A topology that was read and checked.
pub struct Loaded {
    /// The topology; of no use if the report has errors.
    pub topology: Topology,
    /// What is wrong with it.
    pub report: Report,
    /// What else came from start-up files of before.
    pub imported: Option<Imported>,
}

/// Reads and checks a topology.
///
/// # Errors
/// When a file cannot be read. What is wrong in a file is in the report.
pub fn load(from: &From) -> Result<Loaded, Fault> {
    let mut report = Report::default();
    let loaded = match from {
        From::BuiltIn => {
            let source = Source::new("built in", genii_actors::BUILT_IN_TOPOLOGY);
            one_file(&source, report)
        }
        From::TwoMachines => {
            let source = Source::new("built in", genii_actors::TWO_MACHINES_TOPOLOGY);
            one_file(&source, report)
        }
        From::File(path) => {
            refuse_yaml(path)?;
            one_file(&source(path)?, report)
        }
        From::Legacy(files, args) => {
            files.iter().try_for_each(|(_, path)| refuse_toml(path))?;
            let files = files
                .iter()
                .map(|(node, path)| Ok(LegacyFile { source: source(path)?, node: node.clone() }))
                .collect::<Result<Vec<_>, Fault>>()?;
            let options = LegacyOptions {
                cuts: args.cut.clone(),
                stub_missing: args.stub_missing,
                root: args
                    .root
                    .as_ref()
                    .map(|root| std::path::absolute(root).unwrap_or(root.clone())),
                variable: &|name| std::env::var(name).ok(),
            };
            let imported = legacy::read(&files, &options, &mut report);
            let untie = Untie::Option(&imported.names);
            check(&imported.topology, &catalogue(), untie, &mut report);
            let topology = imported.topology.clone();
            Loaded { topology, report, imported: Some(imported) }
        }
    };
    let mut loaded = loaded;
    loaded.report.sort();
    Ok(loaded)
}

fn one_file(source: &Arc<Source>, mut report: Report) -> Loaded {
    let topology = read::read(source, &mut report);
    check(&topology, &catalogue(), Untie::Edit, &mut report);
    Loaded { topology, report, imported: None }
}

fn source(path: &Path) -> Result<Arc<Source>, Fault> {
    Ok(Source::new(path.display().to_string(), text(path)?))
}

fn refuse_yaml(path: &Path) -> Result<(), Fault> {
    let is_yaml = path.extension().is_some_and(|ending| ending == "yaml" || ending == "yml");
    if !is_yaml {
        return Ok(());
    }
    let shown = path.display();
    let help =
        format!("`genii import {shown}` makes a topology of it; --legacy {shown} uses it so");
    Err(Fault::usage(format!("{shown} is YAML, and a topology is TOML")).help(help))
}

fn refuse_toml(path: &Path) -> Result<(), Fault> {
    if path.extension().is_none_or(|ending| ending != "toml") {
        return Ok(());
    }
    let shown = path.display();
    let help = format!("`genii plan {shown}` checks it, `genii up --topology {shown}` runs it");
    Err(Fault::usage(format!("{shown} is TOML, and start-up files of before are YAML")).help(help))
}

/// The text of a file.
///
/// # Errors
/// When it cannot be read, is too large, or is no text.
pub fn text(path: &Path) -> Result<String, Fault> {
    let shown = path.display();
    String::from_utf8(bytes(path, FILE_MAX_LEN)?).map_err(|error| {
        let line = 1 + error.as_bytes()[..error.utf8_error().valid_up_to()]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count();
        Fault::new(format!("{shown}:{line}: it is not UTF-8 text")).help("save it as UTF-8")
    })
}

/// What a file holds that may be so large, in bytes.
///
/// # Errors
/// When it cannot be read, or is larger.
pub fn bytes(path: &Path, max_len: u64) -> Result<Vec<u8>, Fault> {
    let shown = path.display();
    let unread = |error: &std::io::Error| {
        let help = match error.kind() {
            std::io::ErrorKind::PermissionDenied => "see whose it is, and that you may read it",
            std::io::ErrorKind::NotFound => "is it the file that you meant?",
            _ => "",
        };
        Fault::new(format!("{shown} cannot be read: {error}")).help(help)
    };
    let about = std::fs::metadata(path).map_err(|error| unread(&error))?;
    if about.is_dir() {
        return Err(Fault::new(format!("{shown} is a folder")).help("name a file in it"));
    }
    let too_large = || {
        let message = format!("{shown} is larger than {} MiB", max_len / 1024 / 1024);
        Fault::new(message).help("is it the file that you meant?")
    };
    // Not as large as it says, but as large as it is: some files say nothing, and never end.
    let file = std::fs::File::open(path).map_err(|error| unread(&error))?;
    let mut bytes = Vec::new();
    let read = file.take(max_len + 1).read_to_end(&mut bytes);
    if read.map_err(|error| unread(&error))? as u64 > max_len {
        return Err(too_large());
    }
    Ok(bytes)
}

/// Reads `FILE`, or `NODE=FILE` for the machine that the file starts.
///
/// # Errors
/// When the node's name is no name.
pub fn legacy_file(text: &str) -> Result<(Option<NodeName>, PathBuf), String> {
    match text.split_once('=') {
        Some((node, file)) if !Path::new(text).exists() => {
            let node = NodeName::new(node).map_err(|error| error.to_string())?;
            Ok((Some(node), PathBuf::from(file)))
        }
        _ => Ok((None, PathBuf::from(text))),
    }
}

/// The fault for a topology that is refused.
pub fn refused(report: &Report) -> Fault {
    match report.errors() {
        1 => Fault::new("there is one error; nothing was started"),
        errors => Fault::new(format!("there are {errors} errors; nothing was started")),
    }
}
