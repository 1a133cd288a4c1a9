//! A file as a tree in which everything knows its place, whatever its syntax.

use std::time::Duration;

use genii_protocols::Json;
use serde_json::Value as JsonValue;

use super::diagnostic::{Diagnostic, Report};
use super::source::Place;
use crate::nearest::nearest;

/// A value and its place.
#[derive(Debug, Clone)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Where it stands.
    pub place: Place,
}

/// A value.
#[derive(Debug, Clone)]
pub enum Value {
    /// Nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Another number.
    Float(f64),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A table, in the order of the file.
    Map(Vec<(Key, Node)>),
}

/// A key of a table and its place.
#[derive(Debug, Clone)]
pub struct Key {
    /// The key.
    pub name: String,
    /// Where it stands.
    pub place: Place,
}

impl Node {
    /// The entry of a table under a key.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entries().iter().find(|(known, _)| known.name == key).map(|(_, node)| node)
    }

    /// The entries of a table; none if it is not one.
    pub fn entries(&self) -> &[(Key, Self)] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The text, if it is text.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// What it is, for a message.
    pub fn what(&self) -> &'static str {
        match &self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "true or false",
            Value::Int(_) => "a whole number",
            Value::Float(_) => "a number",
            Value::Text(_) => "text",
            Value::List(_) => "a list",
            Value::Map(_) => "a table",
        }
    }

    /// The value without places.
    pub fn json(&self) -> Json {
        Json(self.json_value())
    }

    fn json_value(&self) -> JsonValue {
        match &self.value {
            Value::Null => JsonValue::Null,
            Value::Bool(value) => (*value).into(),
            Value::Int(value) => (*value).into(),
            Value::Float(value) => (*value).into(),
            Value::Text(value) => value.as_str().into(),
            Value::List(list) => list.iter().map(Self::json_value).collect(),
            Value::Map(entries) => JsonValue::Object(
                entries.iter().map(|(key, node)| (key.name.clone(), node.json_value())).collect(),
            ),
        }
    }
}

/// A table being read: knows which keys were asked for, and so which are unknown.
pub struct Table<'a, 'r> {
    node: &'a Node,
    /// What it is, for a message: `group memory`.
    what: String,
    known: Vec<&'static str>,
    report: &'r mut Report,
}

impl<'a, 'r> Table<'a, 'r> {
    /// Reads a node as a table; reports it if it is none.
    pub fn new(node: &'a Node, what: impl Into<String>, report: &'r mut Report) -> Self {
        let what = what.into();
        if !matches!(node.value, Value::Map(_)) {
            let message = format!("{what} must be a table, and is {}", node.what());
            report.push(Diagnostic::error("wrong-type", message).at(&node.place));
        }
        Self { node, what, known: Vec::new(), report }
    }

    /// The entry under a key, whatever it is.
    pub fn any(&mut self, key: &'static str) -> Option<&'a Node> {
        self.known.push(key);
        self.node.get(key)
    }

    /// Where faults go.
    pub fn report(&mut self) -> &mut Report {
        self.report
    }

    /// Text under a key.
    pub fn text(&mut self, key: &'static str) -> Option<(&'a str, &'a Place)> {
        let node = self.any(key)?;
        match node.text() {
            Some(text) => Some((text, &node.place)),
            None => self.wrong(key, node, "text"),
        }
    }

    /// True or false under a key.
    pub fn bool(&mut self, key: &'static str) -> Option<bool> {
        let node = self.any(key)?;
        match node.value {
            Value::Bool(value) => Some(value),
            _ => self.wrong(key, node, "true or false"),
        }
    }

    /// A whole number under a key, not below `min`.
    pub fn number<N: TryFrom<i64>>(&mut self, key: &'static str, min: i64) -> Option<N> {
        let node = self.any(key)?;
        let Value::Int(value) = node.value else {
            return self.wrong(key, node, "a whole number");
        };
        match N::try_from(value) {
            Ok(number) if value >= min => Some(number),
            _ => self.bad(key, node, format!("{value} is out of range; the least is {min}")),
        }
    }

    /// A number under a key.
    pub fn float(&mut self, key: &'static str) -> Option<f64> {
        let node = self.any(key)?;
        match node.value {
            Value::Int(value) => Some(value as f64),
            Value::Float(value) => Some(value),
            _ => self.wrong(key, node, "a number"),
        }
    }

    /// A time span under a key, as `"1m 30s"`.
    pub fn duration(&mut self, key: &'static str) -> Option<Duration> {
        let node = self.any(key)?;
        let Some(text) = node.text() else {
            return self.wrong(key, node, "a time span such as \"30s\"");
        };
        match text.parse::<genii_protocols::TimeSpan>() {
            Ok(span) => Some(span.0),
            Err(error) => self.bad(key, node, format!("{text:?} is not a time span: {error}")),
        }
    }

    /// One of some words under a key.
    pub fn choice<T: Clone>(&mut self, key: &'static str, choices: &[(&str, T)]) -> Option<T> {
        let (text, place) = self.text(key)?;
        if let Some((_, choice)) = choices.iter().find(|(word, _)| *word == text) {
            return Some(choice.clone());
        }
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        let message = format!("{key} of {} is {text:?}, which it cannot be", self.what);
        let help = match nearest(text, words.iter().copied()) {
            Some(word) => format!("did you mean {word:?}?"),
            None => format!("it may be one of {}", words.join(", ")),
        };
        self.report.push(Diagnostic::error("bad-value", message).at(place).help(help));
        None
    }

    /// Texts in a list under a key. One text alone counts as a list of it.
    pub fn texts(&mut self, key: &'static str) -> Vec<(&'a str, &'a Place)> {
        let Some(node) = self.any(key) else { return Vec::new() };
        let items = match &node.value {
            Value::List(items) => items.as_slice(),
            Value::Text(_) => std::slice::from_ref(node),
            _ => {
                self.wrong::<()>(key, node, "a list of texts");
                return Vec::new();
            }
        };
        let mut texts = Vec::with_capacity(items.len());
        for item in items {
            match item.text() {
                Some(text) => texts.push((text, &item.place)),
                None => drop(self.wrong::<()>(key, item, "a list of texts")),
            }
        }
        texts
    }

    /// Reports every key that nobody asked for.
    pub fn finish(self) {
        for (key, _) in self.node.entries() {
            if self.known.contains(&key.name.as_str()) {
                continue;
            }
            let message = format!("{} has an unknown key {:?}", self.what, key.name);
            let help = match nearest(&key.name, self.known.iter().copied()) {
                Some(known) => format!("did you mean {known:?}?"),
                None => format!("it may have {}", self.known.join(", ")),
            };
            self.report.push(Diagnostic::error("unknown-key", message).at(&key.place).help(help));
        }
    }

    fn wrong<T>(&mut self, key: &str, node: &Node, expected: &str) -> Option<T> {
        let message = format!("{key} of {} must be {expected}, and is {}", self.what, node.what());
        self.report.push(Diagnostic::error("wrong-type", message).at(&node.place));
        None
    }

    fn bad<T>(&mut self, key: &str, node: &Node, fault: String) -> Option<T> {
        let message = format!("{key} of {}: {fault}", self.what);
        self.report.push(Diagnostic::error("bad-value", message).at(&node.place));
        None
    }
}
