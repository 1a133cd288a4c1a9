//! One agent as a start-up file declares it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use genii_protocols::address::kebab;
use genii_protocols::{Address, Json, Name};
use serde_json::{Map, Value as JsonValue, json};

use super::super::diagnostic::{Diagnostic, Report};
use super::super::source::Place;
use super::super::tree::{Key, Node, Value};
use super::LegacyOptions;
use super::sections::{Section, Shared, environment};
use super::variables::PYTHON_PATH;

/// The keys that are understood.
const KNOWN: [&str; 12] = [
    "config",
    "dependencies",
    "env",
    "env_vars",
    "environment",
    "health_check_port",
    "host",
    "name",
    "params",
    "port",
    "required",
    "script_path",
];

/// Hosts that mean this machine.
const HERE: [&str; 5] = ["0.0.0.0", "127.0.0.1", "localhost", "::", "*"];

/// An agent.
pub(super) struct LegacyAgent {
    /// The number of the file that declares it.
    pub(super) file: usize,
    /// What it was called.
    pub(super) name: String,
    /// Where that stands.
    pub(super) place: Place,
    pub(super) group: Name,
    pub(super) short: Name,
    pub(super) required: bool,
    /// Whom it depends on, and where that stands.
    pub(super) dependencies: Vec<(String, Place)>,
    pub(super) port: Option<(u16, Place)>,
    /// Whether the file names a port, if only a bad one.
    pub(super) says_port: bool,
    /// The port on which it answers health checks; assigned if the file does not say.
    pub(super) health_port: Option<(u16, Place)>,
    pub(super) shared: Arc<Shared>,
    script: String,
    host: Option<String>,
    args: Map<String, JsonValue>,
    env: BTreeMap<String, String>,
    python_path: Vec<PathBuf>,
}

impl LegacyAgent {
    /// Reads an agent. `None` if it cannot be, which is then reported.
    pub(super) fn read(
        section: &Section,
        key: Option<&Key>,
        node: &Node,
        options: &LegacyOptions<'_>,
        report: &mut Report,
    ) -> Option<Self> {
        if !matches!(node.value, Value::Map(_)) {
            let what = key.map_or("an agent", |key| &key.name);
            let message = format!("{what} must be a table, and is {}", node.what());
            report.push(Diagnostic::error("wrong-type", message).at(&node.place));
            return None;
        }
        let (name, place) = name_of(key, node, report)?;
        let group = Name::new(&kebab(&section.name)).ok();
        let short = Name::new(&kebab(&name)).map_err(|error| {
            let message = format!("{name:?} makes no address: {error}");
            report.push(Diagnostic::error("bad-name", message).at(&place));
        });
        let mut reader = Reader { name: &name, node, options, report: &mut *report };
        reader.say_unknown_keys();
        let script = reader.script(&place);
        let (env, python_path) = reader.env();
        let agent = Self {
            file: section.file,
            group: group?,
            short: short.ok()?,
            required: reader.required(),
            dependencies: reader.dependencies(),
            port: reader.port("port"),
            says_port: node.get("port").is_some(),
            health_port: reader.port("health_check_port"),
            shared: section.shared.clone(),
            script: script?,
            host: reader.text("host"),
            args: reader.args(),
            env,
            python_path,
            name: name.clone(),
            place,
        };
        Some(agent)
    }

    /// Where it is reached.
    pub(super) fn address(&self) -> Address {
        Address::new(&self.group, &self.short)
    }

    /// Its settings as a process agent, without those that all share.
    pub(super) fn settings(&self) -> Json {
        let mut settings = Map::new();
        let mut set = |key: &str, value: JsonValue| drop(settings.insert(key.to_owned(), value));
        set("script", json!(self.script));
        set("name", json!(self.name));
        if let Some((port, _)) = self.port {
            set("port", json!(port));
        }
        if let Some((port, _)) = self.health_port {
            set("health_port", json!(port));
            set("ready", json!({ "zmq": self.health_endpoint(port) }));
        }
        if !self.args.is_empty() {
            set("args", json!(self.args));
        }
        if !self.env.is_empty() {
            set("env", json!(self.env));
        }
        if !self.python_path.is_empty() {
            set("python_path", json!(self.python_path));
        }
        Json(settings.into())
    }

    fn health_endpoint(&self, port: u16) -> JsonValue {
        match &self.host {
            Some(host) if !HERE.contains(&host.as_str()) => json!(format!("{host}:{port}")),
            _ => json!(port),
        }
    }
}

fn name_of(key: Option<&Key>, node: &Node, report: &mut Report) -> Option<(String, Place)> {
    let own = node.get("name");
    match (own.and_then(Node::text), key) {
        (Some(name), _) if !name.trim().is_empty() => {
            let place = own.map_or(&node.place, |own| &own.place);
            Some((name.trim().to_owned(), place.clone()))
        }
        (_, Some(key)) => Some((key.name.clone(), key.place.clone())),
        _ => {
            let message = "an agent has no name";
            let help = "give it one, as `name: TaskRouter`";
            report.push(Diagnostic::error("missing-key", message).at(&node.place).help(help));
            None
        }
    }
}

