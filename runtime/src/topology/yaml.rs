//! YAML into a tree in which everything knows its place.
//!
//! Scalars are read as PyYAML reads them, since that is what the files were written for. Aliases
//! are expanded within a bound; nothing in a file can make a small text a large tree, or name a type
//! to be built.

use std::collections::HashMap;
use std::sync::Arc;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};

use super::diagnostic::{Diagnostic, Report};
use super::source::{Place, Source};
use super::tree::{Key, Node, Value};

/// How many values a file may hold, each alias counted as all that it stands for.
pub const NODES_MAX: usize = 100_000;

/// How deep lists and tables may stand in each other.
pub const DEPTH_MAX: usize = 64;

/// So much text counts as a value, in bytes.
const TEXT_LEN: usize = 64;

/// Parses a file. `None` if its syntax is broken or it exceeds a bound, which is then reported.
pub fn parse(source: &Arc<Source>, report: &mut Report) -> Option<Node> {
    let mut builder = Builder::new(source, report);
    let mut parser = Parser::new_from_str(&source.text);
    while let Some(event) = parser.next_event() {
        let taken = match event {
            Ok((event, span)) => builder.take(event, span),
            Err(error) => {
                let at = Span::empty(*error.marker());
                Err(Diagnostic::error("yaml-syntax", error.info()).at(&builder.place(at)).into())
            }
        };
        if let Err(diagnostic) = taken {
            report.push(*diagnostic);
            return None;
        }
    }
    let whole = Place::new(source, 0..0);
    Some(builder.root.unwrap_or(Node { value: Value::Null, place: whole }))
}

/// A list or a table that has begun and not ended.
struct Open {
    place: Place,
    anchor: usize,
    /// How many values had been counted when it began.
    counted_before: usize,
    what: What,
}

enum What {
    List(Vec<Node>),
    Map { entries: Vec<(Key, Node)>, key: Option<Key>, merged: Vec<Node> },
}

struct Builder<'a> {
    source: &'a Arc<Source>,
    report: &'a mut Report,
    /// Where each character of the text begins, in bytes; only if not all are one byte long.
    starts: Option<Vec<usize>>,
    open: Vec<Open>,
    root: Option<Node>,
    /// What anchors stand for, and how many values that is.
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
}

type Taken = Result<(), Box<Diagnostic>>;

impl<'a> Builder<'a> {
    fn new(source: &'a Arc<Source>, report: &'a mut Report) -> Self {
        let text = &source.text;
        let starts = || text.char_indices().map(|(start, _)| start).collect();
        Self {
            source,
            report,
            starts: (!text.is_ascii()).then(starts),
            open: Vec::new(),
            root: None,
            anchors: HashMap::new(),
            nodes: 0,
        }
    }

    fn place(&self, span: Span) -> Place {
        let byte = |index: usize| match &self.starts {
            Some(starts) => starts.get(index).copied().unwrap_or(self.source.text.len()),
            None => index,
        };
        Place::new(self.source, byte(span.start.index())..byte(span.end.index()))
    }

    fn take(&mut self, event: Event<'_>, span: Span) -> Taken {
        let place = self.place(span);
        match event {
            Event::DocumentStart(_) if self.root.is_some() => {
                let message = "the file holds more than one document";
                Err(Diagnostic::error("yaml-syntax", message).at(&place).into())
            }
            Event::Scalar(text, style, anchor, tag) => {
                let value = scalar(&text, style, tag.as_deref(), &place)?;
                let before = self.nodes;
                // A long text counts as several, so that aliases of it are bounded too.
                self.count(text.len() / TEXT_LEN, &place)?;
                self.close(Node { value, place }, anchor, before)
            }
            Event::Alias(anchor) => {
                let Some((node, size)) = self.anchors.get(&anchor).cloned() else {
                    let message = "an alias stands within what it stands for";
                    return Err(Diagnostic::error("yaml-alias", message).at(&place).into());
                };
                let before = self.nodes;
                self.count(size, &place)?;
                self.nodes -= 1;
                self.close(node, 0, before)
            }
            Event::SequenceStart(anchor, tag) => {
                let what = What::List(Vec::new());
                self.open(place, anchor, tag.as_deref(), "seq", what)
            }
            Event::MappingStart(anchor, tag) => {
                let what = What::Map { entries: Vec::new(), key: None, merged: Vec::new() };
                self.open(place, anchor, tag.as_deref(), "map", what)
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(open) = self.open.pop() else { return Ok(()) };
                let value = match open.what {
                    What::List(items) => Value::List(items),
                    What::Map { entries, merged, .. } => Value::Map(merge(entries, merged)),
                };
                let node = Node { value, place: open.place };
                self.close(node, open.anchor, open.counted_before)
            }
            _ => Ok(()),
        }
    }

