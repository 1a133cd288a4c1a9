//! `inspect`: everything that is known about an agent or a group from outside.

use std::time::Duration;

use genii_protocols::{Json, TimeSpan};
use genii_runtime::House;
use genii_runtime::house::why::Crash;
use genii_runtime::house::{Member, Row};
use genii_runtime::topology::{AgentSpec, Link};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::pinned::Pin;
use super::target::Target;
use super::whom::nobody;
use super::{Command, Out, Refusal, Side};
use crate::screen::{Screen, many, millis, seconds, span};

/// In the names of settings, what says that the value is a secret.
const SECRET_WORDS: [&str; 6] = ["key", "token", "secret", "passw", "credential", "auth"];

pub struct Inspect;

/// Everything that is known.
#[derive(Debug, Serialize, Deserialize)]
pub struct Portrait {
    #[serde(flatten)]
    row: Row,
    supervisor: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    declared: Option<Declared>,
    /// What is counted where it lives, and known there alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    counters: Option<Counters>,
    /// The handler that it is in, and for how long.
    #[serde(skip_serializing_if = "Option::is_none")]
    busy: Option<Busy>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    crashes: Vec<Crash>,
}

/// How it is declared.
#[derive(Debug, Serialize, Deserialize)]
pub struct Declared {
    needs: Vec<String>,
    binds: Vec<String>,
    wants: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fallback: Option<String>,
    restart: String,
    start_timeout: TimeSpan,
    stop_timeout: TimeSpan,
    mailbox_capacity: usize,
    /// Its settings; those that look like secrets are hidden.
    settings: Json,
}

/// What is counted.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Counters {
    handled: u64,
    refused: u64,
    rejected: u64,
    expired: u64,
    failed: u64,
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
}

/// A handler that runs.
#[derive(Debug, Serialize, Deserialize)]
pub struct Busy {
    handler: String,
    seconds: f64,
}

impl Command for Inspect {
    const NAME: &'static str = "inspect";
    const ABOUT: &'static str = "Show everything that is known about an agent or a group";
    const EXAMPLES: &'static [&'static str] =
        &["inspect core/system-digital-twin", "inspect pc2-core"];
    type Args = Target;
    type Said = Portrait;

    fn about(args: &Target) -> Option<&str> {
        Some(args.name())
    }

    fn unpin(args: &mut Target) -> Option<Pin> {
        args.name.unpin()
    }

    async fn serve(args: Target, side: Side, out: Out<Portrait>) -> Result<(), Refusal> {
        match side.house.member(args.name()) {
            Ok(member) => out.say(portrait(&member, &side.house)).await,
            Err(error) => Err(nobody(&side, args.name(), error).await),
        }
    }

    fn show(said: Portrait, screen: &mut Screen) {
        show_head(&said, screen);
        show_counters(&said, screen);
        if let Some(declared) = &said.declared {
            show_declared(declared, screen);
        }
        for crash in &said.crashes {
            let after = crash.after_seconds.map(|after| format!(" after {}", seconds(after)));
            let after = after.unwrap_or_default();
            let cause = screen.red(&screen.told(&crash.cause));
            screen.line(format!("crashed   {}{after}: {cause}", crash.at));
        }
    }
}

fn portrait(member: &Member, house: &House) -> Portrait {
    let millis = |span: Option<Duration>| span.map(|span| span.as_secs_f64() * 1e3);
    let counters = member.counters.clone().unwrap_or_default();
    let topology = house.topology();
    let node = member.spec.as_ref().and_then(|spec| topology.node_of(spec));
    let crashes = house.node().tree().crashes.of(&member.view.key);
    Portrait {
        row: Row::from(member),
        supervisor: match (member.view.supervisor.as_str(), &member.spec) {
            ("", Some(spec)) => spec.address.group().to_owned(),
            (supervisor, _) => supervisor.to_owned(),
        },
        node: node.map(ToString::to_string),
        declared: member.spec.as_ref().map(declared),
        counters: member.home.is_none().then(|| Counters {
            handled: counters.handled,
            refused: counters.refused,
            rejected: counters.rejected,
            expired: counters.expired,
            failed: counters.failed,
            p50_ms: millis(counters.p50),
            p99_ms: millis(counters.p99),
        }),
        busy: member
            .busy
            .clone()
            .map(|(handler, long)| Busy { handler, seconds: long.as_secs_f64() }),
        crashes: crashes.iter().map(|report| Crash::from(&**report)).collect(),
    }
}

