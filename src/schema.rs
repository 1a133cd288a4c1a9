//! JSON schemas in short, for hints: what a message takes, on one line.

use serde_json::Value;

/// How deep a schema is looked into.
const DEPTH_MAX: usize = 3;

/// What a schema describes, as `{ addresses: [text], goes?: "stops" | "crashes" }`.
pub fn signature(schema: &Value) -> String {
    shape(schema, schema, 0)
}

/// JSON that fits a schema, for a person to fill in.
pub fn skeleton(schema: &Value) -> String {
    example(schema, schema, 0).to_string()
}

fn shape(schema: &Value, root: &Value, depth: usize) -> String {
    let schema = resolve(schema, root);
    if depth > DEPTH_MAX {
        return "...".to_owned();
    }
    if let Some(value) = schema.get("const") {
        return value.to_string();
    }
    let list = |values: &Value| values.as_array().cloned().unwrap_or_default();
    if let Some(values) = schema.get("enum") {
        return list(values).iter().map(Value::to_string).collect::<Vec<_>>().join(" | ");
    }
    for key in ["oneOf", "anyOf"] {
        if let Some(choices) = schema.get(key) {
            let choices: Vec<String> =
                list(choices).iter().map(|choice| shape(choice, root, depth + 1)).collect();
            let choices: Vec<&str> =
                choices.iter().map(String::as_str).filter(|choice| *choice != "null").collect();
            return choices.join(" | ");
        }
    }
    match type_of(schema) {
        "object" => object(schema, root, depth),
        "array" => match schema.get("items") {
            Some(items) => format!("[{}]", shape(items, root, depth + 1)),
            None => "[...]".to_owned(),
        },
        "string" => "text".to_owned(),
        "integer" | "number" => "number".to_owned(),
        "boolean" => "true | false".to_owned(),
        "null" => "null".to_owned(),
        _ => "any".to_owned(),
    }
}

fn object(schema: &Value, root: &Value, depth: usize) -> String {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
        return "{}".to_owned();
    };
    let fields: Vec<String> = properties
        .iter()
        .map(|(name, property)| {
            let mark = if is_required(name, schema) { "" } else { "?" };
            format!("{name}{mark}: {}", shape(property, root, depth + 1))
        })
        .collect();
    if fields.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", fields.join(", ")) }
}

fn example(schema: &Value, root: &Value, depth: usize) -> Value {
    let schema = resolve(schema, root);
    if depth > DEPTH_MAX {
        return Value::Null;
    }
    if let Some(value) = schema.get("const").or_else(|| schema.get("default")) {
        return value.clone();
    }
    for key in ["enum", "oneOf", "anyOf"] {
        if let Some(first) = schema.get(key).and_then(|choices| choices.get(0)) {
            return if key == "enum" { first.clone() } else { example(first, root, depth + 1) };
        }
    }
    match type_of(schema) {
        "object" => {
            let properties = schema.get("properties").and_then(Value::as_object);
            let required =
                properties.into_iter().flatten().filter(|(name, _)| is_required(name, schema));
            let field = |(name, property): (&String, &Value)| {
                (name.clone(), example(property, root, depth + 1))
            };
            Value::Object(required.map(field).collect())
        }
        "array" => Value::Array(Vec::new()),
        "string" => "".into(),
        "integer" | "number" => 0.into(),
        "boolean" => false.into(),
        _ => Value::Null,
    }
}

fn resolve<'a>(schema: &'a Value, root: &'a Value) -> &'a Value {
    let Some(reference) = schema.get("$ref").and_then(Value::as_str) else { return schema };
    reference.strip_prefix('#').and_then(|path| root.pointer(path)).unwrap_or(schema)
}

/// The type; of several the first that is not null.
fn type_of(schema: &Value) -> &str {
    match schema.get("type") {
        Some(Value::String(name)) => name,
        Some(Value::Array(names)) => {
            let mut names = names.iter().filter_map(Value::as_str);
            names.find(|name| *name != "null").unwrap_or("null")
        }
        _ => "",
    }
}

fn is_required(name: &str, schema: &Value) -> bool {
    let required = schema.get("required").and_then(Value::as_array);
    required.is_some_and(|required| required.iter().any(|other| other == name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemars::JsonSchema;

    #[derive(JsonSchema)]
    #[serde(rename_all = "snake_case")]
    #[expect(dead_code, reason = "only its schema is looked at")]
    enum How {
        Fast,
        Slow,
    }

    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema is looked at")]
    struct Go {
        names: Vec<String>,
        how: How,
        times: Option<u32>,
        inner: Option<Box<Go>>,
    }

    #[test]
    fn a_schema_is_said_in_a_line_and_filled_in() {
        let schema = schemars::schema_for!(Go).to_value();
        let said = signature(&schema);
        assert!(
            said.starts_with(
                "{ names: [text], how: \"fast\" | \"slow\", times?: number, inner?: {"
            ),
            "{said}"
        );
        assert_eq!(skeleton(&schema), "{\"names\":[],\"how\":\"fast\"}");
        assert_eq!(signature(&serde_json::json!(true)), "any");
    }
}