struct Reader<'a, 'r> {
    name: &'a str,
    node: &'a Node,
    options: &'a LegacyOptions<'a>,
    report: &'r mut Report,
}

impl<'a> Reader<'a, '_> {
    fn say_unknown_keys(&mut self) {
        for (key, _) in self.node.entries() {
            if !KNOWN.contains(&key.name.as_str()) {
                let message =
                    format!("{} of {} is not understood, and left out", key.name, self.name);
                self.report.push(Diagnostic::warning("not-understood", message).at(&key.place));
            }
        }
    }

    fn script(&mut self, place: &Place) -> Option<String> {
        let script = self.text("script_path").filter(|script| !script.is_empty());
        if script.is_none() {
            let message = format!("{} has no script_path", self.name);
            self.report.push(Diagnostic::error("missing-key", message).at(place));
        }
        script
    }

    fn text(&mut self, key: &str) -> Option<String> {
        let node = self.node.get(key).filter(|node| !matches!(node.value, Value::Null))?;
        match node.text() {
            Some(text) => Some(text.trim().to_owned()),
            None => {
                self.wrong(key, node, "text");
                None
            }
        }
    }

    fn required(&mut self) -> bool {
        match self.node.get("required") {
            None => false,
            Some(node) => match (&node.value, node.text().map(str::to_lowercase).as_deref()) {
                (Value::Bool(required), _) => *required,
                (_, Some("true")) => true,
                (_, Some("false")) | (Value::Null, _) => false,
                _ => {
                    self.wrong("required", node, "true or false");
                    false
                }
            },
        }
    }

    fn dependencies(&mut self) -> Vec<(String, Place)> {
        let Some(node) = self.node.get("dependencies") else { return Vec::new() };
        let items = match &node.value {
            Value::List(items) => items.as_slice(),
            Value::Text(_) => std::slice::from_ref(node),
            Value::Null => &[],
            _ => {
                self.wrong("dependencies", node, "a list of names");
                &[]
            }
        };
        let mut dependencies = Vec::with_capacity(items.len());
        for item in items {
            match item.text() {
                Some(name) => dependencies.push((name.trim().to_owned(), item.place.clone())),
                None => self.wrong("dependencies", item, "a list of names"),
            }
        }
        dependencies
    }

    fn port(&mut self, key: &str) -> Option<(u16, Place)> {
        let node = self.node.get(key).filter(|node| !matches!(node.value, Value::Null))?;
        let number = match &node.value {
            Value::Int(number) => u16::try_from(*number).ok(),
            Value::Text(text) => text.trim().parse().ok(),
            _ => None,
        };
        match number {
            Some(port) if port > 0 => Some((port, node.place.clone())),
            _ => {
                let message = format!("{key} of {} is not a port from 1 to 65535", self.name);
                self.report.push(Diagnostic::error("bad-value", message).at(&node.place));
                None
            }
        }
    }

    /// `--key=value` for each of its parameters. What is itself a list or a table is passed as
    /// JSON.
    fn args(&mut self) -> Map<String, JsonValue> {
        let mut args = Map::new();
        for section in ["params", "config"] {
            for (key, node) in self.table(section) {
                let value = match node.value {
                    Value::List(_) | Value::Map(_) => {
                        let message = format!(
                            "{} in {section} of {} is {}, and is passed as JSON",
                            key.name,
                            self.name,
                            node.what()
                        );
                        let warning = Diagnostic::warning("passed-as-json", message);
                        self.report.push(warning.at(&key.place));
                        node.json().to_string().into()
                    }
                    _ => node.json().0,
                };
                args.insert(key.name.clone(), value);
            }
        }
        args
    }

    fn env(&mut self) -> (BTreeMap<String, String>, Vec<PathBuf>) {
        let (mut env, mut python_path) = (BTreeMap::new(), Vec::new());
        for section in ["environment", "env_vars", "env"] {
            for (key, node) in self.table(section) {
                let variable = self.options.variable;
                let inherited = |name: &str| (name != PYTHON_PATH).then(|| variable(name))?;
                environment(key, node, &mut env, &mut python_path, &inherited);
            }
        }
        (env, python_path)
    }

    fn table(&mut self, section: &str) -> &'a [(Key, Node)] {
        let Some(node) = self.node.get(section) else { return &[] };
        if !matches!(node.value, Value::Map(_) | Value::Null) {
            self.wrong(section, node, "a table");
        }
        node.entries()
    }

    fn wrong(&mut self, key: &str, node: &Node, expected: &str) {
        let message = format!("{key} of {} must be {expected}, and is {}", self.name, node.what());
        self.report.push(Diagnostic::error("wrong-type", message).at(&node.place));
    }
}