fn declared(spec: &AgentSpec) -> Declared {
    let names = |links: &[Link]| links.iter().map(|link| link.to.to_string()).collect();
    Declared {
        needs: names(&spec.needs),
        binds: names(&spec.binds),
        wants: names(&spec.wants),
        fallback: spec.fallback.as_ref().map(|link| link.to.to_string()),
        restart: format!("{:?}", spec.policy.restart).to_lowercase(),
        start_timeout: spec.policy.start_timeout.into(),
        stop_timeout: spec.policy.stop_timeout.into(),
        mailbox_capacity: spec.policy.mailbox_capacity,
        settings: Json(without_secrets(spec.settings.0.clone())),
    }
}

/// Settings with the values hidden whose names say that they are secrets.
fn without_secrets(settings: Value) -> Value {
    match settings {
        Value::Object(entries) => {
            let hide = |(name, value): (String, Value)| {
                let lower = name.to_lowercase();
                let is_secret = SECRET_WORDS.iter().any(|word| lower.contains(word));
                let shown = match value {
                    Value::String(_) | Value::Number(_) if is_secret => "(hidden)".into(),
                    value => without_secrets(value),
                };
                (name, shown)
            };
            Value::Object(entries.into_iter().map(hide).collect())
        }
        Value::Array(items) => items.into_iter().map(without_secrets).collect(),
        other => other,
    }
}

fn show_head(said: &Portrait, screen: &mut Screen) {
    let row = &said.row;
    screen.line(screen.bold(&row.name));
    let detail = row.detail.as_ref().map(|detail| format!(": {}", screen.told(detail)));
    let detail = detail.unwrap_or_default();
    let suspended = if row.is_suspended() { ", suspended" } else { "" };
    let long = row.for_seconds.map(|long| format!(" for {}", seconds(long))).unwrap_or_default();
    let state = screen.state(&row.state);
    screen.line(format!("state     {state}{suspended}{long}{detail}"));
    if let Some(kind) = &row.kind {
        let required = if row.required == Some(true) { ", required" } else { "" };
        screen.line(format!("kind      {kind}{required}"));
    }
    let node = said.node.as_ref().map(|node| format!(" on {node}")).unwrap_or_default();
    screen.line(format!("group     {}{node}", said.supervisor));
    if let Some(counted) = &row.counted {
        screen.line(format!("restarts  {}", counted.restarts));
    }
    if let Some(pid) = row.pid {
        screen.line(format!("process   {pid}"));
    }
    if let Some(busy) = &said.busy {
        screen.line(format!("busy      with {} for {}", busy.handler, seconds(busy.seconds)));
    }
}

fn show_counters(said: &Portrait, screen: &mut Screen) {
    let (Some(counters), Some(counted), Some(_)) =
        (&said.counters, &said.row.counted, &said.declared)
    else {
        return;
    };
    let Counters { handled, refused, rejected, expired, failed, p50_ms, p99_ms } = counters;
    screen.line(format!(
        "messages  {handled} handled, {refused} refused, {rejected} rejected, {expired} expired, \
         {failed} failed; {}",
        many(counted.depth, "waits", "wait")
    ));
    if let (Some(p50), Some(p99)) = (p50_ms, p99_ms) {
        screen.line(format!("handlers  {} at p50, {} at p99", millis(*p50), millis(*p99)));
    }
}

fn show_declared(declared: &Declared, screen: &mut Screen) {
    let lists =
        [("needs", &declared.needs), ("binds", &declared.binds), ("wants", &declared.wants)];
    for (name, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
        screen.line(format!("{name:<9} {}", list.join(", ")));
    }
    if let Some(fallback) = &declared.fallback {
        screen.line(format!("fallback  {fallback}"));
    }
    screen.line(format!(
        "policy    {}; ready within {}, stopped within {}; at most {}",
        declared.restart,
        span(declared.start_timeout.0),
        span(declared.stop_timeout.0),
        many(declared.mailbox_capacity, "message waits", "messages wait")
    ));
    screen.line(format!("settings  {}", declared.settings));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_looks_like_a_secret_is_hidden() {
        let settings = json!({
            "env": { "API_KEY": "x", "Auth_Token": 5, "LEVEL": "INFO" },
            "key_path": { "inside": "seen" },
        });
        let expected = json!({
            "env": { "API_KEY": "(hidden)", "Auth_Token": "(hidden)", "LEVEL": "INFO" },
            "key_path": { "inside": "seen" },
        });
        assert_eq!(without_secrets(settings), expected);
    }
}
