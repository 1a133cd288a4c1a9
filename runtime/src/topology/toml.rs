//! TOML into a tree in which everything knows its place.

use std::sync::Arc;

use serde_spanned::Spanned;
use toml::de::{DeArray, DeInteger, DeTable, DeValue};

use super::diagnostic::{Diagnostic, Report};
use super::source::{Place, Source};
use super::tree::{Key, Node, Value};

/// Parses a file, reporting every fault in its syntax. What can be read in spite of them is
/// returned, so that other faults are found too.
pub fn parse(source: &Arc<Source>, report: &mut Report) -> Node {
    let (table, errors) = DeTable::parse_recoverable(&source.text);
    for error in errors {
        let diagnostic = Diagnostic::error("toml-syntax", error.message().trim());
        let place = error.span().map(|span| Place::new(source, span));
        report.push(match place {
            Some(place) => diagnostic.at(&place),
            None => diagnostic,
        });
    }
    let span = table.span();
    Node { value: map(table.get_ref(), source), place: Place::new(source, span) }
}

fn map(table: &DeTable<'_>, source: &Arc<Source>) -> Value {
    let entry = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
        let name: &std::borrow::Cow<'_, str> = key.get_ref();
        let key = Key { name: name.to_string(), place: Place::new(source, key.span()) };
        (key, node(value, source))
    };
    Value::Map(table.iter().map(entry).collect())
}

fn node(value: &Spanned<DeValue<'_>>, source: &Arc<Source>) -> Node {
    let place = Place::new(source, value.span());
    let value = match value.get_ref() {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => integer(number),
        DeValue::Float(number) => {
            number.as_str().parse().map_or_else(|_| Value::Text(number.to_string()), Value::Float)
        }
        DeValue::Boolean(value) => Value::Bool(*value),
        DeValue::Datetime(date) => Value::Text(date.to_string()),
        DeValue::Array(items) => list(items, source),
        DeValue::Table(table) => map(table, source),
    };
    Node { value, place }
}

fn integer(number: &DeInteger<'_>) -> Value {
    i64::from_str_radix(number.as_str(), number.radix())
        .map_or_else(|_| Value::Text(number.to_string()), Value::Int)
}

fn list(items: &DeArray<'_>, source: &Arc<Source>) -> Value {
    Value::List(items.iter().map(|item| node(item, source)).collect())
}
