//! How `up` was called, for whoever is told to call it again.

use std::path::{Path, PathBuf};

use genii_protocols::{Name, NodeName};

use super::UpArgs;
use crate::load::LegacyArgs;

/// What stands behind `genii up` and matters for what is started, as a shell reads it anywhere.
pub fn words(args: &UpArgs) -> String {
    let mut words = Vec::new();
    if args.local.local_cluster {
        words.push("--local-cluster".to_owned());
    }
    if let Some(node) = &args.node {
        words.extend(["--node".to_owned(), node.to_string()]);
    }
    if let Some(file) = &args.topology {
        words.extend(["--topology".to_owned(), absolute(file)]);
    }
    if !args.legacy.is_empty() {
        words.extend(legacy(&args.legacy, &args.legacy_args));
    }
    if !args.only.is_empty() {
        let only: Vec<&str> = args.only.iter().map(Name::as_str).collect();
        words.extend(["--only".to_owned(), only.join(",")]);
    }
    let quoted = shlex::try_join(words.iter().map(String::as_str));
    quoted.expect("no argument of a program has a zero byte in it")
}

/// Start-up files of before, and what is done about their faults.
fn legacy(files: &[(Option<NodeName>, PathBuf)], args: &LegacyArgs) -> Vec<String> {
    let LegacyArgs { cut, stub_missing, root } = args;
    let mut words = vec!["--legacy".to_owned()];
    words.extend(files.iter().map(|(node, file)| match node {
        Some(node) => format!("{node}={}", absolute(file)),
        None => absolute(file),
    }));
    for (from, to) in cut {
        words.extend(["--cut".to_owned(), format!("{from}:{to}")]);
    }
    if *stub_missing {
        words.push("--stub-missing".to_owned());
    }
    // Where nothing is said, scripts are found from where it was called.
    let root = root.as_deref().unwrap_or(Path::new("."));
    words.extend(["--root".to_owned(), absolute(root)]);
    words
}

fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}

#[cfg(test)]
mod tests {
    use clap::{Args, Command, FromArgMatches};

    use super::*;

    fn kept(line: &str) -> String {
        let command = UpArgs::augment_args(Command::new("up").no_binary_name(true));
        let matches = command.try_get_matches_from(shlex::split(line).unwrap()).unwrap();
        words(&UpArgs::from_arg_matches(&matches).unwrap())
    }

    #[test]
    fn what_matters_is_kept_and_can_be_typed_anywhere() {
        let here = std::env::current_dir().unwrap();
        let here = here.to_str().unwrap();
        let legacy = format!("--legacy pc2=/a.yaml /b.yaml --cut A:B --stub-missing --root {here}");
        for (line, expected) in [
            ("", String::new()),
            ("--plain", String::new()),
            ("--local-cluster --restart-after 1s", "--local-cluster".to_owned()),
            (
                "--topology x/house.toml --node pc2",
                format!("--node pc2 --topology {here}/x/house.toml"),
            ),
            ("--topology '/my house.toml'", "--topology '/my house.toml'".to_owned()),
            ("--only a,b", "--only a,b".to_owned()),
            ("--legacy pc2=/a.yaml /b.yaml --cut A:B --stub-missing", legacy),
        ] {
            let words = kept(line);
            assert_eq!(shlex::split(&words), shlex::split(&expected), "{line}");
            // Whoever types it keeps the same.
            assert_eq!(kept(&words), words, "{line}");
        }
    }
}