    fn open(
        &mut self,
        place: Place,
        anchor: usize,
        tag: Option<&Tag>,
        core: &str,
        what: What,
    ) -> Taken {
        if let Some(tag) = tag.filter(|tag| !(tag.is_yaml_core_schema() && tag.suffix == core)) {
            return Err(unknown_tag(tag, &place));
        }
        if self.open.len() == DEPTH_MAX {
            let message = format!("lists and tables stand more than {DEPTH_MAX} deep");
            return Err(Diagnostic::error("yaml-bound", message).at(&place).into());
        }
        let counted_before = self.nodes;
        self.open.push(Open { place, anchor, counted_before, what });
        Ok(())
    }

    fn count(&mut self, nodes: usize, place: &Place) -> Taken {
        self.nodes += nodes;
        if self.nodes > NODES_MAX {
            let message = format!("the file holds more than {NODES_MAX} values");
            return Err(Diagnostic::error("yaml-bound", message).at(place).into());
        }
        Ok(())
    }

    /// A value has come to its end.
    fn close(&mut self, node: Node, anchor: usize, counted_before: usize) -> Taken {
        self.count(1, &node.place)?;
        if anchor > 0 {
            self.anchors.insert(anchor, (node.clone(), self.nodes - counted_before));
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match &mut open.what {
            What::List(items) => items.push(node),
            What::Map { entries, key, merged } => match key.take() {
                None => *key = Some(key_of(&node)?),
                Some(key) if key.name == "<<" => merged.push(node),
                Some(key) => match entries.iter().find(|(known, _)| known.name == key.name) {
                    None => entries.push((key, node)),
                    Some((first, _)) => {
                        let message = format!("{:?} stands twice in one table", key.name);
                        let diagnostic = Diagnostic::error("duplicate-key", message).at(&key.place);
                        self.report.push(diagnostic.note("it is here first", Some(&first.place)));
                    }
                },
            },
        }
        Ok(())
    }
}

fn key_of(node: &Node) -> Result<Key, Box<Diagnostic>> {
    let name = match &node.value {
        Value::Text(text) => text.clone(),
        Value::List(_) | Value::Map(_) => {
            let message = format!("a key must be text, and is {}", node.what());
            return Err(Diagnostic::error("yaml-syntax", message).at(&node.place).into());
        }
        // As it is written: `5570: x` has the key 5570.
        _ => node.place.source.text[node.place.span.clone()].trim().to_owned(),
    };
    Ok(Key { name, place: node.place.clone() })
}

/// Adds what `<<` names, where a table does not say otherwise itself.
fn merge(mut entries: Vec<(Key, Node)>, merged: Vec<Node>) -> Vec<(Key, Node)> {
    let tables = merged.into_iter().flat_map(|node| match node.value {
        Value::List(items) => items,
        _ => vec![node],
    });
    for (key, node) in tables.flat_map(|table| table.entries().to_vec()) {
        if !entries.iter().any(|(known, _)| known.name == key.name) {
            entries.push((key, node));
        }
    }
    entries
}

fn unknown_tag(tag: &Tag, place: &Place) -> Box<Diagnostic> {
    let message = format!("the tag {tag} is not understood");
    let help = "remove it; a start-up file holds texts, numbers, lists and tables";
    Box::new(Diagnostic::error("yaml-tag", message).at(place).help(help))
}

fn scalar(
    text: &str,
    style: ScalarStyle,
    tag: Option<&Tag>,
    place: &Place,
) -> Result<Value, Box<Diagnostic>> {
    let plain = || plain(text);
    let Some(tag) = tag else {
        let is_plain = style == ScalarStyle::Plain;
        return Ok(if is_plain { plain() } else { Value::Text(text.to_owned()) });
    };
    let value = match tag.suffix.as_str() {
        _ if !tag.is_yaml_core_schema() => None,
        "str" => Some(Value::Text(text.to_owned())),
        "int" => Some(plain()).filter(|value| matches!(value, Value::Int(_))),
        "float" => Some(plain()).filter(|value| matches!(value, Value::Int(_) | Value::Float(_))),
        "bool" => Some(plain()).filter(|value| matches!(value, Value::Bool(_))),
        "null" => Some(Value::Null),
        _ => None,
    };
    value.ok_or_else(|| unknown_tag(tag, place))
}

/// What PyYAML takes an unquoted text for.
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => {
            return Value::Bool(true);
        }
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => {
            return Value::Bool(false);
        }
        ".inf" | ".Inf" | ".INF" | "+.inf" => return Value::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Value::Float(f64::NEG_INFINITY),
        ".nan" | ".NaN" | ".NAN" => return Value::Float(f64::NAN),
        _ => {}
    }
    let number = integer(text).map(Value::Int).or_else(|| float(text).map(Value::Float));
    number.unwrap_or_else(|| Value::Text(text.to_owned()))
}

