//! Which parts of a file are groups of agents, which are settings for all, and which are neither.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use genii_protocols::address::kebab;
use genii_protocols::{Json, Name, TimeSpan};
use serde_json::json;

use super::super::AgentPolicy;
use super::super::diagnostic::{Diagnostic, Report};
use super::super::source::{Place, Source};
use super::super::tree::{Key, Node, Value};
use super::LegacyOptions;
use super::agent::LegacyAgent;
use super::variables::PYTHON_PATH;
use crate::process::settings::Liveness;

/// How long an agent may take to become ready where the file does not say.
const START_TIMEOUT: Duration = Duration::from_secs(120);

/// The section that holds groups as tables.
const AGENT_GROUPS: &str = "agent_groups";

/// The section that holds settings for all.
const GLOBAL_SETTINGS: &str = "global_settings";

/// The section that names no group: its group is called after its file.
const AGENTS: &str = "agents";

/// A group of agents in a file.
pub(super) struct Section {
    /// The number of the file.
    pub(super) file: usize,
    /// What the group was called.
    pub(super) name: String,
    /// Where it begins.
    pub(super) place: Place,
    /// What the file sets for all its agents.
    pub(super) shared: Arc<Shared>,
    /// The agents: where each is declared, under which name if the file says so there, and how.
    entries: Vec<(Option<Key>, Node)>,
}

impl Section {
    /// The name of the group in a topology.
    pub(super) fn group_name(&self, report: &mut Report) -> Option<Name> {
        let name = Name::new(&kebab(&self.name));
        name.map_err(|error| {
            let message = format!("{:?} makes no group: {error}", self.name);
            report.push(Diagnostic::error("bad-name", message).at(&self.place));
        })
        .ok()
    }

    /// The agents that can be read.
    pub(super) fn agents(
        &self,
        options: &LegacyOptions<'_>,
        report: &mut Report,
    ) -> Vec<LegacyAgent> {
        let entries = self.entries.iter();
        entries
            .filter_map(|(key, node)| LegacyAgent::read(self, key.as_ref(), node, options, report))
            .collect()
    }
}

/// What a file sets for all its agents.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Shared {
    pub(super) env: BTreeMap<String, String>,
    pub(super) python_path: Vec<PathBuf>,
    interval: Option<Duration>,
    timeout: Option<Duration>,
    failures: Option<u32>,
    start_timeout: Option<Duration>,
}

impl Shared {
    /// As settings of process agents.
    pub(super) fn settings(&self, root: Option<&PathBuf>) -> Json {
        let mut settings = serde_json::Map::new();
        if let Some(root) = root {
            settings.insert("root".into(), json!(root));
        }
        if !self.python_path.is_empty() {
            settings.insert("python_path".into(), json!(self.python_path));
        }
        if !self.env.is_empty() {
            settings.insert("env".into(), json!(self.env));
        }
        if let Some(live) = self.live() {
            settings.insert("live".into(), json!(live));
        }
        Json(settings.into())
    }

    fn live(&self) -> Option<Liveness> {
        let says_nothing =
            self.interval.is_none() && self.timeout.is_none() && self.failures.is_none();
        let usual = Liveness::default();
        (!says_nothing).then(|| Liveness {
            every: self.interval.map_or(usual.every, TimeSpan),
            timeout: self.timeout.map_or(usual.timeout, TimeSpan),
            failures: self.failures.unwrap_or(usual.failures),
            ..usual
        })
    }

    /// As a policy.
    pub(super) fn policy(&self) -> AgentPolicy {
        let start_timeout = self.start_timeout.unwrap_or(START_TIMEOUT);
        AgentPolicy { start_timeout, ..AgentPolicy::default() }
    }
}

