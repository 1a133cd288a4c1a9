//! What is set for a household: in `genii.toml`, then in the environment, then by flags.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use genii_protocols::{NodeName, TimeSpan};
use genii_runtime::Limits;
use genii_runtime::trust::{Authority, Identity};
use serde::Serialize;

use crate::data::Data;
use crate::fault::Fault;

/// Where a value comes from that nobody has set.
const BUILT_IN: &str = "built in";

/// A setting as it is declared.
struct Setting {
    name: &'static str,
    usual: &'static str,
    about: &'static str,
    /// What is wrong with a value, if anything.
    fault: fn(&str) -> Option<String>,
}

/// All settings, in the order of their names.
const SETTINGS: [Setting; 11] = [
    Setting {
        name: "ask_timeout",
        usual: "5s",
        about: "how long an ask waits for its answer",
        fault: not_a_span,
    },
    Setting {
        name: "clients",
        usual: "",
        about: "where clients reach this machine over TLS, as 0.0.0.0:7421; nowhere if empty",
        fault: not_a_port,
    },
    Setting {
        name: "handler_patience",
        usual: "10s",
        about: "how long a handler may run before it is written down by name",
        fault: not_a_span,
    },
    Setting {
        name: "journal_capacity",
        usual: "10000",
        about: "how many lifecycle events are kept",
        fault: not_a_number,
    },
    Setting {
        name: "listen",
        usual: "",
        about: "where other machines reach this one, as 0.0.0.0:7420; nowhere if empty",
        fault: not_a_port,
    },
    Setting {
        name: "log",
        usual: "info",
        about: "what is logged, as a level or as tracing directives",
        fault: not_a_filter,
    },
    Setting {
        name: "log_file_mb",
        usual: "10",
        about: "how large the log file grows before it is set aside",
        fault: not_a_number,
    },
    Setting {
        name: "log_files",
        usual: "5",
        about: "how many log files are kept",
        fault: not_a_number,
    },
    Setting {
        name: "node",
        usual: "main",
        about: "the name of this machine in the household",
        fault: not_a_node,
    },
    Setting {
        name: "tell_patience",
        usual: "5s",
        about: "how long a tell waits for room in a mailbox",
        fault: not_a_span,
    },
    Setting {
        name: "topology",
        usual: "",
        about: "the topology file of `genii up`; the one that is built in if empty",
        fault: |_| None,
    },
];

/// A setting with its value, and where that came from.
#[derive(Debug, Clone, Serialize)]
pub struct Effective {
    /// Its name.
    pub name: &'static str,
    /// Its value.
    pub value: String,
    /// Where that came from.
    pub from: String,
    /// What it is for.
    pub about: &'static str,
}

/// What is set for a household.
#[derive(Debug, Clone)]
pub struct Settings {
    effective: Vec<Effective>,
}

