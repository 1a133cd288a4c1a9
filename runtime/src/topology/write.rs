//! A topology as a file that [`read`](super::read) reads back.

use std::fmt::Write as _;
use std::time::Duration;

use genii_protocols::{Json, TimeSpan};
use serde_json::Value as JsonValue;

use super::read::{AUTO_SHUTDOWNS, GIVE_UPS, RESTARTS, START_ORDERS, STRATEGIES};
use super::{AgentPolicy, AgentSpec, GroupSpec, Link, Topology};

/// What else a written file may hold.
#[derive(Debug, Clone, Default)]
pub struct Extras {
    /// Lines for the head of the file, without the comment sign.
    pub remarks: Vec<String>,
    /// Settings for all agents of a kind. What an agent shares with them is left out of its own.
    pub kinds: Vec<(String, Json)>,
    /// How agents are treated unless they say otherwise.
    pub defaults: AgentPolicy,
}

impl Topology {
    /// The topology as TOML.
    pub fn to_toml(&self, extras: &Extras) -> String {
        let mut file = File::default();
        for remark in &extras.remarks {
            file.line(format!("# {remark}").trim_end());
        }
        file.policy("defaults", &extras.defaults, &AgentPolicy::default());
        for (kind, settings) in &extras.kinds {
            file.header(&format!("kinds.{}", key(kind)));
            file.entries(settings);
        }
        for group in &self.groups {
            file.group(group);
        }
        for agent in &self.agents {
            let beneath = extras.kinds.iter().find(|(kind, _)| *kind == agent.kind);
            let beneath = beneath.map(|(_, settings)| settings.clone()).unwrap_or_default();
            file.agent(agent, &beneath, &extras.defaults);
        }
        file.text
    }
}

#[derive(Default)]
struct File {
    text: String,
    /// A header that is written when something stands beneath it.
    pending: Option<String>,
}

impl File {
    fn line(&mut self, line: &str) {
        writeln!(self.text, "{line}").expect("text takes any line");
    }

    fn header(&mut self, name: &str) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.line(&format!("[{name}]"));
    }

    fn entry(&mut self, name: &str, value: &str) {
        if let Some(header) = self.pending.take() {
            self.header(&header);
        }
        self.line(&format!("{name} = {value}"));
    }

    fn entries(&mut self, settings: &Json) {
        let JsonValue::Object(entries) = &settings.0 else { return };
        for (name, value) in entries.iter().filter(|(_, value)| !value.is_null()) {
            self.entry(&key(name), &inline(value));
        }
    }

    fn group(&mut self, group: &GroupSpec) {
        self.header(&format!("groups.{}", key(group.name.as_str())));
        let usual = GroupSpec::default_flags();
        let flags = &group.flags;
        if let Some(node) = &group.node {
            self.entry("node", &quoted(node.as_str()));
        }
        if flags.strategy != usual.strategy {
            self.entry("strategy", &word(&STRATEGIES, &flags.strategy));
        }
        if flags.start_order != usual.start_order {
            self.entry("start", &word(&START_ORDERS, &flags.start_order));
        }
        if flags.auto_shutdown != usual.auto_shutdown {
            self.entry("auto_shutdown", &word(&AUTO_SHUTDOWNS, &flags.auto_shutdown));
        }
        if flags.intensity != usual.intensity {
            self.entry("restarts", &flags.intensity.restarts.to_string());
            self.entry("window", &span(flags.intensity.window));
        }
    }

    fn agent(&mut self, agent: &AgentSpec, beneath: &Json, defaults: &AgentPolicy) {
        self.header(&format!("agents.{}", quoted(agent.address.as_str())));
        self.entry("kind", &quoted(&agent.kind));
        for (name, links) in
            [("needs", &agent.needs), ("binds", &agent.binds), ("wants", &agent.wants)]
        {
            if !links.is_empty() {
                self.entry(name, &list(links));
            }
        }
        if let Some(link) = &agent.fallback {
            self.entry("fallback", &quoted(link.to.as_str()));
        }
        self.policy_entries(&agent.policy, defaults);
        let own = above(&beneath.0, &agent.settings.0).map(Json).unwrap_or_default();
        self.pending = Some(format!("agents.{}.settings", quoted(agent.address.as_str())));
        self.entries(&own);
        self.pending = None;
    }

    fn policy(&mut self, header: &str, policy: &AgentPolicy, usual: &AgentPolicy) {
        self.pending = Some(header.to_owned());
        self.policy_entries(policy, usual);
        self.pending = None;
    }

    fn policy_entries(&mut self, policy: &AgentPolicy, usual: &AgentPolicy) {
        if policy.required != usual.required {
            self.entry("required", &policy.required.to_string());
        }
        if policy.restart != usual.restart {
            self.entry("restart", &word(&RESTARTS, &policy.restart));
        }
        if policy.backoff != usual.backoff {
            self.entry("backoff", &backoff(policy));
        }
        if policy.give_up != usual.give_up {
            self.entry("give_up", &word(&GIVE_UPS, &policy.give_up));
        }
        if policy.significant != usual.significant {
            self.entry("significant", &policy.significant.to_string());
        }
        if policy.start_timeout != usual.start_timeout {
            self.entry("start_timeout", &span(policy.start_timeout));
        }
        if policy.stop_timeout != usual.stop_timeout {
            self.entry("stop_timeout", &span(policy.stop_timeout));
        }
        if policy.mailbox_capacity != usual.mailbox_capacity {
            self.entry("mailbox_capacity", &policy.mailbox_capacity.to_string());
        }
    }
}

