//! `${VAR:-default}` and sums such as `${PORT_OFFSET}+7200`.

use std::collections::BTreeMap;

use super::super::diagnostic::{Diagnostic, Report};
use super::super::source::Place;
use super::super::tree::{Node, Value};

/// How long a text may become, in bytes.
const TEXT_MAX_LEN: usize = 64 * 1024;

/// The variable that lists where Python looks for modules. It is not expanded, so that a topology
/// that is made on one machine is good on another.
pub(super) const PYTHON_PATH: &str = "PYTHONPATH";

/// Expands the variables in every text of a tree.
pub(super) fn expand(
    node: Node,
    variable: &dyn Fn(&str) -> Option<String>,
    report: &mut Report,
) -> Node {
    let mut expander = Expander { variable, report, unset: BTreeMap::new() };
    let node = expander.node(node);
    for (name, (place, times)) in expander.unset {
        let message = format!("the variable {name} is not set, and counts as nothing");
        let times = if times > 1 { format!(" (in {times} places)") } else { String::new() };
        let help = format!("set {name}, or write `${{{name}:-VALUE}}`");
        report.push(Diagnostic::warning("unset-variable", message + &times).at(&place).help(help));
    }
    node
}

struct Expander<'a> {
    variable: &'a dyn Fn(&str) -> Option<String>,
    report: &'a mut Report,
    /// Variables that are not set, where the first stands, and how many there are.
    unset: BTreeMap<String, (Place, usize)>,
}

impl Expander<'_> {
    fn node(&mut self, node: Node) -> Node {
        let Node { value, place } = node;
        let value = match value {
            Value::Text(text) if text.contains("${") => self.text(&text, &place),
            Value::List(items) => {
                Value::List(items.into_iter().map(|item| self.node(item)).collect())
            }
            Value::Map(entries) => Value::Map(
                entries
                    .into_iter()
                    .map(|(key, node)| match key.name.as_str() {
                        PYTHON_PATH => (key, node),
                        _ => (key, self.node(node)),
                    })
                    .collect(),
            ),
            value => value,
        };
        Node { value, place }
    }

    fn text(&mut self, text: &str, place: &Place) -> Value {
        let mut expanded = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            expanded.push_str(before);
            let Some((inside, after)) = after.split_once('}') else {
                self.bad(format!("{text:?} has a variable that does not end"), place);
                return Value::Text(text.to_owned());
            };
            match self.value(inside, place) {
                Ok(value) => expanded.push_str(&value),
                Err(fault) => {
                    self.bad(fault, place);
                    return Value::Text(text.to_owned());
                }
            }
            rest = after;
            if expanded.len() + rest.len() > TEXT_MAX_LEN {
                self.bad(format!("a text grows beyond {TEXT_MAX_LEN} bytes"), place);
                return Value::Null;
            }
        }
        expanded.push_str(rest);
        sum(&expanded).map_or(Value::Text(expanded), Value::Int)
    }

    /// The value of what stands between the braces.
    fn value(&mut self, inside: &str, place: &Place) -> Result<String, String> {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let end = inside.find(|c| !is_name(c)).unwrap_or(inside.len());
        let (name, operator) = inside.split_at(end);
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(format!("${{{inside}}} names no variable"));
        }
        let value = (self.variable)(name);
        if let Some(default) = operator.strip_prefix(":-") {
            return Ok(value.filter(|value| !value.is_empty()).unwrap_or(default.to_owned()));
        }
        if let Some(default) = operator.strip_prefix('-') {
            return Ok(value.unwrap_or(default.to_owned()));
        }
        if !operator.is_empty() {
            return Err(format!("${{{inside}}} is not understood; `${{{name}:-default}}` is"));
        }
        Ok(value.unwrap_or_else(|| {
            self.unset.entry(name.to_owned()).or_insert((place.clone(), 0)).1 += 1;
            String::new()
        }))
    }

    fn bad(&mut self, message: String, place: &Place) {
        self.report.push(Diagnostic::error("bad-variable", message).at(place));
    }
}

/// The sum of whole numbers joined by plus signs; nothing before or after one counts as zero.
fn sum(text: &str) -> Option<i64> {
    if !text.contains(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let term = |term: &str| match term.trim() {
        "" => Some(0),
        digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse::<i64>().ok(),
        _ => None,
    };
    text.split('+').try_fold(0_i64, |sum, part| sum.checked_add(term(part)?))
}

#[cfg(test)]
mod tests {
    use super::super::super::source::Source;
    use super::*;

    fn check(text: &str) -> (Value, String) {
        let source = Source::new("x.yaml", text);
        let node = Node { value: Value::Text(text.into()), place: Place::new(&source, 0..1) };
        let variable = |name: &str| match name {
            "SET" => Some("1000".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        let mut report = Report::default();
        let node = expand(node, &variable, &mut report);
        (node.value, report.to_string())
    }

    fn value(text: &str) -> String {
        match check(text).0 {
            Value::Int(number) => format!("={number}"),
            Value::Text(text) => text,
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn variables_defaults_and_sums() {
        for (text, expected) in [
            ("${SET}+7200", "=8200"),
            ("${UNSET}+7200", "=7200"),
            ("${UNSET:-40} + 2", "=42"),
            ("${EMPTY:-5}", "=5"),
            ("${EMPTY-5}", ""),
            ("${UNSET-5}", "=5"),
            ("${SET}/x", "1000/x"),
            ("a${UNSET}b", "ab"),
            ("no variable + 5", "no variable + 5"),
            ("pa$word", "pa$word"),
            ("1+${UNSET:-99999999999999999999}", "1+99999999999999999999"),
        ] {
            assert_eq!(value(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_not_set_or_not_understood_is_said() {
        assert!(
            check("${UNSET}+1 ${UNSET}")
                .1
                .contains("UNSET is not set, and counts as nothing (in 2")
        );
        assert!(check("${UNSET:-1}").1.is_empty());
        assert!(check("${SET").1.contains("does not end"));
        assert!(check("${}").1.contains("names no variable"));
        assert!(check("${1X}").1.contains("names no variable"));
        assert!(check("${SET:?no}").1.contains("is not understood"));
    }
}