impl Settings {
    /// Reads all settings. `flags` are those that were given on the command line.
    ///
    /// # Errors
    /// When a value is wrong, or a setting not known; which, and where it stands.
    pub fn read(data: &Data, flags: &[(&'static str, String)]) -> Result<Self, Fault> {
        let in_file = read_file(data)?;
        let mut effective = Vec::with_capacity(SETTINGS.len());
        for setting in &SETTINGS {
            let variable = variable(setting.name);
            let flag = flags.iter().find(|(name, _)| *name == setting.name);
            let (value, from) = if let Some((_, value)) = flag {
                (value.clone(), format!("--{}", setting.name.replace('_', "-")))
            } else if let Some(value) = std::env::var_os(&variable) {
                let value = value.into_string().map_err(|value| {
                    Fault::usage(format!(
                        "the environment variable {variable} is no text: {value:?}"
                    ))
                })?;
                (value, variable)
            } else if let Some(value) = in_file.get(setting.name) {
                (value.clone(), data.settings_file().display().to_string())
            } else {
                by_certificate(setting.name, data)
                    .unwrap_or_else(|| (setting.usual.to_owned(), BUILT_IN.to_owned()))
            };
            if let Some(fault) = (setting.fault)(&value) {
                let message =
                    format!("the setting {} from {from} is {value:?}, which {fault}", setting.name);
                return Err(
                    Fault::usage(message).help(format!("{}: {}", setting.name, setting.about))
                );
            }
            effective.push(Effective { name: setting.name, value, from, about: setting.about });
        }
        Ok(Self { effective })
    }

    /// All settings with where they came from.
    pub fn effective(&self) -> &[Effective] {
        &self.effective
    }

    /// The value of a setting, which has been looked at before.
    pub fn text(&self, name: &str) -> &str {
        let found = self.effective.iter().find(|setting| setting.name == name);
        found.map_or("", |setting| &setting.value)
    }

    /// Whether nobody has said what a setting is to be.
    pub fn is_built_in(&self, name: &str) -> bool {
        self.effective.iter().any(|setting| setting.name == name && setting.from == BUILT_IN)
    }

    fn number(&self, name: &str) -> usize {
        self.text(name).parse().unwrap_or_default()
    }

    fn span(&self, name: &str) -> std::time::Duration {
        self.text(name).parse::<TimeSpan>().unwrap_or_default().0
    }

    /// The name of this machine.
    pub fn node(&self) -> NodeName {
        NodeName::new(self.text("node")).expect("the name was looked at when it was read")
    }

    /// Where it listens to other machines, if it does.
    pub fn listen(&self) -> Option<SocketAddr> {
        self.text("listen").parse().ok()
    }

    /// Where it listens to clients, if it does.
    pub fn clients(&self) -> Option<SocketAddr> {
        self.text("clients").parse().ok()
    }

    /// The bounds of the node.
    pub fn limits(&self) -> Limits {
        Limits {
            ask_timeout: self.span("ask_timeout"),
            tell_patience: self.span("tell_patience"),
            handler_patience: self.span("handler_patience"),
            journal_capacity: self.number("journal_capacity"),
            ..Limits::default()
        }
    }

    /// The topology file, if one is set. One that is set in the data folder is found from there.
    pub fn topology(&self, data: &Data) -> Option<PathBuf> {
        let setting = self.effective.iter().find(|setting| setting.name == "topology")?;
        let path = Some(PathBuf::from(&setting.value)).filter(|path| path != Path::new(""))?;
        let is_in_file = setting.from == data.settings_file().display().to_string();
        Some(if is_in_file { data.folder().join(path) } else { path })
    }

    /// How large the log file grows, in bytes, and how many are kept.
    pub fn log_files(&self) -> (u64, usize) {
        (self.number("log_file_mb") as u64 * 1_000_000, self.number("log_files"))
    }
}

/// The name of a machine that belongs to a household, where nothing else is set.
fn by_certificate(name: &str, data: &Data) -> Option<(String, String)> {
    let is_node = name == "node";
    // One that cannot be read is told of where it is needed.
    let identity = Identity::open(&data.trust()).ok().flatten().filter(|_| is_node)?;
    // While it is alone, its name is not known to anybody, and may be another each time.
    let authority = Authority::open(&data.trust()).ok().flatten();
    if authority.is_some_and(|authority| authority.is_alone().unwrap_or_default()) {
        return None;
    }
    Some((identity.node().to_string(), data.trust().join("node.crt").display().to_string()))
}

fn variable(name: &str) -> String {
    format!("GENII_{}", name.to_uppercase())
}

fn read_file(data: &Data) -> Result<HashMap<String, String>, Fault> {
    let path = data.settings_file();
    // A folder that cannot be is told of where it is needed.
    let is_missing = |error: std::io::Error| {
        matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
    };
    if std::fs::metadata(&path).err().is_some_and(is_missing) {
        return Ok(HashMap::new());
    }
    let text = crate::load::text(&path).map_err(Fault::of_usage)?;
    let table: toml::Table = toml::from_str(&text).map_err(|error| {
        Fault::usage(format!("{}: {}", path.display(), error.to_string().trim()))
    })?;
    let mut values = HashMap::new();
    for (name, value) in table {
        if !SETTINGS.iter().any(|setting| setting.name == name) {
            let names = SETTINGS.iter().map(|setting| setting.name);
            let help = match genii_runtime::nearest(&name, names.clone()) {
                Some(nearest) => format!("did you mean {nearest}?"),
                None => format!("the settings are {}", names.collect::<Vec<_>>().join(", ")),
            };
            let message = format!("{} has an unknown setting {name:?}", path.display());
            return Err(Fault::usage(message).help(help));
        }
        let value = match value {
            toml::Value::String(text) => text,
            other => other.to_string(),
        };
        values.insert(name, value);
    }
    Ok(values)
}

fn not_a_span(text: &str) -> Option<String> {
    match text.parse::<TimeSpan>() {
        Ok(span) if !span.0.is_zero() => None,
        Ok(_) => Some("is no time at all".to_owned()),
        Err(error) => Some(format!("is not a time span such as \"5s\": {error}")),
    }
}

fn not_a_number(text: &str) -> Option<String> {
    let number = text.parse::<u32>();
    let good = number.is_ok_and(|number| (1..=1_000_000_000).contains(&number));
    (!good).then(|| "is not a whole number of at least 1".to_owned())
}

fn not_a_node(text: &str) -> Option<String> {
    NodeName::new(text).err().map(|error| format!("is not a node name: {error}"))
}

fn not_a_port(text: &str) -> Option<String> {
    let good = text.is_empty() || text.parse::<SocketAddr>().is_ok();
    (!good).then(|| "is not an address with a port, as 0.0.0.0:7420".to_owned())
}

fn not_a_filter(text: &str) -> Option<String> {
    // What is no level would be taken for the name of a part of genii, and nothing be logged.
    let is_level = |word: &str| word.parse::<tracing_subscriber::filter::LevelFilter>().is_ok();
    let unknown = text.split(',').find(|part| !part.contains(['=', '[']) && !is_level(part.trim()));
    if let Some(unknown) = unknown {
        return Some(format!(
            "is not a level (off, error, warn, info, debug, trace) or tracing directives: {unknown:?}"
        ));
    }
    let filter = text.parse::<tracing_subscriber::EnvFilter>();
    filter.err().map(|error| format!("is not a level or tracing directives: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn house(settings: &str) -> (tempfile::TempDir, Data) {
        let scratch = tempfile::tempdir().unwrap();
        std::fs::write(scratch.path().join("genii.toml"), settings).unwrap();
        let data = Data::new(Some(scratch.path().to_owned())).unwrap();
        (scratch, data)
    }

    #[test]
    fn flags_stand_above_the_file_and_the_file_above_what_is_built_in() {
        let (_scratch, data) = house("node = \"pc2\"\nask_timeout = \"9s\"\nlog_files = 3\n");
        let settings = Settings::read(&data, &[("node", "mainpc".to_owned())]).unwrap();
        assert_eq!(settings.node().as_str(), "mainpc");
        assert_eq!(settings.limits().ask_timeout.as_secs(), 9);
        assert_eq!(settings.log_files(), (10_000_000, 3));
        let from = |name: &str| {
            settings.effective().iter().find(|setting| setting.name == name).unwrap().from.clone()
        };
        assert_eq!(from("node"), "--node");
        assert!(from("ask_timeout").ends_with("genii.toml"));
        assert_eq!(from("log"), "built in");
    }

    #[test]
    fn what_is_wrong_is_said_with_its_name_and_place() {
        let said = |text: &str| {
            let (_scratch, data) = house(text);
            Settings::read(&data, &[]).map(drop).unwrap_err().to_string()
        };
        assert!(said("ask_timeot = \"1s\"").contains("did you mean ask_timeout?"));
        assert!(said("ask_timeout = \"soon\"").contains("is not a time span"));
        assert!(said("log_files = 0").contains("at least 1"));
        assert!(said("log = \"wran\"").contains("\"wran\""));
        assert!(said("log = \"info,noise\"").contains("\"noise\""));
        assert!(said("node = \"My PC\"").contains("not a node name"));
        assert!(said("node = ").contains("genii.toml"));
    }

    #[test]
    fn settings_stand_in_the_order_of_their_names() {
        assert!(SETTINGS.windows(2).all(|pair| pair[0].name < pair[1].name));
    }
}