/// Reads the sections of a file.
pub(super) fn read(
    number: usize,
    source: &Arc<Source>,
    root: Node,
    options: &LegacyOptions<'_>,
    report: &mut Report,
) -> Vec<Section> {
    let mut reader = Reader { options, report, shared: Shared::default(), groups: Vec::new() };
    for (key, node) in root.entries() {
        reader.section(key, node);
    }
    let Reader { shared, groups, .. } = reader;
    if groups.is_empty() {
        let message = format!("{} holds no agents", source.name);
        let help = "agents stand in lists under the names of their groups, or under `agents`, \
                    `agent_groups` or the like";
        report.push(Diagnostic::error("no-agents", message).at(&root.place).help(help));
    }
    let shared = Arc::new(shared);
    let section = |(key, entries): (Key, Vec<_>)| Section {
        file: number,
        name: if key.name == AGENTS { stem(source) } else { key.name },
        place: key.place,
        shared: shared.clone(),
        entries,
    };
    groups.into_iter().map(section).collect()
}

/// The name of a file without its folder and its ending.
fn stem(source: &Source) -> String {
    let stem = std::path::Path::new(&source.name).file_stem().map(|stem| stem.to_string_lossy());
    stem.filter(|stem| !kebab(stem).is_empty()).map_or(AGENTS.to_owned(), |stem| stem.into_owned())
}

/// A group: where its name stands, and its agents.
type Group = (Key, Vec<(Option<Key>, Node)>);

struct Reader<'a, 'o> {
    options: &'a LegacyOptions<'o>,
    report: &'a mut Report,
    shared: Shared,
    groups: Vec<Group>,
}

impl Reader<'_, '_> {
    fn section(&mut self, key: &Key, node: &Node) {
        match key.name.as_str() {
            AGENT_GROUPS if matches!(node.value, Value::Map(_)) => {
                for (key, node) in node.entries() {
                    match group_of(node) {
                        Some(entries) => self.groups.push((key.clone(), entries)),
                        None => self.not_understood(key, node),
                    }
                }
            }
            GLOBAL_SETTINGS if matches!(node.value, Value::Map(_)) => {
                for (key, node) in node.entries() {
                    self.for_all(key, node);
                }
            }
            _ => match group_of(node) {
                Some(entries) => self.groups.push((key.clone(), entries)),
                None => self.for_all(key, node),
            },
        }
    }

    fn for_all(&mut self, key: &Key, node: &Node) {
        match (key.name.as_str(), &node.value) {
            ("environment", Value::Map(entries)) => {
                for (key, node) in entries {
                    environment(
                        key,
                        node,
                        &mut self.shared.env,
                        &mut self.shared.python_path,
                        self.options.variable,
                    );
                }
            }
            ("health_checks", Value::Map(entries)) => {
                for (key, node) in entries {
                    self.health_check(key, node);
                }
            }
            ("resource_limits", Value::Map(entries)) => {
                for (key, _) in entries {
                    self.resource_limit(key);
                }
            }
            _ => self.not_understood(key, node),
        }
    }

    fn health_check(&mut self, key: &Key, node: &Node) {
        let span = match node.value {
            Value::Int(secs) => u64::try_from(secs).ok().map(Duration::from_secs),
            Value::Float(secs) => Duration::try_from_secs_f64(secs).ok(),
            _ => None,
        };
        let span = span.filter(|span| !span.is_zero());
        let known = match key.name.as_str() {
            "interval_seconds" => &mut self.shared.interval,
            "timeout_seconds" => &mut self.shared.timeout,
            "start_period_seconds" => &mut self.shared.start_timeout,
            "retries" => {
                self.shared.failures = match node.value {
                    Value::Int(times) => u32::try_from(times).ok().filter(|times| *times > 0),
                    _ => None,
                };
                return self.must_be(self.shared.failures.is_some(), key, node, "a whole number");
            }
            _ => return self.not_understood(key, node),
        };
        *known = span;
        self.must_be(span.is_some(), key, node, "a number of seconds");
    }

    fn must_be(&mut self, is_good: bool, key: &Key, node: &Node, what: &str) {
        if !is_good {
            let message = format!("{} must be {what} above zero", key.name);
            self.report.push(Diagnostic::error("bad-value", message).at(&node.place));
        }
    }