fn integer(text: &str) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x', ..] => (16, &digits[2..]),
        [b'0', b'b', ..] => (2, &digits[2..]),
        [b'0', b'o', ..] => (8, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        [b'0'..=b'9', ..] => (10, digits),
        _ => return None,
    };
    let digits = digits.replace('_', "");
    let all_digits = digits.chars().all(|c| c.is_digit(radix));
    all_digits.then(|| i64::from_str_radix(&format!("{sign}{digits}"), radix).ok())?
}

fn float(text: &str) -> Option<f64> {
    let digits = text.trim_start_matches(['-', '+']);
    let begins_well = text.len() - digits.len() < 2
        && digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && digits.contains(|c: char| c.is_ascii_digit());
    let is_number = |c: char| c.is_ascii_digit() || "._eE+-".contains(c);
    // What has neither a point nor an exponent is a whole number that is too long, and so text.
    let is_float = digits.contains(['.', 'e', 'E']) && digits.chars().all(is_number);
    (begins_well && is_float).then(|| text.replace('_', "").parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(text: &str) -> Result<serde_json::Value, String> {
        let mut report = Report::default();
        let node = parse(&Source::new("x.yaml", text), &mut report);
        match report.has_errors() {
            true => Err(report.to_string()),
            false => Ok(node.unwrap().json().0),
        }
    }

    #[test]
    fn scalars_are_what_pyyaml_takes_them_for() {
        for (text, expected) in [
            ("5570", json!(5570)),
            ("0x1F", json!(31)),
            ("0o17", json!(15)),
            ("017", json!(15)),
            ("1_000", json!(1000)),
            ("-3", json!(-3)),
            ("0.85", json!(0.85)),
            ("1e3", json!(1000.0)),
            ("yes", json!(true)),
            ("Off", json!(false)),
            ("~", json!(null)),
            ("0.0.0.0", json!("0.0.0.0")),
            ("172.20.0.0/16", json!("172.20.0.0/16")),
            ("'5570'", json!("5570")),
            ("\"true\"", json!("true")),
            ("!!str 5570", json!("5570")),
            ("089", json!("089")),
            ("e5", json!("e5")),
            (".", json!(".")),
            ("99999999999999999999", json!("99999999999999999999")),
        ] {
            assert_eq!(read(text).unwrap(), expected, "{text}");
        }
        assert_eq!(read("").unwrap(), json!(null));
    }

    #[test]
    fn flow_style_blanks_comments_and_merges_are_read() {
        let text = "base: &base { a: 1, b: 2 }\nlist:\n  - { name: X  , port: 5 , <<: *base , b: 3 } # c\n";
        let expected = json!({ "name": "X", "port": 5, "b": 3, "a": 1 });
        assert_eq!(read(text).unwrap()["list"][0], expected);
    }

    #[test]
    fn places_count_characters_of_any_width() {
        let mut report = Report::default();
        let source = Source::new("x.yaml", "# é€\nüber: ß\nb: [1, x]\n");
        let node = parse(&source, &mut report).unwrap();
        let b = node.get("b").unwrap();
        assert_eq!((b.place.line(), b.place.column()), (3, 4));
        let Value::List(items) = &b.value else { panic!("{b:?}") };
        assert_eq!(&source.text[items[1].place.span.clone()], "x");
    }

    #[test]
    fn what_is_broken_is_reported_with_its_place() {
        let said = |text: &str| read(text).unwrap_err();
        assert!(said("a: [1, 2\nb: 3\n").contains("x.yaml:"), "{}", said("a: [1, 2\nb: 3\n"));
        assert!(said("a: 1\na: 2\n").starts_with("x.yaml:2:1: error: \"a\" stands twice"));
        assert!(said("a: !!python/object:os.system x").contains("is not understood"));
        assert!(said("a: !thing {}").contains("is not understood"));
        assert!(said("a: &a [*a]").contains("within what it stands for"));
        assert!(said("a: *nowhere").contains("x.yaml:1"));
        assert!(said("a: 1\n---\nb: 2\n").contains("more than one document"));
        assert!(said("[x]: 1").contains("a key must be text"));
        assert!(said(&"[".repeat(DEPTH_MAX + 1)).contains("deep"));
    }

    #[test]
    fn a_small_text_does_not_become_a_large_tree() {
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for n in 1..12 {
            let aliases = vec![format!("*a{}", n - 1); 10].join(", ");
            bomb.push_str(&format!("a{n}: &a{n} [{aliases}]\n"));
        }
        let said = read(&bomb).unwrap_err();
        assert!(said.contains("more than 100000 values"), "{said}");
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[-a-z0-9:{}\\[\\],&*!<#|>'\"\\\\ \t\n%@`~?.é]{0,120}") {
            let _ = read(&text);
        }

        #[test]
        fn no_bytes_make_it_panic(text in "\\PC{0,80}") {
            let _ = read(&text);
        }
    }
}
