//! Reads the fields of a JSON object, and says exactly which one is wrong.

use serde_json::{Map, Value};

use super::error::CharacterError;
use super::limits::{LIST_MAX, TEXT_BYTES_MAX};

/// The fields of an object, and where it stands.
///
/// A field that is `null` counts as absent: many programs write so what they do not know.
pub(in crate::being) struct Fields<'a> {
    map: &'a Map<String, Value>,
    place: String,
}

impl<'a> Fields<'a> {
    pub(in crate::being) fn of(value: &'a Value, place: &str) -> Result<Self, CharacterError> {
        match value {
            Value::Object(map) => Ok(Self { map, place: place.to_owned() }),
            other => {
                let place = if place.is_empty() { "the whole" } else { place };
                Err(wrong_type(place.to_owned(), other, "a table of fields"))
            }
        }
    }

    pub(in crate::being) fn map(&self) -> &'a Map<String, Value> {
        self.map
    }

    pub(in crate::being) fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// The fields that are not among the known ones, to be kept.
    pub(in crate::being) fn rest(&self, known: &[&str]) -> Map<String, Value> {
        let others = self.map.iter().filter(|(key, _)| !known.contains(&key.as_str()));
        others.map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// An error when there is a field that is not among the known ones.
    pub(in crate::being) fn only(&self, known: &[&str]) -> Result<(), CharacterError> {
        let Some(key) = self.map.keys().find(|key| !known.contains(&key.as_str())) else {
            return Ok(());
        };
        let place = shortened(&self.at(key));
        Err(CharacterError::UnknownField { place, nearest: nearest(key, known) })
    }

    pub(in crate::being) fn text(&self, key: &str) -> Result<Option<String>, CharacterError> {
        self.get(key).map(|value| bounded_text(value, self.at(key), TEXT_BYTES_MAX)).transpose()
    }

    pub(in crate::being) fn texts(&self, key: &str) -> Result<Vec<String>, CharacterError> {
        self.short_texts(key, LIST_MAX, TEXT_BYTES_MAX)
    }

    pub(in crate::being) fn short_texts(
        &self,
        key: &str,
        count_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<String>, CharacterError> {
        let items = self.items(key, count_max)?.iter().enumerate();
        items
            .map(|(index, value)| {
                bounded_text(value, format!("{}[{index}]", self.at(key)), bytes_max)
            })
            .collect()
    }

    pub(in crate::being) fn flag(&self, key: &str) -> Result<Option<bool>, CharacterError> {
        let read = |value: &Value| {
            value.as_bool().ok_or_else(|| wrong_type(self.at(key), value, "true or false"))
        };
        self.get(key).map(read).transpose()
    }

    pub(in crate::being) fn number(&self, key: &str) -> Result<Option<f64>, CharacterError> {
        let read = |value: &Value| {
            value.as_f64().ok_or_else(|| wrong_type(self.at(key), value, "a number"))
        };
        self.get(key).map(read).transpose()
    }

    /// A number as a count: what is below zero is zero, and fractions are dropped.
    pub(in crate::being) fn count(&self, key: &str) -> Result<Option<u32>, CharacterError> {
        // The cast saturates, which is what is wanted.
        Ok(self.number(key)?.map(|number| number as u32))
    }

    pub(in crate::being) fn table(&self, key: &str) -> Result<Option<Fields<'a>>, CharacterError> {
        self.get(key).map(|value| Self::of(value, &self.at(key))).transpose()
    }

    pub(in crate::being) fn tables(
        &self,
        key: &str,
        count_max: usize,
    ) -> Result<Vec<Fields<'a>>, CharacterError> {
        let items = self.items(key, count_max)?.iter().enumerate();
        items.map(|(index, value)| Self::of(value, &format!("{}[{index}]", self.at(key)))).collect()
    }

    /// Where a field stands.
    pub(in crate::being) fn at(&self, key: &str) -> String {
        if self.place.is_empty() { key.to_owned() } else { format!("{}.{key}", self.place) }
    }

    fn get(&self, key: &str) -> Option<&'a Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    fn items(&self, key: &str, count_max: usize) -> Result<&'a [Value], CharacterError> {
        match self.get(key) {
            None => Ok(&[]),
            Some(Value::Array(items)) if items.len() > count_max => {
                Err(CharacterError::TooMany { place: self.at(key), count: items.len(), count_max })
            }
            Some(Value::Array(items)) => Ok(items),
            Some(other) => Err(wrong_type(self.at(key), other, "a list")),
        }
    }
}

fn bounded_text(value: &Value, place: String, bytes_max: usize) -> Result<String, CharacterError> {
    match value {
        Value::String(text) if text.len() > bytes_max => {
            Err(CharacterError::TextTooLong { place, bytes: text.len(), bytes_max })
        }
        Value::String(text) => Ok(text.clone()),
        other => Err(wrong_type(place, other, "text in quotes")),
    }
}

fn wrong_type(place: String, value: &Value, expected: &'static str) -> CharacterError {
    let found = match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a table",
    };
    CharacterError::WrongType { place, found, expected }
}

/// How much of the name of a field is shown, or of a key of a lorebook, in characters.
const SHOWN_CHARS_MAX: usize = 80;

/// A name as a person is shown it: it may be as long as the file.
pub(super) fn shortened(key: &str) -> String {
    match key.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}...", &key[..end]),
        None => key.to_owned(),
    }
}

/// How alike two names must be for one to be meant by the other, from 0 to 1.
const LIKENESS_MIN: f64 = 0.7;

fn nearest(key: &str, known: &[&str]) -> Option<String> {
    // The time it takes grows with the square of the length.
    if key.len() > SHOWN_CHARS_MAX {
        return None;
    }
    let likeness = |name: &&str| strsim::jaro_winkler(&key.to_lowercase(), name);
    let best = known.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(best) >= LIKENESS_MIN).then(|| (*best).to_owned())
}