    /// Nothing enforced these before, and enforced they would break what ran well: so they are
    /// said and not carried over.
    fn resource_limit(&mut self, key: &Key) {
        let message = format!("{} in resource_limits is not carried over", key.name);
        let help = match key.name.as_str() {
            "memory_mb" => {
                "genii limits address space, of which Python with CUDA reserves far more than it \
                 uses; to limit it nevertheless, set `limits.memory_mb` of the agents concerned"
            }
            "cpu_percent" => "a share of the processors is for cgroups; there is `limits.cpu_time`",
            "max_threads" => "set OMP_NUM_THREADS or the like in `environment`",
            _ => "genii knows `limits.memory_mb`, `limits.cpu_time` and `limits.open_files`",
        };
        let diagnostic = Diagnostic::warning("not-carried-over", message);
        self.report.push(diagnostic.at(&key.place).help(help));
    }

    fn not_understood(&mut self, key: &Key, node: &Node) {
        let message = match &node.value {
            Value::List(items) if items.is_empty() => format!("the section {} is empty", key.name),
            _ => format!("the section {} is not understood, and left out", key.name),
        };
        self.report.push(Diagnostic::warning("not-understood", message).at(&key.place));
    }
}

/// The agents of a group, if it is one: a list of tables that have a name or a script, or a table
/// of tables that have a script.
fn group_of(node: &Node) -> Option<Vec<(Option<Key>, Node)>> {
    let has = |node: &Node, key: &str| node.get(key).is_some();
    match &node.value {
        Value::List(items) => {
            let is_agent = |item: &Node| has(item, "script_path") || has(item, "dependencies");
            let is_group = items.iter().any(is_agent)
                || items.iter().any(|item| has(item, "name") && has(item, "port"));
            is_group.then(|| items.iter().map(|item| (None, item.clone())).collect())
        }
        Value::Map(entries) => {
            let is_group = entries.iter().any(|(_, item)| has(item, "script_path"));
            is_group.then(|| {
                entries.iter().map(|(key, item)| (Some(key.clone()), item.clone())).collect()
            })
        }
        _ => None,
    }
}

/// Reads one environment variable for an agent.
pub(super) fn environment(
    key: &Key,
    node: &Node,
    env: &mut BTreeMap<String, String>,
    python_path: &mut Vec<PathBuf>,
    variable: &dyn Fn(&str) -> Option<String>,
) {
    let text = spoken(node);
    if key.name == PYTHON_PATH {
        python_path.extend(text.split(':').filter_map(|part| python_folder(part, variable)));
    } else {
        env.insert(key.name.clone(), text);
    }
}

/// A folder of `PYTHONPATH`, relative to the root where it was relative to the working directory.
/// What was inherited is inherited anyway.
fn python_folder(part: &str, variable: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let part = part.trim();
    if part.is_empty() || part == "${PYTHONPATH}" || part == "$PYTHONPATH" {
        return None;
    }
    let here = part.strip_prefix("${PWD}").or_else(|| part.strip_prefix("$PWD"));
    if let Some(rest) = here {
        let rest = rest.trim_start_matches('/');
        return Some(PathBuf::from(if rest.is_empty() { "." } else { rest }));
    }
    let mut expanded = part.to_owned();
    while let Some(start) = expanded.find("${") {
        let end = expanded[start..].find('}')? + start;
        let value = variable(&expanded[start + 2..end]).unwrap_or_default();
        // A value is not looked into again, so that this comes to an end.
        expanded.replace_range(start..=end, &value.replace("${", ""));
    }
    Some(PathBuf::from(expanded))
}

/// A value as Python would have printed it.
pub(super) fn spoken(node: &Node) -> String {
    match &node.value {
        Value::Null => String::new(),
        Value::Bool(true) => "True".into(),
        Value::Bool(false) => "False".into(),
        Value::Int(number) => number.to_string(),
        Value::Float(number) => format!("{number:?}"),
        Value::Text(text) => text.clone(),
        Value::List(_) | Value::Map(_) => node.json().to_string(),
    }
}