fn backoff(policy: &AgentPolicy) -> String {
    let Some(backoff) = policy.backoff else { return quoted("none") };
    format!(
        "{{ first = {}, factor = {:?}, cap = {}, jitter = {:?} }}",
        span(backoff.first),
        backoff.factor,
        span(backoff.cap),
        backoff.jitter
    )
}

/// What has to be laid over `beneath` to give `whole`; `None` if nothing has to.
fn above(beneath: &JsonValue, whole: &JsonValue) -> Option<JsonValue> {
    match (beneath, whole) {
        (JsonValue::Object(beneath), JsonValue::Object(whole)) => {
            let null = JsonValue::Null;
            let differing = |(name, value): (&String, &JsonValue)| {
                let value = above(beneath.get(name).unwrap_or(&null), value)?;
                Some((name.clone(), value))
            };
            let entries: serde_json::Map<_, _> = whole.iter().filter_map(differing).collect();
            (!entries.is_empty()).then_some(JsonValue::Object(entries))
        }
        (beneath, whole) if beneath == whole => None,
        (_, whole) => Some(whole.clone()),
    }
}

fn list(links: &[Link]) -> String {
    let names: Vec<String> = links.iter().map(|link| quoted(link.to.as_str())).collect();
    format!("[{}]", names.join(", "))
}

fn word<T: PartialEq>(words: &[(&str, T)], value: &T) -> String {
    let found = words.iter().find(|(_, known)| known == value);
    quoted(found.map_or("", |(word, _)| word))
}

fn span(duration: Duration) -> String {
    quoted(&TimeSpan(duration).to_string())
}

fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for letter in text.chars() {
        match letter {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            letter if letter.is_control() => quoted.push_str(&format!("\\u{:04X}", letter as u32)),
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

fn key(name: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !name.is_empty() && name.chars().all(bare) { name.to_owned() } else { quoted(name) }
}

/// A value on one line. TOML has no null; where one stands in a list, so does an empty text.
fn inline(value: &JsonValue) -> String {
    match value {
        JsonValue::Null => quoted(""),
        JsonValue::Bool(value) => value.to_string(),
        JsonValue::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() => format!("{float:?}"),
            _ => number.to_string(),
        },
        JsonValue::String(text) => quoted(text),
        JsonValue::Array(items) => {
            let items: Vec<String> = items.iter().map(inline).collect();
            format!("[{}]", items.join(", "))
        }
        JsonValue::Object(entries) => {
            let entries = entries.iter().filter(|(_, value)| !value.is_null());
            let entries: Vec<String> =
                entries.map(|(name, value)| format!("{} = {}", key(name), inline(value))).collect();
            if entries.is_empty() {
                "{}".to_owned()
            } else {
                format!("{{ {} }}", entries.join(", "))
            }
        }
    }
}
